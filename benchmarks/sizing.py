"""How large a machine must be, and how many of them: measured costs, and arithmetic.

    python benchmarks/sizing.py --clients 1000000 --every 60 --qos 1 --receivers 1

Knows what a message and a client cost on the machine that was measured, from the record of a run, and assumes that ten
thousand of them cost ten thousand times as much: the curves of docs/performance.md say how far that holds.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from curves import CURVES
from figures import Outcome, Results, rounded, table

BROKER: Final = "telex-compiled"

RECORD: Final = Path(__file__).resolve().parent / "record.json"
"""The outcomes of the run that docs/performance.md shows."""

BUSY: Final = 0.5
"""The share of a core that a node uses in an ordinary minute; the rest is for those that are not."""

KERNEL_BYTES: Final = 4_096
"""Of the system's memory for a TCP connection on which nothing waits: a socket and its file. Not measured here."""

BASE_BYTES: Final = 64 << 20
"""Of a broker before anybody comes, with what its queues may take of memory for a moment."""

PACKET_BYTES: Final = 100
"""That a message takes on the wire beside its payload: Ethernet, IP and TCP, topic, and its acknowledgement's share."""

KEEP_ALIVE: Final = 60.0
"""Seconds after which a client that has nothing to say sends PINGREQ."""

_PINGS: Final = 1_000
"""A second, where it was measured: telex bench sends PINGREQ after three quarters of a keep-alive."""

BACK: Final = 120.0
"""Seconds within which all clients of a node shall be back when it has restarted."""


class NotMeasured(Exception):
    """A figure that the arithmetic needs is not in the record."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What was measured: microseconds of processor time, and bytes of memory.

    Args:
        in0: a message of QoS 0 that comes, alone in its read.
        in1: the same with QoS 1, and its PUBACK.
        out0: a message of QoS 0 that goes to one subscriber, alone in its write.
        out1: the same with QoS 1, and the subscriber's PUBACK.
        connect: TCP, CONNECT, and all until the connection is closed.
        connect_tls: the same over TLS, without resumption.
        ping: PINGREQ and PINGRESP, with all else that an idle client causes.
        client: bytes of memory for a client with one subscription.
        client_tls: the same over TLS.
        subscription: bytes of memory for one more subscription.
        retained: bytes of memory for a retained message of 64 bytes.
    """

    in0: float
    in1: float
    out0: float
    out1: float
    connect: float
    connect_tls: float
    ping: float
    client: float
    client_tls: float
    subscription: float
    retained: float

    @classmethod
    def of(cls, results: Results, *, broker: str = BROKER) -> "Costs":
        """From a run.

        Raises:
            NotMeasured: something is not in it.
        """

        def cpu(scenario: str) -> float:
            found = results.cpu_us(broker, scenario)
            if found is None:
                raise NotMeasured(f"the record has no processor time of {broker} for {scenario}")
            return found

        def figure(title: str) -> float:
            found = results.figure(broker, title, lower_is_better=True)
            if found is None:
                raise NotMeasured(f"the record has no figure of {broker} for {title}")
            return found

        in0, in1 = cpu("in0"), cpu("in1")
        return cls(
            in0=in0,
            in1=in1,
            out0=max(0.0, cpu("through0") - in0),
            out1=max(0.0, cpu("through1") - in1),
            connect=cpu("connect"),
            connect_tls=cpu("connect-tls"),
            ping=1e4 * figure("CPU with 1,000 PINGREQ a second, %") / _PINGS,
            client=1024 * figure("KiB per idle client"),
            client_tls=1024 * figure("KiB per idle client over TLS"),
            subscription=_bytes_of_each(results, broker, "subscriptions-plain"),
            retained=_bytes_of_each(results, broker, "retained"),
        )


