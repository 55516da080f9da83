"""The command behind scripts/seeded_bugs: puts one bug at a time into the engine and asks the checker."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mutation.seeded import BUGS
from mutation.seeded_base import LOUD, Bug
from mutation.seeded_run import Hunter, Outcome

ROOT = Path(__file__).parents[2]
SCHEDULES = 600
TIMEOUT_S = 600


def outcomes(bugs: Sequence[Bug | None], hunter: Hunter, jobs: int) -> Iterator[Outcome]:
    """What the checker says of each, in their order."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(hunter.hunt, bugs)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            hunter.stop()


def main(argv: Sequence[str] | None = None, bugs: Sequence[Bug] = BUGS, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="scripts/seeded_bugs", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this bug; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the bugs and run nothing")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time (default 2)")
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help=f"at most so many each (default {SCHEDULES})")
    parser.add_argument("--table", action="store_true", help="print the table of docs/seeded_bugs.md")
    options = parser.parse_args(argv)
    if min(options.jobs, options.schedules) < 1:
        parser.error("--jobs and --schedules must be at least 1")
    if unknown := set(options.only) - {bug.name for bug in bugs}:
        parser.error(f"no bug is called {min(unknown)!r}; --list names them")
    selected = [bug for bug in bugs if not options.only or bug.name in options.only]
    if options.list:
        for bug in selected:
            print(f"{bug.name}  {bug.mutant.file}  {bug.text}")
        return 0
    with Hunter(root, TIMEOUT_S, schedules=options.schedules).frozen() as hunter:
        return judge(selected, hunter, options.jobs, table=options.table)


def judge(bugs: Sequence[Bug], hunter: Hunter, jobs: int, *, table: bool) -> int:
    """Ask about all of `bugs`, and about the engine without any; say what came of it, and give the exit status."""
    results: list[Outcome] = []
    for outcome in outcomes([None, *bugs], hunter, jobs):
        results.append(outcome)
        if not table:
            print(said(outcome), flush=True)
    control, *rest = results
    if table:
        print("\n".join(as_table(rest)))
    caught = sum(outcome.caught for outcome in rest)
    loud = sum(outcome.guarantee in LOUD for outcome in rest)
    print(
        f"{caught} of {len(rest)} caught" + (f", {loud} of them by an exception or a run without end" if loud else "")
    )
    return 0 if caught == len(rest) and not control.caught and not control.error else 1


def said(outcome: Outcome) -> str:
    """A bug, and what became of it, in a line."""
    name = "the engine as it is" if outcome.bug is None else outcome.bug.name
    if outcome.error:
        return f"{name}: ERROR: {outcome.error}"
    if not outcome.caught:
        return f"{name}: {'holds in' if outcome.bug is None else 'NOT CAUGHT by'} {outcome.schedules} schedules"
    events = "; ".join(event_text(event) for event in outcome.events) or "nothing goes wrong"
    return f"{name}: {outcome.by} after {outcome.schedules}: {outcome.scenario} [{events}]: {outcome.text}"


def event_text(event: dict[str, object]) -> str:
    """An event in a few words."""
    values = [f"{name}={value}" for name, value in event.items() if name not in ("kind", "side")]
    return " ".join([f"{event['kind']} ({event['side']})", *values])


def as_table(results: Sequence[Outcome]) -> Iterator[str]:
    """The rows of the documentation's table."""
    yield "| bug | in | what is wrong | caught by | after |"
    yield "|---|---|---|---|---|"
    for outcome in results:
        if outcome.bug is not None:
            module = Path(outcome.bug.mutant.file).relative_to("rawproto/transport")
            by = outcome.by or "**nobody**"
            yield f"| {outcome.bug.name} | `{module}` | {outcome.bug.text} | {by} | {outcome.schedules} |"


if __name__ == "__main__":
    sys.exit(main())
