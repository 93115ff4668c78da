"""Sampled subscriptions: now and then the last message of each topic, and how many there were."""

import pytest

from telex.codes import ReasonCode
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.permissions import DENIED, Permissions
from telex.wire.packets import Publish, SubAck, Subscribe, SubscriptionRequest
from telex.wire.properties import Properties
from tests.engine.world import ByName, Client, Granted, Ledger, World

SAMPLED = ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR


def asks(client: Client, *filters: str, period: str = "250", identifier: int = 0, **options: bool) -> list[int]:
    """Ask for sampled subscriptions at QoS 2; returns the reason codes."""
    identifiers = (identifier,) if identifier else ()
    properties = Properties(user_properties=(("telex.sample", period),), subscription_identifiers=identifiers)
    requests = [SubscriptionRequest(each, 2, **options) for each in filters]
    client.sends(Subscribe(7, requests, properties))
    answer = next(packet for packet in client.got if isinstance(packet, SubAck))
    client.got.remove(answer)
    return answer.reason_codes


def watcher(world: World, *filters: str, **options: bool) -> Client:
    """A client with sampled subscriptions, a period of a quarter of a second."""
    client = world.client("watcher")
    assert asks(client, *filters, **options) == [0] * len(filters)
    return client


def told(client: Client) -> list[tuple[str, bytes, dict[str, str]]]:
    """What a watcher got since the last call: topics, payloads and what the broker says of them."""
    return [
        (packet.topic, packet.payload, {} if packet.properties is None else dict(packet.properties.user_properties))
        for packet in client.takes()
        if isinstance(packet, Publish)
    ]


def test_the_first_message_comes_at_once(world: World) -> None:
    sub = watcher(world, "#")
    world.client("pub", user_name="ann").publishes("a/b", b"21.5", qos=1)
    said = {
        "telex.messages": "1",
        "telex.bytes": "4",
        "telex.at": "1000000",
        "telex.client": "pub",
        "telex.user": "ann",
    }
    assert told(sub) == [("a/b", b"21.5", said)]


def test_of_many_in_a_period_the_last_comes_with_their_number(world: World) -> None:
    sub = watcher(world, "#")
    pub = world.client("pub")
    for number in range(10, 20):
        pub.publishes("a", b"%d" % number)
    assert [(topic, payload) for topic, payload, _ in told(sub)] == [("a", b"10")]
    world.now += 0.25
    pub.publishes("b")
    (first, second) = told(sub)
    assert first[:2] == ("a", b"19")
    assert (first[2]["telex.messages"], first[2]["telex.bytes"]) == ("9", "18")
    assert (second[0], second[2]["telex.messages"]) == ("b", "1")


def test_what_comes_last_before_a_silence_is_told_within_a_second(world: World) -> None:
    sub = watcher(world, "#")
    world.client("pub").publishes("a", b"1").publishes("a", b"2")
    told(sub)
    world.advance(1)
    assert [payload for _, payload, _ in told(sub)] == [b"2"]
    world.advance(60)
    assert told(sub) == []


def test_others_get_everything_as_ever(world: World) -> None:
    watcher(world, "#")
    sub = world.client("sub").subscribes("a", qos=2)
    shared = world.client("member").subscribes("$share/g/a", qos=1)
    world.client("pub").publishes("a", b"1", qos=2).publishes("a", b"2", qos=2)
    assert sub.payloads == shared.payloads == [b"1", b"2"]


def test_a_publisher_hears_that_somebody_subscribed(world: World) -> None:
    watcher(world, "a")
    pub = world.client("pub")
    pub.sends(Publish("a", b"", 1, packet_id=1), Publish("b", b"", 1, packet_id=2))
    assert [packet.reason_code for packet in pub.got] == [0, 0x10]  # type: ignore[attr-defined]


