"""The way of bytes: from what a program wants to a socket, and from the socket to the callbacks.

Knows one socket at a time, and the client's end of the protocol. Knows not when there is something to read or to write:
``loops.py`` does, or an event loop of the program's.

Bytes are read and written in batches. All that one read brings goes through the protocol at once; then callbacks are
called one after the other, and then all that has gathered leaves in one write. If a callback raises, what came behind
it is told by the next call of a loop.
"""

import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Final

from telex.client.connection import ClientConnection, Publication
from telex.codes import MAX_PACKET_ID, MQTT_5
from telex.codes import ReasonCode as Code
from telex.errors import ProtocolError, Timeout
from telex.paho import trace
from telex.paho.enums import MQTTErrorCode
from telex.paho.message import MQTTMessageInfo, received
from telex.paho.names import (
    CONNACK,
    CONNACK_REFUSED_NOT_AUTHORIZED,
    MQTT_BRIDGE,
    MQTT_ERR_AGAIN,
    MQTT_ERR_CONN_LOST,
    MQTT_ERR_CONN_REFUSED,
    MQTT_ERR_KEEPALIVE,
    MQTT_ERR_NO_CONN,
    MQTT_ERR_NOT_SUPPORTED,
    MQTT_ERR_PAYLOAD_SIZE,
    MQTT_ERR_PROTOCOL,
    MQTT_ERR_SUCCESS,
    MQTT_LOG_DEBUG,
    MQTT_LOG_ERR,
    MQTTv31,
    MQTTv311,
)
from telex.paho.nonblocking import NeedsWriting, SocketLike, pending_of, receive, send
from telex.paho.packettypes import PacketTypes
from telex.paho.properties import Properties, from_wire
from telex.paho.reasoncodes import ReasonCode
from telex.paho.settings import LEAVING, ConnectionState, Settings, random_client_id
from telex.paho.sockets import open_socket
from telex.paho.waiting import ready
from telex.wire.packets import Auth, ConnAck, Connect, Disconnect, Packet, Publish, PubRec, SubAck, UnsubAck
from telex.wire.properties import Properties as WireProperties

_READ: Final = 65_536
"""Bytes of one read."""

_HANDFUL: Final = 128
"""Calls of a thread that publishes much, after which it sends what they have handed in itself."""

_FAREWELL: Final = 0.2
"""Seconds that a broker has to close the connection behind our DISCONNECT, before we do."""

_BREATH: Final = 0.05
"""Seconds of callbacks after which what they have published leaves, and the connection is kept alive."""

_OBJECTIONS: Final = {
    Code.PACKET_TOO_LARGE.value: MQTT_ERR_PAYLOAD_SIZE,
    Code.RETAIN_NOT_SUPPORTED.value: MQTT_ERR_NOT_SUPPORTED,
    Code.QOS_NOT_SUPPORTED.value: MQTT_ERR_NOT_SUPPORTED,
}
"""What CONNACK has said that the broker does not take. No acknowledgement carries these."""

_GLANCE: Final = 0.05
"""Seconds between two looks whether another thread has read what we wait for."""

_REFUSED_VERSION: Final = 1
_REFUSED_IDENTIFIER: Final = 2


