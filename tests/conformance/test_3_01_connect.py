"""CONNECT: who comes, with what, and what the broker makes of it (section 3.1)."""

import pytest

from telex.engine.options import Options
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
    Will,
)
from tests.conformance.conftest import MakeWorld
from tests.conformance.connects import (
    CLEAN,
    ID,
    LETTERS,
    PASSWORD,
    USER_NAME,
    WILL,
    Refusing,
    Register,
    Sphinx,
    assert_turned_away,
    connect,
    in_memory,
    string,
    watching,
    will_fields,
)
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import kept
from tests.engine.world import ClosedGate, LateGate, Manners, World

# The first packet


@edge("M1")
@mqtt("MQTT-3.1.0-1")
@mqtt("MQTT-3.1.0-1", v3=True)
@pytest.mark.parametrize(
    "data",
    [
        "0000",
        "20020000",
        "30030001 61",
        "3206000161000178",
        "40020001",
        "50020001",
        "62020001",
        "70020001",
        "8206000100016100",
        "9003000100",
        "a2050001000161",
        "b0020001",
        "c000",
        "d000",
        "e000",
        "f000",
    ],
    ids=lambda data: f"packet type {int(data[0], 16)}",
)
@each_version
def test_any_packet_before_connect_closes_the_connection(world: World, version: int, data: str) -> None:
    watcher = world.client("watcher", version=version).subscribes("#")
    client = world.stranger(version=version).sends_bytes(bytes.fromhex(data) + connect(version, CLEAN, ID))
    assert not client.is_connected
    assert client.got == []
    assert watcher.got == []
    assert watcher.is_connected


@edge("M1")
@mqtt("MQTT-3.1.0-2")
@mqtt("MQTT-3.1.0-2", v3=True)
@pytest.mark.parametrize("client_id", ["c", "another"])
@each_version
def test_a_second_connect_closes_the_connection(world: World, version: int, client_id: str) -> None:
    client = world.client("c", version=version).sends(Connect(client_id, version=version))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(0x82)])  # it SHOULD say so in v5, section 4.13.1
    assert world.client("other", version=version).is_connected


@edge("M1", "W1")
@mqtt("MQTT-3.1.2-8")
@mqtt("MQTT-3.1.2-8", v3=True)
@each_version
def test_a_second_connect_does_not_withdraw_the_will(world: World, version: int) -> None:
    watcher = watching(world)
    client = world.client("c", version=version, will=Will("w", b"lost"))
    assert not client.sends(Connect("c", version=version)).is_connected
    assert watcher.payloads == [b"lost"]


@edge("M1")
@mqtt("MQTT-3.1.0-2")
def test_a_second_connect_is_called_a_protocol_error(engine: World) -> None:
    for second in (connect(5, CLEAN, ID), connect(4, CLEAN, ID), connect(9, CLEAN, ID), connect(5, 1, ID)):
        client = engine.client("c").sends_bytes(second)
        assert isinstance(client.got[-1], Disconnect)
        assert client.got[-1].reason_code in (0x81, 0x82)


@edge("M1")
def test_who_connects_has_limited_time_to_say_connect(engine: World) -> None:  # section 3.1.4
    silent, slow, late = engine.stranger(), engine.stranger(), engine.stranger()
    slow.sends_bytes(b"\x10")
    engine.advance(9)
    slow.sends_bytes(b"\x0e")  # half a packet wins no time
    assert late.sends(Connect("late")).is_connected
    engine.advance(2)
    assert not silent.is_connected
    assert not slow.is_connected
    assert silent.got == slow.got == []
    engine.advance(1_000)
    assert engine.client("pub").is_connected
    assert isinstance(late.got[0], ConnAck)


# Protocol name and version


@mqtt("MQTT-3.1.2-1")
@mqtt("MQTT-3.1.2-1", v3=True)
@pytest.mark.parametrize("name", [b"mqtt", b"Mqtt", b"MQT", b"MQTTX", b"", b"HTTP", b"MQTT ", b"MQIsdp"])
@each_version
def test_another_protocol_name_closes_the_connection(world: World, version: int, name: bytes) -> None:
    client = world.stranger(version=version).sends_bytes(connect(version, CLEAN, ID, name=name))
    assert not client.is_connected
    assert client.got in ([], [ConnAck(0x84)], [ConnAck(1)])


