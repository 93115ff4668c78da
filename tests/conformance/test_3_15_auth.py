"""AUTH: its bytes, its codes and its size (section 3.15); what it is for is shown in section 4.12's tests."""

import pytest

from telex.engine.permissions import EVERYTHING
from telex.engine.seams import Client as Knocker
from telex.engine.seams import Exchange, Gate
from telex.engine.visit import Visit
from telex.wire.packets import Auth, ConnAck, Connect, Disconnect
from telex.wire.properties import Properties
from tests.conformance.conftest import MakeWorld
from tests.conformance.marks import mqtt
from tests.conformance.words import ends
from tests.engine.world import Client, World

CONTINUE = 0x18
AGAIN = 0x19
MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
NOT_AUTHORIZED = 0x87
TOO_LARGE = 0x95


class Echo(Exchange):
    """Asks back what it hears, until it hears ``in`` or ``out``."""

    def __init__(self, client: Knocker) -> None:
        self.client = client

    def receive(self, data: bytes, now: float) -> None:
        if data == b"in":
            self.client.admit(EVERYTHING, now)
        elif data == b"out":
            self.client.refuse(NOT_AUTHORIZED, "a long word of why it did not please us that goes to our log", now)
        else:
            self.client.challenge(data, now)


class EchoGate(Gate):
    """Knows one method, ``e``, which is an ``Echo``."""

    def exchange(self, client: Knocker, packet: Connect, visit: Visit) -> Exchange | None:
        return Echo(client)


def auth(reason_code: int, data: bytes | None = None) -> Auth:
    return Auth(reason_code, Properties(authentication_method="e", authentication_data=data))


@pytest.fixture
def asking(make_world: MakeWorld) -> Client:
    """A client on its way through its authentication."""
    client = make_world(gate=EchoGate()).knocks("c", authentication_method="e", authentication_data=b"?")
    assert client.takes() == [auth(CONTINUE, b"?")]
    return client


@pytest.fixture
def inside(make_world: MakeWorld) -> Client:
    """A client that has authenticated itself."""
    return make_world(gate=EchoGate()).client("c", authentication_method="e", authentication_data=b"in")


with_wrong_bytes = pytest.mark.parametrize(
    ("data", "reason_code"),
    [
        pytest.param("f1 07 18 05 15 00 01 65 00", MALFORMED, id="flags"),
        pytest.param("f0 05 18 05 15 00 01", MALFORMED, id="cut short"),
        pytest.param("f0 07 18 04 15 00 01 65 00", MALFORMED, id="more than there should be"),
        pytest.param("f0 0b 18 09 15 00 01 65 11 00 00 00 01", MALFORMED, id="an expiry"),
        pytest.param("f0 0a 18 08 15 00 01 65 15 00 01 65", PROTOCOL_ERROR, id="the method twice"),
        pytest.param("f0 0e 18 0c 15 00 01 65 16 00 01 61 16 00 01 61", PROTOCOL_ERROR, id="data twice"),
        pytest.param("f0 06 18 04 15 00 01 ff", MALFORMED, id="a method that is no UTF-8"),
        pytest.param("f0 06 18 04 16 00 01 61", PROTOCOL_ERROR, id="no method"),
        pytest.param("f0 02 18 00", PROTOCOL_ERROR, id="no properties"),
        pytest.param("f0 01 18", PROTOCOL_ERROR, id="no properties and no length"),
        pytest.param("f0 00", PROTOCOL_ERROR, id="nothing, which is success"),
    ],
)


@mqtt("MQTT-3.15.1-1")
@pytest.mark.parametrize("first", ["f1", "f2", "f4", "f8", "ff"])
def test_flags_of_auth_that_are_not_zero_are_malformed(asking: Client, inside: Client, first: str) -> None:
    asking.sends_bytes(bytes.fromhex(first + "06 18 04 15 00 01 65"))
    assert asking.got == [ConnAck(MALFORMED)]
    assert not asking.is_connected
    inside.sends_bytes(bytes.fromhex(first + "06 19 04 15 00 01 65"))
    assert inside.got == [Disconnect(MALFORMED)]
    assert not inside.is_connected


@mqtt("MQTT-3.15.1-1")
@pytest.mark.parametrize("first", ["f1", "f8"])
def test_so_they_are_to_a_broker_that_knows_no_method(world: World, first: str) -> None:
    client = world.client("c").sends_bytes(bytes.fromhex(first + "06 19 04 15 00 01 65"))
    assert ends(client, MALFORMED, PROTOCOL_ERROR)  # it may look first whether AUTH may come at all


@mqtt("MQTT-3.15.2-1")
@pytest.mark.parametrize("code", ["01", "17", "1a", "80", "87", "ff"])
def test_other_codes_than_three_are_an_error(asking: Client, inside: Client, code: str) -> None:
    data = bytes.fromhex(f"f0 06 {code} 04 15 00 01 65")
    assert asking.sends_bytes(data).got == [ConnAck(MALFORMED)]
    assert not asking.is_connected
    assert inside.sends_bytes(data).got == [Disconnect(MALFORMED)]
    assert not inside.is_connected


