"""SUBSCRIBE: its bytes, its options and what it asks of a broker (section 3.8)."""

import pytest

from telex.engine.message import Message
from telex.engine.options import Options
from telex.wire.packets import Disconnect, PubAck, Publish, SubAck, Subscribe
from telex.wire.packets import SubscriptionRequest as Request
from telex.wire.properties import Properties
from tests.conformance.conftest import MakeWorld
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import ends, keeping
from tests.engine.world import World

MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
FILTER_INVALID = 0x8F

every_qos = pytest.mark.parametrize("qos", [0, 1, 2])


def subscribe_bytes(version: int, *, first: int = 0x82, topic_filter: str = "00 01 61", options: str = "00") -> bytes:
    """A SUBSCRIBE with packet id 1: its first byte, its topic filter and options in hex, in v5 no properties."""
    head = "00 01 00" if version == 5 else "00 01"
    body = bytes.fromhex(head + topic_filter + options)
    return bytes([first, len(body)]) + body


# Its bytes


@mqtt("MQTT-3.8.4-1", "MQTT-3.8.4-2")
@mqtt("MQTT-3.8.4-1", "MQTT-3.8.4-2", v3=True)
@each_version
@pytest.mark.parametrize("packet_id", [1, 0x1234, 65_535])
def test_subscribe_is_answered_by_a_suback_with_its_packet_id(world: World, version: int, packet_id: int) -> None:
    client = world.client("c", version=version).sends(Subscribe(packet_id, [Request("a")]))
    assert client.takes() == [SubAck(packet_id, [0])]


# v3 [MQTT-3.8.1-1]
@mqtt("MQTT-3.8.1-1")
@each_version
@pytest.mark.parametrize("first", [0x80, 0x81, 0x83, 0x86, 0x8A, 0x8F])
def test_flags_of_subscribe_that_are_not_0010_are_malformed(world: World, version: int, first: int) -> None:
    client = world.client("c", version=version).sends_bytes(subscribe_bytes(version, first=first))
    assert ends(client, MALFORMED)
    assert not any(isinstance(packet, SubAck) for packet in client.got)


# v3 [MQTT-3.8.3-1]
@mqtt("MQTT-3.8.3-1")
@each_version
@pytest.mark.parametrize(
    "topic_filter",
    [
        pytest.param("00 01 ff", id="no UTF-8"),
        pytest.param("00 02 c3 28", id="a sequence that does not go on"),
        pytest.param("00 02 c0 af", id="an overlong slash"),
        pytest.param("00 03 ed a0 80", id="a surrogate"),
        pytest.param("00 03 61 00 62", id="a null character"),
    ],
)
def test_a_filter_must_be_utf8(world: World, version: int, topic_filter: str) -> None:
    client = world.client("c", version=version).sends_bytes(subscribe_bytes(version, topic_filter=topic_filter))
    assert ends(client, MALFORMED)


# v3 [MQTT-3.8.3-3]
@mqtt("MQTT-3.8.3-2")
@edge("K3")
@each_version
def test_a_subscribe_without_a_filter_is_a_protocol_error(world: World, version: int) -> None:
    client = world.client("c", version=version)
    client.sends_bytes(subscribe_bytes(version, topic_filter="", options=""))
    assert ends(client, PROTOCOL_ERROR)
    assert not any(isinstance(packet, SubAck) for packet in client.got)


@mqtt("MQTT-3.8.3-2")
@each_version
@pytest.mark.parametrize(
    "topic_filter",
    [
        pytest.param("00 01 61", id="options are missing"),
        pytest.param("00 05 61", id="shorter than it says"),
        pytest.param("00", id="half a length"),
    ],
)
def test_a_filter_that_does_not_come_whole_is_malformed(world: World, version: int, topic_filter: str) -> None:
    data = subscribe_bytes(version, topic_filter=topic_filter, options="")
    assert ends(world.client("c", version=version).sends_bytes(data), MALFORMED)


