"""What a bridge is told not to carry: messages that are too large, and those that come too fast."""

import pytest

from tests.bridges.brokers import bridge_to, line, status, subscribed, telex_at, until, witness

SLOWLY = 0.001
"""Messages per second: one at once, and no other one while this test runs."""


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_larger_messages_stay_where_they_are(qos: int) -> None:
    topics = (line("up", "out", qos, maximum_payload_size=10), line("down", "in", qos, maximum_payload_size=10))
    async with telex_at() as remote, telex_at(bridge_to(remote.port, *topics)) as home:
        await subscribed(remote)
        async with witness(home.port) as here, witness(remote.port) as there:
            for source, topic, target in ((here, "up", there), (there, "down", here)):
                await source.client.publish(topic, bytes(11), qos=qos)
                await source.client.publish(topic, bytes(10), qos=qos)
                await target.hears(topic, bytes(10))
                assert target.payloads(topic) == [bytes(10)]
                assert source.payloads(topic) == [bytes(11), bytes(10)]
            assert status(home).filtered == 2
            await until(lambda: status(home).queued + status(home).in_flight == 0)


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_what_comes_too_fast_stays_where_it_is(qos: int) -> None:
    words = {"messages_per_second": SLOWLY}
    topics = (line("up", "out", qos, **words), line("down", "in", qos, **words), line("last", "both", qos))
    async with telex_at() as remote, telex_at(bridge_to(remote.port, *topics)) as home:
        await subscribed(remote, topic_filter="last")
        async with witness(home.port) as here, witness(remote.port) as there:
            for source, topic, target in ((here, "up", there), (there, "down", here)):
                for number in range(20):
                    await source.client.publish(topic, b"%d" % number, qos=qos)
                await source.client.publish("last", topic, qos=qos)
                await target.hears("last", topic.encode())
                assert target.payloads(topic) == [b"0"]
            assert status(home).filtered == 38


async def test_what_is_held_back_while_the_remote_is_away_does_not_come_later() -> None:
    topic = line("up", "out", 1, messages_per_second=SLOWLY)
    async with telex_at() as remote:
        async with telex_at(bridge_to(remote.port, topic, start="lazy", threshold=2)) as home:
            async with witness(home.port, "nothing") as here:
                for number in range(5):
                    await here.client.publish("up", b"%d" % number, qos=1)
                assert (status(home).queued, status(home).filtered, status(home).state) == (1, 4, "idle")
