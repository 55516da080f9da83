"""Where the headers of a plain frame lie, found in one look instead of header by header.

Most frames are Ethernet, IPv4 without options or IPv6 without extension headers, and TCP or UDP. Whoever asks such
a frame for its TCP header gets that header decoded and no other. This decides nothing of its own: what it answers is
what `dissect` would find, and for every other frame, damaged ones too, it answers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import TypeAlias

from rawproto.wire.ethernet import Ethernet
from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

__all__ = ["NOWHERE", "Spots", "locate"]

Decode: TypeAlias = Callable[[bytes, int, int], Header]
Spots: TypeAlias = Mapping[type[Header], tuple[Decode, int]]
"""For each header what decodes it, and where it begins, in bytes from the start of the frame."""

_probe = Struct(">12xHBxHHHxB").unpack_from
"""EtherType, then of IPv4: version and IHL, total length, identification, flags and fragment offset, protocol. In an
IPv6 header the fourth is the payload length, and the fifth begins with the next header."""
NOWHERE: tuple[Spots, int] = {}, 0
_UNKNOWN: tuple[Spots, int] = {}, 1 << 30


def _stack(network: type[Header], transport: type[Header]) -> tuple[Spots, int]:
    """Where these headers are, and the least that the lengths must leave room for."""
    behind = Ethernet.SIZE + network.SIZE
    spots: dict[type[Header], tuple[Decode, int]] = {
        Ethernet: (Ethernet.decode, 0),
        network: (network.decode, Ethernet.SIZE),
        transport: (transport.decode, behind),
    }
    return spots, behind + transport.SIZE


_IPV4 = {6: _stack(IPv4, TCP), 17: _stack(IPv4, UDP)}
_IPV6 = {6: _stack(IPv6, TCP), 17: _stack(IPv6, UDP)}


def locate(data: bytes) -> tuple[Spots, int]:
    """The headers of the Ethernet frame `data`, and where the IP packet ends; no header if it is not a plain one."""
    try:
        ethertype, first, total, ident, fragment, protocol = _probe(data)
    except StructError:
        return NOWHERE
    if ethertype == 0x0800 and first == 0x45 and not fragment & 0x3FFF:
        spots, least = _IPV4.get(protocol, _UNKNOWN)
        end = 14 + total
    elif ethertype == 0x86DD and first >> 4 == 6:
        spots, least = _IPV6.get(fragment >> 8, _UNKNOWN)
        end = 54 + ident
    else:
        return NOWHERE
    return (spots, end) if least <= end <= len(data) else NOWHERE
