"""Limits of those who come in at one place, beside those of the broker; and other limits while clients are there.

In each world here the broker's limits and the listener's differ, so that whoever
looks at the wrong ones is found out.
"""

from typing import Any

import pytest

from telex.codes import NEVER_EXPIRES, ReasonCode
from telex.engine.options import Options
from telex.engine.permissions import DENIED
from telex.wire.packets import (
    ConnAck,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Will,
)
from telex.wire.packets import SubscriptionRequest as Request
from telex.wire.properties import Properties
from tests.conformance.marks import edge
from tests.engine.world import Client, Granted, Manners, OneRule, World

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])
EACH_QOS = pytest.mark.parametrize("qos", [0, 1, 2])


def side_door(broker: dict[str, Any] | None = None, **limits: Any) -> World:
    """A world whose clients, from now on, have these limits, and whose broker has others."""
    world = World(Options(**(broker or {})))
    world.listener = Options(**limits)
    return world


def ended(client: Client) -> int:
    """The reason code that ended a connection."""
    assert not client.is_connected
    assert isinstance(client.got[-1], Disconnect)
    return client.got[-1].reason_code


# What CONNACK announces


ANNOUNCED: list[tuple[str, object, object]] = [  # the name of a limit, and two values that CONNACK tells apart
    ("receive_maximum", 7, 9),
    ("topic_alias_maximum", 3, 5),
    ("maximum_packet_size", 500, 700),
    ("maximum_qos", 1, 0),
]


@pytest.mark.parametrize(("name", "one", "two"), ANNOUNCED, ids=[each[0] for each in ANNOUNCED])
def test_connack_announces_the_limit_of_where_the_client_came_in(name: str, one: int, two: int) -> None:
    # section 3.2.2.3
    world = side_door({name: one}, **{name: two})
    assert getattr(world.client("c").said, name) == two
    world.listener = None
    assert getattr(world.client("d").said, name) == one


SWITCHES = [
    "retain_available",
    "wildcard_subscription_available",
    "shared_subscription_available",
    "subscription_identifier_available",
]


@pytest.mark.parametrize("is_available", [False, True])
@pytest.mark.parametrize("name", SWITCHES)
def test_connack_announces_what_is_offered_where_the_client_came_in(name: str, is_available: bool) -> None:
    world = side_door({name: not is_available}, **{name: is_available})
    assert getattr(world.client("c").said, name) == (None if is_available else 0)


def test_connack_tells_the_rest_as_it_is_where_the_client_came_in() -> None:
    world = side_door(
        {"response_information": "broker/%c", "maximum_keep_alive": 10, "maximum_session_expiry": 10},
        response_information="door/%c",
        maximum_keep_alive=20,
        maximum_session_expiry=20,
        client_id_prefix="door-",
    )
    said = world.client("", keep_alive=60, session_expiry=60, request_response_information=1).said
    assert said.assigned_client_identifier == "door-nameless-1"
    assert said.response_information == "door/door-nameless-1"
    assert said.server_keep_alive == 20
    assert said.session_expiry_interval == 20


# What is obeyed


@pytest.mark.parametrize(("broker", "door"), [(100, 1_000), (1_000, 100)])
def test_a_packet_may_be_as_large_as_the_listener_says(broker: int, door: int) -> None:
    world = side_door({"maximum_packet_size": broker}, maximum_packet_size=door)
    client = world.client("c").sends(Publish("a", b"x" * 500))
    assert client.is_connected == (door == 1_000)
    if door == 100:
        assert ended(client) == ReasonCode.PACKET_TOO_LARGE


def test_a_connect_may_be_as_large_as_the_listener_says() -> None:
    world = side_door(maximum_packet_size=100)
    assert not world.knocks("c" * 200).is_connected
    world.listener = None
    assert world.knocks("c" * 200).is_connected


