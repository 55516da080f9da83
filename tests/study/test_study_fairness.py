"""Flows that share a bottleneck: what each gets, and how that is counted and drawn."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rawproto.study.fairness import (
    DURATION_NS,
    MIXES,
    RATE_BPS,
    STEADY_NS,
    Contest,
    Mix,
    delivered,
    jain,
    run_mix,
)
from rawproto.study.plot import MissingPlotterError, draw
from rawproto.transport.config import SECOND
from rawproto.transport.trace import RttSampled

BY_NAME = {mix.name: mix for mix in MIXES}


@cache
def contest(name: str) -> Contest:
    return run_mix(BY_NAME[name])


@pytest.mark.parametrize("name", ["two-cubic", "ten-cubic"])
def test_flows_with_cubic_share_alike(name: str) -> None:
    result = contest(name)
    assert result.index() > 0.9
    assert sum(result.rates()) > RATE_BPS // 1000 * 9 // 10


@pytest.mark.parametrize("name", ["reno-cubic", "bbr-cubic"])
def test_nobody_starves_beside_cubic(name: str) -> None:
    result = contest(name)
    assert min(result.shares()) > 250
    assert sum(result.rates()) > RATE_BPS // 1000 * 9 // 10


def test_a_contest_is_a_function_of_mix_and_seed() -> None:
    first, again, other = (run_mix(BY_NAME["bbr-cubic"], seed, 4 * SECOND).flows for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("amounts", "index"), [([5, 5], 1.0), ([1, 0, 0, 0], 0.25), ([3, 1], 0.8), ([0, 0], 0.0), ([7], 1.0)]
)
def test_index(amounts: list[int], index: float) -> None:
    assert jain(amounts) == index


def sample(time_ns: int, octets: int, cwnd: int = 1000) -> RttSampled:
    return RttSampled(time_ns, 0, 1, 1, 1, 1, cwnd, 0, None, octets)


def test_only_the_steady_part_counts() -> None:
    flow = (sample(1, 10**6), sample(STEADY_NS, 2 * 10**6), sample(DURATION_NS, 7 * 10**6))
    other = (sample(STEADY_NS, 50 * 10**6), sample(DURATION_NS - 1, 51_666_667), sample(DURATION_NS + 1, 10**9))
    result = Contest(Mix("m", ("a", "b"), "m"), 1, (flow, other))
    assert result.rates() == [1000, 333]
    assert result.shares() == [750, 249]


def test_series_has_a_point_for_each_step_from_the_first_round_trip_on() -> None:
    flow = (sample(SECOND, 1000, 5000), sample(2 * SECOND - 1, 3000, 6000), sample(2 * SECOND + 1, 9000, 7000))
    points = Contest(Mix("m", ("a",), "m"), 1, (flow,)).series(0, SECOND)
    assert [(p.time_ns, p.cwnd, p.kbit_s) for p in points[:3]] == [
        (SECOND, 5000, 8), (2 * SECOND, 6000, 16), (3 * SECOND, 7000, 48)
    ]  # fmt: skip
    assert delivered(flow, SECOND - 1) == 0


def test_the_picture_has_a_line_for_each_flow_in_either_half(tmp_path: Path) -> None:
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    draw(contest("two-cubic"), first)
    draw(contest("two-cubic"), second)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 150_000
    text = "".join(ElementTree.parse(first).getroot().itertext())
    assert "cwnd, kB" in text
    assert text.count("cubic 1") == text.count("cubic 2") == 1


def test_without_matplotlib_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPlotterError, match=r"pip install 'rawproto\[plot\]'"):
        draw(contest("two-cubic"), tmp_path / "x.svg")
