"""What a client may do with a topic, in degrees: how high the QoS, retained or not, and what becomes of it later.

Publishing, subscribing and receiving are asked about one by one; ``test_permissions.py``
has the answers that are a plain yes or no.
"""

import pytest

from telex.codes import ReasonCode
from telex.engine.permissions import DENIED, EVERYTHING, Grant, Permissions
from telex.engine.seams import Client as SeamClient
from telex.engine.seams import Exchange, Gate
from telex.engine.visit import Visit
from telex.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)
from telex.wire.packets import SubscriptionRequest as Request
from telex.wire.properties import Properties
from tests.conformance.marks import edge, mqtt
from tests.engine.world import ByName, Client, Granted, Ledger, World

NO = ReasonCode.NOT_AUTHORIZED
VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])
EACH_QOS = pytest.mark.parametrize("qos", [0, 1, 2])


def world_of(**permissions: Permissions) -> World:
    """A world where these clients may do less than everything."""
    return World(gate=ByName(**permissions))


def message(topic: str, qos: int, *, retain: bool = False, packet_id: int = 7) -> Publish:
    """One PUBLISH; without a packet id at QoS 0."""
    return Publish(topic, b"x", qos, retain, packet_id=packet_id if qos else 0)


def denied(world: World) -> list[str]:
    """What the observer was told of denials."""
    return [line for line in world.diary.lines if " may not " in line]


def resubscribes(client: Client, *topic_filters: str, qos: int) -> list[int]:
    """What a SUBACK says to these filters."""
    client.sends(Subscribe(9, [Request(each, qos) for each in topic_filters]))
    answer = next(packet for packet in client.got if isinstance(packet, SubAck))
    client.got.remove(answer)
    return answer.reason_codes


# Publishing


@VERSIONS
@EACH_QOS
@pytest.mark.parametrize("most", [0, 1, 2])
def test_a_message_above_the_granted_qos_reaches_nobody(version: int, qos: int, most: int) -> None:
    world = world_of(pub=Granted(publish={"a": Grant(most, rule="r")}))
    sub = world.client("sub").subscribes("#", qos=2)
    pub = world.client("pub", version=version).sends(message("a", qos))
    is_denied = qos > most
    assert sub.payloads == ([] if is_denied else [b"x"])
    assert denied(world) == (["pub may not publish a"] if is_denied else [])
    code = NO.value if is_denied and version == 5 else 0
    assert pub.got == ([[], [PubAck(7, code)], [PubRec(7, code)]][qos])
    assert pub.is_connected


@VERSIONS
@EACH_QOS
def test_who_may_not_retain_leaves_nothing_behind(version: int, qos: int) -> None:
    world = world_of(pub=Granted(publish={"a": Grant(2, may_retain=False)}))
    sub = world.client("sub").subscribes("#", qos=2)
    pub = world.client("pub", version=version).sends(message("a", qos, retain=True))
    code = NO.value if version == 5 else 0
    assert pub.got == ([[], [PubAck(7, code)], [PubRec(7, code)]][qos])
    assert world.engine.retained.count == 0
    assert sub.payloads == []
    assert denied(world) == ["pub may not publish a"]


@EACH_QOS
def test_who_may_not_retain_may_publish_otherwise(qos: int) -> None:
    world = world_of(pub=Granted(publish={"a": Grant(2, may_retain=False)}))
    sub = world.client("sub").subscribes("#", qos=2)
    world.client("pub").publishes("a", b"x", qos=qos)
    assert sub.payloads == [b"x"]
    assert denied(world) == []


@VERSIONS
@EACH_QOS
def test_who_may_not_retain_may_not_clear_either(version: int, qos: int) -> None:  # section 3.3.1.3
    world = world_of(pub=Granted(publish={"a": Grant(2, may_retain=False)}))
    world.client("owner").publishes("a", b"kept", retain=True)
    world.client("pub", version=version).sends(Publish("a", b"", qos, True, packet_id=7 if qos else 0))
    assert world.client("late").subscribes("a").payloads == [b"kept"]


def test_a_denied_qos2_message_uses_no_packet_id() -> None:  # section 4.3.3: PUBREC of 0x80 or above is the end
    world = world_of(pub=Granted(publish={"a": Grant(1)}))
    pub = world.client("pub").sends(message("a", 2), PubRel(7))
    assert pub.got == [PubRec(7, NO), PubComp(7, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)]


