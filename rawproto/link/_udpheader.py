"""IP and UDP headers for a payload whose real ones the kernel kept to itself.

Written out by hand and not with `rawproto.wire`'s header classes, because a recording link does this for each of
its frames.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from rawproto.wire.checksum import internet_checksum, pseudo_header

__all__ = ["with_headers"]

_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_IPV6: Final = struct.Struct("!IHBB16s16s")
_UDP: Final = struct.Struct("!HHHH")
_TTL: Final = 64
_DONT_FRAGMENT: Final = 0x4000


def with_headers(payload: bytes, source: tuple[bytes, int], destination: tuple[bytes, int]) -> bytes:
    """Give the packet of `payload` from `source` to `destination`, each a packed address and a port.

    TTL or hop limit 64, traffic class and flow label 0; in IPv4 identification 0 and don't-fragment. Both
    checksums are right.
    """
    (source_ip, source_port), (destination_ip, destination_port) = source, destination
    length = _UDP.size + len(payload)
    pseudo = pseudo_header(source_ip, destination_ip, socket.IPPROTO_UDP, length)
    # RFC 768: a computed 0 is sent as 0xffff, for 0 means "none".
    checksum = internet_checksum(pseudo, _UDP.pack(source_port, destination_port, length, 0), payload) or 0xFFFF
    udp = _UDP.pack(source_port, destination_port, length, checksum)
    if len(source_ip) == 16:
        first_word = 6 << 28
        ip = _IPV6.pack(first_word, length, socket.IPPROTO_UDP, _TTL, source_ip, destination_ip)
    else:
        fields = (0x45, 0, 20 + length, 0, _DONT_FRAGMENT, _TTL, socket.IPPROTO_UDP)
        blank = _IPV4.pack(*fields, 0, source_ip, destination_ip)
        ip = _IPV4.pack(*fields, internet_checksum(blank), source_ip, destination_ip)
    return b"".join((ip, udp, payload))
