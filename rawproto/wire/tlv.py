"""Walks options of the form type, length, value, as TCP, IP, RDT and neighbour discovery have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Item", "walk"]


class Item(NamedTuple):
    """One option where it was found. With an `error` it is the last one, and `data` is all that was left."""

    kind: int
    data: bytes
    """The value, without type and length."""
    offset: int
    length: int
    """All its bytes, type and length included."""
    error: str = ""


def walk(
    data: bytes, *, ends: tuple[int, ...] = (), singles: tuple[int, ...] = (), unit: int = 1, extra: int = 0
) -> Iterator[Item]:
    """The options in `data`, in order. Never raises; malformed bytes give one last Item with an error.

    Types in `singles` are one byte without a length, so are those in `ends`, after which the rest is padding. The
    length counts the option in units of `unit` bytes, all but `extra` of its bytes (2 in IPv6: type and length).
    """
    at = 0
    while at < len(data):
        kind = data[at]
        if kind in ends:
            yield Item(kind, bytes(data[at + 1 :]), at, len(data) - at)
            return
        if kind in singles:
            yield Item(kind, b"", at, 1)
            at += 1
            continue
        length = data[at + 1] * unit + extra if at + 1 < len(data) else 0
        if length < 2 or at + length > len(data):
            left = len(data) - at
            error = "no length byte" if left == 1 else f"length {length} with {left} bytes left"
            yield Item(kind, bytes(data[at + 1 :]), at, left, error)
            return
        yield Item(kind, bytes(data[at + 2 : at + length]), at, length)
        at += length
