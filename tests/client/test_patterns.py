"""Patterns: filters whose levels have names, and the levels of a topic by these names."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from telex.client.patterns import Pattern
from telex.topics import matches, split_shared

law = settings(max_examples=500, deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("text", "topic_filter", "names"),
    [
        ("home/temp", "home/temp", ()),
        ("home/temp/{room}", "home/temp/+", ("room",)),
        ("{site}/{room}", "+/+", ("site", "room")),
        ("home/{rest:#}", "home/#", ("rest",)),
        ("{rest:#}", "#", ("rest",)),
        ("home/+/{room}/#", "home/+/+/#", ("room",)),
        ("a/{{b}}/c", "a/{b}/c", ()),
        ("{{{{", "{{", ()),
        ("/{x}/", "/+/", ("x",)),
        ("$share/group/home/{room}", "$share/group/home/+", ("room",)),
        ("$share/group/{rest:#}", "$share/group/#", ("rest",)),
        ("$SYS/{name}", "$SYS/+", ("name",)),
        ("{größe}", "+", ("größe",)),
    ],
)
def test_a_pattern_is_a_filter_with_names(text: str, topic_filter: str, names: tuple[str, ...]) -> None:
    pattern = Pattern(text)
    assert (pattern.text, pattern.topic_filter, pattern.names) == (text, topic_filter, names)
    assert repr(pattern) == f"Pattern({text!r})"


@pytest.mark.parametrize(
    ("text", "topic", "levels"),
    [
        ("home/temp", "home/temp", {}),
        ("home/temp", "home/temp/", None),
        ("home/temp", "home/tempo", None),
        ("home/{room}", "home/attic", {"room": "attic"}),
        ("home/{room}", "home/", {"room": ""}),
        ("home/{room}", "home", None),
        ("home/{room}", "home/attic/lamp", None),
        ("home/{room}", "home/a\nb", {"room": "a\nb"}),
        ("{a}/{b}", "/", {"a": "", "b": ""}),
        ("home/+/{room}", "home/1/attic", {"room": "attic"}),
        ("home/{rest:#}", "home/a/b/c", {"rest": "a/b/c"}),
        ("home/{rest:#}", "home/a\nb/c", {"rest": "a\nb/c"}),
        ("home/{rest:#}", "home/", {"rest": ""}),
        ("home/{rest:#}", "home", {"rest": ""}),  # a/# matches a
        ("home/{rest:#}", "homes", None),
        ("home/#", "home", {}),
        ("home/{room}/#", "home/attic/a/b", {"room": "attic"}),
        ("home/{room}/#", "home", None),
        ("{rest:#}", "a/b", {"rest": "a/b"}),
        ("#", "a/b", {}),
        ("a.c", "abc", None),
        ("{x}.c", None, None),
        ("$share/group/home/{room}", "home/attic", {"room": "attic"}),
        ("$share/group/home/{room}", "$share/group/home/attic", None),
        ("$share/group/home/attic", "home/attic", {}),
        ("a/{{b}}", "a/{b}", {}),
    ],
)
def test_the_levels_of_a_topic_have_the_names_of_the_pattern(
    text: str, topic: str | None, levels: dict[str, str] | None
) -> None:
    if topic is None:
        with pytest.raises(ValueError, match="must be a whole level"):
            Pattern(text)
    else:
        assert Pattern(text).match(topic) == levels


@pytest.mark.parametrize("text", ["{a}/b", "+/b", "{rest:#}", "#", "$share/g/{a}/b"])
def test_a_wildcard_in_front_matches_no_topic_that_begins_with_a_dollar(text: str) -> None:  # [MQTT-4.7.2-1]
    assert Pattern(text).match("$SYS/b") is None
    assert Pattern("$SYS/{name}").match("$SYS/b") == {"name": "b"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "topic filter is empty"),
        ("a/{x}/{x}", "pattern 'a/{x}/{x}': the name 'x' is there twice"),
        ("a/{x}/{x:#}", "the name 'x' is there twice"),
        ("a/{}", "braces without a name; a level without a name is '+'"),
        ("a/{:#}", "braces without a name"),
        ("a/{1}", "'1' cannot be the name of a parameter"),
        ("a/{a-b}", "'a-b' cannot be the name of a parameter"),
        ("a/{ b }", "' b ' cannot be the name of a parameter"),
        ("a/{class}", "'class' cannot be the name of a parameter"),
        ("a/{x:int}", "found {x:int}, expected {x}, or {x:#} as the last level; types stand in the annotations"),
        ("a/b{x}", "'{x}' must be a whole level"),
        ("a/{x}b", "'{x}' must be a whole level"),
        ("a/{x}{y}", "'{x}' must be a whole level"),
        ("a/{{{x}}}", "'{x}' must be a whole level"),
        ("a/{x", "a single '{'; expected {name} as a whole level, or '{{'"),
        ("a/x}", "a single '}'; expected {name} as a whole level, or '}}'"),
        ("a/{x/y}", "a single '{'"),
        ("{rest:#}/b", "'#' must be the last level [MQTT-4.7.1-1]"),
        ("a/#/{x}", "'#' must be the last level [MQTT-4.7.1-1]"),
        ("a/b+", "'+' must stand alone in its level [MQTT-4.7.1-2]"),
        ("a/{{+}}", "'+' must stand alone in its level [MQTT-4.7.1-2]"),
        ("$share/g", "expected $share/GROUP/FILTER [MQTT-4.8.2-1]"),
        ("$share/{g}/a", "a share name has no names in it"),
        ("$share/+/a", "no wildcard in a share name [MQTT-4.8.2-2]"),
        ("a/\0", "a null character is not allowed [MQTT-4.7.3-2]"),
        ("x" * 65_536, "at most 65,535 are allowed"),
    ],
    ids=lambda value: value[:30].encode("unicode_escape").decode(),
)
def test_what_cannot_be_a_pattern_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^pattern ") as refused:
        Pattern(text)
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_pattern_may_have_as_many_levels_as_a_topic() -> None:
    pattern = Pattern("/".join(f"{{x{number}}}" for number in range(5_000)))
    levels = pattern.match("/".join("a" * 5_000))
    assert levels is not None
    assert len(levels) == 5_000
    assert pattern.match("/".join("a" * 5_001)) is None


level = st.sampled_from(["a", "b", "", "$a", "a.", "{", "}", "\n", "é"])
topic = st.lists(level, min_size=1, max_size=5).map("/".join).filter(bool)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """Patterns of a few levels, with and without names."""
    levels = draw(st.lists(level | st.sampled_from(["+", "{}"]), max_size=4))
    if not levels or draw(st.booleans()):
        levels.append(draw(st.sampled_from(["#", "{}", "{:#}", "+", "a"])))
    said = []
    for number, each in enumerate(levels):
        if each.startswith("{") and each.endswith("}"):
            said.append(f"{{x{number}{each[1:-1]}}}")
        else:
            said.append(each.replace("{", "{{").replace("}", "}}"))
    assume("/".join(said))
    return draw(st.sampled_from(["", "$share/g/"])) + "/".join(said)


@law
@given(patterns(), topic)
@example("a/{x:#}", "a")
@example("$share/g/{x}", "$a")
def test_a_pattern_matches_what_its_filter_matches(text: str, topic: str) -> None:
    pattern = Pattern(text)
    levels = pattern.match(topic)
    assert (levels is not None) == matches(split_shared(pattern.topic_filter)[1], topic)


@law
@given(patterns(), topic)
def test_the_levels_put_in_their_places_give_the_topic(text: str, topic: str) -> None:
    pattern = Pattern(text)
    levels = pattern.match(topic)
    assume(levels is not None)
    assert levels is not None
    assert tuple(levels) == pattern.names
    parts = topic.split("/")
    for name, value in levels.items():
        index = int(name[1:])
        whole = f"{{{name}:#}}" in text
        assert value == ("/".join(parts[index:]) if whole else parts[index])
