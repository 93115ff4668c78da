"""Properties: what paho-mqtt does with each example, and Telex too. Where they differ on purpose stands at the end."""

import copy
import json
import pickle
import struct
from types import ModuleType
from typing import Any

import paho.mqtt.packettypes
import paho.mqtt.properties
import pytest

import telex.paho.properties
from telex import codes
from telex.paho.exception import MalformedPacket, MQTTException
from telex.paho.packettypes import PacketTypes
from telex.wire import properties as wire

SPOKEN = {
    # name: (packet, value, what it becomes, the bytes of all)
    "PayloadFormatIndicator": (PacketTypes.PUBLISH, 1, 1, "02 01 01"),
    "MessageExpiryInterval": (PacketTypes.PUBLISH, 0x01020304, 0x01020304, "05 02 01 02 03 04"),
    "ContentType": (PacketTypes.PUBLISH, "é", "é", "05 03 00 02 c3 a9"),
    "ResponseTopic": (PacketTypes.WILLMESSAGE, "a/b", "a/b", "06 08 00 03 61 2f 62"),
    "CorrelationData": (PacketTypes.PUBLISH, b"\0\xff", b"\0\xff", "05 09 00 02 00 ff"),
    "SubscriptionIdentifier": (PacketTypes.SUBSCRIBE, 268_435_455, [268_435_455], "05 0b ff ff ff 7f"),
    "SessionExpiryInterval": (PacketTypes.CONNECT, 0xFFFFFFFF, 0xFFFFFFFF, "05 11 ff ff ff ff"),
    "AssignedClientIdentifier": (PacketTypes.CONNACK, "x", "x", "04 12 00 01 78"),
    "ServerKeepAlive": (PacketTypes.CONNACK, 65535, 65535, "03 13 ff ff"),
    "AuthenticationMethod": (PacketTypes.AUTH, "", "", "03 15 00 00"),
    "AuthenticationData": (PacketTypes.CONNECT, b"", b"", "03 16 00 00"),
    "RequestProblemInformation": (PacketTypes.CONNECT, 0, 0, "02 17 00"),
    "WillDelayInterval": (PacketTypes.WILLMESSAGE, 0, 0, "05 18 00 00 00 00"),
    "RequestResponseInformation": (PacketTypes.CONNECT, 1, 1, "02 19 01"),
    "ResponseInformation": (PacketTypes.CONNACK, "i", "i", "04 1a 00 01 69"),
    "ServerReference": (PacketTypes.DISCONNECT, "s", "s", "04 1c 00 01 73"),
    "ReasonString": (PacketTypes.SUBACK, "why", "why", "06 1f 00 03 77 68 79"),
    "ReceiveMaximum": (PacketTypes.CONNECT, 1, 1, "03 21 00 01"),
    "TopicAliasMaximum": (PacketTypes.CONNECT, 0, 0, "03 22 00 00"),
    "TopicAlias": (PacketTypes.PUBLISH, 65535, 65535, "03 23 ff ff"),
    "MaximumQoS": (PacketTypes.CONNACK, 1, 1, "02 24 01"),
    "RetainAvailable": (PacketTypes.CONNACK, 0, 0, "02 25 00"),
    "UserProperty": (PacketTypes.PUBACK, ("k", "v"), [("k", "v")], "07 26 00 01 6b 00 01 76"),
    "MaximumPacketSize": (PacketTypes.CONNECT, 268_435_455, 268_435_455, "05 27 0f ff ff ff"),
    "WildcardSubscriptionAvailable": (PacketTypes.CONNACK, 1, 1, "02 28 01"),
    "SubscriptionIdentifierAvailable": (PacketTypes.CONNACK, 1, 1, "02 29 01"),
    "SharedSubscriptionAvailable": (PacketTypes.CONNACK, 0, 0, "02 2a 00"),
}


