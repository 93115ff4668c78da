"""What is bounded: queues, outboxes and packets; and what is said of what does not fit."""

import pytest

from telex.codes import ReasonCode
from telex.engine.options import LARGEST_PACKET_LIMIT, Options
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Disconnect, PingReq, PingResp, PubAck, Publish, SubAck, Subscribe
from telex.wire.packets import SubscriptionRequest as Request
from telex.wire.properties import Properties
from tests.engine.world import World

SLOW = Options(max_outbox_bytes=100)


# Messages that wait for a client


@pytest.mark.parametrize("qos", [1, 2])
def test_the_oldest_wait_and_the_rest_is_dropped_and_counted(qos: int) -> None:  # pain 9
    world = World(Options(max_queued_messages=3))
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2).drops()
    pub = world.client("pub")
    for number in range(10):
        pub.publishes("a", b"%d" % number, qos=qos)
    assert world.engine.stats.publish_dropped == 7
    assert sub.returns().payloads == [b"0", b"1", b"2"]


def test_what_is_in_flight_does_not_wait() -> None:  # pain 9: 0 never means two things
    world = World(Options(max_inflight_messages=2, max_queued_messages=3))
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=1)
    pub = world.client("pub")
    for number in range(1, 10):
        pub.publishes("a", b"%d" % number, qos=1)
    assert world.engine.stats.publish_dropped == 4
    for number in range(1, 6):
        sub.sends(PubAck(number))
    assert sub.payloads == [b"1", b"2", b"3", b"4", b"5"]


def test_each_client_has_its_own_queue() -> None:  # pain 9: one slow client costs the others nothing
    world = World(Options(max_queued_messages=2))
    world.client("full", session_expiry=60).subscribes("#", qos=1).drops()
    sub = world.client("sub", session_expiry=60).subscribes("b", qos=1).drops()
    live = world.client("live").subscribes("#", qos=1)
    pub = world.client("pub")
    for number in range(5):
        pub.publishes("a", b"%d" % number, qos=1)
    pub.publishes("b", b"x", qos=1)
    assert sub.returns().payloads == [b"x"]
    assert len(live.payloads) == 6


def test_qos0_takes_no_place_in_the_queue() -> None:  # section 4.1
    world = World(Options(max_queued_messages=1))
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1).drops()
    pub = world.client("pub")
    for _ in range(5):
        pub.publishes("a", b"gone")
    pub.publishes("a", b"x", qos=1)
    assert sub.returns().payloads == [b"x"]


def test_the_first_of_a_row_is_reported() -> None:  # pain 9: drops are not silent
    world = World(Options(max_queued_messages=1))
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1).drops()
    pub = world.client("pub")
    for _ in range(5):
        pub.publishes("a", b"x", qos=1)
    assert world.diary.lines.count("sub misses a") == 1
    sub = sub.returns().drops()
    for _ in range(5):
        pub.publishes("a", b"x", qos=1)
    assert world.diary.lines.count("sub misses a") == 2


def test_what_expired_makes_room() -> None:  # [MQTT-3.3.2-5] [MQTT-4.5.0-1]
    world = World(Options(max_queued_messages=2))
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1).drops()
    pub = world.client("pub")
    for _ in range(2):
        pub.publishes("a", b"old", qos=1, properties=Properties(message_expiry_interval=5))
    world.advance(10)
    pub.publishes("a", b"new", qos=1)
    assert sub.returns().payloads == [b"new"]


def test_a_queue_of_one_is_a_queue() -> None:  # mosquitto#1332
    world = World(Options(max_queued_messages=1, max_inflight_messages=1))
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=1)
    pub = world.client("pub")
    for number in range(1, 4):
        pub.publishes("a", b"%d" % number, qos=1)
    assert sub.sends(PubAck(1), PubAck(2)).payloads == [b"1", b"2"]


# Bytes that wait for a socket


def test_a_client_that_does_not_read_loses_qos0_and_nothing_else() -> None:  # pain 9
    world = World(SLOW)
    slow = world.client("slow", acknowledges=False).subscribes("a", qos=1).freezes()
    pub = world.client("pub")
    for _ in range(20):
        pub.publishes("a", b"x" * 30)
    for number in range(5):
        pub.publishes("a", b"%d" % number, qos=1)
    assert world.engine.stats.publish_dropped > 10
    payloads = slow.thaws().payloads
    assert payloads[-5:] == [b"0", b"1", b"2", b"3", b"4"]
    assert len(payloads) - 5 == 20 - world.engine.stats.publish_dropped


