"""The options of neighbour discovery as objects (RFC 4861 §4.6 and those that came later).

Their length counts units of 8 bytes: a value is padded with zeros to that. What has no class of its own, or a value
that its class would not write in the same way, is a `NeighborOption`; so are the link-layer addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import ClassVar, Self

from rawproto.errors import WireError
from rawproto.wire.address import AddressLike, ip_text, mac_text, pack_ipv6, pack_mac
from rawproto.wire.header import TailRow
from rawproto.wire.options import Option, OptionFamily
from rawproto.wire.tlv import Item

__all__ = [
    "NEIGHBOR_OPTIONS",
    "AdvertisementInterval",
    "CaptivePortal",
    "DNSSearchList",
    "DNSServers",
    "DiscoveryOption",
    "FlagsExtension",
    "HomeAgentInformation",
    "LinkMTU",
    "NAT64Prefix",
    "NeighborOption",
    "PrefixInformation",
    "RedirectedHeader",
    "RouteInformation",
    "source_link_address",
    "target_link_address",
]

SOURCE_LINK_ADDRESS, TARGET_LINK_ADDRESS = 1, 2
OPTION_NAMES = {
    1: "source link-layer address",
    2: "target link-layer address",
    6: "NBMA shortcut limit",
    9: "source address list",
    10: "target address list",
    11: "CGA",
    12: "RSA signature",
    13: "timestamp",
    14: "nonce",
    15: "trust anchor",
    16: "certificate",
    17: "IP address or prefix",
    33: "address registration",
    34: "6LoWPAN context",
    35: "authoritative border router",
    138: "card request",
    139: "card reply",
}
PREFIX = Struct(">BBIII16s")
FOREVER = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class DiscoveryOption(Option):
    """The base."""

    called: ClassVar[str] = "neighbor option"

    def __bytes__(self) -> bytes:
        try:
            body = self.body()
            units = (len(body) + 9) // 8
            return bytes((self.code, units)) + body.ljust(units * 8 - 2, b"\0")
        except WireError:  # of an address: it says more
            raise
        except (StructError, ValueError, OverflowError):
            raise WireError(f"neighbor option {self!r}: type, length or a value does not fit") from None

    @classmethod
    def if_exact(cls, option: Self, value: bytes) -> Self | None:
        """`option` if it has this value when it is written."""
        return option if bytes(option)[2:] == value else None


@dataclass(frozen=True, slots=True)
class NeighborOption(DiscoveryOption):
    """An option: its type, and its value without type and length (padded to whole 8 bytes when sent)."""

    kind: int  # type: ignore[misc]
    data: bytes

    def body(self) -> bytes:
        """The bytes."""
        return self.data


@dataclass(frozen=True, slots=True)
class PrefixInformation(DiscoveryOption):
    """A prefix of the link: addresses in it are on the link (`flags` 0x80), may be made up from it (0x40)."""

    prefix: AddressLike
    prefix_length: int = 64
    flags: int = 0xC0
    valid_lifetime: int = FOREVER
    """In seconds, as is the preferred one; 0xffffffff is for ever."""
    preferred_lifetime: int = FOREVER
    reserved: int = 0
    kind: ClassVar[int] = 3
    source: ClassVar[str] = "RFC 4861 §4.6.2"

    @property
    def on_link(self) -> bool:
        """Whether addresses in the prefix are reached without a router."""
        return bool(self.flags & 0x80)

    @property
    def autonomous(self) -> bool:
        """Whether hosts may make addresses of the prefix for themselves."""
        return bool(self.flags & 0x40)

    def body(self) -> bytes:
        """30 bytes."""
        lifetimes = (self.valid_lifetime, self.preferred_lifetime)
        return PREFIX.pack(self.prefix_length, self.flags, *lifetimes, self.reserved, pack_ipv6(self.prefix))

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 30 bytes."""
        if len(value) != PREFIX.size:
            return None
        length, flags, valid, preferred, reserved, prefix = PREFIX.unpack(value)
        return cls(ip_text(prefix), length, flags, valid, preferred, reserved)


