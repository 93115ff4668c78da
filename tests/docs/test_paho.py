"""docs/moving-from-paho.md is done as it stands there, with a broker of its own for each program.

Every ``python`` block is a program, named by its first line. Those that import paho run with the real paho, under
``python -m telex.paho``, and with their import changed, and do the same each time. What differs from the page: ports.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import telex
from tests.docs.pages import sections
from tests.processes import SECONDS, Server, run, running

ROOT = Path(__file__).parents[2]
TEXT = ROOT.joinpath("docs", "moving-from-paho.md").read_text()
BLOCKS = [block for blocks in sections(f"## The beginning\n{TEXT}").values() for block in blocks]
PROGRAMS = {block.file: block.text for block in BLOCKS if block.language == "python"}
CONSOLE = "".join(block.text for block in BLOCKS if block.language == "console")
[DIFF] = [block for block in BLOCKS if block.language == "diff"]
REMOVED, ADDED = (line[1:] for line in DIFF.text.splitlines())

PAHO = [sys.executable, "-W", "error"]
TAKEN_OVER = [*PAHO, "-m", "telex.paho"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(os.path.abspath(each) for each in path.split(os.pathsep) if each))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, name: str, port: int, *, is_changed: bool = False) -> str:
    """A program of the page as a file, with the port of here, and with its import changed if that is asked for."""
    text = PROGRAMS[name].replace("mqtt://localhost", f"mqtt://127.0.0.1:{port}")
    text = text.replace('"localhost", 1883', f'"127.0.0.1", {port}')
    text = text.replace('hostname="localhost"', f'hostname="127.0.0.1", port={port}')
    assert str(port) in text or "connect" not in text
    if is_changed:
        assert text.count(f"{REMOVED}\n") == 1
        text = text.replace(f"{REMOVED}\n", f"{ADDED}\n")
    path = folder / name
    path.write_text(text)
    return str(path)


def ways(name: str) -> Iterator[object]:
    """The ways in which a program of the page is run: a command, and whether its import is changed."""
    if name.endswith("_telex.py") or name in ("once.py", "inside.py"):
        yield pytest.param(name, PAHO, False, id=name)
    else:
        yield pytest.param(name, PAHO, False, id=f"{name}, paho-mqtt")
        yield pytest.param(name, TAKEN_OVER, False, id=f"{name}, under telex.paho")
        yield pytest.param(name, PAHO, True, id=f"{name}, import changed")


def all_ways(*names: str) -> list[object]:
    return [way for name in names for way in ways(name)]


TOLD = {
    "thermometer.py": "connected: Success\nhome/kitchen/temperature 21.5\n",
    "once.py": "home/door shut\n",
    "inside.py": "<class 'telex.paho.client.Client'>\n",
    "publish_paho.py": "arrived\n",
    "publish_telex.py": "arrived\n",
}
SERVICES = ("convert_paho.py", "convert_telex.py")
ASKING = ("ask_paho.py", "ask_telex.py")


def test_every_program_of_the_page_is_run() -> None:
    assert set(PROGRAMS) == {*TOLD, *SERVICES, *ASKING}
    assert [block for block in BLOCKS if block.language == "python" and not block.file] == []


def test_what_the_page_prints_is_what_the_programs_print() -> None:
    assert "".join(block.text for block in BLOCKS if block.language == "text") == TOLD["inside.py"]
    told = f"$ python -m telex.paho thermometer.py\n{TOLD['thermometer.py']}$ python once.py\n{TOLD['once.py']}"
    assert told == CONSOLE


@pytest.mark.parametrize(("name", "python", "is_changed"), all_ways(*TOLD))
def test_each_program_prints_what_is_told(
    name: str, python: list[str], is_changed: bool, folder: Path, broker: Server
) -> None:
    done = run(*python, written(folder, name, broker.port, is_changed=is_changed))
    assert (done.returncode, done.stderr, done.stdout) == (0, "", TOLD[name])


@pytest.mark.parametrize(("name", "python", "is_changed"), all_ways(*SERVICES))
async def test_each_service_answers_and_says_whether_it_is_there(
    name: str, python: list[str], is_changed: bool, folder: Path, broker: Server
) -> None:
    address = f"mqtt://127.0.0.1:{broker.port}"
    path = written(folder, name, broker.port, is_changed=is_changed)
    async with telex.Client(address) as client, client.subscribe("convert/status", qos=1) as status:
        async with client.subscribe("home/+/fahrenheit", qos=1) as answers:
            # Retained, so that it does not matter who is there first.
            await client.publish("home/kitchen/celsius", "warm", qos=1, retain=True)
            await client.publish("home/hall/celsius", 21.5, qos=1, retain=True)
            with running(*python, path) as service:
                assert (await status.next(timeout=SECONDS)).text == "up"
                answer = await answers.next(timeout=SECONDS)
                assert (answer.topic, answer.decode(float)) == ("home/hall/fahrenheit", 70.7)
                if name == "convert_paho.py":
                    service.kill()
                    assert (await status.next(timeout=SECONDS)).text == "down"
                else:
                    service.send_signal(signal.SIGTERM)
                    _, logged = await asyncio.to_thread(service.communicate, timeout=SECONDS)
                    assert service.returncode == 0
                    assert "warm" in logged
            for topic in ("home/kitchen/celsius", "home/hall/celsius", "convert/status"):
                await client.publish(topic, b"", qos=1, retain=True)


@pytest.mark.parametrize(("name", "python", "is_changed"), all_ways(*ASKING))
async def test_each_question_is_answered(
    name: str, python: list[str], is_changed: bool, folder: Path, broker: Server
) -> None:
    answering = telex.Client(f"mqtt://127.0.0.1:{broker.port}")

    @answering.responds("svc/square", qos=1)
    async def square(message: telex.Message) -> int:
        return message.decode(int) ** 2

    async with answering:
        path = written(folder, name, broker.port, is_changed=is_changed)
        done = await asyncio.to_thread(run, *python, path)
        assert (done.returncode, done.stderr, done.stdout) == (0, "", "144\n")
