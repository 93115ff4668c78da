"""One bridge as it is described, with all that it takes to connect it: checked before anything is begun."""

import logging
import socket
from typing import TYPE_CHECKING, Final

from telex.client.address import Address, parse_address
from telex.engine.options import Options
from telex.engine.permissions import EVERYTHING, Permissions
from telex.server.access.acl_file import read_acl_file
from telex.server.access.rules import Rules
from telex.server.bridging import client_tls, options_of
from telex.server.config import Access, Bridge, Config, ConfigError, TcpKeepalive, local_client_id

if TYPE_CHECKING:
    from telex.client.dialing import Dialer

logger = logging.getLogger("telex")

SocketOption = tuple[int, int, int]

# What can change while it is connected: the rest is said in CONNECT, or when a connection is made.
_CHANGES_AT_ONCE: Final = (
    "topics",
    "threshold",
    "idle_timeout",
    "restart_first",
    "restart_most",
    "restart_stable",
    "local_user",
    "attempt_unsubscribe",
    "max_queued_messages",
    "max_queued_bytes",
    "reload",
)


class Plan:
    """One bridge that can be begun.

    Args:
        bridge: its description.
        host: the name of this machine.
        limits: those of the broker.
        permissions: what it may do here.

    Raises:
        ValueError: something that it needs cannot be used.
    """

    def __init__(self, bridge: Bridge, host: str, limits: Options, permissions: Permissions) -> None:
        self.bridge = bridge
        self.options = options_of(bridge, host, limits)
        self.permissions = permissions
        self.addresses = [parse_address(text) for text in bridge.addresses]
        self._socket_options = _socket_options(bridge)
        self._dialers = [self._new_dialer(address) for address in self.addresses]
        self._fault = ""  # of the certificates that cannot be used any more

    def dialer(self, index: int) -> "Dialer":
        """Who opens connections to one of the addresses, with certificates as they are on disk now.

        If these cannot be used any more, it is those of before.
        """
        address = self.addresses[index]
        if address.is_secure:
            try:
                self._dialers[index] = self._new_dialer(address)
                self._fault = ""
            except (ValueError, OSError) as error:
                if self._fault != str(error):  # one line, and not one for each attempt
                    self._fault = str(error)
                    logger.warning("bridge %s: TLS goes on as it was: %s", self.bridge.name, error)
        return self._dialers[index]

    @property
    def session(self) -> dict[str, str]:
        """Its session here: client id -> the topic of the bridge's state; empty: it has none."""
        options = self.options
        return {options.local_client_id: options.notification_topic if options.notifications else ""}

    def is_like(self, other: "Plan") -> bool:
        """Whether nothing is different but what it may do here."""
        return self.bridge == other.bridge and self._limits == other._limits

    def can_go_on_as(self, other: "Plan") -> bool:
        """Whether a connection may stay that was made by this one."""
        return self._limits == other._limits and all(
            getattr(self.bridge, name) == getattr(other.bridge, name)
            for name in Bridge.__struct_fields__
            if name not in _CHANGES_AT_ONCE
        )

    @property
    def _limits(self) -> tuple[int, ...]:
        """What it takes from the broker's limits."""
        return (self.options.topic_alias_maximum, self.options.receive_maximum)

    def _new_dialer(self, address: Address) -> "Dialer":
        # Imported here: most brokers have no bridge, and start without what a client needs.
        from telex.client.dialing import Dialer

        bridge = self.bridge
        return Dialer(
            address,
            tls=client_tls(bridge.tls) if bridge.tls is not None and address.is_secure else None,
            proxy=bridge.proxy or None,
            bind=bridge.bind_address,
            websocket_headers=bridge.websocket_headers if address.is_websocket else None,
            socket_options=self._socket_options,
        )


def plans_of(config: Config, limits: Options) -> list[Plan]:
    """The bridges of a description.

    Raises:
        ConfigError: one of them cannot be begun.
    """
    host = socket.gethostname()
    found: list[Plan] = []
    for index, bridge in enumerate(config.bridges):
        try:
            permissions = _permissions(config.access, bridge, host)
            found.append(Plan(bridge, host, limits, permissions))
        except ValueError as error:
            raise ConfigError(f"bridges[{index}]: {error}") from None
    return found


def _permissions(access: Access, bridge: Bridge, host: str) -> Permissions:
    """What a bridge may do here: all that its topics say, or with a user's name what that user may."""
    user = bridge.local_user
    if not user:
        return EVERYTHING
    client_id = local_client_id(bridge, host)
    if access.rules:
        return Rules.of(access).permissions(user, client_id, "")
    if access.acl_file:
        return read_acl_file(access.acl_file).permissions(user, client_id)
    return EVERYTHING


def _socket_options(bridge: Bridge) -> list[SocketOption]:
    """What the description says of TCP, as ``setsockopt`` takes it."""
    found: list[SocketOption] = []
    if bridge.tcp_keepalive is not None:
        found += _keepalive(bridge.tcp_keepalive)
    if bridge.tcp_user_timeout > 0:
        option = _option("TCP_USER_TIMEOUT", "tcp_user_timeout")
        found.append((socket.IPPROTO_TCP, option, round(bridge.tcp_user_timeout * 1000)))
    return found


def _keepalive(keepalive: TcpKeepalive) -> list[SocketOption]:
    # macOS has another name for the first one.
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
    values = {idle: keepalive.idle, "TCP_KEEPINTVL": keepalive.interval, "TCP_KEEPCNT": keepalive.count}
    found = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    found += [(socket.IPPROTO_TCP, _option(name, "tcp_keepalive"), value) for name, value in values.items()]
    return found


def _option(name: str, field: str) -> int:
    number: int | None = getattr(socket, name, None)
    if number is None:
        raise ValueError(f"{field}: this system cannot be told; leave it out")
    return number
