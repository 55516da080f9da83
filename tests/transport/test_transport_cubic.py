"""CUBIC by RFC 9438: the curve, Reno's window below it, reduction, and what t does not count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport import congestion
from rawproto.transport.congestion import AckSample, CongestionControl
from rawproto.transport.congestion.cubic import Cubic, cube_root

MSS = 1000
MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND
LONG = 100 * MILLISECOND  # a round trip in which the cubic curve is above Reno's line, for the windows used here
SHORT = 10 * MILLISECOND  # one in which it is below


def ack(
    delivered: int, now: int, rtt: int = LONG, *, limited: bool = True, in_recovery: bool = False, lost: int = 0
) -> AckSample:
    return AckSample(now, delivered, lost, delivered, 0, rtt, rtt, rtt, 0, 0, in_recovery, limited, delivered)


def cubic(cwnd: int) -> CongestionControl:
    return congestion.create("cubic-classic", MSS, cwnd)


def reduced(cwnd: int, now: int = 0) -> CongestionControl:
    """CUBIC just after a loss with this window in flight."""
    cc = cubic(cwnd)
    cc.on_congestion(now, cwnd)
    return cc


def round_trip(cc: CongestionControl, start: int, rtt: int = LONG, parts: int = 20) -> None:
    """One window acknowledged, spread over a round trip that began at `start`."""
    window = cc.cwnd
    for n in range(parts):
        cc.on_ack(ack(window * (n + 1) // parts - window * n // parts, start + rtt * n // parts, rtt))


def windows(cc: CongestionControl, rounds: int, start: int = 0, rtt: int = LONG) -> Iterator[int]:
    """The window after each round trip."""
    for n in range(rounds):
        round_trip(cc, start + n * rtt, rtt)
        yield cc.cwnd


def k_of(w_max: int, cwnd: int) -> float:
    """RFC 9438 Figure 2, in seconds."""
    return float(((w_max - cwnd) / MSS / 0.4) ** (1 / 3))


def w_cubic(seconds: float, w_max: int, cwnd: int) -> float:
    """RFC 9438 Figure 1, in octets."""
    return 0.4 * MSS * (seconds - k_of(w_max, cwnd)) ** 3 + w_max


# -- the curve ------------------------------------------------------------------------------------------------


@pytest.mark.rfc("9438", "4.2-1", "4.4", "4.5", "5.1")
def test_the_window_follows_the_curve_below_and_above_w_max() -> None:
    """Within what it changes in a round trip, for cwnd is on the way to W_cubic(t + RTT)."""
    w_max, cwnd = 1000 * MSS, 700 * MSS
    cc = reduced(w_max)
    for n, window in enumerate(windows(cc, 150), 1):
        now, ahead = (w_cubic(seconds, w_max, cwnd) for seconds in (n * 0.1, n * 0.1 + 0.1))
        assert now - 2 * MSS <= window <= ahead + 2 * MSS
    assert cc.cwnd > w_max + 50 * MSS


@pytest.mark.rfc("9438", "4.2-1", "4.2-2")
def test_it_is_back_at_w_max_after_k() -> None:
    cc = reduced(1000 * MSS)
    k = k_of(1000 * MSS, 700 * MSS)
    assert 9 < k < 10
    rounds = list(windows(cc, int(k * 10)))
    assert rounds[-1] == pytest.approx(1000 * MSS, abs=MSS)


@pytest.mark.rfc("9438", "4.2-3")
def test_the_target_is_never_more_than_half_a_window_away() -> None:
    cc = reduced(10 * MSS)
    round_trip(cc, 0)
    before = cc.cwnd
    cc.on_ack(ack(10 * before, 1000 * SECOND))  # the curve is far above by now
    assert cc.cwnd == before * 3 // 2


@pytest.mark.rfc("9438", "4.2-3")
@pytest.mark.parametrize("now", [0, LONG], ids=["Reno's window is above the curve", "below it"])
def test_a_window_above_the_curve_stays(now: int) -> None:
    cc = reduced(1000 * MSS)
    cc.on_ack(ack(MSS, 0))
    cc.cwnd = 900 * MSS  # the curve begins at 700
    cc.on_ack(ack(100 * MSS, now))
    assert cc.cwnd == 900 * MSS


@pytest.mark.rfc("9438", "4.5")
def test_a_window_above_w_max_at_the_start_grows_from_there() -> None:
    cc = reduced(100 * MSS)
    cc.cwnd = 200 * MSS
    assert after(cc, 10) == pytest.approx(600 * MSS, rel=0.04)


@pytest.mark.rfc("9438", "4.4")
def test_growth_keeps_its_pace_where_one_acknowledgement_stands_for_many_segments() -> None:
    ends = []
    for parts in (1, 10, 700):
        cc = reduced(1000 * MSS)
        cc.on_ack(ack(1, 0))
        window = cc.cwnd
        for _ in range(parts):
            cc.on_ack(ack(window // parts, LONG // 2))
        ends.append(cc.cwnd)
    # In one step, the target itself; in many, what is 1 - 1/e of the way there.
    far = w_cubic(0.15, 1000 * MSS, 700 * MSS) - 700 * MSS
    assert ends[0] - 700 * MSS == pytest.approx(far, rel=0.01)
    assert ends[2] - 700 * MSS == pytest.approx(far * 0.632, rel=0.01)
    assert ends[0] > ends[1] > ends[2]


def test_acknowledgements_of_single_octets_add_up() -> None:
    cc, twin = reduced(100 * MSS), reduced(100 * MSS)
    for one in (cc, twin):
        one.on_ack(ack(1, 0))
        one.on_ack(ack(1, SECOND))
    for _ in range(10 * MSS):
        cc.on_ack(ack(1, SECOND))
    for _ in range(10):
        twin.on_ack(ack(MSS, SECOND))
    assert twin.cwnd > 70 * MSS
    assert cc.cwnd == pytest.approx(twin.cwnd, abs=MSS // 10)


@given(
    w_max=st.integers(4, 100_000),
    steps=st.lists(st.tuples(st.integers(0, SECOND), st.integers(1, 70_000), st.integers(1, SECOND)), max_size=50),
)
def test_between_losses_the_window_never_falls(w_max: int, steps: list[tuple[int, int, int]]) -> None:
    cc = reduced(w_max * MSS)
    now, before = 0, cc.cwnd
    for pause, octets, rtt in steps:
        now += pause
        cc.on_ack(ack(octets, now, rtt))
        assert before <= cc.cwnd <= max(before * 3 // 2, before + octets)
        before = cc.cwnd


@pytest.mark.rfc("9438", "4.2-1")
@given(w_max=st.integers(20, 200_000), ms=st.integers(0, 60_000))
def test_the_curve_rises_with_time_and_never_faster_than_its_formula(w_max: int, ms: int) -> None:
    """Of two that differ only in when they are asked the later one is not behind."""
    early, late = reduced(w_max * MSS), reduced(w_max * MSS)
    for cc in (early, late):
        cc.on_ack(ack(1, 0))
    early.on_ack(ack(early.cwnd, ms * MILLISECOND))
    late.on_ack(ack(late.cwnd, ms * MILLISECOND + 7 * MILLISECOND))
    assert late.cwnd >= early.cwnd
    w_prior, cwnd = w_max * MSS, w_max * MSS * 7 // 10
    limit = max(w_cubic(ms / 1000 + 0.1, w_prior, cwnd), cwnd + 9 / 17 * MSS)
    assert early.cwnd <= limit + MSS / 100


@given(st.integers(0, 1 << 200))
def test_the_cube_root_is_exact(value: int) -> None:
    root = cube_root(value)
    assert root**3 <= value < (root + 1) ** 3


@pytest.mark.parametrize("root", [0, 1, 2, 3, 10, 999, 1 << 40])
def test_the_cube_root_of_a_cube_and_of_one_less(root: int) -> None:
    assert cube_root(root**3) == root
    assert root == 0 or cube_root(root**3 - 1) == root - 1


# -- Reno's window --------------------------------------------------------------------------------------------


@pytest.mark.rfc("9438", "4.3-1", "4.3-2")
def test_with_a_short_round_trip_it_grows_by_alpha_segments_each() -> None:
    cc = reduced(100 * MSS)
    grown = [window - 70 * MSS for window in windows(cc, 50, rtt=SHORT)]
    assert grown[-1] == pytest.approx(50 * MSS * 9 / 17, rel=0.02)


@pytest.mark.rfc("9438", "4.3-3")
def test_from_the_window_before_the_loss_on_it_grows_by_a_segment_each() -> None:
    cc = reduced(100 * MSS)
    grown = list(windows(cc, 100, rtt=SHORT))
    there = next(n for n, window in enumerate(grown) if window > 100 * MSS)
    assert there == pytest.approx(30 * 17 / 9, abs=2)
    assert grown[there + 30] - grown[there] == pytest.approx(30 * MSS, rel=0.03)


def mean_window(cc: CongestionControl, octets: int, rtt: int, cycles: int = 40) -> float:
    """Lose a packet each time that so many octets were delivered; the mean window of the later half."""
    total = rounds = now = lost = delivered = 0
    while lost < cycles:
        now += rtt
        window = cc.cwnd
        cc.on_ack(ack(window, now, rtt))
        delivered += window
        if lost >= cycles // 2:
            total, rounds = total + window, rounds + 1
        if delivered >= octets:
            delivered, lost = delivered - octets, lost + 1
            cc.on_congestion(now, cc.cwnd)
    return total / rounds


@pytest.mark.rdt("9-1")
@pytest.mark.rfc("9438", "4.3-1", "4.3-2")
def test_its_mean_window_is_renos_when_losses_come_as_often() -> None:
    """Both are sqrt(3/2 / p) segments on average, that is, some 55 with a loss in 2000 segments."""
    reno = mean_window(congestion.create("reno", MSS, 10 * MSS), 2000 * MSS, SHORT)
    friendly = mean_window(cubic(10 * MSS), 2000 * MSS, SHORT)
    assert reno == pytest.approx(55 * MSS, rel=0.05)
    assert friendly == pytest.approx(reno, rel=0.05)


@pytest.mark.rfc("9438", "5.2")
def test_its_mean_window_is_larger_than_renos_on_a_long_path() -> None:
    reno = mean_window(congestion.create("reno", MSS, 10 * MSS), 100_000 * MSS, LONG)
    large = mean_window(cubic(10 * MSS), 100_000 * MSS, LONG)
    assert large > 1.5 * reno


@pytest.mark.rfc("9438", "5")
@pytest.mark.parametrize("start", [0.5, 1, 1.5])
@pytest.mark.parametrize("segments", [10_000, 100_000])
def test_its_mean_window_is_about_that_of_the_response_function(
    segments: int, start: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the window is flat, about W_max, it hardly matters when the loss comes: a mean that is off stays so."""
    monkeypatch.setattr(Cubic, "fast_convergence", False)
    function = (0.4 * 3.7 / 1.2) ** 0.25 * (0.1 * segments) ** 0.75 * MSS
    mean = mean_window(reduced(int(function * start)), segments * MSS, LONG, cycles=100)
    assert mean == pytest.approx(function, rel=0.13)


