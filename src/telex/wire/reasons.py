"""Which reason codes each packet may carry (section 2.4)."""

from typing import Final

from telex import codes
from telex.codes import ReasonCode

_R: Final = ReasonCode
PUBACK_CODES: Final = frozenset(  # [MQTT-3.4.2-1] [MQTT-3.5.2-1]
    code.value
    for code in (
        _R.SUCCESS,
        _R.NO_MATCHING_SUBSCRIBERS,
        _R.UNSPECIFIED_ERROR,
        _R.IMPLEMENTATION_SPECIFIC_ERROR,
        _R.NOT_AUTHORIZED,
        _R.TOPIC_NAME_INVALID,
        _R.PACKET_IDENTIFIER_IN_USE,
        _R.QUOTA_EXCEEDED,
        _R.PAYLOAD_FORMAT_INVALID,
    )
)
# [MQTT-3.6.2-1] [MQTT-3.7.2-1]
PUBREL_CODES: Final = frozenset((_R.SUCCESS.value, _R.PACKET_IDENTIFIER_NOT_FOUND.value))
CONNACK_CODES: Final = frozenset(  # [MQTT-3.2.2-8]
    code.value
    for code in (
        _R.SUCCESS,
        _R.UNSPECIFIED_ERROR,
        _R.MALFORMED_PACKET,
        _R.PROTOCOL_ERROR,
        _R.IMPLEMENTATION_SPECIFIC_ERROR,
        _R.UNSUPPORTED_PROTOCOL_VERSION,
        _R.CLIENT_IDENTIFIER_NOT_VALID,
        _R.BAD_USER_NAME_OR_PASSWORD,
        _R.NOT_AUTHORIZED,
        _R.SERVER_UNAVAILABLE,
        _R.SERVER_BUSY,
        _R.BANNED,
        _R.BAD_AUTHENTICATION_METHOD,
        _R.TOPIC_NAME_INVALID,
        _R.PACKET_TOO_LARGE,
        _R.QUOTA_EXCEEDED,
        _R.PAYLOAD_FORMAT_INVALID,
        _R.RETAIN_NOT_SUPPORTED,
        _R.QOS_NOT_SUPPORTED,
        _R.USE_ANOTHER_SERVER,
        _R.SERVER_MOVED,
        _R.CONNECTION_RATE_EXCEEDED,
    )
)
CONNACK_REFUSALS: Final = CONNACK_CODES - {_R.SUCCESS.value}
SUBACK_CODES: Final = frozenset(  # [MQTT-3.9.3-2]
    code.value
    for code in (
        _R.SUCCESS,
        _R.GRANTED_QOS_1,
        _R.GRANTED_QOS_2,
        _R.UNSPECIFIED_ERROR,
        _R.IMPLEMENTATION_SPECIFIC_ERROR,
        _R.NOT_AUTHORIZED,
        _R.TOPIC_FILTER_INVALID,
        _R.PACKET_IDENTIFIER_IN_USE,
        _R.QUOTA_EXCEEDED,
        _R.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
        _R.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
        _R.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
    )
)
SUBACK_CODES_V3: Final = frozenset((0, 1, 2, codes.SUBSCRIPTION_REFUSED_V3))  # v3 [MQTT-3.9.3-2]
UNSUBACK_CODES: Final = frozenset(  # [MQTT-3.11.3-2]
    code.value
    for code in (
        _R.SUCCESS,
        _R.NO_SUBSCRIPTION_EXISTED,
        _R.UNSPECIFIED_ERROR,
        _R.IMPLEMENTATION_SPECIFIC_ERROR,
        _R.NOT_AUTHORIZED,
        _R.TOPIC_FILTER_INVALID,
        _R.PACKET_IDENTIFIER_IN_USE,
    )
)
DISCONNECT_CODES: Final = frozenset(
    code.value
    for code in ReasonCode
    if code
    not in (
        _R.GRANTED_QOS_1,
        _R.GRANTED_QOS_2,
        _R.NO_MATCHING_SUBSCRIBERS,
        _R.NO_SUBSCRIPTION_EXISTED,
        _R.CONTINUE_AUTHENTICATION,
        _R.RE_AUTHENTICATE,
        _R.UNSUPPORTED_PROTOCOL_VERSION,
        _R.CLIENT_IDENTIFIER_NOT_VALID,
        _R.BAD_USER_NAME_OR_PASSWORD,
        _R.SERVER_UNAVAILABLE,
        _R.BANNED,
        _R.PACKET_IDENTIFIER_IN_USE,
        _R.PACKET_IDENTIFIER_NOT_FOUND,
    )
)
# [MQTT-3.15.2-1]
AUTH_CODES: Final = frozenset((_R.SUCCESS.value, _R.CONTINUE_AUTHENTICATION.value, _R.RE_AUTHENTICATE.value))
CONNACK_CODES_V3: Final = frozenset(range(6))  # v3 section 3.2.2.3

_NEAREST: Final = {
    _R.UNSUPPORTED_PROTOCOL_VERSION.value: _R.PROTOCOL_ERROR.value,
    _R.CLIENT_IDENTIFIER_NOT_VALID.value: _R.NOT_AUTHORIZED.value,
    _R.BAD_USER_NAME_OR_PASSWORD.value: _R.NOT_AUTHORIZED.value,
    _R.BANNED.value: _R.NOT_AUTHORIZED.value,
    _R.SERVER_UNAVAILABLE.value: _R.SERVER_BUSY.value,
    _R.SERVER_SHUTTING_DOWN.value: _R.SERVER_UNAVAILABLE.value,
    _R.ADMINISTRATIVE_ACTION.value: _R.NOT_AUTHORIZED.value,
}


def nearest(reason_code: int, allowed: frozenset[int]) -> int:
    """A reason code, or what comes nearest to it of those that a packet may carry [MQTT-3.2.2-8]."""
    if reason_code in allowed:
        return reason_code
    other = _NEAREST.get(reason_code, _R.UNSPECIFIED_ERROR.value)
    return other if other in allowed else _R.UNSPECIFIED_ERROR.value
