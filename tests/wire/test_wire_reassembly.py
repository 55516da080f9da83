from __future__ import annotations

import random
import warnings
from itertools import zip_longest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.fragment import fragment
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.reassembly import Drop, DropReason, Reassembler
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

RAW = LinkType.RAW
SECOND = 10**9
BODY = bytes(range(256)) * 2
OPTIONS = b"\x07\x07\x04\0\0\0\0" + b"\x94\x04\0\0" + b"\0"
SPLIT = b"\x3c\0" + b"\1\4\0\0\0\0" + b"\x06\0" + b"\1\4\0\0\0\0"
"""IPv6 extension headers: hop-by-hop, which each fragment has, and destination options, which the data has."""


def ipv4(body: bytes = BODY, **fields: Any) -> bytes:
    return bytes(IPv4(**{"src": "10.0.0.1", "dst": "10.0.0.2", "id": 7, "protocol": 200, **fields}) / body)


def ipv6(body: bytes = BODY, next_header: int = 200) -> bytes:
    return bytes(IPv6(src="fd00::1", dst="fd00::2", next_header=next_header) / body)


def piece4(start: int, data: bytes, more: bool, **fields: Any) -> bytes:
    """One IPv4 fragment, `start` in bytes."""
    return ipv4(data, fragment_offset=start // 8, flags=IPv4Flags.MF if more else 0, **fields)


def piece6(start: int, data: bytes, more: bool, number: int = 9, upper: int = 200) -> bytes:
    """One IPv6 fragment, `start` in bytes."""
    return ipv6(bytes((upper, 0)) + (start | more).to_bytes(2) + number.to_bytes(4) + data, next_header=44)


both = pytest.mark.parametrize("piece", [piece4, piece6], ids=["IPv4", "IPv6"])

WHOLES = [
    ipv4(),
    ipv4(options=OPTIONS, flags=IPv4Flags.DF, dscp=5, ttl=3),
    bytes(IPv4(src="1.1.1.1", id=1) / UDP(sport=5) / BODY),
    ipv6(),
    bytes(IPv6(src="fd00::1", flow_label=0x12345, dscp=7, ecn=2) / TCP(sport=5) / BODY),
    ipv6(SPLIT + BODY, next_header=0),
]


# What comes back


def cut(whole: bytes, mtu: int) -> list[bytes]:
    return fragment(whole, mtu, RAW, identification=77 if whole[0] >> 4 == 6 else None, force=True)


@given(st.sampled_from(WHOLES), st.integers(64, 600), st.randoms(use_true_random=False), st.lists(st.integers(0, 99)))
def test_any_packet_in_any_order_with_duplicates_comes_back(
    whole: bytes, mtu: int, rng: random.Random, again: list[int]
) -> None:
    pieces = cut(whole, mtu)
    arriving = pieces[:-1] + [pieces[n % len(pieces)] for n in again if len(pieces) > 1]
    rng.shuffle(arriving)
    where = rng.randrange(len(arriving) + 1)
    arriving.insert(where, pieces[-1])
    reassembler = Reassembler()
    given_back = [reassembler.add(data, n, RAW) for n, data in enumerate(arriving)]
    assert [data for data in given_back if data is not None][:1] == [whole]
    assert not reassembler.dropped_datagrams
    assert not reassembler.dropped_fragments


@given(st.sampled_from(WHOLES), st.integers(64, 500), st.data())
def test_with_one_fragment_lost_nothing_comes_back(whole: bytes, mtu: int, data: st.DataObject) -> None:
    pieces = cut(whole, mtu)
    del pieces[data.draw(st.integers(0, len(pieces) - 1))]
    pieces = data.draw(st.permutations(pieces * 2))
    reassembler = Reassembler()
    assert all(reassembler.add(piece, 0, RAW) is None for piece in pieces)
    assert len(reassembler) == bool(pieces)


@given(st.integers(60, 400), st.integers(60, 400))
def test_fragments_of_fragments_come_back(first: int, second: int) -> None:
    for whole in (WHOLES[0], WHOLES[3]):
        pieces = [part for piece in cut(whole, first) for part in fragment(piece, second, RAW)]
        reassembler = Reassembler()
        given_back = [reassembler.add(piece, 0, RAW) for piece in pieces]
        assert given_back == [None] * (len(pieces) - 1) + [whole]


def test_datagrams_that_arrive_together_are_kept_apart() -> None:
    wholes = [
        ipv4(),
        ipv4(id=8),
        ipv4(protocol=201),
        ipv4(src="10.0.0.9"),
        ipv4(dst="10.0.0.9"),
        ipv6(),
        bytes(IPv6(src="fd00::1", dst="fd00::3", next_header=200) / BODY),
    ]
    columns = zip_longest(*(cut(whole, 120) for whole in wholes))
    reassembler = Reassembler()
    given_back = [reassembler.add(piece, 0, RAW) for column in columns for piece in column if piece]
    assert [whole for whole in given_back if whole] == wholes


def test_ipv6_fragments_are_tied_by_identification_and_not_by_next_header() -> None:
    reassembler = Reassembler()
    assert reassembler.add(piece6(0, bytes(8), more=True, number=1), 0, RAW) is None
    assert reassembler.add(piece6(8, bytes(8), more=False, number=2), 0, RAW) is None
    assert reassembler.add(piece6(8, bytes(8), more=False, number=1, upper=99), 0, RAW) == ipv6(bytes(16))


def test_the_first_fragment_gives_link_header_and_ip_header() -> None:
    reassembler = Reassembler()
    one, other = bytes(Ethernet(src="02:00:00:00:00:01") / VLAN(vid=5))[:-2], bytes(Ethernet())[:-2]
    head, last = piece4(0, bytes(8), more=True, ttl=9, options=OPTIONS), piece4(8, bytes(8), more=False, ttl=5)
    assert reassembler.add(other + b"\x08\x00" + last, 0) is None
    whole = reassembler.add(one + b"\x08\x00" + head, 0)
    assert whole == one + b"\x08\x00" + ipv4(bytes(16), ttl=9, options=OPTIONS)
    assert Packet.parse(whole).checksums == {"IPv4": "ok"}


def test_a_frame_brings_its_link_type() -> None:
    reassembler = Reassembler()
    for piece in cut(WHOLES[0], 300)[:-1]:
        assert reassembler.add(Frame(piece, linktype=RAW), 0) is None
    assert reassembler.add(Frame(cut(WHOLES[0], 300)[-1], linktype=RAW), 0) == WHOLES[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x45",
        ipv4(),
        ipv4(checksum=1),
        ipv4(total_length=0),
        ipv6(),
        ipv6(b"\x2c\xff" + bytes(20), next_header=0),
        ipv6(b"\x06\0\0\1", next_header=44),
        bytes(60),
    ],
)
def test_what_is_no_fragment_comes_back_as_it_is(data: bytes) -> None:
    reassembler = Reassembler()
    assert reassembler.add(data, 0, RAW) is data
    assert reassembler.fragments == 0