@pytest.fixture(params=[paho.mqtt.properties, telex.paho.properties], ids=["paho", "telex"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


def filled(module: ModuleType) -> Any:
    properties = module.Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("a", "1")
    properties.CorrelationData = b"\x01\x02"
    properties.UserProperty = ("a", "2")
    properties.ContentType = "text"
    return properties


def test_every_property_has_an_example() -> None:
    assert set(SPOKEN) == {name.replace(" ", "") for name in paho.mqtt.properties.Properties(1).names}


@pytest.mark.parametrize("name", SPOKEN)
def test_a_property_is_set_packed_and_read_again(module: ModuleType, name: str) -> None:
    packet, value, stored, packed = SPOKEN[name]
    properties = module.Properties(packet)
    setattr(properties, name, value)
    assert getattr(properties, name) == stored
    assert type(properties.pack()) is bytes
    assert properties.pack().hex(" ") == packed
    assert str(properties) == f"[{name} : {stored}]"
    again = module.Properties(packet)
    assert again.unpack(properties.pack() + b"payload") == (again, len(properties.pack()))
    assert getattr(again, name) == stored
    assert again.json() == properties.json()


@pytest.mark.parametrize("name", SPOKEN)
def test_a_property_has_its_number_and_its_type(module: ModuleType, name: str) -> None:
    properties = module.Properties(PacketTypes.CONNECT)
    identifier = properties.getIdentFromName(name)
    assert identifier == bytes.fromhex(SPOKEN[name][3])[1]
    spaced = properties.getNameFromIdent(identifier)
    assert spaced.replace(" ", "") == name
    assert properties.names[spaced] == identifier
    assert properties.allowsMultiple(name) is (name in ("UserProperty", "SubscriptionIdentifier"))
    theirs = paho.mqtt.properties.Properties(PacketTypes.CONNECT)
    assert properties.types == theirs.types
    assert list(properties.names) == list(theirs.names)
    kind, packets = properties.properties[identifier]
    assert (kind, sorted(packets)) == (theirs.properties[identifier][0], sorted(theirs.properties[identifier][1]))


def test_unknown_names_and_numbers_have_no_counterpart(module: ModuleType) -> None:
    properties = module.Properties(PacketTypes.CONNECT)
    assert properties.getIdentFromName("Topic Alias") == -1  # names are asked for without their spaces
    assert properties.getNameFromIdent(4) is None
    assert properties.allowsMultiple("Nothing") is False


def test_a_name_may_have_its_spaces_when_it_is_set(module: ModuleType) -> None:
    properties = module.Properties(PacketTypes.CONNECT)
    setattr(properties, "Receive Maximum", 10)
    assert properties.ReceiveMaximum == 10


def test_what_is_not_set_is_not_there(module: ModuleType) -> None:
    properties = module.Properties(PacketTypes.CONNECT)
    assert not hasattr(properties, "ReceiveMaximum")
    with pytest.raises(AttributeError):
        _ = properties.UserProperty
    assert (properties.isEmpty(), str(properties), properties.json(), properties.pack()) == (True, "[]", {}, b"\0")
    assert properties.packetType == PacketTypes.CONNECT


def test_several_are_in_the_order_of_their_numbers(module: ModuleType) -> None:
    properties = filled(module)
    assert not properties.isEmpty()
    assert str(properties) == (
        "[ContentType : text, CorrelationData : b'\\x01\\x02', UserProperty : [('a', '1'), ('a', '2')]]"
    )
    assert properties.json() == {
        "ContentType": "text",
        "CorrelationData": "0102",
        "UserProperty": [("a", "1"), ("a", "2")],
    }
    assert json.loads(json.dumps(properties.json()))["UserProperty"] == [["a", "1"], ["a", "2"]]
    assert properties.pack() == bytes.fromhex(
        "1a 03 0004 74657874 09 0002 0102 26 0001 61 0001 31 26 0001 61 0001 32".replace(" ", "")
    )


@pytest.mark.parametrize(
    ("name", "first", "second"), [("UserProperty", ("a", "b"), ("c", "d")), ("SubscriptionIdentifier", 1, 2)]
)
def test_what_may_be_there_again_is_appended(module: ModuleType, name: str, first: object, second: object) -> None:
    properties = module.Properties(PacketTypes.PUBLISH)
    setattr(properties, name, [first])
    setattr(properties, name, second)
    setattr(properties, name, [first, second])
    assert getattr(properties, name) == [first, second, first, second]
    delattr(properties, name)
    setattr(properties, name, second)
    assert getattr(properties, name) == [second]


def test_what_may_be_there_once_is_replaced(module: ModuleType) -> None:
    properties = module.Properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = 1
    properties.ReceiveMaximum = 2
    assert properties.ReceiveMaximum == 2


def test_clear_leaves_nothing_but_the_type(module: ModuleType) -> None:
    properties = filled(module)
    properties.clear()
    assert properties.isEmpty()
    assert not hasattr(properties, "UserProperty")
    assert properties.packetType == PacketTypes.PUBLISH


def test_unpacking_replaces_what_was_there(module: ModuleType) -> None:
    properties = filled(module)
    assert properties.unpack(b"\0") == (properties, 1)
    assert properties.isEmpty()
    properties.unpack(filled(module).pack())
    properties.unpack(filled(module).pack())
    assert properties.UserProperty == [("a", "1"), ("a", "2")]


def test_a_bytearray_is_unpacked_too(module: ModuleType) -> None:
    properties = module.Properties(PacketTypes.PUBLISH)
    properties.unpack(bytearray(filled(module).pack()))
    assert (properties.ContentType, properties.CorrelationData) == ("text", b"\x01\x02")


def test_text_may_be_given_as_bytes(module: ModuleType) -> None:
    properties = module.Properties(PacketTypes.PUBLISH)
    properties.ContentType = b"text"
    assert properties.pack().hex(" ") == "07 03 00 04 74 65 78 74"
    assert properties.json() == {"ContentType": b"text"}


def test_properties_are_equal_to_themselves_only(module: ModuleType) -> None:
    properties, other = filled(module), filled(module)
    assert properties == properties
    assert properties != other
    assert len({properties, other}) == 2


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["copy", "deepcopy", "pickle"]
)
def test_a_copy_says_the_same(module: ModuleType, twin: Any) -> None:
    properties = filled(module)
    again = twin(properties)
    assert (again.json(), again.pack(), again.packetType) == (properties.json(), properties.pack(), PacketTypes.PUBLISH)
    again.UserProperty = ("a", "3")
    assert len(properties.UserProperty) == 2


@pytest.mark.parametrize("name", ["Nothing", "payloadFormatIndicator", "_private"])
def test_no_other_name_can_be_set(module: ModuleType, name: str) -> None:
    with pytest.raises(Exception, match=r"name|property") as caught:
        setattr(module.Properties(PacketTypes.PUBLISH), name, 1)
    assert type(caught.value) is module.MQTTException


@pytest.mark.parametrize(
    ("packet", "name"),
    [
        (PacketTypes.PUBLISH, "ReceiveMaximum"),
        (PacketTypes.CONNECT, "TopicAlias"),
        (PacketTypes.PUBREL, "ContentType"),
        (PacketTypes.PINGREQ, "UserProperty"),
    ],
)
def test_a_packet_takes_its_own_properties_only(module: ModuleType, packet: int, name: str) -> None:
    with pytest.raises(Exception, match=name) as caught:
        setattr(module.Properties(packet), name, 1)
    assert type(caught.value) is module.MQTTException


@pytest.mark.parametrize(
    ("packet", "name", "value"),
    [
        (PacketTypes.CONNECT, "ReceiveMaximum", 0),
        (PacketTypes.CONNECT, "ReceiveMaximum", 65536),
        (PacketTypes.PUBLISH, "TopicAlias", 0),
        (PacketTypes.PUBLISH, "TopicAlias", 65536),
        (PacketTypes.CONNECT, "TopicAliasMaximum", -1),
        (PacketTypes.CONNECT, "TopicAliasMaximum", 65536),
        (PacketTypes.CONNECT, "MaximumPacketSize", 0),
        (PacketTypes.SUBSCRIBE, "SubscriptionIdentifier", 0),
        (PacketTypes.SUBSCRIBE, "SubscriptionIdentifier", 268_435_456),
        (PacketTypes.CONNECT, "RequestResponseInformation", 2),
        (PacketTypes.CONNECT, "RequestProblemInformation", "yes"),
        (PacketTypes.PUBLISH, "PayloadFormatIndicator", -1),
    ],
)
def test_a_number_out_of_its_range_is_refused(module: ModuleType, packet: int, name: str, value: object) -> None:
    properties = module.Properties(packet)
    with pytest.raises(Exception, match=name) as caught:
        setattr(properties, name, value)
    assert type(caught.value) is module.MQTTException
    assert properties.isEmpty()


@pytest.mark.parametrize("value", ["1", None, (1,)])
def test_what_is_no_number_has_no_range(module: ModuleType, value: object) -> None:
    with pytest.raises(TypeError):
        module.Properties(PacketTypes.CONNECT).ReceiveMaximum = value


@pytest.mark.parametrize(
    ("packet", "name", "value", "error"),
    [
        (PacketTypes.PUBLISH, "MessageExpiryInterval", -1, struct.error),
        (PacketTypes.PUBLISH, "MessageExpiryInterval", 2**32, struct.error),
        (PacketTypes.PUBLISH, "MessageExpiryInterval", 1.5, struct.error),
        (PacketTypes.PUBLISH, "MessageExpiryInterval", "1", struct.error),
        (PacketTypes.CONNACK, "ServerKeepAlive", 65536, struct.error),
        (PacketTypes.CONNACK, "MaximumQoS", 256, ValueError),
        (PacketTypes.PUBLISH, "ContentType", 5, TypeError),
        (PacketTypes.PUBLISH, "ContentType", None, TypeError),
        (PacketTypes.PUBLISH, "ContentType", "x" * 65536, struct.error),
        (PacketTypes.PUBLISH, "ContentType", "\ud800", UnicodeEncodeError),
        (PacketTypes.PUBLISH, "CorrelationData", "text", TypeError),
        (PacketTypes.PUBLISH, "CorrelationData", bytes(65536), struct.error),
        (PacketTypes.PUBLISH, "UserProperty", ("alone",), IndexError),
        (PacketTypes.PUBLISH, "UserProperty", 5, TypeError),
        (PacketTypes.PUBLISH, "SubscriptionIdentifier", [2**28], ValueError),
    ],
)
def test_other_wrong_values_are_noticed_by_pack(
    module: ModuleType, packet: int, name: str, value: object, error: type[Exception]
) -> None:
    properties = module.Properties(packet)
    setattr(properties, name, value)
    with pytest.raises(error) as caught:
        properties.pack()
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("packet", "data", "error"),
    [
        (PacketTypes.CONNECT, "02 01 01", "MQTTException"),  # not in CONNECT
        (PacketTypes.CONNECT, "03 21 00 00", "MQTTException"),  # Receive Maximum 0
        (PacketTypes.CONNECT, "06 21 00 01 21 00 01", "MQTTException"),  # twice
        (PacketTypes.PUBLISH, "05 03 00 03 61 62", "MalformedPacket"),
        (PacketTypes.PUBLISH, "02 03 00", "MalformedPacket"),
        (PacketTypes.PUBLISH, "05 09 00 03 61 62", "MalformedPacket"),
        (PacketTypes.PUBLISH, "02 09 00", "MalformedPacket"),
        (PacketTypes.PUBLISH, "04 03 00 01 00", "MalformedPacket"),  # U+0000
        (PacketTypes.PUBLISH, "07 26 00 01 61 00 02 62", "MalformedPacket"),
        (PacketTypes.PUBLISH, "", "MalformedPacket"),
        (PacketTypes.PUBLISH, "ff ff ff ff 01", "MalformedPacket"),
        (PacketTypes.PUBLISH, "ff", "MalformedPacket"),
    ],
)
def test_bytes_that_are_no_properties_are_refused(module: ModuleType, packet: int, data: str, error: str) -> None:
    with pytest.raises(module.MQTTException) as caught:
        module.Properties(packet).unpack(bytes.fromhex(data))
    assert type(caught.value).__name__ == error


