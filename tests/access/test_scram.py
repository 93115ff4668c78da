"""Logging in with SCRAM-SHA-256: the messages of the RFC, a client of somebody else, the engine around it."""

import base64
import gc
import hashlib
import hmac
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scramp import ScramClient, ScramMechanism

from telex.codes import ReasonCode
from telex.engine.permissions import EVERYTHING
from telex.engine.seams import Client, Exchange, Gate
from telex.engine.visit import Visit
from telex.server.access.passwords import ScramKeys
from telex.server.access.scram import METHOD, Scram, ScramExchange
from telex.server.access.ways import Admitted, Denied
from telex.wire.packets import Auth, ConnAck, Connect, Disconnect
from telex.wire.properties import Properties
from tests.engine.world import World

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")


def kept(password: str, salt: bytes = SALT, iterations: int = 4096) -> ScramKeys:
    """What a password file keeps, by the formulas of RFC 5802, section 3, and not by any library."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return ScramKeys(
        iterations, salt, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")
    )


USERS = {"user": kept("pencil"), "ann": kept("correct horse", b"another salt 123"), "Jürgen, =": kept("x" * 20)}


class Challenged(Client):
    """A client that only hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[bytes] = []

    def challenge(self, data: bytes, now: float) -> None:
        self.heard.append(data)


class Talk:
    """One exchange, and how it ended."""

    def __init__(self, scram: Scram | None = None, user: str | None = None) -> None:
        self.client = Challenged()
        self.ends: list[tuple[Admitted | Denied, bytes, float]] = []
        scram = scram or Scram(USERS.get, secret=b"secret")
        self.exchange: ScramExchange = scram.begin(self.client, lambda *end: self.ends.append(end), user=user)

    def says(self, data: str | bytes) -> str:
        """What is answered; empty if it is over."""
        already = len(self.client.heard)
        self.exchange.receive(data.encode() if isinstance(data, str) else data, 5.0)
        return self.client.heard[-1].decode() if len(self.client.heard) > already else ""

    def goes(self, user: str, password: str) -> str:
        """A whole exchange with scramp's client; what the broker says at its end."""
        client = ScramClient([METHOD], user, password)
        client.set_server_first(self.says(client.get_client_first()))
        self.says(client.get_client_final())
        [(_, data, _)] = self.ends
        if data:
            client.set_server_final(data.decode())
        return data.decode()

    @property
    def end(self) -> Admitted | Denied:
        [(end, _, now)] = self.ends
        assert now == 5.0
        return end


def why(end: Admitted | Denied) -> str:
    assert isinstance(end, Denied)
    return end.reason


@pytest.mark.parametrize(("user", "password"), [("user", "pencil"), ("ann", "correct horse"), ("Jürgen, =", "x" * 20)])
def test_who_knows_the_password_is_let_in_and_sees_that_the_broker_knows_it(user: str, password: str) -> None:
    talk = Talk()
    assert talk.goes(user, password).startswith("v=")
    assert isinstance(talk.end, Admitted)
    assert talk.end.user == talk.exchange.user == user


