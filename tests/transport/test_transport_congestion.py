"""The registry, the interface, none, and Reno by RFC 5681."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import ConfigError
from rawproto.transport import congestion
from rawproto.transport.congestion import AckSample, CongestionControl

MSS = 1000
MILLISECOND = 1_000_000
LOSS_BASED = ["reno", "cubic", "cubic-classic"]


def ack(delivered: int, *, now: int = 0, limited: bool = True, in_recovery: bool = False, rtt: int = 0) -> AckSample:
    srtt = rtt or 20 * MILLISECOND
    return AckSample(now, delivered, 0, delivered, 0, rtt, srtt, srtt, 0, 0, in_recovery, limited, delivered)


def reno(cwnd: int = 10 * MSS) -> CongestionControl:
    return congestion.create("reno", MSS, cwnd)


def avoiding(cwnd: int = 10 * MSS) -> CongestionControl:
    """Reno in congestion avoidance with this window."""
    cc = reno(2 * cwnd)
    cc.on_congestion(0, 2 * cwnd)
    return cc


def sawtooth(cc: CongestionControl, capacity: int, rounds: int, rtt: int = 100 * MILLISECOND) -> list[int]:
    """The window at the end of each round trip, on a path that loses one packet of each round above `capacity`."""
    windows = []
    for n in range(1, rounds + 1):
        left = cc.cwnd
        while left > 0:
            cc.on_ack(ack(min(left, 7 * MSS), now=n * rtt, rtt=rtt))
            left -= 7 * MSS
        if cc.cwnd > capacity:
            cc.on_congestion(n * rtt, cc.cwnd)
        windows.append(cc.cwnd)
    return windows


# -- Reno: growth ---------------------------------------------------------------------------------------------


@pytest.mark.rfc("3465", "2.2")
@pytest.mark.rfc("5681", "3.1-4")
def test_slow_start_grows_by_what_is_acknowledged() -> None:
    cc = reno()
    cc.on_ack(ack(3000))
    assert cc.cwnd == 13 * MSS


@pytest.mark.rfc("3465", "2.2")
def test_octets_count_once_however_many_acknowledgements_they_are_spread_over() -> None:
    cc = reno()
    for _ in range(MSS):
        cc.on_ack(ack(3))
    assert cc.cwnd == 13 * MSS


@pytest.mark.rfc("5681", "3.1-8")
@pytest.mark.parametrize("name", LOSS_BASED)
def test_before_the_first_loss_there_is_no_threshold(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    for _ in range(20):
        cc.on_ack(ack(cc.cwnd))
    assert cc.in_slow_start
    assert cc.cwnd == 10 * MSS << 20


@pytest.mark.rfc("9406", "4.3-1")
def test_one_acknowledgement_for_a_whole_burst_counts_in_full() -> None:
    cc = reno(64 * MSS)
    cc.on_ack(ack(64 * MSS))
    assert cc.cwnd == 128 * MSS


@pytest.mark.rfc("5681", "3.1-4")
def test_slow_start_ends_at_the_threshold_and_the_rest_counts_for_avoidance() -> None:
    cc = reno()
    cc.on_timeout(0, 10 * MSS, again=False)  # ssthresh is 5 segments
    cc.on_ack(ack(9 * MSS))  # 4 of them fill the window up, 5 are a whole window
    assert cc.cwnd == 6 * MSS


@pytest.mark.rfc("3465", "2.1")
@pytest.mark.rfc("5681", "3.1-5")
def test_avoidance_adds_one_segment_a_window() -> None:
    cc = avoiding(5 * MSS)
    for _ in range(4):
        cc.on_ack(ack(MSS))
    assert cc.cwnd == 5 * MSS
    cc.on_ack(ack(MSS))
    assert cc.cwnd == 6 * MSS


@pytest.mark.rfc("3465", "2.1")
@pytest.mark.rfc("5681", "3.1-5")
def test_avoidance_keeps_what_an_increase_left_over() -> None:
    cc = avoiding(5 * MSS)
    cc.on_ack(ack(8 * MSS))  # 3 too many
    cc.on_ack(ack(3 * MSS))  # the next 6
    assert cc.cwnd == 7 * MSS


@pytest.mark.rfc("5681", "3.1-5")
def test_avoidance_never_adds_more_than_one_segment_for_one_acknowledgement() -> None:
    cc = avoiding(5 * MSS)
    cc.on_ack(ack(100 * MSS))
    assert cc.cwnd == 6 * MSS


@pytest.mark.rfc("5681", "3.1-5")
def test_what_was_acknowledged_before_a_loss_does_not_count_after_it() -> None:
    cc = avoiding(10 * MSS)
    cc.on_ack(ack(9 * MSS))
    cc.on_congestion(0, 10 * MSS)
    cc.on_ack(ack(4 * MSS))
    assert cc.cwnd == 5 * MSS


@pytest.mark.rdt("9.4-3")
@pytest.mark.rfc("9438", "5.8-1")
@pytest.mark.rfc("9002", "7.8")
@pytest.mark.parametrize("name", LOSS_BASED)
def test_a_window_that_is_not_used_does_not_grow(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    cc.on_ack(ack(1000, limited=False))
    assert cc.cwnd == 10 * MSS
    cc.on_congestion(0, 10 * MSS)
    before = cc.cwnd
    for n in range(100):
        cc.on_ack(ack(before, now=n * 1000 * MILLISECOND, limited=False))
    assert cc.cwnd == before


@pytest.mark.rdt("9.1-5")
@pytest.mark.parametrize("name", LOSS_BASED)
def test_the_window_does_not_grow_while_a_loss_is_repaired(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    cc.on_congestion(0, 10 * MSS)
    before = cc.cwnd
    for n in range(100):
        cc.on_ack(ack(before, now=n * 1000 * MILLISECOND, in_recovery=True))
    assert cc.cwnd == before


# -- Reno: reduction ------------------------------------------------------------------------------------------


@pytest.mark.rfc("5681", "3.2-3")
def test_a_loss_halves_what_was_in_flight() -> None:
    cc = reno()
    cc.on_congestion(100, 8 * MSS)
    assert (cc.cwnd, cc.ssthresh) == (4 * MSS, 4 * MSS)


@pytest.mark.rfc("5681", "3.2-3")
def test_what_limited_transmit_sent_beyond_the_window_is_not_halved() -> None:
    cc = reno()
    cc.on_congestion(100, 12 * MSS)
    assert cc.ssthresh == 5 * MSS


@pytest.mark.rfc("5681", "3.2-3")
@pytest.mark.parametrize("name", LOSS_BASED)
def test_a_loss_leaves_two_segments_at_least(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    cc.on_congestion(100, MSS)
    assert (cc.cwnd, cc.ssthresh) == (2 * MSS, 2 * MSS)


@pytest.mark.parametrize("name", LOSS_BASED)
def test_a_loss_does_not_make_the_window_larger(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    cc.on_timeout(100, 10 * MSS, again=False)
    cc.on_congestion(200, MSS)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 2 * MSS)


@pytest.mark.rfc("3168", "6.1.2-1")
def test_a_mark_counts_as_a_loss() -> None:
    cc = reno()
    cc.on_congestion(100, 10 * MSS, marked=True)
    assert (cc.cwnd, cc.ssthresh) == (5 * MSS, 5 * MSS)


@pytest.mark.rfc("3168", "6.1.2-4")
@pytest.mark.rfc("9438", "4.6")
@pytest.mark.parametrize("name", LOSS_BASED)
def test_marks_take_the_window_down_to_one_segment(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    for n in range(10):
        cc.on_congestion(n, cc.cwnd, marked=True)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 2 * MSS)


@pytest.mark.rfc("5681", "3.1-9", "3.1-11")
def test_a_timeout_begins_again_with_one_segment() -> None:
    cc = reno()
    cc.on_timeout(100, 10 * MSS, again=False)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 5 * MSS)
    assert cc.in_slow_start


@pytest.mark.rdt("9.1-2")
@pytest.mark.rfc("5681", "3.1-10")
@pytest.mark.parametrize(("name", "ssthresh"), [("reno", 5 * MSS), ("cubic", 7 * MSS)])
def test_a_timeout_without_progress_keeps_the_threshold(name: str, ssthresh: int) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    cc.on_timeout(100, 10 * MSS, again=False)
    cc.on_timeout(200, MSS, again=True)
    assert (cc.cwnd, cc.ssthresh) == (MSS, ssthresh)


# -- Reno: undo, pauses, sizes --------------------------------------------------------------------------------


@pytest.mark.rfc("4015", "3.2-1", "3.2-2")
def test_undo_brings_back_window_and_threshold() -> None:
    cc = avoiding(10 * MSS)
    cc.on_congestion(100, 10 * MSS)
    cc.undo(200)
    assert (cc.cwnd, cc.ssthresh) == (10 * MSS, 10 * MSS)


@pytest.mark.parametrize("name", LOSS_BASED)
def test_undo_of_repeated_timeouts_goes_back_before_the_first(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    cc.on_timeout(100, 10 * MSS, again=False)
    cc.on_timeout(300, MSS, again=True)
    cc.undo(400)
    assert (cc.cwnd, cc.ssthresh) == (10 * MSS, None)


@pytest.mark.parametrize("name", LOSS_BASED)
def test_undo_takes_back_only_the_last_reduction(name: str) -> None:
    cc = congestion.create(name, MSS, 100 * MSS)
    cc.on_congestion(100, 100 * MSS)
    once = cc.cwnd
    cc.on_timeout(200, once, again=False)
    cc.undo(300)
    assert (cc.cwnd, cc.ssthresh) == (once, once)
    cc.cwnd = 20 * MSS
    cc.undo(300)
    assert cc.cwnd == 20 * MSS


@pytest.mark.rdt("7.10-2")
def test_undo_does_not_take_away_what_has_grown_since() -> None:
    cc = avoiding(4 * MSS)
    cc.on_congestion(100, 4 * MSS)
    for _ in range(30):
        cc.on_ack(ack(cc.cwnd))
    grown = cc.cwnd
    cc.undo(200)
    assert grown > 4 * MSS
    assert cc.cwnd == grown


@pytest.mark.rfc("5681", "4.1")
@pytest.mark.parametrize("name", LOSS_BASED)
def test_a_pause_brings_the_window_down_to_the_initial_one(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    cc.on_ack(ack(30 * MSS))
    cc.on_congestion(50, 40 * MSS)
    ssthresh = cc.ssthresh
    cc.on_idle(100)
    assert (cc.cwnd, cc.ssthresh) == (10 * MSS, ssthresh)


@pytest.mark.parametrize("name", LOSS_BASED)
def test_undo_after_a_pause_does_nothing(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    cc.on_ack(ack(30 * MSS))
    cc.on_congestion(50, 40 * MSS)
    cc.on_idle(100)
    cc.undo(200)
    assert cc.cwnd == 10 * MSS


@pytest.mark.parametrize("name", LOSS_BASED)
def test_smaller_segments_make_the_window_smaller(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    cc.set_mss(500)
    assert (cc.mss, cc.cwnd) == (500, 5 * MSS)


@pytest.mark.rfc("8899", "3-3")
@pytest.mark.parametrize("name", LOSS_BASED)
def test_larger_segments_leave_the_window_but_never_below_one(name: str) -> None:
    cc = congestion.create(name, MSS, 2 * MSS)
    cc.set_mss(2 * MSS)
    assert cc.cwnd == 2 * MSS
    cc.set_mss(9000)
    assert cc.cwnd == 9000


@pytest.mark.parametrize("name", LOSS_BASED)
def test_the_same_size_again_changes_nothing(name: str) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    cc.on_congestion(50, 10 * MSS)
    cc.set_mss(MSS)
    cc.undo(60)
    assert (cc.cwnd, cc.ssthresh) == (10 * MSS, None)


# -- over many round trips ------------------------------------------------------------------------------------


@pytest.mark.rfc("5681", "3.1-4", "3.2-3")
def test_reno_goes_between_half_the_capacity_and_all_of_it() -> None:
    windows = sawtooth(reno(), 100 * MSS, 1000)[200:]
    assert min(windows) >= 50 * MSS
    assert max(windows) <= 101 * MSS
    assert sum(windows) / len(windows) == pytest.approx(75 * MSS, rel=0.02)


@pytest.mark.rfc("5681", "3.1-5")
def test_reno_adds_a_segment_a_round_trip_between_losses() -> None:
    windows = sawtooth(avoiding(50 * MSS), 1000 * MSS, 100)
    assert windows[-1] == pytest.approx(150 * MSS, abs=2 * MSS)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["ack", "ack", "unused", "repairing", "loss", "mark", "timeout", "again", "undo", "idle", "sent", "mss"]
        ),
        st.integers(1, 70_000),
        st.integers(0, 2_000 * MILLISECOND),
    ),
    max_size=60,
)


def happen(cc: CongestionControl, event: str, size: int, now: int) -> None:
    if event in {"ack", "unused", "repairing"}:
        cc.on_ack(ack(size, now=now, limited=event != "unused", in_recovery=event == "repairing", rtt=1 + size))
    elif event in {"loss", "mark"}:
        cc.on_congestion(now, min(size, cc.cwnd), marked=event == "mark")
    elif event in {"timeout", "again"}:
        cc.on_timeout(now, min(size, cc.cwnd), again=event == "again")
    elif event == "undo":
        cc.undo(now)
    elif event == "idle":
        cc.on_idle(now)
    elif event == "sent":
        cc.on_sent(now, size, size)
    else:
        cc.set_mss(1 + size % 9000)


@pytest.mark.parametrize("name", LOSS_BASED)
@given(events=EVENTS)
def test_whatever_happens_windows_are_integers_and_hold_a_segment(
    name: str, events: list[tuple[str, int, int]]
) -> None:
    cc = congestion.create(name, MSS, 10 * MSS)
    now = 0
    for event, size, pause in events:
        now += pause
        grows = event == "ack" or event in {"undo", "mss"}
        before, cwnd = cc.ssthresh, cc.cwnd
        happen(cc, event, size, now)
        assert type(cc.cwnd) is int
        assert cc.cwnd >= cc.mss
        assert cc.ssthresh is None or type(cc.ssthresh) is int
        assert grows or cc.cwnd <= cwnd
        assert cc.ssthresh == before or event not in {"unused", "repairing", "idle", "sent"}
        if event == "mss" and before is not None:
            assert cc.ssthresh == max(before, 2 * cc.mss)


@pytest.mark.parametrize(("name", "tenths"), [("reno", 5), ("cubic", 7), ("cubic-classic", 7)])
@given(cwnd=st.integers(3 * MSS, 1 << 40), share=st.integers(0, 1 << 40), marked=st.booleans())
def test_the_factor_of_a_reduction_is_exact(name: str, tenths: int, cwnd: int, share: int, marked: bool) -> None:
    cc = congestion.create(name, MSS, cwnd)
    in_flight = min(share, cwnd)
    cc.on_congestion(0, in_flight, marked=marked)
    assert cc.ssthresh == max(in_flight * tenths // 10, 2 * MSS)
    assert cc.cwnd == max(in_flight * tenths // 10, MSS if marked else 2 * MSS)


@pytest.mark.parametrize("name", LOSS_BASED)
@given(events=EVENTS, how=st.sampled_from(["loss", "mark", "timeout"]), repairing=st.integers(0, 10))
def test_undo_restores_exactly(name: str, events: list[tuple[str, int, int]], how: str, repairing: int) -> None:
    """A twin that never saw the reduction has the same window, and goes on as the other does."""
    cc, twin = (congestion.create(name, MSS, 10 * MSS) for _ in range(2))
    now = 0
    for event, size, pause in events:
        now += pause
        happen(cc, event, size, now)
        happen(twin, event, size, now)
    happen(cc, how, 1 << 40, now)
    for _ in range(repairing):
        now += MILLISECOND
        for one in (cc, twin):
            one.on_ack(ack(MSS, now=now, in_recovery=True))
    cc.undo(now)
    assert (cc.cwnd, cc.ssthresh) == (twin.cwnd, twin.ssthresh)
    if name != "reno":  # Reno forgets what had been acknowledged towards its next increase
        for n in range(20):
            for one in (cc, twin):
                one.on_ack(ack(3 * MSS, now=now + n * 50 * MILLISECOND))
            assert cc.cwnd == twin.cwnd


# -- none -----------------------------------------------------------------------------------------------------


def test_none_never_holds_back() -> None:
    cc = congestion.create("none", MSS, MSS)
    cc.on_congestion(0, 10)
    cc.on_congestion(0, 10, marked=True)
    cc.on_timeout(1, 10, again=False)
    cc.on_ack(ack(10))
    cc.undo(1)
    cc.on_idle(1)
    cc.set_mss(1)
    assert cc.cwnd >= 1 << 60
    assert cc.ssthresh is None
    assert not cc.proportional


# -- the registry ---------------------------------------------------------------------------------------------


class Fixed(CongestionControl):
    """The smallest class that a student can hand in."""

    def on_ack(self, ack: AckSample) -> None:
        """Change nothing."""

    def on_congestion(self, now: int, in_flight: int, *, marked: bool = False) -> None:
        """Change nothing."""

    def on_timeout(self, now: int, in_flight: int, *, again: bool) -> None:
        """Change nothing."""

    def undo(self, now: int) -> None:
        """Change nothing."""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module `students` that can be imported, and is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "students.py"
    sys.modules.pop("students", None)


STUDENT = """
from rawproto.transport.congestion.reno import Reno
class Mine(Reno):
    class Inner(Reno):
        pass
