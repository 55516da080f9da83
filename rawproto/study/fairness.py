"""Who gets what of a bottleneck that several long-lived flows share, in virtual time; all of it is read off the Trace.

The flows start one after the other, each up to START_SPREAD_NS later than its turn, by the seed; what they get is
counted once all of them have been there for a while. A run is a function of the mix and the seed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rawproto.link.chance import derive_rng
from rawproto.link.queue import DropTail
from rawproto.sim.topology import dumbbell
from rawproto.study.flow import Flow
from rawproto.transport.config import MILLISECOND, SECOND, Config
from rawproto.transport.trace import RttSampled, Trace

__all__ = ["DURATION_NS", "MIXES", "QUEUE_BYTES", "RATE_BPS", "STEADY_NS", "Contest", "Mix", "Point", "jain", "run_mix"]

RATE_BPS = 10_000_000
ROUND_TRIP_NS = 40 * MILLISECOND
QUEUE_BYTES = RATE_BPS // 8 * ROUND_TRIP_NS // SECOND
"""One bandwidth-delay product, drop-tail."""
DURATION_NS = 60 * SECOND
STEADY_NS = 20 * SECOND
"""From here to the end it is counted what each flow gets."""
START_GAP_NS = SECOND
START_SPREAD_NS = 500 * MILLISECOND


@dataclass(frozen=True, slots=True)
class Mix:
    """Flows that meet: the congestion control of each."""

    name: str
    controls: tuple[str, ...]
    text: str


MIXES = (
    Mix("two-cubic", ("cubic",) * 2, "two flows with CUBIC"),
    Mix("ten-cubic", ("cubic",) * 10, "ten flows with CUBIC"),
    Mix("reno-cubic", ("reno", "cubic"), "Reno beside CUBIC"),
    Mix("bbr-cubic", ("bbr", "cubic"), "BBR beside CUBIC"),
    Mix("two-bbr", ("bbr",) * 2, "two flows with BBR"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """A flow at one time: its window in bytes, and what it got since the point before, in kbit/s of payload."""

    time_ns: int
    cwnd: int
    kbit_s: int


@dataclass(frozen=True, slots=True)
class Contest:
    """One run: what each flow's sender has measured."""

    mix: Mix
    seed: int
    flows: tuple[tuple[RttSampled, ...], ...]

    def rates(self, start_ns: int = STEADY_NS, end_ns: int = DURATION_NS) -> list[int]:
        """What each flow got between the two times, in kbit/s of payload."""
        return [
            (delivered(samples, end_ns) - delivered(samples, start_ns)) * 8 * (SECOND // 1000) // (end_ns - start_ns)
            for samples in self.flows
        ]

    def shares(self) -> list[int]:
        """What each got of what all got in the steady part, per mille."""
        rates = self.rates()
        return [rate * 1000 // sum(rates) for rate in rates]

    def index(self) -> float:
        """Jain's index over the steady part."""
        return jain(self.rates())

    def series(self, flow: int, step_ns: int = SECOND // 2) -> list[Point]:
        """The flow with that number over time, a point for each `step_ns`, from its first round trip on."""
        samples = self.flows[flow]
        points = []
        for time_ns in range(step_ns, DURATION_NS + 1, step_ns):
            at = bisect_right(samples, time_ns, key=lambda sample: sample.time_ns)
            if at:
                got = samples[at - 1].delivered - delivered(samples, time_ns - step_ns)
                points.append(Point(time_ns, samples[at - 1].cwnd, got * 8 * (SECOND // 1000) // step_ns))
        return points


def jain(amounts: Sequence[int]) -> float:
    """(sum x)^2 / (n * sum x^2): 1 if all get the same, 1/n if one gets everything.

    Jain, Chiu, Hawe: A Quantitative Measure of Fairness and Discrimination (DEC-TR-301, 1984).
    """
    squares = len(amounts) * sum(amount * amount for amount in amounts)
    return sum(amounts) ** 2 / squares if squares else 0.0


def delivered(samples: Sequence[RttSampled], time_ns: int) -> int:
    """How many octets were known to have arrived by `time_ns`."""
    at = bisect_right(samples, time_ns, key=lambda sample: sample.time_ns)
    return samples[at - 1].delivered if at else 0


def run_mix(mix: Mix, seed: int = 1, until_ns: int = DURATION_NS) -> Contest:
    """Let the flows of `mix` share the bottleneck."""
    traces = [Trace() for _ in mix.controls]
    network = dumbbell(
        seed,
        len(mix.controls),
        rate_bps=RATE_BPS,
        delay_ns=ROUND_TRIP_NS // 2,
        queue=partial(DropTail, QUEUE_BYTES),
        configs=[Config(congestion_control=control) for control in mix.controls],
        traces=traces,
    )
    spread = derive_rng(seed, "starts")
    for number, (client, server) in enumerate(zip(network.clients, network.servers, strict=True)):
        start_ns = number * START_GAP_NS + spread.randrange(START_SPREAD_NS)
        Flow(client, server, seed, size=None, peer=f"10.1.0.{number + 1}", start_ns=start_ns)
    network.simulation.run(until=until_ns)
    return Contest(
        mix,
        seed,
        tuple(tuple(record for record in trace.records if isinstance(record, RttSampled)) for trace in traces),
    )
