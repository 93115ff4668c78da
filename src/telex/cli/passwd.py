"""``telex passwd``: write password files, with the flags of mosquitto_passwd."""

import argparse
import errno
import getpass
import os
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from telex.cli.main import Parser, fail, number
from telex.server.access import passwords
from telex.server.access.passwords import FORMS, MAX_ITERATIONS

_DEFAULT_FORM: Final = next(iter(FORMS))

_MAX_BYTES: Final = 65_535
"""What a user name or a password can have in CONNECT (section 1.5.4)."""

_USAGE: Final = """telex passwd [-H FORM] [-I ITERATIONS] [-c] FILE USER
       telex passwd [-H FORM] [-I ITERATIONS] [-c] -b FILE USER PASSWORD
       telex passwd -D FILE USER
       telex passwd [-H FORM] [-I ITERATIONS] -U FILE"""


class _Unusable(Exception):
    """What was asked for cannot be done: why, and the exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code: 0, 1 for a failure, 2 if two passwords differ that should not."""
    options = _parse(arguments)
    try:
        if options.upgrade:
            _upgrade(options)
        elif options.delete:
            _delete(options)
        else:
            _write(options)
    except _Unusable as error:
        return fail(str(error), error.code)
    except (ValueError, MemoryError) as error:  # of the form of hash
        return fail(str(error))
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="telex passwd",
        usage=_USAGE,
        description="Write the password file of a broker: add a user or change its password, delete one (-D), "
        "or hash the passwords of a file that has them in plain text (-U).",
    )
    parser.add_argument("-c", dest="create", action="store_true", help="begin a new file; FILE - is standard output")
    parser.add_argument(
        "-b", dest="batch", action="store_true", help="the password is the last word (others on this machine see it)"
    )
    parser.add_argument("-D", dest="delete", action="store_true", help="delete the user")
    parser.add_argument("-H", dest="form", choices=FORMS, help=f"how passwords are hashed ({_DEFAULT_FORM})")
    parser.add_argument(
        "-I",
        dest="iterations",
        type=number(1, MAX_ITERATIONS),
        metavar="ITERATIONS",
        help="how often a password is hashed (as is usual for the form)",
    )
    parser.add_argument(
        "-U", dest="upgrade", action="store_true", help="hash every password of FILE that is plain text"
    )
    # As they are, from the first word that is no flag: passwords may begin with a dash.
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="FILE USER PASSWORD", help="flags come before them")
    options = parser.parse_args(arguments)
    words = options.words[1:] if options.words[:1] == ["--"] else options.words

    together = [
        ("-c and -D", options.create and options.delete),
        ("-c and -U", options.create and options.upgrade),
        ("-D and -U", options.delete and options.upgrade),
        ("-b and -D", options.batch and options.delete),
        ("-b and -U", options.batch and options.upgrade),
        ("-H and -D", options.delete and options.form is not None),
        ("-I and -D", options.delete and options.iterations is not None),
    ]
    for flags, are_given in together:
        if are_given:
            parser.error(f"{flags} cannot be used together")
    names = ["FILE", *([] if options.upgrade else ["USER"]), *(["PASSWORD"] if options.batch else [])]
    if len(words) < len(names):
        parser.error(f"{names[len(words)]} is missing")
    if len(words) > len(names):
        hint = " (a password on the command line needs -b)" if names[-1] == "USER" else ""
        parser.error(f"expected {' '.join(names)} behind the flags, got {len(words)} words{hint}")
    options.file, options.user, options.password = [*words, None, None][:3]
    if options.form is None:
        options.form = _DEFAULT_FORM
    return options


def _write(options: argparse.Namespace) -> None:
    """Add a user, or give it another password."""
    user = _checked_user(options.user)
    lines: list[bytes] = [] if options.create else _read(options.file)
    password = os.fsencode(options.password) if options.batch else _asked_password()
    if not password:
        raise _Unusable("the password is empty")
    if len(password) > _MAX_BYTES:
        raise _Unusable(f"the password has more than {_MAX_BYTES} bytes, which no client can send")
    line = _line(user, password, options)
    if options.create and options.file == "-":
        sys.stdout.write(line.decode())
        sys.stdout.flush()
        return
    places = [index for index, other in enumerate(lines) if _user_of(other) == user]
    if places:
        lines[places[0]] = line
        # A second line of a user would keep the broker from starting.
        lines = [other for index, other in enumerate(lines) if index not in places[1:]]
    else:
        lines.append(line)
    _replace(options.file, lines)


def _delete(options: argparse.Namespace) -> None:
    """Take a user out of the file."""
    lines = _read(options.file)
    user = os.fsencode(options.user)
    kept = [line for line in lines if _user_of(line) != user]
    if len(kept) == len(lines):
        raise _Unusable(f"{options.file}: there is no user {options.user!r}; nothing was changed")
    _replace(options.file, kept)


