"""``telex tls``: what it makes runs a real Mosquitto, passes openssl, and is never written over."""

import asyncio
import os
import re
import shlex
import ssl
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization import load_pem_private_key as load_key

import telex
from telex.cli import doctor, tls
from telex.server.config import Config
from tests.certificates import Authority
from tests.processes import SECONDS, find, free_port, run, running, telex_command, wait_for_port

Tls = Callable[..., tuple[int, str, str]]


@pytest.fixture
def telex_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tls:
    """``telex tls`` in a directory of the test's own: exit code, standard output, standard error."""
    monkeypatch.setenv("PYTHONPATH", str(Path(telex.__file__).parents[1]))  # for those who run it from there
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = tls.run(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def certificate(path: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def lines_below(out: str, heading: str) -> list[str]:
    """The lines that are printed below a heading, without their indentation."""
    return [line[2:] for line in out.split(f"{heading}\n", 1)[1].split("\n\n", 1)[0].splitlines()]


@contextmanager
def mosquitto_as_told(out: str, *more: str) -> Iterator[int]:
    """Mosquitto with the lines that were printed for it, on a free port."""
    port = free_port()
    conf = [line.replace("listener 8883", f"listener {port}") for line in lines_below(out, IN_MOSQUITTO)]
    # Else it becomes the user mosquitto when root starts it, who may not enter the directory of a test.
    user = ["user root"] if os.geteuid() == 0 else []
    Path("mosquitto.conf").write_text("\n".join([*user, *conf, *more, ""]))
    with running(find("mosquitto"), "-c", "mosquitto.conf"):
        wait_for_port(port)
        yield port


IN_TELEX = "The broker, in telex.toml:"
IN_MOSQUITTO = "The broker, in mosquitto.conf:"


def test_a_first_run_makes_a_ca_a_server_and_clients(telex_tls: Tls) -> None:
    code, out, err = telex_tls("init", "Broker.lan", "192.168.1.7", "--client", "alice", "--client", "bob")
    ends = (datetime.now(UTC) + timedelta(days=824)).date()
    ca_ends = (datetime.now(UTC) + timedelta(days=3650)).date()
    assert (code, err) == (0, "")
    assert out.splitlines()[:6] == [
        f"tls/ca.crt: a new CA, until {ca_ends}",
        "tls/ca.key: keep it secret; who has it can pretend to be any server or client",
        f"tls/server-broker.lan.crt: for broker.lan, 192.168.1.7, localhost, 127.0.0.1, ::1; until {ends}",
        f"tls/client-alice.crt: for the client alice; until {ends}",
        f"tls/client-bob.crt: for the client bob; until {ends}",
        "",
    ]
    assert sorted(path.name for path in Path("tls").iterdir()) == [
        f"{name}.{kind}"
        for name in ("ca", "client-alice", "client-bob", "server-broker.lan")
        for kind in ("crt", "key")
    ]


def test_keys_are_for_their_owner_only(telex_tls: Tls) -> None:
    telex_tls("init", "broker.lan", "--client", "alice")
    for path in Path("tls").glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_openssl_takes_the_chain_the_names_and_the_purposes(telex_tls: Tls) -> None:
    telex_tls("init", "broker.lan", "192.168.1.7", "*.home.lan", "--client", "alice")
    verify = [find("openssl"), "verify", "-x509_strict", "-CAfile", "tls/ca.crt"]
    server, client = "tls/server-broker.lan.crt", "tls/client-alice.crt"
    for arguments in (
        ["-purpose", "sslserver", "-verify_hostname", "broker.lan", server],
        ["-purpose", "sslserver", "-verify_hostname", "kitchen.home.lan", server],
        ["-purpose", "sslserver", "-verify_ip", "192.168.1.7", server],
        ["-purpose", "sslserver", "-verify_ip", "::1", server],
        ["-purpose", "sslclient", client],
    ):
        done = run(*verify, *arguments)
        assert done.stdout == f"{arguments[-1]}: OK\n", done.stderr
    for arguments in (
        ["-purpose", "sslserver", client],
        ["-purpose", "sslclient", server],
        ["-verify_hostname", "other.lan", server],
    ):
        assert run(*verify, *arguments).returncode != 0


def test_no_certificate_is_valid_for_more_than_825_days_or_longer_than_its_ca(telex_tls: Tls) -> None:
    telex_tls("init", "broker.lan")
    made = certificate("tls/server-broker.lan.crt")
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=825)
    assert telex_tls("init", "broker.lan", "--days", "825")[2] == (
        "telex: argument --days: '825' is not a number from 1 to 824; see telex tls init --help\n"
    )
    authority = Authority(Path(), "old", days=(-1, 20))
    Path("old").mkdir()
    Path("old/ca.crt").write_bytes(authority.path.read_bytes())
    Path("old/ca.key").write_bytes(authority.key.read_bytes())
    assert telex_tls("init", "broker.lan", "--dir", "old")[0] == 0
    made = certificate("old/server-broker.lan.crt")
    assert made.not_valid_after_utc == certificate(str(authority.path)).not_valid_after_utc


def test_a_second_run_issues_more_with_the_same_ca_and_replaces_no_key(telex_tls: Tls) -> None:
    telex_tls("init", "broker.lan", "old.lan")
    before = {path.name: path.read_bytes() for path in Path("tls").iterdir()}
    code, out, _ = telex_tls("init", "broker.lan", "new.lan", "--client", "alice")
    assert code == 0
    assert out.startswith("tls/ca.crt: the CA that was there, until ")
    assert "\ntls/server-broker.lan.crt: no longer for old.lan\n" in out
    after = {path.name: path.read_bytes() for path in Path("tls").iterdir()}
    assert sorted(set(after) - set(before)) == ["client-alice.crt", "client-alice.key"]
    assert [name for name in before if after[name] != before[name]] == ["server-broker.lan.crt"]
    # A second server has files of its own, and a client alone leaves the servers as they are.
    telex_tls("init", "second.lan")
    code, out, _ = telex_tls("init", "--client", "bob")
    assert code == 0
    assert "[[listeners]]" not in out
    assert Path("tls/server-broker.lan.crt").read_bytes() == after["server-broker.lan.crt"]
    assert {"server-second.lan.crt", "client-bob.key"} <= {path.name for path in Path("tls").iterdir()}


def test_what_another_ca_has_issued_is_not_replaced(telex_tls: Tls) -> None:
    telex_tls("init", "broker.lan")
    foreign = Authority(Path(), "Foreign").server("server-own.lan")
    for source, name in ((foreign.certificate, "server-own.lan.crt"), (foreign.key, "server-own.lan.key")):
        Path("tls", name).write_bytes(source.read_bytes())
    assert telex_tls("init", "own.lan")[::2] == (
        1,
        "telex: tls/server-own.lan.crt is there, and not of tls/ca.crt: move it away first\n",
    )
    assert Path("tls/server-own.lan.crt").read_bytes() == foreign.certificate.read_bytes()


def test_half_of_a_pair_is_not_made_up_for(telex_tls: Tls) -> None:
    telex_tls("init", "broker.lan")
    Path("tls/server-broker.lan.key").rename("kept")
    assert telex_tls("init", "broker.lan")[2] == (
        "telex: tls/server-broker.lan.crt is there without tls/server-broker.lan.key: "
        "bring it back, or move both away\n"
    )
    Path("tls/ca.key").unlink()
    assert telex_tls("init", "broker.lan")[2] == (
        "telex: tls/ca.key is missing, and the other file of its CA is there: bring it back\n"
    )
    Path("kept").rename("tls/ca.key")
    assert telex_tls("init", "broker.lan")[2] == (
        "telex: tls/ca.key is not the key of tls/ca.crt: bring the right one back\n"
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Authority(Path(), "CA", days=(-20, -10)),
            "tls/ca.crt expired on {}: make a new CA elsewhere, with --dir",
        ),
        (
            lambda: Authority(Path(), "Root").intermediate("Between"),
            "tls/ca.crt is not the certificate of a CA: choose another place with --dir",
        ),
    ],
)
def test_a_ca_that_cannot_sign_is_refused(telex_tls: Tls, make: Callable[[], Authority], said: str) -> None:
    authority = make()
    Path("tls").mkdir()
    Path("tls/ca.crt").write_bytes(authority.path.read_bytes())
    Path("tls/ca.key").write_bytes(authority.key.read_bytes())
    ended = certificate(str(authority.path)).not_valid_after_utc.date()
    assert telex_tls("init", "broker.lan")[2] == f"telex: {said.format(ended)}\n"


