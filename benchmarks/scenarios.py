"""What brokers are asked to do, and what Telex shall reach.

Each scenario is a plan of ``telex bench``, a line for load.c, or both; then the broker's figure is the better one.
Knows plans and targets. Knows no process: how scenarios are carried out is in measure.py.
"""

from dataclasses import dataclass
from typing import Any, Final

import restart
from brokers import Broker, Over, Queues, Server
from figures import REFERENCE, Column, Outcome
from telex.bench.plan import Plan
from telex.client.address import Address
from telex.client.dialing import Dialer
from telex.client.tls import ClientTls

BENCH: Final = "telex bench"
LOAD: Final = "load.c"


@dataclass(frozen=True)
class Scenario:
    """One run of a load generator, and the figures that it gives."""

    name: str
    columns: tuple[Column, ...]
    plan: dict[str, Any] | None = None
    """What of telex bench's Plan is not as it comes; None: load.c alone can do it."""
    load: str = ""
    """The words for load.c; empty: telex bench alone can do it."""
    table: str = "speed"
    """In which of the tables it is."""
    queues: Queues = Queues.SHORT
    """What the broker has to hold."""
    over: Over = Over.TCP
    """By what its clients come in."""
    share: float = 0.0
    """For latency: the share of a maximum that is sent; 0: as much as goes through."""
    share_of: str = ""
    """The scenario whose maximum it is."""
    of_reference: bool = False
    """Whether it is Mosquitto's maximum, for everybody; otherwise the broker's own."""

    @property
    def ways(self) -> tuple[str, ...]:
        """The load generators that carry it out; where it takes none, an empty name."""
        return (*((BENCH,) if self.plan is not None else ()), *((LOAD,) if self.load else ())) or ("",)

    @property
    def version(self) -> int:
        """Of MQTT, as CONNECT names it."""
        return int((self.plan or {}).get("version", 4))


def plan_of(words: dict[str, Any], server: Server, *, seconds: float, warm_up: float = 1.0, rate: float = 0.0) -> Plan:
    """A plan for a broker that runs; what ``words`` say goes before.

    Raises:
        ValueError: it does not fit together.
    """
    user, password = (None, None) if server.login is None else (server.login.user, server.login.password.encode())
    settings = {"seconds": seconds, "warm_up": warm_up, "rate": rate, "watch": server.process.pid}
    return Plan(dialer=_dialer(server), user=user, password=password, **{**settings, **words})


def _dialer(server: Server) -> Dialer:
    scheme = {Over.TCP: "mqtt", Over.TLS: "mqtts", Over.WS: "ws"}[server.over]
    tls = None
    if server.over is Over.TLS:
        tls = ClientTls(ca_file=server.certificate, insecure=True, minimum_version="1.3")
    return Dialer(Address(scheme, "127.0.0.1", server.port), tls=tls)


def _pairs(count: int, **more: Any) -> dict[str, Any]:
    return {"kind": "pairs", "publishers": count, "subscribers": count, **more}


def _latency(qos: int, share: float, *, of_reference: bool = False) -> Scenario:
    whose = "Mosquitto's" if of_reference else "its own"
    what = f"QoS {qos}, {share:.0%} of {whose} maximum"
    return Scenario(
        f"latency{qos}-{'reference' if of_reference else f'{100 * share:.0f}'}",
        (
            # At its own rate each, they have nothing to be compared by.
            Column(f"{what}: p50, µs", "p50", lower_is_better=True, is_compared=of_reference),
            Column(f"{what}: p99, µs", "p99", lower_is_better=True, is_compared=of_reference),
        ),
        {"kind": "latency", "publishers": 10, "subscribers": 10, "qos": qos},
        table="latency",
        queues=Queues.BURSTS,  # at a fixed rate more may wait, for a moment, than in a closed loop
        share=share,
        share_of=f"qos{qos}-pairs",
        of_reference=of_reference,
    )


def _beside_a_frozen_one(qos: str) -> tuple[Column, ...]:
    return (
        Column(f"{qos}, alone", "alone"),
        Column(f"{qos}, beside a frozen one"),
        Column(f"{qos}, share kept", "share", is_compared=False),
        Column(f"{qos}, MiB more", "grown_mib", lower_is_better=True, is_compared=False),
    )


_LONG: Final = 300.0  # seconds in which nothing may move
_TEN_PAIRS: Final = "flood --publishers 10 --subscribers 10"

# 500 messages of one client each, in a second, one at a time: what devices do. What floods cost is less: there a read
# has many messages, and here it has one.
_ALONE: Final = {"publishers": 500, "rate": 10_000.0}

