"""Segments to RDT datagrams and back: cut at the MSS on the way out, joined again on the way in.

docs/rdt.md §3 specifies the header. Here stands only what the hot path needs; `wire.rdt` has the same header as a
table, for people.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from zlib import crc32

from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.wire import rdt_format as rdt

__all__ = ["MAX_PACKET_NUMBER", "RdtCodec"]

MAX_PACKET_NUMBER = (1 << 48) - 1
LAST_SEQUENCE = (1 << 64) - (1 << 17)
"""Where the last datagram may begin, so that an acknowledgement of all of it, SYN and FIN included, fits its field."""
_UNJOINABLE = SYN | FIN | RST | int(rdt.Flags.EOR) | int(rdt.Flags.DGM)
_HEAD = struct.Struct(">BBHHHQQQI")
"""`rdt.FIXED` without the CRC, which is taken over it."""


class RdtCodec:
    """Stateless: RDT's numbers are wide enough to be carried as they are."""

    header_length = rdt.HEADER_LENGTH

    def options_length(self, segment: Segment) -> int:
        """Bytes that the options of `segment` take in its first datagram."""
        return len(_options(segment))

    def count(self, segment: Segment, mss: int) -> int:
        """How many datagrams `segment` takes when none may carry more than `mss` bytes of options and payload.

        Options ride in the first datagram and take their room from its payload.
        """
        room = mss - len(_options(segment))
        length = len(segment.payload)
        return 1 if length <= room else 1 - (room - length) // mss

    def encode(self, segment: Segment, mss: int) -> list[bytes]:
        """Give the datagrams of `segment`, their packet numbers counting up from the segment's."""
        options = _options(segment)
        payload = segment.payload
        room = mss - len(options)
        if len(payload) <= room:
            return [_datagram(segment, segment.flags, options, payload, 0, 0)]
        view = memoryview(payload)
        inner_flags = segment.flags & ~FIN
        datagrams = [_datagram(segment, inner_flags, options, view[:room], 0, 0)]
        last = (len(view) - room - 1) // mss * mss + room
        datagrams += _plain_datagrams(segment, inner_flags, view, room, last, mss)
        datagrams.append(_datagram(segment, segment.flags, b"", view[last:], last, 1 + (last - room) // mss))
        return datagrams

    def decode(self, datagrams: Iterable[bytes | memoryview], discard: Callable[[str, int], None]) -> list[Segment]:
        """Give the segments in `datagrams`, runs of contiguous ones joined.

        What is not a valid datagram is reported as `discard(reason, length)`; nothing raises. The reasons are those
        of docs/rdt.md §6.1.
        """
        segments: list[Segment] = []
        pieces: list[bytes | memoryview] = []
        unpack = rdt.FIXED.unpack_from
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
            intact = crc32(datagram[40:end], crc32(datagram[:36])) == crc
            if not intact or seq > LAST_SEQUENCE:
                discard("sequence" if intact else "checksum", size)
                continue
            number = plen_pn & MAX_PACKET_NUMBER
            payload = datagram[header:end]
            if words == 10 and run == (source, destination, flags & ~FIN, seq, number, ack, wnd):
                segment = segments[-1]
                segment.count += 1
                segment.flags = flags
                pieces.append(payload)
            else:
                segment = Segment(source, destination, flags, seq, ack, wnd, payload, number)
                problem = _take_options(segment, datagram[40:header])
                if problem:
                    discard(problem, size)
                    continue
                if run is not None:
                    _join(segments[-1], pieces)
                pieces = [payload]
                _append(segments, segment)
            seq += end - header
            run = () if flags & _UNJOINABLE or end == header else (
                source, destination, flags, seq, number + 1, ack, wnd
            )  # fmt: skip
        if run is not None:
            _join(segments[-1], pieces)
        return segments


def _take_options(segment: Segment, data: bytes | memoryview) -> str:
    """Put what the options say into `segment`; gives the reason if they make it invalid."""
    if not data:
        return ""
    options = rdt.decode_options(data)
    segment.mss = options.mss
    if options.sack:
        ack = segment.ack
        segment.sack = tuple((ack + start, ack + end) for start, end in options.sack)
    if options.seen:
        segment.seen = (options.seen[0], options.seen[1] * 1000)
    return options.error


def _append(segments: list[Segment], segment: Segment) -> None:
    """Put `segment` behind the others, or in place of the last one if it says all that this did."""
    if segment.flags == ACK and not segment.payload and segments and _supersedes(segment, segments[-1]):
        segment.packet_number = segments[-1].packet_number
        segment.count = segments[-1].count + 1
        segments[-1] = segment
    else:
        segments.append(segment)


def _supersedes(later: Segment, earlier: Segment) -> bool:
    """Whether `later`, which only acknowledges, says all that `earlier` did: then one of them is enough."""
    return (
        earlier.flags == ACK
        and not earlier.payload
        and earlier.packet_number + earlier.count == later.packet_number
        and (earlier.source_port, earlier.destination_port) == (later.source_port, later.destination_port)
        and earlier.seq == later.seq
        and earlier.ack <= later.ack
        and (earlier.seen is None or later.seen is not None)
    )


def _options(segment: Segment) -> bytes:
    if not (segment.sack or segment.seen or segment.mss is not None):
        return b""
    ack = segment.ack
    seen = segment.seen
    return rdt.encode_options(
        sack=tuple((start - ack, end - ack) for start, end in segment.sack),
        seen=None if seen is None else (seen[0], min(seen[1] // 1000, 0xFFFF_FFFF)),
        mss=segment.mss,
    )


def _datagram(
    segment: Segment, flags: int, options: bytes, payload: bytes | memoryview, offset: int, index: int
) -> bytes:
    """One datagram of `segment`: the `index`-th, its payload `offset` bytes into the segment's."""
    header = _HEAD.pack(
        rdt.VERSION,
        10 + len(options) // 4,
        flags,
        segment.source_port,
        segment.destination_port,
        len(payload) << 48 | (segment.packet_number + index),
        segment.seq + offset,
        segment.ack,
        segment.wnd,
    )
    crc = crc32(payload, crc32(options, crc32(header)))
    return b"".join((header, crc.to_bytes(4, "big"), options, payload))


def _plain_datagrams(segment: Segment, flags: int, view: memoryview, start: int, stop: int, mss: int) -> list[bytes]:
    """Full datagrams without options for `view[start:stop]`: the loop that bulk transfer spends its time in."""
    pack = _HEAD.pack
    head = (rdt.VERSION, 10, flags, segment.source_port, segment.destination_port)
    number = (mss << 48 | segment.packet_number) + 1
    seq, ack, wnd = segment.seq, segment.ack, segment.wnd
    datagrams = []
    for offset in range(start, stop, mss):
        header = pack(*head, number, seq + offset, ack, wnd)
        payload = view[offset : offset + mss]
        crc = crc32(payload, crc32(header))
        datagrams.append(b"".join((header, crc.to_bytes(4, "big"), payload)))
        number += 1
    return datagrams


def _join(segment: Segment, pieces: list[bytes | memoryview]) -> None:
    """Give `segment` its payload, as bytes of its own."""
    segment.payload = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
