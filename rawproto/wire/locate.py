"""The headers of a plain frame, found and decoded in one look instead of header by header.

Most frames are Ethernet, IPv4 without options or IPv6 without extension headers, and TCP or UDP. To unpack both
headers at once costs little more than to unpack one. This decides nothing of its own: what it answers is what
`dissect` would find, and for every other frame, damaged ones too, it answers nothing.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class

from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

__all__ = ["locate"]

_new = object.__new__
_TCP, _UDP = "HHIIBBHHH0s", "HHHH"
_IPV4, _IPV6 = ">12xHBBHHHBBH4s4s0s", ">12xHIHBB16s16s"
_ipv4_tcp, _ipv4_udp = Struct(_IPV4 + _TCP).unpack_from, Struct(_IPV4 + _UDP).unpack_from
_ipv6_tcp, _ipv6_udp = Struct(_IPV6 + _TCP).unpack_from, Struct(_IPV6 + _UDP).unpack_from


def locate(data: bytes) -> dict[type[Header], Header]:
    """The IP and transport header of the Ethernet frame `data`, by class; empty if it is not a plain one."""
    try:
        if data[14] != 0x45:
            return _locate_ipv6(data, data[20]) if data[14] >> 4 == 6 else {}
        if data[23] == 6:
            values = _ipv4_tcp(data)
            end = 14 + values[3]
            if values[0] == 0x0800 and not values[5] & 0x3FFF and 54 <= end <= len(data):
                network = _new(IPv4)
                network._values = values[1:12]
                tcp = _new(TCP)
                words = values[16] >> 4
                tcp._values = values[12:] if words < 6 else (*values[12:21], data[54 : min(34 + words * 4, end)])
                return {IPv4: network, TCP: tcp}
        elif data[23] == 17:
            values = _ipv4_udp(data)
            if values[0] == 0x0800 and not values[5] & 0x3FFF and 42 <= 14 + values[3] <= len(data):
                network = _new(IPv4)
                network._values = values[1:12]
                udp = _new(UDP)
                udp._values = values[12:]
                return {IPv4: network, UDP: udp}
    except (IndexError, StructError):  # too short
        pass
    return {}


def _locate_ipv6(data: bytes, next_header: int) -> dict[type[Header], Header]:
    if next_header == 6:
        values = _ipv6_tcp(data)
        end, least = 54 + values[2], 74
    elif next_header == 17:
        values = _ipv6_udp(data)
        end, least = 54 + values[2], 62
    else:
        return {}
    if values[0] != 0x86DD or not least <= end <= len(data):
        return {}
    network = _new(IPv6)
    network._values = values[1:7]
    if next_header == 17:
        udp = _new(UDP)
        udp._values = values[7:]
        return {IPv6: network, UDP: udp}
    tcp = _new(TCP)
    words = values[11] >> 4
    tcp._values = values[7:] if words < 6 else (*values[7:16], data[74 : min(54 + words * 4, end)])
    return {IPv6: network, TCP: tcp}
