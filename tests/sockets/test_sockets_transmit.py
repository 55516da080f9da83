"""Sending by the clock: exactly in virtual time, and by the real clock without asking how fast the machine is."""

from __future__ import annotations

import ctypes
import errno
import itertools
import random
import resource
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest

from rawproto.errors import ConfigError, LinkError
from rawproto.link.base import Link, LinkWrapper
from rawproto.link.impair import ImpairedLink
from rawproto.link.impairment import Impairment
from rawproto.link.memory import memory_pair
from rawproto.link.pacer import Pacer, PacerReport
from rawproto.sockets import transmit as module
from rawproto.sockets.transmit import TransmitInterrupted, transmit
from rawproto.wire.frame import Frame, LinkType

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
START = 1_700_000_000 * SECOND
FRAME = bytes(60)


class Time:
    """A clock that moves by sleeping, by `tick` ns whenever it is read, and by what a link takes.

    Without a tick it would be watched for ever: gaps of up to 200 us need one.
    """

    def __init__(self, tick: int = 0) -> None:
        self.now = START
        self.tick = tick
        self.slept: list[int] = []

    def clock(self) -> int:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds * SECOND))
        self.now += self.slept[-1]


class Recorder(Link):
    """Keeps each call: when it came, in ns from the start, and its frames. A call takes `cost_ns`."""

    linktype = LinkType.ETHERNET
    mtu = 1500

    def __init__(self, time: Time, cost_ns: int = 0) -> None:
        self.time = time
        self.cost_ns = cost_ns
        self.calls: list[tuple[int, list[bytes], str]] = []
        self.count = 0

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        assert now == self.time.now
        self.calls.append((now - START, list(frames), peer))
        self.count += len(frames)
        self.time.now += self.cost_ns

    def receive(self, now: int) -> list[Frame]:
        return []

    @property
    def times(self) -> list[tuple[int, int]]:
        """When, and how many."""
        return [(when, len(frames)) for when, frames, _ in self.calls]

    @property
    def frames(self) -> list[bytes]:
        return [frame for _, frames, _ in self.calls for frame in frames]


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def link(time: Time) -> Recorder:
    return Recorder(time)


@pytest.fixture
def send(time: Time) -> Callable[..., PacerReport]:
    return partial(transmit, clock=time.clock, sleep=time.sleep)


def numbered(count: int) -> list[bytes]:
    return [number.to_bytes(60) for number in range(count)]


