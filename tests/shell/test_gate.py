"""Who comes in, and what they may do then: a whole broker, real sockets, every way of logging in."""

import asyncio
import json
import logging
import re
import time
from pathlib import Path

import jwt
import pytest
from scramp import ScramClient

import telex
from telex.codes import ReasonCode
from telex.server.access.ways import Admitted, Applicant, Denied
from telex.server.config import Access, Http, Jwt, Protection, Rule
from telex.server.guard import Guard
from telex.wire.encode import encode
from telex.wire.packets import (
    Auth,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    Will,
)
from telex.wire.properties import Properties
from tests.access.services import WebService, never, says
from tests.certificates import Authority
from tests.processes import mosquitto
from tests.shell.knocking import (
    SCRAM,
    Porter,
    Verdict,
    config,
    ends_scram,
    here,
    inside,
    knocks,
    knocks_by_scram,
    knocks_by_websocket,
    password_file,
    porter,
    ports,
    reached,
    tls_of,
    trusting,
    until,
    who,
)

SECRET = "0123456789abcdef0123456789abcdef"
NO = ReasonCode.NOT_AUTHORIZED
BANNED = ReasonCode.BANNED


def token_file(tmp_path: Path) -> str:
    path = tmp_path / "jwt.secret"
    path.write_text(SECRET)
    return str(path)


def token(user: str, seconds: float = 3_600, **claims: object) -> str:
    return jwt.encode({"sub": user, "exp": time.time() + seconds, **claims}, SECRET, "HS256")


async def nobody(applicant: Applicant) -> Verdict:
    """Has no opinion."""
    return None


async def everybody(applicant: Applicant) -> Verdict:
    return Admitted(user=applicant.user_name or "")


# Anonymous access


@pytest.mark.parametrize("user", [None, "anybody"])
@pytest.mark.parametrize("version", [3, 4, 5])
async def test_without_ways_of_logging_in_any_name_will_do(user: str | None, version: int) -> None:
    async with telex.Broker(config=config(Access(allow_anonymous=True))) as broker:
        assert await knocks(broker.port, user, "whatever" if user else None, client_id="c", version=version) == 0


@pytest.mark.parametrize(("user", "password"), [(None, None), ("anybody", "whatever")])
async def test_mosquitto_does_the_same(user: str | None, password: str | None) -> None:
    with mosquitto() as server:
        assert await knocks(server.port, user, password, version=4, client_id="c") == 0


@pytest.mark.parametrize(("version", "code"), [(3, 5), (4, 5), (5, 0x87)])
@pytest.mark.parametrize("user", [None, "anybody"])
async def test_where_nobody_may_come_in_nobody_comes_in(user: str | None, version: int, code: int) -> None:
    async with telex.Broker(config=config(Access(allow_anonymous=False))) as broker:
        assert await knocks(broker.port, user, client_id="c", version=version) == code


@pytest.mark.parametrize(
    ("user", "password", "allow_anonymous", "code"),
    [
        ("ann", "secret", True, 0),
        ("ann", "secret", False, 0),
        ("ann", "wrong", True, NO),
        ("ann", None, True, NO),
        ("ann", "", True, NO),
        ("eve", "secret", True, NO),
        ("", "", True, NO),
        (None, None, True, 0),
        (None, None, False, NO),
        (None, "secret", True, 0),
        (None, "secret", False, NO),
    ],
)
async def test_who_gives_a_name_must_be_known_by_it(
    tmp_path: Path, user: str | None, password: str | None, allow_anonymous: bool, code: int
) -> None:
    access = Access(allow_anonymous=allow_anonymous, password_file=password_file(tmp_path / "p", ann="secret"))
    async with telex.Broker(config=config(access)) as broker:
        assert await knocks(broker.port, user, password) == code


async def test_a_loopback_listener_is_open_until_something_names_users(tmp_path: Path) -> None:
    async with telex.Broker(config=config(Access())) as broker:
        assert await knocks(broker.port) == 0
    async with telex.Broker(config=config(Access(password_file=password_file(tmp_path / "p", a="b")))) as broker:
        assert await knocks(broker.port) == NO


# Ways


async def test_a_password_file(tmp_path: Path) -> None:
    users = password_file(tmp_path / "one", ann="secret") and (tmp_path / "one").read_text()
    more = password_file(tmp_path / "two", "argon2id", bob="hidden") and (tmp_path / "two").read_text()
    (tmp_path / "both").write_text(users + more)
    async with telex.Broker(config=config(Access(password_file=str(tmp_path / "both")))) as broker:
        assert await knocks(broker.port, "ann", "secret") == 0
        assert await knocks(broker.port, "bob", "hidden") == 0
        assert await knocks(broker.port, "bob", "secret") == NO


async def test_a_token(tmp_path: Path) -> None:
    access = Access(jwt=[Jwt(keys=token_file(tmp_path), algorithms=["HS256"])])
    async with telex.Broker(config=config(access)) as broker:
        assert await knocks(broker.port, "ann", token("ann")) == 0
        assert await knocks(broker.port, None, token("ann")) == 0
        assert await knocks(broker.port, "eve", token("ann")) == NO
        assert await knocks(broker.port, "ann", token("ann", -1)) == NO
        assert await knocks(broker.port, "ann", "secret") == NO


