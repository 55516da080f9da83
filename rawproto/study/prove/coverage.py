"""What a run has gone through: every fault, forgery, state, transition and timer, counted. None may stay at zero.

Faults are counted by what struck, not by what was meant to; states, transitions and timers are read from the traces of
both hosts, which are there for this alone and for no verdict.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rawproto.link.forgery import FORGERIES
from rawproto.link.script import KINDS
from rawproto.sim.scenario import KINDS as TALK_KINDS
from rawproto.sim.scenario import TOPOLOGIES
from rawproto.sim.world import Run
from rawproto.transport.state import Event, State
from rawproto.transport.trace import Ended, Record, SegmentReceived, SegmentSent, StateChanged, TimerFired

__all__ = ["GROUPS", "Coverage"]

RANDOM = ("loss", "burst_loss", "corrupt", "swap", "truncate", "duplicate", "reorder", "tail", "codel", "mtu_drop")
TIMERS = (
    *("rto", "tail loss probe", "reordering", "persist", "path MTU", "delayed ACK", "cookie", "keep-alive"),
    *("pacing", "TIME-WAIT", "connect", "user", "FIN-WAIT-2", "dead peer"),
)
"""Those that a trace names, and those that show by what they do: see `Coverage.add`."""

GROUPS: dict[str, tuple[str, ...]] = {
    "scripted event": tuple(KINDS),
    "forgery": tuple(FORGERIES),
    "random fault": RANDOM,
    "topology": TOPOLOGIES,
    "kind of connection": TALK_KINDS,
    "congestion control": ("cubic", "reno", "bbr"),
    "state": tuple(state.value for state in State),
    "transition": tuple(event.value for event in Event),
    "timer": TIMERS,
}
"""All that there is to go through."""

ENDS = {
    "the peer did not answer for": "connect",
    "the idle peer answered none": "dead peer",
    "the peer acknowledged nothing": "user",
    "the peer did not close": "FIN-WAIT-2",
}
"""What a connection says when it gives up, and the timer that this was."""
SKEW_NS = 1_000
"""Each call of a stack has a time of its own."""


@dataclass(slots=True)
class Coverage:
    """How often each name of `GROUPS` was met."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def missing(self) -> list[tuple[str, str]]:
        """Group and name of all that was never met."""
        return [(group, name) for group, names in GROUPS.items() for name in names if not self.counts[group, name]]

    def add(self, run: Run) -> None:
        """Count what `run` went through, as far as it was traced."""
        counts, scenario = self.counts, run.scenario
        counts["topology", scenario.road.topology] += 1
        counts["congestion control", scenario.config().congestion_control] += 1
        counts.update(("kind of connection", talk.kind) for talk in scenario.talks)
        scripted: Counter[str] = Counter()
        for event, count in run.struck.items():
            scripted[event.kind] += count
            if event.what:
                counts["forgery", event.what] += count
        counts.update({("scripted event", kind): count for kind, count in scripted.items()})
        random = run.fired - scripted
        counts.update({("random fault", kind): count for kind, count in random.items()})
        for side, trace in run.traces.items():
            handed = sorted(_acted(run, side))
            counts.update(_met(trace.records))
            counts["timer", "pacing"] += sum(_paced(trace.records, handed))


def _acted(run: Run, side: str) -> Iterator[int]:
    """When the applications of `side` have given their connections something to send."""
    for account in run.accounts:
        if account.side == side:
            yield account.shutdown_ns
            yield from (time_ns for time_ns, _ in account.sent)


def _met(records: list[Record]) -> Iterator[tuple[str, str]]:
    """States, transitions and timers."""
    for record in records:
        if isinstance(record, StateChanged):
            yield "state", record.before.value
            yield "state", record.after.value
            yield "transition", record.event.value
            if record.event is Event.EXPIRE:
                yield "timer", "TIME-WAIT"
        elif isinstance(record, TimerFired):
            yield "timer", record.timer
        elif isinstance(record, Ended):
            for beginning, timer in ENDS.items():
                if record.reason.startswith(beginning):
                    yield "timer", timer


def _paced(records: list[Record], handed: list[int]) -> Iterator[bool]:
    """For data that leaves by itself: nothing came, no timer ran out and nothing was handed over since the data before.

    Only the pacer's time can have come then, which no record tells.
    """
    left: dict[int, int] = {}
    for record in records:
        if isinstance(record, SegmentSent) and record.length:
            before = left.get(record.connection, record.time_ns)
            if record.time_ns > before + SKEW_NS:
                yield bisect_right(handed, before) == bisect_right(handed, record.time_ns)
            left[record.connection] = record.time_ns
        elif isinstance(record, SegmentReceived | TimerFired):
            left.pop(record.connection, None)
