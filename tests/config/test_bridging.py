"""A bridge that is described, in the words of the engine and of a client's end."""

from telex.codes import MQTT_3_1, MQTT_3_1_1, MQTT_5, NEVER_EXPIRES
from telex.engine.options import Options
from telex.server.bridging import client_tls, options_of
from telex.server.config import Bridge, BridgeTls, BridgeTopic

LIMITS = Options(topic_alias_maximum=7, receive_maximum=33)


def plain(**more: object) -> Bridge:
    """A bridge that says no more than it has to."""
    return Bridge(name="cloud", addresses=["mqtt://h"], topics=[BridgeTopic(pattern="#")], **more)  # type: ignore[arg-type]


def test_what_a_bridge_does_not_say_is_as_the_broker_has_it() -> None:
    options = options_of(plain(), "pi", LIMITS)
    assert (options.remote_client_id, options.local_client_id) == ("pi.cloud", "local.pi.cloud")
    assert (options.user_name, options.password, options.local_user) == (None, None, "")
    assert (options.version, options.keep_alive, options.is_lazy) == (MQTT_5, 60, False)
    assert (options.clean_start, options.local_clean_start) == (False, False)
    assert (options.topic_alias_maximum, options.receive_maximum) == (7, 33)
    assert (options.session_expiry_interval, options.maximum_packet_size, options.max_hops) == (NEVER_EXPIRES, 0, 8)
    assert (options.max_queued_messages, options.max_queued_bytes) == (1_000_000, 1 << 30)
    assert options.notification_topic == "$SYS/broker/connection/pi.cloud/state"
    assert (options.try_private, options.attempt_unsubscribe, options.outgoing_retain) == (True, True, True)
    assert (options.notifications, options.notifications_local_only) == (True, False)


def test_what_a_bridge_says_reaches_the_engine() -> None:
    options = options_of(
        plain(
            version="3.1.1",
            client_id="house",
            local_client_id="here",
            user="me",
            password="caf\u00e9",
            local_user="guest",
            start="lazy",
            threshold=5,
            idle_timeout=7.5,
            keep_alive=15,
            session_expiry_interval=3_600,
            try_private=False,
            attempt_unsubscribe=False,
            outgoing_retain=False,
            notifications=False,
            notifications_local_only=True,
            notification_topic="bridges/cloud",
            maximum_packet_size=1_000,
            topic_alias_maximum=0,
            receive_maximum=1,
            max_hops=3,
            max_queued_messages=4,
            max_queued_bytes=5,
        ),
        "pi",
        LIMITS,
    )
    assert (options.version, options.remote_client_id, options.local_client_id) == (MQTT_3_1_1, "house", "here")
    assert (options.user_name, options.password, options.local_user) == ("me", "caf\u00e9".encode(), "guest")
    assert (options.is_lazy, options.threshold, options.idle_timeout) == (True, 5, 7.5)
    assert (options.keep_alive, options.session_expiry_interval) == (15, 3_600)
    assert (options.try_private, options.attempt_unsubscribe, options.outgoing_retain) == (False, False, False)
    assert (options.notifications, options.notifications_local_only) == (False, True)
    assert options.notification_topic == "bridges/cloud"
    assert (options.maximum_packet_size, options.topic_alias_maximum, options.receive_maximum) == (1_000, 0, 1)
    assert (options.max_hops, options.max_queued_messages, options.max_queued_bytes) == (3, 4, 5)
    assert options_of(plain(version="3.1", start="once"), "pi", LIMITS).version == MQTT_3_1
    assert not options_of(plain(start="once"), "pi", LIMITS).is_lazy


def test_a_clean_session_is_clean_at_both_ends_unless_it_is_said_otherwise() -> None:
    both = options_of(plain(clean_session=True), "pi", LIMITS)
    assert (both.clean_start, both.local_clean_start) == (True, True)
    there = options_of(plain(clean_session=True, local_clean_session=False), "pi", LIMITS)
    assert (there.clean_start, there.local_clean_start) == (True, False)
    here = options_of(plain(local_clean_session=True), "pi", LIMITS)
    assert (here.clean_start, here.local_clean_start) == (False, True)


def test_topics_keep_their_order_prefixes_and_filters() -> None:
    bridge = Bridge(
        name="line",
        addresses=["mqtt://h"],
        topics=[
            BridgeTopic(pattern="a/#", direction="both", qos=1, local_prefix="l/", remote_prefix="r/"),
            BridgeTopic(
                direction="in", local_prefix="x", remote_prefix="y", maximum_payload_size=9, messages_per_second=0.5
            ),
        ],
    )
    first, second = options_of(bridge, "pi", LIMITS).topics
    assert (first.local_filter, first.remote_filter, first.direction, first.qos) == ("l/a/#", "r/a/#", "both", 1)
    assert (first.maximum_payload_size, first.messages_per_second) == (0, 0.0)
    assert (second.local_filter, second.remote_filter, second.is_in, second.is_out) == ("x", "y", True, False)
    assert (second.maximum_payload_size, second.messages_per_second) == (9, 0.5)


def test_tls_is_that_of_a_client() -> None:
    tls = client_tls(
        BridgeTls(
            ca_file="ca",
            ca_path="cas",
            certificate="c",
            key="k",
            key_password="p",
            server_name="s",
            insecure=True,
            min_version="1.3",
            ciphers="HIGH",
            alpn=["mqtt"],
        )
    )
    assert (tls.ca_file, tls.ca_path, tls.certificate, tls.key, tls.key_password) == ("ca", "cas", "c", "k", "p")
    assert (tls.server_name, tls.insecure, tls.minimum_version, tls.ciphers) == ("s", True, "1.3", "HIGH")
    assert (tls.alpn, tls.psk_identity, tls.psk) == (["mqtt"], "", "")
    tls = client_tls(BridgeTls(psk_identity="house", psk="0123"))
    assert (tls.psk_identity, tls.psk) == ("house", "0123")
