"""Subscribe options: what paho-mqtt does with each example, and Telex too."""

import copy
import pickle
from types import ModuleType
from typing import Any

import paho.mqtt.subscribeoptions
import pytest

import telex.paho
import telex.paho.subscribeoptions


@pytest.fixture(params=[paho.mqtt.subscribeoptions, telex.paho.subscribeoptions], ids=["paho", "telex"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


@pytest.mark.parametrize(
    ("arguments", "byte", "text"),
    [
        ((), 0x00, "{QoS=0, noLocal=False, retainAsPublished=False, retainHandling=0}"),
        ((1,), 0x01, "{QoS=1, noLocal=False, retainAsPublished=False, retainHandling=0}"),
        ((2, True), 0x06, "{QoS=2, noLocal=True, retainAsPublished=False, retainHandling=0}"),
        ((0, False, True), 0x08, "{QoS=0, noLocal=False, retainAsPublished=True, retainHandling=0}"),
        ((0, False, False, 1), 0x10, "{QoS=0, noLocal=False, retainAsPublished=False, retainHandling=1}"),
        ((2, True, True, 2), 0x2E, "{QoS=2, noLocal=True, retainAsPublished=True, retainHandling=2}"),
    ],
)
def test_options_are_one_byte(module: ModuleType, arguments: tuple[Any, ...], byte: int, text: str) -> None:
    options = module.SubscribeOptions(*arguments)
    assert options.pack() == bytes([byte])
    assert type(options.pack()) is bytes
    assert (str(options), repr(options)) == (text, text)
    again = module.SubscribeOptions()
    assert again.unpack(bytearray([byte, 0xFF])) == 1
    assert str(again) == text
    assert again.json() == options.json()
    assert list(options.json()) == ["QoS", "noLocal", "retainAsPublished", "retainHandling"]


def test_options_have_names(module: ModuleType) -> None:
    options = module.SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True, retainHandling=2)
    assert (options.QoS, options.noLocal, options.retainAsPublished, options.retainHandling) == (1, True, True, 2)
    assert options.names == ["QoS", "noLocal", "retainAsPublished", "retainHandling"]
    kinds = module.SubscribeOptions
    assert (kinds.RETAIN_SEND_ON_SUBSCRIBE, kinds.RETAIN_SEND_IF_NEW_SUB, kinds.RETAIN_DO_NOT_SEND) == (0, 1, 2)


@pytest.mark.parametrize("arguments", [{"qos": 3}, {"qos": -1}, {"qos": "1"}, {"retainHandling": 3}])
def test_no_other_numbers_are_taken(module: ModuleType, arguments: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match=r"[Qq]o[Ss]|[Hh]andling"):
        module.SubscribeOptions(**arguments)


@pytest.mark.parametrize(("name", "value"), [("QoS", 3), ("retainHandling", 4)])
def test_a_wrong_number_that_was_set_later_is_noticed_by_pack(module: ModuleType, name: str, value: int) -> None:
    options = module.SubscribeOptions()
    setattr(options, name, value)
    with pytest.raises(AssertionError, match=str(value)):
        options.pack()


@pytest.mark.parametrize("byte", [0x03, 0x30])
def test_a_wrong_number_that_came_is_noticed(module: ModuleType, byte: int) -> None:
    with pytest.raises(AssertionError, match="3"):
        module.SubscribeOptions().unpack(bytes([byte]))


@pytest.mark.parametrize("name", ["qos", "QOS", "nolocal", "other"])
def test_there_are_no_other_options(module: ModuleType, name: str) -> None:
    with pytest.raises(module.MQTTException, match=name):
        setattr(module.SubscribeOptions(), name, 1)


def test_what_is_true_counts_as_true(module: ModuleType) -> None:
    options = module.SubscribeOptions(noLocal="yes", retainAsPublished=5)
    assert options.pack() == b"\x0c"
    assert options.json() == {"QoS": 0, "noLocal": "yes", "retainAsPublished": 5, "retainHandling": 0}


def test_options_are_equal_to_themselves_only(module: ModuleType) -> None:
    options = module.SubscribeOptions()
    assert options == options
    assert options != module.SubscribeOptions()
    assert len({options, module.SubscribeOptions()}) == 2


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["copy", "deepcopy", "pickle"]
)
def test_a_copy_says_the_same(module: ModuleType, twin: Any) -> None:
    options = module.SubscribeOptions(2, True, False, 1)
    again = twin(options)
    assert again.pack() == options.pack()
    again.QoS = 0
    assert options.QoS == 2


def test_there_is_one_exception_of_that_name() -> None:
    """In paho this is a class of its own, which whoever catches paho.mqtt.MQTTException misses."""
    assert telex.paho.subscribeoptions.MQTTException is telex.paho.MQTTException
