"""The two generals: wherever the road is cut, nobody is told a false success, and somewhere the ends disagree."""

from __future__ import annotations

import json

import pytest

from rawproto.cli import main
from rawproto.sim.scenario import Party, Talk
from rawproto.sim.world import run_scenario
from rawproto.study.checker import check
from rawproto.study.lab.generals import ORDER, Generals, cut_everywhere
from rawproto.study.lab.grounds import WATCHFUL

TALKS = {
    "order and answer": ORDER,
    "the server closes first": Talk(Party(("await end", "send 100")), Party(("send 100",))),
    "both at once": Talk(Party(("send 3000",)), Party(("send 3000",))),
    "nothing to say": Talk(),
}


@pytest.fixture(scope="module", params=TALKS)
def cut(request: pytest.FixtureRequest) -> Generals:
    return cut_everywhere(1, TALKS[request.param])


def test_nobody_is_told_a_false_success(cut: Generals) -> None:
    assert cut.false_successes == 0


def test_somewhere_one_end_has_success_and_the_other_has_not(cut: Generals) -> None:
    assert cut.split
    assert cut.best.split


def test_each_end_is_told_something(cut: Generals) -> None:
    assert all("waiting" not in (found.client.kind, found.server.kind) for found in cut.cuts)


def test_uncut_both_have_success_and_cut_at_once_neither_has(cut: Generals) -> None:
    assert (cut.cuts[-1].client.kind, cut.cuts[-1].server.kind) == ("success", "success")
    assert (cut.cuts[0].client.kind, cut.cuts[0].server.kind) == ("failure", "nothing")


def test_just_so_many_datagrams_pass(cut: Generals) -> None:
    for found in cut.cuts:
        log = run_scenario(found.scenario, cut.seed).log
        assert sum(not sent.fate for sent in log.sent) == found.passed
        assert len(log.arrived) == found.passed


def test_the_checker_excuses_every_cut(cut: Generals) -> None:
    for found in cut.cuts:
        assert not check(run_scenario(found.scenario, cut.seed)).violations


def test_without_acknowledgements_successes_are_false() -> None:
    assert cut_everywhere(1, ORDER, {**WATCHFUL, "acknowledgement": False}).false_successes > 0


def test_the_ladder_shows_the_lost_last_word() -> None:
    told = cut_everywhere(1).ladder().plain
    assert "told: all has arrived" in told
    assert "acknowledged nothing" in told


def test_the_command_prints_the_table_and_the_best_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "generals"]) == 0
    told = capsys.readouterr().out
    assert "false successes: 0" in told
    assert "The best case, cut after datagram 9" in told


def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "generals", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["false_successes"] == 0
    assert told["split"] == [9]
    assert (told["cuts"][9]["client"], told["cuts"][9]["server"]) == ("success", "failure")
