"""The ways to a broker that the drop-in for paho opens, and the errors when there is none."""

import errno
import gc
import socket
import ssl
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from telex.paho.nonblocking import NeedsReading, NeedsWriting, SocketLike, pending_of, receive, send
from telex.paho.proxies import HTTP, SOCKS4, SOCKS5, find, is_valid
from telex.paho.sockets import Way, open_socket
from telex.paho.websocket import WebSocket, WebsocketConnectionError
from telex.streams import frames
from tests.certificates import Authority
from tests.client.proxies import Proxy
from tests.paho.peers import Door, echo, listening, proxying, read, read_some, serving_on, websocket
from tests.processes import free_port

PROTOCOLS = {SOCKS4: "socks4", SOCKS5: "socks5", HTTP: "http"}

NO = {
    SOCKS4: b"\0\x5b" + bytes(6),
    SOCKS5: b"\5\5\0\1" + bytes(6),
    HTTP: b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
}
"""How a proxy refuses."""


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mqtt_proxy", "MQTT_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def of_server(authority: Authority, *hosts: str) -> ssl.SSLContext:
    issued = authority.server(f"of-{'-'.join(hosts)}", hosts=hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.path))


def to(door: Door, **more: Any) -> Way:
    return Way(**{"host": "127.0.0.1", "port": door.port, "timeout": 5.0, **more})


@contextmanager
def opened(way: Way) -> Iterator[SocketLike]:
    sock = open_socket(way)
    try:
        yield sock
    finally:
        sock.close()


def says_again(sock: SocketLike, data: bytes = b"abc") -> bool:
    assert send(sock, data) == len(data)
    return read(sock, len(data)) == data


# TCP


def test_tcp_gives_a_socket_that_does_not_block() -> None:
    with listening() as door, opened(to(door)) as sock:
        assert type(sock) is socket.socket
        assert not sock.getblocking()
        assert pending_of(sock) == 0
        with pytest.raises(BlockingIOError):
            receive(sock, 100)
        assert says_again(sock)


def test_what_is_written_does_not_wait_for_the_kernel() -> None:
    with listening() as door, opened(to(door)) as sock:
        assert isinstance(sock, socket.socket)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_peer_that_has_gone_is_an_empty_read() -> None:
    with listening(lambda sock: None) as door, opened(to(door)) as sock:
        assert read_some(sock) == b""


def test_a_socket_that_is_full_takes_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # nobody reads
        with opened(to(Door(listener.getsockname()[1]))) as sock:
            with pytest.raises(BlockingIOError):
                write_for_ever(sock)


def write_for_ever(sock: SocketLike) -> None:
    while True:
        send(sock, bytes(1_000_000))


def test_connections_come_from_the_address_and_port_that_were_said() -> None:
    port = free_port()
    with listening() as door, opened(to(door, bind_address="127.0.0.2", bind_port=port)) as sock:
        assert says_again(sock)
        assert door.clients == [("127.0.0.2", port)]


def test_a_port_alone_may_be_said() -> None:
    port = free_port()
    with listening() as door, opened(to(door, bind_port=port)) as sock:
        assert says_again(sock)
        assert door.clients == [("127.0.0.1", port)]


