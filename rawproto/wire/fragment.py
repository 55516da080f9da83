"""Cuts an IP packet into fragments, as RFC 791 §3.2 and RFC 8200 §4.5 say, byte for byte.

It works on bytes, not on headers, so that what is deliberately wrong elsewhere in the packet goes out as it is. The
way back is in `reassembly`, which shares the look for the IP header and the walk over IPv6's extension headers.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from rawproto.errors import WireError
from rawproto.wire.checksum import internet_checksum, patch
from rawproto.wire.frame import LinkType

__all__ = ["FRAGMENT_HEADER", "Chain", "extension_chain", "fragment", "ip_offset", "sealed"]

DF = 0x4000
MF = 0x2000
"""Of the 16 bits that hold flags and offset in an IPv4 header; the rest is the offset in units of 8 bytes."""
OFFSET_BITS = 0x1FFF
END_OF_OPTIONS, NO_OPERATION = 0, 1
COPIED = 0x80
"""In an option's type: it goes into every fragment (RFC 791 §3.1)."""

HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
TCP, UDP, ICMPV6 = 6, 17, 58
FRAGMENT_HEADER = Struct(">BBHI")
"""Next header, reserved, offset and M flag, identification (RFC 8200 §4.5)."""

ETHERTYPES = {b"\x08\x00": 4, b"\x86\xdd": 6}
BARE = {
    **dict.fromkeys((LinkType.RAW, LinkType.RAW_BSD, LinkType.RAW_OPENBSD, LinkType.IPV4, LinkType.IPV6), 0),
    **dict.fromkeys((LinkType.NULL, LinkType.LOOP), 4),
}
"""Link types where IP's own version tells which it is, and what precedes it: the loopback's 4 bytes of family."""
VLAN_TAGS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")


class Chain(NamedTuple):
    """An IPv6 packet's headers before the upper layer, as offsets from the IPv6 header."""

    split: int
    """Where the per-fragment headers end: behind the last one that a node on the way looks at."""
    split_field: int
    """Where the next-header field that announces what follows them lies."""
    fragment: int
    """Where a fragment header lies; 0 without one."""
    end: int
    """Where what is no extension header starts. If there is a fragment header, behind it."""
    upper: int
    """The next header there."""


def ip_offset(data: bytes, linktype: int) -> tuple[int, int]:
    """Where the IP header starts and its version, 4 or 6; version 0 if there is none, or not all of its fixed part.

    VLAN tags are stepped over. Never raises.
    """
    at, version = 0, 0
    if linktype == LinkType.ETHERNET:
        at = 14
        while data[at - 2 : at] in VLAN_TAGS:
            at += 4
        version = ETHERTYPES.get(data[at - 2 : at], 0)
    elif linktype == LinkType.LINUX_SLL:
        at, version = 16, ETHERTYPES.get(data[14:16], 0)
    elif linktype == LinkType.LINUX_SLL2:
        at, version = 20, ETHERTYPES.get(data[:2], 0)
    elif linktype in BARE:
        at = BARE[LinkType(linktype)]
        version = data[at] >> 4 if at < len(data) else 0
    fixed = {4: 20, 6: 40}.get(version, 0)
    return (at, version) if fixed and at + fixed <= len(data) and data[at] >> 4 == version else (at, 0)


def fragment(
    data: bytes,
    mtu: int,
    linktype: LinkType = LinkType.ETHERNET,
    *,
    identification: int | None = None,
    force: bool = False,
) -> list[bytes]:
    """The frame as fragments whose IP packets have at most `mtu` bytes, each behind the frame's own link header.

    A packet that fits comes back alone and unchanged. Of one that does not, padding behind it is dropped. IPv4 takes
    `identification` (16 bits) from the header unless it is given; IPv6 (32 bits) must be told, unless the packet is
    a fragment already. A fragment is cut further in the same way.

    Raises WireError for what is not IP, for lengths that don't hold, and for an MTU without room for 8 bytes of data;
    and unless `force` is set also for IPv4's DF flag, which is then kept, and for an MTU that cuts IPv6's chain of
    headers, which a first fragment must hold up to the upper layer's (RFC 8200 §4.5).
    """
    at, version = ip_offset(data, linktype)
    if version == 4:
        pieces = _fragment_ipv4(data[at:], mtu, identification, force)
    elif version == 6:
        pieces = _fragment_ipv6(data[at:], mtu, identification, force)
    else:
        raise WireError(f"fragment: no IP header in these {len(data)} bytes of {LinkType(linktype).name}")
    return [data[:at] + piece for piece in pieces] if pieces else [data]


def sealed(header: bytes) -> bytes:
    """An IPv4 header with its checksum worked out."""
    return patch(header, 10, internet_checksum(patch(header, 10, 0)))


def _fragment_ipv4(packet: bytes, mtu: int, identification: int | None, force: bool) -> list[bytes]:
    """The fragments; none if the packet fits."""
    size, total = (packet[0] & 0xF) * 4, int.from_bytes(packet[2:4])
    if not 20 <= size <= total <= len(packet):
        raise WireError(f"fragment: a header of {size} bytes and a total length of {total} in {len(packet)} bytes")
    if total <= mtu:
        return []
    bits = int.from_bytes(packet[6:8])
    if bits & DF and not force:
        told = (
            f"fragment: {total} bytes are over the MTU of {mtu} and don't-fragment is set: clear that flag, or force it"
        )
        raise WireError(told)
    body = packet[size:total]
    first = packet[:size] if identification is None else patch(packet[:size], 4, _fits(identification, 16))
    later = _later_header(first)
    pieces = []
    for start, stop, offset in _cuts(len(body), mtu - len(first), mtu - len(later), bits & OFFSET_BITS):
        header = later if start else first
        flags = bits & ~(MF | OFFSET_BITS) | (MF if stop < len(body) else bits & MF)
        length = (len(header) + stop - start).to_bytes(2)
        header = header[:2] + length + header[4:6] + (flags | offset).to_bytes(2) + header[8:]
        pieces.append(sealed(header) + body[start:stop])
    return pieces


