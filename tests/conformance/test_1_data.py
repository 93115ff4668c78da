"""Data representation: UTF-8 strings, string pairs and variable byte integers (section 1.5; v3 section 1.5.3)."""

from collections.abc import Callable

import pytest

from telex.wire.packets import Disconnect, Publish, Will
from telex.wire.properties import Properties
from tests.conformance.marks import each_version, edge, mqtt
from tests.engine.world import World

Place = Callable[[int, bytes], bytes]
"""A packet of a version, with these bytes in one of its strings."""

ILL_FORMED = {
    "a byte that goes on from nothing": b"a\x80",
    "two bytes of three": b"\xe2\x82",
    "a first byte without a second": b"\xc3a",
    "an overlong slash": b"\xc0\xaf",
    "an overlong slash of three bytes": b"\xe0\x80\xaf",
    "the first surrogate": b"\xed\xa0\x80",
    "the last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\x81\xed\xb0\x80",
    "beyond the last code point": b"\xf4\x90\x80\x80",
    "a first byte of five": b"\xf8\x88\x80\x80\x80",
    "a byte that never is": b"\xff",
}
NULL = b"a\x00b"
BOM = b"\xef\xbb\xbf"
UNUSUAL = {
    "the example of the text": "A\U0002a6d4",  # section 1.5.4
    "two bytes": "\u00e9\u0436",
    "three bytes": "\u20ac\ud7ff\ue000",
    "the last code point": "\U0010fffd",
}


def packet(first: int, *parts: bytes) -> bytes:
    """A packet of less than 128 bytes after its fixed header."""
    body = b"".join(parts)
    assert len(body) < 0x80
    return bytes([first, len(body)]) + body


def string(encoded: bytes) -> bytes:
    return len(encoded).to_bytes(2, "big") + encoded


def properties(version: int, said: bytes = b"") -> bytes:
    return bytes([len(said)]) + said if version == 5 else b""


def connect(version: int, flags: int, *payload: bytes, said: bytes = b"") -> bytes:
    """A CONNECT with a keep alive of 0."""
    return packet(0x10, b"\x00\x04MQTT", bytes([version, flags, 0, 0]), properties(version, said), *payload)


def will_of(version: int, said: bytes, topic: bytes = b"w") -> bytes:
    """A CONNECT with a will that has these properties."""
    return connect(version, 0x06, string(b"c"), properties(version, said), string(topic), string(b"x"))


def publish(version: int, topic: bytes, said: bytes = b"") -> bytes:
    return packet(0x30, string(topic), properties(version, said), b"x")


IN_CONNECT: dict[str, Place] = {
    "client id": lambda version, text: connect(version, 0x02, string(text)),
    "will topic": lambda version, text: will_of(version, b"", text),
    "user name": lambda version, text: connect(version, 0x82, string(b"c"), string(text)),
}
IN_CONNECT_5: dict[str, Place] = {
    "authentication method": lambda version, text: connect(version, 0x02, string(b"c"), said=b"\x15" + string(text)),
    "will's content type": lambda version, text: will_of(version, b"\x03" + string(text)),
    "will's response topic": lambda version, text: will_of(version, b"\x08" + string(text)),
}
PAIRS_IN_CONNECT: dict[str, Place] = {
    "name": lambda version, text: connect(version, 2, string(b"c"), said=b"\x26" + string(text) + string(b"v")),
    "value": lambda version, text: connect(version, 2, string(b"c"), said=b"\x26" + string(b"n") + string(text)),
    "will's name": lambda version, text: will_of(version, b"\x26" + string(text) + string(b"v")),
    "will's value": lambda version, text: will_of(version, b"\x26" + string(b"n") + string(text)),
}
LATER: dict[str, Place] = {
    "topic": publish,
    "filter": lambda version, text: packet(0x82, b"\x00\x07", properties(version), string(text), b"\x00"),
    "filter to drop": lambda version, text: packet(0xA2, b"\x00\x07", properties(version), string(text)),
}
LATER_5: dict[str, Place] = {
    "content type": lambda version, text: publish(version, b"a", b"\x03" + string(text)),
    "response topic": lambda version, text: publish(version, b"a", b"\x08" + string(text)),
    "reason string": lambda version, text: packet(0x40, b"\x00\x07\x00", properties(version, b"\x1f" + string(text))),
}
PAIRS_LATER: dict[str, Place] = {
    "name": lambda version, text: publish(version, b"a", b"\x26" + string(text) + string(b"v")),
    "value": lambda version, text: publish(version, b"a", b"\x26" + string(b"n") + string(text)),
}


