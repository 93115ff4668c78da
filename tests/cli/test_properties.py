"""The properties of MQTT 5 on a command line (-D), compared with what Debian's mosquitto_pub takes."""

import re

import pytest

from telex.cli import pub
from telex.cli.properties import COMMANDS, CommandProperties, names, word_count
from telex.wire.properties import Properties
from tests.processes import Server, find, run, telex_command


def said(*flags: str) -> CommandProperties:
    """What -D flags come to, each given as one text."""
    properties = CommandProperties()
    for flag in flags:
        properties.add(flag.split(" ", word_count(flag.split(" ")) - 1))
    return properties


def test_each_command_has_those_of_its_packet() -> None:
    assert {command: names(command) for command in COMMANDS} == {
        "connect": [
            *("authentication-data", "authentication-method", "maximum-packet-size", "receive-maximum"),
            *("request-problem-information", "request-response-information", "session-expiry-interval"),
            *("topic-alias-maximum", "user-property"),
        ],
        "publish": [
            *("content-type", "correlation-data", "message-expiry-interval", "payload-format-indicator"),
            *("response-topic", "topic-alias", "user-property"),
        ],
        "subscribe": ["subscription-identifier", "user-property"],
        "unsubscribe": ["user-property"],
        "disconnect": ["reason-string", "session-expiry-interval", "user-property"],
        "will": [
            *("content-type", "correlation-data", "message-expiry-interval", "payload-format-indicator"),
            *("response-topic", "user-property", "will-delay-interval"),
        ],
    }


def test_values_have_their_types() -> None:
    properties = said(
        "publish content-type text/plain; charset=utf-8",
        "publish correlation-data -5",
        "publish message-expiry-interval 4294967295",
        "publish payload-format-indicator 1",
        "publish response-topic a/b",
        "publish topic-alias 65535",
        "publish user-property a b c",
        "publish user-property a d",
        "subscribe subscription-identifier 268435455",
        "disconnect session-expiry-interval 0",
    )
    assert properties.publish == Properties(
        content_type="text/plain; charset=utf-8",
        correlation_data=b"-5",
        message_expiry_interval=4_294_967_295,
        payload_format_indicator=1,
        response_topic="a/b",
        topic_alias=65_535,
        user_properties=(("a", "b c"), ("a", "d")),
    )
    assert properties.subscribe == Properties(subscription_identifiers=(268_435_455,))
    assert properties.disconnect == Properties(session_expiry_interval=0)
    assert properties.commands == ["publish", "subscribe", "disconnect"]


@pytest.mark.parametrize(
    ("flag", "wrong"),
    [
        ("foo content-type x", "-D foo: there is no such command, expected connect, publish, subscribe, unsubscribe,"),
        ("auth reason-string x", "-D auth: properties of AUTH cannot be given; connect, publish"),
        ("puback reason-string x", "-D puback: properties of PUBACK cannot be given"),
        ("publish foo x", "-D publish foo: there is no such property, expected content-type, correlation-data"),
        ("publish session-expiry-interval 5", "-D publish session-expiry-interval: publish has no such property"),
        ("publish subscription-identifier 5", "-D publish subscription-identifier: publish has no such property"),
        ("disconnect server-reference x", "-D disconnect server-reference: disconnect has no such property"),
        ("unsubscribe reason-string x", "unsubscribe has no such property, expected user-property"),
        ("publish message-expiry-interval x", "'x' is not a number from 0 to 4294967295"),
        ("publish message-expiry-interval -1", "'-1' is not a number from 0 to 4294967295"),
        ("publish message-expiry-interval 4294967296", "'4294967296' is not a number from 0 to 4294967295"),
        ("publish message-expiry-interval ²", "'²' is not a number from"),
        ("publish payload-format-indicator 2", "'2' is not a number from 0 to 1"),
        ("publish topic-alias 0", "'0' is not a number from 1 to 65535"),
        ("connect receive-maximum 0", "'0' is not a number from 1 to 65535"),
        ("connect receive-maximum 65536", "'65536' is not a number from 1 to 65535"),
        ("connect maximum-packet-size 0", "'0' is not a number from 1 to 4294967295"),
        ("subscribe subscription-identifier 268435456", "is not a number from 1 to 268435455"),
        ("publish response-topic a/#", "-D publish response-topic: topic name 'a/#': '+' and '#' are for filters only"),
        ("publish content-type \udcff", "-D publish content-type: "),
        ("publish user-property \udcff x", "-D publish user-property: "),
        ("publish content-type " + "x" * 65_536, "-D publish content-type: "),
    ],
)
def test_what_is_no_property_is_refused_with_those_that_are(flag: str, wrong: str) -> None:
    properties = CommandProperties()
    words = flag.split(" ", word_count(flag.split(" ")) - 1)
    with pytest.raises(ValueError, match=re.escape(wrong)):
        properties.add(words)
    assert properties.commands == []


@pytest.mark.parametrize("flag", ["connect receive-maximum 5", "disconnect session-expiry-interval 0"])
def test_only_user_properties_may_be_given_twice(flag: str) -> None:
    with pytest.raises(ValueError, match="is given twice"):
        said(flag, flag)


def test_they_make_it_mqtt_5() -> None:
    arguments = ["-t", "a", "-m", "x", "-V", "311"]
    assert pub.parsed(arguments).version == "3.1.1"
    assert pub.parsed([*arguments, "-D", "publish", "content-type", "x"]).version == "5"
    assert pub.parsed([*arguments, "-x", "5"]).version == "5"


@pytest.mark.parametrize(
    "words",
    [
        ["publish", "content-type", "text/plain"],
        ["publish", "user-property", "a", "b"],
        ["publish", "response-topic", "answers"],
        ["publish", "correlation-data", "-1"],
        ["publish", "message-expiry-interval", "60"],
        ["publish", "payload-format-indicator", "1"],
        ["publish", "topic-alias", "5"],
        ["connect", "user-property", "a", "b"],
        ["connect", "receive-maximum", "5"],
        ["connect", "session-expiry-interval", "5"],
        ["connect", "request-problem-information", "0"],
        ["disconnect", "user-property", "a", "b"],
        [],
        ["publish"],
        ["publish", "content-type"],
        ["publish", "user-property", "a"],
        ["foo", "bar", "x"],
        ["publish", "bar", "x"],
        ["publish", "session-expiry-interval", "4"],
        ["publish", "subscription-identifier", "4"],
        ["publish", "message-expiry-interval", "-1"],
        ["publish", "message-expiry-interval", "5000000000"],
        ["publish", "payload-format-indicator", "300"],
        ["connect", "receive-maximum", "0"],
        ["auth", "authentication-method", "x"],
        ["puback", "reason-string", "x"],
    ],
)
def test_mosquitto_takes_and_refuses_the_same(debian_mosquitto: Server, words: list[str]) -> None:
    flags = ["-p", str(debian_mosquitto.port), "-i", "me", "-t", "a", "-m", "x", "-D", *words]
    theirs = run(find("mosquitto_pub"), *flags)
    ours = run(*telex_command("pub", *flags))
    assert ours.returncode == theirs.returncode
    assert bool(ours.stderr) is bool(theirs.stderr)


@pytest.mark.parametrize("command", ["subscribe", "unsubscribe"])
def test_a_packet_that_pub_never_sends_has_none(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pub.parsed(["-t", "a", "-m", "x", "-D", command, "user-property", "a", "b"])
    assert f"telex pub sends no {command.upper()}" in capsys.readouterr().err
