"""Every public name of the real paho-mqtt is in telex.paho, and is the same there: found by introspection.

What is looked at, of all modules: constants with their types and values, functions and classes with their signatures,
the members of classes and of fresh objects, members of enumerations, what exceptions are derived from. Where Telex
differs on purpose, ``DIFFERENT`` says why, and what is listed there must differ.
"""

import enum
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, Final

import pytest
from paho.mqtt.packettypes import PacketTypes

PAHO: Final = "paho.mqtt"
TELEX: Final = "telex.paho"
MODULES: Final = (
    "",
    "client",
    "enums",
    "exception",
    "matcher",
    "packettypes",
    "properties",
    "publish",
    "reasoncodes",
    "subscribe",
    "subscribeoptions",
)

IMPORTED: Final = {
    "client": "annotations base64 collections errno hashlib logging os platform select string struct threading time"
    " urllib uuid warnings Iterator Sequence TYPE_CHECKING Any Callable NamedTuple Union cast overload Literal",
    "enums": "enum",
    "properties": "struct",
    "publish": "annotations collections Iterable TYPE_CHECKING Any Union",
    "reasoncodes": "annotations functools warnings MappingProxyType Any",
}
"""What modules of paho import for themselves, with nothing of MQTT in it; but programs do use ``client.ssl``."""
DIFFERENT: Final[dict[str, str]] = {
    "client.dns": "there when paho has found dnspython, which Telex brings along",
    "client.HAVE_DNS": "says that paho has found dnspython, which Telex brings along",
    "client.socks": "there when paho has found PySocks; Telex's way through proxies is another library",
    "client.EAGAIN": "a number of this system, for paho's reading of sockets",
    "client.sockpair_data": "what paho sends itself to wake its loop",
    **dict.fromkeys(
        ("reasoncodes.ReasonCode.names", "reasoncodes.ReasonCodes.names", "reasoncodes.ReasonCode().names"),
        "0x99, Payload format invalid, may be in CONNACK (MQTT 5, section 3.2.2.2)",
    ),
}
"""Names with the reason why they are missing or differ; a class or a function stands for all that it has."""

FRESH: Final[dict[str, Callable[[Any], object]]] = {
    "Client": lambda made: made(sys.modules[made.__module__].CallbackAPIVersion.VERSION2, "an id"),
    "ConnectFlags": lambda made: made(session_present=True),
    "DisconnectFlags": lambda made: made(is_disconnect_packet_from_server=True),
    "MQTTMatcher": lambda made: made(),
    "MQTTMessage": lambda made: made(),
    "MQTTMessageInfo": lambda made: made(1),
    "PacketTypes": lambda made: made(),
    "Properties": lambda made: made(PacketTypes.PUBLISH),
    "ReasonCode": lambda made: made(PacketTypes.CONNACK),
    "SubscribeOptions": lambda made: made(),
    "VariableByteIntegers": lambda made: made(),
}
"""How an object of each class is made; of exceptions and enumerations none is looked at."""

OF_EVERY_CLASS: Final = {
    *("__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__", "__classcell__", "__dict__"),
    *("__dir__", "__doc__", "__firstlineno__", "__getnewargs__", "__init__", "__match_args__", "__module__", "__new__"),
    *("__ne__", "__orig_bases__", "__qualname__", "__slots__", "__static_attributes__", "__weakref__"),
}
"""Members with two underscores that say nothing about what an object can do, or are told with the class."""


# What there is, in words


def imported(package: str, module: str) -> ModuleType:
    return importlib.import_module(f"{package}.{module}".rstrip("."))


def signature(function: Callable[..., object]) -> str:
    """Names, kinds and defaults of the parameters. Annotations are for people and checkers, and not compared."""
    found = inspect.signature(function)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def told(value: object) -> str:
    """A value: what it is, and, if that can be said in a way that both libraries share, which."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name} = {value.value!r}, {value}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{told(key)}: {told(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return f"{type(value).__name__} of [" + ", ".join(told(each) for each in value) + "]"
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return f"{type(value).__name__} {value!r}"
    return f"a {type(value).__name__}"


def is_public(name: str) -> bool:
    return not name.startswith("_")


def members(cls: type) -> Iterator[tuple[str, str]]:
    """The members of a class that its users see, its own and those of its bases."""
    for name in dir(cls):
        is_special = name.startswith("__") and name.endswith("__")
        if not is_public(name) and not is_special:
            continue
        member = inspect.getattr_static(cls, name)
        # Every object has these; they count where the class has its own.
        if is_special and (name in OF_EVERY_CLASS or not _is_own(cls, name)):
            continue
        if isinstance(member, property):
            yield name, "can be read" if member.fset is None else "can be read and set"
        elif isinstance(member, staticmethod | classmethod):
            yield name, f"{type(member).__name__} {signature(member.__func__)}"
        elif name == "__hash__":
            yield name, "has a hash" if member is not None else "has no hash"
        elif is_special:
            yield name, "there"
        elif isinstance(member, FunctionType):
            yield name, f"a method {signature(member)}"
        elif inspect.ismemberdescriptor(member):  # one of __slots__
            yield name, "can be read and set"
        elif inspect.isdatadescriptor(member):  # of a named tuple
            yield name, "can be read"
        elif not callable(member):
            yield name, told(member)


def _is_own(cls: type, name: str) -> bool:
    owner = next(each for each in cls.__mro__ if name in vars(each))
    return owner.__module__ not in ("builtins", "enum")


def fresh(cls: type) -> Iterator[tuple[str, str]]:
    """What is seen of a new object, wherever it is kept."""
    if cls.__name__ in FRESH:
        made = FRESH[cls.__name__](cls)
        for name in dir(made):
            if is_public(name) and not callable(value := getattr(made, name)):
                yield f"().{name}", told(value)


def lineage(cls: type) -> str:
    """What an exception or an enumeration is, among others."""
    return " < ".join(each.__name__ for each in cls.__mro__)


def public(package: str, module: str) -> dict[str, str]:
    """What a module of a package has of all that paho's offers, by its name within the package."""
    found = {}
    for name in vars(imported(PAHO, module)):
        if (not is_public(name) and name != "__version__") or not hasattr(imported(package, module), name):
            continue
        value = getattr(imported(package, module), name)
        if isinstance(value, ModuleType) and value.__name__.startswith((PAHO, TELEX)):
            continue  # each module is looked at by itself
        home = home_of(module, name)
        if home != module:
            is_that = value is getattr(imported(package, home), name, None)
            found[f"{module}.{name}".removeprefix(".")] = (
                f"that of {home}" if is_that else f"another than that of {home}"
            )
            continue
        for within, what in described(value):
            found[f"{module}.{name}{within}".removeprefix(".")] = what
    return found


