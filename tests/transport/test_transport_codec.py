"""Segments to datagrams and back."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawproto.errors import ConfigError, WireError
from rawproto.transport.codec import LAST_SEQUENCE, RdtCodec
from rawproto.transport.segment import ACK, CWR, DGM, ECE, EOR, FIN, PSH, RST, SYN, Segment
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, datagram_crc

CODEC = RdtCodec()
PORT = st.integers(0, 0xFFFF)
U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
DSACK = st.builds(lambda start, length: (start, start + length), st.integers(0, 2**64 - 1), st.integers(1, 2**32 - 1))
SEEN = st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 2**32 - 1).map(lambda us: us * 1000))


def decode(datagrams: list[bytes], codec: RdtCodec = CODEC) -> tuple[list[Segment], Counter[str]]:
    reasons: Counter[str] = Counter()

    def discard(reason: str, length: int) -> None:
        reasons[reason] += 1

    return codec.decode(datagrams, discard), reasons


@st.composite
def sack_ranges(draw: st.DrawFn, ack: int) -> tuple[tuple[int, int], ...]:
    edges = draw(st.lists(st.integers(1, 2**32 - 1), max_size=62, unique=True).map(sorted))
    return tuple((ack + low, ack + high) for low, high in zip(edges[::2], edges[1::2], strict=False))


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    """One that has only options that its flags give a meaning, and no probe."""
    length = draw(st.sampled_from([0, 1, 63, 64, 65, 999, 1000, 1001, 5000]) | st.integers(0, 9000))
    kind = draw(st.sampled_from([ACK, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, 0]))
    others = draw(st.sets(st.sampled_from([PSH, ECE, CWR, EOR])))
    segment = Segment(
        draw(PORT),
        draw(PORT),
        kind | sum(others),
        draw(st.integers(0, 2**63)),
        draw(st.integers(0, 2**64 - 1)),
        draw(U32),
        draw(st.binary(min_size=8, max_size=8)) * (length // 8) + bytes(length % 8) if kind & ~FIN == ACK else b"",
        draw(st.integers(0, 2**47)),
    )
    if kind & ACK:
        segment.sack = draw(sack_ranges(segment.ack))
        segment.seen = draw(st.none() | SEEN)
        segment.dsack = draw(st.none() | DSACK)
        segment.probed = draw(U16)
        segment.cookie = draw(st.binary(max_size=30))
    if kind & SYN:
        segment.mss = draw(st.none() | U16)
        segment.record = draw(st.none() | U32)
    return segment


@pytest.mark.rdt("3.2-2", "3.2-6", "3.5-1", "3.5-12", "10-1", "10-2")
@given(segments(), st.sampled_from([400, 536, 1000, 1440, 65535]))
def test_a_segment_comes_back_as_it_was(segment: Segment, mss: int) -> None:
    segment.count = CODEC.count(segment, mss)
    datagrams = CODEC.encode(segment, mss)
    assert len(datagrams) == segment.count
    assert all(len(datagram) <= CODEC.header_length + mss for datagram in datagrams)
    back, reasons = decode(datagrams)
    assert back == [segment]
    assert not reasons


@pytest.mark.rdt("10-3")
@given(segments(), st.randoms(use_true_random=False))
def test_datagrams_in_any_order_hold_every_octet_in_its_place(segment: Segment, rng: object) -> None:
    datagrams = CODEC.encode(segment, 400)
    rng.shuffle(datagrams)  # type: ignore[attr-defined]
    back, _ = decode(datagrams)
    stream = bytearray(len(segment.payload))
    for piece in back:
        stream[piece.seq - segment.seq : piece.seq - segment.seq + len(piece.payload)] = piece.payload
        if piece.flags & (FIN | EOR):
            assert piece.end == segment.end
    assert bytes(stream) == segment.payload
    assert sum(piece.count for piece in back) == len(datagrams)


def data(seq: int, payload: bytes, number: int, **others: int) -> bytes:
    fields: dict[str, Any] = {"ack": 7, "wnd": 9, "flags": ACK, "source_port": 1, "destination_port": 2} | others
    return CODEC.encode(Segment(seq=seq, payload=payload, packet_number=number, **fields), 1000)[0]


@pytest.mark.rdt("10-3")
def test_a_run_is_joined() -> None:
    back, _ = decode([data(100, b"abc", 5), data(103, b"de", 6), data(105, b"f", 7, flags=ACK | FIN)])
    assert [(s.payload, s.count, s.flags, s.packet_number) for s in back] == [(b"abcdef", 3, ACK | FIN, 5)]


@pytest.mark.rdt("10-3")
@pytest.mark.parametrize(
    "second",
    [
        data(104, b"x", 6),
        data(103, b"x", 7),
        data(103, b"x", 6, ack=8),
        data(103, b"x", 6, wnd=8),
        data(103, b"x", 6, flags=ACK | RST),
        data(103, b"x", 6, flags=ACK | ECE),
        data(103, b"x", 6, flags=ACK | CWR),
        data(103, b"x", 6, flags=ACK | CWR | PSH),
        data(103, b"x", 6, flags=DGM),
        data(103, b"x", 6, source_port=3),
        data(103, b"x", 6, destination_port=3),
    ],
)
def test_what_does_not_follow_exactly_is_not_joined(second: bytes) -> None:
    back, _ = decode([data(100, b"abc", 5), second])
    assert [s.count for s in back] == [1, 1]


@pytest.mark.rdt("10-3", "10-4")
@pytest.mark.parametrize("flag", [SYN, FIN, RST, PSH, EOR, DGM])
def test_these_flags_end_a_run(flag: int) -> None:
    back, _ = decode([data(100, b"abc", 5, flags=ACK | flag), data(103, b"x", 6, flags=ACK | flag)])
    assert [s.count for s in back] == [1, 1]


@pytest.mark.rdt("10-2", "10-3")
@pytest.mark.parametrize("flag", [FIN, PSH, EOR, FIN | PSH | EOR])
def test_a_joined_segment_has_what_only_its_last_datagram_has(flag: int) -> None:
    (one, other), _ = decode(
        [data(100, b"ab", 5), data(102, b"cd", 6, flags=ACK | flag), data(104, b"ef", 7), data(106, b"gh", 8)]
    )
    assert (one.payload, one.flags, one.count) == (b"abcd", ACK | flag, 2)
    assert (other.payload, other.flags, other.count) == (b"efgh", ACK, 2)


@pytest.mark.rdt("10-2")
@given(st.sets(st.sampled_from([FIN, PSH, EOR, ECE, CWR])).map(sum), st.integers(1, 5))
def test_of_a_cut_segment_only_the_last_datagram_has_fin_psh_and_eor(flags: int, count: int) -> None:
    whole = Segment(1, 2, ACK | flags, 100, payload=bytes(100 * count), packet_number=9)
    sent = [int.from_bytes(datagram[2:4]) for datagram in CODEC.encode(whole, 100)]
    assert sent == [(ACK | flags) & ~(FIN | PSH | EOR)] * (count - 1) + [ACK | flags]


@pytest.mark.rdt("6.1-1")
@given(st.lists(st.binary(max_size=80), max_size=8))
def test_any_bytes_are_discarded_by_reason(datagrams: list[bytes]) -> None:
    back, reasons = decode(datagrams)
    assert not back
    assert reasons.total() == len(datagrams)


@pytest.mark.rdt("3.3-2")
@given(segments(), st.data())
def test_a_flipped_bit_is_always_noticed(segment: Segment, draw: st.DataObject) -> None:
    datagram = bytearray(CODEC.encode(segment, 1400)[0])
    bit = draw.draw(st.integers(0, len(datagram) * 8 - 1))
    datagram[bit // 8] ^= 1 << bit % 8
    back, reasons = decode([bytes(datagram)])
    assert not back
    assert reasons.total() == 1


@pytest.mark.rdt("3.2-3", "3.2-4")
@given(segments(), st.integers(1, 100))
def test_a_cut_datagram_is_discarded_and_padding_ignored(segment: Segment, count: int) -> None:
    datagram = CODEC.encode(segment, 1400)[0]
    assert decode([datagram[:-count]])[1].total() == 1
    assert decode([datagram + bytes(count)])[0] == decode([datagram])[0]


def with_crc(datagram: bytes) -> bytes:
    return datagram[:36] + datagram_crc(datagram[:36] + bytes(4), datagram[40:]).to_bytes(4, "big") + datagram[40:]


@pytest.mark.rdt("3.2-1", "3.2-2", "3.2-3", "3.2-10", "3.3-2", "3.3-3", "3.5-2", "3.5-4", "3.5-8", "6.1-1")
@pytest.mark.parametrize(
    ("reason", "datagram"),
    [
        ("too short", bytes(39)),
        ("version", bytes(40)),
        ("length", bytes((1, 9)) + bytes(40)),
        ("length", bytes((1, 11)) + bytes(38)),
        ("checksum", bytes((1, 10)) + bytes(38)),
        ("checksum", bytes((1, 11)) + bytes(38) + b"\x80\x04\0\0"),
        ("checksum", data(LAST_SEQUENCE + 1, b"x", 0)[:-1] + b"y"),
        ("option length", with_crc(bytes((1, 11)) + bytes(38) + b"\x03\x05\0\0")),
        ("option rejected", with_crc(bytes((1, 11)) + bytes(38) + b"\x80\x04\0\0")),
        ("sack order", with_crc(bytes((1, 13)) + bytes(38) + b"\x01\x0a" + b"\0\0\0\x05\0\0\0\x05" + bytes(2))),
        ("sequence", data(LAST_SEQUENCE + 1, b"x", 0)),
        ("sequence", data(2**64 - 1, b"", 0, flags=SYN)),
    ],
)
def test_each_fault_has_its_reason(reason: str, datagram: bytes) -> None:
    assert decode([datagram]) == ([], Counter({reason: 1}))


@pytest.mark.rdt("3.2-10")
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


# Options


@pytest.mark.rdt("3.5-6")
@given(st.sampled_from([0, ACK, SYN, SYN | ACK, RST, DGM]))
def test_an_option_that_the_flags_give_no_meaning_is_ignored(flags: int) -> None:
    everything = Segment(
        1,
        2,
        flags,
        100,
        ack=1000,
        sack=((2000, 2100),),
        seen=(7, 5000),
        dsack=(900, 950),
        probed=1400,
        cookie=b"cookie",
        mss=1440,
        record=65536,
    )
    (back,), _ = decode(CODEC.encode(everything, 1440))
    with_ack, with_syn = bool(flags & ACK), bool(flags & SYN)
    assert [bool(option) for option in (back.sack, back.seen, back.dsack, back.probed, back.cookie)] == [with_ack] * 5
    assert [option is not None for option in (back.mss, back.record)] == [with_syn] * 2


@pytest.mark.rdt("3.5-14")
@given(st.binary(max_size=253))
def test_a_cookie_comes_back_byte_for_byte(cookie: bytes) -> None:
    (asked,), _ = decode(CODEC.encode(Segment(2, 1, SYN | ACK, 50, ack=101, cookie=cookie), 1440))
    (answered,), _ = decode(CODEC.encode(Segment(1, 2, ACK, 101, ack=51, cookie=asked.cookie), 1440))
    assert answered.cookie == cookie


@pytest.mark.rdt("3.5-16")
@pytest.mark.rfc("2883", "4")
def test_a_dsack_of_no_octets_is_ignored() -> None:
    (back,), _ = decode(CODEC.encode(Segment(1, 2, ACK, 5, ack=9, dsack=(7, 7)), 1440))
    assert back.dsack is None


@pytest.mark.rfc("2883", "4")
def test_a_dsack_may_lie_below_the_acknowledgement_or_above() -> None:
    for ends in ((1, 3), (2**63, 2**63 + 2**32 - 1)):
        (back,), _ = decode(CODEC.encode(Segment(1, 2, ACK, 5, ack=2**40, dsack=ends), 1440))
        assert back.dsack == ends


@pytest.mark.parametrize("wrong", [{"dsack": (5, 4)}, {"probe": 1 << 16}, {"record": -1}, {"cookie": bytes(254)}])
def test_what_no_option_can_hold_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(WireError, match=f"RDT option {next(iter(wrong)).upper()}"):
        CODEC.encode(acknowledgement(1, **wrong), 1440)


def test_the_network_s_mark_is_said_of_every_segment() -> None:
    datagrams = [data(100, b"abc", 5), data(103, b"de", 6), data(200, b"f", 9)]
    assert [segment.marked for segment in CODEC.decode(datagrams, print, marked=True)] == [True, True]
    assert [segment.marked for segment in CODEC.decode(datagrams, print)] == [False, False]


# Probes


def probe(size: int, number: int = 7, payload: bytes = b"") -> bytes:
    return CODEC.encode(Segment(1, 2, ACK, 100, ack=7, payload=payload, packet_number=number, probe=size), 1440)[0]


@pytest.mark.rdt("3.5-17", "3.2-4")
@pytest.mark.rfc("8899", "4.1")
@given(st.integers(50, 0xFFFF), st.binary(max_size=6))
def test_a_probe_is_filled_with_zeros_that_nothing_counts(size: int, payload: bytes) -> None:
    datagram = probe(size, payload=payload)
    assert len(datagram) == size
    assert datagram[44 : 44 + len(payload)] == payload
    assert not any(datagram[44 + len(payload) :])
    (back,), _ = decode([datagram])
    assert (back.probe, back.payload) == (size, payload)
    assert decode([datagram[: 44 + len(payload)]])[0][0].payload == payload  # and the CRC still fits


@pytest.mark.rdt("3.5-18")
def test_a_probe_whose_padding_was_cut_is_none() -> None:
    assert [decode([probe(1500)[:length]])[0][0].probe for length in (44, 1000, 1499, 1500)] == [0, 0, 0, 1500]


@pytest.mark.rdt("3.5-18")
def test_a_probe_in_a_frame_with_more_behind_it_counts() -> None:
    assert decode([probe(60) + bytes(4)])[0][0].probe == 60


@pytest.mark.rdt("10-3")
def test_a_probe_is_never_joined() -> None:
    back, _ = decode([probe(1500, 7, b"abc"), data(103, b"de", 8, wnd=0), data(105, b"f", 9, wnd=0)])
    assert [(s.payload, s.probe, s.count) for s in back] == [(b"abc", 1500, 1), (b"def", 0, 2)]
    back, _ = decode([data(97, b"abc", 6, wnd=0), probe(1500, 7, b"abc")])
    assert [(s.payload, s.probe, s.count) for s in back] == [(b"abc", 0, 1), (b"abc", 1500, 1)]


def test_of_a_cut_segment_the_first_datagram_is_the_probe() -> None:
    whole = Segment(1, 2, ACK, 100, payload=bytes(250), packet_number=9, probe=200)
    datagrams = CODEC.encode(whole, 100)
    assert [len(datagram) for datagram in datagrams] == [200, 140, 140 - 46]
    assert [s.probe for s in decode(datagrams)[0]] == [200, 0]


# Unreliable datagrams


@pytest.mark.rdt("10-4", "3.4-8")
@pytest.mark.parametrize("length", [0, 100, 1440, 1441, 0xFFFF])
def test_an_unreliable_datagram_is_never_cut(length: int) -> None:
    message = Segment(1, 2, DGM, 0, payload=bytes(length), packet_number=3)
    datagrams = CODEC.encode(message, 1440)
    assert len(datagrams) == CODEC.count(message, 1440) == 1
    assert decode(datagrams)[0] == [message]


def test_an_unreliable_datagram_that_no_datagram_can_hold_is_refused() -> None:
    with pytest.raises(WireError, match="an unreliable datagram of 65536 bytes, at most 65535 fit"):
        CODEC.encode(Segment(1, 2, DGM, 0, payload=bytes(65536)), 1440)


# Acknowledgements that count as one


def acknowledgement(number: int, **changes: object) -> Segment:
    segment = Segment(1, 2, ACK, 100, ack=1000 + number, wnd=5000, packet_number=number, seen=(number, 0))
    for name, value in changes.items():
        setattr(segment, name, value)
    return segment


@pytest.mark.rdt("10-3")
def test_acknowledgements_that_come_together_count_as_the_last_of_them() -> None:
    together = [acknowledgement(7), acknowledgement(8), acknowledgement(9, sack=((2000, 2100),))]
    (one,), _ = decode([data for segment in together for data in CODEC.encode(segment, 1440)])
    assert one == acknowledgement(9, sack=((2000, 2100),), packet_number=7, count=3)


@pytest.mark.rdt("10-3")
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
        acknowledgement(8, flags=ACK | ECE),
        acknowledgement(8, flags=ACK | CWR),
        acknowledgement(8, probe=300),
    ],
)
def test_an_acknowledgement_that_says_something_else_stays_apart(later: Segment) -> None:
    both, _ = decode([data for segment in (acknowledgement(7), later) for data in CODEC.encode(segment, 1440)])
    assert both == [acknowledgement(7), later]


@pytest.mark.rdt("10-3")
@pytest.mark.parametrize(
    "earlier",
    [
        acknowledgement(7, dsack=(500, 600)),
        acknowledgement(7, probed=1400),
        acknowledgement(7, cookie=b"c"),
        acknowledgement(7, probe=300),
        acknowledgement(7, flags=ACK | ECE),
    ],
)
@pytest.mark.parametrize("same", [False, True])
def test_an_acknowledgement_that_says_more_is_not_swallowed(earlier: Segment, same: bool) -> None:
    changes = {} if not same else {n: getattr(earlier, n) for n in ("dsack", "probed", "cookie", "probe")}
    later = acknowledgement(8, **changes)
    both, _ = decode([data for segment in (earlier, later) for data in CODEC.encode(segment, 1440)])
    assert both == [earlier, later]


@pytest.mark.rdt("10-3")
@pytest.mark.parametrize("more", [{"dsack": (500, 600)}, {"probed": 1400}, {"cookie": b"c"}])
def test_the_last_acknowledgement_may_say_more(more: dict[str, object]) -> None:
    pair = [acknowledgement(7), acknowledgement(8, **more)]
    (one,), _ = decode([data for segment in pair for data in CODEC.encode(segment, 1440)])
    assert one == acknowledgement(8, packet_number=7, count=2, **more)


@pytest.mark.rdt("10-3")
def test_acknowledgements_that_all_echo_a_mark_count_as_one() -> None:
    pair = [acknowledgement(number, flags=ACK | ECE) for number in (7, 8)]
    (one,), _ = decode([data for segment in pair for data in CODEC.encode(segment, 1440)])
    assert one == acknowledgement(8, flags=ACK | ECE, packet_number=7, count=2)


# Other checks than the CRC


def swapped(datagram: bytes) -> bytes:
    """Two 16-bit words of the payload, the other way round."""
    return datagram[:40] + datagram[42:44] + datagram[40:42] + datagram[44:]


@pytest.mark.rdt("3.3-2", "3.3-4")
@pytest.mark.rfc("1071", "1")
def test_the_sum_misses_two_swapped_words_and_the_crc_does_not() -> None:
    segment = Segment(1, 2, ACK, 100, payload=b"abcdef")
    summing = RdtCodec("internet")
    (back,), _ = decode([swapped(summing.encode(segment, 1440)[0])], summing)
    assert back.payload == b"cdabef"
    assert decode([swapped(CODEC.encode(segment, 1440)[0])]) == ([], Counter({"checksum": 1}))


@pytest.mark.rdt("3.3-4")
@pytest.mark.rfc("1071", "1")
@given(segments())
def test_the_sum_finds_a_flipped_bit(segment: Segment) -> None:
    summing = RdtCodec("internet")
    datagram = summing.encode(segment, 1440)[0]
    for at in (16, 36, 37, 38, 39, *range(40, len(datagram))):
        broken = datagram[:at] + bytes((datagram[at] ^ 4,)) + datagram[at + 1 :]
        assert decode([broken], summing) == ([], Counter({"checksum": 1}))


@pytest.mark.rdt("3.3-4")
def test_without_a_check_damage_passes() -> None:
    blind = RdtCodec("none")
    (datagram,) = blind.encode(Segment(1, 2, ACK, 100, payload=b"abc"), 1440)
    assert datagram[36:40] == bytes(4)
    (back,), _ = decode([datagram[:36] + b"1234ab\xff"], blind)
    assert back.payload == b"ab\xff"


@pytest.mark.rdt("3.3-4")
@pytest.mark.parametrize("checksum", ["crc32", "internet", "none"])
@given(segment=segments())
def test_a_segment_comes_back_with_each_check(checksum: str, segment: Segment) -> None:
    codec = RdtCodec(checksum)
    segment.count = codec.count(segment, 400)
    assert decode(codec.encode(segment, 400), codec) == ([segment], Counter())


@pytest.mark.rdt("3.3-4")
def test_ends_that_do_not_agree_hear_nothing_of_each_other() -> None:
    segment = Segment(1, 2, ACK, 100, payload=b"abc")
    for ours, theirs in (("crc32", "internet"), ("internet", "crc32"), ("none", "crc32"), ("none", "internet")):
        assert decode(RdtCodec(ours).encode(segment, 1440), RdtCodec(theirs)) == ([], Counter({"checksum": 1}))


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(ConfigError, match="checksum: 'md5' is not one of crc32, internet, none"):
        RdtCodec("md5")


# Damage


@settings(max_examples=300)
@given(st.sampled_from(["crc32", "none"]), st.data())
def test_damaged_datagrams_never_raise(checksum: str, draw: st.DataObject) -> None:
    """With a check that fits the damage, too: then nothing stands between it and the parser."""
    codec = RdtCodec(checksum)
    datagrams = [bytearray(d) for _ in range(3) for d in codec.encode(draw.draw(segments()), 400)]
    for _ in range(draw.draw(st.integers(1, 6))):
        datagram = datagrams[draw.draw(st.integers(0, len(datagrams) - 1))]
        datagram[draw.draw(st.integers(0, min(len(datagram) - 1, 80)))] = draw.draw(st.integers(0, 255))
    mended = [with_crc(bytes(datagram)) for datagram in datagrams]
    back, reasons = decode(mended, codec)
    assert sum(segment.count for segment in back) + reasons.total() == len(mended)
