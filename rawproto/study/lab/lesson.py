"""From nothing to TCP in eleven steps: each mends what broke in the one before, and shows what still breaks. Computed.

With the mechanisms so far on, schedules are drawn from a seed in the worlds of `grounds` until one breaks the guarantee
that the next mechanisms are for, and is mended by them; it is made as short as it gets. All the schedules so found are
then run in every step: that gives what is broken there, and shows that what was mended once stays mended.

What a step mends is its schedule, not a guarantee for good: connections, for one, break in three ways, and each is
mended by another step. With everything on nothing is left to find, but for what no protocol mends (`generals`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from rawproto.errors import ConfigError
from rawproto.link.chance import derive_rng
from rawproto.link.forgery import FORGERIES
from rawproto.link.script import Event
from rawproto.sim.scenario import Scenario
from rawproto.sim.world import run_scenario
from rawproto.study.checker import Verdict, check
from rawproto.study.lab.drawing import draw_timeline
from rawproto.study.lab.finding import Finding
from rawproto.study.lab.grounds import GROUNDS, draw_events
from rawproto.study.lab.mechanisms import ALL_OFF, MECHANISMS, settings_on
from rawproto.study.lab.search import search, shorten
from rawproto.study.lab.steps import STEPS, Step, Wanted
from rawproto.study.lab.timeline import timeline
from rawproto.study.lab.wording import guarantee_name
from rawproto.study.shrink import shrink
from rawproto.transport.config import MILLISECOND

__all__ = ["Lesson", "Stair", "Taught", "teach", "without"]

TRIES = 400
"""Schedules that are tried for each story."""
LAST_RUNS = 110
"""Schedules that are tried at the end, in all worlds."""
ROWS = 28


@dataclass(frozen=True, slots=True)
class Taught:
    """One step, and what was found there."""

    number: int
    step: Step
    fixed: tuple[Finding, ...]
    """The stories of the step before: none of them breaks its guarantee any more."""
    stories: tuple[Finding, ...]
    """What the next step is for; the first one is the one to be told."""
    breaks: tuple[Finding, ...]
    """All the stories of the lesson that break here, those of this step first."""
    searched: int

    @property
    def clean(self) -> bool:
        """Nothing breaks."""
        return not self.breaks

    def ladder(self, width: int = 100, most: int = ROWS) -> Text:
        """The story, datagram by datagram; nothing if there is none."""
        if not self.stories:
            return Text()
        story = self.stories[0]
        run, verdict = story.run(traced=False)
        return draw_timeline(timeline(run, verdict, story.guarantee, most), width, guarantee_name(story.guarantee))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "step": self.number,
            "title": self.step.title,
            "adds": list(self.step.adds),
            "fixed": [_object(finding) for finding in self.fixed],
            "breaks": [_object(finding) for finding in self.breaks],
            "gains": self.step.gains,
            "lacks": self.step.lacks,
            "clause": self.step.clause,
            "ladder": self.ladder().plain,
            "schedules": self.searched,
        }


def _object(finding: Finding) -> dict[str, Any]:
    return {
        "guarantee": finding.guarantee,
        "mechanism": finding.off,
        "events": [event.as_dict() for event in finding.scenario.events],
        "world": finding.scenario.name,
    }


@dataclass(frozen=True, slots=True)
class Stair:
    """A story, and the steps in which its schedule breaks its guarantee."""

    told: int
    """The step that it is the story of: the next one mends it."""
    finding: Finding
    broken_in: tuple[int, ...]

    @property
    def relapses(self) -> tuple[int, ...]:
        """Steps after the one that mended it in which it breaks again: there must be none."""
        return tuple(number for number in self.broken_in if number > self.told)


@dataclass(frozen=True, slots=True)
class Lesson:
    """All steps, and all stories in all steps."""

    seed: int
    steps: tuple[Taught, ...]
    stairs: tuple[Stair, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        stairs = [
            {
                **_object(stair.finding),
                "told": stair.told,
                "broken_in": list(stair.broken_in),
            }
            for stair in self.stairs
        ]
        return {"seed": self.seed, "steps": [taught.as_dict() for taught in self.steps], "staircase": stairs}


def teach(seed: int = 1, on_step: Callable[[int], object] | None = None) -> Lesson:
    """Compute the lesson; `on_step` is told of each step as its stories are found. Raises ConfigError if one is not."""
    stories: list[tuple[Finding, ...]] = []
    searched: list[int] = []
    for number, step in enumerate(STEPS, 1):
        found = [_find(number, wanted, seed) for wanted in step.wants]
        stories.append(tuple(finding for finding, _ in found))
        searched.append(sum(tried for _, tried in found))
        if on_step is not None:
            on_step(number)
    last = search("none", {}, seed=seed, runs=LAST_RUNS)
    searched[-1] = last.runs
    stairs = [_stair(told, finding) for told, found in enumerate(stories, 1) for finding in found]
    steps = [
        Taught(
            number,
            step,
            _mended(stairs, number),
            stories[number - 1],
            _broken(stairs, number) if number < len(STEPS) else (*_broken(stairs, number), *last.findings.values()),
            searched[number - 1],
        )
        for number, step in enumerate(STEPS, 1)
    ]
    return Lesson(seed, tuple(steps), tuple(stairs))


def _stair(told: int, finding: Finding) -> Stair:
    numbers = range(1, len(STEPS) + 1)
    verdicts = {number: _judge(_at(finding.scenario, number), finding.seed) for number in numbers}
    return Stair(told, finding, tuple(number for number in numbers if finding.guarantee in verdicts[number].broken))


def _mended(stairs: Sequence[Stair], number: int) -> tuple[Finding, ...]:
    """The stories of the step before that don't break in this one."""
    return tuple(stair.finding for stair in stairs if stair.told == number - 1 and number not in stair.broken_in)


