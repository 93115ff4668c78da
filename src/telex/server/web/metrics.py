"""``/metrics``: what the broker counts, in the words of Prometheus.

Everything here was counted already, by the engine, by connections and by the guard: it is read when somebody asks, in
slices, and costs no message anything. Labels are bounded: listeners, bridges, and the ten clients that have moved most.
"""

from collections.abc import Iterable
from heapq import nlargest
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from telex import version
from telex.engine.end import End
from telex.engine.visit import Visit
from telex.server.bridge_status import BridgeStatus
from telex.server.rates import Totals
from telex.server.turns import Histogram
from telex.server.web.house import House
from telex.server.web.listing import SLICE, turn
from telex.server.web.resources import memory

TOP: Final = 10
"""Clients that have a line of their own."""

_LONGEST_LABEL: Final = 100  # characters of a client id

_COUNTERS: Final = (
    ("connections", "connections_opened", "CONNECTs that were accepted."),
    ("sockets", "sockets_opened", "Connections, with a CONNECT or without."),
    ("messages_received", "publish_received", "PUBLISH packets from clients."),
    ("messages_sent", "publish_sent", "PUBLISH packets to clients."),
    ("messages_dropped", "publish_dropped", "Messages that a client should have got and did not, or not retained."),
    ("packets_received", "packets_received", "Packets from clients."),
    ("packets_sent", "packets_sent", "Packets to clients."),
    ("received_bytes", "bytes_received", "Bytes from clients."),
    ("sent_bytes", "bytes_sent", "Bytes to clients."),
    ("payload_received_bytes", "publish_bytes_received", "Bytes of payload from clients."),
    ("payload_sent_bytes", "publish_bytes_sent", "Bytes of payload to clients."),
    ("sessions_expired", "clients_expired", "Sessions whose time was over."),
)
_GUARD: Final = (
    ("connections", "refused_connections"),
    ("rate", "refused_rate"),
    ("banned", "refused_banned"),
    ("login", "refused_logins"),
)
_PER_LISTENER: Final = (
    ("messages_received", "Messages from clients of a listener."),
    ("messages_sent", "Messages to clients of a listener."),
    ("bytes_received", "Bytes from clients of a listener."),
    ("bytes_sent", "Bytes to clients of a listener."),
)
_BRIDGE_COUNTERS: Final = (
    ("connections", "connections", "Connections of a bridge that the remote broker accepted."),
    ("messages_received", "messages_received", "Messages that a bridge took from the remote broker."),
    ("messages_sent", "messages_sent", "Messages that a bridge sent to the remote broker."),
    ("bytes_received", "bytes_received", "Bytes that a bridge got from the remote broker."),
    ("bytes_sent", "bytes_sent", "Bytes that a bridge sent to the remote broker."),
    ("messages_filtered", "filtered", "Messages that a filter of a bridge held back."),
    ("messages_looped", "looped", "Messages that had been here before, or had passed too many brokers."),
    ("messages_rejected", "rejected", "Messages that the remote broker did not take."),
)
_PER_CLIENT: Final = (
    ("messages_received", "publish_received"),
    ("messages_sent", "publish_sent"),
    ("bytes_received", "bytes_received"),
    ("bytes_sent", "bytes_sent"),
)


async def exposition(house: House, accept: str, *, with_clients: bool) -> tuple[bytes, str]:
    """What ``/metrics`` says, and the content type of that.

    Args:
        house: the broker.
        accept: the formats that whoever asks takes, as in HTTP.
        with_clients: name clients.
    """
    stats = house.engine.stats
    house.turns.watch(house.now(), stats.publish_received, stats.publish_bytes_received)
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = choose_encoder("")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(await _collect(house, with_clients=with_clients)))
    return encode(registry), content_type


