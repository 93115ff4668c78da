"""Which Telex this is, and whether it runs compiled."""

from importlib import metadata

from telex import codes

__version__ = metadata.version("telex")

COMPILED = not codes.__file__.endswith(".py")
"""Whether the core was compiled at installation; otherwise the same source runs interpreted."""


def describe() -> str:
    """One line for ``--version``."""
    return f"telex {__version__} ({'compiled' if COMPILED else 'interpreted'})"