def _upgrade(options: argparse.Namespace) -> None:
    """Hash what is plain text. What is hashed already stays; mosquitto_passwd would hash the hash."""
    lines = _read(options.file)
    for index, line in enumerate(lines):
        user = _user_of(line)
        if user is None:
            continue
        text = line.partition(b":")[2].strip()
        try:
            _checked_user(os.fsdecode(user))
            if not text:
                raise ValueError("the password is empty")
            if passwords.is_hash(shown := text.decode(errors="replace")):
                passwords.parse(shown.partition(":")[0] if shown.startswith("$") else shown)
                continue
        except (ValueError, _Unusable) as error:
            raise _Unusable(f"{options.file}:{index + 1}: {error}; nothing was changed") from None
        lines[index] = _line(user, text, options)
    _replace(options.file, lines)


def _line(user: bytes, password: bytes, options: argparse.Namespace) -> bytes:
    stored = passwords.make(password, options.form, iterations=options.iterations)
    return user + b":" + stored.line.encode() + b"\n"


def _user_of(line: bytes) -> bytes | None:
    """Whose line it is, as a broker reads it; None: nobody's."""
    if line.startswith(b"#") or b":" not in line:
        return None
    return line.partition(b":")[0].strip()


def _checked_user(text: str) -> bytes:
    """A user name that can be written into the file, read again, and sent by a client."""
    user = os.fsencode(text)
    try:
        name = user.decode()
    except UnicodeDecodeError:
        raise _Unusable("the user name is not UTF-8, so that no client can send it") from None
    if not user:
        raise _Unusable("the user name is empty")
    if b":" in user:
        raise _Unusable(f"the user name {name!r} has a ':', which ends it in the file")
    if any(unicodedata.category(char) == "Cc" for char in name):
        raise _Unusable(f"the user name {name!r} has a control character")
    if user != user.strip():
        raise _Unusable(f"the user name {name!r} begins or ends with a space, which a broker would not read")
    if user.startswith(b"#"):
        raise _Unusable(f"the user name {name!r} begins with '#', which makes its line a comment")
    if len(user) > _MAX_BYTES:
        raise _Unusable(f"the user name has more than {_MAX_BYTES} bytes, which no client can send")
    return user


def _asked_password() -> bytes:
    """Ask twice, without showing it; or read two lines, if nobody is there to be asked."""
    try:
        if sys.stdin.isatty():
            password = getpass.getpass("Password: ").encode(errors="surrogateescape")
            if not password:
                return password
            again = getpass.getpass("Reenter password: ").encode(errors="surrogateescape")
        else:
            password, again = (sys.stdin.buffer.readline().rstrip(b"\r\n") for _ in range(2))
            if not password:
                return password
    except EOFError:
        return b""
    if password != again:
        raise _Unusable("the passwords do not match", 2)
    return password


def _read(path: str) -> list[bytes]:
    """The lines of a file, each with its end."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        raise _Unusable(f"{path}: there is no such file; -c begins a new one") from None
    except OSError as error:
        raise _Unusable(f"{path}: it cannot be read: {error.strerror}") from None
    # As a broker splits it; the last line may lack its end.
    return [line + b"\n" for line in text.removesuffix(b"\n").split(b"\n")] if text else []


def _replace(path: str, lines: list[bytes]) -> None:
    """Put a file in the place of another in one step, with its mode and its owner.

    A broker that reads it meanwhile reads the one or the other. A new one is for its owner only.
    """
    place = os.path.realpath(path)  # where a symbolic link points to: the link stays
    try:
        former = os.stat(place) if os.path.exists(place) else None
        if former is not None and not stat.S_ISREG(former.st_mode):
            raise _Unusable(f"{path}: it is no regular file")
        # mkstemp: nobody else may read it.
        descriptor, name = tempfile.mkstemp(prefix=f".{os.path.basename(place)}.", dir=os.path.dirname(place))
        try:
            with open(descriptor, "wb") as file:
                file.writelines(lines)
                file.flush()
                if former is not None:
                    _take_after(former, name)
                os.fsync(file.fileno())
            os.replace(name, place)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
    except OSError as error:
        # A container to which this one file was mounted cannot replace it.
        hint = "; if it is mounted by itself, mount its directory" if error.errno == errno.EBUSY else ""
        raise _Unusable(f"{path}: it cannot be written: {error.strerror}; nothing was changed{hint}") from None


def _take_after(former: os.stat_result, name: str) -> None:
    """Give a file the owner and the mode of the one that it replaces."""
    if sys.platform != "win32":
        made = os.stat(name)
        if (made.st_uid, made.st_gid) != (former.st_uid, former.st_gid):
            # Otherwise the broker might not be able to read it any more.
            os.chown(name, former.st_uid, former.st_gid)
    os.chmod(name, stat.S_IMODE(former.st_mode))
