"""What a description says of bridges: whether it can be, and how the engine and the client's end are told of it.

Knows text alone: whether there is such a broker is found out by who connects to it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from telex import topics
from telex.client.address import Address, parse_address
from telex.client.tls import ClientTls
from telex.codes import MQTT_3_1, MQTT_3_1_1, MQTT_5
from telex.engine import bridge as engine
from telex.engine.options import Options
from telex.server.config import Bridge, BridgeTls, BridgeTopic, local_client_id, remote_client_id
from telex.wire.data import MAX_STRING_BYTES, encode_string

_VERSIONS: Final = {"3.1": MQTT_3_1, "3.1.1": MQTT_3_1_1, "5.0": MQTT_5}

Found = tuple[tuple[str | int, ...], str]
"""Where something is wrong, seen from the list of bridges, and why."""


def problems(bridges: Sequence[Bridge]) -> Iterator[Found]:
    """What is wrong with them."""
    names: dict[str, int] = {}
    ids: dict[str, int] = {}
    for index, bridge in enumerate(bridges):
        for inside, message in _bridge_problems(bridge):
            yield (index, *inside), message
        before = names.setdefault(bridge.name, index)
        if before != index:
            yield (index, "name"), f"bridges[{before}] has that name, too"
            continue
        local = local_client_id(bridge, "HOST")
        before = ids.setdefault(local, index)
        if before != index:
            yield (
                (index, "local_client_id"),
                f"the session of bridges[{before}] here has the client id {local!r}, too; give each its own",
            )


def options_of(bridge: Bridge, host: str, limits: Options) -> engine.BridgeOptions:
    """The same in the words of the engine.

    Args:
        bridge: that has no problems.
        host: the name of this machine.
        limits: those of the broker, which hold where the bridge says nothing.
    """
    local_clean = bridge.local_clean_session
    aliases = bridge.topic_alias_maximum
    return engine.BridgeOptions(
        remote_client_id=remote_client_id(bridge, host),
        local_client_id=local_client_id(bridge, host),
        topics=[_line(topic) for topic in bridge.topics],
        version=_VERSIONS[bridge.version],
        user_name=bridge.user or None,
        password=bridge.password.encode() if bridge.password else None,
        local_user=bridge.local_user,
        keep_alive=bridge.keep_alive,
        clean_start=bridge.clean_session,
        local_clean_start=bridge.clean_session if local_clean is None else local_clean,
        session_expiry_interval=bridge.session_expiry_interval,
        try_private=bridge.try_private,
        attempt_unsubscribe=bridge.attempt_unsubscribe,
        outgoing_retain=bridge.outgoing_retain,
        notifications=bridge.notifications,
        notifications_local_only=bridge.notifications_local_only,
        notification_topic=bridge.notification_topic,
        is_lazy=bridge.start == "lazy",
        threshold=bridge.threshold,
        idle_timeout=bridge.idle_timeout,
        maximum_packet_size=bridge.maximum_packet_size,
        topic_alias_maximum=limits.topic_alias_maximum if aliases is None else aliases,
        receive_maximum=bridge.receive_maximum or limits.receive_maximum,
        max_hops=bridge.max_hops,
        max_queued_messages=bridge.max_queued_messages,
        max_queued_bytes=bridge.max_queued_bytes,
    )


def _line(topic: BridgeTopic) -> engine.BridgeTopic:
    return engine.BridgeTopic(
        topic.pattern,
        topic.direction,
        topic.qos,
        topic.local_prefix,
        topic.remote_prefix,
        maximum_payload_size=topic.maximum_payload_size,
        messages_per_second=topic.messages_per_second,
    )


def client_tls(tls: BridgeTls) -> ClientTls:
    """The same in the words of a client's end.

    Raises:
        ValueError: what does not fit together.
    """
    return ClientTls(
        ca_file=tls.ca_file,
        ca_path=tls.ca_path,
        certificate=tls.certificate,
        key=tls.key,
        key_password=tls.key_password,
        server_name=tls.server_name,
        insecure=tls.insecure,
        alpn=tls.alpn,
        ciphers=tls.ciphers,
        minimum_version=tls.min_version,
        psk_identity=tls.psk_identity,
        psk=tls.psk,
    )


def _bridge_problems(bridge: Bridge) -> Iterator[Found]:
    if not bridge.name:
        yield ("name",), "it is empty; a bridge is known by its name"
    yield from _word_problems(bridge)
    yield from _address_problems(bridge)
    if not bridge.topics:
        yield ("topics",), "there is none, so the bridge would carry nothing"
    for index, topic in enumerate(bridge.topics):
        for inside, message in _topic_problems(topic):
            yield ("topics", index, *inside), message
    if bridge.restart_most < bridge.restart_first:
        yield ("restart_most",), f"it is {bridge.restart_most:g}, less than restart_first ({bridge.restart_first:g})"
    if bridge.password and not bridge.user and bridge.version != "5.0":
        yield ("password",), f"MQTT {bridge.version} knows no password without a user name; give user"
    yield from _notification_problems(bridge)


def _word_problems(bridge: Bridge) -> Iterator[Found]:
    """What no CONNECT can say (section 1.5.4)."""
    for name in ("name", "client_id", "user", "local_client_id", "local_user"):
        try:
            encode_string(getattr(bridge, name), "it")
        except ValueError as error:
            yield (name,), str(error)
    if len(bridge.password.encode(errors="surrogatepass")) > MAX_STRING_BYTES:
        yield ("password",), "it has more than 65,535 bytes, which is all that fit"


def _address_problems(bridge: Bridge) -> Iterator[Found]:
    if not bridge.addresses:
        yield ("addresses",), "there is none; expected one like mqtt://broker.example.org:1883"
    addresses = []
    for index, text in enumerate(bridge.addresses):
        try:
            address = parse_address(text)
        except ValueError as error:
            yield ("addresses", index), str(error)
        else:
            addresses.append(address)
            if address.user is not None or address.password is not None:
                yield ("addresses", index), f"{address} has a user name in it; write it as user, and password"
    if len(addresses) == len(bridge.addresses):
        yield from _way_problems(bridge, addresses)


def _way_problems(bridge: Bridge, addresses: list[Address]) -> Iterator[Found]:
    """What does not fit the ways that lead to a remote broker."""
    for address in addresses:
        if address.scheme == "unix":
            for name in ("bind_address", "proxy", "tcp_keepalive", "tcp_user_timeout"):
                if getattr(bridge, name):
                    yield (name,), f"it does not fit {address}, which is a Unix socket on this machine"
    if bridge.proxy:
        # Imported here: few have a proxy, and asyncio comes along.
        from telex.client.dialing import Proxy

        try:
            proxy = Proxy(bridge.proxy)
        except ValueError as error:
            yield ("proxy",), str(error).removeprefix("proxy: ")
        else:
            for address in addresses:
                if proxy.scheme.startswith("socks4") and ":" in address.host:
                    yield ("proxy",), f"SOCKS 4 knows no IPv6 address like {address.host}; use socks5"
    if bridge.websocket_headers:
        from telex.streams.websocket_client import check_headers

        if not any(address.is_websocket for address in addresses):
            yield ("websocket_headers",), "there is no WebSocket in addresses; it begins with ws:// or wss://"
        try:
            check_headers(bridge.websocket_headers)
        except ValueError as error:
            yield ("websocket_headers",), str(error).removeprefix("websocket_headers: ")
    if bridge.tls is not None:
        if not any(address.is_secure for address in addresses):
            yield ("tls",), "there is no TLS in addresses; it begins with mqtts:// or wss://"
        yield from _tls_problems(bridge.tls)


def _tls_problems(tls: BridgeTls) -> Iterator[Found]:
    try:
        client_tls(tls)
    except ValueError as error:
        name, colon, message = str(error).partition(": ")
        if colon and name in tls.__struct_fields__:
            yield ("tls", name), message
        else:
            yield ("tls",), str(error)
        return
    if tls.psk and tls.min_version == "1.3":
        yield ("tls", "min_version"), 'pre-shared keys are for TLS 1.2; expected "1.2"'


def _topic_problems(topic: BridgeTopic) -> Iterator[Found]:
    if not topic.pattern and not (topic.local_prefix and topic.remote_prefix):
        yield (
            ("pattern",),
            "it has no pattern; then local_prefix and remote_prefix are the topic here and there, and both are needed",
        )
        return
    if topic.pattern:
        wrong = _refusal_of(topic.pattern)
        if wrong:
            yield ("pattern",), wrong
            return
    for name in ("local_prefix", "remote_prefix"):
        prefix = getattr(topic, name)
        if "+" in prefix or "#" in prefix:
            yield (name,), f"{prefix!r} has a wildcard; it is put in front of topics"
        elif prefix:
            wrong = _refusal_of(prefix + topic.pattern)
            if wrong:
                remedy = "" if prefix.endswith("/") else "; a prefix ends with / if levels follow"
                yield (name,), f"with the pattern behind it, {wrong}{remedy}"


def _refusal_of(topic_filter: str) -> str:
    """Why a bridge cannot subscribe to a filter; empty if it can."""
    if topics.is_shared(topic_filter):
        return f"{topic_filter!r} is a shared subscription, which gets a part of the messages only"
    try:
        topics.check_filter(topic_filter)
    except ValueError as error:
        return str(error)
    return ""


def _notification_problems(bridge: Bridge) -> Iterator[Found]:
    if not bridge.notifications:
        return
    client_id = remote_client_id(bridge, "HOST")
    name = "notification_topic" if bridge.notification_topic else "client_id" if bridge.client_id else "name"
    topic = bridge.notification_topic or f"$SYS/broker/connection/{client_id}/state"
    try:
        topics.check_name(topic)
    except ValueError as error:
        remedy = "" if bridge.notification_topic else "; give a notification_topic, or notifications = false"
        yield (name,), f"whether it is connected cannot be published: {error}{remedy}"
