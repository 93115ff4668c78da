"""How a client is made, what it says of itself, and the functions beside it."""

import ssl
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dns.resolver
import pytest

from tests.paho.traces.played import PlayedBroker
from tests.paho.traces.programs import EVERY, PROTOCOLS, V3, program
from tests.paho.traces.trace import Trace

PROPERTIES = (
    "host",
    "port",
    "keepalive",
    "transport",
    "protocol",
    "connect_timeout",
    "username",
    "password",
    "max_inflight_messages",
    "max_queued_messages",
    "will_topic",
    "will_payload",
    "logger",
    "callback_api_version",
    "suppress_exceptions",
)


@program(EVERY)
def test_a_new_client_has_these_settings(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.reads(client, *PROPERTIES)
    trace.calls(client.is_connected)
    trace.calls(client.user_data_get)
    trace.calls(client.socket)


@program(V3)
def test_the_first_callbacks_are_deprecated(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.warned(mqtt.Client)
    trace.warned(mqtt.Client, mqtt.CallbackAPIVersion.VERSION1)
    trace.warned(mqtt.Client, client_id="c")
    trace.warned(mqtt.Client, mqtt.CallbackAPIVersion.VERSION1, "c", True, None, mqtt.MQTTv31, "tcp", True, False)
    trace.warned(mqtt.Client, mqtt.CallbackAPIVersion.VERSION2)


@contextmanager
def _half_made(trace: Trace) -> Iterator[None]:
    """paho's clients that could not be made complain when they are gone."""
    with pytest.MonkeyPatch.context() as patch:
        if trace.is_paho:
            patch.setattr(sys, "unraisablehook", lambda told: None)
        yield


@program(V3)
def test_arguments_that_do_not_fit_are_refused(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    with _half_made(trace), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        _refused(mqtt, trace)


def _refused(mqtt: Any, trace: Trace) -> None:
    new = mqtt.CallbackAPIVersion.VERSION2
    trace.calls(mqtt.Client, "c")
    trace.calls(mqtt.Client, "c", True)
    trace.calls(mqtt.Client, 2)
    trace.calls(mqtt.Client, None)
    trace.calls(mqtt.Client, new, transport="carrier pigeon")
    trace.calls(mqtt.Client, new, transport=None)
    trace.calls(mqtt.Client, new, transport="TCP")
    trace.calls(mqtt.Client, new, "", False)
    trace.calls(mqtt.Client, new, None, False)
    trace.calls(mqtt.Client, new, "", False, protocol=mqtt.MQTTv31)
    trace.calls(mqtt.Client, new, "c", False)
    trace.calls(mqtt.Client, new, "c", True, protocol=mqtt.MQTTv5)
    trace.calls(mqtt.Client, new, "c", False, protocol=mqtt.MQTTv5)
    trace.calls(mqtt.Client, new, "c", None, protocol=mqtt.MQTTv5)
    trace.calls(mqtt.Client, new, unheard_of=True)
    trace.calls(mqtt.Client, callback_api_version=new, client_id="c", clean_session=True, userdata=1, protocol=4)


@program(V3)
def test_transports_have_names(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for transport in ("tcp", "websockets", "unix", "TCP", "WebSockets", "UNIX"):
        client = trace.client(transport=transport)
        trace.reads(client, "transport")
    trace.writes(client, "transport", "websockets")


@program(V3)
def test_options_of_a_websocket_are_checked(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client(transport="websockets")
    trace.calls(client.ws_set_options)
    trace.calls(client.ws_set_options, "/path")
    trace.calls(client.ws_set_options, "/path", {"A": "b"})
    trace.calls(client.ws_set_options, path="/path", headers=lambda headers: headers)
    for headers in ("text", 7, ["a"], ("a", "b")):
        trace.calls(client.ws_set_options, "/path", headers)


@program(V3)
def test_tls_is_set_once(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.calls(client.tls_insecure_set, True)
    context = ssl.create_default_context()
    trace.calls(client.tls_set_context, context)
    trace.calls(client.tls_set_context, context)
    trace.calls(client.tls_set)
    trace.calls(client.tls_insecure_set, True)
    trace.tell(f"{context.check_hostname}, {context.verify_mode.name}")
    trace.calls(client.tls_insecure_set, False)
    trace.tell(f"{context.check_hostname}, {context.verify_mode.name}")


@program(V3)
def test_tls_takes_options(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for options in (
        {},
        {"cert_reqs": ssl.CERT_NONE},
        {"cert_reqs": ssl.CERT_REQUIRED},
        {"cert_reqs": ssl.CERT_OPTIONAL},
        {"tls_version": ssl.PROTOCOL_TLS_CLIENT},
        {"alpn_protocols": ["mqtt"]},
        {"ciphers": "ECDHE+AESGCM"},
        {"ciphers": "no such cipher"},
        {"ca_certs": "/no/such/file"},
        {"certfile": "/no/such/file"},
        {"keyfile": "/no/such/file"},
    ):
        client = trace.client()
        trace.calls(client.tls_set, **options)
        trace.calls(client.tls_insecure_set, True)
        trace.calls(client.tls_insecure_set, False)
    client = trace.client()
    trace.calls(client.tls_set_context)
    trace.calls(client.tls_set_context, None)


@program(PROTOCOLS)
def test_limits_are_numbers(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    for number in (0, 1, 65_535, -1):
        trace.calls(client.max_inflight_messages_set, number)
        answer = client.max_queued_messages_set(number) if number >= 0 else None
        trace.tell(f"{answer is client}")
    trace.calls(client.max_queued_messages_set, True)
    trace.reads(client, "max_inflight_messages", "max_queued_messages")
    trace.calls(client.reconnect_delay_set, 2, 30)
    trace.calls(client.reconnect_delay_set, min_delay=1, max_delay=1)
    trace.calls(client.manual_ack_set, True)
    trace.calls(client.enable_bridge_mode)


@program(V3)
def test_errors_have_texts(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for code in mqtt.MQTTErrorCode:
        trace.calls(mqtt.error_string, code)
    for number in (-2, 17, 1000, 5):
        trace.calls(mqtt.error_string, number)
    for code in mqtt.ConnackCode:
        trace.calls(mqtt.connack_string, code)
    for number in (0, 5, 6, 255, -1):
        trace.calls(mqtt.connack_string, number)
    trace.calls(mqtt.connack_string, mqtt.ReasonCode(mqtt.PacketTypes.CONNACK, "Not authorized"))


@program(V3)
def test_codes_of_v3_become_reason_codes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for code in (*mqtt.ConnackCode, 6, 128, 255):
        trace.calls(mqtt.convert_connack_rc_to_reason_code, code)
    for code in mqtt.MQTTErrorCode:
        trace.calls(mqtt.convert_disconnect_error_code_to_reason_code, code)


@program(V3)
def test_topics_match_filters(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    filters = ("a", "a/b", "a/+", "+/b", "a/#", "#", "+", "/+", "+/+", "$SYS/#", "+/SYS", "a/b/#", "", "/")
    for topic_filter in filters:
        matched = [
            topic
            for topic in ("a", "a/b", "a/b/c", "b", "/a", "/", "a/", "$SYS", "$SYS/up", "")
            if mqtt.topic_matches_sub(topic_filter, topic)
        ]
        trace.tell(f"{topic_filter}: {matched}")


@program(V3)
def test_values_print_as_they_do(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for value in (
        mqtt.MQTT_ERR_SUCCESS,
        mqtt.MQTTv5,
        mqtt.CallbackAPIVersion.VERSION2,
        mqtt.ConnectFlags(True),
        mqtt.DisconnectFlags(False),
        mqtt.ReasonCode(mqtt.PacketTypes.CONNACK, "Not authorized"),
        mqtt.MQTTMessageInfo(5),
    ):
        trace.tell(f"{value} {value!s} {value:}")
    for value in (mqtt.MQTT_ERR_SUCCESS, mqtt.ConnectFlags(True), mqtt.CallbackAPIVersion.VERSION2):
        trace.tell(repr(value))


# SRV records


class Record:
    """One of DNS."""

    def __init__(self, priority: int, port: int) -> None:
        self.priority = priority
        self.weight = 0
        self.port = port
        self.target = self

    def to_text(self, omit_final_dot: bool = False) -> str:
        """The host."""
        return "127.0.0.1" if omit_final_dot else "127.0.0.1."


@contextmanager
def _dns(trace: Trace, asked: list[str], records: list[Record] | None) -> Iterator[None]:
    """A DNS that knows these records."""

    def answer(name: str, kind: object) -> list[Record]:
        asked.append(name)
        if records is None:
            raise dns.resolver.NXDOMAIN
        return records

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dns.resolver, "query" if trace.is_paho else "resolve", answer)
        yield


@program(PROTOCOLS)
def test_a_domain_names_its_brokers(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    asked: list[str] = []
    with _dns(trace, asked, [Record(1, 1), Record(2, broker.port)]):
        trace.calls(client.connect_srv, "example.org", 17)
    broker.opens()
    trace.loops(client, until="on_connect")
    trace.reads(client, "host", "port", "keepalive")
    trace.tell(f"{asked}")


@program(V3)
def test_a_domain_that_names_no_broker_is_refused(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    asked: list[str] = []
    for records in (None, [], [Record(1, 1)]):
        with _dns(trace, asked, records):
            trace.calls(client.connect_srv, "example.org")
    client.tls_set()
    with _dns(trace, asked, None):
        trace.calls(client.connect_srv, "example.org", keepalive=60)
        trace.calls(client.connect_srv)
    trace.tell(f"{asked[:4]}, {len(asked)}, {asked[4].startswith('_secure-mqtt._tcp.')}")
