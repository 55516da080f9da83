"""IPv6 extension headers: how they follow each other, what they do to lengths and checksums, jumbograms."""

from __future__ import annotations

from typing import Any

import pytest

from rawproto.errors import WireError
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_extension import AH, ESP, HIP, DestinationOptions, Fragment, HopByHop, Mobility, Shim6
from rawproto.wire.ipv6_options import IPv6RouterAlert, JumboPayload, PadN
from rawproto.wire.ipv6_routing import (
    Routing,
    RPLSourceRoute,
    SegmentRouting,
    SourceRoute,
    SourceRouteToHome,
    UnknownRouting,
)
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

IPS: dict[str, Any] = {"src": "fd00::1", "dst": "fd00::2"}
VIA, END = bytes.fromhex("fd0000000000000000000000000000aa"), bytes.fromhex("fd0000000000000000000000000000bb")


def parse(packet: Packet | bytes) -> Packet:
    return Packet.parse(bytes(packet), LinkType.RAW)


def rules(packet: Packet) -> list[tuple[str, str, str, bool]]:
    return [(p.layer, p.field, p.rule, p.by_capture) for p in packet.problems]


CHAIN = [
    HopByHop(options=[IPv6RouterAlert()]),
    DestinationOptions(options=[PadN(bytes(10))]),
    SourceRoute(segments_left=1, addresses=VIA + END),
    Fragment(id=7),
    AH(spi=1, seq=2, icv=bytes(12)),
    DestinationOptions(),
]


def test_all_of_them_in_one_packet() -> None:
    packet = Packet((IPv6(**IPS), *CHAIN, TCP(dport=80)), b"abc")
    parsed = parse(packet)
    assert parsed == packet.computed()
    assert (parsed.problems, parsed.checksums) == ((), {"TCP": "ok"})
    numbers = [header.raw("next_header") for header in parsed.layers[:-1]]
    assert numbers == [0, 60, 43, 44, 51, 60, 6]
    assert bytes(parsed.recompute()) == bytes(packet)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (HopByHop(options=[IPv6RouterAlert()]), "3b00 05020000 0000"),
        (DestinationOptions(options=bytes(7)), "3b01 00000000000000 00000000000000"),
        (Fragment(id=7, fragment_offset=185, more=1), "3b00 05c9 00000007"),
        (AH(spi=1, seq=2, icv=b"abcd"), "3b02 0000 00000001 00000002 61626364"),
        (ESP(spi=1, seq=2), "00000001 00000002"),
        (SourceRoute(segments_left=1, addresses=bytes(16)), "3b02 0001 00000000" + "00" * 16),
        (SourceRouteToHome(addresses=bytes(16)), "3b02 0201 00000000" + "00" * 16),
        (
            RPLSourceRoute(segments_left=1, cmpr_i=9, cmpr_e=10, pad=2, addresses=bytes(8)),
            "3b01 0301 9a200000" + "00" * 8,
        ),
        (SegmentRouting(segments_left=1, tag=5, segments=bytes(16)), "3b02 0401 00 00 0005" + "00" * 16),
        (UnknownRouting(routing_type=9, data=b"abcd"), "3b00 0900 61626364"),
        (Mobility(data=bytes(6)), "3b00 000000000000"),
        (HIP(data=bytes(14)), "3b01" + "00" * 14),
        (Shim6(data=bytes(6)), "3b00" + "00" * 6),
    ],
)
def test_each_has_its_bytes(header: Header, data: str) -> None:
    assert bytes(header) == bytes.fromhex(data)
    number = type(header).ip_number
    assert number is not None
    parsed = parse(bytes(IPv6(**IPS, next_header=number) / bytes(header)))
    assert type(parsed.layers[1]) is type(header)
    assert bytes(parsed.layers[1]) == bytes(header)


