"""Where a message has been: what bridges write on it, so that no ring of brokers carries it for ever, or twice.

Two user properties, which MQTT 5 alone has room for. They are only ever added to, so that a
broker in between that knows nothing of them does no harm:

- ``telex.hops``: each broker that passes a message on to another adds its name. What has been
  here is not taken in again; what has as many as a bridge allows goes no further.
- ``telex.id``: added by the first of them, and no other message has it. Where two ways lead to
  the same broker, it takes in what comes first, and not the other copy. What came at QoS 0
  does not stand for what comes with a promise.

A bridge's client says ``telex.bridge`` in its CONNECT, with the name of its broker: so the broker at
the other end writes the same on what it sends there.

Knows names and numbers, in memory alone: after a restart, a copy that comes by a longer way is
not known again. Knows no session and no connection.
"""

from collections.abc import Callable
from typing import Final

from telex.codes import PropertyId
from telex.engine.message import Message
from telex.wire.data import ONE_BYTE, encode_string
from telex.wire.properties import Properties

HOPS: Final = "telex.hops"
IDENTITY: Final = "telex.id"
BRIDGE: Final = "telex.bridge"

_USER_PROPERTY: Final = ONE_BYTE[PropertyId.USER_PROPERTY.value]
_IDENTITY_HEAD: Final = _USER_PROPERTY + encode_string(IDENTITY, "user property")
_HOPS_HEAD: Final = _USER_PROPERTY + encode_string(HOPS, "user property")
_MOST_REMEMBERED: Final = 50_000  # messages, twice: a copy that comes later than so many others is a new message
_LENGTH: Final = 200  # characters of an identity and a topic: what is longer is remembered in place of several


def said(properties: Properties | None, name: str) -> str:
    """The value of a user property; empty: it is not there."""
    if properties is not None:
        for each, value in properties.user_properties:
            if each == name:
                return value
    return ""


def hops_of(message: Message) -> int:
    """How many brokers a message has passed before this one."""
    properties = message.properties
    if properties is None or not properties.user_properties:
        return 0
    count = 0
    for name, _ in properties.user_properties:
        if name == HOPS:
            count += 1
    return count


def has_passed(message: Message, broker: str) -> bool:
    """Whether a message has been at a broker before it came here."""
    properties = message.properties
    if properties is not None:
        for name, value in properties.user_properties:
            if name == HOPS and value == broker:
                return True
    return False


class Hops:
    """What one broker writes on messages that leave by a bridge, and knows again.

    Args:
        new_name: makes a name that nobody has.
    """

    def __init__(self, new_name: Callable[[], str]) -> None:
        self._new_name = new_name
        self._name = ""
        self._life = ""  # of this process: the numbers of its messages begin anew in the next one
        self._count = 0  # messages that got a number
        self._here = b""
        self._marks = b""  # all that is written on a message, but for its number
        self._digits_end = 0  # the number from which on it is longer, and so are these
        self._recent = _Memory()
        self._former = _Memory()  # of those before
        self._identity = _Identity()  # of the message that was looked at last

    @property
    def name(self) -> str:
        """The name of this broker among those that bridges connect; by default one for this process alone."""
        if not self._name:
            self.change_name(self._new_name())
        return self._name

    def change_name(self, name: str) -> None:
        """Have another name. By one that the next process has too, that knows what comes round to it for its own.

        No two brokers that bridges connect may have the same.
        """
        self._name = name
        self._here = _pair(HOPS, name)
        self._digits_end = 0

    def written_on(self, message: Message) -> bytes:
        """The properties that are added to a message when it leaves: the same each time that it does."""
        crossing = message.crossing
        if not crossing:
            if not self._name:
                self.change_name(self._new_name())
            if said(message.properties, IDENTITY):
                crossing = self._here
            else:
                self._count += 1
                if self._count >= self._digits_end:
                    self._lengthen()
                crossing = self._marks + str(self._count).encode()
            message.crossing = crossing
        return crossing

    def _lengthen(self) -> None:
        """Make what is written in front of numbers that are as long as this one."""
        if not self._life:
            self._life = self._new_name()
        digits = len(str(self._count))
        self._digits_end = 10**digits
        life = f"{self._life}.".encode()
        self._marks = self._here + _IDENTITY_HEAD + (len(life) + digits).to_bytes(2, "big") + life

    def is_repeat(self, message: Message) -> bool:
        """Take in a message that another broker may have passed on: whether it has been here before."""
        if self.knows(message):
            return True
        self.remember(message)
        return False

    def knows(self, message: Message) -> bool:
        """Whether a message has been here before."""
        properties = message.properties
        if properties is None or not properties.user_properties:
            return False
        if self._name and has_passed(message, self._name):
            return True
        text = said(properties, IDENTITY)
        if not text:
            return False
        identity = self._identity
        identity.read(text)
        return self._recent.knows(message, identity) or self._former.knows(message, identity)

    def remember(self, message: Message) -> None:
        """A message is here now."""
        text = said(message.properties, IDENTITY)
        if text:
            if self._recent.count >= _MOST_REMEMBERED:
                self._former = self._recent
                self._recent = _Memory()
            identity = self._identity
            identity.read(text)
            self._recent.add(message, identity)


