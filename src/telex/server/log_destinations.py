"""Where the log goes, and in which form: streams, files, syslog, topics; text, JSON lines, or as Mosquitto writes it.

Configures Python's logger ``telex`` and nothing else: the root logger belongs to
whoever runs us in their own program.
"""

import json
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import ModuleType
from typing import Final, TextIO

from telex.server.config import ConfigError, Log
from telex.server.log import Event, logger, printable

_MOST_LINES: Final = 1_000  # that wait to be published

# Mosquitto's log types: the last part of their topics, and syslog's name of the priority. Telex has no lines of the
# types without a topic: they may be asked for.
_KINDS: Final = {
    "error": ("E", "LOG_ERR"),
    "warning": ("W", "LOG_WARNING"),
    "notice": ("N", "LOG_NOTICE"),
    "information": ("I", "LOG_INFO"),
    "debug": ("D", "LOG_DEBUG"),
    "subscribe": ("M/subscribe", "LOG_NOTICE"),
    "unsubscribe": ("M/unsubscribe", "LOG_NOTICE"),
    "internal": ("", "LOG_DEBUG"),
    "websockets": ("", "LOG_DEBUG"),
}
_USUAL_KINDS: Final = ("error", "warning", "notice", "information")  # if a mosquitto.conf says nothing of types
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_KINDS_FROM: Final = {  # the types that are written from a level on
    "debug": frozenset(_KINDS),
    "info": frozenset(_USUAL_KINDS),
    "warning": frozenset(("error", "warning")),
    "error": frozenset(("error",)),
}

Publish = Callable[[str, bytes], object]
Soon = Callable[[Callable[[], None]], object]


def setup(log: Log) -> "Destinations":
    """Send what Telex logs where a description says, from now on; what comes back changes it and ends it.

    Raises:
        ConfigError: a destination, a type or a timestamp format is none, or a file cannot be opened.
    """
    return Destinations(log)


