"""How a client comes and goes: CONNECT, CONNACK and DISCONNECT."""

from typing import Any

from telex.codes import ReasonCode
from telex.wire.packets import ConnAck, Connect, Disconnect
from telex.wire.properties import Properties
from tests.paho.traces.played import PlayedBroker
from tests.paho.traces.programs import APIS_OF_V5, EVERY, PROTOCOLS, USUAL, V3, V5, V31, program
from tests.paho.traces.trace import Trace


@program(EVERY)
def test_a_client_comes_and_goes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.connect, *broker.address)
    trace.calls(client.is_connected)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.is_connected)
    trace.calls(client.disconnect)
    link.gets(Disconnect)
    trace.calls(client.is_connected)
    trace.calls(client.socket)
    trace.calls(client.disconnect)


@program(PROTOCOLS)
def test_connect_says_all_that_it_was_told(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    options: dict[str, Any] = {} if trace.is_v5 else {"clean_session": False}
    client = trace.client("Größe", **options)
    trace.calls(client.username_pw_set, "jürgen", "pässword")
    trace.calls(client.will_set, "will/ü", "gone", 2, True)
    trace.reads(client, "username", "password", "will_topic", "will_payload")
    trace.calls(client.connect, broker.host, broker.port, 17, "127.0.0.1", 0)
    broker.accepts().gets(Connect)
    trace.reads(client, "keepalive", "host", "transport", "protocol")


@program(PROTOCOLS)
def test_user_name_and_password_may_be_set_in_each_way(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for username, password in (("u", None), ("u", b"\x00\xff"), ("u", "p"), ("", ""), (None, None), (None, "p")):
        client = trace.client()
        trace.calls(client.username_pw_set, username, password)
        trace.reads(client, "username", "password")
        trace.calls(client.connect, *broker.address)
        broker.accepts().gets(Connect)
    client = trace.client()
    trace.writes(client, "username", "another")
    trace.writes(client, "password", "secret")
    trace.calls(client.connect, *broker.address)
    broker.accepts().gets(Connect)
    trace.writes(client, "username", None)
    trace.calls(client.disconnect)
    trace.writes(client, "username", None)
    trace.writes(client, "password", None)
    trace.calls(client.username_pw_set, 7)
    trace.calls(client.username_pw_set, b"bytes")


@program(PROTOCOLS)
def test_a_will_may_be_set_changed_and_cleared(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for arguments in (
        ("a",),
        ("a", b"x", 1),
        ("a", "text", 2, True),
        ("a", 5),
        ("a", 1.5, 0, True),
        ("a", bytearray(b"y")),
    ):
        client = trace.client()
        trace.calls(client.will_set, *arguments)
        trace.reads(client, "will_topic", "will_payload")
        trace.calls(client.connect, *broker.address)
        broker.accepts().gets(Connect)
    client = trace.client()
    client.will_set("first", "1", 1, True)
    client.will_set("second", "2")
    trace.calls(client.connect, *broker.address)
    broker.accepts().gets(Connect)
    trace.calls(client.will_clear)
    trace.reads(client, "will_topic", "will_payload")
    trace.calls(client.reconnect)
    broker.accepts().gets(Connect)


@program(USUAL)
def test_a_wrong_will_is_refused(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.calls(client.will_set, "")
    trace.calls(client.will_set, None)
    trace.calls(client.will_set, "a", b"", 3)
    trace.calls(client.will_set, "a", b"", -1)
    trace.calls(client.will_set, "a", [1])
    trace.calls(client.will_set, "a", b"", properties="no properties")
    trace.reads(client, "will_topic", "will_payload")


@program(V5)
def test_a_will_has_properties(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    properties = mqtt.Properties(mqtt.PacketTypes.WILLMESSAGE)
    properties.WillDelayInterval = 30
    properties.MessageExpiryInterval = 60
    properties.ContentType = "text/plain"
    properties.ResponseTopic = "answers"
    properties.CorrelationData = b"\x00\x01"
    properties.PayloadFormatIndicator = 1
    properties.UserProperty = ("a", "b")
    properties.UserProperty = ("a", "c")
    client = trace.client()
    trace.calls(client.will_set, "will", "gone", 1, False, properties)
    trace.calls(client.connect, *broker.address)
    broker.accepts().gets(Connect)


@program(V5)
def test_connect_has_properties(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    properties = mqtt.Properties(mqtt.PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 100
    properties.ReceiveMaximum = 7
    properties.MaximumPacketSize = 5000
    properties.TopicAliasMaximum = 3
    properties.RequestResponseInformation = 1
    properties.RequestProblemInformation = 0
    properties.UserProperty = [("x", "1"), ("y", "2")]
    client = trace.watches(trace.client())
    trace.calls(client.connect, *broker.address, properties=properties)
    broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.reconnect)  # they are said again
    broker.opens()
    trace.loops(client, until="on_connect")


@program(V5)
def test_a_clean_start_is_asked_for_as_told(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for clean_start in (True, False, mqtt.MQTT_CLEAN_START_FIRST_ONLY):
        client = trace.watches(trace.client(), "on_connect")
        trace.calls(client.connect, *broker.address, clean_start=clean_start)
        broker.opens(ConnAck(session_present=clean_start is False))
        trace.loops(client, until="on_connect")
        trace.calls(client.reconnect)
        broker.opens(ConnAck(session_present=clean_start is not True))
        trace.loops(client, until="on_connect")
        trace.calls(client.disconnect)
        trace.calls(client.connect, *broker.address)
        broker.opens()
        trace.loops(client, until="on_connect")


@program(V5)
def test_clean_start_is_for_the_first_success_only(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client(), "on_connect", "on_disconnect")
    trace.calls(client.connect, *broker.address)
    broker.opens().closes()
    trace.loops_to_the_end(client)
    trace.calls(client.reconnect)
    broker.accepts().gets(Connect)
    trace.calls(client.reconnect)
    broker.accepts().gets(Connect)


@program(PROTOCOLS)
def test_connect_refuses_what_its_version_does_not_have(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    if trace.is_v5:
        trace.calls(mqtt.Client, mqtt.CallbackAPIVersion.VERSION2, "c", True, protocol=mqtt.MQTTv5)
        trace.calls(mqtt.Client, mqtt.CallbackAPIVersion.VERSION2, "c", False, protocol=mqtt.MQTTv5)
        return
    client = trace.client()
    properties = mqtt.Properties(mqtt.PacketTypes.CONNECT)
    properties.ReceiveMaximum = 3
    trace.calls(client.connect, *broker.address, clean_start=True)
    trace.calls(client.connect, *broker.address, clean_start=False)
    trace.calls(client.connect, *broker.address, properties=properties)
    trace.calls(client.connect_async, *broker.address, clean_start=True)  # it does not look
    trace.calls(client.reconnect)
    broker.accepts().gets(Connect)


@program(PROTOCOLS)
def test_a_client_without_a_name_gets_one_where_it_must(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for client_id in ("", None):
        client = trace.client(client_id)
        trace.calls(client.connect, *broker.address)
        said = broker.accepts().gets(Connect).client_id
        if said:
            trace.masks[said] = "NAME"
        trace.tell(f"a name of {len(said)} characters, {said.isalnum()}")
    trace.calls(mqtt.Client, mqtt.CallbackAPIVersion.VERSION2, "", False)
    trace.calls(mqtt.Client, mqtt.CallbackAPIVersion.VERSION2, None, False)


@program([*V31, *V3])  # MQTT 5 has no such sign
def test_a_client_may_say_that_it_is_a_bridge(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.calls(client.enable_bridge_mode)
    trace.calls(client.connect, *broker.address)
    broker.accepts().gets(Connect)


@program(EVERY)
def test_a_session_may_be_present(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    options: dict[str, Any] = {} if trace.is_v5 else {"clean_session": False}
    client = trace.watches(trace.client(**options))
    named: dict[str, Any] = {"clean_start": False} if trace.is_v5 else {}
    trace.calls(client.connect, *broker.address, **named)
    broker.opens(ConnAck(session_present=trace.protocol > 3))
    trace.loops(client, until="on_connect")


@program(APIS_OF_V5)
def test_connack_says_much_of_the_server(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    said = Properties(
        session_expiry_interval=10,
        receive_maximum=20,
        maximum_qos=1,
        retain_available=0,
        maximum_packet_size=1000,
        assigned_client_identifier="named",
        topic_alias_maximum=5,
        reason_string="welcome",
        user_properties=(("a", "1"), ("a", "2")),
        wildcard_subscription_available=1,
        subscription_identifier_available=1,
        shared_subscription_available=0,
        server_keep_alive=30,
        response_information="answers/",
        server_reference="elsewhere",
    )
    client = trace.watches(trace.client(""))
    trace.calls(client.connect, *broker.address)
    broker.opens(ConnAck(properties=said))
    trace.loops(client, until="on_connect")
    trace.reads(client, "keepalive")


# Refusals


def _is_refused(broker: PlayedBroker, trace: Trace, code: int, **options: Any) -> None:
    client = trace.watches(trace.client(**options))
    trace.calls(client.connect, *broker.address)
    link = broker.accepts()
    link.gets(Connect)
    link.sends_bytes(bytes([0x20, 3, 0, code, 0]) if trace.is_v5 else bytes([0x20, 2, 0, code]))
    trace.loops_to_the_end(client)
    trace.calls(client.is_connected)
    trace.calls(client.socket)
    trace.calls(client.disconnect)


@program([world for world in EVERY if world.protocol < 5])
def test_each_refusal_of_v3_is_told(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for code in (1, 2, 3, 4, 5):
        if code != 1 or trace.protocol == 3:
            _is_refused(broker, trace, code)


@program([world for world in EVERY if world.protocol < 5])
def test_a_refusal_that_v3_does_not_know_is_told(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for code in (6, 128, 255):
        _is_refused(broker, trace, code)


@program(APIS_OF_V5)
def test_each_refusal_of_v5_is_told(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    flags = "{'session present': 0}" if trace.api == 1 else "ConnectFlags(session_present=False)"
    reason = "ReasonCode(2, 153, 'Payload format invalid')"
    trace.differs(
        "0x99, Payload format invalid, is a reason of CONNACK (section 3.2.2.2)",
        f"+ program: on_connect(client 16, 'mine', {flags}, {reason}, Properties(2, {{}}))",
    )
    for code in (
        128,
        129,
        130,
        131,
        132,
        133,
        134,
        135,
        136,
        137,
        138,
        140,
        144,
        149,
        151,
        153,
        154,
        155,
        156,
        157,
        159,
    ):
        _is_refused(broker, trace, code)


@program(APIS_OF_V5)
def test_a_refusal_says_why(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    broker.opens(
        ConnAck(
            ReasonCode.USE_ANOTHER_SERVER,
            properties=Properties(reason_string="full", server_reference="b.example", user_properties=(("k", "v"),)),
        )
    )
    trace.loops_to_the_end(client)


@program(APIS_OF_V5)
def test_an_old_server_refuses_v5_in_words_of_v3(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    link.sends_bytes(b"\x20\x02\x00\x01")
    trace.loops_to_the_end(client)


@program([world for world in EVERY if world.protocol == 4])
def test_v311_that_is_refused_tries_v31(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    link.sends_bytes(b"\x20\x02\x00\x01")
    trace.loops(client, until="on_socket_open", times=2)
    trace.reads(client, "protocol")
    broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.is_connected)


@program([world for world in EVERY if world.protocol == 4])
def test_v311_without_a_name_that_is_refused_tries_one(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client(""))
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    link.sends_bytes(b"\x20\x02\x00\x02")
    trace.loops(client, until="on_socket_open", times=2)
    second = broker.accepts()
    said = second.gets(Connect).client_id
    trace.masks[said] = "NAME"
    trace.tell(f"a name of {len(said)} characters, {said.isalnum()}")
    second.sends(ConnAck())
    trace.loops(client, until="on_connect")


@program([world for world in EVERY if world.protocol == 4])
def test_who_does_not_reconnect_does_not_try_another_version(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _is_refused(broker, trace, 1, reconnect_on_failure=False)
    _is_refused(broker, trace, 2, client_id="", reconnect_on_failure=False)
    _is_refused(broker, trace, 5, reconnect_on_failure=False)


# Where there is no broker


@program(V3)
def test_addresses_that_are_none_are_refused(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.calls(client.reconnect)
    trace.calls(client.connect, "")
    trace.calls(client.connect, None)
    trace.calls(client.connect, "127.0.0.1", 0)
    trace.calls(client.connect, "127.0.0.1", -5)
    trace.calls(client.connect, *broker.address, -1)
    trace.calls(client.connect, *broker.address, 60, "", -1)
    trace.calls(client.connect_async, "")
    trace.calls(client.connect_async, "h", 0)
    trace.calls(client.connect_async, "h", 1883, -1)
    trace.calls(client.connect_async, "h", 1883, 60, "", -1)
    trace.reads(client, "host", "port", "keepalive")
    trace.calls(client.is_connected)


@program(PROTOCOLS)
def test_where_nobody_listens_connect_raises(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    broker.stops()
    client = trace.watches(trace.client())
    trace.calls(client.connect, *broker.address)
    trace.calls(client.is_connected)
    trace.calls(client.socket)
    trace.calls(client.reconnect)
    trace.calls(client.loop)
    trace.calls(client.publish, "a", b"x")
    trace.writes(client, "keepalive", 5)
    trace.calls(client.disconnect)
    trace.writes(client, "keepalive", 5)
    broker.starts()
    trace.calls(client.reconnect)
    broker.opens()
    trace.loops(client, until="on_connect")


@program(V3)
def test_an_address_of_another_machine_cannot_be_bound(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.connect, *broker.address, 60, "192.0.2.1")
    trace.calls(client.socket)


# One connection after the other


@program(PROTOCOLS)
def test_connect_again_leaves_the_connection_without_a_word(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, first = trace.connected(broker)
    trace.calls(client.connect, *broker.address)
    first.is_over()
    trace.calls(client.is_connected)
    second = broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.reconnect)
    second.is_over()
    broker.opens()
    trace.loops(client, until="on_connect")


@program(PROTOCOLS)
def test_connect_async_leaves_the_connection_too(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, first = trace.connected(broker)
    trace.calls(client.connect_async, *broker.address)
    first.is_over()
    trace.calls(client.socket)
    trace.calls(client.is_connected)
    trace.calls(client.loop)
    trace.calls(client.reconnect)
    broker.opens()
    trace.loops(client, until="on_connect")


@program(PROTOCOLS)
def test_after_disconnect_another_connect_works(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, first = trace.connected(broker)
    trace.calls(client.disconnect)
    first.is_over()
    trace.calls(client.connect, *broker.address)
    second = broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.disconnect)
    second.is_over()
    trace.calls(client.reconnect)
    broker.opens()
    trace.loops(client, until="on_connect")


@program(PROTOCOLS)
def test_disconnect_before_connack(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.disconnect)
    trace.calls(client.connect, *broker.address)
    trace.calls(client.disconnect)
    broker.accepts().gets(Connect)
    trace.calls(client.is_connected)
    trace.calls(client.socket)


@program(APIS_OF_V5)
def test_disconnect_says_why(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    reason = mqtt.ReasonCode(mqtt.PacketTypes.DISCONNECT, "Disconnect with will message")
    properties = mqtt.Properties(mqtt.PacketTypes.DISCONNECT)
    properties.SessionExpiryInterval = 5
    properties.ReasonString = "enough"
    properties.UserProperty = ("a", "b")
    for arguments in ((reason,), (reason, properties), (None, properties), ()):
        client, link = trace.connected(broker)
        trace.calls(client.disconnect, *arguments)
        link.gets(Disconnect)


@program(V3)
def test_before_v5_disconnect_says_nothing(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    reason = mqtt.ReasonCode(mqtt.PacketTypes.DISCONNECT, "Disconnect with will message")
    client, link = trace.connected(broker)
    trace.calls(client.disconnect, reason)
    link.gets(Disconnect)


@program(PROTOCOLS)
def test_what_an_open_connection_depends_on_cannot_be_changed(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    settings = {
        "host": ("localhost", ""),
        "port": (1884, 0, -1),
        "keepalive": (30, 0, -1),
        "transport": ("tcp",),
        "connect_timeout": (2.0, 0, -1),
        "username": ("u", None),
        "password": ("p", None),
        "max_inflight_messages": (5, 0, -1),
        "max_queued_messages": (7, 0, -1),
    }
    client = trace.client()

    def try_all() -> None:
        for name, values in settings.items():
            for value in values:
                trace.writes(client, name, value)
        trace.calls(client.max_inflight_messages_set, 9)
        trace.calls(client.max_inflight_messages_set, -1)
        trace.calls(client.max_queued_messages_set, 9)
        trace.calls(client.max_queued_messages_set, -1)
        trace.calls(client.max_queued_messages_set, "9")
        trace.calls(client.max_queued_messages_set, 1.5)

    try_all()
    client.connect_async(*broker.address)
    try_all()
    client.reconnect()
    try_all()
    broker.opens()
    trace.watches(client)
    trace.loops(client, until="on_connect")
    try_all()
    client.disconnect()
    try_all()
    for name in ("protocol", "will_topic", "will_payload", "callback_api_version"):
        trace.writes(client, name, 1)


@program(PROTOCOLS)
def test_on_pre_connect_may_change_what_connect_says(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    tokens = iter(("first", "second"))
    client = trace.client()

    def renew(*_: object) -> None:
        client.username_pw_set("u", next(tokens))
        client.will_set("w", "gone")

    trace.watches(client, on_pre_connect=renew)
    trace.calls(client.connect, *broker.address)
    broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.reconnect)
    broker.opens()
    trace.loops(client, until="on_connect")


@program(PROTOCOLS)
def test_reinitialise_makes_a_new_client_of_an_old_one(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    client.username_pw_set("u", "p")
    client.will_set("w")
    trace.calls(client.reinitialise, "another", True, "new")
    link.is_over()
    trace.reads(client, "host", "port", "keepalive", "username", "will_topic", "protocol", "callback_api_version")
    trace.reads(client, "on_connect", "on_message", "suppress_exceptions")
    trace.calls(client.user_data_get)
    trace.calls(client.socket)
    trace.watches(client)
    trace.calls(client.connect, *broker.address)
    broker.opens()
    trace.loops(client, until="on_connect")


@program(PROTOCOLS)
def test_user_data_may_change_at_any_time(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client(userdata={"a": 1})
    trace.watches(client, on_connect=lambda *_: client.user_data_set(["connected"]))
    trace.calls(client.user_data_get)
    client.connect(*broker.address)
    broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.user_data_get)
    trace.calls(client.disconnect)
    trace.calls(client.user_data_set, None)
    trace.calls(client.user_data_get)


@program(V31)
def test_v31_has_no_session_flag(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client(clean_session=False))
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    link.sends_bytes(b"\x20\x02\x01\x00")  # the byte is reserved in 3.1
    trace.loops(client, until="on_connect")
