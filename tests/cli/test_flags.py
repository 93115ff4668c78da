"""The flags that pub, sub and rr share: what they ask for, what they refuse, and what mosquitto_pub sends for them."""

import math
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from telex.cli import flags, pub
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from telex.wire.properties import Properties
from tests.processes import SECONDS, Server, find, free_port, run, running, telex_command, wait_for_port

MESSAGE = ("-t", "a/b", "-m", "x")


@pytest.fixture(autouse=True)
def no_options_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def parsed(*arguments: str) -> Any:
    """The flags of ``telex pub``, with a message to publish."""
    return pub.parsed([*MESSAGE, *arguments])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line that ``telex pub`` refuses them with."""
    with pytest.raises(SystemExit) as ended:
        pub.parsed(arguments)
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"telex: [^\n]+\n", err)
    return err.removeprefix("telex: ").removesuffix("; see telex pub --help\n").removesuffix("\n")


# How they are read


def test_a_value_is_the_next_word_whatever_it_is() -> None:
    options = parsed("-u", "-P", "-P", "-u", "--will-topic", "--help", "--will-payload", "", "-i", "--")
    assert (options.username, options.pw, options.will_topic) == ("-P", "-u", "--help")
    assert (options.will_payload, options.client_id) == ("", "--")
    assert pub.parsed(["-t", "a", "-m", "-1"]).message == "-1"
    assert pub.parsed(["-t", "a", "-m", ""]).message == ""


def test_flags_may_be_written_as_others_write_them() -> None:
    assert parsed("-q1").qos == 1
    assert parsed("--qos=1").qos == 1
    assert parsed("-dr").debug
    assert parsed("-dr").retain


def test_the_defaults_are_those_of_mosquitto_pub() -> None:
    options = parsed()
    assert (options.host, options.port, options.scheme, options.is_secure) == ("localhost", 1883, "mqtt", False)
    assert (options.version, options.keepalive, options.qos, options.client_id) == ("3.1.1", 60, 0, "")


@pytest.mark.parametrize(
    ("arguments", "port", "scheme"),
    [
        (["--cafile", "ca"], 8883, "mqtts"),
        (["--capath", "ca"], 8883, "mqtts"),
        (["--tls-use-os-certs"], 8883, "mqtts"),
        (["--psk", "ab", "--psk-identity", "me"], 8883, "mqtts"),
        (["-p", "8883"], 8883, "mqtts"),
        (["-p", "8883", "--insecure"], 8883, "mqtts"),
        (["-p", "8883", "--no-tls"], 8883, "mqtt"),
        (["-p", "1884", "--cafile", "ca"], 1884, "mqtts"),
        (["--ws"], 80, "ws"),
        (["--ws", "--cafile", "ca"], 443, "wss"),
        (["--ws", "-p", "8080"], 8080, "ws"),
        (["-L", "mqtt://x/a"], 1883, "mqtt"),
        (["-L", "mqtts://x/a"], 8883, "mqtts"),
        (["-L", "mqtts://x:1/a"], 1, "mqtts"),
        (["-L", "ws://x/a"], 80, "ws"),
        (["-L", "wss://x/a"], 443, "wss"),
        (["-L", "mqtt://x/a", "--cafile", "ca"], 1883, "mqtts"),
    ],
)
def test_the_port_and_the_way_follow_from_each_other(arguments: list[str], port: int, scheme: str) -> None:
    options = parsed(*arguments)
    assert (options.port, options.scheme, options.is_secure) == (port, scheme, scheme in ("mqtts", "wss"))


def test_a_url_says_all_and_what_comes_behind_it_has_the_last_word() -> None:
    options = pub.parsed(["-L", "mqtt://me:p%40ss@[::1]:1884/a/b/+c%20", "-n", "-h", "other", "-t", "d"])
    assert (options.host, options.port, options.username, options.pw) == ("other", 1884, "me", "p@ss")
    assert (options.url_topic, options.topic) == ("a/b/+c%20", "d")
    options = pub.parsed(["-h", "other", "-u", "you", "-t", "d", "-L", "mqtt://x/a/b", "-n"])
    assert (options.host, options.port, options.username, options.pw, options.topic) == ("x", 1883, "you", None, "a/b")


def test_for_a_subscriber_a_url_leaves_the_filters_alone() -> None:
    parser = flags.parser("sub", "A command that takes filters.")
    parser.add_argument("-t", "--topic", action="append")
    options = parser.parse_args(["-L", "mqtt://x/a/#", "-t", "b"])
    assert (options.url_topic, options.topic) == ("a/#", ["b"])


def test_a_prefix_is_completed_by_the_process_id() -> None:
    assert parsed("-I", "me-").client_id == f"me-{os.getpid()}"
    assert parsed("-I", "", "-c").client_id == str(os.getpid())


@pytest.mark.parametrize("text", ["-1", "∞", "4294967295"])
def test_a_session_may_be_kept_for_ever(text: str) -> None:
    options = parsed("-x", text, "-i", "me")
    assert (options.session_expiry_interval, options.version) == (math.inf, "5")


def test_the_version_is_mosquittos_unless_something_asks_for_another_one() -> None:
    for text, version in flags.VERSIONS.items():
        assert parsed("-V", text).version == version
    assert flags.parser("rr", "A request.", version="5").parse_args([]).version == "5"
    assert flags.parser("rr", "A request.", version="5").parse_args(["-V", "31"]).version == "3.1"


# What is refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-m", "x"], "-t TOPIC is needed: where to publish"),
        (["-t", "a"], "what is to be sent? Give one of -m, -f, -n and -s, or -l"),
        (["-t", "a", "-m", "x", "-n"], "-m and -n both say what is to be sent; give one of them"),
        (["-t", "a", "-f", "x", "-l"], "-f and -l both say what is to be sent; give one of them"),
        (["-t", "a/+", "-n"], "topic name 'a/+': '+' and '#' are for filters only [MQTT-3.3.2-2]"),
        (["-t", "", "-n"], "topic name is empty; it needs at least one character [MQTT-4.7.3-1]"),
        ([*MESSAGE, "--nope"], "there is no flag --nope"),
        ([*MESSAGE, "--topc", "b"], "there is no flag --topc; did you mean --topic?"),
        ([*MESSAGE, "--topc=b"], "there is no flag --topc; did you mean --topic?"),
        ([*MESSAGE, "-W", "1"], "there is no flag -W"),
        ([*MESSAGE, "nope"], "'nope' belongs to no flag; put quotes around a value with blanks"),
        ([*MESSAGE, "--retain=yes"], "--retain takes no value, found 'yes'"),
        ([*MESSAGE, "-h", ""], "-h is empty; give the broker's host, or leave it out for localhost"),
        ([*MESSAGE, "-h", "mqtt://x"], "-h mqtt://x: a host stands there alone; -L takes a URL"),
        ([*MESSAGE, "-h", "x:1884"], "-h x:1884: a host stands there alone: -h x -p 1884"),
        ([*MESSAGE, "-i", "a\udcff"], "-i b'a\\xff': it is not UTF-8, as which MQTT has all text"),
        (["-m", "x", "-t", "a\udcff"], "-t b'a\\xff': it is not UTF-8"),
        ([*MESSAGE, "-q", "3"], "argument -q/--qos: invalid choice: 3 (choose from 0, 1, 2)"),
        ([*MESSAGE, "-p", "0"], "argument -p/--port: '0' is not a number from 1 to 65535"),
        ([*MESSAGE, "-p", "65536"], "argument -p/--port: '65536' is not a number from 1 to 65535"),
        ([*MESSAGE, "-k", "4"], "argument -k/--keepalive: '4' is not a number from 5 to 65535"),
        ([*MESSAGE, "-k", "65536"], "argument -k/--keepalive: '65536' is not a number from 5 to 65535"),
        ([*MESSAGE, "-M", "0"], "argument -M/--max-inflight: '0' is not a number from 1 to 65535"),
        ([*MESSAGE, "-x", "-2"], "'-2' is not a number of seconds from 0 to 4294967294, nor -1"),
        ([*MESSAGE, "-x", "-V"], "'-V' is not a number of seconds"),
        ([*MESSAGE, "-i"], "-i needs a value"),
        ([*MESSAGE, "-D"], "-D needs COMMAND PROPERTY VALUE, or COMMAND user-property NAME VALUE"),
        ([*MESSAGE, "-i", "a", "-I", "b"], "-i and -I cannot be used together"),
        ([*MESSAGE, "-c"], "-c needs a client id, by which the broker knows the session: give -i ID"),
        ([*MESSAGE, "-x", "-1"], "a session for ever (-x) needs a client id"),
        ([*MESSAGE, "--will-payload", "x"], "--will-payload is part of a will, and there is none: give --will-topic"),
        ([*MESSAGE, "--will-qos", "0"], "--will-qos is part of a will"),
        ([*MESSAGE, "--will-retain"], "--will-retain is part of a will"),
        ([*MESSAGE, "-D", "will", "content-type", "x"], "-D will is part of a will"),
        ([*MESSAGE, "--will-topic", "a/#"], "topic name 'a/#': '+' and '#' are for filters only"),
        ([*MESSAGE, "-L", "http://x/y"], "'http://x/y' is no URL for -L, expected mqtt, mqtts, ws or wss"),
        ([*MESSAGE, "-L", "x/y"], "'x/y' is no URL for -L"),
        ([*MESSAGE, "-L", "mqtt://x"], "'mqtt://x' has no topic, expected mqtt://x/TOPIC"),
        ([*MESSAGE, "-L", "mqtt://x/"], "'mqtt://x/' has no topic"),
        ([*MESSAGE, "-L", "mqtt://x:0/a"], "'0' is no port, expected a number from 1 to 65535"),
        ([*MESSAGE, "-S", "-p", "1883"], "-S finds the port by itself: leave out -p, -L and --unix"),
        ([*MESSAGE, "--unix", "x", "--ws"], "--unix is a way of its own: leave out --ws, -A and --proxy"),
        ([*MESSAGE, "--unix", "x", "-A", "::1"], "--unix is a way of its own"),
        ([*MESSAGE, "--unix", "x", "--cafile", "y"], "--unix needs no TLS: leave out --cafile"),
        (
            [*MESSAGE, "-x", "5", "-D", "connect", "session-expiry-interval", "6"],
            "-x and -D connect session-expiry-interval say the same thing; give one of them",
        ),
        (
            [*MESSAGE, "-M", "5", "-D", "connect", "receive-maximum", "6"],
            "-M and -D connect receive-maximum say the same thing; give one of them",
        ),
        ([*MESSAGE, "--cert", "x"], "--cert needs --key too"),
        ([*MESSAGE, "--key", "x"], "--key needs --cert too"),
        ([*MESSAGE, "--keyform", "pem"], "--keyform needs --key too"),
        ([*MESSAGE, "--keyform", "engine"], "--keyform engine cannot be done, only pem"),
        ([*MESSAGE, "--tls-engine", "x"], "--tls-engine cannot be done: Python has no OpenSSL engines"),
        ([*MESSAGE, "--tls-engine-kpass-sha1", "x"], "--tls-engine cannot be done"),
        ([*MESSAGE, "--cert", "x", "--key", "y"], "--cert is part of TLS, and nothing asks for that: give --cafile"),
        ([*MESSAGE, "--insecure"], "--insecure is part of TLS"),
        ([*MESSAGE, "--ciphers", "x"], "--ciphers is part of TLS"),
        ([*MESSAGE, "--tls-alpn", "x"], "--tls-alpn is part of TLS"),
        ([*MESSAGE, "--tls-keylog", "x"], "--tls-keylog is part of TLS"),
        ([*MESSAGE, "--tls-version", "tlsv1.3"], "--tls-version is part of TLS"),
        ([*MESSAGE, "--tls-version", "tlsv1.1"], "argument --tls-version: invalid choice: 'tlsv1.1'"),
        ([*MESSAGE, "--psk", "ab"], "--psk needs --psk-identity too"),
        ([*MESSAGE, "--psk-identity", "me"], "--psk-identity needs --psk too"),
        ([*MESSAGE, "--psk", "ab", "--psk-identity", "me", "--cafile", "x"], "--psk is in place of certificates"),
        ([*MESSAGE, "--no-tls", "--cafile", "x"], "--no-tls, and --cafile asks for TLS"),
        ([*MESSAGE, "--no-tls", "-L", "mqtts://x/y"], "--no-tls, and mqtts:// asks for TLS"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert said in refusal(capsys, *arguments)


def test_who_receives_may_not_be_limited_before_mqtt_5(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("-M", "5").max_inflight == 5
    parser = flags.parser("sub", "A command that receives.")
    assert parser.parse_args(["-M", "5", "-V", "5"]).max_inflight == 5
    with pytest.raises(SystemExit):
        parser.parse_args(["-M", "5"])
    assert (
        "-M is what the broker may have on its way to us, and it cannot be told that before" in capsys.readouterr().err
    )


# What is refused, and with which exit code: as Debian's mosquitto_pub


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-t", "a"],
        ["-m", "x"],
        ["-t", "a", "-m", "x", "-n"],
        ["-t", "a", "-m", "x", "-m", "y"],
        ["-t", "a/+", "-m", "x"],
        ["-t", "a", "-m"],
        ["-t", "a", "-f", "/nowhere"],
        ["-t", "a", "-f", "/"],
        ["-t", "a", "-s"],
        [*MESSAGE, "--nope"],
        [*MESSAGE, "-q", "3"],
        [*MESSAGE, "-p", "70000"],
        [*MESSAGE, "-p", "1"],
        [*MESSAGE, "-h", "no-such-host.invalid"],
        [*MESSAGE, "-k", "1"],
        [*MESSAGE, "-V", "4"],
        [*MESSAGE, "-c"],
        [*MESSAGE, "-i", "a", "-I", "b"],
        [*MESSAGE, "-P", "password"],
        [*MESSAGE, "-x", "foo"],
        [*MESSAGE, "-x", "4294967296"],
        [*MESSAGE, "-M", "0"],
        [*MESSAGE, "--will-payload", "x"],
        [*MESSAGE, "--will-topic", "w", "--will-qos", "3"],
        [*MESSAGE, "--will-topic", "w/#"],
        [*MESSAGE, "--repeat", "0"],
        [*MESSAGE, "--repeat", "2", "--repeat-delay", "-1"],
        [*MESSAGE, "-L", "mqtt://127.0.0.1"],
        [*MESSAGE, "-L", "http://127.0.0.1/a"],
        [*MESSAGE, "-L"],
        [*MESSAGE, "--cafile", "/nowhere"],
        [*MESSAGE, "--cert", "/nowhere"],
        [*MESSAGE, "--keyform", "engine"],
        [*MESSAGE, "--psk", "ab"],
        [*MESSAGE, "--psk", "xy", "--psk-identity", "me"],
        [*MESSAGE, "--tls-engine", "foo", "--cafile", "/etc/ssl/certs/ca-certificates.crt"],
        [*MESSAGE, "--proxy", "foo"],
        [*MESSAGE, "--unix", "/nowhere"],
        [*MESSAGE, "--unix", "/nowhere", "--quiet"],
        [*MESSAGE, "-A", "192.0.2.1"],
        [*MESSAGE, "-i", "a", "-q", "2", "-r", "--nodelay", "-k", "5", "-M", "1", "-V", "31", "-A", "127.0.0.1"],
        [*MESSAGE, "-i", "a", "-c", "-x", "60", "--will-topic", "w", "-I"],
    ],
)
def test_mosquitto_pub_ends_with_the_same_code(debian_mosquitto: Server, arguments: list[str]) -> None:
    words = ["-p", str(debian_mosquitto.port), *arguments]
    theirs = run(find("mosquitto_pub"), *words)
    ours = run(*telex_command("pub", *words))
    assert ours.returncode == theirs.returncode
    assert ours.stdout == ""
    assert ours.stderr.count("\n") == bool(theirs.stdout or theirs.stderr)


# What is sent: as Debian's mosquitto_pub


class Peer:
    """A broker that takes one client after the other, and remembers what each has sent.

    Args:
        answers: whether it acknowledges what is published.
    """

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self._client: socket.socket | None = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(SECONDS)
        self.port: int = self._socket.getsockname()[1]
        self.visits: list[list[Packet]] = []
        self._is_over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def until_quiet(self) -> None:
        """Wait until a client has published, and nothing more comes for a while."""
        until = time.monotonic() + SECONDS
        count = 0
        while not count or count != self._published:
            assert time.monotonic() < until
            count = self._published
            time.sleep(0.2)

    @property
    def _published(self) -> int:
        return sum(isinstance(packet, Publish) for packets in self.visits for packet in packets)

    def hang_up(self) -> None:
        """End the connection of the client that is there."""
        assert self._client is not None
        self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._is_over = True
        socket.create_connection(("127.0.0.1", self.port), SECONDS).close()  # so that it looks
        self._thread.join(SECONDS)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            client, _ = self._socket.accept()
            with client:
                if self._is_over:
                    return
                client.settimeout(SECONDS)
                self._client = client
                self.visits.append([])
                self._talk(client, self.visits[-1])

    def _talk(self, client: socket.socket, packets: list[Packet]) -> None:
        decoder = Decoder()
        while data := client.recv(65_536):
            decoder.receive(data)
            while (packet := decoder.next_packet()) is not None:
                packets.append(packet)
                answer = self._answer(packet)
                if answer is not None:
                    client.sendall(encode(answer, decoder.version))
                if isinstance(packet, Disconnect):
                    return

    def _answer(self, packet: Packet) -> Packet | None:
        if isinstance(packet, Connect):
            said = packet.properties
            method = None if said is None else said.authentication_method
            return ConnAck(properties=None if method is None else Properties(authentication_method=method))
        if isinstance(packet, Subscribe):
            return SubAck(packet.packet_id, [each.qos for each in packet.requests])
        if isinstance(packet, Unsubscribe):
            return UnsubAck(packet.packet_id, [0] * len(packet.topic_filters))
        if not self._answers:
            return None
        if isinstance(packet, Publish) and packet.qos == 1:
            return PubAck(packet.packet_id)
        if isinstance(packet, Publish) and packet.qos == 2:
            return PubRec(packet.packet_id)
        return PubComp(packet.packet_id) if isinstance(packet, PubRel) else None


@contextmanager
def listening(*, answers: bool = True) -> Iterator[Peer]:
    peer = Peer(answers=answers)
    try:
        yield peer
    finally:
        peer.close()


def visits(*arguments: str) -> tuple[list[Packet], list[Packet]]:
    """What mosquitto_pub and telex pub send for the same flags."""
    with listening() as peer:
        words = ["-h", "127.0.0.1", "-p", str(peer.port), *arguments]
        assert run(find("mosquitto_pub"), *words).returncode == 0
        done = run(*telex_command("pub", *words))
        assert (done.returncode, done.stderr) == (0, "")
    theirs, ours = peer.visits
    return theirs, ours


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-i", "me"],
        ["-i", "me", "-u", "user"],
        ["-i", "me", "-u", "user", "-P", "pass word"],
        ["-i", "me", "-u", "user", "-P", ""],
        ["-i", "me", "-k", "30"],
        ["-i", "me", "-V", "mqttv31", "-q", "1"],
        ["-i", "me", "-V", "mqttv5", "-q", "2", "-r"],
        ["-i", "me", "-c"],
        ["-i", "me", "-c", "-V", "5"],
        ["-i", "me", "-x", "60", "-V", "5"],
        ["-i", "me", "-x", "60", "-c", "-V", "5"],
        ["-i", "me", "-x", "-1", "-V", "5"],
        ["-i", "me", "--will-topic", "w"],
        ["-i", "me", "--will-topic", "w", "--will-payload", "gone", "--will-qos", "2", "--will-retain"],
        [
            *("-i", "me", "--will-topic", "w", "--will-payload", "gone", "-D", "will", "will-delay-interval", "5"),
            *("-D", "will", "content-type", "text/plain", "-D", "will", "user-property", "a", "b"),
        ],
        [
            *("-i", "me", "-D", "publish", "content-type", "text/plain", "-D", "publish", "user-property", "a", "b"),
            *("-D", "publish", "response-topic", "c", "-D", "publish", "correlation-data", "-1", "-q", "1"),
            *("-D", "publish", "message-expiry-interval", "60", "-D", "publish", "payload-format-indicator", "1"),
        ],
        ["-i", "me", "-D", "connect", "user-property", "a", "b", "-D", "connect", "receive-maximum", "5"],
        ["-i", "me", "-D", "connect", "request-problem-information", "0"],
        ["-i", "me", "-D", "connect", "topic-alias-maximum", "5", "-D", "connect", "maximum-packet-size", "1000"],
        ["-i", "me", "-D", "connect", "authentication-method", "m", "-D", "connect", "authentication-data", "d"],
        ["-i", "me", "--repeat", "3"],
        ["-i", "me", "--repeat", "3", "-q", "1"],
        ["-i", "me", "--repeat", "2", "--repeat-delay", "0.01", "-q", "1"],
    ],
)
def test_mosquitto_pub_sends_the_same(arguments: list[str]) -> None:
    theirs, ours = visits(*MESSAGE, *arguments)
    assert [meaning(packet) for packet in ours] == [meaning(packet) for packet in theirs]


def meaning(packet: Packet) -> Any:
    """A packet without what each client decides by itself: packet ids, and limits that nobody asked for."""
    if isinstance(packet, Connect):
        said = packet.properties or Properties()
        names = (
            *("user_properties", "topic_alias_maximum", "maximum_packet_size", "authentication_method"),
            *("authentication_data", "request_problem_information"),
        )
        known = {name: getattr(said, name) for name in names}
        if said.receive_maximum not in (None, 20, 1_000):  # theirs and ours
            known["receive_maximum"] = said.receive_maximum
        if said.session_expiry_interval != 300:  # ours, while the client lives
            known["session_expiry_interval"] = said.session_expiry_interval or 0
        fields = (packet.client_id, packet.version, packet.clean_start, packet.keep_alive, packet.user_name)
        return "CONNECT", *fields, packet.password, packet.will, {name: value for name, value in known.items() if value}
    if isinstance(packet, Publish):
        return "PUBLISH", packet.topic, packet.payload, packet.qos, packet.retain, packet.dup, packet.properties
    if isinstance(packet, Disconnect):
        return "DISCONNECT", packet.reason_code
    return type(packet).__name__


def test_what_disconnect_is_to_say_is_said() -> None:
    flags = ("-D", "disconnect", "user-property", "a", "b", "-D", "disconnect", "reason-string", "enough")
    theirs, ours = visits(*MESSAGE, "-i", "me", "-V", "5", *flags)
    for packets in (theirs, ours):
        last = packets[-1]
        assert isinstance(last, Disconnect)
        assert last.properties is not None
        assert last.properties.user_properties == (("a", "b"),)
        assert last.properties.reason_string == "enough"


def test_a_session_gets_a_name_of_ours_where_none_is_given() -> None:
    with listening() as peer:
        done = run(*telex_command("pub", "-h", "127.0.0.1", "-p", str(peer.port), *MESSAGE, "-x", "60"))
        assert done.returncode == 0
    connect = peer.visits[0][0]
    assert isinstance(connect, Connect)
    assert re.fullmatch(r"telex-[0-9a-f]{16}", connect.client_id)
    assert connect.properties is not None
    assert connect.properties.session_expiry_interval == 60


# What -d prints: as Debian's mosquitto_pub


@pytest.mark.parametrize("qos", ["0", "1", "2"])
@pytest.mark.parametrize("version", ["31", "311", "5"])
def test_debug_prints_what_mosquitto_pub_prints(debian_mosquitto: Server, version: str, qos: str) -> None:
    words = ["-p", str(debian_mosquitto.port), *MESSAGE, "-d", "-i", "me", "-q", qos, "-V", version]
    theirs = run(find("mosquitto_pub"), *words)
    ours = run(*telex_command("pub", *words))
    assert ours.returncode == theirs.returncode == 0
    if qos == "0":  # has no packet id: mosquitto_pub shows a number that it does not send
        assert ours.stdout == theirs.stdout.replace("m1,", "m0,")
    else:
        assert ours.stdout == theirs.stdout


def test_debug_tells_the_name_that_the_broker_has_chosen(debian_mosquitto: Server) -> None:
    words = ["-p", str(debian_mosquitto.port), *MESSAGE, "-d", "-V", "5"]
    lines = run(*telex_command("pub", *words)).stdout.splitlines()
    assert lines[0] == "Client (null) sending CONNECT"
    assert re.fullmatch(r"Client auto-[-0-9A-F]+ received CONNACK \(0\)", lines[1])


# What is told when there is no broker


def test_a_broker_that_is_not_there_is_one_line_with_what_to_do() -> None:
    port = free_port()
    done = run(*telex_command("pub", *MESSAGE, "-p", str(port)))
    assert (done.returncode, done.stderr) == (
        1,
        f"telex: no broker answers at localhost, port {port}; start one with: telex serve -p {port}\n",
    )
    done = run(*telex_command("pub", *MESSAGE, "-h", "no-such-host.invalid"))
    assert (done.returncode, done.stderr) == (
        1,
        "telex: the host name 'no-such-host.invalid' does not resolve; check -h\n",
    )


def test_a_program_that_is_no_broker_leads_to_the_doctor() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        closing = threading.Thread(target=lambda: server.accept()[0].close(), daemon=True)
        closing.start()
        done = run(*telex_command("pub", *MESSAGE, "-h", "127.0.0.1", "-p", str(port)))
        closing.join(SECONDS)
    assert done.returncode == 1
    assert re.fullmatch(rf"telex: [^\n]+; to find out why: telex doctor 127.0.0.1 -p {port}\n", done.stderr)


@pytest.mark.parametrize("version", ["31", "311", "5"])
def test_who_may_not_come_in_ends_with_the_brokers_code(tmp_path: Path, version: str) -> None:
    config = tmp_path / "mosquitto.conf"
    port = free_port()
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\nlog_type error\n")
    with running(find("mosquitto"), "-c", str(config)):
        wait_for_port(port)
        words = ["-p", str(port), *MESSAGE, "-V", version]
        theirs = run(find("mosquitto_pub"), *words)
        ours = run(*telex_command("pub", *words))
        assert ours.returncode == theirs.returncode
        assert ours.stderr.startswith("telex: the broker refused the connection: ")
        assert ours.stderr.endswith("; it may want -u USER and -P PASSWORD\n")
        assert ours.stderr.count("\n") == 1
        assert run(*telex_command("pub", *words, "-u", "ann")).stderr.endswith("; check -u and -P\n")
