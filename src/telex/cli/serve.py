"""``telex serve``: a broker in the foreground, until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import ctypes
import difflib
import gc
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import platformdirs
from msgspec import structs

from telex import version
from telex.cli.config import effective_config, is_mosquitto_conf
from telex.cli.loop import on_signal, run_loop, stop_event
from telex.cli.main import Parser, fail, number
from telex.server.broker import Broker
from telex.server.config import (
    Access,
    Config,
    ConfigError,
    Listener,
    Web,
    doorkeeping,
    is_local,
    is_loopback,
    limits_of,
    names_a_way,
    web_listener,
)
from telex.server.log_destinations import Destinations, setup
from telex.server.orders import Orders
from telex.server.privileges import become, give_to, is_root
from telex.server.public import made_public
from telex.server.reception import load
from telex.server.stores.sqlite import DURABILITIES, StoreError
from telex.server.toml import LIMITS, problems, written

logger = logging.getLogger("telex")

_BAD_CONFIG: Final = 3  # what Mosquitto answers to a mosquitto.conf that it cannot use
_LOOKS: Final = (700, 10, 70)  # 490,000 new objects between two looks through all: connections make no circles
_FILES: Final = 65_536  # for which the kernel is asked to make room: half a MiB
_MANY: Final = 1_000  # connections, after which it is worth the while to give memory back
_M_TRIM_THRESHOLD: Final = -1  # as malloc.h of the GNU C library has them
_M_MMAP_THRESHOLD: Final = -3
_KEPT_FREE: Final = 8 * 1024 * 1024  # bytes that the C library may have free at the end of its heap
_LARGE: Final = 4 * 1024 * 1024  # bytes that it gets from the kernel, and gives back, each time
_RELOAD: Final = "reload"
_BRIDGES: Final = "bridges"
_THIS_MACHINE: Final = ("127.0.0.1", "[::1]", "0.0.0.0", "[::]")  # addresses of listeners that `localhost` reaches


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
    _keep_freed_memory()
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
    http_flags(parser)
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
    for word, is_said in (("--password-file", options.password_file), ("--allow-anonymous", options.allow_anonymous)):
        if is_said and any(listener.access is not None for listener in config.listeners):
            raise ConfigError(f"{word}: {options.config} has listeners with rules of their own: say it there")
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
    config = structs.replace(config, web=web_from(config.web, options))
    if options.public:
        config = made_public(config)
    limits_of(config)
    for place, message in problems(config):  # the HTTP port may stand in the way of a listener
        raise ConfigError(f"{written(place)}: {message}")
    if options.config is None:
        _check_open(config)
    return config


def http_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say where the HTTP port is."""
    page = parser.add_mutually_exclusive_group()
    page.add_argument(
        "--http",
        metavar="[HOST:]PORT",
        help="the HTTP port: the page, its API, MQTT by WebSocket at /mqtt, metrics (127.0.0.1:8080, if that is free)",
    )
    page.add_argument("--no-http", action="store_true", help="without that port")


def web_from(web: Web, options: argparse.Namespace) -> Web:
    """The HTTP port that the command line asks for.

    Raises:
        ConfigError: it cannot be there.
    """
    if options.no_http:
        return structs.replace(web, enabled=False)
    if options.http is None:
        return web
    host, _, port = options.http.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ConfigError(f"--http {options.http}: expected PORT or HOST:PORT, such as 8080 or 0.0.0.0:8080")
    host = host.removeprefix("[").removesuffix("]") or web.host
    return structs.replace(web, enabled=True, host=host, port=int(port))


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


