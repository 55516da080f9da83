"""Segments to RDT datagrams and back: cut at the MSS on the way out, joined again on the way in.

docs/rdt.md §3 specifies the header. Here stands only what the hot path needs; `wire.rdt` has the same header as a
table, for people.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from zlib import crc32

from rawproto.errors import WireError
from rawproto.transport.checksums import Checksum, make_checksum
from rawproto.transport.segment import ACK, DGM, ECE, EOR, FIN, PSH, RST, SYN, Segment
from rawproto.transport.sequence import WIDEST, SequenceSpace
from rawproto.wire import rdt_format as rdt

__all__ = ["MAX_PACKET_NUMBER", "RdtCodec"]

MAX_PACKET_NUMBER = (1 << 48) - 1
LAST_SEQUENCE = (1 << 64) - (1 << 17)
"""Where the last datagram may begin, so that an acknowledgement of all of it, SYN and FIN included, fits its field."""
_LAST_ONLY = FIN | PSH | EOR
"""What only the last datagram of a segment has."""
_INNER = 0xFFFF & ~_LAST_ONLY
_UNJOINABLE = _LAST_ONLY | SYN | RST | DGM
_HEAD = struct.Struct(">BBHHHQQQI")
"""`rdt.FIXED` without the CRC, which is taken over it."""


class RdtCodec:
    """Stateless: RDT's numbers are wide enough to be carried as they are.

    `checksum` is "crc32", or, on both ends, "internet" or "none"; raises ConfigError for another name. With fewer than
    64 `sequence_bits`, on both ends, sequence numbers are wrapped on the way out; what comes in has them as they came,
    and `SequenceSpace.place` tells what is meant.
    """

    header_length = rdt.HEADER_LENGTH

    def __init__(self, checksum: str = "crc32", sequence_bits: int = WIDEST) -> None:
        self._checksum = make_checksum(checksum)
        space = SequenceSpace(sequence_bits)
        self._narrow = space.narrow
        self._mask = space.mask
        self._last_sequence = space.mask if space.narrow else LAST_SEQUENCE

    def options_length(self, segment: Segment) -> int:
        """Bytes that the options of `segment` take in its first datagram."""
        return len(_options(segment, self._mask))

    def count(self, segment: Segment, mss: int, options_length: int | None = None) -> int:
        """How many datagrams `segment` takes when none may carry more than `mss` bytes of options and payload.

        Options ride in the first datagram and take their room from its payload; their length need not be found anew if
        it is given. An unreliable datagram is one, whatever its length.
        """
        room = mss - (self.options_length(segment) if options_length is None else options_length)
        length = len(segment.payload)
        return 1 if length <= room or segment.flags & DGM else 1 - (room - length) // mss

    def encode(self, segment: Segment, mss: int) -> list[bytes]:
        """Give the datagrams of `segment`, their packet numbers counting up from the segment's.

        A probe's padding goes behind the payload of the first, over `mss`. Raises WireError for what no datagram can
        hold: an option that does not fit, an unreliable datagram of more than 65,535 bytes.
        """
        mask = self._mask
        options = _options(segment, mask)
        payload = segment.payload
        room = mss - len(options)
        checksum = self._checksum
        if len(payload) <= room or segment.flags & DGM:
            if len(payload) > 0xFFFF:
                raise WireError(f"RDT: an unreliable datagram of {len(payload)} bytes, at most 65535 fit")
            datagram = _datagram(segment, segment.flags, options, payload, 0, 0, checksum, mask)
            return [datagram.ljust(segment.probe, b"\0") if segment.probe else datagram]
        view = memoryview(payload)
        inner_flags = segment.flags & _INNER
        first = _datagram(segment, inner_flags, options, view[:room], 0, 0, checksum, mask)
        datagrams = [first.ljust(segment.probe, b"\0") if segment.probe else first]
        last = (len(view) - room - 1) // mss * mss + room
        if not self._narrow:
            datagrams += _plain_datagrams(segment, inner_flags, view, range(room, last, mss), checksum)
        else:
            for index, offset in enumerate(range(room, last, mss), 1):
                piece = view[offset : offset + mss]
                datagrams.append(_datagram(segment, inner_flags, b"", piece, offset, index, checksum, mask))
        index = 1 + (last - room) // mss
        datagrams.append(_datagram(segment, segment.flags, b"", view[last:], last, index, checksum, mask))
        return datagrams

    def decode(
        self, datagrams: Iterable[bytes | memoryview], discard: Callable[[str, int], None], marked: bool = False
    ) -> list[Segment]:
        """Give the segments in `datagrams`, runs of contiguous ones joined.

        What is not a valid datagram is reported as `discard(reason, length)`; nothing raises. The reasons are those
        of docs/rdt.md §6.1. `marked` says that the network marked these datagrams, and is said of each segment.
        """
        segments: list[Segment] = []
        pieces: list[bytes | memoryview] = []
        unpack = rdt.FIXED.unpack_from
        checksum, last_sequence = self._checksum, self._last_sequence
        narrow, mask = self._narrow, self._mask
        run: tuple[int, ...] | None = None  # what the next datagram must have to be joined
        for datagram in datagrams:
            size = len(datagram)
            if size < 40:
                discard("too short", size)
                continue
            version, words, flags, source, destination, plen_pn, seq, ack, wnd, crc = unpack(datagram)
            if version != rdt.VERSION:
                discard("version", size)
                continue
            header = words * 4
            end = header + (plen_pn >> 48)
            if words < 10 or end > size:
                discard("length", size)
                continue
            payload = datagram[40:end]  # with the options before it, for the moment
            start = datagram[:36]
            intact = crc32(payload, crc32(start)) == crc if checksum is None else checksum.fits(crc, start, payload)
            if not intact or seq > last_sequence:
                discard("sequence" if intact else "checksum", size)
                continue
            number = plen_pn & MAX_PACKET_NUMBER
            if words == 10 and run == (source, destination, flags & _INNER, seq, number, ack, wnd):
                segment = segments[-1]
                segment.count += 1
                segment.flags = flags
                pieces.append(payload)
            else:
                payload = payload[header - 40 :]
                segment = Segment(source, destination, flags, seq, ack, wnd, payload, number)
                segment.marked = marked
                problem = _take_options(segment, datagram[40:header], size)
                if problem:
                    discard(problem, size)
                    continue
                if run is not None:
                    _join(segments[-1], pieces)
                pieces = [payload]
                _append(segments, segment)
            seq += end - header
            if narrow:
                seq &= mask
            run = () if flags & _UNJOINABLE or end == header or segment.probe else (
                source, destination, flags, seq, number + 1, ack, wnd
            )  # fmt: skip
        if run is not None:
            _join(segments[-1], pieces)
        return segments


def _take_options(segment: Segment, data: bytes | memoryview, size: int) -> str:
    """Put what the options say into `segment`; gives the reason if they make it invalid.

    `size` is that of the whole datagram. Options that the flags give no meaning are left out (docs/rdt.md §3.5).
    """
    if not data:
        return ""
    sack, seen, mss, cookie, dsack, probe, probed, record, error = rdt.decode_options(data)
    if segment.flags & ACK:
        if seen:
            segment.seen = (seen[0], seen[1] * 1000)
        if sack:
            ack = segment.ack
            segment.sack = tuple((ack + start, ack + end) for start, end in sack)
        if dsack and dsack[1]:
            segment.dsack = (dsack[0], dsack[0] + dsack[1])
        segment.probed = probed
        segment.cookie = cookie
    if segment.flags & SYN:
        segment.mss = mss
        segment.record = record
    if probe <= size:  # else a carrier cut it: nothing is known of that size
        segment.probe = probe
    return error


def _append(segments: list[Segment], segment: Segment) -> None:
    """Put `segment` behind the others, or in place of the last one if it says all that this did."""
    if segment.flags & ~ECE == ACK and not segment.payload and segments and _supersedes(segment, segments[-1]):
        segment.packet_number = segments[-1].packet_number
        segment.count = segments[-1].count + 1
        segments[-1] = segment
    else:
        segments.append(segment)


def _supersedes(later: Segment, earlier: Segment) -> bool:
    """Whether `later`, which only acknowledges, says all that `earlier` did: then one of them is enough."""
    return (
        earlier.flags == later.flags
        and not earlier.payload
        and earlier.packet_number + earlier.count == later.packet_number
        and (earlier.source_port, earlier.destination_port) == (later.source_port, later.destination_port)
        and earlier.seq == later.seq
        and earlier.ack <= later.ack
        and (earlier.seen is None or later.seen is not None)
        and earlier.dsack is None
        and not (earlier.probed or earlier.cookie or earlier.probe or later.probe)
    )


def _options(segment: Segment, mask: int) -> bytes:
    if not (
        segment.seen
        or segment.sack
        or segment.mss is not None
        or segment.dsack
        or segment.cookie
        or segment.probe
        or segment.probed
        or segment.record is not None
    ):
        return b""
    ack = segment.ack
    seen = segment.seen
    dsack = segment.dsack
    return rdt.encode_options(
        segment.sack and tuple((start - ack, end - ack) for start, end in segment.sack),
        None if seen is None else (seen[0], min(seen[1] // 1000, 0xFFFF_FFFF)),
        segment.mss,
        segment.cookie,
        None if dsack is None else (dsack[0] & mask, dsack[1] - dsack[0]),
        segment.probe,
        segment.probed,
        segment.record,
    )


def _datagram(
    segment: Segment,
    flags: int,
    options: bytes,
    payload: bytes | memoryview,
    offset: int,
    index: int,
    checksum: Checksum | None,
    mask: int,
) -> bytes:
    """One datagram of `segment`: the `index`-th, its payload `offset` bytes into the segment's."""
    header = _HEAD.pack(
        rdt.VERSION,
        10 + len(options) // 4,
        flags,
        segment.source_port,
        segment.destination_port,
        len(payload) << 48 | (segment.packet_number + index),
        segment.seq + offset & mask,
        segment.ack & mask,
        segment.wnd,
    )
    crc = (
        crc32(payload, crc32(options, crc32(header)))
        if checksum is None
        else checksum.compute(header, options, payload)
    )
    return b"".join((header, crc.to_bytes(4, "big"), options, payload))


def _plain_datagrams(
    segment: Segment, flags: int, view: memoryview, offsets: range, checksum: Checksum | None
) -> list[bytes]:
    """Full datagrams without options for `view`, one from each offset: where bulk transfer spends its time."""
    pack = _HEAD.pack
    head = (rdt.VERSION, 10, flags, segment.source_port, segment.destination_port)
    mss = offsets.step
    number = (mss << 48 | segment.packet_number) + 1
    seq, ack, wnd = segment.seq, segment.ack, segment.wnd
    datagrams = []
    for offset in offsets:
        header = pack(*head, number, seq + offset, ack, wnd)
        payload = view[offset : offset + mss]
        crc = crc32(payload, crc32(header)) if checksum is None else checksum.compute(header, payload)
        datagrams.append(b"".join((header, crc.to_bytes(4, "big"), payload)))
        number += 1
    return datagrams


def _join(segment: Segment, pieces: list[bytes | memoryview]) -> None:
    """Give `segment` its payload, as bytes of its own."""
    segment.payload = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
