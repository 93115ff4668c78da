"""Proxies, as paho speaks of them: in the words of PySocks, which is not needed for it.

Knows which proxy leads to a host, by what the program and the environment say, and how to ask it for the way. What is
asked for, and what an answer means, is known to ``client/dialing.py`` (CONNECT of HTTP) and to python-socks.
"""

import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

from telex.client.address import is_ip, join
from telex.errors import NotConnected

if TYPE_CHECKING:
    from telex.client.dialing import Proxy

# The numbers that PySocks has for them.
SOCKS4: Final = 1
SOCKS5: Final = 2
HTTP: Final = 3

_PORTS: Final = {SOCKS4: 1080, SOCKS5: 1080, HTTP: 8080}
_SCHEMES: Final = {"http": HTTP, "socks": SOCKS5}
"""Of addresses in the environment. Others are passed over, as paho does."""

_WORDS: Final = ("proxy_type", "proxy_addr", "proxy_port", "proxy_rdns", "proxy_username", "proxy_password")
_OPTIONS: Final = "socket_options"  # PySocks takes it beside them: what setsockopt is to be called with

_MOST_HEAD: Final = 16_384  # bytes of an HTTP proxy's answer


def is_valid(proxy: Mapping[str, Any]) -> bool:
    """Whether that names a proxy: of a known type, at an address."""
    return proxy.get("proxy_type") in _PORTS and bool(proxy.get("proxy_addr"))


