"""The faults that the suite is shown to find, by mechanism.

Each breaks what its mechanism is for, in the smallest way that still runs: a condition turned round, a bound off by
one, an update left out. One that no test can tell from the original (an equal program) has no place here.
"""

from __future__ import annotations

from mutation import (
    catalogue_closing,
    catalogue_congestion,
    catalogue_opening,
    catalogue_receiving,
    catalogue_recovery,
    catalogue_sending,
)

__all__ = ["MUTANTS"]

MUTANTS = (
    *catalogue_opening.MUTANTS,
    *catalogue_receiving.MUTANTS,
    *catalogue_sending.MUTANTS,
    *catalogue_recovery.MUTANTS,
    *catalogue_congestion.MUTANTS,
    *catalogue_closing.MUTANTS,
)
