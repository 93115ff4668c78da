"""The way to a broker: its name, a proxy, TCP, TLS, WebSocket, or a Unix socket.

Knows how to open one, and in words what is wrong when that fails. Knows no MQTT but the first byte of other protocols;
and no time limit: whoever cancels gets back a machine on which nothing is left open.
"""

import asyncio
import errno
import os
import random
import socket
import ssl
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import unquote

from telex.client.address import Address, is_ip, join, split_place
from telex.client.tls import ClientTls, explain
from telex.errors import MqttError, NotConnected
from telex.streams.stream import ClientStream, Handler
from telex.streams.tcp import TcpStream
from telex.streams.websocket_client import Handshake, WebSocketClientStream, check_headers

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

_HEAD_START: Final = 0.25
"""Seconds that one address of a host has before the next is tried beside it (RFC 8305, section 5)."""

_UNLIMITED: Final = 86_400.0
"""Seconds, where a library wants a limit: whoever dials has a shorter one."""

_LONGEST_UNIX: Final = 107  # bytes of a path that the systems take
_LOOK_SECONDS: Final = 3.0
"""How long a broker whose certificate does not pass may take to show it once more, so that we can say what is wrong."""

_MOST_PROXY_HEAD: Final = 16_384  # bytes of an HTTP proxy's answer

