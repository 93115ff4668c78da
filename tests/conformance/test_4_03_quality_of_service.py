"""Quality of Service: at most once, at least once, exactly once (section 4.3).

A broker may hand on a QoS 2 message when its PUBLISH comes or when its PUBREL comes:
so these stories look at what arrived only when the exchange is over.
"""

import pytest

from telex.codes import MAX_PACKET_ID
from telex.engine.options import Options
from telex.engine.permissions import Permissions
from telex.wire.packets import (
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
)
from telex.wire.properties import Properties
from tests.conformance.conftest import MakeWorld
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import kept
from tests.engine.world import Client, OneRule, World


def subscribed(world: World, version: int = 5, **manners: object) -> Client:
    """A client that keeps its session, is subscribed to ``a``, and acknowledges nothing of itself."""
    return kept(world, "sub", version, acknowledges=False, **manners).subscribes("a", qos=2)


class ReadOnly(Permissions):
    """Nobody may publish to ``forbidden``."""

    def may_publish(self, topic: str) -> bool:
        return topic != "forbidden"


# QoS 0: the broker as sender


@mqtt("MQTT-4.3.1-1")
@each_version
@pytest.mark.parametrize(("published", "granted"), [(0, 0), (0, 2), (1, 0), (2, 0)])
def test_qos0_is_sent_with_qos_0_and_without_dup(world: World, published: int, granted: int, version: int) -> None:
    # v3 [MQTT-4.3.1-1], which the table of statements does not have
    sub = world.client("sub", version=version).subscribes("a", qos=granted)
    pub = world.client("pub", version=version)
    pub.sends(Publish("a", b"x", published, dup=published > 0, packet_id=7 if published else 0))
    if published == 2:
        pub.sends(PubRel(7))
    assert sub.got == [Publish("a", b"x")]


@mqtt("MQTT-4.3.1-1")
@each_version
def test_qos0_is_sent_once_and_never_again(world: World, version: int) -> None:
    sub = kept(world, "sub", version, acknowledges=False).subscribes("a", qos=0)
    world.client("pub").publishes("a", b"x", qos=1)
    assert sub.payloads == [b"x"]
    assert sub.drops().returns().got == []


@each_version
def test_qos0_is_not_acknowledged(world: World, version: int) -> None:  # section 4.3.1
    sub = world.client("sub").subscribes("a")
    assert world.client("pub", version=version).sends(Publish("a", b"x"), Publish("a", b"y")).got == []
    assert sub.payloads == [b"x", b"y"]


# QoS 1: the broker as sender


@mqtt("MQTT-4.3.2-1", "MQTT-4.3.3-1")
@mqtt("MQTT-4.3.3-1", v3=True)
@each_version
def test_each_message_has_an_id_that_no_other_in_flight_has(world: World, version: int) -> None:
    sub = subscribed(world, version)
    pub = world.client("pub")
    for number in range(12):
        pub.publishes("a", b"x", qos=1 + number % 2)
    ids = [message.packet_id for message in sub.messages]
    assert len(set(ids)) == 12
    assert 0 not in ids


@mqtt("MQTT-4.3.2-1", "MQTT-4.3.3-1")
@mqtt("MQTT-4.3.3-1", v3=True)
@each_version
def test_an_id_is_in_use_until_the_exchange_is_over_also_over_a_reconnect(world: World, version: int) -> None:
    sub = subscribed(world, version)
    pub = world.client("pub")
    for qos in (2, 2, 1):
        pub.publishes("a", b"old", qos=qos)
    released, sent, once = (message.packet_id for message in sub.messages)
    sub = sub.sends(PubRec(released)).drops().returns()
    sub.takes()
    for number in range(10):
        pub.publishes("a", b"new", qos=1 + number % 2)
    new = {message.packet_id for message in sub.messages}
    assert len(new) == 10
    assert new.isdisjoint({released, sent, once})


