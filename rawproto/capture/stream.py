"""The bytes below a capture file: a source that knows its offset, a sink that adds nothing of its own.

Both take a path, which they open and close, or an open binary file, which stays its owner's. What is gzipped is
read as if it were not; a path ending in `.gz` is written gzipped. This module knows no capture format.
"""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import BinaryIO, NoReturn, Protocol, cast

from rawproto.errors import CaptureError

__all__ = ["ByteSink", "ByteSource", "Readable", "Writable"]

CHUNK = 1 << 20
"""The most bytes that are asked for at once, so that a length field that lies can't allocate what it claims."""

GZIP_MAGIC = b"\x1f\x8b"


class Readable(Protocol):
    """The part of an open binary file that a source needs."""

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes; none at the end."""
        ...


class Writable(Protocol):
    """The part of an open binary file that a sink needs."""

    def write(self, data: bytes, /) -> int:
        """Take all of `data`."""
        ...

    def flush(self) -> None:
        """Pass on what is buffered."""
        ...


class ByteSource:
    """Reads a file front to back and never seeks, so a pipe will do.

    `offset` counts the bytes taken, unzipped ones if need be. `magic` is the first four bytes, or what there is.
    After the first CaptureError every further read raises it again.
    """

    def __init__(self, target: str | os.PathLike[str] | Readable) -> None:
        self.offset = 0
        self._owned: BinaryIO | None = None
        if isinstance(target, (str, os.PathLike)):
            self.name = os.fspath(target)
            self._owned = Path(target).open("rb", buffering=CHUNK // 4)  # noqa: SIM115 - `close` closes it
            self._file: Readable = self._owned
        else:
            name = getattr(target, "name", None)
            self.name = name if isinstance(name, str) else "<capture>"
            self._file = target
        self.magic = self._look_ahead()
        if self.magic.startswith(GZIP_MAGIC):
            self.name += " (unzipped)"
            self._file = gzip.GzipFile(mode="rb", fileobj=cast(BinaryIO, self._file))
            self.magic = self._look_ahead()

    def _look_ahead(self) -> bytes:
        try:
            head = self._read(4, "the magic number of a capture")
        except (OSError, CaptureError):
            self.close()
            raise
        self._file = _Rejoined(head, self._file)
        return head

    def take(self, size: int, expected: str) -> bytes:
        """Exactly `size` bytes, which should be `expected`. Raises CaptureError if the file ends first."""
        data = self._read(size, expected)
        if len(data) != size:
            self._cut_off(size, len(data), expected)
        self.offset += size
        return data

    def take_or_end(self, size: int, expected: str) -> bytes:
        """As `take`, but none at all where the file ends cleanly."""
        data = self._read(size, expected)
        if data and len(data) != size:
            self._cut_off(size, len(data), expected)
        self.offset += len(data)
        return data

    def skip(self, size: int, expected: str) -> None:
        """Take `size` bytes and forget them, in pieces."""
        while size > 0:
            size -= len(self.take(min(size, CHUNK), expected))

    def fail(self, expected: str, found: str, advice: str, *, at: int | None = None) -> NoReturn:
        """Raise the one-line CaptureError that every complaint about this file takes the form of."""
        offset = self.offset if at is None else at
        error = CaptureError(f"{self.name}: offset {offset}: expected {expected}, found {found}; {advice}")
        self._file = _Broken(error)
        raise error

    def close(self) -> None:
        """Close the file if it was opened here."""
        if self._owned is not None:
            self._owned.close()

    def _read(self, size: int, expected: str) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        try:
            data = self._file.read(min(size, CHUNK))
            return data if len(data) == size else self._read_on(data, size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            found = f"a damaged gzip stream ({error})"
            self.fail(expected, found, "what stands before is good; fetch the file again for the rest")

    def _read_on(self, data: bytes, size: int) -> bytes:
        """`data` and what follows it: an unbuffered file or a pipe may give less than it was asked for."""
        pieces = [data]
        missing = size - len(data)
        while missing > 0 and (piece := self._file.read(min(missing, CHUNK))):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _cut_off(self, size: int, got: int, expected: str) -> NoReturn:
        found = f"{got} of {size} bytes and the end of the file"
        self.fail(expected, found, "the file was cut off; what stands before is good")


class _Rejoined:
    """A file whose first bytes were already read. Once they are given out it costs one call to pass on a read."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._rest.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


class _Broken:
    """The rest of a file that has failed: what follows damage would be read as something it is not."""

    def __init__(self, error: CaptureError) -> None:
        self._error = error

    def read(self, size: int, /) -> bytes:
        raise self._error


class ByteSink:
    """Writes a file front to back: the same calls give the same bytes, on any machine and at any time."""

    def __init__(self, target: str | os.PathLike[str] | Writable) -> None:
        self._gzip: gzip.GzipFile | None = None
        self._owned: BinaryIO | None = None
        self._closed = False
        if isinstance(target, (str, os.PathLike)):
            self._owned = Path(target).open("wb", buffering=CHUNK // 4)  # noqa: SIM115 - `close` closes it
            self._file: Writable = self._owned
            if os.fspath(target).endswith(".gz"):
                # Neither the name nor the hour goes into the gzip header: both would differ from run to run.
                self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=self._owned, mtime=0)
        else:
            self._file = target
        self.write = self._file.write if self._gzip is None else self._gzip.write

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        if self._closed:
            return
        if self._gzip is not None:
            self._gzip.flush()
        self._file.flush()

    def close(self) -> None:
        """Flush, and close the file if it was opened here. May be called twice."""
        if self._closed:
            return
        if self._gzip is not None:
            self._gzip.close()
        self._file.flush()
        self._closed = True
        if self._owned is not None:
            self._owned.close()