def test_its_outbox_is_bounded() -> None:  # promise: memory is bounded, per client
    world = World(SLOW)
    slow = world.client("slow").subscribes("a").freezes()
    world.client("pub").sends(*[Publish("a", b"x" * 30)] * 1_000)
    assert slow.connection.outbox.size <= SLOW.max_outbox_bytes + 40


def test_others_do_not_notice() -> None:  # pain 9
    world = World(SLOW)
    world.client("slow").subscribes("a").freezes()
    fast = world.client("fast").subscribes("a")
    pub = world.client("pub")
    for _ in range(100):
        pub.publishes("a", b"x" * 30)
    assert len(fast.payloads) == 100


def test_a_client_that_reads_again_gets_messages_again() -> None:  # pain 9
    world = World(SLOW)
    slow = world.client("slow").subscribes("a").freezes()
    pub = world.client("pub")
    for _ in range(20):
        pub.publishes("a", b"x" * 30)
    slow.thaws().takes()
    pub.publishes("a", b"new")
    assert slow.payloads == [b"new"]


def test_each_row_of_drops_is_reported() -> None:  # seams.py: "the first message of a row"
    world = World(SLOW)
    slow = world.client("slow").subscribes("a")
    pub = world.client("pub")
    for row in (1, 2, 3):
        slow.freezes()
        for _ in range(20):
            pub.publishes("a", b"x" * 30)
        slow.thaws()
        pub.publishes("a", b"this one comes")
        assert slow.payloads[-1] == b"this one comes"
        assert world.diary.lines.count("slow misses a") == row


def test_each_connection_has_its_own_rows() -> None:  # seams.py: "the first message of a row"
    world = World(SLOW)
    slow = world.client("slow", session_expiry=60).subscribes("a")
    pub = world.client("pub")
    for row in (1, 2):
        slow.freezes()
        for _ in range(20):
            pub.publishes("a", b"x" * 30)
        assert world.diary.lines.count("slow misses a") == row
        slow = slow.drops().returns()


# Packets that a client does not take


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_large_message_between_two_small_ones_is_passed_over(world: World, qos: int) -> None:
    # [MQTT-3.1.2-24] [MQTT-3.1.2-25], pain 29
    sub = world.client("sub", maximum_packet_size=100).subscribes("a", qos=2)
    pub = world.client("pub")
    for payload in (b"1", b"x" * 200, b"2"):
        pub.publishes("a", payload, qos=qos)
    assert sub.payloads == [b"1", b"2"]
    assert sub.is_connected
    assert world.engine.stats.publish_dropped == 1
    assert world.diary.lines.count("sub misses a") == 1


@pytest.mark.parametrize("qos", [1, 2])
def test_a_large_message_that_waits_is_passed_over(world: World, qos: int) -> None:  # [MQTT-3.1.2-25]
    sub = world.client("sub", session_expiry=60, maximum_packet_size=100, receive_maximum=1).subscribes("a", qos=2)
    sub.drops()
    pub = world.client("pub")
    for payload in (b"1", b"x" * 200, b"2", b"y" * 200, b"3"):
        pub.publishes("a", payload, qos=qos)
    sub = sub.returns()
    assert sub.payloads == [b"1", b"2", b"3"]
    assert sub.drops().returns(maximum_packet_size=None).got == []


def test_a_large_retained_message_is_passed_over(world: World) -> None:  # [MQTT-3.1.2-24]
    world.client("pub").publishes("a", b"x" * 200, retain=True).publishes("b", b"y", retain=True)
    assert world.client("sub", maximum_packet_size=100).subscribes("#").payloads == [b"y"]


def test_a_limit_of_an_earlier_connection_is_forgotten(world: World) -> None:  # section 3.1.2.11.4, Z1
    sub = world.client("sub", session_expiry=60, maximum_packet_size=100).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x" * 200, qos=1)
    assert sub.returns(maximum_packet_size=None).payloads == [b"x" * 200]


