"""One line a packet, much as tcpdump prints it."""

from __future__ import annotations

from collections.abc import Sequence

from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMP, ICMPEcho, ICMPv6, ICMPv6Echo
from rawproto.wire.ipv4 import IP_PROTOCOL_NAMES, IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.neighbor import NeighborAdvertisement, NeighborSolicitation
from rawproto.wire.rdt import RDT, Flags
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.udp import UDP

__all__ = ["summary_of"]

TCP_LETTERS = (
    (TCPFlags.FIN, "F"),
    (TCPFlags.SYN, "S"),
    (TCPFlags.RST, "R"),
    (TCPFlags.PSH, "P"),
    (TCPFlags.ACK, "."),
    (TCPFlags.URG, "U"),
    (TCPFlags.ECE, "E"),
    (TCPFlags.CWR, "W"),
)


def summary_of(layers: Sequence[Header], payload: bytes) -> str:
    """The line for these headers."""
    vlan = "".join(f"vlan {header.vid}, " for header in layers if isinstance(header, VLAN))
    arp = next((header for header in layers if isinstance(header, ARP)), None)
    if arp is not None:
        return vlan + _arp(arp)
    network = next((h for h in reversed(layers) if isinstance(h, (IPv4, IPv6))), None)
    above = [header for header in layers if not isinstance(header, (Ethernet, VLAN, IPv4, IPv6))]
    what = ", ".join(
        _transport(header, len(payload) + sum(inner.size for inner in above[at + 1 :]))
        for at, header in enumerate(above)
    )
    if network is not None:
        name = "IP6" if isinstance(network, IPv6) else "IP"
        ports = next((h for h in above if isinstance(h, (TCP, UDP, RDT))), None)
        src, dst = (f".{ports.sport}", f".{ports.dport}") if ports is not None else ("", "")
        return f"{vlan}{name} {network.src}{src} > {network.dst}{dst}: {what or _unknown(network, len(payload))}"
    if what:
        ports = above[0] if isinstance(above[0], (TCP, UDP, RDT)) else None
        return vlan + (f"{ports.sport} > {ports.dport}: {what}" if ports is not None else what)
    if layers and isinstance(layers[0], Ethernet):
        first = layers[0]
        kind = "" if first.ethertype is None else f", ethertype {first.ethertype:#06x}"
        return f"{vlan}{first.src} > {first.dst}{kind}, length {len(payload)}"
    return f"{vlan}data, length {len(payload)}"


def _arp(arp: ARP) -> str:
    if arp.operation == 1:
        return f"ARP, Request who-has {arp.target_ip} tell {arp.sender_ip}, length 28"
    if arp.operation == 2:
        return f"ARP, Reply {arp.sender_ip} is-at {arp.sender_mac}, length 28"
    return f"ARP, operation {arp.operation}, length 28"


def _unknown(network: IPv4 | IPv6, length: int) -> str:
    number = network.protocol if isinstance(network, IPv4) else network.next_header
    name = "data" if number is None else IP_PROTOCOL_NAMES.get(number, f"ip-proto-{number}")
    later = isinstance(network, IPv4) and network.fragment_offset
    return f"{name}{' fragment' if later else ''}, length {length}"


def _transport(header: Header, length: int) -> str:
    if isinstance(header, TCP):
        return _tcp(header, length)
    if isinstance(header, UDP):
        return f"UDP, length {length}"
    if isinstance(header, RDT):
        return _rdt(header, length)
    if isinstance(header, (ICMP, ICMPv6)):
        return _icmp(header, length)
    return type(header).__name__


def _tcp(tcp: TCP, length: int) -> str:
    letters = "".join(letter for flag, letter in TCP_LETTERS if tcp.flags & flag) or "none"
    seq = f", seq {tcp.seq}:{tcp.seq + length}" if length else f", seq {tcp.seq}"
    ack = f", ack {tcp.ack}" if tcp.flags & TCPFlags.ACK else ""
    return f"Flags [{letters}]{seq}{ack}, win {tcp.window}, length {length}"


def _rdt(rdt: RDT, length: int) -> str:
    names = "|".join(str(flag.name) for flag in Flags if rdt.flags & flag) or "none"
    seq = f"seq {rdt.seq}:{rdt.seq + length}" if length else f"seq {rdt.seq}"
    ack = f", ack {rdt.ack}" if rdt.flags & Flags.ACK else ""
    return f"RDT [{names}], number {rdt.packet_number}, {seq}{ack}, win {rdt.window}, length {length}"


def _icmp(message: ICMP | ICMPv6, length: int) -> str:
    family = message.family.replace("v6", "6")
    name = message.type_names.get(message.type, f"type {message.type}")
    more = f", code {message.code}" if message.code else ""
    if isinstance(message, (ICMPEcho, ICMPv6Echo)):
        more = f", id {message.id}, seq {message.seq}"
    if isinstance(message, NeighborSolicitation):
        more = f", who has {message.target}"
    if isinstance(message, NeighborAdvertisement):
        more = f", tgt is {message.target}"
    return f"{family}, {name}{more}, length {message.size + length}"
