"""Bytes to packets: every row of the case table, whole, in pieces and beside others; and the limits of size."""

import pytest

from telex.codes import MAX_PACKET_BYTES, ReasonCode
from telex.errors import ProtocolError
from telex.wire.decode import Decoder
from telex.wire.packets import ConnAck, Connect, PingReq, PingResp, Publish
from telex.wire.properties import Properties
from tests.wire.cases import (
    CASES,
    PROPERTIES,
    PROPERTY_ENDS,
    REASON_CODES,
    RETURN_CODES,
    Case,
    framed,
    lengthy,
    with_properties,
)
from tests.wire.reading import SHORT, VALID, each, outcome, read, single_bytes

PINGREQ = b"\xc0\x00"
PINGRESP = b"\xd0\x00"
CONNECT = bytes.fromhex("10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 63")

# The type of each packet and the flags that its first byte must have (table 2-2) [MQTT-2.1.3-1].
FLAGS = {1: 0, 2: 0, 4: 0, 5: 0, 6: 2, 7: 0, 8: 2, 9: 0, 10: 2, 11: 0, 12: 0, 13: 0, 14: 0, 15: 0}


def bytes_of(packet_type: int, version: int) -> bytes:
    """A valid packet of this type out of the table."""
    return next(case.data for case in VALID if case.data[0] >> 4 == packet_type and version in case.versions)


# --- The table ---


@each(CASES)
def test_a_case_is_the_packet_or_the_error_that_the_text_says(case: Case, version: int) -> None:  # the row's own tags
    assert read([case.data], case.opening_version(version)) == outcome(case)


@each(SHORT)
def test_a_case_that_comes_byte_by_byte_is_the_same(case: Case, version: int) -> None:  # section 4.2
    assert read(single_bytes(case.data), case.opening_version(version)) == outcome(case)


@each(SHORT)
def test_a_case_that_is_split_anywhere_is_the_same(case: Case, version: int) -> None:  # section 4.2
    for position in range(1, len(case.data)):
        pieces = [case.data[:position], case.data[position:]]
        assert read(pieces, case.opening_version(version)) == outcome(case), f"split at {position}"


@each(VALID)
def test_a_packet_gives_nothing_before_its_last_byte_came(case: Case, version: int) -> None:  # section 4.2
    decoder = Decoder(version=case.opening_version(version))
    assert not decoder.is_inside_packet
    decoder.receive(case.data[:-1])
    assert decoder.next_packet() is None
    assert decoder.is_inside_packet
    decoder.receive(case.data[-1:])
    assert decoder.next_packet() == case.expected
    assert decoder.next_packet() is None
    assert not decoder.is_inside_packet


@each(VALID)
def test_a_packet_between_two_others_is_the_same(case: Case, version: int) -> None:  # section 4.2
    if case.opening_version(version) == 0:
        assert read([case.data + PINGREQ], 0) == ([case.expected, PingReq()], None)
    else:
        joined = PINGREQ + case.data + PINGRESP
        assert read([joined], version) == ([PingReq(), case.expected, PingResp()], None)


@each(VALID)
def test_a_packet_twice_in_one_read_is_two_packets(case: Case, version: int) -> None:  # section 4.2
    assert read([case.data + case.data], case.opening_version(version)) == ([case.expected, case.expected], None)


@each(VALID)
def test_the_beginning_of_the_next_packet_waits_for_its_rest(case: Case, version: int) -> None:  # section 4.2
    decoder = Decoder(version=case.opening_version(version))
    decoder.receive(case.data + PINGREQ[:1])
    assert decoder.next_packet() == case.expected
    assert decoder.next_packet() is None
    assert decoder.is_inside_packet
    decoder.receive(PINGREQ[1:])
    assert decoder.next_packet() == PingReq()


@each([case for case in CASES if not case.is_valid and case.opening_version(4) != 0])
def test_the_packets_before_a_bad_one_are_not_lost(case: Case, version: int) -> None:  # section 4.13
    assert read([PINGREQ + PINGRESP + case.data], version) == ([PingReq(), PingResp()], case.expected)


