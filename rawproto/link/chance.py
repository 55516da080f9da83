"""Chance that can be repeated: one generator for each thing that draws, derived from the seed by the thing's name.

Each has a stream of its own, so a fault that is switched on, or a host that is added, does not shift what all the
others draw. Python's `hash()` plays no part: it differs from run to run.
"""

from __future__ import annotations

import random
from hashlib import blake2b

__all__ = ["derive_rng"]


def derive_rng(seed: int | str, *names: str) -> random.Random:
    """A generator for what `names` lead to, such as `derive_rng(7, "a->b", "loss")`.

    The same arguments give the same numbers in every process and on every machine.
    """
    # Each part carries its length, or ("ab", "c") and ("a", "bc") would be one.
    parts = (part.encode() for part in (str(seed), *names))
    digest = blake2b(b"".join(len(part).to_bytes(4) + part for part in parts), digest_size=32).digest()
    return random.Random(int.from_bytes(digest))
