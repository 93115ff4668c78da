"""The REST API, operation by operation."""

import asyncio
import logging
from base64 import b64encode
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

import telex
from telex.client.will import Will
from telex.engine.message import Message
from telex.engine.seams import GatheringJournal
from telex.server.config import Access, Http, Protection, Rule, Web
from telex.server.events import MOST_EVENTS
from telex.server.stores.sqlite import MIGRATIONS, SqliteJournal
from telex.server.web.operations import ROOT
from tests.web.peers import until
from tests.web.port import Port, description, port, with_users

ADMIN = Web(administrators=["ann"])


async def publish(page: Port, topic: str, payload: str = "x", **more: Any) -> Any:
    user = more.pop("user", "")
    body = {"topic": topic, "payload": payload, **more}
    answer = await page.ask("POST", f"{ROOT}/publish", json=body, user=user)
    assert answer.status == 200, answer.text
    return answer.json


def retain(page: Port, topic: str, payload: bytes = b"x", *, ago: float = 0.0) -> None:
    """Retain a message of the broker's own, as if it had come a while ago."""
    engine = page.broker.engine
    engine.publish(Message(topic, payload, 0, retain=True), None, page.broker.now() - ago)


async def pages(page: Port, path: str, limit: int, **more: Any) -> list[list[Any]]:
    """All pages of a list."""
    found = []
    separator = "&" if "?" in path else "?"
    after = ""
    while True:
        part = await page.api(f"{path}{separator}limit={limit}{after}", **more)
        found.append(part["items"])
        if part["next"] is None:
            return found
        assert len(part["items"]) == limit
        after = f"&after={part['next']}"


# In general


async def test_what_is_wrong_is_a_problem() -> None:
    async with port() as page:
        for method, path, status in (
            ("GET", "/api/v1/nothing", 404),
            ("GET", "/api/v1", 404),
            ("GET", "/api/v2/me", 404),
            ("GET", "/api/v1/clients/", 404),
            ("GET", "/api/v1/clients/nobody", 404),
            ("PUT", "/api/v1/me", 405),
            ("GET", "/api/v1/session", 405),
            ("GET", "/api/v1/clients?limit=0", 400),
            ("GET", "/api/v1/clients?limit=1001", 400),
            ("GET", "/api/v1/clients?limit=x", 400),
            ("GET", "/api/v1/clients?after=!", 422),
            ("GET", "/api/v1/events?after=YQ", 422),
            ("GET", "/api/v1/clients?nothing=1", 400),
            ("GET", "/api/v1/events?kind=null", 400),
            ("DELETE", "/api/v1/clients/x?ban=NULL", 400),
            ("GET", "/api/v1/clients?limit=1&limit=2", 400),
            ("GET", "/api/v1/retained?filter=a/%23/b", 422),
            ("GET", "/api/v1/retained?filter=$share/g/a", 422),
            ("GET", "/api/v1/retained?older_than=week", 400),
            ("GET", "/api/v1/retained/a%2B", 422),
            ("DELETE", "/api/v1/retained", 400),
        ):
            answer = await page.ask(method, path)
            assert (answer.status, answer.content_type) == (status, "application/problem+json"), path
            problem = answer.json
            assert problem["type"] == "about:blank"
            assert problem["status"] == status
            assert problem["title"]
            assert problem["detail"]
        assert (await page.ask("PUT", "/api/v1/retained")).headers["Allow"] == "DELETE, GET"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"{}", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (
            b'{"topic": "a", "properties": {"user_properties": ' + b"[" * 500 + b"]" * 500 + b"}}",
            "application/json",
            400,
        ),
        (b'{"topic": "a", "colour": 1}', "application/json", 400),
        (b'{"topic": "a", "qos": 3}', "application/json", 400),
        (b'{"topic": "a", "qos": true}', "application/json", 400),
        (b'{"topic": ""}', "application/json", 400),
        (b'{"topic": "a/#"}', "application/json", 422),
        (b'{"topic": "a\\u0000"}', "application/json", 422),
        (b'{"topic": "a", "payload": "x", "payload_base64": "eA=="}', "application/json", 422),
        (b'{"topic": "a", "payload_base64": "x"}', "application/json", 422),
        (b'{"topic": "a", "properties": {"response_topic": "+"}}', "application/json", 422),
        (b'{"topic": "a", "properties": {"content_type": "\\u0000"}}', "application/json", 422),
        (b'{"topic": "a"}', "text/plain", 415),
        (b'{"topic": "a"}', "application/x-www-form-urlencoded", 415),
        (b" " * (9 * 1024 * 1024), "application/json", 413),
    ],
)
async def test_a_message_that_cannot_be_is_refused(body: bytes, content_type: str, status: int) -> None:
    async with port() as page:
        answer = await page.ask("POST", f"{ROOT}/publish", data=BytesIO(body), headers={"Content-Type": content_type})
        assert (answer.status, answer.content_type) == (status, "application/problem+json"), answer.text
        assert page.broker.engine.subscriptions.count == page.broker.engine.retained.count == 0


