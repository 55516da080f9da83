"""The fields that header tables are made of.

A table is a class body, one line a field, in the order of the wire:

    class UDP(Header, ...):
        sport: int = field(16, 0, "source port", "RFC 768 p1")
        length: int | None = computed(16, "header and payload in bytes", "RFC 768 p2")

From it `codec` makes the functions that pack and unpack, and `explain` the annotated dump and the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntFlag
from typing import Any, Generic, NamedTuple, Protocol, SupportsBytes, TypeAlias, TypeVar, overload

from rawproto.errors import WireError
from rawproto.wire.address import AddressLike, ip_text, mac_text, pack_ipv4, pack_ipv6, pack_mac

__all__ = [
    "Address",
    "Field",
    "Names",
    "Octets",
    "TailLike",
    "computed",
    "field",
    "ipv4_address",
    "ipv6_address",
    "mac_address",
    "octets",
    "pack_tail",
    "tail",
]

Names: TypeAlias = Mapping[int, str] | type[IntFlag]
TailLike: TypeAlias = bytes | bytearray | memoryview | Iterable[SupportsBytes]


class Field(NamedTuple):
    """One row of a header's table. Read `Header.fields` for them."""

    name: str
    bits: int
    """Width; for a tail the largest width it may have."""
    default: int | bytes | None
    """None: computed on build."""
    meaning: str
    source: str
    """The section that defines it."""
    names: Names | None = None
    """What its values are called, for `explain`."""
    base: int = 10
    pack: Callable[[Any], bytes] | None = None
    """For fields that hold bytes: what takes the user's value."""
    text: Callable[[bytes], str] | None = None
    """For fields that hold bytes: how they read."""
    words: str | None = None
    """For a tail: the field that counts the header; None if it goes on to the end."""
    unit: int = 4
    """What that field counts in, in bytes."""
    extra: int = 0
    """The bytes of the header that it does not count."""
    is_tail: bool = False
    offset: int = 0
    """Position in bits from the start of the header."""

    @property
    def limit(self) -> int:
        """The largest value of an integer field."""
        return (1 << self.bits) - 1

    def show(self, value: int | bytes) -> str:
        """The value as `explain` and `repr` write it."""
        if isinstance(value, bytes):
            return repr(self.text(value) if self.text is not None else value)
        return f"0x{value:0{(self.bits + 3) // 4}x}" if self.base == 16 else str(int(value))

    def name_of(self, value: int | bytes | None) -> str:
        """What the value is called: "TCP" for protocol 6, "SYN|ACK" for flags; empty if it has no name."""
        if self.names is None or not isinstance(value, int):
            return ""
        if isinstance(self.names, Mapping):
            return self.names.get(value, "")
        known = [flag for flag in self.names if flag & value]
        rest = value & ~sum(known)
        return "|".join([*(str(flag.name) for flag in known), *([f"0x{rest:x}"] if rest else [])])


SetT_contra = TypeVar("SetT_contra", contravariant=True)
GetT_co = TypeVar("GetT_co", covariant=True)


class Converting(Protocol, Generic[GetT_co, SetT_contra]):
    """To the type checker: a field that takes more types than it gives back."""

    @overload
    def __get__(self, header: None, owner: Any) -> Any: ...
    @overload
    def __get__(self, header: object, owner: Any) -> GetT_co: ...
    def __set__(self, header: Any, value: SetT_contra) -> None: ...


Address: TypeAlias = Converting[str, AddressLike]
"""Takes text, bytes and address objects, reads as text."""
Octets: TypeAlias = Converting[bytes, TailLike]
"""Takes bytes, or option objects to be joined; reads as bytes."""


def field(bits: int, default: int, meaning: str, source: str, *, names: Names | None = None, base: int = 10) -> Any:
    """An unsigned integer of `bits`."""
    return Field("", bits, default, meaning, source, names, base)


def computed(bits: int, meaning: str, source: str, *, names: Names | None = None, base: int = 10) -> Any:
    """An unsigned integer that is worked out on build, unless one is given: that is sent as it is."""
    return Field("", bits, None, meaning, source, names, base)


def mac_address(default: str, meaning: str, source: str) -> Any:
    """A MAC address of 48 bits."""
    return Field("", 48, pack_mac(default), meaning, source, pack=pack_mac, text=mac_text)


def ipv4_address(default: str, meaning: str, source: str) -> Any:
    """An IPv4 address of 32 bits."""
    return Field("", 32, pack_ipv4(default), meaning, source, pack=pack_ipv4, text=ip_text)


def ipv6_address(default: str, meaning: str, source: str) -> Any:
    """An IPv6 address of 128 bits."""
    return Field("", 128, pack_ipv6(default), meaning, source, pack=pack_ipv6, text=ip_text)


def octets(length: int, meaning: str, source: str) -> Any:
    """`length` bytes as they are, zero by default."""

    def exactly(value: bytes) -> bytes:
        if len(value) != length:
            raise WireError(f"{len(value)} bytes, not {length}")
        return bytes(value)

    return Field("", 8 * length, bytes(length), meaning, source, pack=exactly)


def tail(limit: int, meaning: str, source: str, *, words: str | None = None, unit: int = 4, extra: int = 0) -> Any:
    """What follows the fixed part, at most `limit` bytes. It must be the last row.

    `words` names the field that counts the header: its length in bytes is that field's value times `unit` plus
    `extra` (8 and 8 for IPv6 extension headers). If that field is None on build, the tail is padded with zeros to
    such a length. Without `words` the tail takes all that is left of the data.
    """
    return Field("", 8 * limit, b"", meaning, source, pack=pack_tail, words=words, unit=unit, extra=extra, is_tail=True)


def pack_tail(value: TailLike) -> bytes:
    """Bytes as they are; option objects joined. Raises WireError for anything else."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    try:
        parts = list(value)
    except TypeError:
        raise WireError(f"{value!r} is neither bytes nor a sequence of options") from None
    if any(isinstance(part, (int, str)) for part in parts):
        raise WireError(f"{value!r} is neither bytes nor a sequence of options")
    return b"".join(map(bytes, parts))
