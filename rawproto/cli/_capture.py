"""Captures as commands use them: which packets of one are meant, and where they are written to."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rawproto.capture import CaptureWriter, PcapngWriter, PcapWriter
from rawproto.cli import UsageError
from rawproto.errors import CaptureError, LinkError
from rawproto.link.bpf import Filter, compile_filter
from rawproto.wire.frame import Frame, LinkType

__all__ = ["FrameFilter", "Recorder", "compiled"]

STDOUT = "-"


def compiled(expression: str, linktype: LinkType = LinkType.ETHERNET) -> Filter:
    """A filter for one link type. Raises UsageError."""
    try:
        return compile_filter(expression, linktype)
    except LinkError as error:
        raise UsageError(f"--filter: {error.strerror or error}") from None


class FrameFilter:
    """A filter expression for frames of any link type, compiled for each that comes.

    Of a link type for which it has no meaning ("ether host" of packets without Ethernet) nothing matches. Raises
    UsageError for an expression that has none at all.
    """

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._filters: dict[LinkType, Filter | None] = {}
        self._wrong: UsageError | None = None
        try:
            self._filters[LinkType.ETHERNET] = compiled(expression)
        except UsageError as error:
            self._filters[LinkType.ETHERNET] = None
            self._wrong = error

    def __call__(self, frame: Frame) -> bool:
        """Whether `frame` matches. Raises UsageError if the expression means nothing for the first frame either."""
        try:
            known = self._filters[frame.linktype]
        except KeyError:
            known = self._compile(frame.linktype)
        if known is None:
            if self._wrong is not None:
                raise self._wrong
            return False
        self._wrong = None
        return known.matches(frame)

    def check(self) -> None:
        """Raise the UsageError for an expression that was found to mean nothing, where no frame has come."""
        if self._wrong is not None:
            raise self._wrong

    def _compile(self, linktype: LinkType) -> Filter | None:
        try:
            self._filters[linktype] = compiled(self.expression, linktype)
        except UsageError:
            self._filters[linktype] = None
        return self._filters[linktype]


class Recorder:
    """Writes frames into a capture: pcapng, or pcap if the name ends in .pcap; gzipped if it ends in .gz.

    "-" is standard output. `sources` are files that it must not be. What was in the file stays as it is until there is
    a frame to write, or until all has gone well without one. Raises UsageError.
    """

    def __init__(self, name: str, *, sources: Sequence[str] = (), comment: str = "") -> None:
        self.name = name
        self.count = 0
        self._comment = comment
        self._is_pcap = name.removesuffix(".gz").endswith(".pcap")
        self._writer: CaptureWriter | None = None
        self._is_new = False
        if name == STDOUT:
            return
        for source in sources:
            if Path(name).exists() and Path(source).exists() and Path(name).samefile(source):
                raise UsageError(f"-w {name}: that is the file that is read: give another name")
        try:
            self._is_new = not Path(name).exists()
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o666))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"-w: can't write {name}: {reason}; give a file that you may write") from None

    def write(self, frame: Frame, comments: Sequence[str] = ()) -> None:
        """Append a frame; of a pcap file, the first one decides the link type. Raises UsageError."""
        writer = self._writer or self._open(frame.linktype)
        try:
            if isinstance(writer, PcapngWriter):
                writer.write(frame, comments)
            else:
                writer.write(frame)
        except CaptureError as error:
            raise UsageError(f"-w {self.name}: {error}") from None
        self.count += 1

    def flush(self) -> None:
        """Let whoever reads the file along see what was written."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Close the file; without a frame it is an empty capture."""
        (self._writer or self._open(LinkType.ETHERNET)).close()

    def discard(self) -> None:
        """Leave no trace, if there was nothing to write."""
        if self._writer is None and self._is_new:
            with suppress(OSError):
                Path(self.name).unlink()
        elif self._writer is not None:
            self._writer.close()

    def _open(self, linktype: LinkType) -> CaptureWriter:
        target = sys.stdout.buffer if self.name == STDOUT else self.name
        if self._is_pcap:
            self._writer = PcapWriter(target, linktype)
        else:
            self._writer = PcapngWriter(target, comment=self._comment)
        return self._writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()
