"""A function and a pattern: what is checked when they are brought together, and the arguments of each call."""

import datetime
import enum
import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.client.binding import LevelError, bind
from telex.client.message import Message
from telex.client.patterns import Pattern
from telex.wire.packets import Publish

law = settings(max_examples=300, deadline=None, derandomize=True)


class Room(enum.Enum):
    ATTIC = "attic"
    CELLAR = "cellar"


class Floor(enum.IntEnum):
    GROUND = 0
    FIRST = 1


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


DeviceId = NewType("DeviceId", int)


def message(topic: str) -> Message:
    return Message(Publish(topic, b"x"))


def called(function: Callable[..., object], pattern: str, topic: str) -> object:
    """What the function returns for a message on the topic."""
    arguments = bind(function, Pattern(pattern))(message(topic))
    assert arguments is not None
    return function(**arguments)


# --- Arguments ---


def test_levels_are_text_without_an_annotation() -> None:
    def handler(site, room: str):  # type: ignore[no-untyped-def]
        return site, room

    assert called(handler, "{site}/temp/{room}", "home/temp/007") == ("home", "007")


def test_the_order_of_parameters_does_not_matter() -> None:
    def handler(room: str, message: Message, *, site: str) -> object:
        return site, room, message.topic

    assert called(handler, "{site}/{room}", "home/attic") == ("home", "attic", "home/attic")


@pytest.mark.parametrize("topic", ["a", "a/b/c", "b/x", "$SYS/x"])
def test_a_topic_that_is_not_the_patterns_gives_nothing(topic: str) -> None:
    bound = bind(lambda room: room, Pattern("a/{room}"))
    assert bound(message(topic)) is None
    assert bound(message("a/b")) == {"room": "b"}


def test_the_message_goes_to_who_is_annotated_with_it() -> None:
    def handler(m: Message, room: str) -> object:
        return m, room

    arguments = bind(handler, Pattern("{room}"))(got := message("attic"))
    assert arguments == {"m": got, "room": "attic"}


def test_the_message_goes_to_who_is_called_like_that() -> None:
    def handler(message):  # type: ignore[no-untyped-def]
        return message

    arguments = bind(handler, Pattern("#"))(got := message("attic"))
    assert arguments == {"message": got}


def test_a_level_may_be_called_message() -> None:
    def handler(message: str, whole: Message) -> object:
        return message, whole.topic

    assert called(handler, "say/{message}", "say/hello") == ("hello", "say/hello")


def test_the_message_may_have_a_default() -> None:
    def handler(whole: Message | None = None, got: Message = message("other")) -> object:  # noqa: B008
        return whole, got

    arguments = bind(handler, Pattern("#"))(got := message("attic"))
    assert arguments == {"got": got}


def test_a_function_may_do_without_the_message_and_without_levels() -> None:
    assert bind(lambda: None, Pattern("a/+"))(message("a/b")) == {}


def test_parameters_with_a_default_are_left_alone() -> None:
    def handler(room: str, scale: float = 2.0, other: "Unknown" = None) -> object:  # type: ignore[name-defined]  # noqa: F821
        return room, scale

    assert called(handler, "{room}", "attic") == ("attic", 2.0)
    assert called(functools.partial(handler, scale=3.0), "{room}", "attic") == ("attic", 3.0)