# Wills


@VERSIONS
@pytest.mark.parametrize(
    ("will", "is_granted"),
    [
        (Will("w", b"x", qos=1), True),
        (Will("w", b"x", qos=2), False),
        (Will("w", b"x", qos=0, retain=True), False),
        (Will("other", b"x", qos=2, retain=True), True),
    ],
    ids=["QoS 1", "QoS 2", "retained", "another topic"],
)
@edge("W3")
def test_a_will_is_judged_by_its_qos_and_by_whether_it_is_retained(version: int, will: Will, is_granted: bool) -> None:
    world = world_of(c=Granted(publish={"w": Grant(1, may_retain=False, rule="wills are modest")}))
    client = world.knocks("c", version=version, will=will)
    refusal = NO if version == 5 else 5
    answer = client.got[0]
    assert isinstance(answer, ConnAck)
    assert answer.reason_code == (0 if is_granted else refusal)
    assert client.is_connected == is_granted
    told = [(action, topic, rule) for _, action, topic, rule in world.diary.denials]
    assert told == ([] if is_granted else [("publish", "w", "wills are modest")])


@pytest.mark.parametrize("delay", [0, 10])
@pytest.mark.parametrize(
    "grant", [DENIED, Grant(0), Grant(2, may_retain=False)], ids=["nothing", "a lower QoS", "not retained"]
)
@edge("W3")
def test_a_will_whose_permission_is_gone_is_not_published(delay: int, grant: Grant) -> None:
    world = World()
    sub = world.client("sub").subscribes("#", qos=2)
    will = Will("w", b"x", qos=1, retain=True, properties=Properties(will_delay_interval=delay))
    client = world.client("c", will=will, session_expiry=60)
    world.engine.change_permissions(world.engine.sessions["c"], Granted(publish={"w": grant}))
    client.drops()
    world.advance(11)
    assert sub.payloads == []
    assert world.engine.retained.count == 0
    assert world.diary.lines[-1] == "c misses w"


def test_a_will_whose_permission_came_later_goes_with_what_it_was_at_connect() -> None:  # section 3.1.3.2
    world = World()
    sub = world.client("sub").subscribes("#", qos=2)
    client = world.client("c", will=Will("w", b"x", qos=1, retain=True))
    world.engine.change_permissions(world.engine.sessions["c"], Granted(publish={"w": Grant(1)}))
    client.drops()
    assert [(each.payload, each.qos) for each in sub.messages] == [(b"x", 1)]
    assert world.engine.retained.count == 1


# Subscribing


@VERSIONS
@EACH_QOS
@pytest.mark.parametrize("most", [0, 1, 2])
@mqtt("MQTT-3.8.4-7", "MQTT-3.8.4-8")
def test_a_subscription_is_granted_at_the_lower_qos(version: int, qos: int, most: int) -> None:
    world = world_of(sub=Granted(subscribe={"a": Grant(most)}))
    sub = world.client("sub", version=version)
    assert resubscribes(sub, "a", qos=qos) == [min(qos, most)]
    world.client("pub").publishes("a", b"x", qos=2)
    assert [each.qos for each in sub.messages] == [min(qos, most)]
    assert denied(world) == []


def test_each_filter_of_one_subscribe_gets_its_own_qos() -> None:  # [MQTT-3.8.4-6]
    world = world_of(sub=Granted(subscribe={"a": Grant(0), "b": Grant(1), "c": DENIED}))
    sub = world.client("sub")
    assert resubscribes(sub, "a", "b", "c", "d", "$share/g/b", "$share/g/c", qos=2) == [0, 1, NO, 2, 1, NO]
    assert denied(world) == ["sub may not subscribe c"] * 2


@VERSIONS
def test_a_subscription_without_retained_messages_gets_live_ones(version: int) -> None:
    world = world_of(sub=Granted(subscribe={"a/#": Grant(2, may_retain=False)}))
    pub = world.client("pub").publishes("a/1", b"old", retain=True).publishes("b", b"old", retain=True)
    sub = world.client("sub", version=version).subscribes("a/#", "b")
    assert sub.topics == ["b"]
    pub.publishes("a/1", b"new", retain=True)
    assert sub.payloads == [b"old", b"new"]


