"""The HTTP port: the page at ``/``, MQTT at ``/mqtt``, the API, metrics and health.

Knows paths, headers and who may ask. What the API does is in ``api.py``, what a WebSocket becomes is the broker's.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web
from multidict import MultiMapping

from telex.server.config import Listener, everybody_administers
from telex.server.web import metrics, types
from telex.server.web.api import Api
from telex.server.web.files import Files
from telex.server.web.handshake import asks_for_websocket
from telex.server.web.house import House
from telex.server.web.logins import Caller, Logins
from telex.server.web.openapi import description
from telex.server.web.operations import ROOT, Asked, Operation
from telex.server.web.origin import check_host, check_origin
from telex.server.web.problems import Refusal
from telex.server.web.server import HttpConnection, Opened, WebServer, connection_of, logger
from telex.streams.stream import Handler, Stream

STATIC: Final = Path(__file__).parent / "static"
"""Where the build of the package puts the page."""

_BODY_BYTES: Final = 8 * 1024 * 1024  # of a request; limits of messages are checked besides
_CREDENTIALS_BYTES: Final = 64 * 1024  # of a login; a token may be a few thousand
_LINE_BYTES: Final = 256 * 1024  # of a request: a topic has 65,535 bytes, and each may be written with three
_SECONDS: Final = 120.0  # for a request: fifty thousand retained messages are cleared in some of them
_LOGIN_SECONDS: Final = 30.0  # for whoever says whether a password is right
_WHOLE_BYTES: Final = 64 * 1024  # of a body in which whole numbers may have a point
_HASHED: Final = re.compile(r"/assets/.*-[A-Za-z0-9_-]{8}\.[a-z0-9]+")  # names as Vite makes them: never the same twice
_KINDS: Final = {".webmanifest": "application/manifest+json", ".js": "text/javascript", ".svg": "image/svg+xml"}

_HEALTH: Final = ("/healthz", "/readyz")

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self'; "
    "connect-src 'self' {sockets}; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Server": "Telex",  # and no versions of what is in it
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_NOT_BUILT: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Telex</title>
<h1>Telex runs</h1>
<p>The page was not built: npm was not there when Telex was installed. With npm (Node.js 20 or later), in the folder of
Telex's sources, this builds it and installs Telex with it:</p>
<pre>TELEX_PAGE=1 pip install --force-reinstall .</pre>
<p>All else is here: MQTT by WebSocket at <code>/mqtt</code>, the API at
<a href="/api/v1/openapi.json">/api/v1/openapi.json</a>, <a href="/metrics">/metrics</a>,
<a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>.</p>
</html>
"""


