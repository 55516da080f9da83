from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import WireError
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.fragment import Chain, extension_chain, fragment, ip_offset
from rawproto.wire.frame import LinkType
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMPEcho
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

RAW = LinkType.RAW
BODY = bytes(range(256)) * 4
RR = b"\x07\x07\x04\0\0\0\0"
"""Record route, not copied into later fragments."""
ROUTER_ALERT = b"\x94\x04\0\0"
"""Copied."""


def ipv4(body: bytes = BODY, **fields: Any) -> bytes:
    return bytes(IPv4(src="10.0.0.1", dst="10.0.0.2", **{"id": 7, "protocol": 200, **fields}) / body)


def ipv6(body: bytes = BODY, next_header: int = 200) -> bytes:
    return bytes(IPv6(src="fd00::1", dst="fd00::2", next_header=next_header) / body)


def extension(upper: int, filler: int = 0, units: int = 0) -> bytes:
    """An IPv6 extension header; the bytes after the first two are `filler`."""
    return bytes((upper, units)) + bytes((filler,)) * (6 + 8 * units)


def first(data: bytes) -> Any:
    return Packet.parse(data, RAW).layers[0]


# Where IP starts


@pytest.mark.parametrize(
    ("linktype", "link"),
    [
        (LinkType.ETHERNET, bytes(12) + b"\x08\x00"),
        (LinkType.ETHERNET, bytes(12) + b"\x81\x00\0\5\x08\x00"),
        (LinkType.ETHERNET, bytes(12) + b"\x88\xa8\0\5\x91\x00\0\x06\x81\x00\0\x07\x08\x00"),
        (LinkType.LINUX_SLL, bytes(14) + b"\x08\x00"),
        (LinkType.LINUX_SLL2, b"\x08\x00" + bytes(18)),
        (LinkType.NULL, b"\2\0\0\0"),
        (LinkType.LOOP, b"\0\0\0\2"),
        (LinkType.RAW_BSD, b""),
        (LinkType.RAW, b""),
        (LinkType.IPV4, b""),
    ],
)
def test_the_link_header_stands_before_each_fragment(linktype: LinkType, link: bytes) -> None:
    assert ip_offset(link + ipv4(), linktype) == (len(link), 4)
    pieces = fragment(link + ipv4(), 500, linktype)
    assert [piece[len(link) :] for piece in pieces] == fragment(ipv4(), 500, RAW)
    assert all(piece.startswith(link) for piece in pieces)


@pytest.mark.parametrize(
    ("data", "linktype"),
    [
        (b"", LinkType.ETHERNET),
        (b"", LinkType.RAW),
        (bytes(12) + b"\x08\x06" + bytes(28), LinkType.ETHERNET),
        (bytes(12) + b"\x81\x00", LinkType.ETHERNET),
        (bytes(12) + b"\x08\x00" + ipv4()[:19], LinkType.ETHERNET),
        (bytes(12) + b"\x86\xdd" + ipv4(), LinkType.ETHERNET),
        (ipv6()[:39], LinkType.RAW),
        (b"\x50" + bytes(60), LinkType.RAW),
        (ipv4(), LinkType.USER0),
        (ipv4(), LinkType(4711)),
    ],
)
def test_what_is_not_ip_is_refused(data: bytes, linktype: LinkType) -> None:
    assert ip_offset(data, linktype)[1] == 0
    with pytest.raises(WireError, match="no IP header"):
        fragment(data, 500, linktype)


@given(st.binary(max_size=80), st.sampled_from([*LinkType, LinkType(4711)]))
def test_looking_for_ip_never_raises(data: bytes, linktype: LinkType) -> None:
    at, version = ip_offset(data, linktype)
    assert version in (0, 4, 6)
    assert not version or len(data) - at >= 20


# IPv4


