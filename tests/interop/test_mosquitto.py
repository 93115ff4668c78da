"""Debian's mosquitto_pub and mosquitto_sub against Telex; telex pub and telex sub against Debian's Mosquitto."""

import pytest

from tests.processes import Server, find, lines_until, run, running, telex_command

VERSIONS = ["mqttv31", "mqttv311", "mqttv5"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_mosquittos_commands_work_with_telex(broker: Server, version: str, qos: str) -> None:
    port = ["-p", str(broker.port), "-V", version, "-q", qos]
    topic = f"house/{version}/{qos}"
    # The retained message tells that the subscription is in force.
    ready = run(find("mosquitto_pub"), *port, "-t", topic, "-m", "ready", "-r")
    assert (ready.returncode, ready.stderr) == (0, "")
    with running(find("mosquitto_sub"), *port, "-t", f"house/{version}/+", "-v", "-C", "4") as sub:
        lines_until(sub, f"{topic} ready")
        published = run(find("mosquitto_pub"), *port, "-t", topic, "-l", stdin="21.5\n22.5\n\n")
        assert (published.returncode, published.stderr) == (0, "")
        assert sub.stdout is not None
        assert sub.stdout.read() == f"{topic} 21.5\n{topic} 22.5\n{topic} (null)\n"
        assert sub.wait() == 0
    assert run(find("mosquitto_pub"), *port, "-t", topic, "-n", "-r").returncode == 0


def test_mosquitto_sub_reads_the_sys_topics(broker: Server) -> None:
    read = run(find("mosquitto_sub"), "-p", str(broker.port), "-t", "$SYS/broker/uptime", "-C", "1")
    assert read.stdout.endswith(" seconds\n")


def test_mosquitto_sub_keeps_a_session(broker: Server) -> None:
    port = ["-p", str(broker.port)]
    session = [find("mosquitto_sub"), *port, "-i", "mosquitto-kept", "-c", "-q", "1", "-t", "missed/#"]
    assert run(*session, "-E").returncode == 0
    assert run(find("mosquitto_pub"), *port, "-q", "1", "-t", "missed/a", "-m", "while away").returncode == 0
    assert run(*session, "-C", "1", "-v").stdout == "missed/a while away\n"
    assert run(find("mosquitto_sub"), *port, "-i", "mosquitto-kept", "-t", "missed/#", "-E").returncode == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_telexs_commands_work_with_mosquitto(debian_mosquitto: Server, version: str, qos: str) -> None:
    port = ["-p", str(debian_mosquitto.port), "-V", version, "-q", qos]
    topic = f"house/{version}/{qos}"
    ready = run(*telex_command("pub", *port, "-t", topic, "-m", "ready", "-r"))
    assert (ready.returncode, ready.stderr) == (0, "")
    with running(*telex_command("sub", *port, "-t", f"house/{version}/+", "-v", "-C", "4")) as sub:
        lines_until(sub, f"{topic} ready")
        published = run(*telex_command("pub", *port, "-t", topic, "-l"), stdin="21.5\n22.5\n\n")
        assert (published.returncode, published.stderr) == (0, "")
        assert sub.stdout is not None
        assert sub.stdout.read() == f"{topic} 21.5\n{topic} 22.5\n{topic} (null)\n"
        assert sub.wait() == 0
    assert run(*telex_command("pub", *port, "-t", topic, "-n", "-r")).returncode == 0


def test_the_sys_topics_have_the_names_that_mosquitto_gives_them(broker: Server, debian_mosquitto: Server) -> None:
    def names(server: Server) -> set[str]:
        # What is retained comes at once; the uptime comes again with the next interval, after all of it.
        with running(*telex_command("sub", "-p", str(server.port), "-t", "$SYS/#", "-v")) as sub:
            seen = lines_until(sub, r"\$SYS/broker/uptime ")
            seen += lines_until(sub, r"\$SYS/broker/uptime ")
        return {line.split(" ")[0] for line in seen.splitlines() if not line.startswith("$SYS/broker/retained")}

    ours, theirs = names(broker), names(debian_mosquitto)
    assert "$SYS/broker/clients/connected" in ours & theirs
    assert theirs - ours == set()
