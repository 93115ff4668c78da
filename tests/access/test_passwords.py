"""The forms of stored passwords: what others wrote is read, what we write others read, and nothing else lets in."""

import base64
import hashlib
import hmac
import re

import argon2
import pytest
from argon2.exceptions import VerificationError
from scramp import ScramMechanism

from telex.server.access import passwords
from telex.server.access.passwords import FORMS, Argon2id, Pbkdf2Sha512, ScramSha256, Sha512, make, parse

SALT_12 = base64.b64encode(bytes(12)).decode()
SALT_64 = base64.b64encode(bytes(64)).decode()
HASH_64 = base64.b64encode(bytes(64)).decode()
KEY_32 = base64.b64encode(bytes(32)).decode()
ARGON2 = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

# Made by mosquitto_passwd 2.0.11 with the password "pw", and by the test suite of the reference implementation of
# Argon2 with "password".
OTHERS = [
    (
        "$7$101$9kZLJkQAG7mIZx5U$vJ4nm2ZGZ2PWhDzGUqjh4x+K3oMwvKiUbI02iC9Fe1f9gJ3kzMIEybpshdvq+uyvMiOosc5MvndcvRHPDZyyJw==",
        b"pw",
        Pbkdf2Sha512,
    ),
    (
        "$6$QSs+FKJA+aMValAt$ZdbF+CpcXzcpI9kCMLvP6IKT/S+eYGQzYbWDY7InQVcnRLyli1grDsHhQvF47GdglR9fJGhDFdfq2uM0Q7NmoA==",
        b"p",
        Sha512,
    ),
    (ARGON2, b"password", Argon2id),
]


@pytest.mark.parametrize(("line", "password", "form"), OTHERS)
def test_what_others_wrote_is_read(line: str, password: bytes, form: type) -> None:
    stored = parse(line)
    assert type(stored) is form
    assert stored.line == line
    assert stored.verify(password)
    for wrong in (b"", password[:-1], password + b" ", password + b"x", password.upper(), line.encode()):
        assert not stored.verify(wrong)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("password", [b"pw", b"\xff\x00\n:", b"x" * 65_535, "päß".encode()])
def test_what_is_made_lets_in_with_its_password_only(form: str, password: bytes) -> None:
    made = make(password, form, iterations=None if form == "sha512" else 2)
    read = parse(made.line)
    for stored in (made, read):
        assert stored.verify(password)
        assert not stored.verify(password + b"x")
        assert not stored.verify(b"")
    assert (read.line, read.digest, type(read)) == (made.line, made.digest, type(made))
    again = make(password, form, iterations=None if form == "sha512" else 2)
    assert again.line != made.line  # it has a salt of its own
    assert again.digest != made.digest


def test_what_is_made_is_as_strong_as_the_form_is_with_mosquitto() -> None:
    assert make(b"pw", "argon2id").line.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert [len(part) for part in make(b"pw", "argon2id").line.split("$")[-2:]] == [86, 86]  # 64 bytes each
    assert make(b"pw", "sha512-pbkdf2").line.startswith("$7$1000$")
    assert make(b"pw", "sha512").line.startswith("$6$")
    assert make(b"pw", "scram-sha-256").line.startswith("SCRAM-SHA-256$4096:")
    assert make(b"pw", "argon2id", iterations=3).line.startswith("$argon2id$v=19$m=47104,t=3,p=1$")
    assert make(b"pw", "sha512-pbkdf2", iterations=7).line.startswith("$7$7$")
    assert make(b"pw", "scram-sha-256", iterations=9).line.startswith("SCRAM-SHA-256$9:")