@edge("P1")
@mqtt("MQTT-4.3.2-1", "MQTT-4.3.3-1")
@mqtt("MQTT-4.3.3-1", v3=True)
@each_version
@pytest.mark.parametrize("qos", [1, 2])
def test_ids_wrap_around_past_those_in_use(engine: World, qos: int, version: int) -> None:
    sub = subscribed(engine, version)
    engine.engine.sessions["sub"].sender._last_id = MAX_PACKET_ID - 3
    pub = engine.client("pub")
    for number in range(5):
        pub.publishes("a", b"%d" % number, qos=qos)
    assert [message.packet_id for message in sub.messages] == [65_533, 65_534, 65_535, 1, 2]
    engine.engine.sessions["sub"].sender._last_id = MAX_PACKET_ID - 3
    for number in range(5, 7):
        pub.publishes("a", b"%d" % number, qos=qos)
    assert [message.packet_id for message in sub.messages[5:]] == [3, 4]


@edge("P1")
@mqtt("MQTT-4.3.2-1")
def test_when_all_ids_are_in_use_messages_wait(make_world: MakeWorld) -> None:
    world = make_world(Options(max_inflight_messages=MAX_PACKET_ID))
    sub = world.client("sub", version=4, acknowledges=False).subscribes("a", qos=1)
    pub = world.client("pub", version=4)
    for _ in range(17):
        pub.sends(*[Publish("a", qos=1, packet_id=1)] * 3_855)
    pub.sends(Publish("a", b"one too many", 1, packet_id=1))
    assert sorted(message.packet_id for message in sub.messages) == list(range(1, MAX_PACKET_ID + 1))
    sub.takes()
    assert sub.sends(PubAck(300)).got == [Publish("a", b"one too many", 1, packet_id=300)]


@mqtt("MQTT-4.3.2-2", "MQTT-4.3.3-2")
@mqtt("MQTT-4.3.3-1", v3=True)
@each_version
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("dup", [False, True])
def test_a_message_is_first_sent_with_its_qos_and_without_dup(world: World, qos: int, version: int, dup: bool) -> None:
    # Whether it came to the broker with DUP says nothing of how it leaves.
    sub = subscribed(world, version)
    pub = world.client("pub").sends(Publish("a", b"x", qos, dup=dup, packet_id=7))
    if qos == 2:
        pub.sends(PubRel(7))
    (message,) = sub.messages
    assert message == Publish("a", b"x", qos, packet_id=message.packet_id)
    assert message.packet_id > 0


@mqtt("MQTT-4.3.2-3")
@each_version
def test_qos1_is_unacknowledged_until_its_own_puback(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    first, second = (message.packet_id for message in sub.messages)
    sub = sub.sends(PubAck(second)).drops().returns()
    assert sub.got == [Publish("a", b"1", 1, dup=True, packet_id=first)]
    assert sub.sends(PubAck(first)).drops().returns().got == []


# QoS 1: the broker as receiver


@mqtt("MQTT-4.3.2-4")
@each_version
def test_qos1_is_taken_over_and_answered_with_its_id(world: World, version: int) -> None:
    # v3 [MQTT-4.3.2-2], which the table of statements does not have
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version).sends(Publish("a", b"x", 1, packet_id=7))
    assert pub.got == [PubAck(7)]
    assert sub.payloads == [b"x"]


@mqtt("MQTT-4.3.2-5")
@each_version
@pytest.mark.parametrize("dup", [False, True])
def test_after_puback_the_same_id_means_a_new_message(world: World, dup: bool, version: int) -> None:
    sub = world.client("sub").subscribes("a", qos=1)
    pub = world.client("pub", version=version)
    for _ in range(3):
        assert pub.sends(Publish("a", b"x", 1, dup=dup, packet_id=7)).takes() == [PubAck(7)]
    assert sub.payloads == [b"x", b"x", b"x"]


# QoS 2: the broker as sender


