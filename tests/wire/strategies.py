"""Hypothesis strategies: every packet, every property, damaged packets, and bytes cut into pieces."""

from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from telex.wire.encode import encode
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
from telex.wire.properties import Properties
from tests.wire.cases import PROPERTIES, REASON_CODES, RETURN_CODES, variable

law = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
"""How the laws of this folder are tried: the same examples each time, no clock."""

# --- Fields ---

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=12)
filters = texts | st.sampled_from(["#", "+/a", "$share/g/a/#", "a/+/b"])
payloads = st.binary(max_size=20) | st.binary(min_size=100, max_size=300)
bits = st.integers(0, 1)
two_bytes = st.integers(0, 0xFFFF)
four_bytes = st.integers(0, 0xFFFFFFFF) | st.sampled_from([0, 0xFFFFFFFF])
packet_ids = st.integers(1, 0xFFFF) | st.sampled_from([1, 255, 256, 0xFFFF])
identifiers = st.integers(1, 268_435_455) | st.sampled_from([1, 127, 128, 268_435_455])

_VALUES: dict[str, st.SearchStrategy[object]] = {
    "payload_format_indicator": bits,
    "message_expiry_interval": four_bytes,
    "content_type": texts,
    "response_topic": names,
    "correlation_data": payloads,
    "subscription_identifiers": st.lists(identifiers, min_size=1, max_size=3).map(tuple),
    "session_expiry_interval": four_bytes,
    "assigned_client_identifier": texts,
    "server_keep_alive": two_bytes,
    "authentication_method": texts,
    "authentication_data": payloads,
    "request_problem_information": bits,
    "will_delay_interval": four_bytes,
    "request_response_information": bits,
    "response_information": texts,
    "server_reference": texts,
    "reason_string": texts,
    "receive_maximum": st.integers(1, 0xFFFF),
    "topic_alias_maximum": two_bytes,
    "topic_alias": st.integers(1, 0xFFFF),
    "maximum_qos": bits,
    "retain_available": bits,
    "user_properties": st.lists(st.tuples(texts, texts), min_size=1, max_size=4).map(tuple),
    "maximum_packet_size": st.integers(1, 0xFFFFFFFF),
    "wildcard_subscription_available": bits,
    "subscription_identifier_available": bits,
    "shared_subscription_available": bits,
}


@st.composite
def properties_of(draw: st.DrawFn, name: str) -> Properties | None:
    """Some of the properties that this packet may carry, or None; never Properties that say nothing."""
    fields = [row.field for row in PROPERTIES if name in row.carriers]
    chosen = draw(st.sets(st.sampled_from(fields), max_size=6))
    if "authentication_data" in chosen:  # not without its method (section 3.1.2.11.10)
        chosen.add("authentication_method")
    if not chosen:
        return None
    properties = Properties()
    for field in sorted(chosen):
        value = draw(_VALUES[field])
        if field == "subscription_identifiers" and name == "SUBSCRIBE":
            value = (draw(identifiers),)  # one only (section 3.8.2.1.2)
        setattr(properties, field, value)
    return properties


def reason_codes(name: str, version: int) -> st.SearchStrategy[int]:
    """A reason code that this packet may carry in this version."""
    codes = REASON_CODES[name][1] if version == 5 else RETURN_CODES.get(name, ("", "00"))[1]
    return st.sampled_from(list(bytes.fromhex(codes)))


# --- Packets ---


@st.composite
def _wills(draw: st.DrawFn) -> Will:
    return Will(
        draw(names),
        draw(payloads),
        qos=draw(st.integers(0, 2)),
        retain=draw(st.booleans()),
        properties=draw(properties_of("WILL")),
    )


@st.composite
def connects(draw: st.DrawFn, version: int) -> Connect:
    """CONNECT packets of one version."""
    user_name = draw(st.none() | texts)
    password = draw(st.none() | payloads) if user_name is not None or version == 5 else None
    return Connect(
        draw(texts),
        version=version,
        clean_start=draw(st.booleans()),
        keep_alive=draw(two_bytes),
        will=draw(st.none() | _wills()),
        user_name=user_name,
        password=password,
        properties=draw(properties_of("CONNECT")),
    )


@st.composite
def publishes(draw: st.DrawFn, version: int) -> Publish:
    """PUBLISH packets; in v5 a topic alias may stand for the topic."""
    qos = draw(st.integers(0, 2))
    properties = draw(properties_of("PUBLISH"))
    has_alias = properties is not None and properties.topic_alias is not None
    return Publish(
        draw(st.just("") | names if version == 5 and has_alias else names),
        draw(payloads),
        qos=qos,
        retain=draw(st.booleans()),
        dup=qos > 0 and draw(st.booleans()),
        packet_id=draw(packet_ids) if qos else 0,
        properties=properties,
    )


@st.composite
def acknowledgements(draw: st.DrawFn, version: int) -> Packet:
    """PUBACK, PUBREC, PUBREL and PUBCOMP packets."""
    name, kind = draw(
        st.sampled_from([("PUBACK", PubAck), ("PUBREC", PubRec), ("PUBREL", PubRel), ("PUBCOMP", PubComp)])
    )
    return kind(draw(packet_ids), draw(reason_codes(name, version)), draw(properties_of(name)))


@st.composite
def _requests(draw: st.DrawFn) -> SubscriptionRequest:
    return SubscriptionRequest(
        draw(filters),
        draw(st.integers(0, 2)),
        no_local=draw(st.booleans()),
        retain_as_published=draw(st.booleans()),
        retain_handling=draw(st.integers(0, 2)),
    )