@mqtt("MQTT-3.1.2-2")
@mqtt("MQTT-3.1.2-2", v3=True)
@pytest.mark.parametrize("level", [0, 1, 2, 6, 7, 127])
def test_another_protocol_version_is_answered_and_closed(world: World, level: int) -> None:
    # In v3's words or in v5's: neither text can say what such a client understands.
    client = world.stranger().sends_bytes(connect(level, CLEAN, ID))
    assert client.got in ([ConnAck(1)], [ConnAck(0x84)])
    assert not client.is_connected


@mqtt("MQTT-3.1.2-3", "MQTT-3.1.4-1")
@mqtt("MQTT-3.1.2-3", v3=True)
@each_version
def test_a_reserved_flag_closes_the_connection(world: World, version: int) -> None:
    for flags in (0x01, CLEAN | 0x01):
        client = world.stranger(version=version).sends_bytes(connect(version, flags, ID))
        assert_turned_away(client)


# Clean Start, Clean Session and the session


@mqtt("MQTT-3.1.2-4", "MQTT-3.1.4-4")
@mqtt("MQTT-3.1.2-6", "MQTT-3.1.4-3", v3=True)
@each_version
def test_a_clean_start_throws_the_session_away(world: World, version: int) -> None:
    kept(world, "c", version).subscribes("a", qos=2).drops()
    pub = world.client("pub").publishes("a", b"1", qos=2)
    client = world.client("c", version=version)
    assert not client.session_present
    pub.publishes("a", b"2", qos=2)
    assert client.got == []
    client = client.drops().returns()
    assert not client.session_present
    assert client.got == []


@mqtt("MQTT-3.1.2-4")
@mqtt("MQTT-3.1.2-6", v3=True)
@each_version
def test_a_clean_start_throws_exchanges_away(world: World, version: int) -> None:
    client = kept(world, "c", version)
    client.sends(Publish("a", b"1", 2, packet_id=7)).drops()
    client = world.client("c", version=version)
    watcher = world.client("watcher").subscribes("a")
    client.sends(Publish("a", b"2", 2, packet_id=7), PubRel(7))  # a new message now, no repeat
    assert watcher.payloads == [b"2"]


@mqtt("MQTT-3.1.2-6", v3=True)
def test_a_session_of_clean_session_1_ends_with_its_connection(world: World) -> None:
    world.client("c", version=4).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    client = world.client("c", version=4, clean_start=False)
    assert not client.session_present
    assert client.got == []


@mqtt("MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.1.4-4")
@mqtt("MQTT-3.1.2-4", "MQTT-3.1.4-3", v3=True)
@each_version
def test_without_a_clean_start_the_session_goes_on(world: World, version: int) -> None:
    client = kept(world, "c", version).subscribes("a", qos=1).drops().returns()
    assert client.session_present
    world.client("pub").publishes("a", b"x", qos=1)
    assert client.payloads == [b"x"]


@mqtt("MQTT-3.1.2-5", "MQTT-3.1.2-23")
@mqtt("MQTT-3.1.2-4", v3=True)
@each_version
def test_a_session_goes_on_in_the_middle_of_an_exchange(world: World, version: int) -> None:
    client = kept(world, "c", version, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=2)
    client.sends(Publish("b", b"y", 2, packet_id=7))
    client = client.drops().returns()
    (message,) = client.messages
    assert (message.payload, message.dup) == (b"x", True)
    client.takes()
    assert client.sends(Publish("b", b"y", 2, packet_id=7, dup=True)).takes() == [PubRec(7)]


