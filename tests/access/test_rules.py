"""Telex's own rules: what they say, and that what is worked out at login says the same."""

import ipaddress
import itertools
from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telex import topics
from telex.engine.permissions import Permissions
from telex.server.access.rules import Rules, covers, problems
from telex.server.config import Access, ConfigError, Http, Jwt, Plugin, Rule

GROUPS = {"staff": ["ann", "bob"], "guests": [""], "bots": ["bot-*"], "nobody": []}


def client(
    *rules: Rule, user: str = "ann", client_id: str = "c1", host: str = "192.0.2.7", groups: tuple[str, ...] = ()
) -> Permissions:
    """What rules allow a client."""
    return Rules(rules, GROUPS, groups_may_come=True).permissions(user, client_id, host, groups)


def answer(permissions: Permissions, action: str, topic: str) -> tuple[int, bool, str]:
    grant = {
        "publish": permissions.grant_publish,
        "subscribe": permissions.grant_subscribe,
        "receive": permissions.grant_receive,
    }[action](topic)
    return grant.max_qos, grant.may_retain, grant.rule


def decides(permissions: Permissions, action: str, topic: str) -> tuple[bool, str]:
    """Whether it is allowed, and which rule says so: its number, or "" for none."""
    max_qos, _, rule = answer(permissions, action, topic)
    return max_qos >= 0, rule.removeprefix("rule ").split(" ")[0] if rule.startswith("rule ") else ""


# The first rule that fits decides

SECRET = [
    Rule(deny=["subscribe"], topics=["secret/#"]),
    Rule(allow=["subscribe"], topics=["#"]),
]
HOME = [
    Rule(allow=["publish"], topics=["home/safe"], users=["ann"]),
    Rule(deny=["publish"], topics=["home/safe", "home/alarm/#"]),
    Rule(allow=["publish", "subscribe"], topics=["home/#"]),
    Rule(allow=["subscribe"], topics=["news/+", "weather"]),
]
RECEIVE = [
    Rule(deny=["receive"], topics=["secret/#"]),
    Rule(allow=["receive"], topics=["extra/#"]),
    Rule(allow=["subscribe"], topics=["#"]),
]
PARTS = [
    Rule(allow=["subscribe"], topics=["a/public/#"]),
    Rule(deny=["subscribe"], topics=["a/#"]),
    Rule(allow=["subscribe"], topics=["a/too-late", "+/b", "c"]),
]


