"""``telex config``, and which file is read in which way."""

from pathlib import Path

import pytest

from telex.cli import config as command
from telex.server.config import Access, Config, ConfigError, Listener
from telex.server.toml import read_toml

Printed = pytest.CaptureFixture[str]


def test_convert_prints_toml_and_warns_beside_it(folder: Path, capsys: Printed) -> None:
    (folder / "mosquitto.conf").write_text("listener 18831\nretry_interval 20\nallow_anonymous true\n")
    assert command.run(["convert", "mosquitto.conf"]) == 0
    told = capsys.readouterr()
    (folder / "telex.toml").write_text(told.out)
    assert read_toml("telex.toml") == command.read_config("mosquitto.conf", warn=lambda line: None)
    assert told.out.startswith("# What mosquitto.conf says.\n")
    assert told.err == (
        "telex: warning: mosquitto.conf:2: retry_interval has no effect: Mosquitto ignores it as well: MQTT sends "
        "again after a reconnect only\n"
    )


def test_convert_turns_a_telex_toml_into_a_mosquitto_conf(folder: Path, capsys: Printed) -> None:
    (folder / "telex.toml").write_text(
        "data = 'lib'\nuser = 'mosquitto'\n[[listeners]]\nport = 18831\n[access]\npassword_file = 'passwords'\n"
        "[[bridges]]\nname = 'cloud'\naddresses = ['mqtt://h']\nuser = 'me'\npassword = 's3same'\nmax_hops = 2\n"
        "topics = [{ pattern = 'home/#', qos = 1, remote_prefix = 'house/' }]\n"
    )
    assert command.run(["convert", "telex.toml"]) == 0
    told = capsys.readouterr()
    assert told.err == "telex: warning: bridges.max_hops: Mosquitto has nothing like it\n"
    assert told.out.startswith("# What telex.toml says.\nallow_anonymous false\n")
    assert 'topic home/# out 1 "" house/\n' in told.out
    assert "remote_password s3same\n" in told.out
    (folder / "mosquitto.conf").write_text(told.out)
    config = command.read_config("mosquitto.conf")
    assert (config.data, config.access.password_file) == (f"{folder}/lib", f"{folder}/passwords")
    assert config.bridges[0].topics == command.read_config("telex.toml").bridges[0].topics


def test_what_mosquitto_cannot_say_is_one_line(folder: Path, capsys: Printed) -> None:
    (folder / "telex.toml").write_text("[[access.rules]]\nallow = ['publish']\n")
    assert command.run(["convert", "telex.toml"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("telex: access.rules: Mosquitto has nothing like it; ")


def test_convert_keeps_what_show_hides(folder: Path, capsys: Printed) -> None:
    (folder / "telex.toml").write_text(
        "[[listeners]]\nport = 18831\n[listeners.tls]\ncertificate = 'server.crt'\nkey_password = 's3same'\n"
    )
    assert command.run(["show", "-c", "telex.toml"]) == 0
    told = capsys.readouterr()
    assert "s3same" not in told.out
    assert 'key_password = "(hidden)"' in told.out


def test_show_prints_the_defaults_and_the_environment(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_SYS_INTERVAL", "7")
    assert command.run(["show"]) == 0
    told = capsys.readouterr().out
    assert "sys_interval = 7\n" in told
    assert "max_queued_messages = 1000\n" in told


@pytest.mark.parametrize("arguments", [["show", "-c"], ["convert"]])
def test_what_is_wrong_is_one_line_and_exit_code_1(arguments: list[str], folder: Path, capsys: Printed) -> None:
    (folder / "mosquitto.conf").write_text("persistance true\n")
    assert command.run([*arguments, "mosquitto.conf"]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == (
        "",
        "telex: mosquitto.conf:1: there is no option persistance; did you mean persistence?\n",
    )
    assert command.run([*arguments, "mosquitto.conf", "--lenient"]) == 0
    assert capsys.readouterr().err == (
        "telex: warning: mosquitto.conf:1: there is no option persistance; did you mean persistence?; it is ignored\n"
    )


def test_a_wrong_variable_is_one_line(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_SYSINTERVAL", "7")
    assert command.run(["show"]) == 1
    assert capsys.readouterr().err == (
        "telex: TELEX_SYSINTERVAL: there is no such setting; did you mean TELEX_SYS_INTERVAL?\n"
    )


@pytest.mark.parametrize(
    ("name", "text", "is_mosquittos"),
    [
        ("telex.toml", "listener 1883", False),
        ("any.conf", "port = 1", True),
        ("broker", "# one\n\nlistener 18831\n", True),
        ("broker", "# one\n\n[[listeners]]\n", False),
        ("broker", "  sys_interval = 5\n", False),
        ("broker", "log.format='json'\n", False),
        ("broker.txt", "plugin_opt_x a = b\n", True),
        ("broker", "", True),
    ],
)
def test_a_file_is_known_by_its_name_or_by_what_is_in_it(
    name: str, text: str, is_mosquittos: bool, folder: Path
) -> None:
    (folder / name).write_text(text)
    assert command.is_mosquitto_conf(name) is is_mosquittos


def test_a_file_of_either_kind_is_read_with_the_environment_over_it(folder: Path) -> None:
    (folder / "broker").write_text("listener 18831\nallow_anonymous true\n")
    config = command.effective_config("broker", {"TELEX_LISTENERS__0__PORT": "18832"})
    assert config.log.format == "mosquitto"
    assert [listener.port for listener in config.listeners] == [18832]
    (folder / "telex.toml").write_text("[access]\nallow_anonymous = true\n[[listeners]]\n")
    config = command.effective_config("telex.toml", {"TELEX_LISTENERS__0__PORT": "18832"})
    assert config == Config(listeners=[Listener(port=18832)], access=Access(allow_anonymous=True))
    assert command.effective_config(None, {}) == Config()


def test_a_file_that_is_not_there_is_one_line() -> None:
    for name in ("nowhere", "nowhere.toml", "nowhere.conf"):
        with pytest.raises(ConfigError, match=rf"^{name}: it cannot be read: No such file or directory$"):
            command.read_config(name)
