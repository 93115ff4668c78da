"""``telex``: finds the command and runs it. A failure is one line and an exit code."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

COMMANDS: Final = {
    "serve": "run a broker",
    "pub": "publish messages (the flags of mosquitto_pub)",
    "sub": "subscribe and print messages (the flags of mosquitto_sub)",
    "top": "show what a broker is doing, live: who is there, what moves, what waits, what is lost",
    "rr": "send a request and print the response (the flags of mosquitto_rr)",
    "bench": "make load for any broker, and measure: how fast, how late, what is lost",
    "passwd": "make and change password files (the flags of mosquitto_passwd)",
    "acl": "find out what a client may do, and which rule says so",
    "config": "show a broker's settings; turn a mosquitto.conf into a telex.toml",
    "bridge": "show how the bridges of a running broker are",
    "reload": "let a running broker read its files again",
    "tls": "make certificates for a broker and its clients",
    "doctor": "find out why a connection fails",
    "demo": "a broker with a simulated house of sensors, to look at",
}


class Parser(argparse.ArgumentParser):
    """An argparse parser that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 1, as mosquitto_pub does for its usage."""
        sys.exit(fail(f"{message}; see {self.prog} --help"))


class ShowVersion(argparse.Action):
    """``--version``. Which one it is, is looked up only when somebody asks."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help="show which Telex this is, and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Say it and end."""
        from telex import version

        print(version.describe())
        parser.exit()


def number(lowest: int, highest: int) -> Callable[[str], int]:
    """A type for argparse: a whole number in that range."""

    def parse(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {lowest} to {highest}")
        return value

    return parse


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Raises:
        SystemExit: always, with the exit code.
    """
    _open_standard_streams()
    parser = Parser(
        prog="telex",
        description="MQTT for Python: a broker and a command line.",
        epilog="commands:\n" + "\n".join(f"  {name:8}{text}" for name, text in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=ShowVersion)
    parser.add_argument(
        "command", choices=COMMANDS, metavar="COMMAND", help="one of those below; COMMAND --help tells more"
    )
    words = list(sys.argv[1:] if arguments is None else arguments)
    known = parser.parse_args(words[:1])
    # A command is loaded only when it is wanted: `telex pub` starts without the broker.
    command = import_module(f"telex.cli.{known.command}")
    try:
        code: int = command.run(words[1:])
    except KeyboardInterrupt:
        code = 130  # as shells say it: ended by SIGINT
    except BrokenPipeError:  # `telex sub | head`
        sys.stderr.close()
        code = 1
    sys.exit(code)


def _open_standard_streams() -> None:
    """Put nothing where standard input, output or error are closed, as some daemons start programs.

    Otherwise the next socket would be one of them, and everything printed would go there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            assert opened == number
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115 - to the end


def fail(message: str, code: int = 1) -> int:
    """Say on standard error what went wrong, in one line; returns the exit code."""
    print(f"telex: {message}", file=sys.stderr)
    return code
