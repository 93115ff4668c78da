"""Packets as lines of the log.

Knows how to say a packet in one line. Knows neither who wants to read that nor when the packet went by.
"""

from typing import Any

from telex import codes
from telex.codes import MQTT_5
from telex.wire.decode import Decoder
from telex.wire.packets import (
    Acknowledgement,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)


def packets_of(data: bytes, version: int) -> list[Packet]:
    """The packets in bytes that we have written: whole ones."""
    decoder = Decoder(version=0 if data[0] == codes.CONNECT << 4 else version)
    decoder.receive(data)
    packets = []
    while (packet := decoder.next_packet()) is not None:
        packets.append(packet)
    return packets


def line(verb: str, packet: Packet, version: int) -> tuple[str, tuple[Any, ...]]:
    """A packet that is sent or was received, as a format and its arguments.

    The formats are near to paho's, since people have programs that look for their beginnings.
    """
    start = f"{verb} {type(packet).__name__.upper()}"
    if isinstance(packet, Publish):
        text = start + " (d%d, q%d, r%d, m%d), '%s', "
        arguments: tuple[Any, ...] = (packet.dup, packet.qos, packet.retain, packet.packet_id, packet.topic)
        if version == MQTT_5:
            text += "properties=%s, "
            arguments += (packet.properties,)
        return text + "... (%d bytes)", (*arguments, len(packet.payload))
    if isinstance(packet, Connect):
        return (
            start + " (u%d, p%d, wr%d, wq%d, wf%d, c%d, k%d) client_id=%s properties=%s",
            (
                packet.user_name is not None,
                packet.password is not None,
                packet.will is not None and packet.will.retain,
                0 if packet.will is None else packet.will.qos,
                packet.will is not None,
                packet.clean_start,
                packet.keep_alive,
                packet.client_id,
                packet.properties,
            ),
        )
    if isinstance(packet, ConnAck):
        return start + " (%d, %d) properties=%s", (packet.session_present, packet.reason_code, packet.properties)
    if isinstance(packet, Acknowledgement):
        return start + " (Mid: %d)", (packet.packet_id,)
    if isinstance(packet, Subscribe):
        wanted = [(each.topic_filter, each.qos) for each in packet.requests]
        return start + " (d0, m%d) %s", (packet.packet_id, wanted)
    if isinstance(packet, Unsubscribe):
        return start + " (d0, m%d) %s", (packet.packet_id, packet.topic_filters)
    if isinstance(packet, SubAck | UnsubAck):
        return start + " (Mid: %d) %s", (packet.packet_id, packet.reason_codes)
    if isinstance(packet, Disconnect) and version == MQTT_5:
        return start + " reasonCode=%d properties=%s", (packet.reason_code, packet.properties)
    return start, ()
