"""``telex serve`` with a description of its own, or Mosquitto's, as a person meets it."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.processes import SECONDS, find, free_port, lines_until, run, running, serve_command, telex_command


@pytest.fixture(autouse=True)
def _run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))


def telex_run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = run(*telex_command(*arguments))
    return done.returncode, done.stdout, done.stderr


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``telex serve``, and its banner."""
    with running(*serve_command(*arguments)) as process:
        yield process, lines_until(process, "stop  ")


def publishes(port: int, *more: str) -> int:
    """The exit code of ``telex pub``."""
    return telex_run("pub", "-p", str(port), "-t", "a/b", "-m", "x", "-q", "1", *more)[0]


def users(path: Path, **passwords: str) -> Path:
    for user, password in passwords.items():
        flags = ["-H", "sha512-pbkdf2", "-b"] if path.exists() else ["-H", "sha512-pbkdf2", "-c", "-b"]
        assert telex_run("passwd", *flags, str(path), user, password)[0] == 0
    return path


# The two kinds of file


def test_a_telex_toml(tmp_path: Path) -> None:
    users(tmp_path / "users", ann="secret")
    first, second = free_port(), free_port()
    (tmp_path / "telex.toml").write_text(
        f"""
        data = ""
        [access]
        password_file = "users"
        [[access.rules]]
        allow = ["publish"]
        topics = ["a/#"]
        [[listeners]]
        host = "127.0.0.1"
        port = {first}
        [[listeners]]
        host = "127.0.0.1"
        port = {second}
        access = {{ allow_anonymous = true }}
        """
    )
    with serving("-c", str(tmp_path / "telex.toml"), "-q") as (_, banner):
        assert f"listening on    mqtt://127.0.0.1:{first}\n" in banner
        assert f"listening on    mqtt://127.0.0.1:{second}\n" in banner
        assert "who may connect who has a password\n" in banner
        assert "who may connect everybody on this machine, without a password" in banner
        assert "telex reload" in banner
        assert publishes(first) == 5
        assert publishes(first, "-u", "ann", "-P", "secret") == 0
        assert publishes(second) == 0


def test_a_mosquitto_conf_as_it_is(tmp_path: Path) -> None:
    tool = find("mosquitto_passwd")
    assert run(tool, "-c", "-b", str(tmp_path / "users"), "ann", "secret").returncode == 0
    (tmp_path / "acl").write_text("user ann\ntopic write a/#\n")
    port = free_port()
    path = tmp_path / "mosquitto.conf"
    path.write_text(
        f"user {'root' if os.geteuid() == 0 else 'nobody'}\nlistener {port} 127.0.0.1\n"
        f"password_file {tmp_path}/users\nacl_file {tmp_path}/acl\n"
    )
    with serving("-c", str(path), "-q") as (process, banner):
        assert f"mqtt://127.0.0.1:{port}" in banner
        for program in ([find("mosquitto_pub")], telex_command("pub")):
            said = ["-p", str(port), "-t", "a/b", "-m", "x", "-q", "1"]
            assert run(*program, *said, "-u", "ann", "-P", "secret").returncode == 0
            assert run(*program, *said, "-u", "ann", "-P", "wrong").returncode == 5
            assert run(*program, *said).returncode == 5
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0


# Testing it


