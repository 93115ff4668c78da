"""``telex top``: against Telex, Debian's Mosquitto, and a broker that is played by hand; on terminals and in pipes."""

import json
import logging
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from telex.cli.overview import NOTHING_TOLD, Overview
from telex.cli.sys_figures import PREFIX, Figures
from telex.cli.top import _told_on_screen
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Connect, Disconnect, Packet, Publish, SubAck, Subscribe
from tests.cli.test_watch import terminal
from tests.interop.serving import serving
from tests.processes import SECONDS, Server, find, free_port, lines_until, run, running, telex, telex_command

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


class Played:
    """A broker that takes one client after the other, and tells it what a test has it tell.

    Args:
        refuses: filters that nobody may subscribe to.
    """

    def __init__(self, *refuses: str) -> None:
        self.subscribed = threading.Semaphore(0)  # once more for each SUBSCRIBE
        self.filters: list[str] = []
        self._refuses = refuses
        self._client: socket.socket | None = None
        self._is_over = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(SECONDS * 2)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def waits(self, subscriptions: int = 1) -> None:
        """Until a client has subscribed."""
        for _ in range(subscriptions):
            assert self.subscribed.acquire(timeout=SECONDS)

    def tells(self, told: dict[str, object], *, retained: bool = False) -> None:
        """What is below ``$SYS/broker/``."""
        assert self._client is not None
        messages = [Publish(f"{PREFIX}{name}", str(value).encode(), retain=retained) for name, value in told.items()]
        self._client.sendall(b"".join(encode(each, 4) for each in messages))

    def hang_up(self) -> None:
        """End the connection of the client that is there."""
        assert self._client is not None
        self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._is_over = True
        socket.create_connection(("127.0.0.1", self.port), SECONDS).close()  # so that it looks
        self._thread.join(SECONDS)
        self._socket.close()

    def _serve(self) -> None:
        while not self._is_over:
            client, _ = self._socket.accept()
            with client:
                client.settimeout(SECONDS * 2)
                self._client = client
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        decoder = Decoder()
        while data := client.recv(65_536):
            decoder.receive(data)
            while (packet := decoder.next_packet()) is not None:
                if isinstance(packet, Disconnect):
                    return
                answer = self._answer(packet)
                if answer is not None:
                    client.sendall(encode(answer, decoder.version))
                if isinstance(packet, Subscribe):
                    self.subscribed.release()

    def _answer(self, packet: Packet) -> Packet | None:
        if isinstance(packet, Connect):
            return ConnAck()
        if isinstance(packet, Subscribe):
            filters = [each.topic_filter for each in packet.requests]
            self.filters += filters
            return SubAck(packet.packet_id, [0x80 if each in self._refuses else 0 for each in filters])
        return None


@contextmanager
def played(*refuses: str) -> Iterator[Played]:
    made = Played(*refuses)
    try:
        yield made
    finally:
        made.close()


def top(port: int | str, *flags: str) -> list[str]:
    return telex_command("top", "-h", "127.0.0.1", "-p", str(port), *flags)