class Destinations(logging.Handler):
    """All places where the log goes now. Made by ``setup``."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._topic = TopicDestination()
        self._places: list[Destination] = []
        self._use(log)
        self._before = (logger.level, logger.propagate, logger.handlers[:])
        logger.handlers[:] = [self]
        logger.propagate = False
        logger.setLevel(self._level)

    def change(self, log: Log) -> None:
        """Go on as another description says; if that cannot be used, as before.

        Raises:
            ConfigError: as ``setup``.
        """
        self.acquire()
        try:
            former = self._places
            self._use(log)
        finally:
            self.release()
        logger.setLevel(self._level)
        for place in former:
            place.close()

    def reopen(self) -> None:
        """Open the files again, by their names: somebody may have moved them away (logrotate)."""
        for place in self._places:
            if isinstance(place, FileDestination):
                self.acquire()
                try:
                    place.reopen()
                except ConfigError as error:  # the one that is open is better than none
                    logger.error("%s", error)
                finally:
                    self.release()

    def publish_to(self, publish: Publish, soon: Soon) -> None:
        """From now on what goes to topics can be published.

        Args:
            publish: called with a topic below ``$SYS/broker/log/`` and a payload.
            soon: arranges that a function is called, in the thread and between the turns where ``publish`` may be
                called: ``loop.call_soon_threadsafe``. Lines may be written in the midst of anything, in any thread.
        """
        self._topic.begin(publish, soon)

    def undo(self) -> None:
        """Leave Python's logging as it was before ``setup``."""
        level, propagate, handlers = self._before
        logger.handlers[:] = handlers
        logger.propagate = propagate
        logger.setLevel(level)
        self.acquire()
        try:
            places, self._places = self._places, []
        finally:
            self.release()
        for place in places:
            place.close()
        self.close()

    def _use(self, log: Log) -> None:
        form = Form(log)
        kinds = _kinds_of(log)
        self._places = _places_of(log, self._topic)  # last of all, so that none is left open
        self._form = form
        self._kinds = kinds
        self._log = log
        self._asks_kind = log.format == "mosquitto" or log.types is not None
        # What is of no interest by its level is not even made.
        self._level: int = logging.DEBUG if self._asks_kind else _LEVELS[log.level]

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to all places; a fault there costs nobody but the reader of the log."""
        try:
            self._write(record)
        except Exception:
            self.handleError(record)

    def _write(self, record: logging.LogRecord) -> None:
        event = record.msg if isinstance(record.msg, Event) else None
        kind = event.kind if event is not None and event.kind else _kind_of(record.levelno)
        if self._asks_kind and kind not in self._kinds:
            return
        if event is not None and not self._log.connections and self._is_of_connections(event):
            return
        text = self._form.text(record, event)
        line = self._form.timestamp(record) + text
        for place in self._places:
            if place is self._topic and kind == "debug" and self._log.format == "mosquitto":
                continue  # as Mosquitto
            try:
                place.write(line if place.wants_time or self._log.format != "text" else text, kind)
            except (OSError, ValueError) as error:
                place.failed(error)
            else:
                place.is_failing = False

    def _is_of_connections(self, event: Event) -> bool:
        """Whether an event is about a connection that comes or goes; Mosquitto counts those that it refused."""
        return event.is_visit or (event.is_refusal and self._log.format == "mosquitto")


class Form:
    """How a line reads.

    Args:
        log: what is wanted.
    """

    def __init__(self, log: Log) -> None:
        self._format = log.format
        self._has_time = log.timestamp
        self._time_format = log.timestamp_format
        try:
            time.strftime(log.timestamp_format or "%Y-%m-%dT%H:%M:%S")
        except ValueError as error:
            raise ConfigError(
                f"log: timestamp_format {log.timestamp_format!r} is no format of strftime: {error}"
            ) from None

    def text(self, record: logging.LogRecord, event: Event | None) -> str:
        """A line without its time; JSON has it within."""
        if self._format == "json":
            return self._json(record, event)
        if self._format == "mosquitto":
            words = event.mosquitto if event is not None and event.mosquitto else record.getMessage()
        else:
            words = f"{record.levelname.lower()} {record.getMessage()}"
        return printable(words) + _trace(record)

    def timestamp(self, record: logging.LogRecord) -> str:
        """What stands in front of a line."""
        if not self._has_time or self._format == "json":
            return ""
        if self._format == "mosquitto":
            return f"{self._time(record) if self._time_format else int(record.created)}: "
        return f"{self._time(record)} "

    def _time(self, record: logging.LogRecord) -> str:
        return time.strftime(self._time_format or "%Y-%m-%dT%H:%M:%S", time.localtime(record.created))

    def _json(self, record: logging.LogRecord, event: Event | None) -> str:
        said: dict[str, object] = {}
        if self._has_time:
            moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            said["time"] = self._time(record) if self._time_format else moment.replace("+00:00", "Z")
        said["level"] = record.levelname.lower()
        if event is None:
            said["event"] = "message"
            said["text"] = record.getMessage()
        else:
            said["event"] = event.name
            said.update((key, value) for key, value in event.fields.items() if value is not None)
        if record.exc_info:
            said["trace"] = _trace(record).lstrip("\n")
        return json.dumps(said)


def _trace(record: logging.LogRecord) -> str:
    """The lines of an exception that a record tells of."""
    return "\n" + logging.Formatter().formatException(record.exc_info) if record.exc_info else ""


def _kind_of(level: int) -> str:
    """Mosquitto's log type of a line that has only a level."""
    if level >= logging.ERROR:
        return "error"
    if level >= logging.WARNING:
        return "warning"
    return "information" if level >= logging.INFO else "debug"


def _kinds_of(log: Log) -> frozenset[str]:
    """The log types that are written."""
    if log.types is None:
        return _KINDS_FROM[log.level]
    kinds: set[str] = set()
    for name in log.types:
        if name == "all":
            kinds.update(_KINDS)
        elif name == "none":
            kinds.clear()
        elif name in _KINDS:
            kinds.add(name)
        else:
            raise ConfigError(f"log: there is no type {name!r}; there are {', '.join(_KINDS)}, all and none")
    return frozenset(kinds)


# Destinations


class Destination:
    """A place where lines go."""

    name = ""
    wants_time = True  # a text line has its time in front

    def __init__(self) -> None:
        self.is_failing = False

    def write(self, line: str, kind: str) -> None:
        """Write a line of one of Mosquitto's types. An OSError or a ValueError says why that is impossible."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing more will be written."""

    def failed(self, error: Exception) -> None:
        """A line could not be written: say so once, if there is anybody to hear it, and try the next one."""
        if not self.is_failing and sys.stderr is not None:
            with suppress(OSError, ValueError):
                sys.stderr.write(f"telex: the log cannot be written to {self.name}: {error}\n")
        self.is_failing = True


class StreamDestination(Destination):
    """Standard output, or standard error.

    Args:
        name: which one, for people.
        stream: the stream; None: the process has none.
    """

    def __init__(self, name: str, stream: TextIO | None) -> None:
        super().__init__()
        self.name = name
        self._stream = stream

    def write(self, line: str, kind: str) -> None:
        """Write a line, with ``\\u...`` for what the stream's encoding does not have."""
        stream = self._stream
        if stream is not None:
            encoding = stream.encoding or "utf-8"
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            stream.flush()


