"""Makes docs/conformance.md: where the code obeys each statement of MQTT, and which tests show it.

    python tools/conformance.py            write the index
    python tools/conformance.py --check    say what is missing or stale, and exit 1 if anything is

Knows three things, all by reading text: ``tests/conformance/*.tsv`` say what there is
to obey, marks say what a test shows, tags say which line obeys it. Runs nothing, and
knows no brokers. The index names functions and no line numbers, so that it changes
only when they do.

Marks are decorators of tests, ``@mqtt("MQTT-3.8.4-1", "MQTT-3.8.4-2")``, with ``v3=True``
for statements of MQTT 3.1.1, and ``@edge("S1")``; those within ``parametrize`` count too.

Tags stand in comments, docstrings and other strings of ``src/telex``:

- ``[MQTT-3.1.2-22]`` is a statement of MQTT 5;
- ``v3 [MQTT-3.1.2-2]`` is one of 3.1.1, and so is every tag that follows it with nothing but a
  space between, ``v3 [MQTT-3.1.3-8] [MQTT-3.1.3-9]``, on the same line;
- ``[v3 MQTT-3.9.3-2]`` is one of 3.1.1, and says nothing of its neighbours;
- ``(S7)`` or ``(S7: why)``, in comments and docstrings, is an edge.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
INDEX: Final = "docs/conformance.md"
STATEMENTS: Final = "tests/conformance/statements.tsv"
EDGES: Final = "tests/conformance/edges.tsv"

_STATEMENT_COLUMNS: Final = ["version", "id", "binds", "says", "twin", "reason"]
_EDGE_COLUMNS: Final = ["id", "says", "later", "reason"]
_BINDS: Final = ("server", "client", "both", "neither")
_VERSIONS: Final = ("5.0", "3.1.1")
_EDGE: Final = "edge"

# What a client is made of: a statement that binds only clients is obeyed there.
_CLIENT_FILES: Final = ("client/", "cli/", "wire/", "streams/", "flow.py", "topics.py", "engine/bridge.py")

# Which tests are named first: those that were written to show statements.
_FIRST_TESTS: Final = ("tests/conformance/", "tests/client/")

_MOST_SHOWN: Final = 4  # names in a cell; of more than that, one less is shown, and how many there are besides

_TAG: Final = r"\[(?:v3 )?MQTT-[\d.]+-\d+\]"
_ROW: Final = re.compile(rf"(\bv3 )?({_TAG}(?: {_TAG})*)")
_TAG_PARTS: Final = re.compile(r"\[(v3 )?(MQTT-[\d.]+-\d+)\]")
_EDGE_TAG: Final = re.compile(r"\(([A-Z]\d{1,2}(?:, [A-Z]\d{1,2})*)[:)]")

_TITLES: Final = {
    "1.4": "Text",
    "1.5": "Data",
    "2.1": "Fixed header",
    "2.2": "Packet ids and properties",
    "2.3": "Packet ids",
    "3.1": "CONNECT",
    "3.2": "CONNACK",
    "3.3": "PUBLISH",
    "3.4": "PUBACK",
    "3.5": "PUBREC",
    "3.6": "PUBREL",
    "3.7": "PUBCOMP",
    "3.8": "SUBSCRIBE",
    "3.9": "SUBACK",
    "3.10": "UNSUBSCRIBE",
    "3.11": "UNSUBACK",
    "3.12": "PINGREQ",
    "3.14": "DISCONNECT",
    "3.15": "AUTH",
    "4.1": "Sessions",
    "4.2": "Transport",
    "4.3": "Quality of service",
    "4.4": "Sending again",
    "4.5": "Taking over messages",
    "4.6": "Order",
    "4.7": "Topics",
    "4.8": "Shared subscriptions",
    "4.9": "Flow control",
    "4.12": "Enhanced authentication",
    "4.13": "Errors",
    "6.0": "WebSocket",
    "7.0": "Conformance",
    "7.1": "Transport",
}
_TITLES_V3: Final = {"2.2": "Fixed header", "4.8": "Errors"}  # where the older text counts otherwise

Key = tuple[str, str]
"""A version, or ``edge``, and an id."""


class Statement(NamedTuple):
    """One numbered statement of the specification."""

    version: str
    id: str
    binds: str  # whom: server, client, both or neither
    says: str  # what it asks, in our words
    twins: tuple[str, ...]  # of 3.1.1: the statements of MQTT 5 that ask the same
    reason: str  # why nothing can test it; empty: something can

    @property
    def key(self) -> Key:
        """How marks and tags name it."""
        return self.version, self.id

    @property
    def section(self) -> str:
        """The section that it stands in: 3.1 of MQTT-3.1.2-22."""
        return ".".join(self.id.removeprefix("MQTT-").rsplit("-", 1)[0].split(".")[:2])


class Edge(NamedTuple):
    """One line of what brokers have failed at again and again."""

    id: str
    says: str
    later: str  # the part of it that is not there yet; the rest needs a test
    reason: str  # why nothing can test any of it yet

    @property
    def key(self) -> Key:
        """How marks and tags name it."""
        return _EDGE, self.id


class Place(NamedTuple):
    """A function or class; ``name`` is empty for what stands outside of all of them."""

    path: str  # from the root of the repository
    name: str


class Index:
    """All that the tool has read, and what it found wrong while reading."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.edges: list[Edge] = []
        self.places: dict[Key, list[Place]] = {}  # in src/telex, in the order of files and lines
        self.tests: dict[Key, list[Place]] = {}
        self.faults: list[str] = []

    def places_of(self, statement: Statement) -> list[Place]:
        """Where a statement is obeyed: by its own tags and by those of its twins."""
        keys = [statement.key, *(("5.0", twin) for twin in statement.twins)]
        return _unique(place for key in keys for place in self.places.get(key, []))

    def tests_of(self, key: Key) -> list[Place]:
        """What shows it, the tests first that were written for that."""

        def rank(place: Place) -> int:
            ranks = [at for at, folder in enumerate(_FIRST_TESTS) if place.path.startswith(folder)]
            return ranks[0] if ranks else len(_FIRST_TESTS)

        return sorted(_unique(self.tests.get(key, [])), key=rank)  # the order of reading holds within a rank