@mqtt("MQTT-4.3.3-3")
@mqtt("MQTT-4.3.3-1", v3=True)
@each_version
def test_qos2_is_unacknowledged_until_its_own_pubrec(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"1", qos=2).publishes("a", b"2", qos=2)
    first, second = (message.packet_id for message in sub.messages)
    sub = sub.sends(PubRec(second), PubComp(second)).drops().returns()
    assert sub.got == [Publish("a", b"1", 2, dup=True, packet_id=first)]


@mqtt("MQTT-4.3.2-3", "MQTT-4.3.3-3")
@mqtt("MQTT-4.3.3-1", v3=True)
@each_version
def test_an_acknowledgement_of_the_wrong_kind_acknowledges_nothing(world: World, version: int) -> None:
    # A broker may close the connection that it came on.
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    once, twice = (message.packet_id for message in sub.messages)
    for packet in (PubComp(once), PubComp(twice), PubAck(twice)):
        sub = sub.sends(packet).drops().returns()
        assert sub.payloads == [b"1", b"2"]


@mqtt("MQTT-4.3.3-4")
@mqtt("MQTT-4.3.3-1", v3=True)
@each_version
def test_pubrec_is_answered_by_pubrel_with_its_id(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"1", qos=2).publishes("a", b"2", qos=2)
    first, second = (message.packet_id for message in sub.messages)
    sub.takes()
    assert sub.sends(PubRec(second)).takes() == [PubRel(second)]
    assert sub.sends(PubRec(first)).takes() == [PubRel(first)]
    assert sub.sends(PubComp(first), PubComp(second)).takes() == []


@mqtt("MQTT-4.3.3-4")
def test_any_pubrec_below_0x80_is_answered_by_pubrel(world: World) -> None:
    sub = subscribed(world)
    world.client("pub").publishes("a", b"x", qos=2)
    (message,) = sub.messages
    sub.takes()
    assert sub.sends(PubRec(message.packet_id, 0x10)).got == [PubRel(message.packet_id)]


@mqtt("MQTT-4.3.3-4")
@mqtt("MQTT-4.3.3-1", v3=True)
@each_version
def test_a_pubrec_that_comes_again_is_answered_again(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"x", qos=2)
    (message,) = sub.messages
    sub.takes()
    pubrec = PubRec(message.packet_id)
    assert sub.sends(pubrec, pubrec).got == [PubRel(message.packet_id), PubRel(message.packet_id)]


@edge("S2")
@mqtt("MQTT-4.3.3-5", "MQTT-4.3.3-6")
@mqtt("MQTT-4.3.3-1", v3=True)
@each_version
def test_pubrel_is_unacknowledged_until_its_pubcomp_and_takes_the_place_of_publish(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"x", qos=2)
    (message,) = sub.messages
    sub.sends(PubRec(message.packet_id))
    for _ in range(3):
        sub = sub.drops().returns()
        assert sub.got == [PubRel(message.packet_id)]
    assert sub.sends(PubComp(message.packet_id)).drops().returns().got == []


@edge("S8")
@mqtt("MQTT-4.3.3-7")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_was_sent_does_not_expire(engine: World, qos: int) -> None:
    sub = subscribed(engine)
    engine.client("pub").publishes("a", b"x", qos=qos, properties=Properties(message_expiry_interval=5))
    sub.drops()
    engine.advance(10)
    (again,) = sub.returns().messages
    assert (again.payload, again.dup, again.packet_id) == (b"x", True, sub.messages[0].packet_id)


@edge("S8")
@mqtt("MQTT-4.3.3-7")
def test_expiry_does_not_break_an_exchange_that_is_past_pubrec(engine: World) -> None:
    sub = subscribed(engine)
    engine.client("pub").publishes("a", b"x", qos=2, properties=Properties(message_expiry_interval=5))
    (message,) = sub.messages
    sub.sends(PubRec(message.packet_id)).drops()
    engine.advance(10)
    sub = sub.returns()
    assert sub.takes() == [PubRel(message.packet_id)]
    assert sub.sends(PubComp(message.packet_id)).drops().returns().got == []


