"""Files of one directory."""

import asyncio
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """What a path means."""

    path: Path
    size: int  # bytes


class Files:
    """What is served of ``directory``: regular files that are in it. There is no listing.

    Links are followed, but not out of the directory. For a directory within, its ``index.html`` is served.
    """

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    async def find(self, path: str) -> File | None:
        """The file that a path of a URL, without its %-signs, means; None: there is none."""
        return await asyncio.get_running_loop().run_in_executor(None, self._find, path)

    def _find(self, path: str) -> File | None:
        try:
            directory = self._directory.resolve(strict=True)
            found = (directory / path.lstrip("/")).resolve(strict=True)
            if not found.is_relative_to(directory):
                return None
            if found.is_dir():
                found = (found / "index.html").resolve(strict=True)
            if not found.is_file() or not found.is_relative_to(directory):
                return None
            return File(found, found.stat().st_size)
        except (OSError, ValueError, RuntimeError):  # nothing there, a name that cannot be one, links in a circle
            return None
