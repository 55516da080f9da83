"""What routers change in the headers of IP packets, and nothing else: the mark of congestion, the hop limit, addresses.

Every function takes a packet, or the beginning of one, and gives a changed copy. The checksum of an IPv4 header is
brought up to date by the difference alone (RFC 1624), so that one that was wrong stays wrong.
"""

from __future__ import annotations

from rawproto.wire.checksum import patch

__all__ = ["adjusted", "mark_congestion", "next_hop", "replaced"]

IPV4_CHECKSUM = 10
ECN = 0b11
"""RFC 3168 §5: the lower two bits of the type of service or traffic class. 00 is Not-ECT, 11 is CE."""


def adjusted(checksum: int, old: bytes, new: bytes) -> int:
    """The checksum after `old`, of whole 16-bit words, has become `new` (RFC 1624 §3, equation 3)."""
    total = checksum ^ 0xFFFF
    for at in range(0, len(old), 2):
        total += (int.from_bytes(old[at : at + 2]) ^ 0xFFFF) + int.from_bytes(new[at : at + 2])
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def replaced(packet: bytes, at: int, new: bytes, checksum_at: int) -> bytes:
    """`packet` with `new`, of whole 16-bit words, put at `at`, and the checksum at `checksum_at` made to fit."""
    old = packet[at : at + len(new)]
    checksum = int.from_bytes(packet[checksum_at : checksum_at + 2])
    return patch(packet[:at] + new + packet[at + len(new) :], checksum_at, adjusted(checksum, old, new))


def mark_congestion(frame: bytes, ip_at: int = 0) -> bytes | None:
    """`frame` with CE in the IP header that begins at `ip_at`; None if its sender has not said that it understands.

    RFC 3168 §5: a router may set CE in a packet with ECT(0) or ECT(1), never in one with Not-ECT.
    """
    version = frame[ip_at] >> 4 if len(frame) >= ip_at + 20 else 0
    if version == 4 and frame[ip_at + 1] & ECN:
        words = bytes((frame[ip_at], frame[ip_at + 1] | ECN))
        return replaced(frame, ip_at, words, ip_at + IPV4_CHECKSUM)
    if version == 6 and frame[ip_at + 1] >> 4 & ECN:
        return frame[: ip_at + 1] + bytes((frame[ip_at + 1] | ECN << 4,)) + frame[ip_at + 2 :]
    return None


def next_hop(packet: bytes) -> bytes | None:
    """`packet` with a time to live, or hop limit, that is one less; None if it has come to its end here.

    RFC 1812 §5.3.1, RFC 8200 §3. The packet must have a whole IP header.
    """
    if packet[0] >> 4 == 4:
        if packet[8] <= 1:
            return None
        return replaced(packet, 8, bytes((packet[8] - 1, packet[9])), IPV4_CHECKSUM)
    if packet[7] <= 1:
        return None
    return packet[:7] + bytes((packet[7] - 1,)) + packet[8:]
