"""The pcapng format (draft-ietf-opsawg-pcapng): blocks in sections, with interfaces, directions and comments.

The reader takes sections of both byte orders, enhanced, simple and old packet blocks, and passes over every block
and option it does not need (name resolution, statistics, secrets, custom ones). The writer makes one section with
nanosecond clocks and enhanced packet blocks.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rawproto.capture.base import MAX_SNAPLEN, CaptureReader, CaptureWriter, Record
from rawproto.capture.options import COMMENT, OptionError, comment_option, pack_option, padded, parse_options
from rawproto.capture.stream import ByteSink, ByteSource, Readable, Writable
from rawproto.errors import CaptureError
from rawproto.wire.frame import ChecksumStatus, Direction, Frame, LinkType

__all__ = ["PCAPNG_MAGIC", "PcapngReader", "PcapngWriter"]

PCAPNG_MAGIC = b"\n\r\r\n"
"""The type of a section header block: a palindrome, so that it reads the same in both byte orders (§4.1)."""

INTERFACE_BLOCK = 1
OLD_PACKET_BLOCK = 2
SIMPLE_PACKET_BLOCK = 3
ENHANCED_PACKET_BLOCK = 6

BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"\x4d\x3c\x2b\x1a": "little", b"\x1a\x2b\x3c\x4d": "big"}

SHB_USERAPPL = 4
IF_NAME = 2
IF_TSRESOL = 9
IF_TSOFFSET = 14
PACKET_FLAGS = 2
"""`epb_flags` in the enhanced block, `pack_flags` in the old one: the same word (§4.3.1)."""

FLAG_DIRECTION = 0b11
DIRECTIONS = (Direction.UNKNOWN, Direction.INBOUND, Direction.OUTBOUND, Direction.UNKNOWN)
"""By the two bits of the flags word; 3 has no meaning yet."""
FLAG_CHECKSUM_NOT_READY = 1 << 9
FLAG_CHECKSUM_VALID = 1 << 10

MAX_BLOCK = 16 << 20
"""The largest block that is read into memory (Wireshark's limit). Blocks that are passed over may be larger."""

DAMAGED = "the file is damaged here; what stands before is good"


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a section, and how its ticks become ns: ticks * multiplier // divisor + offset_ns."""

    name: str
    linktype: LinkType
    snaplen: int
    multiplier: int = 1_000
    divisor: int = 1
    offset_ns: int = 0


class PcapngReader(CaptureReader):
    """Streams a pcapng file from a path or an open binary file, gzipped or not.

    `comments` and `application` are those of the section being read; the first is known as soon as the reader is
    made. A simple packet block has no clock: its frame gets time 0. Raises CaptureError at once if the file does
    not begin with a section header.
    """

    def __init__(self, target: str | os.PathLike[str] | Readable | ByteSource) -> None:
        super().__init__(target if isinstance(target, ByteSource) else ByteSource(target))
        self._interfaces: list[Interface] = []
        try:
            magic = self._source.magic
            if magic != PCAPNG_MAGIC:
                self._source.fail("the magic number of pcapng (0x0a0d0d0a)", repr(magic), "give a pcapng file")
            self._start_section(self._source.take(8, "a pcapng section header block"))
        except CaptureError:
            self.close()
            raise

    def records(self) -> Iterator[Record]:
        """The frames with their comments. Raises CaptureError where the file is damaged."""
        source = self._source
        while head := source.take_or_end(8, "a pcapng block header"):
            if head[:4] == PCAPNG_MAGIC:
                self._start_section(head)
                continue
            kind, length = self._unpack_header(head)
            if kind == ENHANCED_PACKET_BLOCK:
                yield self._enhanced_packet(self._body(length, 20))
            elif kind == INTERFACE_BLOCK:
                self._interfaces.append(self._interface(self._body(length, 8)))
            elif kind == SIMPLE_PACKET_BLOCK:
                yield self._simple_packet(self._body(length, 4))
            elif kind == OLD_PACKET_BLOCK:
                yield self._old_packet(self._body(length, 20))
            else:
                self._check_length(length, 0)
                source.skip(length - 12, f"a block of type {kind} with {length} bytes")
                self._check_trailer(length)

    def _start_section(self, head: bytes) -> None:
        """Read the rest of a section header block, of which `head` is type and length (§4.1)."""
        source = self._source
        mark = source.take(4, "the byte-order magic of a pcapng section")
        if mark not in BYTE_ORDERS:
            source.fail("the byte-order magic 0x1a2b3c4d", "0x" + mark.hex(), DAMAGED, at=source.offset - 4)
        self._endian = BYTE_ORDERS[mark]
        order = self._order = "<" if self._endian == "little" else ">"
        self._unpack_header = struct.Struct(order + "II").unpack
        self._unpack_enhanced = struct.Struct(order + "IIIII").unpack_from
        self._interfaces = []
        body = self._body(self._unpack_header(head)[1], 16, taken=mark)
        major, minor = struct.unpack_from(order + "HH", body, 4)
        # The section's length, which follows, is not needed: a section ends where the next one starts.
        if major != 1:
            advice = "convert it with `editcap -F pcapng OLD NEW`"
            source.fail("pcapng version 1", f"version {major}.{minor}", advice, at=source.offset - len(body))
        options = self._options(body, 16)
        self.comments = _comments(options)
        self.application = next((_text(value) for code, value in options if code == SHB_USERAPPL), "")

    def _check_length(self, length: int, least: int) -> None:
        if length < 12 + least or length % 4:
            expected = f"a block length of at least {12 + least}, a multiple of 4"
            self._source.fail(expected, str(length), DAMAGED, at=self._source.offset - 4)

    def _check_trailer(self, length: int) -> None:
        trailer = self._source.take(4, "a block's length repeated at its end")
        again = int.from_bytes(trailer, self._endian)
        if again != length:
            expected = f"the block's length {length} repeated at its end"
            self._source.fail(expected, str(again), DAMAGED, at=self._source.offset - 4)

    def _body(self, length: int, least: int, taken: bytes = b"") -> bytes:
        """The body of a block of `length` bytes in all; `taken` is what was read of it already."""
        self._check_length(length, least)
        if length > MAX_BLOCK:
            self._source.fail(f"a block of at most {MAX_BLOCK} bytes", f"a length of {length}", DAMAGED)
        body = self._source.take(length - 12 - len(taken), f"a pcapng block of {length} bytes")
        self._check_trailer(length)
        return taken + body if taken else body

    def _options(self, body: bytes, offset: int) -> list[tuple[int, bytes]]:
        try:
            return list(parse_options(body, offset, self._order))
        except OptionError as error:
            at = self._source.offset - 4 - len(body) + error.offset
            self._source.fail("an option that fits its block", error.found, DAMAGED, at=at)

    def _interface(self, body: bytes) -> Interface:
        """An interface description block (§4.2)."""
        link, _, snaplen = struct.unpack_from(self._order + "HHI", body)
        options = dict(self._options(body, 8))
        multiplier, divisor = _resolution(options.get(IF_TSRESOL, b"\x06"))
        offset_s = int.from_bytes(options.get(IF_TSOFFSET, b""), self._endian, signed=True)
        name = _text(options.get(IF_NAME, b""))
        return Interface(name, LinkType(link), snaplen, multiplier, divisor, offset_s * 1_000_000_000)

    def _enhanced_packet(self, body: bytes) -> Record:
        """An enhanced packet block (§4.3)."""
        index, high, low, captured, original = self._unpack_enhanced(body)
        return self._packet(body, index, high << 32 | low, captured, original)

    def _old_packet(self, body: bytes) -> Record:
        """A packet block as it was before the enhanced one: 16 bits of interface, 16 of drops (appendix A)."""
        index, _, high, low, captured, original = struct.unpack_from(self._order + "HHIIII", body)
        return self._packet(body, index, high << 32 | low, captured, original)

    def _packet(self, body: bytes, index: int, ticks: int, captured: int, original: int) -> Record:
        interface = self._find_interface(index, body)
        options_at = 20 + captured + -captured % 4
        if options_at > len(body):
            at = self._source.offset - 4 - len(body) + 12
            found = f"a captured length of {captured}"
            self._source.fail(f"at most the {len(body) - 20} bytes that the block holds", found, DAMAGED, at=at)
        comments: tuple[str, ...] = ()
        direction, checksum = Direction.UNKNOWN, ChecksumStatus.UNKNOWN
        if options_at < len(body):
            options = self._options(body, options_at)
            direction, checksum = self._flags(options)
            comments = _comments(options)
        frame = Frame(
            body[20 : 20 + captured],
            ticks * interface.multiplier // interface.divisor + interface.offset_ns,
            interface.linktype,
            interface.name,
            direction,
            original if original != captured else None,
            None,
            checksum,
        )
        return Record(frame, comments)

    def _simple_packet(self, body: bytes) -> Record:
        """A simple packet block (§4.4): interface 0, no clock, cut at the interface's snapshot length."""
        interface = self._find_interface(0, body)
        (original,) = struct.unpack_from(self._order + "I", body)
        captured = min(original, interface.snaplen or original, len(body) - 4)
        cut_from = original if original > captured else None
        data = body[4 : 4 + captured]
        return Record(Frame(data, 0, interface.linktype, interface.name, original_length=cut_from))

    def _find_interface(self, index: int, body: bytes) -> Interface:
        if index >= len(self._interfaces):
            at = self._source.offset - 4 - len(body)
            expected = f"one of the {len(self._interfaces)} interfaces that the section has described so far"
            self._source.fail(expected, f"interface {index}", DAMAGED, at=at)
        return self._interfaces[index]

    def _flags(self, options: Sequence[tuple[int, bytes]]) -> tuple[Direction, ChecksumStatus]:
        """What the flags word says of direction and checksum (§4.3.1); a word of another size says nothing."""
        flags = 0
        for code, value in options:
            if code == PACKET_FLAGS and len(value) == 4:
                flags = int.from_bytes(value, self._endian)
        direction = DIRECTIONS[flags & FLAG_DIRECTION]
        if flags & FLAG_CHECKSUM_NOT_READY:
            return direction, ChecksumStatus.OFFLOADED
        return direction, ChecksumStatus.VERIFIED if flags & FLAG_CHECKSUM_VALID else ChecksumStatus.UNKNOWN


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _comments(options: Sequence[tuple[int, bytes]]) -> tuple[str, ...]:
    return tuple([_text(value) for code, value in options if code == COMMENT])


def _resolution(value: bytes) -> tuple[int, int]:
    """`if_tsresol` as (multiplier, divisor) from ticks to ns: 10^-n, or 2^-n with the top bit set (§4.2)."""
    exponent = value[0] if value else 6
    per_second: int = 1 << (exponent & 0x7F) if exponent & 0x80 else 10**exponent
    common = math.gcd(1_000_000_000, per_second)
    return 1_000_000_000 // common, per_second // common


class PcapngWriter(CaptureWriter):
    """Writes pcapng to a path (gzipped if it ends in `.gz`) or to an open binary file.

    `comment` and `application` go into the section header. An interface is described when its first frame comes;
    frames of one name but two link types get two of them. Of each frame at most `snaplen` bytes are kept.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | Writable,
        *,
        comment: str = "",
        application: str = "rawproto",
        snaplen: int = MAX_SNAPLEN,
    ) -> None:
        if not 1 <= snaplen <= MAX_SNAPLEN:
            raise CaptureError(f"snaplen {snaplen} is outside 1 to {MAX_SNAPLEN} bytes")
        options = comment_option(comment) if comment else b""
        if application:
            options += pack_option(SHB_USERAPPL, application.encode())
        super().__init__(ByteSink(target), snaplen)
        self._interfaces: dict[tuple[str, LinkType], int] = {}
        # A length of -1: the section goes to the end of the file, so the writer never has to come back.
        head = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
        self._sink.write(_block(int.from_bytes(PCAPNG_MAGIC, "little"), head, options))

    def write(self, frame: Frame, comments: Sequence[str] = ()) -> None:
        """Append `frame`, with comments for Wireshark to show. Raises CaptureError for a time outside 64 bits."""
        if not 0 <= frame.time_ns < 1 << 64:
            raise CaptureError(f"pcapng can't hold the time {frame.time_ns} ns: it goes from 0 to 2**64 - 1")
        options = b"".join(map(comment_option, comments))
        flags = _packet_flags(frame)
        if flags:
            options += pack_option(PACKET_FLAGS, struct.pack("<I", flags))
        data, length = self._kept(frame)
        index = self._interfaces.get((frame.interface, frame.linktype))
        if index is None:
            index = self._describe_interface(frame.interface, frame.linktype)
        high, low = divmod(frame.time_ns, 1 << 32)
        head = struct.pack("<IIIII", index, high, low, len(data), length)
        self._sink.write(_block(ENHANCED_PACKET_BLOCK, head + padded(data), options))

    def _describe_interface(self, name: str, linktype: LinkType) -> int:
        index = self._interfaces[name, linktype] = len(self._interfaces)
        options = pack_option(IF_NAME, name.encode()) if name else b""
        options += pack_option(IF_TSRESOL, b"\x09")
        self._sink.write(_block(INTERFACE_BLOCK, struct.pack("<HHI", linktype, 0, self.snaplen), options))
        return index


def _packet_flags(frame: Frame) -> int:
    flags = int(frame.direction)
    if frame.checksum is ChecksumStatus.OFFLOADED:
        flags |= FLAG_CHECKSUM_NOT_READY
    elif frame.checksum is ChecksumStatus.VERIFIED:
        flags |= FLAG_CHECKSUM_VALID
    return flags


def _block(kind: int, body: bytes, options: bytes) -> bytes:
    """A little-endian block; options, if there are any, are closed by `opt_endofopt`."""
    content = body + options + bytes(4) if options else body
    length = len(content) + 12
    return struct.pack("<II", kind, length) + content + struct.pack("<I", length)
