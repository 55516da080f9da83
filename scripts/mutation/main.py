"""The command behind scripts/mutants: breaks one line at a time and says which test saw it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mutation.catalogue import MUTANTS
from mutation.mutant import Mutant
from mutation.run import CAUGHT, ERROR, Runner, Verdict

ROOT = Path(__file__).parents[2]


def verdicts(mutants: Sequence[Mutant], runner: Runner, jobs: int) -> Iterator[Verdict]:
    """Judge `mutants`, in their order, after each list of tests was seen to pass without any."""
    unfit = {mutant: why for mutant in mutants if (why := runner.staleness(mutant))}
    lists = list(dict.fromkeys(mutant.tests for mutant in mutants if mutant not in unfit))
    with ThreadPoolExecutor(jobs) as pool:
        try:
            red = {tests: why for tests, why in zip(lists, pool.map(runner.baseline, lists), strict=True) if why}
            unfit |= {mutant: red[mutant.tests] for mutant in mutants if mutant.tests in red}
            judged = pool.map(runner.judge, (mutant for mutant in mutants if mutant not in unfit))
            for mutant in mutants:
                yield Verdict(mutant, ERROR, unfit[mutant], 0.0) if mutant in unfit else next(judged)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            runner.stop()


def chosen(mutants: Sequence[Mutant], names: Sequence[str], parser: argparse.ArgumentParser) -> list[Mutant]:
    """The mutants called `names`, all of them if there are none."""
    if unknown := set(names) - {mutant.name for mutant in mutants}:
        parser.error(f"no mutant is called {min(unknown)!r}; --list names them")
    return [mutant for mutant in mutants if not names or mutant.name in names]


def main(argv: Sequence[str] | None = None, mutants: Sequence[Mutant] = MUTANTS, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants (default: all)")
    parser.add_argument("--list", action="store_true", help="name the mutants and run nothing")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time (default 2)")
    parser.add_argument("--timeout", type=int, default=60, help="seconds that one test may take (default 60)")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args(argv)
    if min(options.jobs, options.timeout) < 1:
        parser.error("--jobs and --timeout must be at least 1")
    selected = chosen(mutants, options.names, parser)
    if options.list:
        for mutant in selected:
            print(f"{mutant.name}  {mutant.mechanism}  {mutant.file}  {' '.join(mutant.tests)}")
        return 0
    results = []
    for result in verdicts(selected, Runner(root, options.timeout), options.jobs):
        results.append(result)
        if not options.json:
            by = " by" if result.verdict == CAUGHT else ":"
            print(f"{result.mutant.name} ({result.mutant.mechanism}): {result.verdict}{by} {result.why}", flush=True)
    caught = sum(result.verdict == CAUGHT for result in results)
    if options.json:
        print(json.dumps({"caught": caught, "of": len(results), "mutants": [as_json(result) for result in results]}))
    else:
        print(f"{caught} of {len(results)} caught")
    return 0 if caught == len(results) else 1


def as_json(result: Verdict) -> dict[str, object]:
    """A verdict in plain types."""
    mutant = result.mutant
    about = {"name": mutant.name, "mechanism": mutant.mechanism, "file": mutant.file}
    return about | {"verdict": result.verdict.lower(), "why": result.why, "seconds": round(result.seconds, 1)}


if __name__ == "__main__":
    sys.exit(main())
