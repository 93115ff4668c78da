"""The life of a client: its constructor, its connections, and its end. The server is played by the test."""

import asyncio
import gc
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from telex.client.aio import Client, Connected, Lost
from telex.client.reconnect import Reconnect
from telex.client.will import Will
from telex.errors import MqttError, NotConnected, Refused, Timeout, Untrusted
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Connect, Disconnect, Publish, SubAck, Subscribe
from telex.wire.properties import Properties
from tests.client.table import HANG_UP, SECONDS, SILENCE, Table, nothing_is_left, turns

SOON = Reconnect(first=0.001, most=0.002)
FOR_EVER = 0xFFFF_FFFF


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0)


def connects(table: Table) -> list[Connect]:
    return [side.connect for side in table.sides if side.connect is not None]


def said(connect: Connect) -> Properties:
    assert connect.properties is not None
    return connect.properties


# The constructor


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"address": "http://x"}, "http"),
        ({"version": "4"}, "version '4': expected '5', '3.1.1' or '3.1'"),
        ({"session_expiry_interval": 60}, "session_expiry_interval needs a client_id: it is the session's name"),
        ({"session_expiry_interval": -1, "client_id": "c"}, "expected seconds from 0 to math.inf"),
        ({"session_expiry_interval": math.nan, "client_id": "c"}, "expected seconds from 0 to math.inf"),
        ({"on_error": "ignore"}, "on_error 'ignore': expected 'log', 'stop' or 'raise'"),
        ({"keep_alive": -1}, "keep.alive"),
        ({"keep_alive": 65_536}, "keep.alive"),
        ({"client_id": "a\0b"}, "client"),
        ({"receive_maximum": 0}, "receive.maximum"),
        ({"receive_maximum": 65_536}, "receive.maximum"),
        ({"maximum_packet_size": 0}, "maximum.packet.size"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"connect_timeout": math.nan}, "connect_timeout"),
        ({"most_in_flight": 0}, "most_in_flight"),
        ({"proxy": "ftp://x"}, "proxy"),
        ({"websocket_headers": {"X": "y"}}, "websocket_headers: there is no WebSocket with"),
    ],
)
def test_what_cannot_be_is_told_when_the_client_is_made(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=f"(?i){match}"):
        Client(**options)


def test_a_client_needs_no_loop_to_be_made() -> None:
    client = Client("mqtt://user:secret@localhost", client_id="c")
    assert (client.is_connected, client.client_id, client.version) == (False, "c", "5")
    assert client.server == Properties()


async def test_all_of_the_constructor_stands_in_connect() -> None:
    table = Table(name="mqtt://user:secret@table")
    will = Will("gone", "bye", qos=1, retain=True, will_delay_interval=3)
    async with Client(
        table,
        client_id="c",
        keep_alive=7,
        session_expiry_interval=90.5,
        clean_start=True,
        will=will,
        receive_maximum=10,
        maximum_packet_size=1_000,
        topic_alias_maximum=3,
        request_response_information=True,
        request_problem_information=False,
        user_properties={"k": "v"},
    ):
        assert connects(table) == [
            Connect(
                "c",
                clean_start=True,
                keep_alive=7,
                will=will.packet(),
                user_name="user",
                password=b"secret",
                properties=Properties(
                    session_expiry_interval=91,
                    receive_maximum=10,
                    maximum_packet_size=1_000,
                    topic_alias_maximum=3,
                    request_response_information=1,
                    request_problem_information=0,
                    user_properties=(("k", "v"),),
                ),
            )
        ]


async def test_user_and_password_take_the_place_of_those_in_the_address() -> None:
    table = Table(name="mqtt://user:secret@table")
    async with Client(table, user="other", password="word"):
        assert (connects(table)[0].user_name, connects(table)[0].password) == ("other", b"word")


# Versions


@pytest.mark.parametrize("word", [bytes.fromhex("20020001"), ConnAck(0x84), HANG_UP])
async def test_a_broker_that_does_not_speak_mqtt_5_is_spoken_to_in_3_1_1(word: object) -> None:
    table = Table(word)
    async with Client(table, reconnect=None) as client:
        assert [connect.version for connect in connects(table)] == [5, 4]
        assert client.version == "3.1.1"
        assert await client.publish("a", b"", qos=1) == 0
    await nothing_is_left()


