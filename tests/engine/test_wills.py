"""What a client leaves to be said when it is lost (sections 3.1.2.5, 3.1.3.2 and 3.14)."""

from collections.abc import Callable

import pytest

from telex.codes import NEVER_EXPIRES
from telex.wire.packets import Disconnect, PubComp, Publish, Will
from telex.wire.properties import Properties
from tests.engine.world import Client, World

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])


@pytest.fixture
def watcher(world: World) -> Client:
    """Somebody who hears all wills."""
    return world.client("watcher").subscribes("w/#", qos=2)


def after(delay: int, **properties: object) -> Will:
    """A will that waits so many seconds."""
    return Will("w", b"lost", properties=Properties(will_delay_interval=delay, **properties))  # type: ignore[arg-type]


# When it is published


@VERSIONS
def test_a_lost_connection_publishes_the_will(world: World, watcher: Client, version: int) -> None:
    # [MQTT-3.1.2-7] [MQTT-3.1.2-8], v3 [MQTT-3.1.2-8], W1
    world.client("c", version=version, will=Will("w", b"lost")).drops()
    assert watcher.got == [Publish("w", b"lost")]


@VERSIONS
def test_a_normal_disconnect_forgets_the_will(world: World, watcher: Client, version: int) -> None:
    # [MQTT-3.14.4-3] [MQTT-3.1.2-10], v3 [MQTT-3.14.4-3], W1
    world.client("c", version=version, will=Will("w", b"lost")).disconnects()
    world.advance(100)
    assert watcher.got == []


@pytest.mark.parametrize("reason_code", [0x04, 0x80, 0x81, 0x93, 0x98])
def test_any_other_disconnect_publishes_the_will(world: World, watcher: Client, reason_code: int) -> None:
    # [MQTT-3.1.2-8], section 3.14.2.1, W1
    world.client("c", will=Will("w", b"lost")).disconnects(reason_code)
    assert watcher.payloads == [b"lost"]


@VERSIONS
def test_a_protocol_error_publishes_the_will(world: World, watcher: Client, version: int) -> None:
    # section 3.1.2.5, W1
    client = world.client("c", version=version, will=Will("w", b"lost"))
    client.sends_bytes(b"\xff\xff\xff\xff\xff")
    assert not client.is_connected
    assert watcher.payloads == [b"lost"]


@VERSIONS
def test_a_client_that_falls_silent_publishes_the_will(world: World, watcher: Client, version: int) -> None:
    # [MQTT-3.1.2-22], section 3.1.2.5, W1
    world.client("c", version=version, keep_alive=10, will=Will("w", b"lost"))
    world.advance(14)
    assert watcher.got == []
    world.advance(2)
    assert watcher.payloads == [b"lost"]


def test_the_broker_that_closes_publishes_the_will(world: World, watcher: Client) -> None:  # [MQTT-3.1.2-8]
    client = world.client("c", will=Will("w", b"lost"))
    client.connection.disconnect(0x98, "an administrator said so", world.now)
    world.flush()
    assert client.got == [Disconnect(0x98)]
    assert watcher.payloads == [b"lost"]


def test_it_is_published_once(world: World, watcher: Client) -> None:  # [MQTT-3.1.2-10]
    client = world.client("c", session_expiry=60, will=Will("w", b"lost")).drops()
    client.drops()
    client.returns(will=None).drops()
    world.advance(100)
    assert watcher.payloads == [b"lost"]


def test_a_client_without_a_will_leaves_nothing(world: World, watcher: Client) -> None:  # v3 [MQTT-3.1.2-12]
    world.client("c").drops()
    assert watcher.got == []


def test_each_connection_has_its_own_will(world: World, watcher: Client) -> None:  # [MQTT-3.1.2-7]
    client = world.client("c", session_expiry=60, will=Will("w", b"1")).disconnects()
    client = client.returns(will=Will("w", b"2")).drops()
    client = client.returns(will=Will("w", b"3")).disconnects()
    assert watcher.payloads == [b"2"]


def test_disconnect_without_a_reason_is_a_normal_one(world: World, watcher: Client) -> None:  # section 3.14.2.1
    world.client("c", will=Will("w", b"lost")).sends_bytes(b"\xe0\x00")
    assert watcher.got == []


