"""Properties by themselves: one order for all of them, and what of a PUBLISH belongs to its message."""

import pytest

from telex import codes
from telex.codes import PropertyId
from telex.wire.data import Reader
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import Publish
from telex.wire.properties import RULES, WILL, Properties, Rule, decode_properties, encode_properties

OWN = Properties(message_expiry_interval=60, topic_alias=3, subscription_identifiers=(1, 300))
KEPT = Properties(
    payload_format_indicator=1,
    content_type="text",
    response_topic="an/answer",
    correlation_data=b"\x00\xff",
    user_properties=(("k", "1"), ("k", "2")),
)


def decoded(written: bytes, packet_type: int = codes.PUBLISH) -> Properties:
    properties = decode_properties(Reader(written, 0, len(written)), packet_type)
    assert properties is not None
    return properties


def told(rule: Rule, number: int) -> object:
    """A value that a property may have, another one for each number."""
    if rule.name == "user_properties":
        return (("k", str(number)),)
    if rule.name == "subscription_identifiers":
        return (number,)
    texts = {RULES[PropertyId.CONTENT_TYPE].kind: str(number), RULES[PropertyId.CORRELATION_DATA].kind: b"%d" % number}
    return texts.get(rule.kind, number)


def test_values_stand_in_the_order_of_the_rules() -> None:
    properties = Properties()
    for number, rule in enumerate(RULES.values()):
        setattr(properties, rule.name, told(rule, number))
    assert properties.values == tuple(told(rule, number) for number, rule in enumerate(RULES.values()))
    assert properties.copy() == properties


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_difference_in_one_of_them_makes_properties_differ(rule: Rule) -> None:
    properties = Properties()
    setattr(properties, rule.name, told(rule, 1))
    assert properties != Properties()
    assert properties.copy() == properties
    assert f"({rule.name}=" in repr(properties)


def test_what_travels_is_kept_as_it_came() -> None:  # [MQTT-3.3.2-17] [MQTT-3.3.2-18]
    listed = encode_properties(KEPT, codes.PUBLISH)[1:]
    properties = decoded(bytes([len(listed)]) + listed)
    assert properties == KEPT
    assert (properties.travelling, properties.has_packets_own) == (listed, False)


@pytest.mark.parametrize(
    "written",
    [
        "02 0000003c 03 0001 74 23 0003 26 0001 6b 0001 76 0b 01",  # first, in the middle, and last
        "03 0001 74 02 0000003c 23 0003 0b 01 26 0001 6b 0001 76",  # in the middle, one behind the other
        "0b 01 0b 02 03 0001 74 26 0001 6b 0001 76 23 0003 02 0000003c",
    ],
)
def test_what_is_the_packets_own_does_not_travel(written: str) -> None:  # [MQTT-3.3.2-6] and section 3.3.2.3.4
    listed = bytes.fromhex(written)
    properties = decoded(bytes([len(listed)]) + listed)
    assert properties.travelling == bytes.fromhex("03 0001 74 26 0001 6b 0001 76")
    assert properties.has_packets_own
    assert (properties.message_expiry_interval, properties.topic_alias) == (60, 3)


def test_of_properties_that_are_the_packets_own_alone_nothing_travels() -> None:
    written = encode_properties(OWN, codes.PUBLISH)
    assert (decoded(written).travelling, decoded(written).has_packets_own) == (b"", True)


def test_other_packets_have_nothing_that_travels_by_itself() -> None:  # a will's delay and expiry are taken off later
    properties = decoded(encode_properties(Properties(will_delay_interval=5, content_type="t"), WILL), WILL)
    assert properties.travelling is None


@pytest.mark.parametrize(
    ("packet", "is_sent_on"),
    [
        (Publish("a", b"x"), True),
        (Publish("a", b"x", properties=KEPT), True),
        (Publish("a", b"x", properties=OWN), False),
        (Publish("a", b"x", properties=Properties(topic_alias=1)), False),
        (Publish("a", b"x", properties=Properties(message_expiry_interval=1)), False),
        (Publish("a", b"x", 1, packet_id=1, properties=KEPT), False),
        (Publish("a", b"x", retain=True, properties=KEPT), False),
    ],
)
def test_a_frame_is_kept_if_others_may_get_it_as_it_is(packet: Publish, is_sent_on: bool) -> None:
    frame = encode(packet, 5)
    decoder = Decoder(version=5)
    decoder.receive(frame)
    read = decoder.next_packet()
    assert isinstance(read, Publish)
    assert read.frame == (frame if is_sent_on else b"")
