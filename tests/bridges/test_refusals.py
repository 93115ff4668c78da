"""A remote that does not take all: no QoS 2, nothing retained, not this subscription, not this user."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from telex.server.config import Access, Rule
from tests.bridges.brokers import (
    KINDS,
    VERSIONS,
    bridge_to,
    described,
    is_open,
    line,
    mosquitto_at,
    status,
    subscribed,
    telex_at,
    until,
    witness,
)
from tests.shell.knocking import password_file

NEVER: Final = {"restart_first": 1_000.0, "restart_most": 1_000.0}


@asynccontextmanager
async def remote_of(kind: str, folder: Path, conf: str, limits: dict[str, Any]) -> AsyncIterator[int]:
    """A broker that refuses something: a line of mosquitto.conf, or limits of Telex."""
    if kind == "mosquitto":
        with mosquitto_at(folder, more=(conf,)) as port:
            yield port
    else:
        async with telex_at(limits=limits) as broker:
            yield broker.port


@pytest.mark.parametrize("most", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_remote_takes_at_less_is_sent_at_less(kind: str, most: int, tmp_path: Path) -> None:
    async with (
        remote_of(kind, tmp_path, f"max_qos {most}", {"maximum_qos": most}) as remote,
        telex_at(bridge_to(remote, line("up/#", "out", 2), line("down/#", "in", 2))) as home,
        witness(home.port, "down/#") as here,
        witness(remote, "up/#", qos=most) as there,
    ):
        await is_open(home)
        for qos in range(3):
            await here.client.publish(f"up/{qos}", b"x", qos=qos)
        await there.gets(3)
        assert {each.topic: each.qos for each in there.messages} == {f"up/{qos}": min(qos, most) for qos in range(3)}
        await until(lambda: status(home).queued + status(home).in_flight == 0)
        await there.client.publish("down/x", b"y", qos=most)
        await here.hears("down/x", b"y")
        assert status(home).connections == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_remote_without_retained_messages_gets_them_as_others(kind: str, tmp_path: Path) -> None:
    async with (
        remote_of(kind, tmp_path, "retain_available false", {"retain_available": False}) as remote,
        telex_at(bridge_to(remote, line("up/#", "out", 1))) as home,
        witness(home.port, "nothing") as here,
        witness(remote, "up/#") as there,
    ):
        await is_open(home)
        await here.client.publish("up/kept", b"x", qos=1, retain=True)
        await there.hears("up/kept", b"x")
        assert [each.retain for each in there.messages] == [False]
        assert status(home).rejected == 0
        async with witness(home.port, "up/#") as late:
            assert [each.retain for each in await late.gets()] == [True]


@pytest.mark.parametrize("version", ["3.1", "3.1.1"])
async def test_a_remote_that_cannot_say_so_gets_no_retained_messages_if_the_description_says_it(version: str) -> None:
    async with (
        telex_at() as remote,
        telex_at(bridge_to(remote.port, line("up", "out", 1), version=version, outgoing_retain=False)) as home,
        witness(home.port, "nothing") as here,
        witness(remote.port, "up") as there,
    ):
        await here.client.publish("up", b"x", qos=1, retain=True)
        await there.hears("up", b"x")
        assert [each.retain for each in there.messages] == [False]


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_a_subscription_that_is_refused_is_said_and_the_others_work(
    version: str, caplog: pytest.LogCaptureFixture
) -> None:
    rules = [Rule(deny=["subscribe"], clients=["bridge"], topics=["secret/#"])]
    rules.append(Rule(allow=["publish", "subscribe", "receive"]))
    async with telex_at(access=Access(allow_anonymous=True, rules=rules)) as remote:
        topics = (line("secret/#", "in", 1), line("open/#", "in", 1))
        async with (
            telex_at(bridge_to(remote.port, *topics, version=version)) as home,
            witness(home.port) as here,
            witness(remote.port, "nothing") as there,
        ):
            await until(lambda: status(home).refused)
            assert list(status(home).refused) == ["secret/#"]
            await subscribed(remote, topic_filter="open/#")
            await there.client.publish("secret/a", b"x", qos=1)
            await there.client.publish("open/a", b"y", qos=1)
            await here.hears("open/a", b"y")
            assert here.story == [("open/a", b"y")]
            assert status(home).state == "open"
    [said] = [each for each in caplog.messages if "may not subscribe" in each]
    assert "filter=secret/#" in said


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_a_message_that_is_refused_holds_up_no_others(version: str) -> None:
    rules = [Rule(deny=["publish"], clients=["bridge"], topics=["up/no"])]
    rules.append(Rule(allow=["publish", "subscribe", "receive"]))
    async with telex_at(access=Access(allow_anonymous=True, rules=rules)) as remote:
        async with (
            telex_at(bridge_to(remote.port, line("up/#", "out", 2), version=version)) as home,
            witness(home.port, "nothing") as here,
            witness(remote.port, "up/#") as there,
        ):
            for qos in range(3):
                await here.client.publish("up/no", b"x", qos=qos)
                await here.client.publish("up/yes", b"%d" % qos, qos=qos)
            await there.gets(3)
            assert there.payloads() == [b"0", b"1", b"2"]
            await until(lambda: status(home).queued + status(home).in_flight == 0)
            if version == "5.0":
                assert status(home).rejected == 2  # MQTT 3.1.1 has no word for that
            assert status(home).connections == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_wrong_password_is_said_once_and_a_right_one_is_taken_by_a_reload(
    version: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    users = password_file(tmp_path / "users", house="right", ann="x")
    async with telex_at(access=Access(password_file=users)) as remote:
        wrong = bridge_to(remote.port, line("up", "out", 1), version=version, user="house", password="wrong")
        right = bridge_to(remote.port, line("up", "out", 1), version=version, user="house", password="right")
        with caplog.at_level(logging.DEBUG, "telex"):
            async with (
                telex_at(wrong) as home,
                witness(home.port, "nothing") as here,
                witness(remote.port, "up", user="ann", password="x") as there,
            ):
                await here.client.publish("up", b"waits", qos=1)
                await until(lambda: sum("bridge not connected" in each for each in caplog.messages) >= 3)
                assert "refused us" in status(home).reason
                assert (status(home).connections, status(home).queued) == (0, 1)
                told = [each for each in caplog.records if "bridge not connected" in each.getMessage()]
                assert [each.levelno for each in told].count(logging.WARNING) == 1
                await home.reload(described(right))
                await there.hears("up", b"waits")
                assert remote.engine.sessions["bridge"].user == "house"


async def test_a_remote_that_does_not_know_mqtt_5_is_asked_for_less() -> None:
    async with (
        telex_at(listener={"versions": ["3.1.1"]}) as remote,
        telex_at(bridge_to(remote.port, line("up", "out", 1), version="5.0", **NEVER)) as home,
        witness(home.port, "nothing", version="5") as here,
        witness(remote.port, "up", version="3.1.1") as there,
    ):
        await is_open(home)  # without a wait
        assert "version" in status(home).reason
        assert status(home).version == "3.1.1"
        await here.client.publish("up", b"x", qos=1)
        await there.hears("up", b"x")


async def test_a_message_too_large_for_the_remote_is_left_out() -> None:
    async with (
        telex_at(limits={"maximum_packet_size": 1_000}) as remote,
        telex_at(bridge_to(remote.port, line("up", "out", 1))) as home,
        witness(home.port, "nothing") as here,
        witness(remote.port, "up") as there,
    ):
        await is_open(home)
        await here.client.publish("up", bytes(2_000), qos=1)
        await here.client.publish("up", b"small", qos=1)
        await there.hears("up", b"small")
        assert there.payloads() == [b"small"]
        await until(lambda: status(home).queued + status(home).in_flight == 0)
        assert status(home).connections == 1


async def test_a_message_larger_than_the_description_says_is_left_out() -> None:
    async with (
        telex_at() as remote,
        telex_at(bridge_to(remote.port, line("up", "out", 1), maximum_packet_size=1_000)) as home,
        witness(home.port, "nothing") as here,
        witness(remote.port, "up") as there,
    ):
        await is_open(home)
        await here.client.publish("up", bytes(2_000), qos=1)
        await here.client.publish("up", b"small", qos=1)
        await there.hears("up", b"small")
        assert there.payloads() == [b"small"]
