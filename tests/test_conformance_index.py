"""The tool that makes docs/conformance.md: what it reads, what it misses, what it writes."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]

STATEMENTS = """\
5.0 | MQTT-3.1.0-1 | client | CONNECT comes first. | |
5.0 | MQTT-3.8.4-1 | server | SUBSCRIBE is answered. | |
5.0 | MQTT-4.7.1-1 | both | `#` stands last. | |
3.1.1 | MQTT-3.8.4-1 | server | SUBSCRIBE is answered. | MQTT-3.8.4-1 |
3.1.1 | MQTT-3.9.3-2 | server | SUBACK knows four codes. | |
3.1.1 | MQTT-7.0.0-1 | server | A server that is a client is a whole one. | | There are no bridges.
"""
EDGES = """\
S1 | What was cut off comes again. | A restart. |
R6 | Permission is asked again. | | There is no such permission.
"""
WIRE = '''\
"""Packets (S1)."""


class Reader:
    """First CONNECT [MQTT-3.1.0-1]."""

    def subscribe(self) -> None:
        self.answer()  # [MQTT-3.8.4-1]
        raise ValueError(f"{self}: '#' is not last [MQTT-4.7.1-1]")


CODES = (0, 1, 2, 0x80)  # v3 [MQTT-3.9.3-2]
'''
TESTS = """\
from tests.conformance.marks import edge, mqtt


@mqtt("MQTT-3.1.0-1", "MQTT-4.7.1-1")
def test_connect_is_first() -> None: ...