@dataclass(frozen=True, slots=True)
class RedirectedHeader(DiscoveryOption):
    """As much of the packet that was redirected as fits."""

    packet: bytes
    """Padded with zeros to a multiple of 8 bytes."""
    reserved: bytes = bytes(6)
    kind: ClassVar[int] = 4
    source: ClassVar[str] = "RFC 4861 §4.6.3"

    def body(self) -> bytes:
        """6 reserved bytes, then the packet."""
        return self.reserved + self.packet

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 6 bytes and more."""
        return cls(value[6:], value[:6])


@dataclass(frozen=True, slots=True)
class LinkMTU(DiscoveryOption):
    """The MTU of the link, in bytes."""

    mtu: int
    reserved: int = 0
    kind: ClassVar[int] = 5
    source: ClassVar[str] = "RFC 4861 §4.6.4"

    def body(self) -> bytes:
        """2 reserved bytes, then the MTU."""
        return self.reserved.to_bytes(2) + self.mtu.to_bytes(4)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 6 bytes."""
        return cls(int.from_bytes(value[2:]), int.from_bytes(value[:2])) if len(value) == 6 else None


@dataclass(frozen=True, slots=True)
class AdvertisementInterval(DiscoveryOption):
    """The longest time between a router's advertisements, in ms."""

    interval: int
    reserved: int = 0
    kind: ClassVar[int] = 7
    source: ClassVar[str] = "RFC 6275 §7.3"

    def body(self) -> bytes:
        """2 reserved bytes, then the interval."""
        return self.reserved.to_bytes(2) + self.interval.to_bytes(4)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 6 bytes."""
        return cls(int.from_bytes(value[2:]), int.from_bytes(value[:2])) if len(value) == 6 else None


@dataclass(frozen=True, slots=True)
class HomeAgentInformation(DiscoveryOption):
    """How much a home agent is to be preferred, and for how many seconds it is one."""

    preference: int
    lifetime: int
    reserved: int = 0
    kind: ClassVar[int] = 8
    source: ClassVar[str] = "RFC 6275 §7.4"

    def body(self) -> bytes:
        """2 reserved bytes, then both."""
        return Struct(">HHH").pack(self.reserved, self.preference, self.lifetime)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 6 bytes."""
        if len(value) != 6:
            return None
        reserved, preference, lifetime = Struct(">HHH").unpack(value)
        return cls(preference, lifetime, reserved)


@dataclass(frozen=True, slots=True)
class RouteInformation(DiscoveryOption):
    """A route by way of this router; `flags` 0x08 prefers it, 0x18 prefers others."""

    prefix: bytes
    """The first 0, 8 or 16 bytes of it."""
    prefix_length: int
    lifetime: int = FOREVER
    flags: int = 0
    kind: ClassVar[int] = 24
    source: ClassVar[str] = "RFC 4191 §2.3"

    @property
    def preference(self) -> int:
        """1 high, 0 medium, -1 low; -2 is reserved."""
        bits = self.flags >> 3 & 3
        return bits - 4 if bits & 2 else bits

    def body(self) -> bytes:
        """Length, flags, lifetime, prefix."""
        return bytes((self.prefix_length, self.flags)) + self.lifetime.to_bytes(4) + self.prefix

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 6, 14 or 22 bytes."""
        if len(value) not in (6, 14, 22):
            return None
        return cls(value[6:], value[0], int.from_bytes(value[2:6]), value[1])


@dataclass(frozen=True, slots=True)
class DNSServers(DiscoveryOption):
    """Recursive DNS servers (RDNSS), and how many seconds they may be used."""

    addresses: tuple[AddressLike, ...]
    lifetime: int = FOREVER
    reserved: int = 0
    kind: ClassVar[int] = 25
    source: ClassVar[str] = "RFC 8106 §5.1"

    def body(self) -> bytes:
        """2 reserved bytes, the lifetime, 16 bytes an address."""
        return self.reserved.to_bytes(2) + self.lifetime.to_bytes(4) + b"".join(map(pack_ipv6, self.addresses))

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 6 bytes and 16 for each address."""
        if len(value) < 22 or len(value) % 16 != 6:
            return None
        addresses = tuple(ip_text(value[at : at + 16]) for at in range(6, len(value), 16))
        return cls(addresses, int.from_bytes(value[2:6]), int.from_bytes(value[:2]))


