"""How the catalogue of seeded bugs writes one: what is wrong, and which text of the engine becomes which other one."""

from __future__ import annotations

from dataclasses import dataclass

from mutation.mutant import Mutant

__all__ = ["LOUD", "Bug", "bug"]

TESTS = ("tests/test_seeded_bugs.py",)
LOUD = ("raised", "endless")
"""What is no guarantee, and no work of the checker: the engine raised, or a run came to no end."""


@dataclass(frozen=True, slots=True)
class Bug:
    """A fault of the transport that an application or the network can notice."""

    mutant: Mutant
    text: str
    """What the engine does wrong, in a line."""

    @property
    def name(self) -> str:
        """As the mutant's."""
        return self.mutant.name


def bug(name: str, module: str, old: str, new: str, text: str) -> Bug:
    """A bug in rawproto/transport/`module`.py, where `old` stands exactly once."""
    return Bug(Mutant(name, "seeded", f"rawproto/transport/{module}.py", old, new, TESTS), text)
