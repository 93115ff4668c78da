"""What commands and ``import telex`` load: a client starts without the broker and without what it does not use."""

import ast
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import telex
from tests.cli.test_flags import listening
from tests.processes import Server, run, telex_command

SOURCE = Path(telex.__file__)
HEAVY = (
    *("telex.server", "telex.engine", "telex.cli.serve", "aiohttp", "rich", "sqlite3", "msgspec", "cryptography"),
    *("dns", "python_socks", "uvloop", "importlib.metadata", "argon2", "prometheus_client"),
)


def loaded(code: str) -> set[str]:
    """The modules that are loaded when this was run."""
    tell = "import json, sys; names = sorted(sys.modules); print(json.dumps(names))"
    done = run(sys.executable, "-c", f"{code}\n{tell}")
    assert (done.returncode, done.stderr) == (0, "")
    modules: list[str] = json.loads(done.stdout)
    return set(modules)


def heavy(modules: set[str]) -> set[str]:
    return {name for name in modules if any(name == each or name.startswith(f"{each}.") for each in HEAVY)}


def test_publishing_a_message_loads_neither_the_broker_nor_great_libraries() -> None:
    with listening() as peer:
        flags = ["-h", "127.0.0.1", "-p", str(peer.port), "-t", "a", "-m", "x", "-q", "1"]
        modules = loaded(f"from telex.cli import pub\nassert pub.run({flags!r}) == 0")
    assert "telex.client.aio" in modules
    assert heavy(modules) == set()


def test_importing_telex_loads_nothing_that_was_not_asked_for() -> None:
    assert {name for name in loaded("import telex") if name.startswith("telex")} == {"telex"}
    modules = loaded("import telex; telex.Message")
    assert "telex.client.message" in modules
    assert heavy(modules) == set()
    assert "telex.server.broker" in loaded("import telex; telex.Broker")


def test_a_broker_starts_without_what_only_some_brokers_need() -> None:  # it takes longer to load than all the rest
    modules = loaded("import telex.cli.serve")
    assert "telex.server.broker" in modules
    assert {
        "aiohttp",
        "cryptography",
        "prometheus_client",
        "telex.server.tls",
        "telex.server.web.server",
    } & modules == set()


def test_clients_of_other_listeners_do_not_wait_for_the_http_port() -> None:
    code = """
import asyncio, socket, telex
from telex.server import broker as module

with socket.create_server(("127.0.0.1", 0)) as taken:
    port = taken.getsockname()[1]
load, answered = module.load, []

async def look(name):  # before its libraries are imported, MQTT is spoken already
    async with telex.Client(f"mqtt://127.0.0.1:{port}") as client:
        await client.publish("a", "x", qos=1)
    answered.append(name)
    await load(name)

async def main():
    listener = telex.Listener(host="127.0.0.1", port=port, access=telex.Access(allow_anonymous=True))
    web = telex.Web(enabled=True, host="127.0.0.1", port=0)
    async with telex.Broker(config=telex.Config(listeners=[listener], web=web)) as broker:
        assert answered == ["telex.server.web.http_port"] and broker.web_address

module.load = look
asyncio.run(main())
"""
    assert "aiohttp.web" in loaded(code)


def test_every_name_of_the_face_is_there() -> None:
    for name in telex.__all__:
        value = getattr(telex, name)
        assert value is getattr(telex, name)
    assert set(dir(telex)) == set(telex.__all__)
    assert len(set(telex.__all__)) == len(telex.__all__)


def test_type_checkers_and_the_running_program_see_the_same_face() -> None:
    """The names stand twice in the source: as imports for checkers, and with their places."""
    tree = ast.parse(SOURCE.read_text())
    imported = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    places = {name: place for place, names in telex._PLACES.items() for name in names}
    assert places == imported
    assert set(places) == set(telex.__all__)


def test_another_name_is_an_attribute_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match=r"^module 'telex' has no attribute 'Nobody'$"):
        telex.Nobody  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Nobody' from 'telex'"):
        exec("from telex import Nobody")


def test_all_of_it_may_be_imported_at_once() -> None:
    code = "from telex import *; import json; print(json.dumps(sorted(name for name in dir() if name != 'json')))"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0
    assert set(telex.__all__) <= set(json.loads(done.stdout))


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix closes them")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_program_that_is_started_without_standard_streams_works(broker: Server, closed: str) -> None:
    command = " ".join(map(shlex.quote, telex_command("pub", "-p", str(broker.port), "-t", "a", "-l")))
    given = "" if "<" in closed else "echo x |"
    assert subprocess.run(["sh", "-c", f"{given} {command} {closed}"], timeout=30).returncode == 0