@mqtt("MQTT-3.1.2-5", v3=True)
@mqtt("MQTT-3.1.2-5", "MQTT-3.1.2-23")
@pytest.mark.parametrize("qos", [1, 2])
@each_version
def test_messages_wait_for_a_client_that_is_away(world: World, version: int, qos: int) -> None:
    client = kept(world, "c", version).subscribes("a", qos=2).drops()
    world.client("pub").publishes("a", b"1", qos).publishes("b", b"2", qos).publishes("a", b"3", qos)
    client = client.returns()
    assert [(message.payload, message.qos) for message in client.messages] == [(b"1", qos), (b"3", qos)]
    assert client.drops().returns().payloads == []


@mqtt("MQTT-3.1.2-6", "MQTT-3.1.4-4")
@mqtt("MQTT-3.1.2-4", "MQTT-3.1.4-3", v3=True)
@each_version
def test_without_a_session_to_go_on_with_there_is_a_new_one(world: World, version: int) -> None:
    client = kept(world, "c", version)
    assert not client.session_present
    assert client.subscribes("a", qos=1).drops().returns().session_present


@mqtt("MQTT-3.1.2-4")
@mqtt("MQTT-3.1.2-6", v3=True)
@each_version
def test_a_clean_start_without_a_session_begins_one(world: World, version: int) -> None:
    client = world.client("c", version=version)
    assert not client.session_present
    assert client.publishes("b", b"x", qos=2).subscribes("a").publishes("a", b"x").payloads == [b"x"]


def test_sessions_of_both_versions_are_the_same_ones(world: World) -> None:  # section 4.1, Telex's reading
    kept(world, "c", 4).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    assert kept(world, "c", 5).payloads == [b"x"]


# User name and password


@mqtt("MQTT-3.1.2-16", "MQTT-3.1.2-18", "MQTT-3.1.4-1")
@mqtt("MQTT-3.1.2-18", "MQTT-3.1.2-20", "MQTT-3.1.4-1", v3=True)
@pytest.mark.parametrize(
    ("flags", "fields"),
    [(0, string(b"u")), (0, string(b"u") + string(b"p")), (USER_NAME, string(b"u") + string(b"p")), (0, b"\x00")],
    ids=["user name", "user name and password", "password", "a byte of neither"],
)
@each_version
def test_what_no_flag_announces_is_malformed(world: World, version: int, flags: int, fields: bytes) -> None:
    client = world.stranger(version=version).sends_bytes(connect(version, CLEAN | flags, ID, fields))
    assert_turned_away(client)


@mqtt("MQTT-3.1.2-17", "MQTT-3.1.2-19", "MQTT-3.1.4-1")
@mqtt("MQTT-3.1.2-19", "MQTT-3.1.2-21", "MQTT-3.1.4-1", v3=True)
@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        (USER_NAME, b""),
        (USER_NAME, b"\x00"),
        (USER_NAME, b"\x00\x02u"),
        (USER_NAME | PASSWORD, string(b"u")),
        (USER_NAME | PASSWORD, string(b"u") + b"\x00\x02p"),
    ],
    ids=["no user name", "half a length", "half a user name", "no password", "half a password"],
)
@each_version
def test_what_a_flag_announces_and_does_not_come_is_malformed(
    world: World, version: int, flags: int, fields: bytes
) -> None:
    client = world.stranger(version=version).sends_bytes(connect(version, CLEAN | flags, ID, fields))
    assert_turned_away(client)


@mqtt("MQTT-3.1.2-22", v3=True)
def test_a_v3_client_has_no_password_without_a_user_name(world: World) -> None:
    client = world.stranger(version=4).sends_bytes(connect(4, CLEAN | PASSWORD, ID, string(b"p")))
    assert_turned_away(client)


@mqtt("MQTT-3.1.2-16", "MQTT-3.1.2-19")
def test_a_v5_client_may_have_a_password_without_a_user_name(make_world: MakeWorld) -> None:  # section 3.1.2.9
    register = Register()
    world = make_world(gate=register)
    assert world.stranger().sends_bytes(connect(5, CLEAN | PASSWORD, ID, string(b"p"))).is_connected
    assert [(packet.user_name, packet.password) for packet in register.packets] == [(None, b"p")]


