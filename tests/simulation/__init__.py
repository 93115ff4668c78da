"""Whole lives of a broker and its clients, decided by a seed: ``python -m tests.simulation --help``."""