# The broker


async def test_the_broker_tells_of_itself() -> None:
    async with port(limits={"max_queued_messages": 77}) as page, telex.Client(page.mqtt, client_id="one") as client:
        async with client.subscribe("a/#", qos=1) as messages:
            await client.publish("a/b", "12345", qos=1, retain=True)
            await anext(messages)
            said = await page.api("/broker")
            assert (said["name"], said["version"], said["store"]) == ("Telex", telex.__version__, "memory")
            assert abs(datetime.fromisoformat(said["started"]).timestamp() - page.broker.started_at) < 0.01
            assert [(each["protocol"], each["tls"], each["clients"]) for each in said["listeners"]] == [
                ("mqtt", False, 1),
                ("http", False, 0),
            ]
            assert [each["address"] for each in said["listeners"]] == [page.mqtt, page.url]
            assert said["limits"]["max_queued_messages"] == 77
            counted = said["statistics"]
            assert (counted["clients"], counted["sessions"], counted["subscriptions"], counted["retained"]) == (1,) * 4
            assert (counted["messages_received"], counted["messages_sent"], counted["dropped"]) == (1, 1, 0)
            assert set(counted["rates"]) == {
                "messages_received_per_second",
                "messages_sent_per_second",
                "bytes_received_per_second",
                "bytes_sent_per_second",
                "dropped_per_second",
                "connections_per_second",
            }
            assert said["memory"] is None or said["memory"] > 1_000_000
            await client.publish("a/b", "12345", qos=1)
            assert (await page.api("/broker"))["statistics"]["latency"]["median"] > 0


async def test_the_configuration_is_told_without_its_secrets(tmp_path: Path) -> None:
    http = Http(url="http://eve:secret@127.0.0.1:9/x?token=secret", headers={"X-Key": "secret"}, when_down="pass")
    async with port(access=with_users(tmp_path, http=[http]), web=ADMIN) as page:
        answer = await page.get(f"{ROOT}/configuration", user="ann")
        assert answer.json["web"]["administrators"] == ["ann"]
        assert answer.json["limits"]["max_queued_messages"] == 1_000
        assert "secret" not in answer.text


# Publishing


async def test_a_message_is_published_with_all_that_it_has() -> None:
    async with port() as page, telex.Client(page.mqtt) as client, client.subscribe("a/#", qos=2) as messages:
        said = await publish(
            page,
            "a/b",
            "grün",
            qos=2,
            properties={
                "content_type": "text/plain",
                "response_topic": "r",
                "correlation_data": "AAE=",
                "message_expiry_interval": 60,
                "payload_format_indicator": 1,
                "user_properties": [["a", "1"], ["a", "2"]],
            },
        )
        assert said == {"reason_code": 0, "reason": "success"}
        message = await anext(messages)
        assert (message.topic, message.payload, message.qos) == ("a/b", "grün".encode(), 2)
        assert (message.content_type, message.response_topic, message.correlation_data) == ("text/plain", "r", b"\0\1")
        assert message.user_properties == (("a", "1"), ("a", "2"))
        body = {"topic": "a/c", "payload_base64": b64encode(b"\xff\0").decode()}
        assert (await page.ask("POST", f"{ROOT}/publish", json=body)).status == 200
        assert (await anext(messages)).payload == b"\xff\0"


async def test_nobody_to_get_it_is_told() -> None:
    async with port() as page:
        assert await publish(page, "a") == {"reason_code": 16, "reason": "no matching subscribers"}


