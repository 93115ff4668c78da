"""Bytes to packets, for either end of a connection (chapters 2 and 3).

Knows the wire format of MQTT 3.1, 3.1.1 and 5.0, without anything of our own
(v3 [MQTT-7.0.0-2]), and the size that a packet may have. Knows no role: who may
send which packet is the connection's business.
Any bytes give packets or one ``ProtocolError``, nothing else.
"""

from typing import Final

from telex import codes, topics
from telex.codes import MQTT_3_1, MQTT_3_1_1, MQTT_5, ReasonCode
from telex.errors import ProtocolError
from telex.wire.data import Reader, decode_text, malformed
from telex.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
)
from telex.wire.properties import WILL, Properties, decode_properties
from telex.wire.reasons import (
    AUTH_CODES,
    CONNACK_CODES,
    DISCONNECT_CODES,
    PUBACK_CODES,
    PUBREL_CODES,
    SUBACK_CODES,
    SUBACK_CODES_V3,
    UNSUBACK_CODES,
)

# The flags that the first byte must have (section 2.1.3) [MQTT-2.1.3-1]; PUBLISH has its own.
_FIXED_FLAGS: Final = (0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0)
_PLAIN_PUBLISH: Final = codes.PUBLISH << 4  # neither DUP nor QoS nor RETAIN
_DUP_IN_3_1: Final = (codes.PUBREL, codes.SUBSCRIBE, codes.UNSUBSCRIBE)

# Topic names that were read before: their bytes -> the checked text. One look-up takes the
# place of decoding, checking and hashing the same few names again with every message.
_names: dict[bytes, str] = {}
_MAX_NAMES: Final = 10_000
_MAX_REMEMBERED_BYTES: Final = 200  # so that the memory stays below a few megabytes


def _topic_name(encoded: bytes) -> str:
    name = _names.get(encoded)
    if name is not None:
        return name
    name = decode_text(encoded, "topic name")
    if name:  # an empty one may still be a topic alias
        try:
            topics.check_name(name)
        except ValueError as error:
            raise ProtocolError(ReasonCode.TOPIC_NAME_INVALID, str(error)) from None
    if len(encoded) <= _MAX_REMEMBERED_BYTES:
        if len(_names) >= _MAX_NAMES:
            _names.clear()
        _names[encoded] = name
    return name


# What begins with another byte than CONNECT, and people try all the same.
_OTHER_PROTOCOLS: Final = {
    0x16: ", as TLS begins; this listener has none",
    0x50: ", as the PROXY protocol begins; this listener does not expect it",
    0x47: ", as HTTP begins; this listener speaks MQTT only",
}


