"""Every order: seven segments of a stream, or seven records, arrive in each of their 5,040 orders.

The client's link keeps the first seven that have payload, and lets them go one by one in the order that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rawproto.link.base import Link
from rawproto.link.script import ScriptedLink, Sent
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.sim.world import Run, World
from rawproto.study.checker import check
from rawproto.study.onlink import read_header

__all__ = ["RECORDS", "SEGMENTS", "STREAM", "Ordered", "prove_orders", "run_ordered"]

SEGMENTS = 7
"""So many change places: 5,040 orders."""
APART_NS = 20_000
"""So long after each other they leave: each is received, and acknowledged, by itself."""

STREAM = Scenario("seven segments", (Talk(Party(("send 2100",))),), road=Road(mtu=400))
"""Three hundred octets fit, beside the cookie that goes along until the server has shown that it has it."""
RECORDS = Scenario("seven records", (Talk(Party(("send 140 by 20",)), kind="records"),))


class OrderingLink(ScriptedLink):
    """Keeps the first segments with payload, and lets them go in the order of its world."""

    world: OrderingWorld

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Pass on what is not kept."""
        passing: list[bytes] = []
        for frame in frames:
            self.count += 1
            self.log.sent.append(Sent(now, self.side, self.count, frame, ()))
            kept = self.world.kept
            if self.side == "client" and len(kept) < SEGMENTS and read_header(frame, True).length:
                kept.append(frame)
                if len(kept) == SEGMENTS:
                    for place, number in enumerate(self.world.order):
                        self._hold(kept[number], now + place * APART_NS, peer)
            else:
                passing.append(frame)
        if passing:
            self.inner.send(passing, now, peer)


class OrderingWorld(World):
    """Two hosts; what the client sends first arrives in `order`."""

    def __init__(self, scenario: Scenario, order: Sequence[int]) -> None:
        self.order = order
        self.kept: list[bytes] = []
        super().__init__(scenario, 0)

    def _scripted(self, side: str, inner: Link) -> Link:
        link = self.links[side] = OrderingLink(inner, side, (), self.run.log, seal=self._seal)
        link.world = self
        return link


@dataclass(slots=True)
class Ordered:
    """What came of some orders: those that were not what they should be, and why."""

    orders: int = 0
    broken: list[tuple[tuple[int, ...], str]] = field(default_factory=list)

    def add(self, other: Ordered) -> None:
        """Count what the other one has counted, too."""
        self.orders += other.orders
        self.broken += other.broken


def run_ordered(order: Sequence[int], scenario: Scenario = STREAM) -> tuple[Run, list[bytes]]:
    """Play `scenario` with its first segments in `order`; give the run, and the segments as they were sent."""
    world = OrderingWorld(scenario, order)
    return world.play(), world.kept


def prove_orders(orders: Iterable[tuple[int, ...]], scenario: Scenario = STREAM) -> Ordered:
    """Judge the runs of `orders`: the segments must have arrived so, and the stream must be whole."""
    ordered = Ordered()
    whole = sum(talk.client.sends for talk in scenario.talks)
    for order in orders:
        ordered.orders += 1
        run, kept = run_ordered(order, scenario)
        arrived = [entry.frame for entry in run.log.arrived if entry.side == "server" and entry.frame in kept]
        verdict = check(run)
        if verdict.violations:
            ordered.broken.append((order, verdict.violations[0].text))
        elif verdict.delivered != whole:
            ordered.broken.append((order, f"{verdict.delivered} of {whole} octets were read"))
        elif len(set(kept)) != SEGMENTS or arrived != [kept[number] for number in order]:
            ordered.broken.append((order, "the segments did not arrive in this order"))
    return ordered
