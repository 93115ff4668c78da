"""The command line as a person meets it: what it prints, one line for each failure, and exit codes."""

import re
import signal
import subprocess

import pytest

from telex import version
from tests.processes import Server, free_port, lines_until, run, running, serve_command, telex, telex_command


def telex_run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = run(*telex_command(*arguments), stdin=stdin)
    return done.returncode, done.stdout, done.stderr


def test_the_version_says_whether_it_is_compiled() -> None:
    word = "compiled" if version.COMPILED else "interpreted"
    assert telex_run("--version") == (0, f"telex {version.__version__} ({word})\n", "")


def test_without_a_command_it_says_which_there_are() -> None:
    code, out, err = telex_run("--help")
    assert code == 0
    assert re.findall(r"^  (\w+) +\w", out, re.MULTILINE)[-14:] == [
        *("serve", "pub", "sub", "top", "rr", "bench", "passwd", "acl", "config", "bridge", "reload", "tls"),
        *("doctor", "demo"),
    ]
    code, out, err = telex_run("server")
    assert (code, out) == (1, "")
    assert "invalid choice: 'server' (choose from" in err
    assert err.count("\n") == 1


def test_a_bare_start_listens_on_this_machine_only_and_says_what_to_do_next() -> None:
    with telex("--http", "0") as server:  # tests/shell/test_http_port.py is about where it is if nobody says it
        port = server.port
        page = re.search(r"http://127\.0\.0\.1:\d+/", server.banner)
        assert page is not None
        assert server.banner == (
            f"{version.describe()}\n"
            f"  listening on    mqtt://127.0.0.1:{port}\n"
            f"  page            {page[0]}\n"
            "  who may connect everybody on this machine, without a password; nobody from elsewhere\n"
            f"  open it up      telex serve --host 0.0.0.0 -p {port} --password-file FILE\n"
            "                  (telex passwd -c FILE USER makes it; --allow-anonymous: without passwords)\n"
            "  data            in memory: it ends with the broker\n"
            f"  try it          telex sub -p {port} -t '#' -v\n"
            f"                  telex pub -p {port} -t home/temp/room1 -m 21.5\n"
            "  stop            Ctrl-C\n"
        )


def test_the_default_port_is_that_of_mqtt() -> None:
    _, out, _ = telex_run("serve", "--help")
    assert "(1883)" in out
    assert "127.0.0.1" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_broker_with_exit_code_0(number: signal.Signals) -> None:
    with telex() as server:
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == "telex: stopping\n"


