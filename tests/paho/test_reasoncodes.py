"""Reason codes: what paho-mqtt does with each example, and Telex too."""

import copy
import pickle
from types import ModuleType
from typing import Any

import paho.mqtt.reasoncodes
import pytest

import telex.paho.reasoncodes
from telex.paho.packettypes import PacketTypes

CARRIERS = [
    PacketTypes.CONNACK,
    PacketTypes.PUBACK,
    PacketTypes.PUBREC,
    PacketTypes.PUBREL,
    PacketTypes.PUBCOMP,
    PacketTypes.SUBACK,
    PacketTypes.UNSUBACK,
    PacketTypes.DISCONNECT,
    PacketTypes.AUTH,
]


@pytest.fixture(params=[paho.mqtt.reasoncodes, telex.paho.reasoncodes], ids=["paho", "telex"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


def names(module: ModuleType, packet: int) -> dict[int, str]:
    """All codes that a packet may carry."""
    return {
        value: name
        for value, table in module.ReasonCode.names.items()
        for name, packets in table.items()
        if packet in packets
    }


@pytest.mark.parametrize("packet", CARRIERS)
def test_a_packet_has_the_same_codes_by_the_same_names(packet: int) -> None:
    ours, theirs = names(telex.paho.reasoncodes, packet), names(paho.mqtt.reasoncodes, packet)
    if packet == PacketTypes.CONNACK:
        theirs[0x99] = "Payload format invalid"  # paho leaves it out (section 3.2.2.2)
    assert ours == theirs


@pytest.mark.parametrize(
    ("packet", "value", "name"),
    [
        (PacketTypes.CONNACK, 0, "Success"),
        (PacketTypes.DISCONNECT, 0, "Normal disconnection"),
        (PacketTypes.SUBACK, 0, "Granted QoS 0"),
        (PacketTypes.SUBACK, 1, "Granted QoS 1"),
        (PacketTypes.SUBACK, 2, "Granted QoS 2"),
        (PacketTypes.DISCONNECT, 4, "Disconnect with will message"),
        (PacketTypes.PUBACK, 16, "No matching subscribers"),
        (PacketTypes.UNSUBACK, 17, "No subscription found"),
        (PacketTypes.AUTH, 25, "Re-authenticate"),
        (PacketTypes.PUBREL, 146, "Packet identifier not found"),
        (PacketTypes.CONNACK, 135, "Not authorized"),
        (PacketTypes.CONNACK, 155, "QoS not supported"),
        (PacketTypes.SUBACK, 158, "Shared subscription not supported"),
        (PacketTypes.DISCONNECT, 162, "Wildcard subscription not supported"),
    ],
)
def test_a_code_has_a_number_and_a_name(module: ModuleType, packet: int, value: int, name: str) -> None:
    for code in (module.ReasonCode(packet, identifier=value), module.ReasonCode(packet, name)):
        assert (code.value, code.packetType, code.getName(), str(code), code.json()) == (
            value,
            packet,
            name,
            name,
            name,
        )
        assert code.pack() == bytes([value])
        assert type(code.pack()) is bytearray
        assert code.getId(name) == value
        assert code.is_failure is (value >= 128)
        assert repr(code) == f"ReasonCode({PacketTypes.Names[packet]}, {name!r})"


def test_a_code_is_success_unless_said_otherwise(module: ModuleType) -> None:
    assert str(module.ReasonCode(PacketTypes.CONNACK)) == "Success"
    assert str(module.ReasonCode(PacketTypes.DISCONNECT)) == "Normal disconnection"
    assert str(module.ReasonCode(PacketTypes.CONNACK, "No such name", 135)) == "Not authorized"
    with pytest.raises(KeyError):  # 0x00 has another name there
        module.ReasonCode(PacketTypes.SUBACK)


@pytest.mark.parametrize(
    ("packet", "arguments", "error"),
    [
        (PacketTypes.CONNACK, {"identifier": 3}, KeyError),
        (PacketTypes.CONNACK, {"identifier": 256}, KeyError),
        (PacketTypes.PUBACK, {"identifier": 141}, ValueError),
        (PacketTypes.PUBLISH, {"identifier": 0}, ValueError),
        (PacketTypes.CONNACK, {"aName": "Keep alive timeout"}, KeyError),
        (PacketTypes.CONNACK, {"aName": "not authorized"}, KeyError),
        (PacketTypes.CONNECT, {}, KeyError),
    ],
)
def test_a_code_that_a_packet_does_not_carry_is_refused(
    module: ModuleType, packet: int, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        module.ReasonCode(packet, **arguments)
    assert type(caught.value) is error


def test_a_code_becomes_another(module: ModuleType) -> None:
    code = module.ReasonCode(PacketTypes.SUBACK, identifier=0)
    assert code.unpack(b"\x87\x00") == 1
    assert (code.value, str(code)) == (135, "Not authorized")
    code.set("Granted QoS 2")
    assert code.value == 2
    with pytest.raises(ValueError, match=r"name|carry"):
        code.unpack(bytearray([141]))
    with pytest.raises(KeyError):
        code.unpack(b"\x03")
    with pytest.raises(IndexError):
        code.unpack(b"")
    with pytest.raises(KeyError):
        code.set("Success")
    assert code.value == 2


def test_a_code_is_equal_to_its_number_its_name_and_its_like(module: ModuleType) -> None:
    code = module.ReasonCode(PacketTypes.CONNACK, identifier=135)
    assert code == 135
    assert 135 == code  # noqa: SIM300
    assert code == "Not authorized"
    assert code == module.ReasonCode(PacketTypes.SUBACK, identifier=135)
    assert code != 134
    assert code != "not authorized"
    assert code != module.ReasonCode(PacketTypes.CONNACK)
    assert code != None  # noqa: E711
    assert code != 135.0
    assert code != [135]
    assert module.ReasonCode(PacketTypes.CONNACK) == False  # noqa: E712 - a bool is an int


def test_codes_are_in_the_order_of_their_numbers(module: ModuleType) -> None:
    low, high = module.ReasonCode(PacketTypes.CONNACK), module.ReasonCode(PacketTypes.PUBACK, identifier=135)
    assert low < high
    assert low <= high
    assert high > low
    assert high >= low
    assert high >= 128
    assert low < 128
    assert 0 <= low <= 0
    assert not high < 135
    assert max(low, high) is high
    assert sorted([high, low]) == [low, high]
    for other in ("Success", None, 1.0):
        with pytest.raises(TypeError):
            _ = low < other


def test_a_code_has_no_hash(module: ModuleType) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(module.ReasonCode(PacketTypes.CONNACK))


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["copy", "deepcopy", "pickle"]
)
def test_a_copy_is_equal(module: ModuleType, twin: Any) -> None:
    code = module.ReasonCode(PacketTypes.SUBACK, identifier=1)
    again = twin(code)
    assert again == code
    assert repr(again) == "ReasonCode(Suback, 'Granted QoS 1')"


def test_the_old_name_still_works_and_warns(module: ModuleType) -> None:
    with pytest.warns(DeprecationWarning, match="^ReasonCodes is deprecated") as caught:
        code = module.ReasonCodes(PacketTypes.CONNACK, "Not authorized")
    assert [warning.filename for warning in caught] == [__file__]
    assert code == module.ReasonCode(PacketTypes.CONNACK, "Not authorized")
    assert isinstance(code, module.ReasonCode)
    assert issubclass(module.ReasonCodes, module.ReasonCode)


def test_every_code_is_an_instance_of_the_old_name(module: ModuleType) -> None:
    assert isinstance(module.ReasonCode(PacketTypes.CONNACK), module.ReasonCodes)
    assert not isinstance(0, module.ReasonCodes)


def test_a_code_of_another_kind_of_packet_can_be_shown(module: ModuleType) -> None:
    code = module.ReasonCode(PacketTypes.CONNACK)
    code.packetType = PacketTypes.WILLMESSAGE
    with pytest.raises(ValueError, match=r"name|carry"):
        repr(code)


def test_a_will_may_be_refused_for_its_payload() -> None:
    code = telex.paho.reasoncodes.ReasonCode(PacketTypes.CONNACK, identifier=0x99)
    assert str(code) == "Payload format invalid"
