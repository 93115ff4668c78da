"""The programs of ``examples/`` run and print what they should."""

import importlib.util
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


def test_scram_tells_nobody_whom_it_knows() -> None:
    spec = importlib.util.spec_from_file_location("scram", EXAMPLES / "scram.py")
    assert spec is not None
    assert spec.loader is not None
    scram = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scram)
    gate = scram.ScramGate({"ann": "correct horse"})
    ann, bob = gate.user("ann", "ann"), gate.user("bob", "bob")
    assert gate.user("bob", "bob") == bob
    assert [len(each) for each in ann[:3]] == [len(each) for each in bob[:3]]
    assert ann[3] == bob[3]
    assert gate.user("ann", "eve") == (ann[0], *bob[1:])  # eve's connection stays eve's
