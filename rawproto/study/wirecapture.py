"""The capture of a simulated run: what both hosts sent and received, as Wireshark shows it.

One pcapng file with two interfaces, "client" and "server". Times count from the beginning of the run, as if that had
been 1970. What a scripted event did to a datagram, or that nobody had sent it, is its packet's comment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from rawproto.capture.base import Record
from rawproto.capture.pcapng import PcapngWriter
from rawproto.link.forgery import rdt_offset
from rawproto.link.script import Sent
from rawproto.sim.world import Run
from rawproto.wire.frame import Direction, Frame, LinkType

__all__ = ["capture_records", "write_capture"]


def write_capture(run: Run, path: str | os.PathLike[str]) -> None:
    """Write the capture of `run`; gzipped if the name ends in `.gz`. Raises OSError if the file can't be written."""
    comment = f"{run.scenario.name}, seed {run.seed}, fingerprint {run.fingerprint()}"
    with PcapngWriter(path, comment=comment) as writer:
        for record in capture_records(run):
            writer.write(*record)


def capture_records(run: Run) -> Iterator[Record]:
    """The frames of `run` in the order of time, with their comments.

    At one time a host first receives, and then answers.
    """
    arrived = [(arrival.time_ns, arrival.side, arrival.frame, Direction.INBOUND, ()) for arrival in run.log.arrived]
    sent = [(sent.time_ns, sent.side, sent.frame, Direction.OUTBOUND, _comments(sent)) for sent in run.log.sent]
    for time_ns, side, data, direction, comments in sorted([*arrived, *sent], key=lambda row: row[0]):
        yield Record(Frame(data, time_ns, _linktype(data), side, direction), comments)


def _comments(sent: Sent) -> tuple[str, ...]:
    if not sent.number:
        return (f"forged in the name of the {sent.side}, which did not send it",)
    return (f"datagram {sent.number} of the {sent.side}: {', '.join(sent.fate)}",) if sent.fate else ()


def _linktype(data: bytes) -> LinkType:
    """Bare IP packets, as a scenario's links carry them; or Ethernet frames, whose addresses don't begin as IP does."""
    bare = rdt_offset(data, LinkType.RAW) >= 0 or rdt_offset(data, LinkType.ETHERNET) < 0
    return LinkType.RAW if bare else LinkType.ETHERNET
