"""Simulated networks: repeatable to the byte, many connections at once, any fault, any garbage."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rawproto.errors import RawprotoError
from rawproto.link.chance import derive_rng
from rawproto.link.impairment import Impairment
from rawproto.sim.lan import Lan
from rawproto.sim.network import Condition, Host, Simulation, StalledError
from rawproto.sim.stream import ConnectionEndedError, accept, connect, listen, wait_closed
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.endpoint import Listener
from rawproto.transport.trace import Ended, Trace
from rawproto.wire.frame import Frame

Wait = Iterator[Condition]
FAULTY = Impairment(
    loss=0.1, reorder=0.1, reorder_delay_ns=3 * MS, duplicate=0.05, corrupt=0.05, delay_ns=5 * MS, jitter_ns=MS
)


class Recording:
    """Frames and calls, as a capture would hold them."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def write(self, frame: Frame) -> None:
        self.frames.append(frame)

    def digest(self) -> str:
        return hashlib.sha256(repr(self.frames).encode()).hexdigest()


class Transfer:
    """A client sends `data`, the server answers with its digest; both then close."""

    def __init__(self, seed: int, impairment: Impairment, size: int = 50_000, config: Config | None = None) -> None:
        self.lan = Lan(seed)
        self.recordings = Recording(), Recording()
        self.traces = Trace(), Trace()
        self.client, self.server = (
            self.lan.host(
                name, f"10.0.0.{at + 1}", config=config, impairment=impairment, recording=recording, trace=trace
            )
            for at, (name, recording, trace) in enumerate(
                zip(("client", "server"), self.recordings, self.traces, strict=True)
            )
        )
        self.data = derive_rng(seed, "data").randbytes(size)
        self.received = b""
        self.answer = b""
        self.ends: list[str] = []
        self.server.spawn(self.serve())
        self.client.spawn(self.request())

    def request(self) -> Wait:
        try:
            stream = yield from connect(self.client, "10.0.0.2", 80)
            yield from stream.sendall(self.data)
            stream.shutdown()
            self.answer = yield from stream.recv_all()
            stream.close()
        except ConnectionEndedError as error:
            self.ends.append(error.end.cause)

    def serve(self) -> Wait:
        listener = listen(self.server, 80)
        try:
            stream = yield from accept(self.server, listener)
            self.received = yield from stream.recv_all()
            yield from stream.sendall(hashlib.sha256(self.received).digest())
            stream.close()
        except ConnectionEndedError as error:
            self.ends.append(error.end.cause)

    def run(self) -> Transfer:
        self.lan.simulation.run(until=4000 * SECOND)
        self.lan.simulation.run_idle()
        return self

    @property
    def whole(self) -> bool:
        return self.received == self.data and self.answer == hashlib.sha256(self.data).digest()

    def fingerprint(self) -> str:
        digests = [recording.digest() for recording in self.recordings]
        digests += [hashlib.sha256(repr(trace.records).encode()).hexdigest() for trace in self.traces]
        return " ".join(digests)


def test_the_same_seed_gives_the_same_bytes_and_traces() -> None:
    first = Transfer(7, FAULTY).run()
    assert first.whole
    assert first.fingerprint() == Transfer(7, FAULTY).run().fingerprint()
    assert first.fingerprint() != Transfer(8, FAULTY).run().fingerprint()


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_another_process_with_another_hash_seed_gives_the_same(hash_seed: str) -> None:
    script = "import test_sim_network as t; print(t.Transfer(7, t.FAULTY).run().fingerprint())"
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), *sys.path])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == Transfer(7, FAULTY).run().fingerprint(), done.stderr


