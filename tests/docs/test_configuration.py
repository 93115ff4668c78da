"""docs/configuration.md names every setting with its default, and its examples run."""

import sys
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from telex.server.config import (
    Access,
    Bridge,
    BridgeTls,
    BridgeTopic,
    Config,
    Http,
    Jwt,
    Listener,
    ListenerLimits,
    Log,
    Part,
    Plugin,
    Protection,
    Psk,
    Rule,
    TcpKeepalive,
    Tls,
    Web,
)
from tests.docs.pages import desk, sections, table
from tests.processes import run

TEXT = Path(__file__).parents[2].joinpath("docs", "configuration.md").read_text()
SECTIONS = sections(f"## The file\n{TEXT}")
TABLES: dict[str, type[Part]] = {
    "At the top": Config,
    "`[[listeners]]`": Listener,
    "`[listeners.tls]`": Tls,
    "`[listeners.psk]`": Psk,
    "`[listeners.limits]`": ListenerLimits,
    "`[access]`": Access,
    "`[[access.jwt]]`": Jwt,
    "`[[access.http]]`": Http,
    "`[[access.plugins]]`": Plugin,
    "`[[access.rules]]`": Rule,
    "`[protection]`": Protection,
    "`[log]`": Log,
    "`[web]`": Web,
    "`[[bridges]]`": Bridge,
    "`[[bridges.topics]]`": BridgeTopic,
    "`[bridges.tls]`": BridgeTls,
    "`[bridges.tcp_keepalive]`": TcpKeepalive,
}


def _default(field: structs.FieldInfo) -> str:
    """How the page writes a default."""
    if field.required:
        return "required"
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return "absent"
    if field.name == "listeners":
        return f"{value[0].host}:{value[0].port}"
    if isinstance(value, Part) or field.name == "limits":
        return "nothing set"
    if isinstance(value, float):
        return f"`{value:g}`"
    if field.name == "path_mode":
        return f"`0o{value:o}`"
    return f"`{msgspec.json.format(msgspec.json.encode(value), indent=0).decode()}`"


@pytest.mark.parametrize("heading", TABLES)
def test_every_setting_is_told_with_its_default(heading: str) -> None:
    told = [(cells[0].strip("`"), cells[1]) for cells in table(TEXT, f"### {heading}")]
    assert told == [(field.name, _default(field)) for field in structs.fields(TABLES[heading])]


def test_every_part_of_a_description_has_a_table() -> None:
    assert set(Part.__subclasses__()) == set(TABLES.values())


@pytest.mark.parametrize("section", ["The file", "Commands"])
def test_each_section_does_what_it_tells(section: str, tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        (tmp_path / "users").write_text("")
        here.type([block for block in SECTIONS["The file"] if block.file == "telex.toml"])
        here.type(SECTIONS[section])


def test_the_environment_counts_more_than_the_file(tmp_path: Path) -> None:
    [block] = SECTIONS["Environment"]
    with desk(tmp_path) as here:
        here.type([block for block in SECTIONS["The file"] if block.file == "telex.toml"])
        *exports, show = block.text.splitlines()
        done = here.run("; ".join([*exports, show]))
        assert done.returncode == 0, done.stderr
        for line in (
            'data = "/var/lib/telex"',
            "max_queued_messages = 7000",
            "port = 1884",
            'password_file = "/etc/telex/users"',
            'to = ["stderr", "syslog"]',
        ):
            assert f"\n{line}\n" in f"\n{done.stdout}", line


def test_the_program_runs() -> None:
    [block] = SECTIONS["In a program"]
    done = run(sys.executable, "-W", "error", "-c", block.text)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mqtt://127.0.0.1:")
