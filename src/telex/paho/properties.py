"""The properties of an MQTT 5 packet (section 2.2.2), as attributes.

Knows their types, their values and the packets that may carry them. Knows nothing of what they are for.
"""

import struct
from typing import Any, ClassVar, Final

from telex import codes
from telex.codes import PropertyId
from telex.errors import ProtocolError
from telex.paho.exception import MalformedPacket, MQTTException
from telex.paho.packettypes import PacketTypes
from telex.wire import properties as wire
from telex.wire.data import Reader, encode_variable

_BYTE, _TWO, _FOUR, _VARIABLE, _BINARY, _STRING, _PAIR = range(7)

_SIZES: Final = {_BYTE: 1, _TWO: 2, _FOUR: 4}

_KINDS: Final = {
    _BYTE: (
        PropertyId.PAYLOAD_FORMAT_INDICATOR,
        PropertyId.REQUEST_PROBLEM_INFORMATION,
        PropertyId.REQUEST_RESPONSE_INFORMATION,
        PropertyId.MAXIMUM_QOS,
        PropertyId.RETAIN_AVAILABLE,
        PropertyId.WILDCARD_SUBSCRIPTION_AVAILABLE,
        PropertyId.SUBSCRIPTION_IDENTIFIER_AVAILABLE,
        PropertyId.SHARED_SUBSCRIPTION_AVAILABLE,
    ),
    _TWO: (
        PropertyId.SERVER_KEEP_ALIVE,
        PropertyId.RECEIVE_MAXIMUM,
        PropertyId.TOPIC_ALIAS_MAXIMUM,
        PropertyId.TOPIC_ALIAS,
    ),
    _FOUR: (
        PropertyId.MESSAGE_EXPIRY_INTERVAL,
        PropertyId.SESSION_EXPIRY_INTERVAL,
        PropertyId.WILL_DELAY_INTERVAL,
        PropertyId.MAXIMUM_PACKET_SIZE,
    ),
    _VARIABLE: (PropertyId.SUBSCRIPTION_IDENTIFIER,),
    _BINARY: (PropertyId.CORRELATION_DATA, PropertyId.AUTHENTICATION_DATA),
    _PAIR: (PropertyId.USER_PROPERTY,),
}
"""What is none of these is a string."""

_RANGES: Final = {
    PropertyId.RECEIVE_MAXIMUM.value: (1, 0xFFFF),
    PropertyId.TOPIC_ALIAS.value: (1, 0xFFFF),
    PropertyId.TOPIC_ALIAS_MAXIMUM.value: (0, 0xFFFF),
    PropertyId.MAXIMUM_PACKET_SIZE.value: (1, 0xFFFFFFFF),  # section 3.2.2.3.6
    PropertyId.SUBSCRIPTION_IDENTIFIER.value: (1, codes.MAX_REMAINING_LENGTH),
}
_FLAGS: Final = (
    PropertyId.REQUEST_RESPONSE_INFORMATION.value,
    PropertyId.REQUEST_PROBLEM_INFORMATION.value,
    PropertyId.PAYLOAD_FORMAT_INDICATOR.value,
)
_MULTIPLE: Final = (PropertyId.SUBSCRIPTION_IDENTIFIER.value, PropertyId.USER_PROPERTY.value)


def _kind(identifier: PropertyId) -> int:
    return next((kind for kind, identifiers in _KINDS.items() if identifier in identifiers), _STRING)


def _title(identifier: PropertyId) -> str:
    """The name as the text of the standard writes it."""
    return identifier.name.replace("_", " ").title().replace("Qos", "QoS")


def _carriers(identifier: int) -> list[int]:
    packets = wire.RULES[identifier].packets
    return sorted(PacketTypes.WILLMESSAGE if packet == wire.WILL else packet for packet in packets)


_ATTRIBUTES: Final = {identifier.value: _title(identifier).replace(" ", "") for identifier in PropertyId}
_IDENTIFIERS: Final = {attribute: identifier for identifier, attribute in _ATTRIBUTES.items()}
_OWN: Final = ("packetType", "types", "names", "properties")


def writeInt16(length: int) -> bytearray:
    """A Two Byte Integer (section 1.5.2).

    Raises:
        struct.error: it does not fit.
    """
    return bytearray(struct.pack("!H", length))


