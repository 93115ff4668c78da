"""Logging in with a token: what is let in, what is not and why, and where the keys come from."""

import asyncio
import base64
import hmac
import json
import re
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from telex.server.access.jwt import JwtWay, is_token, keys_in
from telex.server.access.ways import Admitted, Applicant, Denied
from telex.server.config import ConfigError, Jwt, Rule
from tests.access.services import Clock, WebService, floods, hangs_up, says
from tests.certificates import Authority

SECRET = "0123456789abcdef0123456789abcdef"
NOW = 1_000_000.0


def rsa_key(name: str = "ours") -> rsa.RSAPrivateKey:
    return _rsa_keys(name)


def ec_key(name: str = "ours") -> ec.EllipticCurvePrivateKey:
    return _ec_keys(name)


@cache
def _rsa_keys(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 1024 if name == "short" else 2048)


@cache
def _ec_keys(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1() if name == "P-384" else ec.SECP256R1())


def public_pem(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def private_pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def jwk(key: Any, **more: object) -> dict[str, object]:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    members = algorithm.to_jwk(key.public_key(), as_dict=True)
    members.pop("key_ops", None)
    return {**members, **more}


def jwks(*keys: dict[str, object]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def b64(data: bytes | str | dict[str, object]) -> bytes:
    if isinstance(data, dict):
        data = json.dumps(data)
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=")


def signed(claims: dict[str, object], key: Any = None, algorithm: str = "RS256", **header: object) -> bytes:
    return jwt.encode(claims, key or rsa_key(), algorithm, headers=header).encode()


def forged(header: dict[str, object], claims: dict[str, object], secret: bytes | None) -> bytes:
    """A token by somebody who has no library to stop him; None: without a signature."""
    said = b64(header) + b"." + b64(claims)
    return said + b"." + (b"" if secret is None else b64(hmac.digest(secret, said, "sha256")))


ANN: dict[str, object] = {"sub": "ann", "exp": NOW + 60}


class Issued:
    """A way with keys in a file, and its clock."""

    def __init__(self, tmp_path: Path) -> None:
        self.file = tmp_path / "keys"
        self.clock = Clock(NOW)

    def way(self, data: bytes | None = None, **described: object) -> JwtWay:
        if data is None:
            data = public_pem(rsa_key()) + public_pem(ec_key())
        self.file.write_bytes(data)
        described = {"keys": str(self.file), "algorithms": ["RS256", "ES256"], **described}
        way = JwtWay(msgspec.convert(described, Jwt), clock=self.clock)
        asyncio.run(way.open())
        return way

    def ask(self, token: bytes, data: bytes | None = None, user: str | None = None, **described: object) -> object:
        return asked(self.way(data, **described), token, user)


def asked(way: JwtWay, token: bytes | None, user: str | None = None) -> Admitted | Denied | None:
    return asyncio.run(way.check(Applicant(user_name=user, password=token, client_id="c")))


def why(answer: object) -> str:
    assert isinstance(answer, Denied), answer
    return answer.reason


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return Issued(tmp_path)


# What is let in


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
@pytest.mark.parametrize("user", [None, "", "ann"])
def test_a_token_lets_in_whom_it_names_until_it_ends(issued: Issued, algorithm: str, user: str | None) -> None:
    key = rsa_key() if algorithm == "RS256" else ec_key()
    answer = issued.ask(signed(ANN, key, algorithm), user=user)
    assert isinstance(answer, Admitted)
    assert (answer.user, answer.groups, answer.rules, answer.expires_at) == ("ann", (), None, NOW + 60)


@pytest.mark.parametrize("data", [SECRET.encode(), SECRET.encode() + b"\r\n"])
def test_a_shared_secret_is_for_hs256(issued: Issued, data: bytes) -> None:
    answer = issued.ask(signed(ANN, SECRET, "HS256"), data, algorithms=["HS256"])
    assert isinstance(answer, Admitted)
    assert SECRET not in repr(answer)


def test_a_certificate_is_as_good_as_its_key(issued: Issued, tmp_path: Path) -> None:
    made = Authority(tmp_path).server()
    key = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).prepare_key(Path(made.key).read_bytes())
    answer = issued.ask(signed(ANN, key, "ES256"), Path(made.certificate).read_bytes(), algorithms=["ES256"])
    assert isinstance(answer, Admitted)


@pytest.mark.parametrize(
    ("claims", "described", "expected"),
    [
        ({"iss": "https://us/"}, {"issuer": "https://us/"}, Admitted(user="ann")),
        ({"iss": "anybody"}, {}, Admitted(user="ann")),
        ({"aud": "mqtt"}, {"audience": "mqtt"}, Admitted(user="ann")),
        ({"aud": ["web", "mqtt"]}, {"audience": "mqtt"}, Admitted(user="ann")),
        ({"name": "Ann"}, {"user_claim": "name"}, Admitted(user="Ann")),
        ({"groups": ["a", "b"]}, {}, Admitted(user="ann", groups=("a", "b"))),
        ({"roles": ["a"], "groups": 7}, {"groups_claim": "roles"}, Admitted(user="ann", groups=("a",))),
        ({"telex": []}, {}, Admitted(user="ann", rules=())),
        (
            {"telex": [{"allow": ["publish"], "topics": ["a/{user}"]}, {"deny": ["subscribe"]}]},
            {},
            Admitted(user="ann", rules=(Rule(allow=["publish"], topics=["a/{user}"]), Rule(deny=["subscribe"]))),
        ),
        ({"acl": [], "telex": 7}, {"rules_claim": "acl"}, Admitted(user="ann", rules=())),
        ({"nbf": NOW}, {}, Admitted(user="ann")),
        ({"nbf": NOW + 5}, {"leeway": 5}, Admitted(user="ann")),
        ({"exp": NOW + 0.5}, {}, Admitted(user="ann", expires_at=NOW + 0.5)),
        ({"exp": NOW - 4}, {"leeway": 5}, Admitted(user="ann", expires_at=NOW + 1)),
    ],
)
def test_claims_say_who_and_what(
    issued: Issued, claims: dict[str, object], described: dict[str, object], expected: Admitted
) -> None:
    answer = issued.ask(signed({"sub": "ann", **claims}), **described)
    assert isinstance(answer, Admitted)
    assert msgspec.structs.replace(answer, credential="") == expected


# What is not, and why


@pytest.mark.parametrize(
    ("claims", "described", "reason"),
    [
        ({"exp": NOW}, {}, "it has expired 0 s ago (`exp`)"),
        ({"exp": NOW - 60}, {"leeway": 60}, "it has expired 60 s ago (`exp`)"),
        ({"exp": -1}, {}, "it has expired"),
        ({"exp": "never"}, {}, "`exp` is 'never', not seconds since 1970"),
        ({"exp": str(NOW + 60)}, {}, "not seconds since 1970"),
        ({"exp": True}, {}, "not seconds since 1970"),
        ({"exp": 10**30}, {}, "not seconds since 1970"),
        ({"exp": [NOW + 60]}, {}, "not seconds since 1970"),
        ({"nbf": NOW + 60}, {}, "it is valid in 60 s only (`nbf`)"),
        ({"nbf": {}}, {}, "`nbf` is {}, not seconds since 1970"),
        ({}, {"issuer": "us"}, "nobody knows its issuer None"),
        ({"iss": "them"}, {"issuer": "us"}, "nobody knows its issuer 'them'"),
        ({"iss": ["us"]}, {"issuer": "us"}, "nobody knows its issuer ['us']"),
        ({}, {"audience": "mqtt"}, "`aud` is None, without 'mqtt'"),
        ({"aud": "web"}, {"audience": "mqtt"}, "`aud` is 'web', without 'mqtt'"),
        ({"aud": "mqtts"}, {"audience": "mqtt"}, "without 'mqtt'"),
        ({"aud": {"mqtt": 1}}, {"audience": "mqtt"}, "without 'mqtt'"),
        ({"aud": "mqtt"}, {}, "`aud` is 'mqtt', and the broker has no `audience`"),
        ({"sub": None}, {}, "`sub` is None, not a user name"),
        ({"sub": ""}, {}, "`sub` is '', not a user name"),
        ({"sub": 7}, {}, "`sub` is 7, not a user name"),
        ({"sub": "a\0b"}, {}, "not a user name"),
        ({}, {"user_claim": "name"}, "`name` is None, not a user name"),
        ({"groups": "staff"}, {}, "`groups` is no list of groups"),
        ({"groups": [1]}, {}, "`groups` is no list of groups"),
        ({"groups": None}, {}, "`groups` is no list of groups"),
        ({"telex": {}}, {}, "`telex` is no list of rules"),
        ({"telex": None}, {}, "`telex` is no list of rules"),
        ({"telex": [{"alow": ["publish"]}]}, {}, "`telex` is no list of rules: Object contains unknown field `alow`"),
        ({"telex": [{"allow": ["fly"]}]}, {}, "`telex` is no list of rules: Invalid enum value 'fly'"),
        ({"telex": [{"allow": ["publish"], "topics": ["a/#/b"]}]}, {}, "`telex`: rules[0].topics: "),
        ({"telex": [{}]}, {}, "`telex`: rules[0].allow: "),
    ],
)
def test_a_token_with_the_right_signature_may_be_wrong(
    issued: Issued, claims: dict[str, object], described: dict[str, object], reason: str
) -> None:
    answer = issued.ask(signed_as_is({"sub": "ann", **claims}), **described)
    assert reason in why(answer)
    # Whoever is known and comes too late has guessed nothing.
    assert isinstance(answer, Denied)
    assert answer.is_guess is ("nobody knows" in reason)


def signed_as_is(claims: dict[str, object]) -> bytes:
    """PyJWT refuses to sign some wrong claims; the signature alone does not look at them."""
    return jwt.api_jws.encode(json.dumps(claims).encode(), rsa_key(), "RS256").encode()


def test_the_user_name_of_connect_must_be_the_same(issued: Issued) -> None:
    assert "`sub` is 'ann', and the user name of CONNECT is 'eve'" in why(issued.ask(signed(ANN), user="eve"))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "HS256"])