def test_a_ca_whose_key_has_a_password_is_refused(telex_tls: Tls) -> None:
    telex_tls("init", "broker.lan")
    key = load_key(Path("tls/ca.key").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hidden"))
    Path("tls/ca.key").write_bytes(locked)
    assert telex_tls("init", "broker.lan")[2] == (
        "telex: tls/ca.key: the key has a password; telex tls init wants one without\n"
    )
    code, out, _ = telex_tls("show", "tls/ca.key")
    assert (code, out) == (0, "tls/ca.key\n  key          with a password: nobody can see what it belongs to\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the server as its clients do, e.g.: telex tls init broker.example.org 192.168.1.7"),
        (["mqtt://broker"], "argument NAME: 'mqtt://broker' is neither a DNS name nor an IP address, without port"),
        (["broker:8883"], "argument NAME: 'broker:8883' is neither a DNS name nor an IP address, without port"),
        (["192.168.1.300"], "argument NAME: '192.168.1.300' is neither a DNS name nor an IP address, without port"),
        (["fe80::1%eth0"], "argument NAME: 'fe80::1%eth0' is neither a DNS name nor an IP address, without port"),
        (["a..b"], "argument NAME: 'a..b' is neither a DNS name nor an IP address, without port"),
        (["büro.lan"], "argument NAME: 'büro.lan': write it as DNS does, with xn--"),
        (
            ["--client", "a/b"],
            "argument --client: 'a/b': at most 64 letters, digits and any of . @ _ - are a client's name",
        ),
        (["--client", "../x#"], "argument --client: '../x#': at most 64 letters"),
    ],
)
def test_a_name_that_cannot_be_is_one_line(telex_tls: Tls, arguments: list[str], said: str) -> None:
    code, out, err = telex_tls("init", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"telex: {said}")
    assert err.count("\n") == 1
    assert not Path("tls").exists()


