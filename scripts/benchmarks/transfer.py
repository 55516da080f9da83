"""The suite `transfer`: bulk data between two processes over one veth, RDT beside the kernel's TCP.

MTU 1500, every offload off at both ends for all, no impairment, cubic set explicitly for TCP. The roads take turns, so
that a machine that gets slower meanwhile gets slower for all.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rawproto.link.netns import Lab

ROADS = ("packet", "udp")
PEER = "tcp"
SIZES = {"tcp": 1 << 30, "packet": 256 << 20, "udp": 256 << 20}
ADDRESSES = ("10.9.0.1", "10.9.0.2")
ENDPOINT = Path(__file__).with_name("endpoint.py")


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """One row a road, `ours` and `peer_value` in Gbit/s, medians over `runs`."""
    wanted = [road for road in ROADS if only in ("", f"transfer/{road}")]
    if not wanted:
        return
    rates: dict[str, list[float]] = {road: [] for road in (PEER, *wanted)}
    for _ in range(runs):
        for road, measured in rates.items():
            measured.append(measure(road))
    peer = statistics.median(rates[PEER])
    for road in wanted:
        ours = statistics.median(rates[road])
        yield {
            "row": f"transfer/{road}",
            "ours": round(ours, 3),
            "unit": "Gbit/s",
            "peer": "kernel TCP, cubic",
            "peer_value": round(peer, 3),
            "ratio": round(ours / peer, 3),
            "runs": [round(rate, 3) for rate in rates[road]],
            "peer_runs": [round(rate, 3) for rate in rates[PEER]],
        }


def measure(road: str) -> float:
    """Gbit/s of one transfer by `road`, in namespaces of its own."""
    # For AF_PACKET the addresses are ours alone: the kernel must not own them, or it would answer too.
    owned = [] if road == "packet" else [tuple(f"{address}/24" for address in ADDRESSES)]
    with Lab(addresses=owned, offloads=False) as lab:
        receiver = lab.right.popen(
            command(road, "receive", ADDRESSES[1], ADDRESSES[0]), stdout=subprocess.PIPE, text=True
        )
        try:
            if receiver.stdout is None or receiver.stdout.readline().strip() != "ready":
                raise RuntimeError(f"the receiver for {road} did not start")
            lab.left.run(command(road, "send", *ADDRESSES), check=True, timeout=60)
            output, _ = receiver.communicate(timeout=60)
        finally:
            receiver.kill()
            receiver.wait()
    result = json.loads(output)
    return float(result["bytes"] * 8 / result["seconds"] / 1e9)


def command(road: str, role: str, address: str, peer: str) -> list[str]:
    return [sys.executable, str(ENDPOINT), road, role, address, peer, str(SIZES[road])]
