"""RDT's bytes without any machinery: the fixed part, the flags, the options.

The engine's codec works with these directly; `rdt.RDT` is the same format as a header with a table of fields.
Nothing here checks a CRC or a length field: that is the codec's, which has the whole datagram in hand.

    d[0:40]   FIXED: version, header length in words, flags, source port, destination port,
              payload length << 48 | packet number, sequence offset, acknowledgement, window, CRC-32
    d[40:h]   options (h = header length in bytes)
    d[h:]     payload
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum, IntFlag
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Any, NamedTuple
from zlib import crc32

from rawproto.errors import WireError

__all__ = [
    "ACK",
    "CWR",
    "DGM",
    "ECE",
    "EOR",
    "FIN",
    "FIXED",
    "HEADER_LENGTH",
    "IP_PROTOCOL",
    "MAX_OPTIONS_LENGTH",
    "MAX_SACK_RANGES",
    "NO_OPTIONS",
    "PSH",
    "RDT_UDP_PORT",
    "RST",
    "SYN",
    "VERSION",
    "Flags",
    "OptionKind",
    "Options",
    "datagram_crc",
    "decode_options",
    "encode_options",
]

VERSION = 1
FIXED = Struct(">BBHHHQQQII")
HEADER_LENGTH = 40
MAX_OPTIONS_LENGTH = 980
"""255 words of header less the fixed part."""
MAX_SACK_RANGES = 31
"""In one option: 2 + 8 * 31 = 250 bytes."""
IP_PROTOCOL = 253
"""For experimentation and testing (RFC 3692)."""
RDT_UDP_PORT = 25300


class Flags(IntFlag):
    """RDT's flag bits; TCP's own values (RFC 9293 §3.1) where TCP has them."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    """The sender has handed over all that it had: nothing is to be waited for."""
    ACK = 0x10
    ECE = 0x40
    CWR = 0x80
    EOR = 0x100
    """The payload's last byte ends a record."""
    DGM = 0x200
    """An unreliable datagram: outside the stream, never retransmitted."""


FIN, SYN, RST, PSH, ACK, ECE, CWR, EOR, DGM = (int(flag) for flag in Flags)


class OptionKind(IntEnum):
    """RDT's option types. With the top bit set, an unknown type rejects the datagram; without, it is skipped."""

    PAD = 0
    SACK = 1
    SEEN = 2
    MSS = 3
    COOKIE = 4
    DSACK = 5
    PROBE = 6
    PROBED = 7
    RECORD = 8


class Options(NamedTuple):
    """The decoded options. With an `error`, the rest holds what was read before it."""

    sack: tuple[tuple[int, int], ...] = ()
    """(start, end) in bytes relative to the acknowledgement, end exclusive, ascending and disjoint."""
    seen: tuple[int, int] | None = None
    """(largest packet number received, acknowledgement delay in microseconds)."""
    mss: int | None = None
    """The largest payload in bytes that the sender of the option takes in one datagram."""
    cookie: bytes = b""
    """Opaque bytes, to be given back."""
    dsack: tuple[int, int] | None = None
    """(start, length): a sequence number, and how many octets from there on came once more than needed."""
    probe: int = 0
    """The length in bytes that the datagram had, padding included, when it was sent; 0: it is no probe."""
    probed: int = 0
    """Such a length that arrived; 0: none."""
    record: int | None = None
    """The stream has records, of at most that many bytes each."""
    error: str = ""
    """Empty, or "option length", "sack order", "option rejected": then the datagram is to be dropped."""


NO_OPTIONS = Options()

PAD, SACK, SEEN, MSS, COOKIE, DSACK, PROBE, PROBED, RECORD = (int(kind) for kind in OptionKind)
REJECT = 0x80
SEEN_FORMAT = Struct(">BBHII")
SHORT_FORMAT = Struct(">BBH")
"""MSS, PROBE and PROBED."""
DSACK_FORMAT = Struct(">BBQI")
RECORD_FORMAT = Struct(">BBI")
LENGTH_FITS: tuple[Callable[[int], bool], ...] = (
    bool,  # PAD has no length
    frozenset(range(10, 251, 8)).__contains__,
    frozenset((12,)).__contains__,
    frozenset((4,)).__contains__,
    bool,  # COOKIE may have any
    frozenset((14,)).__contains__,
    frozenset((4,)).__contains__,
    frozenset((4,)).__contains__,
    frozenset((6,)).__contains__,
)
SACK_FORMATS = tuple(Struct(f">{2 * n}I") for n in range(MAX_SACK_RANGES + 1))


def datagram_crc(header: bytes | memoryview, rest: bytes | memoryview = b"") -> int:
    """The CRC-32 of a datagram: zlib's, over bytes 0..35, then all that follows the CRC field.

    `header` starts the datagram and has at least 36 bytes; what it has past byte 40 is counted, then `rest`.
    """
    return crc32(rest, crc32(header[HEADER_LENGTH:], crc32(header[:36])))


