"""The bad wire: each fault as often as asked, counted when it strikes, and none shifting another's choices."""

from __future__ import annotations

import errno
import math
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import ConfigError, LinkError
from rawproto.link.base import Link
from rawproto.link.chance import derive_rng
from rawproto.link.impair import ImpairedLink
from rawproto.link.impairment import DAMAGES, Impairment
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.ipv4 import IPv4

SEED = 7


class Sink(Link):
    """Keeps what is sent, call by call."""

    def __init__(self, linktype: LinkType = LinkType.ETHERNET) -> None:
        self.linktype = linktype
        self.mtu = 1500
        self.calls: list[tuple[int, list[bytes], str]] = []

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        self.calls.append((now, list(frames), peer))

    def receive(self, now: int) -> list[Frame]:
        return []

    @property
    def arrivals(self) -> list[tuple[int, bytes]]:
        return [(now, frame) for now, frames, _ in self.calls for frame in frames]

    @property
    def frames(self) -> list[bytes]:
        return [frame for _, frame in self.arrivals]


def impaired(seed: int = SEED, linktype: LinkType = LinkType.ETHERNET, **options: Any) -> tuple[ImpairedLink, Sink]:
    sink = Sink(linktype)
    return ImpairedLink(sink, Impairment(**options), partial(derive_rng, seed)), sink


def numbered(count: int, length: int = 60) -> list[bytes]:
    return [n.to_bytes(14).ljust(length, b"\0") for n in range(count)]


def number(frame: bytes) -> int:
    return int.from_bytes(frame[:14])


def drain(link: ImpairedLink) -> None:
    while (due := link.next_timeout()) is not None:
        link.handle_timeout(due)


def near(share: float, probability: float, trials: int) -> bool:
    """Within five standard deviations of a binomial: the seed is fixed, so this never flickers."""
    return abs(share - probability) < 5 * math.sqrt(probability * (1 - probability) / trials)


def test_without_faults_a_batch_passes_in_one_call() -> None:
    sink = Sink()
    link = ImpairedLink(sink, Impairment.none, partial(derive_rng, SEED))
    link.send([b"1", b"2"], 5, "peer")
    assert sink.calls == [(5, [b"1", b"2"], "peer")]
    assert link.next_timeout() is None
    assert link.fired == {}


def test_with_loss_alone_what_is_left_of_a_batch_passes_at_once_in_one_call() -> None:
    link, sink = impaired(loss=0.5)
    link.send(numbered(100), 5)
    assert len(sink.calls) == 1
    assert link.next_timeout() is None


@pytest.mark.parametrize("fault", ["loss", "corrupt", "swap", "truncate", "duplicate", "reorder"])
@pytest.mark.parametrize("probability", [0.01, 0.3])
def test_a_fault_strikes_as_often_as_asked(fault: str, probability: float) -> None:
    count = 20_000
    options: dict[str, Any] = {fault: probability, "reorder_delay_ns": 5_000}
    link, _ = impaired(**options)
    for n, frame in enumerate(numbered(count)):
        link.handle_timeout(n * 1_000)
        link.send([frame[:-1] + b"\1"], n * 1_000)
    assert list(link.fired) == [fault]
    assert near(link.fired[fault] / count, probability, count)


def test_what_is_lost_is_counted_and_nothing_else_is() -> None:
    link, sink = impaired(loss=0.3)
    link.send(numbered(1_000), 0)
    assert len(sink.frames) == 1_000 - link.fired["loss"]


def test_certain_loss_loses_all() -> None:
    link, sink = impaired(loss=1.0)
    link.send(numbered(50), 0)
    assert sink.frames == []


def test_bursts_are_as_long_and_as_frequent_as_asked() -> None:
    count, start, stop = 200_000, 0.01, 0.2
    link, sink = impaired(burst_start=start, burst_stop=stop)
    link.send(numbered(count), 0)
    arrived = {number(frame) for frame in sink.frames}
    lost = [n not in arrived for n in range(count)]
    bursts = sum(1 for before, here in zip([False, *lost], lost, strict=False) if here and not before)
    assert sum(lost) == link.fired["burst_loss"]
    assert sum(lost) / bursts == pytest.approx(1 / stop, rel=0.1)
    assert sum(lost) / count == pytest.approx(start / (start + stop), rel=0.1)


