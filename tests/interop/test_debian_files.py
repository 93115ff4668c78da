"""Debian's /etc/mosquitto, served by the real Mosquitto and by Telex: each client has the same experience with both.

The files are the package's own, but for the root of the directories that they name,
with what somebody adds in conf.d: passwords by mosquitto_passwd, an ACL file, and
listeners with TLS and WebSocket. First one broker runs on them, then the other, at the
same ports. Each test says what happens, and holds for both.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.certificates import Authority
from tests.interop.serving import port_to_keep
from tests.interop.visits import LIBRARIES, By, Door, Plan, by_aiomqtt, by_paho, paho_client
from tests.processes import SECONDS, find, lines_until, run, running, serve_command, wait_for_port

PACKAGE = Path("/etc/mosquitto")
PLACES = ("/etc/mosquitto", "/var/lib/mosquitto", "/var/log/mosquitto", "/run/mosquitto")
PASSWORDS = {"alice": "wonder land", "warden": "keys", "editor": "pen", "müller": "straße"}
NOT_AUTHORIZED = {4: 5, 5: 0x87}
"""The code of CONNACK, by protocol version."""

ACCESS_CONF = """\
# Who may come in, and what they may do
per_listener_settings false
allow_anonymous false
password_file {etc}/passwords
acl_file {etc}/acl
"""
LISTENERS_CONF = """\
# From everywhere in the house
listener {mqtt} 127.0.0.1
listener 0 {run}/mosquitto.sock

listener {mqtts} 127.0.0.1
certfile {etc}/certs/server.pem
keyfile {etc}/certs/server-key.pem
tls_version tlsv1.2

# Machines have certificates in place of passwords
listener {machines} 127.0.0.1
cafile {etc}/ca_certificates/test-ca.pem
certfile {etc}/certs/server.pem
keyfile {etc}/certs/server-key.pem
require_certificate true
use_identity_as_username true
"""
WEBSOCKETS_CONF = """\
listener {ws} 127.0.0.1
protocol websockets

listener {wss} 127.0.0.1
protocol websockets
certfile {etc}/certs/server.pem
keyfile {etc}/certs/server-key.pem
"""
ACL = """\
# Everybody has a corner of its own
pattern readwrite devices/%u/%c/#

user alice
topic readwrite alice/#
topic deny alice/+/secret
topic read news/#

user editor
topic readwrite news/#

user warden
topic read #

user müller
topic readwrite straße/#
"""


@dataclass
class House:
    """A machine where Mosquitto was installed and set up, and what serves there."""

    conf: Path
    doors: dict[str, Door]
    process: subprocess.Popen[str] = field(init=False)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with a_house() as house:
        yield house


@contextmanager
def a_house() -> Iterator[House]:
    find("mosquitto")  # it brings the files
    # Not pytest's folder: root's brokers become the user mosquitto, who may not look into that.
    with tempfile.TemporaryDirectory(prefix="telex-debian-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        yield furnished(root)


def furnished(root: Path) -> House:
    """The package's files, and what its user adds to them."""
    etc = root / "etc/mosquitto"
    shutil.copytree(PACKAGE, etc)
    for place in PLACES[1:]:
        (root / place[1:]).mkdir(parents=True)
    for conf in etc.rglob("*.conf"):
        text = conf.read_text()
        for place in PLACES:
            text = text.replace(place, f"{root}{place}")
        conf.write_text(text)
    authority = Authority(etc / "ca_certificates")
    issued = Authority(etc / "certs", "Other CA").directory  # one that signs nothing here
    server = authority.server()
    alice = authority.client("alice")
    for path in (server.certificate, server.key, alice.certificate, alice.key):
        path.rename(issued / path.name)
    alice = replace(alice, certificate=issued / alice.certificate.name, key=issued / alice.key.name)

    names = ("mqtt", "mqtts", "ws", "wss", "machines")
    ports = {name: port_to_keep() for name in names}
    words = {"etc": etc, "run": root / "run/mosquitto", **ports}
    (etc / "conf.d/10-access.conf").write_text(ACCESS_CONF.format(**words))
    (etc / "conf.d/20-listeners.conf").write_text(LISTENERS_CONF.format(**words))
    (etc / "conf.d/30-websockets.conf").write_text(WEBSOCKETS_CONF.format(**words))
    (etc / "acl").write_text(ACL)
    for number, (user, password) in enumerate(PASSWORDS.items()):
        flags = ["-b", "-c"] if number == 0 else ["-b"]
        done = run(find("mosquitto_passwd"), *flags, str(etc / "passwords"), user, password)
        assert done.returncode == 0, done.stderr
    if os.geteuid() == 0:
        for path in root.rglob("*"):
            shutil.chown(path, "mosquitto", "mosquitto")

    doors = {name: Door(name, ports[name]) for name in ("mqtt", "ws")}
    doors |= {name: Door(name, ports[name], ca=authority.path) for name in ("mqtts", "wss")}
    doors["machines"] = Door("mqtts", ports["machines"], ca=authority.path, certificate=alice)
    doors["unix"] = Door("unix", path=str(root / "run/mosquitto/mosquitto.sock"))
    return House(etc / "mosquitto.conf", doors)


