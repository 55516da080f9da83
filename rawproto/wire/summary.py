"""One line a packet, much as tcpdump prints it.

What controls the network (ICMP, neighbour discovery, multicast groups) is told in `summary_control`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any, TypeAlias

from rawproto.wire import tcp_options as options
from rawproto.wire.arp import ARP, AnyARP
from rawproto.wire.cooked import LinuxCooked, LinuxCooked2
from rawproto.wire.encapsulation import GRE, MPLS, PPP, PPPoE
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMP, ICMPv6
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import NO_NEXT_HEADER, IPv6
from rawproto.wire.ipv6_extension import AH, ESP, DestinationOptions, Fragment, HopByHop
from rawproto.wire.ipv6_routing import Routing, SegmentRouting, SourceRoute
from rawproto.wire.llc import LLC, SAPS, SNAP
from rawproto.wire.loopback import Loop
from rawproto.wire.multicast import IGMP
from rawproto.wire.names import IP_PROTOCOL_NAMES
from rawproto.wire.rdt import RDT, Flags
from rawproto.wire.summary_control import PORTED, tell_control
from rawproto.wire.tcp import TCP, TCPFlags, TCPStart
from rawproto.wire.udp import UDP
from rawproto.wire.udplite import UDPLite

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
ACK, URG = TCPFlags.ACK.value, TCPFlags.URG.value


def summary_of(layers: Sequence[Header], payload: bytes) -> str:
    """The line for these headers."""
    parts: list[str] = []
    is_link = True
    length = len(payload) + sum(header.size for header in layers)
    below: Header | None = None
    for header, above in zip_longest(layers, layers[1:]):
        length -= header.size
        tell = TELLERS.get(type(header)) or _teller(type(header))
        if tell is not _silence:
            is_link = is_link and tell is _vlan
            parts.append(tell(header, below, above, length, payload))
        below = header
    text = "".join(parts)
    if is_link:
        return text + _link(layers, len(payload))
    return text.rstrip(", :")


Teller: TypeAlias = Callable[[Any, Header | None, Header | None, int, bytes], str]
"""What is said of a header, with what separates it from what follows: the header, those below and above it, how many
bytes lie behind it, the packet's payload."""


def _teller(kind: type[Header]) -> Teller:
    """The function for a class, to be found more quickly the next time."""
    tell = next((tell for known, tell in KINDS if issubclass(kind, known)), _other)
    TELLERS[kind] = tell
    return tell


def _silence(header: Header, below: Header | None, above: Header | None, length: int, payload: bytes) -> str:
    """Nothing to say if IP follows."""
    return ""


def _vlan(header: VLAN, below: Header | None, above: Header | None, length: int, payload: bytes) -> str:
    return f"vlan {header.vid}, p {header.pcp}, {'DEI, ' if header.dei else ''}"


def _ported(header: Any, below: Header | None, above: Header | None, length: int, payload: bytes) -> str:
    # Right above IP the ports stand with the addresses, and RDT has those of the UDP that carries it.
    shown = isinstance(below, (IPv4, IPv6)) or (isinstance(header, RDT) and isinstance(below, UDP))
    ports = "" if shown else f"{header.sport} > {header.dport}: "
    return f"{ports}{_transport(header, length)}{', ' if isinstance(above, RDT) else ': '}"


def _control(
    header: ICMP | ICMPv6 | IGMP, below: Header | None, above: Header | None, length: int, payload: bytes
) -> str:
    return tell_control(header, payload, length)


def _other(header: Header, below: Header | None, above: Header | None, length: int, payload: bytes) -> str:
    if isinstance(header, AnyARP):
        return _arp(header)
    if isinstance(header, MPLS):
        bottom = ", [S]" if header.bottom else ""
        return f"MPLS (label {header.label}, tc {header.tc}{bottom}, ttl {header.ttl}) "
    if isinstance(header, PPPoE):
        return f"PPPoE [ses {header.session_id:#x}] "
    if isinstance(header, GRE):
        return f"GREv{header.version}, length {header.size + length}: "
    return f"{type(header).__name__}, length {header.size + length}: "


