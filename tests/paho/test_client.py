"""The drop-in's client against a broker that the test plays: what paho does otherwise, or not at all.

What both do alike is compared in ``traces/``.
"""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import dns.name
import dns.resolver
import pytest
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rdtypes.IN.SRV import SRV

import telex.paho.client as mqtt
from telex.paho import transfer
from telex.paho.packettypes import PacketTypes
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from telex.wire.properties import Properties
from tests.paho.traces.played import SECONDS, Link, PlayedBroker


@pytest.fixture
def broker() -> Iterator[PlayedBroker]:
    played = PlayedBroker()
    yield played
    played.ends()
    for link in played.links:
        link.flows()
        link.closes()
        link.finishes()


class Watched(mqtt.Client):
    """A client that writes down what it is told."""

    def __init__(self, protocol: int = 4, **settings: Any) -> None:
        version = mqtt.MQTTProtocolVersion(protocol)
        super().__init__(mqtt.CallbackAPIVersion.VERSION2, "c", protocol=version, **settings)
        self.told: list[str] = []
        self.payloads: list[bytes] = []
        self.on_connect = lambda _c, _u, _flags, reason, _properties: self.told.append(f"connect: {reason}")
        self.on_message = lambda _c, _u, message: self.payloads.append(bytes(message.payload))
        self.on_publish = lambda _c, _u, mid, reason, _properties: self.told.append(f"publish {mid}: {reason}")
        self.on_subscribe = lambda _c, _u, mid, reasons, _properties: self.told.append(f"subscribe {mid}: {reasons}")
        self.on_disconnect = lambda _c, _u, _flags, reason, _properties: self.told.append(f"disconnect: {reason}")

    def turns(self, until: Callable[[], Any]) -> None:
        """The loop turns until something is so."""
        end = time.monotonic() + SECONDS
        while not until():
            assert time.monotonic() < end, f"it was told: {self.told}, {self.payloads}"
            self.loop(0.1)


def opened(broker: PlayedBroker, client: Watched, connack: ConnAck | None = None, **settings: Any) -> Link:
    """A client that the broker has let in."""
    client.connect(*broker.address, **settings)
    link = broker.opens(connack)
    client.turns(client.is_connected)
    return link


def numbered(count: int, qos: int = 0) -> list[Publish]:
    """Messages whose payloads are their numbers, from 1 on."""
    return [Publish("t", b"%d" % each, qos=qos, packet_id=each if qos else 0) for each in range(1, count + 1)]


# What leaves, and when


def test_nothing_but_connect_leaves_before_connack(broker: PlayedBroker) -> None:
    client = Watched()
    client.loop_start()
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    assert client.subscribe("t", 1) == (mqtt.MQTT_ERR_SUCCESS, 1)
    first, second = client.publish("a", "0"), client.publish("b", "1", qos=1)
    assert [*first, *second] == [mqtt.MQTT_ERR_SUCCESS, 2, mqtt.MQTT_ERR_SUCCESS, 3]
    assert not link.has_packet
    assert not first.is_published()
    link.sends(ConnAck())
    assert link.gets(Subscribe) == Subscribe(1, [SubscriptionRequest("t", 1)])
    assert link.gets(Publish) == Publish("a", b"0")
    assert link.gets(Publish) == Publish("b", b"1", qos=1, packet_id=3)
    link.sends(PubAck(3))
    second.wait_for_publish(SECONDS)
    assert second.is_published()
    client.disconnect()
    client.loop_stop()


def test_a_program_without_a_loop_can_publish_and_go(broker: PlayedBroker) -> None:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect(*broker.address)
    letting_in = threading.Thread(target=broker.opens)
    letting_in.start()
    assert client.publish("a", "0").is_published()
    letting_in.join()
    client.publish("a", "1", qos=1)
    assert client.disconnect() == mqtt.MQTT_ERR_SUCCESS
    [link] = broker.links
    assert link.gets(Publish) == Publish("a", b"0")
    assert link.gets(Publish) == Publish("a", b"1", qos=1, packet_id=2)
    link.gets(Disconnect)


def test_who_leaves_before_connack_waits_for_it_with_what_was_published(broker: PlayedBroker) -> None:
    client = Watched()
    client.loop_start()
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    info = client.publish("a", "0")
    assert client.disconnect() == mqtt.MQTT_ERR_SUCCESS
    link.sends(ConnAck())
    assert link.gets(Publish) == Publish("a", b"0")
    link.gets(Disconnect)
    info.wait_for_publish(SECONDS)
    client.loop_stop()
    assert client.told[-1] == "disconnect: Normal disconnection"


