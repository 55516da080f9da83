import hashlib
from pathlib import Path

import pytest

from rawproto.capture.files import open_capture
from rawproto.link.impairment import Impairment
from rawproto.study.guarantees import judge
from rawproto.study.options import DemoOptions, data_from_seed
from rawproto.study.report import as_json, whole, why_not
from rawproto.study.simulated import run_simulated

BAD = Impairment(
    loss=0.1,
    reorder=0.1,
    reorder_delay_ns=3_000_000,
    duplicate=0.05,
    corrupt=0.05,
    delay_ns=20_000_000,
    rate_bps=100_000_000,
    queue_bytes=256 << 10,
)


def options(out: Path, seed: int = 1, size: int = 64 << 10, **more: object) -> DemoOptions:
    return DemoOptions(data=data_from_seed(seed, size), seed=seed, out=out, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(1, 7))
@pytest.mark.parametrize("ipv6", [False, True])
def test_a_file_crosses_a_very_bad_wire_whole(tmp_path: Path, seed: int, ipv6: bool) -> None:
    outcome = run_simulated(options(tmp_path, seed, 256 << 10, impairment=BAD, ipv6=ipv6))
    verdicts = judge(outcome)
    assert why_not(outcome, verdicts) == "", f"seed {seed}"
    for kind in ("loss", "reorder", "duplicate", "corrupt"):
        assert outcome.client.fired[kind] + outcome.server.fired[kind] > 0, f"{kind} never struck, seed {seed}"
    assert len(outcome.client.faults) == sum(outcome.client.fired.values())


DAMAGED = Impairment(swap=0.1, truncate=0.1, delay_ns=20_000_000, rate_bps=100_000_000)


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("ipv6", [False, True])
def test_a_file_crosses_a_wire_that_swaps_words_and_cuts_frames(tmp_path: Path, seed: int, ipv6: bool) -> None:
    outcome = run_simulated(options(tmp_path, seed, 256 << 10, impairment=DAMAGED, ipv6=ipv6))
    assert why_not(outcome, judge(outcome)) == "", f"seed {seed}"
    assert all(outcome.client.fired.values())


def test_swapped_words_get_past_the_internet_checksum(tmp_path: Path) -> None:
    swapping = Impairment(swap=0.1, delay_ns=1_000_000)
    outcome = run_simulated(options(tmp_path, impairment=swapping, settings={"checksum": "internet"}))
    assert "no_creation" in {verdict.name for verdict in judge(outcome) if not verdict.held}


def test_both_send_and_the_server_ends_with_the_digest(tmp_path: Path) -> None:
    outcome = run_simulated(options(tmp_path, size=300_000, impairment=Impairment(delay_ns=1_000_000)))
    client, server = outcome.client, outcome.server
    assert server.received == client.sent == data_from_seed(1, 300_000)
    assert client.received[-32:] == hashlib.sha256(client.sent).digest()
    assert len(client.received) == (64 << 10) + 32
    assert client.first_data_ns is not None
    assert client.first_data_ns < outcome.time_ns


def test_time_is_that_of_the_transfer_without_time_wait(tmp_path: Path) -> None:
    outcome = run_simulated(options(tmp_path, size=1000, impairment=Impairment(delay_ns=1_000_000)))
    assert outcome.time_ns < 1_000_000_000
    assert max(record.time_ns for record in outcome.client.trace) > 60_000_000_000


def test_progress_rises_to_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    run_simulated(options(tmp_path, impairment=BAD), lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (64 << 10, 64 << 10)


def test_a_wire_that_carries_nothing_gives_an_outcome_with_the_reason(tmp_path: Path) -> None:
    outcome = run_simulated(options(tmp_path, impairment=Impairment(loss=1.0)))
    assert "did not answer" in outcome.client.error
    assert outcome.server.error == "nobody connected"
    assert not any(verdict.held for verdict in judge(outcome))
    assert not whole(outcome)
    assert as_json(outcome, judge(outcome), carrier="packet", mode="simulated")["error"].startswith("the client failed")


def test_captures_can_be_read_and_hold_both_ends(tmp_path: Path) -> None:
    outcome = run_simulated(options(tmp_path, size=5000))
    for side in (outcome.client, outcome.server):
        assert side.capture is not None
        with open_capture(side.capture) as reader:
            frames = list(reader)
        assert len(frames) > 10
        assert [frame.time_ns for frame in frames] == sorted(frame.time_ns for frame in frames)
