"""Shared Subscriptions: each message goes to one member of the group (section 4.8.2)."""

from collections import Counter

import pytest

from telex.codes import ReasonCode
from telex.engine.options import Options
from telex.wire.packets import Disconnect, PubAck, Publish, PubRec, PubRel, Subscribe, SubscriptionRequest
from telex.wire.properties import Properties
from tests.engine.world import Client, World


def members(
    world: World, count: int, topic_filter: str = "$share/g/a", qos: int = 2, **manners: object
) -> list[Client]:
    """So many clients that share a subscription."""
    return [world.client(f"m{number}", **manners).subscribes(topic_filter, qos=qos) for number in range(count)]


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_message_goes_to_one_member(world: World, qos: int, version: int) -> None:  # section 4.8.2
    group = members(world, 3, version=version)
    pub = world.client("pub")
    for number in range(30):
        pub.publishes("a", b"%d" % number, qos=qos)
    assert Counter(payload for member in group for payload in member.payloads) == Counter(
        b"%d" % number for number in range(30)
    )


def test_the_members_take_turns(world: World) -> None:  # section 4.8.2: balanced
    group = members(world, 3)
    pub = world.client("pub")
    for _ in range(30):
        pub.publishes("a", b"x", qos=1)
    assert [len(member.payloads) for member in group] == [10, 10, 10]


def test_a_member_alone_gets_everything(world: World) -> None:  # section 4.8.2
    (only,) = members(world, 1)
    world.client("pub").publishes("a", b"1").publishes("a", b"2", qos=2)
    assert only.payloads == [b"1", b"2"]


def test_each_group_gets_its_own_copy_and_so_does_everybody_else(world: World) -> None:  # section 4.8.2
    one = world.client("c").subscribes("$share/g/a/+")
    two = world.client("d").subscribes("$share/h/a/+")
    three = world.client("e").subscribes("a/+")
    world.client("pub").publishes("a/b", b"x")
    assert [client.payloads for client in (one, two, three)] == [[b"x"]] * 3


def test_a_group_is_its_name_and_its_filter(world: World) -> None:  # section 4.8.2
    one = world.client("c").subscribes("$share/g/a/+")
    two = world.client("d").subscribes("$share/g/a/#")
    world.client("pub").publishes("a/b", b"x")
    assert (one.payloads, two.payloads) == ([b"x"], [b"x"])


def test_a_client_may_be_member_and_subscriber(world: World) -> None:  # section 4.8.2: these are two subscriptions
    client = world.client("c").subscribes("a", identifier=1).subscribes("$share/g/a", identifier=2)
    world.client("pub").publishes("a", b"x")
    found = [message.properties.subscription_identifiers for message in client.messages if message.properties]
    assert sorted(found) == [(1,), (2,)]


def test_each_member_gets_the_qos_that_it_was_granted(world: World) -> None:  # [MQTT-4.8.2-3]
    group = [world.client(f"m{qos}").subscribes("$share/g/a", qos=qos) for qos in (0, 1, 2)]
    pub = world.client("pub")
    for _ in range(9):
        pub.publishes("a", b"x", qos=2)
    assert [{message.qos for message in member.messages} for member in group] == [{0}, {1}, {2}]


def test_a_member_that_subscribes_again_is_not_two(world: World) -> None:  # [MQTT-3.8.4-3]
    one, other = members(world, 2)
    one.subscribes("$share/g/a", qos=1).subscribes("$share/g/a", qos=1)
    pub = world.client("pub")
    for _ in range(10):
        pub.publishes("a", b"x", qos=2)
    assert (len(one.payloads), len(other.payloads)) == (5, 5)
    assert {message.qos for message in one.messages} == {1}


def test_no_local_is_not_for_shared_subscriptions(world: World) -> None:  # [MQTT-3.8.3-4]
    client = world.client("c").sends(Subscribe(1, [SubscriptionRequest("$share/g/a", no_local=True)]))
    assert client.got == [Disconnect(ReasonCode.PROTOCOL_ERROR)]
    assert not client.is_connected


