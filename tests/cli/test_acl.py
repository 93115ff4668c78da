"""``telex acl``: what it answers, which rule it names, and its exit codes."""

from pathlib import Path

import pytest

from telex.cli.acl import run

ACL = """\
topic read public/#
user ann
topic home/#
topic deny home/safe
topic read home/kitchen
pattern write clients/%c/state
"""

TOML = """\
[[listeners]]
port = 1883

[[listeners]]
path = "/run/telex.sock"

[access.groups]
staff = ["ann"]

[[access.rules]]
deny = ["publish", "subscribe"]
topics = ["secret/#"]

[[access.rules]]
allow = ["publish"]
topics = ["home/#"]
groups = ["staff"]
max_qos = 1
retain = false

[[access.rules]]
allow = ["publish"]
topics = ["clients/{client}/#"]

[[access.rules]]
allow = ["publish"]
topics = ["near"]
addresses = ["192.0.2.0/24"]

[[access.rules]]
allow = ["publish"]
topics = ["nearest"]
addresses = ["unix"]

[[access.rules]]
allow = ["subscribe"]
topics = ["#"]
max_qos = 1
retain = false
"""

DENY_SECRET = "rule 1 (deny publish and subscribe to secret/#)"
HOME = "rule 2 (allow publish to home/#)"
ALL = "rule 6 (allow subscribe to #)"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the files of these tests, where they run."""
    (tmp_path / "acl").write_text(ACL)
    (tmp_path / "telex.toml").write_text(TOML)
    (tmp_path / "mosquitto.conf").write_text(f"listener 1883\nallow_anonymous true\nacl_file {tmp_path / 'acl'}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(text: str) -> list[str]:
    return text.split(" ")


@pytest.mark.parametrize(
    ("question", "code", "answer"),
    [
        ("--user ann --client c publish home/a", 0, "allowed: acl:3: topic home/#"),
        ("--user ann --client c publish home/a --qos 2 --retain", 0, "allowed: acl:3: topic home/#"),
        ("--user ann --client c receive home/safe", 1, "denied: acl:4: topic deny home/safe"),
        ("--user ann --client c receive public/a", 1, "denied: no line allows it"),
        ("--client c receive public/a", 0, "allowed: acl:1: topic read public/#"),
        ("--client c publish public/a", 1, "denied: no line allows it"),
        ("--client c publish clients/c/state", 0, "allowed: acl:6: pattern write clients/%c/state"),
        ("--client d publish clients/c/state", 1, "denied: no line allows it"),
        ("--client c publish $SYS/broker/uptime", 1, "denied: $SYS is the broker's own"),
        ("--client c subscribe #", 0, "allowed: an ACL file allows every subscription, and is asked with each message"),
    ],
)
def test_a_line_of_an_acl_file_decides(
    question: str, code: int, answer: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["test", "--acl-file", "acl", *words(question)]) == code
    out, err = capsys.readouterr()
    assert (out, err) == (f"{answer}\n", "")
    assert run(["test", "-c", "mosquitto.conf", *words(question)]) == code
    out, err = capsys.readouterr()
    assert out == f"{answer}\n".replace(" acl:", f" {files / 'acl'}:")


@pytest.mark.parametrize(
    ("question", "code", "answer"),
    [
        ("--user ann publish secret/a", 1, f"denied: {DENY_SECRET}"),
        ("--user ann subscribe secret/a", 1, f"denied: {DENY_SECRET}"),
        ("--user ann receive secret/a", 1, f"denied: {DENY_SECRET}"),
        ("--user ann publish home/a", 0, f"allowed: {HOME}"),
        ("--user ann publish home/a --qos 1", 0, f"allowed: {HOME}"),
        ("--user ann publish home/a --qos 2", 1, f"denied above QoS 1: {HOME}"),
        ("--user ann publish home/a --retain", 1, f"denied, since it is retained: {HOME}"),
        ("--user bob publish home/a", 1, "denied: no rule allows it"),
        ("--user bob --group staff publish home/a", 0, f"allowed: {HOME}"),
        ("publish home/a", 1, "denied: no rule allows it"),
        ("publish clients/c/x", 0, "allowed: rule 3 (allow publish to clients/{client}/#)"),
        ("publish clients/d/x", 1, "denied: no rule allows it"),
        ("--user bob publish near", 1, "denied: no rule allows it"),
        ("--user bob --address 192.0.2.7 publish near", 0, "allowed: rule 4 (allow publish to near)"),
        ("--user bob --address 192.0.3.7 publish near", 1, "denied: no rule allows it"),
        ("--user bob --address 2001:db8::1 publish near", 1, "denied: no rule allows it"),
        ("--user bob --address unix publish nearest", 0, "allowed: rule 5 (allow publish to nearest)"),
        ("subscribe a/+", 0, f"allowed, without retained messages: {ALL}"),
        ("subscribe $share/group/a/+", 0, f"allowed, without retained messages: {ALL}"),
        ("subscribe $share/group/secret/+", 1, f"denied: {DENY_SECRET}"),
        ("subscribe a/+ --qos 1", 0, f"allowed, without retained messages: {ALL}"),
        ("subscribe a/+ --qos 2", 0, f"allowed at QoS 1, without retained messages: {ALL}"),
        ("receive a/b --qos 2", 0, f"allowed at QoS 1, without retained messages: {ALL}"),
        ("receive a/b --retain", 1, f"denied, since it is retained: {ALL}"),
        ("receive $SYS/broker/uptime", 1, "denied: no rule allows it"),
    ],
)
@pytest.mark.usefixtures("files")
def test_a_rule_of_telex_decides(question: str, code: int, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = words(question) if "--address" in question else ["--address", "198.51.100.1", *words(question)]
    assert run(["test", "-c", "telex.toml", "--client", "c", *arguments]) == code
    assert tuple(capsys.readouterr()) == (f"{answer}\n", "")


def test_what_was_not_said_and_matters_is_told(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", "-c", "telex.toml", "publish", "clients/c/x"]) == 1
    assert capsys.readouterr().err == (
        "telex: warning: rules are about addresses, too: --address says which one the client has\n"
        "telex: warning: rules are about client ids, too: --client says which one it is\n"
    )
    assert run(["test", "--acl-file", "acl", "publish", "clients/c/x"]) == 1
    assert capsys.readouterr().err == (
        "telex: warning: patterns are about client ids, too: --client says which one it is\n"
    )
    (files / "acl").write_text("topic clients/#\n")
    assert run(["test", "--acl-file", "acl", "publish", "clients/c/x"]) == 0
    assert capsys.readouterr().err == ""


def test_listeners_with_rules_of_their_own_are_told_apart(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "telex.toml").write_text(
        "[[listeners]]\nport = 1883\n"
        '[[listeners]]\npath = "/run/telex.sock"\n'
        "[listeners.access]\nallow_anonymous = true\n"
        '[[access.rules]]\nallow = ["subscribe"]\n'
    )
    question = ["test", "-c", "telex.toml", "publish", "a"]
    assert run([*question, "--listener", "1883"]) == 1
    assert run([*question, "--listener", "/run/telex.sock"]) == 0
    assert run(question) == 2
    assert run([*question, "--listener", "1884"]) == 2
    out, err = capsys.readouterr()
    free = "allowed: everybody may do everything: there are no rules, and there is no ACL file\n"
    assert out == f"denied: no rule allows it\n{free}"
    assert err == (
        "telex: the listeners have rules of their own: say with --listener PORT which of them is meant\n"
        "telex: --listener: there is none at 1884\n"
    )


def test_strangers_may_be_kept_from_subscribing_to_all(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "telex.toml").write_text(
        "[[listeners]]\nport = 1883\n[protection]\nstrangers_may_use_hash = false\n"
        '[[access.rules]]\nallow = ["subscribe"]\n'
    )
    question = ["test", "-c", "telex.toml", "subscribe"]
    assert run([*question, "#"]) == 1
    assert run([*question, "$share/g/+/#"]) == 1
    assert run([*question, "a/#"]) == 0
    assert run([*question, "#", "--user", "ann"]) == 0
    out, err = capsys.readouterr()
    no, yes = "denied: strangers_may_use_hash = false\n", "allowed: rule 1 (allow subscribe to everything)\n"
    assert (out, err) == (f"{no}{no}{yes}{yes}", "")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("test --acl-file acl publish a/#", "topic name 'a/#': '+' and '#' are for filters only [MQTT-3.3.2-2]"),
        ("test --acl-file acl receive +", "topic name '+': '+' and '#' are for filters only [MQTT-3.3.2-2]"),
        ("test --acl-file acl subscribe a#", "topic filter 'a#': '#' must be the last level [MQTT-4.7.1-1]"),
        (
            "test --acl-file acl subscribe $share/g",
            "topic filter '$share/g': expected $share/GROUP/FILTER [MQTT-4.8.2-1]",
        ),
        ("test --acl-file acl subscribe a --retain", "--retain: a subscription is not retained; ask about receive"),
        ("test --acl-file none publish a", "none: the ACL file cannot be read: No such file or directory"),
        ("lint --acl-file none", "none: the ACL file cannot be read: No such file or directory"),
        ("lint --acl-file bad", "bad:1: saw 'topics', expected topic, user or pattern, and a space behind it"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    question: str, message: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "bad").write_text("topics a\n")
    assert run(words(question)) == 2
    assert tuple(capsys.readouterr()) == ("", f"telex: {message}\n")


@pytest.mark.parametrize(
    "question",
    [
        "",
        "tests",
        "test publish a",
        "test --acl-file acl publish",
        "test --acl-file acl write a",
        "test --acl-file acl -c telex.toml publish a",
        "test --acl-file acl --qos 3 publish a",
        "test --acl-file acl --address somewhere publish a",
        "lint",
    ],
)
@pytest.mark.usefixtures("files")
def test_a_question_that_is_none_ends_with_code_2(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(question.split())
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("telex: ")


def test_a_rule_that_cannot_be_is_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "telex.toml").write_text('[[listeners]]\n[[access.rules]]\nallow = ["publish"]\ntopics = ["a/{name}"]\n')
    assert run(["test", "-c", "telex.toml", "publish", "a"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "'a/{name}': expected {user} or {client}, not {name}" in err


def test_lint_shows_what_a_reader_of_an_acl_file_should_know(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "acl").write_text(ACL + "pattern read news\n")
    remarks = (
        "acl:1: before any user: for clients without a user name, and for nobody else\n"
        "acl:5: never decides, since line 3 decides before it\n"
        "acl:7: pattern without %c or %u: it is for every client\n"
    )
    assert run(["lint", "--acl-file", "acl"]) == 0
    assert tuple(capsys.readouterr()) == (remarks, "")
    assert run(["lint", "-c", "mosquitto.conf"]) == 0
    assert capsys.readouterr().out == remarks.replace("acl:", f"{files / 'acl'}:")


def test_lint_shows_what_a_reader_of_rules_should_know(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = '[[access.rules]]\nallow = ["publish"]\n'
    own = '[[listeners]]\nport = 1884\n[listeners.access.groups]\nstaff = ["ann"]\n'
    (files / "telex.toml").write_text(f"{own}{rule}{rule}")
    assert run(["lint", "-c", "telex.toml"]) == 0
    assert capsys.readouterr().out == (
        "rule 2 (allow publish to everything): never decides, since rule 1 (allow publish to everything) "
        "decides before it\n"
        "listeners[0]: group 'staff': no rule is about it\n"
    )
