"""CONNACK: how the broker answers, what it says of itself, and that it keeps to that (section 3.2)."""

import pytest

from telex.engine import seams
from telex.engine.options import Options
from telex.engine.permissions import EVERYTHING
from telex.engine.seams import Gate
from telex.engine.visit import Visit
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PubAck,
    Publish,
    PubRec,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    Will,
)
from telex.wire.properties import Properties
from tests.conformance.conftest import MakeWorld
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import kept
from tests.engine.world import ClosedGate, World

REFUSALS = [0x80, 0x83, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x97, 0x9C, 0x9D, 0x9F]
"""The Connect Reason Codes that a gate may have reason to use (section 3.2.2.2)."""

RETURN_CODES = {0x84: 1, 0x85: 2, 0x88: 3, 0x89: 3, 0x97: 3, 0x86: 4, 0x87: 5, 0x8A: 5}
"""How v3.1.1 says them (v3 section 3.2.2.3)."""

in_memory = pytest.mark.usefixtures("engine")
"""For a story that moves the clock of a world with options of its own."""


class Moody(Gate):
    """Lets in whoever comes, until it is in another mood."""

    def __init__(self) -> None:
        super().__init__()
        self.reason_code = 0

    def login(self, client: seams.Client, packet: Connect, visit: Visit, now: float) -> None:
        if self.reason_code:
            client.refuse(self.reason_code, "not today", now)
        else:
            client.admit(EVERYTHING, now)


# When it comes


@mqtt("MQTT-3.2.0-1")
@mqtt("MQTT-3.2.0-1", v3=True)
@each_version
def test_connack_comes_before_anything_else(world: World, version: int) -> None:
    kept(world, "c", version).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"waiting", qos=1)
    client = world.stranger(version=version)
    client.sends(
        Connect("c", version=version, clean_start=False),
        PingReq(),
        Publish("a", b"new", 1, packet_id=1),
    )
    assert isinstance(client.got[0], ConnAck)
    assert client.got[0].reason_code == 0
    assert client.payloads == [b"waiting", b"new"]


@mqtt("MQTT-3.2.0-2")
@each_version
def test_there_is_one_connack(world: World, version: int) -> None:
    client = world.knocks("c", version=version)
    client.sends(PingReq()).subscribes("a").publishes("a", b"x", qos=1)
    world.client("d", version=version)
    client.sends(Connect("c", version=version))
    assert [type(packet) for packet in client.got if isinstance(packet, ConnAck)] == [ConnAck]
    assert not client.is_connected


# Session Present


@mqtt("MQTT-3.2.2-1", "MQTT-3.2.2-2")
@mqtt("MQTT-3.2.2-1", v3=True)
@each_version
def test_after_a_clean_start_no_session_is_present(world: World, version: int) -> None:
    assert world.client("c", version=version).connack == ConnAck(0, properties=said_by(world, version))
    kept(world, "c", version).subscribes("a").drops()
    client = world.client("c", version=version)
    assert not client.session_present


def said_by(world: World, version: int) -> Properties | None:
    """The properties of this broker's CONNACK."""
    connack = world.client("another", version=version).connack
    assert connack is not None
    return connack.properties


@mqtt("MQTT-3.2.2-1", "MQTT-3.2.2-3")
@mqtt("MQTT-3.2.2-2", "MQTT-3.2.2-3", v3=True)
@each_version
def test_a_session_that_is_there_is_present(world: World, version: int) -> None:
    client = kept(world, "c", version)
    assert not client.session_present
    client = client.drops().returns()
    assert client.session_present
    client = client.disconnects().returns()
    assert client.session_present


@mqtt("MQTT-3.2.2-3")
@mqtt("MQTT-3.2.2-2", v3=True)
@each_version
def test_a_session_that_is_taken_over_is_present(world: World, version: int) -> None:
    first = kept(world, "c", version)
    assert kept(world, "c", version).session_present
    assert not first.is_connected


