"""``telex doctor``: each wrong set-up gets its own sentence, against Mosquitto, OpenSSL, Telex and scripted sockets."""

import base64
import hashlib
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from telex import codes
from telex.cli import doctor
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Disconnect
from telex.wire.properties import Properties
from tests.certificates import Authority, Issued
from tests.processes import Server, find, free_port, run, running, wait_for_port

SHORT = "0.3"
"""Seconds to wait for peers that never answer."""


class Report(NamedTuple):
    """What was printed."""

    code: int
    steps: dict[str, str]
    finding: str


Examine = Callable[..., Report]


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str]) -> Examine:
    """``telex doctor``, by its flags."""

    def call(*arguments: str | int, **more: Any) -> Report:
        capsys.readouterr()
        code = doctor.run([str(each) for each in arguments], **more)
        out, err = capsys.readouterr()
        assert err == ""
        steps = {line[:12].rstrip(): line[13:] for line in out.splitlines()}
        assert list(steps)[-1] == "finding", out
        return Report(code, steps, steps["finding"])

    return call


@contextmanager
def peer(*scripts: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that follows a script with each connection, the last one again and again; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()
        kept: list[socket.socket] = []

        def serve() -> None:
            turn = 0
            while True:
                connection, _ = server.accept()
                if stop.is_set():
                    connection.close()
                    return
                kept.append(connection)
                with suppress(OSError):
                    scripts[min(turn, len(scripts) - 1)](connection)
                turn += 1

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            socket.create_connection(server.getsockname()).close()
            thread.join()
            for connection in kept:
                connection.close()


def silent(connection: socket.socket) -> None:
    """Take the connection, and do nothing."""


def closes(connection: socket.socket) -> None:
    """Read what comes and close, in good order."""
    connection.recv(65_536)
    connection.shutdown(socket.SHUT_RDWR)


def looks(connection: socket.socket) -> None:
    """The connection that only looks whether the port is open."""
    connection.recv(1)


def says(data: bytes, then: Callable[[socket.socket], None] = silent) -> Callable[[socket.socket], None]:
    """Answer whatever comes first with these bytes."""

    def script(connection: socket.socket) -> None:
        if connection.recv(65_536):
            connection.sendall(data)
            then(connection)

    return script


def answers_connect(*answers: bytes) -> Callable[[socket.socket], None]:
    """A broker that says so, packet by packet, and closes those who speak anything else."""

    def script(connection: socket.socket) -> None:
        for answer in answers:
            data = connection.recv(65_536)
            if not data or (answer is answers[0] and data[:1] != b"\x10"):
                break
            connection.sendall(answer)
        else:
            return
        connection.shutdown(socket.SHUT_RDWR)

    return script


def refuses(code: int, reason_string: str | None = None) -> Callable[[socket.socket], None]:
    properties = None if reason_string is None else Properties(reason_string=reason_string)
    return answers_connect(encode(ConnAck(code, properties=properties), codes.MQTT_5))


def resolves_to(*addresses: str) -> Callable[..., list[Any]]:
    """In place of ``getaddrinfo``."""

    def resolve(host: str, port: int, type: int) -> list[Any]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(family, type, 6, "", (address, port)) for family, address in zip(families, addresses, strict=True)]

    return resolve


