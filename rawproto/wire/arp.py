"""ARP and RARP (RFC 826, RFC 903).

Over Ethernet, for IPv4, a packet is an `ARP`, or a `RARP` if its operation says so. With addresses of other sizes it is
an `AnyARP`, whose addresses are the payload: `packet[AnyARP].addresses(packet.payload)` takes them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, NamedTuple

from rawproto.wire.field import Address, field, ipv4_address, mac_address
from rawproto.wire.header import ETHERTYPES, Broken, Header
from rawproto.wire.names import ETHERTYPE_NAMES, HARDWARE_NAMES

__all__ = ["ARP", "RARP", "Addresses", "AnyARP"]

OPERATIONS = {
    1: "request",
    2: "reply",
    3: "reverse request",
    4: "reverse reply",
    8: "inverse request",
    9: "inverse reply",
    10: "NAK",
}
REVERSE = (3, 4)


class Addresses(NamedTuple):
    """Whose addresses an ARP packet tells, as bytes."""

    sender_hardware: bytes
    sender_protocol: bytes
    target_hardware: bytes
    target_protocol: bytes


class AnyARP(Header, ethertype=0x0806, source="RFC 826"):
    """The first eight bytes of every ARP packet."""

    __slots__ = ()
    length_field = "protocol_size"
    variants: ClassVar[dict[int, type[Header]]] = {}
    hardware_type: int = field(16, 1, "kind of hardware address", "RFC 826", names=HARDWARE_NAMES)
    protocol_type: int = field(16, 0x0800, "kind of protocol address", "RFC 826", names=ETHERTYPE_NAMES, base=16)
    hardware_size: int = field(8, 6, "bytes of a hardware address", "RFC 826")
    protocol_size: int = field(8, 4, "bytes of a protocol address", "RFC 826")
    operation: int = field(16, 1, "what is meant", "RFC 826", names=OPERATIONS)

    @classmethod
    def variant_of(cls, data: bytes, offset: int, end: int) -> type[Header]:
        """By the sizes, then by the operation."""
        if data[offset + 4 : offset + 6] != b"\x06\x04":
            return AnyARP
        return RARP if data[offset + 6] == 0 and data[offset + 7] in REVERSE else ARP

    def payload_end(self, offset: int) -> int | None:
        """Behind the addresses: what follows is the frame's padding."""
        return offset + 8 + 2 * (self.hardware_size + self.protocol_size)

    def addresses(self, payload: bytes) -> Addresses:
        """The addresses that lie in `payload`; what is missing there is missing in them."""
        cuts = [0]
        for size in (self.hardware_size, self.protocol_size) * 2:
            cuts.append(cuts[-1] + size)
        return Addresses(*(payload[start:stop] for start, stop in pairwise(cuts)))


class ARP(AnyARP, first_byte=(6,), source="RFC 826"):
    """An ARP packet, 28 bytes. `ARP(operation=1, ...)` asks, `operation=2` answers."""

    __slots__ = ()
    sender_mac: Address = mac_address("00:00:00:00:00:00", "sender's hardware address", "RFC 826")
    sender_ip: Address = ipv4_address("0.0.0.0", "sender's protocol address", "RFC 826")
    target_mac: Address = mac_address("00:00:00:00:00:00", "target's hardware address", "RFC 826")
    target_ip: Address = ipv4_address("0.0.0.0", "target's protocol address", "RFC 826")

    def payload_end(self, offset: int) -> int | None:
        """Nothing follows: what does is the frame's padding."""
        return offset + self.SIZE

    def broken_rules(self) -> Iterator[Broken]:
        """Only 6-byte hardware and 4-byte protocol addresses are laid out as the table says."""
        if self.hardware_size != 6:
            yield Broken("hardware_size", "length", f"hardware_size is {self.hardware_size}, this table is for 6")
        if self.protocol_size != 4:
            yield Broken("protocol_size", "length", f"protocol_size is {self.protocol_size}, this table is for 4")


class RARP(ARP, ethertype=0x8035, source="RFC 903"):
    """An ARP packet that asks (3) or tells (4) which protocol address belongs to the target's hardware address."""

    __slots__ = ()
    operation: int = field(16, 3, "what is meant", "RFC 903", names=OPERATIONS)


AnyARP.family = ARP.family = RARP.family = "ARP"
ETHERTYPES[0x8035] = AnyARP  # until its sizes are known