def find(host: str, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The proxy that leads to a host; None: there is none between.

    Args:
        host: the broker's.
        given: what the program has said. Otherwise ``mqtt_proxy`` in the environment counts, unless ``no_proxy`` names
            the host, and last the default of PySocks, if the program has set one.

    Raises:
        ValueError: the port in the environment is none.
    """
    if is_valid(given):
        return given
    return _of_environment(host) or _of_pysocks()


def _of_environment(host: str) -> dict[str, Any] | None:
    # Only Windows has such settings in another place, too.
    if os.name != "nt" and not any(name.lower() == "mqtt_proxy" for name in os.environ):
        return None
    # Imported here: it takes longer than all the rest of us.
    from urllib.request import getproxies, proxy_bypass

    url = getproxies().get("mqtt")
    if url is None or proxy_bypass(host):
        return None
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        return None
    return {
        "proxy_type": _SCHEMES[parts.scheme],
        "proxy_addr": parts.hostname,
        "proxy_port": parts.port,
        "proxy_username": unquote(parts.username or ""),
        "proxy_password": unquote(parts.password or ""),
    }


def _of_pysocks() -> dict[str, Any] | None:
    """The default that a program has set there; who has not imported it has set none."""
    module = sys.modules.get("socks")
    get_default = getattr(module, "get_default_proxy", None)
    default = get_default() if get_default is not None else None
    if not default:
        return None
    proxy = dict(zip(_WORDS, default, strict=False))
    for word in ("proxy_username", "proxy_password"):
        if isinstance(proxy.get(word), bytes):
            proxy[word] = proxy[word].decode()
    return proxy if is_valid(proxy) else None


def open_through(
    proxy: Mapping[str, Any], host: str, port: int, local: tuple[str, int] | None, *, timeout: float
) -> socket.socket:
    """A connection to a broker behind a proxy.

    Args:
        proxy: who leads there, in the words of PySocks.
        host: the broker's name or address.
        port: where it listens.
        local: the address and port that connections to the proxy come from; None: any.
        timeout: seconds for each step.

    Raises:
        OSError: the proxy is not there, or says no; ``TimeoutError``: time is up.
        TypeError: a word that PySocks does not know.
        ValueError: user name and password do not fit this kind of proxy.
    """
    unknown = proxy.keys() - {*_WORDS, _OPTIONS}
    if unknown:
        raise TypeError(f"proxy_set: there is no {', '.join(sorted(unknown))}, expected {', '.join(_WORDS)}")
    resolves = bool(proxy.get("proxy_rdns", True))  # names, in our place
    # Imported here: most have no proxy.
    from telex.client.dialing import Proxy

    server = Proxy(_url(proxy, resolves=resolves))
    host = _bare(host).partition("%")[0]  # a zone of this machine says nothing to the proxy
    if server.scheme == "http":
        sock = _by_http(server, host, port, local, timeout, resolves=resolves)
    else:
        sock = _by_socks(server, host, port, local, timeout, resolves=resolves)
    try:
        for option in proxy.get(_OPTIONS) or ():
            sock.setsockopt(*option)
    except BaseException:
        sock.close()
        raise
    return sock


def _url(proxy: Mapping[str, Any], *, resolves: bool) -> str:
    """A proxy as an address. What PySocks says to none of its kind is left out: a password to SOCKS 4."""
    kind = proxy["proxy_type"]
    user, password = proxy.get("proxy_username") or "", proxy.get("proxy_password") or ""
    if kind == HTTP:
        scheme = "http"
    elif kind == SOCKS4:
        scheme, password = "socks4a" if resolves else "socks4", ""
    else:
        scheme = "socks5h" if resolves else "socks5"
        if not user or not password:
            user = password = ""
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    address = _bare(proxy["proxy_addr"]).replace("%", "%25")  # of a zone, which is one of this machine
    place = join(address, proxy.get("proxy_port") or _PORTS[kind])
    return f"{scheme}://{login}{'@' if login else ''}{place}"


def _bare(host: str) -> str:
    """A host without the brackets that some write around IPv6 addresses."""
    return host.removeprefix("[").removesuffix("]")


def _by_socks(
    server: "Proxy", host: str, port: int, local: tuple[str, int] | None, timeout: float, *, resolves: bool
) -> socket.socket:
    from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
    from python_socks.sync import Proxy as Socks

    socks = Socks(
        ProxyType.SOCKS4 if server.scheme.startswith("socks4") else ProxyType.SOCKS5,
        server.host,
        server.port,
        server.user or None,
        server.password or None,
        rdns=resolves,
    )
    try:
        return socks.connect(host, port, timeout=timeout, local_addr=local)
    except ProxyError as error:
        raise ConnectionError(f"the proxy {server.place} does not lead to {join(host, port)}: {error}") from None
    except ProxyConnectionError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise _to_proxy(error.__cause__, server) from None
    except ProxyTimeoutError:
        raise _late(server) from None


def _by_http(
    server: "Proxy", host: str, port: int, local: tuple[str, int] | None, timeout: float, *, resolves: bool
) -> socket.socket:
    if not resolves:
        host = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    place = join(host if is_ip(host) else host.encode("idna").decode(), port)
    try:
        sock = socket.create_connection((server.host, server.port), timeout, local)
    except OSError as error:
        raise _to_proxy(error, server) from None
    try:
        sock.sendall(server.request(place))
        server.check_answer(_read_head(sock, server, timeout), place)
    except NotConnected as error:
        sock.close()
        raise ConnectionError(str(error)) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _read_head(sock: socket.socket, server: "Proxy", timeout: float) -> bytes:
    """What an HTTP proxy answers; nothing follows it before we have said something."""
    until = time.monotonic() + timeout
    head = b""
    while b"\r\n\r\n" not in head and len(head) <= _MOST_HEAD:
        sock.settimeout(max(until - time.monotonic(), 0.001))
        try:
            data = sock.recv(4096)
        except TimeoutError:
            raise _late(server) from None
        if not data:
            break
        head += data
    return head


def _to_proxy(error: OSError, server: "Proxy") -> OSError:
    """An error of the same kind and number that says whom it is about."""
    told = f"no connection to the proxy {server.place}: {error.strerror or error}"
    return type(error)(told) if error.errno is None else type(error)(error.errno, told)


def _late(server: "Proxy") -> TimeoutError:
    return TimeoutError(f"the proxy {server.place} does not answer: timed out")
