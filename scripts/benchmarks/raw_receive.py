"""The row `receive-ring`: frames a second that one core receives, parses and reads a field of, none of them dropped.

The kernel's UDP on another core offers 64-byte frames at a rate; the highest one is looked for at which all that was
sent was also received, nothing was dropped and the receiver was not behind at the end. A failure while somebody else
had the receiver's core does not count.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.raw_rows import ADDRESSES, first_core, last_core, pinned, row, shown, wire
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

NAME = "receive-ring"
SECONDS = 0.4
START, FASTER, SLOWER = 700_000.0, 1.15, 0.9
"""Frames/s offered first, and what follows a success or a failure."""
DISTURBED = 0.02
BEHIND = 0.02
"""Seconds that the receiver may still be busy after the sender."""
QUIET_MS = 200
SPORT = 4242
OFFER = Path(__file__).with_name("raw_offer.py")


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """One row, in frames/s: the highest rate; `runs` has all that were sustained."""
    if only not in ("", NAME):
        return
    rate, trials = START, list[Trial]()
    with wire() as lab:
        while len(trials) <= 3 * runs and sum(one.counts for one in trials) <= 2 * runs:
            trials.append(trial(lab, rate))
            if trials[-1].sustained:
                rate = FASTER * min(rate, trials[-1].offered)  # what the sender can't offer can't be received either
            else:  # a disturbed trial says nothing of us, but a machine that is never left alone has a rate too
                rate *= SLOWER
    disturbed = sum(not one.counts for one in trials)
    if disturbed:
        print(f"bench: {NAME}: others had the receiver's core in {disturbed} of {len(trials)} trials", file=sys.stderr)
    achieved = [one.achieved for one in trials if one.sustained] or [0.0]
    yield {**row(NAME, "frames/s", [max(achieved)]), "runs": [shown(rate) for rate in achieved]}


class Trial(NamedTuple):
    """What came of one rate."""

    offered: float
    """Frames/s."""
    achieved: float
    """Frames/s."""
    sustained: bool
    waited: float
    """The part of the time that the receiver waited while others had its core."""

    @property
    def counts(self) -> bool:
        """Whether it says something of us."""
        return self.sustained or self.waited < DISTURBED


def trial(lab: Lab, rate: float) -> Trial:
    """Offer `rate` frames/s."""
    with lab.right.entered():
        link = PacketLink("veth0", bulk=True)
    with link:
        with pinned(first_core()):
            command = (sys.executable, str(OFFER), str(rate), str(SECONDS), *ADDRESSES, str(SPORT))
            sender = lab.left.popen(command, stdout=subprocess.PIPE, text=True)
        with pinned(last_core()):
            waited = waiting()
            count, end = receive(link)
            waited = waiting() - waited
        sent = json.loads(sender.communicate(timeout=10)[0])
        drops = link.drops()
    lost = sent["frames"] - count
    if lost != drops:
        raise RuntimeError(f"{NAME}: {sent['frames']} sent, {count} received, but {drops} counted as dropped")
    seconds = sent["end"] - sent["begin"]
    on_time = end < sent["end"] + BEHIND
    achieved = count / (end - sent["begin"])
    return Trial(sent["frames"] / seconds, achieved, lost == 0 and on_time, waited / seconds)


def waiting() -> float:
    """Seconds that this thread was ready to run and others had the core."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


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
