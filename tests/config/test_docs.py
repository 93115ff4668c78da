"""docs/moving-from-mosquitto.md shows what is so."""

import os
import re
import shlex
from pathlib import Path

import pytest

import telex
from telex.cli import config as command
from telex.cli import serve
from telex.server.config import Access, Bridge, BridgeTls, Listener, ListenerLimits, Log, Protection, Psk, Tls
from telex.server.mosquitto_options import OPTIONS
from telex.server.toml import LIMITS
from tests.processes import run, telex_command

TEXT = Path(__file__).parents[2].joinpath("docs", "moving-from-mosquitto.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)

# As reference for a replacement: what Mosquitto 2.1 reads.
_MOSQUITTO = """
allow_anonymous password_file acl_file psk_file auth_plugin_deny_special_chars plugin auth_plugin global_plugin
plugin_load plugin_use plugin_opt_* auth_opt_* clientid_prefixes auto_id_prefix allow_zero_length_clientid
check_retain_source per_listener_settings enable_control_api user global_max_clients global_max_connections
max_inflight_messages max_inflight_bytes max_queued_messages max_queued_bytes queue_qos0_messages max_packet_size
message_size_limit memory_limit max_keepalive upgrade_outgoing_qos allow_duplicate_messages packet_buffer_size
websockets_headers_size set_tcp_nodelay retry_interval persistence retained_persistence persistence_location
persistence_file autosave_interval autosave_on_changes persistent_client_expiration retain_available
retain_expiry_interval log_dest log_type log_facility log_timestamp log_timestamp_format connection_messages
websockets_log_level sys_interval pid_file include_dir listener port bind_address bind_interface socket_domain protocol
accept_protocol_versions listener_allow_anonymous listener_auto_id_prefix max_connections max_qos maximum_qos
max_topic_alias max_topic_alias_broker mount_point use_username_as_clientid http_dir websockets_origin
enable_proxy_protocol proxy_protocol_v2_require_tls cafile capath certfile keyfile require_certificate
use_identity_as_username use_subject_as_username crlfile ciphers ciphers_tls1.3 tls_version dhparamfile
disable_client_cert_date_checks tls_engine tls_engine_kpass_sha1 tls_keyform psk_hint connection address addresses topic
remote_clientid clientid remote_username username remote_password password local_clientid local_username local_password
start_type restart_timeout round_robin threshold idle_timeout keepalive_interval cleansession local_cleansession
try_private notifications notifications_local_only notification_topic bridge_protocol_version
bridge_attempt_unsubscribe bridge_outgoing_retain bridge_reload_type bridge_bind_address bridge_max_packet_size
bridge_max_topic_alias bridge_receive_maximum bridge_session_expiry_interval bridge_tcp_keepalive
bridge_tcp_user_timeout bridge_cafile bridge_capath bridge_certfile bridge_keyfile bridge_ciphers
bridge_ciphers_tls1.3 bridge_tls_version bridge_tls_use_os_certs bridge_insecure bridge_alpn bridge_require_ocsp
bridge_identity bridge_psk
"""


def test_every_option_of_mosquitto_is_known() -> None:
    assert sorted(OPTIONS) == sorted(_MOSQUITTO.split())


def test_the_table_says_what_is_done_with_each_option() -> None:
    rows = re.findall(r"^\| (`.*?`) \| (honoured|no effect|refused) \| (.*?) \|$", TEXT, re.MULTILINE)
    told = {name: (outcome, note) for names, outcome, note in rows for name in re.findall(r"`(\S+)`", names)}
    assert sum(len(re.findall(r"`(\S+)`", names)) for names, _, _ in rows) == len(told), "an option stands there twice"
    assert told == {name: (option.outcome, option.note) for name, option in OPTIONS.items()}


def test_the_settings_that_the_table_names_exist() -> None:
    tables = {
        "listeners": Listener,
        "listeners.tls": Tls,
        "listeners.psk": Psk,
        "listeners.limits": ListenerLimits,
        "listeners.access": Access,
        "access": Access,
        "protection": Protection,
        "log": Log,
        "bridges": Bridge,
        "bridges.tls": BridgeTls,
    }
    for option in OPTIONS.values():
        for setting in re.findall(r"`((?:access|bridges|limits|listeners|protection|log)\.[\w.]+)`", option.note):
            table, _, name = setting.rpartition(".")
            known = LIMITS if table == "limits" else tables[table].__struct_fields__
            assert name in known, setting


def test_the_unit_of_systemd_starts_the_broker_anew() -> None:
    [unit] = [text for language, text in BLOCKS if language == "ini"]
    kind, reset, start = unit.splitlines()[1:]
    assert (kind, reset) == ("Type=exec", "ExecStart=")  # an empty one: in place of Debian's, not beside it
    _, *words = shlex.split(start.partition("=")[2])
    parsed = serve._parser().parse_args(words[1:])
    assert (words[0], parsed.config) == ("serve", "/etc/mosquitto/mosquitto.conf")


@pytest.fixture
def shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Run the examples from the first to the last: a conf is a file, a console shows a command and what it prints."""
    last = {"conf": "", "toml": ""}
    for language, text in BLOCKS:
        if language == "conf":
            (folder / "mosquitto.conf").write_text(text)
        elif language == "console":
            told, *expected = text.splitlines(keepends=True)
            _, _, *words = shlex.split(told.removeprefix("$ "))
            assert told.startswith("$ telex config ")
            target = words.pop() if words[-2:-1] == [">"] else ""
            if target:
                words.pop()
            command.run(words)
            printed = capsys.readouterr()
            if target:
                (folder / target).write_text(printed.out)
                last["toml"] = printed.out
            assert printed.err + ("" if target else printed.out) == "".join(expected)
        elif language == "toml":
            assert last["toml"].startswith(text)
    return last


def test_the_examples_print_what_is_shown(shown: dict[str, str], folder: Path) -> None:
    assert sum(language == "console" for language, _ in BLOCKS) == 3
    config = command.read_config(str(folder / "telex.toml"))
    assert config == command.read_config(str(folder / "mosquitto.conf"))
    assert [listener.port for listener in config.listeners] == [1883, 8883, 9001]


def test_the_commands_of_the_shell_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # They run in another directory than the tests, which may have found Telex below theirs.
    monkeypatch.setenv("PYTHONPATH", str(Path(telex.__file__).parents[1]))
    (folder / "mosquitto.conf").write_text("listener 18831 127.0.0.1\nallow_anonymous true\n")
    environment: dict[str, str] = {}
    ran = 0
    for text in (text for language, text in BLOCKS if language == "sh"):
        for line in text.splitlines():
            words = shlex.split(line)
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                environment[name] = value
            elif words[1] == "config":
                done = run(
                    "env", *[f"{name}={value}" for name, value in environment.items()], *telex_command(*words[1:])
                )
                assert (done.returncode, done.stderr) == (0, "")
                ran += 1
                for value in environment.values():
                    assert value in done.stdout
            elif "--test-config" in words:
                done = run(*telex_command(*words[1:]))
                assert done.returncode == 0, done.stderr
                ran += 1
            else:
                # A broker in the foreground: that it starts with such a file is shown elsewhere.
                assert line == "telex serve -c mosquitto.conf"
    assert ran == 3
    assert os.path.isabs(environment["TELEX_DATA"])