def snapshots(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The lines of JSON that it prints."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


# Brokers


def test_telex_tells_all_that_mosquitto_tells(broker: Server) -> None:
    done = run(*top(broker.port, "--once", "--json"))
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert re.fullmatch(r"telex version \S+", told["version"])
    assert told["broker"] == f"127.0.0.1:{broker.port}"
    assert told["uptime"] >= 1
    assert told["queue"].keys() == {"messages", "bytes"}
    assert told["memory_maximum"] >= told["memory"] * 0.9  # the kernel counts the two in different ways
    statistics = told["statistics"]
    assert statistics["clients"] >= 1
    assert statistics["subscriptions"] >= 1
    assert statistics["retained"] > 30  # $SYS itself
    assert statistics["rates"]["bytes_sent_per_second"] > 0
    assert statistics["rates"]["messages_sent_per_second"] > 0
    assert statistics["dropped"] == statistics["rates"]["dropped_per_second"] == 0
    assert statistics["refused"] == 0
    assert told["loads"]["connections"].keys() == {"1min", "5min", "15min"}
    assert told["store"] == "memory"
    assert told["troubles"] == []
    assert "topics" not in told


def test_mosquitto_is_understood_too(debian_mosquitto: Server) -> None:
    done = run(*top(debian_mosquitto.port, "--once"))
    assert (done.returncode, done.stderr) == (0, "")
    for told in (
        *(r"version +mosquitto version 2\.", r"up +\d+ s|up +\d+ min", "clients +[1-9]", "subscriptions +[1-9]"),
        *("retained +[1-9]", "memory +.*B, at most .*B", "messages out +[0-9.]+/s", "bytes out +[0-9.]+ k?B/s"),
        *(r"dropped +\d+ in all", r"messages out/min +[\d.]+ +[\d.]+ +[\d.]+ "),
    ):
        assert re.search(rf"^  (?:{told})", done.stdout, re.MULTILINE), told
    assert "waiting to be sent" not in done.stdout  # only 2.1 tells that


def test_mosquitto_2_1_tells_what_waits() -> None:
    with played() as server, running(*top(server.port, "--json")) as process:
        server.waits()
        server.tells({"version": "mosquitto version 2.1.2", "uptime": "100 seconds"}, retained=True)
        server.tells({"packet/out/count": 7, "packet/out/bytes": 900, "connections/socket/count": 3}, retained=True)
        told = next(snapshots(process))
        assert told["queue"] == {"messages": 7, "bytes": 900}
        assert told["statistics"]["sockets"] == 3


def test_rates_are_differences_over_the_brokers_own_interval() -> None:
    with played() as server, running(*top(server.port, "--json")) as process:
        server.waits()
        assert server.filters == ["$SYS/broker/#"]
        server.tells({"uptime": "100 seconds", "bytes/sent": 1_000, "publish/messages/dropped": 3}, retained=True)
        lines = snapshots(process)
        assert "rates" not in next(lines)["statistics"]
        server.tells({"uptime": "110 seconds", "bytes/sent": 6_000})
        told = next(lines)
        assert told["statistics"]["rates"] == {"bytes_sent_per_second": 500.0, "dropped_per_second": 0.0}
        assert told["uptime"] == 110


def test_without_once_each_interval_has_its_lines(broker: Server) -> None:
    with running(*top(broker.port)) as process:
        lines_until(process, "messages out  ")
        first = lines_until(process, "^$")
        assert re.search(rf"^\S+Z  127\.0\.0\.1:{broker.port}$", lines_until(process, "^$"), re.MULTILINE)
        assert "bytes out  " in first


def test_the_busiest_topics_are_those_of_the_filters(broker: Server) -> None:
    port = str(broker.port)
    assert run(*telex_command("pub", "-p", port, "-t", "busy/kept", "-m", "old", "-r")).returncode == 0
    publish = [*telex_command("pub", "-p", port, "--repeat", "1000000", "--repeat-delay", "0.05")]
    with (
        running(*publish, "-t", "busy/a", "-m", "12345678"),
        running(*publish, "-t", "elsewhere", "-m", "x"),
        running(*top(broker.port, "--json", "-t", "busy/#", "-t", "nobody")) as process,
    ):
        told = next(each for each in snapshots(process) if each["topics"])
    assert told["filters"] == "busy/# nobody"
    assert [each["topic"] for each in told["topics"]] == ["busy/a"]  # what was retained does not move
    [topic] = told["topics"]
    assert topic["bytes_per_second"] == pytest.approx(8 * topic["messages_per_second"], abs=0.01)
    assert run(*telex_command("pub", "-p", port, "-t", "busy/kept", "-n", "-r")).returncode == 0


def test_a_url_may_stand_for_the_flags(broker: Server) -> None:
    done = run(*telex_command("top", "-L", f"mqtt://127.0.0.1:{broker.port}", "--once", "--json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "topics" not in json.loads(done.stdout)
    done = run(*telex_command("top", "-L", f"mqtt://127.0.0.1:{broker.port}/busy/#", "--once", "--json", "-V", "5"))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["filters"] == "busy/#"


# Brokers that tell nothing


def test_a_broker_without_sys_is_told_plainly() -> None:
    with telex("--sys-interval", "0") as server:
        done = run(*top(server.port, "--once"))
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"telex: {NOTHING_TOLD}\n")
        done = run(*top(server.port, "--once", "--json", "-t", "#"))
        assert (done.returncode, done.stderr) == (0, f"telex: {NOTHING_TOLD}\n")
        assert json.loads(done.stdout)["troubles"] == [NOTHING_TOLD]
        assert "statistics" not in json.loads(done.stdout)


def test_without_once_it_goes_on_waiting() -> None:
    with played() as server, running(*top(server.port, "--json")) as process:
        server.waits()
        assert process.stderr is not None
        assert process.stderr.readline() == f"telex: {NOTHING_TOLD}\n"
        server.tells({"clients/connected": 1})
        assert next(snapshots(process))["statistics"]["clients"] == 1


def test_a_user_who_may_not_read_it_is_told_so(tmp_path: Path) -> None:
    rules = (
        '[[listeners]]\nport = 0\nhost = "127.0.0.1"\n[access]\nallow_anonymous = true\n'
        '[[access.rules]]\ndeny = ["subscribe", "receive"]\ntopics = ["$SYS/#"]\n'
    )
    with serving(tmp_path, rules) as server:
        done = run(*top(server.ports[0], "--once"))
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(
            r"telex: the broker refuses the subscription to '\$SYS/broker/#': .*; "
            r"without it, -t FILTER shows the busiest topics of a filter\n",
            done.stderr,
        )


def test_topics_are_shown_where_sys_is_refused() -> None:
    with played("$SYS/broker/#") as server, running(*top(server.port, "--once", "--json", "-t", "a/#")) as process:
        told = next(snapshots(process))
        assert process.wait(SECONDS) == 0
        assert "the broker refuses the subscription to '$SYS/broker/#'" in told["troubles"][0]
        assert (told["filters"], told["topics"]) == ("a/#", [])


def test_what_is_refused_of_the_topics_is_told() -> None:
    with played("b") as server:
        with running(*top(server.port, "--json", "-t", "a", "-t", "b")) as process:
            server.waits(2)
            assert process.stderr is not None
            assert "the broker refuses the subscription to 'b'" in process.stderr.readline()
            server.tells({"clients/connected": 1})
            assert next(snapshots(process))["statistics"]["clients"] == 1
        with running(*top(server.port, "--json", "-t", "b")) as process:
            server.waits(2)
            server.tells({"clients/connected": 1})
            assert "'b'" in next(snapshots(process))["troubles"][0]
    with played("$SYS/broker/#", "b") as server:
        done = run(*top(server.port, "-t", "b", "--json"))
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == "telex: All subscription requests were denied."


# Connections


def test_no_broker_is_an_error_as_everywhere() -> None:
    port = free_port()
    done = run(*top(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"telex: no broker answers at 127.0.0.1, port {port}; start one with: telex serve -p {port}\n"
    )


def test_a_connection_that_is_lost_is_made_again() -> None:
    with played() as server, running(*top(server.port, "--json")) as process:
        lines = snapshots(process)
        server.waits()
        server.tells({"uptime": "100 seconds", "bytes/sent": 1_000, "clients/connected": 5}, retained=True)
        assert next(lines)["statistics"]["clients"] == 5
        server.hang_up()
        server.waits()
        server.tells({"uptime": "120 seconds", "bytes/sent": 3_000}, retained=True)
        told = next(each for each in lines if each["uptime"] >= 120)
        assert told["statistics"]["rates"]["bytes_sent_per_second"] == 100.0
        assert "clients" not in told["statistics"]  # it was not told again
        [trouble] = told["troubles"]
        assert re.fullmatch(r"connected again, after \d+ s without a connection", trouble)
        assert process.stderr is not None
        assert re.match(r"telex: lost the connection to .*; trying again in ", process.stderr.readline())
        assert process.stderr.readline() == "telex: connected again\n"


def test_a_broker_that_falls_silent_is_told_of() -> None:
    with played() as server, running(*top(server.port, "--json")) as process:
        lines = snapshots(process)
        server.waits()
        for uptime in (1, 2):
            server.tells({"uptime": f"{uptime} seconds"})
            assert next(lines)["uptime"] == uptime
        [trouble] = next(lines)["troubles"]
        assert re.fullmatch(r"the broker has told nothing for \d+ s", trouble)


def test_it_ends_with_the_codes_of_the_other_commands(broker: Server) -> None:
    done = run(*top(broker.port, "-W", "0.5"))
    assert (done.returncode, done.stderr) == (27, "telex: Timed out\n")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with running(*top(broker.port)) as process:
            lines_until(process, "version")
            process.send_signal(number)
            assert process.wait(SECONDS) == code
            assert process.stderr is not None
            assert process.stderr.read() == ""


def test_it_ends_when_nobody_reads_it_any_more(broker: Server) -> None:
    with running(*top(broker.port)) as process:
        lines_until(process, "version")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(SECONDS) == 1
        process.stdout = None
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["-t", "a/#/b"], "topic filter 'a/#/b'"),
        (["-W", "0"], "is no time to wait"),
        (["--onse"], "there is no flag --onse; did you mean --once?"),
        (["-L", "mqtt://host/"], "has no topic"),
        (["-D", "publish", "content-type", "x"], "telex top sends no PUBLISH"),
        (["-c", "-i", "me"], "leave out -c and -x"),
        (["-x", "60"], "leave out -c and -x"),
        (["-D", "connect", "session-expiry-interval", "60"], "leave out -c and -x"),
    ],
)
def test_flags_that_cannot_be_are_refused(flags: list[str], told: str) -> None:
    done = run(*telex_command("top", *flags))
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_subscribed_to_may_have_properties(broker: Server) -> None:
    flags = ["-D", "subscribe", "user-property", "who", "top", "-d", "--once"]
    done = run(*top(broker.port, *flags))
    assert done.returncode == 0
    assert "sending SUBSCRIBE" in done.stdout