def test_a_signature_by_somebody_else_is_none(issued: Issued, algorithm: str) -> None:
    key = {"RS256": rsa_key("theirs"), "ES256": ec_key("theirs"), "HS256": SECRET[::-1]}[algorithm]
    data = SECRET.encode() if algorithm == "HS256" else None
    answer = issued.ask(signed(ANN, key, algorithm), data, algorithms=[algorithm])
    assert "the signature is by no key of" in why(answer)
    assert answer == Denied(reason=why(answer), is_guess=True)


def test_a_token_that_was_changed_is_refused(issued: Issued) -> None:
    way = issued.way()
    header, payload, signature = signed(ANN).split(b".")
    eve = b64({"sub": "eve", "exp": NOW + 60})
    assert "signature" in why(asked(way, b".".join([header, eve, signature])))
    assert "signature" in why(asked(way, b".".join([header, payload, signature[:-4] + b"AAAA"])))
    assert "signature" in why(asked(way, b".".join([header, payload, b""])))


@pytest.mark.parametrize(
    "secret",
    [public_pem, lambda key: public_pem(key).strip(), lambda key: b"", lambda key: None],
    ids=["PEM", "stripped PEM", "empty", "no signature"],
)
@pytest.mark.parametrize("algorithm", ["HS256", "none", "None", "", "HS512", "RS256", 7, None, ["RS256"], {"a": 1}])
@pytest.mark.parametrize("algorithms", [["RS256"], ["RS256", "HS256"]])
def test_a_public_key_is_no_secret_and_no_signature_is_none(
    issued: Issued, secret: Callable[[Any], bytes | None], algorithm: object, algorithms: list[str]
) -> None:
    token = forged({"alg": algorithm}, ANN, secret(rsa_key()))
    data = public_pem(rsa_key())
    assert isinstance(issued.ask(token, data, algorithms=algorithms), Denied)


