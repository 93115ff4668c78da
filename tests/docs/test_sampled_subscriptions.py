"""docs/sampled-subscriptions.md tells what they do, and its example runs."""

import re
from pathlib import Path

from telex.engine import samples
from tests.docs.pages import Block, desk, table

TEXT = Path(__file__).parents[2].joinpath("docs", "sampled-subscriptions.md").read_text()


def test_the_example_does_what_it_tells(tmp_path: Path) -> None:
    blocks = [Block(*each) for each in re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)]
    with desk(tmp_path) as here:
        here.type(blocks)


def test_each_property_is_told() -> None:
    told = {name.strip("`") for name, _ in table(TEXT, "Behind its own properties")}
    assert told == {samples.MESSAGES, samples.BYTES, samples.AT, samples.CLIENT, samples.USER}
