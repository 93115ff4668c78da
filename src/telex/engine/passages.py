"""The ways of topics over a bridge: which there are, what they are called at the other end, and what is let through.

Knows topics, sizes and rates. Knows no session and no packet.
"""

import math
from typing import Final

from telex import topics
from telex.engine.bridge_options import BridgeTopic
from telex.engine.message import Message
from telex.engine.outbox import Outlook
from telex.engine.permissions import LONGEST_REMEMBERED

_MOMENT: Final = 1e-6  # seconds: sums of fractions are not exact
_MOST_NAMES: Final = 10_000  # topics whose other name is remembered


class Line:
    """One direction of a ``BridgeTopic``."""

    def __init__(self, topic: BridgeTopic, *, is_out: bool) -> None:
        self.topic_filter = topic.local_filter if is_out else topic.remote_filter
        self._from = topic.local_prefix if is_out else topic.remote_prefix
        self._to = topic.remote_prefix if is_out else topic.local_prefix
        self._maximum_payload_size = topic.maximum_payload_size
        self._rate = topic.messages_per_second
        self._spent_until = -math.inf  # by when as many may come as came

    def renamed(self, topic: str) -> str:
        """The topic at the other end; empty: it has no name there."""
        if topic.startswith(self._from):
            return self._to + topic[len(self._from) :]
        # ``a/#`` is also for ``a`` itself, which does not begin with ``a/``.
        return self._to[:-1] if self._to.endswith("/") else ""

    def admits(self, message: Message, now: float) -> bool:
        """Whether a message goes this way, which counts it."""
        if 0 < self._maximum_payload_size < len(message.payload):
            return False
        if self._rate <= 0:
            return True
        spent = max(self._spent_until, now)
        at_once = max(self._rate, 1.0)
        if spent - now > (at_once - 1.0) / self._rate + _MOMENT:
            return False
        self._spent_until = spent + 1.0 / self._rate
        return True


class Passage:
    """The way of one topic over a bridge."""

    def __init__(self, line: Line, name: str) -> None:
        self.line = line
        self.name = name  # of the topic at the other end


class Passages:
    """The ways of all topics in one direction."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines
        self._known: dict[str, Passage | None] = {}

    def find(self, topic: str) -> Passage | None:
        """The way of a topic; None: there is none."""
        passage = self._known.get(topic)
        if passage is None and topic not in self._known:
            passage = self._look(topic)
            if len(topic) <= LONGEST_REMEMBERED:
                if len(self._known) >= _MOST_NAMES:
                    self._known.clear()
                self._known[topic] = passage
        return passage

    def _look(self, topic: str) -> Passage | None:
        for line in self._lines:
            if topics.matches(line.topic_filter, topic):
                name = line.renamed(topic)
                return Passage(line, name) if 0 < len(name.encode()) <= topics.MAX_TOPIC_BYTES else None
        return None


class Renaming(Outlook):
    """How the remote sees topics."""

    def __init__(self, passages: Passages) -> None:
        self._passages = passages

    def of(self, message: Message) -> Message:
        """A message as the remote sees it."""
        passage = self._passages.find(message.topic)
        if passage is None or passage.name == message.topic:
            return message
        return Message(
            passage.name, message.payload, message.qos, message.retain, message.properties, message.expires_at
        )


def filters_of(lines: list[BridgeTopic], *, is_out: bool) -> dict[str, int]:
    """The filters of what goes out, here, or of what comes in, there: each with its highest QoS."""
    found: dict[str, int] = {}
    for line in lines:
        if line.is_out if is_out else line.is_in:
            topic_filter = line.local_filter if is_out else line.remote_filter
            found[topic_filter] = max(line.qos, found.get(topic_filter, 0))
    return found


def names_of(lines: list[BridgeTopic], *, is_out: bool) -> dict[str, list[tuple[str, str]]]:
    """For the same filters, what stands in front of topics here and there, in the order of the lines."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        if line.is_out if is_out else line.is_in:
            topic_filter = line.local_filter if is_out else line.remote_filter
            found.setdefault(topic_filter, []).append((line.local_prefix, line.remote_prefix))
    return found
