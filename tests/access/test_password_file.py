"""Mosquitto's password file: what is read, who comes in by it, and that nobody waits for the hashes of others."""

import asyncio
import base64
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from telex.server.access.password_file import Busy, Hasher, PasswordFile, Remembered, read_password_file
from telex.server.access.passwords import Pbkdf2Sha512, ScramSha256, Sha512, StoredPassword, make
from telex.server.access.ways import Admitted, Applicant, Denied
from telex.server.config import ConfigError
from tests.processes import SECONDS, find, free_port, run, running, wait_for_port

HASHED = make(b"pw", "sha512").line
PBKDF2 = make(b"pw", "sha512-pbkdf2", iterations=2).line
SCRAM = make(b"pw", "scram-sha-256", iterations=2).line


def applicant(user: str | None, password: bytes | None = None, host: str = "192.0.2.1") -> Applicant:
    return Applicant(user_name=user, password=password, client_id="c", host=host)


@pytest.fixture
def hasher() -> Iterator[Hasher]:
    with closing(Hasher()) as hasher:
        yield hasher


class CountingHasher(Hasher):
    """Counts what it is asked."""

    asked = 0

    async def ask(self, host: str, question: Callable[[], bool]) -> bool:
        self.asked += 1
        return await super().ask(host, question)


