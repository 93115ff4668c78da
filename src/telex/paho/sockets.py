"""The ways to a broker, as paho opens them: TCP, TLS, WebSocket, Unix sockets and proxies.

Knows how to open a connection, and waits while it does. Knows no MQTT. What fails is told as Python's own modules tell
it, since programs ask for these errors: ``OSError`` with its number, ``ssl.SSLError``, ``TimeoutError``.
"""

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from telex.client.address import join
from telex.paho.nonblocking import SocketLike
from telex.paho.proxies import find, open_through
from telex.paho.websocket import WebSocket, WebSocketHeaders, open_websocket

_LOOK_AGAIN: Final = 0.01  # seconds between two tries of a Unix socket whose queue is full


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to reach a broker.

    Args:
        host: its name or IP address; the path of a Unix socket.
        port: where it listens; says nothing of a Unix socket.
        transport: TCP alone, a WebSocket in it, or a Unix socket.
        timeout: seconds that each step may take: TCP to each address, TLS, a proxy, a WebSocket's handshake.
        bind_address: the local address that connections come from; empty: any.
        bind_port: the local port that they come from; 0: any.
        tls_context: how TLS is spoken; None: it is not.
        tls_insecure: the name in the certificate may be any.
        proxy: what ``Client.proxy_set`` was given, in the words of PySocks; empty: what the environment says.
        websocket_path: what a WebSocket's request names.
        websocket_headers: further headers of that request, or what makes all of them of those that we have.
    """

    host: str
    port: int = 1883
    transport: Literal["tcp", "websockets", "unix"] = "tcp"
    timeout: float = 5.0
    bind_address: str = ""
    bind_port: int = 0
    tls_context: ssl.SSLContext | None = None
    tls_insecure: bool = False
    proxy: Mapping[str, Any] = field(default_factory=dict)
    websocket_path: str = "/mqtt"
    websocket_headers: WebSocketHeaders | None = None


def open_socket(way: Way) -> SocketLike:
    """Open a connection, and wait for it. What comes back does not block any more.

    Raises:
        OSError: there is no connection: as the system says it; ``TimeoutError``, ``socket.gaierror``,
            ``ssl.SSLError`` and ``ssl.SSLCertVerificationError``, too.
        WebsocketConnectionError: whoever is there has no WebSocket for us.
        TypeError: a word in ``proxy`` that there is not.
        ValueError: it can never work.
    """
    sock = _open_unix(way) if way.transport == "unix" else _open_tcp(way)
    if way.tls_context is not None:
        sock = _secure(sock, way.tls_context, way)
    try:
        connection = _in_websocket(sock, way) if way.transport == "websockets" else sock
        connection.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return connection


def _open_unix(way: Way) -> socket.socket:
    until = time.monotonic() + way.timeout
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(way.timeout)
        while True:
            try:
                sock.connect(way.host)
                return sock
            except BlockingIOError:  # too many wait there already; nothing tells when there is room
                if time.monotonic() >= until:
                    raise TimeoutError(f"{way.host} accepts nobody") from None
                time.sleep(_LOOK_AGAIN)
    except BaseException:
        sock.close()
        raise


def _open_tcp(way: Way) -> socket.socket:
    local = (way.bind_address, way.bind_port) if way.bind_address or way.bind_port else None
    proxy = find(way.host, way.proxy)
    if proxy is None:
        sock = socket.create_connection((way.host, way.port), way.timeout, local)
    else:
        sock = open_through(proxy, way.host, way.port, local, timeout=way.timeout)
    # An acknowledgement must not wait for that of the kernel.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _in_websocket(sock: socket.socket, way: Way) -> WebSocket:
    place = join(way.host, way.port)
    is_usual = way.port == (80 if way.tls_context is None else 443)
    host = place.removesuffix(f":{way.port}") if is_usual else place
    return open_websocket(sock, host, way.websocket_path, way.websocket_headers, timeout=way.timeout)


# TLS


def _secure(sock: socket.socket, context: ssl.SSLContext, way: Way) -> ssl.SSLSocket:
    """TLS on a connection, which is closed if that fails."""
    try:
        if not way.tls_insecure and not context.check_hostname:
            # Somebody has switched it off in the context, and never said so to the client: the client's word counts.
            context.check_hostname = True
        secured = context.wrap_socket(sock, server_hostname=_name(context, way), do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    try:
        secured.settimeout(way.timeout)
        secured.do_handshake()
    except BaseException:
        secured.close()
        raise
    return secured


def _name(context: ssl.SSLContext, way: Way) -> str | None:
    """What the certificate must have; None: it does not matter, and the host is no name that TLS could ask for."""
    if way.transport == "unix" and not context.check_hostname:
        return None
    name = way.host if way.transport == "unix" else way.host.partition("%")[0].removesuffix(".")
    try:
        # ssl closes a socket whose name it does not take, so it is asked before that.
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    except ValueError:  # UnicodeError, too
        if context.check_hostname:
            raise ValueError(f"{name!r} is no name that a certificate can have, and TLS is to check it") from None
        return None
    return name
