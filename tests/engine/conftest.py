"""What every story of this folder begins with."""

import pytest

from tests.engine.bridging import Broker, Network
from tests.engine.world import World


@pytest.fixture
def world() -> World:
    """A broker with the default limits, and nobody there yet."""
    return World()


@pytest.fixture
def network() -> Network:
    """Brokers that bridges connect."""
    return Network()


@pytest.fixture
def home(network: Network) -> Broker:
    """The broker of the bridge."""
    return network.broker("home")


@pytest.fixture
def cloud(network: Network) -> Broker:
    """The remote."""
    return network.broker("cloud")
