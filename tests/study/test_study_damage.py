"""Damage to a stream is named for what it is: any stream, any place, and exactly the guarantee that it breaks."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rawproto.link.forgery import FORGED_DATA
from rawproto.sim.applications import content
from rawproto.study.damage import WINDOW, find_damage

OTHER = content(99, "server", 3, 400)
"""Another connection's stream."""


@st.composite
def streams(draw: st.DrawFn, least: int = 65) -> bytes:
    """What an application of a scenario sends, long or short."""
    size = draw(st.one_of(st.integers(least, 256), st.integers(least, 3000)))
    return content(draw(st.integers(0, 50)), "client", draw(st.integers(0, 2)), size)


@st.composite
def cuts(draw: st.DrawFn, stream: bytes, count: int, apart: int = WINDOW) -> list[int]:
    """`count` places in `stream`, in order, so many octets apart."""
    room = len(stream) - apart * (count - 1)
    assume(room >= 0)
    places = sorted(draw(st.integers(0, room)) for _ in range(count))
    return [place + number * apart for number, place in enumerate(places)]


def named(sent: bytes, got: bytes, *earlier: bytes) -> set[str]:
    return {damage.guarantee for damage in find_damage(sent, got, earlier)}


# -- one kind of damage ------------------------------------------------------------------------------------------------


@given(data=st.data(), stream=streams(1))
def test_a_prefix_is_no_damage(data: st.DataObject, stream: bytes) -> None:
    assert find_damage(stream, stream[: data.draw(st.integers(0, len(stream)))]) == []


@given(data=st.data(), stream=streams())
def test_bits_that_flip_are_damage_to_integrity(data: st.DataObject, stream: bytes) -> None:
    got = bytearray(stream)
    for place in data.draw(st.lists(st.integers(0, len(stream) - 1), min_size=1, max_size=4, unique=True)):
        got[place] ^= 1 << data.draw(st.integers(0, 7))
    assert named(stream, bytes(got)) == {"integrity"}


@given(data=st.data(), stream=streams())
def test_words_that_are_swapped_are_damage_to_integrity(data: st.DataObject, stream: bytes) -> None:
    one, other = data.draw(cuts(stream[:-2], 2, 6))
    got = bytearray(stream)
    got[one : one + 2], got[other : other + 2] = stream[other : other + 2], stream[one : one + 2]
    assume(got != stream)
    assert named(stream, bytes(got)) == {"integrity"}


@given(data=st.data(), stream=streams())
def test_blocks_that_change_places_are_damage_to_order(data: st.DataObject, stream: bytes) -> None:
    a, b, c = data.draw(cuts(stream[:-WINDOW], 3))
    assume(stream[b - 1 : b] != stream[c - 1 : c])  # or that octet may as well be the other block's
    assert named(stream, stream[:a] + stream[b:c] + stream[a:b] + stream[c:]) == {"order"}


@given(data=st.data(), stream=streams())
def test_a_block_that_comes_late_is_damage_to_order(data: st.DataObject, stream: bytes) -> None:
    a, b = data.draw(cuts(stream[:-WINDOW], 2))
    assert named(stream, stream[:a] + stream[b:] + stream[a:b]) == {"order"}


@given(data=st.data(), stream=streams())
def test_a_block_that_comes_again_is_a_duplicate(data: st.DataObject, stream: bytes) -> None:
    a, b = data.draw(cuts(stream, 2))
    assert named(stream, stream[:b] + stream[a:b] + stream[b:]) == {"no_duplication"}


@given(data=st.data(), stream=streams())
def test_a_block_that_comes_again_much_later_is_a_duplicate(data: st.DataObject, stream: bytes) -> None:
    a, b = data.draw(cuts(stream, 2))
    assert named(stream, stream + stream[a:b]) == {"no_duplication"}


@given(data=st.data(), stream=streams())
def test_octets_of_nobody_are_a_creation(data: st.DataObject, stream: bytes) -> None:
    at = data.draw(st.integers(0, len(stream)))
    assume(not stream[:at].endswith(FORGED_DATA[-1:]))  # or that octet may as well be the stream's, once more
    assert named(stream, stream[:at] + FORGED_DATA + stream[at:], OTHER) == {"no_creation"}


@given(data=st.data(), stream=streams())
def test_octets_of_another_connection_are_not_fresh(data: st.DataObject, stream: bytes) -> None:
    at = data.draw(st.integers(0, len(stream)))
    start = data.draw(st.integers(256, len(OTHER) - 20))
    old = OTHER[start : start + 20]
    assume(not stream[:at].endswith(old[-1:]))
    assert named(stream, stream[:at] + old + stream[at:], OTHER) == {"freshness"}