COMMANDS = {"mosquitto": lambda: [find("mosquitto")], "telex": lambda: serve_command()}


@contextmanager
def started(word: str, house: House) -> Iterator[None]:
    """Start the broker of that name in a house; all is over when it has ended."""
    with running(*COMMANDS[word](), "-c", str(house.conf)) as process:
        if word == "telex":
            lines_until(process, "stop  ")
        for door in house.doors.values():
            if door.port:
                wait_for_port(door.port)
        house.process = process
        yield
        process.terminate()
        assert process.wait(SECONDS) == 0


@pytest.fixture(scope="module", params=COMMANDS)
def broker(request: pytest.FixtureRequest, house: House) -> Iterator[House]:
    """The house with a broker in it: one word is changed."""
    with started(request.param, house):
        yield house


def plan_of(client_id: str, user: str | None = "alice", version: int = 5, **more: object) -> Plan:
    return replace(Plan(client_id, user, PASSWORDS.get(user or ""), version), **more)  # type: ignore[arg-type]


CASES = [
    pytest.param(by, scheme, version, id=f"{library}-{scheme}-{version}")
    for library, (by, schemes) in LIBRARIES.items()
    for scheme in schemes
    for version in (4, 5)
    # Mosquitto takes seconds for a visit by WebSocket: one version for each library is enough.
    if scheme not in ("ws", "wss") or version == (4 if library == "aiomqtt" else 5)
]


