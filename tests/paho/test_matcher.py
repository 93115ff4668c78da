"""Values under topic filters: what paho-mqtt does with each example, and Telex too."""

import copy
import pickle
from types import ModuleType
from typing import Any

import paho.mqtt.matcher
import pytest
from hypothesis import given
from hypothesis import strategies as st

import telex.paho.matcher


@pytest.fixture(params=[paho.mqtt.matcher, telex.paho.matcher], ids=["paho", "telex"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


def matcher(module: ModuleType, *filters: str) -> Any:
    """Each filter with itself as its value."""
    made = module.MQTTMatcher()
    for topic_filter in filters:
        made[topic_filter] = topic_filter
    return made


@pytest.mark.parametrize(
    ("topic_filter", "topic", "does_match"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a", False),
        ("a", "a/b", False),
        ("+", "a", True),
        ("+", "a/b", False),
        ("+/+", "/a", True),
        ("/+", "/a", True),
        ("+", "/a", False),
        ("+/b", "a/b", True),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("a/+/#", "a/b", True),
        ("a/+/#", "a", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/+", "$SYS/x", True),
        ("a/+", "a/$b", True),
        ("A", "a", False),
        ("", "", True),
        ("+", "", True),
        ("a/#/b", "a/x/b", False),
    ],
)
def test_a_filter_matches(module: ModuleType, topic_filter: str, topic: str, does_match: bool) -> None:
    assert list(matcher(module, topic_filter).iter_match(topic)) == ([topic_filter] if does_match else [])


def test_exact_filters_come_first_then_plus_then_hash(module: ModuleType) -> None:
    filters = ["#", "a/#", "+/b", "a/b/#", "a/+", "a/b", "+/+", "+/#", "a/+/#"]
    assert list(matcher(module, *filters).iter_match("a/b")) == [
        "a/b",
        "a/b/#",
        "a/+",
        "a/+/#",
        "a/#",
        "+/b",
        "+/+",
        "+/#",
        "#",
    ]


def test_values_are_set_found_and_replaced(module: ModuleType) -> None:
    made = module.MQTTMatcher()
    made["a/+"] = 1
    made["a/+"] = 2
    assert made["a/+"] == 2
    assert list(made.iter_match("a/x")) == [2]
    for missing in ("a", "a/b", "a/+/c", "#", ""):
        with pytest.raises(KeyError) as caught:
            _ = made[missing]
        assert caught.value.args == (missing,)


def test_what_is_deleted_is_gone_and_the_rest_is_not(module: ModuleType) -> None:
    made = matcher(module, "a", "a/b", "a/b/c/d")
    del made["a/b"]
    assert list(made.iter_match("a/b")) == []
    assert (made["a"], made["a/b/c/d"]) == ("a", "a/b/c/d")
    del made["a/b/c/d"]
    assert made["a"] == "a"
    del made["a"]
    for gone in ("a", "a/b", "a/b/c", "x"):
        with pytest.raises(KeyError) as caught:
            del made[gone]
        assert caught.value.args == (gone,)
    assert made._root._children == {}


def test_none_counts_as_no_value(module: ModuleType) -> None:
    made = matcher(module, "a/#")
    made["a/b"] = None
    made["a/#"] = None
    assert list(made.iter_match("a/b")) == []
    with pytest.raises(KeyError):
        _ = made["a/b"]
    with pytest.raises(KeyError):
        del made["a/#"]
    made["a/b"] = 0
    assert list(made.iter_match("a/b")) == [0]


def test_matches_are_found_one_by_one(module: ModuleType) -> None:
    made = matcher(module, "a", "+", "#")
    found = made.iter_match("a")
    assert next(found) == "a"
    del made["#"]
    assert list(found) == ["+"]
    assert any(True for _ in made.iter_match("b"))
    assert next(made.iter_match("a/b"), None) is None


@pytest.mark.parametrize("wrong", [None, 5])
def test_names_and_filters_are_text(module: ModuleType, wrong: object) -> None:
    made = module.MQTTMatcher()
    with pytest.raises(AttributeError):
        made.iter_match(wrong)
    with pytest.raises(AttributeError):
        made[wrong] = 1
    with pytest.raises(AttributeError):
        _ = made[wrong]
    with pytest.raises(AttributeError):
        del made[wrong]


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["deepcopy", "pickle"])
def test_a_copy_goes_its_own_way(module: ModuleType, twin: Any) -> None:
    made = matcher(module, "a/+", "a/b")
    again = twin(made)
    del made["a/b"]
    assert list(again.iter_match("a/b")) == ["a/b", "a/+"]


LEVELS = st.sampled_from(["", "a", "b", "$x"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join)
FILTERS = st.lists(st.one_of(LEVELS, st.sampled_from(["+", "#"])), min_size=1, max_size=4).map("/".join)


@given(st.lists(FILTERS, max_size=12), st.lists(FILTERS, max_size=4), st.lists(TOPICS, min_size=1, max_size=4))
def test_any_filters_match_any_topics_as_with_paho(filters: list[str], removed: list[str], topics: list[str]) -> None:
    theirs, ours = matcher(paho.mqtt.matcher, *filters), matcher(telex.paho.matcher, *filters)
    for topic_filter in set(removed) & set(filters):
        del theirs[topic_filter], ours[topic_filter]
    for topic in topics:
        assert list(ours.iter_match(topic)) == list(theirs.iter_match(topic))


def test_a_topic_may_have_as_many_levels_as_fit() -> None:  # paho: RecursionError
    deep = "/".join("a" * 32_768)
    made = matcher(telex.paho.matcher, "#", deep, "a/#")
    assert list(made.iter_match(deep)) == [deep, "a/#", "#"]
    del made[deep]
    assert list(made.iter_match(deep)) == ["a/#", "#"]
