"""What every transport offers, and what it asks of whoever uses it."""

from typing import Protocol


class Handler(Protocol):
    """Who uses a stream."""

    def received(self, data: bytes) -> None:
        """Bytes came."""

    def writable(self) -> None:
        """The peer reads again, after it did not for a while."""

    def lost(self, reason: str) -> None:
        """The stream is over. Nothing follows."""


class Stream(Protocol):
    """An ordered, lossless way for bytes in both directions [MQTT-4.2-1]."""

    address: str
    """Where the peer is, for people."""

    host: str
    """The peer's IP address alone; empty for Unix sockets."""

    identity: str
    """The user whom the peer's TLS certificate or its pre-shared key names; empty if none does."""

    via_tls: str
    """The version of TLS that protects it, such as ``TLSv1.3``; empty without."""

    is_writable: bool
    """Whether the peer keeps up with what is written."""

    def write(self, data: bytes) -> None:
        """Send bytes; they wait here if the peer is slow."""

    def close(self) -> None:
        """End it when what was written has left, or soon after if the peer does not take it."""

    def abort(self) -> None:
        """End it now."""

    def pause_reading(self) -> None:
        """Take in nothing for a while."""

    def resume_reading(self) -> None:
        """Take in bytes again."""


class ClientStream(Stream, Protocol):
    """A stream that a client has opened."""

    @property
    def unsent(self) -> int:
        """Bytes that were written and wait here."""

    def acknowledge_now(self) -> None:
        """Have the kernel tell the peer at once what has come."""