def _cuts(length: int, first: int, later: int, base: int) -> list[tuple[int, int, int]]:
    """(start, stop, offset) for each fragment of `length` bytes, of which the first has room for `first`.

    All but the last are cut at multiples of 8; offsets count on from `base` in units of 8 bytes.
    """
    cuts = []
    at, room = 0, first
    while length - at > room:
        if room < 8:
            raise WireError(f"fragment: the MTU leaves room for {max(room, 0)} bytes of data, 8 are needed at least")
        cuts.append((at, at + room // 8 * 8))
        at, room = at + room // 8 * 8, later
    cuts.append((at, length))
    if base + at // 8 > OFFSET_BITS:
        raise WireError(f"fragment: offset {(base + at // 8) * 8} is over {OFFSET_BITS * 8}")
    return [(start, stop, base + start // 8) for start, stop in cuts]


def _fits(identification: int, bits: int) -> int:
    if not 0 <= identification < 1 << bits:
        raise WireError(f"fragment: identification {identification} is not in 0..{(1 << bits) - 1}")
    return identification


def _later_header(header: bytes) -> bytes:
    """The header of all fragments but the first: only options that are to be copied, padded to whole words."""
    kept = b""
    at = 20
    while at < len(header) and header[at] != END_OF_OPTIONS:
        length = 1 if header[at] == NO_OPERATION else header[at + 1] if at + 1 < len(header) else 0
        if (length < 2 and header[at] != NO_OPERATION) or at + length > len(header):
            break  # where an option's end can't be told, nor can the next one's start
        if header[at] & COPIED:
            kept += header[at : at + length]
        at += length
    kept += bytes(-len(kept) & 3)
    return bytes((0x40 | 5 + len(kept) // 4,)) + header[1:20] + kept


def extension_chain(packet: bytes, at: int = 40, field: int = 6) -> Chain | None:
    """Walk an IPv6 packet's extension headers (RFC 8200 §4.1); None if one of them is not all there.

    The walk starts at `at`, announced by the byte at `field`, goes through hop-by-hop, routing and destination
    options, and ends behind the first fragment header.
    """
    split, split_field = at, field
    while (kind := packet[field]) in (HOP_BY_HOP, ROUTING, DESTINATION):
        end = at + 8 + packet[at + 1] * 8 if at + 8 <= len(packet) else at + 8
        if end > len(packet):
            return None
        field, at = at, end
        if kind != DESTINATION:
            split, split_field = at, field
    if kind != FRAGMENT:
        return Chain(split, split_field, 0, at, kind)
    return Chain(at, field, at, at + 8, packet[at]) if at + 8 <= len(packet) else None


def _fragment_ipv6(packet: bytes, mtu: int, identification: int | None, force: bool) -> list[bytes]:
    """The fragments; none if the packet fits."""
    total = 40 + int.from_bytes(packet[4:6])
    if not 40 < total <= len(packet):
        raise WireError(f"fragment: a payload length of {total - 40} in {len(packet)} bytes")
    if total <= mtu:
        return []
    packet = packet[:total]
    chain = extension_chain(packet)
    if chain is None:
        raise WireError("fragment: an extension header goes on past the packet's end")
    head = packet[: chain.split]
    if chain.fragment:
        upper, _, bits, known = FRAGMENT_HEADER.unpack_from(packet, chain.fragment)
        body = packet[chain.end :]
        identification = known if identification is None else identification
    else:
        upper, bits, body = packet[chain.split_field], 0, packet[chain.split :]
        head = head[: chain.split_field] + bytes((FRAGMENT,)) + head[chain.split_field + 1 :]
    if identification is None:
        raise WireError("fragment: IPv6 packets have no identification of their own: say identification=")
    number = _fits(identification, 32)
    room = mtu - len(head) - 8
    cuts = _cuts(len(body), room, room, bits >> 3)
    if not bits >> 3 and not force:
        _holds_chain(packet, chain, cuts[0][1])
    pieces = []
    for start, stop, offset in cuts:
        more = 1 if stop < len(body) else bits & 1
        length = (len(head) - 40 + 8 + stop - start).to_bytes(2)
        header = FRAGMENT_HEADER.pack(upper, 0, offset << 3 | more, number)
        pieces.append(head[:4] + length + head[6:] + header + body[start:stop])
    return pieces


def _holds_chain(packet: bytes, chain: Chain, room: int) -> None:
    """That a first fragment with `room` bytes of data holds all headers. Raises WireError."""
    start = chain.end if chain.fragment else chain.split
    rest = extension_chain(packet, chain.end, chain.fragment) if chain.fragment else chain
    if rest is None:  # it does not hold them now
        return
    size = {UDP: 8, ICMPV6: 8, TCP: 20}.get(rest.upper, 0)
    if rest.upper == TCP and rest.end + 12 < len(packet):
        size = max(packet[rest.end + 12] >> 4, 5) * 4
    needed = min(rest.end + size, len(packet)) - start
    if needed > room:
        raise WireError(
            f"fragment: the first one has room for {room} bytes, but the headers up to the upper layer's take "
            f"{needed} (RFC 8200 §4.5): take a larger MTU, or force it"
        )
