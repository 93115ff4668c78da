"""Who a bridge is at both ends, what it may do here, and what is kept of it while it is away."""

import socket
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.server.config import Access, Rule
from tests.bridges.brokers import (
    VERSIONS,
    Witness,
    bridge_to,
    broker_at,
    is_open,
    line,
    status,
    subscribed,
    telex_at,
    until,
    witness,
)
from tests.client.adversity.proxy import How, Proxy
from tests.shell.knocking import password_file

UP, DOWN = line("up/#", "out", 1), line("down/#", "in", 1)


# Names and passwords


async def test_it_is_known_by_the_names_that_mosquitto_gives() -> None:
    async with telex_at() as remote, telex_at(bridge_to(remote.port, UP, name="cloud", client_id="")) as home:
        await is_open(home, "cloud")
        found = status(home, "cloud")
        assert found.client_id == f"{socket.gethostname()}.cloud"
        assert found.local_client_id == f"local.{socket.gethostname()}.cloud"
        assert [each.client_id for each in remote.visits] == [found.client_id]
        assert found.local_client_id in home.engine.sessions


@pytest.mark.parametrize("version", VERSIONS)
async def test_it_is_known_by_the_names_of_its_description(version: str, tmp_path: Path) -> None:
    access = Access(password_file=password_file(tmp_path / "users", house="secret"))
    words = {"client_id": "there", "local_client_id": "here", "user": "house", "password": "secret"}
    async with telex_at(access=access) as remote:
        async with telex_at(bridge_to(remote.port, UP, version=version, **words)) as home:
            await is_open(home)
            [visit] = remote.visits
            assert (visit.client_id, visit.user) == ("there", "house")
            assert "here" in home.engine.sessions
            assert (status(home).client_id, status(home).local_client_id) == ("there", "here")
            assert status(home).version == version


async def test_a_stranger_with_its_name_is_not_let_in() -> None:
    async with telex_at() as remote, telex_at(bridge_to(remote.port, UP)) as home:
        await is_open(home)
        with pytest.raises(telex.Refused, match=r"client id|identifier"):
            async with witness(home.port, client_id="local.bridge"):
                pass
        assert status(home).state == "open"
        assert status(home).connections == 1


# Rights


async def test_without_a_user_it_may_do_what_its_topics_say() -> None:
    rules = [Rule(allow=["publish", "subscribe", "receive"], users=["ann"])]
    async with telex_at() as remote:
        # Nobody may do anything here but Ann, and who has no name may not even come in.
        async with (
            telex_at(bridge_to(remote.port, UP, DOWN), access=Access(allow_anonymous=True, rules=rules)) as home,
            witness(home.port, "down/#", user="ann") as here,
            witness(remote.port, "up/#") as there,
        ):
            await subscribed(remote, topic_filter="down/#")
            await there.client.publish("down/x", b"1", qos=1)
            await here.hears("down/x", b"1")
            await here.client.publish("up/x", b"2", qos=1)
            await there.hears("up/x", b"2")


async def test_with_a_user_it_may_do_what_that_user_may() -> None:
    rules = [
        Rule(allow=["publish"], users=["cloud"], topics=["down/open/#"]),
        Rule(allow=["subscribe", "receive"], users=["cloud"], topics=["up/open/#"]),
        Rule(deny=["publish", "subscribe", "receive"], users=["cloud"]),
        Rule(allow=["publish", "subscribe", "receive"]),
    ]
    topics = (line("up/open/#", "out", 1), line("up/secret/#", "out", 1), DOWN)
    async with telex_at() as remote:
        async with (
            telex_at(
                bridge_to(remote.port, *topics, local_user="cloud"), access=Access(allow_anonymous=True, rules=rules)
            ) as home,
            witness(home.port, "down/#") as here,
            witness(remote.port, "up/#") as there,
        ):
            await subscribed(remote, topic_filter="down/#")
            for topic in ("up/secret/x", "up/open/x"):
                await here.client.publish(topic, b"x", qos=1)
            for topic in ("down/secret/x", "down/open/x"):
                await there.client.publish(topic, b"x", qos=1)
            await there.hears("up/open/x", b"x")
            await here.hears("down/open/x", b"x")
            assert there.story == [("up/open/x", b"x")]
            assert here.story == [("down/open/x", b"x")]
            assert list(status(home).refused) == ["up/secret/#"]


