"""How the parts of the catalogue write a fault of the transport: by the module's name and those of its tests."""

from __future__ import annotations

from mutation.mutant import Mutant

__all__ = ["fault"]


def fault(name: str, mechanism: str, module: str, old: str, new: str, *tests: str) -> Mutant:
    """A mutant of rawproto/transport/`module`.py that tests/transport/test_transport_`tests`.py must find."""
    files = tuple(f"tests/transport/test_transport_{test}.py" for test in tests)
    return Mutant(name, mechanism, f"rawproto/transport/{module}.py", old, new, files)
