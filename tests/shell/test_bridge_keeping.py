"""A bridge is dialled, waited for and dialled again, whatever happens meanwhile, and what is shown of it is true."""

import asyncio
import gc
import logging
import os
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs

from telex.engine.bridge import BridgeConnection
from telex.engine.message import Message
from telex.server.bridges.handler import BridgeHandler
from telex.server.bridges.keeping import KeptBridge
from telex.server.bridges.route import Route
from telex.server.broker import Broker
from telex.server.config import Access, Bridge, BridgeTopic, Config, Listener, Rule, Web
from telex.wire.packets import Publish, Subscribe, Unsubscribe
from telex.wire.properties import Properties
from tests.processes import free_port
from tests.shell.remote import listening, status, until

NEVER: Final = {"restart_first": 1_000.0, "restart_most": 1_000.0}
SOON: Final = {"restart_first": 0.01, "restart_most": 0.01}
KINDS: Final = (KeptBridge, BridgeHandler, BridgeConnection)
UP: Final = BridgeTopic(pattern="up/#", direction="out", qos=1)
DOWN: Final = BridgeTopic(pattern="down/#", direction="in", qos=1)


def bridge_to(*addresses: str, **words: Any) -> Bridge:
    said = {"name": "bridge", "client_id": "bridge", "topics": [UP, DOWN], "notifications": False, **SOON, **words}
    return Bridge(addresses=list(addresses), **said)


def described(*bridges: Bridge, data: Path | None = None, access: Access | None = None) -> Config:
    return Config(
        listeners=[Listener(host="127.0.0.1", port=0)],
        access=access or Access(allow_anonymous=True),
        data=str(data or ""),
        web=Web(enabled=False),
        sys_interval=0,
        bridges=list(bridges),
    )


def home_with(*bridges: Bridge, **words: Any) -> Broker:
    return Broker(config=described(*bridges, **words))


def nowhere() -> str:
    return f"mqtt://127.0.0.1:{free_port()}"


def said_of(caplog: pytest.LogCaptureFixture, what: str, level: int = logging.WARNING) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == level and what in each.getMessage()]


# Addresses


async def test_a_main_address_where_somebody_hangs_up_costs_the_other_no_wait() -> None:
    """Such as a load balancer without anybody behind it: there is a connection, and no word of MQTT."""
    async with listening() as main, listening() as other:
        bridge = bridge_to(main.address, other.address, start="once")  # whose first wait would be its end
        async with home_with(bridge) as home:
            await (await main.guest()).leave()
            await (await other.guest()).accept()
            for _ in range(3):
                await until(lambda: status(home).state == "open")
                assert status(home).address == other.address
                guest = await main.guest()  # it is about to return
                assert (status(home).state, status(home).address) == ("connecting", main.address)
                await guest.leave()
                await (await other.guest()).accept()
            await until(lambda: status(home).connections == 4)


async def test_a_main_address_that_takes_it_is_where_it_stays() -> None:
    async with listening() as main, listening() as other:
        async with home_with(bridge_to(main.address, other.address)) as home:
            await (await main.guest()).refuse(0x88)  # busy
            guest = await other.guest()
            await guest.accept()
            await guest.gets(Subscribe)
            await (await main.guest()).accept()
            await until(lambda: (status(home).state, status(home).connections) == ("open", 2))
            assert status(home).address == main.address
            assert await guest.receive() is not None  # DISCONNECT
            assert await guest.receive() is None


async def test_while_it_waits_the_address_is_the_one_that_was_tried_last() -> None:
    addresses = [nowhere(), nowhere()]
    async with home_with(bridge_to(*addresses, **NEVER)) as home:
        assert status(home).address == addresses[0]
        await until(lambda: status(home).state == "waiting" and status(home).next_attempt)
        assert status(home).address == addresses[1]


