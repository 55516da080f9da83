"""What `rawproto send` says: afterwards, how it went; in a dry run, how it would go."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from rawproto.cli._outgoing import CountingLink, Outgoing
from rawproto.link.base import Link
from rawproto.link.changes import Changes, will_send
from rawproto.link.fitting import FittingLink
from rawproto.link.pacer import Pacer, PacerReport
from rawproto.wire.packet import Packet

__all__ = ["show_plan", "show_report"]

SHOWN = 10
"""Packets that a dry run shows."""


def show_report(
    report: PacerReport, link: FittingLink, wire: CountingLink, stream: Outgoing, *, as_object: bool
) -> None:
    """Print what was sent, how fast, how late, and what was not."""
    if as_object:
        print(json.dumps(_object(report, link, wire, stream), indent=2))
        return
    where = f" through {link.interface}" if link.interface else ""
    told = str(report) if report.frames != 1 else f"1 frame, {report.bytes} bytes"
    if wire.frames != report.frames:
        told = f"{_frames(wire.frames)}, {wire.bytes} bytes on the wire, for {told}"
    print(f"sent{where}: {told}")
    parts = [f"{count} {reason}" for reason, count in stream.left_out.items()]
    if link.skipped:
        parts.append(f"{link.skipped} over the MTU")
    if parts:
        print(f"left out: {', '.join(parts)}")
    if link.fragmented:
        print(f"sent in fragments: {link.fragmented}")


def _object(report: PacerReport, link: FittingLink, wire: CountingLink, stream: Outgoing) -> dict[str, Any]:
    return {
        "frames": report.frames,
        "bytes": report.bytes,
        "seconds": report.seconds,
        "unit": report.unit,
        "requested": report.requested,
        "achieved": report.achieved,
        "frames_per_second": report.frames_per_second,
        "lateness_ns": {
            "p50": report.lateness_p50_ns,
            "p90": report.lateness_p90_ns,
            "p99": report.lateness_p99_ns,
            "max": report.lateness_max_ns,
        },
        "slipped_ns": report.slipped_ns,
        "backward_times": report.backward_times,
        "stopped": report.stopped,
        "interface": link.interface,
        "skipped": link.skipped,
        "fragmented": link.fragmented,
        "left_out": stream.left_out,
        "wire_frames": wire.frames,
        "wire_bytes": wire.bytes,
    }


def show_plan(stream: Outgoing, link: Link | None, pacer: Pacer | None, *, as_object: bool) -> None:
    """Print what would be sent; without a `link`, not what the kernel would make of it."""
    frames = list(islice(stream, SHOWN))
    told = will_send(Packet.parse(frames[0], stream.linktype), link) if link is not None and frames else None
    summaries = [Packet.parse(frame, stream.linktype).summary() for frame in frames]
    planned = pacer.report() if pacer is not None else None
    if as_object:
        found: dict[str, Any] = {
            "dry_run": True,
            "frames": stream.total,
            "interface": link.interface if link is not None else None,
            "unit": planned.unit if planned is not None else "frames/s",
            "requested": planned.requested if planned is not None else None,
            "first": [
                {"hex": frame.hex(), "summary": summary} for frame, summary in zip(frames, summaries, strict=True)
            ],
            "kernel": None if told is None else _as_dict(told),
        }
        print(json.dumps(found, indent=2))
        return
    total = "frames without end" if stream.total is None else _frames(stream.total)
    where = f" through {link.interface}" if link is not None and link.interface else ""
    fast = "as fast as they go" if planned is None else f"at {planned.requested:,.6g} {planned.unit}"
    print(f"would send {total}{where}, {fast}:")
    for number, (frame, summary) in enumerate(zip(frames, summaries, strict=True), 1):
        print(f"{number:6}  {len(frame)} bytes  {summary}")
    if told is not None:
        print("what becomes of the first:")
        print("\n".join(f"        {line}" for line in str(told).splitlines()))
    else:
        print("what the kernel would change can't be said without the privilege to open the link")


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _as_dict(told: Changes) -> dict[str, Any]:
    return {
        "changes": [
            {
                "layer": change.layer,
                "field": change.field,
                "given": change.given,
                "sent": change.sent,
                "why": change.why,
            }
            for change in told.changes
        ],
        "refused": told.refused,
        "dropped": told.dropped,
        "notes": list(told.notes),
    }
