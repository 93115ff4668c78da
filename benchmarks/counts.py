"""Counts the instructions that Telex's compiled core takes for a message, and compares them with the record.

    python benchmarks/counts.py                          # more than the record by a twentieth: fails
    python benchmarks/counts.py --update                 # records what has become less, and what is new (make counts)
    python benchmarks/counts.py --update --all           # records what has become more, too
    python benchmarks/counts.py --functions "QoS 1, 1 to 1"

Times differ from run to run and from machine to machine; the number of instructions is the same to a hundredth, however
busy the machine is. It depends on the compiler, on mypyc and on Python, so that the record, ``counts.txt``, names them.
``counted.py`` has what is counted. It needs Valgrind, its headers and a C compiler, and takes some ten seconds.
"""

import argparse
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOLERANCE: Final = 0.05
"""By so much a count may differ from the record, and one beside many strangers from one beside few."""
ELSEWHERE: Final = 0.15
"""So much more it may be where only versions of compilers and of libraries differ from those of a record."""

RECORD: Final = Path(__file__).with_name("counts.txt")

_HERE: Final = Path(__file__).parent
_TITLE: Final = """\
Instructions for a message or an operation, beside 1,000 strangers and beside 10,000.
`make counts` writes this file; docs/testing.md says what it is for.
"""
_SECONDS: Final = 300.0  # for all scenes, on a busy machine

Counts = Mapping[str, Sequence[int]]
"""By the scene's name: instructions for each operation, beside few strangers and beside many."""


class CannotCount(Exception):
    """What stands in the way."""


@dataclass(frozen=True)
class Environment:
    """What counts depend on."""

    python: str  # with the processor, and how it was optimized
    tools: str  # that Python and the core were compiled by

    def __str__(self) -> str:
        return f"{self.python}; {self.tools}"

    def is_like(self, other: "Environment") -> bool:
        """Whether counts are about the same: the same minor version of Python, optimized alike, for this processor."""
        return re.sub(r"(\d+\.\d+)\.\w+", r"\1", self.python) == re.sub(r"(\d+\.\d+)\.\w+", r"\1", other.python)


def environment() -> Environment:
    """This one.

    Raises:
        CannotCount: Telex is not compiled here.
    """
    core = importlib.util.find_spec("telex__mypyc")
    if core is None or core.origin is None:
        raise CannotCount("Telex is not compiled here, and what is counted is the compiled core")
    binary = Path(core.origin).read_bytes()
    compiler = re.search(rb"(GCC|clang)(?:: \([^)]*\)| version) (\d[\w.]*)", binary)
    mypyc = re.search(rb"by (mypyc \d[\w.+]*)", binary)
    how = [
        word.removeprefix("--enable-").removeprefix("--with-")
        for word in shlex.split(sysconfig.get_config_var("CONFIG_ARGS") or "")
        if word in ("--enable-optimizations", "--with-lto", "--with-pydebug")
    ]
    words = [platform.python_implementation(), platform.python_version(), *how, "on", platform.machine()]
    tools = [
        f"by {platform.python_compiler()}",
        "the core by " + (mypyc[1].decode() if mypyc else "an unknown mypyc"),
        b" ".join(compiler.groups()).decode() if compiler else "an unknown compiler",
        " ".join(platform.libc_ver()),
    ]
    return Environment(" ".join(words), ", ".join(tools))


# Counting


