"""The lesson: eleven steps, each of which mends what broke in the one before."""

from __future__ import annotations

import json
import os
import pty
import sys
from dataclasses import replace
from itertools import pairwise

import pytest

from rawproto.cli import UsageError, main
from rawproto.cli._lesson import key_waiter, show_lesson
from rawproto.errors import ConfigError
from rawproto.study.lab import lesson as module
from rawproto.study.lab.generals import cut_everywhere
from rawproto.study.lab.lesson import Lesson, teach, without
from rawproto.study.lab.mechanisms import ALL_OFF, MECHANISMS
from rawproto.study.lab.steps import STEPS

LAST_SEEN = {
    "integrity": 1,
    "order": 2,
    "no_duplication": 3,
    "honest_end": 4,
    "no_creation": 7,
    "flow_control": 8,
    "complete": 9,
    "restraint": 9,
    "connection": 10,
    "freshness": 10,
}
"""The last step in which each guarantee breaks, as theory has it."""


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return teach(1)


def test_it_begins_with_nothing_and_ends_with_everything() -> None:
    assert len(STEPS) == 11
    assert without(1) == ALL_OFF
    assert without(11) == {}


def test_each_mechanism_is_added_once() -> None:
    assert sorted(name for step in STEPS for name in step.adds) == sorted(MECHANISMS)


def test_the_next_step_adds_what_a_story_is_told_for() -> None:
    for step, following in pairwise(STEPS):
        assert step.wants
        assert {wanted.mechanism for wanted in step.wants} <= set(following.adds)


def test_each_step_but_the_last_breaks_what_the_next_one_mends(lesson: Lesson) -> None:
    for taught, following in pairwise(lesson.steps):
        assert taught.stories
        assert following.fixed == taught.stories
        assert taught.breaks[: len(taught.stories)] == taught.stories


def test_a_story_breaks_its_guarantee_and_not_with_the_next_mechanisms_on(lesson: Lesson) -> None:
    for taught in lesson.steps[:-1]:
        for story in taught.stories:
            assert story.guarantee in story.run(traced=False)[1].broken, story.off
            assert story.guarantee not in story.run(mended=True, traced=False)[1].broken, story.off


def test_what_was_mended_never_breaks_again(lesson: Lesson) -> None:
    assert [max(stair.broken_in) for stair in lesson.stairs] == [stair.told for stair in lesson.stairs]


def test_guarantees_are_lost_for_the_last_time_where_theory_says(lesson: Lesson) -> None:
    seen = {found.guarantee: taught.number for taught in lesson.steps for found in taught.breaks}
    assert seen == LAST_SEEN


def test_with_everything_on_nothing_breaks(lesson: Lesson) -> None:
    assert lesson.steps[-1].clean
    assert lesson.steps[-1].searched >= 100


def test_one_event_is_enough_for_every_story(lesson: Lesson) -> None:
    assert all(stair.finding.events <= 1 for stair in lesson.stairs)


def test_the_ladder_shows_the_broken_guarantee(lesson: Lesson) -> None:
    assert "INTEGRITY BROKEN" in lesson.steps[0].ladder().plain
    assert lesson.steps[-1].ladder().plain == ""


def test_the_same_seed_gives_the_same_lesson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", (*STEPS[:2], replace(STEPS[2], wants=())))
    assert teach(3).as_dict() == teach(3).as_dict()


def test_a_story_that_is_not_found_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES", 3)
    impossible = replace(STEPS[1], adds=())
    monkeypatch.setattr(module, "STEPS", (STEPS[0], impossible))
    with pytest.raises(ConfigError, match="step 1: no schedule of 3"):
        teach(1)


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def _taught(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "teach", lambda seed: lesson)


@pytest.mark.usefixtures("_taught")
def test_the_command_shows_all_steps_and_then_the_generals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "ladder"]) == 0
    told = capsys.readouterr().out
    places = [told.index(f"Step {number} of 11") for number in range(1, 12)]
    assert places == sorted(places)
    assert told.index("The two generals") > places[-1]


@pytest.mark.usefixtures("_taught")
def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "ladder", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    first, second = told["steps"][:2]
    assert (first["step"], first["adds"], first["fixed"]) == (1, [], [])
    assert second["adds"] == ["checksum"]
    assert second["fixed"][0]["guarantee"] == "integrity"
    assert second["fixed"][0] == first["breaks"][0]
    assert second["breaks"][0]["events"][0]["kind"] == "delay"
    assert told["steps"][-1]["breaks"] == []
    assert told["generals"]["false_successes"] == 0


def test_steps_need_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "ladder", "--step"]) == 2
    assert capsys.readouterr().err.startswith("rawproto: --step waits for keys, and this is no terminal")


def test_steps_and_json_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "ladder", "--step", "--json"]) == 2
    assert "do not go together" in capsys.readouterr().err


def test_any_key_goes_on_and_q_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    far, near = pty.openpty()
    with os.fdopen(near, "rb", buffering=0) as keyboard, os.fdopen(os.dup(near), "w") as screen:
        monkeypatch.setattr(sys, "stdin", keyboard)
        monkeypatch.setattr(sys, "stdout", screen)
        wait = key_waiter()
        os.write(far, b" xq")
        assert [wait("a"), wait("b"), wait("c")] == [True, True, False]
        assert b"any key: a" in os.read(far, 1000)
    os.close(far)


def test_the_lesson_ends_when_the_waiter_says_so(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    show_lesson(lesson, cut_everywhere(1), lambda what: what != "step 3")
    told = capsys.readouterr().out
    assert "Step 2 of 11" in told
    assert "Step 3 of 11" not in told


def test_a_waiter_without_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="no terminal"):
        key_waiter()
