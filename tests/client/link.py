"""A client's end of MQTT, and a server that the test plays by hand."""

from typing import Self

import pytest

from telex.client.connection import ClientConnection, Journal, Publication
from telex.codes import MAX_PACKET_ID, MQTT_5
from telex.errors import ProtocolError
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Connect, Packet
from telex.wire.properties import Properties


class Link:
    """A client's end, and the server's hand.

    Packets go to and fro as objects with ``sent`` and ``gets``, as bytes in
    hexadecimal with ``wrote`` and ``hears``.
    """

    def __init__(
        self,
        connect: Connect | None = None,
        *,
        version: int = MQTT_5,
        acknowledges_at_once: bool = True,
        most_in_flight: int = MAX_PACKET_ID,
        journal: Journal | None = None,
    ) -> None:
        self.now = 0.0
        self.client = ClientConnection(
            connect or Connect("c", version=version),
            acknowledges_at_once=acknowledges_at_once,
            most_in_flight=most_in_flight,
            journal=journal,
        )
        self.version = self.client.version

    def open(self, connack: ConnAck | None = None) -> Self:
        """A network connection comes, CONNECT goes, CONNACK comes."""
        self.client.opened(self.now)
        assert self.sent() == [self.client.connect]
        self.gets(connack or ConnAck())
        return self

    def reopen(self, connack: ConnAck | None = None) -> Self:
        """The network connection is cut, and there is a new one; the session goes on unless ``connack`` says no."""
        self.client.lost()
        return self.open(connack or ConnAck(session_present=True))

    def ticks(self, *seconds: float) -> None:
        """Time goes by, and the client's tick comes after each step."""
        for step in seconds:
            self.now += step
            self.client.tick(self.now)

    def sent(self) -> list[Packet]:
        """What the client has sent since the last time."""
        decoder = Decoder(version=self.version)
        decoder.receive(self.client.take(self.now))
        packets = []
        while (packet := decoder.next_packet()) is not None:
            packets.append(packet)
        return packets

    def wrote(self) -> str:
        """The same as bytes."""
        return self.client.take(self.now).hex()

    def gets(self, *packets: Packet) -> list[Packet | Publication]:
        """What the client says of packets that the server sends."""
        self.client.receive(b"".join(encode(packet, self.version) for packet in packets))
        return self.client.take_events()

    def hears(self, data: str) -> list[Packet | Publication]:
        """What the client says of bytes that the server sends."""
        self.client.receive(bytes.fromhex(data))
        return self.client.take_events()

    def closes_at(self, data: str, reason_code: int, match: str = ".") -> None:
        """The client finds fault with these bytes: it says so if it can, and ends the connection."""
        self.client.take(self.now)
        with pytest.raises(ProtocolError, match=match):
            self.hears(data)
        goodbye = f"e001{reason_code:02x}" if self.version == MQTT_5 else ""  # before v5 there are no words for it
        assert self.wrote() == goodbye
        assert (self.client.is_open, self.client.is_closing) == (False, True)


def persistent(version: int = MQTT_5, *, journal: Journal | None = None) -> Link:
    """A client whose session outlives its connections."""
    properties = Properties(session_expiry_interval=3600) if version == MQTT_5 else None
    return Link(Connect("c", version=version, clean_start=False, properties=properties), journal=journal)


def limited(limits: Properties) -> Link:
    """A client whose server has said in CONNACK what it takes."""
    return Link().open(ConnAck(properties=limits))
