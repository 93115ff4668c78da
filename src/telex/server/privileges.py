"""Giving up being root, when what only root may do is done."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from telex.server.config import ConfigError

try:
    import grp
    import pwd
except ImportError:  # Windows knows no such users
    pwd = None  # type: ignore[assignment]

_OURS: Final = ("telex.db", "scram.", "bridges.")  # what the names of our files begin with


def give_to(user: str, path: Path) -> None:
    """Let a user own our data directory, if we may do that and it is to be ours no more.

    May be called while the files are in use. A directory that has other things in it stays whose it is.

    Raises:
        ConfigError: there is no such user.
    """
    if not is_root():
        return
    entry = _entry(user)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = list(path.iterdir())
    ours = [each for each in found if each.name.startswith(_OURS)]
    for each in ours if len(ours) < len(found) else [path, *ours]:
        with suppress(FileNotFoundError):  # SQLite takes its files away by itself
            _give(each, entry)


def _give(path: Path, entry: "pwd.struct_passwd") -> None:
    """Give away a directory, or a file that has no other name: who owns the directory may have linked one of root's."""
    # Never opened: closing any descriptor of a file ends all locks that this process has on it, SQLite's too.
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def become(user: str) -> None:
    """Be this user from now on, with its groups; does nothing if we are not root.

    Raises:
        ConfigError: there is no such user.
    """
    if not is_root():
        return
    entry = _entry(user)
    os.setgroups([each.gr_gid for each in grp.getgrall() if entry.pw_name in each.gr_mem])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def is_root() -> bool:
    """Whether we may do everything."""
    return pwd is not None and os.geteuid() == 0


def _entry(user: str) -> "pwd.struct_passwd":
    # Mosquitto becomes nobody where its own user is missing.
    for name in (user, "nobody") if user == "mosquitto" else (user,):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise ConfigError(f"user: there is no user {user!r} on this machine")