class Decoder:
    """Takes bytes as they come, gives packets as they become whole.

    ::

        decoder.receive(data)
        while (packet := decoder.next_packet()) is not None: ...

    Args:
        maximum_packet_size: the largest packet in bytes, fixed header included.
            A larger one is refused when its fixed header has come, before its
            body is kept.
        version: what is spoken, if it is known; otherwise (0) the first packet
            must be a CONNECT and says it.
    """

    def __init__(self, maximum_packet_size: int = codes.MAX_PACKET_BYTES, *, version: int = 0) -> None:
        self.maximum_packet_size = maximum_packet_size
        self.version = version
        self._data = b""  # what came last
        self._position = 0  # of the first byte in it that is not read yet
        self._partial: bytearray | None = None  # a packet that has not come whole yet
        self._missing = 0  # bytes until it is

    @property
    def is_inside_packet(self) -> bool:
        """Whether some bytes of a packet came and others did not."""
        return self._partial is not None or self._position < len(self._data)

    def receive(self, data: bytes) -> None:
        """Take in what a connection has read, however it is cut."""
        if self._partial is not None:
            self._partial += data
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = bytes(self._partial)
            self._partial = None
        elif self._position < len(self._data):
            data = self._data[self._position :] + data
        self._data = data
        self._position = 0

    def next_packet(self) -> Packet | None:
        """The next whole packet, or None until more bytes come.

        Raises:
            ProtocolError: the bytes are no packet. Nothing that follows can be
                read any more.
        """
        data = self._data
        start = self._position
        available = len(data) - start
        if available == 0:
            self._data = b""  # what was read is not kept until more comes: most clients are silent for long
            self._position = 0
            return None
        first = data[start]
        if self.version == 0 and first != codes.CONNECT << 4:
            guess = _OTHER_PROTOCOLS.get(first, "")
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR,
                f"expected CONNECT first, got a first byte of 0x{first:02X}{guess} [MQTT-3.1.0-1]",
            )
        if available == 1:
            return None
        length = data[start + 1]
        body = start + 2
        if length >= 0x80:
            shift = 7
            length &= 0x7F
            while True:
                if body == len(data):
                    return None
                byte = data[body]
                body += 1
                length |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift > 21:
                    raise malformed("remaining length: a variable byte integer has at most four bytes")
            if byte == 0:  # [MQTT-1.5.5-1]
                raise malformed("remaining length: must use the fewest bytes [MQTT-1.5.5-1]")
        end = body + length
        if end - start > self.maximum_packet_size:
            raise ProtocolError(
                ReasonCode.PACKET_TOO_LARGE,
                f"a packet of {end - start:,} bytes, at most {self.maximum_packet_size:,} are allowed",
            )
        if end > len(data):
            self._check_first_byte(first)
            self._partial = bytearray(data[start:])
            self._missing = end - len(data)
            self._data = b""
            self._position = 0
            return None
        self._position = end
        if first & 0xF0 == codes.PUBLISH << 4:
            return self._publish(first, start, body, end)
        if length == 2:
            acknowledgement = _short_acknowledgement(first, data[body] << 8 | data[body + 1])
            if acknowledgement is not None:
                return acknowledgement
        self._check_first_byte(first)
        return self._other(first >> 4, Reader(data, body, end))

    def _check_first_byte(self, first: int) -> None:
        """Refuse packet types that do not exist and flags that they may not have.

        [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1] v3 [MQTT-2.2.2-2]
        """
        packet_type = first >> 4
        flags = first & 0x0F
        if packet_type == codes.PUBLISH:
            return
        if packet_type == 0 or (packet_type == codes.AUTH and self.version != MQTT_5):
            raise malformed(f"packet type {packet_type} does not exist (section 2.1.2)")
        if self.version == MQTT_3_1 and packet_type in _DUP_IN_3_1:
            flags &= 0x07  # MQTT 3.1 sets DUP on what it sends again
        if flags != _FIXED_FLAGS[packet_type]:
            raise malformed(f"packet type {packet_type} with flags {flags:04b} [MQTT-2.1.3-1]")

    def _publish(self, first: int, start: int, position: int, end: int) -> Publish:
        # The one packet that is read without Reader: most of all packets are this one.
        data = self._data
        if position + 2 > end:
            raise malformed("PUBLISH ends before its topic name")
        topic_start = position + 2
        position = topic_start + (data[position] << 8 | data[position + 1])
        if position > end:
            raise malformed("PUBLISH ends inside its topic name")
        topic = _topic_name(data[topic_start:position])  # [MQTT-3.3.2-1]
        qos = first >> 1 & 3
        packet_id = 0  # there is none at QoS 0 [MQTT-2.2.1-2]
        if qos > 0:
            if qos == 3:  # [MQTT-3.3.1-4]
                raise malformed("PUBLISH with both QoS bits set [MQTT-3.3.1-4]")
            if position + 2 > end:
                raise malformed("PUBLISH ends before its packet id")
            packet_id = data[position] << 8 | data[position + 1]
            if packet_id == 0:
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "PUBLISH with packet id 0 [MQTT-2.2.1-3]")
            position += 2
        elif first & 0x08:  # [MQTT-3.3.1-2]
            raise malformed("PUBLISH of QoS 0 with DUP set [MQTT-3.3.1-2]")
        properties: Properties | None = None
        if self.version == MQTT_5:
            if position < end and data[position] == 0:
                position += 1
            else:
                reader = Reader(data, position, end)
                properties = decode_properties(reader, codes.PUBLISH)
                position = reader.position
                _check_response_topic(properties)
        if topic == "" and (properties is None or properties.topic_alias is None):  # [MQTT-4.7.3-1]
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "PUBLISH with neither topic name nor topic alias")
        packet = Publish(topic, data[position:end], qos, first & 1 == 1, first & 8 == 8, packet_id, properties)
        if first == _PLAIN_PUBLISH and (properties is None or not properties.has_packets_own):
            packet.frame = data[start:end]
        return packet

    def _other(self, packet_type: int, reader: Reader) -> Packet:
        version = self.version
        packet: Packet
        if packet_type <= codes.CONNACK:
            if packet_type == codes.CONNECT:
                return self._connect(reader)
            packet = _connack(reader, version)
        elif packet_type <= codes.PUBCOMP:
            packet = _acknowledgement(packet_type, reader, version)
        elif packet_type == codes.SUBSCRIBE:
            packet = _subscribe(reader, version)
        elif packet_type == codes.SUBACK:
            packet = _suback(reader, version)
        elif packet_type == codes.UNSUBSCRIBE:
            packet = _unsubscribe(reader, version)
        elif packet_type == codes.UNSUBACK:
            packet = _unsuback(reader, version)
        elif packet_type == codes.PINGREQ:
            packet = PingReq()
        elif packet_type == codes.PINGRESP:
            packet = PingResp()
        elif packet_type == codes.DISCONNECT:
            packet = _disconnect(reader, version)
        else:
            packet = _auth(reader)
        reader.finish(type(packet).__name__)
        return packet

    def _connect(self, reader: Reader) -> Connect:
        name = reader.string("protocol name")
        version = reader.byte("protocol version")
        is_bridge = version & 0x80 != 0  # a bridge of Mosquitto's says so there; its version is in the low seven bits
        if name == "MQIsdp" and version & 0x7F == MQTT_3_1:
            version = MQTT_3_1
        elif name != "MQTT":  # [MQTT-3.1.2-1]
            raise ProtocolError(
                ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, f"protocol name {topics.shown(name)}, expected 'MQTT'"
            )
        elif version & 0x7F == MQTT_3_1_1:
            version = MQTT_3_1_1
        elif version != MQTT_5:
            # No more is known of such a packet than this [MQTT-3.1.2-2]; the answer is in v3.1.1's words.
            self.version = MQTT_3_1_1
            raise ProtocolError(
                ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, f"protocol version {version}, expected 3, 4 or 5"
            )
        self.version = version  # what is wrong from here on can be said in its words
        packet = _connect_body(reader, version)
        packet.is_bridge = is_bridge
        reader.finish("CONNECT")
        return packet


