"""What a client has subscribed to, and who gets a message that comes.

Knows filters, the subscriptions that want them, and the client's end of the
protocol. Knows no stream: that something is to leave, it says by ``soon``.

Each subscription gets each message once, however filters overlap and however many
copies a server sends: where they overlap, they are made with a Subscription
Identifier, and a message says by that for which of them it came (section 3.8.2.1.2).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from telex import topics
from telex.client.connection import ClientConnection
from telex.client.subscription import Held, Subscription
from telex.codes import MAX_PACKET_ID, MQTT_5, reason_text
from telex.errors import NotConnected
from telex.wire.packets import Publish, SubAck, SubscriptionRequest, UnsubAck
from telex.wire.properties import Properties

K = TypeVar("K")

_MOST_ROUTES: Final = 10_000
"""Topics whose subscriptions are remembered."""

_MOST_OWED: Final = 500
"""Messages above QoS 0 that may wait for their acknowledgement, when some of them wait for subscriptions still to
come; or half of the Receive Maximum that we say, if that is less. Acknowledgements go in order: they hold up others."""

NO_LIMIT: Final = 1 << 40

_MOST_AT_ONCE: Final = 100
"""Filters in one SUBSCRIBE."""

_RETAINED_NEVER: Final = 2  # Retain Handling (section 3.8.3.1)

_log: Final = logging.getLogger("telex.client")


class _Filter:
    """One topic filter, as the server knows it."""

    def __init__(self, request: SubscriptionRequest, properties: Properties | None) -> None:
        self.request = request
        self.properties = properties  # user properties of its SUBSCRIBE
        self.topic_filter = topics.split_shared(request.topic_filter)[1]
        self.is_shared = topics.is_shared(request.topic_filter)
        self.members: list[Subscription] = []
        self.is_granted = False  # the server has it
        self.is_kept = False  # and is to have it on, when nobody here wants it any more
        self.reason_code = 0x80  # of its last SUBACK
        self.reason = ""  # what that said in words
        self.identifier = 0  # 0: it overlaps with no other
        self.is_identified = False  # the server has it with its identifier
        self.answers: list[asyncio.Future[None]] = []  # of those who wait for its next SUBACK
        self.newcomers: list[Subscription] = []  # since it was asked for
        self.retained_for: list[Subscription] = []  # for whom retained messages come now

    def matches(self, topic: str) -> bool:
        return topics.matches(self.topic_filter, topic)

    def wants(self, member: Subscription) -> bool:
        """Whether a member asks for retained messages."""
        return self._handling(member) != _RETAINED_NEVER

    def retain_handling(self) -> int:
        """What SUBSCRIBE says now: what the most willing of the newcomers asks for."""
        return min([self._handling(member) for member in self.newcomers], default=_RETAINED_NEVER)

    def _handling(self, member: Subscription) -> int:
        for request in member.requests:
            if request.topic_filter == self.request.topic_filter:
                return request.retain_handling
        return _RETAINED_NEVER


class Inbox:
    """The desk of a client's subscriptions.

    Args:
        connection: the client's end.
        soon: says that something is to leave.
        resume: reads on, after ``wants_pause`` was true.
        first_identifier: of the Subscription Identifiers. A kept session may have some of an
            earlier program: a number that is not theirs keeps them apart.
    """

    def __init__(
        self,
        connection: ClientConnection,
        *,
        soon: Callable[[], None],
        resume: Callable[[], None],
        first_identifier: int = 1,
    ) -> None:
        self.unclaimed = 0  # messages so far that nobody wanted
        self._connection = connection
        self._soon = soon
        self._resume = resume
        self._next_identifier = first_identifier
        self._filters: dict[str, _Filter] = {}  # by what SUBSCRIBE says
        # By packet id: with which identifier, and for whom since the time before.
        self._asked: dict[int, list[tuple[_Filter, int, list[Subscription]]]] = {}
        self._leaving: dict[str, list[asyncio.Future[None]]] = {}  # filters whose UNSUBACK has not come, and who waits
        self._left: dict[int, list[str]] = {}  # by packet id
        self._codes: dict[
            int, asyncio.Future[list[int]]
        ] = {}  # by packet id of an UNSUBSCRIBE, who waits for its codes
        self._routes: dict[str, list[Subscription]] = {}
        self._identified_routes: dict[tuple[str, tuple[int, ...]], list[Subscription]] = {}
        self._kept: deque[Publish] = deque()  # above QoS 0, and nobody wants them yet
        self._most_owed = _MOST_OWED
        self._left_to_broker: set[str] = set()  # filters that were left, and are to stay with the session
        self._is_kept = False  # the session is one of an earlier program
        self._is_early = False  # and what it brings may be for subscriptions still to come
        self._given_back: set[str] = set()  # filters that somebody here had, and left

    # What subscriptions call

    async def join(self, subscription: Subscription) -> None:
        """Have the broker send what a subscription asks for.

        Raises:
            ValueError: another subscription has the same filter with other options, or
                the server does not offer what it asks for.
        """
        filters = [self._enter(request, subscription) for request in subscription.requests]
        self._forget_routes()
        self._claim(subscription)
        answers = []
        for each in filters:
            answer = asyncio.get_running_loop().create_future()
            each.answers.append(answer)
            answers.append(answer)
        self._ask([each for each in self._filters.values() if each.newcomers or self._wants_identifier(each)])
        try:
            for answer in answers:
                await answer
        finally:
            for answer in answers:
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()  # of two that fail, one is raised
        subscription.reason_codes = [each.reason_code for each in filters]
        subscription.reason = next((each.reason for each in filters if not each.is_granted), "")

    async def leave(self, subscription: Subscription, *, waits: bool = True) -> None:
        """Ask the broker for no more, of what no other subscription wants."""
        gone = []
        for request in subscription.requests:
            entry = self._filters.get(request.topic_filter)
            if entry is None or subscription not in entry.members:
                continue
            for members in (entry.members, entry.newcomers, entry.retained_for):
                if subscription in members:
                    members.remove(subscription)
            if not entry.members:
                del self._filters[request.topic_filter]
                if entry.is_kept:
                    self._left_to_broker.add(entry.topic_filter)
                    continue
                if entry.is_granted or self._is_asked(entry):
                    gone.append(request.topic_filter)
                self._given_back.add(entry.topic_filter)
        self._forget_routes()
        if not gone:
            return
        left = asyncio.get_running_loop().create_future()
        for topic_filter in gone:
            self._leaving.setdefault(topic_filter, []).append(left)
        if self._connection.is_open:
            self._unsubscribe(gone)
            if waits:
                await left

    async def unsubscribe(self, topic_filters: list[str], properties: Properties | None) -> list[int]:
        """Ask for no more of filters that no subscription here has; the reason codes.

        Raises:
            ValueError: an invalid filter, or one that a subscription has.
            NotConnected: the connection was lost before the answer.
        """
        for topic_filter in topic_filters:
            if topic_filter in self._filters:
                raise ValueError(
                    f"topic filter {topics.shown(topic_filter)}: a subscription of this client has it; leave that"
                )
        packet_id = self._connection.unsubscribe(topic_filters, properties)
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._codes[packet_id] = answer
        self._soon()
        return await answer

    def emptied(self) -> None:
        """A queue that was full has room again."""
        if not self.wants_pause:
            self._resume()

    # What the client calls

    def connected(
        self, *, session_present: bool, first_time: bool, receive_maximum: int | None, may_be_kept: bool = False
    ) -> None:
        """The server has let us in: ask again for what it does not have.

        Args:
            session_present: what CONNACK says.
            first_time: there was no other connection before.
            receive_maximum: what we have said.
            may_be_kept: the server may have the session all the same, and cannot say so (MQTT 3.1).
        """
        self._asked.clear()
        self._left.clear()
        if first_time:
            self._is_kept = self._is_early = session_present or may_be_kept
            self._most_owed = min(_MOST_OWED, max((receive_maximum or MAX_PACKET_ID) // 2, 1))
        if not session_present:
            self._leaving.clear()
            self._kept.clear()  # they were of the session that is gone, and are not acknowledged
            for each in self._filters.values():
                each.is_granted = False
                each.is_identified = False
                each.newcomers = list(each.members)
            self._forget_routes()
        self._unsubscribe([each for each in self._leaving if each not in self._filters])
        self._ask(
            [
                each
                for each in self._filters.values()
                if not each.is_granted or each.newcomers or self._wants_identifier(each)
            ]
        )

    def lost(self) -> None:
        """The connection is gone. Nobody waits for an UNSUBACK: when the next one is there, it is asked for again."""
        for answers in self._leaving.values():
            _answer(answers)
        for codes in self._codes.values():
            if not codes.done():
                codes.set_exception(NotConnected("the connection was lost before the broker answered UNSUBSCRIBE"))
        self._codes.clear()
        for each in self._filters.values():
            if not each.is_granted:
                each.newcomers = list(each.members)
        for asked in self._asked.values():
            for each, _, newcomers in asked:
                if each.is_granted:
                    each.newcomers = [member for member in newcomers if member in each.members] + each.newcomers
        self._asked.clear()

    def subscribed(self, packet: SubAck) -> None:
        """The answer to a SUBSCRIBE."""
        asked = self._asked.pop(packet.packet_id, [])
        reason = None if packet.properties is None else packet.properties.reason_string
        for (each, identifier, newcomers), reason_code in zip(asked, packet.reason_codes, strict=False):
            is_new = bool(each.answers)
            each.reason_code = reason_code
            each.reason = reason or ""
            each.is_granted = reason_code < 0x80
            each.is_identified = identifier > 0 and each.is_granted
            if newcomers:
                each.retained_for = [member for member in newcomers if member in each.members and each.wants(member)]
            _answer(each.answers)
            if not each.is_granted and not is_new and each.members:
                _log.error(
                    "the broker refuses a subscription that it had granted before, to %s: %s",
                    topics.shown(each.request.topic_filter),
                    reason_text(reason_code),
                )
        self._forget_routes()

    def unsubscribed(self, packet: UnsubAck) -> None:
        """The answer to an UNSUBSCRIBE."""
        codes = self._codes.pop(packet.packet_id, None)
        if codes is not None and not codes.done():
            codes.set_result(packet.reason_codes)
        for topic_filter in self._left.pop(packet.packet_id, []):
            answers = self._leaving.get(topic_filter, [])
            _answer(answers[:1])
            del answers[:1]
            if not answers:
                self._leaving.pop(topic_filter, None)

    def closed(self, error: Exception | None) -> None:
        """There will be no other connection: nobody waits any longer."""
        for each in self._filters.values():
            for answer in each.answers:
                if not answer.done():
                    answer.set_exception(error) if error is not None else answer.cancel()
            each.answers.clear()
        self.lost()

    @property
    def subscriptions(self) -> list[Subscription]:
        """All that are in use."""
        return list(dict.fromkeys(member for each in self._filters.values() for member in each.members))

    @property
    def awaits_answers(self) -> bool:
        """Whether a SUBACK or an UNSUBACK is to come."""
        return bool(self._asked or self._left or self._codes)

    @property
    def wants_pause(self) -> bool:
        """Whether somebody has more messages than it takes, and wants no more until it has room."""
        return any(
            member.when_full == "wait" and member.is_full for each in self._filters.values() for member in each.members
        )

    def deliver(self, packet: Publish, most: int) -> bool:
        """Give a message to whom it is for.

        Args:
            packet: the message.
            most: by how many times its limit a queue may be overfull, since we read on: NO_LIMIT at QoS 0 if we need
                not, and pause.

        Returns:
            Whether it met a full queue.
        """
        properties = packet.properties
        if packet.retain:
            members = self._retained_route(packet)
        elif properties is None or not properties.subscription_identifiers:
            found = self._routes.get(packet.topic)
            members = self._route(packet.topic) if found is None else found
        else:
            members = self._identified_route(packet.topic, properties.subscription_identifiers)
        if packet.qos > 0:
            return self._deliver_acknowledged(packet, members)
        if not members:
            self.unclaimed += 1
        met_full = False
        for member in members:
            if member.is_full:
                member.put_full(packet, member.limit * most)
                met_full = True
            else:
                member.put(packet)
        return met_full

    # Messages

    def _deliver_acknowledged(self, packet: Publish, members: list[Subscription]) -> bool:
        """A message that may wait for its acknowledgement, until there is room for it or somebody says so."""
        if not members:
            self._keep(packet)
        if self._kept and self._filters and self._connection.owed > self._most_owed:
            self._give_out_kept()
        if not members:
            return False
        holding = [each for each in members if each.manual_ack or (each.when_full == "wait" and each.is_full)]
        if not holding:
            self._connection.acknowledge(packet)
            for member in members:
                if member.is_full:
                    member.put_full(packet, member.limit)
                else:
                    member.put(packet)
            return False
        held = Held(packet, self._acknowledge, self._give_up)
        held.holders = len(holding)
        for member in members:
            item = held if member in holding else packet
            if member.is_full:
                member.put_full(item, member.limit)
            else:
                member.put(item)
        return False

    def _acknowledge(self, packet: Publish) -> None:
        self._connection.acknowledge(packet)
        self._soon()

    def _give_up(self, packet: Publish) -> None:
        self._connection.give_up(packet)
        self._soon()

    def _keep(self, packet: Publish) -> None:
        """Keep a message that nobody wants yet: a kept session brings some before the program has subscribed.

        But not what comes late, for a subscription that was left.
        """
        if any(topics.matches(each, packet.topic) for each in self._left_to_broker):
            self._connection.give_up(packet)
        elif self._is_early and not any(topics.matches(each, packet.topic) for each in self._given_back):
            self._kept.append(packet)
        else:
            self._refuse(packet)

    def _give_out_kept(self) -> None:
        """What is kept would stop all others: nobody wants it."""
        self._is_early = False
        kept, self._kept = self._kept, deque()
        for packet in kept:
            self._refuse(packet)

    def _refuse(self, packet: Publish) -> None:
        if self.unclaimed == 0 and self._is_kept:
            _log.warning(
                "topic %s: nobody here has subscribed to it, though the broker sends it: it is dropped",
                topics.shown(packet.topic),
            )
        self.unclaimed += 1
        self._connection.acknowledge(packet)

    def _claim(self, subscription: Subscription) -> None:
        """Give out what was kept for somebody like this."""
        if not self._kept:
            return
        kept, self._kept = self._kept, deque()
        for packet in kept:
            filters = [self._filters[request.topic_filter] for request in subscription.requests]
            is_wanted = subscription.everything or any(each.matches(packet.topic) for each in filters)
            self._deliver_acknowledged(packet, [subscription] if is_wanted else [])
        self._soon()

    # Routes

    def _forget_routes(self) -> None:
        self._routes = {}
        self._identified_routes = {}

    def _route(self, topic: str) -> list[Subscription]:
        """Who gets a message that comes without an identifier."""
        matching = [each for each in self._filters.values() if each.matches(topic)]
        # It was sent before the broker knew of identifiers if all have one.
        found = [each for each in matching if not each.is_identified] or matching
        return _remember(self._routes, topic, _members(found or self._omnivores))

    @property
    def _omnivores(self) -> list[_Filter]:
        """The filters of those who take what is for nobody else."""
        return [each for each in self._filters.values() if any(member.everything for member in each.members)]

    def _identified_route(self, topic: str, identifiers: tuple[int, ...]) -> list[Subscription]:
        """Who gets a message, or the copy of it, that came for these filters."""
        key = (topic, identifiers)
        known = self._identified_routes.get(key)
        if known is not None:
            return known
        filters = [each for each in self._filters.values() if each.matches(topic)] or self._omnivores
        named = [each for each in filters if each.identifier in identifiers]
        if not named:  # identifiers of an earlier program, in a session that was kept
            return _members(filters)
        # Who has several of the filters gets the copy for the first of them.
        members = [
            member
            for each in named
            for member in each.members
            if each.is_shared or self._first_of(member, filters, identifiers) is each
        ]
        return _remember(self._identified_routes, key, list(dict.fromkeys(members)))

    def _first_of(self, member: Subscription, filters: list[_Filter], identifiers: tuple[int, ...]) -> _Filter | None:
        for each in filters:
            is_known = each.is_identified or each.identifier in identifiers  # PUBLISH may come before SUBACK
            if member in each.members and is_known and not each.is_shared:
                return each
        return None

    def _retained_route(self, packet: Publish) -> list[Subscription]:
        """Who gets a message with RETAIN set: those who have just joined, or with Retain As Published, all."""
        filters = [each for each in self._filters.values() if each.matches(packet.topic)] or self._omnivores
        properties = packet.properties
        if properties is not None and properties.subscription_identifiers:
            named = [each for each in filters if each.identifier in properties.subscription_identifiers]
            filters = named or filters
        found: list[Subscription] = []
        for each in filters:
            is_told = each.is_granted and not each.request.retain_as_published
            found += each.retained_for if is_told else each.members
        return list(dict.fromkeys(found))

    # What the server is asked for

    def _enter(self, request: SubscriptionRequest, subscription: Subscription) -> _Filter:
        entry = self._filters.get(request.topic_filter)
        if entry is None:
            entry = _Filter(request, subscription.properties)
            overlapping = [each for each in self._filters.values() if overlap(each.topic_filter, entry.topic_filter)]
            for each in [*overlapping, entry] if overlapping else []:
                if each.identifier == 0:
                    each.identifier = self._next_identifier
                    self._next_identifier += 1
            self._filters[request.topic_filter] = entry
        known = entry.request
        if (known.no_local, known.retain_as_published) != (request.no_local, request.retain_as_published):
            raise ValueError(
                f"topic filter {topics.shown(request.topic_filter)}: another subscription of this client has it with "
                "other options; no_local and retain_as_published must be the same"
            )
        if request.qos > known.qos:
            entry.request = SubscriptionRequest(
                request.topic_filter,
                max(request.qos, known.qos),
                no_local=request.no_local,
                retain_as_published=request.retain_as_published,
                retain_handling=request.retain_handling,
            )
        self._left_to_broker.discard(entry.topic_filter)
        entry.is_kept = entry.is_kept or subscription.keep
        entry.members.append(subscription)
        entry.newcomers.append(subscription)
        return entry

    def _is_asked(self, entry: _Filter) -> bool:
        return any(entry is each for asked in self._asked.values() for each, _, _ in asked)

    def _wants_identifier(self, each: _Filter) -> bool:
        return each.identifier > 0 and not each.is_identified and each.is_granted and self._has_identifiers

    @property
    def _has_identifiers(self) -> bool:
        connection = self._connection
        return connection.version == MQTT_5 and connection.server.subscription_identifier_available != 0

    def _ask(self, filters: list[_Filter]) -> None:
        """Send SUBSCRIBE for these, if there is a connection; otherwise ``connected`` will."""
        if not self._connection.is_open:
            return
        plain: list[_Filter] = []
        for each in filters:
            identifier = each.identifier if self._has_identifiers else 0
            if identifier == 0 and each.properties is None:
                plain.append(each)
            else:
                self._send([each], identifier)
        for start in range(0, len(plain), _MOST_AT_ONCE):
            self._send(plain[start : start + _MOST_AT_ONCE], 0)
        self._soon()

    def _send(self, filters: list[_Filter], identifier: int) -> None:
        properties = filters[0].properties
        if identifier > 0:
            properties = Properties() if properties is None else properties.copy()
            properties.subscription_identifiers = (identifier,)
        requests = [_request(each) for each in filters]
        try:
            packet_id = self._connection.subscribe(requests, properties)
        except ValueError as error:
            if len(filters) > 1:  # one of them, or all together: whose fault it is shows when they go alone
                for each in filters:
                    self._send([each], identifier)
                return
            if not filters[0].answers:
                _log.error("the broker cannot be asked again for a subscription: %s", error)
            _answer(filters[0].answers, error)
            return
        self._asked[packet_id] = [(each, identifier, each.newcomers) for each in filters]
        for each in filters:
            each.newcomers = []

    def _unsubscribe(self, topic_filters: list[str]) -> None:
        for start in range(0, len(topic_filters), _MOST_AT_ONCE):
            self._send_unsubscribe(topic_filters[start : start + _MOST_AT_ONCE])
        self._soon()

    def _send_unsubscribe(self, topic_filters: list[str]) -> None:
        try:
            self._left[self._connection.unsubscribe(topic_filters)] = topic_filters
        except ValueError as error:  # too large for this server
            if len(topic_filters) > 1:
                for topic_filter in topic_filters:
                    self._send_unsubscribe([topic_filter])
                return
            _log.error("the broker cannot be asked to end a subscription: %s", error)
            _answer(self._leaving.pop(topic_filters[0], []))


def overlap(one: str, other: str) -> bool:
    """Whether there is a topic that both of two filters (not ``$share``) match."""
    if "$" in (one[0], other[0]) and ("+" in (one[0], other[0]) or "#" in (one[0], other[0])):  # [MQTT-4.7.2-1]
        return False
    levels, others = one.split("/"), other.split("/")
    for index in range(max(len(levels), len(others))):
        level = levels[index] if index < len(levels) else None
        another = others[index] if index < len(others) else None
        if level == "#" or another == "#":
            # What is before it matches, too; but there is no topic without a character [MQTT-4.7.3-1].
            return index != 1 or None not in (level, another) or "" not in (levels[0], others[0])
        if level is None or another is None:
            return False
        if level != another and "+" not in (level, another):
            return False
    return True


def _request(each: _Filter) -> SubscriptionRequest:
    """What SUBSCRIBE says; without retained messages if nobody has joined since they came."""
    request = each.request
    return SubscriptionRequest(
        request.topic_filter,
        request.qos,
        no_local=request.no_local,
        retain_as_published=request.retain_as_published,
        retain_handling=each.retain_handling(),
    )


def _members(filters: Iterable[_Filter]) -> list[Subscription]:
    return list(dict.fromkeys(member for each in filters for member in each.members))


def _remember(routes: dict[K, list[Subscription]], key: K, members: list[Subscription]) -> list[Subscription]:
    if len(routes) >= _MOST_ROUTES:
        routes.clear()
    routes[key] = members
    return members


def _answer(answers: list[asyncio.Future[None]], error: Exception | None = None) -> None:
    for answer in answers:
        if not answer.done():
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)
    answers.clear()
