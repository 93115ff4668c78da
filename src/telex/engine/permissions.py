"""What a client may do: decided at login, asked with every topic, remembered for each."""

from typing import Final

from mypy_extensions import mypyc_attr

_MOST_REMEMBERED: Final = 1_000  # topics, for each kind of question and each client


class Grant:
    """What a client may do with one topic, or with one filter.

    Args:
        max_qos: the highest QoS; -1: nothing at all.
        may_retain: whether it may publish retained messages there, or gets those that are.
        rule: what decided, for people.
    """

    def __init__(self, max_qos: int, may_retain: bool = True, rule: str = "") -> None:
        self.max_qos = max_qos
        self.may_retain = may_retain
        self.rule = rule


ALLOWED: Final = Grant(2)
DENIED: Final = Grant(-1, may_retain=False)
_NOT_OURS: Final = Grant(-1, may_retain=False, rule="$SYS is the broker's own")


def is_reserved(topic: str) -> bool:
    """Whether a topic is the broker's own, and ends with it: those of ``$SYS``, but for what bridges tell there."""
    if not topic.startswith("$SYS/"):
        return topic == "$SYS"
    return not (topic.startswith("$SYS/broker/connection/") and topic.endswith("/state"))


@mypyc_attr(allow_interpreted_subclasses=True)
class Permissions:
    """Everything is allowed but to speak for the broker, or to give it orders. Subclasses allow less.

    They answer ``may_publish``, ``may_subscribe`` and ``may_receive``, or, where
    the answer is more than yes or no, ``grant_publish`` and its like. Each is
    asked once for a topic, and the answer remembered.
    """

    def __init__(self) -> None:
        self.limits_receiving = False  # whether ``may_receive`` and ``grant_receive`` are to be asked
        self._publishing: dict[str, Grant] = {}
        self._receiving: dict[str, Grant] = {}

    # What subclasses say

    def may_publish(self, topic: str) -> bool:
        """Whether the client may publish to this topic, by PUBLISH or by its will."""
        return not topic.startswith("$CONTROL/")

    def may_subscribe(self, topic_filter: str) -> bool:
        """Whether the client may subscribe to this filter, without ``$share`` and group."""
        return True

    def may_receive(self, topic: str) -> bool:
        """Whether the client gets the messages of this topic; asked if ``limits_receiving``."""
        return True

    def grant_publish(self, topic: str) -> Grant:
        """What the client may publish to this topic."""
        return ALLOWED if self.may_publish(topic) else DENIED

    def grant_subscribe(self, topic_filter: str) -> Grant:
        """What the client may subscribe to with this filter, without ``$share`` and group."""
        return ALLOWED if self.may_subscribe(topic_filter) else DENIED

    def grant_receive(self, topic: str) -> Grant:
        """What the client gets of the messages of this topic; asked if ``limits_receiving``."""
        return ALLOWED if self.may_receive(topic) else DENIED

    # What the engine asks

    def publishing(self, topic: str) -> Grant:
        """What the client may publish to this topic."""
        grant = self._publishing.get(topic)
        if grant is None:
            if len(self._publishing) >= _MOST_REMEMBERED:
                self._publishing.clear()
            grant = _NOT_OURS if is_reserved(topic) else self.grant_publish(topic)
            self._publishing[topic] = grant
        return grant

    def receiving(self, topic: str) -> Grant:
        """What the client gets of the messages of this topic."""
        if not self.limits_receiving:
            return ALLOWED
        grant = self._receiving.get(topic)
        if grant is None:
            if len(self._receiving) >= _MOST_REMEMBERED:
                self._receiving.clear()
            grant = self.grant_receive(topic)
            self._receiving[topic] = grant
        return grant


EVERYTHING: Final = Permissions()
