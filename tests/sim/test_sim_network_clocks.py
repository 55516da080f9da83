"""The clocks of hosts: they jump, stacks live on through it, wires do not notice; and a host that loses its memory."""

from __future__ import annotations

import pytest

from rawproto.link.impairment import Impairment
from rawproto.sim.lan import Lan
from rawproto.sim.network import HostCondition, Task
from rawproto.sim.stream import ConnectionEndedError, accept, connect, listen, sleep
from rawproto.sim.topology import Network
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.trace import Trace
from rawproto.wire.frame import Direction, Frame

DELAY = Impairment(delay_ns=5 * MS)


class Recording:
    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def write(self, frame: Frame) -> None:
        self.frames.append(frame)


class Pair:
    """A client that sends `size` octets, and a server that reads them; the wire takes 5 ms each way."""

    def __init__(self, size: int = 200_000, impairment: Impairment = DELAY, config: Config | None = None) -> None:
        self.lan = Lan(3)
        self.simulation = self.lan.simulation
        self.traces = {"client": Trace(), "server": Trace()}
        self.recording = Recording()
        self.client, self.server = (
            self.lan.host(
                name, address, impairment=impairment, config=config, trace=self.traces[name], recording=recording
            )
            for name, address, recording in (("client", "10.0.0.1", None), ("server", "10.0.0.2", self.recording))
        )
        self.data = bytes(size)
        self.got = b""
        self.ends: list[str] = []
        self.server.spawn(self.serve())
        self.client.spawn(self.send())

    def send(self) -> Task:
        stream = yield from connect(self.client, "10.0.0.2", 80)
        try:
            yield from stream.sendall(self.data)
            stream.shutdown()
            yield from stream.recv_all()
            stream.close()
        except ConnectionEndedError as error:
            self.ends.append(error.end.cause)

    def serve(self) -> Task:
        stream = yield from accept(self.server, listen(self.server, 80))
        self.got = yield from stream.recv_all()
        stream.close()


def test_the_clock_of_a_host_is_the_networks_until_it_jumps() -> None:
    host = Lan(1).host("a", "10.0.0.1")
    assert (host.now, host.offset) == (0, 0)
    host.jump(5 * SECOND)
    assert (host.now, host.offset, host.simulation.now) == (5 * SECOND, 5 * SECOND, 0)
    host.jump(-2 * SECOND)
    assert (host.now, host.offset) == (5 * SECOND, 3 * SECOND)
    host.simulation.at(3 * SECOND, lambda: None)
    host.simulation.run_idle()
    assert host.now == 6 * SECOND


def test_a_clock_put_back_stands_still_until_it_is_caught_up_with() -> None:
    host = Lan(1).host("a", "10.0.0.1")
    shown: list[int] = []
    host.simulation.at(10, lambda: host.jump(-100))
    for time in (9, 10, 11, 60, 110, 111):
        host.simulation.at(time, lambda: shown.append(host.now))
    host.simulation.run_idle()
    assert shown == [9, 10, 10, 10, 10, 11]


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_clock_that_is_ahead_from_the_start_changes_nothing_on_the_wire(who: str) -> None:
    plain, jumped = Pair(), Pair()
    getattr(jumped, who).jump(3600 * SECOND)
    for pair in (plain, jumped):
        pair.simulation.run()
    assert jumped.got == plain.got == jumped.data
    assert abs(jumped.simulation.now - plain.simulation.now) < 1000  # each call of a stack has a time of its own


@pytest.mark.parametrize("by", [3600 * SECOND, -30 * SECOND, 40 * MS, -40 * MS])
@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("impairment", [DELAY, Impairment(loss=0.05, delay_ns=5 * MS, rate_bps=10_000_000)])
def test_a_transfer_lives_through_a_jump(who: str, by: int, impairment: Impairment) -> None:
    patient = Config(user_timeout=10_000 * SECOND, connect_timeout=10_000 * SECOND)
    pair = Pair(impairment=impairment, config=patient)
    pair.simulation.at(60 * MS, lambda: getattr(pair, who).jump(by))
    pair.simulation.run()
    assert pair.got == pair.data
    assert pair.ends == []
    pair.simulation.run_idle()
    assert pair.client.stack.endpoint.connections == pair.server.stack.endpoint.connections == {}


@pytest.mark.parametrize("by", [SECOND, -SECOND])
def test_what_is_on_the_wire_arrives_when_it_would_have_arrived(by: int) -> None:
    pair = Pair(10)
    pair.simulation.at(2 * MS, lambda: pair.client.jump(by))  # its first frame is then under way for 3 ms more
    pair.simulation.run(until=SECOND)
    arrived = [frame.time_ns for frame in pair.recording.frames if frame.direction is Direction.INBOUND]
    assert arrived[0] == 5 * MS


def test_a_recording_holds_the_time_of_the_host() -> None:
    lan, recording = Lan(1), Recording()
    host = lan.host("a", "10.0.0.1", recording=recording)
    host.jump(7 * SECOND)
    host.stack.connect("10.0.0.2", 80, host.now)
    assert {frame.time_ns for frame in recording.frames} == {7 * SECOND}


def lonely(jump_ns: int, config: Config) -> int:
    """When a client, whose clock jumps after 5 s, gives up to connect to where nobody answers."""
    network = Network(1)
    client = network.host("client", "10.0.0.1", network.router("r"), config=config)
    ended: list[int] = []

    def application() -> Task:
        with pytest.raises(ConnectionEndedError, match="did not answer"):
            yield from connect(client, "10.9.9.9", 80)
        ended.append(network.simulation.now)

    client.spawn(application())
    network.simulation.at(5 * SECOND, lambda: client.jump(jump_ns))
    network.simulation.run()
    return ended[0]


