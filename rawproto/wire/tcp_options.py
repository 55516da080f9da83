"""TCP's options as objects: each knows its bytes, `parse_options` finds them in a header.

What has no class of its own, or not the length that its class wants, is a `RawOption`: nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Any, ClassVar, Self

from rawproto.errors import WireError
from rawproto.wire.tlv import Item, walk

__all__ = [
    "EndOfOptions",
    "MaximumSegmentSize",
    "NoOperation",
    "RawOption",
    "SackPermitted",
    "SelectiveAck",
    "TCPOption",
    "Timestamps",
    "WindowScale",
    "parse_options",
]


@dataclass(frozen=True, slots=True)
class TCPOption:
    """The base: kind, source, bytes."""

    kind: ClassVar[int]
    source: ClassVar[str] = ""

    def __bytes__(self) -> bytes:
        return bytes((self.kind, 2))

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """The option with this value; None if the value's length is not the option's."""
        return cls() if not value else None

    @staticmethod
    def describe(item: Item) -> tuple[str, str, str]:
        """Name, value and source of a found option, for `explain`."""
        option = _from_item(item)
        text = ", ".join(f"{row.name}={getattr(option, row.name)!r}" for row in fields(option))
        return type(option).__name__, f"{text} ({item.error})" if item.error else text, option.source


def _pack(layout: Struct, option: TCPOption, *values: int) -> bytes:
    try:
        body = layout.pack(*values)
    except StructError:
        raise WireError(f"TCP option {option!r}: a value does not fit") from None
    return bytes((option.kind, 2 + len(body))) + body


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

    def __bytes__(self) -> bytes:
        return _pack(self.layout, self, self.mss)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 2 bytes."""
        return cls(*cls.layout.unpack(value)) if len(value) == 2 else None


@dataclass(frozen=True, slots=True)
class WindowScale(TCPOption):
    """How far the window field is shifted to the left."""

    shift: int
    kind: ClassVar[int] = 3
    source: ClassVar[str] = "RFC 7323 §2.2"
    layout: ClassVar[Struct] = Struct(">B")

    def __bytes__(self) -> bytes:
        return _pack(self.layout, self, self.shift)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 1 byte."""
        return cls(value[0]) if len(value) == 1 else None


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

    def __bytes__(self) -> bytes:
        edges = [edge for block in self.blocks for edge in block]
        return _pack(Struct(f">{len(edges)}I"), self, *edges)

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

    def __bytes__(self) -> bytes:
        return _pack(self.layout, self, self.value, self.echo)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 8 bytes."""
        return cls(*cls.layout.unpack(value)) if len(value) == 8 else None


@dataclass(frozen=True, slots=True)
class RawOption(TCPOption):
    """An option by its number, with its value as bytes."""

    number: int
    data: bytes = b""

    def __bytes__(self) -> bytes:
        if not 0 <= self.number <= 255 or len(self.data) > 253:
            raise WireError(f"TCP option {self!r}: number or length does not fit")
        return bytes((self.number, 2 + len(self.data))) + self.data


KINDS: dict[int, type[TCPOption]] = {
    kind.kind: kind for kind in (MaximumSegmentSize, WindowScale, SackPermitted, SelectiveAck, Timestamps)
}


def parse_options(data: bytes) -> tuple[TCPOption, ...]:
    """The options in `data`, in order; padding after the end of the list, and what is malformed, is left out."""
    return tuple(_from_item(item) for item in walk(data, ends=(0,), singles=(1,)) if not item.error)


def _from_item(item: Item) -> TCPOption:
    if item.kind in (0, 1):
        return NoOperation() if item.kind else EndOfOptions()
    kind = KINDS.get(item.kind)
    option = kind.from_value(item.data) if kind and not item.error else None
    return option if option is not None else RawOption(item.kind, item.data)