async def test_addresses_that_are_away_take_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    addresses = [nowhere(), nowhere()]
    with caplog.at_level(logging.DEBUG, "telex"):
        async with home_with(bridge_to(*addresses)):
            await until(lambda: len(said_of(caplog, "bridge not connected", logging.DEBUG)) > 6)
        assert len(said_of(caplog, "bridge not connected")) == 2


# What is refused


async def test_what_a_remote_refuses_is_shown_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async with listening() as remote:
        async with home_with(bridge_to(remote.address)) as home:
            for count in range(1, 4):
                guest = await remote.guest()
                await guest.accept(Properties(wildcard_subscription_available=0))
                await until(lambda: status(home).connections == count)  # noqa: B023
                assert status(home).refused == {"down/#": "the remote takes no subscription with a wildcard"}
                await guest.leave()
            guest = await remote.guest()
            await guest.accept()
            await guest.gets(Subscribe)
            assert status(home).refused == {}
    assert len(said_of(caplog, "may not subscribe")) == 1


async def test_rights_that_come_with_a_reload_count_at_once() -> None:
    def access(*topics: str) -> Access:
        ours = Rule(allow=["publish", "subscribe", "receive"], users=["cloud"], topics=list(topics))
        others = Rule(allow=["publish", "subscribe", "receive"], users=[""])
        return Access(allow_anonymous=True, rules=[ours, others])

    async with listening() as remote:
        bridge = bridge_to(remote.address, local_user="cloud", reload="lazy")
        async with home_with(bridge, access=access("down/#")) as home:
            guest = await remote.guest()
            await guest.accept()
            await guest.gets(Subscribe)
            assert list(status(home).refused) == ["up/#"]
            other = structs.replace(bridge, keep_alive=30)  # so that the rest waits for the next connection
            await home.reload(described(other, access=access("down/#", "up/#")))
            home.engine.publish(Message("up/x", b"now", 1, retain=False), None, home.now())
            home.flush_soon()
            assert (await guest.gets(Publish)).topic == "up/x"
            assert status(home).refused == {}
            await home.reload(described(other, access=access("down/#")))
            assert list(status(home).refused) == ["up/#"]
            assert status(home).connections == 1


# Reloading


async def test_one_that_is_started_once_and_changes_lazily_goes_on_as_it_is_described_now() -> None:
    async with listening() as remote:
        once = bridge_to(remote.address, start="once", reload="lazy")
        async with home_with(once) as home:
            guest = await remote.guest()
            await guest.accept()
            await until(lambda: status(home).state == "open")
            await home.reload(described(structs.replace(once, start="automatic")))
            assert status(home).state == "open"
            await guest.leave()
            await (await remote.guest()).accept()


async def test_other_waits_count_without_a_new_connection() -> None:
    async with listening() as remote:
        patient = bridge_to(remote.address, **NEVER)
        async with home_with(patient) as home:
            guest = await remote.guest()
            await guest.accept()
            await until(lambda: status(home).state == "open")
            await home.reload(described(structs.replace(patient, **SOON)))
            assert status(home).state == "open"
            await guest.leave()
            await (await remote.guest()).accept()
            await until(lambda: status(home).connections == 2)


async def test_reloads_one_after_the_other_while_it_connects_leave_one_connection() -> None:
    async with listening() as remote:
        bridge = bridge_to(remote.address)
        async with home_with(bridge) as home:
            for number in range(12):
                changed = structs.replace(bridge, keep_alive=10 + number)
                await asyncio.gather(home.reload(described(changed)), home.reload(described(bridge)))
                for _ in range(number % 7):
                    await asyncio.sleep(0)
            await home.reload(described(structs.replace(bridge, keep_alive=77)))
            while (
                guest := await remote.guest()
            ).connect.keep_alive != 77:  # one that was given up as soon as it said it
                pass
            await guest.accept()
            await until(lambda: status(home).state == "open")
            assert status(home).connections == 1


