"""What a client may do: decided at login, asked with every topic, remembered for each."""

from typing import Final

from mypy_extensions import mypyc_attr

_MOST_REMEMBERED: Final = 1_000  # topics, for each kind of question and each client

LONGEST_REMEMBERED: Final = 200
"""Characters of a topic that anything is remembered for: of longer ones, a few thousand would fill the memory."""


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
        self.knows_publishers = True  # whether the client may know who published a message, if it asks for that
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


# What the engine asks. Functions: compiled, a method of what may have interpreted subclasses is looked up by its name.


def publishing(permissions: Permissions, topic: str) -> Grant:
    """What a client may publish to a topic: asked with each message."""
    grant = permissions._publishing.get(topic)
    return _ask_about_publishing(permissions, topic) if grant is None else grant


def _ask_about_publishing(permissions: Permissions, topic: str) -> Grant:
    grant = _NOT_OURS if is_reserved(topic) else permissions.grant_publish(topic)
    _remember(permissions._publishing, topic, grant)
    return grant


def receiving(permissions: Permissions, topic: str) -> Grant:
    """What a client gets of the messages of a topic."""
    if not permissions.limits_receiving:
        return ALLOWED
    grant = permissions._receiving.get(topic)
    if grant is None:
        grant = permissions.grant_receive(topic)
        _remember(permissions._receiving, topic, grant)
    return grant


def _remember(known: dict[str, Grant], topic: str, grant: Grant) -> None:
    if len(topic) > LONGEST_REMEMBERED:
        return
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
    known[topic] = grant


EVERYTHING: Final = Permissions()