# What it is


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_it_has_the_qos_that_was_asked_for(world: World, watcher: Client, qos: int) -> None:  # [MQTT-3.1.2-12]
    world.client("c", will=Will("w", b"lost", qos=qos)).drops()
    assert [message.qos for message in watcher.messages] == [qos]


def test_a_will_is_not_retained_unless_it_says_so(world: World, watcher: Client) -> None:
    # [MQTT-3.1.2-14], v3 [MQTT-3.1.2-16]
    world.client("c", will=Will("w", b"lost")).drops()
    assert world.client("late").subscribes("w").got == []
    assert watcher.payloads == [b"lost"]


@VERSIONS
def test_a_will_may_be_retained(world: World, watcher: Client, version: int) -> None:
    # [MQTT-3.1.2-15], v3 [MQTT-3.1.2-17]
    world.client("c", version=version, will=Will("w", b"lost", retain=True)).drops()
    assert watcher.got == [Publish("w", b"lost")]
    assert world.client("late").subscribes("w").got == [Publish("w", b"lost", retain=True)]


def test_an_empty_retained_will_clears_the_topic(world: World, watcher: Client) -> None:  # [MQTT-3.3.1-6]
    world.client("pub").publishes("w", b"online", retain=True)
    world.client("c", will=Will("w", b"", retain=True)).drops()
    assert watcher.payloads == [b"online", b""]
    assert world.engine.retained.count == 0


def test_its_properties_travel_with_it(world: World, watcher: Client) -> None:  # section 3.1.3.2
    world.client(
        "c",
        will=Will(
            "w",
            b"lost",
            properties=Properties(
                will_delay_interval=0,
                payload_format_indicator=1,
                content_type="text",
                response_topic="r",
                correlation_data=b"c",
                user_properties=(("k", "1"), ("k", "2")),
            ),
        ),
    ).drops()
    assert watcher.messages[0].properties == Properties(
        payload_format_indicator=1,
        content_type="text",
        response_topic="r",
        correlation_data=b"c",
        user_properties=(("k", "1"), ("k", "2")),
    )


def test_its_expiry_counts_from_its_publication(world: World) -> None:  # section 3.1.3.2.4
    sub = world.client("sub", session_expiry=1_000).subscribes("w", qos=1).drops()
    will = Will("w", b"lost", qos=1, properties=Properties(will_delay_interval=20, message_expiry_interval=10))
    world.client("c", session_expiry=100, will=will).drops()
    world.advance(25)
    sub = sub.returns()
    assert sub.messages[0].properties == Properties(message_expiry_interval=5)


def test_a_will_may_go_to_its_own_client(world: World) -> None:  # [MQTT-4.5.0-1]
    client = world.client("c", session_expiry=60, will=Will("w", b"lost", qos=1)).subscribes("w", qos=1).drops()
    assert client.returns().payloads == [b"lost"]


def test_no_local_holds_for_wills_too(world: World) -> None:  # [MQTT-3.8.3-3]
    client = world.client("c", session_expiry=60, will=Will("w", b"lost", qos=1))
    client.subscribes("w", qos=1, no_local=True).drops()
    assert client.returns(will=None).got == []


# The delay


def test_it_waits_as_long_as_it_is_told(world: World, watcher: Client) -> None:  # [MQTT-3.1.2-8], W2
    world.client("c", session_expiry=100, will=after(10)).drops()
    world.advance(9)
    assert watcher.got == []
    world.advance(2)
    assert watcher.payloads == [b"lost"]
    world.advance(200)
    assert watcher.payloads == [b"lost"]


def test_a_client_that_returns_in_time_takes_it_back(world: World, watcher: Client) -> None:  # [MQTT-3.1.3-9], W2
    client = world.client("c", session_expiry=100, will=after(10)).drops()
    world.advance(9)
    client = client.returns()
    world.advance(100)
    assert watcher.got == []
    client.disconnects()
    world.advance(200)
    assert watcher.got == []