async def test_two_bridges_exchange_their_sessions() -> None:
    async with listening() as remote:
        one = bridge_to(remote.address, name="one", client_id="one", local_client_id="x")
        two = bridge_to(remote.address, name="two", client_id="two", local_client_id="y")
        async with home_with(one, two) as home:
            for _ in range(2):
                await (await remote.guest()).accept()
            await until(lambda: {status(home, "one").state, status(home, "two").state} == {"open"})
            swapped = [structs.replace(one, local_client_id="y"), structs.replace(two, local_client_id="x")]
            await home.reload(described(*swapped))
            guests = [await remote.guest() for _ in range(2)]
            for guest in guests:
                await guest.accept()
            await until(lambda: {status(home, "one").state, status(home, "two").state} == {"open"})
            assert [each.name for each in home.bridges.statuses()] == ["one", "two"]
            home.engine.publish(Message("up/x", b"both", 1, retain=False), None, home.now())
            home.flush_soon()
            for guest in guests:
                assert (await guest.gets(Publish)).payload == b"both"
            assert set(home.engine.crossings) == {"x", "y"}


async def test_a_session_that_is_yet_to_change_its_name_is_known(tmp_path: Path) -> None:
    """Lazily: so the one of before is there when the broker stops."""
    async with listening() as remote:
        bridge = bridge_to(remote.address, reload="lazy", local_client_id="old")
        renamed = structs.replace(bridge, local_client_id="new")
        async with home_with(bridge, data=tmp_path) as home:
            await (await remote.guest()).accept()
            await until(lambda: status(home).state == "open")
            await home.reload(described(renamed, data=tmp_path))
            assert set(home.engine.sessions) == {"old"}
        async with home_with(renamed, data=tmp_path) as home:
            assert set(home.engine.sessions) == {"new"}


async def test_a_reload_is_done_although_names_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        listening() as remote,
        home_with(bridge_to(nowhere(), name="old", client_id="old"), data=tmp_path) as home,
    ):
        obstacle = tmp_path / "bridges.new"
        obstacle.mkdir()
        await home.reload(described(bridge_to(remote.address), data=tmp_path))
        assert [each.name for each in home.bridges.statuses()] == ["bridge"]
        assert said_of(caplog, "cannot be written")
        await (await remote.guest()).accept()
        await until(lambda: status(home).state == "open")
        obstacle.rmdir()
        await home.reload(described(bridge_to(remote.address), data=tmp_path))
        assert '"local.bridge"' in (tmp_path / "bridges.json").read_text()


async def test_a_topic_that_was_taken_out_while_the_broker_was_down_is_given_back(tmp_path: Path) -> None:
    more = BridgeTopic(pattern="more/#", direction="in", qos=1)
    async with listening() as remote:
        async with home_with(bridge_to(remote.address, topics=[DOWN, more]), data=tmp_path) as home:
            await (await remote.guest()).accept()
            await until(lambda: status(home).state == "open")
        async with home_with(bridge_to(remote.address, topics=[DOWN]), data=tmp_path):
            guest = await remote.guest()
            await guest.accept(session_present=True)
            assert (await guest.gets(Unsubscribe)).topic_filters == ["more/#"]


# Ends


async def test_a_fault_of_ours_is_told_and_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(self: Route) -> None:
        raise RuntimeError("a fault")

    async with listening() as remote, home_with(bridge_to(remote.address)) as home:
        guest = await remote.guest()
        await guest.accept()
        await until(lambda: status(home).state == "open")
        with monkeypatch.context() as patch:
            patch.setattr(Route, "lost", lost)
            await guest.leave()
            guest = await remote.guest()
        await guest.accept()
        await until(lambda: status(home).state == "open")
        assert said_of(caplog, "a fault of ours in bridge bridge", logging.ERROR)


