"""Members of a run that do what a test says, by the plan's prefix: ``python -m tests.bench.members``.

::

    work            all meet, tell of themselves and come to a result
    alone           the same, but the last one does not come to the second meeting
    wait            all meet, tell of themselves and wait until it is over
    stay            the same, and does not hear that it is over
    print           somebody prints something
    raise:NAME      the last one raises that, the others wait
    exit:CODE       the last one ends with that code
"""

import asyncio
import builtins
import os
import sys

from telex import errors
from telex.bench.plan import Plan
from telex.bench.processes import Company, Tell, follow
from telex.bench.result import Progress, Result, Tally
from telex.codes import ReasonCode
from telex.errors import ProtocolError, Refused


async def carry_out(plan: Plan, company: Company, tell: Tell) -> Result:
    what, _, how = plan.prefix.partition(":")
    share = company.share
    is_last = share.number == share.of - 1
    came = await company.meet("started")
    if what == "raise" and is_last:
        raise error_named(how)
    if what == "exit" and is_last:
        os._exit(int(how))
    if what == "print":
        print("this is not for the leader", flush=True)
    last = Tally(seconds=1.0, sent=len(share.publishers), received=share.number)
    last.latency.record(100.0)
    tell(Progress(phase="measuring", seconds=1.0, of_seconds=2.0, connected=1, of_connections=2, last=last))
    if what in ("wait", "raise", "exit"):
        await company.over.wait()
    if what == "stay":
        await asyncio.sleep(3_600)
    if not (what == "alone" and is_last):
        await company.meet("stopped")
    # The one moment at which all came to the first meeting, for the test to compare.
    return Result(kind=plan.kind, measured=last, complaints=[f"at {came!r}"], interrupted=company.over.is_set())


def error_named(name: str) -> Exception:
    if name == "Refused":
        return Refused(5, "the broker refused the connection: not authorised")
    if name == "ProtocolError":
        return ProtocolError(ReasonCode.PROTOCOL_ERROR, "a second CONNACK")
    if name == "gaierror":
        import socket

        return socket.gaierror(socket.EAI_NONAME, "no such host")
    kind = getattr(errors, name, None) or getattr(builtins, name)
    made: Exception = kind("what it says")
    return made


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    follow(carry_out)