# -- reduction ------------------------------------------------------------------------------------------------


@pytest.mark.rfc("9438", "4.6")
def test_a_loss_or_a_mark_leaves_seven_tenths_of_what_was_in_flight() -> None:
    for marked in (False, True):
        cc = cubic(100 * MSS)
        cc.on_congestion(0, 90 * MSS, marked=marked)
        assert (cc.cwnd, cc.ssthresh) == (63 * MSS, 63 * MSS)


@pytest.mark.rfc("9438", "4.8")
def test_a_timeout_leaves_one_segment_and_seven_tenths_to_return_to() -> None:
    cc = cubic(100 * MSS)
    cc.on_timeout(0, 100 * MSS, again=False)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 70 * MSS)


def after(cc: CongestionControl, seconds: int, start: int = 0) -> int:
    """The window after so long, by LONG round trips."""
    return list(windows(cc, seconds * 10, start))[-1]


@pytest.mark.rfc("9438", "4.7")
def test_a_second_loss_below_w_max_makes_room_for_others() -> None:
    """The curve then returns to 0.85 of the window at the second loss, and not to that window."""
    cc = reduced(1000 * MSS)
    cc.on_congestion(SECOND, 700 * MSS)
    k = k_of(595 * MSS, 490 * MSS)
    assert after(cc, round(k), SECOND) == pytest.approx(595 * MSS, abs=4 * MSS)