@pytest.mark.parametrize("rate", [10, 1000])
def test_each_frame_leaves_at_its_deadline(link: Recorder, send: Callable[..., PacerReport], rate: int) -> None:
    frames = numbered(50)
    report = send(link, frames, Pacer.rate(rate))
    assert link.times == [(number * SECOND // rate, 1) for number in range(50)]
    assert link.frames == frames
    assert (report.frames, report.bytes, report.achieved, report.lateness_max_ns) == (50, 3000, rate, 0)
    assert not report.stopped


def test_the_clock_is_watched_only_where_frames_are_close(send: Callable[..., PacerReport]) -> None:
    slept = {}
    for rate in (1000, 10_000):
        time = Time(tick=100)
        link = Recorder(time)
        report = transmit(link, numbered(20), Pacer.rate(rate), clock=time.clock, sleep=time.sleep)
        slept[rate] = sum(time.slept) / (19 * SECOND / rate)
        assert 0 <= report.lateness_max_ns < 1000
    assert 0.99 < slept[1000] < 1
    assert 0.45 < slept[10_000] < 0.5


def test_what_is_due_goes_in_one_call_and_what_was_late_is_made_up_for() -> None:
    time = Time()
    link = Recorder(time, cost_ns=3 * MILLISECOND)
    report = transmit(link, numbered(10), Pacer.rate(1000), clock=time.clock, sleep=time.sleep)
    assert link.times == [(0, 1), (3 * MILLISECOND, 3), (6 * MILLISECOND, 3), (9 * MILLISECOND, 3)]
    assert link.frames == numbered(10)
    assert report.lateness_max_ns == 5 * MILLISECOND


def test_a_long_stall_does_not_end_in_a_flood() -> None:
    time = Time()
    link = Recorder(time)

    def stall() -> Iterator[bytes]:
        for number, frame in enumerate(numbered(40)):
            if number == 10:
                time.now += SECOND
            yield frame

    report = transmit(link, stall(), Pacer.rate(1000, burst=4), clock=time.clock, sleep=time.sleep)
    assert max(count for _, count in link.times) == 4
    assert report.slipped_ns == SECOND - 4 * MILLISECOND
    assert report.frames == 40


def test_a_batch_is_never_larger_than_the_link_should_get(link: Recorder, send: Callable[..., PacerReport]) -> None:
    send(link, numbered(1000), Pacer.times([7] * 1000))
    assert link.times == [(0, 256), (0, 256), (0, 256), (0, 232)]
    link.calls.clear()
    report = send(link, numbered(1000))
    assert [count for _, count in link.times] == [256, 256, 256, 232]
    assert link.frames == numbered(1000)
    assert (report.unit, report.requested, report.frames, report.bytes) == ("frames/s", None, 1000, 60_000)


def test_full_speed_tells_its_rate() -> None:
    time = Time()
    link = Recorder(time, cost_ns=MILLISECOND)
    report = transmit(link, numbered(512), clock=time.clock, sleep=time.sleep)
    assert (report.elapsed_ns, report.achieved) == (2 * MILLISECOND, 256_000)


def test_the_peer_is_passed_on(link: Recorder, send: Callable[..., PacerReport]) -> None:
    send(link, [FRAME], peer="10.0.0.2:7")
    send(link, [FRAME], Pacer.rate(1), peer="10.0.0.2:8")
    assert [peer for _, _, peer in link.calls] == ["10.0.0.2:7", "10.0.0.2:8"]


@pytest.mark.parametrize("pacer", [lambda: Pacer.rate(1000), lambda: None])
def test_frames_are_taken_as_they_are_needed(
    time: Time, link: Recorder, send: Callable[..., PacerReport], pacer: Callable[[], Pacer | None]
) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            time.now += 1000
            yield number.to_bytes(60)
            assert taken <= link.count + 256

    report = send(link, endless(), pacer(), stop=lambda: link.count > 1000)
    assert report.stopped
    assert len(link.frames) == report.frames > 1000
    assert taken <= report.frames + 1
    assert link.frames == numbered(report.frames)


def test_no_frames_are_no_error(link: Recorder, send: Callable[..., PacerReport]) -> None:
    for pacer in (None, Pacer.rate(10)):
        report = send(link, [], pacer)
        assert (report.frames, report.achieved, report.elapsed_ns) == (0, None, 0)
    assert link.calls == []


def test_progress_is_told_every_tenth_of_a_second_also_in_a_long_gap(
    link: Recorder, send: Callable[..., PacerReport]
) -> None:
    told: list[PacerReport] = []
    send(link, numbered(3), Pacer.times([0, 350 * MILLISECOND, 360 * MILLISECOND]), on_progress=told.append)
    assert [report.frames for report in told] == [1, 1, 1]


def test_stop_ends_a_long_gap_and_the_waiting_frame_is_not_sent(
    time: Time, link: Recorder, send: Callable[..., PacerReport]
) -> None:
    report = send(link, numbered(2), Pacer.times([0, 3600 * SECOND]), stop=lambda: time.now > START + SECOND)
    assert (report.frames, report.stopped) == (1, True)
    assert time.now - START < 2 * SECOND


def test_an_interruption_brings_the_report(time: Time, link: Recorder) -> None:
    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if len(link.calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        transmit(link, numbered(10), Pacer.rate(100), clock=time.clock, sleep=sleep)
    assert isinstance(caught.value, TransmitInterrupted)
    assert (caught.value.report.frames, caught.value.report.stopped) == (5, True)


@pytest.mark.parametrize("pacer", [lambda: Pacer.times(itertools.repeat(0)), lambda: None])
def test_what_came_before_an_error_of_the_source_is_sent(
    link: Recorder, send: Callable[..., PacerReport], pacer: Callable[[], Pacer | None]
) -> None:
    def broken() -> Iterator[bytes]:
        yield from numbered(300)
        raise ValueError("cut")

    with pytest.raises(ValueError, match="cut") as caught:
        send(link, broken(), pacer())
    assert link.frames == numbered(300)
    assert caught.value.__notes__[0].startswith("sent before: 300 frames, 18000 bytes")


def test_too_few_timestamps_are_an_error_after_the_frames_that_had_one(
    link: Recorder, send: Callable[..., PacerReport]
) -> None:
    with pytest.raises(ConfigError, match="fewer timestamps"):
        send(link, numbered(3), Pacer.times([0, 0]))
    assert link.frames == numbered(2)


def test_what_the_link_refuses_is_raised_with_what_was_sent_before(send: Callable[..., PacerReport]) -> None:
    sender, receiver = memory_pair()
    with sender, receiver, pytest.raises(LinkError) as caught:
        send(sender, [*numbered(5), bytes(9999), FRAME], Pacer.rate(1000))
    assert caught.value.errno == errno.EMSGSIZE
    assert caught.value.__notes__[0].startswith("sent before: 5 frames, 300 bytes")


def test_what_the_link_holds_back_leaves_in_its_time_and_is_waited_for(time: Time) -> None:
    link = Recorder(time)
    impaired = ImpairedLink(link, Impairment(delay_ns=25 * MILLISECOND), random.Random)
    transmit(impaired, numbered(4), Pacer.rate(100), clock=time.clock, sleep=time.sleep)
    assert link.times == [(number * 10 * MILLISECOND + 25 * MILLISECOND, 1) for number in range(4)]
    link.calls.clear()
    begin = time.now - START
    transmit(impaired, numbered(300), clock=time.clock, sleep=time.sleep)
    assert [when - begin for when, _ in link.times] == [25 * MILLISECOND] * len(link.times)
    assert link.frames == numbered(300)


class Holding(Recorder):
    """Wants to be called once, 5 ms after the start."""

    called_at: int | None = None

    def next_timeout(self) -> int | None:
        return START + 5 * MILLISECOND if self.called_at is None else None

    def handle_timeout(self, now: int) -> None:
        self.called_at = now - START


@pytest.mark.parametrize("pacer", [lambda: Pacer.times(itertools.repeat(0)), lambda: None])
def test_what_the_link_holds_back_is_not_forgotten_while_there_is_always_something_to_send(
    time: Time, pacer: Callable[[], Pacer | None]
) -> None:
    link = Holding(time, cost_ns=MILLISECOND)
    transmit(link, numbered(256 * 20), pacer(), clock=time.clock, sleep=time.sleep)
    assert link.called_at == 5 * MILLISECOND
    assert link.times[-1] == (19 * MILLISECOND, 256)


def timer_slack() -> int:
    return int(ctypes.CDLL(None).prctl(module.PR_GET_TIMERSLACK))


def test_sleeps_are_prompt_for_the_length_of_the_call() -> None:
    sender, receiver = memory_pair()
    before = timer_slack()
    seen = []

    def watched() -> Iterator[bytes]:
        seen.append(timer_slack())
        yield FRAME
        raise ValueError

    with sender, receiver, pytest.raises(ValueError):
        transmit(sender, watched())
    assert (seen, timer_slack()) == ([1], before)
    assert before > 1


@pytest.mark.parametrize("pacer", [lambda: Pacer.rate(2000), lambda: Pacer.rate(20_000), lambda: None])
def test_by_the_real_clock_all_arrive_in_order_and_none_too_early(pacer: Callable[[], Pacer | None]) -> None:
    sender, receiver = memory_pair()
    with sender, receiver:
        made = pacer()
        report = transmit(sender, numbered(400), made)
        assert [frame.data for frame in receiver.receive(0)] == numbered(400)
        assert report.frames == 400
        if made is not None:
            assert report.achieved is not None
            assert report.achieved <= (report.requested or 0)


def test_between_frames_the_processor_rests() -> None:
    """In processor time, not by the clock: a machine under load does not change it much."""
    sender, receiver = memory_pair()
    before = resource.getrusage(resource.RUSAGE_THREAD)
    with sender, receiver:
        report = transmit(sender, numbered(100), Pacer.rate(500))
    after = resource.getrusage(resource.RUSAGE_THREAD)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < report.seconds / 2


def test_a_paced_run_lets_the_link_prepare_before_the_first_deadline() -> None:
    order: list[str] = []

    class Preparing(LinkWrapper):
        def prepare_to_send(self) -> None:
            order.append("prepared")

        def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
            order.append("sent")

    transmit(Preparing(memory_pair()[0]), [b"a"], Pacer.rate(1000))
    transmit(Preparing(memory_pair()[0]), [b"a"])
    assert order == ["prepared", "sent", "sent"]
