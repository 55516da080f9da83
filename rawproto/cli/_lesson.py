"""What `rawproto lab ladder`, `window` and `generals` say: tables, drawings and paragraphs, or a step at each key."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from rawproto.cli import UsageError
from rawproto.study.lab.generals import PARAGRAPHS
from rawproto.study.lab.packets import plural
from rawproto.study.lab.wording import event_text, guarantee_name, mechanism_name

if TYPE_CHECKING:
    from rawproto.study.lab.finding import Finding
    from rawproto.study.lab.generals import Cut, Generals
    from rawproto.study.lab.lesson import Lesson, Stair, Taught
    from rawproto.study.lab.window import Law

__all__ = ["key_waiter", "show_generals", "show_lesson", "show_window"]

WIDTH = 100
"""Columns of prose and drawings, where there is room."""
END = (b"q", b"Q", b"\x04", b"\x1b", b"")
"""Keys that end the lesson: also Ctrl-D and Escape, and a terminal that is gone."""

Wait = Callable[[str], bool]
"""Asked for something to go on; False for no more."""


def show_lesson(lesson: Lesson, generals: Generals, wait: Wait | None = None) -> None:
    """Print all steps, then the staircase and the two generals; `wait` is asked before each but the first."""
    console = _console()
    for taught in lesson.steps:
        if taught.number > 1 and wait is not None and not wait(f"step {taught.number}"):
            return
        _show_step(console, taught, len(lesson.steps))
    if wait is not None and not wait("all schedules in all steps"):
        return
    _show_staircase(console, lesson)
    if wait is not None and not wait("what no protocol mends"):
        return
    show_generals(generals)


def key_waiter() -> Wait:
    """Waits for a key on the terminal: any goes on, q ends. Raises UsageError where there is no terminal."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("--step waits for keys, and this is no terminal: leave it out, and the lesson runs by itself")
    import termios  # noqa: PLC0415 - only where there are terminals
    import tty  # noqa: PLC0415

    descriptor = sys.stdin.fileno()

    def wait(what: str) -> bool:
        print(f"\x1b[2m(any key: {what}; q: the end)\x1b[0m", end="", flush=True)
        before = termios.tcgetattr(descriptor)
        try:
            tty.setcbreak(descriptor, termios.TCSANOW)  # what was typed ahead counts
            key = os.read(descriptor, 1)
        finally:
            termios.tcsetattr(descriptor, termios.TCSANOW, before)
            print("\r\x1b[K", end="", flush=True)
        return key not in END

    return wait


def show_window(law: Law) -> None:
    """Print the table of windows, and the story of the first that breaks."""
    console = _console()
    first, space = law.first_broken, 1 << law.bits
    table = Table(title=f"Numbers of {law.bits} bits: windows, and what the search found", pad_edge=False)
    table.add_column("window", justify="right")
    table.add_column("found")
    table.add_column("schedules", justify="right")
    for tried in law.tried:
        found = Text("clean", style="green")
        if not tried.clean:
            lost = plural(tried.lost, "datagram")
            events = plural(len(tried.events), "event")
            found = Text(f"{guarantee_name(tried.guarantee)} broken after {events} ({lost} lost)", style="red")
        table.add_row(str(tried.window), found, str(tried.schedules))
    console.print(table)
    console.print(f"The first window that breaks is {first.window}, of {space} numbers; {law.largest_clean} was clean.")
    _bold(console, f"\nA window of {first.window}: {guarantee_name(first.guarantee)} breaks")
    _indented(console, map(event_text, first.events))
    _drawing(console, law.ladder(_width(console)))
    _prose(console, law.explanation())
    if law.singly:
        lost = ", ".join(f"{event.side} {event.packet}" for event in law.singly)
        _prose(console, f"Told as single losses it takes {len(law.singly)}: datagrams {lost}.")


