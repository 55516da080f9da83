"""The main job in virtual time: a file crosses a simulated Ethernet, while the server sends a stream of its own.

The client sends the file and ends its direction. The server sends its stream meanwhile, and after the client's end of
stream the SHA-256 of what it received; then it ends its direction too. Each side has one task that writes and one
that reads. A transfer that fails is an Outcome that says so, never an exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from rawproto.capture.pcapng import PcapngWriter
from rawproto.errors import RawprotoError
from rawproto.sim.lan import Lan
from rawproto.sim.network import StalledError, Task
from rawproto.sim.stream import ConnectionEndedError, Stream, accept, connect, listen, wait_closed
from rawproto.study.options import DemoOptions
from rawproto.study.transfer import Fault, Outcome, Side
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.trace import Trace

PATIENCE = 3600 * SECOND
"""How long a side goes on without an answer, in virtual time."""

__all__ = ["PORT", "Progress", "run_simulated"]

PORT = 7000
IPV4 = {"client": "10.0.0.1", "server": "10.0.0.2"}
IPV6 = {"client": "fd00::1", "server": "fd00::2"}

Progress = Callable[[int, int], None]
"""Told how many bytes of the file have arrived, and how many there are."""


class Station:
    """One of the two hosts with all that is noted of it: what its application did, trace, faults, capture."""

    def __init__(self, lan: Lan, name: str, options: DemoOptions) -> None:
        addresses = IPV6 if options.ipv6 else IPV4
        self.peer = addresses["server" if name == "client" else "client"]
        self.side = Side(name, capture=options.out / f"{name}.pcapng")
        self.blocks: list[bytes] = []
        self.received = 0
        self.reading = True
        self.connection: Connection | None = None
        self._lan = lan
        # Virtual time is free: give up only where no patience would help.
        config = Config(user_timeout=PATIENCE, connect_timeout=PATIENCE, **options.settings)
        trace = Trace()
        self.side.trace = trace.records
        setup = lan.setup(name, addresses[name], config)
        self._writer = PcapngWriter(options.out / f"{name}.pcapng", comment=setup.comment())
        self.host = lan.host(
            name,
            addresses[name],
            config=config,
            impairment=options.impairment,
            on_fault=self._note_fault,
            recording=self._writer,
            trace=trace,
        )

    def _note_fault(self, now: int, kind: str, frame: bytes, _: str) -> None:
        self.side.faults.append(Fault(now, self.side.name, kind, frame, self._lan.segment.linktype))

    def spawn(self, task: Task) -> None:
        """Start `task` on the host; if it fails, its reason becomes the side's error."""
        self.host.spawn(self._guarded(task))

    def _guarded(self, task: Task) -> Task:
        try:
            yield from task
        except RawprotoError as error:
            self.side.error = self.side.error or str(error)
            self.reading = False

    def established(self, stream: Stream) -> None:
        """Note that connect or accept has returned, and start to read."""
        self.side.established_ns = self.host.now
        self.connection = stream.connection
        self.spawn(self._read_all(stream))

    def _read_all(self, stream: Stream) -> Task:
        while block := (yield from stream.recv()):
            if self.side.first_data_ns is None:
                self.side.first_data_ns = self.host.now
            self.blocks.append(block)
            self.received += len(block)
        self.side.end_of_stream = True
        self.reading = False

    def finish(self) -> Side:
        """Close the capture and give the side with what the stack has counted."""
        self._writer.close()
        side, stack = self.side, self.host.stack
        side.received = b"".join(self.blocks)
        side.totals = stack.endpoint.totals()
        side.discarded = stack.endpoint.discarded + stack.carrier.discarded
        if self.connection is not None:
            side.stats = self.connection.stats(self.host.now).as_dict()
        side.fired = dict(self._lan.impaired[side.name].fired)
        return side


def run_simulated(options: DemoOptions, progress: Progress | None = None) -> Outcome:
    """Carry `options.data` over a simulated network. The wall time in the outcome is left for the caller to measure.

    Writes client.pcapng and server.pcapng into `options.out`. Raises OSError if that can't be done.
    """
    lan = Lan(options.seed)
    client, server = (Station(lan, name, options) for name in ("client", "server"))
    simulation = lan.simulation
    if progress is not None:
        simulation.observers.append(lambda _: progress(server.received, options.size))
    server.spawn(_serve(server, options.server_stream()))
    client.spawn(_send_file(client, options.data))
    try:
        simulation.run()
    except StalledError:
        for station in (client, server):
            if station.reading and not station.side.error:
                nobody = station.side.established_ns is None
                station.side.error = "nobody connected" if nobody else "nothing came any more, and no end of stream"
    time_ns = simulation.now
    # What is still under way arrives, and TIME-WAIT passes: the captures show it, the time of the transfer does not.
    simulation.run_idle()
    return Outcome(options.seed, client.finish(), server.finish(), 0.0, time_ns)


def _send_file(station: Station, data: bytes) -> Task:
    station.side.sent = data
    stream = yield from connect(station.host, station.peer, PORT)
    station.established(stream)
    yield from stream.sendall(data)
    yield from _end(stream)


def _serve(station: Station, data: bytes) -> Task:
    station.side.sent = data
    stream = yield from accept(station.host, listen(station.host, PORT))
    station.established(stream)
    yield from stream.sendall(data)
    yield lambda: not station.reading
    if not station.side.end_of_stream:
        return
    digest = hashlib.sha256(b"".join(station.blocks)).digest()
    station.side.sent += digest
    yield from stream.sendall(digest)
    yield from _end(stream)


def _end(stream: Stream) -> Task:
    """End this direction, and wait until the peer has acknowledged that. Raises ConnectionEndedError."""
    stream.shutdown()
    yield from wait_closed(stream)
    end = stream.connection.end
    if end is not None and end.cause != "closed":
        raise ConnectionEndedError(end)
