"""The command behind scripts/survival: plays each scenario with many seeds, and tells what was not as stated."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rawproto.study.survival import SCENARIOS, Outcome, run_scenario
from rawproto.transport.config import SECOND
from studies.parallel import each

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def play(task: tuple[str, int]) -> tuple[str, int]:
    """What was wrong, and when it was over. Scenarios themselves don't go from process to process."""
    outcome: Outcome = run_scenario(BY_NAME[task[0]], task[1])
    return outcome.problem, outcome.time_ns


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/survival", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="so many seeds for each scenario")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--scenario", action="append", choices=BY_NAME, help="only this one; repeatable")
    options = parser.parse_args(argv)
    names = options.scenario or list(BY_NAME)
    seeds = range(options.first, options.first + options.seeds)
    done = {task: result for task, result, _ in each(play, [(name, seed) for name in names for seed in seeds], "runs")}
    problems = [problem for problem, _ in done.values() if problem]
    print(f"{'scenario':<22}{'sender':<9}{'receiver':<10}{'bound':>8}{'longest':>10}  as stated")
    for name in names:
        scenario = BY_NAME[name]
        rows = [done[name, seed] for seed in seeds]
        held = sum(not problem for problem, _ in rows)
        longest = max(time_ns for _, time_ns in rows) / SECOND
        print(f"{name:<22}{scenario.sent:<9}{scenario.arrived:<10}{scenario.bound_ns // SECOND:>6} s{longest:>8.1f} s"
              f"  {held} of {len(rows)}")  # fmt: skip
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
