"""Brokers in processes of their own that keep sessions on disk, each on one port for all its lives.

Knows how they are configured, started and ended. Knows nothing of MQTT.
"""

import getpass
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.interop.serving import port_to_keep
from tests.processes import SECONDS, find, serve_command, wait_for_port

KINDS: Final = ("telex", "mosquitto")

MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
log_type error
user {user}
persistence true
persistence_location {folder}/
max_queued_messages 0
queue_qos0_messages false
"""


class Lasting:
    """A broker that may be ended and begun again.

    Args:
        kind: one of ``KINDS``.
        folder: for what it keeps.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.port = port_to_keep()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        if kind == "mosquitto":
            find("mosquitto")  # or the test is skipped

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin a life, and wait until it listens."""
        assert self._process is None  # the life before was waited for
        # Its clients take over from themselves all the time, and are not to be slowed down.
        environment = {**os.environ, "TELEX_PROTECTION__TAKEOVERS": "0"}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, env=environment)
        wait_for_port(self.port)

    def _command(self) -> list[str]:
        if self.kind == "telex":
            place = ["--data", str(self._folder / "data"), "--sys-interval", "0"]
            limits = ["--set", "max_queued_messages=1000000"]
            return serve_command("-p", str(self.port), "-q", *place, *limits)
        conf = self._folder / "mosquitto.conf"
        words = {"port": self.port, "user": getpass.getuser(), "folder": self._folder}
        conf.write_text(MOSQUITTO_CONF.format(**words))
        return [find("mosquitto"), "-c", str(conf)]

    def end(self, number: int = signal.SIGTERM) -> None:
        """End its life by a signal, and wait for that."""
        process = self._process
        assert process is not None
        assert process.poll() is None, f"it ended by itself, see {self._folder}/log"
        process.send_signal(number)
        process.wait(SECONDS)
        self._process = None

    def crash(self) -> None:
        """End it in the roughest way that it promises to survive.

        Telex has on disk what it has acknowledged; Mosquitto writes its file when it is asked to end.
        """
        self.end(signal.SIGKILL if self.kind == "telex" else signal.SIGTERM)

    def is_alive(self) -> bool:
        """Whether it is there now."""
        return self._process is not None


@contextmanager
def lasting(kind: str, folder: Path) -> Iterator[Lasting]:
    """A broker that is not there yet; it is ended with the block."""
    broker = Lasting(kind, folder)
    try:
        yield broker
    finally:
        if broker.is_alive():
            broker.end(signal.SIGKILL)
