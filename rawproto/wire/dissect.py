"""Bytes to layers: the walk from header to header. Never raises, whatever the bytes.

Two ends are carried along: where the wire says that things end (`wire_end`: the frame's original length, then
each length field) and where the captured bytes do. What lies between them was *cut by the capture*; what the
wire itself lacks is *malformed*.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from rawproto.wire.ethernet import Ethernet
from rawproto.wire.field import Field
from rawproto.wire.frame import ChecksumStatus, LinkType
from rawproto.wire.header import LINKTYPES, Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6

__all__ = [
    "ChecksumVerdict",
    "Layout",
    "Partial",
    "Problem",
    "broken_rules",
    "dissect",
    "first_header",
    "lay_out",
    "network_below",
    "verdicts",
]

ETHERNET = int(LinkType.ETHERNET)
INCOMPLETE = ("option", "exceeds")
"""The rules that are broken by what is missing."""
RAW_TYPES = (LinkType.RAW, LinkType.RAW_BSD, LinkType.RAW_OPENBSD)
RAW_VERSIONS: dict[int, type[Header]] = {4: IPv4, 6: IPv6}


class Problem(NamedTuple):
    """What is wrong with the bytes, and where."""

    layer: str
    field: str
    offset: int
    """In bytes from the start of the frame."""
    rule: str
    """A short word that stays: "short", "exceeds", "cut", "version", "minimum", "length", "option", "unsupported"."""
    text: str
    by_capture: bool = False
    """The capture cut the frame; nothing is known to be wrong with it."""


class ChecksumVerdict(StrEnum):
    """What is known of one layer's checksum."""

    OK = "ok"
    BAD = "bad"
    OFFLOADED = "offloaded"
    """Left for hardware to fill in: the value means nothing."""
    UNVERIFIABLE = "unverifiable"
    """Not all of the bytes are here (cut, or a fragment), or the sender left it out (UDP's 0)."""


class Partial(NamedTuple):
    """A header of which only the beginning is there."""

    header: Header
    """What is missing is zero."""
    offset: int
    length: int
    """The bytes that are there."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The rows of its table that are there as a whole."""
        return tuple(row for row in self.header.fields if not row.is_tail and row.offset + row.bits <= self.length * 8)


class Layout(NamedTuple):
    """Where each header lies in the bytes."""

    data: bytes
    layers: tuple[Header, ...]
    offsets: tuple[int, ...]
    ends: tuple[int, ...]
    """Where each layer's payload ends on the wire; past the data if the capture cut it."""
    payload_start: int
    payload_end: int
    """What follows is the trailer: padding, or bytes that no length field counts."""
    fragmented: int
    """The number of layers from which on checksums over payloads can't be verified: what a length counts is not all
    there, or the rest is in other fragments."""
    problems: tuple[Problem, ...]
    """What the walk itself met; `broken_rules` gives the rest."""
    partial: Partial | None = None
    """What stopped the walk: a header that is cut or short. It may be one of `layers`, in a shorter form."""


def first_header(linktype: int, data: bytes) -> type[Header] | None:
    """The class of a frame's first header, None for link types that are not spoken here."""
    if linktype == ETHERNET:
        return Ethernet
    if linktype in RAW_TYPES:
        return RAW_VERSIONS.get(data[0] >> 4) if data else IPv4
    if linktype == LinkType.IPV4:
        return IPv4
    return IPv6 if linktype == LinkType.IPV6 else LINKTYPES.get(linktype)


def dissect(data: bytes, wire_length: int, first: type[Header] | None) -> Layout:
    """Find the headers in `data`, of which the wire had `wire_length` bytes, starting with `first`."""
    layers: list[Header] = []
    offsets: list[int] = []
    ends: list[int] = []
    problems: list[Problem] = []
    captured = len(data)
    offset, wire_end = 0, max(wire_length, captured)
    fragmented = -1
    partial: Partial | None = None
    kind = first
    while kind is not None:
        end = wire_end if wire_end < captured else captured  # noqa: FURB136 - at every header
        if end - offset < kind.SIZE or kind.variants:
            kind, short = _settle(kind, data, offset, end)
            if short is not None:
                problems.append(_too_short(short, offset, end, wire_end))
                partial = _partial(short, data, offset, end)
            if kind is None:
                break
        header = kind.decode(data, offset, end)
        layers.append(header)
        offsets.append(offset)
        start = offset + (header.size if kind.has_tail else kind.SIZE)
        declared = header.payload_end(offset) if kind.length_field else None
        if declared is not None and declared != wire_end:
            if declared < wire_end:
                wire_end = declared
                end = min(captured, wire_end)
            elif fragmented < 0:
                problems.append(_exceeds(header, offset, wire_end, declared))
                if kind.has_checksum and kind.checksum_covers_payload:
                    fragmented = len(layers) - 1
        ends.append(wire_end)
        if kind.may_fragment and fragmented < 0 and header.is_fragment:
            fragmented = len(layers)
        kind = header.above(data, start, end)
        offset = start
    # Behind an IP packet that is no link's payload (a quoted one) nothing is missed.
    if wire_end > captured or (wire_length > captured and first is not None and not first.has_pseudo_header):
        text = f"{captured} of {max(wire_length, captured)} bytes were captured"
        problems.append(Problem("frame", "data", captured, "cut", text, by_capture=True))
    if not layers and first is None:
        text = "no parser for this link type, or for what the frame begins with"
        problems.append(Problem("frame", "linktype", 0, "unsupported", text))
    return Layout(
        data,
        tuple(layers),
        tuple(offsets),
        tuple(ends),
        offset,
        min(wire_end, captured),
        len(layers) if fragmented < 0 else fragmented,
        tuple(problems),
        partial,
    )


