"""Programs that use paho-mqtt run unchanged on telex.paho: once with the real paho, and once with Telex in its place.

The programs are in ``programs``, or come from PyPI. What they print and what others hear of them has to be the same
with both libraries, through Telex and through Mosquitto.
"""

import asyncio
import csv
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import pytest

import telex
from tests import processes
from tests.client.adversity.proxy import How, Proxy
from tests.interop.serving import Serving, serving
from tests.processes import SECONDS, Server, lines_until, run, running

PROGRAMS = Path(__file__).parent / "programs"
TUTORIAL = Path(__file__).parents[1] / "interop" / "tutorial"
PYTHONS = {"paho-mqtt": [sys.executable], "telex.paho": [sys.executable, "-m", "telex.paho"]}
MODULE = "import paho.mqtt.client as paho; print(paho.Client.__module__, flush=True)"


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> list[str]:
    """How a program is run: with the real paho, or with what takes its place."""
    return PYTHONS[request.param]


@pytest.fixture(params=["broker", "debian_mosquitto"])
def server(request: pytest.FixtureRequest) -> Server:
    """Telex and Mosquitto, without what a test before has left there."""
    found: Server = request.getfixturevalue(request.param)
    return found


def program(name: str) -> str:
    return str(PROGRAMS / f"{name}.py")


