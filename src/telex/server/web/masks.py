"""The fastest way to unmask a payload that there is here."""

from typing import Final

from telex.streams import frames

_KEY: Final = b"\x01\x20\xf3\x7a"
_SAMPLE: Final = bytes(range(61))


def fastest() -> frames.Unmask:
    """aiohttp's own function, which is in C: 2 us for 64 KiB, where Python takes 90.

    It is none that aiohttp promises. So it is taken only if it is still there and does what we expect.
    """
    try:
        from aiohttp._websocket.helpers import websocket_mask

        found, expected = bytearray(_SAMPLE), bytearray(_SAMPLE)
        websocket_mask(_KEY, found)
        frames.unmask(_KEY, expected)
    except Exception:
        return frames.unmask
    return websocket_mask if found == expected else frames.unmask
