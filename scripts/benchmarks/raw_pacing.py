"""The rows `pacer/...`: what rate is kept when frames are to leave at a rate, and how late they are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

from benchmarks.raw_rows import FRAME, first_core, pinned, received, row, wire
from rawproto.link.pacer import Pacer
from rawproto.link.packet import PacketLink
from rawproto.sockets.transmit import transmit
from rawproto.wire.template import template

RATES = {10: 2.0, 1000: 1.0, 100_000: 1.0}
"""Frames a second, and for how many seconds."""


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """A row for each rate: the rate achieved, and beside it the error and the lateness."""
    for wanted, seconds in RATES.items():
        if only not in ("", f"pacer/{wanted}"):
            continue
        reports = []
        with wire() as lab:
            with lab.left.entered():
                link = PacketLink("veth0")
            with link, pinned(first_core()):
                frames = list(template(FRAME, "udp.sport").frames(range(1024, 2048)))
                for _ in range(min(runs, 3)):
                    before, count = received(lab.right), int(wanted * seconds)
                    reports.append(transmit(link, islice(cycle(frames), count), Pacer.rate(wanted)))
                    if received(lab.right) - before != count:
                        raise SystemExit(f"bench: {received(lab.right) - before} of {count} frames arrived")
        achieved = [report.achieved or 0.0 for report in reports]
        worst = max(reports, key=lambda report: report.lateness_p99_ns)
        yield {
            **row(f"pacer/{wanted}", "frames/s", achieved),
            "error_percent": round(max(abs(rate / wanted - 1) for rate in achieved) * 100, 4),
            "p99_late_us": round(worst.lateness_p99_ns / 1000, 1),
        }