def test_ipv4_may_carry_them_too() -> None:
    packet = IPv4(src="10.0.0.1", dst="10.0.0.2") / AH(icv=bytes(12)) / DestinationOptions() / UDP() / b"x"
    assert parse(packet) == packet.computed()
    assert parse(packet).checksums == {"IPv4": "ok", "UDP": "ok"}


def test_a_header_that_is_not_all_there_ends_the_chain() -> None:
    short = parse(bytes(IPv6(**IPS) / DestinationOptions(hdr_ext_len=5) / UDP()))
    assert [type(header) for header in short] == [IPv6, DestinationOptions]
    assert ("DestinationOptions", "hdr_ext_len", "exceeds", False) in rules(short)
    data = bytes(IPv6(**IPS) / DestinationOptions(options=bytes(20)) / UDP())
    cut = Packet.parse(Frame(data[:50], linktype=LinkType.RAW, original_length=len(data)))
    assert all(problem.by_capture for problem in cut.problems)


# Fragments


def test_only_the_first_fragment_is_looked_into() -> None:
    first = parse(IPv6(**IPS) / Fragment(more=1) / UDP(length=900) / bytes(8))
    assert UDP in first
    assert (first.problems, first.checksums) == ((), {"UDP": "unverifiable"})
    later = parse(IPv6(**IPS) / Fragment(fragment_offset=185, next_header=17) / bytes(16))
    assert (UDP in later, later.payload, later.problems) == (False, bytes(16), ())
    atomic = parse(IPv6(**IPS) / Fragment() / UDP() / b"x")
    assert atomic.checksums == {"UDP": "ok"}


def test_what_a_fragment_carries_is_not_recomputed() -> None:
    data = bytes(IPv6(**IPS) / Fragment(more=1) / UDP(length=900, checksum=0x1234) / bytes(8))
    assert bytes(parse(data).recompute()) == data
    later = bytes(IPv6(**IPS) / Fragment(fragment_offset=185, next_header=17) / bytes(16))
    assert bytes(parse(later).recompute()) == later


# Routing headers


@pytest.mark.parametrize(
    ("routing", "final"),
    [
        (SourceRoute(segments_left=1, addresses=VIA + END), END),
        (SourceRoute(segments_left=0, addresses=VIA + END), None),
        (SourceRouteToHome(addresses=END), END),
        (RPLSourceRoute(segments_left=2, addresses=VIA + END), END),
        (RPLSourceRoute(segments_left=2, cmpr_i=8, cmpr_e=15, pad=7, addresses=VIA[8:] + END[15:] + bytes(7)), END),
        (SegmentRouting(segments_left=1, last_entry=1, segments=END + VIA), END),
        (SegmentRouting(segments_left=0, last_entry=1, segments=END + VIA), None),
        (UnknownRouting(segments_left=1, data=bytes(4)), None),
    ],
)
def test_checksums_are_made_with_the_final_destination(routing: Routing, final: bytes | None) -> None:
    packet = IPv6(**IPS) / routing / UDP() / b"abc"
    direct = IPv6(src="fd00::1", dst=final or "fd00::2") / UDP() / b"abc"
    assert packet.computed()[UDP].checksum == direct.computed()[UDP].checksum
    assert parse(packet).checksums == {"UDP": "ok"}


def test_the_stops_of_each_type() -> None:
    assert SourceRoute(addresses=VIA + END).parsed_addresses == ("fd00::aa", "fd00::bb")
    segments = SegmentRouting(last_entry=1, segments=END + VIA + b"\4\6abcdef")
    assert (segments.parsed_segments, segments.tlvs) == (("fd00::bb", "fd00::aa"), b"\4\6abcdef")
    short = RPLSourceRoute(cmpr_i=15, cmpr_e=14, pad=5, addresses=VIA[15:] + END[14:] + bytes(5))
    assert short.parsed_addresses(VIA) == ("fd00::aa", "fd00::bb")
    assert RPLSourceRoute(cmpr_i=3, addresses=bytes(24)).parsed_addresses(VIA) == ()