@pytest.mark.parametrize(
    ("annotation", "level", "value"),
    [
        (int, "7", 7),
        (int, "007", 7),
        (int, "-5", -5),
        (float, "24.2", 24.2),
        (float, "1e-3", 0.001),
        (bool, "true", True),
        (bool, "0", False),
        (str, "null", "null"),
        (Any, "7", "7"),
        (object, "7", "7"),
        (Room, "attic", Room.ATTIC),
        (Floor, "1", Floor.FIRST),
        (Literal["on", "off"], "off", "off"),
        (Literal[1, 2], "2", 2),
        (UUID, "12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
        (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
        (DeviceId, "5", 5),
        (Annotated[int, msgspec.Meta(ge=0)], "5", 5),
        (Annotated[int, msgspec.Meta(title="device")], "5", 5),
        (int | None, "5", 5),
        (Optional[int], "5", 5),  # noqa: UP045
        (int | Literal["all"], "all", "all"),
        (int | Literal["all"], "5", 5),
    ],
)
def test_a_level_is_what_its_annotation_says(annotation: Any, level: str, value: object) -> None:
    def handler(x):  # type: ignore[no-untyped-def]
        return x

    handler.__annotations__["x"] = annotation
    got = called(handler, "a/{x}", f"a/{level}")
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("annotation", "level", "sentence"),
    [
        (int, "attic", "topic 'a/attic': {x} is 'attic', handler() expects int there (not an integer)"),
        (int, "1e3", "not an integer"),
        (int, "7.0", "not an integer"),
        (int, "", "{x} is '', handler() expects int"),
        (int, "9" * 5000, "handler() expects int there (Exceeds the limit"),
        (float, "warm", "handler() expects float there (could not convert"),
        (bool, "on", "handler() expects bool"),
        (Room, "garden", "handler() expects Room there (Invalid enum value 'garden')"),
        (Literal["on", "off"], "dim", "handler() expects Literal['on', 'off'] there (Invalid enum value 'dim')"),
        (UUID, "1234", "handler() expects UUID"),
        (Annotated[int, msgspec.Meta(ge=0)], "-5", "Expected `int` >= 0"),
    ],
)
def test_a_level_that_cannot_be_that_is_reported(annotation: Any, level: str, sentence: str) -> None:
    def handler(x):  # type: ignore[no-untyped-def]
        return x

    handler.__annotations__["x"] = annotation
    bound = bind(handler, Pattern("a/{x}"))
    for _ in range(2):  # not remembered as if it were good
        with pytest.raises(LevelError) as error:
            bound(message(f"a/{level}"))
        assert sentence in str(error.value)
        assert (error.value.topic, error.value.name, error.value.level) == (f"a/{level}", "x", level)
        assert len(str(error.value)) < 500


def test_the_rest_of_a_topic_is_a_level_like_others() -> None:
    def handler(rest: str) -> object:
        return rest

    def number(rest: int) -> object:
        return rest

    assert called(handler, "a/{rest:#}", "a/b/c") == "b/c"
    assert called(number, "a/{rest:#}", "a/5") == 5


@law
@given(st.integers(-(10**20), 10**20), st.floats(allow_nan=False), st.uuids(), st.sampled_from(Room), st.booleans())
def test_what_is_written_into_a_topic_is_what_the_function_gets(a: int, b: float, c: UUID, d: Room, e: bool) -> None:
    def handler(a: int, b: float, c: UUID, d: Room, e: bool) -> object:
        return a, b, c, d, e

    assert called(handler, "{a}/{b}/{c}/{d}/{e}", f"{a}/{b!r}/{c}/{d.value}/{e}") == (a, b, c, d, e)


def test_each_call_gets_arguments_of_its_own() -> None:
    bound = bind(lambda room: room, Pattern("{room}"))
    first = bound(message("attic"))
    assert first is not None
    first.clear()
    assert bound(message("attic")) == {"room": "attic"}


def test_levels_are_remembered_for_a_limited_number_of_short_topics() -> None:
    bound = bind(lambda room: room, Pattern("{room}"))
    for number in range(5_000):
        assert bound(message(f"room{number}")) == {"room": f"room{number}"}
    assert bound(message("x" * 60_000)) == {"room": "x" * 60_000}
    assert len(bound._remembered) <= 1_024
    assert "x" * 60_000 not in bound._remembered


# --- What is called ---


class Service:
    def handler(self, room: str, message: Message) -> object:
        return room, message.topic

    async def __call__(self, room: int) -> object:
        return room

    @staticmethod
    def static(room: int) -> object:
        return room

    @classmethod
    def of_class(cls, room: int) -> object:
        return room


def wrapping(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    return wrapper


def test_methods_and_objects_that_are_called_can_be_handlers() -> None:
    service = Service()
    assert called(service.handler, "{room}", "attic") == ("attic", "attic")
    assert called(Service.static, "{room}", "5") == 5
    assert called(service.of_class, "{room}", "5") == 5
    assert bind(service, Pattern("{room}"))(message("5")) == {"room": 5}
    assert called(wrapping(Service.static), "{room}", "5") == 5
    assert called(functools.lru_cache(Service.static), "{room}", "5") == 5


def test_annotations_may_be_text() -> None:
    def handler(room: "int", where: "Room", whole: "Message") -> "Nothing":  # type: ignore[name-defined]  # noqa: F821
        return room, where, whole.topic

    assert called(handler, "{room}/{where}", "5/attic") == (5, Room.ATTIC, "5/attic")
    assert called(wrapping(handler), "{room}/{where}", "5/attic") == (5, Room.ATTIC, "5/attic")
    assert called(functools.lru_cache(handler), "{room}/{where}", "5/attic") == (5, Room.ATTIC, "5/attic")


def test_a_parameter_called_message_may_have_an_annotation_for_checkers_only() -> None:
    def handler(message: "Unknown") -> object:  # type: ignore[name-defined]  # noqa: F821
        return message

    assert bind(handler, Pattern("a"))(got := message("a")) == {"message": got}


# --- Slips ---


def too_few(site: str) -> None: ...
def too_many(room: str, other: str) -> None: ...
def two_messages(room: str, a: Message, message: Message) -> None: ...
def wrong_message(room: str, message: dict[str, object]) -> None: ...
def level_as_message(room: Message) -> None: ...
def positional(room: str, /) -> None: ...
def stars(*args: str) -> None: ...
def more_stars(room: str, **kwargs: str) -> None: ...
def unknown(room: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def as_list(room: list[str]) -> None: ...
def as_bytes(room: bytes) -> None: ...
def as_mixed(room: Mixed) -> None: ...
def as_class(room: Service) -> None: ...
def as_union(room: int | dict[str, int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (too_few, "too_few() has no parameter 'room', which 'a/{room}' gives it; write + in place of a level"),
        (
            too_many,
            "too_many(), parameter 'other': expected a name of 'a/{room}' (room), a telex.Message, or a default",
        ),
        (two_messages, "two_messages(), parameter 'message': 'a' is the message already"),
        (wrong_message, "wrong_message(), parameter 'message': found dict[str, object], expected telex.Message"),
        (level_as_message, "level_as_message(), parameter 'room': 'a/{room}' has a level here, not the message"),
        (positional, "positional(), parameter 'room': it cannot be given by name"),
        (stars, "stars(), parameter '*args': expected the names of 'a/{room}' one by one"),
        (more_stars, "more_stars(), parameter '**kwargs': expected the names"),
        (unknown, "unknown(), parameter 'room': cannot read the annotation 'Nowhere' (name 'Nowhere' is not defined)"),
        (as_list, "as_list(), parameter 'room': a level cannot be list[str], expected str, int, float, bool"),
        (as_bytes, "as_bytes(), parameter 'room': a level cannot be bytes"),
        (as_mixed, "as_mixed(), parameter 'room': a level cannot be Mixed (Enums must contain"),
        (as_class, "as_class(), parameter 'room': a level cannot be Service"),
        (as_union, "as_union(), parameter 'room': a level cannot be int | dict[str, int]"),
        (Service.handler, "Service.handler(), parameter 'self': expected a name of 'a/{room}' (room)"),
        ("handler", "expected a function for 'a/{room}', found 'handler'"),
        (type, "type() does not say what its parameters are"),
    ],
)
def test_a_slip_is_told_when_function_and_pattern_come_together(function: Any, sentence: str) -> None:
    with pytest.raises(TypeError) as slip:
        bind(function, Pattern("a/{room}"))
    assert sentence in str(slip.value)
