"""Segments to datagrams and back."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport.codec import LAST_SEQUENCE, RdtCodec
from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, datagram_crc

CODEC = RdtCodec()
PORT = st.integers(0, 0xFFFF)
SEEN = st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 2**32 - 1).map(lambda us: us * 1000))


def decode(datagrams: list[bytes]) -> tuple[list[Segment], Counter[str]]:
    reasons: Counter[str] = Counter()

    def discard(reason: str, length: int) -> None:
        reasons[reason] += 1

    return CODEC.decode(datagrams, discard), reasons


@st.composite
def sack_ranges(draw: st.DrawFn, ack: int) -> tuple[tuple[int, int], ...]:
    edges = draw(st.lists(st.integers(1, 2**32 - 1), max_size=62, unique=True).map(sorted))
    return tuple((ack + low, ack + high) for low, high in zip(edges[::2], edges[1::2], strict=False))


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    ack = draw(st.integers(0, 2**64 - 1))
    length = draw(st.sampled_from([0, 1, 63, 64, 65, 999, 1000, 1001, 5000]) | st.integers(0, 9000))
    kind = draw(st.sampled_from([ACK, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, 0]))
    return Segment(
        draw(PORT),
        draw(PORT),
        kind,
        draw(st.integers(0, 2**63)),
        ack,
        draw(st.integers(0, 2**32 - 1)),
        draw(st.binary(min_size=8, max_size=8)) * (length // 8) + bytes(length % 8) if kind & ~FIN == ACK else b"",
        draw(st.integers(0, 2**47)),
        sack=draw(sack_ranges(ack)),
        seen=draw(st.none() | SEEN),
        mss=draw(st.none() | st.integers(0, 0xFFFF)),
    )


@given(segments(), st.sampled_from([300, 536, 1000, 1440, 65535]))
def test_a_segment_comes_back_as_it_was(segment: Segment, mss: int) -> None:
    segment.count = CODEC.count(segment, mss)
    datagrams = CODEC.encode(segment, mss)
    assert len(datagrams) == segment.count
    assert all(len(datagram) <= CODEC.header_length + mss for datagram in datagrams)
    back, reasons = decode(datagrams)
    assert back == [segment]
    assert not reasons


@given(segments(), st.randoms(use_true_random=False))
def test_datagrams_in_any_order_hold_every_octet_in_its_place(segment: Segment, rng: object) -> None:
    datagrams = CODEC.encode(segment, 400)
    rng.shuffle(datagrams)  # type: ignore[attr-defined]
    back, _ = decode(datagrams)
    stream = bytearray(len(segment.payload))
    for piece in back:
        stream[piece.seq - segment.seq : piece.seq - segment.seq + len(piece.payload)] = piece.payload
        if piece.flags & FIN:
            assert piece.end == segment.end
    assert bytes(stream) == segment.payload
    assert sum(piece.count for piece in back) == len(datagrams)


def data(seq: int, payload: bytes, number: int, **others: int) -> bytes:
    fields = {"ack": 7, "wnd": 9, "flags": ACK, "source_port": 1, "destination_port": 2} | others
    return CODEC.encode(Segment(seq=seq, payload=payload, packet_number=number, **fields), 1000)[0]


def test_a_run_is_joined() -> None:
    back, _ = decode([data(100, b"abc", 5), data(103, b"de", 6), data(105, b"f", 7, flags=ACK | FIN)])
    assert [(s.payload, s.count, s.flags, s.packet_number) for s in back] == [(b"abcdef", 3, ACK | FIN, 5)]


@pytest.mark.parametrize(
    "second",
    [
        data(104, b"x", 6),
        data(103, b"x", 7),
        data(103, b"x", 6, ack=8),
        data(103, b"x", 6, wnd=8),
        data(103, b"x", 6, flags=ACK | RST),
        data(103, b"x", 6, source_port=3),
        data(103, b"x", 6, destination_port=3),
    ],
)
def test_what_does_not_follow_exactly_is_not_joined(second: bytes) -> None:
    back, _ = decode([data(100, b"abc", 5), second])
    assert [s.count for s in back] == [1, 1]


@pytest.mark.parametrize("flag", [SYN, FIN, RST])
def test_nothing_is_joined_behind_syn_fin_or_rst(flag: int) -> None:
    back, _ = decode([data(100, b"abc", 5, flags=ACK | flag), data(103, b"x", 6, flags=ACK | flag)])
    assert len(back) == 2


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_any_bytes_are_discarded_by_reason(datagrams: list[bytes]) -> None:
    back, reasons = decode(datagrams)
    assert not back
    assert reasons.total() == len(datagrams)


@given(segments(), st.data())
def test_a_flipped_bit_is_always_noticed(segment: Segment, draw: st.DataObject) -> None:
    datagram = bytearray(CODEC.encode(segment, 1400)[0])
    bit = draw.draw(st.integers(0, len(datagram) * 8 - 1))
    datagram[bit // 8] ^= 1 << bit % 8
    back, reasons = decode([bytes(datagram)])
    assert not back
    assert reasons.total() == 1


@given(segments(), st.integers(1, 100))
def test_a_cut_datagram_is_discarded_and_padding_ignored(segment: Segment, count: int) -> None:
    datagram = CODEC.encode(segment, 1400)[0]
    assert decode([datagram[:-count]])[1].total() == 1
    assert decode([datagram + bytes(count)])[0] == decode([datagram])[0]


def with_crc(datagram: bytes) -> bytes:
    return datagram[:36] + datagram_crc(datagram[:36] + bytes(4), datagram[40:]).to_bytes(4, "big") + datagram[40:]


@pytest.mark.parametrize(
    ("reason", "datagram"),
    [
        ("too short", bytes(39)),
        ("version", bytes(40)),
        ("length", bytes((1, 9)) + bytes(40)),
        ("length", bytes((1, 11)) + bytes(38)),
        ("checksum", bytes((1, 10)) + bytes(38)),
        ("option length", with_crc(bytes((1, 11)) + bytes(38) + b"\x03\x05\0\0")),
        ("option rejected", with_crc(bytes((1, 11)) + bytes(38) + b"\x80\x04\0\0")),
        ("sack order", with_crc(bytes((1, 13)) + bytes(38) + b"\x01\x0a" + b"\0\0\0\x05\0\0\0\x05" + bytes(2))),
        ("sequence", data(LAST_SEQUENCE + 1, b"x", 0)),
        ("sequence", data(2**64 - 1, b"", 0, flags=SYN)),
    ],
)
def test_each_fault_has_its_reason(reason: str, datagram: bytes) -> None:
    assert decode([datagram]) == ([], Counter({reason: 1}))


def test_the_last_sequence_number_leaves_room_for_its_acknowledgement() -> None:
    (segment,), _ = decode([data(LAST_SEQUENCE, bytes(1000), 0, flags=ACK | FIN)])
    reply = Segment(1, 2, ACK, 0, ack=segment.end)
    assert decode(CODEC.encode(reply, 1000))[0][0].ack == segment.end


@given(segments())
def test_the_header_for_people_says_the_same(segment: Segment) -> None:
    """wire.RDT is made from its table of fields, the codec by hand."""
    datagram = CODEC.encode(segment, 60_000)[0]
    header = RDT(
        sport=segment.source_port,
        dport=segment.destination_port,
        flags=segment.flags,
        packet_number=segment.packet_number,
        seq=segment.seq,
        ack=segment.ack,
        window=segment.wnd,
        options=datagram[40 : 4 * datagram[1]],
    )
    assert bytes(Packet((header,)) / bytes(segment.payload)) == datagram


def acknowledgement(number: int, **changes: object) -> Segment:
    segment = Segment(1, 2, ACK, 100, ack=1000 + number, wnd=5000, packet_number=number, seen=(number, 0))
    for name, value in changes.items():
        setattr(segment, name, value)
    return segment


def test_acknowledgements_that_come_together_count_as_the_last_of_them() -> None:
    together = [acknowledgement(7), acknowledgement(8), acknowledgement(9, sack=((2000, 2100),))]
    (one,), _ = decode([data for segment in together for data in CODEC.encode(segment, 1440)])
    assert one == acknowledgement(9, sack=((2000, 2100),), packet_number=7, count=3)


@pytest.mark.parametrize(
    "later",
    [
        acknowledgement(9),  # one between them is missing
        acknowledgement(8, seq=101),
        acknowledgement(8, payload=b"data"),
        acknowledgement(8, ack=999),
        acknowledgement(8, seen=None),
        acknowledgement(8, source_port=3),
        acknowledgement(8, flags=ACK | FIN),
    ],
)
def test_an_acknowledgement_that_says_something_else_stays_apart(later: Segment) -> None:
    both, _ = decode([data for segment in (acknowledgement(7), later) for data in CODEC.encode(segment, 1440)])
    assert both == [acknowledgement(7), later]