@mqtt("MQTT-3.2.2-3")
@mqtt("MQTT-3.2.2-3", v3=True)
@each_version
def test_a_session_that_was_not_kept_is_not_present(world: World, version: int) -> None:
    world.client("c", version=version).subscribes("a").drops()
    assert not kept(world, "c", version).session_present


@mqtt("MQTT-3.2.2-6")
@mqtt("MQTT-3.2.2-4", v3=True)
@each_version
def test_a_refusal_does_not_tell_of_the_session(make_world: MakeWorld, version: int) -> None:
    gate = Moody()
    world = make_world(gate=gate)
    kept(world, "c", version).drops()
    gate.reason_code = 0x87
    client = world.knocks("c", version=version, clean_start=False)
    assert client.got == [ConnAck(0x87 if version == 5 else 5, session_present=False)]
    gate.reason_code = 0
    assert kept(world, "c", version).session_present


@mqtt("MQTT-3.2.2-6", "MQTT-3.2.2-7")
def test_a_refused_method_does_not_tell_of_the_session(world: World) -> None:
    kept(world, "c", 5).drops()
    client = world.knocks("c", clean_start=False, authentication_method="no such method")
    assert client.got == [ConnAck(0x8C, session_present=False)]
    assert not client.is_connected


# Refusals


@mqtt("MQTT-3.2.2-7", "MQTT-3.2.2-8")
@pytest.mark.parametrize("reason_code", REFUSALS, ids=hex)
def test_a_refusal_says_why_and_closes(make_world: MakeWorld, reason_code: int) -> None:
    client = make_world(gate=ClosedGate(reason_code)).knocks("c")
    assert client.got == [ConnAck(reason_code)]
    assert not client.is_connected


@mqtt("MQTT-3.2.2-4", "MQTT-3.2.2-5", "MQTT-3.2.2-6", v3=True)
@pytest.mark.parametrize("reason_code", REFUSALS, ids=hex)
def test_a_refusal_says_to_v3_what_it_has_a_code_for_and_closes(make_world: MakeWorld, reason_code: int) -> None:
    client = make_world(gate=ClosedGate(reason_code)).knocks("c", version=4)
    code = RETURN_CODES.get(reason_code)
    assert client.got == ([] if code is None else [ConnAck(code)])
    assert not client.is_connected


@mqtt("MQTT-3.2.2-5", v3=True)
def test_a_refused_v3_client_is_closed(world: World) -> None:
    client = world.knocks("", version=4, clean_start=False)
    assert client.got == [ConnAck(2)]
    assert not client.is_connected


@mqtt("MQTT-3.2.2-8")
@pytest.mark.parametrize(
    "data",
    [
        "10 0e 00044d515454 05 03 0000 00 0001 63",
        "10 0e 00044d515454 05 08 0000 00 0001 63",
        "10 0e 00044d515454 06 02 0000 00 0001 63",
        "10 11 00044d515454 05 02 0000 03 210000 0001 63",
        "10 12 00044d515454 05 02 0000 04 15000163 0001 63",
        "10 14 00044d515454 05 06 0000 00 000163 00 000123 0000",
    ],
    ids=["reserved flag", "will QoS", "version", "Receive Maximum 0", "unknown method", "will topic"],
)
def test_whatever_is_wrong_the_code_is_one_for_connack(world: World, data: str) -> None:
    # The decoder of these clients takes no other codes in a CONNACK.
    client = world.stranger().sends_bytes(bytes.fromhex(data))
    assert not client.is_connected
    assert client.connack is None or client.connack.reason_code != 0


@mqtt("MQTT-3.2.2-6", v3=True)
def test_a_v3_client_is_closed_without_a_word_where_none_fits(make_world: MakeWorld) -> None:
    client = make_world(Options(maximum_qos=0)).knocks("c", version=4, will=Will("w", b"x", qos=1))
    assert client.got == []
    assert not client.is_connected


# What the broker says of itself, and what it does then


