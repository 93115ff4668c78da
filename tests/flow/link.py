"""A Sender and a Receiver, and between them a link that fails at chosen packets.

Knows what a connection does with the two halves: which packet answers which,
what goes again after a cut. Knows no bytes. Every rule that must hold at each
step is asserted here, the final ones in ``Link.check``.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum

from telex.codes import MAX_PACKET_ID, ReasonCode
from telex.flow import Delivery, Receiver, Sender
from telex.wire.packets import Packet, PubAck, PubComp, Publish, PubRec, PubRel


class Fault(Enum):
    """What may happen to one packet. After a cut the same session goes on over a new connection."""

    LOST = "it vanishes, others go on"
    CUT_BEFORE = "the connection is cut before it arrives"
    CUT_AFTER = "the connection is cut when it has arrived"
    TWICE = "it arrives twice"


class Parcel(Delivery):
    """A message with a text by which a test knows it."""

    def __init__(self, qos: int, text: str) -> None:
        super().__init__(qos)
        self.text = text


class SendingEnd:
    """Holds a Sender: sends what waits as soon as the peer takes it, and again after a cut."""

    def __init__(self, parcels: Iterable[Parcel], receive_maximum: int, send: Callable[[Packet], None]) -> None:
        self.sender: Sender[Parcel] = Sender(receive_maximum)
        self.send = send
        self.waiting = deque(parcels)
        self.again: deque[Parcel] = deque()  # what the cut left, while the peer takes no more
        self.unacknowledged: set[int] = set()  # ids of PUBLISH packets of this connection
        self.most_unacknowledged = 0
        self.refused: list[str] = []

    @property
    def is_done(self) -> bool:
        """Whether everything is sent and acknowledged."""
        return not (self.waiting or self.again or self.sender.in_flight)

    def fill(self) -> None:
        """Send as much as the peer takes: what the cut left first, in its order [MQTT-4.6.0-1]."""
        while self.again:
            if self.again[0].is_released:
                self.send(PubRel(self.again.popleft().packet_id))
            elif self.sender.can_send_again:
                parcel = self.again.popleft()
                self.sender.send_again(parcel)
                self._publish(parcel, dup=True)
            else:
                return
        while self.waiting and self.sender.can_send:
            parcel = self.waiting.popleft()
            in_use = set(self.sender.in_flight)
            self.sender.send(parcel)
            assert 1 <= parcel.packet_id <= MAX_PACKET_ID  # [MQTT-2.2.1-3]
            assert parcel.packet_id not in in_use  # [MQTT-2.2.1-3]
            self._publish(parcel, dup=False)

    def _publish(self, parcel: Parcel, *, dup: bool) -> None:
        assert not parcel.is_released  # [MQTT-4.3.3-6]
        assert self.sender.in_flight[parcel.packet_id] is parcel
        self.unacknowledged.add(parcel.packet_id)
        self.most_unacknowledged = max(self.most_unacknowledged, len(self.unacknowledged))
        self.send(Publish("t", parcel.text.encode(), qos=parcel.qos, dup=dup, packet_id=parcel.packet_id))

    def resume(self, receive_maximum: int) -> None:
        """Begin a new connection of the same session."""
        self.unacknowledged.clear()
        self.again = self.sender.resume(receive_maximum)
        assert self.sender.quota == receive_maximum  # section 4.9
        self.fill()

    def on_packet(self, packet: Packet) -> None:
        """Take in an acknowledgement."""
        if isinstance(packet, PubRec):
            parcel = self.sender.on_pubrec(packet.packet_id, packet.reason_code)
            if parcel is not None and packet.reason_code < 0x80:
                self.send(PubRel(packet.packet_id))  # [MQTT-4.3.3-4]
            elif parcel is not None:
                self.refused.append(parcel.text)
                self.unacknowledged.discard(packet.packet_id)
        elif isinstance(packet, (PubAck, PubComp)):
            acknowledge = self.sender.on_puback if isinstance(packet, PubAck) else self.sender.on_pubcomp
            if acknowledge(packet.packet_id) is not None:
                self.unacknowledged.discard(packet.packet_id)
        assert 0 <= self.sender.quota <= self.sender.receive_maximum  # section 4.9
        self.fill()


class ReceivingEnd:
    """Holds a Receiver: owns what comes, and acknowledges it in the same breath [MQTT-4.6.0-2]."""

    def __init__(self, receive_maximum: int, refuses: frozenset[str], send: Callable[[Packet], None]) -> None:
        self.receiver = Receiver(receive_maximum)
        self.refuses = refuses  # texts that it never takes
        self.send = send
        self.delivered: list[str] = []

    def on_packet(self, packet: Packet) -> None:
        """Take in a PUBLISH or a PUBREL."""
        if isinstance(packet, Publish):
            text = packet.payload.decode()
            code = ReasonCode.QUOTA_EXCEEDED if text in self.refuses else ReasonCode.SUCCESS
            if packet.qos == 1:
                self.receiver.accept_at_once()
            if code == ReasonCode.SUCCESS and (packet.qos == 1 or self.receiver.accept(packet.packet_id)):
                self.delivered.append(text)
            kind = PubAck if packet.qos == 1 else PubRec
            self.send(kind(packet.packet_id, code))
        elif isinstance(packet, PubRel):
            known = self.receiver.release(packet.packet_id)
            code = ReasonCode.SUCCESS if known else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            self.send(PubComp(packet.packet_id, code))  # [MQTT-4.3.3-11]
        self.receiver.acknowledged()


class Link:
    """Carries packets both ways, one at a time, until all is delivered.

    Args:
        parcels: what is to be sent, in order.
        receive_maximum: what the sender may have on its way.
        receiver_maximum: what the receiver insists on; by default it does not.
        faults: what happens to which packet, counted from 0 over both directions.
        refuses: texts that the receiver refuses.
        backward_first: at each packet, whether the acknowledgements come first if both directions have packets.
    """

    def __init__(
        self,
        parcels: Iterable[Parcel],
        *,
        receive_maximum: int = MAX_PACKET_ID,
        receiver_maximum: int = MAX_PACKET_ID,
        faults: Mapping[int, Fault] | None = None,
        refuses: frozenset[str] = frozenset(),
        backward_first: Callable[[], bool] = lambda: False,
    ) -> None:
        self.parcels = list(parcels)
        self.receive_maximum = receive_maximum
        self.receiver_maximum = receiver_maximum
        self.faults = faults or {}
        self.backward_first = backward_first
        self.forward: deque[Packet] = deque()
        self.backward: deque[Packet] = deque()
        self.sending = SendingEnd(self.parcels, receive_maximum, self.forward.append)
        self.receiving = ReceivingEnd(receiver_maximum, refuses, self.backward.append)
        self.carried = 0  # packets so far
        self.cuts = 0

    def run(self) -> "Link":
        """Carry packets until everything is acknowledged, over as many connections as it takes."""
        self.sending.fill()
        while not self.sending.is_done or self.forward or self.backward:
            if self.forward or self.backward:
                self.carry()
            else:  # something was lost: only a new connection brings it again [MQTT-4.4.0-1]
                self.cut()
            assert self.carried < 10_000, "the two ends talk for ever"
        return self

    def carry(self) -> None:
        """Carry one packet, or do to it what is planned."""
        is_backward = bool(self.backward) and (not self.forward or self.backward_first())
        packet = self.backward.popleft() if is_backward else self.forward.popleft()
        fault = self.faults.get(self.carried)
        self.carried += 1
        if fault is not Fault.LOST and fault is not Fault.CUT_BEFORE:
            for _ in range(2 if fault is Fault.TWICE else 1):
                (self.sending if is_backward else self.receiving).on_packet(packet)
        if fault is Fault.CUT_BEFORE or fault is Fault.CUT_AFTER:
            self.cut()

    def cut(self) -> None:
        """Lose all that is on its way, and go on over a new connection."""
        self.forward.clear()
        self.backward.clear()
        self.cuts += 1
        self.receiving.receiver.resume(self.receiver_maximum)
        self.sending.resume(self.receive_maximum)

    def check(self, *, order: bool = True) -> None:
        """Everything is delivered as often as its QoS says, and nothing is left behind."""
        delivered, refused = self.receiving.delivered, self.sending.refused
        taken = [parcel for parcel in self.parcels if parcel.text not in self.receiving.refuses]
        for parcel in taken:
            if parcel.qos == 2:
                assert delivered.count(parcel.text) == 1, f"{parcel.text}: exactly once [MQTT-4.3.3-10]"
            else:
                assert delivered.count(parcel.text) >= 1, f"{parcel.text}: at least once [MQTT-4.3.2-3]"
        assert set(delivered) == {parcel.text for parcel in taken}
        assert set(refused) == {each.text for each in self.parcels if each.qos == 2} & self.receiving.refuses
        assert len(refused) == len(set(refused))
        if order:
            first_times = list(dict.fromkeys(delivered))
            assert first_times == [parcel.text for parcel in taken], "[MQTT-4.6.0-5]"
        assert self.sending.sender.in_flight == {}
        assert self.receiving.receiver.owned == {}
        assert self.sending.sender.quota == self.receive_maximum
        assert self.sending.sender.can_send
