"""Reassembly, the window that is offered, and the end of the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport.config import Config
from rawproto.transport.receiver import Receiver

STREAM = bytes(range(256)) * 2


def receiver(size: int = 1 << 16, max_ranges: int = 1024) -> Receiver:
    fresh = Receiver(Config(receive_buffer=size, max_ranges=max_ranges))
    fresh.start(99)
    fresh.window()
    return fresh


PIECES = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 60)), max_size=40)


@pytest.mark.rfc("9293", "SHLD-31")
@given(PIECES, st.randoms(use_true_random=False))
def test_any_order_and_overlap_gives_the_stream(pieces: list[tuple[int, int]], rng: object) -> None:
    r = receiver()
    whole = [*pieces, *((at, 32) for at in range(0, len(STREAM), 32))]
    rng.shuffle(whole)  # type: ignore[attr-defined]
    for at, length in whole:
        r.accept(100 + at, STREAM[at : at + length])
    assert r.read(10_000) == STREAM
    assert (r.rcv_nxt, r.held.total, len(r._held)) == (100 + len(STREAM), 0, 0)


@pytest.mark.rdt("7.3-4")
@given(PIECES)
def test_what_is_held_is_never_dropped(pieces: list[tuple[int, int]]) -> None:
    r = receiver()
    promised: set[int] = set()
    for at, length in pieces:
        r.accept(100 + at, STREAM[at : at + length])
        held = {number for start, end in r.held for number in range(start, end)}
        assert all(number in held or number < r.rcv_nxt for number in promised)
        promised |= held


@pytest.mark.rdt("8.1-2")
@pytest.mark.rfc("9293", "SHLD-14")
@given(st.lists(st.tuples(st.sampled_from(["in", "read", "offer", "early"]), st.integers(1, 300)), max_size=40))
def test_the_right_edge_of_the_window_never_moves_back(events: list[tuple[str, int]]) -> None:
    r = receiver(size=1000)
    edge = 0
    for name, amount in events:
        if name == "in":
            r.accept(r.rcv_nxt, bytes(amount))
        elif name == "early":
            r.accept(r.rcv_nxt + amount, bytes(10))
        elif name == "read":
            r.read(amount)
        else:
            assert r.rcv_nxt + r.window() >= edge
            edge = r.rcv_nxt + r.window()
        assert r.ready + r.held.total <= 1000
        assert r.rcv_nxt <= r.rcv_adv


@pytest.mark.rdt("8.1-1")
def test_the_window_is_what_is_left_of_the_buffer() -> None:
    r = receiver(size=1000)
    assert r.window() == 1000
    assert r.accept(100, bytes(600)) == "in order"
    assert r.window() == 400
    r.read(600)
    assert r.window() == 1000


def test_data_beyond_the_window_is_refused() -> None:
    r = receiver(size=100)
    assert r.accept(100, bytes(150)) == "in order"
    assert (r.ready, r.refused_octets) == (100, 50)
    assert r.accept(200, b"x") == "beyond the window"


def test_outcomes_are_told() -> None:
    r = receiver()
    assert r.accept(110, bytes(10)) == "out of order"
    assert r.accept(112, bytes(5)) == "duplicate"
    assert r.accept(100, bytes(12)) == "fills a gap"
    assert r.accept(100, bytes(20)) == "duplicate"
    assert r.duplicate_octets == 5 + 2 + 20


@pytest.mark.rdt("7.3-6")
def test_the_number_of_ranges_is_capped() -> None:
    r = receiver(max_ranges=3)
    outcomes = [r.accept(100 + at, b"x") for at in (2, 4, 6, 8)]
    assert outcomes == ["out of order"] * 3 + ["too many ranges"]
    assert r.accept(100, bytes(3)) == "fills a gap"  # progress is always possible
    assert r.rcv_nxt == 103


def test_the_number_of_pieces_is_capped_even_if_they_touch() -> None:
    r = receiver(max_ranges=4)
    for at in range(1000):
        r.accept(102 + at, b"x")
    assert len(r._held) <= 4 * 16
    assert len(r.held) == 1


def test_small_segments_do_not_become_many_blocks() -> None:
    r = receiver()
    for at in range(20_000):
        r.accept(100 + at, b"%d" % (at % 10))
    assert len(r._ready) < 20
    assert r.read(5) + r.read(100_000) == b"0123456789" * 2000


def test_reading_by_pieces_gives_all() -> None:
    r = receiver()
    r.accept(100, STREAM)
    out = b""
    while piece := r.read(7):
        out += piece
    assert out == STREAM
    assert (r.ready, r.read(0), r.read(-1)) == (0, b"", b"")


def test_a_fin_in_order_ends_the_stream() -> None:
    r = receiver()
    r.accept(100, b"end")
    assert not r.at_end
    assert r.accept_fin(103)
    assert r.at_end
    assert r.rcv_nxt == 104


def test_a_fin_before_a_gap_waits_until_it_is_filled() -> None:
    r = receiver()
    assert not r.accept_fin(103)
    assert not r.at_end
    r.accept(100, b"end")
    assert not r.at_end
    assert r.accept_fin(103)
    assert r.at_end


@pytest.mark.rdt("6.3-2")
def test_no_octet_behind_the_fin_is_taken() -> None:
    r = receiver()
    r.accept_fin(103)
    r.accept(100, b"end and more")
    assert r.accept_fin(103)
    assert (r.read(100), r.rcv_nxt) == (b"end", 104)


def test_a_fin_before_octets_that_have_come_is_not_noted() -> None:
    r = receiver()
    r.accept(110, b"early")
    assert not r.accept_fin(105)
    assert r.fin is None


@pytest.mark.rdt("5.6-2")
def test_a_fin_is_taken_in_a_full_window() -> None:
    r = receiver(size=3)
    r.accept(100, b"end")
    assert r.window() == 0
    assert r.accept_fin(103)
    assert r.window() == 0


@pytest.mark.rdt("8.2-1")
def test_an_update_is_due_when_the_window_opens_by_a_segment() -> None:
    r = receiver(size=10_000)
    r.accept(100, bytes(10_000))
    r.window()
    r.read(1000)
    assert not r.update_due(1440)
    r.read(440)
    assert r.update_due(1440)


@pytest.mark.rdt("8.2-1")
def test_an_update_is_due_for_half_of_a_small_buffer() -> None:
    r = receiver(size=100)
    r.accept(100, bytes(100))
    r.window()
    r.read(49)
    assert not r.update_due(1440)
    r.read(1)
    assert r.update_due(1440)


@pytest.mark.rdt("8.2-2")
def test_a_fast_reader_does_not_answer_every_read() -> None:
    r = receiver(size=100_000)
    r.accept(100, bytes(20_000))
    r.window()
    r.read(20_000)
    assert not r.update_due(1440)
