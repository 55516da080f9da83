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
    Flags,
    Mss,
    Options,
    Pad,
    Sack,
    Seen,
    UnknownOption,
    decode_options,
    encode_options,
    parse_options,
)

U32 = st.integers(0, 2**32 - 1)
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
        "ACK": 0x10,
        "ECE": 0x40,
        "CWR": 0x80,
        "EOR": 0x100,
        "DGM": 0x200,
    }
    assert (rdt.FIN, rdt.SYN, rdt.RST, rdt.ACK, rdt.ECE, rdt.CWR, rdt.EOR, rdt.DGM) == (1, 2, 4, 16, 64, 128, 256, 512)


def test_known_datagram() -> None:
    packet = RDT(sport=1, dport=2, flags=Flags.SYN, packet_number=7, window=100, options=[Mss(1200)]) / b"hi"
    before = bytes.fromhex("01 0b 0002 0001 0002 0002 000000000007 0000000000000000 0000000000000000 00000064")
    after = bytes.fromhex("030404b0") + b"hi"
    assert bytes(packet) == before + struct.pack(">I", zlib.crc32(before + after)) + after


def test_the_crc_sees_every_byte() -> None:
    data = bytes(RDT(sport=1, options=[Mss(9)]) / b"payload")
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 0x40
        parsed = Packet.parse(broken, LinkType.USER0)
        bad = parsed.checksums["RDT"]
        # a longer payload length or header leaves too few bytes to tell
        assert bad == "bad" or (at in (1, 8, 9) and bad in ("bad", "unverifiable")), at


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


def test_known_options() -> None:
    data = encode_options(sack=((0, 5), (9, 12)), seen=(1 << 40 | 3, 77), mss=1200, cookie=b"abc")
    assert data == bytes.fromhex(
        "020c 010000000003 0000004d 0112 00000000 00000005 00000009 0000000c 0304 04b0 0405 616263 00"
    )
    assert decode_options(data) == Options(((0, 5), (9, 12)), (1 << 40 | 3, 77), 1200, b"abc", "")


@given(
    SACKS,
    st.none() | st.tuples(st.integers(0, 2**48 - 1), U32),
    st.none() | st.integers(0, 65535),
    st.binary(max_size=253),
)
def test_options_come_back(sack: Any, seen: Any, mss: Any, cookie: bytes) -> None:
    data = encode_options(sack, seen, mss, cookie)
    assert len(data) % 4 == 0
    assert decode_options(data) == Options(sack, seen, mss, cookie, "")
    assert decode_options(memoryview(data)) == decode_options(data)


def test_no_options_are_no_bytes() -> None:
    assert encode_options() == b""
    assert decode_options(b"") is NO_OPTIONS


@given(st.binary(max_size=100))
def test_decoding_never_raises(data: bytes) -> None:
    assert decode_options(data).error in ("", "option length", "sack order", "option rejected")
    parse_options(data)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("01", "option length"),
        ("0100", "option length"),
        ("0101", "option length"),
        ("0102", "option length"),  # a SACK without ranges
        ("010b 0000000100000002 00", "option length"),
        ("020b 000000000000000000", "option length"),
        ("0303 01", "option length"),
        ("0305 010203", "option length"),
        ("0305 0102", "option length"),
        ("040a 00", "option length"),
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
        st.builds(Cookie, st.binary(min_size=1, max_size=60)),
        st.builds(UnknownOption, st.integers(5, 255), st.binary(max_size=20)),
    ),
    max_size=3,
)


@given(OPTIONS)
def test_option_objects_come_back(options: list[Any]) -> None:
    header = RDT(options=options)
    assert header.parsed_options == tuple(options)
    assert RDT.decode(bytes(header), 0, 2000).options.startswith(header.options)


def test_options_longer_than_the_header_can_be() -> None:
    with pytest.raises(WireError, match="RDT options: 981 bytes, at most 980"):
        RDT(options=bytes(981))
    assert RDT.decode(bytes(RDT(options=bytes(980))), 0, 1020).header_length == 255
