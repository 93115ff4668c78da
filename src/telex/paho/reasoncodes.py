"""Reason codes (MQTT 5, section 2.4), which know the packet that they came in."""

import functools
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from telex import codes
from telex.paho.packettypes import PacketTypes
from telex.wire import reasons

_CARRIERS: Final = {
    PacketTypes.CONNACK: reasons.CONNACK_CODES,
    PacketTypes.PUBACK: reasons.PUBACK_CODES,
    PacketTypes.PUBREC: reasons.PUBACK_CODES,
    PacketTypes.PUBREL: reasons.PUBREL_CODES,
    PacketTypes.PUBCOMP: reasons.PUBREL_CODES,
    PacketTypes.SUBACK: reasons.SUBACK_CODES,
    PacketTypes.UNSUBACK: reasons.UNSUBACK_CODES,
    PacketTypes.DISCONNECT: reasons.DISCONNECT_CODES,
    PacketTypes.AUTH: reasons.AUTH_CODES,
}

# Programs compare with these words: they are paho's, also where the text of the standard has others.
_NAMES: Final = {code.value: codes.reason_name(code).capitalize() for code in codes.ReasonCode} | {
    codes.ReasonCode.GRANTED_QOS_1.value: "Granted QoS 1",
    codes.ReasonCode.GRANTED_QOS_2.value: "Granted QoS 2",
    codes.ReasonCode.NO_SUBSCRIPTION_EXISTED.value: "No subscription found",
    codes.ReasonCode.RE_AUTHENTICATE.value: "Re-authenticate",
    codes.ReasonCode.QOS_NOT_SUPPORTED.value: "QoS not supported",
    codes.ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED.value: "Shared subscription not supported",
    codes.ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED.value: "Wildcard subscription not supported",
}

_NAMES_OF_ZERO: Final = {PacketTypes.DISCONNECT: "Normal disconnection", PacketTypes.SUBACK: "Granted QoS 0"}
"""0x00 has two names besides Success."""


def _name(packet_type: int, value: int) -> str:
    return _NAMES_OF_ZERO.get(packet_type, "Success") if value == 0 else _NAMES[value]


def _table() -> dict[int, dict[str, list[int]]]:
    """For each code its names, and for each name the packets in which it means that."""
    table: dict[int, dict[str, list[int]]] = {}
    for value in _NAMES:
        for packet_type, allowed in _CARRIERS.items():
            if value in allowed:
                table.setdefault(value, {}).setdefault(_name(packet_type, value), []).append(packet_type)
    return table


@functools.total_ordering
class ReasonCode:
    """A reason code of one type of packet.

    It is equal to its number, to its name, and to a reason code of the same number. So it has no hash.

    Args:
        packetType: one of ``PacketTypes``.
        aName: the name of the code, as ``names`` has it; not used if there is an ``identifier``.
        identifier: the number of the code.

    Raises:
        KeyError: there is no such code, or this packet has none of that name.
        ValueError: this packet does not carry that code.
    """

    names: Mapping[int, Mapping[str, list[int]]] = MappingProxyType(_table())

    def __init__(self, packetType: int, aName: str = "Success", identifier: int = -1) -> None:
        self.packetType = packetType
        self.value: int
        if identifier == -1:
            if packetType == PacketTypes.DISCONNECT and aName == "Success":
                aName = "Normal disconnection"
            self.set(aName)
        else:
            self.value = identifier
            self.getName()

    def getId(self, name: str) -> int:
        """The number that has this name in packets of this type.

        Raises:
            KeyError: there is none.
        """
        for value, names in self.names.items():
            if self.packetType in names.get(name, ()):
                return value
        raise KeyError(f"no reason code of packet type {self.packetType} is called {name!r}")

    def set(self, name: str) -> None:
        """Become the code of this name.

        Raises:
            KeyError: there is none.
        """
        self.value = self.getId(name)

    def unpack(self, buffer: bytes | bytearray) -> int:
        """Become what the first byte says; returns how many bytes that were: 1.

        Raises:
            KeyError, ValueError: as for a new object.
        """
        value = buffer[0]
        self.__getName__(self.packetType, value)
        self.value = value
        return 1

    def getName(self) -> str:
        """The name of the code in packets of this type.

        Raises:
            KeyError, ValueError: as for a new object.
        """
        return self.__getName__(self.packetType, self.value)

    def __getName__(self, packetType: int, identifier: int) -> str:
        for name, packet_types in self.names[identifier].items():
            if packetType in packet_types:
                return name
        raise ValueError(f"packet type {packetType} does not carry {codes.reason_text(identifier)}")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self.value == other
        if isinstance(other, str):
            return other == str(self)
        if isinstance(other, ReasonCode):
            return self.value == other.value
        return False

    def __lt__(self, other: Any) -> bool:
        if isinstance(other, int):
            return self.value < other
        if isinstance(other, ReasonCode):
            return self.value < other.value
        return NotImplemented

    def __repr__(self) -> str:
        known = 0 <= self.packetType < len(PacketTypes.Names)
        packet = PacketTypes.Names[self.packetType] if known else "Unknown"
        return f"ReasonCode({packet}, {self.getName()!r})"

    def __str__(self) -> str:
        return self.getName()

    def json(self) -> str:
        """The name of the code."""
        return self.getName()

    def pack(self) -> bytearray:
        """The code as one byte."""
        return bytearray([self.value])

    @property
    def is_failure(self) -> bool:
        """Whether it says no: 0x80 and above."""
        return self.value >= 0x80


class _EveryReasonCode(type):
    # Programs that ask isinstance(x, ReasonCodes) mean what is called ReasonCode now.
    def __instancecheck__(cls, other: object) -> bool:
        return isinstance(other, ReasonCode)


class ReasonCodes(ReasonCode, metaclass=_EveryReasonCode):
    """The old name of ``ReasonCode``; using it gives a ``DeprecationWarning``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn("ReasonCodes is deprecated: its name is ReasonCode now", DeprecationWarning, stacklevel=2)
        super().__init__(*args, **kwargs)
