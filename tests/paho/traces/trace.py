"""What one program sees with one library: calls and callbacks, in the order of each thread.

A ``Trace`` is handed to a program, which is written as paho's users write theirs; what is not usual there stands here,
so that the programs stay short.
"""

import re
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from telex.wire.packets import ConnAck, Packet
from tests.paho.traces.played import SECONDS, Link, PlayedBroker
from tests.paho.traces.values import text_of

P = TypeVar("P", bound=Packet)

CALLBACKS = (
    "on_pre_connect",
    "on_socket_open",
    "on_connect",
    "on_connect_fail",
    "on_disconnect",
    "on_message",
    "on_publish",
    "on_subscribe",
    "on_unsubscribe",
    "on_socket_close",
)
"""What is watched unless a program says otherwise: all that does not change what a client does."""


def _replaced(line: str, masks: dict[str, str]) -> str:
    for pattern, mask in masks.items():
        line = re.sub(pattern, mask, line)
    return line


class Thread:
    """A thread of a program, and what became of it."""

    def __init__(self, trace: "Trace", function: Callable[..., Any], arguments: tuple[Any, ...], name: str) -> None:
        self._thread = threading.Thread(target=trace.calls, args=(function, *arguments), name=name)
        self._thread.start()

    def ends(self) -> None:
        """Wait until the function has returned."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the thread did not end"


class Trace:
    """What a program sees.

    Args:
        mqtt: the module of the library, ``paho.mqtt.client`` or the drop-in.
        protocol: 3, 4 or 5, as ``Client`` takes it.
        api: 1 or 2, the version of the callbacks.
    """

    def __init__(self, mqtt: ModuleType, protocol: int, api: int) -> None:
        self.mqtt: Any = mqtt
        self.is_paho = mqtt.__name__ == "paho.mqtt.client"
        self.protocol = protocol
        self.is_v5 = protocol == 5
        self.api = api
        self.lanes: dict[str, list[str]] = {}
        """What was seen, for each thread by its name."""
        self.differences: list[tuple[str, tuple[str, ...]]] = []
        self.clients: list[Any] = []
        self.masks: dict[str, str] = {}
        """What is not the same in each run, and what stands for it."""
        self._count: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()
        self._news = threading.Condition()

    # What is written down

    def tell(self, line: str) -> None:
        """Write a line into the lane of this thread."""
        with self._news:
            self.lanes.setdefault(self._lane(), []).append(line)
            self._news.notify_all()

    def masked(self) -> dict[str, list[str]]:
        """All that was written down, with what is not the same in each run replaced."""
        masks = {rf"\b{re.escape(real)}\b": mask for real, mask in self.masks.items()}
        return {lane: [_replaced(line, masks) for line in lines] for lane, lines in self.lanes.items()}

    def _lane(self) -> str:
        current = threading.current_thread()
        return "program" if current is threading.main_thread() else current.name

    def text(self, value: object) -> str:
        """A value as text; clients by their number."""
        for number, client in enumerate(self.clients, 1):
            if value is client:
                return "client" if number == 1 else f"client {number}"
        return text_of(value)

    def calls(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a function; what it returns or raises is written down. None if it raises."""
        said = [self.text(each) for each in arguments]
        said += [f"{name}={self.text(each)}" for name, each in named.items()]
        call = f"{getattr(function, '__name__', 'callable')}({', '.join(said)})"
        try:
            answer = function(*arguments, **named)
        except Exception as error:
            self.tell(f"{call} raises {text_of(error)}")
            return None
        self.tell(f"{call} -> {self.text(answer)}")
        return answer

    def reads(self, owner: object, *names: str) -> None:
        """Write down what these attributes are."""
        for name in names:
            try:
                self.tell(f"{name} is {self.text(getattr(owner, name))}")
            except Exception as error:
                self.tell(f"{name} raises {text_of(error)}")

    def writes(self, owner: object, name: str, value: object) -> None:
        """Set an attribute, and write down how that went."""
        try:
            setattr(owner, name, value)
        except Exception as error:
            self.tell(f"{name} = {self.text(value)} raises {text_of(error)}")
        else:
            self.tell(f"{name} = {self.text(value)}: {self.text(getattr(owner, name))}")

    def warned(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a function; what it warns of is written down, with the file that the warning names."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answer = function(*arguments, **named)
        for each in caught:
            where = "here" if each.filename == __file__ else each.filename
            self.tell(f"warning {each.category.__name__}: {each.message} ({where})")
        return answer

    def differs(self, words: str, *lines: str) -> None:
        """Declare a difference that is on purpose: ``- lane: line`` only paho says, ``+ lane: line`` only Telex."""
        self.differences.append((words, lines))

    def faulted(self, code: int) -> list[str]:
        """What Telex alone says where it finds fault with a packet, on the first connection.

        ``code`` is what DISCONNECT says of it, where there is a word for that.
        """
        said = [
            "+ program: on_socket_close(client, 'mine', an open socket)",
            f"+ program: {self.disconnected(130, 'Protocol error')}",
            "+ program: loop -> MQTTErrorCode.MQTT_ERR_PROTOCOL",
        ]
        return [*said, f"+ connection 1: Disconnect(reason_code={code})"] if self.is_v5 else said

    # What callbacks of the second version are called with, for declarations

    def connected_text(self, *, session: bool = False) -> str:
        """``on_connect``, after a good CONNACK."""
        return (
            f"on_connect(client, 'mine', ConnectFlags(session_present={session}), "
            "ReasonCode(2, 0, 'Success'), Properties(2, {}))"
        )

    def disconnected(self, code: int, reason: str) -> str:
        """``on_disconnect``, of an end that the client tells."""
        return (
            "on_disconnect(client, 'mine', DisconnectFlags(is_disconnect_packet_from_server=False), "
            f"ReasonCode(14, {code}, {reason!r}), Properties(14, {{}}))"
        )

    def message(
        self,
        topic: str,
        payload: bytes = b"",
        qos: int = 0,
        *,
        mid: int = 0,
        dup: bool = False,
        said: str = "",
        callback: str = "on_message",
    ) -> str:
        """``on_message``; ``said`` is what the properties say."""
        properties = f"Properties(3, {{{said}}})" if self.is_v5 else "None"
        return (
            f"{callback}(client, 'mine', MQTTMessage(topic={topic!r}, payload={payload!r}, qos={qos}, retain=False, "
            f"dup={dup}, mid={mid}, properties={properties}))"
        )

    # A client

    def client(self, client_id: str | None = "c", **options: Any) -> Any:
        """A client of the library, in the versions that are tried."""
        options.setdefault("protocol", self.mqtt.MQTTProtocolVersion(self.protocol))
        options.setdefault("userdata", "mine")
        version = self.mqtt.CallbackAPIVersion(self.api)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            client = self.mqtt.Client(version, client_id, **options)
        self.clients.append(client)
        return client

    def connected(
        self, broker: PlayedBroker, connack: ConnAck | None = None, *, keepalive: int = 60, **options: Any
    ) -> tuple[Any, Link]:
        """A client that is watched and connected, and its connection."""
        client = self.watches(self.client(**options))
        client.connect(*broker.address, keepalive)
        link = broker.opens(connack)
        self.loops(client, until="on_connect")
        return client, link

    def watches(self, client: Any, *names: str, **actions: Callable[..., Any]) -> Any:
        """Have callbacks write down what they are called with; an action is then called with the same."""
        for name in names or CALLBACKS:
            setattr(client, name, self.watcher(name))
        for name, action in actions.items():
            setattr(client, name, self.watcher(name, action))
        return client

    def watcher(self, name: str, action: Callable[..., Any] | None = None) -> Callable[..., None]:
        """A callback that writes down what it is called with."""

        def watch(*arguments: Any) -> None:
            self.tell(f"{name}({', '.join(self.text(each) for each in arguments)})")
            try:
                if action is not None:
                    action(*arguments)
            finally:
                with self._news:
                    self._count[name] += 1
                    self._news.notify_all()

        watch.__name__ = name
        return watch

    # Waiting

    def loops(self, client: Any, until: str, times: int = 1) -> None:
        """Call ``loop`` until a callback has come so many times since it was last waited for.

        What ``loop`` returns is written down where it is not success, and ends it: the connection is gone then.
        """
        self._taken[until] += times
        for _ in range(1000):
            if self._count[until] >= self._taken[until]:
                return
            answer = client.loop(SECONDS)
            if answer != 0:
                self.tell(f"loop -> {self.text(answer)}")
                break
        assert self._count[until] >= self._taken[until], f"{until} did not come: {self.lanes}"

    def counts(self, name: str) -> int:
        """How often a callback has come."""
        return self._count[name]

    def loops_until(self, client: Any, holds: Callable[[], bool]) -> None:
        """Call ``loop`` until something holds that is not a callback's doing."""
        until = time.monotonic() + SECONDS
        while not holds() and time.monotonic() < until:
            answer = client.loop(0.01)
            if answer != 0:
                self.tell(f"loop -> {self.text(answer)}")
                break
        assert holds(), f"it does not hold: {self.lanes}"

    def gets(self, client: Any, link: Link, kind: type[P]) -> P:
        """The next packet that a client sends, which must be of that kind; ``loop`` is called until it comes."""
        self.loops_until(client, lambda: link.has_packet)
        return link.gets(kind)

    def loops_to_the_end(self, client: Any) -> None:
        """Call ``loop`` until it says that the connection is gone."""
        for _ in range(1000):
            answer = client.loop(SECONDS)
            if answer != 0:
                self.tell(f"loop -> {self.text(answer)}")
                return
            if client.socket() is None:
                self.tell("loop -> the socket is gone")
                return
        raise AssertionError(f"the connection did not end: {self.lanes}")

    def waits(self, name: str, times: int = 1) -> None:
        """Wait until a callback has come so many times, in a thread of the client, since it was last waited for."""
        self._taken[name] += times
        with self._news:
            came = self._news.wait_for(lambda: self._count[name] >= self._taken[name], SECONDS)
        assert came, f"{name} did not come: {self.lanes}"

    def thread(self, function: Callable[..., Any], *arguments: Any, name: str = "thread") -> Thread:
        """Call a function in a thread; it has a lane of its own."""
        return Thread(self, function, arguments, name)
