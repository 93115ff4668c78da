"""Bridges of a running broker: who dials, which address, when, and what people are shown of it."""
