"""A Telex that serves a description, and tells its log to whoever tests it; ports for programs that are told theirs."""

import random
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes import lines_until, running, serve_command


@dataclass
class Serving:
    """A running broker.

    Args:
        ports: of its TCP listeners, in the order of the description.
        log: waits for a line of the log, and gives it; it has to come after those that were waited for before.
    """

    ports: list[int]
    _process: subprocess.Popen[str]

    def log(self, pattern: str) -> str:
        """The next line that has this in it, without its time."""
        lines = lines_until(self._process, pattern)
        return lines.splitlines()[-1]


@contextmanager
def serving(folder: Path, description: str) -> Iterator[Serving]:
    """``telex serve -c``, in memory. A telex.toml; its listeners have port 0, each gets a free one."""
    path = folder / "telex.toml"
    path.write_text(f'data = ""\n[log]\nto = ["stdout"]\nlevel = "debug"\n{description}')
    with running(*serve_command("-c", str(path))) as process:
        banner = lines_until(process, "stop  ")
        ports = re.findall(r"listening on +\S+://\S+:(\d+)$", banner, re.MULTILINE)
        yield Serving([int(port) for port in ports], process)


def port_to_keep() -> int:
    """A port for a program that is told its own, and for whatever takes that program's place later.

    It is below those that systems give to connections that go out, and to whoever asks for a free one:
    nobody has it by chance when it is wanted again.
    """
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
