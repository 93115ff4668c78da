"""``telex serve`` and its HTTP port, as a person meets it."""

import asyncio
import json
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import telex
from tests.processes import free_port, lines_until, run, running, telex_command
from tests.shell.knocking import password_file


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[str, str]]:
    """``telex serve`` in memory on a free port: its banner, and where its page is; empty: it has none."""
    with running(*telex_command("serve", "--memory", *arguments)) as process:
        banner = lines_until(process, "stop  ")
        found = re.search(r"^  page +(\S+)/$", banner, re.MULTILINE)
        yield banner, found[1] if found else ""
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def get(url: str, **headers: str) -> tuple[int, bytes]:
    """What a GET says, whatever that is."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_it_is_where_the_command_line_says() -> None:
    number = free_port()
    with serving("-p", "0", "-q", "--http", str(number)) as (_, page):
        assert page == f"http://127.0.0.1:{number}"
        assert get(f"{page}/healthz") == (200, b"ok\n")
        assert json.loads(get(f"{page}/api/v1/me")[1])["administrator"] is True
    with serving("-p", "0", "-q", "--http", "localhost:0") as (_, page):
        assert get(f"{page}/readyz")[0] == 200


def test_there_is_none_where_nobody_wants_one() -> None:
    with serving("-p", "0", "-q", "--no-http") as (banner, page):
        assert page == ""
        assert "page" not in banner


def test_a_port_that_is_taken_is_no_reason_not_to_run() -> None:
    # Whoever else runs here may have 8080; then this is what the first of the two finds.
    with serving("-p", "0", "-q") as (_, _), serving("-p", "0", "-q") as (banner, page):
        assert page == ""
        told = "no page         cannot listen on 127.0.0.1:8080: another program listens there"
        [line] = [each for each in banner.splitlines() if each.strip().startswith("no page")]
        assert line.strip().startswith(told)
        assert line.endswith("--http PORT")


def test_one_that_was_asked_for_is() -> None:
    with serving("-p", "0", "-q", "--http", "0") as (_, page):
        taken = page.rpartition(":")[2]
        done = run(*telex_command("serve", "--memory", "-p", "0", "--http", taken))
        assert done.returncode == 1
        assert done.stderr == (
            f"telex: cannot listen on 127.0.0.1:{taken}: another program listens there; "
            "stop it, or choose another port\n"
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--http", "x"], "--http x: expected PORT or HOST:PORT, such as 8080 or 0.0.0.0:8080"),
        (["--http", "70000"], "--http 70000: expected PORT or HOST:PORT, such as 8080 or 0.0.0.0:8080"),
        (["--http", "1883"], "web.port: listeners[0] wants the same address and port"),
        (["--http", "0.0.0.0:8080"], "nobody could log in"),
        (["--http", "1", "--no-http"], "not allowed with"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], said: str) -> None:
    done = run(*telex_command("serve", "--memory", *arguments))
    assert done.returncode != 0
    assert said in done.stderr


def test_a_file_describes_it_and_a_reload_changes_it(tmp_path: Path) -> None:
    users = password_file(tmp_path / "users", ann="secret", bob="secret")
    path = tmp_path / "telex.toml"
    listener = '[[listeners]]\nhost = "127.0.0.1"\nport = 0\n'
    text = f'[access]\npassword_file = "{users}"\n\n[web]\nport = {free_port()}\n'
    path.write_text(text + listener)
    ann = {"Authorization": "Basic YW5uOnNlY3JldA=="}
    with running(*telex_command("serve", "-c", str(path), "--memory")) as process:
        banner = lines_until(process, "stop  ")
        found = re.search(r"^  page +(\S+)/$", banner, re.MULTILINE)
        assert found is not None
        page = found[1]
        assert get(f"{page}/api/v1/me")[0] == 401
        assert get(f"{page}/api/v1/log", **ann)[0] == 403
        path.write_text(text + 'administrators = ["ann"]\nnames = ["broker.example.org"]\n' + listener)
        assert run(*telex_command("reload", "--pid", str(process.pid))).stdout == "reloaded\n"
        status, body = get(f"{page}/api/v1/log", Host="broker.example.org", **ann)
        assert status == 200
        assert "reloaded" in [each["text"] for each in json.loads(body)["items"]]
        assert b"secret" not in body


def test_a_stop_lets_what_is_on_its_way_arrive() -> None:
    with running(*telex_command("serve", "--memory", "-p", "0", "-q", "--http", "0")) as process:
        banner = lines_until(process, "stop  ")
        found = re.search(r"^  page +http(\S+)/$", banner, re.MULTILINE)
        assert found is not None

        async def goodbye() -> str:
            async with telex.Client(f"ws{found[1]}/mqtt", reconnect=None) as client:
                await client.publish("a", "x", qos=1)
                process.send_signal(signal.SIGTERM)
                try:
                    async with client.subscribe("b", qos=1) as messages:
                        await anext(messages)
                except telex.MqttError as error:
                    return str(error)
            return ""

        assert "server shutting down" in asyncio.run(goodbye())
        assert process.wait(20) == 0
