"""Builds the live page, where npm is there: `dashboard/` becomes `src/telex/server/web/static/`.

``TELEX_PAGE=0`` never builds it, ``TELEX_PAGE=1`` builds it or fails; without it, the page is built if npm is found,
and an installation goes on if that fails: the broker then says at `/` how to build it. What was built from the same
sources is not built again. Run as a program, it builds or fails.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What decides what is built; the tests do not.
SOURCES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "public", "src")
# npm asks a registry that is not there for minutes otherwise.
BOUNDED = ("--fetch-retries=1", "--fetch-timeout=30000", "--no-audit", "--no-fund")


class PageError(Exception):
    """The page cannot be built, and why."""


class LivePage:
    """The page's sources, and what they become."""

    def __init__(self, root: Path = ROOT) -> None:
        self.sources = root / "dashboard"
        self.static = root / "src" / "telex" / "server" / "web" / "static"
        self._mark = self.static / ".source"

    @property
    def is_built(self) -> bool:
        """Whether there is a page of these very sources."""
        return (
            (self.static / "index.html").is_file()
            and self._mark.is_file()
            and self._mark.read_text(encoding="ascii") == self.digest()
        )

    def digest(self) -> str:
        """What tells sources apart."""
        files = [self.sources / name for name in SOURCES]
        files = sorted(
            found for path in files for found in (path.rglob("*") if path.is_dir() else [path]) if found.is_file()
        )
        whole = hashlib.sha256()
        for file in files:
            content = file.read_bytes().replace(b"\r\n", b"\n")  # as git checks texts out elsewhere
            whole.update(f"{file.relative_to(self.sources).as_posix()} {len(content)}\n".encode())
            whole.update(content)
        return whole.hexdigest()

    def build(self) -> None:
        """Build it, unless it is built.

        Raises:
            PageError: there is no npm, or it failed.
        """
        if self.is_built:
            return
        npm = shutil.which("npm")
        if npm is None:
            raise PageError("npm was not found (Debian: npm)")
        if not self._has_libraries():
            self._run(npm, "ci", *BOUNDED)
        self._run(npm, "run", "build")
        self._mark.write_text(self.digest(), encoding="ascii")

    def _has_libraries(self) -> bool:
        """Whether npm has installed what the lock file names; it writes down what it has installed, and when."""
        installed = self.sources / "node_modules" / ".package-lock.json"
        return installed.is_file() and installed.stat().st_mtime >= (self.sources / "package-lock.json").stat().st_mtime

    def _run(self, *command: str) -> None:
        # Without pip's: an npm that came from PyPI would look in the build's own libraries for itself.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        try:
            subprocess.run(command, cwd=self.sources, env=environment, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PageError(str(error)) from error


def build_where_possible(page: LivePage) -> None:
    """Do what TELEX_PAGE asks for, or else what this machine can do.

    Raises:
        SystemExit: it asks for what cannot be done, or for nothing that we know.
    """
    wish = os.environ.get("TELEX_PAGE", "")
    if wish not in ("", "0", "1"):
        raise SystemExit(f"TELEX_PAGE={wish}: expected 0 (do not build the live page) or 1 (build it or fail)")
    if wish == "0" or not page.sources.is_dir():
        return
    try:
        page.build()
    except PageError as error:
        if wish == "1":
            raise SystemExit(f"TELEX_PAGE=1, but the live page was not built: {error}") from error
        print(f"The live page was not built: {error}. All else is installed.", file=sys.stderr)


if __name__ == "__main__":
    try:
        LivePage().build()
    except PageError as error:
        sys.exit(f"The live page was not built: {error}")
