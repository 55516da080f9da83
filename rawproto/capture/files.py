"""Which capture format is this file? The one question that stands above the formats."""

from __future__ import annotations

import os

from rawproto.capture.base import CaptureReader
from rawproto.capture.pcap import PCAP_MAGICS, PcapReader
from rawproto.capture.pcapng import PCAPNG_MAGIC, PcapngReader
from rawproto.capture.stream import ByteSource, Readable
from rawproto.errors import CaptureError

__all__ = ["open_capture"]

KNOWN_OTHERS = {
    b"\x28\xb5\x2f\xfd": "a zstd file: unpack it with `zstd -d`",
    b"\x04\x22\x4d\x18": "an lz4 file: unpack it with `lz4 -d`",
    b"\xfd7zX": "an xz file: unpack it with `xz -d`",
    b"PK\x03\x04": "a zip archive: unpack it with `unzip`",
    b"snoo": "a Solaris snoop file: convert it with `editcap -F pcapng OLD NEW`",
}


def open_capture(target: str | os.PathLike[str] | Readable) -> CaptureReader:
    """A reader for a pcap or pcapng file, gzipped or not, told apart by its first four bytes.

    Takes a path or an open binary file (a pipe will do). Raises CaptureError for anything else, and OSError, as
    `open` does, for a path that can't be opened.
    """
    source = ByteSource(target)
    try:
        magic = source.magic
        if magic in PCAP_MAGICS:
            return PcapReader(source)
        if magic == PCAPNG_MAGIC:
            return PcapngReader(source)
        source.fail("the magic number of pcap or pcapng", *_describe(magic))
    except CaptureError:
        source.close()
        raise


def _describe(magic: bytes) -> tuple[str, str]:
    """What was found instead of a capture, and what to do about it."""
    if not magic:
        return "an empty file", "was the recorder stopped before it wrote anything?"
    if magic in KNOWN_OTHERS:
        found, _, advice = KNOWN_OTHERS[magic].partition(": ")
        return found, advice
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in magic):
        return f"text ({magic.decode()!r})", "give a capture as `tcpdump -w` or rawproto writes it"
    return f"0x{magic.hex()}", "give a capture as `tcpdump -w` or rawproto writes it"
