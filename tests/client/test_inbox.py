"""Who gets a message, and what the broker is asked for. The server is played by the test; there is no stream."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex import topics
from telex.client.aio import Client
from telex.client.connection import ClientConnection, Publication
from telex.client.inbox import NO_LIMIT, Inbox, overlap
from telex.client.message import Message
from telex.client.payloads import STANDARD
from telex.client.reconnect import Reconnect
from telex.client.subscription import Subscription, WhenFull
from telex.errors import NotConnected, Refused
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Packet,
    PubAck,
    Publish,
    PubRec,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
)
from telex.wire.properties import Properties
from tests.client.table import SECONDS, rest_of, turns
from tests.processes import Server

NO_IDENTIFIERS = Properties(subscription_identifier_available=0)


class Office:
    """An inbox on a client's end, and the server's hand."""

    def __init__(self, *, version: int = 5, receive_maximum: int = 1000) -> None:
        properties = Properties(receive_maximum=receive_maximum, session_expiry_interval=60)
        connect = Connect("c", version=version, clean_start=False, properties=properties if version == 5 else None)
        self.connection = ClientConnection(connect, acknowledges_at_once=False)
        self.inbox = Inbox(self.connection, soon=lambda: None, resume=self.resume)
        self.resumed = 0
        self._was_open = False
        self._receive_maximum = receive_maximum

    def resume(self) -> None:
        self.resumed += 1

    def open(self, *, session_present: bool = False, limits: Properties | None = None) -> list[Packet]:
        """A connection comes; what leaves at once."""
        self.connection.opened(0.0)
        self.connection.take(0.0)
        self.gets(ConnAck(session_present=session_present, properties=limits))
        return self.sent()

    def lose(self) -> None:
        self.connection.lost()
        self.inbox.lost()

    def reopen(self, *, session_present: bool) -> list[Packet]:
        self.lose()
        return self.open(session_present=session_present)

    def sent(self) -> list[Packet]:
        """What the client has sent since the last time."""
        decoder = Decoder(version=self.connection.version)
        decoder.receive(self.connection.take(0.0))
        return list(iter(decoder.next_packet, None))

    def gets(self, *packets: Packet) -> None:
        """What a server sends."""
        self.connection.receive(b"".join(encode(packet, self.connection.version) for packet in packets))
        for event in self.connection.take_events():
            assert not isinstance(event, Publication)
            if isinstance(event, Publish):
                self.inbox.deliver(event, NO_LIMIT)
            elif isinstance(event, SubAck):
                self.inbox.subscribed(event)
            elif isinstance(event, UnsubAck):
                self.inbox.unsubscribed(event)
            elif isinstance(event, ConnAck):
                self.inbox.connected(
                    session_present=event.session_present,
                    first_time=not self._was_open,
                    receive_maximum=self._receive_maximum,
                )
                self._was_open = True

    def obliges(self, *, reason_code: int | None = None) -> list[Packet]:
        """Answer all that was sent as good servers do; what that was."""
        packets = self.sent()
        for packet in packets:
            if isinstance(packet, Subscribe):
                codes = [each.qos if reason_code is None else reason_code for each in packet.requests]
                self.gets(SubAck(packet.packet_id, codes))
            elif isinstance(packet, Unsubscribe):
                codes = [0] * len(packet.topic_filters)
                self.gets(UnsubAck(packet.packet_id, codes if self.connection.version == 5 else None))
        return packets

    def subscription(
        self,
        *filters: str,
        qos: int = 0,
        limit: int = 1000,
        when_full: WhenFull = "wait",
        manual_ack: bool = False,
        everything: bool = False,
        partly: bool = False,
        keep: bool = False,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        properties: Properties | None = None,
    ) -> Subscription:
        requests = [
            SubscriptionRequest(
                each,
                qos,
                no_local=no_local,
                retain_as_published=retain_as_published,
                retain_handling=retain_handling,
            )
            for each in filters
        ]
        return Subscription(
            self.inbox,
            requests,
            limit=limit,
            when_full=when_full,
            manual_ack=manual_ack,
            everything=everything,
            partly=partly,
            keep=keep,
            properties=properties,
            codecs=STANDARD,
        )

    async def join(self, subscription: Subscription) -> asyncio.Task[Subscription]:
        """A task that enters it."""
        task = asyncio.create_task(subscription.__aenter__())
        await turns(3)
        return task

    async def joined(self, subscription: Subscription) -> Subscription:
        """It is entered, and the server grants all."""
        task = await self.join(subscription)
        self.obliges()
        async with asyncio.timeout(SECONDS):
            return await task

    async def leaves(self, subscription: Subscription) -> asyncio.Task[None]:
        """A task that leaves it."""
        task = asyncio.create_task(subscription.__aexit__(None, None, None))
        await turns(3)
        return task

    async def left(self, subscription: Subscription) -> list[Packet]:
        """It is left, and the server agrees; what it was asked."""
        task = await self.leaves(subscription)
        packets = self.obliges()
        async with asyncio.timeout(SECONDS):
            await task
        return packets


def said(packets: list[Packet]) -> list[object]:
    """What SUBSCRIBE and UNSUBSCRIBE ask for: filters, and the identifier of those that have one."""
    found: list[object] = []
    for packet in packets:
        if isinstance(packet, Subscribe):
            filters = [request.topic_filter for request in packet.requests]
            identifiers = () if packet.properties is None else packet.properties.subscription_identifiers
            found.append((*filters, *identifiers))
        elif isinstance(packet, Unsubscribe):
            found.append([*packet.topic_filters])
    return found


# Filters that overlap


@pytest.mark.parametrize(
    ("one", "other", "do"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a/b", "a/+", True),
        ("a/#", "a", True),  # "#" is the level above, too
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("+/b", "a/+", True),
        ("+/b", "a/c", False),
        ("#", "a/b/c", True),
        ("#", "$SYS/a", False),  # [MQTT-4.7.2-1]
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/+/a", True),
        ("#", "+/+", True),
        ("a/+/c/#", "a/b/c", True),
        ("a/+/c", "a/b/c/d", False),
    ],
)
def test_filters_overlap_if_there_is_a_topic_for_both(one: str, other: str, do: bool) -> None:
    assert overlap(one, other) is do
    assert overlap(other, one) is do


LEVELS = ["", "a", "b", "$x"]
TOPICS = ["/".join(levels) for number in (1, 2, 3, 4) for levels in itertools.product(LEVELS, repeat=number)]
FILTERS = st.tuples(
    st.lists(st.sampled_from([*LEVELS, "+"]), min_size=1, max_size=3), st.sampled_from([True, False])
).map(lambda drawn: "/".join([*drawn[0], "#"] if drawn[1] else drawn[0]))


@given(FILTERS.filter(bool), FILTERS.filter(bool))
def test_that_is_so_for_all_filters(one: str, other: str) -> None:
    # "a" and "b" stand for all other names: filters say no others.
    both = any(topics.matches(one, topic) and topics.matches(other, topic) for topic in TOPICS if topic)
    assert overlap(one, other) is both


# What the broker is asked for


async def test_filters_of_one_subscription_go_together() -> None:
    office = Office()
    office.open()
    await office.join(office.subscription("a", "b", qos=1))
    assert office.sent() == [Subscribe(1, [SubscriptionRequest("a", 1), SubscriptionRequest("b", 1)])]


async def test_no_more_than_a_hundred_go_together() -> None:
    office = Office()
    office.open()
    await office.join(office.subscription(*[f"t/{number}" for number in range(250)]))
    assert [len(packet.requests) for packet in office.sent() if isinstance(packet, Subscribe)] == [100, 100, 50]


async def test_a_subscription_is_there_when_the_broker_has_granted_it() -> None:
    office = Office()
    office.open()
    task = await office.join(office.subscription("a", "b", qos=2))
    assert not task.done()
    office.gets(SubAck(1, [2, 1]))
    messages = await task
    assert messages.reason_codes == [2, 1]


async def test_without_a_connection_it_waits_for_one() -> None:
    office = Office()
    task = await office.join(office.subscription("a"))
    assert said(office.open()) == [("a",)]
    office.gets(SubAck(1, [0]))
    await task


async def test_a_suback_that_is_lost_is_asked_for_again() -> None:
    office = Office()
    office.open()
    task = await office.join(office.subscription("a"))
    assert said(office.reopen(session_present=True)) == [("a",)]
    office.gets(SubAck(2, [0]))
    await task
    assert said(office.reopen(session_present=True)) == []


async def test_the_last_one_that_leaves_a_filter_unsubscribes() -> None:
    office = Office()
    office.open()
    one = await office.joined(office.subscription("a", "b"))
    other = await office.joined(office.subscription("a"))
    assert said(await office.left(one)) == [["b"]]
    office.gets(Publish("a", b"x"), Publish("b", b"y"))
    assert (rest_of(one), rest_of(other)) == ([], [b"x"])
    assert said(await office.left(other)) == [["a"]]


async def test_who_leaves_waits_for_the_brokers_answer() -> None:
    office = Office()
    office.open()
    messages = await office.joined(office.subscription("a"))
    task = await office.leaves(messages)
    assert office.inbox.awaits_answers
    assert not task.done()
    office.gets(UnsubAck(2, [0]))
    await task
    assert not office.inbox.awaits_answers


@pytest.mark.parametrize("session_present", [True, False])
async def test_an_unsuback_that_is_lost_is_asked_for_again_where_the_session_lives(session_present: bool) -> None:
    office = Office()
    office.open()
    task = await office.leaves(await office.joined(office.subscription("a")))
    office.lose()
    async with asyncio.timeout(SECONDS):
        await task  # who leaves does not wait for another connection
    assert said(office.open(session_present=session_present)) == ([["a"]] if session_present else [])
    office.obliges()
    assert said(office.reopen(session_present=True)) == [["a"]] * session_present
    office.gets(UnsubAck(3, [0]))


async def test_who_leaves_while_there_is_no_connection_is_unsubscribed_later() -> None:
    office = Office()
    office.open()
    messages = await office.joined(office.subscription("a"))
    office.lose()
    await (await office.leaves(messages))
    assert said(office.open(session_present=True)) == [["a"]]


async def test_a_filter_that_was_left_and_taken_again_meanwhile_is_there_afterwards() -> None:
    office = Office()
    office.open()
    one = await office.joined(office.subscription("a"))
    office.lose()
    await (await office.leaves(one))
    task = await office.join(office.subscription("a"))
    office.connection.opened(0.0)
    office.connection.take(0.0)
    office.gets(ConnAck(session_present=True))
    assert said(office.obliges())[-1] == ("a",)
    other = await task
    office.gets(Publish("a", b"x"))
    assert rest_of(other) == [b"x"]


async def test_two_who_leave_a_filter_one_after_the_other_both_get_away() -> None:
    office = Office()
    office.open()
    first = await office.leaves(await office.joined(office.subscription("a")))
    second = await office.join(office.subscription("a"))
    second.cancel()  # it leaves again before any answer came
    await turns()
    office.obliges()
    await turns()
    assert first.done()
    assert second.cancelled()
    assert not office.inbox.awaits_answers


async def test_more_filters_than_one_packet_may_hold_are_left_in_several() -> None:
    office = Office()
    filters = [f"some/rather/long/filter/number/{number}" for number in range(50)]
    office.open(limits=Properties(maximum_packet_size=200))
    messages = await office.joined(office.subscription(*filters))
    packets = await office.left(messages)
    assert sorted(name for packet in packets if isinstance(packet, Unsubscribe) for name in packet.topic_filters) == (
        sorted(filters)
    )


async def test_the_rest_is_granted_when_one_filter_cannot_be_asked_for() -> None:
    office = Office()
    office.open(limits=Properties(wildcard_subscription_available=0))
    good = await office.join(office.subscription("a"))
    bad = await office.join(office.subscription("b", "c/#"))
    office.obliges()
    await good
    with pytest.raises(ValueError, match=r"topic filter 'c/#': the server has no wildcards"):
        await bad
    assert office.inbox.subscriptions == [good.result()]


async def test_an_invalid_end_reaches_all_who_wait() -> None:
    office = Office()
    tasks = [await office.join(office.subscription("a", "b", "c")), await office.join(office.subscription("a", "d"))]
    office.inbox.closed(NotConnected("it is over"))
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert str(result) == "it is over"


async def test_user_properties_go_with_their_own_filters() -> None:
    office = Office()
    office.open()
    pairs = Properties(user_properties=(("why", "test"),))
    await office.join(office.subscription("a", "b", properties=pairs))
    assert office.sent() == [
        Subscribe(1, [SubscriptionRequest("a")], pairs),
        Subscribe(2, [SubscriptionRequest("b")], pairs),
    ]


# Several subscriptions with the same filter


async def test_each_of_several_subscriptions_gets_each_message_once() -> None:
    office = Office()
    office.open()
    members = [await office.joined(office.subscription("a/+", qos=1)) for _ in range(3)]
    office.gets(Publish("a/b", b"0"), Publish("a/b", b"1", 1, packet_id=7))
    assert [rest_of(member) for member in members] == [[b"0", b"1"]] * 3
    assert office.sent() == [PubAck(7)]


async def test_the_highest_qos_of_them_is_asked_for() -> None:
    office = Office()
    office.open()
    for qos, asked in ((1, 1), (2, 2), (0, 2)):
        task = await office.join(office.subscription("a", qos=qos))
        (packet,) = office.obliges()
        assert isinstance(packet, Subscribe)
        assert packet.requests == [SubscriptionRequest("a", asked)]
        await task


@pytest.mark.parametrize("option", ["no_local", "retain_as_published"])
async def test_options_that_a_filter_has_once_only_must_be_the_same(option: str) -> None:
    office = Office()
    office.open()
    first = await office.joined(office.subscription("a"))
    other = office.subscription("b", "a", **{option: True})  # type: ignore[arg-type]
    entering = await office.join(other)
    office.obliges()
    with pytest.raises(ValueError, match="topic filter 'a': another subscription of this client has it with other opt"):
        await entering
    office.gets(Publish("a", b"x"))
    assert office.inbox.subscriptions == [first]
    assert rest_of(first) == [b"x"]


# Retained messages


async def test_retained_messages_come_to_newcomers_only() -> None:
    office = Office()
    office.open()
    one = await office.joined(office.subscription("a"))
    office.gets(Publish("a", b"kept", retain=True))
    other = await office.joined(office.subscription("a"))
    office.gets(Publish("a", b"kept", retain=True), Publish("a", b"new"))
    assert rest_of(one) == [b"kept", b"new"]
    assert rest_of(other) == [b"kept", b"new"]


async def test_two_newcomers_at_once_get_them_once_each() -> None:
    office = Office()
    office.open()
    tasks = [await office.join(office.subscription("a")), await office.join(office.subscription("a"))]
    for packet in office.sent():  # the broker has them for each SUBSCRIBE, after its answer
        assert isinstance(packet, Subscribe)
        office.gets(SubAck(packet.packet_id, [0]), Publish("a", b"kept", retain=True))
    assert [rest_of(await task) for task in tasks] == [[b"kept"], [b"kept"]]


async def test_retained_messages_may_come_before_the_answer() -> None:  # section 3.8.4
    office = Office()
    office.open()
    task = await office.join(office.subscription("a"))
    office.gets(Publish("a", b"kept", retain=True), SubAck(1, [0]))
    assert rest_of(await task) == [b"kept"]


async def test_an_identifier_for_an_older_filter_brings_no_retained_messages() -> None:
    office = Office()
    office.open()
    await office.joined(office.subscription("a/#"))
    await office.join(office.subscription("a/b"))
    handling = {
        packet.requests[0].topic_filter: packet.requests[0].retain_handling
        for packet in office.sent()
        if isinstance(packet, Subscribe)
    }
    assert handling == {"a/#": 2, "a/b": 0}


async def test_after_a_lost_answer_retained_messages_come_to_the_newcomer_alone() -> None:
    office = Office()
    office.open()
    one = await office.joined(office.subscription("a"))
    task = await office.join(office.subscription("a"))
    office.reopen(session_present=True)
    office.gets(SubAck(3, [0]), Publish("a", b"kept", retain=True))
    assert rest_of(await task) == [b"kept"]
    assert rest_of(one) == []


@pytest.mark.parametrize("retain_handling", [0, 1, 2])
async def test_after_a_lost_session_retained_messages_come_as_they_were_asked_for(retain_handling: int) -> None:
    office = Office()
    office.open()
    messages = await office.joined(office.subscription("a", retain_handling=retain_handling))
    assert office.reopen(session_present=False) == [
        Subscribe(2, [SubscriptionRequest("a", retain_handling=retain_handling)])
    ]
    office.gets(SubAck(2, [0]))
    if retain_handling < 2:
        office.gets(Publish("a", b"kept", retain=True))
        assert rest_of(messages) == [b"kept"]


@pytest.mark.parametrize("order", [(0, 2), (2, 0)])
async def test_then_each_subscription_gets_what_it_asked_for(order: tuple[int, int]) -> None:
    office = Office()
    office.open()
    members = [await office.joined(office.subscription("a", retain_handling=each)) for each in order]
    (packet,) = office.reopen(session_present=False)
    assert isinstance(packet, Subscribe)
    assert packet.requests == [SubscriptionRequest("a", retain_handling=0)]
    office.gets(SubAck(packet.packet_id, [0]), Publish("a", b"kept", retain=True))
    wants, wants_none = members if order == (0, 2) else members[::-1]
    assert (rest_of(wants), rest_of(wants_none)) == ([b"kept"], [])


async def test_what_is_marked_as_it_was_published_comes_to_all_who_asked_for_that() -> None:
    office = Office()
    office.open()
    members = [await office.joined(office.subscription("a", retain_as_published=True)) for _ in range(2)]
    office.gets(Publish("a", b"live", retain=True))
    assert [rest_of(member) for member in members] == [[b"live"], [b"live"]]


# Filters that overlap: identifiers


async def two_that_overlap(office: Office) -> tuple[Subscription, Subscription]:
    one = await office.joined(office.subscription("a/#", qos=1))
    other = await office.joined(office.subscription("a/+", qos=1))
    return one, other


async def test_filters_that_overlap_get_identifiers_the_older_one_first() -> None:
    office = Office()
    office.open()
    await office.joined(office.subscription("a/#"))
    await office.joined(office.subscription("b"))
    await office.join(office.subscription("a/+"))
    assert said(office.sent()) == [("a/#", 1), ("a/+", 2)]


@pytest.mark.parametrize(("version", "limits"), [(4, None), (5, NO_IDENTIFIERS)])
async def test_not_where_the_broker_has_none(version: int, limits: Properties | None) -> None:
    office = Office(version=version)
    office.open(limits=limits)
    one = await office.joined(office.subscription("a/#"))
    task = await office.join(office.subscription("a/+"))
    assert said(office.obliges()) == [("a/+",)]
    office.gets(Publish("a/b", b"x"))  # one for both
    assert (rest_of(one), rest_of(await task)) == ([b"x"], [b"x"])


async def test_one_copy_that_names_both_reaches_both_once() -> None:
    office = Office()
    office.open()
    one, other = await two_that_overlap(office)
    office.gets(Publish("a/b", b"x", properties=Properties(subscription_identifiers=(1, 2))))
    assert (rest_of(one), rest_of(other)) == ([b"x"], [b"x"])


async def test_one_copy_for_each_reaches_its_own() -> None:
    office = Office()
    office.open()
    one, other = await two_that_overlap(office)
    for identifier in (2, 1):
        office.gets(Publish("a/b", b"%d" % identifier, properties=Properties(subscription_identifiers=(identifier,))))
    assert (rest_of(one), rest_of(other)) == ([b"1"], [b"2"])


@pytest.mark.parametrize("copies", [[(1,), (2,)], [(2,), (1,)], [(1, 2)], [(2, 1)]])
async def test_a_subscription_with_both_filters_gets_one_message(copies: list[tuple[int, ...]]) -> None:
    office = Office()
    office.open()
    messages = await office.joined(office.subscription("a/#", "a/b"))
    for identifiers in copies:
        office.gets(Publish("a/b", b"x", properties=Properties(subscription_identifiers=identifiers)))
    assert rest_of(messages) == [b"x"]


async def test_a_message_may_come_before_the_answer_to_its_subscription() -> None:  # section 3.8.4
    office = Office()
    office.open()
    one = await office.joined(office.subscription("a/#"))
    task = await office.join(office.subscription("a/b"))
    office.gets(Publish("a/b", b"x", properties=Properties(subscription_identifiers=(1, 2))))
    office.obliges()
    assert (rest_of(one), rest_of(await task)) == ([b"x"], [b"x"])


async def test_a_message_that_the_broker_had_queued_before_it_knew_the_identifiers_is_not_lost() -> None:
    office = Office()
    office.open()
    one, other = await two_that_overlap(office)
    office.gets(Publish("a/b", b"old", 1, packet_id=7))
    assert b"old" in rest_of(one)
    rest_of(other)
    assert office.sent() == [PubAck(7)]


async def test_identifiers_of_an_earlier_program_are_no_obstacle() -> None:
    office = Office()
    office.open()
    one, other = await two_that_overlap(office)
    office.gets(Publish("a/b", b"x", properties=Properties(subscription_identifiers=(4711,))))
    assert (rest_of(one), rest_of(other)) == ([b"x"], [b"x"])


async def test_identifiers_are_said_again_in_a_new_session() -> None:
    office = Office()
    office.open()
    await two_that_overlap(office)
    assert said(office.reopen(session_present=False)) == [("a/#", 1), ("a/+", 2)]


async def test_a_lost_answer_to_an_identifier_is_asked_for_again() -> None:
    office = Office()
    office.open()
    await office.joined(office.subscription("a/#"))
    task = await office.join(office.subscription("a/+"))
    office.gets(SubAck(3, [0]))  # of two answers the second only; the other one is lost
    await turns()
    assert ("a/#", 1) in said(office.reopen(session_present=True))
    office.gets(SubAck(4, [0]))
    await task


async def test_shared_subscriptions_are_apart_from_plain_ones() -> None:
    office = Office()
    office.open()
    plain = await office.joined(office.subscription("a/b"))
    shared = await office.joined(office.subscription("$share/group/a/+"))
    office.gets(Publish("a/b", b"x", properties=Properties(subscription_identifiers=(1,))))  # another one's turn
    assert (rest_of(plain), rest_of(shared)) == ([b"x"], [])
    office.gets(Publish("a/b", b"y", properties=Properties(subscription_identifiers=(2,))))
    assert (rest_of(plain), rest_of(shared)) == ([], [b"y"])


# Refusals


async def test_a_refusal_after_a_lost_session_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.open()
    messages = await office.joined(office.subscription("a"))
    office.reopen(session_present=False)
    office.gets(SubAck(2, [0x87]))
    assert "the broker refuses a subscription that it had granted before, to 'a': 0x87 not authorized" in caplog.text
    assert said(office.reopen(session_present=True)) == [("a",)]  # perhaps now
    office.gets(SubAck(3, [0]), Publish("a", b"x"))
    assert rest_of(messages) == [b"x"]


async def test_a_refused_newcomer_does_not_disturb_the_others() -> None:
    office = Office()
    office.open()
    one = await office.joined(office.subscription("a"))
    task = await office.join(office.subscription("b", "a"))
    (packet,) = office.sent()
    assert isinstance(packet, Subscribe)
    codes = [0x87 if each.topic_filter == "b" else 0 for each in packet.requests]
    office.gets(SubAck(packet.packet_id, codes))
    await turns()
    office.obliges()
    with pytest.raises(Refused):
        await task
    office.gets(Publish("a", b"x"))
    assert rest_of(one) == [b"x"]


async def test_too_few_answers_in_a_suback_let_nobody_wait_for_ever() -> None:
    office = Office()
    office.open()
    task = await office.join(office.subscription("a", "b"))
    office.gets(SubAck(1, [0]))
    office.inbox.closed(NotConnected("over"))
    with pytest.raises(NotConnected):
        async with asyncio.timeout(SECONDS):
            await task


# Sessions that were kept


async def test_messages_that_come_before_the_program_has_subscribed_wait_for_it() -> None:
    office = Office()
    office.open(session_present=True)
    office.gets(Publish("a", b"1", 1, packet_id=1), Publish("a", b"2", 2, packet_id=2))
    assert office.sent() == []
    messages = await office.joined(office.subscription("a", qos=2))
    assert rest_of(messages) == [b"1", b"2"]


async def test_they_are_acknowledged_then() -> None:
    office = Office()
    office.open(session_present=True)
    office.gets(Publish("a", b"1", 1, packet_id=1), Publish("b", b"2", 2, packet_id=2))
    await office.join(office.subscription("a", qos=2))
    assert [packet for packet in office.sent() if isinstance(packet, PubAck | PubRec)] == [PubAck(1)]
    await office.join(office.subscription("b", qos=2))
    assert [packet for packet in office.sent() if isinstance(packet, PubAck | PubRec)] == [PubRec(2)]


async def test_what_nobody_wants_never_stops_what_somebody_wants(caplog: pytest.LogCaptureFixture) -> None:
    office = Office(receive_maximum=20)
    office.open(session_present=True)
    messages = await office.joined(office.subscription("wanted", qos=1))
    office.gets(Publish("stray", b"", 1, packet_id=1))
    office.sent()
    in_flight = {1}
    number = 1
    while number < 200:  # the broker keeps our Receive Maximum
        assert len(in_flight) < 20, "nothing is acknowledged any more"
        number += 1
        in_flight.add(number)
        office.gets(Publish("wanted", b"%d" % number, 1, packet_id=number))
        in_flight -= {packet.packet_id for packet in office.sent() if isinstance(packet, PubAck)}
    assert len(rest_of(messages)) == 199
    assert office.inbox.unclaimed == 1
    assert "topic 'stray': nobody here has subscribed to it, though the broker sends it" in caplog.text


async def test_what_comes_after_the_last_one_has_left_is_acknowledged() -> None:
    office = Office()
    office.open()
    await office.joined(office.subscription("b", qos=1))
    task = await office.leaves(await office.joined(office.subscription("a", qos=1)))
    office.sent()
    office.gets(Publish("a", b"x", 1, packet_id=7), Publish("b", b"y", 1, packet_id=8))
    assert office.sent() == [PubAck(7), PubAck(8)]
    office.gets(UnsubAck(3, [0]))
    office.gets(Publish("a", b"the broker had it in its queue", 1, packet_id=7))
    assert office.sent() == [PubAck(7)]
    await task


async def test_what_came_in_a_session_that_is_gone_is_forgotten() -> None:
    office = Office()
    office.open(session_present=True)
    office.gets(Publish("a", b"1", 1, packet_id=1))
    office.reopen(session_present=False)
    messages = await office.joined(office.subscription("a", qos=1))
    assert rest_of(messages) == []


async def test_at_qos_0_what_nobody_wants_is_counted() -> None:
    office = Office()
    office.open(session_present=True)
    office.gets(Publish("a", b"1"), Publish("a", b"2"))
    assert office.inbox.unclaimed == 2


async def test_who_wants_everything_gets_what_nobody_subscribed_to() -> None:
    office = Office()
    office.open(session_present=True)
    office.gets(Publish("old", b"0", 1, packet_id=1))
    catch_all = await office.joined(office.subscription("a", everything=True))
    plain = await office.joined(office.subscription("b"))
    office.gets(
        Publish("old", b"1"),
        Publish("old", b"2", 1, packet_id=2),
        Publish("old", b"3", retain=True),
        Publish("old", b"4", properties=Properties(subscription_identifiers=(99,))),
        Publish("b", b"not this"),
    )
    assert rest_of(catch_all) == [b"0", b"1", b"2", b"3", b"4"]
    assert rest_of(plain) == [b"not this"]


async def test_filters_of_an_earlier_program_can_be_unsubscribed() -> None:
    office = Office()
    office.open(session_present=True)
    task = asyncio.create_task(office.inbox.unsubscribe(["old", "older/#"], None))
    await turns()
    assert office.sent() == [Unsubscribe(1, ["old", "older/#"])]
    assert office.inbox.awaits_answers
    office.gets(UnsubAck(1, [0, 0x11]))
    assert await task == [0, 0x11]


async def test_filters_of_a_subscription_cannot() -> None:
    office = Office()
    office.open()
    await office.joined(office.subscription("a"))
    with pytest.raises(ValueError, match="topic filter 'a': a subscription of this client has it; leave that"):
        await office.inbox.unsubscribe(["b", "a"], None)
    assert office.sent() == []


async def test_whoever_unsubscribes_learns_that_the_connection_was_lost() -> None:
    office = Office()
    office.open()
    task = asyncio.create_task(office.inbox.unsubscribe(["old"], None))
    await turns()
    office.lose()
    with pytest.raises(NotConnected, match="the connection was lost before the broker answered UNSUBSCRIBE"):
        await task


# Full queues


async def test_a_message_is_acknowledged_when_there_is_room_for_it() -> None:
    office = Office()
    office.open()
    messages = await office.joined(office.subscription("a", qos=1, limit=1))
    office.gets(Publish("a", b"1", 1, packet_id=1), Publish("a", b"2", 1, packet_id=2))
    assert office.sent() == [PubAck(1)]
    assert rest_of(messages) == [b"1", b"2"]
    assert office.sent() == [PubAck(2)]


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
async def test_where_messages_are_dropped_none_is_held(when_full: WhenFull) -> None:
    # Otherwise the queue would fill up with what is held, and the broker would send nothing newer.
    office = Office(receive_maximum=3)
    office.open()
    messages = await office.joined(office.subscription("a", qos=1, limit=3, when_full=when_full))
    for packet_id in range(1, 10):
        office.gets(Publish("a", b"%d" % packet_id, 1, packet_id=packet_id))
        assert office.sent() == [PubAck(packet_id)]
    assert rest_of(messages) == ([b"7", b"8", b"9"] if when_full == "drop_oldest" else [b"1", b"2", b"3"])
    assert messages.dropped == 6


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_broker_that_keeps_our_receive_maximum_is_never_sent_away(qos: int) -> None:
    office = Office(receive_maximum=4)
    office.open()
    messages = await office.joined(office.subscription("a", qos=qos, limit=1, manual_ack=True))
    office.gets(*[Publish("a", b"x", qos, packet_id=packet_id) for packet_id in range(1, 4)])
    office.sent()
    office.gets(Publish("a", b"x", qos, packet_id=4))  # the fourth, and we take four
    office.sent()
    messages.take()[0].ack()
    assert len(office.sent()) == 1
    assert office.connection.is_open


async def test_at_qos_0_reading_is_to_pause_until_there_is_room() -> None:
    office = Office()
    office.open()
    messages = await office.joined(office.subscription("a", limit=2))
    dropping = await office.joined(office.subscription("b", limit=1, when_full="drop_oldest"))
    office.gets(Publish("b"), Publish("a", b"1"))
    assert not office.inbox.wants_pause
    office.gets(Publish("a", b"2"))
    assert office.inbox.wants_pause
    await messages.next()
    assert office.resumed == 1
    assert dropping.is_full


async def test_it_goes_on_pausing_while_another_queue_is_full() -> None:
    office = Office()
    office.open()
    one = await office.joined(office.subscription("a", limit=2))
    other = await office.joined(office.subscription("a", limit=2))
    office.gets(Publish("a", b"1"), Publish("a", b"2"))
    one.take()
    assert (office.inbox.wants_pause, office.resumed) == (True, 0)
    other.take()
    assert (office.inbox.wants_pause, office.resumed) == (False, 1)


async def test_who_holds_a_message_by_hand_does_not_keep_it_from_others() -> None:
    office = Office()
    office.open()
    by_hand = await office.joined(office.subscription("a/#", qos=1, manual_ack=True))
    plain = await office.joined(office.subscription("a/#", qos=1))
    office.gets(Publish("a/b", b"x", 1, packet_id=1))
    assert rest_of(plain) == [b"x"]
    assert office.sent() == []
    (await by_hand.next()).ack()
    assert office.sent() == [PubAck(1)]


# Against brokers


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_each_subscription_gets_each_message_once_from_telex(broker: Server, version: str) -> None:
    await overlapping(broker.port, version)


async def test_each_subscription_gets_each_message_once_from_mosquitto(debian_mosquitto: Server) -> None:
    await overlapping(debian_mosquitto.port, "5")  # before MQTT 5, it sends copies that nothing tells apart


async def overlapping(port: int, version: str) -> None:
    options = {"version": version, "reconnect": Reconnect(first=0.01)}
    async with asyncio.timeout(SECONDS), Client(f"mqtt://127.0.0.1:{port}", **options) as client:  # type: ignore[arg-type]
        name = f"overlap/{version}"
        async with (
            client.subscribe(f"{name}/#", qos=1) as all_of_it,
            client.subscribe(f"{name}/+", f"{name}/b", qos=2) as two_filters,
            client.subscribe(f"{name}/b", qos=0) as same_filter,
        ):
            for qos in (0, 1, 2):
                await client.publish(f"{name}/b", qos, qos=qos)
                await client.publish(f"{name}/c", qos, qos=qos)
            await client.publish(f"{name}/end/now", b"end", qos=1)
            seen = await until_the_end(all_of_it)
            assert sorted(seen) == sorted(
                [f"{name}/b {qos}" for qos in (0, 1, 2)] + [f"{name}/c {qos}" for qos in (0, 1, 2)]
            )
            assert sorted(told(two_filters.take())) == sorted(seen)
            assert sorted(told(same_filter.take())) == [f"{name}/b {qos}" for qos in (0, 1, 2)]


async def until_the_end(messages: Subscription) -> list[str]:
    seen: list[Message] = []
    while (message := await messages.next(SECONDS)).payload != b"end":
        seen.append(message)
    return told(seen)


def told(messages: list[Message]) -> list[str]:
    return [f"{message.topic} {message.text}" for message in messages]