_SERVICES: Final = {"mqtt": "_mqtt._tcp", "mqtts": "_secure-mqtt._tcp"}
_PROXY_PORTS: Final = {"socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080, "http": 8080}
_REMOTE_NAMES: Final = ("socks4a", "socks5h")
_LONGEST_LOGIN: Final = 255  # bytes of a user name or password in SOCKS 5 (RFC 1929)

_TLS_ALERT: Final = b"\x15\x03"  # how TLS answers what it cannot read
_HTTP: Final = b"HTTP"

NewHandler = Callable[[ClientStream], Handler]


class Target(NamedTuple):
    """A host to try."""

    host: str
    port: int
    name: str
    """The name that its certificate must have."""


class Srv(NamedTuple):
    """What DNS says of a service (RFC 2782)."""

    priority: int
    weight: int
    port: int
    host: str


class Dialer:
    """Opens connections to one broker.

    Args:
        address: where it is.
        tls: how TLS is spoken, for ``mqtts`` and ``wss``; None: as ``ClientTls()`` does.
        proxy: ``socks5h://user:password@host:port``, and so ``socks5``, ``socks4``, ``socks4a``, ``http``. With
            ``socks5h``, ``socks4a`` and ``http`` the proxy looks up the broker's name.
        bind: the local address that connections come from.
        websocket_headers: further headers of a WebSocket's request.
        socket_options: what else is set on a TCP socket: level, option and value of ``setsockopt``.
        use_srv: the address's host is a domain whose brokers DNS names (``_mqtt._tcp``, ``_secure-mqtt._tcp``); its
            port does not count then. Certificates must be for that domain: nobody vouches for what DNS says.
        resolver: asks for that; by default, one made from this system's settings.

    Raises:
        ValueError: it can never work: what does not fit, or which file is wrong.
    """

    def __init__(
        self,
        address: Address,
        *,
        tls: ClientTls | ssl.SSLContext | None = None,
        proxy: str | None = None,
        bind: str = "",
        websocket_headers: Mapping[str, str] | None = None,
        socket_options: Sequence[tuple[int, int, int]] = (),
        use_srv: bool = False,
        resolver: "Resolver | None" = None,
    ) -> None:
        self.address = address
        self._socket_options = socket_options
        self._bind = bind
        self._headers = dict(websocket_headers or {})
        self._use_srv = use_srv
        self._resolver = resolver
        self._proxy_url = proxy
        self._proxy = None if proxy is None else Proxy(proxy)
        self._tls: ClientTls | None = None  # what is known of our side; None: somebody else has made the context
        self._context: ssl.SSLContext | None = None
        self._check(tls)
        if isinstance(tls, ssl.SSLContext):
            self._context = tls
        elif address.is_secure:
            self._tls = tls or ClientTls()
            # Some servers choose HTTP/2 where nothing is said; WebSocket is not spoken there.
            self._context = self._tls.context(alpn=("http/1.1",) if address.is_websocket else ())
        self._targets = [Target(address.host, address.port, address.host)]
        self._failed: list[Target] = []  # since the last success, the last one at the end: they are tried last
        if self._context is not None:
            self._check_name(self._context)

    def _check(self, tls: ClientTls | ssl.SSLContext | None) -> None:
        address = self.address
        if address.scheme == "unix":
            for name, value in (("proxy", self._proxy), ("bind", self._bind), ("use_srv", self._use_srv)):
                if value:
                    raise ValueError(f"{name}: it does not fit {address}, which is a Unix socket on this machine")
            if not hasattr(socket, "AF_UNIX"):
                raise ValueError(f"{address}: there are no Unix sockets on this system")
            if len(os.fsencode(address.path)) > _LONGEST_UNIX:
                raise ValueError(f"{address}: the path of a socket has {_LONGEST_UNIX} bytes at most")
        if tls is not None and not address.is_secure:
            better = {"mqtt": "mqtts", "ws": "wss"}.get(address.scheme)
            remedy = f"write {better}:// to have it" if better else "leave tls out"
            raise ValueError(f"tls: there is no TLS with {address}; {remedy}")
        if self._headers and not address.is_websocket:
            raise ValueError(f"websocket_headers: there is no WebSocket with {address}")
        check_headers(self._headers)
        if self._use_srv:
            if address.is_websocket:
                raise ValueError(f"use_srv: DNS names brokers for mqtt and mqtts, not for {address.scheme}")
            if is_ip(address.host):
                raise ValueError(f"use_srv: {address.host} is an IP address, expected a domain")
        if self._proxy is not None and self._proxy.scheme.startswith("socks4") and ":" in address.host:
            raise ValueError(f"proxy: SOCKS 4 knows no IPv6 address like {address.host}; use socks5")

    def _check_name(self, context: ssl.SSLContext) -> None:
        """Whether ``ssl`` takes the name; otherwise it would say so when the connection is there."""
        name = self._name(self._targets[0])
        try:
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
        except ValueError:  # UnicodeError, too
            raise ValueError(f"server_name: {name!r} is no name that a certificate can have") from None

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing between us and MQTT but TCP, of which nothing in particular is asked."""
        others = (self._proxy, self._bind, self._use_srv, self._socket_options)
        return self.address.scheme == "mqtt" and not any(others)

    def __reduce__(self) -> tuple[Any, ...]:
        """So another process makes one like it; files are read again there."""
        if self._resolver is not None or (self._context is not None and self._tls is None):
            raise TypeError("an ssl.SSLContext or a resolver cannot be handed to another process")
        options = {
            "tls": self._tls,
            "proxy": self._proxy_url,
            "bind": self._bind,
            "websocket_headers": self._headers,
            "socket_options": tuple(self._socket_options),
            "use_srv": self._use_srv,
        }
        return _like, (self.address, options)

    def redirected(self, reference: str) -> "Dialer":
        """The same ways to where a broker sends us (Server Reference, section 4.11).

        Args:
            reference: ``host``, ``host:port`` or ``[address]:port``; several have a space between them.

        Raises:
            ValueError: that is not what it says.
        """
        where = f"the server reference {reference!r}"
        addresses = [self.address.at(*split_place(part, where)) for part in reference.split()]
        if not addresses:
            raise ValueError(f"{where}: expected a host")
        other = Dialer(
            addresses[0],
            tls=self._context,
            proxy=self._proxy_url,
            bind=self._bind,
            websocket_headers=self._headers,
            socket_options=self._socket_options,
            resolver=self._resolver,
        )
        other._tls = self._tls
        other._targets = [Target(each.host, each.port, each.host) for each in addresses]
        return other

    async def open(self, new_handler: NewHandler) -> ClientStream:
        """Open a connection. There is no time limit; a call that is cancelled leaves nothing open.

        Args:
            new_handler: makes who uses it; is called when the first byte of MQTT may be written.

        Raises:
            OSError: there is no connection: where not, and why not.
            Untrusted: TLS has found that the broker is not who it should be, or the broker says that of us.
            NotConnected: somebody is there and says no: a proxy, a web server, or who speaks something else.
        """
        if self.address.scheme == "unix":
            return await self._open_unix(new_handler)
        failures: list[OSError | NotConnected] = []
        targets = await self._find_targets()
        targets.sort(key=lambda target: self._failed.index(target) if target in self._failed else -1)
        for target in targets:
            # Until it is open. Who has no more time for it tries the others first when it comes again.
            if target in self._failed:
                self._failed.remove(target)
            self._failed.append(target)
            try:
                stream = await self._open_target(target, new_handler)
            except (OSError, NotConnected) as error:
                failures.append(error)
            else:
                self._failed.clear()
                return stream
        if len(failures) == 1:
            raise failures[0]
        raise _same_kind(failures[0], "; ".join(map(str, failures)))

    # Where to

    async def _find_targets(self) -> list[Target]:
        """Whom to try, in order."""
        if not self._use_srv:
            return list(self._targets)
        domain = self.address.host.removesuffix(".")
        name = f"{_SERVICES[self.address.scheme]}.{domain}."
        records = in_turn(await self._ask(name), random.randint)
        if not records:
            raise OSError(f"DNS says of {name} that there is no broker")
        return [Target(record.host, record.port, domain) for record in records]

    async def _ask(self, name: str) -> list[Srv]:
        # Imported here: that takes longer than all the rest of us.
        import dns.asyncresolver
        import dns.exception
        import dns.resolver

        try:
            resolver = self._resolver or dns.asyncresolver.Resolver()
            answer = await resolver.resolve(name, "SRV", search=False, lifetime=_UNLIMITED)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            raise OSError(f"DNS names no broker: there is no SRV record at {name}") from None
        except dns.exception.DNSException as error:
            raise OSError(f"DNS does not answer for {name}: {error}") from None
        found = [Srv(each.priority, each.weight, each.port, each.target.to_text()) for each in answer]
        return [each._replace(host=each.host.removesuffix(".")) for each in found if each.host != "."]

    # The way there

    async def _open_unix(self, new_handler: NewHandler) -> ClientStream:
        path = self.address.path
        stream = _Line(self, Target("", 0, ""), new_handler)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: stream, path)
        except OSError as error:
            raise _same_kind(error, f"no connection to the socket {path}: {_why(error)}") from None
        except BaseException:
            stream.give_up()
            raise
        return stream

    async def _open_target(self, target: Target, new_handler: NewHandler) -> ClientStream:
        stream = self._new_stream(target, new_handler)
        sock = await self._reach(target)
        try:
            if self._context is None:
                await _hand_over(sock, lambda: stream)
            else:
                await self._secure(sock, lambda: stream, self._context, target)
            if isinstance(stream, WebSocketClientStream):
                await stream.opened
        except OSError as error:
            stream.give_up()
            self._close_untaken(sock, stream)
            raise await self._explained(error, target, is_begun=stream.is_begun) from None
        except BaseException:
            stream.give_up()
            self._close_untaken(sock, stream)
            raise
        return stream

    def _close_untaken(self, sock: socket.socket, stream: "_Line | WebSocketClientStream") -> None:
        """Close a socket that the loop was given and has not taken: uvloop leaves it open if the peer was faster."""
        if self._context is None and not stream.is_begun:
            try:
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
            except OSError:  # or closes the descriptor and does not tell the socket
                sock.detach()
            sock.close()

    def _new_stream(self, target: Target, new_handler: NewHandler) -> "_Line | WebSocketClientStream":
        if not self.address.is_websocket:
            return _Line(self, target, new_handler)
        place = join(target.host, target.port)
        usual = 443 if self.address.is_secure else 80
        host = place.removesuffix(f":{usual}") if target.port == usual else place
        return WebSocketClientStream(
            Handshake(place, host, self.address.path, self._headers, os.urandom(16)), new_handler
        )

    async def _secure(
        self,
        sock: socket.socket,
        factory: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        target: Target,
    ) -> asyncio.Transport:
        return await _hand_over(
            sock,
            factory,
            ssl=context,
            server_hostname=self._name(target),
            ssl_handshake_timeout=_UNLIMITED,
        )

    async def _reach(self, target: Target) -> socket.socket:
        """A connection without anything on it yet."""
        if self._proxy is None:
            sock = await connect(target.host, target.port, self._bind, join(target.host, target.port))
        else:
            sock = await self._proxy.reach(target.host, target.port, self._bind)
        # asyncio does so for sockets that it makes itself: an acknowledgement must not wait for that of the kernel.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for level, option, value in self._socket_options:
                sock.setsockopt(level, option, value)
        except BaseException:
            sock.close()
            raise
        return sock

    def _name(self, target: Target) -> str:
        """The name that the certificate must have."""
        name = target.name if self._tls is None else self._tls.server_name or target.name
        return name.partition("%")[0].removesuffix(".")  # without the zone of an IPv6 address

    # What is wrong

    async def _explained(self, error: OSError, target: Target, *, is_begun: bool) -> OSError | MqttError:
        """What came to be in place of a stream; ``is_begun``: that was behind the handshake of TLS."""
        place = join(target.host, target.port)
        is_lost = isinstance(error, ConnectionError)
        if isinstance(error, ssl.SSLError) or (self._context is not None and is_lost and not is_begun):
            shown = await self._look(target) if isinstance(error, ssl.SSLCertVerificationError) else b""
            return explain(error, place, self._name(target), self._tls, shown)
        if is_lost and is_begun:
            may = "want a client certificate" if self.address.is_secure else "want TLS (wss)"
            return NotConnected(
                f"{place} closes the connection in place of an answer to a WebSocket: it may {may}, "
                "or speak MQTT without WebSocket"
            )
        return _same_kind(error, f"no connection to {place}: {_why(error)}")

    async def _look(self, target: Target) -> bytes:
        """The certificate of a broker that we do not trust, as DER; empty if it does not show it again.

        ``ssl`` does not tell of one that has not passed. Nothing is said on this connection.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        protocol = _Looking()
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                sock = await self._reach(target)
                await self._secure(sock, lambda: protocol, context, target)
        except (OSError, NotConnected):  # TimeoutError, too
            return b""
        finally:
            protocol.give_up()
        return protocol.certificate

    def about_loss(self, error: Exception | None, target: Target, *, was_silent: bool) -> Exception | None:
        """What to say of the end of a connection; ``was_silent``: the broker never said anything."""
        place = self.address.place if self.address.scheme == "unix" else join(target.host, target.port)
        if isinstance(error, ssl.SSLError):
            # In TLS 1.3 a broker says what it thinks of our certificate when the handshake is over for us.
            return explain(error, place, self._name(target), self._tls)
        if not was_silent:
            return error
        may = "not speak this version of MQTT"
        if self._context is not None:
            may = f"want a client certificate, not take the one it got, or {may}"
        elif self.address.scheme == "mqtt":
            may = f"want TLS (mqtts) or WebSocket (ws), or {may}"
        return NotConnected(f"{place} closes the connection without an answer: it may {may}; its log says more")

    def foreign(self, data: bytes, target: Target) -> str:
        """What speaks there in place of a broker, by its first bytes; empty: they may be MQTT."""
        place = join(target.host, target.port)
        if data.startswith(_TLS_ALERT) and self._context is None:
            return f"{place} speaks TLS: use mqtts:// there"
        if data.startswith(_HTTP):
            scheme = "ws" if self._context is None else "wss"
            return f"{place} is a web server: MQTT may be spoken there by WebSocket, with {scheme}://"
        return ""


def _like(address: Address, options: dict[str, Any]) -> Dialer:
    """A dialer that another process has described."""
    return Dialer(address, **options)


class _Line(TcpStream):
    """A stream of MQTT without WebSocket, whose end is explained."""

    __slots__ = (
        "_dialer",
        "_fault",
        "_has_received",
        "_is_ended_here",
        "_is_given_up",
        "_is_over",
        "_target",
        "is_begun",
    )

    def __init__(self, dialer: Dialer, target: Target, new_handler: NewHandler) -> None:
        super().__init__(new_handler)
        self._dialer = dialer
        self._target = target
        self._fault = ""  # what speaks there in place of MQTT
        self._has_received = False
        self.is_begun = False  # the transport is there
        self._is_ended_here = False
        self._is_given_up = False
        self._is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        if self._is_given_up:
            cast(asyncio.Transport, transport).abort()
            return
        self.is_begun = True
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if not self._has_received and not self._begins(data):
            return
        self._handler.received(data)

    def _begins(self, data: bytes) -> bool:
        """Whether MQTT begins like that; otherwise it is over."""
        self._fault = self._fault or self._dialer.foreign(data, self._target)
        if self._fault:
            self._transport.abort()
            return False
        self._has_received = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._is_over or not self.is_begun:
            return
        self._is_over = True
        if self._fault:
            exc = NotConnected(self._fault)
        elif not self._is_ended_here:
            exc = self._dialer.about_loss(exc, self._target, was_silent=not self._has_received)
        super().connection_lost(exc)

    def close(self) -> None:
        """End it when what was written has left, after five seconds at the latest."""
        self._is_ended_here = True
        super().close()

    def abort(self) -> None:
        """End it now."""
        self._is_ended_here = True
        super().abort()

    def give_up(self) -> None:
        """It was not wanted any more before anybody had it."""
        self._is_given_up = True
        if self.is_begun:
            self.abort()
            # When connecting is cancelled, uvloop closes its transport without a word to whoever uses it.
            asyncio.get_running_loop().call_soon(self.connection_lost, None)


class _Looking(asyncio.Protocol):
    """Takes a certificate, and goes."""

    def __init__(self) -> None:
        self.certificate = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is over."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no such class
        self.certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""

    def give_up(self) -> None:
        """Seen enough."""
        if self._transport is not None:
            self._transport.abort()


class Proxy:
    """Who leads us to a broker.

    Args:
        url: what a user has given.

    Raises:
        ValueError: it is no proxy's address, or its user name and password do not fit.
    """

    def __init__(self, url: str) -> None:
        scheme, slashes, rest = url.partition("://")
        self.scheme = scheme.lower()
        login, _, place = rest.removesuffix("/").rpartition("@")
        if not slashes or self.scheme not in _PROXY_PORTS:
            shown = f"{scheme}://" if slashes else repr(url.rpartition("@")[2])
            raise ValueError(f"proxy: {shown} is none of {', '.join(_PROXY_PORTS)}, expected socks5h://host:1080")
        self.host, port = split_place(place, f"the proxy {self.scheme}://{place}")
        self.port = port or _PROXY_PORTS[self.scheme]
        self.place = join(self.host, self.port)
        user, colon, password = login.partition(":")
        self.user = unquote(user)
        self.password = unquote(password)
        self._check_login(is_given=bool(login), has_password=bool(colon))

    def _check_login(self, *, is_given: bool, has_password: bool) -> None:
        where = f"the proxy {self.scheme}://{self.place}"
        if not is_given:
            return
        if self.scheme == "http":
            if ":" in self.user:
                raise ValueError(f"{where}: a user name of HTTP has no colon in it")
        elif not (self.user + self.password).isascii() or "\0" in self.user + self.password:
            raise ValueError(f"{where}: user name and password are ASCII")  # RFC 1929 does not say how else
        elif self.scheme.startswith("socks4"):
            if has_password:
                raise ValueError(f"{where}: SOCKS 4 knows no password; use socks5 or leave it out")
        elif not self.user or not self.password:
            raise ValueError(f"{where}: SOCKS 5 wants a user name and a password, or neither")
        elif max(len(self.user), len(self.password)) > _LONGEST_LOGIN:
            raise ValueError(f"{where}: user name and password have {_LONGEST_LOGIN} bytes at most")

    async def reach(self, host: str, port: int, bind: str) -> socket.socket:
        """A connection to a broker.

        Raises:
            OSError: the proxy is not there.
            NotConnected: it is there, and says no.
        """
        host = host.partition("%")[0]
        return await (self._by_http if self.scheme == "http" else self._by_socks)(host, port, bind)

    async def _by_socks(self, host: str, port: int, bind: str) -> socket.socket:
        # Imported here: most have no proxy.
        from python_socks import ProxyConnectionError, ProxyError, ProxyType
        from python_socks.async_.asyncio import Proxy

        proxy = Proxy(
            ProxyType.SOCKS4 if self.scheme.startswith("socks4") else ProxyType.SOCKS5,
            self.host,
            self.port,
            self.user or None,
            self.password or None,
            rdns=self.scheme in _REMOTE_NAMES,
            loop=asyncio.get_running_loop(),
        )
        local = None
        if bind:
            found = await _local_addresses(bind)
            local = next(iter(found.values()))[:2]
        try:
            return await proxy.connect(host, port, timeout=_UNLIMITED, local_addr=local)
        except ProxyError as error:
            raise NotConnected(f"the proxy {self.place} does not lead to {join(host, port)}: {error}") from None
        except ProxyConnectionError as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise _same_kind(cause, f"no connection to the proxy {self.place}: {_why(cause)}") from None
        except socket.gaierror as error:  # the broker's name; that of the proxy is a ProxyConnectionError
            raise _same_kind(error, f"no connection to {join(host, port)}: {_why(error)}") from None
        except OSError as error:
            raise _same_kind(error, f"the proxy {self.place} does not answer: {_why(error)}") from None

    async def _by_http(self, host: str, port: int, bind: str) -> socket.socket:
        """By CONNECT. The library that knows SOCKS takes what one read brings for the whole answer."""
        loop = asyncio.get_running_loop()
        sock = await connect(self.host, self.port, bind, f"the proxy {self.place}")
        try:
            place = join(host.encode("idna").decode() if not is_ip(host) else host, port)
            await loop.sock_sendall(sock, self.request(place))
            head = b""
            while b"\r\n\r\n" not in head and len(head) <= _MOST_PROXY_HEAD:
                data = await loop.sock_recv(sock, 4096)
                if not data:
                    break
                head += data
            self.check_answer(head, place)
        except OSError as error:
            sock.close()
            raise _same_kind(error, f"the proxy {self.place} does not answer: {_why(error)}") from None
        except BaseException:
            sock.close()
            raise
        return sock

    def request(self, place: str) -> bytes:
        """What is said to an HTTP proxy to be led to a place (RFC 9110, section 9.3.6)."""
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
        if self.user or self.password:
            login = b64encode(f"{self.user}:{self.password}".encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {login}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def check_answer(self, head: bytes, place: str) -> None:
        """Look at the head of its answer.

        Raises:
            NotConnected: it does not lead there, or it is no such proxy.
        """
        first, _, _ = head.partition(b"\r\n")
        version, _, status = first[:200].decode("latin-1").partition(" ")
        if not version.startswith("HTTP/1.") or not head.endswith(b"\r\n\r\n"):
            seen = repr(head[:40]) if head else "nothing"
            raise NotConnected(f"the proxy {self.place} does not answer as one of HTTP does: it says {seen}")
        if status.startswith("407"):
            raise NotConnected(f"the proxy {self.place} wants another user name and password ({status})")
        if not status.startswith("2"):
            raise NotConnected(f"the proxy {self.place} does not lead to {place}: {status}")


# TCP


async def _hand_over(sock: socket.socket, factory: Callable[[], asyncio.Protocol], **tls: Any) -> asyncio.Transport:
    """Give a connected socket to the loop, which closes it.

    uvloop closes the descriptor of a connection that is lost at once and leaves the socket as it was, which would close
    the same number later on: perhaps that of somebody else.
    """
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(factory, sock=sock, **tls)
    if transport.is_closing() and not isinstance(loop, asyncio.BaseEventLoop):
        sock.detach()
    return transport


async def connect(host: str, port: int, bind: str, what: str) -> socket.socket:
    """A TCP connection to the address of a host that answers first (RFC 8305).

    Args:
        host: a name or an IP address.
        port: where it listens.
        bind: the local address; empty: any.
        what: whom it leads to, for people.

    Raises:
        OSError: there is none.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _same_kind(error, f"no connection to {what}: {_why(error)}") from None
    local: dict[int, Any] = await _local_addresses(bind) if bind else {}
    addresses = [(family, address) for family, _, _, _, address in found if not bind or family in local]
    if not addresses:
        raise OSError(f"no connection to {what}: it has no address of the kind that bind, {bind}, is of")
    waiting = deque(_mixed(list(dict.fromkeys(addresses))))
    failures: dict[str, OSError] = {}
    tasks: dict[asyncio.Task[socket.socket], str] = {}
    try:
        while waiting or tasks:
            if waiting:
                family, address = waiting.popleft()
                tasks[loop.create_task(_attempt(family, address, local.get(family)))] = str(address[0])
            done, _ = await asyncio.wait(
                tasks, timeout=_HEAD_START if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                place = tasks.pop(task)
                try:
                    return task.result()
                except OSError as error:
                    failures[place] = error
    finally:
        for task in tasks:
            task.cancel()
            task.add_done_callback(_let_go)
    raise _joined(failures, what)


async def _attempt(family: int, address: Any, local: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if local is not None:
            sock.bind(local)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _let_go(task: "asyncio.Task[socket.socket]") -> None:
    """An attempt came too late, whatever came of it."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _mixed(addresses: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """The families take turns, the first one begins: if one does not get through, little time is lost."""
    first = [each for each in addresses if each[0] == addresses[0][0]]
    others = [each for each in addresses if each[0] != addresses[0][0]]
    return [each for each in chain.from_iterable(zip_longest(first, others)) if each is not None]


async def _local_addresses(bind: str) -> dict[int, Any]:
    """The socket's address for each family that a local address or name has."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(bind, 0, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _same_kind(error, f"bind, {bind}, is no address of this machine: {_why(error)}") from None
    return {family: address for family, _, _, _, address in reversed(found)}


# SRV


def in_turn(records: Sequence[Srv], random_number: Callable[[int, int], int]) -> list[Srv]:
    """The order in which to try them (RFC 2782): by priority, and by chance within one, as their weights say.

    Args:
        records: what DNS says.
        random_number: a whole number between two, both included.
    """
    order: list[Srv] = []
    left = sorted(records, key=lambda record: (record.priority, record.weight))
    while left:
        rivals = [record for record in left if record.priority == left[0].priority]
        mark = random_number(0, sum(record.weight for record in rivals))
        for record in rivals:
            mark -= record.weight
            if mark <= 0:
                break
        order.append(record)
        left.remove(record)
    return order


# Words

_WHY: Final = {
    errno.ECONNREFUSED: "nothing listens there",
    errno.ECONNRESET: "the connection is reset",
    errno.ENOENT: "it is not there",
    errno.EACCES: "the user of this process may not use it",
    errno.EADDRNOTAVAIL: "this machine has no such address to come from, or no port left",
}


def _why(error: OSError) -> str:
    """What an error of the system means."""
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve ({error.strerror or error})"
    number = error.errno
    if number is None:
        return str(error) or type(error).__name__
    return _WHY.get(number) or os.strerror(number)


def _joined(failures: Mapping[str, OSError], what: str) -> OSError | MqttError:
    """One error for all addresses of a host."""
    reasons = {address: _why(error) for address, error in failures.items()}
    if len(set(reasons.values())) == 1:
        text = f"{next(iter(reasons.values()))} ({', '.join(reasons)})"
    else:
        text = "; ".join(f"{address}: {reason}" for address, reason in reasons.items())
    return _same_kind(next(iter(failures.values())), f"no connection to {what}: {text}")


def _same_kind(error: OSError | NotConnected, text: str) -> OSError | NotConnected:
    """An error like another, which says more. A ``TimeoutError`` is for those who have set a limit."""
    if isinstance(error, NotConnected):
        return NotConnected(text)
    kinds = (ConnectionError, socket.gaierror, FileNotFoundError, PermissionError)
    made = type(error)(text) if isinstance(error, kinds) else OSError(text)
    made.errno = error.errno
    return made
