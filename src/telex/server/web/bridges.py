"""The API's operations about bridges: how each of them is."""

from telex.server.bridge_status import BridgeStatus
from telex.server.web import types
from telex.server.web.house import House
from telex.server.web.listing import key_of, token_of
from telex.server.web.operations import Asked, admin, time_of


class BridgeOperations:
    """Bridges of one broker.

    Args:
        house: the broker.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self.operations = [
            admin("/bridges", "Bridges to other brokers", types.Page[types.BridgeInfo], self._bridges, types.Paged),
        ]

    async def _bridges(self, asked: Asked) -> types.Page[types.BridgeInfo]:
        query = asked.query
        assert isinstance(query, types.Paged)
        after = key_of(query.after)
        # By their names: a reload between two pages may change the order of the configuration.
        statuses = sorted(self._house.bridges.statuses(), key=lambda each: each.name)
        found = [each for each in statuses if after is None or each.name > after]
        shown = found[: query.limit]
        return types.Page(
            [self._shown(each) for each in shown], token_of(shown[-1].name) if len(found) > len(shown) else None
        )

    def _shown(self, status: BridgeStatus) -> types.BridgeInfo:
        house = self._house
        counters = (status.messages_received, status.messages_sent, status.bytes_received, status.bytes_sent)
        rates = house.client_rates.look(("bridge", status.name), house.now(), house.started_at, counters)
        return types.BridgeInfo(
            name=status.name,
            state=status.state,
            since=time_of(status.since),
            address=status.address,
            reason=status.reason or None,
            next_attempt=time_of(status.next_attempt) if status.next_attempt else None,
            version=status.version,
            tls=status.tls or None,
            client_id=status.client_id,
            local_client_id=status.local_client_id,
            queued=status.queued,
            in_flight=status.in_flight,
            delay=round(status.delay, 6),
            connections=status.connections,
            messages_received=status.messages_received,
            messages_sent=status.messages_sent,
            bytes_received=status.bytes_received,
            bytes_sent=status.bytes_sent,
            rates=types.ClientRates(*(round(each, 3) for each in rates)),
            filtered=status.filtered,
            looped=status.looped,
            rejected=status.rejected,
            refused=status.refused,
        )
