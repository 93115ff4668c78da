"""Callbacks: how they are set, what happens when they raise, and what is logged."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from telex.wire.packets import Connect, Disconnect, PubAck, PubComp, Publish, PubRec, PubRel, SubAck, UnsubAck
from tests.paho.traces.played import SECONDS, Link, PlayedBroker
from tests.paho.traces.programs import EVERY, PROTOCOLS, USUAL, V3, program
from tests.paho.traces.trace import CALLBACKS, Trace

ALL = (*CALLBACKS, "on_log", "on_socket_register_write", "on_socket_unregister_write")
DECORATORS = {
    "connect_callback": "on_connect",
    "connect_fail_callback": "on_connect_fail",
    "disconnect_callback": "on_disconnect",
    "message_callback": "on_message",
    "publish_callback": "on_publish",
    "subscribe_callback": "on_subscribe",
    "unsubscribe_callback": "on_unsubscribe",
    "log_callback": "on_log",
    "pre_connect_callback": "on_pre_connect",
    "socket_open_callback": "on_socket_open",
    "socket_close_callback": "on_socket_close",
    "socket_register_write_callback": "on_socket_register_write",
    "socket_unregister_write_callback": "on_socket_unregister_write",
}


@program(V3)
def test_callbacks_are_attributes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    for name in ALL:
        trace.reads(client, name)
        callback = trace.watcher(name)
        trace.writes(client, name, callback)
        trace.tell(f"{getattr(client, name) is callback}")
        trace.writes(client, name, None)


@program(V3)
def test_decorators_set_callbacks(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    for decorator, name in DECORATORS.items():
        callback = trace.watcher(name)
        decorated = trace.calls(getattr(client, decorator))(callback)
        trace.tell(f"{decorator}: {decorated is callback}, {getattr(client, name) is callback}")
    callback = trace.watcher("of a")
    decorated = trace.calls(client.topic_callback, "a")(callback)
    trace.tell(f"topic_callback: {decorated is callback}")
    client.on_log = client.on_socket_register_write = client.on_socket_unregister_write = None
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a"), Publish("b"))
    trace.loops(client, until="on_message")


def _raises(*_: Any) -> None:
    raise ArithmeticError("of the callback")


def _raises_once() -> Callable[..., None]:
    """A callback's doing that fails the first time."""
    raised: list[bool] = []

    def action(*_: Any) -> None:
        if not raised:
            raised.append(True)
            _raises()

    return action


AGAIN = "a packet whose callback raised is not handled a second time"


def _story(broker: PlayedBroker, trace: Trace, client: Any) -> None:
    """A life in which each callback comes; ``loop`` is called again where it raised."""
    if trace.calls(client.connect, *broker.address) is None:
        return
    link = broker.opens()
    _loops(trace, client, lambda: trace.counts("on_connect") >= 1)
    trace.calls(client.subscribe, "a")
    link.sends(SubAck(1, [0]))
    _loops(trace, client, lambda: trace.counts("on_subscribe") >= 1)
    info = trace.calls(client.publish, "a", b"x", 1)
    link.sends(PubAck(2))
    _loops(trace, client, lambda: trace.counts("on_publish") >= 1)
    trace.calls(info.is_published)
    link.sends(Publish("a", b"1", 1, packet_id=9), Publish("a", b"0"))
    _loops(trace, client, lambda: trace.counts("on_message") == 2)
    trace.calls(client.unsubscribe, "a")
    link.sends(UnsubAck(3, [0] if trace.is_v5 else []))
    _loops(trace, client, lambda: trace.counts("on_unsubscribe") == 1)
    trace.calls(client.disconnect)
    trace.calls(client.is_connected)
    trace.calls(client.socket)