def mixed_faults(seed: int) -> Impairment:
    rng = derive_rng(seed, "faults")
    return Impairment(
        loss=rng.choice([0, 0.01, 0.1, 0.2, 0.3]),
        burst_start=rng.choice([0, 0, 0.02]),
        reorder=rng.choice([0, 0.1, 0.3]),
        reorder_delay_ns=rng.choice([1, MS, 50 * MS]),
        duplicate=rng.choice([0, 0.1]),
        corrupt=rng.choice([0, 0.1]),
        delay_ns=rng.choice([0, MS, 100 * MS]),
        jitter_ns=rng.choice([0, 20 * MS]),
        jitter_keeps_order=rng.random() < 0.5,
        rate_bps=rng.choice([None, 10_000_000]),
    )


@pytest.mark.parametrize("seed", range(60))
def test_whatever_the_faults_a_transfer_is_whole_or_ends_with_an_error(seed: int) -> None:
    rng = derive_rng(seed, "shape")
    config = Config(
        receive_buffer=rng.choice([1000, 5000, 1 << 20]),
        send_buffer=rng.choice([1000, 1 << 20]),
        max_ranges=rng.choice([1, 8, 1024]),
        congestion_control=rng.choice(["reno", "none"]),
    )
    transfer = Transfer(seed, mixed_faults(seed), rng.choice([0, 1, 20_000, 60_000]), config)
    try:
        transfer.run()
    except StalledError:  # one side has given up, its reset was lost, and the other one has nothing to send
        assert any(isinstance(record, Ended) for trace in transfer.traces for record in trace.records)
        assert not transfer.whole
        return
    assert transfer.data.startswith(transfer.received)
    assert transfer.whole or set(transfer.ends) <= {"timeout", "reset", "refused"} != set()
    assert transfer.whole != bool(transfer.ends)
    for host in (transfer.client, transfer.server):
        assert not host.tasks
        assert host.stack.endpoint.connections == {}
        assert host.stack.endpoint.next_timeout() is None


def test_thirty_percent_loss_is_survived() -> None:
    transfer = Transfer(3, Impairment(loss=0.3, delay_ns=5 * MS), 30_000).run()
    assert transfer.whole


@pytest.mark.rfc("9293", "MUST-22")
def test_a_dead_wire_ends_both_sides() -> None:
    transfer = Transfer(1, Impairment(loss=1.0), 10)
    with pytest.raises(StalledError, match="server"):
        transfer.lan.simulation.run()
    assert transfer.ends == ["timeout"]
    assert transfer.client.now >= 180 * SECOND