def test_properties_and_identifiers_of_a_message_stay(world: World) -> None:
    sub = world.client("watcher")
    assert asks(sub, "a", identifier=3) == [0]
    world.client("pub").publishes("a", b"{}", properties=Properties(content_type="json", user_properties=(("k", "v"),)))
    [message] = sub.messages
    assert message.properties is not None
    assert message.properties.content_type == "json"
    assert message.properties.user_properties[:2] == (("k", "v"), ("telex.messages", "1"))
    assert message.properties.subscription_identifiers == (3,)


def test_one_message_for_overlapping_filters(world: World) -> None:
    sub = watcher(world, "a/#", "#", "a/+")
    world.client("pub").publishes("a/b", b"x")
    assert len(told(sub)) == 1


def test_a_plain_subscription_beside_gets_its_own(world: World) -> None:
    sub = watcher(world, "#").subscribes("a", qos=1)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    assert [(message.qos, message.payload) for message in sub.messages] == [(1, b"1"), (0, b"1"), (1, b"2")]


def test_retained_messages_come_first_and_all(world: World) -> None:
    pub = world.client("pub")
    for number in range(100):
        pub.publishes(f"a/{number}", b"old", retain=True)
    sub = watcher(world, "#", retain_as_published=True)
    assert [message.retain for message in sub.messages] == [True] * 100
    assert {said.get("telex.messages") for _, _, said in told(sub)} == {None}
    pub.publishes("a/1", b"new", retain=True)
    [message] = sub.messages
    assert (message.payload, message.retain) == (b"new", True)


def test_a_slow_reader_gets_fewer_messages_and_the_last_of_each_topic(world: World) -> None:
    pub = world.client("pub")
    for number in range(50):
        pub.publishes(f"kept/{number}", bytes(10_000), retain=True)
    sub = watcher(world, "#")
    before = len(told(sub))
    assert before == 50  # however little goes out at once
    sub.freezes()
    for number in range(300):
        world.now += 0.1
        pub.publishes(f"a/{number % 100}", bytes(9_000) + b"%d" % number)
    sub.thaws()
    world.advance(1)
    found = told(sub)
    assert sum(int(said["telex.messages"]) for _, _, said in found) == 300
    last = {topic: payload[9_000:] for topic, payload, _ in found}
    assert last == {f"a/{number % 100}": b"%d" % number for number in range(200, 300)}
    assert len(found) < 200


def test_what_waits_is_bounded_and_what_is_dropped_is_counted() -> None:
    world = World(Options(max_outbox_bytes=100_000))
    sub = watcher(world, "#")
    pub = world.client("pub").publishes("first", b"")
    for number in range(20):
        pub.publishes(f"a/{number}", bytes(10_000))
    world.advance(1)
    assert len(told(sub)) == 10
    assert world.engine.stats.publish_dropped == 11
    pub.publishes("a/0", b"").publishes("a/19", bytes(10_000))  # there is room again
    world.advance(1)
    assert len(told(sub)) == 2


def test_an_expired_message_is_not_sent(world: World) -> None:  # [MQTT-3.3.2-5]
    sub = world.client("watcher")
    assert asks(sub, "#", period="5000") == [0]
    pub = world.client("pub").publishes("a", b"1")
    pub.publishes("a", b"2", properties=Properties(message_expiry_interval=3))
    pub.publishes("b", b"3")
    world.advance(5)
    assert [payload for _, payload, _ in told(sub)] == [b"1", b"3"]


def test_publishers_are_named_to_those_who_may_know_them() -> None:
    permissions = Permissions()
    permissions.knows_publishers = False
    world = World(gate=ByName(watcher=permissions))
    sub = watcher(world, "#")
    world.client("pub", user_name="ann").publishes("a", b"1")
    [(_, _, said)] = told(sub)
    assert sorted(said) == ["telex.at", "telex.bytes", "telex.messages"]


def test_what_the_broker_publishes_has_no_publisher(world: World) -> None:
    sub = watcher(world, "$SYS/#")
    world.publishes(Message("$SYS/broker/uptime", b"1 seconds"))
    [(_, _, said)] = told(sub)
    assert sorted(said) == ["telex.at", "telex.bytes", "telex.messages"]


