"""What the parts of the suite `raw` share: the shape of a row, the frames, the wire, processors and counters."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from rawproto.link.netns import Lab, Namespace
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

ADDRESSES = ("10.9.0.1", "10.9.0.2")
TARGET_MAC = "02:00:00:00:01:02"
"""Nobody's, so that the receiving kernel drops the frames at once, whoever sends them."""
FRAME_SIZE = 64
PAYLOAD = bytes(FRAME_SIZE - 42)
DISCARD = 9
FRAME = (
    Ethernet(dst=TARGET_MAC, src="02:00:00:00:00:01")
    / IPv4(src=ADDRESSES[0], dst=ADDRESSES[1])
    / UDP(sport=1024, dport=DISCARD)
    / PAYLOAD
)


def row(name: str, unit: str, ours: Sequence[float], peer: str | None = None, theirs: Sequence[float] = ()) -> Any:
    """A row of medians; without figures of the peer (it is missing, or there is none) that part is null."""
    middle = statistics.median(ours)
    other = statistics.median(theirs) if theirs else None
    return {
        "row": name,
        "ours": shown(middle),
        "unit": unit,
        "peer": peer,
        "peer_value": None if other is None else shown(other),
        "ratio": None if not other else round(middle / other, 3),
        "runs": [shown(value) for value in ours],
        "peer_runs": [shown(value) for value in theirs],
    }


def shown(value: float) -> float:
    """Four digits, as far as the figures go."""
    return float(f"{value:.4g}")


def is_there(peer: str) -> bool:
    """Whether the peer is installed; if not, says so."""
    there = shutil.which(peer) is not None or find_spec(peer) is not None
    if not there:
        print(f"bench: {peer} is not installed, so its row has no value: scripts/bench --setup", file=sys.stderr)
    return there


@contextmanager
def wire() -> Iterator[Lab]:
    """A veth with addresses, offloads off, on which the other end's MAC address belongs to nobody."""
    with Lab(addresses=[(f"{ADDRESSES[0]}/24", f"{ADDRESSES[1]}/24")], offloads=False) as lab:
        with lab.left.entered(), IPRoute() as netlink:
            index = netlink.link_lookup(ifname="veth0")[0]
            permanent = 0x80  # NUD_PERMANENT (linux/neighbour.h)
            netlink.neigh("replace", dst=ADDRESSES[1], lladdr=TARGET_MAC, ifindex=index, state=permanent)
        yield lab


def first_core() -> int:
    return min(os.sched_getaffinity(0))


def last_core() -> int:
    return max(os.sched_getaffinity(0))


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run this thread, and what it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def received(namespace: Namespace) -> int:
    """The frames that veth0 in `namespace` has received."""
    with namespace.entered():
        lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    return next(int(line.split()[2]) for line in lines if line.split()[0] == "veth0:")


def varies(packets: Sequence[Packet]) -> str:
    """What is wrong with a sample of 64-byte UDP frames that should all differ in port and be right; "" if nothing."""
    ports = [packet[UDP].sport for packet in packets]
    for packet in packets:
        if len(bytes(packet)) != FRAME_SIZE:
            return f"a frame has {len(bytes(packet))} bytes, not {FRAME_SIZE}"
        if {verdict.name for verdict in packet.checksums.values()} != {"OK"}:
            return f"checksums are not right: {packet.checksums} in {packet}"
    alike = sum(before == after for before, after in pairwise(ports))
    if alike > len(ports) // 100:
        return f"the source port stays the same in {alike} of {len(ports)} frames"
    return ""
