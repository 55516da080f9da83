"""Reno by RFC 5681, and the registry."""

from __future__ import annotations

import pytest

from rawproto.errors import ConfigError
from rawproto.transport import congestion

MSS = 1000


def reno() -> congestion.CongestionControl:
    return congestion.create("reno", MSS, 10 * MSS)


def test_slow_start_grows_by_what_is_acknowledged() -> None:
    cc = reno()
    cc.on_acknowledged(3000, 10 * MSS, 0)
    assert cc.cwnd == 13 * MSS


def test_a_window_that_is_not_used_does_not_grow() -> None:
    cc = reno()
    cc.on_acknowledged(1000, 1000, 0)
    assert cc.cwnd == 10 * MSS


def test_a_loss_halves_what_was_in_flight() -> None:
    cc = reno()
    cc.on_lost(5, 10 * MSS, now=100)
    assert (cc.cwnd, cc.ssthresh) == (5 * MSS, 5 * MSS)


def test_one_halving_for_all_losses_of_a_round_trip() -> None:
    cc = reno()
    cc.on_lost(5, 10 * MSS, now=100)
    cc.on_lost(100, 10 * MSS, now=110)  # sent before the halving
    assert cc.cwnd == 5 * MSS
    cc.on_lost(101, 5 * MSS, now=200)  # sent after it
    assert cc.cwnd == 2500


def test_the_window_is_never_halved_below_two_segments() -> None:
    cc = reno()
    cc.on_lost(5, MSS, now=100)
    assert cc.cwnd == 2 * MSS


def test_avoidance_adds_one_segment_a_window() -> None:
    cc = reno()
    cc.on_lost(5, 10 * MSS, now=100)
    for _ in range(4):
        cc.on_acknowledged(MSS, 5 * MSS, 200)
    assert cc.cwnd == 5 * MSS
    cc.on_acknowledged(MSS, 5 * MSS, 200)
    assert cc.cwnd == 6 * MSS


def test_a_timeout_begins_again_with_one_segment() -> None:
    cc = reno()
    cc.on_timeout(10 * MSS, again=False, now=100)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 5 * MSS)


def test_a_timeout_without_progress_keeps_the_threshold() -> None:
    cc = reno()
    cc.on_timeout(10 * MSS, again=False, now=100)
    cc.on_timeout(MSS, again=True, now=200)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 5 * MSS)


def test_slow_start_ends_at_the_threshold() -> None:
    cc = reno()
    cc.on_timeout(4 * MSS, again=False, now=100)
    cc.on_acknowledged(MSS, MSS, 200)
    assert cc.cwnd == 2 * MSS
    cc.on_acknowledged(MSS, 2 * MSS, 200)
    assert cc.cwnd == 2 * MSS  # avoidance now


def test_none_never_holds_back() -> None:
    cc = congestion.create("none", MSS, MSS)
    cc.on_lost(0, 10, 1)
    cc.on_timeout(10, False, 1)
    cc.on_acknowledged(10, 10, 1)
    assert cc.cwnd >= 1 << 60


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="none, reno"):
        congestion.create("vegas", MSS, MSS)
    assert congestion.names() == ["none", "reno"]
