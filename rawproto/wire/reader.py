"""Readers: the same few fields of many frames, and nothing else of them.

    read = reader("ipv4.src", "ipv4.dst", "tcp.sport", "tcp.dport", "tcp.flags")
    for frame in capture:
        src, dst, sport, dport, flags = read(frame)

What a template is for sending, this is for receiving: the values are those that `Packet.parse` gives, without the
packet. A field whose layer a frame does not have is None. Plain frames (see `locate`) are read by one `struct` that
skips what is not asked for; all others go the long way.

Like `codec`, this writes a few lines of Python for each reader, once; its `source` shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Any, NamedTuple

from rawproto.errors import WireError
from rawproto.wire.codec import units_of
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

__all__ = ["Reader", "reader"]


class Plain(NamedTuple):
    """What a plain frame of these layers is known by."""

    network: type[Header]
    transport: type[Header]
    guard: str
    """Holds for the bytes of no other frame, if `check` does too."""
    needs: tuple[tuple[str, int, str], ...]
    """Values that `check` looks at: name, byte, letter of `struct`."""
    check: str


_IPV4_NEEDS = (("kind", 12, "H"), ("total", 16, "H"), ("fragment", 20, "H"))
_IPV6_NEEDS = (("kind", 12, "H"), ("total", 18, "H"))


def _plain(network: type[Header], transport: type[Header]) -> Plain:
    """As `locate` knows them."""
    least = Ethernet.SIZE + network.SIZE + transport.SIZE
    if network is IPv4:
        guard = f"data[14] == 0x45 and data[23] == {transport.ip_number}"
        check = f"kind == 0x0800 and not fragment & 0x3FFF and {least} <= 14 + total <= len(data)"
        return Plain(network, transport, guard, _IPV4_NEEDS, check)
    guard = f"data[14] >> 4 == 6 and data[20] == {transport.ip_number}"
    return Plain(network, transport, guard, _IPV6_NEEDS, f"kind == 0x86DD and {least} <= 54 + total <= len(data)")


class Reader:
    """Reads fields. Made by `reader`; called with bytes or a Frame, gives a tuple with a value for each field."""

    __slots__ = ("fields", "linktype", "read", "source")

    fields: tuple[str, ...]
    """The names that it was made with, in the order of the values."""
    linktype: LinkType
    """What bytes are read as; a Frame has its own."""
    read: Callable[[bytes | Frame], tuple[Any, ...]]
    """The function itself, without the price of looking it up."""
    source: str
    """The Python that was written for it."""

    def __init__(self, fields: tuple[str, ...], linktype: LinkType) -> None:
        self.fields = fields
        self.linktype = linktype
        wanted = [_wanted(name) for name in fields]
        scope: dict[str, Any] = {"Frame": Frame, "ETHERNET": LinkType.ETHERNET, "StructError": StructError}
        scope["slow"] = lambda data: _slowly(data, linktype, wanted)
        self.source = _write(wanted, scope) if linktype is LinkType.ETHERNET else "read = slow"
        exec(self.source, scope)  # the text comes from the tables of fields alone
        self.read = scope["read"]

    def __call__(self, data: bytes | Frame) -> tuple[Any, ...]:
        """The values of the fields in one frame."""
        return self.read(data)

    def __repr__(self) -> str:
        return f"<Reader of {', '.join(self.fields)}>"


def reader(*fields: str, linktype: LinkType = LinkType.ETHERNET) -> Reader:
    """A compiled reader of `fields`, named "ipv4.src", "tcp.flags", "icmp.type"; bytes are read as `linktype`.

    Raises WireError for a layer or a field that there is not.
    """
    if not fields:
        raise WireError("a reader needs a field, such as 'ipv4.src'")
    return Reader(fields, linktype)


def _classes(kind: type[Header] = Header) -> Iterator[type[Header]]:
    for below in kind.__subclasses__():
        yield below
        yield from _classes(below)


def _wanted(name: str) -> tuple[str, str]:
    """Layer and field of a name."""
    layer, _, field = name.partition(".")
    fields = {row.name for kind in _classes() if kind.family.lower() == layer for row in kind.fields}
    if not fields:
        known = sorted({kind.family.lower() for kind in _classes()})
        raise WireError(f"reader: {name!r}: there is no layer {layer!r}, there are {', '.join(known)}")
    if field not in fields:
        raise WireError(f"reader: {name!r}: {layer} has no field {field!r}, it has {', '.join(sorted(fields))}")
    return layer, field


def _slowly(data: bytes | Frame, linktype: LinkType, wanted: list[tuple[str, str]]) -> tuple[Any, ...]:
    """By way of the packet."""
    first: dict[str, Header] = {}
    for header in Packet.parse(data, linktype).layers:
        first.setdefault(header.family.lower(), header)
    return tuple(getattr(first.get(layer), field, None) for layer, field in wanted)


def _write(wanted: list[tuple[str, str]], scope: dict[str, Any]) -> str:
    """The source of `read`, with what it refers to put in `scope`."""
    branches: list[str] = []
    layers = {layer for layer, _ in wanted}
    for network in (IPv4, IPv6):
        for transport in (TCP, UDP):
            known = {"ethernet", network.family.lower(), transport.family.lower()}
            if layers <= known and not any(field == "options" for _, field in wanted):
                branches += _branch(_plain(network, transport), wanted, scope)
    if not branches:
        return "read = slow"
    lines = [
        "def read(data):",
        " frame = data",
        " if data.__class__ is not bytes:",
        "  if data.__class__ is not Frame or data.linktype is not ETHERNET or data.vlan_tci is not None:",
        "   return slow(frame)",
        "  data = data.data",
        " try:",
    ]
    return "\n".join([*lines, *branches, " except (IndexError, StructError):", "  pass", " return slow(frame)"])


def _branch(plain: Plain, wanted: list[tuple[str, str]], scope: dict[str, Any]) -> list[str]:
    """The lines for one kind of plain frame."""
    starts: dict[str, tuple[type[Header], int]] = {
        "ethernet": (Ethernet, 0),
        plain.network.family.lower(): (plain.network, Ethernet.SIZE),
    }
    starts[plain.transport.family.lower()] = (plain.transport, Ethernet.SIZE + plain.network.SIZE)
    items = {(at, letter): name for name, at, letter in plain.needs}
    results = []
    for layer, field in wanted:
        kind, start = starts[layer]
        row = kind.fields[kind.index_of(field)]
        unit = next(unit for unit in units_of(kind.fields) if row in unit.rows)
        value = items.setdefault((start + unit.rows[0].offset // 8, unit.letters), f"v{len(items)}")
        if row.pack is None:
            value = unit.taken(f"from_bytes({value})" if unit.is_bytes else value, row)
        elif row.text is not None:
            scope[f"text_{layer}_{field}"] = row.text
            value = f"text_{layer}_{field}[{value}]" if isinstance(row.text, dict) else f"text_{layer}_{field}({value})"
        results.append(value)
    name = f"unpack_{plain.network.family}_{plain.transport.family}"
    layout, names = _layout(items)
    scope[name] = Struct(layout).unpack_from
    scope["from_bytes"] = int.from_bytes
    return [
        f"  if {plain.guard}:",
        f"   {', '.join(names)}, = {name}(data)",
        f"   if {plain.check}:",
        f"    return {', '.join(results)},",
    ]


def _layout(items: dict[tuple[int, str], str]) -> tuple[str, list[str]]:
    """A `struct` of these values with gaps between them, and their names in its order."""
    layout, names, end = ">", [], 0
    for (at, letters), name in sorted(items.items()):
        layout += f"{at - end}x{letters}"
        names.append(name)
        end = at + Struct(f">{letters}").size
    return layout, names
