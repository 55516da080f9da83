"""The README's examples do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_connection_without_root() -> None:
    done = run(BLOCKS[0])
    assert (done.stdout, done.stderr) == ("b'hello' from 10.0.0.1\n", "")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")
def test_wrong_frame_as_root() -> None:
    done = run(BLOCKS[1])
    assert done.stderr == ""
    assert "checksum UDP: bad" in done.stdout
    assert "checksum IPv4: ok" in done.stdout


def test_replay_and_its_failure() -> None:
    done = run(BLOCKS[2])
    assert "line 4, in <module>" in done.stderr  # the first one passed
    assert "ReplayMismatchError: pcaps/fast_retransmit.pcapng: step" in done.stderr


def test_nothing_is_left_to_be_filled_in() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        assert "@@" not in path.read_text(), path


def test_import_is_lazy() -> None:
    code = "import sys, rawproto; print(sorted(m for m in sys.modules if m.startswith('rawproto')))"
    assert run(code).stdout == "['rawproto']\n"


def test_every_public_name_can_be_had() -> None:
    done = run("import rawproto\nfor name in rawproto.__all__: getattr(rawproto, name)")
    assert done.stderr == ""


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert (
        "AttributeError: module 'rawproto' has no attribute 'nothing'"
        in run("import rawproto; rawproto.nothing").stderr
    )