def _link(layers: Sequence[Header], length: int) -> str:
    """The line for a frame of which only the link's own headers are known."""
    if not layers or not isinstance(layers[0], Ethernet):
        return f"data, length {length}"
    number = layers[-1].raw("ethertype")
    kind = "" if number is None else ", 802.3" if 0 < number <= 1500 else f", ethertype {number:#06x}"
    return f"{layers[0].src} > {layers[0].dst}{kind}, length {length}"


def _network(header: IPv4 | IPv6, below: Header | None, above: Header | None, length: int, payload: bytes) -> str:
    src, dst = (f".{above.sport}", f".{above.dport}") if isinstance(above, PORTED) else ("", "")
    name = "IP6" if isinstance(header, IPv6) else "IP"
    addresses = f"{name} {header.src}{src} > {header.dst}{dst}: "
    if isinstance(header, IPv4) and header.is_fragment:
        more = "+" if header.flags & 1 else ""
        fragment = f"frag ({header.id:#06x}:{8 * header.fragment_offset}|{length}{more})"
        return f"{addresses}{fragment} {'' if above is not None else _protocol(header.protocol, length)}"
    number = header.protocol if isinstance(header, IPv4) else header.next_header
    return addresses if above is not None else addresses + _protocol(number, length)


def _protocol(number: int | None, length: int) -> str:
    """What is in a packet that no header here is for."""
    if number == NO_NEXT_HEADER:
        return f"no next header, length {length}"
    name = "data" if number is None else IP_PROTOCOL_NAMES.get(number, f"ip-proto-{number}")
    return f"{name}, length {length}"


def _extension(header: Header, below: Header | None, above: Header | None, length: int, payload: bytes) -> str:
    if isinstance(header, Fragment):
        more = "+" if header.more else ""
        later = f"{_protocol(header.next_header, length)}" if header.fragment_offset else ""
        return f"frag ({header.id:#010x}:{8 * header.fragment_offset}|{length}{more}) {later}"
    if isinstance(header, Routing):
        return _routing(header)
    if isinstance(header, AH):
        return f"AH(spi={header.spi:#010x},seq={header.seq:#x},icv=0x{header.icv.hex()}): "
    if isinstance(header, ESP):
        return f"ESP(spi={header.spi:#010x},seq={header.seq:#x}), length {header.size + length}"
    return "HBH " if isinstance(header, HopByHop) else "DSTOPT "


def _routing(header: Routing) -> str:
    stops: tuple[str, ...] = ()
    if isinstance(header, SourceRoute):
        stops = header.parsed_addresses
    elif isinstance(header, SegmentRouting):
        stops = header.parsed_segments
    told = "".join(f", [{at}]{stop}" for at, stop in enumerate(stops))
    return f"RT6 (len={header.size // 8 - 1}, type={header.routing_type}, segleft={header.segments_left}{told}) "


def _arp(arp: AnyARP) -> str:
    name = "RARP" if arp.operation in (3, 4) else "ARP"
    size = 8 + 2 * (arp.hardware_size + arp.protocol_size)
    if not isinstance(arp, ARP):
        operation = arp.fields[4].name_of(arp.operation) or f"operation {arp.operation}"
        sizes = f"addresses of {arp.hardware_size} and {arp.protocol_size} bytes"
        return f"{name}, {operation.capitalize()}, {sizes}, length {size}"
    told = {
        1: f"Request who-has {arp.target_ip} tell {arp.sender_ip}",
        2: f"Reply {arp.sender_ip} is-at {arp.sender_mac}",
        3: f"Request who-is {arp.target_mac} tell {arp.sender_mac}",
        4: f"Reply {arp.target_mac} at {arp.target_ip}",
        8: f"Inverse request who-is {arp.target_mac} tell {arp.sender_mac}",
        9: f"Inverse reply {arp.sender_mac} at {arp.sender_ip}",
    }
    return f"{name}, {told.get(arp.operation, f'operation {arp.operation}')}, length {size}"


