"""What fuzzing has gathered holds the laws; and a few seconds of fuzzing, guided by coverage, find no more."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from telex import version
from telex.wire.packets import ConnAck, Publish, Unsubscribe
from tests.fuzz import broker_side, client_side, decoding, places
from tests.fuzz.targets import TARGETS

SECONDS = {"decoder": 3, "connection": 4, "client": 3}
"""Of guided fuzzing in each run of the tests."""

EACH_TARGET = pytest.mark.parametrize("target", list(TARGETS))


@EACH_TARGET
def test_all_that_was_gathered_holds_the_laws(target: str) -> None:
    paths = places.inputs(target)
    assert len(paths) > 100
    for path in paths:
        try:
            TARGETS[target](path.read_bytes())
        except BaseException as error:
            error.add_note(f"{path}: {path.read_bytes().hex(' ')}")
            raise


def test_the_corpus_stays_small() -> None:
    files = [path for target in TARGETS for path in places.inputs(target)]
    assert len(files) < 3_000
    assert sum(path.stat().st_size for path in files) < 500_000


if not version.COMPILED:  # coverage is counted in bytecode: compiled code has none

    @EACH_TARGET
    def test_a_few_seconds_of_guided_fuzzing_find_nothing(target: str, tmp_path: Path) -> None:
        if importlib.util.find_spec("atheris") is None:
            if os.environ.get("CI"):
                pytest.fail("atheris is not installed")
            pytest.skip("atheris is not installed")
        run = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz", target),
                *(f"-max_total_time={SECONDS[target]}", "-timeout=20", f"-artifact_prefix={tmp_path}/"),
                *(str(tmp_path), str(places.CORPUS / target)),
            ],
            cwd=places.HERE.parents[1],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        broken = [f"{path.name}: {path.read_bytes().hex(' ')}" for path in tmp_path.glob("*-*")]
        assert (run.returncode, broken) == (0, []), run.stdout[-5_000:] + run.stderr[-3_000:]
        covered = re.search(r"INITED cov: (\d+)", run.stderr)
        assert covered is not None, "the run is not guided"
        assert int(covered[1]) > 300


# The laws notice when they are broken; else the others prove nothing.


def test_a_packet_that_is_written_otherwise_is_noticed() -> None:
    with pytest.raises(AssertionError, match="is written as"):
        decoding.check_writing(Publish("t", packet_id=5), 4)


def test_a_packet_that_the_client_does_not_take_is_noticed() -> None:
    scene = broker_side.Scene(5)
    scene.connects(maximum_packet_size=40)
    with pytest.raises(AssertionError, match=r"3\.1\.2-24"):
        scene.stranger.hears(b"\x30\x30\x00\x01t\x00" + bytes(0x30 - 4))


def test_one_message_too_many_is_noticed() -> None:
    scene = broker_side.Scene(5)
    scene.connects(receive_maximum=1)
    scene.stranger.hears(b"\x32\x06\x00\x01t\x00\x01\x00")
    with pytest.raises(AssertionError, match=r"3\.3\.4-9"):
        scene.stranger.hears(b"\x32\x06\x00\x01t\x00\x02\x00")


def test_a_witness_who_was_disturbed_is_noticed() -> None:
    scene = broker_side.Scene(5)
    scene.witness.sends(Unsubscribe(5, [broker_side.SAFE]))
    with pytest.raises(AssertionError):
        scene.check_witness()


def test_what_is_left_behind_is_noticed() -> None:
    scene = broker_side.Scene(5)
    scene.world.client("another")
    with pytest.raises(AssertionError):
        scene.check_end()


def test_a_client_that_speaks_like_a_server_is_noticed() -> None:
    scene = client_side.Scene(5)
    with pytest.raises(AssertionError):
        scene._check(ConnAck())
