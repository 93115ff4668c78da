"""Retained messages: the last message of each topic, for whoever subscribes later (section 3.3.1.3)."""

from collections.abc import Callable

from telex.engine.deadlines import Deadlines, Timed
from telex.engine.message import Message


class _Level(Timed):
    """One level of topic names: the levels below, and the message of the topic that ends here."""

    def __init__(self, parent: "_Level | None", name: str) -> None:
        super().__init__()
        self.parent = parent
        self.name = name
        self.children: dict[str, _Level] = {}
        self.message: Message | None = None
        self.retained: Retained | None = None  # whom to tell when the message expires

    def on_due(self, now: float) -> None:
        if self.retained is not None and self.message is not None:
            self.retained.expire(self.message.topic)


class Retained:
    """All retained messages, as a tree of topic levels.

    ``on_expired`` is called with the topic of a message whose time was over.
    """

    def __init__(self, deadlines: Deadlines, on_expired: Callable[[str], None]) -> None:
        self._root = _Level(None, "")
        self._deadlines = deadlines
        self._on_expired = on_expired
        self.count = 0
        self.bytes = 0  # that their payloads and properties take

    def store(self, message: Message) -> None:
        """Make it its topic's retained message, in place of any other [MQTT-3.3.1-5]."""
        level = self._root
        for name in message.topic.split("/"):
            child = level.children.get(name)
            if child is None:
                child = _Level(level, name)
                level.children[name] = child
            level = child
        self._forget(level)
        level.message = message
        self.count += 1
        self.bytes += message.weight
        if message.expires_at is not None:
            level.retained = self
            self._deadlines.set(level, message.expires_at)

    def remove(self, topic: str) -> bool:
        """Forget a topic's retained message [MQTT-3.3.1-6]: whether there was one."""
        level = self._find(topic)
        if level is None or level.message is None:
            return False
        self._forget(level)
        self._prune(level)
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
        level = self._find(message.topic)
        former = None if level is None else level.message
        if former is None:
            return False
        return size <= former.weight or self.bytes - former.weight + size <= max_bytes

    def all(self) -> list[Message]:
        """Every retained message."""
        levels: list[_Level] = []
        _gather(self._root, levels, with_dollar=True)
        return [level.message for level in levels if level.message is not None]

    def _find(self, topic: str) -> _Level | None:
        level = self._root
        for name in topic.split("/"):
            child = level.children.get(name)
            if child is None:
                return None
            level = child
        return level

    def _prune(self, level: _Level) -> None:
        """Take away the levels that no topic needs any more."""
        while level.parent is not None and level.message is None and not level.children:
            del level.parent.children[level.name]
            level = level.parent

    def _forget(self, level: _Level) -> None:
        if level.message is not None:
            self.count -= 1
            self.bytes -= level.message.weight
            level.message = None
            if level.due > 0:
                self._deadlines.drop(level)

    def get(self, topic: str, now: float) -> Message | None:
        """A topic's retained message."""
        found = self.matching(topic, now)
        return found[0] if found else None

    def walk(self, topic_filter: str) -> "Walk":
        """The messages that a filter (without ``$share``) matches, for whoever takes a few at a time."""
        return Walk(self._root, topic_filter)

    def matching(self, topic_filter: str, now: float) -> list[Message]:
        """The retained messages that a filter (without ``$share``) matches and that have not expired."""
        at = [self._root]  # the levels that the filter has reached
        for index, wanted in enumerate(topic_filter.split("/")):
            below: list[_Level] = []
            if wanted == "#":  # the level itself too: a/# matches a
                for level in at:
                    _gather(level, below, with_dollar=index > 0)
                at = below
                break
            if wanted == "+":
                for level in at:
                    for name, child in level.children.items():
                        if index > 0 or not name.startswith("$"):  # [MQTT-4.7.2-1]
                            below.append(child)
            else:
                for level in at:
                    child_or_none = level.children.get(wanted)
                    if child_or_none is not None:
                        below.append(child_or_none)
            at = below
        return [level.message for level in at if level.message is not None and not level.message.is_expired(now)]


class _Step:
    """Levels beside each other that a walk goes through, and which level of the filter is about them."""

    def __init__(self, levels: list[_Level], index: int) -> None:
        self.levels = levels
        self.index = index
        self.next = 0


class Walk:
    """A walk through the retained messages that a filter matches. Messages may come and go meanwhile.

    One that is there from its beginning to its end is found once, one that comes or goes once or not at all.
    """

    def __init__(self, root: _Level, topic_filter: str) -> None:
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
            message = level.message
            if message is not None and (is_end or parent_of_all) and not message.is_expired(now):
                found.append(message)
            if is_open:
                self._enter(level, step.index)
            elif not is_end:
                self._enter(level, step.index + 1)
        return found

    def _enter(self, level: _Level, index: int) -> None:
        wanted = self._wanted[index]
        if wanted in ("#", "+"):
            below = list(level.children.values())
            if level is self._root:  # [MQTT-4.7.2-1]
                below = [each for each in below if not each.name.startswith("$")]
        else:
            child = level.children.get(wanted)
            below = [] if child is None else [child]
        if below:
            self._steps.append(_Step(below, index))


def _gather(top: _Level, found: list[_Level], *, with_dollar: bool) -> None:
    """A level and all levels below it; at the front of a name, none that begins with ``$`` [MQTT-4.7.2-1]."""
    found.append(top)
    pending = [child for name, child in top.children.items() if with_dollar or not name.startswith("$")]
    while pending:
        level = pending.pop()
        found.append(level)
        pending.extend(level.children.values())
