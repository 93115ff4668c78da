"""The callbacks of a client: where they are kept, and how each version of the interface calls them.

Knows what a callback is given, and that only one runs at a time. Knows no connection.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from telex.codes import MQTT_5
from telex.paho.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion
from telex.paho.matcher import MQTTMatcher
from telex.paho.message import (
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    convert_connack_rc_to_reason_code,
    convert_disconnect_error_code_to_reason_code,
)
from telex.paho.names import LOGGING_LEVEL, MQTT_LOG_ERR
from telex.paho.nonblocking import SocketLike
from telex.paho.packettypes import PacketTypes
from telex.paho.properties import Properties, from_wire
from telex.paho.reasoncodes import ReasonCode
from telex.wire.packets import ConnAck, Disconnect, SubAck, UnsubAck

# The first argument is the client; Any, so that a program may name a class of its own there.
CallbackOnConnect_v1_mqtt3 = Callable[[Any, Any, dict[str, Any], MQTTErrorCode], None]
CallbackOnConnect_v1_mqtt5 = Callable[[Any, Any, dict[str, Any], ReasonCode, Properties | None], None]
CallbackOnConnect_v1 = CallbackOnConnect_v1_mqtt5 | CallbackOnConnect_v1_mqtt3
CallbackOnConnect_v2 = Callable[[Any, Any, ConnectFlags, ReasonCode, Properties | None], None]
CallbackOnConnect = CallbackOnConnect_v1 | CallbackOnConnect_v2
CallbackOnConnectFail = Callable[[Any, Any], None]
CallbackOnDisconnect_v1_mqtt3 = Callable[[Any, Any, MQTTErrorCode], None]
CallbackOnDisconnect_v1_mqtt5 = Callable[[Any, Any, ReasonCode | int | None, Properties | None], None]
CallbackOnDisconnect_v1 = CallbackOnDisconnect_v1_mqtt3 | CallbackOnDisconnect_v1_mqtt5
CallbackOnDisconnect_v2 = Callable[[Any, Any, DisconnectFlags, ReasonCode, Properties | None], None]
CallbackOnDisconnect = CallbackOnDisconnect_v1 | CallbackOnDisconnect_v2
CallbackOnLog = Callable[[Any, Any, int, str], None]
CallbackOnMessage = Callable[[Any, Any, MQTTMessage], None]
CallbackOnPreConnect = Callable[[Any, Any], None]
CallbackOnPublish_v1 = Callable[[Any, Any, int], None]
CallbackOnPublish_v2 = Callable[[Any, Any, int, ReasonCode, Properties], None]
CallbackOnPublish = CallbackOnPublish_v1 | CallbackOnPublish_v2
CallbackOnSocket = Callable[[Any, Any, SocketLike], None]
CallbackOnSubscribe_v1_mqtt3 = Callable[[Any, Any, int, tuple[int, ...]], None]
CallbackOnSubscribe_v1_mqtt5 = Callable[[Any, Any, int, list[ReasonCode], Properties], None]
CallbackOnSubscribe_v1 = CallbackOnSubscribe_v1_mqtt3 | CallbackOnSubscribe_v1_mqtt5
CallbackOnSubscribe_v2 = Callable[[Any, Any, int, list[ReasonCode], Properties | None], None]
CallbackOnSubscribe = CallbackOnSubscribe_v1 | CallbackOnSubscribe_v2
CallbackOnUnsubscribe_v1_mqtt3 = Callable[[Any, Any, int], None]
CallbackOnUnsubscribe_v1_mqtt5 = Callable[[Any, Any, int, Properties, ReasonCode | list[ReasonCode]], None]
CallbackOnUnsubscribe_v1 = CallbackOnUnsubscribe_v1_mqtt3 | CallbackOnUnsubscribe_v1_mqtt5
CallbackOnUnsubscribe_v2 = Callable[[Any, Any, int, list[ReasonCode], Properties | None], None]
CallbackOnUnsubscribe = CallbackOnUnsubscribe_v1 | CallbackOnUnsubscribe_v2

_C = TypeVar("_C", bound=Callable[..., None])


class Callbacks:
    """What a program wants to be told."""

    suppress_exceptions: bool

    def __init__(self, version: CallbackAPIVersion, protocol: MQTTProtocolVersion, userdata: Any) -> None:
        self._callback_api_version = version
        self._protocol = protocol
        self._userdata = userdata
        self._logger: logging.Logger | None = None
        self.suppress_exceptions = False  # what callbacks raise is logged only
        self._in_callback_mutex = threading.Lock()  # one callback at a time; it is held while one runs
        self._callback_mutex = threading.RLock()  # the callbacks themselves
        self._calling: int | None = None  # the thread in which a callback runs
        self._telling: int | None = None  # the thread that tells what has come
        self._on_message_filtered = MQTTMatcher()
        self._has_topic_callbacks = False
        self._on_log: CallbackOnLog | None = None
        self._on_pre_connect: CallbackOnPreConnect | None = None
        self._on_connect: CallbackOnConnect | None = None
        self._on_connect_fail: CallbackOnConnectFail | None = None
        self._on_subscribe: CallbackOnSubscribe | None = None
        self._on_message: CallbackOnMessage | None = None
        self._on_publish: CallbackOnPublish | None = None
        self._on_unsubscribe: CallbackOnUnsubscribe | None = None
        self._on_disconnect: CallbackOnDisconnect | None = None
        self._on_socket_open: CallbackOnSocket | None = None
        self._on_socket_close: CallbackOnSocket | None = None
        self._on_socket_register_write: CallbackOnSocket | None = None
        self._on_socket_unregister_write: CallbackOnSocket | None = None

    @property
    def callback_api_version(self) -> CallbackAPIVersion:
        """How callbacks are called."""
        return self._callback_api_version

    def user_data_set(self, userdata: Any) -> None:
        """Set what callbacks get as ``userdata``."""
        self._userdata = userdata

    def user_data_get(self) -> Any:
        """What callbacks get as ``userdata``."""
        return self._userdata

    # The log

    @property
    def logger(self) -> logging.Logger | None:
        """Where the log goes besides ``on_log``."""
        return self._logger

    @logger.setter
    def logger(self, value: logging.Logger | None) -> None:
        self._logger = value

    def enable_logger(self, logger: logging.Logger | None = None) -> None:
        """Write the log to this logger; without one, to that which is in use, or to paho's own."""
        if logger is None:
            if self._logger is not None:
                return
            logger = logging.getLogger("paho.mqtt.client")  # for which programs set levels and filters
        self.logger = logger

    def disable_logger(self) -> None:
        """Write the log to no logger. ``on_log`` is called all the same."""
        self._logger = None

    @property
    def _logs(self) -> bool:
        """Whether anybody wants the log."""
        return self._logger is not None or self.on_log is not None

    def _easy_log(self, level: LogLevel, fmt: str, *args: Any) -> None:
        """Log a line."""
        on_log = self.on_log
        if on_log is not None:
            try:
                on_log(self, self._userdata, level, fmt % args if args else fmt)
            except Exception as error:
                # Not by on_log again; and whoever looks into the log must not end the connection.
                if self._logger is not None:
                    self._logger.error("Caught exception in on_log: %s", error)
        if self._logger is not None:
            self._logger.log(LOGGING_LEVEL[level], fmt, *args)

    # The callbacks, and a decorator for each

    @property
    def on_log(self) -> CallbackOnLog | None:
        """Called with ``(client, userdata, level, buf)`` for each line of the log; levels are ``MQTT_LOG_...``."""
        return self._on_log

    @on_log.setter
    def on_log(self, func: CallbackOnLog | None) -> None:
        self._on_log = func

    def log_callback(self) -> Callable[[CallbackOnLog], CallbackOnLog]:
        """Decorate what becomes ``on_log``."""
        return self._decorator("on_log")

    @property
    def on_pre_connect(self) -> CallbackOnPreConnect | None:
        """Called with ``(client, userdata)`` before each connection is opened."""
        return self._on_pre_connect

    @on_pre_connect.setter
    def on_pre_connect(self, func: CallbackOnPreConnect | None) -> None:
        with self._callback_mutex:
            self._on_pre_connect = func

    def pre_connect_callback(self) -> Callable[[CallbackOnPreConnect], CallbackOnPreConnect]:
        """Decorate what becomes ``on_pre_connect``."""
        return self._decorator("on_pre_connect")

    @property
    def on_connect(self) -> CallbackOnConnect | None:
        """Called when the broker has answered a CONNECT, whatever it said.

        VERSION2: ``(client, userdata, connect_flags, reason_code, properties)``. VERSION1: ``(client, userdata, flags,
        rc)``, with MQTT 5 ``(client, userdata, flags, reason_code, properties)``; flags is ``{"session present": 0}``,
        or 1.
        """
        return self._on_connect

    @on_connect.setter
    def on_connect(self, func: CallbackOnConnect | None) -> None:
        with self._callback_mutex:
            self._on_connect = func

    def connect_callback(self) -> Callable[[CallbackOnConnect], CallbackOnConnect]:
        """Decorate what becomes ``on_connect``."""
        return self._decorator("on_connect")

    @property
    def on_connect_fail(self) -> CallbackOnConnectFail | None:
        """Called with ``(client, userdata)`` when the loop could not open a connection."""
        return self._on_connect_fail

    @on_connect_fail.setter
    def on_connect_fail(self, func: CallbackOnConnectFail | None) -> None:
        with self._callback_mutex:
            self._on_connect_fail = func

    def connect_fail_callback(self) -> Callable[[CallbackOnConnectFail], CallbackOnConnectFail]:
        """Decorate what becomes ``on_connect_fail``."""
        return self._decorator("on_connect_fail")

    @property
    def on_subscribe(self) -> CallbackOnSubscribe | None:
        """Called when the broker has answered a SUBSCRIBE.

        VERSION2: ``(client, userdata, mid, reason_codes, properties)``. VERSION1: ``(client, userdata, mid,
        granted_qos)``, with MQTT 5 ``(client, userdata, mid, reason_codes, properties)``.
        """
        return self._on_subscribe

    @on_subscribe.setter
    def on_subscribe(self, func: CallbackOnSubscribe | None) -> None:
        with self._callback_mutex:
            self._on_subscribe = func

    def subscribe_callback(self) -> Callable[[CallbackOnSubscribe], CallbackOnSubscribe]:
        """Decorate what becomes ``on_subscribe``."""
        return self._decorator("on_subscribe")

    @property
    def on_message(self) -> CallbackOnMessage | None:
        """Called with ``(client, userdata, message)`` for each message that no topic callback matches."""
        return self._on_message

    @on_message.setter
    def on_message(self, func: CallbackOnMessage | None) -> None:
        with self._callback_mutex:
            self._on_message = func

    def message_callback(self) -> Callable[[CallbackOnMessage], CallbackOnMessage]:
        """Decorate what becomes ``on_message``."""
        return self._decorator("on_message")

    @property
    def on_publish(self) -> CallbackOnPublish | None:
        """Called when a message is published: it has left at QoS 0, the broker has it above that.

        VERSION2: ``(client, userdata, mid, reason_code, properties)``. VERSION1: ``(client, userdata, mid)``.
        """
        return self._on_publish

    @on_publish.setter
    def on_publish(self, func: CallbackOnPublish | None) -> None:
        with self._callback_mutex:
            self._on_publish = func

    def publish_callback(self) -> Callable[[CallbackOnPublish], CallbackOnPublish]:
        """Decorate what becomes ``on_publish``."""
        return self._decorator("on_publish")

    @property
    def on_unsubscribe(self) -> CallbackOnUnsubscribe | None:
        """Called when the broker has answered an UNSUBSCRIBE.

        VERSION2: ``(client, userdata, mid, reason_codes, properties)``. VERSION1: ``(client, userdata, mid)``, with
        MQTT 5 ``(client, userdata, mid, properties, reason_codes)``, where one code is not in a list.
        """
        return self._on_unsubscribe

    @on_unsubscribe.setter
    def on_unsubscribe(self, func: CallbackOnUnsubscribe | None) -> None:
        with self._callback_mutex:
            self._on_unsubscribe = func

    def unsubscribe_callback(self) -> Callable[[CallbackOnUnsubscribe], CallbackOnUnsubscribe]:
        """Decorate what becomes ``on_unsubscribe``."""
        return self._decorator("on_unsubscribe")

    @property
    def on_disconnect(self) -> CallbackOnDisconnect | None:
        """Called when a connection has ended.

        VERSION2: ``(client, userdata, flags, reason_code, properties)``. VERSION1: ``(client, userdata, rc)``,
        with MQTT 5 ``(client, userdata, reason_code, properties)``. Its code is 0 if ``disconnect`` was called.
        """
        return self._on_disconnect

    @on_disconnect.setter
    def on_disconnect(self, func: CallbackOnDisconnect | None) -> None:
        with self._callback_mutex:
            self._on_disconnect = func

    def disconnect_callback(self) -> Callable[[CallbackOnDisconnect], CallbackOnDisconnect]:
        """Decorate what becomes ``on_disconnect``."""
        return self._decorator("on_disconnect")

    @property
    def on_socket_open(self) -> CallbackOnSocket | None:
        """Called with a socket that was just opened: an event loop of the program's begins to read from it."""
        return self._on_socket_open

    @on_socket_open.setter
    def on_socket_open(self, func: CallbackOnSocket | None) -> None:
        with self._callback_mutex:
            self._on_socket_open = func

    def socket_open_callback(self) -> Callable[[CallbackOnSocket], CallbackOnSocket]:
        """Decorate what becomes ``on_socket_open``."""
        return self._decorator("on_socket_open")

    @property
    def on_socket_close(self) -> CallbackOnSocket | None:
        """Called with a socket that is about to be closed, and is open still."""
        return self._on_socket_close

    @on_socket_close.setter
    def on_socket_close(self, func: CallbackOnSocket | None) -> None:
        with self._callback_mutex:
            self._on_socket_close = func

    def socket_close_callback(self) -> Callable[[CallbackOnSocket], CallbackOnSocket]:
        """Decorate what becomes ``on_socket_close``."""
        return self._decorator("on_socket_close")

    @property
    def on_socket_register_write(self) -> CallbackOnSocket | None:
        """Called with a socket that shall be written: an event loop calls ``loop_write`` when it can."""
        return self._on_socket_register_write

    @on_socket_register_write.setter
    def on_socket_register_write(self, func: CallbackOnSocket | None) -> None:
        with self._callback_mutex:
            self._on_socket_register_write = func

    def socket_register_write_callback(self) -> Callable[[CallbackOnSocket], CallbackOnSocket]:
        """Decorate what becomes ``on_socket_register_write``."""
        return self._decorator("on_socket_register_write")

    @property
    def on_socket_unregister_write(self) -> CallbackOnSocket | None:
        """Called with a socket that need not be written any more."""
        return self._on_socket_unregister_write

    @on_socket_unregister_write.setter
    def on_socket_unregister_write(self, func: CallbackOnSocket | None) -> None:
        with self._callback_mutex:
            self._on_socket_unregister_write = func

    def socket_unregister_write_callback(self) -> Callable[[CallbackOnSocket], CallbackOnSocket]:
        """Decorate what becomes ``on_socket_unregister_write``."""
        return self._decorator("on_socket_unregister_write")

    def message_callback_add(self, sub: str, callback: CallbackOnMessage) -> None:
        """Have messages whose topics match a filter go to this callback; it is called as ``on_message``.

        Raises:
            ValueError: one of them is None.
        """
        if callback is None or sub is None:
            raise ValueError("sub and callback must both be defined.")
        with self._callback_mutex:
            self._on_message_filtered[sub] = callback
            self._has_topic_callbacks = True

    def topic_callback(self, sub: str) -> Callable[[CallbackOnMessage], CallbackOnMessage]:
        """Decorate what gets messages whose topics match a filter."""

        def decorate(callback: CallbackOnMessage) -> CallbackOnMessage:
            self.message_callback_add(sub, callback)
            return callback

        return decorate

    def message_callback_remove(self, sub: str) -> None:
        """Undo ``message_callback_add``, if there was one.

        Raises:
            ValueError: the filter is None.
        """
        if sub is None:
            raise ValueError("sub must defined.")
        with self._callback_mutex:
            try:
                del self._on_message_filtered[sub]
            except KeyError:
                return

    def _decorator(self, name: str) -> Callable[[_C], _C]:
        def decorate(callback: _C) -> _C:
            setattr(self, name, callback)
            return callback

        return decorate

    # How they are called

    def _call(self, name: str, callback: Callable[..., None], *args: Any) -> None:
        """Call one; the others wait."""
        if self._calling == threading.get_ident():  # within another one, which is not to wait for its own end
            self._call_now(name, callback, *args)
            return
        with self._in_callback_mutex:
            self._calling = threading.get_ident()
            try:
                self._call_now(name, callback, *args)
            finally:
                self._calling = None

    def _call_now(self, name: str, callback: Callable[..., None], *args: Any) -> None:
        try:
            callback(self, self._userdata, *args)
        except Exception as error:
            self._easy_log(MQTT_LOG_ERR, "Caught exception in %s: %s", name, error)
            if not self.suppress_exceptions:
                raise

    @property
    def _is_version_1(self) -> bool:
        if self._callback_api_version == CallbackAPIVersion.VERSION1:
            return True
        if self._callback_api_version == CallbackAPIVersion.VERSION2:
            return False
        raise RuntimeError("Unsupported callback API version")

    def _tell_message(self, message: MQTTMessage) -> None:
        """Give a message to those whom its topic concerns."""
        if self._has_topic_callbacks:
            with self._callback_mutex:
                callbacks = list(self._on_message_filtered.iter_match(message.topic))
            for callback in callbacks:
                name = getattr(callback, "__name__", repr(callback))
                self._call(f"user defined callback function {name}", callback, message)
            if callbacks:
                return
        on_message = self.on_message  # not _on_message: in a subclass it may be a method
        if on_message is not None:
            with self._in_callback_mutex:
                self._calling = self._telling
                try:
                    on_message(self, self._userdata, message)
                except Exception as error:
                    self._easy_log(MQTT_LOG_ERR, "Caught exception in on_message: %s", error)
                    if not self.suppress_exceptions:
                        raise
                finally:
                    self._calling = None

    def _tell_connected(self, packet: ConnAck) -> None:
        with self._callback_mutex:
            on_connect = self.on_connect
        if on_connect is None:
            return
        is_5 = self._protocol == MQTT_5
        # 1: a broker that does not speak MQTT 5 says so in its own words.
        if is_5 and packet.reason_code != 1:
            reason = ReasonCode(PacketTypes.CONNACK, identifier=packet.reason_code)
        else:
            reason = convert_connack_rc_to_reason_code(packet.reason_code)
        properties: Properties | None = from_wire(packet.properties, PacketTypes.CONNACK)
        if not self._is_version_1:
            self._call("on_connect", on_connect, ConnectFlags(packet.session_present), reason, properties)
        elif is_5:
            if packet.reason_code == 1:
                properties = None
            self._call("on_connect", on_connect, {"session present": int(packet.session_present)}, reason, properties)
        else:
            flags = {"session present": int(packet.session_present)}
            self._call("on_connect", on_connect, flags, packet.reason_code)

    def _tell_connect_failed(self) -> None:
        with self._callback_mutex:
            on_connect_fail = self.on_connect_fail
        if on_connect_fail is not None:
            with suppress(Exception):  # it was logged, and the loop is to try again
                self._call("on_connect_fail", on_connect_fail)

    def _tell_disconnected(self, rc: MQTTErrorCode, packet: Disconnect | None = None) -> None:
        """A connection has ended: in that way, or by this packet of the broker's."""
        with self._callback_mutex:
            on_disconnect = self.on_disconnect
        if on_disconnect is None:
            return
        reason: ReasonCode | None = None
        properties: Properties | None = None
        if packet is not None:
            reason = ReasonCode(PacketTypes.DISCONNECT, identifier=packet.reason_code)
            if packet.properties is not None:
                properties = from_wire(packet.properties, PacketTypes.DISCONNECT)
        if self._is_version_1:
            if packet is not None and packet.reason_code == 0 and properties is None:  # it said nothing
                self._call("on_disconnect", on_disconnect, None, None)
            elif self._protocol == MQTT_5:
                self._call("on_disconnect", on_disconnect, rc if reason is None else reason, properties)
            else:
                self._call("on_disconnect", on_disconnect, rc)
        else:
            self._call(
                "on_disconnect",
                on_disconnect,
                DisconnectFlags(packet is not None),
                reason or convert_disconnect_error_code_to_reason_code(rc),
                properties or Properties(PacketTypes.DISCONNECT),
            )

    def _tell_published(self, mid: int, reason_code: ReasonCode | None, properties: Properties | None) -> None:
        """A message is published; None: there is no acknowledgement that says how."""
        with self._callback_mutex:
            on_publish = self.on_publish
        if on_publish is None:
            return
        if self._is_version_1:
            self._call("on_publish", on_publish, mid)
        else:
            self._call(
                "on_publish",
                on_publish,
                mid,
                reason_code or ReasonCode(PacketTypes.PUBACK),
                properties or Properties(PacketTypes.PUBACK),
            )

    def _tell_subscribed(self, packet: SubAck) -> None:
        with self._callback_mutex:
            on_subscribe = self.on_subscribe
        if on_subscribe is None:
            return
        if self._is_version_1 and self._protocol != MQTT_5:
            self._call("on_subscribe", on_subscribe, packet.packet_id, tuple(packet.reason_codes))
            return
        reasons = [ReasonCode(PacketTypes.SUBACK, identifier=each) for each in packet.reason_codes]
        properties = from_wire(packet.properties, PacketTypes.SUBACK)
        self._call("on_subscribe", on_subscribe, packet.packet_id, reasons, properties)

    def _tell_unsubscribed(self, packet: UnsubAck) -> None:
        with self._callback_mutex:
            on_unsubscribe = self.on_unsubscribe
        if on_unsubscribe is None:
            return
        if self._is_version_1 and self._protocol != MQTT_5:
            self._call("on_unsubscribe", on_unsubscribe, packet.packet_id)
            return
        reasons = [ReasonCode(PacketTypes.UNSUBACK, identifier=each) for each in packet.reason_codes]
        properties = from_wire(packet.properties, PacketTypes.UNSUBACK)
        if self._is_version_1:
            one_or_all = reasons[0] if len(reasons) == 1 else reasons
            self._call("on_unsubscribe", on_unsubscribe, packet.packet_id, properties, one_or_all)
        else:
            self._call("on_unsubscribe", on_unsubscribe, packet.packet_id, reasons, properties)

    def _tell_of_socket(self, event: str, sock: SocketLike, *, alone: bool) -> None:
        """Something is to be done with a socket; alone: not beside another callback."""
        name = f"on_socket_{event}"
        with self._callback_mutex:
            callback = getattr(self, name)
        if callback is None:
            return
        if alone:
            self._call(name, callback, sock)
        else:
            self._call_now(name, callback, sock)
