"""Good packets of every kind that the tools speak, for hypothesis: layers that belong together, values at will."""

from __future__ import annotations

from operator import truediv
from typing import Any

from hypothesis import strategies as st

from rawproto.wire import ipv4_options as ip4
from rawproto.wire import ipv6_options as ip6
from rawproto.wire import neighbor_options as nd
from rawproto.wire import tcp_options as tcp
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
from rawproto.wire.multicast import GroupRecord, IGMPGroup, IGMPQuery, IGMPReport, MLDMessage, MLDQuery, MLDReport
from rawproto.wire.neighbor import (
    NeighborAdvertisement,
    NeighborRedirect,
    NeighborSolicitation,
    RouterAdvertisement,
    RouterSolicitation,
)
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, RDT_UDP_PORT, Cookie, Mss, Sack, Seen
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP
from rawproto.wire.udplite import UDPLite

__all__ = ["CONTENTS", "IP4", "IP6", "MAC", "PORT", "U8", "U16", "U32", "bits", "filled", "good_packets"]


def bits(width: int) -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from((0, 1, (1 << width) - 1)), st.integers(0, (1 << width) - 1))


U8, U16, U32 = bits(8), bits(16), bits(32)
PORT = st.integers(20_000, 25_000)
"""Ports that no tool takes for something that it knows."""
MAC = st.builds(lambda tail: b"\2\0" + tail, st.binary(min_size=4, max_size=4))
IP4 = st.builds(lambda head, tail: bytes((head,)) + tail, st.integers(1, 223), st.binary(min_size=3, max_size=3))
IP6 = st.builds(lambda tail: b"\x20\x01\x0d\xb8" + tail, st.binary(min_size=12, max_size=12))
PAYLOAD = st.binary(max_size=24)


def filled(kind: type[Header], **given: Any) -> st.SearchStrategy[Header]:
    """`kind` with a value in each field that is not computed, as given or at will; a tail is empty unless given."""
    fields: dict[str, Any] = {}
    for row in kind.fields:
        if row.name in given:
            value = given[row.name]
            fields[row.name] = value if isinstance(value, st.SearchStrategy) else st.just(value)
        elif row.pack is not None and not row.is_tail:
            size = row.bits // 8
            fields[row.name] = {4: IP4, 6: MAC, 16: IP6}.get(size, st.binary(min_size=size, max_size=size))
        elif row.default is not None and not row.is_tail:
            fields[row.name] = bits(row.bits)
    return st.builds(kind, **fields)


def whole_units(options: list[ip6.IPv6Option]) -> bytes:
    """Options of an extension header, padded with PadN to what its length can count."""
    data = b"".join(map(bytes, options))
    missing = -(len(data) + 2) % 8
    return data + (bytes((1, missing - 2)) + bytes(missing - 2) if missing > 1 else bytes(missing))


def within(options: st.SearchStrategy[Any], room: int, most: int = 4) -> st.SearchStrategy[bytes]:
    """Options that fit, in whole words."""

    def cut(found: list[Any]) -> bytes:
        data = b""
        for option in found:
            more = bytes(option)
            data += more if len(data) + len(more) <= room else b""
        return data + bytes(-len(data) & 3)

    return st.lists(options, max_size=most).map(cut)


BLOCKS = st.lists(st.tuples(U32, U32), min_size=1, max_size=4).map(tuple)
TCP_OPTIONS = within(
    st.one_of(
        st.builds(tcp.MaximumSegmentSize, U16),
        st.builds(tcp.WindowScale, st.integers(0, 14)),
        st.just(tcp.NoOperation()),
        st.just(tcp.SackPermitted()),
        st.builds(tcp.SelectiveAck, BLOCKS),
        st.builds(tcp.Timestamps, U32, U32),
        st.builds(tcp.MD5Signature, st.binary(min_size=16, max_size=16)),
        st.builds(tcp.UserTimeout, bits(15), bits(1)),
        st.builds(tcp.Authentication, U8, U8, st.binary(min_size=12, max_size=12)),
        st.builds(tcp.FastOpen, st.binary(min_size=4, max_size=8)),
        st.builds(tcp.RawOption, st.integers(70, 200), st.binary(max_size=6)),
    ),
    40,
)
ROUTE = st.lists(IP4, max_size=3).map(tuple)
IPV4_OPTIONS = within(
    st.one_of(
        st.just(ip4.IPNoOperation()),
        st.builds(ip4.RecordRoute, ROUTE, st.just(4)),
        st.builds(ip4.IPRouterAlert, U16),
        st.builds(ip4.StreamIdentifier, U16),
        st.builds(ip4.Traceroute, U16, U16, U16, IP4),
        st.builds(ip4.IPRawOption, st.sampled_from((0x5E, 0x9E, 0xDE)), st.binary(max_size=6)),
    ),
    40,
    3,
)
ANY_IPV6_OPTION = st.one_of(
    st.builds(ip6.PadN, st.integers(0, 6).map(bytes)),
    st.builds(ip6.TunnelEncapsulationLimit, U8),
    st.builds(ip6.IPv6RouterAlert, U16),
    st.builds(ip6.IPv6RawOption, st.sampled_from((0x1E, 0x3E, 0x7E, 0xDE)), st.binary(max_size=8)),
)
IPV6_OPTIONS = st.lists(ANY_IPV6_OPTION, max_size=3).map(whole_units)
DESTINATION_OPTIONS = st.tuples(  # at most one home address (RFC 6275 §6.3)
    st.lists(ANY_IPV6_OPTION, max_size=2), st.lists(st.builds(ip6.HomeAddress, IP6), max_size=1)
).map(lambda found: whole_units([*found[0], *found[1]]))
ND_OPTIONS = st.lists(
    st.one_of(
        st.builds(nd.source_link_address, MAC),
        st.builds(nd.target_link_address, MAC),
        st.builds(nd.LinkMTU, U32),
        st.builds(nd.PrefixInformation, IP6, st.integers(0, 128), U8, U32, U32),
        st.builds(nd.AdvertisementInterval, U32),
        st.builds(nd.DNSServers, st.lists(IP6, min_size=1, max_size=2).map(tuple), U32),
        st.builds(nd.NeighborOption, st.sampled_from((200, 252)), st.binary(min_size=6, max_size=6)),
    ),
    max_size=3,
)
RDT_OPTIONS = st.lists(
    st.one_of(
        st.builds(Mss, U16),
        st.builds(Seen, bits(48), U32),
        st.builds(Cookie, st.binary(min_size=1, max_size=20)),
        st.just(Sack(((1, 5), (9, 12)))),
    ),
    max_size=3,
    unique_by=type,
)


