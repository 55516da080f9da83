"""One of the two processes of `rawproto demo --raw`: a host on a real interface, client or server.

Started as `python -m rawproto.cli.realhost client|server` inside its network namespace, with a pickled Job on standard
input. It reports on standard output, one JSON object a line, leaves its Side in a file in memory that its parent holds,
and lives until its standard input ends, so that it can acknowledge what the other side repeats, and so that it never
outlives its parent.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rawproto.capture.pcapng import PcapngWriter
from rawproto.capture.recording import Setup
from rawproto.link.base import Link
from rawproto.link.chance import derive_rng
from rawproto.link.impair import ImpairedLink
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.link.udp import UdpLink
from rawproto.sockets.host import Host
from rawproto.sockets.socket import Socket
from rawproto.study.options import DemoOptions
from rawproto.study.transfer import Fault, Side
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.trace import Trace
from rawproto.wire.frame import Frame

__all__ = ["Job", "main"]

PORT = 7
MACS = {"client": "02:00:00:00:01:01", "server": "02:00:00:00:01:02"}
REPORT_NS = 50_000_000
"""Progress is reported no more often than this."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one process is to do. `clock_offset` makes the clocks of both the same: monotonic time plus this, in ns.

    `result` is the descriptor, in the process itself, that takes what it noted.
    """

    options: DemoOptions
    interface: str
    address: str
    peer: str
    result: int
    clock_offset: int


class Station:
    """The host of this process, what runs on it, and what is noted of it."""

    def __init__(self, name: str, job: Job) -> None:
        self.job = job
        self.side = Side(name)
        self.trace = Trace()
        self.connection: Connection | None = None
        self.side.capture = job.options.out / f"{name}.pcapng"
        options = job.options
        link = open_link(options.carrier, job.interface, job.address)
        self.impaired = ImpairedLink(
            link, options.impairment, partial(derive_rng, options.seed, name), self._note_fault
        )
        # A low cap on the backoff: what gives up after ten seconds should have tried more than five times by then.
        config = Config(
            user_timeout=options.timeout_ns, connect_timeout=options.timeout_ns, max_rto=SECOND, **options.settings
        )
        # Like the IP address, one that the kernel does not own: it drops such frames instead of looking for a route.
        mac = MACS[name] if options.carrier == "packet" else ""
        address = str(getattr(link, "address", "")) if options.carrier == "udp" else job.address
        setup = Setup(name, address, mac, link.mtu, link.linktype, options.seed, asdict(config))
        self.recording = Recording(self.side.capture, setup)
        self.host = Host(
            self.impaired,
            address,
            mac=mac,
            name=name,
            config=config,
            seed=options.seed,
            recording=self.recording,
            trace=self.trace,
            clock=self.now,
        )

    def now(self) -> int:
        """The time that both processes share, in ns."""
        return time.monotonic_ns() + self.job.clock_offset

    def _note_fault(self, now: int, kind: str, frame: bytes, peer: str) -> None:
        data, linktype = self.impaired.inner.on_wire(frame, peer=peer, outbound=True)
        self.side.faults.append(Fault(now, self.side.name, kind, data, linktype))

    def run(self) -> None:
        """Carry both streams; a failure is noted, not raised."""
        try:
            if self.side.name == "client":
                self.side.sent = self.job.options.data
            connection = self._open()
            self.side.established_ns = self.now()
            self.connection = connection.connection
            if self.side.name == "client":
                self._run_client(connection)
            else:
                self._run_server(connection)
            connection.drain()
            connection.close()
        except OSError as error:
            self.side.error = f"{type(error).__name__}: {complaint(error)}"

    def _open(self) -> Socket:
        timeout = self.job.options.timeout_ns / 1e9
        plain = self.host.socket()
        plain.settimeout(timeout * 1.25)
        if self.side.name == "client":
            plain.connect((self.job.peer, PORT))
            return plain
        plain.bind(("", PORT))
        plain.listen()
        report(event="ready")
        connection, _ = plain.accept()
        connection.settimeout(timeout * 1.25)
        return connection

    def _run_client(self, connection: Socket) -> None:
        self.side.sent = self.job.options.data
        writer = Writer(connection, self.side.sent)
        writer.start()
        self._read_all(connection)
        writer.finish()

    def _run_server(self, connection: Socket) -> None:
        stream = self.job.options.server_stream()
        writer = Writer(connection, stream, end=False)
        writer.start()
        self._read_all(connection)
        digest = hashlib.sha256(self.side.received).digest()
        self.side.sent = stream + digest
        writer.finish()
        connection.sendall(digest)
        connection.shutdown(socket.SHUT_WR)

    def _read_all(self, connection: Socket) -> None:
        blocks: list[bytes] = []
        received = reported_ns = 0
        try:
            while block := self._recv(connection):
                if self.side.first_data_ns is None:
                    self.side.first_data_ns = self.now()
                blocks.append(block)
                received += len(block)
                if self.now() - reported_ns >= REPORT_NS:
                    reported_ns = self.now()
                    report(event="progress", bytes=received)
            self.side.end_of_stream = True
        finally:
            self.side.received = b"".join(blocks)

    def _recv(self, connection: Socket) -> bytes:
        """As recv; while this side's own stream moves on, the engine's user timeout is the only one."""
        while True:
            try:
                return connection.recv(1 << 16)
            except TimeoutError:
                engine = connection.connection
                if engine is None or engine.end is not None or engine.drained:
                    raise

    def finish(self) -> None:
        """Leave what was noted to the parent. The host lives on, unrecorded."""
        side, discarded = self.side, self.host.discarded()
        with self.host.driver.lock:
            try:
                self.recording.close()
            except OSError as error:
                side.error = side.error or f"{type(error).__name__}: {complaint(error)}"
            side.trace = list(self.trace.records)
            side.fired = dict(self.impaired.fired)
            side.faults = list(side.faults)
            side.discarded = discarded
            if self.connection is not None:
                side.stats = self.connection.stats(self.now()).as_dict()
            side.totals = self.host.stack.endpoint.totals()
        with os.fdopen(self.job.result, "wb") as file:
            pickle.dump(side, file)


class Recording:
    """A capture that ends before the host does."""

    def __init__(self, path: Path, setup: Setup) -> None:
        self._writer: PcapngWriter | None = PcapngWriter(path, comment=setup.comment())

    def write(self, frame: Frame) -> None:
        """Append `frame`, if the recording has not ended."""
        if self._writer is not None:
            self._writer.write(frame)

    def close(self) -> None:
        """End the recording."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