async def test_a_web_service() -> None:
    service = WebService()
    async with service.running():
        async with telex.Broker(config=config(Access(http=[Http(url=service.url, cache=0)]))) as broker:
            service.answer = says(200, {"result": "allow"})
            assert await knocks(broker.port, "ann", "secret", client_id="c7") == 0
            service.answer = says(200, {"result": "deny"})
            assert await knocks(broker.port, "ann", "secret") == NO
    asked = json.loads(service.bodies[0])
    assert (asked["user"], asked["password"], asked["client_id"]) == ("ann", "secret", "c7")
    assert (asked["address"], asked["listener"]) == ("127.0.0.1", "127.0.0.1:0")


async def test_a_class_of_the_users_own() -> None:
    async def ask(applicant: Applicant) -> Verdict:
        return Admitted(user="ann") if applicant.password == b"sesame" else Denied(reason="no")

    async with telex.Broker(config=config(Access(plugins=[porter(ask)]))) as broker:
        assert Porter.opened == 1
        assert await knocks(broker.port, "x", "sesame") == 0
        assert await knocks(broker.port, "x", "open") == NO
    assert Porter.opened == 0


async def test_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = tls_of(authority.server(), client_certificates="optional", client_ca=str(authority.path), user_from="cn")
    access = Access(acl_file=str(tmp_path / "acl"))
    (tmp_path / "acl").write_text("user ann\ntopic write here\n")
    async with telex.Broker(config=config(access, here(tls=tls))) as broker:
        assert await knocks(broker.port, tls=trusting(authority)) == NO
        assert await knocks(broker.port, "ann", "secret", tls=trusting(authority)) == NO
        # Whatever it says that it is: it is who its certificate names.
        async with inside(broker.port, who("eve"), tls=trusting(authority, authority.client("ann"))) as client:
            await client.send(Publish("here", b"", qos=1, packet_id=1), Publish("there", b"", qos=1, packet_id=2))
            assert await client.receive() == PubAck(1, 0x10)
            assert await client.receive() == PubAck(2, NO)


async def test_scram_without_and_with_a_name_in_connect(tmp_path: Path) -> None:
    users = password_file(tmp_path / "p", "scram-sha-256", ann="secret")
    async with telex.Broker(config=config(Access(password_file=users, scram=True))) as broker:
        for password, user_name, code in [
            ("secret", None, 0),
            ("secret", "ann", 0),
            ("secret", "eve", NO),
            ("wrong", None, NO),
        ]:
            async with reached(broker.port) as client:
                assert await knocks_by_scram(client, "ann", password, user_name=user_name) == code
        assert await knocks(broker.port, "ann", "secret") == 0  # the same line is for passwords as well


@pytest.mark.parametrize("method", [SCRAM, "GS2-KRB5"])
async def test_a_method_that_we_do_not_have_is_said(method: str) -> None:
    async with telex.Broker(config=config(Access(allow_anonymous=True))) as broker, reached(broker.port) as client:
        await client.send(Connect(properties=Properties(authentication_method=method)))
        answer = await client.receive()
        assert getattr(answer, "reason_code", None) == ReasonCode.BAD_AUTHENTICATION_METHOD


async def test_who_authenticates_again_is_nobody_who_chases_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    users = password_file(tmp_path / "p", "scram-sha-256", ann="secret")
    protection = Protection(takeovers=1, takeover_delay=3_600)
    described = config(Access(password_file=users, scram=True), protection=protection)
    async with telex.Broker(config=described) as broker, reached(broker.port) as client:
        assert await knocks_by_scram(client, "ann", "secret", client_id="c") == 0
        for _ in range(5):
            scram = ScramClient([SCRAM], "ann", "secret")
            data = scram.get_client_first().encode()
            await client.send(Auth(0x19, Properties(authentication_method=SCRAM, authentication_data=data)))
            assert await ends_scram(client, scram) == 0
    assert "takeover" not in caplog.text


# The salts of users who are not there


async def salt_of(port: int, user: str) -> bytes:
    async with reached(port) as client:
        first = ScramClient([SCRAM], user, "x").get_client_first().encode()
        said = Properties(authentication_method=SCRAM, authentication_data=first)
        await client.send(Connect(properties=said))
        answer = await client.receive()
        assert isinstance(answer, Auth)
        assert answer.properties is not None
        found = re.search(rb"s=([^,]+),i=(\d+)", answer.properties.authentication_data or b"")
        assert found is not None
        return found[0]


async def test_scram_does_not_say_who_is_known_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = password_file(tmp_path / "p", "scram-sha-256", ann="secret")
    described = config(Access(password_file=users, scram=True), data=str(tmp_path / "data"))
    salts = []
    for _ in range(2):
        async with telex.Broker(config=described) as broker:
            salts.append([await salt_of(broker.port, user) for user in ("ann", "eve", "bob")])
            await broker.reload(described)
            salts.append([await salt_of(broker.port, user) for user in ("ann", "eve", "bob")])
        monkeypatch.setattr("telex.server.access.scram._SECRET", b"of another process")
    assert salts[0] == salts[1] == salts[2] == salts[3]
    assert len(set(salts[0])) == 3
    secret = tmp_path / "data" / "scram.secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(secret.read_bytes()) == 32


