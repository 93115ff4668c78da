"""The reception: all listeners of a broker, and who keeps them. What they are may change while clients are there.

Knows descriptions, doors and doorkeepers. What becomes of a stream that comes in
is the broker's business.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from telex.engine.options import Options
from telex.server import doors
from telex.server.access.gate import AccessGate, Doorkeeper
from telex.server.access.password_file import Hasher
from telex.server.access.ways import Admitted, Applicant, Denied
from telex.server.config import Config, Listener, doorkeeping, limits_of
from telex.server.doors import Door, name_of
from telex.server.guard import Guard
from telex.streams.stream import Handler, Stream

if TYPE_CHECKING:
    from telex.server.web.server import WebServer


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

    @property
    def is_like(self) -> tuple[object, ...]:
        """What cannot change while it is open."""
        listener = self.listener
        return (listener.protocol, listener.interface, listener.family, listener.http_directory)

    async def open(self) -> None:
        """Listen."""
        if self.web is not None:
            await self.web.start()
        await self.door.open()

    async def close(self) -> None:
        """Listen no more; streams stay."""
        self.door.close()
        await self.door.wait_closed()
        if self.web is not None:
            await self.web.stop()


class Reception:
    """The listeners of one broker.

    Args:
        opened: makes who uses a stream that came in by an entrance.
        gate: whom to tell of doorkeepers; None: somebody else decides who comes in.
        guard: whom doors ask.
        now: the broker's clock.
        values: what ``http_api`` shows: ``$SYS`` topics and their values.
    """

    def __init__(
        self,
        opened: Callable[[Stream, Entrance], Handler],
        gate: AccessGate | None,
        guard: Guard,
        *,
        now: Callable[[], float],
        values: Callable[[], dict[str, str]],
    ) -> None:
        self._opened = opened
        self._gate = gate
        self._guard = guard
        self._now = now
        self._values = values
        self._hasher = Hasher()
        self.entrances: dict[str, Entrance] = {}  # by name
        self._doorkeepers: dict[str, Doorkeeper] = {}  # the same

    async def change(self, config: Config, options: Options | None = None) -> None:
        """Open, change and close listeners, until there are those that a description has: all, or nothing changes.

        Args:
            config: what is to be.
            options: the limits at all listeners; None: as the description has them.

        Raises:
            ConfigError: the description cannot be used.
            OSError: an address cannot be listened on; ``strerror`` says where.
        """
        wanted = self._named(config, options)
        doorkeepers = {each.name: self._doorkeeper(config, each) for each in wanted.values()}
        opened: list[Entrance] = []
        closed: list[Entrance] = []
        try:
            for name, doorkeeper in doorkeepers.items():
                await doorkeeper.open(self._doorkeepers.get(name))
            for name, entrance in wanted.items():
                former = self.entrances.get(name)
                if former is not None and former.is_like == entrance.is_like:
                    doors.check(entrance.listener)
                    continue
                if former is not None:
                    await former.close()
                    closed.append(former)
                self._furnish(entrance, config)
                opened.append(entrance)
                await entrance.open()
        except BaseException:
            for entrance in opened:
                await entrance.close()
            for entrance in closed:
                with suppress(OSError):  # it was there a moment ago
                    await entrance.open()
            for doorkeeper in doorkeepers.values():
                await doorkeeper.close()
            raise
        await self._take(wanted, opened, doorkeepers, config)

    async def check(self, config: Config) -> None:
        """See whether a description can be used, as far as that can be said without listening.

        Raises:
            ConfigError: it cannot.
        """
        wanted = self._named(config, None)
        for entrance in wanted.values():
            doors.check(entrance.listener)
        for entrance in wanted.values():
            doorkeeper = self._doorkeeper(config, entrance)
            await doorkeeper.open()
            await doorkeeper.close()

    async def _take(
        self, wanted: dict[str, Entrance], opened: list[Entrance], doorkeepers: dict[str, Doorkeeper], config: Config
    ) -> None:
        """Everything is checked: from now on it is as it is wanted."""
        self._guard.change(config.protection, {name: each.listener.max_connections for name, each in wanted.items()})
        for entrance in [each for name, each in self.entrances.items() if name not in wanted]:
            await entrance.close()
        for name, entrance in wanted.items():
            if entrance not in opened:
                former = self.entrances[name]
                await former.door.change(entrance.listener)
                former.door.handshake_timeout = config.protection.tls_handshake_timeout
                former.listener, former.options = entrance.listener, entrance.options
                if former.web is not None:
                    former.web.listener = entrance.listener
                wanted[name] = former
        self.entrances = wanted
        former_doorkeepers, self._doorkeepers = self._doorkeepers, doorkeepers
        if self._gate is not None:
            self._gate.change({name: each.listener for name, each in wanted.items()}, doorkeepers)
        for doorkeeper in former_doorkeepers.values():
            await doorkeeper.close()

    async def close(self) -> None:
        """Let nobody in any more; streams stay."""
        for entrance in self.entrances.values():
            await entrance.close()
        self.entrances = {}
        for doorkeeper in self._doorkeepers.values():
            await doorkeeper.close()
        self._doorkeepers = {}

    def renew(self) -> None:
        """Take certificates that were renewed on disk; to be called now and then."""
        for entrance in self.entrances.values():
            entrance.door.renew()

    @property
    def addresses(self) -> list[str]:
        """Where clients reach us, for people."""
        return [address for entrance in self.entrances.values() for address in entrance.door.addresses]

    @property
    def plugins(self) -> list[str]:
        """The ways of logging in, and what decides what clients may do, by their names."""
        return sorted({name for doorkeeper in self._doorkeepers.values() for name in doorkeeper.names})

    async def _may_read(self, name: str, user: str | None, password: bytes | None, host: str) -> bool:
        """Whether somebody may use the HTTP API of a listener: who could come in by it."""
        doorkeeper = self._doorkeepers.get(name)
        if doorkeeper is None:
            return False
        now = self._now()
        if self._guard.banned_until(host, user or "", now) > now:
            return False
        applicant = Applicant(user_name=user, password=password, client_id="", host=host, address=host, listener=name)
        verdict, _ = await doorkeeper.decide(applicant, lambda: None)
        if isinstance(verdict, Denied) and verdict.is_guess:
            self._guard.failed(host, user or "", now)
        return isinstance(verdict, Admitted)

    def _named(self, config: Config, options: Options | None) -> dict[str, Entrance]:
        """The listeners of a description by names that are theirs alone: any number may ask for a free port."""
        found: dict[str, Entrance] = {}
        for listener in config.listeners:
            first = name = name_of(listener)
            number = 1
            while name in found:
                number += 1
                name = f"{first} ({number})"
            found[name] = Entrance(name, listener, options or limits_of(config, listener))
        return found

    def _doorkeeper(self, config: Config, entrance: Entrance) -> Doorkeeper:
        return Doorkeeper(
            doorkeeping(config, entrance.listener),
            self._hasher,
            strangers_may_use_hash=config.protection.strangers_may_use_hash,
        )

    def _furnish(self, entrance: Entrance, config: Config) -> None:
        """Give a new entrance its door, and who speaks HTTP there."""

        def opened(stream: Stream) -> Handler:
            return self._opened(stream, entrance)

        if entrance.listener.protocol != "mqtt":
            from telex.server.web.server import WebServer  # it brings large libraries with it

            entrance.web = WebServer(
                entrance.listener, opened, values=self._values, may_read=partial(self._may_read, entrance.name)
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