async def test_what_mqtt_refuses_is_refused(tmp_path: Path) -> None:
    rules = [
        Rule(allow=["publish"], topics=["q0"], max_qos=0),
        Rule(allow=["publish"], topics=["live"], retain=False),
        Rule(allow=["publish"], users=["bob"], topics=["bob/#", "$SYS/#"]),
    ]
    limits = {"maximum_payload_size": 10, "max_topic_levels": 3, "max_retained_messages": 1, "maximum_qos": 1}
    async with port(access=with_users(tmp_path, rules=rules), limits=limits) as page:
        for more, status, code in (
            ({"topic": "q0", "qos": 1}, 403, 0x87),
            ({"topic": "live", "retain": True}, 403, 0x87),
            ({"topic": "ann/a"}, 403, 0x87),
            ({"topic": "$SYS/broker/version"}, 403, 0x87),
            ({"topic": "bob/a", "payload": "x" * 11}, 413, 0x97),
            ({"topic": "bob/a", "qos": 2}, 422, 0x9B),
            ({"topic": "bob/a/b/c", "retain": True}, 422, 0x90),
        ):
            answer = await page.ask("POST", f"{ROOT}/publish", json=more, user="bob")
            assert (answer.status, answer.json["reason_code"]) == (status, code), (more, answer.text)
        await publish(page, "q0", user="bob")
        await publish(page, "live", user="bob")
        await publish(page, "bob/a", retain=True, user="bob")
        answer = await page.ask(
            "POST", f"{ROOT}/publish", json={"topic": "bob/b", "payload": "x", "retain": True}, user="bob"
        )
        assert (answer.status, answer.json["reason_code"]) == (507, 0x97)
        denied = [each for each in page.broker.events.all() if each.kind == "denied"]
        assert [each.why for each in denied] == [
            "publish $SYS/broker/version",
            "publish ann/a",
            "publish live",
            "publish q0",
        ]
        assert denied[3].rule.startswith("rule 1")


async def test_who_brings_more_than_a_client_may_has_to_wait() -> None:
    async with port(protection=Protection(messages_per_second=2.0)) as page:

        async def status() -> int:
            return (await page.ask("POST", f"{ROOT}/publish", json={"topic": "a"})).status

        page.broker.now = lambda: clock  # type: ignore[method-assign]
        clock = 1_000_000.0
        assert [await status() for _ in range(3)] == [200, 200, 429]
        answer = await page.ask("POST", f"{ROOT}/publish", json={"topic": "a"})
        assert (answer.json["reason_code"], answer.headers["Retry-After"]) == (0x96, "1")
        clock += 2.0
        assert await status() == 200


async def test_what_is_promised_is_stored(tmp_path: Path) -> None:
    described = description(access=with_users(tmp_path), web=ADMIN, data=str(tmp_path / "data"))
    async with port(described) as page:
        await publish(page, "a/b", "kept", qos=1, retain=True, user="ann")
        journal = page.broker.engine.journal
        assert journal.committed == journal.appended > 0
        first = await page.api("/retained/a/b", user="ann")
        assert first["publisher"] == {"client_id": None, "user": "ann"}
    async with port(described) as page:
        assert await page.api("/retained/a/b", user="ann") == first, "also when it came, and from whom"
        page.broker.engine.journal.is_failing = True
        answer = await page.ask("POST", f"{ROOT}/publish", json={"topic": "a", "qos": 1}, user="ann")
        assert (answer.status, answer.json["reason_code"]) == (503, 0x97)
        page.broker.engine.journal.is_failing = False


class Slow(GatheringJournal):
    """A program's own journal, which is in no hurry."""

    def commits(self, broker: telex.Broker) -> None:
        self.committed = self.appended
        broker.on_committed()


async def test_a_programs_own_journal_has_its_time() -> None:
    journal = Slow()
    async with telex.Broker(config=description(), journal=journal) as broker, aiohttp.ClientSession() as session:
        page = Port(broker, session)
        publishing = asyncio.create_task(publish(page, "a", retain=True))
        await until(lambda: journal.appended > 0)
        assert not publishing.done()
        journal.commits(broker)
        assert (await publishing)["reason_code"] == 16


# Retained messages


async def test_of_what_an_older_telex_has_stored_nobody_knows_when_it_came(tmp_path: Path) -> None:
    store = SqliteJournal(tmp_path, migrations=MIGRATIONS[:1])
    store.open()
    store._connection.execute("INSERT INTO retained VALUES ('a', x'31', 1, NULL, NULL, 'sensor')")
    store._connection.close()
    async with port(data=str(tmp_path)) as page:
        [item] = (await page.api("/retained"))["items"]
        assert (item["topic"], item["published"]) == ("a", None)
        assert item["publisher"] == {"client_id": "sensor", "user": None}
        assert len((await page.api("/retained?older_than=1w"))["items"]) == 1, "it is older than anything that is known"


