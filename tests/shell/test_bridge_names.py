"""What bridges keep in the data directory."""

from pathlib import Path

import pytest

from telex.engine.options import Options
from telex.server.bridges.names import Names
from telex.server.broker import Broker
from telex.server.config import Access, Bridge, BridgeTopic, Config, ConfigError, Listener, Web

STATE = "$SYS/broker/connection/{}/state"


def test_nothing_is_written_without_bridges(tmp_path: Path) -> None:
    Names(tmp_path).keep({})
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_kept(tmp_path: Path) -> None:
    names = Names(tmp_path)
    names.keep({"local.cloud": "state"})
    again = Names(tmp_path)
    assert again.name == names.name
    assert again.sessions == {"local.cloud": "state"}
    assert again.topics("local.cloud") is None  # the remote has heard of none
    assert (tmp_path / "bridges.json").stat().st_mode & 0o077 == 0


def test_without_a_directory_each_has_a_name_of_its_own() -> None:
    assert Names(None).name != Names(None).name


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"name": 1}', '{"name": "a", "sessions": 5}', '{"name": "a", "sessions": {"b": []}}']
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bridges.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bridges\.json: it is damaged; delete it") as caught:
        Names(tmp_path)
    assert str(path) in str(caught.value)


def test_what_a_remote_has_heard_of_is_kept(tmp_path: Path) -> None:
    lines = [BridgeTopic(pattern="a/#", direction="both", qos=2, local_prefix="l/", remote_prefix="r/")]
    names = Names(tmp_path)
    names.keep({"local.cloud": "state"})
    names.heard("local.cloud", lines)
    names.heard("local.cloud", lines)
    names.heard("nobody", lines)
    names.keep({"local.cloud": "", "local.office": ""})
    again = Names(tmp_path)
    [line] = again.topics("local.cloud") or []
    assert (line.local_filter, line.remote_filter, line.direction, line.qos) == ("l/a/#", "r/a/#", "both", 2)
    assert again.topics("local.office") is None
    assert again.topics("nobody") is None


def test_topics_that_cannot_be_are_not_known(tmp_path: Path) -> None:
    text = '{"name": "a", "sessions": {"b": {"state": "", "topics": [["a/#/b", "in", 0, "", ""]]}}}'
    (tmp_path / "bridges.json").write_text(text)
    assert Names(tmp_path).topics("b") is None


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    obstacle = tmp_path / "bridges.new"
    obstacle.mkdir()
    names = Names(tmp_path)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"bridges\.json: it cannot be written"):
            names.keep({"a": ""})
    obstacle.rmdir()
    names.keep({"a": ""})  # what was not written is not taken for written
    assert Names(tmp_path).sessions == {"a": ""}


def _house(data: Path, *bridges: Bridge) -> Broker:
    listener = Listener(host="127.0.0.1", port=0, access=Access(allow_anonymous=True))
    return Broker(
        config=Config(listeners=[listener], data=str(data), web=Web(enabled=False), bridges=list(bridges)),
        options=Options(),
    )


async def test_the_session_of_a_bridge_that_is_described_no_more_ends(tmp_path: Path) -> None:
    topic = BridgeTopic(pattern="#", direction="out", qos=1)
    # Nobody is there: port 9 is that of a service that discards, and none runs on the loopback interface.
    cloud = Bridge(name="cloud", addresses=["mqtt://127.0.0.1:9"], topics=[topic], client_id="house")
    office = Bridge(name="office", addresses=["mqtt://127.0.0.1:9"], topics=[topic], client_id="desk")
    async with _house(tmp_path, cloud, office) as broker:
        assert {"local.house", "local.desk"} <= set(broker.engine.sessions)
    async with _house(tmp_path, office) as broker:
        assert "local.house" not in broker.engine.sessions
        assert "local.desk" in broker.engine.sessions
        assert broker.engine.retained.get(STATE.format("house"), broker.now()) is None
        assert broker.engine.retained.get(STATE.format("desk"), broker.now()) is not None
    assert Names(tmp_path).sessions == {"local.desk": STATE.format("desk")}
    async with _house(tmp_path) as broker:
        assert "local.desk" not in broker.engine.sessions
        assert broker.engine.retained.get(STATE.format("desk"), broker.now()) is None
    async with _house(tmp_path) as broker:
        assert broker.engine.sessions == {}
