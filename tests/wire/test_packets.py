"""Packets by themselves: what they hold if nothing is said, when they are equal, how they look in a log."""

import pytest

from telex.wire.packets import (
    Connect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubscriptionRequest,
    UnsubAck,
    Will,
)
from telex.wire.properties import Properties
from tests.wire.cases import PROPERTIES, Property, said


def test_packets_of_equal_fields_are_equal() -> None:  # chapter 3
    assert Publish("t", b"p", qos=1, packet_id=7) == Publish("t", b"p", qos=1, packet_id=7)
    assert hash(Publish("t", b"p")) == hash(Publish("t", b"p"))
    assert Connect("c", will=Will("w")) == Connect("c", will=Will("w"))


@pytest.mark.parametrize(
    "other",
    [
        Publish("u", b"p", qos=1, packet_id=7),
        Publish("t", b"q", qos=1, packet_id=7),
        Publish("t", b"p", qos=2, packet_id=7),
        Publish("t", b"p", qos=1, packet_id=8),
        Publish("t", b"p", qos=1, packet_id=7, dup=True),
        Publish("t", b"p", qos=1, packet_id=7, retain=True),
        Publish("t", b"p", qos=1, packet_id=7, properties=Properties(topic_alias=1)),
    ],
)
def test_packets_that_differ_in_one_field_are_not_equal(other: Publish) -> None:  # section 3.3
    assert Publish("t", b"p", qos=1, packet_id=7) != other


def test_packets_of_different_types_are_not_equal() -> None:  # table 2-1
    acknowledgements = [PubAck(1), PubRec(1), PubRel(1), PubComp(1)]
    assert all((left == right) is (left is right) for left in acknowledgements for right in acknowledgements)
    assert PingReq() != PingResp()
    assert PingReq() != "PINGREQ"


@pytest.mark.parametrize("row", PROPERTIES, ids=lambda row: row.field)
def test_each_property_counts_when_properties_are_compared(row: Property) -> None:  # table 2-4
    assert said(row, row.value) == said(row, row.value)
    assert said(row, row.value) != Properties()
    assert hash(said(row, row.value)) == hash(said(row, row.value))
    assert Properties() != "no properties"


def test_what_is_not_said_is_as_the_text_wants_it() -> None:  # section 2.2.2
    request = SubscriptionRequest("f")
    assert (request.qos, request.no_local, request.retain_as_published, request.retain_handling) == (0, False, False, 0)
    assert UnsubAck(1).reason_codes == []
    assert (PubAck(1).reason_code, PubAck(1).properties) == (0, None)
    assert all(getattr(Properties(), row.field) in (None, ()) for row in PROPERTIES)


def test_a_log_shows_a_packet_as_it_would_be_made() -> None:  # chapter 3
    assert repr(PubAck(7, 0x87, Properties(reason_string="no"))) == (
        "PubAck(packet_id=7, reason_code=135, properties=Properties(reason_string='no'))"
    )
    assert repr(PingReq()) == "PingReq()"
    assert repr(Properties(topic_alias=1, user_properties=(("k", "v"),))) == (
        "Properties(topic_alias=1, user_properties=(('k', 'v'),))"
    )
