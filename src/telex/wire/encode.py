"""Packets to bytes, for either end of a connection (chapters 2 and 3).

Knows the wire format of MQTT 3.1, 3.1.1 and 5.0. Refuses what the wire cannot
say with ``ValueError``: that is the caller's slip, not the peer's.
"""

from typing import Final

from telex import codes, topics
from telex.codes import MAX_REMAINING_LENGTH, MQTT_3_1, MQTT_3_1_1, MQTT_5
from telex.wire.data import (
    ONE_BYTE,
    encode_binary,
    encode_string,
    encode_two,
    encode_variable,
)
from telex.wire.packets import (
    Acknowledgement,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
)
from telex.wire.properties import WILL, encode_properties
from telex.wire.reasons import (
    AUTH_CODES,
    CONNACK_CODES,
    CONNACK_CODES_V3,
    DISCONNECT_CODES,
    PUBACK_CODES,
    PUBREL_CODES,
    SUBACK_CODES,
    SUBACK_CODES_V3,
    UNSUBACK_CODES,
)

PINGREQ_BYTES: Final = b"\xc0\x00"
PINGRESP_BYTES: Final = b"\xd0\x00"

# First bytes of the acknowledgements (section 2.1).
PUBACK_FIRST: Final = 0x40
PUBREC_FIRST: Final = 0x50
PUBREL_FIRST: Final = 0x62  # [MQTT-3.6.1-1]
PUBCOMP_FIRST: Final = 0x70


def encode(packet: Packet, version: int) -> bytes:
    """A packet as the given protocol version writes it.

    What a version cannot say (properties before v5) is left out.

    Raises:
        ValueError: a field does not fit, or the packet exceeds 256 MiB.
        TypeError: a packet that this version does not have.
    """
    if isinstance(packet, Publish):
        return _publish(packet, version)
    if isinstance(packet, Acknowledgement):
        return _acknowledgement(packet, version)
    if isinstance(packet, PingReq):
        return PINGREQ_BYTES
    if isinstance(packet, PingResp):
        return PINGRESP_BYTES
    if isinstance(packet, Subscribe):
        return _subscribe(packet, version)
    if isinstance(packet, SubAck):
        allowed = SUBACK_CODES if version == MQTT_5 else SUBACK_CODES_V3
        body = _numbered(codes.SUBACK, packet, version) + _reasons(packet.reason_codes, allowed, "SUBACK")
        return _framed(codes.SUBACK << 4, body)
    if isinstance(packet, Unsubscribe):
        if not packet.topic_filters:
            raise ValueError("UNSUBSCRIBE needs a topic filter [MQTT-3.10.3-2]")
        filters = b"".join([encode_string(each, "topic filter") for each in packet.topic_filters])
        return _framed(codes.UNSUBSCRIBE << 4 | 2, _numbered(codes.UNSUBSCRIBE, packet, version) + filters)
    if isinstance(packet, UnsubAck):
        body = _numbered(codes.UNSUBACK, packet, version)
        if version == MQTT_5:
            body += _reasons(packet.reason_codes, UNSUBACK_CODES, "UNSUBACK")
        return _framed(codes.UNSUBACK << 4, body)
    if isinstance(packet, Connect):
        return _connect(packet)
    if isinstance(packet, ConnAck):
        allowed = CONNACK_CODES if version == MQTT_5 else CONNACK_CODES_V3
        body = ONE_BYTE[packet.session_present] + _reason(packet.reason_code, allowed, "CONNACK")
        if version == MQTT_5:
            body += encode_properties(packet.properties, codes.CONNACK)
        return _framed(codes.CONNACK << 4, body)
    if isinstance(packet, Disconnect):
        if version != MQTT_5:
            return b"\xe0\x00"
        return _reason_only(codes.DISCONNECT, packet, DISCONNECT_CODES)
    if isinstance(packet, Auth) and version == MQTT_5:
        return _reason_only(codes.AUTH, packet, AUTH_CODES)
    raise TypeError(f"{type(packet).__name__} is no packet of protocol version {version}")


def encode_acknowledgement(first: int, packet_id: int) -> bytes:
    """A PUBACK, PUBREC, PUBREL or PUBCOMP that says Success, the same in all versions.

    ``first`` is one of the ``..._FIRST`` bytes.
    """
    return (first << 24 | 2 << 16 | packet_id).to_bytes(4, "big")


def publish_head(first: int, topic: bytes, body_length: int) -> bytes:
    """A PUBLISH up to its topic name, inclusive (section 3.3.1).

    What follows, a packet id if QoS > 0, then properties in v5, then the
    payload, is ``body_length`` bytes long. ``topic`` is in UTF-8.

    Raises:
        ValueError: the whole exceeds what a remaining length can say.
    """
    size = len(topic)
    remaining = 2 + size + body_length
    # One number for all that stands before the topic: compiled, ``bytes`` of a tuple takes ten times as long.
    if remaining < 0x80:
        return (first << 24 | remaining << 16 | size).to_bytes(4, "big") + topic
    if remaining < 0x4000:
        length = (remaining & 0x7F | 0x80) << 8 | remaining >> 7
        return (first << 32 | length << 16 | size).to_bytes(5, "big") + topic
    if remaining > MAX_REMAINING_LENGTH:
        raise ValueError(f"a PUBLISH of {remaining:,} bytes; the wire can say at most 268,435,455")
    return ONE_BYTE[first] + encode_variable(remaining, "remaining length") + size.to_bytes(2, "big") + topic


def _framed(first: int, body: bytes) -> bytes:
    return ONE_BYTE[first] + encode_variable(len(body), "remaining length") + body


