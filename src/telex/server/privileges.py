"""Giving up being root, when what only root may do is done."""

import os
from contextlib import suppress
from pathlib import Path

from telex.server.config import ConfigError

try:
    import grp
    import pwd
except ImportError:  # Windows knows no such users
    pwd = None  # type: ignore[assignment]


def give_to(user: str, path: Path) -> None:
    """Let a user own a directory and what is in it, if we may do that and it is to be ours no more.

    Raises:
        ConfigError: there is no such user.
    """
    if not is_root():
        return
    entry = _entry(user)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in [path, *path.iterdir()]:
        with suppress(FileNotFoundError):  # SQLite takes its files away by itself
            os.chown(each, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


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
