"""What the process takes of the machine, as far as the system tells."""

import os
import re
import sys
from pathlib import Path


def memory() -> int | None:
    """Bytes of memory now; None: the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError, IndexError):
        return None


def most_memory() -> int | None:
    """The most that it ever took, in bytes; None: the system does not tell."""
    try:
        # In place of getrusage(), which begins on Linux with what the process had that started this one.
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1]) * 1_024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1_024
