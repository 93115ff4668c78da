"""What a client may do: decided at login, asked with every topic."""

from typing import Final

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Permissions:
    """Everything is allowed but to speak for the broker. Subclasses allow less.

    ``$SYS`` is the broker's own; only a bridge may tell its state there.
    """

    def may_publish(self, topic: str) -> bool:
        """Whether the client may publish to this topic, by PUBLISH or by its will."""
        if not topic.startswith("$SYS/"):
            return True
        return topic.startswith("$SYS/broker/connection/") and topic.endswith("/state")

    def may_subscribe(self, topic_filter: str) -> bool:
        """Whether the client may subscribe to this filter, without ``$share`` and group."""
        return True


EVERYTHING: Final = Permissions()