def test_with_only_no_names_of_this_machine_are_added(telex_tls: Tls) -> None:
    telex_tls("init", "--only", "2001:DB8::7")
    assert tls.names_of(certificate("tls/server-2001-db8--7.crt")) == ["2001:db8::7"]


def test_a_directory_that_cannot_be_written_is_one_line(telex_tls: Tls) -> None:
    Path("taken").write_text("")
    assert telex_tls("init", "broker.lan", "--dir", "taken/tls")[::2] == (1, "telex: taken/tls: Not a directory\n")


def test_a_very_long_name_is_no_common_name(telex_tls: Tls) -> None:
    name = f"{'a' * 60}.{'b' * 60}.lan"
    assert telex_tls("init", name)[0] == 0
    made = certificate(f"tls/server-{name}.crt")
    assert made.subject.rfc4514_string() == "CN=MQTT broker"
    assert tls.names_of(made)[0] == name


def test_the_lines_for_telex_are_a_description_of_a_broker(telex_tls: Tls) -> None:
    _, out, _ = telex_tls("init", "broker.lan", "--client", "alice", "--dir", 'a "b" \\ä')
    config = msgspec.convert(tomllib.loads("\n".join(lines_below(out, IN_TELEX))), Config)
    (listener,) = config.listeners
    assert listener.port == 8883
    assert listener.tls is not None
    assert Path(listener.tls.certificate).read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert Path(listener.tls.key).read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert listener.tls.client_ca == str(Path('a "b" \\ä/ca.crt').absolute())
    assert (listener.tls.client_certificates, listener.tls.user_from) == ("required", "cn")


