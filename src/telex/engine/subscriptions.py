"""All subscriptions of a broker, and which of them a topic name matches (section 4.7).

A filter without wildcards is found by one look-up, the others by walking a tree
of levels: only as far as the name goes on, so that other filters cost nothing.
What a topic matches is remembered: see ``routes.py``.
"""

from typing import Any, Final

from telex import topics
from telex.engine.routes import Route, Routes, Subscribers
from telex.engine.samples import Sampled
from telex.engine.session import Session, Subscription, merged
from telex.engine.shared import SharedGroup

_NOTHING: Final[dict[str, Any]] = {}  # for all levels that have none below; stays empty


class _Level:
    """One level of filters with wildcards: the levels below, and who subscribed with the filter that ends here."""

    def __init__(self) -> None:
        self.children: dict[str, _Level] = _NOTHING
        self.subscribers: Subscribers | None = None


class Subscriptions:
    """The subscriptions of all sessions."""

    def __init__(self) -> None:
        self._exact: dict[str, Subscribers] = {}  # filters without wildcards
        self._root = _Level()  # filters with wildcards
        self._wildcards = 0  # filters in that tree
        self._routes = Routes()
        self.count = 0
        self.shared_count = 0

    def add(self, subscription: Subscription) -> None:
        """Add a subscription, or replace its session's with the same filter [MQTT-3.8.4-3]."""
        group_name, topic_filter = topics.split_shared(subscription.topic_filter)
        subscribers = self._make(topic_filter)
        self._forget_routes(subscribers)
        if subscribers.add(subscription, group_name):
            self.count += 1
            if group_name:
                self.shared_count += 1

    def remove(self, subscription: Subscription) -> None:
        """Remove a subscription that was added."""
        group_name, topic_filter = topics.split_shared(subscription.topic_filter)
        subscribers = self._find(topic_filter)
        assert subscribers is not None  # it was added
        self._forget_routes(subscribers)
        subscribers.remove(subscription.session, group_name)
        self.count -= 1
        if group_name:
            self.shared_count -= 1
        if subscribers.is_empty:
            self._prune(topic_filter)

    def group_of(self, shared: str) -> SharedGroup | None:
        """The group of a Shared Subscription, given with its ``$share`` and name, while it has members."""
        group_name, topic_filter = topics.split_shared(shared)
        subscribers = self._find(topic_filter)
        return None if subscribers is None else subscribers.groups.get(group_name)

    def came_back(self, session: Session) -> None:
        """The client of a session with subscriptions is connected again."""
        for subscription in session.subscriptions.values():
            if subscription.is_shared:
                group = self.group_of(subscription.topic_filter)
                assert group is not None  # it has this member
                group.came_back(session)

    def change_permissions(self, session: Session) -> None:
        """What a session may receive has changed."""
        for subscription in session.subscriptions.values():
            if not subscription.is_shared:  # a group asks with each message
                subscribers = self._find(subscription.topic_filter)
                assert subscribers is not None  # it was added
                self._forget_routes(subscribers)

    def route(self, topic: str) -> Route:
        """Who gets the messages of a topic: those whose filters match it, and nobody else [MQTT-3.3.2-3]."""
        routes = self._routes
        route = routes.known.get(topic)
        if route is not None:
            if route.checked == routes.newest or routes.still_holds(route):
                route.is_used = True
                return route
            routes.forget(route)
        found = self._matching(topic)
        route = _route(topic, found)
        routes.remember(route, found)
        return route

    def own_part(self, topic: str, session: Session) -> Subscription | None:
        """What a session gets of its own messages: its subscriptions without No Local [MQTT-3.8.3-3]."""
        own = [
            subscribers.sessions[session]
            for subscribers in self._matching(topic)
            if session in subscribers.sessions
            and not subscribers.sessions[session].no_local
            and not subscribers.sessions[session].is_sampled
        ]
        return merged(own).limited(topic) if own else None

    def _matching(self, topic: str) -> list[Subscribers]:
        found: list[Subscribers] = []
        exact = self._exact.get(topic)
        if exact is not None:
            found.append(exact)
        if self._wildcards == 0:
            return found
        levels = topic.split("/")
        at = [self._root]  # the levels of filters that the name has reached
        for index, name in enumerate(levels):
            below: list[_Level] = []
            wild = index > 0 or not topic.startswith("$")  # [MQTT-4.7.2-1]
            for level in at:
                if wild:
                    _add(level.children.get("#"), found)
                    plus = level.children.get("+")
                    if plus is not None:
                        below.append(plus)
                child = level.children.get(name)
                if child is not None:
                    below.append(child)
            if not below:
                return found
            at = below
        for level in at:
            _add(level, found)
            _add(level.children.get("#"), found)  # a/# matches a
        return found

    def _make(self, topic_filter: str) -> Subscribers:
        if not topics.has_wildcard(topic_filter):
            subscribers = self._exact.get(topic_filter)
            if subscribers is None:
                subscribers = Subscribers()
                self._exact[topic_filter] = subscribers
                self._routes.is_news(topic_filter)
            return subscribers
        level = self._root
        for name in topic_filter.split("/"):
            child = level.children.get(name)
            if child is None:
                child = _Level()
                if not level.children:
                    level.children = {}
                level.children[name] = child
            level = child
        if level.subscribers is None:
            level.subscribers = Subscribers()
            self._wildcards += 1
            self._routes.is_news(topic_filter)
        return level.subscribers

    def _find(self, topic_filter: str) -> Subscribers | None:
        if not topics.has_wildcard(topic_filter):
            return self._exact.get(topic_filter)
        level = self._root
        for name in topic_filter.split("/"):
            child = level.children.get(name)
            if child is None:
                return None
            level = child
        return level.subscribers

    def _prune(self, topic_filter: str) -> None:
        """Take away a filter that nobody has any more, and the levels that only it needed."""
        if not topics.has_wildcard(topic_filter):
            del self._exact[topic_filter]
            return
        path = [self._root]
        names = topic_filter.split("/")
        for name in names:
            path.append(path[-1].children[name])
        path[-1].subscribers = None
        self._wildcards -= 1
        for index in range(len(names) - 1, -1, -1):
            level = path[index + 1]
            if level.children or level.subscribers is not None:
                return
            del path[index].children[names[index]]

    def _forget_routes(self, subscribers: Subscribers) -> None:
        self._routes.forget_those_of(subscribers)