def show_generals(generals: Generals) -> None:
    """Print the table of cuts, the ladder of the best case, and what there is to say."""
    console = _console()
    _bold(console, "The two generals: everything on, and the road is cut for good")
    table = Table(pad_edge=False)
    for name in ("cut after", "the last to arrive", "the client", "the server", "the same?"):
        table.add_column(name)
    for cut in generals.cuts:
        table.add_row(str(cut.passed), cut.last, _told(cut, "client"), _told(cut, "server"), _same(cut))
    console.print(table)
    cuts, apart = plural(len(generals.cuts), "cut"), sum(not cut.agree for cut in generals.cuts)
    console.print(f"{cuts}: the ends disagree after {apart}; false successes: {generals.false_successes}.")
    _bold(console, f"\nThe best case, cut after datagram {generals.best.passed}")
    _drawing(console, generals.ladder(_width(console)))
    for paragraph in PARAGRAPHS:
        _prose(console, paragraph)


def _told(cut: Cut, side: str) -> Text:
    outcome = cut.client if side == "client" else cut.server
    style = {"success": "green", "failure": "red"}.get(outcome.kind, "dim")
    return Text(outcome.text, style=style)


def _same(cut: Cut) -> Text:
    if cut.false_success:
        return Text("a false success", style="bold red")
    return Text("yes", style="dim") if cut.agree else Text("no", style="bold yellow")


# -- the steps ---------------------------------------------------------------------------------------------------------


def _show_step(console: Console, taught: Taught, count: int) -> None:
    step = taught.step
    console.print(Rule(Text(f"Step {taught.number} of {count}: {step.title}", style="bold"), align="left"))
    if step.adds:
        added = ", ".join(map(mechanism_name, step.adds))
        _prose(console, f"On from here: {added}.", "cyan")
    _prose(console, step.gains)
    for finding in taught.fixed:
        _prose(
            console, f"Mended: {guarantee_name(finding.guarantee)}. {_schedule(finding)} Now nothing breaks.", "green"
        )
    if taught.clean:
        _prose(console, f"{taught.searched} schedules in all worlds, and nothing breaks any more.", "bold green")
    elif taught.stories:
        story = taught.stories[0]
        events = plural(story.events, "event")
        _prose(console, f"Broken: {guarantee_name(story.guarantee)}, after {events}. {_schedule(story)}", "red")
        _drawing(console, taught.ladder(_width(console)))
        _prose(console, step.lacks)
        others = dict.fromkeys(guarantee_name(other.guarantee) for other in taught.breaks if other != story)
        if others:
            _prose(console, f"Also broken by other schedules: {', '.join(others)}.", "dim")
    _prose(console, f"See {step.clause}.", "dim")
    console.print()


def _schedule(finding: Finding) -> str:
    return " ".join(map(event_text, finding.scenario.events)) or "Nothing needs to go wrong on the way."


def _show_staircase(console: Console, lesson: Lesson) -> None:
    _bold(console, "Each schedule of the lesson, run in each step: ✗ where it breaks its guarantee")
    table = Table(pad_edge=False, padding=(0, 1))
    table.add_column("told in step", justify="right")
    table.add_column("guarantee")
    table.add_column("mended by")
    for taught in lesson.steps:
        table.add_column(str(taught.number), justify="center")
    for stair in lesson.stairs:
        finding = stair.finding
        marks = [_mark(stair, taught.number) for taught in lesson.steps]
        table.add_row(str(stair.told), guarantee_name(finding.guarantee), mechanism_name(finding.off), *marks)
    console.print(table)
    _prose(
        console,
        "What was mended once never breaks again. A few schedules break nothing in the first steps, where there is not "
        "yet anything for them to hurt: a sender that waits for no answer can't be stopped by a forged one.",
    )
    console.print()


def _mark(stair: Stair, number: int) -> Text:
    return Text("✗", style="red") if number in stair.broken_in else Text("·", style="dim")


# -- how it is printed -------------------------------------------------------------------------------------------------


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)


def _width(console: Console) -> int:
    return min(console.width, WIDTH)


def _bold(console: Console, text: str) -> None:
    console.print(Text(text, style="bold"))


def _prose(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), width=_width(console))


def _indented(console: Console, texts: Iterable[str]) -> None:
    for text in texts:
        console.print(Text(f"  {text}", style="yellow"), width=_width(console))


def _drawing(console: Console, drawing: Text) -> None:
    console.print()
    console.print(drawing, soft_wrap=True)
    console.print()
