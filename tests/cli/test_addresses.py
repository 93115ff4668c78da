"""Which addresses only this machine reaches, and how addresses are shown."""

import pytest

from telex.cli.demo import own_address
from telex.server.config import is_loopback
from telex.streams.tcp import shown_address


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_these_are_reached_from_this_machine_only(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com", ""])
def test_these_may_be_reached_from_elsewhere(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (("192.0.2.1", 50_000), "192.0.2.1:50000"),
        (("2001:db8::1", 50_000, 0, 0), "[2001:db8::1]:50000"),
        ("/run/telex.sock", "/run/telex.sock"),
        ("", "a local socket"),
        (None, "a local socket"),
    ],
)
def test_addresses_are_shown_as_people_write_them(name: object, shown: str) -> None:
    assert shown_address(name) == shown


def test_the_machine_knows_an_address_of_its_own() -> None:
    assert own_address()
