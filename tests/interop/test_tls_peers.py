"""TLS with clients of others: what they show, what they want, and what the log says if that does not fit."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.certificates import Authority, Issued
from tests.interop.serving import Serving, port_to_keep, serving
from tests.interop.visits import LIBRARIES, By, Door, Plan, by_paho
from tests.processes import SECONDS, find, lines_until, run, running, serve_command, wait_for_port

# The same files, and both brokers


@dataclass
class Office:
    """Listeners for people who have certificates, and the certificates."""

    by_name: Door
    by_subject: Door
    newest: Door
    certificates: dict[str, Issued]


CONF = """\
log_dest none
allow_anonymous true
acl_file {folder}/acl

listener {by_name} 127.0.0.1
certfile {folder}/server.pem
keyfile {folder}/server-key.pem
cafile {folder}/test-ca.pem
crlfile {folder}/crl.pem
require_certificate true
use_identity_as_username true

listener {by_subject} 127.0.0.1
certfile {folder}/server.pem
keyfile {folder}/server-key.pem
cafile {folder}/test-ca.pem
require_certificate true
use_subject_as_username true

listener {newest} 127.0.0.1
certfile {folder}/server.pem
keyfile {folder}/server-key.pem
tls_version tlsv1.3
"""
ACL = "topic readwrite anybody/#\npattern readwrite mine/%u/#\n"


@pytest.fixture(scope="module", params=["mosquitto", "telex"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    authority, other = Authority(folder), Authority(folder, "Other CA")
    authority.server()
    certificates = {
        "alice": authority.client("alice", organization="Telex", unit="Tests", country="DE"),
        "müller": authority.client("müller", name="mueller", organization="Köln, Ring", unit='a "b" <c>'),
        "revoked": authority.client("revoked"),
        "expired": authority.client("expired", days=(-20, -10)),
        "not yet": authority.client("not yet", name="early", days=(10, 20)),
        "of another CA": other.client("alice", name="foreign"),
        "for servers": authority.server("misused", hosts=("alice",)),
    }
    authority.crl(certificates["revoked"])
    ports = {name: port_to_keep() for name in ("by_name", "by_subject", "newest")}
    user = "" if request.param == "telex" else "user root\n"  # who may look into pytest's folder
    (folder / "acl").write_text(ACL)
    conf = folder / "mosquitto.conf"
    conf.write_text(user + CONF.format(folder=folder, **ports))
    command = serve_command() if request.param == "telex" else [find("mosquitto")]
    with running(*command, "-c", str(conf)) as process:
        if request.param == "telex":
            lines_until(process, "stop  ")
        for port in ports.values():
            wait_for_port(port)
        doors = {name: Door("mqtts", port, ca=authority.path) for name, port in ports.items()}
        yield Office(**doors, certificates=certificates)


def says_its_name(user: str) -> Plan:
    topic = f"mine/{user}/end"
    return Plan("someone", filters=("mine/#",), messages=((topic, "it is me", 1),), last=topic)


@pytest.mark.parametrize("by", [by for by, schemes in LIBRARIES.values()], ids=LIBRARIES)
@pytest.mark.parametrize("who", ["alice", "müller"])
def test_the_common_name_is_the_user_name(office: Office, by: By, who: str) -> None:
    door = replace(office.by_name, certificate=office.certificates[who])
    assert [payload for _, payload, *_ in by(door, says_its_name(who)).got] == ["it is me"]


@pytest.mark.parametrize(
    ("who", "subject"),
    [
        ("alice", "CN=alice,OU=Tests,O=Telex,C=DE"),
        ("müller", r"CN=m\C3\BCller,OU=a \"b\" \<c\>,O=K\C3\B6ln\, Ring"),
    ],
)
def test_the_subject_is_the_user_name(office: Office, who: str, subject: str) -> None:
    door = replace(office.by_subject, certificate=office.certificates[who])
    assert [payload for _, payload, *_ in by_paho(door, says_its_name(subject)).got] == ["it is me"]


@pytest.mark.parametrize("who", ["revoked", "expired", "not yet", "of another CA", "for servers", "nobody"])
def test_who_has_no_good_certificate_stays_outside(office: Office, who: str) -> None:
    door = replace(office.by_name, certificate=office.certificates.get(who))
    done = run(find("mosquitto_pub"), *door.flags, "-t", "anybody/x", "-m", "x")
    assert done.returncode != 0
    assert done.stderr != ""


@pytest.mark.parametrize("version", ["tlsv1.1", "tlsv1.2", "tlsv1.3"])
def test_mosquittos_commands_come_in_with_any_lowest_version(office: Office, version: str) -> None:
    for door in (replace(office.by_name, certificate=office.certificates["alice"]), office.newest):
        flags = [*door.flags, "-V", "5", "--tls-version", version]
        done = run(find("mosquitto_pub"), *flags, "-t", "anybody/x", "-m", "x", "-q", "1")
        # Who has a name is not anybody.
        says = "Warning: Publish 1 failed: Not authorized.\n" if door.certificate else ""
        assert done.returncode == 0
        assert done.stderr.startswith(says)


def test_clients_do_not_come_in_whose_ca_is_another(office: Office) -> None:
    door = replace(office.newest, ca=office.certificates["of another CA"].certificate.with_name("other-ca.pem"))
    done = run(find("mosquitto_pub"), *door.flags, "-t", "anybody", "-m", "x")
    assert done.returncode != 0
    assert "A TLS error occurred." in done.stderr
    with socket.create_connection(("127.0.0.1", door.port), SECONDS) as plain:
        with pytest.raises(ssl.SSLCertVerificationError):
            door.context().wrap_socket(plain, server_hostname="127.0.0.1")


# What the log says


@dataclass
class Porter:
    """A broker with listeners for TLS of several kinds, and its log."""

    serving: Serving
    ports: dict[str, int]
    authority: Authority
    other: Authority


LISTENERS = {
    "usual": "",
    "newest": 'min_version = "1.3"',
    "picky": 'ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"',
    "strict": 'client_certificates = "required"\nclient_ca = "test-ca.pem"\ncrl = "crl.pem"',
    "websocket": "",
}


@pytest.fixture(scope="module")
def porter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Porter]:
    folder = tmp_path_factory.mktemp("porter")
    authority, other = Authority(folder), Authority(folder, "Other CA")
    authority.server()
    authority.crl(authority.client("revoked"))
    authority.client("expired", days=(-20, -10))
    authority.client("early", days=(10, 20))
    authority.client("good")
    authority.server("misused", hosts=("alice",))
    other.client("foreign")
    text = "[access]\nallow_anonymous = true\n"
    for name, more in LISTENERS.items():
        protocol = "websocket" if name == "websocket" else "mqtt"
        text += f'[[listeners]]\nhost = "127.0.0.1"\nport = 0\nprotocol = "{protocol}"\n'
        text += f'[listeners.tls]\ncertificate = "server.pem"\nkey = "server-key.pem"\n{more}\n'
    with serving(folder, text) as broker:
        yield Porter(broker, dict(zip(LISTENERS, broker.ports, strict=True)), authority, other)


def shown(value: str | list[str]) -> str:
    return value[:40] if isinstance(value, str) else " ".join(value)


OLDER = "no shared version of TLS: the client offers only older ones than this listener takes"
NO_CIPHER = "no shared cipher: the client offers none of those that this listener takes"
WEAK = "ALL:@SECLEVEL=0"  # without it Debian's OpenSSL does not even ask
OPENSSL = [
    ("usual", ["-tls1", "-cipher", WEAK], OLDER),
    ("usual", ["-tls1_1", "-cipher", WEAK], OLDER),
    ("newest", ["-tls1_2"], OLDER),
    ("websocket", ["-tls1_1", "-cipher", WEAK], OLDER),
    ("usual", ["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], NO_CIPHER),  # our key is no RSA key
    ("usual", ["-tls1_2", "-cipher", "PSK-AES256-CBC-SHA", "-psk", "00"], NO_CIPHER),
    ("picky", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], NO_CIPHER),
    ("usual", ["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"], NO_CIPHER),
    (
        "usual",
        ["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"],
        "no shared signature algorithm: the client cannot verify our certificate",
    ),
    (
        "usual",
        ["-CAfile", "other-ca.pem", "-verify_return_error"],
        "the client does not trust our certificate: it does not know the CA that signed it",
    ),
    (
        "usual",
        ["-CAfile", "test-ca.pem", "-verify_return_error", "-verify_hostname", "elsewhere.example"],
        "the client does not take our certificate: wrong, or not for the name it connected to",
    ),
    ("strict", [], "the client sent no certificate, and this listener requires one"),
    ("strict", ["-tls1_2"], "the client sent no certificate, and this listener requires one"),
    ("strict", ["-cert", "revoked.pem", "-key", "revoked-key.pem"], "the client's certificate is revoked"),
    ("strict", ["-cert", "expired.pem", "-key", "expired-key.pem"], "the client's certificate is expired"),
    ("strict", ["-cert", "early.pem", "-key", "early-key.pem"], "the client's certificate is not yet valid"),
    (
        "strict",
        ["-cert", "foreign.pem", "-key", "foreign-key.pem"],
        "the client's certificate is signed by an unknown CA",
    ),
    (
        "strict",
        ["-cert", "misused.pem", "-key", "misused-key.pem"],
        "the client's certificate is not for clients (no clientAuth in its Extended Key Usage)",
    ),
]


@pytest.mark.parametrize(("listener", "flags", "says"), OPENSSL, ids=shown)
def test_openssl_does_not_come_in_and_the_log_says_why(
    porter: Porter, listener: str, flags: list[str], says: str
) -> None:
    folder = porter.authority.directory
    given, flags = flags, [str(folder / flag) if flag.endswith(".pem") else flag for flag in flags]
    where = f"127.0.0.1:{porter.ports[listener]}"
    # Each from an address of its own: of those that come often, not each has its line.
    address = f"127.0.1.{1 + OPENSSL.index((listener, given, says))}"
    run(find("openssl"), "s_client", "-bind", address, "-connect", where, *flags)
    assert f"TLS: {says}" in porter.serving.log(f"refused address={address}:")


@pytest.mark.parametrize(
    ("listener", "flags", "agreed"),
    [
        ("usual", ["-tls1_2"], "Protocol  : TLSv1.2"),
        ("usual", ["-tls1_3"], "New, TLSv1.3, Cipher is TLS_"),
        ("newest", [], "New, TLSv1.3, Cipher is TLS_"),
        ("picky", ["-tls1_2"], "Cipher    : ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("strict", ["-cert", "good.pem", "-key", "good-key.pem"], "New, TLSv1.3, Cipher is TLS_"),
        ("websocket", [], "New, TLSv1.3, Cipher is TLS_"),
    ],
    ids=shown,
)
def test_openssl_comes_in(porter: Porter, listener: str, flags: list[str], agreed: str) -> None:
    folder = porter.authority.directory
    flags = [str(folder / flag) if flag.endswith(".pem") else flag for flag in flags]
    where = f"127.0.0.1:{porter.ports[listener]}"
    done = run(find("openssl"), "s_client", "-connect", where, "-CAfile", str(porter.authority.path), *flags)
    assert agreed in done.stdout
    assert "Verify return code: 0 (ok)" in done.stdout


def test_what_is_no_tls_is_named(porter: Porter) -> None:
    port = str(porter.ports["usual"])
    assert run(find("mosquitto_pub"), "-p", port, "-t", "x", "-m", "x").returncode != 0
    porter.serving.log("it speaks MQTT without TLS on a port for TLS")


# Pre-shared keys


def test_keys_that_both_have_work_where_python_can_and_are_refused_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("alice:c0ffee\n")
    port = port_to_keep()
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(
        f"log_dest stdout\nlog_type all\nallow_anonymous false\nacl_file {tmp_path}/acl\npsk_file {tmp_path}/keys\n"
        f"listener {port} 127.0.0.1\npsk_hint house\nuse_identity_as_username true\n"
    )
    (tmp_path / "acl").write_text(ACL)
    if not hasattr(ssl.SSLContext, "set_psk_server_callback"):
        done = run(*serve_command("-c", str(conf)))
        assert done.returncode == 3
        assert "cannot do pre-shared keys, that of 3.13 can" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        return
    with running(*serve_command("-c", str(conf))) as process:
        lines_until(process, "stop  ")
        place = ["-p", str(port), "--psk-identity", "alice", "--psk"]
        with running(find("mosquitto_sub"), *place, "c0ffee", "-t", "mine/alice/#", "-v", "-C", "1") as sub:
            lines_until(process, "New client connected")
            lines_until(process, "mine/alice/#")
            done = run(find("mosquitto_pub"), *place, "c0ffee", "-t", "mine/alice/x", "-m", "it is me", "-q", "1")
            assert (done.returncode, done.stderr) == (0, "")
            assert lines_until(sub, "mine") == "mine/alice/x it is me\n"
        for identity, key, says in (("alice", "c0ffef", "key"), ("bob", "c0ffee", "identity")):
            wrong = ["-p", str(port), "--psk-identity", identity, "--psk", key, "-t", "x", "-m", "x"]
            assert run(find("mosquitto_pub"), *wrong).returncode != 0
            lines_until(process, f"TLS: .*pre-shared key.*{says}" if says == "identity" else "TLS: .*pre-shared key")