def test_a_member_that_unsubscribes_gets_no_more(world: World) -> None:  # [MQTT-3.10.4-2], H1
    one, other = members(world, 2)
    one.unsubscribes("$share/g/a")
    pub = world.client("pub")
    for _ in range(4):
        pub.publishes("a", b"x", qos=1)
    assert (len(one.payloads), len(other.payloads)) == (0, 4)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_thousand_sent_are_a_thousand_received_though_members_leave(world: World, qos: int) -> None:  # H1
    group = members(world, 4)
    pub = world.client("pub")
    for number in range(1_000):
        if number in (250, 500, 750):
            group[number // 250].drops()
        pub.publishes("a", b"%d" % number, qos=qos)
    taken = Counter(payload for member in group for payload in member.payloads)
    assert taken == Counter(b"%d" % number for number in range(1_000))


# Members that are away


def test_a_member_that_is_connected_is_preferred(world: World) -> None:  # H1
    one, other = members(world, 2, session_expiry=60)
    one.drops()
    pub = world.client("pub")
    for number in range(6):
        pub.publishes("a", b"%d" % number, qos=1)
    assert len(other.payloads) == 6
    assert one.returns().got == []


@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_waits_for_one_of_them_if_all_are_away(world: World, qos: int) -> None:  # [MQTT-4.5.0-1], H1
    group = members(world, 2, session_expiry=60)
    for member in group:
        member.drops()
    pub = world.client("pub")
    for number in range(6):
        pub.publishes("a", b"%d" % number, qos=qos)
    back = [member.returns() for member in group]
    assert [len(member.payloads) for member in back] == [3, 3]


def test_qos0_is_lost_if_all_are_away(world: World) -> None:  # section 4.1, H1: and no endless search
    group = members(world, 2, session_expiry=60)
    for member in group:
        member.drops()
    world.client("pub").publishes("a", b"x")
    assert [member.returns().got for member in group] == [[], []]


def test_an_absent_member_that_would_lose_it_is_passed_over(world: World) -> None:  # [MQTT-4.8.2-3], H1
    world.client("m0", session_expiry=60).subscribes("$share/g/a", qos=0).drops()
    keeper = world.client("m1", session_expiry=60).subscribes("$share/g/a", qos=1).drops()
    pub = world.client("pub")
    for number in range(4):
        pub.publishes("a", b"%d" % number, qos=1)
    assert len(keeper.returns().payloads) == 4


def test_membership_outlives_the_connection(world: World) -> None:  # [MQTT-3.1.2-23], H1
    (member,) = members(world, 1, session_expiry=60)
    member = member.drops().returns()
    world.client("pub").publishes("a", b"x")
    assert member.payloads == [b"x"]


# Members whose session ends


def test_what_a_member_did_not_acknowledge_goes_to_another(world: World) -> None:  # section 4.8.2, H1
    one, other = members(world, 2, acknowledges=False)
    pub = world.client("pub")
    for number in range(4):
        pub.publishes("a", b"%d" % number, qos=1)
    kept, lost = (one, other) if b"0" in other.payloads else (other, one)
    assert len(lost.payloads) == 2
    lost.drops()
    assert sorted(kept.payloads) == [b"0", b"1", b"2", b"3"]
    assert not any(message.dup for message in kept.messages)


def test_what_waited_for_a_member_goes_to_another_when_its_session_ends(world: World) -> None:  # H1
    (one,) = members(world, 1, session_expiry=10)
    one.drops()
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    other = world.client("late").subscribes("$share/g/a", qos=2)
    assert other.got == []
    world.advance(11)
    assert other.payloads == [b"1", b"2"]


def test_what_waited_for_a_member_and_has_expired_goes_to_nobody(world: World) -> None:  # [MQTT-3.3.2-5], H1
    (one,) = members(world, 1, session_expiry=10)
    one.drops()
    world.client("pub").publishes("a", b"old", qos=1, properties=Properties(message_expiry_interval=3))
    other = world.client("late").subscribes("$share/g/a", qos=2)
    world.advance(11)
    assert other.got == []


def test_a_qos2_exchange_is_not_handed_on(world: World) -> None:  # [MQTT-4.8.2-4], section 4.8.2
    one, other = members(world, 2, acknowledges=False)
    pub = world.client("pub").publishes("a", b"1", qos=2).publishes("a", b"2", qos=2)
    one.drops()
    assert len(other.payloads) == 1
    assert pub.is_connected


def test_a_qos2_exchange_goes_on_with_the_client_that_it_began_with(world: World) -> None:  # [MQTT-4.8.2-4]
    one, other = members(world, 2, acknowledges=False, session_expiry=60)
    world.client("pub").publishes("a", b"x", qos=2)
    chosen, spare = (one, other) if one.got else (other, one)
    chosen.drops()
    assert spare.got == []
    again = chosen.returns()
    assert again.got == [Publish("a", b"x", qos=2, packet_id=1, dup=True)]
    assert again.sends(PubRec(1)).got[1:] == [PubRel(1)]


@pytest.mark.parametrize("refusal", [PubAck(1, 0x97), PubRec(1, 0x97)])
def test_what_a_member_refuses_goes_to_nobody_else(world: World, refusal: PubAck | PubRec) -> None:
    # [MQTT-4.8.2-6]
    one, other = members(world, 2, acknowledges=False)
    world.client("pub").publishes("a", b"x", qos=1 if isinstance(refusal, PubAck) else 2)
    chosen, spare = (one, other) if one.got else (other, one)
    chosen.sends(refusal).drops()
    assert spare.got == []


def test_the_last_member_takes_the_group_with_it(world: World) -> None:  # H1: no stale route
    group = members(world, 2)
    pub = world.client("pub").publishes("a", b"x")
    for member in group:
        member.drops()
    pub.publishes("a", b"y", qos=1)
    assert world.engine.subscriptions.count == 0
    again = members(world, 1)[0]
    pub.publishes("a", b"z")
    assert again.payloads == [b"z"]


def test_a_clean_start_hands_on_what_waited(world: World) -> None:  # [MQTT-3.1.2-4], H1
    one, other = members(world, 2, session_expiry=60)
    one.drops()
    other.drops()
    pub = world.client("pub")
    for number in range(4):
        pub.publishes("a", b"%d" % number, qos=1)
    one.returns(clean_start=True)
    assert sorted(other.returns().payloads) == [b"0", b"1", b"2", b"3"]


# Filters that look alike


@pytest.mark.parametrize("name", ["$shared/g/a", "$sharex", "share/g/a"])
def test_only_share_is_shared(world: World, name: str) -> None:  # [MQTT-4.8.2-1]
    one, other = world.client("c").subscribes(name), world.client("d").subscribes(name)
    world.client("pub").publishes(name, b"x")
    assert (one.payloads, other.payloads) == ([b"x"], [b"x"])


def test_a_share_name_may_be_any_word(world: World) -> None:  # [MQTT-4.8.2-2]
    client = world.client("c").subscribes("$share/$share/a", "$share/g ö.*/b", "$share/g//c", "$share/g/$d")
    pub = world.client("pub")
    for topic in ("a", "b", "/c", "$d", "c"):
        pub.publishes(topic, b"x")
    assert client.topics == ["a", "b", "/c", "$d"]


def test_a_full_member_drops_what_is_too_much_for_it() -> None:  # pain 9: bounded
    world = World(Options(max_queued_messages=2))
    (member,) = members(world, 1, session_expiry=60)
    member.drops()
    pub = world.client("pub")
    for number in range(5):
        pub.publishes("a", b"%d" % number, qos=1)
    assert member.returns().payloads == [b"0", b"1"]
    assert world.engine.stats.publish_dropped == 3
