"""What docs/moving-from-paho.md says is different, is: a story for each row of its tables, told with both libraries."""

import importlib
import pickle
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from telex.codes import ReasonCode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
)
from telex.wire.properties import Properties
from tests.docs.pages import table
from tests.paho.traces.played import SECONDS, Link, PlayedBroker
from tests.paho.traces.programs import playing

TEXT = Path(__file__).parents[2].joinpath("docs", "moving-from-paho.md").read_text()
HEADINGS = ("**What leaves**", "**What comes**", "**Connections**", "**Names**")
ROWS = [row[0] for heading in HEADINGS for row in table(TEXT, heading)]
ELSEWHERE = {
    "a dead link": "it takes its time",
    "`loop_start()` before `connect()`": "it takes its time",
    "proxies": "tests/paho/test_sockets.py",
    "WebSocket": "tests/paho/test_websocket.py",
    "`publish.multiple` loses its connection": "tests/paho/test_helpers.py",
    "texts of the log and of exceptions": "nobody can rely on them",
}
"""Rows without a story here, and why; a file is one that has it."""

Story = Callable[["Library", PlayedBroker], object]
STORIES: dict[str, tuple[Story, object, object]] = {}


class Library:
    """paho-mqtt, or what stands in for it."""

    def __init__(self, package: str) -> None:
        self._package = package
        self.mqtt = self.module("client")

    def module(self, name: str) -> Any:
        return importlib.import_module(f"{self._package}.{name}".rstrip("."))

    def client(self, version: int = 4, **options: Any) -> Any:
        versions = self.mqtt.MQTTProtocolVersion
        return self.mqtt.Client(self.mqtt.CallbackAPIVersion.VERSION2, "teller", protocol=versions(version), **options)

    def properties(self, packet_type: str, **values: object) -> Any:
        made = self.module("properties").Properties(getattr(self.module("packettypes").PacketTypes, packet_type))
        for name, value in values.items():
            setattr(made, name, value)
        return made


def shows(row: str, *, paho: object, here: object) -> Callable[[Story], Story]:
    """A story that shows what is said in a row: what it comes to with paho, and with Telex."""

    def note(story: Story) -> Story:
        assert row not in STORIES
        STORIES[row] = (story, paho, here)
        return story

    return note


def until(client: Any, happened: Callable[[], object]) -> None:
    """Turn the client's loop until something has happened."""
    end = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < end, "it has not happened"
        client.loop(0.01)


def gets(client: Any, link: Link, kind: type[Packet]) -> Any:
    """Turn the client's loop until it has sent a packet, which must be of that kind."""
    until(client, lambda: link.has_packet)
    return link.gets(kind)


def connected(client: Any, broker: PlayedBroker, connack: ConnAck | None = None, **options: Any) -> Link:
    client.connect(*broker.address, **options)
    link = broker.accepts()
    gets(client, link, Connect)
    link.sends(connack or ConnAck())
    until(client, client.is_connected)
    return link


def kinds(link: Link) -> list[str]:
    """The packets that a client has sent since CONNECT, when it has gone."""
    link.is_over()
    return [line.partition("(")[0].partition(" ")[0] for line in link.written[1:]]


def limited(**limits: Any) -> ConnAck:
    return ConnAck(properties=Properties(**limits))


@pytest.mark.parametrize("row", [row for row in ROWS if row not in ELSEWHERE])
def test_each_difference_is_as_the_page_has_it(row: str) -> None:
    story, paho, here = STORIES[row]
    found = []
    for package in ("paho.mqtt", "telex.paho"):
        with playing(PlayedBroker()) as broker:
            found.append(story(Library(package), broker))
    assert found == [paho, here]


def test_each_row_has_one_story() -> None:
    assert sorted(ROWS) == sorted([*STORIES, *ELSEWHERE])
    assert len(ROWS) == len(set(ROWS))


# What leaves


@shows("before the broker has let the client in", paho=["Subscribe", "Publish"], here=[])
def before_connack(library: Library, broker: PlayedBroker) -> object:
    client = library.client()
    client.on_socket_register_write = lambda *_: None  # its loop is here
    client.connect(*broker.address)
    link = broker.accepts()
    client.subscribe("a")
    client.publish("a", "x", 1)
    while client.want_write():
        client.loop_write()
    link.sends(ConnAck(5))
    until(client, lambda: client.socket() is None)
    return kinds(link)


