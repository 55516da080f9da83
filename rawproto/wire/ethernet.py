"""Ethernet II and 802.1Q VLAN tags.

A tag is a header of its own: `Ethernet() / VLAN(vid=5) / IPv4()`. The frame check sequence belongs to the
hardware and is no part of a frame here; neither is padding to 60 bytes, which the card adds.
"""

from __future__ import annotations

from rawproto.wire.field import Address, computed, field, mac_address
from rawproto.wire.frame import LinkType
from rawproto.wire.header import ETHERTYPES, Header

__all__ = ["LOCAL_EXPERIMENTAL", "VLAN", "Ethernet"]

LOCAL_EXPERIMENTAL = 0x88B5
"""What an EtherType left None becomes over a bare payload (IEEE 802 Local Experimental Ethertype 1)."""

NAMES = {0x0800: "IPv4", 0x0806: "ARP", 0x8100: "VLAN", 0x86DD: "IPv6", 0x88A8: "VLAN (provider)"}


class Ethernet(Header, linktype=LinkType.ETHERNET, source="IEEE 802.3 §3"):
    """An Ethernet II header, 14 bytes. Below 0x600 `ethertype` is an 802.3 length, and all the rest is payload."""

    __slots__ = ()
    dst: Address = mac_address("ff:ff:ff:ff:ff:ff", "destination MAC address", "IEEE 802.3 §3.2.3")
    src: Address = mac_address("00:00:00:00:00:00", "source MAC address", "IEEE 802.3 §3.2.3")
    ethertype: int | None = computed(16, "type of the payload", "IEEE 802.3 §3.2.6", names=NAMES, base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the type of `above`."""
        return self.pack(ethertype=ethertype_of(above))

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """What the type stands for."""
        return ETHERTYPES.get(self._values[2])


class VLAN(Header, ethertype=0x8100, source="IEEE 802.1Q §9"):
    """An 802.1Q tag, 4 bytes."""

    __slots__ = ()
    pcp: int = field(3, 0, "priority code point", "IEEE 802.1Q §9.6")
    dei: int = field(1, 0, "drop eligible", "IEEE 802.1Q §9.6")
    vid: int = field(12, 0, "VLAN identifier; 0 for priority only", "IEEE 802.1Q §9.6")
    ethertype: int | None = computed(16, "type of the payload", "IEEE 802.1Q §9.4", names=NAMES, base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the type of `above`."""
        return self.pack(ethertype=ethertype_of(above))

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """What the type stands for."""
        return ETHERTYPES.get(self._values[1])


def ethertype_of(above: Header | None) -> int:
    """The EtherType that announces `above`."""
    number = type(above).ether_number if above is not None else None
    return LOCAL_EXPERIMENTAL if number is None else number
