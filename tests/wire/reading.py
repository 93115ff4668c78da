"""How the tests of this folder read bytes: all that comes out of a decoder, and how it ended."""

from collections.abc import Iterable

import pytest

from telex.codes import MAX_PACKET_BYTES, ReasonCode
from telex.errors import ProtocolError
from telex.wire.decode import Decoder
from telex.wire.packets import Packet
from tests.wire.cases import CASES, Case


def each(cases: list[Case]) -> pytest.MarkDecorator:
    """Run a test with each case in each of its versions."""
    rows = [pytest.param(case, version, id=f"v{version} {case.name}") for case in cases for version in case.versions]
    return pytest.mark.parametrize(("case", "version"), rows)


VALID = [case for case in CASES if case.is_valid]
SHORT = [case for case in CASES if len(case.data) < 1_000]


def read(
    pieces: Iterable[bytes], version: int, *, maximum_packet_size: int = MAX_PACKET_BYTES
) -> tuple[list[Packet], ReasonCode | None]:
    """The packets that come out of these pieces, and the code of the error that ended it, if one did."""
    decoder = Decoder(maximum_packet_size, version=version)
    packets: list[Packet] = []
    try:
        for piece in pieces:
            decoder.receive(piece)
            while (packet := decoder.next_packet()) is not None:
                packets.append(packet)
    except ProtocolError as error:
        return packets, error.reason_code
    return packets, None


def single_bytes(data: bytes) -> list[bytes]:
    """Each byte by itself."""
    return [data[index : index + 1] for index in range(len(data))]


def outcome(case: Case) -> tuple[list[Packet], ReasonCode | None]:
    """What ``read`` should give for a case."""
    return ([], case.expected) if isinstance(case.expected, ReasonCode) else ([case.expected], None)