@st.composite
def subscriptions(draw: st.DrawFn, version: int) -> Packet:
    """SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK packets."""
    name = draw(st.sampled_from(["SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK"]))
    packet_id = draw(packet_ids)
    properties = draw(properties_of(name))
    if name == "SUBSCRIBE":
        return Subscribe(packet_id, draw(st.lists(_requests(), min_size=1, max_size=4)), properties)
    if name == "UNSUBSCRIBE":
        return Unsubscribe(packet_id, draw(st.lists(filters, min_size=1, max_size=4)), properties)
    codes = draw(st.lists(reason_codes(name, version), min_size=1, max_size=4))
    return SubAck(packet_id, codes, properties) if name == "SUBACK" else UnsubAck(packet_id, codes, properties)


@st.composite
def answers(draw: st.DrawFn, version: int) -> Packet:
    """CONNACK, DISCONNECT, PINGREQ, PINGRESP and, in v5, AUTH packets."""
    name = draw(st.sampled_from(["CONNACK", "DISCONNECT", "PINGREQ", "PINGRESP"] + ["AUTH"] * (version == 5)))
    if name == "CONNACK":
        code = draw(reason_codes(name, version))
        present = code == 0 and draw(st.booleans())
        return ConnAck(code, session_present=present, properties=draw(properties_of(name)))
    if name == "DISCONNECT":
        return Disconnect(draw(reason_codes(name, version)), draw(properties_of(name)))
    if name == "AUTH":
        code = draw(reason_codes(name, version))
        properties = draw(properties_of(name))
        if code and (properties is None or properties.authentication_method is None):
            properties = Properties(authentication_method=draw(texts))  # section 3.15.2.2.2
        return Auth(code, properties)
    return PingReq() if name == "PINGREQ" else PingResp()


def packets(version: int) -> st.SearchStrategy[Packet]:
    """Every packet that this version has, with fields that it may leave out but that it can always write."""
    return st.one_of(
        publishes(version), acknowledgements(version), subscriptions(version), connects(version), answers(version)
    )


def as_said_in(packet: Packet, version: int) -> Packet:
    """What is left of a packet when a version has written it: before v5, no properties, options and reasons."""
    if version == 5:
        return packet
    if isinstance(packet, Publish):
        flags = {"qos": packet.qos, "retain": packet.retain, "dup": packet.dup}
        return Publish(packet.topic, packet.payload, packet_id=packet.packet_id, **flags)
    if isinstance(packet, (PubAck, PubRec, PubRel, PubComp, UnsubAck)):
        return type(packet)(packet.packet_id)
    if isinstance(packet, Subscribe):
        return Subscribe(
            packet.packet_id, [SubscriptionRequest(each.topic_filter, each.qos) for each in packet.requests]
        )
    if isinstance(packet, SubAck):
        return SubAck(packet.packet_id, packet.reason_codes)
    if isinstance(packet, Unsubscribe):
        return Unsubscribe(packet.packet_id, packet.topic_filters)
    if isinstance(packet, ConnAck):
        return ConnAck(packet.reason_code, session_present=packet.session_present)
    if isinstance(packet, Connect):
        will = packet.will
        return Connect(
            packet.client_id,
            version=packet.version,
            clean_start=packet.clean_start,
            keep_alive=packet.keep_alive,
            will=Will(will.topic, will.payload, qos=will.qos, retain=will.retain) if will is not None else None,
            user_name=packet.user_name,
            password=packet.password,
        )
    return type(packet)()


# --- Bytes ---


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """These bytes as a connection might read them: cut anywhere, some pieces empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in pairwise([0, *cuts, len(data)])]


@st.composite
def _edited(draw: st.DrawFn, data: bytes) -> bytes:
    """These bytes with a few of them changed, dropped, doubled or put between."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 3)))
        kind = draw(st.sampled_from(["change", "drop", "double", "insert", "end"]))
        if kind == "change":
            data = data[:start] + draw(st.binary(min_size=end - start, max_size=end - start)) + data[end:]
        elif kind == "drop":
            data = data[:start] + data[end:]
        elif kind == "double":
            data = data[:end] + data[start:]
        elif kind == "insert":
            data = data[:start] + draw(st.binary(min_size=1, max_size=3)) + data[start:]
        else:
            data = data[:start]
    return data


def _body_of(data: bytes) -> bytes:
    start = next(index for index in range(1, len(data)) if data[index] < 0x80) + 1
    return data[start:]


@st.composite
def damaged(draw: st.DrawFn, version: int) -> bytes:
    """A packet with a few bytes wrong; more often than not its remaining length is right again."""
    spoken = version or draw(st.sampled_from([3, 4, 5]))
    packet = draw(connects(spoken) if version == 0 else packets(spoken))
    data = encode(packet, spoken)
    if draw(st.integers(0, 3)) == 0:
        return draw(_edited(data))
    body = draw(_edited(_body_of(data)))
    return data[:1] + bytes.fromhex(variable(len(body))) + body


@st.composite
def _made_up(draw: st.DrawFn) -> bytes:
    """Any first byte, any body, and the right remaining length between them."""
    body = draw(st.binary(max_size=40))
    return draw(st.binary(min_size=1, max_size=1)) + bytes.fromhex(variable(len(body))) + body


def any_bytes(version: int) -> st.SearchStrategy[bytes]:
    """Whatever a peer may send to one who expects this version; 0: who expects a CONNECT."""
    several = st.lists(damaged(version) | _made_up(), min_size=1, max_size=3).map(b"".join)
    return st.one_of(damaged(version), several, _made_up(), st.binary(max_size=60))
