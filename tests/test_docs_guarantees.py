"""docs/guarantees.md against the code: its guarantees are the checker's, and its table what theory says of each row."""

from __future__ import annotations

import re
from pathlib import Path

from rawproto.study.checker import GUARANTEES
from rawproto.study.lab.mechanisms import MECHANISMS

PAGE = (Path(__file__).parent.parent / "docs" / "guarantees.md").read_text(encoding="utf-8")


def test_the_page_defines_the_guarantees_that_the_checker_judges() -> None:
    section = PAGE.split("## The guarantees")[1].split("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == GUARANTEES


def test_the_page_says_of_each_mechanism_what_theory_predicts() -> None:
    table = PAGE.split("<!-- mechanisms -->")[1].split("<!-- /mechanisms -->")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{name}` | {', '.join(f'`{guarantee}` {most}' for guarantee, most in mechanism.breaks.items())} "
        f"| {mechanism.clause} |"
        for name, mechanism in MECHANISMS.items()
        if mechanism.breaks
    ]
