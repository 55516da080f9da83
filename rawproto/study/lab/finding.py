"""What the search brings back: a scenario in which a guarantee breaks, as short as it gets, and who is to blame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rawproto.sim.scenario import Scenario
from rawproto.sim.world import Run, run_scenario
from rawproto.study.checker import Verdict, Violation, check

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`guarantee` breaks in `scenario`, run from `seed`, in which the mechanism `off` is off, and not when it is on."""

    off: str
    """The name of a mechanism; "all" or "none"."""
    guarantee: str
    scenario: Scenario
    seed: int
    on: Mapping[str, Any]
    """The settings that switch it on again."""

    @property
    def events(self) -> int:
        """How many things must go wrong."""
        return len(self.scenario.events)

    def run(self, *, mended: bool = False, traced: bool = True) -> tuple[Run, Verdict]:
        """Run it again, with the mechanism on if `mended`."""
        run = run_scenario(self.mended() if mended else self.scenario, self.seed, traced=traced)
        return run, check(run)

    def mended(self) -> Scenario:
        """The same scenario with the mechanism on."""
        return replace(self.scenario, settings={**self.scenario.settings, **self.on})

    def violation(self, verdict: Verdict) -> Violation | None:
        """The first violation of the guarantee in `verdict`."""
        return next((v for v in verdict.violations if v.guarantee == self.guarantee), None)
