"""IPv6 neighbour discovery (RFC 4861): solicitation and advertisement, with their link-layer address options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rawproto.errors import WireError
from rawproto.wire.address import AddressLike, mac_text, pack_ipv6, pack_mac
from rawproto.wire.field import Address, Octets, field, ipv6_address, tail
from rawproto.wire.header import Broken, TailRow
from rawproto.wire.icmp import ICMPV6_TYPES, ICMPv6
from rawproto.wire.tlv import Item, walk

__all__ = [
    "NeighborAdvertisement",
    "NeighborOption",
    "NeighborSolicitation",
    "multicast_mac",
    "solicited_node",
    "source_link_address",
    "target_link_address",
]

SOURCE_LINK_ADDRESS = 1
TARGET_LINK_ADDRESS = 2
OPTION_NAMES = {1: "source link-layer address", 2: "target link-layer address", 5: "MTU", 14: "nonce"}
OPTIONS_LIMIT = 65535 - 24


@dataclass(frozen=True, slots=True)
class NeighborOption:
    """An option: its type, and its value without type and length (padded to whole 8 bytes when sent)."""

    kind: int
    data: bytes

    def __bytes__(self) -> bytes:
        units = (len(self.data) + 9) // 8
        if not 0 <= self.kind <= 255 or units > 255:
            raise WireError(f"neighbor option {self.kind}: type or length ({units} units of 8) is over 255")
        return bytes((self.kind, units)) + self.data.ljust(units * 8 - 2, b"\0")


def source_link_address(mac: AddressLike) -> NeighborOption:
    """The sender's MAC address, for a solicitation (RFC 4861 §4.6.1)."""
    return NeighborOption(SOURCE_LINK_ADDRESS, pack_mac(mac))


def target_link_address(mac: AddressLike) -> NeighborOption:
    """The target's MAC address, for an advertisement (RFC 4861 §4.6.1)."""
    return NeighborOption(TARGET_LINK_ADDRESS, pack_mac(mac))


def solicited_node(address: AddressLike) -> bytes:
    """The multicast address, 16 bytes, that `address` listens on: ff02::1:ffXX:XXXX (RFC 4291 §2.7.1)."""
    return pack_ipv6("ff02::1:ff00:0")[:13] + pack_ipv6(address)[13:]


def multicast_mac(address: AddressLike) -> bytes:
    """The MAC address, 6 bytes, for an IPv6 multicast address: 33:33 and its last four (RFC 2464 §7)."""
    return b"\x33\x33" + pack_ipv6(address)[12:]


class NeighborMessage(ICMPv6):
    """What solicitation and advertisement share: options at the end."""

    __slots__ = ()

    def _items(self) -> Iterator[Item]:
        return walk(self.options, unit=8)

    @property
    def parsed_options(self) -> tuple[NeighborOption, ...]:
        """The options as objects; reading stops at one that is malformed."""
        return tuple(NeighborOption(item.kind, item.data) for item in self._items() if not item.error)

    @property
    def link_address(self) -> str | None:
        """The MAC address of the first link-layer address option."""
        kinds = (SOURCE_LINK_ADDRESS, TARGET_LINK_ADDRESS)
        return next((mac_text(option.data) for option in self.parsed_options if option.kind in kinds), None)

    def broken_rules(self) -> Iterator[Broken]:
        """Whether the options can be read."""
        for item in self._items():
            if item.error:
                yield Broken("options", "option", f"option {item.kind} at byte {item.offset}: {item.error}")

    def tail_rows(self) -> list[TailRow]:
        """One row an option."""
        return [
            TailRow(
                item.offset,
                item.length,
                OPTION_NAMES.get(item.kind, f"option {item.kind}"),
                item.error or mac_text(item.data),
                "RFC 4861 §4.6",
            )
            for item in self._items()
        ]


class NeighborSolicitation(NeighborMessage, first_byte=(135,), source="RFC 4861 §4.3"):
    """Asks for the MAC address of `target`."""

    __slots__ = ()
    type: int = field(8, 135, "kind of message", "RFC 4861 §4.3", names=ICMPV6_TYPES)
    reserved: int = field(32, 0, "reserved", "RFC 4861 §4.3")
    target: Address = ipv6_address("::", "address that is asked for", "RFC 4861 §4.3")
    options: Octets = tail(OPTIONS_LIMIT, "options", "RFC 4861 §4.6")


class NeighborAdvertisement(NeighborMessage, first_byte=(136,), source="RFC 4861 §4.4"):
    """Tells the MAC address of `target`."""

    __slots__ = ()
    type: int = field(8, 136, "kind of message", "RFC 4861 §4.4", names=ICMPV6_TYPES)
    router: int = field(1, 0, "the sender is a router", "RFC 4861 §4.4")
    solicited: int = field(1, 0, "it answers a solicitation", "RFC 4861 §4.4")
    override: int = field(1, 0, "it replaces what is known", "RFC 4861 §4.4")
    reserved: int = field(29, 0, "reserved", "RFC 4861 §4.4")
    target: Address = ipv6_address("::", "address that is told about", "RFC 4861 §4.4")
    options: Octets = tail(OPTIONS_LIMIT, "options", "RFC 4861 §4.6")