@pytest.mark.rfc("9438", "4.7")
def test_without_fast_convergence_the_window_at_the_loss_is_returned_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cubic, "fast_convergence", False)
    cc = reduced(1000 * MSS)
    cc.on_congestion(SECOND, 700 * MSS)
    k = k_of(700 * MSS, 490 * MSS)
    assert after(cc, round(k), SECOND) == pytest.approx(700 * MSS, abs=4 * MSS)


@pytest.mark.rfc("9438", "4.7")
def test_a_loss_above_w_max_is_returned_to_in_full() -> None:
    cc = reduced(500 * MSS)
    cc.cwnd = 1000 * MSS
    cc.on_congestion(SECOND, 1000 * MSS)
    k = k_of(1000 * MSS, 700 * MSS)
    assert after(cc, round(k), SECOND) == pytest.approx(1000 * MSS, abs=4 * MSS)


@pytest.mark.rfc("9438", "4.8")
def test_the_first_stage_after_a_timeout_grows_from_the_window_it_begins_with() -> None:
    """K is 0: convex from the start, W_max + C * t**3."""
    cc = cubic(1000 * MSS)
    cc.on_timeout(0, 1000 * MSS, again=False)
    cc.on_ack(ack(699 * MSS, SECOND))  # slow start up to ssthresh
    assert cc.cwnd == 700 * MSS
    grown = list(windows(cc, 100, SECOND))
    assert grown[99] == pytest.approx(700 * MSS + 0.4 * 10**3 * MSS, rel=0.02)


