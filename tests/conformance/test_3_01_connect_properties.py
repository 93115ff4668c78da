"""The properties of a CONNECT (section 3.1.2.11)."""

import pytest

from telex.engine.options import Options
from telex.engine.permissions import Permissions
from telex.wire.packets import (
    ConnAck,
    Disconnect,
    Publish,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
)
from telex.wire.properties import Properties
from tests.conformance.conftest import MakeWorld
from tests.conformance.connects import CLEAN, ID, WILL, connect, in_memory, string
from tests.conformance.marks import edge, mqtt
from tests.engine.world import Client, OneRule, World


class Only(Permissions):
    """Publishing is allowed to one topic."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self.topic = topic

    def may_publish(self, topic: str) -> bool:
        return topic == self.topic


# Session Expiry Interval (section 3.1.2.11.2)


@edge("S10")
@mqtt("MQTT-3.1.2-23")
def test_a_session_is_there_until_its_time_is_over(engine: World) -> None:
    client = engine.client("c", session_expiry=60).subscribes("a", qos=1).drops()
    engine.advance(59)
    client = client.returns()
    assert client.session_present
    client.drops()
    engine.advance(61)
    client = client.returns()
    assert not client.session_present
    engine.client("pub").publishes("a", b"x", qos=1)
    assert client.got == []  # the subscription is gone with it


@edge("S10")
@pytest.mark.parametrize("expiry", [None, 0])
def test_a_session_without_expiry_ends_with_its_connection(world: World, expiry: int | None) -> None:
    world.client("c", session_expiry=expiry).subscribes("a", qos=1).drops()
    assert not world.client("c", session_expiry=60, clean_start=False).session_present


@edge("S10")
@mqtt("MQTT-3.1.2-23")
def test_a_session_that_never_expires_is_there_after_a_hundred_years(engine: World) -> None:
    client = engine.client("c", session_expiry=0xFFFFFFFF).subscribes("a").drops()
    engine.now += 100 * 365 * 86_400.0
    engine.advance(2)
    assert client.returns().session_present


@edge("S10")
@mqtt("MQTT-3.1.2-23")
def test_the_longest_expiry_is_no_short_one(engine: World) -> None:
    client = engine.client("c", session_expiry=0xFFFFFFFE).subscribes("a").drops()
    engine.advance(100_000)
    assert client.returns().session_present


@edge("S10")
def test_each_connection_says_its_own_expiry(engine: World) -> None:
    client = engine.client("c", session_expiry=10).drops().returns(session_expiry=1_000).drops()
    engine.advance(500)
    client = client.returns(session_expiry=10)
    assert client.session_present
    client.drops()
    engine.advance(12)
    assert not client.returns().session_present


@in_memory
@edge("S10")
def test_a_shortened_expiry_is_told_and_holds() -> None:
    world = World(Options(maximum_session_expiry=30))
    client = world.client("c", session_expiry=60)
    assert client.said.session_expiry_interval == 30
    client.drops()
    world.advance(29)
    client = client.returns()
    assert client.session_present
    client.drops()
    world.advance(31)
    assert not client.returns().session_present
    assert World(Options(maximum_session_expiry=30)).client("c", session_expiry=30).said.session_expiry_interval is None


@edge("S10")
def test_disconnect_may_change_the_expiry(engine: World) -> None:  # section 3.14.2.2.2
    client = engine.client("c", session_expiry=10).disconnects(session_expiry=100)
    engine.advance(50)
    client = client.returns()
    assert client.session_present
    client.disconnects(session_expiry=0)
    assert not client.returns().session_present


@edge("S10")
@pytest.mark.parametrize("expiry", [None, 0])
def test_disconnect_may_not_raise_the_expiry_from_0(world: World, expiry: int | None) -> None:  # section 3.14.2.2.2
    client = world.client("c", session_expiry=expiry)
    client.sends(Disconnect(0, Properties(session_expiry_interval=60)))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(0x82)])
    assert not world.client("c", clean_start=False, session_expiry=60).session_present


@edge("S10")
def test_who_raises_the_expiry_from_0_is_told_of_the_error(engine: World) -> None:  # section 3.14.2.2.2
    client = engine.client("c").sends(Disconnect(0, Properties(session_expiry_interval=60)))
    assert client.got == [Disconnect(0x82)]


# Maximum Packet Size


@edge("Z1")
@mqtt("MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_too_large_for_its_client_is_left_out(world: World, qos: int) -> None:
    fixed = 2 + 3 + 1 + (2 if qos else 0)  # fixed header, topic name, properties, packet id
    sub = world.client("sub", maximum_packet_size=100, receive_maximum=1).subscribes("a", qos=2)
    pub = world.client("pub")
    for size in (101, 100, 101, 99, 5_000, 50):
        pub.publishes("a", bytes(size - fixed), qos)
    assert [len(payload) + fixed for payload in sub.payloads] == [100, 99, 50]
    assert max(sub.sizes) == 100


@edge("Z1")
@mqtt("MQTT-3.1.2-24", "MQTT-3.1.2-25")
def test_a_message_too_large_is_left_out_of_what_waited(world: World) -> None:
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", bytes(100), qos=1).publishes("a", b"x", qos=1)
    assert sub.returns(maximum_packet_size=100).payloads == [b"x"]
    assert sub.returns().payloads == []  # it counts as sent


@edge("Z1")
@mqtt("MQTT-3.1.2-24")
def test_retained_messages_too_large_are_left_out(world: World) -> None:
    pub = world.client("pub").publishes("a/1", bytes(100), retain=True).publishes("a/2", b"x", retain=True)
    sub = world.client("sub", maximum_packet_size=50).subscribes("a/#")
    assert sub.topics == ["a/2"]
    assert pub.is_connected


@edge("Z1")
@mqtt("MQTT-3.1.2-24")
def test_properties_count_for_the_size(world: World) -> None:
    sub = world.client("sub", maximum_packet_size=60).subscribes("a", identifier=1)
    pub = world.client("pub")
    pub.publishes("a", b"x", properties=Properties(user_properties=(("n", "v" * 60),)))
    pub.publishes("a", b"y", properties=Properties(user_properties=(("n", "v"),)))
    assert sub.payloads == [b"y"]


@edge("Z1")
@mqtt("MQTT-3.1.2-24")
def test_answers_shed_their_words_to_fit(make_world: MakeWorld) -> None:
    # [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.6.2-2] [MQTT-3.7.2-2] [MQTT-3.9.2-1] [MQTT-3.14.2-3]
    world = make_world(gate=OneRule(Only("allowed")))
    worded = refused_everything(world, 1)
    answers = worded.takes()
    curt = refused_everything(world, 1, maximum_packet_size=30)
    assert curt.got == answers
    assert max(worded.sizes[1:]) > 30
    assert len(worded.reasons) > len(curt.reasons)
    assert curt.sends_bytes(bytes.fromhex("8000")).got[-1] == Disconnect(0x81)


@edge("Z1")
@mqtt("MQTT-3.1.2-24")
def test_each_connection_says_its_own_size(world: World) -> None:
    sub = (
        world.client("sub", maximum_packet_size=50, session_expiry=60)
        .subscribes("a")
        .drops()
        .returns(maximum_packet_size=None)
    )
    world.client("pub").publishes("a", bytes(100))
    assert sub.payloads == [bytes(100)]


# Topic Alias Maximum


@mqtt("MQTT-3.1.2-26")
@pytest.mark.parametrize("maximum", [1, 2, 65_535])
def test_no_alias_is_above_the_clients_maximum(world: World, maximum: int) -> None:
    sub = world.client("sub", topic_alias_maximum=maximum).subscribes("#")
    pub = world.client("pub")
    topics = [f"a/long/topic/{number % 5}" for number in range(20)]
    for topic in topics:
        pub.publishes(topic, b"x")
    assert sub.topics == topics
    aliases = [message.properties.topic_alias for message in sub.messages if message.properties is not None]
    assert all(alias is None or 1 <= alias <= maximum for alias in aliases)


@mqtt("MQTT-3.1.2-26")
def test_aliases_are_used_at_all(engine: World) -> None:  # section 3.3.2.3.4: so that the test before says something
    sub = engine.client("sub", topic_alias_maximum=1).subscribes("a/#")
    engine.client("pub").publishes("a/long/topic", b"x").publishes("a/long/topic", b"y")
    assert sub.messages[-1] == Publish("", b"y", properties=Properties(topic_alias=1))


@mqtt("MQTT-3.1.2-27")
@pytest.mark.parametrize("maximum", [None, 0])
def test_a_client_that_takes_no_alias_gets_none(world: World, maximum: int | None) -> None:
    sub = world.client("sub", topic_alias_maximum=maximum).subscribes("a/#")
    pub = world.client("pub")
    for _ in range(3):
        pub.publishes("a/long/topic", b"x").publishes("a/long/topic", b"x", properties=Properties(topic_alias=1))
    assert sub.got == [Publish("a/long/topic", b"x")] * 6


# Request Response Information, Request Problem Information


@mqtt("MQTT-3.1.2-28")
@pytest.mark.parametrize("asks", [None, 0])
def test_who_does_not_ask_gets_no_response_information(make_world: MakeWorld, asks: int | None) -> None:
    world = make_world(Options(response_information="answers/%c"))
    client = world.client("c", request_response_information=asks)
    assert client.said.response_information is None


@mqtt("MQTT-3.1.2-28")
def test_who_asks_may_get_response_information(make_world: MakeWorld) -> None:  # section 3.2.2.3.15
    world = make_world(Options(response_information="answers/%c"))
    assert world.client("c", request_response_information=1).said.response_information == "answers/c"


def refused_everything(world: World, asks: int | None, **manners: object) -> Client:
    """A client that had a refusal in each packet that may carry one."""
    client = world.client("c", request_problem_information=asks, acknowledges=False, **manners)
    client.sends(Publish("forbidden", b"x", 1, packet_id=1), Publish("forbidden", b"x", 2, packet_id=2))
    client.sends_bytes(bytes.fromhex("62 02 0063 50 02 0063"))  # PUBREL, PUBREC of ids that were never seen
    client.sends_bytes(bytes.fromhex("82 0a 0007 00 0004 612f2361 00"))  # "a/#a"
    client.sends(Unsubscribe(8, ["a"]))
    return client


@edge("V1")
@mqtt("MQTT-3.1.2-29")
def test_who_wants_no_problem_information_gets_none(make_world: MakeWorld) -> None:
    world = make_world(gate=OneRule(Only("allowed")))
    client = refused_everything(world, 0)
    assert [type(packet).__name__ for packet in client.got] == [
        "PubAck",
        "PubRec",
        "PubComp",
        "PubRel",
        "SubAck",
        "UnsubAck",
    ]
    assert client.reasons == []
    assert all(packet.properties is None for packet in client.got)  # type: ignore[attr-defined]


@in_memory
@edge("V1")
@pytest.mark.parametrize("asks", [None, 1])
def test_who_does_not_decline_it_gets_problem_information(asks: int | None) -> None:
    world = World(gate=OneRule(Only("allowed")))
    client = refused_everything(world, asks)
    assert len(client.reasons) >= 5
    assert client.sends_bytes(bytes.fromhex("8000")).got[-1] == Disconnect(0x81)
    assert len(client.reasons) >= 6


@edge("V1")
@mqtt("MQTT-3.1.2-29")
def test_problem_information_is_a_matter_of_broker_and_client_not_of_publisher(world: World) -> None:
    # User Properties of a PUBLISH are the publisher's; they pass.
    said = Properties(user_properties=(("n", "v"),))
    sub = world.client("sub", request_problem_information=0).subscribes("a")
    world.client("pub").publishes("a", b"x", properties=said)
    assert sub.got == [Publish("a", b"x", properties=said)]


@edge("V1")
@mqtt("MQTT-3.1.2-29")
@pytest.mark.parametrize("packet_type", ["PubAck", "SubAck", "UnsubAck"])
def test_answers_have_no_words_for_who_declined_them(world: World, packet_type: str) -> None:
    client = world.client("c", request_problem_information=0)
    client.sends(Publish("a", b"x", 1, packet_id=1), Subscribe(2, [SubscriptionRequest("a", 0)]))
    client.sends(Unsubscribe(3, ["b"]))
    (answer,) = [packet for packet in client.got if type(packet).__name__ == packet_type]
    assert answer.properties is None  # type: ignore[attr-defined]
    assert client.reasons == []


# Properties that a CONNECT may not have


@mqtt("MQTT-3.1.4-1")
@pytest.mark.parametrize(
    "said",
    [
        "11 00000001 11 00000001",
        "21 0001 21 0001",
        "21 0000",
        "27 00000064 27 00000064",
        "27 00000000",
        "22 0001 22 0001",
        "19 00 19 00",
        "19 02",
        "17 01 17 01",
        "17 02",
        "15 0001 61 15 0001 61",
        "15 0001 61 16 0001 61 16 0001 61",
        "01 00",
        "23 0001",
        "1f 0001 61",
        "00",
        "7f",
        "11 0000",
    ],
    ids=[
        "Session Expiry twice",
        "Receive Maximum twice",
        "Receive Maximum 0",
        "Maximum Packet Size twice",
        "Maximum Packet Size 0",
        "Topic Alias Maximum twice",
        "Request Response Information twice",
        "Request Response Information 2",
        "Request Problem Information twice",
        "Request Problem Information 2",
        "Authentication Method twice",
        "Authentication Data twice",
        "Payload Format Indicator",
        "Topic Alias",
        "Reason String",
        "property 0",
        "property 127",
        "half a property",
    ],
)
def test_properties_that_a_connect_may_not_have_are_turned_away(world: World, said: str) -> None:
    # sections 3.1.2.11.2 to 3.1.2.11.10, section 2.2.2.2
    client = world.stranger().sends_bytes(connect(5, CLEAN, ID, said=bytes.fromhex(said)))
    assert not client.is_connected
    assert client.connack is None or client.connack.reason_code in (0x81, 0x82, 0x8C)


@mqtt("MQTT-3.1.4-1")
def test_authentication_data_without_a_method_is_turned_away(world: World) -> None:  # section 3.1.2.11.10
    client = world.stranger().sends_bytes(connect(5, CLEAN, ID, said=bytes.fromhex("16 0001 61")))
    assert not client.is_connected
    assert client.connack is None or client.connack.reason_code in (0x81, 0x82)


@mqtt("MQTT-3.1.4-1")
@pytest.mark.parametrize(
    "said",
    [
        "18 00000001 18 00000001",
        "01 00 01 00",
        "02 00000001 02 00000001",
        "08 0001 61 08 0001 61",
        "03 0001 61 03 0001 61",
        "09 0001 61 09 0001 61",
        "11 00000001",
        "23 0001",
    ],
    ids=[
        "Will Delay twice",
        "Payload Format twice",
        "Message Expiry twice",
        "Response Topic twice",
        "Content Type twice",
        "Correlation Data twice",
        "Session Expiry",
        "Topic Alias",
    ],
)
def test_properties_that_a_will_may_not_have_are_turned_away(world: World, said: str) -> None:  # section 3.1.3.2
    properties = bytes.fromhex(said)
    fields = bytes([len(properties)]) + properties + string(b"w") + string(b"x")
    client = world.stranger().sends_bytes(connect(5, CLEAN | WILL, ID, fields))
    assert not client.is_connected
    assert client.connack is None or client.connack.reason_code in (0x81, 0x82, 0x90)


@pytest.mark.parametrize(("said", "code"), [("01 02", 0x82), ("08 0001 2b", 0x82)], ids=["format", "response topic"])
def test_a_will_is_checked_as_a_publish_is(engine: World, said: str, code: int) -> None:
    # The text says it of PUBLISH only: a format of 2, a response topic with a wildcard (section 3.3.2.3).
    properties = bytes.fromhex(said)
    fields = bytes([len(properties)]) + properties + string(b"w") + string(b"x")
    assert engine.stranger().sends_bytes(connect(5, CLEAN | WILL, ID, fields)).got == [ConnAck(code)]
