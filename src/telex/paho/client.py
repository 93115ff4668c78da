"""paho-mqtt's client, and all names of its module, for programs that were written for it.

Knows what a program can ask of a connection. What it can say beforehand is in ``settings.py``, callbacks are in
``callbacks.py``, loops in ``loops.py``, and the way of the bytes in ``transfer.py``.
"""

import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from telex import codes, topics
from telex.client.connection import NotTaken
from telex.codes import MQTT_5
from telex.errors import NotConnected
from telex.paho.callbacks import (
    CallbackOnConnect,
    CallbackOnConnect_v1,
    CallbackOnConnect_v1_mqtt3,
    CallbackOnConnect_v1_mqtt5,
    CallbackOnConnect_v2,
    CallbackOnConnectFail,
    CallbackOnDisconnect,
    CallbackOnDisconnect_v1,
    CallbackOnDisconnect_v1_mqtt3,
    CallbackOnDisconnect_v1_mqtt5,
    CallbackOnDisconnect_v2,
    CallbackOnLog,
    CallbackOnMessage,
    CallbackOnPreConnect,
    CallbackOnPublish,
    CallbackOnPublish_v1,
    CallbackOnPublish_v2,
    CallbackOnSocket,
    CallbackOnSubscribe,
    CallbackOnSubscribe_v1,
    CallbackOnSubscribe_v1_mqtt3,
    CallbackOnSubscribe_v1_mqtt5,
    CallbackOnSubscribe_v2,
    CallbackOnUnsubscribe,
    CallbackOnUnsubscribe_v1,
    CallbackOnUnsubscribe_v1_mqtt3,
    CallbackOnUnsubscribe_v1_mqtt5,
    CallbackOnUnsubscribe_v2,
)
from telex.paho.enums import (
    CallbackAPIVersion,
    ConnackCode,
    LogLevel,
    MessageState,
    MessageType,
    MQTTErrorCode,
    MQTTProtocolVersion,
    PahoClientMode,
)
from telex.paho.exception import MalformedPacket
from telex.paho.loops import Loops
from telex.paho.matcher import MQTTMatcher
from telex.paho.message import (
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    MQTTMessageInfo,
    connack_string,
    convert_connack_rc_to_reason_code,
    convert_disconnect_error_code_to_reason_code,
    error_string,
)
from telex.paho.names import (
    AUTH,
    CONNACK,
    CONNACK_ACCEPTED,
    CONNACK_REFUSED_BAD_USERNAME_PASSWORD,
    CONNACK_REFUSED_IDENTIFIER_REJECTED,
    CONNACK_REFUSED_NOT_AUTHORIZED,
    CONNACK_REFUSED_PROTOCOL_VERSION,
    CONNACK_REFUSED_SERVER_UNAVAILABLE,
    CONNECT,
    DISCONNECT,
    LOGGING_LEVEL,
    MQTT_BRIDGE,
    MQTT_CLEAN_START_FIRST_ONLY,
    MQTT_CLIENT,
    MQTT_ERR_ACL_DENIED,
    MQTT_ERR_AGAIN,
    MQTT_ERR_AUTH,
    MQTT_ERR_CONN_LOST,
    MQTT_ERR_CONN_REFUSED,
    MQTT_ERR_ERRNO,
    MQTT_ERR_INVAL,
    MQTT_ERR_KEEPALIVE,
    MQTT_ERR_NO_CONN,
    MQTT_ERR_NOMEM,
    MQTT_ERR_NOT_FOUND,
    MQTT_ERR_NOT_SUPPORTED,
    MQTT_ERR_PAYLOAD_SIZE,
    MQTT_ERR_PROTOCOL,
    MQTT_ERR_QUEUE_SIZE,
    MQTT_ERR_SUCCESS,
    MQTT_ERR_TLS,
    MQTT_ERR_UNKNOWN,
    MQTT_LOG_DEBUG,
    MQTT_LOG_ERR,
    MQTT_LOG_INFO,
    MQTT_LOG_NOTICE,
    MQTT_LOG_WARNING,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    MQTTv5,
    MQTTv31,
    MQTTv311,
    mqtt_ms_invalid,
    mqtt_ms_publish,
    mqtt_ms_queued,
    mqtt_ms_resend_pubcomp,
    mqtt_ms_resend_pubrel,
    mqtt_ms_send_pubrec,
    mqtt_ms_wait_for_puback,
    mqtt_ms_wait_for_pubcomp,
    mqtt_ms_wait_for_pubrec,
    mqtt_ms_wait_for_pubrel,
)
from telex.paho.nonblocking import SocketLike
from telex.paho.packettypes import PacketTypes
from telex.paho.properties import Properties, from_wire, to_wire
from telex.paho.reasoncodes import ReasonCode, ReasonCodes
from telex.paho.settings import CleanStartOption, ConnectionState, PayloadType, Transport, encode_payload
from telex.paho.srv import find_brokers
from telex.paho.subscribeoptions import SubscribeOptions
from telex.paho.websocket import WebsocketConnectionError, WebSocketHeaders
from telex.wire.packets import SubscriptionRequest
from telex.wire.properties import Properties as WireProperties