class HttpPort(WebServer):
    """All connections of the HTTP port.

    Args:
        house: the broker.
        name: of the listener, in visits.
        listener: the port as a listener.
        opened: makes who uses a WebSocket, and takes what the gate shall know of it.
    """

    most_body = _BODY_BYTES
    most_line = _LINE_BYTES

    def __init__(self, house: House, name: str, listener: Listener, opened: Opened) -> None:
        super().__init__(listener, partial(_without_ticket, opened))
        self._house = house
        self._open_known = opened
        self._page = Files(str(STATIC))
        self._logins = Logins(house, name)
        self._api = Api(house, lambda: self.listener)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._respond(request)
        except Refusal as refusal:
            response = refusal.response()
        except web.HTTPException as refusal:
            text = (refusal.text or refusal.reason).strip()
            response = Refusal(refusal.status, text, _kept(refusal.headers)).response()
        except Exception:
            logger.exception("a fault of ours ended a request for %s", request.path)
            response = Refusal(500, "A fault of ours; the log tells it.").response()
        if response.prepared:
            return response
        for name, value in self._headers(request).items():
            response.headers.setdefault(name, value)
        response.force_close()  # a connection for each request, as for other listeners
        return response

    def _headers(self, request: web.BaseRequest) -> dict[str, str]:
        host = request.headers.get("Host", "")
        # 'self' is about WebSockets too, but not in every browser that is still in use.
        sockets = f"ws://{host} wss://{host}" if re.fullmatch(r"[A-Za-z0-9.:\[\]_-]+", host) else ""
        return {**_HEADERS, "Content-Security-Policy": _POLICY.format(sockets=sockets), "Cache-Control": "no-store"}

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if not _is_text(path) or not _is_text(request.query_string):
            raise Refusal(400, "Expected a path and a query in UTF-8.")
        if path not in _HEALTH:  # which is asked for by any name, and tells nothing that is worth a trick
            check_host(request, self._house.config.web.names)
        connection = connection_of(request)
        if connection is None:
            raise Refusal(400, "The connection is gone.")
        if path == "/healthz":
            _only(request, "GET", "HEAD")
            return web.Response(text="ok\n")
        if path == "/readyz":
            _only(request, "GET", "HEAD")
            return self._readiness()
        if path == "/mqtt":
            return self._mqtt(request, connection)
        if path == "/metrics":
            check_origin(request)
            _only(request, "GET", "HEAD")
            return await self._metrics(request, connection)
        if path.startswith("/api/"):
            check_origin(request)
            return await self._rest(request, connection)
        _only(request, "GET", "HEAD")
        return await self._file(request, path)

    # Health

    def _readiness(self) -> web.Response:
        house = self._house
        store = "failing" if house.engine.journal.is_failing else "ok" if house.engine.journal.gives_back else "memory"
        said = {"ready": house.is_ready, "listeners": len(house.reception.entrances), "store": store}
        return _json(said, 200 if house.is_ready else 503)

    async def _metrics(self, request: web.BaseRequest, connection: HttpConnection) -> web.Response:
        caller = await self._caller(request, connection)
        connection.allow(_SECONDS)
        body, content_type = await metrics.exposition(
            self._house, request.headers.get("Accept", ""), with_clients=caller.is_administrator
        )
        return web.Response(body=body, headers={"Content-Type": content_type})

    # The page

    async def _file(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        file = await self._page.find(path)
        if file is None:
            if path == "/":
                return web.Response(text=_NOT_BUILT, content_type="text/html")
            raise Refusal(404, "There is nothing here.")
        headers = self._headers(request)
        is_for_ever = _HASHED.fullmatch(path) is not None
        headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_for_ever else "no-cache"
        kind = _KINDS.get(file.path.suffix)
        if kind is not None:
            headers["Content-Type"] = kind
        return await self._send(request, file, headers)

    # MQTT

    def _mqtt(self, request: web.BaseRequest, connection: HttpConnection) -> web.StreamResponse:
        if not asks_for_websocket(request):
            raise Refusal(
                426,
                "This is MQTT by WebSocket: use an MQTT client.",
                {"Upgrade": "websocket", "Connection": "Upgrade"},
            )
        check_origin(request)
        login = self._logins.found(request.cookies.get(self._logins.cookie_name(request), ""), connection.arrival.host)
        ticket = None if login is None else login.ticket
        return self._upgrade(request, lambda stream: self._open_known(stream, ticket))

    # The API

    async def _rest(self, request: web.BaseRequest, connection: HttpConnection) -> web.StreamResponse:
        path = request.path.removeprefix(ROOT)
        if path == request.path:
            raise Refusal(404, f"There is nothing here; the API is at {ROOT}.")
        if path == "/openapi.json":
            _only(request, "GET", "HEAD")
            is_open = everybody_administers(self._house.config)
            said = description(self._api.operations, self._logins.cookie_name(request), is_open=is_open)
            return _json(said)
        if path == "/session":
            return await self._session(request, connection)
        found = [(each, name) for each in self._api.operations if (name := _matched(each.path, path)) is not None]
        # What is named in full counts more than what stands for anything.
        exact = [each for each in found if not each[1]] or found
        if not exact:
            raise Refusal(404, f"There is nothing here; {ROOT}/openapi.json says what there is.")
        allowed = sorted({each.method for each, _ in exact})
        method = "GET" if request.method == "HEAD" else request.method
        operations = [each for each in exact if each[0].method == method]
        if not operations:
            raise Refusal(405, f"Expected {' or '.join(allowed)}.", {"Allow": ", ".join(allowed)})
        operation, name = operations[0]
        caller = await self._caller(request, connection)
        connection.allow(_SECONDS)  # a stranger has as long as for a handshake
        if operation.for_administrators and not caller.is_administrator:
            self._house.engine.observer.denied(caller.visit, "administer", path, "web.administrators")
            raise Refusal(403, "This is for administrators; the setting web.administrators names them.")
        answer = await operation.handle(await _asked(operation, caller, name, request))
        return (
            _json(answer, operation.status) if operation.answer is not None else web.Response(status=operation.status)
        )

    async def _caller(self, request: web.BaseRequest, connection: HttpConnection) -> Caller:
        return await self._logins.caller(request, connection.arrival.host, connection.arrival.address)

    async def _session(self, request: web.BaseRequest, connection: HttpConnection) -> web.Response:
        _only(request, "POST", "DELETE")
        response = web.Response(status=204)
        name = self._logins.cookie_name(request)
        if request.method == "DELETE":
            await self._caller(request, connection)  # with the token: nobody logs out somebody else
            self._logins.log_out(request.cookies.get(name, ""))
            response.del_cookie(name, path="/", httponly=True, samesite="Strict", secure=_by_https(request))
            return response
        if request.content_length is None:  # a stranger has to say how much it brings
            raise Refusal(411, "Expected Content-Length.")
        if request.content_length > _CREDENTIALS_BYTES:
            raise Refusal(413, f"Expected at most {_CREDENTIALS_BYTES:,} bytes.")
        who = await _body(request, types.Credentials)
        connection.allow(_LOGIN_SECONDS)
        cookie, _ = await self._logins.log_in(who.user, who.password, connection.arrival.host)
        self._logins.log_out(request.cookies.get(name, ""))  # the one that this takes the place of
        response.set_cookie(name, cookie, path="/", httponly=True, samesite="Strict", secure=_by_https(request))
        return response


def _without_ticket(opened: Opened, stream: Stream) -> Handler:
    return opened(stream, None)


def _by_https(request: web.BaseRequest) -> bool:
    """Whether the page came by HTTPS: a browser says so, also where a proxy speaks it and not we."""
    return request.secure or request.headers.get("Origin", "").startswith("https://")


def _kept(headers: MultiMapping[str]) -> Mapping[str, str]:
    return {name: headers[name] for name in ("Allow", "Sec-WebSocket-Version") if name in headers}


def _only(request: web.BaseRequest, *methods: str) -> None:
    if request.method not in methods:
        raise Refusal(405, f"Expected {' or '.join(methods)}.", {"Allow": ", ".join(methods)})


def _matched(pattern: str, path: str) -> str | None:
    """What stands for the name at the end of a pattern; empty: it has none; None: it does not fit."""
    start, brace, _ = pattern.partition("{")
    if not brace:
        return "" if path == pattern else None
    return path.removeprefix(start) or None if path.startswith(start) else None


async def _asked(operation: Operation, caller: Caller, name: str, request: web.BaseRequest) -> Asked:
    said: dict[str, str] = {}
    for key, value in request.query.items():
        if key in said:
            raise Refusal(400, f"{key}: it is there twice.")
        said[key] = value
    try:
        query = msgspec.convert(said, operation.query, strict=False)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"In the query: {error}") from None
    for key in said:
        if getattr(query, key) is None:  # to msgspec, the word null is no value
            raise Refusal(400, f"In the query: {key}: expected a value.")
    body = None if operation.body is None else await _body(request, operation.body)
    return Asked(caller, name, query, body)


