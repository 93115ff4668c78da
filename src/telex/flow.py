"""QoS 1 and QoS 2 delivery, for either end of a connection (section 4.3).

Knows packet ids and their states. Knows no role, no bytes, no clock: the two
ends of a conversation each hold one Sender and one Receiver.
"""

from collections import deque
from typing import Generic, TypeVar

from mypy_extensions import mypyc_attr

from telex.codes import MAX_PACKET_ID, ReasonCode
from telex.errors import ProtocolError


@mypyc_attr(allow_interpreted_subclasses=True)
class Delivery:
    """One message on its way to one peer, at QoS 1 or 2."""

    def __init__(self, qos: int) -> None:
        self.qos = qos  # 1 or 2
        self.packet_id = 0  # 0 until it is sent for the first time
        self.is_released = False  # PUBREL is sent: the peer owns the message, only its id remains
        self.has_quota = False  # its PUBLISH left on this connection and counts against Receive Maximum


D = TypeVar("D", bound=Delivery)


class Sender(Generic[D]):
    """The sending half: which packet ids are on their way, and how many more may be.

    A delivery goes ``send`` - ``on_puback`` (QoS 1), or ``send`` - ``on_pubrec`` -
    ``on_pubcomp`` (QoS 2). ``resume`` begins a new connection of the same session.
    """

    def __init__(self, receive_maximum: int = MAX_PACKET_ID) -> None:
        self.in_flight: dict[int, D] = {}  # by packet id, in the order in which they were sent
        self.receive_maximum = receive_maximum  # what the peer takes at a time (section 4.9)
        self.quota = receive_maximum  # what it takes now
        self._last_id = 0

    @property
    def can_send(self) -> bool:
        """Whether the peer takes another PUBLISH now [MQTT-4.9.0-2].

        Only PUBLISH asks; no other packet waits for quota [MQTT-4.9.0-3] [MQTT-3.3.4-8] [MQTT-3.3.4-10].
        """
        return self.quota > 0 and len(self.in_flight) < MAX_PACKET_ID

    def next_packet_id(self) -> int:
        """An id that is not in flight. There must be one.

        [MQTT-2.2.1-3] [MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.3-1]

        Ids are taken in turn, so that one that was just freed rests as long as
        possible: a late acknowledgement then meets nobody.
        """
        packet_id = self._last_id
        while True:
            packet_id = packet_id + 1 if packet_id < MAX_PACKET_ID else 1
            if packet_id not in self.in_flight:
                self._last_id = packet_id
                return packet_id

    def send(self, delivery: D) -> None:
        """Give a delivery its packet id; its PUBLISH leaves now. ``can_send`` must be true."""
        delivery.packet_id = self.next_packet_id()
        self.in_flight[delivery.packet_id] = delivery  # until PUBACK or PUBREC [MQTT-4.3.2-3] [MQTT-4.3.3-3]
        self._take_quota(delivery)

    def send_again(self, delivery: D) -> None:
        """Count a delivery whose PUBLISH leaves again after ``resume``, with its old id."""
        self._take_quota(delivery)

    def on_puback(self, packet_id: int) -> D | None:
        """The peer owns the QoS 1 message. None for an id that waits for no PUBACK."""
        delivery = self.in_flight.get(packet_id)
        if delivery is None or delivery.qos != 1:
            return None
        del self.in_flight[packet_id]
        self._return_quota(delivery)
        return delivery

    def on_pubrec(self, packet_id: int, reason_code: int) -> D | None:
        """The peer owns the QoS 2 message, or refused it. None for an id that waits for no PUBREC.

        Below 0x80 the delivery stays in flight and a PUBREL must leave, also for
        a PUBREC that comes again [MQTT-4.3.3-4]; otherwise the exchange is over
        [MQTT-4.4.0-2].
        """
        delivery = self.in_flight.get(packet_id)
        if delivery is None or delivery.qos != 2:
            return None
        if reason_code >= 0x80:
            if delivery.is_released:  # a refusal of what was accepted before changes nothing
                return delivery
            del self.in_flight[packet_id]
            self._return_quota(delivery)
        elif not delivery.is_released:
            delivery.is_released = True
            # To the end: PUBRELs are sent again in the order of their PUBRECs [MQTT-4.6.0-4].
            del self.in_flight[packet_id]
            self.in_flight[packet_id] = delivery  # until PUBCOMP [MQTT-4.3.3-5]
        return delivery

    def on_pubcomp(self, packet_id: int) -> D | None:
        """The exchange of a QoS 2 message is over. None for an id that waits for no PUBCOMP."""
        delivery = self.in_flight.get(packet_id)
        if delivery is None or not delivery.is_released:
            return None
        del self.in_flight[packet_id]
        self._return_quota(delivery)
        return delivery

    def resume(self, receive_maximum: int) -> deque[D]:
        """Begin a new connection: what must be sent again, in order [MQTT-4.4.0-1].

        First what is released, in the order of its PUBRECs: that needs a PUBREL and
        no quota, so it may not wait for any [MQTT-3.3.4-8]. Then the others, in the
        order of their first sending [MQTT-4.6.0-1]: they need their PUBLISH with DUP, and
        ``send_again``, as soon as ``can_send_again``.
        """
        self.receive_maximum = receive_maximum
        self.quota = receive_maximum  # fresh on each connection [MQTT-4.9.0-1]
        for delivery in self.in_flight.values():
            delivery.has_quota = False
        # What is released has sent its last PUBLISH [MQTT-4.3.3-6].
        released = [delivery for delivery in self.in_flight.values() if delivery.is_released]
        return deque(released + [delivery for delivery in self.in_flight.values() if not delivery.is_released])

    @property
    def can_send_again(self) -> bool:
        """Whether the peer takes another repeated PUBLISH now [MQTT-4.9.0-2]."""
        return self.quota > 0

    def _take_quota(self, delivery: D) -> None:
        delivery.has_quota = True
        self.quota -= 1

    def _return_quota(self, delivery: D) -> None:
        # What an earlier connection has sent took none of this one's quota [MQTT-3.3.4-9].
        if delivery.has_quota:
            self.quota += 1


