"""BBR: its rules one by one, and a sender with rate sampler and pacer over one bottleneck in virtual time."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND
from rawproto.transport.congestion.base import AckSample, RateSample
from rawproto.transport.congestion.bbr import Bbr, State
from rawproto.transport.congestion.bbr_model import INFINITE, WindowedMax
from rawproto.transport.pacing import Pacer
from rawproto.transport.rate import DeliveryRate, SendState

MSS = 1000
DRAFT = "draft-ietf-ccwg-bbr"


# -- a sender over one bottleneck ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Packet:
    number: int
    sent_ns: int
    state: SendState


@dataclass
class Path:
    """One link of `rate` octets a second with a buffer in front of it, and `rtt` of propagation there and back."""

    rate: int = 2_500_000
    rtt: int = 40 * MS
    buffer: int = 400_000
    loss: float = 0.0
    changes: dict[int, int] = field(default_factory=dict)
    """From when on the rate is another."""

    @property
    def bdp(self) -> int:
        return self.rate * self.rtt // SECOND


class Flow:
    """A sender of data without end (or of `demand` octets a second) whose timer has ticks of `tick` ns.

    An acknowledgement for each packet comes back at once. Lost is what lies three packets behind one that arrived.
    """

    def __init__(self, path: Path, seed: int = 1, tick: int = MS, demand: int = 0) -> None:
        self.path, self.tick, self.demand = path, tick, demand
        self.random = random.Random(seed)
        self.cc = Bbr(MSS, 10 * MSS)
        self.meter = DeliveryRate()
        self.pacer = Pacer(MSS)
        self.now = 0
        self.outstanding: deque[Packet] = deque()
        self.in_flight = 0
        self.next_number = 0
        self.offered = 0
        self.recovery_point: int | None = None
        self.srtt = self.min_rtt = 0
        self.queue_free_ns = 0
        self.queues: list[tuple[int, int]] = []
        self.rates: list[tuple[int, int]] = []
        self.states: list[tuple[int, State]] = [(0, State.STARTUP)]
        self.dropped = 0
        self.timeouts = 0
        self.last_heard = 0
        self._events: list[tuple[int, int, str, Packet | None]] = []
        self._order = 0
        self._timer_at = -1

    def run(self, until: int) -> Flow:
        """Go on until `until`, in ns."""
        self.transmit()
        while self._events and self._events[0][0] <= until:
            self.now, _, kind, packet = heapq.heappop(self._events)
            if kind == "ack":
                assert packet is not None
                self.acknowledged(packet)
            elif self.outstanding and self.now - self.last_heard > SECOND:
                self.timeout()
            self.transmit()
        self.now = until
        return self

    def goodput(self, since: int, until: int) -> float:
        """Delivered between two times, as a share of what the link could carry at its present rate."""
        delivered = [total for at, total in self.rates if since <= at <= until]
        return (delivered[-1] - delivered[0]) * SECOND / (until - since) / self.path.rate

    def mean_queue(self, since: int) -> float:
        """Octets in the buffer, as the packets that came found it, on average."""
        seen = [queue for at, queue in self.queues if at >= since]
        return sum(seen) / len(seen)

    def at(self, time: int, kind: str, packet: Packet | None = None) -> None:
        self._order += 1
        heapq.heappush(self._events, (time, self._order, kind, packet))

    def transmit(self) -> None:
        self.pacer.rate = self.cc.pacing_rate
        while self.in_flight + MSS <= self.cc.cwnd:
            if self.demand and self.offered + MSS > self.demand * self.now // SECOND:
                self.meter.app_limited(self.in_flight)
                self.wake(self.now + self.tick)
                break
            if not self.pacer.may_send(self.now):
                self.wake(self.pacer.ready_at())
                break
            self.send_burst()
        self.wake(self.now + SECOND // 4)

    def wake(self, time: int) -> None:
        """Timers fire at ticks only; one is enough."""
        time = -(-time // self.tick) * self.tick
        if not self.now < self._timer_at <= time:
            self._timer_at = time
            self.at(time, "timer")

    def send_burst(self) -> None:
        octets = min(self.pacer.quantum(), (self.cc.cwnd - self.in_flight) // MSS * MSS)
        if self.demand:
            octets = min(octets, (self.demand * self.now // SECOND - self.offered) // MSS * MSS)
        state = self.meter.on_sent(self.now, octets, self.in_flight)
        for _ in range(octets // MSS):
            packet = Packet(self.next_number, self.now, state)
            self.next_number += 1
            self.outstanding.append(packet)
            self.enqueue(packet)
        self.offered += octets
        self.in_flight += octets
        self.pacer.on_sent(octets, self.now)
        self.cc.on_sent(self.now, octets, self.in_flight)

    def enqueue(self, packet: Packet) -> None:
        for since, rate in self.path.changes.items():
            if self.now >= since:
                self.path.rate = rate
        queued = max(0, self.queue_free_ns - self.now) * self.path.rate // SECOND
        self.queues.append((self.now, queued))
        if queued + MSS > self.path.buffer or self.random.random() < self.path.loss:
            self.dropped += 1
            return
        self.queue_free_ns = max(self.queue_free_ns, self.now) + MSS * SECOND // self.path.rate
        self.at(self.queue_free_ns + self.path.rtt, "ack", packet)

    def acknowledged(self, packet: Packet) -> None:
        self.last_heard = self.now
        prior, lost = self.in_flight, 0
        while self.outstanding and self.outstanding[0].number <= packet.number - 3:
            self.outstanding.popleft()
            lost += MSS
        if packet not in self.outstanding:
            return
        self.outstanding.remove(packet)
        self.in_flight -= MSS + lost
        rtt = self.now - packet.sent_ns
        self.srtt = self.srtt + (rtt - self.srtt) // 8 if self.srtt else rtt
        self.min_rtt = min(self.min_rtt or rtt, rtt)
        self.meter.on_delivered(MSS)
        self.meter.on_lost(lost)
        self.rates.append((self.now, self.meter.delivered))
        if lost and self.recovery_point is None:
            self.recovery_point = self.next_number
            self.cc.on_congestion(self.now, prior)
        self.cc.on_ack(
            AckSample(
                self.now, MSS, lost, prior, self.in_flight, rtt, self.srtt, self.min_rtt, 0, 0,
                self.recovery_point is not None, prior + MSS > self.cc.cwnd, self.meter.delivered,
                self.meter.sample(packet.state, packet.sent_ns, self.now, self.min_rtt),
            )
        )  # fmt: skip
        if self.recovery_point is not None and packet.number >= self.recovery_point:
            self.recovery_point = None
            self.cc.on_recovered(self.now)
        if self.cc.state is not self.states[-1][1]:
            self.states.append((self.now, self.cc.state))

    def timeout(self) -> None:
        self.timeouts += 1
        self.meter.on_lost(self.in_flight)
        self.cc.on_timeout(self.now, self.in_flight, again=False)
        self.recovery_point = self.next_number
        self.outstanding.clear()
        self.in_flight = 0
        self.last_heard = self.now
