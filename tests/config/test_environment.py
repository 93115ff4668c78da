"""Settings from the environment, over what a file says."""

from pathlib import Path

import pytest

from telex.server.config import (
    Access,
    Bridge,
    BridgeTls,
    BridgeTopic,
    Config,
    ConfigError,
    Http,
    Listener,
    Log,
    Tls,
    doorkeeping,
)
from telex.server.environment import with_environment


def refusal(environment: dict[str, str], config: Config | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        with_environment(config or Config(), environment)
    return str(caught.value)


def test_without_settings_nothing_changes() -> None:
    config = Config(sys_interval=5)
    assert with_environment(config, {"PATH": "/bin", "TELEX_COMPILE": "0", "MY_TELEX_DATA": "x"}) is config


def test_each_kind_of_value_has_its_way(folder: Path) -> None:
    config = with_environment(
        Config(),
        {
            "TELEX_DATA": "lib",
            "TELEX_SYS_INTERVAL": "5",
            "TELEX_CONTROL": "true",
            "TELEX_DURABILITY": "relaxed",
            "TELEX_LOG__FORMAT": "json",
            "TELEX_LOG__TO": "stderr, file:telex.log",
            "TELEX_LIMITS__MAX_QUEUED_MESSAGES": "5000",
            "TELEX_LIMITS__RETAIN_AVAILABLE": "false",
            "TELEX_LIMITS__QUEUE_DROPS": "oldest",
            "TELEX_LIMITS__RESPONSE_INFORMATION": "7",
            "TELEX_PROTECTION__PATIENCE": "2.5",
            "TELEX_PROTECTION__BAN_SECONDS": "60",
            "TELEX_ACCESS__GROUPS__ADMINS": "ada,bob",
            "TELEX_ACCESS__RULES": '[{ allow = ["publish"], topics = ["a/#"] }]',
            "TELEX_ACCESS__RULES__0__USERS": '["ada, the first"]',
            "TELEX_LISTENERS__0__PORT": "1884",
        },
    )
    assert (config.data, config.sys_interval, config.control, config.durability) == (
        f"{folder}/lib",
        5,
        True,
        "relaxed",
    )
    assert config.log == Log(format="json", to=["stderr", f"file:{folder}/telex.log"])
    assert config.limits == {
        "max_queued_messages": 5_000,
        "retain_available": False,
        "queue_drops": "oldest",
        "response_information": "7",
    }
    assert (config.protection.patience, config.protection.ban_seconds) == (2.5, 60.0)
    assert config.access.groups == {"admins": ["ada", "bob"]}
    assert config.access.rules[0].users == ["ada, the first"]
    assert config.listeners == [Listener(host="127.0.0.1", port=1884)]


def test_listeners_are_changed_and_added_in_their_order(folder: Path) -> None:
    config = with_environment(
        Config(listeners=[Listener(port=18831)]),
        {f"TELEX_LISTENERS__{index}__PORT": str(20_000 + index) for index in range(1, 12)}
        | {
            "TELEX_LISTENERS__0__MAX_CONNECTIONS": "5",
            "TELEX_LISTENERS__1__TLS__CERTIFICATE": "server.crt",
            "TELEX_LISTENERS__1__TLS__KEY": "/etc/server.key",
            "TELEX_LISTENERS__1__LIMITS__MAXIMUM_QOS": "1",
        },
    )
    assert [listener.port for listener in config.listeners] == [18831, *range(20_001, 20_012)]
    assert config.listeners[0].max_connections == 5
    assert config.listeners[1].tls == Tls(certificate=f"{folder}/server.crt", key="/etc/server.key")
    assert config.listeners[1].limits.maximum_qos == 1


def test_the_default_listener_is_not_open_to_everybody_when_others_can_reach_it() -> None:
    def is_open(environment: dict[str, str]) -> bool | None:
        config = with_environment(Config(), environment)
        return doorkeeping(config, config.listeners[0]).allow_anonymous

    assert is_open({})
    assert is_open({"TELEX_LISTENERS__0__HOST": "::1"})
    assert not is_open({"TELEX_LISTENERS__0__HOST": "0.0.0.0"})
    assert not is_open({"TELEX_ACCESS__PASSWORD_FILE": "passwords"})
    assert is_open({"TELEX_LISTENERS__0__HOST": "0.0.0.0", "TELEX_ACCESS__ALLOW_ANONYMOUS": "true"})


def test_secrets_may_come_from_files_of_their_own(folder: Path) -> None:
    (folder / "secret").write_text("s3same\n")
    config = Config(
        listeners=[Listener(tls=Tls(certificate="/c"))], access=Access(http=[Http(url="https://login.example")])
    )
    changed = with_environment(
        config,
        {
            "TELEX_LISTENERS__0__TLS__KEY_PASSWORD_FILE": f"{folder}/secret",
            "TELEX_ACCESS__HTTP__0__HEADERS__X_API_KEY_FILE": f"{folder}/secret",
            "TELEX_ACCESS__PASSWORD_FILE": "passwords",
        },
    )
    assert changed.listeners[0].tls is not None
    assert changed.listeners[0].tls.key_password == "s3same"
    assert changed.access.http[0].headers == {"x-api-key": "s3same"}
    assert changed.access.password_file == f"{folder}/passwords"


def test_a_bridge_can_be_made_of_variables_alone(folder: Path) -> None:
    (folder / "secret").write_text("s3same\n")
    changed = with_environment(
        Config(),
        {
            "TELEX_BRIDGES__0__NAME": "cloud",
            "TELEX_BRIDGES__0__ADDRESSES": "wss://one.example, wss://two.example",
            "TELEX_BRIDGES__0__TOPICS__0__PATTERN": "home/#",
            "TELEX_BRIDGES__0__TOPICS__0__QOS": "1",
            "TELEX_BRIDGES__0__VERSION": "3.1.1",
            "TELEX_BRIDGES__0__USER": "7",
            "TELEX_BRIDGES__0__PASSWORD_FILE": f"{folder}/secret",
            "TELEX_BRIDGES__0__WEBSOCKET_HEADERS__X_API_KEY_FILE": f"{folder}/secret",
            "TELEX_BRIDGES__0__TLS__CA_FILE": "ca.pem",
            "TELEX_BRIDGES__0__TLS__CERTIFICATE": "/c",
            "TELEX_BRIDGES__0__TLS__KEY_PASSWORD_FILE": f"{folder}/secret",
        },
    )
    assert changed.bridges == [
        Bridge(
            name="cloud",
            addresses=["wss://one.example", "wss://two.example"],
            topics=[BridgeTopic(pattern="home/#", qos=1)],
            version="3.1.1",
            user="7",
            password="s3same",
            websocket_headers={"x-api-key": "s3same"},
            tls=BridgeTls(ca_file=f"{folder}/ca.pem", certificate="/c", key_password="s3same"),
        )
    ]


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [("TLS__PSK", "0123", ("tls", "psk")), ("PROXY", "socks5://me:secret@localhost", ("proxy",))],
)
def test_other_secrets_of_a_bridge_come_from_files(name: str, text: str, place: tuple[str, ...], folder: Path) -> None:
    (folder / "secret").write_text(f"{text}\n")
    tls = BridgeTls(psk_identity="i", psk="00")
    config = Config(bridges=[Bridge(name="a", addresses=["mqtts://h"], topics=[BridgeTopic(pattern="#")], tls=tls)])
    found: object = with_environment(config, {f"TELEX_BRIDGES__0__{name}_FILE": f"{folder}/secret"}).bridges[0]
    for step in place:
        found = getattr(found, step)
    assert found == text


