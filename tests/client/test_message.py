"""Message and Will: a PUBLISH as its subscriber sees it, and what CONNECT carries of a will."""

import sys
from dataclasses import dataclass
from typing import Any

import pytest

from telex.client.message import Message
from telex.client.payloads import Codecs, JsonCodec, PayloadError
from telex.client.will import Will
from telex.codes import MQTT_3_1_1, MQTT_5
from telex.wire import packets
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import Connect, Publish
from telex.wire.properties import Properties


@dataclass
class Reading:
    celsius: float


def message(payload: bytes = b"", topic: str = "t", **properties: Any) -> Message:
    return Message(Publish(topic, payload, properties=Properties(**properties) if properties else None))


def test_a_message_has_what_its_packet_has() -> None:
    properties = Properties(
        content_type="text/plain",
        response_topic="r",
        correlation_data=b"c",
        message_expiry_interval=5,
        payload_format_indicator=1,
        user_properties=(("a", "1"), ("a", "2")),
        subscription_identifiers=(3, 4),
    )
    got = Message(Publish("a/b", b"24.2", 2, True, True, 7, properties))
    assert (got.topic, got.payload, got.qos, got.retain, got.dup, got.packet_id) == ("a/b", b"24.2", 2, True, True, 7)
    assert got.properties is properties
    assert (got.content_type, got.response_topic, got.correlation_data) == ("text/plain", "r", b"c")
    assert (got.message_expiry_interval, got.payload_format_indicator) == (5, 1)
    assert got.user_properties == (("a", "1"), ("a", "2"))
    assert got.subscription_identifiers == (3, 4)


def test_a_message_without_properties_says_nothing_besides() -> None:
    got = Message(Publish("a/b"))
    assert got.properties is None
    for name in (
        "content_type",
        "response_topic",
        "correlation_data",
        "message_expiry_interval",
        "payload_format_indicator",
    ):
        assert getattr(got, name) is None
    assert got.user_properties == ()
    assert got.subscription_identifiers == ()


def test_a_message_is_one_small_object() -> None:
    got = message(b"x")
    assert not hasattr(got, "__dict__")
    assert sys.getsizeof(got) <= 64


def test_a_message_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        message(b"x").topic = "other"  # type: ignore[misc]


def test_text_is_the_payload_in_utf_8() -> None:
    assert message("grün".encode()).text == "grün"
    with pytest.raises(PayloadError, match=r"topic 'a/b': the payload is b'\\xff', expected text in UTF-8"):
        _ = message(b"\xff", "a/b").text


def test_json_is_read_whatever_the_content_type() -> None:
    assert message(b'{"a": [1]}').json() == {"a": [1]}
    assert message(b"[1]", content_type="text/plain").json() == [1]
    assert message(b"").json() is None
    with pytest.raises(PayloadError, match="topic 't': the payload is b'ON'"):
        message(b"ON").json()


def test_json_is_read_by_the_clients_own_codec() -> None:
    class Own(JsonCodec):
        def decode(self, payload: bytes, type: type[Any]) -> Any:
            return "own"

    got = Message(Publish("t", b"{}"), Codecs([Own()]))
    assert got.json() == "own"
    assert got.decode(list[int]) == "own"


def test_decode_goes_by_the_content_type() -> None:
    assert message(b'{"celsius": 24.2}').decode(Reading) == Reading(24.2)
    assert message(b"\x81\xa7celsius\x18", content_type="application/msgpack").decode(Reading) == Reading(24)
    assert message(b"24.2").decode(float) == 24.2
    assert message(b"\xff").decode(bytes) == b"\xff"
    with pytest.raises(PayloadError, match="there is no codec"):
        message(b"x", content_type="application/cbor").decode(Reading)


def test_ack_acknowledges_once() -> None:
    acknowledged: list[Publish] = []
    packet = Publish("t", b"x", 1, packet_id=5)
    got = Message(packet, acknowledge=acknowledged.append)
    got.ack()
    got.ack()
    assert acknowledged == [packet]


