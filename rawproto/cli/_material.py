"""What a command is given to work on: a capture, bytes in hexadecimal, or a packet written out as in Python."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rawproto.capture import CaptureReader, open_capture
from rawproto.capture.pcap import PCAP_MAGICS
from rawproto.capture.pcapng import PCAPNG_MAGIC
from rawproto.cli import FailedError, UsageError
from rawproto.errors import CaptureError, WireError
from rawproto.wire.expression import parse_expression
from rawproto.wire.frame import Frame
from rawproto.wire.packet import Packet

__all__ = ["CaptureFile", "check_readable", "open_file", "packet_of", "understand"]

STDIN = "-"
GZIP_MAGIC = b"\x1f\x8b"
MAGICS = (*PCAP_MAGICS, PCAPNG_MAGIC, GZIP_MAGIC)
LONGEST_TEXT = 1 << 20
"""Characters that are read of a packet on standard input."""
SHOWN = 50
SEPARATORS = re.compile(r"(?i)\\x|(?<![0-9a-f])0x|[\s:,.-]")
"""What may stand between the digits of bytes in hexadecimal."""
HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")


class CaptureFile(NamedTuple):
    """A capture by its name, "-" for standard input, and which of its packets is meant, if that was said."""

    name: str
    number: int | None = None

    @property
    def repeatable(self) -> bool:
        """Whether it can be read a second time."""
        return self.name != STDIN and Path(self.name).is_file()


def understand(words: Sequence[str]) -> CaptureFile | Packet | bytes:
    """Say what the words of a command line are: a file, bytes, or a packet. Raises UsageError, a line."""
    text = " ".join(words).strip()
    if text == STDIN:
        file = _stdin()
        if _starts_as_capture(file):
            return CaptureFile(STDIN)
        text = file.read(LONGEST_TEXT + 1).decode("utf-8", "replace").strip()
    if not text:
        raise UsageError("nothing was given: give a capture file, bytes in hexadecimal, or a packet as in Python")
    return _file(text) or _bytes(text) or _packet(text)


def check_readable(name: str) -> None:
    """Raise the UsageError for a capture that can't be opened, before anything is done."""
    if name == STDIN:
        return
    path = Path(name)
    try:
        if path.is_dir():
            raise UsageError(f"{name} is a directory: give a capture file")
        if path.is_file():  # a pipe can be opened only once
            path.open("rb").close()
        path.stat()
    except (OSError, ValueError) as error:
        raise UsageError(f"can't read {name}: {getattr(error, 'strerror', None) or error}") from None


def open_file(name: str) -> CaptureReader:
    """A reader for the capture; "-" is standard input. Raises CaptureError, UsageError if it can't be opened."""
    try:
        return open_capture(_stdin() if name == STDIN else name)
    except OSError as error:
        raise UsageError(f"can't read {name}: {error.strerror or error}") from None


def packet_of(file: CaptureFile, number: int) -> Frame:
    """One frame of a capture, by its number from 1. Raises UsageError if there is none, FailedError before damage."""
    count = 0
    try:
        with open_file(file.name) as reader:
            for frame in reader:
                count += 1
                if count == number:
                    return frame
    except CaptureError as error:
        raise FailedError(str(error)) from None
    if not number:
        raise UsageError(f"{file.name} has no packet 0: they count from 1")
    there = "is 1 packet" if count == 1 else f"are {count} packets"
    raise UsageError(f"{file.name} has no packet {number}: there {there}")


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise UsageError("- is standard input, and that is closed")
    return sys.stdin.buffer


def _starts_as_capture(file: BinaryIO) -> bool:
    peek = getattr(file, "peek", None)
    return peek is not None and bytes(peek(4)).startswith(MAGICS)


def _file(text: str) -> CaptureFile | None:
    """A file that is there, with or without the number of a packet behind it."""
    with suppress(OSError, ValueError):  # no name that a file could have
        if Path(text).exists():
            check_readable(text)
            return CaptureFile(text)
        name, colon, number = text.rpartition(":")
        if colon and number.isascii() and number.isdecimal() and Path(name).exists():
            check_readable(name)
            return CaptureFile(name, int(number))
    return None


def _bytes(text: str) -> bytes | None:
    digits = SEPARATORS.sub("", text)
    if not HEXADECIMAL.fullmatch(digits):
        return None
    if len(digits) % 2:
        raise UsageError(f"{len(digits)} hexadecimal digits are not whole bytes: two are a byte")
    return bytes.fromhex(digits)


def _packet(text: str) -> Packet | bytes:
    try:
        packet = parse_expression(text)
    except WireError as error:
        if "(" in text:
            raise UsageError(str(error)) from None
        shown = text if len(text) <= SHOWN else text[:SHOWN] + "..."
        raise UsageError(f"{shown!r} is no file, no bytes in hexadecimal, and no packet ({error})") from None
    return packet if packet.layers else packet.payload
