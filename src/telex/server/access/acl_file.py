"""Mosquitto's ACL file: which topics a user may read and write.

Knows the format as Mosquitto 2.1 reads it, also where that surprises:

- The lines of a user are asked first, those with ``deny`` before the others and
  otherwise from top to bottom; then the ``pattern`` lines, in the same way,
  wherever they stand. ``topic`` lines before any ``user`` are for clients
  without a user name, and for nobody else.
- Every subscription is granted; whether a client may read a topic is asked with
  each message.
- ``#`` begins a comment only as the first character of a line. A user name and a
  filter may have spaces in them: they go on to the end of the line.
- Words are separated by spaces. A tab is a part of a word.
- ``topic read`` with nothing behind it is about a topic with the name ``read``.
- A filter that does not begin with ``$`` matches no topic that does.
- If there are patterns, a client whose user name or client id has ``+`` or ``#``
  in it may do nothing but what its own lines allow.

Mosquitto 2.0 differs in how it fills names in: ``%u`` and ``%c`` anywhere in a
pattern, whatever the values are, also ``$SYS``. As the reference of 2.1 has it, and
here, they count as whole levels only, a value that is empty or has ``/`` in it
fits no pattern, and no value opens topics that begin with ``$``. Mosquitto refuses
filters of some hundreds of levels; they are taken here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from telex import topics
from telex.engine.permissions import Grant, Permissions
from telex.server.access.rules import covers
from telex.server.config import ConfigError

_READ: Final = 1
_WRITE: Final = 2
_ACCESS: Final = {"read": _READ, "write": _WRITE, "readwrite": _READ | _WRITE, "deny": 0}
_BLANKS: Final = " \t\n\v\f\r"  # as C's isspace has them

_SUBSCRIBE: Final = Grant(2, rule="an ACL file allows every subscription, and is asked with each message")
_NO_LINE: Final = Grant(-1, may_retain=False, rule="no line allows it")
_NO_PATTERN: Final = Grant(
    -1, may_retain=False, rule="no line allows it; patterns are not for names with '+' or '#' in them"
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One ``topic`` or ``pattern`` line."""

    line: int
    access: int  # _READ and _WRITE; 0: deny
    topic_filter: str
    grant: Grant  # what it answers if it decides

    def covers(self, other: "_Entry") -> bool:
        """Whether this entry fits whenever the other does."""
        return covers(self.topic_filter, other.topic_filter)


