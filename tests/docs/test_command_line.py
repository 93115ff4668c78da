"""docs/command-line.md is typed as it stands there, each section beside a broker of its own.

Beside what ``pages`` does: a ``telex sub`` that would not end by itself is one in another terminal. It has subscribed
before anything else is typed, and has to have printed what is told when the section has been typed.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from importlib import import_module
from io import StringIO
from math import sin
from pathlib import Path

import pytest
from rich.console import Console

from telex.cli import colours, formats, option_files, overview, sys_figures, watch
from telex.cli.busiest import Busiest
from telex.cli.main import COMMANDS
from telex.client.message import Message
from telex.wire.packets import Publish
from telex.wire.properties import Properties
from tests.cli.test_flags import listening
from tests.docs.pages import Block, Desk, sections, table
from tests.processes import SECONDS, find, free_port, lines_until, run, running, telex_command

TEXT = Path(__file__).parents[2].joinpath("docs", "command-line.md").read_text()
SECTIONS = sections(TEXT)
BROKER = (
    '# broker.toml\ndata = ""\n[[listeners]]\nport = 1883\n[access]\nallow_anonymous = true\n[log]\nlevel = "debug"\n'
)

_COMMAND = re.compile(r"(?:^|(?<=\| )|(?<=\$\())telex (?:pub|sub|rr|top|bench \w+)\b(?!.* (?:-p|-L|--unix) )")
_ENDS = re.compile(r" (-C|-W|-E|-w|--retained-only) ?")


class Terminals(Desk):
    """A desk with a broker, and as many terminals as a section needs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._others: list[tuple[subprocess.Popen[str], str]] = []  # and what is to be printed there

    def _command(self, line: str, *, is_server: bool) -> str:
        if is_server:
            return super()._command(line, is_server=True)
        line = line.replace("mqtt://localhost", f"mqtt://127.0.0.1:{self.port(1883)}")
        return _COMMAND.sub(lambda found: f"{found[0]} -h 127.0.0.1 -p {self.port(1883)}", self.adapted(line))

    def write(self, block: Block) -> Path:
        """Write the file that a block shows, with the address of the broker."""
        path = super().write(block)
        path.write_text(path.read_text().replace("//localhost", f"//127.0.0.1:{self.port(1883)}"))
        return path

    def type(self, blocks: list[Block]) -> None:
        """Do all that these blocks show; those in other terminals have printed what is told."""
        for block in blocks:
            found = re.fullmatch(r"\$ (telex sub .*)\n((?:.*\n)+)", block.text)
            if block.language == "console" and found and not _ENDS.search(found[1]) and "$ " not in found[2]:
                self._open(found[1], found[2])
            elif block.text.startswith("python "):
                self._open(block.text.strip(), "")
            else:
                super().type([block])
        for process, told in self._others:
            assert process.stdout is not None
            assert "".join(process.stdout.readline() for _ in told.splitlines()) == told

    def _open(self, line: str, told: str) -> None:
        [log] = self._logs
        before = log.read_text().count("subscribed client=")
        process = subprocess.Popen(
            ["sh", "-c", f"exec {self._command(line, is_server=False)}"],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._others.append((process, told))
        with subprocess.Popen(["tail", "-f", "-n", "+1", str(log)], stdout=subprocess.PIPE, text=True) as lines:
            assert lines.stdout is not None
            for _ in range(before + 1):
                next(each for each in lines.stdout if "subscribed client=" in each)
            lines.terminate()

    def close(self) -> None:
        """End everything."""
        for process, _ in self._others:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=SECONDS)
        super().close()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Terminals]:
    """A desk beside which a broker runs."""
    made = Terminals(tmp_path)
    try:
        made.write(Block("toml", BROKER))
        made.run("telex serve -c broker.toml")
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_does_what_it_tells(section: str, here: Terminals) -> None:
    blocks = SECTIONS[section]
    if any("| jq " in block.text for block in blocks) and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    here.type([block for block in blocks if block.language != "text"])  # a picture: below