def test_a_token_says_nothing_about_the_algorithm_of_a_key(issued: Issued) -> None:
    oct_key = {"kty": "oct", "k": b64(SECRET).decode(), "kid": "1"}
    data = jwks(jwk(rsa_key(), kid="1"), oct_key)
    way = issued.way(data, algorithms=["RS256", "HS256"])
    assert isinstance(asked(way, signed(ANN, kid="1")), Admitted)
    assert isinstance(asked(way, signed(ANN, SECRET, "HS256", kid="1")), Admitted)
    n = json.loads(data)["keys"][0]["n"]
    for secret in (public_pem(rsa_key()), n.encode(), base64.urlsafe_b64decode(n + "==")):
        assert isinstance(asked(way, forged({"alg": "HS256", "kid": "1"}, ANN, secret)), Denied)


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"crit": "b64"},
        {"b64": False},
        {"kid": 7},
        {"kid": ["1"]},
    ],
    ids=str,
)
def test_what_a_header_demands_and_we_do_not_know_is_a_refusal(issued: Issued, header: dict[str, object]) -> None:
    said = b64({"alg": "RS256", **header}) + b"." + b64(ANN)
    signer = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    token = said + b"." + b64(signer.sign(said, rsa_key()))
    assert isinstance(issued.ask(token), Denied)