@mqtt("MQTT-3.15.2-1")
def test_a_broker_says_continue_and_success(inside: Client) -> None:
    # The client's decoder refuses every other code.
    assert inside.sends(auth(AGAIN, b"?")).takes() == [auth(CONTINUE, b"?")]
    assert inside.sends(auth(CONTINUE, b"in")).takes() == [auth(0)]


@mqtt("MQTT-4.13.1-1")
@with_wrong_bytes
def test_wrong_bytes_end_an_authentication(asking: Client, data: str, reason_code: int) -> None:
    asking.sends_bytes(bytes.fromhex(data))
    assert asking.got == [ConnAck(reason_code)]
    assert not asking.is_connected


@mqtt("MQTT-4.13.1-1")
@with_wrong_bytes
def test_wrong_bytes_end_the_connection_of_a_client_that_is_in(inside: Client, data: str, reason_code: int) -> None:
    inside.sends_bytes(bytes.fromhex(data))
    assert inside.got == [Disconnect(reason_code)]
    assert not inside.is_connected


# v3 section 2.2.1: packet type 15 is reserved.
@mqtt("MQTT-4.8.0-1", v3=True)
@pytest.mark.parametrize("data", ["f0 00", "f0 06 19 04 15 00 01 65"])
def test_before_v5_there_is_no_auth(world: World, data: str) -> None:
    client = world.client("c", version=4).sends_bytes(bytes.fromhex(data))
    assert not client.is_connected
    assert client.got == []


# Its size


@mqtt("MQTT-3.15.2-2", "MQTT-3.15.2-3")
def test_an_auth_fits_a_client_that_takes_small_packets_only(make_world: MakeWorld) -> None:
    # 30 bytes, or CONNACK would not fit; the client checks the size of whatever comes.
    client = make_world(gate=EchoGate()).knocks(
        "c", authentication_method="e", authentication_data=b"x" * 19, maximum_packet_size=30
    )
    assert client.takes() == [auth(CONTINUE, b"x" * 19)]
    assert client.sizes[-1] == 30
    assert client.sends(auth(CONTINUE, b"in")).connack == ConnAck(0, properties=client.said)
    client.takes()
    assert client.sends(auth(AGAIN, b"in")).takes() == [auth(0)]
    client.sends(auth(AGAIN, b"out"))
    assert client.takes() == [Disconnect(NOT_AUTHORIZED)]


@mqtt("MQTT-3.1.2-24")
def test_an_auth_that_does_not_fit_is_not_sent(make_world: MakeWorld) -> None:
    world = make_world(gate=EchoGate())
    client = world.knocks("c", authentication_method="e", authentication_data=b"x" * 20, maximum_packet_size=30)
    assert client.got == [ConnAck(TOO_LARGE)]
    assert not client.is_connected
    client = world.client("c", authentication_method="e", authentication_data=b"in", maximum_packet_size=30)
    client.sends(auth(AGAIN, b"x" * 20))
    assert client.got == [Disconnect(TOO_LARGE)]
    assert not client.is_connected


class Slow(Exchange):
    """Answers when it is asked to."""

    def __init__(self, gate: "SlowGate", client: Knocker) -> None:
        self.gate = gate
        self.client = client

    def receive(self, data: bytes, now: float) -> None:
        self.gate.asked.append(self.client)


class SlowGate(Gate):
    """Writes down who is to be answered."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Knocker] = []

    def exchange(self, client: Knocker, packet: Connect, visit: Visit) -> Exchange | None:
        return Slow(self, client)


@pytest.mark.usefixtures("engine")  # in memory only
@mqtt("MQTT-3.1.2-24")
def test_an_auth_that_comes_late_and_does_not_fit_is_not_sent_either() -> None:
    gate = SlowGate()
    world = World(gate=gate)
    client = world.knocks("c", authentication_method="e", maximum_packet_size=30)
    gate.asked[0].challenge(b"x" * 20, world.now)
    world.flush()
    assert client.got == [ConnAck(TOO_LARGE)]
    assert not client.is_connected


@pytest.mark.usefixtures("engine")  # in memory only
@mqtt("MQTT-3.1.2-24")
def test_so_it_is_when_a_client_authenticates_again() -> None:
    gate = SlowGate()
    world = World(gate=gate)
    client = world.knocks("c", authentication_method="e", maximum_packet_size=30)
    gate.asked[0].admit(EVERYTHING, world.now)
    world.flush()
    client.takes()
    client.sends(auth(AGAIN))
    gate.asked[1].admit(EVERYTHING, world.now, b"x" * 20)
    world.flush()
    assert client.got == [Disconnect(TOO_LARGE)]
    assert not client.is_connected
