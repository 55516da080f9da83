"""Every pattern of losses: the first datagrams of a small connection, each one lost or not.

Datagrams are numbered from 0 over both sides, in the order in which they are sent. Pattern 5, binary 101, loses the
first and the third that anybody sends; what is sent again is another datagram, with a number of its own. Two patterns
that differ only in datagrams that are never sent are one and the same run, and played once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rawproto.link.base import Link
from rawproto.link.script import ScriptedLink, Sent
from rawproto.sim.scenario import Party, Scenario, Talk
from rawproto.sim.world import Run, World
from rawproto.study.checker import Violation, check
from rawproto.transport.config import SECOND

__all__ = ["DATAGRAMS", "OPEN_DATA_CLOSE", "Lost", "all_patterns", "prove_losses", "run_losing"]

DATAGRAMS = 14
"""So many are lost or not."""

OPEN_DATA_CLOSE = Scenario(
    "open, data, close",
    (Talk(Party(("send 300",)), Party(("await 300", "send 200"))),),
    settings={
        # Nobody gives up: whoever loses fourteen datagrams in a row has waited for longer than anybody has to.
        "user_timeout": 3600 * SECOND,
        "connect_timeout": 3600 * SECOND,
        "cookie_lifetime": 3600 * SECOND,
        "msl": 600 * SECOND,
    },
    until_ns=10_000 * SECOND,
)
"""What is played: three hundred octets there, two hundred back, and an orderly end."""


class LosingLink(ScriptedLink):
    """Loses what its world says."""

    world: LosingWorld

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Pass on what is not to be lost."""
        passing: list[bytes] = []
        for frame in frames:
            self.count += 1
            lost = self.world.pattern >> self.world.sent & 1
            self.world.sent += 1
            self.log.sent.append(Sent(now, self.side, self.count, frame, ("drop",) if lost else ()))
            if not lost:
                passing.append(frame)
        if passing:
            self.inner.send(passing, now, peer)


class LosingWorld(World):
    """Two hosts, between whom `pattern` is lost."""

    def __init__(self, scenario: Scenario, pattern: int) -> None:
        self.pattern = pattern
        self.sent = 0
        """Datagrams of both sides."""
        super().__init__(scenario, 0)

    def _scripted(self, side: str, inner: Link) -> Link:
        link = self.links[side] = LosingLink(inner, side, (), self.run.log, seal=self._seal)
        link.world = self
        return link


@dataclass(slots=True)
class Lost:
    """What came of some patterns."""

    patterns: int = 0
    played: int = 0
    """Runs: patterns that are the same as one before are not played again."""
    datagrams: int = 0
    """The most that any run sent."""
    broken: list[tuple[int, Violation]] = field(default_factory=list)
    """Patterns after which a guarantee was broken or something did not arrive."""

    def add(self, other: Lost) -> None:
        """Count what the other one has counted, too."""
        self.patterns += other.patterns
        self.played += other.played
        self.datagrams = max(self.datagrams, other.datagrams)
        self.broken += other.broken


def all_patterns() -> list[range]:
    """All of them, in parts: those that lose the same of the first five datagrams stand together."""
    return [range(low, 1 << DATAGRAMS, 32) for low in range(32)]


def run_losing(pattern: int, scenario: Scenario = OPEN_DATA_CLOSE) -> tuple[Run, int]:
    """Play `scenario` without the datagrams whose bits are set in `pattern`; give the run and how many were sent."""
    world = LosingWorld(scenario, pattern)
    return world.play(), world.sent


def prove_losses(patterns: Iterable[int], scenario: Scenario = OPEN_DATA_CLOSE) -> Lost:
    """Judge the runs of `patterns`: nothing may be broken, and all of it must arrive at both ends."""
    lost = Lost()
    whole = sum(talk.client.sends + talk.server.sends for talk in scenario.talks)
    same: dict[tuple[int, int], Violation | None] = {}
    for pattern in patterns:
        lost.patterns += 1
        known = next((size for size in range(DATAGRAMS) if (size, pattern & (1 << size) - 1) in same), None)
        if known is not None:
            violation = same[known, pattern & (1 << known) - 1]
        else:
            run, sent = run_losing(pattern, scenario)
            lost.played += 1
            lost.datagrams = max(lost.datagrams, sent)
            verdict = check(run)
            violation = next(iter(verdict.violations), None)
            if violation is None and verdict.delivered != whole:
                violation = Violation("complete", run.end_ns, f"{verdict.delivered} of {whole} octets were read")
            if sent < DATAGRAMS:
                same[sent, pattern & (1 << sent) - 1] = violation
        if violation is not None:
            lost.broken.append((pattern, violation))
    return lost