def _broken(stairs: Sequence[Stair], number: int) -> tuple[Finding, ...]:
    """All stories that break in this step, its own first."""
    here = [stair for stair in stairs if number in stair.broken_in]
    return tuple(stair.finding for stair in sorted(here, key=lambda stair: stair.told != number))


def without(number: int) -> dict[str, Any]:
    """The settings of a step, from 1: off is whatever is added later."""
    off = dict(ALL_OFF)
    for step in STEPS[:number]:
        for name in step.adds:
            for setting in MECHANISMS[name].off:
                del off[setting]
    return off


def _at(scenario: Scenario, number: int) -> Scenario:
    """The same scenario as it is run in another step."""
    kept = {name: value for name, value in scenario.settings.items() if name not in ALL_OFF}
    return replace(scenario, settings={**kept, "keep_alive": True, **without(number)})


def _judge(scenario: Scenario, seed: int) -> Verdict:
    return check(run_scenario(scenario, seed))


# -- finding the stories -----------------------------------------------------------------------------------------------


def _find(number: int, wanted: Wanted, seed: int) -> tuple[Finding, int]:
    rng = derive_rng(seed, "lesson", str(number), wanted.mechanism)
    ground = next(ground for ground in GROUNDS if ground.name == wanted.world)
    if wanted.kind in FORGERIES:
        ground = replace(ground, kinds=("forge",), forgeries=(wanted.kind,))
    elif wanted.kind:
        ground = replace(ground, kinds=(wanted.kind,))
    on = settings_on(dict(ALL_OFF.items() - without(number + 1).items()))
    for count in range(TRIES):
        events = draw_events(ground, rng) if count else ()
        scenario = ground.scenario(without(number), events, rng.choice(ground.gaps))
        finding = Finding(wanted.mechanism, wanted.guarantee, scenario, seed, on)
        if _is_mended(finding, number):
            return _shortened(finding, number), count + 1
    raise ConfigError(
        f"step {number}: no schedule of {TRIES} in the world {wanted.world!r} breaks {wanted.guarantee} and is "
        f"mended by {wanted.mechanism}; try another seed"
    )


def _is_mended(finding: Finding, number: int) -> bool:
    """Its guarantee breaks in this step, and in the next one it does not, though all happens there, too."""
    now = _judge(finding.scenario, finding.seed)
    if finding.guarantee not in now.broken or now.idle:
        return False
    then = _judge(_at(finding.scenario, number + 1), finding.seed)
    return finding.guarantee not in then.broken and not then.idle


def _shortened(finding: Finding, number: int) -> Finding:
    """As short as it gets while the next step still mends it."""
    shorter = shorten(finding)
    if _is_mended(shorter, number):
        plainer = _with_events(shorter, map(_plainer, shorter.scenario.events))
        return plainer if _is_mended(plainer, number) else shorter

    def may_be(events: tuple[Event, ...]) -> bool:
        return _is_mended(_with_events(finding, events), number)

    return _with_events(finding, shrink(finding.scenario.events, may_be))


def _with_events(finding: Finding, events: Iterable[Event]) -> Finding:
    return replace(finding, scenario=replace(finding.scenario, events=tuple(events)))


def _plainer(event: Event) -> Event:
    """A delay of nothing at all, or a forgery nought beside the mark, would do, but is hard to see as one."""
    if event.kind == "delay":
        return replace(event, for_ns=max(event.for_ns, MILLISECOND))
    return replace(event, at=max(event.at, 1)) if event.kind == "forge" else event
