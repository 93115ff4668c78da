"""Lists and metrics of very many: whoever asks for them stops nobody else, and what is told stays true."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

import telex
from telex import topics
from telex.engine.connection import Connection
from telex.engine.message import Message
from telex.engine.permissions import Grant, Permissions, publishing
from telex.server.config import Rule, Web
from telex.server.web import listing, messages, metrics
from telex.server.web.server import HttpConnection
from telex.wire.packets import Connect, Subscribe, SubscriptionRequest
from telex.wire.properties import Properties
from tests.shell.raw import open_socket
from tests.web.peers import until
from tests.web.port import Port, port, with_users
from tests.web.test_metrics import of, samples

MANY = 30_000
MOST_COMPARED = 30 * listing.SLICE
"""Comparisons in a turn of the loop: to sort a slice takes ten for each of its keys."""

MOST_SEEN = 3 * listing.SLICE
"""Sessions that are looked at in a turn of the loop."""


class Work:
    """How much is done in each turn of the loop."""

    def __init__(self) -> None:
        self.done = 0
        self.most = 0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Within, the most that is done in one turn is noted."""
        is_over = False

        async def others() -> None:
            while not is_over:
                before = self.done
                await asyncio.sleep(0)
                self.most = max(self.most, self.done - before)

        task = asyncio.create_task(others())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            is_over = True
            await task


