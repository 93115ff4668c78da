"""``telex serve --public``: a broker that stands open to the internet."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs

import telex
from telex.server.config import Config, Listener, Protection, limits_of
from telex.server.public import LIMITS, PROTECTION, made_public
from telex.wire.packets import Connect, Disconnect, PubAck, Publish, SubAck, Subscribe, SubscriptionRequest
from telex.wire.properties import Properties
from tests.processes import lines_until, run, running, serve_command, telex_command
from tests.shell.knocking import config, inside, knocks, password_file


@dataclass
class Running:
    """A broker and what it says of itself."""

    port: int
    banner: str


@pytest.fixture(autouse=True)
def _run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))


@contextmanager
def serving(*arguments: str) -> Iterator[Running]:
    command = serve_command("--public", "-p", "0", "-q", "--memory", *arguments)
    with running(*command) as process:
        banner = lines_until(process, "stop  ")
        found = re.search(r"mqtt://\S+:(\d+)", banner)
        assert found is not None
        yield Running(int(found[1]), banner)


# The profile


def test_every_setting_of_it_is_one_that_there_is() -> None:
    limits = limits_of(made_public(Config()))
    for name, value in LIMITS.items():
        assert getattr(limits, name) == value


def test_what_a_description_says_itself_stays() -> None:
    described = Config(
        protection=Protection(max_connections_per_address=7, patience=1.0),
        limits={"maximum_packet_size": 5_000, "max_sessions": 9},
        listeners=[Listener(port=1)],
    )
    public = made_public(described)
    assert public.protection == structs.replace(PROTECTION, max_connections_per_address=7, patience=1.0)
    assert public.limits == {**LIMITS, "maximum_packet_size": 5_000, "max_sessions": 9}
    assert public.listeners == described.listeners
    assert public.access == described.access


def test_it_limits_all_that_costs_something() -> None:
    for name in (
        "max_connections",
        "max_connections_per_address",
        "connects_per_second",
        "messages_per_second",
        "bytes_per_second",
        "messages_per_second_per_address",
        "bytes_per_second_per_address",
        "ban_after",
        "takeovers",
        "takeover_delay",
    ):
        assert getattr(PROTECTION, name) > 0, name
    assert not PROTECTION.strangers_may_use_hash


# A broker with it


def test_nobody_stands_open_to_the_internet_by_chance() -> None:
    done = run(*serve_command("--public", "-p", "0", "--host", "0.0.0.0", "--memory"))
    assert done.returncode == 1
    assert "--password-file FILE" in done.stderr


def test_what_a_stranger_can_do_on_a_public_broker() -> None:
    async def story(port: int) -> None:
        async with inside(port) as stranger:
            said = stranger.connack.properties or Properties()
            assert said.maximum_packet_size == 65_536
            filters = ["#", "+/#", "home/#", "$SYS/#"]
            await stranger.send(Subscribe(1, [SubscriptionRequest(each, 0) for each in filters]))
            assert await stranger.receive() == SubAck(1, [0x87, 0x87, 0, 0])
            while isinstance(packet := await stranger.receive(), Publish) and packet.topic != "home/x":
                if packet.topic == "$SYS/broker/uptime":
                    await stranger.send(Publish("home/x", b"x"))
        async with inside(port) as stranger:
            await stranger.send(Publish("home/x", bytes(70_000)))
            assert await stranger.receive() == Disconnect(0x95)
        async with inside(port, Connect(keep_alive=0)) as stranger:
            said = stranger.connack.properties or Properties()
            assert said.server_keep_alive == 3_600
        async with inside(port, Connect("kept", properties=Properties(session_expiry_interval=0xFFFFFFFF))) as stranger:
            said = stranger.connack.properties or Properties()
            assert said.session_expiry_interval == 7 * 24 * 3_600
            too_many = [SubscriptionRequest(f"home/{number}", 0) for number in range(101)]
            await stranger.send(Subscribe(1, too_many))
            answer = await stranger.receive()
            assert isinstance(answer, SubAck)
            assert answer.reason_codes == [0] * 100 + [0x97]

    with serving("--allow-anonymous", "--host", "0.0.0.0") as broker:
        assert "telex sub -p" in broker.banner
        assert "-t 'home/#'" in broker.banner
        asyncio.run(story(broker.port))


def test_what_its_users_say_is_still_guarded(tmp_path: Path) -> None:
    path = password_file(tmp_path / "users", ann="secret")

    async def story(port: int) -> None:
        codes = [await knocks(port, "ann", "wrong") for _ in range(6)]
        assert codes == [0x87] * 5 + [0x8A]
        assert await knocks(port, "ann", "secret") == 0x8A

    with serving("--password-file", path) as broker:
        asyncio.run(story(broker.port))


def test_flags_and_files_say_more_than_the_profile(tmp_path: Path) -> None:
    path = tmp_path / "telex.toml"
    path.write_text(
        '[limits]\nmax_subscriptions = 1\n[[listeners]]\nhost = "127.0.0.1"\nport = 0\n'
        "[protection]\nstrangers_may_use_hash = false\nban_after = 1\n"
    )

    async def story(port: int) -> None:
        async with inside(port) as stranger:
            said = stranger.connack.properties or Properties()
            assert said.maximum_packet_size == 100_000
            await stranger.send(Subscribe(1, [SubscriptionRequest("a", 0), SubscriptionRequest("b", 0)]))
            assert await stranger.receive() == SubAck(1, [0, 0x97])

    command = telex_command(
        "serve", "--public", "-c", str(path), "--memory", "-q", "--set", "maximum_packet_size=100000"
    )
    with running(*command) as process:
        found = re.search(r"mqtt://\S+:(\d+)", lines_until(process, "stop  "))
        assert found is not None
        asyncio.run(story(int(found[1])))


def test_a_reload_does_not_end_it(tmp_path: Path) -> None:
    async def story(port: int) -> None:
        async with inside(port) as stranger:
            await stranger.send(Subscribe(1, [SubscriptionRequest("#", 0)]))
            assert await stranger.receive() == SubAck(1, [0x87])

    with serving() as broker:
        assert run(*telex_command("reload")).returncode == 0
        asyncio.run(story(broker.port))


def test_retained_messages_do_not_stay_for_ever() -> None:
    async def story() -> None:
        broker = telex.Broker(config=made_public(config(None)))
        async with broker, inside(broker.port, Connect(keep_alive=0)) as client:
            await client.send(Publish("home/x", b"x", qos=1, packet_id=1, retain=True))
            assert isinstance(await client.receive(), PubAck)
            assert broker.engine.retained.count == 1
            broker.engine.tick(broker.now() + 24 * 3_600 + 2)
            async with inside(broker.port) as late:
                await late.send(Subscribe(1, [SubscriptionRequest("home/#", 0)]))
                assert await late.receive() == SubAck(1, [0])
            assert broker.engine.retained.count == 0

    asyncio.run(story())
