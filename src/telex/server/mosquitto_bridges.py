"""A ``connection`` of mosquitto.conf, and the options below it, as a bridge.

What it does not say is as in Mosquitto: MQTT 3.1.1, waits of 5 to 30 seconds, a
reload that counts from the next connection on. A word in quotes may have spaces,
and ``""`` is an empty one.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast

from msgspec import Struct, field

from telex.client.address import is_ip, join, split_place
from telex.codes import NEVER_EXPIRES
from telex.server.config import Bridge, BridgeTls, BridgeTopic, ConfigError, TcpKeepalive
from telex.server.mosquitto_options import OTHER_NAMES, Said, number
from telex.server.toml import Place, Warn, nearest

Refuse = Callable[[str], ConfigError]

_DIRECTIONS: Final = ("out", "in", "both")
_VERSIONS: Final[Mapping[str, Literal["3.1", "3.1.1", "5.0"]]] = {
    "mqttv31": "3.1",
    "mqttv311": "3.1.1",
    "mqttv50": "5.0",
}
_PORT: Final = 1883  # with TLS, too
_WORD: Final = re.compile(r'"[^"]*"(?= |$)|[^ "][^ ]*')

_CERTIFICATES: Final = ("bridge_cafile", "bridge_capath", "bridge_certfile", "bridge_keyfile")
_KEYS: Final = ("bridge_identity", "bridge_psk")
_NEED_TLS: Final[Mapping[str, object]] = {
    "bridge_certfile": None,
    "bridge_keyfile": None,
    "bridge_ciphers": None,
    "bridge_tls_version": None,
    "bridge_insecure": False,
    "bridge_alpn": None,
}
"""What somebody only says who believes that there is TLS; with the value that says nothing."""

_LOWEST: Final = {"threshold": 1, "idle_timeout": 1, "keepalive_interval": 5}
"""What takes the place of a number that is lower, as in Mosquitto."""

_OPTIONS_OF: Final[Mapping[str, str]] = {
    "addresses": "address",
    "bind_address": "bridge_bind_address",
    "client_id": "remote_clientid",
    "local_client_id": "local_clientid",
    "password": "remote_password",
    "tcp_keepalive": "bridge_tcp_keepalive",
    "tcp_user_timeout": "bridge_tcp_user_timeout",
    "tls.key": "bridge_keyfile",
    "tls.alpn": "bridge_alpn",
    "tls.psk": "bridge_psk",
    "tls.min_version": "bridge_tls_version",
}
"""Which line is to blame for what is wrong with a setting, if it has another name there."""


class Section(Struct):
    """What was said of a bridge."""

    name: str
    where: str
    said: dict[str, Said] = field(default_factory=dict)
    topics: list[Said] = field(default_factory=list)

    def check(self, name: str, refuse: Refuse) -> None:
        """Whether an option can stand beside those that were said.

        Raises:
            ConfigError: it cannot.
        """
        for these, others in ((_CERTIFICATES, _KEYS), (_KEYS, _CERTIFICATES)):
            for other in others:
                if name in these and other in self.said:
                    raise refuse(f"{name}: there is {other}, too: a bridge has either certificates or a pre-shared key")

    def take(self, name: str, rest: str, where: str, refuse: Refuse, warn: Warn) -> None:
        """Take in an option that is more than a name and a value.

        Raises:
            ConfigError: it is wrong.
        """
        kept = OTHER_NAMES.get(name, name)
        words = _words(name, rest, refuse)
        if not words:
            raise refuse(f"{name}: nothing stands behind it")
        if kept == "topic":
            self.topics.append(Said(_topic(words, where, refuse, warn), where))
            return
        if kept == "address":
            if kept in self.said:
                raise refuse(f"{name} was said already, in {self.said[kept].where}; several stand in one line")
            value: object = [_place(word, refuse) for word in words]
        elif kept == "restart_timeout":
            value = _waits(words, where, refuse, warn)
        else:
            value = _keepalive(words, refuse)
        self.said[kept] = Said(value, where)

    def bridge(self, warn: Warn) -> Bridge:
        """The bridge that it comes to.

        Raises:
            ConfigError: something is missing, or does not fit together.
        """
        if "address" not in self.said:
            raise ConfigError(f"{self.where}: address is missing below it")
        if not self.topics:
            raise ConfigError(f"{self.where}: topic is missing below it; the bridge would carry nothing")
        has_tls, tls = self._tls()
        first, most, stable = self._get("restart_timeout", (5.0, 30.0, 0.0))
        scheme = "mqtts" if has_tls else "mqtt"
        return Bridge(
            name=self.name,
            addresses=[f"{scheme}://{place}" for place in self._get("address")],
            topics=[said.value for said in self.topics],
            round_robin=self._get("round_robin", False),
            start=self._get("start_type", "automatic"),
            threshold=self._at_least("threshold", 10, warn),
            idle_timeout=float(self._at_least("idle_timeout", 60, warn)),
            restart_first=first,
            restart_most=most,
            restart_stable=stable,
            version=_VERSIONS[self._get("bridge_protocol_version", "mqttv311")],
            client_id=self._get("remote_clientid", ""),
            user=self._get("remote_username", ""),
            password=self._get("remote_password", ""),
            local_client_id=self._get("local_clientid", ""),
            keep_alive=self._at_least("keepalive_interval", 60, warn),
            clean_session=self._get("cleansession", False),
            local_clean_session=self._get("local_cleansession"),
            session_expiry_interval=self._get("bridge_session_expiry_interval", NEVER_EXPIRES),
            try_private=self._get("try_private", True),
            attempt_unsubscribe=self._get("bridge_attempt_unsubscribe", True),
            outgoing_retain=self._get("bridge_outgoing_retain", True),
            notifications=self._get("notifications", True),
            notifications_local_only=self._get("notifications_local_only", False),
            notification_topic=self._get("notification_topic", ""),
            reload=self._get("bridge_reload_type", "lazy"),
            bind_address=self._get("bridge_bind_address", ""),
            maximum_packet_size=max(0, self._get("bridge_max_packet_size", 0)),
            topic_alias_maximum=self._get("bridge_max_topic_alias"),
            receive_maximum=self._get("bridge_receive_maximum"),
            tcp_keepalive=self._get("bridge_tcp_keepalive"),
            tcp_user_timeout=max(0, self._get("bridge_tcp_user_timeout", 0)) / 1_000,
            tls=tls,
        )

    def blamed(self, inside: Place, message: str) -> str:
        """What is wrong with a setting of the bridge, with the line that is to blame."""
        name = str(inside[0]) if inside else ""
        if name == "topics" and isinstance(inside[1], int):
            prefix = f"{str(inside[2]).replace('_', ' ')}: " if inside[2:] and inside[2] != "pattern" else ""
            return f"{self.topics[inside[1]].where}: topic: {prefix}{message}"
        setting = ".".join(str(step) for step in inside if isinstance(step, str))
        option = _OPTIONS_OF.get(setting, setting)
        if option in self.said:
            return f"{self.said[option].where}: {option}: {message}"
        return f"{self.where}: connection: {message}"

    def _get(self, name: str, default: Any = None) -> Any:
        return self.said[name].value if name in self.said else default

    def _at_least(self, name: str, default: int, warn: Warn) -> int:
        value = cast(int, self._get(name, default))
        if value < _LOWEST[name]:
            warn(f"{self.said[name].where}: {name} is {_LOWEST[name]}, the lowest that there is")
        return max(value, _LOWEST[name])

    def _tls(self) -> tuple[bool, BridgeTls | None]:
        """Whether there is TLS, and how it is spoken; None: as where nothing is said."""
        said = self.said
        for name, other in (_KEYS, _KEYS[::-1]):
            if name in said and other not in said:
                raise ConfigError(f"{said[name].where}: {name} needs {other} beside it")
        files: list[str] = [name for name in ("bridge_cafile", "bridge_capath") if name in said]
        trusts_system = self._get("bridge_tls_use_os_certs", False)
        if trusts_system and (files or "bridge_psk" in said):
            found = (files or ["bridge_psk"])[0]
            raise ConfigError(
                f"{said['bridge_tls_use_os_certs'].where}: bridge_tls_use_os_certs: there is {found}, too: "
                "expected one of them"
            )
        if not files and not trusts_system and "bridge_psk" not in said:
            self._refuse_half_tls()
            return False, None
        tls = BridgeTls(
            ca_file=self._get("bridge_cafile", ""),
            ca_path=self._get("bridge_capath", ""),
            certificate=self._get("bridge_certfile", ""),
            key=self._get("bridge_keyfile", ""),
            insecure=self._get("bridge_insecure", False),
            min_version="1.3" if self._get("bridge_tls_version") == "tlsv1.3" else "1.2",
            ciphers=self._get("bridge_ciphers", ""),
            alpn=[said["bridge_alpn"].value] if "bridge_alpn" in said else [],
            psk_identity=self._get("bridge_identity", ""),
            psk=self._get("bridge_psk", ""),
        )
        return True, tls if tls != BridgeTls() else None

    def _refuse_half_tls(self) -> None:
        for name, nothing in _NEED_TLS.items():
            if name in self.said and self.said[name].value != nothing:
                raise ConfigError(
                    f"{self.said[name].where}: {name} needs bridge_cafile, bridge_capath, bridge_tls_use_os_certs true "
                    "or bridge_psk; TLS would be off"
                )


def _words(name: str, rest: str, refuse: Refuse) -> list[str]:
    """The words of a line up to a note, without their quotes."""
    words: list[str] = []
    start = 0
    while start < len(rest):
        if rest[start] == " ":
            start += 1
            continue
        found = _WORD.match(rest, start)
        if found is None:
            raise refuse(f"{name}: a word that begins with a quote ends with one, and a space follows")
        if found[0].startswith("#") and (words or name != "topic"):  # the first word of a topic may be # itself
            break
        words.append(found[0].strip('"') if found[0].startswith('"') else found[0])
        start = found.end()
    return words


def _topic(words: list[str], where: str, refuse: Refuse, warn: Warn) -> BridgeTopic:
    pattern, direction, qos, local, remote, *more = [*words, *["", "out", "0", "", ""][len(words) :]]
    if direction.lower() not in _DIRECTIONS:
        advice = nearest(direction, _DIRECTIONS)
        raise refuse(f"topic: expected {' or '.join(_DIRECTIONS)} behind the pattern, found {direction!r}{advice}")
    if qos not in ("0", "1", "2"):
        raise refuse(f"topic: expected 0, 1 or 2 as QoS, found {qos!r}")
    if more:
        warn(f"{where}: topic: {more[0]!r} stands behind the remote prefix and has no effect")
    return BridgeTopic(
        pattern=pattern,
        direction=cast(Literal["out", "in", "both"], direction.lower()),
        qos=int(qos),
        local_prefix=local,
        remote_prefix=remote,
    )


def _place(word: str, refuse: Refuse) -> str:
    """A host and its port."""
    if "://" in word:
        raise refuse(f"address: expected a host like broker.example.org:1883, found {word!r}; telex.toml has others")
    host, _, port = word.rpartition(":")
    if not word.startswith("[") and ":" in host:  # an IPv6 address without brackets, which only Mosquitto writes
        if not is_ip(host):
            remedy = f"; behind an IPv6 address stands its port, {word}:1883" if is_ip(word) else ""
            raise refuse(f"address: expected a host like broker.example.org:1883, found {word!r}{remedy}")
        word = f"[{host}]:{port}"
    try:
        host, number_of_port = split_place(word, "address")
    except ValueError as error:
        raise refuse(str(error)) from None
    return join(host.replace("%", "%25"), number_of_port or _PORT)


def _waits(words: list[str], where: str, refuse: Refuse, warn: Warn) -> tuple[float, float, float]:
    """The shortest and the longest wait, and how long a connection has to hold before they begin anew."""
    first, *more = [number("restart_timeout", word, -(1 << 62), 1 << 62, refuse) for word in words[:3]]
    if first < 1:
        warn(f"{where}: restart_timeout is 1, the lowest that there is")
        first = 1
    most = more[0] if more else first
    if most < first:
        raise refuse(f"restart_timeout: the longest wait, {most:,}, is less than the shortest, {first:,}")
    return float(first), float(most), float(max(0, *more[1:], 0))


def _keepalive(words: list[str], refuse: Refuse) -> TcpKeepalive:
    name = "bridge_tcp_keepalive"
    if len(words) < 3:
        raise refuse(f"{name}: expected three numbers: seconds of silence, seconds between two questions, questions")
    idle, interval = (number(name, word, 1, 32_767, refuse) for word in words[:2])
    return TcpKeepalive(idle=idle, interval=interval, count=number(name, words[2], 1, 127, refuse))
