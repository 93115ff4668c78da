"""Values kept under topic filters, and found again by topic names."""

from collections.abc import Iterator
from typing import Any


class MQTTMatcher:
    """A mapping from topic filters to values: ``m[filter] = value``, ``m[filter]``, ``del m[filter]``.

    A value of None counts as none. Filters are not checked.
    """

    class Node:
        """What is kept behind the levels of a filter."""

        __slots__ = ("_children", "_content")

        def __init__(self) -> None:
            self._children: dict[str, MQTTMatcher.Node] = {}  # by the next level
            self._content: Any = None

    def __init__(self) -> None:
        self._root = self.Node()

    def __setitem__(self, key: str, value: Any) -> None:
        node = self._root
        for level in key.split("/"):
            child = node._children.get(level)
            if child is None:
                child = node._children[level] = self.Node()
            node = child
        node._content = value

    def __getitem__(self, key: str) -> Any:
        content = self._path(key)[-1]._content
        if content is None:
            raise KeyError(key)
        return content

    def __delitem__(self, key: str) -> None:
        path = self._path(key)
        if path[-1]._content is None:
            raise KeyError(key)
        path[-1]._content = None
        # Branches that lead to nothing any more go too, or names that come and go would fill the memory.
        for level in reversed(key.split("/")):
            node = path.pop()
            if node._children or node._content is not None:
                return
            del path[-1]._children[level]

    def _path(self, key: str) -> "list[MQTTMatcher.Node]":
        """The nodes on the way to a filter, the root first."""
        path = [self._root]
        for level in key.split("/"):
            child = path[-1]._children.get(level)
            if child is None:
                raise KeyError(key)
            path.append(child)
        return path

    def iter_match(self, topic: str) -> Iterator[Any]:
        """The values of all filters that match a topic name: at each level first exact ones, then ``+``, then ``#``.

        A wildcard in front never matches a name that begins with ``$`` [MQTT-4.7.2-1].
        """
        return self._matches(topic.split("/"), topic.startswith("$"))

    def _matches(self, levels: list[str], hides_from_wildcards: bool) -> Iterator[Any]:
        # Without recursion: a topic may have 65,535 levels. What comes last is put on the pile first.
        pile: list[tuple[MQTTMatcher.Node, int]] = [(self._root, 0)]
        while pile:
            node, depth = pile.pop()
            if depth < 0:  # the node of a '#'
                if node._content is not None:
                    yield node._content
                continue
            children = node._children
            takes_wildcards = depth > 0 or not hides_from_wildcards
            if takes_wildcards and "#" in children:
                pile.append((children["#"], -1))
            if depth == len(levels):
                if node._content is not None:
                    yield node._content
                continue
            if takes_wildcards and "+" in children:
                pile.append((children["+"], depth + 1))
            if levels[depth] in children:
                pile.append((children[levels[depth]], depth + 1))
