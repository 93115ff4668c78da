"""One bridge of a running broker: it is dialled, waited for and dialled again, and what became of it is said.

Knows the engine's bridge, addresses and time. What is sent is the engine's business.
"""

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Final, Protocol

from telex.client.address import Address
from telex.engine.bridge import Bridge, BridgeConnection, BridgeTopic, Keeper
from telex.engine.visit import Visit
from telex.errors import MqttError
from telex.server.bridge_status import BridgeStatus, State
from telex.server.bridges.handler import BridgeHandler
from telex.server.bridges.plan import Plan
from telex.server.bridges.route import Route, Waits
from telex.server.handler import House
from telex.server.log import Event, tell
from telex.streams.stream import ClientStream, Handler

logger = logging.getLogger("telex")

_AWAY: Final = {"connecting", "waiting"}  # one after the other, for as long as nobody is there
_VERSIONS: Final = {3: "3.1", 4: "3.1.1", 5: "5.0"}


class Family(Protocol):
    """What a bridge asks of all of them together."""

    def begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """A task for this work; whoever stops the broker waits for its end."""

    def came(self, handler: BridgeHandler) -> None:
        """A stream is there."""

    def gone(self, handler: BridgeHandler) -> None:
        """A stream has left nothing behind."""

    def heard(self, plan: Plan) -> None:
        """A remote has heard of what it is to carry."""


class _Ended:
    """A connection, or an attempt, is over."""

    def __init__(self, *, was_open: bool, is_at_once: bool = False) -> None:
        self.was_open = was_open  # the remote had accepted us
        self.is_at_once = is_at_once  # the next one will say something else, so that there is no need to wait