@mqtt("MQTT-3.8.3-5")
@pytest.mark.parametrize("options", ["40", "80", "c0", "c2"])
def test_reserved_bits_of_the_options_are_malformed(world: World, options: str) -> None:
    client = world.client("c").sends_bytes(subscribe_bytes(5, options=options))
    assert ends(client, MALFORMED)


# v3 [MQTT-3-8.3-4], as the text writes it: reserved bits, and QoS 3
@mqtt("MQTT-4.8.0-1", v3=True)
@pytest.mark.parametrize("options", ["03", "04", "08", "10", "20", "40", "80", "fe"])
def test_before_v5_options_are_a_qos_and_nothing_else(world: World, options: str) -> None:
    client = world.client("c", version=4).sends_bytes(subscribe_bytes(4, options=options))
    assert not client.is_connected
    assert client.got == []


# Section 3.8.3.1 names the code.
@mqtt("MQTT-4.13.1-1")
@pytest.mark.parametrize("options", [pytest.param("03", id="QoS 3"), pytest.param("30", id="Retain Handling 3")])
def test_options_with_a_value_that_does_not_exist_are_a_protocol_error(world: World, options: str) -> None:
    assert ends(world.client("c").sends_bytes(subscribe_bytes(5, options=options)), PROTOCOL_ERROR)


# Section 3.8.2.1.2 names the code.
@mqtt("MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param("82 09 00 01 02 0b 00 00 01 61 00", id="zero"),
        pytest.param("82 0b 00 01 04 0b 01 0b 02 00 01 61 00", id="two of them"),
    ],
)
def test_a_subscription_identifier_is_one_and_not_zero(world: World, data: str) -> None:
    assert ends(world.client("c").sends_bytes(bytes.fromhex(data)), PROTOCOL_ERROR)


@edge("K3")
@each_version
@pytest.mark.parametrize("topic_filter", ["a/#/b", "a#", "#/", "a+/b", "+a", ""])
def test_a_filter_that_is_none_is_not_granted(world: World, version: int, topic_filter: str) -> None:
    # Section 4.7.1 does not say how it is refused: as malformed, or in SUBACK (section 3.9.3).
    client = world.client("c", version=version).sends(Subscribe(1, [Request(topic_filter)]))
    assert client.got == [SubAck(1, [FILTER_INVALID])] or ends(client, MALFORMED, PROTOCOL_ERROR, FILTER_INVALID)


@edge("K3")
def test_a_bad_filter_does_not_harm_its_neighbours(engine: World) -> None:
    client = engine.client("c").sends(Subscribe(1, [Request("a", 1), Request("a/#/b", 1), Request("b", 1)]))
    assert client.takes() == [SubAck(1, [1, FILTER_INVALID, 1])]
    assert client.reasons == ["topic filter 'a/#/b': '#' must be the last level [MQTT-4.7.1-1]"]
    engine.client("pub").publishes("a", b"x").publishes("b", b"y")
    assert client.payloads == [b"x", b"y"]


@mqtt("MQTT-4.8.0-1", v3=True)
@edge("K3")
def test_before_v5_a_bad_filter_ends_the_connection(engine: World) -> None:
    client = engine.client("c", version=4).sends(Subscribe(1, [Request("a"), Request("a/#/b")]))
    assert client.got == []
    assert not client.is_connected


# No Local


@mqtt("MQTT-3.8.3-3")
@every_qos
def test_no_local_keeps_a_clients_own_messages_from_it(world: World, qos: int) -> None:
    client = world.client("c").subscribes("a", qos=2, no_local=True)
    other = world.client("d").subscribes("a", qos=2, no_local=True)
    client.publishes("a", b"mine", qos)
    other.publishes("a", b"another's", qos)
    assert client.payloads == [b"another's"]
    assert other.payloads == [b"mine"]


