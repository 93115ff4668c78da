"""Addresses of brokers, as people write them: ``mqtts://user:password@broker.example:8883``.

Knows text only: whether there is such a host is found out by ``dialing.py``. What is wrong is said in one sentence that
never repeats a password.
"""

import re
from ipaddress import ip_address
from typing import Final, NoReturn
from urllib.parse import quote, unquote

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_UNIX: Final = ("unix", "mqtt+unix")

_MEANT: Final = {
    "tcp": "mqtt",
    "mqtt+tcp": "mqtt",
    "ssl": "mqtts",
    "tls": "mqtts",
    "mqtt+ssl": "mqtts",
    "mqtt+tls": "mqtts",
    "secure-mqtt": "mqtts",
    "http": "ws",
    "mqtt+ws": "ws",
    "https": "wss",
    "mqtt+wss": "wss",
}
"""What others call the same."""

_WEBSOCKET_PATH: Final = "/mqtt"  # what most brokers and clients have agreed on
_LONGEST_HOST: Final = 253  # characters of a name (RFC 1035, section 2.3.4)
_LONGEST_LABEL: Final = 63


class Address:
    """Where a broker is, and by what way.

    Args:
        scheme: ``mqtt``, ``mqtts``, ``ws``, ``wss`` or ``unix``.
        host: a name or an IP address, without brackets; empty for ``unix``.
        port: 0: the usual one of the scheme.
        path: what a WebSocket's request names, its query too; of a Unix socket, the file.
        user: the user name that stands in the address; None: none does.
        password: the same.
    """

    __slots__ = ("host", "password", "path", "port", "scheme", "user")

    def __init__(
        self,
        scheme: str,
        host: str,
        port: int = 0,
        path: str = "",
        *,
        user: str | None = None,
        password: str | None = None,
    ) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port or _PORTS.get(scheme, 0)
        self.path = path or (_WEBSOCKET_PATH if scheme in ("ws", "wss") else "")
        self.user = user
        self.password = password

    @property
    def is_secure(self) -> bool:
        """Whether TLS protects what is said there."""
        return self.scheme in ("mqtts", "wss")

    @property
    def is_websocket(self) -> bool:
        """Whether MQTT is spoken within a WebSocket."""
        return self.scheme in ("ws", "wss")

    @property
    def place(self) -> str:
        """The place alone, for people: ``broker.example:1883``, ``[::1]:1883``, ``/run/x.sock``."""
        return self.path if self.scheme == "unix" else join(self.host, self.port)

    def at(self, host: str, port: int = 0) -> "Address":
        """The same ways to another host; port 0: the usual one. A Unix socket leads to no host: then by TCP."""
        scheme = "mqtt" if self.scheme == "unix" else self.scheme
        path = self.path if self.is_websocket else ""
        return Address(scheme, host, port, path, user=self.user, password=self.password)

    def __str__(self) -> str:
        """As it is written, without the password."""
        user = "" if self.user is None else f"{quote(self.user, safe='')}@"
        if self.scheme == "unix":
            return f"unix://{user}{quote(self.path)}"
        return f"{self.scheme}://{user}{self.place}{self.path}"

    def __repr__(self) -> str:
        return f"<Address {self}>"


