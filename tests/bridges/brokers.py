"""The two ends of a bridge: Telex in this process, or Debian's Mosquitto in one of its own, as a test asks for.

One description makes the bridge of either: ``Bridge`` of ``telex.server.config``. ``lines_of`` says it in the words
of mosquitto.conf, and owes nothing to what Telex itself knows of those.
"""

import asyncio
import getpass
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

import telex
from telex.client.subscription import Subscription
from telex.server.bridge_status import BridgeStatus
from telex.server.config import Access, Bridge, BridgeTopic, Config, Listener, Protection
from tests.processes import SECONDS, find, free_port, running, wait_for_port

KINDS: Final = ("telex", "mosquitto")
PAIRS: Final = [(home, remote) for home in KINDS for remote in KINDS]
"""Who has the bridge, and where it leads. That Mosquitto gets on with itself shows that a test is right."""

VERSIONS: Final[tuple[Literal["3.1", "3.1.1", "5.0"], ...]] = ("3.1", "3.1.1", "5.0")

SOON: Final = {"restart_first": 0.02, "restart_most": 0.02}
"""For bridges whose connections are lost on purpose."""

READY: Final = BridgeTopic(pattern="ready", direction="in", qos=1)
"""The last topic of a bridge whose test waits until all of them are subscribed to; see ``says_ready``."""

_PROTOCOLS: Final = {"3.1": "mqttv31", "3.1.1": "mqttv311", "5.0": "mqttv50"}
_WORDS: Final = {
    "client_id": "remote_clientid",
    "user": "remote_username",
    "password": "remote_password",
    "local_client_id": "local_clientid",
    "notification_topic": "notification_topic",
    "bind_address": "bridge_bind_address",
}
_TRUTHS: Final = {
    "clean_session": "cleansession",
    "local_clean_session": "local_cleansession",
    "round_robin": "round_robin",
    "try_private": "try_private",
    "notifications": "notifications",
    "notifications_local_only": "notifications_local_only",
    "attempt_unsubscribe": "bridge_attempt_unsubscribe",
    "outgoing_retain": "bridge_outgoing_retain",
}


def address_of(port: int) -> str:
    """Where a broker of this machine is."""
    return f"mqtt://127.0.0.1:{port}"


def line(pattern: str, direction: Literal["out", "in", "both"], qos: int = 0, **words: Any) -> BridgeTopic:
    """One of the topics of a bridge."""
    return BridgeTopic(pattern=pattern, direction=direction, qos=qos, **words)


def bridge_to(port: int, *topics: BridgeTopic, **words: Any) -> Bridge:
    """A bridge to a port of this machine, that comes back at once. For the keywords see ``Bridge``."""
    said = {"name": "bridge", "addresses": [address_of(port)], "client_id": "bridge", **SOON, **words}
    return Bridge(topics=list(topics), **said)


def described(*bridges: Bridge, port: int = 0, listener: dict[str, Any] | None = None, **words: Any) -> Config:
    """A broker in memory, for everybody on this machine. For the keywords see ``Config``, and ``Listener``."""
    door = Listener(host="127.0.0.1", port=port, **(listener or {}))
    said = {
        "listeners": [door],
        "access": Access(allow_anonymous=True),
        "data": "",
        "sys_interval": 0,
        # Bridges that are cut take over from themselves all the time, and are not to be slowed down.
        "protection": Protection(takeovers=0),
        "bridges": list(bridges),
        **words,
    }
    return Config(**said)


def lines_of(bridge: Bridge) -> list[str]:
    """The same in mosquitto.conf."""
    places = [address.partition("://")[2] for address in bridge.addresses]
    lines = [f"connection {bridge.name}", f"addresses {' '.join(places)}"]
    lines.append(f"bridge_protocol_version {_PROTOCOLS[bridge.version]}")
    lines.append(f"restart_timeout {max(1, round(bridge.restart_first))}")
    lines.append(f"keepalive_interval {bridge.keep_alive}")
    lines += [f"{word} {getattr(bridge, name)}" for name, word in _WORDS.items() if getattr(bridge, name)]
    for name, word in _TRUTHS.items():
        if getattr(bridge, name) is not None:
            lines.append(f"{word} {str(getattr(bridge, name)).lower()}")
    if bridge.start != "automatic":
        lines += [f"start_type {bridge.start}", f"threshold {bridge.threshold}"]
    for topic in bridge.topics:
        words = (topic.pattern, topic.local_prefix, topic.remote_prefix)
        pattern, local, remote = (word or '""' for word in words)
        lines.append(f"topic {pattern} {topic.direction} {topic.qos} {local} {remote}")
    return lines


@asynccontextmanager
async def telex_at(*bridges: Bridge, port: int = 0, **words: Any) -> AsyncIterator[telex.Broker]:
    """Telex with these bridges, in this process. For the keywords see ``described``."""
    async with telex.Broker(config=described(*bridges, port=port, **words)) as broker:
        yield broker


