"""The reception: all listeners of a broker, and who keeps them. What they are may change while clients are there.

Knows descriptions, doors and doorkeepers. What becomes of a stream that comes in
is the broker's business.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from telex.engine.options import Options
from telex.server import doors
from telex.server.access.doorkeeper import Banned, Doorkeeper
from telex.server.access.gate import AccessGate
from telex.server.access.password_file import Hasher
from telex.server.access.secret import lasting_secret
from telex.server.access.ways import Admitted, Applicant, Denied
from telex.server.config import (
    Access,
    Config,
    ConfigError,
    Listener,
    Web,
    doorkeeping,
    everybody_administers,
    limits_of,
    web_listener,
)
from telex.server.doors import Door, name_of
from telex.server.guard import Guard
from telex.streams.stream import Handler, Stream

if TYPE_CHECKING:
    from telex.server.web.server import WebServer

logger = logging.getLogger("telex")

Opened = Callable[[Stream, object], Handler]
"""Makes who uses a stream, and takes what the gate shall know of it."""


class Entrance:
    """One listener, open.

    Args:
        name: that it has in visits, and that no other has.
        listener: its description.
        options: the limits of those who come in here.
    """

    def __init__(self, name: str, listener: Listener, options: Options) -> None:
        self.name = name
        self.listener = listener
        self.options = options
        self.door: Door
        self.web: WebServer | None = None  # that speaks HTTP with those who come in
        self.is_http_port = False  # it has the page and the API
        self.is_optional = False  # nobody asked for it: where it cannot be, the others are

    @property
    def addresses(self) -> list[str]:
        """Where clients reach it."""
        return self.door.addresses

    @property
    def is_like(self) -> tuple[object, ...]:
        """What cannot change while it is open."""
        listener = self.listener
        return (listener.protocol, listener.interface, listener.family, listener.http_directory, self.is_http_port)

    async def open(self) -> None:
        """Listen."""
        if self.web is not None:
            await self.web.start()
        await self.door.open()

    async def change(self, listener: Listener, lock: doors.Lock, options: Options) -> None:
        """Go on with another description that has the same address, and what ``doors.check`` made of it."""
        await self.door.change(listener, lock)
        self.listener = listener
        self.options = options
        if self.web is not None:
            self.web.listener = listener

    async def close(self) -> None:
        """Listen no more; streams stay."""
        self.door.close()
        await self.door.wait_closed()
        if self.web is not None:
            await self.web.stop()


class Reception:
    """The listeners of one broker.

    Args:
        opened: makes who uses a stream that came in by an entrance, and what the gate shall know of it before.
        gate: whom to tell of doorkeepers; None: somebody else decides who comes in.
        guard: whom doors ask.
        now: the broker's clock.
        values: what ``http_api`` shows: ``$SYS`` topics and their values.
        data: the directory for what outlives the process; None: nothing does.
        http_port: makes who answers at the HTTP port.
    """

    def __init__(
        self,
        opened: "Callable[[Stream, Entrance, object], Handler]",
        gate: AccessGate | None,
        guard: Guard,
        *,
        now: Callable[[], float],
        values: Callable[[], dict[str, str]],
        data: Path | None = None,
        http_port: "Callable[[Entrance, Opened], Awaitable[WebServer]] | None" = None,
    ) -> None:
        self._opened = opened
        self._gate = gate
        self._guard = guard
        self._now = now
        self._values = values
        self._data = data
        self._http_port = http_port
        self.missing = ""  # why there is no HTTP port, although there was to be one
        self._hasher = Hasher()
        self.entrances: dict[str, Entrance] = {}  # by name
        self._doorkeepers: dict[str, Doorkeeper] = {}  # the same; listeners with equal rules share one

    async def change(self, config: Config, options: Options | None = None, *, opens_web: bool = False) -> None:
        """Open, change and close listeners, until there are those that a description has: all, or nothing changes.

        Not to be called again before it has returned.

        Args:
            config: what is to be.
            options: the limits at all listeners; None: as the description has them.
            opens_web: open the HTTP port also if the description does not ask for it, where that can be done.

        Raises:
            ConfigError: the description cannot be used.
            OSError: an address cannot be listened on; ``strerror`` says where.
        """
        wanted = self._named(config, options)
        self._add_http_port(wanted, config, options, opens_web=opens_web)
        locks = {name: doors.check(entrance.listener) for name, entrance in wanted.items()}
        doorkeepers = self._doorkeepers_of(config, wanted)
        ready: list[Doorkeeper] = []
        opened: list[Entrance] = []
        closed: list[Entrance] = []
        try:
            for name, doorkeeper in doorkeepers.items():
                if doorkeeper not in ready:
                    await doorkeeper.open(self._doorkeepers.get(name))
                    ready.append(doorkeeper)
            if self._gate is not None:  # clients come as soon as a door is open
                self._gate.expect({name: each.listener for name, each in wanted.items()}, doorkeepers)
            await self._open_new(wanted, config, opened, closed)
        except BaseException:
            for entrance in opened:
                await entrance.close()
            for entrance in closed:
                await _open_again(entrance)
            self._tell_gate()
            for doorkeeper in ready:
                await doorkeeper.close()
            raise
        await self._take(wanted, opened, closed, locks, doorkeepers, config)

    async def _open_new(
        self, wanted: dict[str, Entrance], config: Config, opened: list[Entrance], closed: list[Entrance]
    ) -> None:
        """Open what is not there yet; of what is not wanted any more, close only what is in the way."""
        coming = [each for name, each in wanted.items() if not self._stays(name, each)]
        going = [each for name, each in self.entrances.items() if each not in self._staying(wanted)]
        in_the_way = [each for each in going if any(_same_place(each, other) for other in coming)]
        free = [each for each in coming if not any(_same_place(each, other) for other in going)]
        for entrance in free:
            await self._furnish(entrance, config)
            opened.append(entrance)
            await self._open_one(entrance, wanted, opened)
        others = [each for each in coming if each not in free]
        for entrance in others:
            await self._furnish(entrance, config)
        for entrance in in_the_way:
            closed.append(entrance)
            await entrance.close()
        for entrance in others:
            opened.append(entrance)
            await self._open_one(entrance, wanted, opened)

    async def _open_one(self, entrance: Entrance, wanted: dict[str, Entrance], opened: list[Entrance]) -> None:
        try:
            await entrance.open()
        except OSError as error:
            if not entrance.is_optional:
                raise
            opened.remove(entrance)
            del wanted[entrance.name]
            await entrance.close()
            self.missing = f"{error.strerror or error}"

    def _stays(self, name: str, entrance: Entrance) -> bool:
        """Whether a wanted one is there already, but for what can be changed."""
        former = self.entrances.get(name)
        return former is not None and former.is_like == entrance.is_like

    def _staying(self, wanted: dict[str, Entrance]) -> list[Entrance]:
        return [self.entrances[name] for name, each in wanted.items() if self._stays(name, each)]

    async def check(self, config: Config) -> None:
        """See whether a description can be used, as far as that can be said without listening.

        Raises:
            ConfigError: it cannot.
        """
        wanted = self._named(config, None)
        if config.web.enabled or config.web.certificate:
            self._add_http_port(wanted, config, None, opens_web=True)
        for entrance in wanted.values():
            doors.check(entrance.listener)
        for doorkeeper in _distinct(self._doorkeepers_of(config, wanted)):
            await doorkeeper.open()
            await doorkeeper.close()

    async def _take(
        self,
        wanted: dict[str, Entrance],
        opened: list[Entrance],
        closed: list[Entrance],
        locks: "dict[str, doors.Lock]",
        doorkeepers: dict[str, Doorkeeper],
        config: Config,
    ) -> None:
        """Everything is checked: from now on it is as it is wanted."""
        self._guard.change(config.protection, {name: each.listener.max_connections for name, each in wanted.items()})
        staying = self._staying(wanted)
        for entrance in self.entrances.values():
            if entrance not in staying and entrance not in closed:
                await entrance.close()
        for name, entrance in wanted.items():
            if entrance not in opened:
                wanted[name] = former = self.entrances[name]
                await former.change(entrance.listener, locks[name], entrance.options)
                former.door.handshake_timeout = config.protection.tls_handshake_timeout
                if former.web is not None:
                    former.web.handshake_timeout = config.protection.tls_handshake_timeout
        self.entrances = wanted
        former_doorkeepers, self._doorkeepers = self._doorkeepers, doorkeepers
        self._tell_gate()
        await _close_all(former_doorkeepers)

    def _tell_gate(self) -> None:
        if self._gate is not None:
            listeners = {name: each.listener for name, each in self.entrances.items()}
            self._gate.change(listeners, self._doorkeepers)

    async def close(self) -> None:
        """Let nobody in any more; streams stay."""
        for entrance in self.entrances.values():
            await entrance.close()
        self.entrances = {}
        doorkeepers, self._doorkeepers = self._doorkeepers, {}
        await _close_all(doorkeepers)
        self._hasher.close()
        self._hasher = Hasher()  # for another start, perhaps on another loop

    def renew(self) -> None:
        """Take certificates that were renewed on disk; to be called now and then."""
        for entrance in self.entrances.values():
            entrance.door.renew()

    @property
    def addresses(self) -> list[str]:
        """Where clients reach us, for people."""
        return [address for entrance in self.listening for address in entrance.door.addresses]

    @property
    def listening(self) -> list[Entrance]:
        """The listeners, without the HTTP port."""
        return [entrance for entrance in self.entrances.values() if not entrance.is_http_port]

    @property
    def http_port(self) -> Entrance | None:
        """The HTTP port, if it is open."""
        found = [entrance for entrance in self.entrances.values() if entrance.is_http_port]
        return found[0] if found else None

    def addresses_of(self, listener: Listener) -> list[str]:
        """The same of one listener that is open."""
        return [
            address
            for entrance in self.entrances.values()
            if entrance.listener is listener
            for address in entrance.door.addresses
        ]

    def port_of(self, listener: Listener) -> int:
        """The TCP port of one listener, also if it asked for a free one."""
        ports = [each.door.port for each in self.entrances.values() if each.listener is listener]
        return ports[0] if ports else listener.port

    @property
    def plugins(self) -> list[str]:
        """The ways of logging in, and what decides what clients may do, by their names."""
        return sorted({name for doorkeeper in self._doorkeepers.values() for name in doorkeeper.names})

    async def _may_read(self, name: str, user: str | None, password: bytes | None, host: str) -> bool:
        """Whether somebody may use the HTTP API of a listener: who could come in by it."""
        verdict, _ = await self.log_in(name, user, password, host)
        return isinstance(verdict, Admitted)

    async def log_in(
        self, name: str, user: str | None, password: bytes | None, host: str
    ) -> tuple[Admitted | Denied, str]:
        """Whether somebody could come in by a listener, and by which way; failures count towards a ban."""
        doorkeeper = self._doorkeepers.get(name)
        if doorkeeper is None:
            return Denied(reason="its listener was removed", is_guess=False), ""

        def ban(name: str = user or "") -> Banned | None:
            now = self._now()
            is_banned = self._guard.banned_until(host, name, now) > now
            return Banned() if is_banned or self._guard.bans.about(host, "", name, now) is not None else None

        applicant = Applicant(user_name=user, password=password, client_id="", host=host, address=host, listener=name)
        banned = ban()
        verdict, way = (banned, "") if banned is not None else await doorkeeper.decide(applicant, ban)
        if isinstance(verdict, Denied) and verdict.is_guess:
            self._guard.failed(host, user or "", self._now())
        elif isinstance(verdict, Admitted) and way:
            again = ban() or ban(verdict.user)  # others may have failed meanwhile; its name may be known only now
            if again is not None:
                return again, way
            self._guard.succeeded(host, user or verdict.user, self._now())
        return verdict, way

    def doorkeeper_of(self, name: str) -> Doorkeeper | None:
        """Who decides at a listener; None: it is not open."""
        return self._doorkeepers.get(name)

    def _named(self, config: Config, options: Options | None) -> dict[str, Entrance]:
        """The listeners of a description by names that are theirs alone: any number may ask for a free port."""
        found: dict[str, Entrance] = {}
        for listener in config.listeners:
            name = _free_name(listener, found)
            found[name] = Entrance(name, listener, options or limits_of(config, listener))
        return found

    def _add_http_port(
        self, wanted: dict[str, Entrance], config: Config, options: Options | None, *, opens_web: bool
    ) -> None:
        self.missing = ""
        web = config.web
        if web.enabled is False or not (web.enabled or opens_web):
            return
        listener = web_listener(config)
        name = name_of(listener) if listener.port else _free_name(listener, wanted)
        is_asked_for = web.enabled or (web.host, web.port) != (Web().host, Web().port)
        if name in wanted:
            self.missing = f"cannot listen on {name}: a listener has that address"
            if is_asked_for:
                raise ConfigError(f"web: {self.missing}")
            return
        entrance = Entrance(name, listener, options or limits_of(config, listener))
        entrance.is_http_port = True
        entrance.is_optional = not is_asked_for
        wanted[name] = entrance

    def _doorkeepers_of(self, config: Config, wanted: dict[str, Entrance]) -> dict[str, Doorkeeper]:
        """By the names of the listeners; those with equal rules share one, so that things are read and opened once."""
        made: list[Doorkeeper] = []
        found = {}
        for name, entrance in wanted.items():
            access = doorkeeping(config, entrance.listener)
            is_everybodys = entrance.is_http_port and everybody_administers(config)
            same = [each for each in made if each.access == access and each.everybody_administers == is_everybodys]
            if not same:
                same = [self._doorkeeper(config, access, is_everybodys=is_everybodys)]
                made += same
            found[name] = same[0]
        return found

    def _doorkeeper(self, config: Config, access: Access, *, is_everybodys: bool) -> Doorkeeper:
        keeps_secret = access.scram and self._data is not None and self._data.is_dir()
        return Doorkeeper(
            access,
            self._hasher,
            now=self._now,
            secret=lasting_secret(self._data) if keeps_secret and self._data is not None else None,
            strangers_may_use_hash=config.protection.strangers_may_use_hash,
            administrators=config.web.administrators,
            everybody_administers=is_everybodys,
        )

    async def _furnish(self, entrance: Entrance, config: Config) -> None:
        """Give a new entrance its door, and who speaks HTTP there."""

        def opened(stream: Stream, known: object = None) -> Handler:
            return self._opened(stream, entrance, known)

        if entrance.is_http_port and self._http_port is not None:
            entrance.web = await self._http_port(entrance, opened)
            entrance.web.handshake_timeout = config.protection.tls_handshake_timeout
        elif entrance.listener.protocol != "mqtt":
            await load("telex.server.web.server")
            from telex.server.web.server import WebServer

            entrance.web = WebServer(
                entrance.listener,
                opened,
                values=self._values,
                may_read=partial(self._may_read, entrance.name),
                handshake_timeout=config.protection.tls_handshake_timeout,
            )
        entrance.door = Door(
            entrance.listener,
            opened,
            guard=self._guard,
            handshake_timeout=config.protection.tls_handshake_timeout,
            now=self._now,
            protocol=None if entrance.web is None else entrance.web.factory,
        )
        entrance.door.name = entrance.name


async def load(module: str) -> None:
    """Import what brings large libraries with it. In a thread: clients of other listeners shall not wait for that."""
    await asyncio.to_thread(import_module, module)


def _free_name(listener: Listener, taken: dict[str, Entrance]) -> str:
    first = name = name_of(listener)
    number = 1
    while name in taken:
        number += 1
        name = f"{first} ({number})"
    return name


def _same_place(one: Entrance, other: Entrance) -> bool:
    """Whether two listeners may be in each other's way."""
    if one.listener.path or other.listener.path:
        return one.listener.path == other.listener.path
    return one.listener.port == other.listener.port != 0


async def _open_again(entrance: Entrance) -> None:
    """Listen where we listened a moment ago."""
    try:
        await entrance.open()
    except (ConfigError, OSError) as error:
        logger.error("cannot listen again listener=%s reason=%s", entrance.name, error)


def _distinct(doorkeepers: dict[str, Doorkeeper]) -> list[Doorkeeper]:
    return list(dict.fromkeys(doorkeepers.values()))


async def _close_all(doorkeepers: dict[str, Doorkeeper]) -> None:
    for doorkeeper in _distinct(doorkeepers):
        await doorkeeper.close()
