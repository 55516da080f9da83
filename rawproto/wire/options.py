"""What all options share: each is a small value that knows its bytes, and a family finds them in a header.

An option whose value is a fixed row of integers needs no more than its fields and a `layout`. What has no class of its
own, or not the length that its class wants, is kept as the family's raw option: nothing is lost, so that the options
of a header, joined again, are the bytes that were parsed (what is malformed, and padding behind the end, excepted).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import ClassVar, Generic, Self, TypeVar

from rawproto.errors import WireError
from rawproto.wire.header import Broken, TailRow
from rawproto.wire.tlv import Item, walk

__all__ = ["Option", "OptionFamily"]

NO_VALUE = Struct("")


@dataclass(frozen=True, slots=True)
class Option:
    """The base: type, source, bytes."""

    kind: ClassVar[int]
    source: ClassVar[str] = ""
    called: ClassVar[str] = "option"
    """What errors call it."""
    extra: ClassVar[int] = 0
    """How many bytes of type and length the length does not count."""
    layout: ClassVar[Struct] = NO_VALUE
    strict: ClassVar[bool] = True
    """Whether a value that the class does not take is wrong; else it is only written in another way."""

    @property
    def code(self) -> int:
        """The type on the wire."""
        return self.kind

    def body(self) -> bytes:
        """The value, without type and length."""
        return self.layout.pack(*(getattr(self, row.name) for row in fields(self)))

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """The option with this value; None if the value is not one that this class could write."""
        return cls(*cls.layout.unpack(value)) if len(value) == cls.layout.size else None

    @classmethod
    def is_fixed(cls) -> bool:
        """Whether the layout says all about its value."""
        return cls.from_value.__func__ is Option.from_value.__func__  # type: ignore[attr-defined]

    def __bytes__(self) -> bytes:
        try:
            body = self.body()
            return bytes((self.code, len(body) + 2 - self.extra)) + body
        except WireError:  # of an address: it says more
            raise
        except (StructError, ValueError, OverflowError):
            raise WireError(f"{self.called} {self!r}: a value does not fit") from None


OptionT = TypeVar("OptionT", bound=Option)


class OptionFamily(Generic[OptionT]):
    """The options of one protocol: which there are, and how they lie in the header."""

    def __init__(
        self,
        kinds: Sequence[type[OptionT]],
        raw: Callable[[int, bytes], OptionT],
        *,
        ends: tuple[int, ...] = (),
        singles: tuple[int, ...] = (),
        unit: int = 1,
        extra: int = 0,
    ) -> None:
        self.kinds = {kind.kind: kind for kind in kinds}
        self.sizes = {kind.kind: kind.layout.size for kind in kinds if kind.is_fixed()}
        self.raw = raw
        self.ends = ends
        self.singles = singles
        self.unit = unit
        self.extra = extra

    def items(self, data: bytes) -> Iterator[Item]:
        """Where the options lie; the last one may be malformed."""
        return walk(data, ends=self.ends, singles=self.singles, unit=self.unit, extra=self.extra)

    def parse(self, data: bytes) -> tuple[OptionT, ...]:
        """The options in `data`, in order, without padding behind the end; reading stops at what is malformed."""
        return tuple(self.read(item) for item in self.items(data) if not item.error)

    def read(self, item: Item) -> OptionT:
        """The option that was found there."""
        kind = self.kinds.get(item.kind)
        if kind is not None and not item.error:
            option = kind.from_value(b"" if item.kind in self.ends else item.data)
            if option is not None:
                return option
        return self.raw(item.kind, item.data)

    def rows(self, data: bytes) -> list[TailRow]:
        """One row an option, for `explain`."""
        return [self.row(item) for item in self.items(data)]

    def broken(self, data: bytes, field: str = "options") -> Iterator[Broken]:
        """The rules that the options in `field` break: impossible lengths, padding behind the end that is not zero."""
        for item in self.items(data):
            kind = self.kinds.get(item.kind)
            if item.error:
                yield Broken(field, "option", f"option {item.kind} at byte {item.offset}: {item.error}")
            elif item.kind in self.ends:
                if any(item.data):
                    yield Broken(field, "reserved", f"padding at byte {item.offset + 1} is not zero")
            elif kind is not None and not self._fits(kind, item):
                text = f"option {item.kind} at byte {item.offset}: {item.length} bytes are no {kind.__name__}"
                yield Broken(field, "length", text)

    def _fits(self, kind: type[OptionT], item: Item) -> bool:
        size = self.sizes.get(item.kind)
        return len(item.data) == size if size is not None else not kind.strict or kind.from_value(item.data) is not None

    def row(self, item: Item) -> TailRow:
        """One option as `explain` shows it."""
        option = self.read(item)
        text = ", ".join(f"{row.name}={getattr(option, row.name)!r}" for row in fields(option))
        value = f"{text} ({item.error})" if item.error else text
        return TailRow(item.offset, item.length, type(option).__name__, value, option.source)
