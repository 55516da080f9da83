"""IPv6 routing headers (RFC 8200 §4.4): the places that a packet is to pass on its way.

`Routing` is what all of them begin with; the type in it decides the class: `packet[Routing]` finds any. While segments
are left, the IPv6 header's destination is only the next stop, and checksums above are made with the final one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rawproto.wire.address import ip_text
from rawproto.wire.field import Octets, field, tail
from rawproto.wire.header import Broken, Header, TailRow
from rawproto.wire.ipv6_extension import LONGEST, ExtensionHeader

__all__ = [
    "RPLSourceRoute",
    "Routing",
    "SegmentRouting",
    "SourceRoute",
    "SourceRouteToHome",
    "UnknownRouting",
]

TYPES = {0: "source route (deprecated)", 1: "Nimrod (deprecated)", 2: "home address", 3: "RPL", 4: "segment routing"}


class Routing(ExtensionHeader, ip_protocol=43, source="RFC 8200 §4.4"):
    """What all routing headers begin with, 4 bytes."""

    __slots__ = ()
    family: ClassVar[str] = "Routing"
    variants: ClassVar[dict[int, type[Header]]] = {}
    variant_at: ClassVar[int] = 2
    reroutes = True
    routing_type: int = field(8, 0, "kind of routing header", "RFC 8200 §4.4", names=TYPES)
    segments_left: int = field(8, 0, "stops that are still to come", "RFC 8200 §4.4")

    @classmethod
    def variant_of(cls, data: bytes, offset: int, end: int) -> type[Header]:
        """By the routing type."""
        return cls.variants.get(data[offset + 2], UnknownRouting)

    @property
    def is_readable(self) -> bool:
        """Whether it is laid out as its type says; nobody looks behind one that is not (RFC 8754 §4.3.1.1)."""
        return True

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """By the next header, if this one is all here and can be read."""
        return super().above(data, offset, end) if self.is_readable else None

    def final(self, dst: bytes) -> bytes | None:
        """Where the packet is going in the end, given the IPv6 header's destination; None if that is it."""
        return None

    def rerouted(self, network: Header) -> Header:
        """`network`, if it is IPv6, with the final destination (RFC 8200 §8.1)."""
        dst = network.raw("dst")
        final = self.final(dst) if self.segments_left and len(dst) == 16 else None
        return network if final is None else network.replace(dst=final)


class UnknownRouting(Routing):
    """A routing header of a type that has no class here: what it says is opaque."""

    __slots__ = ()
    data: Octets = tail(LONGEST - 4, "what the type says", "RFC 8200 §4.4", words="hdr_ext_len", unit=8, extra=8)


class SourceRoute(Routing, first_byte=(0,), source="RFC 2460 §4.4"):
    """Type 0: whole addresses. Deprecated by RFC 5095, because packets can be sent to and fro with it."""

    __slots__ = ()
    reserved: int = field(32, 0, "reserved", "RFC 2460 §4.4")
    addresses: Octets = tail(LONGEST - 8, "addresses", "RFC 2460 §4.4", words="hdr_ext_len", unit=8, extra=8)

    @property
    def parsed_addresses(self) -> tuple[str, ...]:
        """The stops; the last one is the final destination."""
        return tuple(ip_text(part) for part in _addresses(self.addresses))

    def final(self, dst: bytes) -> bytes | None:
        """The last address."""
        found = _addresses(self.addresses)
        return found[-1] if found else None

    def broken_rules(self) -> Iterator[Broken]:
        """Whole addresses, and not more stops than those."""
        if (self.hdr_ext_len or 0) % 2:
            yield Broken("hdr_ext_len", "length", f"hdr_ext_len is {self.hdr_ext_len}: not a whole number of addresses")
        if self.segments_left > (self.hdr_ext_len or 0) // 2:
            yield Broken("segments_left", "length", f"segments_left is {self.segments_left}, more than addresses")

    def tail_rows(self) -> list[TailRow]:
        """One row an address."""
        return _address_rows(self.addresses, self.source)


class SourceRouteToHome(SourceRoute, first_byte=(2,), source="RFC 6275 §6.4"):
    """Type 2: the home address of a mobile node that is elsewhere."""

    __slots__ = ()
    routing_type: int = field(8, 2, "kind of routing header", "RFC 6275 §6.4.1", names=TYPES)
    segments_left: int = field(8, 1, "stops that are still to come: the home address", "RFC 6275 §6.4.1")

    @property
    def is_readable(self) -> bool:
        """Whether there is room for the address."""
        return (self.hdr_ext_len or 0) >= 2

    def broken_rules(self) -> Iterator[Broken]:
        """One address, one stop."""
        if self.hdr_ext_len != 2:
            yield Broken("hdr_ext_len", "length", f"hdr_ext_len is {self.hdr_ext_len}, not 2: one address")
        if self.segments_left != 1:
            yield Broken("segments_left", "length", f"segments_left is {self.segments_left}, not 1")


