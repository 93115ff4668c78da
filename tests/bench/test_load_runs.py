"""Runs of each kind against Telex: what is counted, and that nothing is lost, comes twice or out of order."""

import dataclasses
import itertools
import threading
from collections.abc import Iterator

import pytest

from telex.bench import processes
from telex.bench.result import Progress, Result
from telex.bench.run import run
from telex.client.address import parse_address
from telex.client.dialing import Dialer
from telex.client.sync import SyncClient
from telex.client.tls import ClientTls
from tests.bench.conftest import NewPlan, flow
from tests.certificates import Authority
from tests.interop.serving import serving
from tests.processes import Server


def good(result: Result) -> Result:
    """It went as it should."""
    assert result.complaints == []
    assert result.is_good
    assert result.measured.seconds > 0
    sums = {name: sum(getattr(each, name) for each in result.by_second) for name in ("sent", "received")}
    assert sums == {"sent": result.measured.sent, "received": result.measured.received}
    return result


@pytest.mark.parametrize(("qos", "version"), [*itertools.product([0, 1, 2], [3, 4, 5])])
def test_pairs_of_every_qos_and_version(broker: Server, new_plan: NewPlan, qos: int, version: int) -> None:
    result = good(flow(new_plan(broker.port, qos=qos, version=version, publishers=2)))
    measured = result.measured
    assert measured.sent > 0
    assert measured.received > 0
    assert measured.received_bytes == 64 * measured.received
    assert measured.latency.count > 0
    assert result.connected == 4
    assert (measured.acknowledged > 0) is (qos > 0)


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize(
    ("kind", "asked", "copies"),
    [
        ("fanout", {"subscribers": 5}, 5),
        ("fanin", {"publishers": 5}, 1),
        ("fanin", {"publishers": 5, "wildcard": "+"}, 1),
        ("fanin", {"publishers": 5, "wildcard": "#"}, 1),
        ("fanout", {"subscribers": 3, "wildcard": "#", "topics": 4}, 3),
    ],
)
def test_many_hear_one_and_one_hears_many(
    broker: Server, new_plan: NewPlan, kind: str, qos: int, asked: dict[str, object], copies: int
) -> None:
    result = good(flow(new_plan(broker.port, kind, qos=qos, **asked)))
    assert result.measured.received > 0
    assert result.connected == 6 if copies != 3 else result.connected == 4


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_publishers_alone(broker: Server, new_plan: NewPlan, qos: int) -> None:
    result = good(flow(new_plan(broker.port, "pub", qos=qos, publishers=3)))
    assert result.measured.sent > 0
    assert result.measured.received == 0
    assert (result.measured.latency.count > 0) is (qos > 0)  # of acknowledgements


def test_a_group_gets_each_message_once(broker: Server, new_plan: NewPlan) -> None:
    result = good(flow(new_plan(broker.port, "fanout", subscribers=3, share="group", version=5, qos=1)))
    assert result.measured.received > 0
    assert result.measured.sent <= result.measured.received + 1_000  # not three times as many


def test_subscribers_alone_count_what_others_publish(broker: Server, new_plan: NewPlan) -> None:
    is_over = threading.Event()

    def publish() -> None:
        with SyncClient(f"mqtt://127.0.0.1:{broker.port}") as client:
            while not is_over.wait(0.005):
                client.publish("bench/0/0", b"x" * 10)

    others = threading.Thread(target=publish)
    others.start()
    try:
        measured = good(flow(new_plan(broker.port, "sub"), messages=5)).measured
    finally:
        is_over.set()
        others.join()
    assert measured.received >= 5
    assert measured.received_bytes == 10 * measured.received


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("rate", [500.0, 20_000.0])
def test_at_a_fixed_rate_each_message_is_timed(broker: Server, new_plan: NewPlan, rate: float, qos: int) -> None:
    plan = new_plan(broker.port, "latency", rate=rate, publishers=2, qos=qos)
    result = flow(plan, messages=20)
    assert result.measured.latency.count == result.measured.received >= 20
    assert (result.lost, result.duplicated, result.misordered) == (0, 0, 0)


def test_publishers_and_subscribers_of_every_kind(broker: Server, new_plan: NewPlan) -> None:
    result = good(flow(new_plan(broker.port, "mixed", publishers=9, subscribers=7, topics=2, depth=4)))
    assert result.measured.acknowledged > 0
    assert result.connected == 9 + 5  # two of the subscribers come and go


@pytest.mark.parametrize(
    "asked",
    [
        {"alias": True, "topics": 5, "qos": 1},
        {"alias": True, "topics": 300},
        {"user_properties": 3},
        {"user_properties": 3, "qos": 2, "topics": 3},
        {"retain": True, "topics": 3},
        {"topics": 3, "depth": 6, "wildcard": "+"},
        {"depth": 1},
        {"depth": 2, "qos": 1},
        {"kept": True, "qos": 1},
        {"window": 1},
        {"window": 5_000},
        {"size": 16},
        {"size": 5_000, "qos": 1},
        {"size": 300_000},
        {"size": 1_500_000, "qos": 1},
    ],
    ids=str,
)
def test_what_messages_and_sessions_may_be_like(broker: Server, new_plan: NewPlan, asked: dict[str, object]) -> None:
    messages = 5 if "size" in asked else 100
    assert good(flow(new_plan(broker.port, version=5, **asked), messages)).measured.received >= messages


