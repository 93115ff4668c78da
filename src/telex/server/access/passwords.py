"""Stored passwords: the forms in which a password file keeps them, making them, and checking against them.

Knows one line's text and nothing of files, users or threads. What hashes is a
plain function that takes its time, up to a tenth of a second: a broker runs it
in a thread. Nothing here shows a hash in a message or a repr.
"""

import base64
import hashlib
import hmac
import os
import re
import stringprep
import unicodedata
from collections.abc import Callable
from typing import Final, NamedTuple

import argon2
from argon2.low_level import Type, hash_secret, verify_secret

MAX_ITERATIONS: Final = 2_147_483_647
"""The most that every PBKDF2 counts: a C int."""

_SALT_BYTES: Final = (12, 64)
"""Mosquitto 2.0 and before, 2.1; it reads no others in `$6$` and `$7$`."""

_SHA512_BYTES: Final = 64

_PBKDF2_ITERATIONS: Final = 1_000
"""As mosquitto_passwd 2.1: this form is for files that Mosquitto reads too, and it hashes on its only thread."""

_SCRAM_ITERATIONS: Final = 4_096
"""What RFC 7677 wants at least, and what most servers have; each client has to do as many, small ones too."""

_SCRAM_BYTES: Final = 32
_SCRAM_SALT_BYTES: Final = 16

_ARGON2_ITERATIONS: Final = 1
_ARGON2_KIBIBYTES: Final = 47_104
_ARGON2_BYTES: Final = 64
"""Salt and hash. All three as mosquitto_passwd 2.1; m=47104, t=1 is OWASP's first choice of 2023."""

_ARGON2_LEAST_HASH: Final = 16
"""Shorter ones could be found by trying."""

_ARGON2_MOST_KIBIBYTES: Final = 1_048_576
"""1 GiB, for one login. More is a mistake, and would end the broker."""

_ARGON2_LINE: Final = re.compile(
    r"\$argon2id\$v=(?P<version>\d{1,3})\$m=(?P<memory>\d{1,10}),t=(?P<iterations>\d{1,10}),p=(?P<lanes>\d{1,8})"
    r"\$(?P<salt>[A-Za-z0-9+/]+)\$(?P<hash>[A-Za-z0-9+/]+)",
    re.ASCII,
)


class ScramKeys(NamedTuple):
    """What a server needs to know for SCRAM-SHA-256 (RFC 5802, section 3); the password is not in it."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        return f"<ScramKeys of {self.iterations} iterations>"


class StoredPassword:
    """What is kept of one password.

    Args:
        line: the text that a password file has behind the user name.
    """

    def __init__(self, line: str) -> None:
        self.line: Final = line

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def digest(self) -> str:
        """Names this very line, without telling what is in it."""
        return hashlib.sha256(self.line.encode()).hexdigest()

    def verify(self, password: bytes) -> bool:
        """Whether this is the password. Takes its time.

        Raises:
            MemoryError: there is not enough of it to find out.
        """
        raise NotImplementedError


class Sha512(StoredPassword):
    """`$6$<salt>$<hash>`: SHA-512 of password and salt, once. Mosquitto's own, not that of crypt(3)."""

    def __init__(self, salt: bytes, hashed: bytes) -> None:
        super().__init__(f"$6${_encoded(salt)}${_encoded(hashed)}")
        self._salt = salt
        self._hashed = hashed

    def verify(self, password: bytes) -> bool:
        """Whether this is the password."""
        return hmac.compare_digest(hashlib.sha512(password + self._salt).digest(), self._hashed)


class Pbkdf2Sha512(StoredPassword):
    """`$7$<iterations>$<salt>$<hash>`: PBKDF2 with HMAC-SHA-512 (RFC 8018)."""

    def __init__(self, iterations: int, salt: bytes, hashed: bytes) -> None:
        super().__init__(f"$7${iterations}${_encoded(salt)}${_encoded(hashed)}")
        self._iterations = iterations
        self._salt = salt
        self._hashed = hashed

    def verify(self, password: bytes) -> bool:
        """Whether this is the password."""
        hashed = hashlib.pbkdf2_hmac("sha512", password, self._salt, self._iterations)
        return hmac.compare_digest(hashed, self._hashed)


class Argon2id(StoredPassword):
    """`$argon2id$v=19$m=...,t=...,p=...$<salt>$<hash>`: Argon2id (RFC 9106), as libargon2 writes it."""

    def verify(self, password: bytes) -> bool:
        """Whether this is the password."""
        try:
            return verify_secret(self.line.encode(), password, Type.ID)
        except argon2.exceptions.VerifyMismatchError:
            return False
        except argon2.exceptions.VerificationError as error:
            # The line was read and found good, so that this is all that is left to go wrong.
            raise MemoryError(str(error)) from None


