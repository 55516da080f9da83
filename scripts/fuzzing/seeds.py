"""Where fuzzing starts: a packet of each kind, captures in each format, fragments, and packets written out."""

from __future__ import annotations

import gzip
from io import BytesIO
from typing import Any

from targets import LINKS, names

from rawproto.capture import PcapngWriter, PcapWriter
from rawproto.wire import ipv4_options, ipv6_options, neighbor_options, tcp_options
from rawproto.wire.arp import ARP, RARP, AnyARP
from rawproto.wire.cooked import LinuxCooked, LinuxCooked2
from rawproto.wire.ethernet import VLAN, Ethernet, OldProviderVLAN, ProviderVLAN
from rawproto.wire.fragment import fragment
from rawproto.wire.frame import ChecksumStatus, Direction, Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMPEcho, ICMPError, ICMPRedirect, ICMPv6Echo, ICMPv6Error, PacketTooBig
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_extension import AH, ESP, DestinationOptions, Fragment, HopByHop
from rawproto.wire.ipv6_routing import RPLSourceRoute, SegmentRouting, SourceRoute
from rawproto.wire.llc import LLC, SNAP, LLCNumbered
from rawproto.wire.loopback import Loop, Null
from rawproto.wire.multicast import GroupRecord, IGMPQuery, IGMPReport, MLDQuery, MLDReport
from rawproto.wire.neighbor import NeighborAdvertisement, NeighborSolicitation, RouterAdvertisement
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, RDT_UDP_PORT, Cookie, Mss, Sack, Seen
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP
from rawproto.wire.udplite import UDPLite

__all__ = ["DICTIONARY", "seeds_of"]

IP: dict[str, Any] = {"src": "192.0.2.1", "dst": "198.51.100.2"}
IP6: dict[str, Any] = {"src": "2001:db8::1", "dst": "2001:db8::2"}
ETHERNET, V4, V6 = Ethernet(), IPv4(**IP, id=7), IPv6(**IP6)


def packets() -> list[Packet]:
    tcp = [kind for kind in tcp_options.TCP_OPTIONS.kinds.values() if not kind.__dataclass_fields__]
    syn = [tcp_options.MaximumSegmentSize(1460), tcp_options.WindowScale(7), tcp_options.Timestamps(1, 2)]
    sack = [tcp_options.SelectiveAck(((1, 2), (3, 4))), tcp_options.FastOpen(b"cookie")]
    route = [ipv4_options.LooseSourceRoute(("192.0.2.9",)), ipv4_options.InternetTimestamp((1, 2))]
    alert = [ipv6_options.IPv6RouterAlert(), ipv6_options.JumboPayload(70_000)]
    home = [ipv6_options.HomeAddress("2001:db8::9")]
    discovery = [neighbor_options.LinkMTU(1500), neighbor_options.PrefixInformation("2001:db8::")]
    quoted = bytes(V4 / UDP() / b"quoted"), bytes(V6 / TCP() / b"quoted")
    above4: list[Packet | Header] = [
        *(TCP(options=syn) / b"hello", TCP(options=[kind() for kind in tcp]), TCP(options=sack), UDP(dport=53) / b"x"),
        *(ICMPEcho(id=1) / b"x", ICMPError(code=4, mtu=1280) / quoted[0], ICMPRedirect() / quoted[0], UDPLite() / b"x"),
        *(IGMPQuery(sources=bytes(8)), IGMPReport(records=[GroupRecord(4, "224.0.0.9", ("192.0.2.9",))])),
        *(RDT(options=[Mss(1400), Seen(1, 2), Sack(((1, 2),)), Cookie(b"c")]) / b"x", V6 / UDP(), V4 / TCP()),
        UDP(dport=RDT_UDP_PORT) / RDT() / b"x",
    ]
    above6: list[Packet | Header] = [
        *(TCP(options=syn) / b"hello", UDP() / b"x", ICMPv6Echo() / b"x", ICMPv6Error() / quoted[1]),
        *(PacketTooBig() / quoted[1], NeighborSolicitation(options=discovery), NeighborAdvertisement()),
        *(RouterAdvertisement(options=discovery), MLDQuery(sources=bytes(16)), ESP() / b"secret"),
        MLDReport(records=[GroupRecord(4, "ff02::1")]),
    ]
    chains: list[Header] = [
        *(HopByHop(options=alert), DestinationOptions(options=home), Fragment(id=5), AH(icv=bytes(12))),
        *(SourceRoute(segments_left=1, addresses=bytes(32)), SegmentRouting(segments_left=1, segments=bytes(32))),
        RPLSourceRoute(segments_left=1, addresses=bytes(32)),
    ]
    found = [ETHERNET / V4 / above for above in above4] + [ETHERNET / V6 / above for above in above6]
    found += [V6 / chain / UDP() / b"x" for chain in chains] + [ETHERNET / V6 / each / TCP() for each in chains]
    found += [V4.replace(options=route) / TCP() / b"x", V4.replace(flags=1) / UDP() / bytes(8)]
    tags = (VLAN(vid=5), ProviderVLAN() / VLAN(vid=5), OldProviderVLAN() / VLAN(vid=5), LLC() / SNAP())
    found += [ETHERNET / tag / V4 / UDP() for tag in tags]
    found += [ETHERNET / LLCNumbered() / b"x", ETHERNET / LLC(dsap=0x42, ssap=0x42) / b"x"]
    found += [ETHERNET / arp for arp in (ARP(), RARP(), AnyARP(hardware_size=8) / bytes(24))]
    links: list[Header] = [LinuxCooked(), LinuxCooked2(), Null(), Loop()]
    return found + [link / V4 / UDP() / b"x" for link in links]