# Terminals


def raw_until(descriptor: int, pattern: str) -> str:
    """What is drawn until something is, with all escape sequences."""
    until = time.monotonic() + SECONDS
    seen = ""
    while not re.search(pattern, seen):
        assert select.select([descriptor], [], [], max(until - time.monotonic(), 0))[0], seen
        seen += os.read(descriptor, 65_536).decode(errors="replace")
    return seen


@needs_terminal
def test_the_overview_is_drawn_in_place_until_q_is_typed(broker: Server) -> None:
    with terminal("top", "-h", "127.0.0.1", "-p", str(broker.port), "-t", "#") as screen:
        screen.shows(rf"127\.0\.0\.1:{broker.port}  telex version \S+ +up ")
        screen.shows(r"bytes out +[\d.]+ k?B/s +[▁-█]+")
        screen.resize(60, 20)
        screen.shows(r"\x1b\[H127\.0\.0\.1:\d+  telex version \S+ +up (?:\d+ min )?\d+ s *\r\n")
        os.write(screen.descriptor, b"xq")
        assert screen.process.wait(SECONDS) == 0
        screen.shows(re.escape("\x1b[?1049l"))  # the screen of before is back
        assert screen.process.stderr is not None
        assert screen.process.stderr.read() == b""


@needs_terminal
def test_ctrl_c_ends_it_and_the_terminal_is_as_before(broker: Server) -> None:
    with terminal("top", "-h", "127.0.0.1", "-p", str(broker.port)) as screen:
        screen.shows("q: end")
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(SECONDS) == 130
        screen.shows(re.escape("\x1b[?1049l"))