class AclFile:
    """A file that was read and checked.

    Args:
        text: its contents; what is no UTF-8 as surrogates (``errors="surrogateescape"``).
        name: of the file, as messages say it.

    Raises:
        ConfigError: a line that cannot be read, with its number.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.warnings: list[str] = []  # what Mosquitto warns of when it starts
        self._remarks: list[tuple[int, str]] = []  # what else a reader should know
        self._users: dict[str | None, list[_Entry]] = {}  # None: clients without a user name
        self._patterns: list[_Entry] = []
        user: str | None = None
        for number, line in enumerate(text.split("\n"), 1):
            line = line.rstrip(_BLANKS)
            if line.startswith("#") or not line:
                continue
            keyword, _, rest = line.lstrip(" ").partition(" ")
            if keyword == "user":
                user = self._read_user(rest.strip(_BLANKS), number)
            elif keyword in ("topic", "pattern"):
                self._read_entry(line.strip(" "), user, number)
            else:
                seen = topics.shown(keyword)
                self._refuse(number, f"saw {seen}, expected topic, user or pattern, and a space behind it")

    def permissions(self, user: str | None, client_id: str) -> Permissions:
        """What the file allows a client; None, or an empty name as Mosquitto has it, is no user name."""
        return _ClientLines(self._users.get(user or None, []), self._patterns, user or None, client_id)

    @property
    def names_clients(self) -> bool:
        """Whether any pattern asks for the client id."""
        return any("%c" in entry.topic_filter for entry in self._patterns)

    def lint(self) -> list[str]:
        """What a reader of the file should know, in the order of its lines."""
        remarks = list(self._remarks)
        for entries in (*self._users.values(), self._patterns):
            remarks += [(entry.line, text) for entry, text in _never_deciding(entries)]
        anonymous = self._users.get(None)
        if anonymous:
            first = min(entry.line for entry in anonymous)
            remarks.append((first, "before any user: for clients without a user name, and for nobody else"))
        return [f"{self.name}:{line}: {text}" for line, text in sorted(remarks)]

    def _refuse(self, number: int, text: str) -> None:
        raise ConfigError(f"{self.name}:{number}: {text}")

    def _read_user(self, user: str, number: int) -> str:
        if not user:
            self._refuse(number, "user: no name, expected one behind the word")
        if user in self._users:
            self._remarks.append((number, f"the lines of user {topics.shown(user)} go on here"))
        elif " #" in user or "\t#" in user:
            self._remarks.append((number, f"the user's name is {topics.shown(user)}: a line has no comment at its end"))
        self._users.setdefault(user, [])
        return user

    def _read_entry(self, line: str, user: str | None, number: int) -> None:
        keyword, _, rest = line.partition(" ")
        word, _, topic_filter = rest.lstrip(" ").partition(" ")
        topic_filter = topic_filter.strip(_BLANKS)
        access = _READ | _WRITE
        if not topic_filter:
            topic_filter = word
            self._remark_on_word(keyword, word, number)
        elif word in _ACCESS:
            access = _ACCESS[word]
        else:
            self._refuse(number, f"{keyword}: saw {topics.shown(word)}, expected read, write, readwrite or deny")
        try:
            # For an ACL file `$share` is a level like any other.
            topics.check_filter(f"/{topic_filter}" if topics.is_shared(topic_filter) else topic_filter)
        except ValueError as error:
            if not _is_utf8(topic_filter):  # no topic can be like it, and Mosquitto takes it
                self._remarks.append((number, "fits no topic: it is not written in UTF-8"))
            else:
                self._refuse(number, f"{keyword}: {error}" if topic_filter else f"{keyword}: no topic, expected one")
        shown = line.encode(errors="backslashreplace").decode()
        allows = access != 0
        grant = Grant(2 if allows else -1, may_retain=allows, rule=f"{self.name}:{number}: {shown}")
        entry = _Entry(number, access, topic_filter, grant)
        entries = self._patterns if keyword == "pattern" else self._users.setdefault(user, [])
        entries.insert(len(entries) if allows else 0, entry)
        self._remark_on_names(keyword, topic_filter, number)

    def _remark_on_word(self, keyword: str, word: str, number: int) -> None:
        if word in _ACCESS:
            self._remarks.append((number, f"is about the topic {word!r}, for reading and writing"))
        if "\t" in word:
            self._remarks.append((number, f"is about the topic {word!r}: only spaces separate words, tabs do not"))

    def _remark_on_names(self, keyword: str, topic_filter: str, number: int) -> None:
        levels = topic_filter.split("/")
        for name in ("%c", "%u"):
            if name in topic_filter and keyword == "topic":
                self._remarks.append((number, f"{name} is a level like any other here; did you mean pattern?"))
            elif name in topic_filter and name not in levels:
                self._remarks.append((number, f"{name} is filled in only where it is a whole level"))
        if keyword == "pattern" and "%c" not in topic_filter and "%u" not in topic_filter:
            text = "pattern without %c or %u: it is for every client"
            self._remarks.append((number, text))
            self.warnings.append(f"{self.name}:{number}: {text}")


class _ClientLines(Permissions):
    """The lines that concern one client, with its own names filled in."""

    def __init__(self, entries: Sequence[_Entry], patterns: Sequence[_Entry], user: str | None, client_id: str) -> None:
        super().__init__()
        self.limits_receiving = True
        self._lines = [(entry.topic_filter, entry) for entry in entries]
        self._otherwise = _NO_LINE
        names = f"{user or ''}{client_id}"
        if patterns and ("+" in names or "#" in names):
            # Otherwise a client could choose a name that fits everything.
            self._otherwise = _NO_PATTERN
            return
        for entry in patterns:
            filled = _filled(entry.topic_filter, user, client_id)
            if filled is not None:
                self._lines.append((filled, entry))

    def grant_publish(self, topic: str) -> Grant:
        """The answer of the line that is about writing this topic."""
        return self._decide(topic, _WRITE)

    def grant_subscribe(self, topic_filter: str) -> Grant:
        """Yes: Mosquitto looks at what is delivered, not at what is asked for."""
        return _SUBSCRIBE

    def grant_receive(self, topic: str) -> Grant:
        """The answer of the line that is about reading this topic."""
        return self._decide(topic, _READ)

    def _decide(self, topic: str, access: int) -> Grant:
        for topic_filter, entry in self._lines:
            if topic[0] == "$" and entry.topic_filter[0] != "$":
                continue  # also where a name that begins with $ was filled in
            if (entry.access == 0 or entry.access & access) and topics.matches(topic_filter, topic):
                return entry.grant
        return self._otherwise


def read_acl_file(path: str) -> AclFile:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, or has a line that cannot.
    """
    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the ACL file cannot be read: {error.strerror}") from None
    return AclFile(contents.decode(errors="surrogateescape"), path)


def _filled(pattern: str, user: str | None, client_id: str) -> str | None:
    """A pattern with a client's names in it; None: it is not for this client."""
    if user is None and "%u" in pattern:
        return None
    names = {"%u": user or "", "%c": client_id}
    levels = pattern.split("/")
    if any(level in names and (not names[level] or "/" in names[level]) for level in levels):
        return None
    return "/".join(names.get(level, level) for level in levels)


def _never_deciding(entries: Sequence[_Entry]) -> list[tuple[_Entry, str]]:
    """The entries of a list that others leave nothing to decide, and what to say of each."""
    found = []
    for index, entry in enumerate(entries):
        left = entry.access or _READ | _WRITE
        deciding = []
        for other in entries[:index]:
            decides = other.access or _READ | _WRITE
            if left & decides and other.covers(entry):
                left &= ~decides
                deciding.append(other.line)
        if not left:
            lines = " and ".join(f"line {line}" for line in sorted(deciding))
            found.append((entry, f"never decides, since {lines} decides before it"))
    return found


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)
