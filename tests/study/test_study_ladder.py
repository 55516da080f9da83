from itertools import pairwise
from pathlib import Path

import pytest

from rawproto.link.impairment import Impairment
from rawproto.study.draw import draw_ladder
from rawproto.study.flights import Flight, both_directions
from rawproto.study.ladder import Fold, Ladder, Note, first_loss, handshake
from rawproto.study.options import DemoOptions, data_from_seed
from rawproto.study.simulated import run_simulated
from rawproto.study.transfer import Outcome
from rawproto.transport.segment import CWR, ECE, SYN
from rawproto.transport.trace import Discarded


def run(out: Path, seed: int = 2, size: int = 128 << 10, **faults: float) -> Outcome:
    impairment = Impairment(
        delay_ns=20_000_000,
        rate_bps=100_000_000,
        queue_bytes=256 << 10,
        reorder_delay_ns=3_000_000 if faults.get("reorder") else 0,
        **faults,  # type: ignore[arg-type]
    )
    return run_simulated(DemoOptions(data=data_from_seed(seed, size), seed=seed, out=out, impairment=impairment))


def flights(ladder: Ladder | None) -> list[Flight]:
    assert ladder is not None
    return [row for row in ladder.rows if isinstance(row, Flight)]


def lines(ladder: Ladder | None, width: int = 100) -> list[str]:
    assert ladder is not None
    return draw_ladder(ladder, width).plain.splitlines()


def test_the_opening_handshake_is_syn_syn_ack_ack(tmp_path: Path) -> None:
    ladder = handshake(run(tmp_path))
    syn, syn_ack, ack = flights(ladder)
    assert (syn.from_client, syn.flags, syn.start, syn.ack) == (True, SYN | ECE | CWR, 0, None)
    assert (syn_ack.from_client, syn_ack.flags & SYN, syn_ack.start, syn_ack.ack) == (False, SYN, 0, 1)
    assert (ack.from_client, ack.flags & SYN, ack.start, ack.ack) == (True, 0, 1, 1)
    text = "\n".join(lines(ladder))
    assert "SYN-SENT → ESTABLISHED" in text
    assert "SYN-RECEIVED → ESTABLISHED" in text


def test_a_lost_syn_ends_in_mid_air_and_is_sent_again_for_a_reason(tmp_path: Path) -> None:
    ladder = handshake(run(tmp_path, seed=7, size=20_000, loss=0.4))
    lost, again, *_ = flights(ladder)
    assert lost.fate.lost_by == again.fate.lost_by == "loss"
    row = next(line for line in lines(ladder) if "#0 SYN" in line)
    assert "✗ lost" in row
    assert "▶" not in row
    assert any("RTO after" in line for line in lines(ladder))


@pytest.mark.parametrize("seed", range(1, 9))
def test_the_first_loss_goes_from_the_lost_datagram_to_the_acknowledgement_that_covers_it(
    tmp_path: Path, seed: int
) -> None:
    ladder = first_loss(run(tmp_path, seed, loss=0.05, corrupt=0.02, duplicate=0.02, reorder=0.05))
    story = flights(ladder)
    lost = next(flight for flight in story if flight.fate.lost_by)
    repairs = [
        flight
        for flight in story
        if flight.again and flight.from_client == lost.from_client and flight.start <= lost.start < flight.end
    ]
    assert repairs, f"seed {seed}"
    assert repairs[-1].reason
    assert ladder is not None
    last = [row for row in ladder.rows if isinstance(row, Note)][-1]
    assert "covers" in last.text
    assert last.at_client == lost.from_client


def test_a_burst_that_is_lost_in_part_is_split_where_the_loss_is(tmp_path: Path) -> None:
    outcome = run(tmp_path, loss=0.05)
    there, _ = both_directions(outcome)
    bursts = [record for record in there.sent if record.count > 1]
    for record in bursts:
        parts = [
            flight
            for flight in there.flights(record.time_ns, record.time_ns)
            if record.packet_number <= flight.packet_number < record.packet_number + record.count
        ]
        assert sum(flight.count for flight in parts) == record.count
        assert sum(flight.length for flight in parts) == record.length
        assert all(before.end == after.start for before, after in pairwise(parts))
    lost = sum(flight.count for flight in there.flights(0, outcome.time_ns) if flight.fate.lost_by)
    assert 0 < lost <= outcome.client.fired["loss"]


