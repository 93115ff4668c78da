"""``subscribe(..., keep=True)``: the subscription stays with a kept session when its block is left.

A program here is a client with the id of the one before it; the broker is a real one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import telex
from telex.client.aio import Version
from telex.codes import ReasonCode

SECONDS = 10.0
VERSIONS: list[Version] = ["5", "3.1.1"]
ACKNOWLEDGED = [1, 2]


class World:
    """A broker, somebody who publishes, and programs that come and go."""

    def __init__(self, address: str, others: telex.Client) -> None:
        self.address = address
        self.others = others

    def program(self, version: Version | None = None) -> telex.Client:
        """The program, once more."""
        return telex.Client(self.address, client_id="program", session_expiry_interval=60, version=version)

    async def publish(self, topic: str, *payloads: object, qos: int = 1, retain: bool = False) -> ReasonCode:
        """Publish these one after the other; what the broker says to the last."""
        code = ReasonCode.SUCCESS
        for payload in payloads:
            code = await self.others.publish(topic, payload, qos=qos, retain=retain)
        return code


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    async with telex.Broker(port=0) as broker:
        address = f"mqtt://127.0.0.1:{broker.port}"
        async with telex.Client(address) as others:
            yield World(address, others)


async def texts(messages: telex.Subscription, number: int) -> list[str]:
    """The next messages."""
    return [(await messages.next(timeout=SECONDS)).text for _ in range(number)]


# Two programs


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", ACKNOWLEDGED)
async def test_what_comes_while_nobody_is_there_comes_to_the_next_program(qos: int, version: Version) -> None:
    async with a_world() as world:
        async with world.program(version) as client, client.subscribe("jobs", qos=qos, keep=True) as jobs:
            await world.publish("jobs", 1, qos=qos)
            assert await texts(jobs, 1) == ["1"]
        for number in range(2, 300):
            assert await world.publish("jobs", number, qos=qos) == ReasonCode.SUCCESS
        async with world.program(version) as client, client.subscribe("jobs", qos=qos, keep=True) as jobs:
            await world.publish("jobs", "the end", qos=qos)
            assert await texts(jobs, 299) == [str(number) for number in range(2, 300)] + ["the end"]


async def test_without_keep_the_subscription_ends() -> None:
    async with a_world() as world:
        async with world.program() as client, client.subscribe("jobs", qos=1):
            assert await world.publish("jobs", "now") == ReasonCode.SUCCESS
        assert await world.publish("jobs", "too late") == ReasonCode.NO_MATCHING_SUBSCRIBERS
        async with world.program() as client, client.subscribe("jobs", qos=1) as jobs:
            await world.publish("jobs", "the end")
            assert await texts(jobs, 1) == ["the end"]


async def test_without_a_session_that_is_kept_it_cannot_be_asked_for() -> None:
    for client in (telex.Client(), telex.Client(client_id="program")):
        with pytest.raises(ValueError, match="keep=True needs session_expiry_interval"):
            client.subscribe("jobs", qos=1, keep=True)


@pytest.mark.parametrize("ending", ["by an exception", "by cancellation", "by close"])
async def test_it_stays_however_the_block_is_left(ending: str) -> None:
    async with a_world() as world:
        is_in = asyncio.Event()

        async def work() -> None:
            async with world.program() as client, client.subscribe("jobs", qos=1, keep=True) as jobs:
                is_in.set()
                if ending == "by close":
                    await client.close()
                elif ending == "by an exception":
                    raise LookupError(ending)
                await jobs.next()

        working = asyncio.create_task(work())
        await asyncio.wait_for(is_in.wait(), SECONDS)
        if ending == "by cancellation":
            working.cancel()
        await asyncio.wait([working], timeout=SECONDS)
        assert working.cancelled() or isinstance(working.exception(), LookupError | telex.NotConnected)
        assert await world.publish("jobs", "kept") == ReasonCode.SUCCESS
        async with world.program() as client, client.subscribe("jobs", qos=1) as jobs:
            assert await texts(jobs, 1) == ["kept"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", ACKNOWLEDGED)
async def test_nothing_is_lost_between_the_end_of_the_block_and_that_of_the_client(qos: int, version: Version) -> None:
    async with a_world() as world:
        async with world.program(version) as client:
            async with client.subscribe("jobs", qos=qos, keep=True) as jobs:
                await world.publish("jobs", "in time", qos=qos)
                assert await texts(jobs, 1) == ["in time"]
            await world.publish("jobs", 1, 2, 3, qos=qos)
            async with client.subscribe("other", qos=1) as other:  # they came before this
                await world.publish("other", "there")
                assert await texts(other, 1) == ["there"]
            assert jobs.waiting == 0
        await world.publish("jobs", 4, qos=qos)
        async with world.program(version) as client, client.subscribe("jobs", qos=qos) as jobs:
            await world.publish("jobs", "the end", qos=qos)
            assert await texts(jobs, 5) == ["1", "2", "3", "4", "the end"]


async def test_what_was_not_acknowledged_by_hand_comes_before_it() -> None:
    async with a_world() as world:
        async with world.program() as client:
            async with client.subscribe("jobs", qos=1, keep=True, manual_ack=True) as jobs:
                await world.publish("jobs", 1, 2, 3)
                (await jobs.next(timeout=SECONDS)).ack()
                assert await texts(jobs, 2) == ["2", "3"]
        await world.publish("jobs", 4)
        async with world.program() as client, client.subscribe("jobs", qos=1, manual_ack=True) as jobs:
            again = [await jobs.next(timeout=SECONDS) for _ in range(3)]
            assert [(message.text, message.dup) for message in again] == [("2", True), ("3", True), ("4", False)]


async def test_a_program_that_comes_back_may_do_without_it() -> None:
    async with a_world() as world:
        async with world.program() as client, client.subscribe("jobs", qos=1, keep=True):
            pass
        async with world.program() as client, client.subscribe("jobs", qos=1):
            pass
        assert await world.publish("jobs", "too late") == ReasonCode.NO_MATCHING_SUBSCRIBERS


# One program


async def test_it_is_entered_again_in_the_same_program() -> None:
    async with a_world() as world:
        async with world.program() as client:
            for number in range(3):
                async with client.subscribe("jobs", qos=1, keep=True) as jobs:
                    await world.publish("jobs", number)
                    assert await texts(jobs, 1) == [str(number)]
        assert await world.publish("jobs", "kept") == ReasonCode.SUCCESS


@pytest.mark.parametrize("first", ["who keeps it", "who does not"])
async def test_of_two_with_one_filter_one_that_keeps_it_is_enough(first: str) -> None:
    async with a_world() as world:
        async with world.program() as client:
            keeps = client.subscribe("jobs", qos=1, keep=True)
            does_not = client.subscribe("jobs", qos=1)
            pair = (keeps, does_not) if first == "who keeps it" else (does_not, keeps)
            for each in pair:
                await each.__aenter__()
            for each in pair:
                await each.__aexit__(None, None, None)
        assert await world.publish("jobs", "kept") == ReasonCode.SUCCESS


async def test_a_subscription_beside_it_gets_all_that_it_wants() -> None:
    async with a_world() as world:
        async with world.program() as client, client.subscribe("jobs/#", qos=1) as all_jobs:
            async with client.subscribe("jobs/1", qos=1, keep=True) as jobs:
                await world.publish("jobs/1", "both")
                assert await texts(jobs, 1) == await texts(all_jobs, 1) == ["both"]
            await world.publish("jobs/1", "one of them")
            await world.publish("jobs/2", "the end")
            assert await texts(all_jobs, 2) == ["one of them", "the end"]


# Retained messages


async def test_retained_messages_come_once_with_retain_handling_1() -> None:
    async with a_world() as world:
        await world.publish("state", "old", retain=True)
        async with world.program() as client:
            async with client.subscribe("state", qos=1, keep=True, retain_handling=1) as state:
                assert await texts(state, 1) == ["old"]
        await world.publish("state", "new", retain=True)
        async with world.program() as client:
            async with client.subscribe("state", qos=1, keep=True, retain_handling=1) as state:
                await world.publish("state", "the end")
                found = [await state.next(timeout=SECONDS) for _ in range(2)]
                assert [(message.text, message.retain) for message in found] == [("new", False), ("the end", False)]


@pytest.mark.parametrize("version", VERSIONS)
async def test_otherwise_each_program_gets_them_and_says_that_they_are_retained(version: Version) -> None:
    async with a_world() as world:
        await world.publish("state", "old", retain=True)
        for _ in range(2):
            async with world.program(version) as client:
                async with client.subscribe("state", qos=1, keep=True) as state:
                    await world.publish("state", "the end")
                    found = [await state.next(timeout=SECONDS) for _ in range(2)]
                    assert [(message.text, message.retain) for message in found] == [("old", True), ("the end", False)]


# Its end


async def test_unsubscribe_ends_it_in_the_same_program() -> None:
    async with a_world() as world:
        async with world.program() as client:
            async with client.subscribe("jobs", qos=1, keep=True):
                with pytest.raises(ValueError, match="a subscription of this client has it"):
                    await client.unsubscribe("jobs")
            assert await world.publish("jobs", "kept") == ReasonCode.SUCCESS
            assert await client.unsubscribe("jobs") == [ReasonCode.SUCCESS]
            assert await world.publish("jobs", "too late") == ReasonCode.NO_MATCHING_SUBSCRIBERS
        assert await world.publish("jobs", "too late") == ReasonCode.NO_MATCHING_SUBSCRIBERS


async def test_and_in_a_later_one() -> None:
    async with a_world() as world:
        async with world.program() as client, client.subscribe("jobs", qos=1, keep=True):
            pass
        async with world.program() as client:
            assert await client.unsubscribe("jobs") == [ReasonCode.SUCCESS]
            assert await client.unsubscribe("jobs") == [ReasonCode.NO_SUBSCRIPTION_EXISTED]
        assert await world.publish("jobs", "too late") == ReasonCode.NO_MATCHING_SUBSCRIBERS


async def test_so_does_a_clean_start() -> None:
    async with a_world() as world:
        async with world.program() as client, client.subscribe("jobs", qos=1, keep=True):
            pass
        async with telex.Client(world.address, client_id="program", session_expiry_interval=60, clean_start=True):
            assert await world.publish("jobs", "too late") == ReasonCode.NO_MATCHING_SUBSCRIBERS
