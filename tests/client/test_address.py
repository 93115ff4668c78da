"""Addresses of brokers: what people write, and what they are told when it is none."""

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.client.address import Address, is_ip, join, parse_address, split_place


def parts(address: Address) -> tuple[str, str, int, str]:
    return address.scheme, address.host, address.port, address.path


ADDRESSES = {
    "localhost": ("mqtt", "localhost", 1883, ""),
    "broker.example:1884": ("mqtt", "broker.example", 1884, ""),
    "192.0.2.1": ("mqtt", "192.0.2.1", 1883, ""),
    "mqtt://localhost": ("mqtt", "localhost", 1883, ""),
    "mqtt://localhost/": ("mqtt", "localhost", 1883, ""),
    "MQTT://Localhost:1": ("mqtt", "Localhost", 1, ""),
    "mqtt:1883": ("mqtt", "mqtt", 1883, ""),
    "mqtts://broker.example": ("mqtts", "broker.example", 8883, ""),
    "mqtts://broker.example.:65535": ("mqtts", "broker.example.", 65_535, ""),
    "mqtt://my_broker": ("mqtt", "my_broker", 1883, ""),
    "mqtt://bücher.example": ("mqtt", "bücher.example", 1883, ""),
    "mqtt://[::1]:1884": ("mqtt", "::1", 1884, ""),
    "[2001:db8::1]": ("mqtt", "2001:db8::1", 1883, ""),
    "::1": ("mqtt", "::1", 1883, ""),
    "mqtt://[fe80::1%25eth0]": ("mqtt", "fe80::1%eth0", 1883, ""),
    "ws://localhost": ("ws", "localhost", 80, "/mqtt"),
    "wss://localhost": ("wss", "localhost", 443, "/mqtt"),
    "ws://localhost/": ("ws", "localhost", 80, "/"),
    "ws://localhost:8080/a/b?token=x%20y": ("ws", "localhost", 8080, "/a/b?token=x%20y"),
    "ws://localhost?token=x": ("ws", "localhost", 80, "/mqtt?token=x"),
    "ws://localhost/ä": ("ws", "localhost", 80, "/%C3%A4"),
    "unix:///run/x.sock": ("unix", "", 0, "/run/x.sock"),
    "mqtt+unix:///run/a%20b": ("unix", "", 0, "/run/a b"),
}


@pytest.mark.parametrize(("text", "expected"), ADDRESSES.items(), ids=ADDRESSES)
def test_an_address_says_where_and_by_what_way(text: str, expected: tuple[str, str, int, str]) -> None:
    address = parse_address(text)
    assert parts(address) == expected
    assert (address.user, address.password) == (None, None)


@pytest.mark.parametrize("text", ADDRESSES)
def test_an_address_that_is_shown_is_the_same_address(text: str) -> None:
    address = parse_address(text)
    assert parts(parse_address(str(address))) == parts(address)


@pytest.mark.parametrize(
    ("login", "user", "password"),
    [
        ("alice@", "alice", None),
        ("alice:secret@", "alice", "secret"),
        ("alice:@", "alice", ""),
        (":secret@", None, "secret"),
        ("@", None, None),
        ("a%3Ab:p%40%2F%25@", "a:b", "p@/%"),
        ("a:b@c@", "a", "b@c"),
        ("a:b:c@", "a", "b:c"),
        ("m%C3%BCller:%E2%82%AC@", "müller", "€"),
    ],
)
@pytest.mark.parametrize(
    "around", ["mqtt://{}broker.example", "{}broker.example:1", "wss://{}h/x@y", "unix://{}/run/x"]
)
def test_user_name_and_password_may_stand_in_it(
    around: str, login: str, user: str | None, password: str | None
) -> None:
    address = parse_address(around.format(login))
    assert (address.user, address.password) == (user, password)


@pytest.mark.parametrize("text", ["mqtts://alice:secret@h:1", "ws://alice:secret@h/x", "unix://alice:secret@/x"])
def test_the_password_is_never_shown(text: str) -> None:
    address = parse_address(text)
    assert address.password == "secret"
    assert "alice@" in str(address)
    assert "secret" not in f"{address} {address!r} {address.place}"


@pytest.mark.parametrize(
    ("text", "place", "is_secure", "is_websocket"),
    [
        ("mqtt://h", "h:1883", False, False),
        ("mqtts://[::1]", "[::1]:8883", True, False),
        ("ws://h/x", "h:80", False, True),
        ("wss://h/x", "h:443", True, True),
        ("unix:///x", "/x", False, False),
    ],
)
def test_an_address_tells_what_is_needed_on_the_way(text: str, place: str, is_secure: bool, is_websocket: bool) -> None:
    address = parse_address(text)
    assert (address.place, address.is_secure, address.is_websocket) == (place, is_secure, is_websocket)


