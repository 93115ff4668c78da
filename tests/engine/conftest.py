"""What every story of this folder begins with."""

import pytest

from tests.engine.world import World


@pytest.fixture
def world() -> World:
    """A broker with the default limits, and nobody there yet."""
    return World()
