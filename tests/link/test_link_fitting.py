"""FittingLink: what becomes of a frame over the MTU."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import ConfigError, LinkError
from rawproto.link.fitting import FittingLink, Oversize
from rawproto.link.memory import MemoryLink, Segment
from rawproto.wire.arp import ARP
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import LinkType
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

ETHERNET = Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
IP4 = IPv4(src="10.0.0.1", dst="10.0.0.2")
IP6 = IPv6(src="fd00::1", dst="fd00::2")
DATAGRAM = UDP(sport=1, dport=2)


def wire(
    oversize: Oversize = "error", *, linktype: LinkType = LinkType.ETHERNET, mtu: int = 1500, identification: int = 1
) -> tuple[FittingLink, MemoryLink]:
    segment = Segment(linktype, mtu)
    link = FittingLink(segment.attach("here"), oversize, identification=identification)
    return link, segment.attach("there")


def arrived(link: MemoryLink) -> list[bytes]:
    return [frame.data for frame in link.receive(0)]


def ident(frame: bytes, link_header: int = 14) -> int:
    return int.from_bytes(frame[link_header + 4 : link_header + 6])


FITTING = [bytes(ETHERNET / b"short"), bytes(ETHERNET / bytes(1500)), bytes(ETHERNET / VLAN(vid=5) / bytes(1500))]
LARGE4 = bytes(ETHERNET / IP4 / DATAGRAM / bytes(4000))
LARGE6 = bytes(ETHERNET / IP6 / DATAGRAM / bytes(4000))


@pytest.mark.parametrize("oversize", ["error", "skip", "fragment"])
def test_frames_that_fit_pass_unchanged(oversize: Oversize) -> None:
    link, there = wire(oversize)
    link.send(FITTING, 0)
    assert arrived(there) == FITTING
    assert (link.skipped, link.fragmented) == (0, 0)


def test_the_first_one_that_does_not_fit_is_an_error_and_those_before_it_are_sent() -> None:
    link, there = wire("error")
    with pytest.raises(LinkError, match=r"4042 bytes is over the MTU of here, 1500 bytes: skip it or") as caught:
        link.send([*FITTING, LARGE4, b"never sent"], 0)
    assert caught.value.errno == errno.EMSGSIZE
    assert arrived(there) == FITTING


@pytest.mark.parametrize("over", [bytes(ETHERNET / bytes(1501)), bytes(ETHERNET / VLAN(vid=5) / bytes(1501))])
def test_one_byte_over_is_over(over: bytes) -> None:
    link, there = wire("skip")
    link.send([over], 0)
    assert (link.skipped, arrived(there)) == (1, [])


def test_skipping_leaves_out_and_counts() -> None:
    link, there = wire("skip")
    link.send([LARGE4, *FITTING, LARGE6], 0)
    assert arrived(there) == FITTING
    assert (link.skipped, link.fragmented) == (2, 0)


def test_fragments_go_out_in_the_place_of_their_packet() -> None:
    link, there = wire("fragment")
    link.send([FITTING[0], LARGE4, FITTING[1]], 0)
    first, *fragments, last = arrived(there)
    assert (first, last) == (FITTING[0], FITTING[1])
    assert [len(piece) for piece in fragments] == [1514, 1514, 14 + 20 + 4008 - 2 * 1480]
    assert (link.skipped, link.fragmented) == (0, 1)


@given(size=st.integers(1, 9000), mtu=st.integers(68, 1500), tagged=st.booleans())
def test_ipv4_fragments_hold_the_packet_s_bytes_and_fit(size: int, mtu: int, tagged: bool) -> None:
    link, there = wire("fragment", mtu=mtu)
    packet = IP4 / DATAGRAM / bytes(number % 251 for number in range(size))
    frame = bytes(ETHERNET / VLAN(vid=5) / packet if tagged else ETHERNET / packet)
    start = 18 if tagged else 14
    link.send([frame], 0)
    pieces = arrived(there)
    assert all(len(piece) <= start + mtu and internet_checksum(piece[start : start + 20]) == 0 for piece in pieces)
    assert {piece[:start] for piece in pieces} == {frame[:start]}
    assert b"".join(piece[start + 20 :] for piece in pieces) == frame[start + 20 :]
    assert len({ident(piece, start) for piece in pieces}) == 1


def test_ipv6_fragments_hold_the_packet_s_bytes_and_share_an_identification() -> None:
    link, there = wire("fragment", identification=77)
    link.send([LARGE6], 0)
    pieces = arrived(there)
    assert b"".join(piece[14 + 48 :] for piece in pieces) == LARGE6[14 + 40 :]
    assert {int.from_bytes(piece[14 + 44 : 14 + 48]) for piece in pieces} == {77}
    assert all(len(piece) <= 1514 for piece in pieces)


@pytest.mark.parametrize(("linktype", "packet"), [(LinkType.RAW, IP4), (LinkType.IPV4, IP4), (LinkType.IPV6, IP6)])
def test_bare_ip_packets_are_fragmented_too(linktype: LinkType, packet: IPv4 | IPv6) -> None:
    link, there = wire("fragment", linktype=linktype)
    link.send([bytes(packet / DATAGRAM / bytes(4000))], 0)
    assert [len(piece) <= 1500 for piece in arrived(there)] == [True] * 3


def test_packets_without_an_identification_are_numbered_and_others_keep_theirs() -> None:
    link, there = wire("fragment", identification=65_535)
    named = bytes(ETHERNET / IPv4(src="10.0.0.1", dst="10.0.0.2", id=9) / DATAGRAM / bytes(2000))
    nameless = bytes(ETHERNET / IPv4(src="10.0.0.1", dst="10.0.0.2", id=0) / DATAGRAM / bytes(2000))
    link.send([nameless, named, nameless, nameless], 0)
    # 0 is never given: a raw socket would put another one in each of the fragments.
    assert [ident(piece) for piece in arrived(there)] == [65_535, 65_535, 9, 9, 1, 1, 2, 2]


def test_a_fragment_that_is_too_long_itself_is_cut_further_and_keeps_its_identification() -> None:
    wide, between = wire("fragment", mtu=1280, identification=77)
    wide.send([LARGE6], 0)
    narrow, there = wire("fragment", mtu=600, identification=5)
    narrow.send(arrived(between), 0)
    pieces = arrived(there)
    assert {int.from_bytes(piece[14 + 44 : 14 + 48]) for piece in pieces} == {77}
    assert b"".join(piece[14 + 48 :] for piece in pieces) == LARGE6[14 + 40 :]


def test_so_does_one_whose_identification_is_0() -> None:
    link, there = wire("fragment", identification=77)
    piece = IPv4(src="10.0.0.1", dst="10.0.0.2", id=0, flags=IPv4Flags.MF, fragment_offset=100)
    link.send([bytes(ETHERNET / piece / bytes(2000))], 0)
    assert [ident(frame) for frame in arrived(there)] == [0, 0]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (bytes(ETHERNET / IPv4(flags=IPv4Flags.DF) / DATAGRAM / bytes(4000)), "don't-fragment is set"),
        (bytes(ETHERNET / ARP() / bytes(4000)), "no IP header"),
        (bytes(ETHERNET / bytes(4000)), "no IP header"),
        (bytes(ETHERNET / IP4 / DATAGRAM / b"x") + bytes(4000), "lies behind its IP packet"),
    ],
)
def test_what_can_not_be_fragmented_is_an_error_with_the_reason(frame: bytes, reason: str) -> None:
    link, there = wire("fragment")
    with pytest.raises(LinkError, match=f"bytes is over the MTU of here, 1500 bytes: .*{reason}") as caught:
        link.send([FITTING[0], frame], 0)
    assert caught.value.errno == errno.EMSGSIZE
    assert arrived(there) == FITTING[:1]
    assert link.fragmented == 0


def test_bare_datagrams_can_not_be_fragmented() -> None:
    link, _ = wire("fragment", linktype=LinkType.USER0, mtu=100)
    with pytest.raises(LinkError, match=r"101 bytes is over the MTU of here, 100 bytes: .*no IP header"):
        link.send([bytes(101)], 0, peer="there")


def test_the_peer_is_passed_on() -> None:
    segment = Segment(LinkType.USER0, 100)
    link, there, other = FittingLink(segment.attach("here"), "skip"), segment.attach("there"), segment.attach("other")
    link.send([bytes(7), bytes(101)], 0, peer="there")
    assert (arrived(there), arrived(other)) == ([bytes(7)], [])


def test_another_way_is_refused() -> None:
    with pytest.raises(ConfigError, match="'cut': choose one of error, skip, fragment"):
        FittingLink(Segment().attach("here"), "cut")  # type: ignore[arg-type]


def test_a_fragment_reads_as_one() -> None:
    link, there = wire("fragment")
    link.send([LARGE4], 0)
    packets = [Packet.parse(piece) for piece in arrived(there)]
    assert [packet[IPv4].fragment_offset for packet in packets] == [0, 185, 370]
    assert [int(packet[IPv4].flags) for packet in packets] == [1, 1, 0]