@pytest.mark.parametrize(("by", "scheme", "version"), CASES)
def test_a_client_does_what_it_may(broker: House, by: By, scheme: str, version: int) -> None:
    door = broker.doors[scheme]
    client_id = f"{by.__name__}-{scheme}-{version}"
    base = f"alice/{client_id}"
    big = "0123456789" * 10_000
    plan = plan_of(
        client_id,
        version=version,
        filters=(f"{base}/#", "news/today", f"devices/+/{client_id}/#"),
        messages=(
            (f"{base}/0", "at most once", 0),
            (f"{base}/1", "at least once", 1),
            (f"{base}/2", "exactly once", 2),
            (f"{base}/big", big, 1),
            (f"{base}/secret", "denied to alice", 1),
            (f"devices/alice/{client_id}/up", "mine", 1),
            (f"devices/bob/{client_id}/up", "not mine", 1),
            ("news/today", "who am I to say", 1),
            (f"{base}/end", "end", 2),
        ),
        last=f"{base}/end",
    )
    may = [
        (f"{base}/0", "at most once", 0),
        (f"{base}/1", "at least once", 1),
        (f"{base}/2", "exactly once", 2),
        (f"{base}/big", big, 1),
        (f"{base}/end", "end", 2),
        (f"devices/alice/{client_id}/up", "mine", 1),
    ]
    with (
        paho_client(broker.doors["mqtt"], plan_of("editor", "editor")) as editor,
        paho_client(broker.doors["mqtt"], plan_of("warden", "warden")) as warden,
    ):
        assert warden.subscribe(("#",)) == [2]
        editor.client.publish("news/today", "good", 1, retain=True).wait_for_publish(SECONDS)
        visit = by(door, plan)
        seen = warden.until(plan.last)
    assert visit.refused == 0
    assert visit.granted == [2, 2, 2]  # subscriptions are never refused: what may not be read does not come
    assert sorted(visit.got) == sorted([*((*each, False) for each in may), ("news/today", "good", 1, True)])
    if visit.answers is not None:
        denied = {f"{base}/secret", f"devices/bob/{client_id}/up", "news/today"}
        assert visit.answers == {topic: 0x87 if topic in denied else 0 for topic, _, qos in plan.messages if qos}
    live = [(topic, payload, qos) for topic, payload, qos, retained in seen if not retained]
    assert sorted(live) == sorted([*may, ("news/today", "good", 1)])


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("by", [by for by, schemes in LIBRARIES.values()], ids=LIBRARIES)
def test_strangers_stay_outside(broker: House, by: By, version: int) -> None:
    door = broker.doors["mqtt"]
    refused = NOT_AUTHORIZED[version]
    wrong = replace(plan_of("wrong", version=version), password="wonderland")
    unknown = replace(plan_of("unknown", version=version), user="mallory")
    nobody = plan_of("nobody", None, version=version)
    without = replace(plan_of("without", version=version), password=None)
    for plan in (wrong, unknown, nobody, without):
        code = by(door, plan).refused
        # paho, which is in aiomqtt too, says 3.1.1's codes in the words of 5.0.
        assert code == (0x87 if by in (by_paho, by_aiomqtt) else refused), plan.client_id


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("by", [by for by, schemes in LIBRARIES.values()], ids=LIBRARIES)
def test_a_certificate_is_as_good_as_a_password(broker: House, by: By, version: int) -> None:
    client_id = f"machine-{by.__name__}-{version}"
    plan = Plan(
        client_id,
        version=version,
        filters=("alice/machine/#", "devices/alice/#"),
        messages=(
            (f"devices/alice/{client_id}/up", "hello", 1),
            ("alice/machine/secret", "no", 1),
            ("alice/machine/end", "", 2),
        ),
        last="alice/machine/end",
    )
    visit = by(broker.doors["machines"], plan)
    assert visit.refused == 0
    assert visit.got == [(f"devices/alice/{client_id}/up", "hello", 1, False), ("alice/machine/end", "", 2, False)]


def test_without_a_certificate_nobody_speaks_to_machines(broker: House) -> None:
    door = replace(broker.doors["machines"], certificate=None)
    with socket.create_connection(("127.0.0.1", door.port), timeout=SECONDS) as plain:
        # With TLS 1.3 the client's handshake is over before the server has looked at its certificate.
        with suppress(OSError), door.context().wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            assert secured.recv(1) == b""


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "unix"])
@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
def test_mosquittos_own_commands(broker: House, scheme: str, version: str) -> None:
    alice = [*broker.doors[scheme].flags, "-V", version, "-u", "alice", "-P", PASSWORDS["alice"]]
    base = f"alice/{scheme}-{version}"
    ready = run(find("mosquitto_pub"), *alice, "-t", f"{base}/ready", "-m", "yes", "-r", "-q", "1")
    assert (ready.returncode, ready.stdout, ready.stderr) == (0, "", "")
    with running(find("mosquitto_sub"), *alice, "-t", f"{base}/#", "-v", "-q", "2", "-C", "4") as sub:
        lines_until(sub, "ready yes")
        for qos in "012":
            sent = run(find("mosquitto_pub"), *alice, "-t", f"{base}/{qos}", "-m", "21.5", "-q", qos)
            assert (sent.returncode, sent.stdout, sent.stderr) == (0, "", "")
        assert sub.stdout is not None
        assert sorted(sub.stdout.read().splitlines()) == [f"{base}/{qos} 21.5" for qos in range(3)]
        assert sub.wait(SECONDS) == 0
    denied = run(find("mosquitto_pub"), *alice, "-t", f"{base}/secret", "-m", "x", "-q", "1")
    says = "Warning: Publish 1 failed: Not authorized.\n" if version == "mqttv5" else ""
    assert (denied.returncode, denied.stdout) == (0, "")
    assert denied.stderr.startswith(says)  # Telex says in words what was denied
    assert bool(denied.stderr) is bool(says)


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
@pytest.mark.parametrize("password", [["-P", "wrong"], []], ids=["wrong password", "no password"])
def test_mosquittos_own_commands_are_told_that_they_may_not_come_in(
    broker: House, version: str, password: list[str]
) -> None:
    flags = [*broker.doors["mqtts"].flags, "-V", version, "-u", "alice", *password, "-t", "alice/x"]
    code, words = (135, "Not authorized") if version == "mqttv5" else (5, "Connection Refused: not authorised.")
    for command in (["mosquitto_pub", "-m", "x"], ["mosquitto_sub", "-C", "1"]):
        done = run(find(command[0]), *flags, *command[1:])
        assert done.returncode == code
        assert done.stderr.startswith(f"Connection error: {words}\n")


