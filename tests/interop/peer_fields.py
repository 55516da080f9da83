"""What a field is called by scapy, dpkt and tshark. Where a tool has no word for it, its cell says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import dpkt

from rawproto.wire.address import pack_ip
from rawproto.wire.arp import ARP, RARP
from rawproto.wire.cooked import LinuxCooked, LinuxCooked2
from rawproto.wire.ethernet import VLAN, Ethernet, OldProviderVLAN, ProviderVLAN
from rawproto.wire.header import Header
from rawproto.wire.icmp import (
    ICMPEcho,
    ICMPError,
    ICMPRedirect,
    ICMPv6Echo,
    ICMPv6Error,
    PacketTooBig,
    ParameterProblem,
)
from rawproto.wire.icmp_queries import ICMPAddressMask, ICMPInformation, ICMPTimestamp
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_extension import AH, ESP, DestinationOptions, Fragment, HopByHop
from rawproto.wire.ipv6_routing import SegmentRouting, SourceRoute
from rawproto.wire.llc import LLC, SNAP
from rawproto.wire.multicast import IGMPGroup, IGMPQuery, IGMPReport, MLDMessage, MLDQuery, MLDReport, delay_of
from rawproto.wire.neighbor import (
    NeighborAdvertisement,
    NeighborRedirect,
    NeighborSolicitation,
    RouterAdvertisement,
    RouterSolicitation,
)
from rawproto.wire.rdt import RDT
from rawproto.wire.tcp import TCP, TCPStart
from rawproto.wire.udp import UDP
from rawproto.wire.udplite import UDPLite

__all__ = ["FIELDS", "Cell", "Row", "Silent", "Window"]


class Silent(NamedTuple):
    """A tool has nothing to say about a field, or says it wrong."""

    why: str


class Window:
    """What tshark says of a stretch of the bytes."""

    def __init__(self, found: list[tuple[str, int, str, str]], start: int, end: int) -> None:
        self.found = [each for each in found if start <= each[1] < end]

    def all(self, *names: str) -> list[int]:
        return [number(show, value) for name, _, show, value in self.found if name in names]

    def one(self, name: str) -> int:
        return self.all(name)[0]

    def octets(self, *names: str) -> bytes:
        """The bytes of those fields, in order."""
        return b"".join(bytes.fromhex(value) for name, _, _, value in self.found if name in names)


def number(show: str, value: str) -> int:
    """A value as PDML has it: shown as a number, or as bytes."""
    try:
        return int(show, 0)
    except ValueError:
        return int(value, 16)


Cell = str | Callable[[Any], Any] | Silent
Row = tuple[str | Callable[[Any], Any], Cell, Cell, Cell]
"""Ours, scapy's, dpkt's, tshark's. Several names with | between them: the first that is there."""

NO_CLASS = Silent("dpkt has no class for this header")
NO_BODY = Silent("dpkt reads only type, code and checksum of this message")
NOT_OURS = Silent("tshark has no dissector for RDT by itself")
KINDS_ONLY = Silent("the other tools' own structure, of which only the order of the types is compared")


def same(*names: str) -> list[Row]:
    """Fields with one name in all of the headers tables of ours and scapy's, that the others don't know."""
    return [(name, name, NO_CLASS, NOT_OURS) for name in names]


def vlan() -> list[Row]:
    return [
        ("pcp", "prio", "pri", "vlan.priority|ieee8021ad.priority"),
        ("dei", "dei", "cfi", "vlan.dei|ieee8021ad.dei"),
        ("vid", "vlan", "id", "vlan.id|ieee8021ad.id"),
        ("ethertype", "type", "type", "vlan.etype|vlan.len|ieee8021ah.etype|ieee8021ah.len"),
    ]


def arp() -> list[Row]:
    return [
        ("hardware_type", "hwtype", "hrd", "arp.hw.type"),
        ("protocol_type", "ptype", "pro", "arp.proto.type"),
        ("hardware_size", "hwlen", "hln", "arp.hw.size"),
        ("protocol_size", "plen", "pln", "arp.proto.size"),
        ("operation", "op", "op", "arp.opcode"),
        ("sender_mac", "hwsrc", "sha", "arp.src.hw_mac"),
        ("sender_ip", "psrc", "spa", "arp.src.proto_ipv4"),
        ("target_mac", "hwdst", "tha", "arp.dst.hw_mac"),
        ("target_ip", "pdst", "tpa", "arp.dst.proto_ipv4"),
    ]


