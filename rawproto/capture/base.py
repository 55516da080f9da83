"""What every capture reader and writer is, whatever the format below.

A reader streams: it holds one record at a time, so a capture may be larger than memory. Iterating it gives frames;
`records()` gives each frame with the comments written beside it. Time is an int of nanoseconds since 1970.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

from rawproto.capture.stream import ByteSink, ByteSource
from rawproto.wire.frame import Frame, LinkType

__all__ = ["CaptureReader", "CaptureWriter", "Record"]

ETHERTYPE_VLAN = 0x8100

MAX_SNAPLEN = 262_144
"""The snapshot length that tcpdump and Wireshark write when nobody asked for one, and the most a frame may carry
when a file names none: anything beyond is a damaged length field."""

WIDEST_SNAPLEN = 128 << 20
"""The most that is believed of a file that names its own (libpcap's limit, made for USB and D-Bus captures)."""


class Record(NamedTuple):
    """A frame and the comments that the file keeps beside it."""

    frame: Frame
    comments: tuple[str, ...] = ()


class CaptureReader(ABC):
    """Streams one capture. Usable in a `with` statement, which closes it.

    Raises CaptureError where the file stops making sense; every frame before that place has been given by then.
    An iteration that was left can be taken up again and goes on behind the last frame.
    """

    comments: tuple[str, ...] = ()
    """The comments on the section being read; none where the format has no place for them."""
    application: str = ""
    """The program that wrote the section being read, if it said so."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source

    @property
    def comment(self) -> str:
        """The first of `comments`, or an empty string. A replay keeps its configuration there."""
        return self.comments[0] if self.comments else ""

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """The frames with their comments, in the order of the file. Raises CaptureError."""

    def __iter__(self) -> Iterator[Frame]:
        for record in self.records():
            yield record.frame

    def close(self) -> None:
        """Close the file if the reader opened it. May be called twice."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CaptureWriter(ABC):
    """Writes one capture. Usable in a `with` statement, which closes it.

    A VLAN tag that stands beside a frame (`vlan_tci`) goes back into its bytes, where readers look for it.
    The bytes depend on the frames and the arguments alone: no clock, no host name, no version of anything.
    """

    def __init__(self, sink: ByteSink, snaplen: int) -> None:
        self._sink = sink
        self.snaplen = snaplen

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Append `frame`. Raises CaptureError for what the format can't hold."""

    def _kept(self, frame: Frame) -> tuple[bytes, int]:
        """The bytes of `frame` to store, and its length on the wire: the VLAN tag put back, cut at `snaplen`."""
        data, length = frame.data, frame.wire_length
        if frame.vlan_tci is not None and frame.linktype is LinkType.ETHERNET:
            data = b"".join((data[:12], struct.pack("!HH", ETHERTYPE_VLAN, frame.vlan_tci), data[12:]))
            length += 4
        return data[: self.snaplen], length

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._sink.flush()

    def close(self) -> None:
        """Flush, and close the file if the writer opened it. May be called twice."""
        self._sink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
