"""The IPv6 header (RFC 8200). Extension headers are in `ipv6_extension` and `ipv6_routing`."""

from __future__ import annotations

from collections.abc import Iterator

from rawproto.wire.field import Address, computed, field, ipv6_address
from rawproto.wire.frame import LinkType
from rawproto.wire.header import IP_PROTOCOLS, Broken, Header
from rawproto.wire.ipv4 import ECN_NAMES, ip_number_of
from rawproto.wire.ipv6_options import jumbo_length
from rawproto.wire.names import IP_PROTOCOL_NAMES

__all__ = ["NO_NEXT_HEADER", "IPv6", "next_header_of"]

NO_NEXT_HEADER = 59


class IPv6(Header, ethertype=0x86DD, ip_protocol=41, source="RFC 8200 §3"):
    """An IPv6 header, 40 bytes.

    The payload length of a jumbogram (RFC 2675), one above 65535 bytes behind a `HopByHop` that says so, is 0.
    """

    __slots__ = ()
    type_field = "next_header"
    link_number = LinkType.RAW
    has_pseudo_header = True
    length_field = "payload_length"

    version: int = field(4, 6, "version", "RFC 8200 §3")
    dscp: int = field(6, 0, "differentiated services code point", "RFC 2474 §3")
    ecn: int = field(2, 0, "explicit congestion notification", "RFC 3168 §5", names=ECN_NAMES)
    flow_label: int = field(20, 0, "ties the packets of a flow together", "RFC 6437 §2", base=16)
    payload_length: int | None = computed(16, "all that follows, in bytes", "RFC 8200 §3")
    next_header: int | None = computed(8, "type of what follows", "RFC 8200 §3", names=IP_PROTOCOL_NAMES)
    hop_limit: int = field(8, 64, "hops that are left", "RFC 8200 §3")
    src: Address = ipv6_address("::", "source address", "RFC 8200 §3")
    dst: Address = ipv6_address("::", "destination address", "RFC 8200 §3")

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in payload length and next header."""
        length = len(payload)
        if length > 0xFFFF and above is not None and above.ip_number == 0 and jumbo_length(above.raw("options")):
            length = 0
        return self.pack(payload_length=length, next_header=next_header_of(above, payload))

    def payload_end(self, offset: int) -> int | None:
        """By the payload length, unless it is 0 and hop-by-hop options follow: they say it then."""
        _, length, number, *_ = self._values
        return offset + 40 + length if length or number else None

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """By the next header."""
        return IP_PROTOCOLS.get(self._values[2]) if self._values[0] >> 28 == 6 else None

    def broken_rules(self) -> Iterator[Broken]:
        """The version."""
        if self.version != 6:
            yield Broken("version", "version", f"version is {self.version}, not 6")

    def pseudo_sum(self, protocol: int, length: int) -> int:
        """RFC 8200 §8.1: source, destination, the upper layer's `length` in bytes, `protocol`."""
        values = self._values
        return int.from_bytes(values[4] + values[5]) + protocol + length


def next_header_of(above: Header | None, payload: bytes) -> int:
    """The next header that announces `above`, or a bare payload, or nothing."""
    return NO_NEXT_HEADER if above is None and not payload else ip_number_of(above)
