"""``telex sub -w``: what is kept of the topics, and what is drawn of them."""

import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from telex.cli import watch
from telex.cli.watch import Topics, Watch, shown_age, shown_payload, shown_rate
from telex.client.message import Message
from telex.wire.packets import Publish
from tests.processes import SECONDS, Server, run, telex_command


def message(topic: str, payload: bytes = b"x", *, retain: bool = False) -> Message:
    return Message(Publish(topic, payload, retain=retain))


class Screen:
    """A terminal of a given size, and a clock that is moved by hand."""

    def __init__(self, width: int = 60, height: int = 8) -> None:
        self.now = 1000.0
        self.console = Console(
            file=io.StringIO(), force_terminal=True, width=width, height=height, no_color=True, highlight=False
        )
        self.watch = Watch(self.console, lambda: self.now)

    def takes(self, *messages: Message) -> None:
        self.watch.topics.take(list(messages), self.now)

    @property
    def lines(self) -> list[str]:
        with self.console.capture() as capture:
            self.console.print(self.watch.frame())
        plain = re.sub(r"\x1b\[[0-9;]*m", "", capture.get())
        return [line.rstrip() for line in plain.splitlines()]

    @property
    def topics(self) -> list[str]:
        return [line[2:].split()[0] for line in self.lines[2:-1]]


# What is kept


def test_a_topic_has_its_last_message() -> None:
    topics = Topics()
    topics.take([message("a", b"1", retain=True), message("b", b"2"), message("a", b"three")], 5.0)
    topics.take([message("b", b"", retain=True)], 7.0)
    first, second = topics.rows(0, 10, 8.0)
    assert (first.topic, first.payload, first.size, first.retained, first.at, first.count) == (
        *("a", b"three", 5, False),
        *(5.0, 2),
    )
    assert (second.topic, second.payload, second.retained, second.at) == ("b", b"", True, 7.0)


def test_topics_are_sorted_and_new_ones_take_their_places() -> None:
    topics = Topics()
    topics.take([message(name) for name in ("m", "c", "x")], 0.0)
    assert [row.topic for row in topics.rows(0, 10, 0.0)] == ["c", "m", "x"]
    topics.take([message(name) for name in ("z", "a", "d", "m")], 0.0)
    assert [row.topic for row in topics.rows(1, 3, 0.0)] == ["c", "d", "m"]
    assert [row.topic for row in topics.rows(4, 10, 0.0)] == ["x", "z"]


def test_rates_are_measured_over_a_second_at_least() -> None:
    topics = Topics()
    topics.take([message("a")] * 10, 0.0)
    assert topics.rows(0, 1, 0.5)[0].rate == 0.0
    assert topics.rows(0, 1, 2.0)[0].rate == 5.0
    topics.take([message("a")] * 4, 2.5)
    assert topics.rows(0, 1, 2.9)[0].rate == 5.0
    assert topics.rows(0, 1, 4.0)[0].rate == 2.0
    assert topics.rows(0, 1, 14.0)[0].rate == 0.0
    assert topics.total.count == 14


def test_there_is_an_end_to_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    topics = Topics(most=3)
    topics.take([message(str(number), bytes(10_000)) for number in range(5)], 0.0)
    topics.take([message("0", b"again")], 1.0)
    assert len(topics) == 3
    assert topics.unkept == 2
    assert topics.rows(0, 1, 1.0)[0].payload == b"again"
    assert all(len(row.payload) <= watch.MOST_SHOWN for row in topics.rows(0, 10, 1.0))
    monkeypatch.setattr(watch, "MOST_CHARACTERS", 1000)
    topics = Topics()
    topics.take([message("a" * 600), message("b" * 600), message("c" * 300)], 0.0)
    assert (len(topics), topics.unkept) == (2, 1)


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"21.5", "21.5"),
        ("grün\n\x1b[2J".encode(), "grün\\n\\x1b[2J"),
        (b"\x00\xff", "00 ff"),
        (b"a" * 255 + "ü".encode(), "a" * 255),
        (b"a" * 250 + b"\xff" + b"a" * 20, "61 " * 250 + "ff 61 61 61 61 61"),
    ],
)
def test_payloads_are_shown_in_a_line(payload: bytes, shown: str) -> None:
    topics = Topics()
    topics.take([message("a", payload)], 0.0)
    assert shown_payload(topics.rows(0, 1, 0.0)[0]) == shown


def test_ages_and_rates_are_short() -> None:
    assert [shown_age(seconds) for seconds in (-0.1, 0.4, 59, 60, 7_300, 200_000)] == [
        *("0 s", "0 s", "59 s", "1 min", "2 h", "2 d")
    ]
    assert [shown_rate(rate) for rate in (0, 0.04, 0.5, 9.94, 1234.5)] == ["", "", "0.5/s", "9.9/s", "1,234/s"]


# What is drawn


