"""A secret of the broker that outlives the process."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from telex.server.config import ConfigError

_NAME: Final = "scram.secret"
_BYTES: Final = 32


def lasting_secret(directory: Path) -> bytes:
    """The secret that a directory keeps; it is made if it is not there.

    Raises:
        ConfigError: it can be neither read nor made.
    """
    path = directory / _NAME
    try:
        with suppress(FileNotFoundError):
            found = path.read_bytes()
            if len(found) == _BYTES:
                return found
        return _make(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot keep a secret there: {error.strerror}") from None


def _make(path: Path) -> bytes:
    """Write it whole or not at all: half a secret would be another one after the next start."""
    made = secrets.token_bytes(_BYTES)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(made)
    draft.replace(path)
    return made
