"""Packets to scapy's and back, byte for byte, with what is left open still open.

    sr1(to_scapy(IPv4(dst="192.0.2.1") / ICMPEcho()))
    from_scapy(scapy.IP(dst="192.0.2.1") / scapy.TCP(dport=80))

Both ways go through bytes: each header is read by the other side from where it lies, and the fields that were None are
opened again. Where the other side would then compute something else, the numbers are kept; what it can't hold at all
stays bytes from there on: `Raw` in scapy, the payload here. So the bytes are the same for every packet.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from rawproto.errors import WireError
from rawproto.interop.scapy_names import Match, kind_of, load, match_of
from rawproto.wire.frame import LinkType
from rawproto.wire.header import Header
from rawproto.wire.multicast import IGMP
from rawproto.wire.packet import Packet

__all__ = ["from_scapy", "register", "to_scapy"]


class Kept(IntEnum):
    """How much of a header is kept as a number."""

    OPEN = 0
    """What is left open is left open on the other side."""
    ANNOUNCED = 1
    """The type of what follows is a number."""
    CLOSED = 2
    """All fields are numbers."""
    BYTES = 3
    """The header, and all that follows it, is bytes."""


class Part(NamedTuple):
    """One of our headers and the layer of scapy's that it comes from."""

    header: Header
    """With every field a number."""
    match: Match
    layer: Any
    offset: int


@cache
def register() -> Any:
    """Make RDT known to scapy, in IP and in UDP, and give its class. Raises MissingToolError."""
    load()
    from rawproto.interop.scapy_rdt import RDTLayer, bind  # noqa: PLC0415 - it imports scapy

    bind()
    vars(load())["RDT"] = RDTLayer
    return RDTLayer


def to_scapy(packet: Packet | Header) -> Any:
    """The packet as scapy has it, with the same bytes; a field that is None is one for scapy to compute.

    Layers that scapy has no class for are `Raw`, what follows the payload is `Padding`. Raises WireError, as building
    it does, and MissingToolError.
    """
    register()
    scapy = load()
    if isinstance(packet, Header):
        packet = Packet((packet,))
    data = bytes(packet)
    kept = [Kept.OPEN] * len(packet.layers)
    while True:
        built = _built(scapy, packet, kept)
        different = _last_difference(data, _bytes_of(built))
        if different is None:
            return built
        _keep_more(kept, packet.layout.offsets, different)


def from_scapy(packet: Any, linktype: LinkType | None = None) -> Packet:
    """scapy's packet as ours, with the same bytes; what scapy would compute is None.

    Layers that have no class here are payload, `Padding` is the trailer. `linktype` is what the first layer decides if
    it is not given. Raises WireError for what is no packet of scapy's, and MissingToolError.
    """
    register()
    scapy = load()
    if not isinstance(packet, scapy.Packet):
        raise WireError(f"from_scapy: {packet!r} is no packet of scapy's")
    data = bytes(packet)
    trailer = packet.build_padding()
    parts, payload = _parts(scapy, packet, data, len(data) - len(trailer))
    offsets = [part.offset for part in parts]
    kept = [Kept.OPEN] * len(parts)
    while True:
        whole = kept.index(Kept.BYTES) if Kept.BYTES in kept else len(parts)
        start = payload if whole == len(parts) else offsets[whole]
        layers = [_reopened(part, how) for part, how in zip(parts, kept, strict=True) if how < Kept.BYTES]
        ours = Packet(layers, data[start : len(data) - len(trailer)], trailer=trailer, linktype=linktype)
        different = _last_difference(data, _bytes_of(ours))
        if different is None:
            return ours
        _keep_more(kept, offsets, different)


def _bytes_of(packet: Any) -> bytes:
    """A packet's bytes; none if a value that is open can't be computed."""
    try:
        return bytes(packet)
    except Exception:  # ours raises WireError, scapy whatever its fields do
        return b""


def _last_difference(data: bytes, other: bytes) -> int | None:
    """Where, in `data`, the last byte lies that `other` does not have, both counted from their ends; None if nowhere.

    The last, because what is computed below depends on what is above.
    """
    if data == other:
        return None
    same = 0
    for ours, theirs in zip(reversed(data), reversed(other), strict=False):
        if ours != theirs:
            break
        same += 1
    return max(len(data) - same - 1, 0)


def _keep_more(kept: list[Kept], offsets: Sequence[int], different: int) -> None:
    """Keep more of the header with the byte at `different`, or of those around it if that has no more to give."""
    at = max((at for at, offset in enumerate(offsets) if offset <= different), default=0)
    while at and kept[at] == Kept.BYTES:
        at -= 1
    kept[at] = Kept(kept[at] + 1)
    if kept[at] == Kept.BYTES:
        kept[at:] = [Kept.BYTES] * (len(kept) - at)


