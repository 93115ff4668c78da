"""The files in which flags stand for every call, read as Debian's mosquitto_pub reads them."""

import os
from pathlib import Path

import pytest

from telex.cli import flags, option_files, pub
from tests.processes import Server, find, run, telex_command


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are looked for."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "telex").mkdir()
    return tmp_path


def test_a_line_is_a_flag_and_all_behind_it_is_its_value(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("# comment\n\n-p 1884\n   -t home/living room\n-d\r\n  # another\n-P  secret \n-m")
    assert [(line.number, line.flag, line.rest) for line in option_files.read(str(file))] == [
        (3, "-p", "1884"),
        (4, "-t", "home/living room"),
        (5, "-d", None),
        (7, "-P", "secret "),
        (8, "-m", None),
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^cannot read the options file .*/nowhere: No such file or directory$"):
        option_files.read(str(tmp_path / "nowhere"))


def test_our_own_file_comes_before_that_of_mosquitto(settings: Path) -> None:
    assert option_files.find("pub") is None
    (settings / "mosquitto_pub").write_text("-p 1884\n")
    (settings / "mosquitto_sub").write_text("-p 1885\n")
    assert option_files.find("pub") == str(settings / "mosquitto_pub")
    (settings / "telex" / "pub").write_text("-p 1886\n")
    assert option_files.find("pub") == str(settings / "telex" / "pub")
    assert pub.parsed(["-t", "a", "-m", "x"]).port == 1886


def test_without_xdg_config_home_it_is_below_the_home_directory(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(settings))
    assert option_files.candidates("rr") == [
        str(settings / ".config" / "telex" / "rr"),
        str(settings / ".config" / "mosquitto_rr"),
    ]


def test_a_command_that_mosquitto_does_not_have_has_one_file(settings: Path) -> None:
    assert option_files.candidates("top") == [str(settings / "telex" / "top")]


def test_the_command_line_has_the_last_word(settings: Path) -> None:
    (settings / "mosquitto_pub").write_text("-p 1884\n-t from/file\n-q 2\n-D publish user-property a b c\n")
    options = pub.parsed(["-t", "from/line", "-m", "x", "-D", "publish", "user-property", "d", "e"])
    assert (options.port, options.topic, options.qos) == (1884, "from/line", 2)
    assert options.properties.publish.user_properties == (("a", "b c"), ("d", "e"))


def test_another_file_is_read_in_place_of_it(settings: Path, tmp_path: Path) -> None:
    (settings / "mosquitto_pub").write_text("-p 1884\n-d\n")
    (tmp_path / "other").write_text("-p 1885\n-m -o\n")
    options = pub.parsed(["-t", "a", "-o", str(tmp_path / "other")])
    assert (options.port, options.debug, options.message) == (1885, False, "-o")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--nope", "there is no flag --nope"),
        ("nope", "'nope' belongs to no flag"),
        ("-p", "-p needs a value"),
        ("-p 1884 -d", "argument -p/--port: '1884 -d' is not a number from 1 to 65535"),
        ("-d yes", "-d takes no value, found 'yes'"),
        ("-o other", "-o is for the command line: it names the file to read in place of this one"),
        ("-D publish nope 5", "-D publish nope: there is no such property, expected content-type,"),
        ("-D publish user-property a", "-D needs COMMAND PROPERTY VALUE, or COMMAND user-property NAME VALUE"),
        ("-L http://x/y", "'http://x/y' is no URL for -L"),
    ],
)
def test_a_wrong_line_is_named(settings: Path, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    (settings / "mosquitto_pub").write_text(f"-q 1\n{line}\n")
    with pytest.raises(SystemExit) as ended:
        pub.parsed(["-t", "a", "-m", "x"])
    assert ended.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith(f"telex: {settings}/mosquitto_pub, line 2: {said}")
    assert err.count("\n") == 1


def test_a_file_that_is_asked_for_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pub.parsed(["-t", "a", "-m", "x", "-o", "nowhere"])
    assert ended.value.code == 1
    assert "cannot read the options file nowhere: No such file or directory" in capsys.readouterr().err


def test_the_help_says_which_files_are_read_and_reads_none(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (settings / "mosquitto_pub").write_text("--nope\n")
    with pytest.raises(SystemExit) as ended:
        pub.parsed(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.endswith(f"is read):\n  {settings}/telex/pub\n  {settings}/mosquitto_pub\n")


def test_a_password_in_a_file_may_be_any_bytes(settings: Path) -> None:
    (settings / "telex" / "pub").write_bytes(b"-u me\n-P \xff\xfe\n")
    assert os.fsencode(pub.parsed(["-t", "a", "-m", "x"]).pw) == b"\xff\xfe"


FILES = [
    "-t file\n-d\n",
    "# c\n\n-t a b c\n-d\n",
    "   -t file\n -d\n",
    "-t file\r\n-d\r\n",
    '-t "file"\n-d\n-q 1\n',
    "-t file\n-d\n--nope\n",
    "-t file\n-d\nnope\n",
    "-t file\n-d\n-m twice\n",
    "-t file\n-d\n-i\n",
]


@pytest.mark.parametrize("text", FILES)
def test_mosquitto_reads_the_same_file_in_the_same_way(settings: Path, debian_mosquitto: Server, text: str) -> None:
    (settings / "mosquitto_pub").write_text(f"-p {debian_mosquitto.port}\n{text}")
    theirs = run(find("mosquitto_pub"), "-m", "x")
    ours = run(*telex_command("pub", "-m", "x"))
    assert ours.returncode == theirs.returncode
    assert told(ours.stdout) == told(theirs.stdout)


def told(debug: str) -> list[str]:
    """The PUBLISH packets of what -d printed. Mosquitto numbers those of QoS 0 too, which MQTT does not."""
    return [
        line.replace("m1,", "m_,").replace("m0,", "m_,") for line in debug.splitlines() if "sending PUBLISH" in line
    ]


def test_flags_that_add_up_do_so_over_file_and_command_line(settings: Path) -> None:
    (settings / "telex" / "sub").write_text("-t one\n")
    parser = flags.parser("sub", "A command that takes filters.")
    parser.add_argument("-t", "--topic", action="append")
    assert parser.parse_args(["-t", "two"]).topic == ["one", "two"]