def _short_acknowledgement(first: int, packet_id: int) -> Packet | None:
    """The acknowledgements of two bytes, by far the commonest; None for any other packet, and for wrong flags."""
    packet: Packet
    if first == codes.PUBACK << 4:
        packet = PubAck(packet_id)
    elif first == codes.PUBREC << 4:
        packet = PubRec(packet_id)
    elif first == codes.PUBREL << 4 | 2:  # [MQTT-3.6.1-1]
        packet = PubRel(packet_id)
    elif first == codes.PUBCOMP << 4:
        packet = PubComp(packet_id)
    else:
        return None
    if packet_id == 0:
        raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "acknowledgement with packet id 0 [MQTT-2.2.1-3]")
    return packet


def _packet_id(reader: Reader, what: str) -> int:
    packet_id = reader.two_byte_integer("packet id")
    if packet_id == 0:
        raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"{what} with packet id 0 [MQTT-2.2.1-3]")
    return packet_id


def _check_response_topic(properties: Properties | None) -> None:
    if properties is not None and properties.response_topic is not None:
        try:
            topics.check_name(properties.response_topic)  # [MQTT-3.3.2-14]
        except ValueError as error:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"response topic: {error}") from None


def _connect_body(reader: Reader, version: int) -> Connect:
    flags = reader.byte("connect flags")
    if flags & 0x01:  # [MQTT-3.1.2-3]
        raise malformed("CONNECT with its reserved flag set [MQTT-3.1.2-3]")
    keep_alive = reader.two_byte_integer("keep alive")
    properties: Properties | None = None
    if version == MQTT_5:
        properties = decode_properties(reader, codes.CONNECT)
        if (
            properties is not None
            and properties.authentication_data is not None
            and properties.authentication_method is None
        ):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "authentication data without a method (section 3.1.2.11.10)")
    # The fields are read in the order that they must have [MQTT-3.1.3-1].
    client_id = reader.string("client id")  # [MQTT-3.1.3-3] [MQTT-3.1.3-4]
    will = _will(reader, version, flags)
    user_name: str | None = None
    password: bytes | None = None
    # What is there without its flag is left over, which is an error [MQTT-3.1.2-16] [MQTT-3.1.2-18].
    # In MQTT 3.1 the remaining length takes precedence over these flags (its section 3.1): they may be missing.
    may_be_missing = version == MQTT_3_1
    if flags & 0x80 and (reader.has_more or not may_be_missing):  # [MQTT-3.1.2-17]
        user_name = reader.string("user name")  # [MQTT-3.1.3-12]
    if flags & 0x40 and (reader.has_more or not may_be_missing):  # [MQTT-3.1.2-19]
        if not flags & 0x80 and version != MQTT_5:
            raise malformed("CONNECT with a password but no user name v3 [MQTT-3.1.2-22]")
        password = reader.binary("password")
    return Connect(
        client_id,
        version=version,
        clean_start=flags & 0x02 != 0,
        keep_alive=keep_alive,
        will=will,
        user_name=user_name,
        password=password,
        properties=properties,
    )


