"""The description of the API: it tells what there is, and what is asked by it is answered as it tells."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from telex.server.web.operations import ROOT
from tests.processes import lines_until, running, telex_command
from tests.shell.knocking import password_file
from tests.web.port import USERS, port, with_users

EXAMPLES = int(os.environ.get("EXAMPLES", "10"))
"""For each operation; whoever wants to look longer says so in the environment."""


ACCEPTED = ["2xx", "401", "403", "404", "409"]


async def test_it_names_every_operation_with_its_types(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        said = await page.api("/openapi.json")
        assert said["openapi"] == "3.1.0"
        paths = said["paths"]
        assert {f"{method.upper()} {path.removeprefix(ROOT)}" for path, item in paths.items() for method in item} == {
            "GET /me",
            "POST /session",
            "DELETE /session",
            "GET /broker",
            "POST /publish",
            "GET /retained",
            "DELETE /retained",
            "GET /retained/{topic}",
            "GET /clients",
            "GET /clients/{id}",
            "DELETE /clients/{id}",
            "GET /sessions",
            "DELETE /sessions/{id}",
            "GET /subscriptions",
            "GET /bridges",
            "GET /bans",
            "POST /bans",
            "DELETE /bans/{id}",
            "GET /events",
            "GET /log",
            "GET /configuration",
            "GET /openapi.json",
        }
        limits = [each for each in paths[f"{ROOT}/retained"]["get"]["parameters"] if each["name"] == "limit"]
        assert limits[0]["schema"] == {
            "type": "integer",
            "minimum": 1,
            "maximum": 1000,
            "default": 100,
            "description": "How many items at most.",
        }
        assert said["security"] == [{"basic": []}, {"cookie": []}]
        for reference in re.findall(r'"#/components/schemas/([^"]+)"', (await page.get(f"{ROOT}/openapi.json")).text):
            assert reference in said["components"]["schemas"]


async def test_where_nobody_logs_in_it_asks_for_no_login() -> None:
    async with port() as page:
        assert "security" not in await page.api("/openapi.json")


@pytest.fixture(scope="module", params=["open", "with passwords"])
def schema(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The description of a broker of its own, and how to log in there."""
    folder = tmp_path_factory.mktemp("openapi")
    text = '[web]\nenabled = true\nport = 0\nadministrators = ["ann"]\n\n[[listeners]]\nhost = "127.0.0.1"\nport = 0\n'
    auth = None
    if request.param == "with passwords":
        password_file(folder / "users", **USERS)
        text += '\n[access]\npassword_file = "users"\n'
        auth = ("ann", USERS["ann"])
    (folder / "telex.toml").write_text(text)
    with running(*telex_command("serve", "-c", str(folder / "telex.toml"), "--memory", "-q")) as process:
        found = re.search(r"page +(http://\S+)/\n", lines_until(process, "stop  "))
        assert found is not None
        config = schemathesis.Config.from_dict(
            {
                "generation": {"max-examples": EXAMPLES},
                # What is as described and makes no sense, such as a topic with a wildcard.
                "checks": {
                    "positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "422"]},
                    # What is too long may be so long that nobody reads it.
                    "negative_data_rejection": {"expected-statuses": ["400", "401", "403", "404", "413", "422"]},
                },
            }
        )
        made = schemathesis.openapi.from_url(f"{found[1]}{ROOT}/openapi.json", config=config)
        yield made, found[1], auth


@pytest.mark.timeout(max(600, EXAMPLES * 5))
def test_whatever_is_asked_is_answered_as_described(schema: Any) -> None:
    description, url, auth = schema
    more = {"auth": auth} if auth is not None else {}
    asked: dict[str, int] = {}
    wrong: list[str] = []

    def ask(operation: Any, mode: GenerationMode) -> None:
        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize="EXAMPLES" not in os.environ,  # who looks again wants to see others
            report_multiple_bugs=False,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def is_answered(case: Any) -> None:
            # In a query a list of one is written as that one, and one of none not at all: what was wrong is right then.
            assume(not any(isinstance(value, list | dict) for value in (case.query or {}).values()))
            asked[operation.label] = asked.get(operation.label, 0) + 1
            case.call_and_validate(base_url=url, timeout=10, **more)

        try:
            is_answered()
        except Unsatisfiable:  # what takes nothing, or anything, cannot be asked wrongly
            assert mode is GenerationMode.NEGATIVE
            assert not operation.query
        except FailureGroup as failures:
            wrong.extend(f"{operation.label}: {each}" for each in failures.exceptions)

    for result in description.get_all_operations():
        for mode in GenerationMode:
            ask(result.ok(), mode)
    assert not wrong, "\n\n".join(wrong)
    paths = description.raw_schema["paths"]
    there = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    assert set(asked) == there - {f"GET {ROOT}/openapi.json"}  # by which it was found
