"""A connection as people see it: who came, from where, with what, and how much went to and fro."""

from collections.abc import Callable

import pytest

from telex.codes import ReasonCode
from telex.engine import seams
from telex.engine.connection import Connection
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.permissions import DENIED
from telex.engine.seams import Gate
from telex.engine.visit import Visit
from telex.wire.encode import encode
from telex.wire.packets import Connect, PingReq, PubAck, PubComp, Publish, PubRec, PubRel, Subscribe, Will
from telex.wire.packets import SubscriptionRequest as Request
from telex.wire.properties import Properties
from tests.engine.world import Client, Granted, LateGate, Ledger, Manners, OneRule, World

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])


def counts(visit: Visit) -> tuple[int, int]:
    """Messages that came and went."""
    return visit.publish_received, visit.publish_sent


class Scales:
    """Weighs all that a client says, and compares its visit with that and with what it got."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._transmit: Callable[[bytes], None] = client._transmit
        client._transmit = self._weigh  # type: ignore[method-assign]
        self.said = client.visit.bytes_received

    def _weigh(self, data: bytes) -> None:
        self.said += len(data)
        self._transmit(data)

    def check(self) -> None:
        """Every byte is counted, once."""
        visit = self.client.visit
        assert visit.bytes_received == self.said
        assert visit.bytes_sent == sum(self.client.sizes)


# Who it is


@VERSIONS
def test_a_visit_knows_who_came_from_where(version: int) -> None:
    world = World()
    client = world.client("c", version=version, user_name="joe", keep_alive=30)
    visit = client.visit
    assert (visit.client_id, visit.user, visit.version, visit.keep_alive) == ("c", "joe", version, 30)
    assert visit.address == "c.test"
    assert visit.began_at == world.now
    assert visit.login is None


def test_a_visit_says_what_the_shell_said_of_its_connection() -> None:
    visit = Visit("192.0.2.1:5000", "192.0.2.1", "tls", "CN=joe")
    assert (visit.address, visit.host, visit.listener, visit.identity) == (
        "192.0.2.1:5000",
        "192.0.2.1",
        "tls",
        "CN=joe",
    )
    world = World()
    world.advance(5)
    Connection(world.engine, object(), visit, world.now)
    assert (visit.client_id, visit.user, visit.version, visit.keep_alive) == ("", "", 0, 0)
    assert visit.began_at == world.now == 1_005.0
    assert (visit.bytes_received, visit.bytes_sent, *counts(visit)) == (0, 0, 0, 0)


def test_a_visit_begins_with_the_connection_and_not_with_connect() -> None:
    world = World(gate=LateGate())
    stranger = world.new_client("c", Manners())
    world.advance(3)
    stranger.sends(stranger.manners.connect("c"))
    world.advance(3)
    world.admits("c")
    assert stranger.connack is not None
    assert stranger.visit.began_at == 1_000.0


def test_the_gate_says_who_the_user_is() -> None:
    class Renaming(Gate):
        def login(self, client: seams.Client, packet: Connect, visit: Visit, now: float) -> None:
            assert (visit.user, visit.client_id, visit.version, visit.keep_alive) == ("joe", "c", 5, 9)
            visit.user = "JOE"
            visit.login = "by heart"
            super().login(client, packet, visit, now)

    client = World(gate=Renaming()).client("c", user_name="joe", keep_alive=9)
    assert (client.visit.user, client.visit.login) == ("JOE", "by heart")


@pytest.mark.parametrize(("version", "prefix"), [(5, ""), (5, "auto-"), (4, "auto-")])
def test_a_client_without_a_name_has_the_one_that_we_gave_it(version: int, prefix: str) -> None:  # [MQTT-3.1.3-6]
    world = World(Options(client_id_prefix=prefix))
    client = world.client("", version=version)
    assert client.visit.client_id == f"{prefix}nameless-1"
    assert list(world.engine.sessions) == [client.visit.client_id]


def test_a_client_without_a_name_has_none_until_it_is_admitted() -> None:
    world = World(gate=LateGate())
    client = world.knocks("")
    assert (client.visit.client_id, client.visit.given_id) == ("", "nameless-1")  # the gate knows what it will be
    world.admits("")
    assert client.visit.client_id == "nameless-1"
    assert world.knocks("c").visit.given_id == ""


@pytest.mark.parametrize(("wished", "longest", "version", "shown"), [(30, 0, 5, 30), (30, 10, 5, 10), (30, 10, 4, 30)])
def test_the_keep_alive_is_the_one_that_holds(wished: int, longest: int, version: int, shown: int) -> None:
    # [MQTT-3.2.2-21]
    client = World(Options(maximum_keep_alive=longest)).client("c", keep_alive=wished, version=version)
    assert client.visit.keep_alive == shown == client.connection.keep_alive


def test_a_client_that_is_refused_is_known_too() -> None:
    world = World(gate=LateGate())
    client = world.knocks("c", user_name="joe", version=4, keep_alive=7)
    world.refuses("c", ReasonCode.NOT_AUTHORIZED)
    visit = client.visit
    assert (visit.client_id, visit.user, visit.version, visit.keep_alive) == ("c", "joe", 4, 7)
    assert visit.bytes_sent == sum(client.sizes) == 4
    assert world.diary.lines == ["c refused at c.test"]


def test_an_observer_meets_the_same_visit_from_beginning_to_end() -> None:
    world = World(gate=OneRule(Granted(publish={"no": DENIED})))
    seen: list[Visit] = []
    diary = world.diary
    diary.connected = lambda visit, packet: seen.append(visit)  # type: ignore[method-assign]
    diary.denied = lambda visit, action, topic, rule: seen.append(visit)  # type: ignore[method-assign]
    diary.disconnected = lambda visit, reason, now: seen.append(visit)  # type: ignore[method-assign]
    client = world.client("c").publishes("no").disconnects()
    assert seen == [client.visit] * 3


# How much


@VERSIONS
def test_every_byte_is_counted_in_both_directions(version: int) -> None:
    world = World()
    client = world.client("c", version=version, user_name="joe", will=Will("w", b"x"))
    connect = encode(client.manners.connect("c"), version)
    assert client.visit.bytes_received == len(connect)
    scales = Scales(client)
    client.subscribes("#", qos=2).sends(PingReq())
    for qos in (0, 1, 2):
        client.publishes("a/b", b"x" * 200, qos=qos, retain=qos == 1)
    client.unsubscribes("#").disconnects()
    scales.check()
    assert counts(client.visit) == (3, 3)


def test_bytes_that_make_no_packet_yet_are_counted() -> None:
    client = World().client("c")
    before = client.visit.bytes_received
    client.sends_bytes(b"\x30")
    assert client.visit.bytes_received == before + 1
    assert counts(client.visit) == (0, 0)


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_the_way_that_bytes_come_changes_no_count(size: int) -> None:
    client = World().client("c").subscribes("a", qos=1)
    before = client.visit.bytes_received
    data = encode(Publish("a", b"x", 1, packet_id=1), 5) * 3
    for start in range(0, len(data), size):
        client._transmit(data[start : start + size])
    client.world.flush()
    assert client.visit.publish_received == 3
    acknowledged = 3 * len(encode(PubAck(1), 5))
    assert client.visit.bytes_received == before + len(data) + acknowledged
    assert client.visit.bytes_sent == sum(client.sizes)


def test_messages_count_and_nothing_else() -> None:
    client = World().client("c")
    client.subscribes("a").sends(PingReq(), PubRec(1), PubRel(2), PubComp(3), PubAck(4)).unsubscribes("a")
    assert counts(client.visit) == (0, 0)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_denied_message_has_come_all_the_same(qos: int) -> None:
    world = World(gate=OneRule(Granted(publish={"no": DENIED})))
    client = world.client("c").sends(Publish("no", b"x", qos, packet_id=1 if qos else 0))
    assert counts(client.visit) == (1, 0)


def test_a_repeated_message_has_come_as_often_as_it_came() -> None:
    client = World().client("c").sends(*[Publish("a", b"x", 2, packet_id=1)] * 3)
    assert counts(client.visit) == (3, 0)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_receiver_counts_its_own_messages(qos: int) -> None:
    world = World()
    one = world.client("one").subscribes("#", qos=2)
    two = world.client("two", version=4).subscribes("a", qos=1)
    none = world.client("none")
    scales = [Scales(each) for each in (one, two, none)]
    for topic in ("a", "a", "b"):
        none.publishes(topic, b"x" * 50, qos=qos)
    world.publishes(Message("a", b"of the broker"))
    assert [counts(each.visit) for each in (one, two, none)] == [(0, 4), (0, 3), (3, 0)]
    for each in scales:
        each.check()


def test_retained_messages_are_sent_messages() -> None:
    world = World()
    world.client("pub").publishes("a", b"x", retain=True).publishes("b", b"x", qos=1, retain=True)
    sub = world.client("sub").subscribes("#", qos=1)
    assert counts(sub.visit) == (0, 2)


def test_aliases_make_packets_smaller_and_no_fewer() -> None:  # section 3.3.2.3.4
    world = World()
    sub = world.client("sub", topic_alias_maximum=5).subscribes("#", qos=1)
    pub = world.client("pub")
    scales = [Scales(sub), Scales(pub)]
    for _ in range(3):
        pub.publishes("a/long/topic", b"x", qos=1)
    for _ in range(2):
        pub.publishes("a/long/topic", properties=Properties(topic_alias=3))
    assert (counts(sub.visit), counts(pub.visit)) == ((0, 5), (5, 0))
    for each in scales:
        each.check()


@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_is_sent_again_counts_on_each_connection(qos: int) -> None:  # [MQTT-4.4.0-1]
    world = World()
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=qos)
    world.client("pub").publishes("a", b"x", qos=qos)
    sub.drops()
    again = sub.returns(acknowledges=True)
    assert [message.dup for message in again.messages] == [True]
    assert counts(sub.visit) == counts(again.visit) == (0, 1)
    assert sub.visit.bytes_sent == sum(sub.sizes)
    assert again.visit.bytes_sent == sum(again.sizes)


def test_a_pubrel_that_is_sent_again_is_no_message() -> None:
    world = World()
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=2)
    sub.sends(PubRec(1)).drops()
    again = sub.returns()
    assert again.got == [PubRel(1)]
    assert counts(again.visit) == (0, 0)


def test_queued_messages_count_when_they_leave() -> None:
    world = World(journal=Ledger(page=2))
    world.engine.surroundings.options.max_queue_memory = 1
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1).drops()
    pub = world.client("pub")
    for number in range(5):
        pub.publishes("a", b"%d" % number, qos=1)
    assert counts(sub.visit) == (0, 0)
    again = sub.returns()
    assert counts(again.visit) == (0, 5)
    assert again.visit.bytes_sent == sum(again.sizes)


def test_what_waits_for_the_journal_is_counted_once() -> None:
    world = World(journal=Ledger(is_slow=True))
    sub = world.knocks("sub", session_expiry=60)
    world.commits()
    sub.sends(Subscribe(1, [Request("a", 2)]))
    world.commits()
    pub = world.client("pub")
    pub.sends(Publish("a", b"x", 2, packet_id=1), Publish("a", b"y"))
    for _ in range(3):
        world.commits()
    assert sorted(sub.payloads) == [b"x", b"y"]
    assert counts(sub.visit) == (0, 2)
    assert sub.visit.bytes_sent == sum(sub.sizes)
    assert pub.visit.bytes_sent == sum(pub.sizes)


def test_a_message_that_is_dropped_is_not_sent() -> None:
    world = World(Options(max_outbox_bytes=100))
    sub = world.client("sub", maximum_packet_size=50).subscribes("a", "b").freezes()
    pub = world.client("pub").publishes("b", b"x" * 100)  # too large for it
    for _ in range(10):
        pub.publishes("a", b"x" * 30)
    sub.thaws()
    assert 0 < len(sub.messages) < 10
    assert counts(sub.visit) == (0, len(sub.messages))
    assert sub.visit.bytes_sent == sum(sub.sizes)


# Who comes after


@pytest.mark.parametrize("expiry", [0, 60])
def test_who_takes_over_begins_to_count_anew(expiry: int) -> None:  # [MQTT-3.1.4-3]
    world = World()
    former = world.client("c", session_expiry=expiry).subscribes("#", qos=1).publishes("a", b"x", qos=1)
    scales = Scales(former)
    before = counts(former.visit)
    later = former.returns()
    later.subscribes("#", qos=1).publishes("a", b"y", qos=1)
    assert before == counts(former.visit) == (1, 1)
    assert counts(later.visit) == (1, 1)
    assert former.visit is not later.visit
    scales.check()  # also the DISCONNECT that told it
    assert later.visit.bytes_sent == sum(later.sizes)


def test_nothing_is_counted_when_the_connection_is_over() -> None:
    world = World()
    client = world.client("c")
    client.sends_bytes(b"\xff\x00")  # no packet at all
    assert not client.is_connected
    before = client.visit.bytes_received
    client.connection.receive(encode(Publish("a", b"x"), 5), world.now)
    assert client.visit.bytes_received == before
    assert counts(client.visit) == (0, 0)


def test_the_visits_of_all_clients_come_to_what_the_broker_counts() -> None:
    world = World()
    for name, version in (("one", 3), ("two", 4), ("three", 5)):
        client = world.client(name, version=version).subscribes("#", qos=1)
        for qos in (0, 1, 2):
            client.publishes("a", b"x" * 20, qos=qos)
    world.client("one", version=3)
    everybody = [client.visit for client in world.everybody]
    stats = world.engine.stats
    assert sum(each.bytes_received for each in everybody) == stats.bytes_received
    assert sum(each.bytes_sent for each in everybody) == stats.bytes_sent
    assert sum(each.publish_received for each in everybody) == stats.publish_received == 9
    assert sum(each.publish_sent for each in everybody) == stats.publish_sent == 18


def test_an_end_is_told_with_all_that_came_and_went_before_it() -> None:  # the log's last line
    world = World()
    client = world.client("c").subscribes("a").publishes("a", b"x").publishes("a", b"y")
    told: list[tuple[int, ...]] = []
    world.diary.disconnected = lambda visit, reason, now: told.append(  # type: ignore[method-assign]
        (*counts(visit), visit.bytes_received, visit.bytes_sent)
    )
    client.disconnects()
    assert told == [(2, 2, client.visit.bytes_received, sum(client.sizes))]
