"""The command behind scripts/fairness: prints what each flow gets, and draws it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rawproto.study.fairness import MIXES, Contest, run_mix
from rawproto.study.plot import MissingPlotterError, draw
from studies.parallel import each


def line(contest: Contest) -> str:
    rates = " ".join(
        f"{control} {rate / 1000:.2f}" for control, rate in zip(contest.mix.controls, contest.rates(), strict=True)
    )
    return f"{contest.mix.name:<11} Jain's index {contest.index():.3f}   Mbit/s: {rates}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/fairness", description=__doc__)
    parser.add_argument("--out", type=Path, help="write an SVG for each mix into this directory")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mix", action="append", choices=[mix.name for mix in MIXES], help="only this one; repeatable")
    options = parser.parse_args(argv)
    mixes = [mix for mix in MIXES if not options.mix or mix.name in options.mix]
    contests = {mix: contest for mix, contest, _ in each(partial(run_mix, seed=options.seed), mixes, "mixes")}
    for mix in mixes:
        print(line(contests[mix]))
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            try:
                draw(contests[mix], options.out / f"{mix.name}.svg")
            except MissingPlotterError as error:
                print(error, file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