@contextmanager
def held() -> Iterator[threading.Event]:
    """What the questions of a test wait for; they never wait on after it."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


async def turns_while(working: Awaitable[object]) -> int:
    """How often the loop turns while something is awaited."""
    task = asyncio.ensure_future(working)
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    await task
    return turns


# The file


def written(tmp_path: Path, *lines: str | bytes) -> str:
    path = tmp_path / "passwords"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return str(path)


@pytest.mark.parametrize(
    "lines",
    [
        [f"u:{HASHED}"],
        [f"u:{HASHED}", ""],
        [f" u\t: {HASHED} \r", ""],
        ["# comment:x", "", "no colon", b"# \xff", b"\xff", f"u:{HASHED}"],
        [f"u:{HASHED}:whatever"],  # as Mosquitto, which looks no further
        [f"u:{HASHED} : whatever"],
    ],
)
def test_lines_are_read_as_mosquitto_reads_them(tmp_path: Path, lines: list[str | bytes]) -> None:
    users = read_password_file(written(tmp_path, *lines))
    assert list(users) == ["u"]
    assert users["u"].verify(b"pw")
    assert users["u"].line == HASHED


def test_every_form_may_be_in_one_file(tmp_path: Path) -> None:
    users = read_password_file(written(tmp_path, f"a:{HASHED}", f"b:{PBKDF2}", f"c:{SCRAM}", f"dä d:{HASHED}"))
    assert {user: type(stored) for user, stored in users.items()} == {
        "a": Sha512,
        "b": Pbkdf2Sha512,
        "c": ScramSha256,
        "dä d": Sha512,
    }


def test_an_empty_file_has_nobody_in_it(tmp_path: Path) -> None:
    assert read_password_file(written(tmp_path, "")) == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f":{HASHED}", "there is no user name before the ':'"),
        (f"  :{HASHED}", "there is no user name before the ':'"),
        (":", "there is no user name before the ':'"),
        ("x:", "user 'x' has no hash of a password"),
        ("x: \t\r", "user 'x' has no hash of a password"),
        (
            "x:hunter2",
            "user 'x': not a hash of a password: it begins with none of $6$, $7$, $argon2id$, SCRAM-SHA-256$",
        ),
        (f"x::{HASHED}", "user 'x': not a hash of a password"),
        ("x:$6$", "user 'x': expected $6$SALT$HASH"),
        ("x:$6$hunter2$hunter2", "user 'x': the salt is not base64"),
        ("x:$7$0$AAAA$AAAA", "user 'x': the number of iterations"),
        (HASHED.join(["x:", " hunter2"]), "user 'x': the hash is not base64"),
        (f"  #x:{HASHED[:-1]}", "user '#x': the hash is not base64"),  # a comment begins with the line
        (b"x:$6$\xff", "user 'x': expected $6$SALT$HASH"),
        (b"\xff:" + HASHED.encode(), "the user name is not UTF-8"),
        (f"good:{HASHED}", "user 'good' is in line 1 already"),
        (f"{'x' * 65_536}:{HASHED}", "more than 65535 bytes"),
        (f"x:{'$6$' * 22_000}", "more than 65535 bytes"),
        (f"{SCRAM}", "user 'SCRAM-SHA-256$2': "),
        (f"x:{SCRAM}:more", "user 'x': expected SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str | bytes, said: str) -> None:
    path = written(tmp_path, f"good:{HASHED}", "# comment", line, f"later:{HASHED}")
    with pytest.raises(ConfigError) as raised:
        read_password_file(path)
    text = str(raised.value)
    assert text.startswith(f"{path}:3: ")
    assert said in text
    assert "hunter2" not in text
    assert "\n" not in text


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path}/none: the password file cannot be read: No such file"):
        read_password_file(f"{tmp_path}/none")
    with pytest.raises(ConfigError, match=f"{tmp_path}: the password file cannot be read: Is a directory"):
        read_password_file(str(tmp_path))


def test_what_mosquitto_passwd_writes_is_read(tmp_path: Path) -> None:
    program = find("mosquitto_passwd")
    path = str(tmp_path / "passwords")
    for arguments in (
        ("-c", "-b", path, "pbkdf2", "one"),
        ("-H", "sha512", "-b", path, "sha512", "two"),
        ("-I", "10", "-b", path, "few", "three"),
        ("-b", path, "päul x", "vier ß"),
        ("-b", path, "gone", "x"),
        ("-D", path, "gone"),
        ("-b", path, "few", "drei"),
    ):
        assert run(program, *arguments).returncode == 0
    users = read_password_file(path)
    assert {user: stored.line.split("$")[1:-2] for user, stored in users.items()} == {
        "pbkdf2": ["7", "101"],
        "sha512": ["6"],
        "few": ["7", "101"],
        "päul x": ["7", "101"],
    }
    right = {"pbkdf2": b"one", "sha512": b"two", "few": b"drei", "päul x": "vier ß".encode()}
    for user, stored in users.items():
        assert [stored.verify(password) for password in right.values()] == [name == user for name in right]


def test_what_mosquitto_passwd_hashes_in_a_plain_file_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "a:one", "b:two", "")
    assert run(find("mosquitto_passwd"), "-U", path).returncode == 0
    users = read_password_file(path)
    assert (users["a"].verify(b"one"), users["b"].verify(b"two")) == (True, True)


def test_what_is_written_mosquitto_reads(tmp_path: Path) -> None:
    program, mosquitto_pub, port = find("mosquitto"), find("mosquitto_pub"), free_port()
    path = written(
        tmp_path,
        f"six:{make(b'pw6', 'sha512').line}",
        f"seven:{make(b'pw7', 'sha512-pbkdf2').line}",
        "",
    )
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {path}\nuser root\n")
    users = read_password_file(path)
    with running(program, "-c", str(config)):
        wait_for_port(port)
        for user in ("six", "seven"):
            for password in ("pw6", "pw7", ""):
                publish = [mosquitto_pub, "-p", str(port), "-t", "a", "-m", "x", "-q", "1", "-u", user, "-P", password]
                # Mosquitto and we let in the same.
                assert (run(*publish).returncode == 0) == users[user].verify(password.encode())


# Who comes in


def test_a_user_comes_in_with_the_right_password_only(tmp_path: Path, hasher: Hasher) -> None:
    way = PasswordFile(written(tmp_path, f"anna:{HASHED}", f"bob:{PBKDF2}", f"eve:{SCRAM}"), hasher)

    async def story() -> None:
        for user in ("anna", "bob", "eve"):
            admitted = await way.check(applicant(user, b"pw"))
            assert isinstance(admitted, Admitted)
            assert (admitted.user, admitted.groups, admitted.rules, admitted.expires_at) == (user, (), None, None)
            assert await way.check(applicant(user, b"PW")) == Denied(reason=f"user '{user}': wrong password")
            assert await way.check(applicant(user, b"")) == Denied(reason=f"user '{user}': wrong password")
            assert await way.check(applicant(user, None)) == Denied(reason=f"user '{user}': it has no password")
        for stranger in ("Anna", "anna ", "", "#", "nobody"):
            assert await way.check(applicant(stranger, b"pw")) == Denied(reason=f"user {stranger!r}: unknown")
            assert await way.check(applicant(stranger, None)) == Denied(reason=f"user {stranger!r}: it has no password")

    asyncio.run(story())


def test_who_has_no_user_name_is_for_others_to_decide_about(tmp_path: Path, hasher: Hasher) -> None:
    way = PasswordFile(written(tmp_path, f"anna:{HASHED}"), hasher)
    assert asyncio.run(way.check(applicant(None))) is None
    assert asyncio.run(way.check(applicant(None, b"pw"))) is None


def test_nobody_comes_in_by_an_empty_file(tmp_path: Path, hasher: Hasher) -> None:
    way = PasswordFile(written(tmp_path, "# nobody"), hasher)
    assert asyncio.run(way.check(applicant("anna", b"pw"))) == Denied(reason="user 'anna': unknown")


def test_a_long_user_name_is_shown_in_part(tmp_path: Path, hasher: Hasher) -> None:
    way = PasswordFile(written(tmp_path, f"anna:{HASHED}"), hasher)
    verdict = asyncio.run(way.check(applicant("x" * 65_535, b"pw")))
    assert verdict == Denied(reason=f"user '{'x' * 100}': unknown")


def test_an_unknown_user_costs_a_hash_like_a_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[bytes] = []

    def verify(stored: StoredPassword, password: bytes) -> bool:
        verified.append(password)
        return True  # also where the password happens to be that of the decoy

    monkeypatch.setattr(Pbkdf2Sha512, "verify", verify)
    with closing(CountingHasher()) as hasher:
        way = PasswordFile(written(tmp_path, f"anna:{PBKDF2}"), hasher)
        for _ in range(2):  # it is never remembered
            assert asyncio.run(way.check(applicant("nobody", b"pw"))) == Denied(reason="user 'nobody': unknown")
    assert hasher.asked == 2
    assert verified == [b"pw", b"pw"]


def test_an_unknown_user_costs_the_same_each_time_and_as_one_of_those_who_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasher: Hasher
) -> None:
    forms: dict[str, set[type]] = {}

    for form in (Sha512, Pbkdf2Sha512):
        monkeypatch.setattr(form, "verify", lambda stored, password: bool(forms[password.decode()].add(type(stored))))
    way = PasswordFile(written(tmp_path, f"anna:{PBKDF2}", f"bob:{HASHED}"), hasher)

    async def story() -> None:
        for number in range(64):
            user = f"nobody {number}"
            forms[user] = set()
            for _ in range(3):
                await way.check(applicant(user, user.encode()))

    asyncio.run(story())
    assert {len(seen) for seen in forms.values()} == {1}
    assert set.union(*forms.values()) == {Sha512, Pbkdf2Sha512}  # 2 to the power of -63 against it


def test_a_lack_of_memory_lets_nobody_in_and_is_nobodys_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasher: Hasher
) -> None:
    def verify(stored: StoredPassword, password: bytes) -> bool:
        raise MemoryError("Memory allocation error")

    monkeypatch.setattr(Pbkdf2Sha512, "verify", verify)
    way = PasswordFile(written(tmp_path, f"anna:{PBKDF2}"), hasher)
    said = "user 'anna': its password cannot be checked: Memory allocation error"
    assert asyncio.run(way.check(applicant("anna", b"pw"))) == Denied(reason=said, is_guess=False)
    assert len(hasher.remembered) == 0


def test_scram_keys_are_told_of_those_who_have_them(tmp_path: Path, hasher: Hasher) -> None:
    way = PasswordFile(written(tmp_path, f"anna:{SCRAM}", f"bob:{HASHED}"), hasher)
    keys = way.scram_keys("anna")
    assert keys is not None
    assert keys.iterations == 2
    encoded = [base64.b64encode(key).decode() for key in (keys.salt, keys.stored_key, keys.server_key)]
    assert "SCRAM-SHA-256$2:{}${}:{}".format(*encoded) == SCRAM
    assert way.scram_keys("bob") is None
    assert way.scram_keys("nobody") is None


# After a reload


def test_who_was_removed_or_has_another_password_is_not_admitted_any_more(tmp_path: Path, hasher: Hasher) -> None:
    way = PasswordFile(written(tmp_path, *(f"{user}:{HASHED}" for user in ("stays", "goes", "changes"))), hasher)

    async def admitted(user: str) -> Admitted:
        verdict = await way.check(applicant(user, b"pw"))
        assert isinstance(verdict, Admitted)
        return verdict

    async def story() -> list[Admitted]:
        return [await admitted("stays"), await admitted("goes"), await admitted("changes")]

    inside = asyncio.run(story())
    assert [way.still_admits(who) for who in inside] == [True, True, True]
    # The same password, but written anew: it may be because somebody else knew it.
    after = PasswordFile(written(tmp_path, f"stays:{HASHED}", f"changes:{make(b'pw', 'sha512').line}"), hasher)
    assert [after.still_admits(who) for who in inside] == [True, False, False]
    assert not after.still_admits(Admitted(user="stays"))
    assert HASHED not in repr(inside)


def test_a_right_password_is_remembered_as_long_as_its_line_is_the_same(tmp_path: Path) -> None:
    with closing(CountingHasher()) as hasher:
        way = PasswordFile(written(tmp_path, f"anna:{PBKDF2}"), hasher)

        def comes(password: bytes, user: str = "anna") -> bool:
            return isinstance(asyncio.run(way.check(applicant(user, password))), Admitted)

        assert (comes(b"pw"), hasher.asked) == (True, 1)
        assert (comes(b"pw"), hasher.asked) == (True, 1)
        assert (comes(b"no"), hasher.asked) == (False, 2)
        assert (comes(b"no"), hasher.asked) == (False, 3)  # wrong ones are not
        assert (comes(b"pw"), hasher.asked) == (True, 3)

        way = PasswordFile(written(tmp_path, f"anna:{PBKDF2}", f"bob:{PBKDF2}"), hasher)
        assert (comes(b"pw"), hasher.asked) == (True, 3)  # a reload forgets nobody who stays as he was
        assert (comes(b"pw", "bob"), hasher.asked) == (True, 4)  # and each user counts by himself
        way = PasswordFile(written(tmp_path, f"anna:{make(b'new', 'sha512').line}"), hasher)
        assert (comes(b"pw"), hasher.asked) == (False, 5)
        assert (comes(b"new"), hasher.asked) == (True, 6)
        way = PasswordFile(written(tmp_path, f"bob:{PBKDF2}"), hasher)
        assert (comes(b"pw"), hasher.asked) == (False, 7)


def test_many_who_come_with_one_password_at_a_time_cost_one_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasher: Hasher
) -> None:
    verified: list[bytes] = []
    monkeypatch.setattr(Pbkdf2Sha512, "verify", lambda stored, password: not verified.append(password))
    way = PasswordFile(written(tmp_path, f"fleet:{PBKDF2}"), hasher)

    async def story() -> None:
        verdicts = await asyncio.gather(*(way.check(applicant("fleet", b"pw")) for _ in range(50)))
        assert {type(verdict) for verdict in verdicts} == {Admitted}

    asyncio.run(story())
    assert len(verified) <= 2  # the second may begin before the first one's answer has been heard


def test_what_is_remembered_is_bounded_and_the_longest_unused_goes() -> None:
    remembered = Remembered(most=2)
    one, two, three = (remembered.mark(part) for part in (b"one", b"two", b"three"))
    for mark in (one, two, one, three):
        remembered.add(mark)
    assert len(remembered) == 2
    assert [remembered.knows(mark) for mark in (one, two, three)] == [True, False, True]


def test_no_two_logins_have_the_same_mark() -> None:
    remembered = Remembered()
    marks = {
        remembered.mark(b"ab", b"c"),
        remembered.mark(b"a", b"bc"),
        remembered.mark(b"abc"),
        remembered.mark(b"abc", b""),
        Remembered().mark(b"abc"),  # another process has another key
    }
    assert len(marks) == 5
    assert remembered.mark(b"a", b"b") == remembered.mark(b"a", b"b")


# Nobody waits for the hashes of others


def test_the_loop_goes_on_while_a_password_is_hashed(tmp_path: Path, hasher: Hasher) -> None:
    way = PasswordFile(written(tmp_path, f"anna:{make(b'pw', 'argon2id').line}"), hasher)
    assert asyncio.run(turns_while(way.check(applicant("anna", b"wrong")))) > 10
    assert asyncio.run(turns_while(way.check(applicant("anna", b"pw")))) > 10
    assert asyncio.run(turns_while(way.check(applicant("nobody", b"pw")))) > 10


def test_a_thousand_wrong_passwords_of_one_address_do_not_delay_another() -> None:
    async def story() -> None:
        hasher = Hasher(max_waiting=1_000)
        with closing(hasher), held() as event:
            guesses = [asyncio.create_task(hasher.ask("192.0.2.6", lambda: event.wait(SECONDS))) for _ in range(1_000)]
            await asyncio.sleep(0)
            # None of theirs is ever answered; all of another address are, one after the other.
            for _ in range(20):
                assert await hasher.ask("192.0.2.7", lambda: True)
            assert not any(guess.done() for guess in guesses)
            event.set()
            assert await asyncio.gather(*guesses) == [True] * 1_000

    asyncio.run(story())


def test_addresses_take_turns() -> None:
    order: list[str] = []

    async def story() -> None:
        with closing(Hasher(threads=1)) as hasher, held() as event:

            async def asks(host: str, name: str) -> None:
                await hasher.ask(host, lambda: event.wait(SECONDS) and not order.append(name))

            asking = [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2"), ("c", "c1"), ("a", "a4")]
            tasks = [asyncio.create_task(asks(host, name)) for host, name in asking]
            await asyncio.sleep(0)
            event.set()
            await asyncio.gather(*tasks)

    asyncio.run(story())
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
        ("2001:db8:0:0::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
        ("", "192.0.2.1", False),
    ],
)
def test_an_ipv6_network_counts_as_one_address(one: str, other: str, are_one: bool) -> None:
    async def story() -> None:
        with closing(Hasher(max_waiting=1)) as hasher, held() as event:
            first = asyncio.create_task(hasher.ask(one, lambda: event.wait(SECONDS)))
            await asyncio.sleep(0)
            second = asyncio.create_task(hasher.ask(other, lambda: True))
            if are_one:
                for _ in range(100):
                    await asyncio.sleep(0)
                assert not second.done()
            else:
                assert await second
            event.set()
            assert await asyncio.gather(first, second) == [True, True]

    asyncio.run(story())


def test_what_is_too_much_for_one_address_is_denied_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        with closing(Hasher(max_waiting=2)) as hasher, held() as event:
            monkeypatch.setattr(Pbkdf2Sha512, "verify", lambda stored, password: event.wait(SECONDS))
            way = PasswordFile(written(tmp_path, f"anna:{PBKDF2}"), hasher)
            waiting = [asyncio.create_task(way.check(applicant("anna", b"%d" % number))) for number in range(3)]
            await asyncio.sleep(0)
            verdict = await way.check(applicant("anna", b"pw"))
            said = "user 'anna': too many logins of 192.0.2.1 wait"
            assert verdict == Denied(reason=said, is_guess=False)  # it may have been right
            assert not any(task.done() for task in waiting)
            event.set()
            await asyncio.gather(*waiting)
            assert isinstance(await way.check(applicant("anna", b"pw")), Admitted)  # there is room again

    asyncio.run(story())


def test_who_gives_up_makes_room_and_is_not_hashed_for() -> None:
    hashed: list[str] = []

    async def story() -> None:
        with closing(Hasher(threads=1, max_waiting=2)) as hasher, held() as event:

            def asks(host: str, name: str) -> "asyncio.Task[bool]":
                return asyncio.create_task(
                    hasher.ask(host, lambda: event.wait(SECONDS) and not hashed.append(name)), name=name
                )

            tasks = [asks("a", "a1"), asks("a", "a2"), asks("a", "a3"), asks("b", "b1"), asks("c", "c1")]
            await asyncio.sleep(0)
            with pytest.raises(Busy):
                await hasher.ask("a", lambda: True)
            for gone in tasks[1], tasks[3], tasks[4]:
                gone.cancel()
            await asyncio.sleep(0)
            tasks += [asks("a", "a4"), asks("b", "b2")]
            await asyncio.sleep(0)
            tasks[0].cancel()  # is worked on, which ends by itself
            event.set()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            gave_up = [isinstance(answer, asyncio.CancelledError) for answer in done]
            assert gave_up == [True, True, False, True, True, False, False]
            assert await hasher.ask("a", lambda: True)

    asyncio.run(story())
    assert hashed == ["a1", "b2", "a3", "a4"]


def test_an_error_of_one_question_is_heard_by_who_asked_and_by_nobody_else(hasher: Hasher) -> None:
    def fail() -> bool:
        raise MemoryError("too little")

    async def story() -> None:
        failing = asyncio.create_task(hasher.ask("a", fail))
        assert await hasher.ask("a", lambda: True)
        with pytest.raises(MemoryError, match="too little"):
            await failing

    asyncio.run(story())


def test_when_it_is_closed_nobody_waits_on() -> None:
    async def story() -> None:
        hasher = Hasher(threads=1)
        with held() as event:
            tasks = [asyncio.create_task(hasher.ask(host, lambda: event.wait(SECONDS))) for host in ("a", "a", "b")]
            await asyncio.sleep(0)
            hasher.close()
            done = await asyncio.gather(*tasks[1:], return_exceptions=True)
            assert [type(answer) for answer in done] == [asyncio.CancelledError] * 2
            event.set()
            assert await tasks[0]

    asyncio.run(story())