@pytest.mark.parametrize(
    ("routing", "broken", "is_last"),
    [
        (SourceRoute(segments_left=2, addresses=VIA), "segments_left", False),
        (SourceRoute(addresses=bytes(8)), "hdr_ext_len", False),
        (SourceRouteToHome(segments_left=0, addresses=VIA), "segments_left", False),
        (SourceRouteToHome(addresses=VIA + END), "hdr_ext_len", False),
        (SourceRouteToHome(addresses=VIA[:8]), "hdr_ext_len", True),
        (RPLSourceRoute(cmpr_i=3, addresses=bytes(24)), "hdr_ext_len", False),
        (RPLSourceRoute(segments_left=2, addresses=VIA), "segments_left", False),
        (SegmentRouting(last_entry=1, segments=VIA), "last_entry", True),
        (SegmentRouting(segments_left=2, segments=VIA), "segments_left", False),
    ],
)
def test_rules_of_routing_headers(routing: Routing, broken: str, is_last: bool) -> None:
    parsed = parse(IPv6(**IPS) / routing / UDP())
    assert rules(parsed) == [("Routing", broken, "length", False)]
    assert (UDP not in parsed) == is_last


def test_a_routing_header_under_ipv4_changes_no_address() -> None:
    packet = IPv4(src="10.0.0.1", dst="10.0.0.2") / SourceRoute(segments_left=1, addresses=VIA) / UDP()
    assert parse(packet).checksums == {"IPv4": "ok", "UDP": "ok"}


# Jumbograms


def test_a_jumbogram() -> None:
    size = 70_000
    jumbo = HopByHop(options=[JumboPayload(8 + 20 + size)])
    packet = IPv6(**IPS) / jumbo / TCP(dport=9) / bytes(size)
    data = bytes(packet)
    assert data[4:6] == b"\0\0"
    parsed = parse(data + b"padding")
    assert (len(parsed.payload), parsed.trailer) == (size, b"padding")
    assert (parsed.problems, parsed.checksums) == ((), {"TCP": "ok"})
    assert bytes(parsed.recompute()) == data + b"padding"


def test_the_length_of_udp_in_a_jumbogram_is_zero() -> None:
    jumbo = HopByHop(options=[JumboPayload(8 + 8 + 66_000)])
    parsed = parse(IPv6(**IPS) / jumbo / UDP(length=0) / bytes(66_000))
    assert (parsed.problems, len(parsed.payload)) == ((), 66_000)
    assert rules(parse(IPv4() / UDP(length=0))) == [("UDP", "length", "minimum", False)]


def test_without_the_option_there_is_no_jumbogram() -> None:
    with pytest.raises(WireError, match=r"^IPv6 payload_length: 65544 is not in 0\.\.65535$"):
        bytes(IPv6() / HopByHop() / bytes(65536))


@pytest.mark.parametrize(
    ("length", "options", "rule"),
    [(0, [PadN(bytes(4))], "length"), (0, [JumboPayload(65535)], "length"), (None, [JumboPayload(65535)], "order")],
)
def test_rules_of_jumbograms(length: int | None, options: Any, rule: str) -> None:
    parsed = parse(IPv6(**IPS, payload_length=length) / HopByHop(options=options) / UDP())
    assert rules(parsed) == [("HopByHop", "options", rule, False)]


def test_hop_by_hop_options_come_first() -> None:
    parsed = parse(IPv6(**IPS) / DestinationOptions() / HopByHop() / UDP())
    assert rules(parsed) == [("HopByHop", "next_header", "order", False)]
    assert UDP in parsed


# AH


def test_the_length_of_ah_counts_words_less_two() -> None:
    assert AH(icv=bytes(12)).size == 24
    assert bytes(AH(icv=bytes(12)))[1] == 4
    wrong = parse(IPv6(**IPS) / AH(length=0) / UDP())
    assert rules(wrong) == [("AH", "length", "minimum", False)]
    assert UDP not in wrong
