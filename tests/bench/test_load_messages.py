"""What a publisher sends and a subscriber takes in, without anything in between but a test that cuts and changes it."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.bench.counts import Counts
from telex.bench.receiver import Receiver
from telex.bench.ring import STAMP, Form, Ring
from telex.bench.schedule import Schedule
from telex.bench.sender import NUMBERS, Sender
from telex.bench.track import Track
from telex.errors import ProtocolError
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    Packet,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
)
from telex.wire.properties import Properties, encode_property_list

KEY = 0x12345678
SEEDS = st.integers(0, 1_000_000)
LATER = 10_000_000_000  # nanoseconds: a time that a clock may show


def form(qos: int = 0, version: int = 4, topics: int = 1, size: int = 40, **more: object) -> Form:
    names = [f"bench/0/{each}".encode() for each in range(topics)]
    return Form(KEY, names, size, qos=qos, retain=False, version=version, **more)  # type: ignore[arg-type]


def sender(like: Form, length: int = 64, every: int = 8, ahead: int = 30) -> Sender:
    ring = Ring(like, length, every) if length else None
    return Sender(like, Counts(), ring, ahead=ahead, every=every)


def receiver(modulus: int, ring: Ring | None = None, version: int = 4) -> tuple[Receiver, Track, Counts]:
    track, counts = Track(0, modulus, ring=ring), Counts()
    return Receiver(counts, version, {KEY: track}), track, counts


def packets(data: bytes, version: int = 4) -> list[Packet]:
    decoder = Decoder(version=version)
    decoder.receive(data)
    return list(iter(decoder.next_packet, None))


def taken(source: Sender, count: int) -> bytes:
    """What a publisher sends, if everything arrives at once."""
    data = b""
    track = Track(0, source.modulus)
    source.tracks = [track]
    while source.sent < count:
        some = source.take(1, LATER)
        assert some is not None
        data += some
        source.acknowledged = track.next = source.sent
        if source.form.qos:
            _acknowledge_all(source)
    return data


def _acknowledge_all(source: Sender) -> None:
    source._in_flight[:] = bytes(len(source._in_flight))


# What leaves


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("length", [64, 0])
def test_messages_say_who_sent_them_their_number_and_when(version: int, length: int) -> None:
    source = sender(form(version=version, topics=3), length)
    source.ahead = 10
    data = source.take(1, LATER)
    assert data is not None
    found = packets(bytes(data), version)
    assert [each.topic for each in found] == [f"bench/0/{each % 3}" for each in range(10)]
    stamps = [(each.payload[:4], each.payload[4:8], each.payload[8:16]) for each in found]
    time = LATER.to_bytes(8, "big")
    expected = [
        (KEY.to_bytes(4, "big"), each.to_bytes(4, "big"), time if each % 8 == 0 else bytes(8)) for each in range(10)
    ]
    assert stamps == expected
    assert {len(each.payload) for each in found} == {40}


@pytest.mark.parametrize("length", [64, 0])
def test_nobody_is_further_ahead_than_allowed(length: int) -> None:
    source = sender(form(), length)
    fast, slow = Track(0, source.modulus), Track(0, source.modulus)
    source.tracks = [fast, slow]
    assert source.take(1, LATER) is not None
    assert (source.sent, source.take(1, LATER)) == (30, None)
    fast.note_row(30)
    assert source.take(1, LATER) is None
    slow.note_row(5)
    assert source.take(6, LATER) is None  # five are not worth a write
    assert source.take(5, LATER) is not None
    assert source.sent == 35
    slow.is_over = True  # nobody waits for it any more
    assert source.take(1, LATER) is not None
    assert source.sent == 60


def test_another_process_holds_it_back_too() -> None:
    source = sender(form())
    source.elsewhere = 0
    assert source.take(1, LATER) is not None
    assert source.take(1, LATER) is None
    source.elsewhere = 20
    assert source.take(1, LATER) is not None
    assert source.sent == 50


def test_nothing_leaves_when_it_is_stopped() -> None:
    source = sender(form())
    source.is_stopped = True
    assert source.take(1, LATER) is None


@pytest.mark.parametrize("length", [64, 0])
def test_topic_aliases_are_introduced_once(length: int) -> None:
    source = sender(form(version=5, topics=3, aliases=2), length)
    found = packets(taken(source, 70), 5)
    named = [each.topic for each in found]
    assert named[:3] == ["bench/0/0", "bench/0/1", "bench/0/2"]
    assert set(named[3:]) == {"", "bench/0/2"}
    aliases = [each.properties.topic_alias for each in found if each.properties is not None]
    assert set(aliases) == {1, 2}
    assert found[0].properties == Properties(topic_alias=1)


def test_user_properties_are_in_each_message() -> None:
    both = Properties(user_properties=(("a", "b"), ("c", "d")))
    source = sender(form(version=5, properties=encode_property_list(both, 3)))
    assert {packet.properties for packet in packets(taken(source, 20), 5)} == {both}


@pytest.mark.parametrize("size", [16, 1_000, 70_000])
def test_the_largest_packet_is_told_beforehand(size: int) -> None:
    like = form(qos=1, version=5, topics=12, size=size, aliases=12)
    sizes = [len(like.packet(each, each, each + 1, 0, introduces=True)) for each in range(12)]
    assert max(sizes) == like.largest()


# Acknowledgements


@pytest.mark.parametrize("length", [64, 0])
def test_qos_1_goes_on_as_acknowledgements_come(length: int) -> None:
    source = sender(form(qos=1), length)
    ids: list[int] = []
    for _ in range(40):
        while (data := source.take(1, LATER)) is not None:
            ids += [each.packet_id for each in packets(bytes(data)) if isinstance(each, Publish)]
        some, ids = ids[:7], ids[7:]
        assert source.receive(b"".join(encode(PubAck(each), 4) for each in some)) == b""
        assert source.sent - source.acknowledged <= 30
    assert source.acknowledged == 280
    assert not source.is_clear


@pytest.mark.parametrize("length", [64, 0])
def test_qos_2_is_a_conversation(length: int) -> None:
    source = sender(form(qos=2), length)
    data = source.take(1, LATER)
    assert data is not None
    ids = [each.packet_id for each in packets(bytes(data)) if isinstance(each, Publish)]
    answer = source.receive(b"".join(encode(PubRec(each), 4) for each in ids))
    assert packets(answer) == [PubRel(each) for each in ids]
    assert source.acknowledged == 0
    assert source.receive(b"".join(encode(PubComp(each), 4) for each in ids)) == b""
    assert source.acknowledged == len(ids) == 30
    assert source.is_clear


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([1, 2]))
def test_acknowledgements_may_come_in_any_order_and_be_cut_anywhere(seed: int, qos: int) -> None:
    chance = random.Random(seed)
    source = sender(form(qos=qos))
    open_, released = [], []
    for _ in range(30):
        while (data := source.take(1, LATER)) is not None:
            open_ += [each.packet_id for each in packets(bytes(data)) if isinstance(each, Publish)]
        if chance.random() < 0.5:
            chance.shuffle(open_)
        kind: type[PubAck] | type[PubRec] = PubAck if qos == 1 else PubRec
        some, open_ = open_[:9], open_[9:]
        answers = b"".join(encode(kind(each), 4) for each in some)
        answers += encode(PingResp(), 4) + b"".join(encode(PubComp(each), 4) for each in released)
        cut = chance.randrange(len(answers))
        reply = source.receive(answers[:cut]) + source.receive(answers[cut:])
        released = [each.packet_id for each in packets(reply) if isinstance(each, PubRel)]
        assert sorted(released) == (sorted(some) if qos == 2 else [])
    assert source.acknowledged + len(open_) + len(released) == source.sent
    assert b"".join(source.others) == encode(PingResp(), 4) * 30


@pytest.mark.parametrize(
    ("qos", "wrong"),
    [(1, PubAck(31)), (1, PubAck(64)), (1, PubAck(65)), (1, PubRec(1)), (2, PubAck(1)), (2, PubComp(40))],
)
def test_what_is_not_in_flight_cannot_be_acknowledged(qos: int, wrong: Packet) -> None:
    source = sender(form(qos=qos))
    source.take(1, LATER)
    with pytest.raises(ProtocolError):
        source.receive(encode(wrong, 4))


def test_a_refusal_is_an_answer_and_is_counted() -> None:
    counts = Counts()
    source = Sender(form(qos=2, version=5), counts, None, ahead=3, every=1)
    source.take(1, LATER)
    assert source.receive(encode(PubRec(1, 0x97), 5)) == b""
    assert (counts.denied, source.acknowledged) == (1, 1)


@pytest.mark.parametrize(("length", "qos"), [(64, 1), (0, 1), (64, 2), (0, 2)])
def test_acknowledgements_are_timed_where_nobody_sees_messages_arrive(length: int, qos: int) -> None:
    counts = Counts()
    like = form(qos=qos)
    source = Sender(like, counts, Ring(like, length, 8) if length else None, ahead=30, every=8, times_answers=True)
    for _ in range(3):
        while (data := source.take(1, LATER)) is not None:
            ids = [each.packet_id for each in packets(bytes(data)) if isinstance(each, Publish)]
            if qos == 2:
                source.receive(b"".join(encode(PubRec(each), 4) for each in ids))
            assert counts.latency.count == sum(each % (length or 1_000) % 8 == 0 for each in range(source.acknowledged))
            last: type[PubAck] | type[PubComp] = PubAck if qos == 1 else PubComp
            source.receive(b"".join(encode(last(each), 4) for each in ids))
            if source.sent > 200:
                return


def test_a_slow_acknowledgement_does_not_have_its_packet_id_used_again() -> None:
    source = sender(form(qos=1), length=40, ahead=30)
    source.take(1, LATER)
    source.receive(b"".join(encode(PubAck(each), 4) for each in range(2, 31)))
    used: list[int] = []
    while (data := source.take(1, LATER)) is not None:
        found = [each.packet_id for each in packets(bytes(data)) if isinstance(each, Publish)]
        used += found
        source.receive(b"".join(encode(PubAck(each), 4) for each in found))
    assert used == list(range(31, 41))  # 1 is still in flight


# What comes


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([4, 5]), st.sampled_from([1, 3]), st.booleans())
def test_all_is_received_however_it_is_cut(seed: int, version: int, topics: int, knows: bool) -> None:
    chance = random.Random(seed)
    like = form(version=version, topics=topics)
    source = sender(like)
    target, track, counts = receiver(64, Ring(like, 64, 8) if knows else None, version)
    data = taken(source, 900)
    while data:
        cut = chance.randrange(1, 9_000)
        assert target.receive(data[:cut]) == b""
        data = data[cut:]
    assert (track.got, track.next, track.duplicated, track.misordered) == (source.sent, source.sent, 0, 0)
    assert counts.received == source.sent
    assert counts.received_bytes == source.sent * 40
    assert counts.latency.count == sum(each % 64 % 8 == 0 for each in range(source.sent))
    assert target.others == []


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.booleans())
def test_what_is_lost_repeated_or_late_is_found_whatever_lies_in_between(seed: int, knows: bool) -> None:
    chance = random.Random(seed)
    like = form()
    target, track, counts = receiver(64, Ring(like, 64, 8) if knows else None)
    messages = [encode(each, 4) for each in packets(taken(sender(like), 200))]
    lost, twice, late = chance.sample(range(1, 190), 3)
    order = [each for each in range(len(messages)) if each not in (lost, late)]
    order.insert(order.index(late + 2 if late + 2 != lost else late + 3) + 1, late)
    order.insert(order.index(twice) + chance.randrange(1, 4), twice)
    kept = [messages[each] for each in order]
    kept.insert(chance.randrange(len(kept)), encode(PingResp(), 4))
    for each in chunks(b"".join(kept), chance):
        target.receive(each)
    assert track.next == len(messages)
    assert track.got == len(messages) - 1
    assert (track.duplicated, track.misordered) == (1, 1)
    assert counts.received == len(messages)
    assert target.others == [encode(PingResp(), 4)]


def chunks(data: bytes, chance: random.Random) -> Iterator[bytes]:
    while data:
        cut = chance.randrange(1, 3_000)
        yield data[:cut]
        data = data[cut:]


@pytest.mark.parametrize(("qos", "answer"), [(1, PubAck), (2, PubRec)])
def test_all_that_one_read_brought_is_acknowledged_at_once(qos: int, answer: type[PubAck] | type[PubRec]) -> None:
    target, track, _ = receiver(64)
    like = form(qos=qos)
    ids = [5, 6, 7, 65_535, 1, 9]
    data = b"".join(like.packet(index, index, packet_id, 0) for index, packet_id in enumerate(ids))
    assert packets(target.receive(data)) == [answer(each) for each in ids]
    assert track.got == 6
    if qos == 2:
        released = target.receive(b"".join(encode(PubRel(each), 4) for each in ids))
        assert packets(released) == [PubComp(each) for each in ids]


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("version", [4, 5])
def test_large_messages_are_counted_when_they_are_whole(qos: int, version: int) -> None:
    target, track, counts = receiver(NUMBERS, version=version)
    data = b"".join(form(qos=qos, version=version, size=100_000).packet(each, each, each + 1, 0) for each in range(3))
    answers = b""
    for start in range(0, len(data) - 1, 5_000):
        answers += target.receive(data[start : min(start + 5_000, len(data) - 1)])
    assert (track.got, counts.received) == (2, 2)
    answers += target.receive(data[-1:])
    assert (track.got, counts.received, counts.received_bytes) == (3, 3, 300_000)
    assert packets(answers) == ([PubAck(each) for each in (1, 2, 3)] if qos else [])


def test_messages_of_others_are_counted_apart_and_acknowledged() -> None:
    target, track, counts = receiver(64)
    data = encode(Publish("a", b"x" * 40, 1, packet_id=3), 4) + encode(Publish("a", b"short"), 4)
    assert packets(target.receive(data)) == [PubAck(3)]
    assert (counts.received, counts.foreign, track.got) == (0, 2, 0)


def test_what_was_retained_before_is_nobodys() -> None:
    target, _, counts = receiver(64)
    target.receive(encode(Publish("a", b"x" * 40, retain=True), 4))
    assert (counts.received, counts.foreign) == (0, 0)


def test_a_subscriber_who_knows_no_publisher_counts_whatever_comes() -> None:
    counts = Counts()
    target = Receiver(counts, 5, None)
    other = Publish("a/b", b"x", 1, packet_id=3, properties=Properties(content_type="y" * 300))
    assert packets(target.receive(encode(other, 5) + encode(Publish("a"), 5)), 5) == [PubAck(3)]
    assert (counts.received, counts.received_bytes) == (2, 1)


def test_answers_to_what_was_asked_are_left_to_others() -> None:
    target, _, _ = receiver(64)
    answer = encode(SubAck(65_535, [0]), 4)
    target.receive(answer[:2])
    target.receive(answer[2:])
    assert target.others == [answer]


@pytest.mark.parametrize(
    "data", [b"\x30\x02\x00\x05", b"\x32\x04\x00\x01a\x00", b"\x36\x06\x00\x01a\x00\x01x", b"\x30\xff\xff\xff\xff\xff"]
)
def test_what_is_no_mqtt_is_an_error(data: bytes) -> None:
    target, _, _ = receiver(64)
    with pytest.raises(ProtocolError):
        target.receive(data)


def test_the_times_of_messages_are_counted() -> None:
    target, _, counts = receiver(64)
    target.receive(form().packet(0, 0, 0, LATER))
    assert counts.latency.count == 1
    assert STAMP == 16


# When something is due


def test_messages_are_due_by_turns_at_equal_distances() -> None:
    senders = [sender(form(), length=0) for _ in range(2)]
    schedule = Schedule(senders, 1_000.0, 5_000_000)
    assert schedule.advance(4_999_999) == []
    assert schedule.advance(7_000_000) == senders
    assert [list(each.due) for each in senders] == [[5_000_000, 7_000_000], [6_000_000]]
    assert schedule.next == 8_000_000


def test_at_a_high_rate_several_are_due_at_once() -> None:
    one = sender(form(), length=0)
    schedule = Schedule([one], 100_000.0, 0)
    schedule.advance(999_999)
    assert set(one.due) == {0, 250_000, 500_000, 750_000}
    assert len(one.due) == 76
    schedule.advance(1_000_000_000)
    assert len(one.due) == 100_001


def test_what_was_due_leaves_with_that_time_however_late() -> None:
    one = sender(form(qos=1), length=0)
    one.due.extend([LATER, LATER + 1, LATER + 2])
    data = one.take_due(2)
    assert data is not None
    times = [int.from_bytes(each.payload[8:16], "big") for each in packets(data) if isinstance(each, Publish)]
    assert times == [LATER, LATER + 1]  # the broker takes no more at a time
    assert one.take_due(2) is None
    one.receive(encode(PubAck(1), 4))
    assert one.take_due(2) is not None
    assert list(one.due) == []
