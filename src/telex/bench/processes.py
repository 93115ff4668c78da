"""A run in several processes: who does what, when all begin together, and what each has seen of the others.

The leader is the caller's process; it starts the others, which are members, and does no work itself. Members say lines
of JSON on their standard output and hear them on standard input. Whoever is left alone ends: a member whose input is
over has lost its leader; a member whose output is over without a result takes the whole run with it.

Knows processes and pipes. Knows neither what a member does nor MQTT.
"""

import asyncio
import base64
import builtins
import json
import mmap
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Final, Protocol

from telex import errors
from telex.bench.plan import Plan
from telex.bench.result import Progress, Result, Tally
from telex.errors import MqttError, Refused, Timeout

_TOKENS: Final = 4_096  # what tells the messages of one run from those of another
_HEAD_START: Final = 0.02  # seconds from the word to go to the moment itself: all must have heard it by then
_LOOK_SECONDS: Final = 0.25  # between two looks at who is late; Windows hears Ctrl-C only then
_STRAGGLER_SECONDS: Final = 1.5  # how long the progress of some waits for that of the others
_GRACE_SECONDS: Final = 10.0  # for members to end by themselves, on top of the patience that they have
_CELL: Final = 8  # bytes
_MEMBER = "telex.bench.member"  # what a member runs

Tell = Callable[[Progress], None]


# Who does what


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of a plan that one process carries out.

    Args:
        number: of the process, from 0.
        of: how many there are.
        token: the same in all of them, and in another run most probably another one.
        publishers: the numbers of the publishers that are its own; in ``connect`` and ``churn``, of the clients.
        subscribers: those of subscribers.
        idle: those of connections that do nothing.
    """

    number: int = 0
    of: int = 1
    token: int = 0
    publishers: range = range(0)
    subscribers: range = range(0)
    idle: range = range(0)

    def part(self, of_all: float) -> float:
        """This process's part of something that all divide, such as connections a second."""
        return of_all / self.of

    def divided(self, count: int) -> range:
        """The numbers, of so many, that are this process's own."""
        return _parts(count, self.of)[self.number]


def divide(plan: Plan) -> list[Share]:
    """The shares of a plan, one for each of its processes.

    A pair stays together. Where there is one publisher or one subscriber, the first process has it.
    """
    of, token = plan.processes, random.randrange(_TOKENS)
    one = [range(1), *[range(1, 1)] * (of - 1)]
    nobody = [range(0)] * of
    publishers, subscribers = _parts(plan.publishers, of), _parts(plan.subscribers, of)
    if plan.kind in ("pairs", "latency"):
        subscribers = publishers
    elif plan.kind in ("pub", "connect", "churn"):
        subscribers = nobody
    elif plan.kind == "sub":
        publishers = nobody
    elif plan.kind == "fanout":
        publishers = one
    elif plan.kind == "fanin":
        subscribers = one
    idle = _parts(plan.idle, of)
    return [
        Share(number=i, of=of, token=token, publishers=publishers[i], subscribers=subscribers[i], idle=idle[i])
        for i in range(of)
    ]


