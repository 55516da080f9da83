"""Bugs that the checker is shown to find: what stacks have really got wrong, one small change of the engine each.

Unlike the faults of `catalogue`, which break what a mechanism is for and are found by a test of just that, each of
these breaks a guarantee, and must be found by playing schedules and looking on from outside. What costs speed alone
has no place here.
"""

from __future__ import annotations

from mutation import seeded_connections, seeded_receiving, seeded_sending

__all__ = ["BUGS"]

BUGS = (*seeded_receiving.BUGS, *seeded_sending.BUGS, *seeded_connections.BUGS)
