"""Runs in several processes: real small ones, and members that fail, are ended, or are left alone."""

import asyncio
import json
import mmap
import pickle
import signal
import ssl
import subprocess
import sys
from typing import Any

import pytest

from telex.bench import processes
from telex.bench.processes import Alone, Board, Member, Share, divide, lead, merged
from telex.bench.result import Progress, Tally
from telex.bench.run import run
from telex.client.address import Address
from telex.client.dialing import Dialer
from telex.client.tls import ClientTls
from telex.errors import MqttError, NotConnected, Refused, Timeout
from tests.bench.conftest import NewPlan
from tests.bench.members import error_named
from tests.processes import SECONDS, Server, free_port


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Members do what ``tests/bench/members.py`` says; these are their processes."""
    monkeypatch.setattr(processes, "_MEMBER", "tests.bench.members")
    return started(monkeypatch)


def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that are started from now on."""
    found: list[subprocess.Popen[bytes]] = []
    start = processes._start_process

    def recorded(files: tuple[int, ...]) -> subprocess.Popen[bytes]:
        found.append(start(files))
        return found[-1]

    monkeypatch.setattr(processes, "_start_process", recorded)
    return found


def assert_all_are_gone(members: list[subprocess.Popen[bytes]]) -> None:
    assert members
    assert all(each.returncode is not None for each in members)


# Who does what


@pytest.mark.parametrize(
    ("kind", "publishers", "subscribers", "expected"),
    [
        ("pairs", 5, 1, [(range(2), range(2)), (range(2, 5), range(2, 5))]),
        ("latency", 1, 1, [(range(0), range(0)), (range(1), range(1))]),
        ("pub", 4, 1, [(range(2), range(0)), (range(2, 4), range(0))]),
        ("connect", 3, 1, [(range(1), range(0)), (range(1, 3), range(0))]),
        ("churn", 2, 1, [(range(1), range(0)), (range(1, 2), range(0))]),
        ("sub", 1, 4, [(range(0), range(2)), (range(0), range(2, 4))]),
        ("fanout", 1, 4, [(range(1), range(2)), (range(0), range(2, 4))]),
        ("fanin", 4, 1, [(range(2), range(1)), (range(2, 4), range(0))]),
        ("mixed", 4, 6, [(range(2), range(3)), (range(2, 4), range(3, 6))]),
    ],
)
def test_a_plan_is_divided(
    new_plan: NewPlan, kind: str, publishers: int, subscribers: int, expected: list[tuple[range, range]]
) -> None:
    asked: dict[str, Any] = {"rate": 10.0} if kind == "latency" else {}
    plan = new_plan(1, kind, publishers=publishers, subscribers=subscribers, idle=7, processes=2, **asked)
    shares = divide(plan)
    assert [(list(each.publishers), list(each.subscribers)) for each in shares] == [
        (list(first), list(second)) for first, second in expected
    ]
    assert [list(each.idle) for each in shares] == [[0, 1, 2], [3, 4, 5, 6]]
    assert [(each.number, each.of) for each in shares] == [(0, 2), (1, 2)]
    assert shares[0].token == shares[1].token < 4_096


def test_one_process_has_all_of_it(new_plan: NewPlan) -> None:
    company = Alone(new_plan(1, "fanin", publishers=3, idle=2))
    assert company.share.publishers == range(3)
    assert company.share.subscribers == range(1)
    assert company.share.idle == range(2)
    assert company.share.part(10.0) == 10.0


def test_what_all_divide() -> None:
    shares = [Share(number=number, of=3) for number in range(3)]
    assert [number for each in shares for number in each.divided(10)] == list(range(10))
    assert sum(each.part(9.0) for each in shares) == 9.0


def test_a_dialer_goes_to_another_process_as_it_is() -> None:
    address = Address("wss", "localhost", 8443, "/mqtt", user="u", password="p")
    dialer = Dialer(address, tls=ClientTls(insecure=True), bind="127.0.0.1", websocket_headers={"X-One": "1"})
    copy = pickle.loads(pickle.dumps(dialer))
    assert str(copy.address) == str(address)
    assert copy.address.password == "p"
    assert copy._tls.insecure
    assert copy._bind == "127.0.0.1"
    assert copy._headers == {"X-One": "1"}
    assert not copy.is_plain
    assert pickle.loads(pickle.dumps(Dialer(Address("mqtt", "localhost")))).is_plain


def test_a_plan_that_cannot_go_to_another_process_is_one_clear_sentence(new_plan: NewPlan) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plan = new_plan(1, dialer=Dialer(Address("mqtts", "localhost"), tls=context), processes=2)
    with pytest.raises(ValueError, match=r"one process only: an ssl\.SSLContext"):
        lead(plan)


# What they see of each other


