"""What `summary` says of the protocols that control the network: ICMP, neighbour discovery, MLD and IGMP.

An error is told by what it quotes: "10.0.0.9 udp port 53 unreachable".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rawproto.wire.dissect import dissect
from rawproto.wire.header import Header
from rawproto.wire.icmp import (
    ICMP,
    ICMPEcho,
    ICMPError,
    ICMPRedirect,
    ICMPv6,
    ICMPv6Echo,
    ICMPv6Error,
    PacketTooBig,
    ParameterProblem,
)
from rawproto.wire.icmp_queries import ICMPAddressMask, ICMPExtendedEcho, ICMPRouterAdvertisement, ICMPTimestamp
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.multicast import IGMP, IGMPGroup, IGMPQuery, IGMPReport, MLDMessage, MLDQuery, MLDReport
from rawproto.wire.neighbor import NeighborAdvertisement, NeighborRedirect, NeighborSolicitation
from rawproto.wire.rdt import RDT
from rawproto.wire.tcp import TCP, TCPStart
from rawproto.wire.udp import UDP
from rawproto.wire.udplite import UDPLite

__all__ = ["PORTED", "tell_control"]

PORTED = (TCP, TCPStart, UDP, UDPLite, RDT)
"""Headers with ports."""
MORE_THAN_ENOUGH = 1 << 20


class Quoted(NamedTuple):
    """What an error says of the packet that it is about."""

    src: str
    dst: str
    protocol: int | None
    port: str
    """The transport and the destination port, "udp port 53"; empty if that is not quoted."""


def quoted_by(message: Header, payload: bytes, version: type[IPv4 | IPv6]) -> Quoted | None:
    """The packet in an error's payload, if at least its IP header is there."""
    data = payload[: message.quoted_length(len(payload))]
    layers = dissect(data, MORE_THAN_ENOUGH, version).layers
    if not layers:
        return None
    network = layers[0]
    protocol = network.raw("protocol" if version is IPv4 else "next_header")
    upper = next((header for header in layers if isinstance(header, PORTED)), None)
    port = f"{upper.family.lower()} port {upper.dport}" if upper is not None else ""
    return Quoted(str(network.src), str(network.dst), protocol, port)  # type: ignore[attr-defined]


def tell_control(message: ICMP | ICMPv6 | IGMP, payload: bytes, length: int) -> str:
    """The message, over `length` bytes that are no part of its header."""
    if isinstance(message, IGMP):
        return f"igmp {_igmp(message)}"
    name = message.type_names.get(message.type, f"type-#{message.type}")
    size = message.size + length
    if isinstance(message, ICMP):
        return f"ICMP {_icmp(message, name, payload)}, length {size}"
    return f"ICMP6, {name}{_icmpv6(message, payload)}, length {size}"


def _icmp(message: ICMP, name: str, payload: bytes) -> str:  # noqa: PLR0911 - one line a message
    match message:
        case ICMPEcho() | ICMPExtendedEcho():
            return f"{name}, id {message.id}, seq {message.seq}"
        case ICMPError(type=3):
            return _unreachable(message, quoted_by(message, payload, IPv4))
        case ICMPRedirect():
            found = quoted_by(message, payload, IPv4)
            tos = "-tos" if message.code in (2, 3) else ""
            what = f" {found.dst}" if found else ""
            return f"redirect{tos}{what} to {'host' if message.code & 1 else 'net'} {message.gateway}"
        case ICMPError(type=11):
            return "time exceeded in-transit" if message.code == 0 else "ip reassembly time exceeded"
        case ICMPError(type=12):
            return f"{name} - {f'code {message.code}' if message.code else f'octet {message.pointer}'}"
        case ICMPTimestamp():
            times = f": org {message.originate}, recv {message.receive}, xmit {message.transmit} ms"
            return f"{name}, id {message.id}, seq {message.seq}{times if message.type == 14 else ''}"
        case ICMPAddressMask(type=18):
            return f"address mask is {message.mask}"
        case ICMPRouterAdvertisement():
            routers = " ".join(f"{{{address} {preference}}}" for address, preference in message.parsed_routers)
            return f"{name} lifetime {message.lifetime} s {len(message.parsed_routers)}: {routers}"
        case _:
            return f"{name}{f', code {message.code}' if message.code else ''}"