def readInt16(buf: bytes | bytearray) -> int:
    """A Two Byte Integer in front of a buffer.

    Raises:
        struct.error: the buffer is too short.
    """
    number: int = struct.unpack("!H", buf[:2])[0]
    return number


def writeInt32(length: int) -> bytearray:
    """A Four Byte Integer (section 1.5.3).

    Raises:
        struct.error: it does not fit.
    """
    return bytearray(struct.pack("!L", length))


def readInt32(buf: bytes | bytearray) -> int:
    """A Four Byte Integer in front of a buffer.

    Raises:
        struct.error: the buffer is too short.
    """
    number: int = struct.unpack("!L", buf[:4])[0]
    return number


def writeUTF(data: str | bytes) -> bytearray:
    """A UTF-8 Encoded String (section 1.5.4); bytes are taken for UTF-8.

    Raises:
        ValueError: a surrogate, or a null character, is in it.
        struct.error: it has more than 65,535 bytes.
    """
    encoded = data if isinstance(data, bytes) else bytes(data, "utf-8")  # [MQTT-1.5.4-1]
    if b"\0" in encoded:
        raise ValueError(f"{data[:80]!r} holds the null character U+0000 [MQTT-1.5.4-2]")
    return writeInt16(len(encoded)) + encoded


def readUTF(buffer: bytes | bytearray, maxlen: int) -> tuple[str, int]:
    """A UTF-8 Encoded String in front of a buffer, of which ``maxlen`` bytes count, and how many bytes it takes.

    Raises:
        MalformedPacket: it does not end within those, or is not what MQTT takes for text.
    """
    data, size = readBytes(buffer, maxlen)
    try:
        text = bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedPacket(f"a string is not UTF-8: {error.reason} at byte {error.start} [MQTT-1.5.4-1]") from None
    if "\0" in text:
        raise MalformedPacket("a string holds the null character U+0000 [MQTT-1.5.4-2]")
    return text, size  # U+FEFF is a character like others [MQTT-1.5.4-3]


def writeBytes(buffer: bytes | bytearray) -> bytearray:
    """Binary Data (section 1.5.6).

    Raises:
        struct.error: more than 65,535 bytes.
    """
    return writeInt16(len(buffer)) + buffer


def readBytes(buffer: bytes | bytearray, maxlen: int) -> tuple[bytes | bytearray, int]:
    """Binary Data in front of a buffer, of which ``maxlen`` bytes count, and how many bytes it takes.

    Raises:
        MalformedPacket: it does not end within those.
    """
    left = min(maxlen, len(buffer))
    if left < 2:
        raise MalformedPacket(f"{left} bytes are left, expected a length of two (section 1.5)")
    end = 2 + readInt16(buffer)
    if end > left:
        raise MalformedPacket(f"{left} bytes are left, expected {end} (section 1.5)")
    return buffer[2:end], end


class VariableByteIntegers:
    """Numbers in one to four bytes of seven bits each (section 1.5.5)."""

    @staticmethod
    def encode(x: int) -> bytes:
        """A number from 0 to 268,435,455 in the fewest bytes.

        Raises:
            ValueError: any other number.
        """
        return encode_variable(x, "the number")

    @staticmethod
    def decode(buffer: bytes | bytearray) -> tuple[int, int]:
        """The number in front of a buffer, and how many bytes it takes.

        Raises:
            MalformedPacket: it does not end within four bytes, or takes more than it needs.
        """
        reader = Reader(bytes(buffer[:4]), 0, min(len(buffer), 4))
        try:
            return reader.variable_byte_integer("the number"), reader.position
        except ProtocolError as error:
            raise MalformedPacket(str(error)) from None