def test_a_bad_spell_loses_its_share_only() -> None:
    link, sink = impaired(burst_start=1.0, burst_stop=1e-9, burst_loss=0.25)
    link.send(numbered(20_000), 0)
    assert near(link.fired["burst_loss"] / 20_000, 0.25, 20_000)
    assert len(sink.frames) == 20_000 - link.fired["burst_loss"]


@pytest.mark.parametrize(("linktype", "spared"), [(LinkType.ETHERNET, 14), (LinkType.USER0, 0)])
def test_corruption_flips_the_bits_asked_for_behind_the_link_header(linktype: LinkType, spared: int) -> None:
    link, sink = impaired(linktype=linktype, corrupt=1.0, corrupt_bits=3)
    link.send([bytes(30)] * 2_000, 0)
    assert {int.from_bytes(frame).bit_count() for frame in sink.frames} == {3}
    touched = {n for frame in sink.frames for n, byte in enumerate(frame) if byte}
    assert touched == set(range(spared, 30))


def test_corruption_of_a_frame_that_is_all_header_does_not_count() -> None:
    link, sink = impaired(corrupt=1.0)
    link.send([bytes(14), bytes(3)], 0)
    assert sink.frames == [bytes(14), bytes(3)]
    assert link.fired == {"corrupt": 0}


def test_more_bits_than_there_are_flips_them_all() -> None:
    link, sink = impaired(corrupt=1.0, corrupt_bits=99)
    link.send([bytes(15)], 0)
    assert sink.frames == [bytes(14) + b"\xff"]


@pytest.mark.parametrize(("linktype", "spared"), [(LinkType.ETHERNET, 14), (LinkType.USER0, 0)])
def test_a_swap_exchanges_any_two_whole_words_behind_the_link_header_and_nothing_else(
    linktype: LinkType, spared: int
) -> None:
    frame = bytes(range(spared + 11))
    link, sink = impaired(linktype=linktype, swap=1.0)
    link.send([frame] * 500, 0)
    assert link.fired == {"swap": 500}
    expected = set()
    for one, other in combinations(range(spared, spared + 10, 2), 2):
        swapped = bytearray(frame)
        swapped[one : one + 2], swapped[other : other + 2] = frame[other : other + 2], frame[one : one + 2]
        expected.add(bytes(swapped))
    assert set(sink.frames) == expected


def test_a_swap_is_found_by_a_crc_and_not_by_the_internet_checksum() -> None:
    payload = random.Random(SEED).randbytes(100)
    link, sink = impaired(swap=1.0)
    link.send([bytes(14) + payload] * 50, 0)
    assert {internet_checksum(frame[14:]) for frame in sink.frames} == {internet_checksum(payload)}
    assert crc32(payload) not in {crc32(frame[14:]) for frame in sink.frames}


def test_a_swap_within_an_ipv4_header_passes_its_checksum_with_other_addresses() -> None:
    header = bytes(IPv4(src="10.0.0.1", dst="10.0.0.2", protocol=253, total_length=20, flags=0))
    link, sink = impaired(swap=1.0)
    link.send([bytes(14) + header] * 200, 0)
    arrived = [frame[14:] for frame in sink.frames]
    assert {internet_checksum(packet) for packet in arrived} == {0}
    assert any(packet[12:20] != header[12:20] for packet in arrived)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(bytes(14) + b"ab" * 20, id="all words the same"),
        pytest.param(bytes(14) + b"ababa", id="an odd byte behind them"),
        pytest.param(bytes(range(17)), id="one word"),
        pytest.param(bytes(range(14)), id="all header"),
        pytest.param(b"abc", id="less than a header"),
    ],
)
def test_a_swap_that_leaves_a_frame_as_it_was_does_not_count(frame: bytes) -> None:
    link, sink = impaired(swap=1.0)
    link.send([frame] * 20, 0)
    assert sink.frames == [frame] * 20
    assert link.fired == {"swap": 0}


def test_a_lone_word_that_differs_is_always_among_those_swapped() -> None:
    frame = bytes(14) + b"ab" * 50 + b"cd" + b"ab" * 50
    link, sink = impaired(swap=1.0)
    link.send([frame] * 100, 0)
    assert link.fired == {"swap": 100}
    assert frame not in sink.frames


