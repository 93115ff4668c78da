"""What a subscription asks for besides its filter (MQTT 5, section 3.8.3.1)."""

from typing import Any, ClassVar

from telex.paho.exception import MQTTException


class SubscribeOptions:
    """The options of one subscription.

    Args:
        qos: the highest QoS at which messages shall come.
        noLocal: whether what this client publishes itself does not come back.
        retainAsPublished: whether messages come with the retain flag that their publisher gave them.
        retainHandling: when retained messages come: ``RETAIN_SEND_ON_SUBSCRIBE``,
            ``RETAIN_SEND_IF_NEW_SUB`` or ``RETAIN_DO_NOT_SEND``.

    Raises:
        AssertionError: ``qos`` or ``retainHandling`` is none of 0, 1 and 2.
    """

    RETAIN_SEND_ON_SUBSCRIBE = 0
    RETAIN_SEND_IF_NEW_SUB = 1
    RETAIN_DO_NOT_SEND = 2

    names: ClassVar = ["QoS", "noLocal", "retainAsPublished", "retainHandling"]

    QoS: int
    noLocal: bool
    retainAsPublished: bool
    retainHandling: int

    def __init__(
        self,
        qos: int = 0,
        noLocal: bool = False,
        retainAsPublished: bool = False,
        retainHandling: int = RETAIN_SEND_ON_SUBSCRIBE,
    ) -> None:
        self.QoS = qos
        self.noLocal = noLocal
        self.retainAsPublished = retainAsPublished
        self.retainHandling = retainHandling
        self._check()

    def _check(self) -> None:
        # As paho does; raised by hand, so that `python -O` does not drop it.
        if self.retainHandling not in (0, 1, 2):
            raise AssertionError(f"retainHandling is {self.retainHandling}, expected 0, 1 or 2")
        if self.QoS not in (0, 1, 2):
            raise AssertionError(f"QoS is {self.QoS}, expected 0, 1 or 2")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.names:
            raise MQTTException(f"there is no subscribe option {name!r}; expected one of {', '.join(self.names)}")
        object.__setattr__(self, name, value)

    def pack(self) -> bytes:
        """The byte that follows the filter in SUBSCRIBE.

        Raises:
            AssertionError: as for a new object.
        """
        self._check()
        return bytes(
            [self.retainHandling << 4 | bool(self.retainAsPublished) << 3 | bool(self.noLocal) << 2 | self.QoS]
        )

    def unpack(self, buffer: bytes | bytearray) -> int:
        """Take all options from the first byte; returns how many bytes that were: 1.

        Raises:
            AssertionError: as for a new object.
        """
        byte = buffer[0]
        self.retainHandling = byte >> 4 & 3
        self.retainAsPublished = byte & 8 != 0
        self.noLocal = byte & 4 != 0
        self.QoS = byte & 3
        self._check()
        return 1

    def __str__(self) -> str:
        return "{" + ", ".join(f"{name}={getattr(self, name)}" for name in self.names) + "}"

    __repr__ = __str__

    def json(self) -> dict[str, int]:
        """The options by their names."""
        return {name: getattr(self, name) for name in self.names}