@pytest.mark.parametrize(("broker", "door"), [(0, 1), (2, 1), (1, 2)])
def test_a_message_may_have_the_qos_that_the_listener_says(broker: int, door: int) -> None:
    world = side_door({"maximum_qos": broker}, maximum_qos=door)
    sub = world.client("sub")
    sub.sends(Subscribe(1, [Request("a", 2)]))
    assert sub.got == [SubAck(1, [door])]
    pub = world.client("pub").publishes("a", b"x", qos=door)
    assert [each.qos for each in sub.messages] == [door]
    if door < 2:
        assert ended(pub.sends(Publish("a", b"x", door + 1, packet_id=1))) == ReasonCode.QOS_NOT_SUPPORTED


@pytest.mark.parametrize(("broker", "door"), [(0, 1), (2, 1)])
def test_a_will_may_have_the_qos_that_the_listener_says(broker: int, door: int) -> None:  # [MQTT-3.2.2-12]
    world = side_door({"maximum_qos": broker}, maximum_qos=door)
    assert world.client("c", will=Will("w", b"x", qos=door)).is_connected
    assert world.knocks("d", will=Will("w", b"x", qos=door + 1)).got == [ConnAck(ReasonCode.QOS_NOT_SUPPORTED)]


def test_a_listener_may_take_no_retained_messages() -> None:  # [MQTT-3.2.2-13] [MQTT-3.2.2-14]
    world = side_door(retain_available=False)
    assert world.knocks("c", will=Will("w", b"x", retain=True)).got == [ConnAck(ReasonCode.RETAIN_NOT_SUPPORTED)]
    pub = world.client("pub").sends(Publish("a", b"x", retain=True))
    assert ended(pub) == ReasonCode.RETAIN_NOT_SUPPORTED
    assert world.engine.retained.count == 0


@EACH_QOS
def test_who_was_told_that_messages_are_retained_has_them_retained(qos: int) -> None:  # section 3.2.2.3.5
    world = side_door({"retain_available": False}, retain_available=True)
    pub = world.client("pub").publishes("a", b"x", qos=qos, retain=True)
    assert pub.said.retain_available is None
    assert world.client("sub").subscribes("a").payloads == [b"x"]


@pytest.mark.parametrize(("broker", "door"), [(1, 3), (5, 3)])
def test_aliases_go_as_far_as_the_listener_says(broker: int, door: int) -> None:  # [MQTT-3.3.2-9]
    world = side_door({"topic_alias_maximum": broker}, topic_alias_maximum=door)
    pub = world.client("pub").publishes("a", properties=Properties(topic_alias=door))
    assert pub.is_connected
    pub.sends(Publish("a", b"x", properties=Properties(topic_alias=door + 1)))
    assert ended(pub) == ReasonCode.TOPIC_ALIAS_INVALID


@pytest.mark.parametrize(("broker", "door"), [(0, 2), (5, 2), (5, 0)])
def test_we_use_as_many_aliases_as_the_listener_says(broker: int, door: int) -> None:
    world = side_door({"topic_alias_maximum_out": broker}, topic_alias_maximum_out=door)
    sub = world.client("sub", topic_alias_maximum=10).subscribes("#")
    pub = world.client("pub")
    for topic in "abcdabcd":
        pub.publishes(topic)
    assert len({each.properties.topic_alias for each in sub.messages if each.properties is not None}) == door
    assert sub.topics == list("abcdabcd")


@pytest.mark.parametrize(("broker", "door"), [(1, 2), (9, 2)])
def test_as_many_messages_may_be_in_flight_to_us_as_the_listener_says(broker: int, door: int) -> None:
    # section 3.3.4
    world = side_door({"receive_maximum": broker}, receive_maximum=door)
    pub = world.client("pub")
    pub.sends(*[Publish("a", b"x", 2, packet_id=each) for each in range(1, door + 1)])
    assert pub.is_connected
    pub.sends(Publish("a", b"x", 2, packet_id=door + 1))
    assert ended(pub) == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


