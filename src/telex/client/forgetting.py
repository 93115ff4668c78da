"""Have a broker forget a kept session, before MQTT 5.

There, one flag of CONNECT says both that a session is to begin anew and that it is
not to be kept (v3 section 3.1.2.4). Whoever wants a new one that is kept comes twice:
this is the first time.
"""

import asyncio

from telex.client.connection import ClientConnection, Publication
from telex.client.dialing import Dialer
from telex.client.link import Link
from telex.errors import MqttError, NotConnected
from telex.streams.stream import ClientStream
from telex.wire.packets import ConnAck, Connect, Packet


class _Visit:
    """One connection, as its link's owner, that ends when the broker has answered."""

    must_hold = False
    awaits_answers = False

    def __init__(self, connect: Connect) -> None:
        self.connection = ClientConnection(connect)
        self.over: asyncio.Future[ConnAck] = asyncio.get_running_loop().create_future()
        self._answer: ConnAck | None = None

    def happened(self, events: list[Packet | Publication]) -> None:
        for event in events:
            if isinstance(event, ConnAck):
                self._answer = event
                if event.reason_code == 0:
                    self.connection.disconnect()

    def has_room(self) -> None:
        """Nothing is published."""

    def ended(self, link: Link, error: MqttError | None, reason: str) -> None:
        if self.over.done():
            return
        if self._answer is None:
            self.over.set_exception(error or NotConnected(reason))
        else:
            self.over.set_result(self._answer)


async def forget_session(dialer: Dialer, connect: Connect) -> ConnAck:
    """Connect with a clean session, and leave: the broker's answer.

    Raises:
        OSError: the broker is not there.
        MqttError: it closed the connection without an answer, or is not who it should be.
    """
    visit = _Visit(connect)
    links: list[Link] = []

    def opened(stream: ClientStream) -> Link:
        links.append(Link(visit.connection, visit, stream, None))
        return links[0]

    try:
        await dialer.open(opened)
        return await visit.over
    except asyncio.CancelledError:
        for link in links:
            link.abort()
        raise
