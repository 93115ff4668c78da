"""TLS of a client: each wrong file and each handshake that fails has a sentence with its remedy."""

import asyncio
import re
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from telex.client.address import parse_address
from telex.client.dialing import Dialer
from telex.client.tls import ClientTls, explain
from telex.errors import NotConnected, Untrusted
from tests.certificates import Authority, Issued
from tests.client.caller import SECONDS, Phone
from tests.processes import find, free_port, run, running, wait_for_port

has_psk = hasattr(ssl.SSLContext, "set_psk_client_callback")


class Place:
    """A directory with certificates."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.stranger = Authority(directory, "Other CA")
        self.server = self.authority.server()

    def trusting(self, **more: Any) -> ClientTls:
        return ClientTls(ca_file=self.authority.path, **more)

    def serving(self, issued: Issued | None = None, **more: Any) -> ssl.SSLContext:
        """What a server needs: further arguments are attributes of its context."""
        issued = issued or self.server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.certificate, issued.key)
        for name, value in more.items():
            setattr(context, name, value)
        return context

    def asking(self) -> ssl.SSLContext:
        """A server that wants client certificates."""
        context = self.serving(verify_mode=ssl.CERT_REQUIRED)
        context.load_verify_locations(self.authority.path)
        return context

    def openssl(self, *arguments: str) -> AbstractAsyncContextManager[int]:
        """OpenSSL's server with our certificate."""
        return openssl("-cert", str(self.server.certificate), "-key", str(self.server.key), *arguments)

    def asking_openssl(self, version: str) -> AbstractAsyncContextManager[int]:
        """OpenSSL's server that wants client certificates."""
        return self.openssl("-CAfile", str(self.authority.path), "-Verify", "1", "-verify_return_error", version)

    def file(self, name: str, data: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(data)
        return path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Says(asyncio.Protocol):
    """A server's end that says something when it has heard something, and closes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer)
        self._transport.close()


@asynccontextmanager
async def server(context: ssl.SSLContext | None, answer: bytes = b"") -> AsyncIterator[int]:
    """A server on a free port."""
    loop = asyncio.get_running_loop()
    made = await loop.create_server(lambda: Says(answer), "127.0.0.1", 0, ssl=context)
    yield made.sockets[0].getsockname()[1]
    made.close()


@asynccontextmanager
async def openssl(*arguments: str) -> AsyncIterator[int]:
    """OpenSSL's own server, which tells its client why a handshake fails; asyncio's does not."""
    port = free_port()
    with running(find("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-quiet", *arguments):
        await asyncio.to_thread(wait_for_port, port)
        yield port


def to(port: int, tls: ClientTls | ssl.SSLContext | None, host: str = "localhost") -> Phone:
    return Phone(Dialer(parse_address(f"mqtts://{host}:{port}"), tls=tls))


async def fails(port: int, tls: ClientTls | ssl.SSLContext | None, host: str = "localhost") -> Exception:
    """The error of a handshake."""
    async with to(port, tls, host) as phone:
        with pytest.raises((Untrusted, NotConnected)) as raised:
            await phone.calls()
    return raised.value


# What a user says


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"key": "x.pem"}, "key: it needs certificate"),
        ({"key_password": "x"}, "key_password: there is no key"),
        ({"minimum_version": "1.1"}, "minimum_version is '1.1', expected '1.2' or '1.3'"),
        ({"alpn": [""]}, "alpn: '' is no protocol"),
        ({"alpn": "ä"}, "alpn: 'ä' is no protocol"),
        ({"psk": "00"}, "a pre-shared key needs both"),
        ({"psk_identity": "x"}, "a pre-shared key needs both"),
        ({"psk": "0x1", "psk_identity": "x"}, "pairs of hexadecimal digits"),
        ({"psk": "00" * 257, "psk_identity": "x"}, "512 at most"),
        ({"psk": "00", "psk_identity": "x", "ca_file": "x"}, "in place of certificates"),
        ({"psk": "00", "psk_identity": "x", "certificate": "x"}, "in place of certificates"),
    ],
)
def test_what_does_not_fit_together_is_refused_at_once(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        ClientTls(**arguments)


def test_with_nothing_said_the_systems_roots_are_trusted_and_names_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[ssl.Purpose] = []
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda self, purpose=None: loaded.append(purpose))
    context = ClientTls().context()
    assert len(loaded) == 1
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_who_says_a_ca_does_not_trust_the_systems_roots(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda self: pytest.fail("loaded"))
    assert len(place.trusting().context().get_ca_certs()) == 1


def test_versions_and_names_are_as_they_are_said(place: Place) -> None:
    assert place.trusting(minimum_version="1.3").context().minimum_version == ssl.TLSVersion.TLSv1_3
    assert place.trusting(minimum_version="tlsv1.3").context().minimum_version == ssl.TLSVersion.TLSv1_3
    insecure = place.trusting(insecure=True).context()
    assert not insecure.check_hostname
    assert insecure.verify_mode == ssl.CERT_REQUIRED  # of a trusted CA it must be all the same


# Files

FILES: dict[str, tuple[Callable[[Place], dict[str, Any]], str]] = {
    "no CA": (lambda place: {"ca_file": place.directory / "none.pem"}, "none.pem: the file of the CA is not there"),
    "a directory": (lambda place: {"ca_file": place.directory}, "the file of the CA cannot be read"),
    "a key in place of a CA": (lambda place: {"ca_file": place.server.key}, "a key and no certificate"),
    "text in place of a CA": (lambda place: {"ca_file": place.file("x", b"hello")}, "x: it holds no PEM certificate"),
    "DER in place of PEM": (
        lambda place: {"ca_file": place.file("x.der", place.authority.content.public_bytes(Encoding.DER))},
        "x.der: it holds no PEM certificate; it may be DER: openssl x509 -inform der",
    ),
    "a damaged CA": (
        lambda place: {"ca_file": place.file("x", place.authority.path.read_bytes()[:200])},
        "x: a certificate in it is damaged",
    ),
    "no directory": (lambda place: {"ca_path": place.directory / "none"}, "the directory of CAs cannot be read"),
    "a directory without hashes": (lambda place: {"ca_path": place.directory}, "run: openssl rehash"),
    "no certificate": (lambda place: {"certificate": place.directory / "none"}, "our certificate is not there"),
    "no key": (
        lambda place: {"certificate": place.server.certificate, "key": place.directory / "none"},
        "our key is not there",
    ),
    "a certificate alone": (
        lambda place: {"certificate": place.server.certificate},
        "it holds no PEM key; name the file of the key",
    ),
    "swapped files": (
        lambda place: {"certificate": place.server.key, "key": place.server.certificate},
        "it holds a key and no certificate; the files may be swapped",
    ),
    "a certificate twice": (
        lambda place: {"certificate": place.server.certificate, "key": place.server.certificate},
        "certificate and key may be swapped",
    ),
    "another key": (
        lambda place: {"certificate": place.server.certificate, "key": place.authority.client("x").key},
        "x-key.pem: the key does not belong to the certificate in",
    ),
    "a damaged certificate": (
        lambda place: {
            "certificate": place.file("x", place.server.certificate.read_bytes()[:300]),
            "key": place.server.key,
        },
        "OpenSSL does not take them",
    ),
    "an encrypted key": (
        lambda place: vars_of(place.authority.client("x", key_password="secret")),
        "x-key.pem: the key is encrypted; give key_password",
    ),
    "another password": (
        lambda place: vars_of(place.authority.client("x", key_password="secret")) | {"key_password": "other"},
        "the key cannot be decrypted: key_password is wrong",
    ),
    "no such ciphers": (lambda place: {"ciphers": "NONE-OF-THEM"}, "OpenSSL knows none of 'NONE-OF-THEM'"),
    "no place for keys": (
        lambda place: {"keylog_file": place.directory / "none" / "keys"},
        "keys: it cannot be written: No such file",
    ),
}


def vars_of(issued: Issued) -> dict[str, Any]:
    return {"certificate": issued.certificate, "key": issued.key}


@pytest.mark.parametrize(("arguments", "says"), FILES.values(), ids=FILES)
def test_each_wrong_file_has_its_sentence(
    place: Place, arguments: Callable[[Place], dict[str, Any]], says: str
) -> None:
    tls = ClientTls(**arguments(place))
    with pytest.raises(ValueError, match=re.escape(says)) as raised:
        tls.context()
    assert "\n" not in str(raised.value)
    assert not isinstance(raised.value, ssl.SSLError)


def test_a_file_that_may_not_be_read_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(path: str, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuses)
    with pytest.raises(ValueError, match=r"test-ca.pem: the file of the CA cannot be read by the user"):
        place.trusting().context()


def test_a_dialer_reads_the_files_when_it_is_made(place: Place) -> None:
    with pytest.raises(ValueError, match="is not there"):
        Dialer(parse_address("mqtts://localhost"), tls=ClientTls(ca_file=place.directory / "none"))


# Handshakes


async def test_both_ends_show_their_certificates(place: Place) -> None:
    mine = place.authority.client("alice", key_password="secret")
    tls = place.trusting(certificate=mine.certificate, key=mine.key, key_password="secret")
    async with server(place.asking(), b"\x20\x03\x00\x00\x00") as port, to(port, tls) as phone:
        caller = await phone.gets_through()
        assert caller.stream.via_tls == "TLSv1.3"


async def test_certificate_and_key_may_be_in_one_file(place: Place) -> None:
    mine = place.authority.client("alice")
    both = place.file("both.pem", mine.key.read_bytes() + mine.certificate.read_bytes())
    async with server(place.asking(), b"\x20\x03\x00\x00\x00") as port:
        async with to(port, place.trusting(certificate=both)) as phone:
            await phone.gets_through()


async def test_a_directory_of_cas_is_trusted(place: Place) -> None:
    directory = place.directory / "cas"
    directory.mkdir()
    (directory / "ca.pem").write_bytes(place.authority.path.read_bytes())
    assert run(find("openssl"), "rehash", str(directory)).returncode == 0
    async with server(place.serving(), b"\x20\x03\x00\x00\x00") as port:
        async with to(port, ClientTls(ca_path=directory)) as phone:
            await phone.gets_through()
        said = str(await fails(port, ClientTls(ca_file=place.stranger.path)))
        assert "'Test CA', which is not in" in said


@pytest.mark.parametrize("which", ["the one between", "the server's own"])
async def test_who_trusts_a_certificate_need_not_trust_the_one_above(place: Place, which: str) -> None:
    between = place.authority.intermediate("between")
    issued = between.server("inner")
    trusted = between.path if which == "the one between" else issued.certificate
    async with server(place.serving(issued), b"\x20\x03\x00\x00\x00") as port:
        async with to(port, ClientTls(ca_file=trusted)) as phone:
            await phone.gets_through()


async def test_what_the_certificate_is_for_may_be_said(place: Place) -> None:
    issued = place.authority.server("named", hosts=("broker.example",))
    async with server(place.serving(issued), b"\x20\x03\x00\x00\x00") as port:
        async with to(port, place.trusting(server_name="broker.example")) as phone:
            await phone.gets_through()
        async with to(port, place.trusting(insecure=True)) as phone:
            await phone.gets_through()


async def test_the_name_is_said_in_the_handshake(place: Place) -> None:  # RFC 6066, section 3
    names: list[str | None] = []
    context = place.serving(sni_callback=lambda session, name, context: names.append(name))
    async with server(context, b"\x20\x03\x00\x00\x00") as port:
        for host in ("localhost", "127.0.0.1"):
            async with to(port, place.trusting(), host) as phone:
                await phone.gets_through()
    assert names == ["localhost", None]  # an IP address is none


async def test_protocols_are_asked_for(place: Place) -> None:
    context = place.serving()
    context.set_alpn_protocols(["other", "mqtt"])
    async with server(context, b"\x20\x03\x00\x00\x00") as port:
        async with to(port, place.trusting(alpn="mqtt")) as phone:
            caller = await phone.gets_through()
            session = caller.stream._transport.get_extra_info("ssl_object")  # type: ignore[attr-defined]
            assert session.selected_alpn_protocol() == "mqtt"


async def test_session_keys_are_written_where_they_are_wanted(place: Place) -> None:
    path = place.directory / "keys"
    async with server(place.serving(), b"\x20\x03\x00\x00\x00") as port:
        async with to(port, place.trusting(keylog_file=path)) as phone:
            await phone.gets_through()
    assert "CLIENT_TRAFFIC_SECRET_0" in path.read_text()


def old(place: Place) -> Issued:
    return place.authority.server("old", days=(-20, -10))


UNTRUSTED: dict[str, tuple[Callable[[Place], tuple[ssl.SSLContext, ClientTls | None]], str]] = {
    "another name": (
        lambda place: (
            place.serving(place.authority.server("named", hosts=("broker.example", "192.0.2.1"))),
            place.trusting(),
        ),
        r"is not for localhost, but for broker\.example, 192\.0\.2\.1: .*ClientTls\(server_name=\.\.\.\)",
    ),
    "no name": (
        lambda place: (place.serving(place.authority.server("nameless", hosts=())), place.trusting()),
        r"is not for localhost, but for nobody \(it has no Subject Alternative Name; its subject is 'nameless'\)",
    ),
    "another CA": (
        lambda place: (place.serving(), ClientTls(ca_file=place.stranger.path)),
        r"issued by 'Test CA', which is not in \S+other-ca\.pem: .*ClientTls\(ca_file=\.\.\.\)",
    ),
    "a CA that the system does not know": (
        lambda place: (place.serving(), None),
        r"issued by 'Test CA', which is not trusted by this system: .*ClientTls\(ca_file=\.\.\.\)",
    ),
    "a self-signed one": (
        lambda place: (
            place.serving(Issued(place.stranger.path, place.stranger.key, place.stranger.content)),
            place.trusting(),
        ),
        r"is self-signed, and not trusted \(it trusts \S+test-ca\.pem\): give its file with ClientTls\(ca_file",
    ),
    "an expired one": (
        lambda place: (place.serving(old(place)), place.trusting()),
        r"the certificate of localhost:\d+ expired on \d{4}-\d\d-\d\d: whoever runs the broker has to renew it",
    ),
    "one of an expired CA": (
        lambda place: (
            place.serving(place.authority.intermediate("late", days=(-20, -10)).server("inner")),
            place.trusting(),
        ),
        r"the certificate of localhost:\d+, or that of its CA, expired: whoever",
    ),
    "one of the future": (
        lambda place: (place.serving(place.authority.server("early", days=(10, 20))), place.trusting()),
        r"is not valid yet: is the clock right\? Here it is \d{4}-",
    ),
    "one of a client": (
        lambda place: (place.serving(place.authority.client("x")), place.trusting(insecure=True)),
        r"is not for servers \(Extended Key Usage\)",
    ),
}


@pytest.mark.parametrize(("made", "says"), UNTRUSTED.values(), ids=UNTRUSTED)
async def test_a_certificate_that_does_not_pass_has_its_sentence(
    place: Place, made: Callable[[Place], tuple[ssl.SSLContext, ClientTls | None]], says: str
) -> None:
    context, tls = made(place)
    async with server(context) as port:
        error = await fails(port, tls)
        assert isinstance(error, Untrusted)
        assert re.search(says, str(error)), str(error)


async def test_a_context_of_the_users_own_is_taken_as_it_is(place: Place) -> None:
    mine = ssl.create_default_context(cafile=place.authority.path)
    async with server(place.serving(), b"\x20\x03\x00\x00\x00") as port:
        async with to(port, mine) as phone:
            await phone.gets_through()
        error = await fails(port, ssl.create_default_context(cafile=place.stranger.path))
        assert isinstance(error, Untrusted)
        assert "issued by 'Test CA', which is not trusted" in str(error)


CLIENTS: dict[str, tuple[Callable[[Place], dict[str, Any]], str]] = {
    "none": (lambda place: {}, r"wants a client certificate: .*ClientTls\(certificate=\.\.\., key=\.\.\.\)"),
    "of another CA": (
        lambda place: vars_of(place.stranger.client("x")),
        r"refuses our client certificate \S+x\.pem: it does not trust the CA",
    ),
    "expired": (
        lambda place: vars_of(place.authority.client("x", days=(-20, -10))),
        r"refuses our client certificate \S+x\.pem: it is expired",
    ),
    "for servers": (
        lambda place: vars_of(place.authority.server("x")),
        r"refuses our client certificate \S+x\.pem: it is not for clients",
    ),
}


@pytest.mark.parametrize(("arguments", "says"), CLIENTS.values(), ids=CLIENTS)
async def test_in_tls_1_3_the_end_of_the_stream_says_what_is_wrong_with_our_certificate(
    place: Place, arguments: Callable[[Place], dict[str, Any]], says: str
) -> None:
    async with place.asking_openssl("-tls1_3") as port:
        async with to(port, place.trusting(**arguments(place))) as phone:
            reason = await phone.hears_the_end()
    assert re.search(says, reason), reason


@pytest.mark.parametrize(("arguments", "says"), CLIENTS.values(), ids=CLIENTS)
async def test_in_tls_1_2_the_handshake_says_it(
    place: Place, arguments: Callable[[Place], dict[str, Any]], says: str
) -> None:
    async with place.asking_openssl("-tls1_2") as port:
        error = await fails(port, place.trusting(**arguments(place)))
    if "certificate" in arguments(place):
        assert isinstance(error, Untrusted)
        assert re.search(says, str(error)), str(error)
    else:  # the alert is that of any handshake that fails
        assert "may want a client certificate" in str(error)


# No TLS


async def test_a_server_without_tls_is_told_from_one_that_is_not_trusted(place: Place) -> None:
    async with server(None, b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        error = await fails(port, place.trusting())
        assert isinstance(error, NotConnected)
        assert f"localhost:{port} does not speak TLS: leave it out (mqtt, ws)" in str(error)
    async with server(None) as port:
        error = await fails(port, place.trusting())
        assert isinstance(error, NotConnected)
        assert "closes the connection in place of a handshake of TLS: it may speak without TLS" in str(error)


async def test_a_server_with_another_version_is_none_of_ours(place: Place) -> None:
    async with place.openssl("-tls1_2") as port:
        error = await fails(port, place.trusting(minimum_version="1.3"))
        assert isinstance(error, NotConnected)
        assert "no version of TLS in common" in str(error)


async def test_a_server_with_other_ciphers_is_none_of_ours(place: Place) -> None:
    async with place.openssl("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384") as port:
        error = await fails(port, place.trusting(ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
        assert isinstance(error, NotConnected)
        assert "no ciphers in common" in str(error)


def failed(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("reason", "kind", "says"),
    [
        ("TLSV1_UNRECOGNIZED_NAME", Untrusted, "there has no certificate for b.example: connect by a name"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", Untrusted, "there wants another client certificate than none"),
        ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", NotConnected, "does not know the protocol that alpn asks for"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", NotConnected, "no version of TLS in common"),
        ("TLSV1_ALERT_INTERNAL_ERROR", NotConnected, "TLS with there fails: tlsv1 alert internal error"),
        ("", NotConnected, "closes the connection in place of a handshake"),
    ],
)
def test_what_openssl_says_is_told_to_people(reason: str, kind: type[Exception], says: str) -> None:
    error = explain(failed(reason), "there", "b.example", ClientTls())
    assert type(error) is kind
    assert says in str(error)


# Pre-shared keys


@pytest.mark.skipif(has_psk, reason="this ssl can do it")
def test_a_python_without_pre_shared_keys_says_which_one_has_them() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(ValueError, match=f"Python {version} cannot do pre-shared keys, that of 3.13 can"):
        ClientTls(psk="00ff", psk_identity="alice").context()


def psk_server(key: str) -> AbstractAsyncContextManager[int]:
    """One with a pre-shared key, that repeats backwards what it hears."""
    return openssl("-psk", key, "-psk_identity", "alice", "-nocert", "-tls1_2", "-rev")


@pytest.mark.skipif(not has_psk, reason="Python before 3.13")
async def test_a_pre_shared_key_is_enough() -> None:
    async with psk_server("00ff17") as port:
        heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        class Asks:
            def __init__(self, stream: Any) -> None:
                self.stream = stream
                stream.write(b"hello\n")

            def received(self, data: bytes) -> None:
                heard.set_result(data)
                self.stream.abort()

            def writable(self) -> None:
                pass

            def lost(self, reason: str) -> None:
                pass

        dialer = Dialer(parse_address(f"mqtts://localhost:{port}"), tls=ClientTls(psk="00FF17", psk_identity="alice"))
        async with asyncio.timeout(SECONDS):
            await dialer.open(Asks)
            assert await heard == b"olleh\n"


@pytest.mark.skipif(not has_psk, reason="Python before 3.13")
async def test_another_pre_shared_key_is_untrusted() -> None:
    async with psk_server("00ff17") as port:
        error = await fails(port, ClientTls(psk="00ff18", psk_identity="alice"))
        assert isinstance(error, Untrusted)
        assert "does not know the pre-shared key of 'alice'" in str(error)
