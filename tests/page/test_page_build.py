"""Whether an installation builds the live page: what TELEX_PAGE asks for, and what stands in the way.

The npm of these tests writes down how it was called, and makes a page of nothing.
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

BACKEND = Path(__file__).parents[2] / "build_backend" / "live_page.py"

_NPM = """#!{python}
import os, sys
from pathlib import Path

with open({calls!r}, "a") as calls:
    print(*sys.argv[1:2], file=calls)
if sys.argv[1] == "ci":
    Path("node_modules").mkdir()
    Path("node_modules/.package-lock.json").touch()
if sys.argv[1] == "run":
    static = Path("../src/telex/server/web/static")
    static.mkdir(parents=True, exist_ok=True)
    (static / "index.html").write_text("<!doctype html>")
sys.exit({code})
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a program is a file with #! here")


@pytest.fixture(scope="module")
def live_page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("live_page", BACKEND)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tree:
    """A copy of the repository, as far as the page's build looks at it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._monkeypatch = monkeypatch
        self._calls = root / "calls"
        self._programs = root / "bin"
        self._programs.mkdir()
        source = root / "dashboard" / "src" / "main.ts"
        source.parent.mkdir(parents=True)
        source.write_text("1\n")
        (root / "dashboard" / "package-lock.json").write_text("{}\n")
        monkeypatch.setenv("PATH", str(self._programs))
        monkeypatch.delenv("TELEX_PAGE", raising=False)

    def has_npm(self, code: int = 0) -> None:
        """From now on there is an npm, which exits with ``code``."""
        npm = self._programs / "npm"
        npm.write_text(_NPM.format(python=sys.executable, calls=str(self._calls), code=code))
        npm.chmod(0o755)

    def wishes(self, wish: str) -> None:
        self._monkeypatch.setenv("TELEX_PAGE", wish)

    def change_source(self) -> None:
        (self.root / "dashboard" / "src" / "main.ts").write_text("2\n")

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().split() if self._calls.exists() else []

    @property
    def has_page(self) -> bool:
        return (self.root / "src" / "telex" / "server" / "web" / "static" / "index.html").is_file()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(tmp_path, monkeypatch)


def build(live_page: ModuleType, tree: Tree) -> None:
    live_page.build_where_possible(live_page.LivePage(tree.root))


def test_with_npm_the_page_is_built_once(live_page: ModuleType, tree: Tree) -> None:
    tree.has_npm()
    build(live_page, tree)
    build(live_page, tree)
    assert tree.has_page
    assert tree.calls == ["ci", "run"]


def test_an_npm_from_pypi_looks_for_itself_in_its_own_libraries(
    live_page: ModuleType, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tree.root / "of-the-build"))
    tree.has_npm()
    npm = tree.root / "bin" / "npm"
    npm.write_text(npm.read_text().replace("import os, sys", "import os, sys\nassert 'PYTHONPATH' not in os.environ"))
    build(live_page, tree)
    assert tree.has_page


def test_what_has_changed_is_built_again_with_the_libraries_that_are_there(live_page: ModuleType, tree: Tree) -> None:
    tree.has_npm()
    build(live_page, tree)
    tree.change_source()
    assert not live_page.LivePage(tree.root).is_built
    build(live_page, tree)
    assert tree.calls == ["ci", "run", "run"]


def test_without_npm_the_installation_goes_on_and_says_so(
    live_page: ModuleType, tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    build(live_page, tree)
    assert not tree.has_page
    assert "The live page was not built: npm was not found" in capsys.readouterr().err


def test_when_npm_fails_the_installation_goes_on_and_says_so(
    live_page: ModuleType, tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.has_npm(code=1)
    build(live_page, tree)
    assert tree.calls == ["ci"]
    assert "exit status 1" in capsys.readouterr().err
    assert not live_page.LivePage(tree.root).is_built


@pytest.mark.parametrize("code", [None, 1])
def test_1_fails_loudly_where_it_cannot(live_page: ModuleType, tree: Tree, code: int | None) -> None:
    tree.wishes("1")
    if code is not None:
        tree.has_npm(code)
    with pytest.raises(SystemExit, match="TELEX_PAGE=1, but the live page was not built"):
        build(live_page, tree)


def test_0_never_builds(live_page: ModuleType, tree: Tree) -> None:
    tree.has_npm()
    tree.wishes("0")
    build(live_page, tree)
    assert tree.calls == []


def test_any_other_wish_is_refused(live_page: ModuleType, tree: Tree) -> None:
    tree.wishes("yes")
    with pytest.raises(SystemExit, match="TELEX_PAGE=yes: expected 0"):
        build(live_page, tree)


def test_sources_without_the_page_are_installed_without_it(live_page: ModuleType, tmp_path: Path) -> None:
    live_page.build_where_possible(live_page.LivePage(tmp_path))
    assert list(tmp_path.iterdir()) == []