def _will(reader: Reader, version: int, flags: int) -> Will | None:
    qos = flags >> 3 & 3
    retain = flags & 0x20 != 0
    if not flags & 0x04:
        if qos or retain:  # [MQTT-3.1.2-11] [MQTT-3.1.2-13]
            raise malformed("CONNECT with a will QoS or will retain, but no will [MQTT-3.1.2-11]")
        return None
    if qos == 3:  # [MQTT-3.1.2-12]
        raise malformed("CONNECT with a will QoS of 3 [MQTT-3.1.2-12]")
    properties: Properties | None = None
    if version == MQTT_5:
        properties = decode_properties(reader, WILL)
        _check_response_topic(properties)
    topic = reader.string("will topic")  # [MQTT-3.1.2-9] [MQTT-3.1.3-11]
    try:
        topics.check_name(topic)
    except ValueError as error:
        raise ProtocolError(ReasonCode.TOPIC_NAME_INVALID, f"will: {error}") from None
    return Will(topic, reader.binary("will payload"), qos=qos, retain=retain, properties=properties)


def _connack(reader: Reader, version: int) -> ConnAck:
    flags = reader.byte("acknowledge flags")
    if flags & 0xFE:  # [MQTT-3.2.2-1]
        raise malformed("CONNACK with reserved flags set [MQTT-3.2.2-1]")
    reason_code = reader.byte("reason code")
    properties: Properties | None = None
    if version == MQTT_5 and (reader.has_more or reason_code == 0 or reason_code >= 0x80):
        _check_code(reason_code, CONNACK_CODES, "CONNACK")
        if reader.has_more:
            properties = decode_properties(reader, codes.CONNACK)
    elif reason_code > 5:  # also from a server that does not speak v5 and says so in its own words
        raise malformed(f"CONNACK with return code {reason_code}, expected 0 to 5 (v3 section 3.2.2.3)")
    return ConnAck(reason_code, session_present=flags == 1, properties=properties)


def _acknowledgement(packet_type: int, reader: Reader, version: int) -> Packet:
    packet_id = _packet_id(reader, "acknowledgement")
    reason_code = 0
    properties: Properties | None = None
    if version == MQTT_5 and reader.has_more:  # both may be left out (section 3.4.2.1)
        allowed = PUBACK_CODES if packet_type in (codes.PUBACK, codes.PUBREC) else PUBREL_CODES
        reason_code = _check_code(reader.byte("reason code"), allowed, "acknowledgement")
        if reader.has_more:
            properties = decode_properties(reader, packet_type)
    if packet_type == codes.PUBACK:
        return PubAck(packet_id, reason_code, properties)
    if packet_type == codes.PUBREC:
        return PubRec(packet_id, reason_code, properties)
    if packet_type == codes.PUBREL:
        return PubRel(packet_id, reason_code, properties)
    return PubComp(packet_id, reason_code, properties)


