"""Logging in with a JSON Web Token as password (RFC 7519, RFC 8725).

Knows tokens, what they claim, and the keys that may have signed them. A key is for one algorithm, decided by what the
key is and never by what a token says: a public key checks RS256 or ES256, a secret HS256, and nothing checks ``none``.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from telex.server.access.http import Service, Unanswered, wrong_rule
from telex.server.access.ways import Admitted, Applicant, Denied, Way
from telex.server.config import ConfigError, Jwt, Rule

# Bytes. No web server takes more in a header, and to look through 60,000 takes milliseconds.
_LONGEST_TOKEN = 16_384

# A token in JWS Compact Serialization (RFC 7515, section 7.1); the signature is empty if nobody signed it.
_SHAPE = re.compile(rb"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)

# Each is a check of the signature for a token that names no key.
_MOST_KEYS = 32
_SHORTEST_RSA = 2048  # bits (RFC 7518, section 3.3)
_SHORTEST_SECRET = 32  # bytes (RFC 7518, section 3.2)
_PAUSE = 10.0  # seconds between two fetches, whatever tokens name unknown keys
_TIMEOUT = 5.0  # seconds for a fetch
_LATEST = 253_402_300_799  # the end of the year 9999: what is later was not meant as seconds since 1970

# A whole check takes 65 µs with RS256 (2,048 bits), 80 µs with ES256 and 36 µs with HS256 (CPython 3.11): handing it to
# a thread and back costs as much, and the thread needs the interpreter for most of it. So it is done in the loop.
_JWS: PyJWS = PyJWS()

logger = logging.getLogger("telex")


class _Wrong(Exception):
    """A token that was signed by whom we trust, and does not let in all the same."""


class Key:
    """A key that may have signed a token, and the one algorithm that it is for."""

    def __init__(self, algorithm: str, members: dict[str, str], key_id: str | None) -> None:
        self.algorithm = algorithm
        self.key_id = key_id
        # Only what is named here: a private key in a JWKS is taken for the public one in it.
        self.jwk = PyJWK(members, algorithm)
        # The same after a reload. A secret does not follow from it; clients hold such HMACs as their tokens.
        said = msgspec.json.encode(members, order="deterministic")
        self.fingerprint = hmac.digest(said, b"telex key", "sha256").hex()


def keys_in(data: bytes, algorithms: list[str], *, is_public: bool = False) -> list[Key]:
    """Read keys: PEM (public keys or certificates), JWKS or one JWK (RFC 7517), or else a secret for HS256.

    Of a JWKS those are left out that are for something else, as its text wants.

    Args:
        data: what the file holds, or what the address sent.
        algorithms: for which keys are wanted.
        is_public: it came from where anybody can read it, so that there can be no secret in it.

    Raises:
        ConfigError: there is no usable key in it, or one that must not be there.
    """
    if data.lstrip().startswith(b"-----BEGIN"):
        keys = [_pem_key(label.decode(), block) for label, block in _pem_blocks(data)]
        if not keys:
            raise ConfigError("there is no whole PEM block in it")
    elif data.lstrip().startswith(b"{"):
        keys = _jwks_keys(data, is_public=is_public)
    elif is_public:
        raise ConfigError("this is no JWKS")
    else:
        keys = [_secret_key(data, algorithms)]
    usable = [key for key in keys if key.algorithm in algorithms]
    if not usable:
        there = ", ".join(sorted({key.algorithm for key in keys})) or "none"
        raise ConfigError(f"it has no key for {' or '.join(algorithms)} (there are keys for: {there})")
    if len(usable) > _MOST_KEYS:
        raise ConfigError(f"it has {len(usable)} keys, and at most {_MOST_KEYS} are allowed")
    return usable


def _pem_blocks(data: bytes) -> list[tuple[bytes, bytes]]:
    return [(found[1], found[0]) for found in _PEM.finditer(data)]


def _pem_key(label: str, block: bytes) -> Key:
    if label.endswith("PRIVATE KEY"):
        raise ConfigError(
            "it has a private key, and only the issuer should have that; `openssl pkey -pubout` makes the public one"
        )
    try:
        public: object  # of many kinds, two of which are ours
        if label == "CERTIFICATE":
            public = x509.load_pem_x509_certificate(block).public_key()
        else:
            public = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"the PEM block {label!r} is no public key: {error}") from error
    if isinstance(public, RSAPublicKey):
        return _rsa_key(RSAAlgorithm.to_jwk(public, as_dict=True), None)
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        return _ec_key(ECAlgorithm.to_jwk(public, as_dict=True), None)
    raise ConfigError("a public key must be RSA (for RS256) or EC on the curve P-256 (for ES256)")


def _jwks_keys(data: bytes, *, is_public: bool) -> list[Key]:
    try:
        read = msgspec.json.decode(data, type=dict[str, object])
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"this is no JWKS: {error}") from error
    members = read.get("keys", [read] if "kty" in read else None)
    if not isinstance(members, list):
        raise ConfigError('this is no JWKS: it has no list "keys"')
    found = [_jwk_key(member, is_public=is_public) for member in members if isinstance(member, dict)]
    return [key for key in found if key is not None]


def _jwk_key(jwk: dict[str, object], *, is_public: bool) -> Key | None:
    """None: it is of a kind, or for a use, that is not ours (RFC 7517, section 5: such keys are ignored)."""
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not (isinstance(operations, list) and "verify" in operations):
        return None
    makers = {"RSA": _rsa_key, "EC": _ec_key} | ({} if is_public else {"oct": _oct_key})
    kind = jwk.get("kty")
    key_id = jwk.get("kid")
    if not isinstance(kind, str) or kind not in makers or not isinstance(key_id, str | None):
        return None
    try:
        key = makers[kind](jwk, key_id)
    except (PyJWTError, ConfigError, ValueError, TypeError, KeyError):
        return None
    return key if jwk.get("alg", key.algorithm) == key.algorithm else None


def _rsa_key(jwk: dict[str, object], key_id: str | None) -> Key:
    key = Key("RS256", {"kty": "RSA", "n": str(jwk["n"]), "e": str(jwk["e"])}, key_id)
    if key.jwk.key.key_size < _SHORTEST_RSA:
        raise ConfigError(f"its RSA key has {key.jwk.key.key_size} bits, and RS256 needs {_SHORTEST_RSA}")
    return key


def _ec_key(jwk: dict[str, object], key_id: str | None) -> Key:
    if jwk["crv"] != "P-256":
        raise ConfigError("ES256 needs a key on the curve P-256")
    return Key("ES256", {"kty": "EC", "crv": "P-256", "x": str(jwk["x"]), "y": str(jwk["y"])}, key_id)


def _oct_key(jwk: dict[str, object], key_id: str | None) -> Key:
    key = Key("HS256", {"kty": "oct", "k": str(jwk["k"])}, key_id)
    if len(key.jwk.key) < _SHORTEST_SECRET:
        raise ConfigError(
            f"its secret has {len(key.jwk.key)} bytes, and HS256 needs {_SHORTEST_SECRET}; "
            "`openssl rand -base64 32` makes one"
        )
    return key


def _secret_key(data: bytes, algorithms: list[str]) -> Key:
    """The lines of text editors do not count: a secret is the file without white space around it."""
    if "HS256" not in algorithms:
        raise ConfigError("it is neither PEM nor a JWKS, and a secret is for HS256 only")
    try:
        secret = HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(data.strip())
    except PyJWTError as error:  # what it says: a key of another kind, in DER or SSH's form
        raise ConfigError(f"it is no secret for HS256: {error}") from error
    return _oct_key(HMACAlgorithm.to_jwk(secret, as_dict=True), None)


class Keys:
    """Where the keys of an issuer come from.

    Args:
        described: the issuer.
    """

    def __init__(self, described: Jwt) -> None:
        self.name = described.keys
        self.algorithms: list[str] = list(described.algorithms)
        self.keys: list[Key] | None = None  # None: an address that has not answered yet

    async def open(self) -> None:
        """Get the keys for the first time."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of everything."""

    async def find(self, algorithm: str, key_id: str | None) -> list[Key] | None:
        """The keys that may have signed a token with this header. None: there are no keys at all yet."""
        return self.fitting(algorithm, key_id)

    def fitting(self, algorithm: str, key_id: str | None) -> list[Key] | None:
        """Those among the keys that we have. A key or a token without a key id may be anybody's."""
        if self.keys is None:
            return None
        return [
            key
            for key in self.keys
            if key.algorithm == algorithm and (key_id is None or key.key_id is None or key.key_id == key_id)
        ]


