"""Doors: where clients come in. One for each listener.

Knows sockets, and what comes before the first byte of MQTT: the guard's word, the PROXY protocol, TLS. Knows nothing
of MQTT. Whoever needs ``tls`` here imports it then: its library takes longer to load than all the rest of a broker that
has no certificates.
"""

import asyncio
import errno
import ipaddress
import logging
import os
import socket
import ssl
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, cast

from telex.server.config import ConfigError, Listener
from telex.server.log import Event, Throttle
from telex.streams.proxy_protocol import BadHeader, HeaderReader, Proxied, plain_host
from telex.streams.stream import Handler, Stream
from telex.streams.tcp import Arrival, TcpStream, host_of, shown_address

if TYPE_CHECKING:
    from telex.server.tls import Files

logger = logging.getLogger("telex")

_BACKLOG: Final = 1024  # connections that the kernel holds for us while we are busy
_BATCH: Final = 16  # connections that are taken in before everything else has its turn
_PAUSE_SECONDS: Final = 1.0  # after no connection could be taken in
_TELL_SECONDS: Final = 60.0  # between two complaints of that
_REFUSALS: Final = 3  # lines about refused connections of one address in ten seconds
_SPARE_FILES: Final = 32  # that connections leave to the broker: for its store, its log, certificates
_FREE_PORT_TRIES: Final = 20  # to find a port that is free for IPv4 and IPv6
_LAST_BYTES: Final = 65_536  # of a connection that is refused, and read by nobody
_NO_IPV6: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
_SCHEMES: Final = {"mqtt": ("mqtt", "mqtts"), "websocket": ("ws", "wss"), "http_api": ("http", "https")}


class DoorGuard(Protocol):
    """Who is asked whether a connection may come in. ``listener`` is what ``name_of`` calls it."""

    def comes(self, host: str, listener: str, now: float) -> float | None:
        """A connection comes from an address: for how many seconds it has to wait, or None: it may not come in."""

    def goes(self, host: str, listener: str, now: float) -> None:
        """A connection is over that was not refused: once for each, also if it was never a stream."""


def name_of(listener: Listener) -> str:
    """What a listener is called: ``127.0.0.1:1883``, ``*:1883`` for every address, or the path of a Unix socket."""
    if listener.path:
        return listener.path
    host = f"[{listener.host}]" if ":" in listener.host else listener.host or "*"
    return f"{host}:{listener.port}"


def check(listener: Listener) -> "Lock":
    """Whether a door takes a description, as far as it can be said without listening; what ``Door.change`` takes then.

    Raises:
        ConfigError: what is wrong, and what to do.
    """
    return Lock(listener)


