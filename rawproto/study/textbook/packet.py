"""The one packet of all textbook protocols: so that any sender can be paired with any receiver.

    flags 8 | 0 8 | seq 16 | ack 16 | has 16 | checksum 32 | data

An acknowledgement says two things: `ack`, the number that is expected next, so that everything before it has arrived;
and `has`, one packet that has arrived for sure: the one just taken, or the last in order. Go-back-N reads the first,
stop-and-wait the second, selective repeat both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from rawproto.wire.checksum import internet_checksum

__all__ = ["CHECKSUMS", "HEADER_LENGTH", "MOST_BITS", "Packet", "decode", "encode", "show"]

FIXED = Struct(">BxHHHI")
HEADER_LENGTH = FIXED.size
MOST_BITS = 16
LAST = 0x01

CHECKSUMS: Mapping[str, Callable[[bytes], int]] = {
    "crc32": crc32,
    "internet": internet_checksum,
    "none": lambda _: 0,
}
"""Computed over the whole packet, its own field zero."""


class Packet(NamedTuple):
    """One packet; a sender sets `seq`, `data` and `last`, a receiver `ack` and `has`."""

    seq: int = 0
    data: bytes = b""
    last: bool = False
    """The stream ends here."""
    ack: int = 0
    has: int = 0


def encode(packet: Packet, modulus: int, checksum: str) -> bytes:
    """`packet` as a datagram, its numbers taken modulo `modulus`."""
    flags = LAST if packet.last else 0
    numbers = (packet.seq % modulus, packet.ack % modulus, packet.has % modulus)
    summed = CHECKSUMS[checksum](FIXED.pack(flags, *numbers, 0) + packet.data)
    return FIXED.pack(flags, *numbers, summed) + packet.data


def decode(datagram: bytes, checksum: str) -> Packet | None:
    """Read `datagram`; None if it is too short, or not what its checksum says."""
    if len(datagram) < HEADER_LENGTH:
        return None
    flags, seq, ack, has, summed = FIXED.unpack_from(datagram)
    zeroed = datagram[: HEADER_LENGTH - 4] + bytes(4) + datagram[HEADER_LENGTH:]
    if CHECKSUMS[checksum](zeroed) != summed:
        return None
    return Packet(seq, datagram[HEADER_LENGTH:], bool(flags & LAST), ack, has)


def show(datagram: bytes, acknowledgement: bool) -> str:
    """What `datagram` says, in a few words; its checksum is not looked at."""
    if len(datagram) < HEADER_LENGTH:
        return f"{len(datagram)} octets"
    flags, seq, ack, has, _ = FIXED.unpack_from(datagram)
    if acknowledgement:
        return f"ack {ack}, has {has}"
    return f"seq {seq}, " + ("the end" if flags & LAST else f"{len(datagram) - HEADER_LENGTH} octets")