@pytest.mark.parametrize(
    ("rules", "action", "topic", "allowed", "number"),
    [
        # A rule that denies a part of what is asked for: granted, without that part
        (SECRET, "subscribe", "#", True, "2"),
        (SECRET, "subscribe", "+/x", True, "2"),
        (SECRET, "subscribe", "secret/#", False, "1"),
        (SECRET, "subscribe", "secret/+/x", False, "1"),
        (SECRET, "subscribe", "secret", False, "1"),
        (SECRET, "subscribe", "secrets", True, "2"),
        (SECRET, "receive", "secret/x", False, "1"),
        (SECRET, "receive", "secret", False, "1"),
        (SECRET, "receive", "secrets/x", True, "2"),
        (SECRET, "publish", "secrets/x", False, ""),
        (SECRET, "subscribe", "$SYS/#", False, ""),
        (SECRET, "receive", "$SYS/broker/uptime", False, ""),
        # A filter must lie within
        (HOME, "publish", "home/safe", True, "1"),
        (HOME, "publish", "home/alarm", False, "2"),
        (HOME, "publish", "home/alarm/x", False, "2"),
        (HOME, "publish", "home/x", True, "3"),
        (HOME, "publish", "away", False, ""),
        (HOME, "publish", "weather", False, ""),
        (HOME, "subscribe", "home/safe", True, "3"),
        (HOME, "subscribe", "home/+/temp", True, "3"),
        (HOME, "subscribe", "home/#", True, "3"),
        (HOME, "subscribe", "home", True, "3"),
        (HOME, "subscribe", "#", False, ""),
        (HOME, "subscribe", "+/temp", False, ""),
        (HOME, "subscribe", "news/+", True, "4"),
        (HOME, "subscribe", "news/today", True, "4"),
        (HOME, "subscribe", "news/#", False, ""),
        (HOME, "subscribe", "weather", True, "4"),
        (HOME, "subscribe", "weather/#", False, ""),
        (HOME, "receive", "news/today", True, "4"),
        (HOME, "receive", "news/a/b", False, ""),
        # Receiving alone
        (RECEIVE, "subscribe", "secret/x", True, "3"),
        (RECEIVE, "receive", "secret/x", False, "1"),
        (RECEIVE, "receive", "extra/x", True, "2"),
        (RECEIVE, "receive", "other", True, "3"),
        (RECEIVE[:2], "subscribe", "extra/x", False, ""),
        # The order
        (PARTS, "subscribe", "a/public/x", True, "1"),
        (PARTS, "subscribe", "a/x", False, "2"),
        (PARTS, "subscribe", "a/+/x", False, "2"),
        (PARTS, "subscribe", "a/too-late", False, "2"),
        (PARTS, "subscribe", "+/b", True, "3"),
        (PARTS, "receive", "a/b", False, "2"),
        (PARTS, "receive", "x/b", True, "3"),
        (PARTS, "receive", "a/public/x", True, "1"),
        # No filters: everything
        ([Rule(allow=["publish"])], "publish", "$other/x", True, "1"),
        ([Rule(allow=["subscribe"])], "subscribe", "$SYS/#", True, "1"),
        ([Rule(allow=["subscribe"])], "receive", "$SYS/x", True, "1"),
        ([Rule(deny=["publish"]), Rule(allow=["publish"])], "publish", "a", False, "1"),
        # No rules, and rules of others
        ([], "publish", "a", False, ""),
        ([], "subscribe", "a", False, ""),
        ([], "receive", "a", False, ""),
        ([Rule(allow=["publish"], users=["bob"])], "publish", "a", False, ""),
    ],
)
def test_the_first_rule_that_fits_decides(
    rules: list[Rule], action: str, topic: str, allowed: bool, number: str
) -> None:
    assert decides(client(*rules), action, topic) == (allowed, number)


# Whom a rule is about


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"users": ["ann"]}, True),
        ({"users": ["bob", "ann"]}, True),
        ({"users": ["bob"]}, False),
        ({"users": ["Ann"]}, False),
        ({"users": ["a*"]}, True),
        ({"users": ["*n*n*"]}, True),
        ({"users": ["a*nn"]}, True),
        ({"users": ["an*nn"]}, False),
        ({"users": ["*"]}, True),
        ({"users": ["a?n", "[a]nn"]}, False),
        ({"users": [""]}, False),
        ({"groups": ["staff"]}, True),
        ({"groups": ["st*"]}, True),
        ({"groups": ["bots"]}, False),
        ({"groups": ["guests"]}, False),
        ({"groups": ["of-the-token"]}, True),
        ({"clients": ["c1"]}, True),
        ({"clients": ["c*", "d"]}, True),
        ({"clients": ["c"]}, False),
        ({"addresses": ["192.0.2.7"]}, True),
        ({"addresses": ["192.0.2.0/24"]}, True),
        ({"addresses": ["0.0.0.0/0"]}, True),
        ({"addresses": ["192.0.3.0/24", "2001:db8::/32"]}, False),
        ({"addresses": ["::ffff:192.0.2.0/120"]}, True),
        ({"addresses": ["::/0"]}, False),
        ({"addresses": ["unix"]}, False),
        ({"addresses": ["unix", "192.0.2.7"]}, True),
        ({"users": ["ann"], "clients": ["other"]}, False),
        ({"users": ["ann"], "groups": ["staff"], "clients": ["c1"], "addresses": ["192.0.2.7"]}, True),
        ({"users": ["ann"], "groups": ["staff"], "clients": ["c1"], "addresses": ["192.0.2.8"]}, False),
    ],
)
def test_all_that_a_rule_names_must_fit(rule: dict[str, list[str]], fits: bool) -> None:
    permissions = client(Rule(allow=["publish"], **rule), groups=("of-the-token",))  # type: ignore[arg-type]
    assert decides(permissions, "publish", "a") == (fits, "1" if fits else "")