class ScramSha256(StoredPassword):
    """`SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, as PostgreSQL writes it (RFC 5803 in one field)."""

    def __init__(self, keys: ScramKeys) -> None:
        super().__init__(
            f"SCRAM-SHA-256${keys.iterations}:{_encoded(keys.salt)}"
            f"${_encoded(keys.stored_key)}:{_encoded(keys.server_key)}"
        )
        self.keys: Final = keys

    def verify(self, password: bytes) -> bool:
        """Whether this is the password, by a client that sends it as it is."""
        stored_key, server_key = _scram_keys(password, self.keys.salt, self.keys.iterations)
        # Both are compared always: which of them is wrong is nobody's business.
        return hmac.compare_digest(stored_key + server_key, self.keys.stored_key + self.keys.server_key)


def parse(line: str) -> StoredPassword:
    """Read what a password file has behind the user name.

    Raises:
        ValueError: it is none of the forms, or not whole. The message shows nothing of it.
    """
    for prefix, parse_form in _PREFIXES.items():
        if line.startswith(prefix):
            return parse_form(line)
    raise ValueError(f"not a hash of a password: it begins with none of {', '.join(_PREFIXES)}")


def is_hash(line: str) -> bool:
    """Whether a line says of itself that it is a hash, be it a good one or not."""
    return line.startswith(tuple(_PREFIXES))


def make(password: bytes, form: str, *, iterations: int | None = None) -> StoredPassword:
    """Hash a new password, with a new salt. Takes its time.

    Args:
        password: as clients will send it.
        form: one of ``FORMS``.
        iterations: how often it hashes; None: as often as is usual for the form.

    Raises:
        ValueError: there is no such form, or it cannot have that many iterations.
        MemoryError: there is not enough for `argon2id`.
    """
    if form not in FORMS:
        raise ValueError(f"{form!r} is no form of hash; there are {', '.join(FORMS)}")
    if iterations is not None and not 1 <= iterations <= MAX_ITERATIONS:
        raise ValueError(f"the number of iterations must be from 1 to {MAX_ITERATIONS}")
    return FORMS[form](password, iterations)


def _parse_sha512(line: str) -> StoredPassword:
    fields = line.split("$")
    if len(fields) != 4:
        raise ValueError("expected $6$SALT$HASH")
    salt = _decoded(fields[2], "salt", _SALT_BYTES)
    return Sha512(salt, _decoded(fields[3], "hash", (_SHA512_BYTES,)))


def _parse_pbkdf2_sha512(line: str) -> StoredPassword:
    fields = line.split("$")
    if len(fields) != 5:
        raise ValueError("expected $7$ITERATIONS$SALT$HASH")
    iterations = _iterations(fields[2])
    salt = _decoded(fields[3], "salt", _SALT_BYTES)
    return Pbkdf2Sha512(iterations, salt, _decoded(fields[4], "hash", (_SHA512_BYTES,)))


def _parse_argon2id(line: str) -> StoredPassword:
    found = _ARGON2_LINE.fullmatch(line)
    if found is None:
        raise ValueError("expected $argon2id$v=19$m=MEMORY,t=ITERATIONS,p=LANES$SALT$HASH")
    if found["version"] != "19":
        raise ValueError("this version of argon2id is not 19, the only one that is in use")
    memory, iterations, lanes = int(found["memory"]), int(found["iterations"]), int(found["lanes"])
    if not (1 <= lanes <= 64 and 8 * lanes <= memory <= _ARGON2_MOST_KIBIBYTES and 1 <= iterations <= MAX_ITERATIONS):
        raise ValueError(
            f"argon2id cannot be used with m={memory},t={iterations},p={lanes}: p is from 1 to 64, "
            f"m from 8 times p to {_ARGON2_MOST_KIBIBYTES} (KiB), t from 1 to {MAX_ITERATIONS}"
        )
    for name, least in (("salt", 8), ("hash", _ARGON2_LEAST_HASH)):
        text = found[name]
        # Without padding, as libargon2 has it; it refuses whatever it would not write itself.
        try:
            value = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            raise ValueError(f"the {name} is not base64") from None
        if _encoded(value).rstrip("=") != text:
            raise ValueError(f"the {name} is not base64")
        if not least <= len(value) <= 1_024:
            raise ValueError(f"the {name} has {len(value)} bytes, expected {least} to 1024")
    return Argon2id(line)