def test_ack_that_failed_can_be_tried_again() -> None:
    attempts = []

    def fails_first(packet: Publish) -> None:
        attempts.append(packet)
        if len(attempts) == 1:
            raise ConnectionError

    got = Message(Publish("t", b"x", 1, packet_id=5), acknowledge=fails_first)
    with pytest.raises(ConnectionError):
        got.ack()
    got.ack()
    got.ack()
    assert len(attempts) == 2


def test_ack_is_refused_where_the_subscription_acknowledges_by_itself() -> None:
    with pytest.raises(ValueError, match=r"topic 't': the subscription acknowledges by itself; .*manual_ack=True"):
        message(b"x").ack()


@pytest.mark.parametrize(
    ("packet", "shown"),
    [
        (Publish("a/b", b"24.2"), "Message('a/b', b'24.2')"),
        (Publish("a/b", b"x", 1, True, True, 7), "Message('a/b', b'x', qos=1, retain=True, dup=True)"),
        (Publish("a", bytes(9999)), "Message('a', b'" + "\\x00" * 60 + "'... (9,999 bytes))"),
        (Publish("a" * 1000, b""), "Message('" + "a" * 80 + "'..., b'')"),
    ],
)
def test_a_message_is_shown_in_a_line(packet: Publish, shown: str) -> None:
    assert repr(Message(packet)) == shown


# --- Wills ---


def sent(will: Will, version: int) -> packets.Will | None:
    """The will as the broker reads it."""
    decoder = Decoder(version=version)
    decoder.receive(encode(Connect("c", version=version, will=will.packet()), version))
    connect = decoder.next_packet()
    assert isinstance(connect, Connect)
    return connect.will


def test_a_will_says_what_people_said() -> None:
    will = Will(
        "a/b",
        "gone",
        qos=1,
        retain=True,
        will_delay_interval=5,
        message_expiry_interval=60,
        content_type="text/plain",
        response_topic="r",
        correlation_data=b"c",
        payload_format_indicator=1,
        user_properties={"a": "1"},
    )
    properties = Properties(
        will_delay_interval=5,
        message_expiry_interval=60,
        content_type="text/plain",
        response_topic="r",
        correlation_data=b"c",
        payload_format_indicator=1,
        user_properties=(("a", "1"),),
    )
    expected = packets.Will("a/b", b"gone", qos=1, retain=True, properties=properties)
    assert will.packet() == expected
    assert sent(will, MQTT_5) == expected
    assert sent(will, MQTT_3_1_1) == packets.Will("a/b", b"gone", qos=1, retain=True)


def test_a_will_without_properties_has_none() -> None:
    assert Will("a").packet() == packets.Will("a", b"")


def test_a_wills_payload_is_encoded_as_any_other() -> None:
    will = Will("a", {"online": False})
    assert will.packet() == packets.Will(
        "a", b'{"online":false}', properties=Properties(content_type="application/json")
    )
    assert will.properties.content_type is None  # of the will itself nothing has changed
    with pytest.raises(PayloadError, match="topic 'a': a payload of type object cannot be encoded"):
        Will("a", object()).packet()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"topic": "a/#"}, "'#' are for filters only"),
        ({"topic": ""}, "empty"),
        ({"topic": "a", "qos": 3}, "will on topic 'a': QoS is 3, expected 0, 1 or 2"),
        ({"topic": "a", "will_delay_interval": -1}, "will_delay_interval may not be -1"),
        ({"topic": "a", "message_expiry_interval": 2**32}, "message_expiry_interval may not be 4294967296"),
        ({"topic": "a", "payload_format_indicator": 2}, "payload_format_indicator may not be 2"),
        ({"topic": "a", "response_topic": "r/+"}, "filters only"),
        ({"topic": "a", "user_properties": {"a": 1}}, "pairs of str"),
    ],
    ids=repr,
)
def test_a_will_that_cannot_be_is_refused_when_it_is_made(options: dict[str, Any], text: str) -> None:
    with pytest.raises((ValueError, TypeError), match=text):
        Will(**options)


def test_a_will_is_shown_without_its_payload() -> None:
    assert repr(Will("a", "secret", qos=1)) == "Will('a', qos=1, retain=False)"
