"""``telex bench``: load for a broker, and what came of it.

Knows which flags are of use to which kind of load, and where the result goes. How load is made and what is counted,
``telex.bench`` knows.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from types import FrameType
from typing import Any, Final, Literal, NamedTuple

from telex import topics
from telex.bench import comparison, table
from telex.bench.plan import KINDS, LARGEST, SMALLEST, Kind, Plan
from telex.bench.progress_line import ProgressLine
from telex.bench.result import Progress, Result
from telex.cli import colours, flags
from telex.cli.main import number
from telex.codes import MAX_PACKET_ID
from telex.errors import MqttError

FAULTY: Final = 65
"""The exit code when messages were lost, came twice or out of order: EX_DATAERR of sysexits.h."""

FORMAT: Final = 1
"""Of a saved run. A file of a higher one is refused."""

_INTERRUPTED: Final = 130  # as shells say it: ended by SIGINT
_TERMINATED: Final = 143  # and by SIGTERM
_MOST: Final = 10_000_000  # of anything that is counted
_UNITS: Final = {"": 1, "k": 1024, "m": 1024 * 1024}

_PUBLISH: Final[tuple[Kind, ...]] = ("pub", "pairs", "fanout", "fanin", "latency", "mixed")
_SUBSCRIBE: Final[tuple[Kind, ...]] = ("sub", "pairs", "fanout", "fanin", "latency")
_PAIRS: Final[tuple[Kind, ...]] = ("pairs", "latency")
_COMING: Final[tuple[Kind, ...]] = ("connect", "churn")

_CLIENTS: Final[dict[Kind, tuple[int, int]]] = {
    "pub": (1, 0),
    "sub": (0, 1),
    "pairs": (1, 1),
    "fanout": (1, 100),
    "fanin": (100, 1),
    "latency": (1, 1),
    "connect": (10, 0),
    "churn": (10, 0),
    "mixed": (20, 10),
}
"""How many publish and how many subscribe, unless flags say it."""

_LATENCY_RATE: Final = 1_000.0  # messages a second, at which few brokers have to hurry
_VERSIONS: Final[dict[str, Literal[3, 4, 5]]] = {"3.1": 3, "3.1.1": 4, "5": 5}
_TONES: Final[dict[table.Tone, str]] = {
    "title": "\x1b[1m",
    "faint": colours.FAINT,
    "good": colours.TEXT,
    "bad": "\x1b[31m",
    "note": colours.NUMBER,
}


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    options = parsed(arguments)
    try:
        plan = planned(options)
        before = None if options.compare is None else saved(options.compare, plan.kind)
        for path in (options.save, options.svg):
            _check_place(path)
    except ValueError as error:
        return flags.fail(options, str(error))
    return _Run(options, plan, before).run()


# The flags


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags, checked.

    Raises:
        SystemExit: they cannot be, or ask for nothing but a text.
    """
    if not arguments or arguments[0].startswith("-"):
        parser = _parser(None)
        if "--help" in arguments or "--version" in arguments:
            parser.parse_args([each for each in arguments if each in ("--help", "--version")])
        parser.error(f"the first word says what to measure, as in telex bench pairs: {', '.join(KINDS)}")
    kind = next((each for each in KINDS if each == arguments[0]), None)
    if kind is None:
        near = get_close_matches(arguments[0], KINDS, 1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}"
        _parser(None).error(f"{arguments[0]!r} is nothing that can be measured; {known}")
    parser = _parser(kind)
    options: argparse.Namespace = parser.parse_args(arguments[1:])
    options.kind = kind
    try:
        _check(options)
    except ValueError as error:
        parser.error(str(error))
    return options


