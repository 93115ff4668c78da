"""One tree of exceptions.

::

    MqttError
    ├── ProtocolError    the peer broke a rule; the connection closes
    ├── Refused          the other side said no
    ├── NotConnected     there is no connection to do this on
    ├── Untrusted        TLS: one end does not believe that the other is who it should be
    ├── OutboxFull       there is no room on disk for what waits for a connection
    └── Timeout          the answer did not come in time

A caller's own slip (a bad topic, a QoS of 3) raises ``ValueError`` or ``TypeError``.
"""

from telex.codes import ReasonCode, reason_text


class MqttError(Exception):
    """Anything that goes wrong between two ends of a connection."""


class ProtocolError(MqttError):
    """The peer broke a rule of the specification; its connection closes.

    ``reason_code`` is decided where the fault is found, and one place turns it
    into DISCONNECT or CONNACK (section 4.13). The text goes to our log and, as
    Reason String, to a v5 peer.
    """

    def __init__(self, reason_code: ReasonCode, text: str) -> None:
        super().__init__(f"{text} ({reason_text(reason_code)})")
        self.reason_code = reason_code
        self.text = text  # without the code


class Refused(MqttError):
    """The other side said no: a refused connection, subscription or publication."""

    def __init__(self, reason_code: int, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code  # of the version spoken: v5 reason code or v3 return code


class NotConnected(MqttError):
    """There is no connection to do this on, or it went away before it was done."""


class Untrusted(MqttError):
    """TLS: the broker is not who it should be, or it does not believe that we are. Its text says the remedy."""


class OutboxFull(MqttError):
    """What is published while there is no connection has no room any more, and nothing of it may be dropped."""


class Timeout(MqttError):
    """The answer did not come within the time that the caller allowed."""
