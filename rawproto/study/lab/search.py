"""Looks for a schedule under which a guarantee breaks, and makes it as short as it gets.

Schedules are drawn from a seed, in each of the small worlds in turn. What breaks is shrunk twice: the events, until
none can be taken away, and the world, until the applications say no more than they must. Whether something broke is
for the checker alone to say; that it is the mechanism's fault is shown by the same scenario with the mechanism on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from rawproto.errors import ConfigError
from rawproto.link.chance import derive_rng
from rawproto.link.script import Event
from rawproto.sim.scenario import Party, Scenario, Talk
from rawproto.sim.world import run_scenario
from rawproto.study.checker import Verdict, check
from rawproto.study.lab.finding import Finding
from rawproto.study.lab.grounds import GROUNDS, Ground, draw_events
from rawproto.study.lab.mechanisms import MECHANISMS, off_settings, settings_on
from rawproto.study.shrink import shrink

__all__ = ["Searched", "search", "shorten"]

RUNS = 400
PATIENCE = 6
"""So many times as long is looked for what theory predicts and was not found yet, or not in so few events."""
LOOKS = 3
"""Schedules that are shortened for each guarantee that theory names, to keep the shortest story of them."""
FEW = 2
EARLIER = 3
"""How many datagrams earlier an event may strike when the applications say less."""
SMALLEST_SENDS = (1, 8, 20, 100, 200, 1000)
"""Sizes that are tried in place of larger ones."""


@dataclass(slots=True)
class Searched:
    """What came of a search: the best finding for each guarantee, and how many schedules were tried."""

    off: str
    findings: dict[str, Finding] = field(default_factory=dict)
    regardless: dict[str, Finding] = field(default_factory=dict)
    """What broke with the mechanism on as well: a bug of the transport, or of the checker."""
    looked: dict[str, int] = field(default_factory=dict)
    """How many schedules were shortened for each guarantee."""
    runs: int = 0
    counted: int = 0
    """Runs in which all events happened and something was delivered: those that show something."""

    def has(self, predicted: Mapping[str, int]) -> bool:
        """Whether each of these guarantees is known to break, after no more events than that."""
        found = self.findings
        return all(name in found and found[name].events <= most for name, most in predicted.items())


def search(
    off: str,
    settings: Mapping[str, Any],
    *,
    seed: int = 1,
    runs: int = RUNS,
    grounds: Sequence[Ground] = GROUNDS,
) -> Searched:
    """Try `runs` schedules with `settings`, those without the mechanism called `off`."""
    searched = Searched(off)
    predicted = MECHANISMS[off].breaks if off in MECHANISMS else {}
    rng = derive_rng(seed, "lab", off)
    on = settings_on(off_settings(off))
    promising: list[Ground] = []
    for number in range(runs * PATIENCE):
        if number >= runs and searched.has(predicted):
            break
        ground = grounds[number % len(grounds)]
        if number >= runs and promising and number % 2:  # where something has broken, more may
            ground = promising[number % len(promising)]
        events = draw_events(ground, rng) if number >= len(grounds) else ()
        scenario = ground.scenario(settings, events, rng.choice(ground.gaps))
        verdict = _judge(scenario, seed)
        searched.runs += 1
        searched.counted += verdict.delivered > 0 and not verdict.idle
        if verdict.broken and ground not in promising:
            promising.append(ground)
        for guarantee in sorted(verdict.broken):
            if _worth_a_look(searched, guarantee, len(events), LOOKS if guarantee in predicted else 1):
                _keep(searched, Finding(off, guarantee, scenario, seed, on))
    return searched


def _worth_a_look(searched: Searched, guarantee: str, events: int, looks: int) -> bool:
    """Whether this schedule may make a shorter story than that which is known."""
    best = searched.findings.get(guarantee)
    if best is not None and events < best.events:
        return True
    few = searched.looked.get(guarantee, 0) < looks
    return few and (best is None or events <= best.events)


def _keep(searched: Searched, finding: Finding) -> None:
    """Shorten what was found, and keep it; as it is, if it breaks with the mechanism on as well."""
    name = finding.guarantee
    searched.looked[name] = searched.looked.get(name, 0) + 1
    if not _holds_with(finding, finding.scenario):
        searched.regardless.setdefault(name, replace(finding, off="none", scenario=finding.mended(), on={}))
        return
    shorter = shorten(finding)
    if name not in searched.findings or _length(shorter) < _length(searched.findings[name]):
        searched.findings[name] = shorter


def _length(finding: Finding) -> tuple[int, int, int]:
    """Of two stories that with fewer events is the shorter one, then that with an attacker only where he belongs."""
    forged = any(event.kind == "forge" for event in finding.scenario.events)
    wanted = finding.off in MECHANISMS and MECHANISMS[finding.off].attacker
    return finding.events, forged is not wanted, len(run_scenario(finding.scenario, finding.seed).log.sent)


def shorten(finding: Finding) -> Finding:
    """Take away from the scenario of `finding` all that its guarantee also breaks without."""

    def breaks(scenario: Scenario) -> bool:
        return finding.guarantee in _judge(scenario, finding.seed).broken and _holds_with(finding, scenario)

    def events_break(scenario: Scenario) -> Callable[[tuple[Event, ...]], bool]:
        return lambda events: breaks(replace(scenario, events=events))

    scenario = finding.scenario
    scenario = replace(scenario, events=shrink(scenario.events, events_break(scenario)))
    smaller = _simplify(scenario, breaks)
    if smaller != scenario:
        scenario = replace(smaller, events=shrink(smaller.events, events_break(smaller)))
    return replace(finding, scenario=scenario)


def _holds_with(finding: Finding, scenario: Scenario) -> bool:
    """Whether it is the mechanism's doing: with it nothing of the kind happens, and something is delivered."""
    if not finding.on:
        return True
    verdict = _judge(replace(finding, scenario=scenario).mended(), finding.seed)
    return finding.guarantee not in verdict.broken and verdict.delivered > 0