class _Collected(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


async def _collect(house: House, *, with_clients: bool) -> list[Metric]:
    listeners: dict[str, Totals] = {}
    connected: dict[str, int] = dict.fromkeys(house.reception.entrances, 0)
    # Both in one turn of the loop: who leaves meanwhile is among the visits still, and not yet in the totals.
    for name, totals in house.listener_totals.items():
        listeners[name] = _copied(totals)
    visits = house.visits
    queued = in_flight = outbox_bytes = looked = 0
    for session in list(house.engine.sessions.values()):
        looked += 1
        if looked % SLICE == 0:
            await turn()
        queued += session.queue.length
        in_flight += len(session.sender.in_flight)
        if isinstance(session.client, End):
            outbox_bytes += session.client.outbox.size
    moved: list[tuple[int, str, Visit]] = []
    for visit in visits:
        looked += 1
        if looked % SLICE == 0:
            moved = nlargest(TOP, moved, key=_amount)
            await turn()
        connected[visit.listener] = connected.get(visit.listener, 0) + 1
        _add(listeners.setdefault(visit.listener, Totals()), visit)
        moved.append((visit.bytes_received + visit.bytes_sent, visit.client_id, visit))
    metrics = [*_counters(house), *_gauges(house, queued, in_flight, outbox_bytes)]
    metrics += _of_listeners(listeners, connected)
    metrics += _of_bridges(house.bridges.statuses())
    if with_clients:
        metrics += _of_clients(nlargest(TOP, moved, key=_amount))
    turns = house.turns
    metrics.append(
        _histogram(
            "telex_turn_seconds",
            "From the first bytes of a turn of the loop to its last: what the broker adds to a message's way. "
            "Measured while somebody looks.",
            turns.durations,
        )
    )
    metrics.append(
        _histogram(
            "telex_message_size_bytes",
            "Payloads from clients; those of one turn count at their mean. Measured while somebody looks.",
            turns.sizes,
        )
    )
    return metrics


def _amount(each: tuple[int, str, Visit]) -> int:
    return each[0]


def _copied(totals: Totals) -> Totals:
    copy = Totals()
    for name in Totals.__slots__:
        setattr(copy, name, getattr(totals, name))
    return copy


def _add(totals: Totals, visit: Visit) -> None:
    totals.messages_received += visit.publish_received
    totals.messages_sent += visit.publish_sent
    totals.bytes_received += visit.bytes_received
    totals.bytes_sent += visit.bytes_sent


def _counters(house: House) -> list[Metric]:
    stats, counts = house.engine.stats, house.guard.counts
    metrics: list[Metric] = [
        CounterMetricFamily(f"telex_{name}", text, value=getattr(stats, attribute))
        for name, attribute, text in _COUNTERS
    ]
    refused = CounterMetricFamily(
        "telex_refused", "Connections that were turned away: at once, or with their login.", labels=["why"]
    )
    for why, attribute in _GUARD:
        refused.add_metric([why], getattr(counts, attribute))
    metrics.append(refused)
    metrics.append(CounterMetricFamily("telex_bans", "Bans that began.", value=counts.bans))
    metrics.append(CounterMetricFamily("telex_slowed_reads", "Reads that were put off.", value=counts.slowed_reads))
    metrics.append(
        CounterMetricFamily("telex_disconnected_rate", "Clients that brought too much.", value=counts.disconnected_rate)
    )
    return metrics


def _gauges(house: House, queued: int, in_flight: int, outbox_bytes: int) -> list[Metric]:
    engine = house.engine
    journal = engine.journal
    numbers: dict[str, tuple[str, float]] = {
        "clients_connected": ("Clients that are connected.", engine.stats.clients_connected),
        "sockets_open": ("Connections that are open.", engine.stats.sockets_open),
        "sessions": ("Sessions, with a client or without.", len(engine.sessions)),
        "subscriptions": ("Subscriptions.", engine.subscriptions.count),
        "shared_subscriptions": ("Shared subscriptions.", engine.subscriptions.shared_count),
        "retained_messages": ("Retained messages.", engine.retained.count),
        "retained_bytes": ("What they take, payloads and properties.", engine.retained.bytes),
        "queued_messages": ("Messages above QoS 0 that wait for clients.", queued),
        "in_flight_messages": ("Messages above QoS 0 that are sent and not acknowledged.", in_flight),
        "queue_memory_bytes": ("Memory of all messages above QoS 0 on their way.", engine.surroundings.memory),
        "outbox_bytes": ("Bytes that wait for clients to read.", outbox_bytes),
        "journal_behind_records": ("Records that are not on disk yet.", journal.appended - journal.committed),
        "store_failing": ("1 while nothing can be stored.", int(journal.is_failing)),
        "uptime_seconds": ("Since the start.", house.now() - house.started_at),
    }
    used = memory()
    if used is not None:
        numbers["memory_bytes"] = ("Memory of the process.", used)
    metrics: list[Metric] = [
        GaugeMetricFamily(f"telex_{name}", text, value=value) for name, (text, value) in numbers.items()
    ]
    info = GaugeMetricFamily("telex_build_info", "Which Telex this is.", labels=["version", "compiled"])
    info.add_metric([version.__version__, "yes" if version.COMPILED else "no"], 1)
    return [*metrics, info]


def _of_listeners(listeners: dict[str, Totals], connected: dict[str, int]) -> list[Metric]:
    metrics: list[Metric] = []
    clients = GaugeMetricFamily("telex_listener_clients", "Clients of a listener.", labels=["listener"])
    for name, count in connected.items():
        clients.add_metric([name], count)
    metrics.append(clients)
    connections = CounterMetricFamily("telex_listener_connections", "Accepted at a listener.", labels=["listener"])
    for name, totals in listeners.items():
        connections.add_metric([name], totals.connections)
    metrics.append(connections)
    for attribute, text in _PER_LISTENER:
        family = CounterMetricFamily(f"telex_listener_{attribute}", text, labels=["listener"])
        for name, totals in listeners.items():
            family.add_metric([name], getattr(totals, attribute))
        metrics.append(family)
    return metrics


def _of_bridges(statuses: list[BridgeStatus]) -> list[Metric]:
    metrics: list[Metric] = []
    for name, text, values in (
        ("up", "1 while the remote broker has accepted a bridge.", [float(each.state == "open") for each in statuses]),
        ("queued_messages", "Messages that wait for the remote broker.", [each.queued for each in statuses]),
        ("in_flight_messages", "Messages above QoS 0 on their way to it.", [each.in_flight for each in statuses]),
        (
            "delay_seconds",
            "From the arrival of a message here to the remote broker's word that it has it, about.",
            [each.delay for each in statuses],
        ),
    ):
        gauge = GaugeMetricFamily(f"telex_bridge_{name}", text, labels=["bridge"])
        for each, value in zip(statuses, values, strict=True):
            gauge.add_metric([each.name], value)
        metrics.append(gauge)
    for name, attribute, text in _BRIDGE_COUNTERS:
        counter = CounterMetricFamily(f"telex_bridge_{name}", text, labels=["bridge"])
        for each in statuses:
            counter.add_metric([each.name], getattr(each, attribute))
        metrics.append(counter)
    return metrics


def _of_clients(top: list[tuple[int, str, Visit]]) -> list[Metric]:
    metrics: list[Metric] = []
    for name, attribute in _PER_CLIENT:
        family = CounterMetricFamily(
            f"telex_client_{name}",
            f"Of the {TOP} clients that moved most bytes, since they connected.",
            labels=["client"],
        )
        labels: dict[str, int] = {}
        for _, client_id, visit in top:
            label = client_id[:_LONGEST_LABEL]
            labels[label] = labels.get(label, 0) + getattr(visit, attribute)  # long ids may look the same
        for label, value in labels.items():
            family.add_metric([label], value)
        metrics.append(family)
    return metrics


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    counts = histogram.cumulative()
    bounds = [*map(str, histogram.bounds), "+Inf"]
    buckets = [(bound, float(count)) for bound, count in zip(bounds, counts, strict=True)]
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.sum)
