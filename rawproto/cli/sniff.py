"""`rawproto sniff`: tell the packets of an interface as they come."""

from __future__ import annotations

import errno
import select
import sys
import time as clock
from collections import deque
from contextlib import ExitStack, suppress
from typing import Annotated

from rawproto.cli import FailedError
from rawproto.cli._capture import STDOUT, Recorder, compiled
from rawproto.cli._hosts import link_errors
from rawproto.cli._interfaces import default_interface, is_loopback
from rawproto.cli._line import Lines, Style, TimeStyle
from rawproto.cli._options import flag, interface, output_file, parse_count, parse_seconds, unit
from rawproto.cli._signals import Stop, stop_signals
from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.link.bpf import Filter, FilteringLink
from rawproto.link.packet import PacketLink
from rawproto.wire.frame import Frame

__all__ = ["sniff"]

RING_BYTES = 64 << 20
"""Room for what comes while we are busy: 256 blocks, which is a quarter of a second at least."""
LEAST_RING = 4 << 20
NAP_MS = 200
"""How long to wait at most before looking at the time again."""
LAST_MS = 2
"""How long after the end a frame that came before it may need to get out of its block of the ring."""
LAST_SECONDS = 2.0
"""How long to go on after the end with what came before it; with printing only after Ctrl-C."""
AT_ONCE = 64
"""Packets that are told before the ring is looked at again."""
MOST_WAITING = 128 << 20
"""Bytes of packets that may wait to be told; the next ones stay in the ring."""
OVERHEAD = 300
"""Bytes of memory that a frame takes beside its data."""


def sniff(
    *,
    iface: Annotated[str | None, interface()] = None,
    filter_: Annotated[str | None, unit(str, "EXPR", "--filter", "-f")] = None,
    count: Annotated[int | None, unit(parse_count, "N", "--count", "-c")] = None,
    seconds: Annotated[float | None, unit(parse_seconds, "S")] = None,
    no_promiscuous: Annotated[bool, flag()] = False,
    time: TimeStyle = "absolute",
    verbose: Annotated[bool, flag("--verbose", "-v")] = False,
    scapy: Annotated[bool, flag()] = False,
    as_object: Annotated[bool, flag("--json")] = False,
    write: Annotated[str | None, output_file("--write", "-w")] = None,
    quiet: Annotated[bool, flag("--quiet", "-q")] = False,
) -> int:
    """Tell the packets of an interface as they come and go: one line each, much as tcpdump prints them.

    Up to 190 MiB of packets wait while others are told; how many the kernel had to drop all the same is said at the
    end, on standard error. VLAN tags are put back, and a checksum that was left to the hardware is called
    offloaded, not bad. Ctrl-C ends it. Needs CAP_NET_RAW.

    Exit status: 0, 1 if the interface fails, 2 for a wrong call or without the privilege.

    Examples:

    ```
    sudo rawproto sniff --iface eth0 --filter 'tcp port 80'
    sudo rawproto sniff --iface eth0 --count 1000 --quiet -w trace.pcapng
    sudo rawproto sniff --iface lo --json | jq -r '.layers[-1].name'
    sudo rawproto sniff --filter 'arp or icmp' --seconds 10 -v
    ```

    Parameters
    ----------
    iface
        The interface; by default that of the default route, or lo if there is none.
    filter_
        Only packets that match, in the language of tcpdump (pcap-filter(7)); in force before the first one.
    count
        Stop after this many.
    seconds
        Stop after this time.
    no_promiscuous
        Leave the card as it is: only what is addressed to this machine, and groups that it is in.
    time
        In UTC, seconds since the first packet, since the packet before, or none at all.
    verbose
        Tell all layers with all their fields, checksums and problems.
    scapy
        Give to scapy what is not known here (pip install 'rawproto[scapy]').
    as_object
        One JSON object a line, as `rawproto dump --json` writes it.
    write
        Also write the packets to this file: pcapng, or pcap if it ends in .pcap; - for standard output, without lines.
    quiet
        Print no packets: only the numbers at the end.
    """
    name = iface or default_interface()
    matches = None if filter_ is None else compiled(filter_)
    with ExitStack() as stack:
        link = stack.enter_context(_open(name, matches, promiscuous=not no_promiscuous))
        recorder = None if write is None else stack.enter_context(Recorder(write))
        lines = None if quiet or write == STDOUT else Lines(Style(time, verbose, as_object, scapy))
        stop = stack.enter_context(stop_signals())
        watch = Watch(link, recorder, lines, count, stop)
        _tell(f"listening on {name}" + (f", {filter_}" if filter_ else "") + "; Ctrl-C to end")
        try:
            watch.run(seconds)
        finally:
            _tell(watch.report())
    return 0