def _check_code(reason_code: int, allowed: frozenset[int], what: str) -> int:
    if reason_code not in allowed:
        raise ProtocolError(
            ReasonCode.MALFORMED_PACKET, f"{what} with reason code 0x{reason_code:02X}, which it may not carry"
        )
    return reason_code


def _subscribe(reader: Reader, version: int) -> Subscribe:
    packet_id = _packet_id(reader, "SUBSCRIBE")
    properties = decode_properties(reader, codes.SUBSCRIBE) if version == MQTT_5 else None
    requests: list[SubscriptionRequest] = []
    while reader.has_more:
        topic_filter = reader.string("topic filter")  # [MQTT-3.8.3-1]
        options = reader.byte("subscription options")
        if options & (0xC0 if version == MQTT_5 else 0xFC):  # [MQTT-3.8.3-5]
            raise malformed(f"subscription options 0x{options:02X}: reserved bits are set [MQTT-3.8.3-5]")
        if options & 3 == 3 or options >> 4 == 3:
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR,
                f"subscription options 0x{options:02X}: QoS or retain handling of 3 (section 3.8.3.1)",
            )
        requests.append(
            SubscriptionRequest(
                topic_filter,
                options & 3,
                no_local=options & 0x04 != 0,
                retain_as_published=options & 0x08 != 0,
                retain_handling=options >> 4,
            )
        )
    if not requests:  # [MQTT-3.8.3-2]
        raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "SUBSCRIBE without a topic filter [MQTT-3.8.3-2]")
    return Subscribe(packet_id, requests, properties)


def _suback(reader: Reader, version: int) -> SubAck:
    packet_id = _packet_id(reader, "SUBACK")
    properties = decode_properties(reader, codes.SUBACK) if version == MQTT_5 else None
    allowed = SUBACK_CODES if version == MQTT_5 else SUBACK_CODES_V3
    reason_codes = [_check_code(byte, allowed, "SUBACK") for byte in reader.rest()]
    if not reason_codes:
        raise malformed("SUBACK without a reason code [MQTT-3.8.4-6]")
    return SubAck(packet_id, reason_codes, properties)


def _unsubscribe(reader: Reader, version: int) -> Unsubscribe:
    packet_id = _packet_id(reader, "UNSUBSCRIBE")
    properties = decode_properties(reader, codes.UNSUBSCRIBE) if version == MQTT_5 else None
    topic_filters: list[str] = []
    while reader.has_more:
        topic_filters.append(reader.string("topic filter"))  # [MQTT-3.10.3-1]
    if not topic_filters:  # [MQTT-3.10.3-2]
        raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "UNSUBSCRIBE without a topic filter [MQTT-3.10.3-2]")
    return Unsubscribe(packet_id, topic_filters, properties)


def _unsuback(reader: Reader, version: int) -> UnsubAck:
    packet_id = _packet_id(reader, "UNSUBACK")
    if version != MQTT_5:
        return UnsubAck(packet_id)
    properties = decode_properties(reader, codes.UNSUBACK)
    reason_codes = [_check_code(byte, UNSUBACK_CODES, "UNSUBACK") for byte in reader.rest()]
    if not reason_codes:
        raise malformed("UNSUBACK without a reason code (section 3.11.3)")
    return UnsubAck(packet_id, reason_codes, properties)


def _disconnect(reader: Reader, version: int) -> Disconnect:
    if version != MQTT_5 or not reader.has_more:  # left out: normal disconnection (section 3.14.2.1)
        return Disconnect()
    reason_code = _check_code(reader.byte("reason code"), DISCONNECT_CODES, "DISCONNECT")
    properties = decode_properties(reader, codes.DISCONNECT) if reader.has_more else None
    return Disconnect(reason_code, properties)


def _auth(reader: Reader) -> Auth:
    if not reader.has_more:  # left out: success (section 3.15.2.1)
        return Auth()
    reason_code = _check_code(reader.byte("reason code"), AUTH_CODES, "AUTH")
    properties = decode_properties(reader, codes.AUTH) if reader.has_more else None
    return Auth(reason_code, properties)
