"""Runs a program with real paho-mqtt and with the drop-in, and compares what it sees.

A program is a function of the library's module, a broker and a trace::

    @program(EVERY)
    def test_a_client_comes_and_goes(mqtt, broker, trace):
        client = trace.watches(trace.client())
        trace.calls(client.connect, *broker.address)
        broker.opens()
        trace.loops(client, until="on_connect")
        trace.calls(client.disconnect)

What it sees must be the same: calls and callbacks, in the order of each thread, and the packets on each connection.
Where that is not so on purpose, ``trace.differs`` says in words why, and which lines are whose; nothing else differs.
"""

import difflib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import paho.mqtt.client
import pytest

import telex.paho.client
from tests.paho.traces.played import PlayedBroker
from tests.paho.traces.trace import CALLBACKS, Trace

Program = Callable[[Any, Any, Trace], None]
Lanes = dict[str, list[str]]

_NAMES = {3: "v31", 4: "v311", 5: "v5"}


class World(NamedTuple):
    """The versions that a program is run with."""

    protocol: int
    api: int

    def __str__(self) -> str:
        return f"{_NAMES[self.protocol]}-api{self.api}"


EVERY = [World(protocol, api) for protocol in (3, 4, 5) for api in (1, 2)]
PROTOCOLS = [World(protocol, 2) for protocol in (3, 4, 5)]
USUAL = [World(4, 2), World(5, 2)]
V31 = [World(3, 2)]
V3 = [World(4, 2)]
V5 = [World(5, 2)]
APIS_OF_V5 = [World(5, 1), World(5, 2)]


def program(worlds: Sequence[World] = USUAL) -> Callable[[Program], Callable[[World], None]]:
    """Make a test of a program, for each of these versions."""

    def decorate(function: Program) -> Callable[[World], None]:
        @pytest.mark.parametrize("world", worlds, ids=str)
        def test(world: World) -> None:
            compare(function, world, PlayedBroker)

        # Not functools.wraps: pytest would look for fixtures among the program's parameters.
        test.__name__ = function.__name__
        test.__qualname__ = function.__qualname__
        test.__module__ = function.__module__
        test.__doc__ = function.__doc__
        return test

    return decorate


def compare(function: Program, world: World, new_broker: Callable[[], PlayedBroker]) -> None:
    """Run a program with both libraries; what differs must be what it declares.

    Raises:
        AssertionError: something else differs, or nothing does where a difference is declared.
    """
    theirs = run(function, paho.mqtt.client, world, new_broker)
    ours = run(function, telex.paho.client, world, new_broker)
    assert theirs.differences == ours.differences
    declared = [line for _, lines in theirs.differences for line in lines]
    found = difference(theirs.masked(), ours.masked())
    assert sorted(found) == sorted(declared), "\n".join(
        [
            "what differs is not what is declared",
            *found,
            "-- declared --",
            *declared,
            "-- paho --",
            *_shown(theirs),
            "-- telex --",
            *_shown(ours),
        ]
    )


def _shown(trace: Trace) -> Iterator[str]:
    for lane, lines in trace.masked().items():
        for line in lines:
            yield f"{lane}: {line}"


def difference(theirs: Lanes, ours: Lanes) -> list[str]:
    """The lines that one side alone has, or has elsewhere, lane by lane: ``-`` for paho's, ``+`` for Telex's."""
    found = []
    for lane in [*theirs, *(lane for lane in ours if lane not in theirs)]:
        before = theirs.get(lane, [])
        after = ours.get(lane, [])
        for tag, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if tag != "equal":
                found += [f"- {lane}: {line}" for line in before[a:b]]
                found += [f"+ {lane}: {line}" for line in after[c:d]]
    return found


def run(function: Program, mqtt: Any, world: World, new_broker: Callable[[], PlayedBroker]) -> Trace:
    """Run a program with one library. The packets on each connection are lanes of the trace too."""
    trace = Trace(mqtt, world.protocol, world.api)
    with playing(new_broker()) as broker:
        trace.masks[str(broker.port)] = "PORT"
        try:
            function(mqtt, broker, trace)
        finally:
            for client in trace.clients:
                _dismiss(client)
    for number, link in enumerate(broker.links, 1):
        trace.lanes[f"connection {number}"] = link.account
    return trace


@contextmanager
def playing(broker: PlayedBroker) -> Iterator[PlayedBroker]:
    """A broker, until the block ends."""
    try:
        yield broker
    finally:
        broker.ends()
        for link in broker.links:
            link.finishes()


def _dismiss(client: Any) -> None:
    """End a client without a word, wherever its program has left it; but a program ends its threads."""
    for name in (*CALLBACKS, "on_log", "on_socket_register_write", "on_socket_unregister_write"):
        setattr(client, name, None)
    left = [each for each in threading.enumerate() if each.name.startswith("paho-mqtt-client")]
    sock = client.socket()
    if sock is not None:
        with suppress(OSError):
            sock.close()
    if left:
        client.disconnect()
        client.loop_stop()
        raise AssertionError("the program left a loop that runs")
