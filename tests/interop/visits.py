"""One visit at a broker, told by each client library in the same words: who comes in, subscribes, publishes, and goes.

A visit knows nothing of whose broker it is. Where a library cannot say something
(the answer to a PUBLISH), that is missing in what it tells.
"""

import asyncio
import json
import os
import queue
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import gmqtt
import paho.mqtt.client as paho
import pytest

from tests.certificates import Issued
from tests.processes import SECONDS, find

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Door:
    """Where a client comes in.

    Args:
        scheme: mqtt, mqtts, ws, wss or unix.
        path: of the WebSocket's address, or of the Unix socket.
        ca: whom the client trusts to sign the server's certificate.
        certificate: what it shows of itself.
        source: the address that it comes from (paho and Mosquitto's commands only).
    """

    scheme: str
    port: int = 0
    path: str = "/mqtt"
    ca: Path | None = None
    certificate: Issued | None = None
    source: str = ""

    @property
    def is_secure(self) -> bool:
        return self.scheme in ("mqtts", "wss")

    @property
    def is_websocket(self) -> bool:
        return self.scheme in ("ws", "wss")

    @property
    def url(self) -> str:
        path = self.path if self.is_websocket else ""
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    @property
    def flags(self) -> list[str]:
        """The same for mosquitto_pub, mosquitto_sub and mosquitto_rr, which know no WebSocket."""
        if self.scheme == "unix":
            return ["--unix", self.path]
        flags = ["-h", "127.0.0.1", "-p", str(self.port)]
        if self.ca is not None:
            flags += ["--cafile", str(self.ca)]
        if self.source:
            flags += ["-A", self.source]
        if self.certificate is not None:
            flags += ["--cert", str(self.certificate.certificate), "--key", str(self.certificate.key)]
        return flags

    def context(self) -> ssl.SSLContext:
        """TLS as it is at this door."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if self.certificate is not None:
            context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        return context


@dataclass(frozen=True)
class Plan:
    """What a client has in mind.

    Args:
        version: 4 or 5.
        filters: all subscribed to at QoS 2.
        messages: topic, payload, QoS.
        last: the topic that comes when everything has come.
    """

    client_id: str
    user: str | None = None
    password: str | None = None
    version: int = 5
    filters: tuple[str, ...] = ()
    messages: tuple[tuple[str, str, int], ...] = ()
    last: str = ""


@dataclass
class Visit:
    """What came of it."""

    refused: int = 0
    """The code of CONNACK."""
    granted: list[int] = field(default_factory=list)
    answers: dict[str, int] | None = None
    """The codes of PUBACK and PUBREC by topic, of MQTT 5; None: this library does not tell."""
    got: list[tuple[str, str, int, bool]] = field(default_factory=list)
    """Topic, payload, QoS, whether it was retained."""


# paho


@contextmanager
def paho_client(door: Door, plan: Plan) -> Iterator["Paho"]:
    """A paho client that has its CONNACK."""
    client = Paho(door, plan)
    try:
        yield client
    finally:
        client.client.disconnect()
        client.client.loop_stop()


class Paho:
    """A paho client whose callbacks fill queues."""

    def __init__(self, door: Door, plan: Plan) -> None:
        transport = {"ws": "websockets", "wss": "websockets", "unix": "unix"}.get(door.scheme, "tcp")
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            plan.client_id,
            protocol=plan.version,
            transport=transport,
            reconnect_on_failure=False,
        )
        if door.is_websocket:
            self.client.ws_set_options(path=door.path)
        if door.is_secure:
            self.client.tls_set_context(door.context())
        if plan.user is not None:
            self.client.username_pw_set(plan.user, plan.password)
        self.messages: queue.Queue[tuple[str, str, int, bool]] = queue.Queue()
        self.answers: dict[int, int] = {}
        self._codes: queue.Queue[int] = queue.Queue()
        self._granted: queue.Queue[list[int]] = queue.Queue()
        self.client.on_connect = lambda c, u, flags, reason, p: self._codes.put(reason.value)
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self._granted.put([each.value for each in reasons])
        self.client.on_publish = self._on_publish
        self.client.on_message = lambda c, u, m: self.messages.put((m.topic, m.payload.decode(), m.qos, m.retain))
        self.client.connect(
            door.path if door.scheme == "unix" else "127.0.0.1", door.port or 1, bind_address=door.source
        )
        self.client.loop_start()
        self.code = self._codes.get(timeout=SECONDS)

    def _on_publish(self, client: object, data: object, mid: int, reason: object, properties: object) -> None:
        self.answers[mid] = reason.value  # type: ignore[attr-defined]

    def subscribe(self, filters: tuple[str, ...]) -> list[int]:
        self.client.subscribe([(each, 2) for each in filters])
        return self._granted.get(timeout=SECONDS)

    def publish(self, topic: str, payload: str, qos: int) -> int:
        info = self.client.publish(topic, payload, qos)
        info.wait_for_publish(SECONDS)
        return self.answers.get(info.mid, 0)

    def until(self, last: str) -> list[tuple[str, str, int, bool]]:
        """The messages up to that topic."""
        got = [self.messages.get(timeout=SECONDS)]
        while got[-1][0] != last:
            got.append(self.messages.get(timeout=SECONDS))
        return got


def by_paho(door: Door, plan: Plan) -> Visit:
    with paho_client(door, plan) as client:
        if client.code:
            return Visit(refused=client.code)
        visit = Visit(granted=client.subscribe(plan.filters))
        codes = {topic: client.publish(topic, payload, qos) for topic, payload, qos in plan.messages}
        if plan.version == 5:
            visit.answers = {topic: codes[topic] for topic, _, qos in plan.messages if qos}
        visit.got = client.until(plan.last)
        return visit


# aiomqtt


def by_aiomqtt(door: Door, plan: Plan) -> Visit:
    return asyncio.run(_by_aiomqtt(door, plan))


async def _by_aiomqtt(door: Door, plan: Plan) -> Visit:
    version = aiomqtt.ProtocolVersion.V5 if plan.version == 5 else aiomqtt.ProtocolVersion.V311
    client = aiomqtt.Client(
        door.path if door.scheme == "unix" else "127.0.0.1",
        door.port or 1,
        username=plan.user,
        password=plan.password,
        identifier=plan.client_id,
        protocol=version,
        transport={"ws": "websockets", "wss": "websockets", "unix": "unix"}.get(door.scheme, "tcp"),
        tls_context=door.context() if door.is_secure else None,
        websocket_path=door.path if door.is_websocket else None,
    )
    visit = Visit()
    async with asyncio.timeout(SECONDS):
        try:
            await client.__aenter__()
        except aiomqtt.MqttCodeError as error:
            return Visit(refused=getattr(error.rc, "value", error.rc))
        try:
            granted = await client.subscribe([(each, 2) for each in plan.filters])
            visit.granted = [getattr(each, "value", each) for each in granted]
            for topic, payload, qos in plan.messages:
                await client.publish(topic, payload, qos)
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                visit.got.append((str(message.topic), message.payload.decode(), message.qos, message.retain))
                if visit.got[-1][0] == plan.last:
                    break
        finally:
            await client.__aexit__(None, None, None)
    return visit


# gmqtt


def by_gmqtt(door: Door, plan: Plan) -> Visit:
    return asyncio.run(_by_gmqtt(door, plan))


async def _by_gmqtt(door: Door, plan: Plan) -> Visit:
    visit = Visit()
    granted: asyncio.Queue[list[int]] = asyncio.Queue()
    over = asyncio.Event()

    async def on_message(client: object, topic: str, payload: bytes, qos: int, properties: dict[str, object]) -> int:
        visit.got.append((topic, payload.decode(), qos, bool(properties["retain"])))
        if topic == plan.last:
            over.set()
        return 0

    client = gmqtt.Client(plan.client_id)
    client.set_config({"reconnect_retries": 0})
    if plan.user is not None:
        client.set_auth_credentials(plan.user, plan.password)
    client.on_message = on_message
    client.on_subscribe = lambda client, mid, codes, properties: granted.put_nowait(list(codes))
    async with asyncio.timeout(SECONDS):
        try:
            tls = door.context() if door.is_secure else False
            await client.connect("127.0.0.1", door.port, ssl=tls, version=plan.version)
            client.subscribe([gmqtt.Subscription(each, qos=2) for each in plan.filters])
            visit.granted = await granted.get()
            for topic, payload, qos in plan.messages:
                client.publish(topic, payload, qos=qos)
            await over.wait()
        except gmqtt.mqtt.handler.MQTTConnectError as error:
            visit.refused = error._code
        finally:
            with suppress(ssl.SSLError):  # the broker still says something: asyncio minds
                await client.disconnect()
    return visit


# mqtt.js


def by_mqtt_js(door: Door, plan: Plan) -> Visit:
    certificate = door.certificate
    told = {
        "url": door.url,
        "path": door.path if door.scheme == "unix" else None,
        "ca": str(door.ca) if door.ca else None,
        "cert": str(certificate.certificate) if certificate else None,
        "key": str(certificate.key) if certificate else None,
        "clientId": plan.client_id,
        "username": plan.user,
        "password": plan.password,
        "version": plan.version,
        "filters": plan.filters,
        "messages": plan.messages,
        "last": plan.last,
    }
    script = Path(__file__).with_name("visit.js")
    done = subprocess.run(
        [find("node"), str(script)],
        input=json.dumps(told),
        env={**os.environ, "NODE_PATH": node_path()},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    visit = Visit(refused=found["refused"], granted=found["granted"])
    visit.answers = found["answers"] if plan.version == 5 and not visit.refused else None
    visit.got = [(topic, payload, qos, retain) for topic, payload, qos, retain in found["got"]]
    return visit


def node_path() -> str:
    """Where npm's mqtt is; without it a test is skipped; in CI it fails."""
    places = [str(ROOT / "build" / "peers" / "node_modules"), *os.environ.get("NODE_PATH", "").split(os.pathsep)]
    for place in places:
        if place and (Path(place) / "mqtt").is_dir():
            return place
    if os.environ.get("CI"):
        pytest.fail("npm's package mqtt is not installed; tools/install-peers does that")
    pytest.skip("npm's package mqtt is not installed")


By = Callable[[Door, Plan], Visit]

LIBRARIES: dict[str, tuple[By, tuple[str, ...]]] = {
    "paho": (by_paho, ("mqtt", "mqtts", "ws", "wss", "unix")),
    "aiomqtt": (by_aiomqtt, ("mqtt", "mqtts", "ws", "wss", "unix")),
    "gmqtt": (by_gmqtt, ("mqtt", "mqtts")),
    "mqtt.js": (by_mqtt_js, ("mqtt", "mqtts", "ws", "wss", "unix")),
}
"""Each library, and the schemes that it knows."""