def home_of(module: str, name: str) -> str:
    """Which of paho's public modules a name of one of them comes from."""
    value = getattr(imported(PAHO, module), name, None)
    if not isinstance(value, type | FunctionType):
        return module
    home = value.__module__.removeprefix(PAHO).removeprefix(".")
    return home if home in MODULES else module


def described(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, ModuleType):
        yield "", "a module"
    elif isinstance(value, type) and issubclass(value, enum.Enum):
        yield "", lineage(value)
        for name, member in value.__members__.items():
            yield f".{name}", told(member)
    elif isinstance(value, type) and issubclass(value, Exception):
        yield "", lineage(value)
    elif isinstance(value, type) and is_of_these_packages(value):
        yield "", f"a class {signature(value)}" + (", a tuple" if issubclass(value, tuple) else "")
        for name, what in members(value):
            yield f".{name}", what
        for name, what in fresh(value):
            yield name, what
    elif isinstance(value, FunctionType) and is_of_these_packages(value):
        yield "", f"a function {signature(value)}"
    elif type(value).__module__ in ("typing", "types", "collections.abc") or isinstance(value, type):
        yield "", "a type"
    else:
        yield "", told(value)


def is_of_these_packages(value: type | FunctionType) -> bool:
    return value.__module__.startswith((PAHO, TELEX))


def reason(name: str) -> str | None:
    """Why a name is missing or differs, if that is on purpose; of an outer name it is for all that it has."""
    module, _, rest = name.partition(".")
    if rest in IMPORTED.get(module, "").split():
        return "imported by paho for itself"
    for listed, why in DIFFERENT.items():
        if name == listed or name.startswith((f"{listed}.", f"{listed}(")):
            return why
    return None


def differences(module: str) -> dict[str, str]:
    """The names that differ, and how."""
    theirs, ours = public(PAHO, module), public(TELEX, module)
    return {
        name: f"{name}: in paho {what}; here {ours.get(name, 'missing')}"
        for name, what in theirs.items()
        if ours.get(name) != what
    }


# The tests


@pytest.mark.parametrize("module", MODULES)
def test_each_public_name_is_there_and_is_the_same_or_is_listed(module: str) -> None:
    faults = [what for name, what in differences(module).items() if reason(name) is None]
    assert not faults, "\n" + "\n".join(faults)


def test_what_is_listed_differs() -> None:
    found = {name for module in MODULES for name in differences(module)}
    for listed in DIFFERENT:
        assert any(name == listed or name.startswith((f"{listed}.", f"{listed}(")) for name in found), listed


@pytest.mark.parametrize("name", FRESH)
def test_a_class_has_no_public_member_that_pahos_has_not(name: str) -> None:
    """A program's subclass may use any other name for itself."""
    module = next(each for each in MODULES if hasattr(imported(PAHO, each), name))
    theirs, ours = (FRESH[name](getattr(imported(package, module), name)) for package in (PAHO, TELEX))
    assert {each for each in dir(ours) if is_public(each)} <= set(dir(theirs))


def test_everything_is_looked_at() -> None:
    """The search finds what it must: some of each kind."""
    found = {name: what for module in MODULES for name, what in public(PAHO, module).items()}
    assert found["__version__"].startswith("str '2.")
    assert found["client.MQTT_ERR_QUEUE_SIZE"] == "MQTTErrorCode.MQTT_ERR_QUEUE_SIZE = 15, 15"
    assert found["client.Client.host"] == "can be read and set"
    assert found["client.Client.protocol"] == "can be read"
    assert found["client.Client.loop"] == "a method (self, timeout=1.0)"
    assert found["client.Client().suppress_exceptions"] == "bool False"
    assert found["client.Client.on_message"] == "can be read and set"
    assert found["client.MQTTMessage().qos"] == "int 0"
    assert found["client.MQTTMessageInfo.__getitem__"] == "there"
    assert found["client.topic_matches_sub"] == "a function (sub, topic)"
    assert found["client.WebsocketConnectionError"].startswith("WebsocketConnectionError < ConnectionError < OSError")
    assert found["enums.CallbackAPIVersion.VERSION2"] == "CallbackAPIVersion.VERSION2 = 2, CallbackAPIVersion.VERSION2"
    assert found["exception.MalformedPacket"].startswith("MalformedPacket < MQTTException < Exception")
    assert found["packettypes.PacketTypes.WILLMESSAGE"] == "int 99"
    assert found["publish.single"].startswith("a function (topic, payload=None, qos=0, retain=False, hostname=")
    assert found["client.PacketTypes"] == "that of packettypes"
    assert len(found) > 400