def test_a_request_is_answered(broker: House) -> None:
    flags = [*broker.doors["mqtts"].flags, "-u", "alice", "-P", PASSWORDS["alice"]]
    with paho_client(broker.doors["wss"], plan_of("responder")) as responder:
        answers: list[object] = []

        def on_message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
            properties = Properties(PacketTypes.PUBLISH)
            assert message.properties is not None
            properties.CorrelationData = message.properties.CorrelationData
            answers.append(message.properties.ResponseTopic)
            client.publish(message.properties.ResponseTopic, message.payload.upper(), properties=properties)

        responder.client.on_message = on_message
        responder.subscribe(("alice/requests",))
        question = ["-t", "alice/requests", "-e", "alice/answers", "-m", "time?", "-W", "20"]
        correlation = ["-D", "publish", "correlation-data", "17"]
        asked = run(find("mosquitto_rr"), *flags, *question, *correlation)
        assert (asked.returncode, asked.stdout, asked.stderr) == (0, "TIME?\n", "")
    assert answers == ["alice/answers"]


def test_the_will_of_a_client_that_is_lost(broker: House) -> None:
    flags = [*broker.doors["mqtts"].flags, "-u", "alice", "-P", PASSWORDS["alice"]]
    will = ["--will-topic", "alice/will", "--will-payload", "lost", "--will-qos", "1"]
    run(find("mosquitto_pub"), *flags, "-t", "alice/here", "-m", "here", "-r")
    with paho_client(broker.doors["ws"], plan_of("heir")) as heir:
        heir.subscribe(("alice/will",))
        with running(find("mosquitto_sub"), *flags, *will, "-t", "alice/here") as lost:
            lines_until(lost, "here")
            lost.kill()
            assert heir.until("alice/will") == [("alice/will", "lost", 1, False)]


def test_a_session_is_kept(broker: House) -> None:
    flags = [*broker.doors["mqtts"].flags, "-u", "alice", "-P", PASSWORDS["alice"], "-q", "1"]
    kept = [find("mosquitto_sub"), *flags, "-i", "kept", "-c", "-t", "alice/missed"]
    assert run(*kept, "-E").returncode == 0
    assert run(find("mosquitto_pub"), *flags, "-t", "alice/missed", "-m", "while away").returncode == 0
    assert run(*kept, "-C", "1", "-v").stdout == "alice/missed while away\n"
    assert run(find("mosquitto_sub"), *flags, "-i", "kept", "-t", "alice/missed", "-E").returncode == 0