def _judge(scenario: Scenario, seed: int) -> Verdict:
    return check(run_scenario(scenario, seed))


def _simplify(scenario: Scenario, breaks: Callable[[Scenario], bool]) -> Scenario:
    """Let the applications do less, as long as it breaks."""
    again = True
    while again:
        again = False
        for simpler in _simpler(scenario):
            if struck := next((aimed for aimed in _aimed(simpler) if breaks(aimed)), None):
                scenario, again = struck, True
                break
    return scenario


def _aimed(scenario: Scenario) -> Iterator[Scenario]:
    """The scenario, and again with its events a few datagrams earlier: there are fewer of them now."""
    yield scenario
    if len(scenario.events) > FEW:
        return
    for earlier in range(1, EARLIER + 1):
        events = tuple(
            replace(event, packet=event.packet - earlier) if event.packet > earlier else event
            for event in scenario.events
        )
        if events != scenario.events:
            yield replace(scenario, events=events)


def _simpler(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios in which a little less happens; the boldest first."""
    talks = scenario.talks
    for at, event in enumerate(scenario.events):
        if event.packet and event.kind not in ("drop", "forge"):  # what is simply lost needs no explanation
            lost = Event("drop", event.side, event.packet)
            yield replace(scenario, events=(*scenario.events[:at], lost, *scenario.events[at + 1 :]))
    for number in range(len(talks)):
        if len(talks) > 1:
            left = talks[:number] + talks[number + 1 :]
            yield replace(scenario, talks=(replace(left[0], again=False), *left[1:]))
    for number, talk in enumerate(talks):
        for other in _simpler_talks(talk):
            with suppress(ConfigError):  # a record that is too long for the buffers here
                yield replace(scenario, talks=(*talks[:number], other, *talks[number + 1 :]))


def _simpler_talks(talk: Talk) -> Iterator[Talk]:
    for side in ("server", "client"):
        party: Party = getattr(talk, side)
        for at, step in enumerate(party.writes):
            less = (*party.writes[:at], *party.writes[at + 1 :])
            if step != "shutdown":
                yield _with(talk, side, replace(party, writes=less or ("shutdown",)))
            words = step.split()
            if words[0] == "send":
                for size in SMALLEST_SENDS:
                    if size < int(words[1]):
                        smaller = (*party.writes[:at], f"send {size}", *party.writes[at + 1 :])
                        yield _with(talk, side, replace(party, writes=smaller))
        if len(party.reads) > 1:
            yield _with(talk, side, replace(party, reads=("read all",)))


def _with(talk: Talk, side: str, party: Party) -> Talk:
    """The talk, with another application on one side."""
    return replace(talk, client=party) if side == "client" else replace(talk, server=party)