async def test_a_secret_that_is_not_whole_is_made_again(tmp_path: Path) -> None:
    users = password_file(tmp_path / "p", "scram-sha-256", ann="secret")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "scram.secret").write_bytes(b"half")
    (tmp_path / "data" / "scram.new").write_bytes(b"a crash left it")
    described = config(Access(password_file=users, scram=True), data=str(tmp_path / "data"))
    async with telex.Broker(config=described) as broker:
        assert await salt_of(broker.port, "eve")
    assert len((tmp_path / "data" / "scram.secret").read_bytes()) == 32
    assert not (tmp_path / "data" / "scram.new").exists()


# Their order


async def test_the_first_way_that_has_an_opinion_decides(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    asked: list[str] = []
    verdicts: dict[str, Verdict] = {}

    def asks(name: str) -> object:
        async def ask(applicant: Applicant) -> Verdict:
            asked.append(name)
            return verdicts.get(name)

        return ask

    service = WebService()
    service.answer = says(200, {"result": "ignore"})
    async with service.running():
        access = Access(
            password_file=password_file(tmp_path / "p", ann="secret"),
            jwt=[Jwt(keys=token_file(tmp_path), algorithms=["HS256"])],
            http=[Http(url=service.url, cache=0)],
            plugins=[porter(asks("first")), porter(asks("second"))],  # type: ignore[arg-type]
        )
        tls = tls_of(authority.server(), client_certificates="optional", client_ca=str(authority.path), user_from="cn")
        async with telex.Broker(config=config(access, here(), here(tls=tls))) as broker:
            plain, secure = ports(broker)
            assert await knocks(plain, "ann", "secret") == 0
            assert (len(service.asked), asked) == (1, ["first", "second"])
            verdicts["second"] = Denied(reason="the last word")
            assert await knocks(plain, "ann", "secret") == NO
            assert (len(service.asked), asked) == (2, ["first", "second"] * 2)
            verdicts["first"] = Admitted(user="ann")
            assert await knocks(plain, "ann", "wrong") == 0
            assert (len(service.asked), asked) == (3, ["first", "second"] * 2 + ["first"])
            service.answer = says(200, {"result": "deny"})
            assert await knocks(plain, "ann", "secret") == NO
            assert (len(service.asked), len(asked)) == (4, 5)
            assert await knocks(plain, "ann", token("ann")) == 0
            assert await knocks(plain, "ann", token("ann", -1)) == NO
            context = trusting(authority, authority.client("ann"))
            assert await knocks(secure, tls=context) == 0
            assert (len(service.asked), len(asked)) == (4, 5)


async def test_a_service_that_is_down_lets_in_nobody_unless_it_is_to_pass(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/door"  # nothing listens there
    users = password_file(tmp_path / "p", ann="secret")
    async with telex.Broker(config=config(Access(password_file=users, http=[Http(url=url)]))) as broker:
        assert await knocks(broker.port, "ann", "secret") == NO
    passing = Http(url=url, when_down="pass")
    async with telex.Broker(config=config(Access(password_file=users, http=[passing]))) as broker:
        assert await knocks(broker.port, "ann", "secret") == 0
        assert await knocks(broker.port, "eve", "secret") == NO


# Each listener


async def test_each_listener_has_rules_of_its_own_for_who_comes_in(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.server()
    path = str(tmp_path / "s")
    strict = Access(allow_anonymous=False, password_file=password_file(tmp_path / "p", bob="hidden"))
    listeners = [
        here(),
        here(access=Access(allow_anonymous=True)),
        here(access=strict, protocol="websocket"),
        here(access=strict, tls=tls_of(server)),
        here(access=strict, tls=tls_of(server), protocol="websocket"),
        telex.server.config.Listener(path=path, access=strict),
    ]
    access = Access(password_file=password_file(tmp_path / "q", ann="secret"))
    async with telex.Broker(config=config(access, *listeners)) as broker:
        ann, anybody, websocket, secure, both = (
            ports(broker)[:5]
            if len(broker.addresses) == 5
            else [int(address.rpartition(":")[2]) for address in broker.addresses if "unix" not in address]
        )
        context = trusting(authority)
        assert await knocks(ann, "ann", "secret") == 0
        assert await knocks(ann, "bob", "hidden") == NO
        assert await knocks(anybody, "bob", "whatever") == 0
        for user, password, code in [("bob", "hidden", 0), ("bob", "x", NO), ("ann", "secret", NO), (None, None, NO)]:
            assert await knocks_by_websocket(websocket, user, password) == code
            assert await knocks(secure, user, password, tls=context) == code
            assert await knocks_by_websocket(both, user, password, tls=context) == code
            assert await knocks(path, user, password) == code


async def test_listeners_with_equal_rules_share_what_they_need(tmp_path: Path) -> None:
    access = Access(plugins=[porter(everybody)])
    described = config(access, here(), here(), here(access=Access(allow_anonymous=True)), here())
    async with telex.Broker(config=described) as broker:
        assert Porter.opened == 1
        assert [await knocks(port, "ann") for port in ports(broker)] == [0, 0, 0, 0]
        await broker.reload(described)
        assert Porter.opened == 1
    assert Porter.opened == 0


async def test_a_client_id_goes_across_listeners_and_each_has_its_rules(tmp_path: Path) -> None:
    one = Access(allow_anonymous=True, rules=[Rule(allow=["publish"], topics=["one"]), Rule(deny=["publish"])])
    two = Access(allow_anonymous=True, rules=[Rule(allow=["publish"], topics=["two"]), Rule(deny=["publish"])])
    async with telex.Broker(config=config(None, here(access=one), here(access=two))) as broker:
        first, second = ports(broker)
        async with inside(first, Connect("c")) as former, inside(second, Connect("c")) as client:
            assert await former.receive() == Disconnect(ReasonCode.SESSION_TAKEN_OVER)
            await client.send(Publish("two", b"", qos=1, packet_id=1), Publish("one", b"", qos=1, packet_id=2))
            assert await client.receive() == PubAck(1, 0x10)
            assert await client.receive() == PubAck(2, NO)


@pytest.mark.parametrize(
    ("versions", "codes"),
    [
        (["5.0"], [1, 1, 0]),
        (["3.1.1"], [1, 0, 0x84]),
        (["3.1", "3.1.1"], [0, 0, 0x84]),
    ],
)
async def test_a_listener_may_take_some_versions_only(versions: list[str], codes: list[int]) -> None:
    async with telex.Broker(config=config(None, here(versions=versions))) as broker:
        assert [await knocks(broker.port, client_id="c", version=version) for version in (3, 4, 5)] == codes


@pytest.mark.parametrize(("version", "refused"), [(4, 2), (5, 0x85)])
async def test_client_ids_may_have_to_begin_with_a_prefix(version: int, refused: int) -> None:
    access = Access(client_id_prefixes=["sensor-", "auto-"])
    async with telex.Broker(config=config(access)) as broker:
        assert await knocks(broker.port, client_id="sensor-1", version=version) == 0
        assert await knocks(broker.port, client_id="Sensor-1", version=version) == refused
        assert await knocks(broker.port, client_id="sensor", version=version) == refused
        assert await knocks(broker.port, client_id="", version=version) == 0  # it is given one that fits
    async with telex.Broker(config=config(Access(client_id_prefixes=["sensor-"]))) as broker:
        assert await knocks(broker.port, client_id="", version=version) == refused


async def test_the_user_name_may_be_the_client_id(tmp_path: Path) -> None:
    access = Access(allow_anonymous=True, password_file=password_file(tmp_path / "p", ann="secret", bob="hidden"))
    async with telex.Broker(config=config(access, here(user_name_is_client_id=True))) as broker:
        assert await knocks(broker.port, client_id="c") == NO
        async with inside(broker.port, who("ann", "secret", client_id="x")) as ann:
            assert list(broker.engine.sessions) == ["ann"]
            # Nobody can take ann's place by calling itself so.
            async with inside(broker.port, who("bob", "hidden", client_id="ann")):
                assert sorted(broker.engine.sessions) == ["ann", "bob"]
            await ann.send(PingReq())
            assert await ann.receive() == PingResp()


async def test_the_name_of_a_certificate_may_be_the_client_id(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = tls_of(authority.server(), client_certificates="required", client_ca=str(authority.path), user_from="cn")
    async with telex.Broker(config=config(None, here(tls=tls, user_name_is_client_id=True))) as broker:
        context = trusting(authority, authority.client("ann"))
        for connect in (Connect("x"), who("eve", client_id="eve")):
            async with inside(broker.port, connect, tls=context):
                assert list(broker.engine.sessions) == ["ann"]


async def test_a_client_id_that_we_give_counts_in_rules() -> None:
    access = Access(
        rules=[Rule(allow=["publish", "subscribe", "receive"], topics=["{client}/#"]), Rule(deny=["publish"])]
    )
    async with telex.Broker(config=config(access, here(client_id_prefix="given-"))) as broker:
        async with inside(broker.port, Connect("")) as client:
            assert client.connack.properties is not None
            given = client.connack.properties.assigned_client_identifier
            assert given is not None
            assert given.startswith("given-")
            await client.send(Publish(f"{given}/x", b"", qos=1, packet_id=1), Publish("/x", b"", qos=1, packet_id=2))
            assert await client.receive() == PubAck(1, 0x10)
            assert await client.receive() == PubAck(2, NO)


async def test_each_listener_has_limits_of_its_own() -> None:
    limits = telex.server.config.ListenerLimits(maximum_qos=1, maximum_packet_size=1_000, receive_maximum=7)
    async with telex.Broker(config=config(None, here(), here(limits=limits))) as broker:
        wide, narrow = ports(broker)
        async with inside(wide) as client:
            said = client.connack.properties or Properties()
            assert (said.maximum_qos, said.receive_maximum) != (1, 7)
        async with inside(narrow) as client:
            said = client.connack.properties or Properties()
            assert (said.maximum_qos, said.maximum_packet_size, said.receive_maximum) == (1, 1_000, 7)
            await client.send(Publish("a", bytes(2_000)))
            assert await client.receive() == Disconnect(ReasonCode.PACKET_TOO_LARGE)


# What they may do


async def test_strangers_may_not_subscribe_to_everything(tmp_path: Path) -> None:
    access = Access(allow_anonymous=True, password_file=password_file(tmp_path / "p", ann="secret"))
    protection = Protection(strangers_may_use_hash=False)
    filters = ["#", "+/#", "+/+/#", "$share/g/#", "a/#", "+", "+/+", "$SYS/#"]
    requests = Subscribe(1, [SubscriptionRequest(each, 0) for each in filters])
    async with telex.Broker(config=config(access, protection=protection)) as broker:
        async with inside(broker.port) as stranger:
            await stranger.send(requests)
            assert await stranger.receive() == SubAck(1, [NO, NO, NO, NO, 0, 0, 0, 0])
        async with inside(broker.port, who("ann", "secret")) as ann:
            await ann.send(requests)
            assert await ann.receive() == SubAck(1, [0] * 8)
    # Where nobody checks names, one makes no acquaintance.
    async with telex.Broker(config=config(Access(allow_anonymous=True), protection=protection)) as broker:
        async with inside(broker.port, who("ann", "made up")) as stranger:
            await stranger.send(requests)
            assert await stranger.receive() == SubAck(1, [NO, NO, NO, NO, 0, 0, 0, 0])


async def test_a_will_that_may_not_be_published_keeps_its_client_out(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic write good\n")
    async with telex.Broker(config=config(Access(acl_file=str(tmp_path / "acl")))) as broker:
        for topic, code in [("good", 0), ("bad", NO)]:
            async with reached(broker.port) as client:
                await client.send(Connect("c", will=Will(topic)))
                answer = await client.receive()
                assert getattr(answer, "reason_code", None) == code


async def test_rights_may_come_with_a_token_and_end_with_it(tmp_path: Path) -> None:
    access = Access(jwt=[Jwt(keys=token_file(tmp_path), algorithms=["HS256"])], rules=[Rule(deny=["publish"])])
    said = [{"allow": ["publish"], "topics": ["{user}/#"]}, {"deny": ["publish"]}]
    async with telex.Broker(config=config(access)) as broker:
        async with inside(broker.port, who("ann", token("ann", telex=said))) as client:
            await client.send(Publish("ann/x", b"", qos=1, packet_id=1), Publish("bob/x", b"", qos=1, packet_id=2))
            assert await client.receive() == PubAck(1, 0x10)
            assert await client.receive() == PubAck(2, NO)
        async with inside(broker.port, who("ann", token("ann"))) as client:
            await client.send(Publish("ann/x", b"", qos=1, packet_id=1))
            assert await client.receive() == PubAck(1, NO)


async def test_who_has_a_token_goes_when_that_expires(tmp_path: Path) -> None:
    access = Access(allow_anonymous=True, jwt=[Jwt(keys=token_file(tmp_path), algorithms=["HS256"])])
    connects = [Connect("a"), who("ann", token("ann")), who("ann", token("ann"), client_id="c", version=4)]
    for connect in connects:
        connect.keep_alive = 0
    async with telex.Broker(config=config(access)) as broker, inside(broker.port, connects[0]) as other:
        async with inside(broker.port, connects[1]) as five, inside(broker.port, connects[2]) as four:
            soon = time.time()
            broker.engine.tick(soon + 3_590)
            broker.flush()
            for client in (other, five, four):
                await client.send(PingReq())
                assert await client.receive() == PingResp()
            broker.engine.tick(soon + 3_602)
            broker.flush()
            assert await five.receive() == Disconnect(ReasonCode.MAXIMUM_CONNECT_TIME)
            assert await five.receive() is None
            assert await four.receive() is None
            await other.send(PingReq())
            assert await other.receive() == PingResp()


async def test_who_leaves_before_its_token_expires_leaves_nothing_behind(tmp_path: Path) -> None:
    access = Access(jwt=[Jwt(keys=token_file(tmp_path), algorithms=["HS256"])])
    async with telex.Broker(config=config(access)) as broker:
        for _ in range(3):
            async with inside(broker.port, who("ann", token("ann"), client_id="c")):
                pass
        async with inside(broker.port, who("ann", token("ann"), client_id="c")):
            async with inside(broker.port, who("ann", token("ann"), client_id="c")):
                pass
        await until(lambda: not broker.connection_count)
        assert len(broker.engine.deadlines) == 0


# Bans


@pytest.mark.parametrize(("version", "no", "banned"), [(4, 5, 5), (5, NO, BANNED)])
async def test_after_failed_logins_a_user_is_banned_from_its_address(
    tmp_path: Path, version: int, no: int, banned: int
) -> None:
    access = Access(allow_anonymous=True, password_file=password_file(tmp_path / "p", ann="secret", bob="hidden"))
    protection = Protection(ban_after=3, ban_seconds=3_600)
    async with telex.Broker(config=config(access, protection=protection)) as broker:

        async def ann(password: str) -> int | None:
            return await knocks(broker.port, "ann", password, client_id="c", version=version)

        assert [await ann("wrong") for _ in range(4)] == [no, no, no, banned]
        assert await ann("secret") == banned
        assert await knocks(broker.port, "bob", "hidden", client_id="d", version=version) == 0
        assert await knocks(broker.port, client_id="e", version=version) == 0


async def test_a_good_login_forgives_slips_of_the_finger(tmp_path: Path) -> None:
    access = Access(password_file=password_file(tmp_path / "p", ann="secret"))
    async with telex.Broker(config=config(access, protection=Protection(ban_after=3, ban_seconds=3_600))) as broker:
        for _ in range(3):
            assert [await knocks(broker.port, "ann", said) for said in ("x", "y", "secret")] == [NO, NO, 0]


async def test_whoever_tries_many_names_is_kept_out_as_an_address(tmp_path: Path) -> None:
    access = Access(allow_anonymous=True, password_file=password_file(tmp_path / "p", ann="secret"))
    async with telex.Broker(config=config(access, protection=Protection(ban_after=1, ban_seconds=3_600))) as broker:
        assert [await knocks(broker.port, f"user{number}", "x") for number in range(5)] == [NO] * 5
        assert await knocks(broker.port, "ann", "secret") is None  # not even a word


async def test_scram_bans_whom_the_client_names(tmp_path: Path) -> None:
    users = password_file(tmp_path / "p", "scram-sha-256", ann="secret", bob="hidden")
    access = Access(allow_anonymous=True, password_file=users, scram=True)
    async with telex.Broker(config=config(access, protection=Protection(ban_after=2, ban_seconds=3_600))) as broker:
        for password, code in [("x", NO), ("y", NO), ("secret", BANNED)]:
            async with reached(broker.port) as client:
                assert await knocks_by_scram(client, "ann", password) == code
        assert await knocks(broker.port, "ann", "secret") == BANNED
        assert await knocks(broker.port) == 0
        async with reached(broker.port) as client:
            assert await knocks_by_scram(client, "bob", "hidden") == 0


async def test_a_ban_holds_for_those_who_wait_for_their_turn() -> None:
    asked: list[str] = []
    answers = asyncio.Event()

    async def ask(applicant: Applicant) -> Verdict:
        asked.append(applicant.client_id)
        if applicant.client_id != "0":
            await answers.wait()
        return Denied(reason="wrong password")

    protection = Protection(ban_after=1, ban_seconds=3_600)
    async with telex.Broker(config=config(Access(plugins=[porter(ask)]), protection=protection)) as broker:
        waiting = [asyncio.ensure_future(knocks(broker.port, "ann", "x", client_id=str(n))) for n in range(1, 11)]
        other = asyncio.ensure_future(knocks(broker.port, "bob", "x", client_id="other"))
        await until(lambda: len(asked) == 11)
        assert await knocks(broker.port, "ann", "x", client_id="0") == NO
        assert await asyncio.gather(*waiting) == [BANNED] * 10
        answers.set()
        assert await other == NO


async def test_a_thousand_wrong_logins_cost_few_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = password_file(tmp_path / "p", ann="secret", bob="hidden")
    access = Access(password_file=users)
    protection = Protection(ban_after=5, ban_seconds=3_600)
    hashed = 0
    from telex.server.access.passwords import Pbkdf2Sha512

    verify = Pbkdf2Sha512.verify

    def counting(self: Pbkdf2Sha512, password: bytes) -> bool:
        nonlocal hashed
        hashed += 1
        return verify(self, password)

    monkeypatch.setattr(Pbkdf2Sha512, "verify", counting)
    async with telex.Broker(config=config(access, protection=protection)) as broker:
        for _ in range(10):
            codes = await asyncio.gather(*(knocks(broker.port, "ann", f"x{number}") for number in range(100)))
            assert set(codes) <= {NO, BANNED}
        assert hashed <= 10
        assert await knocks(broker.port, "bob", "hidden") == 0


async def test_bans_are_forgiven_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(password_file=password_file(tmp_path / "p", ann="secret"))
    later = 0.0
    banned_until = Guard.banned_until
    monkeypatch.setattr(
        Guard,
        "banned_until",
        lambda guard, host, user, now: max(0, banned_until(guard, host, user, now + later) - later),
    )
    async with telex.Broker(config=config(access, protection=Protection(ban_after=2, ban_seconds=600))) as broker:
        assert [await knocks(broker.port, "ann", said) for said in ("x", "y", "secret")] == [NO, NO, BANNED]
        later = 590
        assert await knocks(broker.port, "ann", "secret") == BANNED
        later = 601
        assert await knocks(broker.port, "ann", "secret") == 0


# Clients that chase each other


async def test_a_takeover_storm_is_told_once_and_slowed_down(caplog: pytest.LogCaptureFixture) -> None:
    protection = Protection(takeovers=3, takeover_delay=3_600)
    async with telex.Broker(config=config(None, protection=protection)) as broker:
        clients = []
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writer.write(encode(Connect("c"), 5))
            clients.append((reader, writer))
            if len(clients) < 5:
                assert (await reader.read(2))[:1] == b"\x20"
        # The fifth would be the fourth takeover within a minute: it has to wait, and the fourth client stays.
        await until(lambda: "takeover storm" in caplog.text)
        assert broker.engine.stats.connections_opened == 4
        async with inside(broker.port, Connect("d")) as other:  # others have nothing to do with it
            await other.send(PingReq())
            assert await other.receive() == PingResp()
        late = asyncio.ensure_future(knocks(broker.port, client_id="c"))
        await until(lambda: broker._guard.counts.delayed_takeovers == 2)
        assert broker.engine.stats.connections_opened == 5
        late.cancel()
        for _, writer in clients:
            writer.close()
        await until(lambda: not broker.connection_count)
        await until(lambda: not [task for task in asyncio.all_tasks() if "_let_in_later" in repr(task)])
    [line] = [record.getMessage() for record in caplog.records if "takeover storm" in record.getMessage()]
    assert line.count("127.0.0.1:") == 2
    assert "client=c" in line


async def test_who_waits_in_a_storm_comes_in_at_last(caplog: pytest.LogCaptureFixture) -> None:
    async with telex.Broker(config=config(None, protection=Protection(takeovers=1, takeover_delay=0.05))) as broker:
        async with inside(broker.port, Connect("c")), inside(broker.port, Connect("c")) as second:
            async with inside(broker.port, Connect("c")) as third:
                assert await second.receive() == Disconnect(ReasonCode.SESSION_TAKEN_OVER)
                await third.send(PingReq())
                assert await third.receive() == PingResp()


async def test_who_may_not_come_in_takes_nobodys_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    access = Access(password_file=password_file(tmp_path / "p", ann="secret"))
    protection = Protection(takeovers=1, takeover_delay=3_600)
    async with telex.Broker(config=config(access, protection=protection)) as broker:
        async with inside(broker.port, who("ann", "secret", client_id="c")) as ann:
            for _ in range(5):
                assert await knocks(broker.port, "ann", "wrong", client_id="c") == NO
            await ann.send(PingReq())
            assert await ann.receive() == PingResp()
    assert "takeover" not in caplog.text


# Rates and numbers


async def test_who_brings_too_much_is_slowed_down_and_then_sent_away() -> None:
    protection = Protection(messages_per_second=50, patience=0.2)
    async with telex.Broker(config=config(None, protection=protection)) as broker:
        async with inside(broker.port) as loud, inside(broker.port) as quiet:

            async def floods() -> None:
                while True:
                    await loud.send(Publish("a", bytes(20_000)))

            flood = asyncio.ensure_future(floods())
            answer = await loud.receive()
            flood.cancel()
            await asyncio.gather(flood, return_exceptions=True)
            assert answer == Disconnect(ReasonCode.MESSAGE_RATE_TOO_HIGH)
            assert broker._guard.counts.slowed_reads > 0
            await quiet.send(Publish("a", b"x", qos=1, packet_id=1))
            assert await quiet.receive() == PubAck(1, 0x10)


async def test_a_burst_is_worked_off_and_nobody_is_sent_away_for_it() -> None:
    protection = Protection(messages_per_second=100, patience=0)
    async with telex.Broker(config=config(None, protection=protection)) as broker, inside(broker.port) as client:
        await client.send(*(Publish("a", b"x", qos=1, packet_id=number) for number in range(1, 120)))
        for number in range(1, 120):
            assert await client.receive() == PubAck(number, 0x10)


async def test_there_are_as_many_connections_as_are_allowed(caplog: pytest.LogCaptureFixture) -> None:
    protection = Protection(max_connections=4, max_connections_per_address=3)
    described = config(None, here(max_connections=2), here(), protection=protection)
    async with telex.Broker(config=described) as broker:
        small, large = ports(broker)
        async with inside(small), inside(small) as second:
            assert await knocks(small) is None  # the listener's limit
            async with inside(large):
                assert await knocks(large) is None  # the address's
            await until(lambda: broker.connection_count == 2)
            second.writer.close()
            await until(lambda: broker.connection_count == 1)
            async with inside(small):
                pass
    assert "max_connections exceeded" in caplog.text
    assert "max_connections_per_address exceeded" in caplog.text


async def test_connections_in_all_are_limited_too() -> None:
    async with telex.Broker(config=config(None, here(), here(), protection=Protection(max_connections=2))) as broker:
        one, two = ports(broker)
        async with inside(one), inside(two):
            assert await knocks(one) is None
            assert await knocks(two) is None
            assert await knocks_or_none(two) is None
        await until(lambda: broker.connection_count == 0)
        assert await knocks(one) == 0


async def knocks_or_none(port: int) -> int | None:
    try:
        return await knocks(port)
    except ConnectionError:
        return None


# Those who leave, or time, while somebody decides about them


async def test_who_leaves_before_it_is_decided_about_is_not_decided_about() -> None:
    begun = asyncio.Event()
    cancelled: list[str] = []

    async def ask(applicant: Applicant) -> Verdict:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(applicant.client_id)
            raise
        raise AssertionError

    async with telex.Broker(config=config(Access(plugins=[porter(ask)]))) as broker:
        async with reached(broker.port) as client:
            await client.send(Connect("c"))
            await begun.wait()
        await until(lambda: cancelled == ["c"])
        await until(lambda: not broker.connection_count)


async def test_who_is_not_decided_about_in_time_is_sent_away_and_forgotten() -> None:
    cancelled = asyncio.Event()

    async def ask(applicant: Applicant) -> Verdict:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    described = config(Access(plugins=[porter(ask)]), limits={"connect_timeout": 1})
    async with telex.Broker(config=described) as broker, reached(broker.port) as client:
        await client.send(Connect("c"))
        assert await client.receive() is None
        await cancelled.wait()


async def test_what_a_client_sends_before_its_answer_is_kept_for_after_it(tmp_path: Path) -> None:
    access = Access(password_file=password_file(tmp_path / "p", ann="secret"))
    async with telex.Broker(config=config(access)) as broker, reached(broker.port) as client:
        await client.send(who("ann", "secret"), *(Publish("a", bytes(1_000)) for _ in range(500)), PingReq())
        assert getattr(await client.receive(), "reason_code", None) == 0
        assert await client.receive() == PingResp()
        assert broker.engine.stats.publish_received == 500


async def test_a_fault_in_a_way_keeps_its_client_out_and_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def ask(applicant: Applicant) -> Verdict:
        if applicant.user_name == "trouble":
            raise ZeroDivisionError
        return Admitted(user="x")

    async with telex.Broker(config=config(Access(plugins=[porter(ask)]))) as broker:
        assert await knocks(broker.port, "trouble") == NO
        assert await knocks(broker.port, "ann") == 0
    assert "plugin failed" in caplog.text


async def test_a_broker_stops_while_logins_are_under_way(tmp_path: Path) -> None:
    service = WebService()
    service.answer = never
    async with service.running():
        users = password_file(tmp_path / "p", ann="secret")
        access = Access(http=[Http(url=service.url, cache=0)], password_file=users)
        before = asyncio.all_tasks()
        async with telex.Broker(config=config(access)) as broker:
            knocking = [asyncio.ensure_future(knocks(broker.port, "ann", f"p{number}")) for number in range(20)]
            await until(lambda: len(service.asked) == 20)
        assert await asyncio.gather(*knocking) == [ReasonCode.SERVER_UNAVAILABLE] * 20
        await until(lambda: {each for each in asyncio.all_tasks() - before if "telex" in repr(each)} == set())


async def test_a_broker_that_was_stopped_can_hash_again(tmp_path: Path) -> None:
    import threading

    access = Access(password_file=password_file(tmp_path / "p", ann="secret"))
    broker = telex.Broker(config=config(access))
    for _ in range(3):
        async with broker:
            assert await knocks(broker.port, "ann", "secret") == 0
            assert await knocks(broker.port, "ann", "wrong") == NO
        await until(lambda: not [each for each in threading.enumerate() if each.name.startswith("telex-hash")])


def test_a_broker_can_go_on_another_loop(tmp_path: Path) -> None:
    access = Access(password_file=password_file(tmp_path / "p", ann="secret"))
    broker = telex.Broker(config=config(access))

    async def once() -> None:
        async with broker:
            assert await knocks(broker.port, "ann", "secret") == 0
            await asyncio.gather(broker.reload(broker.config), broker.reload(broker.config))

    for _ in range(2):
        asyncio.run(once())


async def test_clients_that_come_while_listeners_open_are_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second listener takes its time: those who come by the first meanwhile are let in."""
    from telex.server.doors import Door

    first_is_open = asyncio.Event()
    go_on = asyncio.Event()
    opens = Door.open
    opened: list[Door] = []

    async def slow(door: Door) -> None:
        if opened:
            first_is_open.set()
            await go_on.wait()
        opened.append(door)
        await opens(door)

    monkeypatch.setattr(Door, "open", slow)
    broker = telex.Broker(config=config(Access(allow_anonymous=True), here(), here()))
    start = asyncio.ensure_future(broker.start())
    await first_is_open.wait()
    assert await knocks(opened[0].port) == 0
    go_on.set()
    await start
    await broker.stop()


async def test_denials_are_told_with_client_user_address_topic_and_rule(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    access = Access(
        password_file=password_file(tmp_path / "p", ann="secret"),
        rules=[Rule(deny=["publish"], topics=["secret/#"]), Rule(allow=["publish", "subscribe", "receive"])],
    )
    async with telex.Broker(config=config(access)) as broker:
        async with inside(broker.port, who("ann", "secret", client_id="c7")) as client:
            await client.send(Publish("secret/x", b"", qos=1, packet_id=1))
            assert await client.receive() == PubAck(1, NO)
    [line] = [record.getMessage() for record in caplog.records if "secret/x" in record.getMessage()]
    for part in ("c7", "ann", "127.0.0.1:", "secret/x", "rule"):
        assert part in line
    assert "password" not in caplog.text.replace("password_file", "")
