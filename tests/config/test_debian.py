"""Debian's Mosquitto 2.0 judges the same files, as far as it knows their options.

It reads line by line and stops at the first that is wrong. So a last line that
is wrong for sure tells, without a port being opened, that it took all others.
"""

import re
from pathlib import Path

import pytest

from tests.config.bad import BAD, Bad
from tests.config.good import GOOD, Good
from tests.processes import find, run

THE_END = "telex_end_of_file"


def first_wrong_line(text: str, folder: Path) -> tuple[int, str]:
    """The line that Mosquitto refuses, and what it says; 0 if it takes all of them."""
    path = folder / "mosquitto.conf"
    path.write_bytes(f"{text}\n{THE_END}\n".replace("{dir}", str(folder)).encode())
    done = run(find("mosquitto"), "-c", str(path))
    assert done.returncode == 3
    if f'"{THE_END}"' in done.stderr:
        return 0, done.stderr
    found = re.findall(r"Error found at (.*?):(\d+)\.", done.stderr)
    assert found, done.stderr
    assert Path(found[-1][0]) == path
    return int(found[-1][1]), done.stderr


@pytest.mark.parametrize("case", [case for case in GOOD if case.since == "2.0"], ids=lambda case: case.name)
def test_debians_mosquitto_takes_the_good_files(case: Good, folder: Path) -> None:
    line, said = first_wrong_line(case.text, folder)
    assert line == 0, said


@pytest.mark.parametrize("case", [case for case in BAD if case.debian is False], ids=lambda case: case.text)
def test_what_telex_alone_refuses_is_taken_by_debians_mosquitto(case: Bad, folder: Path) -> None:
    line, said = first_wrong_line(case.text, folder)
    assert line == 0, said


@pytest.mark.parametrize("case", [case for case in BAD if case.debian], ids=lambda case: case.text)
def test_debians_mosquitto_refuses_the_bad_files_at_the_same_line(case: Bad, folder: Path) -> None:
    line, _ = first_wrong_line(case.text, folder)
    assert case.refusal.startswith(f"mosquitto.conf:{line}: ")


UNFINISHED = [
    "connection a\ntopic a\n",
    "connection a\naddress 127.0.0.1\n",
    "connection a\naddress 127.0.0.1\ntopic a\nbridge_psk 12\n",
    "connection a\naddress 127.0.0.1\ntopic a\nbridge_identity i\n",
    "connection a\naddress 127.0.0.1\ntopic a\nlocal_clientid x\n"
    "connection b\naddress 127.0.0.1\ntopic a\nlocal_clientid x\n",
]


@pytest.mark.parametrize("text", UNFINISHED)
def test_what_is_missing_in_a_bridge_is_missing_for_debians_mosquitto_at_the_end(text: str, folder: Path) -> None:
    assert text in [case.text for case in BAD]
    line, said = first_wrong_line(text, folder)
    assert line == 0, said
    # It would listen nowhere else but in the folder, if it took the file.
    (folder / "mosquitto.conf").write_text(f"listener 0 {folder}/mosquitto.sock\n{text}")
    done = run(find("mosquitto"), "-c", str(folder / "mosquitto.conf"))
    assert done.returncode == 3, done.stderr
    assert "Error: " in done.stderr


def test_enough_files_are_judged_by_both() -> None:
    assert sum(case.since == "2.0" for case in GOOD) >= 35
    assert sum(case.debian is not None for case in BAD) >= 60