# From ours to scapy's


def _built(scapy: SimpleNamespace, packet: Packet, kept: Sequence[Kept]) -> Any:
    layout = packet.layout
    data, ends = layout.data, (*layout.offsets, layout.payload_start)[1:]
    payload_end = max(layout.payload_start, layout.payload_end)
    built, start = None, 0
    for header, at, end, how in zip(packet.layers, layout.offsets, ends, kept, strict=True):
        match = match_of(type(header))
        is_last = match is not None and match.is_last
        layer = None
        if match is not None and how < Kept.BYTES:
            layer = _layer(scapy, header, match, data[at : payload_end if is_last else end], how)
        if layer is None:
            break
        if is_last and isinstance(header, IGMP) and built is not None and built.lastlayer().fields.get("options") == []:
            # scapy puts a router alert where it finds none: this is as empty, and does not look so.
            built.lastlayer().options = type("NoOptions", (scapy.RawVal,), {"__bool__": lambda _: True})(b"")
        built = layer if built is None else built / layer
        start = payload_end if is_last else end
        if is_last:
            break
    if start < payload_end or built is None:
        raw = scapy.Raw(data[start:payload_end])
        built = raw if built is None else built / raw
    return built / scapy.Padding(data[payload_end:]) if payload_end < len(data) else built


def _layer(scapy: SimpleNamespace, header: Header, match: Match, data: bytes, how: Kept) -> Any:
    """`data` as a layer of scapy's with the open fields of `header` open; None if scapy reads it otherwise."""
    if match.theirs:
        theirs = getattr(scapy, match.theirs)
    else:
        theirs = scapy.IPv6(nh=header.ip_number).guess_payload_class(data)
        if theirs is scapy.Raw and match.computed.get("checksum") == "cksum":
            theirs = scapy.ICMPv6Unknown
    try:
        layer = theirs(data)
    except Exception:  # whatever scapy raises for bytes that it can't read
        return None
    if isinstance(layer, scapy.Raw) or bytes(layer) != data or not (match.is_last or len(layer.payload) == 0):
        return None
    names = {field.name for field in layer.fields_desc}
    ours, announced = match.announces
    if announced in names and how == Kept.OPEN and header.raw(ours) is None:
        layer.delfieldval(announced)
        layer.raw_packet_cache = None
    for ours, computed in match.computed.items():
        if computed in names and how < Kept.CLOSED and header.raw(ours) is None:
            layer.setfieldval(computed, None)
    if layer.raw_packet_cache is None and "autopad" in names:
        layer.autopad = 0  # the padding is there
    return layer


# From scapy's to ours


def _parts(scapy: SimpleNamespace, packet: Any, data: bytes, end: int) -> tuple[list[Part], int]:
    """The layers that we have headers for, and where the payload starts; `end` is where scapy's padding does."""
    parts: list[Part] = []
    offset, layer, below = 0, packet, None
    while True:
        kind = kind_of(scapy, layer, below)
        match = match_of(kind) if kind is not None else None
        if kind is None or match is None:
            return parts, offset
        following = end if match.is_last else end - len(layer.payload.do_build())
        header = _header(kind, data, offset, following, match.is_last)
        if header is None:
            return parts, offset
        parts.append(Part(header, match_of(type(header)) or match, layer, offset))
        if match.is_last:
            return parts, offset + header.size
        offset, below, layer = following, layer, layer.payload


def _header(kind: type[Header], data: bytes, offset: int, end: int, is_last: bool) -> Header | None:
    """The header that fills the bytes from `offset` to `end`, or begins there if it is the last; None if it can't."""
    if end - offset < kind.SIZE:
        return None
    if kind.variants:
        variant = kind.variant_of(data, offset, end)
        kind = variant if end - offset >= variant.SIZE else kind
    header: Header = kind.decode(data, offset, end)
    if header.size < end - offset and not is_last:
        if not kind.has_tail:
            return None
        # Options beyond what the length field counts: scapy and we both let people write that.
        header = header.replace(**{kind.fields[-1].name: data[offset + kind.SIZE : end]})
    return header


def _reopened(part: Part, how: Kept) -> Header:
    """The header with what scapy has left open left open."""
    if how == Kept.CLOSED:
        return part.header
    given, names = part.layer.fields, {field.name for field in part.layer.fields_desc}
    is_open = {ours for ours, theirs in part.match.computed.items() if theirs in names and given.get(theirs) is None}
    ours, announced = part.match.announces
    if announced in names and announced not in given and how == Kept.OPEN:
        is_open.add(ours)
    return part.header.replace(**dict.fromkeys(is_open & {row.name for row in part.header.fields}))
