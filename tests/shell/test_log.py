"""The log: one line for each cause that ends a connection, in each of its forms, and where it goes."""

import asyncio
import getpass
import json
import logging
import os
import re
import sys
import syslog
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import telex
from telex.codes import ReasonCode
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.permissions import Grant, Permissions
from telex.engine.seams import Gate
from telex.engine.visit import Visit
from telex.server import log, log_destinations
from telex.server.config import ConfigError, Log, Protection
from telex.server.guard import Guard
from telex.server.log import Event, LogObserver, Throttle, shown
from telex.server.log_destinations import Destinations, SyslogDestination, TopicDestination, setup
from telex.wire.packets import Connect, Disconnect, PingReq, Publish, Subscribe, SubscriptionRequest
from telex.wire.properties import Properties
from tests.engine.world import ClosedGate, Manners, OneRule, World
from tests.processes import find, free_port, running, wait_for_port
from tests.shell.raw import RawClient, open_socket

MQTT_5, MQTT_3_1_1 = 5, 4


class Place(log_destinations.Destination):
    """Where a test reads the log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.kinds: list[str] = []

    def write(self, line: str, kind: str) -> None:
        self.lines.append(line)
        self.kinds.append(kind)


class Desk:
    """The log as a test sets it up, with the lines that came."""

    def __init__(self) -> None:
        self.open: list[Destinations] = []

    def has(self, *to: str, **said: Any) -> Destinations:
        self.open.append(setup(Log(to=list(to), **said)))
        return self.open[-1]

    def reads(self, **said: Any) -> Place:
        """Log to a list; without time stamps, if nothing else is said."""
        destinations = self.has("none", **{"timestamp": False, **said})
        place = Place()
        destinations._places = [place]
        return place


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    while desk.open:
        desk.open.pop().undo()
    assert logging.getLogger("telex").handlers == []


def a_world(options: Options | None = None, gate: Gate | None = None) -> World:
    world = World(options, gate=gate)
    world.engine.observer = LogObserver(lambda: world.now)
    return world


# One line for each cause


def says_disconnect(world: World) -> None:
    world.client("c").disconnects()


def leaves_its_will(world: World) -> None:
    world.client("c").disconnects(0x04)


def vanishes(world: World) -> None:
    world.client("c").drops()


def breaks_off(world: World) -> None:
    world.client("c").connection.closed(world.now, "the connection broke: [Errno 104] Connection reset by peer")


def keeps_silent(world: World) -> None:
    world.client("c", keep_alive=10)
    world.advance(15)


def is_replaced(world: World) -> None:
    world.client("c")
    world.knocks("c").drops()


def sends_garbage(world: World) -> None:
    world.client("c").sends_bytes(b"\xff\x00")


def connects_twice(world: World) -> None:
    world.client("c").sends(Connect("c"))


def sends_too_much(world: World) -> None:
    world.client("c").sends(Publish("t", bytes(3_000)))


def uses_an_unknown_alias(world: World) -> None:
    world.client("c").sends(Publish("t", b"", properties=Properties(topic_alias=1_000)))


def has_too_much_in_flight(world: World) -> None:
    client = world.client("c")
    client.sends(Publish("t", qos=2, packet_id=1), Publish("t", qos=2, packet_id=2))


def asks_for_too_much_qos(world: World) -> None:
    world.client("c").sends(Publish("t", qos=2, packet_id=1))


def is_still_there_at_the_end(world: World) -> None:
    world.client("c").connection.disconnect(ReasonCode.SERVER_SHUTTING_DOWN, "the broker stops", world.now)


def is_thrown_out(world: World) -> None:
    world.client("c").connection.disconnect(ReasonCode.ADMINISTRATIVE_ACTION, "its rights are gone", world.now)


def is_too_fast(world: World) -> None:
    world.client("c").connection.disconnect(ReasonCode.MESSAGE_RATE_TOO_HIGH, "messages_per_second exceeded", world.now)


def has_the_wrong_password(world: World) -> None:
    world.knocks("c", user_name="al", password=b"secret")


def speaks_another_version(world: World) -> None:
    world.stranger().sends_bytes(b"\x10\x0d\x00\x04MQTT\x07\x02\x00\x3c\x00\x01c")


def speaks_http(world: World) -> None:
    world.stranger().sends_bytes(b"GET / HTTP/1.1\r\n\r\n")


def says_nothing(world: World) -> None:
    world.stranger()
    world.advance(10)


def has_no_name(world: World) -> None:
    world.knocks("", version=MQTT_3_1_1, clean_start=False)


def is_one_too_many(world: World) -> None:
    world.client("first", version=MQTT_3_1_1)
    world.knocks("c", version=MQTT_3_1_1)


C = 'client=c user="" address=c.test version=5.0'
V3 = 'client=c user="" address=c.test version=3.1.1'
NOBODY = 'client="" user="" address=stranger.test version=""'
SILENT = "publish_received=0 publish_sent=0 bytes_received=16 bytes_sent=16"
CLOSED = ClosedGate(ReasonCode.BAD_USER_NAME_OR_PASSWORD)

# What happens, in what kind of broker; the line about it as text, and in Mosquitto's words.
CAUSES: list[tuple[Callable[[World], None], Options, str, str]] = [
    (
        says_disconnect,
        Options(),
        f'info disconnected {C} reason="the client disconnected" duration=0 '
        "publish_received=0 publish_sent=0 bytes_received=18 bytes_sent=16",
        "Client c disconnected.",
    ),
    (
        leaves_its_will,
        Options(),
        f'info disconnected {C} reason="the client left: 0x04 disconnect with will message" duration=0 '
        "publish_received=0 publish_sent=0 bytes_received=19 bytes_sent=16",
        "Client c disconnected.",
    ),
    (
        vanishes,
        Options(),
        f'info disconnected {C} reason="the client closed it" duration=0 {SILENT}',
        "Client c closed its connection.",
    ),
    (
        breaks_off,
        Options(),
        f'info disconnected {C} reason="the connection broke: [Errno 104] Connection reset by peer" '
        f"duration=0 {SILENT}",
        "Client c closed its connection.",
    ),
    (
        keeps_silent,
        Options(),
        f'info disconnected {C} reason="nothing came for one and a half times 10 s (0x8D keep alive timeout)" '
        f"duration=15 {SILENT}",
        "Client c has exceeded timeout, disconnecting.",
    ),
    (
        is_replaced,
        Options(),
        f'info disconnected {C} reason="another connection came with the same client id (0x8E session taken over)" '
        f"duration=0 {SILENT}",
        "Client c already connected, closing old connection.",
    ),
    (
        sends_garbage,
        Options(),
        f'info disconnected {C} reason="packet type 15 with flags 1111 [MQTT-2.1.3-1] (0x81 malformed packet)" '
        "duration=0 publish_received=0 publish_sent=0 bytes_received=18 bytes_sent=16",
        "Client c disconnected due to malformed packet.",
    ),
    (
        connects_twice,
        Options(),
        f'info disconnected {C} reason="a second CONNECT on one connection [MQTT-3.1.0-2] (0x82 protocol error)" '
        "duration=0 publish_received=0 publish_sent=0 bytes_received=32 bytes_sent=16",
        "Client c disconnected due to protocol error.",
    ),
    (
        sends_too_much,
        Options(maximum_packet_size=1_000),
        f'info disconnected {C} reason="a packet of 3,007 bytes, at most 1,000 are allowed (0x95 packet too large)" '
        "duration=0 publish_received=0 publish_sent=0 bytes_received=3023 bytes_sent=16",
        "Client c disconnected due to oversize packet.",
    ),
    (
        uses_an_unknown_alias,
        Options(),
        f'info disconnected {C} reason="topic alias 1000, we allowed 1 to 100 [MQTT-3.3.2-9] '
        '(0x94 topic alias invalid)" duration=0 publish_received=1 publish_sent=0 bytes_received=25 bytes_sent=16',
        "Client c disconnected: topic alias invalid.",
    ),
    (
        has_too_much_in_flight,
        Options(receive_maximum=1),
        f'info disconnected {C} reason="2 messages in flight, we allowed 1 [MQTT-3.3.4-7] '
        '(0x93 receive maximum exceeded)" duration=0 publish_received=2 publish_sent=0 bytes_received=32 bytes_sent=16',
        "Client c disconnected: receive maximum exceeded.",
    ),
    (
        asks_for_too_much_qos,
        Options(maximum_qos=1),
        f'info disconnected {C} reason="QoS 2, we allowed 1 [MQTT-3.2.2-11] (0x9B qos not supported)" duration=0 '
        "publish_received=1 publish_sent=0 bytes_received=24 bytes_sent=18",
        "Client c disconnected due to QoS too high or retain not supported.",
    ),
    (
        is_still_there_at_the_end,
        Options(),
        f'info disconnected {C} reason="the broker stops (0x8B server shutting down)" duration=0 {SILENT}',
        "Client c disconnected: server shutting down.",
    ),
    (
        is_thrown_out,
        Options(),
        f'info disconnected {C} reason="its rights are gone (0x98 administrative action)" duration=0 {SILENT}',
        "Client c been disconnected by administrative action.",
    ),
    (
        is_too_fast,
        Options(),
        f'info disconnected {C} reason="messages_per_second exceeded (0x96 message rate too high)" duration=0 {SILENT}',
        "Client c disconnected: message rate too high.",
    ),
    (
        has_the_wrong_password,
        Options(),
        "warning refused client=c user=al address=c.test version=5.0 "
        'reason="the gate is closed (0x86 bad user name or password)"',
        "Client c disconnected, not authorised.",
    ),
    (
        speaks_another_version,
        Options(),
        f'warning refused {NOBODY} reason="protocol version 7, expected 3, 4 or 5 (0x84 unsupported protocol version)"',
        "Client <unknown> disconnected due to protocol error.",
    ),
    (
        speaks_http,
        Options(),
        f'warning refused {NOBODY} reason="expected CONNECT first, got a first byte of 0x47, as HTTP begins; '
        'this listener speaks MQTT only [MQTT-3.1.0-1] (0x82 protocol error)"',
        "Client <unknown> disconnected due to protocol error.",
    ),
    (
        says_nothing,
        Options(),
        f'warning refused {NOBODY} reason="no CONNECT came in time"',
        "Client <unknown> has exceeded timeout, disconnecting.",
    ),
    (
        has_no_name,
        Options(),
        'warning refused client="" user="" address=.test version=3.1.1 '
        'reason="the CONNECT has no client id (0x85 client identifier not valid)"',
        "Client <unknown> disconnected due to protocol error.",
    ),
    (
        is_one_too_many,
        Options(max_sessions=1),
        f'warning refused {V3} reason="there are 1 sessions, as many as max_sessions allows (0x97 quota exceeded)"',
        "Client c disconnected: quota exceeded.",
    ),
]
NAMES = [act.__name__ for act, *_ in CAUSES]


@pytest.mark.parametrize(("act", "options", "text", "words"), CAUSES, ids=NAMES)
def test_each_end_of_a_connection_has_its_line(
    desk: Desk, act: Callable[[World], None], options: Options, text: str, words: str
) -> None:
    place = desk.reads()
    act(a_world(options, CLOSED if act is has_the_wrong_password else None))
    ends = [line for line in place.lines if line.split()[1] in ("disconnected", "refused")]
    assert ends[0] == text
    place = desk.reads(format="mosquitto")
    act(a_world(options, CLOSED if act is has_the_wrong_password else None))
    ends = [line for line in place.lines if line.startswith("Client ")]
    assert ends[0] == words


@pytest.mark.parametrize(("act", "options"), [cause[:2] for cause in CAUSES], ids=NAMES)
def test_each_end_of_a_connection_has_its_object_in_json(
    desk: Desk, act: Callable[[World], None], options: Options
) -> None:
    place = desk.reads(format="json")
    act(a_world(options, CLOSED if act is has_the_wrong_password else None))
    ends = [json.loads(line) for line in place.lines]
    end = next(each for each in ends if each["event"] in ("disconnected", "refused"))
    assert end.keys() >= {"level", "event", "client", "user", "address", "version", "reason"}
    if end["event"] == "disconnected":
        counts = {"duration", "publish_received", "publish_sent", "bytes_received", "bytes_sent"}
        assert end.keys() >= counts
        assert all(isinstance(end[each], int | float) for each in counts)


def test_who_is_still_silent_when_the_broker_stops_is_no_warning(desk: Desk) -> None:
    place = desk.reads()
    world = a_world()
    world.stranger().connection.disconnect(ReasonCode.SERVER_SHUTTING_DOWN, "the broker stops", world.now)
    assert place.lines == [f'info refused {NOBODY} reason="the broker stops (0x8B server shutting down)"']


def test_what_a_client_brought_and_got_is_counted(desk: Desk) -> None:
    place = desk.reads()
    world = a_world()
    client = world.client("c").subscribes("t", qos=1)
    client.publishes("t", b"12345", qos=1).publishes("elsewhere", b"12345")
    world.advance(1.25)
    client.disconnects()
    assert place.lines[-1].endswith("duration=1.25 publish_received=2 publish_sent=1 bytes_received=63 bytes_sent=39")


def test_who_comes_has_a_line(desk: Desk) -> None:
    place = desk.reads()
    a_world().client("c", user_name="al", keep_alive=60, version=MQTT_3_1_1)
    assert place.lines == ["info connected client=c user=al address=c.test version=3.1.1 keep_alive=60"]
    place = desk.reads(format="mosquitto")
    a_world().client("c", user_name="al", keep_alive=60, version=MQTT_3_1_1, clean_start=False)
    assert place.lines == ["New client connected from c.test as c (p2, c0, k60, u'al')."]


@pytest.mark.parametrize(
    ("visit", "port", "words"),
    [
        (Visit("127.0.0.1:50000", "127.0.0.1", "*:1883"), 1883, "New connection from 127.0.0.1:50000 on port 1883."),
        (Visit("[::1]:35176", "::1", "*:1883"), 1883, "New connection from ::1:35176 on port 1883."),
        (Visit("a local socket", "", "/run/x.sock"), 0, "New connection from /run/x.sock:0 on port 0."),
    ],
)
def test_a_connection_that_has_said_nothing_has_mosquittos_line(
    desk: Desk, visit: Visit, port: int, words: str
) -> None:
    place = desk.reads(format="mosquitto")
    LogObserver().opened(visit, port)
    assert place.lines == [words]
    place = desk.reads()  # otherwise it is a detail
    LogObserver().opened(visit, port)
    assert place.lines == []


def test_a_connection_too_many_has_mosquittos_line(desk: Desk) -> None:
    place = desk.reads(format="mosquitto")
    guard = Guard(Protection(), {"*:1883": 1})
    guard.comes("192.0.2.7", "*:1883", 0.0)
    for _ in range(5):
        guard.comes("192.0.2.7", "*:1883", 0.0)
    guard.tick(10.0)
    line = "Client connection from 192.0.2.7 denied: max_connections exceeded."
    assert place.lines == [line, line, line, f"{line} (and 1 more)"]


def test_who_comes_and_goes_can_be_left_out(desk: Desk) -> None:
    place = desk.reads(connections=False)
    a_world().client("c").disconnects()
    says_nothing(a_world())
    assert place.lines == [f'warning refused {NOBODY} reason="no CONNECT came in time"']
    place = desk.reads(connections=False, format="mosquitto")  # where that is left out, too
    a_world().client("c").disconnects()
    says_nothing(a_world())
    assert place.lines == []


# Denials


class NothingAllowed(Permissions):
    """A client may do nothing."""

    def grant_publish(self, topic: str) -> Grant:
        return Grant(-1, rule="rule 3: deny publish")

    def grant_subscribe(self, topic_filter: str) -> Grant:
        return Grant(-1, rule="rule 4: deny subscribe")


def test_a_denial_has_one_line_and_then_they_are_counted(desk: Desk) -> None:
    place = desk.reads(connections=False)
    world = a_world(gate=OneRule(NothingAllowed()))
    observer = world.engine.observer
    assert isinstance(observer, LogObserver)
    one = world.client("one", user_name="al")
    for number in range(100):
        one.sends(Publish(f"secret/{number}", b"x"))
    who = "warning denied client=one user=al address=one.test action=publish"
    assert place.lines == [f'{who} topic=secret/0 rule="rule 3: deny publish"']
    world.client("two").sends(Subscribe(1, [SubscriptionRequest("#", 0)]))  # has a line of its own
    assert place.lines[1:] == [
        'warning denied client=two user="" address=two.test action=subscribe topic=# rule="rule 4: deny subscribe"'
    ]
    world.advance(9)
    observer.tick()
    assert len(place.lines) == 2
    world.advance(1)
    observer.tick()
    assert place.lines[2:] == [f'{who} topic=secret/99 rule="rule 3: deny publish" more=98']
    one.sends(Publish("secret/100", b"x"))
    assert len(place.lines) == 3
    world.advance(100)
    observer.tick()
    observer.tick()
    assert place.lines[3:] == [f'{who} topic=secret/100 rule="rule 3: deny publish"']


def test_a_denial_after_a_while_tells_of_those_before(desk: Desk) -> None:
    place = desk.reads()
    throttle = Throttle(2, 10.0)
    for now in (0.0, 1.0, 2.0, 3.0, 11.0):
        throttle.tell("a", Event("denied", {"at": now}), now)
    assert place.lines == ["warning denied at=0", "warning denied at=1", "warning denied at=11 more=2"]


def test_what_is_known_of_those_who_are_denied_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_MOST_KEYS", 3)
    place = desk.reads()
    throttle = Throttle(1, 10.0)
    for number in range(10):
        throttle.tell(f"c{number}", Event("denied", {"number": number}), 0.0)
    assert place.lines == [f"warning denied number={number}" for number in range(4)]
    throttle.tick(10.0)
    assert place.lines[4:] == ["warning denied number=9 more=5"]
    throttle.tick(20.0)
    throttle.tell("c11", Event("denied", {"number": 11}), 20.0)
    assert place.lines[5:] == ["warning denied number=11"]


# Forms


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("sensor-1", "sensor-1"),
        ("Küche", "Küche"),
        ("", '""'),
        ("the house", '"the house"'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("x\ninfo connected client=evil", '"x\\ninfo connected client=evil"'),
        ("\x1b[2J", '"\\u001b[2J"'),
        ("\u202eevil", '"\\u202eevil"'),
        ("\U000e0001", '"\\U000e0001"'),
        (3, "3"),
        (0.25, "0.25"),
        (15.0, "15"),
    ],
)
def test_a_value_is_quoted_where_it_has_to_be(value: str | int | float, line: str) -> None:
    assert shown(value) == line


@pytest.mark.parametrize("form", ["text", "json", "mosquitto"])
def test_long_names_make_no_long_lines(desk: Desk, form: str) -> None:
    place = desk.reads(format=form, level="debug")
    long = "x" * 60_000
    world = a_world(gate=OneRule(NothingAllowed()))
    client = world.new_client("c", Manners(user_name=long))
    client.sends(client.manners.connect(long))
    client.sends(Publish(long), Subscribe(1, [SubscriptionRequest(long)])).disconnects()
    world.engine.observer.subscribed(long, long, 0)
    world.engine.observer.unsubscribed(long, long)
    world.engine.observer.dropping(long, long, "why")
    assert len(place.lines) == 6
    assert max(len(line) for line in place.lines) < 2_000


@pytest.mark.parametrize("form", ["text", "json", "mosquitto"])
def test_nobody_can_forge_a_line(desk: Desk, form: str) -> None:
    place = desk.reads(format=form)
    world = a_world()
    world.engine.observer.denied(Visit("here"), "publish", "a\nb\rc\x85d\u2028e", "rule\n3")
    logging.getLogger("telex").warning("a name: %s", "x\ny\u2028z")
    assert len(place.lines) == 2
    assert all(len(line.splitlines()) == 1 for line in place.lines)


def test_lines_that_are_no_events_have_a_form_too(desk: Desk) -> None:
    logger = logging.getLogger("telex")
    place = desk.reads()
    logger.info("restored sessions=%d", 3)
    assert place.lines == ["info restored sessions=3"]
    place = desk.reads(format="json")
    logger.info("restored sessions=%d", 3)
    assert json.loads(place.lines[0]) == {"level": "info", "event": "message", "text": "restored sessions=3"}
    place = desk.reads(format="mosquitto")
    logger.info("restored sessions=%d", 3)
    assert (place.lines, place.kinds) == (["restored sessions=3"], ["information"])


def test_an_exception_comes_with_its_traceback(desk: Desk) -> None:
    place = desk.reads()
    try:
        raise RuntimeError("a fault of ours")
    except RuntimeError:
        logging.getLogger("telex").exception("something went wrong")
    first, *trace = place.lines[0].splitlines()
    assert first == "error something went wrong"
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "RuntimeError: a fault of ours"
    place = desk.reads(format="json")
    try:
        raise RuntimeError("a fault of ours")
    except RuntimeError:
        logging.getLogger("telex").exception("something went wrong")
    assert json.loads(place.lines[0])["trace"].endswith("RuntimeError: a fault of ours")


@pytest.mark.parametrize(
    ("said", "pattern"),
    [
        ({}, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d info x"),
        ({"timestamp_format": "%Y"}, r"\d{4} info x"),
        ({"timestamp": False}, r"info x"),
        ({"format": "mosquitto"}, r"\d{10,}: x"),
        ({"format": "mosquitto", "timestamp_format": "%H:%M"}, r"\d\d:\d\d: x"),
        ({"format": "mosquitto", "timestamp": False}, r"x"),
        (
            {"format": "json"},
            r'\{"time": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "level": "info", "event": "message", "text": "x"\}',
        ),
        ({"format": "json", "timestamp": False}, r'\{"level": "info", "event": "message", "text": "x"\}'),
    ],
)
def test_the_time_stands_where_it_is_wanted(desk: Desk, said: dict[str, Any], pattern: str) -> None:
    place = desk.reads(**{"timestamp": True, **said})
    logging.getLogger("telex").info("x")
    assert re.fullmatch(pattern, place.lines[0])


@pytest.mark.parametrize(
    ("said", "kinds"),
    [
        ({}, ["warning", "error", "notice"]),
        ({"level": "debug"}, ["notice", "debug", "warning", "error", "notice", "subscribe"]),
        ({"level": "warning"}, ["warning", "error"]),
        ({"level": "error"}, ["error"]),
        ({"types": ["error"]}, ["error"]),
        ({"types": ["subscribe", "notice"]}, ["notice", "notice", "subscribe"]),
        ({"types": ["all"]}, ["notice", "debug", "warning", "error", "notice", "subscribe"]),
        ({"types": ["all", "none"]}, []),
        ({"types": []}, []),
        ({"types": ["internal", "websockets"]}, []),
        ({"format": "mosquitto"}, ["notice", "warning", "error", "notice"]),
        ({"format": "mosquitto", "types": ["debug"]}, ["debug"]),
    ],
)
def test_only_what_is_wanted_is_written(desk: Desk, said: dict[str, Any], kinds: list[str]) -> None:
    place = desk.reads(**said)
    world = a_world()
    observer = world.engine.observer
    assert isinstance(observer, LogObserver)
    observer.opened(Visit("127.0.0.1:50000"), 1883)
    logging.getLogger("telex").debug("a detail")
    logging.getLogger("telex").warning("a warning")
    logging.getLogger("telex").error("an error")
    world.client("c").subscribes("t")
    assert place.kinds == kinds


def test_subscriptions_read_as_mosquitto_has_them(desk: Desk) -> None:
    place = desk.reads(format="mosquitto", types=["subscribe", "unsubscribe"])
    a_world().client("sub 1").subscribes("a/b", qos=1).unsubscribes("a/b")
    assert place.lines == ["sub 1 1 a/b", "sub 1 a/b"]


# The same as Mosquitto


async def everyday_life(port: int) -> None:
    """Come and go in ways that Mosquitto has words for."""
    async with open_socket(port, MQTT_3_1_1) as client:
        await client.send(Connect("c1", version=MQTT_3_1_1, keep_alive=60, user_name="alice", password=b"x"))
        await client.receive()
        await client.send(Disconnect())
        assert await client.receive() is None
    async with open_socket(port) as client:
        await client.send(Connect("c2", keep_alive=60))
        await client.receive()
    async with open_socket(port) as client:
        await client.send(Connect("c3", clean_start=False))
        await client.receive()
        await client.send(Connect("c3"))
        await is_closed(client)
    async with open_socket(port, MQTT_3_1_1) as old, open_socket(port, MQTT_3_1_1) as new:
        for client in (old, new):
            await client.send(Connect("c4", version=MQTT_3_1_1, keep_alive=10))
            await client.receive()
        assert await old.receive() is None
        await new.send(PingReq())
        await new.receive()
        await new.send(Disconnect())
        assert await new.receive() is None
    async with open_socket(port) as client:
        await client.send(Connect("c5", keep_alive=60))
        await client.receive()
        await client.send(Publish("t", bytes(2_000)))
        await is_closed(client)


async def is_closed(client: RawClient) -> None:
    """Read until the other side has closed, however it does that."""
    with suppress(ConnectionResetError):
        while await client.receive() is not None:
            pass


def of_clients(lines: list[str]) -> list[str]:
    """Those lines that tell who came and went, with their ports left out."""
    found = [re.sub(r"127\.0\.0\.1:\d+", "HERE", line) for line in lines]
    return [line for line in found if re.match(r"\d+: (New client|Client (?!<unknown>))", line)]


def test_who_came_and_went_reads_as_in_mosquittos_own_log(desk: Desk, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.log", tmp_path / "ours.log"
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_packet_size 1000\n"
        f"log_dest file {theirs}\nuser {getpass.getuser()}\n"
    )
    with running(find("mosquitto"), "-c", str(config)):
        wait_for_port(port)
        asyncio.run(everyday_life(port))

    async def in_telex() -> None:
        async with telex.Broker(port=0, options=Options(maximum_packet_size=1_000)) as broker:
            await everyday_life(broker.port)

    desk.has(f"file:{ours}", format="mosquitto")
    asyncio.run(in_telex())
    without_time = [
        [line.partition(": ")[2] for line in of_clients(each.read_text().splitlines())] for each in (theirs, ours)
    ]
    assert sorted(without_time[0]) == sorted(without_time[1])  # they notice closed sockets at different moments
    assert len(without_time[0]) == 12


# Destinations


def test_the_root_logger_and_other_programs_loggers_are_left_alone() -> None:
    root, logger = logging.getLogger(), logging.getLogger("telex")
    before = (root.level, root.handlers[:], logger.level, logger.handlers[:], logger.propagate)
    own = logging.NullHandler()
    logger.addHandler(own)
    destinations = setup(Log(to=[]))
    assert logger.handlers == [destinations]
    assert (root.level, root.handlers) == before[:2]
    destinations.undo()
    assert logger.handlers == [*before[3], own]
    logger.removeHandler(own)
    assert (root.level, root.handlers[:], logger.level, logger.handlers[:], logger.propagate) == before


@pytest.mark.parametrize("to", [[], ["none"]])
def test_nowhere_is_a_place_too(desk: Desk, to: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    desk.has(*to)
    logging.getLogger("telex").error("nobody hears me")
    assert capfd.readouterr() == ("", "")


def test_one_line_may_go_to_many_places(desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "telex.log"
    desk.has("stderr", "stdout", f"file:{path}", timestamp=False)
    logging.getLogger("telex").warning("hello")
    assert capsys.readouterr() == ("warning hello\n", "warning hello\n")
    assert path.read_text() == "warning hello\n"


def test_what_a_stream_cannot_say_is_written_with_a_backslash(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stdout"
    with path.open("w", encoding="ascii") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        desk.has("stdout", timestamp=False)
        logging.getLogger("telex").warning("Küche")
    assert path.read_bytes() == b"warning K\\xfcche\n"


def test_a_file_that_was_moved_away_is_opened_anew(desk: Desk, tmp_path: Path) -> None:
    path, moved = tmp_path / "telex.log", tmp_path / "telex.log.1"
    logger = logging.getLogger("telex")
    destinations = desk.has(f"file:{path}", timestamp=False)
    logger.warning("one")
    path.rename(moved)
    logger.warning("two")
    destinations.reopen()
    logger.warning("three")
    assert moved.read_text() == "warning one\nwarning two\n"
    assert path.read_text() == "warning three\n"


def test_a_file_that_cannot_be_opened_again_is_kept(desk: Desk, tmp_path: Path) -> None:
    path, moved = tmp_path / "telex.log", tmp_path / "telex.log.1"
    destinations = desk.has(f"file:{path}", timestamp=False)
    path.rename(moved)
    path.mkdir()
    destinations.reopen()
    logging.getLogger("telex").warning("still here")
    told, still = moved.read_text().splitlines()
    assert told.startswith(f"error log: the file {path} cannot be opened for writing by user ")
    assert still == "warning still here"


def test_a_file_that_cannot_be_opened_is_refused_with_its_path_and_the_user(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "telex.log"
    before = logging.getLogger("telex").handlers[:]
    with pytest.raises(ConfigError, match=rf"the file {path} cannot be opened for writing by user \w+: No such file"):
        setup(Log(to=["stderr", f"file:{path}"]))
    assert logging.getLogger("telex").handlers == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_costs_lines_and_nothing_else(
    desk: Desk, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "telex.log"
    desk.has("file:/dev/full", f"file:{path}", timestamp=False)
    for number in range(3):
        logging.getLogger("telex").warning("line %d", number)
    assert capsys.readouterr().err == (
        "telex: the log cannot be written to /dev/full: [Errno 28] No space left on device\n"
    )
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"to": ["somewhere"]}, "'somewhere' is no place for the log"),
        ({"to": ["file:"]}, "'file:' is no place for the log"),
        ({"types": ["errors"]}, "there is no type 'errors'"),
        ({"to": ["syslog"], "facility": "nobody"}, "there is no syslog facility 'nobody'"),
        ({"to": ["syslog"], "facility": "pid"}, "there is no syslog facility 'pid'"),  # LOG_PID is none
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(
    desk: Desk, tmp_path: Path, said: dict[str, Any], message: str
) -> None:
    path = tmp_path / "telex.log"
    destinations = desk.has(f"file:{path}", timestamp=False)
    with pytest.raises(ConfigError, match=message):
        destinations.change(Log(**{"to": [f"file:{tmp_path / 'other.log'}"], **said}))
    logging.getLogger("telex").info("as before")
    assert path.read_text() == "info as before\n"


def test_a_reload_changes_places_form_and_level(desk: Desk, tmp_path: Path) -> None:
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    logger = logging.getLogger("telex")
    destinations = desk.has(f"file:{one}", timestamp=False)
    logger.info("one")
    destinations.change(Log(to=[f"file:{two}"], timestamp=False, format="json", level="warning"))
    logger.info("two")
    logger.warning("three")
    assert one.read_text() == "info one\n"
    assert two.read_text() == '{"level": "warning", "event": "message", "text": "three"}\n'


class FakeSyslog(ModuleType):
    """Writes down what it is told, with the numbers of the real one."""

    def __init__(self) -> None:
        super().__init__("syslog")
        self.told: list[tuple[object, ...]] = []
        for name in dir(syslog):
            if name.startswith("LOG_"):
                setattr(self, name, getattr(syslog, name))

    def openlog(self, *arguments: object) -> None:
        self.told.append(arguments)

    def syslog(self, *arguments: object) -> None:
        self.told.append(arguments)


def test_syslog_gets_lines_by_facility_and_priority() -> None:
    fake = FakeSyslog()
    place = SyslogDestination("local3", fake)
    place.write("one", "error")
    place.write("two\0", "notice")
    place.write("three", "subscribe")
    assert fake.told == [
        ("telex", syslog.LOG_PID, syslog.LOG_LOCAL3),
        (syslog.LOG_ERR, "one"),
        (syslog.LOG_NOTICE, "two"),
        (syslog.LOG_NOTICE, "three"),
    ]


def test_without_a_syslog_daemon_nothing_happens(desk: Desk) -> None:
    desk.has("syslog")
    logging.getLogger("telex").debug("nobody hears me, and nobody minds")


# Topics


class Turns:
    """A loop whose turns a test begins."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def soon(self, call: Callable[[], None]) -> None:
        self.due.append(call)

    def turn(self) -> None:
        due, self.due = self.due, []
        for call in due:
            call()


