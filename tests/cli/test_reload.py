"""``telex reload`` and SIGHUP: a running broker reads its files again, as a person meets it."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.processes import SECONDS, free_port, lines_until, run, running, serve_command, telex_command


@pytest.fixture(autouse=True)
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the brokers of this test say how to reach them, and no others."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return tmp_path / "run"


def telex_run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = run(*telex_command(*arguments))
    return done.returncode, done.stdout, done.stderr


class House:
    """A broker with files."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.config = place / "telex.toml"
        self.users = place / "users"
        self.port = free_port()
        self.process: subprocess.Popen[str]
        self.adds("ann", "1")
        self.writes()

    def writes(self, more: str = "", top: str = "") -> None:
        """The description, and more of it."""
        self.config.write_text(
            f'data = ""\n{top}\n[access]\npassword_file = "users"\n'
            f'[[listeners]]\nhost = "127.0.0.1"\nport = {self.port}\n{more}\n'
        )

    def adds(self, user: str, password: str) -> None:
        more = [] if self.users.exists() else ["-c"]
        assert telex_run("passwd", "-H", "sha512-pbkdf2", *more, "-b", str(self.users), user, password)[0] == 0

    def lets_in(self, user: str, password: str, port: int = 0) -> bool:
        flags = ("-p", str(port or self.port), "-u", user, "-P", password)
        return telex_run("pub", *flags, "-t", "a", "-m", "x", "-q", "1")[0] == 0

    def hears(self, pattern: str) -> str:
        """Read the log until a line matches; the test's time-out ends a wait in vain."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if re.search(pattern, line):
                return str(line)
        raise AssertionError(f"the broker ended without {pattern!r}")

    @contextmanager
    def open(self, *flags: str) -> Iterator["House"]:
        with running(*serve_command("-c", str(self.config), *flags)) as self.process:
            lines_until(self.process, "stop  ")
            yield self


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


Reload = Callable[[House], tuple[int, str, str]]


def by_command(house: House) -> tuple[int, str, str]:
    return telex_run("reload")


def by_signal(house: House) -> tuple[int, str, str]:
    """The same by SIGHUP: the log says what the command would."""
    house.process.send_signal(signal.SIGHUP)
    line = house.hears("reloaded|reload refused")
    if "refused" in line:
        return 1, "", line
    return 0, line.partition(" INFO ")[2] or line, ""


EITHER_WAY = pytest.mark.parametrize("reload", [by_command, by_signal])


@EITHER_WAY
def test_users_come_and_go(house: House, reload: Reload) -> None:
    with house.open():
        assert house.lets_in("ann", "1")
        house.adds("bob", "2")
        assert telex_run("passwd", "-D", str(house.users), "ann")[0] == 0
        assert not house.lets_in("bob", "2")
        code, out, _ = reload(house)
        assert code == 0
        assert "reloaded" in out
        assert house.lets_in("bob", "2")
        assert not house.lets_in("ann", "1")


@EITHER_WAY
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("telex.toml", "[access\n", "telex.toml:1"),
        ("telex.toml", "nonsense = 1\n", "nonsense"),
        ("telex.toml", "[limits]\nreceive_maximum = 0\n", "receive_maximum"),
        ("users", "ann:nonsense\n", "users:1"),
        ("users", None, "the password file cannot be read"),
        ("telex.toml", None, "telex.toml"),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(
    house: House, reload: Reload, name: str, text: str | None, said: str
) -> None:
    with house.open():
        if text is None:
            (house.place / name).unlink()
        else:
            (house.place / name).write_text(text)
        code, out, err = reload(house)
        assert (code, out) == (1, "")
        assert "everything is as before" in err
        assert said in err
        assert err.count("\n") == 1
        assert house.lets_in("ann", "1")
        assert not house.lets_in("ann", "2")
        house.adds("bob", "2") if name != "users" else None


def test_the_log_of_the_broker_says_why_a_reload_was_refused(house: House) -> None:
    with house.open():
        house.config.write_text("[access\n")
        assert telex_run("reload")[0] == 1
        assert "telex.toml:1" in house.hears("reload refused, everything is as before")


def test_a_listener_comes_and_goes(house: House) -> None:
    second = free_port()
    with house.open("-q"):
        house.writes(f'[[listeners]]\nhost = "127.0.0.1"\nport = {second}\n')
        assert telex_run("reload") == (0, "reloaded\n", "")
        assert house.lets_in("ann", "1", second)
        house.writes()
        assert telex_run("reload") == (0, "reloaded\n", "")
        assert not house.lets_in("ann", "1", second)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            house.writes(f'[[listeners]]\nhost = "127.0.0.1"\nport = {taken.getsockname()[1]}\n')
            code, _, err = telex_run("reload")
        assert code == 1
        assert "another program listens there" in err
        assert house.lets_in("ann", "1")


def test_certificates_are_read_again(house: House, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first, second = authority.server("first"), authority.server("second")
    port = free_port()
    house.writes(
        f'[[listeners]]\nhost = "127.0.0.1"\nport = {port}\ntls = {{ certificate = "live.pem", key = "live.key" }}\n'
    )

    def puts(certificate: Path, key: Path) -> None:
        (tmp_path / "live.pem").write_bytes(certificate.read_bytes())
        (tmp_path / "live.key").write_bytes(key.read_bytes())
        (tmp_path / "live.key").chmod(0o600)

    def serial() -> str:
        shown = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(authority.path)).stdout
        return run("openssl", "x509", "-noout", "-serial", stdin=shown).stdout

    puts(first.certificate, first.key)
    with house.open("-q"):
        assert serial() == f"serial={first.content.serial_number:040X}\n"
        puts(second.certificate, first.key)
        code, _, err = telex_run("reload")
        assert code == 1
        assert "key" in err
        assert serial() == f"serial={first.content.serial_number:040X}\n"
        puts(second.certificate, second.key)
        assert telex_run("reload") == (0, "reloaded\n", "")
        assert serial() == f"serial={second.content.serial_number:040X}\n"


def test_what_needs_a_restart_is_said(house: House) -> None:
    with house.open("-q"):
        house.writes(top='durability = "relaxed"\ncontrol = true')
        assert telex_run("reload") == (0, "reloaded; these need a restart: durability, control\n", "")


def test_the_flags_of_the_start_still_count(house: House) -> None:
    with house.open("-q", "--set", "maximum_qos=0", "--sys-interval", "0"):
        house.writes("[limits]\nmaximum_qos = 2\n")
        assert telex_run("reload")[0] == 0
        flags = ("-p", str(house.port), "-u", "ann", "-P", "1", "-V", "5")
        assert telex_run("pub", *flags, "-t", "a", "-m", "x", "-q", "1")[0] != 0


def test_the_environment_of_the_start_still_counts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_ACCESS__ALLOW_ANONYMOUS", "true")
    with house.open("-q"):
        monkeypatch.delenv("TELEX_ACCESS__ALLOW_ANONYMOUS")
        assert telex_run("reload")[0] == 0
        assert telex_run("pub", "-p", str(house.port), "-t", "a", "-m", "x")[0] == 0


# Logs


@EITHER_WAY
def test_the_log_goes_elsewhere_and_a_file_that_was_moved_is_begun_again(house: House, reload: Reload) -> None:
    log = house.place / "log"
    with house.open():
        house.writes(f'[log]\nto = ["stderr", "file:{log}"]\n')
        assert reload(house)[0] == 0
        assert house.lets_in("ann", "1")
        assert "user=ann" in log.read_text()
        log.rename(house.place / "log.1")
        assert reload(house)[0] == 0
        before = (house.place / "log.1").read_text()
        assert house.lets_in("ann", "1")
        assert "user=ann" in log.read_text()
        assert (house.place / "log.1").read_text() == before


def test_a_log_that_cannot_be_written_changes_nothing(house: House) -> None:
    log = house.place / "log"
    house.writes(f'[log]\nto = ["file:{log}"]\n')
    with house.open():
        house.adds("bob", "2")
        house.writes('[log]\nto = ["file:/none/log"]\n')
        code, _, err = telex_run("reload")
        assert code == 1
        assert "/none/log" in err
        assert not house.lets_in("bob", "2")
        assert "bob" in log.read_text()


def test_a_reload_that_fails_behind_the_log_brings_the_old_log_back(house: House) -> None:
    log, other = house.place / "log", house.place / "other"
    house.writes(f'[log]\nto = ["file:{log}"]\n')
    with house.open(), socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        house.writes(f'[[listeners]]\nhost = "127.0.0.1"\nport = {port}\n[log]\nto = ["file:{other}"]\n')
        assert telex_run("reload")[0] == 1
        assert house.lets_in("ann", "1")
        assert "user=ann" in log.read_text()
        assert "reload refused" in log.read_text()
        assert not other.exists() or "user=ann" not in other.read_text()


# Which broker


def test_without_a_broker_it_says_so(run_directory: Path) -> None:
    code, out, err = telex_run("reload")
    assert (code, out) == (1, "")
    assert "no broker of this user runs here" in err
    assert err.count("\n") == 1
    assert "process 1 is no broker of ours" in telex_run("reload", "--pid", "1")[2]


def test_of_several_brokers_one_has_to_be_named(tmp_path: Path) -> None:
    houses = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        houses.append(House(tmp_path / name))
    with houses[0].open("-q") as one, houses[1].open("-q") as two:
        for house in houses:
            house.adds("bob", "2")
        code, out, err = telex_run("reload")
        assert (code, out) == (1, "")
        assert "2 brokers run here; say which one: --pid " in err
        assert {str(one.process.pid), str(two.process.pid)} <= set(err.split())
        assert telex_run("reload", "--pid", str(two.process.pid)) == (0, "reloaded\n", "")
        assert not one.lets_in("bob", "2")
        assert two.lets_in("bob", "2")


def test_a_broker_that_was_killed_is_none(house: House, run_directory: Path) -> None:
    with house.open("-q"):
        house.process.kill()
        house.process.wait(SECONDS)
        assert len(list(run_directory.iterdir())) == 1
        assert "no broker of this user runs here" in telex_run("reload")[2]
        assert list(run_directory.iterdir()) == []
    with house.open("-q"):
        assert telex_run("reload") == (0, "reloaded\n", "")


def test_who_listens_at_the_port_of_a_broker_that_is_gone_is_no_broker(run_directory: Path) -> None:
    run_directory.mkdir()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        path = run_directory / "12345.json"
        path.write_text(json.dumps({"port": other.getsockname()[1], "secret": "x"}))
        process = subprocess.Popen(telex_command("reload"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            for _ in range(2):  # it looks whether somebody is there, then gives its order
                connection, _ = other.accept()
                connection.close()
            _, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 1
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--pid", "x"], ["--pid", "0"], ["now"]])
def test_a_wrong_flag_is_one_line(arguments: list[str]) -> None:
    code, out, err = telex_run("reload", *arguments)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1


# Signals


def test_a_signal_that_comes_as_soon_as_its_number_is_known_does_not_end_the_broker(house: House) -> None:
    house.writes(top='pid_file = "pid"')
    pid = house.place / "pid"
    with running(*serve_command("-c", str(house.config))) as house.process:
        while not (pid.exists() and pid.read_text().endswith("\n")):
            assert house.process.poll() is None
        os.kill(int(pid.read_text()), signal.SIGHUP)
        house.hears("reloaded")
        assert house.lets_in("ann", "1")


def test_many_reloads_at_once_take_turns(house: House) -> None:
    with house.open():
        house.adds("bob", "2")
        commands = [subprocess.Popen(telex_command("reload"), stdout=subprocess.PIPE, text=True) for _ in range(5)]
        for _ in range(5):
            house.process.send_signal(signal.SIGHUP)
        for command in commands:
            out, _ = command.communicate(timeout=SECONDS)
            assert (command.returncode, out) == (0, "reloaded\n")
        assert house.lets_in("bob", "2")
        house.process.send_signal(signal.SIGHUP)
        house.process.send_signal(signal.SIGTERM)
        assert house.process.wait(SECONDS) == 0


def test_mosquittos_file_is_read_again_too(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.config = tmp_path / "mosquitto.conf"
    me = "root" if os.geteuid() == 0 else "nobody"
    house.config.write_text(f"user {me}\nlistener {house.port} 127.0.0.1\npassword_file {house.users}\n")
    with house.open():
        house.adds("bob", "2")
        assert telex_run("reload") == (0, "reloaded\n", "")
        assert house.lets_in("bob", "2")
        house.config.write_text("nonsense\n")
        code, _, err = telex_run("reload")
        assert code == 1
        assert "mosquitto.conf:1" in err
        assert house.lets_in("bob", "2")
