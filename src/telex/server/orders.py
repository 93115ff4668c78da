"""Orders to a broker from its own machine: ``telex reload``, ``telex bridge list``.

A broker listens on a port of the loopback interface and writes it down, with a
secret, in a file that only its user can read. Whoever can read that may give
orders. It works the same on every system.
"""

import asyncio
import errno
import hmac
import json
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import platformdirs

_MOST_BYTES: Final = 4_096  # of an order
_SECONDS: Final = 10.0  # to say one
ANSWER_SECONDS: Final = 60.0
"""How long carrying out an order may take."""

Carry = Callable[[str], Awaitable[str]]
"""Carries out an order and says what came of it; a ValueError or an OSError says why that was impossible."""


def directory() -> Path:
    """Where running brokers write down how to reach them."""
    given = os.environ.get("RUNTIME_DIRECTORY")  # systemd's word for it
    if sys.platform == "linux" and given:
        return Path(given.split(":")[0])
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/run/telex")
    # Not XDG_RUNTIME_DIR: a service of this user has none, or another one than who is logged in.
    return Path(platformdirs.user_state_dir("telex", appauthor=False)) / "run"


class Orders:
    """Takes orders for one broker.

    Args:
        carry: carries them out.
        place: the directory of the file.
    """

    def __init__(self, carry: Carry, place: Path | None = None) -> None:
        self._carry = carry
        self._place = place
        self._path: Path | None = None  # of the file, while it is there
        self._secret = secrets.token_hex(16)
        self._server: asyncio.Server | None = None
        self._hearing: set[asyncio.Task[None]] = set()  # one for each connection

    async def open(self) -> None:
        """Take orders from now on.

        Raises:
            OSError: the file cannot be written, or others could put one of theirs in its place.
        """
        place = self._place or directory()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(place):
            raise PermissionError(errno.EPERM, "it belongs to another user", str(place))
        self._server = await asyncio.start_server(self._came, "127.0.0.1", 0, limit=_MOST_BYTES)
        port = self._server.sockets[0].getsockname()[1]
        self._path = place / f"{os.getpid()}.json"
        self._write(self._path, port)

    def _write(self, path: Path, port: int) -> None:
        path.unlink(missing_ok=True)  # of another process, long ago
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            json.dump({"port": port, "secret": self._secret}, file)

    async def close(self) -> None:
        """Take no more orders."""
        with suppress(OSError):  # another user's directory, after we gave up being root
            if self._path is not None:
                self._path.unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()
            for task in self._hearing:
                task.cancel()
            await asyncio.gather(*self._hearing, return_exceptions=True)
            await self._server.wait_closed()

    def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._hear(reader, writer))
        self._hearing.add(task)
        task.add_done_callback(self._hearing.discard)

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                line = await reader.readline()
            answer = await self._answer(line)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, RecursionError):  # whoever that was, it is no order
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, str]:
        said = json.loads(line)
        secret = str(said.get("secret")) if isinstance(said, dict) else ""
        if not hmac.compare_digest(secret.encode(errors="replace"), self._secret.encode()):
            return {"error": "that is not the secret"}
        try:
            return {"done": await self._carry(str(said.get("order")))}
        except (OSError, ValueError) as error:
            return {"error": str(error)}


def running(place: Path | None = None) -> dict[int, Path]:
    """The brokers of this user that run here: process id -> file."""
    found: dict[int, Path] = {}
    place = place or directory()
    if not place.is_dir() or not _is_ours(place):
        return found
    for path in sorted(place.glob("*.json")):
        if path.stem.isdigit() and _is_alive(path):
            found[int(path.stem)] = path
    return found


def give(path: Path, order: str) -> str:
    """Give an order to the broker that wrote a file; comes back with what came of it.

    Raises:
        OSError: it cannot be reached.
        ValueError: it could not carry out the order; says why.
    """
    said = json.loads(path.read_text())
    with socket.create_connection(("127.0.0.1", said["port"]), timeout=ANSWER_SECONDS) as connection:
        connection.sendall(json.dumps({"secret": said["secret"], "order": order}).encode() + b"\n")
        with connection.makefile("rb") as file:
            answer = json.loads(file.readline() or b'{"error": "it ended without an answer"}')
    if "error" in answer:
        raise ValueError(answer["error"])
    done: str = answer["done"]
    return done


def _is_ours(place: Path) -> bool:
    """Whether nobody but us and root made a directory, and the one above it: below /tmp anybody could."""
    if os.name != "posix" or os.geteuid() == 0:
        return True
    return all(os.stat(each).st_uid in (0, os.geteuid()) for each in (place, place.parent))


def _is_alive(path: Path) -> bool:
    """Whether somebody answers at the port of a file; one that was left by a crash is taken away."""
    try:
        port = json.loads(path.read_text())["port"]
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except PermissionError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        with suppress(OSError):
            path.unlink()
        return False
