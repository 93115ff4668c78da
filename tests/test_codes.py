"""The vocabulary against the specification's tables, written here a second time by hand."""

import pytest

from telex import codes
from telex.codes import ConnectReturnCode, PropertyId, QoS, ReasonCode, connect_return_code, reason_text

# Table 2-6, except the names that share 0x00.
REASON_CODES = """
    00 SUCCESS
    01 GRANTED_QOS_1
    02 GRANTED_QOS_2
    04 DISCONNECT_WITH_WILL_MESSAGE
    10 NO_MATCHING_SUBSCRIBERS
    11 NO_SUBSCRIPTION_EXISTED
    18 CONTINUE_AUTHENTICATION
    19 RE_AUTHENTICATE
    80 UNSPECIFIED_ERROR
    81 MALFORMED_PACKET
    82 PROTOCOL_ERROR
    83 IMPLEMENTATION_SPECIFIC_ERROR
    84 UNSUPPORTED_PROTOCOL_VERSION
    85 CLIENT_IDENTIFIER_NOT_VALID
    86 BAD_USER_NAME_OR_PASSWORD
    87 NOT_AUTHORIZED
    88 SERVER_UNAVAILABLE
    89 SERVER_BUSY
    8a BANNED
    8b SERVER_SHUTTING_DOWN
    8c BAD_AUTHENTICATION_METHOD
    8d KEEP_ALIVE_TIMEOUT
    8e SESSION_TAKEN_OVER
    8f TOPIC_FILTER_INVALID
    90 TOPIC_NAME_INVALID
    91 PACKET_IDENTIFIER_IN_USE
    92 PACKET_IDENTIFIER_NOT_FOUND
    93 RECEIVE_MAXIMUM_EXCEEDED
    94 TOPIC_ALIAS_INVALID
    95 PACKET_TOO_LARGE
    96 MESSAGE_RATE_TOO_HIGH
    97 QUOTA_EXCEEDED
    98 ADMINISTRATIVE_ACTION
    99 PAYLOAD_FORMAT_INVALID
    9a RETAIN_NOT_SUPPORTED
    9b QOS_NOT_SUPPORTED
    9c USE_ANOTHER_SERVER
    9d SERVER_MOVED
    9e SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
    9f CONNECTION_RATE_EXCEEDED
    a0 MAXIMUM_CONNECT_TIME
    a1 SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
    a2 WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED
"""

# Table 2-4.
PROPERTY_IDS = """
    01 PAYLOAD_FORMAT_INDICATOR
    02 MESSAGE_EXPIRY_INTERVAL
    03 CONTENT_TYPE
    08 RESPONSE_TOPIC
    09 CORRELATION_DATA
    0b SUBSCRIPTION_IDENTIFIER
    11 SESSION_EXPIRY_INTERVAL
    12 ASSIGNED_CLIENT_IDENTIFIER
    13 SERVER_KEEP_ALIVE
    15 AUTHENTICATION_METHOD
    16 AUTHENTICATION_DATA
    17 REQUEST_PROBLEM_INFORMATION
    18 WILL_DELAY_INTERVAL
    19 REQUEST_RESPONSE_INFORMATION
    1a RESPONSE_INFORMATION
    1c SERVER_REFERENCE
    1f REASON_STRING
    21 RECEIVE_MAXIMUM
    22 TOPIC_ALIAS_MAXIMUM
    23 TOPIC_ALIAS
    24 MAXIMUM_QOS
    25 RETAIN_AVAILABLE
    26 USER_PROPERTY
    27 MAXIMUM_PACKET_SIZE
    28 WILDCARD_SUBSCRIPTION_AVAILABLE
    29 SUBSCRIPTION_IDENTIFIER_AVAILABLE
    2a SHARED_SUBSCRIPTION_AVAILABLE
"""

# Table 2-1.
PACKET_TYPES = """
    01 CONNECT
    02 CONNACK
    03 PUBLISH
    04 PUBACK
    05 PUBREC
    06 PUBREL
    07 PUBCOMP
    08 SUBSCRIBE
    09 SUBACK
    0a UNSUBSCRIBE
    0b UNSUBACK
    0c PINGREQ
    0d PINGRESP
    0e DISCONNECT
    0f AUTH
"""