@mqtt("MQTT-3.8.4-1")
@mqtt("MQTT-3.8.4-1", "MQTT-3.9.3-2", v3=True)
@edge("S1")
async def test_subscribe_is_answered() -> None: ...
"""


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conformance_index", ROOT / "tools" / "conformance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load()


class Project:
    """A small made-up repository, in which nothing is missing until a test takes something away."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "docs").mkdir()
        self.table("statements", "version id binds says twin reason", STATEMENTS)
        self.table("edges", "id says later reason", EDGES)
        self.writes("src/telex/wire/decode.py", WIRE)
        self.writes("tests/conformance/test_connect.py", TESTS)

    def writes(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def table(self, name: str, columns: str, rows: str) -> None:
        lines = [columns.split(), *([cell.strip() for cell in row.split("|")] for row in rows.splitlines())]
        self.writes(f"tests/conformance/{name}.tsv", "".join("\t".join(line) + "\n" for line in lines))

    def statements(self, old: str, new: str) -> None:
        assert old in STATEMENTS
        self.table("statements", "version id binds says twin reason", STATEMENTS.replace(old, new))

    def edges(self, old: str, new: str) -> None:
        assert old in EDGES
        self.table("edges", "id says later reason", EDGES.replace(old, new))

    def tests(self, old: str, new: str) -> None:
        assert old in TESTS
        self.writes("tests/conformance/test_connect.py", TESTS.replace(old, new))

    def source(self, old: str, new: str) -> None:
        assert old in WIRE
        self.writes("src/telex/wire/decode.py", WIRE.replace(old, new))

    @property
    def missing(self) -> list[str]:
        found: list[str] = tool.missing(tool.read(self.root))
        return found

    @property
    def page(self) -> str:
        text: str = tool.render(tool.read(self.root))
        return text

    def row(self, start: str) -> list[str]:
        """The cells of the one row that begins so."""
        [row] = [line for line in self.page.splitlines() if line.startswith(f"| {start} |")]
        return [cell.strip() for cell in row.strip("|").split(" |")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def places(source: str, path: Path) -> dict[tuple[str, str], list[str]]:
    """The functions in which a source names each statement and edge."""
    path.write_text(source)
    index = tool.Index()
    tool._read_tags(path, "src/telex/x.py", index)
    return {key: [place.name for place in found] for key, found in index.places.items()}


# The command


def test_the_page_is_written_and_then_is_fresh(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([], project.root) == 0
    assert "docs/conformance.md is made anew; 0 things are missing" in capsys.readouterr().out
    assert tool.main(["--check"], project.root) == 0
    assert capsys.readouterr().err == ""
    assert (project.root / "docs/conformance.md").read_text() == project.page


def test_a_stale_page_is_found(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["--check"], project.root) == 1  # there is none yet
    tool.main([], project.root)
    project.tests("test_connect_is_first", "test_connect_comes_first")
    assert tool.main(["--check"], project.root) == 1
    assert "docs/conformance.md is stale: make it anew with python tools/conformance.py" in capsys.readouterr().err
    assert "test_connect_comes_first" not in (project.root / "docs/conformance.md").read_text()


def test_what_moves_within_a_function_does_not_change_the_page(project: Project) -> None:
    before = project.page
    project.source("        self.answer()", "        self.wait()\n        self.answer()")
    assert project.page == before


def test_a_wrong_argument_is_answered_with_the_usage(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["--chekc"], project.root) == 2
    assert "usage:" in capsys.readouterr().err


# Tests


def test_a_statement_without_a_test_is_found(project: Project) -> None:
    project.tests('@mqtt("MQTT-3.1.0-1", "MQTT-4.7.1-1")\n', "")
    assert project.missing == ["MQTT-3.1.0-1 has no test and no reason", "MQTT-4.7.1-1 has no test and no reason"]


def test_a_test_of_mqtt_5_shows_nothing_of_3_1_1(project: Project) -> None:
    project.tests('@mqtt("MQTT-3.8.4-1", "MQTT-3.9.3-2", v3=True)\n', '@mqtt("MQTT-3.9.3-2", v3=True)\n')
    assert project.missing == ["v3 MQTT-3.8.4-1 has no test and no reason"]


def test_an_edge_without_a_test_is_found(project: Project) -> None:
    project.tests('@edge("S1")\n', "")  # its later part excuses nothing
    assert project.missing == ["edge S1 has no test and no reason"]


def test_a_mark_with_an_unknown_id_is_found(project: Project) -> None:
    project.tests('@edge("S1")', '@edge("S1", "S99")\n@mqtt("MQTT-9.9.9-9")\n@mqtt("MQTT-3.1.0-1", v3=True)')
    name = "tests/conformance/test_connect.py: test_subscribe_is_answered is marked with"
    assert sorted(project.missing) == [
        f"{name} MQTT-9.9.9-9, which does not exist",
        f"{name} edge S99, which does not exist",
        f"{name} v3 MQTT-3.1.0-1, which does not exist",
    ]


@pytest.mark.parametrize(
    ("mark", "fault"),
    [
        ("@mqtt()", "has a mark without an id"),
        ("@mqtt(*IDS)", "has a mark whose id is not written out"),
        ('@mqtt("MQTT-3.1.0-1", v3=OLD)', "has a mark with another argument than ids and v3=True"),
        ('@edge("S1", v3=True)', "has a mark with another argument than ids and v3=True"),
    ],
)
def test_a_mark_that_cannot_be_read_is_found(project: Project, mark: str, fault: str) -> None:
    project.tests('@edge("S1")', f'@edge("S1")\n{mark}')
    assert project.missing == [f"tests/conformance/test_connect.py: test_subscribe_is_answered {fault}"]


def test_a_mark_at_something_else_than_a_test_is_found(project: Project) -> None:
    project.writes("tests/helpers.py", '@marks.edge("S1")\ndef world() -> None: ...\n')
    assert project.missing == ["tests/helpers.py: world has a mark and is no test"]


def test_marks_of_classes_and_of_single_cases_count(project: Project) -> None:
    project.tests(
        '@mqtt("MQTT-3.1.0-1", "MQTT-4.7.1-1")\n',
        '@parametrize("x", [param(1, marks=mqtt("MQTT-3.1.0-1")), param(2, marks=[mqtt("MQTT-4.7.1-1")])])\n',
    )
    project.writes("tests/conformance/test_more.py", '@edge("S1")\nclass TestMore:\n    pass\n')
    assert project.missing == []
    assert "[TestMore][conformance/more]" in project.row("S1")[-1]


def test_the_tests_of_the_suite_come_first_and_only_a_few_are_named(project: Project) -> None:
    project.writes(
        "tests/aaa/test_first.py",
        "".join(f'@mqtt("MQTT-3.1.0-1")\ndef test_{n}() -> None: ...\n' for n in ("one", "two")),
    )
    project.writes("tests/client/test_client.py", '@mqtt("MQTT-3.1.0-1")\ndef test_three() -> None: ...\n')
    assert project.row("MQTT-3.1.0-1")[-1] == (
        "[test_connect_is_first][conformance/connect], [test_three][client/client], [test_one][aaa/first], "
        "[test_two][aaa/first]"
    )
    project.writes("tests/test_last.py", '@mqtt("MQTT-3.1.0-1")\ndef test_four() -> None: ...\n')
    assert project.row("MQTT-3.1.0-1")[-1] == (
        "[test_connect_is_first][conformance/connect], [test_three][client/client], [test_one][aaa/first], +2 more"
    )
    assert "[client/client]: ../tests/client/test_client.py" in project.page.splitlines()


# Places


def test_a_statement_without_a_place_is_found(project: Project) -> None:
    project.source("  # [MQTT-3.8.4-1]", "")
    assert project.missing == [
        "MQTT-3.8.4-1 has no place in the code and no reason",
        "v3 MQTT-3.8.4-1 has no place in the code and no reason",  # its twin has none
    ]


def test_a_statement_of_3_1_1_is_obeyed_where_its_twin_is_and_at_places_of_its_own(project: Project) -> None:
    assert project.missing == []
    project.source("class Reader", "def answer():\n    pass  # v3 [MQTT-3.8.4-1]\n\n\nclass Reader")
    rows = [line for line in project.page.splitlines() if line.startswith("| MQTT-3.8.4-1 |")]
    assert [row.split(" | ")[-2] for row in rows] == [
        "[wire/decode.py] `Reader.subscribe`",
        "[wire/decode.py] `answer` `Reader.subscribe`",
    ]


def test_a_tag_with_an_unknown_id_is_found(project: Project) -> None:
    project.source("v3 [MQTT-3.9.3-2]", "v3 [MQTT-3.9.3-2] [MQTT-3.1.0-1] (S77: why)")
    assert sorted(project.missing) == [
        "src/telex/wire/decode.py has the tag edge S77, which does not exist",
        "src/telex/wire/decode.py has the tag v3 MQTT-3.1.0-1, which does not exist",
    ]


def test_what_binds_clients_is_obeyed_by_what_clients_are_made_of(project: Project) -> None:
    project.source("First CONNECT [MQTT-3.1.0-1].", "First CONNECT.")
    project.writes("src/telex/engine/connection.py", "# [MQTT-3.1.0-1]\n")
    assert project.missing == ["MQTT-3.1.0-1 binds clients, and has no place in what a client is made of"]
    project.writes("src/telex/client/connection.py", "# [MQTT-3.1.0-1]\n")
    assert project.missing == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[MQTT-1.1.1-1]", {("5.0", "MQTT-1.1.1-1")}),
        ("[MQTT-4.2-1]", {("5.0", "MQTT-4.2-1")}),
        ("v3 [MQTT-1.1.1-1]", {("3.1.1", "MQTT-1.1.1-1")}),
        ("[v3 MQTT-1.1.1-1]", {("3.1.1", "MQTT-1.1.1-1")}),
        ("(v3 [MQTT-1.1.1-1])", {("3.1.1", "MQTT-1.1.1-1")}),
        ("[MQTT-1.1.1-1] [MQTT-1.1.1-2]", {("5.0", "MQTT-1.1.1-1"), ("5.0", "MQTT-1.1.1-2")}),
        ("v3 [MQTT-1.1.1-1] [MQTT-1.1.1-2]", {("3.1.1", "MQTT-1.1.1-1"), ("3.1.1", "MQTT-1.1.1-2")}),
        ("v3 [MQTT-1.1.1-1] v3 [MQTT-1.1.1-2]", {("3.1.1", "MQTT-1.1.1-1"), ("3.1.1", "MQTT-1.1.1-2")}),
        ("v3 [MQTT-1.1.1-1], [MQTT-1.1.1-2]", {("3.1.1", "MQTT-1.1.1-1"), ("5.0", "MQTT-1.1.1-2")}),
        ("[v3 MQTT-1.1.1-1] [MQTT-1.1.1-2]", {("3.1.1", "MQTT-1.1.1-1"), ("5.0", "MQTT-1.1.1-2")}),
        ("[MQTT-1.1.1-1] v3 [MQTT-1.1.1-2]", {("5.0", "MQTT-1.1.1-1"), ("3.1.1", "MQTT-1.1.1-2")}),
        ("MQTT-1.1.1-1 without brackets, [section 3.1]", set()),
    ],
)
def test_v3_stands_before_a_row_of_tags_or_within_one(text: str, found: set[tuple[str, str]]) -> None:
    assert set(tool._statement_tags(f"# {text}")) == found


def test_a_tag_belongs_to_the_innermost_function_or_class(tmp_path: Path) -> None:
    source = '''\
"""Of the module [MQTT-1.1.1-1]."""
LIMIT = 3  # [MQTT-1.1.1-2]


@decorated("[MQTT-1.1.1-3]")
class Outer:
    """Of the class [MQTT-1.1.1-4]."""

    def method(self) -> None:
        """Longer.

        v3 [MQTT-1.1.1-5]
        """

        def inner() -> None: ...  # [MQTT-1.1.1-6]

        inner()  # [MQTT-1.1.1-7]

    # Between its methods [MQTT-1.1.1-8]
    FIELD = 1
'''
    assert places(source, tmp_path / "x.py") == {
        ("5.0", "MQTT-1.1.1-1"): [""],
        ("5.0", "MQTT-1.1.1-2"): [""],
        ("5.0", "MQTT-1.1.1-3"): ["Outer"],
        ("5.0", "MQTT-1.1.1-4"): ["Outer"],
        ("3.1.1", "MQTT-1.1.1-5"): ["Outer.method"],
        ("5.0", "MQTT-1.1.1-6"): ["Outer.method.inner"],
        ("5.0", "MQTT-1.1.1-7"): ["Outer.method"],
        ("5.0", "MQTT-1.1.1-8"): ["Outer"],
    }


def test_edges_are_named_in_comments_and_docstrings_and_not_in_code(tmp_path: Path) -> None:
    source = '''\
def resend(S5, text="not this (S6)"):
    """Again (S1)."""
    call(S5)  # as in (S2: why) and (S3, S4)
    return f"nor this (S7) of {S5}"
'''
    assert places(source, tmp_path / "x.py") == {("edge", f"S{n}"): ["resend"] for n in (1, 2, 3, 4)}


# Tables


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("| client |", "| clients |", "MQTT-3.1.0-1 binds 'clients', expected one of server, client, both, neither"),
        ("5.0 | MQTT-4.7.1-1", "6.0 | MQTT-4.7.1-1", "6.0 MQTT-4.7.1-1 is of no version that there is"),
        ("`#` stands last.", "", "MQTT-4.7.1-1 says nothing"),
        ("| MQTT-3.8.4-1 |\n", "| MQTT-3.8.4-7 |\n", "v3 MQTT-3.8.4-1 has the twin MQTT-3.8.4-7, which does not exist"),
        ("`#` stands last. | |", "x | MQTT-3.1.0-1 |", "MQTT-4.7.1-1 has a twin, which only statements of 3.1.1 have"),
        ("MQTT-4.7.1-1", "MQTT-3.1.0-1", "MQTT-3.1.0-1 stands there 2 times"),
        ("answered. | |\n", "answered.\n", "line 3: 4 columns, expected 6"),
    ],
)
def test_a_wrong_row_is_found(project: Project, old: str, new: str, fault: str) -> None:
    project.statements(old, new)
    assert any(each.startswith("statements.tsv") and each.endswith(fault) for each in project.missing)