def test_padding_behind_a_fragment_is_no_data() -> None:
    reassembler = Reassembler()
    assert reassembler.add(piece4(8, b"a", more=False) + bytes(40), 0, RAW) is None
    assert reassembler.add(piece4(0, bytes(8), more=True) + bytes(40), 0, RAW) == ipv4(bytes(8) + b"a")


def test_an_atomic_fragment_is_handled_by_itself() -> None:
    reassembler = Reassembler()
    reassembler.add(piece6(8, b"other", more=False), 0, RAW)
    assert reassembler.add(piece6(0, b"alone", more=False), 0, RAW) == ipv6(b"alone")
    assert reassembler.add(piece6(0, b"", more=False), 0, RAW) == ipv6(b"")
    assert len(reassembler) == 1
    assert reassembler.add(piece6(0, bytes(8), more=True), 0, RAW) == ipv6(bytes(8) + b"other")


# What is wrong


@both
def test_duplicates_are_ignored_and_counted(piece: Any) -> None:
    reassembler = Reassembler()
    for _ in range(3):
        assert reassembler.add(piece(8, b"end", more=False), 0, RAW) is None
    for _ in range(2):
        assert (
            reassembler.add(piece(16, bytes(8), more=True, **({"id": 8} if piece is piece4 else {"number": 8})), 0, RAW)
            is None
        )
    assert reassembler.duplicates == 3
    assert reassembler.add(piece(0, bytes(8), more=True), 0, RAW) is not None