async def _body(request: web.BaseRequest, kind: Any) -> Any:
    if request.content_type != "application/json":  # what a form of another page sends is not
        raise Refusal(415, "Expected Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(415, "Expected a body as it is, without Content-Encoding.", {"Accept-Encoding": "identity"})
    expected = request.headers.get("Expect", "").lower()
    if expected == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the answer nothing has left yet
    elif expected:
        raise Refusal(417, "Expected Expect: 100-continue, or none.")
    try:
        data = await request.read()
    except web.RequestPayloadError:
        raise Refusal(400, "The body has broken off.") from None
    try:
        return _decoded(data, kind)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"In the body: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"The body is no JSON: {error}") from None
    except RecursionError:
        raise Refusal(400, "The body is nested too deeply.") from None


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        if len(data) > _WHOLE_BYTES:  # it would be looked through in one turn of the loop
            raise
        return msgspec.convert(_with_whole_numbers(msgspec.json.decode(data)), kind)


def _is_text(text: str) -> bool:
    """Whether it has none of the surrogates that stand for bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _with_whole_numbers(value: Any) -> Any:
    """The same with 1 for 1.0: to JSON Schema both are an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_with_whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {name: _with_whole_numbers(each) for name, each in value.items()}
    return value


def _json(value: object, status: int = 200) -> web.Response:
    # A line, for whoever reads it in a terminal.
    return web.Response(status=status, body=msgspec.json.encode(value) + b"\n", content_type="application/json")