@mqtt("MQTT-3.8.3-3")
def test_no_local_goes_by_the_client_id(world: World) -> None:
    client = world.client("c", session_expiry=60).subscribes("a", no_local=True).drops().returns()
    client.publishes("a", b"mine")
    world.client("d").publishes("a", b"another's")
    assert client.payloads == [b"another's"]


@each_version
def test_without_no_local_a_client_hears_itself(world: World, version: int) -> None:
    client = world.client("c", version=version).subscribes("a").publishes("a", b"mine")
    assert client.payloads == [b"mine"]


@mqtt("MQTT-3.8.3-4")
def test_no_local_on_a_shared_subscription_is_a_protocol_error(world: World) -> None:
    client = world.client("c").sends(Subscribe(1, [Request("$share/g/a", no_local=True)]))
    assert ends(client, PROTOCOL_ERROR)


# When it begins, and what comes in its place


@edge("S9")
@each_version
def test_a_subscription_is_there_for_the_next_packet(world: World, version: int) -> None:
    client = world.client("c", version=version).sends(Subscribe(1, [Request("a")]), Publish("a", b"x"))
    assert sorted(map(repr, client.got)) == sorted(map(repr, [SubAck(1, [0]), Publish("a", b"x")]))


@edge("S9")
def test_a_subscription_works_before_its_suback_has_left(engine: World) -> None:
    sub = engine.client("sub").freezes().sends(Subscribe(1, [Request("a")]))
    engine.client("pub").publishes("a", b"x")
    assert sub.thaws().got == [SubAck(1, [0]), Publish("a", b"x")]


@mqtt("MQTT-3.8.4-3")
@mqtt("MQTT-3.8.4-3", v3=True)
@each_version
@pytest.mark.parametrize("topic_filter", ["a/b", "a/+", "a/#"])
def test_the_same_filter_replaces_a_subscription(world: World, version: int, topic_filter: str) -> None:
    sub = world.client("sub", version=version).subscribes(topic_filter, qos=2).subscribes(topic_filter, qos=0)
    world.client("pub").publishes("a/b", b"x", qos=2)
    assert sub.takes() == [Publish("a/b", b"x")]
    sub.unsubscribes(topic_filter)
    world.client("pub2").publishes("a/b", b"y", qos=2)
    assert sub.takes() == []


@mqtt("MQTT-3.8.4-3")
def test_replacing_replaces_every_option(world: World) -> None:
    client = world.client("c").subscribes("a", qos=2, no_local=True, retain_as_published=True, identifier=5)
    client.subscribes("a").publishes("a", b"x", retain=True)
    assert client.takes() == [Publish("a", b"x")]
    client.subscribes("a", qos=1, retain_as_published=True, retain_handling=2, identifier=6)
    client.publishes("a", b"y", qos=1, retain=True)
    (message,) = client.messages
    assert (message.qos, message.retain) == (1, True)
    assert message.properties == Properties(subscription_identifiers=(6,))


@mqtt("MQTT-3.8.4-4")
@mqtt("MQTT-3.8.4-3", v3=True)
@each_version
def test_replacing_sends_retained_messages_again(world: World, version: int) -> None:
    world.client("pub").publishes("a/b", b"x", retain=True)
    sub = world.client("sub", version=version).subscribes("a/#")
    assert sub.takes() == [Publish("a/b", b"x", retain=True)]
    sub.subscribes("a/#")
    assert sub.takes() == [Publish("a/b", b"x", retain=True)]


@mqtt("MQTT-3.8.4-4")
@mqtt("MQTT-3.8.4-3", v3=True)
@each_version
def test_replacing_loses_nothing_that_is_on_its_way(world: World, version: int) -> None:
    sub = world.client("sub", version=version, acknowledges=False).subscribes("a", qos=1)
    pub = world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    sub.subscribes("a", qos=1)
    pub.publishes("a", b"3", qos=1)
    assert sub.payloads == [b"1", b"2", b"3"]


