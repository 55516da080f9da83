"""The matrix: mechanisms that are switched off, against guarantees that break. Computed, not written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rawproto.study.checker import GUARANTEES
from rawproto.study.lab.costs import Cost, cost_of
from rawproto.study.lab.finding import Finding
from rawproto.study.lab.grounds import GROUNDS, Ground, narrowed
from rawproto.study.lab.mechanisms import MECHANISMS, ROWS, off_settings
from rawproto.study.lab.search import RUNS, search
from rawproto.study.lab.wording import mechanism_name

__all__ = ["ROWS", "Matrix", "Row", "compute"]


@dataclass(frozen=True, slots=True)
class Row:
    """What the search found with one mechanism off."""

    off: str
    findings: Mapping[str, Finding]
    """By guarantee, in the order of `GUARANTEES`."""
    searched: int
    """Schedules that were tried."""
    counted: int
    """Those of them that show something: everything in them happened, and something was delivered."""
    cost: Cost | None = None
    regardless: Mapping[str, Finding] = field(default_factory=dict)
    """What broke with the mechanism on as well: there must be nothing."""

    @property
    def title(self) -> str:
        """For people."""
        return mechanism_name(self.off)


@dataclass(frozen=True, slots=True)
class Matrix:
    """All rows, and the seed that they come from."""

    seed: int
    rows: list[Row] = field(default_factory=list)

    def row(self, off: str) -> Row:
        """The row of a mechanism."""
        return next(row for row in self.rows if row.off == off)


def compute(
    seed: int = 1,
    *,
    rows: tuple[str, ...] = ROWS,
    runs: int = RUNS,
    settings: Mapping[str, Any] | None = None,
    jobs: int = 1,
    on_row: Callable[[Row], object] | None = None,
) -> Matrix:
    """Search all `rows`, in `jobs` processes; `on_row` is told of each as it is done.

    `settings` hold for all rows, if a row does not say otherwise.
    """
    matrix = Matrix(seed)
    one = partial(_compute_row, seed=seed, runs=runs, settings=dict(settings or {}))
    for row in _in_turn(one, rows, jobs):
        matrix.rows.append(row)
        if on_row is not None:
            on_row(row)
    return matrix


def _in_turn(one: Callable[[str], Row], rows: tuple[str, ...], jobs: int) -> Iterator[Row]:
    """The rows in their order, whoever is done first."""
    if jobs == 1:
        yield from map(one, rows)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one, rows)


def _compute_row(off: str, *, seed: int, runs: int, settings: Mapping[str, Any]) -> Row:
    changed = {**settings, **off_settings(off)}
    grounds: tuple[Ground, ...] = GROUNDS
    if bits := settings.get("sequence_bits"):
        grounds = tuple(narrowed(ground, bits) for ground in GROUNDS)
    found = search(off, changed, seed=seed, runs=runs, grounds=grounds)
    findings = {name: found.findings[name] for name in GUARANTEES if name in found.findings}
    cost = cost_of(off, seed) if off in MECHANISMS else None
    return Row(off, findings, found.runs, found.counted, cost, found.regardless)