async def test_a_retained_message_knows_its_publisher(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        async with telex.Client(page.mqtt, client_id="sensor", user="bob", password="bob's") as client:
            await client.publish("home/room 1/temp", "21.5", qos=1, retain=True, message_expiry_interval=100)
            await client.publish("raw", b"\xff", qos=1, retain=True)
            await publish(page, "by/api", user="ann", retain=True)
            retain(page, "by/itself")
            items = {each["topic"]: each for each in (await page.api("/retained", user="ann"))["items"]}
            temp = items["home/room 1/temp"]
            assert (temp["size"], temp["qos"], temp["publisher"]) == (4, 1, {"client_id": "sensor", "user": "bob"})
            age = page.broker.now() - datetime.fromisoformat(temp["published"]).timestamp()
            assert 0 <= age < 60
            assert datetime.fromisoformat(temp["expires"]).tzinfo == UTC
            assert items["by/api"]["publisher"] == {"client_id": None, "user": "ann"}
            assert items["by/itself"]["publisher"] is items["by/itself"]["expires"] is None
            for path in ("home/room%201/temp", "home%2Froom%201%2Ftemp"):
                one = await page.api(f"/retained/{path}", user="ann")
                assert (one["topic"], one["payload"], one["payload_base64"]) == ("home/room 1/temp", "21.5", "MjEuNQ==")
            one = await page.api("/retained/raw", user="ann")
            assert (one["payload"], one["payload_base64"]) == (None, "/w==")
            assert (await page.get(f"{ROOT}/retained/nothing", user="ann")).status == 404


async def test_publishers_are_told_to_administrators_alone(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        async with telex.Client(page.mqtt, client_id="sensor", user="bob", password="bob's") as client:
            await client.publish("a", "x", qos=1, retain=True)
        for user, told in (("ann", {"client_id": "sensor", "user": "bob"}), ("bob", None)):
            [item] = (await page.api("/retained", user=user))["items"]
            one = await page.api("/retained/a", user=user)
            assert item["publisher"] == one["publisher"] == told
            assert item["published"] is not None, "when it was is no secret"


async def test_strange_topics_are_found_by_their_names() -> None:
    async with port() as page:
        for topic in ("/", "//", "a//b", "/a/", "ä/ö", "a?b", "a%2Fb", "a b&c=d", "a/../b", "a;b", "€" * 21_845):
            retain(page, topic)
            answer = await page.get(f"{ROOT}/retained/{quote(topic, safe='')}")
            assert (answer.status, answer.json.get("topic")) == (200, topic), topic


async def test_retained_messages_are_paged_in_order() -> None:
    async with port() as page:
        wanted = sorted(f"a/{number % 7}/{number}" for number in range(25))
        for topic in wanted:
            retain(page, topic)
        retain(page, "b/1")
        retain(page, "$mine/1")
        found = await pages(page, "/retained?filter=a/%23", 10)
        assert [len(part) for part in found] == [10, 10, 5]
        assert [each["topic"] for part in found for each in part] == wanted
        assert [each["topic"] for part in await pages(page, "/retained", 26) for each in part] == [*wanted, "b/1"]
        assert len((await page.api("/retained?filter=%2B/1/%23"))["items"]) == 5  # a/1/... and b/1
        assert len((await page.api("/retained?filter=$mine/%23"))["items"]) == 1


async def test_a_page_is_whole_though_messages_come_and_go_meanwhile() -> None:
    async with port() as page:
        for number in range(10):
            retain(page, f"a/{number}")
        first = await page.api("/retained?limit=5")
        retain(page, "a/7", b"")
        retain(page, "a/0", b"")
        rest = await page.api(f"/retained?limit=5&after={first['next']}")
        assert [each["topic"] for each in rest["items"]] == ["a/5", "a/6", "a/8", "a/9"]
        assert rest["next"] is None


async def test_the_age_of_a_message_can_be_asked_for() -> None:
    async with port() as page:
        for topic, ago in (("old", 7 * 86_400 + 60), ("young", 7 * 86_400 - 60), ("new", 0.0)):
            retain(page, topic, ago=ago)
        for age, topics in (("7d", ["old"]), ("1w", ["old"]), ("166h", ["old", "young"]), ("90", ["old", "young"])):
            assert [each["topic"] for each in (await page.api(f"/retained?older_than={age}"))["items"]] == topics
        done = await page.ask("DELETE", f"{ROOT}/retained?filter=%23&older_than=7d&dry_run=true")
        assert done.json == {"matched": 1, "removed": 0}
        done = await page.ask("DELETE", f"{ROOT}/retained?filter=%23&older_than=7d")
        assert done.json == {"matched": 1, "removed": 1}
        assert page.broker.engine.retained.count == 2


async def test_rights_are_those_of_mqtt(tmp_path: Path) -> None:
    rules = [
        Rule(deny=["receive"], topics=["home/secret/#"]),
        Rule(allow=["subscribe"], users=["bob"], topics=["home/#"]),
        Rule(allow=["publish"], users=["bob"], topics=["home/mine/#"]),
    ]
    async with port(access=with_users(tmp_path, rules=rules)) as page:
        for topic in ("home/a", "home/secret/b", "home/mine/c", "else"):
            retain(page, topic)
        assert (await page.get(f"{ROOT}/retained", user="bob")).status == 403
        assert (await page.get(f"{ROOT}/retained/else", user="bob")).status == 403
        assert (await page.get(f"{ROOT}/retained/home/secret/b", user="bob")).status == 404
        items = (await page.api("/retained?filter=home/%23", user="bob"))["items"]
        assert [each["topic"] for each in items] == ["home/a", "home/mine/c"]
        done = await page.ask("DELETE", f"{ROOT}/retained?filter=home/%23", user="bob")
        assert done.json == {"matched": 2, "removed": 1}
        assert {each.topic for each in page.broker.engine.retained.all()} == {"home/a", "home/secret/b", "else"}
        assert (await page.ask("DELETE", f"{ROOT}/retained?filter=%23", user="bob")).status == 403


async def test_fifty_thousand_are_cleared_while_others_go_on(tmp_path: Path) -> None:
    async with port(data=str(tmp_path), durability="relaxed", limits={"max_topic_levels": 10}) as page:
        for number in range(50_000):
            retain(page, f"branch/{number % 100}/{number}")
        retain(page, "tree")
        turns = 0
        is_over = False

        async def others() -> None:
            nonlocal turns
            while not is_over:
                turns += 1
                await asyncio.sleep(0)

        async with telex.Client(page.mqtt) as client, client.subscribe("branch/0/#") as messages:
            for _ in range(500):  # which are retained
                await anext(messages)
            task = asyncio.create_task(others())
            dry = await page.ask("DELETE", f"{ROOT}/retained?filter=branch/%23&dry_run=true")
            assert dry.json == {"matched": 50_000, "removed": 0}
            before = turns
            clearing = asyncio.create_task(page.ask("DELETE", f"{ROOT}/retained?filter=branch/%23"))
            cleared = await anext(messages)
            assert (cleared.payload, clearing.done()) == (b"", False)
            await client.publish("else", "x", qos=1)
            assert not clearing.done(), "a client is answered meanwhile"
            assert (await clearing).json == {"matched": 50_000, "removed": 50_000}
            assert turns - before >= 50_000 / 200
            is_over = True
            await task
        assert [each.topic for each in page.broker.engine.retained.all()] == ["tree"]
    async with port(data=str(tmp_path)) as page:
        assert [each.topic for each in page.broker.engine.retained.all()] == ["tree"]


# Clients, sessions, subscriptions


async def test_a_client_is_told_of(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        client = telex.Client(
            page.mqtt,
            client_id="a/b c",
            user="bob",
            password="bob's",
            keep_alive=77,
            will=Will("gone", "x"),
        )
        async with client, client.subscribe("a/#", qos=1) as messages:
            await client.publish("a/1", "12345", qos=1)
            await anext(messages)
            said = await page.api(f"/clients/{quote('a/b c', safe='')}", user="ann")
            assert said == (await page.api("/clients", user="ann"))["items"][0] | {"rates": said["rates"]}
            assert (said["client_id"], said["user"], said["version"], said["tls"]) == ("a/b c", "bob", "5.0", None)
            assert (said["protocol"], said["listener"], said["keep_alive"]) == ("mqtt", "127.0.0.1:0", 77)
            assert (said["subscriptions"], said["messages_received"], said["messages_sent"]) == (1, 1, 1)
            assert said["will_topic"] == "gone"
            assert said["address"].startswith("127.0.0.1:")
            assert said["rates"]["messages_received_per_second"] > 0
            [session] = (await page.api("/sessions", user="ann"))["items"]
            assert (session["connected"], session["user"], session["ends"]) == (True, "bob", None)


async def test_lists_of_clients_are_paged() -> None:
    async with port() as page:
        engine = page.broker.engine
        names = [f"client {number:02}/ü" for number in range(25)]
        for name in names:
            engine.change_expiry(engine.new_session(name), 60)
        found = await pages(page, "/sessions", 10)
        assert [each["client_id"] for part in found for each in part] == names
        assert [len(part) for part in found] == [10, 10, 5]
        assert (await page.api("/clients"))["items"] == []
        assert [len(part) for part in await pages(page, "/sessions", 25)] == [25]


async def test_a_client_is_disconnected_and_comes_back() -> None:
    async with port() as page, telex.Client(page.mqtt, client_id="one") as client:
        assert (await page.ask("DELETE", f"{ROOT}/clients/one")).status == 204
        await client.publish("a", "x", qos=1)
        kinds = [(each.kind, each.why) for each in reversed(page.broker.events.all())]
        assert [kind for kind, _ in kinds] == ["connected", "disconnected", "connected"]
        assert kinds[1][1] == "disconnected by an administrator (0x98 administrative action)"
        assert (await page.ask("DELETE", f"{ROOT}/clients/two")).status == 404


async def test_a_client_that_is_banned_does_not_come_back() -> None:
    async with port() as page:
        async with telex.Client(page.mqtt, client_id="one", reconnect=None):
            assert (await page.ask("DELETE", f"{ROOT}/clients/one?ban=300")).status == 204
        with pytest.raises(telex.Refused) as refused:
            async with telex.Client(page.mqtt, client_id="one", reconnect=None):
                pass
        assert refused.value.reason_code == 0x8A
        async with telex.Client(page.mqtt, client_id="two", reconnect=None):
            pass
        [ban] = (await page.api("/bans"))["items"]
        assert (ban["client_id"], ban["address"], ban["user"], ban["automatic"]) == ("one", None, None, False)
        assert 290 < datetime.fromisoformat(ban["until"]).timestamp() - page.broker.now() <= 300
        assert (await page.ask("DELETE", f"{ROOT}/bans/{ban['id']}")).status == 204
        assert (await page.ask("DELETE", f"{ROOT}/bans/{ban['id']}")).status == 404
        async with telex.Client(page.mqtt, client_id="one", reconnect=None):
            pass


async def test_a_session_is_ended_with_a_client_and_without(tmp_path: Path) -> None:
    async with port(data=str(tmp_path)) as page:
        engine = page.broker.engine
        engine.change_expiry(engine.new_session("away"), 60)
        async with telex.Client(page.mqtt, client_id="here", reconnect=None) as client, client.subscribe("a"):
            for name in ("away", "here"):
                assert (await page.ask("DELETE", f"{ROOT}/sessions/{name}")).status == 204
                assert (await page.ask("DELETE", f"{ROOT}/sessions/{name}")).status == 404
            assert engine.sessions == {}
            assert engine.subscriptions.count == 0
            assert engine.journal.committed == engine.journal.appended


async def test_subscriptions_are_found_by_what_they_are_about() -> None:
    async with (
        port() as page,
        telex.Client(page.mqtt, client_id="one") as one,
        telex.Client(page.mqtt, client_id="two") as two,
    ):
        async with (
            one.subscribe("home/+/temp", qos=1),
            one.subscribe("$share/group/home/a"),
            one.subscribe("else"),
            two.subscribe("home/a"),
        ):
            found = await pages(page, "/subscriptions", 3)
            assert [len(part) for part in found] == [3, 1]
            told = [(each["client_id"], each["filter"], each["share"]) for part in found for each in part]
            assert told == [
                ("one", "home/a", "group"),
                ("one", "else", None),
                ("one", "home/+/temp", None),
                ("two", "home/a", None),
            ]
            assert found[0][2]["qos"] == 1
            assert set(found[0][2]["options"]) == {"no_local", "retain_as_published", "identifier"}
            within = (await page.api("/subscriptions?filter=home/%2B"))["items"]
            assert [each["client_id"] for each in within] == ["one", "two"]
            assert len((await page.api("/subscriptions?client_id=one"))["items"]) == 3
            assert (await page.api("/subscriptions?client_id=three"))["items"] == []


# Bans


async def test_a_ban_begins_and_those_whom_it_is_about_leave(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        async with telex.Client(page.mqtt, client_id="one", user="bob", password="bob's", reconnect=None):
            body = {"user": "bob", "seconds": 60, "why": "too loud"}
            answer = await page.ask("POST", f"{ROOT}/bans", json=body, user="ann")
            assert (answer.status, answer.json["why"], answer.json["user"]) == (201, "too loud", "bob")
            assert "one" not in page.broker.engine.sessions or page.broker.engine.sessions["one"].client is None
        assert (await page.get(f"{ROOT}/me", user="bob")).status == 403
        with pytest.raises(telex.Refused):
            async with telex.Client(page.mqtt, user="bob", password="bob's", reconnect=None):
                pass
        kinds = [each.kind for each in page.broker.events.all()]
        assert "banned" in kinds


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"seconds": 60}, 422),
        ({"address": "here"}, 422),
        ({"address": "127.0.0.1"}, 409),
        ({"user": "x", "seconds": 0}, 400),
        ({"user": "x", "until": 1}, 400),
        ({"address": "192.0.2.1"}, 201),
        ({"address": "2001:db8::1", "user": "x"}, 201),
    ],
)
async def test_a_ban_names_somebody_else(body: dict[str, object], status: int) -> None:
    async with port() as page:
        answer = await page.ask("POST", f"{ROOT}/bans", json=body)
        assert answer.status == status, answer.text
        assert len((await page.api("/bans"))["items"]) == (status == 201)