@pytest.mark.parametrize(
    ("kind", "value", "packed"),
    [
        (0, 7, "01 07"),
        (1, 7, "01 00 07"),
        (2, 7, "01 00 00 00 07"),
        (3, 200, "01 c8 01"),
        (4, b"ab", "01 00 02 61 62"),
        (5, "ab", "01 00 02 61 62"),
        (6, ("a", "b"), "01 00 01 61 00 01 62"),
    ],
)
def test_each_type_is_written_and_read(module: ModuleType, kind: int, value: object, packed: str) -> None:
    properties = module.Properties(PacketTypes.PUBLISH)
    written = properties.writeProperty(1, kind, value)
    assert type(written) is bytes
    assert written.hex(" ") == packed
    assert properties.readProperty(written[1:] + b"more", kind, len(written) - 1) == (value, len(written) - 1)


@pytest.mark.parametrize(
    ("number", "packed"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "80 01"),
        (16_383, "ff 7f"),
        (16_384, "80 80 01"),
        (2_097_151, "ff ff 7f"),
        (2_097_152, "80 80 80 01"),
        (268_435_455, "ff ff ff 7f"),
    ],
)
def test_a_variable_byte_integer_has_as_many_bytes_as_it_needs(module: ModuleType, number: int, packed: str) -> None:
    encoded = module.VariableByteIntegers.encode(number)
    assert (type(encoded), encoded.hex(" ")) == (bytes, packed)
    assert module.VariableByteIntegers.decode(encoded + b"\xff") == (number, len(encoded))
    assert module.VariableByteIntegers.decode(bytearray(encoded)) == (number, len(encoded))


