"""What docs/rdt.md requires has a test, so has every clause of an RFC that we follow, and no test names anything else.

This is scripts/clauses, with the tests of the running session if that has all of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

EVERY_CLAUSE_HAS_A_TEST = True
"""A test below is red if this does not say how things are."""

RULES = """
# A protocol

## 1 Words

The key words MUST and MAY are to be read as BCP 14 says. Nobody MUST read this as a requirement.

## 2 Sending

### 2.1 Text

- [2.1-1] A sender MUST set it, and MAY set
  the other one too.

  It goes on behind a blank line, MUST NOT or not.
- [2.1-2] It SHOULD. RFC 9293 has MUST-23.
1. It MUST not go without a number here.

| it MUST | not count in a table |
|---|---|

- [2.1-3]: says a list of faults, and is no statement.
- [2.1-4] Nothing is asked for: 'a host MUST NOT', says another. So does "one MUST"; see `MUST`.

```text
MUST is not read in a figure
```

A lone paragraph that a receiver
MUST NOT overlook.
"""
LISTED = """
[9293]
title = "TCP"
[9293.MUST-2]
section = "3.1"
level = "MUST"
part = "checksum"
says = "the sender sets the checksum"
[9293.MUST-30]
section = "3.8.5"
level = "MUST"
part = "urgent data"
says = "there is an urgent pointer"
not_followed = "RDT has none"
[6298]
[6298."2.1"]
level = "SHOULD"
part = "timer"
says = "one second at first"
[6298."5-1"]
level = "TEXT"
part = "timer"
says = "started when data is sent"
[6298."5-2"]
level = "TEXT"
part = "timer"
says = "stopped when all is acknowledged"
"""
MARKED = """
import pytest

@pytest.mark.rdt("2.1-1", "2.1-2")
@pytest.mark.rfc(6298, "5-1")
@pytest.mark.parametrize("value", [1, pytest.param(2, marks=pytest.mark.rfc(9293, "MUST-2"))])
def test_some(value): ...

@pytest.mark.skip
@pytest.mark.rdt("2.1-4")
def test_not_run(): ...
"""


@pytest.fixture(scope="module")
def conformance() -> ModuleType:
    """The package of scripts/clauses."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        package = import_module("conformance")
        for name in ("check", "clauses", "main", "marks"):
            import_module(f"conformance.{name}")
        return package
    finally:
        sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture
def listed(conformance: ModuleType, tmp_path: Path) -> list[Any]:
    """The clauses of RULES and LISTED."""
    (tmp_path / "rfcs.toml").write_text(LISTED)
    return [*conformance.clauses.read_rdt(RULES).clauses, *conformance.clauses.read_rfcs(tmp_path / "rfcs.toml")]


