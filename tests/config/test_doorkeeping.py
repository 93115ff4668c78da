"""Who may come in without a user name, if nobody has said it."""

import pytest

from telex.server.config import Access, Config, Http, Jwt, Listener, Plugin, Psk, Tls, doorkeeping


def is_open(listener: Listener, access: Access | None = None) -> bool | None:
    """Whether it is, by a listener of a broker."""
    return doorkeeping(Config(listeners=[listener], access=access or Access()), listener).allow_anonymous


@pytest.mark.parametrize(
    ("listener", "expected"),
    [
        (Listener(host="127.0.0.1"), True),
        (Listener(host="127.0.0.2"), True),
        (Listener(host="::1"), True),
        (Listener(host="localhost"), True),
        (Listener(path="/run/telex.sock"), True),
        (Listener(), False),
        (Listener(host="0.0.0.0"), False),
        (Listener(host="192.0.2.1"), False),
        (Listener(host="broker.example"), False),
        (Listener(host="127.0.0.1", proxy_protocol="2"), False),
        (Listener(host="127.0.0.1", tls=Tls(certificate="c")), True),
        (Listener(host="127.0.0.1", tls=Tls(certificate="c", client_certificates="required", user_from="cn")), False),
        (Listener(host="127.0.0.1", psk=Psk(file="f")), True),
        (Listener(host="127.0.0.1", psk=Psk(file="f", user_from_identity=True)), False),
    ],
)
def test_only_this_machine_comes_in(listener: Listener, expected: bool) -> None:
    assert is_open(listener) is expected


@pytest.mark.parametrize(
    "access",
    [
        Access(password_file="p"),
        Access(jwt=[Jwt(keys="k", algorithms=["RS256"])]),
        Access(http=[Http(url="http://localhost")]),
        Access(plugins=[Plugin(name="ldap")]),
    ],
)
def test_a_way_of_logging_in_closes_the_door(access: Access) -> None:
    assert is_open(Listener(host="127.0.0.1"), access) is False


def test_a_word_about_it_counts() -> None:
    assert is_open(Listener(), Access(allow_anonymous=True)) is True
    assert is_open(Listener(host="127.0.0.1"), Access(allow_anonymous=False)) is False


def test_a_listener_may_have_its_own() -> None:
    own = Listener(access=Access(allow_anonymous=True, acl_file="a"))
    assert doorkeeping(Config(access=Access(password_file="p")), own) == Access(allow_anonymous=True, acl_file="a")
