"""What a program sees, as text that is the same for real paho-mqtt and for Telex's drop-in, if they behave the same.

Knows the classes of both by their names. Knows no memory addresses, ports, file descriptors or times.
"""

import enum
import zlib
from typing import Any

from telex.wire.packets import Connect, Packet
from telex.wire.properties import RULES, Properties

_MESSAGE = ("topic", "payload", "qos", "retain", "dup", "mid", "properties")


_LONG = 1000
"""Bytes above which a payload is told by its length and its checksum."""


def text_of(value: object) -> str:
    """A value as text. Types are part of it: ``1`` is not ``True``, ``b"x"`` is not a ``bytearray``."""
    kind = type(value).__name__
    if isinstance(value, bytes | bytearray) and len(value) > _LONG:
        return f"{len(value)} {kind}, {zlib.crc32(value):08x}"
    if value is None or isinstance(value, bool | str | bytes | bytearray | float):
        return repr(value)
    if isinstance(value, enum.Enum):
        return f"{kind}.{value.name}"
    if isinstance(value, int):
        return repr(value)
    if isinstance(value, BaseException):
        return kind
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"{kind}({', '.join(f'{name}={text_of(getattr(value, name))}' for name in value._fields)})"
    if isinstance(value, tuple):
        return f"({', '.join(map(text_of, value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(text_of, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{text_of(key)}: {text_of(each)}' for key, each in value.items())}}}"
    return _of_paho(value, kind)


def _of_paho(value: Any, kind: str) -> str:
    if kind == "ReasonCode":
        return f"ReasonCode({value.packetType}, {value.value}, {str(value)!r})"
    if kind == "Properties":
        return f"Properties({value.packetType}, {value.json()})"
    if kind == "SubscribeOptions":
        return f"SubscribeOptions({value.json()})"
    if kind == "MQTTMessage":
        return f"MQTTMessage({', '.join(f'{name}={_field(value, name)}' for name in _MESSAGE)})"
    if kind == "MQTTMessageInfo":
        return f"MQTTMessageInfo(rc={text_of(value.rc)}, mid={value.mid!r})"
    if hasattr(value, "fileno") and hasattr(value, "recv"):
        return "an open socket" if value.fileno() >= 0 else "a closed socket"
    if callable(value):
        return "a function"
    return kind


def _field(message: object, name: str) -> str:
    try:
        return text_of(getattr(message, name))
    except UnicodeDecodeError as error:
        return type(error).__name__


def packet_text(packet: Packet) -> str:
    """A packet with all that it says, as short as that can be: what it does not say is left out."""
    said = []
    for name in packet.fields:
        value = getattr(packet, name)
        if isinstance(value, Packet):
            said.append(f"{name}={packet_text(value)}")
        elif isinstance(value, list):
            shown = [packet_text(each) if isinstance(each, Packet) else repr(each) for each in value]
            said.append(f"{name}=[{', '.join(shown)}]")
        elif isinstance(value, Properties):
            said.extend(_properties(value))
        elif value or isinstance(value, bytes) or (name == "clean_start" and isinstance(packet, Connect)):
            said.append(f"{name}={text_of(value)}")
    return f"{type(packet).__name__}({', '.join(said)})"


def _properties(properties: Properties) -> list[str]:
    names = [rule.name for rule in RULES.values()]
    return [f"{name}={getattr(properties, name)!r}" for name in names if getattr(properties, name) not in (None, ())]