@contextmanager
def mosquitto(*lines: str) -> Iterator[int]:
    """Debian's Mosquitto with a listener on a free port, and these lines about it."""
    port = free_port()
    user = ["user root"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / "mosquitto.conf"
        conf.write_text("\n".join([*user, "log_type error", f"listener {port} 127.0.0.1", *lines, ""]))
        with running(find("mosquitto"), "-c", str(conf)):
            wait_for_port(port)
            yield port


@contextmanager
def openssl(issued: Issued, *arguments: str) -> Iterator[int]:
    """``openssl s_server`` with a certificate, on a free port."""
    port = free_port()
    files = ["-cert", str(issued.certificate), "-key", str(issued.key), "-cert_chain", str(issued.certificate)]
    command = [find("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-quiet", *files, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            wait_for_port(port)
            yield port
        finally:
            server.kill()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def broker_with_tls(authority: Authority) -> Iterator[int]:
    """Mosquitto with TLS, for everybody."""
    server = authority.server("everyday")
    with mosquitto("allow_anonymous true", f"certfile {server.certificate}", f"keyfile {server.key}") as port:
        yield port


@pytest.fixture(scope="module")
def broker_with_passwords(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Mosquitto with one user, alice."""
    folder = tmp_path_factory.mktemp("passwords")
    users = folder / "users"
    assert run(find("mosquitto_passwd"), "-b", "-c", str(users), "alice", "correct").returncode == 0
    rules = folder / "rules"
    rules.write_text("user alice\ntopic readwrite telex/#\n")
    with mosquitto(f"password_file {users}", "allow_anonymous false") as port:
        yield port


# All is well


def test_a_broker_that_works_is_all_well(examine: Examine, debian_mosquitto: Server, broker: Server) -> None:
    for port in (debian_mosquitto.port, broker.port):
        report = examine("127.0.0.1", "-p", port, "--roundtrip")
        assert report == (
            0,
            {
                "name": "127.0.0.1: 127.0.0.1",
                "port": f"{port} at 127.0.0.1: open",
                "MQTT": report.steps["MQTT"],
                "round trip": report.steps["round trip"],
                "finding": f"all is well: 127.0.0.1, port {port} speaks MQTT 5.0",
            },
            f"all is well: 127.0.0.1, port {port} speaks MQTT 5.0",
        )
        assert re.fullmatch(r"5\.0 accepted, client id doctor[0-9a-f]{16}", report.steps["MQTT"])
        assert re.fullmatch(r"a message on telex/doctor/[0-9a-f]{32} came back", report.steps["round trip"])


def test_a_broker_with_tls_that_works_is_all_well(examine: Examine, broker_with_tls: int, authority: Authority) -> None:
    report = examine("localhost", "-p", broker_with_tls, "--cafile", authority.path, "--roundtrip")
    assert report.finding == f"all is well: localhost, port {broker_with_tls} speaks MQTT 5.0"
    assert report.code == 0
    assert re.fullmatch(
        r"TLSv1\.3, TLS_\w+; certificate for localhost, 127\.0\.0\.1, ::1, of CN=Test CA, valid for 36[45] days",
        report.steps["TLS"],
    )


def test_it_is_a_command_line(broker: Server) -> None:
    command = "import sys; from telex.cli.doctor import run; sys.exit(run(sys.argv[1:]))"
    done = run(sys.executable, "-c", command, "127.0.0.1", "-p", str(broker.port))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"\nfinding      all is well: 127.0.0.1, port {broker.port} speaks MQTT 5.0\n")


# Name and port


def test_an_unknown_host(examine: Examine) -> None:
    def fails(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    report = examine("broker.invalid", resolve=fails)
    assert report.code == 1
    assert report.steps["name"] == "broker.invalid: unknown"
    assert report.finding == (
        "the host name 'broker.invalid' does not resolve: check how it is written, or use the IP address"
    )
    assert examine("x" * 70).finding.startswith("the host name 'xxx")


def test_a_closed_port(examine: Examine) -> None:
    port = free_port()
    report = examine("localhost", "-p", port, resolve=resolves_to("::1", "127.0.0.1"))
    assert report.code == 1
    assert report.steps["port"].startswith(f"{port} at ::1: ")
    assert report.steps["port"].endswith(", 127.0.0.1: closed")
    assert report.finding == (
        f"nothing listens at localhost, port {port}: is the broker started, is the port right, "
        "and does it listen on this address (not only on 127.0.0.1)?"
    )


def test_a_name_of_which_only_the_second_address_is_open(examine: Examine, broker: Server) -> None:
    report = examine("localhost", "-p", broker.port, resolve=resolves_to("127.0.0.2", "127.0.0.1"))
    assert report.code == 0
    assert report.steps["name"] == "localhost: 127.0.0.2, 127.0.0.1"
    assert report.steps["port"] == f"{broker.port} at 127.0.0.2: closed, 127.0.0.1: open"


def test_a_port_behind_a_firewall(examine: Examine) -> None:
    # A listener whose queue is full drops what comes, as a firewall does.
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        report = examine("127.0.0.1", "-p", port, "--timeout", SHORT)
        assert report.steps["port"] == f"{port} at 127.0.0.1: no answer"
        assert report.finding == (
            f"no answer from 127.0.0.1, port {port}, within 0.3 s: "
            "a firewall drops what is sent there, or the machine is off"
        )


def test_no_way_there(examine: Examine) -> None:
    report = examine("broker.lan", resolve=resolves_to("255.255.255.255"))
    assert report.code == 1
    assert re.fullmatch(r"there is no way to broker\.lan, port 1883, [a-z ]+: check the network", report.finding)


# Something else speaks there


def test_a_port_that_never_answers(examine: Examine) -> None:
    with peer(silent) as port:
        for flags in ([], ["--tls"], ["--ws"]):
            assert examine("127.0.0.1", "-p", port, "--timeout", SHORT, *flags).finding == (
                f"127.0.0.1, port {port} takes connections and answers nothing within 0.3 s: "
                "what listens there is no MQTT broker, or it hangs"
            )


def test_a_port_that_closes_without_a_word(examine: Examine) -> None:
    with peer(closes) as port:
        report = examine("127.0.0.1", "-p", port)
        assert report.steps["MQTT"] == "neither 5.0 nor 3.1.1 is answered"
        assert report.finding == (
            f"127.0.0.1, port {port} closes the connection without a word: its log says why; often it is a ban, "
            "a limit of connections, or a listener that waits for the PROXY protocol"
        )


def test_tls_on_the_port(examine: Examine, broker_with_tls: int, authority: Authority) -> None:
    with openssl(authority.server("other")) as other:
        for port in (broker_with_tls, other):
            for flags in ([], ["--ws"]):
                report = examine("localhost", "-p", port, *flags)
                assert (report.code, report.finding) == (1, f"localhost, port {port} speaks TLS: add --tls")


def test_no_tls_on_the_port(examine: Examine, debian_mosquitto: Server, broker: Server) -> None:
    for server in (debian_mosquitto, broker):
        report = examine("127.0.0.1", "-p", server.port, "--tls")
        assert report.code == 1
        assert report.steps["TLS"] == "no TLS: no answer"
        assert report.finding == (
            f"127.0.0.1, port {server.port} speaks MQTT without TLS: "
            "leave out --tls, or use its port for TLS (often 8883)"
        )


def test_a_web_server(examine: Examine) -> None:
    def serve(connection: socket.socket) -> None:
        if re.match(rb"[A-Z]+ /", connection.recv(65_536)):
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_RDWR)

    with peer(serve) as port:
        report = examine("127.0.0.1", "-p", port)
        assert report.steps["MQTT"] == "no MQTT, but HTTP"
        assert report.finding == (
            f"127.0.0.1, port {port} is a web server: for MQTT over WebSocket there, add --ws; else check the port"
        )
        assert examine("127.0.0.1", "-p", port, "--tls").finding == (
            f"127.0.0.1, port {port} is a web server without TLS: for MQTT over WebSocket there, use --ws without TLS"
        )
    with peer(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert examine("127.0.0.1", "-p", port).finding.startswith(f"127.0.0.1, port {port} is a web server: ")
        report = examine("127.0.0.1", "-p", port, "--tls")
        assert report.steps["TLS"] == "no TLS: 'HTTP/1.1 400 Bad Request'"


def test_a_web_server_behind_tls(examine: Examine, authority: Authority) -> None:
    with openssl(authority.server("web"), "-www") as port:
        flags = ["localhost", "-p", port, "--cafile", authority.path, "--timeout", "1"]
        assert examine(*flags).finding == (
            f"localhost, port {port} is a web server: for MQTT over WebSocket there, add --ws; else check the port"
        )
        assert examine(*flags, "--ws").finding.startswith(
            f"a web server at localhost, port {port}, without a WebSocket"
        )


def test_another_protocol(examine: Examine) -> None:
    def banner(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\x1b[31m Debian\r\n")

    with peer(banner) as port:
        assert examine("127.0.0.1", "-p", port).finding == (
            f"127.0.0.1, port {port} speaks something else ('SSH-2.0-OpenSSH_9.2p1\\x1b[31m Debian'): check the port"
        )


# TLS


@pytest.mark.parametrize("days", [(-20, -10), (10, 20)])
def test_a_certificate_out_of_its_time(examine: Examine, authority: Authority, days: tuple[int, int]) -> None:
    server = authority.server("expired" if days[0] < 0 else "future", days=days)
    loaded = ssl._ssl._test_decode_cert(str(server.certificate))  # type: ignore[attr-defined]
    begins, ends = (
        datetime.fromtimestamp(ssl.cert_time_to_seconds(loaded[each]), UTC).date() for each in ("notBefore", "notAfter")
    )
    with openssl(server) as port:
        report = examine("localhost", "-p", port, "--cafile", authority.path)
        assert report.code == 1
        if days[0] < 0:
            assert report.steps["TLS"] == "the certificate does not pass: certificate has expired"
            assert report.finding == f"the certificate of localhost, port {port} expired on {ends}: renew it"
        else:
            assert report.steps["TLS"] == "the certificate does not pass: certificate is not yet valid"
            assert re.fullmatch(
                f"the certificate of localhost, port {port} is not valid before {begins}: "
                r"is the clock right\? Here it is \d{4}-\d\d-\d\d \d\d:\d\d UTC",
                report.finding,
            )


def test_a_ca_that_has_expired(examine: Examine, tmp_path: Path) -> None:
    old = Authority(tmp_path, "Old CA", days=(-20, -10))
    with openssl(old.server()) as port:
        assert examine("localhost", "-p", port, "--cafile", old.path).finding == (
            f"the certificate of localhost, port {port} was issued by a CA whose own certificate has expired: renew it"
        )


def test_a_certificate_for_other_names(examine: Examine, authority: Authority) -> None:
    with openssl(authority.server("elsewhere", hosts=("broker.lan", "192.0.2.7"))) as port:
        for host in ("localhost", "127.0.0.1"):
            report = examine(host, "-p", port, "--cafile", authority.path)
            assert report.finding == (
                f"the certificate of {host}, port {port} is not for {host}, but for broker.lan, 192.0.2.7: "
                f"connect by one of these, or issue another one (telex tls init {host} ...)"
            )


def test_a_certificate_of_an_unknown_ca(examine: Examine, broker_with_tls: int, tmp_path: Path) -> None:
    whose = f"the certificate of localhost, port {broker_with_tls} is issued by CN=Test CA"
    other = Authority(tmp_path, "Other CA")
    assert examine("localhost", "-p", broker_with_tls, "--cafile", other.path).finding == (
        f"{whose}, which is not in {other.path}: give the file of that CA, "
        "or let the server send the certificates between"
    )
    assert examine("localhost", "-p", broker_with_tls, "--tls").finding == (
        f"{whose}, which this system does not trust: give its --cafile FILE"
    )


def test_a_self_signed_certificate(examine: Examine, tmp_path: Path, authority: Authority) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "self.pem"
    made = run(
        *(find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *(
            "-keyout",
            str(key),
            "-out",
            str(certificate),
            "-subj",
            "/CN=self",
            "-addext",
            "subjectAltName=DNS:localhost",
        ),
    )
    assert made.returncode == 0, made.stderr
    server = Issued(certificate, key, authority.server("unused").content)
    with openssl(server) as port:
        assert examine("localhost", "-p", port, "--tls").finding == (
            f"the certificate of localhost, port {port} is self-signed: "
            "give its file with --cafile, or issue one of a CA (telex tls init)"
        )
        assert examine("localhost", "-p", port, "--cafile", authority.path).finding == (
            f"the certificate of localhost, port {port} is self-signed, and not the one in {authority.path}: "
            "give its file with --cafile"
        )


def test_a_chain_that_is_not_whole(examine: Examine, tmp_path: Path) -> None:
    root = Authority(tmp_path, "Root CA")
    issued = root.intermediate("Between").server()
    whole = issued.certificate.read_bytes()
    with mosquitto("allow_anonymous true", f"certfile {issued.certificate}", f"keyfile {issued.key}") as port:
        assert examine("localhost", "-p", port, "--cafile", root.path).code == 0
    issued.certificate.write_bytes(whole[: whole.index(b"-----END CERTIFICATE-----")] + b"-----END CERTIFICATE-----\n")
    with openssl(issued) as port:
        assert examine("localhost", "-p", port, "--cafile", root.path).finding == (
            f"the certificate of localhost, port {port} is issued by CN=Between, which is not in {root.path}: "
            "give the file of that CA, or let the server send the certificates between"
        )


def test_a_certificate_of_a_client_on_a_server(examine: Examine, authority: Authority) -> None:
    with openssl(authority.client("localhost")) as port:
        assert examine("localhost", "-p", port, "--cafile", authority.path).finding == (
            f"the certificate of localhost, port {port} is not for servers (Extended Key Usage): "
            "issue another one (telex tls init)"
        )


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_certificate_that_is_missing(examine: Examine, authority: Authority, version: str) -> None:
    server = authority.server("strict")
    lines = [f"certfile {server.certificate}", f"keyfile {server.key}", f"cafile {authority.path}"]
    lines += ["require_certificate true", "use_identity_as_username true"]
    wants = "localhost, port {} wants a client certificate: give yours with --cert FILE --key FILE"
    with mosquitto(*lines) as port:
        flags = ["localhost", "-p", port, "--cafile", authority.path]
        assert examine(*flags).finding == wants.format(port)
        client = authority.client("alice")
        assert examine(*flags, "--cert", client.certificate, "--key", client.key).code == 0
        stranger = Authority(authority.directory, "Stranger CA").client("mallory")
        why = "it is not of a CA that is trusted there; get one that is"
        refused = f"refuses the client certificate {stranger.certificate}: {why}"
        for _ in range(5):  # its alert comes to us, or is lost
            report = examine(*flags, "--cert", stranger.certificate, "--key", stranger.key)
            assert report.finding == f"localhost, port {port} {refused}"
    with openssl(server, "-Verify", "1", "-CAfile", str(authority.path), "-verify_return_error", version) as port:
        flags = ["localhost", "-p", port, "--cafile", authority.path, "--timeout", "2"]
        assert examine(*flags).finding == wants.format(port)
        report = examine(*flags, "--cert", stranger.certificate, "--key", stranger.key)
        assert report.finding == f"localhost, port {port} {refused}"


def test_only_old_versions_of_tls(examine: Examine, authority: Authority) -> None:
    server = authority.server("old-fashioned")
    with openssl(server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0") as port:
        assert examine("localhost", "-p", port, "--cafile", authority.path).finding == (
            f"localhost, port {port} has no version of TLS that is safe today (1.2 or 1.3): "
            "let it offer one, or look for a newer broker"
        )


def test_no_cipher_in_common(examine: Examine, authority: Authority) -> None:
    with openssl(
        authority.server("rare"), "-tls1_2", "-cipher", "NULL-SHA256:ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"
    ) as port:
        assert examine("localhost", "-p", port, "--cafile", authority.path).finding == (
            f"localhost, port {port} finds no cipher in common with this machine, or wants a pre-shared key: "
            "check the ciphers in its settings"
        )


def test_files_of_the_client_that_are_wrong(
    examine: Examine, authority: Authority, broker_with_tls: int, tmp_path: Path
) -> None:
    alice, bob = authority.client("alice"), authority.client("bob")
    flags = ["localhost", "-p", broker_with_tls]
    assert examine(*flags, "--cafile", tmp_path / "no.pem").finding == (
        f"{tmp_path}/no.pem: it cannot be read: No such file or directory"
    )
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    assert examine(*flags, "--cafile", empty).finding == f"{empty}: there is no certificate in it (PEM)"
    flags += ["--cafile", str(authority.path)]
    assert examine(*flags, "--cert", alice.certificate, "--key", bob.key).finding == (
        f"{bob.key}: the key is not that of {alice.certificate}"
    )
    assert examine(*flags, "--cert", empty).finding == (
        f"{empty}: that is no certificate and its key, without a password (PEM); see telex tls show"
    )


# Credentials and codes


def test_anonymous_clients_that_are_refused(examine: Examine, broker_with_passwords: int) -> None:
    report = examine("127.0.0.1", "-p", broker_with_passwords)
    assert report.steps["MQTT"] == "5.0 refused: 0x87 not authorized"
    assert report.finding == (
        "the broker refuses clients without a user name (0x87 not authorized): "
        "give one with -u, and its password with -P"
    )


def test_a_wrong_password(examine: Examine, broker_with_passwords: int, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["127.0.0.1", "-p", broker_with_passwords, "-u", "alice"]
    report = examine(*flags, "-P", "hunter2")
    assert report.finding == (
        "the broker refuses user 'alice' (0x87 not authorized): check the password, and whether this user may come in"
    )
    assert not any("hunter2" in line for line in report.steps.values())
    assert examine(*flags).finding == (
        "the broker refuses user 'alice' without a password (0x87 not authorized): give it with -P"
    )
    assert examine(*flags, "-P", "correct").code == 0


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        (0x85, "(0x85 client identifier not valid): it does not take this client id; give one that it takes with -i"),
        (0x88, "(0x88 server unavailable): it is not ready, or full; try again, and look into its log"),
        (
            0x8A,
            "(0x8A banned): this address or user is banned, perhaps after failed logins; wait, or lift the ban there",
        ),
        (0x95, "(0x95 packet too large): its log says why"),
    ],
)
def test_a_refusal_in_words(examine: Examine, code: int, finding: str) -> None:
    with peer(looks, refuses(code)) as port:
        report = examine("127.0.0.1", "-p", port)
        assert (report.code, report.finding) == (1, f"the broker refuses the connection {finding}")


def test_what_the_broker_says_is_passed_on_and_harmless(examine: Examine) -> None:
    with peer(looks, refuses(0x86, "try\nharder\x1b[2J")) as port:
        assert examine("127.0.0.1", "-p", port, "-u", "eve", "-P", "x").finding == (
            "the broker does not know user 'eve' with this password (0x86 bad user name or password): check both; "
            "it says: try?harder?[2J"
        )


def test_a_server_of_version_3_1_1_only(examine: Examine) -> None:
    says_no = answers_connect(b"\x20\x02\x00\x01")
    says_yes = answers_connect(b"\x20\x02\x00\x00", b"")
    well = "all is well, with MQTT 3.1.1 only: tell clients not to use version 5 (-V 311)"
    for scripts in ((looks, says_no, says_yes), (looks, says_yes)):
        with peer(*scripts) as port:
            report = examine("127.0.0.1", "-p", port)
            assert (report.code, report.finding) == (0, well)
            assert report.steps["MQTT"].startswith("3.1.1 accepted, client id doctor")
    # One that closes; in between, it is asked whether it speaks TLS or HTTP.
    with peer(looks, closes, closes, closes, says_yes) as port:
        assert examine("127.0.0.1", "-p", port).finding == well
    with peer(looks, says_no) as port:
        report = examine("127.0.0.1", "-p", port)
        assert report.finding == (
            f"127.0.0.1, port {port} speaks neither MQTT 5.0 nor 3.1.1: look for a newer broker, or check the port"
        )
    with peer(looks, says_no, answers_connect(b"\x20\x02\x00\x05")) as port:
        report = examine("127.0.0.1", "-p", port)
        assert report.finding == (
            "the broker refuses clients without a user name (5 not authorized): "
            "give one with -u, and its password with -P"
        )
        assert report.steps["MQTT"] == "3.1.1 refused: 5 not authorized"
    with peer(looks, says_no) as port:
        assert examine("127.0.0.1", "-p", port, "-P", "x").finding == (
            f"127.0.0.1, port {port} speaks MQTT 3.1.1, which knows no password without a user name: give -u"
        )


def test_mosquitto_that_takes_3_1_1_only_says_so(examine: Examine) -> None:
    with peer(
        looks, answers_connect(encode(ConnAck(0x84), codes.MQTT_5)), answers_connect(b"\x20\x02\x00\x00")
    ) as port:
        assert examine("127.0.0.1", "-p", port).code == 0


def test_an_answer_against_the_rules(examine: Examine) -> None:
    with peer(looks, answers_connect(encode(Disconnect(), codes.MQTT_5))) as port:
        assert examine("127.0.0.1", "-p", port).finding == (
            f"127.0.0.1, port {port} answers CONNECT against the rules of MQTT: expected CONNACK first, got Disconnect"
        )


# There and back


def test_rules_that_let_nothing_through(examine: Examine, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic read other/#\n")
    with mosquitto("allow_anonymous true", f"acl_file {rules}") as port:
        report = examine("127.0.0.1", "-p", port, "--roundtrip")
        assert report.code == 1
        topic = re.search(r"telex/doctor/[0-9a-f]{32}", report.finding)
        assert topic is not None
        assert report.steps["round trip"] == f"PUBLISH {topic[0]}: 0x87 not authorized"
        assert report.finding == (f"this user may not publish to {topic[0]}: look at the broker's rules (ACL) for it")
    rules.write_text("topic write telex/#\n")
    with mosquitto("allow_anonymous true", f"acl_file {rules}") as port:
        report = examine("127.0.0.1", "-p", port, "--roundtrip", "--timeout", "1")
        topic = re.search(r"telex/doctor/[0-9a-f]{32}", report.finding)
        assert topic is not None
        assert report.finding == (
            f"a message on {topic[0]} does not come back within 1 s: "
            "the broker's rules (ACL) do not let this user publish or receive it, or it is overloaded"
        )


def test_a_subscription_that_is_refused(examine: Examine) -> None:
    connack = encode(ConnAck(), codes.MQTT_5)
    with peer(looks, answers_connect(connack, b"\x90\x04\x00\x01\x00\x87")) as port:
        report = examine("127.0.0.1", "-p", port, "--roundtrip")
        assert re.fullmatch(r"SUBSCRIBE telex/doctor/\w+: 0x87 not authorized", report.steps["round trip"])
        assert re.fullmatch(
            r"this user may not subscribe to telex/doctor/\w+: look at the broker's rules \(ACL\) for it",
            report.finding,
        )


def test_a_broker_that_closes_at_our_message(examine: Examine) -> None:
    connack = encode(ConnAck(), codes.MQTT_5)
    suback = b"\x90\x04\x00\x01\x00\x01"
    with peer(looks, answers_connect(connack, suback, encode(Disconnect(0x98), codes.MQTT_5))) as port:
        assert examine("127.0.0.1", "-p", port, "--roundtrip").finding == (
            "the broker ends the connection at a message of ours: 0x98 administrative action"
        )
    with peer(looks, answers_connect(connack, suback, b"")) as port:
        report = examine("127.0.0.1", "-p", port, "--roundtrip", "--timeout", SHORT)
        assert "does not come back within 0.3 s" in report.finding


# WebSocket


def upgrades(
    *frames: bytes, protocol: str = "mqtt", status: str = "101 Switching Protocols"
) -> Callable[[socket.socket], None]:
    """A web server with a WebSocket that answers each message with a frame, byte by byte."""

    def script(connection: socket.socket) -> None:
        request = connection.recv(65_536).decode()
        key = re.search(r"Sec-WebSocket-Key: (\S+)\r\n", request)
        assert key is not None
        digest = hashlib.sha1((key[1] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        answer = f"HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        answer += f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n"
        answer += f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n" if protocol else "\r\n"
        connection.sendall(answer.encode())
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for frame in frames:
            connection.recv(65_536)
            for index in range(len(frame)):
                connection.sendall(frame[index : index + 1])

    return script


def test_mqtt_over_websocket(examine: Examine) -> None:
    connack = encode(ConnAck(), codes.MQTT_5)
    ping = b"\x89\x02hi"
    in_two = b"\x02\x02" + connack[:2] + b"\x80" + bytes([len(connack) - 2]) + connack[2:]
    with peer(looks, upgrades(ping + in_two)) as port:
        report = examine("127.0.0.1", "-p", port, "--ws")
        assert (report.code, report.finding) == (0, f"all is well: 127.0.0.1, port {port} speaks MQTT 5.0")
        assert report.steps["WebSocket"] == "/mqtt: 101 Switching Protocols"


@pytest.mark.mqtt("MQTT-6.0.0-3")
@pytest.mark.mqtt("MQTT-6.0.0-3", v3=True)
def test_mosquitto_over_websocket(examine: Examine, authority: Authority) -> None:
    server = authority.server("wss")
    files = [f"certfile {server.certificate}", f"keyfile {server.key}"]
    for lines, flags in (([], []), (files, ["--cafile", str(authority.path)])):
        # 2.0.11 does not start with listeners for WebSocket alone.
        other = f"listener {free_port()} 127.0.0.1"
        with mosquitto("allow_anonymous true", "protocol websockets", *lines, other) as port:
            report = examine("localhost", "-p", port, "--ws", "--roundtrip", *flags)
            assert report.finding == f"all is well: localhost, port {port} speaks MQTT 5.0"
            assert examine("localhost", "-p", port, *flags, "--timeout", "1").finding == (
                f"localhost, port {port} is a web server: for MQTT over WebSocket there, add --ws; else check the port"
            )


def test_mqtt_without_websocket(
    examine: Examine, debian_mosquitto: Server, broker_with_tls: int, authority: Authority
) -> None:
    for port, flags in ((debian_mosquitto.port, []), (broker_with_tls, ["--cafile", str(authority.path)])):
        assert examine("localhost", "-p", port, "--ws", *flags).finding == (
            f"localhost, port {port} speaks MQTT without WebSocket: leave out --ws, or use its port for WebSocket"
        )


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        (
            "404 Not Found",
            "a web server at {}, without a WebSocket at /mqtt (404 Not Found): check --path and the port",
        ),
        (
            "502 Bad Gateway",
            "the web server at {} cannot reach the broker behind it (502 Bad Gateway): check its settings",
        ),
        ("403 Forbidden", "the web server at {} refuses (403 Forbidden): it may want a login or an Origin of its own"),
        ("302 Found", "the web server at {} sends us to wss://other/mqtt (302 Found): go there"),
    ],
)
def test_a_websocket_that_is_refused(examine: Examine, status: str, finding: str) -> None:
    with peer(looks, says(f"HTTP/1.1 {status}\r\nLocation: wss://other/mqtt\r\n\r\n".encode())) as port:
        report = examine("127.0.0.1", "-p", port, "--ws")
        assert report.steps["WebSocket"] == f"/mqtt: {status}"
        assert report.finding == finding.format(f"127.0.0.1, port {port}")


@pytest.mark.parametrize("protocol", ["", "chat"])
def test_a_websocket_for_something_else(examine: Examine, protocol: str) -> None:
    with peer(looks, upgrades(protocol=protocol)) as port:
        assert examine("127.0.0.1", "-p", port, "--ws", "--path", "/chat").finding == (
            f"the WebSocket /chat of 127.0.0.1, port {port} is not for MQTT: "
            "it does not take the sub-protocol 'mqtt'; check --path"
        )


# Flags


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: HOST"),
        (["", "-p", "1"], "HOST is empty"),
        (["h", "--timeout", "0"], "argument --timeout: '0' is not a number of seconds, above 0"),
        (["h", "--timeout", "nan"], "argument --timeout: 'nan' is not a number of seconds, above 0"),
        (["h", "--key", "k"], "--key needs --cert, the certificate that it belongs to"),
        (["h", "--path", "mqtt"], "--path begins with a slash"),
        (["h", "-p", "0"], "argument -p/--port: '0' is not a number from 1 to 65535"),
    ],
)
def test_a_wrong_flag_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as end:
        doctor.run(arguments)
    assert end.value.code == 1
    assert capsys.readouterr().err == f"telex: {said}; see telex doctor --help\n"


def test_a_user_name_that_cannot_be(examine: Examine, broker: Server) -> None:
    report = examine("127.0.0.1", "-p", broker.port, "-u", "a\0b")
    assert report.code == 1
    assert report.finding.startswith("with such flags there is no CONNECT: ")


def test_the_usual_ports(examine: Examine) -> None:
    for flags, port in (([], 1883), (["--tls"], 8883), (["--ws"], 80), (["--ws", "--tls"], 443)):
        report = examine("h", *flags, resolve=resolves_to("255.255.255.255"))
        assert report.steps["port"].startswith(f"{port} at ")