@pytest.mark.parametrize("word", [bytes.fromhex("20020001"), ConnAck(0x84), HANG_UP])
async def test_not_if_the_version_is_fixed(word: object) -> None:
    table = Table(word)
    with pytest.raises(MqttError):
        await Client(table, version="5", reconnect=None).__aenter__()
    assert len(table.sides) == 1
    await nothing_is_left()


async def test_silence_on_both_is_a_broker_that_is_not_well_and_5_is_tried_again() -> None:
    table = Table(HANG_UP, HANG_UP, HANG_UP, HANG_UP)
    async with Client(table, reconnect=SOON) as client:
        assert [connect.version for connect in connects(table)] == [5, 4, 5, 4, 5]
        assert client.version == "5"


async def test_who_was_let_in_once_stays_with_that_version() -> None:
    table = Table(ConnAck(0x84))
    async with Client(table, reconnect=SOON):
        table.side.ends()
        await (await table.connection(3)).gets(Connect)
        assert [connect.version for connect in connects(table)] == [5, 4, 4]


async def test_3_1_has_a_client_id_always() -> None:
    table = Table()
    async with Client(table, version="3.1", reconnect=SOON) as client:
        assert client.client_id.startswith("telex-")
        assert len(client.client_id) <= 23
        table.side.ends()
        await table.connection(2)
        assert len({connect.client_id for connect in connects(table)}) == 1


# Sessions


async def test_the_session_lives_as_long_as_the_client() -> None:
    table = Table()
    async with Client(table, client_id="c", reconnect=SOON):
        table.answers.append(ConnAck(session_present=True))
        table.side.ends()
        await (await table.connection(2)).gets(Connect)
        await turns()
    assert [(connect.clean_start, said(connect).session_expiry_interval) for connect in connects(table)] == [
        (True, 300),
        (False, 300),
    ]
    assert table.side.all(Disconnect) == [Disconnect(properties=Properties(session_expiry_interval=0))]


async def test_who_has_no_client_id_has_a_new_session_without_asking_for_it() -> None:
    """Mosquitto does not write to disk the session of a CONNECT with Clean Start 1, however long it is to be kept."""
    table = Table()
    async with Client(table, version="5", reconnect=SOON):
        assert [connect.clean_start for connect in connects(table)] == [False]


@pytest.mark.parametrize(("interval", "seconds"), [(0, 0), (0.5, 1), (60, 60), (1e12, FOR_EVER), (math.inf, FOR_EVER)])
async def test_a_lasting_session_is_taken_up_and_left_as_it_is(interval: float, seconds: int) -> None:
    table = Table(ConnAck(session_present=True))
    async with Client(table, client_id="c", session_expiry_interval=interval):
        assert not connects(table)[0].clean_start
        assert said(connects(table)[0]).session_expiry_interval == seconds
    assert table.side.all(Disconnect) == [Disconnect()]


async def test_clean_start_forgets_it_first_and_not_later() -> None:
    table = Table()
    async with Client(table, client_id="c", session_expiry_interval=60, clean_start=True, reconnect=SOON):
        table.side.ends()
        await (await table.connection(2)).gets(Connect)
    assert [connect.clean_start for connect in connects(table)] == [True, False]


async def test_an_attempt_that_failed_was_not_the_first_connection() -> None:
    table = Table(OSError("away"), HANG_UP)
    async with Client(table, client_id="c", version="5", reconnect=SOON):
        assert [connect.clean_start for connect in connects(table)] == [True, True]


@pytest.mark.parametrize(("keeps", "clean"), [(False, [True, True]), (True, [False, False])])
async def test_before_mqtt_5_a_session_is_clean_or_kept(keeps: bool, clean: list[bool]) -> None:
    table = Table()
    interval = math.inf if keeps else None
    async with Client(table, client_id="c", version="3.1.1", session_expiry_interval=interval, reconnect=SOON):
        table.side.ends()
        await (await table.connection(2)).gets(Connect)
    assert [connect.clean_start for connect in connects(table)] == clean


async def test_before_mqtt_5_a_kept_session_is_wiped_by_a_connection_of_its_own() -> None:
    table = Table()
    options: dict[str, Any] = {"version": "3.1.1", "session_expiry_interval": math.inf, "clean_start": True}
    async with Client(table, client_id="c", reconnect=SOON, **options):
        assert [connect.clean_start for connect in connects(table)] == [True, False]
        assert table.sides[0].all(Disconnect) == [Disconnect()]
        table.side.ends()
        await (await table.connection(3)).gets(Connect)
        assert [connect.clean_start for connect in connects(table)] == [True, False, False]


