"""Kill a broker again and again, from the command line.

python -m tests.crash --rounds 200 --qos 1
python -m tests.crash --rounds 17 --qos 2 --seed 4711
python -m tests.crash -- --durability relaxed
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from telex import version
from tests.crash.life import Life, Result


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks: 0 if every rule was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=200, help="how often the broker is killed under load (200)")
    parser.add_argument("--qos", type=int, choices=(0, 1, 2), default=1, help="of most messages (1)")
    parser.add_argument("--seed", type=int, default=new_seed(), help="of all intentions (a new one)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep data and log there (nowhere)")
    parser.add_argument("arguments", nargs="*", help="more of them for telex serve, behind --")
    asked = parser.parse_args(arguments)
    print(f"{version.describe()}; {asked.rounds:,} rounds at QoS {asked.qos}, seed {asked.seed}", flush=True)
    began = monotonic()
    if asked.data is None:
        result = live(asked.seed, asked.qos, asked.rounds, asked.arguments)
    else:
        asked.data.mkdir(parents=True, exist_ok=True)
        result = asyncio.run(Life(asked.seed, asked.qos, asked.data, asked.arguments).lives(asked.rounds))
    for name, count in sorted(result.counts.items()):
        print(f"{count:12,} {name}")
    print(f"{result.rounds:,} rounds, {len(result.faults)} faults; {monotonic() - began:.0f} s")
    if result.faults:
        print(report(asked.seed, asked.qos, result, asked.arguments))
    return 1 if result.faults else 0


def live(seed: int, qos: int, rounds: int, arguments: Sequence[str] = ()) -> Result:
    """One life in a directory that is removed at its end."""
    with tempfile.TemporaryDirectory(prefix="telex-crash-") as directory:
        return asyncio.run(Life(seed, qos, Path(directory), arguments).lives(rounds))


def new_seed() -> int:
    """One that nobody has chosen."""
    return random.SystemRandom().randrange(1_000_000)


def report(seed: int, qos: int, result: Result, arguments: Sequence[str] = ()) -> str:
    """What went wrong, what led to the first of it, and the command that lives such a life again."""
    again = f"again: python -m tests.crash --qos {qos} --rounds {result.rounds} --seed {seed}"
    if arguments:
        again += f" -- {' '.join(arguments)}"
    return "\n".join([*result.faults, "what led to the first:", *(f"    {line}" for line in result.story), again])


if __name__ == "__main__":
    sys.exit(main())