def _open(name: str, matches: Filter | None, *, promiscuous: bool) -> Link:
    """The link, with the filter in the kernel if that can run it, and as large a ring as there is memory for."""
    in_kernel = matches is not None and matches.in_kernel
    outgoing = not is_loopback(name)
    size = RING_BYTES
    with link_errors():
        while True:
            try:
                link = PacketLink(
                    name,
                    bulk=True,
                    ring_size=size,
                    outgoing=outgoing,
                    promiscuous=promiscuous,
                    bpf=bytes(matches) if matches is not None and in_kernel else b"",
                )
            except LinkError as error:
                if error.errno != errno.ENOMEM or size <= LEAST_RING:
                    raise
                size >>= 1
            else:
                return link if matches is None or in_kernel else FilteringLink(link, matches)


class Watch:
    """Receives until it is told to stop, writes what comes at once, and prints it when there is time.

    Printing is what takes time. So a frame waits for it here and not in the ring, whose blocks the kernel hands over
    every millisecond, however little is in them.
    """

    def __init__(
        self, link: Link, recorder: Recorder | None, lines: Lines | None, count: int | None, stop: Stop
    ) -> None:
        self.link = link
        self.recorder = recorder
        self.lines = lines
        self.limit = count
        self.count = 0
        self.shown = 0
        self.stopped = False
        """Whether there are enough."""
        self.stop = stop
        self._waiting: deque[Frame] = deque()
        self._weight = 0  # of those that wait, in bytes

    def run(self, seconds: float | None) -> None:
        """Watch for so long, or until there are enough. Raises FailedError when the interface fails."""
        deadline = None if seconds is None else clock.monotonic() + seconds
        poller = select.poll()
        poller.register(self.link.fileno(), select.POLLIN)
        while not self.stopped and not self.stop.asked:
            left = NAP_MS if deadline is None else (deadline - clock.monotonic()) * 1000
            if left <= 0:
                break
            if self._weight < MOST_WAITING and poller.poll(0 if self._waiting else min(left, NAP_MS)):
                self._take(None)
            self._print()
        end, patience = clock.time_ns(), clock.monotonic() + LAST_SECONDS
        while not self.stopped and clock.monotonic() < patience and poller.poll(LAST_MS):
            if not self._take(end):
                break
        self._print_rest()

    def _print_rest(self) -> None:
        """Print what came before the end; once interrupted, no longer than a moment."""
        patience: float | None = None
        while self._waiting:
            if self.stop.asked:
                patience = patience or clock.monotonic() + LAST_SECONDS
                if clock.monotonic() >= patience:
                    return
            self._print()

    def _take(self, end: int | None) -> bool:
        """Take all that has come, or of it what came before `end`; whether that was all of it."""
        complete = True
        while complete and self._weight < MOST_WAITING and not self.stopped:
            try:
                frames = self.link.receive(0)
            except LinkError as error:
                raise FailedError(error.strerror or str(error)) from None
            if not frames:
                break
            wanted = frames if end is None else [frame for frame in frames if frame.time_ns < end]
            complete = len(wanted) == len(frames)
            self._keep(wanted if self.limit is None else wanted[: self.limit - self.count])
        if self.recorder is not None:
            self.recorder.flush()
        return complete

    def _keep(self, frames: list[Frame]) -> None:
        self.count += len(frames)
        self.stopped = self.stopped or self.count == self.limit
        if self.recorder is not None:
            for frame in frames:
                self.recorder.write(frame)
        if self.lines is not None:
            self._waiting.extend(frames)
            self._weight += sum(OVERHEAD + len(frame.data) for frame in frames)

    def _print(self) -> None:
        """Print the next few of those that wait, so that a reader has them at once."""
        if self.lines is None or not self._waiting:
            return
        texts: list[str] = []
        while self._waiting and len(texts) < AT_ONCE:
            frame = self._waiting.popleft()
            self._weight -= OVERHEAD + len(frame.data)
            self.shown += 1
            texts.append(self.lines.of(frame, self.shown))
        print("\n".join(texts), flush=True)

    def report(self) -> str:
        """What came, and what did not."""
        inner = self.link.inner if isinstance(self.link, FilteringLink) else self.link
        dropped = inner.drops() if isinstance(inner, PacketLink) else 0
        parts = ["1 packet" if self.count == 1 else f"{self.count} packets"]
        if self.lines is not None and self.shown < self.count:
            parts.append(f"the last {self.count - self.shown} not shown")
        if self.recorder is not None:
            parts.append(f"{self.recorder.count} written to {self.recorder.name}")
        return ", ".join([*parts, f"{dropped} dropped by the kernel"])


def _tell(text: str) -> None:
    with suppress(OSError):
        print(f"rawproto: {text}", file=sys.stderr, flush=True)
