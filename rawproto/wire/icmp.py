"""ICMP (RFC 792) and ICMPv6 (RFC 4443): the common four bytes, echo and errors.

The messages of one family are subclasses of it: `packet[ICMP]` finds an `ICMPEcho` too. A type without a class
of its own is read as the family, with its body as payload. Neighbour discovery is in `neighbor`.
"""

from __future__ import annotations

from typing import ClassVar

from rawproto.wire.checksum import internet_checksum, patch, sum_on
from rawproto.wire.field import computed, field
from rawproto.wire.header import Header

__all__ = ["ICMP", "ICMPEcho", "ICMPError", "ICMPv6", "ICMPv6Echo", "ICMPv6Error"]

ICMP_TYPES = {
    0: "echo reply",
    3: "destination unreachable",
    4: "source quench",
    5: "redirect",
    8: "echo request",
    11: "time exceeded",
    12: "parameter problem",
}
ICMPV6_TYPES = {
    1: "destination unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbor solicitation",
    136: "neighbor advertisement",
    137: "redirect",
}


class ICMP(Header, ip_protocol=1, source="RFC 792"):
    """The first four bytes of every ICMP message."""

    __slots__ = ()
    type_names: ClassVar[dict[int, str]] = ICMP_TYPES
    type: int = field(8, 8, "kind of message", "RFC 792", names=ICMP_TYPES)
    code: int = field(8, 0, "kind within the type", "RFC 792")
    checksum: int | None = computed(16, "over the message", "RFC 792", base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the checksum."""
        header = self.pack()
        return patch(header, 2, internet_checksum(header, payload)) if self.checksum is None else header

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The sum over the message."""
        return internet_checksum(data) == 0


class ICMPEcho(ICMP, first_byte=(0, 8), source="RFC 792 p14"):
    """Echo request (type 8) or reply (type 0), 8 bytes."""

    __slots__ = ()
    id: int = field(16, 0, "tells the sender's processes apart", "RFC 792 p14")
    seq: int = field(16, 0, "number of the request", "RFC 792 p14")


class ICMPError(ICMP, first_byte=(3, 4, 5, 11, 12), source="RFC 792 p4"):
    """An error about a packet, whose start is the payload; 8 bytes."""

    __slots__ = ()
    type: int = field(8, 3, "kind of message", "RFC 792 p4", names=ICMP_TYPES)
    rest: int = field(32, 0, "next-hop MTU (low 16 bits), gateway or pointer", "RFC 1191 §4", base=16)


class ICMPv6(Header, ip_protocol=58, source="RFC 4443 §2.1"):
    """The first four bytes of every ICMPv6 message. Without an IPv6 header below, a checksum of None gives 0."""

    __slots__ = ()
    needs_network = True
    type_names: ClassVar[dict[int, str]] = ICMPV6_TYPES
    type: int = field(8, 128, "kind of message", "RFC 4443 §2.1", names=ICMPV6_TYPES)
    code: int = field(8, 0, "kind within the type", "RFC 4443 §2.1")
    checksum: int | None = computed(16, "over pseudo header and message", "RFC 4443 §2.3", base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the checksum."""
        header = self.pack()
        if self.checksum is not None or network is None:
            return header
        data = header + payload
        return patch(header, 2, sum_on(network.pseudo_sum(58, len(data)), data))

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The sum over pseudo header and message."""
        if network is None:
            return None
        return sum_on(network.pseudo_sum(58, len(data)), data) == 0


class ICMPv6Echo(ICMPv6, first_byte=(128, 129), source="RFC 4443 §4"):
    """Echo request (type 128) or reply (type 129), 8 bytes."""

    __slots__ = ()
    id: int = field(16, 0, "tells the sender's processes apart", "RFC 4443 §4.1")
    seq: int = field(16, 0, "number of the request", "RFC 4443 §4.1")


class ICMPv6Error(ICMPv6, first_byte=(1, 2, 3, 4), source="RFC 4443 §3"):
    """An error about a packet, whose start is the payload; 8 bytes."""

    __slots__ = ()
    type: int = field(8, 1, "kind of message", "RFC 4443 §3", names=ICMPV6_TYPES)
    rest: int = field(32, 0, "MTU (packet too big) or pointer (parameter problem)", "RFC 4443 §3", base=16)
