"""The command behind scripts/clauses: prints every requirement with the tests that hold it, and what is wrong."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.check import Fault, Report, examine, needs_test, requirements
from conformance.clauses import RANKS, RDT, Clause, rank
from conformance.marks import claims_of, collect


def table(rows: Sequence[tuple[Clause, list[str]]]) -> list[str]:
    """A line for each clause and test; the second and further tests of a clause stand below the first."""
    width = max((len(clause.label) for clause, _ in rows), default=0)
    lines = []
    for clause, tests in rows:
        none = f"not followed: {clause.not_followed}" if clause.not_followed else "-"
        for index, test in enumerate(tests or [none]):
            name, level = (clause.label, clause.level) if index == 0 else ("", "")
            lines.append(f"{name:<{width}}  {level:<15}  {test}")
    return lines


def summary(report: Report) -> list[str]:
    """How many there are of each level, and how many have a test."""
    lines = []
    for title, ours in (("docs/rdt.md", True), ("other documents", False)):
        rows = [(clause, tests) for clause, tests in report.rows if (clause.document == RDT) is ours]
        followed = [(clause, tests) for clause, tests in rows if not clause.not_followed]
        parts = []
        for level in RANKS:
            of_level = [tests for clause, tests in followed if rank(clause.level) == level]
            parts.append(f"{level} {sum(map(bool, of_level))} of {len(of_level)} tested")
        apart = f", {len(rows) - len(followed)} not followed, with reasons" if not ours else ""
        lines.append(f"{title}: {len(rows)} clauses: {', '.join(parts)}{apart}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/clauses", description=__doc__)
    parser.add_argument("--missing", action="store_true", help="list only the clauses that lack a test")
    parser.add_argument("--json", action="store_true", help="print one JSON object: clauses, their tests, and faults")
    options = parser.parse_args(argv)
    clauses, wrong = requirements()
    tests = collect()
    wrong += [Fault("collection", f"could not be collected: {what}") for what in tests.errors]
    report = examine(clauses, claims_of(tests.items))
    report.faults[:0] = wrong
    rows = [row for row in report.rows if not options.missing or (needs_test(row[0]) and not row[1])]
    if options.json:
        print(json.dumps(Report(rows, report.faults).as_json(), ensure_ascii=False))
    else:
        print("\n".join([*table(rows), "", *summary(report)]))
        for fault in report.faults:
            print(f"{fault.kind}: {fault.text}", file=sys.stderr)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