class Writer(threading.Thread):
    """Sends a stream while another thread reads."""

    def __init__(self, connection: Socket, data: bytes, *, end: bool = True) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._data = data
        self._end = end
        self._error: OSError | None = None

    def run(self) -> None:
        """Send all of it, and the end of the stream if that is wanted."""
        try:
            view = memoryview(self._data)
            while view:  # not sendall, whose timeout is for the whole
                view = view[self._connection.send(view) :]
            if self._end:
                self._connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._error = error

    def finish(self) -> None:
        """Wait until it is sent; raise what went wrong."""
        self.join()
        if self._error is not None:
            raise self._error


def open_link(carrier: str, interface: str, address: str) -> Link:
    """The real link for a carrier's name."""
    if carrier == "packet":
        return PacketLink(interface)
    return RawIpLink(address) if carrier == "rawip" else UdpLink(address)


def complaint(error: OSError) -> str:
    """What went wrong, in one line."""
    text = error.strerror or str(error)
    return text if error.filename is None else f"{error.filename}: {text}"


def report(**values: Any) -> None:
    """Tell the parent."""
    try:
        print(json.dumps(values), flush=True)
    except BrokenPipeError:  # it is gone
        os._exit(1)


def leave_with_parent() -> None:
    """End this process when its standard input ends, as it does when the parent is gone, however it went."""
    while os.read(0, 1024):  # not sys.stdin, on whose lock the interpreter waits when it shuts down
        pass
    os._exit(1)


def main() -> None:
    """Do the job on standard input."""
    try:
        job: Job = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):  # the parent was gone before it had said what to do
        sys.exit(1)
    threading.Thread(target=leave_with_parent, daemon=True).start()
    if ":" in job.options.settings.get("congestion_control", ""):
        sys.path.insert(0, "")  # a class of the user's own may lie in the current directory
    try:
        station = Station(sys.argv[1], job)
    except OSError as error:
        report(event="failed", error=complaint(error))
        return
    station.run()
    station.finish()
    report(event="done", failed=bool(station.side.error))
    if station.side.error:
        station.host.close(linger=0.1)  # the peer need not wait for one that has given up
    threading.Event().wait()  # until the parent has seen enough


if __name__ == "__main__":
    main()
