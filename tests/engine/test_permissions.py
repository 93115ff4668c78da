"""What a client may do, decided at its login (sections 3.3.4, 3.8.4 and 5.4.2)."""

import pytest

from telex.codes import ReasonCode
from telex.engine.options import Options
from telex.engine.permissions import DENIED as NOTHING
from telex.engine.permissions import EVERYTHING, Grant, Permissions, publishing, receiving
from telex.wire.packets import (
    ConnAck,
    Packet,
    PingReq,
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
from tests.engine.world import ByName, Granted, LateGate, OneRule, World

DENIED = ReasonCode.NOT_AUTHORIZED


class Only(Permissions):
    """What begins with ``mine/``, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def may_publish(self, topic: str) -> bool:
        self.asked.append(topic)
        return topic.startswith("mine/")

    def may_subscribe(self, topic_filter: str) -> bool:
        self.asked.append(topic_filter)
        return topic_filter.startswith("mine/")


def strict() -> World:
    """A world where everybody may only what ``Only`` allows."""
    return World(gate=OneRule(Only()))


def test_a_v5_client_is_told_that_it_may_not_publish() -> None:  # section 3.4.2.1, pain 10
    world = strict()
    pub = world.client("pub").sends(
        Publish("other", b"x"), Publish("other", b"x", 1, packet_id=1), Publish("other", b"x", 2, packet_id=2)
    )
    assert pub.got == [PubAck(1, DENIED), PubRec(2, DENIED)]
    assert pub.is_connected


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_client_cannot_be_told(version: int) -> None:  # v3 section 3.3.5.2: acknowledge or close
    world = strict()
    pub = world.client("pub", version=version)
    pub.sends(Publish("other", b"x", 1, packet_id=1), Publish("other", b"x", 2, packet_id=2), PubRel(2))
    assert pub.got == [PubAck(1), PubRec(2), PubComp(2)]


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_may_not_be_published_reaches_nobody(version: int, qos: int) -> None:  # section 5.4.2
    world = World(gate=LateGate())
    sub = world.knocks("sub")
    world.admits("sub")
    sub.subscribes("#", qos=2)
    pub = world.knocks("pub", version=version)
    world.admits("pub", Only())
    pub.sends(Publish("other", b"x", qos, retain=True, packet_id=1 if qos else 0))
    assert sub.payloads == []
    assert world.engine.retained.count == 0


def test_what_may_be_published_is() -> None:  # section 5.4.2
    world = strict()
    sub = world.client("sub").subscribes("mine/#", qos=2)
    world.client("pub").publishes("mine/a", b"x", qos=2)
    assert sub.payloads == [b"x"]


def test_a_refused_qos2_message_that_comes_again_is_judged_again() -> None:  # [MQTT-4.3.3-9]
    world = strict()
    sub = world.client("sub").subscribes("mine/#", qos=2)
    pub = world.client("pub").sends(Publish("other", b"x", 2, packet_id=7), Publish("mine/a", b"y", 2, packet_id=7))
    assert pub.got == [PubRec(7, DENIED), PubRec(7)]
    assert sub.payloads == [b"y"]


def test_it_is_the_topic_that_counts_and_not_its_alias() -> None:  # section 3.3.2.3.4
    world = strict()
    sub = world.client("sub").subscribes("mine/#")
    pub = world.client("pub").sends(
        Publish("mine/a", b"1", properties=Properties(topic_alias=1)),
        Publish("", b"2", properties=Properties(topic_alias=1)),
        Publish("other", b"3", properties=Properties(topic_alias=1)),
        Publish("", b"4", 1, packet_id=1, properties=Properties(topic_alias=1)),
    )
    assert sub.payloads == [b"1", b"2"]
    assert pub.got == [PubAck(1, DENIED)]


# Wills


@pytest.mark.parametrize(("version", "code"), [(3, 5), (4, 5), (5, 0x87)])
def test_a_will_that_may_not_be_published_keeps_its_client_out(version: int, code: int) -> None:  # [MQTT-3.1.4-2], W3
    world = strict()
    client = world.knocks("c", version=version, will=Will("other", b"x"))
    assert client.got == [ConnAck(code)]
    assert not client.is_connected
    assert world.engine.sessions == {}


def test_a_will_that_may_be_published_is() -> None:  # [MQTT-3.1.2-8]
    world = strict()
    sub = world.client("sub").subscribes("mine/#")
    world.client("c", will=Will("mine/will", b"x")).drops()
    assert sub.payloads == [b"x"]


def test_a_client_kept_out_by_its_will_does_not_disturb_the_one_inside() -> None:  # [MQTT-3.1.4-3]
    world = strict()
    inside = world.client("c")
    world.knocks("c", will=Will("other", b"x"))
    assert inside.is_connected


# Subscriptions


@pytest.mark.parametrize(
    ("version", "codes"),
    [(5, [1, DENIED.value, 0]), (4, [1, 0x80, 0]), (3, [1, 2, 0])],  # v3.1 has no word for no
)
def test_each_filter_is_judged_by_itself(version: int, codes: list[int]) -> None:
    # [MQTT-3.8.4-6] [MQTT-3.9.3-2], v3 [MQTT-3.9.3-2]
    world = strict()
    sub = world.client("sub", version=version)
    sub.sends(Subscribe(1, [Request("mine/a", 1), Request("other", 2), Request("mine/b", 0)]))
    assert sub.takes() == [SubAck(1, codes)]
    pub = world.client("pub")
    for topic in ("mine/a", "mine/b"):
        pub.publishes(topic, topic.encode())
    assert sub.payloads == [b"mine/a", b"mine/b"]
    assert world.engine.subscriptions.count == 2


def test_a_shared_filter_is_judged_without_its_group() -> None:  # section 4.8.2
    world = strict()
    sub = world.client("sub").sends(Subscribe(1, [Request("$share/g/mine/a"), Request("$share/mine/other")]))
    assert sub.got == [SubAck(1, [0, DENIED])]


@edge("R6")
def test_a_refused_subscription_gets_no_retained_message() -> None:  # CVE-2018-12546
    world = World(gate=LateGate())
    pub = world.knocks("pub")
    world.admits("pub")
    pub.publishes("other", b"x", retain=True)
    sub = world.knocks("sub")
    world.admits("sub", Only())
    sub.takes()
    assert sub.sends(Subscribe(1, [Request("other"), Request("#")])).got == [SubAck(1, [DENIED, DENIED])]


def test_a_refused_subscription_leaves_the_old_one_alone() -> None:  # [MQTT-3.8.4-3]
    world = World(gate=LateGate())
    sub = world.knocks("sub", session_expiry=60)
    world.admits("sub")
    sub.subscribes("mine/a", qos=1).drops()
    sub = world.knocks("sub", clean_start=False, session_expiry=60)
    world.admits("sub", Only())
    sub.takes()
    assert sub.sends(Subscribe(1, [Request("other")])).got == [SubAck(1, [DENIED])]
    assert list(world.engine.sessions["sub"].subscriptions) == ["mine/a"]


# Who is asked, and when


def test_the_last_login_decides() -> None:  # section 5.4.2
    world = World(gate=LateGate())
    pub = world.knocks("pub", session_expiry=60)
    world.admits("pub", Only())
    assert pub.sends(Publish("other", b"x", 1, packet_id=1)).got[1:] == [PubAck(1, DENIED)]
    pub.drops()
    pub = world.knocks("pub", clean_start=False, session_expiry=60)
    world.admits("pub")
    assert pub.sends(Publish("other", b"x", 1, packet_id=1)).got[1:] == [PubAck(1, 0x10)]


def test_a_repeat_is_not_asked_about() -> None:  # [MQTT-4.3.3-10]
    only = Only()
    world = World(gate=OneRule(only))
    world.client("pub").sends(*[Publish("mine/a", b"x", 2, packet_id=7)] * 3)
    assert only.asked == ["mine/a"]


def test_what_a_v3_client_was_told_is_ours_is_ours() -> None:  # v3 [MQTT-4.3.3-2]: PUBREC said so, for lack of a no
    only = Only()
    world = World(gate=OneRule(only))
    world.client("pub", version=4).sends(*[Publish("other", b"x", 2, packet_id=7)] * 3)
    assert only.asked == ["other"]


# What nobody may


@pytest.mark.parametrize("topic", ["$SYS/broker/version", "$SYS/a", "$SYS/", "$SYS"])
def test_nobody_speaks_for_the_broker(world: World, topic: str) -> None:  # section 4.7.2
    sub = world.client("sub").subscribes("$SYS/#")
    pub = world.client("pub").sends(Publish(topic, b"x", 1, packet_id=1))
    assert pub.got == [PubAck(1, DENIED)]
    assert sub.got == []


def test_a_bridge_may_tell_its_state(world: World) -> None:  # mosquitto's bridges do
    topic = "$SYS/broker/connection/bridge/state"
    sub = world.client("sub").subscribes("$SYS/#")
    world.client("bridge", version=4, will=Will(topic, b"0", retain=True)).publishes(topic, b"1", retain=True).drops()
    assert sub.payloads == [b"1", b"0"]


def test_everybody_may_listen_to_the_broker() -> None:  # section 4.7.2
    assert EVERYTHING.may_subscribe("$SYS/#")
    assert publishing(EVERYTHING, "$SYS/broker/uptime").max_qos == -1
    assert publishing(EVERYTHING, "$SYSTEM").max_qos == 2


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_no_permissions_make_a_client_the_broker(version: int, qos: int) -> None:  # section 4.7.2
    world = World(gate=OneRule(Granted(publish={"$SYS/#": Grant(2)})))
    sub = world.client("sub").subscribes("$SYS/#", qos=2)
    world.client("pub", version=version).sends(
        Publish("$SYS/broker/version", b"x", qos, True, packet_id=7 if qos else 0)
    )
    assert sub.got == []
    assert world.engine.retained.count == 0
    visit, action, topic, rule = world.diary.denials[0]
    assert (visit.client_id, action, topic) == ("pub", "publish", "$SYS/broker/version")
    assert rule == "$SYS is the broker's own"


def test_a_will_may_not_speak_for_the_broker(world: World) -> None:  # section 4.7.2
    client = world.knocks("c", will=Will("$SYS/broker/uptime", b"x"))
    assert client.got == [ConnAck(DENIED)]


def test_what_bridges_leave_in_sys_is_bounded_like_all_that_clients_retain() -> None:
    world = World(Options(max_retained_messages=2))
    bridge = world.client("bridge")
    for number in range(5):
        bridge.sends(Publish(f"$SYS/broker/connection/{number}/state", b"1", 1, True, packet_id=1))
    assert bridge.got[2:] == [PubAck(1, ReasonCode.QUOTA_EXCEEDED)] * 3
    assert world.engine.retained.count == 2


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_nobody_gives_orders_who_was_not_allowed_to(version: int, qos: int) -> None:
    world = World()
    sub = world.client("sub").subscribes("$CONTROL/#", qos=2)
    pub = world.client("pub", version=version)
    pub.sends(Publish("$CONTROL/broker/v1", b"x", qos, packet_id=7 if qos else 0))
    code = DENIED.value if version == 5 else 0
    assert pub.got == ([[], [PubAck(7, code)], [PubRec(7, code)]][qos])
    assert sub.got == []
    assert world.diary.lines[-1] == "pub may not publish $CONTROL/broker/v1"


def test_a_will_may_not_give_orders_either(world: World) -> None:
    assert world.knocks("c", will=Will("$CONTROL/broker/v1", b"x")).got == [ConnAck(DENIED)]


# What is remembered


def test_each_topic_is_asked_about_once() -> None:
    granted = Granted(receive={})
    world = World(gate=ByName(c=granted))
    client = world.client("c").subscribes("#")
    for _ in range(3):
        client.publishes("a").publishes("b")
    assert sorted(granted.asked) == ["publish a", "publish b", "receive a", "receive b", "subscribe #"]
    assert len(client.messages) == 6


def test_nobody_is_asked_about_receiving_where_that_is_not_limited() -> None:
    granted = Granted()
    world = World(gate=OneRule(granted))
    client = world.client("c").subscribes("#").publishes("a")
    assert client.payloads == [b""]
    assert granted.asked == ["subscribe #", "publish a"]


def test_what_is_remembered_is_bounded_and_right() -> None:
    permissions = Granted(
        publish={"+/no": NOTHING, "+/low": Grant(1, rule="low")}, receive={"+/no": NOTHING, "+/low": Grant(0)}
    )
    expected = {"yes": 2, "low": 1, "no": -1}
    for _ in range(2):
        for number in range(1_500):
            for name, most in expected.items():
                topic = f"{number}/{name}"
                assert publishing(permissions, topic).max_qos == most
                assert receiving(permissions, topic).max_qos == (0 if name == "low" else most)
                assert publishing(permissions, topic).max_qos == most
        assert 0 < len(permissions._publishing) <= 1_000
        assert 0 < len(permissions._receiving) <= 1_000
    # One question for each topic in each round: the second word on a topic was remembered.
    assert len([each for each in permissions.asked if each.startswith("publish ")]) == 2 * 4_500


def test_a_thousand_topics_are_remembered() -> None:
    permissions = Granted(receive={})
    for _ in range(3):
        for number in range(1_000):
            assert publishing(permissions, f"{number}").max_qos == 2
            assert receiving(permissions, f"{number}").max_qos == 2
    assert len(permissions.asked) == 2_000


def test_publishing_and_receiving_are_remembered_apart() -> None:
    permissions = Granted(publish={"a": NOTHING}, receive={"a": Grant(1)})
    for _ in range(2):
        assert publishing(permissions, "a").max_qos == -1
        assert receiving(permissions, "a").max_qos == 1


def test_each_client_has_its_own_permissions() -> None:
    world = World(gate=ByName(one=Granted(publish={"a": NOTHING}), two=Granted(publish={"b": NOTHING})))
    one, two = world.client("one"), world.client("two")
    for client in (one, two):
        client.sends(Publish("a", b"x", 1, packet_id=1), Publish("b", b"x", 1, packet_id=2))
    assert one.got == [PubAck(1, DENIED), PubAck(2, 0x10)]
    assert two.got == [PubAck(1, 0x10), PubAck(2, DENIED)]


# Who hears of a denial


RULED = Granted(publish={"no/#": Grant(-1, False, "rule 3")}, subscribe={"no/#": Grant(-1, False, "rule 4")})


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("setting", ["drop", "disconnect"])
def test_the_observer_hears_of_a_denied_message_once(version: int, qos: int, setting: str) -> None:  # pain 10
    world = World(Options(v3_denied_publish=setting), gate=OneRule(RULED))
    pub = world.client("pub", version=version, user_name="joe")
    pub.sends(Publish("no/a", b"x", qos, packet_id=7 if qos else 0))
    assert world.diary.denials == [(pub.visit, "publish", "no/a", "rule 3")]
    visit = world.diary.denials[0][0]
    assert (visit.client_id, visit.user, visit.address) == ("pub", "joe", "pub.test")


@pytest.mark.parametrize("version", [3, 4])
def test_a_denied_message_that_was_called_ours_is_told_once_however_often_it_comes(version: int) -> None:
    # v3 [MQTT-4.3.3-2]
    world = World(gate=OneRule(RULED))
    pub = world.client("pub", version=version)
    pub.sends(*[Publish("no/a", b"x", 2, packet_id=7)] * 3, PubRel(7))
    assert pub.got == [PubRec(7)] * 3 + [PubComp(7)]
    assert len(world.diary.denials) == 1


def test_each_denied_message_is_told() -> None:  # the log makes them fewer
    world = World(gate=OneRule(RULED))
    pub = world.client("pub")
    alias = Properties(topic_alias=1)
    pub.sends(Publish("no/a", b"x", properties=alias), *[Publish("", b"x", properties=Properties(topic_alias=1))] * 2)
    pub.sends(Publish("yes", b"x"), Publish("no/b", b"x", 1, packet_id=1))
    assert [topic for _, _, topic, _ in world.diary.denials] == ["no/a", "no/a", "no/a", "no/b"]


@pytest.mark.parametrize("version", [3, 4, 5])
@edge("W3")
def test_the_observer_hears_of_a_denied_will_once(version: int) -> None:
    world = World(gate=OneRule(RULED))
    client = world.knocks("c", version=version, will=Will("no/w", b"x"), user_name="joe")
    assert world.diary.denials == [(client.visit, "publish", "no/w", "rule 3")]
    assert world.diary.denials[0][0].user == "joe"
    assert [line for line in world.diary.lines if "refused" in line] == ["c refused at c.test"]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_the_observer_hears_of_each_denied_subscription_once(version: int) -> None:
    world = World(gate=OneRule(RULED))
    sub = world.client("sub", version=version)
    sub.sends(Subscribe(1, [Request("no/a", 1), Request("yes"), Request("$share/g/no/+")]))
    assert world.diary.denials == [
        (sub.visit, "subscribe", "no/a", "rule 4"),
        (sub.visit, "subscribe", "no/+", "rule 4"),
    ]


def test_what_is_not_offered_to_anybody_is_no_denial() -> None:  # section 3.2.2.3.11
    world = World(Options(wildcard_subscription_available=False), gate=OneRule(RULED))
    sub = world.client("sub", version=4).sends(Subscribe(1, [Request("no/#")]))
    assert sub.got == [SubAck(1, [0x80])]
    assert world.diary.denials == []


# What becomes of a v3 client that publishes what it may not


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("setting", ["drop", "disconnect"])
def test_a_v3_client_is_not_heard_or_sent_away(version: int, qos: int, retain: bool, setting: str) -> None:
    # pain 10; v3 section 3.3.5.2: a positive acknowledgement, or the end of the connection
    grant = Grant(2, may_retain=False) if retain else NOTHING
    world = World(Options(v3_denied_publish=setting), gate=ByName(pub=Granted(publish={"no": grant})))
    sub = world.client("sub").subscribes("#", qos=2)
    pub = world.client("pub", version=version)
    pub.sends(Publish("no", b"x", qos, retain, packet_id=7 if qos else 0), PingReq())
    answers: list[list[Packet]] = [[], [PubAck(7)], [PubRec(7)]]
    if version == 5:
        answers = [[], [PubAck(7, DENIED)], [PubRec(7, DENIED)]]
    is_sent_away = setting == "disconnect" and version != 5
    assert pub.got[:-1] == ([] if is_sent_away else answers[qos])
    assert (pub.got == []) == is_sent_away  # otherwise the answer to PINGREQ is there
    assert pub.is_connected == (not is_sent_away)
    assert sub.payloads == []
    assert world.engine.retained.count == 0


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_who_is_sent_away_leaves_its_will_and_its_session(qos: int) -> None:  # v3 [MQTT-3.1.2-8]
    world = World(Options(v3_denied_publish="disconnect"), gate=ByName(pub=RULED))
    sub = world.client("sub").subscribes("will")
    pub = world.client("pub", version=4, clean_start=False, will=Will("will", b"gone")).subscribes("a", qos=1)
    pub.sends(Publish("a", b"before", 1, packet_id=1), Publish("no/a", b"x", qos, packet_id=7 if qos else 0))
    assert sub.payloads == [b"gone"]
    assert "no permission to publish to 'no/a' (0x87 not authorized)" in world.diary.reasons
    again = pub.returns()
    assert again.session_present
    assert not [packet for packet in again.got if isinstance(packet, PubRec | PubAck)]
    assert world.engine.sessions["pub"].receiver.owned == {}


@pytest.mark.parametrize("version", [3, 4])
def test_a_subscription_that_is_denied_sends_no_one_away(version: int) -> None:  # v3 [MQTT-3.9.3-2]
    world = World(Options(v3_denied_publish="disconnect"), gate=OneRule(RULED))
    sub = world.client("sub", version=version).sends(Subscribe(1, [Request("no/a", 1)]))
    assert sub.got == [SubAck(1, [0x80 if version == 4 else 1])]
    assert sub.is_connected
