"""Runs tests in a copy of the tree, with a fault in it or without.

The tree itself is never touched. Each run has a copy of its own, and only that is imported: a run without a fault comes
first and says so if another `rawproto` is.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mutation.mutant import Mutant, StaleError, mutated

__all__ = ["CAUGHT", "ERROR", "SURVIVED", "Runner", "Verdict"]

CAUGHT, SURVIVED, ERROR = "caught", "SURVIVED", "error"
COPIED = ("rawproto", "tests", "docs", "pcaps", "scripts", "pyproject.toml", "README.md", "LICENSE")
FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
STATUS = {
    2: "the run was interrupted, as when tests can't be collected",
    3: "pytest failed within",
    4: "pytest was called wrongly",
    5: "no tests were found",
}
LONGEST = 10
"""All tests of one run together may take this many times what one test may."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant."""

    mutant: Mutant
    verdict: str
    why: str
    """The test that caught it, or the error."""
    seconds: float


@dataclass
class Runner:
    """Judges mutants of the tree at `root`; may be used by several threads at once."""

    root: Path
    timeout_s: int = 60
    """What one test may take: one that hangs has failed."""
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def baseline(self, tests: tuple[str, ...]) -> str:
        """Run `tests` without a fault; say why they can't judge one, or nothing if they pass."""
        with self._copy() as tree:
            status, said = self._execute(tree, ["-c", "import rawproto; print(rawproto.__file__)"], self.timeout_s)
            if status != 0 or Path(said.strip()) != tree / "rawproto" / "__init__.py":
                return f"the copy is not what is imported: {said.strip()[-200:]}"
            status, said = self._pytest(tree, tests)
        return "" if status == 0 else f"without it, its tests don't pass: {_reason(status, said)}"

    def staleness(self, mutant: Mutant) -> str:
        """Say why `mutant` does not fit the tree, or nothing if it does."""
        try:
            mutated(mutant, self.root)
        except StaleError as error:
            return f"stale: {error}"
        return ""

    def judge(self, mutant: Mutant) -> Verdict:
        """Put the fault in and run its tests."""
        start = time.monotonic()
        with self._copy() as tree:
            try:
                text = mutated(mutant, tree)
            except StaleError as error:  # the tree changes while this runs
                return Verdict(mutant, ERROR, f"stale: {error}", 0.0)
            path = tree / mutant.file
            path.write_text(text, encoding="utf-8")
            for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
                compiled.unlink()
            status, said = self._pytest(tree, mutant.tests)
        verdict = {0: SURVIVED, 1: CAUGHT}.get(status, ERROR)
        return Verdict(mutant, verdict, _reason(status, said), time.monotonic() - start)

    def stop(self) -> None:
        """End what runs, and let nothing begin."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    @contextlib.contextmanager
    def _copy(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="rawproto-mutant-") as work:
            tree = Path(work).resolve() / "tree"
            tree.mkdir()
            for name in COPIED:
                source = self.root / name
                if source.is_dir():
                    shutil.copytree(source, tree / name, symlinks=True)
                elif source.exists():
                    shutil.copy2(source, tree)
            yield tree

    def _pytest(self, tree: Path, tests: tuple[str, ...]) -> tuple[int, str]:
        limit = f"--timeout={self.timeout_s}"
        arguments = ["-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider", limit, *tests]
        return self._execute(tree, arguments, LONGEST * self.timeout_s)

    def _execute(self, tree: Path, arguments: list[str], timeout_s: int) -> tuple[int, str]:
        """Run Python in `tree`; its status and what it said. All that it started is ended with it."""
        said = tree.parent / "said"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment = inherited | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        with said.open("wb") as out, self._lock:
            if self._stopped:
                return ERROR_STOPPED, ""
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=tree, env=environment, stdout=out, stderr=out, process_group=0
            )
            self._running.add(process)
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            status = ERROR_TIMEOUT
        finally:
            _kill(process)
            process.wait()
            with self._lock:
                self._running.discard(process)
        return status, said.read_text(encoding="utf-8", errors="replace")


ERROR_TIMEOUT, ERROR_STOPPED = -1000, -1001


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _reason(status: int, said: str) -> str:
    """What a run of pytest came to, in a line."""
    if status == 0:
        return "all its tests pass"
    failed = FAILED.findall(said)
    if status == 1:
        return failed[0] if failed else "a test that it does not name"
    if status == ERROR_TIMEOUT:
        return "its tests came to no end in time"
    where = failed[0] if failed else next(iter(said.strip().splitlines()[-1:]), "")
    return f"{STATUS.get(status, f'pytest ended with status {status}')}: {where}"
