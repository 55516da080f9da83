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
FORBIDDEN = {"time", "socket", "asyncio", "threading", "os", "logging"}
GENERATORS = {"Random", "SystemRandom"}
"""Of `random`, only classes: whoever makes one says where its numbers come from."""
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


def test_the_check_allows_an_injected_generator() -> None:
    assert faults(ast.parse("import random\nfrom random import Random\ndef f(rng: random.Random): rng.random()")) == []


def test_the_layers_import_only_downwards() -> None:
    linter = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    assert linter is not None, "import-linter is not installed: it is in the dev group of pyproject.toml"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