def test_the_addresses_of_a_host_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as door:
        stream = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        found = [
            (socket.AF_INET6, *stream, ("::1", door.port, 0, 0)),
            (socket.AF_INET, *stream, ("127.0.0.1", door.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args: found)
        with opened(to(door, host="both.example")) as sock:
            assert says_again(sock)


def test_nobody_there_is_told_as_the_system_tells_it() -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        open_socket(Way(host="127.0.0.1", port=free_port()))
    assert caught.value.errno == errno.ECONNREFUSED


def test_a_name_that_nobody_has_is_told_as_the_system_tells_it() -> None:
    with pytest.raises(socket.gaierror):
        open_socket(Way(host="there.is.none.invalid"))


def test_a_host_that_does_not_answer_is_waited_for_as_long_as_was_said() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            with pytest.raises(TimeoutError):
                open_socket(Way(host="127.0.0.1", port=port, timeout=0.1))
        finally:
            for each in fillers:
                each.close()


# Unix sockets


def test_a_unix_socket_is_a_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "broker.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with serving_on(listener, Door(0)), opened(Way(host=path, transport="unix")) as sock:
            assert type(sock) is socket.socket
            assert not sock.getblocking()
            assert says_again(sock)


def test_a_unix_socket_that_is_not_there_is_told_as_the_system_tells_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_socket(Way(host=str(tmp_path / "none.sock"), transport="unix"))


def test_a_unix_socket_with_a_full_queue_is_waited_for_as_long_as_was_said(tmp_path: Path) -> None:
    path = str(tmp_path / "broker.sock")
    fillers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        try:
            for each in fillers:
                each.setblocking(False)
                each.connect_ex(path)
            with pytest.raises(TimeoutError):
                open_socket(Way(host=path, transport="unix", timeout=0.05))
        finally:
            for each in fillers:
                each.close()


def test_tls_on_a_unix_socket_is_for_the_insecure(authority: Authority, tmp_path: Path) -> None:
    path = str(tmp_path / "broker.sock")
    context = trusting(authority)
    context.check_hostname = False
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        door = Door(0)
        with serving_on(listener, door, tls=of_server(authority, "localhost")):
            way = Way(host=path, transport="unix", tls_context=context, tls_insecure=True)
            with opened(way) as sock:
                assert says_again(sock)
            assert door.names == [None]
            with pytest.raises(ValueError, match=r"broker\.sock"):  # no certificate can be for that
                open_socket(Way(host=path, transport="unix", tls_context=trusting(authority)))


# TLS


def test_tls_gives_a_socket_of_ssl_that_does_not_block(authority: Authority) -> None:
    with listening(tls=of_server(authority, "localhost")) as door:
        with opened(to(door, host="localhost", tls_context=trusting(authority))) as sock:
            assert type(sock) is ssl.SSLSocket
            with pytest.raises(BlockingIOError):
                receive(sock, 100)
            assert says_again(sock)
        assert door.names == ["localhost"]


def test_what_tls_has_read_and_nobody_has_fetched_is_pending(authority: Authority) -> None:
    with listening(tls=of_server(authority, "localhost")) as door:
        with opened(to(door, host="localhost", tls_context=trusting(authority))) as sock:
            send(sock, b"abcdef")
            assert read(sock, 2) == b"ab"
            assert pending_of(sock) == 4
            assert receive(sock, 100) == b"cdef"
            assert pending_of(sock) == 0


def test_the_context_is_the_callers(authority: Authority) -> None:
    context = trusting(authority)
    with listening(tls=of_server(authority, "localhost")) as door:
        with opened(to(door, host="localhost", tls_context=context)) as sock:
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.context is context


def test_a_certificate_for_another_name_is_not_trusted(authority: Authority) -> None:
    with listening(tls=of_server(authority, "other.example")) as door:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            open_socket(to(door, host="localhost", tls_context=trusting(authority)))


def test_an_insecure_client_takes_any_name(authority: Authority) -> None:
    context = trusting(authority)
    context.check_hostname = False
    with listening(tls=of_server(authority, "other.example")) as door:
        with opened(to(door, host="localhost", tls_context=context, tls_insecure=True)) as sock:
            assert says_again(sock)
        assert door.names == ["localhost"]


def test_a_context_that_does_not_check_names_does_so_unless_the_client_was_told(authority: Authority) -> None:
    context = trusting(authority)
    context.check_hostname = False
    with listening(tls=of_server(authority, "other.example")) as door:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            open_socket(to(door, host="localhost", tls_context=context))


def test_a_certificate_of_somebody_else_is_not_trusted(authority: Authority) -> None:
    with listening(tls=of_server(authority, "localhost")) as door:
        with pytest.raises(ssl.SSLCertVerificationError):
            open_socket(to(door, host="localhost", tls_context=ssl.create_default_context()))


def test_a_trailing_dot_is_no_part_of_a_certificates_name(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(tls=of_server(authority, "localhost")) as door:
        monkeypatch.setattr(socket, "getaddrinfo", all_lead_to(door))
        with opened(to(door, host="localhost.", tls_context=trusting(authority))) as sock:
            assert says_again(sock)


def test_a_name_that_tls_cannot_ask_for_is_the_callers_slip(authority: Authority) -> None:
    way = Way(host=".example", tls_context=trusting(authority))
    with listening() as door:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", all_lead_to(door))
            with pytest.raises(ValueError, match=r"'.example' is no name that a certificate can have"):
                open_socket(way)


def test_a_name_that_tls_cannot_ask_for_does_not_matter_to_the_insecure(authority: Authority) -> None:
    context = trusting(authority)
    context.check_hostname = False
    with listening(tls=of_server(authority, "localhost")) as door:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", all_lead_to(door))
            with opened(Way(host=".example", tls_context=context, tls_insecure=True)) as sock:
                assert says_again(sock)
        assert door.names == [None]


def all_lead_to(door: Door) -> Any:
    found = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", door.port))]
    return lambda *_args: found


def test_a_handshake_of_tls_is_waited_for_as_long_as_was_said(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(TimeoutError):
            open_socket(to(Door(listener.getsockname()[1]), tls_context=trusting(authority), timeout=0.05))


def test_who_does_not_speak_tls_is_told_as_ssl_tells_it(authority: Authority) -> None:
    with listening(lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as door:
        with pytest.raises(ssl.SSLError):
            open_socket(to(door, tls_context=trusting(authority)))


class Wanting:
    """What TLS is when it renegotiates."""

    def __init__(self, error: type[ssl.SSLError]) -> None:
        self.error = error

    def recv(self, size: int, /) -> bytes:
        raise self.error

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        raise self.error

    def close(self) -> None: ...

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool, /) -> None: ...


def test_tls_that_must_write_before_it_reads_says_so() -> None:
    with pytest.raises(NeedsWriting):
        receive(Wanting(ssl.SSLWantWriteError), 10)
    with pytest.raises(NeedsReading):
        send(Wanting(ssl.SSLWantReadError), b"a")
    for wanting in (
        lambda: receive(Wanting(ssl.SSLWantReadError), 10),
        lambda: send(Wanting(ssl.SSLWantWriteError), b"a"),
    ):
        with pytest.raises(BlockingIOError) as caught:
            wanting()
        assert type(caught.value) is BlockingIOError


# WebSocket


def test_a_websocket_asks_for_mqtt_at_its_path() -> None:
    with listening(websocket(lambda: door, echo)) as door:
        with opened(to(door, transport="websockets", websocket_path="/there?a=b")) as sock:
            assert type(sock) is WebSocket
        lines = door.heads[0].removesuffix("\r\n\r\n").split("\r\n")
        place = f"127.0.0.1:{door.port}"
        key = lines.pop(5)
        assert lines == [
            "GET /there?a=b HTTP/1.1",
            f"Host: {place}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Origin: http://{place}",
            "Sec-Websocket-Version: 13",
            "Sec-Websocket-Protocol: mqtt",
        ]
        assert key.startswith("Sec-WebSocket-Key: ")


def test_headers_take_the_place_of_ours() -> None:
    headers = {"X-More": "1", "Sec-Websocket-Protocol": "mqttv3.1"}
    with listening(websocket(lambda: door, echo)) as door:
        with opened(to(door, transport="websockets", websocket_headers=headers)):
            pass
        assert "\r\nSec-Websocket-Protocol: mqttv3.1\r\nX-More: 1\r\n\r\n" in door.heads[0]
        assert "mqtt\r\n" not in door.heads[0]


def test_a_function_makes_all_headers_of_ours() -> None:
    def signed(headers: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in headers.items() if name != "Origin"} | {"X-Signed": headers["Host"]}

    with listening(websocket(lambda: door, echo)) as door:
        with opened(to(door, transport="websockets", websocket_headers=signed)):
            pass
        assert "Origin" not in door.heads[0]
        assert door.heads[0].endswith(f"X-Signed: 127.0.0.1:{door.port}\r\n\r\n")


@pytest.mark.parametrize("headers", [{"X-A": "1\r\nX-B: 2"}, {"X-A\n": "1"}])
def test_a_header_does_not_end_its_line(headers: dict[str, str]) -> None:
    with listening() as door, pytest.raises(ValueError, match="the end of a line"):
        open_socket(to(door, transport="websockets", websocket_headers=headers))


def test_a_websocket_in_tls_says_again_what_it_is_told(authority: Authority) -> None:
    with listening(websocket(lambda: door, echo_in_frames), tls=of_server(authority, "localhost")) as door:
        with opened(to(door, host="localhost", transport="websockets", tls_context=trusting(authority))) as sock:
            assert says_again(sock)
        assert f"Origin: https://localhost:{door.port}\r\n" in door.heads[0]


def echo_in_frames(sock: socket.socket) -> None:
    reader = frames.FrameReader()
    while data := sock.recv(65_536):
        sock.sendall(frames.messages(reader.receive(data)))


def test_a_websocket_in_tls_tells_what_is_pending(authority: Authority) -> None:
    def says_much(sock: socket.socket) -> None:
        sock.sendall(frames.messages(b"abc") + frames.messages(b"def"))
        sock.recv(1)

    with listening(websocket(lambda: door, says_much), tls=of_server(authority, "localhost")) as door:
        with opened(to(door, host="localhost", transport="websockets", tls_context=trusting(authority))) as sock:
            assert read(sock, 1) == b"a"
            assert pending_of(sock) > 0
            assert read(sock, 5) == b"bcdef"
            assert pending_of(sock) == 0


def test_a_server_that_leaves_in_place_of_an_answer_is_no_websocket() -> None:
    with listening(lambda sock: None) as door:
        with pytest.raises(WebsocketConnectionError, match="WebSocket handshake error: the server has closed"):
            open_socket(to(door, transport="websockets"))


def test_a_handshake_is_waited_for_as_long_as_was_said_in_all() -> None:
    def says_it_byte_by_byte(sock: socket.socket) -> None:
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" * 20:
            sock.sendall(bytes([byte]))
            time.sleep(0.01)  # so that no byte is as late as the answer is

    with listening(says_it_byte_by_byte) as door, pytest.raises(TimeoutError):
        open_socket(to(door, transport="websockets", timeout=0.1))


@pytest.mark.parametrize(("tls", "port", "host"), [(False, 80, "::1"), (False, 8080, "::1"), (True, 443, "::1")])
def test_the_usual_port_is_not_said(
    tls: bool, port: int, host: str, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    context = trusting(authority) if tls else None
    with listening(websocket(lambda: door, echo), tls=of_server(authority, "::1") if tls else None) as door:
        monkeypatch.setattr(socket, "getaddrinfo", all_lead_to(door))
        with opened(Way(host=host, port=port, transport="websockets", tls_context=context)):
            pass
        said = next(line for line in door.heads[0].split("\r\n") if line.startswith("Host: "))
        assert said == ("Host: [::1]:8080" if port == 8080 else "Host: [::1]")


@pytest.mark.parametrize("tls", [False, True])
def test_nothing_stays_open_when_a_way_ends_early(authority: Authority, tls: bool) -> None:
    """A socket that is left open would warn, and a warning is an error."""
    context = of_server(authority, "localhost") if tls else None
    with listening(websocket(lambda: door, echo, accept="wrong"), tls=context) as door:
        way = to(door, host="localhost", transport="websockets", tls_context=trusting(authority) if tls else None)
        with pytest.raises(WebsocketConnectionError, match="WebSocket handshake error, invalid secret key"):
            open_socket(way)
        gc.collect()


# Through proxies


def through(proxy: Proxy, kind: int, door: Door, **more: Any) -> Way:
    words = {name: more.pop(name) for name in list(more) if name.startswith(("proxy_", "socket_"))}
    return to(door, proxy={"proxy_type": kind, "proxy_addr": "127.0.0.1", "proxy_port": proxy.port, **words}, **more)


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_a_proxy_leads_to_a_broker_and_looks_up_its_name(kind: int) -> None:
    with listening() as door, proxying(Proxy(), PROTOCOLS[kind]) as proxy:
        with opened(through(proxy, kind, door, host="broker.example")) as sock:
            assert type(sock) is socket.socket
            assert not sock.getblocking()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert says_again(sock)
        assert proxy.asked == [("broker.example", door.port)]


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_a_name_may_be_looked_up_here(kind: int) -> None:
    with listening() as door, proxying(Proxy(), PROTOCOLS[kind]) as proxy:
        with opened(through(proxy, kind, door, host="localhost", proxy_rdns=False)) as sock:
            assert says_again(sock)
        assert proxy.asked == [("127.0.0.1", door.port)]


@pytest.mark.parametrize("kind", [SOCKS5, HTTP])
def test_a_proxy_gets_user_name_and_password(kind: int) -> None:
    with listening() as door, proxying(Proxy(login=("me", "p:w")), PROTOCOLS[kind]) as proxy:
        with opened(through(proxy, kind, door, proxy_username="me", proxy_password="p:w")) as sock:
            assert says_again(sock)
        assert proxy.users == ["me"]


def test_socks_4_gets_a_user_and_no_password() -> None:
    with listening() as door, proxying(Proxy(), "socks4") as proxy:
        with opened(through(proxy, SOCKS4, door, proxy_username="me", proxy_password="pw")) as sock:
            assert says_again(sock)
        assert proxy.users == ["me"]


@pytest.mark.parametrize("kind", [SOCKS5, HTTP])
def test_a_proxy_that_wants_another_password_is_an_error_of_the_connection(kind: int) -> None:
    with listening() as door, proxying(Proxy(login=("me", "pw")), PROTOCOLS[kind]) as proxy:
        with pytest.raises(ConnectionError, match=f"the proxy 127.0.0.1:{proxy.port} "):
            open_socket(through(proxy, kind, door, proxy_username="me", proxy_password="other"))
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        *NO.items(),
        (HTTP, b"220 this is no web server\r\n\r\n"),
    ],
)
def test_a_proxy_that_says_no_is_an_error_of_the_connection(kind: int, answer: bytes) -> None:
    with listening() as door, proxying(Proxy(answer=answer), PROTOCOLS[kind]) as proxy:
        with pytest.raises(ConnectionError, match=f"the proxy 127.0.0.1:{proxy.port} does not"):
            open_socket(through(proxy, kind, door))


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_an_answer_of_a_proxy_may_come_in_parts(kind: int) -> None:
    with listening() as door, proxying(Proxy(at_a_time=1), PROTOCOLS[kind]) as proxy:
        with opened(through(proxy, kind, door)) as sock:
            assert says_again(sock)


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_a_proxy_that_is_not_there_is_told_as_the_system_tells_it(kind: int) -> None:
    proxy = Proxy()
    proxy.port = free_port()
    with pytest.raises(ConnectionRefusedError, match=f"no connection to the proxy 127.0.0.1:{proxy.port}") as caught:
        open_socket(through(proxy, kind, Door(1883)))
    assert caught.value.errno == errno.ECONNREFUSED


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_a_proxy_that_does_not_answer_is_waited_for_as_long_as_was_said(kind: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy()
        proxy.port = listener.getsockname()[1]
        with pytest.raises(TimeoutError, match="does not answer"):
            open_socket(through(proxy, kind, Door(1883), timeout=0.05))


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_tls_and_a_websocket_go_through_a_proxy(kind: int, authority: Authority) -> None:
    with listening(websocket(lambda: door, echo_in_frames), tls=of_server(authority, "broker.example")) as door:
        with proxying(Proxy(), PROTOCOLS[kind]) as proxy:
            more = {"host": "broker.example", "transport": "websockets", "tls_context": trusting(authority)}
            with opened(through(proxy, kind, door, **more)) as sock:
                assert says_again(sock)
        assert door.names == ["broker.example"]


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_connections_to_a_proxy_come_from_the_address_that_was_said(kind: int) -> None:
    with listening() as door, proxying(Proxy(), PROTOCOLS[kind]) as proxy:
        with opened(through(proxy, kind, door, bind_address="127.0.0.2")) as sock:
            assert says_again(sock)
        assert proxy.clients == ["127.0.0.2"]


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_an_ipv6_address_may_have_brackets_behind_a_proxy(kind: int) -> None:
    if kind == SOCKS4:
        host, asked = "[127.0.0.1]", "127.0.0.1"  # it knows no others
    else:
        host, asked = "[::1%lo]", "::1"
    with proxying(Proxy(answer=NO[kind]), PROTOCOLS[kind]) as proxy:
        with pytest.raises(ConnectionError):
            open_socket(through(proxy, kind, Door(1883), host=host, proxy_addr="[127.0.0.1]"))
        assert proxy.asked == [(asked, 1883)]


def test_a_proxy_may_be_in_a_zone_of_this_machine() -> None:
    with pytest.raises(OSError, match=r"no connection to the proxy \[fe80::1%nowhere\]:1080"):
        open_socket(Way(host="there", proxy={"proxy_type": SOCKS5, "proxy_addr": "fe80::1%nowhere"}))


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_options_of_the_socket_are_set(kind: int) -> None:
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    with listening() as door, proxying(Proxy(), PROTOCOLS[kind]) as proxy:
        with opened(through(proxy, kind, door, socket_options=options)) as sock:
            assert isinstance(sock, socket.socket)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_word_that_pysocks_does_not_know_is_the_callers_slip() -> None:
    with listening() as door, pytest.raises(TypeError, match="there is no proxy_user, expected proxy_type"):
        open_socket(through(Proxy(), HTTP, door, proxy_user="me"))


def test_what_socks_cannot_say_is_the_callers_slip() -> None:
    with listening() as door, pytest.raises(ValueError, match="user name and password are ASCII"):
        open_socket(through(Proxy(), SOCKS5, door, proxy_port=1080, proxy_username="mé", proxy_password="pw"))


# Which proxy


@pytest.mark.parametrize(
    ("proxy", "valid"),
    [
        ({"proxy_type": HTTP, "proxy_addr": "there"}, True),
        ({"proxy_type": 4, "proxy_addr": "there"}, False),
        ({"proxy_type": HTTP, "proxy_addr": ""}, False),
        ({"proxy_addr": "there"}, False),
        ({}, False),
    ],
)
def test_a_proxy_has_a_known_type_and_an_address(proxy: dict[str, Any], valid: bool) -> None:
    assert is_valid(proxy) is valid


def test_without_a_word_there_is_no_proxy() -> None:
    assert find("broker.example", {}) is None


@pytest.mark.parametrize(("scheme", "kind"), [("http", HTTP), ("socks", SOCKS5)])
def test_the_environment_names_a_proxy(scheme: str, kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as door, proxying(Proxy(login=("me", "p w")), PROTOCOLS[kind]) as proxy:
        monkeypatch.setenv("mqtt_proxy", f"{scheme}://me:p%20w@127.0.0.1:{proxy.port}")
        with opened(to(door, host="broker.example")) as sock:
            assert says_again(sock)
        assert proxy.asked == [("broker.example", door.port)]


@pytest.mark.parametrize("url", ["socks5://there:1080", "there:1080", "http://"])
def test_an_address_in_the_environment_that_paho_does_not_know_is_passed_over(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_PROXY", url)
    assert find("broker.example", {}) is None


def test_the_environment_says_which_hosts_need_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("mqtt_proxy", "http://there:3128")
    monkeypatch.setenv("no_proxy", "near.example")
    assert find("near.example", {}) is None
    found = find("far.example", {})
    assert found is not None
    assert (found["proxy_addr"], found["proxy_port"]) == ("there", 3128)


def test_what_the_program_says_counts_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("mqtt_proxy", "http://there:3128")
    given = {"proxy_type": SOCKS4, "proxy_addr": "here"}
    assert find("broker.example", given) is given


def test_the_default_of_pysocks_counts_if_the_program_has_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    default = (SOCKS5, "there", 1081, True, b"me", b"pw")
    module = types.SimpleNamespace(get_default_proxy=lambda: default)
    monkeypatch.setitem(sys.modules, "socks", module)  # type: ignore[arg-type]
    assert find("broker.example", {}) == {
        "proxy_type": SOCKS5,
        "proxy_addr": "there",
        "proxy_port": 1081,
        "proxy_rdns": True,
        "proxy_username": "me",
        "proxy_password": "pw",
    }
    module.get_default_proxy = lambda: None
    assert find("broker.example", {}) is None


def test_no_proxy_leads_to_a_unix_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("mqtt_proxy", "http://127.0.0.1:1")
    with pytest.raises(FileNotFoundError):
        open_socket(Way(host=str(tmp_path / "none.sock"), transport="unix"))