def test_a_wrong_head_is_found(project: Project) -> None:
    project.table("edges", "id says reason", "")
    assert "edges.tsv: the first line is not the columns id, says, later, reason" in project.missing


def test_a_statement_that_binds_nobody_needs_a_reason(project: Project) -> None:
    project.statements("| both |", "| neither |")
    assert project.missing == ["MQTT-4.7.1-1 binds neither end, and has no reason"]


def test_a_reason_stands_where_there_is_no_test(project: Project) -> None:
    project.tests('@edge("S1")', '@edge("S1", "R6")\n@mqtt("MQTT-7.0.0-1", v3=True)')
    assert project.missing == [
        "v3 MQTT-7.0.0-1 has a test, and a reason why there is none",
        "edge R6 has a test, and a reason why there is none",
    ]


# The page


def test_the_page_shows_what_where_and_by_which_test(project: Project) -> None:
    project.statements("`#` stands last.", "`#` or `a/#`, no other.")
    page = project.page
    assert project.row("MQTT-4.7.1-1") == [
        "MQTT-4.7.1-1",
        "both",
        "`#` or `a/#`, no other.",
        "[wire/decode.py] `Reader.subscribe`",
        "[test_connect_is_first][conformance/connect]",
    ]
    assert project.row("MQTT-3.9.3-2")[3:] == [
        "SUBACK knows four codes.",
        "[wire/decode.py]",  # of the module
        "[test_subscribe_is_answered][conformance/connect]",
    ]
    assert project.row("S1")[1:3] == [
        "What was cut off comes again. *Not yet:* A restart.",
        "[wire/decode.py]",
    ]
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# Conformance",
        "## MQTT 5.0",
        "### 3.1 CONNECT",
        "### 3.8 SUBSCRIBE",
        "### 4.7 Topics",
        "## MQTT 3.1.1",
        "### 3.8 SUBSCRIBE",
        "### 3.9 SUBACK",
        "### 7.0 Conformance",
        "## Edges",
        "## What nothing can test yet",
    ]
    assert "| MQTT 3.1.1 | 3 | 3 | 0 | 0 | 2 | 2 | 1 |" in page
    assert "| edges | 2 |  |  |  | 1 |  | 1 |" in page
    assert "- v3 MQTT-7.0.0-1: There are no bridges.\n- edge R6: There is no such permission.\n" in page
    assert page.endswith(
        "\n\n[conformance/connect]: ../tests/conformance/test_connect.py\n"
        "[wire/decode.py]: ../src/telex/wire/decode.py\n"
    )


# Telex itself


def test_every_statement_and_edge_has_its_place_and_its_test() -> None:
    missing = tool.missing(tool.read(ROOT))
    assert not missing, "\n".join(missing)


def test_the_index_of_the_documentation_is_fresh() -> None:
    page = (ROOT / tool.INDEX).read_text()
    assert page == tool.render(tool.read(ROOT)), "make it anew: python tools/conformance.py"
