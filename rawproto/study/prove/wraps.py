"""Sequence numbers that wrap: narrow ones, windows of half their space, and a wire that loses, doubles and reorders.

How often they wrapped is counted on the wire, where each side's octets are sent for the first time. Up to `MANY` bits
the numbers go round again and again; four rounds of 32 bits would be 17 GB, so with more bits the first number is put
near the end of the space, and they go round once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rawproto.link.impairment import Impairment
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.sim.world import Run, World
from rawproto.study.checker import Violation, check
from rawproto.study.onlink import read_header
from rawproto.transport.config import MILLISECOND

__all__ = ["MANY", "Wrapped", "prove_wraps", "wrapping", "wraps"]

MANY = 18
"""Bits: with so many the numbers still go round as often as `TURNS` says, unless more are asked for."""
TURNS = 4
"""So many times the size of the space is sent: at least three wraps, wherever the first number is."""
BEFORE_THE_END = 20_000
"""Where the numbers begin that go round once."""
ONCE = 60_000
IMPAIRMENT = Impairment(loss=0.02, duplicate=0.02, reorder=0.02, reorder_delay_ns=3 * MILLISECOND)
"""A copy comes at once, and what is held back is not held for long: were an old octet a whole window late, no transport
could tell it from a new one."""
LARGEST_WINDOW = 1 << 20
LARGEST_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What came of one width: how often the numbers of each side wrapped, and what was broken."""

    bits: int
    wraps: dict[str, int]
    violations: tuple[Violation, ...]
    whole: bool
    """All octets of both sides were read."""


class LateNumbers:
    """Initial sequence numbers near the end of the space."""

    def __init__(self, bits: int) -> None:
        self.first = (1 << bits) - BEFORE_THE_END

    def choose(self, local_port: int, peer: str, peer_port: int, now: int) -> int:
        """The same for every connection."""
        return self.first


def wrapping(bits: int, many: int = MANY) -> Scenario:
    """Both sides send all the numbers of `bits` bits `TURNS` times, several pieces to a window; of more bits, some."""
    window = min(1 << bits - 1, LARGEST_WINDOW)
    size = TURNS << bits if bits <= many else ONCE
    party = Party((f"send {size} by {max(1, min(window // 8, LARGEST_PIECE))}",))
    settings: dict[str, Any] = {"sequence_bits": bits, "nagle": False}
    settings |= {"send_buffer": window, "receive_buffer": window, "max_record": min(window, LARGEST_PIECE)}
    return Scenario(f"{bits} bits", (Talk(party, party),), settings=settings, road=Road(impairment=IMPAIRMENT))


def wraps(run: Run) -> dict[str, int]:
    """How often the numbers of the octets that each side sent for the first time have gone round."""
    space = 1 << run.scenario.config().sequence_bits
    following: dict[str, int] = {}
    rounds = {"client": 0, "server": 0}
    for sent in run.log.sent:
        header = read_header(sent.frame, sent.side == "client")
        if not header.length or following.setdefault(sent.side, header.seq) != header.seq:
            continue  # sent before
        end = header.seq + header.length
        rounds[sent.side] += end // space
        following[sent.side] = end % space
    return rounds


def prove_wraps(bits: int, seed: int = 0, many: int = MANY) -> Wrapped:
    """Play and judge `wrapping(bits, many)`."""
    scenario = wrapping(bits, many)
    world = World(scenario, seed)
    if bits > many:
        for host in (world.client, world.server):
            host.stack.endpoint._isn = LateNumbers(bits)  # type: ignore[assignment]
    run = world.play()
    verdict = check(run)
    whole = sum(talk.client.sends + talk.server.sends for talk in scenario.talks)
    return Wrapped(bits, wraps(run), verdict.violations, verdict.delivered == whole)
