"""What a message is to a type checker."""

import dataclasses
import enum
from typing import Any, Literal, TypedDict, assert_type

import telex


@dataclasses.dataclass
class Reading:
    celsius: float


class Typed(TypedDict):
    celsius: float


class Light(enum.Enum):
    ON = "ON"


def has_fields(message: telex.Message) -> None:
    assert_type(message.topic, str)
    assert_type(message.payload, bytes)
    assert_type(message.qos, int)
    assert_type(message.retain, bool)
    assert_type(message.dup, bool)
    assert_type(message.packet_id, int)
    assert_type(message.text, str)
    assert_type(message.json(), Any)
    assert_type(message.content_type, str | None)
    assert_type(message.response_topic, str | None)
    assert_type(message.correlation_data, bytes | None)
    assert_type(message.message_expiry_interval, int | None)
    assert_type(message.payload_format_indicator, int | None)
    assert_type(message.user_properties, tuple[tuple[str, str], ...])
    assert_type(message.subscription_identifiers, tuple[int, ...])
    if message.properties is not None:
        assert_type(message.properties.content_type, str | None)
    message.ack()


def is_decoded_as_what_is_asked_for(message: telex.Message) -> None:
    assert_type(message.decode(Reading), Reading)
    assert_type(message.decode(Reading).celsius, float)
    assert_type(message.decode(Typed), Typed)
    assert_type(message.decode(Light), Light)
    assert_type(message.decode(int), int)
    assert_type(message.decode(bytes), bytes)
    assert_type(message.decode(list[int]), list[int])
    assert_type(message.decode(dict[str, Reading]), dict[str, Reading])
    either: int | None = message.decode(int | None)
    word: Literal["on", "off"] = message.decode(Literal["on", "off"])
    print(either, word)


def cannot_be_changed(message: telex.Message) -> None:
    message.topic = "other"  # refused
    message.payload = b""  # refused
    print(message.tpoic)  # refused
    number: str = message.decode(int)  # refused
    print(number)


def failing(message: telex.Message) -> None:
    try:
        message.decode(Reading)
    except telex.PayloadError as error:
        assert_type(error.topic, str)
        again: ValueError = error
        print(again)
