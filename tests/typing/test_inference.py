"""What users' type checkers make of Telex: mypy and pyright, both strict, over programs as users write them.

In ``programs/`` a line that ends in ``# refused`` is a slip that both must find, or
``# refused by mypy`` that one; everywhere else there must be no error: that an
expression has the type that it should is said by ``assert_type``.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import telex

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py"))
EXAMPLES = [
    path
    for path in sorted(Path(__file__).parents[2].joinpath("examples").glob("*.py"))
    if re.search(r"telex\.(Sync)?Client\(", text := path.read_text())
    and "scramp" not in text  # which has no types, in the eyes of strict checkers
]
SOURCE = Path(telex.__file__).parents[1]
IS_INSTALLED = SOURCE.name == "site-packages"

Line = tuple[str, int]
Errors = dict[Line, str]
"""What a checker says, by file and line."""


def expected(checker: str) -> set[Line]:
    """The lines that a checker is to refuse."""
    lines = set()
    for path in PROGRAMS:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            mark = re.search(r"# refused(?: by (\w+))?$", line)
            if mark is not None and mark[1] in (None, checker):
                lines.add((path.name, number))
    return lines


def mypy(folder: Path) -> Errors:
    """What ``mypy --strict`` says of the programs in a folder."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--output=json", "--cache-dir=cache"]
    # A package that is installed is found as any other. MYPYPATH is for the sources alone.
    environment = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    if not IS_INSTALLED:
        environment["MYPYPATH"] = str(SOURCE)
    done = run([*command, *sorted(path.name for path in folder.glob("*.py"))], folder, environment)
    said = [json.loads(line) for line in done.stdout.splitlines() if line]
    return {
        (each["file"], each["line"]): each["message"]
        for each in said
        # What is wrong within Telex is for make lint.
        if each["severity"] == "error" and "/" not in each["file"]
    }


def pyright(folder: Path) -> Errors:
    """What pyright says of them, in its strict mode."""
    pytest.importorskip("pyright")
    if shutil.which("node") is None:
        pytest.skip("pyright needs Node.js, which is not here")
    extra = [] if IS_INSTALLED else [str(SOURCE)]
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "extraPaths": extra}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = run(command, folder, {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"})
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py"))), report
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1): each["message"]
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    }


def run(command: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: it has found something
    return done


Checker = Callable[[Path], Errors]
EACH_CHECKER = pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)


def copied(paths: list[Path], folder: Path) -> Path:
    """Away from here, as users' programs are."""
    for path in paths:
        shutil.copy(path, folder)
    return folder


@EACH_CHECKER
def test_checkers_infer_what_the_programs_say(checker: Checker, tmp_path: Path) -> None:
    found = checker(copied(PROGRAMS, tmp_path))
    wanted = expected(checker.__name__)
    assert wanted, "the programs have lines that are to be refused"
    assert {line: text for line, text in found.items() if line not in wanted} == {}
    assert wanted - found.keys() == set(), "not refused"


@EACH_CHECKER
def test_a_wrong_expectation_is_noticed(checker: Checker, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "from typing import assert_type\nimport telex\n\n\n"
        "def of(message: telex.Message) -> None:\n    assert_type(message.topic, bytes)\n"
    )
    assert checker(tmp_path).keys() == {("program.py", 6)}


@EACH_CHECKER
def test_the_examples_have_good_types(checker: Checker, tmp_path: Path) -> None:
    assert EXAMPLES, "examples/ shows how the client is used"
    assert checker(copied(EXAMPLES, tmp_path)) == {}
