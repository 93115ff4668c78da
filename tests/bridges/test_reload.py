"""A bridge that a reload brings, changes or takes away; the connections of the others stay as they are."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

import telex
from telex.server.config import Access, Bridge, Config, Rule
from tests.bridges.brokers import (
    Witness,
    bridge_to,
    described,
    is_open,
    line,
    status,
    subscribed,
    telex_at,
    until,
    witness,
)
from tests.client.adversity.proxy import How, Proxy
from tests.processes import free_port, lines_until, run, running, serve_command, telex_command


def names(broker: telex.Broker) -> list[str]:
    return [each.name for each in broker.bridges.statuses()]


def who_is_there(remote: telex.Broker) -> dict[str, float]:
    """Who is connected, and since when."""
    return {each.client_id: each.began_at for each in remote.visits}


def named(port: int, name: str, **words: object) -> Bridge:
    """One of several bridges, with a topic of its own in each direction."""
    topics = words.pop("topics", (line(f"up/{name}/#", "out", 1), line(f"down/{name}/#", "in", 1)))
    return bridge_to(port, *topics, name=name, client_id=name, **words)  # type: ignore[misc]


async def carries(here: Witness, there: Witness, name: str, payload: bytes) -> None:
    """Whether a bridge carries something both ways."""
    await here.client.publish(f"up/{name}/x", payload, qos=1)
    await there.client.publish(f"down/{name}/x", payload, qos=1)
    await there.hears(f"up/{name}/x", payload)
    await here.hears(f"down/{name}/x", payload)


async def test_a_bridge_comes_and_goes_and_the_others_stay() -> None:
    async with telex_at() as remote:
        old, new = named(remote.port, "old"), named(remote.port, "new")
        async with (
            telex_at(old) as home,
            witness(home.port, "down/#") as here,
            witness(remote.port, "up/#") as there,
        ):
            await subscribed(remote, "old", "down/old/#")
            since = who_is_there(remote)["old"]
            me = home.port

            def whole(*bridges: Bridge) -> Config:
                return structs.replace(home.config, bridges=list(bridges))

            assert await home.reload(whole(old, new)) == []
            await subscribed(remote, "new", "down/new/#")
            await carries(here, there, "new", b"1")
            await carries(here, there, "old", b"1")
            assert names(home) == ["old", "new"]
            assert await home.reload(whole(new)) == []
            assert names(home) == ["new"]
            await until(lambda: "old" not in remote.engine.sessions)  # it has taken leave for good
            await carries(here, there, "new", b"2")
            assert await home.reload(whole(new, old)) == []
            await subscribed(remote, "old", "down/old/#")
            await carries(here, there, "old", b"3")
            assert who_is_there(remote)["old"] > since
            assert status(home, "new").connections == 1
            assert home.port == me
            assert here.client.is_connected


async def test_a_bridge_that_did_not_change_is_left_alone() -> None:
    async with telex_at() as remote:
        bridge = named(remote.port, "one")
        async with (
            telex_at(bridge) as home,
            witness(home.port, "down/#") as here,
            witness(remote.port, "up/#") as there,
        ):
            await subscribed(remote, "one", "down/one/#")
            before = who_is_there(remote)
            for _ in range(3):
                await home.reload(described(named(remote.port, "one"), named(remote.port, "two")))
                await home.reload(described(bridge))
            await carries(here, there, "one", b"x")
            await until(lambda: len(remote.visits) == 2)
            assert who_is_there(remote)["one"] == before["one"]
            assert status(home, "one").connections == 1


async def test_other_topics_count_at_once_with_the_connection_that_there_is() -> None:
    async with telex_at() as remote:
        async with (
            telex_at(named(remote.port, "one")) as home,
            witness(home.port, "#") as here,
            witness(remote.port, "#") as there,
        ):
            await subscribed(remote, "one", "down/one/#")
            topics = (line("up/other/#", "out", 1), line("down/other/#", "in", 1))
            await home.reload(described(named(remote.port, "one", topics=topics)))
            await subscribed(remote, "one", "down/other/#")
            await until(lambda: "down/one/#" not in remote.engine.sessions["one"].subscriptions)
            await here.client.publish("up/one/x", b"not this", qos=1)
            await there.client.publish("down/one/x", b"not this", qos=1)
            await carries(here, there, "other", b"this")
            assert there.payloads("up/one/x") == here.payloads("down/one/x") == []
            assert status(home, "one").connections == 1


async def test_another_client_id_takes_a_new_connection_and_what_waits_goes_with_it() -> None:
    async with telex_at() as remote, Proxy(remote.port) as proxy:
        async with (
            telex_at(named(proxy.port, "one", local_client_id="local")) as home,
            witness(home.port, "down/#") as here,
            witness(remote.port, "up/#") as there,
        ):
            await subscribed(remote, "one", "down/one/#")
            proxy.bar(How.RST)
            await until(lambda: status(home, "one").state != "open")
            await here.client.publish("up/one/x", b"waits", qos=1)
            changed = structs.replace(named(remote.port, "one", local_client_id="local"), client_id="another")
            await home.reload(described(changed))
            await subscribed(remote, "another", "down/one/#")
            await there.hears("up/one/x", b"waits")
            assert status(home, "one").client_id == "another"
            await carries(here, there, "one", b"now")


async def test_with_lazy_what_changed_counts_from_the_next_connection_on() -> None:
    async with telex_at() as remote, Proxy(remote.port) as proxy:
        async with (
            telex_at(named(proxy.port, "one", reload="lazy")) as home,
            witness(home.port, "#") as here,
            witness(remote.port, "#") as there,
        ):
            await subscribed(remote, "one", "down/one/#")
            topics = (line("up/other/#", "out", 1), line("down/other/#", "in", 1))
            changed = named(proxy.port, "one", topics=topics, reload="lazy")
            await home.reload(described(changed, named(remote.port, "another")))
            await subscribed(remote, "another", "down/another/#")
            await carries(here, there, "one", b"as before")
            assert status(home, "one").connections == 1
            proxy.cut_now(How.RST)
            await subscribed(remote, "one", "down/other/#")
            await carries(here, there, "other", b"as now")
            assert status(home, "one").connections == 2


async def test_a_description_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    async with telex_at() as remote:
        async with telex_at(named(remote.port, "one")) as home:
            await is_open(home, "one")
            wrong = structs.replace(named(remote.port, "two"), addresses=["mqtt://:x"])
            with pytest.raises(ValueError, match="expected a host"):
                await home.reload(described(wrong))
            assert names(home) == ["one"]
            assert status(home, "one").state == "open"


async def test_the_rights_of_its_user_are_those_of_the_new_rules() -> None:
    def rules(*topics: str) -> Access:
        allowed = Rule(allow=["publish", "subscribe", "receive"], users=["cloud"], topics=list(topics))
        others = Rule(allow=["publish", "subscribe", "receive"], users=[""])
        return Access(allow_anonymous=True, rules=[allowed, others])

    async with telex_at() as remote:
        bridge = bridge_to(remote.port, line("up/#", "out", 1), line("down/#", "in", 1), local_user="cloud")
        async with (
            telex_at(bridge, access=rules("up/#", "down/a/#")) as home,
            witness(home.port, "down/#") as here,
            witness(remote.port, "up/#") as there,
        ):
            await subscribed(remote, "bridge", "down/#")
            await there.client.publish("down/b/1", b"x", qos=1)
            await there.client.publish("down/a/1", b"x", qos=1)
            await here.hears("down/a/1", b"x")
            await home.reload(described(bridge, access=rules("up/#", "down/b/#")))
            await there.client.publish("down/a/2", b"x", qos=1)
            await there.client.publish("down/b/2", b"x", qos=1)
            await here.hears("down/b/2", b"x")
            assert [each.topic for each in here.messages] == ["down/a/1", "down/b/2"]


def test_telex_reload_brings_a_bridge_and_takes_it_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two real brokers; somebody who is connected to the one that reads its file again does not notice."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    port = free_port()
    path = tmp_path / "telex.toml"
    listener = f'data = ""\n[access]\nallow_anonymous = true\n[[listeners]]\nhost = "127.0.0.1"\nport = {port}\n'

    def reloads(text: str) -> None:
        path.write_text(listener + text)
        done = run(*telex_command("reload"))
        assert done.returncode == 0, done.stderr

    async def tell(remote: telex.Broker) -> None:
        async with witness(port, "down/#") as here, witness(remote.port, "up/#") as there:
            lost: list[telex.Lost] = []
            here.client.on_lost(lost.append)
            text = f'[[bridges]]\nname = "cloud"\naddresses = ["mqtt://127.0.0.1:{remote.port}"]\nclient_id = "cloud"\n'
            text += '[[bridges.topics]]\npattern = "up/#"\n[[bridges.topics]]\npattern = "down/#"\ndirection = "in"\n'
            await asyncio.to_thread(reloads, text)
            await subscribed(remote, "cloud", "down/#")
            await here.client.publish("up/x", b"1")
            await there.hears("up/x", b"1")
            await there.client.publish("down/x", b"2")
            await here.hears("down/x", b"2")
            await asyncio.to_thread(reloads, "")
            await until(lambda: "cloud" not in remote.engine.sessions)
            assert lost == []

    async def with_remote() -> None:
        async with telex.Broker(config=described()) as remote:
            await tell(remote)

    path.write_text(listener)
    with running(*serve_command("-c", str(path))) as home:
        lines_until(home, "stop  ")
        asyncio.run(with_remote())
