"""The row `capture-memory`: the memory of a process that reads a capture of a million packets, Python included."""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.raw_rows import FRAME, FRAME_SIZE, row
from rawproto.wire.template import template

PACKETS = 1_000_000
PART = 50_000
READ = """
import sys
from rawproto.capture import open_capture
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

def peak():  # not ru_maxrss, which begins with the parent's
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

frames = open_capture(sys.argv[1])
Packet.parse(next(iter(frames)))[UDP]
before = peak()
count = 1
for frame in frames:
    count += 1
    if not count % 10:
        Packet.parse(frame)[UDP].sport
print(count, peak() / 1024, (peak() - before) / 1024)
"""


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """One row, in MiB."""
    if only not in ("", "capture-memory"):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.pcap"
        write(path)
        peaks, grown = [], []
        for _ in range(min(runs, 2)):
            done = subprocess.run([sys.executable, "-c", READ, str(path)], check=True, capture_output=True, text=True)
            count, peak, growth = done.stdout.split()
            if int(count) != PACKETS:
                raise SystemExit(f"bench: {count} of {PACKETS} packets were read")
            peaks.append(float(peak))
            grown.append(float(growth))
    yield {**row("capture-memory", "MiB", peaks), "growth_mib": round(max(grown), 2)}


def write(path: Path) -> None:
    """A nanosecond pcap of frames that differ."""
    header = struct.Struct("<IIII")
    block = template(FRAME, "udp.sport").block(range(PART))
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        for second in range(PACKETS // PART):
            file.write(
                b"".join(
                    header.pack(second, at // FRAME_SIZE, FRAME_SIZE, FRAME_SIZE) + block[at : at + FRAME_SIZE]
                    for at in range(0, PART * FRAME_SIZE, FRAME_SIZE)
                )
            )