def test_a_swap_of_words_that_flipped_bits_have_made_equal_does_not_count() -> None:
    link, sink = impaired(corrupt=1.0, swap=1.0)
    told: list[str] = []
    link.on_fault = lambda time_ns, kind, frame, peer: told.append(kind)
    frame = bytes(14) + b"\0\0\0\1"
    link.send([frame] * 300, 0)
    equal = sink.frames.count(bytes(18)) + sink.frames.count(bytes(14) + b"\0\1\0\1")
    assert equal > 0
    assert link.fired == {"corrupt": 300, "swap": 300 - equal}
    assert told.count("swap") == 300 - equal


@pytest.mark.parametrize(("linktype", "spared"), [(LinkType.ETHERNET, 14), (LinkType.USER0, 0)])
def test_truncation_takes_any_length_from_the_end_but_one_byte_behind_the_link_header(
    linktype: LinkType, spared: int
) -> None:
    frame = bytes(range(spared + 10))
    link, sink = impaired(linktype=linktype, truncate=1.0)
    link.send([frame] * 5_000, 0)
    assert link.fired == {"truncate": 5_000}
    assert set(sink.frames) == {frame[:length] for length in range(spared + 1, spared + 10)}
    for length in range(spared + 1, spared + 10):
        assert near(sum(len(arrived) == length for arrived in sink.frames) / 5_000, 1 / 9, 5_000)


def test_truncation_of_a_frame_with_nothing_to_lose_does_not_count() -> None:
    frames = [bytes(15), bytes(14), bytes(3), b""]
    link, sink = impaired(truncate=1.0)
    link.send(frames, 0)
    assert sink.frames == frames
    assert link.fired == {"truncate": 0}


def test_a_frame_is_corrupted_swapped_cut_and_only_then_duplicated() -> None:
    link, sink = impaired(corrupt=1.0, swap=1.0, truncate=1.0, duplicate=1.0)
    told: list[tuple[str, bytes]] = []
    link.on_fault = lambda time_ns, kind, frame, peer: told.append((kind, frame))
    frame = bytes(range(100))
    link.send([frame], 0)
    assert told == [(kind, frame) for kind in (*DAMAGES, "duplicate")]
    damaged, copy = sink.frames
    assert copy == damaged
    assert 14 < len(damaged) < 100
    assert damaged != frame[: len(damaged)]


def test_each_fault_has_dice_of_its_own_by_its_name() -> None:
    names: list[str] = []

    def rng_for(name: str) -> random.Random:
        names.append(name)
        return derive_rng(SEED, name)

    impairment = Impairment(**EVERYTHING)
    ImpairedLink(Sink(), impairment, rng_for)
    assert sorted(names) == sorted({*impairment.faults, "jitter"} - {"queue_drop"})


def test_a_duplicate_follows_at_once_or_after_its_delay() -> None:
    link, sink = impaired(duplicate=1.0)
    link.send([b"1", b"2"], 0)
    assert sink.calls == [(0, [b"1", b"1", b"2", b"2"], "")]
    link, sink = impaired(duplicate=1.0, duplicate_delay_ns=50)
    link.send([b"1", b"2"], 0)
    drain(link)
    assert sink.calls == [(0, [b"1", b"2"], ""), (50, [b"1", b"2"], "")]


def test_delay_holds_every_frame_for_exactly_so_long() -> None:
    link, sink = impaired(delay_ns=100)
    link.send([b"1", b"2"], 0)
    link.send([b"3"], 7)
    assert link.next_timeout() == 100
    link.handle_timeout(99)
    assert sink.calls == []
    drain(link)
    assert sink.calls == [(100, [b"1", b"2"], ""), (107, [b"3"], "")]


def test_a_late_timeout_passes_on_all_that_is_due_in_order_and_in_one_call() -> None:
    link, sink = impaired(delay_ns=100)
    for now in (0, 1, 2):
        link.send([bytes([now])], now)
    link.send([b"new"], 101)
    assert sink.calls == [(101, [b"\0", b"\1"], "")]
    link.handle_timeout(1_000)
    assert sink.calls[1:] == [(1_000, [b"\2", b"new"], "")]


def test_the_peer_is_kept_with_a_held_frame() -> None:
    link, sink = impaired(delay_ns=100)
    link.send([b"1", b"2"], 0, "x")
    link.send([b"3"], 0, "y")
    link.send([b"4"], 0, "x")
    drain(link)
    assert sink.calls == [(100, [b"1", b"2"], "x"), (100, [b"3"], "y"), (100, [b"4"], "x")]


def test_jitter_lies_between_nothing_and_its_limit() -> None:
    link, sink = impaired(delay_ns=100, jitter_ns=10, jitter_keeps_order=False)
    link.send(numbered(2_000), 0)
    drain(link)
    assert {now for now, _ in sink.arrivals} == set(range(100, 111))


