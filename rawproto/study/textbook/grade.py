"""The examiner: looks for a schedule of misfortunes that breaks a protocol of somebody's own, and makes it short.

The search is a function of its seed, and ends after a number of schedules, not after a time. The machine that is not
given is one of the textbook's: selective repeat, which keeps what comes out of order and acknowledges each packet, so
that it makes use of most of what a counterpart does; and go-back-N where the window is larger than half of the numbers,
which is as far as selective repeat can go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from rawproto.errors import ConfigError
from rawproto.link.script import Event
from rawproto.study.checker import GUARANTEES, Violation
from rawproto.study.shrink import shrink
from rawproto.study.textbook.bench import CONTRACT, Trial, judge, play
from rawproto.study.textbook.go_back_n import GoBackNReceiver, GoBackNSender
from rawproto.study.textbook.machine import Machine, Receiver, Sender, Settings
from rawproto.study.textbook.report import BROKEN, HELD, NOT_JUDGED, NOT_PROMISED, Counterexample, Grade, Report
from rawproto.study.textbook.schedules import Ground, grounds, schedules
from rawproto.study.textbook.selective_repeat import SelectiveRepeatReceiver, SelectiveRepeatSender

__all__ = ["BUDGET", "PROMISES", "UNPROMISED", "grade"]

BUDGET = 4_000
"""Schedules; a few seconds. A run that is long, or ends with a fault, counts for more than one."""
LONG = 100
"""Datagrams."""
FAULTY = 8

FICKLE = "your machine does not do the same twice: it must keep what it knows in `self`, and use no chance and no clock"

PROMISES: Mapping[str, str] = {
    CONTRACT: "it raises nothing, sends packets, and lets time pass",
    "integrity": "what is read is what was sent, bit for bit",
    "order": "in the order in which it was sent",
    "no_duplication": "nothing twice",
    "no_creation": "nothing that nobody has sent",
    "complete": "all of it, the end too, and the sender learns of it",
    "honest_end": "no end before the last octet, no success for what has not arrived",
    "restraint": "no more than a window outstanding, and nothing repeated faster than the timeout",
}
UNPROMISED: Mapping[str, str] = {
    "freshness": "there is one stream and no other before it: numbers begin at 0, always",
    "two_way": "data goes one way",
    "connection": "there is none: both sides are just there",
    "boundaries": "it is a stream of octets",
    "flow_control": "the window is fixed; a receiver can't ask for less",
}


def grade(
    sender: type[Sender] | None = None,
    receiver: type[Receiver] | None = None,
    seed: int = 0,
    budget: int = BUDGET,
    *,
    checksum: str = "crc32",
) -> Report:
    """Examine `sender`, `receiver`, or the two together, with `budget` schedules, or fewer long ones.

    Raises ConfigError if neither is given.
    """
    if sender is None and receiver is None:
        raise ConfigError("there is nothing to examine: give a sender, a receiver, or both")
    search = Search(sender, receiver, seed, checksum)
    search.look(budget)
    return Report(
        _name(sender, "a textbook sender"),
        _name(receiver, "a textbook receiver"),
        seed,
        search.schedules,
        search.runs,
        tuple(search.grades()),
    )


def _name(kind: type[Machine] | None, otherwise: str) -> str:
    return f"{kind.__module__}:{kind.__qualname__}" if kind is not None else otherwise


class Search:
    """Looks for counterexamples, and keeps the shortest of each guarantee."""

    def __init__(self, sender: type[Sender] | None, receiver: type[Receiver] | None, seed: int, checksum: str) -> None:
        self.schedules = self.runs = self.spent = 0
        self._sender, self._receiver, self._seed, self._checksum = sender, receiver, seed, checksum
        self._found: dict[str, tuple[tuple[bool, int], Counterexample]] = {}
        """With what makes one simpler than another: that the timeout is a sensible one, and how few events it needs."""
        self._judged = False

    def look(self, budget: int) -> None:
        """Try schedules, a ground after the other, until `budget` is used up or nothing is left to be found."""
        mine = tuple(kind for kind in (self._sender, self._receiver) if kind is not None)
        tries = [self._tries(ground) for ground in grounds(mine, self._checksum)]
        while tries:
            for one in list(tries):
                if self.spent >= budget:
                    return
                if next(one, None) is None:
                    tries.remove(one)

    def _tries(self, ground: Ground) -> Iterator[bool]:
        """Try one schedule on `ground` after the other. No more once a machine fails without any misfortune."""
        for events in schedules(ground, self._seed):
            self.schedules += 1
            violations = self._play(self._trial(ground.settings, events), spends=True)
            for violation in violations:
                self._note(ground, events, violation.guarantee)
            self._judged = self._judged or not _breaks(violations, CONTRACT)
            if not events and _breaks(violations, CONTRACT):
                return
            yield True

    def _trial(self, settings: Settings, events: tuple[Event, ...]) -> Trial:
        halved = settings.window <= settings.modulus // 2
        return Trial(
            sender=self._sender or (SelectiveRepeatSender if halved else GoBackNSender),
            receiver=self._receiver or (SelectiveRepeatReceiver if halved else GoBackNReceiver),
            settings=settings,
            events=events,
            seed=self._seed,
            own_format=self._sender is not None and self._receiver is not None,
        )

    def _play(self, trial: Trial, *, spends: bool = False) -> tuple[Violation, ...]:
        self.runs += 1
        played = play(trial)
        if spends:
            self.spent += FAULTY if played.fault else 1 + len(played.run.log.sent) // LONG
        return judge(played)

    # -- counterexamples -----------------------------------------------------------------------------------------------

    def _note(self, ground: Ground, events: tuple[Event, ...], guarantee: str) -> None:
        """Keep what was found if it is the first, or may become simpler than the one before."""
        known = self._found.get(guarantee)
        if known is not None and (not ground.patient, len(events)) >= known[0]:
            return
        trial = self._shortest(self._trial(ground.settings, events), guarantee)
        found = [violation for violation in self._play(trial) if violation.guarantee == guarantee]
        if not found:
            guarantee, found = CONTRACT, [Violation(CONTRACT, 0, FICKLE)]
        rank = (not ground.patient, len(trial.events))
        if guarantee not in self._found or rank < self._found[guarantee][0]:
            self._found[guarantee] = rank, Counterexample(trial, ground.text, found[0])

    def _shortest(self, trial: Trial, guarantee: str) -> Trial:
        """The fewest and smallest events, then the fewest packets, then the events once more."""

        def fails(events: tuple[Event, ...]) -> bool:
            return _breaks(self._play(replace(trial, events=events)), guarantee)

        trial = replace(trial, events=shrink(trial.events, fails))
        for pieces in range(1, trial.pieces):
            for events in _earlier(trial.events, trial.pieces - pieces):
                fewer = replace(trial, pieces=pieces, events=events)
                if _breaks(self._play(fewer), guarantee):
                    trial = fewer
                    return replace(trial, events=shrink(trial.events, fails))
        return trial

    # -- grades --------------------------------------------------------------------------------------------------------

    def grades(self) -> Iterator[Grade]:
        """One of each guarantee, in the order in which they are explained."""
        for guarantee in (CONTRACT, *GUARANTEES):
            if guarantee in UNPROMISED:
                yield Grade(guarantee, NOT_PROMISED, UNPROMISED[guarantee])
            elif guarantee == "restraint" and self._sender is None:
                yield Grade(guarantee, NOT_JUDGED, "it is the sender's")
            elif guarantee in self._found:
                yield Grade(guarantee, BROKEN, PROMISES[guarantee], self._found[guarantee][1])
            elif guarantee != CONTRACT and not self._judged:
                yield Grade(guarantee, NOT_JUDGED, "no run came to its end")
            else:
                yield Grade(guarantee, HELD, PROMISES[guarantee])


def _earlier(events: tuple[Event, ...], packets: int) -> Iterator[tuple[Event, ...]]:
    """`events`, and what they may be when there are so many packets less: the later ones strike that much earlier."""
    yield events
    for first in sorted({event.packet for event in events if event.packet > packets}):
        yield tuple(
            replace(event, packet=event.packet - packets) if event.packet >= first else event for event in events
        )


def _breaks(violations: tuple[Violation, ...], guarantee: str) -> bool:
    return any(violation.guarantee == guarantee for violation in violations)
