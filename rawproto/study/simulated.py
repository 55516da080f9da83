"""The main job in virtual time: a file crosses a simulated Ethernet, while the server sends a stream of its own.

The client sends the file and ends its direction. The server sends its stream meanwhile, and after the client's end of
stream the SHA-256 of what it received; then it ends its direction too. Each side has one task that writes and one
that reads. A transfer that fails is an Outcome that says so, never an exception.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from rawproto.capture.pcapng import PcapngWriter
from rawproto.errors import RawprotoError
from rawproto.sim.lan import Lan
from rawproto.sim.network import Condition, Host, StalledError, Task
from rawproto.sim.stream import Stream, accept, connect, listen, wait_closed
from rawproto.study.options import DemoOptions
from rawproto.study.transfer import Fault, Outcome, Side
from rawproto.transport.config import Config
from rawproto.transport.trace import Trace

__all__ = ["PORT", "Progress", "run_simulated"]

PORT = 7
ADDRESSES = {False: {"client": "10.0.0.1", "server": "10.0.0.2"}, True: {"client": "fd00::1", "server": "fd00::2"}}

Progress = Callable[[int, int], None]
"""Told how many bytes of the file have arrived, and how many there are."""


class Station:
    """One of the two hosts with all that is noted of it: trace, faults, capture, and its side of the outcome."""

    def __init__(self, lan: Lan, name: str, options: DemoOptions) -> None:
        self.side = Side(name)
        self.capture = options.out / f"{name}.pcapng"
        self.done = False
        """The reading half is over, whether it went well or not."""
        self._lan = lan
        trace = Trace()
        self.side.trace = trace.records
        address = ADDRESSES[options.ipv6][name]
        config = Config()
        setup = json.dumps(lan.setup(name, address, config))
        self.writer = PcapngWriter(self.capture, comment=setup)
        self.host: Host = lan.host(
            name,
            address,
            config=config,
            impairment=options.impairment,
            on_fault=self._note_fault,
            recording=self.writer,
            trace=trace,
        )

    def _note_fault(self, now: int, kind: str, frame: bytes, _: str) -> None:
        self.side.faults.append(Fault(now, self.side.name, kind, frame, self._lan.segment.linktype))

    def spawn(self, task: Task) -> None:
        """Start `task`; if it fails, its reason becomes the side's error."""
        self.host.spawn(self._guarded(task))

    def _guarded(self, task: Task) -> Task:
        try:
            yield from task
        except RawprotoError as error:
            self.side.error = self.side.error or str(error)
            self.done = True

    def read_all(self, stream: Stream) -> Task:
        """Read until the peer's end of stream, noting when the first bytes came."""
        blocks: list[bytes] = []
        try:
            while block := (yield from stream.recv()):
                if self.side.first_data_ns is None:
                    self.side.first_data_ns = self.host.now
                blocks.append(block)
                self.received += len(block)
            self.side.end_of_stream = True
        finally:
            self.side.received = b"".join(blocks)
            self.done = True

    received = 0

    def finish(self) -> Side:
        """Close the capture and give the side with what the stack has counted."""
        self.writer.close()
        side, stack = self.side, self.host.stack
        side.capture = self.capture
        side.totals = stack.endpoint.totals()
        side.discarded = stack.endpoint.discarded + stack.carrier.discarded
        side.fired = dict(self._lan.impaired[side.name].fired)
        return side


def run_simulated(options: DemoOptions, progress: Progress | None = None) -> Outcome:
    """Carry `options.data` over a simulated network. The wall time in the outcome is left for the caller to measure.

    Writes client.pcapng and server.pcapng into `options.out`; raises OSError if that can't be done.
    """
