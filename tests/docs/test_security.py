"""docs/security.md shows what is so: each example is run, each table compared with the program."""

import configparser
import json
import re
import runpy
import shutil
import socket
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import structs

import telex
from telex.cli import passwd
from telex.cli import tls as tls_command
from telex.client.aio import Client
from telex.errors import Refused
from telex.server import broker as broker_module
from telex.server import public
from telex.server.access import passwords
from telex.server.access.doorkeeper import Doorkeeper
from telex.server.access.http import HttpWay
from telex.server.access.jwt import JwtWay
from telex.server.access.password_file import Hasher
from telex.server.access.ways import Admitted, Applicant, Denied
from telex.server.config import Access, Config, ConfigError, Http, Jwt, Listener, Plugin, Protection, Rule, Tls
from telex.server.tls import check
from telex.server.toml import read_toml
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Connect, PubAck, Publish, PubRec, SubAck, Subscribe, SubscriptionRequest, Will
from tests.access.services import WebService, says
from tests.certificates import Authority, Issued
from tests.docs.pages import Block, Desk, desk, is_as_told, sections, table
from tests.processes import SECONDS, find, free_port, running, wait_for_port
from tests.shell.raw import open_socket

TEXT = Path(__file__).parents[2].joinpath("docs", "security.md").read_text()
SECTIONS = sections(TEXT)


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """A desk where earlier sections have left two users, and certificates."""
    with desk(tmp_path) as made:
        for number, name in enumerate(("ann", "guest")):
            assert passwd.run([*(["-c"] if number == 0 else []), "-b", str(tmp_path / "users"), name, "secret"]) == 0
        assert tls_command.run(["init", "--dir", str(tmp_path / "tls"), "localhost", "127.0.0.1"]) == 0
        capsys.readouterr()
        yield made


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_does_what_it_tells(section: str, here: Desk) -> None:
    if section == "TLS":
        shutil.rmtree(here.folder / "tls")  # it makes them itself
    # The last line of the logs stands there for fail2ban: below.
    here.type([block for block in SECTIONS[section] if "wrong password" not in block.text])


