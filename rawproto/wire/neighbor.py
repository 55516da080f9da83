"""IPv6 neighbour discovery (RFC 4861): solicitation, advertisement, the same of routers, and redirect.

The options at their ends are in `neighbor_options`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rawproto.wire.address import AddressLike, mac_text, pack_ipv6
from rawproto.wire.field import Address, Octets, field, ipv6_address, tail
from rawproto.wire.header import Broken, TailRow
from rawproto.wire.icmp import ICMPV6_TYPES, ICMPv6
from rawproto.wire.neighbor_options import (
    NEIGHBOR_OPTIONS,
    SOURCE_LINK_ADDRESS,
    TARGET_LINK_ADDRESS,
    DiscoveryOption,
    NeighborOption,
    source_link_address,
    target_link_address,
)

__all__ = [
    "NeighborAdvertisement",
    "NeighborMessage",
    "NeighborOption",
    "NeighborRedirect",
    "NeighborSolicitation",
    "RouterAdvertisement",
    "RouterSolicitation",
    "multicast_mac",
    "solicited_node",
    "source_link_address",
    "target_link_address",
]

OPTIONS_LIMIT = 65535 - 24
PREFERENCES = {0: "medium", 1: "high", 2: "reserved", 3: "low"}


def solicited_node(address: AddressLike) -> bytes:
    """The multicast address, 16 bytes, that `address` listens on: ff02::1:ffXX:XXXX (RFC 4291 §2.7.1)."""
    return pack_ipv6("ff02::1:ff00:0")[:13] + pack_ipv6(address)[13:]


def multicast_mac(address: AddressLike) -> bytes:
    """The MAC address, 6 bytes, for an IPv6 multicast address: 33:33 and its last four (RFC 2464 §7)."""
    return b"\x33\x33" + pack_ipv6(address)[12:]


class NeighborMessage(ICMPv6):
    """What all of them share: options at the end."""

    __slots__ = ()

    @property
    def parsed_options(self) -> tuple[DiscoveryOption, ...]:
        """The options as objects; reading stops at one that is malformed."""
        return NEIGHBOR_OPTIONS.parse(self.raw("options"))

    @property
    def link_address(self) -> str | None:
        """The MAC address of the first link-layer address option."""
        for option in self.parsed_options:
            if isinstance(option, NeighborOption) and option.kind in (SOURCE_LINK_ADDRESS, TARGET_LINK_ADDRESS):
                return mac_text(option.data)
        return None

    def broken_rules(self) -> Iterator[Broken]:
        """Whether the options can be read."""
        return NEIGHBOR_OPTIONS.broken(self.raw("options"))

    def tail_rows(self) -> list[TailRow]:
        """One row an option."""
        return NEIGHBOR_OPTIONS.rows(self.raw("options"))


class RouterSolicitation(NeighborMessage, first_byte=(133,), source="RFC 4861 §4.1"):
    """Asks routers to advertise themselves."""

    __slots__ = ()
    type: int = field(8, 133, "kind of message", "RFC 4861 §4.1", names=ICMPV6_TYPES)
    reserved: int = field(32, 0, "reserved", "RFC 4861 §4.1")
    options: Octets = tail(OPTIONS_LIMIT, "options", "RFC 4861 §4.6")


class RouterAdvertisement(NeighborMessage, first_byte=(134,), source="RFC 4861 §4.2"):
    """What a router tells of itself and the link; prefixes, MTU and DNS servers are options."""

    __slots__ = ()
    type: int = field(8, 134, "kind of message", "RFC 4861 §4.2", names=ICMPV6_TYPES)
    hop_limit: int = field(8, 64, "hop limit that hosts should use; 0 says nothing", "RFC 4861 §4.2")
    managed: int = field(1, 0, "addresses are had by DHCPv6", "RFC 4861 §4.2")
    other: int = field(1, 0, "other configuration is had by DHCPv6", "RFC 4861 §4.2")
    home_agent: int = field(1, 0, "it is a home agent", "RFC 6275 §7.1")
    preference: int = field(2, 0, "how much it is to be preferred", "RFC 4191 §2.2", names=PREFERENCES)
    proxy: int = field(1, 0, "it stands in for a router", "RFC 4389 §4.1.3.3")
    reserved: int = field(2, 0, "reserved; the upper bit is SNAC's", "RFC 4861 §4.2")
    lifetime: int = field(16, 1800, "seconds that it may be a default router", "RFC 4861 §4.2")
    reachable_time: int = field(32, 0, "ms that a neighbour counts as reachable; 0 says nothing", "RFC 4861 §4.2")
    retrans_timer: int = field(32, 0, "ms between solicitations; 0 says nothing", "RFC 4861 §4.2")
    options: Octets = tail(OPTIONS_LIMIT, "options", "RFC 4861 §4.6")


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


class NeighborRedirect(NeighborMessage, first_byte=(137,), source="RFC 4861 §4.5"):
    """A router's advice: `dst` is reached better by way of `target`, or is on the link if they are the same."""

    __slots__ = ()
    type: int = field(8, 137, "kind of message", "RFC 4861 §4.5", names=ICMPV6_TYPES)
    reserved: int = field(32, 0, "reserved", "RFC 4861 §4.5")
    target: Address = ipv6_address("::", "the better next hop", "RFC 4861 §4.5")
    dst: Address = ipv6_address("::", "address that is redirected", "RFC 4861 §4.5")
    options: Octets = tail(OPTIONS_LIMIT, "options", "RFC 4861 §4.6")