WRONG = {
    "": "expected a host",
    "mqtt://": "expected a host",
    "mqtt://:1883": "expected a host",
    "mqtt:/x": "two slashes, like mqtt://host",
    "mqtt:localhost": "two slashes",
    "unix:/run/x.sock": "two slashes",
    "localhost:abc": "a port from 1 to 65535",
    "mqtt://h:abc": "'abc' is no port",
    "mqtt://h:": "'' is no port",
    "mqtt://h:0": "from 1 to 65535",
    "mqtt://h:65536": "from 1 to 65535",
    "mqtt://h:-1": "from 1 to 65535",
    "mqtt://h:\uff11": "from 1 to 65535",
    "mqtt://h:1:2": "stands in brackets",
    "mqtt://::1": "stands in brackets",
    "mqtt://[::1": "like [::1]:1883",
    "mqtt://[::1]1883": "like [::1]:1883",
    "mqtt://[localhost]": "like [::1]:1883",
    "http://h": "write ws:// in place of http://",
    "ssl://h": "write mqtts:// in place of ssl://",
    "tcp://h:1": "write mqtt:// in place of tcp://",
    "foo://h": "'foo' is none of mqtt, mqtts, ws, wss and unix",
    "://h": "'' is none of",
    "wss+unix:///run/x": "plain MQTT only",
    "mqtt://my broker": "a space",
    " localhost": "a space",
    "localhost\n": "a space or a control character",
    "mqtt://h\x00": "a space or a control character",
    "mqtt://h/topic": "nothing stands behind host and port",
    "mqtt://h?x=1": "nothing stands behind host and port",
    "ws://h/x#y": "write # as %23",
    "mqtt://a..b": "no host name",
    "mqtt://.a": "no host name",
    "mqtt://" + "a" * 64: "no host name",
    "mqtt://" + "a." * 130 + "a": "no host name",
    "mqtt://*": "no '*' in it",
    "mqtt://h,i": "no ',' in it",
    "unix://run/x.sock": "three slashes",
    "unix://": "three slashes",
    "unix:///": "three slashes",
    "unix:///a%00b": "no zero byte",
    "unix:///%FF": "UTF-8",
    "mqtt://a:%FF@h": "UTF-8",
}


@pytest.mark.parametrize(("text", "says"), WRONG.items(), ids=map(repr, WRONG))
def test_what_is_no_address_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as raised:
        parse_address(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "mqtt://alice:pass/word@h",
        "mqtt://alice:pass#word@h",
        "wss://alice:pass/word@h/mqtt",
        "wss://alice:pass?word@h",
        "mqtt://alice:pass%word@h",
        "mqtt://alice:pass word@h",
        "mqtt://alice:pass@word@h:0",
        "foo://alice:pass@h",
        "mqtt://alice:pass@",
    ],
)
def test_what_is_wrong_is_told_without_the_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"%|port|none of|host") as raised:
        parse_address(text)
    assert "pass" not in str(raised.value).replace("password", "")
    assert "alice" in str(raised.value)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for prefix in ("", "mqtt://", "wss://a:b@", "unix:///"):
        try:
            address = parse_address(prefix + text)
        except UnicodeError:  # which is a ValueError, and no sentence
            raise AssertionError from None
        except ValueError:
            continue
        assert parts(parse_address(str(address))) == parts(address)


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_any_user_name_and_password_can_be_written(user: str, password: str) -> None:
    address = parse_address(f"mqtt://{quote(user, safe='')}:{quote(password, safe='')}@h:1")
    assert (address.user, address.password, address.place) == (user, password, "h:1")


def test_the_same_ways_lead_to_another_host() -> None:
    wss = parse_address("wss://alice:secret@h:1/x?y").at("i", 2)
    assert (parts(wss), wss.user, wss.password) == (("wss", "i", 2, "/x?y"), "alice", "secret")
    assert parts(parse_address("mqtts://h:1").at("::1")) == ("mqtts", "::1", 8883, "")
    assert parts(parse_address("unix:///x").at("h")) == ("mqtt", "h", 1883, "")


def test_a_host_and_a_port_are_split_and_joined() -> None:
    assert split_place("h:1", "here") == ("h", 1)
    assert split_place("h", "here") == ("h", 0)
    assert split_place("[::1]:1", "here") == ("::1", 1)
    assert (join("h", 1), join("::1", 1)) == ("h:1", "[::1]:1")
    with pytest.raises(ValueError, match=r"^here: 'x' is no port"):
        split_place("h:x", "here")


def test_an_ip_address_is_told_from_a_name() -> None:
    assert [is_ip(host) for host in ("192.0.2.1", "::1", "fe80::1%eth0", "localhost", "1.2.3")] == [True] * 3 + [
        False
    ] * 2
