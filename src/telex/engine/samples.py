"""What a client gets by its sampled subscriptions: now and then the last message of each topic, and how many came.

Not of the specification: a client asks for them with a User Property of its SUBSCRIBE, as the live page does. Who shows
what moves needs no message that another has overtaken a moment later, and one that looks at everything must not cost
the broker as much as everything.

Knows which messages are kept, until when, and what is said of them. Knows no session and no subscription.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from telex.codes import PropertyId
from telex.engine.deadlines import Deadlines, Timed
from telex.engine.message import PUBLISH_FIRST, Message
from telex.engine.outbox import Outbox
from telex.wire.data import ONE_BYTE, encode_string

REQUEST: Final = "telex.sample"
"""The User Property of SUBSCRIBE: its value is the period, in milliseconds."""

SHORTEST: Final = 50
LONGEST: Final = 60_000

# The User Properties of PUBLISH, behind those of the message itself.
MESSAGES: Final = "telex.messages"
BYTES: Final = "telex.bytes"
AT: Final = "telex.at"
CLIENT: Final = "telex.client"
USER: Final = "telex.user"

_USER_PROPERTY: Final = ONE_BYTE[PropertyId.USER_PROPERTY.value]

# More would wait in line, and be old when it comes to whoever reads slowly; the last of each topic waits here instead.
_OUTBOX_BYTES: Final = 64 * 1024
_MOST_A_SECOND: Final = 10_000  # messages for one client; where there are more topics, they take turns
_TOPIC_BYTES: Final = 200  # what a topic takes here, about, beside its message

Send = Callable[[Message, int, bytes, float], None]
"""Sends a message at QoS 0: its first byte, properties of the receiver's own, and the time."""


def period_of(value: str) -> float:
    """The period, in seconds, that a User Property asks for.

    Raises:
        ValueError: it is no number, or too small or too large.
    """
    if not (value.isascii() and value.isdigit()) or len(value) > 5 or not SHORTEST <= int(value) <= LONGEST:
        raise ValueError(f"{REQUEST} is {value[:20]!r}; expected milliseconds, from {SHORTEST} to {LONGEST}")
    return int(value) / 1_000


def _property(name: str, value: str) -> bytes:
    """A User Property, encoded."""
    return _USER_PROPERTY + encode_string(name, "user property") + encode_string(value, "user property")


class _Tally:
    """What came on one topic since its client was told of it last."""

    def __init__(self, message: Message, weight: int) -> None:
        self.message = message  # the last one
        self.weight = weight  # what is counted for it
        self.room = len(message.payload)  # the largest payload for which that is enough
        self.publisher: object = None  # of the last one
        self.at = 0.0
        self.count = 0  # 0 again when its client was told
        self.bytes = 0  # of all payloads


class Sampled:
    """How the messages of one topic come to one client: what a route has for a sampled subscription.

    Args:
        samples: those of the client.
        extra: encoded properties that are the receiver's own.
        keeps_retain: RETAIN stays, as the subscription asks for it.
    """

    def __init__(self, samples: "Samples", extra: bytes, *, keeps_retain: bool) -> None:
        self._samples = samples
        self.extra = extra
        self.keeps_retain = keeps_retain
        self._tally: _Tally | None = None

    def take(self, message: Message, publisher: object, now: float) -> None:
        """Take in a message, in place of the one before on its topic."""
        samples = self._samples
        size = len(message.payload)
        tally = self._tally
        # While nothing has changed but a value, this is all that a message costs.
        if tally is None or tally.count == 0 or size > tally.room or message.properties is not None:
            tally = self._tally = samples.tally(message, self)
            if tally is None:
                return
        tally.message = message
        tally.publisher = publisher
        tally.at = now
        tally.count += 1
        tally.bytes += size
        if now >= samples.next_at:
            samples.flush(now)