def extension(name: str) -> list[Row]:
    return [("next_header", "nh", "nxt", f"ipv6.{name}.nxt"), ("hdr_ext_len", "len", "len", f"ipv6.{name}.len")]


def option_kinds(header: Any) -> list[int]:
    return [bytes(option)[0] for option in header.parsed_options]


MLD_ADDRESSES = ("icmpv6.mldr.mar.multicast_address", "icmpv6.mldr.mar.source_address")


def record_addresses(report: Any) -> bytes:
    """The addresses in a report's records, in order."""
    return b"".join(pack_ip(each) for record in report.parsed_records for each in (record.group, *record.sources))


def first(name: str, default: Any = 0) -> Callable[[Window], Any]:
    """tshark's value if it has one."""
    return lambda window: next(iter(window.all(name)), default)


def option_pairs(tcp: TCP) -> list[tuple[int, bytes]]:
    """Types and values, without padding."""
    return [(kind, data) for kind, data in ((o.code, bytes(o)[2:]) for o in tcp.parsed_options) if kind > 1]


def dpkt_pairs(tcp: Any) -> list[tuple[int, bytes]]:
    return [(kind, bytes(data)) for kind, data in dpkt.tcp.parse_opts(tcp.opts) if kind > 1]


def scapy_pairs(tcp: Any) -> list[tuple[int, bytes]]:
    """scapy's names and tuples, written again one by one."""
    field = tcp.get_field("options")
    pairs = []
    for option in tcp.options:
        data = field.i2m(tcp, [option])
        if data[0] > 1:
            pairs.append((data[0], data[2 : data[1]]))
    return pairs


def sack_edges(option: Any) -> list[int]:
    return [edge for block in getattr(option, "blocks", ()) for edge in block]


def edges(window: Window) -> list[int]:
    """The edges in SACK options, as they are on the wire."""
    found = [
        (at, int(value, 16))
        for name, at, _, value in window.found
        if name in ("tcp.options.sack_le", "tcp.options.sack_re")
    ]
    return [value for _, value in sorted(found)]


def joined(name: str) -> Callable[[Any], bytes]:
    """A list of scapy's as its bytes."""
    return lambda layer: b"".join(map(bytes, layer.fields.get(name, ())))


def addresses(name: str) -> Callable[[Any], bytes]:
    """A list of scapy's addresses as bytes."""
    return lambda layer: b"".join(map(pack_ip, layer.fields.get(name, ())))


def options_rows() -> list[Row]:
    return [
        ("options", joined("options"), "data", Silent("tshark gives options one by one")),
        (option_kinds, KINDS_ONLY, KINDS_ONLY, lambda window: window.all("ipv6.opt.type")),
    ]


def icmp(*rows: Row) -> list[Row]:
    return [
        ("type", "type", "type", "icmp.type"),
        ("code", "code", "code", "icmp.code"),
        ("checksum", "chksum", "sum", "icmp.checksum"),
        *rows,
    ]


def icmpv6(*rows: Row, code: str = "code") -> list[Row]:
    return [
        ("type", "type", "type", "icmpv6.type"),
        ("code", code, "code", "icmpv6.code"),
        ("checksum", "cksum", "sum", "icmpv6.checksum"),
        *rows,
    ]


def igmp(*rows: Row) -> list[Row]:
    return [
        ("type", "type", NO_CLASS, "igmp.type"),
        ("checksum", "chksum", NO_CLASS, "igmp.checksum"),
        *rows,
    ]


ID_SEQ: tuple[Row, ...] = (("id", "id", NO_BODY, "icmp.ident"), ("seq", "seq", NO_BODY, "icmp.seq"))
ND_OPTIONS: tuple[Row, ...] = (
    ("options", lambda layer: bytes(layer.payload), NO_BODY, Silent("tshark gives options one by one")),
    (option_kinds, KINDS_ONLY, KINDS_ONLY, lambda window: window.all("icmpv6.opt.type")),
)
TCP_FLAG_BITS = 0xFF