class Receiver:
    """The receiving half: the packet ids of QoS 2 messages that we own already.

    They outlive the connection, and the message: what has expired is acknowledged to
    the end [MQTT-4.3.3-13]. QoS 1 needs no memory here: a repeated PUBLISH
    is a new message [MQTT-4.3.2-5].

    What the peer has in flight on this connection counts against Receive Maximum
    until its last acknowledgement has left: before that the peer cannot know of it.
    Any PUBACK, PUBCOMP or refusing PUBREC lets it send one more (section 4.9), also
    that for an id which it does not own, or has from an earlier connection.
    """

    def __init__(self, receive_maximum: int = MAX_PACKET_ID) -> None:
        self.receive_maximum = receive_maximum  # what we told the peer that we take at a time
        self.owned: dict[int, None] = {}  # packet ids
        self.ended = 0  # last acknowledgements on this connection so far
        self._left = 0  # of these, how many have left
        self._in_flight = 0  # messages, as the peer counts them

    def owns(self, packet_id: int) -> bool:
        """Whether a QoS 2 message with this id came already, and its exchange goes on."""
        return packet_id in self.owned

    def accept(self, packet_id: int) -> bool:
        """Take in a QoS 2 PUBLISH: True the first time, False for a repeat.

        A repeat is acknowledged again and never delivered again [MQTT-4.3.3-10].

        Raises:
            ProtocolError: RECEIVE_MAXIMUM_EXCEEDED, if the peer has more messages
                in flight than we allowed it (section 4.9).
        """
        if packet_id in self.owned:
            return False
        self._count()
        self.owned[packet_id] = None
        return True

    def accept_at_once(self) -> None:
        """Take in a PUBLISH whose first acknowledgement is its last: of QoS 1, or refused.

        Raises:
            ProtocolError: as from ``accept``.
        """
        self._count()
        self.ended += 1

    def _count(self) -> None:
        in_flight = self._in_flight + 1
        if in_flight > self.receive_maximum:  # [MQTT-3.3.4-7]
            raise ProtocolError(
                ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
                f"{in_flight:,} messages in flight, we allowed {self.receive_maximum:,} [MQTT-3.3.4-7]",
            )
        self._in_flight = in_flight

    def release(self, packet_id: int) -> bool:
        """Take in a PUBREL, or refuse what was accepted: whether the id was owned.

        From now on it means a new message [MQTT-4.3.3-12].
        """
        self.ended += 1
        if packet_id not in self.owned:
            return False
        del self.owned[packet_id]
        return True

    def acknowledged(self, waiting: int = 0) -> None:
        """All last acknowledgements have left, but for so many that wait: the peer may know of them."""
        left = self.ended - waiting
        self._in_flight = max(self._in_flight - (left - self._left), 0)
        self._left = left

    def resume(self, receive_maximum: int) -> None:
        """Begin a new connection: the ids stay owned, and take none of its quota (section 4.9)."""
        self.receive_maximum = receive_maximum
        self.ended = 0
        self._left = 0
        self._in_flight = 0

    def forget(self) -> None:
        """Own nothing: the peer has begun a new session."""
        self.owned = {}
        self.ended = 0
        self._left = 0
        self._in_flight = 0