def _bytes_of_each(results: Results, broker: str, name: str) -> float:
    """By how much memory grows with each more, along a curve."""
    curve = next(each for each in CURVES if each.name == name)
    line = next(each for each in curve.lines if each.field == "grown_mib")
    points = sorted((each.at, each.figures[line.title]) for each in results.of(broker, name) if each.figures)
    if len(points) < 2:
        raise NotMeasured(f"the record has no curve of {broker} for {line.title}")
    (few, least), (many, most) = points[0], points[-1]
    return max(0.0, (most - least) * (1 << 20) / (many - few))


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Clients, and what they do.

    Args:
        title: who they are.
        clients: how many.
        every: seconds between two messages of each of them.
        qos: of these, and of their deliveries: 0 or 1.
        receivers: how many get each message.
        payload: bytes of each.
        subscriptions: of each client.
        retained: retained messages for each client.
        tls: whether all come over TLS.
    """

    title: str
    clients: int
    every: float
    qos: int = 1
    receivers: float = 1.0
    payload: int = 64
    subscriptions: int = 1
    retained: float = 0.0
    tls: bool = True


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a fleet needs.

    Args:
        incoming: messages a second that clients send.
        outgoing: deliveries a second.
        nodes: brokers, each a process with a core of its own.
        cores: how many cores all of them keep busy together, in an ordinary minute.
        clients: of each node.
        memory: bytes of each node, the system's for its sockets with it.
        bits: a second, in and out of each node together.
        back: seconds until all clients of a node are back when it has restarted, by its processor time.
    """

    incoming: float
    outgoing: float
    nodes: int
    cores: float
    clients: float
    memory: float
    bits: float
    back: float


def cores_for(costs: Costs, fleet: Fleet, nodes: int) -> float:
    """Cores that are busy all the time, where clients are spread over so many nodes.

    A receiver is at the node of the sender once in so many times; each other time the message crosses a bridge, which
    is a delivery for the one node and a message that comes for the other.
    """
    incoming = fleet.clients / fleet.every
    outgoing = incoming * fleet.receivers
    come, go = (costs.in1, costs.out1) if fleet.qos else (costs.in0, costs.out0)
    crossing = outgoing * (nodes - 1) / nodes * (come + go)
    pings = fleet.clients / KEEP_ALIVE if fleet.every > KEEP_ALIVE else 0.0  # who speaks needs none
    return (incoming * come + outgoing * go + crossing + pings * costs.ping) / 1e6