def command(name: str) -> str:
    """The script of a command that pip has installed for this Python."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found is not None, f"{name} is not installed; it is in the extra 'test'"
    return found


def lines(process: subprocess.Popen[str], pattern: str) -> list[str]:
    return lines_until(process, pattern).splitlines()


def rest(process: subprocess.Popen[str]) -> list[str]:
    """What a program prints until it has come to its end, which has to be a good one."""
    printed, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    return printed.splitlines()


def told(story: Callable[[], Awaitable[None]]) -> None:
    """A story within its time."""

    async def bounded() -> None:
        async with asyncio.timeout(2 * SECONDS):
            await story()

    asyncio.run(bounded())


async def clean(client: telex.Client, *topics: str) -> None:
    """Have the broker forget what is retained."""
    for topic in topics:
        await client.publish(topic, b"", qos=1, retain=True)


def take_over(port: int, client_id: str) -> None:
    """Have the broker close the connection of a client, as it does when another comes with its id."""
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(client_id).to_bytes(2) + client_id.encode()
    with socket.create_connection(("127.0.0.1", port), SECONDS) as taking:
        taking.sendall(bytes((0x10, len(body))) + body)
        assert taking.recv(4, socket.MSG_WAITALL) == b"\x20\x02\x00\x00"


# What takes paho's place


@pytest.mark.parametrize("how", ["a file", "a module", "a text"])
def test_it_is_telex_that_a_program_gets(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("asks.py").write_text(MODULE)
    ways = {"a file": [str(tmp_path / "asks.py")], "a module": ["-m", "asks"], "a text": ["-c", MODULE]}
    source = str(Path(telex.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", f"{source}:{tmp_path}")
    assert run(*PYTHONS["paho-mqtt"], *ways[how]).stdout == "paho.mqtt.client\n"
    assert run(*PYTHONS["telex.paho"], *ways[how]).stdout == "telex.paho.client\n"


# aiomqtt


def test_a_service_on_aiomqtt_publishes_iterates_leaves_a_will_and_connects_again(
    python: list[str], server: Server
) -> None:
    async def story() -> None:
        async with telex.Client(f"mqtt://127.0.0.1:{server.port}") as client, Proxy(server.port) as proxy:
            await clean(client, "service/status")
            with running(*python, program("aiomqtt_service"), str(proxy.port)) as service:
                async with client.subscribe("service/status", "service/answers/+", qos=2) as heard:

                    async def texts(count: int) -> list[tuple[str, str, int]]:
                        found = [await heard.next(timeout=SECONDS) for _ in range(count)]
                        return [(each.topic, each.text, each.qos) for each in found]

                    assert await asyncio.to_thread(lines, service, "^here") == ["id service", "here [1]"]
                    assert await texts(1) == [("service/status", "here", 1)]
                    for number in range(100):
                        await client.publish(f"service/orders/{number}", str(number), qos=number % 3)
                    answers = await texts(100)
                    assert sorted(answers) == sorted(
                        (f"service/answers/{number}", str(number), min(number % 3, 1)) for number in range(100)
                    )
                    assert await asyncio.to_thread(lines, service, "^answered") == ["answered 100"]
                    proxy.cut_now(How.RST)
                    assert await texts(1) == [("service/status", "lost", 1)]
                    assert await asyncio.to_thread(lines, service, "^here") == [
                        "lost Disconnected during message iteration",
                        "here [1]",
                    ]
                    assert await texts(1) == [("service/status", "here", 1)]
                    await client.publish("service/orders/last", "end", qos=1)
                    assert await texts(2) == [("service/answers/last", "end", 1), ("service/status", "gone", 2)]
                    assert await asyncio.to_thread(rest, service) == []

    told(story)


# Home Assistant


# Over WebSocket, what paho itself has read ahead may wait there, unseen by select, until the broker sends more.
@pytest.mark.parametrize(
    ("python", "transport"),
    [("paho-mqtt", "tcp"), ("telex.paho", "tcp"), ("telex.paho", "websockets")],
    indirect=["python"],
)
def test_home_assistants_way_of_driving_the_loop_goes_with_a_flood_and_a_lost_connection(
    python: list[str], transport: str, house_broker: Serving
) -> None:
    port = house_broker.ports[transport == "websockets"]

    async def story() -> None:
        async with telex.Client(f"mqtt://127.0.0.1:{house_broker.ports[0]}") as client:
            await clean(client, "house/status")
            with running(*python, program("home_assistant"), str(port), transport) as house:
                topics = ("house/status", "house/count", "house/back", "house/done")
                async with client.subscribe(*topics, qos=2) as heard:
                    assert await asyncio.to_thread(lines, house, "^connected") == ["connected: Success"]
                    assert (await heard.next(timeout=SECONDS)).text == "online"

                    # More than one read takes in: nothing may wait for the next packet of the broker. It is less than
                    # the broker holds for one client, 1000 in flight and 1000 that wait: of more, it drops what is new.
                    await client.publish_many((("house/flood", number) for number in range(1500)), qos=1)
                    await client.publish("house/orders/count", "", qos=1)
                    assert (await heard.next(timeout=SECONDS)).text == "1500"

                    # More than paho has in flight at once.
                    await client.publish("house/orders/flood", "500", qos=1)
                    back = [await heard.next(timeout=SECONDS) for _ in range(501)]
                    assert [each.text for each in back] == [*map(str, range(500)), "500"]
                    assert await asyncio.to_thread(lines, house, "^flooded") == ["flooded"]  # all is acknowledged

                    await asyncio.to_thread(take_over, house_broker.ports[0], "house")
                    assert (await heard.next(timeout=SECONDS)).text == "offline"
                    printed = await asyncio.to_thread(lines, house, "^connected")
                    assert printed == [
                        "disconnected: Unspecified error False",
                        "reading ended: The connection was lost.",
                        "connected: Success",
                    ]
                    assert (await heard.next(timeout=SECONDS)).text == "online"
                    await client.publish("house/orders/count", "", qos=1)
                    assert (await heard.next(timeout=SECONDS)).text == "1500"
                    await client.publish("house/orders/end", "", qos=1)
                    assert (await heard.next(timeout=SECONDS)).text == "offline"
                    assert await asyncio.to_thread(rest, house) == ["disconnected: Normal disconnection False"]

    told(story)


@pytest.fixture(scope="module")
def house_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A broker with a listener for TCP, and one for WebSocket."""
    listeners = [f'[[listeners]]\nhost = "127.0.0.1"\nport = 0\n{more}' for more in ("", 'protocol = "websocket"\n')]
    with serving(tmp_path_factory.mktemp("house"), "\n".join(listeners)) as found:
        yield found


