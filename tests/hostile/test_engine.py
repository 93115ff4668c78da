"""What a broker answers to each row of the table, and that nobody else notices (section 4.13)."""

import pytest

from telex.codes import MQTT_5
from telex.wire.packets import Packet, PingReq, PingResp, Publish, Subscribe, SubscriptionRequest
from tests.engine.world import Client, Ledger, Manners, World
from tests.hostile.reading import bare, each
from tests.hostile.sequences import CONNECTED, KEEP_ALIVE, NOTHING_SAID, ROWS, WIRE_ROWS, Answer, Row

PINGREQ = bytes.fromhex("c0 00")
TELLING = {3: bytes.fromhex("30 05 00 02 62 79 78"), 4: bytes.fromhex("30 05 00 02 62 79 78")}
TELLING[MQTT_5] = bytes.fromhex("30 06 00 02 62 79 00 78")
"""A valid message for the bystanders, by version."""


class Scene:
    """A broker with two bystanders who talk to each other, and one who has said what the row wants said first."""

    def __init__(self, row: Row, version: int) -> None:
        self.row = row
        self.version = version
        self.world = World(journal=Ledger())
        self.older = self.world.client("bystander of v3.1.1", version=4)
        self.newer = self.world.client("bystander of v5")
        for each_of_them in (self.older, self.newer):
            each_of_them.subscribes("by", "t", qos=2)
        self.hostile = Client(self.world, "hostile", Manners(version=version, acknowledges=False))
        if row.state.is_connected:
            self.hostile.sends(row.state.connect("hostile", version), *row.state.packets)
            came = self.hostile.takes()
            assert len(came) == 1 + row.state.answers, came
        self.logged = len(self.world.diary.reasons)
        self.world.diary.lines.clear()

    @property
    def got(self) -> list[Packet]:
        """What the hostile client got since then."""
        return [bare(packet) for packet in self.hostile.got]

    def says(self, *pieces: bytes) -> None:
        """The hostile client sends these, until its connection ends."""
        stats = self.world.engine.stats
        for piece in pieces:
            if not self.hostile.is_connected:
                return
            before = stats.bytes_received
            self.hostile.connection.receive(piece, self.world.now)
            assert stats.bytes_received == before + len(piece)
            self.world.flush()

    def check(self, *first: Packet) -> None:
        """The answer is that of the row, behind the answers to what was said before it in the same read."""
        answer = self.row.answer
        if not answer.is_whole:
            self._waits_in_vain()
        else:
            assert self.got == [*first, *answer.packets(self.version)]
            assert self.hostile.is_connected is not answer.ends
        self._check_log(answer)
        self._check_stats()
        if self.hostile.is_connected:
            self._goes_on()

    def _waits_in_vain(self) -> None:
        """Half a packet is no packet: the client has the time that silence has [MQTT-3.1.2-22], A1."""
        assert self.got == []
        assert self.hostile.is_connected
        self.world.advance(KEEP_ALIVE * 1.5 + 2)
        assert not self.hostile.is_connected
        told = self.row.state.is_connected and self.version == MQTT_5
        assert [getattr(packet, "reason_code", None) for packet in self.got] == ([0x8D] if told else [])

    def _check_log(self, answer: Answer) -> None:
        """One line for the end of a connection, which names why (pain 24)."""
        reasons = self.world.diary.reasons[self.logged :]
        endings = [line for line in self.world.diary.lines if "disconnected" in line or "refused" in line]
        if self.hostile.is_connected:
            assert (reasons, endings) == ([], [])
            return
        assert (len(reasons), len(endings)) == (1, 1), reasons
        assert reasons[0] != ""
        if answer.reason_code:
            assert f"0x{answer.reason_code:02X}" in reasons[0]

    def _check_stats(self) -> None:
        stats = self.world.engine.stats
        everybody = (self.older, self.newer, self.hostile)
        connected = 2 + self.hostile.is_connected
        assert (stats.sockets_opened, stats.sockets_open) == (3, connected)
        assert stats.clients_connected == connected
        assert stats.packets_sent == sum(len(client.sizes) for client in everybody)
        assert stats.bytes_sent == sum(sum(client.sizes) for client in everybody)
        assert stats.publish_dropped == 0

    def _goes_on(self) -> None:
        self.hostile.takes()
        self.hostile.sends(PingReq())
        assert self.hostile.got == [PingResp()]

    def check_bystanders(self) -> None:
        """They have got what the row published and nothing else, and they still talk to each other."""
        bystanders = (self.older, self.newer)
        for each_of_them in bystanders:
            assert each_of_them.is_connected
            assert [message.topic for message in each_of_them.messages] == ["t"] * self.row.published
            assert len(each_of_them.got) == len(each_of_them.messages) + self._released(each_of_them)
            each_of_them.takes()
        for speaker in bystanders:
            speaker.publishes("by", speaker.name.encode(), qos=2)
            for listener in bystanders:
                assert listener.payloads == [speaker.name.encode()]
                listener.takes()

    def _released(self, client: Client) -> int:
        """PUBRELs that came for its messages."""
        return sum(message.qos == 2 for message in client.messages)