@needs_terminal
def test_the_screen_says_how_the_connection_is() -> None:
    with played() as server, terminal("top", "-h", "127.0.0.1", "-p", str(server.port)) as screen:
        server.waits()
        server.tells({"clients/connected": 77}, retained=True)
        screen.shows("clients 77")
        server.hang_up()
        screen.shows(r"\n[^;\r]*connection[^;\r]*; trying again in [\d.]+ s")
        server.waits()
        server.tells({"clients/connected": 78}, retained=True)
        screen.shows(r"clients 78 (?s:.*)connected again, after \d+ s without a connection")
        os.write(screen.descriptor, b"q")
        assert screen.process.wait(SECONDS) == 0
        assert screen.process.stderr is not None
        assert screen.process.stderr.read() == b""  # nothing was written across the screen


@needs_terminal
def test_the_screen_says_that_nothing_is_told() -> None:
    with played() as server, terminal("top", "-h", "127.0.0.1", "-p", str(server.port)) as screen:
        screen.shows(r"nothing comes below \$SYS/broker/")
        os.write(screen.descriptor, b"Q")
        assert screen.process.wait(SECONDS) == 0


@needs_terminal
def test_a_terminal_whose_broker_has_gone_for_good_is_left_in_order(broker: Server) -> None:
    """Another client with its name takes the session over."""
    with terminal("top", "-h", "127.0.0.1", "-p", str(broker.port), "-V", "5", "-i", "taken") as screen:
        screen.shows("q: end")
        assert run(find("mosquitto_sub"), "-p", str(broker.port), "-i", "taken", "-t", "a", "-E").returncode == 0
        assert screen.process.wait(SECONDS) != 0
        screen.shows(re.escape("\x1b[?1049l"))
        assert screen.process.stderr is not None
        assert b"session taken over" in screen.process.stderr.read()


