"""Which requests a browser may have been tricked into: by a name that leads here, or by a page from elsewhere.

A page of a stranger can make a browser ask us anything. It cannot hide where it comes from (``Origin``), nor by which
name the browser knows us (``Host``): a name that is not ours, though it leads here, is DNS rebinding.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from telex.server.web.problems import Refusal

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")


def check_host(request: web.BaseRequest, names: Sequence[str]) -> None:
    """Refuse a request that calls us by a name that is not ours.

    Raises:
        Refusal: the Host header is none of localhost, an IP address and ``names``.
    """
    host, _ = split(request.headers.get("Host", ""))
    if host == "localhost" or host.endswith(".localhost") or _is_address(host):
        return
    if host and host in (name.lower() for name in names):
        return
    raise Refusal(421, f"This broker is not called {host[:80]!r}; its names are listed in the setting web.names.")


def check_origin(request: web.BaseRequest) -> None:
    """Refuse what a page from elsewhere has asked for.

    Raises:
        Refusal: it says that it comes from another origin than ours.
    """
    origin = request.headers.get("Origin")
    if origin is not None and not _is_ours(origin, request.headers.get("Host", ""), by_tls=request.secure):
        raise Refusal(403, f"Pages of {origin[:80]!r} may not ask this broker for anything.")
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise Refusal(403, "Pages from elsewhere may not ask this broker for anything.")


def split(host: str) -> tuple[str, int | None]:
    """The name and the port of a Host header; an empty name: it is none."""
    found = _HOST.fullmatch(host.strip())
    if found is None:
        return "", None
    return found[1].strip("[]").rstrip(".").lower(), int(found[2]) if found[2] else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_ours(origin: str, host: str, *, by_tls: bool) -> bool:
    scheme, _, place = origin.strip().partition("://")
    default = _DEFAULT_PORTS.get(scheme)
    if default is None or (by_tls and scheme != "https"):  # a page by HTTP may be anybody's on the way
        return False
    theirs, their_port = split(place)
    ours, our_port = split(host)
    return bool(ours) and theirs == ours and (their_port or default) == (our_port or default)