def written() -> list[bytes]:
    """Captures in each format."""
    frames = [Frame(bytes(each), at, each.linktype) for at, each in enumerate(packets()[:4])]
    frames.append(Frame(b"cut", 9, LinkType.ETHERNET, "eth0", Direction.INBOUND, 100, 5, ChecksumStatus.OFFLOADED))
    found = []
    for writer in (PcapWriter, PcapngWriter):
        file = BytesIO()
        with writer(file) as out:
            for frame in frames:
                out.write(frame)
        found.append(file.getvalue())
    file = BytesIO()
    with PcapngWriter(file, comment="a comment", snaplen=60) as commented:
        commented.write(frames[0], ["one", "two"])
    return [*found, file.getvalue(), gzip.compress(found[0], mtime=0)]


def in_pieces() -> list[bytes]:
    """Fragments, each behind its length."""
    found = []
    for at, packet in enumerate((V4 / UDP() / bytes(range(150)), V6 / UDP() / bytes(range(150)))):
        for order in (1, -1):
            cut = fragment(bytes(packet), 100, LinkType.RAW, identification=9)[::order]
            head = bytes((LINKS.index(LinkType.RAW), 40 + at))
            found.append(head + b"".join(bytes((len(each),)) + each for each in cut))
    return found


EXPRESSIONS = (
    'Ethernet() / IPv4(dst="10.0.0.2") / TCP(dport=80, flags=SYN | ACK, options=[MaximumSegmentSize(1460)]) / b"x" * 9',
    'IPv6(dst="::1") / UDP(dport="domain") / bytes(4) / bytes.fromhex("00ff")',
    'Packet((Ethernet(), IPv4(), UDP(length=7)), b"x", trailer=b"pad")',
    "ICMPEcho(id=0x10, seq=-1 + 2)",
    'TCP(flags="SA", options=[Timestamps(1, 2), WindowScale(shift=3)])',
    'Packet((), b"x", trailer=b"pad")',
)
ROUTE_TO_NOWHERE = bytes.fromhex("4600002c000000004006000000000000000000008303000000000000000000000000000050000000")
"""A source route without an address, and without a hop that is left."""


def seeds_of(target: str) -> list[bytes]:
    """What to begin with."""
    if target == "packet":
        heads = [bytes((LINKS.index(each.linktype) if each.linktype in LINKS else 0, 0)) for each in packets()]
        found = [head + bytes(each) for head, each in zip(heads, packets(), strict=True)]
        return [*found, bytes((LINKS.index(LinkType.RAW), 0)) + ROUTE_TO_NOWHERE + bytes(4)]
    if target == "capture":
        return written()
    return in_pieces() if target == "reassembly" else [text.encode() for text in EXPRESSIONS]


DICTIONARY: dict[str, list[bytes]] = {
    "packet": [bytes((a, b)) for a, b in ((8, 0), (0x86, 0xDD), (0x81, 0), (8, 6), (0x88, 0xA8))],
    "capture": [b"\n\r\r\n", b"\x4d\x3c\x2b\x1a", b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1", b"\x1f\x8b\x08"],
    "reassembly": [b"\x20\x00", b"\x2c\x00"],
    "expression": [name.encode() for name in names()],
}