async def test_bans_are_paged() -> None:
    async with port() as page:
        for number in range(5):
            await page.ask("POST", f"{ROOT}/bans", json={"user": f"user {number}"})
        found = await pages(page, "/bans", 2)
        assert [len(part) for part in found] == [2, 2, 1]
        assert len({each["id"] for part in found for each in part}) == 5


# What happened


async def test_events_are_told_the_newest_first_with_their_rules(tmp_path: Path) -> None:
    rules = [Rule(deny=["publish"], topics=["no/#"]), Rule(allow=["publish", "subscribe"])]
    async with port(access=Access(allow_anonymous=True, rules=rules)) as page:
        async with telex.Client(page.mqtt, client_id="one") as client:
            for _ in range(3):
                with pytest.raises(telex.Refused):
                    await client.publish("no/a", "x", qos=1)
            async with telex.Client(page.mqtt, client_id="one", reconnect=None):
                events = (await page.api("/events"))["items"]
                told = [(each["kind"], each["client_id"], each["count"]) for each in events]
                assert told[-2:] == [("denied", "one", 3), ("connected", "one", 1)]
                assert "takeover" in [each["kind"] for each in events]
                denied = (await page.api("/events?kind=denied"))["items"][0]
                assert denied["rule"] == "rule 1 (deny publish to no/#)"
                assert denied["why"] == "publish no/a"
                assert denied["user"] is None