def test_the_table_looks_as_it_is_shown() -> None:
    [picture] = [block.text for block in SECTIONS["A live table"] if block.language == "text"]
    now = 1000.0
    console = Console(file=StringIO(), force_terminal=True, width=80, height=12, no_color=True, highlight=False)
    made = watch.Watch(console, lambda: now)
    made.topics.take([Message(Publish("home/door", b"open", retain=True)), Message(Publish("home/lamp", b""))], now)
    made.topics.take([Message(Publish("home/temp/room1", b"21.5"))], now)
    now += 2
    made.frame()
    made.topics.take([Message(Publish("home/lamp", b'{"on": true, "level": 70}'))], now)
    with console.capture() as capture:
        console.print(made.frame())
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", capture.get())
    shown = [re.sub(r"\s+", " ", re.sub(r"[\d.]+/s", "", line)).strip() for line in picture.splitlines()]
    assert [re.sub(r"\s+", " ", re.sub(r"[\d.]+/s", "", line)).strip() for line in drawn.splitlines()] == shown


def test_the_overview_looks_as_it_is_shown() -> None:
    [picture] = [block.text for block in SECTIONS["A whole broker"] if block.language == "text"]
    figures, busiest = sys_figures.Figures(), Busiest(0.0)
    told: dict[str, float] = {"uptime": 93_500, **dict.fromkeys(_COUNTED, 0)}
    now = 1000.0
    for step in range(30):
        now += 10
        told["uptime"] += 10
        told |= {name: told[name] + round(10 * rate * (1.2 + sin(step / 4))) for name, rate in _COUNTED.items()}
        for name, value in (told | _FIGURES).items():
            figures.take(f"{sys_figures.PREFIX}{name}", str(value).encode(), now, retained=False)
    for second in range(1, 31):
        for room, count in (("hall", 20), ("kitchen", 8), ("attic", 1)):
            for _ in range(count):
                busiest.take(f"home/temp/{room}", 4)
        busiest.fade(float(second))
    console = Console(file=StringIO(), force_terminal=True, width=80, no_color=True)
    with console.capture() as capture:
        console.print(overview.Overview("localhost:1883", figures, busiest, "#").screen(now + 1, 80, 18), end="")
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", capture.get())
    assert "".join(f"{line.rstrip()}\n" for line in drawn.split("\n")) == picture


# What the broker of the picture tells: what grows, and by how much in a second; and what does not.
_COUNTED = {
    "publish/messages/received": 29,
    "publish/messages/sent": 61,
    "bytes/received": 1_400,
    "bytes/sent": 3_100,
    "publish/messages/dropped": 0,
}
_FIGURES: dict[str, object] = {
    "version": "telex version 0.1.0",
    "clients/connected": 12,
    "clients/total": 15,
    "subscriptions/count": 40,
    "retained messages/count": 1_204,
    "packet/out/count": 3,
    "packet/out/bytes": 210,
    "store/messages/count": 1_310,
    "store/messages/bytes": 70_200,
    "connections/socket/count": 12,
    "connections/refused/count": 2,
    "heap/current": 48_100_000,
    "heap/maximum": 52_400_000,
    "store/state": "ok",
}


# The tables


@pytest.mark.parametrize("heading", ["`sub` again and again.", "And what is published"])
def test_the_flags_of_the_tables_are_flags(heading: str) -> None:
    help_text = run(*telex_command("pub", "--help")).stdout
    for cells in table(TEXT, heading):
        for name in re.findall(r"`(--?\w+)", cells[0]):
            assert re.search(rf"^  (?:.*, )?{name}\b", help_text, re.MULTILINE), name


