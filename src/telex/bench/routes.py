"""Who hears whom: the topics of each publisher, the filters of each subscriber, and what messages look like.

Knows a plan. Several processes that have the same plan come to the same.
"""

from typing import Final

from telex.bench.plan import Plan
from telex.bench.ring import Form, Ring
from telex.codes import MQTT_5, PUBLISH
from telex.wire.properties import Properties, encode_property_list

_MOST_BETWEEN: Final = 64
"""Every how many messages carry their time, at most, in a closed loop."""

_PARTS: Final = 8
"""How many messages of those on their way carry their time, at least, in a closed loop."""

_MOST_RING_BYTES: Final = 4 * 1024 * 1024  # of one publisher
_MOST_RINGS_BYTES: Final = 64 * 1024 * 1024  # of all in one process
_AROUND: Final = 32  # bytes of a packet besides topic, properties and payload, at most
_MOST_PLACES: Final = 60_000  # each has a packet id

HEARD_BY_ALL: Final = ("fanin", "fanout", "mixed")
"""Kinds in which every subscriber may hear every publisher."""


def key_of(token: int, publisher: int) -> int:
    """What payloads say of who sends: which run, 12 bits, and which of its publishers."""
    return token << 20 | publisher


def topics_of(plan: Plan, publisher: int) -> list[str]:
    """The topics that a publisher uses, by turns: ``bench/7/0``, ``bench/7/1``; with more levels ``bench/7/-/-/0``."""
    if plan.depth == 1:
        return [f"{plan.prefix}-{publisher}"]
    if plan.depth == 2:
        return [f"{plan.prefix}/{publisher}"]
    between = "/-" * (plan.depth - 3)
    return [f"{plan.prefix}/{publisher}{between}/{each}" for each in range(plan.topics)]


def filters_of(plan: Plan, subscriber: int) -> list[str]:
    """The filters that a subscriber has, with the group that it shares them in."""
    if plan.kind == "mixed":
        return _mixed_filters(plan, subscriber)
    group = f"$share/{plan.share}/" if plan.share else ""
    hears_all = plan.kind == "fanin"
    between = "/-" * (plan.depth - 3)
    if plan.wildcard:
        who = "+" if hears_all else str(0 if plan.kind == "fanout" else subscriber)
        last = f"{who}{between}/+" if plan.wildcard == "+" else "#" if hears_all else f"{who}/#"
        return [f"{group}{plan.prefix}/{last}"]
    return [f"{group}{each}" for number in heard_by(plan, subscriber) for each in topics_of(plan, number)]


def _mixed_filters(plan: Plan, subscriber: int) -> list[str]:
    """By turns all behind the prefix, one level after the other, and the topics of one publisher."""
    if subscriber % 3 == 0:
        return [f"{plan.prefix}/#"]
    if subscriber % 3 == 1:
        return ["/".join([plan.prefix, *"+" * (plan.depth - 1)])]
    return topics_of(plan, subscriber // 3 % plan.publishers)


def heard_by(plan: Plan, subscriber: int) -> range:
    """The publishers whose messages a subscriber gets."""
    if plan.kind == "fanout":
        return range(1)
    if plan.kind == "fanin" or (plan.kind == "mixed" and subscriber % 3 < 2):
        return range(plan.publishers)
    number = subscriber // 3 % plan.publishers if plan.kind == "mixed" else subscriber
    return range(number, number + 1)


def comes_and_goes(plan: Plan, subscriber: int) -> bool:
    """Whether a subscriber is one of those who do not stay: in ``mixed`` the last quarter, if there are two or more."""
    if plan.kind != "mixed" or plan.subscribers < 2:
        return False
    return subscriber >= plan.subscribers - (plan.subscribers + 3) // 4


def form_of(plan: Plan, token: int, publisher: int, *, aliases: int = 0, is_received: bool = False) -> Form:
    """What a publisher's messages look like.

    Args:
        plan: the run.
        token: which run, as payloads say it.
        publisher: its number.
        aliases: how many topic aliases the broker takes.
        is_received: as they arrive, at QoS 0: topics are spelled out, and a message is not marked as retained.
    """
    pairs = tuple((f"name-{each}", f"value-{each}") for each in range(plan.user_properties))
    properties = encode_property_list(Properties(user_properties=pairs), PUBLISH) if plan.version == MQTT_5 else b""
    return Form(
        key_of(token, publisher),
        [each.encode() for each in topics_of(plan, publisher)],
        plan.size_of(publisher),
        qos=plan.qos_of(publisher),
        retain=plan.retain and not is_received,
        version=plan.version,
        properties=properties,
        aliases=min(aliases, plan.topics) if plan.alias and not is_received else 0,
    )


def every_of(plan: Plan, publisher: int) -> int:
    """Every how many of its messages carry their time in a closed loop: some of all that are on their way do."""
    on_their_way = plan.ahead_of(publisher) * max(1, plan.publishers)
    return max(1, min(_MOST_BETWEEN, on_their_way // _PARTS))


def ring_length(plan: Plan, publisher: int) -> int:
    """How many messages a publisher's ring has; 0: it has none.

    It is more than twice as long as what may be on its way. There is none at a fixed rate, where each message has a
    time of its own, and where it would take too much memory.
    """
    if plan.rate:
        return 0
    length = max(2 * plan.ahead_of(publisher) + 2, plan.topics)
    packet = plan.size_of(publisher) + len(plan.prefix) + 2 * plan.depth + 32 * plan.user_properties + _AROUND
    publishers = -(-plan.publishers // plan.processes)
    most = min(_MOST_RING_BYTES, _MOST_RINGS_BYTES // publishers)
    return length if length * packet <= most and length <= _MOST_PLACES else 0


def received_ring(plan: Plan, token: int, publisher: int) -> Ring | None:
    """What comes of a publisher, where subscribers can know it beforehand: at QoS 0."""
    length = ring_length(plan, publisher)
    every = every_of(plan, publisher)
    if plan.qos_of(publisher) or not length or every == 1:
        return None
    return Ring(form_of(plan, token, publisher, is_received=True), length, every)
