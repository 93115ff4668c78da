"""``python -m telex.bench.member``: one of the processes of a run, which ``processes.lead`` starts, and nobody else."""

from telex.bench import run
from telex.bench.processes import follow

if __name__ == "__main__":
    follow(run.carry_out)
