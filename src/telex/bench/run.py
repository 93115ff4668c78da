"""A run, from the first connection to the last: all come in, warm up, are measured, and what is on its way arrives.

Knows the order of things and the clock. What is done meanwhile is the business of ``Load``, and of what stands beside
it.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from telex.bench import files, processes, retained
from telex.bench.coming import Churning, Coming, Idle
from telex.bench.counts import Counts
from telex.bench.link import KeepAlives
from telex.bench.load import Load
from telex.bench.plan import Plan
from telex.bench.processes import Alone, Company, Share
from telex.bench.result import COUNTS, Phase, Progress, Result, Tally
from telex.bench.watching import Watch

Tell = Callable[[Progress], None]

_SECOND: Final = 1.0


def run(plan: Plan, tell: Tell | None = None) -> Result:
    """Carry out a plan, in as many processes as it says.

    Ctrl-C ends it early, with what was measured until then.

    Args:
        plan: what is asked.
        tell: called about once a second.

    Raises:
        MqttError: nobody could connect, as the clients say it.
        OSError: the same; or there is no process to be watched.
    """
    if plan.processes > 1:
        return processes.lead(plan, tell)

    async def main() -> Result:
        company = Alone(plan)
        loop = asyncio.get_running_loop()
        is_main = threading.current_thread() is threading.main_thread()
        with suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt
            if is_main:
                loop.add_signal_handler(signal.SIGINT, company.over.set)
        try:
            return await carry_out(plan, company, tell)
        finally:
            with suppress(NotImplementedError):  # otherwise uvloop would go on to swallow Ctrl-C
                loop.remove_signal_handler(signal.SIGINT)

    with asyncio.Runner(loop_factory=processes.new_loop) as runner:
        return runner.run(main())


async def carry_out(plan: Plan, company: Company, tell: Tell | None = None) -> Result:
    """Carry out one process's share of a plan.

    Args:
        plan: the whole of it.
        company: what is this process's own, and the others.
        tell: called about once a second.

    Raises:
        MqttError: nobody could connect.
        OSError: the same; or there is no process to be watched.
    """
    return await _Run(plan, company, tell).carry_out()


class _Clients:
    """Clients that publish nothing, where a ``Load`` is expected: nothing of theirs can be lost."""

    lost = duplicated = misordered = 0

    def __init__(self, clients: Coming | Churning, share: Share) -> None:
        self._clients = clients
        self.wanted = len(share.publishers)
        self.all_lost = asyncio.Event()  # they come again

    @property
    def connected(self) -> int:
        return self._clients.connected

    @property
    def complaints(self) -> list[str]:
        return self._clients.complaints

    async def come(self) -> None:
        await self._clients.come()

    def start(self, at: float) -> None:
        self._clients.start()

    async def stop(self) -> None:
        await self._clients.stop()

    async def drain(self) -> None:
        """Whoever is asked something answers at once."""

    async def leave(self) -> None:
        """They have left, unless the run ended before."""
        await self._clients.stop()


class _Run:
    def __init__(self, plan: Plan, company: Company, tell: Tell | None) -> None:
        self._plan = plan
        self._company = company
        self._tell = tell
        self._counts = Counts()
        self._keep_alives = KeepAlives()
        self._load = self._new_load()
        self._idle = Idle(plan, company.share)
        self._watch = Watch(plan.watch) if plan.watch and company.share.number == 0 else None
        self._result = Result(kind=plan.kind, described=plan.described())
        self._before = Tally()  # what was counted when the last second began
        self._since = 0.0  # when that was

    def _new_load(self) -> Load | _Clients:
        plan, share = self._plan, self._company.share
        if plan.kind == "connect":
            return _Clients(Coming(plan, share, self._counts), share)
        if plan.kind == "churn":
            return _Clients(Churning(plan, share, self._counts), share)
        return Load(plan, self._company, self._counts, self._keep_alives)

    async def carry_out(self) -> Result:
        """All of it, in order."""
        company, load, result = self._company, self._load, self._result
        coming_at_once = 2 if self._plan.kind == "connect" else 1  # as many others are not gone yet
        files.allow(coming_at_once * load.wanted + len(company.share.idle))
        try:
            await company.meet("started")
            await self._while_telling("connecting", self._come())
            begin = await company.meet("connected")
            if not self._is_over:
                load.start(begin)
            self._take(begin)
            await self._tell_while("warming up", self._plan.warm_up)
            await self._measure()
            await load.stop()
            await company.meet("stopped")
            await self._while_telling("draining", load.drain(), ends_early=False)
            await company.meet("drained")
            await retained.remove(self._plan, company.share)
        finally:
            await load.leave()
            await self._idle.leave()
            self._keep_alives.stop()
        result.lost, result.duplicated, result.misordered = load.lost, load.duplicated, load.misordered
        result.complaints = self._complaints()
        return result

    async def _come(self) -> None:
        """Let all come in, unless it ends early."""
        await retained.place(self._plan, self._company.share)
        await self._idle.come()
        await self._load.come()

    async def _while_telling(self, phase: Phase, work: Coroutine[Any, Any, None], *, ends_early: bool = True) -> None:
        """Do something and tell of each second, until it is done, or all is to end early."""
        telling = self._tell_while(phase, float("inf"), ends_early=ends_early)
        tasks = [asyncio.create_task(work), asyncio.create_task(telling)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                tasks[0].result()  # or what it raised
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.wait(tasks)

    async def _measure(self) -> None:
        result = self._result
        begin, own = time.monotonic(), time.process_time()
        result.connected = self._connected
        self._take(begin)
        if self._watch is not None:
            self._watch.start()
        await self._tell_while("measuring", self._plan.seconds, into=result.by_second)
        if self._watch is not None:
            result.watched = self._watch.stop()
        result.own_cpu_seconds = time.process_time() - own
        for each in result.by_second:
            result.measured.add(each)
        result.measured.seconds = time.monotonic() - begin

    async def _tell_while(
        self, phase: Phase, seconds: float, into: list[Tally] | None = None, *, ends_early: bool = True
    ) -> None:
        """Let it go on until the time is up, and tell of each second."""
        begin = time.monotonic()
        end = begin + seconds
        due = begin
        while due < end and not (ends_early and self._is_over):
            due = min(due + _SECOND, end)
            if end - due < _SECOND / 2:  # no last second that is hardly one
                due = end
            await (self._sleep_until(due) if ends_early else asyncio.sleep(due - time.monotonic()))
            last = self._take(time.monotonic())
            if into is not None:
                into.append(last)
            if self._tell is not None:
                self._tell(
                    Progress(
                        phase=phase,
                        seconds=time.monotonic() - begin,
                        of_seconds=seconds if seconds < float("inf") else 0.0,
                        connected=self._connected,
                        of_connections=self._load.wanted + len(self._company.share.idle),
                        last=last,
                    )
                )

    @property
    def _connected(self) -> int:
        return self._load.connected + self._idle.connected

    @property
    def _is_over(self) -> bool:
        """Whether it ends early."""
        return self._company.over.is_set() or self._load.all_lost.is_set()

    async def _sleep_until(self, moment: float) -> None:
        """Sleep, unless it ends early."""
        ends = [asyncio.ensure_future(each.wait()) for each in (self._company.over, self._load.all_lost)]
        await asyncio.wait(ends, timeout=max(0.0, moment - time.monotonic()), return_when=asyncio.FIRST_COMPLETED)
        for each in ends:
            each.cancel()

    def _take(self, now: float) -> Tally:
        """What was counted since the last call."""
        counts, before = self._counts, self._before
        sums = {name: getattr(counts, name) for name in COUNTS}
        last = Tally(
            seconds=now - self._since,
            latency=counts.take_latency(),
            **{name: value - getattr(before, name) for name, value in sums.items()},
        )
        self._before = Tally(**sums)
        self._since = now
        return last

    def _complaints(self) -> list[str]:
        counts = self._counts
        found = [*self._load.complaints, *self._idle.complaints]
        if counts.denied:
            found.append(f"the broker refused {counts.denied:,} of the messages")
        if counts.foreign:
            found.append(
                f"messages of somebody else came, {counts.foreign:,} of them: others use {self._plan.prefix!r} too"
            )
        self._result.interrupted = self._company.over.is_set()
        return found