def test_a_key_in_a_header_is_no_key(issued: Issued) -> None:
    theirs = rsa_key("theirs")
    for header in ({"jwk": jwk(theirs)}, {"jku": "http://127.0.0.1:1/"}, {"x5c": ["AAAA"]}):
        assert "signature" in why(issued.ask(signed(ANN, theirs, **header)))


@pytest.mark.parametrize(
    "payload", [b"[]", b"7", b'"ann"', b"{", b"\xff", b'{"sub": "ann", "exp": NaN}', b"[" * 10_000]
)
def test_claims_must_be_an_object(issued: Issued, payload: bytes) -> None:
    token = jwt.api_jws.encode(payload, rsa_key(), "RS256").encode()
    assert isinstance(issued.ask(token), Denied)


@pytest.mark.parametrize(
    "password",
    [
        None,
        b"",
        b"secret",
        b"a.b.c",
        b"my.pass.word",
        b"..",
        b"e30..",
        b"e30.e30",
        b"e30.e30.e30.e30",
        b"e30.e30.e30\n",
        b"e30=.e30.e30",
        b64("[]") + b".e30.e30",
        b64(b"[" * 20_000) + b".e30.e30",
        "é.e30.e30".encode(),
        b"\xff.e30.e30",
    ],
)
def test_a_password_that_is_no_token_is_for_others_to_judge(issued: Issued, password: bytes | None) -> None:
    assert asked(issued.way(), password, "ann") is None


def test_what_looks_like_a_token_is_one(issued: Issued) -> None:
    assert is_token(b"e30.e30.")
    assert "is not allowed" in why(issued.ask(b"e30.e30.", user="ann"))


# Keys


