"""IPv4 (RFC 791)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntFlag

from rawproto.wire.checksum import internet_checksum, patch, pseudo_header
from rawproto.wire.field import Address, Octets, computed, field, ipv4_address, tail
from rawproto.wire.frame import LinkType
from rawproto.wire.header import IP_PROTOCOLS, Broken, Header

__all__ = ["IP_PROTOCOL_NAMES", "RESERVED_PROTOCOL", "IPv4", "IPv4Flags", "ip_number_of"]

RESERVED_PROTOCOL = 255
"""What a protocol left None becomes over a bare payload (RFC 5237: reserved)."""

IP_PROTOCOL_NAMES = {
    0: "hop-by-hop options",
    1: "ICMP",
    2: "IGMP",
    4: "IPv4",
    6: "TCP",
    17: "UDP",
    41: "IPv6",
    43: "routing",
    44: "fragment",
    47: "GRE",
    50: "ESP",
    51: "AH",
    58: "ICMPv6",
    59: "no next header",
    60: "destination options",
    132: "SCTP",
    253: "RDT",
}
ECN_NAMES = {0: "not ECN-capable", 1: "ECT(1)", 2: "ECT(0)", 3: "CE"}


class IPv4Flags(IntFlag):
    """The three bits before the fragment offset."""

    MF = 1
    """More fragments follow."""
    DF = 2
    """Don't fragment."""
    RESERVED = 4


class IPv4(Header, ethertype=0x0800, ip_protocol=4, source="RFC 791 §3.1"):
    """An IPv4 header, 20 to 60 bytes. Options are bytes; with `ihl` None they are padded to whole words."""

    __slots__ = ()
    link_number = LinkType.RAW
    has_pseudo_header = True
    may_fragment = True
    checksum_covers_payload = False
    length_field = "total_length"

    version: int = field(4, 4, "version", "RFC 791 §3.1")
    ihl: int | None = computed(4, "header length in 32-bit words", "RFC 791 §3.1")
    dscp: int = field(6, 0, "differentiated services code point", "RFC 2474 §3")
    ecn: int = field(2, 0, "explicit congestion notification", "RFC 3168 §5", names=ECN_NAMES)
    total_length: int | None = computed(16, "header and payload in bytes", "RFC 791 §3.1")
    id: int = field(16, 0, "ties fragments together", "RFC 6864 §4", base=16)
    flags: int = field(3, 0, "fragmentation", "RFC 791 §3.1", names=IPv4Flags)
    fragment_offset: int = field(13, 0, "position in the datagram, in units of 8 bytes", "RFC 791 §3.1")
    ttl: int = field(8, 64, "hops that are left", "RFC 791 §3.1")
    protocol: int | None = computed(8, "type of the payload", "RFC 791 §3.1", names=IP_PROTOCOL_NAMES)
    checksum: int | None = computed(16, "over the header", "RFC 791 §3.1", base=16)
    src: Address = ipv4_address("0.0.0.0", "source address", "RFC 791 §3.1")
    dst: Address = ipv4_address("0.0.0.0", "destination address", "RFC 791 §3.1")
    options: Octets = tail(40, "options", "RFC 791 §3.1", words="ihl")

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in lengths, protocol and checksum."""
        options = self._values[-1]
        length = 20 + len(options) + len(payload)
        if options and self._values[1] is None:
            length += -len(options) & 3
        header = self.pack(total_length=length, protocol=ip_number_of(above))
        return patch(header, 10, internet_checksum(header)) if self._values[10] is None else header

    def payload_end(self, offset: int) -> int | None:
        """By the total length; one below the header's says nothing (segmentation offload leaves 0)."""
        length: int = self._values[4]
        return offset + length if length >= self.size else None

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """By the protocol, unless this is a later fragment or no IPv4 header at all."""
        values = self._values
        if values[7] or values[1] < 5 or values[0] != 4:
            return None
        return IP_PROTOCOLS.get(values[9])

    def broken_rules(self) -> Iterator[Broken]:
        """Version, header length and total length against each other."""
        version, ihl, _, _, length, *_ = self._values
        if version != 4:
            yield Broken("version", "version", f"version is {version}, not 4")
        if ihl < 5:
            yield Broken("ihl", "minimum", f"ihl is {ihl} words, at least 5 are needed")
        elif length < ihl * 4:
            yield Broken("total_length", "minimum", f"total_length is {length}, below the header's {ihl * 4}")

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The sum over the header; None if a part of it is missing."""
        if self._values[1] * 4 > self.size:
            return None
        return internet_checksum(data[: self.size]) == 0

    @property
    def is_fragment(self) -> bool:
        """Whether more fragments follow or went before."""
        return bool(self._values[7] or self._values[6] & IPv4Flags.MF.value)

    def pseudo_header(self, protocol: int, length: int) -> bytes:
        """RFC 9293 §3.1: source, destination, protocol and the upper layer's `length` in bytes."""
        return pseudo_header(self._values[11], self._values[12], protocol, length)


def ip_number_of(above: Header | None) -> int:
    """The protocol number that announces `above`."""
    number = type(above).ip_number if above is not None else None
    return RESERVED_PROTOCOL if number is None else number
