"""The members of paho-mqtt's enumerations under names of their own, as programs import them."""

import logging
from typing import Final, Literal

from telex.paho.enums import ConnackCode, LogLevel, MessageState, MessageType, MQTTErrorCode
from telex.paho.enums import MQTTProtocolVersion as _Version
from telex.paho.enums import PahoClientMode as _Mode

CONNECT: Final = MessageType.CONNECT
CONNACK: Final = MessageType.CONNACK
PUBLISH: Final = MessageType.PUBLISH
PUBACK: Final = MessageType.PUBACK
PUBREC: Final = MessageType.PUBREC
PUBREL: Final = MessageType.PUBREL
PUBCOMP: Final = MessageType.PUBCOMP
SUBSCRIBE: Final = MessageType.SUBSCRIBE
SUBACK: Final = MessageType.SUBACK
UNSUBSCRIBE: Final = MessageType.UNSUBSCRIBE
UNSUBACK: Final = MessageType.UNSUBACK
PINGREQ: Final = MessageType.PINGREQ
PINGRESP: Final = MessageType.PINGRESP
DISCONNECT: Final = MessageType.DISCONNECT
AUTH: Final = MessageType.AUTH

MQTT_LOG_INFO: Final = LogLevel.MQTT_LOG_INFO
MQTT_LOG_NOTICE: Final = LogLevel.MQTT_LOG_NOTICE
MQTT_LOG_WARNING: Final = LogLevel.MQTT_LOG_WARNING
MQTT_LOG_ERR: Final = LogLevel.MQTT_LOG_ERR
MQTT_LOG_DEBUG: Final = LogLevel.MQTT_LOG_DEBUG
LOGGING_LEVEL: Final = {
    LogLevel.MQTT_LOG_DEBUG: logging.DEBUG,
    LogLevel.MQTT_LOG_INFO: logging.INFO,
    LogLevel.MQTT_LOG_NOTICE: logging.INFO,  # logging has nothing between this and a warning
    LogLevel.MQTT_LOG_WARNING: logging.WARNING,
    LogLevel.MQTT_LOG_ERR: logging.ERROR,
}
"""What ``logging`` calls each level."""

CONNACK_ACCEPTED: Final = ConnackCode.CONNACK_ACCEPTED
CONNACK_REFUSED_PROTOCOL_VERSION: Final = ConnackCode.CONNACK_REFUSED_PROTOCOL_VERSION
CONNACK_REFUSED_IDENTIFIER_REJECTED: Final = ConnackCode.CONNACK_REFUSED_IDENTIFIER_REJECTED
CONNACK_REFUSED_SERVER_UNAVAILABLE: Final = ConnackCode.CONNACK_REFUSED_SERVER_UNAVAILABLE
CONNACK_REFUSED_BAD_USERNAME_PASSWORD: Final = ConnackCode.CONNACK_REFUSED_BAD_USERNAME_PASSWORD
CONNACK_REFUSED_NOT_AUTHORIZED: Final = ConnackCode.CONNACK_REFUSED_NOT_AUTHORIZED

mqtt_ms_invalid: Final = MessageState.MQTT_MS_INVALID
mqtt_ms_publish: Final = MessageState.MQTT_MS_PUBLISH
mqtt_ms_wait_for_puback: Final = MessageState.MQTT_MS_WAIT_FOR_PUBACK
mqtt_ms_wait_for_pubrec: Final = MessageState.MQTT_MS_WAIT_FOR_PUBREC
mqtt_ms_resend_pubrel: Final = MessageState.MQTT_MS_RESEND_PUBREL
mqtt_ms_wait_for_pubrel: Final = MessageState.MQTT_MS_WAIT_FOR_PUBREL
mqtt_ms_resend_pubcomp: Final = MessageState.MQTT_MS_RESEND_PUBCOMP
mqtt_ms_wait_for_pubcomp: Final = MessageState.MQTT_MS_WAIT_FOR_PUBCOMP
mqtt_ms_send_pubrec: Final = MessageState.MQTT_MS_SEND_PUBREC
mqtt_ms_queued: Final = MessageState.MQTT_MS_QUEUED

MQTT_ERR_AGAIN: Final = MQTTErrorCode.MQTT_ERR_AGAIN
MQTT_ERR_SUCCESS: Final = MQTTErrorCode.MQTT_ERR_SUCCESS
MQTT_ERR_NOMEM: Final = MQTTErrorCode.MQTT_ERR_NOMEM
MQTT_ERR_PROTOCOL: Final = MQTTErrorCode.MQTT_ERR_PROTOCOL
MQTT_ERR_INVAL: Final = MQTTErrorCode.MQTT_ERR_INVAL
MQTT_ERR_NO_CONN: Final = MQTTErrorCode.MQTT_ERR_NO_CONN
MQTT_ERR_CONN_REFUSED: Final = MQTTErrorCode.MQTT_ERR_CONN_REFUSED
MQTT_ERR_NOT_FOUND: Final = MQTTErrorCode.MQTT_ERR_NOT_FOUND
MQTT_ERR_CONN_LOST: Final = MQTTErrorCode.MQTT_ERR_CONN_LOST
MQTT_ERR_TLS: Final = MQTTErrorCode.MQTT_ERR_TLS
MQTT_ERR_PAYLOAD_SIZE: Final = MQTTErrorCode.MQTT_ERR_PAYLOAD_SIZE
MQTT_ERR_NOT_SUPPORTED: Final = MQTTErrorCode.MQTT_ERR_NOT_SUPPORTED
MQTT_ERR_AUTH: Final = MQTTErrorCode.MQTT_ERR_AUTH
MQTT_ERR_ACL_DENIED: Final = MQTTErrorCode.MQTT_ERR_ACL_DENIED
MQTT_ERR_UNKNOWN: Final = MQTTErrorCode.MQTT_ERR_UNKNOWN
MQTT_ERR_ERRNO: Final = MQTTErrorCode.MQTT_ERR_ERRNO
MQTT_ERR_QUEUE_SIZE: Final = MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
MQTT_ERR_KEEPALIVE: Final = MQTTErrorCode.MQTT_ERR_KEEPALIVE

MQTTv31: Final = _Version.MQTTv31
MQTTv311: Final = _Version.MQTTv311
MQTTv5: Final = _Version.MQTTv5

MQTT_CLIENT: Final = _Mode.MQTT_CLIENT
MQTT_BRIDGE: Final = _Mode.MQTT_BRIDGE

MQTT_CLEAN_START_FIRST_ONLY: Final[Literal[3]] = 3
"""A clean start until the first connection has come about (MQTT 5), and none after that."""
