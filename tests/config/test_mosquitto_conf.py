"""mosquitto.conf as Mosquitto 2.1 reads it, and each way in which it can be wrong."""

import re
from pathlib import Path
from typing import Any

import pytest

from telex.server.config import Config, ConfigError
from telex.server.mosquitto_conf import read_mosquitto_conf
from telex.server.mosquitto_options import OPTIONS
from telex.server.toml import check, read_toml, write_toml
from tests.config.bad import BAD, Bad
from tests.config.conftest import value_at
from tests.config.good import GOOD, Good


def filled(value: Any, folder: Path) -> Any:
    """A text, or texts in a list, with the folder in its place."""
    if isinstance(value, str):
        return value.replace("{dir}", str(folder)).replace("{cwd}", str(folder))
    return [filled(item, folder) for item in value] if isinstance(value, list) else value


def read(text: str, folder: Path, *, lenient: bool = False) -> tuple[Config, list[str]]:
    """What a mosquitto.conf with that text describes, and the warnings."""
    path = folder / "mosquitto.conf"
    path.write_bytes(filled(text, folder).encode())
    warnings: list[str] = []
    return read_mosquitto_conf(path, lenient=lenient, warn=warnings.append, environment={}), warnings


def refusal(text: str, folder: Path, *, lenient: bool = False) -> str:
    """The line that refuses a mosquitto.conf, without the folder."""
    with pytest.raises(ConfigError) as caught:
        read(text, folder, lenient=lenient)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(f"{folder}/", "")


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_good_file_describes_a_broker(case: Good, folder: Path) -> None:
    config, warnings = read(case.text, folder)
    assert {path: value_at(config, path) for path in case.says} == filled_all(case.says, folder)
    assert len(warnings) == len(case.warns), warnings
    for warning, expected in zip(warnings, filled(case.warns, folder), strict=True):
        assert expected in warning
    count = len({path.split(".")[0] for path in case.says if path.startswith("listeners[")})
    assert not count or len(config.listeners) == count
    check(config)


def filled_all(says: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {path: filled(value, folder) for path, value in says.items()}


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_good_file_says_the_same_as_toml(case: Good, folder: Path) -> None:
    config, _ = read(case.text, folder)
    (folder / "telex.toml").write_text(write_toml(config))
    assert read_toml(folder / "telex.toml") == config


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.text)
def test_a_bad_file_is_refused_with_its_line(case: Bad, folder: Path) -> None:
    assert refusal(case.text, folder) == case.refusal


def test_there_are_enough_of_both() -> None:
    assert len(GOOD) >= 50
    assert len(BAD) >= 60


@pytest.mark.parametrize("name", [name for name in OPTIONS if not name.endswith("*")])
def test_each_option_is_in_a_good_file_and_in_a_bad_one(name: str) -> None:
    line = re.compile(rf"^ *{re.escape(name)}(?= |$)", re.MULTILINE)
    assert OPTIONS[name].outcome == "refused" or any(line.search(case.text) for case in GOOD)
    assert any(line.search(case.text) for case in BAD)


# Each option is wrong in the way of its kind, on the third line.


def above(name: str) -> str:
    """The line above it, without which it could not stand there."""
    return "connection a" if OPTIONS[name].scope == "bridge" else "listener 18831"


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.kind == "bool"])
@pytest.mark.parametrize("word", ["maybe", "True", "yes", "2", "on # true"])
def test_true_and_false_are_written_in_two_ways_each(name: str, word: str, folder: Path) -> None:
    said = refusal(f"{above(name)}\n\n{name} {word}\n", folder)
    assert said == f"mosquitto.conf:3: {name}: expected true or false, found '{word.split()[0]}'"


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.kind == "int"])
@pytest.mark.parametrize("word", ["many", "10k", "1.5", "0x", "#"])
def test_numbers_are_whole(name: str, word: str, folder: Path) -> None:
    said = refusal(f"{above(name)}\n\n{name} {word} 1\n", folder)
    assert said == f"mosquitto.conf:3: {name}: expected a whole number, found '{word}'"


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.kind == "text"])
def test_what_is_a_text_is_said_once(name: str, folder: Path) -> None:
    said = refusal(f"{above(name)}\n{name} tlsv1.2\n{name} tlsv1.2\n", folder)
    if OPTIONS[name].outcome != "refused":
        assert said == f"mosquitto.conf:3: {name} was said already, in mosquitto.conf:2"
    else:
        assert said.startswith(f"mosquitto.conf:2: {name} is not supported: ")


