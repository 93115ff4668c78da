"""What every session of one engine shares."""

from telex.engine.options import Options
from telex.engine.seams import Journal, Observer
from telex.engine.stats import Stats


class Surroundings:
    """The engine around a session, as far as a session needs it."""

    def __init__(self, options: Options, stats: Stats, journal: Journal, observer: Observer) -> None:
        self.options = options
        self.stats = stats
        self.journal = journal
        self.observer = observer
        self.memory = 0  # bytes that all messages of QoS 1 and 2 take that are on their way, about
        self.last_message = 0  # the number that one of them was given last
