"""The broker's mind: sessions and the way of a message between them.

No asyncio, no socket, no clock, no randomness: bytes and the time come in as
arguments, bytes gather in outboxes.
"""