# ha-mqtt-discoverable


def test_a_sensor_and_a_switch_of_ha_mqtt_discoverable_are_found_and_used(python: list[str], server: Server) -> None:
    async def story() -> None:
        places = [f"homeassistant/{kind}/config" for kind in ("sensor/temperature", "switch/pump")]
        order = "hmd/switch/pump/command"
        async with telex.Client(f"mqtt://127.0.0.1:{server.port}") as client:
            await clean(client, order, *places)
            # Retained, so that it does not matter who is there first.
            await client.publish(order, "ON", qos=1, retain=True)
            async with client.subscribe("homeassistant/#", "hmd/+/+/state", qos=1) as heard:
                came: list[telex.Message] = []

                async def next_of(topic: str) -> telex.Message:
                    """The two devices are two clients: what they say comes in the order of each."""
                    while not (found := [each for each in came if each.topic == topic]):
                        came.append(await heard.next(timeout=SECONDS))
                    came.remove(found[0])
                    return found[0]

                with running(*python, program("discoverable"), str(server.port)) as devices:
                    sensor = (await next_of(places[0])).json()
                    assert (sensor["name"], sensor["unit_of_measurement"]) == ("temperature", "°C")
                    assert (await next_of(sensor["state_topic"])).text == "21.5"
                    switch = (await next_of(places[1])).json()
                    assert switch["command_topic"] == order
                    assert (await next_of(switch["state_topic"])).text == "ON"
                    await client.publish(order, "OFF", qos=1)
                    assert (await next_of(switch["state_topic"])).text == "OFF"
                    assert await asyncio.to_thread(rest, devices) == [f"command {order} ON", f"command {order} OFF"]

    told(story)


# Flask-MQTT


def test_flask_mqtt_sets_a_client_up_by_private_names(python: list[str], server: Server) -> None:
    take_over(server.port, "flask-service")  # and nothing is left of the session that a test before has kept

    async def story() -> None:
        async with telex.Client(f"mqtt://127.0.0.1:{server.port}") as client, Proxy(server.port) as proxy:
            await client.publish("flask/question", "who?", qos=1, retain=True)
            with running(*python, program("flask_service"), str(proxy.port)) as service:
                async with client.subscribe("flask/answer", "flask/status", qos=1) as heard:
                    assert await asyncio.to_thread(lines, service, "got") == [
                        "connected 0 0",
                        "got flask/question who? 1",
                    ]
                    assert (await heard.next(timeout=SECONDS)).text == "WHO?"
                    connect = proxy.passed[0].data
                    assert b"flask-service" in connect  # the client id
                    assert connect[9] & 0x02 == 0  # the session is a kept one
                    proxy.cut_now(How.FIN)
                    assert (await heard.next(timeout=SECONDS)).text == "lost"
                    assert (await asyncio.to_thread(lines, service, "connected"))[-1] == "connected 0 1"
                    await client.publish("flask/end", "", qos=1)
                    assert "topics ['flask/#']" in await asyncio.to_thread(rest, service)
            await clean(client, "flask/question")

    told(story)


# Commands


