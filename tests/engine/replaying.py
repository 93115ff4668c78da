"""The law that replaying the records gives an equal broker, for the tests that hold any life of a broker against it."""

from typing import Any

from telex.engine import records
from telex.engine.engine import Engine
from telex.engine.options import Options
from telex.engine.queue import Outgoing
from telex.engine.records import Record
from telex.engine.seams import Gate, Journal, Observer
from telex.engine.session import Session
from tests.engine.world import restore


def restored(options: Options, kept: list[Record], now: float) -> Engine:
    """An engine that has just begun, with what records tell."""
    engine = Engine(options, str, journal=Journal(), gate=Gate(), observer=Observer())
    restore(engine, kept, now)
    return engine


def without_wills(kept: list[Record]) -> list[Record]:
    """All that changes nothing when it comes back."""
    return [record for record in kept if not isinstance(record, records.Willed | records.Unwilled)]


def way_of(outgoing: Outgoing) -> tuple[object, ...]:
    """What there is to know of a message on its way; the message itself is the same object in its records."""
    return (
        outgoing.number,
        outgoing.packet_id,
        outgoing.is_released,
        outgoing.first,
        outgoing.extra,
        outgoing.shared,
        id(outgoing.message),
    )


def memory_of(session: Session, now: float) -> dict[str, Any]:
    """What a kept session knows that must outlive the process; as if its client had left now."""
    ends_at, will_at = session.ends_at, session.will_at
    if session.client is not None:
        ends_at, will_at = session.expires_at(now), 0.0
    return {
        "number": session.number,
        "expiry": session.expiry_interval,
        "ends at": ends_at,
        "will at": will_at,
        "subscriptions": {
            name: (each.qos, each.no_local, each.retain_as_published, each.identifiers, each.extra)
            for name, each in session.subscriptions.items()
        },
        "in flight": [way_of(each) for each in session.sender.in_flight.values()],
        "waiting": [way_of(each) for each in session.queue.waiting or () if each.packet_id == 0],
        "bytes": session.queue.bytes,
        "owned": list(session.receiver.owned),
    }


class Snapshot:
    """What an engine knew when a turn was over."""

    def __init__(self, engine: Engine, count: int, now: float) -> None:
        self.count = count  # of records by then
        self.now = now
        sessions = [each for each in engine.sessions.values() if each.is_kept]
        self.sessions = {each.client_id: memory_of(each, now) for each in sessions}
        self.retained = {message.topic: id(message) for message in engine.retained.all()}
        self.subscribed = sum(len(each.subscriptions) for each in sessions)
        self.last_numbers = (engine.last_session, engine.surroundings.last_message)


def check_turn(options: Options, kept: list[Record], snapshot: Snapshot) -> None:
    """Who has the records of a turn and all before it knows what the engine knew then."""
    engine = restored(options, without_wills(kept), snapshot.now)
    found = {each.client_id: memory_of(each, snapshot.now) for each in engine.sessions.values()}
    for memory in (*found.values(), *snapshot.sessions.values()):
        memory["will at"] = 0.0  # there are none here
    assert found == snapshot.sessions
    assert {message.topic: id(message) for message in engine.retained.all()} == snapshot.retained
    assert engine.subscriptions.count == snapshot.subscribed
    assert (engine.last_session, engine.surroundings.last_message) == snapshot.last_numbers