@pytest.mark.rfc("9438", "4.8")
def test_renos_window_begins_with_the_same_after_a_timeout() -> None:
    cc = cubic(100 * MSS)
    cc.on_timeout(0, 100 * MSS, again=False)
    cc.on_timeout(0, MSS, again=True)
    cc.on_ack(ack(69 * MSS, SECOND))
    grown = list(windows(cc, 50, SECOND, rtt=SHORT))
    assert grown[-1] - 70 * MSS == pytest.approx(50 * MSS * 9 / 17, rel=0.02)  # alpha: 100 is not reached


def test_the_stage_begins_when_the_repair_is_over() -> None:
    cc = reduced(1000 * MSS)
    for n in range(50):
        cc.on_ack(ack(10 * MSS, n * LONG, in_recovery=True))
    assert cc.cwnd == 700 * MSS
    assert after(cc, 1, 50 * LONG) == pytest.approx(w_cubic(1.0, 1000 * MSS, 700 * MSS), rel=0.02)


# -- what was no loss -----------------------------------------------------------------------------------------


@pytest.mark.rfc("9438", "4.9.1", "4.9.2")
@pytest.mark.parametrize("how", ["loss", "mark", "timeout"])
def test_undo_brings_back_the_whole_curve(how: str) -> None:
    """Half way up the curve a loss that was none: afterwards it is the same curve, at the same place and time."""
    cc, twin = reduced(1000 * MSS), reduced(1000 * MSS)
    now = 0
    for one in (cc, twin):
        list(windows(one, 40))
    now = 40 * LONG
    if how == "timeout":
        cc.on_timeout(now, cc.cwnd, again=False)
    else:
        cc.on_congestion(now, cc.cwnd, marked=how == "mark")
    for _ in range(3):
        now += MILLISECOND
        for one in (cc, twin):
            one.on_ack(ack(MSS, now, in_recovery=True))
    cc.undo(now)
    assert (cc.cwnd, cc.ssthresh) == (twin.cwnd, twin.ssthresh)
    assert list(windows(cc, 100, now)) == list(windows(twin, 100, now))
    cc.on_congestion(now, cc.cwnd)
    twin.on_congestion(now, twin.cwnd)
    assert list(windows(cc, 100, now)) == list(windows(twin, 100, now))  # W_max, too


