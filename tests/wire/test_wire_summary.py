"""One line a packet: what tcpdump 4.99 prints, where it prints something sensible; the rest in its manner."""

from __future__ import annotations

from typing import Any

import pytest

from rawproto.wire.arp import ARP, RARP, AnyARP
from rawproto.wire.cooked import LinuxCooked
from rawproto.wire.encapsulation import GRE, MPLS, PPP, PPPoE
from rawproto.wire.ethernet import VLAN, Ethernet, ProviderVLAN
from rawproto.wire.icmp import ICMP, ICMPError, ICMPRedirect, ICMPv6, ICMPv6Error, PacketTooBig, ParameterProblem
from rawproto.wire.icmp_queries import (
    ICMPAddressMask,
    ICMPExtendedEcho,
    ICMPInformation,
    ICMPRouterAdvertisement,
    ICMPTimestamp,
)
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_extension import AH, ESP, DestinationOptions, Fragment, HopByHop
from rawproto.wire.ipv6_options import IPv6RouterAlert
from rawproto.wire.ipv6_routing import SegmentRouting, SourceRoute, UnknownRouting
from rawproto.wire.llc import LLC, SNAP
from rawproto.wire.multicast import IGMP, GroupRecord, IGMPGroup, IGMPQuery, IGMPReport, MLDMessage, MLDQuery, MLDReport
from rawproto.wire.neighbor import NeighborRedirect, RouterAdvertisement
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.tcp_options import (
    Authentication,
    EndOfOptions,
    Experiment,
    FastOpen,
    MaximumSegmentSize,
    MD5Signature,
    MultipathTCP,
    NoOperation,
    RawOption,
    SackPermitted,
    SelectiveAck,
    Timestamps,
    UserTimeout,
    WindowScale,
)
from rawproto.wire.udp import UDP
from rawproto.wire.udplite import UDPLite

MACS: dict[str, Any] = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
LINK = Ethernet(**MACS)
FOUR = LINK / IPv4(src="10.0.0.1", dst="10.0.0.2")
SIX = LINK / IPv6(src="fd00::1", dst="fd00::2")
PLAIN = UDP(sport=30000, dport=30001)
QUOTED = bytes(IPv4(src="10.0.0.2", dst="10.0.0.9") / UDP(sport=30000, dport=53) / bytes(20))
QUOTED6 = bytes(IPv6(src="fd00::2", dst="fd00::9") / UDP(sport=30000, dport=53) / bytes(20))
OVER4, OVER6 = "IP 10.0.0.1 > 10.0.0.2: ", "IP6 fd00::1 > fd00::2: "


def tcp_with(*options: Any) -> Packet:
    return FOUR / TCP(sport=1, dport=80, seq=7, flags=TCPFlags.ACK, ack=9, options=options) / b""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            (MaximumSegmentSize(1460), SackPermitted(), Timestamps(1, 2), NoOperation(), WindowScale(7)),
            "mss 1460,sackOK,TS val 1 ecr 2,nop,wscale 7",
        ),
        ((NoOperation(), NoOperation(), SelectiveAck(((1, 5), (7, 9)))), "nop,nop,sack 2 {1:5}{7:9}"),
        ((UserTimeout(5), UserTimeout(5, 1)), "uto 5 s,uto 5 min"),
        ((MD5Signature(bytes(16)), EndOfOptions()), f"md5 {'00' * 16},eol"),
        ((Authentication(1, 2, b"abcd"),), "tcp-ao keyid 1 rnextkeyid 2 mac 0x61626364"),
        ((FastOpen(b"1234"), FastOpen()), "tfo cookie 31323334,tfo cookiereq"),
        ((Experiment(254, 0xF989, b"ab"),), "exp-0xf989 0x6162"),
        ((MultipathTCP(1, 0, bytes(9)),), "mptcp join"),
        ((RawOption(77, b"ab"),), "unknown-77 0x6162"),
    ],
)
def test_tcp_options(options: Any, text: str) -> None:
    said = Packet.parse(bytes(tcp_with(*options))).summary()
    padding = ",eol" if sum(map(len, map(bytes, options))) % 4 and not text.endswith("eol") else ""
    head = "IP 10.0.0.1.1 > 10.0.0.2.80: Flags [.], seq 7, ack 9, win 65535"
    assert said == f"{head}, options [{text}{padding}], length 0"


