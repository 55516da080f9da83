"""The search: the same findings from the same seed, and nothing in them that could be left out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from rawproto.link.chance import derive_rng
from rawproto.link.script import Event
from rawproto.sim.scenario import Party, Scenario, Talk
from rawproto.sim.scenario_toml import dump
from rawproto.sim.world import run_scenario
from rawproto.study.checker import check
from rawproto.study.lab.finding import Finding
from rawproto.study.lab.grounds import GROUNDS, Ground, draw_events, narrowed
from rawproto.study.lab.mechanisms import MECHANISMS, off_settings, settings_on
from rawproto.study.lab.search import search, shorten

SEED = 8
RUNS = 33
OFF = ("checksum", "sequencing", "duplicate_suppression", "retransmission", "backoff", "flow_control", "keep_alive")
GROUND = {ground.name: ground for ground in GROUNDS}


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    """Of some mechanisms, all that is found."""
    found: list[Finding] = []
    for off in OFF:
        searched = search(off, off_settings(off), seed=SEED, runs=RUNS)
        assert searched.findings
        assert not searched.regardless
        found += searched.findings.values()
    return found


def breaks(finding: Finding, scenario: Scenario) -> bool:
    return finding.guarantee in check(run_scenario(scenario, finding.seed)).broken


def written(off: str, seed: int) -> str:
    """All that a search finds, as text."""
    found = search(off, off_settings(off), seed=seed, runs=22)
    return "\n".join(f"{name} {finding.seed}\n{dump(finding.scenario)}" for name, finding in found.findings.items())


def test_what_is_found_is_found_again(findings: list[Finding]) -> None:
    for finding in findings:
        assert breaks(finding, finding.scenario), finding


def test_nothing_of_the_kind_happens_with_the_mechanism_on(findings: list[Finding]) -> None:
    for finding in findings:
        _, verdict = finding.run(mended=True, traced=False)
        assert finding.guarantee not in verdict.broken, finding


def test_no_event_can_be_taken_away(findings: list[Finding]) -> None:
    for finding in findings:
        events = finding.scenario.events
        for at in range(len(events)):
            less = replace(finding.scenario, events=events[:at] + events[at + 1 :])
            shorter = replace(finding, scenario=less)
            mended = check(run_scenario(shorter.mended(), finding.seed)).broken
            assert not breaks(finding, less) or finding.guarantee in mended, finding


def test_every_event_of_a_finding_happened(findings: list[Finding]) -> None:
    for finding in findings:
        assert run_scenario(finding.scenario, finding.seed).idle == [], finding


def test_the_same_seed_finds_the_same() -> None:
    assert written("sequencing", SEED) == written("sequencing", SEED) != ""


def test_another_process_with_another_hash_seed_finds_the_same() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_study_lab_search as test;"
        "print(test.written('sequencing', test.SEED))"
    )
    command = [sys.executable, "-c", code, os.path.dirname(__file__)]  # noqa: PTH120 - a path for sys.path
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == written("sequencing", SEED).strip()


def test_another_seed_looks_elsewhere() -> None:
    ground = GROUND["both at once"]
    drawn = [[draw_events(ground, derive_rng(seed, "lab", "x")) for _ in range(20)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_story_is_cut_down_to_what_matters() -> None:
    events = (
        Event("duplicate", "server", 2),
        Event("delay", "client", 3, for_ns=35_000_000),
        Event("drop", "server", 5),
    )
    off = MECHANISMS["sequencing"].off
    scenario = GROUND["both at once"].scenario(off, events)
    short = shorten(Finding("sequencing", "order", scenario, 1, settings_on(off)))
    assert [event.kind for event in short.scenario.events] == ["drop"]  # what is late is a longer story
    assert sum(talk.client.sends + talk.server.sends for talk in short.scenario.talks) < 6000


def test_a_story_that_is_short_stays_as_it_is() -> None:
    scenario = Scenario("s", (Talk(Party(("send 1",)), Party()),), (), {"flow_control": False})
    finding = Finding("flow_control", "flow_control", scenario, 1, {"flow_control": True})
    assert shorten(finding).scenario == scenario


def test_what_breaks_in_any_case_is_not_put_down_to_the_mechanism() -> None:
    """A search that is told of a mechanism that does not help: its findings are somebody else's."""
    searched = search("nagle", {"sequencing": False, "nagle": False}, seed=SEED, runs=RUNS)
    assert searched.findings == {}
    assert set(searched.regardless) == {"order"}
    assert searched.regardless["order"].off == "none"


def test_only_runs_in_which_something_happened_count() -> None:
    searched = search("none", {}, seed=SEED, runs=RUNS)
    assert searched.runs == RUNS
    assert RUNS // 2 < searched.counted <= RUNS


def test_what_theory_predicts_is_looked_for_longer() -> None:
    grounds = (GROUND["records"],)  # where no attacker is
    assert search("isn", MECHANISMS["isn"].off, seed=SEED, runs=2, grounds=grounds).runs == 12
    assert search("nagle", MECHANISMS["nagle"].off, seed=SEED, runs=2, grounds=grounds).runs == 2


@pytest.mark.parametrize("bits", [4, 8, 12, 32])
@pytest.mark.parametrize("ground", GROUNDS, ids=lambda ground: ground.name)
def test_every_ground_is_clean_with_numbers_of_few_bits(bits: int, ground: Ground) -> None:
    scenario = narrowed(ground, bits).scenario({})
    verdict = check(run_scenario(scenario, SEED))
    assert verdict.violations == ()
    assert verdict.delivered
