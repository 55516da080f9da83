from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import WireError
from rawproto.wire.checksum import internet_checksum, patch, pseudo_header, verify


def by_the_book(data: bytes) -> int:
    """RFC 1071 §4.1, word by word."""
    data += b"\0" * (len(data) & 1)
    total = 0
    for at in range(0, len(data), 2):
        total += data[at] << 8 | data[at + 1]
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def test_known_ipv4_header() -> None:
    assert internet_checksum(bytes.fromhex("45000073000040004011 0000 c0a80001c0a800c7")) == 0xB861


def test_rfc_1071_example() -> None:
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2 ^ 0xFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0xFFFF), (b"\0", 0xFFFF), (bytes(7), 0xFFFF), (b"\xff\xff", 0), (b"\xff\xff" * 3, 0), (b"\xff", 0x00FF)],
)
def test_the_two_zeros(data: bytes, expected: int) -> None:
    assert internet_checksum(data) == expected == by_the_book(data)


@given(st.lists(st.binary(max_size=9), max_size=6))
def test_parts_of_odd_length_are_one_string(parts: list[bytes]) -> None:
    assert internet_checksum(*parts) == by_the_book(b"".join(parts))


@given(st.binary(min_size=4, max_size=60).filter(any))
def test_a_filled_in_checksum_verifies_and_a_flipped_bit_does_not(data: bytes) -> None:
    blank = b"\0\0" + data
    good = patch(blank, 0, internet_checksum(blank))
    assert verify(good)
    assert not verify(patch(good, 2, int.from_bytes(good[2:4]) ^ 1))


def test_zeros_do_not_verify() -> None:
    assert not verify(bytes(20))


def test_views_and_bytearrays_are_taken() -> None:
    assert internet_checksum(memoryview(b"\1\2"), bytearray(b"\3\4")) == by_the_book(b"\1\2\3\4")
    assert internet_checksum(memoryview(b"\1\2\3")) == by_the_book(b"\1\2\3")


def test_pseudo_headers() -> None:
    assert pseudo_header(b"\1\2\3\4", b"\5\6\7\x08", 6, 20) == bytes.fromhex("01020304 05060708 00 06 0014")
    assert pseudo_header(bytes(15) + b"\1", bytes(15) + b"\2", 58, 70000) == (
        bytes(15) + b"\1" + bytes(15) + b"\2" + bytes.fromhex("00011170 000000 3a")
    )


@pytest.mark.parametrize(
    ("src", "dst", "length"), [(b"1234", bytes(16), 1), (b"123", b"123", 1), (b"1234", b"1234", 65536)]
)
def test_pseudo_header_refuses(src: bytes, dst: bytes, length: int) -> None:
    with pytest.raises(WireError, match="pseudo header"):
        pseudo_header(src, dst, 6, length)
