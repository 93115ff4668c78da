"""What processes use: this machine's table of them, and sums over families."""

import os
import subprocess
import sys

import pytest

from telex.bench import watching
from telex.bench.watching import Used, Watch, parse_ps, table, total
from tests.processes import find

WORK = """
import sys, time
held = bytes(range(256)) * 65_536  # 16 MiB
until = time.process_time() + 0.06
while time.process_time() < until:
    pass
print("done", flush=True)
sys.stdin.read()
"""


def working(code: str = WORK) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_processor_time_and_memory_of_a_process_are_seen() -> None:
    with working("import sys\nfor line in sys.stdin:\n    exec(line)\n") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("print('ready', flush=True)\n")
        process.stdin.flush()
        process.stdout.readline()
        watch = Watch(process.pid)
        watch.start()
        process.stdin.write(f"exec({WORK!r})\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        watched = watch.stop()
        process.stdin.close()
    assert watched.cpu_seconds >= 0.06  # that it counted itself
    assert watched.memory_before > 2**20
    assert watched.memory_after - watched.memory_before > 12 * 2**20


def test_children_count_also_when_they_have_ended() -> None:
    parent = f"""
import subprocess, sys
work = {WORK!r}
first = subprocess.run([sys.executable, "-c", work], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
second = subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
second.stdout.readline()
print("both", flush=True)
sys.stdin.read()
second.communicate()
"""
    with working(parent) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        alone = table()[process.pid]
        used = Watch(process.pid).now()
        process.stdin.close()
    assert alone.cpu_seconds >= 0.06  # of the one that has ended
    assert used.cpu_seconds >= alone.cpu_seconds + 0.06
    assert used.memory >= alone.memory + 16 * 2**20


def test_a_process_that_is_not_there_is_one_clear_sentence() -> None:
    process = working("pass")
    process.communicate()
    with pytest.raises(ProcessLookupError, match=rf"no process {process.pid} .* on this machine"):
        Watch(process.pid)


def test_a_process_that_ends_while_it_is_watched() -> None:
    process = working("import sys; print(flush=True); sys.stdin.read()")
    assert process.stdout is not None
    process.stdout.readline()
    watch = Watch(process.pid)
    process.communicate()
    with pytest.raises(ProcessLookupError):
        watch.start()
    with pytest.raises(ProcessLookupError):
        watch.stop()


def test_grandchildren_are_family_and_others_are_not() -> None:
    processes = {
        1: Used(0, 100.0, 1_000),
        10: Used(1, 1.0, 10),
        11: Used(10, 2.0, 20),
        12: Used(11, 4.0, 40),
        13: Used(1, 8.0, 80),
    }
    assert total(processes, 10) == Used(1, 7.0, 70)
    assert total(processes, 13) == Used(1, 8.0, 80)


def test_a_process_that_is_its_own_parent_is_counted_once() -> None:  # as 0 is on some systems
    assert total({0: Used(0, 1.0, 10), 5: Used(0, 2.0, 20)}, 0) == Used(0, 3.0, 30)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("0:01.25", 1.25), ("00:01:02", 62.0), ("62:03.04", 3723.04), ("1-02:03:04", 93784.0), ("0:00", 0.0)],
)
def test_what_ps_says_is_understood(said: str, seconds: float) -> None:
    assert parse_ps(f"  17     1 {said}   2048\n") == {17: Used(1, seconds, 2048 * 1024)}


def test_ps_itself_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    find("ps")
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    seen = table()
    assert seen[os.getpid()].parent == os.getppid()
    assert seen[os.getpid()].memory > 2**20


def test_a_system_that_does_not_tell_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    monkeypatch.setattr(watching, "_PS", ("telex-has-no-such-program",))
    with pytest.raises(OSError, match="neither /proc nor ps"):
        Watch(os.getpid())
