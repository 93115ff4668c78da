"""Giving up being root. As root it is really done, in processes of their own; as a user it is seen to do nothing."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import SECONDS, free_port, lines_until, run, running, serve_command, telex_command

pwd = pytest.importorskip("pwd")

IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may look into."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


def in_a_process(code: str, *arguments: str) -> dict[str, object]:
    """What a program prints as JSON."""
    head = "import json, os, sys\nfrom pathlib import Path\nfrom telex.server.privileges import *\n"
    done = subprocess.run(
        [sys.executable, "-c", head + code, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def test_root_becomes_the_user_for_good_and_a_user_stays_itself() -> None:
    said = in_a_process(
        """
before = os.geteuid()
become("nobody")
try:
    os.setuid(0)
    back = os.geteuid() == 0
except PermissionError:
    back = False
print(json.dumps({"before": before, "ids": os.getresuid() + os.getresgid(), "groups": os.getgroups(), "back": back}))
"""
    )
    if IS_ROOT:
        assert said["ids"] == [NOBODY.pw_uid] * 3 + [NOBODY.pw_gid] * 3
        assert 0 not in said["groups"]  # type: ignore[operator]
    else:
        assert said["ids"] == list(os.getresuid() + os.getresgid())
    assert said["back"] is False


def test_an_unknown_user_is_said_where_it_matters() -> None:
    said = in_a_process(
        """
from telex.server.config import ConfigError
answers = []
for call in (lambda: become("no-such-user"), lambda: give_to("no-such-user", Path(sys.argv[1]))):
    try:
        call()
        answers.append("")
    except ConfigError as error:
        answers.append(str(error))
print(json.dumps({"answers": answers}))
""",
        "/nowhere",
    )
    expected = "user: there is no user 'no-such-user' on this machine" if IS_ROOT else ""
    assert said["answers"] == [expected, expected]


def test_where_there_is_no_mosquitto_its_user_is_nobody_as_mosquitto_has_it() -> None:
    said = in_a_process(
        """
from telex.server import privileges
known = privileges.pwd.getpwnam
class Few:
    def getpwnam(self, name):
        if name == "mosquitto":
            raise KeyError(name)
        return known(name)
privileges.pwd = Few()
print(json.dumps({"name": privileges._entry("mosquitto").pw_name}))
"""
    )
    assert said["name"] == "nobody"


def test_only_our_files_are_given_away(place: Path) -> None:
    data = place / "data"
    data.mkdir()
    secret = place / "secret"
    secret.write_text("root's")
    for name in ("telex.db", "telex.db-wal", "scram.secret", "bridges.json"):
        (data / name).write_text("")
    (data / "telex.db-link").symlink_to(secret)
    os.link(secret, data / "telex.db-hard")
    in_a_process('give_to("nobody", Path(sys.argv[1]))\nprint("{}")', str(data))
    mine = NOBODY.pw_uid if IS_ROOT else os.geteuid()
    for name in ("telex.db", "telex.db-wal", "scram.secret", "bridges.json"):
        assert (data / name).stat().st_uid == mine
    assert data.stat().st_uid == mine
    assert secret.stat().st_uid == os.geteuid()


def test_a_directory_that_others_use_stays_theirs(place: Path) -> None:
    (place / "telex.db").write_text("")
    (place / "other").write_text("")
    in_a_process('give_to("nobody", Path(sys.argv[1]))\nprint("{}")', str(place))
    assert place.stat().st_uid == os.geteuid()
    assert (place / "other").stat().st_uid == os.geteuid()
    assert (place / "telex.db").stat().st_uid == (NOBODY.pw_uid if IS_ROOT else os.geteuid())


def test_a_directory_that_is_not_there_is_made_for_the_user(place: Path) -> None:
    data = place / "one" / "two"
    in_a_process('give_to("nobody", Path(sys.argv[1]))\nprint("{}")', str(data))
    assert data.exists() == IS_ROOT
    if IS_ROOT:
        assert (data.stat().st_uid, stat.S_IMODE(data.stat().st_mode)) == (NOBODY.pw_uid, 0o700)


def test_a_broker_that_root_starts_serves_as_the_user_and_starts_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(place / "run"))
    data = place / "data"
    config = place / "telex.toml"
    port = free_port()
    config.write_text(
        f'user = "nobody"\ndata = "{data}"\npid_file = "{place}/pid"\n'
        f'[[listeners]]\nhost = "127.0.0.1"\nport = {port}\n'
    )
    config.chmod(0o644)
    me = NOBODY.pw_uid if IS_ROOT else os.geteuid()
    for number in range(2):
        with running(*serve_command("-c", str(config))) as process:
            lines_until(process, "stop  ")
            status = Path(f"/proc/{process.pid}/status")
            if status.exists():
                found = re.search(r"^Uid:\s+(\d+)\s+(\d+)\s+(\d+)", status.read_text(), re.MULTILINE)
                assert found is not None
                assert {int(each) for each in found.groups()} == {me}
            assert (place / "pid").read_text() == f"{process.pid}\n"
            retained = run(*telex_command("sub", "-p", str(port), "-t", "kept", "-t", "$SYS/broker/version", "-C", "1"))
            assert (retained.stdout == "once\n") == (number == 1)
            published = ("-t", "kept", "-m", "once", "-r", "-q", "1")
            assert run(*telex_command("pub", "-p", str(port), *published)).returncode == 0
            assert {each.stat().st_uid for each in [data, *data.iterdir()]} == {me}
            done = run(*telex_command("reload", "--pid", str(process.pid)))
            assert (done.returncode, done.stdout) == (0, "reloaded\n")
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        assert (data / "telex.db").stat().st_uid == me


def test_what_only_root_can_read_is_said_at_a_reload_and_changes_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(place / "run"))
    users = place / "users"
    assert run(*telex_command("passwd", "-c", "-b", str(users), "ann", "secret")).returncode == 0
    users.chmod(0o600)
    config = place / "telex.toml"
    port = free_port()
    config.write_text(
        f'user = "nobody"\ndata = ""\n[access]\npassword_file = "{users}"\n'
        f'[[listeners]]\nhost = "127.0.0.1"\nport = {port}\n'
    )
    config.chmod(0o644)
    with running(*serve_command("-c", str(config), "-q")) as process:
        lines_until(process, "stop  ")
        done = run(*telex_command("reload"))
        if IS_ROOT:
            assert done.returncode == 1
            assert f"{users}: the password file cannot be read: Permission denied" in done.stderr
        else:
            assert (done.returncode, done.stdout) == (0, "reloaded\n")
        login = ("-u", "ann", "-P", "secret")
        assert run(*telex_command("pub", "-p", str(port), *login, "-t", "a", "-m", "x")).returncode == 0
        assert run(*telex_command("pub", "-p", str(port), "-t", "a", "-m", "x")).returncode == 5
