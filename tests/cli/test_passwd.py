"""``telex passwd``: the flags of mosquitto_passwd, and files that stay whole."""

import io
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from telex.cli import passwd
from telex.server.access.password_file import read_password_file
from telex.server.access.passwords import make
from tests.processes import SECONDS, find, run

HASHED = make(b"old", "sha512").line
FAST = ["-H", "sha512"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A password file with a comment, something that says nothing, and two users."""
    path = tmp_path / "passwords"
    path.write_bytes(f"# who may come in\r\n\n anna : {HASHED} \r\nno colon\nbob:{HASHED}".encode())
    path.chmod(0o640)
    return path


def passwd_run(*arguments: str | Path) -> int:
    try:
        return passwd.run([str(argument) for argument in arguments])
    except SystemExit as ended:  # what is wrong with the flags
        return int(str(ended.code))


def told(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("telex: ")
    assert err.count("\n") == 1
    return err.removeprefix("telex: ").rstrip("\n")


def types(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_a_new_file_is_for_its_owner_only_and_hashed_with_argon2id(tmp_path: Path) -> None:
    path = tmp_path / "new"
    assert passwd_run("-c", "-b", path, "anna", "pw") == 0
    assert path.read_text().startswith("anna:$argon2id$v=19$m=47104,t=1,p=1$")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_password_file(str(path))["anna"].verify(b"pw")
    assert os.listdir(tmp_path) == ["new"]


@pytest.mark.parametrize(
    ("flags", "begins"),
    [
        (["-H", "argon2id", "-I", "2"], "anna:$argon2id$v=19$m=47104,t=2,p=1$"),
        (["-H", "sha512-pbkdf2"], "anna:$7$1000$"),
        (["-I", "7", "-H", "sha512-pbkdf2"], "anna:$7$7$"),
        (["-Hsha512"], "anna:$6$"),
        (["-H", "scram-sha-256"], "anna:SCRAM-SHA-256$4096:"),
        (["-H", "scram-sha-256", "-I9"], "anna:SCRAM-SHA-256$9:"),
        (["-bc", "-H", "sha512"], "anna:$6$"),
    ],
)
def test_the_form_can_be_chosen(tmp_path: Path, flags: list[str], begins: str) -> None:
    path = tmp_path / "new"
    assert passwd_run(*flags, "-c", "-b", path, "anna", "pw") == 0
    assert path.read_text().startswith(begins)
    assert read_password_file(str(path))["anna"].verify(b"pw")


def test_the_other_lines_stay_as_they_are(path: Path) -> None:
    assert passwd_run(*FAST, "-b", path, "cäsar x", "pw") == 0
    before, _, added = path.read_bytes().rpartition("cäsar x:".encode())
    assert before == f"# who may come in\r\n\n anna : {HASHED} \r\nno colon\nbob:{HASHED}\n".encode()
    assert added.startswith(b"$6$")
    assert added.endswith(b"\n")
    assert passwd_run(*FAST, "-b", path, "anna", "new") == 0
    lines = path.read_bytes().split(b"\n")
    assert lines[:2] + lines[3:5] == [b"# who may come in\r", b"", b"no colon", f"bob:{HASHED}".encode()]
    users = read_password_file(str(path))
    assert users["anna"].verify(b"new")
    assert users["bob"].verify(b"old")
    assert users["cäsar x"].verify(b"pw")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_user_who_is_there_twice_is_there_once_afterwards(path: Path) -> None:
    path.write_text(f"anna:{HASHED}\nbob:{HASHED}\nanna:{HASHED}\n")
    assert passwd_run(*FAST, "-b", path, "anna", "new") == 0
    assert list(read_password_file(str(path))) == ["anna", "bob"]


def test_a_user_is_deleted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert passwd_run("-D", path, "anna") == 0
    assert path.read_bytes() == f"# who may come in\r\n\nno colon\nbob:{HASHED}\n".encode()
    assert passwd_run("-D", path, "bob") == 0
    assert passwd_run("-D", path, "bob") == 1
    assert told(capsys) == f"{path}: there is no user 'bob'; nothing was changed"


def test_a_file_is_begun_anew(path: Path) -> None:
    assert passwd_run(*FAST, "-c", "-b", path, "eve", "pw") == 0
    assert list(read_password_file(str(path))) == ["eve"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_line_goes_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert passwd_run(*FAST, "-c", "-b", "-", "anna", "pw") == 0
    out, err = capsys.readouterr()
    assert (out[:8], out[-1:], out.count("\n"), err) == ("anna:$6$", "\n", 1, "")
    path = tmp_path / "passwords"
    path.write_text(out)
    assert read_password_file(str(path))["anna"].verify(b"pw")


def test_a_password_may_begin_with_a_dash(path: Path) -> None:
    for password in ("-b", "--", "-x y", "--help"):
        assert passwd_run(*FAST, "-b", path, "anna", password) == 0
        assert read_password_file(str(path))["anna"].verify(password.encode())
    assert passwd_run(*FAST, "-b", "--", path, "-D", "pw") == 0
    assert read_password_file(str(path))["-D"].verify(b"pw")


def test_a_password_need_not_be_text(path: Path) -> None:
    assert passwd_run(*FAST, "-b", path, "anna", os.fsdecode(b"p\xff")) == 0
    assert read_password_file(str(path))["anna"].verify(b"p\xff")


# Typed passwords


def test_a_password_is_asked_for_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    types(monkeypatch, b" p\xc3\xa4 \r\n p\xc3\xa4 \r\n")
    assert passwd_run(*FAST, path, "anna") == 0
    assert read_password_file(str(path))["anna"].verify(" pä ".encode())


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (b"one\ntwo\n", 2, "the passwords do not match"),
        (b"one\n", 2, "the passwords do not match"),
        (b"", 1, "the password is empty"),
        (b"\n\n", 1, "the password is empty"),
        (b"x" * 65_536 + b"\n" + b"x" * 65_536 + b"\n", 1, "the password has more than 65535 bytes"),
    ],
)
def test_what_is_typed_wrong_changes_nothing(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: bytes,
    code: int,
    said: str,
) -> None:
    before = path.read_bytes()
    types(monkeypatch, typed)
    assert passwd_run(path, "anna") == code
    assert said in told(capsys)
    assert path.read_bytes() == before


def test_what_is_typed_at_a_terminal_is_not_shown(path: Path) -> None:
    pty = pytest.importorskip("pty")
    script = "import sys; from telex.cli.passwd import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", script, *FAST, str(path), "anna"]
    terminal, far_end = pty.openpty()
    process = subprocess.Popen(command, stdin=far_end, stdout=far_end, stderr=far_end, start_new_session=True)
    os.close(far_end)
    seen = b""
    try:
        for prompt in (b"Password: ", b"Reenter password: "):
            while not seen.endswith(prompt):
                seen += os.read(terminal, 1_000)
            os.write(terminal, b"s3cret\n")
        with suppress(OSError):  # how Linux says that nobody is at the other end
            while more := os.read(terminal, 1_000):
                seen += more
        assert process.wait(SECONDS) == 0
    finally:
        os.close(terminal)
        process.kill()
        process.wait(SECONDS)
    assert b"s3cret" not in seen
    assert read_password_file(str(path))["anna"].verify(b"s3cret")


# Plain text


def test_a_plain_file_is_hashed(path: Path) -> None:
    path.write_bytes(b"# comment: stays\n\nanna:pw\n bob :  p w \r\nno colon\neve:co:lon\ndone:" + HASHED.encode())
    assert passwd_run("-H", "sha512-pbkdf2", "-U", path) == 0
    lines = path.read_bytes().split(b"\n")
    assert [lines[0], lines[1], lines[4]] == [b"# comment: stays", b"", b"no colon"]
    users = read_password_file(str(path))
    assert users["anna"].verify(b"pw")
    assert users["bob"].verify(b"p w")  # mosquitto_passwd leaves out the space around it as well
    assert users["eve"].verify(b"co:lon")  # of which mosquitto_passwd would take "co"
    assert users["done"].line == HASHED
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    before = path.read_bytes()
    assert passwd_run("-U", path) == 0
    assert path.read_bytes() == before  # all is hashed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bob:", "the password is empty"),
        (":hunter2", "the user name is empty"),
        ("bob:$7$hunter2", "expected $7$ITERATIONS$SALT$HASH"),
        (" #bob:hunter2", "the user name '#bob' begins with '#'"),
    ],
)
def test_a_plain_file_with_a_wrong_line_is_not_touched(
    path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    path.write_text(f"anna:pw\n{line}\n")
    assert passwd_run(*FAST, "-U", path) == 1
    text = told(capsys)
    assert text.startswith(f"{path}:2: {said}")
    assert text.endswith("; nothing was changed")
    assert "hunter2" not in text
    assert path.read_text() == f"anna:pw\n{line}\n"


def test_a_plain_file_is_hashed_to_what_mosquitto_passwd_understands(path: Path) -> None:
    path.write_text("anna:pw\nbob:pw\n")
    assert passwd_run("-H", "sha512-pbkdf2", "-U", path) == 0
    assert run(find("mosquitto_passwd"), "-b", str(path), "eve", "pw").returncode == 0
    assert run(find("mosquitto_passwd"), "-D", str(path), "bob").returncode == 0
    users = read_password_file(str(path))
    assert [user for user, stored in users.items() if stored.verify(b"pw")] == ["anna", "eve"]


# What is refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "FILE is missing"),
        (["f"], "USER is missing"),
        (["-b", "f"], "USER is missing"),
        (["-b", "f", "u"], "PASSWORD is missing"),
        (["-U"], "FILE is missing"),
        (["-c", "-D", "f", "u"], "-c and -D cannot be used together"),
        (["-c", "-U", "f"], "-c and -U cannot be used together"),
        (["-D", "-U", "f"], "-D and -U cannot be used together"),
        (["-b", "-D", "f", "u", "p"], "-b and -D cannot be used together"),
        (["-b", "-U", "f"], "-b and -U cannot be used together"),
        (["-D", "-H", "sha512", "f", "u"], "-H and -D cannot be used together"),
        (["-D", "-I", "2", "f", "u"], "-I and -D cannot be used together"),
        (["f", "u", "p"], "expected FILE USER behind the flags, got 3 words (a password on the command line needs -b)"),
        (["-U", "f", "u"], "expected FILE behind the flags, got 2 words"),
        (["-b", "f", "u", "p", "q"], "expected FILE USER PASSWORD behind the flags, got 4 words"),
        (["-H", "md5", "f", "u"], "argument -H: invalid choice: 'md5'"),
        (["-I", "0", "f", "u"], "'0' is not a number from 1 to 2147483647"),
        (["-H"], "argument -H: expected one argument"),
        (["-x", "f", "u"], "unrecognized arguments: -x"),
    ],
)
def test_wrong_flags_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert passwd_run(*arguments) == 1
    text = told(capsys)
    assert said in text
    assert text.endswith("; see telex passwd --help")


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("", "the user name is empty"),
        ("a:b", "has a ':', which ends it in the file"),
        ("a\nb", "has a control character"),
        ("a\x85b", "has a control character"),
        (" anna", "begins or ends with a space"),
        ("anna ", "begins or ends with a space"),
        ("#anna", "begins with '#', which makes its line a comment"),
        (os.fsdecode(b"\xff"), "the user name is not UTF-8"),
        ("x" * 65_536, "the user name has more than 65535 bytes"),
    ],
)
def test_a_user_whom_no_broker_would_find_is_refused(
    path: Path, capsys: pytest.CaptureFixture[str], user: str, said: str
) -> None:
    before = path.read_bytes()
    assert passwd_run(*FAST, "-b", path, user, "pw") == 1
    assert said in told(capsys)
    assert path.read_bytes() == before


def test_an_empty_password_is_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert passwd_run("-b", path, "anna", "") == 1
    assert told(capsys) == "the password is empty"


def test_iterations_are_refused_where_there_are_none(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert passwd_run("-H", "sha512", "-I", "2", "-b", path, "anna", "pw") == 1
    assert told(capsys) == "sha512 hashes once: it has no number of iterations"


def test_files_that_cannot_be_used_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    none = tmp_path / "none"
    for arguments in (["-b", none, "u", "p"], ["-D", none, "u"], ["-U", none]):
        assert passwd_run(*arguments) == 1
        assert told(capsys) == f"{none}: there is no such file; -c begins a new one"
    assert passwd_run("-b", tmp_path, "u", "p") == 1
    assert told(capsys) == f"{tmp_path}: it cannot be read: Is a directory"
    assert passwd_run(*FAST, "-c", "-b", tmp_path, "u", "p") == 1
    assert told(capsys) == f"{tmp_path}: it is no regular file"
    assert passwd_run(*FAST, "-c", "-b", none / "below", "u", "p") == 1
    assert told(capsys) == f"{none}/below: it cannot be written: No such file or directory; nothing was changed"
    assert os.listdir(tmp_path) == []


# Replacing


def test_a_symbolic_link_stays_one(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path.name)
    assert passwd_run(*FAST, "-b", link, "eve", "pw") == 0
    assert link.is_symlink()
    assert "eve" in read_password_file(str(path))


def test_a_failure_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(os, "replace", fail)
    before = path.read_bytes()
    assert passwd_run(*FAST, "-b", path, "anna", "pw") == 1
    assert told(capsys) == (
        f"{path}: it cannot be written: Device or resource busy; nothing was changed; "
        "if it is mounted by itself, mount its directory"
    )
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays_the_same(path: Path) -> None:
    os.chown(path, 65_534, 65_533)
    assert passwd_run(*FAST, "-b", path, "anna", "pw") == 0
    after = path.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (65_534, 65_533, 0o640)
