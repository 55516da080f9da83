"""HyStart++ by RFC 9406: by itself, and as CUBIC uses it."""

from __future__ import annotations

from random import Random

import pytest

from rawproto.transport import congestion
from rawproto.transport.congestion import AckSample, CongestionControl
from rawproto.transport.congestion.hystart import CSS_GROWTH_DIVISOR, CSS_ROUNDS, N_RTT_SAMPLE, HyStart

MSS = 1000
MILLISECOND = 1_000_000


class Rounds:
    """Feeds a HyStart rounds of 8 octets, of which each is acknowledged by itself."""

    def __init__(self) -> None:
        self.watch = HyStart()
        self.una = 0
        self.watch.on_ack(0, 0, 8)

    def round(self, *rtts: float) -> bool:
        """One round with these round trips in ms; tell whether slow start ended within it."""
        over = False
        for left in range(len(rtts), 0, -1):
            self.una += 1
            over |= self.watch.on_ack(int(rtts[-left] * MILLISECOND), self.una, self.una + (8 if left == 1 else 1000))
        return over


def even(rounds: Rounds, rtt: float) -> bool:
    return rounds.round(*[rtt] * 8)


def started(rtt: float = 100) -> Rounds:
    """One round done, with this round trip."""
    rounds = Rounds()
    even(rounds, rtt)
    return rounds


@pytest.mark.rfc("9406", "4.3-4")
def test_the_constants_are_those_recommended() -> None:
    assert (N_RTT_SAMPLE, CSS_GROWTH_DIVISOR, CSS_ROUNDS) == (8, 4, 5)


@pytest.mark.rfc("9406", "4.2-2")
@pytest.mark.parametrize(
    ("last", "threshold"),
    [(8, 4), (80, 10), (800, 16)],
    ids=["4 ms at the least", "an eighth", "16 ms at the most"],
)
def test_how_much_the_round_trip_must_grow(last: float, threshold: float) -> None:
    rounds = started(last)
    even(rounds, last + threshold - 0.001)
    assert not rounds.watch.conservative
    rounds = started(last)
    even(rounds, last + threshold)
    assert rounds.watch.conservative


@pytest.mark.rfc("9406", "4.2-1")
def test_fewer_than_eight_samples_say_nothing() -> None:
    rounds = started()
    rounds.round(*[200] * 7)
    assert not rounds.watch.conservative


@pytest.mark.rfc("9406", "4.2-1")
def test_an_acknowledgement_that_measures_nothing_is_no_sample() -> None:
    rounds = started()
    rounds.round(*[200] * 7, 0)
    assert not rounds.watch.conservative


@pytest.mark.rfc("9406", "4.2-1")
def test_it_is_the_smallest_round_trip_of_a_round_that_counts() -> None:
    rounds = started()
    rounds.round(200, 200, 100, *[200] * 5)
    assert not rounds.watch.conservative


@pytest.mark.rfc("9406", "4.2-2")
def test_the_first_round_has_nothing_to_be_compared_with() -> None:
    rounds = Rounds()
    even(rounds, 200)
    assert not rounds.watch.conservative


@pytest.mark.rfc("9406", "4.2-2")
def test_each_round_is_compared_with_the_one_before() -> None:
    rounds = started(100)
    for rtt in (108, 116, 125):  # an eighth of 100 is 12.5
        even(rounds, rtt)
        assert not rounds.watch.conservative


@pytest.mark.rfc("9406", "4.2-1")
def test_a_round_ends_when_what_had_been_sent_at_its_start_is_acknowledged() -> None:
    watch = HyStart()
    watch.on_ack(100 * MILLISECOND, 1, 8)
    for una in range(2, 9):
        watch.on_ack(100 * MILLISECOND, una, 16)  # 8 ends the first round
    for una in range(9, 16):
        watch.on_ack(200 * MILLISECOND, una, 40)
        assert not watch.conservative
    watch.on_ack(200 * MILLISECOND, 16, 40)  # the eighth sample of the second
    assert watch.conservative


@pytest.mark.rfc("9406", "4.2-5")
def test_slow_start_is_over_after_five_rounds_the_partial_one_included() -> None:
    rounds = started()
    assert [even(rounds, 150) for _ in range(CSS_ROUNDS)] == [False] * 4 + [True]


@pytest.mark.rfc("9406", "4.2-4")
def test_slow_start_goes_on_when_the_round_trip_falls_again() -> None:
    rounds = started()
    even(rounds, 150)
    assert rounds.watch.conservative
    even(rounds, 149)
    assert not rounds.watch.conservative
    assert [even(rounds, 170) for _ in range(CSS_ROUNDS)] == [False] * 4 + [True]  # counted anew


@pytest.mark.rfc("9406", "4.2-1", "4.2-4")
def test_seven_low_samples_do_not_bring_slow_start_back() -> None:
    rounds = started()
    even(rounds, 150)
    rounds.round(*[100] * 7)
    assert rounds.watch.conservative


# -- in CUBIC -------------------------------------------------------------------------------------------------


def ack(delivered: int, rtt: int, una: int, nxt: int, now: int = 0) -> AckSample:
    return AckSample(now, delivered, 0, delivered, 0, rtt, rtt, rtt, una, nxt, False, True, una)