@pytest.fixture
def boards() -> list[Board]:
    """Those of three processes, for two publishers."""
    memory = mmap.mmap(-1, Board.size(3, 2))
    return [Board(memory, number, 3, 2) for number in range(3)]


def test_what_has_arrived_is_what_has_come_to_everybody(boards: list[Board]) -> None:
    leader, first, second = boards
    assert leader.arrived(0) == 0  # nobody listens
    first.listens(0)
    second.listens(0)
    first.note(0, 10)
    assert leader.arrived(0) == 0
    second.note(0, 7)
    assert leader.arrived(0) == 7
    assert leader.total(0) == 17
    assert leader.arrived(1) == leader.total(1) == 0


def test_what_was_sent_in_all_is_known_when_nothing_follows(boards: list[Board]) -> None:
    assert boards[0].announced(1) is None
    boards[2].announce(1, 0)
    assert boards[0].announced(1) == 0
    boards[2].announce(1, 2**40)
    assert boards[0].announced(1) == 2**40
    assert boards[0].announced(0) is None


async def test_a_member_waits_for_the_others() -> None:
    said: list[dict[str, Any]] = []
    member = Member(Share(), Board(bytearray(Board.size(1, 1)), 0, 1, 1), said.append)
    meeting = asyncio.create_task(member.meet("connected"))
    await asyncio.sleep(0)
    assert said == [{"met": "connected"}]
    member.heard({"go": "stopped", "moment": 0.0})  # nobody waits for that
    await asyncio.sleep(0)
    assert not meeting.done()
    moment = asyncio.get_running_loop().time() - 1.0
    member.heard({"go": "connected", "moment": moment})
    assert await meeting == moment
    assert not member.over.is_set()
    member.heard({"over": True})
    assert member.over.is_set()


async def test_who_is_alone_waits_for_nobody(new_plan: NewPlan) -> None:
    company = Alone(new_plan(1))
    first = await company.meet("started")
    assert await company.meet("connected") >= first


def test_progress_is_that_of_all() -> None:
    told = [
        Progress(phase="measuring", seconds=1.0, of_seconds=5.0, connected=2, of_connections=3, last=Tally(sent=5)),
        Progress(phase="warming up", seconds=0.5, of_seconds=1.0, connected=3, of_connections=3, last=Tally(sent=7)),
    ]
    whole = merged(told)
    assert (whole.phase, whole.seconds, whole.of_seconds) == ("warming up", 0.5, 1.0)
    assert (whole.connected, whole.of_connections, whole.last.sent) == (5, 6, 12)


# Whole runs


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "fanout", "subscribers": 3, "qos": 1},
        {"kind": "connect", "publishers": 2, "idle": 3},
    ],
    ids=lambda asked: str(asked["kind"]),
)
def test_processes_share_a_run(broker: Server, new_plan: NewPlan, asked: dict[str, Any]) -> None:
    told: list[Progress] = []
    plan = new_plan(broker.port, processes=2, watch=broker.process.pid, **asked)
    result = run(plan, told.append)
    assert result.is_good, result.complaints
    assert result.measured.latency.count > 0
    assert (result.measured.connected if plan.kind == "connect" else result.measured.received) > 0
    assert result.watched is not None
    assert result.watched.memory_after > 0
    assert result.own_cpu_seconds > 0
    assert "measuring" in {each.phase for each in told}
    assert result.connected == {"fanout": 4, "connect": 3}[plan.kind]


