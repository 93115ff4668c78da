"""The 27 properties of MQTT 5 (section 2.2.2): one table that decode and encode read.

Knows each property's type, the packets that may carry it and the values it may
have. Knows nothing of what they are for.
"""

from typing import Final

from telex import codes, topics
from telex.codes import PropertyId, ReasonCode
from telex.errors import ProtocolError
from telex.wire.data import (
    ONE_BYTE,
    Reader,
    encode_binary,
    encode_four,
    encode_string,
    encode_two,
    encode_variable,
    malformed,
)

WILL: Final = 0
"""Stands for the Will Properties where a packet type is expected; no packet has type 0."""

_BYTE: Final = 1
_TWO: Final = 2
_FOUR: Final = 3
_VARIABLE: Final = 4
_STRING: Final = 5
_BINARY: Final = 6
_PAIR: Final = 7
_USER_PROPERTY: Final = PropertyId.USER_PROPERTY.value


class Properties:
    """What an MQTT 5 packet says besides. ``None`` (or an empty tuple) is: not said."""

    def __init__(
        self,
        *,
        payload_format_indicator: int | None = None,
        message_expiry_interval: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        subscription_identifiers: tuple[int, ...] = (),
        session_expiry_interval: int | None = None,
        assigned_client_identifier: str | None = None,
        server_keep_alive: int | None = None,
        authentication_method: str | None = None,
        authentication_data: bytes | None = None,
        request_problem_information: int | None = None,
        will_delay_interval: int | None = None,
        request_response_information: int | None = None,
        response_information: str | None = None,
        server_reference: str | None = None,
        reason_string: str | None = None,
        receive_maximum: int | None = None,
        topic_alias_maximum: int | None = None,
        topic_alias: int | None = None,
        maximum_qos: int | None = None,
        retain_available: int | None = None,
        user_properties: tuple[tuple[str, str], ...] = (),
        maximum_packet_size: int | None = None,
        wildcard_subscription_available: int | None = None,
        subscription_identifier_available: int | None = None,
        shared_subscription_available: int | None = None,
    ) -> None:
        self.payload_format_indicator = payload_format_indicator  # 1: the payload is UTF-8 text
        self.message_expiry_interval = message_expiry_interval  # seconds
        self.content_type = content_type
        self.response_topic = response_topic
        self.correlation_data = correlation_data
        self.subscription_identifiers = subscription_identifiers  # one in SUBSCRIBE, any number in PUBLISH
        self.session_expiry_interval = session_expiry_interval  # seconds; 0xFFFFFFFF: never
        self.assigned_client_identifier = assigned_client_identifier
        self.server_keep_alive = server_keep_alive  # seconds
        self.authentication_method = authentication_method
        self.authentication_data = authentication_data
        self.request_problem_information = request_problem_information  # 0 or 1
        self.will_delay_interval = will_delay_interval  # seconds
        self.request_response_information = request_response_information  # 0 or 1
        self.response_information = response_information
        self.server_reference = server_reference
        self.reason_string = reason_string
        self.receive_maximum = receive_maximum  # packets
        self.topic_alias_maximum = topic_alias_maximum
        self.topic_alias = topic_alias
        self.maximum_qos = maximum_qos  # 0 or 1
        self.retain_available = retain_available  # 0 or 1
        self.user_properties = user_properties  # in their order [MQTT-3.3.2-18]
        self.maximum_packet_size = maximum_packet_size  # bytes
        self.wildcard_subscription_available = wildcard_subscription_available  # 0 or 1
        self.subscription_identifier_available = subscription_identifier_available  # 0 or 1
        self.shared_subscription_available = shared_subscription_available  # 0 or 1
        self.travelling: bytes | None = None  # of a PUBLISH that was read: what its message keeps of them, as it came
        self.has_packets_own = False  # and whether there were others

    @property
    def values(self) -> tuple[object, ...]:
        """What each of them is, in the order of ``RULES``."""
        return (
            self.payload_format_indicator,
            self.message_expiry_interval,
            self.content_type,
            self.response_topic,
            self.correlation_data,
            self.subscription_identifiers,
            self.session_expiry_interval,
            self.topic_alias_maximum,
            self.assigned_client_identifier,
            self.authentication_method,
            self.authentication_data,
            self.server_keep_alive,
            self.retain_available,
            self.maximum_packet_size,
            self.receive_maximum,
            self.maximum_qos,
            self.request_problem_information,
            self.will_delay_interval,
            self.request_response_information,
            self.response_information,
            self.server_reference,
            self.reason_string,
            self.topic_alias,
            self.user_properties,
            self.wildcard_subscription_available,
            self.subscription_identifier_available,
            self.shared_subscription_available,
        )

    @property
    def weight(self) -> int:
        """How many characters and bytes those of any length take together."""
        texts = len(self.content_type or "") + len(self.response_topic or "") + len(self.correlation_data or b"")
        return texts + sum([len(name) + len(value) for name, value in self.user_properties])

    def copy(self) -> "Properties":
        """The same, to be changed apart from this."""
        other = Properties()
        for rule, value in zip(RULES.values(), self.values, strict=True):
            setattr(other, rule.name, value)
        return other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Properties):
            return NotImplemented
        return self.values == other.values

    def __hash__(self) -> int:
        return hash((self.content_type, self.response_topic, self.user_properties))

    def __repr__(self) -> str:
        said = zip([rule.name for rule in RULES.values()], self.values, strict=True)
        return f"Properties({', '.join(f'{name}={value!r}' for name, value in said if value not in (None, ()))})"