async def test_the_name_that_the_broker_has_chosen_is_kept() -> None:
    table = Table(ConnAck(properties=Properties(assigned_client_identifier="auto-1")))
    async with Client(table, reconnect=SOON) as client:
        assert client.client_id == "auto-1"
        table.side.ends()
        await (await table.connection(2)).gets(Connect)
        assert [connect.client_id for connect in connects(table)] == ["", "auto-1"]


# What the server says of itself


async def test_what_the_server_says_is_known_while_there_is_a_connection() -> None:
    limits = Properties(maximum_qos=1, server_keep_alive=5)
    table = Table(ConnAck(properties=limits))
    async with Client(table, reconnect=SOON) as client:
        assert client.server == limits
        table.answers.append(SILENCE)
        table.side.ends()
        assert client.server == Properties()
        side = await table.connection(2)
        await turns()
        assert client.server == Properties()
        side.sends(ConnAck())
        await client.wait_connected()


# Refusals


@pytest.mark.parametrize("code", [0x81, 0x82, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x90, 0x95, 0x99, 0x9A, 0x9B])
async def test_a_refusal_that_will_not_change_is_raised(code: int) -> None:
    table = Table(ConnAck(code))
    with pytest.raises(Refused, match=f"the broker refused the connection: 0x{code:02X}") as info:
        await Client(table, reconnect=SOON).__aenter__()
    assert info.value.reason_code == code
    assert len(table.sides) == 1
    await nothing_is_left()


@pytest.mark.parametrize("code", [0x80, 0x83, 0x88, 0x89, 0x97, 0x9F])
async def test_one_that_may_change_is_tried_again(code: int) -> None:
    table = Table(ConnAck(code), ConnAck(code))
    async with Client(table, reconnect=SOON):
        assert len(table.sides) == 3


@pytest.mark.parametrize("code", [2, 4, 5])
async def test_so_it_was_before_mqtt_5(code: int) -> None:
    with pytest.raises(Refused) as info:
        await Client(Table(ConnAck(code)), version="3.1.1", reconnect=SOON).__aenter__()
    assert info.value.reason_code == code
    table = Table(ConnAck(3))
    async with Client(table, version="3.1.1", reconnect=SOON):
        assert len(table.sides) == 2


async def test_after_a_good_connection_every_refusal_is_tried_again() -> None:
    table = Table()
    async with Client(table, reconnect=SOON) as client:
        table.answers.extend([ConnAck(0x87), ConnAck(0x8A)])
        table.side.ends()
        await table.connection(4)
        await client.wait_connected()


async def test_who_was_taken_over_does_not_fight() -> None:
    table = Table()
    lost: list[Lost] = []
    client = Client(table, reconnect=SOON)
    client.on_lost(lost.append)
    async with client, client.subscribe("a") as messages:
        table.side.is_obliging = False
        publishing = asyncio.create_task(client.publish("a", b"", qos=1))
        reading = asyncio.create_task(messages.next())
        await turns()
        table.side.sends(Disconnect(0x8E))
        for task in (publishing, reading, asyncio.create_task(client.publish("b", b""))):
            with pytest.raises(Refused, match="another client has the same client id") as info:
                await task
            assert info.value.reason_code == 0x8E
        with pytest.raises(Refused):
            await client.wait_connected()
    assert len(table.sides) == 1
    assert [each.retry_in for each in lost] == [None]
    await nothing_is_left()


# Not there


async def test_at_the_start_a_broker_that_is_not_there_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    table = Table(OSError("nobody listens there"), NotConnected("the proxy says no"))
    async with Client(table, reconnect=SOON) as client:
        assert client.is_connected
    assert "cannot connect to mqtt://table:1883: nobody listens there; trying again in 0.0 s" in caplog.text


@pytest.mark.parametrize("reconnect", [None, Reconnect(at_start=False)])
async def test_or_that_is_raised(reconnect: Reconnect | None) -> None:
    table = Table(OSError("nobody listens there"))
    with pytest.raises(NotConnected, match="nobody listens there") as info:
        await Client(table, reconnect=reconnect).__aenter__()
    assert isinstance(info.value.__cause__, OSError)
    assert table.attempts == 1
    await nothing_is_left()