def play(row: Row, version: int, *pieces: bytes, first: tuple[Packet, ...] = ()) -> None:
    """Say these pieces, look at the answer, then at the bystanders."""
    scene = Scene(row, version)
    scene.says(*pieces)
    scene.check(*first)
    scene.check_bystanders()


def in_company(row: Row) -> bool:
    """Whether something valid can come with it in the same read."""
    return row.answer.is_whole and (row.state is not NOTHING_SAID or row.answer.ends)


def played_in_company(row: Row, version: int) -> None:
    """Behind a PINGREQ that is answered, and before a message that nobody gets, in one read."""
    before, first = (PINGREQ, (PingResp(),)) if row.state is not NOTHING_SAID else (b"", ())
    if row.answer.is_whole:
        behind = TELLING[version] if row.answer.ends else b""
        play(row, version, before + row.data + behind, first=first)


@each(ROWS)
def test_a_row_in_one_piece(row: Row, version: int) -> None:  # [MQTT-4.13.1-1] [MQTT-4.13.2-1], M1, M2
    play(row, version, row.data)


@each([row for row in ROWS if row.cut])
def test_a_row_byte_by_byte(row: Row, version: int) -> None:  # section 4.2, M3
    play(row, version, *(row.data[index : index + 1] for index in range(len(row.data))))


@each([row for row in ROWS if in_company(row)])
def test_a_row_behind_what_is_valid_and_before_what_nobody_may_read(row: Row, version: int) -> None:  # M3
    played_in_company(row, version)


@each(WIRE_ROWS)
def test_what_is_no_packet_for_a_decoder_ends_the_connection(row: Row, version: int) -> None:  # M2
    play(row, version, row.data)
    play(row, version, *(row.data[index : index + 1] for index in range(len(row.data))))
    played_in_company(row, version)


def test_the_table_is_as_large_as_it_was_promised() -> None:
    names = [(row.name, row.state.name, version) for row in ROWS for version in row.versions]
    assert len(names) == len(set(names))
    assert len(ROWS) >= 220
    assert all(row.tags for row in ROWS), "each row names the statement or the section that says so"


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_scene_in_which_nobody_is_hostile_is_found_in_order(version: int) -> None:  # else the others prove nothing
    row = Row("nothing", (version,), CONNECTED, "", Answer(ends=False))
    play(row, version, b"")


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_scene_notices_a_bystander_who_was_disturbed(version: int) -> None:  # else the others prove nothing
    scene = Scene(Row("something", (version,), CONNECTED, "", Answer(ends=False)), version)
    scene.hostile.sends(Publish("t", b"x"))
    with pytest.raises(AssertionError):
        scene.check_bystanders()
    scene = Scene(Row("something", (version,), CONNECTED, "", Answer(ends=False)), version)
    scene.newer.sends(Subscribe(7, [SubscriptionRequest("x")]))
    with pytest.raises(AssertionError):
        scene.check_bystanders()