CASES: list[tuple[Packet, str]] = [
    (
        FOUR / TCP(flags=0x28, urgent=4) / b"a",
        "IP 10.0.0.1.0 > 10.0.0.2.0: Flags [PU], seq 0:1, win 65535, urg 4, length 1",
    ),
    (FOUR / UDPLite(sport=1, dport=2) / b"abc", "IP 10.0.0.1.1 > 10.0.0.2.2: UDP-Lite, length 3"),
    (
        LINK / ProviderVLAN(vid=7) / VLAN(vid=5, pcp=3, dei=1) / IPv4(src="10.0.0.1", dst="10.0.0.2") / PLAIN / b"",
        "vlan 7, p 0, vlan 5, p 3, DEI, IP 10.0.0.1.30000 > 10.0.0.2.30001: UDP, length 0",
    ),
    (
        LINK / VLAN(vid=5, ethertype=0x88B5) / b"ab",
        "vlan 5, p 0, 02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype 0x88b5, length 2",
    ),
    # IP
    (FOUR / IPv6(src="fd00::1", dst="fd00::2") / PLAIN, f"{OVER4}IP6 fd00::1.30000 > fd00::2.30001: UDP, length 0"),
    (FOUR.replace(IPv4, protocol=132) / bytes(20), f"{OVER4}SCTP, length 20"),
    (FOUR.replace(IPv4, protocol=200) / b"", f"{OVER4}ip-proto-200, length 0"),
    (
        FOUR.replace(IPv4, flags=1, id=7) / UDP(sport=30000, dport=30001, length=900) / bytes(8),
        "IP 10.0.0.1.30000 > 10.0.0.2.30001: frag (0x0007:0|16+) UDP, length 8",
    ),
    (FOUR.replace(IPv4, fragment_offset=185, protocol=17) / bytes(9), f"{OVER4}frag (0x0000:1480|9) UDP, length 9"),
    (SIX, f"{OVER6}no next header, length 0"),
    (SIX.replace(IPv6, next_header=89) / b"abc", f"{OVER6}OSPF, length 3"),
    # extension headers
    (SIX / HopByHop(options=[IPv6RouterAlert()]) / PLAIN, f"{OVER6}HBH 30000 > 30001: UDP, length 0"),
    (SIX / DestinationOptions() / PLAIN, f"{OVER6}DSTOPT 30000 > 30001: UDP, length 0"),
    (
        SIX / SourceRoute(segments_left=1, addresses=bytes(16)) / PLAIN,
        f"{OVER6}RT6 (len=2, type=0, segleft=1, [0]::) 30000 > 30001: UDP, length 0",
    ),
    (
        SIX / SegmentRouting(last_entry=1, segments=bytes(32)) / PLAIN,
        f"{OVER6}RT6 (len=4, type=4, segleft=0, [0]::, [1]::) 30000 > 30001: UDP, length 0",
    ),
    (
        SIX / UnknownRouting(routing_type=9) / PLAIN,
        f"{OVER6}RT6 (len=0, type=9, segleft=0) 30000 > 30001: UDP, length 0",
    ),
    (SIX / Fragment(id=5, more=1) / UDP(length=99), f"{OVER6}frag (0x00000005:0|8+) 0 > 0: UDP, length 0"),
    (SIX / Fragment(id=5, fragment_offset=1, next_header=6) / b"abc", f"{OVER6}frag (0x00000005:8|3) TCP, length 3"),
    (
        SIX / AH(spi=1, seq=2, icv=b"abcd") / PLAIN,
        f"{OVER6}AH(spi=0x00000001,seq=0x2,icv=0x61626364): 30000 > 30001: UDP, length 0",
    ),
    (SIX / ESP(spi=1, seq=2) / bytes(20), f"{OVER6}ESP(spi=0x00000001,seq=0x2), length 28"),
    # ICMP
    (
        FOUR / ICMPRedirect(code=1, gateway="10.0.0.3") / QUOTED,
        f"{OVER4}ICMP redirect 10.0.0.9 to host 10.0.0.3, length 56",
    ),
    (
        FOUR / ICMPRedirect(code=2, gateway="10.0.0.3") / QUOTED,
        f"{OVER4}ICMP redirect-tos 10.0.0.9 to net 10.0.0.3, length 56",
    ),
    (FOUR / ICMPError(type=11) / QUOTED, f"{OVER4}ICMP time exceeded in-transit, length 56"),
    (FOUR / ICMPError(type=11, code=1) / QUOTED, f"{OVER4}ICMP ip reassembly time exceeded, length 56"),
    (FOUR / ICMPError(type=12, pointer=20) / QUOTED, f"{OVER4}ICMP parameter problem - octet 20, length 56"),
    (FOUR / ICMPError(type=12, code=1) / QUOTED, f"{OVER4}ICMP parameter problem - code 1, length 56"),
    (FOUR / ICMPError(type=4) / QUOTED, f"{OVER4}ICMP source quench, length 56"),
    (FOUR / ICMPTimestamp(id=3, seq=4), f"{OVER4}ICMP timestamp request, id 3, seq 4, length 20"),
    (
        FOUR / ICMPTimestamp(type=14, originate=1, receive=2, transmit=3),
        f"{OVER4}ICMP timestamp reply, id 0, seq 0: org 1, recv 2, xmit 3 ms, length 20",
    ),
    (FOUR / ICMPAddressMask(type=18, mask="255.0.0.0"), f"{OVER4}ICMP address mask is 255.0.0.0, length 12"),
    (FOUR / ICMPInformation(id=3, seq=4), f"{OVER4}ICMP information request, id 3, seq 4, length 8"),
    (FOUR / ICMPExtendedEcho(id=3, seq=4), f"{OVER4}ICMP extended echo request, id 3, seq 4, length 8"),
    (
        FOUR / ICMPRouterAdvertisement(routers=b"\x0a\0\0\1\0\0\0\5"),
        f"{OVER4}ICMP router advertisement lifetime 1800 s 1: {{10.0.0.1 5}}, length 16",
    ),
    (FOUR / ICMP(type=77, code=3) / b"abcd", f"{OVER4}ICMP type-#77, code 3, length 8"),
    # ICMPv6
    (SIX / PacketTooBig(mtu=1280) / QUOTED6, f"{OVER6}ICMP6, packet too big, mtu 1280, length 76"),
    (SIX / ICMPv6Error(type=3) / QUOTED6, f"{OVER6}ICMP6, time exceeded in-transit for fd00::9, length 76"),
    (
        SIX / ParameterProblem(code=1, pointer=40) / QUOTED6,
        f"{OVER6}ICMP6, parameter problem, next header - octet 40, length 76",
    ),
    (SIX / RouterAdvertisement(), f"{OVER6}ICMP6, router advertisement, length 16"),
    (SIX / NeighborRedirect(target="fd00::9", dst="fd00::8"), f"{OVER6}ICMP6, redirect, fd00::8 to fd00::9, length 40"),
    (SIX / ICMPv6(type=200) / b"ab", f"{OVER6}ICMP6, type-#200, length 6"),
    # multicast
    (
        SIX / MLDMessage(group="ff02::1"),
        f"{OVER6}ICMP6, multicast listener report, max resp delay: 0 addr: ff02::1, length 24",
    ),
    (
        SIX / MLDQuery(sources=bytes(16)),
        f"{OVER6}ICMP6, multicast listener query v2 [gaddr ::, 1 source(s)], length 44",
    ),
    (
        SIX / MLDReport(records=[GroupRecord(4, "ff02::1")]),
        f"{OVER6}ICMP6, multicast listener report v2, 1 group record(s), length 28",
    ),
    (FOUR / IGMPGroup(type=0x11, max_response=100), f"{OVER4}igmp query v2"),
    (FOUR / IGMPGroup(type=0x11), f"{OVER4}igmp query v1"),
    (
        FOUR / IGMPGroup(type=0x11, group="224.0.0.9", max_response=10),
        f"{OVER4}igmp query v2 [max resp time 10] [gaddr 224.0.0.9]",
    ),
    (FOUR / IGMPGroup(type=0x12, group="224.0.0.9"), f"{OVER4}igmp v1 report 224.0.0.9"),
    (FOUR / IGMPGroup(group="224.0.0.9"), f"{OVER4}igmp v2 report 224.0.0.9"),
    (FOUR / IGMPGroup(type=0x17, group="224.0.0.9"), f"{OVER4}igmp leave 224.0.0.9"),
    (FOUR / IGMPQuery(), f"{OVER4}igmp query v3"),
    (FOUR / IGMPQuery(group="224.0.0.9", sources=bytes(4)), f"{OVER4}igmp query v3 [gaddr 224.0.0.9, 1 source(s)]"),
    (FOUR / IGMPReport(records=[GroupRecord(4, "224.0.0.1")]), f"{OVER4}igmp v3 report, 1 group record(s)"),
    (FOUR / IGMP(type=0x33), f"{OVER4}igmp type 0x33"),
    # links
    (LINK / ARP(target_ip="10.0.0.2", sender_ip="10.0.0.1"), "ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28"),
    (LINK / RARP(target_mac=MACS["dst"]), "RARP, Request who-is 02:00:00:00:00:02 tell 00:00:00:00:00:00, length 28"),
    (LINK / RARP(operation=4, target_ip="10.0.0.9"), "RARP, Reply 00:00:00:00:00:00 at 10.0.0.9, length 28"),
    (LINK / ARP(operation=77), "ARP, operation 77, length 28"),
    (LINK / AnyARP(hardware_size=8) / bytes(24), "ARP, Request, addresses of 8 and 4 bytes, length 32"),
    (
        LINK / LLC(dsap=0x42, ssap=0x43) / bytes(9),
        "LLC, dsap spanning tree (0x42), ssap 0x43, ctrl 0x03, length 12",
    ),
    (LINK / LLC() / SNAP(oui=5, ethertype=7) / b"abc", "SNAP, oui 0x000005, ethertype 0x0007, length 8"),
    (
        LINK / LLC() / SNAP() / IPv4(src="10.0.0.1", dst="10.0.0.2") / PLAIN,
        "IP 10.0.0.1.30000 > 10.0.0.2.30001: UDP, length 0",
    ),
    (LinuxCooked() / IPv4(src="10.0.0.1", dst="10.0.0.2") / PLAIN, "IP 10.0.0.1.30000 > 10.0.0.2.30001: UDP, length 0"),
    (
        LINK / MPLS(label=16) / MPLS(label=17) / SIX.layers[1] / PLAIN,
        "MPLS (label 16, tc 0, ttl 64) MPLS (label 17, tc 0, [S], ttl 64) "
        "IP6 fd00::1.30000 > fd00::2.30001: UDP, length 0",
    ),
    (
        LINK / PPPoE(session_id=1) / PPP() / SIX.layers[1] / PLAIN,
        "PPPoE [ses 0x1] IP6 fd00::1.30000 > fd00::2.30001: UDP, length 0",
    ),
    (
        FOUR / GRE() / SIX.layers[1] / PLAIN,
        f"{OVER4}GREv0, length 52: IP6 fd00::1.30000 > fd00::2.30001: UDP, length 0",
    ),
]