def _parse_scram_sha256(line: str) -> StoredPassword:
    fields = line.split("$")
    pairs = [field.split(":") for field in fields[1:]]
    if [len(pair) for pair in pairs] != [2, 2]:
        raise ValueError("expected SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY")
    (iterations, salt), (stored_key, server_key) = pairs
    return ScramSha256(
        ScramKeys(
            iterations=_iterations(iterations),
            salt=_decoded(salt, "salt", range(1, 1_025)),
            stored_key=_decoded(stored_key, "stored key", (_SCRAM_BYTES,)),
            server_key=_decoded(server_key, "server key", (_SCRAM_BYTES,)),
        )
    )


def _make_sha512(password: bytes, iterations: int | None) -> StoredPassword:
    if iterations is not None:
        raise ValueError("sha512 hashes once: it has no number of iterations")
    salt = os.urandom(_SALT_BYTES[0])  # which Mosquitto of any version reads
    return Sha512(salt, hashlib.sha512(password + salt).digest())


def _make_pbkdf2_sha512(password: bytes, iterations: int | None) -> StoredPassword:
    count = _PBKDF2_ITERATIONS if iterations is None else iterations
    salt = os.urandom(_SALT_BYTES[0])
    return Pbkdf2Sha512(count, salt, hashlib.pbkdf2_hmac("sha512", password, salt, count))


def _make_argon2id(password: bytes, iterations: int | None) -> StoredPassword:
    try:
        line = hash_secret(
            password,
            os.urandom(_ARGON2_BYTES),
            time_cost=_ARGON2_ITERATIONS if iterations is None else iterations,
            memory_cost=_ARGON2_KIBIBYTES,
            parallelism=1,
            hash_len=_ARGON2_BYTES,
            type=Type.ID,
        )
    except argon2.exceptions.HashingError as error:
        raise MemoryError(str(error)) from None
    return Argon2id(line.decode())


def _make_scram_sha256(password: bytes, iterations: int | None) -> StoredPassword:
    count = _SCRAM_ITERATIONS if iterations is None else iterations
    salt = os.urandom(_SCRAM_SALT_BYTES)
    stored_key, server_key = _scram_keys(password, salt, count)
    return ScramSha256(ScramKeys(iterations=count, salt=salt, stored_key=stored_key, server_key=server_key))


def _scram_keys(password: bytes, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey (RFC 5802, section 3)."""
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")


def _prepared(password: bytes) -> bytes:
    """A password as SCRAM hashes it: by SASLprep (RFC 4013); as it is, if that does not allow it.

    Those that SASLprep does not allow are in use all the same, emoji for example; PostgreSQL
    takes them as they are too, and so do clients that never heard of SASLprep.
    """
    try:
        text = password.decode()
    except UnicodeDecodeError:
        return password
    mapped = [" " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)]
    prepared = unicodedata.normalize("NFKC", "".join(mapped))
    if not prepared or any(is_in(char) for char in prepared for is_in in _PROHIBITED):
        return password
    from_the_right = [stringprep.in_table_d1(char) for char in prepared]
    if any(from_the_right):
        is_mixed = any(stringprep.in_table_d2(char) for char in prepared)
        if is_mixed or not (from_the_right[0] and from_the_right[-1]):
            return password
    return prepared.encode()


def _iterations(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
    if not 1 <= count <= MAX_ITERATIONS:
        raise ValueError(f"the number of iterations is not one from 1 to {MAX_ITERATIONS}")
    return count


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decoded(text: str, name: str, sizes: tuple[int, ...] | range) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error, or what is not ASCII
        raise ValueError(f"the {name} is not base64") from None
    if len(value) not in sizes:
        expected = f"1 to {sizes[-1]}" if isinstance(sizes, range) else " or ".join(map(str, sizes))
        raise ValueError(f"the {name} has {len(value)} bytes, expected {expected}")
    return value


FORMS: Final[dict[str, Callable[[bytes, int | None], StoredPassword]]] = {
    "argon2id": _make_argon2id,
    "sha512-pbkdf2": _make_pbkdf2_sha512,
    "sha512": _make_sha512,
    "scram-sha-256": _make_scram_sha256,
}
"""What can be written, by the names of mosquitto_passwd's `-H`; the first is the best."""

_PREFIXES: Final[dict[str, Callable[[str], StoredPassword]]] = {
    "$6$": _parse_sha512,
    "$7$": _parse_pbkdf2_sha512,
    "$argon2id$": _parse_argon2id,
    "SCRAM-SHA-256$": _parse_scram_sha256,
}

_PROHIBITED: Final = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)
"""RFC 4013, section 2.3, and what Unicode 3.2 did not know (2.5)."""
