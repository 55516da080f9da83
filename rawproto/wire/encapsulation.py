"""What carries IP inside something else: MPLS, PPP, PPP over Ethernet, GRE.

As much of each as is needed to get through it and to build it; their control protocols are payload.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntFlag
from typing import Any, ClassVar, TypeAlias

from rawproto.wire.ethernet import LOCAL_EXPERIMENTAL, Ethernet
from rawproto.wire.field import Octets, computed, field, tail
from rawproto.wire.frame import LinkType
from rawproto.wire.header import ETHERTYPES, LINKTYPES, Broken, Header
from rawproto.wire.names import ETHERTYPE_NAMES

__all__ = ["GRE", "MPLS", "PPP", "GREFlags", "PPPCompressed", "PPPFramed", "PPPoE", "PPPoEDiscovery"]

HeaderClass: TypeAlias = type[Header]
TRANSPARENT_ETHERNET = 0x6558
PPP_IN_GRE = 0x880B
PPP_NAMES = {
    0x0021: "IPv4",
    0x0057: "IPv6",
    0x0281: "MPLS",
    0x8021: "IPCP",
    0x8057: "IPV6CP",
    0xC021: "LCP",
    0xC023: "PAP",
    0xC025: "LQR",
    0xC223: "CHAP",
}
PPP_TYPES = {0x0021: 0x0800, 0x0057: 0x86DD, 0x0281: 0x8847}


class MPLS(Header, ethertype=0x8847, source="RFC 3032 §2.1"):
    """A label stack entry, 4 bytes. `bottom` left None is 1 unless another entry follows."""

    __slots__ = ()
    label: int = field(20, 0, "label", "RFC 3032 §2.1", names={0: "IPv4 explicit null", 2: "IPv6 explicit null"})
    tc: int = field(3, 0, "traffic class", "RFC 5462 §1.1")
    bottom: int | None = computed(1, "the last entry of the stack", "RFC 3032 §2.1")
    ttl: int = field(8, 64, "hops that are left", "RFC 3032 §2.1")

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the bottom of the stack."""
        return self.pack(bottom=int(not isinstance(above, MPLS)))

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """Another entry, or IP: nothing says which version, so its first four bits are asked (RFC 4928 §3)."""
        if not self.bottom:
            return MPLS
        version = data[offset] >> 4 if offset < end else 0
        return ETHERTYPES.get({4: 0x0800, 6: 0x86DD}.get(version, 0))


ETHERTYPES[0x8848] = MPLS  # the number for multicast