def test_every_flag_that_is_named_is_there() -> None:
    told = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", " ".join(re.findall(r"`([^`\n]+)`", TEXT))))
    known = {"--help", "-h"}
    for command in ("pub", "sub", "rr", "top", "bench"):
        known |= set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", run(*telex_command(command, "--help")).stdout))
    assert told <= known


def _ended(here: Terminals, code: str) -> list[int]:
    """The exit codes of commands to which that happens."""
    where = ["-h", "127.0.0.1", "-p", str(here.port(1883))]
    message = ["-t", "a", "-m", "x"]
    nowhere = ["-p", str(free_port())]
    commands: dict[str, list[list[str]]] = {
        "0": [["pub", *where, *message], ["sub", *where, "-t", "a", "-E"]],
        "1": [["pub", *where, *message, "--nope"], ["sub", "-t", "a", *nowhere], ["rr", *message, *nowhere]],
        "27": [["sub", *where, "-t", "a", "-W", "0.1"], ["rr", *where, *message, "-W", "0.1"]],
        "128 to 255": [["pub", *where, "-V", "5", "-q", "1", "-t", "$SYS/a", "-m", "x"]],
    }
    return [run(*telex_command(*each)).returncode for each in commands[code]]


@pytest.mark.parametrize("code", [row[0] for row in table(TEXT, "What goes wrong is one line")])
def test_it_ends_with_the_code_of_the_table(code: str, here: Terminals) -> None:
    if code == "1 to 5":
        (here.folder / "nobody").write_text("")
        (here.folder / "broker.toml").write_text(
            f'data = ""\n[[listeners]]\nhost = "127.0.0.1"\nport = {here.port(8884)}\n'
            '[access]\npassword_file = "nobody"\n'
        )
        here.run("telex serve -c broker.toml")
        command = ["pub", "-h", "127.0.0.1", "-p", str(here.port(8884)), "-t", "a", "-m", "x"]
        assert run(*telex_command(*command)).returncode in (4, 5)
        assert run(*telex_command(*command, "-V", "5")).returncode == 0x87
    elif code == "8":
        here.type([block for block in SECTIONS["TLS"] if block.language != "console"])
        command = ["-p", str(here.port(8883)), "-t", "a", "-m", "x", "--tls-use-os-certs"]
        assert run(*telex_command("pub", *command)).returncode == 8
    elif code in ("130", "143"):
        end = signal.SIGINT if code == "130" else signal.SIGTERM
        command = ["-h", "127.0.0.1", "-p", str(here.port(1883)), "-t", "a", "-d"]
        with running(*telex_command("sub", *command)) as process:
            lines_until(process, "Subscribed")
            process.send_signal(end)
            assert process.wait(SECONDS) == int(code)
    else:
        expected = range(128, 256) if " to " in code else range(int(code), int(code) + 1)
        assert all(each in expected for each in _ended(here, code))


def test_options_files_are_where_the_table_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "~")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for command, places in table(TEXT, "Without `-o`"):
        assert re.findall(r"`(.*?)`", places) == option_files.candidates(command.strip("`").removeprefix("telex "))