__all__ = [
    "Client",
    "CallbackAPIVersion",
    "ConnackCode",
    "LogLevel",
    "MessageState",
    "MessageType",
    "MQTTErrorCode",
    "MQTTProtocolVersion",
    "PahoClientMode",
    "MalformedPacket",
    "MQTTMatcher",
    "ConnectFlags",
    "DisconnectFlags",
    "MQTTMessage",
    "MQTTMessageInfo",
    "connack_string",
    "convert_connack_rc_to_reason_code",
    "convert_disconnect_error_code_to_reason_code",
    "error_string",
    "topic_matches_sub",
    "SocketLike",
    "PacketTypes",
    "Properties",
    "ReasonCode",
    "ReasonCodes",
    "CleanStartOption",
    "PayloadType",
    "HTTPHeader",
    "WebSocketHeaders",
    "SubscribeOptions",
    "WebsocketConnectionError",
    "time_func",
    "socket",
    "ssl",
    "CallbackOnConnect",
    "CallbackOnConnect_v1",
    "CallbackOnConnect_v1_mqtt3",
    "CallbackOnConnect_v1_mqtt5",
    "CallbackOnConnect_v2",
    "CallbackOnConnectFail",
    "CallbackOnDisconnect",
    "CallbackOnDisconnect_v1",
    "CallbackOnDisconnect_v1_mqtt3",
    "CallbackOnDisconnect_v1_mqtt5",
    "CallbackOnDisconnect_v2",
    "CallbackOnLog",
    "CallbackOnMessage",
    "CallbackOnPreConnect",
    "CallbackOnPublish",
    "CallbackOnPublish_v1",
    "CallbackOnPublish_v2",
    "CallbackOnSocket",
    "CallbackOnSubscribe",
    "CallbackOnSubscribe_v1",
    "CallbackOnSubscribe_v1_mqtt3",
    "CallbackOnSubscribe_v1_mqtt5",
    "CallbackOnSubscribe_v2",
    "CallbackOnUnsubscribe",
    "CallbackOnUnsubscribe_v1",
    "CallbackOnUnsubscribe_v1_mqtt3",
    "CallbackOnUnsubscribe_v1_mqtt5",
    "CallbackOnUnsubscribe_v2",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
    "MQTT_LOG_INFO",
    "MQTT_LOG_NOTICE",
    "MQTT_LOG_WARNING",
    "MQTT_LOG_ERR",
    "MQTT_LOG_DEBUG",
    "LOGGING_LEVEL",
    "CONNACK_ACCEPTED",
    "CONNACK_REFUSED_PROTOCOL_VERSION",
    "CONNACK_REFUSED_IDENTIFIER_REJECTED",
    "CONNACK_REFUSED_SERVER_UNAVAILABLE",
    "CONNACK_REFUSED_BAD_USERNAME_PASSWORD",
    "CONNACK_REFUSED_NOT_AUTHORIZED",
    "mqtt_ms_invalid",
    "mqtt_ms_publish",
    "mqtt_ms_wait_for_puback",
    "mqtt_ms_wait_for_pubrec",
    "mqtt_ms_resend_pubrel",
    "mqtt_ms_wait_for_pubrel",
    "mqtt_ms_resend_pubcomp",
    "mqtt_ms_wait_for_pubcomp",
    "mqtt_ms_send_pubrec",
    "mqtt_ms_queued",
    "MQTT_ERR_AGAIN",
    "MQTT_ERR_SUCCESS",
    "MQTT_ERR_NOMEM",
    "MQTT_ERR_PROTOCOL",
    "MQTT_ERR_INVAL",
    "MQTT_ERR_NO_CONN",
    "MQTT_ERR_CONN_REFUSED",
    "MQTT_ERR_NOT_FOUND",
    "MQTT_ERR_CONN_LOST",
    "MQTT_ERR_TLS",
    "MQTT_ERR_PAYLOAD_SIZE",
    "MQTT_ERR_NOT_SUPPORTED",
    "MQTT_ERR_AUTH",
    "MQTT_ERR_ACL_DENIED",
    "MQTT_ERR_UNKNOWN",
    "MQTT_ERR_ERRNO",
    "MQTT_ERR_QUEUE_SIZE",
    "MQTT_ERR_KEEPALIVE",
    "MQTTv31",
    "MQTTv311",
    "MQTTv5",
    "MQTT_CLIENT",
    "MQTT_BRIDGE",
    "MQTT_CLEAN_START_FIRST_ONLY",
]
"""What programs import from paho's module, be it paho's own or what that has imported."""