async def test_a_broker_that_is_not_to_be_trusted_is_not_tried_again() -> None:
    table = Table(Untrusted("its certificate has expired"))
    with pytest.raises(Untrusted):
        await Client(table, reconnect=SOON).__aenter__()


async def test_without_reconnection_a_loss_is_the_end() -> None:
    table = Table()
    async with Client(table, reconnect=None) as client, client.subscribe("a") as messages:
        table.side.ends("the connection broke: cable")
        with pytest.raises(NotConnected, match="the connection broke: cable"):
            await messages.next()
        await client.wait_closed()
        with pytest.raises(NotConnected, match="cable"):
            await client.publish("a", b"", qos=1)
    await nothing_is_left()


async def test_an_answer_must_come_in_time() -> None:
    table = Table(SILENCE)
    with pytest.raises(Timeout, match=r"no answer from mqtt://table:1883 within 0.01 s"):
        await Client(table, connect_timeout=0.01, reconnect=None).__aenter__()
    assert not table.side.is_open
    table = Table(SILENCE)
    async with Client(table, connect_timeout=0.01, reconnect=SOON):
        assert len(table.sides) == 2
    await nothing_is_left()


# Another server


@pytest.mark.parametrize("code", [0x9C, 0x9D])
async def test_a_server_that_names_another_one_is_followed(code: int) -> None:
    other = Table(name="mqtt://other")
    table = Table(ConnAck(code, properties=Properties(server_reference="other")))
    table.others["other"] = other
    async with Client(table, reconnect=SOON) as client:
        assert client.is_connected
        assert (len(table.sides), len(other.sides)) == (1, 1)


@pytest.mark.parametrize("code", [0x9C, 0x9D])
async def test_also_when_it_says_so_later(code: int) -> None:
    other, table = Table(name="mqtt://other"), Table()
    table.others["other"] = other
    async with Client(table, reconnect=SOON) as client:
        table.side.sends(Disconnect(code, Properties(server_reference="other")))
        assert (await (await other.connection(1)).gets(Connect)).client_id == ""
        await client.wait_connected()


async def test_servers_that_name_each_other_are_not_followed_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    table, other = Table(name="mqtt://one"), Table(name="mqtt://other")
    table.others["x"], other.others["x"] = other, table
    for each in (table, other):
        each.answers.extend([ConnAck(0x9C, properties=Properties(server_reference="x"))] * 100)
    with pytest.raises(Refused):
        await Client(table, reconnect=SOON).__aenter__()
    assert len(table.sides) + len(other.sides) <= 7
    assert "names another server, the 6th in a row: not going there" in caplog.text


async def test_nor_are_those_that_let_us_in_first() -> None:
    table, other = Table(name="mqtt://one"), Table(name="mqtt://other")
    table.others["x"], other.others["x"] = other, table
    lost: list[Lost] = []
    client = Client(table, reconnect=SOON)
    client.on_lost(lost.append)

    @client.on_connected
    def push(event: Connected) -> None:
        for each in (table, other):
            if each.sides and each.side.is_open and each.side.connect is not None:
                each.side.sends(Disconnect(0x9C, Properties(server_reference="x")))

    async with client:
        await until(lambda: len(table.sides) + len(other.sides) > 20)
        assert lost, "it ran in a circle without any wait"


async def test_a_reference_that_cannot_be_followed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    table = Table(ConnAck(0x9C, properties=Properties(server_reference="a:b:c:0")))
    with pytest.raises(Refused), caplog.at_level(logging.ERROR):
        await Client(table, reconnect=SOON).__aenter__()
    assert "the broker names another server in a way that cannot be followed" in caplog.text


# Events


async def test_events_tell_of_connections_and_losses() -> None:
    table = Table(OSError("away"))
    client = Client(table, client_id="c", reconnect=SOON)
    events: list[object] = []

    @client.on_connected
    async def up(event: Connected) -> None:
        events.append((event.client_id, event.version, event.session_present, event.first_time))

    @client.on_lost
    def down(event: Lost) -> None:
        events.append(event.reason)
        assert event.retry_in is not None
        assert 0 < event.retry_in <= 0.002

    async with client:
        await turns()
        table.answers.append(ConnAck(session_present=True))
        table.side.ends("the connection broke: cable")
        await until(lambda: len(events) == 4)
    assert events == ["away", ("c", "5", False, True), "the connection broke: cable", ("c", "5", True, False)]
    await nothing_is_left()


