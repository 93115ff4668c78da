"""Publishes a message or some, and that is all: for programs that need no client."""

import ssl
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from telex.paho import client as paho
from telex.paho.enums import CallbackAPIVersion as CallbackAPIVersion  # programs find it here, too
from telex.paho.enums import MQTTErrorCode, MQTTProtocolVersion
from telex.paho.errand import AuthParameter, MessageDict, TLSParameter, make_client, run
from telex.paho.exception import MQTTException
from telex.paho.message import ConnectFlags, MQTTMessageInfo
from telex.paho.properties import Properties
from telex.paho.reasoncodes import ReasonCode
from telex.paho.settings import PayloadType, Transport

MessageTuple = tuple[str, PayloadType, int, bool]
MessagesList = Iterable[MessageDict | MessageTuple]


class _Messages:
    """What is to be published: one after the other, each when the one before has been."""

    def __init__(self, messages: MessagesList) -> None:
        self._messages = deque(messages)  # the first of them stays until it has been published
        self._info: MQTTMessageInfo | None = None  # of the first, once it was handed to the client
        self._qos = 0

    def __len__(self) -> int:
        return len(self._messages)

    def connected(self, client: paho.Client) -> None:
        """Go on. What waits for its acknowledgement is sent again by the client, unless the client dropped it."""
        info = self._info
        if info is None or self._is_dropped(info):
            self._publish(client)

    def _is_dropped(self, info: MQTTMessageInfo) -> bool:
        return info.rc == MQTTErrorCode.MQTT_ERR_CONN_LOST or (
            self._qos == 0 and info.rc == MQTTErrorCode.MQTT_ERR_NO_CONN
        )

    def published(self, client: paho.Client) -> None:
        """The first is done: go on with the next, or end."""
        self._messages.popleft()
        if self._messages:
            self._publish(client)
        else:
            client.disconnect()

    def _publish(self, client: paho.Client) -> None:
        message = self._messages[0]
        if isinstance(message, dict):
            self._qos = message.get("qos", 0)
            self._info = client.publish(**message)
        elif isinstance(message, tuple | list):
            self._qos = message[2] if len(message) > 2 else 0
            self._info = client.publish(*message)
        else:
            raise TypeError(f"a message is a dict, a tuple or a list, not {type(message).__name__}")
        if self._info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            # Nobody would ever tell that it is published.
            raise MQTTException(paho.error_string(self._info.rc))


def _on_connect(
    client: paho.Client,
    userdata: _Messages,
    flags: ConnectFlags,
    reason_code: ReasonCode,
    properties: Properties | None,
) -> None:
    if reason_code.is_failure:
        raise MQTTException(paho.connack_string(reason_code))
    userdata.connected(client)


def _on_publish(
    client: paho.Client, userdata: _Messages, mid: int, reason_code: ReasonCode, properties: Properties
) -> None:
    userdata.published(client)


def multiple(
    msgs: MessagesList,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: MessageDict | None = None,
    auth: AuthParameter | None = None,
    tls: TLSParameter | ssl.SSLContext | None = None,
    protocol: MQTTProtocolVersion = paho.MQTTv311,
    transport: Transport = "tcp",
    proxy_args: Mapping[str, Any] | None = None,
) -> None:
    """Connect, publish messages in their order, and disconnect when the last has been acknowledged.

    Args:
        msgs: for each message a dict with ``topic`` and, where wanted, ``payload``, ``qos`` and ``retain``; or
            these as a tuple, in that order.
        hostname: where the broker is.
        port: where it listens.
        client_id: empty for one that nobody else has.
        keepalive: seconds.
        will: what the broker is to publish if this client is lost: a dict like a message.
        auth: a dict with ``username`` and, where wanted, ``password``.
        tls: a dict with the arguments of ``Client.tls_set``, where ``insecure`` may be added; or an SSL context.
        protocol: ``MQTTv31``, ``MQTTv311`` or ``MQTTv5``.
        transport: ``"tcp"``, ``"websockets"`` or ``"unix"``.
        proxy_args: the arguments of ``Client.proxy_set``.

    Raises:
        TypeError: ``msgs`` cannot be iterated over, or holds something else.
        ValueError: ``msgs`` is empty, or MQTT has no such message.
        KeyError: ``auth`` has no user name.
        MQTTException: the broker refuses the connection.
        OSError: the broker cannot be reached.
    """
    if not isinstance(msgs, Iterable):
        raise TypeError(f"msgs is a list of messages, not {type(msgs).__name__}")
    messages = _Messages(msgs)
    if not messages:
        raise ValueError("msgs is empty")
    client = make_client(
        messages,
        client_id=client_id,
        will=will,
        auth=auth,
        tls=tls,
        protocol=protocol,
        transport=transport,
        proxy_args=proxy_args,
    )
    client.on_publish = _on_publish
    client.on_connect = _on_connect
    run(client, hostname, port, keepalive)


def single(
    topic: str,
    payload: PayloadType = None,
    qos: int = 0,
    retain: bool = False,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: MessageDict | None = None,
    auth: AuthParameter | None = None,
    tls: TLSParameter | ssl.SSLContext | None = None,
    protocol: MQTTProtocolVersion = paho.MQTTv311,
    transport: Transport = "tcp",
    proxy_args: Mapping[str, Any] | None = None,
) -> None:
    """Connect, publish one message, and disconnect when it has been acknowledged.

    Args:
        topic: where to.
        payload: None for an empty one.
        qos: 0, 1 or 2.
        retain: whether the broker keeps it for who subscribes later.

    The others are those of ``multiple``, and so is what is raised.
    """
    message: MessageDict = {"topic": topic, "payload": payload, "qos": qos, "retain": retain}
    multiple([message], hostname, port, client_id, keepalive, will, auth, tls, protocol, transport, proxy_args)
