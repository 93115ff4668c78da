"""Brokers with bridges in processes of their own, that keep what they have on disk, and are killed."""

import getpass
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from telex.server.config import Bridge
from tests.bridges.brokers import environment, lines_of
from tests.interop.serving import port_to_keep
from tests.processes import SECONDS, find, serve_command, wait_for_port

TELEX = """\
data = "data"
sys_interval = 0

[[listeners]]
host = "127.0.0.1"
port = {port}

[access]
allow_anonymous = true

[limits]
max_queued_messages = 1000000

[log]
level = "warning"
"""

BRIDGE = """
[[bridges]]
name = "{name}"
addresses = ["{address}"]
client_id = "{client_id}"
version = "{version}"
restart_first = 0.05
restart_most = 0.05
"""

TOPIC = """
[[bridges.topics]]
pattern = "{pattern}"
direction = "{direction}"
qos = {qos}
"""

MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
log_type error
user {user}
persistence true
persistence_location {folder}/
max_queued_messages 0
"""


class Lasting:
    """One broker, on one port for all its lives.

    Args:
        kind: ``telex`` or ``mosquitto``.
        folder: for what it keeps.
        bridges: that it has.
    """

    def __init__(self, kind: str, folder: Path, *bridges: Bridge) -> None:
        self.kind = kind
        self.port = port_to_keep()
        self.folder = folder
        self.bridges = bridges
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    def start(self) -> None:
        """Begin a life, and wait until it listens."""
        assert self._process is None  # the life before was waited for
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, env=environment())
        wait_for_port(self.port)

    def _command(self) -> list[str]:
        if self.kind == "telex":
            path = self.folder / "telex.toml"
            path.write_text(TELEX.format(port=self.port) + "".join(map(_toml, self.bridges)))
            return serve_command("-q", "-c", str(path))
        path = self.folder / "mosquitto.conf"
        text = MOSQUITTO.format(port=self.port, user=getpass.getuser(), folder=self.folder)
        path.write_text("\n".join([text, *(line for bridge in self.bridges for line in lines_of(bridge)), ""]))
        return [find("mosquitto"), "-c", str(path)]

    def end(self, number: int = signal.SIGKILL) -> None:
        """End its life by a signal, and wait for that."""
        process = self._process
        assert process is not None
        assert process.poll() is None, f"it ended by itself, see {self.folder}/log"
        process.send_signal(number)
        process.wait(SECONDS)
        self._process = None

    @property
    def is_alive(self) -> bool:
        """Whether it is there now."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid


def _toml(bridge: Bridge) -> str:
    text = BRIDGE.format(
        name=bridge.name, address=bridge.addresses[0], client_id=bridge.client_id, version=bridge.version
    )
    return text + "".join(
        TOPIC.format(pattern=each.pattern, direction=each.direction, qos=each.qos) for each in bridge.topics
    )


@contextmanager
def lasting(kind: str, folder: Path, *bridges: Bridge) -> Iterator[Lasting]:
    """A broker that lives; it is ended with the block."""
    broker = Lasting(kind, folder, *bridges)
    broker.start()
    try:
        yield broker
    finally:
        if broker.is_alive:
            broker.end()
