"""Programs that the tests run beside themselves. Each is ended by whoever started it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SECONDS = 20.0
"""How long anything may take before its test fails."""


@dataclass
class Server:
    """A broker that listens on 127.0.0.1."""

    port: int
    process: subprocess.Popen[str]
    banner: str = ""


def find(program: str) -> str:
    """Where a program of others is. Without it a test is skipped; in CI it fails."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed; tools/install-peers does that")
        pytest.skip(f"{program} is not installed")
    return found


def telex_command(*arguments: str) -> list[str]:
    """The command line of Telex, as it is imported here: the sources or what is installed."""
    return [sys.executable, "-m", "telex", *arguments]


def serve_command(*arguments: str) -> list[str]:
    """The command line of ``telex serve`` without its HTTP port, of which there is one for all tests at a time.

    What is about that port says where it is.
    """
    return telex_command("serve", "--no-http", *arguments)


def run(*command: str, stdin: str = "", seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def lines_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Read what a program prints until a line matches; the test's time-out ends a wait in vain."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if re.search(pattern, line):
            return seen
    stderr = process.stderr.read() if process.stderr is not None else ""
    raise AssertionError(f"the program ended without {pattern!r}; it printed:\n{seen}{stderr}")


@contextmanager
def telex(*arguments: str) -> Iterator[Server]:
    """``telex serve`` on a free port; it keeps its data in memory, unless ``--data`` says where.

    It has no HTTP port, unless ``--http`` says where.
    """
    place = [] if "--data" in arguments else ["--memory"]
    command = telex_command("serve") if "--http" in arguments else serve_command()
    with running(*command, "-p", "0", "-q", *place, *arguments) as process:
        banner = lines_until(process, "stop  ")
        found = re.search(r"mqtt://\S+:(\d+)", banner)
        assert found is not None, banner
        yield Server(int(found[1]), process, banner)


@contextmanager
def mosquitto() -> Iterator[Server]:
    """Debian's Mosquitto on a free port, for everybody on this machine.

    It logs errors only: nobody reads its log, and a pipe that is full would stop it.
    """
    program = find("mosquitto")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        options = ("allow_anonymous true", "sys_interval 1", "set_tcp_nodelay true", "log_type error")
        config.write_text("\n".join([f"listener {port} 127.0.0.1", *options, ""]))
        with running(program, "-c", str(config)) as process:
            wait_for_port(port)
            yield Server(port, process)


def _ports() -> Iterator[int]:
    """Ports that no system gives to whoever asks for any, and no other worker of the tests to its programs."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 10_000 + worker % 22 * 1_000  # up to 32,000: Linux gives those from 32,768 on
    while True:
        for number in range(1_000):
            yield first + (os.getpid() + number) % 1_000


_PORTS = _ports()


def free_port() -> int:
    """A port that is free, and that nobody else will take."""
    for port in _PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")


def wait_for_port(port: int) -> None:
    """Wait until something listens there."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=SECONDS).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)  # the program is starting; it has no other way to tell