def test_put_forward_the_timers_that_are_due_go_off_at_once() -> None:
    config = Config(connect_timeout=100 * SECOND)
    assert 100 * SECOND <= lonely(0, config) < 101 * SECOND
    assert lonely(20 * SECOND, config) - (lonely(0, config) - 20 * SECOND) < SECOND
    assert lonely(200 * SECOND, config) == 5 * SECOND


def test_an_application_elsewhere_may_put_the_clock_forward() -> None:
    network = Network(1)
    router = network.router("r")
    client, other = network.host("client", "10.0.0.1", router), network.host("other", "10.0.0.2", router)
    ended: list[int] = []

    def application() -> Task:
        with pytest.raises(ConnectionEndedError):
            yield from connect(client, "10.9.9.9", 80)
        ended.append(network.simulation.now)

    def jumps() -> Task:
        yield from sleep(other, 5 * SECOND)
        client.jump(1000 * SECOND)

    client.spawn(application())
    other.spawn(jumps())
    network.simulation.run()
    assert ended == [5 * SECOND]


def test_put_back_the_timers_stand_still_for_as_long() -> None:
    config = Config(connect_timeout=100 * SECOND)
    assert lonely(-30 * SECOND, config) == lonely(0, config) + 30 * SECOND


def test_applications_that_wait_for_the_clock_of_their_host_go_on_when_it_jumps() -> None:
    host = Lan(1).host("a", "10.0.0.1")
    went_on: list[int] = []

    def application() -> Task:
        yield HostCondition(lambda: host.now >= 10 * SECOND)
        went_on.append(host.simulation.now)

    host.spawn(application())
    host.simulation.at(SECOND, lambda: host.jump(9 * SECOND))
    host.simulation.run()
    assert went_on == [SECOND]


@pytest.mark.parametrize("by", [0, 50 * SECOND, -50 * SECOND])
def test_a_sleep_lasts_as_long_as_it_says_whatever_the_clock_does(by: int) -> None:
    host = Lan(1).host("a", "10.0.0.1")
    woke: list[int] = []

    def application() -> Task:
        for _ in range(3):
            yield from sleep(host, 2 * SECOND)
            woke.append(host.simulation.now)

    host.spawn(application())
    host.simulation.at(SECOND, lambda: host.jump(by))
    host.simulation.run()
    assert woke == [2 * SECOND, 4 * SECOND, 6 * SECOND]


@pytest.mark.parametrize("duration", [0, -5])
def test_a_sleep_of_no_time_is_over_at_once(duration: int) -> None:
    host = Lan(1).host("a", "10.0.0.1")
    host.spawn(sleep(host, duration))
    host.simulation.run()
    assert host.now == 0


# -- restart -----------------------------------------------------------------------------------------------------------


def test_the_peer_of_a_host_that_has_restarted_is_reset() -> None:
    pair = Pair(5_000_000, Impairment(delay_ns=5 * MS, rate_bps=10_000_000))
    pair.simulation.at(SECOND, lambda: pair.server.restart(3))
    pair.simulation.run()
    assert pair.ends == ["reset"]
    assert pair.got == b""
    assert pair.server.stack.endpoint.connections == {}
    assert pair.server.boot == 1


def test_a_host_that_has_restarted_takes_connections_again_with_the_same_settings_and_trace() -> None:
    config = Config(receive_buffer=5000)
    pair = Pair(5_000_000, Impairment(delay_ns=5 * MS, rate_bps=10_000_000), config)
    before = pair.server.stack.endpoint

    def again() -> None:
        pair.server.restart(3)
        pair.server.spawn(pair.serve())
        pair.data = b"anew"
        pair.client.spawn(pair.send())

    pair.simulation.at(SECOND, again)
    pair.simulation.run()
    assert pair.got == b"anew"
    after = pair.server.stack.endpoint
    assert after is not before
    assert (after.config, after.trace) == (before.config, before.trace)


def first_isn(seed: int, boots: int) -> int:
    host = Lan(seed).host("a", "10.0.0.1")
    for _ in range(boots):
        host.restart(seed)
    return host.stack.connect("10.0.0.2", 80, 0, 4000).sender.iss


def test_each_restart_has_initial_sequence_numbers_of_its_own_from_the_seed() -> None:
    chosen = [first_isn(seed, boots) for seed in (1, 2) for boots in range(4)]
    assert len(set(chosen)) == len(chosen)
    assert chosen == [first_isn(seed, boots) for seed in (1, 2) for boots in range(4)]


def test_an_application_that_restarts_its_own_host_is_gone_with_all_others() -> None:
    host = Lan(1).host("a", "10.0.0.1")
    ran: list[str] = []

    def restarts() -> Task:
        yield from sleep(host, 5)
        host.restart(1)
        ran.append("still in its call")
        host.spawn(says("new"))
        yield from sleep(host, 1)
        ran.append("gone")

    def says(text: str) -> Task:
        yield from sleep(host, 5)
        ran.append(text)

    host.spawn(restarts())
    host.spawn(says("old"))
    host.simulation.run()
    assert ran == ["still in its call", "new"]
    assert host.now == 10


def test_a_restart_keeps_the_clock_of_the_host() -> None:
    pair = Pair(1000)
    pair.server.jump(SECOND)
    pair.server.restart(3)
    pair.server.spawn(pair.serve())
    pair.simulation.run()
    assert pair.got == pair.data
    assert pair.server.offset == SECOND
    assert min(record.time_ns for record in pair.traces["server"].records) >= SECOND
