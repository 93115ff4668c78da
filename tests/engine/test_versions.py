"""MQTT 3.1, 3.1.1 and 5.0 side by side on the same topics."""

import pytest

from telex.wire.encode import encode
from telex.wire.packets import Connect, Publish, SubAck, Subscribe, SubscriptionRequest
from telex.wire.properties import Properties
from tests.engine.world import World

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])

EVERYTHING = {
    "payload_format_indicator": 1,
    "content_type": "text/plain; charset=utf-8",
    "response_topic": "answers/here",
    "correlation_data": bytes(range(256)),
    "user_properties": (("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("ключ", "价值")),
}


@pytest.mark.parametrize("publisher", [3, 4, 5])
@pytest.mark.parametrize("subscriber", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_version_hears_every_other(world: World, publisher: int, subscriber: int, qos: int) -> None:
    # pain 16, section 4.5
    sub = world.client("sub", version=subscriber, acknowledges=False).subscribes("a/+", qos=2)
    world.client("pub", version=publisher).publishes("a/b", b"\x00\xff", qos=qos)
    assert sub.got == [Publish("a/b", b"\x00\xff", qos, packet_id=1 if qos else 0)]


@pytest.mark.parametrize("payload", [b"", b"\x00", bytes(range(256)), b"\xff\xfe", "ü".encode()])
@VERSIONS
def test_a_payload_is_bytes_and_nothing_else(world: World, payload: bytes, version: int) -> None:  # section 3.3.3
    sub = world.client("sub", version=version).subscribes("a")
    world.client("pub").publishes("a", payload)
    world.client("pub3", version=3).publishes("a", payload)
    assert sub.payloads == [payload, payload]


@pytest.mark.parametrize("name", list(EVERYTHING))
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_property_goes_through_unaltered(world: World, name: str, qos: int) -> None:
    # [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-20]
    said = {name: EVERYTHING[name]}
    sub = world.client("sub").subscribes("a", qos=qos)
    world.client("pub").publishes("a", b"x", qos=qos, properties=Properties(**said))  # type: ignore[arg-type]
    assert sub.messages[0].properties == Properties(**said)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["live", "retained", "waiting", "repeated"])
def test_all_properties_together_go_every_way(world: World, way: str) -> None:  # [MQTT-3.3.2-17] [MQTT-3.3.2-18]
    sub = world.client("sub", session_expiry=60, acknowledges=False)
    if way != "retained":
        sub.subscribes("a", qos=1)
    if way == "waiting":
        sub.drops()
    world.client("pub").publishes("a", b"x", qos=1, retain=True, properties=Properties(**EVERYTHING))  # type: ignore[arg-type]
    if way == "retained":
        sub.subscribes("a", qos=1)
    if way == "waiting":
        sub = sub.returns()
    if way == "repeated":
        sub = sub.drops().returns()
    assert [message.properties for message in sub.messages] == [Properties(**EVERYTHING)]  # type: ignore[arg-type]


def test_v3_receivers_get_the_message_without_properties(world: World) -> None:  # v3 section 3.3
    subs = [world.client(f"v{version}", version=version).subscribes("a") for version in (3, 4)]
    world.client("pub").publishes("a", b"x", properties=Properties(message_expiry_interval=5, **EVERYTHING))  # type: ignore[arg-type]
    assert [sub.got for sub in subs] == [[Publish("a", b"x")]] * 2


def test_one_message_goes_to_all_versions_at_once(world: World) -> None:  # a message is encoded once a version
    said = {"content_type": "text", "user_properties": (("k", "v"),)}
    subs = {
        (version, qos): world.client(f"v{version}-{qos}", version=version).subscribes("#", qos=qos)
        for version in (3, 4, 5)
        for qos in (0, 1, 2)
    }
    retaining = world.client("rap").subscribes("#", qos=1, retain_as_published=True, identifier=3)
    aliased = world.client("alias", topic_alias_maximum=5).subscribes("#", qos=1)
    pub = world.client("pub")
    for number in range(5):
        pub.publishes("a", b"%d" % number, qos=2, retain=True, properties=Properties(**said))  # type: ignore[arg-type]
    for (version, qos), sub in subs.items():
        assert sub.payloads == [b"0", b"1", b"2", b"3", b"4"]
        assert {message.qos for message in sub.messages} == {qos}
        assert not any(message.retain for message in sub.messages)
        expected = Properties(**said) if version == 5 else None  # type: ignore[arg-type]
        assert all(message.properties == expected for message in sub.messages)
    assert all(message.retain for message in retaining.messages)
    assert aliased.topics == ["a"] * 5


def test_subscription_options_are_words_of_v5(world: World) -> None:  # v3 section 3.8.3: reserved bits
    client = world.client("c", version=4)
    client.sends(Subscribe(1, [SubscriptionRequest("a", 1)]))
    assert client.got == [SubAck(1, [1])]
    client.sends_bytes(bytes.fromhex("82 06 00 01 00 01 61 04"))  # No Local
    assert not client.is_connected


@pytest.mark.parametrize("level", [0x83, 0x84])
def test_a_bridge_of_mosquittos_is_let_in(world: World, level: int) -> None:  # mosquitto marks them in the top bit
    version = level & 0x7F
    data = bytearray(encode(Connect("bridge", version=version), version))
    data[10 if version == 3 else 8] = level
    client = world.stranger(version=version).sends_bytes(bytes(data))
    assert client.connack is not None
    assert client.connack.reason_code == 0
    client.takes()
    client.subscribes("a")
    world.client("pub").publishes("a", b"x")
    assert client.payloads == [b"x"]


@VERSIONS
def test_nothing_of_another_version_reaches_a_client(world: World, version: int) -> None:  # section 3.3.2.3
    sub = world.client("sub", version=version).subscribes("#", qos=2)
    for other in (3, 4, 5):
        world.client(f"pub-{other}", version=other).publishes("a", b"%d" % other, qos=2)
    assert sub.payloads == [b"3", b"4", b"5"]
    assert sub.is_connected  # and its strict decoder has read all of it
