"""When each frame is to leave: at a rate, or in the rhythm of a capture. Sans-I/O: the time is passed in.

Every deadline is counted from the start (frame n of a rate is due n intervals after it, in exact fractions), so that
neither rounding nor a late frame shifts those that follow, and what is late is made up for. How much may be made up
for at once is bounded: when the sender is behind by more than that, the whole schedule moves, and the report says by
how much.

`rawproto.sockets.transmit` runs one with the real clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self

from rawproto.errors import ConfigError

__all__ = ["Histogram", "Pacer", "PacerReport"]

SECOND: Final = 1_000_000_000
CATCH_UP_NS: Final = 100_000_000
"""What may be made up for at once if nothing is said: more than a busy machine keeps a process waiting."""


@dataclass(frozen=True, slots=True)
class PacerReport:
    """What was sent, and how well it kept to its times.

    `requested` and `achieved` are in `unit`: "frames/s", "bits/s", or "x" (times the speed of the capture). Achieved is
    over the intervals between the first frame and the last, None as long as there is none. `elapsed_ns` is from the
    first frame's deadline to the moment when the last had been sent. The lateness of a frame is the time from its
    deadline until it had been sent, in ns: percentiles to 0.4%, and the greatest exactly.
    """

    unit: str
    requested: float | None
    achieved: float | None
    frames: int = 0
    bytes: int = 0
    elapsed_ns: int = 0
    lateness_p50_ns: int = 0
    lateness_p90_ns: int = 0
    lateness_p99_ns: int = 0
    lateness_max_ns: int = 0
    slipped_ns: int = 0
    """By how much the schedule was moved, because the sender was behind by more than it may make up for."""
    backward_times: int = 0
    """How many timestamps of the capture were before their predecessor, and were taken for equal to it."""
    stopped: bool = False
    """Whether it was stopped before the frames were at their end."""

    @property
    def seconds(self) -> float:
        """`elapsed_ns` in seconds."""
        return self.elapsed_ns / SECOND

    @property
    def frames_per_second(self) -> float | None:
        """The rate of frames, whatever the unit; None as long as no time has passed."""
        return self.frames / self.seconds if self.elapsed_ns else None

    def __str__(self) -> str:
        wanted = "" if self.requested is None else f" of {self.requested:,.6g}"
        rate = "no rate" if self.achieved is None else f"{self.achieved:,.6g}{wanted} {self.unit}"
        late = "/".join(f"{ns / 1000:.1f}" for ns in (self.lateness_p50_ns, self.lateness_p90_ns, self.lateness_p99_ns))
        what = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        parts = [f"{what}, {self.bytes} bytes in {self.seconds:.6f} s", rate]
        if self.requested is not None:
            parts.append(f"late by p50/p90/p99 {late} us, at most {self.lateness_max_ns / 1000:.1f} us")
        if self.slipped_ns:
            parts.append(f"slipped by {self.slipped_ns / 1e6:.3f} ms")
        if self.backward_times:
            parts.append(f"{self.backward_times} timestamps went backwards")
        return ", ".join([*parts, "stopped"] if self.stopped else parts)


class Histogram:
    """Counts of values in ns, in buckets as wide as 1/128 of the value: percentiles to 0.4%, in bounded memory."""

    def __init__(self) -> None:
        self.count = 0
        self.largest = 0
        self._buckets: dict[int, int] = {}

    def add(self, value: int) -> None:
        """Count `value`; one below zero counts as zero."""
        value = max(value, 0)
        self.count += 1
        self.largest = max(self.largest, value)
        shift = max(0, value.bit_length() - 8)
        bucket = (shift << 7) + (value >> shift)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def percentile(self, percent: int) -> int:
        """The value that `percent` of all are not above; 0 if there are none."""
        wanted = -(-self.count * percent // 100)
        for bucket in sorted(self._buckets):
            wanted -= self._buckets[bucket]
            if wanted <= 0:
                shift = max(0, (bucket >> 7) - 1)
                middle = (bucket - (shift << 7) << shift) + (1 << shift >> 1)
                return min(middle, self.largest)
        return 0


class Rhythm(ABC):
    """How the deadlines lie to each other."""

    unit: str
    requested: Fraction
    """In `unit`."""
    backward_times = 0

    @abstractmethod
    def next_offset(self, size: int) -> int:
        """When the next frame, of `size` bytes, is due, in ns from the start."""


class Steady(Rhythm):
    """`requested` units a second, of which a frame takes `fixed`, and `per_byte` for each of its bytes."""

    def __init__(self, requested: float | Fraction, unit: str, fixed: int, per_byte: int) -> None:
        self.requested = _positive(requested, unit)
        self.unit = unit
        self._fixed = fixed
        self._per_byte = per_byte
        self._before = 0
        self._numerator, self._denominator = self.requested.as_integer_ratio()

    def next_offset(self, size: int) -> int:
        """When all before it are through."""
        offset = self.time(self._before)
        self._before += self._fixed + self._per_byte * size
        return offset

    def time(self, units: int) -> int:
        """The ns that so many units take, rounded up."""
        return -(-units * SECOND * self._denominator // self._numerator)


class Recorded(Rhythm):
    """The gaps of `timestamps_ns`, `requested` times as short."""

    unit = "x"

    def __init__(self, timestamps_ns: Iterable[int], requested: float | Fraction) -> None:
        self.requested = _positive(requested, "times the capture's speed")
        self._times: Iterator[int] = iter(timestamps_ns)
        self._previous: int | None = None
        self._elapsed = 0
        self._numerator, self._denominator = self.requested.as_integer_ratio()

    def next_offset(self, size: int) -> int:
        """After the gap that its timestamp makes. Raises ConfigError if there is none left."""
        time = next(self._times, None)
        if time is None:
            raise ConfigError("times: there are fewer timestamps than frames; give one for each frame")
        gap = 0 if self._previous is None else time - self._previous
        self._previous = time
        if gap < 0:
            self.backward_times += 1
        else:
            self._elapsed += gap
        return -(-self._elapsed * self._denominator // self._numerator)


def _positive(value: float | Fraction, unit: str) -> Fraction:
    try:
        exact = Fraction(value)
    except (OverflowError, ValueError):  # infinity, not a number
        exact = Fraction(0)
    if exact <= 0:
        raise ConfigError(f"a pacer can't keep to {value} {unit}: give a finite number above 0")
    return exact


class Pacer:
    """The deadlines of one run. Made by `rate`, `bits` or `times`; a second run needs another one.

    For each frame `deadline(size, now)`, and when some of them were sent `sent(count, now)`.
    """

    def __init__(self, rhythm: Rhythm, burst_ns: int) -> None:
        if burst_ns < 0:
            raise ConfigError(f"burst: {burst_ns} ns can't be made up for: give 0 or more")
        self.burst_ns = burst_ns
        """How far the sender may be behind, in ns, and still make up for all of it at once."""
        self.frames = 0
        self.bytes = 0
        self.slipped_ns = 0
        self.lateness = Histogram()
        self._rhythm = rhythm
        self._asked: deque[tuple[int, int, int]] = deque()
        """Deadline, offset and size of the frames that were asked for and not sent yet."""
        self._begin: int | None = None
        self._start = 0
        self._last = 0
        self._offset = 0
        self._last_offset = 0

    @classmethod
    def rate(cls, frames_per_second: float | Fraction, *, burst: int | None = None) -> Self:
        """One frame each 1 / `frames_per_second`.

        `burst` is the most frames that may leave back to back to make up for lateness, 1 for none; by default what
        falls due in 100 ms, but at least 2. Raises ConfigError.
        """
        rhythm = Steady(frames_per_second, "frames/s", 1, 0)
        if burst is not None and burst < 1:
            raise ConfigError(f"burst: {burst} frames can't leave at once: give 1 or more")
        return cls(rhythm, max(CATCH_UP_NS, rhythm.time(1)) if burst is None else rhythm.time(burst - 1))

    @classmethod
    def bits(cls, bits_per_second: float | Fraction, *, overhead: int = 0, burst_bytes: int | None = None) -> Self:
        """As a line of `bits_per_second` would send them: each frame is due when those before it are through.

        What counts are the bytes handed to the link (for Ethernet: with the 14 of the header, without padding and
        frame check sequence), and `overhead` bytes more for each frame. 24 makes it the rate of an Ethernet line as
        IEEE 802.3 counts it: preamble 8, frame check sequence 4, gap 12 (but the padding of frames under 60 bytes is
        still missing). `burst_bytes` may leave back to back to make up for lateness; by default what falls due in
        100 ms. Raises ConfigError.
        """
        if overhead < 0:
            raise ConfigError(f"overhead: {overhead} bytes for each frame can't be: give 0 or more")
        rhythm = Steady(bits_per_second, "bits/s", 8 * overhead, 8)
        return cls(rhythm, CATCH_UP_NS if burst_bytes is None else rhythm.time(8 * burst_bytes))

    @classmethod
    def times(cls, timestamps_ns: Iterable[int], speed: float | Fraction = 1, *, burst_ns: int = CATCH_UP_NS) -> Self:
        """In the rhythm of a capture, `speed` times as fast: 2 halves the gaps.

        `timestamps_ns` has one for each frame, and is read one at a time, along with the frames. One that is before
        its predecessor makes a gap of zero; the next gap counts from it. Raises ConfigError, also later, from
        `deadline`, when there are fewer timestamps than frames.
        """
        return cls(Recorded(timestamps_ns, speed), burst_ns)

    def deadline(self, size: int, now: int) -> int:
        """When the next frame, of `size` bytes, is to leave, in ns; asked at `now`, for each frame once, in order.

        The first one is due at once.
        """
        if self._begin is None:
            self._begin = self._start = self._last = now
        self._offset = self._rhythm.next_offset(size)
        deadline = self._start + self._offset
        self._asked.append((deadline, self._offset, size))
        self.catch_up(now)
        return deadline

    def catch_up(self, now: int) -> None:
        """The frame last asked for leaves at `now` at the earliest: if that is later than can be made up for, move on.

        `deadline` does this too; a sender that has waited since then, or was kept waiting, says so once more.
        """
        arrears = now - self._start - self._offset - self.burst_ns
        if arrears > 0:
            self._start += arrears
            self.slipped_ns += arrears

    def sent(self, count: int, now: int) -> None:
        """The next `count` of the frames that `deadline` was asked for had been sent at `now`."""
        late, asked = self.lateness, self._asked
        for _ in range(count):
            deadline, self._last_offset, size = asked.popleft()
            late.add(now - deadline)
            self.bytes += size
        self.frames += count
        self._last = now

    def report(self, *, stopped: bool = False) -> PacerReport:
        """What was sent until now."""
        elapsed = self._last - (self._begin or 0)
        late = self.lateness
        return PacerReport(
            unit=self._rhythm.unit,
            requested=float(self._rhythm.requested),
            achieved=self._achieved(elapsed),
            frames=self.frames,
            bytes=self.bytes,
            elapsed_ns=elapsed,
            lateness_p50_ns=late.percentile(50),
            lateness_p90_ns=late.percentile(90),
            lateness_p99_ns=late.percentile(99),
            lateness_max_ns=late.largest,
            slipped_ns=self.slipped_ns,
            backward_times=self._rhythm.backward_times,
            stopped=stopped,
        )

    def _achieved(self, elapsed: int) -> float | None:
        """The requested rate, by as much slower as the run took longer than it should have."""
        if not elapsed or not self._last_offset:
            return None
        return float(self._rhythm.requested * self._last_offset / elapsed)
