"""The targets by name. Each takes any bytes; an exception that leaves it is a law that was broken."""

from collections.abc import Callable

from tests.fuzz.broker_side import connection
from tests.fuzz.client_side import client
from tests.fuzz.decoding import decoder

TARGETS: dict[str, Callable[[bytes], None]] = {"decoder": decoder, "connection": connection, "client": client}