@edge("V1")
@mqtt("MQTT-3.2.2-9", "MQTT-3.2.2-10")
@pytest.mark.parametrize("maximum", [0, 1])
def test_a_broker_without_qos_2_or_1_says_so_and_takes_all_subscriptions(make_world: MakeWorld, maximum: int) -> None:
    world = make_world(Options(maximum_qos=maximum))
    client = world.client("c")
    assert client.said.maximum_qos == maximum
    asked = [SubscriptionRequest("a/0", 0), SubscriptionRequest("a/1", 1), SubscriptionRequest("a/2", 2)]
    client.sends(Subscribe(1, asked))
    (answer,) = client.takes()
    assert answer == SubAck(1, [min(qos, maximum) for qos in (0, 1, 2)])
    world.client("pub").publishes("a/2", b"x", qos=maximum)
    assert [(message.payload, message.qos) for message in client.messages] == [(b"x", maximum)]


@edge("V1")
@mqtt("MQTT-3.2.2-9", "MQTT-3.2.2-11")
@pytest.mark.parametrize(("maximum", "qos"), [(0, 1), (0, 2), (1, 2)])
def test_a_qos_that_the_broker_lacks_ends_the_connection(make_world: MakeWorld, maximum: int, qos: int) -> None:
    client = make_world(Options(maximum_qos=maximum)).client("c")
    client.sends(Publish("a", b"x", qos, packet_id=1))
    assert client.got == [Disconnect(0x9B)]
    assert not client.is_connected


@mqtt("MQTT-3.2.2-9")
def test_a_broker_that_says_nothing_of_qos_has_all(world: World) -> None:  # section 3.2.2.3.4
    client = world.client("c").subscribes("a", qos=2)
    assert client.said.maximum_qos is None
    client.publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    assert [(message.payload, message.qos) for message in client.messages] == [(b"1", 1), (b"2", 2)]


@edge("V1")
@mqtt("MQTT-3.2.2-12")
@pytest.mark.parametrize(("maximum", "qos"), [(0, 1), (0, 2), (1, 2)])
def test_a_will_of_a_qos_that_the_broker_lacks_is_refused(make_world: MakeWorld, maximum: int, qos: int) -> None:
    world = make_world(Options(maximum_qos=maximum))
    client = world.knocks("c", will=Will("w", b"x", qos=qos))
    assert client.got == [ConnAck(0x9B)]
    assert not client.is_connected
    assert world.client("c", will=Will("w", b"x", qos=maximum)).is_connected


@edge("V1")
@mqtt("MQTT-3.2.2-13")
def test_a_retained_will_is_refused_where_nothing_is_retained(make_world: MakeWorld) -> None:
    world = make_world(Options(retain_available=False))
    client = world.knocks("c", will=Will("w", b"x", retain=True))
    assert client.got == [ConnAck(0x9A)]
    assert not client.is_connected
    assert world.client("c", will=Will("w", b"x")).is_connected


@edge("V1")
@mqtt("MQTT-3.2.2-14")
def test_a_retained_message_ends_the_connection_where_nothing_is_retained(make_world: MakeWorld) -> None:
    world = make_world(Options(retain_available=False))
    client = world.client("c")
    assert client.said.retain_available == 0
    assert client.sends(Publish("a", b"x", retain=True)).got == [Disconnect(0x9A)]
    assert not client.is_connected
    assert world.client("late").subscribes("a").got == []


@edge("V1")
def test_a_broker_that_says_nothing_of_retaining_does_it(world: World) -> None:  # section 3.2.2.3.5
    client = world.client("c")
    assert client.said.retain_available in (None, 1)
    client.publishes("a", b"x", retain=True).subscribes("a")
    assert client.payloads == [b"x"]


@edge("V1")
def test_a_broker_without_wildcards_says_so_and_means_it(make_world: MakeWorld) -> None:  # section 3.2.2.3.11
    world = make_world(Options(wildcard_subscription_available=False))
    client = world.client("c").subscribes("a/b")
    assert client.said.wildcard_subscription_available == 0
    for topic_filter in ("#", "a/+", "$share/g/a/#"):
        client = world.client("c").sends(Subscribe(1, [SubscriptionRequest(topic_filter, 0)]))
        assert client.got == [Disconnect(0xA2)]
        assert not client.is_connected