class FileKeys(Keys):
    """Keys in a file. It is read once: a reload makes another way of logging in."""

    async def open(self) -> None:
        """Read the file."""
        data = await asyncio.to_thread(Path(self.name).read_bytes)
        try:
            self.keys = keys_in(data, self.algorithms)
        except ConfigError as error:
            raise ConfigError(f"{self.name}: {error}") from error


class AddressKeys(Keys):
    """Keys at a JWKS address. They are fetched again when they are old, or when a token names a key that is new.

    Old ones stay in use while the address does not answer: otherwise whoever can stop the issuer's
    web server stops all logins.
    """

    def __init__(self, described: Jwt, clock: Callable[[], float]) -> None:
        super().__init__(described)
        self._service = Service(described.keys, timeout=_TIMEOUT)
        self.name = self._service.name
        if not self._service.is_private:
            raise ConfigError(f"{self.name}: keys must come by https://, or from this machine")
        if "HS256" in self.algorithms:
            raise ConfigError(f"{self.name}: a secret for HS256 must be in a file, not at an address")
        self._refresh = max(described.refresh, _PAUSE)
        self._clock = clock
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._flight: asyncio.Task[None] | None = None
        self._is_down = False

    async def open(self) -> None:
        """Fetch the keys. If nobody answers, tokens are refused until somebody does.

        Raises:
            ConfigError: what is at the address is no JWKS.
        """
        self._service.open()
        self._tried_at = self._clock()
        try:
            self.keys = await self._fetch()
            self._fetched_at = self._clock()
        except Unanswered as error:
            self._went_down(str(error))
        except ConfigError as error:
            await self._service.close()
            raise ConfigError(f"{self.name}: {error}") from error

    async def close(self) -> None:
        """Give up a fetch that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)
        await self._service.close()

    async def find(self, algorithm: str, key_id: str | None) -> list[Key] | None:
        """The keys that may have signed a token with this header, fetched again if that may help."""
        if self._clock() - self._fetched_at >= self._refresh:
            flight = self._renew()
            # While it is down nobody waits for the next try: the old keys are all there is.
            if flight is not None and not (self._is_down and self.keys):
                await asyncio.wait([flight])
        found = self.fitting(algorithm, key_id)
        if not found:
            flight = self._renew()
            if flight is not None:
                await asyncio.wait([flight])
                found = self.fitting(algorithm, key_id)
        return found

    def _renew(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one; None: the last one was a moment ago."""
        if self._flight is None and self._clock() - self._tried_at >= _PAUSE:
            self._tried_at = self._clock()
            self._flight = asyncio.create_task(self._try_again())
        return self._flight

    async def _try_again(self) -> None:
        try:
            self.keys = await self._fetch()
        except (Unanswered, ConfigError) as error:
            self._went_down(str(error))
        else:
            self._fetched_at = self._clock()
            if self._is_down:
                self._is_down = False
                logger.warning("keys back url=%s", self.name)
        finally:
            self._flight = None

    async def _fetch(self) -> list[Key]:
        status, body = await self._service.ask("GET")
        if status >= 500:
            raise Unanswered(f"status {status}")
        if 300 <= status < 400:
            raise ConfigError(f"status {status}: redirects are not followed, write the address that it leads to")
        if status != 200:
            raise ConfigError(f"status {status}")
        return keys_in(body, self.algorithms, is_public=True)

    def _went_down(self, reason: str) -> None:
        if not self._is_down:
            self._is_down = True
            then = "the old ones stay in use" if self.keys else "no token is admitted until it answers"
            logger.warning("keys down url=%s reason=%r: %s", self.name, reason, then)


