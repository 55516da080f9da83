"""Which of our headers is which of scapy's, and what each side works out by itself.

Values need no table: a header is its bytes, and both sides read them. What the bytes don't show is which fields are
left open, to be computed on build: those are paired here by name. scapy is imported by `load`, and nowhere before.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

from rawproto.errors import RawprotoError
from rawproto.wire.arp import AnyARP
from rawproto.wire.cooked import LinuxCooked, LinuxCooked2
from rawproto.wire.ethernet import VLAN, Ethernet, OldProviderVLAN, ProviderVLAN
from rawproto.wire.header import ETHERTYPES, IP_PROTOCOLS, Header
from rawproto.wire.icmp import ICMP, ICMPv6
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_extension import AH, ESP, ExtensionHeader, Fragment
from rawproto.wire.llc import LLC, SNAP, LLCNumbered
from rawproto.wire.loopback import Loop, Null
from rawproto.wire.multicast import IGMP, IGMPQuery, IGMPReport, MLDQuery, MLDReport
from rawproto.wire.rdt import RDT
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

__all__ = ["Match", "MissingToolError", "kind_of", "load", "match_of"]


class MissingToolError(RawprotoError, ImportError):
    """A tool that rawproto does not install by itself is not there. The text says how to get it."""


class Match(NamedTuple):
    """What scapy has for one of our headers."""

    theirs: str
    """The class's name; empty for those that scapy tells apart by what is in them."""
    announces: tuple[str, str] = ("", "")
    """Our field and theirs that say what follows. Left open, scapy's is unset rather than None."""
    computed: dict[str, str] = {}  # noqa: RUF012 - a default that nobody changes
    """Our computed field, their name for it."""
    is_last: bool = False
    """What follows belongs to the same message: scapy spreads options, quotes and data over layers of its own."""


NEXT = ("next_header", "nh")
MATCHES: dict[type[Header], Match | None] = {
    Ethernet: Match("Ether", ("ethertype", "type"), {"ethertype": "len"}),  # Dot3 has a length there
    VLAN: Match("Dot1Q", ("ethertype", "type")),
    ProviderVLAN: Match("Dot1AD", ("ethertype", "type")),
    OldProviderVLAN: Match("Dot1Q", ("ethertype", "type")),
    LLC: Match("LLC"),
    LLCNumbered: None,  # scapy reads one byte of control field, always
    SNAP: Match("SNAP", ("ethertype", "code")),
    LinuxCooked: Match("CookedLinux", ("protocol", "proto")),
    LinuxCooked2: Match("CookedLinuxV2", ("protocol", "proto")),
    Null: Match("Loopback"),
    Loop: Match("LoopbackOpenBSD"),
    AnyARP: Match("ARP", is_last=True),
    IPv4: Match("IP", ("protocol", "proto"), {"ihl": "ihl", "total_length": "len", "checksum": "chksum"}),
    IPv6: Match("IPv6", NEXT, {"payload_length": "plen"}),
    ExtensionHeader: Match("", NEXT, {"hdr_ext_len": "len"}),
    Fragment: Match("IPv6ExtHdrFragment", NEXT),
    AH: Match("AH", NEXT),
    ESP: Match("ESP", is_last=True),
    ICMP: Match("ICMP", computed={"checksum": "chksum"}, is_last=True),
    ICMPv6: Match("", computed={"checksum": "cksum"}, is_last=True),
    MLDQuery: Match("", computed={"checksum": "cksum", "count": "sources_number"}, is_last=True),
    MLDReport: Match("", computed={"checksum": "cksum", "count": "records_number"}, is_last=True),
    IGMP: Match("IGMP", computed={"checksum": "chksum"}, is_last=True),
    IGMPQuery: Match("IGMP", computed={"checksum": "chksum", "count": "numsrc"}, is_last=True),
    IGMPReport: Match("IGMP", computed={"checksum": "chksum", "count": "numgrp"}, is_last=True),
    UDP: Match("UDP", computed={"length": "len", "checksum": "chksum"}),
    TCP: Match("TCP", computed={"data_offset": "dataofs", "checksum": "chksum"}),
    RDT: Match("RDT", computed={name: name for name in ("header_length", "payload_length", "crc")}),
}
UNNUMBERED: dict[str, type[Header]] = {
    "Ether": Ethernet,
    "Dot3": Ethernet,
    "LLC": LLC,
    "SNAP": SNAP,
    "CookedLinux": LinuxCooked,
    "CookedLinuxV2": LinuxCooked2,
    "Loopback": Null,
    "LoopbackOpenBSD": Loop,
    "RDT": RDT,
}
"""By the name of scapy's class: the headers that no number announces, and RDT, whose number IPv6 shares."""
MODULES = ("packet", "layers.l2", "layers.inet", "layers.inet6", "layers.ipsec")


def match_of(kind: type[Header]) -> Match | None:
    """What scapy has for `kind`, or for what it is a kind of; None if nothing."""
    return next((MATCHES[base] for base in kind.__mro__ if base in MATCHES), None)


def kind_of(scapy: SimpleNamespace, layer: Any, below: Any) -> type[Header] | None:
    """Which of our headers `layer` is, in the layer `below`; None if we have none."""
    theirs = type(layer)
    if theirs.__name__ in UNNUMBERED:
        return UNNUMBERED[theirs.__name__]
    announced = getattr(layer, "overload_fields", {})
    if scapy.IP in announced or scapy.IPv6 in announced:
        number = announced.get(scapy.IP, {}).get("proto", announced.get(scapy.IPv6, {}).get("nh"))
        return IP_PROTOCOLS.get(number)
    number = announced.get(scapy.Ether, {}).get("type")
    if theirs is scapy.Dot1Q and below is not None:
        number = {OldProviderVLAN.ether_number: OldProviderVLAN.ether_number}.get(below.fields.get("type"), number)
    return ETHERTYPES.get(number)


@cache
def load() -> SimpleNamespace:
    """scapy's classes by name. Raises MissingToolError."""
    names = SimpleNamespace()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scapy's own, about what it imports
        try:
            for name in MODULES:
                vars(names).update(vars(import_module(f"scapy.{name}")))
        except ImportError:
            raise MissingToolError("scapy is not installed: pip install 'rawproto[scapy]'") from None
        try:
            vars(names).update(vars(import_module("scapy.layers.igmp")))
        except ImportError:  # before scapy 2.7
            vars(names).update(vars(import_module("scapy.contrib.igmp")))
    return names
