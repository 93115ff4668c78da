"""``telex demo``, as a newcomer meets it: the house on the screen, and on the page."""

import json
import re
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from telex.cli import demo
from tests.processes import Server, free_port, lines_until, run, running, telex_command


def telex_run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = run(*telex_command(*arguments))
    return done.returncode, done.stdout, done.stderr


@contextmanager
def playing(*arguments: str) -> Iterator[tuple[str, str]]:
    """A demonstration on a free port: its introduction, and where its page is; empty: it has none."""
    with running(*telex_command("demo", "-p", "0", *arguments)) as process:
        told = lines_until(process, "another device")
        found = re.search(r"^  open in a browser (http://\S+)/#/topics$", told, re.MULTILINE)
        yield told, found[1] if found else ""
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as response:
        body: bytes = response.read()
        return body


def test_it_shows_temperatures_and_ends() -> None:
    code, out, err = telex_run("demo", "-p", "0", "--no-http", "--seconds", "1.5")
    assert (code, err) == (0, "")
    assert "another terminal  telex sub -p " in out
    values = re.findall(r"home/temp/(\S+) +(-?\d+\.\d)\n", out)
    assert {room for room, _ in values} >= {"room1/storeroom", "room2/kitchen", "outside"}
    assert len(values) >= 10


def test_it_ends_with_ctrl_c() -> None:
    with running(*telex_command("demo", "-p", "0", "--no-http")) as process:
        lines_until(process, "home/temp/")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_is_seen_from_another_terminal() -> None:
    with playing("--no-http") as (told, _):
        found = re.search(r"mqtt://\S+:(\d+)", told)
        assert found is not None
        code, out, _ = telex_run("sub", "-p", found[1], "-t", "home/temp/#", "-v", "-C", "3")
        assert code == 0
        assert len(re.findall(r"home/temp/\S+ \d+\.\d\n", out)) == 3


# The page


def test_its_page_is_where_the_introduction_says() -> None:
    with playing() as (told, page):
        assert told.index("open in a browser") < told.index("listening on"), "it comes first"
        assert b"<!doctype html>" in get(f"{page}/").lower()
        assert json.loads(get(f"{page}/api/v1/me"))["administrator"] is True


def test_where_its_port_is_taken_it_takes_another() -> None:
    # Whoever else runs here may have 8080; then this is what the first of the two finds.
    with playing() as (_, first), playing() as (_, second):
        assert "" not in (first, second)
        assert first != second
        assert second != "http://127.0.0.1:8080"
        for page in (first, second):
            assert get(f"{page}/healthz") == b"ok\n"


def test_its_page_is_where_the_command_line_says() -> None:
    number = free_port()
    with playing("--http", str(number)) as (_, page):
        assert page == f"http://127.0.0.1:{number}"
        code, out, err = telex_run("demo", "-p", "0", "--http", str(number))
        assert (code, out) == (1, "")
        assert err == (
            f"telex: cannot listen on 127.0.0.1:{number}: another program listens there; "
            "stop it, or choose another port\n"
        )


def test_without_a_page_none_is_named() -> None:
    with playing("--no-http") as (told, page):
        assert page == ""
        assert "browser" not in told


def test_the_address_of_the_page_comes_again_before_it_is_out_of_sight() -> None:
    with running(*telex_command("demo", "-p", "0", "--http", "0")) as process:
        introduction = lines_until(process, "another device")
        [line] = [each for each in introduction.splitlines() if "browser" in each]
        house = lines_until(process, "browser").splitlines()
        assert house.pop() == line
        assert len(house) == demo._LINES
        assert all(each.startswith("  home/") for each in house)


# What cannot be


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 can be reached from other machines; add --allow-anonymous"),
        (["--http", "0.0.0.0:0"], "0.0.0.0 can be reached from other machines; add --allow-anonymous"),
        (["--http", "x"], "--http x: expected PORT or HOST:PORT"),
        (["--http", "1", "--no-http"], "not allowed with"),
        (["-p", "1883", "--http", "1883"], "a listener has that address"),
        (["--http", "no-such-host.invalid:0", "--allow-anonymous"], "does not resolve"),
    ],
)
def test_it_says_in_one_line_why_it_does_not_start(arguments: list[str], said: str) -> None:
    code, out, err = telex_run("demo", *(["-p", "0"] if "-p" not in arguments else []), *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_port_in_use_is_one_line(broker: Server) -> None:
    code, _, err = telex_run("demo", "-p", str(broker.port))
    assert code == 1
    assert err == (
        f"telex: cannot listen on 127.0.0.1:{broker.port}: another program listens there; "
        "stop it, or choose another port\n"
    )
