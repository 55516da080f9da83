"""ARP for IPv4 over Ethernet (RFC 826)."""

from __future__ import annotations

from collections.abc import Iterator

from rawproto.wire.field import Address, field, ipv4_address, mac_address
from rawproto.wire.header import Broken, Header

__all__ = ["ARP"]


class ARP(Header, ethertype=0x0806, source="RFC 826"):
    """An ARP packet, 28 bytes. `ARP(operation=1, ...)` asks, `operation=2` answers."""

    __slots__ = ()
    length_field = "protocol_size"
    hardware_type: int = field(16, 1, "kind of hardware address", "RFC 826", names={1: "Ethernet"})
    protocol_type: int = field(16, 0x0800, "kind of protocol address", "RFC 826", names={0x0800: "IPv4"}, base=16)
    hardware_size: int = field(8, 6, "bytes of a hardware address", "RFC 826")
    protocol_size: int = field(8, 4, "bytes of a protocol address", "RFC 826")
    operation: int = field(16, 1, "what is meant", "RFC 826", names={1: "request", 2: "reply"})
    sender_mac: Address = mac_address("00:00:00:00:00:00", "sender's hardware address", "RFC 826")
    sender_ip: Address = ipv4_address("0.0.0.0", "sender's protocol address", "RFC 826")
    target_mac: Address = mac_address("00:00:00:00:00:00", "target's hardware address", "RFC 826")
    target_ip: Address = ipv4_address("0.0.0.0", "target's protocol address", "RFC 826")

    def payload_end(self, offset: int) -> int | None:
        """Nothing follows: what does is the frame's padding."""
        return offset + self.SIZE

    def broken_rules(self) -> Iterator[Broken]:
        """Only IPv4 over 6-byte hardware addresses is laid out as the table says."""
        if self.hardware_size != 6:
            yield Broken("hardware_size", "length", f"hardware_size is {self.hardware_size}, this table is for 6")
        if self.protocol_size != 4:
            yield Broken("protocol_size", "length", f"protocol_size is {self.protocol_size}, this table is for 4")