def test_a_client_that_returns_too_late_does_not(world: World, watcher: Client) -> None:  # [MQTT-3.1.2-8]
    client = world.client("c", session_expiry=100, will=after(10)).drops()
    world.advance(11)
    client.returns()
    assert watcher.payloads == [b"lost"]


def test_it_does_not_wait_longer_than_the_session(world: World, watcher: Client) -> None:  # [MQTT-3.1.2-8], W2
    world.client("c", session_expiry=5, will=after(10)).drops()
    world.advance(4)
    assert watcher.got == []
    world.advance(2)
    assert watcher.payloads == [b"lost"]
    world.advance(20)
    assert watcher.payloads == [b"lost"]


@pytest.mark.parametrize("expiry", [None, 0])
def test_it_does_not_wait_where_no_session_is_kept(world: World, watcher: Client, expiry: int | None) -> None:
    # [MQTT-3.1.2-8], W2
    world.client("c", session_expiry=expiry, will=after(10)).drops()
    assert watcher.payloads == [b"lost"]


def test_a_clean_start_ends_the_session_and_so_the_waiting(world: World, watcher: Client) -> None:
    # [MQTT-3.1.2-8] [MQTT-3.1.2-4], W2
    client = world.client("c", session_expiry=100, will=after(10)).drops()
    client = client.returns(clean_start=True, will=None)
    assert watcher.payloads == [b"lost"]
    world.advance(100)
    assert watcher.payloads == [b"lost"]
    assert client.is_connected


def test_disconnect_may_end_the_session_and_so_the_waiting(world: World, watcher: Client) -> None:
    # [MQTT-3.1.2-8], section 3.14.2.2.2
    world.client("c", session_expiry=100, will=after(10)).disconnects(0x04, session_expiry=0)
    assert watcher.payloads == [b"lost"]


def test_disconnect_with_will_respects_the_delay(world: World, watcher: Client) -> None:  # section 3.14.2.1
    world.client("c", session_expiry=100, will=after(10)).disconnects(0x04)
    assert watcher.got == []
    world.advance(11)
    assert watcher.payloads == [b"lost"]


def test_a_delay_works_in_a_session_that_never_ends(world: World, watcher: Client) -> None:  # [MQTT-3.1.2-8]
    client = world.client("c", session_expiry=NEVER_EXPIRES, will=after(10)).drops()
    world.advance(11)
    assert watcher.payloads == [b"lost"]
    assert client.returns(will=None).session_present


def test_the_longest_delay_is_no_trouble(world: World, watcher: Client) -> None:  # W2: CVE-2019-11778
    world.client("c", session_expiry=3, will=after(0xFFFFFFFF)).drops()
    world.client("d", session_expiry=NEVER_EXPIRES, will=after(0xFFFFFFFF)).drops()
    world.advance(4)
    assert watcher.payloads == [b"lost"]


def test_the_session_lives_on_after_its_will(world: World, watcher: Client) -> None:  # [MQTT-3.1.2-10]
    client = world.client("c", session_expiry=60, will=after(10)).drops()
    world.advance(59)
    assert client.returns(will=None).drops().returns(will=None).session_present
    assert watcher.payloads == [b"lost"]


def test_the_subscriptions_of_an_ended_session_do_not_get_its_will(world: World) -> None:  # [MQTT-4.1.0-2]
    client = world.client("c", will=Will("w", b"lost", qos=1)).subscribes("w", qos=1).drops()
    assert client.returns(will=None).got == []


@pytest.mark.parametrize(
    "end",
    [
        lambda world, client: client.sends_bytes(b"\x00\x00"),
        lambda world, client: client.drops(),
        lambda world, client: world.advance(16),
        lambda world, client: client.sends(PubComp(1), Disconnect(0x04)),
        lambda world, client: world.client("c", clean_start=False, session_expiry=100),
    ],
    ids=["malformed packet", "loss", "silence", "disconnect with will", "takeover"],
)
def test_whatever_ends_the_connection_a_will_of_no_delay_comes_at_once(
    world: World, watcher: Client, end: Callable[[World, Client], object]
) -> None:  # [MQTT-3.1.2-8], W1
    client = world.client("c", session_expiry=100, keep_alive=10, will=Will("w", b"lost"))
    end(world, client)
    assert watcher.payloads == [b"lost"]
