"""RDT as a layer of scapy's, made from the same table of fields as ours. Importing this imports scapy.

Lengths and CRC are computed on build where they are None; `options` takes bytes, or the option objects of `wire.rdt`.
"""

from __future__ import annotations

from typing import Any

from scapy.fields import (
    BitField,
    ByteField,
    FlagsField,
    IntField,
    LongField,
    ShortField,
    StrLenField,
    XByteField,
    XIntField,
    XLongField,
    XShortField,
)
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw, bind_bottom_up, bind_layers

from rawproto.wire.field import Field, pack_tail
from rawproto.wire.rdt import HEADER_LENGTH, IP_PROTOCOL, RDT, RDT_UDP_PORT, VERSION, datagram_crc, parse_options

__all__ = ["RDTLayer", "bind"]

WHOLE: dict[tuple[int, int], type[Any]] = {
    (8, 10): ByteField,
    (8, 16): XByteField,
    (16, 10): ShortField,
    (16, 16): XShortField,
    (32, 10): IntField,
    (32, 16): XIntField,
    (64, 10): LongField,
    (64, 16): XLongField,
}
"""scapy's fields by width in bits and base."""


class OptionsField(StrLenField):
    """RDT's options: a list of `wire.rdt`'s objects, or bytes where they are malformed."""

    islist = 1

    def any2i(self, pkt: Any, x: Any) -> Any:
        """Bytes are read, a sequence of options is kept."""
        return self.m2i(pkt, bytes(x)) if isinstance(x, (bytes, bytearray, memoryview)) else list(x)

    def m2i(self, pkt: Any, x: bytes) -> Any:
        """The options, if they are all that the bytes hold."""
        options = list(parse_options(x))
        return options if pack_tail(options) == x else x

    def i2m(self, pkt: Any, x: Any) -> bytes:
        """The options' bytes."""
        return pack_tail(x or b"")

    def i2len(self, pkt: Any, x: Any) -> int:
        """How many bytes they have."""
        return len(self.i2m(pkt, x))

    def i2repr(self, pkt: Any, x: Any) -> str:
        """As Python writes them."""
        return repr(x)


def _field(row: Field) -> Any:
    """The field of scapy's for a row of our table."""
    default: Any = row.default
    if row.is_tail:
        return OptionsField(row.name, b"", length_from=lambda pkt: max((pkt.header_length or 0) * 4 - HEADER_LENGTH, 0))
    if isinstance(row.names, type):
        called = {int(flag).bit_length() - 1: str(flag.name) for flag in row.names}
        return FlagsField(row.name, default, row.bits, [called.get(bit, f"bit{bit}") for bit in range(row.bits)])
    kind = WHOLE.get((row.bits, row.base))
    return BitField(row.name, default, row.bits) if kind is None else kind(row.name, default)


def _put(data: bytes, name: str, value: int) -> bytes:
    """`data` with a field's value written in."""
    row = RDT.fields[RDT.index_of(name)]
    at, size = row.offset // 8, row.bits // 8
    return data[:at] + value.to_bytes(size) + data[at + size :]


class RDTLayer(Packet):
    """RDT (docs/rdt.md)."""

    name = "RDT"
    fields_desc = [_field(row) for row in RDT.fields]  # noqa: RUF012 - as scapy wants it

    @classmethod
    def dispatch_hook(cls, _pkt: bytes = b"", *_: Any, **given: Any) -> Any:
        """In UDP, as ours: what does not begin with the version is something else on RDT's port."""
        below = given.get("_underlayer")
        return Raw if _pkt and isinstance(below, UDP) and _pkt[0] != VERSION else cls

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Pad the options, fill in lengths and CRC."""
        if self.header_length is None:
            pkt += bytes(-len(pkt) & 3)
            pkt = _put(pkt, "header_length", len(pkt) // 4)
        if self.payload_length is None:
            pkt = _put(pkt, "payload_length", len(pay))
        if self.crc is None:
            pkt = _put(pkt, "crc", datagram_crc(pkt, pay))
        return pkt + pay

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        """What the payload length counts, and the rest."""
        return s[: self.payload_length], s[self.payload_length :]

    def hashret(self) -> bytes:
        """The same for both directions, as `sr` wants it."""
        ends: int = self.sport ^ self.dport
        return ends.to_bytes(2)

    def answers(self, other: Any) -> bool:
        """Whether it comes from where `other` went."""
        return isinstance(other, RDTLayer) and (self.sport, self.dport) == (other.dport, other.sport)

    def mysummary(self) -> str:
        """One line."""
        return str(self.sprintf("RDT %RDT.sport% > %RDT.dport% %RDT.flags%"))


RDTLayer.__name__ = "RDT"  # what scapy prints


def bind() -> None:
    """Tell IP, IPv6 and UDP what RDT is announced by."""
    bind_layers(IP, RDTLayer, frag=0, proto=IP_PROTOCOL)
    bind_layers(IPv6, RDTLayer, nh=IP_PROTOCOL)
    bind_bottom_up(UDP, RDTLayer, sport=RDT_UDP_PORT)
    bind_bottom_up(UDP, RDTLayer, dport=RDT_UDP_PORT)
