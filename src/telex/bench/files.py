"""How many files a process may have open: each connection is one."""

from contextlib import suppress
from typing import Final

_OTHERS: Final = 64  # files that a process has besides its connections


def allow(connections: int) -> None:
    """Have the system let this process have so many connections, if it does so when it is asked.

    Raises:
        OSError: it does not.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHERS
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard == resource.RLIM_INFINITY or needed <= hard:
        with suppress(ValueError, OSError):  # some systems promise more than they allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
            return
    raise OSError(
        f"{connections:,} connections are too many for one process here, which may open {hard:,} files: share them "
        "among more processes, or have the limit raised (ulimit -Hn)"
    )
