"""UDP-Lite (RFC 3828): UDP whose checksum may leave out the end of the payload."""

from __future__ import annotations

from collections.abc import Iterator

from rawproto.wire.checksum import sum_on
from rawproto.wire.field import computed, field
from rawproto.wire.header import Broken, Header
from rawproto.wire.names import PORT_NAMES

__all__ = ["UDPLite"]


class UDPLite(Header, ip_protocol=136, source="RFC 3828 §3.1"):
    """A UDP-Lite header, 8 bytes. Its length is what IP leaves; a coverage of 0 stands for all of it."""

    __slots__ = ()
    needs_network = True
    offloadable = True
    sport: int = field(16, 0, "source port", "RFC 3828 §3.1", names=PORT_NAMES)
    dport: int = field(16, 0, "destination port", "RFC 3828 §3.1", names=PORT_NAMES)
    coverage: int = field(16, 0, "bytes that the checksum covers, from the header's first; 0 for all", "RFC 3828 §3.1")
    checksum: int | None = computed(16, "over pseudo header and coverage", "RFC 3828 §3.1", base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the checksum; a sum of 0 is sent as 0xffff."""
        header = self.pack()
        if self.checksum is not None or network is None:
            return header
        data = header + payload
        covered = data[: self.coverage or len(data)]
        return header[:6] + (sum_on(network.pseudo_sum(136, len(data)), covered) or 0xFFFF).to_bytes(2)

    def broken_rules(self) -> Iterator[Broken]:
        """The coverage takes in the header."""
        if 0 < self.coverage < 8:
            yield Broken("coverage", "minimum", f"coverage is {self.coverage}, the header alone has 8 bytes")

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The sum; one of 0 is not allowed. None for a coverage that can't be."""
        if network is None or 0 < self.coverage < 8 or self.coverage > len(data):
            return None
        covered = data[: self.coverage or len(data)]
        return sum_on(network.pseudo_sum(136, len(data)), covered) == 0 and self.checksum != 0
