"""``-d``: one line for each packet that is sent or received, in mosquitto_pub's words."""

from collections.abc import Sequence

from telex.errors import ProtocolError
from telex.wire.decode import Decoder
from telex.wire.packets import (
    Acknowledgement,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
)


class Trace:
    """Reads along what passes through a client's connections.

    Args:
        tells_grants: whether what a SUBACK granted has a line of its own, as in mosquitto_sub.
    """

    def __init__(self, *, tells_grants: bool = False) -> None:
        self._tells_grants = tells_grants
        self._client_id = "(null)"
        self._decoders: dict[bool, Decoder] = {}

    def saw(self, data: bytes, is_sent: bool) -> None:
        """Bytes pass; none: a new connection begins."""
        if not data:
            self._decoders = {True: Decoder()}
            return
        for line in self._lines(data, is_sent):
            print(line, flush=True)

    def _lines(self, data: bytes, is_sent: bool) -> list[str]:
        decoder = self._decoders.get(is_sent)
        if decoder is None:  # the first that the broker sends; our CONNECT has said the version
            decoder = self._decoders[is_sent] = Decoder(version=self._decoders[True].version)
        decoder.receive(data)
        lines = []
        try:
            while (packet := decoder.next_packet()) is not None:
                lines += self._lines_of(packet, is_sent)
        except ProtocolError as error:  # the client says what comes of it
            lines.append(f"Client {self._client_id} received bytes that are no packet: {error}")
        return lines

    def _lines_of(self, packet: Packet, is_sent: bool) -> list[str]:
        if isinstance(packet, Connect):
            self._client_id = packet.client_id or "(null)"
        elif isinstance(packet, ConnAck) and packet.properties is not None:
            self._client_id = packet.properties.assigned_client_identifier or self._client_id
        name = type(packet).__name__.upper()
        lines = [
            f"Client {self._client_id} {'sending' if is_sent else 'received'} {name}{details}"
            for details in _details(packet, is_sent)
        ]
        if isinstance(packet, SubAck) and self._tells_grants:
            lines.append(f"Subscribed (mid: {packet.packet_id}): {', '.join(map(str, packet.reason_codes))}")
        return lines


def _details(packet: Packet, is_sent: bool) -> Sequence[str]:
    """What stands behind the packet's name; one line for each."""
    if isinstance(packet, Publish):
        flags = f"d{packet.dup:d}, q{packet.qos}, r{packet.retain:d}, m{packet.packet_id}"
        return [f" ({flags}, {packet.topic!r}, ... ({len(packet.payload)} bytes))"]
    if isinstance(packet, Subscribe):
        return [
            f" (Mid: {packet.packet_id}, Topic: {_shown(each.topic_filter)}, "
            f"QoS: {each.qos}, Options: 0x{_options(each):02x})"
            for each in packet.requests
        ]
    if isinstance(packet, Unsubscribe):
        return [f" (Mid: {packet.packet_id}, Topic: {_shown(topic_filter)})" for topic_filter in packet.topic_filters]
    if isinstance(packet, Acknowledgement):
        return [_acknowledgement(packet, is_sent)]
    if isinstance(packet, ConnAck):
        return [f" ({packet.reason_code})"]
    if isinstance(packet, Disconnect | Auth) and (not is_sent or packet.reason_code):
        return [f" ({packet.reason_code})"]
    return [""]


def _acknowledgement(packet: Acknowledgement, is_sent: bool) -> str:
    if is_sent and isinstance(packet, PubAck | PubRec):
        return f" (m{packet.packet_id}, rc{packet.reason_code})"
    if is_sent:
        return f" (m{packet.packet_id})"
    if isinstance(packet, PubRec | PubRel) and not packet.reason_code:
        return f" (Mid: {packet.packet_id})"
    return f" (Mid: {packet.packet_id}, RC:{packet.reason_code})"


def _options(request: SubscriptionRequest) -> int:
    """The options byte of section 3.8.3.1, without the QoS."""
    return request.no_local << 2 | request.retain_as_published << 3 | request.retain_handling << 4


def _shown(topic_filter: str) -> str:
    """Harmless to a terminal."""
    return repr(topic_filter)[1:-1]
