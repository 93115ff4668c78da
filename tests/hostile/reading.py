"""How the tests of this folder run the table: which rows in which versions, and when two answers are the same."""

import pytest

from telex.wire.packets import (
    Acknowledgement,
    ConnAck,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    PubRec,
    PubRel,
    SubAck,
    UnsubAck,
)
from tests.hostile.sequences import Row


def each(rows: list[Row]) -> pytest.MarkDecorator:
    """Run a test with each row in each of its versions."""
    said = [
        pytest.param(row, version, id=f"v{version} {row.state.name}: {row.name}")
        for row in rows
        for version in row.versions
    ]
    return pytest.mark.parametrize(("row", "version"), said)


def bare(packet: Packet) -> Packet:
    """A packet without properties: what a broker says in words, or tells of itself, is not asked here."""
    if isinstance(packet, ConnAck):
        return ConnAck(packet.reason_code, session_present=packet.session_present)
    if isinstance(packet, Disconnect):
        return Disconnect(packet.reason_code)
    if isinstance(packet, SubAck):
        return SubAck(packet.packet_id, packet.reason_codes)
    if isinstance(packet, UnsubAck):
        return UnsubAck(packet.packet_id, packet.reason_codes)
    if isinstance(packet, Acknowledgement):
        for kind in (PubAck, PubRec, PubRel, PubComp):
            if isinstance(packet, kind):
                return kind(packet.packet_id, packet.reason_code)
    return packet
