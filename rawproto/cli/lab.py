"""`rawproto lab`: what each mechanism of the transport is good for, found by a search that breaks guarantees."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from rawproto.cli import FailedError, UsageError
from rawproto.cli.units import parse_seed
from rawproto.errors import ConfigError

if TYPE_CHECKING:
    from cyclopts import Token

    from rawproto.study.lab.costs import Cost
    from rawproto.study.lab.finding import Finding
    from rawproto.study.lab.matrix import Matrix, Row
    from rawproto.study.lab.story import Story

__all__ = ["lab"]

SHORT = ("int", "ord", "dup", "cre", "com", "hon", "fre", "two", "con", "bou", "flo", "res")
"""The guarantees, as column heads."""
NAMES = {"none": "(nothing)", "all": "(everything)"}
"""Rows of which a newcomer would not know what is off."""
NARROW_RUNS = 60
"""Schedules for each row with narrow numbers: there each of them takes many more datagrams, and much breaks."""
FEWEST_BITS, MOST_BITS = 4, 64

lab = App(
    name="lab",
    help="Switch a mechanism of the transport off, and see the shortest story in which a guarantee breaks.",
    help_format="markdown",
)


def _seed() -> Parameter:
    def convert(_: object, tokens: Sequence[Token]) -> Any:
        return parse_seed(tokens[0].value)

    return Parameter(converter=convert, metavar="NUMBER", show_default=lambda _: "1", allow_leading_hyphen=True)


Seed = Annotated[int, _seed()]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
SeqBits = Annotated[int, Parameter(metavar="4..64")]
Checksum = Literal["crc32", "internet", "none"]


@lab.default
def matrix(
    *,
    seed: Seed = 1,
    runs: int | None = None,
    jobs: int | None = None,
    seq_bits: SeqBits = MOST_BITS,
    checksum: Checksum = "crc32",
    congestion: str | None = None,
    sender: str | None = None,
    receiver: str | None = None,
    html: Path | None = None,
    as_object: Json = False,
) -> int:
    """The matrix of mechanisms and guarantees: with each mechanism off, which guarantees break, and after how little.

    For each row a seeded search draws schedules of loss, duplication, delay, damage, forgery and outages; whatever
    breaks a guarantee is shrunk until no event can be taken away. A figure in the table is the number of events that
    are left. The last row has nothing but what UDP has, the first one everything, and must be clean.

    With --sender or --receiver, MODULE:CLASS, a protocol of your own is put through the same adversary, with
    --congestion a congestion control of your own, and the report is a grader's: each guarantee, pass or the shortest
    counterexample.

    Exit status: 0 if everything on is clean and every mechanism shows what theory says of it, or if the protocol
    passed; 1 if not; 2 for a wrong call.

    Examples:

    ```
    rawproto lab
    rawproto lab --html lab.html
    rawproto lab --json | jq '.rows[] | {off, violations: [.violations[].guarantee]}'
    rawproto lab --checksum internet
    rawproto lab --sender mymodule:StopAndWait --receiver mymodule:StopAndWaitReceiver
    rawproto lab --congestion mymodule:Mine
    ```

    Parameters
    ----------
    seed
        Where all chance comes from: the same seed gives the same stories.
    runs
        Schedules to try for each row.
    jobs
        Processes to use: as many as there are processors, if left out.
    seq_bits
        Width of sequence numbers: with few bits, they wrap around within a few packets.
    checksum
        What finds damage in all rows but that of the checksum: the Internet's sum misses two words that are swapped.
    congestion
        A congestion control to be graded: a name, or MODULE:CLASS.
    sender
        A sender to be graded, MODULE:CLASS (see docs/guarantees.md).
    receiver
        A receiver to be graded.
    html
        Write the matrix and all its stories to this file; it needs no network to be read.
    as_object
        Print one JSON object and nothing else.
    """
    sys.path.insert(0, "")  # as for python -m: a module in this directory
    if sender or receiver:
        if congestion or seq_bits != MOST_BITS or html:
            raise UsageError("--sender and --receiver go with --seed, --runs, --checksum and --json alone")
        return _grade(sender, receiver, seed, runs, checksum, as_object=as_object)
    from rawproto.study.lab.matrix import compute  # noqa: PLC0415 - not needed for --help
    from rawproto.study.lab.mechanisms import ROWS  # noqa: PLC0415
    from rawproto.study.lab.page import page  # noqa: PLC0415
    from rawproto.study.lab.search import RUNS  # noqa: PLC0415

    settings = _settings(seq_bits, checksum, congestion)
    rows = ("none",) if congestion else ROWS
    if html is not None:
        _write(html, "")  # before all the work
    try:
        found = compute(
            seed,
            rows=rows,
            runs=_runs(runs, RUNS if seq_bits == MOST_BITS else NARROW_RUNS),
            settings=settings,
            jobs=_jobs(jobs, len(rows)),
            on_row=None if as_object else _progress,
        )
    except Exception as error:  # whatever a class of somebody's own raises
        if congestion is None:
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error}"
        raise FailedError(f"{congestion} broke its contract: {what} ({place.filename}:{place.lineno})") from None
    if html is not None:
        _write(html, page(found))
    if as_object:
        print(json.dumps(_as_object(found), indent=1))
    elif congestion:
        _print_grades(found.rows[0], congestion)
    else:
        _print_matrix(found, seq_bits)
        if html is not None:
            print(f"\nAll stories: {html}")
    unexpected = _against_theory(found, plain=not settings)
    if unexpected:
        raise FailedError("; ".join(unexpected))
    return 0


@lab.command
def off(
    mechanism: str,
    *,
    guarantee: str | None = None,
    seed: Seed = 1,
    runs: int | None = None,
    seq_bits: SeqBits = MOST_BITS,
    checksum: Checksum = "crc32",
    out: Path | None = None,
    as_object: Json = False,
) -> int:
    """The story of one mechanism: the shortest schedule that breaks a guarantee without it, packet by packet.

    Shown are the schedule, the ladder with the fatal packet marked, what the mechanism does and what went wrong without
    it. With --out, the capture, the scenario and a pytest file that shows it again are written there. For a mechanism
    that serves speed alone, its cost is shown.

    Exit status: 0 if there is something to tell, 1 if nothing broke and nothing was predicted, 2 for a wrong call.

    Examples:

    ```
    rawproto lab off sequencing
    rawproto lab off time_wait --guarantee freshness --out story/
    rawproto lab off none --checksum internet
    ```

    Parameters
    ----------
    mechanism
        A row of the matrix: `rawproto lab` lists them.
    guarantee
        Which of the guarantees, if several break: the one that theory names, if left out.
    seed
        Where all chance comes from.
    runs
        Schedules to try.
    seq_bits
        Width of sequence numbers.
    checksum
        What finds damage.
    out
        A directory for the capture, the scenario and the test; it is made if it is not there.
    as_object
        Print one JSON object and nothing else.
    """
    from rawproto.study.checker import GUARANTEES  # noqa: PLC0415
    from rawproto.study.lab.matrix import compute  # noqa: PLC0415
    from rawproto.study.lab.mechanisms import MECHANISMS, off_settings  # noqa: PLC0415
    from rawproto.study.lab.search import RUNS  # noqa: PLC0415
    from rawproto.study.lab.story import tell  # noqa: PLC0415

    try:
        off_settings(mechanism)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    if guarantee is not None and guarantee not in GUARANTEES:
        raise UsageError(f"there is no guarantee {guarantee!r}; there are: {', '.join(GUARANTEES)}")
    found = compute(seed, rows=(mechanism,), runs=_runs(runs, RUNS), settings=_settings(seq_bits, checksum, None))
    row = found.rows[0]
    predicted = MECHANISMS[mechanism].breaks if mechanism in MECHANISMS else {}
    finding = _choose(row, guarantee)
    story = None if finding is None else tell(finding)
    written = [] if story is None or out is None else _save(story, out)
    if as_object:
        print(json.dumps(_row_object(row), indent=1))
    if finding is None or story is None:
        if as_object:
            return 0 if row.cost is not None and not predicted else 1
        what = guarantee or "no guarantee"
        where = "With everything on" if mechanism == "none" else f"Without {row.title}"
        print(f"{where}: {what} {'held' if guarantee else 'broke'} in {row.searched} schedules.")
        if row.cost is not None:
            print(_cost(row.cost))
        return 0 if row.cost is not None and not predicted else 1
    if as_object:
        return 0
    _print_lines(story)
    if row.cost is not None:
        print(f"\n{_cost(row.cost)}")
    others = [name for name in row.findings if name != finding.guarantee]
    if others:
        print(f"\nAlso broken: {', '.join(others)} (--guarantee tells their stories).")
    for path in written:
        print(f"written: {path}")
    return 0


def _save(story: Story, out: Path) -> list[Path]:
    try:
        return story.save(out)
    except OSError as error:
        raise UsageError(f"can't write to {out}: {error.strerror or error}; give --out another directory") from None


def _choose(row: Row, guarantee: str | None) -> Finding | None:
    """The finding to tell: the one asked for, or that which theory names, or the shortest."""
    from rawproto.study.lab.mechanisms import MECHANISMS  # noqa: PLC0415

    if guarantee is not None:
        return row.findings.get(guarantee)
    for name in MECHANISMS[row.off].breaks if row.off in MECHANISMS else ():
        if name in row.findings:
            return row.findings[name]
    return min(row.findings.values(), key=lambda finding: finding.events, default=None)


@lab.command
def ladder(
    *,
    seed: Seed = 1,
    step: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_object: Json = False,
) -> int:
    """From nothing to TCP in eleven steps: each mends what broke in the one before, and shows what still breaks.

    It begins with bare datagrams and ends with everything on. In each step a search finds the shortest schedule that
    breaks what the next step is for, and draws it. At the end stands what no protocol mends: the two generals.

    Exit status: 0 if with everything on nothing breaks, and nothing breaks again that was mended once; 1 if not; 2 for
    a wrong call.

    Examples:

    ```
    rawproto lab ladder
    rawproto lab ladder --step
    rawproto lab ladder --json | jq '.steps[] | {title, broken: [.breaks[].guarantee]}'
    ```

    Parameters
    ----------
    seed
        Where all chance comes from: the same seed gives the same lesson.
    step
        Wait for a key before each step; q ends the lesson.
    as_object
        Print one JSON object and nothing else.
    """
    from rawproto.cli._lesson import key_waiter, show_lesson  # noqa: PLC0415 - not needed for --help
    from rawproto.study.lab.generals import cut_everywhere  # noqa: PLC0415
    from rawproto.study.lab.lesson import teach  # noqa: PLC0415

    if step and as_object:
        raise UsageError("--step and --json do not go together: leave one of them out")
    wait = key_waiter() if step else None
    try:
        lesson = teach(seed)
    except ConfigError as error:
        raise FailedError(str(error)) from None
    generals = cut_everywhere(seed)
    if as_object:
        print(json.dumps({**lesson.as_dict(), "generals": generals.as_dict()}, indent=1))
    else:
        show_lesson(lesson, generals, wait)
    relapses = any(stair.relapses for stair in lesson.stairs)
    return 0 if lesson.steps[-1].clean and not relapses else 1


@lab.command
def window(*, seq_bits: Annotated[int, Parameter(metavar="4..8")] = 4, seed: Seed = 1, as_object: Json = False) -> int:
    """The sliding window's own law: which windows are safe with sequence numbers of so many bits, found by search.

    A stream of single octets goes over a path that only loses, with larger and larger windows, under one schedule of
    losses after the other. The first window that breaks should be one more than half of the numbers there are.

    Exit status: 0 if that is so, 1 if not, 2 for a wrong call.

    Examples:

    ```
    rawproto lab window
    rawproto lab window --seq-bits 8
    rawproto lab window --json | jq '{seq_bits, largest_clean, first_broken}'
    ```

    Parameters
    ----------
    seq_bits
        Width of sequence numbers: with 4, each window is tried.
    seed
        Where all chance comes from.
    as_object
        Print one JSON object and nothing else.
    """
    from rawproto.cli._lesson import show_window  # noqa: PLC0415
    from rawproto.study.lab.window import FEWEST_BITS, MOST_BITS, find_law  # noqa: PLC0415

    if not FEWEST_BITS <= seq_bits <= MOST_BITS:
        raise UsageError(f"--seq-bits is {seq_bits}; for this it must be from {FEWEST_BITS} to {MOST_BITS}")
    try:
        law = find_law(seq_bits, seed)
    except ConfigError as error:
        raise FailedError(str(error)) from None
    if as_object:
        print(json.dumps(law.as_dict(), indent=1))
    else:
        show_window(law)
    return 0 if law.first_broken.window == (1 << seq_bits - 1) + 1 else 1


@lab.command
def generals(*, seed: Seed = 1, as_object: Json = False) -> int:
    """The two generals: what no protocol mends, shown on one that has everything.

    Once for each datagram of a short conversation the road is cut for good behind it. There is always a cut after which
    one end has success in hand and the other was told a failure; there is none after which somebody was told a success
    that was none.

    Exit status: 0 if that is so, 1 if not, 2 for a wrong call.

    Examples:

    ```
    rawproto lab generals
    rawproto lab generals --json | jq '.cuts[] | select(.agree | not)'
    ```

    Parameters
    ----------
    seed
        Where all chance comes from.
    as_object
        Print one JSON object and nothing else.
    """
    from rawproto.cli._lesson import show_generals  # noqa: PLC0415
    from rawproto.study.lab.generals import cut_everywhere  # noqa: PLC0415

    found = cut_everywhere(seed)
    if as_object:
        print(json.dumps(found.as_dict(), indent=1))
    else:
        show_generals(found)
    return 0 if found.split and not found.false_successes else 1


# -- options -----------------------------------------------------------------------------------------------------------


def _settings(seq_bits: int, checksum: str, congestion: str | None) -> dict[str, Any]:
    if not FEWEST_BITS <= seq_bits <= MOST_BITS:
        raise UsageError(f"--seq-bits is {seq_bits}; it must be from {FEWEST_BITS} to {MOST_BITS}")
    settings: dict[str, Any] = {}
    if seq_bits != MOST_BITS:
        settings["sequence_bits"] = seq_bits
    if checksum != "crc32":
        settings["checksum"] = checksum
    if congestion is not None:
        from rawproto.transport.congestion import create  # noqa: PLC0415

        try:
            create(congestion, 1440, 1440)
        except ConfigError as error:
            raise UsageError(f"--congestion: {error}") from None
        settings["congestion_control"] = congestion
    return settings


def _runs(runs: int | None, default: int) -> int:
    if runs is not None and runs < 1:
        raise UsageError(f"--runs is {runs}; it must be 1 or more")
    return default if runs is None else runs


def _jobs(jobs: int | None, most: int) -> int:
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs is {jobs}; it must be 1 or more")
    return min(most, len(os.sched_getaffinity(0)) if jobs is None else jobs)


# -- what is shown -----------------------------------------------------------------------------------------------------


def _progress(row: Row) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{row.title} ...", end="", file=sys.stderr, flush=True)


def _against_theory(found: Matrix, *, plain: bool) -> list[str]:
    """What is not as it should be: everything on is clean, and with a mechanism off breaks what theory says.

    The latter only of the protocol as it is (`plain`).
    """
    from rawproto.study.lab.mechanisms import MECHANISMS  # noqa: PLC0415

    unexpected = []
    for row in found.rows:
        broken = [*row.regardless, *(row.findings if row.off == "none" else ())]
        unexpected += [f"{name} breaks with everything on ({row.off})" for name in broken]
        if row.off not in MECHANISMS or not plain:
            continue
        predicted = MECHANISMS[row.off].breaks
        if row.findings and not predicted:
            unexpected.append(f"{', '.join(row.findings)} breaks without {row.off}, which serves speed alone")
        for name, most in predicted.items():
            if name not in row.findings:
                unexpected.append(f"no story was found of {name} without {row.off}: try more --runs")
            elif row.findings[name].events > most:
                unexpected.append(f"{name} without {row.off} took {row.findings[name].events} events, not {most}")
    return unexpected


def _print_matrix(found: Matrix, bits: int) -> None:
    from rich.console import Console  # noqa: PLC0415

    from rawproto.study.checker import GUARANTEES  # noqa: PLC0415

    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    console = Console(highlight=False, soft_wrap=True)
    console.print("What breaks without each mechanism, and after how many events; a dot where nothing broke.\n")
    console.print(f"[bold]{'without':28}{' '.join(SHORT)}[/]")
    for row in found.rows:
        cells = (
            f"[bold red]{row.findings[name].events:3}[/]" if name in row.findings else "[dim]  ·[/]"
            for name in GUARANTEES
        )
        console.print(f"{NAMES.get(row.off, row.off):28}{' '.join(cells)}")
    console.print()
    console.print(", ".join(f"{short} {name.replace('_', ' ')}" for short, name in zip(SHORT, GUARANTEES, strict=True)))
    console.print()
    for row in found.rows:
        console.print(f"[bold]{NAMES.get(row.off, row.off)}[/]: {_in_short(row)}")
    if bits != MOST_BITS:
        console.print(
            f"With {bits} bits the numbers come round within the life of a datagram: even with everything on, an old "
            "one may fit again."
        )
    tried = sum(row.searched for row in found.rows)
    console.print(f"{tried:,} schedules from seed {found.seed}. `rawproto lab off NAME` tells the story of a row.")


def _in_short(row: Row) -> str:
    """The row's story in a sentence."""
    finding = _choose(row, None)
    if finding is not None:
        return f"{finding.guarantee.replace('_', ' ')} breaks. {_schedule(finding)}"
    return f"nothing broke in {row.searched} schedules." if row.cost is None else f"nothing breaks; {_brief(row.cost)}"


