"""When all have come and gone, the engine is as empty as it was: nothing leaks."""

import gc

import pytest

from telex.engine.engine import Engine
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.session import Session
from telex.wire.packets import Disconnect, Publish, Subscribe, Will
from telex.wire.packets import SubscriptionRequest as Request
from telex.wire.properties import Properties
from tests.engine.world import LateGate, Ledger, World


def assert_empty(engine: Engine) -> None:
    """Nothing is remembered of anybody; only what topics match nobody may be."""
    assert engine.sessions == {}
    assert (engine.ready, engine.holding, engine.unanswered) == ([], [], {})
    assert engine._ending == {}
    assert engine.surroundings.memory == 0
    subscriptions = engine.subscriptions
    assert (subscriptions.count, subscriptions.shared_count) == (0, 0)
    assert subscriptions._exact == {}
    assert subscriptions._root.children == {}
    assert subscriptions._root.subscribers is None
    assert subscriptions._wildcards == 0
    assert [route for route in subscriptions._routes.known.values() if route.is_heard] == []
    assert (engine.retained.count, engine.retained.bytes) == (0, 0)
    assert engine.retained.is_empty
    assert len(engine.deadlines) == 0
    assert engine.deadlines._due == {}
    assert engine.stats.clients_connected == 0
    assert engine.stats.sockets_open == 0
    assert census(engine) == []


