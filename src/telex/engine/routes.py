"""Routes: who gets the messages of one topic, remembered for the topics that are used.

A route that somebody joins or leaves is forgotten at once. That a new filter
concerns it is seen when it is used next: so a new subscription costs nothing for
all that is remembered of other topics, and they stay remembered.

Knows how many routes are kept, and which of them still hold. Who gets what is
found out in ``subscriptions.py``.
"""

from typing import Any, Final

from telex import topics
from telex.engine.permissions import LONGEST_REMEMBERED
from telex.engine.samples import Sampled
from telex.engine.session import Session, Subscription
from telex.engine.shared import SharedGroup

_MAX_ROUTES: Final = 10_000
_MAX_BYTES: Final = 32 * 1024 * 1024  # that they take together, about, as their ``size`` says

# What things take, in bytes, with CPython on 64 bits: about, and together with what the allocator adds.
_ROUTE_BYTES: Final = 800  # with its places in tables
_PLACE_BYTES: Final = 8  # in a list of receivers
_OWN_BYTES: Final = 300  # a receiver that was made for this route

_FEWEST_NEWS: Final = (
    16  # new filters that are looked through, at least: more than that and a short route is found anew
)
_MOST_NEWS: Final = 1_000  # and at most

_NOTHING: Final[dict[Any, Any]] = {}  # for all that have no groups, and no routes; stays empty


class Route:
    """Who gets the messages of one topic.

    Args:
        topic: its name.
        subscriptions: one for each session.
        groups: of Shared Subscriptions.
        sampled: what there is for sampled subscriptions, one for each session.
        no_local: one of the subscriptions, or of those they were merged from, is No Local.
        own: how many of the receivers were made for this route; all others are there anyway.
        is_alone: ``subscriptions`` is the list of the only filter that matches, and no copy.
    """

    def __init__(
        self,
        topic: str,
        subscriptions: list[Subscription],
        groups: list[SharedGroup],
        sampled: list[Sampled],
        *,
        no_local: bool = False,
        own: int = 0,
        is_alone: bool = False,
    ) -> None:
        self.topic = topic
        self.subscriptions = subscriptions
        self.groups = groups
        self.sampled = sampled
        self.no_local = no_local
        self.is_control = topic.startswith("$CONTROL/")  # what is published there is for the broker itself
        self.is_plain = not (groups or no_local)  # all of ``subscriptions`` just get it, and there is nobody else
        self.is_heard = bool(subscriptions or groups or sampled)
        places = len(groups) if is_alone else len(subscriptions) + len(groups)
        self.size = _ROUTE_BYTES + places * _PLACE_BYTES + own * _OWN_BYTES  # in bytes, beside what others have too
        self.sources: list[Subscribers] = []  # the filters that match
        self.checked = 0  # so many new filters, of all that ever came, have been looked at
        self.is_used = False  # again, since it was remembered or spared
        self.place = -1  # among those that are remembered


class Subscribers:
    """Who subscribed with one filter, and the routes that are remembered and know of them."""

    def __init__(self) -> None:
        self.sessions: dict[Session, Subscription] = {}
        self.groups: dict[str, SharedGroup] = _NOTHING
        self.routes: dict[Route, None] = _NOTHING
        self._alike: list[Subscription] | None = None  # what ``alike`` said last; None: it may have changed

    @property
    def is_empty(self) -> bool:
        """Whether there is nobody."""
        return not (self.sessions or self.groups)

    def add(self, subscription: Subscription, group_name: str) -> bool:
        """Add a subscription, to a group if one is named, or replace its session's: whether the session is new here."""
        session = subscription.session
        if not group_name:
            is_new = session not in self.sessions
            self.sessions[session] = subscription
            return is_new
        group = self.groups.get(group_name)
        if group is None:
            group = SharedGroup()
            if not self.groups:
                self.groups = {}
            self.groups[group_name] = group
        return group.add(subscription)

    def remove(self, session: Session, group_name: str) -> None:
        """Remove a session's subscription."""
        if not group_name:
            del self.sessions[session]
            return
        group = self.groups[group_name]
        group.remove(session)
        if not group.members:
            del self.groups[group_name]

    def alike(self) -> list[Subscription] | None:
        """All subscriptions of sessions, in one list for all topics; None: one of them is a matter of the topic."""
        if self._alike is None:
            alike = list(self.sessions.values())
            for each in alike:
                if each.no_local or each.is_sampled or each.session.permissions.limits_receiving:
                    return None
            self._alike = alike
        return self._alike

    def changed(self) -> None:
        """What ``alike`` says may be another list now."""
        self._alike = None