@shows("more messages in flight than the broker takes (Receive Maximum)", paho=4, here=2)
def receive_maximum(library: Library, broker: PlayedBroker) -> object:
    client = library.client(5)
    link = connected(client, broker, limited(receive_maximum=2))
    for number in range(4):
        client.publish("a", str(number), 1)
    client.publish("a", "QoS 0 may overtake")
    count = 0
    while gets(client, link, Publish).qos == 1:
        count += 1
    client.disconnect()
    return count


@shows("a packet larger than the broker takes (Maximum Packet Size)", paho="SUCCESS", here="PAYLOAD_SIZE")
def packet_size(library: Library, broker: PlayedBroker) -> object:
    client = library.client(5)
    connected(client, broker, limited(maximum_packet_size=50))
    code = client.publish("a", "x" * 100).rc.name
    client.disconnect()
    return code.removeprefix("MQTT_ERR_")


@shows(
    "a QoS, a retained message, a kind of subscription that the broker does not take",
    paho=["SUCCESS"] * 3,
    here=["NOT_SUPPORTED"] * 3,
)
def not_supported(library: Library, broker: PlayedBroker) -> object:
    client = library.client(5)
    limits = {"maximum_qos": 0, "retain_available": 0, "shared_subscription_available": 0}
    connected(client, broker, limited(**limits))
    codes = [client.publish("a", "x", 1).rc, client.publish("a", "x", 0, True).rc, client.subscribe("$share/g/a")[0]]
    client.disconnect()
    return [code.name.removeprefix("MQTT_ERR_") for code in codes]


@shows("the session is gone after a reconnection", paho=(True, 1), here=(False, 0))
def session_gone(library: Library, broker: PlayedBroker) -> object:
    client = library.client(clean_session=False)
    link = connected(client, broker)
    client.publish("a", "x", 1)
    client.publish("a", "y", 2)
    link.sends(PubRec([gets(client, link, Publish) for _ in range(2)][1].packet_id))
    gets(client, link, PubRel)
    link.closes()
    until(client, lambda: client.socket() is None)
    client.reconnect()
    again = broker.opens()
    publish = gets(client, again, Publish)
    client.publish("a", "the end")
    while gets(client, again, Packet) != Publish("a", b"the end"):
        pass
    client.disconnect()
    until(client, lambda: client.socket() is None)
    return publish.dup, kinds(again).count("PubRel")


@shows(
    "the broker refuses a QoS 2 message (PUBREC with a failure)",
    paho=(["Publish", "PubRel", "Disconnect"], []),
    here=(["Publish", "Disconnect"], ["Not authorized"]),
)
def refused_qos2(library: Library, broker: PlayedBroker) -> object:
    client = library.client(5)
    reasons: list[str] = []
    client.on_publish = lambda c, u, mid, reason, p: reasons.append(str(reason))
    link = connected(client, broker)
    client.publish("a", "x", 2)
    link.sends(PubRec(gets(client, link, Publish).packet_id, ReasonCode.NOT_AUTHORIZED))
    until(client, lambda: link.has_packet or reasons)
    client.disconnect()
    until(client, lambda: client.socket() is None)
    return kinds(link), reasons


@shows("more than 65,535 messages while one waits for its acknowledgement", paho=(1, 1, False), here=(1, 2, True))
def packet_ids(library: Library, broker: PlayedBroker) -> object:
    client = library.client()
    first = client.publish("a", "waits for a connection", 1).mid
    for _ in range(65_534):
        client.publish("a")
    second = client.publish("a", "waits, too", 1)
    return first, second.mid, second.rc != library.mqtt.MQTT_ERR_QUEUE_SIZE


@shows("`TopicAlias` in the properties of a message", paho=("a/b", 1), here=("a/b", None))
def outgoing_alias(library: Library, broker: PlayedBroker) -> object:
    client = library.client(5)
    link = connected(client, broker)
    client.publish("a/b", "x", properties=library.properties("PUBLISH", TopicAlias=1))
    publish = gets(client, link, Publish)
    client.disconnect()
    return publish.topic, None if publish.properties is None else publish.properties.topic_alias


@shows("a null character in a topic or a filter", paho=["SUCCESS", "SUCCESS"], here=["ValueError", "ValueError"])
def null_character(library: Library, broker: PlayedBroker) -> object:
    client = library.client()
    connected(client, broker)
    codes = []
    for call in (lambda: client.publish("a\0b").rc, lambda: client.subscribe("a\0b")[0]):
        try:
            codes.append(call().name.removeprefix("MQTT_ERR_"))
        except ValueError:
            codes.append("ValueError")
    client.disconnect()
    return codes