def test_nobody_can_connect(new_plan: NewPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    found = started(monkeypatch)
    with pytest.raises(OSError, match="nothing listens there") as caught:
        lead(new_plan(free_port(), publishers=2, processes=2))
    assert isinstance(caught.value, ConnectionRefusedError)
    assert_all_are_gone(found)


# Members that do what a test says


def test_all_begin_at_one_moment_and_what_they_found_is_added(
    new_plan: NewPlan, members: list[subprocess.Popen[bytes]], capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[Progress] = []
    result = lead(new_plan(1, publishers=5, processes=3, prefix="print"), told.append)
    assert result.measured.sent == 5
    assert result.measured.received == 0 + 1 + 2
    assert result.measured.latency.count == 3
    assert len(result.complaints) == 1  # the moment, which is the same for all
    assert not result.interrupted
    assert [each.last.sent for each in told] == [5]
    assert (told[0].connected, told[0].of_connections) == (3, 6)
    assert_all_are_gone(members)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("this is not for the leader") == 3


def test_nobody_waits_for_who_has_come_to_its_end(new_plan: NewPlan, members: list[subprocess.Popen[bytes]]) -> None:
    result = lead(new_plan(1, processes=2, prefix="alone"))
    assert result.measured.latency.count == 2
    assert_all_are_gone(members)


def test_a_killed_member_ends_all(new_plan: NewPlan, members: list[subprocess.Popen[bytes]]) -> None:
    def kill(progress: Progress) -> None:
        members[1].kill()

    with pytest.raises(ChildProcessError, match=r"^process 2 of the 2 that make the load was ended by SIGKILL$"):
        lead(new_plan(1, processes=2, prefix="wait"), kill)
    assert_all_are_gone(members)


def test_a_member_that_ends_without_a_word_ends_all(new_plan: NewPlan, members: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(ChildProcessError, match=r"^process 2 of the 2 .* exit code 7 in the middle of its work$"):
        lead(new_plan(1, processes=2, prefix="exit:7"))
    assert_all_are_gone(members)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("NotConnected", NotConnected, "what it says"),
        ("Refused", Refused, "the broker refused the connection: not authorised"),
        ("ProtocolError", MqttError, "a second CONNACK"),
        ("ConnectionResetError", ConnectionResetError, "what it says"),
        ("gaierror", OSError, "[Errno"),
        ("ValueError", ValueError, "what it says"),
        ("ZeroDivisionError", ChildProcessError, "process 2 failed: ZeroDivisionError('what it says')"),
    ],
)
def test_an_error_comes_out_of_a_process_as_it_went_in(name: str, kind: type[Exception], text: str) -> None:
    said = json.loads(json.dumps(processes._described(error_named(name))))
    error = processes._error_of(said, "process 2")
    assert type(error) is kind
    assert str(error).startswith(text)


def test_what_a_member_raises_is_raised_here(
    new_plan: NewPlan, members: list[subprocess.Popen[bytes]], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Refused, match="not authorised") as caught:
        lead(new_plan(1, processes=2, prefix="raise:Refused"))
    assert caught.value.reason_code == 5
    assert_all_are_gone(members)
    assert capfd.readouterr().err == ""


def test_where_a_fault_of_ours_is_can_be_seen(
    new_plan: NewPlan, members: list[subprocess.Popen[bytes]], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ChildProcessError, match=r"^process 2 of the 2 that make the load failed: ZeroDivisionError"):
        lead(new_plan(1, processes=2, prefix="raise:ZeroDivisionError"))
    assert_all_are_gone(members)
    assert "Traceback" in capfd.readouterr().err


def test_ctrl_c_ends_it_early_with_what_there_is(new_plan: NewPlan, members: list[subprocess.Popen[bytes]]) -> None:
    before = signal.getsignal(signal.SIGINT)

    def interrupt(progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)

    result = lead(new_plan(1, processes=2, publishers=3, prefix="wait"), interrupt)
    assert result.interrupted
    assert result.measured.sent == 3
    assert_all_are_gone(members)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_ends_it_at_once(new_plan: NewPlan, members: list[subprocess.Popen[bytes]]) -> None:
    def interrupt(progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        lead(new_plan(1, processes=2, prefix="stay"), interrupt)
    assert_all_are_gone(members)


def test_members_that_do_not_come_to_an_end_are_ended(
    new_plan: NewPlan, members: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_GRACE_SECONDS", 0.1)

    def interrupt(progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(Timeout, match=r"^process 1 of the 2 .* does not come to an end$"):
        lead(new_plan(1, processes=2, patience=0.1, prefix="stay"), interrupt)
    assert_all_are_gone(members)


LEADER = """
import sys
from telex.bench import processes
from telex.bench.plan import Plan
from telex.client.address import Address
from telex.client.dialing import Dialer

processes._MEMBER = "tests.bench.members"
plan = Plan(kind="pairs", dialer=Dialer(Address("mqtt", "localhost")), publishers=2, processes=2, prefix=sys.argv[1])
result = processes.lead(plan, lambda progress: print("told", flush=True))
print("interrupted" if result.interrupted else "over", flush=True)
"""


def leading(what: str) -> subprocess.Popen[str]:
    """A leader in a process of its own, whose members share its standard error."""
    command = [sys.executable, "-c", LEADER, what]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "told\n"
    return process


def test_members_end_when_their_leader_is_killed() -> None:
    process = leading("stay")
    process.kill()
    _, errors = process.communicate(timeout=SECONDS)  # until nobody has its standard error any more
    assert errors == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent to a process by its id")
def test_ctrl_c_from_outside() -> None:
    process = leading("wait")
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=SECONDS)
    assert printed.removeprefix("told\n") == "interrupted\n"
    assert errors == ""


def test_a_member_whose_leader_never_speaks_ends() -> None:
    command = [sys.executable, "-m", "tests.bench.members"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_ends_have_names() -> None:
    assert processes._end_of(3) == "has ended with exit code 3 in the middle of its work"
    assert processes._end_of(-15) == "was ended by SIGTERM"
    assert processes._end_of(-200) == "was ended by signal 200"
