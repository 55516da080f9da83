"""scripts/seeded_bugs tells a bug that the checker sees from one that it does not, and its catalogue fits the tree.

Some bugs are really put into the engine here, as a canary: a checker that lets them pass guards nothing. All of them
are run by scripts/seeded_bugs alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]

MINIMUM = 90
"""How many bugs there are at least."""
CANARIES = {
    "window-off-by-one": "flow_control",
    "fin-counts-as-acknowledged-with-the-data": "complete",
    "isn-is-constant": "no_creation",
    "abort-without-reset": "connection",
    "timeout-keeps-the-window": "restraint",
    "loss-keeps-the-window": "restraint",
}
SOON = 12
"""Schedules that are enough to see each canary."""


@pytest.fixture(scope="module")
def mutation() -> ModuleType:
    """The package of scripts/seeded_bugs."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        package = import_module("mutation")
        for name in ("mutant", "seeded", "seeded_base", "seeded_main", "seeded_run", "seeded_schedules"):
            import_module(f"mutation.{name}")
        return package
    finally:
        sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture(scope="module")
def hunter(mutation: ModuleType) -> Iterator[object]:
    """Judges bugs of a copy of the tree by the first few schedules."""
    with mutation.seeded_run.Hunter(ROOT, schedules=SOON).frozen() as frozen:
        yield frozen


def bugs(mutation: ModuleType, *names: str) -> list[object]:
    return [bug for bug in mutation.seeded.BUGS if bug.name in names]


def test_every_bug_fits_the_tree(mutation: ModuleType) -> None:
    for bug in mutation.seeded.BUGS:
        mutation.mutant.mutated(bug.mutant, ROOT)
        assert bug.mutant.file.startswith("rawproto/transport/")


def test_names_are_unique_and_enough(mutation: ModuleType) -> None:
    names = [bug.name for bug in mutation.seeded.BUGS]
    assert len(set(names)) == len(names) >= MINIMUM


@pytest.mark.parametrize("name", CANARIES)
def test_the_checker_sees_the_canary(mutation: ModuleType, hunter: object, name: str) -> None:
    (canary,) = bugs(mutation, name)
    outcome = hunter.hunt(canary)  # type: ignore[attr-defined]
    assert not outcome.error
    assert outcome.guarantee == CANARIES[name], outcome


def test_the_engine_as_it_is_passes_the_same_schedules(hunter: object) -> None:
    outcome = hunter.hunt(None)  # type: ignore[attr-defined]
    assert (outcome.error, outcome.guarantee, outcome.text, outcome.schedules) == ("", "", "", SOON)


def test_a_bug_that_makes_no_difference_is_a_failure(
    mutation: ModuleType, hunter: object, capsys: pytest.CaptureFixture[str]
) -> None:
    harmless = mutation.seeded_base.bug("harmless", "nagle", "self._small_end = -1", "self._small_end = -2", "nothing")
    hasty = replace(hunter, schedules=4)  # type: ignore[type-var]
    assert mutation.seeded_main.judge([harmless], hasty, 2, table=False) == 1
    assert "harmless: NOT CAUGHT by 4 schedules\n0 of 1 caught\n" in capsys.readouterr().out


def test_a_bug_that_raises_is_caught_but_not_by_the_checker(
    mutation: ModuleType, hunter: object, capsys: pytest.CaptureFixture[str]
) -> None:
    loud = mutation.seeded_base.bug("loud", "nagle", "self._small_end = -1", "raise ValueError('no')", "it raises")
    hasty = replace(hunter, schedules=4)  # type: ignore[type-var]
    assert mutation.seeded_main.judge([loud], hasty, 2, table=False) == 0
    said = capsys.readouterr().out
    assert "loud: an exception after 1: both at once" in said
    assert said.endswith("ValueError: no\n1 of 1 caught, 1 of them by an exception or a run without end\n")


def test_a_bug_that_fits_no_longer_is_an_error(mutation: ModuleType, hunter: object) -> None:
    stale = mutation.seeded_base.bug("stale", "nagle", "no such text", "", "nothing")
    outcome = hunter.hunt(stale)  # type: ignore[attr-defined]
    assert outcome.error == "stale: its text stands 0 times in rawproto/transport/nagle.py, not once"
    assert not outcome.caught


def test_a_name_that_no_bug_has_is_refused(mutation: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        mutation.seeded_main.main(["--only", "no-such-bug"])
    assert refused.value.code == 2
    assert "no bug is called 'no-such-bug'" in capsys.readouterr().err


def test_the_schedules_are_the_same_each_time(mutation: ModuleType) -> None:
    once, again = (list(mutation.seeded_schedules.schedules(40)) for _ in range(2))
    assert once == again
    assert list(mutation.seeded_schedules.schedules(12)) == once[:12]


def test_the_table_of_the_documentation_has_every_bug(mutation: ModuleType) -> None:
    rows = [line for line in (ROOT / "docs" / "seeded_bugs.md").read_text().splitlines() if line.startswith("| ")]
    named = [row.split("|")[1].strip() for row in rows[1:]]
    assert named == [bug.name for bug in mutation.seeded.BUGS]