async def test_who_fails_with_an_event_is_logged_and_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(Table())
    told: list[Connected] = []

    @client.on_connected
    def bad(event: Connected) -> None:
        raise RuntimeError("no")

    client.on_connected(told.append)
    async with client:
        await until(lambda: bool(told))
    assert "bad failed with Connected('', session_present=False, first_time=True)" in caplog.text


async def test_who_takes_long_with_an_event_is_not_left_behind() -> None:
    client = Client(Table())

    @client.on_connected
    async def slow(event: Connected) -> None:
        await asyncio.Event().wait()

    async with client:
        await turns()
    await nothing_is_left()


# The end


async def test_close_may_be_called_more_than_once_and_by_many() -> None:
    table = Table()
    async with Client(table) as client:
        await asyncio.gather(*[client.close() for _ in range(3)])
        await client.close()
        assert not client.is_connected
    assert len(table.side.all(Disconnect)) == 1
    await nothing_is_left()


@pytest.mark.parametrize("answers", [[SILENCE], [OSError("away")] * 1000])
async def test_close_while_it_connects(answers: list[Any]) -> None:
    table = Table(*answers)
    client = Client(table, reconnect=Reconnect(first=100, most=100))
    entering = asyncio.create_task(client.__aenter__())
    await turns()
    async with asyncio.timeout(SECONDS):
        await client.close()
    with pytest.raises(NotConnected, match="the client was closed"):
        await entering
    assert not any(side.is_open for side in table.sides)
    await nothing_is_left()


async def test_whoever_is_cancelled_while_it_connects_leaves_nothing() -> None:
    table = Table(SILENCE)
    entering = asyncio.create_task(Client(table).__aenter__())
    await turns()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert not table.side.is_open
    await nothing_is_left()


async def test_a_close_that_is_cancelled_leaves_no_connection() -> None:
    table = Table()
    client = Client(table)
    gate = asyncio.Event()

    @client.on("a")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await gate.wait()

    await client.__aenter__()
    table.side.sends(Publish("a"))
    await turns()
    closing = asyncio.create_task(client.close())
    await turns()
    closing.cancel()
    await turns()
    gate.set()
    await turns()
    assert not table.side.is_open
    await nothing_is_left()


async def test_a_farewell_that_cannot_be_said_ends_nothing() -> None:
    table = Table()
    async with Client(table) as client:
        with pytest.raises(ValueError, match="Disconnect may not carry reason code 5"):
            await client.close(0x05)
        assert await client.publish("a", b"", qos=1) == 0
        await client.close(0x04, session_expiry_interval=7, reason_string="why", user_properties={"k": "v"})
    properties = Properties(session_expiry_interval=7, reason_string="why", user_properties=(("k", "v"),))
    assert table.side.all(Disconnect) == [Disconnect(0x04, properties)]


async def test_what_was_published_at_qos_0_has_left_before_the_end() -> None:
    table = Table()
    async with Client(table) as client:
        for number in range(100):
            await client.publish("a", number)
    assert [packet.payload for packet in table.side.all(Publish)] == [b"%d" % number for number in range(100)]
    assert isinstance(table.side.got[-1], Disconnect)


async def test_before_it_is_entered_nothing_can_be_asked_of_it() -> None:
    client = Client(Table())
    for call in (client.publish("a"), client.wait_connected(), client.unsubscribe("a"), client.request("a")):
        with pytest.raises(NotConnected, match="the client is not in use"):
            await call
    with pytest.raises(NotConnected, match="the client is not in use"):
        await client.subscribe("a").__aenter__()
    await client.close()
    await nothing_is_left()


async def test_after_its_end_neither() -> None:
    async with Client(Table()) as client:
        subscription = client.subscribe("a")
    for call in (client.publish("a"), client.wait_connected(), client.unsubscribe("a"), client.request("a")):
        with pytest.raises(NotConnected, match="the client was closed"):
            await call
    with pytest.raises(NotConnected, match="the client was closed"):
        await subscription.__aenter__()
    await client.wait_closed()
    await nothing_is_left()


async def test_within_its_block_it_cannot_be_entered_again_and_afterwards_it_can() -> None:
    table = Table()
    client = Client(table)
    async with client:
        with pytest.raises(ValueError, match="this client is in use already"):
            await client.__aenter__()
        assert client.is_connected
    async with client, client.subscribe("a") as messages:
        table.side.sends(Publish("a", b"x"))
        assert (await messages.next()).payload == b"x"
    assert len(table.sides) == 2
    await nothing_is_left()


