"""The command behind scripts/bench: runs one suite, or all, and prints the rows, as a table or as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
SUITES = ("transfer", "raw", "simulate")
UNPRIVILEGED = ("simulate",)


COLUMNS = ("row", "ours", "unit", "peer", "peer_value", "ratio", "runs", "peer_runs")


def machine() -> str:
    """What the figures were measured on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}"


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("row", "ours", "unit", "peer", "peer's", "ratio", "runs", title=machine())
    for row in rows:
        cells = (row[key] for key in ("row", "ours", "unit", "peer", "peer_value", "ratio", "runs"))
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    Console().print(table)
    for row in rows:
        more = {key: value for key, value in row.items() if key not in COLUMNS}
        if more:
            print(f"{row['row']}:", ", ".join(f"{key} {value}" for key, value in more.items()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("suite", nargs="?", choices=SUITES, help="all of them if none is named")
    parser.add_argument("--row", default="", help="only this row, such as transfer/udp or send-vary/trafgen")
    parser.add_argument("--runs", type=int, default=5, help="runs of each road (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error(f"--runs is {options.runs}; it must be at least 1")
    if os.geteuid() != 0 and options.suite not in UNPRIVILEGED:
        print("bench: this needs root, to make network namespaces", file=sys.stderr)
        return 2
    rows: list[dict[str, Any]] = []
    for name in (options.suite,) if options.suite else SUITES:
        rows += importlib.import_module(f"benchmarks.{name}").rows(options.runs, options.row)
    if not rows:
        parser.error(f"--row {options.row!r} is no row of {options.suite or ' or '.join(SUITES)}")
    if options.json:
        print(json.dumps({"machine": machine(), "rows": rows}))
    else:
        show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