@pytest.mark.parametrize("keeps", [True, False])
def test_jitter_keeps_the_order_if_asked(keeps: bool) -> None:
    link, sink = impaired(jitter_ns=10_000, jitter_keeps_order=keeps)
    for n, frame in enumerate(numbered(200)):
        link.handle_timeout(n * 100)
        link.send([frame], n * 100)
    drain(link)
    order = [number(frame) for frame in sink.frames]
    assert sorted(order) == list(range(200))
    assert (order == sorted(order)) is keeps


def test_a_frame_held_back_is_overtaken_by_those_within_its_delay() -> None:
    sink = Sink()
    told: list[tuple[int, str, bytes, str]] = []
    chosen = iter([0.0, 0.9, 0.9, 0.9])

    class Fixed(random.Random):
        def random(self) -> float:
            return next(chosen)

    impairment = Impairment(reorder=0.5, reorder_delay_ns=250)
    link = ImpairedLink(sink, impairment, lambda name: Fixed(), on_fault=lambda *told_of: told.append(told_of))
    for now, frame in ((0, b"1"), (100, b"2"), (200, b"3"), (300, b"4")):
        link.send([frame], now, "p")
    assert sink.arrivals == [(100, b"2"), (200, b"3"), (300, b"1"), (300, b"4")]
    assert link.fired == {"reorder": 1}
    assert told == [(100, "reorder", b"1", "p")]


def test_a_frame_held_back_that_nothing_overtakes_was_not_reordered() -> None:
    link, sink = impaired(reorder=1.0, reorder_delay_ns=50)
    link.send([b"1", b"2"], 0)
    link.send([b"3"], 10)
    drain(link)
    assert sink.frames == [b"1", b"2", b"3"]
    assert link.fired == {"reorder": 0}


def test_its_own_copy_does_not_count_as_overtaking() -> None:
    link, sink = impaired(reorder=1.0, reorder_delay_ns=50, duplicate=1.0)
    link.send([b"1"], 0)
    drain(link)
    assert sink.frames == [b"1", b"1"]
    assert link.fired["reorder"] == 0


def test_the_rate_spaces_frames_by_their_bits_without_rounding_away() -> None:
    link, sink = impaired(rate_bps=10_000_000_000, delay_ns=5)
    link.send([bytes(64)] * 10, 0)
    drain(link)
    assert [now for now, _ in sink.arrivals] == [5 + math.ceil(51.2 * n) for n in range(1, 11)]


def test_an_idle_line_starts_at_once() -> None:
    link, sink = impaired(rate_bps=8_000_000_000)
    link.send([bytes(100)], 0)
    drain(link)
    link.send([bytes(100)], 1_000)
    drain(link)
    assert [now for now, _ in sink.arrivals] == [100, 1_100]


def test_the_queue_drops_what_does_not_fit_and_empties_as_frames_start() -> None:
    link, sink = impaired(rate_bps=8_000_000_000, queue_bytes=200)
    link.send(numbered(5, length=100), 0)
    assert link.fired == {"queue_drop": 2}
    link.handle_timeout(99)
    link.send(numbered(6, length=100)[5:], 99)
    assert link.fired == {"queue_drop": 3}
    link.handle_timeout(100)
    link.send(numbered(7, length=100)[6:], 100)
    drain(link)
    assert [(now, number(frame)) for now, frame in sink.arrivals] == [(100, 0), (200, 1), (300, 2), (400, 6)]


def test_without_any_queue_only_an_idle_line_takes_a_frame() -> None:
    link, sink = impaired(rate_bps=8_000_000_000, queue_bytes=0)
    link.send(numbered(3, length=1000), 0)
    drain(link)
    assert [number(frame) for frame in sink.frames] == [0]
    assert link.fired == {"queue_drop": 2}


EVERYTHING: dict[str, Any] = {
    "loss": 0.1,
    "burst_start": 0.05,
    "corrupt": 0.1,
    "swap": 0.1,
    "truncate": 0.1,
    "duplicate": 0.1,
    "reorder": 0.1,
    "reorder_delay_ns": 3_000,
    "delay_ns": 500,
    "jitter_ns": 1_000,
    "rate_bps": 1_000_000_000,
    "queue_bytes": 3_000,
}


CONTENT = bytes(range(46))


