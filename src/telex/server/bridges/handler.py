"""Between one stream and our end of a bridge's connection."""

from collections.abc import Callable

from telex.engine.bridge import BridgeConnection
from telex.server.handler import EndHandler, House
from telex.streams.stream import ClientStream


class BridgeHandler(EndHandler):
    """Of a bridge. Its ``connection`` is to be set before anything comes.

    Args:
        house: the broker.
        stream: how bytes come and go.
        gone: is told when the connection has left nothing behind.
    """

    __slots__ = ("_gone", "_unsent")

    connection: BridgeConnection
    stream: ClientStream

    def __init__(self, house: House, stream: ClientStream, gone: "Callable[[BridgeHandler], None]") -> None:
        super().__init__(house, stream)
        self._gone = gone
        self._unsent = 0  # bytes that waited in the stream at the last tick

    def go_on(self) -> None:
        """The journal has come forward: more may come."""
        self.connection.wrote(self._clock.now())  # as long as we did not read, it could not be heard
        super().go_on()

    def writable(self) -> None:
        """The remote reads again: what gathered meanwhile can leave."""
        self.connection.wrote(self._clock.now())
        super().writable()

    def tick(self, now: float) -> None:
        """Once a second: slow as the remote may be, while it takes something it is there; and who does not listen
        cannot say that nothing was said."""
        unsent = self.stream.unsent
        if unsent < self._unsent or self._waits:
            self.connection.wrote(now)
        self._unsent = unsent

    def _is_gone(self) -> None:
        self._gone(self)