@each([case for case in SHORT if case.is_valid and len(case.data) < 120])
def test_a_body_that_ends_early_is_an_error_or_a_shorter_packet(case: Case, version: int) -> None:  # section 4.13
    for length in range(len(case.data) - 2):
        shorter = bytes([case.data[0], length]) + case.data[2 : 2 + length]
        packets, reason_code = read([shorter], case.opening_version(version))
        assert len(packets) + (reason_code is not None) == 1, f"{length} bytes"


def test_each_row_has_a_name_of_its_own() -> None:
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("version", [3, 4, 5])
def test_the_table_has_every_packet_type_of_a_version(version: int) -> None:  # table 2-1
    valid = {case.data[0] >> 4 for case in VALID if version in case.versions}
    invalid = {case.data[0] >> 4 for case in CASES if not case.is_valid and version in case.versions}
    assert valid == set(range(1, 16 if version == 5 else 15))
    assert invalid == set(range(16))


def test_the_table_has_all_27_properties() -> None:  # table 2-4
    assert len({row.identifier for row in PROPERTIES}) == 27


@pytest.mark.parametrize("return_code", [1, 2, 3, 4, 5])
def test_a_server_that_does_not_speak_v5_may_say_so_in_its_words(return_code: int) -> None:  # v3 [MQTT-3.1.2-2]
    assert read([bytes((0x20, 2, 0, return_code))], 5) == ([ConnAck(return_code)], None)


# --- The first byte ---


@pytest.mark.parametrize(
    ("packet_type", "version"),
    [(packet_type, version) for packet_type in FLAGS for version in (3, 4, 5) if packet_type < 15 or version == 5],
)
def test_reserved_flags_must_have_their_values(packet_type: int, version: int) -> None:  # [MQTT-2.1.3-1]
    whole = bytes_of(packet_type, version)
    right = {FLAGS[packet_type]}
    if version == 3 and FLAGS[packet_type] == 2:
        right.add(0x0A)  # MQTT 3.1 sets DUP on what it sends again (MQTT 3.1 section 2.1)
    for flags in range(16):
        packets, reason_code = read([bytes([packet_type << 4 | flags]) + whole[1:]], version)
        if flags in right:
            assert (len(packets), reason_code) == (1, None), f"flags {flags:04b}"
        else:
            assert (packets, reason_code) == ([], ReasonCode.MALFORMED_PACKET), f"flags {flags:04b}"


@pytest.mark.parametrize("first", [first for first in range(256) if first != 0x10])
def test_the_first_packet_of_a_connection_must_be_a_connect(first: int) -> None:  # [MQTT-3.1.0-1]
    assert read([bytes([first])], 0) == ([], ReasonCode.PROTOCOL_ERROR)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_connect_says_the_version_of_what_follows(version: int) -> None:  # [MQTT-3.1.2-2]
    decoder = Decoder()
    assert decoder.version == 0
    decoder.receive(bytes_of(1, version) + bytes_of(3, version))
    assert isinstance(decoder.next_packet(), Connect)
    assert decoder.version == version
    assert isinstance(decoder.next_packet(), Publish)


def test_bad_flags_are_refused_before_the_body_came() -> None:  # [MQTT-2.1.3-1]
    assert read([b"\x60\x02"], 4) == ([], ReasonCode.MALFORMED_PACKET)
    assert read([b"\x00\x05"], 5) == ([], ReasonCode.MALFORMED_PACKET)
    assert read([b"\xf0\x05"], 4) == ([], ReasonCode.MALFORMED_PACKET)


# --- Reason codes ---


@pytest.mark.parametrize("name", REASON_CODES)
def test_a_packet_carries_its_own_reason_codes_only(name: str) -> None:  # [MQTT-3.2.2-8] [MQTT-3.4.2-1] ...
    template, codes = REASON_CODES[name]
    taken = [code for code in range(256) if read([bytes.fromhex(template.format(f"{code:02x}"))], 5)[1] is None]
    assert bytes(taken).hex(" ") == codes


