"""What people are shown of a bridge: on the page, in the metrics, by ``telex bridge list``."""

from typing import Literal

from msgspec import Struct

State = Literal["open", "connecting", "waiting", "idle", "ended"]
"""``open``: the remote has accepted us. ``waiting``: for the next attempt. ``idle``: a lazy one, without enough
messages. ``ended``: one that is started once, and is over."""


class BridgeStatus(Struct, frozen=True, kw_only=True):
    """How one bridge is. Times are seconds since 1970, or seconds."""

    name: str
    state: State
    since: float  # when this state began; "connecting" and "waiting" are one
    address: str  # where it is connected, or has tried last; before the first attempt, its first one
    reason: str  # why the last connection or attempt ended; empty: none has
    next_attempt: float  # when it tries again; 0: not by time
    version: str  # of the protocol: 3.1, 3.1.1 or 5.0; that the connection has, or the next one will ask for
    tls: str  # such as TLSv1.3; empty: none, or no connection
    client_id: str  # at the remote broker
    local_client_id: str  # of its session here
    queued: int  # messages that wait here for the remote
    in_flight: int  # sent above QoS 0, and not acknowledged to the end
    delay: float  # seconds from the arrival of a message here to the remote's word that it has it, about
    connections: int  # that were accepted since the broker's start; all counts that follow are since then, too
    messages_sent: int
    messages_received: int
    bytes_sent: int
    bytes_received: int
    filtered: int  # messages that a filter did not let through, or that no line carries
    looped: int  # messages that had been here, or had passed too many brokers
    rejected: int  # messages that the remote did not take
    refused: dict[str, str]  # topic filters that one end does not let it subscribe to, and why
