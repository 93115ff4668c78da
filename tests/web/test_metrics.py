"""/metrics, read as Prometheus reads it."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

import telex
from telex.server.config import Web
from telex.server.turns import SIZE_BOUNDS, WATCHED_SECONDS, Histogram, Turns
from telex.server.web import metrics
from tests.web.port import Port, port, with_users

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def samples(page: Port, **more: str) -> Samples:
    answer = await page.get("/metrics", **more)
    assert answer.status == 200
    found: Samples = {}
    for family in parser.text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, "no series is there twice"
            found[key] = sample.value
    return found


def of(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


async def test_what_happened_is_counted() -> None:
    async with port() as page:
        async with telex.Client(page.mqtt, client_id="one") as client, client.subscribe("a/#", qos=1) as messages:
            await client.publish("a/b", "12345", qos=1, retain=True)
            await anext(messages)
            found = await samples(page)
            listener = "127.0.0.1:0"
            assert of(found, "telex_messages_received_total") == 1
            assert of(found, "telex_messages_sent_total") == 1
            assert of(found, "telex_payload_received_bytes_total") == 5
            assert of(found, "telex_clients_connected") == of(found, "telex_sessions") == 1
            assert of(found, "telex_subscriptions") == of(found, "telex_retained_messages") == 1
            assert of(found, "telex_listener_clients", listener=listener) == 1
            assert of(found, "telex_listener_connections_total", listener=listener) == 1
            assert of(found, "telex_listener_messages_received_total", listener=listener) == 1
            assert of(found, "telex_client_messages_received_total", client="one") == 1
        gone = await samples(page)
        assert of(gone, "telex_clients_connected") == of(gone, "telex_listener_clients", listener=listener) == 0
        assert of(gone, "telex_listener_messages_received_total", listener=listener) == 1, "counters never go back"
        assert ("telex_client_messages_received_total", (("client", "one"),)) not in gone


async def test_turns_and_sizes_are_measured_from_the_first_look_on() -> None:
    async with port() as page, telex.Client(page.mqtt) as client:
        await client.publish("a", "x" * 100, qos=1)
        assert not page.broker.turns.is_measuring
        before = await samples(page)
        assert of(before, "telex_message_size_bytes_count") == 0
        await client.publish("a", "x" * 100, qos=1)
        await client.publish("a", "x" * 3_000, qos=1)
        after = await samples(page)
        assert of(after, "telex_message_size_bytes_count") == 2
        assert of(after, "telex_message_size_bytes_sum") == 3_100
        assert of(after, "telex_message_size_bytes_bucket", le="256") == 1
        assert of(after, "telex_message_size_bytes_bucket", le="4096") == 2
        assert of(after, "telex_message_size_bytes_bucket", le="+Inf") == 2
        assert of(after, "telex_turn_seconds_count") >= 2
        assert of(after, "telex_turn_seconds_sum") > 0


async def test_only_those_that_moved_most_have_lines_of_their_own() -> None:
    async with port() as page:
        async with AsyncExitStack() as stack:
            for number in range(metrics.TOP + 3):
                client = telex.Client(page.mqtt, client_id=f"client-{number:02}")
                await stack.enter_async_context(client)
                await client.publish("a", "x" * number * 100, qos=1)
            found = await samples(page)
        labels = [dict(labels)["client"] for name, labels in found if name == "telex_client_bytes_received_total"]
        assert sorted(labels) == [f"client-{number:02}" for number in range(3, metrics.TOP + 3)]


async def test_long_names_that_look_the_same_are_one() -> None:
    async with port() as page:
        ids = ["x" * 120 + "a", "x" * 120 + "b", 'quo"te\n\\']
        async with AsyncExitStack() as stack:
            for each in ids:
                client = telex.Client(page.mqtt, client_id=each)
                await stack.enter_async_context(client)
                await client.publish("a", "x", qos=1)
            found = await samples(page)
        assert of(found, "telex_client_messages_received_total", client="x" * 100) == 2
        assert of(found, "telex_client_messages_received_total", client=ids[2]) == 1


async def test_who_is_no_administrator_sees_no_clients(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=Web(administrators=["ann"])) as page:
        assert (await page.get("/metrics")).status == 401
        async with telex.Client(page.mqtt, client_id="one", user="bob", password="bob's"):
            assert any("client" in dict(labels) for _, labels in await samples(page, user="ann"))
            assert not any("client" in dict(labels) for _, labels in await samples(page, user="bob"))


async def test_prometheus_gets_the_format_that_it_asks_for() -> None:
    async with port() as page:
        answer = await page.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert answer.content_type == "application/openmetrics-text"
        assert answer.text.endswith("# EOF\n")
        names = {family.name for family in openmetrics.text_string_to_metric_families(answer.text)}
        assert {"telex_messages_received", "telex_turn_seconds", "telex_build_info"} <= names
        assert (await page.get("/metrics")).content_type == "text/plain"


async def test_many_sessions_are_looked_at_in_slices() -> None:
    async with port() as page:
        engine = page.broker.engine
        for number in range(2_500):
            engine.new_session(f"session-{number}")
        turns = 0
        is_over = False

        async def others() -> None:
            nonlocal turns
            while not is_over:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        body, _ = await metrics.exposition(page.broker, "", with_clients=True)
        is_over = True
        await task
        assert b"telex_sessions 2500.0" in body
        assert turns >= 2
        engine.sessions.clear()


# What is measured


def test_a_histogram_adds_up_from_bound_to_bound() -> None:
    histogram = Histogram((1, 10))
    histogram.add(1, 2, 2)
    histogram.add(5, 1, 5)
    histogram.add(11, 1, 11)
    assert (histogram.cumulative(), histogram.sum) == ([2, 3, 4], 18)


def test_nothing_is_measured_when_nobody_has_looked_for_long() -> None:
    turns = Turns()
    assert not turns.is_measuring
    turns.watch(1_000.0, 10, 50)
    turns.tick(1_000.0 + WATCHED_SECONDS - 1)
    assert turns.is_measuring
    turns.begin(5.0)
    turns.end(5.5, 12, 250)
    assert turns.percentile(0.5) == 0.5
    assert turns.sizes.sum == 200
    assert turns.sizes.counts[SIZE_BOUNDS.index(256)] == 2
    turns.tick(1_000.0 + WATCHED_SECONDS)
    assert not turns.is_measuring
    assert turns.percentile(0.5) is None
    turns.watch(2_000.0, 100, 9_000)
    turns.end(9.0, 100, 9_000)
    assert turns.sizes.sum == 200, "what came while nobody looked is not counted afterwards"
