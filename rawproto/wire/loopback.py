"""What BSDs and macOS record of their loopback device: four bytes that tell the address family, then IP.

`Null` (LINKTYPE_NULL) has them in the byte order of the machine that recorded, `Loop` (LINKTYPE_LOOP) in the
network's. IPv6 has another number on each system; all of them are understood.
"""

from __future__ import annotations

from rawproto.wire.field import field
from rawproto.wire.frame import LinkType
from rawproto.wire.header import ETHERTYPES, Header

__all__ = ["AF_INET", "AF_INET6", "Loop", "Null"]

AF_INET = 2
AF_INET6 = {"NetBSD, OpenBSD": 24, "FreeBSD": 28, "macOS": 30}
NAMES = {AF_INET: "IPv4", **{number: f"IPv6 ({system})" for system, number in AF_INET6.items()}}
SWAPPED = {int.from_bytes(number.to_bytes(4), "little"): name for number, name in NAMES.items()}
TYPES = {number: 0x0800 if number == AF_INET else 0x86DD for number in NAMES}


class Loop(Header, linktype=LinkType.LOOP, source="tcpdump.org LINKTYPE_LOOP"):
    """The header of OpenBSD's loopback, 4 bytes."""

    __slots__ = ()
    af: int = field(32, AF_INET, "address family of what follows", "tcpdump.org LINKTYPE_LOOP", names=NAMES)

    @property
    def address_family(self) -> int:
        """The address family, whichever byte order it is written in."""
        return self.af

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """IPv4 or IPv6."""
        return ETHERTYPES.get(TYPES.get(self.address_family, 0))


class Null(Loop, linktype=LinkType.NULL, source="tcpdump.org LINKTYPE_NULL"):
    """The header of BSD's loopback, 4 bytes. As read by the network's order: on most machines 0x02000000 is IPv4."""

    __slots__ = ()
    af: int = field(
        32,
        0x02000000,
        "address family of what follows, in the recorder's byte order",
        "tcpdump.org LINKTYPE_NULL",
        names={**NAMES, **SWAPPED},
        base=16,
    )

    @property
    def address_family(self) -> int:
        """The address family, whichever byte order it is written in: the smaller of the two readings."""
        value: int = self.raw("af")
        return min(value, int.from_bytes(value.to_bytes(4), "little"))

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """IPv4 or IPv6; some recorders have put an EtherType in place of the family."""
        number = self.address_family
        return ETHERTYPES.get(TYPES.get(number, number))


Loop.family, Null.family = "Loop", "Null"