class Rule:
    """One row of the table of section 2.2.2.2."""

    def __init__(
        self,
        name: str,
        kind: int,
        packets: tuple[int, ...],
        *,
        lowest: int = 0,
        highest: int = 0xFFFFFFFF,
        refusal: ReasonCode = ReasonCode.PROTOCOL_ERROR,
        is_packets_own: bool = False,
    ) -> None:
        self.name = name  # of the attribute of Properties
        self.kind = kind  # the data type
        self.packets = packets  # types of the packets that may carry it
        self.carriers = sum([1 << each for each in packets])  # the same, a bit for each: asked faster
        self.lowest = lowest  # the values that the text allows
        self.highest = highest
        self.refusal = refusal  # the reason code for any other value
        self.is_packets_own = is_packets_own  # in a PUBLISH: it does not go on with the message


_ACKS: Final = (
    codes.CONNACK,
    codes.PUBACK,
    codes.PUBREC,
    codes.PUBREL,
    codes.PUBCOMP,
    codes.SUBACK,
    codes.UNSUBACK,
    codes.DISCONNECT,
    codes.AUTH,
)
_MESSAGE: Final = (codes.PUBLISH, WILL)
_EVERY: Final = (*_ACKS, *_MESSAGE, codes.CONNECT, codes.SUBSCRIBE, codes.UNSUBSCRIBE)
_LOGIN: Final = (codes.CONNECT, codes.CONNACK, codes.AUTH)
_LIMITS: Final = (codes.CONNECT, codes.CONNACK)
_ALIAS_INVALID: Final = ReasonCode.TOPIC_ALIAS_INVALID

