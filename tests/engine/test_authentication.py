"""Enhanced authentication: CONNECT names a method, AUTH goes to and fro (section 4.12)."""

import gc

import pytest

from telex.codes import ReasonCode
from telex.engine.permissions import EVERYTHING, Permissions
from telex.engine.seams import Client, Exchange, Gate
from telex.engine.visit import Visit
from telex.wire.packets import Auth, ConnAck, Connect, Disconnect, Packet, PingReq, PubAck, Publish, Will
from telex.wire.properties import Properties
from tests.engine.world import World

CONTINUE = ReasonCode.CONTINUE_AUTHENTICATION
AGAIN = ReasonCode.RE_AUTHENTICATE


class Nothing(Permissions):
    """Allows nothing."""

    def may_publish(self, topic: str) -> bool:
        return False


class Riddle(Exchange):
    """Says ``more?`` until it hears ``open sesame``; ``later`` it answers when the test does."""

    def __init__(self, gate: "Sphinx", client: Client) -> None:
        self.gate = gate
        self.client = client

    def receive(self, data: bytes, now: float) -> None:
        self.gate.heard.append(data)
        if data == b"later":
            self.gate.undecided.append(self.client)
        elif data == b"open sesame":
            self.client.admit(EVERYTHING, now, b"welcome")
        elif data == b"nobody":
            self.client.admit(Nothing(), now)
        elif data == b"wrong":
            self.client.refuse(ReasonCode.NOT_AUTHORIZED, "a secret", now)
        else:
            self.client.challenge(b"more?", now)