# QoS 2: the broker as receiver


@mqtt("MQTT-4.3.3-8", "MQTT-4.3.3-11")
@mqtt("MQTT-4.3.3-2", v3=True)
@each_version
def test_qos2_is_taken_over_in_four_steps(world: World, version: int) -> None:
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    assert pub.sends(Publish("a", b"x", 2, packet_id=7)).takes() == [PubRec(7)]
    assert pub.sends(PubRel(7)).takes() == [PubComp(7)]
    assert sub.payloads == [b"x"]


@mqtt("MQTT-4.3.3-9")
def test_after_a_pubrec_of_0x80_or_above_the_same_id_means_a_new_message(make_world: MakeWorld) -> None:
    world = make_world(gate=OneRule(ReadOnly()))
    sub = world.client("sub").subscribes("#", qos=2)
    pub = world.client("pub")
    for _ in range(2):
        assert pub.sends(Publish("forbidden", b"x", 2, packet_id=7)).takes() == [PubRec(7, 0x87)]
    assert pub.sends(Publish("allowed", b"x", 2, packet_id=7), PubRel(7)).takes() == [PubRec(7), PubComp(7)]
    assert sub.topics == ["allowed"]


@edge("S3")
@mqtt("MQTT-4.3.3-10")
@mqtt("MQTT-4.3.3-2", v3=True)
@each_version
@pytest.mark.parametrize("dup", [False, True])
def test_until_pubrel_the_same_id_means_a_repeat(world: World, dup: bool, version: int) -> None:
    # It is the id that tells a repeat, not the flag.
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    assert pub.sends(Publish("a", b"x", 2, packet_id=7)).takes() == [PubRec(7)]
    assert pub.sends(Publish("a", b"x", 2, dup=dup, packet_id=7)).takes() == [PubRec(7)]
    assert pub.sends(PubRel(7)).takes() == [PubComp(7)]
    assert sub.payloads == [b"x"]


@edge("S3")
@mqtt("MQTT-4.3.3-10")
@mqtt("MQTT-4.3.3-2", v3=True)
@each_version
def test_each_repeat_is_answered_however_many_come(world: World, version: int) -> None:
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    for number in range(5):
        assert pub.sends(Publish("a", b"x", 2, dup=number > 0, packet_id=7)).takes() == [PubRec(7)]
    assert pub.sends(PubRel(7)).takes() == [PubComp(7)]
    assert sub.payloads == [b"x"]


@edge("S3")
@mqtt("MQTT-4.3.3-10")
@mqtt("MQTT-4.3.3-2", v3=True)
@each_version
def test_a_repeat_is_one_also_for_a_broker_that_was_killed(engine: World, version: int) -> None:
    sub = kept(engine, "sub").subscribes("a", qos=2)
    pub = kept(engine, "pub", version).sends(Publish("a", b"x", 2, packet_id=7))
    assert sub.payloads == [b"x"]
    engine.restarts()
    sub = sub.returns()
    pub = pub.returns().sends(Publish("a", b"x", 2, dup=True, packet_id=7), PubRel(7))
    assert pub.got == [PubRec(7), PubComp(7)]
    assert sub.payloads == []


@edge("S3")
@mqtt("MQTT-4.3.3-10")
@mqtt("MQTT-4.3.3-2", v3=True)
@each_version
def test_a_repeat_after_a_resume_is_a_repeat(world: World, version: int) -> None:
    sub = world.client("sub").subscribes("a", qos=2)
    pub = kept(world, "pub", version).sends(Publish("a", b"x", 2, packet_id=7))
    for _ in range(2):
        pub = pub.drops().returns().sends(Publish("a", b"x", 2, dup=True, packet_id=7))
        assert pub.takes() == [PubRec(7)]
    assert pub.sends(PubRel(7)).got == [PubComp(7)]
    assert sub.payloads == [b"x"]