class PPP(Header, linktype=LinkType.PPP, source="RFC 1661 §2"):
    """The protocol field of PPP, 2 bytes, as PPP over Ethernet has it."""

    __slots__ = ()
    type_field = "protocol"
    variants: ClassVar[dict[int, type[Header]]] = {}
    protocol: int | None = computed(16, "type of the payload", "RFC 1661 §2", names=PPP_NAMES, base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the protocol of `above`; over a bare payload it is 0."""
        ethertype = type(above).ether_number if above is not None else None
        return self.pack(protocol=next((number for number, kind in PPP_TYPES.items() if kind == ethertype), 0))

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """IP and MPLS; the control protocols are payload."""
        return ETHERTYPES.get(PPP_TYPES.get(self.protocol or 0, 0))


class PPPFramed(PPP, first_byte=(0xFF,), source="RFC 1662 §3.1"):
    """PPP behind the address and control fields of its HDLC-like framing, 4 bytes."""

    __slots__ = ()
    address: int = field(8, 0xFF, "all stations", "RFC 1662 §3.1", base=16)
    control: int = field(8, 3, "unnumbered information", "RFC 1662 §3.1", base=16)
    protocol: int | None = computed(16, "type of the payload", "RFC 1661 §2", names=PPP_NAMES, base=16)


class PPPCompressed(PPP, first_byte=tuple(range(1, 0xFF, 2)), source="RFC 1661 §6.5"):
    """The protocol field compressed to 1 byte, which is odd: the first of two never is."""

    __slots__ = ()
    protocol: int | None = computed(8, "type of the payload", "RFC 1661 §6.5", names=PPP_NAMES, base=16)


LINKTYPES[LinkType.PPP_HDLC] = PPP


class PPPoE(Header, ethertype=0x8864, source="RFC 2516 §4"):
    """PPP over Ethernet in a session, 6 bytes, with `PPP` above."""

    __slots__ = ()
    length_field = "length"
    version: int = field(4, 1, "version", "RFC 2516 §4")
    type: int = field(4, 1, "type", "RFC 2516 §4")
    code: int = field(8, 0, "kind of packet", "RFC 2516 §4", names={0: "session data"}, base=16)
    session_id: int = field(16, 0, "session, with both MAC addresses", "RFC 2516 §4", base=16)
    length: int | None = computed(16, "payload in bytes", "RFC 2516 §4")

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the length."""
        return self.pack(length=len(payload))

    def payload_end(self, offset: int) -> int | None:
        """By the length."""
        return offset + 6 + (self.length or 0)

    def above(self, data: bytes, offset: int, end: int) -> HeaderClass | None:
        """PPP."""
        return PPP

    def broken_rules(self) -> Iterator[Broken]:
        """Version and type."""
        if (self.version, self.type) != (1, 1):
            yield Broken("version", "version", f"version and type are {self.version} and {self.type}, not 1 and 1")


class PPPoEDiscovery(PPPoE, ethertype=0x8863, source="RFC 2516 §5"):
    """A packet of the discovery stage; its tags are payload."""

    __slots__ = ()
    code: int = field(
        8,
        9,
        "kind of packet",
        "RFC 2516 §5",
        names={0x09: "PADI", 0x07: "PADO", 0x19: "PADR", 0x65: "PADS", 0xA7: "PADT"},
        base=16,
    )

    def above(self, data: bytes, offset: int, end: int) -> HeaderClass | None:
        """Tags."""
        return None


class GREFlags(IntFlag):
    """The bits before the version; of them each of the first four but ROUTING announces four bytes."""

    CHECKSUM = 1 << 12
    ROUTING = 1 << 11
    KEY = 1 << 10
    SEQUENCE = 1 << 9
    STRICT = 1 << 8
    ACK = 1 << 4
    """Of version 1 (PPTP, RFC 2637 §4.1): announces four bytes."""


class GRE(Header, ip_protocol=47, source="RFC 2784 §2; RFC 2890"):
    """A GRE header, 4 bytes and as many times 4 as `flags` announce: checksum, key, sequence number, in this order."""

    __slots__ = ()
    type_field = "protocol"
    flags: int = field(13, 0, "what follows", "RFC 2890 §2", names=GREFlags, base=16)
    version: int = field(3, 0, "version", "RFC 2784 §2.3.1")
    protocol: int | None = computed(16, "type of the payload", "RFC 2784 §2.4", names=ETHERTYPE_NAMES, base=16)
    optional: Octets = tail(16, "checksum, key and sequence number", "RFC 2890 §2")

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the type of `above`. A checksum is sent as it is given."""
        number = type(above).ether_number if above is not None else None
        if isinstance(above, (Ethernet, PPP)):
            number = TRANSPARENT_ETHERNET if isinstance(above, Ethernet) else PPP_IN_GRE
        return self.pack(protocol=LOCAL_EXPERIMENTAL if number is None else number)

    def above(self, data: bytes, offset: int, end: int) -> HeaderClass | None:
        """What the type stands for; behind source routes (RFC 1701) nothing is looked for."""
        if self.flags & GREFlags.ROUTING:
            return None
        kinds: dict[int, type[Header]] = {TRANSPARENT_ETHERNET: Ethernet, PPP_IN_GRE: PPP}
        return kinds.get(self.protocol or 0) or ETHERTYPES.get(self.protocol or 0)

    def broken_rules(self) -> Iterator[Broken]:
        """The version, and whether all that the flags announce is there."""
        if self.version > 1:
            yield Broken("version", "version", f"version is {self.version}, not 0 or 1")
        missing = announced(self.flags) - len(self.raw("optional"))
        if missing > 0:
            yield Broken("optional", "short", f"{missing} bytes are missing of what the flags announce")


def announced(flags: int) -> int:
    """The bytes behind the first four that the flags announce."""
    words = bool(flags & (GREFlags.CHECKSUM | GREFlags.ROUTING).value)
    return 4 * (words + sum(bool(flags & bit.value) for bit in (GREFlags.KEY, GREFlags.SEQUENCE, GREFlags.ACK)))


_decode_all = GRE.decode


def _decode(data: bytes, offset: int, end: int) -> Any:
    """The generated one would take all that is left for the tail."""
    flags = int.from_bytes(data[offset : offset + 2]) >> 3
    return _decode_all(data, offset, min(end, offset + GRE.SIZE + announced(flags)))


GRE.decode = staticmethod(_decode)  # type: ignore[method-assign]
