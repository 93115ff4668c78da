"""Shared Subscriptions: each message goes to one member of the group (section 4.8)."""

from collections import Counter

import pytest

from telex.wire.packets import (
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from telex.wire.properties import Properties
from tests.conformance.marks import edge, mqtt
from tests.engine.world import Client, World

each_qos = pytest.mark.parametrize("qos", [0, 1, 2])


def members(world: World, count: int, topic_filter: str = "$share/g/a", **manners: object) -> list[Client]:
    """So many clients that share a subscription."""
    return [world.client(f"m{number}", **manners).subscribes(topic_filter, qos=2) for number in range(count)]


def numbers(count: int) -> list[bytes]:
    """Payloads: 0 to ``count`` - 1."""
    return [b"%d" % number for number in range(count)]


def publishes(pub: Client, count: int, qos: int, topic: str = "a") -> None:
    """Publish 0 to ``count`` - 1."""
    for payload in numbers(count):
        pub.publishes(topic, payload, qos=qos)


def all_payloads(group: list[Client]) -> list[bytes]:
    """What the members got between them, in the order of the numbers."""
    return sorted((payload for member in group for payload in member.payloads), key=int)


@each_qos
def test_each_message_goes_to_one_member(world: World, qos: int) -> None:  # section 4.8.2
    group = members(world, 3)
    publishes(world.client("pub"), 30, qos)
    assert all_payloads(group) == numbers(30)


@each_qos
def test_each_group_gets_its_copy_and_so_does_everybody_else(world: World, qos: int) -> None:  # section 4.8.2
    one = world.client("c").subscribes("$share/g/a/+", qos=2)
    two = world.client("d").subscribes("$share/h/a/+", qos=2)
    other = world.client("e").subscribes("$share/g/a/#", qos=2)  # another filter, so another group
    alone = world.client("f").subscribes("a/+", qos=2)
    world.client("pub").publishes("a/b", b"x", qos=qos)
    assert [client.payloads for client in (one, two, other, alone)] == [[b"x"]] * 4


# What a shared filter looks like


@mqtt("MQTT-4.8.2-1")
@pytest.mark.parametrize("name", ["$shared/g/a", "$SHARE/g/a", "share/g/a", "/$share/g/a", "a/$share/g/a"])
def test_a_filter_that_does_not_begin_with_share_is_not_shared(world: World, name: str) -> None:
    one, other = world.client("c").subscribes(name), world.client("d").subscribes(name)
    world.client("pub").publishes("a", b"x", qos=1)
    assert (one.payloads, other.payloads) == ([], [])
    if not name.startswith("$"):  # whether clients may publish to $ topics is a broker's own affair
        world.client("pub").publishes(name, b"x", qos=1)
        assert (one.payloads, other.payloads) == ([b"x"], [b"x"])


@mqtt("MQTT-4.8.2-1", "MQTT-4.8.2-2")
@pytest.mark.parametrize("topic_filter", ["$share//a", "$share//", "$share/g", "$share/g/", "$share/", "$share/g+/a"])
def test_a_share_name_has_a_character_and_a_filter_behind_it(world: World, topic_filter: str) -> None:
    refused(world.client("c"), topic_filter)


@mqtt("MQTT-4.8.2-2")
@pytest.mark.parametrize("topic_filter", ["$share/+/a", "$share/#/a", "$share/g+/a", "$share/#g/a", "$share/#"])
def test_a_share_name_has_no_wildcard(world: World, topic_filter: str) -> None:
    refused(world.client("c"), topic_filter)


@mqtt("MQTT-4.8.2-2")
@pytest.mark.parametrize("topic_filter", ["$share/g/a#", "$share/g/#/a", "$share/g/a/b+"])
def test_what_follows_a_share_name_is_a_filter(world: World, topic_filter: str) -> None:
    refused(world.client("c"), topic_filter)


def refused(client: Client, topic_filter: str) -> None:
    """The text leaves it open whether by SUBACK or by closing the connection."""
    client.sends(Subscribe(1, [SubscriptionRequest(topic_filter)]))
    if client.is_connected:
        (answer,) = client.got
        assert isinstance(answer, SubAck)
        assert answer.reason_codes[0] >= 0x80


@pytest.mark.parametrize("topic_filter", ["$share//a", "$share/g", "$share/g/", "$share/#/a", "$share/g/a#"])
def test_a_client_is_told_which_of_its_shared_filters_is_invalid(engine: World, topic_filter: str) -> None:
    requests = [SubscriptionRequest("a"), SubscriptionRequest(topic_filter)]
    assert engine.client("c").sends(Subscribe(1, requests)).got == [SubAck(1, [0, 0x8F])]


@mqtt("MQTT-4.8.2-1", "MQTT-4.8.2-2")
def test_a_share_name_may_be_any_other_text(world: World) -> None:
    filters = {"$share/g ö.*/b": "b", "$share/$share/a": "a", "$share/$/d/+": "d/e", "$share/g//c": "/c"}
    client = world.client("c").subscribes(*filters)
    pub = world.client("pub")
    for topic in [*filters.values(), "c"]:
        pub.publishes(topic, b"x")
    assert client.topics == list(filters.values())


@edge("K1")
@mqtt("MQTT-4.7.2-1")
def test_a_wildcard_behind_a_share_name_matches_no_topic_with_a_dollar(world: World) -> None:
    client = world.client("c").subscribes("$share/g/#", qos=1)
    world.client("pub").publishes("$a/b", b"x", qos=1).publishes("a/b", b"y", qos=1)
    assert client.payloads == [b"y"]


# Granted QoS


@mqtt("MQTT-4.8.2-3")
@each_qos
def test_each_member_gets_messages_at_the_qos_that_it_was_granted(world: World, qos: int) -> None:
    group = [world.client(f"m{granted}").subscribes("$share/g/a", qos=granted) for granted in (0, 1, 2)]
    publishes(world.client("pub"), 12, qos)
    assert all_payloads(group) == numbers(12)
    for granted, member in enumerate(group):
        assert {message.qos for message in member.messages} <= {min(qos, granted)}
    assert sum(bool(member.messages) for member in group) > 1  # the load is shared


# A delivery that breaks


def chosen(group: list[Client]) -> tuple[Client, Client]:
    """Of two members the one that got something, and the other."""
    one, other = group
    return (one, other) if one.got else (other, one)


@edge("H1")
@mqtt("MQTT-4.8.2-4")
def test_a_qos2_delivery_that_was_cut_off_is_completed_with_the_same_member(world: World) -> None:
    group = members(world, 2, session_expiry=60, acknowledges=False)
    world.client("pub").publishes("a", b"x", qos=2)
    member, spare = chosen(group)
    (message,) = member.messages
    member = member.drops().returns()
    assert member.takes() == [Publish("a", b"x", 2, dup=True, packet_id=message.packet_id)]
    member.sends(PubRec(message.packet_id))
    member = member.drops().returns()
    assert member.takes() == [PubRel(message.packet_id)]
    assert member.sends(PubComp(message.packet_id)).drops().returns().got == []
    assert spare.got == []


@edge("H1")
@pytest.mark.parametrize("is_released", [False, True])
def test_a_qos2_delivery_that_began_goes_to_nobody_else_when_its_members_session_ends(
    world: World, is_released: bool
) -> None:
    # [MQTT-4.8.2-5], which the table of statements does not have
    group = members(world, 2, acknowledges=False)
    world.client("pub").publishes("a", b"x", qos=2)
    member, spare = chosen(group)
    if is_released:
        member.sends(PubRec(member.messages[0].packet_id))
    member.drops()
    assert spare.got == []


@mqtt("MQTT-4.8.2-6")
@pytest.mark.parametrize("code", [0x80, 0x83, 0x87, 0x97])
@pytest.mark.parametrize("qos", [1, 2])
def test_what_a_member_refuses_goes_to_no_other(world: World, qos: int, code: int) -> None:
    group = members(world, 2, session_expiry=60, acknowledges=False)
    world.client("pub").publishes("a", b"x", qos=qos)
    member, spare = chosen(group)
    packet_id = member.messages[0].packet_id
    member.takes()
    member.sends(PubAck(packet_id, code) if qos == 1 else PubRec(packet_id, code))
    assert (member.got, spare.got) == ([], [])
    assert member.drops().returns().got == []
    assert spare.got == []


# Members that come and go


@edge("H1")
def test_unacknowledged_messages_of_a_member_that_is_gone_go_to_another(world: World) -> None:
    # Section 4.8.2: when the session terminates, the server SHOULD send the message to another member.
    group = members(world, 2, acknowledges=False)
    publishes(world.client("pub"), 6, 1)
    lost, left = group
    assert all_payloads(group) == numbers(6)
    lost.drops()  # and its session ends
    assert sorted(left.payloads, key=int) == numbers(6)
    assert not any(message.dup for message in left.messages)


@edge("H1")
def test_what_waited_for_a_member_goes_to_another_when_its_session_ends(engine: World) -> None:
    (gone,) = members(engine, 1, session_expiry=10)
    gone.drops()
    publishes(engine.client("pub"), 3, 2)
    other = engine.client("late").subscribes("$share/g/a", qos=2)
    assert other.got == []
    engine.advance(11)
    assert other.payloads == numbers(3)


@edge("H1")
@mqtt("MQTT-3.3.2-5")
def test_what_has_expired_meanwhile_goes_to_nobody(engine: World) -> None:
    (gone,) = members(engine, 1, session_expiry=10)
    gone.drops()
    lasting = Properties(message_expiry_interval=5)
    engine.client("pub").publishes("a", b"old", qos=1, properties=lasting).publishes("a", b"x", qos=1)
    other = engine.client("late").subscribes("$share/g/a", qos=2)
    engine.advance(11)
    assert other.payloads == [b"x"]


@edge("H1")
@each_qos
def test_nothing_is_lost_though_members_leave(world: World, qos: int) -> None:
    group = members(world, 4)
    pub = world.client("pub")
    for number in range(100):
        if number in (25, 50, 75):
            group[number // 25].drops()
        pub.publishes("a", b"%d" % number, qos=qos)
    assert all_payloads(group) == numbers(100)


@edge("H1")
def test_nothing_of_a_thousand_is_lost_though_members_leave(engine: World) -> None:
    group = members(engine, 4, acknowledges=False, receive_maximum=7)
    pub = engine.client("pub")
    for number in range(1_000):
        if number in (250, 500, 750):
            group[number // 250].drops()
        pub.publishes("a", b"%d" % number, qos=1)
    (left,) = (member for member in group if member.is_connected)
    while len(left.messages) < 1_000:
        before = len(left.messages)
        left.sends(*[PubAck(message.packet_id) for message in left.messages[-7:]])
        assert len(left.messages) > before
    assert Counter(left.payloads) == Counter(numbers(1_000))


@edge("H1")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_member_that_is_connected_is_preferred(engine: World, qos: int) -> None:
    one, other = members(engine, 2, session_expiry=60)
    one.drops()
    publishes(engine.client("pub"), 6, qos)
    assert other.payloads == numbers(6)
    assert one.returns().got == []


@edge("H1")
@mqtt("MQTT-4.5.0-1")
@pytest.mark.parametrize("qos", [1, 2])
def test_messages_wait_if_all_members_are_away(world: World, qos: int) -> None:
    group = members(world, 2, session_expiry=60)
    for member in group:
        member.drops()
    publishes(world.client("pub"), 6, qos)
    assert all_payloads([member.returns() for member in group]) == numbers(6)


@edge("H1")
def test_qos0_ends_no_broker_if_all_members_are_away(world: World) -> None:
    group = members(world, 3, session_expiry=60)
    for member in group:
        member.drops()
    publishes(world.client("pub"), 6, 0)
    back = [member.returns() for member in group]
    world.client("pub").publishes("a", b"6")
    assert b"6" in all_payloads(back)


@edge("H1")
@each_qos
def test_membership_works_on_after_a_resume_without_subscribe(world: World, qos: int) -> None:
    (member,) = members(world, 1, session_expiry=60)
    member = member.drops().returns()
    assert member.session_present
    world.client("pub").publishes("a", b"x", qos=qos)
    assert member.payloads == [b"x"]


@edge("H1")
def test_who_left_the_group_gets_nothing_any_more(world: World) -> None:
    one, two, three = members(world, 3)
    one.unsubscribes("$share/g/a")
    two.drops()
    publishes(world.client("pub"), 6, 1)
    assert (one.got, three.payloads) == ([], numbers(6))
    three.unsubscribes("$share/g/a")
    world.client("pub").publishes("a", b"6", qos=1)  # nobody is there: no stale route
    (again,) = members(world, 1)
    world.client("pub").publishes("a", b"7", qos=1)
    assert again.payloads == [b"7"]
