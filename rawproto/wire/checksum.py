"""The Internet checksum (RFC 1071) and the pseudo headers it covers (RFC 9293 §3.1, RFC 8200 §8.1).

The one's complement sum of 16-bit words equals the whole buffer, read as one big number, modulo 65535; that
is one division in C instead of a loop. The remainder has a single zero where one's complement has two
(0x0000, only for a buffer of zeros, and 0xffff), so that case is told apart.
"""

from __future__ import annotations

from struct import Struct

from rawproto.errors import WireError

__all__ = ["internet_checksum", "patch", "pseudo_header", "sum_on", "verify"]

PSEUDO_IPV4 = Struct(">4s4sBBH")
PSEUDO_IPV6 = Struct(">16s16sII")


def internet_checksum(*parts: bytes | bytearray | memoryview) -> int:
    """The checksum, 0..0xffff, of `parts` as one string of bytes; an odd end is padded with a zero (RFC 1071 §1).

    Parts may have odd lengths: they are joined before the words are formed. The checksum field itself must
    be zero in them. A buffer of zeros gives 0xffff; UDP's rule that a computed 0 is sent as 0xffff
    (RFC 768) is the caller's.
    """
    data = parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else b"".join(parts)
    number = int.from_bytes(data)
    if len(data) & 1:
        number <<= 8
    total = number % 0xFFFF
    return total ^ 0xFFFF if total or not number else 0


def sum_on(initial: int, data: bytes) -> int:
    """The checksum, 0..0xffff, of `data` behind something that sums to `initial`: a pseudo header.

    Any number that is congruent to that sum modulo 65535 will do, its 16-bit words read as one big number too; 0
    stands for nothing before `data`.
    """
    number = int.from_bytes(data)
    if len(data) & 1:
        number <<= 8
    number += initial
    total = number % 0xFFFF
    return total ^ 0xFFFF if total or not number else 0


def verify(*parts: bytes | bytearray | memoryview) -> bool:
    """Whether `parts`, with their checksum field in place, sum to 0xffff (RFC 1071 §1)."""
    return internet_checksum(*parts) == 0


def pseudo_header(src: bytes, dst: bytes, protocol: int, length: int) -> bytes:
    """What TCP, UDP and ICMPv6 sum in front of themselves: 12 bytes for IPv4, 40 for IPv6.

    `src` and `dst` are packed addresses, both of 4 or both of 16 bytes; `length` is the upper layer's, header
    and payload, in
    bytes. Raises WireError for other address sizes and for a length that the field can't hold.
    """
    if len(src) != len(dst) or len(src) not in (4, 16):
        raise WireError(f"pseudo header: addresses have {len(src)} and {len(dst)} bytes, not 4 and 4 or 16 and 16")
    limit = 0xFFFF if len(src) == 4 else 0xFFFF_FFFF
    if not 0 <= length <= limit:
        raise WireError(f"pseudo header length: {length} is not in 0..{limit}")
    if len(src) == 4:
        return PSEUDO_IPV4.pack(src, dst, 0, protocol, length)
    return PSEUDO_IPV6.pack(src, dst, length, protocol)


def patch(header: bytes, offset: int, checksum: int) -> bytes:
    """`header` with the 16-bit `checksum` put at `offset`."""
    return header[:offset] + checksum.to_bytes(2) + header[offset + 2 :]