FIELDS: dict[type[Header], list[Row]] = {
    Ethernet: [
        ("dst", "dst", "dst", "eth.dst"),
        ("src", "src", "src", "eth.src"),
        ("ethertype", "type|len", "type", "eth.type|eth.len"),
    ],
    VLAN: vlan(),
    ProviderVLAN: vlan(),
    OldProviderVLAN: vlan(),
    LLC: [
        ("dsap", "dsap", "dsap", "llc.dsap"),
        ("ssap", "ssap", "ssap", "llc.ssap"),
        ("control", "ctrl", "ctl", "llc.control"),
    ],
    SNAP: [("oui", "OUI", "oui", "llc.oui"), ("ethertype", "code", "type", "llc.type")],
    LinuxCooked: [
        ("packet_type", "pkttype", "type", "sll.pkttype"),
        ("hardware_type", "lladdrtype", "hrd", "sll.hatype"),
        ("address_length", "lladdrlen", "hlen", "sll.halen"),
        ("address", "src", "hdr", lambda window: window.octets("sll.src.eth", "sll.src.other", "sll.unused")),
        ("protocol", "proto", "ethtype", "sll.etype"),
    ],
    LinuxCooked2: [
        ("protocol", "proto", NO_CLASS, "sll.etype"),
        ("reserved", "reserved", NO_CLASS, Silent("tshark passes over it")),
        ("interface", "ifindex", NO_CLASS, "sll.ifindex"),
        ("hardware_type", "lladdrtype", NO_CLASS, "sll.hatype"),
        ("packet_type", "pkttype", NO_CLASS, "sll.pkttype"),
        ("address_length", "lladdrlen", NO_CLASS, "sll.halen"),
        ("address", "src", NO_CLASS, lambda window: window.octets("sll.src.eth", "sll.src.other", "sll.unused")),
    ],
    ARP: arp(),
    RARP: arp(),
    IPv4: [
        ("version", "version", "v", "ip.version"),
        (lambda header: 4 * header.ihl, lambda layer: 4 * layer.ihl, lambda layer: 4 * layer.hl, "ip.hdr_len"),
        ("dscp", lambda layer: layer.tos >> 2, lambda layer: layer.tos >> 2, "ip.dsfield.dscp"),
        ("ecn", lambda layer: layer.tos & 3, lambda layer: layer.tos & 3, "ip.dsfield.ecn"),
        ("total_length", "len", "len", "ip.len"),
        ("id", "id", "id", "ip.id"),
        ("flags", "flags", lambda layer: layer.rf << 2 | layer.df << 1 | layer.mf, "ip.flags"),
        ("fragment_offset", "frag", "offset", "ip.frag_offset"),
        ("ttl", "ttl", "ttl", "ip.ttl"),
        ("protocol", "proto", "p", "ip.proto"),
        ("checksum", "chksum", "sum", "ip.checksum"),
        ("src", "src", "src", "ip.src"),
        ("dst", "dst", "dst", "ip.dst"),
        ("options", joined("options"), "opts", Silent("tshark gives options one by one")),
        (
            lambda header: [kind for kind in option_kinds(header) if kind not in EXPERIMENTS],
            KINDS_ONLY,
            KINDS_ONLY,
            lambda window: [kind for kind in window.all("ip.opt.type") if kind not in EXPERIMENTS],
        ),
    ],
    IPv6: [
        ("version", "version", "v", "ipv6.version"),
        ("dscp", lambda layer: layer.tc >> 2, lambda layer: layer.fc >> 2, "ipv6.tclass.dscp"),
        ("ecn", lambda layer: layer.tc & 3, lambda layer: layer.fc & 3, "ipv6.tclass.ecn"),
        ("flow_label", "fl", "flow", "ipv6.flow"),
        ("payload_length", "plen", "plen", "ipv6.plen"),
        ("next_header", "nh", "nxt", "ipv6.nxt"),
        ("hop_limit", "hlim", "hlim", "ipv6.hlim"),
        ("src", "src", "src", "ipv6.src"),
        ("dst", "dst", "dst", "ipv6.dst"),
    ],
    HopByHop: [*extension("hopopts"), *options_rows()],
    DestinationOptions: [*extension("dstopts"), *options_rows()],
    SourceRoute: [
        *extension("routing"),
        ("routing_type", "type", "type", "ipv6.routing.type"),
        ("segments_left", "segleft", "segs_left", "ipv6.routing.segleft"),
        ("reserved", "reserved", "_rsvd_sl_bits", "ipv6.routing.src.reserved"),
        ("addresses", addresses("addresses"), "data", lambda window: window.octets("ipv6.routing.src.addr")),
    ],
    SegmentRouting: [
        *extension("routing"),
        ("routing_type", "type", "type", "ipv6.routing.type"),
        ("segments_left", "segleft", "segs_left", "ipv6.routing.segleft"),
        ("last_entry", "lastentry", lambda layer: layer._rsvd_sl_bits >> 24, "ipv6.routing.srh.last_entry"),
        (
            "flags",
            lambda layer: int("".join(f"{getattr(layer, name):b}" for name in SRH_FLAGS), 2) << 3 | layer.unused2,
            lambda layer: layer._rsvd_sl_bits >> 16 & 0xFF,
            "ipv6.routing.srh.flags",
        ),
        ("tag", "tag", lambda layer: layer._rsvd_sl_bits & 0xFFFF, "ipv6.routing.srh.tag"),
        ("segments", addresses("addresses"), "data", lambda window: window.octets("ipv6.routing.srh.addr")),
    ],
    Fragment: [
        ("next_header", "nh", "nxt", "ipv6.fraghdr.nxt"),
        ("reserved", "res1", Silent("dpkt has two fields called _resv"), "ipv6.fraghdr.reserved_octet"),
        ("fragment_offset", "offset", "frag_off", lambda window: window.one("ipv6.fraghdr.offset")),
        ("reserved2", "res2", Silent("dpkt has two fields called _resv"), "ipv6.fraghdr.reserved_bits"),
        ("more", "m", "m_flag", "ipv6.fraghdr.more"),
        ("id", "id", "id", "ipv6.fraghdr.ident"),
    ],
    AH: [
        ("next_header", "nh", "nxt", "ah.next_header"),
        ("length", "payloadlen", "len", "ah.length"),
        ("reserved", "reserved", "_resv", "ah.reserved"),
        ("spi", "spi", "spi", "ah.spi"),
        ("seq", "seq", "seq", "ah.sequence"),
        ("icv", "icv", "auth_data", lambda window: window.octets("ah.icv")),
    ],
    ESP: [("spi", "spi", "spi", "esp.spi"), ("seq", "seq", "seq", "esp.sequence")],
    UDP: [
        ("sport", "sport", "sport", "udp.srcport"),
        ("dport", "dport", "dport", "udp.dstport"),
        ("length", "len", "ulen", "udp.length"),
        ("checksum", "chksum", "sum", "udp.checksum"),
    ],
    UDPLite: [
        ("sport", NO_CLASS, NO_CLASS, "udp.srcport"),
        ("dport", NO_CLASS, NO_CLASS, "udp.dstport"),
        ("coverage", NO_CLASS, NO_CLASS, "udp.length|udp.checksum_coverage"),
        ("checksum", NO_CLASS, NO_CLASS, "udp.checksum"),
    ],
    TCP: [
        ("sport", "sport", "sport", "tcp.srcport"),
        ("dport", "dport", "dport", "tcp.dstport"),
        ("seq", "seq", "seq", "tcp.seq_raw|tcp.seq"),
        ("ack", "ack", "ack", "tcp.ack_raw|tcp.ack"),
        (lambda header: 4 * header.data_offset, lambda tcp: 4 * tcp.dataofs, lambda tcp: 4 * tcp.off, "tcp.hdr_len"),
        (
            "reserved",
            lambda tcp: tcp.reserved << 1 | int(tcp.flags) >> 8,
            lambda tcp: tcp._off_flags >> 8 & 15,
            lambda window: window.one("tcp.flags") >> 8,
        ),
        ("flags", lambda tcp: int(tcp.flags) & 0xFF, lambda tcp: tcp.flags & 0xFF, lambda w: w.one("tcp.flags") & 0xFF),
        ("window", "window", "win", "tcp.window_size_value"),
        ("checksum", "chksum", "sum", "tcp.checksum"),
        ("urgent", "urgptr", "urp", "tcp.urgent_pointer"),
        ("options", Silent("compared below, as pairs"), "opts", lambda window: window.octets("tcp.options")),
        (option_pairs, scapy_pairs, dpkt_pairs, KINDS_ONLY),
        (
            lambda tcp: [kind for kind in option_kinds(tcp) if kind],
            KINDS_ONLY,
            KINDS_ONLY,
            lambda window: [kind for kind in window.all("tcp.option_kind") if kind],
        ),
        (lambda tcp: tcp.mss, KINDS_ONLY, KINDS_ONLY, lambda w: next(iter(w.all("tcp.options.mss_val")), None)),
        (
            lambda tcp: [edge for option in tcp.parsed_options for edge in sack_edges(option)],
            KINDS_ONLY,
            KINDS_ONLY,
            edges,
        ),
    ],
    TCPStart: [
        ("sport", "sport", NO_CLASS, "tcp.srcport"),
        ("dport", "dport", NO_CLASS, "tcp.dstport"),
        ("seq", "seq", NO_CLASS, "tcp.seq_raw|tcp.seq"),
    ],
    RDT: [
        *same("version", "header_length", "flags", "sport", "dport", "payload_length", "packet_number"),
        *same("seq", "ack", "window", "crc"),
        ("options", joined("options"), NO_CLASS, NOT_OURS),
    ],
    ICMPEcho: icmp(
        ("id", "id", lambda layer: layer.data.id, "icmp.ident"),
        ("seq", "seq", lambda layer: layer.data.seq, "icmp.seq"),
    ),
    ICMPError: icmp(
        (
            lambda icmp: icmp.pointer * (icmp.type == 12),
            lambda icmp: icmp.fields.get("ptr") or 0,
            NO_BODY,
            first("icmp.pointer"),
        ),
        ("length", lambda icmp: icmp.fields.get("length") or 0, NO_BODY, first("icmp.length")),
        (
            lambda icmp: icmp.mtu * (icmp.type == 3 and icmp.code == 4),
            lambda icmp: (icmp.fields.get("nexthopmtu") or 0) * (icmp.code == 4),
            lambda icmp: getattr(icmp.data, "mtu", 0) * (icmp.code == 4),
            first("icmp.mtu"),
        ),
    ),
    ICMPInformation: icmp(*ID_SEQ),
    ICMPTimestamp: icmp(
        *ID_SEQ,
        ("originate", "ts_ori", NO_BODY, "icmp.originate_timestamp"),
        ("receive", "ts_rx", NO_BODY, "icmp.receive_timestamp"),
        ("transmit", "ts_tx", NO_BODY, "icmp.transmit_timestamp"),
    ),
    ICMPAddressMask: icmp(*ID_SEQ, ("mask", "addr_mask", NO_BODY, "icmp.address_mask")),
    ICMPRedirect: icmp(
        ("gateway", "gw", lambda layer: layer.data.gw.to_bytes(4), "icmp.redir_gw"),
    ),
    ICMPv6Echo: icmpv6(
        ("id", "id", lambda layer: layer.data.id, "icmpv6.echo.identifier"),
        ("seq", "seq", lambda layer: layer.data.seq, "icmpv6.echo.sequence_number"),
    ),
    ICMPv6Error: icmpv6(
        ("length", "length", lambda layer: layer.data.pad >> 24, "icmpv6.length|icmpv6.reserved"),
        ("unused", "unused", lambda layer: layer.data.pad & 0xFFFFFF, "icmpv6.reserved"),
    ),
    PacketTooBig: icmpv6(("mtu", "mtu", lambda layer: layer.data.mtu, "icmpv6.mtu")),
    ParameterProblem: icmpv6(("pointer", "ptr", lambda layer: layer.data.ptr, "icmpv6.pointer")),
    RouterSolicitation: icmpv6(("reserved", "res", NO_BODY, "icmpv6.reserved"), *ND_OPTIONS),
    RouterAdvertisement: icmpv6(
        ("hop_limit", "chlim", NO_BODY, "icmpv6.nd.ra.cur_hop_limit"),
        ("managed", "M", NO_BODY, "icmpv6.nd.ra.flag.m"),
        ("other", "O", NO_BODY, "icmpv6.nd.ra.flag.o"),
        ("home_agent", "H", NO_BODY, "icmpv6.nd.ra.flag.h"),
        ("preference", "prf", NO_BODY, "icmpv6.nd.ra.flag.prf"),
        ("proxy", "P", NO_BODY, "icmpv6.nd.ra.flag.p"),
        ("reserved", "res", NO_BODY, "icmpv6.nd.ra.flag.rsv"),
        ("lifetime", "routerlifetime", NO_BODY, "icmpv6.nd.ra.router_lifetime"),
        ("reachable_time", "reachabletime", NO_BODY, "icmpv6.nd.ra.reachable_time"),
        ("retrans_timer", "retranstimer", NO_BODY, "icmpv6.nd.ra.retrans_timer"),
        *ND_OPTIONS,
    ),
    NeighborSolicitation: icmpv6(
        ("reserved", "res", NO_BODY, "icmpv6.reserved"),
        ("target", "tgt", NO_BODY, "icmpv6.nd.ns.target_address"),
        *ND_OPTIONS,
    ),
    NeighborAdvertisement: icmpv6(
        ("router", "R", NO_BODY, "icmpv6.nd.na.flag.r"),
        ("solicited", "S", NO_BODY, "icmpv6.nd.na.flag.s"),
        ("override", "O", NO_BODY, "icmpv6.nd.na.flag.o"),
        ("reserved", "res", NO_BODY, "icmpv6.nd.na.flag.rsv"),
        ("target", "tgt", NO_BODY, "icmpv6.nd.na.target_address"),
        *ND_OPTIONS,
    ),
    NeighborRedirect: icmpv6(
        ("reserved", "res", NO_BODY, "icmpv6.reserved"),
        ("target", "tgt", NO_BODY, "icmpv6.rd.na.target_address|icmpv6.nd.rd.target_address"),
        ("dst", "dst", NO_BODY, "icmpv6.rd.na.destination_address|icmpv6.nd.rd.destination_address"),
        *ND_OPTIONS,
    ),
    MLDMessage: icmpv6(
        ("max_delay", "mrd", NO_BODY, "icmpv6.mld.maximum_response_delay"),
        ("reserved", "reserved", NO_BODY, "icmpv6.reserved"),
        ("group", "mladdr", NO_BODY, "icmpv6.mld.multicast_address"),
    ),
    MLDQuery: icmpv6(
        ("max_delay", "mrd", NO_BODY, Silent("tshark works out what the code stands for")),
        (lambda query: delay_of(query.max_delay, 16), KINDS_ONLY, NO_BODY, "icmpv6.mld.maximum_response_code"),
        ("reserved", "reserved", NO_BODY, "icmpv6.reserved"),
        ("group", "mladdr", NO_BODY, "icmpv6.mld.multicast_address"),
        ("reserved2", "Resv", NO_BODY, "icmpv6.mld.flag.reserved"),
        ("suppress", "S", NO_BODY, "icmpv6.mld.flag.s"),
        ("robustness", "QRV", NO_BODY, "icmpv6.mld.flag.qrv"),
        ("interval", "QQIC", NO_BODY, Silent("tshark works out what the code stands for")),
        (lambda query: delay_of(query.interval), KINDS_ONLY, NO_BODY, "icmpv6.mld.qqi"),
        ("count", "sources_number", NO_BODY, "icmpv6.mld.nb_sources"),
        ("sources", addresses("sources"), NO_BODY, lambda window: window.octets("icmpv6.mld.source_address")),
    ),
    MLDReport: icmpv6(
        ("reserved", "reserved", NO_BODY, "icmpv6.reserved"),
        ("count", "records_number", NO_BODY, "icmpv6.mldr.nb_mcast_records"),
        ("records", joined("records"), NO_BODY, Silent("tshark gives records in parts")),
        (record_addresses, KINDS_ONLY, KINDS_ONLY, lambda window: window.octets(*MLD_ADDRESSES)),
        code="res",
    ),
    IGMPGroup: igmp(
        (
            "max_response",
            lambda layer: layer.fields["mrcode"],
            NO_CLASS,
            lambda window: int.from_bytes(window.octets("igmp.max_resp", "igmp.reserved")),
        ),
        ("group", "gaddr", NO_CLASS, "igmp.maddr"),
    ),
    IGMPQuery: igmp(
        (lambda query: delay_of(query.max_response), lambda layer: layer.fields["mrcode"], NO_CLASS, "igmp.max_resp"),
        ("group", "gaddr", NO_CLASS, "igmp.maddr"),
        ("reserved", "flags", NO_CLASS, Silent("tshark passes over it")),
        ("suppress", "s", NO_CLASS, "igmp.s"),
        ("robustness", "qrv", NO_CLASS, "igmp.qrv"),
        ("interval", "qqic", NO_CLASS, "igmp.qqic"),
        ("count", "numsrc", NO_CLASS, "igmp.num_src"),
        ("sources", addresses("srcaddrs"), NO_CLASS, lambda window: window.octets("igmp.saddr")),
    ),
    IGMPReport: igmp(
        ("max_response", "reserved", NO_CLASS, lambda window: window.octets("igmp.reserved")[0]),
        ("reserved2", "flags", NO_CLASS, lambda window: int.from_bytes(window.octets("igmp.reserved")[1:])),
        ("count", "numgrp", NO_CLASS, "igmp.num_grp_recs"),
        ("records", joined("records"), NO_CLASS, Silent("tshark gives records in parts")),
        (record_addresses, KINDS_ONLY, NO_CLASS, lambda window: window.octets("igmp.maddr", "igmp.saddr")),
    ),
}
EXPERIMENTS = (0x5E, 0x9E, 0xDE)
"""IPv4 options of RFC 4727, of which tshark tells the type in some places and not in others."""
SRH_FLAGS = ("unused1", "protected", "oam", "alert", "hmac")
