"""The retransmission timeout: RFC 6298, worked by hand."""

from __future__ import annotations

from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.rtt import RttEstimator


def test_before_any_sample_it_is_one_second() -> None:
    assert RttEstimator(Config()).rto == SECOND


def test_the_first_sample_gives_srtt_and_half_of_it_as_variation() -> None:
    rtt = RttEstimator(Config())
    rtt.sample(100 * MS)
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == (100 * MS, 50 * MS, 300 * MS)


def test_the_second_sample_is_weighted() -> None:
    rtt = RttEstimator(Config())
    rtt.sample(100 * MS)
    rtt.sample(180 * MS)
    # rttvar = 3/4 * 50 + 1/4 * |100 - 180| = 57.5; srtt = 7/8 * 100 + 1/8 * 180 = 110; rto = 110 + 4 * 57.5
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == (110 * MS, 57_500_000, 340 * MS)


def test_it_never_falls_under_the_minimum() -> None:
    rtt = RttEstimator(Config(min_rto=200 * MS))
    for _ in range(20):
        rtt.sample(10 * MS)
    assert rtt.rto == 200 * MS


def test_the_variation_counts_at_least_as_the_granularity() -> None:
    rtt = RttEstimator(Config(min_rto=1))
    for _ in range(100):
        rtt.sample(10 * MS)
    assert 11 * MS <= rtt.rto < 11 * MS + 100


def test_each_expiry_doubles_it_up_to_the_cap() -> None:
    rtt = RttEstimator(Config(max_rto=10 * SECOND))
    seen = []
    for _ in range(6):
        seen.append(rtt.rto // SECOND)
        rtt.back_off()
    assert seen == [1, 2, 4, 8, 10, 10]
    rtt.backoffs = 10_000
    assert rtt.rto == 10 * SECOND


def test_a_sample_ends_the_backoff() -> None:
    rtt = RttEstimator(Config())
    rtt.back_off()
    rtt.sample(100 * MS)
    assert rtt.rto == 300 * MS


def test_the_delay_that_the_peer_tells_is_taken_off() -> None:
    rtt = RttEstimator(Config())
    rtt.sample(100 * MS)
    rtt.sample(150 * MS, ack_delay=40 * MS)
    assert rtt.latest == 110 * MS


def test_a_delay_below_the_smallest_sample_is_not_believed() -> None:
    rtt = RttEstimator(Config())
    rtt.sample(100 * MS)
    rtt.sample(150 * MS, ack_delay=140 * MS)
    assert rtt.latest == 150 * MS
    assert rtt.min_rtt == 100 * MS