def test_fields_of_ipv4_fragments() -> None:
    pieces = fragment(ipv4(bytes(100)), 60, RAW)
    heads = [first(piece) for piece in pieces]
    assert [head.total_length for head in heads] == [60, 60, 40]
    assert [head.fragment_offset for head in heads] == [0, 5, 10]
    assert [head.flags for head in heads] == [IPv4Flags.MF, IPv4Flags.MF, 0]
    assert {(head.id, head.protocol, head.ttl, head.src) for head in heads} == {(7, 200, 64, "10.0.0.1")}
    assert all(Packet.parse(piece, RAW).checksums["IPv4"] == "ok" for piece in pieces)


def test_a_packet_that_fits_is_not_touched() -> None:
    frame = bytes(Ethernet() / IPv4(checksum=1) / UDP() / b"x") + bytes(17)
    assert fragment(frame, 29) == [frame]
    assert fragment(bytes(Ethernet())[:12] + b"\x86\xdd" + ipv6(b"x"), 41)[0].endswith(ipv6(b"x"))


def test_the_last_fragment_uses_the_whole_mtu() -> None:
    assert [len(piece) for piece in fragment(ipv4(bytes(40 + 47)), 67, RAW)] == [60, 67]
    assert [len(piece) for piece in fragment(ipv6(bytes(40 + 47)), 95, RAW, identification=1)] == [88, 95]


def test_padding_behind_the_packet_is_dropped() -> None:
    assert fragment(ipv4() + b"padding", 500, RAW) == fragment(ipv4(), 500, RAW)
    padded = fragment(ipv6() + b"padding", 500, RAW, identification=1)
    assert padded == fragment(ipv6(), 500, RAW, identification=1)


def test_df_is_obeyed_unless_forced() -> None:
    data = ipv4(flags=IPv4Flags.DF)
    assert fragment(data, 2000, RAW) == [data]
    with pytest.raises(WireError, match="1044 bytes are over the MTU of 500 and don't-fragment is set"):
        fragment(data, 500, RAW)
    flags = [first(piece).flags for piece in fragment(data, 500, RAW, force=True)]
    assert flags == [IPv4Flags.DF | IPv4Flags.MF] * 2 + [IPv4Flags.DF]


