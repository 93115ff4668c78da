"""Bytes to packets and back (chapters 2 and 3). Knows no role, no clock, no socket."""