@edge("S4")
@mqtt("MQTT-4.3.3-11")
@mqtt("MQTT-4.3.3-2", v3=True)
@each_version
def test_a_pubrel_after_a_resume_is_answered_with_success(world: World, version: int) -> None:
    sub = world.client("sub").subscribes("a", qos=2)
    pub = kept(world, "pub", version).sends(Publish("a", b"x", 2, packet_id=7)).drops().returns()
    assert pub.sends(PubRel(7)).got == [PubComp(7)]
    assert sub.payloads == [b"x"]


@edge("S4")
@mqtt("MQTT-4.3.3-11")
@mqtt("MQTT-4.3.3-2", v3=True)
@each_version
def test_a_pubrel_that_comes_again_is_answered_again(world: World, version: int) -> None:
    # The client did not hear of PUBCOMP; the id is free by now, which v5 can say (section 3.7.2.1).
    world.client("sub").subscribes("a", qos=2)
    pub = kept(world, "pub", version).sends(Publish("a", b"x", 2, packet_id=7), PubRel(7)).drops().returns()
    (answer,) = pub.sends(PubRel(7)).got
    assert isinstance(answer, PubComp)
    assert answer.packet_id == 7
    assert pub.is_connected


@edge("S4")
@mqtt("MQTT-4.3.3-11")
@mqtt("MQTT-4.3.3-2", v3=True)
@each_version
def test_a_pubrel_of_an_id_never_seen_is_answered(world: World, version: int) -> None:
    client = world.client("c", version=version)
    (answer,) = client.sends(PubRel(9)).got
    assert isinstance(answer, PubComp)
    assert answer.packet_id == 9
    assert client.is_connected


@edge("S4")
def test_an_id_never_seen_is_called_so(engine: World) -> None:
    # Section 3.7.2.1 has the code 0x92 for it, and section 3.6.2.1 for a PUBREL; both may be left at 0x00.
    client = engine.client("c").sends(PubRel(9), PubRec(9))
    assert client.got == [PubComp(9, 0x92), PubRel(9, 0x92)]
    assert client.is_connected


@mqtt("MQTT-4.3.3-12")
@mqtt("MQTT-4.3.3-2", v3=True)
@each_version
@pytest.mark.parametrize("dup", [False, True])
def test_after_pubcomp_the_same_id_means_a_new_message(world: World, dup: bool, version: int) -> None:
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    for payload in (b"1", b"2", b"2"):
        pub.sends(Publish("a", payload, 2, dup=dup, packet_id=7), PubRel(7))
        assert pub.takes() == [PubRec(7), PubComp(7)]
    assert sub.payloads == [b"1", b"2", b"2"]


@edge("S8")
@mqtt("MQTT-4.3.3-13")
def test_the_handshake_goes_on_though_the_message_has_expired(engine: World) -> None:
    late = engine.client("late", session_expiry=60).subscribes("a", qos=2).drops()
    pub = kept(engine, "pub")
    lasting = Properties(message_expiry_interval=5)
    assert pub.sends(Publish("a", b"x", 2, packet_id=7, properties=lasting)).takes() == [PubRec(7)]
    engine.advance(10)
    lasting = Properties(message_expiry_interval=5)
    pub = pub.drops().returns().sends(Publish("a", b"x", 2, dup=True, packet_id=7, properties=lasting))
    assert pub.takes() == [PubRec(7)]
    assert pub.sends(PubRel(7)).takes() == [PubComp(7)]
    assert late.returns().got == []


