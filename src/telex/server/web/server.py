"""What a listener for WebSockets, or for the HTTP API, does with a connection.

aiohttp reads the request. When that was the handshake of a WebSocket, aiohttp lets go of the connection, and a
``WebSocketStream`` takes its place: from then on nothing but frames comes and goes, and no task is needed for it.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec
from aiohttp import HttpVersion10, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from telex.server.config import Listener
from telex.server.web import handshake
from telex.server.web.basic import credentials
from telex.server.web.files import File, Files
from telex.server.web.masks import fastest
from telex.streams.stream import Handler, Stream
from telex.streams.tcp import Arrival
from telex.streams.websocket import WebSocketStream

_FILE_SECONDS: Final = 60.0
_FILE_RATE: Final = 10_000  # bytes a second; whoever takes a file still more slowly is not waited for

_PING_SECONDS: Final = 25
"""Proxies cut connections that were idle for a minute, nginx and most others."""

_STOP_SECONDS: Final = 1.0
"""How long answers that are on their way may take when the server stops."""

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")

_UNMASK: Final = fastest()

_BARE: Final = {"Server": "Telex", "X-Content-Type-Options": "nosniff"}

SYSTREE: Final = "/api/v1/systree"

Opened = Callable[[Stream, object], Handler]
"""Makes who uses a stream, and takes what the gate shall know of it."""

logger = logging.getLogger("telex.http")


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a fault is ours: strangers send what is no HTTP all day."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


logger.addFilter(_is_ours)


class WebServer:
    """All connections of one listener whose protocol is ``websocket`` or ``http_api``.

    Args:
        listener: what it allows; another may take its place at any time, with the same protocol and directory.
        opened: makes who uses a WebSocket, as for any stream.
        values: what the API tells: ``$SYS`` topics and what they say; a text that is a number is told as one.
        may_read: whether who names itself so (user name, password, IP address) may use the API. None: everybody may.
        handshake_timeout: seconds (may be changed) that a client may take from its connection to the end of our answer.
    """

    most_body = 1024 * 1024  # bytes, that aiohttp reads of a request
    most_line = 8_190  # bytes of its first line

    def __init__(
        self,
        listener: Listener,
        opened: Callable[[Stream], Handler],
        *,
        values: Callable[[], Mapping[str, int | float | str]] | None = None,
        may_read: Callable[[str | None, bytes | None, str], Awaitable[bool]] | None = None,
        handshake_timeout: float = 10.0,
    ) -> None:
        self.listener = listener
        self.handshake_timeout = handshake_timeout
        self._opened = opened
        self._values = values
        self._may_read = may_read
        self._files = Files(listener.http_directory) if listener.http_directory else None
        self._runner: web.ServerRunner | None = None
        self._server: web.Server | None = None
        self._settings: dict[str, Any] = {}  # of those who read requests
        self._connections: set[HttpConnection] = set()
        # Each WebSocket has its second, so that not all get their Ping at once.
        self._seconds: list[set[WebSocketStream]] = [set() for _ in range(_PING_SECONDS)]
        self._second = 0
        self._ping_timer: asyncio.TimerHandle | None = None

    @property
    def connection_count(self) -> int:
        """How many connections speak HTTP at the moment."""
        return len(self._connections)

    @property
    def websocket_count(self) -> int:
        """How many connections are WebSockets."""
        return sum(map(len, self._seconds))

    async def start(self) -> None:
        """Get ready; connections may come when this returns."""
        self._settings = {
            "access_log": None,
            "auto_decompress": False,  # a few bytes of a stranger could become many
            "keepalive_timeout": self.handshake_timeout,
            "lingering_time": 1.0,
            "max_line_size": self.most_line,
            "logger": logger,
        }
        self._server = web.Server(
            self._answer,
            request_factory=self._read,
            handler_cancellation=True,  # when nobody waits for the answer any more
            **self._settings,
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_STOP_SECONDS)
        await self._runner.setup()

    async def stop(self) -> None:
        """Take no more connections, and end those that speak HTTP. WebSockets are left to whoever uses them."""
        runner, self._runner = self._runner, None
        self._server = None
        if runner is not None:
            await runner.cleanup()
        for connection in list(self._connections):
            connection.abort()

    def factory(self, arrival: Arrival | None = None) -> asyncio.Protocol:
        """What asyncio is to call for a connection."""
        return HttpConnection(self, arrival or Arrival())

    # Connections

    def came(self, connection: "HttpConnection") -> asyncio.Protocol | None:
        """A connection is open: who reads its requests. None: nobody, for the server has stopped."""
        if self._server is None:
            return None
        self._connections.add(connection)
        return _Requests(self._server, loop=asyncio.get_running_loop(), **self._settings)

    def went(self, connection: "HttpConnection") -> None:
        """A connection is over, or no longer one of HTTP."""
        self._connections.discard(connection)

    def _upgraded(
        self, opened: Callable[[Stream], Handler], connection: "HttpConnection", transport: asyncio.Transport
    ) -> WebSocketStream:
        stream = WebSocketStream(transport, connection.arrival, opened, self._websocket_gone, _UNMASK)
        self._seconds[self._second].add(stream)  # which has just passed
        if self._ping_timer is None:
            self._ping_timer = asyncio.get_running_loop().call_later(1.0, self._ping)
        return stream

    def _websocket_gone(self, stream: WebSocketStream) -> None:
        for streams in self._seconds:
            streams.discard(stream)
        if self._ping_timer is not None and not any(self._seconds):
            self._ping_timer.cancel()
            self._ping_timer = None

    def _ping(self) -> None:
        """Once a second."""
        self._ping_timer = asyncio.get_running_loop().call_later(1.0, self._ping)
        self._second = (self._second + 1) % _PING_SECONDS
        for stream in self._seconds[self._second]:
            stream.ping()

    # Requests

    def _read(
        self,
        message: Any,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        """What aiohttp has read, as a request."""
        if message.version < HttpVersion10:  # which has no status line for an answer
            message = message._replace(version=HttpVersion10)
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=self.most_body)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._respond(request)
        except web.HTTPException as refusal:
            refusal.headers.update(_BARE)
            refusal.force_close()
            raise
        if not response.prepared:
            response.headers.setdefault("Server", _BARE["Server"])
        response.force_close()  # a connection for each request: few come, and their time limit is a simple one
        return response

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        is_websocket = self.listener.protocol == "websocket"
        if is_websocket and handshake.asks_for_websocket(request):
            return self._upgrade(request)
        if request.method not in ("GET", "HEAD"):
            raise web.HTTPMethodNotAllowed(request.method, ("GET", "HEAD"), text="Only GET and HEAD are answered.\n")
        if not is_websocket and request.path == SYSTREE:
            return await self._systree(request)
        if self._files is not None:
            file = await self._files.find(request.path)
            if file is not None:
                return await self._send(request, file)
        if not is_websocket or self._files is not None:
            raise web.HTTPNotFound(text="There is nothing here.\n")
        raise web.HTTPUpgradeRequired(
            text=f"This is the WebSocket port of an MQTT broker: use an MQTT client, with "
            f"{'wss' if request.secure else 'ws'}:// in its address.\n",
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        )

    def _upgrade(
        self, request: web.BaseRequest, opened: Callable[[Stream], Handler] | None = None
    ) -> web.StreamResponse:
        answer = handshake.accept(request, self.listener.origins, self.listener.websocket_path)
        connection = connection_of(request)
        if connection is not None:
            connection.become_websocket(answer, partial(self._upgraded, opened or self._opened))
        return _Nothing()

    async def _systree(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._values is None:
            raise web.HTTPNotFound(text="There is nothing here.\n")
        connection = connection_of(request)
        if self._may_read is not None and connection is not None:
            user, password = credentials(request)
            if not await self._may_read(user, password, connection.arrival.host):
                raise web.HTTPUnauthorized(
                    text="Expected a user name and a password.\n", headers={"WWW-Authenticate": 'Basic realm="MQTT"'}
                )
        return web.Response(
            body=msgspec.json.encode({name: _number(value) for name, value in self._values().items()}),
            content_type="application/json",
            headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        )

    async def _send(
        self, request: web.BaseRequest, file: File, headers: Mapping[str, str] = MappingProxyType({})
    ) -> web.StreamResponse:
        connection = connection_of(request)
        if connection is not None:
            seconds = _FILE_SECONDS + file.size / _FILE_RATE
            connection.allow(seconds + self.handshake_timeout)
            response = web.FileResponse(file.path, headers={"X-Content-Type-Options": "nosniff", **headers})
            response.force_close()
            try:
                # Ended before the connection is: asyncio does not like a connection that ends within a sendfile().
                async with asyncio.timeout(seconds):
                    await response.prepare(request)
            except TimeoutError:
                connection.abort()
        return _Nothing()


class HttpConnection(asyncio.Protocol):
    """One connection, while it speaks HTTP: asyncio calls it, and it calls aiohttp, within limits of time."""

    __slots__ = ("_http", "_limit", "_server", "_transport", "arrival")

    def __init__(self, server: WebServer, arrival: Arrival) -> None:
        self.arrival = arrival
        self._server = server
        self._http: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)
        if not self.arrival.opened(transport):
            return
        http = self._server.came(self)
        if http is None:
            self._transport.abort()
            return
        self._http = http
        self.allow(self._server.handshake_timeout)
        http.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._http is not None:
            self._http.data_received(data)

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """The peer keeps up again."""
        if self._http is not None:
            self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._forget()
        self.arrival.gone()
        if self._http is not None:
            self._http.connection_lost(exc)
            self._http = None

    # What the server calls

    def allow(self, seconds: float) -> None:
        """End the connection after so many seconds from now, whatever happens on it."""
        if self._limit is not None:
            self._limit.cancel()
        assert self._transport is not None  # it is open
        self._limit = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def abort(self) -> None:
        """End it now."""
        assert self._transport is not None  # it is open
        self._transport.abort()

    def become_websocket(
        self, answer: bytes, upgraded: "Callable[[HttpConnection, asyncio.Transport], WebSocketStream]"
    ) -> None:
        """Answer a handshake, and let a stream take this protocol's place on the transport."""
        transport, http = self._transport, cast(RequestHandler, self._http)
        assert transport is not None  # there is a request
        early = _Early()
        http.set_parser(cast(Any, early))
        http.transport = None  # or it would close it
        http.connection_lost(None)
        self._http = None
        self._forget()
        try:
            transport.write(answer)
            stream = upgraded(self, transport)
            transport.set_protocol(stream)
            transport.resume_reading()  # aiohttp may have paused it
            if early.data:
                stream.data_received(early.data)
        except BaseException:  # a fault of ours: aiohttp writes it down, and would leave the connection open
            transport.abort()
            raise

    def _forget(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self._server.went(self)


class _Requests(RequestHandler):
    """aiohttp's reader of requests; what cannot be read as one gets an answer of ours."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request, in words that say nothing of what reads it."""
        super().handle_error(request, status, exc, message)  # which writes it down
        text = "This is no HTTP request that can be read.\n" if status < 500 else "A fault of ours; the log tells it.\n"
        response = web.Response(status=status, text=text, headers=_BARE)
        response.force_close()
        return response


class _Early:
    """Takes over what aiohttp has read behind a handshake: frames of a client that did not wait for the answer."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """What has been read."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Nothing more."""


class _Nothing(web.StreamResponse):
    """The response to a handshake, for aiohttp: its answer has left, and the connection is not aiohttp's any more."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write no head."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Write no body."""


def connection_of(request: web.BaseRequest) -> HttpConnection | None:
    """By which connection it came; None: that is gone."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return None
    connection = transport.get_protocol()
    assert isinstance(connection, HttpConnection)
    return connection


def _number(value: int | float | str) -> int | float | str:
    """A number, if that is what a text says."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value
