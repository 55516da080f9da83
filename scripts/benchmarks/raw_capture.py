"""The row `capture-memory`: by how much a process grows while it reads a capture of a million packets, in MiB."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.raw_rows import FRAME, FRAME_SIZE, row
from rawproto.capture import open_capture
from rawproto.wire.template import template

NAME = "capture-memory"
PACKETS, AT_ONCE = 1_000_000, 10_000


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """One row; `seconds` is how long a reading took, and `packets` how many there were."""
    if only not in ("", NAME):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.pcap"
        write(path)
        # Memory does not depend on the machine's mood: two readings show whether it is always the same.
        readings = [read(path) for _ in range(min(runs, 2))]
    if {reading["packets"] for reading in readings} != {PACKETS}:
        raise RuntimeError(f"{NAME}: of {PACKETS} packets {readings[0]['packets']} were read")
    grown = [reading["grown"] / 1024 for reading in readings]
    yield {**row(NAME, "MiB", grown), "packets": PACKETS, "seconds": [round(one["seconds"], 2) for one in readings]}


def write(path: Path) -> None:
    """Make the capture: pcap, microseconds, 64-byte frames whose source ports differ."""
    block = template(FRAME, "udp.sport").block(range(1024, 1024 + AT_ONCE))
    records = b"".join(
        struct.pack("<IIII", 0, number, FRAME_SIZE, FRAME_SIZE) + block[number * FRAME_SIZE : (number + 1) * FRAME_SIZE]
        for number in range(AT_ONCE)
    )
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for _ in range(PACKETS // AT_ONCE):
            file.write(records)


def read(path: Path) -> dict[str, Any]:
    command = (sys.executable, "-m", "benchmarks.raw_capture", str(path))
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def resident(which: str) -> int:
    """KiB of this process in memory: "VmRSS" now, "VmHWM" at most since that was reset.

    Not `ru_maxrss`: that begins with what the parent had when it forked.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:"))


def main() -> None:
    with open_capture(sys.argv[1]) as reader:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak begins anew
        before, begin, packets = resident("VmRSS"), time.perf_counter(), 0
        for _ in reader:
            packets += 1
        seconds = time.perf_counter() - begin
    print(json.dumps({"packets": packets, "grown": resident("VmHWM") - before, "seconds": seconds}))


if __name__ == "__main__":
    main()
