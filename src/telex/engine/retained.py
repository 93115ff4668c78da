"""Retained messages: the last message of each topic, for whoever subscribes later (section 3.3.1.3)."""

from collections.abc import Callable

from telex.engine.deadlines import Deadlines, Timed
from telex.engine.message import Message
from telex.engine.topic_tree import Level, TopicTree


class _Expiry(Timed):
    """The end of a retained message."""

    def __init__(self, retained: "Retained", topic: str) -> None:
        super().__init__()
        self._retained = retained
        self._topic = topic

    def on_due(self, now: float) -> None:
        self._retained.expire(self._topic)


class Retained:
    """All retained messages, as a tree of topic levels.

    ``on_expired`` is called with the topic of a message whose time was over.
    """

    def __init__(self, deadlines: Deadlines, on_expired: Callable[[str], None]) -> None:
        self._tree: TopicTree[Message] = TopicTree()
        self._expiries: dict[str, _Expiry] = {}  # by topic, of messages that are not for ever
        self._deadlines = deadlines
        self._on_expired = on_expired
        self.count = 0
        self.bytes = 0  # that their payloads and properties take

    @property
    def is_empty(self) -> bool:
        """Whether there is none, and nothing left of any."""
        return self._tree.is_empty and not self._expiries

    def store(self, message: Message) -> None:
        """Make it its topic's retained message, in place of any other [MQTT-3.3.1-5]."""
        topic = message.topic
        former = self._tree.find(topic)
        if former is None:
            self._tree.put(topic, message)
        else:
            self._uncount(former)
            former.value = message
        self.count += 1
        self.bytes += message.weight
        if message.expires_at is not None:
            expiry = self._expiries[topic] = _Expiry(self, topic)
            self._deadlines.set(expiry, message.expires_at)

    def remove(self, topic: str) -> bool:
        """Forget a topic's retained message [MQTT-3.3.1-6]: whether there was one."""
        level = self._tree.find(topic)
        if level is None:
            return False
        self._uncount(level)
        self._tree.remove(level)
        return True

    def expire(self, topic: str) -> None:
        """Forget a topic's retained message, whose time is over."""
        if self.remove(topic):
            self._on_expired(topic)

    def has_room(self, message: Message, max_messages: int, max_bytes: int) -> bool:
        """Whether a message can be retained within these limits; one in place of another may be as large as that."""
        size = message.weight
        if self.count < max_messages and self.bytes + size <= max_bytes:
            return True
        level = self._tree.find(message.topic)
        former = None if level is None else level.value
        if former is None:
            return False
        return size <= former.weight or self.bytes - former.weight + size <= max_bytes

    def all(self) -> list[Message]:
        """Every retained message."""
        return [level.value for level in self._tree.all() if level.value is not None]

    def _uncount(self, level: Level[Message]) -> None:
        message = level.value
        assert message is not None  # ``find`` gives no others
        self.count -= 1
        self.bytes -= message.weight
        if message.expires_at is not None:
            expiry = self._expiries.pop(message.topic)
            self._deadlines.drop(expiry)

    def get(self, topic: str, now: float) -> Message | None:
        """A topic's retained message."""
        level = self._tree.find(topic)
        message = None if level is None else level.value
        return None if message is None or message.is_expired(now) else message

    def walk(self, topic_filter: str) -> "Walk":
        """The messages that a filter (without ``$share``) matches, for whoever takes a few at a time."""
        return Walk(self._tree.root, topic_filter)

    def matching(self, topic_filter: str, now: float) -> list[Message]:
        """The retained messages that a filter (without ``$share``) matches and that have not expired."""
        messages = [level.value for level in self._tree.matching(topic_filter)]
        return [message for message in messages if message is not None and not message.is_expired(now)]


class _Step:
    """Levels beside each other that a walk goes through, and which level of the filter is about them."""

    def __init__(self, levels: list[Level[Message]], index: int) -> None:
        self.levels = levels
        self.index = index
        self.next = 0


class Walk:
    """A walk through the retained messages that a filter matches. Messages may come and go meanwhile.

    One that is there from its beginning to its end is found once, one that comes or goes once or not at all.
    """

    def __init__(self, root: Level[Message], topic_filter: str) -> None:
        self._root = root
        self._wanted = topic_filter.split("/")
        self._steps: list[_Step] = []
        self._enter(root, 0)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return not self._steps

    def take(self, most: int, now: float) -> list[Message]:
        """The next messages that have not expired, from so many levels of topics; perhaps none, and yet more follow."""
        found: list[Message] = []
        wanted = self._wanted
        while most > 0 and self._steps:
            step = self._steps[-1]
            if step.next == len(step.levels):
                self._steps.pop()
                continue
            level = step.levels[step.next]
            step.next += 1
            most -= 1
            is_end = step.index == len(wanted) - 1
            is_open = wanted[step.index] == "#"
            parent_of_all = not is_open and step.index == len(wanted) - 2 and wanted[-1] == "#"  # a/# matches a
            message = level.value
            if message is not None and (is_end or parent_of_all) and not message.is_expired(now):
                found.append(message)
            if is_open:
                self._enter(level, step.index)
            elif not is_end:
                self._enter(level, step.index + 1)
        return found

    def _enter(self, level: Level[Message], index: int) -> None:
        wanted = self._wanted[index]
        if wanted in ("#", "+"):
            below = level.all_below()
            if level is self._root:  # [MQTT-4.7.2-1]
                below = [each for each in below if not each.name.startswith("$")]
        else:
            named = level.below(wanted)
            below = [] if named is None else [named]
        if below:
            self._steps.append(_Step(below, index))