@mqtt("MQTT-3.8.4-4")
def test_replacing_loses_nothing_that_waits(world: World) -> None:
    sub = world.client("sub", receive_maximum=1, acknowledges=False).subscribes("a", qos=1)
    pub = world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    sub.subscribes("a", qos=1)
    pub.publishes("a", b"3", qos=1)
    for _ in range(3):
        sub.sends(PubAck(sub.messages[-1].packet_id))
    assert sub.payloads == [b"1", b"2", b"3"]


@mqtt("MQTT-3.8.4-4")
def test_replacing_loses_nothing_between_two_publishes_of_one_read(world: World) -> None:
    client = world.client("c").subscribes("a")
    client.sends(Publish("a", b"1"), Subscribe(1, [Request("a", retain_handling=2)]), Publish("a", b"2"))
    assert client.payloads == [b"1", b"2"]


# Several filters


@mqtt("MQTT-3.8.4-5", "MQTT-3.8.4-6")
@mqtt("MQTT-3.8.4-4", "MQTT-3.8.4-5", v3=True)
@each_version
def test_many_filters_are_as_good_as_many_packets(world: World, version: int) -> None:
    sub = world.client("sub", version=version)
    sub.sends(Subscribe(1, [Request("a", 2), Request("b", 1), Request("a", 0), Request("c/#", 2)]))
    assert sub.takes() == [SubAck(1, [2, 1, 0, 2])]
    pub = world.client("pub")
    for topic in ("a", "b", "c/d"):
        pub.publishes(topic, b"x", qos=2)
    assert [(message.topic, message.qos) for message in sub.messages] == [("a", 0), ("b", 1), ("c/d", 2)]


@mqtt("MQTT-3.8.4-5")
@mqtt("MQTT-3.8.4-4", v3=True)
@each_version
def test_each_of_many_filters_gets_its_retained_messages(world: World, version: int) -> None:
    world.client("pub").publishes("a/b", b"x", retain=True).publishes("a/c", b"y", retain=True)
    together = world.client("c", version=version).subscribes("a/b", "a/+", "a/c")
    apart = world.client("d", version=version).subscribes("a/b").subscribes("a/+").subscribes("a/c")
    assert sorted(together.topics) == sorted(apart.topics) == ["a/b", "a/b", "a/c", "a/c"]


