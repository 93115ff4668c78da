"""The programs of ``examples/`` run and print what they should."""

import sys
from pathlib import Path

from tests.processes import run

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_every_example_is_run_here() -> None:
    assert [path.name for path in EXAMPLES.iterdir() if path.suffix == ".py"] == ["scram.py"]


def test_scram_lets_in_who_knows_the_password_and_nobody_else() -> None:
    done = run(sys.executable, "-W", "error", str(EXAMPLES / "scram.py"))
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "ann: connected, and the broker has shown that it knows her",
        "ann, 'wrong': the broker refused the connection: 0x87 not authorized",
        "bob, 'correct horse': the broker refused the connection: 0x87 not authorized",
        "without the method: the broker refused the connection: 0x87 not authorized",
    ]
