"""``telex reload``: a running broker reads its description again."""

from collections.abc import Sequence

from telex.cli.main import Parser, fail, number
from telex.cli.order import NoBroker, give_order


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(
        prog="telex reload",
        description="Let a running broker read its files again: users, rules, certificates, limits, listeners, "
        "bridges. If anything in them is wrong, everything stays as it is.",
    )
    parser.add_argument("--pid", type=number(1, 1 << 31), help="the broker's process (the only one that runs)")
    options = parser.parse_args(arguments)
    try:
        print(give_order("telex reload", "reload", options.pid))
    except NoBroker as error:
        return fail(str(error))
    except (OSError, ValueError) as error:
        return fail(f"everything is as before: {error}")
    return 0
