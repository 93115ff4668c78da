"""The REST API of a broker: all its operations, and those about the broker itself.

Knows the broker by what it offers (``house.py``). Knows no socket and no cookie: ``http_port.py`` says who asks.
"""

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from telex import version
from telex.server.config import Listener, doorkeeping
from telex.server.events import Happening, Line
from telex.server.toml import LIMITS, without_secrets
from telex.server.web import types
from telex.server.web.bridges import BridgeOperations
from telex.server.web.clients import Clients
from telex.server.web.house import House
from telex.server.web.listing import all_sessions, connection_of, number_of, token_of
from telex.server.web.messages import Messages
from telex.server.web.operations import Asked, admin, get, time_of
from telex.server.web.resources import memory


class Api:
    """The operations of one broker.

    Args:
        house: the broker.
        listener: tells as what listener people come in here.
    """

    def __init__(self, house: House, listener: Callable[[], Listener]) -> None:
        self._house = house
        self._listener = listener
        page = types.Page
        self.operations = [
            get("/me", "Who asks", types.Me, self._me),
            get("/broker", "The broker, its limits and its counters", types.BrokerInfo, self._broker),
            *Messages(house, listener).operations,
            *Clients(house).operations,
            *BridgeOperations(house).operations,
            admin("/events", "What happened lately", page[types.EventInfo], self._events, types.EventQuery),
            admin("/log", "The last lines of the log", page[types.LineInfo], self._log, types.LineQuery),
            admin("/configuration", "All settings; secrets are hidden", dict[str, Any], self._configuration),
        ]

    async def _me(self, asked: Asked) -> types.Me:
        caller = asked.caller
        token = None if caller.login is None else caller.login.token
        prefixes = doorkeeping(self._house.config, self._listener()).client_id_prefixes
        place = types.Place("/mqtt", prefixes[0] if prefixes else UNSET)
        return types.Me(caller.user, caller.is_administrator, token, place)

    async def _broker(self, asked: Asked) -> types.BrokerInfo:
        house = self._house
        now = house.now()
        journal = house.engine.journal
        waiting = 0
        clients: dict[str, int] = {}
        async for session in all_sessions(self._house.engine):
            waiting += session.message_count
            connection = connection_of(session)
            if connection is not None:
                clients[connection.visit.listener] = clients.get(connection.visit.listener, 0) + 1
        return types.BrokerInfo(
            name="Telex",
            version=version.__version__,
            compiled=version.COMPILED,
            started=time_of(house.started_at),
            uptime=int(now - house.started_at),
            store="failing" if journal.is_failing else "ok" if journal.gives_back else "memory",
            listeners=[
                types.ListenerInfo(
                    address=_web_address(address) if entry.is_http_port else address,
                    protocol="http" if entry.is_http_port else entry.listener.protocol,
                    tls=entry.listener.tls is not None or entry.listener.psk is not None,
                    clients=clients.get(name, 0) if number == 0 else 0,
                )
                for name, entry in house.reception.entrances.items()
                for number, address in enumerate(entry.addresses)
            ],
            limits={name: getattr(house.engine.options, name) for name in LIMITS},
            statistics=self._statistics(now),
            memory=memory(),
            queue=types.QueueInfo(waiting, house.engine.surroundings.memory),
        )

    def _statistics(self, now: float) -> types.Statistics:
        house = self._house
        engine, stats, counts = house.engine, house.engine.stats, house.guard.counts
        house.turns.watch(now, stats.publish_received, stats.publish_bytes_received)
        return types.Statistics(
            clients=stats.clients_connected,
            sessions=len(engine.sessions),
            subscriptions=engine.subscriptions.count,
            shared_subscriptions=engine.subscriptions.shared_count,
            retained=engine.retained.count,
            retained_bytes=engine.retained.bytes,
            connections=stats.connections_opened,
            messages_received=stats.publish_received,
            messages_sent=stats.publish_sent,
            bytes_received=stats.bytes_received,
            bytes_sent=stats.bytes_sent,
            dropped=stats.publish_dropped,
            refused=counts.refused,
            bans=counts.bans,
            rates=types.TotalRates(*(round(each, 3) for each in house.rates.of(6))),
            latency=types.Latency(house.turns.percentile(0.5), house.turns.percentile(0.99)),
        )

    async def _configuration(self, asked: Asked) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(without_secrets(self._house.config))
        shown["limits"] = {**LIMITS, **shown["limits"]}
        return shown

    # What happened

    async def _events(self, asked: Asked) -> types.Page[types.EventInfo]:
        query = asked.query
        assert isinstance(query, types.EventQuery)
        before = number_of(query.after)
        events = [
            each
            for each in self._house.events.all()
            if (query.kind is None or each.kind == query.kind) and (before is None or each.number < before)
        ]
        found = events[: query.limit]
        more = token_of(str(found[-1].number)) if len(events) > query.limit else None
        return types.Page([_shown_event(each) for each in found], more)

    async def _log(self, asked: Asked) -> types.Page[types.LineInfo]:
        query = asked.query
        assert isinstance(query, types.LineQuery)
        before = number_of(query.after)
        lines = [
            each
            for each in self._house.log_tail.lines(logging.getLevelNamesMapping()[query.level.upper()])
            if before is None or each.number < before
        ]
        found = lines[: query.limit]
        more = token_of(str(found[-1].number)) if len(lines) > query.limit else None
        return types.Page([_shown_line(each) for each in found], more)


# How things are shown


def _web_address(address: str) -> str:
    scheme, _, place = address.partition("://")
    return f"{'https' if scheme == 'wss' else 'http'}://{place}"


def _shown_event(event: Happening) -> types.EventInfo:
    kind: Any = event.kind
    return types.EventInfo(
        time=time_of(event.at),
        kind=kind,
        client_id=event.client_id or None,
        user=event.user or None,
        address=event.address or None,
        why=event.why,
        rule=event.rule or None,
        count=event.count,
    )


def _shown_line(line: Line) -> types.LineInfo:
    return types.LineInfo(time_of(line.at), line.level, line.text)