def records(address: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[GroupRecord]]:
    sources = st.lists(address, max_size=2).map(tuple)
    return st.lists(st.builds(GroupRecord, st.integers(1, 6), address, sources), max_size=3)


def joined(address: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(address, max_size=3).map(b"".join)


TRANSPORT: list[st.SearchStrategy[Header]] = [
    filled(TCP, sport=PORT, dport=PORT, options=TCP_OPTIONS),
    filled(UDP, sport=PORT, dport=PORT),
]
UDP_LITE = filled(UDPLite, sport=PORT, dport=PORT, coverage=st.sampled_from((0, 8)))
RDT_HEADER = filled(RDT, version=1, options=RDT_OPTIONS)
AUTH = filled(AH, icv=st.sampled_from((bytes(12), bytes(range(16)))))
SECURE = filled(ESP, spi=st.integers(256, 1 << 32 - 1))
ICMP_QUERIES = [
    filled(ICMPEcho, type=st.sampled_from((0, 8))),
    filled(ICMPInformation, type=st.sampled_from((15, 16))),
    filled(ICMPTimestamp, type=st.sampled_from((13, 14))),
    filled(ICMPAddressMask, type=st.sampled_from((17, 18))),
]
ICMP_ERRORS = [
    filled(ICMPError, type=3, code=st.integers(0, 15), pointer=0, length=0),
    filled(ICMPError, type=11, code=bits(1), pointer=0, length=0, mtu=0),
    filled(ICMPError, type=12, code=0, length=0, mtu=0),
    filled(ICMPError, type=4, code=0, pointer=0, length=0, mtu=0),
    filled(ICMPRedirect, type=5, code=bits(2)),
]
ICMPV6_MESSAGES = [
    filled(ICMPv6Echo, type=st.sampled_from((128, 129))),
    filled(RouterSolicitation, type=133, code=0, options=ND_OPTIONS),
    filled(RouterAdvertisement, type=134, code=0, options=ND_OPTIONS),
    filled(NeighborSolicitation, type=135, code=0, options=ND_OPTIONS),
    filled(NeighborAdvertisement, type=136, code=0, options=ND_OPTIONS),
    filled(NeighborRedirect, type=137, code=0, options=ND_OPTIONS),
    filled(MLDMessage, type=st.sampled_from((130, 131, 132)), code=0),
    filled(MLDQuery, type=130, code=0, sources=joined(IP6)),
    filled(MLDReport, type=143, code=0, records=records(IP6)),
]
ICMPV6_ERRORS = [
    filled(ICMPv6Error, type=st.sampled_from((1, 3)), code=st.integers(0, 1), length=0, unused=0),
    filled(PacketTooBig, type=2, code=0),
    filled(ParameterProblem, type=4, code=st.integers(0, 2)),
]
IGMP_MESSAGES = [
    filled(IGMPGroup, type=st.sampled_from((0x12, 0x16, 0x17))),
    filled(IGMPQuery, type=0x11, sources=joined(IP4)),
    filled(IGMPReport, type=0x22, max_response=0, records=records(IP4)),
]


def bodies(header: st.SearchStrategy[Header]) -> st.SearchStrategy[Packet]:
    """The header with a payload, if it takes one."""
    return st.builds(with_payload, header, PAYLOAD)


def with_payload(header: Header, payload: bytes) -> Packet:
    is_whole = isinstance(header, WITHOUT_PAYLOAD) or (header.has_tail and header.family == "ICMPv6")
    return header / (b"" if is_whole else payload)


PLAIN: dict[str, Any] = {"hardware_type": 1, "protocol_type": 0x0800, "hardware_size": 6, "protocol_size": 4}
ARPS = [filled(ARP, **PLAIN, operation=st.sampled_from((1, 2, 8, 9))), filled(RARP, **PLAIN, operation=3)]
WITHOUT_PAYLOAD: tuple[type[Header], ...] = (
    *(ICMPTimestamp, ICMPAddressMask, ICMPInformation, IGMPGroup, IGMPQuery, IGMPReport, MLDMessage),
    *(ARP, RARP),
)
"""Messages that end with their last field: what follows would be padding to one tool and data to the other."""


INNER = [
    st.builds(truediv, filled(IPv4, version=4, flags=0, fragment_offset=0, options=IPV4_OPTIONS), bodies(each))
    for each in TRANSPORT
] + [st.builds(truediv, filled(IPv6, version=6), bodies(each)) for each in TRANSPORT]
"""What tunnels carry and errors quote: the first two in IPv4, the others in IPv6."""
RDT_IN_UDP = st.builds(truediv, filled(UDP, sport=RDT_UDP_PORT, dport=RDT_UDP_PORT), bodies(RDT_HEADER))

ABOVE_IPV4 = [
    *map(bodies, [*TRANSPORT, *ICMP_QUERIES, *IGMP_MESSAGES, RDT_HEADER, UDP_LITE, SECURE]),
    *(st.builds(truediv, error, st.one_of(INNER[:2]).map(bytes)) for error in ICMP_ERRORS),
    *(RDT_IN_UDP, *INNER),
]
ABOVE_IPV6 = [
    *map(bodies, [*TRANSPORT, *ICMPV6_MESSAGES, RDT_HEADER, UDP_LITE, SECURE]),
    *(st.builds(truediv, error, st.one_of(INNER[2:]).map(bytes)) for error in ICMPV6_ERRORS),
    *(RDT_IN_UDP, *INNER),
]
CONTENTS = [*((4, above) for above in ABOVE_IPV4), *((6, above) for above in ABOVE_IPV6), *((0, arp) for arp in ARPS)]


@st.composite
def ipv4_packets(draw: st.DrawFn, above: st.SearchStrategy[Packet]) -> Packet:
    """An IPv4 packet, whole or a fragment."""
    kind = draw(st.sampled_from(("whole",) * 6 + ("first", "later")))
    flags = draw(st.sampled_from((0, 2, 4, 6))) | (kind == "first")
    offset = draw(st.integers(1, 8000)) if kind == "later" else 0
    network = draw(filled(IPv4, version=4, flags=flags, fragment_offset=offset, options=IPV4_OPTIONS))
    if kind == "later":
        return network.replace(protocol=draw(st.sampled_from((6, 17)))) / draw(PAYLOAD)
    return network / draw(above)


@st.composite
def ipv6_packets(draw: st.DrawFn, above: st.SearchStrategy[Packet]) -> Packet:
    """An IPv6 packet with extension headers."""
    packet: Packet = Packet((draw(filled(IPv6, version=6)),))
    if draw(st.booleans()):
        packet = packet / draw(filled(HopByHop, options=IPV6_OPTIONS))
    chain: list[st.SearchStrategy[Header]] = [
        filled(DestinationOptions, options=DESTINATION_OPTIONS),
        filled(SourceRoute, routing_type=0, segments_left=0, addresses=joined(IP6)),
        segment_routing(),
        filled(Fragment, fragment_offset=0, more=0),
        AUTH,
    ]
    for header in draw(st.lists(st.sampled_from(range(len(chain))), max_size=2, unique=True)):
        packet = packet / draw(chain[header])
    return packet / draw(above)


@st.composite
def segment_routing(draw: st.DrawFn) -> Header:
    segments = draw(st.lists(IP6, min_size=1, max_size=3))
    return draw(
        filled(
            SegmentRouting,
            routing_type=4,
            segments_left=st.integers(0, len(segments) - 1),
            last_entry=len(segments) - 1,
            segments=b"".join(segments),
        )
    )


TAGS = ([], [VLAN], [VLAN, VLAN], [ProviderVLAN, VLAN], [OldProviderVLAN, VLAN])


@st.composite
def good_packets(draw: st.DrawFn, content: int | None = None) -> Packet:
    """A frame of some kind of link, with one of `CONTENTS` in it."""
    version, above = CONTENTS[draw(st.integers(0, len(CONTENTS) - 1)) if content is None else content]
    link = draw(st.integers(0, 6)) if version else 6
    network = {4: ipv4_packets, 6: ipv6_packets}[version](above) if version else above
    if link < 2:
        kind = (LinuxCooked, LinuxCooked2)[link]
        cooked = filled(kind, hardware_type=1, address_length=6, packet_type=st.integers(0, 4), reserved=0)
        return draw(cooked) / draw(network)
    if link == 2:
        return draw(network)
    packet = Packet((draw(filled(Ethernet)),))
    for tag in draw(st.sampled_from(TAGS)):
        packet = packet / draw(filled(tag))
    return (packet / LLC() / SNAP() if link == 3 else packet) / draw(network)
