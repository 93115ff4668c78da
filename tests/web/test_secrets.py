"""What is told of a broker to those who look has no secret in it."""

from pathlib import Path

import pytest

from telex.server.access.ways import Denied
from telex.server.config import Access, Config, Http, Jwt, Listener, Plugin, Tls, Web
from telex.server.toml import without_secrets, write_toml
from tests.shell.knocking import Verdict, porter
from tests.web.port import port, with_users

ADMIN = Web(administrators=["ann"])
SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "address",
    [
        f"http://{SECRET}@127.0.0.1/x",
        f"http://eve:{SECRET}@127.0.0.1/x",
        f"http://eve:{SECRET}@{SECRET}@127.0.0.1/x",
        f"https://{SECRET}:@127.0.0.1",
        f"https://127.0.0.1/x?{SECRET}",
        f"https://127.0.0.1?a=b&token={SECRET}",
        f"https://eve:{SECRET}@127.0.0.1/x?a=/@{SECRET}",
        f"https://127.0.0.1/x?a=b#{SECRET}",
        f"https://eve:{SECRET}%40{SECRET}@[::1]:8443/x",
    ],
)
def test_an_address_is_told_without_what_opens_it(address: str) -> None:
    access = Access(http=[Http(url=address)], jwt=[Jwt(keys=address, algorithms=["RS256"])])
    config = Config(access=access, listeners=[Listener(access=access)])
    shown = without_secrets(config)
    for each in (shown.access, shown.listeners[0].access):
        assert each is not None
        assert SECRET not in each.http[0].url
        assert SECRET not in each.jwt[0].keys
        assert "127.0.0.1" in each.http[0].url or "[::1]:8443" in each.http[0].url, "where it leads can be seen"
    assert SECRET not in write_toml(config, secrets=False)


def test_whatever_else_may_be_secret_is_not_told_either() -> None:
    access = Access(
        http=[Http(url="http://127.0.0.1/", headers={"Authorization": SECRET})],
        plugins=[Plugin(name="x:Y", options={"password": SECRET, "deep": {"down": [SECRET]}})],
    )
    tls = Tls(certificate="a.pem", key="a.key", key_password=SECRET)
    shown = without_secrets(Config(access=access, listeners=[Listener(access=access, tls=tls)]))
    assert SECRET not in repr(shown)
    assert shown.listeners[0].tls is not None
    assert shown.listeners[0].tls.key == "a.key", "a file's name is none"
    assert list(shown.access.http[0].headers) == ["Authorization"]


async def test_the_configuration_is_told_to_administrators_and_without_secrets(tmp_path: Path) -> None:
    async def ask(applicant: object) -> Verdict:
        return None

    access = with_users(tmp_path, plugins=[porter(ask, stays=True)])
    async with port(access=access, web=ADMIN) as page:
        answer = await page.get("/api/v1/configuration", user="ann")
        assert answer.status == 200
        assert "function" not in answer.text, "options of a plugin are its own"
        assert answer.json["access"]["plugins"][0]["options"].keys() == {"ask", "stays"}
        assert "$7$" not in answer.text, "nor what the password file says"
        for user in ("bob", ""):
            assert (await page.get("/api/v1/configuration", user=user)).status in (401, 403)


async def test_no_password_is_written_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="telex")

    async def ask(applicant: object) -> Verdict:
        return Denied(reason="it is not known")

    for access in (with_users(tmp_path), Access(plugins=[porter(ask)])):
        async with port(access=access) as page:
            for user in ("bob", "nobody"):
                body = {"user": user, "password": SECRET}
                assert (await page.ask("POST", "/api/v1/session", json=body)).status == 401
                wrong = {"password": SECRET, "user": user, "more": SECRET}
                refused = await page.ask("POST", "/api/v1/session", json=wrong)
                assert (refused.status, SECRET in refused.text) == (400, False)
            told = repr([(each.user, each.why) for each in page.broker.events.all()])
            assert SECRET not in told
            assert SECRET not in repr([line.text for line in page.broker.log_tail.lines(0)])
    assert SECRET not in caplog.text