def test_a_good_file_is_said_to_be_good_and_nothing_is_opened(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "telex.toml").write_text(f'data = "store"\n[[listeners]]\nhost = "127.0.0.1"\nport = {port}\n')
        (tmp_path / "m.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        for name in ("telex.toml", "m.conf"):
            code, out, err = telex_run("serve", "-c", str(tmp_path / name), "--test-config")
            assert (code, err) == (0, "")
            assert str(tmp_path / name) in out
    assert not (tmp_path / "store").exists()


BAD = [
    ("x.toml", "[access]\npassword_file = 'none'\n", 1, "none: the password file cannot be read"),
    ("x.toml", "[access]\nacl_file = 'none'\n", 1, "none"),
    ("x.toml", "[access\n", 1, "x.toml:1"),
    ("x.toml", "\n[acces]\nallow_anonymous = true\n", 1, "access"),
    ("x.toml", "[limits]\nreceive_maximum = 0\n", 1, "receive_maximum"),
    ("x.toml", "[[listeners]]\nport = 1\n[listeners.tls]\ncertificate = 'none.pem'\n", 1, "none.pem"),
    ("x.toml", "[[access.plugins]]\nname = 'nowhere:Thing'\n", 1, "nowhere"),
    ("x.toml", "user = 'no-such-user'\n", 1, "no-such-user"),
    ("x.conf", "nonsense true\n", 3, "x.conf:1"),
    ("x.conf", "\nlistener none\n", 3, "x.conf:2"),
    ("x.conf", "listener 1 127.0.0.1\npassword_file /none\n", 3, "/none"),
    ("x.conf", "listener 1 127.0.0.1\nacl_file /none\n", 3, "/none"),
    ("x.conf", "listener 1 127.0.0.1\ncertfile /none.crt\nkeyfile /none.key\n", 3, "/none"),
    ("x.conf", "connection one\naddress two\n", 3, "x.conf:1"),
]


@pytest.mark.parametrize(("name", "text", "code", "said"), BAD)
def test_a_bad_file_is_one_line_and_the_right_exit_code(
    tmp_path: Path, name: str, text: str, code: int, said: str
) -> None:
    (tmp_path / name).write_text(text)
    for more in ([], ["--test-config"]):
        if "no-such-user" in text and (os.geteuid() or more):
            continue  # a user changes to nobody, and a test of the file need not be on its machine
        got, out, err = telex_run("serve", "-c", str(tmp_path / name), "--memory", *more)
        assert (got, out) == (code, ""), err
        assert said in err
        assert err.count("\n") == 1


def test_mosquitto_has_the_same_exit_code(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_text("nonsense true\n")
    assert run(find("mosquitto"), "-c", str(tmp_path / "x.conf")).returncode == 3


def test_what_is_unknown_can_be_let_pass(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_text("nonsense true\nlistener 1883 127.0.0.1\n")
    code, _, err = telex_run("serve", "-c", str(tmp_path / "x.conf"), "--test-config", "--lenient")
    assert code == 0
    assert "x.conf:1" in err


@pytest.mark.parametrize("name", ["x.toml", "x.conf"])
def test_a_port_in_use_is_one_line_and_exit_code_1(tmp_path: Path, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "x.toml").write_text(f'data = ""\n[[listeners]]\nhost = "127.0.0.1"\nport = {port}\n')
        (tmp_path / "x.conf").write_text(f"listener {port} 127.0.0.1\n")
        code, _, err = telex_run("serve", "-c", str(tmp_path / name))
    assert code == 1
    assert "another program listens there" in err
    assert err.count("\n") == 1


def test_a_listener_of_the_command_line_is_not_mixed_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('data = ""\n')
    for flags in (["-p", "1884"], ["--host", "127.0.0.1"]):
        code, _, err = telex_run("serve", "-c", str(tmp_path / "x.toml"), *flags)
        assert code == 1
        assert "write listeners into" in err


# Ends


@pytest.mark.parametrize("words", [("--password-file", "users"), ("--allow-anonymous",)])
def test_flags_about_access_are_not_mixed_with_listeners_of_their_own_rules(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[[listeners]]\nport = 0\n[listeners.access]\nallow_anonymous = false\n")
    code, _, err = telex_run("serve", "-c", str(path), "--memory", *words)
    assert code == 1
    assert err == f"telex: {words[0]}: {path} has listeners with rules of their own: say it there\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0_and_its_files_are_gone(tmp_path: Path, number: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    socket_file = tmp_path / "socket"
    (tmp_path / "x.toml").write_text(
        f'data = ""\npid_file = "{pid_file}"\n[[listeners]]\nhost = "127.0.0.1"\nport = 0\n'
        f'[[listeners]]\npath = "{socket_file}"\n'
    )
    with serving("-c", str(tmp_path / "x.toml"), "-q") as (process, banner):
        assert f"mqtt+unix:{socket_file}" in banner
        assert pid_file.read_text() == f"{process.pid}\n"
        assert socket_file.exists()
        assert [each.name for each in (tmp_path / "run").iterdir()] == [f"{process.pid}.json"]
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
    assert not pid_file.exists()
    assert not socket_file.exists()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_pid_file_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('data = ""\npid_file = "/none/pid"\n[[listeners]]\nhost = "127.0.0.1"\nport = 0\n')
    code, _, err = telex_run("serve", "-c", str(tmp_path / "x.toml"), "-q")
    assert code == 1
    assert "pid_file: cannot write /none/pid" in err
    assert err.count("\n") == 1
    assert list((tmp_path / "run").iterdir()) == []


# The environment


def test_settings_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users(tmp_path / "users", ann="secret")
    monkeypatch.setenv("TELEX_ACCESS__PASSWORD_FILE", str(tmp_path / "users"))
    monkeypatch.setenv("TELEX_LIMITS__MAXIMUM_QOS", "0")
    with serving("-p", "0", "--memory", "-q") as (_, banner):
        found = re.search(r"mqtt://127.0.0.1:(\d+)", banner)
        assert found is not None
        assert "who has a password" in banner
        port = int(found[1])
        login = ("-u", "ann", "-P", "secret")
        assert telex_run("pub", "-p", str(port), "-t", "a", "-m", "x")[0] == 5
        assert telex_run("pub", "-p", str(port), "-t", "a", "-m", "x", *login)[0] == 0
        assert telex_run("pub", "-p", str(port), "-t", "a", "-m", "x", "-q", "1", "-V", "5", *login)[0] != 0


def test_a_setting_of_the_environment_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_LIMITS__MAXIMUM_QUOS", "0")
    code, _, err = telex_run("serve", "-p", "0", "--memory")
    assert code == 1
    assert "TELEX_LIMITS__MAXIMUM_QUOS" in err
    assert err.count("\n") == 1


# Who may come in, without a file


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_nobody_stands_open_to_others_by_chance(host: str) -> None:
    code, out, err = telex_run("serve", "-p", "0", "--memory", "--host", host)
    assert (code, out) == (1, "")
    assert "--password-file FILE" in err
    assert "--allow-anonymous" in err


def test_a_password_file_opens_it_up(tmp_path: Path) -> None:
    users(tmp_path / "users", ann="secret")
    flags = ("-p", "0", "--memory", "-q", "--host", "0.0.0.0", "--password-file", str(tmp_path / "users"))
    with serving(*flags) as (_, banner):
        assert "who may connect who has a password" in banner
        works(banner, {"USER": "ann", "PASSWORD": "secret"})


def test_a_password_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    code, _, err = telex_run("serve", "-p", "0", "--memory", "--password-file", str(tmp_path / "none"))
    assert code == 1
    assert "`telex passwd -c` makes one" in err
    assert err.count("\n") == 1


def test_everybody_may_come_in_if_that_is_said() -> None:
    with serving("-p", "0", "--memory", "-q", "--host", "0.0.0.0", "--allow-anonymous") as (_, banner):
        assert "WITHOUT A PASSWORD" in banner
        assert "close it" in banner
        works(banner, {})


# The banner


def works(banner: str, words: dict[str, str]) -> None:
    """The commands of the banner do what they say, with these words in place of theirs."""
    found = re.search(r"^  try it +telex (sub .*)\n +telex (pub .*)$", banner, re.MULTILINE)
    assert found is not None, banner
    sub, pub = ([words.get(word, word) for word in shlex.split(each)] for each in found.groups())
    with running(*telex_command(*sub, "-C", "1", "-W", "20")) as subscriber:
        # It is subscribed when what was published comes; until then it is said again.
        for _ in range(200):
            assert run(*telex_command(*pub)).returncode == 0
            if subscriber.poll() is not None:
                break
            try:
                subscriber.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
            break
        assert subscriber.wait(SECONDS) == 0


def banner_of(tmp_path: Path, text: str) -> str:
    (tmp_path / "x.toml").write_text('data = ""\n' + text)
    with serving("-c", str(tmp_path / "x.toml"), "-q") as (_, banner):
        return banner


def test_what_to_try_is_of_the_listener_that_is_easiest_to_reach(tmp_path: Path) -> None:
    users(tmp_path / "users", ann="secret")
    easy = free_port()
    (tmp_path / "x.toml").write_text(
        f"""
        data = ""
        [access]
        password_file = "users"
        [[listeners]]
        host = "127.0.0.1"
        port = 0
        [[listeners]]
        host = "127.0.0.1"
        port = {easy}
        access = {{ allow_anonymous = true }}
        [protection]
        strangers_may_use_hash = false
        """
    )
    with serving("-c", str(tmp_path / "x.toml"), "-q") as (_, banner):
        assert f"telex sub -p {easy} -t 'home/#' -v" in banner
        works(banner, {})


def test_what_to_try_with_a_password(tmp_path: Path) -> None:
    users(tmp_path / "users", ann="secret")
    (tmp_path / "x.toml").write_text(
        'data = ""\n[access]\npassword_file = "users"\n[[listeners]]\nhost = "127.0.0.1"\nport = 0\n'
    )
    with serving("-c", str(tmp_path / "x.toml"), "-q") as (_, banner):
        assert "-u USER -P PASSWORD" in banner
        works(banner, {"USER": "ann", "PASSWORD": "secret"})


def test_what_to_try_with_a_token(tmp_path: Path) -> None:
    import time

    import jwt

    secret = "0123456789abcdef0123456789abcdef"
    (tmp_path / "jwt").write_text(secret)
    (tmp_path / "x.toml").write_text(
        'data = ""\n[[access.jwt]]\nkeys = "jwt"\nalgorithms = ["HS256"]\n[[listeners]]\nhost = "127.0.0.1"\nport = 0\n'
    )
    with serving("-c", str(tmp_path / "x.toml"), "-q") as (_, banner):
        assert "who has a token" in banner
        works(banner, {"USER": "ann", "TOKEN": jwt.encode({"sub": "ann", "exp": time.time() + 600}, secret, "HS256")})


def test_there_is_nothing_to_try_where_telex_sub_cannot_go(tmp_path: Path) -> None:
    server = Authority(tmp_path).server()
    banner = banner_of(
        tmp_path,
        f"""
        [[listeners]]
        host = "127.0.0.1"
        port = 0
        protocol = "websocket"
        [[listeners]]
        host = "127.0.0.1"
        port = 0
        tls = {{ certificate = "{server.certificate}", key = "{server.key}" }}
        [[listeners]]
        path = "{tmp_path}/socket"
        [[listeners]]
        host = "127.0.0.1"
        port = 0
        proxy_protocol = "any"
        access = {{ allow_anonymous = true }}
        [[listeners]]
        host = "127.0.0.1"
        port = 0
        protocol = "http_api"
        """,
    )
    assert "try it" not in banner
    for scheme in ("ws://", "mqtts://", "mqtt+unix:", "mqtt://", "http://"):
        assert f"listening on    {scheme}" in banner
    assert "nobody speaks MQTT with the HTTP API" in banner


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("", "everybody on this machine, without a password; nobody from elsewhere"),
        ("access = { allow_anonymous = false }", "nobody: nothing says who may"),
        ("access = { password_file = 'users' }", "who has a password"),
        (
            "access = { password_file = 'users', allow_anonymous = true }",
            "everybody on this machine; user names only with a password",
        ),
        ("access = { http = [{ url = 'http://127.0.0.1:1/' }] }", "who has the word of a web service"),
        (
            "access = { password_file = 'users', http = [{ url = 'http://127.0.0.1:1/' }] }",
            "who has a password or the word of a web service",
        ),
        ("proxy_protocol = 'any'\naccess = { allow_anonymous = true }", "WITHOUT A PASSWORD"),
    ],
)
def test_it_says_who_may_connect(tmp_path: Path, text: str, who: str) -> None:
    users(tmp_path / "users", ann="secret")
    assert who in banner_of(tmp_path, f'[[listeners]]\nhost = "127.0.0.1"\nport = 0\n{text}\n')


def test_no_secret_is_in_the_banner_or_in_the_log(tmp_path: Path) -> None:
    users(tmp_path / "users", ann="secret-password")
    (tmp_path / "x.toml").write_text(
        'data = ""\n[access]\npassword_file = "users"\n[[access.http]]\nurl = "http://me:hidden@127.0.0.1:1/?key=hidden"\n'
        'headers = { Authorization = "hidden" }\nwhen_down = "pass"\n[[listeners]]\nhost = "127.0.0.1"\nport = 0\n'
        '[log]\nlevel = "debug"\n'
    )
    with serving("-c", str(tmp_path / "x.toml")) as (process, banner):
        found = re.search(r"mqtt://127.0.0.1:(\d+)", banner)
        assert found is not None
        for password in ("secret-password", "wrong-password"):
            telex_run("pub", "-p", found[1], "-t", "a", "-m", "x", "-u", "ann", "-P", password)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    assert "wrong password" in err
    for secret in ("hidden", "secret-password", "wrong-password"):
        assert secret not in banner + out + err


def test_python_warns_of_nothing(tmp_path: Path) -> None:
    """Sockets and tasks that nobody closes would be told at the end."""
    users(tmp_path / "users", ann="secret")
    server = Authority(tmp_path).server()
    port = free_port()
    (tmp_path / "x.toml").write_text(
        f"""
        data = ""
        [access]
        password_file = "users"
        [[listeners]]
        host = "127.0.0.1"
        port = {port}
        [[listeners]]
        host = "127.0.0.1"
        port = 0
        protocol = "websocket"
        tls = {{ certificate = "{server.certificate}", key = "{server.key}" }}
        [log]
        level = "warning"
        """
    )
    command = [sys.executable, "-W", "always", "-m", "telex", "serve", "--http", "0"]
    with running(*command, "-c", str(tmp_path / "x.toml")) as process:
        lines_until(process, "stop  ")
        assert publishes(port, "-u", "ann", "-P", "secret") == 0
        assert telex_run("reload", "--pid", str(process.pid))[0] == 0
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
    assert err == ""
