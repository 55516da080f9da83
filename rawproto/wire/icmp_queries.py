"""ICMP's queries beside echo: timestamp, address mask, information, router discovery, extended echo."""

from __future__ import annotations

from collections.abc import Iterator

from rawproto.wire.address import ip_text
from rawproto.wire.field import Address, Octets, computed, field, ipv4_address, tail
from rawproto.wire.header import Broken, TailRow
from rawproto.wire.icmp import ICMP, ICMP_TYPES, ICMPV6_TYPES, ICMPEcho, ICMPv6

__all__ = [
    "ICMPAddressMask",
    "ICMPExtendedEcho",
    "ICMPExtendedEchoReply",
    "ICMPInformation",
    "ICMPRouterAdvertisement",
    "ICMPRouterSolicitation",
    "ICMPTimestamp",
    "ICMPv6ExtendedEcho",
    "ICMPv6ExtendedEchoReply",
]

STATES = {1: "incomplete", 2: "reachable", 3: "stale", 4: "delay", 5: "probe", 6: "failed"}


class ICMPTimestamp(ICMP, first_byte=(13, 14), source="RFC 792 p16"):
    """Timestamp request (type 13) or reply (type 14), 20 bytes. Times are in ms since midnight UT."""

    __slots__ = ()
    type: int = field(8, 13, "kind of message", "RFC 792 p16", names=ICMP_TYPES)
    id: int = field(16, 0, "tells the sender's processes apart", "RFC 792 p16")
    seq: int = field(16, 0, "number of the request", "RFC 792 p16")
    originate: int = field(32, 0, "when the request was sent", "RFC 792 p16")
    receive: int = field(32, 0, "when it was received", "RFC 792 p16")
    transmit: int = field(32, 0, "when the reply was sent", "RFC 792 p16")


class ICMPInformation(ICMPEcho, first_byte=(15, 16), source="RFC 792 p18"):
    """Information request (type 15) or reply (type 16), 8 bytes: which net is this? Obsolete (RFC 6918)."""

    __slots__ = ()
    type: int = field(8, 15, "kind of message", "RFC 792 p18", names=ICMP_TYPES)


class ICMPAddressMask(ICMP, first_byte=(17, 18), source="RFC 950 appendix I"):
    """Address mask request (type 17) or reply (type 18), 12 bytes. Obsolete (RFC 6918)."""

    __slots__ = ()
    type: int = field(8, 17, "kind of message", "RFC 950 appendix I", names=ICMP_TYPES)
    id: int = field(16, 0, "tells the sender's processes apart", "RFC 950 appendix I")
    seq: int = field(16, 0, "number of the request", "RFC 950 appendix I")
    mask: Address = ipv4_address("0.0.0.0", "the subnet's mask", "RFC 950 appendix I")


class ICMPRouterSolicitation(ICMP, first_byte=(10,), source="RFC 1256 §3"):
    """Asks routers to advertise themselves, 8 bytes."""

    __slots__ = ()
    type: int = field(8, 10, "kind of message", "RFC 1256 §3", names=ICMP_TYPES)
    reserved: int = field(32, 0, "reserved", "RFC 1256 §3")


