"""The compiled core: which modules mypyc turns into C. All else is in pyproject.toml."""

import sys
from glob import glob
from importlib import metadata
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "build_backend"))
from backend import shall_compile

# One group, so that calls between these modules are calls between C functions (see ARCHITECTURE.md).
CORE = [
    "codes.py",
    "errors.py",
    "topics.py",
    "flow.py",
    "wire/*.py",
    "engine/*.py",
    "streams/frames.py",
    "client/connection.py",
    "client/message.py",
    "client/subscription.py",
    "client/inbox.py",
    "client/publishing.py",
    "client/link.py",
    "server/stores/changes.py",
    "bench/histogram.py",
    "bench/counts.py",
    "bench/ring.py",
    "bench/track.py",
    "bench/sender.py",
    "bench/receiver.py",
    "bench/schedule.py",
]


def extensions() -> list:
    """The core as one C extension; nothing for an editable install, which runs the sources."""
    if "editable_wheel" in sys.argv or "bdist_wheel" not in sys.argv or not shall_compile():
        return []
    from mypyc.build import mypycify

    files = sorted(
        path for pattern in CORE for path in glob(f"src/telex/{pattern}") if not path.endswith("__init__.py")
    )
    # What is not compiled is mypy's business and not the build's, where the libraries that it imports are not there.
    core = mypycify(["--follow-imports=silent", *files], opt_level="3", debug_level="0", group_name="telex")
    # The library says which mypyc made it: how many instructions it takes depends on that (benchmarks/counts.py).
    made_by = Path("build/made_by.c")
    made_by.write_text(f'const char telex_made_by[] = "by mypyc {metadata.version("mypy")}";\n')
    for extension in core:
        if extension.name == "telex__mypyc":
            extension.sources.append(str(made_by))
    return core


setup(ext_modules=extensions())