def test_mosquitto_runs_with_its_lines_and_its_clients_verify_the_name(telex_tls: Tls) -> None:
    _, out, _ = telex_tls("init", "broker.lan")
    publish = [find("mosquitto_pub"), "--cafile", "tls/ca.crt", "-t", "a", "-m", "x", "-q", "1"]
    with mosquitto_as_told(out, "allow_anonymous true") as port:
        for host in ("localhost", "127.0.0.1"):
            done = run(*publish, "-h", host, "-p", str(port))
            assert (done.returncode, done.stderr) == (0, "")
        telex_tls("init", "only.lan", "--only", "--dir", "other")
    out = out.replace(str(Path("tls").absolute() / "server-broker.lan"), str(Path("other/server-only.lan").absolute()))
    publish[2] = "other/ca.crt"
    with mosquitto_as_told(out, "allow_anonymous true") as port:
        assert run(*publish, "-h", "localhost", "-p", str(port)).returncode != 0
        assert run(*publish, "-h", "localhost", "-p", str(port), "--insecure").returncode == 0


def test_clients_come_in_with_the_commands_that_are_printed(telex_tls: Tls, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = telex_tls("init", "localhost", "--client", "alice", "--dir", "my keys")
    Path("acl").write_text("user alice\ntopic readwrite #\n")
    with mosquitto_as_told(out, f"acl_file {Path('acl').absolute()}") as port:
        examine, ours, subscribe, client, paho = lines_below(out, "The client alice, which needs these files:")
        words = shlex.split(examine.replace("8883", str(port)))
        assert words[:3] == ["telex", "doctor", "localhost"]
        assert doctor.run([*words[2:], "--roundtrip"]) == 0
        assert capsys.readouterr().out.endswith(f"finding      all is well: localhost, port {port} speaks MQTT 5.0\n")
        words = shlex.split(subscribe.replace("8883", str(port)))
        publish = [find("mosquitto_pub"), *words[1 : words.index("-t")], "-t", "kept", "-m", "hello", "-r", "-q", "1"]
        assert run(*publish).returncode == 0
        assert run(find(words[0]), *words[1:], "-C", "1").stdout == "kept hello\n"
        words = shlex.split(ours)
        assert words[0] == "telex"
        done = run(*telex_command(*words[1:], "-p", str(port), "-C", "1"))
        assert (done.stdout, done.stderr) == ("kept hello\n", "")
        assert client.startswith('telex: telex.Client("mqtts://localhost", tls=')
        assert telex_publishes(client.replace("//localhost", f"//localhost:{port}"))
        assert paho_publishes(paho.replace("8883", str(port)))


def test_the_lines_for_clients_name_a_server_by_its_address(telex_tls: Tls) -> None:
    _, out, _ = telex_tls("init", "--only", "2001:db8::7")
    line = lines_below(out, "A client, which needs that file of the CA:")[3]
    client = eval(line.removeprefix("telex: "), {"telex": telex})
    assert isinstance(client, telex.Client)
    assert line.startswith('telex: telex.Client("mqtts://[2001:db8::7]", tls=telex.ClientTls(ca_file=')


def telex_publishes(line: str) -> bool:
    """Whether our client can publish, made as it was printed."""

    async def publish() -> bool:
        async with asyncio.timeout(SECONDS), eval(line.removeprefix("telex: "), {"telex": telex}) as client:
            return await client.publish("a", "x", qos=1) < 0x80

    return asyncio.run(publish())


def paho_publishes(line: str) -> bool:
    """Whether paho can publish after it has run the line that was printed."""
    client_module = pytest.importorskip("paho.mqtt.client")
    client = client_module.Client(client_module.CallbackAPIVersion.VERSION2)
    exec(line.removeprefix("paho: "), {"client": client})
    client.loop_start()
    try:
        message = client.publish("a", "x", qos=1)
        message.wait_for_publish(10)
        return bool(message.is_published())
    finally:
        client.disconnect()
        client.loop_stop()


def test_show_says_what_belongs_together(telex_tls: Tls) -> None:
    telex_tls("init", "broker.lan", "--only", "--client", "alice")
    code, out, err = telex_tls("show", "tls/ca.crt", "tls/server-broker.lan.crt", "tls/server-broker.lan.key")
    assert (code, err) == (0, "")
    begun = (datetime.now(UTC) - timedelta(days=1)).date()
    ends = (datetime.now(UTC) + timedelta(days=824)).date()
    ca = re.search(r"CN=Telex CA [0-9a-f]{8}", out)
    assert ca is not None
    assert out.split("tls/server-broker.lan.crt\n", 1)[1] == (
        "  certificate  CN=broker.lan\n"
        "  for          broker.lan\n"
        f"  valid        {begun} until {ends}; it has 823 days left\n"
        f"  issued by    {ca[0]} (tls/ca.crt)\n"
        "  key          tls/server-broker.lan.key\n"
        "tls/server-broker.lan.key\n"
        "  key          EC secp256r1; of tls/server-broker.lan.crt\n"
    ).replace("823", re.findall(r"has (\d+) days", out)[-1])
    assert f"  certificate  {ca[0]}, a CA\n" in out
    assert "  issued by    itself\n" in out


def test_show_says_what_is_wrong(telex_tls: Tls) -> None:
    telex_tls("init", "broker.lan", "--client", "alice")
    code, out, err = telex_tls("show", "tls/server-broker.lan.crt", "tls/client-alice.key")
    assert code == 1
    assert "  key          EC secp256r1; of none of the certificates here\n" in out
    assert err == "telex: tls/client-alice.key: the key belongs to none of the certificates here\n"
    authority = Authority(Path())
    old = authority.client("old", days=(-20, -10))
    ended = certificate(str(old.certificate)).not_valid_after_utc.date()
    code, out, err = telex_tls("show", str(old.certificate))
    assert (code, err) == (1, f"telex: old.pem: the certificate of CN=old expired on {ended}\n")
    new = authority.client("new", days=(10, 20))
    begins = certificate(str(new.certificate)).not_valid_before_utc.date()
    assert telex_tls("show", str(new.certificate))[2] == (
        f"telex: new.pem: the certificate of CN=new is not valid before {begins}\n"
    )
    server = authority.server(days=(-20, -10))
    code, _, err = telex_tls("show", str(server.certificate), str(server.key))
    assert code == 1
    assert err.startswith("telex: server.pem: the certificate of 'localhost' expired at ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "x.pem: there is neither a certificate nor a key in it (PEM)"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x.pem: its certificate is damaged"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "x.pem: its private key is damaged"),
    ],
)
def test_a_file_that_is_none_of_it_is_one_line(telex_tls: Tls, content: bytes, said: str) -> None:
    Path("x.pem").write_bytes(content)
    code, _, err = telex_tls("show", "x.pem")
    assert code == 1
    assert err.startswith(f"telex: {said}")
    assert err.count("\n") == 1
    assert telex_tls("show", "no.pem")[2] == "telex: no.pem: No such file or directory\n"


def test_pythons_strictest_check_takes_the_certificates(telex_tls: Tls) -> None:
    telex_tls("init", "broker.lan")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain("tls/server-broker.lan.crt", "tls/server-broker.lan.key")
    client = ssl.create_default_context(cafile="tls/ca.crt")
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # Python's own choice since 3.13
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="broker.lan"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for turn in range(4):
        try:
            ends[turn % 2].do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert ends[0].version() == "TLSv1.3"
    assert ends[0].getpeercert() is not None