@mqtt("MQTT-3.1.2-16", "MQTT-3.1.2-17", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.3-12")
@mqtt("MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-20", "MQTT-3.1.2-21", v3=True)
@each_version
def test_user_name_and_password_arrive_as_they_were_said(make_world: MakeWorld, version: int) -> None:
    register = Register()
    world = make_world(gate=register)
    said = [(None, None), ("u", None), ("u", b"\x00\xff"), ("", b""), ("\u00fc\u20ac", b"p")]
    for user_name, password in said:
        world.client("c", version=version, user_name=user_name, password=password)
    assert [(packet.user_name, packet.password) for packet in register.packets] == said


@mqtt("MQTT-3.1.3-12")
@mqtt("MQTT-3.1.3-11", v3=True)
@pytest.mark.parametrize("user_name", [b"\xff", b"u\xed\xa0\x80", b"u\x00"])
@each_version
def test_a_user_name_that_is_no_text_is_malformed(world: World, version: int, user_name: bytes) -> None:
    client = world.stranger(version=version).sends_bytes(connect(version, CLEAN | USER_NAME, ID, string(user_name)))
    assert_turned_away(client)


# The payload


@mqtt("MQTT-3.1.3-1", "MQTT-3.1.3-3")
@mqtt("MQTT-3.1.3-1", "MQTT-3.1.3-3", v3=True)
@each_version
def test_the_fields_are_read_in_their_order(make_world: MakeWorld, version: int) -> None:
    register = Register()
    world = make_world(gate=register)
    watcher = world.client("watcher").subscribes("#")
    flags = CLEAN | WILL | USER_NAME | PASSWORD
    fields = [string(b"id"), will_fields(version, b"topic", b"payload"), string(b"user"), string(b"password")]
    client = world.stranger(version=version).sends_bytes(connect(version, flags, *fields))
    assert client.is_connected
    packet = register.packets[-1]
    assert (packet.client_id, packet.user_name, packet.password) == ("id", "user", b"password")
    client.drops()
    assert watcher.got == [Publish("topic", b"payload")]


@mqtt("MQTT-3.1.3-1")
@mqtt("MQTT-3.1.3-1", v3=True)
@each_version
def test_the_will_comes_between_client_id_and_user_name(world: World, version: int) -> None:
    watcher = watching(world)
    fields = [string(b"id"), will_fields(version, b"w", b"payload"), string(b"w/user"), string(b"w/password")]
    data = connect(version, CLEAN | WILL | USER_NAME | PASSWORD, *fields)
    world.stranger(version=version).sends_bytes(data).drops()
    # A stranger is heard of only when somebody asks: first it came, then it went.
    assert watcher.got == [Publish("w", b"payload")]


@mqtt("MQTT-3.1.3-2")
@mqtt("MQTT-3.1.3-2", v3=True)
@each_version
def test_a_session_belongs_to_its_client_id(world: World, version: int) -> None:
    names = ["client", "Client", "client ", "clien", "client/"]
    clients = [kept(world, name, version) for name in names]
    for client in clients:
        client.subscribes(f"to/{client.name}", qos=1).drops()
    pub = world.client("pub")
    for name in names:
        pub.publishes(f"to/{name}", name.encode(), qos=1)
    for client in clients:
        again = client.returns()
        assert again.session_present
        assert again.payloads == [client.name.encode()]


@mqtt("MQTT-3.1.3-3")
@mqtt("MQTT-3.1.3-3", v3=True)
@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x00\x02c"])
@each_version
def test_a_connect_without_a_whole_client_id_is_malformed(world: World, version: int, payload: bytes) -> None:
    assert_turned_away(world.stranger(version=version).sends_bytes(connect(version, CLEAN, payload)))


@mqtt("MQTT-3.1.3-4")
@mqtt("MQTT-3.1.3-4", v3=True)
@pytest.mark.parametrize("client_id", [b"\xff", b"c\xed\xa0\x80", b"c\x00", b"\xc3"])
@each_version
def test_a_client_id_that_is_no_text_is_malformed(world: World, version: int, client_id: bytes) -> None:
    assert_turned_away(world.stranger(version=version).sends_bytes(connect(version, CLEAN, string(client_id))))


@mqtt("MQTT-3.1.3-5")
@mqtt("MQTT-3.1.3-5", v3=True)
@pytest.mark.parametrize("client_id", [LETTERS[:23], LETTERS[23:46], LETTERS[46:], LETTERS[-23:], "0", "Z"])
@each_version
def test_letters_and_digits_make_a_client_id(world: World, version: int, client_id: str) -> None:
    client = world.client(client_id, version=version).subscribes("a")
    world.client("pub").publishes("a", b"x")
    assert client.payloads == [b"x"]


@mqtt("MQTT-3.1.3-6")
@mqtt("MQTT-3.1.3-6", v3=True)
@each_version
def test_clients_without_an_id_get_different_ones(world: World, version: int) -> None:
    clients = [world.client("", version=version).subscribes("a") for _ in range(3)]
    assert all(client.is_connected for client in clients)
    world.client("pub").publishes("a", b"x")
    assert [client.payloads for client in clients] == [[b"x"]] * 3


@mqtt("MQTT-3.1.3-7", "MQTT-3.2.2-16")
def test_an_assigned_client_id_is_as_good_as_an_own_one(world: World) -> None:
    client = world.client("", session_expiry=60).subscribes("a", qos=1)
    assigned = client.said.assigned_client_identifier
    assert assigned
    client.drops()
    world.client("pub").publishes("a", b"x", qos=1)
    again = world.client(assigned, clean_start=False)
    assert again.session_present
    assert again.payloads == [b"x"]
    assert again.connack is not None
    assert again.connack.properties is None or again.said.assigned_client_identifier is None


@mqtt("MQTT-3.1.3-7")
def test_a_client_with_an_assigned_id_can_be_taken_over_from(world: World) -> None:
    client = world.client("")
    assigned = client.said.assigned_client_identifier
    assert assigned
    assert world.client(assigned).is_connected
    assert not client.is_connected


@mqtt("MQTT-3.1.3-6", "MQTT-3.1.3-7")
def test_a_v5_client_without_an_id_need_not_start_clean(world: World) -> None:
    client = world.client("", clean_start=False)
    assert not client.session_present
    assert client.said.assigned_client_identifier


@mqtt("MQTT-3.1.3-7", "MQTT-3.1.3-8", v3=True)
def test_a_v3_client_without_an_id_cannot_keep_a_session(world: World) -> None:
    client = world.knocks("", version=4, clean_start=False)
    assert client.got == [ConnAck(2)]
    assert not client.is_connected


@mqtt("MQTT-3.1.3-8")
@mqtt("MQTT-3.1.3-9", v3=True)
@each_version
def test_a_client_id_that_is_refused_is_answered_and_closed(make_world: MakeWorld, version: int) -> None:
    world = make_world(Options(allow_empty_client_id=False))
    client = world.knocks("", version=version)
    assert client.got == [ConnAck(0x85 if version == 5 else 2)]
    assert not client.is_connected


# Keep alive


@edge("A1")
@mqtt("MQTT-3.1.2-22")
@mqtt("MQTT-3.1.2-24", v3=True)
@pytest.mark.parametrize("keep_alive", [1, 2, 10, 60, 65_535])
@each_version
def test_a_silent_client_is_cut_off_after_one_and_a_half_keep_alives(
    engine: World, version: int, keep_alive: int
) -> None:
    client = engine.client("c", version=version, keep_alive=keep_alive)
    engine.advance(keep_alive * 1.5 - 0.5)
    assert client.is_connected
    engine.advance(2)
    assert not client.is_connected
    assert client.got == ([Disconnect(0x8D)] if version == 5 else [])


@edge("A1")
@mqtt("MQTT-3.1.2-22")
@mqtt("MQTT-3.1.2-24", v3=True)
@each_version
def test_a_keep_alive_of_0_never_ends(engine: World, version: int) -> None:
    client = engine.client("c", version=version, keep_alive=0)
    engine.advance(1_000_000)
    assert client.sends(PingReq()).got == [PingResp()]


@edge("A1")
@mqtt("MQTT-3.1.2-22")
@mqtt("MQTT-3.1.2-24", v3=True)
@pytest.mark.parametrize("packet", [PingReq(), Publish("a", b"x"), PubAck(9), Unsubscribe(1, ["a"])], ids=repr)
@each_version
def test_each_packet_shows_that_a_client_is_alive(engine: World, version: int, packet: Packet) -> None:
    client = engine.client("c", version=version, keep_alive=1)
    for _ in range(10):
        engine.advance(1.25)
        client.sends(packet)
    assert client.is_connected
    engine.advance(3)
    assert not client.is_connected


@edge("A1")
@mqtt("MQTT-3.1.2-22")
@mqtt("MQTT-3.1.2-24", v3=True)
@pytest.mark.parametrize("later", [1, 2, 7, 14])
@each_version
def test_the_time_runs_from_the_last_packet(engine: World, version: int, later: int) -> None:
    client = engine.client("c", version=version, keep_alive=10)
    engine.advance(later)
    client.sends(PingReq())
    engine.advance(14)
    assert client.is_connected
    engine.advance(3)
    assert not client.is_connected


@edge("A1")
@mqtt("MQTT-3.1.2-22")
@mqtt("MQTT-3.1.2-24", v3=True)
@each_version
def test_half_a_packet_shows_nothing(engine: World, version: int) -> None:
    client = engine.client("c", version=version, keep_alive=10)
    client.sends_bytes(bytes.fromhex("30 7f"))
    for _ in range(14):
        engine.advance(1)
        client.sends_bytes(b"\x00")
    engine.advance(2)
    assert not client.is_connected


@edge("A1")
@mqtt("MQTT-3.1.2-22")
@mqtt("MQTT-3.1.2-24", v3=True)
@each_version
def test_what_the_broker_sends_shows_nothing_of_the_client(engine: World, version: int) -> None:
    client = engine.client("c", version=version, keep_alive=10).subscribes("a")
    pub = engine.client("pub")
    for _ in range(16):
        engine.advance(1)
        pub.publishes("a", b"x")
    assert not client.is_connected


@edge("A1")
@each_version
def test_a_keep_alive_of_a_second_is_usable(world: World, version: int) -> None:
    client = world.client("c", version=version, keep_alive=1).subscribes("a")
    assert client.publishes("a", b"x", qos=1).payloads == [b"x"]


# Actions (section 3.1.4)


@mqtt("MQTT-3.1.4-1")
@mqtt("MQTT-3.1.4-1", v3=True)
@each_version
def test_a_connect_that_is_cut_anywhere_is_malformed(world: World, version: int) -> None:
    fields = [ID, will_fields(version, b"w", b"x"), string(b"u"), string(b"p")]
    whole = connect(version, CLEAN | WILL | USER_NAME | PASSWORD, *fields)
    for size in range(2, len(whole)):
        cut = bytes([whole[0], size - 2]) + whole[2:size]
        assert_turned_away(world.stranger(version=version).sends_bytes(cut))
    assert world.stranger(version=version).sends_bytes(whole).is_connected


def test_a_malformed_v5_connect_is_told_so(engine: World) -> None:  # sections 4.13.1 and 3.1.4
    for flags in (0x01, 0x08, WILL | 0x18, USER_NAME):
        assert engine.stranger().sends_bytes(connect(5, flags, ID)).got == [ConnAck(0x81)]


@mqtt("MQTT-3.1.4-2")
@each_version
def test_a_client_that_may_not_come_in_is_closed(make_world: MakeWorld, version: int) -> None:
    world = make_world(gate=ClosedGate(0x86))
    client = world.knocks("c", version=version, user_name="u", password=b"wrong")
    assert client.got == [ConnAck(0x86 if version == 5 else 4)]
    assert not client.is_connected


@mqtt("MQTT-3.1.4-3")
@mqtt("MQTT-3.1.4-2", v3=True)
@pytest.mark.parametrize("clean_start", [True, False])
@each_version
def test_a_second_connection_with_a_client_id_closes_the_first(world: World, version: int, clean_start: bool) -> None:
    first = world.client("c", version=version, clean_start=clean_start)
    second = world.client("c", version=version, clean_start=clean_start)
    assert not first.is_connected
    assert second.is_connected
    assert second.subscribes("a").publishes("a", b"x").payloads == [b"x"]


@mqtt("MQTT-3.1.4-3")
def test_who_is_taken_over_from_is_told(world: World) -> None:
    first = world.client("c")
    assert world.client("c").is_connected
    assert first.got == [Disconnect(0x8E)]


@mqtt("MQTT-3.1.4-5")
@mqtt("MQTT-3.1.4-4", v3=True)
@each_version
def test_a_connect_is_acknowledged(world: World, version: int) -> None:
    client = world.knocks("c", version=version)
    assert client.is_connected
    assert [type(packet) for packet in client.got] == [ConnAck]
    assert client.connack is not None
    assert client.connack.reason_code == 0


@mqtt("MQTT-3.1.4-5")
@mqtt("MQTT-3.1.4-4", v3=True)
@each_version
def test_a_client_need_not_wait_for_its_connack(world: World, version: int) -> None:  # section 3.1.4
    client = world.stranger(version=version)
    client.sends(
        Connect("c", version=version),
        Subscribe(1, [SubscriptionRequest("a", 0)]),
        Publish("a", b"x", 1, packet_id=2),
    )
    assert [type(packet) for packet in client.got[:2]] == [ConnAck, SubAck]
    assert client.payloads == [b"x"]
    assert PubAck(2) in client.got


@mqtt("MQTT-3.1.4-6")
@mqtt("MQTT-3.1.4-5", v3=True)
@each_version
def test_what_follows_a_refused_connect_is_not_processed(make_world: MakeWorld, version: int) -> None:
    world = make_world(gate=Refusing("c"))
    watcher = world.client("watcher").subscribes("#")
    client = world.stranger(version=version)
    client.sends(Connect("c", version=version), Publish("a", b"x"), Publish("b", b"x", retain=True), PingReq())
    assert client.got == [ConnAck(0x87 if version == 5 else 5)]
    assert not client.is_connected
    assert watcher.got == []
    assert world.client("late").subscribes("#").got == []


@mqtt("MQTT-3.1.4-5", v3=True)
def test_what_follows_a_refused_v3_connect_is_not_processed(world: World) -> None:
    watcher = world.client("watcher").subscribes("#")
    client = world.stranger(version=4)
    client.sends(Connect("", version=4, clean_start=False), Publish("a", b"x"), PingReq())
    assert client.got == [ConnAck(2)]
    assert watcher.got == []


@mqtt("MQTT-3.1.4-6")
def test_what_follows_a_refused_v5_connect_is_not_processed(world: World) -> None:
    watcher = world.client("watcher").subscribes("#")
    client = world.new_client("c", Manners(authentication_method="no such method"))
    client.sends(client.manners.connect("c"), Publish("a", b"x"), PingReq())
    assert client.got == [ConnAck(0x8C)]
    assert not client.is_connected
    assert watcher.got == []


@in_memory
@mqtt("MQTT-3.1.4-6")
@mqtt("MQTT-3.1.4-5", v3=True)
@each_version
def test_what_is_sent_before_a_late_refusal_is_not_processed(version: int) -> None:
    world = World(gate=LateGate())
    watcher = world.knocks("watcher", version=version)
    world.admits("watcher")
    watcher.subscribes("#")
    client = world.knocks("c", version=version).sends(Publish("a", b"x"))
    world.refuses("c", 0x87)
    assert client.got == [ConnAck(0x87 if version == 5 else 5)]
    assert watcher.messages == []


@mqtt("MQTT-3.1.2-30")
def test_only_auth_may_be_sent_while_an_authentication_goes_on(make_world: MakeWorld) -> None:
    world = make_world(gate=Sphinx())
    watcher = world.client("watcher").subscribes("#")
    client = world.knocks("c", authentication_method="riddle")
    assert client.connack is None
    client.sends(Publish("a", b"x"))
    assert not client.is_connected
    assert client.got[-1] == ConnAck(0x82)
    assert watcher.got == []
