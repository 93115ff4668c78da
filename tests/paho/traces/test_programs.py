"""The comparison itself: what differs is found, what is declared must differ, and nothing is left out."""

import re
from pathlib import Path
from typing import Any

import paho.mqtt.client
import pytest

from telex.wire.packets import ConnAck, Connect
from tests.paho.traces.played import PlayedBroker
from tests.paho.traces.programs import Program, World, compare, difference
from tests.paho.traces.trace import Trace

V3 = World(4, 2)


def _differs(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.tell("the same")
    trace.tell("paho's" if trace.is_paho else "Telex's")


def _declares(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs("on purpose", "- program: paho's", "+ program: Telex's")
    _differs(mqtt, broker, trace)


def _declares_in_vain(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs("on purpose", "- program: paho's")
    trace.tell("the same")


def _says_other_words(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client("paho" if trace.is_paho else "telex")
    client.connect(*broker.address)
    broker.accepts().gets(Connect)


def _leaves_a_loop(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    client.connect(*broker.address)
    client.loop_start()
    broker.opens()


def test_a_declared_difference_is_no_fault() -> None:
    compare(_declares, V3, PlayedBroker)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (_differs, "- program: paho's"),
        (_declares_in_vain, "- program: paho's"),
        (_says_other_words, "+ connection 1: Connect(client_id='telex'"),
        (_leaves_a_loop, "left a loop that runs"),
    ],
)
def test_what_else_differs_is_a_fault(program: Program, words: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(words)):
        compare(program, V3, PlayedBroker)


def test_a_line_that_is_elsewhere_is_found() -> None:
    assert difference({"program": ["a", "b", "c"]}, {"program": ["b", "c", "a"]}) == ["- program: a", "+ program: a"]
    assert difference({"one": ["a"]}, {"other": ["a"]}) == ["- one: a", "+ other: a"]
    assert difference({"one": ["a", "a"]}, {"one": ["a"]}) == ["- one: a"]


def test_every_public_method_is_called_by_a_program() -> None:
    programs = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    methods = [name for name in vars(paho.mqtt.client.Client) if not name.startswith("_")]
    # Through proxies, which need PySocks in paho, tests/paho/test_transports.py compares.
    missing = [name for name in methods if name != "proxy_set" and not re.search(rf"\b{name}\b", programs)]
    assert missing == []


def test_a_packet_that_was_not_expected_is_a_fault() -> None:
    def story(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
        client = trace.client(client_id="x")
        client.connect(*broker.address)
        link = broker.accepts()
        with pytest.raises(AssertionError, match="expected ConnAck, got Connect"):
            link.gets(ConnAck)
        assert link.written == ["Connect(client_id='x', version=4, clean_start=True, keep_alive=60)"]

    compare(story, V3, PlayedBroker)
