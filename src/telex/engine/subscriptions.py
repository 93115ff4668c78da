"""All subscriptions of a broker, and which of them a topic name matches (section 4.7).

A filter without wildcards is found by one look-up, the others by walking a tree
of levels. What a topic matches is remembered until subscriptions change.
"""

from typing import Final

from telex import topics
from telex.engine.message import Message
from telex.engine.permissions import LONGEST_REMEMBERED
from telex.engine.samples import Sampled
from telex.engine.session import Session, Subscription, merged

_MAX_ROUTES: Final = 10_000  # topics whose receivers are remembered


class SharedGroup:
    """The members of one ``$share`` group on one filter: each message goes to one of them (section 4.8.2)."""

    def __init__(self) -> None:
        self.members: list[Subscription] = []
        self._turn = 0

    def choose(self, message: Message) -> Subscription | None:
        """The member whose turn it is, of those that may receive the message; one that is connected before others.

        None if the message would be lost on all of them: at QoS 0 nothing waits for
        a client that is away.
        """
        members = self.members
        count = len(members)
        absent: Subscription | None = None
        absent_index = 0
        for step in range(1, count + 1):
            index = (self._turn + step) % count
            member = members[index].limited(message.topic)
            if member is None:
                continue
            if member.session.outbox is not None:
                self._turn = index
                return member
            if absent is None and message.qos > 0 and member.qos > 0:
                absent = member
                absent_index = index
        if absent is not None:
            self._turn = absent_index
        return absent


class _Subscribers:
    """Who subscribed with one filter."""

    def __init__(self) -> None:
        self.sessions: dict[Session, Subscription] = {}
        self.groups: dict[str, SharedGroup] = {}


class _Level:
    """One level of filters with wildcards: the levels below, and who subscribed with the filter that ends here."""

    def __init__(self) -> None:
        self.children: dict[str, _Level] = {}
        self.subscribers: _Subscribers | None = None


class Route:
    """Who gets the messages of one topic."""

    def __init__(
        self,
        subscriptions: list[Subscription],
        groups: list[SharedGroup],
        sampled: list[Sampled],
        *,
        no_local: bool,
        is_control: bool,
    ) -> None:
        self.subscriptions = subscriptions  # one for each session
        self.groups = groups
        self.sampled = sampled  # likewise
        self.no_local = no_local  # one of them, or of those they were merged from, is No Local
        self.is_control = is_control  # what is published there is for the broker itself
        self.is_plain = not (groups or no_local)  # all of ``subscriptions`` just get it, and there is nobody else
        self.is_heard = bool(subscriptions or groups or sampled)


class Subscriptions:
    """The subscriptions of all sessions."""

    def __init__(self) -> None:
        self._exact: dict[str, _Subscribers] = {}  # filters without wildcards
        self._root = _Level()  # filters with wildcards
        self._wildcards = 0  # filters in that tree
        self._routes: dict[str, Route] = {}
        self.count = 0
        self.shared_count = 0

    def add(self, subscription: Subscription) -> None:
        """Add a subscription, or replace its session's with the same filter [MQTT-3.8.4-3]."""
        group_name, topic_filter = topics.split_shared(subscription.topic_filter)
        subscribers = self._make(topic_filter)
        self._forget_routes(topic_filter)
        session = subscription.session
        if not group_name:
            if session not in subscribers.sessions:
                self.count += 1
            subscribers.sessions[session] = subscription
            return
        group = subscribers.groups.get(group_name)
        if group is None:
            group = SharedGroup()
            subscribers.groups[group_name] = group
        for index, member in enumerate(group.members):
            if member.session is session:
                group.members[index] = subscription
                return
        group.members.append(subscription)
        self.count += 1
        self.shared_count += 1

    def remove(self, subscription: Subscription) -> None:
        """Remove a subscription that was added."""
        group_name, topic_filter = topics.split_shared(subscription.topic_filter)
        subscribers = self._find(topic_filter)
        assert subscribers is not None  # it was added
        self._forget_routes(topic_filter)
        self.count -= 1
        if group_name:
            group = subscribers.groups[group_name]
            group.members.remove(subscription)
            self.shared_count -= 1
            if not group.members:
                del subscribers.groups[group_name]
        else:
            del subscribers.sessions[subscription.session]
        if not subscribers.sessions and not subscribers.groups:
            self._prune(topic_filter)

    def group_of(self, shared: str) -> SharedGroup | None:
        """The group of a Shared Subscription, given with its ``$share`` and name, while it has members."""
        group_name, topic_filter = topics.split_shared(shared)
        subscribers = self._find(topic_filter)
        return None if subscribers is None else subscribers.groups.get(group_name)

    def route(self, topic: str) -> Route:
        """Who gets the messages of a topic: those whose filters match it, and nobody else [MQTT-3.3.2-3]."""
        route = self._routes.get(topic)
        if route is None:
            route = self._match(topic)
            if len(topic) <= LONGEST_REMEMBERED:
                if len(self._routes) >= _MAX_ROUTES:
                    self._routes.clear()
                self._routes[topic] = route
        return route

    def forget_routes(self) -> None:
        """What clients may receive has changed."""
        self._routes.clear()

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

    def _match(self, topic: str) -> Route:
        by_session: dict[Session, list[Subscription]] = {}
        sampled: dict[Session, list[Subscription]] = {}
        groups: list[SharedGroup] = []
        no_local = False
        for subscribers in self._matching(topic):
            for session, subscription in subscribers.sessions.items():
                no_local = no_local or subscription.no_local
                alike = sampled if subscription.is_sampled else by_session
                others = alike.get(session)
                if others is None:
                    alike[session] = [subscription]
                else:
                    others.append(subscription)
            groups.extend(subscribers.groups.values())
        return Route(
            _for_each(by_session, topic),
            groups,
            [_sampled(each) for each in _for_each(sampled, topic)],
            no_local=no_local,
            is_control=topic.startswith("$CONTROL/"),
        )

    def _matching(self, topic: str) -> list[_Subscribers]:
        found: list[_Subscribers] = []
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

    def _make(self, topic_filter: str) -> _Subscribers:
        if not topics.has_wildcard(topic_filter):
            subscribers = self._exact.get(topic_filter)
            if subscribers is None:
                subscribers = _Subscribers()
                self._exact[topic_filter] = subscribers
            return subscribers
        level = self._root
        for name in topic_filter.split("/"):
            child = level.children.get(name)
            if child is None:
                child = _Level()
                level.children[name] = child
            level = child
        if level.subscribers is None:
            level.subscribers = _Subscribers()
            self._wildcards += 1
        return level.subscribers

    def _find(self, topic_filter: str) -> _Subscribers | None:
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

    def _forget_routes(self, topic_filter: str) -> None:
        if topics.has_wildcard(topic_filter):
            self._routes.clear()
        else:
            self._routes.pop(topic_filter, None)


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


def _add(level: _Level | None, found: list[_Subscribers]) -> None:
    if level is not None and level.subscribers is not None:
        found.append(level.subscribers)
