"""docs/bench.md is typed as it stands there, all of it beside one broker.

What differs from the page: runs are short, ten thousand clients are a hundred, ``PID`` is the broker's process, and on
port 1884 is Debian's Mosquitto. Figures differ each time; all else that is told is printed.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from telex.bench.plan import KINDS, WINDOWS
from telex.cli import bench, option_files
from tests.cli.test_bench import ENDINGS
from tests.docs.pages import Block, Desk, sections, table
from tests.processes import SECONDS, mosquitto, run, telex_command

TEXT = Path(__file__).parents[2].joinpath("docs", "bench.md").read_text()
SECTIONS = sections(TEXT)
SHORT = "-d 0.3 --warm-up 0"
BROKER = '# broker.toml\ndata = ""\n[[listeners]]\nport = 1883\n[access]\nallow_anonymous = true\n'

_COMMAND = re.compile(r"telex bench (\w+)([^|;&>\n]*)")


def masked(text: str) -> list[str]:
    """Lines without figures, their units, and what they are called because of these."""
    found = []
    for line in text.replace("127.0.0.1", "localhost").splitlines():
        words = re.sub(r"-?\d[\d,.]*( (?:µs|ms|s|kB|MB|GB|B|k|M|G)(?![\w]))?", "N", line)
        words = re.sub(r" (better|worse)$", "", words)
        found.append(" ".join(words.split()))
    return found


class Short(Desk):
    """A desk at which runs are short."""

    mosquitto_port = 0

    def _command(self, line: str, *, is_server: bool) -> str:
        if is_server:
            return super()._command(line, is_server=True)

        def shortened(found: re.Match[str]) -> str:
            rest = found[2].replace("--idle 10000", "--idle 100").replace("PID", str(self._servers[0].pid))
            port = self.port(1883)
            if "-p 1884" in rest:
                port, rest = self.mosquitto_port, rest.replace("-p 1884", "")
            seconds = "-d 2 --warm-up 0" if found[1] == "sub" else SHORT
            return f"telex bench {found[1]} -h 127.0.0.1 -p {port}{rest.rstrip()} {seconds} "

        return _COMMAND.sub(shortened, line)

    def converse(self, block: Block) -> None:
        """Type the commands of a block: what is told is printed, in that order; nothing else is, but notes."""
        for command, told in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
            done = self.run(command)
            printed = iter(masked(done.stdout))
            for line in masked(told.removeprefix("...\n")):
                assert line in printed, f"{line!r} is not in what was printed:\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Short]:
    """One desk for all sections: none of them leaves anything at the broker."""
    made = Short(tmp_path_factory.mktemp("desk"))
    try:
        made.write(Block("toml", BROKER))
        made.run("telex serve -c broker.toml")
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("section", [each for each in SECTIONS if not each.startswith("Several")])
def test_each_section_does_what_it_tells(section: str, here: Short) -> None:
    blocks = SECTIONS[section]
    if any("| jq " in block.text for block in blocks) and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    if section == "Mosquitto":
        with mosquitto() as broker:
            here.mosquitto_port = broker.port
            here.converse(blocks[0])
        return
    for block in blocks:
        if block.language == "console":
            here.converse(block)
        else:
            here.type([block])
    if section.startswith("For programs"):
        assert (here.folder / "run.svg").read_text().startswith("<svg ")


def test_who_subscribes_here_hears_who_publishes_there(here: Short) -> None:
    """The section of several machines, both of whose commands run at a time."""
    [block] = SECTIONS["Several processes, several machines"]
    subscribe, publish = block.text.splitlines()
    subscriber = here._spawn(here._command(f"{subscribe} --json", is_server=False))
    try:
        assert here.run(publish).returncode == 0
        assert subscriber.stdout is not None
        told = json.loads(subscriber.stdout.read())
    finally:
        subscriber.communicate(timeout=SECONDS)
        here._servers.remove(subscriber)
    assert (told["lost"], told["duplicated"], told["complaints"]) == (0, 0, [])


def test_the_kinds_are_those_of_the_page() -> None:
    assert dict(table(TEXT, "To try it")) == {f"`{name}`": text for name, text in KINDS.items()}


def test_every_flag_that_is_named_is_there() -> None:
    told = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", " ".join(re.findall(r"`([^`\n]+)`", TEXT))))
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", run(*telex_command("bench", "--help")).stdout))
    assert told - {"-n"} <= known  # that of ulimit


def test_the_figures_of_the_page_are_those_of_the_program() -> None:
    windows = re.search(r"\(([\d,]+) messages at QoS 0, (\d+) at QoS 1, (\d+) at QoS 2", TEXT)
    assert windows is not None
    assert tuple(int(each.replace(",", "")) for each in windows.groups()) == WINDOWS
    assert f"| {bench.FAULTY} | messages were lost" in TEXT


def test_flags_for_every_call_stand_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "~")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    [place] = option_files.candidates("bench")
    assert f"`{place}`" in TEXT


def test_every_exit_code_of_the_page_is_one_of_the_command() -> None:
    """tests/cli/test_bench.py has it end with each of them."""
    assert {row[0] for row in table(TEXT, "own, for")} == set(ENDINGS)