@pytest.mark.parametrize("number", [-1, 268_435_456])
def test_no_other_number_is_a_variable_byte_integer(module: ModuleType, number: int) -> None:
    with pytest.raises(ValueError, match="268"):
        module.VariableByteIntegers.encode(number)


@pytest.mark.parametrize("data", ["", "80", "80 80 80", "80 80 80 80", "ff ff ff ff 7f"])
def test_a_variable_byte_integer_ends_within_four_bytes(module: ModuleType, data: str) -> None:
    with pytest.raises(module.MalformedPacket):
        module.VariableByteIntegers.decode(bytes.fromhex(data))


def test_the_functions_write_bytearrays_and_read_what_they_wrote(module: ModuleType) -> None:
    written = [module.writeInt16(258), module.writeInt32(2), module.writeUTF("é"), module.writeBytes(b"\0")]
    assert [(type(part), part.hex()) for part in written] == [
        (bytearray, "0102"),
        (bytearray, "00000002"),
        (bytearray, "0002c3a9"),
        (bytearray, "000100"),
    ]
    assert module.readInt16(written[0] + b"more") == 258
    assert module.readInt32(written[1] + b"more") == 2
    assert module.readUTF(written[2] + b"more", 8) == ("é", 4)
    assert module.readBytes(written[3] + b"more", 7) == (b"\0", 3)


