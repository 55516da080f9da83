"""Holds the claims of the tests against the requirements, both ways."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from conformance.clauses import RDT, Clause, rank, read_rdt, read_rfcs
from conformance.marks import Claim

__all__ = ["Fault", "Report", "examine", "needs_test", "requirements"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to put right. The kinds: untested, unknown, twice, unnumbered, collection."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """Every requirement with its tests, and what is wrong."""

    rows: list[tuple[Clause, list[str]]]
    faults: list[Fault]

    def as_json(self) -> dict[str, Any]:
        """The same in plain types."""
        return {
            "clauses": [asdict(clause) | {"tests": tests} for clause, tests in self.rows],
            "faults": [asdict(fault) for fault in self.faults],
        }


def requirements(root: Path = ROOT) -> tuple[list[Clause], list[Fault]]:
    """All requirements of the documents under `root`, and what is wrong with the documents themselves."""
    rdt = read_rdt((root / "docs" / "rdt.md").read_text(encoding="utf-8"))
    faults = [Fault("unnumbered", f"requires something without a number: {line}") for line in rdt.unnumbered]
    times = Counter(clause.name for clause in rdt.clauses)
    faults += [Fault("twice", f"docs/rdt.md has [{name}] {count} times") for name, count in times.items() if count > 1]
    return rdt.clauses + read_rfcs(root / "docs" / "rfc_clauses.toml"), faults


def needs_test(clause: Clause) -> bool:
    """Ours: what MUST be. Others': whatever we say that we follow, since we chose to list it."""
    return rank(clause.level) == "MUST" if clause.document == RDT else not clause.not_followed


def examine(clauses: Sequence[Clause], claims: Sequence[Claim]) -> Report:
    """Put the claims to the clauses that they name.

    A claim may name a section instead. If that has one clause only, it is meant; if it has several, the claim holds
    none of them, for nobody can tell which, and the test is only mentioned where one of them lacks a test.
    """
    tests: dict[Clause, list[str]] = {clause: [] for clause in clauses}
    vague: dict[Clause, list[str]] = defaultdict(list)
    faults = []
    for claim in claims:
        named = _named(clauses, claim)
        if fault := _fault(named, claim):
            faults.append(Fault("unknown", f"{claim.test}: {fault}"))
        elif claim.shown:
            for clause in named:
                (tests if len(named) == 1 else vague)[clause].append(claim.test)
    for clause, names in tests.items():
        if needs_test(clause) and not names:
            near = f" (only its section is named, by {_some(vague[clause])})" if clause in vague else ""
            faults.append(Fault("untested", f"{clause.label} ({clause.level}) has no test: {clause.says[:90]}{near}"))
    return Report(list(tests.items()), faults)


def _some(names: Sequence[str]) -> str:
    """The first three of `names`, and how many there are besides."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _named(clauses: Sequence[Clause], claim: Claim) -> list[Clause]:
    """The clause that a claim names, or those of the section that it names, but for what is not followed."""
    same = [clause for clause in clauses if clause.document == claim.document]
    if exact := [clause for clause in same if clause.name == claim.name]:
        return exact
    section = [clause for clause in same if clause.section == claim.name]
    return [clause for clause in section if not clause.not_followed] or section[:1]


def _fault(named: Sequence[Clause], claim: Claim) -> str:
    """What is wrong with a claim that means `named`; empty if nothing is."""
    if not named:
        where = "docs/rdt.md" if claim.document == RDT else f"docs/rfc_clauses.toml under {claim.document!r}"
        return f"{claim.name or 'its marker'!r} is no clause of {where}"
    if named[0].not_followed:
        return f"{named[0].label} is not followed ({named[0].not_followed}), so no test can hold it"
    return ""
