"""What a test shows: numbered statements of the specification, and edges where brokers have failed.

``tools/conformance.py`` reads these marks and makes ``docs/conformance.md`` of them.
"""

import pytest


def mqtt(*ids: str, v3: bool = False) -> pytest.MarkDecorator:
    """The statements of MQTT 5 that a test shows, or with ``v3`` those of MQTT 3.1.1: ``@mqtt("MQTT-3.8.4-1")``."""
    return pytest.mark.mqtt(*ids, v3=v3)


def edge(*ids: str) -> pytest.MarkDecorator:
    """The lines of ``edges.tsv`` that a test shows: ``@edge("S1")``."""
    return pytest.mark.edge(*ids)


each_version = pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])
"""For what both versions ask: the test gets 4 and 5 as ``version``, as ``Manners`` knows it."""
