"""The grid of goodput: a spread sample is run and held against the kept table, and the table against theory."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rawproto.study.goodput import (
    BUFFERS,
    CONTROLS,
    LOSSES,
    PAYLOAD_KBIT,
    Cell,
    Goodput,
    grid,
    limit,
    mathis,
    run_cell,
    sample,
)
from rawproto.study.goodput_table import GoldenError, changes, parse, render, table

PATH = Path(__file__).parents[1] / "golden" / "goodput.csv"
GOLDEN = parse(PATH.read_text(encoding="utf-8"))
AMPLE = BUFFERS[-2:]
CONTROLLED = CONTROLS[1:]


def kbit(control: str, loss: int, buffer: int) -> int:
    return GOLDEN.results[Cell(control, loss, buffer)].kbit_s


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", sample(), ids=str)
def test_a_cell_is_as_it_was(cell: Cell) -> None:
    why = "if this is what a change was to do: scripts/grid --write 'why'"
    assert changes(GOLDEN.results, {cell: run_cell(cell)}) == [], why


def test_the_sample_meets_every_row_and_column() -> None:
    cells = sample()
    assert {cell.control for cell in cells} == set(CONTROLS)
    assert {cell.loss_permille for cell in cells} == set(LOSSES)
    assert {cell.buffer for cell in cells} == set(BUFFERS)


def test_another_process_with_another_hash_seed_gives_the_same() -> None:
    cell = Cell("bbr", 10, 1 << 20)
    script = f"from rawproto.study.goodput import Cell, run_cell; print(run_cell({cell!r}))"
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == repr(GOLDEN.results[cell]), done.stderr


# -- what theory says of the table -------------------------------------------------------------------------------------


def test_every_cell_is_there_and_ends() -> None:
    assert list(GOLDEN.results) == grid()
    assert all(goodput.kbit_s > 0 for goodput in GOLDEN.results.values())


@pytest.mark.parametrize("control", CONTROLLED)
@pytest.mark.parametrize("buffer", AMPLE)
def test_without_loss_the_bottleneck_is_full(control: str, buffer: int) -> None:
    assert kbit(control, 0, buffer) > PAYLOAD_KBIT * 9 // 10


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("buffer", BUFFERS[2:6])
def test_a_small_buffer_allows_a_buffer_each_round_trip(control: str, buffer: int) -> None:
    assert limit(Cell(control, 0, buffer)) * 4 // 5 < kbit(control, 0, buffer) <= limit(Cell(control, 0, buffer))


@pytest.mark.parametrize("loss", [3, 10, 30])
def test_reno_at_random_loss_is_about_what_mathis_says(loss: int) -> None:
    # Mathis knows no lost repetitions, each of which is one more reduction (RFC 5681 §4.3).
    assert mathis(loss) * 2 // 3 < kbit("reno", loss, AMPLE[0]) < mathis(loss) * 5 // 4


@pytest.mark.parametrize("loss", [1, 3, 10, 30])
@pytest.mark.parametrize("buffer", AMPLE)
def test_cubic_is_no_slower_than_reno(loss: int, buffer: int) -> None:
    assert kbit("cubic", loss, buffer) >= kbit("reno", loss, buffer)


@pytest.mark.parametrize("loss", [10, 30, 100])
@pytest.mark.parametrize("buffer", AMPLE)
def test_bbr_bears_loss_that_stops_the_others(loss: int, buffer: int) -> None:
    assert kbit("bbr", loss, buffer) > 3 * max(kbit("reno", loss, buffer), kbit("cubic", loss, buffer))


def test_what_is_sent_again_is_what_was_lost() -> None:
    for cell, goodput in GOLDEN.results.items():
        if cell.control != "none" and cell.loss_permille >= 10:
            lost = cell.loss_permille * 1000 // (1000 - cell.loss_permille)
            assert lost * 9 // 10 - 2 <= goodput.retransmitted_permille <= lost * 11 // 10 + 2, cell


def test_next_to_nothing_is_sent_again_for_nothing() -> None:
    for cell, goodput in GOLDEN.results.items():
        assert goodput.needless <= (0 if cell.loss_permille < 100 else 3 * 1440), cell


def test_where_there_is_no_loss_no_timer_expires() -> None:
    assert not any(goodput.timeouts for cell, goodput in GOLDEN.results.items() if not cell.loss_permille)


# -- the file and its text ---------------------------------------------------------------------------------------------


def test_the_file_is_as_it_is_written() -> None:
    assert render(GOLDEN) == PATH.read_text(encoding="utf-8")
    assert GOLDEN.log


def test_writing_it_anew_keeps_the_reasons_and_counts_what_changed() -> None:
    cell = grid()[5]
    changed = {**GOLDEN.results, cell: replace(GOLDEN.results[cell], timeouts=99)}
    renewed = parse(render(GOLDEN.renewed(changed, "a reason\nin two lines")))
    assert renewed.results == changed
    assert renewed.log == [*GOLDEN.log, f"{len(GOLDEN.log) + 1}. 1 of {len(grid())} cells: a reason in two lines"]


def test_a_change_is_told_with_both_figures() -> None:
    cell = Cell("reno", 10, 4096)
    before, after = Goodput(1500, 12, 0, 0), Goodput(1490, 12, 1, 1440)
    assert changes({cell: before}, {cell: before}) == []
    assert changes({cell: before}, {cell: after}) == [
        "reno, loss 1 %, buffer 4 KiB: was 1.50 Mbit/s, 1.2 % again, 0 timeouts, 0 octets needless; "
        "is 1.49 Mbit/s, 1.2 % again, 1 timeouts, 1440 octets needless"
    ]
    assert changes({}, {cell: before}) == [
        "reno, loss 1 %, buffer 4 KiB: new: 1.50 Mbit/s, 1.2 % again, 0 timeouts, 0 octets needless"
    ]


@pytest.mark.parametrize(
    "damage", [lambda text: text.replace("kbit_s", "mbit_s"), lambda text: text + "reno,x,1,2,3,4,5\n", lambda _: ""]
)
def test_another_file_is_refused(damage: object) -> None:
    with pytest.raises(GoldenError):
        parse(damage(render(GOLDEN)))  # type: ignore[operator]


def test_the_document_has_the_table() -> None:
    text = (PATH.parents[2] / "docs" / "transport_study.md").read_text(encoding="utf-8")
    assert f"<!-- goodput -->\n```\n{table(GOLDEN.results)}\n```\n" in text


def test_the_table_has_a_block_for_each_control() -> None:
    text = table(GOLDEN.results)
    assert [block.split()[0] for block in text.split("\n\n")] == list(CONTROLS)
    assert len(text.split("\n\n")[1].splitlines()) == 1 + len(LOSSES)
