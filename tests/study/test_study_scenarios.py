"""The example scenarios: what each of them shows, and that it comes out the same wherever it is played."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from rawproto.link.script import KINDS
from rawproto.sim.scenario import KINDS as TALK_KINDS
from rawproto.sim.scenario import TOPOLOGIES
from rawproto.sim.scenario_toml import dump, load, load_file
from rawproto.sim.world import Run, run_scenario
from rawproto.study.checker import check

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "docs" / "scenarios").glob("*.toml"))
GOLDEN = tomllib.loads((ROOT / "tests" / "golden" / "fingerprints.toml").read_text(encoding="utf-8"))
BROKEN = {"no_checksum": {"integrity"}}
"""Where that is what the example shows; in all others every guarantee holds."""

VARIANTS = {
    "old_syn": ("[[connection]]", "[settings]\nhandshake = false\ncookies = false\ntime_wait = false\n[[connection]]"),
    "one_loss": ("[[connection]]", "[settings]\nretransmission = false\n[[connection]]"),
    "no_checksum": ('[settings]\nchecksum = "none"\n', ""),
    "new_address": ("keep_alive = true", "keep_alive = false"),
}
"""What the texts of the examples propose to try."""


@cache
def played(name: str) -> Run:
    return run_scenario(load_file(ROOT / "docs" / "scenarios" / f"{name}.toml"), 1)


@pytest.mark.parametrize("name", [path.stem for path in PATHS])
def test_an_example_shows_what_it_is_there_for(name: str) -> None:
    run = played(name)
    verdict = check(run)
    assert verdict.broken == BROKEN.get(name, set()), verdict.violations
    assert verdict.delivered > 0
    assert not verdict.idle
    assert [kind for kind, count in run.fired.items() if not count] == []
    assert run.scenario.text


@pytest.mark.parametrize("name", [path.stem for path in PATHS])
def test_an_example_comes_out_as_it_did(name: str) -> None:
    assert played(name).fingerprint() == GOLDEN[name], "if a change was to do this: scripts/fingerprints --write 'why'"


def test_another_process_with_another_hash_seed_comes_to_the_same() -> None:
    command = [sys.executable, ROOT / "scripts" / "studies" / "fingerprints.py"]
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == ""
    assert dict(line.split() for line in done.stdout.splitlines()) == {
        path.stem: played(path.stem).fingerprint() for path in PATHS
    }


def test_another_seed_comes_to_something_else() -> None:
    scenario = played("bad_wifi").scenario
    assert run_scenario(scenario, 2).fingerprint() != played("bad_wifi").fingerprint()


def test_the_examples_have_everything_that_a_scenario_can_have() -> None:
    scenarios = [played(path.stem).scenario for path in PATHS]
    assert {scenario.road.topology for scenario in scenarios} == set(TOPOLOGIES)
    assert {event.kind for scenario in scenarios for event in scenario.events} == set(KINDS)
    assert {talk.kind for scenario in scenarios for talk in scenario.talks} == set(TALK_KINDS)
    assert {fault for scenario in scenarios for fault in scenario.road.impairment.faults} == {
        "loss", "burst_loss", "corrupt", "swap", "truncate", "duplicate", "reorder",
    }  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_an_example_is_written_and_read_back(path: Path) -> None:
    scenario = load_file(path)
    assert load(dump(scenario)) == scenario


@pytest.mark.parametrize(
    ("name", "broken"),
    [("old_syn", {"connection"}), ("one_loss", {"complete"}), ("no_checksum", set()), ("new_address", {"connection"})],
)
def test_what_the_text_proposes_to_try_shows_what_it_says(name: str, broken: set[str]) -> None:
    before, after = VARIANTS[name]
    text = (ROOT / "docs" / "scenarios" / f"{name}.toml").read_text(encoding="utf-8")
    assert before in text
    verdict = check(run_scenario(load(text.replace(before, after, 1)), 1))
    assert verdict.broken >= broken
    assert bool(verdict.broken) == bool(broken)
