"""``telex acl``: what a client may do and which rule decides it, and what a reader of the rules should know."""

import argparse
import ipaddress
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from telex import topics
from telex.cli.config import effective_config
from telex.cli.main import Parser, fail
from telex.engine.permissions import EVERYTHING, Grant, Permissions, publishing
from telex.server.access.acl_file import read_acl_file
from telex.server.access.rules import Rules
from telex.server.config import Access, Config, ConfigError, Listener

_DENIED: Final = 1
_UNUSABLE: Final = 2

_ELSEWHERE: Final = "elsewhere"  # an address that is in no network
_FREE: Final = "everybody may do everything: there are no rules, and there is no ACL file"
_OURS: Final = Grant(-1, may_retain=False, rule="strangers_may_use_hash = false")


class _Parser(Parser):
    """As of the other commands; but 1 means here that something is denied."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        sys.exit(fail(f"{message}; see {self.prog} --help", _UNUSABLE))


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code: 0, 1 for what is denied, 2 for what cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        config = _config(options)
        if options.command == "lint":
            return _lint(config)
        return _test(options, config)
    except (ConfigError, ValueError) as error:
        return fail(str(error), _UNUSABLE)


def _parser() -> Parser:
    parser = _Parser(prog="telex acl", description="Look at what clients may do.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    test = commands.add_parser(
        "test",
        help="say whether a client may do something, and which rule decides",
        description="Say whether a client may do something, and which rule decides. Exit code: 0 it may, 1 it may not, "
        "2 the question or a file cannot be used.",
        allow_abbrev=False,
    )
    lint = commands.add_parser(
        "lint",
        help="show rules that never decide, and others that say something else than they seem to",
        description="Show rules that never decide, and others that say something else than they seem to.",
        allow_abbrev=False,
    )
    for command in (test, lint):
        files = command.add_mutually_exclusive_group(required=True)
        files.add_argument("-c", "--config", metavar="FILE", help="telex.toml or mosquitto.conf")
        files.add_argument("--acl-file", metavar="FILE", help="Mosquitto's ACL file alone")
    test.add_argument(
        "--listener", metavar="PORT|PATH", help="where the client comes in, if listeners have rules of their own"
    )
    test.add_argument("--user", default="", help="its user name (it has none)")
    test.add_argument("--client", default="", metavar="ID", help="its client id (one that no rule names)")
    test.add_argument("--address", type=_host, help="its IP address, or unix (one that no rule names)")
    test.add_argument("--group", action="append", default=[], help="that it is in beside those of the file; repeatable")
    test.add_argument("--qos", type=int, choices=(0, 1, 2), default=0, help="of the message, or asked for (0)")
    test.add_argument("--retain", action="store_true", help="the message is retained")
    test.add_argument("action", choices=("publish", "subscribe", "receive"), metavar="publish|subscribe|receive")
    test.add_argument("topic", help="a topic, or the filter to subscribe to")
    return parser


def _host(text: str) -> str:
    """An address as rules know it: empty for a Unix socket."""
    if text == "unix":
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an IP address nor unix") from None


def _config(options: argparse.Namespace) -> Config:
    if options.acl_file is not None:
        return Config(listeners=[Listener()], access=Access(acl_file=options.acl_file))
    return effective_config(options.config, os.environ)


# telex acl test


def _test(options: argparse.Namespace, config: Config) -> int:
    """Say what a client may do with a topic."""
    _, topic_filter = topics.split_shared(options.topic)
    if options.action == "subscribe":
        if options.retain:
            raise ValueError("--retain: a subscription is not retained; ask about receive")
        topics.check_filter(options.topic)
    else:
        topics.check_name(options.topic)
    permissions = _permissions(options, _access(config, options.listener))
    if options.action == "publish":
        grant = publishing(permissions, options.topic)
    elif options.action == "receive":
        grant = permissions.grant_receive(options.topic)
    elif options.user or config.protection.strangers_may_use_hash or not _is_about_all(topic_filter):
        grant = permissions.grant_subscribe(topic_filter)
    else:
        grant = _OURS
    allowed, limits = _judged(options, grant)
    print(f"{'allowed' if allowed else 'denied'}{limits}: {grant.rule or _FREE}")
    return 0 if allowed else _DENIED


def _access(config: Config, wanted: str | None) -> Access:
    """What is in force where the client comes in."""
    found: list[Access] = []
    for listener in config.listeners:
        access = config.access if listener.access is None else listener.access
        is_it = wanted in (None, listener.path or str(listener.port))
        if is_it and not any(_decides_alike(access, other) for other in found):
            found.append(access)
    if not found:
        raise ValueError(f"--listener: there is none at {wanted}")
    if len(found) > 1:
        raise ValueError("the listeners have rules of their own: say with --listener PORT which of them is meant")
    return found[0]


def _decides_alike(one: Access, other: Access) -> bool:
    return (one.acl_file, one.rules, one.groups) == (other.acl_file, other.rules, other.groups)


def _permissions(options: argparse.Namespace, access: Access) -> Permissions:
    if access.rules:
        rules = Rules.of(access)
        if options.address is None and rules.name_addresses:
            _warn("rules are about addresses, too: --address says which one the client has")
        if not options.client and rules.name_clients:
            _warn("rules are about client ids, too: --client says which one it is")
        host = _ELSEWHERE if options.address is None else options.address
        return rules.permissions(options.user, options.client, host, options.group)
    if access.acl_file:
        acl_file = read_acl_file(access.acl_file)
        if not options.client and acl_file.names_clients:
            _warn("patterns are about client ids, too: --client says which one it is")
        return acl_file.permissions(options.user, options.client)
    return EVERYTHING


def _warn(message: str) -> None:
    print(f"telex: warning: {message}", file=sys.stderr)


def _is_about_all(topic_filter: str) -> bool:
    """Whether a filter is ``#``, perhaps with ``+/`` in front."""
    *levels, last = topic_filter.split("/")
    return last == "#" and all(level == "+" for level in levels)


def _judged(options: argparse.Namespace, grant: Grant) -> tuple[bool, str]:
    """Whether it may, and within which limits, in words."""
    if grant.max_qos < 0:
        return False, ""
    if options.retain and not grant.may_retain:
        return False, ", since it is retained"
    if options.action == "publish":
        return (True, "") if options.qos <= grant.max_qos else (False, f" above QoS {grant.max_qos}")
    limits = f" at QoS {grant.max_qos}" if grant.max_qos < options.qos else ""
    return True, limits if grant.may_retain else f"{limits}, without retained messages"


# telex acl lint


def _lint(config: Config) -> int:
    """Say what a reader of all rules should know."""
    remarks: list[str] = []
    places = [("", config.access)]
    places += [
        (f"listeners[{index}]: ", listener.access)
        for index, listener in enumerate(config.listeners)
        if listener.access is not None
    ]
    read: set[str] = set()
    for place, access in places:
        if access.acl_file and access.acl_file not in read:
            read.add(access.acl_file)
            remarks += read_acl_file(access.acl_file).lint()
        remarks += [f"{place}{remark}" for remark in Rules.of(access).lint()]
    for remark in remarks:
        print(remark)
    return 0
