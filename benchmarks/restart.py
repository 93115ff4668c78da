"""A broker that is full is killed and started again: how long until it is ready, and is all still there?

Knows the few MQTT 3.1.1 packets that this takes. The queue of the session that is kept is filled, and
emptied at the end, by load.c; here are the retained messages, and the client that waits for the broker.
"""

import socket
import time
from typing import Final

from brokers import Server

CLIENT_ID: Final = "kept"
"""Of the session that waits for the broker; load.c gets it with ``--id``."""
QUEUED: Final = 1_000_000
RETAINED: Final = 100_000

_PAYLOAD: Final = b"x" * 64
_BLOCK: Final = 500  # PUBLISH packets in one write, and then their PUBACKs
_PAUSE: Final = 0.005  # seconds between two attempts to connect; the figure is no finer than that
_TIMEOUT: Final = 30.0  # seconds for any one answer
_READY_TIMEOUT: Final = 120.0

_CONNACK: Final = b"\x20\x02\x00\x00"
_CONNACK_SESSION_PRESENT: Final = b"\x20\x02\x01\x00"
_DISCONNECT: Final = b"\xe0\x00"


class NotKept(Exception):
    """What the broker acknowledged is not there; or it did not get as far."""


def retain(server: Server) -> None:
    """Have the broker retain 100,000 messages, each under a topic of its own, at QoS 1."""
    with _connected(server, "retains", clean=True) as client:
        for start in range(0, RETAINED, _BLOCK):
            numbers = range(start, min(start + _BLOCK, RETAINED))
            client.sendall(b"".join(_retained(number, number - start + 1) for number in numbers))
            answers = _receive(client, 4 * len(numbers))
            if answers != b"".join(b"\x40\x02" + (packet_id + 1).to_bytes(2) for packet_id in range(len(numbers))):
                raise NotKept("the broker did not acknowledge all that it shall retain, in order")
        client.sendall(_DISCONNECT)


def seconds_until_ready(server: Server) -> float:
    """Start the broker; the seconds from then to the CONNACK that finds the session that was kept.

    Raises:
        NotKept: if the broker has lost it, ends, or is not ready after two minutes.
    """
    began = time.monotonic()
    server.start_again()
    while time.monotonic() - began < _READY_TIMEOUT and server.process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", server.port), _READY_TIMEOUT) as client:
                client.sendall(_connect(CLIENT_ID, clean=False))
                answer = _receive(client, 4)
        except (OSError, NotKept):  # nobody listens yet
            time.sleep(_PAUSE)
            continue
        if answer != _CONNACK_SESSION_PRESENT:
            raise NotKept(f"the broker has not kept the session: CONNACK {answer.hex(' ')}")
        return time.monotonic() - began
    raise NotKept("the broker ended, or was not ready after two minutes")


def count_retained(server: Server) -> int:
    """How many messages the broker has retained: what a new subscription to all of them brings."""
    length = len(_retained(0, None))
    with _connected(server, "counts", clean=True) as client:
        client.sendall(b"\x82\x0f\x00\x01\x00\x0aretained/#\x00")
        if _receive(client, 5) != b"\x90\x03\x00\x01\x00":
            raise NotKept("the broker did not grant the subscription to what is retained")
        client.settimeout(2.0)
        received = 0
        try:
            while received < RETAINED * length and (part := client.recv(1 << 20)):
                received += len(part)
        except TimeoutError:
            pass
    return received // length


def _retained(number: int, packet_id: int | None) -> bytes:
    """The PUBLISH as we send it, at QoS 1 with a packet id; or as it comes back, at QoS 0 without."""
    topic = b"retained/%06d" % number
    rest = len(topic).to_bytes(2) + topic + (b"" if packet_id is None else packet_id.to_bytes(2)) + _PAYLOAD
    return bytes((0x31 if packet_id is None else 0x33, len(rest))) + rest


def _connected(server: Server, client_id: str, *, clean: bool) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), _TIMEOUT)
    client.sendall(_connect(client_id, clean=clean))
    if (answer := _receive(client, 4)) != _CONNACK:
        client.close()
        raise NotKept(f"no CONNACK with code 0 but {answer.hex(' ')}")
    return client


def _connect(client_id: str, *, clean: bool) -> bytes:
    """CONNECT without keep alive."""
    rest = b"\x00\x04MQTT\x04" + (b"\x02" if clean else b"\x00") + b"\x00\x00"
    rest += len(client_id).to_bytes(2) + client_id.encode()
    return bytes((0x10, len(rest))) + rest


def _receive(client: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = client.recv(count - len(received))
        if not part:
            raise NotKept("the broker closed a connection")
        received += part
    return received
