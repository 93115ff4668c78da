"""What a client may do, decided at its login (sections 3.3.4, 3.8.4 and 5.4.2)."""

import pytest

from telex.codes import ReasonCode
from telex.engine.permissions import EVERYTHING, Permissions
from telex.wire.packets import ConnAck, PubAck, PubComp, Publish, PubRec, PubRel, SubAck, Subscribe, Will
from telex.wire.packets import SubscriptionRequest as Request
from telex.wire.properties import Properties
from tests.engine.world import LateGate, OneRule, World

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


def test_a_refused_subscription_gets_no_retained_message() -> None:  # CVE-2018-12546, R6
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


@pytest.mark.parametrize("topic", ["$SYS/broker/version", "$SYS/a", "$SYS/"])
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
    assert EVERYTHING.publishing("$SYS/broker/uptime").max_qos == -1
    assert EVERYTHING.publishing("$SYSTEM").max_qos == 2
