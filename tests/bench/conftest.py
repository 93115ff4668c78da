"""What the tests of ``telex bench`` share: plans that take no time, and runs that end when enough has happened."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from telex.bench import processes
from telex.bench.counts import Counts
from telex.bench.plan import Plan
from telex.bench.processes import Alone
from telex.bench.result import Result, Tally
from telex.bench.run import _Run
from telex.client.address import parse_address
from telex.client.dialing import Dialer

NewPlan = Callable[..., Plan]


@pytest.fixture
def new_plan() -> NewPlan:
    """Makes a plan for a broker on a port of 127.0.0.1, or at an address: a tenth of a second, and no warm-up."""

    def make(where: int | str, kind: str = "pairs", **asked: Any) -> Plan:
        address = f"mqtt://127.0.0.1:{where}" if isinstance(where, int) else where
        dialer = asked.pop("dialer", None) or Dialer(parse_address(address))
        return Plan(**{"kind": kind, "dialer": dialer, "seconds": 0.1, "warm_up": 0.0, "patience": 5.0, **asked})

    return make


def flow(plan: Plan, messages: int = 100) -> Result:
    """Carry out a plan, however long it is to take, until that many messages have come, or whatever else is counted."""

    async def main() -> Result:
        company = Alone(plan)
        run = _Run(dataclasses.replace(plan, seconds=60.0), company, None)

        async def watch() -> None:
            while not run._result.connected and plan.kind != "connect":  # of whom nobody stays
                await asyncio.sleep(0.002)
            before = dataclasses.replace(run._before)  # it is measured from here on
            while not _is_enough(plan, run._counts, before, messages):
                await asyncio.sleep(0.002)
            company.over.set()

        watching = asyncio.create_task(watch())
        try:
            return await run.carry_out()
        finally:
            watching.cancel()

    with asyncio.Runner(loop_factory=processes.new_loop) as runner:
        return runner.run(main())


def _is_enough(plan: Plan, counts: Counts, before: Tally, messages: int) -> bool:
    if plan.kind == "connect":
        return counts.connected >= before.connected + messages
    if plan.kind == "churn":
        return counts.unsubscribed >= before.unsubscribed + messages
    acknowledged = counts.acknowledged >= before.acknowledged + messages
    if plan.kind == "pub":
        return acknowledged if plan.qos else counts.sent >= before.sent + messages
    has_answers = plan.qos > 0 or plan.kind == "mixed"
    return counts.received >= before.received + messages and (acknowledged or not has_answers)
