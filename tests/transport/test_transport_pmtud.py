"""Path MTU discovery: RFC 8899 over a toy path that drops what is larger than it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport.config import MILLISECOND, SECOND
from rawproto.transport.pmtud import (
    COMMON_MTUS,
    GRANULARITY,
    MAX_FALLS,
    MAX_PROBES,
    MINIMUM,
    PROBE_TIMER,
    RAISE_AFTER,
    PathMtu,
    PathState,
)

BASE, ETHERNET = 1200, 1480
RTT, RTO = 50 * MILLISECOND, 200 * MILLISECOND
PROBES_A_SEARCH = MAX_PROBES * (len(COMMON_MTUS) + 1 + 1 + 1 + 13)
"""Of each size: those in the table, the smallest, base and maximum, and halves of what is left, below 65536."""


@dataclass
class Toy:
    """A sender that has a full-sized datagram on its way all the time, and a path of `mtu` that loses some as well."""

    path: PathMtu
    mtu: int
    loss: float = 0.0
    sending: bool = True
    now: int = 0
    number: int = 0
    lost: int = 0
    passed: bool = False
    falls: list[int] = field(default_factory=list)
    probes: list[tuple[int, int]] = field(default_factory=list)
    rng: Random = field(default_factory=lambda: Random(1))

    def passes(self, size: int) -> bool:
        return size <= self.mtu and self.rng.random() >= self.loss

    def note(self, fell: bool) -> None:
        if fell:
            self.falls.append(self.path.size)

    def step(self) -> None:
        """One datagram there, and its acknowledgement or the timeout; a probe beside it if one is due."""
        path = self.path
        size = path.probe_due()
        if size:
            self.probes.append((self.now, size))
            path.on_probe_sent(size, self.now, RTO)
        data = path.size
        self.passed = data_passes = self.sending and self.passes(data)
        self.number += 1
        self.now += RTT if data_passes else RTO
        if size and self.passes(size):
            grew = path.size
            assert path.on_probe_acked(size, self.now) == (path.size > grew)
        if data_passes:
            path.on_full_sized_acked(data, self.number, self.now)
        elif self.sending:
            self.lost += 1
            self.note(path.on_retransmission_timeout(True, self.now))
        while (deadline := path.next_timeout()) is not None and deadline <= self.now:
            self.note(path.handle_timeout(self.now))

    def run(self, duration: int) -> None:
        end = self.now + duration
        while self.now < end:
            self.step()

    def settle(self) -> None:
        """Until nothing is to be probed, and data of the size that is left gets through."""
        for _ in range(3 * PROBES_A_SEARCH):
            self.step()
            if self.resting and self.passed:
                return
        raise AssertionError("the search goes on and on")

    @property
    def resting(self) -> bool:
        """No probe is due or on its way; the raise timer may run."""
        deadline = self.path.next_timeout()
        return not self.path.probe_due() and (deadline is None or deadline > self.now + 10 * RTO)


def toy(mtu: int, maximum: int = ETHERNET, base: int = BASE, **more: object) -> Toy:
    return Toy(PathMtu(base, maximum), mtu, **more)  # type: ignore[arg-type]


def fallen(maximum: int = ETHERNET, base: int = BASE) -> PathMtu:
    """One that has just found a black hole."""
    path = PathMtu(base, maximum)
    assert not path.on_retransmission_timeout(True, 0)
    assert path.on_retransmission_timeout(True, 0)
    return path


def lose_probes(path: PathMtu, now: int, count: int = MAX_PROBES) -> int:
    """Lose `count` probes of what is due; gives the time after."""
    for _ in range(count):
        size = path.probe_due()
        assert size
        path.on_probe_sent(size, now, RTO)
        now += RTO
        path.handle_timeout(now)
    return now


# -- the beginning ---------------------------------------------------------------------------------------------------


@pytest.mark.rdt("15-1")
@pytest.mark.rfc("4821", "7.1", "7.2")
def test_it_begins_with_what_interface_and_peer_take() -> None:
    path = PathMtu(BASE, ETHERNET)
    assert (path.size, path.state) == (ETHERNET, PathState.SEARCH_COMPLETE)
    assert (path.probe_due(), path.next_timeout()) == (0, None)


def test_on_a_path_that_takes_it_nothing_is_ever_probed() -> None:
    there = toy(ETHERNET)
    there.run(2 * RAISE_AFTER // 100)
    assert (there.path.size, there.probes, there.falls) == (ETHERNET, [], [])


def test_switched_off_it_has_the_maximum_for_ever() -> None:
    path = PathMtu(BASE, ETHERNET, enabled=False)
    for now in range(10):
        assert not path.on_retransmission_timeout(True, now)
        assert not path.on_full_sized_lost(ETHERNET, now, now)
        assert not path.handle_timeout(now)
    assert not path.on_probe_acked(ETHERNET, 10)
    assert (path.size, path.state, path.probe_due(), path.next_timeout()) == (ETHERNET, PathState.DISABLED, 0, None)


# -- black holes -----------------------------------------------------------------------------------------------------


@pytest.mark.rdt("15-5", "15-6")
@pytest.mark.rfc("8899", "4.3")
def test_three_losses_of_full_sized_datagrams_make_it_fall_to_the_base() -> None:
    path = PathMtu(BASE, ETHERNET)
    assert [path.on_full_sized_lost(ETHERNET, number, number) for number in range(3)] == [False, False, True]
    assert (path.size, path.state, path.probe_due()) == (BASE, PathState.BASE, BASE)


@pytest.mark.rdt("15-5")
@pytest.mark.rfc("8899", "4.3")
def test_losses_found_at_one_time_count_as_one() -> None:
    """A queue that overflows drops many in a row."""
    path = PathMtu(BASE, ETHERNET)
    assert not any(path.on_full_sized_lost(ETHERNET, number, 7) for number in range(50))
    assert not path.on_full_sized_lost(ETHERNET, 50, 8)
    assert path.on_full_sized_lost(ETHERNET, 51, 9)


@pytest.mark.rdt("15-5")
@pytest.mark.rfc("8899", "4.3")
def test_one_that_arrives_in_between_clears_the_path() -> None:
    path = PathMtu(BASE, ETHERNET)
    for number in range(0, 300, 3):
        assert not path.on_full_sized_lost(ETHERNET, number, number)
        assert not path.on_full_sized_lost(ETHERNET, number + 1, number + 1)
        path.on_full_sized_acked(ETHERNET, number + 2, number + 2)
    assert path.size == ETHERNET


@pytest.mark.rdt("15-5")
@pytest.mark.rfc("8899", "4.3")
def test_losses_before_one_that_arrived_say_nothing() -> None:
    """Congestion: what was sent later is what shows the loss, and it is as large."""
    path = PathMtu(BASE, ETHERNET)
    path.on_full_sized_acked(ETHERNET, 100, 0)
    assert not any(path.on_full_sized_lost(ETHERNET, number, number) for number in range(101))
    assert [path.on_full_sized_lost(ETHERNET, number, number) for number in (101, 102, 103)] == [False, False, True]


@pytest.mark.rfc("8899", "4.3")
def test_an_older_one_that_arrives_late_does_not_clear_it() -> None:
    path = PathMtu(BASE, ETHERNET)
    path.on_full_sized_acked(ETHERNET, 10, 0)
    for number in (11, 12):
        path.on_full_sized_lost(ETHERNET, number, number)
    path.on_full_sized_acked(ETHERNET, 9, 13)
    assert path.on_full_sized_lost(ETHERNET, 13, 14)


@pytest.mark.rfc("8899", "4.3")
def test_a_smaller_one_that_arrives_does_not_clear_it() -> None:
    path = PathMtu(BASE, ETHERNET)
    for number in (0, 2):
        path.on_full_sized_lost(ETHERNET, number, number)
        path.on_full_sized_acked(ETHERNET - 1, number + 1, number + 1)
    assert path.on_full_sized_lost(ETHERNET, 4, 4)


@pytest.mark.rfc("8899", "4.3")
def test_one_as_large_as_those_lost_clears_it() -> None:
    path = PathMtu(BASE, ETHERNET)
    for number in range(0, 30, 2):
        assert not path.on_full_sized_lost(ETHERNET - 80, number, number)
        path.on_full_sized_acked(ETHERNET - 80, number + 1, number + 1)
    assert path.size == ETHERNET


@pytest.mark.rdt("15-5")
@pytest.mark.rfc("8899", "4.3")
def test_losses_up_to_the_base_say_nothing() -> None:
    path = PathMtu(BASE, ETHERNET)
    assert not any(path.on_full_sized_lost(BASE, number, number) for number in range(10))


@pytest.mark.rdt("15-5")
@pytest.mark.rfc("4821", "7.7")
def test_two_timeouts_make_it_fall_and_one_does_not() -> None:
    path = PathMtu(BASE, ETHERNET)
    assert not path.on_retransmission_timeout(True, 0)
    path.on_full_sized_acked(ETHERNET, 1, 1)
    assert not path.on_retransmission_timeout(True, 2)
    assert path.on_retransmission_timeout(True, 3)
    assert (path.size, path.state) == (BASE, PathState.BASE)


@pytest.mark.rfc("4821", "7.7")
def test_timeouts_of_small_datagrams_say_nothing() -> None:
    path = PathMtu(BASE, ETHERNET)
    assert not any(path.on_retransmission_timeout(False, now) for now in range(10))
    assert path.size == ETHERNET


def test_what_was_sent_larger_before_the_fall_says_nothing_more() -> None:
    path = fallen()
    assert not any(path.on_full_sized_lost(ETHERNET, number, number) for number in range(10))
    assert (path.size, path.state) == (BASE, PathState.BASE)


@pytest.mark.rfc("8899", "4.3")
def test_in_a_black_hole_a_bounded_number_of_datagrams_is_lost() -> None:
    there = toy(1400)
    there.run(10 * SECOND)
    assert there.lost == 2
    assert there.falls == [BASE]


# -- the states --------------------------------------------------------------------------------------------------------


@pytest.mark.rdt("15-6")
@pytest.mark.rfc("8899", "5.2-1")
def test_the_base_is_confirmed_by_a_probe_and_the_search_begins() -> None:
    path = fallen()
    path.on_probe_sent(BASE, 0)
    assert path.probe_due() == 0
    assert not path.on_probe_acked(BASE, 1), "it has that size already"
    assert (path.state, path.probe_due()) == (PathState.SEARCHING, 1280 - 20)


@pytest.mark.rdt("15-6")
@pytest.mark.rfc("8899", "5.2-1")
def test_the_base_is_confirmed_by_data_as_well() -> None:
    path = fallen()
    path.on_probe_sent(BASE, 0)
    path.on_full_sized_acked(BASE, 1, 1)
    assert (path.state, path.probe_due()) == (PathState.SEARCHING, 1280 - 20)
    assert path.next_timeout() is None, "the probe that was on its way is of no interest any more"


@pytest.mark.rdt("15-6")
def test_smaller_data_does_not_confirm_it() -> None:
    path = fallen()
    path.on_full_sized_acked(BASE - 1, 1, 1)
    assert path.state is PathState.BASE


@pytest.mark.rdt("15-7")
@pytest.mark.rfc("8899", "5.2-1")
def test_a_base_that_does_not_get_through_is_an_error() -> None:
    path = fallen()
    now = lose_probes(path, 0, MAX_PROBES - 1)
    assert path.state is PathState.BASE
    path.on_probe_sent(path.probe_due(), now, RTO)
    assert path.handle_timeout(now + RTO), "the size fell"
    assert (path.size, path.state, path.probe_due()) == (MINIMUM, PathState.ERROR, MINIMUM)


@pytest.mark.rdt("15-7")
@pytest.mark.rfc("8899", "5.2-1")
def test_from_an_error_the_search_goes_on_below_the_base() -> None:
    path = fallen()
    now = lose_probes(path, 0)
    path.on_probe_sent(MINIMUM, now, RTO)
    path.on_probe_acked(MINIMUM, now + RTT)
    size = path.probe_due()
    assert MINIMUM < size < BASE
    assert path.state is PathState.ERROR
    path.on_probe_sent(size, now + RTT, RTO)
    assert path.on_probe_acked(size, now + 2 * RTT)
    assert (path.size, path.state) == (size, PathState.ERROR)


@pytest.mark.rdt("15-7")
@pytest.mark.rfc("8899", "5.2-1")
def test_losses_of_the_base_itself_have_it_confirmed_again() -> None:
    there = toy(1200)
    there.settle()
    assert there.path.size == BASE
    path, number = there.path, there.number
    assert [path.on_full_sized_lost(BASE, number + lost, there.now + lost) for lost in (1, 2, 3)] == [False] * 3
    assert (path.size, path.state, path.probe_due()) == (BASE, PathState.BASE, BASE)
    assert [path.on_full_sized_lost(BASE, number + lost, there.now + lost) for lost in (4, 5, 6)] == [
        False,
        False,
        True,
    ]
    assert (path.size, path.state) == (MINIMUM, PathState.ERROR)


@pytest.mark.rdt("15-7")
def test_after_an_outage_the_base_is_tried_at_once_again() -> None:
    """Nothing got through, so what failed was not too large."""
    there = toy(0)
    there.run(28 * SECOND)
    assert (there.path.size, there.path.state, there.resting) == (MINIMUM, PathState.ERROR, True)
    there.mtu = ETHERNET
    there.probes.clear()
    there.run(SECOND)
    assert (there.path.size, there.path.state) == (ETHERNET, PathState.SEARCH_COMPLETE)
    assert [size for _, size in there.probes][:2] == [BASE, 1280 - 20]


def test_without_data_an_outage_is_over_when_the_smallest_probe_arrives() -> None:
    there = toy(0)
    there.run(60 * SECOND)
    there.mtu, there.sending = 300, False
    deadline = there.path.next_timeout()
    assert deadline is not None
    there.now = deadline
    there.path.handle_timeout(deadline)
    there.run(60 * SECOND)
    assert 300 - GRANULARITY < there.path.size <= 300


@pytest.mark.rdt("15-8")
@pytest.mark.rfc("8899", "5.3.1")
def test_the_search_ends_with_the_maximum() -> None:
    there = toy(ETHERNET)
    there.path = fallen()
    there.settle()
    assert (there.path.size, there.path.state) == (ETHERNET, PathState.SEARCH_COMPLETE)
    assert [size for _, size in there.probes] == [1200, 1260, 1380, 1400, 1430, 1452, 1460, 1472, 1480]


@pytest.mark.rfc("8899", "5.3.2")
@pytest.mark.parametrize("mtu", COMMON_MTUS)
def test_a_common_size_is_found_to_the_byte(mtu: int) -> None:
    there = toy(mtu - 20, maximum=8980)
    there.settle()
    assert there.path.size == mtu - 20


@pytest.mark.rfc("8899", "5.3.2")
def test_what_the_carrier_adds_is_taken_into_account() -> None:
    there = Toy(PathMtu(BASE, 1452, overhead=48), 1420 - 48)
    there.settle()
    assert there.path.size == 1420 - 48
    assert [size for _, size in there.probes][:5] == [1200, 1280 - 48, 1400 - 48, 1420 - 48, 1450 - 48]


@pytest.mark.rdt("15-8")
@pytest.mark.rfc("8899", "5.3.2")
def test_a_search_for_little_gain_is_not_begun() -> None:
    there = toy(1207, maximum=1208)
    there.settle()
    assert [size for _, size in there.probes] == [1200, 1208, 1208, 1208]
    there = toy(1208, maximum=1209)
    there.settle()
    assert [size for _, size in there.probes] == [1200, 1209, 1209, 1209, 1204]


# -- probes and timers -------------------------------------------------------------------------------------------------


@pytest.mark.rdt("15-3")
@pytest.mark.rfc("8899", "5.1.1")
def test_one_probe_is_on_its_way_at_a_time() -> None:
    path = fallen()
    path.on_probe_sent(BASE, 5, RTO)
    assert path.probe_due() == 0
    assert path.next_timeout() == 5 + RTO
    assert not path.handle_timeout(4 + RTO)
    assert path.probe_due() == 0
    assert not path.handle_timeout(5 + RTO)
    assert path.probe_due() == BASE
    assert path.next_timeout() is None


@pytest.mark.rfc("8899", "5.1.1")
def test_without_a_round_trip_time_a_probe_has_a_second() -> None:
    path = fallen()
    path.on_probe_sent(BASE, 5)
    assert path.next_timeout() == 5 + PROBE_TIMER == 5 + SECOND


@pytest.mark.rfc("8899", "5.1.2")
def test_a_size_is_given_up_after_three_probes() -> None:
    path = fallen()
    path.on_probe_sent(BASE, 0, RTO)
    path.on_probe_acked(BASE, 1)
    first = path.probe_due()
    now = lose_probes(path, 1, MAX_PROBES - 1)
    assert path.probe_due() == first
    lose_probes(path, now, 1)
    assert BASE < path.probe_due() < first
    assert path.size == BASE


def test_how_many_probes_can_be_told() -> None:
    path = PathMtu(BASE, ETHERNET, probes=1)
    for now in (0, 1):
        path.on_retransmission_timeout(True, now)
    lose_probes(path, 2, 1)
    assert path.state is PathState.ERROR


@pytest.mark.rdt("15-4")
@pytest.mark.rfc("8899", "3-1")
def test_a_probe_that_was_given_up_may_still_arrive() -> None:
    path = fallen()
    path.on_probe_sent(BASE, 0, RTO)
    path.on_probe_acked(BASE, 1)
    late = path.probe_due()
    now = lose_probes(path, 1)
    assert path.on_probe_acked(late, now)
    assert path.size == late
    assert path.probe_due() > late


@pytest.mark.rdt("15-4")
@pytest.mark.rfc("8899", "3-1")
def test_a_report_that_comes_twice_changes_nothing() -> None:
    path = fallen()
    path.on_probe_sent(BASE, 0, RTO)
    path.on_probe_acked(BASE, 1)
    size = path.probe_due()
    path.on_probe_sent(size, 1, RTO)
    assert path.on_probe_acked(size, 2)
    larger = path.probe_due()
    path.on_probe_sent(larger, 2, RTO)
    assert not path.on_probe_acked(size, 3)
    assert not path.on_probe_acked(BASE, 3)
    assert (path.size, path.next_timeout()) == (size, 2 + RTO)


@pytest.mark.rdt("15-4")
@pytest.mark.rfc("8899", "3-1")
def test_a_report_of_what_was_not_asked_is_not_believed() -> None:
    path = fallen()
    assert not path.on_probe_acked(ETHERNET, 1)
    assert not path.on_probe_acked(60_000, 1)
    assert (path.size, path.state) == (BASE, PathState.BASE)


@pytest.mark.rdt("15-4")
@pytest.mark.rfc("8899", "3-1")
def test_a_report_from_before_the_fall_is_not_believed() -> None:
    there = toy(ETHERNET)
    there.path = path = fallen()
    there.settle()
    assert path.size == ETHERNET
    for now in (there.now + 1, there.now + 2):
        path.on_retransmission_timeout(True, now)
    assert path.size == BASE
    assert not path.on_probe_acked(ETHERNET, there.now + 3)
    assert path.size == BASE


@pytest.mark.rdt("15-4")
@pytest.mark.rfc("8899", "3-1")
def test_a_report_from_the_search_before_is_not_believed() -> None:
    there = toy(1400)
    there.settle()
    assert 1430 in [size for _, size in there.probes]
    deadline = there.path.next_timeout()
    assert deadline is not None
    there.path.handle_timeout(deadline)
    assert not there.path.on_probe_acked(1430, deadline)
    assert there.path.size == 1400


def test_a_late_report_that_begins_a_search_stops_the_raise_timer() -> None:
    there = toy(1400)
    there.settle()
    assert there.path.next_timeout() is not None
    assert there.path.on_probe_acked(1430, there.now)
    assert (there.path.state, there.path.probe_due()) == (PathState.SEARCHING, 1452)
    assert there.path.next_timeout() is None


def test_what_lies_above_a_size_that_failed_is_not_tried_before_the_raise_timer() -> None:
    there = toy(ETHERNET, 8980)
    there.path = path = fallen(8980)
    while path.size < 1430:
        there.step()
    for lost in (1, 2, 3):
        path.on_full_sized_lost(path.size, there.number + lost, there.now + lost)
    there.probes.clear()
    there.settle()
    assert path.size == 1430
    assert max(size for _, size in there.probes) == 1430


@pytest.mark.rdt("15-9")
@pytest.mark.rfc("8899", "5.1.1-2", "5.2-2")
def test_after_ten_minutes_it_looks_for_more() -> None:
    there = toy(1400)
    there.settle()
    assert there.path.state is PathState.SEARCH_COMPLETE
    deadline = there.path.next_timeout()
    assert deadline is not None
    assert there.now - 2 * RTO < deadline - 600 * SECOND <= there.now
    there.mtu, count = ETHERNET, len(there.probes)
    there.path.handle_timeout(deadline - 1)
    assert there.path.probe_due() == 0
    there.now = deadline
    there.path.handle_timeout(deadline)
    assert there.path.state is PathState.SEARCHING
    there.settle()
    assert there.path.size == ETHERNET
    assert len(there.probes) > count


@pytest.mark.rdt("15-9")
def test_below_the_base_it_looks_for_more_twenty_times_sooner() -> None:
    there = toy(600)
    there.settle()
    assert there.path.state is PathState.ERROR
    deadline = there.path.next_timeout()
    assert deadline is not None
    assert there.now - 2 * RTO < deadline - 30 * SECOND <= there.now
    there.mtu = ETHERNET
    there.now = deadline
    there.path.handle_timeout(deadline)
    there.settle()
    assert there.path.size == ETHERNET


def test_it_does_not_wake_up_a_settled_connection_once_it_has_the_maximum() -> None:
    there = toy(ETHERNET)
    there.path = fallen()
    there.settle()
    there.now += RAISE_AFTER
    assert not there.path.handle_timeout(there.now)
    assert (there.path.size, there.path.probe_due(), there.path.next_timeout()) == (ETHERNET, 0, None)


@pytest.mark.rdt("15-10")
@pytest.mark.rfc("8899", "5.2-1")
def test_a_path_that_contradicts_itself_is_left_at_the_base() -> None:
    """Probes of any size get through, data above the base does not."""
    path, now, number, probes = PathMtu(BASE, ETHERNET), 0, 0, 0
    for _ in range(2000):
        now, number = now + RTO, number + 1
        size = path.probe_due()
        if size:
            probes += 1
            path.on_probe_sent(size, now, RTO)
            path.on_probe_acked(size, now)
        elif path.size > BASE:
            path.on_full_sized_lost(path.size, number, now)
        else:
            path.on_full_sized_acked(path.size, number, now)
    assert (path.size, path.state) == (BASE, PathState.SEARCH_COMPLETE)
    assert probes <= (MAX_FALLS + 1) * (len(COMMON_MTUS) + 2)
    deadline = path.next_timeout()
    assert deadline is not None
    path.handle_timeout(deadline)
    assert path.state is PathState.SEARCHING, "and tried again after the raise timer"


def test_falls_are_forgotten_with_the_raise_timer() -> None:
    """Even where there is nothing to raise."""
    there = toy(ETHERNET)
    for _ in range(3 * MAX_FALLS):
        there.mtu = 0
        while there.path.size == ETHERNET:
            there.step()
        there.mtu = ETHERNET
        there.settle()
        assert there.path.size == ETHERNET
        there.now += RAISE_AFTER
        there.step()


# -- a path that loses whatever the size -------------------------------------------------------------------------------


@pytest.mark.rdt("15-7")
@pytest.mark.rfc("8899", "5.1.2")
@pytest.mark.parametrize(("permille", "probes"), [(0, 3), (100, 3), (200, 5), (300, 7), (500, 8), (1000, 8)])
def test_the_more_a_path_loses_the_more_probes_are_lost_before_a_size_is_given_up(permille: int, probes: int) -> None:
    """As many as chance takes, probe or answer, in less than 1 of 100 cases: with a loss of 0.2 it is 0.36 ** 5."""
    path = fallen()
    path.on_probe_sent(BASE, 0, RTO)
    path.on_probe_acked(BASE, 1)
    first = path.probe_due()
    path.loss_permille = permille
    now = lose_probes(path, 1, probes - 1)
    assert path.probe_due() == first
    lose_probes(path, now, 1)
    assert path.probe_due() < first


@pytest.mark.rdt("15-7")
def test_on_such_a_path_the_base_is_not_given_up_sooner_either() -> None:
    path = fallen()
    path.loss_permille = 200
    now = lose_probes(path, 0, 4)
    assert path.state is PathState.BASE
    lose_probes(path, now, 1)
    assert path.state is PathState.ERROR


@pytest.mark.rdt("15-5")
@pytest.mark.rfc("4821", "7.7")
@pytest.mark.parametrize(("permille", "timeouts"), [(0, 2), (20, 2), (100, 3), (200, 4), (900, 4), (1000, 4)])
def test_the_more_it_loses_the_more_timeouts_make_a_black_hole(permille: int, timeouts: int) -> None:
    path = PathMtu(BASE, ETHERNET)
    path.loss_permille = permille
    fell = [path.on_retransmission_timeout(True, now) for now in range(timeouts)]
    assert fell == [False] * (timeouts - 1) + [True]
    assert path.size == BASE


# -- any path --------------------------------------------------------------------------------------------------------

MTUS = st.integers(MINIMUM, 9000)


@pytest.mark.rfc("8899", "5.3.1")
@given(mtu=MTUS, maximum=MTUS, base=MTUS)
def test_on_any_path_it_ends_at_what_the_path_takes(mtu: int, maximum: int, base: int) -> None:
    there = toy(mtu, maximum, base)
    there.settle()
    best = min(mtu, maximum)
    assert best - GRANULARITY < there.path.size <= best
    assert len(there.probes) <= PROBES_A_SEARCH
    assert there.lost <= 4


@given(first=MTUS, mtus=st.lists(MTUS, min_size=1, max_size=4), maximum=MTUS)
def test_it_follows_a_path_that_changes(first: int, mtus: list[int], maximum: int) -> None:
    there = toy(first, maximum)
    there.settle()
    for mtu in mtus:
        there.mtu = mtu
        there.settle()
        assert there.path.size <= mtu
        there.now = max(there.now, there.path.next_timeout() or 0)
        probes = len(there.probes)
        there.path.handle_timeout(there.now)
        there.settle()
        best = min(mtu, maximum)
        assert best - GRANULARITY < there.path.size <= best
        assert len(there.probes) - probes <= PROBES_A_SEARCH


@given(
    mtu=MTUS,
    loss=st.sampled_from([0.05, 0.3, 0.6, 1.0]),
    seed=st.integers(0, 1000),
    sending=st.booleans(),
)
def test_on_a_path_that_loses_much_it_still_asks_no_more_than_it_may(
    mtu: int, loss: float, seed: int, sending: bool
) -> None:
    there = toy(mtu, 9000, loss=loss, rng=Random(seed), sending=sending)
    there.run(100 * SECOND)
    assert len(there.probes) <= (MAX_FALLS + 1) * PROBES_A_SEARCH + len(there.falls) * 3 * MAX_PROBES
    assert MINIMUM <= there.path.size <= 9000
    assert there.path.size <= mtu or there.path.state is not PathState.SEARCH_COMPLETE or not there.falls


@given(mtu=MTUS, seed=st.integers(0, 1000))
def test_it_does_the_same_each_time(mtu: int, seed: int) -> None:
    runs = []
    for _ in range(2):
        there = toy(mtu, 9000, loss=0.2, rng=Random(seed))
        there.run(20 * SECOND)
        runs.append((there.probes, there.falls, there.path.size))
    assert runs[0] == runs[1]


def test_for_a_year_on_a_small_path_it_only_ever_asks_now_and_then() -> None:
    there = toy(1300, 9000)
    there.settle()
    before = len(there.probes)
    for _ in range(100):
        there.now = max(there.now, there.path.next_timeout() or 0)
        there.path.handle_timeout(there.now)
        there.settle()
        assert 1300 - GRANULARITY < there.path.size <= 1300
    assert len(there.probes) - before <= 100 * 5 * MAX_PROBES


def test_when_nothing_that_the_base_would_carry_gets_through_the_base_is_not_tried_first() -> None:
    """It would carry it, and yet it does not arrive: waiting for the base to fail takes longer than peers wait."""
    path = PathMtu(1200, 1480)
    fell = [path.on_retransmission_timeout(False, now, smaller=True) for now in range(4)]
    assert fell == [False, False, False, True]
    assert (path.size, path.state) == (104, PathState.ERROR)