class _Flag(NamedTuple):
    """A flag of the load itself, and where it is of use."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    settings: dict[str, Any]


def _parser(kind: Kind | None) -> flags.FlagParser:
    """The parser of a kind; of none: for a text that shows all flags."""
    parser = flags.address_parser(
        "bench",
        KINDS[kind].capitalize() + "." if kind else "Make load for any broker, and measure what comes of it.",
        usage=f"{kind or 'KIND'} [FLAGS]",
        epilog=f"kinds:\n{_kinds()}\n\n",
    )
    if kind is not None:
        parser.prog = f"telex bench {kind}"
    for heading, group in _flags(kind).items():
        what = parser.add_argument_group(heading)
        for flag in group:
            if kind is None or kind in flag.kinds:
                what.add_argument(*flag.names, **flag.settings)
            else:
                takes_nothing = flag.settings.get("action") == "store_true"
                settings: dict[str, Any] = {"nargs": 0} if takes_nothing else {}
                what.add_argument(*flag.names, action=_Useless, help=argparse.SUPPRESS, **settings)
    return parser


def _kinds() -> str:
    return "\n".join(f"  {name:10}{text}" for name, text in KINDS.items())


class _Useless(argparse.Action):
    """A flag that its kind has no use for: it is refused, and what to do said."""

    def __call__(
        self, parser: argparse.ArgumentParser, options: object, values: object, flag: str | None = None
    ) -> None:
        kind = parser.prog.split()[-1]
        parser.error(f"{'/'.join(self.option_strings)} is of no use to telex bench {kind}: {_why(self.dest, kind)}")


def _why(name: str, kind: str) -> str:
    """Why a kind has no use for a flag, and what to do."""
    if name == "clients":
        return "some publish there and some subscribe; give --publishers and --subscribers"
    if name in ("publishers", "subscribers"):
        if kind in _PAIRS:
            return "each publisher has a subscriber of its own; -c says how many pairs"
        if kind in ("fanout", "fanin"):
            one, others = ("publisher", "subscribers") if kind == "fanout" else ("subscriber", "publishers")
            return f"there is one {one}; -c says how many {others}"
        if kind in _COMING:
            return "-c says how many clients are at it at a time"
        return "nobody publishes there" if name == "publishers" else "nobody subscribes there"
    if kind == "mixed":
        return "it has every QoS and several filters by itself; leave it out"
    if kind == "connect":
        return "its clients come and go, and send nothing; leave it out"
    if kind == "churn":
        return "its clients subscribe and unsubscribe, and no message moves; leave it out"
    return f"{'nobody subscribes' if kind == 'pub' else 'nobody publishes'} there; leave it out"


def _flags(kind: Kind | None) -> dict[str, list[_Flag]]:
    """All flags of the load, by their headings."""
    publishers, subscribers = _CLIENTS[kind] if kind else (0, 0)
    unless_mixed = tuple(each for each in _PUBLISH if each != "mixed")
    every = tuple(KINDS)

    def flag(*names: str, kinds: tuple[Kind, ...] = every, **settings: Any) -> _Flag:
        return _Flag(names, kinds, settings)

    def count(lowest: int = 1, highest: int = _MOST) -> dict[str, Any]:
        return {"type": number(lowest, highest), "metavar": "COUNT"}

    clients = max(publishers, subscribers)
    what = {"connect": "connections", "churn": "subscriptions"}.get(kind or "", "messages")
    at_once = f"{_LATENCY_RATE:,.0f}" if kind == "latency" else "as fast as they go"
    return {
        "the load": [
            flag(
                *("-c", "--clients"),
                kinds=tuple(each for each in every if each != "mixed"),
                help="how many publish, subscribe, are pairs, or come and go" + (f" ({clients})" if kind else ""),
                **count(),
            ),
            flag(
                "--publishers",
                kinds=("pub", "fanin", "mixed"),
                help="how many publish" + (f" ({publishers})" if kind else ""),
                **count(),
            ),
            flag(
                "--subscribers",
                kinds=("sub", "fanout", "mixed"),
                help="how many subscribe" + (f" ({subscribers})" if kind else ""),
                **count(),
            ),
            flag(
                *("-q", "--qos"),
                kinds=(*unless_mixed, "sub", "churn"),
                type=int,
                choices=(0, 1, 2),
                default=0,
                help="quality of service (0)",
            ),
            flag(
                *("-s", "--size"),
                kinds=_PUBLISH,
                type=_size,
                default=64,
                metavar="BYTES",
                help="of each payload: 64, 1k (1,024), 1M (64)"
                + (", and 4 and 16 times that" if kind == "mixed" else ""),
            ),
            flag(
                "--rate",
                kinds=(*_PUBLISH, *_COMING),
                type=_rate,
                metavar="COUNT",
                help=f"so many {what} a second, of all together ({at_once})",
            ),
            flag(
                "--window",
                kinds=_PUBLISH,
                help="how many a publisher may be ahead of what has arrived (1000; 500 at QoS 1, 20 at QoS 2)",
                **count(1, MAX_PACKET_ID),
            ),
            flag(
                *("-d", "--seconds"),
                type=flags.limit,
                default=5.0,
                metavar="SECONDS",
                help="how long is measured (5)",
            ),
            flag("--warm-up", type=flags.seconds, default=1.0, metavar="SECONDS", help="before that, not counted (1)"),
            flag("--processes", default=1, help="how many share the work of making the load (1)", **count(1, 256)),
        ],
        "what the messages are": [
            flag("--topics", kinds=(*_PUBLISH, "sub"), default=1, help="how many each publisher uses (1)", **count()),
            flag("--depth", kinds=(*_PUBLISH, "sub"), default=3, help="levels of a topic (3)", **count(1, 100)),
            flag("--prefix", metavar="NAME", help="the first level of all topics (bench)"),
            flag("--retain", kinds=_PUBLISH, action="store_true", help="the broker keeps them for later subscribers"),
            flag("--alias", kinds=_PUBLISH, action="store_true", help="by topic aliases (MQTT 5)"),
            flag("--user-properties", kinds=_PUBLISH, default=0, help="how many each has (MQTT 5; 0)", **count(1, 100)),
            flag(
                "--wildcard",
                kinds=_SUBSCRIBE,
                choices=("+", "#"),
                default="",
                help="subscribe by one: + for the last level, # for all behind the first two",
            ),
            flag(
                "--share",
                kinds=_SUBSCRIBE,
                default="",
                metavar="GROUP",
                help="subscribers share them, as this (MQTT 5)",
            ),
            flag(
                "--kept",
                kinds=(*_SUBSCRIBE, "mixed"),
                action="store_true",
                help="subscribers' sessions outlive connections",
            ),
        ],
        "who else is there": [
            flag("--idle", default=0, help="clients that only stay connected", **count()),
            flag("--subscriptions", help="how many each of these has (1)", **count()),
            flag("--idle-filter", metavar="FILTER", help="each of them; {} is a number of its own (PREFIX/idle/{})"),
            flag("--retained", default=0, help="retained messages that lie there meanwhile", **count()),
            flag(
                "--connect-rate",
                type=_rate,
                default=0.0,
                metavar="CLIENTS",
                help="so many come in a second (as fast as the broker takes them)",
            ),
            flag(
                *("-k", "--keep-alive", "--keepalive"),
                type=number(5, 65_535),
                default=60,
                metavar="SECONDS",
                help="between signs of life (60)",
            ),
            flag(
                "--watch", help="the broker's process: its processor time and memory", **{**count(), "metavar": "PID"}
            ),
        ],
        "the result": [
            flag("--json", action="store_true", help="print it as JSON"),
            flag("--save", metavar="FILE", help="write it there, for --compare"),
            flag("--compare", metavar="FILE", help="show it beside the one that was saved there"),
            flag("--svg", metavar="FILE", help="draw it"),
            flag("--quiet", action="store_true", help="print no progress and no errors"),
        ],
    }


def _size(text: str) -> int:
    """A type for argparse: bytes, with k or M behind it."""
    digits = text.rstrip("kKmM")
    unit = _UNITS.get(text[len(digits) :].lower())
    size = int(digits) * unit if unit is not None and digits.isascii() and digits.isdigit() else -1
    if not SMALLEST <= size <= LARGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size of a payload, expected {SMALLEST} to {LARGEST} bytes, as 64, 1k or 16M"
        )
    return size


def _rate(text: str) -> float:
    """A type for argparse: so many a second, with k or M behind it for thousands and millions."""
    digits = text.rstrip("kKmM")
    unit = {"": 1.0, "k": 1e3, "m": 1e6}.get(text[len(digits) :].lower())
    try:
        value = float(digits) * unit if unit is not None and "_" not in digits else 0.0
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number a second, expected one above 0, as 0.5, 1000 or 10k")
    return value


def _check(options: argparse.Namespace) -> None:
    """Find what cannot be together.

    Raises:
        ValueError: there is something.
    """
    if options.clients is not None:
        for name in ("publishers", "subscribers"):
            if getattr(options, name, None) is not None:
                raise ValueError(f"-c and --{name} say the same thing; give one of them")
    if options.version != "5":
        for flag, value in (("--alias", "alias"), ("--user-properties", "user_properties"), ("--share", "share")):
            if getattr(options, value):
                raise ValueError(f"{flag} is of MQTT 5: give -V 5 too")
    if (options.depth or 3) < 3 and ((options.topics or 1) > 1 or options.wildcard):
        raise ValueError(f"--topics and --wildcard need a third level: --depth 3, and not {options.depth}")
    if not options.idle:
        for name in ("subscriptions", "idle_filter"):
            if getattr(options, name) is not None:
                raise ValueError(
                    f"--{name.replace('_', '-')} is about idle clients, and there are none: give --idle COUNT"
                )
    if options.url_topic is not None:
        if options.prefix is not None:
            raise ValueError("the topic of -L and --prefix say the same thing; give one of them")
        options.prefix = options.url_topic
    if options.prefix is None:
        options.prefix = "bench"
    topics.check_name(options.prefix)
    if options.idle_filter is not None:
        try:
            filled = options.idle_filter.format(1, prefix=options.prefix)
        except (KeyError, IndexError, ValueError, AttributeError):
            raise ValueError(
                f"--idle-filter {options.idle_filter!r}: {{}} stands for a number, {{prefix}} for the prefix, and no "
                "other brace may be there"
            ) from None
        topics.check_filter(filled)


def planned(options: argparse.Namespace) -> Plan:
    """What the flags ask for.

    Raises:
        ValueError: something of it does not fit together.
    """
    kind: Kind = options.kind
    publishers, subscribers = _CLIENTS[kind]
    if options.clients is not None:
        publishers = options.clients if publishers and kind != "fanout" else publishers
        subscribers = options.clients if subscribers and kind != "fanin" else subscribers
    said = {
        name: getattr(options, name)
        for name in (*_SAID, "idle_filter", "subscriptions", "publishers", "subscribers", "rate", "window")
        if getattr(options, name, None) is not None
    }
    if kind == "latency":
        said.setdefault("rate", _LATENCY_RATE)
    settings = {
        "publishers": publishers,
        "subscribers": subscribers,
        "version": _VERSIONS[options.version],
        "user": options.username,
        "password": None if options.pw is None else os.fsencode(options.pw),
        **said,
    }
    return Plan(kind=kind, dialer=flags.dialer(options), **settings)


# What a plan has by the name of the flag.
_SAID: Final = (
    *("idle", "retained", "qos", "size", "retain", "topics", "depth", "prefix", "share", "wildcard", "alias"),
    *("user_properties", "kept", "seconds", "warm_up", "processes", "keep_alive", "connect_rate", "watch"),
)


def described(options: argparse.Namespace, plan: Plan) -> dict[str, Any]:
    """What was asked, by the names of the flags that this kind has a use for."""
    of_use = [flag for group in _flags(plan.kind).values() for flag in group if plan.kind in flag.kinds]
    names = [_name(flag) for flag in of_use]
    told: dict[str, Any] = {"broker": _broker(options), "version": plan.version}
    told |= {name: getattr(plan, name) for name in ("publishers", "subscribers") if getattr(plan, name)}
    if plan.kind in _COMING:
        told["clients"] = told.pop("publishers")
    told |= {name: getattr(plan, name) for name in names if name in (*_SAID, "rate", "window") and name != "watch"}
    if plan.idle:
        told |= {"subscriptions": plan.subscriptions, "idle_filter": plan.idle_filter}
    return told


def _name(flag: _Flag) -> str:
    """Where argparse puts a flag."""
    return next(each for each in flag.names if each.startswith("--"))[2:].replace("-", "_")


def _broker(options: argparse.Namespace) -> str:
    from telex.client.address import join

    if options.unix is not None:
        return str(options.unix)
    place = str(options.host) if options.port is None else join(options.host, options.port)
    return place if options.scheme == "mqtt" else f"{options.scheme}://{place}"


# One run


class _Run:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, plan: Plan, before: Result | None) -> None:
        self._options = options
        self._plan = plan
        self._before = before
        self._is_terminated = False

    def run(self) -> int:
        """Carry it out and show what came of it; returns the exit code."""
        from telex.bench import run  # which needs the client, and that takes its time

        options = self._options
        line = ProgressLine(sys.stderr) if _is_watched(options) else None
        waiting = _waiting()
        try:
            with self._terminated():
                result = run.run(self._plan, _nothing if line is None else line.show)
        except ValueError as error:
            return flags.fail(options, str(error))
        except (OSError, MqttError) as error:
            return flags.fail(options, *flags.failure(error, options))
        finally:
            if line is not None:
                line.clear()
        result.described = described(options, self._plan) | waiting
        self._tell(result)
        try:
            self._write(result)
        except (OSError, ValueError) as error:
            return flags.fail(options, str(error))
        return self._code(result)

    def _tell(self, result: Result) -> None:
        if self._options.json:
            told = _as_json(result)
            if self._before is not None:
                told["before"] = _as_json(self._before)
            print(json.dumps(told, ensure_ascii=False), flush=True)
            return
        lines = table.shown(result)
        if self._before is not None:
            lines += [table.Line(""), *comparison.compared(self._before, result)]
        is_coloured = colours.wants_colours()
        for each in lines:
            text = colours.in_one_line(each.text)
            print(colours.painted(text, _TONES[each.tone]) if is_coloured and each.tone else text)
        sys.stdout.flush()

    def _write(self, result: Result) -> None:
        """Write what is to be in files.

        Raises:
            ValueError: a file cannot be written, or there is nothing to draw.
        """
        if self._options.save is not None:
            from telex import version

            told = {"telex_bench": FORMAT, "time": _now(), "telex": version.describe(), **_as_json(result)}
            _put(self._options.save, f"{json.dumps(told, ensure_ascii=False)}\n")
        if self._options.svg is not None:
            from telex.bench import picture

            title = ", ".join([table.heading(result), *table.asked(result.described)][:2])
            _put(self._options.svg, picture.of_run(result, title))

    def _code(self, result: Result) -> int:
        if result.interrupted:
            return _TERMINATED if self._is_terminated else _INTERRUPTED
        if result.lost or result.duplicated or result.misordered:
            return FAULTY
        return 1 if result.complaints else 0

    @contextmanager
    def _terminated(self) -> Iterator[None]:
        """Have SIGTERM end it as Ctrl-C does, so that the broker is told, and what was measured is not lost."""

        def terminate(number: int, frame: FrameType | None) -> None:
            self._is_terminated = True
            signal.raise_signal(signal.SIGINT)

        before = signal.signal(signal.SIGTERM, terminate)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


def _is_watched(options: argparse.Namespace) -> bool:
    """Whether somebody looks on."""
    return not options.quiet and colours.is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


def _waiting() -> dict[str, Any]:
    """How many processes wanted to run here in the minute before, and on how many cores; nothing, if nobody knows."""
    if not hasattr(os, "getloadavg"):  # Windows
        return {}
    return {"load_average": round(os.getloadavg()[0], 2), "cores": os.cpu_count() or 1}


def _nothing(progress: Progress) -> None:
    """Nobody looks on."""


# Files


def saved(path: str, kind: Kind) -> Result:
    """The run that ``--save`` has put there.

    Raises:
        ValueError: there is none that can be compared with a run of this kind.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        if found["telex_bench"] > FORMAT:
            raise ValueError("it is of a newer Telex")
        result = Result.from_json(found)
        comparison.check(result, kind)
    except OSError as error:
        raise ValueError(
            f"--compare: cannot read {path}: {error.strerror}; telex bench {kind} --save makes one"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        raise ValueError(f"--compare: {path} is no run that telex bench --save has written") from None
    except ValueError as error:
        raise ValueError(f"--compare: {path}: {error}") from None
    return result


def _check_place(path: str | None) -> None:
    """Find out before the run whether a file can be written behind it."""
    if path is None:
        return
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise ValueError(f"{path} is a directory; give the name of a file")
    if not os.path.isdir(folder):
        raise ValueError(f"cannot write {path}: there is no directory {folder}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ValueError(f"cannot write {path}: permission denied")


def _put(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from None


def _as_json(result: Result) -> dict[str, Any]:
    return {**result.to_json(), "summary": table.summary(result)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