def each_of(table: dict[str, Place]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("place", table.values(), ids=table.keys())


def assert_turned_away(world: World, data: bytes, version: int) -> None:
    """A CONNECT of these bytes does not get in; in v5 the broker may say why (section 4.13)."""
    client = world.stranger(version=version).sends_bytes(data)
    assert not client.is_connected, f"{data.hex()} was let in"
    if client.connack is not None:
        assert version == 5
        assert client.connack.reason_code in (0x81, 0x82, 0x84, 0x85, 0x86, 0x8C, 0x90)


def assert_cut_off(world: World, data: bytes, version: int) -> None:
    """Whoever sends these bytes is disconnected, and they reach nobody."""
    watcher = world.client("watcher").subscribes("#")
    client = world.client("c", version=version).sends_bytes(data)
    assert not client.is_connected, f"after {data.hex()}"
    assert client.got in ([], [Disconnect(0x81)], [Disconnect(0x82)])  # it SHOULD say so, section 4.13.1
    assert watcher.got == []


# Ill-formed text


@edge("K4")
@mqtt("MQTT-1.5.4-1")
@mqtt("MQTT-1.4.0-1", v3=True)
@each_of(IN_CONNECT)
@each_version
def test_a_connect_with_ill_formed_text_is_turned_away(world: World, version: int, place: Place) -> None:
    for text in ILL_FORMED.values():
        assert_turned_away(world, place(version, text), version)


@edge("K4")
@mqtt("MQTT-1.5.4-1")
@each_of(IN_CONNECT_5)
def test_a_connect_with_ill_formed_text_in_its_properties_is_turned_away(world: World, place: Place) -> None:
    for text in ILL_FORMED.values():
        assert_turned_away(world, place(5, text), 5)


@edge("K4")
@mqtt("MQTT-1.5.4-1")
@mqtt("MQTT-1.4.0-1", v3=True)
@each_of(LATER)
@each_version
def test_ill_formed_text_ends_the_connection(world: World, version: int, place: Place) -> None:
    for text in ILL_FORMED.values():
        assert_cut_off(world, place(version, text), version)


@edge("K4")
@mqtt("MQTT-1.5.4-1")
@each_of(LATER_5)
def test_ill_formed_text_in_properties_ends_the_connection(world: World, place: Place) -> None:
    for text in ILL_FORMED.values():
        assert_cut_off(world, place(5, text), 5)


@mqtt("MQTT-1.5.4-1")
def test_the_same_characters_in_the_right_bytes_pass(world: World) -> None:
    for place in (*IN_CONNECT.values(), *PAIRS_IN_CONNECT.values()):
        assert world.stranger().sends_bytes(place(5, "\u00e9".encode())).is_connected
    for place in (*LATER.values(), *LATER_5.values(), *PAIRS_LATER.values()):
        assert world.client("c").sends_bytes(place(5, "\u00e9".encode())).is_connected


@mqtt("MQTT-1.5.4-1")
@mqtt("MQTT-1.4.0-1", v3=True)
@pytest.mark.parametrize("text", UNUSUAL.values(), ids=UNUSUAL.keys())
@each_version
def test_any_character_may_be_in_a_topic(world: World, version: int, text: str) -> None:
    sub = world.client("sub", version=version).subscribes(text)
    world.client("pub", version=version).publishes(text, b"x")
    assert sub.topics == [text]


# U+0000


@edge("K4")
@mqtt("MQTT-1.5.4-2")
@mqtt("MQTT-1.4.0-2", v3=True)
@each_of(IN_CONNECT)
@each_version
def test_a_connect_with_a_null_character_is_turned_away(world: World, version: int, place: Place) -> None:
    for text in (NULL, b"\x00", b"\xc0\x80"):  # the last is a null in too many bytes
        assert_turned_away(world, place(version, text), version)


@edge("K4")
@mqtt("MQTT-1.5.4-2")
@each_of(IN_CONNECT_5)
def test_a_connect_with_a_null_character_in_its_properties_is_turned_away(world: World, place: Place) -> None:
    assert_turned_away(world, place(5, NULL), 5)


@edge("K4")
@mqtt("MQTT-1.5.4-2")
@mqtt("MQTT-1.4.0-2", v3=True)
@each_of(LATER)
@each_version
def test_a_null_character_ends_the_connection(world: World, version: int, place: Place) -> None:
    for text in (NULL, b"\x00", b"\xc0\x80"):
        assert_cut_off(world, place(version, text), version)


@edge("K4")
@mqtt("MQTT-1.5.4-2")
@each_of(LATER_5)
def test_a_null_character_in_properties_ends_the_connection(world: World, place: Place) -> None:
    assert_cut_off(world, place(5, NULL), 5)


def test_payloads_and_passwords_are_no_text(world: World) -> None:  # section 1.5.6
    sub = world.client("sub").subscribes("a")
    pub = world.client("pub", user_name="u", password=b"\x00\xff")
    said = Properties(correlation_data=b"\x00\xff")
    pub.publishes("a", b"\x00\xff", properties=said)
    assert sub.got == [Publish("a", b"\x00\xff", properties=said)]


def test_the_sender_of_ill_formed_text_is_told_that_the_packet_is_malformed(engine: World) -> None:  # section 1.5.4
    for place in (*IN_CONNECT.values(), *IN_CONNECT_5.values(), *PAIRS_IN_CONNECT.values()):
        for text in (*ILL_FORMED.values(), NULL):
            connack = engine.stranger().sends_bytes(place(5, text)).connack
            assert connack is not None
            assert connack.reason_code == 0x81
    for place in (*LATER.values(), *LATER_5.values(), *PAIRS_LATER.values()):
        for text in (*ILL_FORMED.values(), NULL):
            assert engine.client("c").sends_bytes(place(5, text)).got == [Disconnect(0x81)]


# The byte order mark


@edge("K4")
@mqtt("MQTT-1.5.4-3")
@mqtt("MQTT-1.4.0-3", v3=True)
@each_version
def test_a_byte_order_mark_in_a_topic_stays(world: World, version: int) -> None:
    marked = world.client("marked", version=version).subscribes("\ufeffa")
    bare = world.client("bare", version=version).subscribes("a")
    watcher = world.client("watcher", version=version).subscribes("#")
    world.client("pub", version=version).sends_bytes(publish(version, BOM + b"a"))
    assert marked.topics == ["\ufeffa"]
    assert bare.topics == []
    assert watcher.topics == ["\ufeffa"]
    assert watcher.sizes[-1] == 2 + 2 + 4 + (version == 5) + 1  # all three bytes of it


@mqtt("MQTT-1.5.4-3")
@mqtt("MQTT-1.4.0-3", v3=True)
@each_version
def test_a_byte_order_mark_makes_another_client_id(world: World, version: int) -> None:
    bare = world.client("c", version=version)
    marked = world.stranger(version=version).sends_bytes(connect(version, 0x02, string(BOM + b"c")))
    assert marked.is_connected
    assert bare.is_connected


@mqtt("MQTT-1.5.4-3")
def test_a_byte_order_mark_in_properties_stays(world: World) -> None:
    said = Properties(
        content_type="\ufefftext", response_topic="\ufeffr", user_properties=(("\ufeffn", "v\ufeff"), ("n", "v"))
    )
    sub = world.client("sub").subscribes("a")
    world.client("pub").publishes("a", b"x", properties=said)
    assert sub.got == [Publish("a", b"x", properties=said)]


# Pairs of strings


@edge("K4")
@mqtt("MQTT-1.5.7-1", "MQTT-1.5.4-1", "MQTT-1.5.4-2")
@each_of(PAIRS_IN_CONNECT)
def test_a_connect_with_half_a_user_property_wrong_is_turned_away(world: World, place: Place) -> None:
    for text in (*ILL_FORMED.values(), NULL):
        assert_turned_away(world, place(5, text), 5)


@edge("K4")
@mqtt("MQTT-1.5.7-1", "MQTT-1.5.4-1", "MQTT-1.5.4-2")
@each_of(PAIRS_LATER)
def test_half_a_user_property_wrong_ends_the_connection(world: World, place: Place) -> None:
    for text in (*ILL_FORMED.values(), NULL):
        assert_cut_off(world, place(5, text), 5)


# Variable byte integers


TOO_LONG = {
    "property length of PUBLISH": "30 06 000161 8000 78",
    "property length of SUBSCRIBE": "82 08 0007 8000 000161 00",
    "property length of DISCONNECT": "e0 03 00 8000",
    "subscription identifier": "82 0a 0007 03 0b8100 000161 00",
}


@mqtt("MQTT-1.5.5-1")
@pytest.mark.parametrize("data", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_an_integer_of_more_bytes_than_it_needs_is_malformed(world: World, data: str) -> None:
    watcher = world.client("watcher").subscribes("w")
    client = world.client("c", will=Will("w", b"lost")).sends_bytes(bytes.fromhex(data))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(0x81)])  # it SHOULD say so, section 4.13.1
    assert watcher.payloads == [b"lost"]  # such a DISCONNECT is none, not even to withdraw the will