OVERLAPS = [
    [(0, 16, True), (8, 16, True)],
    [(8, 16, True), (0, 16, True)],
    [(0, 24, True), (8, 8, True)],
    [(8, 8, True), (0, 24, True)],
    [(0, 16, True), (0, 8, True)],
    [(8, 8, False), (16, 8, True)],  # beyond the end
    [(16, 8, True), (8, 8, False)],  # an end before what was there
    [(16, 8, False), (24, 8, False)],  # two ends
    [(24, 8, False), (16, 8, False)],
    [(16, 8, False), (16, 8, True)],  # the same bytes, once as the end
    [(16, 8, True), (16, 8, False)],
]


@both
@pytest.mark.parametrize("claims", OVERLAPS)
def test_an_overlap_drops_the_datagram_and_what_still_arrives_of_it(piece: Any, claims: Any) -> None:
    reassembler = Reassembler()
    for start, length, more in claims:
        assert reassembler.add(piece(start, bytes(length), more), 5, RAW) is None
    assert reassembler.dropped_datagrams == {"overlap": 1}
    dropped = reassembler.expire(5)
    assert [(drop.reason, drop.received, drop.time_ns) for drop in dropped] == [("overlap", claims[0][1], 5)]
    for start in range(0, 40, 8):
        assert reassembler.add(piece(start, bytes(8), start < 32), 6, RAW) is None
    assert reassembler.dropped_fragments == {"overlap": 6}
    assert reassembler.expire(59 * SECOND if piece is piece6 else 29 * SECOND) == []
    assert len(reassembler) == 1
    assert reassembler.expire(60 * SECOND + 5) == []  # it was told of before
    assert (len(reassembler), reassembler.memory, reassembler.next_timeout()) == (0, 0, None)
    reassembler.add(piece(0, bytes(8), more=True), 61 * SECOND, RAW)
    assert reassembler.add(piece(8, bytes(8), more=False), 61 * SECOND, RAW) is not None


@both
def test_the_same_range_with_other_bytes_is_an_overlap(piece: Any) -> None:
    reassembler = Reassembler()
    reassembler.add(piece(0, b"friendly", more=True), 0, RAW)
    reassembler.add(piece(0, b"attacker", more=True), 0, RAW)
    assert reassembler.dropped_datagrams == {"overlap": 1}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (piece4(0, bytes(9), more=True), "length"),
        (piece6(0, bytes(9), more=True), "length"),
        (piece4(8, b"", more=False), "length"),
        (piece6(8, b"", more=False), "length"),
        (piece4(0, bytes(16), more=True)[:-1], "length"),
        (piece6(0, bytes(16), more=True)[:-1], "length"),
        (piece4(8, bytes(16), more=False)[:-1], "length"),
        (piece6(8, bytes(16), more=False)[:-1], "length"),
        (piece4(0, bytes(8), more=True, ihl=4), "length"),
        (piece4(0, bytes(8), more=True, total_length=19), "length"),
        (piece4(0, bytes(8), more=True, checksum=1), "checksum"),
        (piece4(65520, bytes(8), more=True), "too long"),
        (piece4(65512, bytes(4), more=False), "too long"),
        (piece6(65528, bytes(8), more=True), "too long"),
        (piece6(65528, bytes(8), more=False), "too long"),
    ],
)
def test_a_fragment_that_can_not_be_used_is_dropped_and_counted(data: bytes, reason: str) -> None:
    reassembler = Reassembler()
    assert reassembler.add(data, 0, RAW) is None
    assert reassembler.dropped_fragments == {reason: 1}
    assert (len(reassembler), reassembler.memory) == (0, 0)


def test_a_fragment_cut_by_the_capture_is_told_from_one_that_is_short() -> None:
    reassembler = Reassembler()
    data = piece4(0, bytes(16), more=True)
    reassembler.add(Frame(data[:-4], linktype=RAW, original_length=len(data)), 0)
    reassembler.add(Frame(data[:-4], linktype=RAW), 0)
    assert reassembler.dropped_fragments == {"cut": 1, "length": 1}


def test_the_longest_datagrams_there_can_be() -> None:
    for whole in (ipv4(bytes(65515)), ipv6(bytes(65535))):
        reassembler = Reassembler()
        assert [reassembler.add(piece, 0, RAW) for piece in cut(whole, 9000)][-1] == whole


def test_a_datagram_whose_first_header_makes_it_too_long_is_dropped() -> None:
    reassembler = Reassembler()
    for start in range(8, 65505, 8):
        assert reassembler.add(piece4(start, bytes(8), start < 65504), 0, RAW) is None
    assert reassembler.add(piece4(0, bytes(8), more=True, options=bytes(12)), 0, RAW) is None
    assert reassembler.dropped_datagrams == {"too long": 1}
    assert (len(reassembler), reassembler.memory) == (0, 0)


