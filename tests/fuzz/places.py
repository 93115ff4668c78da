"""Where inputs are kept: those of the repository, and those of a run, which are nobody's yet."""

from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
"""A folder for each target: inputs that reach code which the others do not."""

FOUND = HERE / "found"
"""A folder for each target: inputs that once broke a law, named by it."""

DICTIONARY = HERE / "mqtt.dict"
"""Words that a fuzzer would be long in guessing."""

RUNS = HERE.parents[1] / "build" / "fuzz"
"""What runs leave behind; not in the repository."""


def inputs(target: str) -> list[Path]:
    """All that the repository has for a target."""
    return sorted(path for folder in (CORPUS, FOUND) for path in (folder / target).glob("*") if path.is_file())
