"""Enhanced authentication: CONNECT names a method, AUTH goes to and fro (section 4.12)."""

from typing import Any

import pytest

from telex.engine.permissions import EVERYTHING, Permissions
from telex.engine.seams import Client as Knocker
from telex.engine.seams import Exchange, Gate
from telex.engine.visit import Visit
from telex.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    Subscribe,
    SubscriptionRequest,
    Will,
)
from telex.wire.properties import Properties
from tests.conformance.conftest import MakeWorld
from tests.conformance.marks import edge, mqtt
from tests.conformance.words import ends
from tests.engine.world import Client, World

SUCCESS = 0x00
CONTINUE = 0x18
AGAIN = 0x19
PROTOCOL_ERROR = 0x82
NOT_AUTHORIZED = 0x87
BAD_METHOD = 0x8C


class OnlyListening(Permissions):
    """What a guest may do."""

    def may_publish(self, topic: str) -> bool:
        return False


class TwoSteps(Exchange):
    """Asks who is there, then for a word that only its friends know."""

    def __init__(self, client: Knocker) -> None:
        self.client = client
        self.has_asked = False

    def receive(self, data: bytes, now: float) -> None:
        if not self.has_asked:
            self.has_asked = True
            self.client.challenge(b"the word?", now)
        elif data == b"friend":
            self.client.admit(EVERYTHING, now, b"enter")
        elif data == b"guest":
            self.client.admit(OnlyListening(), now)
        elif data == b"psst":
            pass  # it needs time to think, more than any test has
        elif data == b"hm":
            self.client.challenge(b"once more?", now)
        else:
            self.client.refuse(NOT_AUTHORIZED, "a wrong word", now)


class DoorKeeper(Gate):
    """Knows the method ``words``, and lets those in who name no method."""

    def exchange(self, client: Knocker, packet: Connect, visit: Visit) -> Exchange | None:
        assert packet.properties is not None  # the method stands there
        return TwoSteps(client) if packet.properties.authentication_method == "words" else None


def auth(reason_code: int, data: bytes | None = None, method: str | None = "words") -> Auth:
    """An AUTH with its usual properties."""
    return Auth(reason_code, Properties(authentication_method=method, authentication_data=data))


def knocks(world: World, name: str = "c", **manners: Any) -> Client:
    """A client that has said CONNECT and been asked for the word."""
    client = world.knocks(name, authentication_method="words", **manners)
    assert client.takes() == [auth(CONTINUE, b"the word?")]
    return client


def enters(world: World, name: str = "c", word: bytes = b"friend", **manners: Any) -> Client:
    """A client that has authenticated itself."""
    client = knocks(world, name, **manners).sends(auth(CONTINUE, word))
    assert client.connack is not None
    assert client.connack.reason_code == 0
    client.takes()
    return client


@pytest.fixture
def guarded(make_world: MakeWorld) -> World:
    """A broker with a ``DoorKeeper``."""
    return make_world(gate=DoorKeeper())


# Coming in


@mqtt("MQTT-4.12.0-1")
@pytest.mark.parametrize("method", ["runes", "", "WORDS", "PLAIN", "SCRAM-SHA-256"])
def test_a_method_that_nobody_knows_is_refused(world: World, method: str) -> None:
    client = world.knocks("c", authentication_method=method, authentication_data=b"x")
    assert ends(client, BAD_METHOD, NOT_AUTHORIZED)
    assert not any(isinstance(packet, Auth) for packet in client.got)


@mqtt("MQTT-4.12.0-1")
@pytest.mark.parametrize("method", ["runes", "Words"])
def test_so_it_is_where_another_is_known(guarded: World, method: str) -> None:
    client = guarded.knocks("c", authentication_method=method)
    assert client.got == [ConnAck(BAD_METHOD)]
    assert not client.is_connected


@mqtt("MQTT-4.12.0-2", "MQTT-4.12.0-5")
@mqtt("MQTT-3.15.2-1")
def test_a_broker_asks_for_more_and_then_lets_in(guarded: World) -> None:
    client = guarded.knocks("c", authentication_method="words")
    assert client.takes() == [auth(CONTINUE, b"the word?")]
    client.sends(auth(CONTINUE, b"hm"))
    assert client.takes() == [auth(CONTINUE, b"once more?")]
    client.sends(auth(CONTINUE, b"friend"))
    (connack,) = client.takes()
    assert isinstance(connack, ConnAck)
    assert connack.reason_code == SUCCESS
    assert connack.properties is not None
    assert connack.properties.authentication_method == "words"
    assert connack.properties.authentication_data == b"enter"
    assert client.sends(PingReq()).takes() == [PingResp()]


@mqtt("MQTT-4.12.0-5")
def test_a_connack_has_the_method_without_data_too(guarded: World) -> None:
    client = enters(guarded, word=b"guest")
    assert client.said.authentication_method == "words"
    assert client.said.authentication_data is None