@mqtt("MQTT-3.8.4-5")
@mqtt("MQTT-3.8.4-4", v3=True)
@each_version
def test_a_subscribe_may_have_hundreds_of_filters(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes(*[f"many/{number}" for number in range(300)])
    pub = world.client("pub").publishes("many/0", b"first").publishes("many/299", b"last").publishes("many/300")
    assert pub.is_connected
    assert sub.payloads == [b"first", b"last"]


# QoS


@mqtt("MQTT-3.8.4-8")
@mqtt("MQTT-3.8.4-6", v3=True)
@each_version
@every_qos
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_message_comes_at_the_lower_qos(world: World, version: int, qos: int, granted: int) -> None:
    sub = world.client("sub", version=version).subscribes("a", qos=granted)
    world.client("pub").publishes("a", b"x", qos)
    assert [(message.payload, message.qos) for message in sub.messages] == [(b"x", min(qos, granted))]


@mqtt("MQTT-3.8.4-8")
@mqtt("MQTT-3.8.4-6", v3=True)
@each_version
@every_qos
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_so_does_a_retained_message(world: World, version: int, qos: int, granted: int) -> None:
    world.client("pub").publishes("a", b"x", qos, retain=True)
    sub = world.client("sub", version=version).subscribes("a", qos=granted)
    assert [(message.payload, message.qos) for message in sub.messages] == [(b"x", min(qos, granted))]


@mqtt("MQTT-3.8.4-7", "MQTT-3.8.4-8")
@mqtt("MQTT-3.8.4-5", "MQTT-3.8.4-6", v3=True)
@each_version
@pytest.mark.parametrize("maximum_qos", [0, 1])
def test_a_broker_may_grant_less_and_says_so(make_world: MakeWorld, version: int, maximum_qos: int) -> None:
    world = make_world(Options(maximum_qos=maximum_qos))
    sub = world.client("sub", version=version).sends(Subscribe(1, [Request("a", 0), Request("b", 1), Request("c", 2)]))
    assert sub.takes() == [SubAck(1, [0, maximum_qos, maximum_qos])]
    world.client("pub").publishes("c", b"x", maximum_qos)
    assert [message.qos for message in sub.messages] == [maximum_qos]


# What a broker does not offer


@mqtt("MQTT-4.13.1-1")
@pytest.mark.parametrize(
    ("options", "topic_filter", "identifier", "reason_code"),
    [
        pytest.param(Options(wildcard_subscription_available=False), "a/+", 0, 0xA2, id="+"),
        pytest.param(Options(wildcard_subscription_available=False), "#", 0, 0xA2, id="#"),
        pytest.param(Options(wildcard_subscription_available=False), "$share/g/#", 0, 0xA2, id="shared #"),
        pytest.param(Options(shared_subscription_available=False), "$share/g/a", 0, 0x9E, id="shared"),
        pytest.param(Options(subscription_identifier_available=False), "a", 1, 0xA1, id="identifier"),
    ],
)
def test_a_client_may_not_ask_for_what_connack_denied(
    make_world: MakeWorld, options: Options, topic_filter: str, identifier: int, reason_code: int
) -> None:
    # Sections 3.2.2.3.11 to 3.2.2.3.13: it is a protocol error, with a code of its own.
    client = make_world(options).client("c").subscribes("a")
    properties = Properties(subscription_identifiers=(identifier,)) if identifier else None
    client.sends(Subscribe(1, [Request(topic_filter)], properties))
    assert client.got == [Disconnect(reason_code)]
    assert not client.is_connected


# v3 [MQTT-3.8.3-2]: a server that supports no wildcards refuses filters with them.
@mqtt("MQTT-3.9.3-2", v3=True)
@pytest.mark.parametrize(
    ("options", "topic_filter"),
    [
        (Options(wildcard_subscription_available=False), "a/#"),
        (Options(wildcard_subscription_available=False), "+"),
        (Options(shared_subscription_available=False), "$share/g/a"),
    ],
    ids=["#", "+", "shared"],
)
def test_before_v5_what_is_not_offered_is_refused(make_world: MakeWorld, options: Options, topic_filter: str) -> None:
    world = make_world(options)
    client = world.client("c", version=4).sends(Subscribe(1, [Request("a"), Request(topic_filter, 1)]))
    assert client.takes() == [SubAck(1, [0, 0x80])]
    world.client("pub").publishes("a", b"x").publishes("a/b", b"y")
    assert client.payloads == [b"x"]


# Retained messages


@mqtt("MQTT-3.3.1-9")
@edge("R3")
def test_retain_handling_0_sends_retained_messages_each_time(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub")
    for _ in range(3):
        assert sub.subscribes("a", retain_handling=0).takes() == [Publish("a", b"x", retain=True)]


@mqtt("MQTT-3.3.1-10")
@edge("R3")
def test_retain_handling_1_sends_them_when_the_subscription_is_new(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("a", retain_handling=1)
    assert sub.takes() == [Publish("a", b"x", retain=True)]
    assert sub.subscribes("a", retain_handling=1).takes() == []
    assert sub.subscribes("a", qos=1, retain_handling=1, identifier=1).takes() == []
    assert sub.subscribes("#", retain_handling=1).takes() == [Publish("a", b"x", retain=True)]


@mqtt("MQTT-3.3.1-10")
@edge("R3")
def test_retain_handling_1_sends_them_again_after_unsubscribe(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("a", retain_handling=1)
    sub.unsubscribes("a").takes()
    assert sub.subscribes("a", retain_handling=1).takes() == [Publish("a", b"x", retain=True)]


@mqtt("MQTT-3.3.1-10")
@edge("R3")
def test_retain_handling_1_remembers_the_subscriptions_of_a_session(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub", session_expiry=60).subscribes("a", retain_handling=1)
    assert sub.takes() == [Publish("a", b"x", retain=True)]
    sub = sub.drops().returns().subscribes("a", retain_handling=1)
    assert sub.takes() == []


@mqtt("MQTT-3.3.1-11")
@edge("R3")
def test_retain_handling_2_sends_none(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("a", retain_handling=2)
    assert sub.takes() == []
    assert sub.unsubscribes("a").subscribes("a", retain_handling=2).takes() == []
    world.client("pub").publishes("a", b"y")
    assert sub.payloads == [b"y"]


@edge("R3")
def test_retain_handling_is_each_filters_own(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True).publishes("b", b"y", retain=True)
    sub = world.client("sub").sends(Subscribe(1, [Request("a", retain_handling=2), Request("b", retain_handling=0)]))
    assert sub.takes() == [SubAck(1, [0, 0]), Publish("b", b"y", retain=True)]


@mqtt("MQTT-3.3.4-3")
@edge("R3")
def test_retained_messages_carry_the_subscription_identifier(world: World) -> None:
    world.client("pub").publishes("a/b", b"x", retain=True)
    sub = world.client("sub").subscribes("a/#", identifier=1).subscribes("a/b", identifier=268_435_455)
    identifiers = [message.properties and message.properties.subscription_identifiers for message in sub.messages]
    assert identifiers == [(1,), (268_435_455,)]
    sub.takes()
    assert sub.subscribes("a/b").takes() == [Publish("a/b", b"x", retain=True)]


@edge("R3", "H1")
@pytest.mark.parametrize("retain_handling", [0, 1, 2])
def test_a_shared_subscription_gets_no_retained_messages(world: World, retain_handling: int) -> None:
    # Section 4.8.2
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("$share/g/a", "$share/g/#", retain_handling=retain_handling)
    sub.subscribes("$share/g/a", retain_handling=retain_handling)
    assert sub.takes() == []


@edge("T4")
@each_version
def test_a_connection_that_is_taken_over_brings_no_retained_messages(world: World, version: int) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub", **keeping(version)).subscribes("a")
    assert sub.payloads == [b"x"]
    again = sub.returns()
    assert again.session_present
    assert not sub.is_connected
    assert again.got == []
    assert again.drops().returns().got == []


# Names that begin with $


@mqtt("MQTT-4.7.2-1")
@edge("K1")
@each_version
@pytest.mark.parametrize(
    "topic_filter", ["#", "+", "+/#", "+/x", "+/+", "/#", "$share/g/#", "$share/g/+/#", "$share/g/+/x", "$share/g/+"]
)
def test_a_wildcard_in_front_matches_no_name_with_a_dollar(world: World, version: int, topic_filter: str) -> None:
    # `$share/g/+` and `+` match `$tele`, were it not for the dollar.
    sub = world.client("sub", version=version).subscribes(topic_filter)
    pub = world.client("pub")
    for topic in ("$tele", "$tele/x"):
        pub.publishes(topic, b"x", qos=1)
    assert sub.got == []


# A broker should keep clients from publishing such names (section 4.7.2); these two are about those that do not.


@edge("K1")
@each_version
def test_a_filter_that_says_the_dollar_matches_and_does_not_disturb_the_others(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("#", "$tele/#")
    world.client("pub").publishes("$tele/x", b"1").publishes("a/x", b"2").publishes("$tele", b"3")
    assert sorted(sub.topics) == ["$tele", "$tele/x", "a/x"]


@edge("K1")
@each_version
def test_so_does_a_shared_filter(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("$share/g/#", "$share/g/$tele/#")
    world.client("pub").publishes("$tele/x", b"1").publishes("a/x", b"2").publishes("$tele", b"3")
    assert sorted(sub.topics) == ["$tele", "$tele/x", "a/x"]


@edge("K1")
@each_version
def test_retained_messages_under_a_dollar_come_to_those_who_say_it(world: World, version: int) -> None:
    world.client("pub").publishes("$tele/x", b"1", retain=True).publishes("a/x", b"2", retain=True)
    sub = world.client("sub", version=version).subscribes("#", "+/#", "+/x")
    assert set(sub.topics) == {"a/x"}
    sub.takes()
    assert sub.subscribes("$tele/+").topics == ["$tele/x"]


@edge("K1")
@pytest.mark.parametrize("topic_filter", ["#", "+", "+/#", "+/broker/#", "$share/g/#", "$share/g/+/#"])
def test_what_the_broker_says_of_itself_is_for_those_who_name_it(engine: World, topic_filter: str) -> None:
    sub = engine.client("sub").subscribes(topic_filter)
    both = engine.client("both").subscribes("#", "$SYS/#")
    engine.publishes(Message("$SYS/broker/uptime", b"1 seconds", retain=True))
    assert sub.got == []
    assert both.payloads == [b"1 seconds"]
    assert engine.client("late").subscribes("+/#", "#").got == []
    assert engine.client("later").subscribes("$SYS/#").payloads == [b"1 seconds"]


# Shared subscriptions; whom they deliver to is shown in ``test_4_08_subscriptions.py``


@mqtt("MQTT-4.8.2-1", "MQTT-4.8.2-2")
@edge("H1")
@pytest.mark.parametrize(
    "topic_filter",
    ["$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g#/a", "$share/#", "$share/g/a/#/b"],
)
def test_a_shared_filter_needs_a_group_and_a_filter(world: World, topic_filter: str) -> None:
    client = world.client("c").sends(Subscribe(1, [Request(topic_filter)]))
    assert client.got == [SubAck(1, [FILTER_INVALID])] or ends(client, MALFORMED, PROTOCOL_ERROR, FILTER_INVALID)


@mqtt("MQTT-4.8.2-1")
@edge("H1")
@pytest.mark.parametrize("topic_filter", ["share/g/a", "$SHARE/g/a"])
def test_only_share_is_shared(world: World, topic_filter: str) -> None:
    one, other = world.client("c").subscribes(topic_filter), world.client("d").subscribes(topic_filter)
    world.client("pub").publishes(topic_filter, b"x")
    assert (one.payloads, other.payloads) == ([b"x"], [b"x"])


@mqtt("MQTT-4.8.2-1")
@edge("H1")
@pytest.mark.parametrize("topic_filter", ["$shared/g/a", "$sharex"])
def test_what_only_begins_like_share_is_a_topic_like_others(engine: World, topic_filter: str) -> None:
    one, other = engine.client("c").subscribes(topic_filter), engine.client("d").subscribes(topic_filter)
    engine.client("pub").publishes(topic_filter, b"x")
    assert (one.payloads, other.payloads) == ([b"x"], [b"x"])


@edge("H1")
def test_a_member_that_subscribes_again_gets_nothing_twice(world: World) -> None:
    one = world.client("c").subscribes("$share/g/a", qos=2)
    other = world.client("d").subscribes("$share/g/a", qos=2)
    one.subscribes("$share/g/a", qos=1).subscribes("$share/g/a", qos=1)
    pub = world.client("pub")
    for number in range(10):
        pub.publishes("a", b"%d" % number, qos=2)
    assert sorted(one.payloads + other.payloads) == [b"%d" % number for number in range(10)]
    assert {message.qos for message in one.messages} == {1}
    assert {message.qos for message in other.messages} == {2}