def _loops(trace: Trace, client: Any, holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not holds() and time.monotonic() < until:
        try:
            answer = client.loop(0.01)
        except ArithmeticError:
            trace.tell("loop raises ArithmeticError")
        else:
            assert answer == 0
    assert holds(), f"it did not come: {trace.lanes}"


RAISING = ("on_connect", "on_subscribe", "on_publish", "on_unsubscribe", "on_pre_connect", "on_socket_open")


def _called(name: str, trace: Trace) -> str:
    """How a callback is called in the story."""
    arguments = {
        "on_connect": [
            "{'session present': 0}" if trace.api == 1 else "ConnectFlags(session_present=False)",
            "0" if trace.api == 1 and not trace.is_v5 else "ReasonCode(2, 0, 'Success')",
            *(["Properties(2, {})"] if trace.api == 2 or trace.is_v5 else []),
        ],
        "on_subscribe": ["1, [ReasonCode(9, 0, 'Granted QoS 0')], Properties(9, {})"],
        "on_publish": ["2" if trace.api == 1 else "2, ReasonCode(4, 0, 'Success'), Properties(4, {})"],
    }
    return f"{name}(client, 'mine', {', '.join(arguments[name])})"


def _raising(name: str, suppress: bool) -> Any:
    def story(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
        if not suppress and name in ("on_connect", "on_subscribe", "on_publish"):
            trace.differs(AGAIN, f"- program: {_called(name, trace)}")
        if not suppress and name == "on_publish":
            trace.differs(
                "a message that was acknowledged is published, whatever on_publish makes of it",
                "- program: is_published() -> False",
                "+ program: is_published() -> True",
            )
        client = trace.client()
        client.suppress_exceptions = suppress
        trace.watches(client, **{name: _raises_once()})
        _story(broker, trace, client)

    story.__name__ = f"test_{name}_raises_and_that_is_{'suppressed' if suppress else 'told'}"
    story.__qualname__ = story.__name__
    story.__module__ = __name__
    return story


for _name in RAISING:
    for _suppress in (False, True):
        _test = program(EVERY if _name in ("on_connect", "on_publish") else USUAL)(_raising(_name, _suppress))
        globals()[_test.__name__] = _test


@program(PROTOCOLS)
def test_on_message_raises_and_the_message_is_not_acknowledged(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        AGAIN + ", and so it is not acknowledged",
        f"- program: {trace.message('a', b'bad', 1, mid=4)}",
        "- connection 1: PubAck(packet_id=4)",
    )
    client = trace.client()
    once = _raises_once()
    trace.watches(client, on_message=lambda _c, _u, message: once() if message.payload == b"bad" else None)
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    link.sends(
        Publish("a", b"good", 1, packet_id=3),
        Publish("a", b"bad", 1, packet_id=4),
        Publish("a", b"behind", 0),
    )
    _loops(trace, client, lambda: trace.counts("on_message") == (4 if trace.is_paho else 3))
    link.gets(PubAck)
    trace.calls(client.is_connected)


@program(PROTOCOLS)
def test_on_message_raises_and_that_is_suppressed(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    client.suppress_exceptions = True
    trace.watches(client, on_message=_raises)
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    link.sends(Publish("a", b"1", 1, packet_id=3), Publish("a", b"0"))
    trace.loops(client, until="on_message", times=2)
    link.gets(PubAck)


@program(V3)
def test_one_of_several_topic_callbacks_raises(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(AGAIN, *[f"- program: {trace.message('a', callback=name)}" for name in ("first", "second")])
    for suppress in (False, True):
        client = trace.watches(trace.client())
        client.suppress_exceptions = suppress
        client.message_callback_add("a", trace.watcher("first", _raises_once()))
        client.message_callback_add("+", trace.watcher("second"))
        client.connect(*broker.address)
        link = broker.opens()
        trace.loops(client, until="on_connect")
        link.sends(Publish("a"), Publish("b"))
        wanted = trace.counts("second") + (2 if suppress or trace.is_paho else 1)
        _loops(trace, client, lambda wanted=wanted: trace.counts("second") == wanted)


@program(PROTOCOLS)
def test_on_disconnect_raises(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "is_connected() is False after any end of a connection",
        "- program: is_connected() -> True",
        "+ program: is_connected() -> False",
    )
    for suppress in (False, True):
        client = trace.client()
        client.suppress_exceptions = suppress
        trace.watches(client, on_disconnect=_raises)
        client.connect(*broker.address)
        link = broker.opens()
        trace.loops(client, until="on_connect")
        link.closes()
        link.is_over()
        trace.calls(client.loop)
        trace.calls(client.is_connected)
        trace.calls(client.socket)


@program(V3)
def test_on_disconnect_raises_within_disconnect(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "the socket is closed, whatever on_disconnect makes of it",
        "+ program: on_socket_close(client, 'mine', an open socket)",
    )
    for suppress in (False, True):
        client = trace.client()
        client.suppress_exceptions = suppress
        trace.watches(client, on_disconnect=_raises)
        client.connect(*broker.address)
        link = broker.opens()
        trace.loops(client, until="on_connect")
        trace.calls(client.disconnect)
        link.gets(Disconnect)


@program(V3)
def test_on_socket_close_raises(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for suppress in (False, True):
        client = trace.client()
        client.suppress_exceptions = suppress
        trace.watches(client, on_socket_close=_raises)
        client.connect(*broker.address)
        link = broker.opens()
        trace.loops(client, until="on_connect")
        link.closes()
        link.is_over()
        trace.calls(client.loop)
        trace.calls(client.socket)


@program(V3)
def test_on_connect_fail_raises_and_nobody_hears_of_it(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    broker.stops()
    client = trace.client()
    trace.watches(client, on_connect_fail=_raises)
    client.connect_async(*broker.address)
    trace.calls(client.loop_forever)


@program(V3)
def test_on_log_raises_and_nobody_hears_of_it(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.on_log = _raises
    trace.calls(client.connect, *broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    link.sends(Publish("a"))
    trace.loops(client, until="on_message")


@program(V3)
def test_an_exception_ends_loop_forever(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(AGAIN, f"- program: {trace.message('a')}")
    client = trace.client()
    trace.watches(client, on_message=lambda *_: _raises() if trace.counts("on_message") == 0 else client.disconnect())
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a"))
    trace.calls(client.loop_forever)
    trace.calls(client.is_connected)
    link.sends(Publish("b"))
    trace.calls(client.loop_forever)  # and it can be called again


@program(V3)
def test_an_exception_ends_the_thread(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(AGAIN, f"- paho-mqtt-client-c: {trace.message('a')}")
    client = trace.client()
    trace.watches(client, on_message=lambda *_: _raises() if trace.counts("on_message") == 0 else None)
    client.connect(*broker.address)
    before = threading.excepthook
    raised: list[str] = []
    threading.excepthook = lambda told: raised.append(told.exc_type.__name__)
    try:
        client.loop_start()
        thread = next(each for each in threading.enumerate() if each.name.startswith("paho-mqtt-client"))
        link = broker.opens()
        link.sends(Publish("a"))
        thread.join(SECONDS)
    finally:
        threading.excepthook = before
    trace.tell(f"{raised}, {thread.is_alive()}")
    trace.calls(client.loop_stop)
    trace.calls(client.is_connected)
    if trace.is_paho:
        client._reset_sockets(sockpair_only=True)  # it forgets to close what wakes the thread
    trace.calls(client.loop_start)
    link.sends(Publish("b"))
    trace.waits("on_message", 2)
    client.disconnect()
    link.is_over()
    client.loop_stop()


@program(V3)
def test_suppress_exceptions_is_a_plain_attribute(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.reads(client, "suppress_exceptions")
    trace.writes(client, "suppress_exceptions", True)


# Which thread, one at a time


@program(USUAL)
def test_callbacks_run_one_at_a_time(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    within: list[int] = []

    def look(*_: Any) -> None:
        within.append(1)
        trace.tell(f"{len(within)} callbacks run")
        within.pop()

    trace.watches(client, on_message=look, on_publish=look)
    client.connect(*broker.address)
    client.loop_start()
    link = broker.opens().obliges()
    trace.waits("on_connect")
    link.sends(Publish("a"))
    trace.waits("on_message")
    trace.calls(client.publish, "a", b"x", 1)
    trace.waits("on_publish")
    client.disconnect()
    link.is_over()
    client.loop_stop()


@program(V3)
def test_a_callback_waits_for_nothing_that_another_thread_does(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()

    def ask(*_: Any) -> None:
        other = threading.Thread(target=lambda: client.publish("b", b"of another thread"))
        other.start()
        other.join(SECONDS)
        trace.tell(f"{other.is_alive()}")

    trace.watches(client, on_message=ask)
    client.connect(*broker.address)
    client.loop_start()
    link = broker.opens()
    link.sends(Publish("a"))
    trace.waits("on_message")
    link.gets(Publish)
    client.disconnect()
    link.is_over()
    client.loop_stop()


class Nothing:
    """A lock that locks nothing, for who has one thread only."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return True

    def release(self) -> None:
        pass

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        pass


LOCKS = (
    "_in_callback_mutex",
    "_callback_mutex",
    "_msgtime_mutex",
    "_out_message_mutex",
    "_in_message_mutex",
    "_reconnect_delay_mutex",
    "_mid_generate_mutex",
)


@program(PROTOCOLS)
def test_who_has_one_thread_needs_no_locks(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    for name in LOCKS:
        trace.tell(
            f"{name}: {hasattr(getattr(client, name), 'acquire')}, {hasattr(getattr(client, name), '__enter__')}"
        )
        setattr(client, name, Nothing())
    trace.watches(client)
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    for qos in (0, 1, 2):
        trace.calls(client.publish, "a", b"x", qos)
    link.sends(PubAck(2), PubRec(3))
    for _ in range(3):
        link.gets(Publish)
    trace.gets(client, link, PubRel)
    link.sends(PubComp(3), Publish("a", b"x", 1, packet_id=8))
    trace.loops(client, until="on_message")
    trace.gets(client, link, PubAck)
    trace.calls(client.disconnect)


# Logging


def _life(broker: PlayedBroker, trace: Trace, client: Any) -> Link:
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    return link


@program(V3)
def test_a_logger_is_told(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.reads(client, "logger")
    logger = logging.getLogger("of.the.program")
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        trace.calls(client.enable_logger, logger)
        trace.tell(f"{client.logger is logger}")
        _life(broker, trace, client)
        trace.tell(f"{len(records) > 0}, {sorted({record.levelname for record in records})}")
        trace.calls(client.disable_logger)
        trace.reads(client, "logger")
        before = len(records)
        client.publish("a")
        trace.tell(f"{len(records) - before} more")
        client.logger = logger
        client.publish("a")
        trace.tell(f"{len(records) > before}")
    finally:
        logger.removeHandler(handler)


@program(V3)
def test_a_logger_of_its_own_has_the_name_of_the_module(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.calls(client.enable_logger)
    trace.reads(client.logger, "name")
    mine = logging.getLogger("mine")
    client.enable_logger(mine)
    client.enable_logger()
    trace.tell(f"{client.logger is mine}")
    client.enable_logger(None)
    trace.tell(f"{client.logger is mine}")


@program(USUAL)
def test_on_log_gets_a_level_and_a_text(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    told: list[tuple[Any, Any]] = []
    client.on_log = lambda _client, _userdata, level, text: told.append((level, text))
    trace.watches(client)
    link = _life(broker, trace, client)
    client.publish("a", b"x", 1)
    client.subscribe("a")
    client.unsubscribe("a")
    link.sends(PubAck(1), SubAck(2, [0]), Publish("end", b"x", 1, packet_id=5))
    trace.loops(client, until="on_message")
    client.disconnect()
    for level, text in told:
        assert isinstance(text, str)
        assert text
        trace.tell(f"{trace.text(level)} {_gist(text)}")


def _gist(text: str) -> str:
    """What is sent or received, without the rest of the sentence."""
    for word in ("CONNECT", "CONNACK", "PUBLISH", "PUBACK", "SUBSCRIBE", "UNSUBSCRIBE", "SUBACK", "DISCONNECT"):
        if word in text.split():
            return f"{text.split()[0]} {word}"
    return text


@program(V3)
def test_an_exception_that_is_suppressed_is_logged(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    client.suppress_exceptions = True
    levels: list[Any] = []

    def log(_client: Any, _userdata: Any, level: Any, text: str) -> None:
        if "of the callback" in text:
            levels.append(level)

    client.on_log = log
    trace.watches(client, on_connect=_raises)
    client.connect(*broker.address)
    broker.opens()
    trace.loops(client, until="on_connect")
    trace.tell(trace.text(levels))


@program(EVERY)
def test_a_callback_with_other_parameters_is_a_type_error(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    client.on_connect = lambda client, userdata: None
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a"))
    trace.calls(client.loop, SECONDS)
    client.on_connect = None
    trace.watches(client, "on_message")
    trace.loops(client, until="on_message")


@program(V3)
def test_hooks_of_a_socket_raise(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for suppress in (True, False):
        client = trace.client()
        client.suppress_exceptions = suppress
        client.on_socket_register_write = trace.watcher("on_socket_register_write", _raises)
        client.on_socket_unregister_write = trace.watcher("on_socket_unregister_write", _raises)
        trace.calls(client.connect, *broker.address)
        trace.calls(client.loop_write)
        broker.accepts().gets(Connect)
