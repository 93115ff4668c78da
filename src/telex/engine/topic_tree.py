"""Topic names as a tree of their levels: what is kept for each, and which of them a filter matches (section 4.7).

A look-up by a filter costs what it finds. A ``+`` with a name behind it does not
go through all the levels that the ``+`` stands for, where fewer levels have that
name: it begins with these, and looks what they are below.

Knows no message and no subscription.
"""

from typing import Any, Final, Generic, TypeVar

V = TypeVar("V")

_NOTHING: Final[dict[str, Any]] = {}  # for all levels that have nothing below them, which most have not; stays empty


class Level(Generic[V]):
    """One level of names: the levels below, and what is kept for the name that ends here."""

    def __init__(self, parent: "Level[V] | None", name: str) -> None:
        self.parent = parent
        self.name = name
        self.value: V | None = None  # None: no name ends here
        self.ends: dict[str, Level[V]] = _NOTHING  # the levels below that have a value
        self.others: dict[str, Level[V]] = _NOTHING  # and those that only lead to some
        # The levels of the same name, wherever they are, in a row.
        self.next_alike: Level[V] | None = None
        self.previous_alike: Level[V] | None = None
        self.alike = 0  # how many they are, for the first in the row

    def below(self, name: str) -> "Level[V] | None":
        """The level of that name below this one."""
        level = self.ends.get(name)
        return self.others.get(name) if level is None else level

    def all_below(self) -> "list[Level[V]]":
        """The levels below this one."""
        return [*self.ends.values(), *self.others.values()]


class TopicTree(Generic[V]):
    """A value for each of some topic names."""

    def __init__(self) -> None:
        self.root: Level[V] = Level(None, "")
        self._alike: dict[str, Level[V]] = {}  # by name, the first of those that have it; not of those below the root

    @property
    def is_empty(self) -> bool:
        """Whether there is no name, and nothing left of any."""
        return not (self.root.ends or self.root.others or self._alike)

    def put(self, topic: str, value: V) -> Level[V]:
        """Keep a value for a name, in place of any other: the level where it is from now on."""
        names = topic.split("/")
        parent = self.root
        for name in names[:-1]:
            below = parent.below(name)
            if below is None:
                below = self._grow(parent, name)
                _lead(parent, below)
            parent = below
        name = names[-1]
        level = parent.below(name)
        if level is None:
            level = self._grow(parent, name)
        elif level.value is None:
            _lead_no_more(parent, level)
        level.value = value
        if not parent.ends:
            parent.ends = {}
        parent.ends[name] = level
        return level

    def find(self, topic: str) -> Level[V] | None:
        """Where the value of a name is; None: it has none."""
        level = self.root
        for name in topic.split("/"):
            below = level.below(name)
            if below is None:
                return None
            level = below
        return None if level.value is None else level

    def remove(self, level: Level[V]) -> None:
        """Forget a value that is there, and the levels that only its name needed."""
        parent = level.parent
        assert parent is not None  # as in ``put``
        level.value = None
        del parent.ends[level.name]
        if not parent.ends:
            parent.ends = _NOTHING
        if level.ends or level.others:
            _lead(parent, level)
            return
        self._leave_row(level)
        above = parent.parent
        while above is not None and parent.value is None and not (parent.ends or parent.others):
            _lead_no_more(above, parent)
            self._leave_row(parent)
            parent = above
            above = parent.parent

    def all(self) -> list[Level[V]]:
        """The levels with the values of all names."""
        return _with_values(self.root.all_below())

    def matching(self, topic_filter: str) -> list[Level[V]]:
        """The levels with the values of all names that a filter (without ``$share``) matches."""
        wanted = topic_filter.split("/")
        at = [self.root]  # the levels that the filter has reached
        index = 0
        last = len(wanted) - 1
        while at and index <= last:
            name = wanted[index]
            if name == "#":  # the level itself too: a/# matches a
                return _with_values(at if index > 0 else _without_dollar(self.root.all_below()))
            if name != "+":
                at = [below for below in [level.below(name) for level in at] if below is not None]
            elif index == last:
                at = [below for level in at for below in level.ends.values()]
            else:
                rarest = self._rarest(at, wanted, index)
                if rarest > 0:
                    at = self._leading(at, wanted, index, rarest)
                    index = rarest
                else:
                    at = [below for level in at for below in level.all_below()]
            if index == 0 and name == "+":
                at = _without_dollar(at)
            index += 1
        return [level for level in at if level.value is not None]

    def _rarest(self, at: list[Level[V]], wanted: list[str], index: int) -> int:
        """Where behind a ``+`` the filter has a name that is at fewer levels than the ``+`` stands for; 0: nowhere."""
        fewest = sum([len(level.ends) + len(level.others) for level in at])
        if fewest <= len(wanted):  # to look for it would take longer
            return 0
        found = 0
        for place in range(index + 1, len(wanted)):
            name = wanted[place]
            if name not in ("+", "#"):
                first = self._alike.get(name)
                count = 0 if first is None else first.alike
                if count < fewest:
                    fewest = count
                    found = place
        return found

    def _leading(self, at: list[Level[V]], wanted: list[str], index: int, rarest: int) -> list[Level[V]]:
        """The levels of the rarest name that the filter reaches, when it has reached ``at`` before ``index``."""
        reached = set(at)
        found: list[Level[V]] = []
        level = self._alike.get(wanted[rarest])
        while level is not None:
            above: Level[V] | None = level
            place = rarest
            while above is not None and place >= index and wanted[place] in ("+", above.name):
                if place == 0 and above.name.startswith("$"):  # [MQTT-4.7.2-1]
                    break
                above = above.parent
                place -= 1
            if place < index and above is not None and above in reached:
                found.append(level)
            level = level.next_alike
        return found

    def _grow(self, parent: Level[V], name: str) -> Level[V]:
        """A new level, which has no place among those below another yet."""
        level = Level(parent, name)
        if parent is not self.root:
            first = self._alike.get(name)
            level.alike = 1
            if first is not None:
                level.alike += first.alike
                level.next_alike = first
                first.previous_alike = level
            self._alike[name] = level
        return level

    def _leave_row(self, level: Level[V]) -> None:
        """A level is in the tree no more."""
        if level.parent is self.root:
            return
        before = level.previous_alike
        behind = level.next_alike
        if behind is not None:
            behind.previous_alike = before
        if before is not None:
            before.next_alike = behind
            self._alike[level.name].alike -= 1
        elif behind is not None:
            behind.alike = level.alike - 1
            self._alike[level.name] = behind
        else:
            del self._alike[level.name]


def _lead(parent: Level[V], level: Level[V]) -> None:
    """Name a level among those below another that only lead to some."""
    if not parent.others:
        parent.others = {}
    parent.others[level.name] = level


def _lead_no_more(parent: Level[V], level: Level[V]) -> None:
    del parent.others[level.name]
    if not parent.others:
        parent.others = _NOTHING


def _without_dollar(levels: list[Level[V]]) -> list[Level[V]]:
    """Those right below the root that wildcards match [MQTT-4.7.2-1]."""
    return [level for level in levels if not level.name.startswith("$")]


def _with_values(levels: list[Level[V]]) -> list[Level[V]]:
    """Those with a value, of levels and of all below them."""
    found: list[Level[V]] = []
    pending = levels[:]
    while pending:
        level = pending.pop()
        if level.value is not None:
            found.append(level)
        pending.extend(level.ends.values())
        pending.extend(level.others.values())
    return found
