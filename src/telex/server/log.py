"""The broker's log: what is worth a line, and how it reads.

Everything goes to Python's ``logging`` under the name ``telex``. Knows events and
their fields; where lines go and in which form is for ``log_destinations.py``. What
others can cause as often as they like is written down a few times and then counted.
"""

import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from telex.codes import MQTT_3_1, MQTT_3_1_1, MQTT_5, ReasonCode, reason_name
from telex.engine.seams import Observer
from telex.engine.visit import Visit
from telex.wire.packets import Connect

logger = logging.getLogger("telex")

Value = str | int | float | None

_VERSIONS: Final = {MQTT_3_1: "3.1", MQTT_3_1_1: "3.1.1", MQTT_5: "5.0"}
_SHORT_VERSIONS: Final = {MQTT_3_1: 1, MQTT_3_1_1: 2, MQTT_5: 5}  # as Mosquitto counts them in its log

_WINDOW_SECONDS: Final = 10.0  # for which lines about the same are counted together
_DENIALS: Final = 1  # lines about what one client may not do, in that time
_REFUSALS: Final = 20  # lines about those of one address who did not come in, in that time
_MOST_KEYS: Final = 10_000  # clients or addresses that are watched at a time; all others share one count

_LONGEST_NAME: Final = 300  # characters of a client id, a user name, a topic: MQTT allows 65,535 bytes

_NEEDS_QUOTES: Final = re.compile(r"""[\s"'=\\]""")
_CODE: Final = re.compile(r"\(0x([0-9A-F]{2}) [a-z0-9 ]+\)$")  # at the end of a reason


class Event:
    """One line of the log, before it has a form.

    Args:
        name: what happened, in a word or two.
        fields: the particulars, in their order.
        mosquitto: the same in Mosquitto's words; empty: Mosquitto has no word for it.
        kind: Mosquitto's log type; empty: as the level has it.
        is_visit: it is about a connection that comes or goes, and left out if nobody wants to know.
        is_refusal: it is about a connection that did not come to anything.
    """

    __slots__ = ("fields", "is_refusal", "is_visit", "kind", "mosquitto", "name")

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Value],
        *,
        mosquitto: str = "",
        kind: str = "",
        is_visit: bool = False,
        is_refusal: bool = False,
    ) -> None:
        self.name = name
        self.fields = fields
        self.mosquitto = mosquitto
        self.kind = kind
        self.is_visit = is_visit
        self.is_refusal = is_refusal

    def __str__(self) -> str:
        words = [self.name]
        words += [f"{key}={shown(value)}" for key, value in self.fields.items() if value is not None]
        return " ".join(words)


