"""A broker in a process of its own, on one port and one directory for all its lives.

Knows how it is started, killed and stopped, and what it printed. Knows nothing of
MQTT. Whoever starts a life waits for its end: nothing is left running.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.processes import serve_command

SECONDS = 20.0
"""How long anything may take before it counts as never."""


class BrokerProcess:
    """``telex serve``, again and again.

    Args:
        directory: for its data and its log.
        arguments: more of them for ``telex serve``.
    """

    def __init__(self, directory: Path, arguments: Sequence[str] = ()) -> None:
        self.port = quiet_port()
        self._arguments = arguments
        self._data = directory / "data"
        self._log = directory / "log"
        self._told = 0  # bytes of the log that were looked at
        # Not asyncio's: there the exit code of a process that ends while a signal is sent to it may be lost.
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self, *settings: str) -> None:
        """Begin a life; each setting is one for ``--set``."""
        assert self._process is None  # the life before was waited for
        command = serve_command("-p", str(self.port), "--data", str(self._data), "--sys-interval", "0", "-q")
        command += self._arguments
        for setting in settings:
            command += ["--set", setting]
        with self._log.open("ab") as log:
            # Clients of these lives take over from themselves all the time, and are not to be slowed down.
            environment = {**os.environ, "TELEX_PROTECTION__TAKEOVERS": "0"}
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)

    async def is_ready(self) -> bool:
        """Wait for the last line of its banner: False if it ended before."""
        async with asyncio.timeout(SECONDS):
            return await asyncio.to_thread(self._reads_banner)

    def _reads_banner(self) -> bool:
        assert self._process is not None
        assert self._process.stdout is not None
        return any(line.startswith(b"  stop ") for line in self._process.stdout)

    def kill(self) -> None:
        """End it at once, as it stands."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to stop in order."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """Wait for its end: its exit code, and what it logged, which should be nothing.

        But for clients that had said nothing yet when it stopped: they are told so, and the log too.
        """
        process = self._process
        assert process is not None
        assert process.stdout is not None
        async with asyncio.timeout(SECONDS):
            returncode = await asyncio.to_thread(process.wait)
        process.stdout.close()
        self._process = None
        with self._log.open("rb") as log:
            log.seek(self._told)
            said = log.read()
        self._told += len(said)
        lines = said.decode(errors="replace").splitlines()
        return returncode, "\n".join(line for line in lines if "(0x8B server shutting down)" not in line)

    async def close(self) -> None:
        """Leave nothing running, whatever has happened."""
        if self._process is not None:
            self.kill()
            await self.ended()


def quiet_port() -> int:
    """A free port that no outgoing connection of this machine is given while the broker is down.

    Systems take those from 32,768 on; a client that knocks at such a port while nobody
    listens may even be connected to itself.
    """
    for _ in range(1_000):
        port = random.randrange(15_000, 32_000)  # by the system's chance, not by the seed: runs may stand side by side
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