def _check_open(config: Config) -> None:
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
    if config.web.enabled and not is_loopback(config.web.host):
        web = web_listener(config)
        if not (names_a_way(config, web) or doorkeeping(config, web).allow_anonymous):
            raise ConfigError(
                f"--http: {config.web.host} can be reached from other machines, and nobody could log in: "
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
    service = _Service(config, options, log)
    on_signal("SIGHUP", service.hung_up)  # before anybody can know our process id
    orders = Orders(service.carry_out)
    if config.user and config.data:
        give_to(config.user, Path(config.data))
    if config.user and is_root():
        await load("telex.server.web.http_port")  # otherwise clients would speak to root while it is loaded
    async with service.broker as broker:
        log.publish_to(broker.tell, asyncio.get_running_loop().call_soon_threadsafe)
        try:
            await orders.open()
        except OSError as error:  # then there is SIGHUP
            logger.warning("`telex reload` will not find this broker: %s", error)
        try:
            if config.pid_file:
                _write_pid(config.pid_file)
            if config.user:
                if config.data:  # with what the start has made
                    give_to(config.user, Path(config.data))
                if is_root():
                    become(config.user)
                    await _foresee(broker, options.config)
            print(banner(broker, has_file=options.config is not None), flush=True)
            # What is there now stays: to look through it time and again takes 50 ms, in which nobody is served.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_LOOKS)
            tidying = asyncio.create_task(_tidy(broker))
            await stop.wait()
            tidying.cancel()
            print("telex: stopping", flush=True)
        finally:
            await orders.close()
            if config.pid_file:
                with suppress(OSError):  # root's, and we are not root any more
                    os.unlink(config.pid_file)


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed, for what comes next.

    A turn with large messages takes and frees some hundred KiB several times. The GNU C library gives that back to the
    kernel each time, and the kernel clears it page by page when it is taken again: more than half of what a message
    of 16 KiB costs.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


async def _tidy(broker: Broker) -> None:
    """Give memory back to the system whenever many connections have gone.

    The C library keeps what they had, in pieces: after five thousand with TLS up to 1 GiB, of which the
    next ones use what fits.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is None:
        return
    most = 0
    while True:
        await asyncio.sleep(1)
        count = broker.arrival_count
        most = max(most, count)
        if most - count >= _MANY:
            trim(0)
            most = count


class _Service:
    """A broker, and where its description comes from.

    Args:
        config: the description.
        options: what the command line says.
        log: where its lines go.
    """

    def __init__(self, config: Config, options: argparse.Namespace, log: Destinations) -> None:
        self.broker = Broker(config=config, opens_web=True)
        self._options = options
        self._log = log
        self._reloading = asyncio.Lock()  # one after the other: each may have to undo what it did
        self._tasks: set[asyncio.Task[None]] = set()

    async def carry_out(self, order: str) -> str:
        """Carry out an order of ``telex reload`` or ``telex bridge``; says what that came to.

        Raises:
            OSError, ValueError: it cannot be done; everything is as before.
        """
        if order == _BRIDGES:
            return msgspec.json.encode(self.broker.bridges.statuses()).decode()
        if order != _RELOAD:
            raise ValueError(f"there is no order {order!r}")
        async with self._reloading:
            try:
                return await self._reload()
            except (OSError, ValueError) as error:
                logger.error("reload refused, everything is as before: %s", error)
                raise

    def hung_up(self) -> None:
        """SIGHUP: read everything again."""
        task = asyncio.get_running_loop().create_task(self._hung_up())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hung_up(self) -> None:
        with suppress(OSError, ValueError):  # the log says it
            await self.carry_out(_RELOAD)

    async def _reload(self) -> str:
        config = described(self._options)
        self._log.reopen()
        former = self.broker.config.log
        self._log.change(config.log)
        try:
            left = await self.broker.reload(config)
        except BaseException:
            self._log.change(former)
            raise
        text = "reloaded"
        if left:
            text += "; these need a restart: " + ", ".join(left)
        logger.info("%s", text)
        return text


async def _foresee(broker: Broker, file: str | None) -> None:
    """Warn of files that root could read and its successor cannot, before the first reload is refused for it."""
    try:
        if file is not None and not os.access(file, os.R_OK):
            raise ConfigError(f"{file}: it cannot be read by user {broker.config.user}")
        await broker.check()
    except (ConfigError, OSError) as error:
        logger.warning("as it is now, every reload will be refused: %s", error)


def _write_pid(path: str) -> None:
    try:
        # Not through a link: root may write this, into a directory that somebody else owns.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(path, flags, 0o644), "w") as file:
            file.write(f"{os.getpid()}\n")
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


def banner(broker: Broker, *, has_file: bool = False) -> str:
    """What the broker says when it is up: where it listens, who may connect, what to type next.

    ``has_file``: it does what a file says, so that other flags would not help.
    """
    lines = [f"{version.describe()}"]
    lines += [f"  listening on    {address}" for address in broker.addresses]
    if broker.web_address:
        lines.append(f"  page            {broker.web_address}")
    elif broker.web_missing:
        lines.append(f"  no page         {broker.web_missing}: --http PORT")
    lines += [
        f"  who may connect {text}" for text in dict.fromkeys(_who(broker.config, each) for each in broker.listeners)
    ]
    port = broker.addresses[0].rpartition(":")[2]
    if has_file:
        lines.append("  change it       in its file, then: telex reload")
    elif all(is_local(each) for each in broker.listeners):
        lines.append(f"  open it up      telex serve --host 0.0.0.0 -p {port} --password-file FILE")
        lines.append("                  (telex passwd -c FILE USER makes it; --allow-anonymous: without passwords)")
    elif any("WITHOUT" in line for line in lines):
        lines.append(f"  close it        telex serve -p {port}")
    lines.append(f"  data            {broker.data or 'in memory: it ends with the broker'}")
    lines += _to_try(broker)
    lines.append("  stop            Ctrl-C")
    return "\n".join(lines)


def _to_try(broker: Broker) -> list[str]:
    """Two commands that work as they are, but for a password, if telex pub and sub can reach a listener."""
    reached = [
        (doorkeeping(broker.config, listener), address)
        for listener in broker.listeners
        for address in broker.addresses_of(listener)
        if address.startswith("mqtt://") and not listener.proxy_protocol and "3.1.1" in listener.versions
    ]
    if not reached:
        return []
    access, address = min(reached, key=lambda each: not each[0].allow_anonymous)  # better one without a password
    host, _, port = address.removeprefix("mqtt://").rpartition(":")
    flags = "" if host in _THIS_MACHINE else f"-h {host.strip('[]')} "
    topic = "#"
    if access.allow_anonymous:
        if not broker.config.protection.strangers_may_use_hash:
            topic = "home/#"
    elif access.password_file or access.http or access.plugins:
        flags += "-u USER -P PASSWORD "
    elif access.jwt:
        flags += "-u USER -P TOKEN "
    else:
        return []
    return [
        f"  try it          telex sub {flags}-p {port} -t '{topic}' -v",
        f"                  telex pub {flags}-p {port} -t home/temp/room1 -m 21.5",
    ]


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
            soft = hard
    _make_room(soft)


def _make_room(limit: int) -> None:
    """Have the kernel make its table of our files large, once.

    Linux doubles it when it is full, which makes a process with threads wait 10 to 40 ms in ``accept``: at the
    connection after 256, 512, 1,024 and so on.
    """
    import fcntl

    most = _FILES if limit < 0 else min(limit, _FILES)  # negative: no limit
    with suppress(OSError), open(os.devnull, "rb") as file:
        os.close(fcntl.fcntl(file, fcntl.F_DUPFD, most - 1))