@pytest.mark.parametrize(
    ("data", "algorithms", "reason"),
    [
        (lambda: b"", ["RS256"], "neither PEM nor a JWKS"),
        (lambda: b"secret", ["RS256", "ES256"], "neither PEM nor a JWKS, and a secret is for HS256 only"),
        (lambda: b"secret", ["HS256"], "its secret has 6 bytes, and HS256 needs 32"),
        (lambda: b" \n", ["HS256"], "it is no secret for HS256: HMAC key must not be empty"),
        (lambda: public_pem(rsa_key()), ["HS256"], "it has no key for HS256 (there are keys for: RS256)"),
        (lambda: public_pem(rsa_key()), ["ES256"], "it has no key for ES256 (there are keys for: RS256)"),
        (lambda: b"\n" + public_pem(rsa_key()), ["HS256"], "it has no key for HS256"),
        (lambda: public_der(rsa_key()), ["HS256"], "it is no secret for HS256"),
        (lambda: public_ssh(rsa_key()), ["HS256"], "it is no secret for HS256"),
        (lambda: b"x" + public_pem(rsa_key()), ["HS256"], "it is no secret for HS256"),
        (lambda: private_pem(rsa_key()), ["RS256"], "it has a private key, and only the issuer should have that"),
        (lambda: private_pem(ec_key()), ["ES256"], "it has a private key"),
        (lambda: public_pem(rsa_key("short")), ["RS256"], "its RSA key has 1024 bits, and RS256 needs 2048"),
        (
            lambda: public_pem(ec_key("P-384")),
            ["ES256"],
            "a public key must be RSA (for RS256) or EC on the curve P-256",
        ),
        (lambda: public_pem(ed25519.Ed25519PrivateKey.generate()), ["RS256"], "a public key must be RSA"),
        (lambda: b"-----BEGIN PUBLIC KEY-----\nAAAA", ["RS256"], "there is no whole PEM block in it"),
        (
            lambda: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            ["RS256"],
            "the PEM block 'PUBLIC KEY' is no public key",
        ),
        (lambda: b"{", ["RS256"], "this is no JWKS: "),
        (lambda: b"{}", ["RS256"], 'it has no list "keys"'),
        (lambda: b'{"keys": {}}', ["RS256"], 'it has no list "keys"'),
        (lambda: jwks(), ["RS256"], "it has no key for RS256 (there are keys for: none)"),
        (lambda: jwks({"kty": "RSA"}), ["RS256"], "it has no key for RS256"),
        (lambda: jwks({"kty": "RSA", "n": "!", "e": 3}), ["RS256"], "it has no key for RS256"),
        (lambda: jwks(jwk(rsa_key(), use="enc")), ["RS256"], "it has no key for RS256"),
        (lambda: jwks(jwk(rsa_key(), key_ops=["sign"])), ["RS256"], "it has no key for RS256"),
        (lambda: jwks(jwk(rsa_key(), alg="PS256")), ["RS256"], "it has no key for RS256"),
        (lambda: jwks(jwk(rsa_key(), kid=7)), ["RS256"], "it has no key for RS256"),
        (lambda: jwks(jwk(rsa_key("short"))), ["RS256"], "it has no key for RS256"),
        (lambda: jwks(jwk(ec_key("P-384"))), ["ES256"], "it has no key for ES256"),
        (lambda: jwks({"kty": "oct", "k": "c2VjcmV0"}), ["HS256"], "it has no key for HS256"),
        (lambda: jwks(*[jwk(rsa_key())] * 33), ["RS256"], "it has 33 keys, and at most 32 are allowed"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    issued: Issued, data: Callable[[], bytes], algorithms: list[str], reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        issued.way(data(), algorithms=algorithms)
    assert str(caught.value).startswith(f"{issued.file}: ")
    assert reason in str(caught.value)


def public_der(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def public_ssh(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    way = JwtWay(Jwt(keys=str(tmp_path / "none.pem"), algorithms=["RS256"]))
    with pytest.raises(FileNotFoundError, match=re.escape("none.pem")):
        asyncio.run(way.open())


def test_no_algorithm_is_no_description() -> None:
    with pytest.raises(ConfigError, match="algorithms is empty"):
        JwtWay(Jwt(keys="keys.pem", algorithms=[]))


def test_a_single_jwk_is_a_set_of_one(issued: Issued) -> None:
    assert isinstance(issued.ask(signed(ANN), json.dumps(jwk(rsa_key())).encode()), Admitted)


def test_keys_for_something_else_in_a_set_are_left_out() -> None:
    okp = {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}
    data = jwks({}, okp, {"kty": ["RSA"]}, jwk(rsa_key(), alg="RS256", use="sig", kid="1"), jwk(ec_key()))
    assert [key.algorithm for key in keys_in(data, ["RS256", "ES256"])] == ["RS256", "ES256"]
    assert [key.algorithm for key in keys_in(data, ["ES256"])] == ["ES256"]


def test_a_private_key_in_a_set_is_taken_for_its_public_half(issued: Issued) -> None:
    private = jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(), as_dict=True)
    del private["key_ops"]
    assert isinstance(issued.ask(signed(ANN), jwks(private)), Admitted)


def test_a_token_is_checked_with_the_key_that_it_names(issued: Issued) -> None:
    way = issued.way(jwks(jwk(rsa_key(), kid="1"), jwk(rsa_key("theirs"), kid="2")))
    assert isinstance(asked(way, signed(ANN, kid="1")), Admitted)
    assert isinstance(asked(way, signed(ANN)), Admitted)
    assert "signature" in why(asked(way, signed(ANN, kid="2")))
    assert "has no key '3' for RS256" in why(asked(way, signed(ANN, kid="3")))


# Several issuers


def test_a_token_is_for_the_issuer_that_it_names(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).write_bytes(public_pem(rsa_key(name)))
    way = JwtWay(
        Jwt(keys=str(tmp_path / "ours"), algorithms=["RS256"], issuer="we"),
        Jwt(keys=str(tmp_path / "theirs"), algorithms=["RS256"], issuer="they", user_claim="name"),
        clock=Clock(NOW),
    )
    asyncio.run(way.open())
    ours, theirs = {"iss": "we", "sub": "ann"}, {"iss": "they", "name": "bob"}
    assert getattr(asked(way, signed(ours)), "user", None) == "ann"
    assert getattr(asked(way, signed(theirs, rsa_key("theirs"))), "user", None) == "bob"
    assert "signature" in why(asked(way, signed(ours, rsa_key("theirs"))))
    assert "signature" in why(asked(way, signed(theirs)))
    assert "nobody knows its issuer 'x'" in why(asked(way, signed({"iss": "x"})))


def test_issuers_without_a_name_are_asked_about_each(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).write_bytes(public_pem(rsa_key(name)))
    described = [Jwt(keys=str(tmp_path / name), algorithms=["RS256"]) for name in ("ours", "theirs")]
    way = JwtWay(*described, clock=Clock(NOW))
    asyncio.run(way.open())
    assert isinstance(asked(way, signed(ANN)), Admitted)
    assert isinstance(asked(way, signed(ANN, rsa_key("theirs"))), Admitted)
    for key in ("ours", "theirs"):  # what is said by whom knows the signature is what is said
        assert "it has expired" in why(asked(way, signed({"sub": "ann", "exp": 1}, rsa_key(key))))


# After a reload


def test_who_was_admitted_stays_while_the_key_is_there(issued: Issued) -> None:
    admitted = issued.ask(signed(ANN))
    assert isinstance(admitted, Admitted)
    assert issued.way().still_admits(admitted)
    assert issued.way(public_pem(rsa_key()), leeway=60).still_admits(admitted)
    assert not issued.way(public_pem(ec_key())).still_admits(admitted)
    assert not issued.way(audience="mqtt").still_admits(admitted)
    assert not issued.way(issuer="us").still_admits(admitted)
    assert not issued.way().still_admits(Admitted(user="ann"))


# Keys at an address


class Stage:
    """An address with keys, the way that fetches them, and a clock."""

    def __init__(self, service: WebService, way: JwtWay, clock: Clock) -> None:
        self.service = service
        self.way = way
        self.clock = clock

    async def ask(self, token: bytes) -> Admitted | Denied | None:
        return await self.way.check(Applicant(user_name=None, password=token, client_id="c"))

    async def settled(self) -> None:
        """Wait for a fetch that nobody waits for."""
        keys: Any = self.way._issuers[0].keys
        if keys._flight is not None:
            await asyncio.wait([keys._flight])


def play(story: Callable[[Stage], Awaitable[None]], first: Any = None, **described: object) -> None:
    async def run() -> None:
        service, clock = WebService(), Clock(NOW)
        service.answer = first or says(200, jwks(jwk(rsa_key(), kid="1")))
        async with service.running():
            way = JwtWay(msgspec.convert({"keys": service.url, "algorithms": ["RS256"], **described}, Jwt), clock=clock)
            await way.open()
            try:
                await story(Stage(service, way, clock))
            finally:
                await way.close()

    asyncio.run(run())


def old_token() -> bytes:
    return signed({"sub": "ann"}, kid="1")


def new_token() -> bytes:
    return signed({"sub": "ann"}, rsa_key("theirs"), kid="2")


def new_keys() -> bytes:
    return jwks(jwk(rsa_key("theirs"), kid="2"))


def test_keys_are_fetched_at_the_start_and_when_they_are_old() -> None:
    async def story(stage: Stage) -> None:
        for _ in range(3):
            assert isinstance(await stage.ask(old_token()), Admitted)
        assert [request.method for request in stage.service.asked] == ["GET"]
        stage.service.answer = says(200, new_keys())
        stage.clock.now += 299
        assert isinstance(await stage.ask(old_token()), Admitted)
        stage.clock.now += 1
        # Nobody comes in with a key that was taken away while no one looked.
        assert isinstance(await stage.ask(old_token()), Denied)
        assert isinstance(await stage.ask(new_token()), Admitted)
        assert len(stage.service.asked) == 2

    play(story)


def test_an_unknown_key_is_looked_for_but_not_all_the_time() -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(200, new_keys())
        stage.clock.now += 9
        assert "has no key '2'" in why(await stage.ask(new_token()))
        assert len(stage.service.asked) == 1
        stage.clock.now += 1
        answers = await asyncio.gather(*(stage.ask(new_token()) for _ in range(20)))
        assert all(isinstance(answer, Admitted) for answer in answers)
        assert len(stage.service.asked) == 2
        for number in range(20):
            await stage.ask(signed(ANN, kid=f"guess {number}"))
        assert len(stage.service.asked) == 2

    play(story)


BAD_ANSWERS = {
    "503": says(503),
    "404": says(404),
    "redirect": says(302, b"", Location="/elsewhere"),
    "garbage": says(200, b"<html>"),
    "empty set": says(200, jwks()),
    "hangs up": hangs_up,
    "floods": floods,
}


@pytest.mark.parametrize("how", BAD_ANSWERS)
def test_old_keys_stay_in_use_while_the_address_is_down(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        good, stage.service.answer = stage.service.answer, BAD_ANSWERS[how]
        for _ in range(5):
            stage.clock.now += 300
            assert isinstance(await stage.ask(old_token()), Admitted)
            await stage.settled()
        assert len(stage.service.asked) in (
            [6] if how != "hangs up" else range(6, 30)
        )  # a lost connection is tried again
        assert all(request.path == "/door" for request in stage.service.asked)
        stage.service.answer = good
        stage.clock.now += 10
        assert isinstance(await stage.ask(old_token()), Admitted)
        await stage.settled()
        messages = [record.getMessage() for record in caplog.records if record.name == "telex"]
        assert len(messages) == 2
        assert messages[0].startswith(f"keys down url={stage.service.url} reason=")
        assert messages[0].endswith(": the old ones stay in use")
        assert messages[1] == f"keys back url={stage.service.url}"

    play(story)


def test_while_it_is_down_nobody_waits_for_it() -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(503)
        stage.clock.now += 300
        await stage.ask(old_token())
        go = asyncio.Event()

        async def late(request: Any) -> Any:
            await go.wait()
            return await says(200, new_keys())(request)

        stage.service.answer = late
        stage.clock.now += 10
        assert isinstance(await stage.ask(old_token()), Admitted)  # although there is no answer yet
        go.set()
        await stage.settled()
        assert isinstance(await stage.ask(new_token()), Admitted)

    play(story)


def test_an_address_that_does_not_answer_at_the_start_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        assert "no token is admitted until it answers" in caplog.text
        answer = await stage.ask(old_token())
        assert answer == Denied(
            reason=f"token: there are no keys yet, {stage.service.url} has not answered", is_guess=False
        )
        assert stage.way.still_admits(Admitted(user="ann"))  # nobody knows better
        stage.service.answer = says(200, jwks(jwk(rsa_key(), kid="1")))
        stage.clock.now += 10
        assert isinstance(await stage.ask(old_token()), Admitted)

    play(story, says(503))


@pytest.mark.parametrize("how", ["404", "redirect", "garbage", "empty set"])
def test_an_address_with_something_else_is_an_error_at_the_start(how: str) -> None:
    async def story(stage: Stage) -> None:
        raise AssertionError

    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:\d+/door: "):
        play(story, BAD_ANSWERS[how])


def test_a_secret_at_an_address_is_none() -> None:
    async def story(stage: Stage) -> None:
        assert isinstance(await stage.ask(old_token()), Admitted)
        token = forged({"alg": "HS256", "kid": "3"}, ANN, SECRET.encode())
        assert "'HS256' is not allowed" in why(await stage.ask(token))

    play(story, says(200, jwks(jwk(rsa_key(), kid="1"), {"kty": "oct", "k": b64(SECRET).decode(), "kid": "3"})))


@pytest.mark.parametrize(
    ("keys", "algorithm", "reason"),
    [
        ("http://example.org/jwks", "RS256", "http://example.org/jwks: keys must come by https://"),
        ("http://127.0.0.1.example.org/jwks", "RS256", "keys must come by https://"),
        ("ftp://example.org/jwks", "RS256", "must begin with https://"),
        ("https://example.org/jwks", "HS256", "a secret for HS256 must be in a file"),
    ],
)
def test_an_address_that_cannot_be_trusted_is_refused(keys: str, algorithm: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        JwtWay(Jwt(keys=keys, algorithms=[algorithm]))


def test_a_reload_keeps_the_keys_of_an_address_that_is_down() -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(503)
        described = Jwt(keys=stage.service.url, algorithms=["RS256"], audience="mqtt")
        new = JwtWay(described, clock=stage.clock)
        new.take_keys(stage.way)
        await new.open()
        token = signed({"sub": "ann", "aud": "mqtt"}, kid="1")
        answer = await new.check(Applicant(user_name=None, password=token, client_id="c"))
        assert isinstance(answer, Admitted)
        await new.close()

    play(story)


def test_a_way_that_closes_gives_up_its_fetch() -> None:
    async def story(stage: Stage) -> None:
        async def never(request: Any) -> Any:
            await asyncio.Event().wait()

        stage.service.came.clear()
        stage.service.answer = never
        stage.clock.now += 10
        waiting = asyncio.create_task(stage.ask(new_token()))
        await stage.service.came.wait()
        await stage.way.close()
        assert isinstance(await waiting, Denied)

    play(story)


# Whatever comes


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> JwtWay:
    secret = {"kty": "oct", "k": b64(SECRET).decode()}
    data = jwks(jwk(rsa_key()), jwk(ec_key()), secret)
    return Issued(tmp_path_factory.mktemp("jwt")).way(data, algorithms=["RS256", "ES256", "HS256"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["RS256", "ES256", "HS256", "none", "HS512", "PS256"]) | JSON,
        "kid": st.none() | st.text(max_size=3) | JSON,
        "crit": JSON,
        "b64": st.booleans(),
        "typ": JSON,
    },
)


@given(
    header=HEADERS,
    payload=(JSON | st.just(ANN)).map(lambda value: json.dumps(value).encode()) | st.binary(),
    signature=st.binary(max_size=300),
)
def test_garbage_never_admits(gate: JwtWay, header: dict[str, object], payload: bytes, signature: bytes) -> None:
    token = b64(header) + b"." + b64(payload) + b"." + b64(signature)
    assert not isinstance(asked(gate, token), Admitted)


@given(password=st.binary() | st.from_regex(rb"[\w-]+\.[\w-]+\.[\w-]*", fullmatch=True))
def test_any_bytes_are_no_error_and_no_admission(gate: JwtWay, password: bytes) -> None:
    assert not isinstance(asked(gate, password), Admitted)


@given(data=st.data())
def test_no_byte_of_a_token_can_be_changed(gate: JwtWay, data: st.DataObject) -> None:
    good = data.draw(st.sampled_from([signed(ANN), signed(ANN, ec_key(), "ES256"), signed(ANN, SECRET, "HS256")]))
    assert isinstance(asked(gate, good), Admitted)
    place = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != good[place]))
    assert not isinstance(asked(gate, good[:place] + bytes([other]) + good[place + 1 :]), Admitted)


@given(data=st.binary() | JSON.map(lambda value: json.dumps({"keys": [value], "kty": "RSA"}).encode()))
def test_any_file_is_keys_or_a_config_error(data: bytes) -> None:
    try:
        keys = keys_in(data, ["RS256", "ES256"])
    except ConfigError:
        return
    assert all(key.algorithm != "HS256" for key in keys)