@pytest.mark.parametrize(
    ("marks", "whole"), [((2, 3), 3), ((3, 1), 3), ((2, 1), 2), ((0, 1), 0), ((0, 3), None), ((3, 0), None)]
)
def test_congestion_marks_of_the_fragments(marks: tuple[int, int], whole: int | None) -> None:
    reassembler = Reassembler()
    for at, mark in ((8, marks[1]), (0, marks[0])):
        given_back = reassembler.add(piece4(at, bytes(8), not at, ecn=mark), 0, RAW)
    assert given_back == (None if whole is None else ipv4(bytes(16), ecn=whole))
    assert reassembler.dropped_datagrams == ({"ecn": 1} if whole is None else {})
    for at, mark in ((8, marks[1]), (0, marks[0])):
        data = bytearray(piece6(at, bytes(8), not at))
        data[1] |= mark << 4
        given_back = reassembler.add(bytes(data), 0, RAW)
    expected = bytearray(ipv6(bytes(16)))
    expected[1] |= (whole or 0) << 4
    assert given_back == (None if whole is None else bytes(expected))


# Time and memory


def test_what_waits_too_long_is_given_up_and_told() -> None:
    reassembler = Reassembler()
    head = piece4(0, bytes(1400), more=True)
    reassembler.add(head, 1, RAW)
    reassembler.add(piece6(8, bytes(8), more=True), 2, RAW)
    assert reassembler.next_timeout() == 30 * SECOND + 1
    assert reassembler.expire(30 * SECOND) == []
    reassembler.add(piece4(1400, bytes(8), more=True), 29 * SECOND, RAW)  # the time runs from the first one
    assert reassembler.expire(30 * SECOND + 1) == [
        Drop(DropReason.TIMEOUT, 4, "10.0.0.1", "10.0.0.2", 7, 200, 1408, head[:1280], 30 * SECOND + 1)
    ]
    assert reassembler.next_timeout() == 60 * SECOND + 2
    assert reassembler.expire(70 * SECOND) == [
        Drop(DropReason.TIMEOUT, 6, "fd00::1", "fd00::2", 9, None, 8, b"", 70 * SECOND)
    ]
    assert reassembler.dropped_datagrams == {"timeout": 2}
    assert (reassembler.next_timeout(), reassembler.memory, len(reassembler)) == (None, 0, 0)


def test_a_fragment_that_comes_too_late_starts_anew_without_expire() -> None:
    reassembler = Reassembler(ipv4_timeout_ns=10)
    assert reassembler.add(piece4(0, bytes(8), more=True), 0, RAW) is None
    assert reassembler.add(piece4(8, bytes(8), more=False), 10, RAW) is None
    assert reassembler.add(piece4(0, bytes(8), more=True), 19, RAW) == ipv4(bytes(16))
    assert [drop.time_ns for drop in reassembler.expire(19)] == [10]


def test_the_oldest_goes_when_memory_is_used_up() -> None:
    reassembler = Reassembler(memory=10_000)
    reassembler.add(piece6(0, bytes(1000), more=True), 0, RAW)
    for number in range(100):
        reassembler.add(piece4(8, bytes(1000), more=True, id=number), 1 + number, RAW)
        assert reassembler.memory <= 10_000
    dropped = reassembler.expire(200)
    assert [(drop.version, drop.id) for drop in dropped[:3]] == [(6, 9), (4, 0), (4, 1)]
    assert {drop.reason for drop in dropped} == {"memory"}
    assert reassembler.dropped_datagrams == {"memory": 101 - len(reassembler)}
    assert 3 < len(reassembler) < 10


def test_small_fragments_and_dead_datagrams_are_charged_too() -> None:
    reassembler = Reassembler(memory=10_000)
    for number in range(200):
        for _ in range(2):
            reassembler.add(piece4(8, number.to_bytes(8), more=True, id=number), 0, RAW)
        reassembler.add(piece4(8, bytes(7) + b"x", more=True, id=number), 0, RAW)
    assert reassembler.memory <= 10_000
    assert len(reassembler) <= 20


