"""Mosquitto's ACL file, by itself and beside Debian's Mosquitto 2.0.11 with the same file."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from telex.client.aio import Client
from telex.client.subscription import Subscription
from telex.engine.permissions import Grant
from telex.errors import Refused
from telex.server.access.acl_file import AclFile, read_acl_file
from telex.server.config import ConfigError
from tests.processes import SECONDS, find, free_port, run, running, wait_for_port

FULL = """\
# Who has no name
topic read public/#
topic deny public/staff/#
topic $other/open

user ann
topic home/#
topic read news/+
topic write news/ann
  topic   deny   home/safe
topic write spaced topic/in the/middle
topic deny later/denied
topic later/#
topic read
topic read $other/read/#
topic readwrite home/safe/allowed too late
topic $share/a
topic twice/ann

user bob smith
topic readwrite bob/+/x
topic read only/read
topic write only/write
topic read both/ways
topic write both/ways
topic a//b
topic +/slash

user ann
topic afterwards/#

user cat
topic deny #

pattern read clients/%c/in
pattern write clients/%c/out
pattern readwrite users/%u/#
pattern both/%u/%c
pattern deny users/+/denied
pattern everybody/#
pattern users/+/denied
pattern %u/first
pattern $other/%c/x

user super
topic #
topic $other/#
topic $share/#
"""

WITHOUT_PATTERNS = """\
topic public/#
user ann
topic home/#
user wild+card
topic wild/#
user super
topic #
"""

ONE_PATTERN = """\
user we+ird
topic own/#
pattern places/%u/#
pattern read places/%c
user super
topic #
"""

NOTHING_FOR_OTHERS = "# no line at all\n\nuser super\ntopic #\n"

W, R = "publish", "receive"
Case = tuple[str | None, str, str, str, bool]

# user, client id, what it does, topic, whether it may
FULL_CASES: list[Case] = [
    # Clients without a user name have the lines before the first user, and no others
    (None, "c", R, "public/a", True),
    (None, "c", R, "public", True),
    (None, "c", W, "public/a", False),
    (None, "c", R, "public/staff/x", False),
    ("", "c", R, "public/a", True),
    ("", "c", W, "public/a", False),
    (None, "c", R, "publics", False),
    (None, "c", W, "$other/open", True),
    (None, "c", R, "$other/open", True),
    (None, "c", W, "home/a", False),
    ("ann", "c", R, "public/a", False),
    ("nobody", "c", R, "public/a", False),
    # Access
    ("ann", "c", W, "home", True),
    ("ann", "c", W, "home/kitchen/temp", True),
    ("ann", "c", R, "home/kitchen/temp", True),
    ("ann", "c", R, "news/today", True),
    ("ann", "c", W, "news/today", False),
    ("ann", "c", W, "news/ann", True),
    ("ann", "c", R, "news/ann", True),
    ("ann", "c", R, "news/a/b", False),
    ("bob smith", "c", R, "only/read", True),
    ("bob smith", "c", W, "only/read", False),
    ("bob smith", "c", R, "only/write", False),
    ("bob smith", "c", W, "only/write", True),
    ("bob smith", "c", R, "both/ways", True),
    ("bob smith", "c", W, "both/ways", True),
    # Denied wherever the line stands
    ("ann", "c", W, "home/safe", False),
    ("ann", "c", R, "home/safe", False),
    ("ann", "c", W, "home/safe/allowed too late", True),
    ("ann", "c", W, "later/denied", False),
    ("ann", "c", W, "later/other", True),
    ("cat", "c", R, "everybody/x", False),
    ("cat", "c", W, "users/cat/x", False),
    # Spaces, and one word behind the keyword
    ("ann", "c", W, "spaced topic/in the/middle", True),
    ("ann", "c", R, "spaced topic/in the/middle", False),
    ("ann", "c", W, "read", True),
    ("ann", "c", R, "read", True),
    ("bob smith", "c", W, "bob/1/x", True),
    ("bob smith", "c", W, "bob/1/2/x", False),
    ("bob", "c", W, "bob/1/x", False),
    ("smith", "c", W, "bob/1/x", False),
    # Levels
    ("bob smith", "c", W, "a//b", True),
    ("bob smith", "c", W, "a/x/b", False),
    ("bob smith", "c", W, "/slash", True),
    ("bob smith", "c", W, "a/slash", True),
    ("bob smith", "c", W, "a/slash/", False),
    # The lines of a user go on where the user is named again
    ("ann", "c", W, "afterwards/x", True),
    ("ann", "c", W, "home/again", True),
    # $
    ("super", "c", R, "$other/x", True),
    ("ann", "c", R, "$other/read/x", True),
    ("ann", "c", W, "$other/read/x", False),
    ("ann", "c", R, "$other/x", False),
    ("cat", "c", R, "$other/c/x", True),
    ("nobody", "c", W, "$other/c/x", True),
    ("$other", "c", W, "users/$other/x", True),
    # Names are told apart letter by letter
    ("Ann", "c", W, "home/a", False),
    ("ann", "c", W, "Home/a", False),
    ("añn", "c", W, "users/añn/x", True),
    # Patterns
    ("ann", "c1", R, "clients/c1/in", True),
    ("ann", "c1", W, "clients/c1/in", False),
    ("ann", "c1", W, "clients/c1/out", True),
    ("ann", "c2", W, "clients/c1/out", False),
    (None, "c1", R, "clients/c1/in", True),
    ("nobody", "c1", W, "clients/c1/out", True),
    ("dan", "c", W, "users/dan", True),
    ("dan", "c", W, "users/dan/a/b", True),
    ("dan", "c", W, "users/ann/a", False),
    ("dan", "c", W, "users/%u/a", False),
    (None, "c", W, "users//a", False),
    ("dan", "c7", R, "both/dan/c7", True),
    ("dan", "c7", R, "both/c7/dan", False),
    (None, "c7", R, "both//c7", False),
    ("dan", "c", W, "everybody/x", True),
    (None, "c", W, "everybody/x", True),
    ("dan", "c", W, "users/dan/denied", False),
    ("dan", "c", W, "users/x/denied", False),
    ("dan", "c", W, "dan/first", True),
    # Names with wildcards are for nobody's patterns
    ("da+n", "c", W, "everybody/x", False),
    ("da+n", "c", W, "users/da/x", False),
    ("+", "c", W, "users/ann/x", False),
    ("#", "c", R, "users", False),
    ("dan", "#", R, "clients/a/in", False),
    ("dan", "+", R, "everybody/x", False),
    (None, "+", R, "clients/a/in", False),
    (None, "+", R, "public/a", True),
    ("ann", "#", W, "home/a", True),
]

WITHOUT_PATTERNS_CASES: list[Case] = [
    ("ann", "c", W, "home/a", True),
    ("ann", "+", W, "home/a", True),
    ("wild+card", "#", W, "wild/a", True),
    ("nobody", "c", R, "home/a", False),
    ("nobody", "c", R, "public/a", False),
    (None, "c", R, "public/a", True),
    (None, "#", W, "public/a", True),
]

ONE_PATTERN_CASES: list[Case] = [
    ("we+ird", "c", W, "own/a", True),
    ("we+ird", "c", W, "places/weird/a", False),
    ("ann", "c", W, "places/ann/a", True),
    ("ann", "c", R, "places/c", True),
    (None, "c", R, "places/c", True),
    (None, "c", W, "places/c", False),
    (None, "%u", R, "places/%u", True),
]

NOTHING_CASES: list[Case] = [
    ("ann", "c", W, "a", False),
    ("ann", "c", R, "a", False),
    (None, "c", W, "a", False),
    (None, "c", R, "a", False),
]

FILES: dict[str, tuple[str, list[Case]]] = {
    "full": (FULL, FULL_CASES),
    "without patterns": (WITHOUT_PATTERNS, WITHOUT_PATTERNS_CASES),
    "one pattern": (ONE_PATTERN, ONE_PATTERN_CASES),
    "nothing": (NOTHING_FOR_OTHERS, NOTHING_CASES),
}
ALL_CASES = [(file, *case) for file, (_, cases) in FILES.items() for case in cases]

# What 2.1 changed: names are filled in as whole levels only, not with everything, and do not reach topics with $.
SINCE_2_1 = """\
pattern dev-%c/x
pattern users/%u/x
pattern a/%u
pattern %u/first
user super
topic #
topic $other/#
"""
SINCE_2_1_CASES: list[tuple[str | None, str, str, str, bool, bool]] = [
    # user, client id, what it does, topic, whether it may, whether it may in 2.0
    ("ann", "c1", W, "dev-c1/x", False, True),
    ("ann", "c1", W, "dev-%c/x", True, False),
    ("ann/b", "c", W, "users/ann/b/x", False, True),
    ("ann/b", "c", W, "users/ann/x", False, False),
    ("ann", "c", W, "users/ann/x", True, True),
    ("", "c", W, "users//x", False, False),
    ("$other", "c", R, "$other/first", False, True),
    (None, "c", W, "users//x", False, False),
]


def grant(text: str, user: str | None, client_id: str, action: str, topic: str) -> Grant:
    permissions = AclFile(text, "acl").permissions(user, client_id)
    return permissions.grant_publish(topic) if action == W else permissions.grant_receive(topic)


@pytest.mark.parametrize(("file", "user", "client_id", "action", "topic", "allowed"), ALL_CASES)
def test_the_lines_decide(file: str, user: str | None, client_id: str, action: str, topic: str, allowed: bool) -> None:
    found = grant(FILES[file][0], user, client_id, action, topic)
    assert (found.max_qos, found.may_retain) == ((2, True) if allowed else (-1, False)), found.rule


@pytest.mark.parametrize(("user", "client_id", "action", "topic", "allowed", "in_2_0"), SINCE_2_1_CASES)
def test_names_are_filled_in_as_mosquitto_2_1_does(
    user: str | None, client_id: str, action: str, topic: str, allowed: bool, in_2_0: bool
) -> None:
    assert (grant(SINCE_2_1, user, client_id, action, topic).max_qos == 2) is allowed


@pytest.mark.parametrize(
    ("user", "action", "topic", "rule"),
    [
        ("ann", W, "home/a", "acl:7: topic home/#"),
        ("ann", W, "home/safe", "acl:10: topic   deny   home/safe"),
        ("ann", R, "news/ann", "acl:8: topic read news/+"),
        ("ann", W, "news/ann", "acl:9: topic write news/ann"),
        (None, R, "public/staff/x", "acl:3: topic deny public/staff/#"),
        ("dan", W, "users/dan/x", "acl:37: pattern readwrite users/%u/#"),
        ("dan", W, "elsewhere", "no line allows it"),
        ("da#n", W, "elsewhere", "no line allows it; patterns are not for names with '+' or '#' in them"),
    ],
)
def test_an_answer_names_the_line_that_decided(user: str | None, action: str, topic: str, rule: str) -> None:
    assert grant(FULL, user, "c", action, topic).rule == rule


@pytest.mark.parametrize("topic_filter", ["#", "home/#", "$SYS/#", "whatever/+"])
def test_every_subscription_is_granted_and_messages_are_looked_at(topic_filter: str) -> None:
    permissions = AclFile(NOTHING_FOR_OTHERS, "acl").permissions("ann", "c")
    assert permissions.grant_subscribe(topic_filter).max_qos == 2
    assert permissions.limits_receiving


BAD_FILES = [
    ("topics a", "acl:1: saw 'topics', expected topic, user or pattern, and a space behind it"),
    ("# fine\n\ntopic\ta", "acl:3: saw 'topic\\ta', expected topic, user or pattern, and a space behind it"),
    (" # no comment", "acl:1: saw '#', expected topic, user or pattern, and a space behind it"),
    ("\ttopic a", "acl:1: saw '\\ttopic', expected topic, user or pattern, and a space behind it"),
    ("\ufefftopic a", "acl:1: saw '\\ufefftopic', expected topic, user or pattern, and a space behind it"),
    ("Topic a", "acl:1: saw 'Topic', expected topic, user or pattern, and a space behind it"),
    ("user ann\ntopic rw a", "acl:2: topic: saw 'rw', expected read, write, readwrite or deny"),
    ("topic Read a", "acl:1: topic: saw 'Read', expected read, write, readwrite or deny"),
    ("topic a # my topic", "acl:1: topic: saw 'a', expected read, write, readwrite or deny"),
    ("pattern none a", "acl:1: pattern: saw 'none', expected read, write, readwrite or deny"),
    ("user", "acl:1: user: no name, expected one behind the word"),
    ("user  \t", "acl:1: user: no name, expected one behind the word"),
    ("topic", "acl:1: topic: no topic, expected one"),
    ("pattern  ", "acl:1: pattern: no topic, expected one"),
    ("topic a/#/b", "acl:1: topic: topic filter 'a/#/b': '#' must be the last level [MQTT-4.7.1-1]"),
    ("topic read a#", "acl:1: topic: topic filter 'a#': '#' must be the last level [MQTT-4.7.1-1]"),
    ("topic a+/b", "acl:1: topic: topic filter 'a+/b': '+' must stand alone in its level [MQTT-4.7.1-2]"),
    ("topic read a # note", "acl:1: topic: topic filter 'a # note': '#' must be the last level [MQTT-4.7.1-1]"),
    ("pattern %u+", "acl:1: pattern: topic filter '%u+': '+' must stand alone in its level [MQTT-4.7.1-2]"),
    ("topic read " + "a" * 65_536, "65,536 bytes, at most 65,535 are allowed"),
]

GOOD_FILES = [
    "",
    "  topic a",
    "topic  read   a/b  ",
    "topic read a b",
    "topic read",
    "topic deny",
    "topic deny a",
    "pattern a",
    "\t\n",
    "# c\n\n\r\ntopic a\r\n",
    "#\udce9",
    "topic caf\udce9",
    "topic $share",
    "topic readwrite $share/+/#",
    "topic read\ta",
    "topic read a\x0bb",
    "topic read " + "/".join("a" * 201),  # Mosquitto takes no more
    "user ann # the boss\ntopic read a",
    "user ann\nuser ann",
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_a_line_that_cannot_be_read_is_refused_with_its_number(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        AclFile(text, "acl")
    assert message in str(raised.value)


@pytest.mark.parametrize("text", GOOD_FILES)
def test_a_file_may_look_like_this(text: str) -> None:
    AclFile(text, "acl").permissions("ann", "c").grant_publish("a")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the ACL file cannot be read: No such file or directory"):
        read_acl_file(str(tmp_path / "acl"))
    with pytest.raises(ConfigError, match="the ACL file cannot be read: Is a directory"):
        read_acl_file(str(tmp_path))


def test_a_file_is_read_whatever_its_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "acl"
    path.write_bytes("# für\n".encode("latin-1") + "user bärbel\ntopic caffè/#\r\n".encode() + b"topic caf\xe9\n")
    acl_file = read_acl_file(str(path))
    permissions = acl_file.permissions("bärbel", "c")
    assert permissions.grant_publish("caffè/crema").rule == f"{path}:3: topic caffè/#"
    assert permissions.grant_publish("caf").max_qos == -1
    assert acl_file.lint() == [f"{path}:4: fits no topic: it is not written in UTF-8"]


def test_a_pattern_for_everybody_is_warned_of() -> None:
    acl_file = AclFile("pattern read news/#\npattern a/%u\npattern b/%c\n", "acl")
    assert acl_file.warnings == ["acl:1: pattern without %c or %u: it is for every client"]


@pytest.mark.parametrize(
    ("text", "remarks"),
    [
        ("user ann\ntopic a/#\ntopic deny a/b\npattern c/%c", []),
        (
            "topic a\ntopic b\nuser ann\ntopic c",
            ["acl:1: before any user: for clients without a user name, and for nobody else"],
        ),
        ("pattern a", ["acl:1: pattern without %c or %u: it is for every client"]),
        ("user ann\ntopic a/%u", ["acl:2: %u is a level like any other here; did you mean pattern?"]),
        ("pattern a/x%u", ["acl:1: %u is filled in only where it is a whole level"]),
        ("user ann\ntopic write", ["acl:2: is about the topic 'write', for reading and writing"]),
        ("user ann\ntopic read\ta", ["acl:2: is about the topic 'read\\ta': only spaces separate words, tabs do not"]),
        ("user ann # x\ntopic a", ["acl:1: the user's name is 'ann # x': a line has no comment at its end"]),
        ("user ann\ntopic a\nuser ann\ntopic b", ["acl:3: the lines of user 'ann' go on here"]),
        ("user ann\ntopic a/#\ntopic read a/b", ["acl:3: never decides, since line 2 decides before it"]),
        ("user ann\ntopic a/b\ntopic a/#", []),
        ("user ann\ntopic read a/#\ntopic a/b", []),
        (
            "user ann\ntopic read a/#\ntopic write a/+\ntopic a/b",
            ["acl:4: never decides, since line 2 and line 3 decides before it"],
        ),
        ("user ann\ntopic a/b\ntopic deny a/#", ["acl:2: never decides, since line 3 decides before it"]),
        ("user ann\ntopic deny a/b\ntopic deny a/#", ["acl:2: never decides, since line 3 decides before it"]),
        ("user ann\ntopic #\ntopic $SYS/#", []),
        ("user ann\ntopic a\nuser bob\ntopic a", []),
        ("pattern a/%u/#\npattern read a/%u/b", ["acl:2: never decides, since line 1 decides before it"]),
    ],
)
def test_what_a_reader_should_know_is_told(text: str, remarks: list[str]) -> None:
    assert AclFile(text, "acl").lint() == remarks


# Beside Mosquitto 2.0.11


@contextmanager
def mosquitto_with(text: str, folder: Path) -> Iterator[int]:
    """Debian's Mosquitto with an ACL file; anybody may come in under any name."""
    (folder / "acl").write_bytes(text.encode(errors="surrogateescape"))
    port = free_port()
    options = ("allow_anonymous true", f"acl_file {folder / 'acl'}", "log_type error", "user root")
    (folder / "mosquitto.conf").write_text("\n".join([f"listener {port} 127.0.0.1", *options, ""]))
    with running(find("mosquitto"), "-c", str(folder / "mosquitto.conf")):
        wait_for_port(port)
        yield port


