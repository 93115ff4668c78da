"""The programs of benchmarks/ are no package: they find each other as Python finds what is beside a program."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
