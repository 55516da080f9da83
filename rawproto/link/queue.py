"""Queues before a transmitter, as routers have them: drop-tail, and CoDel (RFC 8289). Each may mark instead of drop.

A queue holds whole frames and knows no rate: who empties it says when. It rolls no dice and rounds down, so that the
same frames at the same times always meet the same fate. All times in ns, all sizes in bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isqrt

from rawproto.errors import ConfigError
from rawproto.link.rewrite import mark_congestion

__all__ = ["CoDel", "DropTail", "Meter", "Queue", "QueueObserver"]

MILLISECOND = 1_000_000

QueueObserver = Callable[[int, str, bytes, int], object]
"""Told of each event: time in ns, its name, the frame, and how many bytes wait after it."""


@dataclass(slots=True)
class Meter:
    """What has passed a queue, and what has not. `on_event` hears of "enqueue", "send", "mark" and each drop's reason.

    "enqueue" and "send" come for each frame, so that the queue can be drawn over time.
    """

    sent: int = 0
    """Frames that left."""
    sent_bytes: int = 0
    marked: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Frames that did not, by reason."""
    longest_bytes: int = 0
    """The most that ever waited."""
    sojourn_total_ns: int = 0
    """Of all frames that left, how long they had waited."""
    sojourn_longest_ns: int = 0
    on_event: QueueObserver | None = None

    @property
    def sojourn_mean_ns(self) -> int:
        """How long a frame that left had waited, on average."""
        return self.sojourn_total_ns // self.sent if self.sent else 0

    def drop(self, now: int, reason: str, frame: bytes, waiting: int) -> None:
        """Count a frame that is gone."""
        self.dropped[reason] += 1
        if self.on_event is not None:
            self.on_event(now, reason, frame, waiting)

    def send(self, now: int, since: int, frame: bytes, waiting: int) -> None:
        """Count a frame that leaves, having waited since `since`."""
        self.sent += 1
        self.sent_bytes += len(frame)
        sojourn = now - since
        if sojourn:
            self.sojourn_total_ns += sojourn
            self.sojourn_longest_ns = max(self.sojourn_longest_ns, sojourn)
        if self.on_event is not None:
            self.on_event(now, "send", frame, waiting)

    def pass_on(self, frames: Sequence[bytes], now: int) -> None:
        """Count frames that leave without having waited."""
        self.sent += len(frames)
        self.sent_bytes += sum(map(len, frames))
        if self.on_event is not None:
            for frame in frames:
                self.on_event(now, "send", frame, 0)


class Queue(ABC):
    """Frames in order. `limit_bytes` is what may wait, None for no limit; `ip_at` is where a frame's IP header begins.

    The time of each call is not before that of the one before it.
    """

    def __init__(self, limit_bytes: int | None, ip_at: int = 0) -> None:
        if limit_bytes is not None and limit_bytes < 0:
            raise ConfigError(f"limit_bytes is {limit_bytes}: give 0 or more, or None for no limit")
        self.limit_bytes = limit_bytes
        self.ip_at = ip_at
        self.bytes = 0
        """What waits now."""
        self.meter = Meter()
        self._frames: deque[tuple[bytes, int]] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    def enqueue(self, frame: bytes, now: int) -> bool:
        """Let `frame` wait; False if there is no room, and it is gone."""
        waiting = self.bytes + len(frame)
        if self.limit_bytes is not None and waiting > self.limit_bytes:
            self.meter.drop(now, "tail", frame, self.bytes)
            return False
        self._frames.append((frame, now))
        self.bytes = waiting
        meter = self.meter
        meter.longest_bytes = max(meter.longest_bytes, waiting)
        if meter.on_event is not None:
            meter.on_event(now, "enqueue", frame, waiting)
        return True

    @abstractmethod
    def dequeue(self, now: int) -> bytes | None:
        """Take out the frame whose turn it is; None if none is left."""

    def bypass(self, frame: bytes, now: int) -> bytes:
        """Let `frame` through without waiting: nothing is before it, and it may leave at once."""
        self.meter.send(now, now, frame, 0)
        return frame

    def _mark(self, frame: bytes, now: int) -> bytes | None:
        """`frame` with CE, counted; None if it can't be marked."""
        marked = mark_congestion(frame, self.ip_at)
        if marked is not None:
            self.meter.marked += 1
            if self.meter.on_event is not None:
                self.meter.on_event(now, "mark", marked, self.bytes)
        return marked


