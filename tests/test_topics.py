"""Topic names and filters (section 4.7), shared subscriptions (section 4.8.2), and what matches what."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telex.topics import (
    MAX_TOPIC_BYTES,
    check_filter,
    check_name,
    has_wildcard,
    is_shared,
    matches,
    shown,
    split_shared,
)

law = settings(max_examples=1_000, deadline=None, derandomize=True)

# --- Names ---


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "/",
        "//",
        "/finance",
        "finance/",
        "sport/tennis/player1/wimbledon",
        "Accounts payable",  # section 4.7.3: the space character is allowed
        " ",
        "ACCOUNTS",
        "$SYS/broker/uptime",
        "$share/group/a",  # a name like others: only filters are shared
        "$",
        "\ufeff",
        "a\U0010ffffb",
        "\x01",
        ".*",
        "x" * 65_535,
        "\u20ac" * 21_845,
    ],
    ids=lambda name: name[:20].encode("unicode_escape").decode(),
)
def test_a_good_name_passes(name: str) -> None:  # section 4.7.3
    check_name(name)
    assert matches("#" if name[0] != "$" else "$" + name[1:], name)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("", r"topic name is empty.*\[MQTT-4\.7\.3-1\]"),
        ("#", r"topic name '#'.*\[MQTT-3\.3\.2-2\]"),
        ("+", r"topic name '\+'.*\[MQTT-3\.3\.2-2\]"),
        ("a/#", r"topic name 'a/#'.*\[MQTT-3\.3\.2-2\]"),
        ("a+b", r"topic name 'a\+b'.*\[MQTT-3\.3\.2-2\]"),
        ("a/+/b", r"topic name 'a/\+/b'.*\[MQTT-3\.3\.2-2\]"),
        ("\0", r"topic name .*null character.*\[MQTT-4\.7\.3-2\]"),
        ("a\0b", r"topic name 'a\\x00b': a null character.*\[MQTT-4\.7\.3-2\]"),
        ("a/\ud800", r"topic name .*surrogate.*\[MQTT-1\.5\.4-1\]"),
        ("x" * 65_536, r"65,536 bytes, at most 65,535 are allowed \[MQTT-4\.7\.3-3\]"),
        ("\u20ac" * 21_846, r"65,538 bytes"),
    ],
    ids=lambda value: value[:20].encode("unicode_escape").decode(),
)
def test_a_bad_name_is_refused_with_the_rule_that_it_breaks(name: str, what: str) -> None:  # [MQTT-4.7.0-1]
    with pytest.raises(ValueError, match=what):
        check_name(name)


# --- Filters ---

GOOD_FILTERS = [
    "#",  # section 4.7.1.2
    "sport/tennis/#",
    "sport/tennis/player1/#",
    "+",  # section 4.7.1.3
    "+/tennis/#",
    "sport/+/player1",
    "/+",
    "+/+",
    "+/#",
    "/",
    "//",
    "/#",
    "a//b",
    "$SYS/#",  # section 4.7.2
    "$SYS/monitor/+",
    "$",
    "$sharex/a",
    "$SHARE/a",
    " ",
    ".*",
    "\ufeff/#",
    "$share/consumer1/sport/tennis/+",  # section 4.8.2
    "$share/consumer2/sport/tennis/+",
    "$share/consumer1//finance",
    "$share/consumer1/sport/tennis/#",
    "$share/consumer1/#",
    "$share/consumer1/+",
    "$share/consumer1//",
    "$share/$share/a",
    "$share/a b/$SYS/#",
]

BAD_FILTERS = [
    ("", r"topic filter is empty.*\[MQTT-4\.7\.3-1\]"),
    ("sport/tennis#", r"'#' must be the last level \[MQTT-4\.7\.1-1\]"),  # section 4.7.1.2
    ("sport/tennis/#/ranking", r"'#' must be the last level \[MQTT-4\.7\.1-1\]"),
    ("#/a", r"\[MQTT-4\.7\.1-1\]"),
    ("##", r"\[MQTT-4\.7\.1-1\]"),
    ("a/#b", r"\[MQTT-4\.7\.1-1\]"),
    ("a/#/", r"\[MQTT-4\.7\.1-1\]"),
    ("#/#", r"\[MQTT-4\.7\.1-1\]"),
    ("sport+", r"'\+' must stand alone in its level \[MQTT-4\.7\.1-2\]"),  # section 4.7.1.3
    ("a/+b/c", r"\[MQTT-4\.7\.1-2\]"),
    ("++", r"\[MQTT-4\.7\.1-2\]"),
    ("a/b+/#", r"\[MQTT-4\.7\.1-2\]"),
    ("+#", r"\[MQTT-4\.7\.1-[12]\]"),
    ("a\0b", r"null character.*\[MQTT-4\.7\.3-2\]"),
    ("\udfff/#", r"surrogate.*\[MQTT-1\.5\.4-1\]"),
    ("x" * 65_536, r"65,536 bytes, at most 65,535 are allowed \[MQTT-4\.7\.3-3\]"),
    ("$share", r"expected \$share/GROUP/FILTER \[MQTT-4\.8\.2-1\]"),
    ("$share/", r"\[MQTT-4\.8\.2-1\]"),
    ("$share//", r"\[MQTT-4\.8\.2-1\]"),
    ("$share//a", r"\[MQTT-4\.8\.2-1\]"),
    ("$share/group", r"\[MQTT-4\.8\.2-1\]"),
    ("$share/group/", r"\[MQTT-4\.8\.2-1\]"),
    ("$share/#", r"\[MQTT-4\.8\.2-[12]\]"),
    ("$share/+/a", r"no wildcard in a share name \[MQTT-4\.8\.2-2\]"),
    ("$share/#/a", r"no wildcard in a share name \[MQTT-4\.8\.2-2\]"),
    ("$share/a+b/c", r"no wildcard in a share name \[MQTT-4\.8\.2-2\]"),
    ("$share/group/a#", r"\[MQTT-4\.7\.1-1\]"),
    ("$share/group/#/a", r"\[MQTT-4\.7\.1-1\]"),
    ("$share/group/a+", r"\[MQTT-4\.7\.1-2\]"),
]


@pytest.mark.parametrize("topic_filter", GOOD_FILTERS, ids=ascii)
def test_a_good_filter_passes(topic_filter: str) -> None:  # section 4.7.1
    check_filter(topic_filter)
    assert has_wildcard(topic_filter) == bool(set(topic_filter) & set("+#"))


@pytest.mark.parametrize(("topic_filter", "what"), BAD_FILTERS, ids=lambda value: ascii(value[:30]))
def test_a_bad_filter_is_refused_with_the_rule_that_it_breaks(topic_filter: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):  # [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
        check_filter(topic_filter)


def test_a_filter_of_the_greatest_length_passes() -> None:  # [MQTT-4.7.3-3]
    assert MAX_TOPIC_BYTES == 65_535
    check_filter("x/" * 32_766 + "x/#")


def test_an_error_quotes_a_topic_escaped_and_short() -> None:  # section 4.13
    assert shown("a\nb") == r"'a\nb'"
    assert shown("x" * 80) == f"'{'x' * 80}'"
    assert shown("x" * 81) == f"'{'x' * 80}'..."


@pytest.mark.parametrize(
    ("topic_filter", "group", "rest"),
    [
        ("$share/consumer1/sport/tennis/+", "consumer1", "sport/tennis/+"),
        ("$share/consumer1//finance", "consumer1", "/finance"),
        ("$share/g/#", "g", "#"),
        ("$share/g/$SYS/#", "g", "$SYS/#"),
        ("$share/$share/$share/g/a", "$share", "$share/g/a"),
        ("$share/g//", "g", "/"),
        ("sport/tennis/+", "", "sport/tennis/+"),
        ("/$share/g/a", "", "/$share/g/a"),
        ("$SHARE/g/a", "", "$SHARE/g/a"),
        ("$sharex/g/a", "", "$sharex/g/a"),
        ("share/g/a", "", "share/g/a"),
    ],
)
def test_a_shared_filter_is_a_group_and_a_filter(topic_filter: str, group: str, rest: str) -> None:  # [MQTT-4.8.2-1]
    check_filter(topic_filter)
    assert split_shared(topic_filter) == (group, rest)
    assert is_shared(topic_filter) == (group != "")


# --- Matching ---


@pytest.mark.parametrize(
    ("topic_filter", "name", "expected"),
    [
        # Section 4.7.1.2: the multi-level wildcard.
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/#", "sports", False),
        ("#", "sport", True),
        ("#", "/", True),
        ("/#", "/", True),
        ("/#", "a", False),
        ("a/#", "a/", True),
        ("a/b/#", "a", False),
        # Section 4.7.1.3: the single-level wildcard.
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player2", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("+", "finance", True),
        ("+/tennis/#", "sport/tennis", True),
        ("+/tennis/#", "sport/tennis/player1", True),
        ("sport/+/player1", "sport/tennis/player1", True),
        ("sport/+/player1", "sport/player1", False),
        ("+/#", "a", True),
        ("+/+/#", "a", False),
        # Section 4.7.2: names that begin with $.
        ("#", "$SYS/broker", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("+/#", "$SYS/broker", False),
        ("+", "$SYS", False),
        ("$SYS/#", "$SYS/monitor/Clients", True),
        ("$SYS/#", "$SYS", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("$SYS/+/Clients", "$SYS/monitor/Clients", True),
        ("/#", "/$SYS", True),
        ("a/+", "a/$b", True),
        # Section 4.7.3: names are compared character by character.
        ("ACCOUNTS", "Accounts", False),
        ("/finance", "finance", False),
        ("finance", "finance/", False),
        ("a//b", "a/b", False),
        ("a//b", "a//b", True),
        ("a/+/b", "a//b", True),
        ("/", "/", True),
        ("/", "//", False),
        ("\u00e9", "e\u0301", False),
        ("\ufeffa", "a", False),
        ("a b", "a b", True),
        (".*", "ab", False),
        ("a.c", "abc", False),
        ("[a]", "a", False),
    ],
    ids=ascii,
)
def test_a_filter_matches_what_the_text_says(topic_filter: str, name: str, expected: bool) -> None:  # [MQTT-4.7.2-1]
    check_filter(topic_filter)  # [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-4]
    check_name(name)
    assert matches(topic_filter, name) is expected


def model(topic_filter: str, name: str) -> bool:
    """The same, said as a regular expression."""
    if name.startswith("$") and topic_filter[0] in "+#":
        return False
    pattern = re.escape(topic_filter).replace(r"\+", "[^/]*")
    if pattern == r"\#":
        pattern = ".*"
    elif pattern.endswith(r"/\#"):
        pattern = pattern.removesuffix(r"/\#") + "(/.*)?"
    return re.fullmatch(pattern, name, re.DOTALL) is not None


levels = st.sampled_from(["", "a", "b", "ab", "$SYS", ".", "\n", "\u00e9"])
names = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool)


@st.composite
def filters(draw: st.DrawFn) -> str:
    """Valid filters over the same few levels as ``names``."""
    parts = draw(st.lists(levels | st.just("+"), max_size=4)) + draw(st.sampled_from([[], ["#"]]))
    return "/".join(parts) or "+"


@law
@given(filters(), names)
@example("a/#", "a")
@example("+/#", "$SYS")
def test_matching_agrees_with_a_regular_expression(topic_filter: str, name: str) -> None:  # section 4.7
    assert matches(topic_filter, name) == model(topic_filter, name)


@law
@given(names)
def test_a_name_matches_itself_and_the_filters_that_it_can_be_cut_to(name: str) -> None:  # section 4.7
    check_name(name)
    check_filter(name)
    assert matches(name, name)
    assert matches(name + "/#", name)
    assert matches("#", name) == (not name.startswith("$"))
    parts = name.split("/")
    for index in range(1, len(parts)):
        assert matches("/".join([*parts[:index], "#"]), name)
        assert matches("/".join([*parts[:index], "+", *parts[index + 1 :]]), name)


@law
@given(st.text(st.sampled_from("ab/+#$\0"), max_size=8))
def test_a_filter_passes_exactly_if_each_wildcard_stands_alone(topic_filter: str) -> None:  # [MQTT-4.7.1-1]
    is_valid = (
        re.fullmatch(r"(?:(?:\+|[^+#\0/]*)/)*(?:\+|\#|[^+#\0/]*)", topic_filter) is not None and topic_filter != ""
    )
    try:
        check_filter(topic_filter)
    except ValueError:
        assert not is_valid
    else:
        assert is_valid
