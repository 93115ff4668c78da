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
    "rows.py": 3,
    "version.py": 3,
    "wire/": 3,
    "streams/": 3,
    "engine/": 4,
    "client/": 4,
    "paho/": 5,
    "server/": 5,
    "bench/": 5,
    "cli/": 6,
    "__init__.py": 7,
    "__main__.py": 7,
}

# Within a folder, from the lowest file to the highest; files on one line do not know each other.
# A folder in a folder stands there like a file, and has an order of its own.
ORDER = {
    "wire/": [["data.py", "reasons.py"], ["properties.py"], ["packets.py"], ["decode.py", "encode.py"]],
    "streams/": [
        ["stream.py", "frames.py"],
        ["tcp.py"],
        ["proxy_protocol.py", "framed.py"],
        ["websocket.py", "websocket_client.py"],
    ],
    "engine/": [
        [
            "options.py",
            "stats.py",
            "deadlines.py",
            "message.py",
            "permissions.py",
            "visit.py",
            "bridge_options.py",
            "topic_tree.py",
        ],
        ["outbox.py", "records.py", "retained.py", "hops.py"],
        ["seams.py", "passages.py"],
        ["surroundings.py", "login.py"],
        ["queue.py", "samples.py"],
        ["crossing.py"],
        ["session.py"],
        ["shared.py"],
        ["routes.py"],
        ["subscriptions.py"],
        ["engine.py"],
        ["end.py"],
        ["connection.py", "bridge.py", "restore.py"],
    ],
    "client/": [
        [
            "connection.py",
            "address.py",
            "payloads.py",
            "patterns.py",
            "reconnect.py",
            "authentication.py",
            "outbox.py",
            "background.py",
        ],
        ["message.py", "will.py", "tls.py", "link.py"],
        ["binding.py", "subscription.py", "dialing.py", "publishing.py"],
        ["inbox.py", "requests.py", "handlers.py", "forgetting.py"],
        ["aio.py"],
        ["sync.py"],
    ],
    "paho/": [
        ["enums.py", "exception.py", "packettypes.py", "nonblocking.py", "srv.py", "trace.py"],
        ["__init__.py", "takeover.py", "names.py", "reasoncodes.py", "properties.py", "subscribeoptions.py"],
        ["matcher.py", "message.py", "websocket.py", "proxies.py", "waiting.py", "__main__.py"],
        ["callbacks.py", "sockets.py"],
        ["settings.py"],
        ["transfer.py"],
        ["loops.py"],
        ["client.py"],
        ["errand.py"],
        ["publish.py", "subscribe.py"],
    ],
    "server/": [
        ["config.py"],
        ["log.py", "tls.py", "stores/", "orders.py", "privileges.py", "public.py", "clock.py"],
        ["bridging.py", "bridge_status.py", "mosquitto_options.py"],
        ["bans.py", "rates.py", "turns.py"],
        ["access/", "events.py"],
        ["toml.py", "guard.py", "log_destinations.py", "sys_topics.py", "control.py"],
        ["mosquitto_bridges.py", "mosquitto_writing.py"],
        ["environment.py", "mosquitto_conf.py", "doors.py", "web/"],
        ["reception.py"],
        ["handler.py"],
        ["bridges/"],
        ["broker.py"],
    ],
    "server/access/": [
        ["ways.py", "passwords.py", "secret.py"],
        ["rules.py", "password_file.py", "certificates.py", "plugins.py", "scram.py"],
        ["acl_file.py", "http.py"],
        ["jwt.py"],
        ["doorkeeper.py"],
        ["gate.py"],
    ],
    "server/bridges/": [["route.py", "plan.py", "names.py", "handler.py"], ["keeping.py"], ["bridges.py"]],
    "server/stores/": [["changes.py"], ["sqlite.py"]],
    "server/web/": [
        ["files.py", "handshake.py", "masks.py", "basic.py", "problems.py", "house.py", "resources.py", "types.py"],
        ["server.py", "origin.py", "logins.py", "listing.py"],
        ["metrics.py", "operations.py"],
        ["messages.py", "clients.py", "bridges.py"],
        ["api.py"],
        ["openapi.py"],
        ["http_port.py"],
    ],
    "bench/": [
        [
            "plan.py",
            "histogram.py",
            "numbers.py",
            "scales.py",
            "files.py",
            "alarm.py",
            "link.py",
            "plain.py",
            "ring.py",
        ],
        ["result.py", "counts.py", "track.py", "routes.py"],
        ["sender.py", "watching.py", "processes.py", "table.py"],
        ["receiver.py", "schedule.py", "coming.py", "comparison.py", "picture.py", "progress_line.py"],
        ["load.py", "retained.py"],
        ["run.py"],
        ["member.py"],
    ],
    "cli/": [
        ["loop.py", "main.py", "lines.py", "colours.py", "output.py", "option_files.py", "properties.py", "trace.py"],
        ["order.py"],
        ["keys.py", "flags.py", "config.py", "tls.py", "passwd.py", "reload.py", "json_text.py"],
        ["sys_figures.py", "busiest.py", "charts.py"],
        ["formats.py", "payloads.py"],
        ["watch.py", "overview.py"],
        ["serve.py", "bridge.py", "pub.py", "sub.py", "rr.py", "top.py", "acl.py", "doctor.py", "bench.py"],
        ["demo.py"],
    ],
}

