"""The row `receive-ring`: frames a second that one core receives, parses and reads a field of, none of them dropped.

The kernel's UDP on another core offers 64-byte frames at a rate; the highest one is looked for at which all that was
sent was also received, nothing was dropped and the receiver was not behind at the end.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.raw_rows import ADDRESSES, DISCARD, PAYLOAD, first_core, last_core, pinned, row, wire
from rawproto.link import sockopt
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

NAME = "receive-ring"
SECONDS = 0.5
START, FASTER, SLOWER = 700_000.0, 1.15, 0.9
"""Frames/s offered first, and what follows a success or a failure."""
BEHIND = 0.02
"""Seconds that the receiver may still be busy after the sender."""
QUIET_MS = 200
SPORT = 4242
BURST = 64


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """One row, in frames/s: the highest rate; `runs` has all that were sustained."""
    if only not in ("", NAME):
        return
    rate, sustained = START, []
    with wire() as lab:
        for _ in range(2 * runs + 1):
            offered, achieved, lost = trial(lab, rate)
            if lost == 0 and achieved > 0:
                sustained.append(achieved)
            # What the sender can't offer can't be received either.
            rate = min(rate, offered) * (SLOWER if lost else FASTER)
    if not sustained:
        raise RuntimeError(f"{NAME}: at every rate down to {rate:.0f} frames/s some were dropped")
    best = max(sustained)
    yield {**row(NAME, "frames/s", [best]), "runs": row(NAME, "frames/s", sustained)["runs"]}


def trial(lab: Lab, rate: float) -> tuple[float, float, int]:
    """Frames/s offered and received, and how many were lost: -1 if none, but the receiver was behind."""
    with lab.right.entered():
        link = PacketLink("veth0", bulk=True)
    with link:
        with pinned(first_core()):
            command = (sys.executable, __file__, str(rate))
            sender = lab.left.popen(command, stdout=subprocess.PIPE, text=True)
        with pinned(last_core()):
            count, end = receive(link)
        sent = json.loads(sender.communicate(timeout=10)[0])
        drops = link.drops()
    lost = sent["frames"] - count
    if lost != drops:
        raise RuntimeError(f"{NAME}: {sent['frames']} sent, {count} received, but {drops} counted as dropped")
    offered = sent["frames"] / (sent["end"] - sent["begin"])
    return offered, count / (end - sent["begin"]), lost or (-1 if end > sent["end"] + BEHIND else 0)


def receive(link: PacketLink) -> tuple[int, float]:
    """Receive until nothing comes any more; give the number of frames and when the last one was through."""
    poller = select.poll()
    poller.register(link.fileno(), select.POLLIN)
    count = total = 0
    end = 0.0
    while poller.poll(QUIET_MS if count else 5000):
        while frames := link.receive(0):
            for frame in frames:
                total += Packet.parse(frame)[UDP].sport
            count += len(frames)
            end = time.monotonic()
    if total != count * SPORT:
        raise RuntimeError(f"{NAME}: the source ports are not all {SPORT}")
    return count, end


def offer(rate: float) -> None:
    """Send at `rate` frames/s, in bursts that the kernel cuts up (UDP_SEGMENT), which one core can do fast enough."""
    burst = PAYLOAD * BURST
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(sockopt.SOL_UDP, sockopt.UDP_SEGMENT, len(PAYLOAD))
        sender.bind((ADDRESSES[0], SPORT))
        sender.connect((ADDRESSES[1], DISCARD))
        frames, begin = 0, time.monotonic()
        now = begin
        while now < begin + SECONDS:
            sender.send(burst)
            frames += BURST
            while (now := time.monotonic()) < begin + frames / rate:
                pass
    print(json.dumps({"frames": frames, "begin": begin, "end": now}))


if __name__ == "__main__":
    offer(float(sys.argv[1]))