def _unique(places: Iterator[Place] | list[Place]) -> list[Place]:
    return list(dict.fromkeys(places))


# Reading


def read(root: Path) -> Index:
    """Read the tables, the marks of the tests and the tags of the sources below a root."""
    index = Index()
    _read_statements(root / STATEMENTS, index)
    _read_edges(root / EDGES, index)
    for path in sorted((root / "tests").rglob("*.py")):
        _read_marks(path, path.relative_to(root).as_posix(), index)
    for path in sorted((root / "src" / "telex").rglob("*.py")):
        _read_tags(path, path.relative_to(root).as_posix(), index)
    known = {each.key for each in index.statements} | {each.key for each in index.edges}
    for found, what in ((index.tests, "is marked with"), (index.places, "has the tag")):
        for key, places in found.items():
            if key not in known:
                for place in _unique(places):
                    index.faults.append(f"{_shown_place(place)} {what} {_shown_key(key)}, which does not exist")
    return index


def _read_table(path: Path, columns: list[str], index: Index) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or lines[0].split("\t") != columns:
        index.faults.append(f"{path.name}: the first line is not the columns {', '.join(columns)}")
        return []
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        row = line.split("\t")
        if len(row) == len(columns):
            rows.append(row)
        else:
            index.faults.append(f"{path.name}, line {number}: {len(row)} columns, expected {len(columns)}")
    return rows


def _read_statements(path: Path, index: Index) -> None:
    for version, name, binds, says, twin, reason in _read_table(path, _STATEMENT_COLUMNS, index):
        statement = Statement(version, name, binds, says, tuple(twin.split()), reason)
        what = _shown_key(statement.key)
        if version not in _VERSIONS:
            index.faults.append(f"{path.name}: {what} is of no version that there is")
        if binds not in _BINDS:
            index.faults.append(f"{path.name}: {what} binds {binds!r}, expected one of {', '.join(_BINDS)}")
        if not says:
            index.faults.append(f"{path.name}: {what} says nothing")
        if twin and version == "5.0":
            index.faults.append(f"{path.name}: {what} has a twin, which only statements of 3.1.1 have")
        index.statements.append(statement)
    v5 = {each.id for each in index.statements if each.version == "5.0"}
    for statement in index.statements:
        for twin in statement.twins:
            if twin not in v5:
                what = f"{_shown_key(statement.key)} has the twin {twin}, which does not exist"
                index.faults.append(f"{path.name}: {what}")
    _refuse_repeats([each.key for each in index.statements], path, index)


