"""Recorded frames: pcap and pcapng with integer nanoseconds, streamed, and the replay of a recording.

    with open_capture("in.pcapng") as reader, PcapngWriter("out.pcapng", comment=reader.comment) as writer:
        for frame in reader:
            writer.write(frame)

May import `wire` and `errors`; never `transport` or `link`, which are its siblings.
"""

from rawproto.capture.base import CaptureReader, CaptureWriter, Record
from rawproto.capture.files import open_capture
from rawproto.capture.pcap import PcapReader, PcapWriter
from rawproto.capture.pcapng import PcapngReader, PcapngWriter

__all__ = [
    "CaptureReader",
    "CaptureWriter",
    "PcapReader",
    "PcapWriter",
    "PcapngReader",
    "PcapngWriter",
    "Record",
    "open_capture",
]