@needs_terminal
def test_no_colour_is_drawn_where_nobody_wants_any(broker: Server) -> None:
    with terminal("top", "-h", "127.0.0.1", "-p", str(broker.port)) as screen:  # NO_COLOR is set there
        seen = raw_until(screen.descriptor, "bytes out.*[▁-█](?s:.*)q: end")
        assert not re.search(r"\x1b\[(?:\d+;)*3[0-7]", seen)


@needs_terminal
@pytest.mark.parametrize(("term", "flags"), [("dumb", []), ("xterm", ["--once"]), ("xterm", ["--json"])])
def test_lines_are_lines_on_a_terminal_too(
    broker: Server, monkeypatch: pytest.MonkeyPatch, term: str, flags: list[str]
) -> None:
    """On one whose cursor does not move, and where they were asked for."""
    monkeypatch.setattr("tests.cli.test_watch.telex_command", lambda *words: ["env", f"TERM={term}", *top(*words)])
    with terminal(str(broker.port), *flags) as screen:
        seen = raw_until(screen.descriptor, "bytes out|bytes_sent")
        assert "\x1b" not in seen


@needs_terminal
def test_a_terminal_of_few_characters_gets_what_it_has(broker: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.cli.test_watch.telex_command", lambda *words: ["env", "PYTHONIOENCODING=ascii", *words])
    publish = telex_command("pub", "-p", str(broker.port), "--repeat", "1000000", "--repeat-delay", "0.05")
    with running(*publish, "-t", "haus/tür", "-m", "x"), terminal(*top(broker.port, "-t", "haus/#")) as screen:
        seen = raw_until(screen.descriptor, r"bytes out.*B/s.*[.:=+*#@-](?s:.*)haus/t\?r")
        assert seen.isascii()
        os.write(screen.descriptor, b"q")
        assert screen.process.wait(SECONDS) == 0


def test_what_the_client_has_to_say_stands_on_the_screen(caplog: pytest.LogCaptureFixture) -> None:
    overview = Overview("a:1", Figures())
    log = logging.getLogger("telex.client")
    with _told_on_screen(overview):
        log.warning("the queue of %d messages is full", 5)
        log.info("and more")
        assert overview.troubles(0.0) == ["the queue of 5 messages is full"]
        overview.lost("the connection was closed", 0.0)
        log.warning("lost the connection")
        assert overview.troubles(0.0) == ["the connection was closed"]
    assert caplog.messages == []
    log.warning("afterwards")
    assert caplog.messages == ["afterwards"]


@needs_terminal
def test_a_trace_and_a_screen_do_not_go_together(broker: Server) -> None:
    with terminal("top", "-h", "127.0.0.1", "-p", str(broker.port), "-d") as screen:
        assert screen.process.wait(SECONDS) == 1
        assert screen.process.stderr is not None
        assert b"leave out -d" in screen.process.stderr.read()