@pytest.mark.parametrize("name", [name for name in OPTIONS if not name.endswith("*")])
def test_an_option_alone_says_nothing(name: str, folder: Path) -> None:
    said = refusal(f"{above(name)}\n{name}\n", folder)
    assert said == f"mosquitto.conf:2: {name}: nothing stands behind it"


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.outcome == "refused"])
def test_what_is_refused_can_be_let_pass(name: str, folder: Path) -> None:
    value = "true" if OPTIONS[name].kind == "bool" else "7"
    around = "listener 18831\nconnection a\naddress 127.0.0.1\ntopic a\n"
    text = f"{around}{name} {value}\n"
    said = refusal(text, folder)
    config, warnings = read(text, folder, lenient=True)
    assert warnings == [f"{folder}/{said}; it is ignored"]
    assert config == read(around, folder)[0]


def test_a_bridge_in_an_included_file_begins_there(folder: Path) -> None:
    (folder / "bridges.d" / "three.conf").write_text("topic b\n")
    said = refusal("connection a\naddress 127.0.0.1\ninclude_dir {dir}/bridges.d\n", folder)
    assert said == "bridges.d/three.conf:1: topic belongs to a bridge, and there is no connection above it"


@pytest.mark.parametrize("line", ["remote_password s3same", "bridge_identity i\nbridge_psk s3same", "password s3same"])
def test_no_secret_of_a_bridge_is_in_a_message(line: str, folder: Path) -> None:
    assert "s3same" not in refusal(f"connection a\naddress 127.0.0.1\ntopic a\n{line}\n", folder)


def test_unknown_options_can_be_let_pass(folder: Path) -> None:
    text = "listener 18831\ndaemon false\nkeepalive 60\nmax_qos 1\n # x\n"
    config, warnings = read(text, folder, lenient=True)
    assert [warning.replace(f"{folder}/", "") for warning in warnings] == [
        "mosquitto.conf:2: there is no option daemon; it is ignored",
        "mosquitto.conf:3: there is no option keepalive; did you mean max_keepalive?; it is ignored",
        "mosquitto.conf:5: a comment begins with '#' as the first character of its line; it is ignored",
    ]
    assert config.listeners[0].limits.maximum_qos == 1


def test_what_is_wrong_is_refused_all_the_same(folder: Path) -> None:
    assert refusal("max_qos 3\n", folder, lenient=True).startswith("mosquitto.conf:1: max_qos: 3 is not in the range")


def test_a_plugin_is_never_let_pass_as_it_may_be_what_keeps_strangers_out(folder: Path) -> None:
    text = "listener 18831\nallow_anonymous true\nauth_plugin /mosquitto/go-auth.so\nauth_opt_backends files\n"
    said = refusal(text, folder, lenient=True)
    assert said.startswith("mosquitto.conf:3: /mosquitto/go-auth.so is not supported: the plugins for")


def test_an_error_in_an_included_file_names_that_file(folder: Path) -> None:
    (folder / "conf.d" / "extra.conf").write_text("# one\nlisten 1883\n")
    said = refusal("include_dir {dir}/conf.d\n", folder)
    assert said == "conf.d/extra.conf:2: there is no option listen; did you mean listener?"


def test_comments_may_have_any_bytes_and_options_may_not(folder: Path) -> None:
    path = folder / "mosquitto.conf"
    path.write_bytes(b"# caf\xe9\nlistener 18831\nmount_point caf\xe9/\n")
    with pytest.raises(ConfigError, match=r"mosquitto\.conf:3: this is no text in UTF-8"):
        read_mosquitto_conf(path)


def test_a_file_that_is_not_there_is_one_line(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^nowhere\.conf: it cannot be read: No such file or directory$"):
        read_mosquitto_conf("nowhere.conf")


def test_relative_paths_are_below_the_current_directory_as_for_mosquitto(folder: Path) -> None:
    (folder / "conf.d" / "mosquitto.conf").write_text("persistence true\npersistence_location lib\npassword_file p\n")
    config = read_mosquitto_conf(folder / "conf.d" / "mosquitto.conf", environment={})
    assert (config.data, config.access.password_file) == (f"{folder}/lib", f"{folder}/p")


def test_the_environment_may_say_where_persistence_is(folder: Path) -> None:
    path = folder / "mosquitto.conf"
    path.write_text("persistence true\n")
    environment = {"MOSQUITTO_PERSISTENCE_LOCATION": "/var/elsewhere"}
    assert read_mosquitto_conf(path, environment=environment).data == "/var/elsewhere"
    path.write_text("persistence true\npersistence_location lib\n")
    assert read_mosquitto_conf(path, environment=environment).data == f"{folder}/lib"
    path.write_text("persistence false\npersistence_location lib\n")
    assert read_mosquitto_conf(path, environment=environment).data == ""


def test_octal_numbers_are_octal(folder: Path) -> None:
    assert read("listener 18831\nmax_connections 010\n", folder)[0].listeners[0].max_connections == 8
