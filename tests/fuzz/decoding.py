"""The laws of the decoder: any bytes are packets or one ProtocolError, however they are cut; a packet can be written.

Input: the version that is spoken, or that none is known yet; the largest packet;
the size of the pieces; then what is received.
"""

from telex.codes import MAX_PACKET_BYTES
from telex.errors import ProtocolError
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Connect, Packet
from tests.fuzz.script import Script, pieces

VERSIONS = (0, 3, 4, 5)
LIMITS = (MAX_PACKET_BYTES, 2_000, 200, 20)


def decoder(data: bytes) -> None:
    """Read the bytes whole and in pieces, and write again what was read."""
    script = Script(data)
    version = VERSIONS[script.byte() % len(VERSIONS)]
    limit = LIMITS[script.byte() % len(LIMITS)]
    size = script.byte() + 1
    received = script.rest()
    packets, error = read([received], version, limit)
    assert read(pieces(received, size), version, limit) == (packets, error), "cut otherwise, it means something else"
    spoken = version
    for packet in packets:
        if isinstance(packet, Connect):
            spoken = packet.version
        check_writing(packet, spoken)


def read(received: list[bytes], version: int, limit: int) -> tuple[list[Packet], str]:
    """The packets, and the error that ended it; empty if none did."""
    reader = Decoder(limit, version=version)
    packets: list[Packet] = []
    why = ""
    try:
        for piece in received:
            reader.receive(piece)
            while (packet := reader.next_packet()) is not None:
                packets.append(packet)
    except ProtocolError as error:
        why = str(error)
    return packets, why


def check_writing(packet: Packet, spoken: int) -> None:
    """What was read can be written, and is read the same again."""
    if isinstance(packet, ConnAck) and 0 < packet.reason_code < 0x80:
        spoken = 4  # from a server that does not speak v5 and says so in its own words
    written = encode(packet, spoken)
    again = read([written], 0 if isinstance(packet, Connect) else spoken, MAX_PACKET_BYTES)
    assert again == ([packet], ""), f"{packet} is written as {written.hex(' ')}"