def network_below(layers: Sequence[Header], at: int) -> Header | None:
    """The IP header whose addresses a checksum in layer `at` covers."""
    if at and layers[at - 1].has_pseudo_header:
        return layers[at - 1]
    for below in range(at - 2, -1, -1):
        header = layers[below]
        if header.has_pseudo_header:
            for between in layers[below + 1 : at]:
                if between.reroutes:
                    header = between.rerouted(header)
            return header
    return None


def lay_out(data: bytes, layers: tuple[Header, ...], sizes: Sequence[int], trailer: int) -> Layout:
    """The layout of a built packet, whose headers have `sizes` bytes. Its layers have all fields worked out."""
    whole = len(data) - trailer
    solved: list[Header] = []
    offsets: list[int] = []
    offset = 0
    fragmented = -1
    for size, header in zip(sizes, layers, strict=True):
        solved.append(type(header).decode(data, offset, offset + size))
        offsets.append(offset)
        offset += size
        if header.may_fragment and fragmented < 0 and header.is_fragment:
            fragmented = len(solved)
    return Layout(
        data,
        tuple(solved),
        tuple(offsets),
        (whole,) * len(layers),
        offset,
        whole,
        len(layers) if fragmented < 0 else fragmented,
        (),
    )


def verdicts(layout: Layout, known: ChecksumStatus) -> dict[str, ChecksumVerdict]:
    """The verdict on each layer that has a checksum; a layer's second occurrence is called "IPv4#2"."""
    found: dict[str, ChecksumVerdict] = {}
    for at, header in enumerate(layout.layers):
        if header.has_checksum:
            again = sum(name.partition("#")[0] == header.family for name in found)
            name = f"{header.family}#{again + 1}" if again else header.family
            network = network_below(layout.layers, at) if header.needs_network else None
            found[name] = _verdict(layout, at, network, known)
    partial = layout.partial
    if partial is not None and partial.header.has_checksum:
        found.setdefault(partial.header.family, ChecksumVerdict.UNVERIFIABLE)
    return found


def _verdict(layout: Layout, at: int, network: Header | None, known: ChecksumStatus) -> ChecksumVerdict:
    header, offset, end = layout.layers[at], layout.offsets[at], layout.ends[at]
    if header.offloadable and known == ChecksumStatus.VERIFIED:
        return ChecksumVerdict.OK
    if header.checksum_covers_payload and (end > len(layout.data) or at >= layout.fragmented):
        holds = None
    else:
        holds = header.verify(layout.data[offset:end], network)
    if holds:
        return ChecksumVerdict.OK
    if header.offloadable and known == ChecksumStatus.OFFLOADED:
        return ChecksumVerdict.OFFLOADED
    return ChecksumVerdict.UNVERIFIABLE if holds is None else ChecksumVerdict.BAD


def _settle(kind: type[Header], data: bytes, offset: int, end: int) -> tuple[type[Header] | None, type[Header] | None]:
    """What to decode at `offset`, of all the variants, and what there is too little of."""
    short: type[Header] | None = None
    if end - offset < kind.SIZE:
        short, form = kind, kind.short_form
        if form is None or end - offset < form.SIZE:
            return None, short
        kind = form
    if kind.variants:
        variant = kind.variant_of(data, offset, end)
        if end - offset < variant.SIZE:
            return kind, variant
        kind = variant
    return kind, short


def _partial(kind: type[Header], data: bytes, offset: int, end: int) -> Partial | None:
    if end <= offset:
        return None
    return Partial(kind.decode(data[offset:end].ljust(kind.SIZE, b"\0"), 0, kind.SIZE), offset, end - offset)


def _too_short(kind: type[Header], offset: int, end: int, wire_end: int) -> Problem:
    cut = wire_end - offset >= kind.SIZE
    text = f"{end - offset} of the header's {kind.SIZE} bytes are here"
    return Problem(kind.family, kind.fields[0].name, offset, "cut" if cut else "short", text, by_capture=cut)


def _exceeds(header: Header, offset: int, wire_end: int, declared: int) -> Problem:
    row = header.fields[header.index_of(header.length_field)]
    text = f"{row.name} is {header.raw(row.name)}: {declared - wire_end} bytes more than there are"
    return Problem(header.family, row.name, offset + row.offset // 8, "exceeds", text)


def broken_rules(layout: Layout) -> list[Problem]:
    """The rules that the headers' values break, each on its own."""
    problems = []
    captured = len(layout.data)
    for at, (header, offset, end) in enumerate(zip(layout.layers, layout.offsets, layout.ends, strict=True)):
        last = header.fields[-1]
        if last.words is not None:
            length = header.raw(last.words) * last.unit + last.extra
            if length > header.SIZE and length > header.size:
                row = header.fields[header.index_of(last.words)]
                cut = offset + length <= end
                text = f"{row.name} says {length} bytes, {header.size} are here"
                where = offset + row.offset // 8
                problems.append(Problem(header.family, row.name, where, "cut" if cut else "exceeds", text, cut))
        found = list(header.broken_rules())
        if header.minds_lower:
            found += header.rules_above(layout.layers[:at])
        for field, rule, text in found:
            where = offset + header.fields[header.index_of(field)].offset // 8
            # What reaches to the end of a frame that was cut may lack no more than what was cut off.
            cut = rule in INCOMPLETE and captured < end and captured <= offset + header.size
            problems.append(Problem(header.family, field, where, "cut" if cut else rule, text, cut))
    return problems