@pytest.mark.parametrize("name", REASON_CODES)
def test_a_foreign_reason_code_makes_a_packet_malformed(name: str) -> None:  # section 2.4
    template, codes = REASON_CODES[name]
    for code in set(range(256)) - set(bytes.fromhex(codes)):
        expected = ([], ReasonCode.MALFORMED_PACKET)
        assert read([bytes.fromhex(template.format(f"{code:02x}"))], 5) == expected, f"code 0x{code:02X}"


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("name", RETURN_CODES)
def test_a_v3_packet_carries_its_return_codes_only(name: str, version: int) -> None:  # v3 [MQTT-3.9.3-2]
    template, codes = RETURN_CODES[name]
    taken = [code for code in range(256) if read([bytes.fromhex(template.format(f"{code:02x}"))], version)[1] is None]
    assert bytes(taken).hex(" ") == codes


# --- Properties ---


@pytest.mark.parametrize("name", PROPERTY_ENDS)
def test_only_the_27_properties_exist(name: str) -> None:  # table 2-4
    known = {int(row.identifier, 16) for row in PROPERTIES}
    for identifier in set(range(128)) - known:
        data = bytes.fromhex(with_properties(name, f"{identifier:02x} 00 00 00 00 00"))
        reading = read([data], 0 if data[0] == 0x10 else 5)
        assert reading == ([], ReasonCode.MALFORMED_PACKET), f"property 0x{identifier:02X}"


def test_ten_thousand_user_properties_keep_their_order() -> None:  # [MQTT-3.3.2-18]
    pairs = tuple((f"{number:05}", "") for number in range(10_000))
    listed = b"".join(b"\x26\x00\x05" + name.encode() + b"\x00\x00" for name, _ in pairs)
    data = bytes.fromhex(with_properties("PUBLISH", listed.hex()))
    assert read([data], 5) == ([Publish("t", b"p", properties=Properties(user_properties=pairs))], None)


# --- Sizes ---


def test_a_packet_of_exactly_the_limit_passes() -> None:  # section 3.1.2.11.4: the whole packet counts
    assert read([b"\x30\x08\x00\x01t12345"], 4, maximum_packet_size=10) == ([Publish("t", b"12345")], None)


def test_a_packet_of_one_byte_more_than_the_limit_is_too_large() -> None:  # section 3.1.2.11.4
    decoder = Decoder(10, version=4)
    decoder.receive(b"\x30\x09\x00\x01t123456")
    with pytest.raises(ProtocolError, match="a packet of 11 bytes, at most 10 are allowed") as caught:
        decoder.next_packet()
    assert caught.value.reason_code is ReasonCode.PACKET_TOO_LARGE


@pytest.mark.parametrize(
    ("length", "size"),
    [("7f", 129), ("80 01", 131), ("ff 7f", 16_386), ("80 80 01", 16_388), ("ff ff ff 7f", 268_435_460)],
)
def test_the_fixed_header_is_enough_to_refuse_a_packet(length: str, size: int) -> None:  # section 3.1.2.11.4
    header = b"\x30" + bytes.fromhex(length)
    assert read([header], 5, maximum_packet_size=size) == ([], None)
    assert read([header], 5, maximum_packet_size=size - 1) == ([], ReasonCode.PACKET_TOO_LARGE)
    assert read(single_bytes(header), 5, maximum_packet_size=size - 1) == ([], ReasonCode.PACKET_TOO_LARGE)


def test_a_header_that_is_not_whole_is_not_refused_yet() -> None:  # section 1.5.5
    assert read([b"\x30\xff\xff"], 5, maximum_packet_size=10) == ([], None)


def test_a_large_connect_is_refused_before_anybody_logged_in() -> None:  # section 3.1.2.11.4
    assert read([b"\x10\xff\x7f"], 0, maximum_packet_size=1_000) == ([], ReasonCode.PACKET_TOO_LARGE)