@pytest.mark.parametrize("retain_handling", [0, 1, 2])
def test_no_way_of_asking_brings_retained_messages_that_are_not_granted(retain_handling: int) -> None:
    # section 3.8.3.1
    world = world_of(sub=Granted(subscribe={"a": Grant(2, may_retain=False)}))
    world.client("pub").publishes("a", b"old", retain=True)
    sub = world.client("sub")
    for _ in range(2):
        sub.subscribes("a", retain_handling=retain_handling, retain_as_published=True)
    assert sub.payloads == []


def test_a_narrow_filter_may_be_granted_where_a_wide_one_is_not() -> None:
    world = world_of(sub=Granted(subscribe={"#": DENIED}))
    assert resubscribes(world.client("sub"), "#", "a/b", qos=0) == [NO, NO]
    world = world_of(sub=Granted(subscribe={"a/+": Grant(1), "#": DENIED}))
    assert resubscribes(world.client("sub"), "#", "a/b", "a/b/c", qos=2) == [NO, 1, NO]


# Receiving


@VERSIONS
@EACH_QOS
@pytest.mark.parametrize("topic_filter", ["#", "+/+", "a/+"])
@edge("R6")
def test_a_wide_subscription_brings_only_what_may_be_received(version: int, qos: int, topic_filter: str) -> None:
    # pain 22
    world = world_of(sub=Granted(receive={"a/secret": DENIED}))
    sub = world.client("sub", version=version).subscribes(topic_filter, qos=qos)
    other = world.client("other").subscribes("#")
    pub = world.client("pub")
    for topic in ("a/1", "a/secret", "a/2"):
        pub.publishes(topic, b"x", qos=qos)
    assert sub.topics == ["a/1", "a/2"]
    assert other.topics == ["a/1", "a/secret", "a/2"]
    assert denied(world) == []  # nobody asked for it by name


@EACH_QOS
@pytest.mark.parametrize("most", [0, 1, 2])
def test_a_message_comes_at_the_qos_that_may_be_received(qos: int, most: int) -> None:
    world = world_of(sub=Granted(receive={"a": Grant(most)}))
    sub = world.client("sub").subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=qos)
    assert [each.qos for each in sub.messages] == [min(qos, most)]


def test_a_message_at_a_lower_qos_is_the_same_otherwise() -> None:  # [MQTT-3.3.1-13] [MQTT-3.3.4-3]
    world = world_of(sub=Granted(receive={"a": Grant(0)}))
    sub = world.client("sub").subscribes("a", qos=2, retain_as_published=True, identifier=5)
    world.client("pub").publishes("a", b"x", qos=2, retain=True, properties=Properties(content_type="text"))
    assert sub.got == [
        Publish("a", b"x", retain=True, properties=Properties(content_type="text", subscription_identifiers=(5,)))
    ]


def test_at_qos_0_nothing_waits_for_who_is_away() -> None:  # [MQTT-4.3.1-1]
    world = world_of(sub=Granted(receive={"a": Grant(0)}))
    sub = world.client("sub", session_expiry=60).subscribes("#", qos=2).drops()
    world.client("pub").publishes("a", b"1", qos=2).publishes("b", b"2", qos=2)
    assert sub.returns().payloads == [b"2"]


@mqtt("MQTT-3.3.4-2", "MQTT-3.3.4-4")
def test_overlapping_subscriptions_are_one_copy_at_what_may_be_received() -> None:
    world = world_of(sub=Granted(receive={"a/b": Grant(1), "a/secret": DENIED}))
    sub = world.client("sub")
    for number, topic_filter in enumerate(("#", "a/#", "a/+", "a/b", "a/secret"), start=1):
        sub.subscribes(topic_filter, qos=number % 3, identifier=number)
    world.client("pub").publishes("a/b", b"x", qos=2).publishes("a/secret", b"x", qos=2)
    assert [(each.topic, each.qos) for each in sub.messages] == [("a/b", 1)]
    properties = sub.messages[0].properties
    assert properties is not None
    assert sorted(properties.subscription_identifiers) == [1, 2, 3, 4]


def test_an_overlapping_subscription_of_a_lower_qos_is_not_lifted() -> None:  # [MQTT-3.3.4-2]
    world = world_of(sub=Granted(receive={"a": Grant(1)}))
    sub = world.client("sub").subscribes("#", qos=0).subscribes("a", qos=0)
    world.client("pub").publishes("a", b"x", qos=2)
    assert [each.qos for each in sub.messages] == [0]