@pytest.mark.parametrize("qos", [1, 2])
def test_a_new_connection_may_have_a_smaller_limit(world: World, qos: int) -> None:  # [MQTT-3.1.2-25]
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub").publishes("a", b"x" * 200, qos=qos).publishes("a", b"1", qos=qos)
    sub = sub.drops().returns(maximum_packet_size=100, receive_maximum=1)
    pub.publishes("a", b"y" * 200, qos=qos)
    assert sub.payloads == [b"1"]
    assert sub.drops().returns(maximum_packet_size=None).payloads == [b"1"]


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("size", [100, 127, 128, 129, 131, 16_384, 16_386, 16_388])
def test_the_limit_counts_the_whole_packet(world: World, size: int, qos: int, retain: bool) -> None:
    # section 3.1.2.11.4, Z1
    payload = payload_of_a_packet_of(size, qos)
    fits = world.client("fits", maximum_packet_size=size).subscribes("a", qos=2, retain_as_published=True)
    not_quite = world.client("not", maximum_packet_size=size - 1).subscribes("a", qos=2, retain_as_published=True)
    world.client("pub").publishes("a", payload, qos=qos, retain=retain)
    assert fits.payloads == [payload]
    assert fits.sizes[-1 if qos < 2 else -2] == size
    assert not_quite.got == []


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_that_fits_without_an_alias_is_sent_without_one(world: World, qos: int) -> None:
    # [MQTT-3.1.2-25]: only what is too large may be discarded, and nobody has to use an alias
    payload = payload_of_a_packet_of(100, qos)
    sub = world.client("sub", maximum_packet_size=100, topic_alias_maximum=5).subscribes("a", qos=2)
    world.client("pub").publishes("a", payload, qos=qos)
    assert sub.payloads == [payload]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_that_fits_better_with_its_topic_is_sent_with_it(world: World, qos: int) -> None:
    # [MQTT-3.1.2-25]: the topic "a" takes one byte, its alias three
    payload = payload_of_a_packet_of(100, qos)
    sub = world.client("sub", maximum_packet_size=100, topic_alias_maximum=5).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"first", qos=qos).publishes("a", payload, qos=qos)
    assert sub.payloads == [b"first", payload]


def test_a_message_that_fits_only_with_an_alias_may_come_with_it(world: World) -> None:  # [MQTT-3.1.2-24]
    topic = "t" * 60
    sub = world.client("sub", maximum_packet_size=100, topic_alias_maximum=5).subscribes(topic)
    world.client("pub").publishes(topic, b"first").publishes(topic, b"x" * 60).publishes(topic, b"x" * 200)
    assert sub.payloads == [b"first", b"x" * 60]


def test_a_connack_respects_the_limit(world: World) -> None:  # [MQTT-3.1.2-24]
    client = world.knocks("c", maximum_packet_size=10)
    assert max(client.sizes, default=0) <= 10


def test_a_suback_respects_the_limit(world: World) -> None:  # [MQTT-3.1.2-24]
    client = world.client("c", maximum_packet_size=30).sends(Subscribe(1, [Request("a")] * 50))
    assert max(client.sizes) <= 30


# Packets that we do not take


def test_a_packet_as_large_as_allowed_is_taken() -> None:  # [MQTT-3.2.2-15]
    world = World(Options(maximum_packet_size=200))
    sub = world.client("sub").subscribes("a")
    world.client("pub").publishes("a", payload_of_a_packet_of(200, 0))
    assert len(sub.payloads) == 1


@pytest.mark.parametrize(("version", "told"), [(4, []), (5, [Disconnect(ReasonCode.PACKET_TOO_LARGE)])])
def test_a_packet_that_is_too_large_closes_the_connection(version: int, told: list[Disconnect]) -> None:
    # [MQTT-3.2.2-15], section 3.2.2.3.6
    world = World(Options(maximum_packet_size=200))
    sub = world.client("sub").subscribes("a")
    pub = world.client("pub", version=version).sends(Publish("a", b"x" * 200))
    assert not pub.is_connected
    assert pub.got == told
    assert sub.got == []


def test_it_is_refused_when_its_length_has_come() -> None:  # Z1: before its body is kept
    world = World(Options(maximum_packet_size=200))
    pub = world.client("pub").sends_bytes(b"\x30\xc9\x01")
    assert pub.got == [Disconnect(ReasonCode.PACKET_TOO_LARGE)]


def test_a_stranger_cannot_make_us_wait_for_a_large_connect() -> None:  # Z1: before anybody has logged in
    stranger = World(Options(maximum_packet_size=200)).stranger()
    stranger.sends_bytes(b"\x10\xff\xff\xff\x7f")
    assert stranger.got == []
    assert not stranger.is_connected


def test_what_came_before_the_large_packet_is_done() -> None:  # section 4.13
    world = World(Options(maximum_packet_size=200))
    pub = world.client("pub").sends_bytes(encode(PingReq(), 5) + b"\x30\xc9\x01")
    assert pub.got == [PingResp(), Disconnect(ReasonCode.PACKET_TOO_LARGE)]


def test_large_messages_go_through(world: World) -> None:  # M3
    sub = world.client("sub", version=4).subscribes("a", qos=1)
    payload = bytes(range(256)) * 4_096
    world.client("pub").publishes("a", payload, qos=1)
    assert sub.payloads == [payload]


