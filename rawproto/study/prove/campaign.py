"""Plays what `draw_scenario` draws, from seed after seed, and judges each run: the proof by many examples.

A run in which nothing was delivered, or in which an event did not happen, shows nothing and counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from rawproto.errors import RawprotoError
from rawproto.sim.scenario import Scenario
from rawproto.sim.world import Run
from rawproto.study.checker import Violation, check
from rawproto.study.prove.coverage import Coverage
from rawproto.study.prove.draw import draw_scenario
from rawproto.study.prove.meeting import play

__all__ = ["Broken", "Tally", "digest", "prove", "prove_one"]


@dataclass(frozen=True, slots=True)
class Broken:
    """A seed whose run broke a guarantee, and which ones."""

    seed: int
    violations: tuple[Violation, ...]

    def __str__(self) -> str:
        first = self.violations[0]
        more = f", and {len(self.violations) - 1} more" if len(self.violations) > 1 else ""
        found = f"{first.guarantee} at {first.time_ns / 1e9:.3f} s: {first.text}{more}"
        return f"scripts/prove --only {self.seed}    # {found}"


@dataclass(slots=True)
class Tally:
    """What came of some seeds."""

    runs: int = 0
    connections: int = 0
    """Those of runs that show something, and in which nothing was broken."""
    idle: int = 0
    """Runs in which an event did not happen."""
    empty: int = 0
    """Runs in which nothing was delivered."""
    broken: list[Broken] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)

    def add(self, other: Tally) -> None:
        """Count what the other one has counted, too."""
        self.runs += other.runs
        self.connections += other.connections
        self.idle += other.idle
        self.empty += other.empty
        self.broken += other.broken
        self.coverage.counts.update(other.coverage.counts)

    @property
    def holds(self) -> bool:
        """Nothing was broken, and everything was met that there is."""
        return not self.broken and not self.coverage.missing()


def prove(seeds: Iterable[int]) -> Tally:
    """Play and judge the scenario of each of `seeds`."""
    tally = Tally()
    for seed in seeds:
        prove_one(draw_scenario(seed), seed, tally)
    return tally


def prove_one(scenario: Scenario, seed: int, tally: Tally) -> Run | None:
    """Play `scenario`, judge it, and count what came of it; gives the run, None if the engine raised."""
    tally.runs += 1
    try:
        run = play(scenario, seed, traced=True)
    except RawprotoError as error:
        tally.broken.append(Broken(seed, (Violation("engine", 0, f"{type(error).__name__}: {error}"),)))
        return None
    verdict = check(run)
    if verdict.violations:
        tally.broken.append(Broken(seed, verdict.violations))
    elif verdict.idle:
        tally.idle += 1
    elif not verdict.delivered:
        tally.empty += 1
    else:
        begun = [account for account in run.accounts if account.side == "client" and account.began_ns >= 0]
        tally.connections += sum(account.kind != "datagrams" for account in begun)
        tally.coverage.add(run)
    return run


def digest(seeds: Iterable[int]) -> str:
    """One fingerprint over the runs of all `seeds`."""
    told = blake2b(digest_size=16)
    for seed in seeds:
        told.update(play(draw_scenario(seed), seed).fingerprint().encode())
    return told.hexdigest()