@shows("small packets", paho=0, here=1)
def nodelay(library: Library, broker: PlayedBroker) -> object:
    client = library.client()
    connected(client, broker)
    option = client.socket().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    client.disconnect()
    return int(option != 0)


# What comes


@shows("a QoS 2 message", paho=[0, 0, 1], here=[1, 1, 1])
def qos2_comes(library: Library, broker: PlayedBroker) -> object:
    client = library.client()
    came: list[bytes] = []
    client.on_message = lambda c, u, message: came.append(message.payload)
    link = connected(client, broker)
    counts = []
    for packet, answer in (
        (Publish("a", b"x", 2, packet_id=7), PubRec),
        (Publish("a", b"x", 2, packet_id=7, dup=True), PubRec),
        (PubRel(7), PubComp),
    ):
        link.sends(packet)
        gets(client, link, answer)
        counts.append(len(came))
    client.disconnect()
    return counts


@shows("`on_message` raises", paho=["1", "1", "1"], here=["1", "2", "3"])
def on_message_raises(library: Library, broker: PlayedBroker) -> object:
    client = library.client()
    came: list[str] = []

    def on_message(c: object, u: object, message: Any) -> None:
        came.append(message.payload.decode())
        if came[-1] == "1":
            raise RuntimeError("not this one")

    client.on_message = on_message
    link = connected(client, broker)
    link.sends(*(Publish("a", str(number).encode(), 1, packet_id=number) for number in (1, 2, 3)))
    while len(came) < 3:
        with suppress(RuntimeError):
            until(client, lambda: len(came) >= 3)
    client.on_message = None
    client.disconnect()
    return came


@shows("`disconnect()` within `on_message`", paho=["Disconnect"], here=["PubAck", "Disconnect"])
def disconnect_within(library: Library, broker: PlayedBroker) -> object:
    client = library.client()
    client.on_message = lambda c, u, message: c.disconnect()
    link = connected(client, broker)
    link.sends(Publish("a", b"x", 1, packet_id=1))
    until(client, lambda: client.socket() is None)
    return kinds(link)


@shows("`ack` in another order than the messages came in", paho=[3, 1, 2], here=[1, 2, 3])
def order_of_ack(library: Library, broker: PlayedBroker) -> object:
    client = library.client(manual_ack=True)
    came: list[int] = []
    client.on_message = lambda c, u, message: came.append(message.mid)
    link = connected(client, broker)
    link.sends(*(Publish("a", b"x", 1, packet_id=number) for number in (1, 2, 3)))
    until(client, lambda: len(came) == 3)
    for number in (3, 1, 2):
        client.ack(number, 1)
    ids = [gets(client, link, PubAck).packet_id for _ in range(3)]
    client.disconnect()
    return ids


@shows("`ack` of a QoS 2 message", paho="PubComp", here="PubRec")
def ack_of_qos2(library: Library, broker: PlayedBroker) -> object:
    client = library.client(manual_ack=True)
    came: list[int] = []
    client.on_message = lambda c, u, message: came.append(message.mid)
    link = connected(client, broker)
    link.sends(Publish("a", b"x", 2, packet_id=7))
    until(client, lambda: came or link.has_packet)
    if not came:
        link.gets(PubRec)
        link.sends(PubRel(7))
        until(client, lambda: came)
    assert not link.has_packet
    client.ack(7, 2)
    answer = gets(client, link, Packet)
    client.disconnect()
    return type(answer).__name__


@shows("a message with a topic alias", paho=["a/b", ""], here=["a/b", "a/b"])
def incoming_alias(library: Library, broker: PlayedBroker) -> object:
    client = library.client(5)
    came: list[str] = []
    client.on_message = lambda c, u, message: came.append(message.topic)
    link = connected(client, broker, properties=library.properties("CONNECT", TopicAliasMaximum=5))
    link.sends(*(Publish(topic, b"x", properties=Properties(topic_alias=1)) for topic in ("a/b", "")))
    until(client, lambda: len(came) == 2)
    client.disconnect()
    return came