class Door:
    """One listener: where clients come in, and how a connection becomes a stream.

    Args:
        listener: its description.
        opened: makes who uses a stream, when it is there.
        guard: who is asked for each connection.
        handshake_timeout: seconds (may be changed) for a TLS handshake, and for what a proxy says before it.
        now: the time, in seconds since 1970.
        protocol: makes what asyncio calls for a connection; by default, a ``TcpStream``. It must call
            ``opened`` and ``gone`` of the ``Arrival`` that it is given. Every protocol but MQTT has its own.
    """

    def __init__(
        self,
        listener: Listener,
        opened: Callable[[Stream], Handler],
        *,
        guard: DoorGuard,
        handshake_timeout: float,
        now: Callable[[], float],
        protocol: Callable[[Arrival], asyncio.BaseProtocol] | None = None,
    ) -> None:
        assert protocol is not None or listener.protocol == "mqtt"  # a broker knows who speaks the others
        self.listener = listener
        self.name = name_of(listener)
        self._opened = opened
        self._protocol = protocol
        self._guard = guard
        self.handshake_timeout = handshake_timeout
        self._now = now
        self._lock = Lock(Listener())  # open() reads the one of the description
        self._sockets: list[socket.socket] = []
        self._port = 0  # that we listen on; 0: none
        self._socket_file: tuple[int, int] | None = None  # device and inode of the Unix socket that we made
        self._servers: list[asyncio.AbstractServer] = []  # if asyncio takes connections in
        self._watched: dict[socket.socket, asyncio.TimerHandle | None] = {}  # if we do; a timer: after a pause
        self._accepting: list[asyncio.Task[None]] = []  # the same where sockets cannot be watched: one for each
        self._arriving: set[asyncio.Task[None]] = set()  # one for each connection that is no stream yet
        self._complained_at = 0.0  # seconds since 1970
        self._most_files = 0  # what is numbered higher is for the broker itself
        self._refusals = Throttle(_REFUSALS)

    async def open(self) -> None:
        """Listen; clients can come when this returns.

        Raises:
            ConfigError: the description cannot be used: what is wrong, and what to do.
            OSError: the address cannot be listened on; ``strerror`` says where, and what to do.
        """
        self._lock = Lock(self.listener)
        self._tell_of_certificates()
        self._most_files = _most_files()
        self._sockets = await _listen(self.listener)
        if not self.listener.path:
            self._port = self._sockets[0].getsockname()[1]
        try:
            if self.listener.path:
                self._socket_file = _identity_of(self.listener.path)
            await self._serve()
        except BaseException:
            self.close()
            raise

    async def change(self, listener: Listener, lock: "Lock | None" = None) -> None:
        """Take another description of the same address; connections that are there stay, and none that comes is lost.

        ``lock`` is what ``check`` made of the description, so that no file has changed since.

        Raises:
            ConfigError: it cannot be used, and the old one holds.
        """
        assert name_of(listener) == name_of(self.listener)  # another address is another door
        lock = lock or Lock(listener)
        former, self.listener, self._lock = self.listener, listener, lock
        self._tell_of_certificates()
        if self._sockets and listener.path_mode != former.path_mode:
            self._change_mode(listener)
        if self._sockets and self._is_direct != bool(self._servers):
            self._stop_serving()  # the sockets stay, and listen
            await self._serve()

    def renew(self) -> None:
        """Take certificates and keys that were renewed on disk for connections that come; to be called now and then.

        It is also told then how many were refused, of those who came too often for a line each.

        If what is there now is of no use, the old ones hold, and the log says so once.
        """
        self._refusals.tick(self._now())
        files = self._lock.files
        if files is None or not files.changed():
            return
        try:
            self._lock = Lock(self.listener)
        except ConfigError as error:
            logger.warning("keeps its old certificates listener=%s reason=%s", self.name, error)
        else:
            logger.info("has new certificates listener=%s", self.name)
            self._tell_of_certificates()

    def close(self) -> None:
        """Let nobody in any more, and drop who is on the way in; streams stay. ``open`` is possible again."""
        self._remove_socket_file()
        accepting, sockets = self._accepting, self._sockets
        self._sockets = []
        self._port = 0
        for task in self._arriving:
            task.cancel()
        self._stop_serving()
        for each in sockets[len(accepting) :]:
            each.close()
        for task, each in zip(accepting, sockets, strict=False):  # the loop still looks at it until the task is over
            task.add_done_callback(partial(_close, each))

    async def wait_closed(self) -> None:
        """Wait until nobody is on the way in, and the address is free."""
        if self._arriving:
            await asyncio.wait(self._arriving)
        await asyncio.sleep(0)  # uvloop closes sockets in a turn of its own

    @property
    def addresses(self) -> list[str]:
        """Where clients reach it, for people: ``mqtts://127.0.0.1:8883``, ``mqtt+unix:/run/x.sock``."""
        is_secure = self.listener.tls is not None or self.listener.psk is not None
        scheme = _SCHEMES[self.listener.protocol][is_secure]
        if self.listener.path:
            return [f"{scheme}+unix:{self.listener.path}"] if self._sockets else []
        return [f"{scheme}://{shown_address(each.getsockname())}" for each in self._sockets]

    @property
    def port(self) -> int:
        """The TCP port in use; that of the description, if it is closed or has none."""
        return self._port or self.listener.port

    def _tell_of_certificates(self) -> None:
        """Say in the log what clients will not like about them."""
        if self.listener.tls is not None:
            from telex.server import tls

            for finding in tls.check(self.listener.tls, _known_names(self.listener), now=self._now()):
                logger.warning("certificates listener=%s: %s", self.name, finding.text)

    def _change_mode(self, listener: Listener) -> None:
        try:
            if listener.path:
                os.chmod(listener.path, listener.path_mode)
        except OSError as error:  # such as: it was made when we were root
            logger.warning("cannot change path_mode listener=%s reason=%s", self.name, error.strerror)

    # Serving

    @property
    def _is_direct(self) -> bool:
        """Whether nothing comes before the first byte of MQTT: then asyncio's own server takes connections in."""
        listener = self.listener
        return not (self._protocol or listener.path or listener.tls or listener.psk or listener.proxy_protocol)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for each in self._sockets:
            if self._is_direct:
                # A duplicate: what asyncio closes is not what listens.
                server = await loop.create_server(self._new_protocol, sock=each.dup(), backlog=_BACKLOG)
                self._servers.append(server)
                continue
            try:
                loop.add_reader(each, self._take_what_came, each)
            except NotImplementedError:  # Windows
                self._accepting.append(loop.create_task(self._accept(each)))
            else:
                self._watched[each] = None

    def _stop_serving(self) -> None:
        """Take no more connections; those that come gather in the sockets."""
        for server in self._servers:
            server.close()
        self._servers = []
        for listening, timer in self._watched.items():
            asyncio.get_running_loop().remove_reader(listening)
            if timer is not None:
                timer.cancel()
        self._watched = {}
        for task in self._accepting:
            task.cancel()
        self._arriving.update(self._accepting)  # until they are gone
        for task in self._accepting:
            task.add_done_callback(self._arriving.discard)
        self._accepting = []

    def _new_protocol(self, visitor: "_Visitor | None" = None) -> asyncio.BaseProtocol:
        visitor = visitor or _Visitor(self)
        return self._protocol(visitor) if self._protocol is not None else TcpStream(self._opened, visitor)

    def _take_what_came(self, listening: socket.socket) -> None:
        """Take connections in.

        Not ``loop.sock_accept``: when that is cancelled, it may have taken one in that nobody gets any more.
        """
        for _ in range(_BATCH):
            try:
                connection, name = listening.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # it was gone before it was taken in
                continue
            except OSError as error:  # no more files, mostly: trying at once would only burn the processor
                self._complain(error)
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                self._watched[listening] = loop.call_later(_PAUSE_SECONDS, self._watch_again, listening)
                return
            connection.setblocking(False)
            self._begin_to_take_in(connection, name)

    def _watch_again(self, listening: socket.socket) -> None:
        self._watched[listening] = None
        asyncio.get_running_loop().add_reader(listening, self._take_what_came, listening)

    async def _accept(self, listening: socket.socket) -> None:
        """The same for ever, where sockets cannot be watched."""
        loop = asyncio.get_running_loop()
        count = 0
        while True:
            try:
                connection, name = await loop.sock_accept(listening)
            except ConnectionError:  # it was gone before it was taken in
                continue
            except OSError as error:  # no more files, mostly: trying at once would only burn the processor
                self._complain(error)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._begin_to_take_in(connection, name)
            count += 1
            if count % _BATCH == 0:
                await asyncio.sleep(0)

    def has_room(self, number: int) -> bool:
        """Whether a connection whose file has this number leaves enough files to the broker itself.

        Otherwise nothing could be stored, and asyncio would lose connections without a word.
        """
        if number < self._most_files:
            return True
        self._complain(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
        return False

    def _complain(self, error: OSError) -> None:
        now = self._now()
        if now - self._complained_at < _TELL_SECONDS:
            return
        self._complained_at = now
        remedy = ""
        if error.errno in (errno.EMFILE, errno.ENFILE):
            remedy = ": raise its limit of open files (ulimit -n, LimitNOFILE=), or allow fewer connections"
        logger.error("takes no connections in listener=%s reason=%s%s", self.name, error.strerror, remedy)

    def _begin_to_take_in(self, connection: socket.socket, name: object) -> None:
        visitor = _Visitor(self)
        visitor.is_from(name)
        visitor.task = task = asyncio.get_running_loop().create_task(self._take_in(connection, visitor))
        self._arriving.add(task)
        task.add_done_callback(partial(self._taken_in, connection, visitor))

    def _taken_in(self, connection: socket.socket, visitor: "_Visitor", task: "asyncio.Task[None]") -> None:
        # Here, since a task that is cancelled before its first step does not come to any end of its own.
        self._arriving.discard(task)
        if not visitor.is_stream:
            visitor.gone()
            connection.close()

    async def _take_in(self, connection: socket.socket, visitor: "_Visitor") -> None:
        """Bring one connection from accept to its stream."""
        try:
            visitor.is_stream = self.has_room(connection.fileno()) and await self._bring_in(connection, visitor)
        except _Refused as refused:
            fields = {"address": visitor.address, "listener": self.name, "reason": str(refused)}
            self._refusals.tell(visitor.host, Event("refused", fields, is_refusal=True), self._now())
        except Exception:
            logger.exception("a fault of ours ended the connection of %s", visitor.address)

    async def _bring_in(self, connection: socket.socket, visitor: "_Visitor") -> bool:
        """Whether it became a stream; False: the guard sent it away."""
        listener = self.listener
        if listener.proxy_protocol:
            await self._hear_proxy(connection, visitor)
        wait = visitor.ask_guard()
        if wait is None:
            return False
        if wait:
            await asyncio.sleep(wait)
        context = self._lock.context_for(visitor)
        if connection.family != socket.AF_UNIX:
            with suppress(OSError):  # it may be gone
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        if context is None:
            await loop.connect_accepted_socket(lambda: self._new_protocol(visitor), connection)
            return True
        from telex.server import tls

        until = loop.time() + self.handshake_timeout
        await self._hear_hello(connection)
        tls.farewell.set(partial(_say_farewell, connection))
        try:
            await loop.connect_accepted_socket(
                lambda: self._new_protocol(visitor),
                connection,
                ssl=context,
                ssl_handshake_timeout=max(0.1, until - loop.time()),
            )
        except OSError as error:
            raise _Refused(f"TLS: {tls.explain(error)}") from error
        return True

    async def _hear_hello(self, connection: socket.socket) -> None:
        """Wait for the first bytes of TLS, and leave them there: who says nothing costs no more than a file."""
        from telex.server import tls

        try:
            async with asyncio.timeout(self.handshake_timeout):
                start = await _peek(connection)
        except TimeoutError as error:
            raise _Refused(f"TLS: {tls.explain(error)}") from error
        except OSError as error:
            raise _Refused(f"TLS: {tls.explain(error)}") from error
        wrong = tls.no_tls(start)
        if wrong:
            raise _Refused(f"TLS: {wrong}")

    async def _hear_proxy(self, connection: socket.socket, visitor: "_Visitor") -> None:
        """Read what a proxy says, and not one byte of what follows."""
        if not self._lock.trusts(visitor.host):
            raise _Refused("PROXY: it is not in trusted_proxies")
        loop = asyncio.get_running_loop()
        reader = HeaderReader(self.listener.proxy_protocol)
        try:
            async with asyncio.timeout(self.handshake_timeout):
                while reader.wanted:
                    data = await loop.sock_recv(connection, reader.wanted)
                    if not data:
                        raise _Refused("PROXY: it closed the connection before the PROXY header was whole")
                    reader.receive(data)
        except BadHeader as error:
            raise _Refused(f"PROXY: {error}") from error
        except TimeoutError as error:
            raise _Refused("PROXY: no whole PROXY header came in time; does it speak the protocol?") from error
        except OSError as error:
            raise _Refused(f"PROXY: {error.strerror}") from error
        assert reader.proxied is not None  # nothing more is wanted
        if self.listener.proxy_requires_tls and not reader.proxied.is_tls:
            raise _Refused("PROXY: its client did not come by TLS, and proxy_requires_tls is set")
        visitor.is_proxied(reader.proxied)

    def _remove_socket_file(self) -> None:
        """Only if it is ours: another process may have put its own there."""
        made, self._socket_file = self._socket_file, None
        with suppress(OSError):  # gone already, or the directory is not ours any more
            if made is not None and _identity_of(self.listener.path) == made:
                os.unlink(self.listener.path)


def _say_farewell(connection: socket.socket, alert: bytes) -> None:
    """Send the alert that ends a handshake, if the kernel takes it at once; asyncio closes the connection next."""
    with suppress(OSError):
        connection.send(alert)
        connection.recv(_LAST_BYTES)  # what is not read makes the kernel reset the connection, and the alert is lost


def _close(listening: socket.socket, task: "asyncio.Task[None]") -> None:
    listening.close()


class _Refused(Exception):
    """A connection may not come in: why, for people."""


class _Visitor(Arrival):
    """A connection that came by a door: counted by its guard, exactly once."""

    __slots__ = ("_door", "_is_counted", "_waiting", "is_stream", "task")

    def __init__(self, door: Door) -> None:
        super().__init__()
        self._door = door
        self.task: asyncio.Task[None] | None = None  # that brings it in; None: asyncio's server does
        self.is_stream = False  # its task has come to its end
        self._is_counted = False
        self._waiting: asyncio.TimerHandle | None = None

    def is_from(self, name: object) -> None:
        """Where the socket's other end is."""
        path = self._door.listener.path
        self.address = f"unix:{path}" if path else shown_address(name)
        self.host = "" if path else plain_host(host_of(name))

    def is_proxied(self, proxied: Proxied) -> None:
        """What a proxy says of it, unless that speaks for itself."""
        if not proxied.is_local:
            self.address = proxied.address
            self.host = proxied.host
        if proxied.is_tls:
            self.via_tls = proxied.tls_version or "TLS"

    def identified(self, identity: str) -> None:
        """It has a key of this identity."""
        self.identity = identity

    def ask_guard(self) -> float | None:
        """For how many seconds it has to wait; None: it may not come in."""
        door = self._door
        wait = door._guard.comes(self.host, door.name, door._now())
        self._is_counted = wait is not None
        return wait

    def opened(self, transport: asyncio.BaseTransport) -> bool:
        """It is open. False: it was refused and is closed."""
        if not self._is_counted:
            return self._may_enter(transport)
        if self.task is not None:
            # A stream now, which stays when the door closes. Were its task ended before its next turn, uvloop would
            # close the connection without a word, and its handler would wait for ever.
            self._door._arriving.discard(self.task)
        session = transport.get_extra_info("ssl_object")
        if session is not None:
            self._is_secured(session)
        return True

    def _may_enter(self, transport: asyncio.BaseTransport) -> bool:
        """Ask the guard for a connection that asyncio's server took in."""
        transport = cast(asyncio.Transport, transport)  # those of uvloop are none by their class
        name = transport.get_extra_info("peername")
        self.is_from(name)
        wait = None
        if name and self._door.has_room(transport.get_extra_info("socket").fileno()):  # without a name it is gone
            wait = self.ask_guard()
        if wait is None:
            transport.abort()
            return False
        if wait:
            loop = asyncio.get_running_loop()
            transport.pause_reading()
            loop.call_soon(self._pause, transport)  # uvloop begins to read when connection_made returns, all the same
            self._waiting = loop.call_later(wait, self._has_waited, transport)
        return True

    def _pause(self, transport: asyncio.Transport) -> None:
        if self._waiting is not None and not transport.is_closing():
            transport.pause_reading()

    def _has_waited(self, transport: asyncio.Transport) -> None:
        self._waiting = None
        if not transport.is_closing():
            transport.resume_reading()

    def _is_secured(self, session: ssl.SSLObject) -> None:
        self.via_tls = session.version() or ""
        described = self._door.listener.tls
        if described is not None and described.user_from:
            from telex.server import tls

            certificate = session.getpeercert(binary_form=True)
            self.identity = tls.user_of(certificate, described.user_from) if certificate else ""

    def gone(self) -> None:
        """It is over. May be called more than once."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._is_counted:
            self._is_counted = False
            self._door._guard.goes(self.host, self._door.name, self._door._now())


class Lock:
    """What opens a door: certificates and keys, and which proxies may speak for others. Read once, from files."""

    def __init__(self, listener: Listener) -> None:
        if listener.tls is not None and listener.psk is not None:
            raise ConfigError(f"listener {name_of(listener)}: tls and psk are two ways for the same; give one of them")
        self._psk = listener.psk
        self._psk_keys: dict[str, bytes] = {}
        self._context: ssl.SSLContext | None = None
        self._proxies = [_network(each, listener) for each in listener.trusted_proxies]
        self.files: Files | None = None  # that are read here; None: none
        if listener.tls is None and listener.psk is None:
            return
        from telex.server import tls

        if listener.psk is not None:
            self._psk_keys = tls.psk_keys(listener.psk)
        self.files = tls.files_of(listener.tls, listener.psk)
        if listener.tls is not None:
            self._context = tls.server_context(listener.tls)

    def context_for(self, visitor: _Visitor) -> ssl.SSLContext | None:
        """What one connection needs for TLS; None: nothing."""
        if self._psk is None:
            return self._context
        from telex.server import tls

        identified = visitor.identified if self._psk.user_from_identity else _nobody
        return tls.psk_context(self._psk, self._psk_keys, identified)

    def trusts(self, host: str) -> bool:
        """Whether an address may speak the PROXY protocol; empty: a Unix socket."""
        if not self._proxies:
            return True
        if not host:
            return None in self._proxies
        address = ipaddress.ip_address(host)
        return any(each is not None and address in each for each in self._proxies)


def _nobody(identity: str) -> None:
    """An identity that is of no interest."""


def _network(text: str, listener: Listener) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """None: Unix sockets."""
    if text == "unix":
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError(
            f"listener {name_of(listener)}: trusted_proxies: {text!r} is no address, no network and not unix"
        ) from error


def _known_names(listener: Listener) -> list[str]:
    """By which names clients know a listener, as far as its description tells."""
    host = listener.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return [host] if host and host != "localhost" else []
    return [] if address.is_loopback or address.is_unspecified else [host]


def _most_files() -> int:
    """How many files connections may have, so that some are left: files get the lowest number that is free."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return sys.maxsize
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if most == resource.RLIM_INFINITY else most - min(_SPARE_FILES, most // 4)


async def _peek(connection: socket.socket) -> bytes:
    """The first bytes that come, which stay where they are."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    try:
        loop.add_reader(connection, _set, ready)
    except NotImplementedError:  # Windows: then the handshake itself waits
        return b""
    try:
        await ready
    finally:
        loop.remove_reader(connection)
    try:
        start = connection.recv(8, socket.MSG_PEEK)
    except BlockingIOError:
        return b""
    if not start:
        raise ConnectionResetError(errno.ECONNRESET, "closed by the client")
    return start


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


# Listening sockets


async def _listen(listener: Listener) -> list[socket.socket]:
    """The sockets of a listener: one for each address that its host has.

    Raises:
        OSError: one of them cannot be had; ``strerror`` says where, and what to do.
    """
    if listener.path:
        return [_listen_unix(listener)]
    addresses = await _addresses_of(listener)
    for tries_left in range(_FREE_PORT_TRIES, -1, -1):
        try:
            return _listen_tcp(listener, addresses)
        except OSError as error:
            # The port that was free for the first address is in use for the second: another one is needed.
            if listener.port or error.errno != errno.EADDRINUSE or not tries_left:
                raise
    raise AssertionError  # the last try returned or raised


async def _addresses_of(listener: Listener) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    family = {"": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}[listener.family]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            listener.host or None, listener.port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        number = error.errno if isinstance(error, socket.gaierror) else socket.EAI_NONAME
        kind = f" to an {listener.family.replace('ip', 'IP')} address" if listener.family else ""
        raise socket.gaierror(
            number, f"cannot listen on {name_of(listener)}: the host name {listener.host!r} does not resolve{kind}"
        ) from error
    return list(dict.fromkeys((each[0], each[4]) for each in found))


def _listen_tcp(
    listener: Listener, addresses: list[tuple[socket.AddressFamily, tuple[object, ...]]]
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    port = listener.port
    lacking: OSError | None = None  # why an address cannot be used at all
    try:
        for family, address in addresses:
            try:
                listening = _bound(listener, family, (address[0], port, *address[2:]))
            except OSError as error:
                if error.errno not in _NO_IPV6:
                    raise
                lacking = error  # such as IPv6 that is switched off: the other addresses are enough
                continue
            sockets.append(listening)
            port = listening.getsockname()[1]
    except BaseException:
        for each in sockets:
            each.close()
        raise
    if not sockets:
        assert lacking is not None  # a name has one address at least
        raise lacking
    return sockets


def _bound(listener: Listener, family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _cannot_listen(listener, error, address) from error
    try:
        if os.name == "posix":  # elsewhere it would let two programs listen at one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
        if listener.interface:
            _bind_to_interface(listening, listener)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _cannot_listen(listener, error, address) from error
    except BaseException:
        listening.close()
        raise
    return listening


def _bind_to_interface(listening: socket.socket, listener: Listener) -> None:
    option: int | None = getattr(socket, "SO_BINDTODEVICE", None)
    if option is None:
        raise ConfigError(f"listener {name_of(listener)}: interface works on Linux only; name its address as host")
    listening.setsockopt(socket.SOL_SOCKET, option, listener.interface.encode() + b"\0")


def _cannot_listen(listener: Listener, error: OSError, address: tuple[object, ...]) -> OSError:
    """The same error, with a sentence for people."""
    why = {
        errno.EADDRINUSE: "another program listens there; stop it, or choose another port",
        errno.EACCES: "ports below 1024 need privileges; choose another port, or start as root and set user",
        errno.EPERM: "this user may not bind to an interface; start as root and set user",
        errno.ENODEV: f"there is no interface {listener.interface!r}",
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.EAFNOSUPPORT: "this machine has no IPv6" if ":" in str(address[0]) else "this machine has no IPv4",
    }.get(error.errno or 0, error.strerror)
    return OSError(error.errno, f"cannot listen on {shown_address(address)}: {why}")


def _listen_unix(listener: Listener) -> socket.socket:
    path = listener.path
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError(f"listener {path}: this system has no Unix sockets")
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(path)
        try:
            os.chmod(path, listener.path_mode)  # nobody can connect before listen
            listening.listen(_BACKLOG)
        except BaseException:
            os.unlink(path)
            raise
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _cannot_make_socket(path, error) from error
    return listening


def _remove_stale(path: str) -> None:
    """Remove the socket file of a process that is gone."""
    try:
        found = os.lstat(path)
    except OSError:
        return  # nothing is there, or bind will say what is wrong
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(
            errno.EEXIST, f"cannot listen on {path}: it is there and is no socket; remove it, or choose another path"
        )
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.setblocking(False)
        probe.connect(path)
    except ConnectionRefusedError:  # nobody listens
        with suppress(OSError):  # bind will say what is wrong
            os.unlink(path)
        return
    except BlockingIOError:
        pass  # somebody listens, and has much to do
    except OSError as error:
        raise _cannot_make_socket(path, error) from error
    finally:
        probe.close()
    raise OSError(
        errno.EADDRINUSE, f"cannot listen on {path}: another program listens there; stop it, or choose another path"
    )


def _cannot_make_socket(path: str, error: OSError) -> OSError:
    why = error.strerror or str(error)  # a path that is too long has no number
    if isinstance(error, FileNotFoundError):
        why = "its directory is not there; make it"
    elif isinstance(error, PermissionError):
        why = "this user may not write to its directory, or to the socket that is there"
    return OSError(error.errno or errno.EINVAL, f"cannot listen on {path}: {why}")


def _identity_of(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
