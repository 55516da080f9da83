"""The command behind scripts/grid: runs the grid of goodput, and holds it against tests/golden/goodput.csv."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rawproto.study.goodput import grid, run_cell
from rawproto.study.goodput_table import Golden, GoldenError, changes, parse, render, table
from studies.parallel import each

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "goodput.csv"
DOCUMENT = ROOT / "docs" / "transport_study.md"


def document(text: str) -> None:
    """Put the table into the document, in the block behind its mark."""
    before = DOCUMENT.read_text(encoding="utf-8")
    block = re.compile(r"(?<=<!-- goodput -->\n```\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
    DOCUMENT.write_text(block.sub(lambda _: text + "\n", before, count=1), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/grid", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="list the cells that changed; status 1 if any did")
    what.add_argument("--write", metavar="WHY", help="write the file, with the reason why its figures changed")
    what.add_argument("--show", action="store_true", help="print the table that is kept, and run nothing")
    parser.add_argument("--jobs", type=int, default=0, help="processes side by side; one for each core if left out")
    options = parser.parse_args(argv)
    if options.write is not None and not options.write.strip():
        parser.error("--write wants the reason why the figures changed")
    try:
        golden = parse(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else Golden({})
    except GoldenError as error:
        parser.error(f"{GOLDEN}: {error}")
    if options.show:
        print(table(golden.results))
        return 0
    begin = time.perf_counter()
    done = list(each(run_cell, grid(), "cells", options.jobs))
    results = {cell: goodput for cell, goodput, _ in sorted(done, key=lambda row: grid().index(row[0]))}
    print(table(results))
    slowest = ", ".join(f"{cell} {seconds:.1f} s" for cell, _, seconds in sorted(done, key=lambda row: -row[2])[:3])
    print(f"\n{len(done)} cells in {time.perf_counter() - begin:.0f} s; the slowest: {slowest}")
    changed = changes(golden.results, results)
    if options.write is not None:
        GOLDEN.write_text(render(golden.renewed(results, options.write)), encoding="utf-8")
        document(table(results))
        print(f"{GOLDEN} written, and the table in {DOCUMENT}: {len(changed)} cells changed")
        return 0
    print("\n".join([*changed, f"{len(changed)} of {len(results)} cells differ from {GOLDEN.name}"]))
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
