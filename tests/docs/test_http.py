"""docs/http.md tells what the HTTP port does, and its examples run."""

import re
from pathlib import Path

import pytest

from telex.server.toml import read_toml
from telex.server.web.operations import ROOT
from tests.docs.pages import desk, sections, table
from tests.web.port import port

TEXT = Path(__file__).parents[2].joinpath("docs", "http.md").read_text()
SECTIONS = sections(TEXT)


@pytest.mark.parametrize("section", [name for name in SECTIONS if name != "What protects it"])
def test_each_section_does_what_it_tells(section: str, tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        here.type(SECTIONS[section])


def test_the_description_for_a_proxy_can_be_used(tmp_path: Path) -> None:
    [block] = SECTIONS["What protects it"]
    with desk(tmp_path) as here:
        config = read_toml(here.write(block))
    assert config.web.names == ["broker.example.org"]


async def test_every_operation_is_told() -> None:
    rows = table(TEXT, "A list has")
    told = set()
    for request, who, _ in rows:
        for method, path in re.findall(r"(GET|POST|DELETE) (/[\w./]+)", request):
            words = path.replace("TOPIC", "{topic}").replace("ID", "{id}")
            told.add((method, words, who == "administrators"))
    async with port() as page:
        paths = (await page.api("/openapi.json"))["paths"]
    there = {
        (method.upper(), path.removeprefix(ROOT), said.get("description") == "For administrators.")
        for path, item in paths.items()
        for method, said in item.items()
        if path != f"{ROOT}/session"
    }
    assert told == there


async def test_every_metric_that_is_told_is_there() -> None:
    async with port() as page:
        text = (await page.get("/metrics")).text
    for name, _ in table(TEXT, "## Metrics"):
        for each in re.findall(r"`(telex_\w+[a-z])", name):
            assert f"\n# TYPE {each}" in text, each
