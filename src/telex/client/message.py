"""A message as its subscriber gets it.

Knows the PUBLISH that it came in, and reads from it what is asked for. Knows no
connection: who makes it says how it is acknowledged.
"""

from collections.abc import Callable
from typing import Any, TypeVar, overload

from telex.client.payloads import STANDARD, Codecs, decode_payload, decode_text, quoted
from telex.topics import shown
from telex.wire.packets import Publish
from telex.wire.properties import Properties

T = TypeVar("T")


def _acknowledged(packet: Publish) -> None:
    """Stands where ``ack`` was called already."""


class Message:
    """What was published to a topic.

    Hundreds of thousands come in a second, so that one is no more than a place
    for its packet; all else is worked out when it is asked for.

    Args:
        packet: the PUBLISH that it came in, with its topic spelled out.
        codecs: those of the client.
        acknowledge: what ``ack`` calls with the packet; None where the
            subscription acknowledges by itself.
    """

    __slots__ = ("_acknowledge", "_codecs", "_packet")

    def __init__(
        self,
        packet: Publish,
        codecs: Codecs = STANDARD,
        acknowledge: Callable[[Publish], None] | None = None,
    ) -> None:
        self._packet = packet
        self._codecs = codecs
        self._acknowledge = acknowledge

    @property
    def topic(self) -> str:
        """Where it was published."""
        return self._packet.topic

    @property
    def payload(self) -> bytes:
        """What was published, as it came."""
        return self._packet.payload

    @property
    def qos(self) -> int:
        """The QoS that it came with: the lower one of the publication's and the subscription's."""
        return self._packet.qos

    @property
    def retain(self) -> bool:
        """Whether it is a retained message of before the subscription (or as published: ``retain_as_published``)."""
        return self._packet.retain

    @property
    def dup(self) -> bool:
        """Whether it may be a repeat of an earlier attempt to send it."""
        return self._packet.dup

    @property
    def packet_id(self) -> int:
        """The packet id that it came with; 0 at QoS 0."""
        return self._packet.packet_id

    @property
    def properties(self) -> Properties | None:
        """All that it says besides; None if nothing, as always before MQTT 5."""
        return self._packet.properties

    @property
    def content_type(self) -> str | None:
        """What its payload is, if it says so."""
        properties = self._packet.properties
        return None if properties is None else properties.content_type

    @property
    def response_topic(self) -> str | None:
        """Where an answer is expected, if one is."""
        properties = self._packet.properties
        return None if properties is None else properties.response_topic

    @property
    def correlation_data(self) -> bytes | None:
        """What an answer has to repeat, so that the question is found."""
        properties = self._packet.properties
        return None if properties is None else properties.correlation_data

    @property
    def message_expiry_interval(self) -> int | None:
        """Seconds that were left of its life when the broker sent it; None: it does not expire."""
        properties = self._packet.properties
        return None if properties is None else properties.message_expiry_interval

    @property
    def payload_format_indicator(self) -> int | None:
        """1: the publisher says that the payload is UTF-8 text."""
        properties = self._packet.properties
        return None if properties is None else properties.payload_format_indicator

    @property
    def user_properties(self) -> tuple[tuple[str, str], ...]:
        """Names and values, in their order; a name may be there more than once."""
        properties = self._packet.properties
        return () if properties is None else properties.user_properties

    @property
    def subscription_identifiers(self) -> tuple[int, ...]:
        """The subscriptions that it came for, by the identifiers that they were made with."""
        properties = self._packet.properties
        return () if properties is None else properties.subscription_identifiers

    @property
    def text(self) -> str:
        """The payload as text.

        Raises:
            PayloadError: it is not UTF-8.
        """
        return decode_text(self._packet.payload, self._packet.topic)

    def json(self) -> Any:
        """The value of a JSON payload, whatever its content type; None if the payload is empty.

        Raises:
            PayloadError: it is not JSON.
        """
        codecs = self._codecs
        content_type = codecs.json.content_type
        return decode_payload(self._packet.payload, Any, self._packet.topic, content_type=content_type, codecs=codecs)

    @overload
    def decode(self, type: type[T]) -> T: ...

    # For what mypy does not take as a type: int | None, Literal["on", "off"].
    @overload
    def decode(self, type: Any) -> Any: ...

    def decode(self, type: Any) -> Any:
        """The payload as a value of a type.

        The content type picks the codec. Without one, ``str``, ``int``, ``float``
        and ``bool`` are read from text, other types from JSON: a dataclass, a
        TypedDict, ``msgspec.Struct``, an Enum, ``list[int]``. ``bytes`` is the
        payload as it is.

        Raises:
            PayloadError: the payload is not of that type, or there is no codec for its content type.
        """
        packet = self._packet
        return decode_payload(packet.payload, type, packet.topic, content_type=self.content_type, codecs=self._codecs)

    def ack(self) -> None:
        """Acknowledge it, where the subscription was made with ``manual_ack=True``. A second time does nothing.

        Raises:
            ValueError: the subscription acknowledges by itself.
        """
        acknowledge = self._acknowledge
        if acknowledge is None:
            raise ValueError(
                f"topic {shown(self.topic)}: the subscription acknowledges by itself; "
                "ack() is for those made with manual_ack=True"
            )
        acknowledge(self._packet)
        self._acknowledge = _acknowledged  # not before: what failed may be tried again

    def __repr__(self) -> str:
        packet = self._packet
        said = [shown(packet.topic), quoted(packet.payload)]
        if packet.qos:
            said.append(f"qos={packet.qos}")
        said += [f"{name}=True" for name in ("retain", "dup") if getattr(packet, name)]
        return f"Message({', '.join(said)})"
