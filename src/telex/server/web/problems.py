"""How the HTTP port says no: ``application/problem+json`` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import msgspec
from aiohttp import web

CONTENT_TYPE: Final = "application/problem+json"


class Problem(msgspec.Struct, kw_only=True):
    """What went wrong with a request."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"  # the title says it all
    reason_code: int | msgspec.UnsetType = msgspec.UNSET  # of MQTT, if that has one


class Refusal(Exception):
    """A request that gets a problem for an answer.

    Args:
        status: of HTTP.
        detail: what was seen, and what was expected.
        headers: of the answer, besides.
        reason_code: of MQTT, if that has one.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        reason_code: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.reason_code = reason_code

    def response(self) -> web.Response:
        """The answer."""
        problem = Problem(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            reason_code=msgspec.UNSET if self.reason_code is None else self.reason_code,
        )
        return web.Response(
            status=self.status,
            body=msgspec.json.encode(problem) + b"\n",
            content_type=CONTENT_TYPE,
            headers=self.headers,
        )
