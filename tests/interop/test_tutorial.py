"""The two scripts of the tutorial that many people begin with, against a running Telex."""

import re
import sys
from pathlib import Path

import pytest

from tests.processes import Server, lines_until, run, running, telex_command

TUTORIAL = Path(__file__).parent / "tutorial"


def script(name: str, *arguments: str) -> list[str]:
    # The scripts use paho's first callback API, which the paho of today warns of.
    return [sys.executable, "-W", "ignore", str(TUTORIAL / name), *arguments]


@pytest.mark.parametrize("topic", ["home/temp/room1/storeroom", "home/temp/#", "home/temp/+/storeroom", "home/#"])
def test_the_subscriber_shows_the_values_of_the_publisher(broker: Server, topic: str) -> None:
    with running(*script("subscribe.py", "127.0.0.1", str(broker.port), topic)) as subscriber:
        lines_until(subscriber, "connected with result code 0")
        with running(*script("publish.py", "127.0.0.1", str(broker.port))) as publisher:
            seen = lines_until(subscriber, "received")
            value = re.findall(r"received home/temp/room1/storeroom (\S+)", seen)[0]
            assert 20 <= float(value) <= 30
            publisher.terminate()
            assert publisher.stdout is not None
            assert f"publishing {value}" in publisher.stdout.read()


def test_one_level_is_one_level(broker: Server) -> None:  # [MQTT-4.7.1-2]
    with running(*script("subscribe.py", "127.0.0.1", str(broker.port), "home/temp/+")) as subscriber:
        lines_until(subscriber, "connected with result code 0")
        port = str(broker.port)
        # A second subscriber tells when both messages have been delivered.
        for topic, value in (("home/temp/room1/storeroom", "21.0"), ("home/temp/room1", "22.0")):
            assert run(*telex_command("pub", "-p", port, "-t", topic, "-m", value, "-q", "1")).returncode == 0
        seen = lines_until(subscriber, "received")
        assert "received home/temp/room1 22.0" in seen
        assert "storeroom" not in seen


def test_the_subscriber_sees_how_many_clients_are_connected(broker: Server) -> None:
    topic = "$SYS/broker/clients/connected"
    with running(*script("subscribe.py", "127.0.0.1", str(broker.port), topic)) as subscriber:
        seen = lines_until(subscriber, r"received \$SYS/broker/clients/connected 1")
        assert "connected with result code 0" in seen


def test_the_subscriber_learns_that_the_broker_has_gone() -> None:
    from tests.processes import telex

    with telex() as server:
        with running(*script("subscribe.py", "127.0.0.1", str(server.port), "home/#")) as subscriber:
            lines_until(subscriber, "connected with result code 0")
            server.process.terminate()
            lines_until(subscriber, "disconnected with result code")
        assert server.process.wait(10) == 0
