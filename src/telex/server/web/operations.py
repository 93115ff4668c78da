"""What an operation of the API is: how it is asked for, by whom, and what comes back.

Knows no operation. Each subject has its own in a file: ``messages.py``, ``clients.py``, ``api.py``.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from telex.server.web import types
from telex.server.web.logins import Caller
from telex.server.web.problems import Refusal

ROOT: Final = "/api/v1"


class Asked(Struct):
    """One request, read and checked."""

    caller: Caller
    name: str  # what stands for {topic} or {id} in the path
    query: Any  # as its operation says
    body: Any


class Operation(Struct, frozen=True, eq=False):
    """What may be asked."""

    method: str
    path: str  # below ROOT; {topic} or {id} at its end stands for anything, slashes too
    title: str
    answer: Any  # a type; None: nothing is said
    handle: Callable[[Asked], Awaitable[Any]]
    query: type[types.Query] = types.Query
    body: Any = None  # a type; None: there is none
    status: int = 200
    for_administrators: bool = False


# In a line each


def get(
    path: str,
    title: str,
    answer: Any,
    handle: Callable[[Asked], Awaitable[Any]],
    query: type[types.Query] = types.Query,
) -> Operation:
    """What may be read by whoever may come in."""
    return Operation("GET", path, title, answer, handle, query)


def admin(
    path: str,
    title: str,
    answer: Any,
    handle: Callable[[Asked], Awaitable[Any]],
    query: type[types.Query] = types.Query,
) -> Operation:
    """What administrators may read."""
    return Operation("GET", path, title, answer, handle, query, for_administrators=True)


def end(
    path: str, title: str, handle: Callable[[Asked], Awaitable[Any]], query: type[types.Query] = types.Query
) -> Operation:
    """What administrators may end."""
    return Operation("DELETE", path, title, None, handle, query, status=204, for_administrators=True)


# In the same words everywhere


def time_of(at: float) -> datetime:
    """Seconds since 1970, as the API tells times."""
    return datetime.fromtimestamp(round(at, 3), UTC)


def refused(status: int, code: int, text: str) -> Refusal:
    """What MQTT refuses too: with its reason code, and a sentence without its full stop."""
    return Refusal(status, f"{text[:1].upper()}{text[1:]}.", reason_code=int(code))


def by(caller: Caller) -> str:
    """Who did something, for people."""
    return "an administrator" if caller.user is None else f"administrator {caller.user}"