# In the order in which they are written, which means nothing to MQTT. Some clients read a CONNACK as if it did, so that
# it is Mosquitto's there.
RULES: Final[dict[int, Rule]] = {
    PropertyId.PAYLOAD_FORMAT_INDICATOR.value: Rule("payload_format_indicator", _BYTE, _MESSAGE, highest=1),
    PropertyId.MESSAGE_EXPIRY_INTERVAL.value: Rule("message_expiry_interval", _FOUR, _MESSAGE, is_packets_own=True),
    PropertyId.CONTENT_TYPE.value: Rule("content_type", _STRING, _MESSAGE),  # [MQTT-3.3.2-19]
    PropertyId.RESPONSE_TOPIC.value: Rule("response_topic", _STRING, _MESSAGE),  # [MQTT-3.3.2-13]
    PropertyId.CORRELATION_DATA.value: Rule("correlation_data", _BINARY, _MESSAGE),
    PropertyId.SUBSCRIPTION_IDENTIFIER.value: Rule(
        "subscription_identifiers", _VARIABLE, (codes.PUBLISH, codes.SUBSCRIBE), lowest=1, is_packets_own=True
    ),
    PropertyId.SESSION_EXPIRY_INTERVAL.value: Rule(
        "session_expiry_interval", _FOUR, (codes.CONNECT, codes.CONNACK, codes.DISCONNECT)
    ),
    PropertyId.TOPIC_ALIAS_MAXIMUM.value: Rule("topic_alias_maximum", _TWO, _LIMITS),
    PropertyId.ASSIGNED_CLIENT_IDENTIFIER.value: Rule("assigned_client_identifier", _STRING, (codes.CONNACK,)),
    PropertyId.AUTHENTICATION_METHOD.value: Rule("authentication_method", _STRING, _LOGIN),
    PropertyId.AUTHENTICATION_DATA.value: Rule("authentication_data", _BINARY, _LOGIN),
    PropertyId.SERVER_KEEP_ALIVE.value: Rule("server_keep_alive", _TWO, (codes.CONNACK,)),
    PropertyId.RETAIN_AVAILABLE.value: Rule("retain_available", _BYTE, (codes.CONNACK,), highest=1),
    PropertyId.MAXIMUM_PACKET_SIZE.value: Rule("maximum_packet_size", _FOUR, _LIMITS, lowest=1),
    PropertyId.RECEIVE_MAXIMUM.value: Rule("receive_maximum", _TWO, _LIMITS, lowest=1),
    PropertyId.MAXIMUM_QOS.value: Rule("maximum_qos", _BYTE, (codes.CONNACK,), highest=1),
    PropertyId.REQUEST_PROBLEM_INFORMATION.value: Rule(
        "request_problem_information", _BYTE, (codes.CONNECT,), highest=1
    ),
    PropertyId.WILL_DELAY_INTERVAL.value: Rule("will_delay_interval", _FOUR, (WILL,)),
    PropertyId.REQUEST_RESPONSE_INFORMATION.value: Rule(
        "request_response_information", _BYTE, (codes.CONNECT,), highest=1
    ),
    PropertyId.RESPONSE_INFORMATION.value: Rule("response_information", _STRING, (codes.CONNACK,)),
    PropertyId.SERVER_REFERENCE.value: Rule("server_reference", _STRING, (codes.CONNACK, codes.DISCONNECT)),
    PropertyId.REASON_STRING.value: Rule("reason_string", _STRING, _ACKS),
    PropertyId.TOPIC_ALIAS.value: Rule(
        "topic_alias", _TWO, (codes.PUBLISH,), lowest=1, refusal=_ALIAS_INVALID, is_packets_own=True
    ),  # [MQTT-3.3.2-8]
    PropertyId.USER_PROPERTY.value: Rule("user_properties", _PAIR, _EVERY),
    PropertyId.WILDCARD_SUBSCRIPTION_AVAILABLE.value: Rule(
        "wildcard_subscription_available", _BYTE, (codes.CONNACK,), highest=1
    ),
    PropertyId.SUBSCRIPTION_IDENTIFIER_AVAILABLE.value: Rule(
        "subscription_identifier_available", _BYTE, (codes.CONNACK,), highest=1
    ),
    PropertyId.SHARED_SUBSCRIPTION_AVAILABLE.value: Rule(
        "shared_subscription_available", _BYTE, (codes.CONNACK,), highest=1
    ),
}

# The same for who reads, by identifier, and for who writes: lists are asked and walked through faster than a dict.
_RULE_OF: Final = [RULES.get(identifier) for identifier in range(max(RULES) + 1)]
_IN_ORDER: Final = [(ONE_BYTE[identifier], rule) for identifier, rule in RULES.items()]


def decode_properties(reader: Reader, packet_type: int) -> Properties | None:
    """Read a property length and what follows it; None if it is zero.

    ``packet_type`` is the packet that carries them, or ``WILL``.

    Raises:
        ProtocolError: MALFORMED_PACKET for an unknown property, one that this
            packet may not carry, or one cut short; PROTOCOL_ERROR for one said
            twice or with a value that the text forbids (section 2.2.2.2).
    """
    length = reader.variable_byte_integer("property length")
    if length == 0:
        return None
    end = reader.position + length
    if end > reader.end:
        raise malformed(f"property length is {length:,}, the packet has {reader.end - reader.position:,} bytes left")
    position = reader.position
    fields = Reader(reader.data, position, end)
    reader.position = end
    properties = Properties()
    seen = 0  # a bit for each identifier
    pairs: list[tuple[str, str]] = []
    identifiers: list[int] = []
    travelling = b""  # what the message of a PUBLISH keeps of that
    while fields.has_more:
        start = fields.position
        identifier = fields.variable_byte_integer("property identifier")
        if identifier == _USER_PROPERTY:  # there may be many of them, and any packet may carry them [MQTT-1.5.7-1]
            pairs.append((fields.string("user property name"), fields.string("user property value")))
            continue
        rule = _RULE_OF[identifier] if identifier < len(_RULE_OF) else None
        if rule is None:
            raise malformed(f"property 0x{identifier:02X} does not exist (section 2.2.2.2)")
        if not rule.carriers >> packet_type & 1:
            raise malformed(f"property {rule.name} is not allowed in {_carrier(packet_type)} (section 2.2.2.2)")
        bit = 1 << identifier
        if seen & bit and not (rule.kind == _VARIABLE and packet_type == codes.PUBLISH):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"property {rule.name} is said twice (section 2.2.2.2)")
        seen |= bit
        if rule.kind == _STRING:
            setattr(properties, rule.name, fields.string(rule.name))
        elif rule.kind == _BINARY:
            setattr(properties, rule.name, fields.binary(rule.name))
        else:
            number = _decode_number(fields, rule)
            if rule.kind == _VARIABLE:
                identifiers.append(number)
            else:
                setattr(properties, rule.name, number)
            if rule.is_packets_own:
                travelling += reader.data[position:start]
                position = fields.position
                properties.has_packets_own = True
    properties.user_properties = tuple(pairs)
    properties.subscription_identifiers = tuple(identifiers)
    if packet_type == codes.PUBLISH:
        properties.travelling = travelling + reader.data[position:end]
    return properties