@mqtt("MQTT-4.3.3-4", "MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-4.3.3-11")
@mqtt("MQTT-4.3.3-1", "MQTT-4.3.3-2", v3=True)
@each_version
def test_an_exchange_goes_on_wherever_the_connection_is_cut(world: World, version: int) -> None:
    sub = world.client("sub").subscribes("a", qos=2)
    pub = kept(world, "pub", version)
    for number in range(3):
        pub = pub.sends(Publish("a", b"%d" % number, 2, packet_id=7)).drops().returns()
        pub = pub.sends(Publish("a", b"%d" % number, 2, dup=True, packet_id=7)).drops().returns()
        pub = pub.sends(PubRel(7)).drops().returns()
        pub = pub.sends(PubRel(7)).drops().returns()
    assert sub.payloads == [b"0", b"1", b"2"]


# Packet ids


@edge("P2")
@each_version
@pytest.mark.parametrize("packet_id", ["0001", "00ff", "0100", "0101", "1234", "ff00", "ffff"])
def test_ids_of_two_bytes_come_back_in_their_order(world: World, packet_id: str, version: int) -> None:
    number = int(packet_id, 16)
    world.client("sub").subscribes("a")
    pub = world.client("pub", version=version)
    end = "00 78" if version == 5 else "78"  # no properties, and a payload
    size = "07" if version == 5 else "06"
    pub.sends_bytes(bytes.fromhex(f"32 {size} 0001 61 {packet_id} {end}"))
    pub.sends_bytes(bytes.fromhex(f"34 {size} 0001 61 {packet_id} {end}"))
    pub.sends_bytes(bytes.fromhex(f"62 02 {packet_id}"))
    assert pub.got == [PubAck(number), PubRec(number), PubComp(number)]


@edge("P2")
@each_version
def test_an_id_above_255_is_sent_with_its_high_byte_first(engine: World, version: int) -> None:
    sub = subscribed(engine, version)
    engine.engine.sessions["sub"].sender._last_id = 0x1233
    engine.client("pub").publishes("a", b"x", qos=2)
    assert sub.takes() == [Publish("a", b"x", 2, packet_id=0x1234)]
    assert sub.sends_bytes(bytes.fromhex("50 02 1234")).takes() == [PubRel(0x1234)]
    assert sub.sends_bytes(bytes.fromhex("70 02 1234")).drops().returns().got == []


@edge("P2")
@each_version
@pytest.mark.parametrize("packet", [PubAck(9), PubComp(9)])
def test_acknowledgements_of_unknown_ids_are_ignored(world: World, packet: Packet, version: int) -> None:
    client = world.client("c", version=version).sends(packet, PingReq())
    assert client.got == [PingResp()]
    assert client.is_connected


@edge("P2")
@mqtt("MQTT-4.3.3-4")
def test_a_pubrec_of_an_unknown_id_is_answered(world: World) -> None:
    # It may be one that comes again after a PUBCOMP of which the other side knows nothing.
    client = world.client("c")
    (answer,) = client.sends(PubRec(9)).got
    assert isinstance(answer, PubRel)
    assert answer.packet_id == 9
    assert client.is_connected


@edge("P2")
@each_version
def test_an_acknowledgement_of_one_message_is_none_of_another(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"x", qos=1)
    (message,) = sub.messages
    other = message.packet_id % MAX_PACKET_ID + 1
    sub = sub.sends(PubAck(other)).drops().returns()
    assert sub.got == [Publish("a", b"x", 1, dup=True, packet_id=message.packet_id)]


@edge("P2")
@mqtt("MQTT-2.2.1-3")
@mqtt("MQTT-2.3.1-1", v3=True)
@each_version
@pytest.mark.parametrize("first", ["32", "34"])
def test_id_0_is_an_error(world: World, first: str, version: int) -> None:
    sub = world.client("sub").subscribes("a")
    rest = "07 0001 61 0000 00 78" if version == 5 else "06 0001 61 0000 78"
    assert not world.client("pub", version=version).sends_bytes(bytes.fromhex(f"{first} {rest}")).is_connected
    assert sub.got == []
