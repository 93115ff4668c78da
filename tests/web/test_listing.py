"""Pages, and the walk through retained messages that they are made of."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.engine.deadlines import Deadlines
from telex.engine.message import Message
from telex.engine.retained import Retained
from telex.server.web import listing
from telex.server.web.problems import Refusal

LEVELS = st.sampled_from(["a", "b", "$c", ""])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = st.tuples(
    st.lists(st.sampled_from(["a", "b", "$c", "", "+"]), max_size=4), st.sampled_from(["a", "", "+", "#"])
).map(lambda parts: "/".join([*parts[0], parts[1]]))


def retained(*topics: str) -> Retained:
    made = Retained(Deadlines(), lambda topic: None)
    for topic in topics:
        made.store(Message(topic, b"x", retain=True))
    return made


@given(topics=st.lists(TOPICS, max_size=12), topic_filter=FILTERS.filter(bool), most=st.integers(1, 5))
def test_a_walk_finds_what_a_filter_matches(topics: list[str], topic_filter: str, most: int) -> None:
    messages = retained(*topics)
    walk = messages.walk(topic_filter)
    found = []
    while not walk.is_over:
        part = walk.take(most, 0.0)
        assert len(part) <= most
        found += [message.topic for message in part]
    assert sorted(found) == sorted(message.topic for message in messages.matching(topic_filter, 0.0))


def test_a_walk_goes_on_while_messages_come_and_go() -> None:
    messages = retained(*(f"a/{number}" for number in range(10)))
    walk = messages.walk("#")
    found = [message.topic for message in walk.take(4, 0.0)]
    for topic in [*found, "a/9"]:
        messages.remove(topic)
    messages.store(Message("b/1", b"x", retain=True))
    while not walk.is_over:
        found += [message.topic for message in walk.take(4, 0.0)]
    assert found == [f"a/{number}" for number in range(9)]


def test_a_walk_passes_over_what_has_expired() -> None:
    messages = Retained(Deadlines(), lambda topic: None)
    messages.store(Message("old", b"x", retain=True, expires_at=5.0))
    messages.store(Message("new", b"x", retain=True, expires_at=9.0))
    walk = messages.walk("+")
    assert [message.topic for message in walk.take(10, 7.0)] == ["new"]


@given(keys=st.lists(st.text(max_size=3), unique=True, max_size=20), limit=st.integers(1, 5))
def test_pages_follow_each_other_without_a_gap(keys: list[str], limit: int) -> None:
    def pages() -> Iterator[list[str]]:
        after = None
        while True:
            page = asyncio.run(listing.first_after(keys, after, limit))
            yield page
            if len(page) < limit:
                return
            after = page[-1]

    assert [key for page in pages() for key in page] == sorted(keys)


@given(key=st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_what_leads_to_the_next_page_leads_back_to_its_key(key: str) -> None:
    token = listing.token_of(key)
    assert token.isascii()
    assert all(each.isalnum() or each in "-_" for each in token), "it needs no escapes in a query"
    assert listing.key_of(token) == key


@pytest.mark.parametrize("token", ["", "!", "YQ==", "Y", "_w", "é"])
def test_what_leads_nowhere_is_refused(token: str) -> None:
    with pytest.raises(Refusal, match="after"):
        listing.key_of(token)


@pytest.mark.parametrize("key", ["a", "-1", "²", "9" * 20])
def test_a_number_is_a_number(key: str) -> None:
    with pytest.raises(Refusal, match="after"):
        listing.number_of(listing.token_of(key))
    assert listing.number_of(None) is None
    assert listing.number_of(listing.token_of("12")) == 12


async def test_what_is_remembered_of_topics_is_bounded_and_does_not_last() -> None:
    now = 0.0
    topics = listing.Topics(lambda: now)
    messages = retained("a", "b", "c")
    assert list(await topics.after(messages, "+", None)) == ["a", "b", "c"]
    messages.store(Message("d", b"x", retain=True))
    assert list(await topics.after(messages, "+", "b")) == ["c"], "the list that the first page began with"
    now = 60.0
    assert list(await topics.after(messages, "+", "b")) == ["c", "d"]
    for number in range(20):
        await topics.after(messages, f"x/{number}", None)
    assert len(topics._known) <= 4


async def test_long_lists_are_found_in_slices() -> None:
    turns = 0
    is_over = False

    async def others() -> None:
        nonlocal turns
        while not is_over:
            turns += 1
            await asyncio.sleep(0)

    keys = [f"{number * 7919 % 20_011:06}" for number in range(20_011)]
    task = asyncio.create_task(others())
    assert await listing._sorted(await listing.in_slices(keys)) == sorted(keys)
    assert turns >= 2 * (20_011 // listing.SLICE)
    is_over = True
    await task