def test_a_damaged_datagram_arrives_and_is_discarded_for_a_reason(tmp_path: Path) -> None:
    ladder = first_loss(run(tmp_path, corrupt=0.05))
    damaged = next(flight for flight in flights(ladder) if flight.fate.damaged)
    assert not damaged.fate.arrived
    assert damaged.fate.outcome
    assert any("damaged" in line and "✗" in line for line in lines(ladder))


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("corrupt", "was damaged on"), ("swap", "had two words swapped on"), ("truncate", "lost its end on")],
)
def test_a_first_loss_by_damage_says_what_the_damage_was(tmp_path: Path, fault: str, cause: str) -> None:
    ladder = first_loss(run(tmp_path, 2, 128 << 10, **{fault: 0.05}))
    assert ladder is not None
    assert cause in ladder.caption


def test_what_was_damaged_and_taken_in_all_the_same_is_no_loss(tmp_path: Path) -> None:
    settings = {"checksum": "internet"}
    swapping = Impairment(swap=0.05, delay_ns=1_000_000)
    options = DemoOptions(
        data=data_from_seed(1, 64 << 10), seed=1, out=tmp_path, impairment=swapping, settings=settings
    )
    outcome = run_simulated(options)
    there, _ = both_directions(outcome)
    assert any(struck.length and there.arrived(number) for number, struck in there.struck.items())
    assert first_loss(outcome) is None


def test_a_datagram_that_lost_its_end_below_ip_is_told_as_cut_short(tmp_path: Path) -> None:
    ladder = first_loss(run(tmp_path, truncate=0.05))
    damaged = next(flight for flight in flights(ladder) if flight.fate.damaged)
    assert (damaged.fate.arrived, damaged.arrivals) == (False, ())
    assert "below RDT" in damaged.fate.outcome


def test_a_datagram_that_lost_its_end_above_ip_is_found_though_it_came_shorter(tmp_path: Path) -> None:
    outcome = run(tmp_path, truncate=0.05)
    there, _ = both_directions(outcome)
    record, struck = next((r, struck) for r in there.sent for _, struck in there.struck_in(r) if struck.length)
    for reason, size in (("checksum", 60), ("length", struck.size), ("length", 50), ("too short", 30)):
        outcome.server.trace.append(Discarded(record.time_ns + 1, -1, reason, size))
    cut = next(flight for flight in flights(first_loss(outcome)) if flight.fate.damaged)
    assert (cut.fate.outcome, cut.arrivals) == ("length", (record.time_ns + 1,))
    outcome.server.trace.pop(-2)
    cut = next(flight for flight in flights(first_loss(outcome)) if flight.fate.damaged)
    assert cut.fate.outcome == "too short"


def test_duplicates_and_overtaken_ones_are_told(tmp_path: Path) -> None:
    there, back = both_directions(run(tmp_path, duplicate=0.2, reorder=0.2))
    for direction in (there, back):
        every = list(direction.flights(0, 1 << 62))
        assert any(flight.fate.duplicated and len(flight.arrivals) > flight.count for flight in every)
        assert any(flight.fate.late and flight.fate.arrived for flight in every)


def test_nothing_lost_gives_no_ladder_of_a_loss(tmp_path: Path) -> None:
    assert first_loss(run(tmp_path)) is None


def test_a_trace_of_one_side_alone_claims_no_arrivals(tmp_path: Path) -> None:
    outcome = run(tmp_path, loss=0.05)
    outcome.server.trace = []
    ladder = handshake(outcome)
    assert all(not flight.arrivals for flight in flights(ladder))
    assert any("?" in line for line in lines(ladder))
    assert lines(first_loss(outcome))


@pytest.mark.parametrize("width", [72, 80, 100, 120])
@pytest.mark.parametrize("seed", [1, 3, 5])
def test_lines_keep_to_the_width_and_lanes_stay_straight(tmp_path: Path, width: int, seed: int) -> None:
    outcome = run(tmp_path, seed, loss=0.1, corrupt=0.05, duplicate=0.1, reorder=0.1)
    for ladder in (handshake(outcome), first_loss(outcome)):
        drawn = lines(ladder, width)
        assert max(map(len, drawn)) <= width
        head = next(at for at, line in enumerate(drawn) if "time ms" in line)
        left, right = drawn[head].index("client"), drawn[head].index("server") + len("server") - 1
        for line in drawn[head + 1 :]:
            assert line[left] in "│├●", line
            assert line[right] in "│┤●", line


def test_what_is_of_no_interest_is_folded_and_counted(tmp_path: Path) -> None:
    outcome = run(tmp_path, loss=0.05)
    ladder = first_loss(outcome)
    assert ladder is not None
    folds = [row for row in ladder.rows if isinstance(row, Fold)]
    assert folds
    assert all(fold.from_client + fold.from_server > 0 for fold in folds)
    assert any("more segment" in line for line in lines(ladder))
