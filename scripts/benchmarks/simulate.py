"""The suite `simulate`: whole connections in the simulator, on a road that loses a tenth of the datagrams both ways.

Each connection is opened, carries 10,000 octets each way, and is closed by both sides; a hundred of them for each run,
counted by the processor's time of this process, which is one core's. The world is `rawproto.sim.world`, with its logs,
as the lab and the campaigns use it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

from rawproto.link.impairment import Impairment
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.sim.world import run_scenario
from rawproto.study.checker import check
from rawproto.transport.config import SECOND

CONNECTIONS = 100
ROWS = {"simulate/single": (1, False), "simulate/in-turn": (50, True), "simulate/at-once": (50, False)}
"""By the name of the row: connections in a simulation, and whether each begins when the one before is over."""
PARTY = Party(("send 10000", "shutdown"), ("read all",))
CHECK = "simulate/check"


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """A row for each way to run them, in connections a second; and one for the checker alone."""
    wanted = [row for row in (*ROWS, CHECK) if only in ("", row)]
    rates: dict[str, list[float]] = {row: [] for row in wanted}
    for attempt in range(runs):
        for row in wanted:
            simulating, checking = measure(*ROWS.get(row, (1, False)), attempt)
            rates[row].append(CONNECTIONS / (checking if row == CHECK else simulating))
    for row, measured in rates.items():
        yield {
            "row": row,
            "ours": round(statistics.median(measured)),
            "unit": "connections/s",
            "peer": None,
            "peer_value": None,
            "ratio": None,
            "runs": [round(rate) for rate in measured],
            "peer_runs": None,
        }


def scenario(talks: int, *, again: bool) -> Scenario:
    """So many connections between two hosts, 10 ms from each other."""
    return Scenario(
        "speed",
        road=Road(delay_ns=10_000_000, impairment=Impairment(loss=0.1)),
        talks=tuple(Talk(PARTY, PARTY, again=again and number > 0) for number in range(talks)),
        until_ns=600 * SECOND,
    )


def measure(talks: int, again: bool, attempt: int) -> tuple[float, float]:
    """Seconds that the simulations take, and that the checker does. Each attempt has seeds of its own.

    Raises RuntimeError if a connection was not complete or the checker finds fault with one.
    """
    world = scenario(talks, again=again)
    simulating = checking = 0.0
    for seed in range(attempt * CONNECTIONS, attempt * CONNECTIONS + CONNECTIONS // talks):
        began = time.process_time()
        run = run_scenario(world, seed)
        ended = time.process_time()
        verdict = check(run)
        checking += time.process_time() - ended
        simulating += ended - began
        complete = [account for account in run.accounts if account.flushed_ns >= 0 and account.eof_ns >= 0]
        if len(complete) != 2 * talks or not verdict.passed:
            raise RuntimeError(f"seed {seed}: {len(complete)} of {2 * talks} ends were complete; {verdict.violations}")
    return simulating, checking