@pytest.fixture(scope="module")
def report(conformance: ModuleType, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What scripts/clauses says of this tree: of this session's tests, or of all, if the session has only some."""
    if conformance.marks.is_whole(request.session):
        clauses, wrong = conformance.check.requirements()
        found = conformance.check.examine(clauses, conformance.marks.claims_of(request.session.items)).as_json()
        found["faults"] += [{"kind": fault.kind, "text": fault.text} for fault in wrong]
        return found
    command = [sys.executable, str(ROOT / "scripts" / "conformance" / "main.py"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, cwd=ROOT)
    assert done.returncode in {0, 1}, done.stderr
    return json.loads(done.stdout)


def test_documents_and_markers_agree(report: dict[str, Any]) -> None:
    assert [fault["text"] for fault in report["faults"] if fault["kind"] != "untested"] == []


def test_every_requirement_has_a_test(report: dict[str, Any]) -> None:
    untested = [fault["text"] for fault in report["faults"] if fault["kind"] == "untested"]
    assert (not untested) is EVERY_CLAUSE_HAS_A_TEST, f"{len(untested)} clauses: " + "\n".join(untested)


def test_statements_are_read_with_their_level(conformance: ModuleType) -> None:
    found = conformance.clauses.read_rdt(RULES)
    assert [(clause.name, clause.level) for clause in found.clauses] == [
        ("2.1-1", "MUST"),
        ("2.1-2", "SHOULD"),
        ("2.1-4", "TEXT"),
    ]
    first = "A sender MUST set it, and MAY set the other one too. It goes on behind a blank line, MUST NOT or not."
    assert (found.clauses[0].says, found.clauses[0].section) == (first, "2.1")


def test_a_requirement_without_a_number_is_found(conformance: ModuleType) -> None:
    assert conformance.clauses.read_rdt(RULES).unnumbered == [
        "docs/rdt.md line 17: 1. It MUST not go without a number here.",
        "docs/rdt.md line 29: A lone paragraph that a receiver MUST NOT overlook.",
    ]


def test_a_number_that_comes_twice_is_found(conformance: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rdt.md").write_text("## 4 X\n\n- [4-1] It MUST.\n- [4-1] It MUST NOT.\n")
    (tmp_path / "docs" / "rfc_clauses.toml").write_text(LISTED)
    _, faults = conformance.check.requirements(tmp_path)
    assert [fault.text for fault in faults] == ["docs/rdt.md has [4-1] 2 times"]


def test_what_has_no_test_is_found(conformance: ModuleType, listed: list[Any]) -> None:
    faults = conformance.check.examine(listed, []).faults
    named = {fault.text.partition(" has no test")[0] for fault in faults}
    assert {fault.kind for fault in faults} == {"untested"}
    assert named == {
        "rdt [2.1-1] (MUST)",
        "RFC 9293 MUST-2 (MUST)",
        "RFC 6298 §2.1 (SHOULD)",
        "RFC 6298 §5-1 (TEXT)",
        "RFC 6298 §5-2 (TEXT)",
    }


@pytest.mark.parametrize(
    ("document", "name", "why"),
    [
        ("rdt", "2.1-9", "'2.1-9' is no clause of docs/rdt.md"),
        ("rdt", "", "'its marker' is no clause of docs/rdt.md"),
        ("9293", "MUST-99", "'MUST-99' is no clause of docs/rfc_clauses.toml under '9293'"),
        ("6298", "6", "'6' is no clause of docs/rfc_clauses.toml under '6298'"),
        ("9293", "MUST-30", "RFC 9293 MUST-30 is not followed (RDT has none), so no test can hold it"),
    ],
)
def test_a_marker_that_names_no_clause_is_found(
    conformance: ModuleType, listed: list[Any], document: str, name: str, why: str
) -> None:
    faults = conformance.check.examine(listed, [conformance.marks.Claim("tests/x.py::test", document, name)]).faults
    assert [fault.text for fault in faults if fault.kind == "unknown"] == [f"tests/x.py::test: {why}"]


def test_a_section_with_one_clause_may_be_named_instead(conformance: ModuleType, listed: list[Any]) -> None:
    found = conformance.check.examine(listed, [conformance.marks.Claim("tests/x.py::test", "9293", "3.1")])
    assert [(clause.name, tests) for clause, tests in found.rows if tests] == [("MUST-2", ["tests/x.py::test"])]


def test_a_section_with_several_clauses_holds_none_of_them(conformance: ModuleType, listed: list[Any]) -> None:
    found = conformance.check.examine(listed, [conformance.marks.Claim("tests/x.py::test", "6298", "5")])
    assert [tests for _, tests in found.rows if tests] == []
    named = [fault.text for fault in found.faults if fault.text.startswith("RFC 6298 §5")]
    assert len(named) == 2
    assert all(text.endswith(" (only its section is named, by tests/x.py::test)") for text in named)


def test_markers_are_collected_and_parameters_folded(conformance: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_marked.py").write_text(MARKED)
    (tmp_path / "tests" / "test_broken.py").write_text("import rawproto.nothing\n")
    code = f"""
import json, pathlib, sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
from conformance.marks import claims_of, collect
found = collect(pathlib.Path({str(tmp_path)!r}))
claims = [[claim.test.rpartition(":")[2], claim.document, claim.name, claim.shown] for claim in claims_of(found.items)]
print(json.dumps([claims, found.errors]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    claims, errors = json.loads(done.stdout)
    assert claims == [
        ["test_not_run", "rdt", "2.1-4", False],
        ["test_some", "6298", "5-1", True],
        ["test_some", "9293", "MUST-2", True],
        ["test_some", "rdt", "2.1-1", True],
        ["test_some", "rdt", "2.1-2", True],
    ]
    assert errors == ["tests/test_broken.py"]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ('level = "MUST"\npart = "x"', "says is missing"),
        ('level = "WILL"\npart = "x"\nsays = "y"', "level is 'WILL'; it must be a key word of BCP 14, or TEXT"),
        ('level = "MUST"\npart = "x"\nsays = "y"\nnot_followed = ""', "not_followed must say why"),
        ('level = "MUST"\npart = "x"\nsays = "y"\nwhy = "z"', "no field is called why"),
    ],
)
def test_an_entry_that_is_not_whole_is_refused(conformance: ModuleType, tmp_path: Path, entry: str, why: str) -> None:
    (tmp_path / "rfcs.toml").write_text(f'[6298."2.1"]\n{entry}\n')
    with pytest.raises(ValueError, match=r"rfcs.toml, .6298\.2\.1.: ") as refused:
        conformance.clauses.read_rfcs(tmp_path / "rfcs.toml")
    assert why in str(refused.value)
