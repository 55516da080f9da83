"""IPv4's options as objects: each knows its bytes, `IPV4_OPTIONS` finds them in a header.

What has no class of its own, or not the length that its class wants, is an `IPRawOption`: nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any, ClassVar, Self

from rawproto.wire.address import AddressLike, ip_text, pack_ipv4
from rawproto.wire.options import Option, OptionFamily

__all__ = [
    "IPV4_OPTIONS",
    "ExtendedSecurity",
    "IPEndOfOptions",
    "IPNoOperation",
    "IPOption",
    "IPRawOption",
    "IPRouterAlert",
    "InternetTimestamp",
    "LooseSourceRoute",
    "QuickStart",
    "RecordRoute",
    "Security",
    "StreamIdentifier",
    "StrictSourceRoute",
    "Traceroute",
    "final_destination",
]

TRACEROUTE = Struct(">HHH4s")


@dataclass(frozen=True, slots=True)
class IPOption(Option):
    """The base. The type's top bit: copied into every fragment; the next two: 0 control, 2 debugging."""

    called: ClassVar[str] = "IPv4 option"

    @property
    def copied(self) -> bool:
        """Whether every fragment carries it (RFC 791 §3.1)."""
        return self.code >= 0x80


@dataclass(frozen=True, slots=True)
class IPEndOfOptions(IPOption):
    """End of the option list: what follows is padding."""

    kind: ClassVar[int] = 0
    source: ClassVar[str] = "RFC 791 §3.1"

    def __bytes__(self) -> bytes:
        return b"\x00"


@dataclass(frozen=True, slots=True)
class IPNoOperation(IPOption):
    """One byte to align what follows."""

    kind: ClassVar[int] = 1
    source: ClassVar[str] = "RFC 791 §3.1"

    def __bytes__(self) -> bytes:
        return b"\x01"


@dataclass(frozen=True, slots=True)
class Route(IPOption):
    """What the route options share: addresses, and where the next one is, counted from 1 at the option's type."""

    addresses: tuple[AddressLike, ...] = ()
    pointer: int = 4
    source: ClassVar[str] = "RFC 791 §3.1"

    @property
    def is_exhausted(self) -> bool:
        """Whether the pointer is behind the last address: no hop of a source route is left."""
        return self.pointer > 3 + 4 * len(self.addresses)

    def body(self) -> bytes:
        """The pointer, then 4 bytes an address."""
        return bytes((self.pointer,)) + b"".join(map(pack_ipv4, self.addresses))

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 1 byte and 4 for each address."""
        if len(value) % 4 != 1:
            return None
        return cls(tuple(ip_text(value[at : at + 4]) for at in range(1, len(value), 4)), value[0])


@dataclass(frozen=True, slots=True)
class RecordRoute(Route):
    """Each router on the way puts its address at the pointer."""

    kind: ClassVar[int] = 7


@dataclass(frozen=True, slots=True)
class LooseSourceRoute(Route):
    """Hosts to go by, with any others between them; the last address is the destination."""

    kind: ClassVar[int] = 131


@dataclass(frozen=True, slots=True)
class StrictSourceRoute(Route):
    """Hosts to go by, and no others; the last address is the destination."""

    kind: ClassVar[int] = 137


@dataclass(frozen=True, slots=True)
class InternetTimestamp(IPOption):
    """Routers put the time here: `words` are stamps for `flag` 0, and address and stamp in turns for 1 and 3."""

    words: tuple[int, ...] = ()
    pointer: int = 5
    overflow: int = 0
    """Routers that found no room."""
    flag: int = 0
    kind: ClassVar[int] = 68
    source: ClassVar[str] = "RFC 791 §3.1"

    @property
    def stamps(self) -> tuple[tuple[str, int], ...]:
        """(address, milliseconds since midnight UT); without addresses they are empty."""
        if self.flag == 0:
            return tuple(("", word) for word in self.words)
        pairs = zip(self.words[::2], self.words[1::2], strict=False)
        return tuple((ip_text(address.to_bytes(4)), stamp) for address, stamp in pairs)

    def body(self) -> bytes:
        """Pointer, overflow and flag, then 4 bytes a word."""
        if not (0 <= self.overflow <= 15 and 0 <= self.flag <= 15):
            raise ValueError
        head = bytes((self.pointer, self.overflow << 4 | self.flag))
        return head + Struct(f">{len(self.words)}I").pack(*self.words)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 2 bytes and 4 for each word."""
        if len(value) % 4 != 2:
            return None
        words: tuple[Any, ...] = Struct(f">{len(value) // 4}I").unpack(value[2:])
        return cls(words, value[0], value[1] >> 4, value[1] & 15)