def _read_edges(path: Path, index: Index) -> None:
    index.edges.extend(Edge(*row) for row in _read_table(path, _EDGE_COLUMNS, index))
    _refuse_repeats([each.key for each in index.edges], path, index)


def _refuse_repeats(keys: list[Key], path: Path, index: Index) -> None:
    for key in dict.fromkeys(keys):
        if keys.count(key) > 1:
            index.faults.append(f"{path.name}: {_shown_key(key)} stands there {keys.count(key)} times")


def _read_marks(path: Path, name: str, index: Index) -> None:
    for node, qualified in _definitions(ast.parse(path.read_text(encoding="utf-8"))):
        place = Place(name, qualified)
        calls = [call for each in node.decorator_list for call in ast.walk(each) if _called(call) in ("mqtt", "edge")]
        if calls and not node.name.startswith(("test", "Test")):
            index.faults.append(f"{_shown_place(place)} has a mark and is no test")
        for call in calls:
            assert isinstance(call, ast.Call)  # _called made sure
            for key in _marked(call, place, index):
                index.tests.setdefault(key, []).append(place)


def _called(node: ast.AST) -> str:
    """The name of the function that an expression calls."""
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _marked(call: ast.Call, place: Place, index: Index) -> list[Key]:
    """What a mark names."""
    version = _EDGE if _called(call) == "edge" else "5.0"
    for keyword in call.keywords:
        if version == _EDGE or keyword.arg != "v3" or not isinstance(keyword.value, ast.Constant):
            index.faults.append(f"{_shown_place(place)} has a mark with another argument than ids and v3=True")
        elif keyword.value.value is True:
            version = "3.1.1"
    keys = []
    for argument in call.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            keys.append((version, argument.value))
        else:
            index.faults.append(f"{_shown_place(place)} has a mark whose id is not written out")
    if not call.args:
        index.faults.append(f"{_shown_place(place)} has a mark without an id")
    return keys


_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _definitions(tree: ast.AST, outer: str = "") -> Iterator[tuple[_Definition, str]]:
    """All functions and classes with their qualified names, in the order of reading."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _Definition):
            qualified = f"{outer}.{node.name}" if outer else node.name
            yield node, qualified
            yield from _definitions(node, qualified)
        else:
            yield from _definitions(node, outer)


def _read_tags(path: Path, name: str, index: Index) -> None:
    text = path.read_text(encoding="utf-8")
    scope_at = _scopes(ast.parse(text))
    for line_number, piece, is_code in _texts(text):
        place = Place(name, scope_at(line_number))
        keys = list(_statement_tags(piece))
        if not is_code:
            keys += [(_EDGE, each) for row in _EDGE_TAG.findall(piece) for each in row.split(", ")]
        for key in keys:
            index.places.setdefault(key, []).append(place)


def _scopes(tree: ast.AST) -> Callable[[int], str]:
    """A function that tells which definition a line belongs to: the innermost, its decorators included."""
    scopes = [
        (min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.end_lineno or node.lineno, qualified)
        for node, qualified in _definitions(tree)
    ]

    def scope_at(line: int) -> str:
        inside = [qualified for first, last, qualified in scopes if first <= line <= last]
        return inside[-1] if inside else ""  # inner definitions come behind outer ones

    return scope_at


def _texts(source: str) -> Iterator[tuple[int, str, bool]]:
    """Each line of each comment and string: its number, its text, and whether the program uses it as a value."""
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in ("COMMENT", "STRING", "FSTRING_MIDDLE", "TSTRING_MIDDLE"):
            # A string where a statement begins is a docstring.
            is_code = kind != "COMMENT" and before not in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
            for offset, piece in enumerate(token.string.split("\n")):
                yield token.start[0] + offset, piece, is_code
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type


def _statement_tags(line: str) -> Iterator[Key]:
    """The statements that a line of text names; the rules are at the top of this file."""
    for row in _ROW.finditer(line):
        for in_bracket, name in _TAG_PARTS.findall(row[2]):
            yield ("3.1.1" if row[1] or in_bracket else "5.0"), name


# Judging


def missing(index: Index) -> list[str]:
    """What keeps the index from being whole, one line each."""
    found = list(index.faults)
    for statement in index.statements:
        found.extend(f"{_shown_key(statement.key)} {what}" for what in _lacks(statement, index))
    for edge in index.edges:
        tests = index.tests_of(edge.key)
        if edge.reason and tests:
            found.append(f"{_shown_key(edge.key)} has a test, and a reason why there is none")
        elif not edge.reason and not tests:
            found.append(f"{_shown_key(edge.key)} has no test and no reason")
    return found


def _lacks(statement: Statement, index: Index) -> list[str]:
    tests, places = index.tests_of(statement.key), index.places_of(statement)
    if statement.reason:
        return ["has a test, and a reason why there is none"] if tests else []
    lacks = []
    if statement.binds == "neither":
        lacks.append("binds neither end, and has no reason")
    if not tests:
        lacks.append("has no test and no reason")
    if not places:
        lacks.append("has no place in the code and no reason")
    elif statement.binds == "client" and not any(_short(place).startswith(_CLIENT_FILES) for place in places):
        lacks.append("binds clients, and has no place in what a client is made of")
    return lacks


# Writing


_INTRODUCTION: Final = """\
<!-- Made by tools/conformance.py; a change by hand is lost. -->

