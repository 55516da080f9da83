"""TCP's options as objects: each knows its bytes, `parse_options` finds them in a header.

What has no class of its own, or not the length that its class wants, is a `RawOption`: nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any, ClassVar, Self

from rawproto.wire.options import Option, OptionFamily

__all__ = [
    "TCP_OPTIONS",
    "Authentication",
    "EndOfOptions",
    "Experiment",
    "FastOpen",
    "MD5Signature",
    "MaximumSegmentSize",
    "MultipathTCP",
    "NoOperation",
    "RawOption",
    "SackPermitted",
    "SelectiveAck",
    "TCPOption",
    "Timestamps",
    "UserTimeout",
    "WindowScale",
    "parse_options",
]


@dataclass(frozen=True, slots=True)
class TCPOption(Option):
    """The base: kind, source, bytes."""

    called: ClassVar[str] = "TCP option"


@dataclass(frozen=True, slots=True)
class EndOfOptions(TCPOption):
    """End of the option list: what follows is padding."""

    kind: ClassVar[int] = 0
    source: ClassVar[str] = "RFC 9293 §3.2"

    def __bytes__(self) -> bytes:
        return b"\x00"


@dataclass(frozen=True, slots=True)
class NoOperation(TCPOption):
    """One byte to align what follows."""

    kind: ClassVar[int] = 1
    source: ClassVar[str] = "RFC 9293 §3.2"

    def __bytes__(self) -> bytes:
        return b"\x01"


@dataclass(frozen=True, slots=True)
class MaximumSegmentSize(TCPOption):
    """The largest payload that its sender takes, in bytes."""

    mss: int
    kind: ClassVar[int] = 2
    source: ClassVar[str] = "RFC 9293 §3.7.1"
    layout: ClassVar[Struct] = Struct(">H")


@dataclass(frozen=True, slots=True)
class WindowScale(TCPOption):
    """How far the window field is shifted to the left."""

    shift: int
    kind: ClassVar[int] = 3
    source: ClassVar[str] = "RFC 7323 §2.2"
    layout: ClassVar[Struct] = Struct(">B")


@dataclass(frozen=True, slots=True)
class SackPermitted(TCPOption):
    """SACK may be sent to its sender."""

    kind: ClassVar[int] = 4
    source: ClassVar[str] = "RFC 2018 §2"


@dataclass(frozen=True, slots=True)
class SelectiveAck(TCPOption):
    """Blocks received above the acknowledgement: (left edge, right edge) as sequence numbers."""

    blocks: tuple[tuple[int, int], ...]
    kind: ClassVar[int] = 5
    source: ClassVar[str] = "RFC 2018 §3"

    def body(self) -> bytes:
        """8 bytes a block."""
        edges = [edge for block in self.blocks for edge in block]
        return Struct(f">{len(edges)}I").pack(*edges)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 8 bytes a block."""
        if not value or len(value) % 8:
            return None
        edges: tuple[Any, ...] = Struct(f">{len(value) // 4}I").unpack(value)
        return cls(tuple(zip(edges[::2], edges[1::2], strict=True)))


@dataclass(frozen=True, slots=True)
class Timestamps(TCPOption):
    """The sender's clock, and the last value of ours that it saw."""

    value: int
    echo: int
    kind: ClassVar[int] = 8
    source: ClassVar[str] = "RFC 7323 §3.2"
    layout: ClassVar[Struct] = Struct(">II")


@dataclass(frozen=True, slots=True)
class MD5Signature(TCPOption):
    """A digest of the segment with a shared key, 16 bytes (obsoleted by `Authentication`; BGP has it)."""

    digest: bytes
    kind: ClassVar[int] = 19
    source: ClassVar[str] = "RFC 2385 §3"
    layout: ClassVar[Struct] = Struct("16s")

    def body(self) -> bytes:
        """The digest."""
        if len(self.digest) != 16:
            raise ValueError
        return self.digest


@dataclass(frozen=True, slots=True)
class UserTimeout(TCPOption):
    """How long its sender waits for an acknowledgement: 15 bits, of seconds, or of minutes if `minutes` is 1."""

    timeout: int
    minutes: int = 0
    kind: ClassVar[int] = 28
    source: ClassVar[str] = "RFC 5482 §3"

    def body(self) -> bytes:
        """The granularity in the top bit."""
        if not (0 <= self.timeout < 1 << 15 and 0 <= self.minutes <= 1):
            raise ValueError
        return (self.minutes << 15 | self.timeout).to_bytes(2)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 2 bytes."""
        number = int.from_bytes(value)
        return cls(number & 0x7FFF, number >> 15) if len(value) == 2 else None


@dataclass(frozen=True, slots=True)
class Authentication(TCPOption):
    """TCP-AO: which key the code was made with, which the sender wants next, and the code."""

    key_id: int
    next_key_id: int
    mac: bytes
    kind: ClassVar[int] = 29
    source: ClassVar[str] = "RFC 5925 §2.2"

    def body(self) -> bytes:
        """Two key numbers, then the code."""
        return bytes((self.key_id, self.next_key_id)) + self.mac

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 2 bytes and more."""
        return cls(value[0], value[1], value[2:]) if len(value) >= 2 else None


