"""Packets to dpkt's and back: the same bytes, and a checksum that dpkt computes is None here."""

from __future__ import annotations

from typing import Any

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peer_any import any_packets, parsed_packets
from peer_built import dpkt_packets
from peer_packets import good_packets

from rawproto.errors import WireError
from rawproto.interop import from_dpkt, to_dpkt
from rawproto.wire.arp import ARP
from rawproto.wire.cooked import LinuxCooked
from rawproto.wire.ethernet import VLAN, Ethernet, ProviderVLAN
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMPEcho, ICMPv6Echo
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_extension import ESP, HopByHop
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

IPS: dict[str, Any] = {"src": "192.0.2.1", "dst": "198.51.100.2"}
IP6S: dict[str, Any] = {"src": "2001:db8::1", "dst": "2001:db8::2"}
ETHERNET, IP, IP6 = Ethernet(src="02:00:00:00:00:01"), IPv4(**IPS), IPv6(**IP6S)
STACKS: list[tuple[Packet, list[type[Any]]]] = [
    (ETHERNET / IP / TCP(dport=80) / b"x", [dpkt.ethernet.Ethernet, dpkt.ip.IP, dpkt.tcp.TCP]),
    (ETHERNET / VLAN(vid=5) / IP / UDP(), [dpkt.ethernet.Ethernet, dpkt.ip.IP, dpkt.udp.UDP]),
    (ETHERNET / ProviderVLAN() / VLAN() / IP6 / UDP(), [dpkt.ethernet.Ethernet, dpkt.ip6.IP6, dpkt.udp.UDP]),
    (ETHERNET / ARP(), [dpkt.ethernet.Ethernet, dpkt.arp.ARP]),
    (LinuxCooked() / IP / UDP(), [dpkt.sll.SLL, dpkt.ip.IP, dpkt.udp.UDP]),
    (IP / ICMPEcho(id=1), [dpkt.ip.IP, dpkt.icmp.ICMP, dpkt.icmp.ICMP.Echo]),
    (IP6 / ICMPv6Echo(id=1), [dpkt.ip6.IP6, dpkt.icmp6.ICMP6, dpkt.icmp6.ICMP6.Echo]),
    (IP6 / HopByHop() / UDP(), [dpkt.ip6.IP6, dpkt.udp.UDP]),
]


def chain(packet: Any) -> list[type[Any]]:
    found = []
    while isinstance(packet, dpkt.Packet):
        found.append(type(packet))
        packet = packet.data
    return found


@settings(max_examples=200)
@given(st.one_of(any_packets(), parsed_packets()))
def test_every_packet_has_the_same_bytes_in_dpkt(packet: Packet) -> None:
    assert bytes(to_dpkt(packet)) == bytes(packet)
    theirs = to_dpkt(packet)
    if isinstance(theirs, dpkt.Packet):
        assert bytes(from_dpkt(theirs)) == bytes(packet)


@given(good_packets())
def test_good_packets_come_back(packet: Packet) -> None:
    theirs = to_dpkt(packet)
    if isinstance(theirs, dpkt.Packet):
        assert from_dpkt(theirs) == packet


@given(dpkt_packets())
def test_what_dpkt_builds_has_the_same_bytes_here(theirs: Any) -> None:
    ours = from_dpkt(theirs)
    assert bytes(ours) == bytes(theirs)


@pytest.mark.parametrize(("packet", "layers"), STACKS, ids=range(len(STACKS)))
def test_layers_become_layers(packet: Packet, layers: list[type[Any]]) -> None:
    assert chain(to_dpkt(packet)) == layers


def test_an_open_checksum_is_one_for_dpkt_to_compute() -> None:
    theirs = to_dpkt(IP / TCP() / b"x")
    assert (theirs.sum, theirs.data.sum) == (0, 0)
    theirs.data.dport = 81
    assert bytes(theirs) == bytes(IP / TCP(dport=81) / b"x")


def test_a_wrong_checksum_is_kept() -> None:
    theirs = to_dpkt(IP.replace(checksum=0x1234) / UDP(checksum=0x5678))
    assert (theirs.sum, theirs.data.sum) == (0x1234, 0x5678)


def test_a_checksum_that_dpkt_computes_is_open_here() -> None:
    ours = from_dpkt(dpkt.ip.IP(src=bytes(4), dst=bytes(4), p=17, data=dpkt.udp.UDP(ulen=8)))
    assert (ours[IPv4].checksum, ours[UDP].checksum) == (None, None)


def test_a_frames_padding_is_kept_beside_the_packet() -> None:
    padded = Packet((*(ETHERNET / IP / UDP()).layers,), b"x", trailer=bytes(17))
    theirs = to_dpkt(padded)
    assert isinstance(theirs, dpkt.ethernet.Ethernet)
    assert (theirs.data.data.data, theirs.trailer) == (b"x", bytes(17))
    assert len(theirs) == len(bytes(theirs)) == len(padded)
    assert from_dpkt(theirs).trailer == bytes(17)


def test_what_dpkt_can_not_read_stays_bytes_above_what_it_can() -> None:
    theirs = to_dpkt(ETHERNET / IP6 / ESP() / b"x")
    assert isinstance(theirs, dpkt.ethernet.Ethernet)
    assert theirs.data == bytes(IP6 / ESP() / b"x")


@pytest.mark.parametrize("packet", [RDT(), Packet((), b"x")], ids=["RDT", "bytes"])
def test_what_begins_with_no_header_of_dpkts_is_bytes(packet: Packet | Header) -> None:
    assert to_dpkt(packet) == bytes(packet)


def test_what_is_no_packet_of_dpkts_is_refused() -> None:
    with pytest.raises(WireError, match="from_dpkt: bytes is none of Ethernet"):
        from_dpkt(b"x")
