"""This machine: what else is busy on it, how fast its disk is, and what is said of it below a table.

Knows no broker but by its processor time, and no scenario.
"""

import os
import platform
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from brokers import Server, file_system_of
from figures import rounded

_COMMITTING_SECONDS: Final = 1.0  # to see how many commits a second the disk can do


def core_count() -> int:
    """The cores that this program may use."""
    return len(os.sched_getaffinity(0))


def others_cpu_seconds(*servers: Server) -> float:
    """Processor seconds used on this machine so far, but by the brokers, their loads and ourselves."""
    with open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    used = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # neither idle nor waiting for a disk
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        used -= usage.ru_utime + usage.ru_stime
    return used - sum(server.cpu_seconds() for server in servers)


def commits_per_second(directory: Path) -> float:
    """How fast the disk is at what a store needs of it: commits of one row, each of which waits for the disk."""
    with (
        tempfile.TemporaryDirectory(prefix="commits-", dir=directory) as name,
        closing(sqlite3.connect(Path(name) / "rows.db", isolation_level=None)) as database,
    ):
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, payload BLOB)")
        count, began = 0, time.monotonic()
        while (elapsed := time.monotonic() - began) < _COMMITTING_SECONDS:
            database.execute("INSERT INTO rows (payload) VALUES (?)", (b"x" * 64,))
            count += 1
    return count / elapsed


def said_of_disk(directory: Path, commits: Sequence[float]) -> str:
    """What it is, and how fast it was before and after all."""
    return (
        f"Data directories on {file_system_of(directory.resolve())}: SQLite does"
        f" {' and '.join(map(rounded, commits))} commits a second of one row each, before and after all this (WAL,"
        " synchronous=FULL)"
    )


def said_of_machine() -> str:
    """Its cores and its system."""
    with open("/proc/cpuinfo") as file:
        models = re.findall(r"model name\s*:\s*(.*)", file.read())
    model = models[0] if models else platform.machine()
    return f"Machine: {core_count()} cores, {model}, Linux {platform.release()}"


def allow_open_files(clients: int) -> int:
    """Raise the limit of open files, which brokers inherit; returns how many clients it allows."""
    needed = clients + 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        with suppress(ValueError, OSError):  # only root may go beyond the hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
            return clients
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(clients, max(soft, hard) - 500)


def compile_load(build: Path) -> tuple[Path, bool]:
    """Compile load.c with the C compiler that is here; and whether it can do TLS, which takes OpenSSL's headers.

    Raises:
        SystemExit: if there is none, or if it fails.
    """
    candidates = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    compiler = next((found for name in candidates if name and (found := shutil.which(name))), None)
    if compiler is None:
        sys.exit("No C compiler was found (cc, gcc, clang; or name one in CC); Debian: apt install gcc")
    load = build / "load"
    command = [compiler, "-O2", "-o", str(load), str(Path(__file__).resolve().parent / "load.c")]
    libraries = ["-lssl", "-lcrypto"]
    if subprocess.run([*command, *libraries], capture_output=True, timeout=120).returncode == 0:
        return load, True
    subprocess.run([*command, "-DNO_TLS"], check=True, timeout=120)
    return load, False
