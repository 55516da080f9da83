"""Sends a stream of frames through a link by the real clock: each at its pacer's time, or as fast as they go.

Frames are taken one at a time and what is due goes to the link in one call, so that a stream may be endless and no
frame is built long before it leaves. Between two frames the processor rests; only where they follow each other so
closely that waking up would take a good part of the gap is the last stretch spent watching the clock. (A second busy
thread of this process delays it by up to 5 ms at a time, `sys.getswitchinterval`.)
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from typing import Final

from rawproto.link.base import Link
from rawproto.link.pacer import Pacer, PacerReport
from rawproto.sockets.driver import Clock, wall_clock

__all__ = ["TransmitInterrupted", "transmit"]

BATCH: Final = 256
"""The most frames for one call of the link."""
SPIN_NS: Final = 50_000
"""How long before a deadline the clock is watched: twice what a sleeping thread takes to wake up."""
CLOSE_NS: Final = 200_000
"""The gap between frames up to which that is done: longer ones are slept through, to the deadline itself."""
NAP_NS: Final = 100_000_000
"""How long to sleep at most before `stop` and `on_progress` are called again."""

PR_SET_TIMERSLACK: Final = 29
PR_GET_TIMERSLACK: Final = 30


class TransmitInterrupted(KeyboardInterrupt):
    """The user interrupted `transmit`; `report` says what had been sent."""

    def __init__(self, report: PacerReport) -> None:
        super().__init__(str(report))
        self.report = report


def transmit(
    link: Link,
    frames: Iterable[bytes],
    pacer: Pacer | None = None,
    *,
    peer: str = "",
    on_progress: Callable[[PacerReport], object] | None = None,
    stop: Callable[[], bool] | None = None,
    clock: Clock = wall_clock,
    sleep: Callable[[float], object] = time.sleep,
) -> PacerReport:
    """Send all of `frames`, each when the fresh `pacer` says, without one as fast as the link takes them.

    `peer` is for links whose frames hold no destination. `on_progress` gets the report so far, `stop` may end the
    run: both are called every 100 ms, from this thread and between two calls of the link. What a link
    holds back (`next_timeout`) is let go in its time, and waited for at the end. `clock` gives ns and `sleep` takes
    seconds, for tests in virtual time.

    Raises what the link and `frames` raise, after sending what was due, with a note of how many frames had been sent;
    TransmitInterrupted, a KeyboardInterrupt that has the report, when the user interrupts.
    """
    if pacer is not None:
        link.prepare_to_send()
    run = _Run(link, peer, clock, sleep)
    run.on_progress, run.stop = on_progress, stop
    with _prompt_timers():
        try:
            if pacer is None:
                run.flood(frames)
            else:
                run.pace(frames, pacer)
            run.drain()
        except KeyboardInterrupt:
            raise TransmitInterrupted(replace(run.report(), stopped=True)) from None
        except Exception as error:
            error.add_note(f"sent before: {run.report()}")
            raise
    return run.report()


class _Run:
    """One call of `transmit`."""

    stop: Callable[[], bool] | None = None
    on_progress: Callable[[PacerReport], object] | None = None

    def __init__(self, link: Link, peer: str, clock: Clock, sleep: Callable[[float], object]) -> None:
        self.link = link
        self.peer = peer
        self.clock = clock
        self.sleep = sleep
        self.pacer: Pacer | None = None
        self.stopped = False
        self.batch: list[bytes] = []
        self.frames = 0
        self.bytes = 0
        self.begin = self.last = self.called = clock()

    def flood(self, frames: Iterable[bytes]) -> None:
        """Send `frames` in full batches."""
        source = iter(frames)
        self.begin = self.last = self.clock()
        while not self.stopped:
            try:
                self.batch.extend(islice(source, BATCH))
            except Exception:
                self.flush()  # those before it
                raise
            if not self.batch:
                break
            self.look_up(self.flush())

    def pace(self, frames: Iterable[bytes], pacer: Pacer) -> None:
        """Send `frames` at their times, those that are due in one call."""
        self.pacer = pacer
        source = iter(frames)
        first = list(islice(source, 1))  # the schedule starts when there is something to send
        source = chain(first, source)
        now = self.clock()
        while not self.stopped:
            try:
                frame = next(source)
                deadline = pacer.deadline(len(frame), now)
            except StopIteration:
                break
            except Exception:
                self.flush()
                raise
            if deadline > now or len(self.batch) == BATCH:
                now = self.flush()
                self.look_up(now)
                if deadline > now:
                    now = self.wait(deadline)
                pacer.catch_up(now)
            if not self.stopped:
                self.batch.append(frame)
        self.flush()

    def flush(self) -> int:
        """Hand the batch to the link; give the time after it."""
        batch, self.batch = self.batch, []
        if batch:
            self.link.send(batch, self.clock(), self.peer)
        now = self.clock()
        if batch:
            self.last = now
            self.frames += len(batch)
            self.bytes += sum(map(len, batch))
            if self.pacer is not None:
                self.pacer.sent(len(batch), now)
        self.release(now)
        return now

    def wait(self, deadline: int) -> int:
        """Give the time once `deadline` has come, or `stop` has said so."""
        now = self.clock()
        spin = SPIN_NS if deadline - now <= CLOSE_NS else 0
        while now < deadline and not self.stopped:
            held = self.release(now)
            target = deadline if held is None else min(held, deadline)
            rest = target - now - spin
            if rest > 0:
                self.sleep(min(rest, NAP_NS) / 1e9)
            now = self.clock()
            self.look_up(now)
        return now

    def release(self, now: int) -> int | None:
        """Have the link let go of what it has held back until `now`; give when it wants to do so again."""
        held = self.link.next_timeout()
        if held is not None and held <= now:
            self.link.handle_timeout(now)
            held = self.link.next_timeout()
        return held

    def drain(self) -> None:
        """Wait until the link holds nothing back any more."""
        while not self.stopped and (held := self.release(self.clock())) is not None:
            self.wait(held)

    def look_up(self, now: int) -> None:
        """Every 100 ms, tell how far it is and ask whether to stop."""
        if now - self.called < NAP_NS:
            return
        self.called = now
        if self.on_progress is not None:
            self.on_progress(self.report())
        if self.stop is not None:
            self.stopped = self.stop()

    def report(self) -> PacerReport:
        """What was sent until now."""
        if self.pacer is not None:
            return self.pacer.report(stopped=self.stopped)
        elapsed = self.last - self.begin
        rate = self.frames * 1e9 / elapsed if elapsed else None
        return PacerReport("frames/s", None, rate, self.frames, self.bytes, elapsed, stopped=self.stopped)


@contextmanager
def _prompt_timers() -> Iterator[None]:
    """Have this thread's sleeps end when they should, not up to 50 us later (PR_SET_TIMERSLACK, prctl(2))."""
    libc = ctypes.CDLL(None)
    before = libc.prctl(PR_GET_TIMERSLACK)
    libc.prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(1))
    try:
        yield
    finally:
        libc.prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(max(before, 0)))