async def test_no_more_than_the_last_events_are_kept() -> None:
    async with port() as page:
        for number in range(MOST_EVENTS + 10):
            page.broker.events.add("refused", float(number), address="a", why=f"{number}")
        found = await pages(page, "/events", 300)
        assert [len(part) for part in found] == [300, 200]
        assert [each["why"] for part in found for each in part][::499] == ["509", "10"]


async def test_the_log_is_told_from_a_level_on() -> None:
    logger = logging.getLogger("telex")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        async with port() as page:
            for number in range(1_005):
                logger.debug("line %d\n", number)
            logger.warning("careful")
            lines = (await page.api("/log?level=warning"))["items"]
            assert [(each["level"], each["text"]) for each in lines] == [("warning", "careful")]
            found = await pages(page, "/log", 400)
            assert [len(part) for part in found] == [400, 400, 200]
            assert found[0][1]["text"] == "line 1004\\n"
        assert page.broker.log_tail not in logger.handlers
    finally:
        logger.setLevel(before)


async def test_a_ban_of_failed_logins_is_an_event(tmp_path: Path) -> None:
    protection = Protection(ban_after=1)
    async with port(access=with_users(tmp_path), web=ADMIN, protection=protection) as page:
        assert (await page.get(f"{ROOT}/me", user="eve")).status == 401
        [banned, *_] = [each for each in page.broker.events.all() if each.kind == "banned"]
        assert (banned.user, banned.address, banned.why) == ("eve", "127.0.0.1", "failed logins")