class Transfer(Settings):
    """A client that moves bytes when it is told that it can."""

    _sock: SocketLike | None = None  # also of what could not be made: __del__ looks at it
    _sockpairR: socket.socket | None = None
    _sockpairW: socket.socket | None = None

    def __init__(self, manual_ack: bool, *settings: Any) -> None:
        super().__init__(*settings)
        # Whoever needs several takes them in this order.
        self._reading = threading.Lock()  # a socket, until the protocol has what came
        self._writing = threading.RLock()  # a socket, and what is on its way to it
        self._out_message_mutex = threading.RLock()  # the protocol's state
        # What these guard in paho, the last one guards here. Subclasses replace them all.
        self._in_message_mutex = threading.Lock()
        self._msgtime_mutex = threading.Lock()
        self._mid_generate_mutex = threading.Lock()
        self._reconnect_delay_mutex = threading.Lock()
        self._mqtt = ClientConnection(Connect(version=int(self._protocol)), acknowledges_at_once=False, holds=True)
        self._manual_ack = manual_ack
        self._thread: threading.Thread | None = None
        self._looping: int | None = None  # the thread in which a loop of ours runs
        self._is_woken = False  # a byte is on its way to it
        self._registered_write = False
        self._has_ended = True  # the connection, for whoever tells of it
        self._opened_at = 0.0
        self._moved_at = 0.0  # when bytes had left, as the last tick saw it
        self._has_moved = False  # bytes have left since then
        self._reconnect_delay: float | None = None
        # What leaves
        self._out_messages: dict[int, Publication] = {}  # above QoS 0, unfinished
        self._held: list[MQTTMessageInfo] = []  # of QoS 0, until CONNACK has come
        self._handed = 0  # calls of other threads than the loop's, whose frames wait
        self._gathered: list[MQTTMessageInfo] = []  # of QoS 0, in what the protocol will give
        self._unsent: bytes | memoryview = b""  # what it gave
        self._unsent_infos: list[MQTTMessageInfo] = []  # of QoS 0, in that
        self._departed: deque[MQTTMessageInfo] = deque()  # of QoS 0, to be told
        self._is_leaving = False  # a DISCONNECT was handed in
        self._goodbye: tuple[int, WireProperties | None] | None = None  # behind CONNACK, and what is told now
        self._has_loop = False  # the program has called a loop on this connection
        self._has_awaited = False  # CONNACK was waited for once
        # What comes
        self._events: deque[Packet | Publication] = deque()
        self._fault = MQTT_ERR_SUCCESS  # what ends the connection behind these
        self._reads_when_writable = False  # TLS has to say something first
        self._came_at = 0.0
        self._came = 0  # events in the last read, if that has left nothing behind
        self._told_at = 0.0
        self._unacknowledged: dict[int, Publish] = {}  # that wait for ``ack``

    def __del__(self) -> None:
        self._reset_sockets()

    # What programs look at in paho, though it has a line in front

    @property
    def _out_packet(self) -> list[bytes]:
        """What is to leave: empty if all has left."""
        return [bytes(self._unsent)] if self._has_unsent else []

    @property
    def _inflight_messages(self) -> int:
        """Messages above QoS 0 that are on their way."""
        return sum(1 for each in list(self._out_messages.values()) if each.packet_id > 0)

    # The socket

    def socket(self) -> SocketLike | None:
        """The socket of the connection; None if there is none."""
        return self._sock

    def reconnect(self) -> MQTTErrorCode:
        """Connect as before, or as ``connect_async`` has said. Waits for the connection, not for the broker's answer.

        Raises:
            ValueError: nobody has said where to, or what CONNECT shall say cannot be said.
            OSError: there is no connection.
        """
        if len(self._host) == 0:
            raise ValueError("Invalid host.")
        if self._port <= 0:
            raise ValueError("Invalid port number.")
        self._state = ConnectionState.MQTT_CS_CONNECTING
        try:
            self._sock_close()
            _lose(self._forget_connection())
            with self._callback_mutex:
                on_pre_connect = self.on_pre_connect
            if on_pre_connect is not None:
                self._call_now("on_pre_connect", on_pre_connect)
            connect = self._connect_packet()
            sock = open_socket(self._way())
        except BaseException:
            if self._state == ConnectionState.MQTT_CS_CONNECTING:
                self._state = ConnectionState.MQTT_CS_CONNECTION_LOST
            raise
        if self._state in LEAVING:  # another thread has called ``disconnect`` meanwhile
            sock.close()
            return MQTT_ERR_NO_CONN
        now = time.monotonic()
        with self._writing, self._out_message_mutex:
            other = self._sock  # of another thread that was quicker
            lost = self._forget_connection() if other is not None else []
            mqtt = self._mqtt
            mqtt.lost()
            mqtt.connect = connect
            mqtt.is_bridge = self._client_mode == MQTT_BRIDGE
            mqtt.most_in_flight = self._max_inflight_messages or MAX_PACKET_ID
            mqtt.opened(now)
            self._opened_at = self._moved_at = now
            self._has_moved = False
            self._registered_write = False
            self._has_ended = False
            self._sock = sock
        _lose(lost)
        if other is not None:
            self._close(other)
        self._tell_of_socket("open", sock, alone=True)
        return self._leave(waits=False)

    def _forget_connection(self) -> list[MQTTMessageInfo]:
        """Begin anew; returns what was to leave at QoS 0, and is lost."""
        with self._writing, self._out_message_mutex:
            lost = [*self._unsent_infos, *self._gathered, *self._held]
            self._unsent = b""
            self._unsent_infos = []
            self._gathered = []
            self._held = []
            self._is_leaving = False
            self._goodbye = None
            self._has_awaited = self._has_loop = False
            self._fault = MQTT_ERR_SUCCESS
            # Messages that came and were not told yet stay: nobody sends those of QoS 0 again.
            kept = [each for each in self._events if isinstance(each, Publish | Publication)]
            self._events.clear()
            self._events.extend(kept)
        return lost

    def _sock_close(self) -> None:
        """Close the connection, if there is one."""
        with self._writing, self._out_message_mutex:
            sock = self._sock
            self._sock = None
            if sock is None:
                return
            self._mqtt.lost()
        self._close(sock)

    def _close(self, sock: SocketLike) -> None:
        try:
            self._call_socket_unregister_write(sock)
            self._tell_of_socket("close", sock, alone=True)
        finally:
            sock.close()
            if self._looping is not None and self._looping != threading.get_ident():
                self._wake()  # it waits for that socket

    def _reset_sockets(self) -> None:
        if self._sock is not None:
            self._sock_close()
        for each in (self._sockpairR, self._sockpairW):
            if each is not None:
                each.close()
        self._sockpairR = self._sockpairW = None
        self._is_woken = False

    def _call_socket_register_write(self) -> None:
        sock = self._sock
        if sock is not None and not self._registered_write:
            self._registered_write = True
            self._tell_of_socket("register_write", sock, alone=False)

    def _call_socket_unregister_write(self, sock: SocketLike | None = None) -> None:
        sock = sock or self._sock
        if sock is not None and self._registered_write:
            self._registered_write = False
            self._tell_of_socket("unregister_write", sock, alone=False)

    def _loop_rc_handle(self, rc: MQTTErrorCode) -> MQTTErrorCode:
        """End the connection, unless all is well."""
        if rc > MQTT_ERR_SUCCESS:
            if not self._claims_end():  # another thread is about to
                return MQTT_ERR_NO_CONN
            self._sock_close()
            if self._state in LEAVING:
                self._state = ConnectionState.MQTT_CS_DISCONNECTED
                rc = MQTT_ERR_SUCCESS
            else:
                self._state = ConnectionState.MQTT_CS_CONNECTION_LOST
            self._tell_disconnected(rc)
        return rc

    def _claims_end(self) -> bool:
        """Whether the connection has not ended yet: from now on it has, and the caller tells of it."""
        with self._writing:
            is_first = not self._has_ended
            self._has_ended = True
            return is_first

    # What leaves

    def _leave(self, *, waits: bool = True) -> MQTTErrorCode:
        """Have what was handed in leave: by the loop that runs, by an event loop of the program's, or here and now."""
        is_alone = self._thread is None and self._on_socket_register_write is None
        # Not within a callback: who runs it sends that behind it.
        if is_alone and self._in_callback_mutex.acquire(False):
            self._in_callback_mutex.release()
            if waits:
                self._await_connack()
            return self._loop_write()
        if self._looping != threading.get_ident():
            if not self._is_woken:
                self._wake()
            self._handed += 1
            if self._handed >= _HANDFUL:
                self._push()
        if not self._registered_write:
            self._call_socket_register_write()
        return MQTT_ERR_SUCCESS

    def _push(self) -> None:
        """Send in the thread that publishes: if it is busy, the loop's thread gets its turn late."""
        self._handed = 0
        if self._on_socket_register_write is None and not self._is_leaving:
            self._send()  # what fails, the loop finds too
            if self._departed and not self._is_woken:
                self._wake()

    def _wake(self) -> None:
        """Have a loop of ours that waits in another thread look at what is to be done."""
        waker = self._sockpairW
        if waker is not None:
            self._is_woken = True
            try:
                waker.send(b"0")
            except OSError:  # full, or closed: it is awake, or there is none
                return

    def _await_connack(self) -> None:
        """Wait for what must come before what was handed in may leave.

        Programs without a loop connect, publish and end. Nobody else would read the CONNACK then.
        """
        mqtt, sock = self._mqtt, self._sock
        if self._has_awaited or mqtt.is_open or not (mqtt.has_held or self._goodbye):
            return
        if self._has_loop and self._goodbye is None:  # that reads it
            return
        self._has_awaited = True
        rc = self._packet_write()
        until = time.monotonic() + self._connect_timeout
        while rc <= MQTT_ERR_SUCCESS and mqtt.awaits_connack and sock is not None and self._sock is sock:
            left = until - time.monotonic()
            if left <= 0:
                return
            # Another thread may have taken in what we wait for, or connected anew.
            if pending_of(sock) > 0 or ready(sock, None, is_writing=False, timeout=min(left, _GLANCE))[0]:
                rc = self._take_in(sock)
        if mqtt.is_open:
            with self._out_message_mutex:
                mqtt.go_on()
        if self._events:
            self._wake()

    def _packet_write(self) -> MQTTErrorCode:
        """Send what is to leave, all of it in one go.

        Returns AGAIN if the socket does not take it.
        """
        until = time.monotonic() + _BREATH
        while True:
            sock = self._sock
            rc = self._send()
            if rc != MQTT_ERR_SUCCESS or sock is None:
                return rc
            self._tell_departed()
            if self._has_left():
                self._take_leave(sock)
                return MQTT_ERR_SUCCESS
            if not self._mqtt.has_frames:
                return MQTT_ERR_SUCCESS
            # Callbacks may publish on and on, and something may have come meanwhile: a loop comes back.
            if time.monotonic() > until and self._looping == threading.get_ident():
                return MQTT_ERR_SUCCESS

    def _send(self) -> MQTTErrorCode:
        """The same, without telling anybody."""
        with self._writing:
            sock = self._sock
            if sock is None:
                return MQTT_ERR_SUCCESS
            if not self._unsent:
                self._gather()
            while self._unsent:
                try:
                    sent = send(sock, self._unsent)
                except BlockingIOError:
                    return MQTT_ERR_AGAIN
                except OSError as error:
                    self._easy_log(MQTT_LOG_ERR, "failed to send on socket: %s", error)
                    return MQTT_ERR_CONN_LOST
                self._unsent = memoryview(self._unsent)[sent:] if sent < len(self._unsent) else b""
                self._has_moved = True
            self._departed.extend(self._unsent_infos)
            self._unsent_infos = []
        return MQTT_ERR_SUCCESS

    def _gather(self) -> None:
        with self._out_message_mutex:
            data = self._unsent = self._mqtt.take(time.monotonic())
            self._handed = 0
            if self._gathered:
                self._unsent_infos = self._gathered
                self._gathered = []
        if data and self._logs:
            for packet in trace.packets_of(data, self._mqtt.version):
                text, arguments = trace.line("Sending", packet, self._mqtt.version)
                self._easy_log(MQTT_LOG_DEBUG, text, *arguments)

    def _tell_departed(self) -> None:
        """Messages of QoS 0 have left."""
        departed = self._departed
        while departed:
            info = departed.popleft()
            try:
                if self.on_publish is not None:
                    self._tell_published(info.mid, None, None)
            finally:
                info._set_as_published()

    def _has_left(self) -> bool:
        """Whether our DISCONNECT has left; that is True once."""
        with self._writing:
            if not self._is_leaving or self._has_unsent:
                return False
            self._is_leaving = False
            return self._claims_end()

    def _take_leave(self, sock: SocketLike) -> None:
        """Close the connection behind our DISCONNECT."""
        with self._writing, suppress(OSError, ValueError):
            self._hear_out(sock)
        try:
            self._tell_disconnected(MQTT_ERR_SUCCESS)
        finally:
            self._sock_close()
            if self._state == ConnectionState.MQTT_CS_DISCONNECTING:
                self._state = ConnectionState.MQTT_CS_DISCONNECTED

    def _hear_out(self, sock: SocketLike) -> None:
        """Read what still comes, until the broker has closed the connection, as it does for our DISCONNECT.

        To close a socket in which something is unread resets the connection. What left last may be lost by that, and
        the will be published. Event loops of the program's are not held up: there, only what is here already is read.
        """
        until = time.monotonic() + (_FAREWELL if self._on_socket_register_write is None else 0.0)
        while True:
            try:
                if not receive(sock, _READ):
                    return
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0 or not ready(sock, None, is_writing=False, timeout=left)[0]:
                    return

    @property
    def _has_unsent(self) -> bool:
        return bool(self._unsent) or self._mqtt.has_frames

    def _loop_write(self) -> MQTTErrorCode:
        if self._sock is None:
            return MQTT_ERR_NO_CONN
        try:
            rc = self._packet_write()
            if rc == MQTT_ERR_AGAIN:
                return MQTT_ERR_SUCCESS
            return self._loop_rc_handle(rc)
        finally:
            if self._has_unsent or self._has_news or self._reads_when_writable:
                if not self._registered_write:
                    self._call_socket_register_write()
            elif self._registered_write:
                self._call_socket_unregister_write()

    # What comes

    def _packet_read(self, sock: SocketLike) -> MQTTErrorCode:
        """Read what has come, and tell of it.

        Returns AGAIN if there was nothing.
        """
        rc = self._tell() if self._has_news else MQTT_ERR_SUCCESS
        if rc != MQTT_ERR_SUCCESS or self._events:
            return rc
        while True:
            rc = self._take_in(sock)
            if rc != MQTT_ERR_SUCCESS:
                return rc
            rc = self._tell()
            if rc != MQTT_ERR_SUCCESS or self._sock is not sock or self._events or pending_of(sock) == 0:
                return rc

    def _take_in(self, sock: SocketLike) -> MQTTErrorCode:
        """Read once, and let the protocol have it."""
        with self._reading:
            self._reads_when_writable = False
            try:
                with self._writing:  # TLS is for one thread at a time
                    data = receive(sock, _READ)
            except NeedsWriting:
                self._reads_when_writable = True
                self._call_socket_register_write()
                return MQTT_ERR_AGAIN
            except BlockingIOError:
                return MQTT_ERR_AGAIN
            except OSError as error:
                self._easy_log(MQTT_LOG_ERR, "failed to receive on socket: %s", error)
                return MQTT_ERR_CONN_LOST
            if not data:
                return MQTT_ERR_CONN_LOST
            with self._out_message_mutex:
                if self._sock is not sock:  # another thread has connected anew
                    return MQTT_ERR_AGAIN
                mqtt = self._mqtt
                mqtt.tells_all = self._logs
                error_text = ""
                try:
                    mqtt.receive(data)
                except ProtocolError as error:
                    code = strange_refusal(data, mqtt.version)
                    if code:
                        self._events.append(ConnAck(code))
                    else:
                        self._fault = MQTT_ERR_PROTOCOL
                        error_text = str(error)
                events = mqtt.take_events()
                self._came = len(events) if len(data) < _READ else 0
                self._events.extend(events)
                if self._held and mqtt.is_open:
                    refused = {event.tag for event in events if isinstance(event, Publication)}
                    self._gathered = [info for info in self._held if info not in refused] + self._gathered
                    self._held = []
        self._came_at = time.monotonic()
        if error_text:
            self._easy_log(MQTT_LOG_ERR, "protocol error: %s", error_text)
        return MQTT_ERR_SUCCESS

    def _tell(self) -> MQTTErrorCode:
        """Tell of what has come, have what comes of that leave, and return how the connection ends, if it does."""
        if self._telling == threading.get_ident():  # a callback runs the loop: what comes is told behind it
            return MQTT_ERR_SUCCESS
        self._telling = threading.get_ident()
        try:
            rc = self._tell_events()
        finally:
            self._telling = None
        if rc != MQTT_ERR_SUCCESS or self._events:
            return rc
        fault, self._fault = self._fault, MQTT_ERR_SUCCESS
        if not self._has_unsent and not self._is_leaving:
            return fault
        if self._on_socket_register_write is None or fault:
            rc = self._packet_write()
            return fault or (MQTT_ERR_SUCCESS if rc == MQTT_ERR_AGAIN else rc)
        self._call_socket_register_write()
        return MQTT_ERR_SUCCESS

    def _tell_events(self) -> MQTTErrorCode:
        events = self._events
        self._told_at = time.monotonic()
        self._say_goodbye()
        logs = self._logs
        while True:
            try:
                event = events.popleft()
            except IndexError:  # also if another thread has connected anew
                return MQTT_ERR_SUCCESS
            if isinstance(event, Publish):
                if logs:
                    self._log_received(event)
                self._on_message_came(event)
            elif isinstance(event, Publication):
                self._on_published(event)
            else:
                rc = self._on_packet(event)
                if rc != MQTT_ERR_SUCCESS:
                    return rc
            if self._goodbye is not None:
                self._say_goodbye()
            if time.monotonic() - self._told_at > _BREATH and events:
                if self._on_socket_register_write is not None:  # others have their turn; it calls us again
                    self._call_socket_register_write()
                    return MQTT_ERR_SUCCESS
                self._breathe()

    @property
    def _has_news(self) -> bool:
        """Whether something that has come is to be told, or to be followed by something."""
        return bool(self._events) or self._fault != MQTT_ERR_SUCCESS or self._is_goodbye_due

    @property
    def _is_goodbye_due(self) -> bool:
        return self._goodbye is not None and self._mqtt.is_open and not self._mqtt.waits_to_go_on

    def _say_goodbye(self, *, anyway: bool = False) -> None:
        """Take leave, if that is due: behind the acknowledgement of the message whose callback wants it.

        Anyway: also before CONNACK, which does not come.
        """
        with self._out_message_mutex:
            goodbye = self._goodbye
            if goodbye is not None and (anyway or self._is_goodbye_due):
                self._goodbye = None
                self._mqtt.disconnect(*goodbye)
                self._is_leaving = True

    def _breathe(self) -> None:
        """Between two callbacks that take long: the connection is not to die of that."""
        now = self._told_at = time.monotonic()
        with self._out_message_mutex:
            try:
                self._mqtt.tick(now, is_reading=False)
            except Timeout:  # the next loop_misc finds that too
                return
        if not self._is_leaving:
            self._packet_write()

    def _on_message_came(self, packet: Publish) -> None:
        if self._state in LEAVING:  # paho would not have read it; a broker that kept the session sends it again
            self._disown(packet)
            return
        message = received(packet, self._came_at, has_properties=self._protocol == MQTT_5)
        if packet.qos == 0:
            self._tell_message(message)
            return
        if self._manual_ack:
            self._unacknowledged[packet.packet_id] = packet
        try:
            self._tell_message(message)
        except BaseException:
            self._disown(packet)
            raise
        if not self._manual_ack:
            with self._out_message_mutex:
                self._mqtt.acknowledge(packet)

    def _disown(self, packet: Publish) -> None:
        if packet.qos > 0:
            self._unacknowledged.pop(packet.packet_id, None)
            with self._out_message_mutex:
                self._mqtt.disown(packet)

    def ack(self, mid: int, qos: int) -> MQTTErrorCode:
        """Acknowledge a message, if the client was told not to do that itself (``manual_ack``).

        The acknowledgement leaves when those of all messages before it have.
        """
        if not self._manual_ack or qos not in (1, 2):
            return MQTT_ERR_SUCCESS
        with self._out_message_mutex:
            packet = self._unacknowledged.get(mid)
            if packet is not None and packet.qos == qos:
                del self._unacknowledged[mid]
                # Also without a connection: at QoS 2 it counts when the message comes again, which nobody is told.
                self._mqtt.acknowledge(packet)
        return MQTT_ERR_NO_CONN if self._sock is None else self._leave()

    def manual_ack_set(self, on: bool) -> None:
        """Say whether the program acknowledges messages by ``ack``; otherwise that is done behind ``on_message``."""
        self._manual_ack = on

    def _on_published(self, publication: Publication) -> None:
        """The broker has a message, or has refused it, or says that it does not take such ones."""
        mid, info = publication.own_id, publication.tag
        rc = _OBJECTIONS.get(publication.reason_code)
        try:
            if rc is None and self.on_publish is not None:
                answer = publication.answer
                packet_type = PacketTypes.PUBACK if publication.qos == 1 else PacketTypes.PUBCOMP
                if answer is None:  # it was released, and then the broker forgot the session
                    self._tell_published(mid, ReasonCode(packet_type), Properties(packet_type))
                else:
                    if isinstance(answer, PubRec):
                        packet_type = PacketTypes.PUBREC
                    reason = ReasonCode(packet_type, identifier=answer.reason_code)
                    self._tell_published(mid, reason, from_wire(answer.properties, packet_type))
        finally:
            with self._out_message_mutex:
                self._out_messages.pop(mid, None)
            if isinstance(info, MQTTMessageInfo):
                if rc is not None:
                    info.rc = rc
                info._set_as_published()

    def _on_packet(self, packet: Packet) -> MQTTErrorCode:
        if self._logs:
            self._log_received(packet)
        if isinstance(packet, SubAck):
            self._tell_subscribed(packet)
        elif isinstance(packet, UnsubAck):
            self._tell_unsubscribed(packet)
        elif isinstance(packet, ConnAck):
            return self._on_connack(packet)
        elif isinstance(packet, Disconnect):
            self._on_disconnected(packet)
        elif isinstance(packet, Auth):  # paho's interface has no way to answer it
            self._easy_log(MQTT_LOG_ERR, "the broker wants to be answered an AUTH packet")
            return MQTT_ERR_PROTOCOL
        return MQTT_ERR_SUCCESS

    def _on_connack(self, packet: ConnAck) -> MQTTErrorCode:
        code = packet.reason_code
        if self._protocol == MQTTv311:
            if code == _REFUSED_VERSION:
                self._easy_log(MQTT_LOG_DEBUG, "the broker does not speak MQTT 3.1.1; trying 3.1")
                return self._try_as(protocol=MQTTv31) if self._reconnect_on_failure else MQTT_ERR_PROTOCOL
            if code == _REFUSED_IDENTIFIER and self._client_id == b"":
                self._easy_log(MQTT_LOG_DEBUG, "the broker gives no client ids; trying one of ours")
                return self._try_as(client_id=random_client_id()) if self._reconnect_on_failure else MQTT_ERR_PROTOCOL
        if code != 0:
            self._tell_connected(packet)
            return MQTT_ERR_CONN_REFUSED if code < 6 else MQTT_ERR_PROTOCOL
        if self._state not in LEAVING:
            self._state = ConnectionState.MQTT_CS_CONNECTED
        self._reconnect_delay = None
        self._mqttv5_first_connect = False
        server = packet.properties
        if server is not None:
            if server.server_keep_alive is not None:
                self._keepalive = server.server_keep_alive
            if server.assigned_client_identifier is not None:
                self._client_id = server.assigned_client_identifier.encode()
        try:
            self._tell_connected(packet)
        finally:
            with self._out_message_mutex:
                self._mqtt.go_on()
        return MQTT_ERR_SUCCESS

    def _try_as(self, *, protocol: Any = None, client_id: str = "") -> MQTTErrorCode:
        """Connect once more in another way: this broker does not know the first."""
        if protocol is not None:
            self._protocol = protocol
        else:
            self._client_id = client_id.encode()
        try:
            return self.reconnect()
        except OSError:  # a loop goes on: for it this is a connection lost
            self._tell_connect_failed()
            return MQTT_ERR_CONN_LOST

    def _on_disconnected(self, packet: Disconnect) -> None:
        """The broker has taken leave (MQTT 5)."""
        if not self._claims_end():
            return
        self._sock_close()
        self._state = (
            ConnectionState.MQTT_CS_DISCONNECTED if self._state in LEAVING else ConnectionState.MQTT_CS_CONNECTION_LOST
        )
        self._tell_disconnected(MQTT_ERR_SUCCESS, packet)

    def _log_received(self, packet: Packet) -> None:
        text, arguments = trace.line("Received", packet, self._mqtt.version)
        self._easy_log(MQTT_LOG_DEBUG, text, *arguments)

    # Being there

    def _look_once_more(self) -> MQTTErrorCode:
        """Read before a broker is called dead: its answer may wait while callbacks take their time.

        Returns AGAIN if there was nothing.
        """
        sock = self._sock
        if sock is None:
            return MQTT_ERR_NO_CONN
        rc = self._take_in(sock)
        if rc == MQTT_ERR_SUCCESS:
            rc = self._tell()
        return rc if rc == MQTT_ERR_AGAIN else self._loop_rc_handle(rc)

    @property
    def _is_waited_for(self) -> bool:
        """Whether something is to leave behind CONNACK, which may still come."""
        mqtt = self._mqtt
        has_something = mqtt.has_held or self._goodbye is not None
        return (
            has_something
            and (mqtt.awaits_connack or mqtt.waits_to_go_on)
            and time.monotonic() - self._opened_at < self._connect_timeout
        )

    def _keep_alive(self) -> MQTTErrorCode:
        """Ask whether the broker is there, if it is time for that; end the connection if it is not."""
        now = time.monotonic()
        if self._has_moved:
            self._moved_at = now
        is_sending = self._has_moved and bool(self._unsent)
        self._has_moved = False
        mqtt = self._mqtt
        try:
            with self._out_message_mutex:
                mqtt.tick(now, is_reading=not self._events, is_sending=is_sending)
                # Before CONNACK, and behind DISCONNECT, nobody is asked whether he is there.
                is_late = 0 < self._keepalive <= now - self._moved_at and not mqtt.is_open
                if mqtt.awaits_connack and now - self._opened_at >= self._connect_timeout:
                    self._say_goodbye(anyway=True)
        except Timeout as error:
            rc = self._look_once_more()
            if rc != MQTT_ERR_AGAIN:
                return rc
            self._easy_log(MQTT_LOG_ERR, "%s", error)
            is_late = True
        if is_late:
            self._loop_rc_handle(MQTT_ERR_KEEPALIVE)
            return MQTT_ERR_CONN_LOST
        if self._mqtt.has_frames:
            if self._on_socket_register_write is not None:
                self._call_socket_register_write()
            else:
                return self._loop_write()
        return MQTT_ERR_SUCCESS


def _lose(infos: list[MQTTMessageInfo]) -> None:
    """Messages of QoS 0 have not left, and will not: who waits for them is told."""
    for info in infos:
        info.rc = MQTT_ERR_CONN_LOST
        info._set_as_published()


def strange_refusal(data: bytes, version: int) -> int:
    """The return code of a CONNACK that is none before MQTT 5, but a refusal all the same; 0 for anything else."""
    is_one = version != MQTT_5 and len(data) >= 4 and data[0] == CONNACK and data[1] == 2
    return data[3] if is_one and data[3] > CONNACK_REFUSED_NOT_AUTHORIZED else 0