@VERSIONS
@edge("R6")
def test_retained_messages_are_only_those_that_may_be_received(version: int) -> None:  # CVE-2018-12546
    world = world_of(sub=Granted(receive={"a/secret": DENIED, "a/live": Grant(2, may_retain=False)}))
    pub = world.client("pub")
    for topic in ("a/1", "a/secret", "a/live"):
        pub.publishes(topic, b"old", retain=True)
    sub = world.client("sub", version=version).subscribes("a/+")
    assert sub.topics == ["a/1"]
    assert sub.subscribes("a/secret", "a/live").topics == ["a/1"]
    pub.publishes("a/live", b"new", retain=True)
    assert sub.payloads == [b"old", b"new"]


@EACH_QOS
@pytest.mark.parametrize("most", [0, 1, 2])
def test_a_retained_message_comes_at_the_qos_that_may_be_received(qos: int, most: int) -> None:
    world = world_of(sub=Granted(receive={"a": Grant(most)}))
    world.client("pub").publishes("a", b"x", qos=qos, retain=True)
    sub = world.client("sub").subscribes("a", qos=2)
    assert [each.qos for each in sub.messages] == [min(qos, most)]


# Receiving, in a group


@EACH_QOS
@edge("R6")
def test_a_shared_message_goes_to_a_member_that_may_receive_it(qos: int) -> None:  # section 4.8.2
    world = world_of(one=Granted(receive={"a": DENIED}), two=EVERYTHING, three=Granted(receive={"a": DENIED}))
    members = [world.client(name).subscribes("$share/g/+", qos=2) for name in ("one", "two", "three")]
    pub = world.client("pub")
    for number in range(5):
        pub.publishes("a", b"%d" % number, qos=qos)
    assert [each.payloads for each in members] == [[], [b"0", b"1", b"2", b"3", b"4"], []]


def test_members_that_may_receive_it_still_take_turns() -> None:  # section 4.8.2
    world = world_of(two=Granted(receive={"a": DENIED}))
    members = [world.client(name).subscribes("$share/g/#", qos=1) for name in ("one", "two", "three")]
    pub = world.client("pub")
    for topic in ("a", "a", "a", "a", "b", "b", "b"):
        pub.publishes(topic, topic.encode(), qos=1)
    assert [each.payloads.count(b"a") for each in members] == [2, 0, 2]
    assert sorted(each.payloads.count(b"b") for each in members) == [1, 1, 1]


@EACH_QOS
def test_a_shared_message_that_no_member_may_receive_is_gone(qos: int) -> None:  # section 4.8.2
    no = Granted(receive={"a": DENIED})
    world = world_of(one=no, two=no)
    one = world.client("one").subscribes("$share/g/#", qos=2)
    world.client("two", session_expiry=60).subscribes("$share/g/#", qos=2).drops()
    world.client("pub").publishes("a", b"x", qos=qos)
    assert one.payloads == []
    assert world.engine.sessions["two"].message_count == 0


@EACH_QOS
@pytest.mark.parametrize("most", [0, 1, 2])
def test_a_member_gets_its_shared_messages_at_the_qos_that_it_may_receive(qos: int, most: int) -> None:
    # [MQTT-4.8.2-3]
    world = world_of(member=Granted(receive={"a": Grant(most)}))
    member = world.client("member").subscribes("$share/g/a", qos=2)
    world.client("pub").publishes("a", b"x", qos=qos)
    assert [each.qos for each in member.messages] == [min(qos, most)]


def test_a_member_that_is_away_and_may_receive_at_qos_0_only_is_passed_over() -> None:
    # At QoS 0 nothing waits for it, so that the message would be lost on it.
    world = world_of(one=Granted(receive={"a": Grant(0)}))
    one = world.client("one", session_expiry=60).subscribes("$share/g/a", qos=1).drops()
    two = world.client("two", session_expiry=60).subscribes("$share/g/a", qos=1).drops()
    pub = world.client("pub")
    for number in range(4):
        pub.publishes("a", b"%d" % number, qos=1)
    assert one.returns().payloads == []
    assert two.returns().payloads == [b"0", b"1", b"2", b"3"]


