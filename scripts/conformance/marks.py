"""Reads which tests claim to hold which requirement, from the markers `rdt` and `rfc`.

The tests are those of a running session, or are collected here. Nothing is run.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conformance.clauses import RDT

__all__ = ["Claim", "Collector", "claims_of", "collect", "is_whole"]

ROOT = Path(__file__).parents[2]
NARROWING = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
"""Options of pytest by which a session has fewer tests than there are."""
NOT_RUN = ("skip", "xfail")
"""A test with one of these shows nothing. `skipif` is another matter: there is a machine that runs it."""


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """A test function says that it holds a requirement."""

    test: str
    document: str
    name: str
    """Empty if the marker names a document and nothing in it."""
    shown: bool = True
    """Whether any of the function's tests is run at all."""


@dataclass(eq=False)  # pytest keeps its plugins in sets
class Collector:
    """A plugin of pytest that keeps what was collected, and what could not be."""

    items: list[pytest.Item] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(report.nodeid or "tests")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = list(session.items)


def collect(root: Path = ROOT) -> Collector:
    """Collect the tests under `root` in this process, with its pyproject.toml; its conftest.py files are imported."""
    collector = Collector()
    arguments = [
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(root / "pyproject.toml"),
        str(root / "tests"),
    ]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = pytest.main(arguments, plugins=[collector])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and not collector.errors:
        collector.errors.append(" / ".join(said.getvalue().split("\n"))[-300:] or f"pytest ended with {status}")
    return collector


def claims_of(items: Iterable[pytest.Item]) -> list[Claim]:
    """The claims of all `items`, each function's parameters folded into one."""
    shown: dict[tuple[str, str, str], bool] = {}
    for item in items:
        test = item.nodeid.partition("[")[0]
        runs = not any(item.get_closest_marker(name) for name in NOT_RUN)
        pairs = [(RDT, str(name)) for mark in item.iter_markers("rdt") for name in mark.args or [""]]
        for mark in item.iter_markers("rfc"):
            document, *names = mark.args or [""]
            pairs += [(str(document), str(name)) for name in names or [""]]
        for document, name in pairs:
            shown[test, document, name] = shown.get((test, document, name), False) or runs
    return sorted(Claim(*key, runs) for key, runs in shown.items())


def is_whole(session: pytest.Session, root: Path = ROOT) -> bool:
    """Whether the session has every test that there is, none left out by a path or an option."""
    config = session.config
    paths = {(config.invocation_params.dir / argument).resolve() for argument in config.args}
    narrowed = [name for name in NARROWING if getattr(config.option, name, None)]
    return not narrowed and not session.testsfailed and bool(paths & {root, root / "tests"})
