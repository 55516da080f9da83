"""The rules of the house, held by looking at the source: what the pure layers may not touch, and who imports whom."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rawproto

ROOT = Path(rawproto.__file__).parent
FORBIDDEN = {"time", "datetime", "secrets", "uuid", "socket", "asyncio", "threading", "os", "logging"}
GENERATORS = {"Random", "SystemRandom"}
"""Of `random`, only classes: whoever makes one says where its numbers come from."""
CLOCKS_AND_CHANCE = {"time", "datetime", "random", "secrets", "uuid", "os"}
GUARD = ROOT / "sim" / "guard.py"
"""Puts stand-ins into the modules that have a real clock or real chance, and asks none of them itself."""
SIMULATED = sorted(path for path in (ROOT / "sim").rglob("*.py") if path != GUARD)
PURE = sorted(path for layer in ("wire", "transport") for path in (ROOT / layer).rglob("*.py"))


def faults(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
            names = [f"random.{node.attr}"]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "__import__":
            names = ["__import__."]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top in FORBIDDEN or top == "__import__" or (top == "random" and rest and rest not in GENERATORS):
                found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pure_module_touches_neither_clock_nor_kernel_nor_chance(path: Path) -> None:
    assert faults(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from socket import AF_INET",
        "def f():\n    import logging",
        "from random import randrange",
        "import random\nrandom.random()",
        "__import__('time')",
    ],
)
def test_the_check_finds_what_it_looks_for(source: str) -> None:
    assert len(faults(ast.parse(source))) == 1


def unseeded(tree: ast.AST) -> list[int]:
    """Where a generator is made that begins wherever the machine wants."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and not node.args]
    return [call.lineno for call in calls if ast.unparse(call.func) in {"Random", "random.Random"}]


@pytest.mark.parametrize("path", SIMULATED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_simulation_touches_neither_clock_nor_chance(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert [fault for fault in faults(tree) if not fault.endswith(": os")] == []  # for PathLike
    assert unseeded(tree) == []


def test_the_guard_of_a_simulation_asks_no_clock_that_it_guards() -> None:
    calls = [node.func for node in ast.walk(ast.parse(GUARD.read_text())) if isinstance(node, ast.Call)]
    names = {ast.unparse(call) for call in calls}
    assert [name for name in names if name.partition(".")[0] in CLOCKS_AND_CHANCE and "." in name] == []
    assert "get_ident" in names


def test_a_generator_without_a_seed_is_found() -> None:
    assert unseeded(ast.parse("import random\nrandom.Random(7)\nrandom.Random()")) == [3]


def test_the_check_allows_an_injected_generator() -> None:
    assert faults(ast.parse("import random\nfrom random import Random\ndef f(rng: random.Random): rng.random()")) == []


def test_the_layers_import_only_downwards() -> None:
    linter = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    assert linter is not None, "import-linter is not installed: it is in the dev group of pyproject.toml"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