def test_the_environment_does_what_the_table_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    names = [row[0].strip("`") for row in table(TEXT, "## Environment")]
    assert names == ["NO_COLOR", "TERM", "XDG_CONFIG_HOME"]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colours.wants_colours(Terminal())
    monkeypatch.setenv("NO_COLOR", "anything")
    assert not colours.wants_colours(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not colours.wants_colours(Terminal())
    monkeypatch.setenv("XDG_CONFIG_HOME", "elsewhere")
    assert option_files.candidates("pub")[0] == os.path.join("elsewhere", "telex", "pub")


# What differs

_DIFFERENCES = {row[0]: row[1:] for row in table(TEXT, "## What differs")}


def _json(payload: bytes, properties: Properties | None = None) -> str:
    printer = formats.compile_format("%j")
    return printer(Message(Publish("a", payload, retain=True, properties=properties))).decode()


def _parsed(command: str, *words: str) -> argparse.Namespace:
    options = import_module(f"telex.cli.{command}").parsed(words)
    assert isinstance(options, argparse.Namespace)
    return options


def _refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        _parsed("pub", "-t", "a", "-m", "x", *words)
    assert end.value.code == 1
    return capsys.readouterr().err


def test_json_differs_as_told() -> None:
    rows = [name for name in _DIFFERENCES if "JSON" in name or "`%j`" in name]
    assert len(rows) == 3
    assert '"retain":true' in _json(b"x")
    pairs = Properties(user_properties=(("a", "1"), ("a", "2")))
    assert '"user-properties":[{"a":"1"},{"a":"2"}]' in _json(b"x", pairs)
    assert '"payload":"a\N{REPLACEMENT CHARACTER}b"' in _json(b"a\xffb")


def test_a_message_gives_no_orders_as_told() -> None:
    assert "control characters, on a terminal" in _DIFFERENCES
    options = _parsed("sub", "-t", "a")
    message = Message(Publish("a", b"\x1b[2J"))
    assert formats.printer(options, to_terminal=True)(message) == b"\\x1b[2J\n"
    assert formats.printer(options)(message) == b"\x1b[2J\n"


def test_flags_differ_as_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert _parsed("sub", "-t", "a", "-x", "5").version == "5"
    assert "Python has no OpenSSL engines" in _refused(capsys, "--tls-engine", "x")
    assert "Python has no OpenSSL engines" in _refused(capsys, "--keyform", "engine")
    assert "--will-qos is part of a will" in _refused(capsys, "--will-qos", "1")
    assert "--insecure is part of TLS" in _refused(capsys, "--insecure")
    for told in ("`-x`", "`--tls-engine`, `--keyform engine`", "a flag that says nothing"):
        assert any(name.startswith(told) for name in _DIFFERENCES)


def test_exit_codes_differ_as_told(here: Terminals) -> None:
    path = here.write(Block("toml", BROKER))
    path.write_text(f'{path.read_text()}[[access.rules]]\ndeny = ["publish", "subscribe"]\ntopics = ["home/#"]\n')
    here.run("telex serve -c broker.toml")
    where = ["-h", "127.0.0.1", "-p", str(here.port(1883)), "-V", "5"]
    denied = ["sub", *where, "-t", "home/#", "-W", "3"]
    assert run(find("mosquitto_sub"), *denied[1:]).returncode == 0
    assert run(*telex_command(*denied)).returncode == int(_DIFFERENCES["all subscriptions are denied"][1])
    refused = ["pub", *where, "-t", "home/door", "-m", "x", "-q", "1"]
    assert run(find("mosquitto_pub"), *refused[1:]).returncode == 0
    assert _DIFFERENCES["a publication that is refused (MQTT 5)"] == ["exit code 0", "its reason code"]
    assert run(*telex_command(*refused)).returncode == 0x87


def test_unsubscribing_comes_first_as_told() -> None:
    assert "`-U`" in _DIFFERENCES
    with listening() as peer:
        where = ["-h", "127.0.0.1", "-p", str(peer.port)]
        run(*telex_command("sub", *where, "-t", "a", "-U", "b", "-E"))
        ours = [type(packet).__name__ for packet in peer.visits[0]]
    assert ours.index("Unsubscribe") < ours.index("Subscribe")


def test_no_difference_is_told_that_is_not_tested() -> None:
    """Those above; pre-shared keys and messages that are given up are the subject of the client's own tests."""
    assert len(_DIFFERENCES) == 12


def test_the_commands_in_place_of_mosquittos_are_commands() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "moving-from-mosquitto.md").read_text()
    rows = table(page, "## The commands")
    ours = [row[1].strip("`").removeprefix("telex ") for row in rows if row[1] != "none"]
    assert ours == ["serve", "pub", "sub", "rr", "passwd"]
    assert set(ours) <= set(COMMANDS)
