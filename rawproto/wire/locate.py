"""The headers of a plain frame, found and decoded in one look instead of header by header.

Most frames are Ethernet, IPv4 without options or IPv6 without extension headers, and TCP or UDP. To unpack both
headers at once costs less than to be asked for them one by one. This decides nothing of its own: what it answers is
what `dissect` would find, and for every other frame, damaged ones too, it answers nothing.
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
# As their tables have them (see `codec`), each with the empty tail that most have.
_ipv4 = Struct(">BBHHHBBH4s4s0s").unpack_from
_ipv6 = Struct(">IHBB16s16s").unpack_from
_tcp = Struct(">HHIIBBHHH0s").unpack_from
_udp = Struct(">HHHH").unpack_from


def locate(data: bytes) -> dict[type[Header], Header]:
    """The IP and transport header of the Ethernet frame `data`, by class; empty if it is not a plain one."""
    try:
        if data[14] == 0x45:
            values = _ipv4(data, 14)
            end = 14 + values[2]
            if values[4] & 0x3FFF or end > len(data) or data[12:14] != b"\x08\x00":
                return {}
            network: Header = _new(IPv4)
            protocol, at = values[6], 34
        elif data[14] >> 4 == 6:
            values = _ipv6(data, 14)
            end = 54 + values[1]
            if end > len(data) or data[12:14] != b"\x86\xdd":
                return {}
            network = _new(IPv6)
            protocol, at = values[2], 54
        else:
            return {}
        network._values = values
        if protocol == 6 and at + 20 <= end:
            tcp = _new(TCP)
            tcp._values = values = _tcp(data, at)
            if values[4] > 0x5F:
                tcp._values = (*values[:-1], data[at + 20 : min(at + (values[4] >> 4) * 4, end)])
            return {network.__class__: network, TCP: tcp}
        if protocol == 17 and at + 8 <= end:
            udp = _new(UDP)
            udp._values = _udp(data, at)
            return {network.__class__: network, UDP: udp}
    except (IndexError, StructError):  # too short
        pass
    return {}