def count(names: Sequence[str] = ()) -> dict[str, list[int]]:
    """Play all scenes, or those that are named, and count.

    Raises:
        CannotCount: something is missing, or a scene went wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, list[int]] = {}
        for dump in _dumps(Path(folder), names):
            found.setdefault(dump.scene, []).append(round(dump.instructions / dump.operations))
        return found


@dataclass(frozen=True)
class _Dump:
    """What Valgrind wrote about one scene in one world."""

    scene: str
    operations: int
    instructions: int
    file: Path


def _dumps(folder: Path, names: Sequence[str]) -> list[_Dump]:
    environment()
    library = _compiled(folder)
    valgrind = [_find("valgrind"), "--quiet", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no"]
    output = f"--callgrind-out-file={folder / 'count'}"
    script = [sys.executable, str(_HERE / "counted.py"), str(library), *names]
    told = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    # The C library takes the ways that every processor of a kind can go, and dictionaries are as they were last time.
    told |= {"PYTHONHASHSEED": "0", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-BMI2,-ERMS,-FSRM"}
    done = subprocess.run([*valgrind, output, *script], env=told, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode != 0:
        raise CannotCount(f"{shlex.join(script)} within Valgrind: {done.stderr.strip() or done.returncode}")
    files = sorted(folder.glob("count.*"), key=lambda file: int(file.suffix[1:]))
    dumps = [each for each in map(_dump, files) if each is not None]
    unknown = set(names) - {dump.scene for dump in dumps}
    if unknown:
        raise CannotCount(f"there is no scene {unknown.pop()!r}")
    return dumps


def _dump(file: Path) -> _Dump | None:
    text = file.read_text()
    scene = re.search(r"^desc: Trigger: Client Request: (\d+) (.*)$", text, re.MULTILINE)
    total = re.search(r"^totals: (\d+)$", text, re.MULTILINE)
    if scene is None or total is None:
        return None  # the rest, behind the last scene
    return _Dump(scene[2], int(scene[1]), int(total[1]), file)


def _compiled(folder: Path) -> Path:
    library = folder / "counts.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    _find(compiler[0])
    command = [*compiler, "-O2", "-shared", "-fPIC", str(_HERE / "counts.c"), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode != 0:
        raise CannotCount(f"{shlex.join(command)}: {done.stderr.strip()}")
    return library


def _find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise CannotCount(f"{program} is not installed (tools/install-peers installs valgrind)")
    return found


def functions(name: str, most: int = 40) -> str:
    """Where the instructions of one scene go: each function with all that it calls, and by itself.

    Raises:
        CannotCount: as ``count``.
    """
    with tempfile.TemporaryDirectory() as folder:
        dump = _dumps(Path(folder), [name])[0]
        alone = _annotated(dump.file)
        lines = ["with what it calls      by itself"]
        for function, instructions in list(_annotated(dump.file, "--inclusive=yes").items())[:most]:
            by_itself = alone.get(function, 0) / dump.operations
            lines.append(f"{instructions / dump.operations:18,.0f} {by_itself:14,.0f}  {function}")
        return "\n".join(lines)


def _annotated(file: Path, *options: str) -> dict[str, int]:
    """Instructions by function, most of them first."""
    command = [_find("callgrind_annotate"), "--threshold=100", *options, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    found: dict[str, int] = {}
    for line in done.stdout.splitlines():
        parts = re.match(r" *([\d,]+) \([^)]*\) +(?:[^ ]*:)?([^ :]+)(?: |$)", line)
        if parts is not None and not parts[2].startswith(("0x", "PROGRAM")):  # that have no name, or are no function
            found[parts[2]] = found.get(parts[2], 0) + int(parts[1].replace(",", ""))
    return dict(sorted(found.items(), key=lambda each: -each[1]))


# The record

Record = dict[Environment, dict[str, list[int]]]
"""What ``Counts`` has, for each environment."""


def read(text: str) -> Record:
    """What ``written`` gives."""
    record: Record = {}
    counts: dict[str, list[int]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            python, tools = line.strip("[]").split("; ", 1)
            counts = record[Environment(python, tools)] = {}
        elif row := re.fullmatch(r"(\S.*?) {2,}([\d,]+) +([\d,]+)", line):
            counts[row[1]] = [int(number.replace(",", "")) for number in row.group(2, 3)]
    return record


def written(record: Record) -> str:
    """The record as people read it: a table for each environment."""
    tables = [_TITLE]
    for where, counts in record.items():
        rows = [f"{name:<40}{few:>10,}{many:>10,}\n" for name, (few, many) in counts.items()]
        tables.append(f"[{where}]\n{''.join(rows)}")
    return "\n".join(tables)


def updated(record: Record, here: Environment, found: Counts, *, all_of_it: bool) -> Record:
    """The record with what was found here: what is less, what is new, and without scenes that are no more.

    With ``all_of_it`` also what is more.
    """
    known = record.get(here, {})
    counts: dict[str, list[int]] = {}
    for name, numbers in found.items():
        former = known.get(name, list(numbers))
        counts[name] = [now if all_of_it else min(now, was) for now, was in zip(numbers, former, strict=True)]
    return record | {here: counts}


def growing(found: Counts) -> list[str]:
    """What takes more beside many strangers than beside few, which it should not: a line for each."""
    return [
        f"{name}: {few:,} instructions beside 1,000 strangers, {many:,} beside 10,000 (+{many / few - 1:.1%})"
        for name, (few, many) in found.items()
        if many > few * (1 + TOLERANCE)
    ]


@dataclass(frozen=True)
class Comparison:
    """What was found beside what is recorded."""

    recorded: Environment | None
    """Where that was recorded: here, or in an environment that is like this one; None: there is no record."""
    more: list[str]
    """What takes more than it may: a line for each."""
    less: list[str]
    """What takes so much less that it should be recorded, and what is not recorded yet."""


def compared(found: Counts, record: Record, here: Environment) -> Comparison:
    """Compare with the record of this environment; where there is none, less strictly with one that is like it."""
    recorded = here if here in record else next((each for each in record if each.is_like(here)), None)
    comparison = Comparison(recorded, [], [])
    if recorded is not None:
        tolerance = TOLERANCE if recorded == here else ELSEWHERE
        for name, numbers in found.items():
            former = record[recorded].get(name)
            if former is None:
                comparison.less.append(f"{name}: is not recorded")
                continue
            was, now = max(zip(former, numbers, strict=True), key=lambda each: each[1] / each[0])
            line = f"{name}: {was:,} instructions are recorded, it takes {now:,} ({now / was - 1:+.1%})"
            if now > was * (1 + tolerance):
                comparison.more.append(line)
            elif now < was * (1 - TOLERANCE) and recorded == here:
                comparison.less.append(line)
    return comparison


# The command


def report(found: Counts, record: Record, here: Environment) -> tuple[str, bool]:
    """What there is to say of counts, and whether all is as it should be."""
    comparison = compared(found, record, here)
    grown = growing(found)
    lines: list[str] = []
    if grown:
        lines += ["Strangers cost, and should not:", *grown, ""]
    if comparison.recorded is None:
        lines.append(f"There is no record for {here}; `make counts` makes one.")
    elif comparison.recorded != here:
        lines.append(f"Compared with what was recorded for {comparison.recorded}; this is {here}.")
    if comparison.more:
        lines += ["Slower than recorded:", *comparison.more]
        lines += ["Where it has to be so, record it: python benchmarks/counts.py --update --all", ""]
    if comparison.less:
        lines += ["Faster than recorded, or new; record it with `make counts`, so that it stays so:", *comparison.less]
    return "\n".join(lines), not (grown or comparison.more or comparison.less)


def main() -> int:
    """What the command line asks for; 1 if something is not as it should be."""
    parser = argparse.ArgumentParser(
        description="Count the instructions that Telex takes, and compare with the record."
    )
    parser.add_argument(
        "scenes",
        nargs="*",
        help="names of scenes; all, if none is named",
    )
    parser.add_argument("--update", action="store_true", help="record what has become less, and what is new")
    parser.add_argument("--all", action="store_true", help="with --update: record what has become more, too")
    parser.add_argument("--functions", metavar="SCENE", help="where the instructions of one scene go")
    options = parser.parse_args()
    if options.all and not options.update:
        parser.error("--all is for --update")
    if options.update and options.scenes:
        parser.error("--update counts all scenes")
    try:
        if options.functions:
            print(functions(options.functions))
            return 0
        here = environment()
        found = count(options.scenes)
    except CannotCount as error:
        print(f"counts.py: {error}", file=sys.stderr)
        return 1
    record = read(RECORD.read_text()) if RECORD.exists() else {}
    former = record.get(here, {})
    print(here)
    print(f"{'':<40}{'1,000':>10}{'10,000':>10}{'than recorded':>18}")
    for name, numbers in found.items():
        shares = [now / was - 1 for now, was in zip(numbers, former.get(name, []), strict=False)]
        print(f"{name:<40}{numbers[0]:>10,}{numbers[1]:>10,}   " + " ".join(f"{share:+7.1%}" for share in shares))
    print()
    if options.update:
        record = updated(record, here, found, all_of_it=options.all)
        RECORD.write_text(written(record))
    words, is_well = report(found, record, here)
    print(words or "All is as recorded.")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
