"""The corpus: one archive a target, so that the repository does not fill with thousands of small files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

__all__ = ["DIRECTORY", "MOST_BYTES", "MOST_INPUTS", "load", "save"]

DIRECTORY = Path(__file__).parents[2] / "tests" / "corpus"
MOST_INPUTS, MOST_BYTES = 1500, 240_000
"""What is kept of a target: the smallest inputs first."""
EPOCH = (1980, 1, 1, 0, 0, 0)


def load(target: str) -> list[bytes]:
    """The inputs that are kept for a target; none if there is no archive."""
    path = DIRECTORY / f"{target}.zip"
    if not path.exists():
        return []
    with ZipFile(path) as archive:
        return [archive.read(name) for name in sorted(archive.namelist())]


def save(target: str, inputs: Iterable[bytes]) -> tuple[int, int]:
    """Keep the smallest of them; how many inputs and bytes that were. The same inputs give the same archive."""
    kept: list[bytes] = []
    size = 0
    for data in sorted(set(inputs), key=lambda each: (len(each), each)):
        if len(kept) == MOST_INPUTS or size + len(data) > MOST_BYTES:
            break
        kept.append(data)
        size += len(data)
    DIRECTORY.mkdir(exist_ok=True)
    with ZipFile(DIRECTORY / f"{target}.zip", "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for data in sorted(kept, key=name_of):
            archive.writestr(ZipInfo(name_of(data), EPOCH), data, ZIP_DEFLATED)
    return len(kept), size


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