@pytest.mark.parametrize(("broker", "door"), [(1, 2), (9, 2)])
@VERSIONS
def test_as_many_messages_are_in_flight_to_a_client_as_the_listener_says(broker: int, door: int, version: int) -> None:
    world = side_door({"max_inflight_messages": broker}, max_inflight_messages=door)
    sub = world.client("sub", version=version, acknowledges=False).subscribes("a", qos=1)
    pub = world.client("pub")
    for number in range(5):
        pub.publishes("a", b"%d" % number, qos=1)
    assert len(sub.messages) == door


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("is_allowed", [False, True])
def test_a_listener_may_want_a_client_id(version: int, is_allowed: bool) -> None:  # [MQTT-3.1.3-8]
    world = side_door({"allow_empty_client_id": not is_allowed}, allow_empty_client_id=is_allowed)
    assert world.knocks("", version=version).is_connected == is_allowed


@pytest.mark.parametrize("version", [4, 5])
def test_client_ids_that_we_give_begin_as_the_listener_says(version: int) -> None:
    world = World(Options(client_id_prefix="broker-"))
    for prefix in ("one-", "two-", ""):
        world.listener = Options(client_id_prefix=prefix)
        world.client("", version=version)
    assert list(world.engine.sessions) == ["one-nameless-1", "two-nameless-2", "nameless-3"]


@pytest.mark.parametrize(("broker", "door"), [(100, 10), (10, 100), (0, 10)])
def test_who_says_nothing_is_timed_out_as_the_listener_says(broker: int, door: int) -> None:  # section 3.1.2.10
    world = side_door({"maximum_keep_alive": broker}, maximum_keep_alive=door)
    client = world.client("c")
    world.advance(door * 1.5 - 1)
    assert client.is_connected
    world.advance(2)
    assert ended(client) == ReasonCode.KEEP_ALIVE_TIMEOUT


@pytest.mark.parametrize(("broker", "door"), [(5, 20), (60, 20)])
def test_connect_may_take_as_long_as_the_listener_says(broker: int, door: int) -> None:
    world = side_door({"connect_timeout": broker}, connect_timeout=door)
    stranger = world.new_client("stranger", Manners())
    world.advance(door - 1)
    assert stranger.is_connected
    world.advance(2)
    assert not stranger.is_connected


@pytest.mark.parametrize(("broker", "door"), [(5, 20), (60, 20)])
def test_a_session_is_kept_as_long_as_the_listener_says(broker: int, door: int) -> None:  # section 3.1.2.11.2
    world = side_door(
        {"maximum_session_expiry": broker, "v3_session_expiry": broker},
        maximum_session_expiry=door,
        v3_session_expiry=door,
    )
    world.client("v5", session_expiry=NEVER_EXPIRES).drops()
    world.client("v3", version=4, clean_start=False).drops()
    world.client("late", session_expiry=1).disconnects(session_expiry=1_000)
    world.advance(door - 1)
    assert len(world.engine.sessions) == 3
    world.advance(2)
    assert world.engine.sessions == {}


@pytest.mark.parametrize(("broker", "door"), [(1, 2), (9, 2)])
def test_as_many_subscriptions_as_the_listener_says(broker: int, door: int) -> None:
    world = side_door({"max_subscriptions": broker}, max_subscriptions=door)
    client = world.client("c").sends(Subscribe(1, [Request("a"), Request("b"), Request("c"), Request("a")]))
    assert client.got == [SubAck(1, [0, 0, ReasonCode.QUOTA_EXCEEDED, 0])]


@pytest.mark.parametrize(("broker", "door"), [(1, 2), (9, 2)])
def test_as_many_sessions_as_the_listener_says(broker: int, door: int) -> None:
    world = side_door({"max_sessions": broker}, max_sessions=door)
    assert [world.knocks(name).is_connected for name in ("a", "b", "c", "a")] == [True, True, False, True]


