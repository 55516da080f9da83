"""The retransmission timeout: RFC 6298, worked by hand."""

from __future__ import annotations

import pytest

from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.rtt import RttEstimator

ACK_DELAY = Config().ack_delay


@pytest.mark.rdt("7.6-4")
@pytest.mark.rfc("6298", "2.1")
def test_before_any_sample_it_is_one_second() -> None:
    assert RttEstimator(Config()).rto == SECOND


@pytest.mark.rfc("6298", "2.2")
def test_the_first_sample_gives_srtt_and_half_of_it_as_variation() -> None:
    rtt = RttEstimator(Config())
    rtt.sample(100 * MS)
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == (100 * MS, 50 * MS, 300 * MS + ACK_DELAY)


@pytest.mark.rfc("6298", "2.3")
def test_the_second_sample_is_weighted() -> None:
    rtt = RttEstimator(Config())
    rtt.sample(100 * MS)
    rtt.sample(180 * MS)
    # rttvar = 3/4 * 50 + 1/4 * |100 - 180| = 57.5; srtt = 7/8 * 100 + 1/8 * 180 = 110; rto = 110 + 4 * 57.5 + 40
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == (110 * MS, 57_500_000, 340 * MS + ACK_DELAY)


def test_it_never_falls_under_the_minimum() -> None:
    rtt = RttEstimator(Config(min_rto=200 * MS))
    for _ in range(20):
        rtt.sample(10 * MS)
    assert rtt.rto == 200 * MS


@pytest.mark.rfc("6298", "4")
def test_the_variation_counts_at_least_as_the_granularity() -> None:
    rtt = RttEstimator(Config(min_rto=1, ack_delay=0))
    for _ in range(100):
        rtt.sample(10 * MS)
    assert 11 * MS <= rtt.rto < 11 * MS + 100


@pytest.mark.rfc("6298", "2.5", "5.5")
def test_each_expiry_doubles_it_up_to_the_cap() -> None:
    rtt = RttEstimator(Config(max_rto=10 * SECOND))
    seen = []
    for _ in range(6):
        seen.append(rtt.rto // SECOND)
        rtt.back_off()
    assert seen == [1, 2, 4, 8, 10, 10]
    rtt.backoffs = 10_000
    assert rtt.rto == 10 * SECOND


@pytest.mark.rdt("7.6-3")
def test_a_sample_ends_the_backoff() -> None:
    rtt = RttEstimator(Config())
    rtt.back_off()
    rtt.sample(100 * MS)
    assert rtt.rto == 300 * MS + ACK_DELAY


@pytest.mark.rdt("7.4-3")
def test_the_delay_that_the_peer_tells_is_taken_off() -> None:
    rtt = RttEstimator(Config())
    rtt.sample(100 * MS)
    rtt.sample(150 * MS, ack_delay=40 * MS)
    assert rtt.latest == 110 * MS


@pytest.mark.rdt("7.4-3")
@pytest.mark.rfc("9002", "5.3")
def test_a_delay_below_the_smallest_sample_is_not_believed() -> None:
    rtt = RttEstimator(Config())
    rtt.sample(100 * MS)
    rtt.sample(150 * MS, ack_delay=140 * MS)
    assert rtt.latest == 150 * MS
    assert rtt.min_rtt == 100 * MS


@pytest.mark.rdt("7.4-4")
@pytest.mark.rfc("9002", "6.2.1")
def test_the_timeout_allows_for_an_acknowledgement_that_waits() -> None:
    rtt = RttEstimator(Config(min_rto=1, ack_delay=100 * MS))
    for _ in range(100):
        rtt.sample(10 * MS)
    assert 111 * MS <= rtt.rto < 111 * MS + 100