@pytest.mark.parametrize(
    ("users", "fits"), [([""], True), (["*"], False), (["ann", ""], True), (["ann"], False), ([], True)]
)
def test_only_the_empty_name_is_about_who_has_none(users: list[str], fits: bool) -> None:
    assert decides(client(Rule(allow=["publish"], users=users), user=""), "publish", "a")[0] is fits


def test_who_has_no_name_may_be_in_a_group() -> None:
    rule = Rule(allow=["publish"], groups=["guests"])
    assert decides(client(rule, user=""), "publish", "a")[0]
    assert not decides(client(rule, user="ann"), "publish", "a")[0]


def test_a_group_may_be_told_by_wildcards() -> None:
    rule = Rule(allow=["publish"], groups=["bots"])
    assert decides(client(rule, user="bot-7"), "publish", "a")[0]


@pytest.mark.parametrize(
    ("host", "addresses", "fits"),
    [
        ("", ["unix"], True),
        ("", ["0.0.0.0/0", "::/0"], False),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("2001:db8::1", ["0.0.0.0/0"], False),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"], True),
        ("::ffff:192.0.2.7", ["::/0"], False),
        ("somewhere", ["0.0.0.0/0", "::/0", "unix"], False),
    ],
)
def test_addresses_of_any_kind(host: str, addresses: list[str], fits: bool) -> None:
    assert decides(client(Rule(allow=["publish"], addresses=addresses), host=host), "publish", "a")[0] is fits


# Names in filters


@pytest.mark.parametrize(
    ("template", "user", "client_id", "topic", "allowed"),
    [
        ("users/{user}/#", "ann", "c1", "users/ann/x", True),
        ("users/{user}/#", "ann", "c1", "users/ann", True),
        ("users/{user}/#", "ann", "c1", "users/bob/x", False),
        ("users/{user}/#", "ann", "c1", "users/{user}/x", False),
        ("{user}/{client}", "ann", "c1", "ann/c1", True),
        ("{user}/{client}", "ann", "c1", "c1/ann", False),
        ("dev-{client}/x", "ann", "c1", "dev-c1/x", True),
        ("dev-{client}/x", "ann", "c1", "dev-c2/x", False),
        ("{user}-{client}", "ann", "c1", "ann-c1", True),
        ("{user}{user}", "ann", "c1", "annann", True),
        ("a/{user}", "{client}", "c1", "a/{client}", True),
        ("a/{user}", "{client}", "c1", "a/c1", False),
        ("a/{user}", "\\1", "c1", "a/\\1", True),
        # Values that could mean more than a name
        ("users/{user}/x", "", "c1", "users//x", False),
        ("users/{user}/x", "+", "c1", "users/ann/x", False),
        ("users/{user}", "#", "c1", "users/ann", False),
        ("users/{user}", "a/b", "c1", "users/a/b", False),
        ("dev-{client}", "ann", "a+b", "dev-a+b", False),
        ("dev-{client}/#", "ann", "a/b", "dev-a/b", False),
        ("{user}/x", "$SYS", "c1", "$SYS/x", False),
        ("{user}", "$other", "c1", "$other", False),
        ("$other/{user}", "$x", "c1", "$other/$x", True),
        ("a/{user}", "$x", "c1", "a/$x", True),
    ],
)
def test_names_are_filled_in(template: str, user: str, client_id: str, topic: str, allowed: bool) -> None:
    permissions = client(
        Rule(allow=["publish", "subscribe"], topics=[template]), user=user, client_id=client_id, host=""
    )
    assert decides(permissions, "publish", topic)[0] is allowed
    assert decides(permissions, "receive", topic)[0] is allowed


