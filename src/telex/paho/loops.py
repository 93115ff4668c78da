"""When bytes are moved: by loops of ours, in this thread or one of their own, or by an event loop of the program's.

Knows time, threads and waiting. Knows no packet.
"""

import socket
import threading
import time
from contextlib import suppress
from typing import Any, Final

from telex.paho.enums import MQTTErrorCode
from telex.paho.names import (
    MQTT_ERR_AGAIN,
    MQTT_ERR_CONN_LOST,
    MQTT_ERR_INVAL,
    MQTT_ERR_NO_CONN,
    MQTT_ERR_NOMEM,
    MQTT_ERR_SUCCESS,
    MQTT_LOG_DEBUG,
    MQTT_LOG_ERR,
)
from telex.paho.nonblocking import SocketLike, pending_of
from telex.paho.settings import LEAVING, ConnectionState
from telex.paho.transfer import Transfer
from telex.paho.waiting import awake, ready

# Whoever keeps up with a fast stream would be woken for every few messages of it, at a cost for the broker too.
# A moment later there are more: through Mosquitto, on two cores, 1.4 times as many a second for two thirds of the work.
_STREAM: Final = 16  # messages in one read
_MOMENT: Final = 0.0005  # seconds


class Loops(Transfer):
    """A client that knows when to move bytes."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self._reconnect_min_delay: float = 1
        self._reconnect_max_delay: float = 120
        self._thread_terminate = False

    # For event loops of the program's

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read what has come, and call callbacks: for an event loop that found the socket readable.

        All that has come is read; ``max_packets`` says nothing any more, in paho neither.
        """
        sock = self._sock
        if sock is None:
            return MQTT_ERR_NO_CONN
        self._has_loop = True
        rc = self._packet_read(sock)
        return MQTT_ERR_SUCCESS if rc == MQTT_ERR_AGAIN else self._loop_rc_handle(rc)

    def loop_write(self) -> MQTTErrorCode:
        """Send what is to leave: for an event loop that found the socket writable."""
        sock = self._sock
        if sock is not None and (self._has_news or self._reads_when_writable):
            rc = self.loop_read() if self._reads_when_writable else self._loop_rc_handle(self._tell())
            if rc != MQTT_ERR_SUCCESS or self._sock is None:
                return rc
        return self._loop_write()

    def want_write(self) -> bool:
        """Whether ``loop_write`` has something to do."""
        return self._has_unsent or self._has_news or self._reads_when_writable

    def loop_misc(self) -> MQTTErrorCode:
        """Keep the connection alive, or notice that it is dead: for an event loop, about every second."""
        sock = self._sock
        if sock is None:
            return MQTT_ERR_NO_CONN
        self._has_loop = True
        if self._has_news:  # a callback has raised, and others come behind it
            rc = self._loop_rc_handle(self._tell())
            if rc != MQTT_ERR_SUCCESS or self._sock is None:
                return rc
        return self._keep_alive()

    # Loops of ours

    def loop(self, timeout: float = 1.0) -> MQTTErrorCode:
        """Wait that many seconds at most, read, write and call callbacks. To be called again and again.

        Raises:
            ValueError: less than 0 seconds.
        """
        if self._sock is None and self._state not in LEAVING:
            self._easy_log(MQTT_LOG_ERR, "there is no connection: loop() needs connect(), or reconnect(), before it")
        return self._loop(timeout)

    def _loop(self, timeout: float = 1.0) -> MQTTErrorCode:
        if timeout < 0.0:
            raise ValueError("Invalid timeout.")
        self._make_waker()
        outer, self._looping = self._looping, threading.get_ident()
        try:
            return self._loop_once(timeout)
        finally:
            self._looping = outer

    def _loop_once(self, timeout: float) -> MQTTErrorCode:
        until = time.monotonic() + timeout
        while True:
            sock = self._sock
            if sock is None:
                return MQTT_ERR_NO_CONN
            left = until - time.monotonic()
            has_something, rc = self._move(sock, min(left, self._mqtt.tick_seconds))
            if rc != MQTT_ERR_SUCCESS or self._sock is None:
                return rc
            rc = self.loop_misc()
            if rc != MQTT_ERR_SUCCESS or has_something or left <= self._mqtt.tick_seconds:
                return rc

    def _move(self, sock: SocketLike, timeout: float) -> tuple[bool, MQTTErrorCode]:
        """Wait for a socket, then read and write; whether there was something to do, and how the connection is."""
        has_more = self._has_news or pending_of(sock) > 0
        try:
            can_read, can_write, is_woken = ready(
                sock, self._sockpairR, is_writing=self.want_write(), timeout=0.0 if has_more else max(timeout, 0.0)
            )
        except (ValueError, OSError):  # somebody has closed it
            return True, self._loop_rc_handle(MQTT_ERR_CONN_LOST) if self._sock is sock else MQTT_ERR_SUCCESS
        if is_woken:
            self._clear_waker()
        rc = MQTT_ERR_SUCCESS
        if can_read or has_more:
            rc = self.loop_read()
        if rc == MQTT_ERR_SUCCESS and self._sock is not None and (can_write or is_woken):
            rc = self.loop_write()
        return can_read or can_write or is_woken or has_more, rc

    def _make_waker(self) -> None:
        if self._sockpairR is None or self._sockpairW is None:
            reader, writer = socket.socketpair()
            reader.setblocking(False)
            writer.setblocking(False)
            self._sockpairR, self._sockpairW = reader, writer

    def _clear_waker(self) -> None:
        reader = self._sockpairR
        if reader is not None:
            with suppress(OSError):
                reader.recv(1024)
        # Only now: who hands something in before this need not wake us, since we look at it behind this.
        self._is_woken = False

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """Run the loop, and connect again when a connection is lost, until ``disconnect`` is called.

        Args:
            timeout: as for ``loop``.
            retry_first_connection: whether a first connection that fails is tried again; ``connect_async`` leaves it to
                the loop.

        Raises:
            OSError: there is no first connection.
        """
        self._make_waker()
        while not self._thread_terminate and self._state == ConnectionState.MQTT_CS_CONNECT_ASYNC:
            try:
                self.reconnect()
            except OSError as error:
                self._tell_connect_failed()
                if not retry_first_connection:
                    raise
                self._easy_log(MQTT_LOG_DEBUG, "Connection failed, retrying: %s", error)
                self._state = ConnectionState.MQTT_CS_CONNECT_ASYNC
                self._reconnect_wait()
        while True:
            rc = self._loop_until_lost(timeout)
            if self._shall_end or not self._reconnect_on_failure:
                return rc
            self._reconnect_wait()
            if self._shall_end:
                return rc
            if (
                self._sock is None and self._state != ConnectionState.MQTT_CS_CONNECTING
            ):  # otherwise another thread connects
                self._try_to_reconnect()

    def _try_to_reconnect(self) -> None:
        try:
            self.reconnect()
        except OSError as error:
            self._tell_connect_failed()
            self._easy_log(MQTT_LOG_DEBUG, "Connection failed, retrying: %s", error)

    def _loop_until_lost(self, timeout: float) -> MQTTErrorCode:
        while True:
            rc = self._loop(timeout)
            # Who stops the loop waits until what it has published has arrived.
            if self._thread_terminate and not (self.want_write() or self._out_messages or self._is_waited_for):
                return MQTT_ERR_NOMEM
            if rc != MQTT_ERR_SUCCESS:
                return rc
            if self._came >= _STREAM:
                self._came = 0
                time.sleep(_MOMENT)

    @property
    def _shall_end(self) -> bool:
        return self._state in LEAVING or self._thread_terminate

    def reconnect_delay_set(self, min_delay: int = 1, max_delay: int = 120) -> None:
        """Set the seconds before the first new attempt to connect; each that fails doubles them, up to the second."""
        with self._reconnect_delay_mutex:
            self._reconnect_min_delay = min_delay
            self._reconnect_max_delay = max_delay
            self._reconnect_delay = None

    def _reconnect_wait(self) -> None:
        with self._reconnect_delay_mutex:
            if self._reconnect_delay is None:
                self._reconnect_delay = self._reconnect_min_delay
            else:
                self._reconnect_delay = min(self._reconnect_delay * 2, self._reconnect_max_delay)
            until = time.monotonic() + self._reconnect_delay
        waker = self._sockpairR
        while not self._shall_end and self._sock is None and (left := until - time.monotonic()) > 0:
            if waker is None:
                time.sleep(min(left, 1))
            elif awake(waker, min(left, 1)):
                self._clear_waker()

    def loop_start(self) -> MQTTErrorCode:
        """Run ``loop_forever`` in a thread of its own, which ends by ``loop_stop`` or ``disconnect``."""
        if self._thread is not None:
            return MQTT_ERR_INVAL
        self._make_waker()
        self._thread_terminate = False
        self._thread = threading.Thread(
            target=self._thread_main, name=f"paho-mqtt-client-{self._client_id.decode()}", daemon=True
        )
        self._thread.start()
        return MQTT_ERR_SUCCESS

    def loop_stop(self) -> MQTTErrorCode:
        """Stop what ``loop_start`` has started, and wait for its end."""
        thread = self._thread
        if thread is None:
            return MQTT_ERR_INVAL
        self._thread_terminate = True
        if threading.current_thread() is not thread:
            self._wake()
            if thread.is_alive():
                thread.join()
        return MQTT_ERR_SUCCESS

    def _thread_main(self) -> None:
        try:
            self.loop_forever(retry_first_connection=True)
        finally:
            self._thread = None