@edge("R6", "H1")
def test_what_a_member_leaves_behind_goes_to_one_that_may_receive_it() -> None:  # [MQTT-4.8.2-5]
    world = world_of(two=Granted(receive={"a": DENIED}))
    one = world.client("one", acknowledges=False).subscribes("$share/g/+", qos=1)
    world.client("pub").publishes("a", b"a", qos=1).publishes("b", b"b", qos=1)
    assert one.payloads == [b"a", b"b"]
    two = world.client("two").subscribes("$share/g/+", qos=1)
    one.drops()
    assert two.payloads == [b"b"]


# Receiving, with No Local


@edge("R6")
@mqtt("MQTT-3.8.3-3")
def test_no_local_and_the_right_to_receive_hold_together() -> None:
    world = world_of(c=Granted(receive={"secret": DENIED}))
    client = world.client("c").subscribes("+", no_local=True)
    client.publishes("open", b"own").publishes("secret", b"own")
    world.client("pub").publishes("open", b"other").publishes("secret", b"other")
    assert client.payloads == [b"other"]


@edge("R6")
def test_an_own_message_may_be_received_or_not_like_any_other() -> None:
    world = world_of(c=Granted(receive={"secret": DENIED}))
    client = world.client("c").subscribes("+", no_local=True).subscribes("secret").subscribes("open")
    client.publishes("secret", b"1").publishes("open", b"2")
    assert client.payloads == [b"2"]


@EACH_QOS
@pytest.mark.parametrize("most", [0, 1, 2])
def test_an_own_message_comes_at_the_qos_that_may_be_received(qos: int, most: int) -> None:
    world = world_of(c=Granted(receive={"a": Grant(most)}))
    client = world.client("c").subscribes("#", no_local=True, qos=2).subscribes("a", qos=2)
    client.publishes("a", b"x", qos=qos)
    assert [each.qos for each in client.messages] == [min(qos, most)]


# Other rights at a login


def test_a_subscription_that_is_not_granted_any_more_ends_at_the_next_login() -> None:  # section 5.4.2
    gate = ByName()
    world = World(gate=gate, journal=Ledger())
    sub = world.client("sub", session_expiry=60).subscribes("a", "secret/#", "$share/g/secret/#", qos=1).drops()
    world.ledger.takes()
    gate.permissions["sub"] = Granted(subscribe={"secret/#": DENIED})
    sub = sub.returns()
    assert sub.session_present
    assert list(world.engine.sessions["sub"].subscriptions) == ["a"]
    assert sorted(line for line in world.ledger.takes() if line.startswith("Unsubscribed")) == [
        "Unsubscribed sub $share/g/secret/#",
        "Unsubscribed sub secret/#",
    ]
    assert "sub unsubscribed secret/#" in world.diary.lines
    world.client("pub").publishes("secret/1", b"x", qos=1).publishes("a", b"y", qos=1)
    assert sub.payloads == [b"y"]
    sub.sends(Unsubscribe(1, ["secret/#", "a"]))
    assert sub.got[-1] == UnsubAck(1, [ReasonCode.NO_SUBSCRIPTION_EXISTED, 0])


def test_a_subscription_that_ended_does_not_come_back_with_the_right_to_it() -> None:
    gate = ByName()
    world = World(gate=gate)
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1).drops()
    gate.permissions["sub"] = Granted(subscribe={"a": DENIED})
    sub = sub.returns().drops()
    del gate.permissions["sub"]
    sub = sub.returns()
    world.client("pub").publishes("a", b"x", qos=1)
    assert sub.payloads == []
    assert sub.subscribes("a", qos=1).got == []


def test_a_subscription_that_is_granted_with_a_lower_qos_goes_on_with_that() -> None:
    gate = ByName()
    world = World(gate=gate, journal=Ledger())
    sub = world.client("sub", session_expiry=60)
    sub.subscribes("a", qos=2, retain_as_published=True, identifier=3).subscribes("b", qos=0).drops()
    world.ledger.takes()
    gate.permissions["sub"] = Granted(subscribe={"+": Grant(1)})
    sub = sub.returns()
    assert [line for line in world.ledger.takes() if line.startswith("Subscribed")] == ["Subscribed sub a qos 1"]
    world.client("pub").publishes("a", b"x", qos=2, retain=True).publishes("b", b"x", qos=2)
    assert [(each.topic, each.qos, each.retain) for each in sub.messages] == [("a", 1, True), ("b", 0, False)]
    assert sub.messages[0].properties == Properties(subscription_identifiers=(3,))
    assert world.engine.subscriptions.count == 2