def need_of(costs: Costs, fleet: Fleet) -> Need:
    """The fewest nodes of which none is busier than ``BUSY``, and whose clients are all back within ``BACK``.

    Raises:
        ValueError: no number of nodes is enough: each more costs more than it brings.
    """
    incoming = fleet.clients / fleet.every
    outgoing = incoming * fleet.receivers
    connect = (costs.connect_tls if fleet.tls else costs.connect) / 1e6
    nodes = max(1, math.ceil(fleet.clients * connect / BACK))
    while cores_for(costs, fleet, nodes) > BUSY * nodes:
        # With ever more nodes every message crosses: what that costs is divided as well, so there is an end.
        nodes += max(1, nodes // 100)
        if nodes > fleet.clients:
            raise ValueError(f"{fleet.title}: one client sends more than a node can take")
    each = fleet.clients / nodes
    client = costs.client_tls if fleet.tls else costs.client
    more = (fleet.subscriptions - 1) * costs.subscription + fleet.retained * (costs.retained + fleet.payload - 64)
    crossing = 2 * outgoing * (nodes - 1) / nodes  # once out, once in
    return Need(
        incoming=incoming,
        outgoing=outgoing,
        nodes=nodes,
        cores=cores_for(costs, fleet, nodes),
        clients=each,
        memory=BASE_BYTES + each * (client + KERNEL_BYTES + more),
        bits=8 * (incoming + outgoing + crossing) * (fleet.payload + PACKET_BYTES) / nodes,
        back=each * connect,
    )


FLEETS: Final = tuple(
    Fleet(title=title.format(f"{clients:,}"), clients=clients, **what)  # type: ignore[arg-type]
    for title, what in (
        ("{} meters, a message every 15 min to one service, QoS 1", {"every": 900.0, "retained": 1.0}),
        ("{} sensors, a message a minute to one service, QoS 1", {"every": 60.0}),
        ("{} vehicles, a message every 5 s to two services, QoS 0", {"every": 5.0, "qos": 0, "receivers": 2.0}),
    )
    for clients in (10_000, 100_000, 1_000_000)
)


def cost_table(costs: Costs) -> str:
    """The costs, and how many of each one core does in a second, or one GiB holds."""
    said = {
        "in0": "a message comes, QoS 0",
        "in1": "a message comes and is acknowledged, QoS 1",
        "out0": "a message goes to one subscriber, QoS 0",
        "out1": "a message goes to one subscriber and is acknowledged, QoS 1",
        "connect": "a client comes and goes",
        "connect_tls": "a client comes and goes, over TLS",
        "ping": "PINGREQ and PINGRESP",
        "client": "a client with one subscription",
        "client_tls": "a client with one subscription, over TLS",
        "subscription": "one more subscription",
        "retained": "a retained message of 64 bytes",
    }
    rows = [["", "cost", "that is"]]
    for each in fields(costs):
        cost = getattr(costs, each.name)
        if each.name in ("client", "client_tls", "subscription", "retained"):
            held = f"{rounded((1 << 30) / cost)} in 1 GiB" if cost else "-"
            rows.append([said[each.name], f"{rounded(cost)} bytes", held])
        else:
            rows.append([said[each.name], f"{rounded(cost)} µs", f"{rounded(1e6 / cost)} a second" if cost else "-"])
    return table(rows)


def fleet_table(costs: Costs, fleets: Sequence[Fleet] = FLEETS) -> str:
    """What each fleet needs."""
    rows = [
        [*("", "messages/s", "deliveries/s", "nodes", "cores busy"), *("clients", "memory", "Mbit/s", "all back in")]
    ]
    for fleet in fleets:
        need = need_of(costs, fleet)
        rows.append(
            [
                fleet.title,
                rounded(need.incoming),
                rounded(need.outgoing),
                str(need.nodes),
                rounded(need.cores),
                rounded(need.clients),
                _size(need.memory),
                rounded(need.bits / 1e6),
                f"{rounded(need.back)} s",
            ]
        )
    return table(rows)


def _size(count: float) -> str:
    return f"{rounded(count / (1 << 30))} GiB" if count >= 1 << 30 else f"{rounded(count / (1 << 20))} MiB"


def costs_in(record: Path) -> Costs:
    """From a file that compare.py has written.

    Raises:
        OSError: it cannot be read.
        NotMeasured: something is not in it.
    """
    found = json.loads(record.read_text())
    results = Results([Outcome.from_json(each) for each in found["outcomes"]])
    return Costs.of(results)


def main() -> int:
    """Say what a fleet needs."""
    parser = argparse.ArgumentParser(description="How many brokers a fleet of clients needs, by measured costs.")
    parser.add_argument("--clients", type=int, default=100_000, help="how many (100,000)")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two messages of each (60)")
    parser.add_argument("--qos", type=int, choices=(0, 1), default=1, help="of the messages (1)")
    parser.add_argument("--receivers", type=float, default=1.0, help="how many get each message (1)")
    parser.add_argument("--payload", type=int, default=64, help="bytes (64)")
    parser.add_argument("--subscriptions", type=int, default=1, help="of each client (1)")
    parser.add_argument("--retained", type=float, default=0.0, help="retained messages for each client (0)")
    parser.add_argument("--no-tls", action="store_true", help="without TLS")
    parser.add_argument("--record", type=Path, default=RECORD, help="what was measured (that of the documents)")
    options = parser.parse_args()
    if options.clients < 1 or options.every <= 0 or options.receivers < 0:
        parser.error("--clients and --every must be positive, --receivers not negative")
    try:
        costs = costs_in(options.record)
        fleet = Fleet(
            title="this fleet",
            clients=options.clients,
            every=options.every,
            qos=options.qos,
            receivers=options.receivers,
            payload=options.payload,
            subscriptions=options.subscriptions,
            retained=options.retained,
            tls=not options.no_tls,
        )
        print(cost_table(costs), fleet_table(costs, [fleet]), sep="\n\n")
    except (OSError, NotMeasured, ValueError) as error:
        print(f"sizing: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