def join(host: str, port: int) -> str:
    """A host and its port, for people and for HTTP."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str) -> Address:
    """The address that is written there; a name alone is that of a host that speaks MQTT by TCP.

    Raises:
        ValueError: it is none: what was seen, and what was expected.
    """
    shown = _shown(text)
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError(f"the address {shown!r} has a space or a control character in it; in a password write it %20")
    scheme, rest = _scheme(text, shown)
    if scheme in _UNIX:
        return _unix(rest, shown)
    place, path = _split(scheme, rest, shown)
    user, password, place = _login(place, shown)
    try:
        host, port = (place, 0) if _is_ipv6(text) else split_place(place, f"the address {shown!r}")
    except ValueError:
        if "@" in path:  # what looks like a port is the beginning of a password
            raise ValueError(f"the address {shown!r}: in a user name or password write / ? # as %2F %3F %23") from None
        raise
    return Address(scheme, host, port, path, user=user, password=password)


def split_place(place: str, where: str) -> tuple[str, int]:
    """Host and port of ``broker.example:1883`` or ``[::1]``; port 0: there is none.

    Args:
        place: what is written.
        where: what it stands in, for the sentence that says what is wrong.

    Raises:
        ValueError: there is no host or no such port.
    """
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        host = unquote(host)
        if not bracket or (rest and rest[0] != ":") or not _is_ipv6(host):
            raise ValueError(f"{where}: expected an IPv6 address and its port like [::1]:1883")
        port = rest[1:] if rest else None
    else:
        host, colon, found = place.partition(":")
        port = found if colon else None
        if port is not None and ":" in port:
            raise ValueError(f"{where}: an IPv6 address stands in brackets: [::1]:1883")
        _check_host(host, where)
    return host, 0 if port is None else _port(port, where)


def _scheme(text: str, shown: str) -> tuple[str, str]:
    """The scheme, and what follows it and its slashes."""
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):(?!\d)(.*)", text)
        if found is None or "@" in text or _is_ipv6(text):
            return "mqtt", text
        _check_scheme(found[1].lower(), shown, or_port=True)
        raise ValueError(f"the address {shown!r}: behind {found[1]}: come two slashes, like {found[1].lower()}://host")
    scheme = scheme.lower()
    _check_scheme(scheme, shown)
    return scheme, rest


def _check_scheme(scheme: str, shown: str, *, or_port: bool = False) -> None:
    if scheme in _PORTS or scheme in _UNIX:
        return
    if scheme in ("ws+unix", "wss+unix", "unix+ws", "mqtts+unix"):
        raise ValueError(f"the address {shown!r}: by a Unix socket goes plain MQTT only, as unix:///run/broker.sock")
    if scheme in _MEANT:
        raise ValueError(f"the address {shown!r}: write {_MEANT[scheme]}:// in place of {scheme}://")
    if or_port:
        raise ValueError(f"the address {shown!r}: behind the host comes a port from 1 to 65535, like host:1883")
    raise ValueError(f"the address {shown!r}: {scheme!r} is none of mqtt, mqtts, ws, wss and unix")


def _split(scheme: str, rest: str, shown: str) -> tuple[str, str]:
    """What stands in front of the path, and the path with its query."""
    if scheme in ("ws", "wss"):
        if "#" in rest:
            raise ValueError(f"the address {shown!r}: a WebSocket has no fragment; elsewhere write # as %23")
        end = min((rest.index(each) for each in "/?" if each in rest), default=len(rest))
        place, path = rest[:end], rest[end:]
        if path.startswith("?"):
            path = _WEBSOCKET_PATH + path
        if not path.isascii():
            path = quote(path, safe="/?&=%+:@!$'()*,;~")
        return place, path
    place = rest.removesuffix("/")
    found = re.search(r"[/?#]", place)
    if found is not None:
        if "@" in place[found.start() :]:
            raise ValueError(f"the address {shown!r}: in a user name or password write / ? # as %2F %3F %23")
        raise ValueError(f"the address {shown!r}: nothing stands behind host and port, and no topic")
    return place, ""


def _login(place: str, shown: str) -> tuple[str | None, str | None, str]:
    """User name and password, and what follows them."""
    login, at, place = place.rpartition("@")
    if not at:
        return None, None, place
    user, colon, password = login.partition(":")
    for part in (user, password):
        if re.search(r"%(?![0-9A-Fa-f]{2})", part):
            raise ValueError(f"the address {shown!r}: in a user name or password write % as %25")
    try:
        found = unquote(user, errors="strict") or None, unquote(password, errors="strict") if colon else None
    except UnicodeDecodeError:
        raise ValueError(f"the address {shown!r}: user name and password are UTF-8, percent-encoded") from None
    return *found, place


def _unix(rest: str, shown: str) -> Address:
    login, slash, path = rest.partition("/")
    user, password, host = _login(login, shown)
    if host or not slash or not path:
        raise ValueError(
            f"the address {shown!r}: expected the path of a socket behind three slashes: unix:///run/x.sock"
        )
    try:
        path = unquote(f"/{path}", errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"the address {shown!r}: the path is UTF-8, percent-encoded") from None
    if "\0" in path:
        raise ValueError(f"the address {shown!r}: a path has no zero byte in it")
    return Address("unix", "", 0, path, user=user, password=password)


def _check_host(host: str, where: str) -> None:
    if not host:
        raise ValueError(f"{where}: expected a host, like mqtt://localhost")
    found = re.search(r"[^\w.-]", host)
    if found is not None:
        raise ValueError(f"{where}: a host name has no {found[0]!r} in it")
    labels = host.removesuffix(".").split(".")
    try:
        longest = max(len(label.encode("idna")) if label else 0 for label in labels)
    except UnicodeError:
        _is_no_name(where)
    if "" in labels or longest > _LONGEST_LABEL or len(host) > _LONGEST_HOST:
        _is_no_name(where)


def _is_no_name(where: str) -> NoReturn:
    raise ValueError(f"{where}: that is no host name: between its dots stand 1 to {_LONGEST_LABEL} letters and digits")


def _port(text: str, where: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= 65_535:
        return int(text)
    raise ValueError(f"{where}: {text!r} is no port, expected a number from 1 to 65535")


def is_ip(host: str) -> bool:
    """Whether a host is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    return ":" in text and is_ip(text)


def _shown(text: str) -> str:
    """An address for people, also a wrong one: without what may be a password."""
    start = text.find("://") + 3 if "://" in text else 0
    login, at, place = text[start:].rpartition("@")
    user, colon, _password = login.partition(":")
    return text[:start] + user + colon + "***" * len(colon) + at + place