def test_what_cannot_be_made_is_said() -> None:
    with pytest.raises(ValueError, match="'md5' is no form of hash; there are argon2id, sha512-pbkdf2, sha512"):
        make(b"pw", "md5")
    with pytest.raises(ValueError, match="sha512 hashes once"):
        make(b"pw", "sha512", iterations=2)
    for wrong in (0, -1, 2_147_483_648):
        with pytest.raises(ValueError, match="the number of iterations must be from 1 to 2147483647"):
            make(b"pw", "sha512-pbkdf2", iterations=wrong)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "begins with none of"),
        ("secret", "begins with none of"),
        ("$5$AAAA$AAAA", "begins with none of"),
        ("$2b$12$abcdefghijklmnopqrstuv", "begins with none of"),
        (" $6$AAAA$AAAA", "begins with none of"),
        ("$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA", "begins with none of"),
        ("scram-sha-256$1:AAAA$A:A", "begins with none of"),
        ("$6$", "expected $6$SALT$HASH"),
        (f"$6${SALT_12}", "expected $6$SALT$HASH"),
        (f"$6${SALT_12}${HASH_64}$", "expected $6$SALT$HASH"),
        (f"$6$$${HASH_64}", "expected $6$SALT$HASH"),
        (f"$6$${HASH_64}", "the salt has 0 bytes, expected 12 or 64"),
        (f"$6${SALT_12}$", "the hash has 0 bytes, expected 64"),
        (f"$6$AAAA${HASH_64}", "the salt has 3 bytes, expected 12 or 64"),
        (f"$6${SALT_12}$AAAA", "the hash has 3 bytes, expected 64"),
        (f"$6${SALT_12}${HASH_64[:-1]}", "the hash is not base64"),
        (f"$6${SALT_12}${HASH_64} ", "the hash is not base64"),
        (f"$6${SALT_12}\n${HASH_64}", "the salt is not base64"),
        (f"$6$!{SALT_12}${HASH_64}", "the salt is not base64"),
        (f"$6$ä${HASH_64}", "the salt is not base64"),
        (f"$6${SALT_12}${HASH_64.replace('A', '-')}", "the hash is not base64"),
        (f"$7${SALT_12}${HASH_64}", "expected $7$ITERATIONS$SALT$HASH"),
        (f"$7$0${SALT_12}${HASH_64}", "the number of iterations is not one from 1 to 2147483647"),
        (f"$7$-1${SALT_12}${HASH_64}", "the number of iterations"),
        (f"$7$${SALT_12}${HASH_64}", "the number of iterations"),
        (f"$7$101x${SALT_12}${HASH_64}", "the number of iterations"),
        (f"$7$ 101${SALT_12}${HASH_64}", "the number of iterations"),
        (f"$7$1_0${SALT_12}${HASH_64}", "the number of iterations"),
        (f"$7$٣${SALT_12}${HASH_64}", "the number of iterations"),
        (f"$7$2147483648${SALT_12}${HASH_64}", "the number of iterations"),
        (f"$7${'9' * 5_000}${SALT_12}${HASH_64}", "the number of iterations"),
        (f"$7$101$AAAA${HASH_64}", "the salt has 3 bytes"),
        (f"$7$101${SALT_12}$AAAA", "the hash has 3 bytes"),
        (f"$7$101${SALT_12}$", "the hash has 0 bytes"),
        ("$argon2id$", "expected $argon2id$v=19"),
        (ARGON2 + "$", "expected $argon2id$v=19"),
        (ARGON2 + "=", "expected $argon2id$v=19"),
        (ARGON2 + "\n", "expected $argon2id$v=19"),
        (ARGON2.replace("$v=19", ""), "expected $argon2id$v=19"),
        (ARGON2.replace("m=256,t=2", "t=2,m=256"), "expected $argon2id$v=19"),
        (ARGON2.replace("v=19", "v=16"), "not 19"),
        (ARGON2.replace("m=256", "m=7"), "cannot be used with m=7,t=2,p=1"),
        (ARGON2.replace("m=256", "m=1048577"), "m from 8 times p to 1048576"),
        (ARGON2.replace("t=2", "t=0"), "cannot be used with m=256,t=0,p=1"),
        (ARGON2.replace("p=1", "p=0"), "p is from 1 to 64"),
        (ARGON2.replace("p=1", "p=33"), "m from 8 times p"),
        (ARGON2.replace("c29tZXNhbHQ", "c29tZXNh"), "the salt has 6 bytes, expected 8 to 1024"),
        (ARGON2.replace("c29tZXNhbHQ", "c29tZXNhbHR"), "the salt is not base64"),  # bits that mean nothing
        (ARGON2.replace("c29tZXNhbHQ", "c29tZXNhbHQAA"), "the salt is not base64"),
        (ARGON2[:-31], "the hash has 9 bytes, expected 16 to 1024"),
        ("SCRAM-SHA-256$", "expected SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY"),
        (f"SCRAM-SHA-256$4096:{SALT_12}", "expected SCRAM"),
        (f"SCRAM-SHA-256$4096:{SALT_12}${KEY_32}", "expected SCRAM"),
        (f"SCRAM-SHA-256$4096:{SALT_12}${KEY_32}:{KEY_32}:", "expected SCRAM"),
        (f"SCRAM-SHA-256$0:{SALT_12}${KEY_32}:{KEY_32}", "the number of iterations"),
        (f"SCRAM-SHA-256$4096:${KEY_32}:{KEY_32}", "the salt has 0 bytes, expected 1 to 1024"),
        (f"SCRAM-SHA-256$4096:{SALT_12}$AAAA:{KEY_32}", "the stored key has 3 bytes, expected 32"),
        (f"SCRAM-SHA-256$4096:{SALT_12}${KEY_32}:", "the server key has 0 bytes, expected 32"),
        (f"SCRAM-SHA-256$4096:{SALT_12}${KEY_32}:*", "the server key is not base64"),
    ],
)
@pytest.mark.edge("V1")
def test_a_malformed_line_is_no_stored_password(line: str, said: str) -> None:  # CVE-2018-12551
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        parse(line)
    for secret in (HASH_64[:20], "secret", "c29tZXN", "nf65EOg", KEY_32[:20]):
        assert secret not in str(raised.value)


