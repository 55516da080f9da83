"""Held against dpkt, scapy and tshark, for the headers that they know."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path
from struct import pack
from typing import Any

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.wire.address import pack_ip
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet, ProviderVLAN
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMPEcho, ICMPError, ICMPRedirect, ICMPv6Echo, PacketTooBig
from rawproto.wire.icmp_queries import ICMPTimestamp
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv4_options import IPRouterAlert, RecordRoute
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_extension import AH, DestinationOptions, Fragment, HopByHop
from rawproto.wire.ipv6_options import HomeAddress, IPv6RouterAlert
from rawproto.wire.ipv6_routing import SegmentRouting, SourceRoute
from rawproto.wire.llc import LLC, SNAP
from rawproto.wire.multicast import GroupRecord, MLDMessage, MLDReport
from rawproto.wire.neighbor import NeighborSolicitation, RouterAdvertisement, source_link_address
from rawproto.wire.neighbor_options import DNSServers, LinkMTU, PrefixInformation
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.tcp_options import MaximumSegmentSize, SackPermitted, Timestamps, WindowScale
from rawproto.wire.udp import UDP

MACS: dict[str, Any] = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
IPS: dict[str, Any] = {"src": "192.0.2.1", "dst": "198.51.100.2"}
IP6S: dict[str, Any] = {"src": "2001:db8::1", "dst": "2001:db8::2"}
OPTIONS = [MaximumSegmentSize(1460), SackPermitted(), Timestamps(5, 6), WindowScale(7)]
U8, U16, U32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
PORTS = st.integers(1024, 2048)


@given(U32, U32, U16, U8, st.binary(max_size=40), U8)
def test_tcp_and_ipv4_read_as_dpkt_reads_them(
    seq: int, ack: int, window: int, flags: int, payload: bytes, ttl: int
) -> None:
    packet = Ethernet(**MACS) / IPv4(**IPS, ttl=ttl, id=7, flags=2, dscp=5, ecn=1)
    tcp_header = TCP(sport=1, dport=2, seq=seq, ack=ack, window=window, flags=flags, options=OPTIONS)
    packet = packet / tcp_header / payload
    theirs = dpkt.ethernet.Ethernet(bytes(packet))
    ip, tcp = theirs.data, theirs.data.data
    ours = packet.computed()
    assert (ip.v, ip.hl, ip.tos, ip.len, ip.id, ip.df, ip.ttl, ip.p, ip.sum) == (
        *(4, ours[IPv4].ihl, 5 << 2 | 1, ours[IPv4].total_length, 7, 1, ttl, 6),
        ours[IPv4].checksum,
    )
    assert (ip.src, ip.dst) == (pack_ip(IPS["src"]), pack_ip(IPS["dst"]))
    assert (tcp.sport, tcp.dport, tcp.seq, tcp.ack, tcp.off, tcp.flags, tcp.win, tcp.sum) == (
        *(1, 2, seq, ack, ours[TCP].data_offset, flags, window),
        ours[TCP].checksum,
    )
    assert tcp.data == payload
    ip.sum = tcp.sum = 0  # dpkt then computes both
    assert bytes(theirs) == bytes(packet)


@given(PORTS, PORTS, st.binary(max_size=40))
def test_udp_over_ipv6_is_summed_as_dpkt_sums_it(src: int, dst: int, payload: bytes) -> None:
    udp = dpkt.udp.UDP(sport=src, dport=dst, data=payload)
    udp.ulen = len(udp)
    ip = dpkt.ip6.IP6(src=pack_ip(IP6S["src"]), dst=pack_ip(IP6S["dst"]), nxt=17, hlim=64, data=udp, plen=len(udp))
    assert bytes(IPv6(**IP6S) / UDP(sport=src, dport=dst) / payload) == bytes(ip)


def test_arp_as_dpkt_builds_it() -> None:
    theirs = dpkt.arp.ARP(op=2, sha=b"\2\0\0\0\0\1", spa=b"\1\2\3\4", tha=b"\2\0\0\0\0\2", tpa=b"\5\6\7\x08")
    ours = ARP(operation=2, sender_mac=MACS["src"], sender_ip="1.2.3.4", target_mac=MACS["dst"], target_ip="5.6.7.8")
    assert bytes(ours) == bytes(theirs)


@pytest.fixture(scope="module")
def scapy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("scapy.all")


def pairs(scapy: Any) -> list[tuple[Packet | Header, Any]]:
    ether = scapy.Ether(**MACS)
    ip, ip6 = scapy.IP(**IPS), scapy.IPv6(**IP6S)
    options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (5, 6)), ("WScale", 7), ("EOL", None)]
    solicit = NeighborSolicitation(target="2001:db8::2", options=[source_link_address(MACS["src"])])
    base, base6 = Ethernet(**MACS) / IPv4(**IPS, id=1), Ethernet(**MACS) / IPv6(**IP6S)
    return [
        (
            base / TCP(sport=9, dport=80, seq=3, flags=TCPFlags.SYN, options=OPTIONS) / b"abc",
            ether / ip / scapy.TCP(sport=9, dport=80, seq=3, flags="S", window=65535, options=options) / b"abc",
        ),
        (base / UDP(sport=9, dport=7777) / b"abc", ether / ip / scapy.UDP(sport=9, dport=7777) / b"abc"),
        (base6 / UDP(sport=9, dport=7777) / b"abc", ether / ip6 / scapy.UDP(sport=9, dport=7777) / b"abc"),
        (
            Ethernet(**MACS) / VLAN(vid=5, pcp=3, dei=1) / IPv4(**IPS, id=1) / UDP(sport=9, dport=7),
            ether / scapy.Dot1Q(vlan=5, prio=3, dei=1) / ip / scapy.UDP(sport=9, dport=7),
        ),
        (base / ICMPEcho(id=4, seq=5) / b"odd", ether / ip / scapy.ICMP(id=4, seq=5) / b"odd"),
        (
            base6 / ICMPv6Echo(id=4, seq=5) / b"odd",
            ether / ip6 / scapy.ICMPv6EchoRequest(id=4, seq=5, data=b"odd"),
        ),
        (
            Ethernet(**MACS) / IPv6(**IP6S, hop_limit=255) / solicit,
            ether
            / scapy.IPv6(**IP6S, hlim=255)
            / scapy.ICMPv6ND_NS(tgt="2001:db8::2")
            / scapy.ICMPv6NDOptSrcLLAddr(lladdr=MACS["src"]),
        ),
        (
            Ethernet(**MACS) / ARP(sender_mac=MACS["src"], sender_ip="1.2.3.4", target_ip="5.6.7.8"),
            ether / scapy.ARP(hwsrc=MACS["src"], psrc="1.2.3.4", hwdst="00:00:00:00:00:00", pdst="5.6.7.8"),
        ),
    ]


def more_pairs(scapy: Any) -> list[tuple[Packet | Header, Any]]:
    ether = scapy.Ether(**MACS)
    ip, ip6, udp = scapy.IP(**IPS), scapy.IPv6(**IP6S), scapy.UDP(sport=9, dport=7777) / b"abc"
    base, base6 = Ethernet(**MACS) / IPv4(**IPS, id=1), Ethernet(**MACS) / IPv6(**IP6S)
    mine = UDP(sport=9, dport=7777) / b"abc"
    stop = "2001:db8::9"
    quoted, quoted6 = bytes(IPv4(**IPS) / mine), bytes(IPv6(**IP6S) / mine)
    return [
        (
            Ethernet(**MACS) / ProviderVLAN(vid=7) / VLAN(vid=5) / IPv4(**IPS, id=1) / mine,
            ether / scapy.Dot1AD(vlan=7) / scapy.Dot1Q(vlan=5) / ip / udp,
        ),
        (
            Ethernet(**MACS) / LLC() / SNAP() / IPv4(**IPS, id=1) / mine,
            scapy.Dot3(**MACS) / scapy.LLC(ctrl=3) / scapy.SNAP() / ip / udp,
        ),
        (
            Ethernet(**MACS) / IPv4(**IPS, id=1, options=[RecordRoute(("0.0.0.0",)), IPRouterAlert()]) / mine,
            ether
            / scapy.IP(**IPS, options=[scapy.IPOption_RR(routers=["0.0.0.0"]), scapy.IPOption_Router_Alert()])
            / udp,
        ),
        (
            base6 / HopByHop(options=[IPv6RouterAlert()]) / MLDMessage(type=131, group="ff02::9"),
            ether
            / ip6
            / scapy.IPv6ExtHdrHopByHop(options=[scapy.RouterAlert(), scapy.Pad1(), scapy.Pad1()], autopad=0)
            / scapy.ICMPv6MLReport(mladdr="ff02::9", mrd=0),
        ),
        (
            base6 / SourceRoute(segments_left=1, addresses=pack_ip(stop)) / mine,
            ether / ip6 / scapy.IPv6ExtHdrRouting(addresses=[stop]) / udp,
        ),
        (
            base6 / SegmentRouting(segments_left=1, last_entry=0, segments=pack_ip(stop)) / mine,
            ether / ip6 / scapy.IPv6ExtHdrSegmentRouting(addresses=[stop], segleft=1, lastentry=0) / udp,
        ),
        (base6 / Fragment(id=5) / mine, ether / ip6 / scapy.IPv6ExtHdrFragment(id=5) / udp),
        (
            base6 / DestinationOptions(options=[b"\1\2\0\0", HomeAddress(stop)]) / mine,
            ether / ip6 / scapy.IPv6ExtHdrDestOpt(options=[scapy.HAO(hoa=stop)]) / udp,
        ),
        (
            base
            / AH(spi=1, seq=2, icv=bytes(12))
            / UDP(sport=9, dport=7777, checksum=0)
            / b"abc",  # it sums nothing there
            ether / ip / scapy.AH(nh=17, payloadlen=4, spi=1, seq=2, icv=bytes(12)) / udp,
        ),
        (
            base / ICMPError(code=4, mtu=1400) / quoted,
            ether / ip / scapy.ICMP(type=3, code=4, nexthopmtu=1400) / quoted,
        ),
        (
            base / ICMPRedirect(gateway="10.0.0.3") / quoted,
            ether / ip / scapy.ICMP(type=5, code=1, gw="10.0.0.3") / quoted,
        ),
        (
            base / ICMPTimestamp(id=1, originate=3, receive=4, transmit=5),
            ether / ip / scapy.ICMP(type=13, id=1, ts_ori=3, ts_rx=4, ts_tx=5),
        ),
        (base6 / PacketTooBig(mtu=1280) / quoted6, ether / ip6 / scapy.ICMPv6PacketTooBig(mtu=1280) / quoted6),
        (
            base6.replace(IPv6, hop_limit=255)
            / RouterAdvertisement(
                preference=1, options=[PrefixInformation("2001:db8::"), LinkMTU(1500), DNSServers((stop,), 9)]
            ),
            ether
            / ip6
            / scapy.ICMPv6ND_RA(prf=1, chlim=64)
            / scapy.ICMPv6NDOptPrefixInfo(prefix="2001:db8::")
            / scapy.ICMPv6NDOptMTU(mtu=1500)
            / scapy.ICMPv6NDOptRDNSS(dns=[stop], lifetime=9),
        ),
        (
            base6.replace(IPv6, hop_limit=1) / MLDReport(records=[GroupRecord(4, "ff02::9", (stop,))]),
            ether
            / ip6
            / scapy.ICMPv6MLReport2(records=[scapy.ICMPv6MLDMultAddrRec(rtype=4, dst="ff02::9", sources=[stop])]),
        ),
    ]


@pytest.mark.parametrize("index", range(8 + 15))
def test_the_same_bytes_as_scapy(scapy: Any, index: int) -> None:
    every = [*pairs(scapy), *more_pairs(scapy)]
    assert len(every) == 8 + 15
    ours, theirs = every[index]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = scapy.raw(theirs)
    assert bytes(ours) == expected


@pytest.mark.tshark
def test_tshark_finds_nothing_wrong(tmp_path: Path, scapy: Any) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    frames = [bytes(ours) for ours, _ in pairs(scapy)]
    capture = tmp_path / "x.pcap"
    records = [pack("<IIII", 0, 0, len(data), len(data)) + data for data in frames]
    capture.write_bytes(pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(records))
    checks = [f"{name}.check_checksum:TRUE" for name in ("ip", "tcp", "udp")]
    options = [argument for check in checks for argument in ("-o", check)]
    bad = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0"
    bad += " || icmp.checksum.status == 0 || icmpv6.checksum.status == 0"
    run = [tshark, "-n", "-r", str(capture), *options]
    assert subprocess.run([*run, "-Y", bad], capture_output=True, text=True, check=True).stdout == ""
    seen = subprocess.run([*run, "-T", "fields", "-e", "frame.protocols"], capture_output=True, text=True, check=True)
    layers = [line.split(":")[2:4] for line in seen.stdout.splitlines()]
    assert layers[0] == ["ip", "tcp"]
    assert layers[3] == ["vlan", "ethertype"]
    assert len(layers) == len(frames)
