"""Where the stories of this folder happen: in the engine, through bytes, and again over a socket.

``world`` is either, one after the other; with ``--broker HOST:PORT`` it is the
broker that listens there. ``make_world`` makes such a world with options or a
gate of its own. ``engine`` is the world in memory only, for stories that move the
clock, kill the broker, look into the engine or let a client freeze. In memory the
broker has a journal, so that what it promises is held until that is written.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from telex.engine.options import Options
from telex.engine.seams import Gate
from tests.conformance.sockets import BrokerThread, SocketWorld
from tests.engine.world import Ledger, World

MakeWorld = Callable[..., World]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "make_world" in metafunc.fixturenames:
        kinds = ["broker"] if metafunc.config.getoption("--broker") else ["engine", "socket"]
        metafunc.parametrize("make_world", kinds, indirect=True)


@pytest.fixture
def make_world(request: pytest.FixtureRequest) -> Iterator[MakeWorld]:
    kind: str = request.param
    with ExitStack() as stack:

        def make(options: Options | None = None, *, gate: Gate | None = None) -> World:
            if kind == "engine":
                return World(options, gate=gate, journal=Ledger())
            if kind == "socket":
                thread = BrokerThread(options, gate)
                stack.callback(thread.stop)
                address = thread.address
            else:
                if options is not None or gate is not None:
                    pytest.skip("this broker's options are its own")
                host, _, port = str(request.config.getoption("--broker")).rpartition(":")
                address = (host, int(port))
            world = SocketWorld(address)
            stack.callback(world.closes)
            return world

        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A broker with the default limits, and nobody there yet."""
    return make_world()


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> World:
    """The same in memory only, with a clock that moves by hand."""
    if request.config.getoption("--broker"):
        pytest.skip("a real broker's clock cannot be moved")
    return World(journal=Ledger())