def test_the_functions_refuse_what_does_not_fit(module: ModuleType) -> None:
    for write in (module.writeInt16, module.writeInt32):
        with pytest.raises(struct.error):
            write(2**32)
    for read in (module.readInt16, module.readInt32):
        with pytest.raises(struct.error):
            read(b"\0")
    for read_text in (module.readUTF, module.readBytes):
        for size in (0, 1, 2, 3):
            with pytest.raises(module.MalformedPacket):
                read_text(b"\0\x02ab", size)


# Where the text of MQTT 5 wants something else than paho does.


def test_a_broker_may_allow_packets_of_any_size() -> None:  # section 3.2.2.3.6
    properties = telex.paho.properties.Properties(PacketTypes.CONNACK)
    properties.unpack(bytes.fromhex("05 27 ff ff ff ff"))
    assert properties.MaximumPacketSize == 0xFFFFFFFF
    with pytest.raises(MQTTException, match="MaximumPacketSize"):
        properties.MaximumPacketSize = 2**32


def test_a_byte_order_mark_is_a_character_like_others() -> None:  # [MQTT-1.5.4-3]
    assert telex.paho.properties.readUTF(b"\0\x03\xef\xbb\xbf", 5) == ("\ufeff", 5)


def test_no_null_character_is_written() -> None:  # [MQTT-1.5.4-2]
    for text in ("a\0b", b"a\0b"):
        with pytest.raises(ValueError, match="null character"):
            telex.paho.properties.writeUTF(text)


