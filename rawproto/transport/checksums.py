"""The checks that a datagram can have instead of RDT's CRC-32, so that what the CRC is for can be seen without it.

docs/rdt.md §3.3 specifies the CRC-32; it is not here, since the codec's loops have it in line. The others are no
part of version 1: both ends must be told to use the same one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from rawproto.errors import ConfigError
from rawproto.wire.checksum import internet_checksum

__all__ = ["CHECKSUMS", "Checksum", "InternetChecksum", "NoChecksum", "make_checksum"]


class Checksum(ABC):
    """What stands in the CRC field of a datagram that is `parts`, one behind the other, without that field."""

    @abstractmethod
    def compute(self, *parts: bytes | memoryview) -> int:
        """The value of the field, 32 bits."""

    @abstractmethod
    def fits(self, value: int, *parts: bytes | memoryview) -> bool:
        """Whether a receiver takes a datagram that has `value` in the field."""


class InternetChecksum(Checksum):
    """The 16-bit sum of TCP and UDP (RFC 1071), without a pseudo header; the field's upper half is 0.

    A sum does not know the order of what is added: two 16-bit words that are swapped pass.
    """

    def compute(self, *parts: bytes | memoryview) -> int:
        """The sum over all parts as one string of bytes."""
        return internet_checksum(*parts)

    def fits(self, value: int, *parts: bytes | memoryview) -> bool:
        """Whether it is that sum."""
        return internet_checksum(*parts) == value


class NoChecksum(Checksum):
    """Nothing is checked: 0 is sent, and anything passes."""

    def compute(self, *parts: bytes | memoryview) -> int:
        """0."""
        return 0

    def fits(self, value: int, *parts: bytes | memoryview) -> bool:
        """True."""
        return True


CHECKSUMS: dict[str, Callable[[], Checksum | None]] = {
    "crc32": lambda: None,
    "internet": InternetChecksum,
    "none": NoChecksum,
}


def make_checksum(name: str) -> Checksum | None:
    """The check called `name`; None for "crc32". Raises ConfigError for any other than these three."""
    if name not in CHECKSUMS:
        raise ConfigError(f"checksum: {name!r} is not one of {', '.join(CHECKSUMS)}")
    return CHECKSUMS[name]()
