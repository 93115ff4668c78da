"""Folding: what the records of some turns leave to write, and what they do not."""

import pytest

from telex.engine import records
from telex.engine.message import Message
from telex.server.stores.changes import PACKET_IDS, Changes
from telex.wire.packets import Will

SESSION = 7
NAMES = (
    *("queued", "sent", "released", "done", "owned", "disowned"),
    *("sessions", "left", "ended", "subscriptions", "wills", "retained"),
)


def folded(*turns: list[records.Record]) -> Changes:
    """What is to be written after these turns."""
    changes = Changes()
    for turn in turns:
        changes.add(turn)
    return changes


def content(changes: Changes) -> dict[str, object]:
    """What is there, without what is empty."""
    found = {name: getattr(changes, name) for name in NAMES if getattr(changes, name)}
    assert changes.is_empty == (not found)
    return found


def queued(number: int, message: Message | None = None) -> records.Queued:
    return records.Queued(number, SESSION, message or Message("a", b"x", 1), 0x32, b"", "")


def subscribed(topic_filter: str, qos: int) -> records.Subscribed:
    return records.Subscribed(SESSION, topic_filter, qos, no_local=False, retain_as_published=False, identifier=0)


def test_at_first_there_is_nothing_to_write() -> None:
    assert content(folded()) == {}
    assert content(folded([])) == {}


# Messages


def test_a_message_that_comes_and_goes_leaves_nothing() -> None:
    assert content(folded([queued(1), records.Done(1)])) == {}
    assert content(folded([queued(1)], [records.Sent(1, 5)], [records.Done(1)])) == {}
    assert content(folded([queued(1), records.Sent(1, 5), records.Released(1, 5), records.Done(1)])) == {}


def test_a_message_that_waits_is_a_row() -> None:
    first, second = queued(1), queued(2)
    assert content(folded([first], [second])) == {"queued": {1: first, 2: second}}


def test_a_message_that_was_sent_is_two_rows() -> None:
    record = queued(1)
    assert content(folded([record, records.Sent(1, 5)])) == {"queued": {1: record}, "sent": {1: 5}}


def test_a_message_that_was_there_before_and_is_done_is_a_row_less() -> None:
    assert content(folded([records.Done(1)])) == {"done": [1]}
    assert content(folded([records.Sent(1, 5)], [records.Released(1, 5)], [records.Done(1)])) == {"done": [1]}


def test_what_is_released_stands_in_the_order_of_its_pubrecs() -> None:  # [MQTT-4.6.0-4]
    sent = [records.Sent(number, number + 10) for number in (1, 2, 3)]
    changes = folded([*sent, records.Released(3, 13)], [records.Released(1, 11)], [records.Released(2, 12)])
    assert list(changes.released.items()) == [(3, 13), (1, 11), (2, 12)]


def test_one_of_many_is_done() -> None:
    """The same message for two sessions: each has its own way."""
    message = Message("a", b"x", 1)
    stays = queued(2, message)
    assert content(folded([queued(1, message), stays, records.Done(1)])) == {"queued": {2: stays}}


# Packet ids that came in


def owned(packet_id: int) -> records.Owned:
    return records.Owned(SESSION, packet_id)


def disowned(packet_id: int) -> records.Disowned:
    return records.Disowned(SESSION, packet_id)


def test_an_id_that_comes_and_goes_leaves_nothing() -> None:
    assert content(folded([owned(1), disowned(1)])) == {}
    assert content(folded([owned(1)], [disowned(1)], [owned(1)], [disowned(1)])) == {}


def test_an_id_that_goes_and_comes_leaves_the_row_that_is_there() -> None:
    assert content(folded([disowned(1), owned(1)])) == {}
    assert content(folded([disowned(1)], [owned(1)], [disowned(1)])) == {"disowned": {SESSION * PACKET_IDS + 1: None}}