def test_a_will_takes_its_own_properties_only() -> None:
    with pytest.raises(MQTTException, match="TopicAlias is not one of a will"):
        telex.paho.properties.Properties(PacketTypes.WILLMESSAGE).TopicAlias = 1
    with pytest.raises(MQTTException, match="not one of packet type 77"):
        telex.paho.properties.Properties(77).TopicAlias = 1


@pytest.mark.parametrize(
    "data",
    [
        "02 04 00",  # no such property
        "05 03 00 02 ff fe",  # not UTF-8
        "06 03 00 03 ed a0 80",  # a surrogate
        "02 23 00",  # a number cut short
        "02 02 00 61 61 61",  # a number that goes on behind the properties
        "01 01 01",
        "05 01",  # longer than what is there
        "80 00",  # more bytes than the number needs [MQTT-1.5.5-1]
        "03 8b 00 01",
        "02 0b 80 01",  # a number that goes on behind the properties
    ],
)
def test_malformed_properties_are_told_as_such(data: str) -> None:
    with pytest.raises(MalformedPacket):
        telex.paho.properties.Properties(PacketTypes.PUBLISH).unpack(bytes.fromhex(data))


def test_there_is_no_other_type() -> None:
    properties = telex.paho.properties.Properties(PacketTypes.PUBLISH)
    with pytest.raises(ValueError, match="type is 7"):
        properties.writeProperty(1, 7, 1)
    with pytest.raises(ValueError, match="type is 7"):
        properties.readProperty(b"\0", 7, 1)


# Telex's own: between what programs see and what the connection takes.


@pytest.mark.parametrize("name", SPOKEN)
def test_properties_pass_to_the_connection_and_back(name: str) -> None:
    packet, value, stored, packed = SPOKEN[name]
    properties = telex.paho.properties.Properties(packet)
    setattr(properties, name, value)
    carrier = wire.WILL if packet == PacketTypes.WILLMESSAGE else packet
    passed = telex.paho.properties.to_wire(properties, carrier)
    assert wire.encode_properties(passed, carrier).hex(" ") == packed
    again = telex.paho.properties.from_wire(passed, packet)
    assert (again.json(), again.packetType) == (properties.json(), packet)
    assert getattr(again, name) == stored


def test_no_properties_are_none_for_the_connection() -> None:
    assert telex.paho.properties.to_wire(None, codes.PUBLISH) is None
    assert telex.paho.properties.to_wire(telex.paho.properties.Properties(PacketTypes.PUBLISH), codes.PUBLISH) is None
    assert telex.paho.properties.from_wire(None, PacketTypes.PUBACK).isEmpty()


def test_properties_may_travel_in_another_packet_that_may_have_them() -> None:
    properties = telex.paho.properties.Properties(PacketTypes.CONNECT)
    properties.UserProperty = ("a", "b")
    passed = telex.paho.properties.to_wire(properties, codes.PUBLISH)
    assert passed is not None
    assert passed.user_properties == (("a", "b"),)
    properties.ReceiveMaximum = 5
    with pytest.raises(ValueError, match="receive_maximum"):
        telex.paho.properties.to_wire(properties, codes.PUBLISH)


def test_what_came_can_be_appended_to() -> None:
    came = telex.paho.properties.from_wire(wire.Properties(user_properties=(("a", "b"),)), PacketTypes.PUBLISH)
    came.UserProperty = ("c", "d")
    assert came.UserProperty == [("a", "b"), ("c", "d")]