def rows(table: str) -> dict[str, int]:
    """A table of this module as names and numbers."""
    return {name: int(number, 16) for number, name in (line.split() for line in table.strip().splitlines())}


def test_the_reason_codes_are_those_of_the_text() -> None:  # section 2.4
    assert {code.name: code.value for code in ReasonCode} == rows(REASON_CODES)


def test_the_properties_are_those_of_the_text() -> None:  # section 2.2.2.2
    assert {identifier.name: identifier.value for identifier in PropertyId} == rows(PROPERTY_IDS)
    assert len(PropertyId) == 27


@pytest.mark.parametrize(("name", "number"), rows(PACKET_TYPES).items())
def test_a_packet_type_is_that_of_the_text(name: str, number: int) -> None:  # section 2.1.2
    assert getattr(codes, name) == number


def test_the_levels_of_qos_are_three() -> None:  # section 4.3
    assert [(level.name, level.value) for level in QoS] == [
        ("AT_MOST_ONCE", 0),
        ("AT_LEAST_ONCE", 1),
        ("EXACTLY_ONCE", 2),
    ]


def test_the_versions_are_those_that_connect_says() -> None:  # section 3.1.2.2
    assert (codes.MQTT_3_1, codes.MQTT_3_1_1, codes.MQTT_5) == (3, 4, 5)


def test_the_limits_are_those_of_the_data_types() -> None:  # section 1.5
    assert codes.MAX_PACKET_ID == 2**16 - 1
    assert codes.MAX_REMAINING_LENGTH == 128**4 - 1
    assert codes.MAX_PACKET_BYTES == codes.MAX_REMAINING_LENGTH + 5
    assert codes.NEVER_EXPIRES == 2**32 - 1


def test_the_v3_return_codes_are_those_of_the_text() -> None:  # v3 section 3.2.2.3
    assert [code.value for code in ConnectReturnCode] == [0, 1, 2, 3, 4, 5]
    assert codes.SUBSCRIPTION_REFUSED_V3 == 0x80


@pytest.mark.parametrize(
    ("reason_code", "text"),
    [
        (0x00, "0x00 success"),
        (0x87, "0x87 not authorized"),
        (ReasonCode.PACKET_TOO_LARGE, "0x95 packet too large"),
        (0x7F, "0x7F unknown reason"),
        (0x05, "0x05 unknown reason"),
    ],
)
def test_a_reason_code_can_be_read_by_people(reason_code: int, text: str) -> None:  # section 2.4
    assert reason_text(reason_code) == text


@pytest.mark.parametrize(
    ("reason_code", "return_code"),
    [
        (ReasonCode.SUCCESS, ConnectReturnCode.ACCEPTED),
        (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, ConnectReturnCode.UNACCEPTABLE_PROTOCOL_VERSION),
        (ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, ConnectReturnCode.IDENTIFIER_REJECTED),
        (ReasonCode.SERVER_UNAVAILABLE, ConnectReturnCode.SERVER_UNAVAILABLE),
        (ReasonCode.SERVER_BUSY, ConnectReturnCode.SERVER_UNAVAILABLE),
        (ReasonCode.BAD_USER_NAME_OR_PASSWORD, ConnectReturnCode.BAD_USER_NAME_OR_PASSWORD),
        (ReasonCode.NOT_AUTHORIZED, ConnectReturnCode.NOT_AUTHORIZED),
        (ReasonCode.BANNED, ConnectReturnCode.NOT_AUTHORIZED),
        (ReasonCode.BAD_AUTHENTICATION_METHOD, ConnectReturnCode.NOT_AUTHORIZED),
    ],
)
def test_a_v3_client_is_told_the_same_in_its_words(reason_code: ReasonCode, return_code: ConnectReturnCode) -> None:
    assert connect_return_code(reason_code) == return_code  # v3 section 3.2.2.3
    assert connect_return_code(int(reason_code)) == return_code


@pytest.mark.parametrize("reason_code", [0x80, 0x81, 0x82, 0x95, 0x9C, 0x01, 0x7F])
def test_where_no_return_code_fits_there_is_none(reason_code: int) -> None:  # v3 [MQTT-3.2.2-6]
    assert connect_return_code(reason_code) is None
