"""``telex reload``: a running broker reads its description again."""

from collections.abc import Sequence

from telex.cli.main import Parser, fail, number
from telex.server.orders import give, running


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(
        prog="telex reload",
        description="Let a running broker read its files again: users, rules, certificates, limits, listeners. "
        "If anything in them is wrong, everything stays as it is.",
    )
    parser.add_argument("--pid", type=number(1, 1 << 31), help="the broker's process (the only one that runs)")
    options = parser.parse_args(arguments)
    try:
        brokers = running()
    except OSError as error:  # where brokers write down how to reach them is not to be trusted
        return fail(str(error))
    if options.pid is None and len(brokers) > 1:
        return fail(f"{len(brokers)} brokers run here; say which one: --pid {' or '.join(map(str, brokers))}")
    if not brokers or (options.pid is not None and options.pid not in brokers):
        who = (
            "no broker of this user runs here" if options.pid is None else f"process {options.pid} is no broker of ours"
        )
        return fail(f"{who}; telex reload has to be run by the user who runs the broker")
    path = brokers[options.pid or next(iter(brokers))]
    try:
        print(give(path, "reload"))
    except (OSError, ValueError) as error:
        return fail(f"everything is as before: {error}")
    return 0
