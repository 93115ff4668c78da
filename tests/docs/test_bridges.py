"""docs/bridges.md shows what is so: its examples run, each with both of its brokers on this machine."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from telex.server.toml import read_toml
from tests.docs import pages
from tests.docs.pages import PORT, Desk, sections
from tests.processes import SECONDS, find, wait_for_port

TEXT = Path(__file__).parents[2].joinpath("docs", "bridges.md").read_text()
SECTIONS = sections(TEXT)
HOSTS = ("cloud.example.org", "hq.example.org", "west.example.org")
WATCHED = "Watching it"  # what only Telex tells
EXAMPLES = [
    name
    for name, blocks in SECTIONS.items()
    if any("telex serve" in block.text for block in blocks) and name != WATCHED
]
NEWER = ("bridge_reload_type", "max_topic_alias_broker", "global_max_clients")  # than Debian's Mosquitto


class Desks(Desk):
    """A desk where several brokers run, until they are ended by a command or the section is over."""

    def stop(self) -> None:
        """A broker that starts leaves the others alone."""

    def run(self, line: str, *, ends: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command; a broker that is told to end has ended then."""
        done = super().run(line, ends=ends)
        if line.startswith("kill "):
            name = line.partition("$(cat ")[2].partition(".pid")[0]
            [ended] = [each for each in self._servers if f"{name}.toml" in str(each.args) and each.poll() is None]
            ended.communicate(timeout=SECONDS)
            self._servers.remove(ended)
        return done


class MosquittosDesks(Desks):
    """The same, where Debian's Mosquitto takes the place of each broker that has a bridge."""

    def _start(self, line: str) -> subprocess.CompletedProcess[str]:
        name = line.partition("-c ")[2].partition(".toml")[0]
        if "[[bridges]]" not in (self.folder / f"{name}.toml").read_text():
            return super()._start(line)
        done = self.run(f"telex config convert {name}.toml")
        assert done.returncode == 0, done.stderr
        lines = [each for each in done.stdout.splitlines() if each.partition(" ")[0] not in NEWER]
        (self.folder / f"{name}.conf").write_text("\n".join([*lines, ""]))
        (self.folder / name).mkdir()  # its data: Mosquitto makes no directory
        self._spawn(f"{find('mosquitto')} -c {name}.conf")
        wait_for_port(self.port(PORT))
        return done


@contextmanager
def desk_of(kind: type[Desks], folder: Path) -> Iterator[Desks]:
    """A desk until the block ends."""
    made = kind(folder)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the other broker is this one."""
    for host in HOSTS:
        monkeypatch.setitem(pages.HOSTS, host, "localhost")


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_does_what_it_tells(section: str, tmp_path: Path) -> None:
    with desk_of(Desks, tmp_path) as here:
        here.type(SECTIONS[section])


@pytest.mark.parametrize("section", EXAMPLES)
def test_mosquitto_does_the_same_with_the_file_converted(section: str, tmp_path: Path) -> None:
    with desk_of(MosquittosDesks, tmp_path) as here:
        here.type(SECTIONS[section])


@pytest.mark.parametrize(
    "block",
    [block for blocks in SECTIONS.values() for block in blocks if block.language == "toml"],
    ids=lambda block: block.file,
)
def test_each_telex_toml_describes_a_broker(block: pages.Block, tmp_path: Path) -> None:
    with desk_of(Desks, tmp_path) as here:
        config = read_toml(here.write(block))
    assert len(config.bridges) == block.text.count("[[bridges]]")


def test_there_are_three_worked_examples() -> None:
    assert len(EXAMPLES) == 3
    assert {block.file for blocks in SECTIONS.values() for block in blocks if block.language == "toml"} == {
        "cloud.toml",
        "house.toml",
        "hq.toml",
        "line.toml",
        "west.toml",
        "east.toml",
        "garden.toml",
    }