@dataclass(frozen=True, slots=True)
class Traceroute(IPOption):
    """Asks the routers on the way to tell `originator` of themselves."""

    id: int
    outbound_hops: int
    return_hops: int
    originator: AddressLike
    kind: ClassVar[int] = 82
    source: ClassVar[str] = "RFC 1393 §2.2"

    def body(self) -> bytes:
        """Three numbers of 16 bits, then the address."""
        return TRACEROUTE.pack(self.id, self.outbound_hops, self.return_hops, pack_ipv4(self.originator))

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 10 bytes."""
        if len(value) != 10:
            return None
        number, outbound, back, originator = TRACEROUTE.unpack(value)
        return cls(number, outbound, back, ip_text(originator))


@dataclass(frozen=True, slots=True)
class Security(IPOption):
    """How secret the packet is (DoD basic security): classification level, then the protection authorities' flags."""

    level: int
    authorities: bytes = b""
    kind: ClassVar[int] = 130
    source: ClassVar[str] = "RFC 1108 §2"

    def body(self) -> bytes:
        """Level, then the flags."""
        return bytes((self.level,)) + self.authorities

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 1 byte and more."""
        return cls(value[0], value[1:]) if value else None


@dataclass(frozen=True, slots=True)
class ExtendedSecurity(IPOption):
    """More about how secret the packet is: whose format it is, then what that says."""

    format_code: int
    data: bytes = b""
    kind: ClassVar[int] = 133
    source: ClassVar[str] = "RFC 1108 §3"

    def body(self) -> bytes:
        """The format, then its data."""
        return bytes((self.format_code,)) + self.data

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 1 byte and more."""
        return cls(value[0], value[1:]) if value else None


@dataclass(frozen=True, slots=True)
class StreamIdentifier(IPOption):
    """The SATNET stream (obsolete: RFC 6814)."""

    stream: int
    kind: ClassVar[int] = 136
    source: ClassVar[str] = "RFC 791 §3.1"
    layout: ClassVar[Struct] = Struct(">H")


@dataclass(frozen=True, slots=True)
class IPRouterAlert(IPOption):
    """Routers on the way are to look into the packet; 0 says that all shall."""

    value: int = 0
    kind: ClassVar[int] = 148
    source: ClassVar[str] = "RFC 2113 §2.1"
    layout: ClassVar[Struct] = Struct(">H")


@dataclass(frozen=True, slots=True)
class QuickStart(IPOption):
    """Asks routers for a rate to start with: function 0 asks, 8 reports; `rate` n stands for 40 kbit/s * 2**n."""

    function: int
    rate: int
    ttl: int = 0
    nonce: int = 0
    """30 bits, and two reserved ones at the end."""
    kind: ClassVar[int] = 25
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
class IPRawOption(IPOption):
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


IPV4_OPTIONS: OptionFamily[IPOption] = OptionFamily(
    (
        *(IPEndOfOptions, IPNoOperation, RecordRoute, LooseSourceRoute, StrictSourceRoute, InternetTimestamp),
        *(Traceroute, Security, ExtendedSecurity, StreamIdentifier, IPRouterAlert, QuickStart),
    ),
    IPRawOption,
    ends=(0,),
    singles=(1,),
)


def final_destination(options: bytes) -> bytes | None:
    """The last address of the source route, 4 bytes: where the packet really goes; None without a hop that is left."""
    for option in IPV4_OPTIONS.parse(options):
        if isinstance(option, (LooseSourceRoute, StrictSourceRoute)):
            return pack_ipv4(option.addresses[-1]) if option.addresses and not option.is_exhausted else None
    return None
