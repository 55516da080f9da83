"""One direction of a point-to-point link in virtual time: a queue, a transmitter, and the wire behind it.

Frames pass it in this order:

    outages, MTU -> queue -> transmitter (rate) -> wire (delay) -> faults of the wire -> the far end

A transmitter is exact: the time that frames take adds up in fractions of a nanosecond. What happens in the queue is
worked out no later than anybody can tell: before a frame joins it, and before one of its frames arrives.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rawproto.errors import ConfigError
from rawproto.link.base import Link
from rawproto.link.impair import ImpairedLink
from rawproto.link.impairment import Impairment
from rawproto.link.queue import DropTail, Meter, Queue
from rawproto.sim.network import Simulation
from rawproto.wire.frame import Frame, LinkType

__all__ = ["Deliver", "Line", "Outage", "Port"]

BITS_NS = 8 * 1_000_000_000
"""A byte at one bit a second takes this many ns."""

Deliver = Callable[[list[bytes], int], None]
"""Takes frames that have arrived, in order, and the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One direction of a link, as a value. Raises ConfigError for what can't work."""

    rate_bps: int | None = None
    """The bits a second that it carries; None for no limit, and then nothing ever waits."""
    delay_ns: int = 0
    """How long a frame takes from one end to the other, once it has been transmitted."""
    queue: Callable[[], Queue] | None = None
    """Makes the queue before the transmitter, such as `partial(DropTail, 64_000)` or `CoDel`; None has no limit."""
    mtu: int = 1500
    """The most bytes of a frame; a longer one is dropped without a word."""
    impairment: Impairment = Impairment.none
    """What befalls frames on the wire, behind the queue."""
    moderation_ns: int = 0
    """How long the far end lets frames gather before it looks, as network cards do: fewer, larger batches."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("rate_bps", self.rate_bps, 1),
            ("delay_ns", self.delay_ns, 0),
            ("mtu", self.mtu, 1),
            ("moderation_ns", self.moderation_ns, 0),
        ):
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}: give {least} or more")
        if self.queue is not None and self.rate_bps is None:
            raise ConfigError("a queue without rate_bps never fills: give the bits a second that it is emptied with")


@dataclass(frozen=True, slots=True)
class Outage:
    """When a port swallows what is handed to it: from `start_ns` to before `end_ns`, and again each `period_ns`."""

    start_ns: int
    end_ns: int
    period_ns: int | None = None

    def covers(self, now: int) -> bool:
        """It is dark at `now`."""
        if now < self.start_ns:
            return False
        since = now - self.start_ns
        if self.period_ns is not None:
            since %= self.period_ns
        return since < self.end_ns - self.start_ns


class Port:
    """Where frames leave a node for the next one, which `deliver` gives them to.

    What is dropped is counted in `meter` by reason: "blackhole", "mtu_drop", and those of the queue.
    """

    def __init__(
        self,
        simulation: Simulation,
        name: str,
        line: Line,
        deliver: Deliver,
        rng_for: Callable[[str], random.Random],
    ) -> None:
        self.simulation = simulation
        self.name = name
        self.outages: list[Outage] = []
        self.mtu = line.mtu
        self.rate_bps = line.rate_bps
        self.delay_ns = line.delay_ns
        self.moderation_ns = line.moderation_ns
        self.queue: Queue = DropTail() if line.queue is None else line.queue()
        self.impaired: ImpairedLink | None = None
        """The link that does the faults of the wire, and counts them in `fired`; None if there are none."""
        if line.impairment != Impairment.none:
            self.impaired = ImpairedLink(FarEnd(deliver, line.mtu), line.impairment, rng_for)
        self._deliver = deliver
        self._free_at = 0
        """When the last frame will have left, in ns times bits a second, so that nothing is rounded away."""
        self._arriving: deque[tuple[int, list[bytes]]] = deque()
        """What is on the wire, in order: when it arrives, if not behind what is before it, and frames together."""
        self._now = 0
        self._event_ns: int | None = None
        self._release_ns: int | None = None

    @property
    def meter(self) -> Meter:
        """Counts what has passed and what has not."""
        return self.queue.meter

    def waiting_bytes(self) -> int:
        """What waits for the transmitter now."""
        self._serve(self.simulation.now)
        return self.queue.bytes

    # -- faults over time ----------------------------------------------------------------------------------------

    def blackhole(self, start_ns: int, end_ns: int, period_ns: int | None = None) -> None:
        """Swallow what is handed to the port from `start_ns` to before `end_ns`, and again each `period_ns`.

        What it had taken before arrives. Raises ConfigError for times that can't be.
        """
        if not start_ns < end_ns or (period_ns is not None and period_ns < end_ns - start_ns):
            raise ConfigError(f"an outage from {start_ns} to {end_ns} ns each {period_ns}: give times in this order")
        self.outages.append(Outage(start_ns, end_ns, period_ns))

    def set_mtu(self, mtu: int) -> None:
        """Drop frames of more than `mtu` bytes from now on."""
        self.mtu = mtu

    def set_delay(self, delay_ns: int) -> None:
        """Let frames that are transmitted from now on take so long. None overtakes another one: wires don't do that."""
        self._serve(self.simulation.now)
        self.delay_ns = delay_ns

    def set_rate(self, rate_bps: int) -> None:
        """Transmit at `rate_bps` from the next frame on. Raises ConfigError for a port that had no rate."""
        if self.rate_bps is None or rate_bps < 1:
            raise ConfigError(f"the rate of {self.name} can't go from {self.rate_bps} to {rate_bps} bits a second")
        self._serve(self.simulation.now)
        self._free_at = -(-self._free_at * rate_bps // self.rate_bps)
        self.rate_bps = rate_bps

    # -- frames --------------------------------------------------------------------------------------------------

    def send(self, frames: Sequence[bytes], now: int) -> None:
        """Take `frames`, in order."""
        # Hosts may be a few ns ahead of each other: each of their calls has a time of its own.
        now = self._now = max(now, self._now)
        if self.outages and any(outage.covers(now) for outage in self.outages):
            for frame in frames:
                self.meter.drop(now, "blackhole", frame, self.queue.bytes)
            return
        fitting = [frame for frame in frames if len(frame) <= self.mtu]
        if len(fitting) < len(frames):
            self._drop_longer(frames, now)
        if self.rate_bps is None:
            self._pass(fitting, now)
        else:
            self._queue(fitting, now, self.rate_bps)
        self._schedule()

    def _drop_longer(self, frames: Sequence[bytes], now: int) -> None:
        for frame in frames:
            if len(frame) > self.mtu:
                self.meter.drop(now, "mtu_drop", frame, self.queue.bytes)

    def _pass(self, frames: list[bytes], now: int) -> None:
        self.meter.pass_on(frames, now)
        if not (self.delay_ns or self.moderation_ns or self._arriving):
            self._hand_over(frames, now)
            return
        self._arriving.append((now + self.delay_ns, frames))

    def _queue(self, frames: Sequence[bytes], now: int, rate: int) -> None:
        self._serve(now)
        queue = self.queue
        for frame in frames:
            if self._free_at <= now * rate:
                self._free_at = now * rate
                self._transmit(queue.bypass(frame, now), rate)
            else:
                queue.enqueue(frame, now)

    def _serve(self, now: int) -> None:
        """Transmit what has had its turn until `now`."""
        queue, rate = self.queue, self.rate_bps
        if rate is None:
            return
        while queue and (starts_ns := -(-self._free_at // rate)) <= now:
            frame = queue.dequeue(starts_ns)
            if frame is not None:
                self._transmit(frame, rate)

    def _transmit(self, frame: bytes, rate: int) -> None:
        self._free_at += len(frame) * BITS_NS
        self._arriving.append((-(-self._free_at // rate) + self.delay_ns, [frame]))

    # -- time ----------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """See to it that the port is called when the next frame arrives, if it is not already."""
        if self._event_ns is None and self._arriving:
            due_ns = self._event_ns = self._arriving[0][0] + self.moderation_ns
            self.simulation.schedule(due_ns, self._arrive)

    def _arrive(self) -> None:
        now = self.simulation.now
        self._event_ns = None
        self._serve(now)
        arriving = self._arriving
        frames = arriving.popleft()[1]
        while arriving and arriving[0][0] <= now:
            frames += arriving.popleft()[1]
        self._schedule()
        self._hand_over(frames, now)

    def _hand_over(self, frames: list[bytes], now: int) -> None:
        if self.impaired is None:
            self._deliver(frames, now)
        else:
            self.impaired.send(frames, now)
            self._await_faults()

    def _await_faults(self) -> None:
        """See to it that frames held back on the wire are let go in time."""
        due_ns = None if self.impaired is None else self.impaired.next_timeout()
        if due_ns is not None and (self._release_ns is None or due_ns < self._release_ns):
            self._release_ns = due_ns
            self.simulation.schedule(due_ns, self._release)

    def _release(self) -> None:
        now = self.simulation.now
        if self._release_ns is None or now < self._release_ns:
            return  # what this was for has been let go
        self._release_ns = None
        if self.impaired is not None:
            self.impaired.handle_timeout(now)
            self._await_faults()


class FarEnd(Link):
    """The end of a wire as a link, for wrappers that impair what is sent to it."""

    def __init__(self, deliver: Deliver, mtu: int) -> None:
        self.linktype = LinkType.RAW
        self.mtu = mtu
        self._deliver = deliver

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Give `frames` to the far end."""
        self._deliver(list(frames), now)

    def receive(self, now: int) -> list[Frame]:
        """Nothing comes back this way."""
        return []