def test_who_comes_and_goes_is_logged() -> None:
    with running(*serve_command("-p", "0", "-v", "--memory")) as serve:
        found = re.search(r"mqtt://\S+:(\d+)", lines_until(serve, "stop  "))
        assert found is not None
        assert telex_run("pub", "-p", found[1], "-t", "a", "-m", "x", "-i", "me")[0] == 0
        serve.terminate()
        assert serve.stderr is not None
        log = serve.stderr.read()
        assert re.search(r'connected client=me user="" address=127.0.0.1:\d+ .*version=3.1.1 keep_alive=60\n', log)
        assert re.search(
            r'disconnected client=me user="" address=\S+ .*reason="the client disconnected" duration=', log
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 can be reached from other machines, and nobody could come in"),
        (["--host", "::"], "let everybody in who can reach it: --allow-anonymous"),
        (["--host", "no-such-host.invalid", "--allow-anonymous"], "'no-such-host.invalid' does not resolve"),
        (["--host", "192.0.2.1", "--allow-anonymous"], "192.0.2.1:1883: this machine has no such address"),
        (["--host", "x" * 70, "--allow-anonymous"], "does not resolve; check it"),
        (["-p", "65536"], "'65536' is not a number from 0 to 65535; see telex serve --help"),
        (["-p", "mqtt"], "'mqtt' is not a number from 0 to 65535"),
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
    ],
)
def test_serve_says_in_one_line_why_it_does_not_start(arguments: list[str], said: str) -> None:
    code, out, err = telex_run("serve", "--memory", *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_port_in_use_is_one_line(broker: Server) -> None:
    code, _, err = telex_run("serve", "--memory", "-p", str(broker.port))
    assert code == 1
    assert err == (
        f"telex: cannot listen on 127.0.0.1:{broker.port}: another program listens there; "
        "stop it, or choose another port\n"
    )


@pytest.mark.parametrize("command", [["pub", "-m", "x"], ["sub"]])
def test_a_broker_that_is_not_there_is_one_line(command: list[str]) -> None:
    port = str(free_port())
    code, out, err = telex_run(*command, "-t", "a", "-p", port)
    assert (code, out) == (1, "")
    assert err == f"telex: no broker answers at localhost, port {port}; start one with: telex serve -p {port}\n"
    code, out, err = telex_run(*command, "-t", "a", "-h", "no-such-host.invalid")
    assert (code, out) == (1, "")
    assert err == "telex: the host name 'no-such-host.invalid' does not resolve; check -h\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pub", "-m", "x"], "-t TOPIC is needed: where to publish"),
        (["pub", "-t", "a"], "what is to be sent? Give one of -m, -f, -n and -s, or -l"),
        (["pub", "-t", "a", "-m", "x", "-n"], "-m and -n both say what is to be sent; give one of them"),
        (["pub", "-t", "a", "-m", "x", "-q", "3"], "invalid choice: 3"),
        (["pub", "-t", "a", "-m", "x", "-V", "4"], "invalid choice: '4'"),
        (["sub"], "-t TOPIC is needed: what to subscribe to"),
        (["sub", "-t", "a", "-C", "0"], "'0' is not a number from 1"),
        (["sub", "-t", "a", "-k", "1"], "'1' is not a number from 5"),
    ],
)
def test_a_wrong_flag_is_one_line(arguments: list[str], said: str) -> None:
    code, out, err = telex_run(*arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_topic_that_cannot_be_is_one_line(broker: Server) -> None:
    port = str(broker.port)
    assert telex_run("pub", "-p", port, "-t", "a/+", "-m", "x") == (
        1,
        "",
        "telex: topic name 'a/+': '+' and '#' are for filters only [MQTT-3.3.2-2]\n",
    )
    assert telex_run("sub", "-p", port, "-t", "a/#/b") == (
        1,
        "",
        "telex: topic filter 'a/#/b': '#' must be the last level [MQTT-4.7.1-1]; see telex sub --help\n",
    )


def test_sub_ends_after_its_seconds_with_code_27(broker: Server) -> None:
    assert telex_run("sub", "-p", str(broker.port), "-t", "silence", "-W", "1") == (27, "", "telex: Timed out\n")


def test_sub_prints_payloads_or_topics_too(broker: Server) -> None:
    port = ["-p", str(broker.port)]
    for value, said in (("21.5", "21.5\n"), ("", "")):  # nothing at all for nothing, as mosquitto_sub does
        with running(*telex_command("sub", *port, "-t", "out/#", "-t", "ready", "-C", "2")) as plain:
            with running(*telex_command("sub", *port, "-t", "out/#", "-t", "ready", "-C", "2", "-v")) as verbose:
                assert telex_run("pub", *port, "-t", "ready", "-m", "go", "-r")[0] == 0
                lines_until(plain, "go")
                lines_until(verbose, "ready go")
                assert telex_run("pub", *port, "-t", "out/a", "-m", value)[0] == 0
                assert plain.stdout is not None
                assert verbose.stdout is not None
                assert plain.stdout.read() == said
                assert verbose.stdout.read() == f"out/a {value or '(null)'}\n"
        assert telex_run("pub", *port, "-t", "ready", "-n", "-r")[0] == 0


def test_pub_sends_each_line_of_its_input(broker: Server) -> None:
    port = ["-p", str(broker.port)]
    lines = "".join(f"line {number}\n" for number in range(2_000))
    with running(*telex_command("sub", *port, "-t", "lines", "-q", "2", "-C", "2001")) as sub:
        assert telex_run("pub", *port, "-t", "lines", "-m", "ready", "-r")[0] == 0
        lines_until(sub, "ready")
        assert telex_run("pub", *port, "-t", "lines", "-l", "-q", "2", "-V", "5", stdin=lines) == (0, "", "")
        assert sub.stdout is not None
        assert sub.stdout.read() == lines
    assert telex_run("pub", *port, "-t", "lines", "-n", "-r")[0] == 0


def test_a_refused_message_is_told(broker: Server) -> None:
    command = ["pub", "-p", str(broker.port), "-t", "$SYS/broker/uptime", "-m", "x", "-q", "1", "-V", "5"]
    code, _, err = telex_run(*command)
    assert code == 0x87
    assert err == "telex: the broker refuses the message to '$SYS/broker/uptime': 0x87 not authorized\n"


def test_sub_comes_back_when_the_broker_does() -> None:
    with telex() as server:
        port = str(server.port)
        with running(*telex_command("sub", "-p", port, "-t", "a", "-t", "ready", "-C", "2")) as sub:
            assert telex_run("pub", "-p", port, "-t", "ready", "-m", "go", "-r")[0] == 0
            lines_until(sub, "go")
            server.process.terminate()
            server.process.wait(10)
            with running(*serve_command("-p", port, "-q", "--memory")) as again:
                lines_until(again, "stop  ")
                assert telex_run("pub", "-p", port, "-t", "a", "-m", "back", "-r")[0] == 0
                lines_until(sub, "back")
                assert sub.wait(10) == 0


def test_pub_says_when_a_message_was_not_taken(broker: Server) -> None:
    too_large = "x" * 3_000_000 + "\n"
    code, out, err = telex_run("pub", "-p", str(broker.port), "-t", "a", "-l", "-q", "1", stdin=too_large)
    assert (code, out) == (0x95, "")
    assert "is given up: 5 times in a row the broker has ended the connection when it came" in err


def test_ctrl_c_ends_pub_while_nobody_types(broker: Server) -> None:
    command = telex_command("pub", "-p", str(broker.port), "-t", "typed", "-l")
    with running(*telex_command("sub", "-p", str(broker.port), "-t", "typed", "-t", "ready")) as sub:
        assert telex_run("pub", "-p", str(broker.port), "-t", "ready", "-m", "go", "-r")[0] == 0
        lines_until(sub, "go")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as pub:
            assert pub.stdin is not None
            pub.stdin.write("first\n")
            pub.stdin.flush()
            lines_until(sub, "first")  # a line leaves when it is typed
            pub.send_signal(signal.SIGINT)
            assert pub.wait(10) == 130
            assert pub.stderr is not None
            assert pub.stderr.read() == ""


def test_a_connect_that_cannot_be_written_is_one_line(broker: Server) -> None:
    command = ["pub", "-p", str(broker.port), "-t", "a", "-m", "x", "-P", "secret"]
    code, _, err = telex_run(*command)
    assert (code, err) == (1, "telex: a password needs a user name before MQTT 5 v3 [MQTT-3.1.2-22]\n")


def test_a_reader_that_has_enough_ends_sub_in_silence(broker: Server) -> None:
    port = ["-p", str(broker.port)]
    with running(*telex_command("sub", *port, "-t", "head", "-t", "ready")) as sub:
        assert telex_run("pub", *port, "-t", "ready", "-m", "go", "-r")[0] == 0
        lines_until(sub, "go")
        assert sub.stdout is not None
        sub.stdout.close()
        assert telex_run("pub", *port, "-t", "head", "-m", "x")[0] == 0
        assert sub.wait(10) == 1
        assert sub.stderr is not None
        assert sub.stderr.read() == ""