class Key(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    work: Work

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    def __lt__(self, other: str) -> bool:
        self.work.done += 1
        return str.__lt__(self, other)

    def __gt__(self, other: str) -> bool:
        self.work.done += 1
        return str.__gt__(self, other)

    def __le__(self, other: str) -> bool:
        self.work.done += 1
        return str.__le__(self, other)

    def __ge__(self, other: str) -> bool:
        self.work.done += 1
        return str.__ge__(self, other)


def keys(work: Work) -> list[str]:
    kind = type("Counted", (Key,), {"work": work, "__slots__": ()})
    return [kind(f"{number * 7_919 % MANY:06}") for number in range(MANY)]


def quiet_sessions(page: Port, names: list[str], looked_at: Callable[[], None]) -> None:
    """So many sessions, none of which has a client; ``looked_at`` is called when somebody wants to know that."""

    class Quiet:
        subscriptions: ClassVar[dict[str, Any]] = {}
        message_count = 0

        @property
        def client(self) -> None:
            looked_at()

    one = Quiet()
    sessions: Any = page.broker.engine.sessions
    sessions.update((name, one) for name in names)


async def test_the_first_of_very_many_are_found_without_sorting_them_at_once() -> None:
    work = Work()
    wanted = keys(work)
    async with work.watched():
        found = await listing.first_after(wanted, "015000", 100)
    assert found == sorted(map(str, wanted))[15_001:15_101]
    assert work.most <= MOST_COMPARED


async def test_of_one_client_with_very_many_subscriptions_a_part_is_looked_at_in_a_turn() -> None:
    async with port() as page:
        work = Work()

        class Filters(dict[str, Any]):
            def __iter__(self) -> Iterator[str]:
                for each in super().__iter__():
                    work.done += 1
                    yield each

        class Keen:
            client = None
            subscriptions = Filters((f"a/{number:05}", None) for number in range(1_000))

        one = Keen()
        sessions: Any = page.broker.engine.sessions
        sessions.update((f"{number:03}", one) for number in range(100))
        try:
            async with work.watched():
                assert (await page.api("/subscriptions?filter=b/%23"))["items"] == []
        finally:
            sessions.clear()
        assert work.most <= 5 * listing.SLICE


async def test_nor_are_all_topics() -> None:
    work = Work()
    kind = type("Counted", (Key,), {"work": work, "__slots__": ()})
    walked = [[kind(f"{number:06}") for number in range(start, MANY, MANY // 1_000)] for start in range(MANY // 1_000)]
    for part in walked:
        part.reverse()
    async with work.watched():
        found = await listing._sorted([list(part) for part in walked])
    assert len(found) == MANY
    assert work.most <= MOST_COMPARED


@pytest.mark.parametrize("path", ["/clients", "/sessions?after=OTk5OTk5", "/subscriptions", "/broker"])
async def test_a_list_of_very_many_sessions_stops_nobody(path: str) -> None:
    async with port() as page:
        compared, seen = Work(), Work()

        def looked_at() -> None:
            seen.done += 1

        names = keys(compared)
        quiet_sessions(page, names, looked_at)
        try:
            async with compared.watched(), seen.watched():
                await page.api(path)
        finally:
            page.broker.engine.sessions.clear()
        assert compared.most <= MOST_COMPARED
        assert seen.most <= MOST_SEEN


async def test_many_who_look_at_once_take_turns() -> None:
    """Otherwise what each of them does in a turn of the loop would add up, and one user alone could stop all others."""
    async with port() as page:
        compared = Work()
        quiet_sessions(page, keys(compared), lambda: None)
        try:
            async with compared.watched():
                await asyncio.gather(*(page.api("/clients?limit=1&after=OTk5OTk5") for _ in range(20)))
        finally:
            page.broker.engine.sessions.clear()
        assert compared.done >= 20 * MANY
        assert compared.most <= 5 * listing.SLICE


async def test_many_who_clear_at_once_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    async with port(limits={"max_topic_levels": 10}) as page:
        engine = page.broker.engine
        for number in range(4_000):
            engine.publish(Message(f"a/{number % 20}/{number}", b"x", 0, retain=True), None, page.broker.now())
        work = Work()

        def counted(permissions: Permissions, topic: str) -> Grant:
            work.done += 1
            return publishing(permissions, topic)

        monkeypatch.setattr(messages, "publishing", counted)  # which is asked for each that is cleared
        async with work.watched():
            asked = (page.ask("DELETE", f"/api/v1/retained?filter=a/{number}/%23") for number in range(20))
            answers = await asyncio.gather(*asked)
        assert sum(each.json["removed"] for each in answers) == work.done == 4_000
        assert work.most <= 500


async def test_rights_of_very_many_topics_stop_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user may see is asked of the rules for each topic, and many rules take their time."""
    rules = [Rule(deny=["receive"], topics=[f"x{number}/+/y/#"]) for number in range(50)]
    rules.append(Rule(allow=["publish", "subscribe"]))
    work = Work()

    async with port(access=with_users(tmp_path, rules=rules)) as page:
        engine = page.broker.engine
        for number in range(5_000):
            engine.publish(Message(f"a/{number:05}", b"x", 0, retain=True), None, page.broker.now())
        matches = topics.matches

        def counted(topic_filter: str, topic: str) -> bool:
            work.done += 1
            return matches(topic_filter, topic)

        monkeypatch.setattr(topics, "matches", counted)
        for method, path in (
            ("GET", "/retained?filter=%23&older_than=1d"),
            ("DELETE", "/retained?filter=%23&dry_run=true"),
        ):
            async with work.watched():
                assert (await page.ask(method, f"/api/v1{path}", user="bob")).status == 200
        assert work.most <= 60 * listing.SLICE


async def test_who_asks_for_everything_again_and_again_holds_it_once() -> None:
    """As the page does with its sampled subscriptions, but without ever reading what comes."""
    async with port() as page:
        engine = page.broker.engine
        for number in range(1_000):
            engine.publish(Message(f"a/{number}", b"x" * 200, 0, retain=True), None, page.broker.now())
        wish = Properties(user_properties=(("telex.sample", "250"),))
        async with open_socket(int(page.mqtt.rpartition(":")[2]), receive_buffer=4_096) as client:
            await client.send(Connect("one"))
            for number in range(1, 31):
                await client.send(Subscribe(number, [SubscriptionRequest("#", 0)], wish))
            await until(lambda: engine.stats.packets_received == 31)
            samples = engine.sessions["one"].samples
            assert samples is not None
            assert len(samples._retained) <= 1_000


# Pages while things change


async def test_every_session_that_stays_is_on_one_page() -> None:
    async with port() as page:
        engine = page.broker.engine
        for number in range(50):
            engine.change_expiry(engine.new_session(f"stays {number:02}"), 60)
            engine.change_expiry(engine.new_session(f"goes {number:02}"), 60)
        found: list[str] = []
        after = ""
        for turn in range(100):
            part = await page.api(f"/sessions?limit=7{after}")
            found += [each["client_id"] for each in part["items"]]
            if part["next"] is None:
                break
            after = f"&after={part['next']}"
            last = part["items"][-1]["client_id"]
            if last.startswith("goes"):  # not even the one that the page ends with has to stay
                engine.end_session(engine.sessions[last], page.broker.now())
            engine.change_expiry(engine.new_session(f"comes {turn}"), 60)
        assert sorted(each for each in found if each.startswith("stays")) == [f"stays {each:02}" for each in range(50)]
        assert len(set(found)) == len(found)


async def test_every_event_that_is_there_from_the_first_page_on_is_on_one_page() -> None:
    async with port() as page:
        events = page.broker.events
        for number in range(20):
            events.add("refused", float(number), address="before", why=f"{number}")
        found: list[str] = []
        after = ""
        for turn in range(20):
            part = await page.api(f"/events?limit=3{after}")
            found += [each["why"] for each in part["items"]]
            if part["next"] is None:
                break
            after = f"&after={part['next']}"
            events.add("refused", 100.0 + turn, address="meanwhile", why=f"later {turn}")
        assert found == [f"{number}" for number in reversed(range(20))]


async def test_every_subscription_that_stays_is_on_one_page() -> None:
    async with port() as page, telex.Client(page.mqtt, client_id="one") as client:
        subscriptions = [client.subscribe(f"a/{number:02}") for number in range(10)]
        for each in subscriptions:
            await each.__aenter__()
        found: list[str] = []
        after = ""
        gone = iter(("a/01", "a/05"))
        while True:
            part = await page.api(f"/subscriptions?limit=2{after}")
            found += [each["filter"] for each in part["items"]]
            if part["next"] is None:
                break
            after = f"&after={part['next']}"
            for topic_filter in (next(gone, ""),):
                if topic_filter:
                    await subscriptions[int(topic_filter[2:])].__aexit__(None, None, None)
        assert found == ["a/00", "a/01", "a/02", "a/03", "a/04", "a/06", "a/07", "a/08", "a/09"]


# Metrics


async def test_counters_never_go_back_though_clients_leave_meanwhile() -> None:
    """Prometheus takes a counter that falls for a broker that began anew, and counts all of it once more."""
    async with port() as page:
        engine = page.broker.engine
        for number in range(3 * listing.SLICE):
            engine.new_session(f"before {number}")
        async with telex.Client(page.mqtt, client_id="zz", reconnect=None) as client:
            for _ in range(10):
                await client.publish("a", "x" * 1_000, qos=1)
            before = of(await samples(page), "telex_listener_bytes_received_total", listener="127.0.0.1:0")
            telling = asyncio.create_task(metrics.exposition(page.broker, "", with_clients=False))
            await asyncio.sleep(0)  # it has begun, and looks at the others
            connection = engine.sessions["zz"].client
            assert isinstance(connection, Connection)
            connection.disconnect(0x98, "test", page.broker.now())
            body, _ = await telling
        [line] = [
            each
            for each in body.decode().splitlines()
            if each.startswith('telex_listener_bytes_received_total{listener="127.0.0.1:0"}')
        ]
        assert float(line.rpartition(" ")[2]) >= before > 10_000
        after = of(await samples(page), "telex_listener_bytes_received_total", listener="127.0.0.1:0")
        assert after >= float(line.rpartition(" ")[2]), "nor is anybody counted twice"
        engine.sessions.clear()


async def test_metrics_have_as_long_as_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[float] = []
    allow = HttpConnection.allow

    def noted(self: HttpConnection, seconds: float) -> None:
        allowed.append(seconds)
        allow(self, seconds)

    async with port(access=with_users(tmp_path), web=Web(administrators=["ann"])) as page:
        monkeypatch.setattr(HttpConnection, "allow", noted)
        for path in ("/metrics", "/api/v1/clients"):
            allowed.clear()
            assert (await page.get(path, user="ann")).status == 200
            assert max(allowed) >= 60.0, path
            allowed.clear()
            assert (await page.get(path, user="eve")).status == 401
            assert max(allowed) <= 10.0, f"{path}: as long as everybody who has not come in"


@pytest.mark.parametrize("client_id", ['a"} 1\ntelex_forged{x="', "a\\", "a\\n", "\u202e", "é" * 200, "{}", "a\tb"])
async def test_a_label_is_what_a_client_is_called_and_nothing_else(client_id: str) -> None:
    async with port() as page, telex.Client(page.mqtt, client_id=client_id) as client:
        await client.publish("a", "x", qos=1)
        found = await samples(page)
        assert of(found, "telex_client_messages_received_total", client=client_id[:100]) == 1
        assert not [name for name, _ in found if "forged" in name]
        body = (await page.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})).text
        assert body.endswith("# EOF\n")
        assert body.count("\ntelex_forged") == 0
