"""docs/client.md, and what README.md shows of the client, is run as it stands there, each piece with its own broker.

- ``python``: a program, if its first line names it (``# first.py``); else a piece of one, which may have ``await`` at
  its top, and in which ``client`` is connected.
- ``text`` behind one of them is what it prints. A piece that goes on after that is ended then.

What differs from the pages: ports.
"""

import ast
import asyncio
import configparser
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.client import Client as PahoClient

import telex
from telex import errors
from telex.cli import passwd
from telex.cli import tls as tls_command
from telex.client.address import parse_address
from tests import processes
from tests.docs.pages import Block, is_as_told, sections, table
from tests.processes import SECONDS, Server, lines_until, run, running

ROOT = Path(__file__).parents[2]
TEXT = ROOT.joinpath("docs", "client.md").read_text()
README = ROOT.joinpath("README.md").read_text()
SECTIONS = sections(f"## The beginning\n{TEXT}")


def pieces(blocks: list[Block]) -> list[tuple[str, str | None]]:
    """Pieces of programs, and what they print; None: nothing is told."""
    found = []
    for block, following in zip(blocks, [*blocks[1:], Block("", "")], strict=True):
        if block.language == "python" and not block.file:
            found.append((block.text, following.text if following.language == "text" else None))
    return found


PIECES = [
    pytest.param(code, told, id=f"{heading}-{number}")
    for heading, blocks in SECTIONS.items()
    for number, (code, told) in enumerate(pieces(blocks))
]
LINK = r"\]\(client\.md#(.+?)\)"
README_PIECES = [
    code for code in re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL) if "Client(" in code
]
PROGRAMS = {
    block.file: (block.text, following.text if following.language == "text" else None)
    for blocks in SECTIONS.values()
    for block, following in zip(blocks, [*blocks[1:], Block("", "")], strict=True)
    if block.file
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates, and a user with a password."""
    made = tmp_path_factory.mktemp("keys")
    assert tls_command.run(["init", "--dir", str(made / "tls"), "localhost", "127.0.0.1"]) == 0
    assert passwd.run(["-c", "-b", str(made / "users"), "user", "secret"]) == 0
    return made


@pytest.fixture
def folder(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a program finds and leaves its files."""
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(os.path.abspath(each) for each in path.split(os.pathsep) if each))
    shutil.copytree(keys, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@asynccontextmanager
async def a_broker() -> AsyncIterator[dict[str, str]]:
    """A broker with three listeners; what to write for the addresses of the pages."""
    tls = telex.Tls(certificate="tls/server-localhost.crt", key="tls/server-localhost.key")
    everybody, users = telex.Access(allow_anonymous=True), telex.Access(password_file="users")
    listeners = [
        telex.Listener(host="127.0.0.1", port=0, access=everybody),
        telex.Listener(host="127.0.0.1", port=0, access=everybody, tls=tls),
        telex.Listener(host="127.0.0.1", port=0, access=users, tls=tls),
    ]
    async with telex.Broker(config=telex.Config(listeners=listeners, data="")) as broker:
        plain, secure, guarded = (re.sub(r"\D*$", "", address).rpartition(":")[2] for address in broker.addresses)
        yield {
            "mqtt://localhost": f"mqtt://127.0.0.1:{plain}",
            "localhost:8883": f"localhost:{secure}",
            "mqtts://user:secret@broker.example": f"mqtts://user:secret@localhost:{guarded}",
        }


def adapted(text: str, addresses: dict[str, str]) -> str:
    """A text of a page with the addresses of here."""
    for told, here in addresses.items():
        text = text.replace(told, here)
    return text


def compiled(code: str, addresses: dict[str, str]) -> CodeType:
    """A piece of a program, which may have ``await`` at its top."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    made = compile(adapted(code, addresses), "a piece of the page", "exec", flags=flags, dont_inherit=True)
    assert isinstance(made, CodeType)
    return made


class Printed:
    """What a piece prints, and whether that is all that is told."""

    def __init__(self, told: str | None) -> None:
        self.told = told
        self.text = ""
        self.is_as_told = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def print(self, *values: object) -> None:
        self.text += " ".join(map(str, values)) + "\n"
        if self.told is not None and is_as_told(self.told, self.text):
            self._loop.call_soon_threadsafe(self.is_as_told.set)


async def do(code: CodeType, names: dict[str, object], printed: Printed) -> None:
    """Run a piece to its end, or until it has printed what is told and waits for more."""

    async def piece() -> None:
        going = eval(code, names)
        if inspect.isawaitable(going):
            await going

    running = asyncio.ensure_future(piece())
    told = asyncio.ensure_future(printed.is_as_told.wait())
    done, _ = await asyncio.wait([running, told], return_when=asyncio.FIRST_COMPLETED, timeout=SECONDS)
    for each in (running, told):
        each.cancel()
    await asyncio.gather(running, told, return_exceptions=True)
    assert done, f"it waits for more, and has printed:\n{printed.text}"
    if not running.cancelled():
        running.result()


@pytest.mark.parametrize(("code", "told"), PIECES)
async def test_each_piece_does_what_is_told(code: str, told: str | None, folder: Path) -> None:
    async with a_broker() as addresses, telex.Client(addresses["mqtt://localhost"]) as client:
        if told is not None:
            told = adapted(told, addresses)
        printed = Printed(told)
        names: dict[str, Any] = {"telex": telex, "asyncio": asyncio, "client": client, "print": printed.print}
        await do(compiled(code, addresses), names, printed)
        if names["client"] is not client:  # the piece that says where it comes from
            await names["client"].close()
    assert is_as_told(told or "", printed.text), printed.text


def test_each_text_stands_behind_what_prints_it() -> None:
    texts = [block.text for blocks in SECTIONS.values() for block in blocks if block.language == "text"]
    told = [each.values[1] for each in PIECES] + [each for _, each in PROGRAMS.values()]
    assert sorted(texts) == sorted(each for each in told if isinstance(each, str))


@pytest.mark.parametrize("name", ["first.py", "plain.py"])
def test_each_program_does_what_is_told(name: str, folder: Path, broker: Server) -> None:
    code, told = PROGRAMS[name]
    folder.joinpath(name).write_text(code.replace("mqtt://localhost", f"mqtt://127.0.0.1:{broker.port}"))
    done = run(sys.executable, "-W", "error", name)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", told or "")


def test_every_program_is_run() -> None:
    assert sorted(PROGRAMS) == ["first.py", "heating.py", "heating.service", "plain.py", "test_heating.py"]


def test_the_service_passes_its_test(folder: Path) -> None:
    for name in ("heating.py", "test_heating.py"):
        folder.joinpath(name).write_text(PROGRAMS[name][0])
    done = run(sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_heating.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_service_ends_by_a_signal_with_a_farewell(
    number: signal.Signals, folder: Path, broker: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.joinpath("heating.py").write_text(PROGRAMS["heating.py"][0])
    address = f"mqtt://127.0.0.1:{broker.port}"
    monkeypatch.setenv("MQTT_URL", address)
    async with telex.Client(address) as client, client.subscribe("services/heating", "home/+/heating", qos=1) as heard:
        with running(sys.executable, "-W", "error", "heating.py") as service:
            assert (await heard.next(timeout=SECONDS)).text == "up"
            await client.publish("home/kitchen/temperature", 15, qos=1)
            assert (await heard.next(timeout=SECONDS)).text == "on"
            service.send_signal(number)
            assert await asyncio.to_thread(service.wait, SECONDS) == 0
            assert service.stderr is not None
            assert service.stderr.read() == ""
        await client.publish("services/heating", "", qos=1, retain=True)  # for the next one
        assert (await heard.next(timeout=SECONDS)).text == ""  # and not the will: it was a farewell


def test_the_unit_is_one_of_systemd_and_runs_the_service(folder: Path) -> None:
    text = PROGRAMS["heating.service"][0]
    unit = configparser.ConfigParser(strict=True)
    unit.read_string(text)
    assert unit["Service"]["ExecStart"].split()[-1] == "heating.py"
    assert "MQTT_URL=" in text
    assert "MQTT_URL" in PROGRAMS["heating.py"][0]
    # systemd wants to find the program that it is to start.
    path = folder / "heating.service"
    path.write_text(text.replace("/opt/heating/.venv/bin/python", sys.executable).replace("/opt/heating", str(folder)))
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not on this machine")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "heating.service" not in done.stdout + done.stderr, done.stderr  # what it says of others is not ours


async def test_the_web_application_is_connected_while_it_runs(folder: Path) -> None:
    [code] = [each.values[0] for each in PIECES if "FastAPI" in str(each.values[0])]
    async with a_broker() as addresses:
        names: dict[str, Any] = {"telex": telex}
        exec(compiled(str(code), addresses), names)
        async with names["lifespan"](names["app"]), names["mqtt"].subscribe("home/door") as messages:
            await names["door"]("shut")
            assert (await messages.next(timeout=SECONDS)).text == "shut"
        assert not names["mqtt"].is_connected


@pytest.mark.parametrize(
    "address", [address for row in table(TEXT, "## TLS, proxies") for address in re.findall(r"`(\S+)`", row[0])]
)
def test_each_address_of_the_table_is_one(address: str) -> None:
    parse_address(address)


def test_each_address_of_the_table_is_what_is_told() -> None:
    for row in table(TEXT, "## TLS, proxies"):
        address, port = re.findall(r"`(\S+)`", row[0]), re.search(r"port (\d+)", row[1])
        if port is not None:
            assert str(parse_address(address[0]).port) == port[1]


def test_each_link_into_the_page_finds_its_heading() -> None:
    headings = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    there = {re.sub(r"[^\w -]", "", each).replace(" ", "-").lower() for each in headings}
    for name, link in (("client.md", r"\]\(#(.+?)\)"), ("limits.md", LINK), ("durability.md", LINK)):
        found = re.findall(link, ROOT.joinpath("docs", name).read_text())
        assert found, name
        assert set(found) <= there, name


def test_each_proxy_can_be_given() -> None:
    proxies = re.findall(r'`proxy="(\S+)"`', TEXT)
    assert len(proxies) == 2
    for proxy in proxies:
        telex.Client(proxy=proxy)


@pytest.mark.parametrize("keep", [True, False])
async def test_a_kept_session_gets_what_comes_later_only_for_what_was_left_with_keep(keep: bool, folder: Path) -> None:
    async with a_broker() as addresses, telex.Client(addresses["mqtt://localhost"]) as client:
        worker = telex.Client(addresses["mqtt://localhost"], client_id="worker", session_expiry_interval=60)
        async with worker, worker.subscribe("jobs", qos=1, keep=keep) as jobs:
            assert await client.publish("jobs", "while it is there", qos=1) == telex.ReasonCode.SUCCESS
            assert (await jobs.next(timeout=SECONDS)).text == "while it is there"
        code = await client.publish("jobs", "while it is away", qos=1)
        assert (code == telex.ReasonCode.SUCCESS) is keep
        assert code in (telex.ReasonCode.SUCCESS, telex.ReasonCode.NO_MATCHING_SUBSCRIBERS)
        async with worker, worker.subscribe("jobs", qos=1) as jobs:
            await client.publish("jobs", "when it is back", qos=1)
            told = ["while it is away", "when it is back"] if keep else ["when it is back"]
            assert [(await jobs.next(timeout=SECONDS)).text for _ in told] == told


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_farewell_may_have_the_will_published_all_the_same(version: Any, folder: Path) -> None:
    async with a_broker() as addresses, telex.Client(addresses["mqtt://localhost"]) as client:
        sensor = telex.Client(addresses["mqtt://localhost"], version=version, will=telex.Will("status", "offline"))
        async with client.subscribe("status") as messages:
            async with sensor:
                await sensor.close(telex.ReasonCode.DISCONNECT_WITH_WILL_MESSAGE)
            assert (await messages.next(timeout=SECONDS)).text == "offline"
            async with sensor:
                pass
            await client.publish("status", "the end")
            assert [(await messages.next(timeout=SECONDS)).text] == ["the end"]


async def test_an_event_that_takes_long_is_cancelled_at_close(folder: Path) -> None:
    async with a_broker() as addresses:
        client = telex.Client(addresses["mqtt://localhost"])
        began, ends = asyncio.Event(), []

        @client.on_connected
        async def connected(event: telex.Connected) -> None:
            began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        async with client:
            await asyncio.wait_for(began.wait(), SECONDS)
        assert ends == ["cancelled"]


async def test_the_service_is_ready_when_it_says_that_it_is_connected(folder: Path) -> None:
    async with a_broker() as addresses, telex.Client(addresses["mqtt://localhost"]) as client:
        app = telex.Client(addresses["mqtt://localhost"])
        codes: asyncio.Queue[telex.ReasonCode] = asyncio.Queue()
        app.on("ready/+", qos=1)(lambda: None)

        @app.on_connected
        async def connected(event: telex.Connected) -> None:
            codes.put_nowait(await client.publish("ready/?", "", qos=1))

        async with app:
            assert await asyncio.wait_for(codes.get(), SECONDS) == telex.ReasonCode.SUCCESS


async def test_the_service_ends_with_an_error_when_its_place_is_taken(
    folder: Path, broker: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.joinpath("heating.py").write_text(PROGRAMS["heating.py"][0])
    address = f"mqtt://127.0.0.1:{broker.port}"
    monkeypatch.setenv("MQTT_URL", address)
    async with telex.Client(address) as client, client.subscribe("services/heating", qos=1) as heard:
        with running(sys.executable, "-W", "error", "heating.py") as service:
            assert (await heard.next(timeout=SECONDS)).text == "up"
            async with telex.Client(address, client_id="heating"):
                assert await asyncio.to_thread(service.wait, SECONDS) == 1
            assert service.stderr is not None
            assert "another client has the same client id" in service.stderr.read().splitlines()[-1]
        await client.publish("services/heating", "", qos=1, retain=True)  # for the next one


def test_a_service_that_does_not_come_back_ends_with_an_error(folder: Path) -> None:
    program = """
import telex

app = telex.Client("mqtt://localhost", reconnect=None)
app.on_connected(lambda event: print("up", flush=True))
app.run()
"""
    with processes.telex() as server:
        code = program.replace("mqtt://localhost", f"mqtt://127.0.0.1:{server.port}")
        with running(sys.executable, "-W", "error", "-c", code) as service:
            assert lines_until(service, "up") == "up\n"
            server.process.terminate()
            assert service.wait(SECONDS) == 1
            assert service.stderr is not None
            assert service.stderr.read().splitlines()[-1].startswith("telex.errors.NotConnected: ")


def test_every_exception_is_in_the_table() -> None:
    told = re.findall(r"`([\w.]+)`", " ".join(row[0] for row in table(TEXT, "## Exceptions")))
    ours = {f"telex.{name}" for name, each in vars(errors).items() if inspect.isclass(each)} - {"telex.ReasonCode"}
    assert set(told) == ours - {"telex.MqttError"} | {"telex.PayloadError", "ValueError", "TypeError", "OSError"}
    assert all(hasattr(telex, name.removeprefix("telex.")) for name in ours)


def test_all_but_the_last_three_exceptions_are_mqtt_errors() -> None:
    rows = [row[0] for row in table(TEXT, "## Exceptions")]
    names = {name.removeprefix("telex.") for row in rows[:-3] for name in re.findall(r"`([\w.]+)`", row)}
    assert all(issubclass(getattr(telex, name), telex.MqttError) for name in names)
    assert issubclass(telex.PayloadError, ValueError)


KEYWORDS = {
    name
    for function in (telex.Client, telex.Client.publish, telex.Client.subscribe, telex.ClientTls, telex.Will)
    for name in inspect.signature(function).parameters
}


@pytest.mark.parametrize("heading", ["## Coming from paho-mqtt", "## Coming from aiomqtt"])
def test_the_calls_of_ours_in_the_tables_exist(heading: str) -> None:
    for _, ours in table(TEXT, heading):
        for code in re.findall(r"`([^`]+)`", ours):
            for name in re.findall(r"telex\.(\w+)", code):
                assert hasattr(telex, name), code
            for owner, name in re.findall(r"\b(client|app|message)\.(\w+)", code):
                assert hasattr(telex.Message if owner == "message" else telex.Client, name), code
            for keyword in re.findall(r"\b(\w+)=", code):
                assert keyword in KEYWORDS | {"first", "most"}, code


def test_the_calls_of_theirs_in_the_tables_exist() -> None:
    for theirs, _ in table(TEXT, "## Coming from paho-mqtt"):
        for name in re.findall(r"(?:^|[` ])([a-z]\w+)\(", theirs):
            assert name == "wait_for_publish" or hasattr(PahoClient, name), name
    parameters = inspect.signature(aiomqtt.Client).parameters
    for theirs, _ in table(TEXT, "## Coming from aiomqtt"):
        for name in re.findall(r"aiomqtt\.(\w+)", theirs):
            assert hasattr(aiomqtt, name), name
        for name in re.findall(r"`(\w+)=", theirs):
            assert name in parameters, name
    assert {"username", "password", "max_queued_incoming_messages"} <= set(parameters)


# README.md


def test_the_client_of_the_readme_is_shown_in_three_pieces() -> None:
    assert len(README_PIECES) == 3


async def test_the_first_piece_of_the_readme_works_as_written(folder: Path) -> None:
    async with a_broker() as addresses, telex.Client(addresses["mqtt://localhost"]) as other:
        async with other.subscribe("home/temp/+", qos=1) as messages:
            await other.publish("home/temp/room2", 19.5, qos=1, retain=True)
            assert (await messages.next(timeout=SECONDS)).text == "19.5"
            printed = Printed("home/temp/room2 19.5\n")
            await do(compiled(README_PIECES[0], addresses), {"telex": telex, "print": printed.print}, printed)
            assert printed.text == printed.told
            assert [message.text for message in messages.take()] == ["24.2"]


async def test_the_blocking_piece_of_the_readme_works_as_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "tls/ca.crt")  # what this system trusts
    async with a_broker() as addresses:
        device = telex.Client(addresses["mqtt://localhost"])

        @device.responds("device/{number}/reboot")
        async def reboot(number: int) -> str:
            return f"{number} starts again"

        async with device:
            printed = Printed("7 starts again\n")
            names = {"telex": telex, "print": printed.print}
            await asyncio.to_thread(exec, compiled(README_PIECES[1], addresses), names)
            assert printed.text == printed.told


async def test_the_handler_of_the_readme_works_as_written(folder: Path, broker: Server) -> None:
    address = f"mqtt://127.0.0.1:{broker.port}"
    program = f"import telex\n{README_PIECES[2].replace('mqtt://localhost', address)}"
    async with telex.Client(address) as client:
        # Retained, so that it does not matter who is there first.
        await client.publish("home/temp/kitchen", 21.5, qos=1, retain=True)
        with running(sys.executable, "-W", "error", "-u", "-c", program) as process:
            assert await asyncio.to_thread(lines_until, process, "kitchen") == "kitchen 21.5\n"
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, SECONDS) == 0
