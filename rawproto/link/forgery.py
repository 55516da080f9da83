"""Datagrams that nobody sent: what an attacker beside the path puts into a connection.

The attacker knows both addresses and both ports. A *blind* one knows nothing else, and guesses that sequence numbers
begin at 0; one who is not blind knows about where the stream is, as an earlier look or many tries would tell, but not
the exact number that is next (RFC 5961 §1.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rawproto.wire.checksum import internet_checksum
from rawproto.wire.frame import LinkType
from rawproto.wire.rdt_format import ACK, FIN, FIXED, HEADER_LENGTH, IP_PROTOCOL, PSH, RST, SYN, VERSION

__all__ = ["FORGED_DATA", "FORGERIES", "NEAR", "Forgery", "Seal", "forge", "rdt_offset"]

Seal = Callable[[bytes, bytes], int]
"""Computes the checksum field: of the header without that field, and of what follows the header."""

FORGED_DATA = b"-- forged bytes!"
"""16 bytes that no application sends."""

_IPV4, _IPV6, _ETHERNET = 20, 40, 14
_OUTER = {LinkType.ETHERNET: _ETHERNET, LinkType.RAW: 0}
_PACKET_NUMBER = 1 << 20
"""What a forger says: larger than any that has come, so that it is news."""


NEAR = 1000
"""How far from the exact number who is not blind guesses, at least: in the window, if that is not tiny."""


class Forgery(NamedTuple):
    """What is forged. Its number counts from 0 if the forger is blind, else from `NEAR` behind what was sent last."""

    text: str
    flags: int
    blind: bool
    payload: bytes = b""
    from_nobody: bool = False
    """From an address that has never been heard of, and that does not answer."""


FORGERIES: dict[str, Forgery] = {
    "blind-data": Forgery("data, by one who guesses", ACK | PSH, True, FORGED_DATA),
    "blind-reset": Forgery("a reset, by one who guesses", RST, True),
    "near-reset": Forgery("a reset in the window, but not exact", RST, False),
    "near-syn": Forgery("a SYN inside a connection", SYN, False),
    "syn-from-nobody": Forgery("a SYN with a forged source", SYN, True, b"", True),
}


def rdt_offset(frame: bytes, linktype: LinkType) -> int:
    """Where the RDT datagram in `frame` begins; -1 if there is no whole header behind that of IP.

    IPv4 and IPv6 without options; where nothing is below, all is a datagram, whatever it holds.
    """
    if linktype is LinkType.USER0:
        return 0
    outer = _OUTER.get(linktype, -1)
    if outer < 0 or len(frame) < outer + _IPV4 + HEADER_LENGTH:
        return -1
    if outer and frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
        return -1
    if frame[outer] == 0x45 and frame[outer + 9] == IP_PROTOCOL:
        return outer + _IPV4
    long = frame[outer] >> 4 == 6 and frame[outer + 6] == IP_PROTOCOL
    return outer + _IPV6 if long and len(frame) >= outer + _IPV6 + HEADER_LENGTH else -1


def forge(what: str, model: bytes, at: int, offset: int, seal: Seal, bits: int = 64) -> bytes:
    """A frame like `model`, whose RDT datagram begins at `at`, that holds the forgery `what`.

    `offset` is added to the sequence number that the forger takes for the next one.
    """
    forgery = FORGERIES[what]
    _, _, flags, source, destination, numbers, seq, _, _, _ = FIXED.unpack_from(model, at)
    following = seq + (numbers >> 48) + bool(flags & SYN) + bool(flags & FIN)
    number = offset if forgery.blind else following + NEAR + offset
    header = FIXED.pack(
        VERSION,
        HEADER_LENGTH // 4,
        forgery.flags,
        source,
        destination,
        len(forgery.payload) << 48 | _PACKET_NUMBER,
        number & (1 << bits) - 1,
        1 if forgery.blind and forgery.flags & ACK else 0,
        0xFFFF if forgery.flags & ACK else 0,
        0,
    )[:-4]
    datagram = header + seal(header, forgery.payload).to_bytes(4, "big") + forgery.payload
    return _outer(model[:at], len(datagram), forgery.from_nobody) + datagram


def _outer(outer: bytes, length: int, from_nobody: bool) -> bytes:
    """The headers before the datagram, made to fit its length, and another source if it comes from nobody."""
    for start in (0, _ETHERNET):
        if outer[start : start + 1] == b"\x45" and len(outer) == start + _IPV4:
            ip = bytearray(outer[start:])
            ip[2:4] = (_IPV4 + length).to_bytes(2, "big")
            if from_nobody:
                ip[15] ^= 0x80
            ip[10:12] = b"\0\0"
            ip[10:12] = internet_checksum(bytes(ip)).to_bytes(2, "big")
            return outer[:start] + bytes(ip)
        if outer[start : start + 1] and outer[start] >> 4 == 6 and len(outer) == start + _IPV6:
            ip = bytearray(outer[start:])
            ip[4:6] = length.to_bytes(2, "big")
            if from_nobody:
                ip[23] ^= 0x80
            return outer[:start] + bytes(ip)
    return outer