class Properties:
    """The properties of one packet; an attribute that was not set is not there.

    The attributes have the names of the standard without their spaces. ``UserProperty`` is a list of pairs and
    ``SubscriptionIdentifier`` a list of numbers: to set one of them again appends to it.

    Args:
        packetType: one of ``PacketTypes``, which decides what may be set.
    """

    types: ClassVar = [
        "Byte",
        "Two Byte Integer",
        "Four Byte Integer",
        "Variable Byte Integer",
        "Binary Data",
        "UTF-8 Encoded String",
        "UTF-8 String Pair",
    ]
    names: ClassVar = {_title(identifier): identifier.value for identifier in PropertyId}
    """The number of each property."""
    properties: ClassVar = {
        identifier.value: (_kind(identifier), _carriers(identifier.value)) for identifier in PropertyId
    }
    """For each number: the data type, as an index of ``types``, and the packets that may carry it."""

    PayloadFormatIndicator: int
    MessageExpiryInterval: int
    ContentType: str
    ResponseTopic: str
    CorrelationData: bytes
    SubscriptionIdentifier: Any  # one number can be set, a list is what comes back
    SessionExpiryInterval: int
    AssignedClientIdentifier: str
    ServerKeepAlive: int
    AuthenticationMethod: str
    AuthenticationData: bytes
    RequestProblemInformation: int
    WillDelayInterval: int
    RequestResponseInformation: int
    ResponseInformation: str
    ServerReference: str
    ReasonString: str
    ReceiveMaximum: int
    TopicAliasMaximum: int
    TopicAlias: int
    MaximumQoS: int
    RetainAvailable: int
    UserProperty: Any  # one pair can be set, a list is what comes back
    MaximumPacketSize: int
    WildcardSubscriptionAvailable: int
    SubscriptionIdentifierAvailable: int
    SharedSubscriptionAvailable: int

    def __init__(self, packetType: int) -> None:
        self.packetType = packetType

    def allowsMultiple(self, compressedName: str) -> bool:
        """Whether a packet may carry this property more than once."""
        return self.getIdentFromName(compressedName) in _MULTIPLE

    def getIdentFromName(self, compressedName: str) -> int:
        """The number of a property, by its name without spaces; -1 if there is none of that name."""
        return _IDENTIFIERS.get(compressedName, -1)

    def getNameFromIdent(self, identifier: int) -> str | None:
        """The name of a property, with its spaces, by its number."""
        return next((name for name, number in self.names.items() if number == identifier), None)

    def __setattr__(self, name: str, value: Any) -> None:
        name = name.replace(" ", "")
        if name not in _OWN:
            identifier = self.getIdentFromName(name)
            if identifier == -1:
                raise MQTTException(f"there is no property {name!r}; expected one of {', '.join(_IDENTIFIERS)}")
            if self.packetType not in self.properties[identifier][1]:
                raise MQTTException(f"property {name} is not one of {self._packet()}")
            if not isinstance(value, list):
                _check(identifier, value)
            if identifier in _MULTIPLE:
                value = value if isinstance(value, list) else [value]
                if hasattr(self, name):
                    value = getattr(self, name) + value
        object.__setattr__(self, name, value)

    def _packet(self) -> str:
        """What carries these properties, for errors."""
        if self.packetType == PacketTypes.WILLMESSAGE:
            return "a will"
        if self.packetType in PacketTypes.indexes:
            return f"a {PacketTypes.Names[self.packetType]} packet"
        return f"packet type {self.packetType}"

    def _present(self) -> list[str]:
        """The attributes that are there, in the order of their numbers."""
        return [name for name in _IDENTIFIERS if hasattr(self, name)]

    def __str__(self) -> str:
        return "[" + ", ".join(f"{name} : {getattr(self, name)}" for name in self._present()) + "]"

    def json(self) -> dict[str, Any]:
        """The properties by their names; Correlation Data in hexadecimal digits, since JSON has no bytes."""
        data = {name: getattr(self, name) for name in self._present()}
        if isinstance(data.get("CorrelationData"), bytes):
            data["CorrelationData"] = data["CorrelationData"].hex()
        return data

    def isEmpty(self) -> bool:
        """Whether none is set."""
        return not self._present()

    def clear(self) -> None:
        """Remove all."""
        for name in self._present():
            delattr(self, name)

    def writeProperty(self, identifier: int, type: int, value: Any) -> bytes:
        """One property: its number, and a value of this type, an index of ``types``.

        Raises:
            ValueError, TypeError, struct.error: the value is none of that type.
        """
        head = VariableByteIntegers.encode(identifier)
        match type:
            case 0:
                return head + bytes([value])
            case 1:
                return head + writeInt16(value)
            case 2:
                return head + writeInt32(value)
            case 3:
                return head + VariableByteIntegers.encode(value)
            case 4:
                return head + writeBytes(value)
            case 5:
                return head + writeUTF(value)
            case 6:
                return head + writeUTF(value[0]) + writeUTF(value[1])
        raise ValueError(f"type is {type!r}, expected 0 to 6")

    def pack(self) -> bytes:
        """The length of all, and all.

        Raises:
            ValueError, TypeError, struct.error: a value is not of its property's type.
        """
        parts: list[bytes] = []
        for name in self._present():
            identifier = _IDENTIFIERS[name]
            values = getattr(self, name)
            if identifier not in _MULTIPLE:
                values = [values]
            parts += [self.writeProperty(identifier, self.properties[identifier][0], value) for value in values]
        body = b"".join(parts)
        return VariableByteIntegers.encode(len(body)) + body

    def readProperty(self, buffer: bytes | bytearray, type: int, propslen: int) -> tuple[Any, int]:
        """A value of this type in front of a buffer, of which ``propslen`` bytes count, and how many bytes it takes.

        Raises:
            MalformedPacket: the value does not end within those, or is none.
            ValueError: there is no such type.
        """
        size = _SIZES.get(type)
        if size is not None:
            left = min(propslen, len(buffer))
            if left < size:
                raise MalformedPacket(f"{left} bytes of properties are left, expected {size} (section 2.2.2)")
            return int.from_bytes(buffer[:size], "big"), size
        match type:
            case 3:
                return VariableByteIntegers.decode(buffer[:propslen])
            case 4:
                return readBytes(buffer, propslen)
            case 5:
                return readUTF(buffer, propslen)
            case 6:
                name, name_size = readUTF(buffer, propslen)
                value, value_size = readUTF(buffer[name_size:], propslen - name_size)
                return (name, value), name_size + value_size
        raise ValueError(f"type is {type!r}, expected 0 to 6")

    def unpack(self, buffer: bytes | bytearray) -> "tuple[Properties, int]":
        """Take all from a buffer, which begins with their length; returns this and how many bytes that took.

        Raises:
            MalformedPacket: the bytes are no properties.
            MQTTException: this packet does not have one of them, not with that value, or not twice.
        """
        self.clear()
        length, start = VariableByteIntegers.decode(buffer)
        end = start + length
        if end > len(buffer):
            raise MalformedPacket(f"properties are {length} bytes long, {len(buffer) - start} are left")
        position = start
        while position < end:
            identifier, size = VariableByteIntegers.decode(buffer[position : min(position + 4, end)])
            position += size
            name = _ATTRIBUTES.get(identifier)
            if name is None:
                raise MalformedPacket(f"property {identifier} does not exist (section 2.2.2.2)")
            value, size = self.readProperty(buffer[position:end], self.properties[identifier][0], end - position)
            position += size
            if identifier not in _MULTIPLE and hasattr(self, name):
                raise MQTTException(f"property {name} is there twice (section 2.2.2.2)")
            setattr(self, name, value)
        return self, end