async def test_a_connect_that_cannot_be_is_told_and_it_goes_on() -> None:
    async with listening() as remote, home_with(bridge_to(remote.address)) as home:
        guest = await remote.guest()
        await guest.accept()
        await until(lambda: status(home).state == "open")
        [kept] = home.bridges._kept.values()
        kept.bridge.options.user_name = "\0"  # a description with that is refused
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await guest.leave()
        await until(lambda: status(home).reason == "a fault of ours, see the log")
        kept.bridge.options.user_name = None
        await (await remote.guest()).accept()
        await until(lambda: status(home).connections == 2)


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
async def test_stopped_while_it_connects_it_leaves_nothing(scheme: str) -> None:
    """The remote says nothing, so that TLS and WebSocket are stopped amid their handshakes, and MQTT before CONNACK."""
    async with listening() as remote:
        home = home_with(bridge_to(f"{scheme}://127.0.0.1:{remote.port}"))
        before = asyncio.all_tasks()
        await home.start()
        await until(lambda: remote.writers)
        await home.stop()
        assert asyncio.all_tasks() == before


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts file descriptors in /proc")
async def test_stopped_at_any_time_it_leaves_nothing() -> None:
    async with listening() as remote:
        tasks, files = len(asyncio.all_tasks()), set(os.listdir("/proc/self/fd"))
        home = home_with(bridge_to(remote.address, nowhere()))
        for turns in range(40):
            await home.start()
            for _ in range(turns):
                await asyncio.sleep(0)
            await home.stop()
            assert home.bridges.statuses() == []
        for writer in remote.writers:
            writer.transport.abort()
        await until(lambda: (len(asyncio.all_tasks()), set(os.listdir("/proc/self/fd"))) == (tasks, files))


def living(kind: type) -> int:
    """How many of a kind there are."""
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


async def test_connections_that_come_and_go_leave_nothing() -> None:
    before = [living(kind) for kind in KINDS]
    async with home_with() as remote, home_with(bridge_to(f"mqtt://127.0.0.1:{remote.port}")) as home:
        [kept] = home.bridges._kept.values()
        for number in range(12):
            await until(lambda: status(home).state == "open")
            home.engine.publish(Message("up/x", b"%d" % number, number % 3, retain=False), None, home.now())
            home.flush_soon()
            await until(lambda: status(home).queued + status(home).in_flight == 0)
            assert kept.handler is not None
            kept.handler.stream.abort()
            await until(lambda: status(home).state != "open")
        await until(lambda: status(home).state == "open")
        assert [living(kind) for kind in KINDS] == [count + 1 for count in before]
        assert len(home.bridges._tasks) == 1
        del kept
        for _ in range(12):
            await home.reload(described())
            await home.reload(described(bridge_to(f"mqtt://127.0.0.1:{remote.port}")))
            await until(lambda: status(home).state == "open")
        await until(lambda: [living(kind) for kind in KINDS] == [count + 1 for count in before])
    assert len(home.bridges._tasks) == 0
    assert [living(kind) for kind in KINDS[1:]] == before[1:]  # its session is there, for the broker may start again


def test_one_broker_starts_in_one_loop_after_the_other() -> None:
    async def life(home: Broker) -> None:
        async with listening() as remote:
            await home.reload(described(bridge_to(remote.address)))
            await (await remote.guest()).accept()
            await until(lambda: status(home).state == "open")
            await home.stop()

    async def whole(home: Broker) -> None:
        await home.start()
        await life(home)

    home = home_with()
    for _ in range(2):
        asyncio.run(whole(home))


class _Stream:
    """One whose peer takes nothing."""

    address = host = identity = ""
    unsent = 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def test_a_remote_that_is_not_read_from_is_not_blamed_for_its_silence() -> None:
    class Connection:
        heard = 0.0

        def wrote(self, now: float) -> None:
            self.heard = now

    async with home_with() as home:
        handler: Any = BridgeHandler(home, _Stream(), lambda handler: None)  # type: ignore[arg-type]
        handler.connection = Connection()
        handler.tick(5.0)
        assert handler.connection.heard == 0
        handler._wait(2)  # for the journal
        handler.tick(6.0)
        assert handler.connection.heard == 6