HTTPHeader = dict[str, str]
time_func = time.monotonic
"""The clock of ``MQTTMessage.timestamp``."""


def topic_matches_sub(sub: str, topic: str) -> bool:
    """Whether a topic filter matches a topic name: ``foo/#`` and ``+/bar`` match ``foo/bar``."""
    matcher = MQTTMatcher()
    matcher[sub] = True
    return next(matcher.iter_match(topic), False)


class Client(Loops):
    """A client of MQTT 3.1, 3.1.1 or 5.0, as paho-mqtt has it.

    ``connect``, then have a loop run: ``loop_start`` in a thread, ``loop_forever`` in this one, or one of the
    program's by ``loop_read``, ``loop_write`` and ``loop_misc``. What happens is told by callbacks: ``on_message`` etc.

    Args:
        callback_api_version: how callbacks are called. VERSION1 is deprecated.
        client_id: who we are. Empty: the broker chooses a name, and keeps no session.
        clean_session: whether the broker forgets us when a connection ends (before MQTT 5). None: it does.
        userdata: what callbacks get as ``userdata``.
        protocol: the version of MQTT.
        transport: ``tcp``, ``websockets`` or ``unix``.
        reconnect_on_failure: whether ``loop_forever`` and ``loop_start`` connect again when a connection is lost.
        manual_ack: whether the program acknowledges messages by ``ack``.

    Raises:
        ValueError: what does not fit together.
        TypeError: a client id where the version of the callbacks belongs, as in paho-mqtt 1.
    """

    def __init__(
        self,
        callback_api_version: CallbackAPIVersion = CallbackAPIVersion.VERSION1,
        client_id: str | None = "",
        clean_session: bool | None = None,
        userdata: Any = None,
        protocol: MQTTProtocolVersion = MQTTv311,
        transport: Transport = "tcp",
        reconnect_on_failure: bool = True,
        manual_ack: bool = False,
    ) -> None:
        wanted = transport.lower()
        if wanted == "unix" and not hasattr(socket, "AF_UNIX"):
            raise ValueError('"unix" transport not supported')
        if wanted not in ("websockets", "tcp", "unix"):
            raise ValueError(f'transport must be "websockets", "tcp" or "unix", not {wanted}')
        if callback_api_version == CallbackAPIVersion.VERSION1:
            warnings.warn(
                "Callback API version 1 is deprecated, update to latest version",
                category=DeprecationWarning,
                stacklevel=2,
            )
        if isinstance(callback_api_version, str):
            raise TypeError(
                "the first argument is the version of the callbacks since paho-mqtt 2.0; write "
                f"Client(CallbackAPIVersion.VERSION1, {callback_api_version!r})"
            )
        if callback_api_version not in CallbackAPIVersion:
            raise ValueError("Unsupported callback API version")
        super().__init__(
            manual_ack, callback_api_version, client_id, clean_session, userdata, protocol, wanted, reconnect_on_failure
        )
        self._aliases: dict[int, str] = {}  # topic aliases of ours, and what they stand for
        self._aliases_told: dict[int, str] = {}  # those that the broker knows, on this connection
        self._aliases_of: SocketLike | None = None  # that connection's socket

    def reinitialise(self, client_id: str = "", clean_session: bool = True, userdata: Any = None) -> None:
        """Become as new; the connection, if there is one, is closed without a word."""
        self._reset_sockets()
        Client.__init__(self, self.callback_api_version, client_id, clean_session, userdata)

    # Connections

    def connect(
        self,
        host: str,
        port: int = 1883,
        keepalive: int = 60,
        bind_address: str = "",
        bind_port: int = 0,
        clean_start: CleanStartOption = MQTT_CLEAN_START_FIRST_ONLY,
        properties: Properties | None = None,
    ) -> MQTTErrorCode:
        """Connect to a broker. Waits for the connection, not for the broker's answer: ``on_connect`` tells of that.

        Args:
            host: its name or address; the path of a Unix socket.
            port: where it listens.
            keepalive: seconds after which a silent connection is looked after; 0: never.
            bind_address: the local address that the connection comes from.
            bind_port: the local port that it comes from.
            clean_start: whether the broker is to forget an earlier session (MQTT 5): always, never, or until we are in.
            properties: of CONNECT (MQTT 5).

        Raises:
            ValueError: what cannot be, or is for MQTT 5 only.
            OSError: there is no connection.
        """
        if self._protocol == MQTTv5:
            self._mqttv5_first_connect = True
        elif clean_start != MQTT_CLEAN_START_FIRST_ONLY:
            raise ValueError("Clean start only applies to MQTT V5")
        elif properties:
            raise ValueError("Properties only apply to MQTT V5")
        self._aim(host, port, keepalive, bind_address, bind_port, clean_start, properties)
        return self.reconnect()

    def connect_async(
        self,
        host: str,
        port: int = 1883,
        keepalive: int = 60,
        bind_address: str = "",
        bind_port: int = 0,
        clean_start: CleanStartOption = MQTT_CLEAN_START_FIRST_ONLY,
        properties: Properties | None = None,
    ) -> None:
        """Leave it to ``loop_start`` or ``loop_forever`` to connect. A connection that there is is closed.

        Raises:
            ValueError: what cannot be.
        """
        self._aim(host, port, keepalive, bind_address, bind_port, clean_start, properties)
        self._state = ConnectionState.MQTT_CS_CONNECT_ASYNC
        self._wake()

    def _aim(
        self,
        host: str,
        port: int,
        keepalive: int,
        bind_address: str,
        bind_port: int,
        clean_start: CleanStartOption,
        properties: Properties | None,
    ) -> None:
        if bind_port < 0:
            raise ValueError("Invalid bind port number.")
        self._sock_close()
        self._state = ConnectionState.MQTT_CS_NEW
        self.host = host
        self.port = port
        self.keepalive = keepalive
        self._bind_address = bind_address
        self._bind_port = bind_port
        self._clean_start = clean_start
        self._connect_properties = properties

    def connect_srv(
        self,
        domain: str | None = None,
        keepalive: int = 60,
        bind_address: str = "",
        bind_port: int = 0,
        clean_start: CleanStartOption = MQTT_CLEAN_START_FIRST_ONLY,
        properties: Properties | None = None,
    ) -> MQTTErrorCode:
        """Connect to a broker that DNS names for a domain; without one, for that of this machine.

        Raises:
            ValueError: DNS names none, or none of them can be reached.
        """
        if domain is None:
            name = socket.getfqdn()
            domain = name[name.find(".") + 1 :]
        for host, port in find_brokers(domain, is_secure=self._ssl):
            try:
                return self.connect(host, port, keepalive, bind_address, bind_port, clean_start, properties)
            except (OSError, ValueError):
                continue
        raise ValueError("No SRV hosts responded")

    def is_connected(self) -> bool:
        """Whether the broker has let us in, and nothing has ended that since."""
        return self._state == ConnectionState.MQTT_CS_CONNECTED

    def disconnect(self, reasoncode: ReasonCode | None = None, properties: Properties | None = None) -> MQTTErrorCode:
        """Take leave of the broker. What was published before leaves first.

        Args:
            reasoncode: why (MQTT 5).
            properties: of DISCONNECT (MQTT 5).
        """
        if self._sock is None:
            self._state = ConnectionState.MQTT_CS_DISCONNECTED
            return MQTT_ERR_NO_CONN
        code, said = 0, None
        if self._protocol == MQTT_5:
            code = 0 if reasoncode is None else reasoncode.value
            said = to_wire(properties, codes.DISCONNECT)
        self._state = ConnectionState.MQTT_CS_DISCONNECTING
        mqtt = self._mqtt
        with self._out_message_mutex:
            is_telling = mqtt.is_open and self._telling == threading.get_ident()
            if is_telling or (mqtt.has_held and not self._has_awaited):
                self._goodbye = (code, said)
            else:
                mqtt.disconnect(code, said)
                self._is_leaving = True
        rc = self._leave()
        if not is_telling and (self._is_goodbye_due or (self._goodbye is not None and self._has_awaited)):
            self._say_goodbye(anyway=True)  # CONNACK has come meanwhile, or was waited for in vain
            rc = self._leave()
        return rc

    # Messages

    def publish(
        self,
        topic: str,
        payload: PayloadType = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> MQTTMessageInfo:
        """Publish a message. ``rc`` of what comes back says whether it was taken; it can be waited for.

        Above QoS 0 a message is kept while there is no connection, though ``rc`` says that there is none.

        Args:
            topic: its topic name; empty if a topic alias stands for it (MQTT 5).
            payload: bytes; text becomes UTF-8, a number its digits, None nothing.
            qos: 0, 1 or 2.
            retain: whether the broker keeps it for those who subscribe later.
            properties: of PUBLISH (MQTT 5).

        Raises:
            ValueError: no topic name, no such QoS, or too long.
            TypeError: a payload that is none.
        """
        if not topic and self._protocol != MQTT_5:
            raise ValueError("Invalid topic.")
        if not isinstance(topic, str):
            raise TypeError(f"topic is {type(topic).__name__}, expected str")
        if qos < 0 or qos > 2:
            raise ValueError("Invalid QoS level.")
        data = payload if type(payload) is bytes else encode_payload(payload)
        said = None if properties is None or self._protocol != MQTT_5 else to_wire(properties, codes.PUBLISH)
        with self._out_message_mutex:
            info = MQTTMessageInfo(self._next_mid())
            try:
                if said is None or said.topic_alias is None:
                    leaves = self._hand_in(info, topic, data, qos, bool(retain), said)
                else:
                    leaves = self._hand_in_by_alias(info, topic, data, qos, bool(retain), said)
            except Exception:
                self._mqtt.give_back(info.mid)
                raise
        if leaves:
            info.rc = self._leave()
        return info

    def _hand_in(
        self,
        info: MQTTMessageInfo,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: WireProperties | None,
    ) -> bool:
        """Publish; whether something is to leave now. Otherwise ``info`` knows why not."""
        mqtt = self._mqtt
        try:
            if qos == 0:
                publication = mqtt.publish(topic, payload, retain=retain, properties=properties)
                if mqtt.is_open:
                    self._gathered.append(info)
                else:
                    publication.tag = info
                    self._held.append(info)
                return True
            mid = info.mid
            if mid == 0 or 0 < self._max_queued_messages <= len(self._out_messages):
                topics.check_name(topic)
                info.rc = MQTT_ERR_QUEUE_SIZE
                return False
            publication = mqtt.publish(topic, payload, qos=qos, retain=retain, properties=properties, packet_id=mid)
        except NotConnected:
            topics.check_name(topic)
            info.rc = MQTT_ERR_NO_CONN
            return False
        except NotTaken as refusal:
            info.rc = _error_of(refusal)
            return False
        publication.tag = info
        self._out_messages[mid] = publication
        if self._sock is None:
            info.rc = MQTT_ERR_NO_CONN  # all the same it is kept
            return False
        return publication.packet_id > 0 or not mqtt.is_open  # otherwise too many are on their way

    def _hand_in_by_alias(
        self,
        info: MQTTMessageInfo,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: WireProperties,
    ) -> bool:
        """The same for a message with a topic alias, so that it means on this connection what it shall mean.

        The broker may take none or few of them, and forgets them with each connection.
        """
        alias = properties.topic_alias
        assert alias is not None  # who has none does not come here
        if self._aliases_of is not self._sock:
            self._aliases_of = self._sock
            self._aliases_told = {}
        meant = topic or self._aliases.get(alias)
        if meant is None:
            raise ValueError(f"topic alias {alias} was never given a topic")
        # Above QoS 0 a message may leave later, or again.
        is_taken = qos == 0 and self._mqtt.is_open and alias <= (self._mqtt.server.topic_alias_maximum or 0)
        is_known = is_taken and not topic and self._aliases_told.get(alias) == meant
        if not is_taken:
            properties.topic_alias = None
        leaves = self._hand_in(info, "" if is_known else meant, payload, qos, retain, properties)
        self._aliases[alias] = meant
        if is_taken and leaves:
            self._aliases_told[alias] = meant
        return leaves

    def _next_mid(self) -> int:
        """The next packet id that is free; 0 if none is."""
        try:
            return self._mqtt.next_packet_id()
        except ValueError:
            return 0

    def drop_out_messages(self) -> list[MQTTMessage]:
        """Forget all messages above QoS 0 that are unfinished; these are they."""
        with self._out_message_mutex:
            self._out_messages.clear()
            dropped = self._mqtt.drop()
        messages = []
        for publication in dropped:
            message = MQTTMessage(publication.own_id, publication.topic.encode())
            message.payload = publication.payload
            message.qos = publication.qos
            message.retain = publication.retain
            message.state = mqtt_ms_publish
            if publication.properties is not None:
                message.properties = from_wire(publication.properties, PacketTypes.PUBLISH)
            if isinstance(publication.tag, MQTTMessageInfo):
                message.info = publication.tag
            messages.append(message)
        return messages

    # Subscriptions

    def subscribe(
        self,
        topic: str
        | tuple[str, int]
        | tuple[str, SubscribeOptions]
        | list[tuple[str, int]]
        | list[tuple[str, SubscribeOptions]],
        qos: int = 0,
        options: SubscribeOptions | None = None,
        properties: Properties | None = None,
    ) -> tuple[MQTTErrorCode, int | None]:
        """Subscribe; returns ``(MQTT_ERR_SUCCESS, mid)``, or why not. ``on_subscribe`` tells what the broker grants.

        Args:
            topic: a topic filter, or one with its QoS or options, or a list of those.
            qos: for a single filter.
            options: for a single filter (MQTT 5).
            properties: of SUBSCRIBE (MQTT 5).

        Raises:
            ValueError: no filter, no such QoS, or what does not fit together.
        """
        requests = self._requests(topic, qos, options)
        for request in requests:
            try:
                topics.check_filter(request.topic_filter)
            except ValueError as error:
                raise ValueError(f"Invalid subscription filter. {error}") from None
        if self._sock is None:
            return MQTT_ERR_NO_CONN, None
        said = to_wire(properties, codes.SUBSCRIBE) if self._protocol == MQTT_5 else None
        return self._ask(lambda mid: self._mqtt.subscribe(requests, said, packet_id=mid))

    def _requests(self, topic: Any, qos: int, options: SubscribeOptions | None) -> list[SubscriptionRequest]:
        is_5 = self._protocol == MQTT_5
        if isinstance(topic, tuple):
            if is_5:
                topic, options = topic
                if not isinstance(options, SubscribeOptions):
                    raise ValueError("Subscribe options must be instance of SubscribeOptions class.")
            else:
                topic, qos = topic
        if isinstance(topic, str):
            if qos < 0 or qos > 2:
                raise ValueError("Invalid QoS level.")
            if is_5 and options is not None:
                if qos != 0:
                    raise ValueError("Subscribe options and qos parameters cannot be combined.")
                if not isinstance(options, SubscribeOptions):
                    raise ValueError("Subscribe options must be instance of SubscribeOptions class.")
                return [_request(topic, options)]
            if not topic and not is_5:
                raise ValueError("Invalid topic.")
            return [SubscriptionRequest(topic, int(qos))]
        if not isinstance(topic, list):
            raise ValueError("No topic specified, or incorrect topic type.")
        if not topic:
            raise ValueError("Empty topic list")
        return [self._request_of(each, wanted) for each, wanted in topic]

    def _request_of(self, topic: Any, wanted: int | SubscribeOptions) -> SubscriptionRequest:
        is_5 = self._protocol == MQTT_5
        if isinstance(wanted, SubscribeOptions):
            if is_5:
                return _request(topic, wanted)
            raise ValueError("Invalid QoS level.")
        if wanted < 0 or wanted > 2:
            raise ValueError("Invalid QoS level.")
        if not isinstance(topic, str) or not topic:
            raise ValueError("Invalid topic.")
        return SubscriptionRequest(topic, int(wanted))

    def unsubscribe(
        self, topic: str | list[str], properties: Properties | None = None
    ) -> tuple[MQTTErrorCode, int | None]:
        """Unsubscribe; returns ``(MQTT_ERR_SUCCESS, mid)``, or why not. ``on_unsubscribe`` tells that it is done.

        Args:
            topic: a topic filter, or a list of them.
            properties: of UNSUBSCRIBE (MQTT 5).

        Raises:
            ValueError: no filter.
        """
        filters = [topic] if isinstance(topic, str) else topic
        if not isinstance(filters, list):
            raise ValueError("No topic specified, or incorrect topic type.")
        for each in filters:
            if not isinstance(each, str) or not each:
                raise ValueError("Invalid topic.")
            topics.check_filter(each)
        if self._sock is None:
            return MQTT_ERR_NO_CONN, None
        said = to_wire(properties, codes.UNSUBSCRIBE) if self._protocol == MQTT_5 else None
        return self._ask(lambda mid: self._mqtt.unsubscribe(filters, said, packet_id=mid))

    def _ask(self, ask: Callable[[int], int]) -> tuple[MQTTErrorCode, int | None]:
        with self._out_message_mutex:
            mid = self._next_mid()
            if mid == 0:
                return MQTT_ERR_QUEUE_SIZE, None
            try:
                ask(mid)
            except NotConnected:
                self._mqtt.give_back(mid)
                return MQTT_ERR_NO_CONN, None
            except NotTaken as refusal:
                self._mqtt.give_back(mid)
                return _error_of(refusal), None
        return self._leave(), mid


def _request(topic: str, options: SubscribeOptions) -> SubscriptionRequest:
    return SubscriptionRequest(
        topic,
        options.QoS,
        no_local=bool(options.noLocal),
        retain_as_published=bool(options.retainAsPublished),
        retain_handling=options.retainHandling,
    )


def _error_of(refusal: NotTaken) -> MQTTErrorCode:
    is_too_large = refusal.reason_code == codes.ReasonCode.PACKET_TOO_LARGE
    return MQTT_ERR_PAYLOAD_SIZE if is_too_large else MQTT_ERR_NOT_SUPPORTED
