"""Words that several chapters need, beside those of ``tests/engine/world.py``."""

from typing import Any

from telex.wire.packets import Disconnect
from tests.engine.world import Client, World


def ends(client: Client, *reason_codes: int) -> bool:
    """Whether the broker closed the connection; if it said why, which it should, with one of the codes."""
    said = [packet.reason_code for packet in client.got if isinstance(packet, Disconnect)]
    assert set(said) <= set(reason_codes), f"{client.name} was told {said}"
    return not client.is_connected


def keeping(version: int) -> dict[str, Any]:
    """The manners of a client whose new session outlives its connection."""
    return {"version": 5, "session_expiry": 60} if version == 5 else {"version": version, "clean_start": False}


def kept(world: World, name: str, version: int = 5, **manners: Any) -> Client:
    """A client that goes on with its session, or begins one, and keeps it."""
    return world.client(name, version=version, clean_start=False, session_expiry={5: 60}.get(version), **manners)