class _Issuer:
    """One issuer of tokens, as the description has it."""

    def __init__(self, described: Jwt, clock: Callable[[], float]) -> None:
        if not described.algorithms:
            raise ConfigError(f"jwt: algorithms is empty; write those that {described.keys} has keys for")
        self.described = described
        self.clock = clock
        is_address = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", described.keys)
        self.keys: Keys = AddressKeys(described, clock) if is_address else FileKeys(described)

    async def judge(self, token: bytes, header: dict[str, object], applicant: Applicant) -> Admitted | Denied:
        """Whether a token lets in whom."""
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self.described.algorithms:
            return Denied(reason=f"token: the algorithm {_short(algorithm)} is not allowed")
        assert isinstance(algorithm, str)  # it is in a list of such
        assert isinstance(key_id, str | None)  # PyJWT has seen to it
        keys = await self.keys.find(algorithm, key_id)
        if keys is None:
            return Denied(reason=f"token: there are no keys yet, {self.keys.name} has not answered", is_guess=False)
        if not keys:
            return Denied(reason=f"token: {self.keys.name} has no key {_short(key_id)} for {algorithm}")
        for key in keys:
            try:
                payload = _JWS.decode_complete(token, key.jwk, [key.algorithm])["payload"]
            except PyJWTError:
                continue
            try:
                return self._admitted(_claims_of(payload), key, applicant)
            except _Wrong as wrong:
                # Somebody whom we trust gave it to the client: it did not guess.
                return Denied(reason=f"token: {wrong}", is_guess=False)
        return Denied(reason=f"token: the signature is by no key of {self.keys.name}")

    def _admitted(self, claims: dict[str, object], key: Key, applicant: Applicant) -> Admitted:
        self._check_issuer_and_audience(claims)
        expires_at = self._check_dates(claims)
        return Admitted(
            user=self._user(claims, applicant.user_name),
            groups=self._groups(claims),
            rules=self._rules(claims),
            expires_at=expires_at,
            credential=self.credential(key),
        )

    def credential(self, key: Key) -> str:
        """What an admission rests upon: when it changes, who was admitted is not any more."""
        said = self.described
        parts = (key.fingerprint, said.issuer, said.audience, said.user_claim, said.groups_claim, said.rules_claim)
        return "jwt:" + hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    def _check_issuer_and_audience(self, claims: dict[str, object]) -> None:
        issuer, audience = self.described.issuer, self.described.audience
        if issuer and claims.get("iss") != issuer:
            raise _Wrong(f"`iss` is {_short(claims.get('iss'))}, not {issuer!r}")
        meant = claims.get("aud")
        if not audience and meant is None:
            return
        if not audience:
            # RFC 7519, section 4.1.3: who does not find itself in it MUST reject the token.
            raise _Wrong(f"`aud` is {_short(meant)}, and the broker has no `audience`")
        if audience not in (meant if isinstance(meant, list) else [meant]):
            raise _Wrong(f"`aud` is {_short(meant)}, without {audience!r}")

    def _check_dates(self, claims: dict[str, object]) -> float | None:
        """Seconds since 1970 when the token ends, with the leeway: until then it lets in."""
        now, leeway = self.clock(), self.described.leeway
        begins, ends = _date(claims, "nbf"), _date(claims, "exp")
        if begins is not None and now < begins - leeway:
            raise _Wrong(f"it is valid in {begins - now:.0f} s only (`nbf`)")
        if ends is None:
            return None
        if now >= ends + leeway:
            raise _Wrong(f"it has expired {now - ends:.0f} s ago (`exp`)")
        return ends + leeway

    def _user(self, claims: dict[str, object], said: str | None) -> str:
        name = self.described.user_claim
        user = claims.get(name)
        if not isinstance(user, str) or not user or "\0" in user:
            raise _Wrong(f"`{name}` is {_short(user)}, not a user name")
        # Version 3 wants a user name where there is a password (v3 [MQTT-3.1.2-22]): an empty one says nothing.
        if said and said != user:
            raise _Wrong(f"`{name}` is {_short(user)}, and the user name of CONNECT is {_short(said)}")
        return user

    def _groups(self, claims: dict[str, object]) -> tuple[str, ...]:
        name = self.described.groups_claim
        try:
            return msgspec.convert(claims.get(name, ()), tuple[str, ...])
        except msgspec.ValidationError as error:
            raise _Wrong(f"`{name}` is no list of groups: {error}") from error

    def _rules(self, claims: dict[str, object]) -> tuple[Rule, ...] | None:
        name = self.described.rules_claim
        if name not in claims:
            return None
        try:
            rules = msgspec.convert(claims[name], tuple[Rule, ...])
        except msgspec.ValidationError as error:
            raise _Wrong(f"`{name}` is no list of rules: {error}") from error
        wrong = wrong_rule(rules)
        if wrong:
            raise _Wrong(f"`{name}`: {wrong}")
        return rules