def run(seed: int, **options: Any) -> tuple[list[tuple[int, list[bytes], str]], list[tuple[int, str, bytes, str]]]:
    told: list[tuple[int, str, bytes, str]] = []
    link, sink = impaired(seed, **options)
    link.on_fault = lambda *told_of: told.append(told_of)
    for n, frame in enumerate(numbered(500)):
        link.handle_timeout(n * 450)
        link.send([frame[:14] + CONTENT], n * 450)
    drain(link)
    return sink.calls, told


def test_the_same_seed_does_the_same_and_another_does_not() -> None:
    assert run(1, **EVERYTHING) == run(1, **EVERYTHING)
    assert run(1, **EVERYTHING) != run(2, **EVERYTHING)


def test_every_fault_is_told_as_often_as_it_is_counted() -> None:
    link, _ = impaired(**{**EVERYTHING, "queue_bytes": 100})
    told: list[str] = []
    link.on_fault = lambda time_ns, kind, frame, peer: told.append(kind)
    link.send(numbered(30), 0)
    for n in range(500):
        link.handle_timeout(n * 450)
        link.send([bytes(14) + CONTENT], n * 450)
    drain(link)
    assert link.fired == {kind: told.count(kind) for kind in Impairment(**EVERYTHING).faults}
    assert all(link.fired.values())


def victims(kind: str, **options: Any) -> list[int]:
    return [number(frame) for _, told, frame, _ in run(SEED, **options)[1] if told == kind]


ALONE: dict[str, dict[str, Any]] = {
    "loss": {"loss": 0.1},
    "burst_loss": {"burst_start": 0.05},
    "corrupt": {"corrupt": 0.1},
    "swap": {"swap": 0.1},
    "truncate": {"truncate": 0.1},
    "duplicate": {"duplicate": 0.1},
}


OTHERS: list[dict[str, Any]] = [
    {"loss": 0.3},
    {"burst_start": 0.2},
    {"corrupt": 0.3, "corrupt_bits": 9},
    {"swap": 0.3},
    {"truncate": 0.3},
    {"duplicate": 0.5},
    {"reorder": 0.3, "reorder_delay_ns": 3_000},
    {"jitter_ns": 10_000},
    {"rate_bps": 1_000_000_000, "queue_bytes": 0},
]


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        pytest.param(kind, other, id=f"{kind} beside {next(iter(other))}")
        for kind, options in ALONE.items()
        for other in OTHERS
        if not options.keys() & other.keys()
    ],
)
def test_another_fault_does_not_shift_the_choices_of_one(kind: str, other: dict[str, Any]) -> None:
    options = ALONE[kind]
    alone, together = victims(kind, **options), victims(kind, **options, **other)
    gone = set(victims("loss", **options, **other)) | set(victims("burst_loss", **options, **other))
    gone |= set(victims("queue_drop", **options, **other))
    assert alone
    assert [n for n in alone if n not in gone] == [n for n in together if n not in gone]


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_the_same_beside_other_faults(kind: str) -> None:
    def damaged(**options: Any) -> dict[int, bytes]:
        link, sink = impaired(**{kind: 0.2, **options})
        link.send([frame[:14] + CONTENT for frame in numbered(500)], 0)
        drain(link)
        return {number(frame): frame for frame in sink.frames}

    alone, together = damaged(), damaged(loss=0.3, jitter_ns=1_000, duplicate=0.2)
    assert len(alone) == 500
    assert together == {n: alone[n] for n in together}


def test_what_to_swap_is_chosen_by_the_frame_as_it_was_handed_in() -> None:
    link, sink = impaired(corrupt=1.0, swap=1.0)
    link.send([bytes(60)] * 100, 0)
    assert bytes(60) not in sink.frames  # by now some words differ
    assert link.fired == {"corrupt": 100, "swap": 0}


@given(
    st.lists(st.tuples(st.integers(0, 2_000), st.sampled_from(["x", "y"])), max_size=40),
    st.integers(0, 100),
    st.booleans(),
    st.booleans(),
)
def test_nothing_is_made_up_and_nothing_forgotten(
    sends: list[tuple[int, str]], seed: int, keeps: bool, in_time: bool
) -> None:
    options = {**EVERYTHING, **dict.fromkeys(DAMAGES, 0.0), "jitter_keeps_order": keeps}
    link, sink = impaired(seed, **options)
    now = 0
    for n, (pause, peer) in enumerate(sends):
        now += pause
        while in_time and (due := link.next_timeout()) is not None and due <= now:
            link.handle_timeout(due)
        link.send([n.to_bytes(14)], now, peer)
    drain(link)
    fired = link.fired
    lost = fired["loss"] + fired["burst_loss"] + fired["queue_drop"]
    assert len(sink.frames) == len(sends) - lost + fired["duplicate"]
    assert all(sends[number(frame)][1] == peer for _, frames, peer in sink.calls for frame in frames)
    assert [now for now, _, _ in sink.calls] == sorted(now for now, _, _ in sink.calls)


