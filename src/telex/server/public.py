"""``telex serve --public``: the settings for a broker that stands open to the internet.

What a description says itself stays; what it leaves open is set here.
"""

from typing import Final

import msgspec

from telex.server.config import Config, Protection

PROTECTION: Final = Protection(
    max_connections=10_000,
    max_connections_per_address=100,
    connects_per_second=10.0,
    messages_per_second=100.0,
    bytes_per_second=100_000.0,
    messages_per_second_per_address=1_000.0,
    bytes_per_second_per_address=1_000_000.0,
    ban_after=5,
    strangers_may_use_hash=False,
)

LIMITS: Final[dict[str, bool | int | str]] = {
    "maximum_packet_size": 65_536,
    "maximum_keep_alive": 3_600,
    "maximum_session_expiry": 7 * 24 * 3_600,
    "v3_session_expiry": 24 * 3_600,
    "max_subscriptions": 100,
    "max_queued_bytes": 1024 * 1024,
    "max_outbox_bytes": 1024 * 1024,
    "retained_expiry": 24 * 3_600,
}


def made_public(config: Config) -> Config:
    """A description with all protection on that it does not set itself."""
    usual = Protection()
    set_there = {
        name: value
        for name in Protection.__struct_fields__
        if (value := getattr(config.protection, name)) != getattr(usual, name)
    }
    return msgspec.structs.replace(
        config,
        protection=msgspec.structs.replace(PROTECTION, **set_there),
        limits={**LIMITS, **config.limits},
    )
