"""What came of a run: counts, times, and whether anything was lost, came twice or came out of order.

Everything here can be added to its like of another process, and put into JSON and taken out again.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from telex.bench.histogram import Histogram


@dataclass(kw_only=True)
class Tally:
    """What was counted in one span of time.

    Args:
        seconds: how long it was.
        sent: messages that publishers have written.
        sent_bytes: of their payloads.
        acknowledged: of these, messages that the broker has acknowledged.
        received: messages that arrived at subscribers.
        received_bytes: of their payloads.
        connected: connections that were accepted.
        refused: connections that were not.
        subscribed: SUBSCRIBEs that were answered.
        unsubscribed: UNSUBSCRIBEs that were answered.
        latency: microseconds from the send that was due to the arrival, or from a request to its answer.
    """

    seconds: float = 0.0
    sent: int = 0
    sent_bytes: int = 0
    acknowledged: int = 0
    received: int = 0
    received_bytes: int = 0
    connected: int = 0
    refused: int = 0
    subscribed: int = 0
    unsubscribed: int = 0
    latency: Histogram = field(default_factory=Histogram)

    def add(self, other: "Tally") -> None:
        """Have what another process has counted in the same span."""
        self.seconds = max(self.seconds, other.seconds)
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency.add(other.latency)

    def to_json(self) -> dict[str, Any]:
        """As an object of JSON."""
        return {
            "seconds": self.seconds,
            **{name: getattr(self, name) for name in COUNTS},
            "latency": self.latency.to_json(),
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Tally":
        """The reverse."""
        counts = {name: found[name] for name in COUNTS}
        return cls(seconds=found["seconds"], **counts, latency=Histogram.from_json(found["latency"]))


COUNTS: Final = (
    "sent",
    "sent_bytes",
    "acknowledged",
    "received",
    "received_bytes",
    "connected",
    "refused",
    "subscribed",
    "unsubscribed",
)


Phase = Literal["connecting", "warming up", "measuring", "draining"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come, about once a second.

    Args:
        phase: what it is at.
        seconds: how long it has been at that.
        of_seconds: how long it will be; 0: nobody knows.
        connected: connections that are there.
        of_connections: of so many.
        last: what the last second has brought.
    """

    phase: Phase
    seconds: float = 0.0
    of_seconds: float = 0.0
    connected: int = 0
    of_connections: int = 0
    last: Tally = field(default_factory=Tally)


@dataclass(kw_only=True)
class Watched:
    """What the broker's processes have used, where the plan says which these are.

    Args:
        cpu_seconds: of processor time, while it was measured.
        memory_before: bytes that were resident before anybody connected.
        memory_after: and when all were there and it was measured.
    """

    cpu_seconds: float = 0.0
    memory_before: int = 0
    memory_after: int = 0


@dataclass(kw_only=True)
class Result:
    """One run.

    Args:
        kind: of the plan.
        described: what was asked, in the names of the flags, for whoever reads it later.
        measured: what was counted between warm-up and end.
        by_second: the same for each second of it.
        lost: messages that were sent in the whole run and never arrived (or, without subscribers, were never
            acknowledged).
        duplicated: messages that arrived once more, other than a group's.
        misordered: messages that arrived behind a later one of their publisher and topic.
        connected: how many connections there were when measuring began.
        interrupted: whether somebody has ended it early.
        own_cpu_seconds: of processor time that the load took while it was measured.
        watched: what the broker used; None: nobody said which process it is.
        complaints: what went wrong besides, each a sentence.
    """

    kind: str
    described: dict[str, Any] = field(default_factory=dict)
    measured: Tally = field(default_factory=Tally)
    by_second: list[Tally] = field(default_factory=list)
    lost: int = 0
    duplicated: int = 0
    misordered: int = 0
    connected: int = 0
    interrupted: bool = False
    own_cpu_seconds: float = 0.0
    watched: Watched | None = None
    complaints: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether all that should have arrived did, once and in order, and nothing else went wrong."""
        return not (self.lost or self.duplicated or self.misordered or self.complaints)

    def add(self, other: "Result") -> None:
        """Have what another process has found."""
        self.measured.add(other.measured)
        for mine, theirs in zip(self.by_second, other.by_second, strict=False):
            mine.add(theirs)
        self.by_second.extend(other.by_second[len(self.by_second) :])
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.misordered += other.misordered
        self.connected += other.connected
        self.interrupted = self.interrupted or other.interrupted
        self.own_cpu_seconds += other.own_cpu_seconds
        self.watched = self.watched or other.watched
        self.complaints.extend(each for each in other.complaints if each not in self.complaints)

    def to_json(self) -> dict[str, Any]:
        """As an object of JSON."""
        watched = self.watched
        return {
            "kind": self.kind,
            "asked": self.described,
            "measured": self.measured.to_json(),
            "by_second": [each.to_json() for each in self.by_second],
            "lost": self.lost,
            "duplicated": self.duplicated,
            "misordered": self.misordered,
            "connected": self.connected,
            "interrupted": self.interrupted,
            "own_cpu_seconds": self.own_cpu_seconds,
            "watched": None if watched is None else vars(watched),
            "complaints": self.complaints,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Result":
        """The reverse.

        Raises:
            KeyError: something is not there.
            TypeError: something is of another kind.
        """
        watched = found["watched"]
        return cls(
            kind=found["kind"],
            described=found["asked"],
            measured=Tally.from_json(found["measured"]),
            by_second=[Tally.from_json(each) for each in found["by_second"]],
            lost=found["lost"],
            duplicated=found["duplicated"],
            misordered=found["misordered"],
            connected=found["connected"],
            interrupted=found["interrupted"],
            own_cpu_seconds=found["own_cpu_seconds"],
            watched=None if watched is None else Watched(**watched),
            complaints=found["complaints"],
        )