def test_a_subscription_lies_within_a_filter_with_names() -> None:
    permissions = client(Rule(allow=["subscribe"], topics=["users/{user}/#"]))
    assert decides(permissions, "subscribe", "users/ann/+/x")[0]
    assert not decides(permissions, "subscribe", "users/+/x")[0]
    assert not decides(permissions, "subscribe", "users/#")[0]


def test_a_filter_that_a_name_does_not_fit_leaves_the_others_of_its_rule() -> None:
    permissions = client(Rule(allow=["publish"], topics=["users/{user}", "all"]), user="")
    assert decides(permissions, "publish", "all")[0]
    assert not decides(permissions, "publish", "users/")[0]


# Limits, and what is told


def test_an_answer_has_the_limits_of_its_rule() -> None:
    permissions = client(
        Rule(allow=["publish"], topics=["a/b"], max_qos=0),
        Rule(allow=["publish", "subscribe"], topics=["a/#"], max_qos=1, retain=False),
        Rule(deny=["publish"], topics=["c"]),
    )
    assert answer(permissions, "publish", "a/b") == (0, True, "rule 1 (allow publish to a/b)")
    assert answer(permissions, "publish", "a/c") == (1, False, "rule 2 (allow publish and subscribe to a/#)")
    assert answer(permissions, "subscribe", "a/+") == (1, False, "rule 2 (allow publish and subscribe to a/#)")
    assert answer(permissions, "receive", "a/b") == (1, False, "rule 2 (allow publish and subscribe to a/#)")
    assert answer(permissions, "publish", "c") == (-1, False, "rule 3 (deny publish to c)")
    assert answer(permissions, "publish", "d") == (-1, False, "no rule allows it")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule(allow=["publish"]), "rule 1 (allow publish to everything)"),
        (Rule(deny=["publish"], topics=["secret/#"]), "rule 1 (deny publish to secret/#)"),
        (Rule(allow=["publish", "publish"], topics=["a", "b"]), "rule 1 (allow publish to a, b)"),
        (Rule(allow=["publish"], topics=["a", "b", "c", "d", "e"]), "rule 1 (allow publish to a, b, c and 2 more)"),
        (Rule(allow=["publish"], topics=["{user}/#"]), "rule 1 (allow publish to {user}/#)"),
    ],
)
def test_a_rule_is_told_as_it_is_written(rule: Rule, text: str) -> None:
    topic = "ann/x" if rule.topics == ["{user}/#"] else "secret/x" if "secret/#" in rule.topics else "a"
    assert answer(client(rule), "publish", topic)[2] == text


def test_rules_of_a_token_have_a_title_of_their_own() -> None:
    rules = Rules([Rule(allow=["publish"])], {}, title="the token's rule")
    permissions = rules.permissions("ann", "c1", "")
    assert answer(permissions, "publish", "a")[2] == "the token's rule 1 (allow publish to everything)"


def test_rules_are_those_of_the_description() -> None:
    access = Access(groups={"staff": ["ann"]}, rules=[Rule(allow=["publish"], groups=["staff"])])
    assert decides(Rules.of(access).permissions("ann", "c1", ""), "publish", "a") == (True, "1")
    assert decides(Rules.of(access).permissions("bob", "c1", ""), "publish", "a") == (False, "")


# Whether messages have to be looked at one by one

EVERYTHING = Rule(allow=["subscribe"])