class FileDestination(Destination):
    """A file, at whose end lines are added.

    Args:
        path: where it is.

    Raises:
        ConfigError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.name = path
        self._number = self._open()

    def _open(self) -> int:
        try:
            return os.open(self.name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)  # less what the umask says
        except OSError as error:
            raise ConfigError(
                f"log: the file {self.name} cannot be opened for writing by {_our_name()}: {error.strerror}; "
                "let the directory exist and belong to that user, or choose another file"
            ) from None

    def reopen(self) -> None:
        """Begin a new file if the old one was moved away.

        Raises:
            ConfigError: it cannot be opened; the old one is kept.
        """
        number = self._open()
        os.close(self._number)
        self._number = number

    def write(self, line: str, kind: str) -> None:
        """Write a line at once: a line that waits in a buffer is missing after a crash."""
        os.write(self._number, (line + "\n").encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Close the file."""
        os.close(self._number)


def _our_name() -> str:
    """Who this process is to the system."""
    if sys.platform == "win32":
        return os.environ.get("USERNAME", "this user")
    import pwd

    try:
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return f"uid {os.geteuid()}"


class SyslogDestination(Destination):
    """The system's log.

    Args:
        facility: ``daemon``, ``local0`` and so on.
        syslog: Python's module of this name, which speaks as the C library does.

    Raises:
        ConfigError: there is no such facility.
    """

    name = "syslog"
    wants_time = False  # it has its own

    def __init__(self, facility: str, syslog: ModuleType) -> None:
        super().__init__()
        known = [name for name in _FACILITIES if hasattr(syslog, f"LOG_{name.upper()}")]
        if facility not in known:
            raise ConfigError(f"log: there is no syslog facility {facility!r}; there are {', '.join(known)}")
        self._syslog = syslog
        self._syslog.openlog("telex", syslog.LOG_PID, getattr(syslog, f"LOG_{facility.upper()}"))

    def write(self, line: str, kind: str) -> None:
        """Hand a line over; without a syslog daemon it is lost, as with every other program."""
        self._syslog.syslog(getattr(self._syslog, _KINDS[kind][1]), line.replace("\0", ""))

    # Nothing to close: the library has one connection for the whole process, which the next description may use.


_FACILITIES: Final = (
    *("auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp"),
    *(f"local{number}" for number in range(8)),
)


class TopicDestination(Destination):
    """Topics below ``$SYS/broker/log/``: lines wait until the broker can publish them, the newest thousand of them.

    What is logged while they are published is not: it might be caused by that, and go on for ever.
    """

    name = "topics"

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[tuple[str, bytes]] = deque(maxlen=_MOST_LINES)
        self._publish: Publish | None = None
        self._soon: Soon | None = None
        self._is_due = False
        self._is_publishing = False

    def begin(self, publish: Publish, soon: Soon) -> None:
        """Publish from now on, first what has gathered."""
        self._publish = publish
        self._soon = soon
        self._is_due = False
        if self._lines:
            self._arrange()

    def write(self, line: str, kind: str) -> None:
        """Take in a line."""
        letter = _KINDS[kind][0]
        if letter and not self._is_publishing:
            self._lines.append((f"$SYS/broker/log/{letter}", line.encode("utf-8", "backslashreplace")))
            self._arrange()

    def _arrange(self) -> None:
        if self._soon is not None and not self._is_due:
            self._is_due = True
            try:
                self._soon(self._publish_all)
            except RuntimeError:  # the loop is closed; the next one may ask again
                self._is_due = False

    def _publish_all(self) -> None:
        self._is_due = False
        self._is_publishing = True
        try:
            while self._publish is not None and self._lines:
                self._publish(*self._lines.popleft())
        finally:
            self._is_publishing = False


def _places_of(log: Log, topic: TopicDestination) -> list[Destination]:
    """Open all places of a description, or none."""
    places: list[Destination] = []
    try:
        for name in log.to:
            place = _place(name, log, topic)
            if place is not None:
                places.append(place)
    except ConfigError:
        for place in places:
            place.close()
        raise
    return places


def _place(name: str, log: Log, topic: TopicDestination) -> Destination | None:
    if name == "none":
        return None
    if name == "stderr":
        return StreamDestination(name, sys.stderr)
    if name == "stdout":
        return StreamDestination(name, sys.stdout)
    if name == "topic":
        return topic
    if name == "syslog":
        try:
            import syslog
        except ImportError:
            raise ConfigError("log: this system has no syslog; log to a file: file:PATH") from None
        return SyslogDestination(log.facility, syslog)
    kind, _, path = name.partition(":")
    if kind == "file" and path:
        return FileDestination(path)
    raise ConfigError(
        f"log: {name!r} is no place for the log; there are stderr, stdout, syslog, topic, file:PATH and none"
    )
