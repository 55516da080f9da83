"""The command behind scripts/fingerprints: plays the example scenarios, and tells which come out in another way."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rawproto.sim.scenario_toml import load_file
from rawproto.sim.world import run_scenario

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "docs" / "scenarios"
GOLDEN = ROOT / "tests" / "golden" / "fingerprints.toml"
SEED = 1
HEAD = f"""\
# Fingerprints of the scenarios in docs/scenarios, seed {SEED}: scripts/fingerprints makes, checks and writes this file.
# Every Python that runs the tests must come to the same. Why it was written, each time:
"""
REASON = "# - "


def play() -> dict[str, str]:
    """The fingerprint of each scenario, by its file's name."""
    return {path.stem: run_scenario(load_file(path), SEED).fingerprint() for path in sorted(SCENARIOS.glob("*.toml"))}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What differs, a line each."""
    return [
        f"{name}: {before.get(name, 'none')} -> {after.get(name, 'none')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def render(reasons: Sequence[str], fingerprints: Mapping[str, str]) -> str:
    """The file."""
    rows = [f'{name} = "{fingerprint}"' for name, fingerprint in fingerprints.items()]
    return HEAD + "\n".join([*(REASON + reason for reason in reasons), "", *rows, ""])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/fingerprints", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="list the scenarios that changed; status 1 if any did")
    what.add_argument("--write", metavar="WHY", help="write the file, with the reason why they changed")
    options = parser.parse_args(argv)
    if options.write is not None and not options.write.strip():
        parser.error("--write wants the reason why the fingerprints changed")
    text = GOLDEN.read_text(encoding="utf-8") if GOLDEN.exists() else ""
    before, after = tomllib.loads(text), play()
    changed = changes(before, after)
    if options.check or options.write is not None:
        print("\n".join([*changed, f"{len(changed)} of {len(after)} fingerprints differ from {GOLDEN.name}"]))
    else:
        print("\n".join(f"{name} {fingerprint}" for name, fingerprint in after.items()))
    if options.write is not None and changed:
        reasons = [line.removeprefix(REASON) for line in text.splitlines() if line.startswith(REASON)]
        reasons.append(f"{len(changed)} of {len(after)}: {' '.join(options.write.split())}")
        GOLDEN.write_text(render(reasons, after), encoding="utf-8")
        print(f"{GOLDEN} written")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
