"""The options that may end any pcapng block (draft-ietf-opsawg-pcapng §3.5): code, length, value, padding.

One that runs past its block raises OptionError, for the reader to say where in the file that is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from rawproto.errors import CaptureError

__all__ = ["COMMENT", "END", "OptionError", "comment_option", "pack_option", "padded", "parse_options"]

END = 0
COMMENT = 1


class OptionError(Exception):
    """An option does not fit its block. Carries where it starts in the block's body, and what is wrong with it."""

    def __init__(self, offset: int, found: str) -> None:
        super().__init__(found)
        self.offset = offset
        self.found = found


def padded(data: bytes) -> bytes:
    """`data`, filled up with zeros to a multiple of four bytes."""
    return data + bytes(-len(data) % 4)


def pack_option(code: int, value: bytes) -> bytes:
    """One little-endian option. Raises CaptureError for a value over 65,535 bytes."""
    if len(value) > 0xFFFF:
        raise CaptureError(f"a pcapng option holds at most 65535 bytes, and option {code} has {len(value)}: shorten it")
    return struct.pack("<HH", code, len(value)) + padded(value)


def comment_option(text: str) -> bytes:
    """A comment as an option, in UTF-8. Raises CaptureError for one over 65,535 bytes."""
    return pack_option(COMMENT, text.encode())


def parse_options(body: bytes, offset: int, order: str) -> Iterator[tuple[int, bytes]]:
    """The (code, value) pairs in `body` from `offset` to `opt_endofopt` or the end. Raises OptionError."""
    unpack = struct.Struct(order + "HH").unpack_from
    while offset < len(body):
        if len(body) - offset < 4:
            raise OptionError(offset, f"{len(body) - offset} bytes, too few for an option")
        code, length = unpack(body, offset)
        if code == END:
            return
        start, end = offset + 4, offset + 4 + length
        if end > len(body):
            found = f"option {code} of {length} bytes where its block has {len(body) - start} left"
            raise OptionError(offset, found)
        yield code, body[start:end]
        offset = end + -length % 4