def _check(identifier: int, value: Any) -> None:
    """Refuse numbers that a property may not have."""
    if identifier in _RANGES:
        least, most = _RANGES[identifier]
        if value < least or value > most:
            raise MQTTException(f"property {_ATTRIBUTES[identifier]} is {value!r}, expected {least} to {most}")
    elif identifier in _FLAGS and value not in (0, 1):
        raise MQTTException(f"property {_ATTRIBUTES[identifier]} is {value!r}, expected 0 or 1")


_FIELDS: Final = [(identifier, _ATTRIBUTES[identifier], rule.name) for identifier, rule in wire.RULES.items()]


def to_wire(properties: Properties | None, packet_type: int) -> wire.Properties | None:
    """Properties as the client's connection takes them; None if none is set.

    ``packet_type`` is the packet that will carry them, or ``WILL``. They may have been made for another one, as long as
    this one may carry them too.

    Raises:
        ValueError: the packet may not carry one of them, or not with that value.
        TypeError, struct.error: a value is not of its property's type.
    """
    if properties is None:
        return None
    # By way of the bytes, so that a program is told of a wrong value by what it knows from paho.
    packed = properties.pack()
    try:
        return wire.decode_properties(Reader(packed, 0, len(packed)), packet_type)
    except ProtocolError as error:
        raise ValueError(str(error)) from None


def from_wire(properties: wire.Properties | None, packetType: int) -> Properties:
    """What came with a packet, as programs see it."""
    found = Properties(packetType)
    if properties is not None:
        attributes = vars(found)  # they were checked when they came
        for identifier, attribute, field in _FIELDS:
            value = getattr(properties, field)
            if value is not None and value != ():
                attributes[attribute] = list(value) if identifier in _MULTIPLE else value
    return found