def test_as_much_waits_for_a_client_as_the_listener_says() -> None:
    world = side_door({"max_outbox_bytes": 1_000_000}, max_outbox_bytes=1_000)
    sub = world.client("sub").subscribes("a").freezes()
    world.listener = None
    other = world.client("other").subscribes("a").freezes()
    pub = world.client("pub")
    for _ in range(50):
        pub.publishes("a", b"x" * 100)
    assert 0 < len(sub.thaws().messages) < 20
    assert len(other.thaws().messages) == 50


@pytest.mark.parametrize("name", SWITCHES[1:])
@pytest.mark.parametrize("is_available", [False, True])
def test_a_subscription_may_be_what_the_listener_says(name: str, is_available: bool) -> None:
    request = {"wildcard": Request("a/#"), "shared": Request("$share/g/a"), "subscription": Request("a")}
    properties = Properties(subscription_identifiers=(1,)) if name.startswith("subscription_id") else None
    world = side_door({name: not is_available}, **{name: is_available})
    client = world.client("c")
    client.sends(Subscribe(1, [request[name.partition("_")[0]]], properties))
    assert client.is_connected == is_available
    assert world.engine.subscriptions.count == (1 if is_available else 0)


@pytest.mark.parametrize("setting", ["drop", "disconnect"])
def test_a_denied_message_has_the_end_that_the_listener_says(setting: str) -> None:
    others = {"drop": "disconnect", "disconnect": "drop"}
    world = World(Options(v3_denied_publish=others[setting]), gate=OneRule(Granted(publish={"#": DENIED})))
    world.listener = Options(v3_denied_publish=setting)
    for qos in (0, 1, 2):
        client = world.client(f"c{qos}", version=4).sends(Publish("a", b"x", qos, packet_id=1 if qos else 0))
        assert client.is_connected == (setting == "drop")


def test_two_listeners_with_other_limits_have_the_same_topics() -> None:
    world = side_door(maximum_qos=0, retain_available=False, topic_alias_maximum=0)
    modest = world.client("modest").subscribes("#")
    world.listener = None
    rich = world.client("rich").subscribes("#", qos=2)
    rich.publishes("a", b"1", qos=2, retain=True)
    modest.publishes("a", b"2")
    assert [(each.payload, each.qos) for each in modest.messages] == [(b"1", 0), (b"2", 0)]
    assert [(each.payload, each.qos) for each in rich.messages] == [(b"1", 2), (b"2", 0)]


def test_who_comes_back_by_another_listener_has_its_limits() -> None:
    world = side_door(max_inflight_messages=1, receive_maximum=1, maximum_session_expiry=30)
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=1)
    pub = world.client("pub")
    for number in range(4):
        pub.publishes("a", b"%d" % number, qos=1)
    assert sub.payloads == [b"0"]
    sub.drops()
    world.listener = Options(max_inflight_messages=3, receive_maximum=5)
    again = sub.returns()
    assert again.payloads == [b"0", b"1", b"2"]
    assert again.said.receive_maximum == 5
    again.sends(*[Publish("b", b"x", 2, packet_id=each) for each in range(1, 6)])
    assert again.is_connected
    again.drops()
    world.advance(45)
    assert again.returns().session_present


# Below a mount point


@VERSIONS
@pytest.mark.parametrize("length", [65_529, 65_530, 65_535])  # 65,535 bytes are the longest topic (section 1.5.4)
def test_a_topic_that_is_too_long_with_its_mount_point_harms_nobody(version: int, length: int) -> None:
    world = World()
    sub = world.client("sub", version=version).subscribes("#")
    world.listener = Options(mount_point="house/")
    is_possible = length + len("house/") <= 65_535
    pub = world.client("pub", version=version).sends(Publish("x" * length, b"x", retain=True))
    if pub.is_connected:
        pub.disconnects()
    assert sub.payloads == ([b"x"] if is_possible else [])
    world.listener = None
    assert world.client("late", version=version).subscribes("#").payloads == sub.payloads


