"""Two laws, tried with whatever Hypothesis thinks of.

What is written is read back the same, however it is cut. Any bytes give packets
or one ProtocolError, nothing else.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.codes import ReasonCode
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import Connect, Packet
from tests.wire.reading import read, single_bytes
from tests.wire.strategies import any_bytes, as_said_in, connects, law, packets, pieces

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5], ids=["v3.1", "v3.1.1", "v5"])
EXPECTING = pytest.mark.parametrize("version", [0, 3, 4, 5], ids=["CONNECT", "v3.1", "v3.1.1", "v5"])


@VERSIONS
@law
@given(data=st.data())
def test_what_is_written_is_read_back(version: int, data: st.DataObject) -> None:  # chapters 2 and 3
    packet = data.draw(packets(version))
    written = encode(packet, version)
    assert read(data.draw(pieces(written)), version) == ([as_said_in(packet, version)], None)


@VERSIONS
@law
@given(data=st.data())
def test_what_comes_while_nobody_asks_for_packets_is_kept(version: int, data: st.DataObject) -> None:  # section 4.2
    said = data.draw(st.lists(packets(version), min_size=2, max_size=4))
    decoder = Decoder(version=version)
    found: list[Packet] = []
    for piece in data.draw(pieces(b"".join(encode(packet, version) for packet in said))):
        decoder.receive(piece)
        for _ in range(data.draw(st.integers(0, 3))):
            packet = decoder.next_packet()
            if packet is not None:
                found.append(packet)
    while (packet := decoder.next_packet()) is not None:
        found.append(packet)
    assert found == [as_said_in(packet, version) for packet in said]
    assert not decoder.is_inside_packet


@VERSIONS
@law
@given(data=st.data())
def test_a_conversation_is_read_back_in_any_pieces(version: int, data: st.DataObject) -> None:  # section 4.2
    said = [data.draw(connects(version)), *data.draw(st.lists(packets(version), max_size=4))]
    written = b"".join(encode(packet, version) for packet in said)
    expected = [as_said_in(packet, version) for packet in said]
    assert read(data.draw(pieces(written)), 0) == (expected, None)


@VERSIONS
@law
@given(data=st.data())
def test_what_a_version_cannot_say_is_left_out_once_and_for_all(version: int, data: st.DataObject) -> None:
    packet = data.draw(packets(version))  # [MQTT-2.2.2-1]
    assert encode(as_said_in(packet, version), version) == encode(packet, version)


@EXPECTING
@law
@given(data=st.data())
def test_any_bytes_are_packets_or_one_protocol_error(version: int, data: st.DataObject) -> None:  # section 4.13
    received = data.draw(any_bytes(version))
    came, reason_code = read([received], version)
    assert all(isinstance(packet, Packet) for packet in came)
    assert reason_code is None or (isinstance(reason_code, ReasonCode) and reason_code >= 0x80)


@EXPECTING
@law
@given(data=st.data())
def test_any_bytes_mean_the_same_in_any_pieces(version: int, data: st.DataObject) -> None:  # section 4.2
    received = data.draw(any_bytes(version))
    whole = read([received], version)
    assert read(data.draw(pieces(received)), version) == whole
    assert read(single_bytes(received), version) == whole


@EXPECTING
@law
@given(data=st.data())
def test_what_was_read_can_be_written_again(version: int, data: st.DataObject) -> None:  # chapters 2 and 3
    spoken = version
    for packet in read([data.draw(any_bytes(version))], version)[0]:
        is_connect = isinstance(packet, Connect)
        if isinstance(packet, Connect):
            spoken = packet.version
        assert read([encode(packet, spoken)], 0 if is_connect else spoken) == ([packet], None)


@law
@given(limit=st.integers(2, 400), data=st.data())
def test_no_packet_above_the_limit_comes_out(limit: int, data: st.DataObject) -> None:  # section 3.1.2.11.4
    written = encode(data.draw(packets(5)), 5)
    came, reason_code = read(data.draw(pieces(written)), 5, maximum_packet_size=limit)
    if len(written) <= limit:
        assert (len(came), reason_code) == (1, None)
    else:
        assert (came, reason_code) == ([], ReasonCode.PACKET_TOO_LARGE)