class Routes:
    """The routes that are remembered.

    When there are too many, those are spared that were used again since the last
    time: topics that come once do not take the place of those that come all the time.
    """

    def __init__(self) -> None:
        self.known: dict[str, Route] = {}  # by topic
        self.size = 0  # of all of them, in bytes
        self.newest = 0  # how many filters with wildcards ever were new
        self._news: list[tuple[str, str]] = []  # the last of them: how the topics begin that they match, and themselves
        self._all: list[Route] = []  # in no order
        self._hand = 0  # which of these is looked at next when one must go

    def is_news(self, topic_filter: str) -> None:
        """There are subscribers with a filter that nobody had before."""
        if not topics.has_wildcard(topic_filter):
            route = self.known.get(topic_filter)
            if route is not None:
                self.forget(route)
            return
        self.newest += 1
        self._news.append((_beginning(topic_filter), topic_filter))
        if len(self._news) > 2 * _MOST_NEWS:
            del self._news[:_MOST_NEWS]

    def still_holds(self, route: Route) -> bool:
        """Whether no filter that is newer than the route matches its topic.

        If it would take longer to see that than to find out all of it again, we say no.
        """
        topic = route.topic
        count = self.newest - route.checked
        if count > min(_FEWEST_NEWS + len(route.subscriptions) // 4, _MOST_NEWS):
            return False
        for beginning, topic_filter in self._news[len(self._news) - count :]:
            if topic.startswith(beginning) and topics.matches(topic_filter, topic):
                return False
        route.checked = self.newest
        return True

    def remember(self, route: Route, sources: list[Subscribers]) -> None:
        """Keep a new route, that these filters lead to, if its topic is not too long, nor its list."""
        if len(route.topic) > LONGEST_REMEMBERED or route.size > _MAX_BYTES // 2:
            return
        while len(self._all) >= _MAX_ROUTES or self.size + route.size > _MAX_BYTES:
            self._forget_one()
        self.known[route.topic] = route
        self.size += route.size
        route.checked = self.newest
        route.place = len(self._all)
        self._all.append(route)
        route.sources = sources
        for each in sources:
            if not each.routes:
                each.routes = {}
            each.routes[route] = None

    def forget_those_of(self, subscribers: Subscribers) -> None:
        """Forget the routes that know of these subscribers: they change."""
        # What is forgotten was remembered before: all of that costs no more than it took to remember it.
        for route in list(subscribers.routes):
            self.forget(route)
        subscribers.changed()

    def forget(self, route: Route) -> None:
        """Forget a route. Who still uses it goes on with it as it is."""
        del self.known[route.topic]
        self.size -= route.size
        last = self._all.pop()
        if last is not route:
            self._all[route.place] = last
            last.place = route.place
        for each in route.sources:
            del each.routes[route]
        route.sources = []

    def _forget_one(self) -> None:
        while True:
            if self._hand >= len(self._all):
                self._hand = 0
            route = self._all[self._hand]
            self._hand += 1  # also when the last one gets this place: that is the newest
            if not route.is_used:
                self.forget(route)
                return
            route.is_used = False  # it was spared for its use, and for one use but once


def _beginning(topic_filter: str) -> str:
    """How all topics begin that a filter with wildcards matches."""
    plus, hash_sign = topic_filter.find("+"), topic_filter.find("#")
    if plus >= 0:
        return topic_filter[:plus]
    return topic_filter[: max(hash_sign - 1, 0)]  # a/# matches a
