"""What all tests share: which Telex they run, and real brokers to talk to."""

import os
from collections.abc import Iterator

import pytest

from telex import version
from tests.processes import Server, mosquitto, telex


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        metavar="HOST:PORT",
        help="run tests/conformance against the broker that listens there, whoever made it",
    )


def pytest_report_header() -> str:
    return f"telex: {version.describe()}, {os.path.dirname(version.__file__)}"


@pytest.fixture(scope="module")
def broker() -> Iterator[Server]:
    """A Telex in a process of its own, on a free port, that tells $SYS each second."""
    with telex("--sys-interval", "1") as server:
        yield server


@pytest.fixture(scope="module")
def debian_mosquitto() -> Iterator[Server]:
    """Debian's Mosquitto, on a free port."""
    with mosquitto() as server:
        yield server