def test_lines_are_published_under_sys_between_the_turns(desk: Desk) -> None:
    destinations = desk.has("topic", timestamp=False)
    logger = logging.getLogger("telex")
    logger.warning("before the broker is there")
    published: list[tuple[str, bytes]] = []
    turns = Turns()
    destinations.publish_to(lambda topic, payload: published.append((topic, payload)), turns.soon)
    logger.error("an error")
    assert published == []
    assert len(turns.due) == 1
    turns.turn()
    assert published == [
        ("$SYS/broker/log/W", b"warning before the broker is there"),
        ("$SYS/broker/log/E", b"error an error"),
    ]
    turns.turn()
    logger.info("more")
    turns.turn()
    assert published[2:] == [("$SYS/broker/log/I", b"info more")]


def test_what_publishing_a_line_makes_the_broker_log_is_not_published(desk: Desk) -> None:
    destinations = desk.has("topic", timestamp=False)
    logger = logging.getLogger("telex")
    published: list[bytes] = []
    turns = Turns()

    def publish(topic: str, payload: bytes) -> None:
        published.append(payload)
        logger.warning("dropping it for somebody who reads too slowly")

    destinations.publish_to(publish, turns.soon)
    logger.warning("once")
    for _ in range(10):
        turns.turn()
    assert published == [b"warning once"]


