"""A file imports only from a lower floor, or from a lower file of its own folder (ARCHITECTURE.md)."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "telex"
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))

FLOORS = {
    "codes.py": 1,
    "errors.py": 2,
    "topics.py": 3,
    "flow.py": 3,
    "version.py": 3,
    "wire/": 3,
    "streams/": 3,
    "engine/": 4,
    "client/": 4,
    "server/": 5,
    "cli/": 6,
    "__init__.py": 7,
    "__main__.py": 7,
}

# Within a folder, from the lowest file to the highest; files on one line do not know each other.
ORDER = {
    "wire/": [["data.py", "reasons.py"], ["properties.py"], ["packets.py"], ["decode.py", "encode.py"]],
    "streams/": [["stream.py"], ["tcp.py"]],
    "engine/": [
        ["options.py", "stats.py", "deadlines.py", "message.py", "permissions.py"],
        ["outbox.py", "records.py", "retained.py"],
        ["seams.py"],
        ["session.py", "login.py"],
        ["subscriptions.py"],
        ["engine.py"],
        ["connection.py"],
    ],
    "client/": [["connection.py"], ["aio.py"]],
    "server/": [["log.py", "sys_topics.py"], ["broker.py"]],
    "cli/": [["loop.py"], ["main.py"], ["flags.py"], ["serve.py", "pub.py", "sub.py"], ["demo.py"]],
}

# Floor 3 is one floor of several rooms: the wire reads topics, and nothing else crosses over.
SAME_FLOOR = {("wire/", "topics.py")}

THE_WORLD = {"asyncio", "socket", "ssl", "threading", "time", "random", "os"}
MAY_TOUCH_THE_WORLD = ("streams/", "client/aio.py", "server/", "cli/")


def room(module: str) -> str:
    return module.split("/")[0] + "/" if "/" in module else module


def imported(module: str) -> list[str]:
    """The modules that a file imports, those of Telex as paths below src/telex."""
    found = []
    for node in ast.walk(ast.parse((SOURCE / module).read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if is_module(name) else node.module for name in names]
    return [path_of(name) if name.split(".")[0] == "telex" else name for name in found]


def is_module(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "telex" and (SOURCE.joinpath(*parts[1:]).with_suffix(".py").exists())


def path_of(name: str) -> str:
    parts = name.split(".")[1:]
    path = SOURCE.joinpath(*parts)
    return "/".join(parts) + ".py" if path.with_suffix(".py").exists() else "/".join([*parts, "__init__.py"])


@pytest.mark.parametrize("module", MODULES)
def test_a_file_imports_only_from_below(module: str) -> None:
    for other in imported(module):
        if not other.endswith(".py"):
            continue
        if room(other) == room(module) and "/" in module:
            if other.endswith("__init__.py"):
                continue
            rows = ORDER[room(module)]
            row = {name: index for index, names in enumerate(rows) for name in names}
            lower, upper = row[other.split("/")[1]], row[module.split("/")[1]]
            assert lower < upper, f"{module} imports {other}, which is not below it"
        elif (room(module), room(other)) not in SAME_FLOOR:
            assert FLOORS[room(other)] < FLOORS[room(module)], f"{module} imports {other}, which is not below it"


@pytest.mark.parametrize("module", MODULES)
def test_only_the_shells_touch_the_world(module: str) -> None:
    touched = THE_WORLD & {name.split(".")[0] for name in imported(module)}
    if not module.startswith(MAY_TOUCH_THE_WORLD):
        assert not touched, f"{module} imports {touched}"


def test_the_engine_and_the_client_do_not_know_each_other() -> None:
    for module in MODULES:
        rooms = {room(other) for other in imported(module)}
        if module.startswith("engine/"):
            assert "client/" not in rooms
        if module.startswith("client/"):
            assert "engine/" not in rooms


def test_every_file_stands_on_a_floor() -> None:
    for module in MODULES:
        assert room(module) in FLOORS, f"{module} is on no floor"