@edge("V1")
def test_a_broker_without_shared_subscriptions_says_so_and_means_it(make_world: MakeWorld) -> None:
    # section 3.2.2.3.13
    world = make_world(Options(shared_subscription_available=False))
    client = world.client("c").subscribes("a/#")
    assert client.said.shared_subscription_available == 0
    assert client.sends(Subscribe(1, [SubscriptionRequest("$share/g/a", 0)])).got == [Disconnect(0x9E)]
    assert not client.is_connected


@edge("V1")
def test_a_broker_without_subscription_identifiers_says_so_and_means_it(make_world: MakeWorld) -> None:
    # section 3.2.2.3.12
    world = make_world(Options(subscription_identifier_available=False))
    client = world.client("c").subscribes("a/#")
    assert client.said.subscription_identifier_available == 0
    client.sends(Subscribe(1, [SubscriptionRequest("a", 0)], Properties(subscription_identifiers=(1,))))
    assert client.got == [Disconnect(0xA1)]
    assert not client.is_connected


@edge("V1")
@pytest.mark.parametrize(
    ("options", "topic_filter"),
    [
        (Options(wildcard_subscription_available=False), "a/#"),
        (Options(shared_subscription_available=False), "$share/g/a"),
    ],
    ids=["wildcard", "shared"],
)
def test_a_v3_client_gets_0x80_for_what_the_broker_lacks(
    make_world: MakeWorld, options: Options, topic_filter: str
) -> None:
    client = make_world(options).client("c", version=4)
    client.sends(Subscribe(1, [SubscriptionRequest(topic_filter, 0), SubscriptionRequest("a", 1)]))
    assert client.got == [SubAck(1, [0x80, 1])]
    assert client.is_connected


@edge("V1")
def test_a_broker_that_says_nothing_of_subscriptions_has_all_kinds(world: World) -> None:
    # sections 3.2.2.3.11 to 3.2.2.3.13
    client = world.client("c")
    said = client.said
    assert said.wildcard_subscription_available in (None, 1)
    assert said.subscription_identifier_available in (None, 1)
    assert said.shared_subscription_available in (None, 1)
    client.subscribes("a/+", identifier=7).subscribes("$share/g/b")
    world.client("pub").publishes("a/b", b"x").publishes("b", b"y")
    assert client.payloads == [b"x", b"y"]


@edge("V1")
@pytest.mark.parametrize("maximum", [1, 2, 10])
def test_the_brokers_receive_maximum_holds(make_world: MakeWorld, maximum: int) -> None:  # section 3.2.2.3.3
    world = make_world(Options(receive_maximum=maximum))
    client = world.client("c")
    assert client.said.receive_maximum == maximum
    for packet_id in range(1, maximum + 1):
        client.sends(Publish("a", b"x", 2, packet_id=packet_id))
    assert client.takes() == [PubRec(packet_id, 0x10) for packet_id in range(1, maximum + 1)]
    client.sends(Publish("a", b"x", 2, packet_id=100))
    assert client.got == [Disconnect(0x93)]


# Maximum Packet Size


@edge("Z1", "V1")
@mqtt("MQTT-3.2.2-15")
@pytest.mark.parametrize("qos", [0, 1])
def test_a_packet_above_the_brokers_maximum_ends_the_connection(make_world: MakeWorld, qos: int) -> None:
    world = make_world(Options(maximum_packet_size=200))
    fixed = 3 + 3 + 1 + 2 * qos  # fixed header, of two bytes of length here, topic name, properties, packet id
    client = world.client("c").subscribes("a")
    assert client.said.maximum_packet_size == 200
    client.sends(Publish("a", bytes(200 - fixed), qos, packet_id=qos))
    assert client.payloads == [bytes(200 - fixed)]
    client.takes()
    client.sends(Publish("a", bytes(201 - fixed), qos, packet_id=qos))
    assert client.got == [Disconnect(0x95)]
    assert not client.is_connected