# What is kept

KEPT: list[tuple[dict[str, Any], bool, bool]] = [
    ({}, True, True),
    ({"clean_session": True}, False, False),
    ({"clean_session": True, "local_clean_session": False}, True, False),
    ({"clean_session": False, "local_clean_session": True}, False, True),
]
"""Settings, whether what waits here is kept while the link is cut, and whether what waits there is."""


async def passes(source: Witness, target: Witness, topic: str) -> None:
    """Wait until something goes that way, and all before it."""
    await source.client.publish(topic, b"after", qos=1)
    await target.hears(topic, b"after")


@pytest.mark.parametrize(("words", "is_kept_here", "is_kept_there"), KEPT, ids=["kept", "clean", "there", "here"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("remote_kind", ["telex", "mosquitto"])
async def test_what_waits_at_each_end_is_kept_or_not(
    remote_kind: str,
    version: str,
    words: dict[str, Any],
    is_kept_here: bool,
    is_kept_there: bool,
    tmp_path: Path,
) -> None:
    async with broker_at(remote_kind, tmp_path) as remote, Proxy(remote) as proxy:
        async with (
            telex_at(bridge_to(proxy.port, UP, DOWN, version=version, **words)) as home,
            witness(home.port, "down/#") as here,
            witness(remote, "up/#", "$SYS/broker/connection/#") as there,
        ):
            await until(lambda: "SUBACK" in [each.name for each in proxy.passed])
            proxy.bar(How.RST)
            await until(lambda: status(home).state != "open")
            await there.hears("$SYS/broker/connection/bridge/state", b"0")
            await here.client.publish("up/x", b"meanwhile", qos=1)
            await there.client.publish("down/x", b"meanwhile", qos=1)
            suback = proxy.count("SUBACK")
            proxy.restore()
            await until(lambda: proxy.count("SUBACK") > suback)
            await passes(here, there, "up/x")
            await passes(there, here, "down/x")
            assert (b"meanwhile" in there.payloads("up/x")) == is_kept_here
            assert (b"meanwhile" in here.payloads("down/x")) == is_kept_there


async def test_the_remote_keeps_it_as_long_as_the_description_says() -> None:
    async with telex_at() as remote, Proxy(remote.port) as proxy:
        async with telex_at(bridge_to(proxy.port, UP, DOWN, session_expiry_interval=0)) as home:
            await is_open(home)
            proxy.bar(How.RST)
            await until(lambda: "bridge" not in remote.engine.sessions)
        async with telex_at(bridge_to(remote.port, UP, DOWN, session_expiry_interval=77)) as home:
            await is_open(home)
            assert remote.engine.sessions["bridge"].expiry_interval == 77


async def test_the_keep_alive_is_that_of_the_description() -> None:
    async with telex_at() as remote, telex_at(bridge_to(remote.port, UP, keep_alive=17)) as home:
        await is_open(home)
        [visit] = remote.visits
        assert visit.keep_alive == 17


async def test_topic_aliases_are_used_where_both_ends_know_them() -> None:
    topic = "up/" + "long/" * 100
    async with telex_at() as remote:
        async with (
            telex_at(bridge_to(remote.port, UP, topic_alias_maximum=5)) as home,
            witness(home.port, "nothing") as here,
            witness(remote.port, "up/#") as there,
        ):
            await is_open(home)
            for number in range(100):
                await here.client.publish(topic, b"%d" % number, qos=1)
            await there.gets(100)
            assert {each.topic for each in there.messages} == {topic}
            assert status(home).bytes_sent < 100 * len(topic) / 2
