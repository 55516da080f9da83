"""The examples in docs/raw.md do what they say: they are full of assertions, and each is run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python( root)?\n(.*?)```", (ROOT / "docs/raw.md").read_text(), re.DOTALL)


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_there_are_examples_of_both_kinds() -> None:
    assert {bool(root) for root, _ in BLOCKS} == {True, False}


@pytest.mark.parametrize("code", [code for root, code in BLOCKS if not root])
def test_examples_without_root(code: str) -> None:
    run(code)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")
@pytest.mark.parametrize("code", [code for root, code in BLOCKS if root])
def test_examples_as_root(code: str) -> None:
    run(code)
