"""UDP (RFC 768)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rawproto.wire.checksum import sum_on
from rawproto.wire.field import computed, field
from rawproto.wire.header import IP_PROTOCOLS, Broken, Header
from rawproto.wire.names import PORT_NAMES
from rawproto.wire.rdt_format import IP_PROTOCOL as RDT_PROTOCOL
from rawproto.wire.rdt_format import RDT_UDP_PORT, VERSION

__all__ = ["UDP"]


class UDP(Header, ip_protocol=17, source="RFC 768"):
    """A UDP header, 8 bytes. A checksum of 0 means that there is none; without an IP header, None gives 0."""

    __slots__ = ()
    needs_network = True
    offloadable = True
    minds_lower = True
    length_field = "length"
    sport: int = field(16, 0, "source port", "RFC 768 p1", names=PORT_NAMES)
    dport: int = field(16, 0, "destination port", "RFC 768 p2", names=PORT_NAMES)
    length: int | None = computed(16, "header and payload in bytes", "RFC 768 p2")
    checksum: int | None = computed(16, "over pseudo header, header and payload", "RFC 768 p2", base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in length and checksum; a sum of 0 is sent as 0xffff."""
        length = 8 + len(payload)
        if self._values[3] is not None or network is None:
            return self.pack(length=length)
        header = self.seal(network.pseudo_sum(17, length), payload, length=length)
        return header[:6] + b"\xff\xff" if header[6:] == b"\0\0" else header

    def payload_end(self, offset: int) -> int | None:
        """By the length; one below 8 says nothing (0 is what segmentation offload or a jumbogram leaves)."""
        length: int = self._values[2]
        return offset + length if length >= 8 else None

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """RDT, if one of the ports is RDT's and the first byte is its version."""
        src, dst, *_ = self._values
        if RDT_UDP_PORT in (src, dst) and offset < end and data[offset] == VERSION:
            return IP_PROTOCOLS.get(RDT_PROTOCOL)
        return None

    def broken_rules(self) -> Iterator[Broken]:
        """The length counts the header; that of a jumbogram is 0 (see `rules_above`)."""
        if 0 < (self.length or 0) < 8:
            yield Broken("length", "minimum", f"length is {self.length}, the header alone has 8 bytes")

    def rules_above(self, below: Sequence[Header]) -> Iterator[Broken]:
        """A length of 0 is for jumbograms, and only IPv6 has them (RFC 2675 §4)."""
        network = next((header for header in reversed(below) if header.has_pseudo_header), None)
        if self.length == 0 and (network is None or network.raw("version") != 6):
            yield Broken("length", "minimum", "length is 0, the header alone has 8 bytes")

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The sum; None if the sender left it out, or there is no telling what it covers."""
        if network is None:
            return None
        _, _, length, checksum = self._values
        if checksum == 0 or length < 8:
            is_jumbo = length == 0 and network.raw("version") == 6
            if (length < 8 and not is_jumbo) or network.raw("version") == 4:
                return None
        return sum_on(network.pseudo_sum(17, len(data)), data) == 0 and self._values[3] != 0
