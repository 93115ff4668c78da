"""``publish`` and ``subscribe``: what paho-mqtt's helpers do with each example, and Telex's too."""

import gc
import importlib
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import uuid4

import paho.mqtt.client as real
import pytest

import telex.paho
import telex.paho.publish
import telex.paho.subscribe
from tests.certificates import Authority
from tests.client.proxies import Proxy
from tests.interop.serving import serving
from tests.paho.peers import SECONDS, listening, proxying
from tests.processes import Server

VERSIONS = {"v3.1": 3, "v3.1.1": 4, "v5": 5}


# In paho, what is raised may leave sockets behind, and where the client's __init__ fails, so does its __del__.
UNTIDY = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(params=[pytest.param("paho.mqtt", marks=UNTIDY), "telex.paho"])
def module(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One of the two packages, with its helpers."""
    yield SimpleNamespace(
        publish=importlib.import_module(f"{request.param}.publish"),
        subscribe=importlib.import_module(f"{request.param}.subscribe"),
        exception=importlib.import_module(request.param).MQTTException,
        message=importlib.import_module(f"{request.param}.client").MQTTMessage,
    )
    gc.collect()  # so that whoever leaves something behind is the one who is told of it


@pytest.fixture(params=["broker", "debian_mosquitto"])
def port(request: pytest.FixtureRequest) -> int:
    """Where a broker listens: Telex, and Mosquitto."""
    server: Server = request.getfixturevalue(request.param)
    return server.port


@pytest.fixture
def topic() -> str:
    return f"helpers/{uuid4().hex}"


def soon(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a function gives or raises, which may wait for ever if it is wrong."""
    return begin(function, *arguments, **named).result(SECONDS)


def begin(function: Callable[..., Any], *arguments: Any, **named: Any) -> Future[Any]:
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(function(*arguments, **named))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


@contextmanager
def watching(port: int, topic_filter: str, qos: int = 2) -> Iterator["queue.Queue[tuple[str, bytes, int]]"]:
    """What a broker sends to somebody who has subscribed: paho, which tells of QoS 2 later than of what came after."""
    seen: queue.Queue[tuple[str, bytes, int]] = queue.Queue()
    subscribed = threading.Event()
    client = real.Client(real.CallbackAPIVersion.VERSION2)
    client.on_message = lambda c, u, message: seen.put((message.topic, message.payload, message.qos))
    client.on_connect = lambda c, *rest: c.subscribe(topic_filter, qos)
    client.on_subscribe = lambda *rest: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert subscribed.wait(SECONDS)
        yield seen
    finally:
        client.disconnect()
        client.loop_stop()


def taken(seen: "queue.Queue[tuple[str, bytes, int]]", number: int) -> list[tuple[str, bytes, int]]:
    return [seen.get(timeout=SECONDS) for _ in range(number)]


# A broker that is played


class Visit:
    """One connection. Packets are told in hexadecimal digits."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.packets: list[str] = []

    def take(self) -> bytes:
        """The next packet; nothing if the client has gone."""
        packet = self._exactly(2)
        if len(packet) == 2:
            assert packet[1] < 128, "a played broker takes short packets only"
            packet += self._exactly(packet[1])
            self.packets.append(packet.hex(" "))
        return packet

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self._sock.recv(size - len(data))):
            data += more
        return data

    def rest(self) -> bytes:
        """Some of what follows."""
        return self._sock.recv(1 << 20)

    def say(self, packet: str) -> None:
        self._sock.sendall(bytes.fromhex(packet))


class Played:
    """A broker of version 3.1.1 that does something of its own with each connection, and then lets go of it."""

    def __init__(self, *behaviours: Callable[[Visit], None]) -> None:
        self._behaviours = list(behaviours)
        self.visits: list[Visit] = []

    def __call__(self, sock: socket.socket) -> None:
        self.visits.append(Visit(sock))
        self._behaviours[len(self.visits) - 1](self.visits[-1])

    @property
    def packets(self) -> list[str]:
        """All that came, over all connections."""
        return [packet for visit in self.visits for packet in visit.packets]


def acknowledge(visit: Visit, *, ack: str = "20 02 00 00", until: int = 1000, more: tuple[str, ...] = ()) -> None:
    """Answer everything, until so many packets have come; behind the first SUBACK say something more."""
    visit.take()
    visit.say(ack)
    for _ in range(until):
        packet = visit.take()
        if not packet:
            return
        kind, qos = packet[0] >> 4, packet[0] >> 1 & 3
        if kind == 3 and qos:
            start = 4 + int.from_bytes(packet[2:4], "big")
            visit.say(("40" if qos == 1 else "50") + "02" + packet[start : start + 2].hex())
        elif kind == 6:
            visit.say("70 02" + packet[2:4].hex())
        elif kind == 8:
            visit.say("90 03" + packet[2:4].hex() + f"{packet[-1]:02x}")
            for each in more:
                visit.say(each)
            more = ()


@contextmanager
def playing(*behaviours: Callable[[Visit], None]) -> Iterator[tuple[Played, int]]:
    played = Played(*behaviours)
    with listening(played) as door:
        yield played, door.port


def once(**named: Any) -> Callable[[Visit], None]:
    return lambda visit: acknowledge(visit, **named)


# publish


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_message_of_each_qos_is_published(module: Any, port: int, topic: str, version: int) -> None:
    with watching(port, f"{topic}/#") as seen:
        for qos in (0, 1, 2):
            arguments = {"qos": qos, "hostname": "127.0.0.1", "port": port, "protocol": version}
            assert soon(module.publish.single, f"{topic}/{qos}", f"value {qos}", **arguments) is None
            assert taken(seen, 1) == [(f"{topic}/{qos}", f"value {qos}".encode(), qos)]


def test_payloads_of_all_kinds_are_published(module: Any, port: int, topic: str) -> None:
    with watching(port, topic) as seen:
        for payload, bytes_of_it in (
            (None, b""),
            ("é", b"\xc3\xa9"),
            (b"\0", b"\0"),
            (bytearray(b"b"), b"b"),
            (5, b"5"),
        ):
            soon(module.publish.single, topic, payload, 1, hostname="127.0.0.1", port=port)
            assert taken(seen, 1) == [(topic, bytes_of_it, 1)]


def test_messages_are_published_in_their_order(module: Any, port: int, topic: str) -> None:
    messages: list[Any] = [
        {"topic": f"{topic}/dict"},
        {"topic": f"{topic}/dict", "payload": "all", "qos": 2, "retain": False},
        (f"{topic}/tuple", "all", 1, False),
        (f"{topic}/tuple",),
        [f"{topic}/list", b"two"],
    ]
    with watching(port, f"{topic}/#", qos=1) as seen:
        soon(module.publish.multiple, messages, "127.0.0.1", port)
        assert taken(seen, 5) == [
            (f"{topic}/dict", b"", 0),
            (f"{topic}/dict", b"all", 1),
            (f"{topic}/tuple", b"all", 1),
            (f"{topic}/tuple", b"", 0),
            (f"{topic}/list", b"two", 0),
        ]
    assert len(messages) == 5


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_many_messages_are_published(module: Any, port: int, topic: str, qos: int) -> None:
    with watching(port, topic) as seen:
        soon(module.publish.multiple, [(topic, str(n), qos, False) for n in range(300)], "127.0.0.1", port)
        assert [int(payload) for _, payload, _ in taken(seen, 300)] == list(range(300))


def test_a_message_is_retained_and_forgotten(module: Any, port: int, topic: str) -> None:
    soon(module.publish.single, topic, "kept", retain=True, qos=1, hostname="127.0.0.1", port=port)
    with watching(port, topic) as seen:
        assert taken(seen, 1) == [(topic, b"kept", 1)]
    soon(module.publish.single, topic, None, retain=True, qos=1, hostname="127.0.0.1", port=port)
    with watching(port, topic) as seen:
        soon(module.publish.single, topic, "new", hostname="127.0.0.1", port=port)
        assert taken(seen, 1) == [(topic, b"new", 0)]


def test_all_arguments_are_on_the_wire(module: Any) -> None:
    will = {"topic": "w", "payload": "gone", "qos": 1, "retain": True}
    auth = {"username": "u", "password": "p"}
    with playing(once()) as (played, port):
        soon(
            module.publish.single,
            "a/b",
            "payload",
            1,
            True,
            "127.0.0.1",
            port,
            "me",
            30,
            will,
            auth,
            None,
            4,
            "tcp",
            None,
        )
    assert played.packets == [
        "10 1d 00 04 4d 51 54 54 04 ee 00 1e 00 02 6d 65 00 01 77 00 04 67 6f 6e 65 00 01 75 00 01 70",
        "33 0e 00 03 61 2f 62 00 01 70 61 79 6c 6f 61 64",
        "e0 00",
    ]
    assert will == {"topic": "w", "payload": "gone", "qos": 1, "retain": True}
    assert auth == {"username": "u", "password": "p"}


def test_a_user_needs_no_password(module: Any) -> None:
    with playing(once()) as (played, port):
        soon(module.publish.single, "a", hostname="127.0.0.1", port=port, client_id="me", auth={"username": "u"})
    assert played.packets[0] == "10 11 00 04 4d 51 54 54 04 82 00 3c 00 02 6d 65 00 01 75"


@pytest.mark.parametrize(
    ("version", "connect", "ack", "publish"),
    [
        (3, "10 10 00 06 4d 51 49 73 64 70 03 02 00 3c 00 02 6d 65", "20 02 00 00", "30 04 00 01 61 62"),
        (4, "10 0e 00 04 4d 51 54 54 04 02 00 3c 00 02 6d 65", "20 02 00 00", "30 04 00 01 61 62"),
        (5, "10 0f 00 04 4d 51 54 54 05 02 00 3c 00 00 02 6d 65", "20 03 00 00 00", "30 05 00 01 61 00 62"),
    ],
)
def test_each_version_is_spoken(module: Any, version: int, connect: str, ack: str, publish: str) -> None:
    with playing(once(ack=ack)) as (played, port):
        soon(module.publish.single, "a", "b", hostname="127.0.0.1", port=port, client_id="me", protocol=version)
    assert played.packets == [connect, publish, "e0 00"]


def test_the_next_message_waits_for_the_acknowledgement(module: Any) -> None:
    with playing(once()) as (played, port):
        soon(module.publish.multiple, [("a", "1", 1, False), ("a", "2", 2, False), ("a", "3")], "127.0.0.1", port)
    assert played.packets[1:] == [
        "32 06 00 01 61 00 01 31",
        "34 06 00 01 61 00 02 32",
        "62 02 00 02",
        "30 04 00 01 61 33",
        "e0 00",
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((None,), TypeError),
        ((5,), TypeError),
        (([],), ValueError),
        (((),), ValueError),
        (("",), ValueError),
    ],
)
def test_no_messages_are_refused(module: Any, arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        module.publish.multiple(*arguments)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("a text", TypeError),
        (None, TypeError),
        ({"payload": "without a topic"}, TypeError),
        ({"topic": "a", "colour": "red"}, TypeError),
        (("a/#", "wildcard"), ValueError),
        (("", "nowhere"), ValueError),
        (("a", "b", 3), ValueError),
        (("a", object()), TypeError),
    ],
)
def test_what_is_no_message_is_refused_when_its_turn_comes(module: Any, message: Any, error: type[Exception]) -> None:
    with playing(once(until=1)) as (played, port):
        with pytest.raises(error) as caught:
            soon(module.publish.multiple, [("a", "first", 1, False), message], "127.0.0.1", port)
        assert type(caught.value) is error
    assert played.packets[1:] == ["32 0a 00 01 61 00 01 66 69 72 73 74"]


@pytest.mark.parametrize("auth", [{"password": "p"}, {"username": "", "password": "p"}, {"username": None}])
def test_a_login_has_a_user(module: Any, auth: Any) -> None:
    for helper, arguments in ((module.publish.single, ("a",)), (module.subscribe.simple, ("a",))):
        with pytest.raises(KeyError, match="username"):
            helper(*arguments, auth=auth)


def test_an_empty_login_is_none(module: Any) -> None:
    with playing(once()) as (played, port):
        soon(module.publish.single, "a", hostname="127.0.0.1", port=port, client_id="me", auth={})
    assert played.packets[0] == "10 0e 00 04 4d 51 54 54 04 02 00 3c 00 02 6d 65"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "Unsupported protocol version"),
        (2, "Client identifier not valid"),
        (3, "Server unavailable"),
        (4, "Bad user name or password"),
        (5, "Not authorized"),
    ],
)
def test_a_refusal_is_raised(module: Any, code: int, words: str) -> None:
    for helper, arguments in ((module.publish.single, ("a",)), (module.subscribe.simple, ("a",))):
        with playing(once(ack=f"20 02 00 0{code}", until=0)) as (_, port):
            with pytest.raises(module.exception) as caught:
                # A client of version 3.1 that has an id does not try again as another.
                soon(helper, *arguments, hostname="127.0.0.1", port=port, client_id="me", protocol=3)
            assert (type(caught.value), str(caught.value)) == (module.exception, words)


def test_where_nobody_listens_is_told(module: Any) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        for helper in (module.publish.single, module.subscribe.simple):
            with pytest.raises(ConnectionRefusedError):
                helper("a", hostname="127.0.0.1", port=port)


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ({"transport": "pigeon"}, ValueError),
        ({"will": {"topic": ""}}, ValueError),
        ({"will": {"topic": "a", "qos": 3}}, ValueError),
        ({"will": {"payload": "nowhere"}}, TypeError),
        ({"tls": {"ca_certs": "/no/such/file"}}, FileNotFoundError),
        ({"tls": {"colour": "red"}}, TypeError),
        ({"keepalive": -1}, ValueError),
        ({"hostname": ""}, ValueError),
        ({"port": 0}, ValueError),
    ],
)
def test_what_no_client_takes_is_refused(module: Any, named: dict[str, Any], error: type[Exception]) -> None:
    for helper in (module.publish.single, module.subscribe.simple):
        with pytest.raises(error) as caught:
            helper("a", **named)
        assert type(caught.value) is error


# subscribe


def test_a_message_is_waited_for(module: Any, port: int, topic: str) -> None:
    soon(module.publish.single, topic, "kept", 1, True, "127.0.0.1", port)
    message = soon(module.subscribe.simple, topic, hostname="127.0.0.1", port=port)
    assert type(message) is module.message
    assert (message.topic, message.payload, message.qos, message.retain) == (topic, b"kept", 0, True)
    message = soon(module.subscribe.simple, topic, qos=1, hostname="127.0.0.1", port=port)
    assert (message.payload, message.qos) == (b"kept", 1)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_messages_are_waited_for(module: Any, port: int, topic: str, version: int) -> None:
    for n in range(3):
        soon(module.publish.single, f"{topic}/{n}", str(n), 1, True, "127.0.0.1", port)
    topics = [f"{topic}/{n}" for n in range(3)]
    messages = soon(module.subscribe.simple, topics, 2, 3, hostname="127.0.0.1", port=port, protocol=version)
    assert [(type(each), each.topic, each.payload, each.qos) for each in messages] == [
        (module.message, f"{topic}/{n}", str(n).encode(), 1) for n in range(3)
    ]


def test_what_is_retained_need_not_count(module: Any) -> None:
    retained, fresh = "31 06 00 01 61 6f 6c 64", "30 06 00 01 61 6e 65 77"
    for count_retained, payload in ((True, b"old"), (False, b"new")):
        with playing(once(more=(retained, fresh))) as (_, port):
            message = soon(module.subscribe.simple, "a", retained=count_retained, hostname="127.0.0.1", port=port)
            assert message.payload == payload


def test_no_more_messages_are_taken_than_wanted(module: Any) -> None:
    numbers = count()
    more = " ".join(f"30 04 00 01 61 {next(numbers):02x}" for _ in range(10))
    with playing(once(more=(more,))) as (_, port):
        messages = soon(module.subscribe.simple, "a", msg_count=4, hostname="127.0.0.1", port=port)
    assert [each.payload for each in messages] == [b"\0", b"\1", b"\2", b"\3"]


def test_a_subscription_is_on_the_wire(module: Any) -> None:
    with playing(once(more=("30 04 00 01 61 31",))) as (played, port):
        soon(module.subscribe.simple, ["a", "b/#"], 1, hostname="127.0.0.1", port=port, client_id="me", keepalive=9)
    assert played.packets == [
        "10 0e 00 04 4d 51 54 54 04 02 00 09 00 02 6d 65",
        "82 06 00 01 00 01 61 01",
        "82 08 00 02 00 03 62 2f 23 01",
        "e0 00",
    ]


def test_a_session_is_kept_if_wanted(module: Any, port: int, topic: str) -> None:
    arguments = {"hostname": "127.0.0.1", "port": port, "client_id": uuid4().hex, "clean_session": False}
    soon(module.publish.single, topic, "first", 1, True, "127.0.0.1", port)
    assert soon(module.subscribe.simple, topic, 1, **arguments).payload == b"first"
    soon(module.publish.single, topic, "while it was away", 1, False, "127.0.0.1", port)
    soon(module.publish.single, topic, None, 1, True, "127.0.0.1", port)
    seen = soon(module.subscribe.simple, topic, 1, 2, retained=False, **arguments)
    assert b"while it was away" in [each.payload for each in seen]


@pytest.mark.parametrize("named", [{"msg_count": 0}, {"msg_count": -1}, {"qos": 3}, {"qos": -1}])
def test_numbers_out_of_their_range_are_refused(module: Any, named: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(named))):
        module.subscribe.simple("a", **named)


def test_a_session_to_keep_needs_an_id(module: Any) -> None:
    with pytest.raises(ValueError, match="client id"):
        module.subscribe.simple("a", clean_session=False)


def test_a_function_gets_the_messages(module: Any, port: int, topic: str) -> None:
    got = []

    def take(client: Any, userdata: Any, message: Any) -> None:
        got.append((userdata, message.topic, message.payload))
        if len(got) == 2:
            client.disconnect()

    for n in (0, 1):
        soon(module.publish.single, f"{topic}/{n}", str(n), 1, True, "127.0.0.1", port)
    topics = [f"{topic}/0", f"{topic}/1"]
    assert soon(module.subscribe.callback, take, topics, 0, "mine", "127.0.0.1", port) is None
    assert got == [("mine", f"{topic}/0", b"0"), ("mine", f"{topic}/1", b"1")]


def test_what_the_function_raises_comes_out(module: Any) -> None:
    def refuse(client: Any, userdata: Any, message: Any) -> None:
        raise LookupError(message.payload)

    with playing(once(more=("30 04 00 01 61 31",), until=1)) as (_, port):
        with pytest.raises(LookupError) as caught:
            soon(module.subscribe.callback, refuse, "a", hostname="127.0.0.1", port=port)
        assert caught.value.args == (b"1",)


def test_with_mqtt_5_there_is_no_clean_session(module: Any) -> None:
    def end(client: Any, userdata: Any, message: Any) -> None:
        client.disconnect()

    with pytest.raises(ValueError, match=r"[Cc]lean"):
        module.subscribe.callback(end, "a", protocol=5)
    # Version 5 has lengths of properties in CONNACK, SUBACK and PUBLISH.
    with playing(five) as (played, port):
        soon(module.subscribe.callback, end, "a", hostname="127.0.0.1", port=port, protocol=5, clean_session=None)
    assert played.packets[-1] == "e0 00"


def five(visit: Visit) -> None:
    visit.take()
    visit.say("20 03 00 00 00")
    visit.take()
    visit.say("90 04 00 01 00 00 30 05 00 01 61 00 31")
    visit.take()
    assert not visit.take()


def test_a_connection_that_breaks_is_made_again(module: Any) -> None:
    with playing(once(until=1), once(more=("30 04 00 01 61 31",))) as (played, port):
        assert soon(module.subscribe.simple, "a", hostname="127.0.0.1", port=port).payload == b"1"
    assert [packet[:2] for packet in played.packets] == ["10", "82", "10", "82", "e0"]


# By TLS


class Secure(NamedTuple):
    """Where a broker listens for TLS, with a certificate for this machine and with one for another."""

    port: int
    elsewhere: int
    authority: Authority


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder)
    listeners = [
        f"""
[[listeners]]
host = "127.0.0.1"
port = 0
tls = {{ certificate = "{server.certificate}", key = "{server.key}" }}
"""
        for server in (authority.server(), authority.server("elsewhere", hosts=("elsewhere.example",)))
    ]
    with serving(folder, "".join(listeners)) as broker:
        yield Secure(*broker.ports, authority)


def test_tls_is_described_or_given(module: Any, secure: Secure, topic: str) -> None:
    port, authority = secure.port, secure.authority
    context = ssl.create_default_context(cafile=str(authority.path))
    described = {"ca_certs": str(authority.path)}
    soon(module.publish.single, topic, "kept", 1, True, "127.0.0.1", port, tls=described)
    for tls in ({"ca_certs": str(authority.path)}, context):
        message = soon(module.subscribe.simple, topic, hostname="127.0.0.1", port=port, tls=tls)
        assert message.payload == b"kept"


def test_who_is_not_trusted_is_not_spoken_to(module: Any, secure: Secure, tmp_path: Path) -> None:
    other = {"ca_certs": str(Authority(tmp_path).path)}
    with pytest.raises(ssl.SSLCertVerificationError):
        soon(module.publish.single, "a", hostname="127.0.0.1", port=secure.port, tls=other)


def test_any_name_will_do_for_who_says_so(module: Any, secure: Secure) -> None:
    described = {"ca_certs": str(secure.authority.path)}
    with pytest.raises(ssl.SSLCertVerificationError):
        soon(module.publish.single, "a", hostname="127.0.0.1", port=secure.elsewhere, tls=described)
    described = {"ca_certs": str(secure.authority.path), "insecure": True}
    assert soon(module.publish.single, "a", hostname="127.0.0.1", port=secure.elsewhere, tls=described) is None


# Where Telex does more than paho


def test_a_description_of_tls_serves_again(secure: Secure) -> None:
    """paho takes "insecure" out of it."""
    described = {"ca_certs": str(secure.authority.path), "insecure": True}
    for _ in range(2):
        telex.paho.publish.single("a", hostname="127.0.0.1", port=secure.port, tls=described)
    assert described == {"ca_certs": str(secure.authority.path), "insecure": True}


def test_messages_may_come_from_anything_that_has_some(broker: Server, topic: str) -> None:
    with watching(broker.port, topic) as seen:
        soon(telex.paho.publish.multiple, ((topic, str(n), 1, False) for n in range(3)), "127.0.0.1", broker.port)
        assert [payload for _, payload, _ in taken(seen, 3)] == [b"0", b"1", b"2"]
    with pytest.raises(ValueError, match="empty"):
        telex.paho.publish.multiple(iter(()))


def test_no_message_is_left_behind_when_a_connection_breaks() -> None:
    """paho goes on with the third then, and leaves when that is acknowledged: also if the second never was."""
    messages = [("a", "1", 1, False), ("a", "2", 1, False), ("a", "3", 1, False)]

    def breaks(visit: Visit) -> None:
        visit.take()
        visit.say("20 02 00 00")
        visit.take()
        visit.say("40 02 00 01")
        visit.take()

    with playing(breaks, once()) as (played, port):
        soon(telex.paho.publish.multiple, messages, "127.0.0.1", port)
    assert [packet for packet in played.packets if packet[0] != "1"] == [
        "32 06 00 01 61 00 01 31",
        "32 06 00 01 61 00 02 32",
        "32 06 00 01 61 00 02 32",  # to a new session, and so not as a duplicate
        "32 06 00 01 61 00 03 33",
        "e0 00",
    ]


def test_a_message_that_was_cut_off_is_published_again() -> None:
    """At QoS 0, too, since nobody can have got it; paho waits for ever then."""
    sizes = []

    def cuts(visit: Visit) -> None:
        visit.take()
        visit.say("20 02 00 00")

    def takes(visit: Visit) -> None:
        cuts(visit)
        while size := len(visit.rest()):
            sizes.append(size)

    with playing(cuts, takes) as (played, port):
        soon(telex.paho.publish.single, "a", bytes(32 << 20), hostname="127.0.0.1", port=port)
    assert len(played.visits) == 2
    assert sum(sizes) == 1 + 4 + 3 + (32 << 20) + 2  # a PUBLISH with a length of four bytes, and DISCONNECT


def test_a_message_that_was_taken_is_acknowledged_before_the_end() -> None:
    """paho says DISCONNECT first, and a kept session gets the message again."""
    with playing(once(more=("32 06 00 01 61 00 07 31",))) as (played, port):
        soon(telex.paho.subscribe.simple, "a", 1, hostname="127.0.0.1", port=port)
    assert played.packets[-2:] == ["40 02 00 07", "e0 00"]


def test_what_fails_leaves_no_connection_behind() -> None:
    """Also while somebody holds the error, and with it the client."""
    with playing(once()) as (played, port):
        with pytest.raises(TypeError) as caught:
            soon(telex.paho.publish.multiple, ["no message"], "127.0.0.1", port)
        assert caught.value.__traceback__ is not None
    assert [packet[:2] for packet in played.packets] == ["10"]


def test_a_proxy_leads_to_the_broker(broker: Server, topic: str) -> None:
    with proxying(Proxy(), "socks5") as proxy:
        way = {"proxy_type": 2, "proxy_addr": "127.0.0.1", "proxy_port": proxy.port}
        soon(telex.paho.publish.single, topic, "kept", 1, True, "127.0.0.1", broker.port, proxy_args=way)
        message = soon(telex.paho.subscribe.simple, topic, hostname="127.0.0.1", port=broker.port, proxy_args=way)
    assert message.payload == b"kept"
    assert proxy.asked == [("127.0.0.1", broker.port)] * 2


def test_a_message_that_the_broker_will_not_take_is_told() -> None:
    """It has a Maximum Packet Size of 20 (section 3.2.2.3.6); nobody would ever acknowledge this one."""
    with playing(once(ack="20 08 00 00 05 27 00 00 00 14", until=0)) as (played, port):
        with pytest.raises(telex.paho.MQTTException, match="too large"):
            soon(telex.paho.publish.single, "a", "b" * 30, 1, hostname="127.0.0.1", port=port, protocol=5)
    assert len(played.packets) == 1
