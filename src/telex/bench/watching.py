"""What a broker's processes use: processor time, and memory that is resident.

Knows this machine's table of processes: /proc where there is one, and otherwise what ``ps`` says. Knows nothing of what
the processes do. A broker with several has all its descendants counted, also those that have ended meanwhile.
"""

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Final, NamedTuple

from telex.bench.result import Watched

_PS: Final = ("ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "time=", "-o", "rss=")
_CLOCK_OF_PROCESS: Final = 2  # CPUCLOCK_SCHED
_PS_SECONDS: Final = 10.0  # how long it may take: a machine under load has thousands of processes at times


class Used(NamedTuple):
    """What one process has used so far."""

    parent: int
    cpu_seconds: float
    memory: int
    """Bytes that are resident."""


class Watch:
    """Watches a process and its descendants, from before anybody connects until all is measured.

    Pages that several of them share count for each.

    Args:
        pid: of the broker, or of whatever started its processes.

    Raises:
        OSError: there is no such process on this machine, or this system does not tell.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu_seconds = 0.0
        self._memory_before = self.now().memory

    def start(self) -> None:
        """It is measured from now on.

        Raises:
            OSError: the process is gone.
        """
        self._cpu_seconds = self.now().cpu_seconds

    def stop(self) -> Watched:
        """What was used since ``start``.

        Raises:
            OSError: the process is gone.
        """
        used = self.now()
        return Watched(
            cpu_seconds=used.cpu_seconds - self._cpu_seconds,
            memory_before=self._memory_before,
            memory_after=used.memory,
        )

    def now(self) -> Used:
        """What all of them have used so far.

        Raises:
            OSError: the process is gone, or this system does not tell.
        """
        return total(table(), self._pid)


def total(processes: dict[int, Used], pid: int) -> Used:
    """What a process and its descendants have used.

    Raises:
        ProcessLookupError: it is not there.
    """
    if pid not in processes:
        raise ProcessLookupError(f"there is no process {pid} to be watched on this machine; is the broker on another?")
    children: dict[int, list[int]] = {}
    for each, used in processes.items():
        children.setdefault(used.parent, []).append(each)
    family = [pid]
    for each in family:  # grows meanwhile
        family += [child for child in children.get(each, ()) if child not in family]
    members = [processes[each] for each in family]
    return Used(processes[pid].parent, sum(each.cpu_seconds for each in members), sum(each.memory for each in members))


def table() -> dict[int, Used]:
    """All processes of this machine that we may see, by their ids.

    Raises:
        OSError: this system does not tell.
    """
    if os.path.exists("/proc/self/statm"):
        return _by_proc(Path("/proc"))
    try:
        said = subprocess.run(
            _PS, capture_output=True, text=True, timeout=_PS_SECONDS, check=True, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.SubprocessError):
        raise OSError("what a process uses cannot be seen on this system: it has neither /proc nor ps") from None
    return parse_ps(said.stdout)


def _by_proc(proc: Path) -> dict[int, Used]:
    """proc(5)."""
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    found = {}
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        try:
            stat = (proc / name / "stat").read_text(errors="replace")
            resident = int((proc / name / "statm").read_text().split()[1])
        except OSError:  # it has ended meanwhile, or is not ours to see
            continue
        fields = stat.rpartition(")")[2].split()  # behind the program's name, which may have anything in it
        # Fields 14 to 17: in user mode and in the kernel, and the same of children that have ended.
        own, of_children = sum(map(int, fields[11:13])) / ticks, sum(map(int, fields[13:15])) / ticks
        cpu = _precise(int(name), own) + of_children
        found[int(name)] = Used(int(fields[1]), cpu, resident * page)
    return found


def _precise(pid: int, roughly: float) -> float:
    """A process's own processor time, which proc(5) says to 10 ms only, in nanoseconds."""
    try:
        return time.clock_gettime(~pid << 3 | _CLOCK_OF_PROCESS)  # clock_getcpuclockid(3)
    except OSError:  # it has ended, or the kernel does not tell
        return roughly


def parse_ps(text: str) -> dict[int, Used]:
    """What ``ps`` says: process, parent, processor time and KiB in each line."""
    found = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 4:
            pid, parent, cpu, resident = fields
            found[int(pid)] = Used(int(parent), _seconds(cpu), int(resident) * 1024)
    return found


def _seconds(text: str) -> float:
    """``1-02:03:04``, ``62:03.04`` and whatever systems make of it: days, hours, minutes, seconds."""
    days, _, rest = text.rpartition("-")
    seconds = 0.0
    for part in re.split(":", rest):
        seconds = seconds * 60 + float(part)
    return seconds + int(days or 0) * 86_400
