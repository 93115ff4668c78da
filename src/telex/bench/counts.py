"""What one process has counted so far: everything that it does adds to the same numbers.

Compiled: each read and each write adds to them.
"""

from telex.bench.histogram import Histogram


class Counts:
    """Sums since the beginning. Times are those since somebody took them last."""

    def __init__(self) -> None:
        self.sent = 0
        self.sent_bytes = 0  # of payloads
        self.acknowledged = 0
        self.received = 0
        self.received_bytes = 0  # of payloads
        self.connected = 0
        self.refused = 0
        self.subscribed = 0
        self.unsubscribed = 0
        self.foreign = 0  # messages that are none of this run's
        self.denied = 0  # messages that were acknowledged with a reason code of 0x80 and more
        self.latency = Histogram()  # microseconds

    def take_latency(self) -> Histogram:
        """The times since the last call."""
        taken = self.latency
        self.latency = Histogram()
        return taken

    @property
    def movement(self) -> int:
        """A number that grows whenever anything happens."""
        done = self.sent + self.acknowledged + self.received
        return done + self.connected + self.refused + self.subscribed + self.unsubscribed