@mqtt("MQTT-1.5.5-1")
@pytest.mark.parametrize("data", ["c0 8000", "c0 80808000"])
def test_a_remaining_length_of_more_bytes_than_it_needs_is_malformed(world: World, data: str) -> None:
    client = world.client("c").sends_bytes(bytes.fromhex(data))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(0x81)])


@mqtt("MQTT-1.5.5-1")
def test_a_connect_with_a_longer_property_length_than_needed_is_turned_away(world: World) -> None:
    assert_turned_away(world, bytes.fromhex("10 0f 00044d515454 05 02 0000 8000 000163"), 5)


@mqtt("MQTT-1.5.5-1")
def test_a_connect_with_a_longer_remaining_length_than_needed_is_turned_away(world: World) -> None:
    assert_turned_away(world, bytes.fromhex("10 8e00 00044d515454 05 02 0000 00 000163"), 5)


@each_version
def test_an_integer_has_four_bytes_at_most(world: World, version: int) -> None:  # section 1.5.5, v3 section 2.2.3
    client = world.client("c", version=version).sends_bytes(bytes.fromhex("30 ffffffff 7f"))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(0x81)])


@mqtt("MQTT-1.5.5-1")
@pytest.mark.parametrize("remaining", [127, 128, 16_383, 16_384])
@each_version
def test_the_broker_writes_its_lengths_in_as_few_bytes_as_can_be(world: World, version: int, remaining: int) -> None:
    sub = world.client("sub", version=version).subscribes("a")
    payload = bytes(remaining - 3 - (version == 5))
    world.client("pub", version=version).publishes("a", payload)
    assert sub.payloads == [payload]
    assert sub.sizes[-1] == 1 + (1 if remaining < 128 else 2 if remaining < 16_384 else 3) + remaining