def test_who_leaves_before_connack_with_nothing_else_to_say_leaves(broker: PlayedBroker) -> None:
    client = Watched()
    client.connect(*broker.address)
    assert client.disconnect() == mqtt.MQTT_ERR_SUCCESS
    link = broker.accepts()
    link.gets(Connect)
    link.gets(Disconnect)
    link.is_over()
    assert client.told == ["disconnect: Normal disconnection"]


def test_who_waits_for_connack_in_vain_leaves_all_the_same(broker: PlayedBroker) -> None:
    client = Watched()
    client.connect_timeout = 0.2
    client.connect(*broker.address)
    client.loop(0.0)
    info = client.publish("a", "0")
    assert client.disconnect() == mqtt.MQTT_ERR_SUCCESS
    assert client.told == ["disconnect: Normal disconnection"]
    assert client.socket() is None
    assert not info.is_published()
    link = broker.accepts()
    link.gets(Connect)
    link.gets(Disconnect)


def test_messages_of_qos_0_that_never_left_are_lost_when_it_connects_anew(broker: PlayedBroker) -> None:
    client = Watched()
    client.loop_start()
    client.connect(*broker.address)
    broker.accepts().gets(Connect)
    info = client.publish("a", "0")
    client.reconnect()
    with pytest.raises(RuntimeError, match="The connection was lost"):
        info.wait_for_publish(SECONDS)
    client.disconnect()
    client.loop_stop()


def test_a_loop_in_another_thread_is_woken_by_what_is_published(broker: PlayedBroker) -> None:
    client = Watched()
    link = opened(broker, client)
    looping = threading.Thread(target=client.loop_forever, args=(SECONDS * 2,))
    looping.start()
    for number in range(20):
        client.publish("a", b"%d" % number)
        assert link.gets(Publish).payload == b"%d" % number
    client.disconnect()
    looping.join(SECONDS)
    assert not looping.is_alive()


def test_a_message_above_qos_0_leaves_before_a_goodbye_that_came_before_connack(broker: PlayedBroker) -> None:
    client = Watched()
    may_go_on = threading.Event()
    is_in = threading.Event()

    def on_connect(*_: Any) -> None:
        is_in.set()
        assert may_go_on.wait(SECONDS)

    client.on_connect = on_connect
    client.loop_start()
    client.connect(*broker.address)
    client.publish("a", "1", qos=1)
    link = broker.opens()
    assert is_in.wait(SECONDS)
    client.disconnect()  # CONNACK has come, and what waited has not left
    may_go_on.set()
    client.loop_stop()
    link.gets(Publish)
    link.gets(Disconnect)


def test_beside_a_loop_in_a_thread_of_its_own_a_program_writes_itself(broker: PlayedBroker) -> None:
    client = Watched()
    link = opened(broker, client)
    looping = threading.Thread(target=client.loop_forever)
    looping.start()
    assert client.publish("a", "0").is_published()
    assert client.disconnect() == mqtt.MQTT_ERR_SUCCESS
    assert client.told[-1] == "disconnect: Normal disconnection"
    looping.join(SECONDS)
    assert not looping.is_alive()
    link.gets(Publish)
    link.gets(Disconnect)


def test_loop_within_a_callback_does_not_hang(broker: PlayedBroker) -> None:
    client = Watched()
    client.on_connect = lambda client, *_: client.subscribe("t")

    def on_subscribe(_client: Any, *_: Any) -> None:
        client.told.append("subscribed")
        link.closes()
        while client.socket() is not None:
            client.loop(0.1)

    client.on_subscribe = on_subscribe
    link = opened(broker, client)
    link.gets(Subscribe)
    link.sends(SubAck(1, [0]))
    client.turns(lambda: client.socket() is None)
    assert client.told == ["subscribed", "disconnect: Unspecified error"]


# Callbacks


