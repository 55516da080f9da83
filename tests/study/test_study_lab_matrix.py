"""The matrix against theory: what each mechanism is said to carry breaks without it, and nothing breaks with all on."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rawproto.study.checker import GUARANTEES
from rawproto.study.lab.matrix import ROWS, Matrix, Row, compute
from rawproto.study.lab.mechanisms import ALL_OFF, MECHANISMS, Mechanism, off_settings, settings_on
from rawproto.transport.config import SWITCHES, Config

SEED = 8
"""One from which few schedules are enough."""
RUNS = 33
LONGER: Mapping[str, int] = {"cookies": 66, "handshake": 66, "persist": 66, "time_wait": 300}
"""Rows whose shortest stories are found after more schedules."""


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    """All rows, in their order."""
    plain = compute(SEED, rows=tuple(row for row in ROWS if row not in LONGER), runs=RUNS, jobs=2)
    rows = {row.off: row for row in plain.rows}
    for off, runs in LONGER.items():
        rows[off] = compute(SEED, rows=(off,), runs=runs).rows[0]
    return Matrix(SEED, [rows[off] for off in ROWS])


def test_with_everything_on_nothing_breaks(matrix: Matrix) -> None:
    row = matrix.row("none")
    assert row.findings == {}
    assert row.searched == RUNS
    assert row.counted > RUNS // 2


@pytest.mark.parametrize(
    ("off", "guarantee"),
    [(name, guarantee) for name, mechanism in MECHANISMS.items() for guarantee in mechanism.breaks],
)
def test_a_guarantee_breaks_without_what_carries_it(matrix: Matrix, off: str, guarantee: str) -> None:
    findings = matrix.row(off).findings
    assert guarantee in findings, f"found: {list(findings)}"
    assert findings[guarantee].events <= MECHANISMS[off].breaks[guarantee]


@pytest.mark.parametrize("off", [name for name, mechanism in MECHANISMS.items() if not mechanism.breaks])
def test_nothing_breaks_without_what_serves_speed_alone(matrix: Matrix, off: str) -> None:
    assert matrix.row(off).findings == {}


def test_nothing_breaks_regardless_of_the_mechanism(matrix: Matrix) -> None:
    assert {row.off: row.regardless for row in matrix.rows if row.regardless} == {}


def test_a_finding_says_whose_row_it_is_in(matrix: Matrix) -> None:
    for row in matrix.rows:
        for guarantee, finding in row.findings.items():
            assert (finding.off, finding.guarantee) == (row.off, guarantee)


def test_findings_stand_in_the_order_of_the_guarantees(matrix: Matrix) -> None:
    for row in matrix.rows:
        assert list(row.findings) == [name for name in GUARANTEES if name in row.findings]


def test_every_mechanism_has_its_cost_and_only_a_mechanism(matrix: Matrix) -> None:
    assert [row.off for row in matrix.rows if row.cost is None] == ["none", "all"]


def test_with_everything_off_most_guarantees_break(matrix: Matrix) -> None:
    assert len(matrix.row("all").findings) >= 8


def test_rows_come_in_their_order_and_each_is_told_of() -> None:
    told: list[str] = []
    rows = ("sack", "none", "nagle")

    def note(row: Row) -> None:
        told.append(row.off)

    found = compute(SEED, rows=rows, runs=2, jobs=2, on_row=note)
    assert tuple(row.off for row in found.rows) == tuple(told) == rows


def test_several_processes_find_what_one_does() -> None:
    rows = ("sequencing", "flow_control")
    assert compute(SEED, rows=rows, runs=22, jobs=2) == compute(SEED, rows=rows, runs=22, jobs=1)


def test_settings_hold_for_all_rows_if_a_row_says_nothing_else() -> None:
    weak = compute(SEED, rows=("none",), runs=66, settings={"checksum": "internet"}).rows[0]
    assert "integrity" in weak.findings
    assert {event.kind for finding in weak.findings.values() for event in finding.scenario.events} == {"swap"}


# -- the mechanisms themselves -----------------------------------------------------------------------------------------


def test_every_switch_of_the_transport_is_a_row() -> None:
    switched = {name for mechanism in MECHANISMS.values() for name in mechanism.off}
    assert switched == {*SWITCHES, "checksum", "congestion_control"}
    assert set(ALL_OFF) == switched
    assert ("none", *MECHANISMS, "all") == ROWS


@pytest.mark.parametrize("off", ROWS)
def test_what_is_off_can_be_switched_on_again(off: str) -> None:
    settings = off_settings(off)
    mended = Config(**{**settings, **settings_on(settings)})
    default = Config(keep_alive=mended.keep_alive)
    assert mended == default


@pytest.mark.parametrize("mechanism", MECHANISMS.values(), ids=lambda mechanism: mechanism.name)
def test_each_mechanism_is_explained(mechanism: Mechanism) -> None:
    assert mechanism.clause
    assert mechanism.does
    assert mechanism.without
    assert set(mechanism.breaks) <= set(GUARANTEES)