class Sphinx(Gate):
    """Knows the method ``riddle``."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[bytes] = []
        self.asked: list[Connect] = []
        self.undecided: list[Client] = []
        self.knows = True

    def exchange(self, client: Client, packet: Connect, visit: Visit) -> Exchange | None:
        assert packet.properties is not None
        self.asked.append(packet)
        if self.knows and packet.properties.authentication_method == "riddle":
            return Riddle(self, client)
        return None


@pytest.fixture
def gate() -> Sphinx:
    return Sphinx()


@pytest.fixture
def world(gate: Sphinx) -> World:
    return World(gate=gate)


def auth(code: int, data: bytes | None = None, method: str | None = "riddle") -> Auth:
    return Auth(code, Properties(authentication_method=method, authentication_data=data))


def connect(data: bytes | None = None, **more: object) -> dict[str, object]:
    return {"authentication_method": "riddle", "authentication_data": data, **more}


def test_one_word_may_be_enough(world: World) -> None:  # [MQTT-4.12.0-5]
    client = world.client("c", **connect(b"open sesame"))
    assert client.said.authentication_method == "riddle"
    assert client.said.authentication_data == b"welcome"


def test_a_challenge_is_answered_by_auth(world: World, gate: Sphinx) -> None:  # [MQTT-4.12.0-2] [MQTT-4.12.0-3]
    client = world.knocks("c", **connect())
    assert client.takes() == [auth(CONTINUE, b"more?")]
    client.sends(auth(CONTINUE, b"hm"))
    assert client.takes() == [auth(CONTINUE, b"more?")]
    client.sends(auth(CONTINUE, b"open sesame"))
    assert client.connack is not None
    assert client.connack.reason_code == 0
    assert gate.heard == [b"", b"hm", b"open sesame"]


def test_a_wrong_word_is_a_refusal(world: World) -> None:  # [MQTT-4.12.0-4]
    client = world.knocks("c", **connect()).sends(auth(CONTINUE, b"wrong"))
    assert client.got[1:] == [ConnAck(ReasonCode.NOT_AUTHORIZED)]
    assert client.reasons == ["not authorized"]  # and not what the gate wrote for us
    assert not client.is_connected
    assert world.diary.reasons == ["a secret (0x87 not authorized)"]


def test_a_method_that_nobody_knows_is_refused(world: World) -> None:  # [MQTT-4.12.0-1]
    client = world.knocks("c", authentication_method="runes")
    assert client.got == [ConnAck(ReasonCode.BAD_AUTHENTICATION_METHOD)]
    assert client.reasons == ["no such authentication method: 'runes'"]


def test_a_gate_without_methods_lets_nobody_pass_by_naming_one() -> None:  # [MQTT-4.12.0-1]
    client = World().knocks("c", **connect(b"open sesame"))
    assert client.got == [ConnAck(ReasonCode.BAD_AUTHENTICATION_METHOD)]


@pytest.mark.parametrize("packet", [PingReq(), Publish("a"), Connect("c")], ids=["PINGREQ", "PUBLISH", "CONNECT"])
def test_only_auth_may_follow_a_challenge(world: World, packet: Packet) -> None:  # [MQTT-3.1.2-30]
    client = world.knocks("c", **connect()).sends(packet)
    assert client.got[1:] == [ConnAck(ReasonCode.PROTOCOL_ERROR)]
    assert not client.is_connected


def test_a_client_may_give_up(world: World) -> None:  # [MQTT-3.1.2-30]
    client = world.knocks("c", **connect()).sends(Disconnect())
    assert client.got == [auth(CONTINUE, b"more?")]
    assert not client.is_connected
    assert world.engine.sessions == {}


def test_what_is_sent_before_an_answer_waits(world: World, gate: Sphinx) -> None:  # [MQTT-3.1.4-6]
    client = world.knocks("c", **connect(b"later"))
    client.sends(auth(CONTINUE, b"too early"))
    assert client.connection.is_waiting
    assert gate.heard == [b"later"]
    gate.undecided[0].challenge(b"now", world.now)
    world.flush()
    assert gate.heard == [b"later", b"too early"]
    assert client.got == [auth(CONTINUE, b"now"), auth(CONTINUE, b"more?")]


def test_an_answer_to_a_client_that_has_gone_is_no_error(world: World, gate: Sphinx) -> None:
    client = world.knocks("c", **connect(b"later")).drops()
    for answer in (
        lambda: gate.undecided[0].challenge(b"now", world.now),
        lambda: gate.undecided[0].admit(EVERYTHING, world.now),
        lambda: gate.undecided[0].refuse(ReasonCode.BANNED, "", world.now),
    ):
        answer()
    assert client.got == []
    assert world.engine.sessions == {}


def test_an_authentication_must_come_to_an_end(world: World) -> None:
    client = world.knocks("c", **connect())
    world.advance(11)
    assert not client.is_connected
    assert world.diary.reasons == ["login took too long"]


@pytest.mark.parametrize(
    "packet",
    [
        auth(CONTINUE, b"x", "runes"),
        auth(CONTINUE, b"x", None),
        Auth(),
        auth(0, b"x"),
        auth(AGAIN, b"x"),
    ],
    ids=["another method", "no method", "no word at all", "success", "again"],
)
def test_auth_must_go_on_with_its_method(world: World, packet: Auth) -> None:  # [MQTT-4.12.0-3] [MQTT-4.12.0-5]
    client = world.knocks("c", **connect()).sends(packet)
    assert client.got[1:] == [ConnAck(ReasonCode.PROTOCOL_ERROR)]
    assert not client.is_connected


def test_auth_without_a_method_in_connect_is_an_error(world: World) -> None:  # [MQTT-4.12.0-7]
    client = world.client("c").sends(auth(AGAIN, b"open sesame"))
    assert client.got == [Disconnect(ReasonCode.PROTOCOL_ERROR)]


def test_a_client_may_authenticate_again(world: World, gate: Sphinx) -> None:  # [MQTT-4.12.1-1]
    client = world.client("c", **connect(b"open sesame"))
    client.sends(auth(AGAIN, b"hello"))
    assert client.takes() == [auth(CONTINUE, b"more?")]
    client.sends(Publish("a", qos=1, packet_id=1))  # section 4.12.1: it goes on as it was meanwhile
    assert client.takes() == [PubAck(1, 0x10)]
    client.sends(auth(CONTINUE, b"open sesame"))
    assert client.takes() == [auth(0, b"welcome")]
    assert client.is_connected
    client.sends(auth(AGAIN, b"open sesame"))
    assert client.takes() == [auth(0, b"welcome")]


def test_what_a_client_may_do_can_change_with_it(world: World) -> None:  # section 4.12.1
    client = world.client("c", **connect(b"open sesame"))
    client.sends(auth(AGAIN, b"nobody"), Publish("a", qos=1, packet_id=1))
    assert client.got == [auth(0), PubAck(1, ReasonCode.NOT_AUTHORIZED)]


def test_a_will_that_a_client_may_not_publish_any_more_is_not_published(world: World) -> None:  # section 4.12.1
    sub = world.client("sub", **connect(b"open sesame")).subscribes("a")
    client = world.client("c", **connect(b"open sesame", will=Will("a", b"lost")))
    client.sends(auth(AGAIN, b"nobody")).drops()
    assert sub.payloads == []
    assert "c misses a" in world.diary.lines


def test_a_late_answer_to_it_leaves_by_itself(world: World, gate: Sphinx) -> None:
    client = world.client("c", **connect(b"open sesame"))
    client.sends(auth(AGAIN, b"later"))
    assert client.sends(Publish("a", qos=1, packet_id=1)).takes() == [PubAck(1, 0x10)]
    gate.undecided[0].admit(EVERYTHING, world.now, b"at last")
    world.flush()
    assert client.takes() == [auth(0, b"at last")]


def test_who_fails_at_it_is_disconnected(world: World) -> None:  # [MQTT-4.12.1-2]
    client = world.client("c", **connect(b"open sesame"))
    client.sends(auth(AGAIN, b"wrong"))
    assert client.got == [Disconnect(ReasonCode.NOT_AUTHORIZED)]
    assert client.reasons == ["not authorized"]
    assert not client.is_connected


@pytest.mark.parametrize("reason_code", ReasonCode)
def test_whatever_the_code_of_a_refusal_the_client_is_out(world: World, gate: Sphinx, reason_code: int) -> None:
    client = world.client("c", **connect(b"open sesame"))
    client.sends(auth(AGAIN, b"later"))
    gate.undecided[0].refuse(reason_code, "no", world.now)
    world.flush()
    assert isinstance(client.got[-1], Disconnect)
    assert not client.is_connected


def test_the_answer_to_an_earlier_question_counts_no_more(world: World, gate: Sphinx) -> None:
    client = world.knocks("c", **connect(b"later"))
    first = gate.undecided.pop()
    first.admit(EVERYTHING, world.now)
    client.sends(auth(AGAIN, b"later"))
    client.takes()
    first.admit(EVERYTHING, world.now)
    first.challenge(b"", world.now)
    first.refuse(ReasonCode.BANNED, "", world.now)
    world.flush()
    assert client.takes() == []
    gate.undecided[0].challenge(b"go on", world.now)
    gate.undecided[0].admit(EVERYTHING, world.now)  # the word is the client's
    world.flush()
    assert client.takes() == [auth(CONTINUE, b"go on")]


@pytest.mark.parametrize("version", [3, 4, 5, 7])
def test_a_second_connect_during_an_authentication_is_an_error(world: World, version: int) -> None:  # [MQTT-3.1.0-2]
    client = world.knocks("c", **connect())
    client.sends_bytes(b"\x10\x0d\x00\x04MQTT" + bytes([version, 2, 0, 0, 0, 1]) + b"c")
    [_, connack] = client.got
    assert isinstance(connack, ConnAck)
    assert connack.reason_code in (ReasonCode.PROTOCOL_ERROR, ReasonCode.MALFORMED_PACKET, 0x84)


def test_no_secret_is_kept_to_authenticate_again(world: World, gate: Sphinx) -> None:
    client = world.client("c", **connect(b"open sesame", user_name="ann", password=b"secret", will=Will("a", b"lost")))
    client.sends(auth(AGAIN, b"open sesame"))
    assert [packet.password for packet in gate.asked] == [b"secret", None]
    assert [packet.user_name for packet in gate.asked] == ["ann", "ann"]
    assert [packet.client_id for packet in gate.asked] == ["c", "c"]
    assert gate.asked[1].will is None


def test_who_had_no_client_id_authenticates_again_with_the_one_it_got(world: World, gate: Sphinx) -> None:
    client = world.client("", **connect(b"open sesame"))
    client.sends(auth(AGAIN, b"open sesame"))
    assert gate.asked[1].client_id == client.said.assigned_client_identifier


def test_a_second_one_before_the_first_is_over_is_an_error(world: World) -> None:  # section 4.12.1
    client = world.client("c", **connect(b"open sesame"))
    client.sends(auth(AGAIN, b"hello"), auth(AGAIN, b"hello"))
    assert client.got == [auth(CONTINUE, b"more?"), Disconnect(ReasonCode.PROTOCOL_ERROR)]


def test_an_answer_that_nobody_asked_for_is_an_error(world: World) -> None:  # section 4.12
    client = world.client("c", **connect(b"open sesame"))
    client.sends(auth(CONTINUE, b"hello"))
    assert client.got == [Disconnect(ReasonCode.PROTOCOL_ERROR)]


def test_a_gate_may_forget_a_method(world: World, gate: Sphinx) -> None:
    client = world.client("c", **connect(b"open sesame"))
    gate.knows = False
    client.sends(auth(AGAIN, b"open sesame"))
    assert client.got == [Disconnect(ReasonCode.BAD_AUTHENTICATION_METHOD)]


def test_who_named_no_method_gets_none(world: World) -> None:  # [MQTT-4.12.0-6]
    assert world.client("c").said.authentication_method is None


def test_an_authentication_leaves_no_circle_behind(world: World) -> None:
    def riddles() -> int:
        return sum(isinstance(each, Riddle) for each in gc.get_objects())

    gc.collect()
    gc.disable()  # what goes without it was in no circle
    try:
        client = world.client("c", **connect(b"open sesame"))
        assert riddles() == 0
        client.sends(auth(AGAIN, b"hello"))
        assert riddles() == 1
        client.drops()
        assert riddles() == 0
    finally:
        gc.enable()