class RPLSourceRoute(Routing, first_byte=(3,), source="RFC 6554 §3"):
    """Type 3: addresses without the first bytes that they share with the destination, for low-power networks."""

    __slots__ = ()
    routing_type: int = field(8, 3, "kind of routing header", "RFC 6554 §3", names=TYPES)
    cmpr_i: int = field(4, 0, "first bytes that all addresses but the last leave out", "RFC 6554 §3")
    cmpr_e: int = field(4, 0, "first bytes that the last address leaves out", "RFC 6554 §3")
    pad: int = field(4, 0, "bytes of padding at the end", "RFC 6554 §3")
    reserved: int = field(20, 0, "reserved", "RFC 6554 §3")
    addresses: Octets = tail(LONGEST - 8, "addresses", "RFC 6554 §3", words="hdr_ext_len", unit=8, extra=8)

    def parsed_addresses(self, dst: bytes) -> tuple[str, ...]:
        """The stops in full, given the IPv6 header's destination, 16 bytes; none if the sizes can't be."""
        data = self.addresses[: len(self.addresses) - self.pad]
        size, last = 16 - self.cmpr_i, 16 - self.cmpr_e
        if len(data) < last or (len(data) - last) % size:
            return ()
        cuts = [dst[: self.cmpr_i] + data[at : at + size] for at in range(0, len(data) - last, size)]
        return tuple(map(ip_text, [*cuts, dst[: self.cmpr_e] + data[len(data) - last :]]))

    def final(self, dst: bytes) -> bytes | None:
        """The last address."""
        last = 16 - self.cmpr_e
        data = self.addresses[: len(self.addresses) - self.pad]
        return dst[: self.cmpr_e] + data[-last:] if len(data) >= last else None

    def broken_rules(self) -> Iterator[Broken]:
        """The addresses fill what the length says."""
        room = 8 * (self.hdr_ext_len or 0) - self.pad - (16 - self.cmpr_e)
        count = room // (16 - self.cmpr_i) + 1
        if room < 0 or room % (16 - self.cmpr_i):
            yield Broken("hdr_ext_len", "length", f"hdr_ext_len is {self.hdr_ext_len}: no whole number of addresses")
        elif self.segments_left > count:
            yield Broken("segments_left", "length", f"segments_left is {self.segments_left} of {count} addresses")


class SegmentRouting(Routing, first_byte=(4,), source="RFC 8754 §2"):
    """Type 4: segments, the last one first, then options (TLVs)."""

    __slots__ = ()
    routing_type: int = field(8, 4, "kind of routing header", "RFC 8754 §2", names=TYPES)
    last_entry: int = field(8, 0, "index of the last segment in the list", "RFC 8754 §2")
    flags: int = field(8, 0, "flags", "RFC 8754 §2", base=16)
    tag: int = field(16, 0, "marks packets of a class", "RFC 8754 §2", base=16)
    segments: Octets = tail(LONGEST - 8, "segments, then TLVs", "RFC 8754 §2", words="hdr_ext_len", unit=8, extra=8)

    @property
    def is_readable(self) -> bool:
        """Whether there is room for the segments."""
        return 2 * (self.last_entry + 1) <= (self.hdr_ext_len or 0)

    @property
    def parsed_segments(self) -> tuple[str, ...]:
        """The stops, from the final one back to the first."""
        return tuple(ip_text(part) for part in _addresses(self.segments)[: self.last_entry + 1])

    @property
    def tlvs(self) -> bytes:
        """What follows the segments."""
        return self.segments[16 * (self.last_entry + 1) :]

    def final(self, dst: bytes) -> bytes | None:
        """The first segment in the list."""
        found = _addresses(self.segments)
        return found[0] if found else None

    def broken_rules(self) -> Iterator[Broken]:
        """The segments are there, and not more stops than those."""
        if not self.is_readable:
            text = f"last_entry is {self.last_entry}, with room for {(self.hdr_ext_len or 0) // 2} segments"
            yield Broken("last_entry", "length", text)
        if self.segments_left > self.last_entry + 1:
            yield Broken("segments_left", "length", f"segments_left is {self.segments_left} of {self.last_entry + 1}")

    def tail_rows(self) -> list[TailRow]:
        """One row a segment."""
        return _address_rows(self.segments[: 16 * (self.last_entry + 1)], self.source)


def _addresses(data: bytes) -> list[bytes]:
    return [data[at : at + 16] for at in range(0, len(data) - 15, 16)]


def _address_rows(data: bytes, source: str) -> list[TailRow]:
    parts = enumerate(_addresses(data))
    return [TailRow(16 * at, 16, f"address {at}", ip_text(part), source) for at, part in parts]