class Broken(Reno):
    def __init__(self, mss, initial_window):
        raise ValueError("no\\n such window")
class Half(Reno.__base__):
    pass
def function(mss, initial_window):
    return Reno(mss, initial_window)
"""


def test_each_is_made_by_its_name() -> None:
    assert set(congestion.names()) >= {"none", *LOSS_BASED}
    for name in ("none", *LOSS_BASED):
        cc = congestion.create(name, MSS, 10 * MSS)
        assert cc.name == name
        assert cc.mss == MSS
        assert cc.cwnd >= 10 * MSS


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no congestion control is called 'vegas'; there are: .*cubic, .*none, reno"):
        congestion.create("vegas", MSS, MSS)


def test_a_class_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawproto.transport.congestion.registry._REGISTRY", {})
    congestion.register("fixed", Fixed)
    assert congestion.names() == ["fixed"]
    assert type(congestion.create("fixed", MSS, MSS)) is Fixed


def test_what_is_no_class_for_it_can_not_be_registered() -> None:
    with pytest.raises(ConfigError, match="is not a subclass of"):
        congestion.register("int", int)  # type: ignore[arg-type]
    assert "int" not in congestion.names()


@pytest.mark.parametrize("path", ["Mine", "Mine.Inner"])
def test_a_class_of_ones_own_is_named_by_its_place(module: Path, path: str) -> None:
    module.write_text(STUDENT)
    cc = congestion.create(f"students:{path}", MSS, 7 * MSS)
    assert type(cc).__qualname__ == path
    assert cc.cwnd == 7 * MSS


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:Mine", r"module 'nowhere' can't be imported: ModuleNotFoundError: No module named 'nowhere'"),
        (":Mine", r"module '' can't be imported: ValueError"),
        ("students:Yours", r"'students:Yours': AttributeError: module 'students' has no attribute 'Yours'"),
        ("students:Mine.Outer", r"AttributeError: type object 'Mine' has no attribute 'Outer'"),
        ("students:", r"AttributeError"),
        ("students:function", r"'students:function' is not a subclass of rawproto.*CongestionControl"),
        ("students:Broken", r"'students:Broken' could not be made: ValueError: no such window"),
        ("students:Half", r"could not be made: TypeError: Can't instantiate abstract class Half"),
    ],
)
def test_what_is_wrong_with_a_class_is_said_in_one_line(module: Path, name: str, message: str) -> None:
    module.write_text(STUDENT)
    with pytest.raises(ConfigError, match=message) as caught:
        congestion.create(name, MSS, MSS)
    assert "\n" not in str(caught.value)


def test_a_module_that_is_no_python_is_told(module: Path) -> None:
    module.write_text("class Mine(:\n")
    with pytest.raises(ConfigError, match=r"module 'students' can't be imported: SyntaxError") as caught:
        congestion.create("students:Mine", MSS, MSS)
    assert "\n" not in str(caught.value)
