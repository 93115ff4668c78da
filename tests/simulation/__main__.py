"""Live lives from the command line: many of them, or one again.

python -m tests.simulation --runs 10000 --jobs 2
python -m tests.simulation --seed 17 --verbose
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from time import monotonic

from telex import version
from tests.simulation.simulation import Failure, Simulation

_BATCH = 20
"""So many lives are one piece of work for a process."""

_TELLS_EVERY = 10  # seconds


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks: 0 if every life kept to the rules."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=200, help="how many lives (200)")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first (0)")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes (1)")
    parser.add_argument("--seed", type=int, help="live this one only")
    parser.add_argument("--verbose", action="store_true", help="print each event; for --seed")
    parser.add_argument("--counts", action="store_true", help="tell how often each kind of thing happened")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        return _live_one(asked.seed, is_verbose=asked.verbose)
    return _live_many(range(asked.first, asked.first + asked.runs), asked.jobs, tells_counts=asked.counts)


def _live_one(seed: int, *, is_verbose: bool) -> int:
    simulation = Simulation(seed, is_verbose=is_verbose)
    try:
        digest = simulation.run()
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    print(f"seed {seed}: {len(simulation.events):,} events, all as it should be; digest {digest}")
    return 0


def _live_many(seeds: range, jobs: int, *, tells_counts: bool) -> int:
    print(f"{version.describe()}; seeds {seeds.start:,} to {seeds.stop - 1:,}")
    started = told = monotonic()
    counts: Counter[str] = Counter()
    done = failed = 0
    for failures, batch_counts, lives in _results(seeds, jobs):
        done += lives
        counts.update(batch_counts)
        failed += len(failures)
        for failure in failures:
            print(f"\n{failure}\n", flush=True)
        if monotonic() - told >= _TELLS_EVERY:
            told = monotonic()
            print(f"{done:,} of {len(seeds):,} lives, {failed:,} failed", flush=True)
    if tells_counts:
        for name, count in counts.most_common():
            print(f"{count:12,} {name}")
    print(f"{done:,} lives, {counts['events']:,} events, {failed:,} failed; {monotonic() - started:.0f} s")
    return 1 if failed else 0


Result = tuple[list[str], Counter[str], int]
"""What failed, how often each kind of thing happened, and how many lives there were."""


def _results(seeds: range, jobs: int) -> Iterator[Result]:
    iterator = iter(seeds)
    batches = iter(lambda: list(islice(iterator, _BATCH)), [])
    if jobs == 1:
        yield from map(_live_batch, batches)
    else:
        with ProcessPoolExecutor(jobs) as pool:
            yield from pool.map(_live_batch, batches)


def _live_batch(seeds: list[int]) -> Result:
    failures: list[str] = []
    counts: Counter[str] = Counter()
    for seed in seeds:
        simulation = Simulation(seed)
        try:
            simulation.run()
        except Failure as failure:
            failures.append(str(failure))
        counts.update(simulation.counts)
        counts["events"] += len(simulation.events)
    return failures, counts, len(seeds)


if __name__ == "__main__":
    sys.exit(main())
