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
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMPEcho, ICMPv6Echo
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.neighbor import NeighborSolicitation, source_link_address
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


@pytest.mark.parametrize("index", range(8))
def test_the_same_bytes_as_scapy(scapy: Any, index: int) -> None:
    ours, theirs = pairs(scapy)[index]
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