@pytest.mark.parametrize(("packet", "line"), CASES, ids=[line for _, line in CASES])
def test_lines(packet: Packet, line: str) -> None:
    assert Packet.parse(bytes(packet), packet.linktype).summary() == line


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "net 10.0.0.9 unreachable"),
        (1, "host 10.0.0.9 unreachable"),
        (2, "10.0.0.9 protocol 17 unreachable"),
        (3, "10.0.0.9 udp port 53 unreachable"),
        (4, "10.0.0.9 unreachable - need to frag (mtu 1400)"),
        (5, "10.0.0.9 unreachable - source route failed"),
        (10, "host 10.0.0.9 unreachable - admin prohibited"),
        (13, "host 10.0.0.9 unreachable - admin prohibited filter"),
        (99, "10.0.0.9 unreachable - code 99"),
    ],
)
def test_what_is_unreachable(code: int, text: str) -> None:
    packet = FOUR / ICMPError(code=code, mtu=1400) / QUOTED
    assert packet.summary() == f"{OVER4}ICMP {text}, length 56"


def test_a_quote_of_eight_bytes_of_tcp_tells_the_port() -> None:
    quoted = bytes(IPv4(src="10.0.0.2", dst="10.0.0.9") / TCP(dport=80))
    assert (
        FOUR / ICMPError(code=3) / quoted[:28]
    ).summary() == f"{OVER4}ICMP 10.0.0.9 tcp port 80 unreachable, length 36"
    assert (FOUR / ICMPError(code=3) / quoted[:20]).summary() == f"{OVER4}ICMP 10.0.0.9 port unreachable, length 28"
    assert (FOUR / ICMPError(code=3) / quoted[:9]).summary() == f"{OVER4}ICMP destination port unreachable, length 17"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "unreachable route fd00::9"),
        (1, "unreachable prohibited fd00::9"),
        (2, "beyond scope fd00::9, source address fd00::2"),
        (3, "unreachable address fd00::9"),
        (4, "unreachable port, fd00::9 udp port 53"),
        (6, "reject route"),
        (99, "code 99"),
    ],
)
def test_what_is_unreachable_in_ipv6(code: int, text: str) -> None:
    packet = SIX / ICMPv6Error(code=code) / QUOTED6
    assert packet.summary() == f"{OVER6}ICMP6, destination unreachable, {text}, length 76"