def census(engine: Engine) -> list[Session]:
    """All sessions of an engine that are in memory, whoever holds them."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Session) and each.surroundings is engine.surroundings]


def test_the_census_finds_who_is_there(world: World) -> None:  # else the others prove nothing
    client = world.client("c", session_expiry=60)
    assert [session.client_id for session in census(world.engine)] == ["c"]
    client.drops()
    assert [session.client_id for session in census(world.engine)] == ["c"]


@pytest.mark.parametrize("journal", [None, "remembers", "gives back"])
@pytest.mark.parametrize("end", ["drops", "disconnects", "errs", "falls silent", "is taken over"])
def test_nothing_is_left_of_clients_of_every_kind(end: str, journal: str | None) -> None:  # pain 8
    options = Options(
        max_queued_messages=5,
        max_inflight_messages=3,
        maximum_session_expiry=30,
        max_queue_memory=64_000_000 if journal is None else 20_000,
    )
    world = World(options, journal=Ledger(page=2 if journal == "gives back" else 0) if journal else None)
    kinds = [
        {"version": version, "clean_start": clean, "acknowledges": acknowledges}
        for version in (3, 4, 5)
        for clean in (True, False)
        for acknowledges in (True, False)
    ]
    kinds += [
        {"session_expiry": 10, "clean_start": False},
        {"session_expiry": 10, "acknowledges": False, "receive_maximum": 1},
        {"session_expiry": 0xFFFFFFFF, "topic_alias_maximum": 9, "maximum_packet_size": 60},
    ]
    will = Will("w/1", b"lost", qos=1, properties=Properties(will_delay_interval=5, message_expiry_interval=5))
    clients = []
    for number, kind in enumerate(kinds):
        expiring = will if kind.get("version", 5) == 5 else Will("w/1", b"lost", qos=2)
        client = world.client(f"c{number}", keep_alive=20, will=expiring, **kind)
        client.subscribes("a", "a/+", "#", f"own/{number}", "$share/g/a/+", "$share/g/a", qos=2)
        clients.append(client)
    for client in clients:
        for qos in (0, 1, 2):
            client.publishes("a/b", b"x" * 10, qos=qos).publishes(f"deep/{client.name}/er/and/er", b"x", qos=qos)
        if client.manners.version == 5:
            client.publishes("a", b"r", retain=True, properties=Properties(message_expiry_interval=25))
        client.sends(Publish("a", b"half", qos=2, packet_id=9))
        client.unsubscribes("a")
    for client in clients:
        if end == "drops":
            client.drops()
        elif end == "disconnects":
            client.disconnects()
        elif end == "errs":
            client.sends_bytes(b"\x00\x00")
        elif end == "is taken over":
            world.client(client.name, clean_start=False).drops()
        if end in ("drops", "disconnects") and client.manners.session_expiry:
            client.returns().drops()
    world.advance(40)
    assert not any(client.is_connected for client in clients)
    world.advance(60)
    assert_empty(world.engine)


def test_nothing_is_left_of_those_who_waited_for_the_journal() -> None:  # pain 8
    world = World(Options(maximum_session_expiry=5), journal=Ledger(is_slow=True))
    for number, end in enumerate(("drops", "disconnects", "errs", "stays", "fails")):
        client = world.knocks(f"c{number}", session_expiry=5)
        client.sends(Subscribe(1, [Request("a", 2)]), Publish("a", b"x", 2, packet_id=1))
        other = world.client(f"d{number}", version=4).sends(Publish("a", b"x", 1, retain=True, packet_id=1))
        for each in (client, other):
            if end == "drops":
                each.drops()
            elif end == "disconnects":
                each.disconnects()
            elif end == "errs":
                each.sends_bytes(b"\x00\x00")
            elif end == "fails":
                world.fails()
                each.sends(Publish("a", b"x", 1, packet_id=2))
                world.knocks(f"c{number}")
    world.recovers()
    for client in world.everybody:
        client.drops()
    world.advance(6)
    world.commits()
    world.publishes(Message("a", b"", 0, True))
    world.commits()
    assert_empty(world.engine)


def test_nothing_is_left_of_those_who_never_got_in() -> None:  # pain 8, M1
    world = World(Options(connect_timeout=5), gate=LateGate())
    world.stranger()
    world.stranger().drops()
    world.stranger().sends_bytes(b"\x10\x20\x00")
    world.stranger().sends_bytes(b"nonsense")
    world.knocks("waits", session_expiry=60, will=Will("w", b"x"))
    world.knocks("leaves", session_expiry=60).drops()
    world.knocks("refused", session_expiry=60)
    world.refuses("refused", 0x87)
    world.advance(10)
    assert isinstance(world.gate, LateGate)
    world.gate.asked.clear()
    assert_empty(world.engine)


def test_nothing_is_left_of_retained_messages(world: World) -> None:  # [MQTT-3.3.1-6] [MQTT-3.3.2-5]
    pub = world.client("pub")
    topics = ["a", "a/b", "a/b/c", "/", "//", "a//b", "$x/y", "ü/ö"]
    for topic in topics:
        pub.publishes(topic, b"x", retain=True)
    for topic in topics:
        pub.publishes(topic, b"y", retain=True, properties=Properties(message_expiry_interval=10))
    for topic in topics[::2]:
        pub.publishes(topic, b"", retain=True)
    pub.disconnects()
    world.advance(11)
    assert_empty(world.engine)


def test_nothing_is_left_of_thousands_of_sessions(world: World) -> None:  # pain 8: connect, publish, vanish
    for number in range(1_000):
        client = world.client(f"client-{number}", session_expiry=number % 20)
        client.sends(Subscribe(1, [Request(f"t/{number}/+", 1), Request("t/#", 1), Request("$share/g/#", 2)]))
        client.sends(Publish(f"t/{number}/x", b"x", qos=1, packet_id=1))
        client.drops()
        if number % 100 == 0:
            world.advance(1)
    world.advance(21)
    assert_empty(world.engine)


def test_nothing_is_left_of_the_subscriptions_of_a_client_that_stays(world: World) -> None:  # [MQTT-3.10.4-1]
    client = world.client("c")
    filters = ["a", "#", "+", "a/+/b", "a/+/#", "$share/g/a", "$share/g/+/b", "$share/h/a", "$SYS/#", "/", "+/+/+"]
    client.subscribes(*filters, qos=1).subscribes(*filters, qos=2)
    client.publishes("a", b"x", qos=2).publishes("a/b/c", b"x")
    client.unsubscribes(*filters)
    assert world.engine.subscriptions._exact == {}
    assert world.engine.subscriptions._root.children == {}
    client.sends(Disconnect())
    assert_empty(world.engine)


def test_what_topics_match_is_not_remembered_without_bound(world: World) -> None:  # promise: memory is bounded
    pub = world.client("pub", version=4)
    pub.sends(*[Publish(f"t/{number}", b"x") for number in range(25_000)])
    assert len(world.engine.subscriptions._routes.known) <= 10_000