async def test_a_client_is_gone_when_nobody_has_it() -> None:
    def count() -> int:
        gc.collect()
        return sum(isinstance(each, Client) for each in gc.get_objects())

    before = count()
    async with Client(Table()) as client, client.subscribe("a"):
        pass
    del client
    await turns()
    assert count() == before


async def test_no_file_is_open_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    async with Client(Table(), client_id="c", outbox=str(path)) as client:
        await client.publish("a", b"x", qos=1)
    assert [link for link in open_files() if str(tmp_path) in link] == []
    await nothing_is_left()


def open_files() -> list[str]:
    folder = Path("/proc/self/fd")
    found = []
    for each in folder.iterdir() if folder.exists() else ():
        try:
            found.append(str(each.readlink()))
        except OSError:  # it was the iterator's own
            continue
    return found


# Proofs


class Riddler:
    """Asks to be asked twice as much."""

    method = "riddle"

    def __init__(self) -> None:
        self.begun = 0
        self.last_word = b""

    def begin(self) -> bytes:
        self.begun += 1
        return b"I am %d" % self.begun

    def answer(self, challenge: bytes) -> bytes:
        return challenge * 2

    def finish(self, data: bytes) -> None:
        self.last_word = data
        if data == b"wrong":
            raise Refused(0x87, "this is not our broker")


async def test_each_connection_is_authenticated_anew() -> None:
    riddler = Riddler()
    good = ConnAck(properties=Properties(authentication_method="riddle", authentication_data=b"good"))
    table = Table(good, good)
    async with Client(table, authenticator=riddler, reconnect=SOON) as client:
        assert riddler.last_word == b"good"
        first = said(connects(table)[0])
        table.side.ends()
        await (await table.connection(2)).gets(Connect)
        await client.wait_connected()
        second = said(connects(table)[1])
        assert first.authentication_method == second.authentication_method == "riddle"
        assert first.authentication_data != second.authentication_data


async def test_a_broker_that_does_not_prove_itself_is_left() -> None:
    table = Table(ConnAck(properties=Properties(authentication_method="riddle", authentication_data=b"wrong")))
    with pytest.raises(Refused, match="this is not our broker"):
        await Client(table, authenticator=Riddler(), reconnect=SOON).__aenter__()
    assert len(table.sides) == 1
    await nothing_is_left()


async def test_who_has_an_authenticator_does_not_go_back_to_a_version_without() -> None:
    table = Table(ConnAck(0x84))
    with pytest.raises(Refused):
        await Client(table, authenticator=Riddler(), reconnect=None).__aenter__()
    assert len(table.sides) == 1


# Subscribing: what cannot be


@pytest.mark.parametrize(
    ("filters", "options", "match"),
    [
        ((), {}, "needs a topic filter"),
        (("a/#/b",), {}, "must be the last level"),
        (("$share/g/a",), {"no_local": True}, "No Local is not for shared ones"),
        (("a",), {"qos": 3}, "QoS is 3"),
        (("a",), {"retain_handling": 3}, "retain_handling is 3"),
        (("a",), {"queue": 0}, "queue is 0, expected 1 or more"),
        (("a",), {"when_full": "burn"}, "when_full is 'burn'"),
    ],
)
def test_what_cannot_be_subscribed_to(filters: tuple[str, ...], options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Client(Table()).subscribe(*filters, **options)


async def test_what_comes_with_connack_in_one_read_is_not_lost() -> None:
    table = Table(encode(ConnAck(session_present=True), 5) + encode(Publish("a", b"early", 1, packet_id=1), 5))
    async with Client(table, client_id="c", session_expiry_interval=60) as client:
        async with client.subscribe("a", qos=1) as messages:
            assert (await messages.next(SECONDS)).payload == b"early"


async def test_a_subscription_that_is_refused_leaves_the_connection() -> None:
    table = Table(is_obliging=False)
    async with Client(table) as client:
        task = asyncio.create_task(client.subscribe("a").__aenter__())
        packet = await table.side.gets(Subscribe)
        table.side.is_obliging = True
        table.side.sends(SubAck(packet.packet_id, [0x8F], Properties(reason_string="no a here")))
        with pytest.raises(Refused, match=r"to 'a': 0x8F topic filter invalid \(no a here\)"):
            await task
        assert client.is_connected