class JwtWay(Way):
    """Admits who has a token as password.

    A password that is no token is for others to judge. With several issuers a token is for the one
    that it names; issuers without a name are asked about each.

    Args:
        described: the issuers.
        clock: seconds since 1970.

    Raises:
        ConfigError: something in the descriptions is impossible.
    """

    def __init__(self, *described: Jwt, clock: Callable[[], float] = time.time) -> None:
        self._issuers = [_Issuer(each, clock) for each in described]

    def take_keys(self, other: "JwtWay") -> None:
        """Begin with the keys that another way has fetched from the same addresses.

        For a reload, before ``open``: nobody is refused, or sent away, because an address does not
        answer at that moment.
        """
        known = {issuer.keys.name: issuer.keys for issuer in other._issuers if isinstance(issuer.keys, AddressKeys)}
        for issuer in self._issuers:
            old = known.get(issuer.keys.name)
            if old is not None and old.algorithms == issuer.keys.algorithms:
                issuer.keys.keys = old.keys

    async def open(self) -> None:
        """Read or fetch the keys.

        Raises:
            ConfigError: they cannot be used.
            OSError: a file cannot be read.
        """
        opened: list[_Issuer] = []
        try:
            for issuer in self._issuers:
                await issuer.keys.open()
                opened.append(issuer)
        except BaseException:
            for issuer in opened:
                await issuer.keys.close()
            raise

    async def close(self) -> None:
        """Let go of the addresses."""
        for issuer in self._issuers:
            await issuer.keys.close()

    async def check(self, applicant: Applicant) -> Admitted | Denied | None:
        """Judge a password that is a token."""
        token = applicant.password
        if token is None or not is_token(token):
            return None
        try:
            # This only takes it apart: who is asked about it depends on what it says of itself.
            parts = _JWS.decode_complete(token, options={"verify_signature": False})
            claims = _claims_of(parts["payload"])
        except (PyJWTError, _Wrong) as error:
            return Denied(reason=f"token: {error}")
        header: dict[str, object] = parts["header"]
        if "crit" in header:
            return Denied(reason=f"token: it needs extensions that we do not have: {_short(header['crit'])}")
        named = claims.get("iss")
        issuers = [each for each in self._issuers if each.described.issuer in ("", named)]
        denied = Denied(reason=f"token: nobody knows its issuer {_short(named)}")
        for number, issuer in enumerate(issuers):
            answer = await issuer.judge(token, header, applicant)
            if isinstance(answer, Admitted):
                return answer
            # What is said of a token with the right signature says more than that others do not know the signature.
            if number == 0 or denied.is_guess:
                denied = answer
        return denied

    def still_admits(self, admitted: Admitted) -> bool:
        """Whether the key that signed the token is still one of an issuer who says the same."""
        if any(issuer.keys.keys is None for issuer in self._issuers):
            return True  # an address has not answered yet: nobody is sent away for that
        return any(
            hmac.compare_digest(admitted.credential, issuer.credential(key))
            for issuer in self._issuers
            for key in issuer.keys.keys or ()
        )


def is_token(password: bytes) -> bool:
    """Whether a password can only be meant as a token: three parts in base64url, and the first is JSON's object."""
    found = _SHAPE.fullmatch(password) if len(password) <= _LONGEST_TOKEN else None
    if found is None:
        return False
    try:
        msgspec.json.decode(base64.urlsafe_b64decode(found[1] + b"=="), type=dict[str, object])
    except (ValueError, RecursionError):
        return False
    return True


def _claims_of(payload: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(payload, type=dict[str, object])
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"what it claims is no JSON object: {error}") from error


def _date(claims: dict[str, object], name: str) -> float | None:
    """Seconds since 1970 (RFC 7519, section 2: NumericDate)."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LATEST:
        raise _Wrong(f"`{name}` is {_short(value)}, not seconds since 1970")
    return float(value)


def _short(value: object) -> str:
    """What somebody else has written, for a line of our log."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
