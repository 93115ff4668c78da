"""The programs of ``examples/`` run and print what they should."""

import asyncio
import importlib.util
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import telex
from tests import processes
from tests.processes import SECONDS, free_port, lines_until, run, running

EXAMPLES = Path(__file__).parents[1] / "examples"


def loaded(name: str) -> ModuleType:
    """An example as a module of its own."""
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pydantic look there
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def command(name: str, *arguments: str) -> list[str]:
    """How to run an example."""
    return [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory for what they leave."""
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(os.path.abspath(each) for each in path.split(os.pathsep) if each))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def url() -> Iterator[str]:
    """A broker that nobody has used before."""
    with processes.telex() as server:
        yield f"mqtt://127.0.0.1:{server.port}"


async def texts(messages: telex.Subscription, count: int) -> list[tuple[str, str]]:
    """Topics and texts of the next messages."""
    found = [await messages.next(timeout=SECONDS) for _ in range(count)]
    return [(message.topic, message.text) for message in found]


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'("{path.name}"' in text or f'"{path.name}")' in text, f"{path.name} is not run"


def test_every_example_says_how_it_is_run() -> None:
    for path in EXAMPLES.glob("*.py"):
        told = (loaded(path.name).__doc__ or "").partition("::\n")[2]
        assert re.search(rf"^    .*\b({path.name}|{path.stem}:app)\b", told, re.MULTILINE), path.name


async def test_the_sensor_loses_no_reading_while_there_is_no_broker(here: Path, url: str) -> None:
    nowhere = f"mqtt://127.0.0.1:{free_port()}"
    arguments = ["--room", "attic", "--every", "0.01", "--count", "3"]
    done = await asyncio.to_thread(run, *command("sensor.py", *arguments, "--url", nowhere))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no connection, readings wait on disk: ")
    async with telex.Client(url) as client, client.subscribe("home/attic/+", qos=1) as messages:
        with running(*command("sensor.py", "--room", "attic", "--every", "60", "--url", url)) as sensor:
            found = await texts(messages, 5)
            readings = [json.loads(text) for topic, text in found if topic == "home/attic/temperature"]
            assert len(readings) == 4
            assert readings == sorted(readings, key=lambda reading: float(reading["at"]))
            assert all(15 < reading["celsius"] < 25 for reading in readings)
            assert ("home/attic/status", "online") in found
            sensor.send_signal(signal.SIGINT)
            assert await texts(messages, 1) == [("home/attic/status", "offline")]
            assert await asyncio.to_thread(sensor.wait, SECONDS) == 0
            assert sensor.stderr is not None
            assert sensor.stderr.read() == ""


async def test_the_sensor_ends_when_the_broker_has_its_last_reading(here: Path, url: str) -> None:
    async with telex.Client(url) as client, client.subscribe("home/cellar/temperature", qos=1) as messages:
        arguments = ["--room", "cellar", "--every", "0", "--count", "20", "--url", url]
        done = await asyncio.to_thread(run, *command("sensor.py", *arguments))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert len(await texts(messages, 20)) == 20


async def test_the_dashboard_shows_what_comes(here: Path, url: str) -> None:
    async with telex.Client(url) as client:
        # Retained, so that it does not matter who is there first.
        for topic, payload in (("dash/room1", 21.5), ("dash/room2", "caf\u00e9")):
            await client.publish(topic, payload, qos=1, retain=True)
        arguments = ["dash/#", "--count", "2", "--url", url]
        done = await asyncio.to_thread(run, *command("dashboard.py", *arguments))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"dash/room1 .* 21\.5 .* 1 ", done.stdout), done.stdout
    assert re.search(r"dash/room2 .* caf\u00e9 .* 1 ", done.stdout), done.stdout


async def test_the_service_answers_and_says_what_is_wrong_with_a_request(here: Path, url: str) -> None:
    async def ask(*words: str) -> tuple[int, str]:
        done = await asyncio.to_thread(run, *command("service.py", "--url", url, "--ask", *words))
        return done.returncode, done.stdout + done.stderr

    nobody = "no answer: nobody has subscribed to 'calculator/add', so nobody answers\n"
    assert await ask("add", "17", "4") == (1, nobody)
    with running(*command("service.py", "--url", url)) as service:
        assert await asyncio.to_thread(lines_until, service, "answers") == "connected: calculator/... answers\n"
        assert await ask("add", "17", "4") == (0, "21.0\n")
        assert await ask("divide", "17", "0") == (1, "refused: float division by zero\n")
        assert await ask("root", "17", "0") == (1, "refused: root is none of add, multiply, divide\n")
        async with telex.Client(url) as client:
            reply = await client.request("calculator/add", {"a": "one"}, qos=1, timeout=SECONDS)
            assert "expected Numbers (Expected `float`, got `str` - at `$.a`)" in reply.json()["error"]
        service.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(service.wait, SECONDS) == 0
        assert service.stderr is not None
        assert service.stderr.read() == ""


async def test_the_web_api_publishes_and_tells_the_latest_values(
    here: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_URL", url)
    example = loaded("fastapi_app.py")
    async with example.app.router.lifespan_context(example.app):
        async with telex.Client(url) as client, client.subscribe("home/hall/temperature") as messages:
            path = "/rooms/hall/temperature"
            assert await asked(example.app, "POST", path, {"celsius": 21.5}) == (202, {"state": "published"})
            assert await texts(messages, 1) == [("home/hall/temperature", '{"celsius":21.5}')]
            assert (await asked(example.app, "POST", path, {"celsius": "warm"}))[0] == 422
            status, told = await asked(example.app, "POST", "/rooms/+/temperature", {"celsius": 21.5})
            assert (status, "'+' and '#' are for filters only" in str(told)) == (422, True)
        async with asyncio.timeout(SECONDS):
            while await asked(example.app, "GET", "/rooms") != (200, {"hall": 21.5}):
                await asyncio.sleep(0.01)  # the reading is on its way back
    assert not example.mqtt.is_connected
    # Each test of an application begins it anew.
    async with example.app.router.lifespan_context(example.app), telex.Client(url) as client:
        async with client.subscribe("home/attic/temperature") as messages:
            await asked(example.app, "POST", "/rooms/attic/temperature", {"celsius": 3})
            assert await texts(messages, 1) == [("home/attic/temperature", '{"celsius":3.0}')]


async def asked(
    app: Callable[..., Awaitable[None]], method: str, path: str, body: object = None
) -> tuple[int, dict[str, Any]]:
    """What a web application answers: its status, and its JSON."""
    head = {"type": "http", "method": method, "path": path, "query_string": b"", "http_version": "1.1"}
    headers = [(b"content-type", b"application/json")]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": json.dumps(body).encode()}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({**head, "headers": headers}, receive, send)
    return sent[0]["status"], json.loads(b"".join(message["body"] for message in sent[1:]))


async def test_home_assistant_finds_the_device(here: Path, url: str) -> None:
    configs = ["homeassistant/sensor/desk/config", "homeassistant/switch/desk/config"]
    filters = ("homeassistant/+/desk/config", "plug/desk/#")
    async with telex.Client(url) as client, client.subscribe(*filters, qos=1) as messages:
        with running(*command("discovery.py", "--name", "desk", "--every", "60", "--url", url)) as device:
            found = dict(await texts(messages, 5))
            sensor, switch = (json.loads(found[topic]) for topic in configs)
            assert found[sensor["availability_topic"]] == found[switch["availability_topic"]] == "online"
            assert 15 < float(found[sensor["state_topic"]]) < 35
            assert found[switch["state_topic"]] == "OFF"
            assert sensor["device"] == switch["device"]
            assert sensor["unique_id"] != switch["unique_id"]

            await client.publish(switch["command_topic"], "ON", qos=1)
            assert dict(await texts(messages, 2)) == {switch["command_topic"]: "ON", switch["state_topic"]: "ON"}
            await client.publish("homeassistant/status", "online", qos=1)
            assert sorted(dict(await texts(messages, 2))) == configs

            device.send_signal(signal.SIGINT)
            assert await texts(messages, 1) == [(sensor["availability_topic"], "offline")]
            assert await asyncio.to_thread(device.wait, SECONDS) == 0
            assert device.stderr is not None
            assert device.stderr.read() == ""
        # Who comes later finds all of it.
        async with client.subscribe("homeassistant/+/desk/config", "plug/desk/available") as later:
            assert sorted(topic for topic, _ in await texts(later, 3)) == [*configs, "plug/desk/available"]


def test_scram_lets_in_who_knows_the_password_and_nobody_else() -> None:
    done = run(*command("scram.py"))
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "ann: connected, and the broker has shown that it knows her",
        "ann, 'wrong': the broker refused the connection: 0x87 not authorized",
        "bob, 'correct horse': the broker refused the connection: 0x87 not authorized",
        "without the method: the broker refused the connection: 0x87 not authorized",
    ]


def test_scram_tells_nobody_whom_it_knows() -> None:
    scram = loaded("scram.py")
    gate = scram.ScramGate({"ann": "correct horse"})
    ann, bob = gate.user("ann", "ann"), gate.user("bob", "bob")
    assert gate.user("bob", "bob") == bob
    assert [len(each) for each in ann[:3]] == [len(each) for each in bob[:3]]
    assert ann[3] == bob[3]
    assert gate.user("ann", "eve") == (ann[0], *bob[1:])  # eve's connection stays eve's
