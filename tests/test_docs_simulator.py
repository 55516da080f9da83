"""docs/simulator.md against the code: every key with its default, every event with its fields, every example."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from rawproto.link.forgery import FORGERIES
from rawproto.link.impairment import Impairment
from rawproto.link.script import KINDS, Event
from rawproto.sim.scenario import Party, Road, Scenario, Talk, parse_step
from rawproto.sim.scenario_toml import TABLES, load
from rawproto.study.checker import GUARANTEES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
KEYS = {
    "top": ("", (Scenario,)),
    "road": ("[road]", (Road, Impairment)),
    "connection": ("[[connection]]", (Talk,)),
    "party": ("client, server", (Party,)),
    "event": ("[[event]]", (Event,)),
}


def table(mark: str) -> list[list[str]]:
    """The rows of the table behind `mark`, without its head."""
    _, *rest = TEXT.split(f"<!-- {mark} -->\n")
    assert len(rest) == 1, f"docs/simulator.md has {len(rest)} marks <!-- {mark} -->"
    lines = re.match(r"(?:\|.*\n)+", rest[0])
    assert lines, f"no table follows <!-- {mark} -->"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()][2:]


def default(cell: str) -> Any:
    """What the last column says, as TOML reads it; MISSING and None have words of their own."""
    words = {"must be given": MISSING, "no limit": None}
    return words[cell] if cell in words else tomllib.loads(f"x = {cell.strip('`')}")["x"]


@pytest.mark.parametrize("mark", KEYS)
def test_every_key_is_told_with_its_default(mark: str) -> None:
    place, kinds = KEYS[mark]
    rows = {row[0].strip("`"): default(row[2]) for row in table(f"keys: {mark}")}
    keys = TABLES[place]
    assert list(rows) == [key.name for key in keys]
    defaults = [(field.name, field.default) for kind in kinds for field in fields(kind)]
    given = [value for name, value in defaults if name in {key.field for key in keys}]
    for key, value in zip(keys, given, strict=True):
        told = rows[key.name]
        assert (told if told in (MISSING, None) else key.kind.read(told)) == value, key.name


def test_every_event_is_told_with_its_keys() -> None:
    names = {key.field: key.name for key in TABLES["[[event]]"]}
    rows = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in table("events")}
    assert rows == {kind: [names[field] for field in used] for kind, used in KINDS.items()}


def test_every_forgery_is_told() -> None:
    assert {row[0].strip("`"): row[1] for row in table("forgeries")} == {
        name: forgery.text for name, forgery in FORGERIES.items()
    }


def test_every_example_is_told() -> None:
    files = sorted(path.name for path in (ROOT / "docs" / "scenarios").iterdir())
    assert [row[0].strip("`") for row in table("examples")] == files
    for name in re.findall(r"docs/scenarios/(\w+\.toml)", TEXT):
        assert name in files


def test_the_scenario_that_is_shown_is_one() -> None:
    block = re.search(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert block
    assert load(block[1]).events == (Event("duplicate", packet=1, for_ns=5_000_000_000),)


def test_the_steps_that_are_told_are_steps() -> None:
    steps = re.search(r"\| step \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT)
    assert steps
    told = [step for row in steps[1].splitlines() for step in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert {parse_step(step.replace("N", "100").replace("M", "7")).verb for step in told} == {
        "send", "await", "wait", "shutdown", "abort", "read",
    }  # fmt: skip


def test_the_number_of_guarantees_is_right() -> None:
    assert len(GUARANTEES) == 12
    assert "twelve guarantees" in TEXT
