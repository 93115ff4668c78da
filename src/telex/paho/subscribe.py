"""Subscribes and waits for messages: for programs that need no client."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from telex.paho import client as paho
from telex.paho.enums import MQTTProtocolVersion
from telex.paho.errand import AuthParameter, MessageDict, TLSParameter, make_client, run
from telex.paho.exception import MQTTException
from telex.paho.message import ConnectFlags, MQTTMessage
from telex.paho.properties import Properties
from telex.paho.reasoncodes import ReasonCode
from telex.paho.settings import Transport


class _Subscriber:
    """What is subscribed to, and who gets it."""

    def __init__(
        self,
        callback: Callable[[paho.Client, Any, MQTTMessage], object],
        topics: str | list[str],
        qos: int,
        userdata: Any,
    ) -> None:
        self._callback = callback
        self._topics = topics if isinstance(topics, list) else [topics]
        self._qos = qos
        self._userdata = userdata

    def connected(self, client: paho.Client) -> None:
        """Subscribe: each time, since a broker need not have kept it."""
        for topic in self._topics:
            client.subscribe(topic, self._qos)

    def received(self, client: paho.Client, message: MQTTMessage) -> None:
        """Pass a message on."""
        self._callback(client, self._userdata, message)


class _Collector:
    """Takes some messages, and then disconnects."""

    def __init__(self, count: int, retained: bool) -> None:
        self.messages: list[MQTTMessage] = []
        self._count = count
        self._retained = retained

    def received(self, client: paho.Client, message: MQTTMessage) -> None:
        """Take a message, if it is wanted."""
        if len(self.messages) == self._count or (message.retain and not self._retained):
            return
        self.messages.append(message)
        if len(self.messages) == self._count:
            client.disconnect()


def _on_connect(
    client: paho.Client,
    userdata: _Subscriber,
    flags: ConnectFlags,
    reason_code: ReasonCode,
    properties: Properties | None,
) -> None:
    if reason_code.is_failure:
        raise MQTTException(paho.connack_string(reason_code))
    userdata.connected(client)


def _on_message(client: paho.Client, userdata: _Subscriber, message: MQTTMessage) -> None:
    userdata.received(client, message)


def _collect(client: paho.Client, userdata: _Collector, message: MQTTMessage) -> None:
    userdata.received(client, message)


def callback(
    callback: Callable[[paho.Client, Any, MQTTMessage], object],
    topics: str | list[str],
    qos: int = 0,
    userdata: Any = None,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: MessageDict | None = None,
    auth: AuthParameter | None = None,
    tls: TLSParameter | ssl.SSLContext | None = None,
    protocol: MQTTProtocolVersion = paho.MQTTv311,
    transport: Transport = "tcp",
    clean_session: bool | None = True,
    proxy_args: Mapping[str, Any] | None = None,
) -> None:
    """Subscribe, and call a function with each message. Returns when that disconnects the client.

    Args:
        callback: called with the client, ``userdata`` and the message.
        topics: a topic filter, or a list of them.
        qos: the highest QoS at which messages shall come.
        userdata: anything.
        hostname: where the broker is.
        port: where it listens.
        client_id: empty for one that nobody else has.
        keepalive: seconds.
        will: what the broker is to publish if this client is lost: a dict with ``topic`` and, where wanted,
            ``payload``, ``qos`` and ``retain``.
        auth: a dict with ``username`` and, where wanted, ``password``.
        tls: a dict with the arguments of ``Client.tls_set``, where ``insecure`` may be added; or an SSL context.
        protocol: ``MQTTv31``, ``MQTTv311`` or ``MQTTv5``.
        transport: ``"tcp"``, ``"websockets"`` or ``"unix"``.
        clean_session: whether the broker forgets this client when it has gone; None with MQTT 5.
        proxy_args: the arguments of ``Client.proxy_set``.

    Raises:
        ValueError: ``qos`` is none of 0, 1 and 2, or the client takes no such argument.
        KeyError: ``auth`` has no user name.
        MQTTException: the broker refuses the connection.
        OSError: the broker cannot be reached.
        Exception: what ``callback`` raises.
    """
    if not 0 <= qos <= 2:
        raise ValueError(f"qos is {qos}, expected 0, 1 or 2")
    client = make_client(
        _Subscriber(callback, topics, qos, userdata),
        client_id=client_id,
        will=will,
        auth=auth,
        tls=tls,
        protocol=protocol,
        transport=transport,
        proxy_args=proxy_args,
        clean_session=clean_session,
    )
    client.on_message = _on_message
    client.on_connect = _on_connect
    run(client, hostname, port, keepalive)


def simple(
    topics: str | list[str],
    qos: int = 0,
    msg_count: int = 1,
    retained: bool = True,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: MessageDict | None = None,
    auth: AuthParameter | None = None,
    tls: TLSParameter | ssl.SSLContext | None = None,
    protocol: MQTTProtocolVersion = paho.MQTTv311,
    transport: Transport = "tcp",
    clean_session: bool | None = True,
    proxy_args: Mapping[str, Any] | None = None,
) -> Any:
    """Subscribe, wait for messages, disconnect, and return them: one as an ``MQTTMessage``, more as a list.

    Args:
        topics: a topic filter, or a list of them.
        qos: the highest QoS at which messages shall come.
        msg_count: how many messages to wait for.
        retained: whether retained messages count.
        clean_session: whether the broker forgets this client when it has gone; with MQTT 5 this means nothing.

    The others are those of ``callback``, and so is what is raised; ValueError also if ``msg_count`` is less than 1.
    """
    if msg_count < 1:
        raise ValueError(f"msg_count is {msg_count}, expected at least 1")
    collector = _Collector(msg_count, retained)
    callback(
        _collect,
        topics,
        qos,
        collector,
        hostname,
        port,
        client_id,
        keepalive,
        will,
        auth,
        tls,
        protocol,
        transport,
        None if protocol == paho.MQTTv5 else clean_session,
        proxy_args,
    )
    return collector.messages[0] if msg_count == 1 else collector.messages
