"""The page's own tests: its types, its units, and what people do with it in a browser, against a broker of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import find

DASHBOARD = Path(__file__).parents[2] / "dashboard"


def npm(*command: str, **environment: str) -> None:
    """Run one of the page's scripts, which must end well."""
    if not (DASHBOARD / "node_modules").is_dir():
        subprocess.run([find("npm"), "ci", "--no-audit", "--no-fund"], cwd=DASHBOARD, check=True, capture_output=True)
    done = subprocess.run(
        [find("npm"), "run", *command],
        cwd=DASHBOARD,
        env={**os.environ, "NO_COLOR": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_its_types_are_right() -> None:
    npm("check")


def test_its_units_do_what_they_should() -> None:
    npm("test")


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_people_can_use_it() -> None:
    npm("e2e", E2E_PYTHON=sys.executable, CHROMIUM=find("chromium"))
