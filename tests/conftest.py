"""What all tests share: which Telex they run, event loops for those that are coroutines, and real brokers to talk to.

A test that is a coroutine runs on an event loop of its own: asyncio's, and uvloop's where there is one.
"""

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator

import pytest

from telex import version
from tests.processes import Server, mosquitto, telex

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        metavar="HOST:PORT",
        help="run tests/conformance against the broker that listens there, whoever made it",
    )


def pytest_report_header() -> str:
    return f"telex: {version.describe()}, {os.path.dirname(version.__file__)}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if inspect.iscoroutinefunction(metafunc.function) and "new_loop" not in metafunc.fixturenames:
        metafunc.fixturenames.append("new_loop")
        metafunc.parametrize("new_loop", LOOPS.values(), ids=LOOPS)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test; an error that nobody caught on its loop fails it too."""
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    names = inspect.signature(pyfuncitem.function).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    errors: list[dict[str, object]] = []
    with asyncio.Runner(loop_factory=pyfuncitem.callspec.params["new_loop"]) as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: errors.append(context))
        runner.run(pyfuncitem.function(**arguments))
    assert errors == []
    return True


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
