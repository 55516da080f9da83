"""Logical link control (IEEE 802.2) and SNAP: what follows an 802.3 length instead of an EtherType.

Ethernet() / LLC() / SNAP() / IPv4()            # the length, the OUI's type filled in
Ethernet(dst="01:80:c2:00:00:00") / LLC(dsap=0x42, ssap=0x42) / bpdu
"""

from __future__ import annotations

from typing import ClassVar

from rawproto.wire.field import computed, field
from rawproto.wire.header import ETHERTYPES, Header
from rawproto.wire.names import ETHERTYPE_NAMES

__all__ = ["LLC", "LOCAL_EXPERIMENTAL", "SNAP", "LLCNumbered", "above_length"]

LOCAL_EXPERIMENTAL = 0x88B5
"""What an EtherType left None becomes over a bare payload (IEEE 802 Local Experimental Ethertype 1)."""

SNAP_SAP, IP_SAP = 0xAA, 0x06
UNNUMBERED_INFORMATION = 0x03
ENCAPSULATED_ETHERNET = (0x000000, 0x0000F8)
"""The OUIs behind which an EtherType follows: RFC 1042's, and Cisco's for 802.1H."""
SAPS = {
    0x00: "null",
    0x02: "sublayer management",
    0x06: "IP",
    0x0E: "PROWAY",
    0x42: "spanning tree",
    0x4E: "MMS",
    0x7E: "ISO 8208",
    0x80: "XNS",
    0x8E: "PROWAY ASL",
    0x98: "ARP",
    0xAA: "SNAP",
    0xBC: "VINES",
    0xE0: "NetWare",
    0xF0: "NetBIOS",
    0xF4: "LAN management",
    0xFE: "OSI",
    0xFF: "all",
}
OUIS = {0x000000: "Ethernet", 0x0000F8: "Cisco 802.1H", 0x00000C: "Cisco", 0x0080C2: "IEEE 802.1", 0x080007: "Apple"}
NUMBERED = tuple(byte for byte in range(256) if byte & 3 != 3)
"""Control bytes of information and supervisory frames: a second one follows."""


class LLC(Header, source="IEEE 802.2 §3"):
    """An LLC header with a control field of one byte, 3 bytes in all: an unnumbered frame, mostly UI (3)."""

    __slots__ = ()
    variants: ClassVar[dict[int, type[Header]]] = {}
    variant_at: ClassVar[int] = 2
    dsap: int = field(8, SNAP_SAP, "destination service access point", "IEEE 802.2 §3.3.1", names=SAPS, base=16)
    ssap: int = field(8, SNAP_SAP, "source; the lowest bit tells a response", "IEEE 802.2 §3.3.1", names=SAPS, base=16)
    control: int = field(8, 3, "kind of frame", "IEEE 802.2 §5.4", names={3: "UI", 0xAF: "XID", 0xE3: "TEST"}, base=16)

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """SNAP and IP, in frames that carry information; the others' payload is opaque."""
        if self.control & 1 and self.control != UNNUMBERED_INFORMATION:
            return None
        if self.dsap == SNAP_SAP and self.ssap == SNAP_SAP:
            return SNAP
        return ETHERTYPES.get(0x0800) if self.dsap == IP_SAP else None


class LLCNumbered(LLC, first_byte=NUMBERED, source="IEEE 802.2 §5.4"):
    """An LLC header with a control field of two bytes, 4 in all: information or supervision in a connection."""

    __slots__ = ()
    control: int = field(8, 0, "N(S) and 0: information; else supervision", "IEEE 802.2 §5.4", base=16)
    nr: int = field(7, 0, "number of the frame expected next", "IEEE 802.2 §5.4.2")
    pf: int = field(1, 0, "poll or final", "IEEE 802.2 §5.4.2")


class SNAP(Header, source="RFC 1042; IEEE 802 §9"):
    """A SNAP header, 5 bytes: an EtherType behind LLC."""

    __slots__ = ()
    type_field = "ethertype"
    oui: int = field(24, 0, "whose protocol number it is", "IEEE 802 §9.5", names=OUIS, base=16)
    ethertype: int | None = computed(16, "protocol number", "IEEE 802 §9.5", names=ETHERTYPE_NAMES, base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the type of `above`."""
        number = above.ether_number if above is not None else None
        return self.pack(ethertype=LOCAL_EXPERIMENTAL if number is None else number)

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """What the type stands for, if it is an EtherType."""
        return ETHERTYPES.get(self.ethertype or 0) if self.oui in ENCAPSULATED_ETHERNET else None


def above_length(data: bytes, offset: int) -> type[Header] | None:
    """What follows an 802.3 length: LLC, or the payload of Novell's frames without it, which begins with ff:ff."""
    return None if data[offset : offset + 2] == b"\xff\xff" else LLC