def test_the_largest_packet_of_all_is_awaited() -> None:  # section 2.1.4
    decoder = Decoder(version=5)
    assert decoder.maximum_packet_size == MAX_PACKET_BYTES == 268_435_460
    decoder.receive(b"\x30\xff\xff\xff\x7f\x00\x01t\x00")
    assert decoder.next_packet() is None
    assert decoder.is_inside_packet


def test_the_limit_holds_for_each_packet_by_itself() -> None:  # section 3.1.2.11.4
    small = b"\x30\x06\x00\x01t123"
    assert read([small * 3], 4, maximum_packet_size=8) == ([Publish("t", b"123")] * 3, None)
    reading = read([small * 2 + b"\x30\x07\x00\x01t1234"], 4, maximum_packet_size=8)
    assert reading == ([Publish("t", b"123")] * 2, ReasonCode.PACKET_TOO_LARGE)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("piece", [1_000, 4_096, 65_536, 300_001])
def test_a_payload_of_300_kb_comes_in_pieces(version: int, piece: int) -> None:  # section 2.1.4
    payload = bytes(range(256)) * 1_172  # 300,032 bytes
    head = b"\x00\x01t" + (b"\x00" if version == 5 else b"")
    data = bytes.fromhex(framed("30", head.hex(), payload.hex())) + PINGREQ
    pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
    assert read(pieces, version) == ([Publish("t", payload), PingReq()], None)


# --- A connection's life ---


def test_a_decoder_without_bytes_gives_nothing() -> None:  # section 4.2
    assert read([], 5) == ([], None)
    assert read([b"", b""], 0) == ([], None)


def test_empty_reads_between_the_bytes_change_nothing() -> None:  # section 4.2
    pieces = [piece for byte in single_bytes(CONNECT) for piece in (b"", byte, b"")]
    assert read(pieces, 0) == ([Connect("c", version=4)], None)


def test_packets_may_be_taken_one_by_one_between_reads() -> None:  # section 4.2
    decoder = Decoder(version=4)
    decoder.receive(PINGREQ + PINGRESP + b"\xc0")
    assert decoder.next_packet() == PingReq()
    decoder.receive(b"\x00\xd0\x00")
    assert [decoder.next_packet() for _ in range(4)] == [PingResp(), PingReq(), PingResp(), None]


def test_a_name_is_checked_each_time_that_it_comes() -> None:  # [MQTT-3.3.2-2]
    good, bad = b"\x30\x03\x00\x01t", b"\x30\x03\x00\x01#"
    for _ in range(3):
        assert read([good], 4) == ([Publish("t")], None)
        assert read([bad], 4) == ([], ReasonCode.TOPIC_NAME_INVALID)


def test_twenty_thousand_names_and_very_long_ones_are_read_right() -> None:  # [MQTT-4.7.3-3]
    names = [f"sensor/{number}" for number in range(20_000)] + ["x" * 201, "y" * 65_535, "sensor/0"]
    decoder = Decoder(version=4)
    for name in names:
        decoder.receive(bytes.fromhex(framed("30", lengthy(name.encode().hex()))))
        packet = decoder.next_packet()
        assert isinstance(packet, Publish)
        assert packet.topic == name


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("36 06 00 01 74 00 01 00", r"both QoS bits set \[MQTT-3\.3\.1-4\] \(0x81 malformed packet\)"),
        ("40 04 00 01 00 7f", r"property length is 127, the packet has 0 bytes left"),
        (with_properties("PUBACK", "23 00 01"), r"property topic_alias is not allowed in packet type 4 "),
        (with_properties("WILL", "23 00 01"), r"property topic_alias is not allowed in a will "),
        (with_properties("CONNACK", "13 00 01 13 00 01"), r"property server_keep_alive is said twice .*0x82"),
        (with_properties("CONNACK", "24 02"), r"property maximum_qos may not be 2 .*0x82"),
    ],
)
def test_an_error_says_what_was_seen_and_which_rule_it_breaks(data: str, what: str) -> None:  # section 4.13
    decoder = Decoder(version=5)
    decoder.receive(bytes.fromhex(data))
    with pytest.raises(ProtocolError, match=what):
        decoder.next_packet()
