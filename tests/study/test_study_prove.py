"""With everything on, nothing breaks; and what is broken on purpose is seen by the very function that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from rawproto.sim.scenario_toml import dump, load
from rawproto.study.prove.campaign import Tally, digest, prove
from rawproto.study.prove.draw import draw_scenario
from rawproto.study.prove.meeting import Meeting
from rawproto.study.prove.sharing import shared
from rawproto.transport.receiver import Receiver
from rawproto.transport.sender import Sender

CONNECTIONS = 10_000
FIRST = int(os.environ.get("PROVE_SEED", "1"))
BATCH = 50


@pytest.mark.timeout(900)
def test_ten_thousand_connections_under_all_faults_break_nothing_and_meet_everything() -> None:
    tally = Tally()
    for done in shared(prove, (range(at, at + BATCH) for at in count(FIRST, BATCH)), 2):
        tally.add(done)
        if tally.connections >= CONNECTIONS:
            break
    print(f"PROVE_SEED={FIRST}: {tally.connections} connections in {tally.runs} runs")
    assert not tally.broken, "\n".join(map(str, tally.broken))
    assert not tally.coverage.missing()
    assert tally.holds


def deliver_early(receiver: Receiver, seq: int, payload: bytes, gaps: list[tuple[int, int]], new: int) -> str:
    """What comes out of order is handed over at once."""
    receiver._deliver(bytes(payload[gaps[0][0] - seq : gaps[0][1] - seq]))
    return "in order"


CANARIES: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "the receiver delivers out of order": (Receiver, "_accept_gaps", deliver_early),
    "the sender never repeats anything": (Sender, "_repair", lambda sender, now: None),
    "the receiver delivers old octets again": (Receiver, "accept_old", lambda self, seq, data: self._deliver(data)),
}


@pytest.mark.parametrize("broken", CANARIES)
def test_a_broken_engine_does_not_pass(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setattr(*CANARIES[broken])
    tally = prove(range(FIRST, FIRST + 60))
    assert tally.broken, f"{broken}, and nothing was found: the proof proves nothing"
    assert not tally.holds


def test_a_run_that_broke_prints_the_line_that_runs_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sender, "_repair", lambda sender, now: None)
    first = prove(range(FIRST, FIRST + 60)).broken[0]
    assert str(first).startswith(f"scripts/prove --only {first.seed} ")


def test_a_run_in_which_nothing_happened_counts_for_nothing() -> None:
    tally = prove(range(FIRST, FIRST + 60))
    assert tally.idle
    assert tally.connections < sum(
        talk.kind != "datagrams" for seed in range(FIRST, FIRST + 60) for talk in draw_scenario(seed).talks
    )


def test_what_was_never_met_is_told() -> None:
    missing = prove(range(FIRST, FIRST + 2)).coverage.missing()
    assert ("transition", "the peer has not answered for too long") in missing


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 300, 10))
def test_a_drawn_scenario_can_be_kept_as_a_file(seed: int) -> None:
    scenario = draw_scenario(seed)
    if isinstance(scenario, Meeting):
        assert load(dump(scenario)).talks == scenario.talks  # who else calls is no part of a file
    else:
        assert load(dump(scenario)) == scenario


DIGEST = "import sys; from rawproto.study.prove.campaign import digest; print(digest(range(1, 41)))"


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_seeds_give_the_same_runs_in_another_process(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    other = subprocess.run(
        [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert other == digest(range(1, 41))