@contextmanager
def mosquitto_at(folder: Path, *bridges: Bridge, port: int = 0, more: tuple[str, ...] = ()) -> Iterator[int]:
    """Debian's Mosquitto with these bridges; its port. What it keeps is in the folder when it has ended in order."""
    port = port or free_port()
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "set_tcp_nodelay true",
        "max_queued_messages 0",
        f"user {getpass.getuser()}",
        "sys_interval 1",
        f"log_dest file {folder}/mosquitto-{port}.log",
        *more,
    ]
    for bridge in bridges:
        lines += lines_of(bridge)
    path = folder / f"mosquitto-{port}.conf"
    path.write_text("\n".join([*lines, ""]))
    with running(find("mosquitto"), "-c", str(path)):
        wait_for_port(port)
        yield port


@asynccontextmanager
async def broker_at(
    kind: str, folder: Path, *bridges: Bridge, port: int = 0, more: tuple[str, ...] = ()
) -> AsyncIterator[int]:
    """A broker of a kind with these bridges; its port. ``more`` are lines for mosquitto.conf."""
    if kind == "telex":
        async with telex_at(*bridges, port=port) as broker:
            yield broker.port
    else:
        with mosquitto_at(folder, *bridges, port=port, more=more) as its_port:
            yield its_port


def status(broker: telex.Broker, name: str = "bridge") -> BridgeStatus:
    """How a bridge of a broker is."""
    [found] = [each for each in broker.bridges.statuses() if each.name == name]
    return found


async def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so; the loop works meanwhile."""
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.001)


async def is_open(broker: telex.Broker, name: str = "bridge") -> None:
    """Wait until the remote of a bridge has accepted it."""
    await until(lambda: status(broker, name).state == "open")


async def subscribed(remote: telex.Broker, client_id: str = "bridge", topic_filter: str = "") -> None:
    """Wait until a bridge that comes from elsewhere has subscribed to this, or to anything."""
    sessions = remote.engine.sessions

    def is_so() -> bool:
        filters = sessions[client_id].subscriptions if client_id in sessions else ()
        return topic_filter in filters if topic_filter else bool(filters)

    await until(is_so)


class Witness:
    """A client who takes down what a broker delivers. Its own connection comes back by itself."""

    def __init__(self, client: telex.Client) -> None:
        self.client = client
        self.messages: list[telex.Message] = []
        self._news = asyncio.Condition()

    async def until(self, is_so: Callable[[], object], seconds: float = SECONDS) -> None:
        """Wait until something is true of what came."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(is_so)

    async def gets(self, count: int = 1) -> list[telex.Message]:
        """Wait until so many messages came in all."""
        await self.until(lambda: len(self.messages) >= count)
        return self.messages

    async def hears(self, topic: str, payload: bytes) -> None:
        """Wait until this came."""
        await self.until(lambda: any(each.topic == topic and each.payload == payload for each in self.messages))

    def payloads(self, topic: str = "") -> list[bytes]:
        """What came, on one topic or on all, in order."""
        return [each.payload for each in self.messages if topic in ("", each.topic)]

    @property
    def story(self) -> list[tuple[str, bytes]]:
        """Topics and payloads, in order."""
        return [(each.topic, each.payload) for each in self.messages]

    async def listen(self, subscription: Subscription) -> None:
        """Take down what comes, until the subscription is over."""
        async for message in subscription:
            self.messages += [message, *subscription.take()]
            async with self._news:
                self._news.notify_all()


@asynccontextmanager
async def witness(place: int | str, *filters: str, qos: int = 2, **words: Any) -> AsyncIterator[Witness]:
    """Somebody who sees all that matches the filters, and who publishes. For the keywords see ``telex.Client``."""
    address = place if isinstance(place, str) else address_of(place)
    async with (
        telex.Client(address, reconnect=telex.Reconnect(0.05, 0.05, at_start=False), **words) as client,
        client.subscribe(*(filters or ("#",)), qos=qos, retain_as_published=True, queue=1_000_000) as subscription,
    ):
        somebody = Witness(client)
        listening = asyncio.create_task(somebody.listen(subscription))
        try:
            yield somebody
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


async def says_ready(remote: int) -> None:
    """Leave something at a remote broker that comes over when a bridge has subscribed to the last of its topics.

    So nothing that is published after it is there can be too early.
    """
    async with telex.Client(address_of(remote)) as client:
        await client.publish("ready", b"yes", qos=1, retain=True)


@asynccontextmanager
async def bridged(
    kinds: tuple[str, str], folder: Path, *topics: BridgeTopic, **words: Any
) -> AsyncIterator[tuple[Witness, Witness]]:
    """Two brokers and a bridge between them that has subscribed to all; a witness at home, and one at the remote.

    The messages that told so are not among theirs.
    """
    home_kind, remote_kind = kinds
    # Before MQTT 5 Mosquitto resets a connection on which more QoS 2 messages are in flight than it takes, and its own
    # bridge sends it more now and then.
    more = ("max_inflight_messages 1000",) if kinds == ("mosquitto", "mosquitto") else ()
    async with broker_at(remote_kind, folder, more=more) as remote:
        await says_ready(remote)
        bridge = bridge_to(remote, *topics, READY, **words)
        async with (
            broker_at(home_kind, folder, bridge, more=more) as home,
            witness(home) as here,
            witness(remote) as there,
        ):
            await here.hears("ready", b"yes")
            here.messages.clear()
            await there.hears("ready", b"yes")
            there.messages.clear()
            yield here, there


def environment() -> dict[str, str]:
    """That of brokers whose clients take over from themselves all the time, and are not to be slowed down."""
    return {**os.environ, "TELEX_PROTECTION__TAKEOVERS": "0"}