@pytest.mark.parametrize("version", [4, 5])
def test_nothing_is_left_on_the_broker(broker: Server, new_plan: NewPlan, version: int) -> None:
    run(new_plan(broker.port, version=version, retain=True, kept=True, topics=3, retained=20, prefix=f"left{version}"))
    with SyncClient(f"mqtt://127.0.0.1:{broker.port}") as client, client.subscribe("#") as messages:
        client.publish("end", b"")
        assert next(iter(messages)).topic == "end"


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_pairs_on_mosquitto(debian_mosquitto: Server, new_plan: NewPlan, qos: int) -> None:
    assert good(flow(new_plan(debian_mosquitto.port, qos=qos, version=5, alias=True))).measured.received > 0


def test_the_largest_message(debian_mosquitto: Server, new_plan: NewPlan) -> None:
    assert good(flow(new_plan(debian_mosquitto.port, size=16 * 1024 * 1024, qos=1), 2)).measured.sent_bytes > 0


def test_with_a_window_of_one_each_message_is_timed(broker: Server, new_plan: NewPlan) -> None:
    measured = flow(new_plan(broker.port, window=1)).measured
    assert measured.latency.count == measured.received > 0


def test_it_is_told_how_far_it_has_come(broker: Server, new_plan: NewPlan) -> None:
    told: list[Progress] = []
    result = run(new_plan(broker.port, seconds=1.0, warm_up=0.2), told.append)
    phases = [each.phase for each in told if each.phase not in ("connecting", "draining")]
    assert phases == ["warming up", "measuring"]
    assert {(each.connected, each.of_connections) for each in told if each.phase != "connecting"} == {(2, 2)}
    assert [each.last for each in told if each.phase == "measuring"] == result.by_second
    assert len(result.by_second) == 1


def test_the_broker_is_watched(broker: Server, new_plan: NewPlan) -> None:
    result = run(new_plan(broker.port, watch=broker.process.pid, idle=3))
    assert result.watched is not None
    assert result.watched.memory_after > 1_000_000
    assert result.connected == 5
    assert result.described["kind"] == "pairs"
    assert "password" not in result.described


@pytest.mark.parametrize("kind", ["connect", "churn"])
def test_clients_that_publish_nothing(broker: Server, new_plan: NewPlan, kind: str) -> None:
    measured = good(flow(new_plan(broker.port, kind, publishers=3))).measured
    assert (measured.connected if kind == "connect" else measured.unsubscribed) > 0
    assert measured.sent == 0


@pytest.mark.parametrize(
    ("kind", "asked", "connected"),
    [
        ("fanout", {"subscribers": 4, "share": "group", "version": 5}, 5),
        ("mixed", {"publishers": 4, "subscribers": 4}, 7),
    ],
    ids=str,
)
def test_several_processes_come_to_the_same(
    broker: Server, new_plan: NewPlan, kind: str, asked: dict[str, object], connected: int
) -> None:
    assert good(run(new_plan(broker.port, kind, processes=2, **asked))).connected == connected


# Ways to the broker


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Dialer]]:
    """A broker with a listener of each kind; the way to each."""
    folder = tmp_path_factory.mktemp("everywhere")
    authority = Authority(folder)
    issued = authority.server()
    tls = f'[listeners.tls]\ncertificate = "{issued.certificate}"\nkey = "{issued.key}"\n'
    listener = '[[listeners]]\nhost = "127.0.0.1"\nport = 0\n'
    text = f'{listener}{tls}{listener}protocol = "websocket"\n{listener}protocol = "websocket"\n{tls}'
    text += f'[[listeners]]\npath = "{folder}/socket"\n'
    with serving(folder, text) as broker:
        trusting = ClientTls(ca_file=authority.path)
        secure, plain, both = broker.ports[:3]
        yield {
            "tls": Dialer(parse_address(f"mqtts://127.0.0.1:{secure}"), tls=trusting),
            "websocket": Dialer(parse_address(f"ws://127.0.0.1:{plain}/mqtt")),
            "secure websocket": Dialer(parse_address(f"wss://127.0.0.1:{both}/mqtt"), tls=trusting),
            "unix": Dialer(parse_address(f"unix://{folder}/socket")),
        }


@pytest.mark.parametrize("qos", [0, 2])
@pytest.mark.parametrize("way", ["tls", "websocket", "secure websocket", "unix"])
def test_all_ways_lead_there(everywhere: dict[str, Dialer], new_plan: NewPlan, way: str, qos: int) -> None:
    assert good(flow(new_plan("", dialer=everywhere[way], qos=qos, size=200))).measured.received > 0


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_any_loop_will_do(broker: Server, new_plan: NewPlan, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    import asyncio

    if loop == "uvloop":
        pytest.importorskip("uvloop")
    else:
        monkeypatch.setattr(processes, "new_loop", asyncio.new_event_loop)
    assert good(flow(new_plan(broker.port))).measured.received > 0


def test_a_plan_describes_itself(new_plan: NewPlan) -> None:
    plan = dataclasses.replace(new_plan(1883), user="u", password=b"secret")
    described = plan.described()
    assert (described["broker"], described["qos"]) == ("127.0.0.1:1883", 0)
    assert not {"user", "password", "dialer"} & set(described)
