"""scripts/mutants tells a caught mutant from a surviving one, and its catalogue fits the tree and covers it.

The command itself is tried on a tree of two files; the catalogue's own mutants are run by scripts/mutants alone.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from rawproto.transport.config import Config

ROOT = Path(__file__).parents[1]

MINIMUM = 230
"""How many mutants there are at least."""
EVERY_SWITCH_HAS_A_MUTANT = True
SWITCHES = {field.name for field in fields(Config) if type(field.default) is bool} | {"checksum", "congestion_control"}

HALVES = """
def half(number):
    return number // 2

def low(number):
    return min(number, 9)
"""
TESTS = """
from rawproto.halves import half

def test_half():
    assert half(8) == 4
"""
BROKEN = "import rawproto.nothing\n"


@pytest.fixture(scope="module")
def mutation() -> ModuleType:
    """The package of scripts/mutants."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        package = import_module("mutation")
        for name in ("catalogue", "main", "mutant", "run"):
            import_module(f"mutation.{name}")
        return package
    finally:
        sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package of the same name with two functions, one of which is tested."""
    for path, text in (
        ("rawproto/__init__.py", ""),
        ("rawproto/halves.py", HALVES),
        ("tests/test_halves.py", TESTS),
        ("tests/test_broken.py", BROKEN),
        ("tests/test_empty.py", ""),
        ("pyproject.toml", "[tool.pytest.ini_options]\n"),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def run(
    mutation: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, tests: str
) -> tuple[int, dict[str, str]]:
    """Status of the command for one mutant, and what it says of it."""
    mutant = mutation.mutant.Mutant("one", "none", "rawproto/halves.py", old, new, (f"tests/{tests}.py",))
    status = mutation.main.main(["--json"], [mutant], tree)
    return status, json.loads(capsys.readouterr().out)["mutants"][0]


def test_a_mutant_that_a_test_sees_is_caught(
    mutation: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, about = run(mutation, tree, capsys, "number // 2", "number // 3", "test_halves")
    assert (status, about["verdict"], about["why"]) == (0, "caught", "tests/test_halves.py::test_half")
    assert (tree / "rawproto" / "halves.py").read_text() == HALVES


def test_a_mutant_that_no_test_sees_is_a_failure(
    mutation: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, about = run(mutation, tree, capsys, "min(number, 9)", "max(number, 9)", "test_halves")
    assert (status, about["verdict"]) == (1, "survived")


def test_a_mutant_that_hangs_a_test_is_caught(
    mutation: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mutant = mutation.mutant.Mutant(
        "hang", "none", "rawproto/halves.py", "return number // 2", "while True: pass", ("tests/test_halves.py",)
    )
    assert mutation.main.main(["--timeout", "1"], [mutant], tree) == 0
    assert "hang (none): caught by tests/test_halves.py::test_half\n1 of 1 caught\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "tests", "why"),
    [
        ("number", "figure", "test_halves", "stale: its text stands 4 times in rawproto/halves.py, not once"),
        ("third", "half", "test_halves", "stale: its text stands 0 times in rawproto/halves.py, not once"),
        ("number // 2", "number //", "test_halves", "stale: with it, rawproto/halves.py can't be compiled"),
        ("number // 2", "(number // 2)", "test_halves", "stale: with it, rawproto/halves.py does what it did before"),
        ("number // 2", "0", "test_gone", "stale: there is no tests/test_gone.py"),
        ("number // 2", "0", "test_broken", "without it, its tests don't pass: the run was interrupted"),
        ("number // 2", "0", "test_empty", "without it, its tests don't pass: no tests were found"),
        ("def half(", "def halve(", "test_halves", "the run was interrupted, as when tests can't be collected"),
    ],
)
def test_what_can_not_be_judged_is_an_error_and_no_catch(
    mutation: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, tests: str, why: str
) -> None:
    status, about = run(mutation, tree, capsys, old, new, tests)
    assert (status, about["verdict"]) == (1, "error")
    assert about["why"].startswith(why)


def test_a_name_that_no_mutant_has_is_refused(mutation: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        mutation.main.main(["no-such-mutant"])
    assert refused.value.code == 2
    assert "no mutant is called 'no-such-mutant'" in capsys.readouterr().err


def test_every_mutant_fits_the_tree(mutation: ModuleType) -> None:
    for mutant in mutation.catalogue.MUTANTS:
        mutation.mutant.mutated(mutant, ROOT)


def test_names_are_unique_and_enough(mutation: ModuleType) -> None:
    names = [mutant.name for mutant in mutation.catalogue.MUTANTS]
    assert len(set(names)) == len(names) >= MINIMUM


def test_every_switch_of_the_transport_has_a_mutant(mutation: ModuleType) -> None:
    without = SWITCHES - {mutant.mechanism for mutant in mutation.catalogue.MUTANTS}
    assert (not without) is EVERY_SWITCH_HAS_A_MUTANT, f"without a mutant: {', '.join(sorted(without)) or 'none'}"