def test_what_nobody_publishes_is_bounded(desk: Desk) -> None:
    place = TopicDestination()
    for number in range(5_000):
        place.write(str(number), "notice")
    published: list[bytes] = []
    turns = Turns()
    place.begin(lambda topic, payload: published.append(payload), turns.soon)
    turns.turn()
    assert published == [b"%d" % number for number in range(4_000, 5_000)]


def test_subscriptions_have_topics_of_their_own_and_debug_lines_none_with_mosquitto(desk: Desk) -> None:
    destinations = desk.has("topic", timestamp=False, format="mosquitto", types=["all"])
    published: list[tuple[str, bytes]] = []
    turns = Turns()
    destinations.publish_to(lambda topic, payload: published.append((topic, payload)), turns.soon)
    logging.getLogger("telex").debug("a detail")
    a_world().client("c", keep_alive=5).subscribes("t").unsubscribes("t")
    turns.turn()
    assert published == [
        ("$SYS/broker/log/N", b"New client connected from c.test as c (p5, c1, k5)."),
        ("$SYS/broker/log/M/subscribe", b"c 0 t"),
        ("$SYS/broker/log/M/unsubscribe", b"c t"),
    ]


def test_a_loop_that_is_closed_already_is_no_fault(desk: Desk) -> None:
    destinations = desk.has("topic", timestamp=False)
    loop = asyncio.new_event_loop()
    loop.close()
    destinations.publish_to(lambda topic, payload: None, loop.call_soon_threadsafe)
    logging.getLogger("telex").warning("too late")


async def test_a_client_reads_the_log_of_a_real_broker(desk: Desk) -> None:
    destinations = desk.has("topic", timestamp=False)
    async with telex.Broker(port=0) as broker:
        loop = asyncio.get_running_loop()

        def publish(topic: str, payload: bytes) -> None:
            broker.engine.publish(Message(topic, payload), None, loop.time())
            broker.flush_soon()

        destinations.publish_to(publish, loop.call_soon_threadsafe)
        async with open_socket(broker.port) as reader:
            await reader.send(Connect("reader"))
            await reader.receive()
            await reader.subscribe("$SYS/broker/log/#")
            async with open_socket(broker.port) as other:
                await other.send(Connect("other", user_name="al"))
                packet = await reader.receive()
                while isinstance(packet, Publish) and b"client=reader" in packet.payload:
                    packet = await reader.receive()
    assert isinstance(packet, Publish)
    assert packet.topic == "$SYS/broker/log/N"
    assert packet.payload.startswith(b"info connected client=other user=al address=127.0.0.1:")
