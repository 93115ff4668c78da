"""The bridges in Mosquitto's manual page, and in the mosquitto.conf that Debian brings, are taken as they are.

Not a letter of them is changed. What stands for the remote's machine is in the resolver: the names of the examples lead
to a broker of this test, whatever port they say. The listener of the broker that reads them is none of the examples'
business; it gets a free port.
"""

import asyncio
import gzip
import re
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs

import telex
from telex.server.config import Access, Config, Listener
from telex.server.mosquitto_conf import read_mosquitto_conf
from tests.bridges.brokers import described, is_open, subscribed, witness
from tests.processes import find

MANUAL: Final = Path("/usr/share/man/man5/mosquitto.conf.5.gz")
EXAMPLE: Final = Path("/usr/share/doc/mosquitto/examples/mosquitto.conf")
HOSTS: Final = ("test.mosquitto.org", "remote.example")
"""Of the example of the manual page; and what a test says where a document has a place to fill in."""


def there(path: Path) -> str:
    """What a document of Debian's package says."""
    find("mosquitto")
    if not path.exists():
        pytest.skip(f"{path} is not installed")
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()


def manual() -> str:
    """The manual page without what makes letters bold, and lines break."""
    text = there(MANUAL)
    for written, said in (
        (r"\-", "-"),
        (r"\*(Aq", "'"),
        (r"\fB", ""),
        (r"\fI", ""),
        (r"\fR", ""),
        (r"\&", ""),
        ("\\ ", " "),
    ):
        text = text.replace(written, said)
    return text


def block(after: str) -> str:
    """The first example behind these words, as it stands there."""
    text = manual()
    found = re.search(r"\.nf\n(.*?)\n\.fi", text[text.index(after) :], re.DOTALL)
    assert found is not None
    return "\n".join(each for each in found[1].splitlines() if not each.startswith("."))