def test_what_comes_behind_a_message_whose_callback_raises_is_told_by_the_next_call(broker: PlayedBroker) -> None:
    client = Watched()
    link = opened(broker, client)

    def on_message(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        client.payloads.append(bytes(message.payload))
        if message.payload == b"1":
            raise LookupError

    client.on_message = on_message
    link.sends(*numbered(3, qos=1))
    with pytest.raises(LookupError):
        client.turns(lambda: client.payloads)
    assert client.loop_misc() == mqtt.MQTT_ERR_SUCCESS
    assert client.payloads == [b"1", b"2", b"3"]
    assert link.gets(PubAck) == PubAck(2)  # the first is the broker's still
    assert link.gets(PubAck) == PubAck(3)


def test_a_message_whose_callback_raised_is_told_again_when_it_comes_again(broker: PlayedBroker) -> None:
    client = Watched(clean_session=False)
    link = opened(broker, client)
    client.on_message = lambda *_: 1 / 0
    link.sends(*numbered(1, qos=2))
    with pytest.raises(ZeroDivisionError):
        client.turns(lambda: False)
    client.on_message = lambda _client, _data, message: client.payloads.append(bytes(message.payload))
    client.reconnect()
    link = broker.opens(ConnAck(session_present=True))
    link.sends(Publish("t", b"1", qos=2, dup=True, packet_id=1))
    client.turns(lambda: client.payloads)
    link.gets(PubRec)
    link.sends(PubRel(1))
    client.turns(lambda: link.has_packet)
    link.gets(PubComp)


def test_suppressed_exceptions_let_a_message_be_acknowledged(broker: PlayedBroker) -> None:
    client = Watched()
    client.suppress_exceptions = True
    link = opened(broker, client)
    client.on_message = lambda *_: 1 / 0
    link.sends(*numbered(1, qos=1))
    client.turns(lambda: link.has_packet)
    assert link.gets(PubAck) == PubAck(1)


def test_nothing_is_told_behind_a_disconnect(broker: PlayedBroker) -> None:
    client = Watched(clean_session=False)
    link = opened(broker, client)

    def on_message(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        client.payloads.append(bytes(message.payload))
        client.disconnect()

    client.on_message = on_message
    link.sends(*numbered(3, qos=2))
    client.turns(lambda: client.socket() is None)
    assert client.payloads == [b"1"]
    link.gets(PubRec)
    link.gets(Disconnect)
    client.reconnect()
    link = broker.opens(ConnAck(session_present=True))
    link.sends(*numbered(3, qos=2))
    client.turns(lambda: client.socket() is None)
    assert client.payloads == [b"1", b"2"]  # the first is known


def test_callbacks_may_be_methods_of_a_subclass(broker: PlayedBroker) -> None:
    told: list[Any] = []

    class Own(mqtt.Client):
        def on_connect(self, *arguments: Any) -> None:  # type: ignore[override]
            told.append(arguments)

    client = Own(mqtt.CallbackAPIVersion.VERSION2)
    client.connect(*broker.address)
    broker.opens()
    while not told:
        client.loop(0.1)
    [(*arguments, _properties)] = told
    assert arguments == [client, None, mqtt.ConnectFlags(session_present=False), "Success"]


def test_messages_wait_while_a_callback_takes_long_and_the_connection_lives(broker: PlayedBroker) -> None:
    client = Watched()
    link = opened(broker, client, keepalive=1)
    is_seen = threading.Event()

    def on_message(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        client.payloads.append(bytes(message.payload))
        if message.payload == b"1":
            client.publish("early", "x")
            time.sleep(0.06)
        elif message.payload == b"2":
            assert is_seen.wait(SECONDS)

    client.on_message = on_message
    link.sends(*numbered(2))
    looping = threading.Thread(target=client.turns, args=(lambda: len(client.payloads) == 2,))
    looping.start()
    assert link.gets(Publish) == Publish("early", b"x")
    is_seen.set()
    looping.join(SECONDS)


class NoLock:
    """What Home Assistant puts in the place of locks: all is done in one thread."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def acquire(self, blocking: bool = False, timeout: int = -1) -> bool:
        return True

    def release(self) -> None:
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


def test_a_subclass_may_do_without_locks(broker: PlayedBroker) -> None:
    client = Watched()
    for name in LOCKS:
        assert getattr(client, name).acquire(False)
        getattr(client, name).release()
        setattr(client, name, NoLock())
    link = opened(broker, client).obliges()
    client.subscribe("t", 1)
    client.publish("t", "1", qos=1)
    link.sends(*numbered(1, qos=1))
    client.turns(lambda: client.payloads and len(client.told) == 3)
    assert client.told == [
        "connect: Success",
        "subscribe 1: [ReasonCode(Suback, 'Granted QoS 1')]",
        "publish 2: Success",
    ]


# What the broker has said


def test_no_more_is_in_flight_than_the_broker_takes(broker: PlayedBroker) -> None:
    client = Watched(5)
    link = opened(broker, client, ConnAck(properties=Properties(receive_maximum=1)))
    infos = [client.publish("a", str(number), qos=1) for number in range(3)]
    for info in infos:
        client.turns(lambda: link.has_packet)
        assert link.gets(Publish).packet_id == info.mid
        assert not link.has_packet
        link.sends(PubAck(info.mid))
        client.turns(info.is_published)


def test_what_the_broker_does_not_take_is_refused_at_once(broker: PlayedBroker) -> None:
    client = Watched(5)
    limits = Properties(maximum_packet_size=50, maximum_qos=1, wildcard_subscription_available=0)
    opened(broker, client, ConnAck(properties=limits))
    assert client.publish("a", bytes(50)).rc == mqtt.MQTT_ERR_PAYLOAD_SIZE
    assert client.publish("a", bytes(50), qos=1).rc == mqtt.MQTT_ERR_PAYLOAD_SIZE
    assert client.publish("a", qos=2).rc == mqtt.MQTT_ERR_NOT_SUPPORTED
    assert client.subscribe("#") == (mqtt.MQTT_ERR_NOT_SUPPORTED, None)
    assert client.unsubscribe("a" * 60) == (mqtt.MQTT_ERR_PAYLOAD_SIZE, None)


def test_what_was_published_before_the_broker_said_so_is_refused_then(broker: PlayedBroker) -> None:
    client = Watched(5)
    infos = [client.publish("a", bytes(50), qos=1)]
    client.loop_start()
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    infos += [client.publish("a", bytes(50)), client.publish("a", qos=2)]
    link.sends(ConnAck(properties=Properties(maximum_packet_size=50, maximum_qos=1)))
    for info, text in zip(infos[1:], ("Payload too large", "not supported"), strict=True):
        with pytest.raises(RuntimeError, match=text):
            info.wait_for_publish(SECONDS)
    assert infos[0].rc == mqtt.MQTT_ERR_PAYLOAD_SIZE
    client.disconnect()
    client.loop_stop()


def test_a_name_that_the_broker_gave_is_kept(broker: PlayedBroker) -> None:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect(*broker.address)
    broker.opens(ConnAck(properties=Properties(assigned_client_identifier="you", server_keep_alive=7)))
    while not client.is_connected():
        client.loop(0.1)
    client.reconnect()
    connect = broker.accepts().gets(Connect)
    assert (connect.client_id, connect.keep_alive, client.keepalive) == ("you", 7, 7)
    client.disconnect()


def alias(number: int) -> Any:
    properties = mqtt.Properties(PacketTypes.PUBLISH)
    properties.TopicAlias = number
    return properties


def test_topic_aliases_are_what_the_broker_takes_of_them(broker: PlayedBroker) -> None:
    client = Watched(5)
    with pytest.raises(ValueError, match="topic alias 1 was never given a topic"):
        client.publish("", "1", properties=alias(1))
    link = opened(broker, client, ConnAck(properties=Properties(topic_alias_maximum=1)))
    client.publish("a", "1", properties=alias(1))
    client.publish("", "2", properties=alias(1))
    client.publish("", "3", qos=1, properties=alias(1))
    client.publish("b", "4", properties=alias(2))
    client.publish("", "5", properties=alias(2))
    known = Properties(topic_alias=1)
    assert [link.gets(Publish) for _ in range(5)] == [
        Publish("a", b"1", properties=known),
        Publish("", b"2", properties=known),
        Publish("a", b"3", qos=1, packet_id=3, properties=None),
        Publish("b", b"4", properties=None),
        Publish("b", b"5", properties=None),
    ]
    client.reconnect()
    link = broker.opens(ConnAck(properties=Properties(topic_alias_maximum=1, maximum_packet_size=20)))
    client.turns(client.is_connected)
    assert client.publish("a", bytes(20), properties=alias(1)).rc == mqtt.MQTT_ERR_PAYLOAD_SIZE  # it says nothing
    link.gets(Publish)  # the one of QoS 1, again
    client.publish("", "6", properties=alias(1))
    assert link.gets(Publish) == Publish("a", b"6", properties=known)


def test_a_broker_that_does_not_answer_is_noticed(broker: PlayedBroker) -> None:
    client = Watched()
    link = opened(broker, client, keepalive=1)
    began = time.monotonic()
    client.turns(lambda: client.socket() is None)
    assert time.monotonic() - began >= 1.0
    link.gets(PingReq)
    assert client.told == ["connect: Success", "disconnect: Keep alive timeout"]
    assert client.loop() == mqtt.MQTT_ERR_NO_CONN


def test_a_broker_that_breaks_the_rules_is_told_so(broker: PlayedBroker) -> None:
    client = Watched(5)
    link = opened(broker, client)
    link.sends(*numbered(1), PingReq())
    client.turns(lambda: client.socket() is None)
    assert link.gets(Disconnect) == Disconnect(0x82)
    assert (client.payloads, client.told[1:]) == ([b"1"], ["disconnect: Protocol error"])
    assert not client.is_connected()


def test_what_is_written_slowly_is_written_behind_a_disconnect(broker: PlayedBroker) -> None:
    client = Watched()
    link = opened(broker, client, keepalive=1)
    opened_at = time.monotonic()
    while time.monotonic() - opened_at < 1.1:
        link.sends(*numbered(1))
        client.turns(lambda: client.payloads)
        client.payloads.clear()
        client.loop(0.2)
    link.stalls()
    info = client.publish("a", bytes(20_000_000))
    client.disconnect()
    client.loop(0.0)
    assert not info.is_published()
    link.flows()
    client.turns(lambda: client.socket() is None)
    assert info.is_published()
    assert client.told[-1] == "disconnect: Normal disconnection"


def test_the_last_words_of_a_broker_do_not_reset_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker whose connection is reset publishes the will, though DISCONNECT has come."""
    ends: list[bool | bytes] = []
    monkeypatch.setattr(transfer, "_FAREWELL", SECONDS)

    def serves(door: socket.socket) -> None:
        peer, _ = door.accept()
        with peer:
            peer.settimeout(SECONDS)
            peer.recv(1_000)
            peer.sendall(b"\x20\x02\x00\x00")  # CONNACK
            data = b""
            while not data.endswith(b"\xe0\x00"):  # DISCONNECT
                data += peer.recv(1_000)
            peer.sendall(b"\x40\x02\x00\x01")  # PUBACK
            ends.append(bool(select.select([peer], [], [], 0.05)[0]))
            peer.shutdown(socket.SHUT_WR)
            ends.append(peer.recv(1_000))

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=serves, args=(door,))
        thread.start()
        client = Watched()
        client.connect(*door.getsockname())
        client.turns(client.is_connected)
        client.publish("a", "x", qos=1)
        client.disconnect()
        thread.join(SECONDS)
    assert ends == [False, b""]
    assert client.told[-1] == "disconnect: Normal disconnection"


def test_a_broker_that_is_gone_for_the_second_try_is_a_connection_lost(broker: PlayedBroker) -> None:
    """It refuses MQTT 3.1.1, and goes before we could ask for 3.1."""
    client = Watched()
    client.on_connect_fail = lambda _c, _u: client.told.append("it failed")
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    broker.stops()
    link.sends(ConnAck(reason_code=1))
    client.turns(lambda: client.socket() is None)
    assert client.told == ["it failed", "disconnect: Unspecified error"]
    broker.starts()
    assert client.reconnect() == mqtt.MQTT_ERR_SUCCESS
    link = broker.accepts()
    assert link.gets(Connect).version == 3
    link.sends(ConnAck())
    client.turns(client.is_connected)


def test_a_connection_whose_socket_somebody_has_closed_is_lost(broker: PlayedBroker) -> None:
    client = Watched()
    opened(broker, client)
    sock = client.socket()
    assert sock is not None
    sock.close()
    assert client.loop(0.1) == mqtt.MQTT_ERR_CONN_LOST
    assert client.told[-1] == "disconnect: Unspecified error"
    assert client.socket() is None


def test_the_loop_tries_again_when_on_pre_connect_fails(broker: PlayedBroker) -> None:
    client = Watched()
    client.reconnect_delay_set(0, 0)
    failures = iter([OSError("no token"), OSError("no token"), None])

    def on_pre_connect(_client: Any, _data: Any) -> None:
        failure = next(failures)
        if failure is not None:
            raise failure

    client.on_pre_connect = on_pre_connect
    client.on_connect_fail = lambda *_: client.told.append("failed")
    client.connect_async(*broker.address)
    client.loop_start()
    broker.opens()
    client.disconnect()
    client.loop_stop()
    assert client.told[:2] == ["failed", "failed"]


# QoS 2, and sessions


def test_a_message_of_qos_2_is_told_when_it_comes_and_once(broker: PlayedBroker) -> None:
    client = Watched(clean_session=False)
    link = opened(broker, client)
    link.sends(*numbered(1, qos=2))
    client.turns(lambda: client.payloads)
    link.gets(PubRec)
    client.reconnect()
    link = broker.opens(ConnAck(session_present=True))
    link.sends(Publish("t", b"1", qos=2, dup=True, packet_id=1), PubRel(1))
    client.turns(lambda: link.has_packet)
    link.gets(PubRec)
    link.gets(PubComp)
    assert client.payloads == [b"1"]


def test_acknowledgements_by_hand_go_in_the_order_of_the_messages(broker: PlayedBroker) -> None:
    client = Watched(manual_ack=True)
    link = opened(broker, client)
    link.sends(*numbered(2, qos=1), Publish("t", b"3", qos=2, packet_id=3))
    client.turns(lambda: len(client.payloads) == 3)
    assert client.ack(3, 2) == mqtt.MQTT_ERR_SUCCESS
    assert client.ack(2, 1) == mqtt.MQTT_ERR_SUCCESS
    assert not link.has_packet
    assert client.ack(1, 1) == mqtt.MQTT_ERR_SUCCESS
    assert [link.gets(PubAck), link.gets(PubAck), link.gets(PubRec)] == [PubAck(1), PubAck(2), PubRec(3)]
    assert client.ack(1, 1) == mqtt.MQTT_ERR_SUCCESS  # done before
    assert not link.has_packet


def test_dropped_messages_are_given_back_and_not_sent(broker: PlayedBroker) -> None:
    client = Watched(5)
    info = client.publish("a", "1", qos=2, retain=True)
    assert info.rc == mqtt.MQTT_ERR_NO_CONN
    [message] = client.drop_out_messages()
    assert (message.mid, message.topic, message.payload, message.qos, message.retain) == (1, "a", b"1", 2, True)
    assert message.info is info
    link = opened(broker, client)
    client.publish("a", "2", qos=1)
    assert link.gets(Publish) == Publish("a", b"2", qos=1, packet_id=2)


def test_messages_that_waited_leave_behind_what_on_connect_says(broker: PlayedBroker) -> None:
    client = Watched()
    client.publish("a", "1", qos=1)
    client.on_connect = lambda client, *_: client.subscribe("a")
    link = opened(broker, client)
    client.turns(lambda: link.has_packet)
    link.gets(Subscribe)
    assert link.gets(Publish) == Publish("a", b"1", qos=1, packet_id=1)


def test_no_id_is_given_to_two_messages(broker: PlayedBroker) -> None:
    client = Watched()
    opened(broker, client)
    infos = [client.publish("a", qos=1) for _ in range(65_535)]
    assert len({info.mid for info in infos}) == 65_535
    assert client.publish("a", qos=1).rc == mqtt.MQTT_ERR_QUEUE_SIZE
    assert client.subscribe("a") == (mqtt.MQTT_ERR_QUEUE_SIZE, None)


# Brokers that DNS names


class Records:
    """What DNS says, for ``dns.resolver``."""

    def __init__(self, **records: list[tuple[int, int, int, str]]) -> None:
        self.records = records

    def resolve(self, name: str, kind: str) -> list[SRV]:
        assert kind == "SRV"
        if name.partition(".")[0] not in self.records:
            raise dns.resolver.NXDOMAIN
        return [
            SRV(RdataClass.IN, RdataType.SRV, priority, weight, port, dns.name.from_text(target))
            for priority, weight, port, target in self.records[name.partition(".")[0]]
        ]


def test_the_first_broker_that_answers_is_taken(broker: PlayedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(_mqtt=[(20, 0, 1, "no.invalid."), (5, 1, 1, "127.0.0.1."), (10, 1, broker.port, "127.0.0.1.")])
    monkeypatch.setattr(dns.resolver, "resolve", records.resolve)
    client = Watched()
    assert client.connect_srv("example.org", keepalive=7) == mqtt.MQTT_ERR_SUCCESS
    assert (client.host, client.port) == ("127.0.0.1", broker.port)
    assert broker.accepts().gets(Connect).keep_alive == 7
    client.disconnect()


def test_where_dns_names_no_broker_or_none_answers_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns.resolver, "resolve", Records(_mqtt=[(1, 1, 1, "127.0.0.1.")]).resolve)
    client = Watched()
    with pytest.raises(ValueError, match="No SRV hosts responded"):
        client.connect_srv("example.org")
    client.tls_set()
    with pytest.raises(ValueError, match=r"No answer/NXDOMAIN for SRV in example\.org"):
        client.connect_srv("example.org")
