"""What the documents show is run here as it stands there."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from telex.engine.options import Options
from tests.processes import lines_until, run, running, telex, telex_command

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in DOCUMENTS}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "code",
    [
        code
        for name, text in TEXTS.items()
        if name != "docs/client.md"  # tests/docs/test_client.py runs what is there, with a broker
        for code in blocks(text, "python")
        if not re.match(r"# \w+\.py\n", code)  # a file of a longer story, which tests/docs tells
        and not ("telex.Client(" in code or "telex.SyncClient(" in code)  # as docs/client.md
    ],
)
def test_the_python_examples_run(code: str) -> None:
    done = run(sys.executable, "-W", "error", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_three_terminals_of_the_readme_talk_to_each_other() -> None:
    serve, sub, pub = (block.strip() for block in blocks(TEXTS["README.md"], "sh"))
    assert serve == "telex serve"

    def words(command: str, port: int) -> list[str]:
        name, *arguments = [word.strip("'") for word in command.removeprefix("telex ").split()]
        return telex_command(name, "-p", str(port), *arguments)

    with telex() as server:
        # Retained, so that it does not matter who is there first.
        assert run(*words(pub, server.port), "-r").returncode == 0
        with running(*words(sub, server.port)) as subscriber:
            assert lines_until(subscriber, ".") == "home/temp/room1 21.5\n"


def test_the_links_between_the_documents_lead_somewhere() -> None:
    for name, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"


def test_the_journey_of_a_publish_names_functions_that_exist() -> None:
    steps = re.findall(r"`([\w/]+\.py):\s+([\w.]+)`", TEXTS["ARCHITECTURE.md"])
    assert len(steps) >= 6
    for file, qualified in steps:
        class_name, method = qualified.split(".")
        tree = ast.parse((ROOT / "src" / "telex" / file).read_text())
        [found] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name]
        assert method in {node.name for node in found.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_floors_of_architecture_md_show_all_files() -> None:
    house = blocks(TEXTS["ARCHITECTURE.md"], "text")[0]
    for path in (ROOT / "src" / "telex").rglob("*.py"):
        if path.name not in ("__init__.py", "__main__.py"):
            assert path.name in house, f"{path.name} is missing in ARCHITECTURE.md"


def test_every_option_of_the_readme_is_one_of_the_commands() -> None:
    table = re.findall(r"^\| (`-.*?) \| (both|pub|sub) \|", TEXTS["README.md"], re.MULTILINE)
    assert len(table) >= 8
    for command in ("pub", "sub"):
        told = run(*telex_command(command, "--help")).stdout
        for flags, whose in table:
            if whose in ("both", command):
                for flag in re.findall(r"`(-\w)`", flags):
                    assert re.search(rf"^  {flag}[ ,]", told, re.MULTILINE), f"telex {command} has no {flag}"


def test_every_limit_is_told_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", TEXTS["docs/limits.md"], re.MULTILINE))

    def shown(value: object) -> str:
        return str(value).lower() if isinstance(value, bool) else f"{value:,}" if isinstance(value, int) else str(value)

    options = Options()
    names = [name for name in dir(options) if not name.startswith("_")]
    assert told == {name: shown(getattr(options, name)) or "(empty)" for name in names}


def test_nothing_but_the_text_is_in_the_repository() -> None:
    """No build product, no secret and no large file is tracked."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    for name in tracked.stdout.splitlines():
        assert not name.endswith((".so", ".pyc", ".c.o")), name
        assert (ROOT / name).stat().st_size < 200_000, name
