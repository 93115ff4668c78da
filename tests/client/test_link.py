"""One connection: what leaves when, what is told to whom. The loop's time is moved by hand."""

from asyncio import events
from collections.abc import Callable, Iterator

import pytest

from telex.client.connection import ClientConnection, Publication
from telex.client.link import Link
from telex.errors import MqttError, ProtocolError, Timeout
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Connect, Disconnect, Packet, PingReq, PingResp, PubAck, Publish

KEEP_ALIVE = 60


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """An event loop whose time is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay, call))
        return self.timers[-1]

    def call_soon(self, call: Callable[[], None]) -> Timer:
        return self.call_later(0.0, call)

    def turn(self) -> None:
        """One turn of the loop."""
        due = [timer for timer in self.timers if timer.at <= self.now and not timer.is_cancelled]
        self.timers = [timer for timer in self.timers if timer.at > self.now and not timer.is_cancelled]
        for timer in due:
            if not timer.is_cancelled:
                timer.call()

    def passes(self, seconds: float) -> None:
        end = self.now + seconds
        while coming := [timer.at for timer in self.timers if timer.at <= end and not timer.is_cancelled]:
            self.now = max(self.now, min(coming))
            self.turn()
        self.now = end


class Line:
    """A stream."""

    address = host = identity = via_tls = ""

    def __init__(self) -> None:
        self.is_writable = True
        self.unsent = 0
        self.written: list[bytes] = []
        self.ends: list[str] = []
        self.reading: list[bool] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")

    def pause_reading(self) -> None:
        self.reading.append(False)

    def resume_reading(self) -> None:
        self.reading.append(True)

    def acknowledge_now(self) -> None:
        pass


class Story:
    """A link, with its owner, its stream and its clock."""

    def __init__(self, clock: Clock, tap: Callable[[bytes, bool], None] | None = None) -> None:
        self.clock = clock
        self.line = Line()
        self.connection = ClientConnection(Connect("c", keep_alive=KEEP_ALIVE))
        self.events: list[Packet | Publication] = []
        self.must_hold = False
        self.awaits_answers = False
        self.rooms = 0
        self.end: tuple[MqttError | None, str] | None = None
        self.link = Link(self.connection, self, self.line, tap)

    def happened(self, events: list[Packet | Publication]) -> None:
        self.events += events

    def has_room(self) -> None:
        self.rooms += 1

    def ended(self, link: Link, error: MqttError | None, reason: str) -> None:
        assert link is self.link
        self.end = (error, reason)

    def opens(self) -> "Story":
        self.gets(ConnAck())
        self.clock.turn()
        self.line.written.clear()
        self.rooms = 0
        return self

    def gets(self, *packets: Packet) -> None:
        self.link.received(b"".join(encode(packet, 5) for packet in packets))

    def sent(self) -> list[Packet]:
        decoder = Decoder(version=5)
        decoder.receive(b"".join(self.line.written))
        self.line.written.clear()
        return list(iter(decoder.next_packet, None))


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    events._set_running_loop(clock)  # type: ignore[arg-type]
    yield clock
    events._set_running_loop(None)


def test_connect_leaves_at_once(clock: Clock) -> None:
    story = Story(clock)
    assert story.sent() == [Connect("c", keep_alive=KEEP_ALIVE)]


def test_a_turn_of_the_loop_is_a_write(clock: Clock) -> None:
    story = Story(clock).opens()
    for number in range(3):
        story.connection.publish("a", b"%d" % number)
        story.link.gathered(10)
    assert story.line.written == []
    clock.turn()
    assert len(story.line.written) == 1
    assert [packet.payload for packet in story.sent() if isinstance(packet, Publish)] == [b"0", b"1", b"2"]
    assert story.rooms == 1


def test_nothing_to_send_is_no_write(clock: Clock) -> None:
    story = Story(clock).opens()
    story.link.soon()
    clock.turn()
    assert story.line.written == []
    assert story.rooms == 1


def test_what_has_gathered_makes_others_wait_until_it_has_left(clock: Clock) -> None:
    story = Story(clock).opens()
    story.link.gathered(65_535)
    assert story.link.is_writable
    story.link.gathered(1)
    assert not story.link.is_writable
    clock.turn()
    assert story.link.is_writable


def test_a_stream_that_does_not_keep_up_has_no_room(clock: Clock) -> None:
    story = Story(clock).opens()
    story.line.is_writable = False
    assert not story.link.is_writable
    story.link.soon()
    clock.turn()
    assert story.rooms == 0
    story.line.is_writable = True
    story.link.writable()
    assert story.rooms == 1


def test_what_must_wait_for_the_disk_waits(clock: Clock) -> None:
    story = Story(clock).opens()
    story.must_hold = True
    story.connection.publish("a", b"x")
    story.link.gathered(10)
    clock.turn()
    story.link.flush()
    assert story.line.written == []
    story.must_hold = False
    story.link.soon()
    clock.turn()
    assert len(story.sent()) == 1


def test_answers_leave_in_the_same_turn(clock: Clock) -> None:
    story = Story(clock).opens()
    story.gets(*[Publish("a", b"", 1, packet_id=packet_id) for packet_id in (1, 2, 3)])
    assert [type(event) for event in story.events] == [ConnAck, Publish, Publish, Publish]
    clock.turn()
    assert story.sent() == [PubAck(1), PubAck(2), PubAck(3)]


def test_what_came_before_a_fault_is_told(clock: Clock) -> None:
    story = Story(clock).opens()
    story.events.clear()
    story.gets(Publish("a", b"good"), PingReq(), Publish("a", b"too late"))
    assert story.events == [Publish("a", b"good")]
    clock.turn()
    assert story.sent() == [Disconnect(0x82)]
    assert story.line.ends == ["close"]
    story.link.lost("the connection was closed")
    assert story.end is not None
    assert isinstance(story.end[0], ProtocolError)


def test_after_our_goodbye_the_broker_has_a_second_to_close(clock: Clock) -> None:
    # To close first while it still sends would reset the connection, and what left last might be lost.
    story = Story(clock).opens()
    story.connection.publish("a", b"last words")
    story.connection.disconnect()
    story.link.flush()
    assert story.sent() == [Publish("a", b"last words"), Disconnect()]
    story.gets(Publish("a", b"we have gone"))
    clock.passes(0.9)
    assert story.line.ends == []
    clock.passes(0.2)
    assert story.line.ends == ["close"]
    assert [event for event in story.events if isinstance(event, Publish)] == []


def test_if_it_does_nothing_is_left_to_do(clock: Clock) -> None:
    story = Story(clock).opens()
    story.link.pause_reading()
    story.connection.disconnect()
    story.link.flush()
    assert story.line.reading == [False, True]  # otherwise nobody would see it close
    story.link.lost("the connection was closed")
    clock.passes(10.0)
    assert story.line.ends == []
    assert story.end == (None, "the connection was closed")


def test_a_slow_link_is_not_a_dead_one(clock: Clock) -> None:
    """Our question waits behind a large message: no answer can be there before all of that has left."""
    story = Story(clock).opens()
    story.connection.publish("a", bytes(1_000_000))
    story.link.gathered(1_000_000)
    clock.turn()
    story.line.unsent = 1_000_000
    for _ in range(KEEP_ALIVE * 10):
        story.line.unsent -= 1_000
        clock.passes(1)
    assert PingReq() in story.sent()
    assert story.line.ends == []
    clock.passes(KEEP_ALIVE / 2 - 2)  # and now nothing leaves any more
    assert story.line.ends == []
    clock.passes(4)
    assert story.line.ends == ["abort"]


def test_a_dead_link_is_noticed_though_bytes_leave(clock: Clock) -> None:
    """The kernel takes megabytes for a peer that is gone."""
    story = Story(clock).opens()
    for _ in range(KEEP_ALIVE * 3 // 2):
        story.connection.publish("a", bytes(1_000))
        story.link.gathered(1_000)
        story.line.unsent = 500
        clock.passes(1)
    assert story.line.ends == ["abort"]


def test_a_broker_that_answers_no_ping_is_given_up(clock: Clock) -> None:
    story = Story(clock).opens()
    clock.passes(KEEP_ALIVE)
    assert story.sent() == [PingReq()]
    assert story.line.ends == []
    clock.passes(KEEP_ALIVE / 2)
    assert story.line.ends == ["abort"]
    story.link.lost("it was aborted")
    assert story.end is not None
    assert isinstance(story.end[0], Timeout)


def test_one_that_does_is_kept(clock: Clock) -> None:
    story = Story(clock).opens()
    pings = 0
    for _ in range(KEEP_ALIVE * 20):
        clock.passes(1.0)
        for _ in story.sent():
            pings += 1
            story.gets(PingResp())
    assert story.line.ends == []
    assert 20 <= pings <= 28


def test_one_that_is_not_read_is_not_blamed_and_hears_of_us(clock: Clock) -> None:
    story = Story(clock).opens()
    story.link.pause_reading()
    clock.passes(KEEP_ALIVE * 10)
    assert story.line.ends == []
    assert 10 <= len(story.sent()) <= 14


def test_reading_is_paused_and_resumed_once(clock: Clock) -> None:
    story = Story(clock).opens()
    story.link.resume_reading()
    for _ in range(2):
        story.link.pause_reading()
    assert not story.link.is_reading
    for _ in range(2):
        story.link.resume_reading()
    assert story.line.reading == [False, True]


def test_what_is_lost_leaves_no_timer(clock: Clock) -> None:
    story = Story(clock).opens()
    story.link.soon()
    story.link.lost("gone")
    assert [timer for timer in clock.timers if not timer.is_cancelled] == []
    assert story.end == (None, "gone")


def test_the_first_error_counts(clock: Clock) -> None:
    story = Story(clock).opens()
    story.link.abort(MqttError("first"))
    story.link.abort(MqttError("second"))
    story.link.lost("gone")
    assert story.end is not None
    assert str(story.end[0]) == "first"


def test_a_tap_sees_all_bytes(clock: Clock) -> None:
    seen: list[tuple[bytes, bool]] = []
    story = Story(clock, lambda data, leaves: seen.append((data, leaves)))
    story.gets(ConnAck())
    story.connection.publish("a", b"x")
    story.link.flush()
    assert seen == [
        (encode(Connect("c", keep_alive=KEEP_ALIVE), 5), True),
        (encode(ConnAck(), 5), False),
        (encode(Publish("a", b"x"), 5), True),
    ]
