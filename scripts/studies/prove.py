"""The command behind scripts/prove: many connections under all faults at once, and three proofs without a gap."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice, permutations
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rawproto.sim.scenario_toml import dump
from rawproto.study.checker import check
from rawproto.study.prove.campaign import Tally, digest, prove
from rawproto.study.prove.coverage import GROUPS
from rawproto.study.prove.draw import draw_scenario
from rawproto.study.prove.losses import DATAGRAMS, Lost, all_patterns, prove_losses
from rawproto.study.prove.meeting import Meeting, play
from rawproto.study.prove.orders import RECORDS, SEGMENTS, STREAM, Ordered, prove_orders
from rawproto.study.prove.sharing import shared
from rawproto.study.prove.wraps import Wrapped, prove_wraps

BATCH = 100
"""Seeds, patterns or orders that a process takes at once."""
WIDTHS = range(8, 33)
MANY = 21
"""Bits of the widest numbers that go round more than once here: 16 MB on the wire."""

R = TypeVar("R")


def batches(items: Iterator[Any] | Sequence[Any], size: int = BATCH) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def progress(title: str, total: int) -> tuple[Progress, Callable[[int], None]]:
    columns = (
        TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("ETA"),
        TimeRemainingColumn(),
    )  # fmt: skip
    bars = Progress(*columns, console=Console(stderr=True))
    bar = bars.add_task(title, total=total)
    return bars, lambda done: bars.update(bar, completed=min(done, total))


def mixed(connections: int, first: int, jobs: int) -> Tally:
    """Go on from seed to seed until so many connections have passed."""
    tally = Tally()
    bars, show = progress("connections", connections)
    seeds = (range(at, at + BATCH) for at in count(first, BATCH))
    with bars:
        for done in shared(prove, seeds, jobs):
            tally.add(done)
            show(tally.connections)
            for broken in done.broken:
                bars.console.print(str(broken), soft_wrap=True, markup=False, highlight=False)
            if tally.connections >= connections:
                break
    return tally


def report(tally: Tally) -> None:
    print(f"{tally.connections} connections in {tally.runs} runs, {len(tally.broken)} runs with a violation")
    print(
        f"not counted: {tally.idle} runs in which an event did not happen, {tally.empty} in which nothing was delivered"
    )
    for group, names in GROUPS.items():
        print(f"\n{group}")
        for name in names:
            number = tally.coverage.counts[group, name]
            print(f"  {name:<48}{number:>10}" + ("" if number else "   <- never"))
    print()
    for broken in tally.broken:
        print(broken)


def exhaust(jobs: int) -> list[str]:
    """The three proofs that leave nothing out; gives what is wrong, a line each."""
    wrong: list[str] = []
    lost = Lost()
    bars, show = progress("patterns of losses", 1 << DATAGRAMS)
    with bars:
        for part in shared(prove_losses, iter(all_patterns()), jobs):
            lost.add(part)
            show(lost.patterns)
    print(
        f"{lost.patterns} patterns of losses of the first {DATAGRAMS} datagrams, {lost.played} different runs of up to "
        f"{lost.datagrams} datagrams: {len(lost.broken)} broken"
    )
    wrong += [f"pattern {pattern:#b}: {violation.text}" for pattern, violation in lost.broken]
    for scenario, run in ((STREAM, prove_orders), (RECORDS, ordered_records)):
        ordered = Ordered()
        for orders in shared(run, batches(permutations(range(SEGMENTS))), jobs):
            ordered.add(orders)
        print(f"{ordered.orders} orders of {scenario.name}: {len(ordered.broken)} broken")
        wrong += [f"{scenario.name} in the order {order}: {text}" for order, text in ordered.broken]
    for wrapped in shared(wrap, iter(WIDTHS), jobs):
        rounds = min(wrapped.wraps.values())
        bad = bool(wrapped.violations) or not wrapped.whole or rounds < (3 if wrapped.bits <= MANY else 1)
        print(
            f"{wrapped.bits} bits: the numbers of each side wrapped {rounds} times" + (", and it broke" if bad else "")
        )
        if bad:
            wrong.append(f"{wrapped.bits} bits: {[violation.text for violation in wrapped.violations]}")
    return wrong


def ordered_records(orders: list[tuple[int, ...]]) -> Ordered:
    return prove_orders(orders, RECORDS)


def wrap(bits: int) -> Wrapped:
    return prove_wraps(bits, many=MANY)


def again(seed: int, toml: Path | None) -> int:
    """One seed, told in full."""
    scenario = draw_scenario(seed)
    if toml is not None:
        toml.write_text(dump(scenario), encoding="utf-8")
        note = "; the calls of the server in it are not part of the file" if isinstance(scenario, Meeting) else ""
        print(f"{toml} written: play it with the seed {seed}{note}")
    run = play(scenario, seed)
    verdict = check(run)
    print(f"{scenario.road}\n{dict(scenario.settings)}")
    for talk in scenario.talks:
        print(talk)
    for event, struck in run.struck.items():
        print(f"{event.as_dict()}: {struck} times")
    print(f"{verdict.delivered} octets delivered, fingerprint {run.fingerprint()}")
    for violation in verdict.violations:
        print(f"{violation.guarantee} at {violation.time_ns / 1e9:.6f} s: {violation.text}")
    return 1 if verdict.violations else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    parser.add_argument("--connections", type=int, default=100_000, help="so many must pass; 0 for the others alone")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=0, help="processes side by side; one for each core if left out")
    parser.add_argument("--only", type=int, metavar="SEED", help="play this seed again, and tell all of it")
    parser.add_argument("--toml", type=Path, metavar="FILE", help="with --only: write the scenario into this file")
    parser.add_argument("--fingerprint", type=int, metavar="N", help="print one digest over the first N scenarios")
    options = parser.parse_args(argv)
    if options.only is not None:
        return again(options.only, options.toml)
    if options.fingerprint is not None:
        print(digest(range(options.seed, options.seed + options.fingerprint)))
        return 0
    wrong: list[str] = []
    if options.connections:
        tally = mixed(options.connections, options.seed, options.jobs)
        report(tally)
        wrong += [f"{group} {name!r} was never met" for group, name in tally.coverage.missing()]
        wrong += map(str, tally.broken)
    wrong += exhaust(options.jobs)
    print("\n".join(wrong or ["nothing broke"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
