"""Builds Telex with setuptools, and compiles its core with mypyc where that can be done.

``TELEX_COMPILE=0`` never compiles, ``TELEX_COMPILE=1`` compiles or fails; without
it, Telex is compiled if a C compiler and Python's headers are found. The live page
is built before: see ``live_page.py``.
"""

import os
import platform
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - the hooks that are setuptools' own

sys.path.insert(0, str(Path(__file__).parent))
from live_page import LivePage, build_where_possible

# Another mypy than the tested one may compile to something else.
MYPYC = "mypy[mypyc]>=1.18,<3"


def why_not_compile() -> str | None:
    """What stands in the way of compiling here, or None."""
    if platform.python_implementation() != "CPython":
        return f"mypyc compiles for CPython, this is {platform.python_implementation()}"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return f"Python's headers are missing: no Python.h in {sysconfig.get_path('include')} (Debian: python3-dev)"
    if os.name == "nt":
        return None  # setuptools finds Visual C++ by itself, or says that it does not
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler: {compiler!r} was not found (Debian: gcc)"
    return None


def shall_compile() -> bool:
    """What TELEX_COMPILE asks for, or else what this machine can do.

    Raises:
        SystemExit: it asks for what cannot be done, or for nothing that we know.
    """
    wish = os.environ.get("TELEX_COMPILE", "")
    if wish not in ("", "0", "1"):
        raise SystemExit(f"TELEX_COMPILE={wish}: expected 0 (do not compile) or 1 (compile or fail)")
    obstacle = why_not_compile()
    if wish == "1" and obstacle is not None:
        raise SystemExit(f"TELEX_COMPILE=1, but {obstacle}")
    return wish != "0" and obstacle is None


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Setuptools' own requirements, and mypyc where it will be used."""
    requires: list[str] = build_meta.get_requires_for_build_wheel(config_settings)
    return [*requires, MYPYC] if shall_compile() else requires


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """An editable install runs from the sources, which stay interpreted."""
    requires: list[str] = build_meta.get_requires_for_build_editable(config_settings)
    return requires


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """A wheel, with the live page in it where that can be built."""
    build_where_possible(LivePage())
    wheel: str = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    return wheel


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """The sources, with the page built from them, so that who installs from them needs no npm."""
    build_where_possible(LivePage())
    sdist: str = build_meta.build_sdist(sdist_directory, config_settings)
    return sdist