@pytest.mark.parametrize("salt", [SALT_12, SALT_64])
def test_salts_of_both_sizes_are_read(salt: str) -> None:
    raw = base64.b64decode(salt)
    hashed = base64.b64encode(hashlib.sha512(b"pw" + raw).digest()).decode()
    assert parse(f"$6${salt}${hashed}").verify(b"pw")
    hashed = base64.b64encode(hashlib.pbkdf2_hmac("sha512", b"pw", raw, 1)).decode()
    assert parse(f"$7$1${salt}${hashed}").verify(b"pw")


def test_whatever_libargon2_writes_with_other_parameters_is_read() -> None:
    line = argon2.PasswordHasher(time_cost=2, memory_cost=64, parallelism=4, hash_len=32, salt_len=16).hash("pw")
    assert parse(line).verify(b"pw")
    assert not parse(line).verify(b"wp")


def test_a_lack_of_memory_is_no_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise VerificationError("Memory allocation error")

    monkeypatch.setattr(passwords, "verify_secret", fail)
    with pytest.raises(MemoryError, match="Memory allocation error"):
        parse(ARGON2).verify(b"password")


def test_no_hash_is_shown() -> None:
    scram = make(b"pw", "scram-sha-256", iterations=2)
    assert isinstance(scram, ScramSha256)
    assert repr(scram) == "<ScramSha256>"
    assert repr(scram.keys) == "<ScramKeys of 2 iterations>"
    assert repr(parse(ARGON2)) == "<Argon2id>"


def test_scram_keys_are_those_of_the_example_in_rfc_7677() -> None:
    salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    said = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={salt},i=4096,c=biws,r={nonce}".encode()
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode(salt), 4096)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    # The two that the RFC prints show that those keys are right.
    proof = bytes(a ^ b for a, b in zip(client_key, hmac.digest(stored_key, said, "sha256"), strict=True))
    assert base64.b64encode(proof) == b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert base64.b64encode(hmac.digest(server_key, said, "sha256")) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    encoded = [base64.b64encode(key).decode() for key in (stored_key, server_key)]
    stored = parse(f"SCRAM-SHA-256$4096:{salt}${encoded[0]}:{encoded[1]}")
    assert stored.verify(b"pencil")
    assert not stored.verify(b"Pencil")
    half = parse(f"SCRAM-SHA-256$4096:{salt}${encoded[0]}:{KEY_32}")
    assert not half.verify(b"pencil")


@pytest.mark.parametrize("password", ["pencil", "pä ß", "I\u00adX", "\u2168", "a\u00a0b", "\u0627\u0031\u0628"])
def test_scram_keys_are_those_of_another_implementation(password: str) -> None:
    stored = make(password.encode(), "scram-sha-256")
    assert isinstance(stored, ScramSha256)
    iterations, salt, stored_key, server_key = stored.keys
    theirs = ScramMechanism("SCRAM-SHA-256").make_auth_info(password, iteration_count=iterations, salt=salt)
    assert theirs == (salt, stored_key, server_key, iterations)


@pytest.mark.parametrize(("one", "other"), [("I\u00adX", "IX"), ("\u2168", "IX"), ("\u00aa", "a"), ("a\u3000b", "a b")])
def test_what_saslprep_makes_one_is_one_password_to_scram(one: str, other: str) -> None:  # RFC 4013, section 3
    stored = make(one.encode(), "scram-sha-256", iterations=1)
    assert stored.verify(other.encode())
    assert not make(one.encode(), "sha512").verify(other.encode())


@pytest.mark.parametrize(
    "password",
    [b"\x07", b"\xff", "\u06271".encode(), "\u0627a\u0628".encode(), "\U0001f511\u2168".encode(), "\u00ad".encode()],
)
def test_what_saslprep_does_not_allow_is_taken_as_it_is(password: bytes) -> None:
    stored = make(password, "scram-sha-256", iterations=1)
    assert stored.verify(password)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\U0001f511\u2168", "\U0001f511IX"),  # unknown to Unicode 3.2
        ("\u0627\u2168\u0628", "\u0627IX\u0628"),  # letters of both directions
        ("\u0627\u2460", "\u06271"),  # a word from the right has to end as it begins
        ("\u00ad", ""),  # nothing would be left
    ],
)
def test_what_is_taken_as_it_is_is_not_changed_in_part(one: str, other: str) -> None:
    assert not make(one.encode(), "scram-sha-256", iterations=1).verify(other.encode())
