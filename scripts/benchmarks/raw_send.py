"""The rows `send-vary/...`: 64-byte UDP frames, another source port and checksum in each, one core, over a veth.

All senders are started first and stopped (SIGSTOP); then each in turn goes on for a moment, so that a machine that
gets slower meanwhile gets slower for all. Each has a wire of its own, because a stopped one still has sockets that hear
what others send, at their cost. What counts is what the receiving interface has counted; a measurement during which
somebody else had the core is repeated on another one.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from benchmarks.raw_rows import (
    ADDRESSES,
    DISCARD,
    FRAME,
    FRAME_SIZE,
    PAYLOAD,
    TARGET_MAC,
    first_core,
    is_there,
    pinned,
    received,
    row,
    varies,
    wire,
)
from rawproto.link.packet import PacketLink
from rawproto.wire.packet import Packet
from rawproto.wire.template import template

PEERS = {
    "scapy": "scapy, sendp of a list",
    "hping3": "hping3 --flood --udp",
    "tcpreplay": "tcpreplay --topspeed --preload-pcap",
    "trafgen": "trafgen, dinc and checksum",
}
WARM_UP, WINDOW = 0.05, 0.2
"""Seconds."""
SAMPLE = 400
"""Frames of each sender that are looked at before it is measured."""
PCAP_FRAMES = 4096
TRAFGEN = f"""{{
  eth(da={TARGET_MAC}, sa=02:00:00:00:00:01),
  ipv4(ttl=64, sa={ADDRESSES[0]}, da={ADDRESSES[1]}),
  udp(sp=dinc(1024, 65535), dp={DISCARD}),
  fill(0x00, {len(PAYLOAD)})
}}
"""
PATIENCE = 10.0
DISTURBED, TRIES = 0.02, 4
"""The part of the time that a sender may have waited for its core, and how often to try for that."""
BUDGET = 15.0
"""Seconds after which nothing is tried again."""


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """A row for each peer, in frames/s."""
    wanted = [peer for peer in PEERS if only in ("", f"send-vary/{peer}")]
    if not wanted:
        return
    rates: dict[str, list[float]] = {name: [] for name in ("ours", *filter(is_there, wanted))}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as started:
        commands = commands_in(Path(folder))
        senders = [started.enter_context(Sender(name, commands[name])) for name in rates]
        for sender in senders:
            sender.check()
        deadline = time.monotonic() + BUDGET
        for _ in range(runs):
            for sender in senders:
                rates[sender.name].append(sender.measure(deadline))
    for peer in wanted:
        yield row(f"send-vary/{peer}", "frames/s", rates["ours"], PEERS[peer], rates.get(peer, ()))


def commands_in(folder: Path) -> dict[str, Sequence[str]]:
    """How each sender is called; what it reads is written into `folder`."""
    (folder / "trafgen.cfg").write_text(TRAFGEN)
    write_pcap(folder / "vary.pcap")
    python = (sys.executable, "-m", "benchmarks.raw_sender")
    pcap, loops = str(folder / "vary.pcap"), str(2**31 - 1)
    hping3 = f"hping3 --flood --udp -s 1024 -p {DISCARD} -d {len(PAYLOAD)} {ADDRESSES[1]}"
    return {
        "ours": (*python, "ours"),
        "scapy": (*python, "scapy"),
        "hping3": hping3.split(),
        "tcpreplay": ("tcpreplay", "--topspeed", "--preload-pcap", "--loop", loops, "-i", "veth0", pcap),
        "trafgen": ("trafgen", "-i", str(folder / "trafgen.cfg"), "-o", "veth0", "-P", "1"),
    }


def write_pcap(path: Path) -> None:
    block = template(FRAME, "udp.sport").block(range(1024, 1024 + PCAP_FRAMES))
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(PCAP_FRAMES):
            file.write(struct.pack("<IIII", 0, number, FRAME_SIZE, FRAME_SIZE))
            file.write(block[number * FRAME_SIZE : (number + 1) * FRAME_SIZE])


class Sender:
    """A process that sends without end, on one core and with a wire of its own; stopped but while it is measured."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        with ExitStack() as undo:
            self.lab = undo.enter_context(wire())
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
            with pinned(first_core()):
                # A session of its own: trafgen has a child that sends.
                self.process = self.lab.left.popen(
                    command, env=environment, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
                )
            undo.callback(self.process.wait)
            undo.callback(self.signal, signal.SIGKILL)
            self.await_first_frame(" ".join(command))
            self.signal(signal.SIGSTOP)
            self.undo = undo.pop_all()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo.close()

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def await_first_frame(self, command: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not received(self.lab.right):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it sends nothing: {command}")
            time.sleep(0.02)

    @contextmanager
    def going(self) -> Iterator[None]:
        self.signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.signal(signal.SIGSTOP)

    def check(self) -> None:
        """Look at a sample of what is sent. Raises RuntimeError when it is not what is to be measured."""
        packets: list[Packet] = []
        deadline = time.monotonic() + PATIENCE
        with self.lab.right.entered():
            link = PacketLink("veth0")
        with link, self.going():
            while len(packets) < SAMPLE and time.monotonic() < deadline:
                packets += [Packet.parse(frame) for frame in link.receive(0)]
        fault = varies(packets) if len(packets) >= SAMPLE else f"only {len(packets)} frames came"
        if fault:
            raise RuntimeError(f"{self.name} does not send what is to be measured: {fault}")

    def measure(self, deadline: float) -> float:
        """Frames that arrive in a second: of the try in which the sender had the core most to itself."""
        tries: list[tuple[float, float]] = []
        while not tries or (min(tries)[0] > DISTURBED and len(tries) < TRIES and time.monotonic() < deadline):
            self.move(len(tries))
            with self.going():
                time.sleep(WARM_UP)
                begin, before, waited = time.perf_counter(), received(self.lab.right), self.waited()
                time.sleep(WINDOW)
                end, after, share = time.perf_counter(), received(self.lab.right), self.waited() - waited
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended while it was measured")
            tries.append((share / (end - begin), (after - before) / (end - begin)))
        return min(tries)[1]

    def waited(self) -> float:
        """Seconds that its processes were ready to run and others had the core (/proc/PID/schedstat)."""
        waited = (Path(f"/proc/{number}/schedstat").read_text().split()[1] for number in self.processes())
        return sum(map(int, waited)) / 1e9

    def move(self, number: int) -> None:
        """To core `number`, counted round."""
        cores = sorted(os.sched_getaffinity(0))
        for process in self.processes():
            os.sched_setaffinity(process, {cores[number % len(cores)]})

    def processes(self) -> list[int]:
        """Those of its session."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.getsid(int(folder.name)) == self.process.pid:
                    found.append(int(folder.name))
        return found
