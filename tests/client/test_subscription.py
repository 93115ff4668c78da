"""One subscription: a queue, its policies, and the tasks that wait for messages. Its desk is played by the test."""

import asyncio
import logging

import pytest

from telex.client.message import Message
from telex.client.payloads import STANDARD
from telex.client.subscription import Held, Subscription, WhenFull
from telex.errors import NotConnected, Refused, Timeout
from telex.wire.packets import Publish, SubscriptionRequest
from tests.client.table import rest_of, turns


class Desk:
    """Grants what it is told to, and remembers what it was asked."""

    def __init__(self, *reason_codes: int) -> None:
        self.reason_codes = list(reason_codes)
        self.asked: list[str] = []
        self.emptied_at: list[int] = []
        self.subscription: Subscription | None = None
        self.obstacle: BaseException | None = None

    async def join(self, subscription: Subscription) -> None:
        self.asked.append("join")
        if self.obstacle is not None:
            raise self.obstacle
        subscription.reason_codes = self.reason_codes

    async def leave(self, subscription: Subscription, *, waits: bool = True) -> None:
        self.asked.append("leave")

    def emptied(self) -> None:
        self.asked.append("emptied")


class Acknowledgements(list[int]):
    """The packet ids of what was acknowledged, and of what was given up."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up: list[int] = []

    def __call__(self, packet: Publish) -> None:
        self.append(packet.packet_id)

    def gives_up(self, packet: Publish) -> None:
        self.given_up.append(packet.packet_id)


def subscription(
    desk: Desk,
    *filters: str,
    limit: int = 1000,
    when_full: WhenFull = "wait",
    manual_ack: bool = False,
    partly: bool = False,
) -> Subscription:
    return Subscription(
        desk,
        [SubscriptionRequest(each) for each in filters or ("a",)],
        limit=limit,
        when_full=when_full,
        manual_ack=manual_ack,
        everything=False,
        partly=partly,
        keep=False,
        properties=None,
        codecs=STANDARD,
    )


def held(packet_id: int, acknowledge: Acknowledgements, *, holders: int = 1) -> Held:
    item = Held(Publish("a", b"%d" % packet_id, 1, packet_id=packet_id), acknowledge, acknowledge.gives_up)
    item.holders = holders
    return item


async def test_messages_come_in_their_order() -> None:
    async with subscription(Desk(0)) as messages:
        for number in range(3):
            messages.put(Publish("a", b"%d" % number))
        assert messages.waiting == 3
        assert [(await messages.next()).text for _ in range(3)] == ["0", "1", "2"]
        assert messages.waiting == 0


async def test_a_task_that_waits_gets_the_next_one() -> None:
    async with subscription(Desk(0)) as messages:
        waiting = asyncio.create_task(messages.next())
        await turns()
        messages.put(Publish("a", b"x"))
        assert (await waiting).payload == b"x"


async def test_each_message_goes_to_one_task_whoever_waited_first() -> None:
    async with subscription(Desk(0)) as messages:
        tasks = [asyncio.create_task(messages.next()) for _ in range(3)]
        await turns()
        for payload in (b"0", b"1", b"2"):
            messages.put(Publish("a", payload))
        assert [(await task).payload for task in tasks] == [b"0", b"1", b"2"]


async def test_a_task_that_is_cancelled_when_it_was_woken_takes_no_message_with_it() -> None:
    async with subscription(Desk(0)) as messages:
        first, second = asyncio.create_task(messages.next()), asyncio.create_task(messages.next())
        await turns()
        messages.put(Publish("a", b"x"))  # wakes the first
        first.cancel()
        assert (await second).payload == b"x"
        assert first.cancelled()


async def test_a_task_that_is_cancelled_while_it_waits_is_not_woken() -> None:
    async with subscription(Desk(0)) as messages:
        first, second = asyncio.create_task(messages.next()), asyncio.create_task(messages.next())
        await turns()
        first.cancel()
        await turns()
        messages.put(Publish("a", b"x"))
        assert (await second).payload == b"x"


async def test_a_message_that_somebody_else_took_is_waited_for_again() -> None:
    async with subscription(Desk(0)) as messages:
        waiting = asyncio.create_task(messages.next())
        await turns()
        messages.put(Publish("a", b"0"))
        assert rest_of(messages) == [b"0"]
        await turns()
        assert not waiting.done()
        messages.put(Publish("a", b"1"))
        assert (await waiting).payload == b"1"


async def test_no_message_in_time() -> None:
    async with subscription(Desk(0, 0), "a/+", "b") as messages:
        with pytest.raises(Timeout, match=r"no message for 'a/\+', 'b' within 0 s"):
            await messages.next(timeout=0)
        messages.put(Publish("b", b"x"))
        assert (await messages.next(timeout=0)).payload == b"x"  # what is there needs no time


async def test_take_gives_all_that_is_there() -> None:
    async with subscription(Desk(0)) as messages:
        assert messages.take() == []
        for number in range(3):
            messages.put(Publish("a", b"%d" % number))
        assert rest_of(messages) == [b"0", b"1", b"2"]


async def test_the_iteration_ends_when_the_queue_is_empty_and_the_client_was_closed() -> None:
    async with subscription(Desk(0)) as messages:
        messages.put(Publish("a", b"x"))
        messages.end(None)
        assert [message.payload async for message in messages] == [b"x"]
        with pytest.raises(NotConnected, match="the subscription is over"):
            await messages.next()


async def test_or_it_raises_what_ended_the_client() -> None:
    async with subscription(Desk(0)) as messages:
        waiting = asyncio.create_task(messages.next())
        await turns()
        messages.put(Publish("a", b"x"))
        messages.end(Refused(0x8E, "taken over"))
        messages.end(None)  # what came first, counts
        assert (await waiting).payload == b"x"
        with pytest.raises(Refused, match="taken over"):
            await messages.next()


async def test_all_who_wait_learn_of_the_end() -> None:
    async with subscription(Desk(0)) as messages:
        tasks = [asyncio.create_task(messages.next()) for _ in range(3)]
        await turns()
        messages.end(NotConnected("gone"))
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert str(result) == "gone"


async def test_after_its_context_what_is_in_the_queue_is_still_there() -> None:
    desk = Desk(0)
    async with subscription(desk) as messages:
        messages.put(Publish("a", b"x"))
    assert desk.asked == ["join", "leave"]
    assert [message.payload async for message in messages] == [b"x"]


async def test_it_can_be_entered_once() -> None:
    messages = subscription(Desk(0))
    async with messages:
        with pytest.raises(ValueError, match=r"Subscription\('a', waiting=0, dropped=0\) is in use already"):
            await messages.__aenter__()


async def test_a_refusal_is_raised_and_what_was_granted_is_left() -> None:
    desk = Desk(1, 0x87)
    messages = subscription(desk, "a", "secret/#")
    with pytest.raises(
        Refused, match=r"the broker refuses the subscription to 'secret/#': 0x87 not authorized"
    ) as info:
        await messages.__aenter__()
    assert info.value.reason_code == 0x87
    assert desk.asked == ["join", "leave"]
    assert messages.reason_codes == [1, 0x87]


async def test_partly_granted_is_enough_where_that_was_asked_for() -> None:
    async with subscription(Desk(1, 0x87), "a", "b", partly=True) as messages:
        assert messages.reason_codes == [1, 0x87]
    with pytest.raises(Refused, match="'a': 0x8F"):
        await subscription(Desk(0x8F, 0x87), "a", "b", partly=True).__aenter__()


async def test_whoever_cannot_join_leaves() -> None:
    desk = Desk(0)
    desk.obstacle = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        await subscription(desk).__aenter__()
    assert desk.asked == ["join", "leave"]


# A full queue


async def test_drop_newest_keeps_what_is_there() -> None:
    async with subscription(Desk(0), limit=2, when_full="drop_newest") as messages:
        fill(messages, 5)
        assert rest_of(messages) == [b"0", b"1"]
        assert messages.dropped == 3


async def test_drop_oldest_makes_room() -> None:
    async with subscription(Desk(0), limit=2, when_full="drop_oldest") as messages:
        fill(messages, 5)
        assert rest_of(messages) == [b"3", b"4"]
        assert messages.dropped == 3


async def test_where_it_is_to_wait_some_at_qos_0_are_taken_in_all_the_same() -> None:
    async with subscription(Desk(0), limit=2) as messages:
        fill(messages, 10, most=4)
        assert rest_of(messages) == [b"0", b"1", b"2", b"3"]
        assert messages.dropped == 6


async def test_what_is_held_is_never_dropped_where_it_is_to_wait() -> None:
    async with subscription(Desk(1), limit=1) as messages:
        acknowledged = Acknowledgements()
        messages.put(Publish("a", b"0"))
        for packet_id in range(1, 10):
            messages.put_full(held(packet_id, acknowledged), 1)
        assert (messages.waiting, messages.dropped, acknowledged) == (10, 0, [])
        assert (await messages.next()).payload == b"0"
        await messages.next()
        assert acknowledged == [1]
        messages.take()
        assert acknowledged == [*range(1, 10)]


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
async def test_what_is_dropped_is_acknowledged(when_full: WhenFull) -> None:
    async with subscription(Desk(1), limit=1, when_full=when_full) as messages:
        acknowledged = Acknowledgements()
        messages.put(held(1, acknowledged))
        messages.put_full(held(2, acknowledged), 1)
        assert acknowledged == ([1] if when_full == "drop_oldest" else [2])


async def test_the_first_drop_is_logged_and_the_rest_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "telex.client"):
        async with subscription(Desk(0), limit=1, when_full="drop_newest") as messages:
            fill(messages, 4)
    assert len(caplog.messages) == 1
    assert "topic 'a': the queue of 1 messages is full, the first is dropped (drop_newest)" in caplog.text


@pytest.mark.parametrize(("limit", "room"), [(1, 0), (2, 1), (10, 5)])
async def test_the_desk_learns_that_there_is_room_when_half_is_taken(limit: int, room: int) -> None:
    desk = Desk(0)
    async with subscription(desk, limit=limit) as messages:
        fill(messages, limit)
        while "emptied" not in desk.asked:
            await messages.next()
        assert messages.waiting == room


async def test_the_desk_learns_of_it_when_all_is_taken_at_once() -> None:
    desk = Desk(0)
    async with subscription(desk, limit=3) as messages:
        fill(messages, 9, most=9)
        messages.take()
        assert desk.asked.count("emptied") == 1


# Acknowledgement by hand


async def test_what_is_acknowledged_by_hand_waits_for_that() -> None:
    async with subscription(Desk(1), manual_ack=True) as messages:
        acknowledged = Acknowledgements()
        messages.put(held(7, acknowledged))
        message = await messages.next()
        assert acknowledged == []
        message.ack()
        message.ack()
        assert acknowledged == [7]


async def test_a_message_of_qos_0_needs_none_and_ack_does_nothing() -> None:
    async with subscription(Desk(1), manual_ack=True) as messages:
        messages.put(Publish("a", b"x"))
        (await messages.next()).ack()


async def test_two_who_hold_a_message_both_let_go_before_it_is_acknowledged() -> None:
    async with subscription(Desk(1), manual_ack=True) as one, subscription(Desk(1), manual_ack=True) as other:
        acknowledged = Acknowledgements()
        item = held(7, acknowledged, holders=2)
        one.put(item)
        other.put(item)
        (await one.next()).ack()
        assert acknowledged == []
        (await other.next()).ack()
        assert acknowledged == [7]


async def test_who_leaves_holds_nothing_any_more() -> None:
    # Acknowledgements leave in order: one that never comes would keep back those of all other subscriptions.
    acknowledged = Acknowledgements()
    async with subscription(Desk(1), limit=1) as messages:
        messages.put(Publish("a", b"0", 1, packet_id=1))
        messages.put_full(held(2, acknowledged), 1)
        assert acknowledged == []
    assert acknowledged == [2]
    assert rest_of(messages) == [b"0", b"2"]
    assert (acknowledged, acknowledged.given_up) == ([2], [])


async def test_what_was_to_be_acknowledged_by_hand_is_given_up_then() -> None:  # the broker sends it again some time
    acknowledged = Acknowledgements()
    async with subscription(Desk(1), manual_ack=True) as messages:
        messages.put(held(1, acknowledged))
        messages.put(held(2, acknowledged))
        first = await messages.next()
    assert (acknowledged, acknowledged.given_up) == ([], [2])
    first.ack()  # that one is its holder's
    (await messages.next()).ack()
    assert acknowledged == [1]


def fill(messages: Subscription, number: int, most: int = 0) -> None:
    """Messages of QoS 0 come, as a desk hands them out."""
    for index in range(number):
        packet = Publish("a", b"%d" % index)
        if messages.is_full:
            messages.put_full(packet, most)
        else:
            messages.put(packet)


def test_it_says_what_it_is() -> None:
    messages = subscription(Desk(0), "a", "b/#")
    messages.put(Publish("a"))
    assert repr(messages) == "Subscription('a', 'b/#', waiting=1, dropped=0)"
    assert isinstance(messages.take()[0], Message)