@dataclass(frozen=True, slots=True)
class FlagsExtension(DiscoveryOption):
    """More flags of a router advertisement: 48 bits."""

    flags: int
    kind: ClassVar[int] = 26
    source: ClassVar[str] = "RFC 5175 §4"

    def body(self) -> bytes:
        """6 bytes."""
        return self.flags.to_bytes(6)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 6 bytes."""
        return cls(int.from_bytes(value)) if len(value) == 6 else None


@dataclass(frozen=True, slots=True)
class DNSSearchList(DiscoveryOption):
    """Domains to search for names in (DNSSL), and how many seconds they may be used."""

    domains: tuple[str, ...]
    lifetime: int = FOREVER
    reserved: int = 0
    kind: ClassVar[int] = 31
    strict: ClassVar[bool] = False
    source: ClassVar[str] = "RFC 8106 §5.2"

    def body(self) -> bytes:
        """2 reserved bytes, the lifetime, the names as DNS writes them."""
        head = self.reserved.to_bytes(2) + self.lifetime.to_bytes(4)
        return head + b"".join(_name(domain) for domain in self.domains)

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 6 bytes and the names."""
        domains = _names(value[6:])
        if not domains:
            return None
        return cls.if_exact(cls(domains, int.from_bytes(value[2:6]), int.from_bytes(value[:2])), value)


@dataclass(frozen=True, slots=True)
class CaptivePortal(DiscoveryOption):
    """Where a network's captive portal has its API."""

    uri: str
    kind: ClassVar[int] = 37
    strict: ClassVar[bool] = False
    source: ClassVar[str] = "RFC 8910 §2.3"

    def body(self) -> bytes:
        """The text."""
        return self.uri.encode("latin-1")

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From the text and its padding."""
        return cls.if_exact(cls(value.rstrip(b"\0").decode("latin-1")), value)


@dataclass(frozen=True, slots=True)
class NAT64Prefix(DiscoveryOption):
    """The prefix of a NAT64 (PREF64): its first 96 bits, a code for its length, the lifetime in units of 8 s."""

    prefix: bytes
    """12 bytes."""
    length_code: int = 0
    """0 to 5: 96, 64, 56, 48, 40, 32 bits."""
    scaled_lifetime: int = 0
    kind: ClassVar[int] = 38
    source: ClassVar[str] = "RFC 8781 §4"

    def body(self) -> bytes:
        """Lifetime and code in two bytes, then the prefix."""
        if not (0 <= self.length_code <= 7 and len(self.prefix) == 12):
            raise ValueError
        return (self.scaled_lifetime << 3 | self.length_code).to_bytes(2) + self.prefix

    @classmethod
    def from_value(cls, value: bytes) -> Self | None:
        """From 14 bytes."""
        number = int.from_bytes(value[:2])
        return cls(value[2:], number & 7, number >> 3) if len(value) == 14 else None


class NeighborOptions(OptionFamily[DiscoveryOption]):
    """The family: link-layer addresses read as such."""

    def row(self, item: Item) -> TailRow:
        """One option as `explain` shows it."""
        if item.kind in self.kinds or item.error:
            return super().row(item)
        name = OPTION_NAMES.get(item.kind, f"option {item.kind}")
        return TailRow(item.offset, item.length, name, mac_text(item.data), "RFC 4861 §4.6")


NEIGHBOR_OPTIONS = NeighborOptions(
    (
        *(PrefixInformation, RedirectedHeader, LinkMTU, AdvertisementInterval, HomeAgentInformation, RouteInformation),
        *(DNSServers, FlagsExtension, DNSSearchList, CaptivePortal, NAT64Prefix),
    ),
    NeighborOption,
    unit=8,
)


def source_link_address(mac: AddressLike) -> NeighborOption:
    """The sender's MAC address, for a solicitation (RFC 4861 §4.6.1)."""
    return NeighborOption(SOURCE_LINK_ADDRESS, pack_mac(mac))


def target_link_address(mac: AddressLike) -> NeighborOption:
    """The target's MAC address, for an advertisement (RFC 4861 §4.6.1)."""
    return NeighborOption(TARGET_LINK_ADDRESS, pack_mac(mac))


def _name(domain: str) -> bytes:
    """A domain as DNS writes it: labels with their lengths, and a zero."""
    labels = [label.encode("latin-1") for label in domain.split(".")]
    if any(not 0 < len(label) < 64 for label in labels):
        raise ValueError
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _names(data: bytes) -> tuple[str, ...]:
    """The domains in `data`, up to padding, or to what is none."""
    domains, labels, at = [], [], 0
    while at < len(data):
        length = data[at]
        label = data[at + 1 : at + 1 + length]
        at += 1 + length
        if length:
            labels.append(label.decode("latin-1"))
            if length > 63 or len(label) < length or "." in labels[-1]:
                return ()
        elif labels:
            domains.append(".".join(labels))
            labels = []
    return tuple(domains)
