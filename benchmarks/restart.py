"""A broker that is full is killed and started again: how long until it is ready, and is all still there?

The queue of the session that is kept is filled, and emptied at the end, by load.c; here are the retained messages, and
the client that waits for the broker.
"""

import time
from typing import Final

from brokers import Server
from plain import NotKept, Plain, publish

CLIENT_ID: Final = "kept"
"""Of the session that waits for the broker; load.c gets it with ``--id``."""
QUEUED: Final = 1_000_000
RETAINED: Final = 100_000

_PAYLOAD: Final = b"x" * 64
_PAUSE: Final = 0.005  # seconds between two attempts to connect; the figure is no finer than that
_READY_TIMEOUT: Final = 120.0
_QUIET: Final = 2.0  # seconds without a message, after which no more are expected


def retain(server: Server) -> None:
    """Have the broker retain 100,000 messages, each under a topic of its own, at QoS 1.

    Raises:
        NotKept: it does not acknowledge them.
    """
    with Plain(server, "retains") as client:
        client.retain([_topic(number) for number in range(RETAINED)], _PAYLOAD)


def seconds_until_ready(server: Server) -> float:
    """Start the broker; the seconds from then to the CONNACK that finds the session that was kept.

    Raises:
        NotKept: if the broker has lost it, ends, or is not ready after two minutes.
    """
    began = time.monotonic()
    server.start_again()
    while time.monotonic() - began < _READY_TIMEOUT and server.process.poll() is None:
        try:
            # Left without DISCONNECT: its session is to stay, and load.c comes for it.
            client = Plain(server, CLIENT_ID, clean=False, timeout=_READY_TIMEOUT)
        except (OSError, NotKept):  # nobody listens yet
            time.sleep(_PAUSE)
            continue
        seconds = time.monotonic() - began
        client.close()
        if not client.session_present:
            raise NotKept("the broker has not kept the session")
        return seconds
    raise NotKept("the broker ended, or was not ready after two minutes")


def count_retained(server: Server) -> int:
    """How many messages the broker has retained: what a new subscription to all of them brings."""
    each = len(publish(_topic(0), _PAYLOAD))
    with Plain(server, "counts") as client:
        return client.read(b"retained/#", RETAINED * each, quiet=_QUIET) // each


def _topic(number: int) -> bytes:
    return b"retained/%06d" % number