@dataclass(frozen=True, slots=True)
class MultipathTCP(TCPOption):
    """An MPTCP option: `subtype` says which (see `name`), `flags` are the four bits beside it, `data` is the rest."""

    subtype: int
    flags: int = 0
    data: bytes = b""
    kind: ClassVar[int] = 30
    source: ClassVar[str] = "RFC 8684 §8"
    names: ClassVar[tuple[str, ...]] = (
        *("MP_CAPABLE", "MP_JOIN", "DSS", "ADD_ADDR", "REMOVE_ADDR", "MP_PRIO", "MP_FAIL", "MP_FASTCLOSE"),
        "MP_TCPRST",
    )

    @property
    def name(self) -> str:
        """What RFC 8684 calls the subtype."""
        known = self.subtype < len(self.names)
        return self.names[self.subtype] if known else f"subtype {self.subtype}"

    def body(self) -> bytes:
        """Subtype and flags in one byte, then the rest."""
        if not (0 <= self.subtype <= 15 and 0 <= self.flags <= 15):
            raise ValueError
        return bytes((self.subtype << 4 | self.flags,)) + self.data

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 1 byte and more."""
        return cls(value[0] >> 4, value[0] & 15, value[1:]) if value else None


@dataclass(frozen=True, slots=True)
class FastOpen(TCPOption):
    """A cookie for data in the SYN, 4 to 16 bytes; without any bytes the request for one."""

    cookie: bytes = b""
    kind: ClassVar[int] = 34
    source: ClassVar[str] = "RFC 7413 §4.1.1"

    def body(self) -> bytes:
        """The cookie."""
        return self.cookie

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From the cookie."""
        return cls(value)


@dataclass(frozen=True, slots=True)
class Experiment(TCPOption):
    """An experiment (option 253 or 254) that says which by its ExID: 0xf989 is Fast Open before it had its number."""

    number: int
    exid: int
    data: bytes = b""
    kind: ClassVar[int] = 254
    source: ClassVar[str] = "RFC 6994 §3.1"
    names: ClassVar[dict[int, str]] = {
        0x0348: "TCP HOST_ID",
        0x0A0D: "TCP middlebox cooperation",
        0xACCE: "AccECN probing",
        0xE2D4: "SMC-R",
        0xF989: "Fast Open",
        0xF990: "SYN data echo",
    }
    """Of IANA's "TCP/UDP Experimental Option Experiment Identifiers", those of 16 bits that one may meet."""

    @property
    def code(self) -> int:
        """253 or 254."""
        return self.number

    def body(self) -> bytes:
        """The ExID, then what it means."""
        if self.number not in (253, 254):
            raise ValueError
        return self.exid.to_bytes(2) + self.data


@dataclass(frozen=True, slots=True)
class RawOption(TCPOption):
    """An option by its number, with its value as bytes."""

    number: int
    data: bytes = b""

    @property
    def code(self) -> int:
        """The number."""
        return self.number

    def body(self) -> bytes:
        """The bytes."""
        return self.data


def _raw(number: int, data: bytes) -> TCPOption:
    """What has no class for its number alone: experiments, and all else."""
    if number in (253, 254) and len(data) >= 2:
        exid = int.from_bytes(data[:2])
        # Two bytes that are no known ExID may as well be from before RFC 6994, when the number was all there was.
        if exid in Experiment.names or len(data) > 2:
            return Experiment(number, exid, data[2:])
    return RawOption(number, data)


TCP_OPTIONS: OptionFamily[TCPOption] = OptionFamily(
    (
        *(EndOfOptions, NoOperation, MaximumSegmentSize, WindowScale, SackPermitted, SelectiveAck, Timestamps),
        *(MD5Signature, UserTimeout, Authentication, MultipathTCP, FastOpen),
    ),
    _raw,
    ends=(0,),
    singles=(1,),
)


def parse_options(data: bytes) -> tuple[TCPOption, ...]:
    """The options in `data`, in order; padding after the end of the list, and what is malformed, is left out."""
    return TCP_OPTIONS.parse(data)