@pytest.mark.rfc("9438", "4.9.2")
def test_undo_comes_too_late_once_the_window_is_larger_again() -> None:
    cc = reduced(20 * MSS)
    list(windows(cc, 60))
    grown = cc.cwnd
    assert grown > 20 * MSS
    twin = reduced(20 * MSS)
    list(windows(twin, 60))
    cc.undo(60 * LONG)
    assert (cc.cwnd, cc.ssthresh) == (grown, 14 * MSS)
    assert list(windows(cc, 20, 60 * LONG)) == list(windows(twin, 20, 60 * LONG))


@pytest.mark.rfc("9438", "4.9.2")
def test_undo_at_the_smallest_window_brings_back_slow_start() -> None:
    cc = reduced(2 * MSS)
    assert not cc.in_slow_start
    cc.undo(0)
    assert cc.in_slow_start


# -- what t does not count ------------------------------------------------------------------------------------


@pytest.mark.rfc("9438", "5.8-1", "5.8-2")
def test_time_in_which_the_window_was_not_used_does_not_count() -> None:
    """A twin without that minute has the same windows after it."""
    cc, twin = reduced(1000 * MSS), reduced(1000 * MSS)
    for one in (cc, twin):
        list(windows(one, 40))
    now = 40 * LONG
    last = now - LONG // 20  # of the acknowledgements so far
    for n in range(1, 600):
        cc.on_ack(ack(10 * MSS, last + n * LONG, limited=False))
    assert cc.cwnd == twin.cwnd
    assert list(windows(cc, 60, now + 599 * LONG)) == list(windows(twin, 60, now))


@pytest.mark.rfc("9438", "5.8-2")
@pytest.mark.parametrize("filled", [True, False], ids=["filling the window", "not filling it"])
def test_a_pause_does_not_count_nor_count_twice(filled: bool) -> None:
    cc, twin = reduced(1000 * MSS), reduced(1000 * MSS)
    for one in (cc, twin):
        list(windows(one, 40))
    last = 40 * LONG - LONG // 20
    cc.on_sent(last + 60 * SECOND, 60_000, 60_000)
    cc.on_ack(ack(MSS, last + 60 * SECOND + MILLISECOND, limited=filled))
    twin.on_ack(ack(MSS, last + MILLISECOND, limited=filled))
    assert list(windows(cc, 60, 40 * LONG + 60 * SECOND)) == list(windows(twin, 60, 40 * LONG))


@pytest.mark.rfc("9438", "5.8-2")
def test_time_counts_while_anything_is_on_its_way() -> None:
    cc, twin = reduced(1000 * MSS), reduced(1000 * MSS)
    for one in (cc, twin):
        list(windows(one, 40))
    cc.on_sent(40 * LONG + SECOND, 1000, 1001)
    assert list(windows(cc, 20, 40 * LONG + SECOND)) == list(windows(twin, 20, 40 * LONG + SECOND))


@pytest.mark.rfc("9438", "5.8-2")
def test_after_a_long_pause_a_new_stage_begins_towards_the_same_w_max() -> None:
    cc = cubic(100 * MSS)
    cc.on_ack(ack(900 * MSS, 0))
    cc.on_congestion(0, 1000 * MSS)
    list(windows(cc, 40))
    cc.on_idle(60 * SECOND)
    assert cc.cwnd == 100 * MSS
    cc.on_ack(ack(600 * MSS, 60 * SECOND))  # slow start, up to ssthresh
    assert cc.cwnd == 700 * MSS
    assert after(cc, round(k_of(1000 * MSS, 700 * MSS)), 60 * SECOND) == pytest.approx(1000 * MSS, abs=2 * MSS)


# -- sizes ----------------------------------------------------------------------------------------------------


@pytest.mark.rfc("9438", "4.1")
def test_with_smaller_segments_the_curve_leads_to_the_same_w_max_more_slowly() -> None:
    cc = reduced(1000 * MSS)
    list(windows(cc, 5))
    cc.set_mss(500)
    cc.on_ack(ack(1000 * MSS, SECOND))  # slow start up to ssthresh, 700 segments of before
    k = ((300 * MSS) / 500 / 0.4) ** (1 / 3)
    assert k > k_of(1000 * MSS, 700 * MSS) * 1.25
    rounds = list(windows(cc, round(k * 10), SECOND))
    assert rounds[-1] == pytest.approx(1000 * MSS, abs=2 * MSS)
    assert rounds[round(k * 10) * 3 // 4] < 1000 * MSS
