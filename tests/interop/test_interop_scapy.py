"""Packets to scapy's and back: the same bytes, what is open stays open, and RDT is a layer like others."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peer_any import any_packets, parsed_packets
from peer_built import scapy_packets
from peer_packets import good_packets

from rawproto.errors import RawprotoError, WireError
from rawproto.interop import MissingToolError, from_scapy, register, to_scapy
from rawproto.wire.arp import ARP
from rawproto.wire.cooked import LinuxCooked, LinuxCooked2
from rawproto.wire.ethernet import VLAN, Ethernet, OldProviderVLAN, ProviderVLAN
from rawproto.wire.frame import LinkType
from rawproto.wire.icmp import ICMPEcho, ICMPError, ICMPv6Echo, ICMPv6Error
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv4_options import IPRouterAlert
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_extension import Fragment, HopByHop
from rawproto.wire.ipv6_options import IPv6RawOption, IPv6RouterAlert, PadN
from rawproto.wire.ipv6_routing import SegmentRouting, SourceRoute
from rawproto.wire.llc import LLC, SNAP, LLCNumbered
from rawproto.wire.multicast import GroupRecord, IGMPQuery, MLDQuery, MLDReport
from rawproto.wire.neighbor import NeighborSolicitation, RouterAdvertisement
from rawproto.wire.neighbor_options import LinkMTU, source_link_address
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, RDT_UDP_PORT, Flags, Mss, Seen, datagram_crc
from rawproto.wire.tcp import TCP
from rawproto.wire.tcp_options import MaximumSegmentSize, NoOperation, Timestamps, WindowScale
from rawproto.wire.udp import UDP

SYN_OPTIONS = [MaximumSegmentSize(1460), NoOperation(), WindowScale(7), NoOperation(), NoOperation(), Timestamps(1, 2)]
ALERT = [IPv6RouterAlert(), PadN()]
MACS: dict[str, Any] = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
IPS: dict[str, Any] = {"src": "192.0.2.1", "dst": "198.51.100.2"}
IP6S: dict[str, Any] = {"src": "2001:db8::1", "dst": "2001:db8::2"}
ETHERNET, IP, IP6 = Ethernet(**MACS), IPv4(**IPS, id=7), IPv6(**IP6S)

OPEN: list[tuple[Packet, list[str]]] = [
    (ETHERNET / IP / TCP(dport=80, options=SYN_OPTIONS) / b"hello", ["Ether", "IP", "TCP", "Raw"]),
    (ETHERNET / IPv4(**IPS, options=[IPRouterAlert()]) / UDP(sport=9) / b"x", ["Ether", "IP", "UDP", "Raw"]),
    (ETHERNET / VLAN(vid=5) / IP6 / TCP(), ["Ether", "Dot1Q", "IPv6", "TCP"]),
    (ETHERNET / ProviderVLAN(vid=5) / VLAN() / IP / UDP(), ["Ether", "Dot1AD", "Dot1Q", "IP", "UDP"]),
    (ETHERNET / LLC() / SNAP() / IP / UDP(), ["Dot3", "LLC", "SNAP", "IP", "UDP"]),
    (ETHERNET / ARP(sender_ip="192.0.2.1", target_ip="192.0.2.2"), ["Ether", "ARP"]),
    (LinuxCooked() / IP / UDP(), ["CookedLinux", "IP", "UDP"]),
    (LinuxCooked2() / IP6 / UDP(), ["CookedLinuxV2", "IPv6", "UDP"]),
    (IP / ICMPEcho(id=1, seq=2) / b"odd", ["IP", "ICMP", "Raw"]),
    (IP / ICMPError(code=3) / bytes(IP / UDP() / b"x"), ["IP", "ICMP", "IPerror", "UDPerror", "Raw"]),
    (IP / IGMPQuery(sources=bytes(4)), ["IP", "IGMPv3_MQ"]),
    (IP6 / ICMPv6Echo(id=1, seq=2) / b"odd", ["IPv6", "ICMPv6EchoRequest"]),
    (IP6 / ICMPv6Error(code=3) / bytes(IP6 / UDP()), ["IPv6", "ICMPv6DestUnreach", "IPerror6", "UDPerror"]),
    (IP6 / HopByHop(options=ALERT) / UDP(), ["IPv6", "IPv6ExtHdrHopByHop", "UDP"]),
    (IP6 / Fragment(id=5) / UDP(), ["IPv6", "IPv6ExtHdrFragment", "UDP"]),
    (IP6 / SourceRoute(addresses=bytes(16)) / UDP(), ["IPv6", "IPv6ExtHdrRouting", "UDP"]),
    (IP6 / SegmentRouting(segments=bytes(16)) / UDP(), ["IPv6", "IPv6ExtHdrSegmentRouting", "UDP"]),
    (
        IP6 / NeighborSolicitation(target="fe80::1", options=[source_link_address("02:00:00:00:00:01"), LinkMTU(1500)]),
        ["IPv6", "ICMPv6ND_NS", "ICMPv6NDOptSrcLLAddr", "ICMPv6NDOptMTU"],
    ),
    (IP6 / RouterAdvertisement(), ["IPv6", "ICMPv6ND_RA"]),
    (IP6 / MLDQuery(sources=bytes(16)), ["IPv6", "ICMPv6MLQuery2"]),
    (IP6 / MLDReport(records=[GroupRecord(4, "ff02::1")]), ["IPv6", "ICMPv6MLReport2"]),
    (IP / RDT(sport=1, options=[Mss(1400), Seen(7, 8)]) / b"x", ["IP", "RDT", "Raw"]),
    (IP6 / RDT(flags=Flags.SYN), ["IPv6", "RDT"]),
    (IP / UDP(dport=RDT_UDP_PORT) / RDT() / b"x", ["IP", "UDP", "RDT", "Raw"]),
    (IP / IP6 / IP / UDP(), ["IP", "IPv6", "IP", "UDP"]),
]


def names(packet: Any) -> list[str]:
    return [layer.__name__ for layer in packet.layers()]


@settings(max_examples=200)
@given(st.one_of(any_packets(), parsed_packets()))
def test_every_packet_has_the_same_bytes_in_scapy_and_comes_back(scapy: Any, packet: Packet) -> None:
    theirs = to_scapy(packet)
    assert bytes(theirs) == bytes(packet)
    assert from_scapy(theirs, packet.linktype) == packet


@given(good_packets())
def test_good_packets_come_back_without_being_told_their_link_type(scapy: Any, packet: Packet) -> None:
    assert from_scapy(to_scapy(packet)) == packet


@given(st.data())
def test_what_scapy_builds_has_the_same_bytes_here(scapy: Any, data: st.DataObject) -> None:
    theirs = data.draw(scapy_packets(scapy))
    ours = from_scapy(theirs)
    assert bytes(ours) == bytes(theirs)
    assert all(header.raw("checksum") is None for header in ours.layers if header.has_checksum)


@given(parsed_packets())
def test_what_scapy_reads_has_the_same_bytes_here(scapy: Any, packet: Packet) -> None:
    theirs = scapy.Ether(bytes(packet).ljust(14, b"\0"))  # fewer bytes than a header has, scapy refuses
    assert bytes(from_scapy(theirs)) == bytes(theirs)


@pytest.mark.parametrize(("packet", "layers"), OPEN, ids=lambda value: "-".join(value) if type(value) is list else "")
def test_layers_become_layers_and_what_is_open_stays_open(scapy: Any, packet: Packet, layers: list[str]) -> None:
    theirs = to_scapy(packet)
    assert names(theirs) == layers
    assert from_scapy(theirs).layers == packet.layers


def test_what_is_open_is_computed_by_scapy_after_a_change(scapy: Any) -> None:
    theirs = to_scapy(ETHERNET / IP / TCP(dport=80) / b"hello")
    theirs[scapy.TCP].dport = 81
    theirs[scapy.Raw].load = b"hello there"
    assert bytes(theirs) == bytes(ETHERNET / IP / TCP(dport=81) / b"hello there")


def test_numbers_are_kept_zero_and_wrong_ones_too(scapy: Any) -> None:
    packet = IP.replace(ihl=15, total_length=0, checksum=1, protocol=99) / UDP(length=7, checksum=0) / b"x"
    theirs = to_scapy(packet)
    assert (theirs.ihl, theirs.len, theirs.chksum, theirs.proto) == (15, 0, 1, 99)
    assert (theirs[scapy.UDP].len, theirs[scapy.UDP].chksum) == (7, 0)
    assert from_scapy(theirs).layers == packet.layers


def test_a_type_that_scapy_would_choose_otherwise_is_a_number(scapy: Any) -> None:
    theirs = to_scapy(IP / b"bare")
    assert (theirs.proto, theirs.len, theirs.chksum) == (255, None, None)


def test_options_stay_where_they_are_and_their_header_stays_open(scapy: Any) -> None:
    unaligned = [IPv6RawOption(0x1E, b"x"), IPv6RouterAlert(), PadN(bytes(5))]
    theirs = to_scapy(IP6 / HopByHop(options=unaligned) / UDP())
    assert theirs[scapy.IPv6ExtHdrHopByHop].len is None
    assert [type(option).__name__ for option in theirs.options] == ["HBHOptUnknown", "RouterAlert", "PadN"]


def test_what_scapy_computes_otherwise_is_a_number_in_its_layer(scapy: Any) -> None:
    # To scapy the first segment is the destination, with none left too (RFC 8200 §8.1: only while some are left).
    theirs = scapy.IPv6(**IP6S) / scapy.IPv6ExtHdrSegmentRouting(addresses=["2001:db8::9"]) / scapy.UDP() / b"x"
    ours = from_scapy(theirs)
    assert [type(header) for header in ours.layers] == [IPv6, SegmentRouting, UDP]
    assert bytes(ours) == bytes(theirs)
    assert ours[UDP].checksum == scapy.IPv6(bytes(theirs))[scapy.UDP].chksum


def test_the_old_provider_tag_keeps_its_number(scapy: Any) -> None:
    packet = ETHERNET / OldProviderVLAN(vid=5) / IP / UDP()
    theirs = to_scapy(packet)
    assert names(theirs) == ["Ether", "Dot1Q", "IP", "UDP"]
    assert theirs.type == 0x9100
    assert isinstance(from_scapy(theirs).layers[1], OldProviderVLAN)


def test_what_scapy_has_no_class_for_is_raw_and_what_follows_is_padding(scapy: Any) -> None:
    assert names(to_scapy(ETHERNET / LLCNumbered() / b"x")) == ["Dot3", "Raw"]
    padded = Packet((*(ETHERNET / IP / UDP()).layers,), b"x", trailer=bytes(17))
    theirs = to_scapy(padded)
    assert names(theirs) == ["Ether", "IP", "UDP", "Raw", "Padding"]
    assert from_scapy(theirs).trailer == bytes(17)


def test_a_single_header_and_bare_bytes_convert_too(scapy: Any) -> None:
    assert names(to_scapy(UDP(dport=53))) == ["UDP"]
    assert bytes(to_scapy(Packet((), b"bytes"))) == b"bytes"


def test_a_link_type_that_can_be_seen_from_no_layer_is_told(scapy: Any) -> None:
    packet = Packet.parse(bytes(IP / UDP()), LinkType.IPV4)
    assert from_scapy(to_scapy(packet), LinkType.IPV4) == packet
    assert from_scapy(to_scapy(packet)).linktype == LinkType.RAW


def test_a_packet_written_in_scapy_is_open_here(scapy: Any) -> None:
    theirs = scapy.Ether(**MACS) / scapy.IP(**IPS) / scapy.TCP(dport=80, flags="S") / b"x"
    ours = from_scapy(theirs)
    assert bytes(ours) == bytes(theirs)
    assert ours.layers == (ETHERNET, IPv4(**IPS, id=1), TCP(sport=20, dport=80, flags=2, window=8192))


def test_values_that_scapy_makes_up_are_taken_once(scapy: Any) -> None:
    ours = from_scapy(scapy.IP(dst="192.0.2.0/30", id=scapy.RandShort()) / scapy.UDP())
    assert len({bytes(ours) for _ in range(5)}) == 1
    assert ours[IPv4].dst == "192.0.2.0"


def test_upper_layers_that_we_lack_are_payload(scapy: Any) -> None:
    query = scapy.IP(**IPS) / scapy.UDP() / scapy.DNS(qd=scapy.DNSQR(qname="example.org"))
    ours = from_scapy(query)
    assert [type(header) for header in ours.layers] == [IPv4, UDP]
    assert ours.payload == bytes(query[scapy.DNS])


def test_what_is_no_packet_of_scapys_is_refused(scapy: Any) -> None:
    with pytest.raises(WireError, match="from_scapy: b'x' is no packet of scapy's"):
        from_scapy(b"x")


# RDT as a layer of scapy's


def test_rdt_is_built_as_ours(scapy: Any) -> None:
    layer = register()
    theirs = layer(sport=1, dport=2, flags="SYN+ACK", packet_number=3, seq=4, ack=5, window=6, options=[Mss(1400)])
    flags = Flags.SYN | Flags.ACK
    ours = RDT(sport=1, dport=2, flags=flags, packet_number=3, seq=4, ack=5, window=6, options=[Mss(1400)])
    assert bytes(scapy.IP(**IPS, id=7) / theirs / b"x") == bytes(IP / ours / b"x")


def test_rdt_is_found_in_ip_ipv6_and_udp(scapy: Any) -> None:
    register()
    for below, read in ((IP, scapy.IP), (IP6, scapy.IPv6), (IP / UDP(dport=RDT_UDP_PORT), scapy.IP)):
        theirs = read(bytes(below / RDT(sport=5, options=[Seen(1, 2)]) / b"x"))
        assert (theirs["RDT"].sport, theirs["RDT"].options) == (5, [Seen(1, 2)])
        assert theirs["RDT"].crc == datagram_crc(bytes(theirs["RDT"])[:36] + bytes(4) + bytes(theirs["RDT"])[40:])


def test_what_is_no_rdt_on_its_port_stays_raw(scapy: Any) -> None:
    register()
    theirs = scapy.IP(bytes(IP / UDP(dport=RDT_UDP_PORT) / b"\0 is no version"))
    assert names(theirs) == ["IP", "UDP", "Raw"]


def test_malformed_rdt_options_are_bytes(scapy: Any) -> None:
    data = bytes(RDT(options=b"\5\1\0\0"))
    assert register()(data).options == b"\5\1\0\0"
    assert bytes(register()(data)) == data


def test_an_rdt_answer_is_known_by_its_ports(scapy: Any) -> None:
    layer = register()
    asked, answer = layer(sport=1, dport=2), layer(sport=2, dport=1)
    assert answer.answers(asked) and not asked.answers(asked)
    assert answer.hashret() == asked.hashret()


# Without scapy

WITHOUT_SCAPY = """
import sys
sys.modules["scapy"] = None
from rawproto.interop import MissingToolError, to_scapy
from rawproto.wire.udp import UDP
try:
    to_scapy(UDP())
except MissingToolError as error:
    print(error)
"""


def test_a_missing_scapy_is_told_in_a_line() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_SCAPY], capture_output=True, text=True, check=True)
    assert done.stdout == "scapy is not installed: pip install 'rawproto[scapy]'\n"
    assert issubclass(MissingToolError, RawprotoError) and issubclass(MissingToolError, ImportError)
