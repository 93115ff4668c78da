"""One description of a broker: what telex.toml, mosquitto.conf, the environment and the command line come to.

Knows what can be said and what it means if nothing is said. Knows no file and
no way of writing it: ``toml.py`` and ``mosquitto_conf.py`` do.
"""

import ipaddress
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field, structs

from telex.codes import NEVER_EXPIRES
from telex.engine.options import Options

Count = Annotated[int, Meta(ge=0)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Seconds = Annotated[float, Meta(ge=0)]
Qos = Annotated[int, Meta(ge=0, le=2)]
TwoBytes = Annotated[int, Meta(ge=0, le=65_535)]


class ConfigError(ValueError):
    """A description of a broker that cannot be used: where it is wrong, and what to do."""


class Part(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A table of the description."""


class Tls(Part, frozen=True, kw_only=True):
    """TLS at a listener. Paths are absolute, or below the directory of the file that says them."""

    certificate: str  # PEM: the server's, followed by what is between it and its CA
    key: str = ""  # PEM; empty: it is in the file of the certificate
    key_password: str = ""
    min_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str = ""  # OpenSSL's words, up to TLS 1.2; empty: its own choice
    ciphers_1_3: str = ""  # the same for TLS 1.3
    client_certificates: Literal["no", "optional", "required"] = "no"
    client_ca: str = ""  # PEM file, or directory as of `openssl rehash`: who may have signed them
    user_from: Literal["", "cn", "subject"] = ""  # the user name is the certificate's, not that of CONNECT
    crl: str = ""  # PEM file of revoked client certificates
    checks_dates: bool = True  # of client certificates


class Psk(Part, frozen=True, kw_only=True):
    """TLS with keys that both ends know, at a listener (Python 3.13 and later)."""

    file: str  # lines of identity:hexkey
    hint: str = ""
    min_version: Literal["1.2"] = "1.2"
    ciphers: str = ""
    user_from_identity: bool = False


class ListenerLimits(Part, frozen=True, kw_only=True):
    """What a listener allows less than ``limits``; absent: as ``limits`` say."""

    maximum_packet_size: int | None = None
    maximum_qos: Qos | None = None
    maximum_keep_alive: int | None = None
    topic_alias_maximum: int | None = None  # that clients may use
    topic_alias_maximum_out: int | None = None  # that the broker uses
    receive_maximum: int | None = None
    allow_empty_client_id: bool | None = None


class Jwt(Part, frozen=True, kw_only=True):
    """Logging in with a JSON Web Token as password (RFC 7519)."""

    keys: str  # PEM or JWKS file, a file with a shared secret for HS256, or a JWKS address: https://...
    algorithms: list[Literal["RS256", "ES256", "HS256"]]
    issuer: str = ""  # that `iss` must say
    audience: str = ""  # that `aud` must say
    user_claim: str = "sub"  # which claim is the user name; if CONNECT has one as well, they must be the same
    groups_claim: str = "groups"
    rules_claim: str = "telex"  # claim with rules for this client, as ``Rule`` writes them
    leeway: Seconds = 0.0  # for clocks that differ
    refresh: Seconds = 300.0  # after how many seconds keys of an address are fetched again


class Http(Part, frozen=True, kw_only=True):
    """Asking a web service who may come in: POST of JSON, answered with JSON (docs/security.md)."""

    url: str
    timeout: Seconds = 5.0
    headers: dict[str, str] = {}
    cache: Seconds = 60.0  # for how long an answer is remembered for the same question; 0: not
    when_down: Literal["refuse", "pass"] = "refuse"  # pass: whoever is asked next decides
    max_pending: Count = 100  # questions at a time; more wait


class Plugin(Part, frozen=True, kw_only=True):
    """A class of the user's own, by the name of its entry point in the group `telex.access`."""

    name: str
    options: dict[str, object] = {}


class Rule(Part, frozen=True, kw_only=True):
    """One rule: whom it is about, and what they may or may not do. The first rule that fits decides.

    A list that is empty is about everybody, or everything. Names in lists may have ``*`` for any characters.
    """

    allow: list[Literal["publish", "subscribe", "receive"]] = []
    deny: list[Literal["publish", "subscribe", "receive"]] = []
    users: list[str] = []  # "" is who has no user name
    groups: list[str] = []
    clients: list[str] = []
    addresses: list[str] = []  # 192.0.2.7, 192.0.2.0/24, 2001:db8::/32, "unix"
    topics: list[str] = []  # filters, with {user} and {client} for whole levels or parts of them
    max_qos: Qos = 2
    retain: bool = True  # may publish retained messages, and gets them


class Access(Part, frozen=True, kw_only=True):
    """Who may come in, and what they may do."""

    # Those without a user name. None: where only this machine can reach the listener, and nobody can log in.
    allow_anonymous: bool | None = None
    password_file: str = ""  # as of `telex passwd` and mosquitto_passwd
    scram: bool = False  # SCRAM-SHA-256 with what `telex passwd -H scram-sha-256` wrote into the password file
    jwt: list[Jwt] = []
    http: list[Http] = []
    plugins: list[Plugin] = []
    acl_file: str = ""  # Mosquitto's
    groups: dict[str, list[str]] = {}  # name -> users
    rules: list[Rule] = []  # empty, and no acl_file: everybody may do everything
    client_id_prefixes: list[str] = []  # empty: any client id


class Listener(Part, frozen=True, kw_only=True):
    """A place where clients come in."""

    host: str = ""  # name or address; empty: every address of this machine
    port: Port = 1883
    path: str = ""  # a Unix socket in place of host and port
    path_mode: Annotated[int, Meta(ge=0, le=0o777)] = 0o660  # of the Unix socket
    interface: str = ""  # only there (Linux)
    family: Literal["", "ipv4", "ipv6"] = ""
    protocol: Literal["mqtt", "websocket", "http_api"] = "mqtt"
    tls: Tls | None = None
    psk: Psk | None = None
    proxy_protocol: Literal["", "1", "2", "any"] = ""  # what stands in front of each connection
    proxy_requires_tls: bool = False  # version 2 must say that the client came by TLS
    trusted_proxies: list[str] = []  # addresses that may speak it; empty: whoever reaches the listener
    versions: list[Literal["3.1", "3.1.1", "5.0"]] = field(default_factory=lambda: ["3.1", "3.1.1", "5.0"])
    origins: list[str] = []  # that WebSocket clients may come from; empty: any
    websocket_path: str = ""  # empty: any path
    http_directory: str = ""  # files that are served beside WebSocket or the API
    max_connections: Count | None = None
    mount_point: str = ""
    client_id_prefix: str = "auto-"  # of client ids that the broker gives
    user_name_is_client_id: bool = False
    limits: ListenerLimits = field(default_factory=ListenerLimits)
    access: Access | None = None  # None: that of the broker


class Log(Part, frozen=True, kw_only=True):
    """What is written down, and where."""

    to: list[str] = field(
        default_factory=lambda: ["stderr"]
    )  # stderr, stdout, syslog, topic, file:PATH; empty: nowhere
    format: Literal["text", "json", "mosquitto"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"
    types: list[str] | None = None  # Mosquitto's log_type, in place of level
    connections: bool = True  # one line for each that comes and goes
    timestamp: bool = True
    timestamp_format: str = ""  # strftime's; empty: as the format has it
    facility: str = "daemon"  # of syslog


class Protection(Part, frozen=True, kw_only=True):
    """Against too much of everything; 0 or nothing: no limit."""

    max_connections: Count = 0
    max_connections_per_address: Count = 0
    connects_per_second: Seconds = 0.0  # that one address may try; more of them wait, then are closed
    messages_per_second: Seconds = 0.0  # of one client; it is read more slowly, then disconnected with 0x96
    bytes_per_second: Seconds = 0.0
    messages_per_second_per_address: Seconds = 0.0
    bytes_per_second_per_address: Seconds = 0.0
    patience: Seconds = 10.0  # seconds for which a client may go on above its rate, slowed down
    tls_handshake_timeout: Annotated[float, Meta(gt=0)] = 10.0
    ban_after: Count = 0  # failed logins of an address, or for a user name from an address
    ban_seconds: Seconds = 60.0  # doubled with each ban, up to an hour; a failure is forgiven after as long
    takeovers: Count = 3  # within a minute: from then on clients that chase each other's id are slowed down
    takeover_delay: Seconds = 5.0
    strangers_may_use_hash: bool = True  # whether who has no user name may subscribe to `#`


class Web(Part, frozen=True, kw_only=True):
    """The HTTP port: the page, its API, MQTT by WebSocket at ``/mqtt``, and metrics."""

    enabled: bool | None = None  # None: `telex serve` opens it if its port is free, a program does not
    host: str = "127.0.0.1"
    port: Port = 8080
    names: list[str] = []  # by which it may be called, besides localhost and IP addresses
    administrators: list[str] = []  # user names, ``*`` for any characters
    certificate: str = ""  # PEM, for HTTPS; empty: HTTP
    key: str = ""  # PEM; empty: it is in the file of the certificate


class BridgeTopic(Part, frozen=True, kw_only=True):
    """What a bridge carries: messages whose topics match, here behind one prefix and there behind another.

    A message that is too large for it, or comes too fast, does not go by it, whatever its QoS.
    """

    pattern: str = ""  # a filter; empty: one topic, which is `local_prefix` here and `remote_prefix` there
    direction: Literal["out", "in", "both"] = "out"
    qos: Qos = 0  # the highest QoS; messages that were published at less keep theirs
    local_prefix: str = ""
    remote_prefix: str = ""
    maximum_payload_size: Count = 0  # 0: any
    messages_per_second: Seconds = 0.0  # in each direction; a second's worth may come at once; 0: any number


class BridgeTls(Part, frozen=True, kw_only=True):
    """TLS of a bridge, at its addresses that begin with mqtts or wss."""

    ca_file: str = ""  # PEM: who may have signed the remote broker's certificate
    ca_path: str = ""  # directory of such files, as of `openssl rehash`; neither: whom this system trusts
    certificate: str = ""  # PEM: ours, followed by what is between it and its CA
    key: str = ""  # PEM; empty: it is in the file of the certificate
    key_password: str = ""
    server_name: str = ""  # that the remote broker's certificate must have; empty: the host of the address
    insecure: bool = False  # whatever name it has, if only its CA is right
    min_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str = ""  # OpenSSL's words, up to TLS 1.2; empty: its own choice
    alpn: list[str] = []  # protocols to ask for
    psk_identity: str = ""  # a key that both ends know, in place of certificates (Python 3.13 and later)
    psk: str = ""  # that key, in hexadecimal digits


class TcpKeepalive(Part, frozen=True, kw_only=True):
    """How TCP finds out that nobody is there any more; the limits are Linux's."""

    idle: Annotated[int, Meta(ge=1, le=32_767)]  # seconds of silence before it asks
    interval: Annotated[int, Meta(ge=1, le=32_767)]  # seconds between two questions
    count: Annotated[int, Meta(ge=1, le=127)]  # questions without an answer


class Bridge(Part, frozen=True, kw_only=True):
    """A connection to another broker, with which this one shares topics."""

    name: str
    addresses: list[str]  # of the remote broker: mqtt://, mqtts://, ws://, wss://, unix://; the first is the main one
    topics: list[BridgeTopic] = []
    round_robin: bool = False  # all addresses are alike; otherwise it goes back to the first as soon as that is there
    start: Literal["automatic", "lazy", "once"] = "automatic"
    threshold: Annotated[int, Meta(ge=1)] = 10  # messages that wait, when one that is lazy connects
    idle_timeout: Annotated[float, Meta(ge=1)] = 60.0  # without messages, when one that is lazy disconnects
    restart_first: Annotated[float, Meta(gt=0)] = 5.0  # the shortest wait before a new attempt
    restart_most: Annotated[float, Meta(gt=0)] = 30.0  # the longest
    restart_stable: Seconds = 0.0  # for which a connection has to hold before waits are short again
    version: Literal["3.1", "3.1.1", "5.0"] = "5.0"
    client_id: str = ""  # at the remote broker; empty: HOST.NAME
    user: str = ""
    password: str = ""
    local_client_id: str = ""  # of its session here; empty: `local.` and the one at the remote broker
    local_user: str = ""  # whose rights it has here; empty: it may do everything
    keep_alive: Annotated[int, Meta(ge=5, le=65_535)] = 60
    clean_session: bool = False  # the remote broker forgets us with each disconnect
    local_clean_session: bool | None = None  # what waits here is forgotten with each disconnect; None: as there
    session_expiry_interval: Annotated[int, Meta(ge=0, le=NEVER_EXPIRES)] = NEVER_EXPIRES  # there, with MQTT 5
    try_private: bool = True  # CONNECT says that a bridge comes, as Mosquitto understands it
    attempt_unsubscribe: bool = True  # from what goes out only: it may have come in before
    outgoing_retain: bool = True  # retained messages stay such there
    notifications: bool = True  # whether it is connected is published, retained: 1 or 0
    notifications_local_only: bool = False
    notification_topic: str = ""  # empty: $SYS/broker/connection/CLIENT-ID/state
    reload: Literal["immediate", "lazy"] = "immediate"  # lazy: what changed counts from the next connection on
    bind_address: str = ""  # that its connections come from
    proxy: str = ""  # socks5h://user:password@host:port, also socks5, socks4a, socks4 and http
    websocket_headers: dict[str, str] = {}
    maximum_packet_size: Count = 0  # of packets to the remote broker; 0: as that one says
    topic_alias_maximum: TwoBytes | None = None  # that the remote broker may use; None: as `limits` say
    receive_maximum: Annotated[int, Meta(ge=1, le=65_535)] | None = None  # that it may have in flight; None: the same
    max_hops: TwoBytes = 8  # brokers that a message may pass, where MQTT 5 tells; 0: nobody counts, or ends a loop
    max_queued_messages: Annotated[int, Meta(ge=1)] = 1_000_000  # above QoS 0, that wait for the remote broker
    max_queued_bytes: Annotated[int, Meta(ge=1)] = 1_073_741_824  # of their payloads
    tcp_keepalive: TcpKeepalive | None = None  # None: as the system has it
    tcp_user_timeout: Seconds = 0.0  # for which data may stay unacknowledged (Linux); 0: as the system has it
    tls: BridgeTls | None = None  # None: with mqtts and wss whom this system trusts, without a certificate


class Config(Part, frozen=True, kw_only=True):
    """A broker."""

    listeners: list[Listener] = field(default_factory=lambda: [Listener(host="127.0.0.1")])
    access: Access = field(default_factory=Access)
    limits: dict[str, bool | int | str] = {}  # by the names of docs/limits.md
    protection: Protection = field(default_factory=Protection)
    log: Log = field(default_factory=Log)
    web: Web = field(default_factory=Web)
    data: str | None = None  # directory; None: where the platform has it; empty: in memory
    durability: Literal["strict", "relaxed"] = "strict"
    sys_interval: Count = 10
    control: bool = False  # $CONTROL/broker/v1
    pid_file: str = ""
    user: str = ""  # whom root becomes when the listeners are open
    bridges: list[Bridge] = []


def limits_of(config: Config, listener: Listener | None = None) -> Options:
    """The limits of a broker, or of the connections that come in by a listener.

    Raises:
        ConfigError: a limit that there is not, or that cannot have that value.
    """
    limits: dict[str, Any] = dict(config.limits)
    if listener is not None:
        limits["client_id_prefix"] = listener.client_id_prefix
        limits["mount_point"] = listener.mount_point
        for name in ListenerLimits.__struct_fields__:
            value = getattr(listener.limits, name)
            if value is not None:
                limits[name] = value
    try:
        return Options(**limits)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"limits: {error}") from None


def doorkeeping(config: Config, listener: Listener) -> Access:
    """Who may come in by a listener; ``allow_anonymous`` is decided."""
    access = config.access if listener.access is None else listener.access
    if access.allow_anonymous is not None:
        return access
    return structs.replace(access, allow_anonymous=is_local(listener) and not names_a_way(config, listener))


def names_a_way(config: Config, listener: Listener) -> bool:
    """Whether anybody can log in by a listener: by a password, a token, a certificate and so on."""
    access = config.access if listener.access is None else listener.access
    return bool(
        access.password_file
        or access.jwt
        or access.http
        or access.plugins
        or (listener.tls is not None and listener.tls.user_from)
        or (listener.psk is not None and listener.psk.user_from_identity)
    )


def web_listener(config: Config) -> Listener:
    """The HTTP port as a listener: another door to the room that the first listener leads to where people log in.

    Where there is none such, to that of the first. So nobody comes in by it who could not come in by another, and
    what is put in front of topics there is put in front of them here. A listener that asks for more than words is no
    model for it: where there are no others, nobody comes in.
    """
    web = config.web
    others = [each for each in config.listeners if each.protocol != "http_api"] or [Listener(host=web.host)]
    free = [each for each in others if not _asks_for_more_than_words(each)]
    asking = [each for each in free if names_a_way(config, each)]
    model = (asking or free or others)[0]
    access = config.access if model.access is None else model.access
    if not free:
        access = Access(allow_anonymous=False)
    elif access.allow_anonymous is None:
        is_open = (
            is_loopback(web.host)
            and not any(names_a_way(config, each) for each in others)
            and not any(_keeps_strangers_out(config, each) for each in others)
            and any(doorkeeping(config, each).allow_anonymous for each in free)
        )
        access = structs.replace(access, allow_anonymous=is_open)
    return structs.replace(
        model,
        host=web.host,
        port=web.port,
        path="",
        interface="",
        family="",
        protocol="websocket",
        tls=Tls(certificate=web.certificate, key=web.key) if web.certificate else None,
        psk=None,
        proxy_protocol="",
        proxy_requires_tls=False,
        trusted_proxies=[],
        origins=[],
        websocket_path="/mqtt",
        versions=Listener().versions,
        http_directory="",
        max_connections=None,
        access=access,
    )


def everybody_administers(config: Config) -> bool:
    """Whether who reaches the HTTP port is an administrator: only this machine does, and nobody logs in anywhere."""
    if not is_loopback(config.web.host) or any(names_a_way(config, each) for each in config.listeners):
        return False
    return bool(doorkeeping(config, web_listener(config)).allow_anonymous)


def _keeps_strangers_out(config: Config, listener: Listener) -> bool:
    access = config.access if listener.access is None else listener.access
    return access.allow_anonymous is False


def _asks_for_more_than_words(listener: Listener) -> bool:
    """Whether a client has to have a certificate or a key there, or the right to use a file."""
    if listener.path:
        return listener.path_mode & 0o006 != 0o006
    return listener.psk is not None or (listener.tls is not None and listener.tls.client_certificates == "required")


def remote_client_id(bridge: Bridge, host: str) -> str:
    """The client id of a bridge at the remote broker; ``host`` is the name of this machine."""
    return bridge.client_id or f"{host}.{bridge.name}"


def local_client_id(bridge: Bridge, host: str) -> str:
    """The client id of a bridge's session here; ``host`` is the name of this machine."""
    return bridge.local_client_id or f"local.{remote_client_id(bridge, host)}"


def is_local(listener: Listener) -> bool:
    """Whether nothing but this machine can reach a listener, as far as can be seen from here."""
    if listener.proxy_protocol:
        return False  # somebody stands in front of it, whom others can reach
    return bool(listener.path) or is_loopback(listener.host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
