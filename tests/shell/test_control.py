"""Questions to the broker by MQTT, as Mosquitto has them: ``$CONTROL/broker/v1``."""

import json
from pathlib import Path
from typing import Any

import telex
from telex.server.config import Access, Listener, Rule
from telex.wire.packets import PingReq, PingResp, PubAck, Publish, SubAck, Subscribe, SubscriptionRequest
from tests.certificates import Authority
from tests.shell.knocking import config, here, inside, password_file, tls_of
from tests.shell.raw import RawClient

TOPIC = "$CONTROL/broker/v1"


# Without rules everybody may do everything but this.
BOSSES = Access(allow_anonymous=True, rules=[Rule(allow=["publish", "subscribe", "receive"])])


async def ask(client: RawClient, payload: bytes) -> Any:
    """The answer to one message."""
    await client.send(Publish(TOPIC, payload))
    answer = await client.receive()
    assert isinstance(answer, Publish), answer
    assert (answer.topic, answer.qos, answer.retain) == (f"{TOPIC}/response", 0, False)
    return json.loads(answer.payload)["responses"]


def commands(*names: str, **more: object) -> bytes:
    return json.dumps({"commands": [{"command": name, **more} for name in names]}).encode()


async def test_it_lists_listeners_and_plugins_in_the_order_of_the_questions(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path = str(tmp_path / "socket")
    (tmp_path / "acl").write_text("topic readwrite $CONTROL/#\n")
    access = Access(
        allow_anonymous=True, password_file=password_file(tmp_path / "users", ann="1"), acl_file=str(tmp_path / "acl")
    )
    listeners = [here(), here(tls=tls_of(authority.server())), here(protocol="websocket"), Listener(path=path)]
    async with telex.Broker(config=config(access, *listeners, control=True)) as broker, inside(broker.port) as client:
        plugins, nonsense, shown = await ask(client, commands("listPlugins", "dance", "listListeners"))
        assert plugins == {
            "command": "listPlugins",
            "data": {"plugins": [{"name": "acl_file"}, {"name": "certificate"}, {"name": "password_file"}]},
        }
        assert nonsense == {"command": "dance", "error": "Unknown command"}
        place = {"host": "127.0.0.1", "protocol": "mqtt", "tls": False}
        assert [{**each, "port": 0} if "port" in each else each for each in shown["data"]["listeners"]] == [
            {**place, "port": 0},
            {**place, "port": 0, "tls": True},
            {**place, "port": 0, "protocol": "websocket"},
            {"path": path, "protocol": "mqtt", "tls": False},
        ]


async def test_a_free_port_is_shown_as_the_one_in_use() -> None:
    async with telex.Broker(config=config(BOSSES, control=True)) as broker, inside(broker.port) as client:
        [shown] = await ask(client, commands("listListeners"))
        assert shown["data"]["listeners"][0]["port"] == broker.port


async def test_it_gives_correlation_data_back() -> None:
    async with telex.Broker(config=config(BOSSES, control=True)) as broker, inside(broker.port) as client:
        [first] = await ask(client, commands("listPlugins", correlationData="mine"))
        assert first["correlationData"] == "mine"


async def test_it_answers_what_it_does_not_understand() -> None:
    async with telex.Broker(config=config(BOSSES, control=True)) as broker, inside(broker.port) as client:
        for payload in [
            b"",
            b"{",
            b"[]",
            b"{}",
            b"\xff",
            b'{"commands": 1}',
            b'{"commands": [1]}',
            b'{"commands": [{}]}',
            b'{"commands": [{"command": 7}]}',
            b"[" * 100_000,
            commands(*["listPlugins"] * 101),
        ]:
            [answer] = await ask(client, payload)
            assert answer["error"].startswith("Payload not understood")
        assert await ask(client, b'{"commands": []}') == []


async def test_the_answer_goes_to_who_asked_and_the_question_to_nobody() -> None:
    async with telex.Broker(config=config(BOSSES, control=True)) as broker:
        async with inside(broker.port) as client, inside(broker.port) as curious:
            await curious.send(Subscribe(1, [SubscriptionRequest(each, 0) for each in ("#", "$CONTROL/#")]))
            assert isinstance(await curious.receive(), SubAck)
            await ask(client, commands("listPlugins"))
            await curious.send(PingReq())
            assert await curious.receive() == PingResp()


async def test_rules_say_who_may_ask() -> None:
    access = Access(
        allow_anonymous=True,
        rules=[Rule(deny=["publish"], topics=["$CONTROL/#"]), Rule(allow=["publish", "subscribe", "receive"])],
    )
    async with telex.Broker(config=config(access, control=True)) as broker, inside(broker.port) as client:
        await client.send(Publish(TOPIC, commands("listPlugins"), qos=1, packet_id=1))
        assert await client.receive() == PubAck(1, 0x87)
        await client.send(PingReq())
        assert await client.receive() == PingResp()


async def test_without_rules_nobody_may_ask() -> None:
    async with telex.Broker(config=config(None, control=True)) as broker, inside(broker.port) as client:
        await client.send(Publish(TOPIC, commands("listPlugins"), qos=1, packet_id=1))
        assert await client.receive() == PubAck(1, 0x87)


async def test_without_control_nobody_answers() -> None:
    async with telex.Broker(config=config(BOSSES)) as broker, inside(broker.port) as client:
        await client.send(Publish(TOPIC, commands("listPlugins")), PingReq())
        assert await client.receive() == PingResp()


async def test_a_retained_question_is_not_retained() -> None:
    async with telex.Broker(config=config(BOSSES, control=True)) as broker, inside(broker.port) as client:
        await client.send(Publish(TOPIC, commands("listPlugins"), retain=True))
        assert isinstance(await client.receive(), Publish)
        assert broker.engine.retained.count == 0
