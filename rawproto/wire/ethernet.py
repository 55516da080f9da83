"""Ethernet: Ethernet II and IEEE 802.3, and VLAN tags.

A tag is a header of its own: `Ethernet() / VLAN(vid=5) / IPv4()`. The frame check sequence belongs to the
hardware and is no part of a frame here; neither is padding to 60 bytes, which the card adds.
"""

from __future__ import annotations

from collections.abc import Iterator

from rawproto.wire.field import Address, computed, field, mac_address
from rawproto.wire.frame import LinkType
from rawproto.wire.header import ETHERTYPES, Broken, Header
from rawproto.wire.llc import LLC, LOCAL_EXPERIMENTAL, above_length
from rawproto.wire.names import ETHERTYPE_NAMES

__all__ = ["LOCAL_EXPERIMENTAL", "VLAN", "Ethernet", "OldProviderVLAN", "ProviderVLAN"]

MAX_LENGTH, MIN_TYPE = 1500, 0x600
"""Up to the one it is a length (IEEE 802.3 §3.2.6), from the other on a type, and between them neither."""


class Ethernet(Header, linktype=LinkType.ETHERNET, source="IEEE 802.3 §3"):
    """An Ethernet header, 14 bytes. Up to 1500 `ethertype` is the length of an 802.3 frame, with `LLC` above."""

    __slots__ = ()
    type_field = "ethertype"
    length_field = "ethertype"
    dst: Address = mac_address("ff:ff:ff:ff:ff:ff", "destination MAC address", "IEEE 802.3 §3.2.3")
    src: Address = mac_address("00:00:00:00:00:00", "source MAC address", "IEEE 802.3 §3.2.3")
    ethertype: int | None = computed(
        16, "type of the payload, or its length", "IEEE 802.3 §3.2.6", names=ETHERTYPE_NAMES, base=16
    )

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the type of `above`, or the length over LLC."""
        return self.pack(ethertype=ethertype_of(above, payload))

    def payload_end(self, offset: int) -> int | None:
        """By the length, if it is one."""
        number: int = self._values[2]
        return offset + 14 + number if 0 < number <= MAX_LENGTH else None

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """What the type stands for."""
        number = self._values[2]
        return ETHERTYPES.get(number) if number >= MIN_TYPE else above_number(number, data, offset)

    def broken_rules(self) -> Iterator[Broken]:
        """A type or a length, and not what lies between them."""
        return type_rules(self.ethertype or 0)


class VLAN(Header, ethertype=0x8100, source="IEEE 802.1Q §9"):
    """An 802.1Q tag, 4 bytes."""

    __slots__ = ()
    type_field = "ethertype"
    length_field = "ethertype"
    pcp: int = field(3, 0, "priority code point", "IEEE 802.1Q §9.6")
    dei: int = field(1, 0, "drop eligible", "IEEE 802.1Q §9.6")
    vid: int = field(12, 0, "VLAN identifier; 0 for priority only", "IEEE 802.1Q §9.6")
    ethertype: int | None = computed(
        16, "type of the payload, or its length", "IEEE 802.1Q §9.4", names=ETHERTYPE_NAMES, base=16
    )

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the type of `above`, or the length over LLC."""
        return self.pack(ethertype=ethertype_of(above, payload))

    def payload_end(self, offset: int) -> int | None:
        """By the length, if it is one."""
        number = self.ethertype or 0
        return offset + 4 + number if 0 < number <= MAX_LENGTH else None

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """What the type stands for."""
        return above_number(self.ethertype or 0, data, offset)

    def broken_rules(self) -> Iterator[Broken]:
        """A type or a length, and not what lies between them."""
        return type_rules(self.ethertype or 0)


class ProviderVLAN(VLAN, ethertype=0x88A8, source="IEEE 802.1ad §9"):
    """The outer tag of two, the provider's (QinQ)."""

    __slots__ = ()


class OldProviderVLAN(VLAN, ethertype=0x9100, source="in use before IEEE 802.1ad"):
    """The outer tag of two with the number that it had before there was a standard."""

    __slots__ = ()


def above_number(number: int, data: bytes, offset: int) -> type[Header] | None:
    """What an EtherType stands for, or what follows a length."""
    return above_length(data, offset) if 0 < number <= MAX_LENGTH else ETHERTYPES.get(number)


def type_rules(number: int) -> Iterator[Broken]:
    """Numbers that are neither a type nor a length."""
    if not MAX_LENGTH < number < MIN_TYPE:
        return iter(())
    text = f"{number} is neither a length (up to {MAX_LENGTH}) nor a type (from {MIN_TYPE})"
    return iter((Broken("ethertype", "length", text),))


def ethertype_of(above: Header | None, payload: bytes) -> int:
    """The EtherType that announces `above`; over LLC the length of the payload."""
    number = type(above).ether_number if above is not None else None
    if number is None:
        return len(payload) if isinstance(above, LLC) else LOCAL_EXPERIMENTAL
    return number
