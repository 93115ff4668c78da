"""Bridges as people see them by HTTP: the API, the lists of clients and sessions, the metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import telex
from telex.server.bridge_status import BridgeStatus
from telex.server.config import Access, Bridge, BridgeTopic, Listener, Rule, Web
from tests.processes import free_port
from tests.web.peers import until
from tests.web.port import Port, port, with_users
from tests.web.test_metrics import of, samples
from tests.web.test_rest import pages

BOTH = [BridgeTopic(pattern="#", direction="both", qos=1)]


def bridge_to(address: str, name: str = "cloud", **more: Any) -> Bridge:
    """A bridge that is soon back."""
    wishes = {"topics": BOTH, "restart_first": 0.05, "restart_most": 0.05, **more}
    return Bridge(name=name, addresses=[address], **wishes)


def status_of(page: Port, name: str = "cloud") -> BridgeStatus:
    return next(each for each in page.broker.bridges.statuses() if each.name == name)


async def is_open(page: Port) -> None:
    await until(lambda: all(each.state == "open" for each in page.broker.bridges.statuses()))


@asynccontextmanager
async def bridged(**more: Any) -> AsyncIterator[tuple[Port, Port]]:
    """A broker with a bridge that is connected, and the remote broker."""
    async with port() as there, port(bridges=[bridge_to(there.mqtt, **more)]) as here:
        await is_open(here)
        yield here, there


async def test_a_bridge_tells_how_it_is() -> None:
    async with (
        bridged(client_id="line4") as (here, there),
        telex.Client(there.mqtt) as far,
        telex.Client(here.mqtt) as near,
        far.subscribe("status", qos=1) as statuses,
        near.subscribe("orders", qos=1) as orders,
    ):
        await near.publish("status", "runs", qos=1)
        await far.publish("orders", "stop", qos=1)
        await anext(statuses)
        await anext(orders)
        await until(lambda: status_of(here).in_flight == 0)
        [told] = (await here.api("/bridges"))["items"]
        assert (told["name"], told["state"], told["address"]) == ("cloud", "open", there.mqtt)
        assert (told["reason"], told["next_attempt"], told["version"], told["tls"]) == (None, None, "5.0", None)
        assert (told["client_id"], told["local_client_id"]) == ("line4", "local.line4")
        assert (told["queued"], told["in_flight"], told["connections"]) == (0, 0, 1)
        assert told["messages_sent"] == status_of(here).messages_sent >= 1
        assert told["messages_received"] == status_of(here).messages_received >= 1
        assert told["bytes_sent"] > told["bytes_received"] > 0, "CONNECT and SUBSCRIBE are longer than their answers"
        assert told["rates"]["messages_sent_per_second"] > 0
        assert told["delay"] > 0
        assert (told["filtered"], told["looped"], told["rejected"], told["refused"]) == (0, 0, 0, {})
        assert here.broker.started_at < datetime.fromisoformat(told["since"]).timestamp() + 0.001


async def test_a_bridge_without_a_connection_tells_why_and_until_when() -> None:
    nobody = f"mqtt://127.0.0.1:{free_port()}"
    bridge = bridge_to(nobody, restart_first=300.0, restart_most=300.0)
    async with port(bridges=[bridge]) as here, telex.Client(here.mqtt) as near:
        await until(lambda: status_of(here).state == "waiting")
        await near.publish("status", "runs", qos=1)
        [told] = (await here.api("/bridges"))["items"]
        assert (told["state"], told["address"], told["queued"], told["connections"]) == ("waiting", nobody, 1, 0)
        assert "nothing listens there" in told["reason"]
        until_then = datetime.fromisoformat(told["next_attempt"]).timestamp() - here.broker.now()
        assert 0 < until_then <= 300


async def test_what_the_remote_broker_does_not_allow_is_told(tmp_path: Path) -> None:
    rules = [Rule(allow=["publish"], topics=["$SYS/#"]), Rule(allow=["subscribe"], topics=["orders/#"])]
    access = Access(allow_anonymous=True, rules=rules)
    topics = [BridgeTopic(pattern="orders/#", direction="in"), BridgeTopic(pattern="secret/#", direction="in")]
    async with port(access=access) as there, port(bridges=[bridge_to(there.mqtt, topics=topics)]) as here:
        await until(lambda: bool(status_of(here).refused))
        [told] = (await here.api("/bridges"))["items"]
        assert list(told["refused"]) == ["secret/#"]
        assert "not authorized" in told["refused"]["secret/#"].lower()


async def test_bridges_are_listed_page_by_page_by_their_names() -> None:
    bridges = [bridge_to(f"mqtt://127.0.0.1:{free_port()}", name, start="lazy") for name in ("c", "a", "b")]
    async with port(bridges=bridges) as here:
        found = await pages(here, "/bridges", 2)
        assert [[each["name"] for each in part] for part in found] == [["a", "b"], ["c"]]
        assert [each["state"] for part in found for each in part] == ["idle"] * 3
        assert [each["name"] for each in (await here.api("/bridges"))["items"]] == ["a", "b", "c"]
    async with port() as here:
        assert await here.api("/bridges") == {"items": [], "next": None}


async def test_bridges_are_for_administrators(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=Web(administrators=["ann"])) as here:
        assert (await here.get("/api/v1/bridges", user="ann")).status == 200
        assert (await here.get("/api/v1/bridges", user="bob")).status == 403
        assert (await here.get("/api/v1/bridges")).status == 401


# Among clients and sessions


async def test_a_bridge_is_among_those_who_are_connected() -> None:
    async with bridged(client_id="line4") as (here, there), telex.Client(here.mqtt, client_id="one"):
        found = (await here.api("/clients"))["items"]
        assert [(each["client_id"], each["bridge"]) for each in found] == [("local.line4", "cloud"), ("one", None)]
        shown = await here.api("/clients/local.line4")
        assert (shown["address"], shown["listener"], shown["protocol"], shown["user"]) == (there.mqtt, "", "mqtt", None)
        assert (shown["version"], shown["subscriptions"]) == ("5.0", 1)
        sessions = (await here.api("/sessions"))["items"]
        assert [(each["client_id"], each["connected"], each["bridge"]) for each in sessions] == [
            ("local.line4", True, "cloud"),
            ("one", True, None),
        ]
        assert (await here.api("/broker"))["statistics"]["clients"] == 2
        assert sum(each["clients"] for each in (await here.api("/broker"))["listeners"]) == 1


async def test_a_bridge_by_websocket_is_shown_with_the_user_whose_rights_it_has() -> None:
    listener = Listener(host="127.0.0.1", port=0, protocol="websocket")
    async with port(listeners=[listener]) as there:
        bridge = bridge_to(there.mqtt, user="line4", local_user="forwarder")
        async with port(bridges=[bridge]) as here:
            await is_open(here)
            [shown] = (await here.api("/clients"))["items"]
            assert (shown["protocol"], shown["user"], shown["bridge"]) == ("websocket", "forwarder", "cloud")
            assert shown["address"].startswith("ws://")
            [session] = (await here.api("/sessions"))["items"]
            assert session["user"] == "forwarder"


async def test_no_page_of_clients_is_short_because_of_a_bridge() -> None:
    async with bridged(client_id="line4") as (here, _), telex.Client(here.mqtt, client_id="one"):
        found = await pages(here, "/clients", 1)
        assert [[each["client_id"] for each in part] for part in found] == [["local.line4"], ["one"]]


async def test_a_session_that_waits_for_the_remote_broker_is_one_of_a_bridge() -> None:
    nobody = f"mqtt://127.0.0.1:{free_port()}"
    async with port(bridges=[bridge_to(nobody, client_id="line4")]) as here, telex.Client(here.mqtt) as near:
        await near.publish("status", "old", qos=1)
        [session] = [each for each in (await here.api("/sessions"))["items"] if each["bridge"] is not None]
        assert (session["client_id"], session["connected"], session["bridge"]) == ("local.line4", False, "cloud")
        assert (session["queued"], session["subscriptions"]) == (1, 1)
        assert (await here.ask("DELETE", "/api/v1/sessions/local.line4")).status == 204
        assert status_of(here).queued == 0
        await near.publish("status", "new", qos=1)
        assert status_of(here).queued == 1, "it gathers anew"


async def test_what_waits_for_a_bridge_that_is_connected_can_be_thrown_away_too() -> None:
    async with bridged(client_id="line4") as (here, there), telex.Client(there.mqtt) as far:
        assert (await here.ask("DELETE", "/api/v1/sessions/local.line4")).status == 204
        await until(lambda: status_of(here).connections == 2)
        async with far.subscribe("status", qos=1) as statuses, telex.Client(here.mqtt) as near:
            await near.publish("status", "new", qos=1)
            assert (await anext(statuses)).text == "new"


async def test_a_bridge_that_is_disconnected_comes_back() -> None:
    async with bridged(client_id="line4") as (here, _):
        assert (await here.ask("DELETE", "/api/v1/clients/local.line4")).status == 204
        await until(lambda: status_of(here).connections == 2)
        await is_open(here)
        [told] = (await here.api("/bridges"))["items"]
        assert told["reason"] == "disconnected by an administrator"


async def test_bans_are_about_those_who_come_in() -> None:
    async with bridged(client_id="line4") as (here, _):
        answer = await here.ask("DELETE", "/api/v1/clients/local.line4?ban=60")
        assert (answer.status, answer.json["detail"]) == (
            409,
            "That is a bridge of ours: it does not come in, and cannot be kept out.",
        )
        assert (await here.api("/bans"))["items"] == []
        ban = {"client_id": "local.line4", "seconds": 60}
        assert (await here.ask("POST", "/api/v1/bans", json=ban)).status == 201
        assert (status_of(here).state, status_of(here).connections) == ("open", 1)


# Metrics


async def test_each_bridge_has_its_metrics() -> None:
    async with port() as there:
        bridges = [bridge_to(there.mqtt), bridge_to(f"mqtt://127.0.0.1:{free_port()}", "nobody")]
        async with (
            port(bridges=bridges) as here,
            telex.Client(there.mqtt) as far,
            telex.Client(here.mqtt) as near,
            far.subscribe("a", qos=1) as messages,
        ):
            await until(lambda: status_of(here).state == "open" and bool(status_of(here, "nobody").reason))
            await near.publish("a", "12345", qos=1)
            await anext(messages)
            await until(lambda: status_of(here).in_flight == 0)
            found = await samples(here)
            assert (of(found, "telex_bridge_up", bridge="cloud"), of(found, "telex_bridge_up", bridge="nobody")) == (
                1,
                0,
            )
            assert of(found, "telex_bridge_queued_messages", bridge="nobody") == 1
            assert of(found, "telex_bridge_in_flight_messages", bridge="cloud") == 0
            assert of(found, "telex_bridge_delay_seconds", bridge="cloud") > 0
            assert of(found, "telex_bridge_connections_total", bridge="cloud") == 1
            assert of(found, "telex_bridge_messages_sent_total", bridge="cloud") == status_of(here).messages_sent == 1
            assert of(found, "telex_bridge_messages_received_total", bridge="cloud") == 0
            assert of(found, "telex_bridge_bytes_sent_total", bridge="cloud") > 0
            assert of(found, "telex_bridge_bytes_received_total", bridge="cloud") > 0
            for name in ("filtered", "looped", "rejected"):
                assert of(found, f"telex_bridge_messages_{name}_total", bridge="cloud") == 0


async def test_without_a_bridge_there_are_no_metrics_of_any() -> None:
    async with port() as here:
        assert not any("bridge" in name for name, _ in await samples(here))
