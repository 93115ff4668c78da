"""Drives paho from one asyncio thread, in the way that Home Assistant does.

Its client subclasses paho's and puts locks that do nothing in the place of seven private ones. Connecting is left to
an executor, everything else happens in the event loop: readers and writers for the socket, a timer for ``loop_misc``.
When the connection is lost, ``reconnect`` is called, again in the executor.
"""

import asyncio
import functools
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.matcher import MQTTMatcher

PACKETS = 500  # at most in one go, so that the loop has other things to do
BUFFER = 1 << 20


class NoLock:
    """What stands for a lock where there is one thread only."""

    def __enter__(self) -> "NoLock":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def acquire(self, blocking: bool = False, timeout: int = -1) -> None:
        pass

    def release(self) -> None:
        pass


class Client(mqtt.Client):
    """paho's client for one thread."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_callback_mutex = NoLock()
        self._callback_mutex = NoLock()
        self._msgtime_mutex = NoLock()
        self._out_message_mutex = NoLock()
        self._in_message_mutex = NoLock()
        self._reconnect_delay_mutex = NoLock()
        self._mid_generate_mutex = NoLock()


class Driver:
    """Keeps the client connected, and answers what it is asked."""

    def __init__(self, port: int, transport: str) -> None:
        self.port = port
        self.loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        self.gone = asyncio.Event()
        self.count = 0
        self.pending: dict[int, asyncio.Future[None]] = {}
        self.early: set[int] = set()
        self.misc: asyncio.TimerHandle | None = None
        self.is_connected = False
        self.orders = MQTTMatcher()
        self.orders["house/orders/#"] = self.order
        self.client = Client(CallbackAPIVersion.VERSION2, "house", transport=transport, reconnect_on_failure=False)
        self.client.suppress_exceptions = True
        self.client.will_set("house/status", "offline", qos=1, retain=True)
        self.client.on_connect = self.on_connect
        self.client.on_disconnect = self.on_disconnect
        self.client.on_message = self.on_message
        self.client.on_publish = self.client.on_subscribe = self.client.on_unsubscribe = self.on_answer
        self.use_hooks(is_thread=False)

    def use_hooks(self, *, is_thread: bool) -> None:
        """Have the hooks of the socket called here, or, from another thread, handed to the loop."""

        def hook(function: Any) -> Any:
            return functools.partial(self.loop.call_soon_threadsafe, function) if is_thread else function

        self.client.on_socket_open = hook(self.on_socket_open)
        self.client.on_socket_register_write = hook(self.on_socket_register_write)
        if not is_thread:
            self.client.on_socket_close = self.on_socket_close
            self.client.on_socket_unregister_write = self.on_socket_unregister_write

    @contextmanager
    def connecting(self) -> Iterator[None]:
        self.use_hooks(is_thread=True)
        try:
            yield
        finally:
            self.use_hooks(is_thread=False)

    # The socket

    def on_socket_open(self, client: mqtt.Client, userdata: Any, sock: Any) -> None:
        if sock.fileno() > -1:
            plain = sock if hasattr(sock, "setsockopt") else sock._socket  # what paho has around a WebSocket
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            self.loop.add_reader(sock, self.read)
            self.tick()
            self.read()

    def on_socket_close(self, client: mqtt.Client, userdata: Any, sock: Any) -> None:
        if sock.fileno() > -1:
            self.loop.remove_reader(sock)
        if self.misc is not None:
            self.misc.cancel()
            self.misc = None

    def on_socket_register_write(self, client: mqtt.Client, userdata: Any, sock: Any) -> None:
        if sock.fileno() > -1:
            self.loop.add_writer(sock, self.write)

    def on_socket_unregister_write(self, client: mqtt.Client, userdata: Any, sock: Any) -> None:
        if sock.fileno() > -1:
            self.loop.remove_writer(sock)

    def read(self) -> None:
        if (code := self.client.loop_read(PACKETS)) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            print("reading ended:", mqtt.error_string(code), flush=True)

    def write(self) -> None:
        if (code := self.client.loop_write()) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            print("writing ended:", mqtt.error_string(code), flush=True)

    def tick(self) -> None:
        if self.misc is not None:
            self.misc.cancel()
            self.misc = None
        if self.client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.misc = self.loop.call_later(1, self.tick)

    # What happens

    def on_connect(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        self.is_connected = True
        topics = [("house/orders/#", 1), ("house/flood", 1)]
        result, mid = client.subscribe(topics)
        assert result == MQTTErrorCode.MQTT_ERR_SUCCESS
        self.background = self.loop.create_task(self.begin(code, mid))

    async def begin(self, code: Any, mid: int) -> None:
        await self.answered(mid)
        await self.publish("house/status", "online", 1, True)
        print("connected:", code, flush=True)

    def on_disconnect(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        self.is_connected = False
        self.gone.set()
        print("disconnected:", code, flags.is_disconnect_packet_from_server, flush=True)

    def on_message(self, client: Any, userdata: Any, message: mqtt.MQTTMessage) -> None:
        assert message.timestamp > 0
        if (order := next(self.orders.iter_match(message.topic), None)) is not None:
            order(message)
        else:
            self.count += 1

    def on_answer(self, client: Any, userdata: Any, mid: int, *_: object) -> None:
        waiting = self.pending.pop(mid, None)
        if waiting is None:
            self.early.add(mid)  # before whoever asked was told the number
        elif not waiting.done():
            waiting.set_result(None)

    async def answered(self, mid: int) -> None:
        if mid in self.early:
            self.early.discard(mid)
            return
        self.pending[mid] = self.loop.create_future()
        await self.pending[mid]

    async def publish(self, topic: str, payload: str, qos: int, retain: bool = False) -> None:
        info = self.client.publish(topic, payload, qos, retain)
        assert info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        await self.answered(info.mid)

    def order(self, message: mqtt.MQTTMessage) -> None:
        self.background = self.loop.create_task(self.do(message.topic.rpartition("/")[2], message.payload.decode()))

    async def do(self, what: str, payload: str) -> None:
        if what == "count":
            await self.publish("house/count", str(self.count), 1)
        elif what == "flood":
            await asyncio.gather(*(self.publish("house/back", str(number), 1) for number in range(int(payload))))
            await self.publish("house/done", payload, 2)
            print("flooded", flush=True)
        elif what == "end":
            await self.publish("house/status", "offline", 1, True)
            self.ended.set()

    # The story

    async def run(self) -> None:
        with self.connecting():
            await self.loop.run_in_executor(None, self.client.connect, "127.0.0.1", self.port, 60)
        reconnecting = asyncio.create_task(self.reconnect())
        await self.ended.wait()
        reconnecting.cancel()
        self.client.disconnect()
        await asyncio.wait_for(self.gone.wait(), 10)
        assert self.client.socket() is None

    async def reconnect(self) -> None:
        while True:
            await self.gone.wait()
            self.gone.clear()
            while not self.is_connected:
                try:
                    with self.connecting():
                        await self.loop.run_in_executor(None, self.client.reconnect)
                    break
                except OSError as error:
                    print("not yet:", error, flush=True)
                    await asyncio.sleep(0.05)  # the broker may be away for longer


async def main() -> None:
    driver = Driver(int(sys.argv[1]), sys.argv[2])
    await asyncio.wait_for(driver.run(), 60)


asyncio.run(main())