def test_the_example_of_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:  # RFC 7677, section 3
    monkeypatch.setattr("scramp.core.token_hex", lambda: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    talk = Talk()
    assert talk.says("n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == (
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    talk.says(
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert talk.ends[0][1] == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize(("user", "password"), [("user", "pencil "), ("user", ""), ("nobody", "pencil")])
def test_who_does_not_is_refused_at_the_end(user: str, password: str) -> None:
    talk = Talk()
    assert talk.goes(user, password or "?") == ""
    assert talk.end == Denied(
        reason=f"{METHOD}: user {user!r}: The client keys don't match.: invalid-proof", tried=user
    )


def test_nobody_finds_out_who_is_there() -> None:
    def first(scram: Scram, user: str) -> tuple[int, int]:
        nonce, salt, iterations = Talk(scram).says(f"n,,n={user},r=abc").split(",")
        return len(nonce), len(base64.b64decode(salt[2:])), iterations

    scram = Scram(USERS.get)
    assert first(scram, "nobody") == first(scram, "user")
    assert scram.keys("nobody").salt == scram.keys("nobody").salt == Scram(USERS.get).keys("nobody").salt
    assert scram.keys("nobody").salt != scram.keys("somebody").salt
    assert scram.keys("nobody").stored_key != scram.keys("nobody").stored_key
    assert Scram(USERS.get, secret=b"other").keys("nobody").salt != scram.keys("nobody").salt


@pytest.mark.parametrize("user", [None, "", "ann"])
def test_it_must_be_who_connect_says_it_is(user: str | None) -> None:
    talk = Talk(user=user)
    talk.goes("ann", "correct horse")
    assert isinstance(talk.end, Admitted)


def test_somebody_else_is_refused_at_the_end() -> None:
    talk = Talk(user="eve")
    assert talk.goes("ann", "correct horse") == ""
    assert talk.end == Denied(reason=f"{METHOD}: it is 'ann', and must be 'eve'", is_guess=False)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("", "malformed first message"),
        ("n", "malformed first message"),
        ("n,,", "Malformed client_first_bare"),
        ("n,,n=user", "Expected the attribute str"),
        ("n,,r=abc,n=user", "Expected the attribute str"),
        ("n,,n=,r=abc", "at least one character"),
        ("n,,n=user,r=", "at least one character"),
        ("n,,n=us=er,r=abc", "must be followed by '3D'"),
        ("n,,n=user,r=a b", "invalid characters"),
        ("n,,m=x,n=user,r=abc", "isn't supported"),
        ("n,a=eve,n=user,r=abc", "authzid must be empty"),
        ("p=tls-unique,,n=user,r=abc", "channel-binding-not-supported"),
        ("p=tls-exporter,,n=user,r=abc", "unsupported-channel-binding-type"),
        ("x,,n=user,r=abc", "GS2 flag"),
        (b"n,,n=\xff,r=abc", "can't decode byte"),
        (b"n,,n=a\0b,r=abc", "NUL"),
    ],
)
def test_a_wrong_first_message_is_a_refusal(first: str | bytes, reason: str) -> None:
    talk = Talk()
    assert talk.says(first) == ""
    assert reason in why(talk.end)


def test_a_client_that_thinks_that_we_have_no_channel_binding_is_right() -> None:
    assert Talk().says("y,,n=user,r=abc").startswith("r=abc")


def proof_of(password: str, keys: ScramKeys, auth: str) -> bytes:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), keys.salt, keys.iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), auth.encode(), "sha256")
    return bytes(left ^ right for left, right in zip(client_key, signature, strict=True))


FINALS: dict[str, tuple[Callable[[str, bytes], str], str]] = {
    "right": (lambda nonce, proof: f"c=biws,r={nonce},p={b64(proof)}", ""),
    "another nonce": (lambda nonce, proof: f"c=biws,r={nonce}x,p={b64(proof)}", "nonce"),
    "the client's nonce": (lambda nonce, proof: f"c=biws,r=abc,p={b64(proof)}", "nonce"),
    "another header": (lambda nonce, proof: f"c=eSws,r={nonce},p={b64(proof)}", "channel-bindings-dont-match"),
    "no proof": (lambda nonce, proof: f"c=biws,r={nonce}", "Expected the attribute str"),
    "an empty proof": (lambda nonce, proof: f"c=biws,r={nonce},p=", "at least one character"),
    "a short proof": (lambda nonce, proof: f"c=biws,r={nonce},p={b64(proof[:-1])}", "invalid-proof"),
    "a long proof": (lambda nonce, proof: f"c=biws,r={nonce},p={b64(proof + b'0')}", "invalid-proof"),
    "another proof": (lambda nonce, proof: f"c=biws,r={nonce},p={b64(bytes(32))}", "invalid-proof"),
    "no base64": (lambda nonce, proof: f"c=biws,r={nonce},p=!", "Invalid base 64"),
    "first again": (lambda nonce, proof: "n,,n=user,r=abc", "Malformed client final"),
    "nothing": (lambda nonce, proof: "", "Malformed client final"),
}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("name", FINALS)
def test_the_last_message_must_be_right_in_every_part(name: str) -> None:
    made, reason = FINALS[name]
    talk = Talk()
    server_first = talk.says("n,,n=user,r=abc")
    nonce = server_first.split(",")[0][2:]
    proof = proof_of("pencil", USERS["user"], f"n=user,r=abc,{server_first},c=biws,r={nonce}")
    talk.says(made(nonce, proof))
    if reason:
        assert reason in why(talk.end)
        assert talk.ends[0][1] == b""
    else:
        assert isinstance(talk.end, Admitted)


def test_a_replayed_login_is_refused() -> None:
    client = ScramClient([METHOD], "user", "pencil")
    talk = Talk()
    first = client.get_client_first()
    client.set_server_first(talk.says(first))
    final = client.get_client_final()
    talk.says(final)
    assert isinstance(talk.end, Admitted)
    again = Talk()
    again.says(first)
    again.says(final)
    assert isinstance(again.end, Denied)


def test_keys_that_cannot_be_used_let_nobody_in() -> None:
    for keys in (kept("pencil", b"short"), kept("pencil", iterations=100)):
        talk = Talk(Scram({"user": keys}.get))
        assert talk.says("n,,n=user,r=abc") == ""
        assert isinstance(talk.end, Denied)