@pytest.mark.parametrize(
    ("options", "later"),
    [
        (ROUTER_ALERT, ROUTER_ALERT),
        (RR + b"\0", b""),
        (RR + ROUTER_ALERT + b"\0", ROUTER_ALERT),
        (b"\1\1" + b"\x82\x03\x07" + b"\1\1\1", b"\x82\x03\x07\0"),
        (b"\0\4\0\0" + ROUTER_ALERT, b""),  # nothing counts behind the end of the list
        (ROUTER_ALERT + b"\x83\1\0\0", ROUTER_ALERT),  # a length of 1 can't be
        (ROUTER_ALERT + b"\x83\x09\0\0", ROUTER_ALERT),
        (b"\1\1\1\x83", b""),
    ],
)
def test_only_options_with_the_copied_bit_go_into_later_fragments(options: bytes, later: bytes) -> None:
    heads = [first(piece) for piece in fragment(ipv4(options=options), 500, RAW)]
    assert heads[0].options == options
    assert {head.options for head in heads[1:]} == {later}
    assert {head.ihl for head in heads[1:]} == {5 + len(later) // 4}


def test_fragments_of_a_fragment_count_on() -> None:
    coarse = fragment(ipv4(), 500, RAW)
    fine = [piece for part in coarse for piece in fragment(part, 100, RAW)]
    heads = [first(piece) for piece in fine]
    ends = [head.fragment_offset * 8 + head.total_length - 20 for head in heads]
    assert [head.fragment_offset * 8 for head in heads] == [0, *ends[:-1]]
    assert [head.flags for head in heads] == [IPv4Flags.MF] * (len(heads) - 1) + [0]


def test_an_identification_may_be_given() -> None:
    assert {first(piece).id for piece in fragment(ipv4(), 500, RAW, identification=0x1234)} == {0x1234}
    with pytest.raises(WireError, match=r"65536 is not in 0..65535"):
        fragment(ipv4(), 500, RAW, identification=65536)


@pytest.mark.parametrize(
    ("data", "mtu", "message"),
    [
        (ipv4(), 27, "room for 7 bytes"),
        (ipv4(options=ROUTER_ALERT), 31, "room for 7 bytes"),
        (ipv4(), 0, "room for 0 bytes"),
        (ipv4(total_length=0), 500, "total length of 0"),
        (ipv4(total_length=2000), 500, "total length of 2000 in 1044"),
        (ipv4(ihl=4), 500, "header of 16"),
        (ipv4(fragment_offset=8191), 500, "offset 66488 is over 65528"),
    ],
)
def test_ipv4_that_can_not_be_cut_is_refused(data: bytes, mtu: int, message: str) -> None:
    with pytest.raises(WireError, match=message):
        fragment(data, mtu, RAW)


# IPv6


def test_fields_of_ipv6_fragments() -> None:
    pieces = fragment(ipv6(bytes(100)), 88, RAW, identification=0xABCD)
    assert [piece[:8].hex() for piece in pieces] == ["6000000000302c40"] * 2 + ["60000000001c2c40"]
    assert [piece[40:48].hex() for piece in pieces] == ["c80000010000abcd", "c80000290000abcd", "c80000500000abcd"]


def test_hop_by_hop_and_routing_stand_before_each_fragment() -> None:
    chain = extension(43, 1) + extension(60, 2, 1) + extension(17, 3)
    packet = ipv6(chain + bytes(UDP()) + BODY, next_header=0)
    assert extension_chain(packet) == Chain(64, 48, 0, 72, 17)
    pieces = fragment(packet, 200, RAW, identification=1)
    for piece in pieces:
        assert piece[6] == 0
        assert piece[40:64] == extension(43, 1) + b"\x2c" + extension(60, 2, 1)[1:]
        assert piece[64] == 60
    assert pieces[0][72:80] == extension(17, 3)


def test_hop_by_hop_alone_stands_before_each_fragment() -> None:
    for piece in fragment(ipv6(extension(200, 1) + BODY, next_header=0), 200, RAW, identification=1):
        assert (piece[6], piece[40:48], piece[48]) == (0, b"\x2c" + extension(0, 1)[1:], 200)


def test_destination_options_before_routing_stand_before_each_fragment() -> None:
    packet = ipv6(extension(43, 1) + extension(60, 2) + extension(17, 3) + bytes(UDP()) + BODY, next_header=60)
    for piece in fragment(packet, 200, RAW, identification=1):
        assert piece[40:57] == extension(43, 1) + b"\x2c" + extension(0, 2)[1:] + b"\x3c"
    packet = ipv6(extension(17, 3) + bytes(UDP()) + BODY, next_header=60)
    pieces = fragment(packet, 200, RAW, identification=1)
    assert {(piece[6], piece[40]) for piece in pieces} == {(44, 60)}


def test_a_first_fragment_holds_all_headers() -> None:
    packet = ipv6(extension(6) + bytes(TCP(options=bytes(20))) + BODY, next_header=60)
    assert fragment(packet, 48 + 8 + 40, RAW, identification=1)
    with pytest.raises(WireError, match="room for 40 bytes, but the headers up to the upper layer's take 48"):
        fragment(packet, 48 + 8 + 39, RAW, identification=1)
    assert fragment(packet, 56, RAW, identification=1, force=True)
    whole = fragment(packet, 500, RAW, identification=1)
    with pytest.raises(WireError, match="take 48"):
        fragment(whole[0], 48 + 8 + 39, RAW)
    tcp = fragment(ipv6(bytes(TCP()) + BODY, next_header=6), 500, RAW, identification=1)
    assert fragment(tcp[1], 56, RAW)


def test_an_ipv6_fragment_keeps_its_identification_and_counts_on() -> None:
    coarse = fragment(ipv6(), 500, RAW, identification=9)
    fine = [piece for part in coarse for piece in fragment(part, 100, RAW)]
    offsets = [int.from_bytes(piece[42:44]) for piece in fine]
    ends = [(bits & ~7) + len(piece) - 48 for bits, piece in zip(offsets, fine, strict=True)]
    assert [bits & ~7 for bits in offsets] == [0, *ends[:-1]]
    assert [bits & 1 for bits in offsets] == [1] * (len(fine) - 1) + [0]
    assert {piece[44:48] for piece in fine} == {b"\0\0\0\x09"}


@pytest.mark.parametrize(
    ("data", "mtu", "identification", "message"),
    [
        (ipv6(), 500, None, "say identification="),
        (ipv6(), 500, 1 << 32, r"is not in 0..4294967295"),
        (ipv6(), 55, 1, "room for 7 bytes"),
        (ipv6()[:-1], 500, 1, "payload length of 1024 in 1063"),
        (ipv6(b"\x06\xff" + bytes(100), next_header=0), 100, 1, "past the packet's end"),
        (ipv6(b"\x06", next_header=43), 40, 1, "past the packet's end"),
        (ipv6(b"\x06\0\xff\xf9\0\0\0\0" + bytes(100), next_header=44), 100, None, "is over 65528"),
    ],
)
def test_ipv6_that_can_not_be_cut_is_refused(data: bytes, mtu: int, identification: int | None, message: str) -> None:
    with pytest.raises(WireError, match=message):
        fragment(data, mtu, RAW, identification=identification)


# Whatever the size


@given(st.binary(min_size=1, max_size=300), st.integers(60, 200), st.sampled_from([b"", ROUTER_ALERT, RR + b"\0"]))
def test_ipv4_fragments_fit_and_add_up(body: bytes, mtu: int, options: bytes) -> None:
    pieces = [Packet.parse(piece, RAW) for piece in fragment(ipv4(body, options=options), mtu, RAW)]
    assert all(len(piece) <= mtu and not piece.problems for piece in pieces)
    assert all(set(piece.checksums.values()) <= {"ok", "unverifiable"} for piece in pieces)
    datas = [bytes(piece)[piece.layers[0].size :] for piece in pieces]
    assert all(data and len(data) % 8 == 0 for data in datas[:-1])
    assert b"".join(datas) == body


@given(st.binary(min_size=1, max_size=300), st.integers(56, 200))
def test_ipv6_fragments_fit_and_add_up(body: bytes, mtu: int) -> None:
    pieces = fragment(ipv6(body), mtu, RAW, identification=1)
    assert all(len(piece) <= mtu and len(piece) == 40 + int.from_bytes(piece[4:6]) for piece in pieces)
    assert not any(Packet.parse(piece, RAW).problems for piece in pieces)
    if len(pieces) > 1:
        assert all(len(piece) % 8 == 0 for piece in pieces[:-1])
        assert b"".join(piece[48:] for piece in pieces) == body


# The same as scapy's


@pytest.fixture(scope="module")
def scapy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("scapy.all")


SAMPLES: list[Header] = [UDP(sport=1, dport=2), TCP(sport=1, dport=2), ICMPEcho(id=3)]


@pytest.mark.parametrize("above", SAMPLES, ids=lambda header: header.family)
@pytest.mark.parametrize("mtu", [28, 29, 100, 576, 1043])
def test_ipv4_as_scapy_cuts_it(scapy: Any, above: Header, mtu: int) -> None:
    frame = bytes(Ethernet() / VLAN(vid=5) / IPv4(src="10.0.0.1", dst="10.0.0.2", id=7) / above / BODY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [scapy.raw(piece) for piece in scapy.fragment(scapy.Ether(frame), fragsize=mtu - 20)]
    assert fragment(frame, mtu) == theirs


@pytest.mark.parametrize("mtu", [100, 101, 576, 1280])
def test_ipv6_as_scapy_cuts_it(scapy: Any, mtu: int) -> None:
    packet = bytes(IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=2) / (BODY * 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = scapy.IPv6(packet[:40])
        whole = scapy.IPv6(src=base.src, dst=base.dst, hlim=64) / scapy.IPv6ExtHdrFragment(id=5, nh=17)
        pieces = scapy.fragment6(whole / scapy.Raw(packet[40:]), mtu)
        theirs = [scapy.raw(piece) for piece in pieces]
    assert fragment(packet, mtu, RAW, identification=5) == theirs
