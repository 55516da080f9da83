"""Pictures of a contest between flows, as SVG: window and goodput of each over time.

Drawn by matplotlib, which is imported only here, when something is drawn. The same contest gives the same bytes with
the same version of it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from rawproto.errors import RawprotoError
from rawproto.study.fairness import DURATION_NS, STEADY_NS, Contest
from rawproto.transport.config import SECOND

__all__ = ["MissingPlotterError", "draw"]

STYLE = {
    "svg.hashsalt": "rawproto",  # ids of clip paths, otherwise drawn by chance
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 1.0,
}


class MissingPlotterError(RawprotoError):
    """matplotlib is not installed."""


def draw(contest: Contest, path: Path) -> None:
    """Write the picture of `contest` to `path`.

    Raises MissingPlotterError without matplotlib, OSError if `path` can't be written.
    """
    matplotlib = _matplotlib("matplotlib")
    figure_module = _matplotlib("matplotlib.figure")
    with matplotlib.rc_context(STYLE):
        figure = figure_module.Figure(figsize=(7.5, 4.8), layout="constrained")
        windows, rates = figure.subplots(2, 1, sharex=True)
        for number, control in enumerate(contest.mix.controls):
            points = contest.series(number)
            times = [point.time_ns / SECOND for point in points]
            label = control if len(contest.mix.controls) > 2 else f"{control} {number + 1}"
            windows.plot(times, [point.cwnd / 1000 for point in points], label=label)
            rates.plot(times, [point.kbit_s / 1000 for point in points], label=label)
        _label(contest, windows, rates)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _label(contest: Contest, windows: Any, rates: Any) -> None:
    windows.set_title(f"{contest.mix.text}: Jain's index {contest.index():.3f} from {STEADY_NS // SECOND} s on")
    windows.set_ylabel("cwnd, kB")
    rates.set_ylabel("goodput, Mbit/s")
    rates.set_xlabel("s")
    for axes in (windows, rates):
        axes.set_xlim(0, DURATION_NS // SECOND)
        axes.set_ylim(bottom=0)
        axes.axvline(STEADY_NS / SECOND, color="gray", linestyle=":")
    if len(contest.mix.controls) <= 4:
        rates.legend(loc="lower right")


def _matplotlib(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPlotterError(
            "matplotlib is needed to draw and is not installed: pip install 'rawproto[plot]', or call without --out"
        ) from error
