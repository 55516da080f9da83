from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import WireError
from rawproto.wire import rdt
from rawproto.wire.frame import LinkType
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import (
    FIXED,
    NO_OPTIONS,
    RDT,
    Cookie,
    Dsack,
    Flags,
    Mss,
    Options,
    Pad,
    Probe,
    Probed,
    Record,
    Sack,
    Seen,
    UnknownOption,
    decode_options,
    encode_options,
    parse_options,
)

U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
SACKS = st.lists(U32, max_size=62, unique=True).map(
    lambda edges: tuple(zip(sorted(edges)[: len(edges) // 2 * 2 : 2], sorted(edges)[1::2], strict=True))
)


def test_the_table_is_the_layout_that_the_engine_uses() -> None:
    header = RDT(
        version=0x11,
        header_length=0x22,
        flags=0x3344,
        sport=0x5566,
        dport=0x7788,
        payload_length=0x99AA,
        packet_number=0xBBCCDDEEFF01,
        seq=0x0203040506070809,
        ack=0x0A0B0C0D0E0F1011,
        window=0x12131415,
        crc=0x16171819,
    )
    assert bytes(header) == FIXED.pack(
        0x11,
        0x22,
        0x3344,
        0x5566,
        0x7788,
        0x99AABBCCDDEEFF01,
        0x0203040506070809,
        0x0A0B0C0D0E0F1011,
        0x12131415,
        0x16171819,
    )
    assert FIXED.size == rdt.HEADER_LENGTH == RDT.SIZE == 40


def test_flag_values() -> None:
    assert {flag.name: flag.value for flag in Flags} == {
        "FIN": 1,
        "SYN": 2,
        "RST": 4,
        "PSH": 8,
        "ACK": 0x10,
        "ECE": 0x40,
        "CWR": 0x80,
        "EOR": 0x100,
        "DGM": 0x200,
    }
    assert (rdt.FIN, rdt.SYN, rdt.RST, rdt.PSH, rdt.ACK) == (1, 2, 4, 8, 16)
    assert (rdt.ECE, rdt.CWR, rdt.EOR, rdt.DGM) == (64, 128, 256, 512)


@pytest.mark.rdt("3.2-1", "3.2-2", "3.3-1")
def test_known_datagram() -> None:
    packet = RDT(sport=1, dport=2, flags=Flags.SYN, packet_number=7, window=100, options=[Mss(1200)]) / b"hi"
    before = bytes.fromhex("01 0b 0002 0001 0002 0002 000000000007 0000000000000000 0000000000000000 00000064")
    after = bytes.fromhex("030404b0") + b"hi"
    assert bytes(packet) == before + struct.pack(">I", zlib.crc32(before + after)) + after


@pytest.mark.rdt("3.3-1")
def test_the_crc_sees_every_byte() -> None:
    data = bytes(RDT(sport=1, options=[Mss(9)]) / b"payload")
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 0x40
        parsed = Packet.parse(broken, LinkType.USER0)
        bad = parsed.checksums["RDT"]
        # a longer payload length or header leaves too few bytes to tell
        assert bad == "bad" or (at in (1, 8, 9) and bad in ("bad", "unverifiable")), at


@pytest.mark.rdt("3.2-2", "3.3-1")
@pytest.mark.parametrize("name", ["header_length", "payload_length", "crc"])
def test_none_is_computed_and_zero_is_sent(name: str) -> None:
    blank = RDT() / b"abc"
    assert (
        Packet.parse(bytes(blank), LinkType.USER0)[RDT].raw(name)
        == {
            "header_length": 10,
            "payload_length": 3,
            "crc": blank.computed()[RDT].crc,
        }[name]
    )
    assert blank.computed()[RDT].crc != 0
    given_zero: Any = {name: 0}
    zero = RDT.decode(bytes(RDT(**given_zero) / b"abc"), 0, 43)
    assert zero.raw(name) == 0


# Options


@pytest.mark.rdt("3.5-1")
def test_known_options() -> None:
    data = encode_options(sack=((0, 5), (9, 12)), seen=(1 << 40 | 3, 77), mss=1200, cookie=b"abc")
    assert data == bytes.fromhex(
        "020c 010000000003 0000004d 0112 00000000 00000005 00000009 0000000c 0304 04b0 0405 616263 00"
    )
    assert decode_options(data) == Options(((0, 5), (9, 12)), (1 << 40 | 3, 77), 1200, b"abc")


@pytest.mark.rdt("3.5-1")
def test_known_options_of_the_second_half() -> None:
    data = encode_options(dsack=(0x0102030405060708, 0x090A0B0C), probe=1500, probed=1400, record=1 << 20)
    assert data == bytes.fromhex("050e 0102030405060708 090a0b0c 0604 05dc 0704 0578 0806 00100000")
    assert decode_options(data) == Options(
        dsack=(0x0102030405060708, 0x090A0B0C), probe=1500, probed=1400, record=1 << 20
    )


ALL_OPTIONS = st.builds(
    Options,
    sack=SACKS,
    seen=st.none() | st.tuples(st.integers(0, 2**48 - 1), U32),
    mss=st.none() | U16,
    cookie=st.binary(max_size=253),
    dsack=st.none() | st.tuples(U64, U32),
    probe=U16,
    probed=U16,
    record=st.none() | U32,
    error=st.just(""),
)


@pytest.mark.rdt("3.5-1")
@given(ALL_OPTIONS)
def test_options_come_back(options: Options) -> None:
    data = encode_options(*options[:-1])
    assert len(data) % 4 == 0
    assert decode_options(data) == options
    assert decode_options(memoryview(data)) == options


@pytest.mark.rdt("3.5-5")
@pytest.mark.parametrize(
    ("option", "again"),
    [
        ({"seen": (1, 2)}, {"seen": (3, 4)}),
        ({"mss": 1}, {"mss": 2}),
        ({"cookie": b"a"}, {"cookie": b"b"}),
        ({"dsack": (1, 2)}, {"dsack": (3, 4)}),
        ({"probe": 1}, {"probe": 2}),
        ({"probed": 1}, {"probed": 2}),
        ({"record": 1}, {"record": 2}),
    ],
)
def test_of_an_option_that_comes_twice_the_last_counts(option: dict[str, Any], again: dict[str, Any]) -> None:
    assert decode_options(encode_options(**option) + encode_options(**again)) == Options(**again)


@pytest.mark.rdt("3.5-5")
def test_several_sack_options_are_one_list() -> None:
    both = encode_options(sack=((1, 2),)) + encode_options(sack=((2, 3), (5, 6)))
    assert decode_options(both) == Options(sack=((1, 2), (2, 3), (5, 6)))


def test_no_options_are_no_bytes() -> None:
    assert encode_options() == b""
    assert decode_options(b"") is NO_OPTIONS


@given(st.binary(max_size=100))
def test_decoding_never_raises(data: bytes) -> None:
    assert decode_options(data).error in ("", "option length", "sack order", "option rejected")
    parse_options(data)


@pytest.mark.rdt("3.5-2", "3.5-4", "3.5-5", "3.5-8")
@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("01", "option length"),
        ("0100", "option length"),
        ("0101", "option length"),
        ("0102", "option length"),  # a SACK without ranges
        ("010b 0000000100000002 00", "option length"),
        ("020b 000000000000000000", "option length"),
        ("0208 0000 00000000 0304 04b0", "option length"),
        ("0303 01", "option length"),
        ("0305 010203", "option length"),
        ("0305 0102", "option length"),
        ("040a 00", "option length"),
        ("050d 0000000000000000 000000 00", "option length"),
        ("050f 0000000000000000 00000000 00", "option length"),
        ("0603 01", "option length"),
        ("0705 010203", "option length"),
        ("0804 0102", "option length"),
        ("0807 0102030405 00", "option length"),
        ("7f05 00", "option length"),
        ("010a 00000002 00000002", "sack order"),
        ("010a 00000003 00000002", "sack order"),
        ("0112 00000001 00000003 00000002 00000004", "sack order"),
        ("010a 00000005 00000006 010a 00000001 00000002", "sack order"),
        ("8002", "option rejected"),
        ("ff03 00", "option rejected"),
    ],
)
def test_malformed_options(data: str, error: str) -> None:
    assert decode_options(bytes.fromhex(data)).error == error
    problems = Packet.parse(bytes(RDT(options=bytes.fromhex(data)) / b""), LinkType.USER0).problems
    assert [(problem.rule, problem.offset, problem.text) for problem in problems] == [("option", 40, error)] or (
        # padding may complete an option that was cut
        len(bytes.fromhex(data)) % 4
    )


@pytest.mark.rdt("3.5-2")
@pytest.mark.parametrize("kind", range(1, 9))
def test_the_lengths_of_each_option(kind: int) -> None:
    fits = {1: range(10, 251, 8), 2: [12], 3: [4], 4: range(2, 256), 5: [14], 6: [4], 7: [4], 8: [6]}[kind]
    errors = {length: decode_options(bytes((kind, length)) + bytes(length - 2)).error for length in range(2, 256)}
    assert [length for length, error in errors.items() if error != "option length"] == list(fits)


@pytest.mark.rdt("3.5-1", "3.5-3")
def test_unknown_options_without_the_top_bit_are_skipped() -> None:
    assert decode_options(bytes.fromhex("7f04aaaa 0304 04b0")) == Options(mss=1200)
    assert parse_options(bytes.fromhex("7f04aaaa 00 0304 04b0")) == (UnknownOption(0x7F, b"\xaa\xaa"), Pad(), Mss(1200))


def test_what_precedes_an_error_is_kept() -> None:
    assert decode_options(bytes.fromhex("030404b0 8002")) == Options(mss=1200, error="option rejected")


@pytest.mark.parametrize(
    "wrong",
    [
        {"sack": ((0, 2**32),)},
        {"sack": ((-1, 2),)},
        {"sack": tuple((2 * n, 2 * n + 1) for n in range(32))},
        {"seen": (2**48, 0)},
        {"seen": (0, 2**32)},
        {"seen": (-1, 0)},
        {"mss": 65536},
        {"mss": -1},
        {"cookie": bytes(254)},
        {"dsack": (2**64, 1)},
        {"dsack": (-1, 1)},
        {"dsack": (0, 2**32)},
        {"dsack": (0, -1)},
        {"probe": 65536},
        {"probe": -1},
        {"probed": 65536},
        {"record": 2**32},
        {"record": -1},
    ],
)
def test_encoding_refuses_what_does_not_fit(wrong: Any) -> None:
    with pytest.raises(WireError, match=f"RDT option {next(iter(wrong)).upper()}"):
        encode_options(**wrong)


OPTIONS = st.lists(
    st.one_of(
        SACKS.filter(bool).map(Sack),
        st.builds(Seen, st.integers(0, 2**48 - 1), U32),
        st.builds(Mss, st.integers(0, 65535)),
        st.builds(Cookie, st.binary(max_size=60)),
        st.builds(Dsack, U64, U32),
        st.builds(Probe, U16),
        st.builds(Probed, U16),
        st.builds(Record, U32),
        st.builds(UnknownOption, st.integers(9, 255), st.binary(max_size=20)),
    ),
    max_size=3,
)


@given(OPTIONS)
def test_option_objects_come_back(options: list[Any]) -> None:
    header = RDT(options=options)
    assert header.parsed_options == tuple(options)
    assert RDT.decode(bytes(header), 0, 2000).options.startswith(header.options)


def test_explain_has_a_row_for_each_option() -> None:
    options: list[Any] = [Dsack(100, 20), Probe(1500), Probed(1400), Record(65536), Cookie(b"ab")]
    rows = RDT(options=options).tail_rows()
    assert [(row.name, row.value) for row in rows[:5]] == [(type(o).__name__, repr(o)) for o in options]


@pytest.mark.parametrize("data", ["0603 01", "0705 010203", "0504 0000", "0803 00", "0203 00", "0103 00"])
def test_an_option_of_a_wrong_length_is_shown_as_unknown(data: str) -> None:
    raw = bytes.fromhex(data)
    assert parse_options(raw) == (UnknownOption(raw[0], raw[2:]),)


def test_explain_has_one_row_for_all_behind_a_broken_option() -> None:
    mss, broken = RDT(options=bytes(Mss(9)) + b"\x03\0" + bytes(300)).tail_rows()
    assert (mss.value, broken.name, broken.length) == ("Mss(mss=9)", "UnknownOption", 302)
    assert broken.value == "length 0 with 302 bytes left"


def test_options_longer_than_the_header_can_be() -> None:
    with pytest.raises(WireError, match="RDT options: 981 bytes, at most 980"):
        RDT(options=bytes(981))
    assert RDT.decode(bytes(RDT(options=bytes(980))), 0, 1020).header_length == 255
