"""An Outcome as the JSON object that scripts read, and the reasons for a status that is not 0."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from rawproto.study.guarantees import Verdict, fault_counts
from rawproto.study.transfer import Outcome

__all__ = ["as_json", "whole", "why_not"]


def as_json(outcome: Outcome, verdicts: Sequence[Verdict], *, carrier: str, mode: str) -> dict[str, Any]:
    """One object. `bytes` and the digests are those of the file, client to server; counts are of both directions.

    `virtual_time_ns` is the time by the hosts' own clock: virtual in a simulation, real on real interfaces.
    """
    client, server = outcome.client, outcome.server
    discarded = client.discarded + server.discarded
    return {
        "seed": outcome.seed,
        "mode": mode,
        "carrier": carrier,
        "bytes": len(server.received),
        "sha256_sent": sha256(client.sent).hexdigest(),
        "sha256_received": sha256(server.received).hexdigest(),
        "faults": fault_counts(outcome),
        "segments": {
            "sent": client.totals.sent + server.totals.sent,
            "retransmitted": client.totals.retransmitted + server.totals.retransmitted,
            "received": client.totals.received + server.totals.received,
            "discarded": dict(sorted(discarded.items())),
        },
        "guarantees": {verdict.name: verdict.held for verdict in verdicts},
        "stats": {side.name: side.stats for side in (client, server)},
        "virtual_time_ns": outcome.time_ns,
        "wall_time_s": outcome.wall_time_s,
        "captures": [str(side.capture) for side in (client, server) if side.capture is not None],
        "error": error_of(outcome),
    }


def error_of(outcome: Outcome) -> str:
    """Why the transfer failed, in one line; empty if it did not."""
    sides = (outcome.client, outcome.server)
    return "; ".join(f"the {side.name} failed: {side.error}" for side in sides if side.error)


def whole(outcome: Outcome) -> bool:
    """The file arrived as it was sent, and the digest that came back says so too."""
    client, server = outcome.client, outcome.server
    return client.sent == server.received and client.received[-32:] == sha256(client.sent).digest()


def why_not(outcome: Outcome, verdicts: Sequence[Verdict]) -> str:
    """One line that says what went wrong; empty if everything held."""
    error = error_of(outcome)
    if error:
        return error
    broken = [verdict for verdict in verdicts if not verdict.held]
    if broken:
        return "; ".join(f"not {verdict.title.lower()}: {verdict.observed}" for verdict in broken)
    return "" if whole(outcome) else "the SHA-256 of what arrived is not that of what was sent"