@mqtt("MQTT-4.12.0-4", "MQTT-4.13.2-1")
def test_a_broker_may_refuse_on_the_way(guarded: World) -> None:
    client = knocks(guarded).sends(auth(CONTINUE, b"foe"))
    assert client.got == [ConnAck(NOT_AUTHORIZED)]
    assert not client.is_connected


@mqtt("MQTT-4.12.0-4")
def test_who_was_refused_has_left_nothing_behind(guarded: World) -> None:
    watcher = guarded.client("watcher").subscribes("will")
    knocks(guarded, session_expiry=60, will=Will("will", b"lost")).sends(auth(CONTINUE, b"foe"))
    assert watcher.got == []
    assert not enters(guarded, session_expiry=60, clean_start=False).session_present


@mqtt("MQTT-4.12.0-3")
@pytest.mark.parametrize("reason_code", [SUCCESS, AGAIN])
def test_a_challenge_is_answered_by_continue_and_nothing_else(guarded: World, reason_code: int) -> None:
    client = knocks(guarded).sends(auth(reason_code, b"friend"))
    assert client.got == [ConnAck(PROTOCOL_ERROR)]
    assert not client.is_connected


@mqtt("MQTT-4.12.0-5")
@pytest.mark.parametrize("method", ["runes", "Words", "", None])
def test_an_answer_must_name_the_method_of_the_connect(guarded: World, method: str | None) -> None:
    client = knocks(guarded).sends(auth(CONTINUE, b"friend", method))
    assert client.got == [ConnAck(PROTOCOL_ERROR)]
    assert not client.is_connected


@mqtt("MQTT-3.1.2-30")
@pytest.mark.parametrize(
    "packet",
    [Publish("a"), Subscribe(1, [SubscriptionRequest("a")]), PingReq(), Connect("c"), ConnAck()],
    ids=lambda packet: type(packet).__name__,
)
def test_until_connack_a_client_says_nothing_else(guarded: World, packet: Packet) -> None:
    client = knocks(guarded).sends(packet)
    assert client.got == [ConnAck(PROTOCOL_ERROR)]
    assert not client.is_connected


@mqtt("MQTT-3.1.2-30", "MQTT-3.14.0-1")
def test_but_it_may_give_up(guarded: World) -> None:
    client = knocks(guarded).sends(Disconnect())
    assert not client.is_connected
    assert client.got == []


@pytest.mark.usefixtures("engine")  # in memory only
@mqtt("MQTT-3.14.0-1")
@edge("M1")
def test_an_authentication_must_come_to_an_end() -> None:  # as CONNECT has to come in time
    world = World(gate=DoorKeeper())
    client = knocks(world)
    world.advance(60)
    assert not client.is_connected
    assert not any(isinstance(packet, Disconnect) for packet in client.got)


@mqtt("MQTT-4.12.0-4")
def test_two_clients_authenticate_at_the_same_time(guarded: World) -> None:
    one, other = knocks(guarded, "c"), knocks(guarded, "d")
    other.sends(auth(CONTINUE, b"foe"))
    one.sends(auth(CONTINUE, b"friend"))
    assert one.connack == ConnAck(0, properties=one.said)
    assert other.connack == ConnAck(NOT_AUTHORIZED)


@edge("T1")
def test_the_old_connection_stays_until_the_new_one_is_in(guarded: World) -> None:
    # [MQTT-3.1.4-2] comes before [MQTT-3.1.4-3]: who cannot authenticate cannot take over either.
    old = enters(guarded)
    knocks(guarded).sends(auth(CONTINUE, b"foe"))
    assert old.sends(PingReq()).takes() == [PingResp()]
    enters(guarded)
    assert old.takes() == [Disconnect(0x8E)]


# Without a method


@mqtt("MQTT-4.12.0-6")
def test_who_named_no_method_gets_none(world: World) -> None:
    client = world.knocks("c")
    (connack,) = client.takes()
    assert isinstance(connack, ConnAck)
    assert connack.properties is None or connack.properties.authentication_method is None


@mqtt("MQTT-4.12.0-6")
def test_so_it_is_where_a_method_is_known(guarded: World) -> None:
    client = guarded.knocks("c", user_name="u", password=b"friend")
    (connack,) = client.takes()
    assert isinstance(connack, ConnAck)
    assert connack.properties is not None
    assert connack.properties.authentication_method is None
    assert connack.properties.authentication_data is None


@mqtt("MQTT-4.12.0-7")
@pytest.mark.parametrize("reason_code", [SUCCESS, CONTINUE, AGAIN])
@pytest.mark.parametrize("method", ["words", None])
def test_who_named_no_method_may_not_send_auth(world: World, reason_code: int, method: str | None) -> None:
    client = world.client("c").sends(auth(reason_code, b"friend" if method else None, method))
    assert ends(client, PROTOCOL_ERROR)
    assert not any(isinstance(packet, Auth) for packet in client.got)