def test_a_topic_has_a_line() -> None:
    screen = Screen()
    screen.takes(message("home/temp", b"21.5", retain=True), message("home/[bold]", b"[red]x"), message("z", b""))
    screen.now += 3
    lines = screen.lines
    assert re.fullmatch(r"3 topics +3 messages  1.0/s", lines[0])
    assert lines[1].split() == ["topic", "payload", "age", "rate"]
    assert lines[2].split() == ["home/[bold]", "[red]x", "3", "s", "0.3/s"]
    assert lines[3].split() == ["R", "home/temp", "21.5", "3", "s", "0.3/s"]
    assert lines[4].split() == ["z", "(null)", "3", "s", "0.3/s"]
    assert lines[5].startswith("↑ ↓ ")


def test_a_hundred_thousand_topics_are_drawn_a_screen_at_a_time() -> None:
    screen = Screen(80, 24)
    screen.takes(*(message(f"t/{number:06}") for number in range(100_000)))
    assert len(screen.lines) == 24
    assert screen.lines[0].startswith("100,000 topics, 1 to 21 ")
    assert screen.topics == [f"t/{number:06}" for number in range(21)]


def test_no_line_is_wider_than_the_terminal() -> None:
    for width in (20, 41, 200):
        screen = Screen(width)
        screen.takes(message("long/" * 100, b"payload " * 100), message("日本語" * 50, "温度計".encode() * 40))
        assert len(screen.lines) == 5
        assert all(len(line) <= width for line in screen.lines)


def test_the_table_follows_the_size_of_the_terminal() -> None:
    screen = Screen(60, 8)
    screen.takes(*(message(str(number)) for number in range(10)))
    assert len(screen.topics) == 5
    screen.console.height = 12
    assert len(screen.topics) == 9
    screen.console.height = 2
    assert len(screen.topics) == 1


def test_keys_scroll() -> None:
    screen = Screen(60, 8)
    screen.takes(*(message(f"{number:02}") for number in range(30)))

    def after(keys: bytes) -> str:
        screen.watch.typed(keys)
        return screen.topics[0]

    assert after(b"\x1b[B\x1b[Bj") == "03"
    assert after(b"\x1b[A") == "02"
    assert after(b"\x1b[6~") == "07"
    assert after(b" ") == "12"
    assert after(b"\x1b[5~") == "07"
    assert after(b"\x1b[F") == "25"
    assert after(b"\x1b[B") == "25"
    assert after(b"\x1b[H") == "00"
    assert after(b"k\x1bx\x1b") == "00"


def test_what_found_no_room_is_told() -> None:
    screen = Screen(80)
    screen.watch.topics = Topics(most=1)
    screen.takes(message("a"), message("b"), message("c"))
    assert screen.lines[0].startswith("1 topic; no room for 2 messages of others ")


def test_what_is_no_terminal_is_refused() -> None:
    code = run(*telex_command("sub", "-p", "1", "-t", "#", "-w"))
    assert code.returncode == 1
    assert code.stderr == "telex: -w draws on a terminal, and standard output is none; leave out -w, or try --json\n"
    with pytest.raises(ValueError, match="has no cursor that moves"):
        Watch(Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"}))


# The whole


class Terminal:
    """A terminal in which a program runs."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self.descriptor = descriptor
        self.process = process
        self.seen = ""

    def shows(self, pattern: str) -> None:
        """Read until a pattern has been drawn since the last call."""
        until = time.monotonic() + SECONDS
        while not re.search(pattern, self.seen):
            assert select.select([self.descriptor], [], [], max(until - time.monotonic(), 0))[0], self.seen
            self.seen += os.read(self.descriptor, 65_536).decode(errors="replace")
            self.seen = re.sub(r"\x1b\[[0-9;]*m", "", self.seen)  # bold and faint
        self.seen = ""

    def resize(self, width: int, height: int) -> None:
        import fcntl
        import termios

        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    """``telex`` in a terminal of 80 columns and 24 lines."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    try:
        with subprocess.Popen(
            telex_command(*arguments), stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment
        ) as process:
            opened = Terminal(ours, process)
            opened.resize(80, 24)
            os.close(theirs)
            try:
                yield opened
            finally:
                if process.poll() is None:
                    process.kill()
                process.communicate(timeout=SECONDS)
    finally:
        os.close(ours)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_table_is_drawn_in_place_until_q_is_typed(broker: Server) -> None:
    port = ["-p", str(broker.port)]
    assert run(*telex_command("pub", *port, "-t", "watch/old", "-m", "kept", "-r")).returncode == 0
    with terminal("sub", *port, "-t", "watch/#", "-w") as screen:
        screen.shows(r"R +watch/old +kept ")
        assert run(*telex_command("pub", *port, "-t", "watch/new", "-m", "21.5")).returncode == 0
        screen.shows(r"  watch/new +21\.5 ")
        screen.resize(40, 10)
        screen.shows(r"\x1b\[H2 topics +2 messages.*\r\n +topic +payload +age +rate *\r\n")
        os.write(screen.descriptor, b"q")
        assert screen.process.wait(SECONDS) == 0
        screen.shows(re.escape("\x1b[?1049l"))  # the screen of before is back
    assert run(*telex_command("pub", *port, "-t", "watch/old", "-n", "-r")).returncode == 0