async def waiting(client: Client, messages: Subscription) -> list[str]:
    """The topics of the messages that came: all, since an answer comes behind what was sent before it."""
    async with client.subscribe("another/subscription"):
        return [message.topic for message in messages.take()]


async def look_in(port: int) -> None:
    """Connect: from then on it hears signals, too."""
    async with asyncio.timeout(SECONDS), Client(f"mqtt://127.0.0.1:{port}"):
        pass


async def answers_of(port: int, cases: list[Case]) -> list[bool]:
    """What Mosquitto says to each case: whether a message reaches another, or the client itself."""
    address = f"mqtt://127.0.0.1:{port}"
    answers = []
    async with (
        asyncio.timeout(SECONDS),
        Client(address, client_id="super", user="super") as everybody,
        everybody.subscribe("#", "$other/#") as all_messages,
    ):
        for user, client_id, action, topic, _ in cases:
            async with Client(address, client_id=client_id, user=user) as client:
                if action == W:
                    with suppress(Refused):  # what it says is one thing, what comes another
                        await client.publish(topic, b"x", qos=1)
                    answers.append(topic in await waiting(everybody, all_messages))
                else:
                    async with client.subscribe(topic) as messages:
                        assert messages.reason_codes == [0]
                        assert await everybody.publish(topic, b"x", qos=1) in (0x00, 0x10)
                        answers.append(topic in await waiting(client, messages))
            await waiting(everybody, all_messages)
    return answers