def _packet_id(packet_id: int) -> bytes:
    if packet_id == 0:
        raise ValueError("packet id 0 does not exist [MQTT-2.2.1-3]")
    return encode_two(packet_id, "packet id")


def _numbered(packet_type: int, packet: Subscribe | SubAck | Unsubscribe | UnsubAck, version: int) -> bytes:
    start = _packet_id(packet.packet_id)
    return start + encode_properties(packet.properties, packet_type) if version == MQTT_5 else start


def _reason(reason_code: int, allowed: frozenset[int], what: str) -> bytes:
    if reason_code not in allowed:
        raise ValueError(f"{what} may not carry reason code {reason_code} (section 2.4)")
    return ONE_BYTE[reason_code]


def _reasons(reason_codes: list[int], allowed: frozenset[int], what: str) -> bytes:
    if not reason_codes:
        raise ValueError(f"{what} needs a reason code for each topic filter [MQTT-3.8.4-6]")
    return b"".join([_reason(each, allowed, what) for each in reason_codes])


def _publish(packet: Publish, version: int) -> bytes:
    qos = packet.qos
    if not 0 <= qos <= 2:
        raise ValueError(f"QoS {qos}, expected 0, 1 or 2")
    if packet.topic:
        topics.check_name(packet.topic)
    elif version != MQTT_5 or packet.properties is None or packet.properties.topic_alias is None:
        raise ValueError("a PUBLISH needs a topic name, or in v5 a topic alias")
    if packet.dup and qos == 0:
        raise ValueError("a PUBLISH of QoS 0 is never sent again [MQTT-3.3.1-2]")
    first = codes.PUBLISH << 4 | packet.dup << 3 | qos << 1 | packet.retain
    between = _packet_id(packet.packet_id) if qos > 0 else b""  # [MQTT-2.2.1-2]
    if version == MQTT_5:
        between += encode_properties(packet.properties, codes.PUBLISH)
    head = publish_head(first, packet.topic.encode(), len(between) + len(packet.payload))
    return head + between + packet.payload


def _acknowledgement(packet: Acknowledgement, version: int) -> bytes:
    if isinstance(packet, PubAck):
        first = PUBACK_FIRST
    elif isinstance(packet, PubRec):
        first = PUBREC_FIRST
    elif isinstance(packet, PubRel):
        first = PUBREL_FIRST
    else:
        first = PUBCOMP_FIRST
    body = _packet_id(packet.packet_id)
    if version == MQTT_5 and (packet.reason_code != 0 or packet.properties is not None):
        allowed = PUBACK_CODES if first in (PUBACK_FIRST, PUBREC_FIRST) else PUBREL_CODES
        body += _reason(packet.reason_code, allowed, type(packet).__name__)
        if packet.properties is not None:
            body += encode_properties(packet.properties, first >> 4)
    return _framed(first, body)


def _reason_only(packet_type: int, packet: Disconnect | Auth, allowed: frozenset[int]) -> bytes:
    if packet.reason_code == 0 and packet.properties is None:
        return _framed(packet_type << 4, b"")
    body = _reason(packet.reason_code, allowed, type(packet).__name__)
    if packet.properties is not None:
        body += encode_properties(packet.properties, packet_type)
    return _framed(packet_type << 4, body)


def _subscribe(packet: Subscribe, version: int) -> bytes:
    if not packet.requests:
        raise ValueError("SUBSCRIBE needs a topic filter [MQTT-3.8.3-2]")
    requests = b"".join([_subscription_request(request, version) for request in packet.requests])
    return _framed(codes.SUBSCRIBE << 4 | 2, _numbered(codes.SUBSCRIBE, packet, version) + requests)


def _subscription_request(request: SubscriptionRequest, version: int) -> bytes:
    if not (0 <= request.qos <= 2 and 0 <= request.retain_handling <= 2):
        raise ValueError(f"QoS {request.qos}, retain handling {request.retain_handling}: expected 0, 1 or 2")
    options = request.qos
    if version == MQTT_5:
        options |= request.no_local << 2 | request.retain_as_published << 3 | request.retain_handling << 4
    return encode_string(request.topic_filter, "topic filter") + ONE_BYTE[options]


def _connect(packet: Connect) -> bytes:
    version = packet.version
    if version not in (MQTT_3_1, MQTT_3_1_1, MQTT_5):
        raise ValueError(f"protocol version {version}, expected 3, 4 or 5")
    flags = packet.clean_start << 1
    parts = [
        encode_string("MQIsdp" if version == MQTT_3_1 else "MQTT", "protocol name"),
        ONE_BYTE[version | 0x80 if packet.is_bridge and version != MQTT_5 else version],
        b"",  # the flags, when they are known
        encode_two(packet.keep_alive, "keep alive"),
    ]
    if version == MQTT_5:
        parts.append(encode_properties(packet.properties, codes.CONNECT))
    parts.append(encode_string(packet.client_id, "client id"))
    will = packet.will
    if will is not None:
        topics.check_name(will.topic)
        if not 0 <= will.qos <= 2:
            raise ValueError(f"will QoS {will.qos}, expected 0, 1 or 2")
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        if version == MQTT_5:
            parts.append(encode_properties(will.properties, WILL))
        parts.append(encode_string(will.topic, "will topic"))
        parts.append(encode_binary(will.payload, "will payload"))
    if packet.user_name is not None:
        flags |= 0x80
        parts.append(encode_string(packet.user_name, "user name"))
    if packet.password is not None:
        if packet.user_name is None and version != MQTT_5:
            raise ValueError("a password needs a user name before MQTT 5 v3 [MQTT-3.1.2-22]")
        flags |= 0x40
        parts.append(encode_binary(packet.password, "password"))
    parts[2] = ONE_BYTE[flags]
    return _framed(codes.CONNECT << 4, b"".join(parts))