def test_fragments_of_one_datagram_are_charged_too() -> None:
    reassembler = Reassembler(memory=10_000)
    for start in range(16, 16 * 200, 16):
        reassembler.add(piece4(start, bytes(8), more=True), 0, RAW)
    assert reassembler.dropped_datagrams["memory"] >= 2


def test_a_datagram_larger_than_the_memory_is_given_up() -> None:
    reassembler = Reassembler(memory=1000)
    given_back = [reassembler.add(piece, 0, RAW) for piece in cut(ipv4(bytes(2000)), 700)]
    assert given_back == [None] * len(given_back)
    assert reassembler.dropped_datagrams["memory"] > 0
    assert reassembler.memory <= 1000


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 3), st.booleans(), st.booleans())))
def test_the_books_balance_whatever_arrives(steps: list[tuple[int, int, int, bool, bool]]) -> None:
    reassembler = Reassembler(memory=4000)
    reports = 0
    for now, (number, start, units, more, is_ipv4) in enumerate(steps):
        data = bytes(units * 8)
        piece = piece4(start * 8, data, more, id=number) if is_ipv4 else piece6(start * 8, data, more, number=number)
        reassembler.add(piece, now * SECOND, RAW)
        assert 0 <= reassembler.memory <= 4000
        reports += len(reassembler.expire(now * SECOND))
    reports += len(reassembler.expire(10**12))
    assert (len(reassembler), reassembler.memory, reassembler.next_timeout()) == (0, 0, None)
    assert reports == sum(reassembler.dropped_datagrams.values())


@given(st.binary(max_size=90), st.sampled_from([*LinkType]), st.sampled_from([b"", b"\x45\0", b"\x60\0"]))
def test_nothing_raises_for_what_the_bytes_hold(data: bytes, linktype: LinkType, start: bytes) -> None:
    reassembler = Reassembler()
    for _ in range(2):
        reassembler.add(start + data, 0, linktype)
        reassembler.add(Frame(start + data, linktype=linktype, original_length=200), 0)
    reassembler.expire(10**12)


@given(st.sampled_from(WHOLES), st.data())
def test_damaged_fragments_never_raise(whole: bytes, data: st.DataObject) -> None:
    reassembler = Reassembler(memory=2000)
    for piece in cut(whole, 120):
        mutant = bytearray(piece)
        for _ in range(data.draw(st.integers(0, 3))):
            mutant[data.draw(st.integers(0, len(mutant) - 1))] = data.draw(st.integers(0, 255))
        reassembler.add(bytes(mutant[: data.draw(st.integers(0, len(mutant)))]), 0, RAW)
    reassembler.expire(10**12)
    assert reassembler.memory == 0


# As scapy puts them together


@pytest.fixture(scope="module")
def scapy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("scapy.all")


@pytest.mark.parametrize("mtu", [68, 100, 297, 500])
@pytest.mark.parametrize("at", range(len(WHOLES)))
def test_the_same_as_scapy(scapy: Any, at: int, mtu: int) -> None:
    *pieces, last = cut(WHOLES[at], mtu)
    random.Random(1).shuffle(pieces)
    pieces.append(last)  # scapy looks at what it has when that one arrives
    reassembler = Reassembler()
    ours = [whole for whole in (reassembler.add(piece, 0, RAW) for piece in pieces) if whole]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if WHOLES[at][0] >> 4 == 4:
            theirs = [scapy.raw(packet) for packet in scapy.defragment([scapy.IP(piece) for piece in pieces])]
        else:
            theirs = [scapy.raw(scapy.defragment6([scapy.IPv6(piece) for piece in pieces]))]
    assert ours == theirs == [WHOLES[at]]


def test_the_headers_that_are_kept_with_each_fragment_count_too() -> None:
    reassembler = Reassembler(memory=1 << 20)
    options = b"\x2c\xae" + b"\x01\xff" + bytes(255) + bytes(1404 - 259)
    for number in range(2000):
        piece = b"\x11\0" + (number * 2 << 3 | 1).to_bytes(2) + (7).to_bytes(4) + bytes(8)
        data = bytes(IPv6(src="fd00::1", dst="fd00::2", next_header=60) / (options[:1400] + piece))
        reassembler.add(data, number, LinkType.RAW)
        assert reassembler.memory <= 1 << 20
    held = sum(len(p.head) for queue in reassembler._waiting.values() for d in queue.values() for p in d.pieces)
    assert held <= reassembler.memory