# Floor 3 is one floor of several rooms: the wire reads topics, and nothing else crosses over.
SAME_FLOOR = {("wire/", "topics.py")}

THE_WORLD = {"asyncio", "socket", "ssl", "threading", "time", "random", "os", "sqlite3"}
MAY_TOUCH_THE_WORLD = ("streams/", "client/", "paho/", "server/", "bench/", "cli/")
MAY_NOT_ALL_THE_SAME = (
    "server/stores/changes.py",
    "bench/plan.py",
    "bench/result.py",
    "bench/histogram.py",
    "bench/counts.py",
    "bench/ring.py",
    "bench/track.py",
    "bench/routes.py",
    "bench/schedule.py",
    "client/connection.py",
    "client/address.py",
    "client/payloads.py",
    "client/message.py",
    "client/will.py",
    "client/patterns.py",
    "client/binding.py",
    "client/reconnect.py",
    "client/authentication.py",
)


def room(module: str) -> str:
    """The part of Telex that a file belongs to: a folder, or the file itself."""
    return module.split("/")[0] + "/" if "/" in module else module


def shared_folder(module: str, other: str) -> str:
    """The innermost folder that both are in, with its slash; empty if that is all of Telex."""
    folder = ""
    for part in module.split("/")[:-1]:
        if not other.startswith(f"{folder}{part}/"):
            break
        folder += f"{part}/"
    return folder


def place(module: str, folder: str) -> int:
    """How high a file, or the folder that it is in, stands within a folder around them."""
    inside = module.removeprefix(folder)
    name = inside.split("/")[0] + "/" if "/" in inside else inside
    found = [index for index, names in enumerate(ORDER[folder]) if name in names]
    assert len(found) == 1, f"{module} has no place in {folder}"
    return found[0]


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


def is_below(other: str, module: str) -> bool:
    """Whether one file may be imported by another."""
    folder = shared_folder(module, other)
    if folder:
        return other == f"{folder}__init__.py" or place(other, folder) < place(module, folder)
    return (room(module), room(other)) in SAME_FLOOR or FLOORS[room(other)] < FLOORS[room(module)]


@pytest.mark.parametrize("module", MODULES)
def test_a_file_imports_only_from_below(module: str) -> None:
    for other in imported(module):
        if other.endswith(".py"):
            assert is_below(other, module), f"{module} imports {other}, which is not below it"


@pytest.mark.parametrize(
    ("other", "module", "may_be_imported"),
    [
        ("server/stores/changes.py", "server/stores/sqlite.py", True),
        ("server/stores/sqlite.py", "server/stores/changes.py", False),
        ("server/stores/sqlite.py", "server/broker.py", True),
        ("server/broker.py", "server/stores/sqlite.py", False),
        ("server/log.py", "server/stores/sqlite.py", False),
        ("engine/records.py", "server/stores/changes.py", True),
        ("engine/restore.py", "engine/connection.py", False),
        ("topics.py", "wire/decode.py", True),
        ("wire/decode.py", "topics.py", False),
    ],
)
def test_a_folder_in_a_folder_has_its_place_there(other: str, module: str, may_be_imported: bool) -> None:
    assert is_below(other, module) is may_be_imported


@pytest.mark.parametrize("module", MODULES)
def test_only_the_shells_touch_the_world(module: str) -> None:
    touched = THE_WORLD & {name.split(".")[0] for name in imported(module)}
    if not module.startswith(MAY_TOUCH_THE_WORLD) or module in MAY_NOT_ALL_THE_SAME:
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
        folder, _, name = module.rpartition("/")
        if folder and name != "__init__.py":
            place(module, f"{folder}/")