@shows(
    "a topic that is no UTF-8, and other bytes that break the rules",
    paho=[b"\xff\xfe"],
    here=["Protocol error", "MALFORMED_PACKET"],
)
def no_utf8(library: Library, broker: PlayedBroker) -> object:
    client = library.client(5)
    came: list[object] = []
    client.on_message = lambda c, u, message: came.append(message._topic)
    client.on_disconnect = lambda c, u, flags, reason, p: came.append(str(reason))
    link = connected(client, broker)
    link.sends_bytes(b"\x30\x06\x00\x02\xff\xfe\x00x")
    until(client, lambda: came)
    if came != [b"\xff\xfe"]:
        came.append(ReasonCode(link.gets(Disconnect).reason_code).name)
    client.on_disconnect = None
    client.disconnect()
    return came


@shows("Maximum Packet Size above 268,435,455 in CONNACK", paho="fails", here="is there")
def largest_packet_size(library: Library, broker: PlayedBroker) -> object:
    client = library.client(5)
    client.connect(*broker.address)
    link = broker.opens(limited(maximum_packet_size=4_294_967_295))
    try:
        until(client, lambda: client.is_connected() or client.socket() is None)
    except library.module("").MQTTException:
        link.closes()
        return "fails"
    found = "is there" if client.is_connected() else "fails"
    client.disconnect()
    return found


# Connections


@shows("the name that the broker gave to an empty client id", paho="", here="given")
def assigned_id(library: Library, broker: PlayedBroker) -> object:
    mqtt = library.mqtt
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "", protocol=mqtt.MQTTv5)
    link = connected(client, broker, limited(assigned_client_identifier="given"))
    link.closes()
    until(client, lambda: client.socket() is None)
    client.reconnect()
    again = broker.accepts()
    client_id = gets(client, again, Connect).client_id
    client.disconnect()
    return client_id


@shows("the first clean start (`MQTT_CLEAN_START_FIRST_ONLY`) is refused", paho=[True, False], here=[True, True])
def first_clean_start(library: Library, broker: PlayedBroker) -> object:
    client = library.client(5)
    client.connect(*broker.address)
    starts = []
    for _ in range(2):
        link = broker.accepts()
        starts.append(gets(client, link, Connect).clean_start)
        link.sends(ConnAck(ReasonCode.QUOTA_EXCEEDED))
        until(client, lambda: client.socket() is None)
        if len(starts) < 2:
            client.reconnect()
    return starts


@shows("`is_connected()` after a refusal or a DISCONNECT of the broker", paho=True, here=False)
def is_connected(library: Library, broker: PlayedBroker) -> object:
    client = library.client(5)
    link = connected(client, broker)
    link.sends(Disconnect(ReasonCode.SERVER_SHUTTING_DOWN))
    until(client, lambda: client.socket() is None)
    return client.is_connected()


# Names


@shows("`paho.mqtt.subscribeoptions.MQTTException`", paho=False, here=True)
def one_exception(library: Library, broker: PlayedBroker) -> object:
    return library.module("subscribeoptions").MQTTException is library.module("").MQTTException


@shows(
    "`Properties`: bytes that are none, a property that a will cannot have",
    paho=["IndexError", "IndexError"],
    here=["MalformedPacket", "MQTTException"],
)
def bad_properties(library: Library, broker: PlayedBroker) -> object:
    found = []
    for fail in (
        lambda: library.properties("PUBLISH").unpack(b"\x02\x01"),
        lambda: library.properties("WILLMESSAGE", TopicAlias=1),
    ):
        with pytest.raises((IndexError, library.module("").MQTTException)) as raised:
            fail()
        found.append(raised.type.__name__)
    return found


@shows(
    "a topic that is no string, a filter that is none",
    paho=["AttributeError", "MQTTErrorCode"],
    here=["TypeError", "ValueError"],
)
def no_topic(library: Library, broker: PlayedBroker) -> object:
    client = library.client()
    connected(client, broker)
    found = []
    for call in (lambda: client.publish(b"a"), lambda: client.unsubscribe("a#")[0]):
        try:
            found.append(type(call()).__name__)
        except (AttributeError, TypeError, ValueError) as error:
            found.append(type(error).__name__)
    client.disconnect()
    return found


@shows("pickles and tracebacks", paho=b"paho.mqtt.client", here=b"telex.paho")
def pickles(library: Library, broker: PlayedBroker) -> object:
    found = re.search(rb"(paho\.mqtt\.client|telex\.paho)", pickle.dumps(library.mqtt.ConnectFlags(True)))
    return found and found[0]
