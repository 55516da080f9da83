"""The pcap format (draft-ietf-opsawg-pcap): one link type, a timestamp and two lengths a frame, nothing else.

Read in both byte orders, with microseconds or nanoseconds, old versions and the modified format of old Linux
included; written little-endian with nanoseconds. Interface, direction and comments have no place in it: use pcapng
where they matter.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from rawproto.capture.base import MAX_SNAPLEN, WIDEST_SNAPLEN, CaptureReader, CaptureWriter, Record
from rawproto.capture.stream import ByteSink, ByteSource, Readable, Writable
from rawproto.errors import CaptureError
from rawproto.wire.frame import Frame, LinkType

__all__ = ["PCAP_MAGICS", "PcapReader", "PcapWriter"]

MICROSECOND_MAGIC = 0xA1B2C3D4
NANOSECOND_MAGIC = 0xA1B23C4D
MODIFIED_MAGIC = 0xA1B2CD34

PCAP_MAGICS: dict[bytes, tuple[str, int, int]] = {
    struct.pack(order + "I", magic): (order, tick_ns, more)
    for order in "<>"
    for magic, tick_ns, more in ((MICROSECOND_MAGIC, 1_000, 0), (NANOSECOND_MAGIC, 1, 0), (MODIFIED_MAGIC, 1_000, 8))
}
"""The first four bytes of a file: its byte order as `struct` has it, the ns in a tick of its clock (§4.1), and the
bytes that follow the 16 of each record's header: the modified format's interface, protocol and packet type."""

FILE_HEADER = "IHHIIII"
RECORD_HEADER = "IIII"
LINKTYPE_MASK = 0xFFFF
"""The link type's part of its field; above it stands the length of the frame check sequence (§4)."""


class PcapReader(CaptureReader):
    """Streams a pcap file from a path or an open binary file, gzipped or not.

    A frame check sequence, where the file says that there is one, stays at the end of the frame's bytes.
    Raises CaptureError at once if the file header is not pcap's.
    """

    linktype: LinkType
    snaplen: int
    """The most bytes of each frame that the recorder kept, as the file says it; 0 for no limit."""

    def __init__(self, target: str | os.PathLike[str] | Readable | ByteSource) -> None:
        super().__init__(target if isinstance(target, ByteSource) else ByteSource(target))
        try:
            self._read_file_header()
        except CaptureError:
            self.close()
            raise

    def _read_file_header(self) -> None:
        source = self._source
        magic = source.magic
        if magic not in PCAP_MAGICS:
            source.fail("a magic number of pcap (0xa1b2c3d4 or its like)", repr(magic), "give a pcap file")
        self._order, self._tick_ns, self._more = PCAP_MAGICS[magic]
        head = source.take(24, "a pcap file header")
        _, major, minor, _, _, self.snaplen, link = struct.unpack(self._order + FILE_HEADER, head)
        if major != 2:
            advice = "convert it with `tcpdump -r OLD -w NEW`"
            source.fail("pcap version 2", f"version {major}.{minor}", advice, at=4)
        self._minor = minor
        self.linktype = LinkType(link & LINKTYPE_MASK)

    def records(self) -> Iterator[Record]:
        """The frames, each with no comments. Raises CaptureError where the file is damaged."""
        source, tick_ns, linktype = self._source, self._tick_ns, self.linktype
        unpack = struct.Struct(self._order + RECORD_HEADER).unpack
        limit = min(max(self.snaplen, MAX_SNAPLEN), WIDEST_SNAPLEN)
        size, minor = 16 + self._more, self._minor
        while head := source.take_or_end(size, f"a pcap record header of {size} bytes"):
            seconds, ticks, captured, original = unpack(head[:16])
            # Before version 2.3 the two lengths stood the other way round; of 2.3 there are files of both kinds.
            if minor < 4 and (minor < 3 or captured > original):
                captured, original = original, captured
            if captured > limit:
                self._refuse_length(captured, limit)
            data = source.take(captured, f"a frame of {captured} bytes")
            time_ns = seconds * 1_000_000_000 + ticks * tick_ns
            cut_from = original if original != captured else None
            yield Record(Frame(data, time_ns, linktype, original_length=cut_from))

    def _refuse_length(self, captured: int, limit: int) -> None:
        self._source.fail(
            f"a frame of at most {limit} bytes",
            f"a length of {captured}",
            "the file is damaged here; what stands before is good",
            at=self._source.offset - 8 - self._more,
        )


class PcapWriter(CaptureWriter):
    """Writes nanosecond pcap to a path (gzipped if it ends in `.gz`) or to an open binary file.

    Of each frame at most `snaplen` bytes are kept, with its whole length beside them.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | Writable,
        linktype: LinkType = LinkType.ETHERNET,
        *,
        snaplen: int = MAX_SNAPLEN,
    ) -> None:
        if not 1 <= snaplen <= 0xFFFF_FFFF:
            raise CaptureError(f"snaplen {snaplen} is outside 1 to 4294967295 bytes")
        super().__init__(ByteSink(target), snaplen)
        self.linktype = linktype
        self._pack_record = struct.Struct("<" + RECORD_HEADER).pack
        self._sink.write(struct.pack("<" + FILE_HEADER, NANOSECOND_MAGIC, 2, 4, 0, 0, snaplen, linktype))

    def write(self, frame: Frame) -> None:
        """Append `frame`. Raises CaptureError for another link type or a time outside 1970 to 2106."""
        if frame.linktype != self.linktype:
            raise CaptureError(
                f"a pcap file holds one link type, here {self.linktype.name}, and the frame is "
                f"{frame.linktype.name}: write pcapng, or one file for each link type"
            )
        seconds, nanoseconds = divmod(frame.time_ns, 1_000_000_000)
        if not 0 <= seconds <= 0xFFFF_FFFF:
            raise CaptureError(f"pcap can't hold the time {frame.time_ns} ns: its seconds go from 0 to 4294967295")
        data, length = self._kept(frame)
        self._sink.write(self._pack_record(seconds, nanoseconds, len(data), length) + data)