def _llc(llc: LLC | SNAP, below: Header | None, above: Header | None, length: int, payload: bytes) -> str:
    if above is not None:
        return ""
    if isinstance(llc, SNAP):
        return f"SNAP, oui {llc.oui:#08x}, ethertype {llc.ethertype or 0:#06x}, length {llc.size + length}"
    dsap, ssap = (f"{SAPS[sap]} ({sap:#04x})" if sap in SAPS else f"{sap:#04x}" for sap in (llc.dsap, llc.ssap))
    return f"LLC, dsap {dsap}, ssap {ssap}, ctrl {llc.control:#04x}, length {llc.size + length}"


def _transport(header: Header, length: int) -> str:
    if isinstance(header, TCP):
        return _tcp(header, length)
    if isinstance(header, TCPStart):
        return f"tcp seq {header.seq} [|tcp]"
    if isinstance(header, RDT):
        return _rdt(header, length)
    return f"{'UDP-Lite' if isinstance(header, UDPLite) else 'UDP'}, length {length}"


def _tcp(tcp: TCP, length: int) -> str:
    flags, first = tcp.flags, tcp.seq
    letters = _letters(flags)
    seq = f", seq {first}:{first + length}" if length else f", seq {first}"
    ack = f", ack {tcp.ack}" if flags & ACK else ""
    urgent = f", urg {tcp.urgent}" if flags & URG else ""
    told = f", options [{','.join(map(_tcp_option, tcp.parsed_options))}]" if tcp.options else ""
    return f"Flags [{letters}]{seq}{ack}, win {tcp.window}{urgent}{told}, length {length}"


@lru_cache(256)
def _letters(flags: int) -> str:
    return "".join(letter for flag, letter in TCP_LETTERS if flags & flag) or "none"


def _tcp_option(option: options.TCPOption) -> str:
    tell = TCP_OPTIONS.get(type(option))
    return f"unknown-{option.code} 0x{option.body().hex()}" if tell is None else tell(option)


TCP_OPTIONS: dict[type[options.TCPOption], Callable[[Any], str]] = {
    options.EndOfOptions: lambda option: "eol",
    options.NoOperation: lambda option: "nop",
    options.MaximumSegmentSize: lambda option: f"mss {option.mss}",
    options.WindowScale: lambda option: f"wscale {option.shift}",
    options.SackPermitted: lambda option: "sackOK",
    options.SelectiveAck: lambda option: (
        f"sack {len(option.blocks)} " + "".join(f"{{{left}:{right}}}" for left, right in option.blocks)
    ),
    options.Timestamps: lambda option: f"TS val {option.value} ecr {option.echo}",
    options.UserTimeout: lambda option: f"uto {option.timeout} {'min' if option.minutes else 's'}",
    options.MD5Signature: lambda option: f"md5 {option.digest.hex()}",
    options.Authentication: lambda option: (
        f"tcp-ao keyid {option.key_id} rnextkeyid {option.next_key_id} mac 0x{option.mac.hex()}"
    ),
    options.FastOpen: lambda option: f"tfo cookie {option.cookie.hex()}" if option.cookie else "tfo cookiereq",
    options.Experiment: lambda option: f"exp-{option.exid:#06x} 0x{option.data.hex()}",
    options.MultipathTCP: lambda option: f"mptcp {option.name.removeprefix('MP_').lower()}",
}


def _rdt(rdt: RDT, length: int) -> str:
    names = "|".join(str(flag.name) for flag in Flags if rdt.flags & flag) or "none"
    seq = f"seq {rdt.seq}:{rdt.seq + length}" if length else f"seq {rdt.seq}"
    ack = f", ack {rdt.ack}" if rdt.flags & Flags.ACK else ""
    return f"RDT [{names}], number {rdt.packet_number}, {seq}{ack}, win {rdt.window}, length {length}"


KINDS: tuple[tuple[type[Header] | tuple[type[Header], ...], Teller], ...] = (
    ((Ethernet, LinuxCooked, LinuxCooked2, Loop, PPP), _silence),
    (VLAN, _vlan),
    ((LLC, SNAP), _llc),
    ((IPv4, IPv6), _network),
    (PORTED, _ported),
    ((ICMP, ICMPv6, IGMP), _control),
    ((HopByHop, DestinationOptions, Routing, Fragment, AH, ESP), _extension),
)
TELLERS: dict[type[Header], Teller] = {}
