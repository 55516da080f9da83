"""Fuzzes one target with atheris: `one.py TARGET FINDINGS SELF LIBFUZZER-ARGUMENTS...`.

SELF is a program that runs this one with the same target and findings: what libFuzzer starts when it merges.

An exception does not end the run: the first input for each place that raises is kept in the directory FINDINGS, with
the traceback beside it.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rawproto", "targets"]):
    import targets


def place_of(error: BaseException) -> str:
    """Where it was raised, so that one fault is kept once: the last lines of ours that led there."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = "|".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return hashlib.sha256(f"{type(error).__name__}|{where}".encode()).hexdigest()[:12]


def keeping(target: Callable[[bytes], None], findings: Path) -> Callable[[bytes], None]:
    """The target, with what it raises written down instead."""

    def run(data: bytes) -> None:
        try:
            target(data)
        except Exception as error:
            kept = findings / place_of(error)
            if not kept.exists() or len(data) < kept.stat().st_size:
                kept.write_bytes(data)
                kept.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))

    return run


def main() -> None:
    name, findings, *arguments = sys.argv[1:]
    warnings.simplefilter("ignore")
    atheris.Setup(arguments, keeping(targets.QUICK[name], Path(findings)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