@mqtt("MQTT-1.5.5-1")
@pytest.mark.parametrize("number", [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])
def test_the_broker_writes_subscription_identifiers_in_as_few_bytes_as_can_be(world: World, number: int) -> None:
    sub = world.client("sub").subscribes("a", identifier=number)
    world.client("pub").publishes("a", b"x")
    assert sub.got == [Publish("a", b"x", properties=Properties(subscription_identifiers=(number,)))]
    assert sub.sizes[-1] == 2 + 3 + 1 + 1 + (1 + (number > 127) + (number > 16_383) + (number > 2_097_151)) + 1


# Topics that are text, but no topics


@edge("K2")
@pytest.mark.parametrize("topic", [b"", b"#", b"a/#", b"a/+/b", b"+", b"a#"])
@each_version
def test_a_publish_to_a_topic_that_is_none_harms_nobody_else(world: World, version: int, topic: bytes) -> None:
    watcher = world.client("watcher", version=version).subscribes("#")
    client = world.client("c", version=version).sends_bytes(publish(version, topic))
    assert not client.is_connected  # [MQTT-4.7.3-1] [MQTT-3.3.2-2]
    assert client.got in ([], [Disconnect(0x81)], [Disconnect(0x82)], [Disconnect(0x90)])
    assert watcher.got == []
    world.client("pub", version=version).publishes("a/b/c", b"x")
    assert watcher.payloads == [b"x"]


@edge("K2")
@pytest.mark.parametrize("topic", ["$foo", "$", "$foo/bar", "$share/g/a", "$SYS/broker/version"])
@pytest.mark.parametrize("retain", [False, True])
@each_version
def test_a_publish_to_a_dollar_topic_harms_nobody_else(world: World, version: int, retain: bool, topic: str) -> None:
    watcher = world.client("watcher", version=version).subscribes("#")
    world.client("c", version=version).sends(Publish(topic, b"x", retain=retain))
    assert watcher.got == []  # [MQTT-4.7.2-1]
    world.client("pub", version=version).publishes("a/b/c", b"x")
    assert watcher.payloads == [b"x"]


@edge("K2")
@mqtt("MQTT-1.5.4-1")
def test_a_topic_may_fill_all_that_a_string_holds(world: World) -> None:
    topic = "t" * 65_535
    sub = world.client("sub").subscribes("#")
    pub = world.client("pub").publishes(topic, b"x", qos=1)
    assert sub.topics == [topic]
    assert pub.is_connected
