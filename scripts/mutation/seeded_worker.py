"""Plays the schedules with whatever `rawproto` is imported, until the checker sees a guarantee broken: a process's job.

Prints one JSON object. `worker.py COUNT` takes the first COUNT schedules.
"""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[1]))

import rawproto
from mutation.seeded_base import LOUD
from mutation.seeded_schedules import Schedule, schedules
from rawproto.link.script import Event
from rawproto.sim.world import Run
from rawproto.study.checker import check
from rawproto.study.prove.meeting import play
from rawproto.study.shrink import shrink

PATIENCE = 60
"""So many schedules more are played after the engine raised: it may break a guarantee, too."""
LONGEST_S = 20
"""A run takes some milliseconds; one that takes as long as this comes to no end."""


class EndlessError(Exception):
    """A run that goes on and on."""


def _stop(signum: int, frame: FrameType | None) -> None:
    raise EndlessError(f"a run has not ended after {LONGEST_S} s")


def _judge(schedule: Schedule) -> tuple[str, str]:
    """Which guarantee is broken and how; or "raised" and what was raised, "endless", or nothing."""
    signal.alarm(LONGEST_S)
    try:
        run: Run = play(schedule.scenario, schedule.seed)
        violations = check(run).violations
    except EndlessError as error:
        return "endless", str(error)
    except Exception as error:  # noqa: BLE001, RUF100 - whatever a broken engine raises
        return "raised", f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return (violations[0].guarantee, violations[0].text) if violations else ("", "")


def _shorter(schedule: Schedule, guarantee: str) -> tuple[Event, ...]:
    """The fewest events under which `guarantee` breaks in the same world."""

    def breaks(events: tuple[Event, ...]) -> bool:
        return _judge(_with_events(schedule, events))[0] == guarantee

    return shrink(schedule.scenario.events, breaks) if schedule.scenario.events else ()


def _with_events(schedule: Schedule, events: tuple[Event, ...]) -> Schedule:
    """The same world with other events."""
    return schedule._replace(scenario=replace(schedule.scenario, events=events))


def hunt(count: int) -> dict[str, object]:
    """What came of the first `count` schedules. That the engine raised counts if no guarantee breaks soon after."""
    loud: tuple[int, Schedule, str, str] | None = None
    for number, schedule in enumerate(schedules(count), 1):
        guarantee, text = _judge(schedule)
        if guarantee and guarantee not in LOUD:
            return _told(number, schedule, guarantee, text)
        if guarantee:
            loud = loud or (number, schedule, guarantee, text)
        if guarantee == "endless" or (loud is not None and number >= loud[0] + PATIENCE):
            break
    return _told(count, None, "", "") if loud is None else _told(*loud)


def _told(number: int, schedule: Schedule | None, guarantee: str, text: str) -> dict[str, object]:
    told = {"guarantee": guarantee, "text": text, "schedules": number, "scenario": "", "events": []}
    if schedule is None:
        return told
    events = schedule.scenario.events if guarantee == "endless" else _shorter(schedule, guarantee)
    return told | {"scenario": schedule.scenario.name, "events": [event.as_dict() for event in events]}


def main() -> int:
    signal.signal(signal.SIGALRM, _stop)
    print(json.dumps(hunt(int(sys.argv[1])) | {"engine": str(rawproto.__file__)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