@edge("R6")
def test_what_a_login_took_away_stays_away_after_a_restart() -> None:
    gate = ByName()
    world = World(gate=gate, journal=Ledger())
    sub = world.client("sub", session_expiry=60).subscribes("a", "b", "$share/g/b", qos=2).drops()
    gate.permissions["sub"] = Granted(subscribe={"a": DENIED, "b": Grant(1)})
    sub.returns()
    world.restarts()
    subscriptions = world.engine.sessions["sub"].subscriptions
    assert {name: each.qos for name, each in subscriptions.items()} == {"b": 1, "$share/g/b": 1}


def test_the_connack_waits_until_what_was_taken_away_is_safe() -> None:
    gate = ByName()
    world = World(gate=gate, journal=Ledger(is_slow=True))
    sub = world.knocks("sub", session_expiry=60)
    world.commits()
    sub.sends(Subscribe(1, [Request("a", 1)]))
    world.commits()
    sub.drops()
    world.commits()
    gate.permissions["sub"] = Granted(subscribe={"a": DENIED})
    sub = world.knocks("sub", session_expiry=60, clean_start=False)
    assert sub.got == []
    world.commits()
    assert sub.session_present


@pytest.mark.parametrize("page", [0, 2])
@EACH_QOS
@edge("R6")
def test_queued_messages_are_only_those_that_may_still_be_received(qos: int, page: int) -> None:
    # BIT-nats-2026-58209; with pages they wait in the store
    gate = ByName()
    world = World(gate=gate, journal=Ledger(page=page))
    if page:
        world.engine.surroundings.options.max_queue_memory = 1
    sub = world.client("sub", session_expiry=60).subscribes("#", qos=2).drops()
    pub = world.client("pub")
    for number in range(6):
        pub.publishes("secret" if number % 2 else "a", b"%d" % number, qos=qos)
    gate.permissions["sub"] = Granted(receive={"secret": DENIED})
    sub = sub.returns()
    assert sub.payloads == ([b"0", b"2", b"4"] if qos else [])
    assert world.engine.surroundings.memory == 0
    session = world.engine.sessions["sub"]
    assert session.message_count == 0
    assert session.dropped == (3 if qos else 0)
    assert world.diary.lines.count("sub misses secret") == (1 if qos else 0)
    sub.drops()
    del gate.permissions["sub"]
    assert sub.returns().payloads == []  # they do not come later either
    world.restarts()
    assert sub.returns().payloads == []


@edge("R6")
def test_queued_messages_of_an_earlier_process_are_judged_like_others() -> None:
    gate = ByName()
    world = World(gate=gate, journal=Ledger())
    sub = world.client("sub", session_expiry=60).subscribes("#", qos=1).drops()
    world.client("pub").publishes("secret", b"1", qos=1).publishes("a", b"2", qos=1)
    world.restarts()
    gate.permissions["sub"] = Granted(receive={"secret": DENIED})
    assert sub.returns().payloads == [b"2"]


@edge("R6")
def test_shared_messages_that_wait_are_judged_like_others() -> None:
    gate = ByName()
    world = World(gate=gate)
    sub = world.client("sub", session_expiry=60).subscribes("$share/g/#", qos=1).drops()
    world.client("pub").publishes("secret", b"1", qos=1).publishes("a", b"2", qos=1)
    gate.permissions["sub"] = Granted(receive={"secret": DENIED})
    assert sub.returns().payloads == [b"2"]


@edge("R6")
def test_what_waits_for_room_in_flight_is_judged_when_it_has_room() -> None:
    world = World()
    sub = world.client("sub", receive_maximum=1, acknowledges=False).subscribes("#", qos=1)
    world.client("pub").publishes("a", b"1", qos=1).publishes("secret", b"2", qos=1).publishes("a", b"3", qos=1)
    assert sub.payloads == [b"1"]
    world.engine.change_permissions(world.engine.sessions["sub"], Granted(receive={"secret": DENIED}))
    sub.sends(PubAck(sub.messages[0].packet_id))
    assert sub.payloads == [b"1", b"3"]


@edge("R6")
def test_retained_messages_that_wait_for_room_are_judged_when_they_have_room() -> None:
    world = World()
    world.client("pub").publishes("a", b"1", qos=1, retain=True).publishes("secret", b"2", qos=1, retain=True)
    sub = world.client("sub", receive_maximum=1, acknowledges=False).subscribes("a", qos=1).subscribes("secret", qos=1)
    world.engine.change_permissions(world.engine.sessions["sub"], Granted(receive={"secret": DENIED}))
    sub.sends(PubAck(sub.messages[0].packet_id))
    assert sub.payloads == [b"1"]
    assert world.engine.surroundings.memory == 0


