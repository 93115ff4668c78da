"""Codecs of one's own: what fits the protocol, and what does not."""

from typing import TypeVar

import telex

T = TypeVar("T")


class Pickled:
    """With a class attribute."""

    content_type = "application/x-pickle"

    def encode(self, value: object) -> bytes:
        return repr(value).encode()

    def decode(self, payload: bytes, type: type[T]) -> T:
        return type()


class Configured:
    """With a property."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def content_type(self) -> str:
        return f"application/{self.name}"

    def encode(self, value: object) -> bytes:
        return b""

    def decode(self, payload: bytes, type: type[T]) -> T:
        raise ValueError(payload)


class Wrong:
    content_type = "application/wrong"

    def encode(self, value: object) -> str:
        return ""

    def decode(self, payload: bytes, type: type[T]) -> T:
        return type()


class Nameless:
    def encode(self, value: object) -> bytes:
        return b""

    def decode(self, payload: bytes, type: type[T]) -> T:
        return type()


telex.Client(codecs=[Pickled(), Configured("cbor")])
telex.SyncClient(codecs=(Pickled(),))
one: telex.Codec = Pickled()
two: telex.Codec = Configured("cbor")
three: telex.Codec = Wrong()  # refused
four: telex.Codec = Nameless()  # refused
telex.Client(codecs=Pickled())  # refused
