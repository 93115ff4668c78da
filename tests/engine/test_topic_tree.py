"""The tree of topic names against a list of them, and one filter against one name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.engine.topic_tree import TopicTree
from telex.topics import matches

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f", "$g", ""])
TOPICS = st.lists(NAMES, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.tuples(
        st.lists(st.sampled_from(["a", "b", "$g", "", "+", "+"]), max_size=3), st.sampled_from(["a", "", "+", "#", "#"])
    )
    .map(lambda parts: "/".join([*parts[0], parts[1]]))
    .filter(bool)
)


@settings(max_examples=100)
@given(
    topics=st.lists(TOPICS, max_size=40), leaving=st.sets(TOPICS, max_size=15), filters=st.lists(FILTERS, max_size=8)
)
def test_a_filter_finds_the_names_that_it_matches(topics: list[str], leaving: set[str], filters: list[str]) -> None:
    tree: TopicTree[str] = TopicTree()
    kept = set(topics)
    for topic in topics:
        tree.put(topic, topic)
    for topic in leaving:
        level = tree.find(topic)
        assert (level is not None) == (topic in kept)
        if level is not None:
            tree.remove(level)
    kept -= leaving
    for each in filters:
        found = [level.value for level in tree.matching(each)]
        assert sorted(map(str, found)) == sorted(topic for topic in kept if matches(each, topic))
    assert sorted(str(level.value) for level in tree.all()) == sorted(kept)
    for topic in kept:
        level = tree.find(topic)
        assert level is not None
        tree.remove(level)
    assert tree.is_empty


@pytest.mark.parametrize(
    "topic_filter", ["a/+/x", "+/1/x", "+/+/x", "a/+/x/#", "+/1/#", "+/+/x/+", "$a/+/x", "+/2/+/z"]
)
def test_a_rare_name_finds_what_is_in_front_of_it_and_behind_it(topic_filter: str) -> None:
    tree: TopicTree[str] = TopicTree()
    topics = [f"{first}/{number}/y" for first in ("a", "b", "$a") for number in range(50)]
    topics += ["a/1/x", "a/2/x/z", "b/1/x", "$a/1/x", "$a/3/x", "x/a/1", "a/x", "a/4/4/x", "x", "b/2/y/z"]
    for topic in topics:
        tree.put(topic, topic)
    found = [str(level.value) for level in tree.matching(topic_filter)]
    assert sorted(found) == sorted(topic for topic in topics if matches(topic_filter, topic))
    for topic in topics[::2]:
        level = tree.find(topic)
        assert level is not None
        tree.remove(level)
    found = [str(level.value) for level in tree.matching(topic_filter)]
    assert sorted(found) == sorted(topic for topic in topics[1::2] if matches(topic_filter, topic))


def test_a_value_takes_the_place_of_another() -> None:
    tree: TopicTree[int] = TopicTree()
    level = tree.put("a/b", 1)
    assert tree.put("a/b", 2) is level
    assert [each.value for each in tree.all()] == [2]
    assert tree.find("a") is None, "no name ends there"
