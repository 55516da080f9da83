"""Whole networks: who shares what, and what a transport sees of queues, cuts, translators and short paths."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from rawproto.capture.pcapng import PcapngWriter
from rawproto.errors import ConfigError, RawprotoError
from rawproto.link.chance import derive_rng
from rawproto.link.impairment import Impairment
from rawproto.link.queue import CoDel, DropTail
from rawproto.sim.network import Condition, Host, HostCondition, StalledError
from rawproto.sim.port import Line
from rawproto.sim.stream import ConnectionEndedError, accept, connect, listen
from rawproto.sim.topology import Network, chain, dumbbell
from rawproto.testing.replay import replay
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.trace import Trace
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet

Wait = Generator[Condition, None, None]


class Recording:
    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def write(self, frame: Frame) -> None:
        self.frames.append(frame)


class Upload:
    """A client sends `size` bytes to a server."""

    def __init__(self, client: Host, server: Host, size: int, *, peer: str = "") -> None:
        self.client, self.server = client, server
        self.peer = peer or server.stack.carrier.address  # type: ignore[attr-defined]
        self.data = derive_rng(1, client.name).randbytes(size)
        self.received = b""
        self.seen_as = ""
        self.end = ""
        self.done_ns = -1
        server.spawn(self.serve())
        client.spawn(self.send())

    def send(self) -> Wait:
        try:
            stream = yield from connect(self.client, self.peer, 80)
            yield from stream.sendall(self.data)
            stream.close()
        except ConnectionEndedError as error:
            self.end = error.end.cause

    def serve(self) -> Wait:
        try:
            stream = yield from accept(self.server, listen(self.server, 80))
            self.seen_as = stream.connection.peer
            self.received = yield from stream.recv_all()
            self.done_ns = self.server.now
            stream.close()
        except RawprotoError as error:
            self.end = str(error)

    @property
    def whole(self) -> bool:
        return self.received == self.data


def test_a_dumbbell_shares_one_queue() -> None:
    network = dumbbell(1, 3, rate_bps=20_000_000, delay_ns=5 * MS, queue=partial(DropTail, 60_000))
    uploads = [Upload(*pair, 300_000) for pair in zip(network.clients, network.servers, strict=True)]
    network.simulation.run()
    assert all(upload.whole for upload in uploads)
    meter = network.bottleneck.meter
    assert meter.longest_bytes <= 60_000
    assert meter.dropped["tail"] > 0
    assert meter.sent_bytes > 900_000
    # Alone each would take some 130 ms at this rate; nobody can be done with all of them on one line before this.
    assert max(upload.done_ns for upload in uploads) > 900_000 * 8 * SECOND // 20_000_000
    assert network.way_back.meter.sent > 0
    assert not network.way_back.meter.dropped


def test_each_client_has_its_own_way_to_the_router() -> None:
    network = dumbbell(1, 2, rate_bps=1_000_000_000, delay_ns=MS, access_ns=[0, 30 * MS])
    uploads = [Upload(*pair, 10) for pair in zip(network.clients, network.servers, strict=True)]
    network.simulation.run()
    near, far = (upload.done_ns for upload in uploads)
    assert near < 10 * MS
    assert far > 62 * MS


def fingerprint(seed: int = 7) -> str:
    faults = Impairment(loss=0.03, reorder=0.1, reorder_delay_ns=3 * MS, duplicate=0.02, jitter_ns=MS)
    traces = [Trace(), Trace()]
    network = dumbbell(
        seed, 2, rate_bps=10_000_000, delay_ns=5 * MS, queue=CoDel, access_ns=[0, MS], impairment=faults, traces=traces
    )
    recording = Recording()
    extra = network.client("watched", "10.0.9.9", line=Line(delay_ns=3 * MS), recording=recording)
    network.blackhole("left", "right", 300 * MS, 400 * MS, SECOND)
    pairs = [*zip(network.clients[:2], network.servers, strict=True), (extra, network.server("last", "10.1.9.9"))]
    uploads = [Upload(*pair, 60_000) for pair in pairs]
    network.simulation.run(until=300 * SECOND)
    assert all(upload.whole for upload in uploads)
    told = [repr(recording.frames), *(repr(trace.records) for trace in traces), repr(network.bottleneck.meter)]
    return hashlib.sha256("".join(told).encode()).hexdigest()


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert fingerprint() == fingerprint()
    assert fingerprint() != fingerprint(8)


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_another_process_with_another_hash_seed_gives_the_same(hash_seed: str) -> None:
    script = "import test_sim_topology as t; print(t.fingerprint())"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == fingerprint(), done.stderr


@pytest.mark.parametrize("version", [4, 6])
def test_a_chain_forwards_over_all_its_hops(version: int) -> None:
    network = chain(1, Line(delay_ns=MS), Line(delay_ns=2 * MS), Line(delay_ns=3 * MS))
    here, there = ("10.0.0.1", "10.0.0.2") if version == 4 else ("fd00::1", "fd00::2")
    recording = Recording()
    client, server = network.client("client", here), network.server("server", there, recording=recording)
    upload = Upload(client, server, 10_000)
    network.simulation.run()
    assert upload.whole
    assert upload.seen_as == here
    first = next(frame for frame in recording.frames if frame.linktype is LinkType.RAW)
    assert first.time_ns == 6 * MS
    if version == 4:
        assert Packet.parse(first)[IPv4].ttl == 64 - 4


def test_hosts_can_be_put_on_any_router_of_a_chain() -> None:
    network = chain(1, Line(), Line(delay_ns=MS))
    middle = network.host("middle", "10.0.0.5", network.row[1])
    uploads = [
        Upload(middle, network.client("first", "10.0.0.1"), 10),
        Upload(network.server("last", "10.0.0.9"), middle, 10),
    ]
    network.simulation.run()
    assert all(upload.whole for upload in uploads)


def test_a_narrow_hop_drops_long_packets_in_silence() -> None:
    network = chain(1, Line(delay_ns=MS), Line(delay_ns=MS, mtu=1280))
    client, server = network.client("client", "10.0.0.1"), network.server("server", "10.0.0.2")
    client.stack.carrier.send("10.0.0.2", [bytes(1480), bytes(1261), bytes(1260)], 0)
    network.simulation.run_idle(until=SECOND)
    assert network.ports["r1->r2"].meter.dropped == {"mtu_drop": 2}
    assert network.ports["r1->r2"].meter.sent == 1
    assert server.stack.endpoint.discarded.total() == 1
    assert client.stack.endpoint.discarded.total() == 0


def test_a_transfer_survives_cuts_that_come_back() -> None:
    network = dumbbell(1, 1, rate_bps=1_000_000, delay_ns=5 * MS, queue=partial(DropTail, 20_000))
    upload = Upload(network.clients[0], network.servers[0], 400_000)
    network.blackhole("left", "right", SECOND, 3 * SECOND // 2, 2 * SECOND)
    network.simulation.run(until=60 * SECOND)
    assert upload.whole
    assert network.bottleneck.meter.dropped["blackhole"] > 0
    assert network.way_back.meter.dropped["blackhole"] > 0


def test_a_cut_one_way_leaves_the_other_way_open() -> None:
    network = dumbbell(1, 1, rate_bps=1_000_000, delay_ns=5 * MS)
    upload = Upload(network.clients[0], network.servers[0], 100_000)
    network.blackhole("right", "left", 200 * MS, 500 * MS, both=False)
    network.simulation.run(until=60 * SECOND)
    assert upload.whole
    assert not network.bottleneck.meter.dropped
    assert network.way_back.meter.dropped["blackhole"] > 0


def test_a_link_can_be_changed_while_a_transfer_is_under_way() -> None:
    def run(changes: bool) -> int:
        network = dumbbell(1, 1, rate_bps=10_000_000, delay_ns=5 * MS, queue=partial(DropTail, 50_000))
        upload = Upload(network.clients[0], network.servers[0], 500_000)
        if changes:
            network.simulation.at(200 * MS, lambda: network.bottleneck.set_rate(1_000_000))
            network.simulation.at(200 * MS, lambda: network.bottleneck.set_delay(50 * MS))
        network.simulation.run()
        assert upload.whole
        return upload.done_ns

    assert run(False) < 700 * MS
    assert run(True) > 2 * SECOND


def behind_nat(*addresses: str) -> tuple[Network, Host, Host]:
    network = Network(1)
    router = network.router("r")
    nat = network.nat("nat", router, line=Line(delay_ns=5 * MS))
    client = network.host("client", addresses[0], nat)
    server = network.host("server", addresses[1], router, line=Line(rate_bps=10_000_000))
    network.bind(nat, addresses[0], addresses[2])
    return network, client, server


NATS = [
    ("10.0.0.1", "198.51.100.1", "203.0.113.1", "203.0.113.2"),
    ("10.0.0.1:4000", "198.51.100.1:7000", "203.0.113.1:4001", "203.0.113.1:4002"),
    ("fd00::1", "2001:db8::1", "2001:db8:1::1", "2001:db8:1::2"),
]


@pytest.mark.parametrize("addresses", NATS)
def test_a_server_sees_a_host_behind_a_translator_from_outside(addresses: tuple[str, ...]) -> None:
    network, client, server = behind_nat(*addresses)
    upload = Upload(client, server, 50_000)
    network.simulation.run()
    assert upload.whole
    assert upload.seen_as == addresses[2]


@pytest.mark.parametrize("addresses", NATS)
def test_a_rebinding_in_mid_flight_makes_another_peer(addresses: tuple[str, ...]) -> None:
    network, client, server = behind_nat(*addresses)
    peers: list[str] = []
    receive = server.stack.carrier.receive

    def noting(now: int) -> object:
        found = list(receive(now))
        peers.extend(run[0] for run in found if run[0] not in peers)
        return found

    server.stack.carrier.receive = noting  # type: ignore[method-assign, assignment]
    Upload(client, server, 200_000)
    nat = network.routers["nat"]
    network.simulation.at(100 * MS, lambda: network.bind(nat, addresses[0], addresses[3]))  # type: ignore[arg-type]
    network.simulation.run_idle(until=SECOND)
    assert peers == [addresses[2], addresses[3]]


def test_nobody_outside_reaches_what_is_behind_a_translator_by_its_own_address() -> None:
    network, _, server = behind_nat(*NATS[0])
    server.stack.carrier.send("10.0.0.1", [b"x"], 0)
    network.simulation.run_idle(until=SECOND)
    assert network.routers["r"].dropped == {"no route": 1}


def test_a_router_behind_a_translator_reaches_out_and_is_not_reached() -> None:
    network, client, server = behind_nat(*NATS[0])
    inner = network.router("inner")
    network.join(inner, network.routers["nat"])
    deep = network.host("deep", "10.0.0.9", inner)
    network.bind(network.routers["nat"], "10.0.0.9", "203.0.113.9")  # type: ignore[arg-type]
    uploads = [Upload(deep, server, 1000)]
    network.simulation.run()
    uploads.append(Upload(deep, client, 1000))
    network.simulation.run()
    assert all(upload.whole for upload in uploads)
    assert [upload.seen_as for upload in uploads] == ["203.0.113.9", "10.0.0.9"]
    server.stack.carrier.send("10.0.0.9", [b"x"], 0)
    network.simulation.run_idle()
    assert network.routers["r"].dropped == {"no route": 1}


def test_many_frames_in_one_batch_need_fewer_steps_and_arrive_all_the_same() -> None:
    def steps(moderation_ns: int) -> int:
        network = dumbbell(1, 1, rate_bps=100_000_000, delay_ns=5 * MS, moderation_ns=moderation_ns)
        upload = Upload(network.clients[0], network.servers[0], 500_000)
        server = network.servers[0]
        times: list[int] = []
        step = server.step
        server.step = lambda now: (times.append(now), step(now))[1]  # type: ignore[method-assign, func-returns-value]
        network.simulation.run()
        assert upload.whole
        return len(times)

    assert steps(MS) < steps(0) / 3


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda network: network.router("r"), "a router named 'r'"),
        (lambda network: network.host("b", "10.0.0.1", network.routers["r"]), "10.0.0.1 is in use"),
        (lambda network: network.host("a", "10.0.0.2", network.routers["r"]), "a link 'a->r' already"),
        (lambda network: network.blackhole("a", "b", 0, 1), "no link 'a->b'; there are: a->r, r->a"),
    ],
)
def test_what_can_not_be_built_is_refused(make: object, text: str) -> None:
    network = Network(1)
    network.host("a", "10.0.0.1", network.router("r"))
    with pytest.raises(ConfigError, match=text):
        make(network)  # type: ignore[operator]


@pytest.mark.parametrize(("here", "there"), [("10.0.0.1", "10.1.0.1"), ("[fd00::1]:40", "[fd00::2]:70")])
def test_a_recording_of_a_host_can_be_replayed(here: str, there: str, tmp_path: Path) -> None:
    path = tmp_path / "client.pcapng"
    config, line = Config(), Line(rate_bps=5_000_000, delay_ns=MS, mtu=1300)
    network = Network(5)
    router = network.router("r")
    with PcapngWriter(path, comment=network.setup("client", here, config, line).comment()) as writer:
        client = network.host("client", here, router, line=line, config=config, recording=writer)
        impairment = Impairment(loss=0.05, delay_ns=5 * MS)
        server = network.host("server", there, router, line=Line(mtu=1300, impairment=impairment))
        upload = Upload(client, server, 100_000)
        network.simulation.run()
        network.simulation.run_idle()
    assert upload.whole
    counts = replay(path).counts
    assert counts.sent > 70
    assert counts.received > 10


# -- the loop ----------------------------------------------------------------------------------------------------------


def test_a_task_may_wait_for_what_another_host_does() -> None:
    network = dumbbell(1, 2, rate_bps=10_000_000, delay_ns=5 * MS)
    upload = Upload(network.clients[0], network.servers[0], 10_000)
    seen: list[int] = []

    def wait() -> Wait:
        yield lambda: upload.whole
        seen.append(network.clients[1].now)

    network.clients[1].spawn(wait())
    network.simulation.run()
    assert seen == [upload.done_ns]


def test_an_action_may_call_a_stack() -> None:
    network = dumbbell(1, 1, rate_bps=10_000_000, delay_ns=5 * MS)
    client, server = network.clients[0], network.servers[0]
    listener = listen(server, 80)
    network.simulation.at(SECOND, lambda: client.stack.connect("10.1.0.1", 80, client.now))

    def serve() -> Wait:
        yield from accept(server, listener)

    server.spawn(serve())
    network.simulation.run()
    assert SECOND + 10 * MS <= server.now < SECOND + 20 * MS


def test_an_action_to_come_keeps_a_run_from_stalling() -> None:
    network = dumbbell(1, 1, rate_bps=10_000_000, delay_ns=5 * MS)
    client = network.clients[0]
    happened: list[int] = []

    def wait() -> Wait:
        yield HostCondition(lambda: bool(happened))

    client.spawn(wait())
    network.simulation.at(7 * SECOND, lambda: happened.append(1))
    network.simulation.run()
    assert client.now == 7 * SECOND
    happened.clear()
    client.spawn(wait())
    with pytest.raises(StalledError, match="client0"):
        network.simulation.run()