def _parts(count: int, of: int) -> list[range]:
    """So many, divided as equally as can be; the last ones have one more."""
    bounds = [count * i // of for i in range(of + 1)]
    return [range(start, end) for start, end in pairwise(bounds)]


# What members see of each other


class Board:
    """Numbers that all processes see, where a publisher and its subscribers are not in the same one.

    Each is written by one process. Nobody is woken when one changes: who waits for it looks again.

    Args:
        memory: shared by all; ``size`` bytes.
        number: of this process.
        of: how many there are.
        publishers: how many there are in all.
    """

    def __init__(self, memory: "bytearray | mmap.mmap", number: int, of: int, publishers: int) -> None:
        self._cells = memoryview(memory).cast("Q")
        self._number = number
        self._of = of
        self._announced = of * publishers  # behind what was noted

    @staticmethod
    def size(of: int, publishers: int) -> int:
        """Bytes that it takes."""
        return (of + 1) * max(publishers, 1) * _CELL

    def listens(self, publisher: int) -> None:
        """Somebody in this process wants what that publisher sends; nothing has come yet."""
        self._cells[publisher * self._of + self._number] = 1

    def note(self, publisher: int, count: int) -> None:
        """So many of its messages have come to this process: to the slowest of its subscribers, or to its group."""
        self._cells[publisher * self._of + self._number] = count + 1  # 0: nobody listens

    def arrived(self, publisher: int) -> int:
        """How many of its messages have come to everybody; 0 if nobody listens."""
        return min(self._noted(publisher), default=0)

    def total(self, publisher: int) -> int:
        """How many of its messages have come to all processes together, where each comes to one of a group."""
        return sum(self._noted(publisher))

    def announce(self, publisher: int, count: int) -> None:
        """So many messages it has sent, and no more will follow."""
        self._cells[self._announced + publisher] = count + 1

    def announced(self, publisher: int) -> int | None:
        """How many messages it has sent in all; None: it still sends."""
        cell = self._cells[self._announced + publisher]
        return cell - 1 if cell else None

    def close(self) -> None:
        """Let go of the memory."""
        self._cells.release()

    def _noted(self, publisher: int) -> list[int]:
        start = publisher * self._of
        return [cell - 1 for cell in self._cells[start : start + self._of] if cell]


class Company(Protocol):
    """Those with whom a process carries out a plan."""

    share: Share
    """What is this process's own."""

    board: Board
    """What it sees of the others."""

    over: asyncio.Event
    """The run is to end early, with what there is."""

    async def meet(self, name: str) -> float:
        """Wait until all have come here; the moment at which all go on, by ``time.monotonic``."""


class Alone:
    """A plan that one process carries out."""

    def __init__(self, plan: Plan) -> None:
        self.share = divide(plan)[0]
        self.board = Board(bytearray(Board.size(1, plan.publishers)), 0, 1, plan.publishers)
        self.over = asyncio.Event()

    async def meet(self, name: str) -> float:
        """Everybody is here."""
        return time.monotonic()


class Member:
    """One of several processes, among the others.

    Args:
        share: what is its own.
        board: what it sees of the others.
        say: tells the leader something.
    """

    def __init__(self, share: Share, board: Board, say: Callable[[dict[str, Any]], None]) -> None:
        self.share = share
        self.board = board
        self.over = asyncio.Event()
        self._say = say
        self._meetings: dict[str, asyncio.Future[float]] = {}

    async def meet(self, name: str) -> float:
        """Wait until all have come here; the moment at which all go on, by ``time.monotonic``."""
        meeting: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._meetings[name] = meeting
        self._say({"met": name})
        moment = await meeting
        await asyncio.sleep(moment - time.monotonic())
        return moment

    def heard(self, message: dict[str, Any]) -> None:
        """The leader says something."""
        if "over" in message:
            self.over.set()
        elif (meeting := self._meetings.get(message["go"])) is not None and not meeting.done():
            meeting.set_result(message["moment"])


# A member's process

CarryOut = Callable[[Plan, Company, Tell], Awaitable[Result]]


def follow(carry_out: CarryOut) -> None:
    """Be a member: hear from the leader what to do, do it, and say what came of it. The process ends with that."""
    output = os.dup(1)
    os.dup2(2, 1)  # what somebody prints is not for the leader

    def say(message: dict[str, Any]) -> None:
        _write(output, json.dumps(message).encode() + b"\n")

    lines = _Lines(0)
    order = lines.next()
    if order is None:
        os._exit(1)  # the leader is gone
    try:
        say(_follow(order, lines, carry_out, say))
    except BaseException as error:
        if not isinstance(error, MqttError | OSError | ValueError):  # a fault of ours: where, is worth knowing
            traceback.print_exc()
        say(_described(error))
    sys.stderr.flush()
    os._exit(0)  # the thread that listens to the leader would hold up an orderly end


def _follow(
    order: dict[str, Any], lines: "_Lines", carry_out: CarryOut, say: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    plan, share = pickle.loads(base64.b64decode(order["order"]))
    board = Board(_attached(order["memory"], order["size"]), share.number, share.of, plan.publishers)

    def tell(progress: Progress) -> None:
        say({"progress": {**vars(progress), "last": progress.last.to_json()}})

    async def main() -> Result:
        member = Member(share, board, say)
        loop = asyncio.get_running_loop()
        threading.Thread(target=_listen, args=(lines, loop, member), daemon=True).start()
        return await carry_out(plan, member, tell)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return {"result": runner.run(main()).to_json()}


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop: uvloop's where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _listen(lines: "_Lines", loop: asyncio.AbstractEventLoop, member: Member) -> None:
    """Hear what the leader says. When it says nothing more it is gone, and nobody wants what we do."""
    while (message := lines.next()) is not None:
        try:
            loop.call_soon_threadsafe(member.heard, message)
        except RuntimeError:  # the loop is closed: all is done
            return
    os._exit(1)


class _Lines:
    """Lines of JSON that come from a pipe. Without buffers of Python's, which a thread would hold at the end."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._rest = b""

    def next(self) -> dict[str, Any] | None:
        """The next one; None: nobody writes there any more."""
        while b"\n" not in self._rest:
            data = os.read(self._pipe, 65_536)
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


def _write(pipe: int, data: bytes) -> None:
    """Write all of it."""
    left = memoryview(data)
    while left:
        left = left[os.write(pipe, left) :]


def _described(error: BaseException) -> dict[str, Any]:
    """An error, for the leader."""
    text = str(error) if isinstance(error, MqttError | OSError | ValueError) else repr(error)
    return {
        "failed": text or type(error).__name__,
        "type": type(error).__name__,
        "code": getattr(error, "reason_code", None),
        "errno": getattr(error, "errno", None),
    }


def _error_of(message: dict[str, Any], who: str) -> Exception:
    """The error that a member described, as if it had happened here; a fault of ours is said to be that."""
    name, text = message["type"], message["failed"]
    kind = getattr(errors, name, None) or getattr(builtins, name, None)
    if name == "Refused":
        return Refused(message["code"], text)
    if not isinstance(kind, type) or not issubclass(kind, MqttError | OSError | ValueError):
        if message["errno"] is None:
            return ChildProcessError(f"{who} failed: {text}")
        kind = OSError  # a library's own, such as ``socket.gaierror``
    if issubclass(kind, errors.ProtocolError):  # it has its code in its text
        kind = MqttError
    made: Exception = kind(text)
    if isinstance(made, OSError):
        made.errno = message["errno"]
    return made


# Memory that all share


class _Memory:
    """Memory that processes share: a file that has no name, or on Windows a name that has no file."""

    def __init__(self, size: int) -> None:
        self.files: tuple[int, ...] = ()  # that a member must inherit
        self.where: int | str = f"telex-bench-{os.getpid()}-{random.getrandbits(64)}"
        if sys.platform == "win32":
            self.map = mmap.mmap(-1, size, tagname=self.where)
            return
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - to the end
        self._file.truncate(size)
        self.where = self._file.fileno()
        self.files = (self.where,)
        self.map = mmap.mmap(self.where, size)

    def close(self) -> None:
        """Give it back."""
        self.map.close()
        if self.files:
            self._file.close()


def _attached(where: int | str, size: int) -> mmap.mmap:
    """The memory that the leader has made."""
    if isinstance(where, int):
        return mmap.mmap(where, size)
    if sys.platform == "win32":
        return mmap.mmap(-1, size, tagname=where)
    raise AssertionError("memory has a name on Windows only")


# The leader


def lead(plan: Plan, tell: Tell | None = None) -> Result:
    """Carry out a plan in several processes, and wait for its end.

    Ctrl-C ends the run early, with what was measured until then; a second one ends it at once.

    Args:
        plan: what is asked.
        tell: called about once a second.

    Raises:
        MqttError: as the clients raise it; what one process raises ends the others.
        OSError: the same; and ``ChildProcessError``: a process has ended that should not have.
        ValueError: the plan cannot be handed to other processes.
        KeyboardInterrupt: the second Ctrl-C.
    """
    leader = _Leader(plan, tell)
    try:
        with leader.interruptible():
            leader.start()
            return leader.wait()
    finally:
        leader.end()


@dataclass
class _Hand:
    """One member, as the leader sees it."""

    number: int
    process: subprocess.Popen[bytes]
    met: set[str] = field(default_factory=set)
    progress: Progress | None = None  # that nobody was told yet
    result: Result | None = None


class _Interruptible:
    """As long as it is entered, Ctrl-C calls something the first time, and raises KeyboardInterrupt the second."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._before: Any = None
        self._is_first = True

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            self._before = signal.signal(signal.SIGINT, self._on_signal)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._is_first:
            raise KeyboardInterrupt
        self._is_first = False
        self._call()


class _Leader:
    def __init__(self, plan: Plan, tell: Tell | None) -> None:
        self._plan = plan
        self._tell = tell
        self._hands: list[_Hand] = []
        # From the threads that listen and, at Ctrl-C, from between two steps of ours: put() may be called in get().
        self._heard: SimpleQueue[tuple[int, dict[str, Any] | None]] = SimpleQueue()
        self._memory = _Memory(Board.size(plan.processes, plan.publishers))
        self._done_meetings: set[str] = set()
        self._first_told = 0.0  # when the first of those came that wait to be told
        self._ends_at: float | None = None  # it was interrupted, and members have until then

    def interruptible(self) -> _Interruptible:
        """Ctrl-C ends the run early."""
        return _Interruptible(lambda: self._heard.put((-1, {"over": True})))

    def start(self) -> None:
        """Start all members."""
        try:
            orders = [base64.b64encode(pickle.dumps((self._plan, share))).decode() for share in divide(self._plan)]
        except (TypeError, pickle.PicklingError) as error:
            raise ValueError(f"this plan is for one process only: {error}") from None
        for number, order in enumerate(orders):
            hand = _Hand(number, _start_process(self._memory.files))
            self._hands.append(hand)
            threading.Thread(target=self._listen, args=(hand,), daemon=True).start()
            self._say(hand, {"order": order, "memory": self._memory.where, "size": len(self._memory.map)})

    def wait(self) -> Result:
        """Lead until all have said what came of it."""
        while any(hand.result is None for hand in self._hands):
            try:
                number, message = self._heard.get(timeout=_LOOK_SECONDS)
            except Empty:
                pass
            else:
                if number < 0:
                    self._interrupt()
                else:
                    self._on_message(self._hands[number], message)
            self._tell_progress()
            if self._ends_at is not None and time.monotonic() > self._ends_at:
                late = next(hand for hand in self._hands if hand.result is None)
                raise Timeout(f"{self._name(late)} does not come to an end")
        whole = self._hands[0].result
        assert whole is not None  # so the loop ended
        for hand in self._hands[1:]:
            assert hand.result is not None  # the same
            whole.add(hand.result)
        return whole

    def end(self) -> None:
        """See to it that nobody is left."""
        for hand in self._hands:
            if hand.result is None:
                hand.process.kill()
            assert hand.process.stdin is not None  # they are pipes
            with suppress(OSError):  # it is gone, with something left in the pipe
                hand.process.stdin.close()  # who is still there hears that, and ends
        for hand in self._hands:
            try:
                hand.process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                hand.process.kill()
                hand.process.wait()
        self._memory.close()

    # What members say

    def _listen(self, hand: _Hand) -> None:
        """Pass on all that one member says."""
        assert hand.process.stdout is not None  # it is a pipe
        with hand.process.stdout as pipe:
            lines = _Lines(pipe.fileno())
            while (message := lines.next()) is not None:
                self._heard.put((hand.number, message))
        self._heard.put((hand.number, None))

    def _on_message(self, hand: _Hand, message: dict[str, Any] | None) -> None:
        if message is None:
            if hand.result is None:
                raise ChildProcessError(f"{self._name(hand)} {_end_of(hand.process.wait())}")
        elif "failed" in message:
            raise _error_of(message, self._name(hand))
        elif "result" in message:
            hand.result = Result.from_json(message["result"])
            self._look_for_meetings()
        elif "progress" in message:
            said = message["progress"]
            hand.progress = Progress(**{**said, "last": Tally.from_json(said["last"])})
            self._first_told = self._first_told or time.monotonic()
        else:
            hand.met.add(message["met"])
            self._look_for_meetings()

    def _look_for_meetings(self) -> None:
        """Send on those who are all together. Who has ended is missed by nobody."""
        there = [hand for hand in self._hands if hand.result is None]
        if not there:
            return
        for name in set.intersection(*[hand.met for hand in there]) - self._done_meetings:
            self._done_meetings.add(name)
            moment = time.monotonic() + _HEAD_START
            for hand in there:
                self._say(hand, {"go": name, "moment": moment})

    def _tell_progress(self) -> None:
        """Tell of the progress of all, when all have told of theirs or have not for long."""
        told = [hand.progress for hand in self._hands if hand.progress is not None]
        if not told:
            return
        missing = [hand for hand in self._hands if hand.progress is None and hand.result is None]
        if missing and time.monotonic() - self._first_told < _STRAGGLER_SECONDS:
            return
        for hand in self._hands:
            hand.progress = None
        self._first_told = 0.0
        if self._tell is not None:
            self._tell(merged(told))

    # What members are told

    def _interrupt(self) -> None:
        self._ends_at = time.monotonic() + self._plan.patience + _GRACE_SECONDS
        for hand in self._hands:
            self._say(hand, {"over": True})

    def _say(self, hand: _Hand, message: dict[str, Any]) -> None:
        assert hand.process.stdin is not None  # it is a pipe
        with suppress(BrokenPipeError):  # it is gone, as we shall hear
            _write(hand.process.stdin.fileno(), json.dumps(message).encode() + b"\n")

    def _name(self, hand: _Hand) -> str:
        return f"process {hand.number + 1} of the {len(self._hands)} that make the load"


def merged(told: Sequence[Progress]) -> Progress:
    """The progress of all processes, as that of one: it is where the last of them is."""
    first = min(told, key=lambda progress: _PHASES.get(progress.phase, 0))
    last = Tally()
    for each in told:
        last.add(each.last)
    return Progress(
        phase=first.phase,
        seconds=first.seconds,
        of_seconds=first.of_seconds,
        connected=sum(each.connected for each in told),
        of_connections=sum(each.of_connections for each in told),
        last=last,
    )


_PHASES: Final = {"connecting": 0, "warming up": 1, "measuring": 2, "draining": 3}


def _start_process(files: tuple[int, ...]) -> "subprocess.Popen[bytes]":
    """One more Python, with the same modules. Ctrl-C does not reach it: it is told by us."""
    path = os.pathsep.join(each or os.getcwd() for each in sys.path)
    command = [sys.executable, "-P", "-m", _MEMBER]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    if sys.platform == "win32":
        pipes["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        pipes |= {"process_group": 0, "pass_fds": files}
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, **pipes)


def _end_of(code: int) -> str:
    """How a process ended, that should not have."""
    if code >= 0:
        return f"has ended with exit code {code} in the middle of its work"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # a signal without a name
        return f"was ended by signal {-code}"
