"""The ``$SYS`` topics: names, formats and when they are told, with a clock moved by hand."""

import math

from telex.engine.connection import Connection
from telex.engine.engine import Engine
from telex.engine.options import Options
from telex.engine.seams import Gate, Journal, Observer
from telex.engine.visit import Visit
from telex.server.sys_topics import SysTopics
from telex.wire.encode import encode
from telex.wire.packets import Connect, Publish, Subscribe, SubscriptionRequest

NAMES = {
    "version",
    "uptime",
    *(f"clients/{name}" for name in ("total", "maximum", "expired")),
    *(f"clients/{name}" for name in ("connected", "active", "disconnected", "inactive")),
    *("messages/stored", "store/messages/count", "store/messages/bytes", "retained messages/count"),
    *("subscriptions/count", "shared_subscriptions/count", "connections/socket/count", "store/state"),
    *("messages/received", "messages/sent", "bytes/received", "bytes/sent"),
    *("publish/bytes/received", "publish/bytes/sent", "packet/out/count", "packet/out/bytes"),
    *(f"publish/messages/{name}" for name in ("dropped", "received", "sent")),
}
COUNTERS = (
    *("messages/received", "messages/sent", "bytes/received", "bytes/sent", "sockets", "connections"),
    *("publish/dropped", "publish/received", "publish/sent"),
)
LOADS = {f"load/{name}/{minutes}min" for name in COUNTERS for minutes in (1, 5, 15)}


class House:
    """An engine and its ``$SYS`` topics."""

    def __init__(self) -> None:
        self.engine = Engine(Options(), lambda: "auto-1", journal=Journal(), gate=Gate(), observer=Observer())
        self.others: dict[str, int] = {}
        self.sys_topics = SysTopics(self.engine, "telex version 9", 100.0, lambda: self.others)

    def connect(self, client_id: str, *, clean: bool = True) -> Connection:
        connection = Connection(self.engine, None, Visit("here"), 100.0)
        connection.receive(encode(Connect(client_id, version=4, clean_start=clean), 4), 100.0)
        return connection

    def topics(self, now: float) -> dict[str, str]:
        """What a new subscriber is told."""
        self.sys_topics.publish(now)
        messages = self.engine.retained.matching("$SYS/#", now)
        assert all((message.qos, message.retain) == (2, True) for message in messages)
        return {message.topic.removeprefix("$SYS/broker/"): message.payload.decode() for message in messages}


def test_at_the_start_all_topics_are_there() -> None:
    topics = House().topics(100.0)
    assert set(topics) == NAMES | LOADS
    assert topics["version"] == "telex version 9"
    assert topics["uptime"] == "0 seconds"
    assert topics["clients/connected"] == "0"
    assert topics["load/messages/received/1min"] == "0.00"


def test_clients_are_counted() -> None:
    house = House()
    one = house.connect("one")
    house.connect("two")
    kept = house.connect("kept", clean=False)
    kept.closed(100.0)
    one.closed(100.0)
    topics = house.topics(110.0)
    told = {name: topics[f"clients/{name}"] for name in ("total", "maximum", "connected", "active", "disconnected")}
    assert told == {"total": "2", "maximum": "3", "connected": "1", "active": "1", "disconnected": "1"}
    assert topics["clients/inactive"] == "1"
    assert topics["connections/socket/count"] == "1"
    assert topics["uptime"] == "10 seconds"


def test_messages_are_counted() -> None:
    house = House()
    sub, pub = house.connect("sub"), house.connect("pub")
    house.engine.take_ready()
    sub.outbox.take()
    sub.receive(encode(Subscribe(1, [SubscriptionRequest("a/#", 0), SubscriptionRequest("$share/g/b", 0)]), 4), 100.0)
    pub.receive(encode(Publish("a/1", b"12345"), 4) * 3 + encode(Publish("a/kept", b"123", retain=True), 4), 100.0)
    topics = house.topics(100.0)
    assert topics["publish/messages/received"] == "4"
    assert topics["publish/messages/sent"] == "4"
    assert topics["publish/bytes/received"] == topics["publish/bytes/sent"] == "18"
    assert topics["messages/received"] == "7"  # two CONNECT, one SUBSCRIBE
    assert topics["messages/sent"] == "7"  # two CONNACK, one SUBACK
    assert topics["subscriptions/count"] == "2"
    assert topics["shared_subscriptions/count"] == "1"
    assert topics["packet/out/count"] == "6"  # what waits: one CONNACK, SUBACK, four PUBLISH


def test_what_others_know_is_told_with_it() -> None:
    house = House()
    house.others = {"heap/current": 5, "connections/refused/count": 0}
    topics = house.topics(100.0)
    assert set(topics) == NAMES | LOADS | set(house.others)
    house.others["connections/refused/count"] = 2
    topics = house.topics(110.0)
    assert (topics["heap/current"], topics["connections/refused/count"]) == ("5", "2")


def test_retained_messages_and_those_that_wait_are_stored() -> None:
    house = House()
    house.topics(100.0)
    of_sys = len(house.engine.retained.matching("$SYS/#", 100.0))
    kept = house.connect("kept", clean=False)
    kept.receive(encode(Subscribe(1, [SubscriptionRequest("a", 1)]), 4), 100.0)
    kept.closed(100.0)
    house.connect("pub").receive(encode(Publish("a", b"x", qos=1, packet_id=1), 4), 100.0)
    topics = house.topics(110.0)
    assert topics["messages/stored"] == topics["store/messages/count"] == str(of_sys + 1)
    assert topics["retained messages/count"] == str(of_sys)


def test_only_what_has_changed_is_told_again() -> None:
    house = House()
    house.topics(100.0)
    sub = house.connect("sub")
    sub.receive(encode(Subscribe(1, [SubscriptionRequest("$SYS/broker/clients/#", 0)]), 4), 100.0)
    sub.outbox.take()
    house.sys_topics.publish(110.0)
    told = sub.outbox.take()
    assert told.count(b"$SYS/broker/clients/") == 4  # total, maximum, connected, active
    house.sys_topics.publish(120.0)
    assert sub.outbox.frames == []


def test_loads_are_moving_averages() -> None:
    house = House()
    house.topics(100.0)
    house.connect("one")
    expected = 6.0 + math.exp(-10 / 60) * (0.0 - 6.0)  # one in ten seconds is six a minute
    assert house.topics(110.0)["load/connections/1min"] == f"{expected:.2f}"
    expected *= math.exp(-10 / 60)
    assert house.topics(120.0)["load/connections/1min"] == f"{expected:.2f}"


def test_clients_may_read_them_but_not_write_them() -> None:
    house = House()
    house.topics(100.0)
    house.connect("pub").receive(encode(Publish("$SYS/broker/uptime", b"lies", retain=True), 4), 100.0)
    message = house.engine.retained.get("$SYS/broker/uptime", 100.0)
    assert message is not None
    assert message.payload == b"0 seconds"