_FULL: Final = (
    Scenario("qos0", (Column("QoS 0, 1 to 1"),), _pairs(1), "flood"),
    Scenario("qos0-pairs", (Column("QoS 0, 10 pairs"),), _pairs(10), _TEN_PAIRS),
    Scenario(
        "qos0-out",
        (Column("QoS 0, 1 to 100"),),
        {"kind": "fanout", "subscribers": 100},
        "flood --shape out --subscribers 100",
    ),
    Scenario(
        "qos0-in",
        (Column("QoS 0, 500 to 1"),),
        {"kind": "fanin", "publishers": 500, "window": 20},
        "flood --shape in --publishers 500 --window 20",
    ),
    Scenario("qos1", (Column("QoS 1, 1 to 1"),), _pairs(1, qos=1), "flood --qos 1"),
    Scenario("qos1-pairs", (Column("QoS 1, 10 pairs"),), _pairs(10, qos=1), f"{_TEN_PAIRS} --qos 1"),
    Scenario(
        "qos1-500",
        (Column("QoS 1, 500 pairs, 1 in flight"),),
        _pairs(500, qos=1, window=1),
        "flood --publishers 500 --subscribers 500 --qos 1 --window 1",
    ),
    Scenario("kept", (Column("QoS 1, 1 to 1, kept session"),), _pairs(1, qos=1, kept=True), "flood --qos 1 --keep 1"),
    # With fewer on their way, Mosquitto and others that write every packet by itself wait for acknowledgements of TCP,
    # 40 ms at a time.
    Scenario("qos2", (Column("QoS 2, 1 to 1"),), _pairs(1, qos=2, window=200)),
    Scenario(
        "v5",
        (Column("MQTT 5, User Property and topic alias, QoS 0, 1 to 1"),),
        _pairs(1, version=5, alias=True, user_properties=1),
    ),
    Scenario("tls", (Column("TLS, QoS 0, 10 pairs"),), _pairs(10), _TEN_PAIRS, over=Over.TLS),
    Scenario(
        "connect",
        (Column("connections/s", "connections"),),
        {"kind": "connect", "publishers": 50},
        "connect",
    ),
    Scenario(
        "idle",
        (
            Column("KiB per idle client", "kib", lower_is_better=True),
            Column("CPU with idle clients, %", "cpu_percent", lower_is_better=True),
        ),
        # Nothing arrives, so nothing moves: that is not the end of it.
        {"kind": "sub", "publishers": 0, "keep_alive": 60, "patience": _LONG},
    ),
    Scenario("start", (Column("ready after its start, s", "ready", lower_is_better=True, is_compared=False),)),
    Scenario("import", (Column("import telex, ms", "import_ms", lower_is_better=True, is_compared=False),)),
)

SCENARIOS: Final = (
    *_FULL,
    *(_latency(qos, share) for qos in (0, 1) for share in (0.1, 0.5, 0.9)),
    *(_latency(qos, 0.1, of_reference=True) for qos in (0, 1)),
    Scenario(
        "absent",
        (Column("QoS 1 to an absent session, acknowledged"),),
        load="flood --qos 1 --absent 1",
        table="kept",
        queues=Queues.LONG,
    ),
    Scenario(
        "absent-in",
        (Column("the same, from 10 publishers"),),
        load="flood --qos 1 --absent 1 --shape in --publishers 10",
        table="kept",
        queues=Queues.LONG,
    ),
    Scenario(
        "restart",
        (
            Column("restart, s", "restart", lower_is_better=True, is_compared=False),
            Column("MiB after the restart", "mib", lower_is_better=True, is_compared=False),
        ),
        load=f"flood --qos 1 --absent 1 --collect 0 --id {restart.CLIENT_ID} --messages {restart.QUEUED}",
        table="kept",
        queues=Queues.LONG,
    ),
    Scenario("frozen", _beside_a_frozen_one("QoS 0"), load="flood --frozen 1", table="frozen", queues=Queues.BOUNDED),
    Scenario(
        "frozen-qos1",
        _beside_a_frozen_one("QoS 1"),
        load="flood --qos 1 --frozen 1 --frozen-qos 1",
        table="frozen",
        queues=Queues.BOUNDED,
    ),
    # The first is that of "speed" once more: what is compared with it shall have been measured within the same minute.
    Scenario("tcp", (Column("TCP, QoS 0"),), load="flood", table="doors"),
    Scenario("ws", (Column("WebSocket, QoS 0"),), load="flood", table="doors", over=Over.WS),
    Scenario(
        "ws-packets", (Column("a message each, QoS 0"),), load="flood --per-packet 1", table="doors", over=Over.WS
    ),
    Scenario("tls-one", (Column("TLS, QoS 0"),), load="flood", table="doors", over=Over.TLS),
    Scenario("tls-qos1", (Column("TLS, QoS 1"),), load="flood --qos 1", table="doors", over=Over.TLS),
    Scenario("tcp-out", (Column("TCP, QoS 0, 1 to 100"),), load="flood --shape out --subscribers 100", table="doors"),
    Scenario("in0", (Column("in, QoS 0"),), {"kind": "pub", **_ALONE}, table="costs"),
    Scenario("in1", (Column("in, QoS 1"),), {"kind": "pub", "qos": 1, **_ALONE}, table="costs"),
    Scenario("through0", (Column("through, QoS 0"),), _pairs(500, rate=10_000.0), table="costs"),
    Scenario("through1", (Column("through, QoS 1"),), _pairs(500, qos=1, rate=10_000.0), table="costs"),
    Scenario(
        "idle-tls",
        (Column("KiB per idle client over TLS", "kib", lower_is_better=True),),
        {"kind": "sub", "publishers": 0, "idle": 1_000, "patience": _LONG},
        table="costs",
        over=Over.TLS,
    ),
    Scenario(
        "pings",
        (Column("CPU with 1,000 PINGREQ a second, %", "cpu_percent", lower_is_better=True),),
        {"kind": "sub", "publishers": 0, "idle": 3_000, "keep_alive": 4, "seconds": 4.0, "patience": _LONG},
        table="costs",
    ),
    Scenario(
        "connect-tls",
        (Column("connections/s over TLS", "connections"),),
        {"kind": "connect", "publishers": 50},
        table="costs",
        over=Over.TLS,
    ),
)

