"""The network: an ordered, lossless stream of bytes (section 4.2; conformance of a server, v3 chapter 7).

Most stories here are told in bytes over a TCP connection, without any word of Telex.
"""

import socket
from collections.abc import Iterator
from typing import Self

import pytest

from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.sockets import SECONDS, BrokerThread, whole_packet
from tests.engine.world import World

Address = tuple[str, int]


@pytest.fixture
def address(request: pytest.FixtureRequest) -> Iterator[Address]:
    """Where a broker listens."""
    broker = request.config.getoption("--broker")
    if broker:
        host, _, port = str(broker).rpartition(":")
        yield host, int(port)
        return
    thread = BrokerThread(None, None)
    yield thread.address
    thread.stop()


class Peer:
    """Somebody with a TCP connection, who speaks in bytes."""

    def __init__(self, address: Address) -> None:
        self._socket = socket.create_connection(address, timeout=SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._bytes = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def says(self, data: str | bytes) -> Self:
        """Send bytes, which may be written in hex."""
        self._socket.sendall(bytes.fromhex(data) if isinstance(data, str) else data)
        return self

    def hears(self) -> str:
        """The next packet, in hex; nothing if the broker has closed the connection."""
        while not (size := whole_packet(self._bytes)):
            try:
                data = self._socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                assert not self._bytes, f"half a packet at the end: {self._bytes[:100].hex(' ')}"
                return ""
            self._bytes += data
        packet, self._bytes = self._bytes[:size], self._bytes[size:]
        return packet.hex(" ")

    def stops(self) -> Self:
        """Say that nothing more will come (FIN), and go on reading."""
        self._socket.shutdown(socket.SHUT_WR)
        return self


def connect(client_id: str) -> bytes:
    """CONNECT of 3.1.1: Clean Session, no keep alive, and nothing else."""
    name = client_id.encode()
    return bytes([0x10, 12 + len(name)]) + bytes.fromhex("0004 4d515454 04 02 0000 00") + bytes([len(name)]) + name


def publish(payload: bytes) -> bytes:
    """PUBLISH of 3.1.1 to ``a``, at QoS 0."""
    rest = len(payload) + 3
    length = b""
    while rest >= 0x80:
        length += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return b"\x30" + length + bytes([rest]) + b"\0\x01a" + payload


SUBSCRIBE_A = "82 06 0001 0001 61 00"
SUBACK_A = "90 03 00 01 00"
CONNACK = "20 02 00 00"


@mqtt("MQTT-4.2-1")
@mqtt("MQTT-7.1.1-1", v3=True)
def test_a_tcp_connection_is_served(address: Address) -> None:
    with Peer(address) as peer:
        assert peer.says("10 0d 0004 4d515454 04 02 0000 0001 63").hears() == CONNACK
        assert peer.says("c0 00").hears() == "d0 00"


@mqtt("MQTT-7.0.0-2", v3=True)
def test_a_client_needs_nothing_but_the_text_of_3_1_1(address: Address) -> None:
    with Peer(address) as sub, Peer(address) as pub:
        assert sub.says("10 0f 0004 4d515454 04 02 0000 0003 737562").hears() == CONNACK
        assert sub.says("82 08 000a 0003 612f2b 00").hears() == "90 03 00 0a 00"  # a/+
        assert pub.says("10 0f 0004 4d515454 04 02 0000 0003 707562").hears() == CONNACK
        pub.says("30 07 0003 612f62 6869")
        assert sub.hears() == "30 07 00 03 61 2f 62 68 69"
        assert pub.says("32 09 0003 612f62 0102 6869").hears() == "40 02 01 02"
        assert sub.hears() == "30 07 00 03 61 2f 62 68 69"
        assert pub.says("34 09 0003 612f62 0103 6869").hears() == "50 02 01 03"
        assert pub.says("62 02 0103").hears() == "70 02 01 03"
        assert sub.hears() == "30 07 00 03 61 2f 62 68 69"
        assert sub.says("a2 07 000b 0003 612f2b").hears() == "b0 02 00 0b"
        assert sub.says("c0 00").hears() == "d0 00"
        assert pub.says("e0 00").hears() == ""
        assert sub.says("e0 00").hears() == ""


@edge("M3")
@mqtt("MQTT-4.2-1")
@mqtt("MQTT-7.1.1-1", v3=True)
def test_it_does_not_matter_how_the_stream_is_cut(address: Address) -> None:
    story = connect("c") + bytes.fromhex(SUBSCRIBE_A) + publish(b"x" * 200) + b"\xc0\x00"
    with Peer(address) as whole:
        whole.says(story)
        answers = [whole.hears() for _ in range(4)]
    assert answers == [CONNACK, SUBACK_A, publish(b"x" * 200).hex(" "), "d0 00"]
    with Peer(address) as cut:
        for index in range(len(story)):
            cut.says(story[index : index + 1])
        assert [cut.hears() for _ in range(4)] == answers


@mqtt("MQTT-4.2-1")
@mqtt("MQTT-7.1.1-1", v3=True)
def test_every_byte_arrives_and_in_its_order(address: Address) -> None:
    payloads = [bytes(range(256)) * size for size in (1, 4, 1_000, 0, 2, 6_000)]
    with Peer(address) as sub, Peer(address) as pub:
        sub.says(connect("sub") + bytes.fromhex(SUBSCRIBE_A))
        assert [sub.hears(), sub.hears()] == [CONNACK, SUBACK_A]
        pub.says(connect("pub") + b"".join(publish(payload) for payload in payloads))
        assert [sub.hears() for _ in payloads] == [publish(payload).hex(" ") for payload in payloads]


@mqtt("MQTT-4.2-1")
@mqtt("MQTT-7.1.1-1", v3=True)
def test_what_was_sent_before_the_end_of_the_stream_arrives(address: Address) -> None:
    with Peer(address) as sub, Peer(address) as pub:
        assert sub.says(connect("sub")).hears() == CONNACK
        assert sub.says(SUBSCRIBE_A).hears() == SUBACK_A
        pub.says(connect("pub") + publish(b"1") + publish(b"2")).stops()
        assert [sub.hears(), sub.hears()] == [publish(b"1").hex(" "), publish(b"2").hex(" ")]
        assert pub.hears() == CONNACK
        assert pub.hears() == ""


@edge("T1")
def test_a_peer_that_does_not_read_does_not_delay_the_connection_that_takes_its_place(address: Address) -> None:
    block = publish(bytes(1_000_000))
    with Peer(address) as frozen, Peer(address) as pub, Peer(address) as new:
        assert frozen.says(connect("c")).hears() == CONNACK
        assert frozen.says(SUBSCRIBE_A).hears() == SUBACK_A
        assert pub.says(connect("pub")).hears() == CONNACK
        for _ in range(20):  # more than fits into the buffers of a socket
            pub.says(block)
        assert pub.says("c0 00").hears() == "d0 00"
        assert new.says(connect("c")).hears() == CONNACK
        assert new.says(SUBSCRIBE_A).hears() == SUBACK_A
        pub.says(publish(b"x"))
        assert new.hears() == publish(b"x").hex(" ")


# What no client should send: of each kind one, of 3.1.1 and of 5.0. The table of all kinds is in test_4_13.
FIRST = {
    "nothing of MQTT": "47455420 2f20485454502f312e310d0a0d0a",  # GET / HTTP/1.1
    "a length of five bytes": "10 ff ff ff ff 7f",
    "packet type 0": "00 00",
    "a PUBLISH before CONNECT": "30 04 0001 61 78",
    "a CONNECT that ends within its client id": "10 0d 0004 4d515454 04 02 0000 00ff 63",
    "a CONNECT of version 77": "10 0d 0004 4d515454 4d 02 0000 0001 63",
    "a CONNECT with properties that do not end": "10 0e 0004 4d515454 05 02 0000 ff 0001 63",
}
LATER = {
    "a PUBLISH that ends within its topic": "30 03 0009 61",
    "a PUBLISH of QoS 3": "36 06 0001 61 0001 78",
    "a PUBLISH without an id": "32 03 0001 61",
    "a topic that is not UTF-8": "30 04 0002 c328",
    "a SUBSCRIBE without filters": "82 02 0001",
    "a SUBSCRIBE that ends within its filter": "82 07 0001 0009 612f62",
    "a second CONNECT": "10 0d 0004 4d515454 04 02 0000 0001 63",
    "a packet type that only a server sends": "20 02 0000",
    "a PUBACK that is too short": "40 01 00",
    "flags that are reserved": "80 06 0001 0001 61 00",
}


@edge("M2")
@pytest.mark.parametrize("data", FIRST.values(), ids=FIRST.keys())
def test_a_bad_first_packet_ends_nobody_but_its_sender(world: World, data: str) -> None:
    watcher = world.client("watcher").subscribes("a")
    assert not world.stranger().sends_bytes(bytes.fromhex(data)).is_connected
    world.client("pub").publishes("a", b"x", qos=1)
    assert watcher.payloads == [b"x"]


@edge("M2")
@each_version
@pytest.mark.parametrize("data", LATER.values(), ids=LATER.keys())
def test_a_bad_packet_ends_nobody_but_its_sender(world: World, data: str, version: int) -> None:
    watcher = world.client("watcher").subscribes("a")
    bad = world.client("bad", version=version)
    assert not bad.sends_bytes(bytes.fromhex(data)).is_connected
    world.client("pub").publishes("a", b"x", qos=1)
    assert watcher.payloads == [b"x"]


@edge("M2")
def test_ten_thousand_user_properties_end_nobody(world: World) -> None:
    watcher = world.client("watcher").subscribes("a")
    properties = bytes.fromhex("26 0001 6b 0001 76") * 10_000  # 70,000 bytes: f0 a2 04
    world.client("odd").sends_bytes(bytes.fromhex("30 f6 a2 04 0001 62 f0 a2 04") + properties)
    world.client("pub").publishes("a", b"x", qos=1)
    assert watcher.payloads == [b"x"]
