"""Each misfortune ends as it is stated: whole, or with the right error, in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rawproto.study.survival import SCENARIOS, Scenario, run_scenario
from rawproto.transport.config import SECOND

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
SEEDS = range(1, 4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_it_ends_as_stated(scenario: Scenario, seed: int) -> None:
    outcome = run_scenario(scenario, seed)
    assert outcome.problem == "", f"again: scripts/survival --scenario {scenario.name} --first {seed} --seeds 1"
    assert outcome.time_ns <= scenario.bound_ns


def test_the_size_of_datagrams_follows_the_path_down_and_up_again() -> None:
    sizes = run_scenario(BY_NAME["mtu-changes"], 1).path_sizes
    least = sizes.index(min(sizes))
    assert 1200 < max(sizes[:least]) <= 1400 - 20
    assert max(size for size in sizes[least:] if size < 1200) in range(600 - 20 - 16, 600 - 20 + 1)
    assert sizes[-1] == 1500 - 20


@pytest.mark.parametrize("name", ["blackholes", "new-port-upload", "lossy"])
def test_a_run_is_a_function_of_scenario_and_seed(name: str) -> None:
    first, again, other = (run_scenario(BY_NAME[name], seed).fingerprint for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_document_states_it(scenario: Scenario) -> None:
    text = (Path(__file__).parents[2] / "docs" / "transport_study.md").read_text(encoding="utf-8")
    row = f"| {scenario.text} | {scenario.sent} | {scenario.arrived} | {scenario.bound_ns // SECOND} s |"
    assert row in text.partition("<!-- survival -->")[2]


def test_what_is_not_as_stated_is_told() -> None:
    scenario = BY_NAME["acks-cut-for-ever"]
    late = run_scenario(replace(scenario, bound_ns=scenario.bound_ns // 2), 1)
    assert late.problem == (
        "acks-cut-for-ever, seed 1, within 52 s: for the sender it ended as 'waiting' and not as 'timeout'; "
        "for the receiver it ended as 'waiting' and not as 'reset'"
    )
    wrong = run_scenario(replace(scenario, sent="whole"), 1)
    assert wrong.problem.endswith(
        "for the sender it ended as 'timeout' (the peer acknowledged nothing for 100 s) and not as 'whole'"
    )