@pytest.mark.parametrize(
    ("rules", "limits"),
    [
        ([EVERYTHING], False),
        ([Rule(allow=["receive"])], False),
        ([Rule(deny=["publish"]), EVERYTHING], False),
        ([Rule(allow=["subscribe"], topics=["a"]), EVERYTHING], False),
        ([EVERYTHING, Rule(deny=["receive"], topics=["secret"])], False),
        ([Rule(deny=["subscribe"], users=["bob"]), EVERYTHING], False),
        ([Rule(deny=["subscribe"], topics=["{user}/x"], users=[""]), EVERYTHING], False),
        ([], True),
        ([Rule(allow=["publish"])], True),
        ([Rule(allow=["subscribe"], topics=["#"])], True),
        ([Rule(allow=["subscribe"], topics=["home/#"])], True),
        ([Rule(deny=["receive"], topics=["secret"]), EVERYTHING], True),
        ([Rule(allow=["subscribe"], topics=["a"], max_qos=0), EVERYTHING], True),
        ([Rule(allow=["subscribe"], topics=["a"], retain=False), EVERYTHING], True),
        ([Rule(allow=["subscribe"], max_qos=1)], True),
        ([Rule(allow=["subscribe"], users=["bob"])], True),
    ],
)
def test_messages_are_looked_at_only_where_a_rule_can_say_no(rules: list[Rule], limits: bool) -> None:
    assert client(*rules).limits_receiving is limits


