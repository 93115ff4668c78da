"""``telex config``: show what a broker would do, and turn a mosquitto.conf into a telex.toml, or back."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from telex.cli.main import Parser, fail
from telex.server.config import Config, ConfigError
from telex.server.environment import with_environment
from telex.server.mosquitto_conf import read_mosquitto_conf
from telex.server.mosquitto_writing import write_mosquitto_conf
from telex.server.toml import Warn, problems, read_text, read_toml, write_toml, written

_TOML_LINE: Final = re.compile(r"""\s*(\[|[\w."'-]+\s*=)""")


def warn(message: str) -> None:
    """Say on standard error what is not used."""
    print(f"telex: warning: {message}", file=sys.stderr)


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(prog="telex config", description="Look at the description of a broker.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    show = commands.add_parser("show", help="print all settings that are in effect, as telex.toml; secrets are hidden")
    show.add_argument("-c", "--config", metavar="FILE", help="telex.toml or mosquitto.conf (none: the defaults)")
    turn = commands.add_parser(
        "convert", help="print a mosquitto.conf as telex.toml, or the other way; warnings go to standard error"
    )
    turn.add_argument("config", metavar="FILE", help="the mosquitto.conf, or the telex.toml")
    for command in (show, turn):
        command.add_argument(
            "--lenient", action="store_true", help="warn of options that are unknown or refused, and go on"
        )
    options = parser.parse_args(arguments)
    try:
        if options.command == "convert":
            config = read_config(options.config, lenient=options.lenient, warn=warn)
            text = write_toml(config) if is_mosquitto_conf(options.config) else write_mosquitto_conf(config, warn)
            print(f"# What {Path(options.config).name} says.\n{text}", end="")
        else:
            config = effective_config(options.config, os.environ, lenient=options.lenient, warn=warn)
            print(write_toml(config, secrets=False, everything=True), end="")
    except ConfigError as error:
        return fail(str(error))
    return 0


def effective_config(
    path: str | None, environment: Mapping[str, str], *, lenient: bool = False, warn: Warn = warn
) -> Config:
    """What a file says, or the defaults without one, and the environment over it.

    Raises:
        ConfigError: one of them does not describe a broker.
    """
    config = Config() if path is None else read_config(path, lenient=lenient, warn=warn)
    config = with_environment(config, environment)
    for place, message in problems(config):
        raise ConfigError(f"{written(place)}: {message}")
    return config


def read_config(path: str, *, lenient: bool = False, warn: Warn = warn) -> Config:
    """What a file says: a telex.toml, or a mosquitto.conf; told by its name, else by what stands in it.

    Raises:
        ConfigError: it cannot be read, or does not describe a broker.
    """
    read = read_mosquitto_conf if is_mosquitto_conf(path) else read_toml
    return read(path, lenient=lenient, warn=warn)


def is_mosquitto_conf(path: str) -> bool:
    """Whether a file is to be read as Mosquitto reads it.

    Raises:
        ConfigError: only what is in it could tell, and it cannot be read.
    """
    suffix = Path(path).suffix
    if suffix in (".conf", ".toml"):
        return suffix == ".conf"
    lines = [line for line in read_text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return not (lines and _TOML_LINE.match(lines[0]))
