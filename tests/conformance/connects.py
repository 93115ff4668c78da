"""CONNECT as bytes, written by the specification (section 3.1), for the files of its chapter."""

import pytest

from telex.codes import MQTT_5
from telex.engine import seams
from telex.engine.permissions import EVERYTHING
from telex.engine.seams import Exchange, Gate
from telex.engine.visit import Visit
from telex.wire.packets import Connect
from tests.engine.world import Client, World

CLEAN, WILL, WILL_RETAIN, PASSWORD, USER_NAME = 0x02, 0x04, 0x20, 0x40, 0x80
ID = b"\x00\x01c"
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

in_memory = pytest.mark.usefixtures("engine")
"""For a story that moves the clock of a world with options or a gate of its own."""


def string(encoded: bytes) -> bytes:
    return len(encoded).to_bytes(2, "big") + encoded


def connect(version: int, flags: int, *payload: bytes, name: bytes = b"MQTT", said: bytes = b"") -> bytes:
    """A CONNECT with a keep alive of 0, and in v5 with these properties."""
    properties = bytes([len(said)]) + said if version == 5 else b""
    body = string(name) + bytes([version, flags, 0, 0]) + properties + b"".join(payload)
    assert len(body) < 0x80
    return bytes([0x10, len(body)]) + body


def will_fields(version: int, topic: bytes = b"w", payload: bytes = b"lost") -> bytes:
    """Will Properties (in v5), Will Topic and Will Payload."""
    return (b"\x00" if version == 5 else b"") + string(topic) + string(payload)


def assert_turned_away(client: Client) -> None:
    """A CONNECT of a wrong format: in v5 the broker may say so by CONNACK, in v3 it may not."""
    assert not client.is_connected
    if client.manners.version == MQTT_5:
        assert client.connack is None or client.connack.reason_code in (0x81, 0x82, 0x84, 0x85, 0x90)
    else:
        assert client.got == []  # v3 [MQTT-3.1.4-1]


def watching(world: World) -> Client:
    """Somebody who hears all wills."""
    return world.client("watcher").subscribes("w/#", qos=2)


class Register(Gate):
    """Lets everybody in, and keeps what they said of themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[Connect] = []

    def login(self, client: seams.Client, packet: Connect, visit: Visit, now: float) -> None:
        self.packets.append(packet)
        client.admit(EVERYTHING, now)


class Refusing(Gate):
    """Refuses one client id."""

    def __init__(self, client_id: str, reason_code: int = 0x87) -> None:
        super().__init__()
        self.client_id = client_id
        self.reason_code = reason_code

    def login(self, client: seams.Client, packet: Connect, visit: Visit, now: float) -> None:
        if packet.client_id == self.client_id:
            client.refuse(self.reason_code, "not this one", now)
        else:
            client.admit(EVERYTHING, now)


class Riddle(Exchange):
    """Asks once, and lets in whoever answers "yes"."""

    def __init__(self, client: seams.Client) -> None:
        super().__init__()
        self.client = client

    def receive(self, data: bytes, now: float) -> None:
        if data == b"yes":
            self.client.admit(EVERYTHING, now)
        else:
            self.client.challenge(b"well?", now)


class Sphinx(Gate):
    """Asks a riddle of who comes with an authentication method."""

    def exchange(self, client: seams.Client, packet: Connect, visit: Visit) -> Exchange | None:
        return Riddle(client)
