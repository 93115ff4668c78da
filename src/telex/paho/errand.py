"""A client that comes for one errand, as the helpers in ``publish.py`` and ``subscribe.py`` need it.

Knows how their arguments become one, and waits for its end. Knows no errand.
"""

import ssl
from collections.abc import Mapping
from typing import Any, NotRequired, Required, TypedDict

from telex.paho import client as paho
from telex.paho.enums import CallbackAPIVersion, MQTTProtocolVersion
from telex.paho.settings import PayloadType, Transport


class AuthParameter(TypedDict, total=False):
    """Who a client says it is."""

    username: Required[str]
    password: NotRequired[str]


class TLSParameter(TypedDict, total=False):
    """The arguments of ``Client.tls_set``, and ``insecure``: whether any host name will do."""

    ca_certs: Required[str]
    certfile: NotRequired[str]
    keyfile: NotRequired[str]
    tls_version: NotRequired[int]
    ciphers: NotRequired[str]
    insecure: NotRequired[bool]


class MessageDict(TypedDict, total=False):
    """The arguments of ``Client.publish``, or of ``Client.will_set``."""

    topic: Required[str]
    payload: NotRequired[PayloadType]
    qos: NotRequired[int]
    retain: NotRequired[bool]


def make_client(
    userdata: object,
    *,
    client_id: str,
    will: MessageDict | None,
    auth: AuthParameter | None,
    tls: TLSParameter | ssl.SSLContext | None,
    protocol: MQTTProtocolVersion,
    transport: Transport,
    proxy_args: Mapping[str, Any] | None,
    clean_session: bool | None = None,
) -> paho.Client:
    """A client that is not connected yet.

    Raises:
        KeyError: ``auth`` has no user name.
        ValueError, TypeError, OSError: as the client's methods for each of the arguments.
    """
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=clean_session,
        userdata=userdata,
        protocol=protocol,
        transport=transport,
    )
    client.enable_logger()
    if proxy_args is not None:
        client.proxy_set(**proxy_args)
    if auth:
        username = auth.get("username")
        if not username:
            raise KeyError("auth has no 'username', or an empty one")
        client.username_pw_set(username, auth.get("password"))
    if will is not None:
        client.will_set(**will)
    if isinstance(tls, dict):
        options: dict[str, Any] = dict(tls)  # the caller's stays as it is, and serves again
        insecure = options.pop("insecure", False)
        client.tls_set(**options)
        if insecure:
            client.tls_insecure_set(insecure)
    elif tls is not None:
        client.tls_set_context(tls)
    return client


def run(client: paho.Client, hostname: str, port: int, keepalive: int) -> None:
    """Connect, and work until the client has disconnected, which its callbacks decide.

    Raises:
        OSError: the broker cannot be reached.
        Exception: what the callbacks raise.
    """
    client.connect(hostname, port, keepalive)
    try:
        client.loop_forever()
    except BaseException:
        # Not by DISCONNECT: the broker is to publish the will. Whoever keeps the error keeps the client alive.
        client._reset_sockets()
        raise
