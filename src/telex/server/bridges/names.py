"""What must outlive the process so that bridges go on: the broker's name among brokers, and what is theirs here.

The name is that by which a broker knows its own messages when they come round (``engine/hops.py``). Sessions and
states are known so that those of a bridge that somebody took out of the description are not kept for ever; topics,
so that the remote hears of those that were taken out.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
from msgspec import Struct, field

from telex.engine.bridge import BridgeTopic
from telex.server import config
from telex.server.config import ConfigError

_FILE: Final = "bridges.json"

_Line = tuple[str, str, int, str, str]  # pattern, direction, QoS, local prefix, remote prefix


class _Known(Struct):
    """What is known of the bridge that has a session."""

    state: str  # the topic of its state; empty: it has none
    topics: list[_Line] | None = None  # that the remote has heard of; None: it was never there


class _File(Struct):
    name: str = field(default_factory=lambda: str(uuid4()))
    sessions: dict[str, _Known] = {}


class Names:
    """What a directory keeps.

    Args:
        directory: None: nothing is kept.

    Raises:
        ConfigError: it cannot be read.
    """

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / _FILE
        self._said = _File()
        self._is_kept = False  # it is in the file
        if self._path is None:
            return
        try:
            with suppress(FileNotFoundError):
                self._said = msgspec.json.decode(self._path.read_bytes(), type=_File)
                self._is_kept = True
        except OSError as error:
            raise ConfigError(f"{self._path}: it cannot be read: {error.strerror}") from None
        except ValueError:
            raise ConfigError(f"{self._path}: it is damaged; delete it, and bridges have a new name") from None

    @property
    def name(self) -> str:
        """That of this broker."""
        return self._said.name

    @property
    def sessions(self) -> dict[str, str]:
        """Those of bridges: client id -> the topic of the bridge's state; empty: it has none."""
        return {client_id: known.state for client_id, known in self._said.sessions.items()}

    def topics(self, client_id: str) -> list[BridgeTopic] | None:
        """What the remote has heard of that was to be carried by a session; None: nobody knows."""
        known = self._said.sessions.get(client_id)
        if known is None or known.topics is None:
            return None
        try:
            return [BridgeTopic(*line) for line in known.topics]
        except ValueError:  # by hand, or another version of Telex
            return None

    def keep(self, sessions: Mapping[str, str]) -> None:
        """These are the sessions of bridges from now on, with the topics of their states.

        Raises:
            ConfigError: it cannot be written.
        """
        known = self._said.sessions
        self._write(
            {
                client_id: _Known(state, known[client_id].topics if client_id in known else None)
                for client_id, state in sessions.items()
            }
        )

    def heard(self, client_id: str, topics: Iterable[config.BridgeTopic]) -> None:
        """The remote has heard of the topics of a session.

        Raises:
            ConfigError: it cannot be written.
        """
        known = self._said.sessions.get(client_id)
        if known is not None:
            lines: list[_Line] = [
                (each.pattern, each.direction, each.qos, each.local_prefix, each.remote_prefix) for each in topics
            ]
            self._write({**self._said.sessions, client_id: _Known(known.state, lines)})

    def _write(self, sessions: dict[str, _Known]) -> None:
        is_known = sessions == self._said.sessions and (self._is_kept or not sessions)
        said = _File(self._said.name, sessions)
        if self._path is not None and not is_known:
            draft = self._path.with_suffix(".new")
            try:
                draft.unlink(missing_ok=True)
                with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(msgspec.json.encode(said))
                    file.flush()
                    os.fsync(file.fileno())  # or it may be empty when the power was cut
                draft.replace(self._path)
            except OSError as error:
                raise ConfigError(f"{self._path}: it cannot be written: {error.strerror}") from None
            self._is_kept = True
        self._said = said