@VERSIONS
@edge("W3")
def test_a_will_whose_topic_is_too_long_with_its_mount_point_harms_nobody(version: int) -> None:
    world = World()
    sub = world.client("sub", version=version).subscribes("#")
    world.listener = Options(mount_point="house/")
    client = world.knocks("c", version=version, will=Will("x" * 65_535, b"x"))
    if client.is_connected:
        client.drops()
    assert sub.payloads == []


# The size of a payload


@VERSIONS
@EACH_QOS
@pytest.mark.parametrize("size", [0, 10, 11])
def test_a_payload_may_be_as_large_as_the_listener_says(version: int, qos: int, size: int) -> None:
    world = side_door({"maximum_payload_size": 5}, maximum_payload_size=10)
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    pub.sends(Publish("a", b"x" * size, qos, True, packet_id=7 if qos else 0))
    is_taken = size <= 10
    assert sub.payloads == ([b"x" * size] if is_taken else [])
    assert world.engine.retained.count == (1 if 0 < size <= 10 else 0)
    code = 0 if is_taken or version != 5 else ReasonCode.QUOTA_EXCEEDED
    answers: list[list[Packet]] = [[], [PubAck(7, code)], [PubRec(7, code)]]
    assert pub.got == answers[qos]
    assert pub.is_connected


def test_a_payload_that_is_too_large_is_counted_as_dropped_at_qos_0() -> None:
    world = side_door(maximum_payload_size=10)
    world.client("pub").publishes("a", b"x" * 11)
    assert world.engine.stats.publish_dropped == 1


def test_a_payload_that_is_too_large_says_so() -> None:
    world = side_door(maximum_payload_size=10)
    pub = world.client("pub").sends(Publish("a", b"x" * 11, 1, packet_id=1))
    assert pub.reasons == ["a payload of 11 bytes, we take 10"]
    assert world.diary.denials == []


def test_a_payload_that_is_too_large_takes_no_packet_id_and_no_quota() -> None:  # section 4.3.3
    world = side_door(maximum_payload_size=10, receive_maximum=1)
    pub = world.client("pub")
    for _ in range(3):
        pub.sends(Publish("a", b"x" * 11, 2, packet_id=1))
    pub.sends(Publish("a", b"x", 2, packet_id=1), PubRel(1))
    assert pub.got == [*[PubRec(1, ReasonCode.QUOTA_EXCEEDED)] * 3, PubRec(1, 0x10), PubComp(1)]


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_exchange_with_a_payload_that_is_too_large_goes_its_way(version: int) -> None:  # v3 [MQTT-4.3.3-2]
    world = side_door(maximum_payload_size=10)
    sub = world.client("sub").subscribes("a")
    pub = world.client("pub", version=version)
    pub.sends(Publish("a", b"x" * 11, 2, packet_id=1), Publish("a", b"x" * 11, 2, packet_id=1, dup=True), PubRel(1))
    assert pub.got == [PubRec(1), PubRec(1), PubComp(1)]
    assert sub.payloads == []


@VERSIONS
def test_a_payload_that_is_too_large_leaves_what_is_retained(version: int) -> None:
    world = side_door(maximum_payload_size=10)
    pub = world.client("pub", version=version).publishes("a", b"kept", retain=True)
    pub.sends(Publish("a", b"x" * 11, retain=True))
    assert world.client("sub").subscribes("a").payloads == [b"kept"]


@VERSIONS
@pytest.mark.parametrize("size", [10, 11])
@edge("W3")
def test_the_payload_of_a_will_is_judged_like_any_other(version: int, size: int) -> None:
    # Debian's Mosquitto refuses the CONNECT, with 0x95 and 5.
    world = side_door(maximum_payload_size=10)
    sub = world.client("sub").subscribes("w")
    client = world.knocks("c", version=version, will=Will("w", b"x" * size))
    assert client.is_connected == (size == 10)
    if client.is_connected:
        client.drops()
    assert sub.payloads == ([b"x" * 10] if size == 10 else [])


