"""What an engine knows that must outlive it, and the law: its records say the same.

Knows engines from inside, as no other part of the simulation does.
"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from telex import codes
from telex.engine.engine import Engine
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.queue import Outgoing
from telex.engine.records import Record, Unwilled
from telex.engine.restore import Restoration
from telex.engine.seams import Gate, Journal, Observer
from telex.engine.session import Session
from telex.wire.packets import Will
from telex.wire.properties import WILL, encode_property_list
from tests.simulation.store import Store

Known = dict[str, Any]
"""What is known, by what it is called."""


def differences(engine: Engine, all_records: list[Record], options: Options, done_until: float) -> list[str]:
    """Where an engine and one that is rebuilt from all its records differ; nowhere, if the law holds.

    Twice: from the records as they came, and from what they come to, as a store gives it back.

    Args:
        engine: the engine.
        all_records: since the beginning, of this engine and of those before it.
        options: their limits.
        done_until: the engine has done what was due by then. When its clients' connections
            end, it does much more; so they do for the engine that is rebuilt, and for this one
            it is computed here what that means for its sessions.
    """
    if any(_passes_on(session) for session in engine.sessions.values()):
        return []
    store = Store()
    store.add(all_records)
    known = _known(engine, store, done_until)
    found: list[str] = []
    for how, given_back in (("from all records", store.records), ("from the store", store.folded())):
        again, wills = _rebuilt(given_back, options, done_until)
        known_again = _known(again, store, done_until) | {"wills": wills}
        found.extend(f"{how}: {each}" for each in _compare("", known, known_again))
        found.extend(f"{how}: {each}" for each in _contradictions(again))
    found.extend(_contradictions(engine))
    return found


def _passes_on(session: Session) -> bool:
    """Whether a session is over with its connection, although it is recorded, and may have something for others."""
    return session.number > 0 and not session.is_kept and session.message_count > 0


def _rebuilt(given_back: list[Record], options: Options, now: float) -> tuple[Engine, Known]:
    """An engine that records give, and the wills, which would fall due at once, and so are taken away before."""
    engine = Engine(options, lambda: "", journal=Journal(), gate=Gate(), observer=Observer())
    restoration = Restoration(engine)
    for record in given_back:
        restoration.apply(record)
    wills = {client_id: _will(will) for client_id, will in restoration._wills.items()}
    for client_id in wills:
        restoration.apply(Unwilled(client_id))
    restoration.finish(now)
    return engine, wills


def _known(engine: Engine, store: Store, done_until: float) -> Known:
    return {
        "sessions": {
            client_id: _session(session, store, done_until)
            for client_id, session in engine.sessions.items()
            if session.is_kept
        },
        "wills": {
            client_id: _will(session.will) for client_id, session in engine.sessions.items() if session.will is not None
        },
        "retained": {message.topic: (*_message(message), message.publisher_id) for message in engine.retained.all()},
    }


def _session(session: Session, store: Store, done_until: float) -> Known:
    waiting = [_outgoing(each) for each in session.queue.waiting or () if each.packet_id == 0]
    if session.queue.stored:
        in_store = store.waiting(session.number, session.queue._stored_after)
        waiting += [(each.number, each.first, each.extra, each.shared, *_message(each.message)) for each in in_store]
    in_flight = session.sender.in_flight.values()
    is_away = session.client is None
    return {
        "number": session.number,
        "expiry interval": session.expiry_interval,
        "end": session.ends_at if is_away else session.expires_at(done_until),
        "time of its will": session.will_at if is_away else 0.0,
        "subscriptions": {
            topic_filter: (each.qos, each.no_local, each.retain_as_published, each.identifiers)
            for topic_filter, each in session.subscriptions.items()
        },
        "messages in flight": {each.packet_id: _outgoing(each) for each in in_flight},
        "order of those": [each.packet_id for each in in_flight if not each.is_released],
        "order of those that are released": [each.packet_id for each in in_flight if each.is_released],
        "waiting messages": waiting,
        "bytes that wait": session.queue.bytes,
        "count of messages": session.message_count,
        "owned packet ids": sorted(session.receiver.owned),
    }


def _outgoing(outgoing: Outgoing) -> tuple[object, ...]:
    return outgoing.number, outgoing.first, outgoing.extra, outgoing.shared, *_message(outgoing.message)


def _message(message: Message) -> tuple[object, ...]:
    properties = None if message.properties is None else encode_property_list(message.properties, codes.PUBLISH)
    # No properties are as good as none.
    return message.topic, message.payload, message.qos, message.retain, properties or None, message.expires_at


def _will(will: Will) -> tuple[object, ...]:
    properties = None if will.properties is None else encode_property_list(will.properties, WILL)
    return will.topic, will.payload, will.qos, will.retain, properties or None


def _compare(path: str, one: object, other: object) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            if key not in one or key not in other:
                yield f"{path}/{key} is {'not ' if key not in one else ''}there, and in the rebuilt one it is not so"
            else:
                yield from _compare(f"{path}/{key}", one[key], other[key])
    elif isinstance(one, list) and isinstance(other, list):
        for index, (each, again) in enumerate(zip_longest(one, other)):
            if each != again:
                yield f"{path}, number {index}, is {each!r}, and in the rebuilt one {again!r}"
                return
    elif one != other:
        yield f"{path} is {one!r}, and in the rebuilt one {other!r}"


def _contradictions(engine: Engine) -> Iterator[str]:
    """Where an engine's sums are not what they add up."""
    sessions = engine.sessions.values()
    sums = {
        "memory": (
            engine.surroundings.memory,
            sum(_memory(each.message) for session in sessions for each in _in_memory(session)),
        ),
        "subscriptions": (
            engine.subscriptions.count,
            sum(len(session.subscriptions) for session in sessions),
        ),
        "bytes of retained messages": (
            engine.retained.bytes,
            sum(_weight(message) for message in engine.retained.all()),
        ),
    }
    for session in sessions:
        waiting = [each for each in session.queue.waiting or () if each.packet_id == 0]
        queued_bytes = session.queue.stored_bytes + sum(len(each.message.payload) for each in waiting)
        sums[f"bytes that wait for {session.client_id}"] = session.queue.bytes, queued_bytes
    for name, (told, added) in sums.items():
        if told != added:
            yield f"{name}: {told}, and they are {added}"


def _in_memory(session: Session) -> list[Outgoing]:
    waiting = [each for each in session.queue.waiting or () if each.packet_id == 0]
    return [*session.sender.in_flight.values(), *waiting]


def _memory(message: Message) -> int:
    return 600 + _weight(message)


def _weight(message: Message) -> int:
    """What its payload and its properties take; those of any length."""
    said = message.properties
    if said is None:
        return len(message.payload)
    texts = [said.content_type or "", said.response_topic or "", said.correlation_data or b""]
    texts += [text for pair in said.user_properties for text in pair]
    return len(message.payload) + sum(map(len, texts))
