"""IPv4 (RFC 791)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntFlag

from rawproto.errors import WireError
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.field import Address, Octets, computed, field, ipv4_address, tail
from rawproto.wire.frame import LinkType
from rawproto.wire.header import IP_PROTOCOLS, Broken, Header, TailRow
from rawproto.wire.ipv4_options import IPV4_OPTIONS, IPOption, final_destination
from rawproto.wire.names import IP_PROTOCOL_NAMES

__all__ = ["IP_PROTOCOL_NAMES", "RESERVED_PROTOCOL", "IPv4", "IPv4Flags", "ip_number_of"]

RESERVED_PROTOCOL = 255
"""What a protocol left None becomes over a bare payload (RFC 5237: reserved)."""

ECN_NAMES = {0: "not ECN-capable", 1: "ECT(1)", 2: "ECT(0)", 3: "CE"}


class IPv4Flags(IntFlag):
    """The three bits before the fragment offset."""

    MF = 1
    """More fragments follow."""
    DF = 2
    """Don't fragment."""
    RESERVED = 4


class IPv4(Header, ethertype=0x0800, ip_protocol=4, source="RFC 791 §3.1"):
    """An IPv4 header, 20 to 60 bytes.

    `options` takes bytes or objects of `ipv4_options`, and is padded to whole words while `ihl` is None.
    """

    __slots__ = ()
    type_field = "protocol"
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
        if options and self._values[0] < 0:
            length += -len(options) & 3
        number = ip_number_of(above)
        if self._values[7] is not None:
            return self.pack(total_length=length, protocol=number)
        return self.seal(0, b"", total_length=length, protocol=number)

    def payload_end(self, offset: int) -> int | None:
        """By the total length; one below the header's says nothing (segmentation offload leaves 0)."""
        length: int = self._values[2]
        return offset + length if length >= self.size else None

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """By the protocol, unless this is a later fragment, or no IPv4 header at all, or it has no room for one."""
        values = self._values
        first, length = values[0], values[2]
        if values[4] & 0x1FFF or not 0x45 <= first <= 0x4F or 0 < length < (first & 15) << 2:
            return None
        return IP_PROTOCOLS.get(values[6])

    def broken_rules(self) -> Iterator[Broken]:
        """Version, header length and total length against each other, and whether the options can be read.

        A total length of 0 breaks none: it is what segmentation offload leaves for packets above 64 KiB.
        """
        version, ihl, length = self.version, self.ihl or 0, self.total_length or 0
        if version != 4:
            yield Broken("version", "version", f"version is {version}, not 4")
        if ihl < 5:
            yield Broken("ihl", "minimum", f"ihl is {ihl} words, at least 5 are needed")
        elif 0 < length < ihl * 4:
            yield Broken("total_length", "minimum", f"total_length is {length}, below the header's {ihl * 4}")
        if self.options:
            yield from IPV4_OPTIONS.broken(self.options)

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The sum over the header; None if a part of it is missing."""
        if (self.ihl or 0) * 4 > self.size:
            return None
        return internet_checksum(data[: self.size]) == 0

    @property
    def is_fragment(self) -> bool:
        """Whether more fragments follow or went before."""
        return bool(self._values[4] & 0x3FFF)

    def pseudo_sum(self, protocol: int, length: int) -> int:
        """RFC 9293 §3.1: source, destination, protocol and the upper layer's `length` in bytes.

        With a source route that is not at its end, the destination is the route's last address: what RFC 8200 §8.1 says
        of IPv6's routing header, and what Linux does.
        """
        if length > 0xFFFF:
            raise WireError(f"pseudo header length: {length} is not in 0..65535")
        values = self._values
        dst = (final_destination(values[-1]) if values[-1] else None) or values[9]
        return int.from_bytes(values[8] + dst) + protocol + length

    def tail_rows(self) -> list[TailRow]:
        """One row an option."""
        return IPV4_OPTIONS.rows(self.options)

    @property
    def parsed_options(self) -> tuple[IPOption, ...]:
        """The options as objects, in order, without padding; reading stops at one that is malformed."""
        return IPV4_OPTIONS.parse(self.options)


def ip_number_of(above: Header | None) -> int:
    """The protocol number that announces `above`."""
    number = type(above).ip_number if above is not None else None
    return RESERVED_PROTOCOL if number is None else number