def _brief(cost: Cost) -> str:
    return f"{cost.metric}: {cost.sentence()}."


def _cost(cost: Cost) -> str:
    return f"Measured: {cost.scenario} {cost.sentence()[:1].upper()}{cost.sentence()[1:]}."


def _print_lines(story: Story) -> None:
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    for line in story.lines():
        console.print(line)


def _schedule(finding: Finding) -> str:
    from rawproto.study.lab.wording import event_text  # noqa: PLC0415

    return " ".join(map(event_text, finding.scenario.events)) or "Nothing needs to go wrong."


def _print_grades(row: Row, who: str) -> None:
    from rawproto.study.checker import GUARANTEES  # noqa: PLC0415
    from rawproto.study.lab.story import tell  # noqa: PLC0415

    print(f"{who}: {row.searched} schedules, {row.counted} of them showed something.")
    for name in GUARANTEES:
        finding = row.findings.get(name)
        print(f"{name.replace('_', ' '):16} {'pass' if finding is None else f'broken: {_schedule(finding)}'}")
    for finding in list(row.findings.values())[:1]:
        print()
        _print_lines(tell(finding))


def _as_object(found: Matrix) -> dict[str, Any]:
    return {"seed": found.seed, "rows": [_row_object(row) for row in found.rows]}