class Path:
    """A path in round trips: what exceeds its capacity waits in a queue, and is lost beyond that."""

    def __init__(self, cc: CongestionControl, capacity: int, queue: int, base: int = 50 * MILLISECOND) -> None:
        self.cc, self.capacity, self.queue, self.base = cc, capacity, queue, base
        self.jitter = Random(1)
        self.jitter_ns = 0
        self.una = 0
        self.nxt = cc.cwnd
        self.now = 0
        self.losses = 0

    def round(self) -> None:
        """Acknowledge each segment of a window by itself."""
        for _ in range((self.nxt - self.una) // MSS):
            waiting = max(self.nxt - self.una - self.capacity, 0)
            if waiting > self.queue:
                self.losses += 1
                self.cc.on_congestion(self.now, self.nxt - self.una)
                self.nxt = max(self.una + self.cc.cwnd, self.una)
                return
            rtt = self.base + waiting * self.base // self.capacity + self.jitter.randint(0, self.jitter_ns)
            self.una += MSS
            self.cc.on_ack(ack(MSS, rtt, self.una, self.nxt, self.now))
            self.nxt = max(self.nxt, self.una + self.cc.cwnd)
        self.now += self.base


def until_slow_start_is_over(path: Path, rounds: int = 40) -> None:
    for _ in range(rounds):
        if not path.cc.in_slow_start:
            return
        path.round()


def in_css() -> CongestionControl:
    """CUBIC in conservative slow start, with 16 segments."""
    cc = congestion.create("cubic", MSS, 16 * MSS)
    for una in range(1, 9):
        cc.on_ack(ack(0, 100 * MILLISECOND, una, 8 if una < 8 else 16))
    for una in range(9, 17):
        cc.on_ack(ack(0, 150 * MILLISECOND, una, 1000))
    return cc


@pytest.mark.rfc("9406", "4.2-3")
def test_the_window_grows_by_a_quarter_in_conservative_slow_start() -> None:
    cc = in_css()
    cc.on_ack(ack(8 * MSS, 150 * MILLISECOND, 17, 1000))
    assert cc.cwnd == 18 * MSS
    assert cc.in_slow_start


@pytest.mark.rfc("9406", "4.2-5")
def test_a_loss_in_conservative_slow_start_ends_it() -> None:
    cc = in_css()
    cc.on_congestion(0, 16 * MSS)
    assert not cc.in_slow_start
    assert cc.cwnd == 16 * MSS * 7 // 10


@pytest.mark.rfc("9438", "4.9.2")
def test_undo_brings_back_conservative_slow_start() -> None:
    cc = in_css()
    cc.on_congestion(0, 16 * MSS)
    for una in range(17, 40):
        cc.on_ack(ack(0, 100 * MILLISECOND, una, 1000))  # low, but outside of the first slow start
    cc.undo(0)
    assert (cc.cwnd, cc.ssthresh) == (16 * MSS, None)
    cc.on_ack(ack(8 * MSS, 150 * MILLISECOND, 40, 1000))
    assert cc.cwnd == 18 * MSS


@pytest.mark.rfc("9406", "4.3-2")
def test_a_later_slow_start_is_left_alone() -> None:
    """It is long enough for the five rounds: from 10 segments on the round trip grows."""
    cc = congestion.create("cubic", MSS, 1000 * MSS)
    cc.on_timeout(0, 1000 * MSS, again=False)
    path = Path(cc, 10 * MSS, 10_000 * MSS)
    path.nxt = MSS
    until_slow_start_is_over(path)
    assert cc.ssthresh == 700 * MSS


@pytest.mark.rfc("9406", "4.2-2", "4.2-5")
def test_a_growing_queue_ends_slow_start_before_a_loss() -> None:
    path = Path(congestion.create("cubic", MSS, 10 * MSS), 100 * MSS, 400 * MSS)
    until_slow_start_is_over(path)
    assert not path.cc.in_slow_start
    assert path.losses == 0
    assert path.cc.ssthresh is not None
    assert 100 * MSS <= path.cc.ssthresh <= 500 * MSS


def test_without_it_slow_start_ends_with_a_loss() -> None:
    path = Path(congestion.create("cubic-classic", MSS, 10 * MSS), 100 * MSS, 400 * MSS)
    until_slow_start_is_over(path)
    assert not path.cc.in_slow_start
    assert path.losses == 1


@pytest.mark.rfc("9406", "4.2-1")
@pytest.mark.parametrize("seed", range(20))
def test_jitter_does_not_end_slow_start(seed: int) -> None:
    path = Path(congestion.create("cubic", MSS, 10 * MSS), 10_000 * MSS, 0)
    path.jitter, path.jitter_ns = Random(seed), 20 * MILLISECOND
    for _ in range(9):
        path.round()
    assert path.cc.in_slow_start
    assert path.cc.cwnd == 10 * MSS << 9 or path.cc.cwnd > 1000 * MSS


def over() -> CongestionControl:
    """CUBIC as conservative slow start ends, at time 0 and with 16 segments."""
    cc = in_css()
    for una in range(17, 1025):  # a round up to 1000, and three of 8
        assert cc.in_slow_start
        cc.on_ack(ack(0, 150 * MILLISECOND, una, una + 8))
    return cc


@pytest.mark.rfc("9406", "4.2-5")
@pytest.mark.rfc("9438", "4.10")
def test_the_first_stage_after_it_grows_from_the_window_as_it_is() -> None:
    """K is 0 and W_max is cwnd: the convex part of the curve, W_max + C * t**3."""
    cc = over()
    assert cc.ssthresh == cc.cwnd == 16 * MSS
    for n in range(1, 101):  # 10 s: 0.4 * 10**3 segments
        cc.on_ack(ack(cc.cwnd, 100 * MILLISECOND, 2000, 2000, now=n * 100 * MILLISECOND))
    assert cc.cwnd == pytest.approx(416 * MSS, rel=0.04)


@pytest.mark.rfc("9438", "4.10")
def test_the_first_stage_begins_as_slow_start_ends() -> None:
    cc = over()
    cc.on_ack(ack(cc.cwnd, 100 * MILLISECOND, 2000, 2000, now=2000 * MILLISECOND))
    assert cc.cwnd == pytest.approx((16 + 0.4 * 2.1**3) * MSS, abs=1)
