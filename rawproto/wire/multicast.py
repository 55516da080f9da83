"""What multicast listeners and routers say: MLD (RFC 2710, RFC 3810), which is part of ICMPv6, and IGMP (RFC 3376).

A record of a report is a `GroupRecord`: how somebody's wishes for a group have changed, and for which sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from rawproto.errors import WireError
from rawproto.wire.address import AddressLike, ip_text, pack_ip
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.field import Address, Octets, computed, field, ipv4_address, ipv6_address, tail
from rawproto.wire.header import Broken, Header, TailRow
from rawproto.wire.icmp import ICMPV6_TYPES, HeaderClass, ICMPv6

__all__ = [
    "IGMP",
    "GroupRecord",
    "IGMPGroup",
    "IGMPQuery",
    "IGMPReport",
    "MLDMessage",
    "MLDQuery",
    "MLDReport",
    "delay_of",
]

LIMIT = 65535
RECORD_NAMES = {
    1: "is include",
    2: "is exclude",
    3: "to include",
    4: "to exclude",
    5: "allow new sources",
    6: "block old sources",
}
IGMP_TYPES = {
    0x11: "query",
    0x12: "report v1",
    0x13: "DVMRP",
    0x14: "PIM v1",
    0x16: "report v2",
    0x17: "leave group",
    0x1E: "multicast traceroute reply",
    0x1F: "multicast traceroute",
    0x22: "report v3",
    0x30: "multicast router advertisement",
    0x31: "multicast router solicitation",
    0x32: "multicast router termination",
}


def delay_of(code: int, bits: int = 8) -> int:
    """What a time of 8 bits (IGMP; 16 in MLD) stands for: itself, and with the top bit set a floating-point number.

    RFC 3376 §4.1.1, RFC 3810 §5.1.3; in tenths of a second there, in ms here, in seconds for a querier's interval.
    """
    if not code >> (bits - 1):
        return code
    mantissa_bits = bits - 4
    mantissa, exponent = code & ((1 << mantissa_bits) - 1), code >> mantissa_bits & 7
    return (mantissa | 1 << mantissa_bits) << (exponent + 3)


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """One group of a report (RFC 3376 §4.2.4, RFC 3810 §5.2.4): what changed, for which sources; all of one version."""

    kind: int
    group: AddressLike
    sources: tuple[AddressLike, ...] = ()
    auxiliary: bytes = b""
    """More data, in whole words."""

    def __bytes__(self) -> bytes:
        parts = [pack_ip(address) for address in (self.group, *self.sources)]
        words, rest = divmod(len(self.auxiliary), 4)
        if not (0 <= self.kind <= 255 and words <= 255 and not rest and len(self.sources) <= LIMIT):
            raise WireError(f"group record {self!r}: a value does not fit")
        return bytes((self.kind, words)) + len(self.sources).to_bytes(2) + b"".join(parts) + self.auxiliary

    def __str__(self) -> str:
        sources = ", ".join(map(str, self.sources))
        return f"{ip_text(pack_ip(self.group))} {RECORD_NAMES.get(self.kind, f'kind {self.kind}')} {{{sources}}}"


def records_in(data: bytes, count: int | None, size: int) -> Iterator[tuple[int, int, GroupRecord | None]]:
    """Up to `count` records with addresses of `size` bytes, or all: offset, length, record; None for a cut one."""
    at = 0
    for _ in range(len(data) // (4 + size) if count is None else count):
        sources = int.from_bytes(data[at + 2 : at + 4])
        start = at + 4 + size
        stop = start + size * sources
        end = stop + 4 * data[at + 1] if at + 1 < len(data) else stop
        if end > len(data):
            yield at, len(data) - at, None
            return
        found = tuple(ip_text(data[part : part + size]) for part in range(start, stop, size))
        yield at, end - at, GroupRecord(data[at], ip_text(data[at + 4 : start]), found, data[stop:end])
        at = end


def addresses_in(data: bytes, count: int | None, size: int) -> tuple[str, ...]:
    """Up to `count` addresses of `size` bytes, or all."""
    room = len(data) // size
    return tuple(
        ip_text(data[at : at + size]) for at in range(0, size * min(room if count is None else count, room), size)
    )


def count_records(data: bytes, size: int) -> int:
    """How many whole records `data` holds."""
    return sum(record is not None for _, _, record in records_in(data, None, size))


def source_rows(sources: Iterable[str], size: int, source: str) -> list[TailRow]:
    """One row an address."""
    return [TailRow(size * at, size, f"source {at}", address, source) for at, address in enumerate(sources)]


def record_rows(data: bytes, count: int | None, size: int, source: str) -> list[TailRow]:
    """One row a record."""
    return [
        TailRow(offset, length, "record", "cut" if record is None else str(record), source)
        for offset, length, record in records_in(data, count, size)
    ]


def record_rules(data: bytes, count: int | None, size: int) -> Iterator[Broken]:
    """Whether the records are there."""
    for offset, _, record in records_in(data, count, size):
        if record is None:
            yield Broken("records", "option", f"record at byte {offset}: cut short")


class MLDMessage(ICMPv6, first_byte=(130, 131, 132), source="RFC 2710 §3"):
    """A query (type 130), report (131) or done (132) of version 1, 24 bytes."""

    __slots__ = ()
    type: int = field(8, 131, "kind of message", "RFC 2710 §3.1", names=ICMPV6_TYPES)
    max_delay: int = field(16, 0, "ms within which to answer, in a query", "RFC 2710 §3.4")
    reserved: int = field(16, 0, "reserved", "RFC 2710 §3")
    group: Address = ipv6_address("::", "group; :: in a query stands for all", "RFC 2710 §3.6")

    @classmethod
    def form_of(cls, data: bytes, offset: int, end: int) -> HeaderClass:
        """A query of 28 bytes or more is one of version 2 (RFC 3810 §8.1)."""
        return MLDQuery if data[offset] == 130 and end - offset >= MLDQuery.SIZE else cls


class MLDQuery(ICMPv6, source="RFC 3810 §5.1"):
    """A query of version 2, 28 bytes and the sources that are asked for."""

    __slots__ = ()
    type: int = field(8, 130, "kind of message", "RFC 3810 §5.1", names=ICMPV6_TYPES)
    max_delay: int = field(16, 10_000, "ms within which to answer (see `delay_of`)", "RFC 3810 §5.1.3")
    reserved: int = field(16, 0, "reserved", "RFC 3810 §5.1.4")
    group: Address = ipv6_address("::", "group; :: stands for all", "RFC 3810 §5.1.5")
    reserved2: int = field(4, 0, "reserved", "RFC 3810 §5.1.6")
    suppress: int = field(1, 0, "routers need not process it", "RFC 3810 §5.1.7")
    robustness: int = field(3, 2, "how many times things are said", "RFC 3810 §5.1.8")
    interval: int = field(8, 125, "seconds between queries (see `delay_of`)", "RFC 3810 §5.1.9")
    count: int | None = computed(16, "number of sources", "RFC 3810 §5.1.10")
    sources: Octets = tail(LIMIT, "sources", "RFC 3810 §5.1.11")

    def counts(self) -> dict[str, int]:
        """How many sources there are."""
        return {"count": len(self.sources) // 16}

    @property
    def parsed_sources(self) -> tuple[str, ...]:
        """The sources as text."""
        return addresses_in(self.sources, self.count, 16)

    def broken_rules(self) -> Iterator[Broken]:
        """The sources are there."""
        if 16 * (self.count or 0) > len(self.sources):
            yield Broken("count", "exceeds", f"count is {self.count}, with {len(self.sources)} bytes of sources")

    def tail_rows(self) -> list[TailRow]:
        """One row a source."""
        return source_rows(self.parsed_sources, 16, "RFC 3810 §5.1.11")


class MLDReport(ICMPv6, first_byte=(143,), source="RFC 3810 §5.2"):
    """A report of version 2, 8 bytes and its records."""

    __slots__ = ()
    type: int = field(8, 143, "kind of message", "RFC 3810 §5.2", names=ICMPV6_TYPES)
    reserved: int = field(16, 0, "reserved", "RFC 3810 §5.2.1")
    count: int | None = computed(16, "number of records", "RFC 3810 §5.2.3")
    records: Octets = tail(LIMIT, "records", "RFC 3810 §5.2.4")

    def counts(self) -> dict[str, int]:
        """How many records there are."""
        return {"count": count_records(self.records, 16)}

    @property
    def parsed_records(self) -> tuple[GroupRecord, ...]:
        """The records as objects, up to one that is cut."""
        return tuple(record for _, _, record in records_in(self.records, self.count, 16) if record is not None)

    def broken_rules(self) -> Iterator[Broken]:
        """The records are there."""
        return record_rules(self.records, self.count, 16)

    def tail_rows(self) -> list[TailRow]:
        """One row a record."""
        return record_rows(self.records, self.count, 16, "RFC 3810 §5.2.4")


class IGMP(Header, ip_protocol=2, source="RFC 2236 §2"):
    """The first four bytes of every IGMP message."""

    __slots__ = ()
    type_names: ClassVar[dict[int, str]] = IGMP_TYPES
    type: int = field(8, 0x16, "kind of message", "RFC 2236 §2.1", names=IGMP_TYPES, base=16)
    max_response: int = field(8, 0, "tenths of a second within which to answer, in a query", "RFC 2236 §2.2")
    checksum: int | None = computed(16, "over the message", "RFC 2236 §2.3", base=16)

    @classmethod
    def variant_of(cls, data: bytes, offset: int, end: int) -> HeaderClass:
        """By the type; of the queries those of version 3 are longer (RFC 3376 §7.1)."""
        kind = cls.variants.get(data[offset], cls)
        return IGMPQuery if data[offset] == 0x11 and end - offset >= IGMPQuery.SIZE else kind

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the checksum."""
        counts = self.counts()
        return self.seal(0, payload, **counts) if self.checksum is None else self.pack(**counts)

    def counts(self) -> dict[str, int]:
        """What to fill in for the message's own open fields."""
        return {}

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The sum over the message."""
        return internet_checksum(data) == 0


class IGMPGroup(IGMP, first_byte=(0x11, 0x12, 0x16, 0x17), source="RFC 2236 §2"):
    """A query (0x11), report (0x12 of version 1, 0x16) or leave (0x17) for one group, 8 bytes."""

    __slots__ = ()
    group: Address = ipv4_address("0.0.0.0", "group; 0.0.0.0 in a query stands for all", "RFC 2236 §2.4")


class IGMPQuery(IGMP, source="RFC 3376 §4.1"):
    """A query of version 3, 12 bytes and the sources that are asked for."""

    __slots__ = ()
    type: int = field(8, 0x11, "kind of message", "RFC 3376 §4.1", names=IGMP_TYPES, base=16)
    max_response: int = field(8, 100, "tenths of a second within which to answer", "RFC 3376 §4.1.1")
    group: Address = ipv4_address("0.0.0.0", "group; 0.0.0.0 stands for all", "RFC 3376 §4.1.3")
    reserved: int = field(4, 0, "reserved", "RFC 3376 §4.1.4")
    suppress: int = field(1, 0, "routers need not process it", "RFC 3376 §4.1.5")
    robustness: int = field(3, 2, "how many times things are said", "RFC 3376 §4.1.6")
    interval: int = field(8, 125, "seconds between queries (see `delay_of`)", "RFC 3376 §4.1.7")
    count: int | None = computed(16, "number of sources", "RFC 3376 §4.1.8")
    sources: Octets = tail(LIMIT, "sources", "RFC 3376 §4.1.9")

    def counts(self) -> dict[str, int]:
        """How many sources there are."""
        return {"count": len(self.sources) // 4}

    @property
    def parsed_sources(self) -> tuple[str, ...]:
        """The sources as text."""
        return addresses_in(self.sources, self.count, 4)

    def broken_rules(self) -> Iterator[Broken]:
        """The sources are there."""
        if 4 * (self.count or 0) > len(self.sources):
            yield Broken("count", "exceeds", f"count is {self.count}, with {len(self.sources)} bytes of sources")

    def tail_rows(self) -> list[TailRow]:
        """One row a source."""
        return source_rows(self.parsed_sources, 4, "RFC 3376 §4.1.9")


class IGMPReport(IGMP, first_byte=(0x22,), source="RFC 3376 §4.2"):
    """A report of version 3, 8 bytes and its records."""

    __slots__ = ()
    type: int = field(8, 0x22, "kind of message", "RFC 3376 §4.2", names=IGMP_TYPES, base=16)
    reserved2: int = field(16, 0, "reserved", "RFC 3376 §4.2.1")
    count: int | None = computed(16, "number of records", "RFC 3376 §4.2.3")
    records: Octets = tail(LIMIT, "records", "RFC 3376 §4.2.4")

    def counts(self) -> dict[str, int]:
        """How many records there are."""
        return {"count": count_records(self.records, 4)}

    @property
    def parsed_records(self) -> tuple[GroupRecord, ...]:
        """The records as objects, up to one that is cut."""
        return tuple(record for _, _, record in records_in(self.records, self.count, 4) if record is not None)

    def broken_rules(self) -> Iterator[Broken]:
        """The records are there."""
        return record_rules(self.records, self.count, 4)

    def tail_rows(self) -> list[TailRow]:
        """One row a record."""
        return record_rows(self.records, self.count, 4, "RFC 3376 §4.2.4")
