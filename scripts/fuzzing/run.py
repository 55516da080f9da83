"""Fuzzes the targets one after the other and keeps the corpus small: `run.py SECONDS [TARGET]`. See scripts/fuzz."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import corpus
import seeds
from targets import TARGETS

SHARES = {"packet": 5, "capture": 2, "reassembly": 2, "expression": 1}
LONGEST = {"packet": 400, "capture": 4000, "reassembly": 1500, "expression": 300}
"""Bytes of an input: longer ones find nothing that these don't, and slow everything."""
FINDINGS = Path(__file__).parents[2] / "out" / "fuzz"
ONE = Path(__file__).with_name("one.py")
PULSE = re.compile(r"cov: (\d+) ft: (\d+)")


def fuzz(target: str, seconds: int, work: Path) -> tuple[int, int, int, str]:
    """Fuzz one target; executions, edges, features, and what libFuzzer ended with if not in peace."""
    inputs, small, found = work / "inputs", work / "small", FINDINGS / target
    for directory in (inputs, small, found):
        directory.mkdir(parents=True, exist_ok=True)
    for data in (*corpus.load(target), *seeds.seeds_of(target)):
        (inputs / corpus.name_of(data)).write_bytes(data)
    words = work / "words"
    words.write_text("".join(f'"{escaped(word)}"\n' for word in seeds.DICTIONARY[target]))
    limits = [f"-max_len={LONGEST[target]}", "-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={found}/"]
    timed = [f"-max_total_time={seconds}", "-print_final_stats=1", f"-dict={words}", *limits]
    itself = work / "itself"
    itself.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(ONE), target, str(found)])} "$0" "$@"\n')
    itself.chmod(0o755)
    told = said_by([str(itself), *timed, str(inputs)])
    said_by([str(itself), "-merge=1", *limits, str(small), str(inputs)])
    corpus.save(target, filter(partial(is_quiet, target), (path.read_bytes() for path in small.iterdir())))
    executions = re.search(r"stat::number_of_executed_units:\s+(\d+)", told)
    pulses = PULSE.findall(told)
    edges, features = pulses[-1] if pulses else (0, 0)
    peaceful = "Done " in told
    return int(executions[1]) if executions else 0, int(edges), int(features), "" if peaceful else told[-800:]


def is_quiet(target: str, data: bytes) -> bool:
    """Whether an input raises nothing: one that does is a finding, and no example of how things should be."""
    try:
        TARGETS[target](data)
    except Exception:
        return False
    return True


def said_by(command: list[str]) -> str:
    """What a run of the fuzzer tells."""
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stderr


def escaped(word: bytes) -> str:
    """As libFuzzer's dictionaries have it."""
    return "".join(f"\\x{byte:02x}" for byte in word)


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    chosen = sys.argv[2:] or list(TARGETS)
    unknown = set(chosen) - set(TARGETS)
    if unknown:
        print(f"fuzz: no target {min(unknown)}: there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    whole = sum(SHARES[target] for target in chosen)
    faults = 0
    for target in chosen:
        with tempfile.TemporaryDirectory() as work:
            share = max(seconds * SHARES[target] // whole, 1)
            executions, edges, features, trouble = fuzz(target, share, Path(work))
        found = sorted(path for path in (FINDINGS / target).iterdir() if path.suffix != ".txt")
        faults += len(found)
        kept = corpus.load(target)
        print(
            f"{target}: {executions} executions in {share} s, {edges} edges, {features} features, "
            f"{len(kept)} inputs kept ({sum(map(len, kept))} bytes), {len(found)} findings",
            flush=True,
        )
        for path in found:
            text = path.with_suffix(".txt")
            last = text.read_text().splitlines()[-1] if text.exists() else "too slow, or too much memory"
            print(f"  {path}: {last}")
        if trouble:
            faults += 1
            print(f"  libFuzzer ended early: {trouble}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