def test_a_wire_cut_in_the_middle_ends_both_sides() -> None:
    transfer = Transfer(1, Impairment(rate_bps=1_000_000, delay_ns=MS), 100_000)
    transfer.lan.simulation.run(until=SECOND // 10)
    for link in transfer.lan.segment.links:
        transfer.lan.segment.detach(link)
    with pytest.raises(StalledError, match="server"):  # it only receives, and waits for ever
        transfer.run()
    assert transfer.ends == ["timeout"]
    assert not transfer.whole


def test_fifty_connections_at_once_each_carry_their_own_file() -> None:
    lan = Lan(5)
    lossy = Impairment(loss=0.02, delay_ns=5 * MS)
    client = lan.host("client", "10.0.0.1", impairment=lossy)
    server = lan.host("server", "10.0.0.2", impairment=lossy)
    files = [derive_rng(5, f"file {number}").randbytes(20_000 + 100 * number) for number in range(50)]
    got: list[bytes] = []
    most: list[int] = []

    def send(data: bytes) -> Wait:
        stream = yield from connect(client, "10.0.0.2", 80)
        yield from stream.sendall(data)
        yield lambda: len(most) == len(files)  # so that all of them are open at once, whatever is lost
        stream.close()
        yield from wait_closed(stream)

    def serve(listener: Listener) -> Wait:
        stream = yield from accept(server, listener)
        most.append(len(server.stack.endpoint.connections))
        got.append((yield from stream.recv_all()))
        stream.close()

    listener = listen(server, 80)
    for data in files:
        client.spawn(send(data))
        server.spawn(serve(listener))
    lan.simulation.run()
    assert sorted(got) == sorted(files)
    assert max(most) == 50
    lan.simulation.run_idle()
    assert client.stack.endpoint.connections == server.stack.endpoint.connections == {}


def test_applications_that_wait_for_nothing_are_told() -> None:
    lan = Lan(1)
    host = lan.host("lonely", "10.0.0.1")

    def wait(host: Host) -> Wait:
        yield from accept(host, listen(host, 80))

    host.spawn(wait(host))
    with pytest.raises(StalledError, match="lonely"):
        lan.simulation.run()


def test_a_run_stops_at_the_time_given() -> None:
    transfer = Transfer(1, Impairment(loss=1.0), 10)
    times: list[int] = []
    transfer.lan.simulation.observers.append(times.append)
    transfer.lan.simulation.run(until=10 * SECOND)
    assert transfer.client.now == 10 * SECOND
    assert times
    assert max(times) <= 10 * SECOND


def test_time_begins_where_it_is_told() -> None:
    lan = Lan(1, simulation=Simulation(start=5 * SECOND))
    assert lan.host("a", "10.0.0.1").now == 5 * SECOND


def test_connecting_to_nobody_is_refused() -> None:
    lan = Lan(1)
    client = lan.host("client", "10.0.0.1")
    lan.host("server", "10.0.0.2")

    def go() -> Wait:
        yield from connect(client, "10.0.0.2", 80)

    client.spawn(go())
    with pytest.raises(ConnectionEndedError, match="refused"):
        lan.simulation.run()


def test_an_abort_is_seen_by_the_peer() -> None:
    lan = Lan(1)
    client, server = lan.host("client", "10.0.0.1"), lan.host("server", "10.0.0.2")
    causes: list[str] = []

    def go() -> Wait:
        stream = yield from connect(client, "10.0.0.2", 80)
        stream.abort()

    def serve() -> Wait:
        stream = yield from accept(server, listen(server, 80))
        try:
            yield from stream.recv_all()
        except ConnectionEndedError as error:
            causes.append(error.end.cause)

    server.spawn(serve())
    client.spawn(go())
    lan.simulation.run()
    assert causes == ["reset"]


def test_whoever_accepts_second_is_told() -> None:
    lan = Lan(1)
    client, server = lan.host("client", "10.0.0.1"), lan.host("server", "10.0.0.2")
    listener = listen(server, 80)
    client.stack.connect("10.0.0.2", 80, 0)

    def thief() -> Wait:
        yield lambda: bool(listener.queue)
        listener.queue.clear()

    waiting = accept(server, listener)
    condition = next(waiting)
    server.spawn(thief())
    lan.simulation.run()
    assert not condition()
    with pytest.raises(RawprotoError, match="port 80"):
        next(waiting)


@pytest.mark.parametrize("seed", range(8))
def test_garbage_on_the_segment_never_raises_and_is_counted(seed: int) -> None:
    """Random bytes, and frames of the transfer itself with bytes changed, repeated at any time."""
    transfer = Transfer(seed, Impairment(delay_ns=MS), 30_000)
    rng = derive_rng(seed, "garbage")
    troll = transfer.lan.segment.attach("troll")
    seen: list[bytes] = []
    for _ in range(80):
        transfer.lan.simulation.run(until=transfer.client.now + MS)
        seen += [frame.data for frame in troll.receive(0)]
        batch = [rng.randbytes(rng.randrange(200)) for _ in range(3)]
        for _ in range(3):
            frame = bytearray(rng.choice(seen or [bytes(60)]))
            for _ in range(rng.choice([1, 2])):
                frame[rng.randrange(14, len(frame))] = rng.randrange(256)
            batch.append(bytes(frame))
        troll.send(batch, 0)
    transfer.run()
    assert transfer.whole
    hosts = (transfer.client, transfer.server)
    assert sum(host.stack.endpoint.discarded["checksum"] for host in hosts) > 0
    assert sum(host.stack.carrier.discarded["short frame"] for host in hosts) > 0  # type: ignore[attr-defined]