def test_it_obeys_who_may_receive() -> None:
    world = World(gate=ByName(watcher=Granted(receive={"closed": DENIED})))
    sub = watcher(world, "#")
    world.client("pub").publishes("open", b"1").publishes("closed", b"2")
    world.advance(1)
    assert [topic for topic, _, _ in told(sub)] == ["open"]


def test_after_unsubscribe_nothing_new_comes(world: World) -> None:  # [MQTT-3.10.4-2]
    sub = watcher(world, "#")
    sub.unsubscribes("#")
    world.client("pub").publishes("a", b"1")
    world.advance(2)
    assert told(sub) == []


def test_a_subscription_can_become_a_plain_one(world: World) -> None:  # [MQTT-3.8.4-3]
    sub = watcher(world, "a")
    sub.subscribes("a", qos=1)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    assert [message.payload for message in sub.messages] == [b"1", b"2"]


def test_nothing_is_left_of_a_client_that_is_gone(world: World) -> None:
    sub = watcher(world, "#")
    pub = world.client("pub").publishes("a", b"1").publishes("a", b"2")
    sub.drops()
    pub.publishes("a", b"3")
    world.advance(2)
    assert "watcher" not in world.engine.sessions
    assert len(world.engine.deadlines) == 0


@pytest.mark.parametrize("period", ["", "49", "60001", "-50", "1e3", "250ms", "٣٠٠", "99999999999"])
def test_a_period_that_is_none_is_refused(world: World, period: str) -> None:
    client = world.client("watcher")
    assert asks(client, "#", period=period) == [SAMPLED]
    assert client.reasons == [f"telex.sample is {period[:20]!r}; expected milliseconds, from 50 to 60000"]
    assert world.engine.sessions["watcher"].subscriptions == {}


@pytest.mark.parametrize("period", ["50", "60000"])
def test_the_shortest_and_the_longest_period(world: World, period: str) -> None:
    assert asks(world.client("watcher"), "#", period=period) == [0]


def test_neither_shared_nor_no_local(world: World) -> None:
    client = world.client("watcher")
    assert asks(client, "$share/g/a", "a", "b/#") == [SAMPLED, 0, 0]
    assert asks(client, "c", no_local=True) == [SAMPLED]


def test_a_session_that_is_kept_cannot_sample() -> None:
    world = World(journal=Ledger())
    client = world.client("watcher", session_expiry=60)
    assert asks(client, "#") == [SAMPLED]
    assert client.reasons == [
        "a sampled subscription ends with its connection: expected a Session Expiry Interval of 0"
    ]


def test_the_user_property_of_another_name_means_nothing(world: World) -> None:
    client = world.client("sub")
    client.sends(Subscribe(7, [SubscriptionRequest("a", 1)], Properties(user_properties=(("sample", "250"),))))
    assert client.got == [SubAck(7, [1])]


def test_where_there_are_too_many_topics_they_take_turns(world: World) -> None:
    sub = watcher(world, "#")
    pub = world.client("pub").publishes("first", b"")
    told(sub)
    pub.sends(*[Publish(f"a/{number % 12_000}", b"%d" % number) for number in range(24_000)])
    counts = []
    found = []
    for _ in range(4):
        world.advance(1)
        came = told(sub)
        counts.append(len(came))
        found += came
    assert counts == [10_001, 1_999, 0, 0]
    assert [payload for _, payload, _ in found] == [b"%d" % number for number in range(12_000, 24_000)]
    assert {said["telex.messages"] for _, _, said in found} == {"2"}


def test_who_subscribes_again_and_again_without_reading_has_each_retained_message_waiting_once(world: World) -> None:
    pub = world.client("pub")
    for number in range(50):
        pub.publishes(f"a/{number}", bytes(5_000), retain=True)
    sub = world.client("watcher").freezes()
    wish = Properties(user_properties=(("telex.sample", "250"),))
    for packet_id in range(1, 21):
        sub.sends(Subscribe(packet_id, [SubscriptionRequest("#", 0)], wish))
    sub.thaws()
    assert len(told(sub)) <= 2 * 50
