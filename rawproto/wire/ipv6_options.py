"""The options of IPv6's hop-by-hop and destination options headers as objects (RFC 8200 §4.2).

The type's top two bits tell a node that does not know it what to do: 0 skip it, 1 drop the packet, 2 drop it and send
an ICMPv6 parameter problem, 3 the same unless the destination is a group. What has no class of its own, or not the
length that its class wants, is an `IPv6RawOption`: nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from rawproto.wire.address import AddressLike, ip_text, pack_ipv6
from rawproto.wire.options import Option, OptionFamily

__all__ = [
    "IPV6_OPTIONS",
    "HomeAddress",
    "IPv6Option",
    "IPv6QuickStart",
    "IPv6RawOption",
    "IPv6RouterAlert",
    "JumboPayload",
    "Pad1",
    "PadN",
    "PathMTU",
    "PerformanceMetrics",
    "TunnelEncapsulationLimit",
    "jumbo_length",
]


@dataclass(frozen=True, slots=True)
class IPv6Option(Option):
    """The base."""

    called: ClassVar[str] = "IPv6 option"
    extra: ClassVar[int] = 2

    @property
    def action(self) -> int:
        """What a node does that does not know the option: 0 skip, 1 drop, 2 and 3 drop and tell."""
        return self.code >> 6

    @property
    def may_change(self) -> bool:
        """Whether its value may change on the way."""
        return bool(self.code & 0x20)


@dataclass(frozen=True, slots=True)
class Pad1(IPv6Option):
    """One byte of padding."""

    kind: ClassVar[int] = 0
    source: ClassVar[str] = "RFC 8200 §4.2"

    def __bytes__(self) -> bytes:
        return b"\x00"


@dataclass(frozen=True, slots=True)
class PadN(IPv6Option):
    """Two bytes of padding and more: type and length, then `data`, which should be zeros."""

    data: bytes = b""
    kind: ClassVar[int] = 1
    source: ClassVar[str] = "RFC 8200 §4.2"

    def body(self) -> bytes:
        """The bytes."""
        return self.data

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From any number of bytes."""
        return cls(value)


@dataclass(frozen=True, slots=True)
class TunnelEncapsulationLimit(IPv6Option):
    """How many more tunnels the packet may be put into."""

    limit: int
    kind: ClassVar[int] = 4
    source: ClassVar[str] = "RFC 2473 §4.1.1"
    layout: ClassVar[Struct] = Struct(">B")


@dataclass(frozen=True, slots=True)
class IPv6RouterAlert(IPv6Option):
    """Routers on the way are to look into the packet: 0 MLD, 1 RSVP, 2 active networks, more at IANA."""

    value: int = 0
    kind: ClassVar[int] = 5
    source: ClassVar[str] = "RFC 2711 §2.1"
    layout: ClassVar[Struct] = Struct(">H")


@dataclass(frozen=True, slots=True)
class PerformanceMetrics(IPv6Option):
    """Numbers and times from which both ends tell network from server delay."""

    scale_received: int
    scale_sent: int
    this_packet: int
    last_received: int
    delta_received: int
    delta_sent: int
    kind: ClassVar[int] = 15
    source: ClassVar[str] = "RFC 8250 §3.2"
    layout: ClassVar[Struct] = Struct(">BBHHHH")


@dataclass(frozen=True, slots=True)
class IPv6QuickStart(IPv6Option):
    """Asks routers for a rate to start with: function 0 asks, 8 reports; `rate` n stands for 40 kbit/s * 2**n."""

    function: int
    rate: int
    ttl: int = 0
    nonce: int = 0
    """30 bits, and two reserved ones at the end."""
    kind: ClassVar[int] = 0x26
    source: ClassVar[str] = "RFC 4782 §3.1"

    def body(self) -> bytes:
        """Function and rate in one byte."""
        if not (0 <= self.function <= 15 and 0 <= self.rate <= 15):
            raise ValueError
        return bytes((self.function << 4 | self.rate, self.ttl)) + self.nonce.to_bytes(4)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 6 bytes."""
        if len(value) != 6:
            return None
        return cls(value[0] >> 4, value[0] & 15, value[1], int.from_bytes(value[2:]))


@dataclass(frozen=True, slots=True)
class PathMTU(IPv6Option):
    """The smallest MTU so far, and the one that the other direction had, whose lowest bit asks to be told."""

    minimum: int
    returned: int
    kind: ClassVar[int] = 0x30
    source: ClassVar[str] = "RFC 9268 §5"
    layout: ClassVar[Struct] = Struct(">HH")


@dataclass(frozen=True, slots=True)
class JumboPayload(IPv6Option):
    """The length, above 65535, of all that follows the IPv6 header, whose own payload length is 0 then."""

    length: int
    kind: ClassVar[int] = 0xC2
    source: ClassVar[str] = "RFC 2675 §2"
    layout: ClassVar[Struct] = Struct(">I")


@dataclass(frozen=True, slots=True)
class HomeAddress(IPv6Option):
    """Where a mobile node that sends from elsewhere is at home."""

    address: AddressLike
    kind: ClassVar[int] = 0xC9
    source: ClassVar[str] = "RFC 6275 §6.3"

    def body(self) -> bytes:
        """The address."""
        return pack_ipv6(self.address)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 16 bytes."""
        return cls(ip_text(value)) if len(value) == 16 else None


@dataclass(frozen=True, slots=True)
class IPv6RawOption(IPv6Option):
    """An option by its number, with its value as bytes."""

    number: int
    data: bytes = b""

    @property
    def code(self) -> int:
        """The number."""
        return self.number

    def body(self) -> bytes:
        """The bytes."""
        return self.data


IPV6_OPTIONS: OptionFamily[IPv6Option] = OptionFamily(
    (
        *(Pad1, PadN, TunnelEncapsulationLimit, IPv6RouterAlert, PerformanceMetrics, IPv6QuickStart, PathMTU),
        *(JumboPayload, HomeAddress),
    ),
    IPv6RawOption,
    singles=(0,),
    extra=2,
)


def jumbo_length(options: bytes) -> int | None:
    """What the jumbo payload option says, or None if there is none, or one that is no more than 65535."""
    for option in IPV6_OPTIONS.parse(options):
        if isinstance(option, JumboPayload):
            return option.length if option.length > 0xFFFF else None
    return None
