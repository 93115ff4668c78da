"""``telex serve``: a broker in the foreground, until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import difflib
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import platformdirs
from msgspec import structs

from telex import version
from telex.cli.config import effective_config, is_mosquitto_conf
from telex.cli.loop import on_signal, run_loop, stop_event
from telex.cli.main import Parser, fail, number
from telex.server.broker import Broker
from telex.server.config import Access, Config, ConfigError, Listener, doorkeeping, is_local, limits_of
from telex.server.log_destinations import Destinations, setup
from telex.server.orders import Orders
from telex.server.privileges import become, give_to
from telex.server.public import made_public
from telex.server.stores.sqlite import DURABILITIES, StoreError
from telex.server.toml import LIMITS

logger = logging.getLogger("telex")

_BAD_CONFIG: Final = 3  # what Mosquitto answers to a mosquitto.conf that it cannot use
_RELOAD: Final = "reload"


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    bad = 1
    try:
        if options.config is not None and is_mosquitto_conf(options.config):
            bad = _BAD_CONFIG
        config = described(options)
        Broker(config=config)
        if options.test_config:
            asyncio.run(_check(config))
            print(f"{options.config or 'the description'}: everything in it can be used")
            return 0
        log = setup(config.log)
    except ConfigError as error:
        return fail(str(error), bad)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    raise_file_limit()
    try:
        run_loop(_serve(config, options, log))
    except ConfigError as error:
        return fail(str(error), bad)
    except StoreError as error:
        return fail(f"{error}: with --data DIR, or keep nothing: --memory")
    except (OSError, UnicodeError) as error:
        return fail(explain_listen_error(error, *(each.host for each in config.listeners)))
    finally:
        log.undo()
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="telex serve",
        description="Run an MQTT broker (3.1, 3.1.1 and 5.0).",
        epilog="Settings may also stand in the environment: TELEX_DURABILITY=relaxed, TELEX_LIMITS__MAX_SESSIONS=500. "
        "What is said here counts more than the environment, and that more than the file.",
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="telex.toml, or a mosquitto.conf as it is")
    parser.add_argument(
        "--lenient", action="store_true", help="warn of options in FILE that are unknown or refused, and go on"
    )
    parser.add_argument(
        "--test-config", action="store_true", help="read everything, say whether it can be used, and exit"
    )
    parser.add_argument(
        "-p", "--port", type=number(0, 65_535), help="TCP port to listen on; 0 takes a free one (1883); not with FILE"
    )
    parser.add_argument("--host", help="address to listen on (127.0.0.1: this machine only); not with FILE")
    parser.add_argument("--password-file", metavar="FILE", help="who may connect; made by: telex passwd -c FILE USER")
    parser.add_argument(
        "--allow-anonymous",
        action="store_true",
        help="on any address but this machine's: everybody who can reach it may connect",
    )
    parser.add_argument(
        "--public",
        action="store_true",
        help="for a broker that stands open to the internet: limits to rates and sizes, bans, nothing for ever",
    )
    parser.add_argument(
        "--sys-interval", type=number(0, 86_400), help="seconds between updates of $SYS; 0 for none (10)"
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
    return parser


def described(options: argparse.Namespace) -> Config:
    """The broker that the command line describes, with its file and the environment.

    Raises:
        ConfigError: there is none like that.
    """
    config = effective_config(options.config, os.environ, lenient=options.lenient)
    config = _with_listener(config, options)
    access = config.access
    if options.password_file is not None:
        access = structs.replace(access, password_file=str(Path(options.password_file).absolute()))
    if options.allow_anonymous:
        access = structs.replace(access, allow_anonymous=True)
    log = config.log
    if options.verbose or options.quiet:
        log = structs.replace(log, level="debug" if options.verbose else "warning", types=None)
    data = config.data
    if options.memory:
        data = ""
    elif options.data is not None or data is None:
        data = str(options.data or data_directory())
    config = structs.replace(
        config,
        access=access,
        log=log,
        data=data,
        durability=options.durability or config.durability,
        sys_interval=config.sys_interval if options.sys_interval is None else options.sys_interval,
        limits={**config.limits, **limits_from(options.set)},
    )
    if options.public:
        config = made_public(config)
    limits_of(config)
    if options.config is None:
        _check_open(config, options)
    return config


def _with_listener(config: Config, options: argparse.Namespace) -> Config:
    """With the one listener that the command line asks for."""
    if options.host is None and options.port is None:
        return config
    if options.config is not None:
        raise ConfigError(f"-p and --host are for a broker without a file: write listeners into {options.config}")
    first = config.listeners[0]
    listener = structs.replace(
        first,
        host=first.host if options.host is None else options.host,
        port=first.port if options.port is None else options.port,
    )
    return structs.replace(config, listeners=[listener, *config.listeners[1:]])


def _check_open(config: Config, options: argparse.Namespace) -> None:
    """Nobody shall stand open to others by chance."""
    for listener in config.listeners:
        access = doorkeeping(config, listener)
        asks = access.password_file or access.jwt or access.http or access.plugins or listener.psk
        has_certificates = listener.tls is not None and listener.tls.user_from
        if not (asks or has_certificates or access.allow_anonymous or is_local(listener)):
            raise ConfigError(
                f"{listener.host or 'every address'} can be reached from other machines, and nobody could come in: "
                "say who may, with --password-file FILE, or let everybody in who can reach it: --allow-anonymous"
            )


async def _check(config: Config) -> None:
    """Read all files and look at all certificates, as a start would.

    Raises:
        ConfigError: one cannot be used.
    """
    broker = Broker(config=structs.replace(config, data=""))
    await broker.check()


async def _serve(config: Config, options: argparse.Namespace, log: Destinations) -> None:
    stop = stop_event()
    if config.user and config.data:
        give_to(config.user, Path(config.data))
    broker = Broker(config=config)

    async def carry(order: str) -> str:
        if order != _RELOAD:
            raise ValueError(f"there is no order {order!r}")
        return await _reload(broker, options, log)

    orders = Orders(carry)
    async with broker:
        log.publish_to(broker.tell, asyncio.get_running_loop().call_soon_threadsafe)
        with suppress(OSError):  # then there is SIGHUP
            await orders.open()
        if config.pid_file:
            _write_pid(config.pid_file)
        try:
            if config.user:
                become(config.user)
            tasks: set[asyncio.Task[None]] = set()

            def hung_up() -> None:
                task = asyncio.create_task(_hung_up(broker, options, log))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

            on_signal("SIGHUP", hung_up)
            print(banner(broker), flush=True)
            await stop.wait()
            print("telex: stopping", flush=True)
        finally:
            await orders.close()
            if config.pid_file:
                with suppress(OSError):  # root's, and we are not root any more
                    os.unlink(config.pid_file)


async def _hung_up(broker: Broker, options: argparse.Namespace, log: Destinations) -> None:
    """SIGHUP: read everything again."""
    try:
        await _reload(broker, options, log)
    except (OSError, ValueError) as error:
        logger.error("reload refused, everything is as before: %s", error)


async def _reload(broker: Broker, options: argparse.Namespace, log: Destinations) -> str:
    """Read the description again and go on as it says; says what that came to.

    Raises:
        OSError, ValueError: it cannot be used; everything is as before.
    """
    config = described(options)
    log.reopen()
    former = broker.config.log
    log.change(config.log)
    try:
        left = await broker.reload(config)
    except BaseException:
        log.change(former)
        raise
    text = "reloaded"
    if left:
        text += "; these need a restart: " + ", ".join(left)
    logger.info("%s", text)
    return text


def _write_pid(path: str) -> None:
    try:
        Path(path).write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise ConfigError(f"pid_file: cannot write {path}: {error.strerror}") from None


def data_directory() -> Path:
    """Where the broker keeps what must outlive it, if nobody says: as the platform has it for a service, or a user."""
    given = os.environ.get("STATE_DIRECTORY")  # systemd's word for it
    if sys.platform == "linux" and given:
        return Path(given.split(":")[0])
    if sys.platform == "linux" and os.geteuid() == 0:
        return Path("/var/lib/telex")
    return Path(platformdirs.user_data_dir("telex", appauthor=False))


def limits_from(assignments: Sequence[str]) -> dict[str, bool | int | str]:
    """The limits that ``NAME=VALUE`` sets.

    Raises:
        ConfigError: there is no such limit, or it cannot have that value.
    """
    kinds = {name: type(value) for name, value in LIMITS.items()}
    values: dict[str, bool | int | str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        kind = kinds.get(name)
        if not equals or kind is None:
            near = [] if name in kinds else difflib.get_close_matches(name, kinds, 1)
            advice = f"did you mean {near[0]}?" if near else "docs/limits.md lists them"
            raise ConfigError(f"--set {assignment}: expected NAME=VALUE with the name of a limit; {advice}")
        if kind is bool:
            if text not in ("true", "false"):
                raise ConfigError(f"--set {assignment}: expected true or false")
            values[name] = text == "true"
        elif kind is int:
            if not (text.isascii() and text.isdigit()):
                raise ConfigError(f"--set {assignment}: expected a whole number")
            values[name] = int(text)
        else:
            values[name] = text
    return values


def banner(broker: Broker) -> str:
    """What the broker says when it is up: where it listens, who may connect, what to type next."""
    lines = [f"{version.describe()}"]
    lines += [f"  listening on    {address}" for address in broker.addresses]
    lines += [
        f"  who may connect {text}" for text in dict.fromkeys(_who(broker.config, each) for each in broker.listeners)
    ]
    plain = [each for each in broker.addresses if each.startswith("mqtt://")]
    port = plain[0].rpartition(":")[2] if plain else ""
    if all(is_local(each) for each in broker.listeners) and port:
        lines.append(f"  open it up      telex serve --host 0.0.0.0 -p {port} --password-file FILE")
        lines.append("                  (telex passwd -c FILE USER makes it; --allow-anonymous: without passwords)")
    elif any("WITHOUT" in line for line in lines):
        lines.append(f"  close it        telex serve -p {port}")
    lines.append(f"  data            {broker.data or 'in memory: it ends with the broker'}")
    if port:
        lines.append(f"  try it          telex sub -p {port} -t '#' -v")
        lines.append(f"                  telex pub -p {port} -t home/temp/room1 -m 21.5")
    lines.append("  stop            Ctrl-C")
    return "\n".join(lines)


def _who(config: Config, listener: Listener) -> str:
    """Who may connect at a listener, for people."""
    access = doorkeeping(config, listener)
    if listener.protocol == "http_api":
        return "nobody speaks MQTT with the HTTP API"
    where = "on this machine" if is_local(listener) else "who can reach it"
    ways = _ways(access, listener)
    if not access.allow_anonymous:
        return f"who has {' or '.join(ways)}" if ways else "nobody: nothing says who may"
    if ways:
        return f"everybody {where}; user names only with {' or '.join(ways)}"
    if is_local(listener):
        return "everybody on this machine, without a password; nobody from elsewhere"
    return "everybody who can reach it, WITHOUT A PASSWORD"


def _ways(access: Access, listener: Listener) -> list[str]:
    ways = {
        "a password": bool(access.password_file),
        "a certificate": listener.tls is not None and bool(listener.tls.user_from),
        "a shared key": listener.psk is not None,
        "a token": bool(access.jwt),
        "the word of a web service": bool(access.http),
        "the word of a plugin": bool(access.plugins),
    }
    return [way for way, is_there in ways.items() if is_there]


def explain_listen_error(error: OSError | UnicodeError, *hosts: str) -> str:
    """Why listening on one of these hosts failed, and what to do, in one line."""
    if isinstance(error, UnicodeError | socket.gaierror):
        names = " or ".join(repr(host) for host in hosts if host)
        return f"the host name {names} does not resolve; check it"
    return str(error.strerror or error)


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
