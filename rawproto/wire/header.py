"""What every header is: an immutable row of values, described by one table of fields.

A subclass is its table (see `field`) and, where the protocol has them, five small answers: what it computes
(`build`), where its payload ends, what lies above it, which rules its values break, and whether its checksum
holds. It registers itself by the number that the layer below uses for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, dataclass_transform

from rawproto.errors import WireError
from rawproto.wire.codec import compile_table, place, size_of
from rawproto.wire.field import Field

if TYPE_CHECKING:
    from rawproto.wire.packet import Packet

__all__ = ["ETHERTYPES", "IP_PROTOCOLS", "LINKTYPES", "Broken", "Header", "TailRow"]

ETHERTYPES: dict[int, type[Header]] = {}
"""What an EtherType (IEEE 802) stands for."""
IP_PROTOCOLS: dict[int, type[Header]] = {}
"""What a protocol number (IPv4) or next header (IPv6) stands for."""

LINKTYPES: dict[int, type[Header]] = {}
"""What a frame of a link type (`frame.LinkType`) begins with."""


class Broken(NamedTuple):
    """A rule that a header's values break."""

    field: str
    rule: str
    """A short word that stays: "version", "minimum", "length", "option", "reserved"."""
    text: str


class TailRow(NamedTuple):
    """One row of a decoded tail, for `explain`: an option."""

    offset: int
    """In bytes from the start of the tail."""
    length: int
    name: str
    value: str
    source: str = ""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Header:
    """The base of all headers. Values are given by keyword and checked at once (WireError).

    `header / other` composes a `Packet`; `bytes(header)` is the header with nothing around it.
    """

    __slots__ = ("_values",)

    fields: ClassVar[tuple[Field, ...]] = ()
    """The table, in wire order."""
    SIZE: ClassVar[int] = 0
    """Bytes of the fixed part."""
    source: ClassVar[str] = ""
    """The text that defines the header."""
    ether_number: ClassVar[int | None] = None
    """The EtherType that announces it."""
    ip_number: ClassVar[int | None] = None
    """The IP protocol number that announces it."""
    link_number: ClassVar[int | None] = None
    """The link type of frames that begin with it."""
    variants: ClassVar[dict[int, type[Header]]] = {}
    """Subclasses by the value of the byte at `variant_at` (ICMP's type)."""
    variant_at: ClassVar[int] = 0
    short_form: ClassVar[type[Header] | None] = None
    """What to read if there is no room for the header, but for its start: its first fields, as a header."""
    family: ClassVar[str] = ""
    """The layer's name in problems and checksums: "ICMP" for all of its messages."""
    has_checksum: ClassVar[bool] = False
    has_tail: ClassVar[bool] = False
    offloadable: ClassVar[bool] = False
    """Whether a card may be left to fill in the checksum (TCP, UDP)."""
    checksum_covers_payload: ClassVar[bool] = True
    length_field: ClassVar[str] = ""
    """The field that `payload_end` reads; without one it is not asked."""
    minds_lower: ClassVar[bool] = False
    """Whether there are rules about what lies below."""
    type_field: ClassVar[str] = ""
    """The field that tells what lies above, if it is computed from that."""
    may_fragment: ClassVar[bool] = False
    has_pseudo_header: ClassVar[bool] = False
    """Whether checksums above use this header (IPv4, IPv6)."""
    needs_network: ClassVar[bool] = False
    """Whether the checksum covers a pseudo header (TCP, UDP, ICMPv6)."""
    reroutes: ClassVar[bool] = False
    """Whether checksums above use what `rerouted` gives instead (the IPv6 routing header)."""
    quotes: ClassVar[bool] = False
    """Whether the payload is the start of an IP packet that the message is about (ICMP errors)."""

    if TYPE_CHECKING:
        _values: tuple[Any, ...]
        """Units, as `codec` has them: the hot paths of a protocol's own module may look into it, nobody else."""
        _index: ClassVar[dict[str, int]]
        _raw: ClassVar[dict[str, Callable[[Header], Any]]]

        def pack(self, **computed: int) -> bytes:
            """The header's bytes; `computed` holds what to write in fields that are None."""

        def seal(self, number: int, payload: bytes, **computed: int) -> bytes:
            """As `pack`, for a header whose open `checksum` is the Internet checksum.

            It covers the header, `payload`, and something before them that sums to `number` (see `checksum.sum_on`).
            """

        @staticmethod
        def decode(data: bytes, offset: int, end: int) -> Any:
            """Read the header at `offset`; at least SIZE bytes must be there, none past `end` is read."""

    def __init_subclass__(
        cls,
        *,
        source: str = "",
        ethertype: int | None = None,
        ip_protocol: int | None = None,
        linktype: int | None = None,
        first_byte: tuple[int, ...] = (),
    ) -> None:
        own = {name: row._replace(name=name) for name, row in vars(cls).items() if isinstance(row, Field)}
        inherited = {row.name: row for row in cls.fields}
        # A table that repeats every row of its base's is a table of its own, in its own order.
        cls.fields = place([*(own if inherited.keys() <= own.keys() else {**inherited, **own}).values()])
        cls.source = source or cls.source
        cls.family = cls.__name__ if cls.__base__ is Header else cls.family
        cls.has_checksum = any(row.name in ("checksum", "crc") for row in cls.fields)
        cls.SIZE = size_of(cls.fields)
        cls.has_tail = bool(cls.fields) and cls.fields[-1].is_tail
        cls._index = {row.name: at for at, row in enumerate(cls.fields)}
        if ethertype is not None:
            cls.ether_number = ethertype
            ETHERTYPES[ethertype] = cls
        if ip_protocol is not None:
            cls.ip_number = ip_protocol
            IP_PROTOCOLS[ip_protocol] = cls
            cls.variants = {}
        if linktype is not None:
            cls.link_number = linktype
            LINKTYPES[linktype] = cls
        for value in first_byte:
            cls.variants[value] = cls
        made = compile_table(cls.fields, cls, cls._reject)
        cls.__init__ = made["__init__"]  # type: ignore[method-assign]
        cls.pack = made["pack"]  # type: ignore[method-assign]
        if "seal" in made:
            cls.seal = made["seal"]  # type: ignore[method-assign]
        cls.decode = staticmethod(made["decode"])  # type: ignore[method-assign]
        cls._raw = {row.name: made[f"raw_{row.name}"] for row in cls.fields}
        for row in cls.fields:
            doc = f"{row.meaning} ({row.source})"
            setattr(cls, row.name, property(made[f"get_{row.name}"], _refuse(row.name), _refuse(row.name), doc))

    @classmethod
    def variant_of(cls, data: bytes, offset: int, end: int) -> type[Header]:
        """The class of the message at `offset`, of which SIZE bytes are here (asked if there are `variants`)."""
        return cls.variants.get(data[offset + cls.variant_at], cls)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """The header's bytes in front of `payload`, with all that is None worked out.

        `above` is the next header in the payload, `network` the nearest IP header below. Raises WireError when a
        computed value does not fit its field.
        """
        return self.pack()

    def payload_end(self, offset: int) -> int | None:
        """Where the header's own length says that its payload ends, given its offset; None if it does not say.

        Never before the header's own end: a length that small is a broken rule, and says nothing.
        """
        return None

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """The class of the header that starts at `offset`, or None if the rest is payload."""
        return None

    def broken_rules(self) -> Iterator[Broken]:
        """The rules that the values break, whatever surrounds them."""
        return iter(())

    def rules_above(self, below: Sequence[Header]) -> Iterator[Broken]:
        """The rules that the values break above these headers, lowest first (asked if `minds_lower`)."""
        return iter(())

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """Whether the checksum over `data` (from the header's first byte to its payload's end) holds.

        None if there is nothing to verify: no checksum, or none that can be computed without `network`.
        """
        return None

    def tail_rows(self) -> list[TailRow]:
        """The tail taken apart, for `explain`; empty if it is opaque."""
        return []

    def pseudo_sum(self, protocol: int, length: int) -> int:
        """What an IP header contributes to the checksum above it (see `checksum.sum_on`); others have none.

        `length` is the upper layer's, header and payload, in bytes. Raises WireError for one that does not fit.
        """
        raise WireError(f"{type(self).__name__} has no pseudo header")

    def rerouted(self, network: Header) -> Header:
        """`network`, an IP header below, as checksums above are to see it (asked if `reroutes`)."""
        return network

    def quoted_length(self, length: int) -> int:
        """How many of the payload's `length` bytes are the quoted packet (asked if `quotes`); extensions follow."""
        return length

    @property
    def is_fragment(self) -> bool:
        """Whether the payload is only a part of what was sent (asked if `may_fragment`)."""
        return False

    @property
    def size(self) -> int:
        """The header's bytes on the wire, with its tail as it is."""
        return self.SIZE + (len(self._values[-1]) if self.has_tail else 0)

    def raw(self, name: str) -> Any:
        """A field's value as stored: addresses as packed bytes, everything else as the attribute gives it."""
        return self._raw[name](self)

    def called(self, row: Field) -> str:
        """What the value of that field is called, "TCP" for protocol 6; empty if it has no name."""
        return row.name_of(self.raw(row.name))

    @classmethod
    def index_of(cls, name: str) -> int:
        """A field's place in the table."""
        return cls._index[name]

    def replace(self, **changes: Any) -> Self:
        """A copy with other values. Raises WireError for a value or a name that does not fit."""
        unknown = changes.keys() - self._index.keys()
        if unknown:
            raise WireError(f"{type(self).__name__} has no field {min(unknown)}")
        return type(self)(**{**{name: raw(self) for name, raw in self._raw.items()}, **changes})

    def recompute(self) -> Self:
        """A copy whose length, checksum, offset and type fields are None again, to be computed on build."""
        return self.replace(**{row.name: None for row in self.fields if row.default is None})

    @classmethod
    def _reject(cls, header: Header, given: dict[str, Any]) -> WireError:
        for row in type(header).fields:
            value = given[row.name] if row.name in given else header.raw(row.name)
            complaint = _complaint(row, value)
            if complaint:
                return WireError(f"{type(header).__name__} {row.name}: {complaint}")
        return WireError(f"{type(header).__name__}: values don't fit: {given}")

    def __truediv__(self, other: Header | Packet | bytes) -> Packet:
        import_module("rawproto.wire.packet")  # it puts its own function here
        return self / other

    def __rtruediv__(self, other: bytes) -> Packet:
        raise WireError(f"{type(self).__name__} can't follow a payload of {len(other)} bytes")

    def __bytes__(self) -> bytes:
        return self.build(b"")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values == other._values

    def __hash__(self) -> int:
        return hash((type(self), self._values))

    def __repr__(self) -> str:
        given = (
            f"{row.name}={None if value is None else row.show(value)}"
            for row, value in ((row, self.raw(row.name)) for row in self.fields)
            if value != row.default
        )
        return f"{type(self).__name__}({', '.join(given)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._values)


def _refuse(name: str) -> Callable[..., None]:
    """What happens to whoever tries to change a field."""

    def refuse(header: Header, value: object = None) -> None:
        raise AttributeError(f"a {type(header).__name__} can't be changed: use replace({name}=...)")

    return refuse


def _restore(kind: type[Header], values: tuple[Any, ...]) -> Header:
    header = object.__new__(kind)
    header._values = values
    return header


def _complaint(row: Field, value: Any) -> str:
    """Why `value` can't stand in this field; empty if it can."""
    if row.pack is not None:
        try:
            packed = row.pack(value)
        except (WireError, TypeError) as error:
            return str(error)
        if row.is_tail and len(packed) > row.bits // 8:
            return f"{len(packed)} bytes, at most {row.bits // 8} fit"
        return ""
    if value is None and row.default is None:
        return ""
    if not isinstance(value, int):
        return f"{value!r} is not an integer"
    return "" if 0 <= value <= row.limit else f"{int(value)} is not in 0..{row.limit}"
