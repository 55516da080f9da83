"""The grid of goodput as text: the table that people read, and the file that a later run is held against.

The file is CSV under a head of comments. Each time it is written anew, the reason is put at the end of the head, with
how many cells changed: whoever sees a figure move finds there why it did.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields

from rawproto.errors import RawprotoError
from rawproto.study.goodput import BUFFERS, CONTROLS, LOSSES, Cell, Goodput, grid

__all__ = ["Golden", "GoldenError", "changes", "parse", "render", "table"]

TITLE = (
    "Goodput in the simulator, by rawproto.study.goodput: scripts/grid makes, checks and writes this file.",
    "needless: octets that the receiver got once more than it needed. Why it was written, each time:",
)
COLUMNS = [*(field.name for field in fields(Cell)), *(field.name for field in fields(Goodput))]


class GoldenError(RawprotoError):
    """The file is none that this module wrote."""


class Golden:
    """What the file says: the figures of each cell, and why they were written, oldest first."""

    def __init__(self, results: Mapping[Cell, Goodput], log: Sequence[str] = ()) -> None:
        self.results = dict(results)
        self.log = list(log)

    def renewed(self, results: Mapping[Cell, Goodput], why: str) -> Golden:
        """With new figures, and the reason for them."""
        why = " ".join(why.split())
        entry = f"{len(self.log) + 1}. {len(changes(self.results, results))} of {len(results)} cells: {why}"
        return Golden(results, [*self.log, entry])


def render(golden: Golden) -> str:
    """The text of the file."""
    head = [f"# {line}" for line in (*TITLE, *golden.log)]
    rows = [",".join(map(str, astuple(cell) + astuple(golden.results[cell]))) for cell in grid()]
    return "\n".join([*head, ",".join(COLUMNS), *rows]) + "\n"


def parse(text: str) -> Golden:
    """Read what `render` has written. Raises GoldenError."""
    lines = text.splitlines()
    head = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    rows = list(csv.reader(line for line in lines if not line.startswith("#")))
    if not rows or rows[0] != COLUMNS:
        raise GoldenError(f"the columns are not {','.join(COLUMNS)}: write the file anew by scripts/grid --write")
    results = {}
    try:
        for control, loss, buffer, *figures in rows[1:]:
            results[Cell(control, int(loss), int(buffer))] = Goodput(*map(int, figures))
    except (TypeError, ValueError) as error:
        raise GoldenError(f"a line is none of {len(COLUMNS)} columns, with whole numbers: {error}") from error
    return Golden(results, head[len(TITLE) :])


def changes(before: Mapping[Cell, Goodput], after: Mapping[Cell, Goodput]) -> list[str]:
    """A line for each cell of `after` whose figures are not those of `before`."""
    lines = []
    for cell, now in after.items():
        then = before.get(cell)
        if then is None:
            lines.append(f"{cell}: new: {_figures(now)}")
        elif then != now:
            lines.append(f"{cell}: was {_figures(then)}; is {_figures(now)}")
    return lines


def _figures(goodput: Goodput) -> str:
    return (
        f"{goodput.kbit_s / 1000:.2f} Mbit/s, {goodput.retransmitted_permille / 10:.1f} % again, "
        f"{goodput.timeouts} timeouts, {goodput.needless} octets needless"
    )


def table(results: Mapping[Cell, Goodput]) -> str:
    """Mbit/s, and behind it what was sent again in per cent: a block for each control, a row for each loss."""
    blocks = []
    for control in CONTROLS:
        names = (f"{buffer >> 10} KiB" if buffer < 1 << 20 else f"{buffer >> 20} MiB" for buffer in BUFFERS)
        lines = [f"{control:<7}" + "".join(f"{name:>15}" for name in names)]
        for loss in LOSSES:
            row = (_short(results.get(Cell(control, loss, buffer))) for buffer in BUFFERS)
            lines.append(f"{loss / 10:>5.1f} %" + "".join(f"{entry:>15}" for entry in row))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _short(goodput: Goodput | None) -> str:
    if goodput is None:
        return "-"
    return f"{goodput.kbit_s / 1000:.2f} ({goodput.retransmitted_permille / 10:.1f})"
