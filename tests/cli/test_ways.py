"""The ways to a broker that flags ask for: TLS, WebSocket, Unix sockets, proxies, each as a person uses it."""

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from telex.cli import flags, pub
from tests.certificates import Authority, Issued
from tests.processes import SECONDS, find, lines_until, run, running, serve_command, telex_command


@pytest.fixture(autouse=True)
def no_options_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


class Place(NamedTuple):
    """A broker with a door of each kind; it knows who comes by certificate."""

    authority: Authority
    client: Issued
    plain: int
    tls: int
    mutual: int  # wants a certificate
    ws: int
    wss: int
    unix: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("ways")
    authority = Authority(folder)
    server = authority.server()
    tls = f'tls = {{ certificate = "{server.certificate}", key = "{server.key}"'
    listeners = [
        'host = "127.0.0.1"',
        f'host = "127.0.0.1"\n{tls} }}',
        f'host = "127.0.0.1"\n{tls}, client_ca = "{authority.path}", client_certificates = "required" }}',
        'host = "127.0.0.1"\nprotocol = "websocket"',
        f'host = "127.0.0.1"\nprotocol = "websocket"\n{tls} }}',
        f'path = "{folder}/broker.sock"',
    ]
    text = "".join(f"[[listeners]]\nport = 0\n{each}\n" for each in listeners).replace("port = 0\npath", "path")
    config = folder / "telex.toml"
    config.write_text(f'data = ""\n[access]\nallow_anonymous = true\n{text}')
    with running(*serve_command("-q", "-c", str(config))) as process:
        banner = lines_until(process, "stop  ")
        ports = [int(each) for each in re.findall(r"//127\.0\.0\.1:(\d+)", banner)][:5]
        yield Place(authority, authority.client("me"), *ports, f"{folder}/broker.sock")


def publish(*arguments: str) -> tuple[int, str]:
    """Publish a retained message; exit code and standard error."""
    done = run(*telex_command("pub", "-t", "way", "-r", "-q", "1", *arguments))
    return done.returncode, done.stderr


def arrived(place: Place) -> str:
    """What was published last."""
    done = run(find("mosquitto_sub"), "-p", str(place.plain), "-t", "way", "-C", "1", "-W", "5")
    return done.stdout.strip()


def test_each_way_leads_there(place: Place) -> None:
    ca = ["--cafile", str(place.authority.path)]
    mine = ["--cert", str(place.client.certificate), "--key", str(place.client.key)]
    for number, words in enumerate(
        [
            ["-p", str(place.plain)],
            ["-p", str(place.plain), "-h", "127.0.0.1", "-A", "127.0.0.1"],
            ["-p", str(place.tls), *ca],
            ["-p", str(place.tls), *ca, "--tls-version", "tlsv1.3", "--tls-alpn", "mqtt"],
            ["-p", str(place.tls), *ca, "--ciphers", "ECDHE+AESGCM"],
            ["-p", str(place.tls), *ca, "--tls-use-os-certs"],
            ["-p", str(place.mutual), *ca, *mine, "--keyform", "pem"],
            ["-p", str(place.ws), "--ws"],
            ["-p", str(place.wss), "--ws", *ca],
            ["--unix", place.unix],
            ["-L", f"mqtt://127.0.0.1:{place.plain}/way"],
            ["-L", f"mqtts://localhost:{place.tls}/way", *ca],
            ["-L", f"ws://localhost:{place.ws}/way"],
            ["-L", f"wss://localhost:{place.wss}/way", *ca],
        ]
    ):
        assert publish(*words, "-m", str(number)) == (0, ""), words
        assert arrived(place) == str(number)