def test_mqtt_recorder_records_and_plays_again(python: list[str], server: Server, tmp_path: Path) -> None:
    recorder, file = command("mqtt-recorder"), tmp_path / "recorded.csv"
    where = ["--host", "127.0.0.1", "--port", str(server.port), "--file", str(file)]
    with telex.SyncClient(f"mqtt://127.0.0.1:{server.port}") as client:
        with (
            ThreadPoolExecutor(1) as reader,
            running(*python, recorder, *where, "--mode", "record", "--qos", "1", "-t", "recorded/+") as recording,
        ):
            ready = reader.submit(errors_until, recording, "Topic: recorded/ready")
            while not wait([ready], 0.05).done:  # it passes over what comes before its flag is set, behind SUBACK
                client.publish("recorded/ready", qos=1, timeout=SECONDS)
            assert "Connected to broker!" in ready.result()
            for room in ("kitchen", "hall"):
                client.publish(f"recorded/{room}", f"warm in the {room}", qos=1, timeout=SECONDS)
            errors_until(recording, "Topic: recorded/hall")
            recording.send_signal(signal.SIGINT)
            recording.communicate(timeout=SECONDS)
            assert recording.returncode == 0
        with file.open(newline="") as text:
            rows = [row[:4] for row in csv.reader(text) if row[0] != "recorded/ready"]
        assert rows == [
            ["recorded/kitchen", "warm in the kitchen", "1", "False"],
            ["recorded/hall", "warm in the hall", "1", "False"],
        ]
        with file.open("w", newline="") as text:
            csv.writer(text).writerows([*row, "0", "0"] for row in rows)
        with client.subscribe("recorded/+", qos=1) as heard:
            with running(*python, recorder, *where, "--mode", "replay", "--loop", "yes") as playing:
                played = [heard.next(timeout=SECONDS) for _ in rows]
                assert [[each.topic, each.text] for each in played] == [row[:2] for row in rows]
                playing.send_signal(signal.SIGINT)
                playing.communicate(timeout=SECONDS)
                assert playing.returncode == 0


def errors_until(process: subprocess.Popen[str], pattern: str) -> str:
    """What a program says on its standard error until a line matches."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if re.search(pattern, line):
            return seen
    raise AssertionError(f"the program ended without {pattern!r}; it said:\n{seen}")


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_apprise_notifies_over_mqtt(python: list[str], broker: Server, qos: int) -> None:
    with telex.SyncClient(f"mqtt://127.0.0.1:{broker.port}") as client:
        with client.subscribe("apprise/+", qos=2) as heard:
            url = f"mqtt://127.0.0.1:{broker.port}/apprise/door,apprise/log?qos={qos}"
            done = run(*python, command("apprise"), "-b", "the door is open", url)
            assert done.returncode == 0, done.stderr
            came = sorted((each.topic, each.text, each.qos) for each in (heard.next(timeout=SECONDS) for _ in range(2)))
            assert came == [("apprise/door", "the door is open", qos), ("apprise/log", "the door is open", qos)]


# The tutorial


@contextmanager
def tutorial(name: str, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A script of the tutorial with nothing but its import changed."""
    text = TUTORIAL.joinpath(name).read_text()
    assert text.count("import paho.mqtt.client as mqtt\n") == 1
    path = folder / name
    path.write_text(text.replace("import paho.mqtt.client as mqtt\n", "import telex.paho.client as mqtt\n"))
    with running(sys.executable, str(path), *arguments) as process:
        yield process


def test_the_scripts_of_the_tutorial_run_with_their_import_changed(server: Server, tmp_path: Path) -> None:
    port = str(server.port)
    with tutorial("subscribe.py", tmp_path, "127.0.0.1", port, "home/temp/#") as subscriber:
        lines_until(subscriber, "connected with result code 0")
        with tutorial("publish.py", tmp_path, "127.0.0.1", port) as publisher:
            seen = lines_until(subscriber, "received")
            value = re.findall(r"received home/temp/room1/storeroom (\S+)", seen)[0]
            publisher.terminate()
            printed, errors = publisher.communicate(timeout=SECONDS)
            assert f"publishing {value}" in printed
            assert re.search(r"publish\.py:\d+: DeprecationWarning: Callback API version 1 is deprecated", errors)
        subscriber.terminate()
        _, errors = subscriber.communicate(timeout=SECONDS)
        assert re.search(r"subscribe\.py:\d+: DeprecationWarning: Callback API version 1 is deprecated", errors)


def test_the_subscriber_of_the_tutorial_learns_that_the_broker_has_gone(tmp_path: Path) -> None:
    with processes.telex() as broker:
        with tutorial("subscribe.py", tmp_path, "127.0.0.1", str(broker.port), "home/#") as subscriber:
            lines_until(subscriber, "connected with result code 0")
            broker.process.terminate()
            lines_until(subscriber, "disconnected with result code [1-9]")
        assert broker.process.wait(SECONDS) == 0