@given(data=st.data(), stream=streams())
def test_a_hole_is_something_missing(data: st.DataObject, stream: bytes) -> None:
    a, b = data.draw(cuts(stream[:-WINDOW], 2, 1))
    damages = find_damage(stream, stream[:a] + stream[b:])
    assert {damage.guarantee for damage in damages} == {"complete"}
    assert sum(damage.length for damage in damages) == b - a


def test_data_that_repeats_itself_and_arrives_is_no_damage() -> None:
    stream = b"abcd" * 500
    assert find_damage(stream, stream) == []


# -- several at once ---------------------------------------------------------------------------------------------------


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 0x20,)) + data[at + 1 :]


STREAM = content(1, "client", 0, 1000)


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        (flip(STREAM[:300] + STREAM[200:], 50), {"integrity", "no_duplication"}),
        (STREAM[:100] + STREAM[200:300] + STREAM[100:200] + STREAM[300:400] + FORGED_DATA, {"order", "no_creation"}),
        (STREAM[:100] + OTHER[300:340] + STREAM[100:200] + STREAM[300:], {"freshness", "complete"}),
        (STREAM[:500] + STREAM[400:500] + STREAM[600:], {"no_duplication", "complete"}),
        (flip(STREAM, 20) + FORGED_DATA, {"integrity", "no_creation"}),
    ],
)
def test_each_damage_of_several_is_named(got: bytes, wanted: set[str]) -> None:
    assert named(STREAM, got, OTHER) == wanted


# -- where, and how much -----------------------------------------------------------------------------------------------


def test_flips_are_told_with_their_places() -> None:
    (damage,) = find_damage(STREAM, flip(STREAM, 700))
    assert (damage.offset, damage.length, damage.text) == (700, 1, "1 of octets 700:701 were changed")


def test_a_duplicate_is_told_with_its_place_in_what_was_read() -> None:
    (damage,) = find_damage(STREAM, STREAM[:300] + STREAM[200:])
    assert (damage.offset, damage.length, damage.text) == (300, 100, "octets 200:300 came once more")


def test_what_comes_late_is_told_with_its_place_in_what_was_read() -> None:
    (damage,) = find_damage(STREAM, STREAM[:100] + STREAM[200:300] + STREAM[100:200] + STREAM[300:])
    assert (damage.offset, damage.text) == (200, "octets 100:200 came after octets that were sent later")


def test_a_hole_is_told_with_its_place_in_what_was_sent() -> None:
    (damage,) = find_damage(STREAM, STREAM[:100] + STREAM[130:])
    assert (damage.length, damage.text) == (30, "octets 100:130 were left out")


def test_foreign_octets_in_place_of_ours_are_a_creation_and_ours_are_missing() -> None:
    got = STREAM[:300] + FORGED_DATA + STREAM[300 + len(FORGED_DATA) :]
    assert named(STREAM, got) == {"no_creation", "complete"}


def test_an_octet_of_foreign_ones_that_fits_by_chance_is_foreign_too() -> None:
    forged = FORGED_DATA[:7] + STREAM[307:308] + FORGED_DATA[8:]
    (damage,) = find_damage(STREAM, STREAM[:300] + forged + STREAM[300:])
    assert (damage.guarantee, damage.offset, damage.length) == ("no_creation", 300, len(forged))


def test_flips_with_whole_octets_between_them_are_one_damage() -> None:
    (damage,) = find_damage(STREAM, flip(flip(STREAM, 700), 704))
    assert damage.text == "2 of octets 700:705 were changed"


def test_what_nobody_sent_is_told_with_its_length() -> None:
    (damage,) = find_damage(STREAM, STREAM[:100] + FORGED_DATA + STREAM[100:])
    assert (damage.offset, damage.length) == (100, len(FORGED_DATA))


def test_less_than_a_window_of_an_old_stream_proves_nothing() -> None:
    got = STREAM[:300] + OTHER[300 : 300 + WINDOW - 1] + STREAM[300:]
    assert named(STREAM, got, OTHER) == {"no_creation"}
    assert named(STREAM, STREAM[:300] + OTHER[300 : 300 + WINDOW] + STREAM[300:], OTHER) == {"freshness"}


def test_of_a_stream_of_a_few_octets_one_is_enough_to_know_its_place() -> None:
    stream = content(1, "client", 0, 20)
    assert named(stream, stream[:5] + stream[10:15] + stream[5:10] + stream[15:]) == {"order"}
    assert named(stream, stream[:5] + stream[4:]) == {"no_duplication"}
    assert named(stream, stream[:5] + stream[6:]) == {"complete"}