def encode_options(
    sack: Sequence[tuple[int, int]] = (),
    seen: tuple[int, int] | None = None,
    mss: int | None = None,
    cookie: bytes = b"",
    dsack: tuple[int, int] | None = None,
    probe: int = 0,
    probed: int = 0,
    record: int | None = None,
) -> bytes:
    """The options as bytes, padded to a multiple of 4; empty when there is none.

    `sack` holds at most 31 (start, end), relative to the acknowledgement; `seen` is (packet number, delay in
    microseconds); `mss`, `probe`, `probed` and `record` are in bytes; `cookie` has at most 253 bytes; `dsack` is
    (sequence number, length in octets). The order of the ranges is not checked. Raises WireError for what does not fit.
    """
    parts = b""
    try:
        if seen is not None:
            number = seen[0]
            parts = SEEN_FORMAT.pack(SEEN, 12, number >> 32, number & 0xFFFF_FFFF, seen[1])
        if sack:
            flat = [edge for ends in sack for edge in ends]
            parts += bytes((SACK, 2 + 8 * len(sack))) + SACK_FORMATS[len(sack)].pack(*flat)
        if mss is not None:
            parts += SHORT_FORMAT.pack(MSS, 4, mss)
        if cookie:
            parts += bytes((COOKIE, 2 + len(cookie))) + cookie
        if dsack is not None:
            parts += DSACK_FORMAT.pack(DSACK, 14, *dsack)
        if probe:
            parts += SHORT_FORMAT.pack(PROBE, 4, probe)
        if probed:
            parts += SHORT_FORMAT.pack(PROBED, 4, probed)
        if record is not None:
            parts += RECORD_FORMAT.pack(RECORD, 6, record)
    except (StructError, ValueError, IndexError):
        raise WireError(_complaint(Options(tuple(sack), seen, mss, cookie, dsack, probe, probed, record))) from None
    return parts + bytes(-len(parts) & 3)


def decode_options(data: bytes | memoryview) -> Options:
    """Read the bytes between the fixed part and the payload. Never raises.

    A known option that comes again replaces the first, but SACK ranges add up. Unknown options are skipped,
    unless their type has the top bit set: that gives the error "option rejected".
    """
    if not data:
        return NO_OPTIONS
    if data[0] == SEEN and len(data) == 12 and data[1] == 12:  # all that most acknowledgements carry
        _, _, high, low, delay = SEEN_FORMAT.unpack_from(data)
        return Options((), (high << 32 | low, delay))
    sack: tuple[tuple[int, int], ...] = ()
    seen: tuple[int, int] | None = None
    mss: int | None = None
    others: dict[str, Any] = {}  # what few datagrams have
    error = ""
    at, end = 0, len(data)
    while at < end:
        kind = data[at]
        if kind == PAD:
            at += 1
            continue
        length = data[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end or (kind <= RECORD and not LENGTH_FITS[kind](length)):
            error = "option length"
            break
        if kind == SEEN:
            _, _, high, low, delay = SEEN_FORMAT.unpack_from(data, at)
            seen = (high << 32 | low, delay)
        elif kind == SACK:
            flat = SACK_FORMATS[length >> 3].unpack_from(data, at + 2)
            sack += tuple(zip(flat[::2], flat[1::2]))  # noqa: B905 - as many of each, by the format
            if not _ascending(sack):
                error = "sack order"
                break
        elif kind == MSS:
            mss = data[at + 2] << 8 | data[at + 3]
        elif kind <= RECORD:
            name, read = RARE[kind]
            others[name] = read(data, at, length)
        elif kind & REJECT:
            error = "option rejected"
            break
        at += length
    if others:
        return Options(sack, seen, mss, error=error, **others)
    return Options(sack, seen, mss, b"", None, 0, 0, None, error)


RARE: dict[int, tuple[str, Callable[[bytes | memoryview, int, int], Any]]] = {
    COOKIE: ("cookie", lambda data, at, length: bytes(data[at + 2 : at + length])),
    DSACK: ("dsack", lambda data, at, _: DSACK_FORMAT.unpack_from(data, at)[2:]),
    PROBE: ("probe", lambda data, at, _: SHORT_FORMAT.unpack_from(data, at)[2]),
    PROBED: ("probed", lambda data, at, _: SHORT_FORMAT.unpack_from(data, at)[2]),
    RECORD: ("record", lambda data, at, _: RECORD_FORMAT.unpack_from(data, at)[2]),
}
"""Of the options that few datagrams have: the field of Options, and what reads it."""


def _ascending(ranges: tuple[tuple[int, int], ...]) -> bool:
    previous = 0
    for start, end in ranges:
        if not previous <= start < end:
            return False
        previous = end
    return True


def _complaint(options: Options) -> str:
    """Why they can't be encoded."""
    if len(options.sack) > MAX_SACK_RANGES:
        return f"RDT option SACK: {len(options.sack)} ranges, at most {MAX_SACK_RANGES} fit"
    if len(options.cookie) > 253:
        return f"RDT option COOKIE: {len(options.cookie)} bytes, at most 253 fit"
    for name, value, bits in (
        ("MSS", options.mss, 16),
        ("PROBE", options.probe, 16),
        ("PROBED", options.probed, 16),
        ("RECORD", options.record, 32),
    ):
        if value is not None and value >> bits:
            return f"RDT option {name}: {value} is not in 0..{2**bits - 1}"
    if options.seen is not None and (options.seen[0] >> 48 or options.seen[1] >> 32):
        return f"RDT option SEEN: {options.seen} is not (0..2**48-1, 0..2**32-1)"
    if options.dsack is not None and (options.dsack[0] >> 64 or options.dsack[1] >> 32):
        return f"RDT option DSACK: {options.dsack} is not (0..2**64-1, 0..2**32-1)"
    return f"RDT option SACK: {options.sack} has an edge outside 0..2**32-1"