def shown(value: Value) -> str:
    """A value as it stands behind ``key=``: in quotes if it is empty or has spaces, quotes, ``=`` or what no eye sees.

    >>> shown("sensor-1"), shown("the house"), shown(3.5)
    ('sensor-1', '"the house"', '3.5')
    """
    if not isinstance(value, str):
        return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    if value and value.isprintable() and not _NEEDS_QUOTES.search(value):
        return value
    return '"' + printable(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def clipped(name: str) -> str:
    """A name that somebody else chose, at a length that a line can take."""
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..."


def printable(text: str) -> str:
    """A text without anything that could end a line or turn it around: that is written as ``\\n`` or ``\\u202e``."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    if character in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character]
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def tell(level: int, event: Event) -> None:
    """Write an event down."""
    logger.log(level, event)


class Throttle:
    """Writes the first few of many events about the same as warnings, and counts the others.

    A line that stands for more than itself says so: ``more=12``. ``tick`` has to be called
    now and then, so that the last ones are not forgotten. What is known is bounded: beyond
    some number of keys, all others share one.

    Args:
        lines: how many are written ...
        seconds: ... in such a time.
    """

    def __init__(self, lines: int, seconds: float = _WINDOW_SECONDS) -> None:
        self._lines = lines
        self._seconds = seconds
        self._windows: OrderedDict[str, _Window] = OrderedDict()  # in the order in which they end

    def tell(self, key: str, event: Event, now: float) -> None:
        """Write an event down, unless there were enough about ``key`` lately."""
        window = self._windows.get(key)
        if window is None and len(self._windows) >= _MOST_KEYS:
            self.tick(now)
            if len(self._windows) >= _MOST_KEYS:
                key = ""
                window = self._windows.get(key)
        if window is not None and now < window.ends_at:
            if window.left == 0:
                window.held_back += 1
                window.last = event
                return
            window.left -= 1
        else:
            self._begin(key, self._lines - 1, now)
        tell(logging.WARNING, event if window is None else _standing_for(event, window.take()))

    def tick(self, now: float) -> None:
        """Tell of what was held back long enough: the last of each kind, and how many more there were."""
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if now < window.ends_at:
                break
            del self._windows[key]
            if window.last is not None:
                self._begin(key, 0, now)  # it may well go on: one line each time
                tell(logging.WARNING, _standing_for(window.last, window.held_back - 1))

    def _begin(self, key: str, left: int, now: float) -> None:
        self._windows.pop(key, None)
        self._windows[key] = _Window(now + self._seconds, left)


class _Window:
    """A time in which lines about the same are counted."""

    __slots__ = ("ends_at", "held_back", "last", "left")

    def __init__(self, ends_at: float, left: int) -> None:
        self.ends_at = ends_at
        self.left = left  # lines that may still be written
        self.held_back = 0  # lines that were not
        self.last: Event | None = None  # of these

    def take(self) -> int:
        """How many were held back; from now on they count as told."""
        held_back = self.held_back
        self.held_back = 0
        self.last = None
        return held_back


def _standing_for(event: Event, more: int) -> Event:
    """An event that tells of others that were not written."""
    if more == 0:
        return event
    return Event(
        event.name,
        {**event.fields, "more": more},
        mosquitto=f"{event.mosquitto} (and {more} more)" if event.mosquitto else "",
        kind=event.kind,
        is_visit=event.is_visit,
        is_refusal=event.is_refusal,
    )


class LogObserver(Observer):
    """Writes down what the engine tells: who came and went (INFO), what they asked for (DEBUG), losses (WARNING).

    ``tick`` has to be called about once a second.

    Args:
        clock: the time in seconds, for what is written down less often than it happens.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._denials = Throttle(_DENIALS)
        self._refusals = Throttle(_REFUSALS)

    def tick(self) -> None:
        """Tell how many lines there would have been since, of those that were held back."""
        self._denials.tick(self._clock())
        self._refusals.tick(self._clock())

    def opened(self, visit: Visit, port: int) -> None:
        """A connection is there; it has said nothing yet. ``port`` is ours."""
        if logger.isEnabledFor(logging.DEBUG):
            words = f"New connection from {_address_for_mosquitto(visit)} on port {port}."
            event = Event(
                "opened",
                {"address": visit.address, "listener": visit.listener},
                mosquitto=words,
                kind="notice",
                is_visit=True,
            )
            tell(logging.DEBUG, event)

    def connected(self, visit: Visit, packet: Connect) -> None:
        """A client's CONNECT was accepted."""
        if not logger.isEnabledFor(logging.INFO):
            return
        fields: dict[str, Value] = {**_who(visit), "keep_alive": visit.keep_alive}
        version = _SHORT_VERSIONS.get(visit.version, visit.version)
        user = f", u'{clipped(visit.user)}'" if visit.user else ""
        words = (
            f"New client connected from {_address_for_mosquitto(visit)} as {clipped(visit.client_id)} "
            f"(p{version}, c{int(packet.clean_start)}, k{packet.keep_alive}{user})."
        )
        tell(logging.INFO, Event("connected", fields, mosquitto=words, kind="notice", is_visit=True))

    def refused(self, visit: Visit, reason: str) -> None:
        """A CONNECT was refused, or none came: a few lines for each address, and how many more."""
        event = Event(
            "refused",
            {**_who(visit), "reason": reason},
            mosquitto=_end_in_mosquittos_words(clipped(visit.client_id) or "<unknown>", reason),
            kind="notice",
            is_refusal=True,
        )
        if code_of(reason) == ReasonCode.SERVER_SHUTTING_DOWN:
            tell(logging.INFO, event)  # who is there without a word when the broker stops is nobody's fault
        else:
            self._refusals.tell(visit.host or visit.listener, event, self._clock())

    def disconnected(self, visit: Visit, reason: str, now: float) -> None:
        """A connection is over."""
        if not logger.isEnabledFor(logging.INFO):
            return
        fields: dict[str, Value] = {
            **_who(visit),
            "reason": reason,
            "duration": round(max(0.0, now - visit.began_at), 3),
            "publish_received": visit.publish_received,
            "publish_sent": visit.publish_sent,
            "bytes_received": visit.bytes_received,
            "bytes_sent": visit.bytes_sent,
        }
        words = _end_in_mosquittos_words(clipped(visit.client_id), reason)
        kind = "error" if words.endswith("already connected, closing old connection.") else "notice"
        tell(logging.INFO, Event("disconnected", fields, mosquitto=words, kind=kind, is_visit=True))

    def denied(self, visit: Visit, action: str, topic: str, rule: str) -> None:
        """A client may not do what it wanted to: one line in ten seconds for each client, and how many more."""
        client_id, who, topic = clipped(visit.client_id), clipped(visit.user), clipped(topic)
        user = f" (u'{who}')" if who else ""
        event = Event(
            "denied",
            {
                "client": client_id,
                "user": who,
                "address": visit.address,
                "action": action,
                "topic": topic,
                "rule": rule,
            },
            mosquitto=f"Denied {action.upper()} from {client_id}{user} at {visit.address} ('{topic}'): {rule}",
        )
        self._denials.tell(client_id, event, self._clock())

    def subscribed(self, client_id: str, topic_filter: str, qos: int) -> None:
        """A client subscribed."""
        if logger.isEnabledFor(logging.DEBUG):
            fields: dict[str, Value] = {"client": clipped(client_id), "filter": clipped(topic_filter), "qos": qos}
            words = f"{clipped(client_id)} {qos} {clipped(topic_filter)}"
            tell(logging.DEBUG, Event("subscribed", fields, mosquitto=words, kind="subscribe"))

    def unsubscribed(self, client_id: str, topic_filter: str) -> None:
        """A client unsubscribed."""
        if logger.isEnabledFor(logging.DEBUG):
            fields: dict[str, Value] = {"client": clipped(client_id), "filter": clipped(topic_filter)}
            words = f"{clipped(client_id)} {clipped(topic_filter)}"
            tell(logging.DEBUG, Event("unsubscribed", fields, mosquitto=words, kind="unsubscribe"))

    def missed(self, client_id: str, count: int, total: int) -> None:
        """A client did not get some messages."""
        tell(logging.WARNING, Event("dropped", {"client": clipped(client_id), "count": count, "in_session": total}))

    def dropping(self, client_id: str, topic: str, reason: str) -> None:
        """The first of a row of messages that a client will not get."""
        event = Event(
            "dropping",
            {"client": clipped(client_id), "topic": clipped(topic), "reason": reason},
            mosquitto=f"Outgoing messages are being dropped for client {clipped(client_id)}.",
            kind="notice",
        )
        tell(logging.WARNING, event)


def _address_for_mosquitto(visit: Visit) -> str:
    """Where a client comes from as Mosquitto writes it: ``::1:50000``, and ``/run/mqtt.sock:0``."""
    if not visit.host and visit.listener.startswith("/"):
        return f"{visit.listener}:0"
    return visit.address.replace("[", "").replace("]", "")


def _who(visit: Visit) -> dict[str, Value]:
    """Who it is, as far as that is known."""
    return {
        "client": clipped(visit.client_id),
        "user": clipped(visit.user),
        "address": visit.address,
        "listener": visit.listener or None,
        "version": _VERSIONS.get(visit.version, ""),
    }


# How Mosquitto tells of the ends of connections, by reason code; with any other it writes the code's name.
_ENDS: Final = {
    ReasonCode.MALFORMED_PACKET: "Client {} disconnected due to malformed packet.",
    ReasonCode.TOPIC_NAME_INVALID: "Client {} disconnected due to malformed packet.",
    ReasonCode.TOPIC_FILTER_INVALID: "Client {} disconnected due to malformed packet.",
    ReasonCode.PROTOCOL_ERROR: "Client {} disconnected due to protocol error.",
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: "Client {} disconnected due to protocol error.",
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: "Client {} disconnected due to protocol error.",
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: "Client {} disconnected, not authorised.",
    ReasonCode.NOT_AUTHORIZED: "Client {} disconnected, not authorised.",
    ReasonCode.BANNED: "Client {} disconnected, not authorised.",
    ReasonCode.BAD_AUTHENTICATION_METHOD: "Client {} disconnected, not authorised.",
    ReasonCode.KEEP_ALIVE_TIMEOUT: "Client {} has exceeded timeout, disconnecting.",
    ReasonCode.SESSION_TAKEN_OVER: "Client {} already connected, closing old connection.",
    ReasonCode.PACKET_TOO_LARGE: "Client {} disconnected due to oversize packet.",
    ReasonCode.ADMINISTRATIVE_ACTION: "Client {} been disconnected by administrative action.",
    ReasonCode.RETAIN_NOT_SUPPORTED: "Client {} disconnected due to QoS too high or retain not supported.",
    ReasonCode.QOS_NOT_SUPPORTED: "Client {} disconnected due to QoS too high or retain not supported.",
}


def code_of(reason: str) -> int:
    """The reason code that the engine wrote behind a reason; 0: none."""
    found = _CODE.search(reason)
    return 0 if found is None else int(found[1], 16)


def _end_in_mosquittos_words(client_id: str, reason: str) -> str:
    """How Mosquitto 2.0 tells of the end of a connection."""
    if reason.startswith(("the client disconnected", "the client left", "it gave up")):
        return f"Client {client_id} disconnected."
    if reason.startswith(("no CONNECT came", "login took too long")):
        return f"Client {client_id} has exceeded timeout, disconnecting."
    code = code_of(reason)
    if code == 0:
        return f"Client {client_id} closed its connection."
    for known, words in _ENDS.items():
        if known == code:
            return words.format(client_id)
    return f"Client {client_id} disconnected: {reason_name(code)}."