def test_who_was_admitted_stays_while_the_password_is_the_same() -> None:
    talk = Talk()
    talk.goes("ann", "correct horse")
    admitted = talk.end
    assert isinstance(admitted, Admitted)
    assert Scram(USERS.get).still_admits(admitted)
    assert not Scram({"ann": kept("new")}.get).still_admits(admitted)
    assert not Scram({}.get).still_admits(admitted)
    for secret in (USERS["ann"].stored_key, USERS["ann"].server_key):
        assert secret.hex() not in admitted.credential


def test_our_formulas_and_the_library_agree() -> None:
    salt, stored_key, server_key, iterations = ScramMechanism(METHOD).make_auth_info("pencil", salt=SALT)
    assert ScramKeys(iterations, salt, stored_key, server_key) == USERS["user"]


@given(
    first=st.binary() | st.from_regex(r"[nyp](=[a-z-]+)?,,n=user,r=\w+(,\w=\w+)*", fullmatch=True), final=st.binary()
)
def test_garbage_never_admits(first: str | bytes, final: bytes) -> None:
    talk = Talk()
    if talk.says(first):
        talk.says(final)
    assert isinstance(talk.end, Denied)


# Through the engine


class ScramGate(Gate):
    """As the broker's gate does it."""

    def __init__(self) -> None:
        super().__init__()
        self.scram = Scram(USERS.get)
        self.admitted: list[Admitted] = []

    def exchange(self, client: Client, packet: Connect, visit: Visit) -> Exchange | None:
        def done(end: Admitted | Denied, data: bytes, now: float) -> None:
            if isinstance(end, Admitted):
                self.admitted.append(end)
                client.admit(EVERYTHING, now, data)
            else:
                client.refuse(ReasonCode.NOT_AUTHORIZED, end.reason, now)

        assert packet.properties is not None
        named = packet.properties.authentication_method
        return self.scram.begin(client, done, user=packet.user_name) if named == METHOD else None


def auth(code: int, data: str) -> Auth:
    return Auth(code, Properties(authentication_method=METHOD, authentication_data=data.encode()))


def data_of(packet: object) -> str:
    assert isinstance(packet, Auth | ConnAck)
    assert packet.properties is not None
    return (packet.properties.authentication_data or b"").decode()


def test_a_client_comes_in_by_auth_packets_and_authenticates_again() -> None:
    gate = ScramGate()
    world = World(gate=gate)
    scram = ScramClient([METHOD], "ann", "correct horse")
    first = scram.get_client_first().encode()
    client = world.knocks("c", user_name="ann", authentication_method=METHOD, authentication_data=first)
    [challenge] = client.takes()
    scram.set_server_first(data_of(challenge))
    client.sends(auth(0x18, scram.get_client_final()))
    [connack] = client.takes()
    assert isinstance(connack, ConnAck)
    assert connack.reason_code == 0
    scram.set_server_final(data_of(connack))

    for user, password, code in (("ann", "correct horse", 0x00), ("user", "pencil", ReasonCode.NOT_AUTHORIZED)):
        scram = ScramClient([METHOD], user, password)
        client.sends(auth(0x19, scram.get_client_first()))
        [challenge] = client.takes()
        scram.set_server_first(data_of(challenge))
        client.sends(auth(0x18, scram.get_client_final()))
        [answer] = client.takes()
        assert isinstance(answer, Auth | Disconnect)
        assert answer.reason_code == code
    assert [admitted.user for admitted in gate.admitted] == ["ann", "ann"]


def test_a_wrong_password_is_a_connack_without_a_word() -> None:
    world = World(gate=ScramGate())
    scram = ScramClient([METHOD], "ann", "wrong horse")
    first = scram.get_client_first().encode()
    client = world.knocks("c", authentication_method=METHOD, authentication_data=first)
    [challenge] = client.takes()
    scram.set_server_first(data_of(challenge))
    client.sends(auth(0x18, scram.get_client_final()))
    [connack] = client.takes()
    assert isinstance(connack, ConnAck)
    assert connack.reason_code == ReasonCode.NOT_AUTHORIZED
    assert connack.properties is None
    assert not client.is_connected


def test_an_exchange_leaves_no_circle_behind() -> None:
    def exchanges() -> int:
        return sum(isinstance(each, ScramExchange) for each in gc.get_objects())

    gc.collect()
    before = exchanges()
    gc.disable()  # what goes without it was in no circle
    try:
        world = World(gate=ScramGate())
        client = world.knocks("c", authentication_method=METHOD, authentication_data=b"n,,n=ann,r=abc")
        assert exchanges() == before + 1
        client.drops()
        assert exchanges() == before
    finally:
        gc.enable()
