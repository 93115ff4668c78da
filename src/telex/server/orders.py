"""Orders to a broker from its own machine: ``telex reload``.

A broker listens on a port of the loopback interface and writes it down, with a
secret, in a file that only its user can read. Whoever can read that may give
orders. It works the same on every system.
"""

import asyncio
import hmac
import json
import os
import secrets
import socket
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
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/run/telex")
    return Path(platformdirs.user_runtime_dir("telex", appauthor=False))


class Orders:
    """Takes orders for one broker.

    Args:
        carry: carries them out.
        place: the directory of the file.
    """

    def __init__(self, carry: Carry, place: Path | None = None) -> None:
        self._carry = carry
        self._path = (place or directory()) / f"{os.getpid()}.json"
        self._secret = secrets.token_hex(16)
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Take orders from now on.

        Raises:
            OSError: the file cannot be written.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._server = await asyncio.start_server(self._hear, "127.0.0.1", 0, limit=_MOST_BYTES)
        port = self._server.sockets[0].getsockname()[1]
        self._write(port)

    def _write(self, port: int) -> None:
        self._path.unlink(missing_ok=True)  # of another process, long ago
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            json.dump({"port": port, "secret": self._secret}, file)

    async def close(self) -> None:
        """Take no more orders."""
        with suppress(OSError):  # another user's directory, after we gave up being root
            self._path.unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                line = await reader.readline()
            answer = await self._answer(line)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, TimeoutError):  # whoever that was, it is no order
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, str]:
        said = json.loads(line)
        if not isinstance(said, dict) or not hmac.compare_digest(str(said.get("secret")), self._secret):
            return {"error": "that is not the secret"}
        try:
            return {"done": await self._carry(str(said.get("order")))}
        except (OSError, ValueError) as error:
            return {"error": str(error)}


def running(place: Path | None = None) -> dict[int, Path]:
    """The brokers of this user that run here: process id -> file."""
    found = {}
    for path in sorted((place or directory()).glob("*.json")):
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
