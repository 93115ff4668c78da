"""TLS at a listener: each handshake that fails and each wrong file has a sentence of its own."""

import asyncio
import re
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from msgspec.structs import replace

from telex.server import tls
from telex.server.config import ConfigError, Listener, Psk, Tls
from telex.streams.stream import Stream
from tests.certificates import Authority, Issued
from tests.processes import find, run
from tests.shell.echo import Echo, House, open_door, said

has_psk = hasattr(ssl.SSLContext, "set_psk_server_callback")


class Place:
    """A directory with certificates."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.stranger = Authority(directory, "Other CA")
        self.server = self.authority.server()

    def tls(self, issued: Issued | None = None, **more: Any) -> Tls:
        issued = issued or self.server
        return Tls(certificate=str(issued.certificate), key=str(issued.key), **more)

    def asking(self, **more: Any) -> Tls:
        """TLS that requires a client certificate."""
        return self.tls(client_certificates="required", client_ca=str(self.authority.path), **more)

    def findings(self, described: Tls, *names: str, now: float | None = None) -> list[str]:
        found = tls.check(described, names, now=time.time() if now is None else now)
        return [f"{'fatal' if each.is_fatal else 'warning'}: {each.text}" for each in found]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def s_client(port: int, *arguments: str) -> str:
    """What openssl's client says of a handshake."""
    command = [find("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-brief", *arguments]
    done = await asyncio.to_thread(run, *command)
    return done.stdout + done.stderr


def here(described: Tls | None = None, psk: Psk | None = None) -> Listener:
    return Listener(host="127.0.0.1", port=0, tls=described, psk=psk)


# Handshakes


@pytest.mark.parametrize(("version", "shown"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
async def test_both_versions_of_tls_come_in(place: Place, version: str, shown: str) -> None:
    streams: list[Stream] = []
    house = House()

    def opened(stream: Stream) -> Echo:
        streams.append(stream)
        return Echo(house, stream)

    house.opened = opened  # type: ignore[method-assign]
    async with open_door(here(place.tls()), house) as (door, _):
        said_there = await s_client(door.port, version, "-CAfile", str(place.authority.path), "-verify_return_error")
        assert f"Protocol version: {shown}" in said_there
        assert "Verification: OK" in said_there
        await house.is_empty()
        assert [each.via_tls for each in streams] == [shown]


FAILURES: dict[str, tuple[Callable[[Place], Tls], Callable[[Place], list[str]], str, str]] = {
    "an old version": (
        lambda place: place.tls(),
        lambda place: ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        "no shared version of TLS",
        "alert protocol version",
    ),
    "TLS 1.2 where 1.3 is the least": (
        lambda place: place.tls(min_version="1.3"),
        lambda place: ["-tls1_2"],
        "no shared version of TLS",
        "alert protocol version",
    ),
    "other ciphers": (
        lambda place: place.tls(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"),
        lambda place: ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
        "no shared cipher",
        "alert handshake failure",
    ),
    "other signatures": (
        lambda place: place.tls(),
        lambda place: ["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"],
        "no shared signature algorithm",
        "alert handshake failure",
    ),
    "a client that does not trust us": (
        lambda place: place.tls(),
        lambda place: ["-CAfile", str(place.stranger.path), "-verify_return_error"],
        "the client does not trust our certificate: it does not know the CA that signed it",
        "certificate verify failed",
    ),
    "a client that wanted another name": (
        lambda place: place.tls(),
        lambda place: ["-CAfile", str(place.authority.path), "-verify_hostname", "x.example", "-verify_return_error"],
        "not for the name it connected to",
        "certificate verify failed",
    ),
    "no certificate": (
        lambda place: place.asking(),
        lambda place: ["-tls1_2"],
        "the client sent no certificate, and this listener requires one",
        "alert handshake failure",
    ),
    "an expired certificate": (
        lambda place: place.asking(),
        lambda place: with_certificate(place.authority.client("old", days=(-20, -10))),
        "the client's certificate is expired",
        "alert certificate expired",
    ),
    "a certificate of tomorrow": (
        lambda place: place.asking(),
        lambda place: with_certificate(place.authority.client("early", days=(10, 20))),
        "the client's certificate is not yet valid",
        "alert bad certificate",
    ),
    "a certificate of another CA": (
        lambda place: place.asking(),
        lambda place: with_certificate(place.stranger.client("mallory")),
        "signed by an unknown CA",
        "alert unknown ca",
    ),
    "a revoked certificate": (
        lambda place: place.asking(crl=str(place.authority.crl(bob(place)))),
        lambda place: with_certificate(bob(place)),
        "the client's certificate is revoked",
        "alert certificate revoked",
    ),
    "a list of revoked certificates that is too old": (
        lambda place: place.asking(crl=str(place.authority.crl(days=(-9, -2)))),
        lambda place: with_certificate(bob(place)),
        "our list of revoked certificates is too old",
        "alert",
    ),
    "no list of revoked certificates of its CA": (
        lambda place: place.asking(crl=str(place.stranger.crl())),
        lambda place: with_certificate(bob(place)),
        "no list of revoked certificates of the CA",
        "alert",
    ),
    "a server's certificate": (
        lambda place: place.asking(),
        lambda place: with_certificate(place.server),
        "the client's certificate is not for clients",
        "alert unsupported certificate",
    ),
}


def bob(place: Place) -> Issued:
    """The same one each time."""
    if not hasattr(place, "bob"):
        place.bob = place.authority.client("bob")  # type: ignore[attr-defined]
    issued: Issued = place.bob  # type: ignore[attr-defined]
    return issued


def with_certificate(issued: Issued) -> list[str]:
    return ["-tls1_2", "-cert", str(issued.certificate), "-key", str(issued.key)]


@pytest.mark.parametrize(("described", "arguments", "line", "alert"), FAILURES.values(), ids=FAILURES)
async def test_a_handshake_that_fails_is_one_line_here_and_an_alert_there(
    described: Callable[[Place], Tls],
    arguments: Callable[[Place], list[str]],
    line: str,
    alert: str,
    place: Place,
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = here(described(place))
    async with open_door(listener) as (door, house):
        caplog.clear()  # what was said of the files
        assert alert in await s_client(door.port, *arguments(place))
        found = await said(caplog, line)
        assert found.startswith("refused address=127.0.0.1:")
        assert "TLS: " in found
        assert house.guard.came == ["127.0.0.1"]
        assert not house.lost


RESET = struct.pack("ii", 1, 0)


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"\x10\x0e\0\4MQTT\4\2\0\0\0\2id", "it speaks MQTT without TLS on a port for TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "it speaks HTTP without TLS"),
        (b"PROXY TCP4 192.0.2.1 ", "set proxy_protocol for this listener"),
        (b"EHLO mail\r\n", "it speaks no TLS on a port for TLS"),
        (b"\x16\x03\x01\x00\x10garbagegarbagegarbage", "the handshake failed: unexpected message"),
        (b"", "it did not finish the handshake in time"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "it did not finish the handshake in time"),
    ],
)
async def test_what_is_no_handshake_is_one_line(
    sent: bytes, line: str, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_door(here(place.tls()), handshake_timeout=0.15) as (door, _):
        with socket.create_connection(("127.0.0.1", door.port)) as client:
            client.sendall(sent)
            await said(caplog, line)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00"])
@pytest.mark.parametrize("is_reset", [False, True])
async def test_who_closes_during_the_handshake_is_one_line(
    sent: bytes, is_reset: bool, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_door(here(place.tls())) as (door, house):
        client = socket.create_connection(("127.0.0.1", door.port))
        client.sendall(sent)
        while not house.guard.came:
            await asyncio.sleep(0.001)
        if is_reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        await said(caplog, "the client closed the connection during the handshake")


# Client certificates


@pytest.mark.parametrize(("user_from", "user"), [("cn", "alice"), ("subject", "CN=alice,O=Telex,C=DE"), ("", "")])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_certificate_names_the_user(place: Place, user_from: str, user: str, version: str) -> None:
    alice = place.authority.client("alice", organization="Telex", country="DE")
    listener = here(place.asking(user_from=user_from, crl=str(place.authority.crl())))
    assert await identities(listener, [*with_certificate(alice)[1:], version]) == [user]


async def test_a_certificate_may_be_left_out_if_it_is_optional(place: Place) -> None:
    listener = here(place.tls(client_certificates="optional", client_ca=str(place.authority.path), user_from="cn"))
    assert await identities(listener, []) == [""]
    assert await identities(listener, with_certificate(bob(place))) == ["bob"]


async def test_dates_need_not_be_checked(place: Place) -> None:
    listener = here(place.asking(user_from="cn", checks_dates=False))
    old = place.authority.client("old", days=(-20, -10))
    assert await identities(listener, with_certificate(old)) == ["old"]


async def test_a_directory_of_authorities(place: Place, tmp_path: Path) -> None:
    directory = tmp_path / "authorities"
    directory.mkdir()
    (directory / "ca.pem").write_bytes(place.authority.path.read_bytes())
    described = place.tls(client_certificates="required", client_ca=str(directory), user_from="cn")
    assert any("openssl rehash" in each for each in place.findings(described))
    run(find("openssl"), "rehash", str(directory))
    assert place.findings(described) == []
    assert await identities(here(described), with_certificate(bob(place))) == ["bob"]


async def identities(listener: Listener, arguments: list[str]) -> list[str]:
    """Who came in."""
    found: list[str] = []
    house = House()

    def opened(stream: Stream) -> Echo:
        found.append(stream.identity)
        return Echo(house, stream)

    house.opened = opened  # type: ignore[method-assign]
    async with open_door(listener, house) as (door, _):
        await s_client(door.port, *arguments)
        await house.is_empty()
    return found


async def test_mosquittos_client_comes_in(place: Place) -> None:
    program, alice = find("mosquitto_pub"), place.authority.client("alice")
    house = House()

    class Greeting(Echo):
        """Answers the CONNECT, and listens from then on."""

        def received(self, data: bytes) -> None:
            heard.append(data)
            if len(heard) == 1:
                self.stream.write(b"\x20\x02\x00\x00")

    heard: list[bytes] = []
    house.opened = lambda stream: Greeting(house, stream)  # type: ignore[method-assign]
    async with open_door(here(place.asking()), house) as (door, _):
        command = [program, "-h", "localhost", "-p", str(door.port), "--cafile", str(place.authority.path)]
        command += ["--cert", str(alice.certificate), "--key", str(alice.key), "-t", "a", "-m", "hello"]
        done = await asyncio.to_thread(run, *command)
        assert (done.returncode, done.stderr) == (0, "")
        await house.is_empty()
    assert b"hello" in b"".join(heard)


# Names


def certificate_of(*attributes: tuple[ObjectIdentifier, str] | list[tuple[ObjectIdentifier, str]]) -> x509.Certificate:
    groups = [each if isinstance(each, list) else [each] for each in attributes]
    subject = x509.Name(
        [x509.RelativeDistinguishedName([x509.NameAttribute(oid, value) for oid, value in group]) for group in groups]
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now)
    return builder.sign(key, hashes.SHA256())


SUBJECTS: list[list[Any]] = [
    [(NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Telex"), (NameOID.COMMON_NAME, "alice")],
    [(NameOID.COMMON_NAME, 'a,b+c"d\\e<f>g;h=i')],
    [(NameOID.COMMON_NAME, " both ends ")],
    [(NameOID.COMMON_NAME, "#1 #2")],
    [(NameOID.COMMON_NAME, " ")],
    [(NameOID.COMMON_NAME, "Žofie Müller \u4e2d \U0001f600")],
    [(NameOID.COMMON_NAME, "tab\tline\nend\x7f")],
    [[(NameOID.COMMON_NAME, "alice"), (NameOID.USER_ID, "42")], (NameOID.ORGANIZATION_NAME, "Telex")],
    [(NameOID.EMAIL_ADDRESS, "a@b.example"), (NameOID.DOMAIN_COMPONENT, "example"), (NameOID.COMMON_NAME, "x")],
    [(ObjectIdentifier("1.2.3.4.5.6"), "unknown"), (NameOID.COMMON_NAME, "x")],
    [(ObjectIdentifier("1.2.3.4.5.6"), "long " * 40), (NameOID.COMMON_NAME, "x")],
    [(oid, "EX") for oid in tls._SHORT_NAMES if oid != NameOID.X500_UNIQUE_IDENTIFIER],
]


@pytest.mark.parametrize("attributes", SUBJECTS)
def test_a_subject_is_written_as_openssl_and_mosquitto_write_it(attributes: list[Any], tmp_path: Path) -> None:
    certificate = certificate_of(*attributes)
    path = tmp_path / "x.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    command = [find("openssl"), "x509", "-in", str(path), "-noout", "-subject", "-nameopt", "RFC2253"]
    shown = subprocess.run(command, capture_output=True, check=True, timeout=20).stdout.decode()
    assert "subject=" + tls.user_of(certificate.public_bytes(Encoding.DER), "subject") + "\n" == shown


def test_the_first_common_name_counts() -> None:
    two = certificate_of((NameOID.COMMON_NAME, "first"), (NameOID.COMMON_NAME, "second"))
    assert tls.user_of(two.public_bytes(Encoding.DER), "cn") == "first"
    none = certificate_of((NameOID.ORGANIZATION_NAME, "Telex"))
    assert tls.user_of(none.public_bytes(Encoding.DER), "cn") == ""
    trick = certificate_of((NameOID.COMMON_NAME, "admin\0.example"))
    assert tls.user_of(trick.public_bytes(Encoding.DER), "cn") == ""
    assert tls.user_of(b"nonsense", "cn") == ""


# Files


def test_nothing_is_wrong_with_good_files(place: Place) -> None:
    assert place.findings(place.tls(), "localhost", "127.0.0.1", "::1") == []
    assert place.findings(place.asking(crl=str(place.authority.crl()), user_from="cn")) == []
    chained = place.authority.intermediate("Between").intermediate("Below").server("chained")
    assert place.findings(place.tls(chained)) == []
    locked = place.authority.server("locked", key_password="secret")
    assert place.findings(place.tls(locked, key_password="secret")) == []


def written(place: Place, name: str, *parts: Path | bytes | str) -> str:
    path = place.directory / name
    data = b"".join(
        part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        for part in parts
    )
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


def chain_in_disorder(place: Place) -> Tls:
    issued = place.authority.intermediate("Between").intermediate("Below").server("chained")
    blocks = issued.certificate.read_bytes().split(b"-----END CERTIFICATE-----\n")
    leaf, below, between = [block + b"-----END CERTIFICATE-----\n" for block in blocks[:3]]
    return Tls(certificate=written(place, "disorder.pem", leaf, between, below), key=str(issued.key))


def chain_with_a_gap(place: Place) -> Tls:
    issued = place.authority.intermediate("Between").intermediate("Below").server("chained")
    blocks = issued.certificate.read_bytes().split(b"-----END CERTIFICATE-----\n")
    leaf, _, between = [block + b"-----END CERTIFICATE-----\n" for block in blocks[:3]]
    return Tls(certificate=written(place, "gap.pem", leaf, between), key=str(issued.key))


def chain_upside_down(place: Place) -> Tls:
    path = written(place, "upside-down.pem", place.authority.path, place.server.certificate)
    return Tls(certificate=path, key=str(place.server.key))


def readable_key(place: Place) -> Tls:
    place.server.key.chmod(0o644)
    return place.tls()


def server_of(place: Place, **more: Any) -> Tls:
    return place.tls(place.authority.server("special", **more))


WRONG: dict[str, tuple[Callable[[Place], Tls], str]] = {
    "no certificate": (
        lambda place: Tls(certificate="/no/such.pem"),
        "fatal: /no/such.pem: the certificate is not there",
    ),
    "no key": (lambda place: replace(place.tls(), key="/no/such.pem"), "fatal: /no/such.pem: the key is not there"),
    "a directory": (
        lambda place: Tls(certificate="/tmp"),
        "fatal: /tmp: the certificate cannot be read: Is a dir",
    ),
    "swapped": (
        lambda place: Tls(certificate=str(place.server.key), key=str(place.server.certificate)),
        "fatal: .*it holds a key and no certificate; certificate and key may be swapped",
    ),
    "key in no file": (
        lambda place: Tls(certificate=str(place.server.certificate)),
        "fatal: .*it holds a certificate and no key; name the file of the key",
    ),
    "DER": (
        lambda place: Tls(certificate=written(place, "x.der", place.server.content.public_bytes(Encoding.DER))),
        "fatal: .*no PEM certificate; it may be DER: openssl x509 -inform der",
    ),
    "no PEM": (lambda place: Tls(certificate=written(place, "x", "hello")), "fatal: .*x: it holds no PEM certificate$"),
    "damaged certificate": (
        lambda place: Tls(
            certificate=written(place, "x", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
        ),
        "fatal: .*a certificate in it is damaged",
    ),
    "damaged key": (
        lambda place: replace(
            place.tls(), key=written(place, "x", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n")
        ),
        "fatal: .*the key is of no use: it is damaged",
    ),
    "encrypted key": (
        lambda place: server_of(place, key_password="secret"),
        "fatal: .*the key is encrypted; give key_password, or decrypt it: openssl pkey",
    ),
    "wrong password": (
        lambda place: replace(server_of(place, key_password="secret"), key_password="guess"),
        "fatal: .*it cannot be decrypted: key_password is wrong",
    ),
    "another's key": (
        lambda place: replace(place.tls(), key=str(place.authority.server("other").key)),
        "fatal: .*other-key.pem: the key does not belong to the certificate of 'localhost' in .*server.pem",
    ),
    "CA first": (chain_upside_down, "fatal: .*belongs to the certificate at place 2, not to the first"),
    "chain in disorder": (
        chain_in_disorder,
        "warning: .*not in order: after that of 'localhost', that of its issuer 'Below' stands elsewhere",
    ),
    "chain with a gap": (
        chain_with_a_gap,
        "warning: .*not in order: after that of 'localhost', that of its issuer 'Below' is missing; put it there",
    ),
    "expired": (lambda place: server_of(place, days=(-20, -10)), "warning: .*of 'localhost' expired at .*; renew it"),
    "not yet valid": (lambda place: server_of(place, days=(1, 10)), "warning: .*is not valid before .* clock .* right"),
    "expires soon": (lambda place: server_of(place, days=(-20, 10)), "warning: .*expires at .*; renew it in time"),
    "no names": (lambda place: server_of(place, hosts=()), "warning: .*names no host .no Subject Alternative Name."),
    "for clients": (lambda place: place.tls(bob(place)), "warning: .*is not for servers .no serverAuth"),
    "readable key": (readable_key, "warning: .*everybody on this machine may read the key; chmod o-r"),
    "unknown ciphers": (lambda place: place.tls(ciphers="ROT13"), "fatal: ciphers: OpenSSL knows none of 'ROT13'"),
    "user_from alone": (lambda place: place.tls(user_from="cn"), "fatal: tls.user_from needs client_certificates"),
    "crl alone": (lambda place: place.tls(crl="/x"), "fatal: tls.crl needs client_certificates"),
    "no client CA": (lambda place: place.tls(client_certificates="required"), "fatal: .*needs client_ca"),
    "client CA that is not there": (
        lambda place: replace(place.asking(), client_ca="/no/such.pem"),
        "fatal: /no/such.pem: the certificate is not there",
    ),
    "client CA that is expired": (
        lambda place: replace(
            place.asking(), client_ca=str(Authority(place.directory, "Past CA", days=(-20, -10)).path)
        ),
        "warning: .*of 'Past CA' expired at",
    ),
    "crl that is none": (
        lambda place: place.asking(crl=str(place.authority.path)),
        "fatal: .*no PEM list of revoked certificates",
    ),
    "old crl": (
        lambda place: place.asking(crl=str(place.authority.crl(days=(-20, -10)))),
        "warning: .*was to be renewed by .*every client certificate is refused",
    ),
    "crl of another": (
        lambda place: place.asking(crl=str(place.stranger.crl())),
        "warning: .*is of 'Other CA', whose certificate is not in",
    ),
}


# Two are swapped, and what is for clients has no host names either.
BOTH = {WRONG["swapped"][1], WRONG["for clients"][1]}


@pytest.mark.parametrize(("described", "finding"), WRONG.values(), ids=WRONG)
def test_each_wrong_file_has_its_own_sentence(place: Place, described: Callable[[Place], Tls], finding: str) -> None:
    wrong = described(place)
    found = place.findings(wrong)
    assert re.match(finding, found[0]), found
    assert len(found) == (2 if finding in BOTH else 1), found
    if finding.startswith("fatal"):
        with pytest.raises(ConfigError) as caught:
            tls.server_context(wrong)
        assert f"fatal: {caught.value}" == found[0]
    else:
        tls.server_context(wrong)


def test_a_key_that_may_not_be_read_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything
    with pytest.raises(ConfigError, match="the certificate cannot be read by the user of this process"):
        tls.server_context(place.tls())


def test_names_that_clients_will_use_must_be_in_the_certificate(place: Place) -> None:
    described = place.tls(place.authority.server("named", hosts=("mqtt.example", "*.lan.example", "192.0.2.1")))
    assert place.findings(described, "mqtt.example", "MQTT.EXAMPLE.", "a.lan.example", "192.0.2.1") == []
    for name in ("example", "a.b.lan.example", "lan.example", "192.0.2.2", "2001:db8::1"):
        [found] = place.findings(described, name)
        assert f"is not for {name}, but for mqtt.example, *.lan.example, 192.0.2.1" in found


def test_dates_are_of_the_clock_that_is_given(place: Place) -> None:
    now = time.time()
    assert place.findings(place.tls(), now=now + 355 * 86_400) == [
        f"warning: {place.server.certificate}: the certificate of 'localhost' expires at "
        f"{place.server.content.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; renew it in time"
    ]
    assert "expired at" in place.findings(place.tls(), now=now + 366 * 86_400)[0]
    assert "not valid before" in place.findings(place.tls(), now=now - 5 * 86_400)[0]


def test_a_public_certificate_without_its_chain_is_said(place: Place) -> None:
    """Public CAs sign by a certificate in between, and say where it can be fetched."""
    content, key = place.server.content, ec.generate_private_key(ec.SECP256R1())
    where = x509.AccessDescription(
        x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.example/r3.der")
    )
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "R3")]),
        subject_name=content.subject,
        public_key=content.public_key(),
        serial_number=1,
        not_valid_before=content.not_valid_before_utc,
        not_valid_after=content.not_valid_after_utc,
        extensions=[
            *content.extensions,
            x509.Extension(x509.AuthorityInformationAccess.oid, False, x509.AuthorityInformationAccess([where])),
        ],
    )
    signed = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    described = Tls(certificate=written(place, "cert.pem", signed), key=str(place.server.key))
    assert "the certificate of the issuer 'R3' is missing" in place.findings(described)[0]
    assert place.findings(replace(described, client_ca=str(place.authority.path))) == []  # OpenSSL looks there


def test_tls_1_3_ciphers_are_refused_where_python_cannot_choose_them(place: Place) -> None:
    ours = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
    tls.server_context(place.tls(ciphers_1_3=ours))
    if not hasattr(ssl.SSLContext, "set_ciphersuites"):
        with pytest.raises(ConfigError, match=r"ciphers_1_3: the ssl module of Python .* cannot choose them"):
            tls.server_context(place.tls(ciphers_1_3="TLS_AES_128_GCM_SHA256"))


def test_no_secret_is_told(place: Place) -> None:
    wrong = replace(server_of(place, key_password="secret"), key_password="hunter2")
    assert "hunter2" not in place.findings(wrong)[0]


def test_a_renewed_file_is_told_once_when_it_rests(place: Place) -> None:
    described = place.tls()
    files = tls.files_of(described, None)
    assert not files.changed()
    place.authority.server()
    assert [files.changed() for _ in range(4)] == [False, True, False, False]
    place.server.key.unlink()
    assert [files.changed() for _ in range(3)] == [False, True, False]


async def test_findings_are_told_when_the_door_opens(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with open_door(here(server_of(place, days=(-20, 3)))):
        assert "renew it in time" in await said(caplog, "certificates listener=127.0.0.1:0")


# Pre-shared keys


def psk(place: Place, text: str = "# keys\nalice:00010203\n\nbob:a0b0c0d0\n", **more: Any) -> Psk:
    return Psk(file=written(place, "psk", text), **more)


@pytest.mark.skipif(has_psk, reason="this Python can")
def test_psk_is_refused_where_python_cannot(place: Place) -> None:
    with pytest.raises(ConfigError, match=f"Python 3.{sys.version_info.minor} cannot do pre-shared keys, that of 3.13"):
        tls.psk_keys(psk(place))


@pytest.mark.skipif(not has_psk, reason="this Python cannot")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("alice", "psk:1: expected identity:key"),
        ("\nalice:xyz", "psk:2: expected identity:key"),
        (":00", "psk:1: expected identity:key"),
        ("alice:", "psk:1: expected identity:key"),
        ("alice:" + 257 * "00", "psk:1: expected identity:key"),
        ("alice:00\nalice:01", "psk:2: 'alice' is there twice"),
    ],
)
def test_a_wrong_psk_file_is_said(place: Place, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        tls.psk_keys(psk(place, text))


@pytest.mark.skipif(not has_psk, reason="this Python cannot")
@pytest.mark.parametrize("is_user", [True, False])
async def test_a_pre_shared_key_lets_in_and_names_the_user(place: Place, is_user: bool) -> None:
    listener = here(psk=psk(place, hint="telex", user_from_identity=is_user))
    for identity, key in (("alice", "00010203"), ("bob", "a0b0c0d0")):
        found = await identities(listener, ["-psk_identity", identity, "-psk", key, "-tls1_2"])
        assert found == [identity if is_user else ""]


@pytest.mark.skipif(not has_psk, reason="this Python cannot")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-psk_identity", "alice", "-psk", "ff"], "is its pre-shared key another?"),
        (["-psk_identity", "eve", "-psk", "00010203"], "has an identity that is not in the file of keys"),
        ([], "no shared cipher"),
    ],
)
async def test_a_wrong_pre_shared_key_is_one_line(
    place: Place, arguments: list[str], line: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_door(here(psk=psk(place))) as (door, _):
        assert "alert" in await s_client(door.port, "-tls1_2", *arguments)
        await said(caplog, line)


@pytest.mark.skipif(not has_psk, reason="this Python cannot")
async def test_mosquittos_client_comes_in_with_a_pre_shared_key(place: Place) -> None:
    heard: list[bytes] = []
    house = House()

    class Greeting(Echo):
        def received(self, data: bytes) -> None:
            heard.append(data)
            if len(heard) == 1:
                self.stream.write(b"\x20\x02\x00\x00")

    house.opened = lambda stream: Greeting(house, stream)  # type: ignore[method-assign]
    async with open_door(here(psk=psk(place)), house) as (door, _):
        command = [find("mosquitto_pub"), "-p", str(door.port), "--psk", "00010203", "--psk-identity", "alice"]
        done = await asyncio.to_thread(run, *command, "-t", "a", "-m", "hello")
        assert (done.returncode, done.stderr) == (0, "")
        await house.is_empty()
    assert b"hello" in b"".join(heard)


async def test_one_way_is_enough(place: Place) -> None:
    both = Listener(port=0, tls=place.tls(), psk=Psk(file="/x"))
    with pytest.raises(ConfigError, match="two ways for the same"):
        await House().door(both).open()


def test_what_tls_says_is_for_people() -> None:
    assert tls.explain(ConnectionResetError()) == "the client closed the connection during the handshake"
    assert tls.explain(TimeoutError()) == "it did not finish the handshake in time"
    assert tls.explain(OSError(5, "Input/output error")) == "the handshake failed: [Errno 5] Input/output error"