def _unreachable(message: ICMPError, found: Quoted | None) -> str:
    dst = found.dst if found else "destination"
    protocol = found.protocol if found and found.protocol is not None else 0
    told = {
        0: f"net {dst} unreachable",
        1: f"host {dst} unreachable",
        2: f"{dst} protocol {protocol} unreachable",
        3: f"{dst} {(found.port if found else '') or 'port'} unreachable",
        4: f"{dst} unreachable - need to frag (mtu {message.mtu})",
        5: f"{dst} unreachable - source route failed",
        6: f"net {dst} unreachable - unknown",
        7: f"host {dst} unreachable - unknown",
        8: f"{dst} unreachable - source host isolated",
        9: f"net {dst} unreachable - admin prohibited",
        10: f"host {dst} unreachable - admin prohibited",
        11: f"net {dst} unreachable - tos prohibited",
        12: f"host {dst} unreachable - tos prohibited",
        13: f"host {dst} unreachable - admin prohibited filter",
        14: f"host {dst} unreachable - host precedence violation",
        15: f"host {dst} unreachable - precedence cutoff",
    }
    return told.get(message.code, f"{dst} unreachable - code {message.code}")


def _icmpv6(message: ICMPv6, payload: bytes) -> str:  # noqa: PLR0911 - one line a message
    match message:
        case ICMPv6Echo():
            return f", id {message.id}, seq {message.seq}"
        case NeighborSolicitation():
            return f", who has {message.target}"
        case NeighborAdvertisement():
            return f", tgt is {message.target}"
        case NeighborRedirect():
            return f", {message.dst} to {message.target}"
        case MLDMessage():
            return f", max resp delay: {message.max_delay} addr: {message.group}"
        case MLDQuery():
            return f" v2 [gaddr {message.group}{_sources(message.parsed_sources)}]"
        case MLDReport():
            return f", {len(message.parsed_records)} group record(s)"
        case _:
            return _icmpv6_error(message, payload)


def _icmpv6_error(message: ICMPv6, payload: bytes) -> str:
    found = quoted_by(message, payload, IPv6) if message.quotes else None
    dst = f" {found.dst}" if found else ""
    match message:
        case ICMPv6Error(type=1):
            told = {
                0: f"unreachable route{dst}",
                1: f"unreachable prohibited{dst}",
                2: f"beyond scope{dst}, source address {found.src if found else '?'}",
                3: f"unreachable address{dst}",
                4: f"unreachable port,{dst} {found.port if found else ''}".rstrip(),
            }
            return f", {told.get(message.code, message.code_name or f'code {message.code}')}"
        case ICMPv6Error():
            return f" in-transit{' (reassembly)' if message.code else ''}{f' for{dst}' if dst else ''}"
        case PacketTooBig():
            return f", mtu {message.mtu}"
        case ParameterProblem():
            what = {0: "erroneous", 1: "next header", 2: "option"}.get(message.code, f"code {message.code}")
            return f", {what} - octet {message.pointer}"
        case _:
            return f", code {message.code}" if message.code else ""


def _igmp(message: IGMP) -> str:
    match message:
        case IGMPQuery():
            group = f"gaddr {message.group}{_sources(message.parsed_sources)}"
            told = "" if message.group == "0.0.0.0" and not message.parsed_sources else f" [{group}]"
            return f"query v3{told}"
        case IGMPReport():
            return f"v3 report, {len(message.parsed_records)} group record(s)"
        case IGMPGroup(type=0x11):
            time = f" [max resp time {message.max_response}]" if message.max_response not in (0, 100) else ""
            group = f" [gaddr {message.group}]" if message.group != "0.0.0.0" else ""
            return f"query v{2 if message.max_response else 1}{time}{group}"
        case IGMPGroup(type=0x17):
            return f"leave {message.group}"
        case IGMPGroup():
            return f"v{1 if message.type == 0x12 else 2} report {message.group}"
        case _:
            return f"{message.type_names.get(message.type, f'type {message.type:#04x}')}"


def _sources(sources: Sequence[str]) -> str:
    return f", {len(sources)} source(s)" if sources else ""
