"""Plays the schedules with a bug in the engine or without, each in a process with a tree of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutation.mutant import StaleError, mutated
from mutation.run import Runner
from mutation.seeded_base import Bug

__all__ = ["Hunter", "Outcome"]

COPIED = ("rawproto", "scripts/mutation", "tests/test_seeded_bugs.py")
WORKER = "scripts/mutation/seeded_worker.py"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the checker said of a bug, or, with None, of the engine as it is."""

    bug: Bug | None
    guarantee: str = ""
    """The first one that was broken, one of `LOUD`, or nothing."""
    text: str = ""
    schedules: int = 0
    """How many were played."""
    scenario: str = ""
    events: tuple[dict[str, Any], ...] = field(default=())
    """The shortest schedule of that scenario that shows it."""
    error: str = ""
    """Why nothing can be said."""

    @property
    def caught(self) -> bool:
        """The bug was noticed."""
        return bool(self.guarantee)

    @property
    def by(self) -> str:
        """Who noticed it."""
        return {"raised": "an exception", "endless": "a run without end"}.get(self.guarantee, self.guarantee)


@dataclass
class Hunter(Runner):
    """Judges bugs of the tree at `root`, which is copied once: what changes there meanwhile makes no difference."""

    schedules: int = 600

    @contextlib.contextmanager
    def frozen(self) -> Iterator[Hunter]:
        """A hunter of the tree as it is now."""
        with self._copy() as tree:
            yield Hunter(tree, self.timeout_s, schedules=self.schedules)

    def hunt(self, bug: Bug | None) -> Outcome:
        """Play the schedules until the checker sees `bug`; all of them without one."""
        with self._copy() as tree:
            if bug is not None:
                try:
                    text = mutated(bug.mutant, tree)
                except StaleError as error:
                    return Outcome(bug, error=f"stale: {error}")
                path = tree / bug.mutant.file
                path.write_text(text, encoding="utf-8")
                for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
                    compiled.unlink()
            status, said = self._execute(tree, [WORKER, str(self.schedules)], self.timeout_s)
            last = said.strip().splitlines()[-1:] or ["nothing was said"]
            if status != 0:
                return Outcome(bug, error=f"the process ended with status {status}: {last[0]}")
            told = json.loads(last[0])
            if Path(told.pop("engine")) != tree / "rawproto" / "__init__.py":
                return Outcome(bug, error="the copy is not what is imported")
        told["events"] = tuple(told["events"])
        return Outcome(bug, **told)

    @contextlib.contextmanager
    def _copy(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="rawproto-bug-") as work:
            tree = Path(work).resolve() / "tree"
            for name in COPIED:
                source = self.root / name
                if source.is_dir():
                    shutil.copytree(source, tree / name, symlinks=True)
                elif source.exists():
                    (tree / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, tree / name)
            yield tree