def test_a_large_message_may_come_in_pieces(world: World) -> None:  # M3
    sub = world.client("sub").subscribes("a")
    pub = world.client("pub")
    data = encode(Publish("a", b"0123456789" * 30_000), 5)
    for start in range(0, len(data), 1_000):
        pub.sends_bytes(data[start : start + 1_000])
    assert sub.payloads == [b"0123456789" * 30_000]


# Options


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("maximum_packet_size", 20, LARGEST_PACKET_LIMIT),
        ("receive_maximum", 1, 65_535),
        ("maximum_qos", 0, 2),
        ("topic_alias_maximum", 0, 65_535),
        ("maximum_keep_alive", 0, 65_535),
        ("maximum_session_expiry", 0, 0xFFFFFFFF),
        ("connect_timeout", 1, 3_600),
        ("max_inflight_messages", 1, 65_535),
        ("max_queued_messages", 1, 1 << 40),
        ("max_queued_bytes", 1, 1 << 40),
        ("max_queue_memory", 1, 1 << 40),
        ("max_outbox_bytes", 1, 1 << 40),
        ("max_retained_messages", 1, 1 << 40),
        ("max_retained_bytes", 1, 1 << 40),
        ("max_sessions", 1, 1 << 40),
        ("max_subscriptions", 1, 1 << 40),
        ("v3_session_expiry", 0, 0xFFFFFFFF),
    ],
)
def test_a_limit_that_mqtt_cannot_say_is_refused(name: str, lowest: int, highest: int) -> None:  # section 3.2.2.3
    for value in (lowest, highest):
        assert getattr(Options(**{name: value}), name) == value  # type: ignore[arg-type]
    for value in (lowest - 1, highest + 1):
        with pytest.raises(ValueError, match=f"{name} is {value:,}, expected"):
            Options(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_broker_of_the_smallest_limits_works(version: int) -> None:  # section 3.2.2.3
    world = World(
        Options(
            maximum_packet_size=40,
            receive_maximum=1,
            topic_alias_maximum=0,
            max_inflight_messages=1,
            max_queued_messages=1,
            max_queued_bytes=1,
            max_queue_memory=1,
            max_outbox_bytes=1,
            max_retained_messages=1,
            max_retained_bytes=1,
            max_sessions=2,
            max_subscriptions=1,
        )
    )
    sub = world.client("sub", version=version)
    assert sub.sends(Subscribe(1, [Request("a", 2)])).takes() == [SubAck(1, [2])]
    pub = world.client("pub", version=version)
    for number in range(9):
        pub.publishes("a", b"%d" % number, qos=number % 3)
    assert sub.payloads == [b"%d" % number for number in range(9)]


def test_a_client_that_is_refused_is_not_limited_by_what_it_said(world: World) -> None:  # [MQTT-3.1.2-24]
    client = world.knocks("", version=4, clean_start=False)
    assert client.got == [ConnAck(2)]


def payload_of_a_packet_of(size: int, qos: int) -> bytes:
    """What makes a v5 PUBLISH to the topic ``a``, without properties, so many bytes long."""
    for length in range(size):
        packet = Publish("a", b"x" * length, qos, packet_id=1 if qos else 0)
        if len(encode(packet, 5)) == size:
            return packet.payload
    raise AssertionError(f"no PUBLISH is {size} bytes long")


def test_who_asks_on_without_reading_the_answers_is_sent_away() -> None:  # memory is bounded for each client
    world = World(Options(max_outbox_bytes=100))
    client = world.client("c")
    client.freezes()
    client.sends_bytes(b"\xc0\0" * 524_000)
    assert client.connection.outbox.trouble is None
    client.sends_bytes(b"\xc0\0" * 1_000)
    client.thaws()
    assert not client.is_connected


def test_a_slow_client_with_much_to_read_may_ping() -> None:  # what waits is ours, not its answers
    world = World(Options(max_outbox_bytes=100))
    client = world.client("c").subscribes("a", qos=1)
    client.freezes()
    pub = world.client("pub")
    for _ in range(20):
        pub.publishes("a", b"x" * 50, qos=1)
    client.sends(PingReq())
    client.thaws()
    assert client.is_connected
    assert len(client.payloads) == 20


def test_a_client_that_takes_no_answer_at_all_is_gone_once(world: World) -> None:  # [MQTT-3.1.2-24]
    client = world.knocks("c", maximum_packet_size=3)
    assert client.got == []
    assert world.engine.stats.sockets_open == 0
