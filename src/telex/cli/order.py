"""Gives an order to a running broker of this machine, for those commands that do.

Knows how a broker is chosen. What the order is, and what the answer says, is the command's business.
"""

from telex.server.orders import give, running


def give_order(command: str, order: str, pid: int | None) -> str:
    """Give an order to a broker of this user; comes back with what came of it.

    Args:
        command: that gives it, for people.
        order: the word for it.
        pid: the broker's process; None: the only one that runs.

    Raises:
        NoBroker: it cannot be said to whom.
        OSError: it cannot be reached.
        ValueError: it could not carry out the order.
    """
    try:
        brokers = running()
    except OSError as error:  # where brokers write down how to reach them is not to be trusted
        raise NoBroker(str(error)) from None
    if pid is None and len(brokers) > 1:
        raise NoBroker(f"{len(brokers)} brokers run here; say which one: --pid {' or '.join(map(str, brokers))}")
    if not brokers or (pid is not None and pid not in brokers):
        who = "no broker of this user runs here" if pid is None else f"process {pid} is no broker of ours"
        raise NoBroker(f"{who}; {command} has to be run by the user who runs the broker")
    return give(brokers[pid or next(iter(brokers))], order)


class NoBroker(Exception):
    """There is none, or more than one; says so."""