def test_who_is_not_trusted_is_told_what_to_do(place: Place, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other CA")
    code, err = publish("-p", str(place.tls), "--cafile", str(other.path), "-m", "x")
    assert code == 8
    assert "--cafile" in err
    assert err.count("\n") == 1
    code, err = publish("-p", str(place.mutual), "--cafile", str(place.authority.path), "-m", "x")
    assert code in (1, 8)  # in TLS 1.3 the broker says it when the handshake is over
    assert "--cert" in err
    assert err.count("\n") == 1


def test_a_name_that_the_certificate_has_not_may_be_overlooked(place: Place) -> None:
    server = place.authority.server("elsewhere", hosts=("elsewhere.example",))
    config = place.authority.directory / "elsewhere.toml"
    config.write_text(
        'data = ""\n[access]\nallow_anonymous = true\n[[listeners]]\nhost = "127.0.0.1"\nport = 0\n'
        f'tls = {{ certificate = "{server.certificate}", key = "{server.key}" }}\n'
    )
    with running(*serve_command("-q", "-c", str(config))) as process:
        found = re.search(r"//127\.0\.0\.1:(\d+)", lines_until(process, "stop  "))
        assert found is not None
        words = ["-p", found[1], "--cafile", str(place.authority.path), "-m", "x"]
        code, err = publish(*words)
        assert code == 8
        assert "elsewhere.example" in err
        assert publish(*words, "--insecure") == (0, "")


def test_session_keys_are_written_where_they_are_wanted(place: Place, tmp_path: Path) -> None:
    words = ["-p", str(place.tls), "--cafile", str(place.authority.path), "-m", "x"]
    assert publish(*words, "--tls-keylog", str(tmp_path / "keys")) == (0, "")
    assert "CLIENT_TRAFFIC_SECRET_0 " in (tmp_path / "keys").read_text()


def test_a_wrong_file_has_its_sentence(place: Place, tmp_path: Path) -> None:
    ca = str(place.authority.path)
    for words, said in (
        (["--cafile", str(tmp_path / "none")], str(tmp_path / "none")),
        (["--cafile", __file__], __file__),
        (["--capath", str(tmp_path)], "openssl rehash"),
        (["--cafile", ca, "--cert", ca, "--key", str(tmp_path / "none")], str(tmp_path / "none")),
        (["--cafile", ca, "--ciphers", "none"], "OpenSSL knows none of 'none'"),
    ):
        code, err = publish("-p", str(place.tls), *words, "-m", "x")
        assert code == 1
        assert said in err
        assert err.count("\n") == 1


def test_a_key_that_both_know_takes_the_place_of_certificates() -> None:
    """From Python 3.13 on; before, it is refused with a sentence that says so."""
    words = ["--psk", "c0ffee", "--psk-identity", "me", "-p", "1", "-m", "x"]
    code, err = publish(*words)
    assert code == 1
    if hasattr(ssl.SSLContext, "set_psk_client_callback"):
        assert "no broker answers" in err
    else:
        assert "pre-shared keys, that of 3.13 can" in err


class Proxy:
    """A SOCKS 5 proxy for one login, that resolves names itself (RFC 1928, RFC 1929)."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._socket.accept()
        with client:
            client.settimeout(SECONDS)
            methods = client.recv(2)[1]
            assert 2 in client.recv(methods)
            client.sendall(b"\5\2")
            user = client.recv(client.recv(2)[1])
            password = client.recv(client.recv(1)[0])
            client.sendall(b"\1\0")
            kind = client.recv(4)[3]
            assert kind == 3
            host = client.recv(client.recv(1)[0]).decode()
            port = int.from_bytes(client.recv(2), "big")
            self.asked.append(f"{user.decode()}:{password.decode()}@{host}:{port}")
            with socket.create_connection(("127.0.0.1", port), SECONDS) as server:
                client.sendall(b"\5\0\0\1\0\0\0\0\0\0")
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join(SECONDS)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._thread.join(SECONDS)
        self._socket.close()


@contextmanager
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    try:
        yield made
    finally:
        made.close()


def test_a_proxy_is_asked_for_the_broker_by_name(place: Place) -> None:
    with proxy() as socks:
        url = f"socks5h://us%40er:pass%3Aword@127.0.0.1:{socks.port}"
        assert publish("-p", str(place.plain), "-h", "broker.example", "--proxy", url, "-m", "by proxy") == (0, "")
    assert socks.asked == [f"us@er:pass:word@broker.example:{place.plain}"]
    assert arrived(place) == "by proxy"


def test_what_is_no_proxy_is_refused() -> None:
    code, err = publish("--proxy", "foo", "-m", "x")
    assert code == 1
    assert re.fullmatch(r"telex: proxy: .* expected socks5h://host:1080\n", err)


def dialer(*arguments: str) -> Any:
    return flags.dialer(pub.parsed(["-t", "a", "-m", "x", *arguments]))


def test_dns_may_be_asked_for_the_broker() -> None:
    plain, asking = dialer("-h", "example.org"), dialer("-h", "example.org", "-S")
    assert (plain._use_srv, asking._use_srv) == (False, True)
    assert str(plain.address) == "mqtt://example.org:1883"
    assert asking.address.host == "example.org"
    assert dialer("-h", "example.org", "-S", "--tls-use-os-certs").address.scheme == "mqtts"


@pytest.mark.parametrize("host", ["a b", "user@host", "host/path", "", "[::1]", "x" * 64])
def test_what_is_no_host_is_one_line(host: str) -> None:
    code, err = publish("-h", host, "-m", "x")
    assert code == 1
    assert re.fullmatch(r"telex: [^\n]+\n", err)


def test_a_unix_socket_may_have_any_path(tmp_path: Path) -> None:
    path = tmp_path / "a b?c#d%20.sock"
    assert dialer("--unix", str(path)).address.path == str(path)
    assert dialer("--unix", "relative").address.path.endswith("/relative")
