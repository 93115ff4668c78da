"""``python -m tests.fuzz TARGET [libFuzzer flags and folders]``: one target, until it is stopped or a law breaks.

Without a folder the run begins with the corpus of the repository and keeps what
it finds in ``build/fuzz/TARGET``. An input that breaks a law stays in
``build/fuzz/TARGET-crash-...``; it belongs to ``tests/fuzz/found/TARGET``, named
by the law.
"""

import shlex
import sys
from pathlib import Path

import atheris

from tests.fuzz import places

with atheris.instrument_imports(include=["telex"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run the target that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {'|'.join(TARGETS)} [libFuzzer flags and folders]")
    target, *arguments = sys.argv[1:]
    places.RUNS.mkdir(parents=True, exist_ok=True)
    given = {argument.partition("=")[0] for argument in arguments}
    if "-artifact_prefix" not in given:
        arguments.append(f"-artifact_prefix={places.RUNS}/{target}-")
    if "-dict" not in given:
        arguments.append(f"-dict={places.DICTIONARY}")
    if all(argument.startswith("-") for argument in arguments) and "-merge_control_file" not in given:
        arguments += folders(target)
    atheris.Setup([launcher(target), *arguments], TARGETS[target])
    atheris.Fuzz()


def folders(target: str) -> list[str]:
    """Where a run keeps what it finds, then what it begins with."""
    run = places.RUNS / target
    run.mkdir(exist_ok=True)
    return [str(run), *(str(each / target) for each in (places.CORPUS, places.FOUND) if (each / target).is_dir())]


def launcher(target: str) -> str:
    """A program that is this one: libFuzzer calls it again to merge, for what may crash."""
    path = Path(places.RUNS, f"launch-{target}")
    if not path.exists():
        command = shlex.join((sys.executable, "-m", "tests.fuzz", target))
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        path.chmod(0o755)
    return str(path)


if __name__ == "__main__":
    main()