@pytest.fixture
def remote_names(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says at which port of this machine the names of the examples are."""
    real = socket.getaddrinfo

    def say(port: int) -> None:
        def found(host: Any, wanted: Any, *words: Any, **more: Any) -> Any:
            return real("127.0.0.1", port, *words, **more) if host in HOSTS else real(host, wanted, *words, **more)

        monkeypatch.setattr(socket, "getaddrinfo", found)

    return say


def read(path: Path, text: str) -> Config:
    """What Telex reads of it, at a free port; without a word of warning."""
    path.write_text(text)
    warnings: list[str] = []
    config = read_mosquitto_conf(path, warn=warnings.append, environment={})
    assert warnings == []
    door = Listener(host="127.0.0.1", port=0, access=Access(allow_anonymous=True))
    return structs.replace(config, listeners=[door], data="", sys_interval=0)


def tells(story: Coroutine[Any, Any, None]) -> None:
    """On asyncio's own loop, which asks the resolver of Python."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(story)


def test_the_example_of_the_manual_page(tmp_path: Path, remote_names: Callable[[int], None]) -> None:
    text = block("Example Bridge Topic Remapping")
    assert text.splitlines() == [
        "connection test-mosquitto-org",
        "address test.mosquitto.org",
        "cleansession true",
        "topic clients/total in 0 test/mosquitto/org/ $SYS/broker/",
    ]

    async def tell() -> None:
        async with telex.Broker(config=described(sys_interval=1)) as remote:
            remote_names(remote.port)
            async with (
                telex.Broker(config=read(tmp_path / "mosquitto.conf", text)) as home,
                witness(home.port, "test/#") as here,
            ):
                await is_open(home, "test-mosquitto-org")
                await here.hears("test/mosquitto/org/clients/total", b"1")
                assert {each.topic for each in here.messages} == {"test/mosquitto/org/clients/total"}
                [visit] = remote.visits
                assert visit.client_id == f"{socket.gethostname()}.test-mosquitto-org"
                assert (visit.version, visit.clean_start) == (4, True)

    tells(tell())


def test_a_whole_tree_is_remapped_as_the_manual_page_has_it(
    tmp_path: Path, remote_names: Callable[[int], None]
) -> None:
    topic = block("To remap an entire topic tree")
    assert topic.strip() == "topic # both 2 local/topic/ remote/topic/"
    text = f"connection tree\naddress remote.example:1884\n{topic}\n"

    async def tell() -> None:
        async with telex.Broker(config=described()) as remote:
            remote_names(remote.port)
            async with (
                telex.Broker(config=read(tmp_path / "mosquitto.conf", text)) as home,
                witness(home.port) as here,
                witness(remote.port) as away,
            ):
                await subscribed(remote, f"{socket.gethostname()}.tree", "remote/topic/#")
                await here.client.publish("local/topic/a/b", b"1", qos=2)
                await away.hears("remote/topic/a/b", b"1")
                await away.client.publish("remote/topic/c", b"2", qos=2)
                await here.hears("local/topic/c", b"2")
                assert here.story == [("local/topic/a/b", b"1"), ("local/topic/c", b"2")]
                assert away.story == [("remote/topic/a/b", b"1"), ("remote/topic/c", b"2")]

    tells(tell())


ROWS: Final = [
    ("pattern L/ R/", "L/pattern", "R/pattern"),
    ('pattern L/ ""', "L/pattern", "pattern"),
    ('pattern "" R/', "pattern", "R/pattern"),
    ('pattern "" ""', "pattern", "pattern"),
    ('"" local remote', "local", "remote"),
]


def test_the_table_of_the_manual_page(tmp_path: Path, remote_names: Callable[[int], None]) -> None:
    """Each row that is valid carries what it says; each row that is not is refused."""
    told = re.sub(r"[^\w/\" ]+", " ", manual())
    assert "Full Local" in told
    assert "Full Remote" in told
    for row, (words, local, remote_topic) in enumerate(ROWS):
        pattern, *prefixes = words.split()
        text = f"connection row\naddress remote.example\ntopic {pattern} out 0 {' '.join(prefixes)}\n"

        async def tell(text: str = text, local: str = local, remote_topic: str = remote_topic) -> None:
            async with telex.Broker(config=described()) as remote:
                remote_names(remote.port)
                async with (
                    telex.Broker(config=read(tmp_path / f"{row}.conf", text)) as home,  # noqa: B023
                    witness(home.port, "nothing") as here,
                    witness(remote.port) as away,
                ):
                    await is_open(home, "row")
                    await here.client.publish(local, b"x")
                    await away.gets()
                    assert away.story == [(remote_topic, b"x")]

        tells(tell())
    for words in ('"" local ""', '"" "" remote', '"" "" ""'):
        with pytest.raises(ValueError, match="topic"):
            read(
                tmp_path / "wrong.conf",
                f"connection row\naddress remote.example\ntopic {words.replace(' ', ' out 0 ', 1)}\n",
            )


@pytest.mark.parametrize(
    ("example", "waits"), [("restart_timeout 20", (20.0, 20.0)), ("restart_timeout 10 30", (10.0, 30.0))]
)
def test_the_restart_times_of_the_manual_page(example: str, waits: tuple[float, float], tmp_path: Path) -> None:
    assert example in manual().splitlines()
    text = f"connection waits\naddress remote.example\n{example}\ntopic a\n"
    [bridge] = read(tmp_path / "mosquitto.conf", text).bridges
    assert (bridge.restart_first, bridge.restart_most) == waits


def bridge_section() -> str:
    """The part of Debian's mosquitto.conf about bridges."""
    text = there(EXAMPLE)
    start = text.index("# Bridges\n")
    return text[start : text.index("# External config files\n", start)]


def test_the_bridge_of_debians_file_is_taken_line_by_line(tmp_path: Path, remote_names: Callable[[int], None]) -> None:
    """Each option that the file has with a value, as it is there without the mark of a comment; what stands in
    angle brackets is filled in."""
    filled = {
        "#connection <name>": "connection debian",
        "#address <host>[:<port>] [<host>[:<port>]]": "address remote.example:1885",
        "#topic <topic> [[[out | in | both] qos-level] local-prefix remote-prefix]": "topic a/# both 1 here/ there/",
    }
    lines = []
    for each in bridge_section().splitlines():
        if each in filled:
            lines.append(filled[each])
        elif re.fullmatch(r"#[a-z_]+( [^<>]+)?", each):
            name, _, value = each[1:].partition(" ")
            if value:
                lines.append(each[1:])
            else:
                assert name in EMPTY, each
    assert lines[:2] == list(filled.values())[:2]
    assert {each.split()[0] for each in lines} >= {"cleansession", "notifications", "start_type", "try_private"}

    async def tell() -> None:
        async with telex.Broker(config=described()) as remote:
            remote_names(remote.port)
            async with (
                telex.Broker(config=read(tmp_path / "mosquitto.conf", "\n".join([*lines, ""]))) as home,
                witness(home.port) as here,
                witness(remote.port) as away,
            ):
                await subscribed(remote, f"{socket.gethostname()}.debian", "there/a/#")
                await here.client.publish("here/a/1", b"x", qos=1)
                await away.hears("there/a/1", b"x")
                await away.client.publish("there/a/2", b"y", qos=1)
                await here.hears("here/a/2", b"y")

    tells(tell())


EMPTY: Final = {
    "bridge_bind_address",
    "local_clientid",
    "local_password",
    "local_username",
    "notification_topic",
    "remote_clientid",
    "remote_password",
    "remote_username",
    "bridge_cafile",
    "bridge_capath",
    "bridge_alpn",
    "bridge_certfile",
    "bridge_keyfile",
    "bridge_psk",
    "bridge_identity",
}
"""Options that the file names without a value."""