class DropTail(Queue):
    """First in, first out; what finds no room is dropped.

    With `mark_bytes`, a frame that comes to more than that many waiting bytes, itself included, is marked if its sender
    understands marks: the step of DCTCP (RFC 8257 §3.1, where the threshold is K).
    """

    def __init__(self, limit_bytes: int | None = None, *, mark_bytes: int | None = None, ip_at: int = 0) -> None:
        super().__init__(limit_bytes, ip_at)
        if mark_bytes is not None and mark_bytes < 0:
            raise ConfigError(f"mark_bytes is {mark_bytes}: give 0 or more, or None to mark nothing")
        self.mark_bytes = mark_bytes

    def enqueue(self, frame: bytes, now: int) -> bool:
        """As any queue; marks what comes to a long one."""
        if not super().enqueue(frame, now):
            return False
        if self.mark_bytes is not None and self.bytes > self.mark_bytes:
            marked = self._mark(frame, now)
            if marked is not None:
                self._frames[-1] = marked, now
        return True

    def dequeue(self, now: int) -> bytes | None:
        """The oldest frame."""
        if not self._frames:
            return None
        frame, since = self._frames.popleft()
        self.bytes -= len(frame)
        self.meter.send(now, since, frame, self.bytes)
        return frame


class CoDel(Queue):
    """Controlled Delay: drops at the head once frames have waited longer than `target_ns` for `interval_ns` on end.

    RFC 8289, §5.5 and §5.6, with its names. The control law's INTERVAL / sqrt(count) is rounded down to whole ns by
    integer arithmetic. With `ecn`, a frame whose sender understands marks is marked where another one is dropped,
    and leaves. What finds no room is dropped all the same.
    """

    def __init__(
        self,
        limit_bytes: int | None = None,
        *,
        ecn: bool = False,
        # RFC 8289 §5.3: "5 ms TARGET queue delay", "100 ms sliding-minimum window".
        target_ns: int = 5 * MILLISECOND,
        interval_ns: int = 100 * MILLISECOND,
        max_packet: int = 1500,
        ip_at: int = 0,
    ) -> None:
        super().__init__(limit_bytes, ip_at)
        for name, value in (("target_ns", target_ns), ("interval_ns", interval_ns), ("max_packet", max_packet)):
            if value < 1:
                raise ConfigError(f"{name} is {value}: give 1 or more")
        self.ecn = ecn
        self.target_ns = target_ns
        self.interval_ns = interval_ns
        self.max_packet = max_packet
        self.dropping = False
        self.count = 0
        """Drops, or marks, since this dropping state was entered."""
        self.drop_next = 0
        self._last_count = 0
        self._first_above = 0
        self._since = 0

    def bypass(self, frame: bytes, now: int) -> bytes:
        """As any queue; no wait at all is below the target."""
        self._first_above = 0
        self.dropping = False
        return super().bypass(frame, now)

    def dequeue(self, now: int) -> bytes | None:
        """The oldest frame that is not dropped by the control law."""
        frame, ok_to_drop = self._take(now)
        if self.dropping:
            frame = self._go_on(frame, ok_to_drop, now)
        elif ok_to_drop and frame is not None:
            frame = self._begin(frame, now)
        if frame is not None:
            self.meter.send(now, self._since, frame, self.bytes)
        return frame

    def _take(self, now: int) -> tuple[bytes | None, bool]:
        """The oldest frame, and whether the wait has been above the target for an interval (§5.6, `dodequeue`)."""
        if not self._frames:
            self._first_above = 0
            return None, False
        frame, self._since = self._frames.popleft()
        self.bytes -= len(frame)
        if now - self._since < self.target_ns or self.bytes <= self.max_packet:
            self._first_above = 0
            return frame, False
        if not self._first_above:
            self._first_above = now + self.interval_ns
            return frame, False
        return frame, now >= self._first_above

    def _go_on(self, frame: bytes | None, ok_to_drop: bool, now: int) -> bytes | None:
        """In the dropping state: drop what is due, and leave the state once the wait is short again."""
        self.dropping = ok_to_drop
        while self.dropping and frame is not None and now >= self.drop_next:
            self.count += 1
            marked = self._mark(frame, now) if self.ecn else None
            if marked is not None:
                self.drop_next += self._step()
                return marked
            self.meter.drop(now, "codel", frame, self.bytes)
            frame, self.dropping = self._take(now)
            if self.dropping:
                self.drop_next += self._step()
        return frame

    def _begin(self, frame: bytes, now: int) -> bytes | None:
        """Enter the dropping state, at the rate that was right last time if that is not long ago."""
        left: bytes | None = self._mark(frame, now) if self.ecn else None
        if left is None:
            self.meter.drop(now, "codel", frame, self.bytes)
            left, _ = self._take(now)
        self.dropping = True
        delta = self.count - self._last_count
        self.count = delta if delta > 1 and now - self.drop_next < 16 * self.interval_ns else 1
        self.drop_next = now + self._step()
        self._last_count = self.count
        return left

    def _step(self) -> int:
        """INTERVAL / sqrt(count), rounded down (§5.6, `control_law`)."""
        return isqrt(self.interval_ns * self.interval_ns // self.count)
