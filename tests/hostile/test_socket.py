"""One broker in a process of its own takes every row of the table over a real socket, and stands."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    Connect,
    Packet,
    PingReq,
    PingResp,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from tests.hostile.reading import bare
from tests.hostile.sequences import ROWS, WIRE_ROWS, Row
from tests.processes import SECONDS, Server, telex


class Peer:
    """One connection to the broker, which reads when it is told to."""

    def __init__(self, port: int, version: int) -> None:
        self.version = version
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.decoder = Decoder(version=version)

    def sends(self, *packets: Packet) -> None:
        self.sends_bytes(b"".join(encode(packet, self.version) for packet in packets))

    def sends_bytes(self, data: bytes) -> None:
        with suppress(ConnectionError):  # the broker has heard enough
            self.socket.sendall(data)

    def next_packet(self) -> Packet | None:
        """The next packet; None if the broker has closed the connection."""
        while (packet := self.decoder.next_packet()) is None:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionError:
                return None
            if not data:
                return None
            self.decoder.receive(data)
        return bare(packet)

    def takes(self, count: int) -> list[Packet | None]:
        """So many packets."""
        return [self.next_packet() for _ in range(count)]

    def takes_until(self, last: Packet | None) -> list[Packet | None]:
        """All packets before this one, or before the end for None."""
        came: list[Packet | None] = []
        while (packet := self.next_packet()) != last:
            assert packet is not None, f"the connection ended after {came}"
            came.append(packet)
        return came

    def gets(self, topic: str, payload: bytes | None = None) -> None:
        """Take a message of this topic, and go through its whole exchange."""
        message = self.next_packet()
        assert isinstance(message, Publish), message
        assert (message.topic, payload or message.payload) == (topic, message.payload)
        if message.qos == 2:
            self.sends(PubRec(message.packet_id))
            assert self.next_packet() == PubRel(message.packet_id)
            self.sends(PubComp(message.packet_id))
        assert message.qos != 1, "nobody publishes to bystanders at QoS 1 but by a row"

    def closes(self) -> None:
        self.socket.close()


@contextmanager
def log_of(server: Server) -> Iterator[list[str]]:
    """The lines of the broker's standard error, read as they come; whole when the block has ended and it too."""
    stderr = server.process.stderr
    assert stderr is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(stderr))
    reader.start()
    try:
        yield lines
    finally:
        server.process.terminate()
        reader.join(SECONDS)


def play(row: Row, version: int, port: int, client_id: str) -> None:
    """Say a row's bytes to the broker, and look at what comes back."""
    peer = Peer(port, version)
    if row.state.is_connected:
        peer.sends(row.state.connect(client_id, version), *row.state.packets)
        assert None not in peer.takes(1 + row.state.answers)
    peer.sends_bytes(row.data)
    expected = row.answer.packets(version)
    if row.answer.ends:
        assert peer.takes_until(None) == expected
    elif row.answer.is_whole:
        peer.sends(PingReq())
        assert peer.takes_until(PingResp()) == expected
    peer.closes()


def bystander(port: int, version: int) -> Peer:
    """A client that wants to hear what others say, and says something itself at times."""
    peer = Peer(port, version)
    peer.sends(
        Connect(f"bystander of {version}", version=version, keep_alive=0),
        Subscribe(1, [SubscriptionRequest("by", 2), SubscriptionRequest("t", 0)]),
    )
    assert peer.takes(2)[1] == SubAck(1, [2, 0])
    return peer


def talk(speaker: Peer, listener: Peer, payload: bytes) -> None:
    """One of them publishes at QoS 2, both get it, the speaker first of all its receipt."""
    speaker.sends(Publish("by", payload, qos=2, packet_id=99))
    listener.gets("by", payload)
    came = speaker.takes(2)
    own = [packet for packet in came if isinstance(packet, Publish)]
    assert [packet for packet in came if packet not in own] == [PubRec(99)]
    assert [packet.payload for packet in own] == [payload]
    speaker.sends(PubRec(own[0].packet_id), PubRel(99))
    assert sorted(type(packet).__name__ for packet in speaker.takes(2)) == ["PubComp", "PubRel"]
    speaker.sends(PubComp(own[0].packet_id))


def test_one_broker_takes_all_rows_one_after_the_other_and_stands() -> None:  # section 4.13, M1, M2
    with telex("--memory", "--sys-interval", "0") as server, log_of(server) as log:
        older, newer = bystander(server.port, 4), bystander(server.port, 5)
        rows = [(row, version) for row in ROWS + WIRE_ROWS for version in row.versions if row.cut]
        for number, (row, version) in enumerate(rows):
            try:
                play(row, version, server.port, f"hostile-{number}")
                for each_of_them in (older, newer) * row.published:
                    each_of_them.gets("t")
            except Exception as error:
                error.add_note(f"v{version} {row.state.name}: {row.name}")
                raise
        talk(older, newer, b"are you there?")
        talk(newer, older, b"I am")
        for each_of_them in (older, newer):  # nothing else has come
            each_of_them.sends(PingReq())
            assert each_of_them.next_packet() == PingResp()
            each_of_them.closes()
        assert server.process.poll() is None
    assert len(log) >= 20, "what is refused is logged, until it is too much"
    told = r"\S+ (warning )?(refused|denied) client=.+ address=\S+ .*(reason|rule)=.+\n"
    assert [line for line in log if not re.fullmatch(told, line)] == []