def _decode_number(fields: Reader, rule: Rule) -> int:
    if rule.kind == _BYTE:
        value = fields.byte(rule.name)
    elif rule.kind == _TWO:
        value = fields.two_byte_integer(rule.name)
    elif rule.kind == _FOUR:
        value = fields.four_byte_integer(rule.name)
    else:
        value = fields.variable_byte_integer(rule.name)
    if not rule.lowest <= value <= rule.highest:
        raise ProtocolError(rule.refusal, f"property {rule.name} may not be {value} (section 2.2.2.2)")
    return value


def encode_properties(properties: Properties | None, packet_type: int) -> bytes:
    """The property length and the properties, in the order of ``RULES``.

    None is a length of zero [MQTT-2.2.2-1]. ``packet_type`` is the packet that
    carries them, or ``WILL``.

    Raises:
        ValueError: a value does not fit its data type, or a property its packet.
    """
    if properties is None:
        return b"\0"
    body = encode_property_list(properties, packet_type)
    return encode_variable(len(body), "property length") + body


def encode_property_list(properties: Properties, packet_type: int) -> bytes:
    """The properties without their length, so that others can be put beside them."""
    parts: list[bytes] = []
    for (identifier, rule), value in zip(_IN_ORDER, properties.values):  # noqa: B905 - 27 both; strict costs more
        if value is not None and value != ():
            if not rule.carriers >> packet_type & 1:
                raise ValueError(f"property {rule.name} is not allowed in {_carrier(packet_type)} (section 2.2.2.2)")
            _encode_property(parts, identifier, rule, value)
    if packet_type == codes.SUBSCRIBE and len(properties.subscription_identifiers) > 1:
        raise ValueError("SUBSCRIBE carries one subscription identifier (section 3.8.2.1.2)")
    if properties.response_topic is not None:
        topics.check_name(properties.response_topic)  # [MQTT-3.3.2-14]
    return b"".join(parts)


def _carrier(packet_type: int) -> str:
    return "a will" if packet_type == WILL else f"packet type {packet_type}"


def _encode_property(parts: list[bytes], identifier: bytes, rule: Rule, value: object) -> None:
    kind, name = rule.kind, rule.name
    if isinstance(value, int):
        if not rule.lowest <= value <= rule.highest:
            raise ValueError(f"property {name} may not be {value} (section 2.2.2.2)")
        if kind == _BYTE:
            parts.append(identifier + ONE_BYTE[value])
        elif kind == _TWO:
            parts.append(identifier + encode_two(value, name))
        else:
            parts.append(identifier + encode_four(value, name))
    elif isinstance(value, str):
        parts.append(identifier + encode_string(value, name))
    elif isinstance(value, bytes):
        parts.append(identifier + encode_binary(value, name))
    elif isinstance(value, tuple) and kind == _VARIABLE:
        for number in value:
            if number < rule.lowest:
                raise ValueError(f"property {name} may not hold {number} (section 3.8.2.1.2)")
            parts.append(identifier + encode_variable(number, name))
    elif isinstance(value, tuple) and kind == _PAIR:
        for key, text in value:
            parts.append(identifier + encode_string(key, name) + encode_string(text, name))
    else:
        raise TypeError(f"property {name} cannot be a {type(value).__name__}")