@edge("R6")
@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_sent_before_is_not_sent_again_to_who_may_not_receive_it(qos: int) -> None:
    # It may be another user who comes with the client id.
    gate = ByName()
    world = World(gate=gate)
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=qos)
    world.client("pub").publishes("a", b"x", qos=qos)
    sub.drops()
    gate.permissions["sub"] = Granted(receive={"a": DENIED}, subscribe={"a": DENIED})
    sub = sub.returns()
    assert sub.got == ([] if qos == 1 else [PubRel(1)])  # who owns a message at QoS 2 has to let go of its id
    if qos == 2:
        sub.sends(PubComp(1))
    assert world.engine.sessions["sub"].message_count == 0


@mqtt("MQTT-4.4.0-1")
def test_an_exchange_that_is_past_pubrec_ends_as_it_should() -> None:  # S8's cousin
    gate = ByName()
    world = World(gate=gate)
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=2)
    sub.sends(PubRec(1)).drops()
    gate.permissions["sub"] = Granted(receive={"a": DENIED}, subscribe={"a": DENIED})
    sub = sub.returns()
    assert sub.got == [PubRel(1)]
    sub.sends(PubComp(1))
    assert world.engine.sessions["sub"].message_count == 0


@mqtt("MQTT-4.3.3-10", "MQTT-4.3.3-11")
def test_a_qos2_message_that_was_taken_stays_taken() -> None:
    gate = ByName()
    world = World(gate=gate)
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", session_expiry=60).sends(message("a", 2)).drops()
    gate.permissions["pub"] = Granted(publish={"a": DENIED})
    pub = pub.returns().sends(Publish("a", b"x", 2, packet_id=7, dup=True), PubRel(7), message("a", 2))
    assert pub.got == [PubRec(7), PubComp(7), PubRec(7, NO)]
    assert sub.payloads == [b"x"]


# Other rights in between


def test_the_gate_hears_whether_a_subscription_was_lost() -> None:
    world = World()
    world.client("c").subscribes("a", "b", qos=2)
    session = world.engine.sessions["c"]
    assert world.engine.change_permissions(session, Granted(publish={"#": DENIED}, receive={"#": DENIED}))
    assert world.engine.change_permissions(session, Granted(subscribe={"#": Grant(0)}))
    assert not world.engine.change_permissions(session, Granted(subscribe={"b": DENIED}))
    assert world.engine.change_permissions(session, Granted(subscribe={"b": DENIED}))


@pytest.mark.parametrize("topic_filter", ["a/b", "a/+", "#"])
@edge("R6")
def test_a_route_that_was_remembered_is_forgotten_with_the_rights(topic_filter: str) -> None:
    world = World()
    sub = world.client("sub").subscribes(topic_filter, qos=2)
    other = world.client("other").subscribes(topic_filter, qos=2)
    pub = world.client("pub")
    session = world.engine.sessions["sub"]
    rights: list[Permissions] = [
        EVERYTHING,
        Granted(receive={"a/b": DENIED}),
        Granted(receive={"a/b": Grant(1)}),
        Granted(),
        Granted(receive={"#": DENIED}),
        EVERYTHING,
    ]
    for each in rights:
        world.engine.change_permissions(session, each)
        pub.publishes("a/b", b"x", qos=2).publishes("a/b", b"x", qos=2)
    assert [each.qos for each in sub.messages] == [2, 2, 1, 1, 2, 2, 2, 2]
    assert [each.qos for each in other.messages] == [2] * 12


@edge("R6")
def test_a_route_that_was_remembered_is_forgotten_with_a_login() -> None:
    gate = ByName()
    world = World(gate=gate)
    sub = world.client("sub", session_expiry=60).subscribes("#")
    pub = world.client("pub").publishes("a", b"1")
    gate.permissions["sub"] = Granted(receive={"a": DENIED})
    later = sub.returns()
    pub.publishes("a", b"2")
    assert sub.payloads == [b"1"]
    assert later.payloads == []


