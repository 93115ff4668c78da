"""What the HTTP port has to know of the broker that it stands in."""

from collections.abc import Mapping
from typing import Protocol

from telex.engine.connection import Connection
from telex.engine.engine import Engine
from telex.engine.visit import Visit
from telex.server.access.doorkeeper import Doorkeeper
from telex.server.access.ways import Admitted, Denied
from telex.server.bridge_status import BridgeStatus
from telex.server.config import Config, Listener
from telex.server.events import Events, LogTail
from telex.server.guard import Guard
from telex.server.rates import Rates, RatesOfMany, Totals
from telex.server.turns import Turns


class Entry(Protocol):
    """A listener that is open."""

    @property
    def listener(self) -> Listener:
        """Its description."""

    @property
    def addresses(self) -> list[str]:
        """Where clients reach it."""

    @property
    def is_http_port(self) -> bool:
        """Whether it is the HTTP port itself."""


class Hall(Protocol):
    """All listeners, and who decides there."""

    @property
    def entrances(self) -> Mapping[str, Entry]:
        """By the names that visits have."""

    async def log_in(
        self, name: str, user: str | None, password: bytes | None, host: str
    ) -> tuple[Admitted | Denied, str]:
        """Whether somebody could come in by a listener, and by which way; failures count towards a ban."""

    def doorkeeper_of(self, name: str) -> Doorkeeper | None:
        """Who decides at a listener; None: it is not open."""


class Bridges(Protocol):
    """All connections to other brokers that are configured."""

    def statuses(self) -> list[BridgeStatus]:
        """How they are, in the order of the configuration."""


class House(Protocol):
    """The broker."""

    engine: Engine
    config: Config
    started_at: float
    events: Events
    log_tail: LogTail
    rates: Rates
    client_rates: RatesOfMany
    turns: Turns
    has_own_gate: bool  # the program decides who comes in by MQTT, and nobody here knows how

    def now(self) -> float:
        """Seconds since 1970."""

    def flush_soon(self) -> None:
        """Let what has gathered leave at the end of this turn of the loop."""

    @property
    def guard(self) -> Guard:
        """Who is banned."""

    @property
    def is_ready(self) -> bool:
        """Whether clients can come in, and what they send can be stored."""

    @property
    def reception(self) -> Hall:
        """The listeners."""

    @property
    def bridges(self) -> Bridges:
        """The bridges."""

    @property
    def listener_totals(self) -> dict[str, Totals]:
        """What connections that are over brought and got, by listener."""

    @property
    def visits(self) -> list[Visit]:
        """Those of the clients that are connected, bridges apart: what they bring and get is in none of the totals."""

    async def stored(self) -> bool:
        """Wait until all that was recorded so far is as safe as an acknowledgement promises: whether it is."""

    def tls_of(self, connection: Connection) -> str:
        """The version of TLS that a connection has; empty: none."""
