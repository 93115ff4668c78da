"""Brokers that keep sessions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.adversity.brokers import KINDS, Lasting, lasting


@pytest.fixture(scope="module", params=KINDS)
def each_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    """Telex with its data on disk, and Debian's Mosquitto; each in a process of its own."""
    with lasting(request.param, tmp_path_factory.mktemp(request.param)) as broker:
        broker.start()
        yield broker


@pytest.fixture(params=KINDS)
def each_mortal_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lasting]:
    """The same for one test, which starts and ends it."""
    with lasting(request.param, tmp_path) as broker:
        yield broker


@pytest.fixture(scope="module")
def telex_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    """Telex with its data on disk."""
    with lasting("telex", tmp_path_factory.mktemp("telex")) as broker:
        broker.start()
        yield broker