WRONG = [
    ({"TELEX_DATTA": "x"}, "TELEX_DATTA: there is no such setting; did you mean TELEX_DATA?"),
    ({"TELEX_LOG__FROMAT": "x"}, "TELEX_LOG__FROMAT: there is no such setting; did you mean TELEX_LOG__FORMAT?"),
    ({"TELEX_LOGG__FORMAT": "x"}, "TELEX_LOGG__FORMAT: there is no such setting; did you mean TELEX_LOG__FORMAT?"),
    (
        {"TELEX_LIMITS__MAX_QUEUED_MESSAGE": "1"},
        "TELEX_LIMITS__MAX_QUEUED_MESSAGE: there is no such setting; did you mean TELEX_LIMITS__MAX_QUEUED_MESSAGES?",
    ),
    (
        {"TELEX_LISTENERS__0__PROT": "1"},
        "TELEX_LISTENERS__0__PROT: there is no such setting; did you mean TELEX_LISTENERS__0__PORT?",
    ),
    ({"TELEX_LISTENERS__PORT": "1"}, "TELEX_LISTENERS__PORT: there is no such setting"),
    (
        {"TELEX_BRIDGES__0__NAME": "a", "TELEX_BRIDGES__0__ADDRESSES": "mqtt://h"},
        "the environment: bridges[0].topics: there is none, so the bridge would carry nothing",
    ),
    (
        {"TELEX_BRIDGES__0__CLIENT_ID_FILE": "x"},
        "TELEX_BRIDGES__0__CLIENT_ID_FILE: there is no such setting; did you mean TELEX_BRIDGES__0__CLIENT_ID?",
    ),
    ({"TELEX_": "1"}, "TELEX_: there is no such setting"),
    (
        {"TELEX_LOG__FORMAT_FILE": "x"},
        "TELEX_LOG__FORMAT_FILE: there is no such setting; did you mean TELEX_LOG__FORMAT?",
    ),
    (
        {"TELEX_LISTENERS__3__PORT": "1"},
        "TELEX_LISTENERS__3__PORT: there are only 1 before it; the next is number 1",
    ),
    (
        {"TELEX_LISTENERS__0__PORT": "mqtt"},
        "TELEX_LISTENERS__0__PORT: listeners[0].port: expected a whole number, found text",
    ),
    ({"TELEX_CONTROL": "yes"}, "TELEX_CONTROL: control: expected true or false, found text"),
    (
        {"TELEX_LOG__FORMAT": "xml"},
        "TELEX_LOG__FORMAT: log.format: it is 'xml', expected one of json, mosquitto, text",
    ),
    ({"TELEX_LIMITS__MAXIMUM_QOS": "3"}, "TELEX_LIMITS__MAXIMUM_QOS: limits.maximum_qos: it is 3, expected 0 to 2"),
    ({"TELEX_ACCESS__RULES": "[{"}, "TELEX_ACCESS__RULES: expected a value as TOML writes it"),
    ({"TELEX_ACCESS__SCRAM": "true"}, "TELEX_ACCESS__SCRAM: access.scram: it needs password_file"),
    (
        {"TELEX_LISTENERS__0__TLS__KEY": "k"},
        "TELEX_LISTENERS__0__TLS__KEY: listeners[0].tls: certificate is missing",
    ),
    (
        {"TELEX_LISTENERS__0__TLS__KEY_PASSWORD_FILE": "/nowhere/secret"},
        "TELEX_LISTENERS__0__TLS__KEY_PASSWORD_FILE: /nowhere/secret: it cannot be read: No such file or directory",
    ),
]


@pytest.mark.parametrize(("environment", "expected"), WRONG)
def test_what_is_wrong_is_said_with_the_name_of_its_variable(environment: dict[str, str], expected: str) -> None:
    assert refusal(environment) == expected


def test_no_secret_is_in_a_message() -> None:
    config = Config(listeners=[Listener(tls=Tls(certificate="/c"))])
    environment = {"TELEX_LISTENERS__0__TLS__KEY_PASSWORD": "s3same", "TELEX_LISTENERS__0__PORT": "x"}
    assert "s3same" not in refusal(environment, config)


def test_what_the_file_has_wrong_is_not_blamed_on_the_environment() -> None:
    broken = Config(listeners=[])
    assert with_environment(broken, {"TELEX_SYS_INTERVAL": "5"}).sys_interval == 5
