"""The inputs that fuzzing found worth keeping (tests/corpus, made by scripts/fuzz), each put through its target again.

A target raises for nothing that bytes can hold, and holds the short ways of parsing and building against the long ones.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("packet", "capture", "reassembly", "expression")


@pytest.fixture(scope="module")
def fuzzing() -> tuple[ModuleType, ModuleType]:
    """The modules `targets` and `corpus` of scripts/fuzzing."""
    sys.path.insert(0, str(ROOT / "scripts" / "fuzzing"))
    try:
        return import_module("targets"), import_module("corpus")
    finally:
        sys.path.pop(0)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_the_corpus_raises(fuzzing: tuple[ModuleType, ModuleType], name: str) -> None:
    targets, corpus = fuzzing
    inputs = corpus.load(name)
    assert len(inputs) > 50, f"tests/corpus/{name}.zip is missing or nearly empty: run scripts/fuzz"
    for data in inputs:
        try:
            targets.TARGETS[name](data)
        except Exception as error:
            error.add_note(f"{name}: {data.hex()}")
            raise


def test_every_target_has_a_corpus(fuzzing: tuple[ModuleType, ModuleType]) -> None:
    targets, corpus = fuzzing
    assert set(NAMES) == set(targets.TARGETS)
    assert sum(path.stat().st_size for path in corpus.DIRECTORY.iterdir()) < 1_000_000


def test_a_corpus_is_stored_the_same_way_every_time(
    fuzzing: tuple[ModuleType, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, corpus = fuzzing
    monkeypatch.setattr(corpus, "DIRECTORY", tmp_path)
    assert corpus.save("x", [b"one", b"three", b"two", b"one"]) == (3, 11)
    first = (tmp_path / "x.zip").read_bytes()
    assert sorted(corpus.load("x")) == [b"one", b"three", b"two"]
    corpus.save("x", [b"two", b"three", b"one"])
    assert (tmp_path / "x.zip").read_bytes() == first
