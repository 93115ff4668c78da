"""The API's operations about clients: who is connected, sessions, subscriptions, and bans."""

import asyncio
import ipaddress
import logging
from collections.abc import Mapping
from heapq import nsmallest
from typing import Final

from telex import topics
from telex.codes import MQTT_3_1, MQTT_3_1_1, MQTT_5, NEVER_EXPIRES, ReasonCode
from telex.engine.bridge import BridgeConnection
from telex.engine.connection import Connection
from telex.engine.end import End
from telex.engine.session import Session, Subscription
from telex.server.access.rules import covers
from telex.server.bans import MOST, Ban
from telex.server.bridge_status import BridgeStatus
from telex.server.log import Event, tell
from telex.server.web import types
from telex.server.web.house import House
from telex.server.web.listing import (
    SLICE,
    all_sessions,
    connection_of,
    first_after,
    key_of,
    token_of,
    turn,
)
from telex.server.web.logins import Caller
from telex.server.web.operations import Asked, Operation, admin, by, end, time_of
from telex.server.web.problems import Refusal

_VERSIONS: Final = {MQTT_3_1: "3.1", MQTT_3_1_1: "3.1.1", MQTT_5: "5.0"}


class Clients:
    """Clients of one broker.

    Args:
        house: the broker.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._tasks: set[asyncio.Task[None]] = set()
        page = types.Page
        self.operations = [
            admin(
                "/clients", "Who is connected: clients and bridges", page[types.ClientInfo], self._clients, types.Paged
            ),
            admin("/clients/{id}", "One who is connected", types.ClientInfo, self._client),
            end("/clients/{id}", "Disconnect a client", self._disconnect, types.Disconnection),
            admin("/sessions", "Sessions", page[types.SessionInfo], self._sessions, types.Paged),
            end("/sessions/{id}", "End a session, and the connection of its client", self._end_session),
            admin(
                "/subscriptions",
                "Subscriptions",
                page[types.SubscriptionInfo],
                self._subscriptions,
                types.SubscriptionQuery,
            ),
            admin("/bans", "Bans", page[types.BanInfo], self._bans, types.Paged),
            Operation(
                "POST",
                "/bans",
                "Ban an address, a client id or a user",
                types.BanInfo,
                self._ban,
                body=types.BanRequest,
                status=201,
                for_administrators=True,
            ),
            end("/bans/{id}", "Lift a ban", self._unban),
        ]

    async def _clients(self, asked: Asked) -> types.Page[types.ClientInfo]:
        query = asked.query
        assert isinstance(query, types.Paged)
        sessions = self._house.engine.sessions
        found: list[types.ClientInfo] = []

        def is_connected(client_id: str) -> bool:
            session = sessions.get(client_id)
            return session is not None and session.client is not None

        keys = await first_after(list(sessions), key_of(query.after), query.limit + 1, is_connected)
        bridges = self._bridges()
        for client_id in keys[: query.limit]:
            session = sessions.get(client_id)
            connection = None if session is None else connection_of(session)
            if session is not None and connection is not None:  # otherwise it has left meanwhile
                found.append(self._shown_client(session, connection, bridges))
        return types.Page(found, _next(keys, query.limit))

    async def _client(self, asked: Asked) -> types.ClientInfo:
        session, connection = self._connected(asked.name)
        return self._shown_client(session, connection, self._bridges())

    async def _disconnect(self, asked: Asked) -> None:
        query = asked.query
        assert isinstance(query, types.Disconnection)
        _, connection = self._connected(asked.name)
        if query.ban is not None:
            if isinstance(connection, BridgeConnection):
                raise Refusal(409, "That is a bridge of ours: it does not come in, and cannot be kept out.")
            self._begin_ban(Ban("", asked.name, "", self._house.now() + query.ban, by(asked.caller)))
        self._send_away(connection, asked.caller)

    def _connected(self, client_id: str) -> tuple[Session, End]:
        session = self._house.engine.sessions.get(client_id)
        connection = None if session is None else connection_of(session)
        if session is None or connection is None:
            raise Refusal(404, f"No client {topics.shown(client_id)} is connected.")
        return session, connection

    def _bridges(self) -> dict[str, BridgeStatus]:
        """Bridges by the client ids of their sessions here."""
        return {each.local_client_id: each for each in self._house.bridges.statuses()}

    def _send_away(self, connection: End, caller: Caller) -> None:
        text = f"disconnected by {by(caller)}"
        connection.disconnect(ReasonCode.ADMINISTRATIVE_ACTION, text, self._house.now())
        self._house.flush_soon()

    def _shown_client(self, session: Session, connection: End, bridges: Mapping[str, BridgeStatus]) -> types.ClientInfo:
        house, visit = self._house, connection.visit
        counters = (visit.publish_received, visit.publish_sent, visit.bytes_received, visit.bytes_sent)
        rates = house.client_rates.look(session.client_id, house.now(), visit.began_at, counters)
        bridge = bridges.get(session.client_id) if isinstance(connection, BridgeConnection) else None
        if bridge is not None:
            protocol = "websocket" if bridge.address.startswith("ws") else "mqtt"
        else:
            entry = house.reception.entrances.get(visit.listener)
            protocol = "mqtt" if entry is None else entry.listener.protocol
        return types.ClientInfo(
            client_id=session.client_id,
            bridge=None if bridge is None else bridge.name,
            user=_user_of(session, connection),
            address=visit.address if bridge is None else bridge.address,
            listener=visit.listener,
            protocol=protocol,
            version=_VERSIONS.get(visit.version, ""),
            tls=(bridge.tls if bridge is not None else _tls_of(house, connection)) or None,
            connected=time_of(visit.began_at),
            keep_alive=visit.keep_alive,
            clean_start=visit.clean_start,
            session_expiry=_expiry(session),
            subscriptions=len(session.subscriptions),
            queued=session.queue.length,
            in_flight=len(session.sender.in_flight),
            messages_received=visit.publish_received,
            messages_sent=visit.publish_sent,
            bytes_received=visit.bytes_received,
            bytes_sent=visit.bytes_sent,
            rates=types.ClientRates(*(round(each, 3) for each in rates)),
            will_topic=None if session.will is None else session.will.topic,
        )

    # Sessions and subscriptions

    async def _sessions(self, asked: Asked) -> types.Page[types.SessionInfo]:
        query = asked.query
        assert isinstance(query, types.Paged)
        sessions = self._house.engine.sessions
        found: list[types.SessionInfo] = []
        keys = await first_after(list(sessions), key_of(query.after), query.limit + 1)
        bridges = self._bridges()
        for client_id in keys[: query.limit]:
            session = sessions.get(client_id)
            if session is not None:  # otherwise it has ended meanwhile
                found.append(_shown_session(session, bridges))
        return types.Page(found, _next(keys, query.limit))

    async def _end_session(self, asked: Asked) -> None:
        engine = self._house.engine
        session = engine.sessions.get(asked.name)
        if session is None:
            raise Refusal(404, f"There is no session {topics.shown(asked.name)}.")
        connection = connection_of(session)
        if connection is not None:
            self._send_away(connection, asked.caller)
        if engine.sessions.get(asked.name) is session:
            engine.end_session(session, self._house.now())
        self._house.flush_soon()
        if not await self._house.stored():
            raise Refusal(503, "The broker cannot store that it has ended.")

    async def _subscriptions(self, asked: Asked) -> types.Page[types.SubscriptionInfo]:
        query = asked.query
        assert isinstance(query, types.SubscriptionQuery)
        try:
            topics.check_filter(query.filter)
        except ValueError as error:
            raise Refusal(422, str(error)) from None
        sessions = self._house.engine.sessions
        after = key_of(query.after)
        after_id, after_filter = (None, "") if after is None else _pair(after)
        wanted = list(sessions) if query.client_id is None else [query.client_id]
        clients = await self._subscribers(wanted, query.filter, after_id, query.limit + 1)
        if after_id is not None and query.client_id in (None, after_id):  # of which a part was told
            clients.insert(0, after_id)
        found: list[types.SubscriptionInfo] = []
        last = ""
        looked = 0
        for client_id in clients:
            session = sessions.get(client_id)
            if session is None:
                continue
            for topic_filter in sorted(session.subscriptions):
                looked += 1
                if looked % SLICE == 0:
                    await turn()
                subscription = session.subscriptions.get(topic_filter)
                is_before = client_id == after_id and topic_filter <= after_filter
                if subscription is None or is_before or not _lies_within(query.filter, topic_filter):
                    continue
                if len(found) == query.limit:
                    return types.Page(found, token_of(last))
                found.append(_shown_subscription(subscription))
                last = f"{client_id}\0{topic_filter}"
        return types.Page(found, None)

    async def _subscribers(self, clients: list[str], wider: str, after: str | None, count: int) -> list[str]:
        """The first clients behind one, in their order, that have a subscription within a filter."""
        sessions = self._house.engine.sessions
        found: list[str] = []
        looked = 0
        for client_id in clients:
            session = sessions.get(client_id)
            looked += 1
            if session is not None and (after is None or client_id > after):
                for topic_filter in list(session.subscriptions):
                    looked += 1
                    if _lies_within(wider, topic_filter):
                        found.append(client_id)
                        break
                    if looked % SLICE == 0:
                        await turn()
            if looked >= SLICE:
                looked = 0
                found = nsmallest(count, found)
                await turn()
        return nsmallest(count, found)

    # Bans

    async def _bans(self, asked: Asked) -> types.Page[types.BanInfo]:
        query = asked.query
        assert isinstance(query, types.Paged)
        now = self._house.now()
        bans = {ban.id: ban for ban in self._house.guard.bans.all(now)}
        keys = await first_after(bans, key_of(query.after), query.limit + 1)
        return types.Page([_shown_ban(bans[key]) for key in keys[: query.limit]], _next(keys, query.limit))

    async def _ban(self, asked: Asked) -> types.BanInfo:
        wish = asked.body
        assert isinstance(wish, types.BanRequest)
        house = self._house
        if not (wish.address or wish.client_id or wish.user):
            raise Refusal(422, "A ban names an address, a client_id or a user.")
        address = ""
        if wish.address:
            try:
                address = str(ipaddress.ip_address(wish.address))
            except ValueError:
                raise Refusal(422, f"address: {wish.address!r} is no IP address.") from None
        until = house.now() + wish.seconds
        ban = Ban(address, wish.client_id or "", wish.user or "", until, wish.why or by(asked.caller))
        visit = asked.caller.visit
        if house.guard.bans.concerns(ban, visit.host, "", visit.user) and not ban.client_id:
            raise Refusal(409, "That would ban you.")
        self._begin_ban(ban)
        task = asyncio.create_task(self._send_away_banned(ban, asked.caller))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)  # whoever asked for it may hang up
        return _shown_ban(ban)

    async def _send_away_banned(self, ban: Ban, caller: Caller) -> None:
        async for session in all_sessions(self._house.engine):
            connection = session.client
            if isinstance(connection, Connection) and self._house.guard.bans.concerns(
                ban, connection.visit.host, session.client_id, connection.visit.user
            ):
                self._send_away(connection, caller)

    def _begin_ban(self, ban: Ban) -> None:
        house = self._house
        if not house.guard.bans.add(ban, house.now()):
            raise Refusal(507, f"There are {MOST:,} bans already.")
        house.guard.counts.bans += 1
        house.guard.on_ban(ban)
        fields = {
            "address": ban.address or None,
            "client": ban.client_id or None,
            "user": ban.user or None,
            "seconds": round(ban.until - house.now()),
            "reason": ban.why,
        }
        tell(logging.WARNING, Event("banned", fields))

    async def _unban(self, asked: Asked) -> None:
        if not self._house.guard.bans.remove(asked.name, self._house.now()):
            raise Refusal(404, "There is no such ban.")


# How they are shown


def _expiry(session: Session) -> int | None:
    return None if session.expiry_interval == NEVER_EXPIRES else session.expiry_interval


def _user_of(session: Session, connection: End) -> str | None:
    """Whose rights somebody has."""
    if isinstance(connection, BridgeConnection):  # the name in its visit is that at the remote broker
        return session.user or None
    return connection.visit.user or None


def _tls_of(house: House, connection: End) -> str:
    return house.tls_of(connection) if isinstance(connection, Connection) else ""


def _shown_session(session: Session, bridges: Mapping[str, BridgeStatus]) -> types.SessionInfo:
    connection = connection_of(session)
    bridge = bridges.get(session.client_id)
    return types.SessionInfo(
        client_id=session.client_id,
        connected=connection is not None,
        bridge=None if bridge is None else bridge.name,
        user=None if connection is None else _user_of(session, connection),
        session_expiry=_expiry(session),
        ends=time_of(session.ends_at) if session.ends_at else None,
        subscriptions=len(session.subscriptions),
        queued=session.queue.length,
        in_flight=len(session.sender.in_flight),
        dropped=session.dropped,
        will_topic=None if session.will is None else session.will.topic,
    )


def _shown_subscription(subscription: Subscription) -> types.SubscriptionInfo:
    share, topic_filter = topics.split_shared(subscription.topic_filter)
    return types.SubscriptionInfo(
        subscription.session.client_id,
        topic_filter,
        subscription.qos,
        types.SubscriptionOptions(
            subscription.no_local,
            subscription.retain_as_published,
            subscription.identifiers[0] if subscription.identifiers else None,
        ),
        share or None,
    )


def _lies_within(wider: str, topic_filter: str) -> bool:
    if wider == "#":  # also those that begin with $
        return True
    _, plain = topics.split_shared(topic_filter)
    return covers(wider, plain)


def _next(keys: list[str], limit: int) -> str | None:
    """What leads to the page behind these keys, of which there may be one too many."""
    return token_of(keys[limit - 1]) if len(keys) > limit else None


def _pair(key: str) -> tuple[str, str]:
    client_id, _, topic_filter = key.partition("\0")
    return client_id, topic_filter


def _shown_ban(ban: Ban) -> types.BanInfo:
    return types.BanInfo(
        id=ban.id,
        address=ban.address or None,
        client_id=ban.client_id or None,
        user=ban.user or None,
        until=time_of(ban.until),
        why=ban.why,
        automatic=ban.lift is not None,
    )
