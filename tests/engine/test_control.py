"""What clients publish to ``$CONTROL/...``: for the broker, which answers the asker and nobody else."""

from collections.abc import Callable

import pytest

from telex.codes import ReasonCode
from telex.engine.options import Options
from telex.engine.permissions import DENIED, Permissions
from telex.engine.seams import Control
from telex.wire.packets import PubAck, PubComp, Publish, PubRec, PubRel, Will
from telex.wire.properties import Properties
from tests.engine.world import ByName, Granted, Ledger, OneRule, World

ORDERS = "$CONTROL/broker/v1"
ANSWERS = "$CONTROL/broker/v1/response"

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])
EACH_QOS = pytest.mark.parametrize("qos", [0, 1, 2])

Answer = Callable[[str, bytes, float], None]


class Secretary(Control):
    """Answers each order in capitals; ``later`` it answers when the test does."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, bytes, float]] = []
        self.unanswered: list[Answer] = []

    def receive(self, topic: str, payload: bytes, answer: Answer, now: float) -> None:
        self.heard.append((topic, payload, now))
        if payload == b"later":
            self.unanswered.append(answer)
        elif payload:
            answer(f"{topic}/response", payload.upper(), now)


@pytest.fixture
def secretary() -> Secretary:
    return Secretary()


@pytest.fixture
def world(secretary: Secretary) -> World:
    """A world where everybody may give orders."""
    return World(gate=OneRule(Granted()), control=secretary)


@VERSIONS
@EACH_QOS
def test_an_order_is_answered(world: World, secretary: Secretary, version: int, qos: int) -> None:
    boss = world.client("boss", version=version).publishes(ORDERS, b"x", qos=qos)
    assert secretary.heard == [(ORDERS, b"x", world.now)]
    assert boss.got == [Publish(ANSWERS, b"X")]


@EACH_QOS
def test_the_answer_goes_to_the_asker_alone(world: World, qos: int) -> None:
    others = [world.client(name).subscribes("$CONTROL/#", ANSWERS, qos=2) for name in ("one", "two")]
    others.append(world.client("member").subscribes("$share/g/$CONTROL/#", qos=2))
    boss = world.client("boss").publishes(ORDERS, b"secret", qos=qos)
    assert boss.payloads == [b"SECRET"]
    assert [each.got for each in others] == [[], [], []]


def test_two_who_ask_get_their_own_answers(world: World) -> None:
    one, two = world.client("one"), world.client("two")
    one.publishes(ORDERS, b"1").publishes(ORDERS, b"11")
    two.publishes(ORDERS, b"2")
    assert (one.payloads, two.payloads) == ([b"1", b"11"], [b"2"])


def test_the_asker_gets_its_answer_once_and_not_its_order(world: World) -> None:
    boss = world.client("boss").subscribes("$CONTROL/#", ANSWERS, ORDERS, "#", qos=2)
    boss.publishes(ORDERS, b"x", qos=2)
    assert boss.got == [Publish(ANSWERS, b"X")]


@EACH_QOS
def test_an_order_is_not_retained(world: World, qos: int) -> None:
    world.client("boss").publishes(ORDERS, b"x", qos=qos, retain=True)
    assert world.engine.retained.count == 0
    assert world.client("late").subscribes("$CONTROL/#").payloads == []


def test_an_order_does_not_wait_for_who_is_away(world: World) -> None:
    away = world.client("away", session_expiry=60).subscribes("$CONTROL/#", qos=2).drops()
    world.client("boss").publishes(ORDERS, b"x", qos=2)
    assert away.returns().payloads == []


def test_an_order_that_is_repeated_is_given_once(world: World, secretary: Secretary) -> None:
    # [MQTT-4.3.3-10]
    boss = world.client("boss").sends(*[Publish(ORDERS, b"x", 2, packet_id=7)] * 3, PubRel(7))
    assert [packet for packet in boss.got if not isinstance(packet, Publish)] == [*[PubRec(7)] * 3, PubComp(7)]
    assert len(secretary.heard) == 1
    assert boss.payloads == [b"X"]


def test_an_order_may_come_by_a_topic_alias(world: World, secretary: Secretary) -> None:  # section 3.3.2.3.4
    alias = Properties(topic_alias=1)
    boss = world.client("boss").sends(Publish(ORDERS, b"1", properties=alias))
    boss.sends(Publish("", b"2", properties=Properties(topic_alias=1)))
    assert [(topic, payload) for topic, payload, _ in secretary.heard] == [(ORDERS, b"1"), (ORDERS, b"2")]


@pytest.mark.parametrize("topic", ["$CONTROL/x", "$CONTROL/", "$CONTROL/dynamic-security/v1"])
def test_every_topic_below_control_is_for_it(world: World, secretary: Secretary, topic: str) -> None:
    world.client("boss").publishes(topic, b"x")
    assert [each[0] for each in secretary.heard] == [topic]


@pytest.mark.parametrize("topic", ["CONTROL/x", "$CONTROLS/x", "$control/x", "a/$CONTROL/x", "$CONTROL"])
def test_no_other_topic_is(world: World, secretary: Secretary, topic: str) -> None:
    sub = world.client("sub").subscribes(topic)
    world.client("boss").publishes(topic, b"x")
    assert secretary.heard == []
    assert sub.payloads == [b"x"]


@VERSIONS
@EACH_QOS
@pytest.mark.parametrize(
    "permissions", [Permissions(), Granted(publish={"$CONTROL/#": DENIED})], ids=["by default", "by a rule"]
)
def test_who_may_give_no_orders_is_not_heard(version: int, qos: int, permissions: Permissions) -> None:
    secretary = Secretary()
    world = World(gate=ByName(boss=permissions), control=secretary)
    boss = world.client("boss", version=version)
    boss.sends(Publish(ORDERS, b"x", qos, packet_id=1 if qos else 0))
    assert secretary.heard == []
    assert boss.payloads == []
    if version == 5 and qos == 1:
        assert boss.got == [PubAck(1, ReasonCode.NOT_AUTHORIZED)]
    assert [topic for _, _, topic, _ in world.diary.denials] == [ORDERS]


def test_an_order_that_is_too_large_is_not_heard() -> None:
    secretary = Secretary()
    world = World(Options(maximum_payload_size=10), gate=OneRule(Granted()), control=secretary)
    world.client("boss").publishes(ORDERS, b"x" * 11)
    assert secretary.heard == []


def test_an_answer_comes_although_its_topic_may_not_be_received() -> None:
    # Whoever may ask may hear: it did not come by a subscription.
    world = World(gate=OneRule(Granted(receive={"#": DENIED, "$CONTROL/#": DENIED})), control=Secretary())
    assert world.client("boss").publishes(ORDERS, b"x").payloads == [b"X"]


# Answers that take their time


def test_an_answer_may_come_later(world: World, secretary: Secretary) -> None:
    boss = world.client("boss").publishes(ORDERS, b"later")
    calls: list[bool] = []
    world.engine.on_ready = lambda: calls.append(True)
    world.advance(5)
    secretary.unanswered[0](ANSWERS, b"at last", world.now)
    assert calls  # no bytes came that would bring it along
    world.flush()
    assert boss.payloads == [b"at last"]


def test_an_answer_to_who_has_left_goes_to_nobody(world: World, secretary: Secretary) -> None:
    other = world.client("other").subscribes("$CONTROL/#")
    world.client("boss").publishes(ORDERS, b"later").drops()
    secretary.unanswered[0](ANSWERS, b"too late", world.now)
    world.flush()
    later = world.client("boss")
    assert (other.payloads, later.payloads) == ([], [])


def test_an_answer_finds_who_has_come_back_to_its_session(world: World, secretary: Secretary) -> None:
    boss = world.client("boss", session_expiry=60).publishes(ORDERS, b"later").drops()
    boss = boss.returns()
    secretary.unanswered[0](ANSWERS, b"at last", world.now)
    world.flush()
    assert boss.payloads == [b"at last"]


def test_an_answer_that_is_too_large_for_the_asker_is_left_out(world: World) -> None:  # [MQTT-3.1.2-25]
    boss = world.client("boss", maximum_packet_size=60).publishes(ORDERS, b"x" * 29)
    assert boss.payloads == []
    assert boss.is_connected
    assert world.diary.lines[-1] == f"boss misses {ANSWERS}"


def test_an_order_in_a_will_is_given_when_the_will_is(world: World, secretary: Secretary) -> None:
    client = world.client("c", will=Will(ORDERS, b"x"))
    other = world.client("other").subscribes("$CONTROL/#")
    assert secretary.heard == []
    client.drops()
    assert [payload for _, payload, _ in secretary.heard] == [b"x"]
    assert other.payloads == []


def test_a_broker_without_a_secretary_takes_orders_in_silence() -> None:
    world = World(gate=OneRule(Granted()))
    other = world.client("other").subscribes("$CONTROL/#")
    boss = world.client("boss").publishes(ORDERS, b"x", qos=1)
    assert (boss.got, other.got) == ([], [])


def test_an_order_and_its_answer_make_no_records() -> None:
    world = World(gate=OneRule(Granted()), control=Secretary(), journal=Ledger())
    boss = world.client("boss", session_expiry=60).subscribes("$CONTROL/#", qos=1)
    world.ledger.takes()
    boss.publishes(ORDERS, b"x", qos=1, retain=True)
    assert world.ledger.takes() == []
    assert boss.payloads == [b"X"]


def test_a_route_that_was_remembered_is_still_for_the_broker(world: World, secretary: Secretary) -> None:
    boss = world.client("boss")
    for number in range(3):
        boss.publishes(ORDERS, b"%d" % number)
        world.client(f"sub{number}").subscribes(ORDERS)
    assert len(secretary.heard) == 3
    assert boss.payloads == [b"0", b"1", b"2"]