def _route(topic: str, found: list[Subscribers]) -> Route:
    """The route to those that were found to match a topic."""
    groups = [group for subscribers in found for group in subscribers.groups.values()]
    if len(found) == 1:
        alike = found[0].alike()
        if alike is not None:
            return Route(topic, alike, groups, [], is_alone=True)
    by_session: dict[Session, list[Subscription]] = {}
    sampled: dict[Session, list[Subscription]] = {}
    no_local = False
    for subscribers in found:
        for session, subscription in subscribers.sessions.items():
            no_local = no_local or subscription.no_local
            others = sampled if subscription.is_sampled else by_session
            overlapping = others.get(session)
            if overlapping is None:
                others[session] = [subscription]
            else:
                overlapping.append(subscription)
    samples = [_sampled(each) for each in _for_each(sampled, topic)]
    own = len(samples) + len([each for each in by_session.values() if len(each) > 1])
    return Route(topic, _for_each(by_session, topic), groups, samples, no_local=no_local, own=own)


def _for_each(by_session: dict[Session, list[Subscription]], topic: str) -> list[Subscription]:
    """One subscription for each session that may receive a topic."""
    subscriptions: list[Subscription] = []
    for found in by_session.values():
        limited = merged(found).limited(topic)
        if limited is not None:
            subscriptions.append(limited)
    return subscriptions


def _sampled(subscription: Subscription) -> Sampled:
    samples = subscription.session.samples
    assert samples is not None  # a sampled subscription brings them, and ends with its connection as they do
    return Sampled(samples, subscription.extra, keeps_retain=subscription.retain_as_published)


def _add(level: _Level | None, found: list[Subscribers]) -> None:
    if level is not None and level.subscribers is not None:
        found.append(level.subscribers)
