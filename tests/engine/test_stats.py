"""What the broker counts: the numbers behind ``$SYS``."""

import pytest

from telex.engine.options import Options
from telex.wire.encode import encode
from telex.wire.packets import Connect, PingReq, Publish, Will
from tests.engine.world import World

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])


@VERSIONS
def test_bytes_and_packets_are_counted_as_they_come_and_go(world: World, version: int) -> None:
    # $SYS/broker/messages/received, bytes/received, messages/sent, bytes/sent
    packets = [Connect("c", version=version), PingReq(), Publish("a", b"x", qos=1, packet_id=1)]
    client = world.stranger(version=version).sends(*packets)
    stats = world.engine.stats
    assert stats.packets_received == 3
    assert stats.bytes_received == sum(len(encode(packet, version)) for packet in packets)
    assert stats.packets_sent == len(client.got) == 3
    assert stats.bytes_sent == sum(client.sizes)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_are_counted_with_their_payload(world: World, qos: int) -> None:
    # $SYS/broker/publish/messages and publish/bytes: received and sent
    for name in "abc":
        world.client(name).subscribes("a", qos=qos)
    world.client("pub").publishes("a", b"12345", qos=qos).publishes("b", b"123", qos=qos)
    stats = world.engine.stats
    assert (stats.publish_received, stats.publish_bytes_received) == (2, 8)
    assert (stats.publish_sent, stats.publish_bytes_sent) == (3, 15)
    assert stats.publish_dropped == 0


def test_what_has_not_left_is_not_sent(world: World) -> None:  # $SYS/broker/bytes/sent
    client = world.client("c")
    before = world.engine.stats.bytes_sent
    client.freezes().sends(PingReq())
    assert world.engine.stats.bytes_sent == before
    client.thaws()
    assert world.engine.stats.bytes_sent == before + 2


def test_retained_and_waiting_messages_are_counted_when_they_are_sent(world: World) -> None:
    # $SYS/broker/publish/messages/sent
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1, retain=True)
    assert world.engine.stats.publish_sent == 0
    sub.returns()
    assert world.engine.stats.publish_sent == 1
    world.client("late").subscribes("a")
    assert world.engine.stats.publish_sent == 2


def test_each_drop_is_counted() -> None:  # $SYS/broker/publish/messages/dropped, pain 9
    world = World(Options(max_queued_messages=2, max_outbox_bytes=10))
    world.client("away", session_expiry=60).subscribes("a", qos=1).drops()
    world.client("small", maximum_packet_size=20).subscribes("a", qos=1)
    world.client("slow").subscribes("a").freezes()
    pub = world.client("pub")
    for _ in range(5):
        pub.publishes("a", b"x" * 20, qos=1)
    assert world.engine.stats.publish_dropped == 3 + 5 + 4


def test_connections_are_counted_with_a_connect_and_without(world: World) -> None:
    # $SYS/broker/connections/socket/count, load/sockets, load/connections
    stats = world.engine.stats
    strangers = [world.stranger() for _ in range(3)]
    client = world.client("c")
    assert (stats.sockets_opened, stats.sockets_open) == (4, 4)
    assert (stats.connections_opened, stats.clients_connected) == (1, 1)
    for each in (*strangers, client):
        each.drops()
        each.drops()
    assert (stats.sockets_opened, stats.sockets_open) == (4, 0)
    assert (stats.connections_opened, stats.clients_connected) == (1, 0)


def test_a_refused_client_is_no_connection() -> None:  # $SYS/broker/load/connections
    world = World(Options(allow_empty_client_id=False))
    world.knocks("")
    stats = world.engine.stats
    assert (stats.sockets_opened, stats.sockets_open, stats.connections_opened) == (1, 0, 0)


def test_a_takeover_leaves_one_client(world: World) -> None:  # $SYS/broker/clients/connected
    for _ in range(5):
        world.client("c", session_expiry=60)
    stats = world.engine.stats
    assert (stats.clients_connected, stats.connections_opened, stats.sockets_open) == (1, 5, 1)


def test_the_most_clients_at_one_time_are_remembered(world: World) -> None:  # $SYS/broker/clients/maximum
    for name in "abc":
        world.client(name)
    for name in "abc":
        world.client(name, session_expiry=60).drops()
    world.client("d")
    assert world.engine.stats.clients_maximum == 4


def test_sessions_that_expire_are_counted_and_others_are_not(world: World) -> None:  # $SYS/broker/clients/expired
    world.client("a", session_expiry=5).drops()
    world.client("b", session_expiry=5).drops()
    world.client("c", session_expiry=50).drops()
    world.client("d").drops()
    world.client("e", session_expiry=50).disconnects(session_expiry=0)
    world.client("f", session_expiry=50).drops().returns(clean_start=True)
    world.advance(6)
    assert world.engine.stats.clients_expired == 2


def test_retained_messages_are_counted_with_their_payload(world: World) -> None:  # $SYS/broker/retained messages/count
    pub = world.client("pub", will=Will("c", b"123", retain=True))
    pub.publishes("a", b"12345", retain=True).publishes("b", b"1", retain=True).publishes("b", b"", retain=True)
    pub.drops()
    assert (world.engine.retained.count, world.engine.retained.bytes) == (2, 8)


def test_a_session_counts_the_messages_on_their_way(world: World) -> None:  # $SYS/broker/messages/stored
    sub = world.client("sub", session_expiry=60, acknowledges=False, receive_maximum=2).subscribes("a", qos=2)
    pub = world.client("pub")
    for _ in range(5):
        pub.publishes("a", b"x", qos=2)
    session = world.engine.sessions["sub"]
    assert session.message_count == 5
    sub.drops()
    assert session.message_count == 5
    sub.returns(acknowledges=True)
    assert session.message_count == 0