class Samples(Timed):
    """What one client has yet to be told of.

    Args:
        outbox: the client's.
        deadlines: sees to it that the last messages before a silence are sent too.
        period: seconds (may be changed) between two messages of one topic.
        most_bytes: that may wait here, with 200 for each topic.
        send: sends one message.
        drop: is told of one for which there is no room.
        names: client id and user name of a publisher, as far as the client may know them.
    """

    def __init__(
        self,
        outbox: Outbox,
        deadlines: Deadlines,
        period: float,
        most_bytes: int,
        *,
        send: Send,
        drop: Callable[[Message], None],
        names: Callable[[object], tuple[str, str]],
    ) -> None:
        super().__init__()
        self.period = period
        self.next_at = 0.0  # when the next period begins
        self._outbox = outbox
        self._deadlines = deadlines
        self._most_bytes = most_bytes
        self._send = send
        self._drop = drop
        self._names = names
        # By topic: whoever subscribes again before they have left gets them once. In order, and quick to take from.
        self._retained: OrderedDict[str, tuple[Message, int, bytes]] = OrderedDict()
        self._tallies: dict[str, tuple[_Tally, Sampled]] = {}  # by topic
        self._order: deque[str] = deque()  # their topics: none is passed over for another
        self._weight = 0  # of the messages there, and of their topics
        self._leaving = 0  # how many of the first in order are due
        self._began_at = 0.0  # when this period did

    def add_retained(self, message: Message, first: int, extra: bytes) -> None:
        """Take in a retained message for a new subscription; a later one of its topic does not take its place."""
        self._retained[message.topic] = (message, first, extra)

    def tally(self, message: Message, sampled: Sampled) -> _Tally | None:
        """Where a message of a topic is counted; None: there is no room for it, and it is dropped."""
        known = self._tallies.get(message.topic)
        weight = message.weight + _TOPIC_BYTES
        more = weight if known is None else weight - known[0].weight
        if more > 0 and self._weight + more > self._most_bytes and self._weight > 0:
            self._drop(message)
            return None
        self._weight += more
        if known is None:
            tally = _Tally(message, weight)
            self._order.append(message.topic)
            if self.due == 0:
                self._deadlines.set(self, self.next_at)
        else:
            tally = known[0]
            tally.weight = weight
            tally.room = len(message.payload)
        self._tallies[message.topic] = (tally, sampled)
        return tally

    def flush(self, now: float) -> None:
        """Send what is due, as far as the outbox has room for it; to be called again when that was emptied."""
        outbox = self._outbox
        while self._retained and outbox.size < _OUTBOX_BYTES:
            _, (message, first, extra) = self._retained.popitem(last=False)
            if not message.is_expired(now):
                self._send(message, first, extra, now)
        if now >= self.next_at and self._order:
            # For the time since the last one began, and for a second at most; one goes always.
            most = 1 + int(min(1.0, now - self._began_at) * _MOST_A_SECOND)
            self._leaving = min(len(self._order), most)
            self._began_at = now
            self.next_at = now + self.period
        # Behind the retained ones: a value must not come before an older one.
        while self._leaving > 0 and not self._retained and outbox.size < _OUTBOX_BYTES:
            self._leaving -= 1
            tally, sampled = self._tallies.pop(self._order.popleft())
            self._weight -= tally.weight
            if not tally.message.is_expired(now):  # [MQTT-3.3.2-5]
                self._tell(tally, sampled, now)
            tally.count = 0
        if self._order and self.due == 0:
            self._deadlines.set(self, self.next_at)

    def _tell(self, tally: _Tally, sampled: Sampled, now: float) -> None:
        said = (
            _property(MESSAGES, str(tally.count))
            + _property(BYTES, str(tally.bytes))
            + _property(AT, str(round(tally.at * 1_000)))
        )
        client_id, user = self._names(tally.publisher)
        if client_id:
            said += _property(CLIENT, client_id)
        if user:
            said += _property(USER, user)
        first = PUBLISH_FIRST | 1 if tally.message.retain and sampled.keeps_retain else PUBLISH_FIRST
        self._send(tally.message, first, sampled.extra + said, now)

    def on_due(self, now: float) -> None:
        """A period is over in which nothing came any more."""
        self.flush(now)

    def close(self) -> None:
        """Its client is gone."""
        self._deadlines.drop(self)
        self._retained.clear()
        self._tallies.clear()
        self._order.clear()
        self._weight = self._leaving = 0