# Other limits while clients are there


def test_who_is_there_keeps_what_it_was_told() -> None:
    world = World(Options(topic_alias_maximum=5, receive_maximum=5))
    client = world.client("c", keep_alive=0)
    world.engine.change_options(
        Options(
            maximum_packet_size=100,
            maximum_payload_size=10,
            maximum_qos=0,
            receive_maximum=1,
            topic_alias_maximum=0,
            maximum_keep_alive=1,
            wildcard_subscription_available=False,
            subscription_identifier_available=False,
            max_subscriptions=1,
        )
    )
    client.subscribes("b", "#", qos=2, identifier=1)
    client.publishes("a", b"x" * 500, qos=2, properties=Properties(topic_alias=5))
    client.sends(*[Publish("a", b"x", 2, packet_id=each) for each in range(1, 6)])
    world.advance(100)
    assert client.is_connected
    assert len(client.messages) == 6


@EACH_QOS
def test_who_was_told_that_messages_are_retained_has_them_retained_after_a_change(qos: int) -> None:
    world = World()
    pub = world.client("pub")
    world.engine.change_options(Options(retain_available=False))
    pub.publishes("a", b"x", qos=qos, retain=True)
    assert world.engine.retained.count == 1


def test_who_comes_after_a_change_is_told_the_new_limits() -> None:
    world = World()
    world.client("before")
    world.engine.change_options(Options(maximum_qos=1, receive_maximum=5, maximum_keep_alive=20))
    said = world.client("after").said
    assert (said.maximum_qos, said.receive_maximum, said.server_keep_alive) == (1, 5, 20)
    assert world.client("before").said.maximum_qos == 1


def test_a_connection_that_was_there_before_a_change_is_told_what_it_gets() -> None:
    world = World()
    stranger = world.new_client("c", Manners())
    world.engine.change_options(Options(maximum_packet_size=100, maximum_qos=1))
    stranger.sends(stranger.manners.connect("c"))
    assert (stranger.said.maximum_packet_size, stranger.said.maximum_qos) == (2_000_000, None)
    stranger.publishes("a", b"x" * 500, qos=2)
    assert stranger.is_connected


def test_what_all_share_changes_for_all_at_once() -> None:
    world = World()
    sub = world.client("sub", session_expiry=60).subscribes("#", qos=1).drops()
    pub = world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    world.engine.change_options(Options(max_queued_messages=3, max_retained_messages=1, retained_expiry=30))
    for number in (b"3", b"4"):
        pub.publishes("a", number, qos=1)
    assert sub.returns().payloads == [b"1", b"2", b"3"]
    pub.publishes("kept", b"x", retain=True).publishes("not kept", b"x", retain=True)
    assert world.engine.retained.count == 1
    world.advance(31)
    assert world.engine.retained.count == 0


def test_less_room_drops_nothing_that_waits() -> None:
    world = World()
    sub = world.client("sub", session_expiry=60).subscribes("#", qos=1).drops()
    pub = world.client("pub")
    for number in range(5):
        pub.publishes("a", b"%d" % number, qos=1)
    world.engine.change_options(Options(max_queued_messages=1, max_subscriptions=1, max_sessions=1))
    assert sub.returns().payloads == [b"0", b"1", b"2", b"3", b"4"]


def test_a_session_keeps_its_time_until_its_client_comes_again() -> None:  # section 3.2.2.3.2
    world = World()
    sub = world.client("sub", session_expiry=100).drops()
    world.engine.change_options(Options(maximum_session_expiry=10))
    world.advance(50)
    again = sub.returns()
    assert again.session_present
    assert again.said.session_expiry_interval == 10
    again.drops()
    world.advance(11)
    assert world.engine.sessions == {}