class KeptBridge(Keeper):
    """One bridge, from its first attempt to its removal.

    Args:
        house: the broker.
        plan: how it is to be.
        family: all bridges.
    """

    def __init__(self, house: House, plan: Plan, family: Family) -> None:
        super().__init__()
        self.plan = plan
        self._house = house
        self._family = family
        self._coming: Plan | None = None  # counts from the next connection on
        self.bridge = Bridge(house.engine, plan.options, self, plan.permissions)
        self._task: asyncio.Task[None] | None = None
        self._over: asyncio.Future[_Ended] | None = None  # who waits for the end of the newest stream's connection
        self._wanted = asyncio.Event()  # enough waits for a lazy one
        self.handler: BridgeHandler | None = None  # of the newest stream, until its connection is over
        self._state: State = "waiting"
        self._since = house.clock.now()
        self._opened_at = 0.0  # when the remote has accepted us; 0: it has not
        self._is_returning = False  # the newest connection is one to the main address, in place of another
        self._reason = ""
        self._next_attempt = 0.0
        self._connections = 0
        self._refused: dict[str, str] = {}  # that count: filter -> why
        self._stale: set[str] = set()  # those of them that were said before the newest connection
        self._told_refusals: dict[str, str] = {}  # each takes one line of the log, however often it connects
        self._total = Visit("")  # of connections that are over
        self._told: dict[str, str] = {}  # of each address the last failure: one that is away for a week takes one line
        self._begin_again()

    # What the broker asks for

    def gather(self, now: float, former: list[BridgeTopic] | None) -> None:
        """Keep what goes out, from now on; ``former``: the topics that the remote has heard of, if somebody knows."""
        self.bridge.start(now, former)

    def dial(self) -> None:
        """Connect, as its start type says."""
        self._task = self._family.begin(self._keep())

    def change(self, plan: Plan, now: float) -> None:
        """Go on as another description says."""
        user = plan.bridge.local_user
        if user and user == self.plan.bridge.local_user:  # with other rights, perhaps: these count at once
            self._change_rights(plan, now)
        if plan.is_like(self.plan):
            self._coming = None
            self.plan = plan
        elif plan.bridge.reload == "lazy" and self.handler is not None:
            self._coming = plan
        else:
            self._take(plan, now)

    def _change_rights(self, plan: Plan, now: float) -> None:
        topics = self.bridge.options.topics
        ours = {each.local_filter for each in topics if each.is_out}
        for topic_filter in ours - {each.remote_filter for each in topics if each.is_in}:
            self._refused.pop(topic_filter, None)  # what this end still refuses is said anew
        self.bridge.permissions = plan.permissions
        self.bridge.change(self.bridge.options, now)

    def stop(self, text: str, now: float) -> None:
        """Take leave of the remote; what waits is kept."""
        self._cancel()
        self.bridge.stop(text, now)

    def remove(self, now: float) -> None:
        """Forget all that was for the remote."""
        self._cancel()
        self.bridge.remove(now)

    @property
    def sessions(self) -> dict[str, str]:
        """Those that it has here or is to have: client id -> the topic of its state; empty: it has none."""
        return self.plan.session if self._coming is None else self.plan.session | self._coming.session

    def _take(self, plan: Plan, now: float) -> None:
        """Go on like this now: with the connection that there is, if it may stay."""
        stays = self.bridge.is_open and self.plan.can_go_on_as(plan)
        if not stays:
            self._cancel()
            self.bridge.stop("it is described anew", now)
        self._adopt(plan, now)
        if stays:
            self._wait_anew()
        else:
            self._begin_again()
            self.dial()

    def _adopt(self, plan: Plan, now: float) -> None:
        self._coming = None
        self.plan = plan
        self.bridge.permissions = plan.permissions
        self._refused.clear()
        self._told_refusals.clear()
        self.bridge.change(plan.options, now)
        if self.bridge.is_open:
            self._family.heard(plan)
        self._house.flush_soon()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _begin_again(self) -> None:
        bridge = self.plan.bridge
        self._route = Route(len(bridge.addresses), is_round=bridge.round_robin)
        self._address = self.plan.addresses[0]  # the last one that was tried, or will be
        self._told.clear()
        self._wait_anew()

    def _wait_anew(self) -> None:
        bridge = self.plan.bridge
        self._waits = Waits(bridge.restart_first, bridge.restart_most)
        self._returns = Waits(bridge.restart_first, bridge.restart_most)  # to the main address

    # Dialling

    async def _keep(self) -> None:
        """Connect again and again, whatever goes wrong."""
        while True:
            try:
                if not await self._go_round():
                    return
            except Exception:
                logger.exception("a fault of ours in bridge %s", self.plan.bridge.name)
                await self._wait()

    async def _go_round(self) -> bool:
        """One connection, and the wait for the next one: whether there is to be a next one."""
        if self.plan.bridge.start == "lazy":
            await self._want()
        self._become("connecting")
        ended = await self._connect()
        if self._coming is not None:
            self._adopt(self._coming, self._house.clock.now())
            self._begin_again()
        elif ended.was_open:
            self._route.lost()
        elif not ended.is_at_once and not self._route.failed():
            return True  # there is another address
        if ended.is_at_once:
            return True
        bridge = self.plan.bridge
        if bridge.start == "once":
            self._become("ended")
            return False
        # A lazy one left because there was nothing to carry, or it comes back when there is.
        if not ended.was_open or bridge.start != "lazy" or self._has_enough:
            await self._wait()
        return True

    async def _want(self) -> None:
        """Wait until there is enough for a lazy one to carry."""
        if not self._has_enough:
            self._wanted.clear()
            self._become("idle")
            await self._wanted.wait()

    @property
    def _has_enough(self) -> bool:
        return self.bridge.waiting >= self.plan.bridge.threshold

    async def _wait(self) -> None:
        seconds = self._waits.next(random.random())
        self._become("waiting")
        self._next_attempt = self._house.clock.now() + seconds
        await asyncio.sleep(seconds)

    async def _connect(self) -> _Ended:
        """One connection, from its dialling to its end; also one that took its place meanwhile."""
        over: asyncio.Future[_Ended] = asyncio.get_running_loop().create_future()
        index = self._route.current
        self._address = self.plan.addresses[index]
        try:
            await self._open(index, over)
        except (OSError, MqttError, ValueError) as error:
            return self._failed(str(error))
        except Exception:
            logger.exception("a fault of ours ended the connection of bridge %s", self.plan.bridge.name)
            return self._failed("a fault of ours, see the log")
        returning = self._family.begin(self._return(over))
        try:
            return await over
        finally:
            returning.cancel()

    async def _open(self, index: int, over: asyncio.Future[_Ended]) -> None:
        """Open a stream to an address, and say CONNECT; ``over`` is told of the end of what comes of it.

        Raises:
            OSError, MqttError, ValueError: there is nobody, or nobody who could be trusted.
        """
        seconds = self.plan.options.connect_timeout
        address = self.plan.addresses[index]

        def opened(stream: ClientStream) -> Handler:
            return self._use(stream, address, over, is_return=index != self._route.current)

        try:
            async with asyncio.timeout(seconds) as limit:
                await self.plan.dialer(index).open(opened)
        except TimeoutError:
            if not limit.expired():  # the system's own limit
                raise
            raise OSError(f"no connection to {address} within {seconds} s") from None

    def _use(
        self, stream: ClientStream, address: Address, over: asyncio.Future[_Ended], *, is_return: bool
    ) -> BridgeHandler:
        """A stream is there."""
        house = self._house
        self._is_returning = is_return
        if is_return:
            self._route.returned()
        self._leave()  # a connection that is there ends now, and that is not the end
        self._become("connecting")
        self._over = over
        self._stale = set(self._refused)
        self._address = address
        handler = BridgeHandler(house, stream, self._family.gone)
        visit = Visit(stream.address, stream.host)
        try:
            handler.connection = self.bridge.connect(handler, visit, house.clock.now(), str(address))
        except BaseException:
            if not over.done():
                over.set_result(self._failed("a fault of ours, see the log"))
            raise
        self.handler = handler
        self._family.came(handler)
        house.flush_soon()
        return handler

    def _leave(self) -> None:
        """The connection that was there is over: what it has carried counts, and how long it held."""
        if self.handler is None:
            return
        visit = self.handler.connection.visit
        self.handler = None
        total = self._total
        total.publish_sent += visit.publish_sent
        total.publish_received += visit.publish_received
        total.bytes_sent += visit.bytes_sent
        total.bytes_received += visit.bytes_received
        if self._opened_at > 0 and self._house.clock.now() - self._opened_at >= self.plan.bridge.restart_stable:
            self._waits.held()
        self._opened_at = 0.0

    async def _return(self, over: asyncio.Future[_Ended]) -> None:
        """Go back to the main address, as soon as somebody is there."""
        while self._route.is_beside:
            await asyncio.sleep(self._returns.next(random.random()))
            if not self.bridge.is_open:
                continue
            try:
                await self._open(0, over)
            except (OSError, MqttError, ValueError) as error:
                logger.debug("bridge %s: not back yet: %s", self.plan.bridge.name, error)
            except Exception:
                logger.exception("a fault of ours on the way back of bridge %s", self.plan.bridge.name)

    # What the engine tells

    def opened(self, connection: BridgeConnection, now: float) -> None:
        """The remote has accepted us."""
        self._opened_at = now
        self._route.accepted()
        if not self._route.is_beside:
            self._returns.held()
        self._is_returning = False
        self._connections += 1
        for topic_filter in self._stale:  # what still holds was said anew, or will be
            del self._refused[topic_filter]
        self._stale.clear()
        self._told.clear()
        self._become("open")
        self._family.heard(self.plan)
        visit = connection.visit
        self._say(
            logging.INFO,
            "bridge connected",
            address=str(self._address),
            client=visit.client_id,
            version=_VERSIONS[connection.version],
            waiting=self.bridge.waiting,
        )

    def closed(self, connection: BridgeConnection, reason: str, at_once: bool, now: float) -> None:
        """A connection is over, accepted or not."""
        if self.handler is None or self.handler.connection is not connection:
            return  # another one has taken its place
        was_open = self._opened_at > 0
        self._tell_end(reason, is_well=at_once or self._task is None or (was_open and self.plan.bridge.start == "lazy"))
        self._leave()
        if not was_open and self._is_returning:
            self._returns.vain()
        if self._over is not None and not self._over.done():  # otherwise nobody waits for it any more
            self._over.set_result(_Ended(was_open=was_open, is_at_once=at_once))

    def wanted(self, now: float) -> None:
        """As much waits for a lazy bridge as its threshold says."""
        self._wanted.set()

    def refused(self, topic_filter: str, reason: str) -> None:
        """One end does not let it subscribe to this."""
        self._stale.discard(topic_filter)
        self._refused[topic_filter] = reason
        is_news = self._told_refusals.get(topic_filter) != reason
        self._told_refusals[topic_filter] = reason
        level = logging.WARNING if is_news else logging.DEBUG
        self._say(level, "bridge may not subscribe", filter=topic_filter, reason=reason)

    # What people are shown

    def status(self, now: float) -> BridgeStatus:
        """How it is."""
        bridge = self.bridge
        connection = bridge.connection
        session = bridge.session
        in_flight = 0 if session is None else len(session.sender.in_flight)
        total = self._total
        visit = Visit("") if self.handler is None else self.handler.connection.visit
        return BridgeStatus(
            name=self.plan.bridge.name,
            state=self._state,
            since=self._since,
            address=str(self._address),
            reason=self._reason,
            next_attempt=self._next_attempt,
            version=_VERSIONS[bridge.version if connection is None else connection.version],
            tls="" if self.handler is None else self.handler.stream.via_tls,
            client_id=bridge.options.remote_client_id,
            local_client_id=bridge.options.local_client_id,
            queued=bridge.waiting - in_flight,
            in_flight=in_flight,
            delay=bridge.delay(now),
            connections=self._connections,
            messages_sent=total.publish_sent + visit.publish_sent,
            messages_received=total.publish_received + visit.publish_received,
            bytes_sent=total.bytes_sent + visit.bytes_sent,
            bytes_received=total.bytes_received + visit.bytes_received,
            filtered=bridge.filtered,
            looped=bridge.looped,
            rejected=bridge.rejected,
            refused=dict(self._refused),
        )

    def _become(self, state: State) -> None:
        self._next_attempt = 0.0
        if state != self._state and not {state, self._state} <= _AWAY:
            self._since = self._house.clock.now()
        self._state = state

    def _failed(self, reason: str) -> _Ended:
        """An attempt came to nothing."""
        self._tell_end(reason, is_well=False)
        return _Ended(was_open=False)

    def _tell_end(self, reason: str, *, is_well: bool) -> None:
        """Say that a connection or an attempt is over; well: as we wanted, and no cause for worry."""
        self._reason = reason
        address = str(self._address)
        is_known = self._told.get(address) == reason
        self._told[address] = reason
        level = logging.INFO if is_well else logging.DEBUG if is_known else logging.WARNING
        self._say(level, "bridge not connected", address=address, reason=reason)

    def _say(self, level: int, what: str, **fields: str | int) -> None:
        tell(level, Event(what, {"bridge": self.plan.bridge.name, **fields}))
