"""What the examiner has to say: each guarantee, whether it held, and the shortest way found to break it.

A value, with its text; `main_report` prints that in colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from rawproto.study.checker import Violation
from rawproto.study.textbook.bench import Trial, play
from rawproto.study.textbook.ladder import describe, draw

__all__ = ["BROKEN", "HELD", "NOT_JUDGED", "NOT_PROMISED", "Counterexample", "Grade", "Report", "main_report"]

HELD, BROKEN, NOT_PROMISED, NOT_JUDGED = "pass", "FAIL", "not promised", "not judged"
STYLES = {HELD: "green", BROKEN: "bold red", NOT_PROMISED: "dim", NOT_JUDGED: "yellow"}


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A trial in which a guarantee breaks, and how."""

    trial: Trial
    where: str
    """The settings and the wire, in words."""
    violation: Violation

    def lines(self) -> list[str]:
        """What came of it, the schedule, and the ladder."""
        trial = self.trial
        events = [f"- {describe(event)}" for event in trial.events] or ["- nothing goes wrong at all"]
        chunks = "1 chunk is" if trial.pieces == 1 else f"{trial.pieces} chunks are"
        kinds = f"{trial.sender.__name__} to {trial.receiver.__name__}"
        head = [self.violation.text, f"from {kinds}, with {self.where},", f"if {chunks} sent, then the end, and"]
        return [*head, *events, "", *draw(play(trial), self.violation)]

    def as_dict(self) -> dict[str, Any]:
        """All that it takes to play it again, and what is seen then."""
        settings = self.trial.settings
        return {
            "text": self.violation.text,
            "time_ns": self.violation.time_ns,
            "events": [event.as_dict() for event in self.trial.events],
            "pieces": self.trial.pieces,
            "seed": self.trial.seed,
            "settings": {name: getattr(settings, name) for name in settings.__slots__},
        }


@dataclass(frozen=True, slots=True)
class Grade:
    """One guarantee. `text` says what it is, or why it was not judged."""

    guarantee: str
    status: str
    text: str
    counterexample: Counterexample | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        found = None if self.counterexample is None else self.counterexample.as_dict()
        return {"guarantee": self.guarantee, "status": self.status, "text": self.text, "counterexample": found}


@dataclass(frozen=True, slots=True)
class Report:
    """All grades of a sender and a receiver, by name. `runs` counts those that made schedules shorter, too."""

    sender: str
    receiver: str
    seed: int
    schedules: int
    runs: int
    grades: tuple[Grade, ...]

    @property
    def passed(self) -> bool:
        """Everything that was judged held, and something was."""
        statuses = {grade.status for grade in self.grades}
        return HELD in statuses and BROKEN not in statuses

    @property
    def broken(self) -> frozenset[str]:
        """The guarantees that did not hold."""
        return frozenset(grade.guarantee for grade in self.grades if grade.status == BROKEN)

    def grade(self, guarantee: str) -> Grade:
        """That of `guarantee`. Raises KeyError."""
        return {grade.guarantee: grade for grade in self.grades}[guarantee]

    def lines(self) -> list[str]:
        """The report as text."""
        return [line for line, _ in self._styled()]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "sender": self.sender,
            "receiver": self.receiver,
            "seed": self.seed,
            "schedules": self.schedules,
            "runs": self.runs,
            "passed": self.passed,
            "grades": [grade.as_dict() for grade in self.grades],
        }

    def _styled(self) -> list[tuple[str, str]]:
        lines = [(f"sender    {self.sender}", ""), (f"receiver  {self.receiver}", "")]
        lines += [(f"tried     {self.schedules:,} schedules, seed {self.seed}", ""), ("", "")]
        for grade in self.grades:
            lines.append((f"{grade.status:<13} {grade.guarantee:<15} {grade.text}", STYLES[grade.status]))
        shown: dict[Trial, str] = {}
        for grade in self.grades:
            if grade.counterexample is not None:
                example = grade.counterexample
                same = shown.setdefault(example.trial, grade.guarantee)
                again = [example.violation.text, f"in the same run as for {same}"]
                lines += [("", ""), (f"{grade.guarantee}:", "bold")]
                told = example.lines() if same == grade.guarantee else again
                lines += [(f"  {line}".rstrip(), "") for line in told]
        broken = len(self.broken)
        verdict = "It holds." if self.passed else f"It does not hold: {broken} of the guarantees can be broken."
        return [*lines, ("", ""), (verdict, "bold green" if self.passed else "bold red")]


def main_report(report: Report, console: Console) -> None:
    """Print `report`, in colours where `console` has them."""
    for line, style in report._styled():
        console.print(Text(line, style), soft_wrap=True)
