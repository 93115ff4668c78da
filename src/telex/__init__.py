"""Telex: MQTT for Python, a broker, clients and a command line.

::

    async with telex.Client("mqtt://localhost") as client:
        await client.publish("home/temp/room1", 24.2, qos=1)

    with telex.SyncClient("mqtt://localhost") as client:
        client.publish("home/temp/room1", 24.2, qos=1)

    async with telex.Broker(port=0) as broker:
        print(broker.port)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from telex.client.aio import Client, Connected, Lost
    from telex.client.authentication import Authenticator
    from telex.client.message import Message
    from telex.client.outbox import Outbox
    from telex.client.payloads import Codec, JsonCodec, MessagePackCodec, PayloadError
    from telex.client.reconnect import Reconnect
    from telex.client.subscription import Subscription
    from telex.client.sync import SyncClient, SyncSubscription
    from telex.client.tls import ClientTls
    from telex.client.will import Will
    from telex.codes import QoS, ReasonCode
    from telex.engine.options import Options
    from telex.errors import MqttError, NotConnected, OutboxFull, ProtocolError, Refused, Timeout, Untrusted
    from telex.server.broker import Broker
    from telex.server.config import (
        Access,
        Bridge,
        BridgeTls,
        BridgeTopic,
        Config,
        ConfigError,
        Listener,
        Protection,
        Rule,
        TcpKeepalive,
        Tls,
        Web,
    )
    from telex.server.stores.sqlite import StoreError
    from telex.version import __version__

__all__ = [
    "Client",
    "SyncClient",
    "Broker",
    "Message",
    "Subscription",
    "SyncSubscription",
    "Will",
    "Connected",
    "Lost",
    "Reconnect",
    "Outbox",
    "ClientTls",
    "Authenticator",
    "Codec",
    "JsonCodec",
    "MessagePackCodec",
    "QoS",
    "ReasonCode",
    "MqttError",
    "NotConnected",
    "OutboxFull",
    "ProtocolError",
    "Refused",
    "Timeout",
    "Untrusted",
    "PayloadError",
    "Config",
    "Listener",
    "Tls",
    "Access",
    "Rule",
    "Protection",
    "Web",
    "Bridge",
    "BridgeTopic",
    "BridgeTls",
    "TcpKeepalive",
    "Options",
    "ConfigError",
    "StoreError",
    "__version__",
]

# The same once more, for when the program runs: a client starts without the broker, and the broker without the client.
_PLACES: Final = {
    "telex.client.aio": ("Client", "Connected", "Lost"),
    "telex.client.authentication": ("Authenticator",),
    "telex.client.message": ("Message",),
    "telex.client.outbox": ("Outbox",),
    "telex.client.payloads": ("Codec", "JsonCodec", "MessagePackCodec", "PayloadError"),
    "telex.client.reconnect": ("Reconnect",),
    "telex.client.subscription": ("Subscription",),
    "telex.client.sync": ("SyncClient", "SyncSubscription"),
    "telex.client.tls": ("ClientTls",),
    "telex.client.will": ("Will",),
    "telex.codes": ("QoS", "ReasonCode"),
    "telex.engine.options": ("Options",),
    "telex.errors": (
        "MqttError",
        "NotConnected",
        "OutboxFull",
        "ProtocolError",
        "Refused",
        "Timeout",
        "Untrusted",
    ),
    "telex.server.broker": ("Broker",),
    "telex.server.config": (
        "Access",
        "Bridge",
        "BridgeTls",
        "BridgeTopic",
        "Config",
        "ConfigError",
        "Listener",
        "Protection",
        "Rule",
        "TcpKeepalive",
        "Tls",
        "Web",
    ),
    "telex.server.stores.sqlite": ("StoreError",),
    "telex.version": ("__version__",),
}
_PLACE_OF: Final = {name: place for place, names in _PLACES.items() for name in names}

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        """A name of ``__all__``, from its module, when it is asked for the first time."""
        place = _PLACE_OF.get(name)
        if place is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(place), name)
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
