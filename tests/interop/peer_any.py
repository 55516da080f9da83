"""Packets of any headers in any order, for hypothesis: every header there is, made from its own table of fields."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from hypothesis import strategies as st

import rawproto.wire
from rawproto.errors import WireError
from rawproto.wire.field import Field
from rawproto.wire.frame import LinkType
from rawproto.wire.header import Header
from rawproto.wire.ipv4_options import IPV4_OPTIONS
from rawproto.wire.ipv6_options import IPV6_OPTIONS
from rawproto.wire.packet import Packet
from rawproto.wire.tcp_options import TCP_OPTIONS

__all__ = ["KINDS", "any_packets", "headers", "parsed_packets"]

LINKS = (LinkType.ETHERNET, LinkType.RAW, LinkType.LINUX_SLL, LinkType.LINUX_SLL2, LinkType.NULL, LinkType.USER0)
TAIL = 44
"""Bytes of options and the like that are tried at most."""


def kinds() -> Iterator[type[Header]]:
    """Every header class."""
    for module in iter_modules(rawproto.wire.__path__):
        import_module(f"rawproto.wire.{module.name}")
    waiting: list[type[Header]] = [Header]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        yield from (kind for kind in below if kind.fields and kind.__module__.startswith("rawproto."))


def values(row: Field) -> st.SearchStrategy[Any]:
    if row.is_tail:
        room = min(TAIL, row.bits // 8)
        return st.one_of(st.just(b""), st.binary(max_size=room), options(room))
    if row.pack is not None:
        return st.binary(min_size=row.bits // 8, max_size=row.bits // 8)
    number = st.one_of(st.sampled_from((0, 1, row.limit)), st.integers(0, row.limit))
    return number if row.default is not None else st.one_of(st.none(), st.none(), number)


def options(room: int) -> st.SearchStrategy[bytes]:
    """Options of the families that there are, with values of any length."""
    known = sorted({*IPV4_OPTIONS.kinds, *IPV6_OPTIONS.kinds, *TCP_OPTIONS.kinds, 253})

    def one(kind: int, value: bytes, extra: int) -> bytes:
        return bytes((kind,)) if kind < 2 else bytes((kind, len(value) + extra)) + value

    found = st.lists(
        st.builds(one, st.sampled_from(known), st.binary(max_size=12), st.sampled_from((0, 2))), max_size=4
    )
    return found.map(lambda parts: b"".join(parts)[:room])


def headers(kind: type[Header]) -> st.SearchStrategy[Header]:
    """`kind` with some of its fields given, the others as they are by default."""
    given = st.fixed_dictionaries({}, optional={row.name: values(row) for row in kind.fields})
    return given.map(lambda chosen: kind(**chosen))


KINDS = sorted(set(kinds()), key=lambda kind: kind.__qualname__)


@st.composite
def any_packets(draw: st.DrawFn) -> Packet:
    """Any headers in any order."""
    chosen = draw(st.lists(st.sampled_from(KINDS), max_size=5))
    layers = [draw(headers(kind)) for kind in chosen]
    packet = Packet(layers, draw(st.binary(max_size=30)), trailer=draw(st.binary(max_size=6)))
    try:
        bytes(packet)
    except WireError:  # a computed value that does not fit: nothing to convert
        return Packet((), b"unbuildable")
    return packet


@st.composite
def parsed_packets(draw: st.DrawFn) -> Packet:
    """Packets as they come off the wire, damaged ones among them."""
    data = bytearray(bytes(draw(any_packets())))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=3)):
        if at < len(data):
            data[at] = byte
    return Packet.parse(bytes(data[: draw(st.integers(0, 120))]), draw(st.sampled_from(LINKS)))
