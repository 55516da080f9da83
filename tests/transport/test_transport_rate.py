"""The delivery rate: draft-ietf-ccwg-bbr §4.1, worked by hand."""

from __future__ import annotations

import pytest

from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.rate import DeliveryRate

DRAFT = "draft-ietf-ccwg-bbr"


@pytest.mark.rfc(DRAFT, "4.1.2.2")
def test_a_burst_is_sent_with_what_was_known_then() -> None:
    meter = DeliveryRate()
    first = meter.on_sent(5 * MS, 3000, 0)
    meter.on_delivered(3000)
    meter.sample(first, 5 * MS, 15 * MS, 10 * MS)
    meter.on_lost(700)
    state = meter.on_sent(16 * MS, 2000, 1000)
    assert (state.delivered, state.delivered_ns, state.first_sent_ns) == (3000, 15 * MS, 5 * MS)
    assert (state.in_flight, state.lost, state.app_limited) == (3000, 700, False)


@pytest.mark.rfc(DRAFT, "4.1.2.2")
def test_with_nothing_in_flight_the_interval_begins_anew() -> None:
    meter = DeliveryRate()
    first = meter.on_sent(0, 1000, 0)
    meter.on_delivered(1000)
    meter.sample(first, 0, 10 * MS, 10 * MS)
    state = meter.on_sent(500 * MS, 1000, 0)
    assert (state.delivered_ns, state.first_sent_ns) == (500 * MS, 500 * MS)


@pytest.mark.rfc(DRAFT, "4.1.2.3")
def test_the_rate_is_what_was_delivered_since_the_newest_was_sent() -> None:
    meter = DeliveryRate()
    first = meter.on_sent(0, 1000, 0)
    second = meter.on_sent(5 * MS, 2000, 1000)
    meter.on_delivered(1000)
    meter.sample(first, 0, 10 * MS, 10 * MS)
    meter.on_delivered(2000)
    sample = meter.sample(second, 5 * MS, 15 * MS, 10 * MS)
    assert sample is not None
    # second was sent when nothing had been delivered: 3000 octets in 15 ms
    assert (sample.delivered, sample.interval_ns, sample.rate) == (3000, 15 * MS, 200_000)
    assert (sample.prior_delivered, sample.sent_in_flight) == (0, 3000)


@pytest.mark.rfc(DRAFT, "4.1.1.2", "4.1.2.3")
def test_acknowledgements_that_come_all_at_once_show_no_more_than_was_sent() -> None:
    meter = DeliveryRate()
    states = [(meter.on_sent(at * MS, 1000, at * 100), at * MS) for at in range(0, 100, 10)]
    meter.on_delivered(1000)
    meter.sample(*states[0], 100 * MS, 10 * MS)
    after = meter.on_sent(101 * MS, 1000, 9000)
    meter.on_delivered(9000)  # held back, then all at once, and the one sent last with them
    meter.sample(*states[-1], 110 * MS, 10 * MS)
    meter.on_delivered(1000)
    sample = meter.sample(after, 101 * MS, 111 * MS, 10 * MS)
    assert sample is not None
    # 10000 octets were acknowledged within 11 ms, but had been sent over 101 ms
    assert (sample.delivered, sample.interval_ns) == (10_000, 101 * MS)


@pytest.mark.rfc(DRAFT, "4.1.1.2")
def test_data_that_left_at_once_show_no_more_than_was_acknowledged() -> None:
    meter = DeliveryRate()
    state = meter.on_sent(0, 10_000, 0)
    meter.on_delivered(10_000)
    sample = meter.sample(state, 0, 40 * MS, 10 * MS)
    assert sample is not None
    assert sample.rate == 250_000


@pytest.mark.rfc(DRAFT, "4.1.2.3")
def test_an_interval_below_the_round_trip_is_no_measure() -> None:
    meter = DeliveryRate()
    state = meter.on_sent(0, 1000, 0)
    meter.on_delivered(1000)
    sample = meter.sample(state, 0, 9 * MS, 10 * MS)
    assert sample is not None
    assert (sample.rate, sample.delivered) == (0, 1000)


def test_no_time_at_all_is_no_measure() -> None:
    meter = DeliveryRate()
    state = meter.on_sent(7, 1000, 0)
    meter.on_delivered(1000)
    sample = meter.sample(state, 7, 7, 0)
    assert sample is not None
    assert sample.rate == 0


def test_nothing_delivered_gives_no_sample() -> None:
    assert DeliveryRate().sample(None, 0, 10 * MS, 0) is None


def test_losses_are_counted_from_the_sending_of_the_newest() -> None:
    meter = DeliveryRate()
    meter.on_lost(5000)
    state = meter.on_sent(0, 1000, 0)
    meter.on_lost(300)
    meter.on_delivered(1000)
    sample = meter.sample(state, 0, 10 * MS, 0)
    assert sample is not None
    assert sample.lost == 300


@pytest.mark.rfc(DRAFT, "4.1.2.4")
def test_what_is_sent_after_the_data_ran_out_is_limited_by_the_application() -> None:
    meter = DeliveryRate()
    before = meter.on_sent(0, 1000, 0)
    meter.app_limited(1000)
    after = meter.on_sent(5 * MS, 1000, 1000)
    assert (before.app_limited, after.app_limited) == (False, True)
    meter.on_delivered(1000)
    assert meter.sample(before, 0, 10 * MS, 10 * MS).app_limited is False  # type: ignore[union-attr]
    assert meter.is_app_limited  # what was in flight has arrived, but nothing beyond
    meter.on_delivered(1000)
    assert meter.sample(after, 5 * MS, 15 * MS, 10 * MS).app_limited is True  # type: ignore[union-attr]
    assert not meter.is_app_limited
    assert meter.on_sent(15 * MS, 1000, 0).app_limited is False


@pytest.mark.rfc(DRAFT, "4.1.2.4")
def test_it_is_limited_from_the_very_first_octet() -> None:
    meter = DeliveryRate()
    meter.app_limited(0)
    assert meter.on_sent(0, 1000, 0).app_limited
