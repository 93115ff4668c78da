"""``python -m tests.fuzz.seeds``: what is known to be hostile, or valid, as inputs to begin with.

Writes ``build/fuzz/seeds/TARGET``, from the tables of ``tests/wire/cases.py`` and
``tests/hostile/sequences.py``. libFuzzer then takes from them what the corpus
lacks: ``python -m tests.fuzz TARGET -merge=1 tests/fuzz/corpus/TARGET
build/fuzz/seeds/TARGET build/fuzz/TARGET``.
"""

import hashlib
from collections.abc import Iterator

from tests.fuzz import broker_side, client_side, decoding, places
from tests.fuzz.script import FRAMED, REST
from tests.hostile.sequences import NOTHING_SAID, ROWS
from tests.wire.cases import CASES

LARGEST = 600
"""Bytes; a fuzzer is as slow as its inputs are long."""


def decoder_seeds() -> Iterator[bytes]:
    """Each case whole, and byte by byte."""
    for case in CASES:
        for version in case.versions:
            number = decoding.VERSIONS.index(case.opening_version(version))
            yield bytes((number, 0, 0)) + case.data
    for row in ROWS:
        for version in row.versions:
            number = 0 if row.state is NOTHING_SAID else decoding.VERSIONS.index(version)
            yield bytes((number, 1, 255)) + row.data


def connection_seeds() -> Iterator[bytes]:
    """Each row in each state, and each packet with a remaining length that is right."""
    for row in ROWS:
        for version in row.versions:
            number = broker_side.VERSIONS.index(version)
            states = (0,) if row.state is NOTHING_SAID else range(1, len(broker_side.STATES))
            for state in states:
                yield bytes((number, state, REST)) + row.data
    for case in CASES:
        for version in case.versions:
            number = broker_side.VERSIONS.index(version)
            state = 0 if case.data[0] == 0x10 else 2
            yield bytes((number, state)) + framed(case.data)
    for number in range(len(broker_side.VERSIONS)):
        for state in range(len(broker_side.STATES)):
            yield bytes((number, state, 0xC1, 0x81, 1, 120, 0xC1, 0x02, 1, 121, 0xC6, 0xC6, 0xC4, 0xC6, 0xC3, 40))
            yield bytes((number, state, 0xC7, 0xC1, 0x02, 1, 121, 0xC5, 0xC2, 0xC8, 0xC1, 1, 0, 0xC9, 0xC3, 100))


def client_seeds() -> Iterator[bytes]:
    """Each case in each state, whole and with a remaining length that is right; and what a user does."""
    for case in CASES:
        for version in case.versions:
            number = client_side.VERSIONS.index(version)
            for state in range(len(client_side.STATES)):
                yield bytes((number, state, REST)) + case.data
            yield bytes((number, 4)) + framed(case.data)
    for number in range(len(client_side.VERSIONS)):
        for state in range(len(client_side.STATES)):
            yield bytes(
                (number, state, 0xC1, 2, 1, 120, 0xC8, 0xC8, 0xC2, 0xC8, 0xC3, 0xC8, 0xC9, 1, 0xC6, 9, 0xC6, 20)
            )
            yield bytes((number, state, 0xC5, 0x82, 111, 107)) + framed(b"\xf0\x06\x00\x04\x15\x00\x01m")
            yield bytes((number, state, 0xC9, 0, 0xC1, 1, 1, 120, 0xC7, 0xC8, 0xC4, 0xC8))


def framed(packet: bytes) -> bytes:
    """A packet as an act that frames its body; only for bodies of one byte's length."""
    return bytes((FRAMED, packet[0], len(packet) - 2)) + packet[2:] if 2 <= len(packet) < 0x80 else b""


def main() -> None:
    """Write them all."""
    for target, seeds in (("decoder", decoder_seeds), ("connection", connection_seeds), ("client", client_seeds)):
        folder = places.RUNS / "seeds" / target
        folder.mkdir(parents=True, exist_ok=True)
        for seed in seeds():
            if len(seed) <= LARGEST:
                (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


if __name__ == "__main__":
    main()
