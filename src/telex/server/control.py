"""Orders to the broker by MQTT, as Mosquitto has them: ``$CONTROL/broker/v1``.

A client publishes JSON, ``{"commands": [{"command": "listListeners"}]}``, and gets
``{"responses": [...]}`` on ``$CONTROL/broker/v1/response``, in the same order.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from telex.engine.seams import Control
from telex.server.config import Listener

TOPIC: Final = "$CONTROL/broker/v1"
_MOST_COMMANDS: Final = 100  # in one message


class _Command(msgspec.Struct):
    """One order; what else stands in it is for other orders."""

    command: str
    correlation_data: str | None = msgspec.field(name="correlationData", default=None)


class _Commands(msgspec.Struct):
    commands: list[_Command]


class Known(Protocol):
    """What the broker knows of itself."""

    @property
    def listeners(self) -> Sequence[Listener]:
        """Those that are open."""

    def port_of(self, listener: Listener) -> int:
        """The TCP port that one of them has, also if it asked for a free one."""

    @property
    def plugins(self) -> Sequence[str]:
        """Names of the ways of logging in, and of what decides what clients may do."""


class BrokerControl(Control):
    """Answers questions about the broker.

    Args:
        known: what there is to be told.
    """

    def __init__(self, known: Known) -> None:
        super().__init__()
        self._known = known

    def receive(self, topic: str, payload: bytes, answer: Callable[[str, bytes, float], None], now: float) -> None:
        """Answer one message."""
        if topic != TOPIC:
            return
        try:
            commands = msgspec.json.decode(payload, type=_Commands).commands
            if len(commands) > _MOST_COMMANDS:
                raise msgspec.ValidationError(f"{len(commands)} commands, {_MOST_COMMANDS} at most")
            responses = [self._answer(each) for each in commands]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            responses = [{"command": "Unknown command", "error": f"Payload not understood: {error}"}]
        answer(f"{TOPIC}/response", msgspec.json.encode({"responses": responses}), now)

    def _answer(self, order: _Command) -> dict[str, object]:
        response: dict[str, object] = {"command": order.command}
        if order.correlation_data is not None:
            response["correlationData"] = order.correlation_data
        if order.command == "listListeners":
            response["data"] = {"listeners": [self._shown(each) for each in self._known.listeners]}
        elif order.command == "listPlugins":
            response["data"] = {"plugins": [{"name": name} for name in self._known.plugins]}
        else:
            response["error"] = "Unknown command"
        return response

    def _shown(self, listener: Listener) -> dict[str, object]:
        if listener.path:
            place: dict[str, object] = {"path": listener.path}
        else:
            place = {"port": self._known.port_of(listener)}
        if listener.host:
            place["host"] = listener.host
        return {**place, "protocol": listener.protocol, "tls": listener.tls is not None or listener.psk is not None}
