"""The conformance suite is checked itself: Debian's Mosquitto passes it, but for differences that were looked into."""

import re
import sys
from pathlib import Path

from tests.conformance.mosquitto import DIFFERENCES
from tests.processes import Server, run

SUITE = Path(__file__).parents[1] / "conformance"


def test_mosquitto_passes_the_suite_but_for_known_differences(debian_mosquitto: Server) -> None:
    where = f"127.0.0.1:{debian_mosquitto.port}"
    pytest_command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=no", "-rf")
    done = run(*pytest_command, str(SUITE), "--broker", where, seconds=110)
    summary = done.stdout.splitlines()[-1]
    found = re.search(r"(\d+) passed", summary)
    assert found is not None, done.stdout[-2_000:] + done.stderr
    assert int(found[1]) > 1_500, summary
    failed = set(re.findall(r"^FAILED \S+?::(\w+)", done.stdout, re.MULTILINE))
    assert failed <= DIFFERENCES, f"not looked into: {sorted(failed - DIFFERENCES)}"


def test_each_difference_is_one_of_the_suites_tests() -> None:
    tests = set(
        re.findall(r"^def (test_\w+)", "\n".join(path.read_text() for path in SUITE.glob("*.py")), re.MULTILINE)
    )
    assert tests >= DIFFERENCES
