"""The opening handshake of a WebSocket (RFC 6455, section 4.2; MQTT 5, section 6).

Knows what a request has to say, and what is answered. Whoever asks for a WebSocket and cannot have it gets a status
and one sentence that names what was expected.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha1
from typing import Final

from aiohttp import web

MQTT: Final = "mqtt"
"""The sub-protocol."""

MQTT_3_1: Final = "mqttv3.1"
"""What it was called before it was written down; clients of that time know no other."""

_KEY_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_VERSION: Final = "13"


def asks_for_websocket(request: web.BaseRequest) -> bool:
    """Whether this is meant to be a handshake."""
    return "websocket" in _words(request, "Upgrade")


def accept(request: web.BaseRequest, origins: Sequence[str], path: str) -> bytes:
    """The answer to a handshake, as it leaves.

    Args:
        request: whose ``Upgrade`` says WebSocket.
        origins: where clients may come from; empty: anywhere. Otherwise a client that does not say it is refused too.
        path: the only one that has a WebSocket; empty: any.

    Raises:
        HTTPException: there is none for that request, and its text says why.
    """
    if path and request.path != path:
        raise web.HTTPNotFound(text=f"There is no WebSocket here; it is at {path}.\n")
    if request.method != "GET" or request.version < (1, 1) or request.body_exists:
        raise web.HTTPBadRequest(text="A WebSocket begins with a GET of HTTP/1.1 that has no body.\n")
    if "upgrade" not in _words(request, "Connection"):
        raise web.HTTPBadRequest(
            text="A WebSocket begins with the header Connection: Upgrade; a proxy may have cut it.\n"
        )
    if request.headers.get("Sec-WebSocket-Version", "").strip() != _VERSION:
        raise web.HTTPBadRequest(
            text=f"Expected Sec-WebSocket-Version: {_VERSION}.\n", headers={"Sec-WebSocket-Version": _VERSION}
        )
    key = _key(request)
    if origins and not _is_among(request.headers.get("Origin"), origins):
        raise web.HTTPForbidden(text="This listener takes WebSockets only from pages of the origins that it lists.\n")
    protocol = _protocol(request)
    answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + b64encode(sha1(key + _KEY_SUFFIX, usedforsecurity=False).digest())
        + b"\r\n"
    )
    if protocol:
        answer += b"Sec-WebSocket-Protocol: " + protocol.encode() + b"\r\n"
    return answer + b"\r\n"


def _key(request: web.BaseRequest) -> bytes:
    key = request.headers.get("Sec-WebSocket-Key", "").strip()
    try:
        if len(b64decode(key, validate=True)) == 16:
            return key.encode()
    except (binascii.Error, ValueError):
        pass
    raise web.HTTPBadRequest(text="Expected a Sec-WebSocket-Key of 16 bytes in Base64.\n")


def _protocol(request: web.BaseRequest) -> str:
    """The sub-protocol: the first that the client names and that we speak [MQTT-6.0.0-4].

    A client that names none gets none, and its WebSocket all the same. The text wants it to name one,
    but Mosquitto takes such clients, and what they send is MQTT or it is refused as such.
    """
    offered = [
        name.strip() for line in request.headers.getall("Sec-WebSocket-Protocol", []) for name in line.split(",")
    ]
    for name in offered:
        if name in (MQTT, MQTT_3_1):
            return name
    if any(offered):
        raise web.HTTPBadRequest(
            text=f"Expected the sub-protocol {MQTT} (or {MQTT_3_1}) in Sec-WebSocket-Protocol, in small letters.\n"
        )
    return ""


def _is_among(origin: str | None, origins: Sequence[str]) -> bool:
    return origin is not None and _plain(origin) in map(_plain, origins)


def _plain(origin: str) -> str:
    """Scheme and host are the same in large and small letters; a slash at the end is nothing."""
    return origin.strip().rstrip("/").lower()


def _words(request: web.BaseRequest, header: str) -> list[str]:
    """What a header lists, in small letters."""
    return [word.strip().lower() for line in request.headers.getall(header, []) for word in line.split(",")]