@pytest.mark.parametrize("file", FILES)
def test_mosquitto_agrees(file: str, tmp_path: Path) -> None:
    text, cases = FILES[file]
    with mosquitto_with(text, tmp_path) as port:
        answers = asyncio.run(answers_of(port, cases))
    assert [(*case, answer) for case, answer in zip(cases, answers, strict=True) if case[-1] != answer] == []


def test_mosquitto_2_0_fills_names_in_otherwise(tmp_path: Path) -> None:
    cases = [case[:5] for case in SINCE_2_1_CASES]
    with mosquitto_with(SINCE_2_1, tmp_path) as port:
        answers = asyncio.run(answers_of(port, cases))
    assert answers == [case[5] for case in SINCE_2_1_CASES]


@pytest.mark.parametrize("text", [text for text, _ in BAD_FILES])
def test_mosquitto_refuses_the_same_files(text: str, tmp_path: Path) -> None:
    (tmp_path / "acl").write_bytes(text.encode(errors="surrogateescape"))
    # Mosquitto 2.0 reads the ACL file before it opens the port, so a bad one ends it without any waiting.
    (tmp_path / "mosquitto.conf").write_text(
        f"listener {free_port()} 127.0.0.1\nacl_file {tmp_path / 'acl'}\nuser root\n"
    )
    ended = run(find("mosquitto"), "-c", str(tmp_path / "mosquitto.conf"))
    assert ended.returncode == 3
    assert "Error opening acl file" in ended.stderr


@pytest.mark.parametrize("text", GOOD_FILES)
def test_mosquitto_takes_the_same_files(text: str, tmp_path: Path) -> None:
    with mosquitto_with(text, tmp_path) as port:
        asyncio.run(look_in(port))