@mqtt("MQTT-4.12.0-7")
@pytest.mark.parametrize("reason_code", [SUCCESS, CONTINUE, AGAIN])
def test_not_even_where_a_method_is_known(guarded: World, reason_code: int) -> None:
    client = guarded.client("c").sends(auth(reason_code, b"friend"))
    assert client.got == [Disconnect(PROTOCOL_ERROR)]
    assert not client.is_connected


# Section 3.1.2.11.10 names the code.
@mqtt("MQTT-4.13.1-1")
def test_authentication_data_without_a_method_is_a_protocol_error(world: World) -> None:
    assert ends(world.knocks("c", authentication_data=b"friend"), PROTOCOL_ERROR)


# Again


@mqtt("MQTT-4.12.1-1", "MQTT-4.12.0-5")
def test_a_client_may_authenticate_again(guarded: World) -> None:
    client = enters(guarded)
    for _ in range(2):
        client.sends(auth(AGAIN))
        assert client.takes() == [auth(CONTINUE, b"the word?")]
        client.sends(auth(CONTINUE, b"friend"))
        assert client.takes() == [auth(SUCCESS, b"enter")]
    assert client.is_connected


@mqtt("MQTT-4.12.1-1")
def test_meanwhile_it_goes_on_as_before(guarded: World) -> None:  # section 4.12.1
    client = enters(guarded).subscribes("a", qos=1).sends(auth(AGAIN))
    assert client.takes() == [auth(CONTINUE, b"the word?")]
    guarded.client("pub").publishes("a", b"x")
    client.publishes("a", b"y", qos=1)
    assert client.payloads == [b"x", b"y"]
    client.takes()
    assert client.sends(auth(CONTINUE, b"friend")).takes() == [auth(SUCCESS, b"enter")]


def test_it_changes_what_a_client_may_do(guarded: World) -> None:  # section 4.12.1
    client = enters(guarded).publishes("a", b"x", qos=1).sends(auth(AGAIN))
    client.takes()
    client.sends(auth(CONTINUE, b"guest"), Publish("a", b"y", qos=1, packet_id=1))
    assert client.takes() == [auth(SUCCESS), PubAck(1, NOT_AUTHORIZED)]


@mqtt("MQTT-4.12.1-2", "MQTT-4.13.2-1")
def test_who_fails_at_it_is_disconnected(guarded: World) -> None:
    watcher = guarded.client("watcher").subscribes("will")
    client = enters(guarded, will=Will("will", b"lost")).sends(auth(AGAIN))
    client.takes()
    client.sends(auth(CONTINUE, b"foe"))
    assert client.got == [Disconnect(NOT_AUTHORIZED)]
    assert not client.is_connected
    assert watcher.payloads == [b"lost"]


@mqtt("MQTT-4.12.1-1")
@pytest.mark.parametrize("method", ["runes", "Words", None])
def test_it_must_name_the_same_method(guarded: World, method: str | None) -> None:
    client = enters(guarded).sends(auth(AGAIN, method=method))
    assert client.got == [Disconnect(PROTOCOL_ERROR)]
    assert not client.is_connected


@mqtt("MQTT-4.12.1-1")
@pytest.mark.parametrize("reason_code", [SUCCESS, CONTINUE])
def test_it_begins_with_nothing_else(guarded: World, reason_code: int) -> None:
    client = enters(guarded).sends(auth(reason_code, b"friend"))
    assert client.got == [Disconnect(PROTOCOL_ERROR)]
    assert not client.is_connected


@mqtt("MQTT-4.12.0-3")
@pytest.mark.parametrize("reason_code", [SUCCESS, AGAIN])
def test_on_its_way_it_is_continued_by_nothing_else(guarded: World, reason_code: int) -> None:
    client = enters(guarded).sends(auth(AGAIN))
    client.takes()
    client.sends(auth(reason_code, b"friend"))
    assert client.got == [Disconnect(PROTOCOL_ERROR)]
    assert not client.is_connected


@mqtt("MQTT-4.12.0-3")
def test_nobody_answers_before_he_is_asked(guarded: World) -> None:
    client = enters(guarded).sends(auth(AGAIN))
    client.takes()
    assert client.sends(auth(CONTINUE, b"psst")).takes() == []
    client.sends(auth(CONTINUE, b"friend"))
    assert client.got == [Disconnect(PROTOCOL_ERROR)]
    assert not client.is_connected


def test_a_second_one_waits_for_the_end_of_the_first(guarded: World) -> None:  # section 4.12.1
    client = enters(guarded).sends(auth(AGAIN))
    client.takes()
    client.sends(auth(CONTINUE, b"psst"), auth(AGAIN))
    assert client.got == [Disconnect(PROTOCOL_ERROR)]
    assert not client.is_connected
