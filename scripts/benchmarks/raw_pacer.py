"""The rows `pacer/...`: how well a rate of frames is kept to, through AF_PACKET on a veth.

`ours` is the rate achieved between the first frame and the last; `p99_late_us` is how late a frame was in 99 of 100
cases, `off_percent` how far the rate was off.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from itertools import repeat
from typing import Any

from benchmarks.raw_rows import FRAME, first_core, pinned, received, row, shown, wire
from rawproto.link.netns import Lab
from rawproto.link.pacer import Pacer, PacerReport
from rawproto.link.packet import PacketLink
from rawproto.sockets.transmit import transmit

FRAMES = {10: 9, 1000: 600, 100_000: 50_000}
"""By the rate in frames/s, how many are sent in one run: some half a second, but for the slowest."""


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """A row for each rate, in frames/s."""
    for rate, count in FRAMES.items():
        name = f"pacer/{rate}"
        if only not in ("", name):
            continue
        with wire() as lab:
            reports = [run(lab, rate, count) for _ in range(runs)]
        achieved = [report.achieved or 0.0 for report in reports]
        late = [report.lateness_p99_ns / 1000 for report in reports]
        off = 100 * (statistics.median(achieved) / rate - 1)
        yield {
            **row(name, "frames/s", achieved),
            "p99_late_us": shown(statistics.median(late)),
            "off_percent": round(off, 3),
            "p99_late_us_runs": [shown(value) for value in late],
        }


def run(lab: Lab, rate: int, count: int) -> PacerReport:
    before = received(lab.right)
    with lab.left.entered():
        link = PacketLink("veth0")
    with link, pinned(first_core()):
        report = transmit(link, repeat(bytes(FRAME), count), Pacer.rate(rate))
    arrived = received(lab.right) - before
    if arrived != count:
        raise RuntimeError(f"pacer/{rate}: {count} frames sent, {arrived} arrived")
    return report
