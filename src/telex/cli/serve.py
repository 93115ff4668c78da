"""``telex serve``: a broker in the foreground, until SIGTERM or Ctrl-C."""

import difflib
import errno
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from telex import version
from telex.cli.loop import run_loop, stop_event
from telex.cli.main import Parser, fail, number
from telex.engine.options import Options
from telex.server.broker import Broker
from telex.server.stores.sqlite import DURABILITIES, StoreError

_LOG_FORMAT = "%(asctime)s %(message)s"


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(prog="telex serve", description="Run an MQTT broker (3.1, 3.1.1 and 5.0).")
    parser.add_argument(
        "-p", "--port", type=number(0, 65_535), default=1883, help="TCP port to listen on; 0 takes a free one (1883)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    parser.add_argument(
        "--allow-anonymous",
        action="store_true",
        help="needed to listen on any other address: everybody who can reach it may connect",
    )
    parser.add_argument(
        "--sys-interval", type=number(0, 86_400), default=10, help="seconds between updates of $SYS; 0 for none (10)"
    )
    shown = str(data_directory()).replace("%", "%%")  # argparse expands what it prints
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help=f"where sessions, their messages and retained messages are kept ({shown})",
    )
    place.add_argument("--memory", action="store_true", help="keep them in memory, until the broker ends")
    parser.add_argument(
        "--durability",
        choices=DURABILITIES,
        default="strict",
        help="strict: what is acknowledged is on disk; relaxed: it will be within a second (strict)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a limit, e.g. max_queued_messages=5000; docs/limits.md lists them all",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log subscriptions too")
    parser.add_argument("-q", "--quiet", action="store_true", help="log warnings only")
    options = parser.parse_args(arguments)
    if not options.allow_anonymous and not is_loopback(options.host):
        return fail(
            f"{options.host} can be reached from other machines and nobody would need a password; "
            "add --allow-anonymous if that is what you want"
        )
    level = logging.DEBUG if options.verbose else logging.WARNING if options.quiet else logging.INFO
    logging.basicConfig(level=level, format=_LOG_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S", stream=sys.stderr)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    raise_file_limit()
    try:
        limits = limits_of(options.set)
    except ValueError as error:
        return fail(str(error))
    broker = Broker(
        host=options.host,
        port=options.port,
        options=limits,
        sys_interval=options.sys_interval,
        data=None if options.memory else options.data or data_directory(),
        durability=options.durability,
    )
    try:
        run_loop(_serve(broker))
    except StoreError as error:
        return fail(f"{error}: with --data DIR, or keep nothing: --memory")
    except (OSError, UnicodeError) as error:
        return fail(explain_listen_error(error, options.host, options.port))
    return 0


async def _serve(broker: Broker) -> None:
    stop = stop_event()
    async with broker:
        print(banner(broker), flush=True)
        await stop.wait()
        print("telex: stopping", flush=True)


def data_directory() -> Path:
    """Where the broker keeps what must outlive it, if nobody says: as the platform has it for a service, or a user."""
    given = os.environ.get("STATE_DIRECTORY")  # systemd's word for it
    if sys.platform == "linux" and given:
        return Path(given.split(":")[0])
    if sys.platform == "linux" and os.geteuid() == 0:
        return Path("/var/lib/telex")
    return Path(platformdirs.user_data_dir("telex", appauthor=False))


def limits_of(assignments: Sequence[str]) -> Options:
    """The limits that ``NAME=VALUE`` sets, and the defaults of the others.

    Raises:
        ValueError: there is no such limit, or it cannot have that value.
    """
    defaults = Options()
    kinds = {name: type(getattr(defaults, name)) for name in dir(defaults) if not name.startswith("_")}
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        kind = kinds.get(name)
        if not equals or kind is None:
            near = [] if name in kinds else difflib.get_close_matches(name, kinds, 1)
            advice = f"did you mean {near[0]}?" if near else "docs/limits.md lists them"
            raise ValueError(f"--set {assignment}: expected NAME=VALUE with the name of a limit; {advice}")
        if kind is bool:
            if text not in ("true", "false"):
                raise ValueError(f"--set {assignment}: expected true or false")
            values[name] = text == "true"
        elif kind is int:
            if not (text.isascii() and text.isdigit()):
                raise ValueError(f"--set {assignment}: expected a whole number")
            values[name] = int(text)
        else:
            values[name] = text
    return Options(**values)


def banner(broker: Broker) -> str:
    """What the broker says when it is up: where it listens, who may connect, what to type next."""
    local = is_loopback(broker.host)
    lines = [f"{version.describe()}"]
    lines += [f"  listening on    mqtt://{address}" for address in broker.addresses]
    if local:
        lines.append("  who may connect everybody on this machine, without a password; nobody from elsewhere")
        lines.append(f"  open it up      telex serve --host 0.0.0.0 -p {broker.port} --allow-anonymous")
    else:
        lines.append("  who may connect everybody who can reach it, WITHOUT A PASSWORD")
        lines.append(f"  close it        telex serve -p {broker.port}")
    if broker.data is None:
        lines.append("  data            in memory: it ends with the broker")
    else:
        lines.append(f"  data            {broker.data}")
    lines.append(f"  try it          telex sub -p {broker.port} -t '#' -v")
    lines.append(f"                  telex pub -p {broker.port} -t home/temp/room1 -m 21.5")
    lines.append("  stop            Ctrl-C")
    return "\n".join(lines)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def explain_listen_error(error: OSError | UnicodeError, host: str, port: int) -> str:
    """Why listening failed, and what to do, in one line."""
    if isinstance(error, UnicodeError | socket.gaierror):
        return f"the host name {host!r} does not resolve; check --host"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: another broker runs there; stop it, or choose another port with -p"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is not ours to open: ports below 1024 need privileges; choose another with -p"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; choose another with --host"
    return f"cannot listen on {host}, port {port}: {error.strerror or error}"


def raise_file_limit() -> None:
    """Allow as many connections as the system lets us have: each needs a file descriptor."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems promise more than they allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