class _Identity:
    """What a message is known by: one after the other, mostly of the same life of the same broker."""

    def __init__(self) -> None:
        self.text = ""
        self.life = ""  # with the dot behind it
        self.number = 0  # 0: it is none

    def read(self, text: str) -> None:
        """It is this now."""
        if text is self.text:
            return
        self.text = text
        digits = text[len(self.life) :] if text.startswith(self.life) else ""
        if not _is_number(digits):
            end = text.rfind(".") + 1
            self.life = text[:end]
            digits = text[end:]
        self.number = int(digits) if _is_number(digits) else 0


def _is_number(digits: str) -> bool:
    """Whether it is one that can only be written like this: what others make may be anything."""
    return digits.isdecimal() and digits.isascii() and len(digits) <= 15 and digits[0] != "0"


class _Life:
    """Messages of one life of one broker."""

    def __init__(self) -> None:
        self.highest = 0  # number: what has a higher one is new
        self.topics: dict[int, str] = {}  # by twice the number, one more with a promise


class _Memory:
    """Messages that came.

    A number is found faster than a name, above all next to the one before: so those of one life of one broker
    stand together, by their numbers. Whatever is no number, or has come under another topic already, has a name.
    """

    def __init__(self) -> None:
        self.count = 0  # messages; long names count for more than one
        self._lives: dict[str, _Life] = {}
        self._names: dict[str, bool] = {}  # by identity and topic: whether with a promise

    def knows(self, message: Message, identity: _Identity) -> bool:
        """Whether it has come, at least with the promise that it has now."""
        if identity.number:
            life = self._lives.get(identity.life)
            if life is None or identity.number > life.highest:
                return False
            key = 2 * identity.number
            topic = message.topic
            if life.topics.get(key + 1) == topic or (message.qos == 0 and life.topics.get(key) == topic):
                return True
        if not self._names:
            return False
        known = self._names.get(f"{identity.text} {message.topic}")
        return known is not None and (known or message.qos == 0)

    def add(self, message: Message, identity: _Identity) -> None:
        """It comes."""
        topic = message.topic
        self.count += 1 + (len(identity.text) + len(topic)) // _LENGTH
        is_promised = message.qos > 0
        if identity.number:
            life = self._lives.get(identity.life)
            if life is None:
                life = self._lives[identity.life] = _Life()
            if identity.number > life.highest:
                life.highest = identity.number
            key = 2 * identity.number + 1 if is_promised else 2 * identity.number
            if life.topics.setdefault(key, topic) == topic:
                return
        self._names[f"{identity.text} {topic}"] = is_promised


def is_written(extra: bytes) -> bool:
    """Whether encoded properties say where a message has been."""
    return _HOPS_HEAD in extra


def _pair(name: str, value: str) -> bytes:
    return _USER_PROPERTY + encode_string(name, "user property") + encode_string(value, "user property")