def test_a_subscription_that_is_lowered_in_between_is_lowered_where_it_was_remembered() -> None:
    world = World()
    sub = world.client("sub").subscribes("a", qos=2)
    member = world.client("member").subscribes("$share/g/a", qos=2)
    pub = world.client("pub").publishes("a", b"1", qos=2)
    for name in ("sub", "member"):
        world.engine.change_permissions(world.engine.sessions[name], Granted(subscribe={"a": Grant(1)}))
    pub.publishes("a", b"2", qos=2)
    assert [each.qos for each in sub.messages] == [2, 1]
    assert [each.qos for each in member.messages] == [2, 1]


def test_a_subscription_that_is_lost_in_between_is_lost_at_once() -> None:
    world = World()
    sub = world.client("sub").subscribes("a", "b/#", "$share/g/a")
    pub = world.client("pub").publishes("a", b"1")
    world.engine.change_permissions(world.engine.sessions["sub"], Granted(subscribe={"#": DENIED}))
    pub.publishes("a", b"2").publishes("b/1", b"2")
    assert sub.payloads == [b"1", b"1"]
    assert world.engine.subscriptions.count == 0
    assert sub.is_connected  # it is the gate that sends it away


def test_what_was_remembered_of_publishing_is_forgotten_with_the_rights() -> None:
    world = World()
    pub = world.client("pub").sends(message("a", 1))
    session = world.engine.sessions["pub"]
    world.engine.change_permissions(session, Granted(publish={"a": DENIED}))
    pub.sends(message("a", 1))
    world.engine.change_permissions(session, EVERYTHING)
    pub.sends(message("a", 1))
    assert pub.got == [PubAck(7, 0x10), PubAck(7, NO), PubAck(7, 0x10)]


class _Word(Exchange):
    """Whoever authenticates may do what the gate says at that time."""

    def __init__(self, gate: "_Wordy", client: SeamClient) -> None:
        self.gate = gate
        self.client = client

    def receive(self, data: bytes, now: float) -> None:
        self.client.admit(self.gate.permissions, now)


class _Wordy(Gate):
    """Knows the method ``word``, and lets everybody in who names it."""

    def __init__(self) -> None:
        super().__init__()
        self.permissions: Permissions = EVERYTHING

    def exchange(self, client: SeamClient, packet: Connect, visit: Visit) -> Exchange:
        return _Word(self, client)


@edge("R6")
def test_an_authentication_again_changes_the_rights_at_once() -> None:  # section 4.12.1
    gate = _Wordy()
    world = World(gate=gate)
    sub = world.client("sub", authentication_method="word").subscribes("a", "b", "c", qos=2)
    pub = world.client("pub", authentication_method="word")
    for topic in ("a", "b", "c"):
        pub.publishes(topic, b"1", qos=2)
    gate.permissions = Granted(
        publish={"x": DENIED}, subscribe={"a": DENIED, "b": Grant(1)}, receive={"c": Grant(0), "d": DENIED}
    )
    word = Properties(authentication_method="word")
    sub.takes()
    assert sub.sends(Auth(ReasonCode.RE_AUTHENTICATE, word)).takes() == [Auth(0, word)]
    for topic in ("a", "b", "c"):
        pub.publishes(topic, b"2", qos=2)
    assert [(each.topic, each.qos) for each in sub.messages] == [("b", 1), ("c", 0)]
    assert sub.sends(message("x", 1)).got[-1] == PubAck(7, NO)
    assert sub.is_connected


def test_packets_behind_an_authentication_again_are_judged_by_what_it_gave() -> None:  # section 4.12.1
    gate = _Wordy()
    world = World(gate=gate)
    pub = world.client("pub", authentication_method="word")
    gate.permissions = Granted(publish={"a": DENIED})
    word = Properties(authentication_method="word")
    pub.sends(message("a", 1), Auth(ReasonCode.RE_AUTHENTICATE, word), message("a", 1))
    assert pub.got == [PubAck(7, 0x10), Auth(0, word), PubAck(7, NO)]


def test_who_is_taken_over_does_not_pass_on_its_rights() -> None:  # [MQTT-3.1.4-3]
    gate = ByName()
    world = World(gate=gate)
    former = world.client("c")
    gate.permissions["c"] = Granted(publish={"a": DENIED})
    later = world.client("c").sends(message("a", 1))
    assert former.got == [Disconnect(ReasonCode.SESSION_TAKEN_OVER)]
    assert later.got == [PubAck(7, NO)]