def test_closing_forgets_held_frames() -> None:
    link, sink = impaired(delay_ns=100)
    link.send([b"1"], 0)
    link.close()
    assert link.next_timeout() is None
    assert sink.calls == []


def test_the_inner_link_gets_its_timeouts() -> None:
    inner, sink = impaired(delay_ns=30)
    outer = ImpairedLink(inner, Impairment(delay_ns=100), partial(derive_rng, SEED))
    outer.send([b"1"], 0)
    inner.send([b"2"], 0)
    assert outer.next_timeout() == 30
    drain(outer)
    assert sink.arrivals == [(30, b"2"), (130, b"1")]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"loss": 1.5}, "loss is 1.5: .* 0.0 to 1.0"),
        ({"loss": -0.1}, "loss is -0.1"),
        ({"corrupt": float("nan")}, "corrupt is nan"),
        ({"swap": 1.1}, "swap is 1.1: .* 0.0 to 1.0"),
        ({"truncate": -1}, "truncate is -1: .* 0.0 to 1.0"),
        ({"duplicate": "1%"}, "duplicate is '1%'"),
        ({"delay_ns": -1}, "delay_ns is -1: .* 0 or more"),
        ({"jitter_ns": 0.5}, "jitter_ns is 0.5: give an int of ns"),
        ({"rate_bps": 0}, "rate_bps is 0: .* 1 or more"),
        ({"corrupt_bits": 0}, "corrupt_bits is 0"),
        ({"queue_bytes": 5}, "queue_bytes is 5 but rate_bps is None"),
        ({"queue_bytes": -5, "rate_bps": 1}, "queue_bytes is -5"),
        ({"burst_start": 0.1, "burst_stop": 0.0}, "burst_stop is 0"),
        ({"reorder": 0.1}, "reorder_delay_ns is 0"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        Impairment(**options)
    assert "\n" not in str(caught.value)


def test_an_impairment_is_a_value() -> None:
    assert replace(Impairment(loss=0.5), loss=0.0) == Impairment.none
    assert Impairment.none.faults == ()


def test_derived_generators_differ_by_name_and_seed() -> None:
    draws = {derive_rng(*path).random() for path in ((7, "ab", "c"), (7, "a", "bc"), (7, "abc"), (8, "abc"), (7,))}
    assert len(draws) == 5


def test_derived_generators_are_the_same_in_every_process() -> None:
    program = "from rawproto.link.chance import derive_rng; print(derive_rng(7, 'a->b', 'loss').getrandbits(64))"
    drawn = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert drawn == {str(derive_rng(7, "a->b", "loss").getrandbits(64))}


class Choosy(Sink):
    """Takes no frame whose first byte is not that of an undamaged one, as a raw socket of the kernel."""

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        if any(frame[0] != 0x45 for frame in frames):
            raise LinkError(errno.EINVAL, "no IPv4 header")
        super().send(frames, now, peer)


def test_a_damaged_frame_that_the_link_refuses_is_lost_and_takes_no_other_with_it() -> None:
    sink = Choosy(LinkType.RAW)
    link = ImpairedLink(sink, Impairment(corrupt=0.5, corrupt_bits=4), partial(derive_rng, SEED))
    sent = [bytes((0x45, number)) + crc32(bytes((number,))).to_bytes(4) for number in range(200)]
    link.send(sent, 0)
    drain(link)
    assert 0 < len(sink.frames) < 200
    assert [frame for frame in sink.frames if frame in sent] == [frame for frame in sent if frame in sink.frames]
    assert sum(frame in sink.frames for frame in sent) >= 200 - link.fired["corrupt"]


def test_an_undamaged_frame_that_the_link_refuses_raises() -> None:
    link = ImpairedLink(Choosy(LinkType.RAW), Impairment(loss=1e-9), partial(derive_rng, SEED))
    with pytest.raises(LinkError):
        link.send([b"\x60"], 0)