@edge("Z1")
@mqtt("MQTT-3.2.2-15")
def test_a_packet_too_large_is_refused_by_its_header(make_world: MakeWorld) -> None:
    world = make_world(Options(maximum_packet_size=200))
    client = world.client("c").sends_bytes(bytes.fromhex("30 c601"))  # 198 bytes are to come after these 3
    assert client.got == [Disconnect(0x95)]
    assert not client.is_connected


@in_memory
@edge("Z1")
def test_a_packet_that_may_come_whole_is_waited_for() -> None:
    world = World(Options(maximum_packet_size=200))
    assert world.client("c").sends_bytes(bytes.fromhex("30 c501")).is_connected  # 197 and 3 bytes


@edge("Z1")
@pytest.mark.parametrize("header", ["10 c601", "10 ffffff7f"], ids=["201 bytes", "268,435,460 bytes"])
def test_a_connect_too_large_is_refused_by_its_header(make_world: MakeWorld, header: str) -> None:
    # Before its body has come, so before anybody is asked who this is.
    world = make_world(Options(maximum_packet_size=200), gate=ClosedGate(0x87))
    client = world.stranger().sends_bytes(bytes.fromhex(header))
    assert not client.is_connected
    assert client.got in ([], [ConnAck(0x95)])


# Topic Alias Maximum


@edge("V1")
@mqtt("MQTT-3.2.2-17")
@pytest.mark.parametrize("maximum", [1, 5])
def test_an_alias_above_the_brokers_maximum_ends_the_connection(make_world: MakeWorld, maximum: int) -> None:
    world = make_world(Options(topic_alias_maximum=maximum))
    client = world.client("c").subscribes("a")
    assert client.said.topic_alias_maximum == maximum
    client.sends(Publish("a", b"1", properties=Properties(topic_alias=maximum)))
    client.sends(Publish("", b"2", properties=Properties(topic_alias=maximum)))
    assert client.payloads == [b"1", b"2"]
    client.takes()
    client.sends(Publish("a", b"3", properties=Properties(topic_alias=maximum + 1)))
    assert client.got == [Disconnect(0x94)]


@edge("V1")
@mqtt("MQTT-3.2.2-18")
def test_any_alias_ends_the_connection_where_the_broker_takes_none(make_world: MakeWorld) -> None:
    world = make_world(Options(topic_alias_maximum=0))
    client = world.client("c")
    assert client.said.topic_alias_maximum in (None, 0)
    client.sends(Publish("a", b"x", properties=Properties(topic_alias=1)))
    assert client.got == [Disconnect(0x94)]


@mqtt("MQTT-3.2.2-17", "MQTT-3.2.2-18")
def test_an_alias_above_what_this_broker_said_ends_the_connection(world: World) -> None:
    client = world.client("c")
    maximum = client.said.topic_alias_maximum or 0
    if maximum == 65_535:
        pytest.skip("it takes every alias")
    client.sends(Publish("a", b"x", properties=Properties(topic_alias=maximum + 1)))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(0x94)])


# Assigned Client Identifier


@mqtt("MQTT-3.2.2-16")
def test_assigned_client_ids_are_told_and_new(world: World) -> None:
    clients = [world.client("", session_expiry=60) for _ in range(5)]
    assigned = [client.said.assigned_client_identifier for client in clients]
    assert all(assigned)
    assert len(set(assigned)) == 5
    assert not any(client.session_present for client in clients)
    clients[0].drops()
    assert world.client("").said.assigned_client_identifier not in assigned  # its session is still there


@in_memory
@mqtt("MQTT-3.2.2-16")
def test_an_assigned_client_id_is_nobody_elses() -> None:
    # The ids of this world are nameless-1, nameless-2, ...; a broker may not give away what somebody took by itself.
    world = World()
    owner = world.client("nameless-1", session_expiry=60)
    client = world.client("")
    assert client.said.assigned_client_identifier != "nameless-1"
    assert owner.is_connected


@mqtt("MQTT-3.2.2-16")
def test_who_has_an_id_is_not_assigned_one(world: World) -> None:  # section 3.2.2.3.7
    assert world.client("c").said.assigned_client_identifier is None


# Reason String and User Property