def _row_object(row: Row) -> dict[str, Any]:
    from rawproto.study.lab.story import tell  # noqa: PLC0415

    violations = []
    for name, finding in row.findings.items():
        violations.append(
            {
                "guarantee": name,
                "events": [event.as_dict() for event in finding.scenario.events],
                "seed": finding.seed,
                "story": tell(finding).text(),
            }
        )
    cost = {} if row.cost is None else row.cost.as_dict()
    return {
        "off": row.off,
        "violations": violations,
        "cost": cost,
        "schedules": row.searched,
        "counted": row.counted,
        "regardless": list(row.regardless),
    }


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--html: can't write {path}: {error.strerror or error}") from None


def _grade(
    sender: str | None, receiver: str | None, seed: int, runs: int | None, checksum: str, *, as_object: bool
) -> int:
    from rawproto.study.textbook.grade import BUDGET, grade  # noqa: PLC0415
    from rawproto.study.textbook.loading import load_class  # noqa: PLC0415
    from rawproto.study.textbook.machine import Receiver, Sender  # noqa: PLC0415

    try:
        report = grade(
            None if sender is None else load_class(sender, Sender),
            None if receiver is None else load_class(receiver, Receiver),
            seed,
            _runs(runs, BUDGET),
            checksum=checksum,
        )
    except ConfigError as error:
        raise UsageError(str(error)) from None
    print(json.dumps(report.as_dict(), indent=1) if as_object else "\n".join(report.lines()))
    return 0 if report.passed else 1