def test_sighup_brings_new_users_and_rights(broker: House) -> None:
    etc = broker.conf.parent
    acl = (etc / "acl").read_text()
    passwords = (etc / "passwords").read_text()
    newcomer = replace(plan_of("newcomer", "newcomer"), password="fresh")
    try:
        done = run(find("mosquitto_passwd"), "-b", str(etc / "passwords"), "newcomer", "fresh")
        assert done.returncode == 0
        if os.geteuid() == 0:  # mosquitto_passwd makes a new file
            shutil.chown(etc / "passwords", "mosquitto", "mosquitto")
        (etc / "acl").write_text(f"{acl}\nuser newcomer\ntopic readwrite newcomer/#\n")
        assert by_paho(broker.doors["mqtt"], newcomer).refused == 0x87
        broker.process.send_signal(signal.SIGHUP)
        visit = replace(
            newcomer, filters=("newcomer/#",), messages=(("newcomer/end", "I am here", 1),), last="newcomer/end"
        )
        until = time.monotonic() + SECONDS
        while (came := by_paho(broker.doors["mqtt"], visit)).refused:  # neither says when it has read everything
            assert time.monotonic() < until
        assert came.got == [("newcomer/end", "I am here", 1, False)]
    finally:
        (etc / "acl").write_text(acl)
        (etc / "passwords").write_text(passwords)


def wait_for_line(log: Path, line: str) -> None:
    until = time.monotonic() + SECONDS
    while not (log.exists() and re.search(rf"^\d+: {line}$", log.read_text(), re.MULTILINE)):
        assert time.monotonic() < until, f"no line like {line} in:\n{log.read_text()}"
        time.sleep(0.02)  # a file tells nobody that it has a new line


def test_everything_is_where_the_file_says(broker: House) -> None:
    root = broker.conf.parents[2]
    process = broker.process
    assert int((root / "run/mosquitto/mosquitto.pid").read_text()) == process.pid
    client = plan_of("in-the-log", filters=("alice/log",), messages=(("alice/log", "", 1),), last="alice/log")
    by_paho(broker.doors["mqtt"], client)
    for line in (
        r"New connection from 127\.0\.0\.1:\d+ on port \d+\.",
        r"New client connected from 127\.0\.0\.1:\d+ as in-the-log \(p5, c1, k60, u'alice'\)\.",
        r"Client in-the-log disconnected\.",
    ):
        wait_for_line(root / "var/log/mosquitto/mosquitto.log", line)
    status = Path(f"/proc/{process.pid}/status").read_text()
    users = set(re.findall(r"^Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$", status, re.MULTILINE)[0])
    expected = pwd.getpwnam("mosquitto").pw_uid if os.geteuid() == 0 else os.geteuid()
    assert users == {str(expected)}


def test_logs_are_rotated_as_debian_does_it(broker: House) -> None:
    log = broker.conf.parents[2] / "var/log/mosquitto/mosquitto.log"
    before = log.rename(log.with_name("mosquitto.log.1"))
    broker.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + SECONDS
    while not log.exists():
        assert time.monotonic() < until, before.read_text()
        time.sleep(0.02)  # neither says when it has a new file
    client_id = f"rotated-{broker.process.pid}"
    with paho_client(broker.doors["mqtt"], plan_of(client_id)):
        wait_for_line(log, f"New client connected from .* as {client_id} .*")
    assert client_id not in before.read_text()


@pytest.mark.parametrize("word", COMMANDS)
def test_what_was_kept_is_there_after_a_restart(word: str) -> None:
    with a_house() as house:
        flags = [*house.doors["mqtts"].flags, "-u", "alice", "-P", PASSWORDS["alice"], "-q", "1"]
        kept = [find("mosquitto_sub"), *flags, "-i", "kept", "-c", "-t", "alice/missed", "-v"]
        with started(word, house):
            assert run(*kept, "-E").returncode == 0
            for topic, retain in (("alice/missed", []), ("alice/retained", ["-r"])):
                done = run(find("mosquitto_pub"), *flags, "-t", topic, "-m", "still here", *retain)
                assert (done.returncode, done.stderr) == (0, "")
        with started(word, house):
            assert run(*kept, "-C", "1").stdout == "alice/missed still here\n"
            retained = run(find("mosquitto_sub"), *flags, "-t", "alice/retained", "-C", "1", "-v")
            assert retained.stdout == "alice/retained still here\n"


def test_the_package_as_it_is_can_be_used() -> None:
    with a_house() as house:
        shutil.rmtree(house.conf.parent / "conf.d")
        (house.conf.parent / "conf.d").mkdir()
        done = run(*serve_command("--test-config", "-c", str(house.conf)))
        assert (done.returncode, done.stderr) == (0, "")