COLUMNS: Final = {column.title: column for scenario in SCENARIOS for column in scenario.columns}

SCENARIO_OF: Final = {column.title: scenario for scenario in SCENARIOS for column in scenario.columns}
"""By the title of a column."""


def is_measured(broker: Broker, scenario: Scenario, *, asked: bool) -> bool:
    """Whether a scenario says something of a broker; ``asked`` if the broker was named by whoever measures."""
    if scenario.name == "restart" and not broker.survives_sigkill:
        return False
    if scenario.name == "import":
        return broker.name in ("telex-compiled", "telex-interpreted")
    if scenario.version not in broker.versions or scenario.over not in broker.speaks:
        return False
    return asked or scenario.table in broker.tables


# Targets


@dataclass(frozen=True)
class Target:
    """What Telex shall reach."""

    broker: str
    column: str
    limit: float
    """As a multiple of another figure in the same run; of columns that are not compared, as it is."""
    of_broker: str = REFERENCE
    of_column: str = ""
    """Whose figure, and which; empty: that of the same column."""


# Twice what Telex lets wait in one outbox, 16 MiB, as that counts the bytes of packets and not what holds them.
_FROZEN_MIB: Final = 32

_EQUAL: Final = 1.1  # "no worse": a tenth is what noise makes of equal

_COMPILED: Final = (
    ("QoS 0, 1 to 1", 5),
    ("QoS 0, 10 pairs", 10),
    ("QoS 0, 1 to 100", 25),
    ("QoS 0, 500 to 1", 6),
    ("QoS 1, 1 to 1", 6),
    ("QoS 1, 1 to 1, kept session", 2),
    ("QoS 2, 1 to 1", 6),
    ("QoS 1, 500 pairs, 1 in flight", 1.2),
    ("MQTT 5, User Property and topic alias, QoS 0, 1 to 1", 4),
    ("TLS, QoS 0, 10 pairs", 3),
    ("QoS 0, 10% of Mosquitto's maximum: p50, µs", _EQUAL),
    ("QoS 0, 10% of Mosquitto's maximum: p99, µs", _EQUAL),
    ("QoS 1, 10% of Mosquitto's maximum: p50, µs", _EQUAL),
    ("QoS 1, 10% of Mosquitto's maximum: p99, µs", _EQUAL),
    ("KiB per idle client", 0.6),
    ("connections/s", 1),
    ("CPU with idle clients, %", _EQUAL),
)

# Of a compiled ratio above 2, interpreted half.
_INTERPRETED: Final = tuple(
    (title, limit / 2) for title, limit in _COMPILED if limit > 2 and not COLUMNS[title].lower_is_better
)

TARGETS: Final = (
    *(Target("telex-compiled", title, limit) for title, limit in _COMPILED),
    *(Target("telex-interpreted", title, limit) for title, limit in _INTERPRETED),
    Target("telex-compiled", "ready after its start, s", 0.4),
    Target("telex-compiled", "import telex, ms", 60),
    Target("telex-compiled", "QoS 1 to an absent session, acknowledged", 1.3),
    Target("telex-compiled", "restart, s", 5),
    Target("telex-compiled", "QoS 0, share kept", 0.9),
    Target("telex-compiled", "QoS 1, share kept", 0.9),
    Target("telex-compiled", "QoS 0, MiB more", _FROZEN_MIB),
    Target("telex-compiled", "QoS 1, MiB more", _FROZEN_MIB),
    Target("telex-rules", "TCP, QoS 0", 0.9, "telex-compiled"),
    Target("telex-rules", "TCP, QoS 0, 1 to 100", 0.9, "telex-compiled"),
    Target("telex-compiled", "TLS, QoS 0", 1),
    Target("telex-compiled", "TLS, QoS 1", 1),
    Target("telex-compiled", "WebSocket, QoS 0", 0.5, "telex-compiled", "TCP, QoS 0"),
)


def maximum_of(outcomes: list[Outcome], broker: str, scenario: Scenario) -> float | None:
    """The most that telex bench got through a broker, for a scenario that is a share of it; None: not measured yet."""
    whose = REFERENCE if scenario.of_reference else broker
    rates = [
        each.more["rate"]
        for each in outcomes
        if (each.broker, each.scenario, each.by) == (whose, scenario.share_of, BENCH) and each.more.get("rate", 0.0) > 0
    ]
    return sorted(rates)[len(rates) // 2] if rates else None