class ICMPRouterAdvertisement(ICMP, first_byte=(9,), source="RFC 1256 §3"):
    """A router's addresses, 8 bytes and 8 for each: the address, and how much it is to be preferred (signed)."""

    __slots__ = ()
    type: int = field(8, 9, "kind of message", "RFC 1256 §3", names=ICMP_TYPES)
    count: int | None = computed(8, "number of addresses", "RFC 1256 §3")
    entry_size: int = field(8, 2, "32-bit words of each", "RFC 1256 §3")
    lifetime: int = field(16, 1800, "how long they hold, in seconds", "RFC 1256 §3")
    routers: Octets = tail(8 * 255, "addresses and preferences", "RFC 1256 §3")

    def counts(self) -> dict[str, int]:
        """How many addresses there are."""
        return {"count": len(self.routers) // 8}

    @property
    def parsed_routers(self) -> tuple[tuple[str, int], ...]:
        """(address, preference); none if they are laid out in another way."""
        if self.entry_size != 2:
            return ()
        room = len(self.routers) // 8
        count = room if self.count is None else min(self.count, room)
        parts = [self.routers[at : at + 8] for at in range(0, 8 * count, 8)]
        return tuple((ip_text(part[:4]), int.from_bytes(part[4:], signed=True)) for part in parts)

    def broken_rules(self) -> Iterator[Broken]:
        """The entries have their size, and are there."""
        if self.entry_size < 2:
            yield Broken("entry_size", "minimum", f"entry_size is {self.entry_size} words, at least 2 are needed")
        elif 4 * self.entry_size * (self.count or 0) > len(self.routers):
            yield Broken("count", "exceeds", f"count is {self.count}, with {len(self.routers)} bytes of addresses")

    def tail_rows(self) -> list[TailRow]:
        """One row an address."""
        rows = enumerate(f"{address}, preference {preference}" for address, preference in self.parsed_routers)
        return [TailRow(8 * at, 8, f"router {at}", text, self.source) for at, text in rows]


class ICMPExtendedEcho(ICMP, first_byte=(42,), source="RFC 8335 §2"):
    """Asks whether an interface is up, which extension objects in the payload name; 8 bytes."""

    __slots__ = ()
    type: int = field(8, 42, "kind of message", "RFC 8335 §2", names=ICMP_TYPES)
    id: int = field(16, 0, "tells the sender's processes apart", "RFC 8335 §2")
    seq: int = field(8, 0, "number of the request", "RFC 8335 §2")
    reserved: int = field(7, 0, "reserved", "RFC 8335 §2")
    local: int = field(1, 0, "the interface is the receiver's own", "RFC 8335 §2")


class ICMPExtendedEchoReply(ICMP, first_byte=(43,), source="RFC 8335 §3"):
    """Whether the interface is up, 8 bytes."""

    __slots__ = ()
    type: int = field(8, 43, "kind of message", "RFC 8335 §3", names=ICMP_TYPES)
    id: int = field(16, 0, "as in the request", "RFC 8335 §3")
    seq: int = field(8, 0, "as in the request", "RFC 8335 §3")
    state: int = field(3, 0, "state of the neighbour", "RFC 8335 §3", names=STATES)
    reserved: int = field(2, 0, "reserved", "RFC 8335 §3")
    active: int = field(1, 0, "the interface is up", "RFC 8335 §3")
    ipv4: int = field(1, 0, "IPv4 runs on it", "RFC 8335 §3")
    ipv6: int = field(1, 0, "IPv6 runs on it", "RFC 8335 §3")


class ICMPv6ExtendedEcho(ICMPv6, first_byte=(160,), source="RFC 8335 §2"):
    """Asks whether an interface is up, which extension objects in the payload name; 8 bytes."""

    __slots__ = ()
    type: int = field(8, 160, "kind of message", "RFC 8335 §2", names=ICMPV6_TYPES)
    id: int = field(16, 0, "tells the sender's processes apart", "RFC 8335 §2")
    seq: int = field(8, 0, "number of the request", "RFC 8335 §2")
    reserved: int = field(7, 0, "reserved", "RFC 8335 §2")
    local: int = field(1, 0, "the interface is the receiver's own", "RFC 8335 §2")


class ICMPv6ExtendedEchoReply(ICMPv6, first_byte=(161,), source="RFC 8335 §3"):
    """Whether the interface is up, 8 bytes."""

    __slots__ = ()
    type: int = field(8, 161, "kind of message", "RFC 8335 §3", names=ICMPV6_TYPES)
    id: int = field(16, 0, "as in the request", "RFC 8335 §3")
    seq: int = field(8, 0, "as in the request", "RFC 8335 §3")
    state: int = field(3, 0, "state of the neighbour", "RFC 8335 §3", names=STATES)
    reserved: int = field(2, 0, "reserved", "RFC 8335 §3")
    active: int = field(1, 0, "the interface is up", "RFC 8335 §3")
    ipv4: int = field(1, 0, "IPv4 runs on it", "RFC 8335 §3")
    ipv6: int = field(1, 0, "IPv6 runs on it", "RFC 8335 §3")
