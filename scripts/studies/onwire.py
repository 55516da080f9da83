"""The command behind scripts/onwire: plays scenarios in the simulator and on a real veth, and prints both."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from rawproto.cli.realdemo import prepare_privileges
from rawproto.errors import RawprotoError
from rawproto.link.chance import derive_rng
from rawproto.link.netns import Lab
from rawproto.link.script import HOST_KINDS
from rawproto.sim.scenario import Scenario
from rawproto.sim.scenario_toml import load_file
from rawproto.study.lab.grounds import GROUNDS, draw_events
from rawproto.study.onwire.figures import Comparison, compare
from rawproto.study.onwire.realtime import brief, why_not
from rawproto.study.onwire.run import lab_for
from rawproto.study.onwire.stories import STORIES, clean_scenarios

WIDTH = 34


class Row(NamedTuple):
    scenario: Scenario
    wanted: str | None
    """The guarantee that must be broken; "" if all must hold; None if it need only be the same on both."""


def drawn(count: int) -> Iterator[Scenario]:
    """Schedules as the lab's search draws them, everything on."""
    rng = derive_rng(1, "on the wire")
    number = 0
    while number < count:
        ground = GROUNDS[number % len(GROUNDS)]
        events = tuple(event for event in draw_events(ground, rng) if event.kind not in HOST_KINDS)
        number += 1
        yield replace(brief(ground.scenario({}, events)), name=f"{number}: {ground.name}")


def rows(options: argparse.Namespace) -> Iterator[Row]:
    if options.files:
        yield from (Row(brief(load_file(path)), None) for path in options.files)
        return
    yield from (Row(scenario, "") for scenario in (*clean_scenarios(), *drawn(options.scenarios)))
    if options.mechanisms:
        for story in STORIES:
            yield Row(story.scenario, story.guarantee)
            yield Row(story.mended(), "")


def as_wanted(row: Row, comparison: Comparison) -> bool:
    """In the simulator and on the wire. What did not happen shows nothing, and is told."""
    if row.wanted is None:
        return comparison.agree
    for verdict in comparison.verdicts:
        if row.wanted not in verdict.broken if row.wanted else verdict.violations:
            return False
    return True


def named(scenario: Scenario) -> str:
    return f"{scenario.name[: WIDTH - 2]:<{WIDTH}}"


def shown(comparison: Comparison, held: bool) -> str:
    """The cells of one run."""
    ours, theirs = comparison.figures
    cells = [f"{ours.sent[side]:>4}{theirs.sent[side]:>5}" for side in ("client", "server")]
    cells.append(f"{sum(ours.repeated.values()):>5}{sum(theirs.repeated.values()):>4}")
    times = [f"{each.completion_ns / 1e6:.1f}" if each.completion_ns >= 0 else "never" for each in (ours, theirs)]
    cells.append(f"{times[0]:>9}{times[1]:>9}")
    delay_ns = comparison.delay_ns
    cells.append(f"{delay_ns / 1e6:>+8.1f}{delay_ns / ours.completion_ns:>+6.0%}" if delay_ns is not None else " " * 14)
    broken = [", ".join(sorted(verdict.broken)) or "none" for verdict in comparison.verdicts]
    told = broken[0] if broken[0] == broken[1] else f"{broken[0]} / {broken[1]}"
    idle = [len(verdict.idle) for verdict in comparison.verdicts]
    unstruck = f"  (idle {idle[0]} / {idle[1]})" if any(idle) else ""
    return f"{'  '.join(cells)}  {told}{unstruck}{'' if held else '  NOT AS WANTED'}"


def head() -> str:
    names = f"{'scenario':<{WIDTH}}seed   client   server  repeated   completion, ms         difference  broken"
    return f"{names}\n{'':<{WIDTH}}       sim wire sim wire   sim wire     sim     wire"


def play(options: argparse.Namespace) -> int:
    wrong = 0
    print(head())
    labs: dict[int, Lab] = {}
    try:
        for row in rows(options):
            reason = why_not(row.scenario)
            if reason:
                print(f"{named(row.scenario)}not played: {reason}")
                continue
            mtu = row.scenario.road.mtu
            lab = labs[mtu] if mtu in labs else labs.setdefault(mtu, lab_for(row.scenario))
            for seed in range(options.first, options.first + options.seeds):
                comparison = compare(row.scenario, seed, lab=lab, ipv6=options.ipv6)
                held = as_wanted(row, comparison)
                wrong += not held
                print(f"{named(row.scenario)}{seed:>4}  {shown(comparison, held)}", flush=True)
                if options.details or not held:
                    print("".join(f"    {line}\n" for line in comparison.lines()), end="", flush=True)
                    for name, verdict in zip(("simulated", "real"), comparison.verdicts, strict=True):
                        for violation in verdict.violations:
                            print(f"    {name}: {violation.guarantee}: {violation.text}")
    finally:
        for lab in labs.values():
            lab.close()
    print(f"{wrong} not as wanted")
    return 1 if wrong else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/onwire", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="scenarios to play instead (TOML), their waits cut short")
    parser.add_argument("--scenarios", type=int, default=0, help="so many schedules more, drawn as the lab draws them")
    parser.add_argument("--seeds", type=int, default=1, help="so many seeds for each scenario")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--mechanisms", action="store_true", help="a story for each mechanism too, with it off and on")
    parser.add_argument("--ipv6", action="store_true", help="over IPv6 on the wire")
    parser.add_argument("--details", action="store_true", help="every difference, and what each event struck")
    options = parser.parse_args(argv)
    try:
        prepare_privileges()
        return play(options)
    except (RawprotoError, OSError) as error:
        print(f"onwire: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