def test_ids_of_different_sessions_are_different() -> None:
    changes = folded([records.Owned(1, 65_535), records.Owned(2, 1), records.Disowned(3, 65_535)])
    assert list(changes.owned) == [PACKET_IDS + 65_535, 2 * PACKET_IDS + 1]
    assert list(changes.disowned) == [3 * PACKET_IDS + 65_535]


# Sessions


def test_a_session_is_as_it_was_kept_last() -> None:
    last = records.SessionKept(SESSION, "c", 90)
    assert content(folded([records.SessionKept(SESSION, "c", 60)], [last])) == {"sessions": {SESSION: last}}


def test_a_session_is_left_until_its_client_is_back() -> None:
    left = records.SessionLeft(SESSION, 1_000.0, 0.0)
    again = records.SessionLeft(SESSION, 2_000.0, 10.0)
    kept = records.SessionKept(SESSION, "c", 60)
    assert content(folded([left])) == {"left": {SESSION: left}}
    assert content(folded([left], [again])) == {"left": {SESSION: again}}
    assert content(folded([left], [kept])) == {"sessions": {SESSION: kept}}
    assert content(folded([kept, left])) == {"sessions": {SESSION: kept}, "left": {SESSION: left}}


def test_a_session_that_ended_is_to_be_cleared_away() -> None:
    """Even if it began in the same turn: what it received may be among the rows to be written."""
    kept, left = records.SessionKept(SESSION, "c", 60), records.SessionLeft(SESSION, 1_000.0, 0.0)
    assert content(folded([kept, left, records.SessionEnded(SESSION)])) == {"ended": [SESSION]}
    assert content(folded([kept], [records.SessionEnded(SESSION)])) == {"ended": [SESSION]}


def test_the_session_after_one_that_ended_stays() -> None:
    later = records.SessionKept(SESSION + 1, "c", 60)
    changes = folded([records.SessionKept(SESSION, "c", 60), records.SessionEnded(SESSION), later])
    assert content(changes) == {"ended": [SESSION], "sessions": {SESSION + 1: later}}


# Subscriptions, wills, retained messages: what was said last holds


def test_a_subscription_is_as_it_was_made_last() -> None:
    last, other = subscribed("a", 2), subscribed("b", 1)
    changes = folded([subscribed("a", 1), other], [last])
    assert content(changes) == {"subscriptions": {(SESSION, "a"): last, (SESSION, "b"): other}}


def test_a_subscription_that_was_dropped_is_to_be_deleted() -> None:
    changes = folded([subscribed("a", 1)], [records.Unsubscribed(SESSION, "a")])
    assert content(changes) == {"subscriptions": {(SESSION, "a"): None}}
    again = subscribed("a", 2)
    changes.add([again])
    assert content(changes) == {"subscriptions": {(SESSION, "a"): again}}


def test_a_will_is_the_one_that_was_left_last() -> None:
    first, second = Will("w", b"1"), Will("w", b"2")
    changes = folded([records.Willed("c", first)], [records.Willed("c", second), records.Willed("d", first)])
    assert content(changes) == {"wills": {"c": second, "d": first}}
    changes.add([records.Unwilled("c")])
    assert content(changes) == {"wills": {"c": None, "d": first}}


def test_the_last_retained_message_of_a_topic_wins() -> None:
    first, second = Message("a", b"1", retain=True), Message("a", b"2", retain=True)
    changes = folded([records.Retain(first)], [records.Retain(second)])
    assert content(changes) == {"retained": {"a": second}}
    changes.add([records.Unretain("a")])
    assert content(changes) == {"retained": {"a": None}}
    changes.add([records.Retain(first)])
    assert content(changes) == {"retained": {"a": first}}


def test_what_a_store_says_itself_is_not_for_it_to_write() -> None:
    with pytest.raises(TypeError, match="Stored is no record that a store writes"):
        folded([records.Stored(SESSION, 1, 1, 1)])
