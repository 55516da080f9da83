"""One deliberate fault: which text of which file becomes which other one, and which tests should turn red."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mutant", "StaleError", "mutated"]


class StaleError(Exception):
    """A mutant that no longer fits the tree; the message says why."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault, and the tests that must find it. Paths are from the root of the tree."""

    name: str
    mechanism: str
    """The switch in `Config` that turns the broken part off, or another short name for what has none."""
    file: str
    old: str
    """Stands in the file exactly once, whitespace included."""
    new: str
    tests: tuple[str, ...]
    """Files of tests, each run from its beginning until one test fails."""


def mutated(mutant: Mutant, root: Path) -> str:
    """Give the file's text with the fault in it. Raises StaleError if the mutant does not fit the tree at `root`."""
    path = root / mutant.file
    if not path.is_file():
        raise StaleError(f"there is no {mutant.file}")
    if missing := [test for test in mutant.tests if not (root / test.partition("::")[0]).is_file()]:
        raise StaleError(f"there is no {missing[0]}")
    if not mutant.tests:
        raise StaleError("it names no tests")
    before = path.read_text(encoding="utf-8")
    if (count := before.count(mutant.old)) != 1:
        raise StaleError(f"its text stands {count} times in {mutant.file}, not once")
    after = before.replace(mutant.old, mutant.new)
    try:
        compile(after, mutant.file, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise StaleError(f"with it, {mutant.file} can't be compiled: {error}") from None
    if ast.dump(ast.parse(before)) == ast.dump(ast.parse(after)):
        raise StaleError(f"with it, {mutant.file} does what it did before")
    return after
