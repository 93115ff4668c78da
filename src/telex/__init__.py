"""Telex: MQTT for Python, a broker and the commands to talk to it.

::

    async with telex.Broker(port=0) as broker:
        print(broker.port)
"""

from telex.codes import QoS, ReasonCode
from telex.engine.message import Message
from telex.engine.options import Options
from telex.errors import MqttError, NotConnected, ProtocolError, Refused, Timeout
from telex.server.broker import Broker
from telex.server.config import Access, Config, ConfigError, Listener, Protection, Rule, Tls
from telex.server.stores.sqlite import StoreError
from telex.version import __version__

__all__ = [
    "Broker",
    "Config",
    "Listener",
    "Tls",
    "Access",
    "Rule",
    "Protection",
    "Message",
    "MqttError",
    "NotConnected",
    "Options",
    "ProtocolError",
    "QoS",
    "ReasonCode",
    "Refused",
    "ConfigError",
    "StoreError",
    "Timeout",
    "__version__",
]