# Conformance

Every numbered statement of [MQTT 5.0](https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html) and
[MQTT 3.1.1](https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html): what it asks in our own words, the
functions of `src/telex` that obey it, and the tests that show it. Where a statement names an end, it binds that end;
where it says how a packet looks, it binds both, who writes it and who reads it. A statement of 3.1.1 that asks what
others of 5.0 ask is obeyed where they are; the column *5.0* names them.

`python tools/conformance.py` makes this page, from the tags in the sources (`[MQTT-3.1.2-22]`, at the line that obeys
it), the marks at the tests (`@mqtt("MQTT-3.1.2-22")`) and two tables,
[statements.tsv](../tests/conformance/statements.tsv) and [edges.tsv](../tests/conformance/edges.tsv). With `--check` it
says what is stale, and which statement has no test or no place; `tests/test_conformance_index.py` asks the same.

Most tests of `tests/conformance` are stories that any broker can be told. They run in memory and over a socket, or
with whatever broker listens at an address:

```sh
pytest tests/conformance --broker HOST:PORT
```"""


def render(index: Index) -> str:
    """The index, as Markdown."""
    blocks = [_INTRODUCTION, _totals(index)]
    for version in _VERSIONS:
        blocks.append(f"## MQTT {version}")
        of_version = [each for each in index.statements if each.version == version]
        for section, group in groupby(of_version, key=lambda each: each.section):
            blocks.append(_heading(version, section))
            blocks.append(_statement_table(list(group), index))
    blocks += ["## Edges", _EDGES_TEXT, _edge_table(index)]
    blocks += ["## What nothing can test yet", _reasons(index)]
    references = _references(index)
    if references:
        blocks.append("\n".join(references))
    return "\n\n".join(blocks) + "\n"


def _totals(index: Index) -> str:
    rows = ["|  | all | bind servers | bind clients | bind both | with a test | with a place | nothing can test |"]
    rows.append("|---|---|---|---|---|---|---|---|")
    for version in _VERSIONS:
        of_version = [each for each in index.statements if each.version == version]
        binds = [sum(each.binds == end for each in of_version) for end in ("server", "client", "both")]
        tested = sum(bool(index.tests_of(each.key)) for each in of_version)
        placed = sum(bool(index.places_of(each)) for each in of_version)
        excused = sum(bool(each.reason) for each in of_version)
        counts = [len(of_version), *binds, tested, placed, excused]
        rows.append(f"| MQTT {version} | {' | '.join(str(count) for count in counts)} |")
    tested = sum(bool(index.tests_of(each.key)) for each in index.edges)
    excused = sum(bool(each.reason) for each in index.edges)
    rows.append(f"| edges | {len(index.edges)} |  |  |  | {tested} |  | {excused} |")
    return "\n".join(rows)


def _heading(version: str, section: str) -> str:
    title = _TITLES_V3.get(section) if version == "3.1.1" else None
    return f"### {section} {title or _TITLES.get(section, '')}".rstrip()


def _statement_table(statements: list[Statement], index: Index) -> str:
    is_v3 = statements[0].version == "3.1.1"
    rows = [f"| statement |{' 5.0 |' if is_v3 else ''} binds | what it asks | where | shown by |"]
    rows.append("|---|---|---|---|---|---|" if is_v3 else "|---|---|---|---|---|")
    for each in statements:
        twins = f" {', '.join(twin.removeprefix('MQTT-') for twin in each.twins)} |" if is_v3 else ""
        shown = "[nothing yet](#what-nothing-can-test-yet)" if each.reason else _test_cell(index.tests_of(each.key))
        where = _place_cell(index.places_of(each))
        rows.append(f"| {each.id} |{twins} {each.binds} | {_cell(each.says)} | {where} | {shown} |")
    return "\n".join(rows)


_EDGES_TEXT: Final = """\
Where brokers have failed again and again, whatever the specification says: S sessions and QoS, P packet ids and flow, T
take-over, W wills, R retained messages and expiry, K topics and strings, A keep alive, Z sizes, L aliases, H shared
subscriptions, M parsing and connection states, V login and capabilities."""


def _edge_table(index: Index) -> str:
    rows = ["| edge | what goes wrong elsewhere and not here | where | shown by |", "|---|---|---|---|"]
    for each in index.edges:
        shown = "[nothing yet](#what-nothing-can-test-yet)" if each.reason else _test_cell(index.tests_of(each.key))
        says = _cell(each.says) + (f" *Not yet:* {_cell(each.later)}" if each.later else "")
        rows.append(f"| {each.id} | {says} | {_place_cell(_unique(index.places.get(each.key, [])))} | {shown} |")
    return "\n".join(rows)


def _reasons(index: Index) -> str:
    excused = [f"- {_shown_key(each.key)}: {each.reason}" for each in index.statements if each.reason]
    excused += [f"- {_shown_key(each.key)}: {each.reason}" for each in index.edges if each.reason]
    return "\n".join(excused) if excused else "Nothing: everything has its test."


def _test_cell(tests: list[Place]) -> str:
    shown, more = _first(tests)
    return ", ".join([f"[{each.name.rsplit('.', 1)[-1]}][{_short(each)}]" for each in shown]) + more


def _place_cell(places: list[Place]) -> str:
    shown, more = _first(places)
    files = [
        f"[{file}]{''.join(f' `{each.name}`' for each in group if each.name)}"
        for file, group in groupby(shown, key=_short)
    ]
    return ", ".join(files) + more


def _first(places: list[Place]) -> tuple[list[Place], str]:
    """The places that a cell shows, and how it says that there are more."""
    if len(places) <= _MOST_SHOWN:
        return places, ""
    return places[: _MOST_SHOWN - 1], f", +{len(places) - _MOST_SHOWN + 1} more"


def _references(index: Index) -> list[str]:
    """Where the links of all cells lead; ``[engine/session.py]`` in a cell is short for it."""
    cells = [_first(index.places_of(each))[0] for each in index.statements]
    cells += [_first(index.tests_of(each.key))[0] for each in index.statements if not each.reason]
    cells += [_first(_unique(index.places.get(each.key, [])))[0] for each in index.edges]
    cells += [_first(index.tests_of(each.key))[0] for each in index.edges if not each.reason]
    linked = {(_short(place), place.path) for cell in cells for place in cell}
    return [f"[{short}]: ../{path}" for short, path in sorted(linked)]


def _short(place: Place) -> str:
    """A file as cells name it: ``engine/session.py``, and tests without what all their names share."""
    if place.path.startswith("tests/"):
        path = Path(place.path.removeprefix("tests/")).with_suffix("")
        return path.with_name(path.name.removeprefix("test_")).as_posix()
    return place.path.removeprefix("src/telex/")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _shown_key(key: Key) -> str:
    version, name = key
    return {"5.0": name, "3.1.1": f"v3 {name}"}.get(version, f"{version} {name}")


def _shown_place(place: Place) -> str:
    return f"{place.path}: {place.name}" if place.name else place.path


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write the index, or with ``--check`` judge it: the exit status."""
    if arguments not in ([], ["--check"]):
        print("usage: python tools/conformance.py [--check]", file=sys.stderr)
        return 2
    index = read(root)
    lacks = missing(index)
    text = render(index)
    path = root / INDEX
    if not arguments:
        path.write_text(text, encoding="utf-8")
        print(f"{INDEX} is made anew; {len(lacks)} things are missing (--check lists them)")
        return 0
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        lacks.append(f"{INDEX} is stale: make it anew with python tools/conformance.py")
    for each in lacks:
        print(each, file=sys.stderr)
    return 1 if lacks else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