# What cannot be a rule


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(), "rule 2: allow: expected publish, subscribe or receive in a list, here or in deny"),
        (
            Rule(allow=["publish"], deny=["subscribe"]),
            "rule 2: deny: the rule allows something, too: expected allow or deny; make two rules of it",
        ),
        (
            Rule(deny=["publish"], max_qos=1),
            "rule 2: max_qos: a rule that denies leaves nothing to limit; take it out, or use allow",
        ),
        (
            Rule(deny=["publish"], retain=False),
            "rule 2: retain: a rule that denies leaves nothing to limit; take it out, or use allow",
        ),
        (
            Rule(allow=["publish"], topics=["a", "b/#/c"]),
            "rule 2: topics: topic filter 'b/#/c': '#' must be the last level [MQTT-4.7.1-1]",
        ),
        (
            Rule(allow=["publish"], topics=["{user}+"]),
            "rule 2: topics: topic filter 'x+': '+' must stand alone in its level [MQTT-4.7.1-2]",
        ),
        (
            Rule(allow=["publish"], topics=[""]),
            "rule 2: topics: topic filter is empty; it needs at least one character [MQTT-4.7.3-1]",
        ),
        (
            Rule(allow=["publish"], topics=["a/{username}"]),
            "rule 2: topics: 'a/{username}': expected {user} or {client}, not {username}",
        ),
        (Rule(allow=["publish"], topics=["a/{}"]), "rule 2: topics: 'a/{}': expected {user} or {client}, not {}"),
        (
            Rule(allow=["subscribe"], topics=["$share/g/a"]),
            "rule 2: topics: '$share/g/a': expected the filter alone, without $share and group",
        ),
        (
            Rule(allow=["publish"], addresses=["192.0.2"]),
            "rule 2: addresses: '192.0.2': expected an address, a network such as 192.0.2.0/24, or unix",
        ),
        (
            Rule(allow=["publish"], addresses=["192.0.2.7/24"]),
            "rule 2: addresses: '192.0.2.7/24' is one address in a network; did you mean 192.0.2.0/24?",
        ),
        (
            Rule(allow=["publish"], addresses=["localhost"]),
            "rule 2: addresses: 'localhost': expected an address, a network such as 192.0.2.0/24, or unix",
        ),
        (
            Rule(allow=["publish"], groups=["stuff"]),
            "rule 2: groups: there is no group 'stuff'; there are 'staff', 'guests', 'bots', 'nobody'",
        ),
        (
            Rule(allow=["publish"], groups=["st-*"]),
            "rule 2: groups: there is no group 'st-*'; there are 'staff', 'guests', 'bots', 'nobody'",
        ),
    ],
)
def test_what_cannot_be_a_rule_is_refused_with_its_number_and_field(rule: Rule, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Rules([Rule(allow=["publish"]), rule], GROUPS)
    assert str(raised.value) == message


def test_without_groups_that_is_said() -> None:
    with pytest.raises(ConfigError, match=r"there is no group 'staff'; access\.groups is empty"):
        Rules([Rule(allow=["publish"], groups=["staff"])], {})


@pytest.mark.parametrize(
    "access",
    [
        Access(jwt=[Jwt(keys="keys.pem", algorithms=["RS256"])]),
        Access(http=[Http(url="https://localhost/")]),
        Access(plugins=[Plugin(name="mine")]),
    ],
)
def test_a_group_may_come_from_elsewhere(access: Access) -> None:
    rule = Rule(allow=["publish"], groups=["of-theirs"])
    rules = Rules.of(Access(jwt=access.jwt, http=access.http, plugins=access.plugins, rules=[rule]))
    assert decides(rules.permissions("ann", "c1", "", ["of-theirs"]), "publish", "a")[0]
    assert not decides(rules.permissions("ann", "c1", ""), "publish", "a")[0]


def test_each_problem_of_a_rule_has_its_place() -> None:
    rule = Rule(allow=["publish"], topics=["a", "b#"], addresses=["unix", "x"], groups=["staff", "y"])
    places = [place for place, _ in problems(rule, GROUPS)]
    assert places == [("topics", 1), ("addresses", 1), ("groups", 1)]


# Lint


@pytest.mark.parametrize(
    ("rules", "remarks"),
    [
        (SECRET, []),
        (HOME, []),
        (
            [EVERYTHING, Rule(deny=["receive"], topics=["secret/#"])],
            [
                "rule 2 (deny receive to secret/#): never decides, since rule 1 (allow subscribe to everything) "
                "decides before it"
            ],
        ),
        ([Rule(allow=["receive"]), Rule(deny=["subscribe"], topics=["a"])], []),
        (
            [Rule(allow=["publish"], topics=["a/#"]), Rule(deny=["publish"], topics=["a/+/b", "a"], users=["ann"])],
            ["rule 2 (deny publish to a/+/b, a): never decides, since rule 1 (allow publish to a/#) decides before it"],
        ),
        ([Rule(allow=["publish"], topics=["a/#"]), Rule(deny=["publish"], topics=["a", "b"])], []),
        ([Rule(allow=["publish"], users=["ann"]), Rule(deny=["publish"])], []),
        ([Rule(allow=["publish"], users=["a*"]), Rule(deny=["publish"], users=["an*", "ann"])], "rule 2"),
        ([Rule(allow=["publish"], users=["an*"]), Rule(deny=["publish"], users=["a*"])], []),
        ([Rule(allow=["publish"], users=["*"]), Rule(deny=["publish"], users=[""])], []),
        (
            [Rule(allow=["publish"], addresses=["192.0.2.0/24"]), Rule(deny=["publish"], addresses=["192.0.2.7"])],
            "rule 2",
        ),
        ([Rule(allow=["publish"], addresses=["192.0.2.7"]), Rule(deny=["publish"], addresses=["192.0.2.0/24"])], []),
        ([Rule(allow=["publish"], addresses=["0.0.0.0/0"]), Rule(deny=["publish"], addresses=["unix"])], []),
        ([Rule(allow=["publish"], addresses=["unix"]), Rule(deny=["publish"], addresses=["unix"])], "rule 2"),
        ([Rule(allow=["publish"], addresses=["::/0"]), Rule(deny=["publish"], addresses=["192.0.2.7"])], []),
        ([Rule(allow=["publish"], topics=["+/{user}"]), Rule(deny=["publish"], topics=["a/{user}"])], "rule 2"),
        ([Rule(allow=["publish"], topics=["a/{user}"]), Rule(deny=["publish"], topics=["a/{client}"])], []),
        ([Rule(allow=["publish"], topics=["a/+"]), Rule(deny=["publish"], topics=["a/x{user}"])], "rule 2"),
        ([Rule(allow=["publish"], topics=["#"]), Rule(deny=["publish"])], []),
        (
            [
                Rule(allow=["publish"], topics=["a"]),
                Rule(deny=["publish"], topics=["b"]),
                Rule(allow=["publish"], topics=["a", "b"]),
            ],
            "rule 3",
        ),
    ],
)
def test_rules_that_never_decide_are_found(rules: list[Rule], remarks: list[str] | str) -> None:
    found = Rules(rules, {}).lint()
    if isinstance(remarks, str):
        assert [remark[: len(remarks)] for remark in found] == [remarks]
    else:
        assert found == remarks


def test_a_group_that_no_rule_is_about_is_found() -> None:
    rules = Rules([Rule(allow=["publish"], groups=["st*"])], {"staff": ["ann"], "guests": [""]})
    assert rules.lint() == ["group 'guests': no rule is about it"]


# What is worked out at login says what the rules say, read one by one

LEVELS = st.sampled_from(["a", "b", "", "$s", "ann", "c1"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=3).map("/".join).filter(bool)
TEMPLATE_LEVELS = st.sampled_from(["a", "b", "", "+", "+", "$s", "{user}", "{client}", "x{user}", "ann"])


@st.composite
def templates(draw: st.DrawFn) -> str:
    """Filters, with names to be filled in."""
    levels = draw(st.lists(TEMPLATE_LEVELS, max_size=3))
    if draw(st.booleans()) or not levels:
        levels.append("#")
    return "/".join(levels) or "+"


FILTERS = templates().filter(lambda template: "{" not in template)
ACTIONS = st.lists(st.sampled_from(["publish", "subscribe", "receive"]), min_size=1, max_size=2, unique=True)
WHOM = {
    "users": st.lists(st.sampled_from(["ann", "a*", "", "*", "bob"]), max_size=2),
    "groups": st.lists(st.sampled_from(["staff", "guests", "b*"]), max_size=1),
    "clients": st.lists(st.sampled_from(["c1", "c*", "*2"]), max_size=1),
    "addresses": st.lists(st.sampled_from(["unix", "192.0.2.0/24", "192.0.2.7", "::/0"]), max_size=2),
}


@st.composite
def one_rule(draw: st.DrawFn) -> Rule:
    """A rule that may be."""
    whom = {field: draw(values) for field, values in WHOM.items() if draw(st.integers(0, 3)) == 0}
    about = draw(st.lists(templates(), max_size=2))
    actions = draw(ACTIONS)
    if draw(st.booleans()):
        return Rule(deny=actions, topics=about, **whom)
    limits = {"max_qos": draw(st.integers(0, 2)), "retain": draw(st.booleans())} if draw(st.booleans()) else {}
    return Rule(allow=actions, topics=about, **whom, **limits)  # type: ignore[arg-type]


CLIENTS = st.tuples(
    st.sampled_from(["ann", "bob", "", "a+b", "$s", "bot-1"]),
    st.sampled_from(["c1", "c2", "#", "a/b"]),
    st.sampled_from(["", "192.0.2.7", "192.0.2.8", "2001:db8::1", "::ffff:192.0.2.7"]),
)


def all_topics() -> list[str]:
    """All topics of up to four levels of a small alphabet: where two small filters differ, one of these shows it."""
    levels = ["", "a", "b", "$s", "z"]
    found = ["/".join(path) for depth in (1, 2, 3, 4) for path in itertools.product(levels, repeat=depth)]
    return [topic for topic in found if topic]


ALL_TOPICS = all_topics()
SMALL_FILTERS = (
    st.lists(st.sampled_from(["", "a", "b", "+", "$s"]), max_size=3)
    .flatmap(lambda levels: st.sampled_from([levels, [*levels, "#"]]))
    .map("/".join)
    .filter(bool)
)


@settings(max_examples=400, deadline=None)
@given(SMALL_FILTERS, SMALL_FILTERS)
@example("+/#", "#")
@example("/+/#", "/#")
@example("+/+/#", "+/#")
@example("a/+/#", "a/#")
def test_a_filter_covers_another_if_it_matches_all_its_topics(wider: str, narrower: str) -> None:
    expected = all(topics.matches(wider, topic) for topic in ALL_TOPICS if topics.matches(narrower, topic))
    assert covers(wider, narrower) is expected


def naive(rules: list[Rule], user: str, client_id: str, host: str, action: str, topic: str) -> tuple[int, bool, str]:
    """The answer by the words of the documentation, rule by rule, for one question."""

    def named(name: str, wanted: list[str]) -> bool:
        return not wanted or any(name == want or (name != "" and fnmatchcase(name, want)) for want in wanted)

    def placed(wanted: list[str]) -> bool:
        if not wanted or not host:
            return not wanted or "unix" in wanted
        address = ipaddress.ip_address(host)
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in ipaddress.ip_network(want) for want in wanted if want != "unix")

    def about(template: str) -> bool:
        filled = template
        for word, value in (("{user}", user), ("{client}", client_id)):
            if word in template and (not value or set(value) & set("+#/")):
                return False
            filled = filled.replace(word, value)
        if template.startswith("{") and filled.startswith("$"):
            return False
        return covers(filled, topic) if action == "subscribe" else topics.matches(filled, topic)

    groups = {name for name, users in GROUPS.items() if users and named(user, users)}
    for number, rule in enumerate(rules, 1):
        actions = rule.allow or rule.deny
        if action not in actions and not (action == "receive" and "subscribe" in actions):
            continue
        if not (named(user, rule.users) and named(client_id, rule.clients) and placed(rule.addresses)):
            continue
        if rule.groups and not any(named(group, rule.groups) for group in groups):
            continue
        if not rule.topics or any(about(template) for template in rule.topics):
            return (rule.max_qos, rule.retain, str(number)) if rule.allow else (-1, False, str(number))
    return -1, False, ""


def without_text(found: tuple[int, bool, str]) -> tuple[int, bool, str]:
    max_qos, may_retain, rule = found
    return max_qos, may_retain, rule.split(" ")[1] if rule.startswith("rule ") else ""


@settings(max_examples=400, deadline=None)
@given(
    st.lists(one_rule(), max_size=6), CLIENTS, st.lists(TOPICS, min_size=1, max_size=5), st.lists(FILTERS, max_size=5)
)
def test_what_is_worked_out_at_login_says_what_the_rules_say(
    rules: list[Rule], who: tuple[str, str, str], names: list[str], filters: list[str]
) -> None:
    permissions = Rules(rules, GROUPS).permissions(*who)
    for topic in names:
        for action in ("publish", "receive"):
            assert without_text(answer(permissions, action, topic)) == naive(rules, *who, action, topic)
        if not permissions.limits_receiving:
            assert naive(rules, *who, "receive", topic)[:2] == (2, True)
    for topic_filter in filters:
        assert without_text(answer(permissions, "subscribe", topic_filter)) == naive(
            rules, *who, "subscribe", topic_filter
        )


@settings(max_examples=400, deadline=None)
@given(st.lists(one_rule(), min_size=2, max_size=5), CLIENTS, st.lists(TOPICS, min_size=1), st.lists(FILTERS))
def test_what_lint_says_never_decides_never_does(
    rules: list[Rule], who: tuple[str, str, str], names: list[str], filters: list[str]
) -> None:
    idle = {remark.split(" ")[1] for remark in Rules(rules, {}, groups_may_come=True).lint()}
    permissions = Rules(rules, GROUPS).permissions(*who)
    asked = [(action, topic) for topic in names for action in ("publish", "receive")]
    for action, topic in [*asked, *(("subscribe", topic_filter) for topic_filter in filters)]:
        assert decides(permissions, action, topic)[1] not in idle


def test_a_name_made_to_be_hard_takes_no_time() -> None:
    rule = Rule(allow=["publish"], clients=["*a" * 200 + "*b"])
    assert not decides(client(rule, client_id="a" * 65_535), "publish", "t")[0]
