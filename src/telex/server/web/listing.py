"""Pages of lists, however long these are: found in slices, between which everybody else has a turn.

Knows keys and their order. What is told of each is for the operations to say.
"""

import asyncio
import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from heapq import merge, nsmallest
from itertools import islice
from typing import Final, TypeVar

from telex.engine.end import End
from telex.engine.engine import Engine
from telex.engine.retained import Retained
from telex.engine.session import Session
from telex.server.web.problems import Refusal

SLICE: Final = 1_000
"""What is looked at in one turn of the loop: about a millisecond."""

_REMEMBERED: Final = 4  # lists of topics
_REMEMBERED_SECONDS: Final = 10.0

Key = TypeVar("Key", bound="str | tuple[str, str] | int")


def _always(key: str) -> bool:
    return True


class _Line:
    """Those who walk through something long on one loop."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.length = 0


_lines: Final[dict[asyncio.AbstractEventLoop, _Line]] = {}


async def turn() -> None:
    """Let everybody else go on. Of all who walk through something long, one does in each turn of the loop.

    Otherwise their slices would add up, and many who look at once would stop everybody.
    """
    loop = asyncio.get_running_loop()
    line = _lines.setdefault(loop, _Line())
    line.length += 1
    try:
        async with line.lock:
            await asyncio.sleep(0)
    finally:
        line.length -= 1
        if not line.length:
            del _lines[loop]


async def in_slices(items: Iterable[Key], size: int = SLICE) -> list[list[Key]]:
    """Items in lists of a size, each of which is made in a turn of its own."""
    found: list[list[Key]] = []
    rest = iter(items)
    while True:
        await turn()
        part = list(islice(rest, size))
        if part:
            found.append(part)
        if len(part) < size:
            return found


async def first_after(
    keys: Iterable[str], after: str | None, count: int, is_wanted: Callable[[str], bool] = _always
) -> list[str]:
    """The first keys, in their order, that come after one and are wanted."""
    found: list[str] = []
    for part in await in_slices(keys):
        await turn()
        found = nsmallest(count, [*found, *(key for key in part if (after is None or key > after) and is_wanted(key))])
    return found


async def all_sessions(engine: Engine) -> AsyncIterator[Session]:
    """Those that are there, a slice in a turn; one may have ended when its turn comes."""
    for number, session in enumerate(list(engine.sessions.values()), 1):
        if number % SLICE == 0:
            await turn()
        yield session


def connection_of(session: Session) -> End | None:
    """The connection of its client, or of the bridge that it belongs to; None: that is away."""
    return session.client if isinstance(session.client, End) else None


class Topics:
    """The topics of retained messages in their order. What was found is remembered for a moment: pages follow."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._known: dict[str, tuple[float, list[str]]] = {}

    async def after(self, retained: Retained, topic_filter: str, after: str | None) -> Iterator[str]:
        """The topics that a filter matches, from behind one on."""
        known = self._known.get(topic_filter)
        if after is None or known is None or self._now() - known[0] > _REMEMBERED_SECONDS:
            topics = await _sorted(await _walked(retained, topic_filter, self._now))
            self._known.pop(topic_filter, None)
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[topic_filter] = known = (self._now(), topics)
        topics = known[1]
        start = 0 if after is None else bisect_right(topics, after)
        return (topics[index] for index in range(start, len(topics)))


async def _walked(retained: Retained, topic_filter: str, now: Callable[[], float]) -> list[list[str]]:
    walk = retained.walk(topic_filter)
    found = []
    while not walk.is_over:
        await turn()
        found.append([message.topic for message in walk.take(SLICE, now())])
    return found


async def _sorted(parts: list[list[str]]) -> list[str]:
    for part in parts:
        await turn()
        part.sort()
    return [key for part in await in_slices(merge(*parts)) for key in part]


# What a page says of the next one


def token_of(key: str) -> str:
    """What stands for a key in ``next``."""
    return urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(token: str | None) -> str | None:
    """The key that ``after`` stands for.

    Raises:
        Refusal: it stands for none.
    """
    if token is None:
        return None
    try:
        key = urlsafe_b64decode((token + "=" * (-len(token) % 4)).encode()).decode()
    except (binascii.Error, ValueError):
        key = ""
    if not key or token_of(key) != token:
        raise Refusal(422, "after: expected the `next` of a page.")
    return key


def number_of(token: str | None) -> int | None:
    """The same of a list whose keys are numbers."""
    key = key_of(token)
    if key is None:
        return None
    if not (key.isascii() and key.isdigit() and len(key) < 20):
        raise Refusal(422, "after: expected the `next` of a page of this list.")
    return int(key)