@pytest.mark.parametrize(
    "block",
    [block for blocks in SECTIONS.values() for block in blocks if block.file in ("telex.toml", "wrong.toml")],
    ids=lambda block: block.text.splitlines()[1],
)
async def test_each_telex_toml_describes_a_broker(block: Block, here: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(here.folder)
    tls_command.run(["init", "--dir", str(here.folder / "tls"), "localhost", "--client", "phone"])
    for name in ("keys", "acl", "house.py"):
        here.write(next(each for each in _blocks() if each.file == name))
    (here.folder / "issuer.pem").write_text(_public_key(ec.generate_private_key(ec.SECP256R1())))
    config = structs.replace(read_toml(here.write(block)), data="")
    if "[listeners.psk]" in block.text and sys.version_info < (3, 13):
        with pytest.raises(ConfigError, match=r"cannot do pre-shared keys, that of 3\.13 can"):
            await telex.Broker(config=config).check()
    else:
        await telex.Broker(config=config).check()
    sys.modules.pop("house", None)


def _blocks() -> list[Block]:
    return [block for blocks in SECTIONS.values() for block in blocks]


def _public_key(key: ec.EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_every_block_is_one_that_a_test_runs() -> None:
    for block in _blocks():
        shows_file = bool(block.file)
        is_typed = block.language in ("sh", "console", "text", "json")
        assert shows_file or is_typed, block.text


def test_three_dots_stand_for_anything() -> None:
    assert is_as_told("a ... c\n...\nd\n", "a b c\nx\ny\nd\n")
    assert is_as_told("a\n...\nd\n", "a\nd\n")
    assert not is_as_told("a\nd\n", "a\nb\nd\n")


# Tables


def test_the_forms_of_hashes_are_those_that_there_are() -> None:
    told = {cells[0].strip("`"): cells[1].strip("`") for cells in table(TEXT, "## Users and passwords")}
    made = {form: passwords.make(b"x", form).line for form in passwords.FORMS}
    assert sorted(told.values()) == sorted(passwords.FORMS)
    for beginning, form in told.items():
        assert made[form].startswith(beginning)


def test_public_sets_what_the_table_says() -> None:
    told = {cells[0].strip("`"): cells[1] for cells in table(TEXT, "### A broker that stands open")}
    usual = structs.asdict(Protection())
    set_there = {
        f"protection.{name}": value for name, value in structs.asdict(public.PROTECTION).items() if value != usual[name]
    } | {f"limits.{name}": value for name, value in public.LIMITS.items()}
    assert told == {
        name: str(value).lower() if isinstance(value, bool) else f"{value:,.0f}"
        for name, value in set_there.items()
        if not isinstance(value, str)
    }
    made = public.made_public(Config(limits={"max_subscriptions": 7}, protection=Protection(ban_after=9)))
    assert (made.limits["max_subscriptions"], made.protection.ban_after) == (7, 9)


def test_every_setting_of_protection_is_told() -> None:
    assert [cells[0].strip("`") for cells in table(TEXT, "## Protection")] == list(Protection.__struct_fields__)


def test_what_needs_a_restart_is_told() -> None:
    [told] = re.findall(r"These need a restart: (.*?)\. `telex reload`", TEXT)
    assert re.findall(r"`(\w+)`", told) == list(broker_module._FIXED)


def test_the_ways_are_asked_in_the_order_that_is_told(here: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    told = re.findall(r"^\d\. \*\*(.*?)\*\*", TEXT, re.MULTILINE)
    monkeypatch.syspath_prepend(here.folder)
    here.write(next(each for each in _blocks() if each.file == "house.py"))
    access = Access(
        password_file=str(here.folder / "users"),
        jwt=[Jwt(keys=str(here.folder / "secret"), algorithms=["HS256"])],
        http=[Http(url="http://127.0.0.1:1/")],
        plugins=[Plugin(name="house:House", options={"secret": "x"})],
    )
    hasher = Hasher()
    names = Doorkeeper(access, hasher, now=time.time).names
    hasher.close()
    sys.modules.pop("house", None)
    assert names == ["certificate", "jwt", "http 1", "plugin house:House", "password_file"]
    assert [re.sub(r"^the |`|access\.", "", each) for each in told] == [
        *("certificate", "jwt", "http", "plugins", "password_file", "allow_anonymous")
    ]


# TLS


def _faulty(what: str, folder: Path) -> Tls:
    """A set-up of TLS that is wrong in some way."""
    authority = Authority(folder)
    good = authority.server()
    key = good.key

    def of(issued: Issued, **more: str) -> Tls:
        return Tls(certificate=str(issued.certificate), key=str(issued.key), **more)  # type: ignore[arg-type]

    empty = folder / "empty.pem"
    empty.write_text("nothing\n")
    changed = folder / "changed.pem"
    tls = of(good)
    if what == "the file is not there":
        tls = structs.replace(tls, certificate=str(folder / "nowhere.pem"))
    elif what == "no certificate in the file":
        tls = structs.replace(tls, certificate=str(empty))
    elif what == "DER in place of PEM":
        from cryptography.hazmat.primitives.serialization import Encoding

        changed.write_bytes(good.content.public_bytes(Encoding.DER))
        tls = structs.replace(tls, certificate=str(changed))
    elif what == "certificate and key are swapped":
        tls = Tls(certificate=str(key), key=str(good.certificate))
    elif what == "the key is of another certificate":
        tls = structs.replace(tls, key=str(authority.server("other").key))
    elif what == "the server's certificate is not the first":
        changed.write_bytes(authority.path.read_bytes() + good.certificate.read_bytes())
        tls = structs.replace(tls, certificate=str(changed))
    elif what == "the key has a password":
        tls = of(authority.server("locked", key_password="secret"))
    elif what == "the password of the key is wrong":
        tls = of(authority.server("locked", key_password="secret"), key_password="guess")
    elif what == "the certificate is damaged":
        changed.write_text(re.sub(r"(?<=CERTIFICATE-----\n).{20}", "A" * 20, good.certificate.read_text(), count=1))
        tls = structs.replace(tls, certificate=str(changed))
    elif what == "it has expired":
        tls = of(authority.server("old", days=(-20, -10)))
    elif what == "it expires within 14 days":
        tls = of(authority.server("soon", days=(-20, 10)))
    elif what == "it is not valid yet":
        tls = of(authority.server("early", days=(1, 10)))
    elif what == "it names no host at all":
        tls = of(authority.server("nameless", hosts=()))
    elif what == "it is not for servers":
        tls = of(authority.client("phone"))
    elif what == "everybody may read the key":
        key.chmod(0o644)
    elif what == "the list of revoked certificates is old":
        crl = str(authority.crl(days=(-20, -10)))
        tls = structs.replace(tls, client_certificates="required", client_ca=str(authority.path), crl=crl)
    else:
        assert what == "it is not for the listener's address"
    return tls


_FAULTS = {cells[0]: cells[1].strip("`") for cells in table(TEXT, "### What is checked")}
_WARNINGS = {cells[0]: cells[1].strip("`") for cells in table(TEXT, "What some clients only would refuse")}


@pytest.mark.parametrize("what", [*_FAULTS, *_WARNINGS])
def test_each_fault_of_tls_is_said_as_told(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "the key cannot be read":
        tls = _faulty("it is not for the listener's address", tmp_path)
        before = Path.read_bytes

        def read(path: Path) -> bytes:  # root may read everything
            if str(path) == tls.key:
                raise PermissionError(13, "Permission denied")
            return before(path)

        monkeypatch.setattr(Path, "read_bytes", read)
    else:
        tls = _faulty(what, tmp_path)
    findings = check(tls, ["broker.example.org"] if "address" in what else [], now=time.time())
    assert any(_FAULTS.get(what, _WARNINGS.get(what, "?")) in finding.text for finding in findings), findings
    assert any(finding.is_fatal for finding in findings) == (what in _FAULTS)


# What is denied


@asynccontextmanager
async def _strict_broker(tmp_path: Path) -> AsyncIterator[telex.Broker]:
    """Ann may publish and subscribe to home/#, and gets nothing of home/bedroom/#."""
    assert passwd.run(["-c", "-b", str(tmp_path / "users"), "ann", "secret"]) == 0
    rules = [
        Rule(deny=["receive"], topics=["home/bedroom/#"]),
        Rule(allow=["publish", "subscribe"], topics=["home/#"]),
    ]
    access = Access(password_file=str(tmp_path / "users"), rules=rules)
    listeners = [Listener(host="127.0.0.1", port=0)]
    config = Config(listeners=listeners, access=access, data="", protection=Protection(ban_after=2))
    async with telex.Broker(config=config) as broker:
        yield broker


_VERSIONS = {"MQTT 5": 5, "MQTT 3.1.1": 4, "MQTT 3.1": 3}


async def _seen(broker: telex.Broker, what: str, version: int) -> str:
    """What a client sees that may not do something."""
    connect = _connect(version)
    if what == "to come in":
        connect = _connect(version, password=b"guess")
    elif what == "its will":
        connect = _connect(version, will=Will("away", b"x"))
    async with open_socket(broker.port, version) as client:
        await client.send(connect)
        connack = await client.receive()
        assert isinstance(connack, ConnAck)
        if connack.reason_code:
            return f"CONNACK {_code(connack.reason_code)}"
        if what.startswith("to publish"):
            qos = 1 if "QoS 1" in what else 0
            await client.send(Subscribe(1, [SubscriptionRequest("home/+", 1)]))
            await client.receive()
            await client.send(Publish("away", b"x", qos=qos, packet_id=7 if qos else 0))
            await client.send(Publish("home/door", b"after", qos=1, packet_id=8))
            answers = [await client.receive() for _ in range(3 if qos else 2)]
            ours = [each.reason_code for each in answers if isinstance(each, PubAck | PubRec) and each.packet_id == 7]
            assert [each.topic for each in answers if isinstance(each, Publish)] == ["home/door"]
            if not qos:
                return "dropped"
            return f"PUBACK or PUBREC {_code(ours[0])}" if ours[0] else "acknowledged and dropped"
        await client.send(Subscribe(1, [SubscriptionRequest("#" if what == "to subscribe" else "home/#", 0)]))
        suback = await client.receive()
        assert isinstance(suback, SubAck)
        if suback.reason_codes[0] >= 0x80:
            return f"SUBACK {_code(suback.reason_codes[0])}"
        if what == "to subscribe":
            await client.send(Subscribe(2, [SubscriptionRequest("home/door", 0)]))
            await client.receive()
        await client.send(Publish("home/bedroom/lamp", b"x"), Publish("home/door", b"after"))
        got = await client.receive()
        assert isinstance(got, Publish)
        assert got.topic == "home/door"
        return "SUBACK as if it were granted, and no messages" if what == "to subscribe" else "does not get it"


def _connect(version: int, password: bytes = b"secret", will: Will | None = None) -> Connect:
    return Connect("phone", version=version, user_name="ann", password=password, will=will)


def _code(code: int) -> str:
    return str(code) if code < 0x80 else f"0x{code:02X}"


@pytest.mark.parametrize("column", [1, 2, 3], ids=_VERSIONS)
@pytest.mark.parametrize("row", table(TEXT, "## What a denied client sees"), ids=lambda row: row[0])
async def test_a_denied_client_sees_what_is_told(row: list[str], column: int, tmp_path: Path) -> None:
    version = list(_VERSIONS.values())[column - 1]
    what, told = row[0], row[column]
    async with _strict_broker(tmp_path) as broker:
        banned = re.search(r"; (0x..) while it is banned", told)
        assert await _seen(broker, what, version) == told.partition(";")[0]
        if banned:
            assert await _seen(broker, what, version) == "CONNACK 0x87"
            assert await _seen(broker, what, version) == f"CONNACK {banned[1]}"


# Tokens, services, SCRAM


async def test_the_claims_that_are_shown_do_what_is_told(tmp_path: Path) -> None:
    import jwt

    [claims] = [json.loads(block.text) for block in SECTIONS["Tokens"] if block.language == "json"]
    secret = "0123456789abcdef0123456789abcdef"
    (tmp_path / "secret").write_text(secret)
    way = JwtWay(Jwt(keys=str(tmp_path / "secret"), algorithms=["HS256"], issuer=claims["iss"]))
    await way.open()
    token = jwt.encode(claims, secret, "HS256").encode()
    verdict = await way.check(Applicant(user_name="ann", password=token, client_id=""))
    await way.close()
    assert isinstance(verdict, Admitted)
    assert (verdict.user, verdict.groups, verdict.expires_at) == ("ann", ("family",), claims["exp"])
    assert verdict.rules == (Rule(allow=["publish", "subscribe"], topics=["home/{user}/#"]),)
    for name in [cells[0] for cells in table(TEXT, "| claim |")]:
        for claim in re.findall(r"`(\w+)`", name):
            assert claim in {*claims, "nbf", "aud"}


async def test_the_question_to_a_web_service_is_the_one_that_is_shown() -> None:
    [asked, *answers] = [
        json.loads(block.text) for block in SECTIONS["A web service that decides"] if block.language == "json"
    ]
    applicant = Applicant(
        user_name="ann", password=b"secret", client_id="sensor-7", host="127.0.0.1", listener="*:1883"
    )
    service = WebService()
    verdicts: list[Admitted | Denied | None] = []
    async with service.running():
        way = HttpWay(Http(url=service.url, cache=0.0))
        await way.open()
        for answer in answers:
            service.answer = says(200, answer)
            verdicts.append(await way.check(applicant))
        await way.close()
    assert json.loads(service.bodies[0]) == asked
    admitted, denied, ignored = verdicts
    assert isinstance(admitted, Admitted)
    assert (admitted.user, admitted.groups) == ("ann", ("family",))
    assert admitted.rules == (Rule(allow=["publish"], topics=["home/#"]),)
    assert admitted.expires_at is not None
    assert isinstance(denied, Denied)
    assert ignored is None


async def test_scram_lets_in_who_knows_the_password(here: Desk) -> None:
    here.type(SECTIONS["SCRAM"])
    config = structs.replace(read_toml(here.folder / "telex.toml"), data="")
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "scram.py"))
    async with telex.Broker(config=config) as broker:
        address = f"mqtt://127.0.0.1:{broker.port}"
        async with Client(address, client_id="ann", authenticator=example["ScramLogin"]("ann", "secret")) as client:
            assert await client.publish("home/temp", 21.5, qos=1) in (0x00, 0x10)
        with pytest.raises(Refused, match="not authorized"):
            await Client(address, client_id="ann", authenticator=example["ScramLogin"]("ann", "guess")).__aenter__()


def test_the_entry_point_that_is_shown_is_of_the_group_that_is_asked() -> None:
    [block] = [block for block in _blocks() if block.file == "pyproject.toml"]
    assert tomllib.loads(block.text)["project"]["entry-points"] == {"telex.access": {"house": "house:House"}}


# Proxies, fail2ban


def _toml_with(words: str) -> Block:
    return next(block for block in SECTIONS["Listeners"] if words in block.text)


def test_behind_a_proxy_the_log_has_the_clients_address(here: Desk) -> None:
    here.write(_toml_with("proxy_protocol"))
    here.run("telex serve -c telex.toml")
    with socket.create_connection(("127.0.0.1", here.port(8885)), timeout=SECONDS) as proxy:
        proxy.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 50000 1883\r\n")
        proxy.sendall(encode(Connect("phone", user_name="ann", password=b"guess"), 5))
        assert proxy.recv(100)[:1] == b"\x20"
    here.type(
        [
            Block(
                "text",
                "2026-11-23T08:00:00 warning refused client=phone user=ann address=192.0.2.7:50000 "
                "listener=127.0.0.1:8885 version=5.0 reason=\"user 'ann': wrong password (0x87 not authorized)\"",
            )
        ]
    )
    assert "address=192.0.2.7:50000" in (here.folder / ".log0").read_text()


def test_nginx_hands_websockets_on(here: Desk) -> None:
    nginx = find("nginx")
    here.write(_toml_with('port = 9001\nprotocol = "websocket"'))
    here.run("telex serve -c telex.toml")
    with _nginx(here, nginx, 0) as port:
        done = here.run(f"telex doctor 127.0.0.1 -p {port} --ws -u ann -P secret --roundtrip")
        assert done.returncode == 0, done.stdout


def test_nginx_hands_the_page_on(here: Desk) -> None:
    nginx = find("nginx")
    here.write(next(block for block in _blocks() if "broker.example.org" in block.text and block.file == "telex.toml"))
    here.run("telex serve -c telex.toml")
    with _nginx(here, nginx, 1) as port:
        done = here.run(f"telex doctor 127.0.0.1 -p {port} --ws -u ann -P secret --roundtrip")
        assert done.returncode == 0, done.stdout
        curl = f"curl -s -H 'Host: broker.example.org' http://127.0.0.1:{port}"
        login = """-H 'Origin: https://broker.example.org' --json '{"user": "ann", "password": "secret"}'"""
        cookie = here.run(f"{curl}/api/v1/session -D - {login}").stdout
        assert re.search(r"^Set-Cookie: telex_\d+=\S+; HttpOnly; Path=/; SameSite=Strict; Secure", cookie, re.MULTILINE)
        assert json.loads(here.run(f"{curl}/api/v1/me -u ann:secret").stdout)["administrator"] is True
        assert json.loads(here.run(f"{curl}/api/v1/me").stdout)["status"] == 401
        assert "<title>" in here.run(f"{curl}/").stdout


@contextmanager
def _nginx(here: Desk, nginx: str, number: int) -> Iterator[int]:
    """nginx, as the page describes it, and its port."""
    location = [block for block in _blocks() if block.file == "nginx.conf"][number]
    port = free_port()
    places = "".join(
        f"{name}_temp_path {here.folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (here.folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {here.folder}/nginx.pid;\nerror_log {here.folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}server {{\nlisten 127.0.0.1:{port};\n"
        f"{here.adapted(location.text)}}}\n}}\n"
    )
    with running(nginx, "-p", str(here.folder), "-c", str(here.folder / "nginx.conf"), "-e", "stderr"):
        wait_for_port(port)
        yield port


def test_fail2ban_finds_failed_logins_and_nothing_that_a_client_made_up() -> None:
    parser = configparser.ConfigParser()
    [block] = [block for block in _blocks() if "failregex" in block.text]
    parser.read_string(block.text)
    assert parser["Definition"]["datepattern"] == "^%Y-%m-%dT%H:%M:%S"
    # As fail2ban does: the date is taken out of the line first, and its tag stands for an address.
    pattern = re.compile(parser["Definition"]["failregex"].replace("<ADDR>", r"(?P<host>[\d.]+|[\da-fA-F:]+)"))
    shown = next(block for block in SECTIONS["Logs"] if "wrong password" in block.text).text
    forged = shown.replace("client=phone", r'client="x\" user=y address=192.0.2.99:1 (0x87 not authorized)\""')
    other = shown.replace("wrong password (0x87 not authorized)", "it is closed")
    found = [
        pattern.search(line.rstrip()[19:]) for line in (shown, shown.replace("127.0.0.1", "[2001:db8::7]"), forged)
    ]
    assert [each and each["host"] for each in found] == ["127.0.0.1", "2001:db8::7", "127.0.0.1"]
    assert pattern.search(other.rstrip()[19:]) is None


def test_fail2ban_finds_a_login_that_failed_now(here: Desk) -> None:
    here.type([block for block in SECTIONS["Logs"] if block.file == "telex.toml"][:1])
    here.run("telex serve -c telex.toml")
    assert here.run("mosquitto_pub -V 5 -i phone -u ann -P guess -t home/door -m open").returncode != 0
    here.type([block for block in SECTIONS["Logs"] if "wrong password" in block.text])


# What happens when something is wrong


def test_who_forgets_to_say_who_may_come_in_reads_it_in_the_banner(here: Desk) -> None:
    toml = '# telex.toml\n[[listeners]]\nport = 1883\nproxy_protocol = "any"\n'  # others can reach what is behind it
    here.write(Block("toml", toml))
    [told] = [cells[1] for cells in table(TEXT, "## What happens when") if cells[0].startswith("a network address")]
    [words] = re.findall(r"`(nobody: .*?)`", told)
    assert f"who may connect {words}\n" in here.run("telex serve -c telex.toml").stdout


def test_a_description_that_is_broken_changes_nothing(here: Desk) -> None:
    here.type([block for block in SECTIONS["Changing without a restart"] if block.file])
    here.run("telex serve -c telex.toml")
    (here.folder / "telex.toml").write_text("nonsense\n")
    done = here.run("telex reload")
    assert done.returncode == 1
    assert done.stderr.startswith("telex: everything is as before: telex.toml:1: ")
    assert here.run("telex pub -u ann -P secret -t home/temp -m 21.5").returncode == 0


def test_a_class_that_fails_lets_nobody_in(here: Desk) -> None:
    own = SECTIONS["A class of your own"]
    here.type([block for block in own if block.file])
    path = here.folder / "house.py"
    path.write_text(path.read_text().replace("return None", 'raise OSError("the door is stuck")'))
    here.run("PYTHONPATH=. telex serve -c telex.toml")
    assert here.run("telex pub -u ann -P secret -t home/temp -m 21.5").returncode != 0
    log = (here.folder / ".log0").read_text()
    assert "Traceback" in log
    assert "OSError: the door is stuck" in log


def test_a_web_service_that_is_down_is_told_once(here: Desk) -> None:
    here.type([block for block in SECTIONS["A web service that decides"] if block.file == "telex.toml"])
    here.run("telex serve -c telex.toml")
    for _ in range(2):
        assert here.run("telex pub -u ann -P secret -t home/temp -m 21.5").returncode != 0
    assert (here.folder / ".log0").read_text().count("access service down") == 1