@edge("Z1")
@mqtt("MQTT-3.2.2-19", "MQTT-3.2.2-20", "MQTT-3.1.2-24")
def test_a_reason_string_that_does_not_fit_is_left_out(make_world: MakeWorld) -> None:
    world = make_world(gate=ClosedGate(0x87))
    worded = world.knocks("c")
    assert worded.got == [ConnAck(0x87)]
    (size,) = worded.sizes
    assert len(worded.reasons) == 1
    roomy = world.knocks("c", maximum_packet_size=size)
    assert (roomy.got, roomy.reasons) == ([ConnAck(0x87)], worded.reasons)
    narrow = world.knocks("c", maximum_packet_size=size - 1)
    assert (narrow.got, narrow.reasons, narrow.sizes) == ([ConnAck(0x87)], [], [5])


@edge("Z1")
@mqtt("MQTT-3.2.2-19", "MQTT-3.2.2-20", "MQTT-3.1.2-24")
@pytest.mark.parametrize("method", [None, "no such method"])
def test_no_connack_is_larger_than_its_client_takes(world: World, method: str | None) -> None:
    for size in range(1, 40):
        client = world.knocks("c", maximum_packet_size=size, authentication_method=method)
        assert client.got or not client.is_connected
        assert all(each <= size for each in client.sizes), f"at most {size}, not {client.sizes}"


@edge("V1")
def test_a_refused_v5_client_is_told_why_in_words(engine: World) -> None:  # section 3.2.2.3.9
    client = engine.knocks("c", authentication_method="no such method")
    assert len(client.reasons) == 1
    assert "no such method" in client.reasons[0]
    assert engine.knocks("c", authentication_method="x", request_problem_information=0).reasons == []


# Server Keep Alive


@in_memory
@edge("A1")
@mqtt("MQTT-3.1.2-21", "MQTT-3.2.2-21")
@pytest.mark.parametrize("asked", [0, 11, 60, 65_535])
def test_the_brokers_keep_alive_is_told_and_holds(asked: int) -> None:
    world = World(Options(maximum_keep_alive=10))
    client = world.client("c", keep_alive=asked)
    assert client.said.server_keep_alive == 10
    world.advance(14)
    assert client.is_connected
    world.advance(2)
    assert not client.is_connected
    assert client.got == [Disconnect(0x8D)]


@in_memory
@edge("A1")
@mqtt("MQTT-3.2.2-22")
@pytest.mark.parametrize("asked", [1, 5, 10])
def test_without_a_server_keep_alive_that_of_the_client_holds(asked: int) -> None:
    world = World(Options(maximum_keep_alive=10))
    client = world.client("c", keep_alive=asked)
    assert client.said.server_keep_alive is None
    world.advance(asked * 1.5 - 0.5)
    assert client.is_connected
    world.advance(2)
    assert not client.is_connected


@mqtt("MQTT-3.2.2-22")
def test_without_a_server_keep_alive_0_is_none(engine: World) -> None:
    client = engine.client("c", keep_alive=0)
    assert client.said.server_keep_alive is None
    engine.advance(200_000)
    assert client.is_connected


# Response Information


@edge("V1")
def test_response_information_is_the_clients_own(make_world: MakeWorld) -> None:  # section 3.2.2.3.15
    world = make_world(Options(response_information="answers/%c/"))
    said = [world.client(name, request_response_information=1).said.response_information for name in ("c", "d")]
    assert said == ["answers/c/", "answers/d/"]
    nameless = world.client("", request_response_information=1).said
    assert nameless.response_information == f"answers/{nameless.assigned_client_identifier}/"


# What v3 knows nothing of


@mqtt("MQTT-3.2.2-1", "MQTT-3.2.2-3", v3=True)
def test_a_v3_connack_has_four_bytes(world: World) -> None:  # v3 section 3.2
    client = kept(world, "c", 4)
    again = client.drops().returns()
    assert (client.sizes[0], again.sizes[0]) == (4, 4)
    assert (client.connack, again.connack) == (ConnAck(0), ConnAck(0, session_present=True))
    assert again.sends(Publish("a", b"x", 1, packet_id=1)).got == [PubAck(1)]
