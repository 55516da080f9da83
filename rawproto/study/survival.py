"""A transfer that ends: in each of these misfortunes it arrives whole, or fails with the right error, in a stated time.

Each scenario says what happens, what each of the two applications must see in the end, and by when, in virtual time. A
run is a function of the scenario and the seed. The settings are those of `Config` where a scenario does not say
otherwise; what it says otherwise is `keep_alive`, without which nobody who only waits would ever learn anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

from rawproto.link.impairment import Impairment
from rawproto.link.queue import DropTail
from rawproto.sim.nat import Nat
from rawproto.sim.network import Host
from rawproto.sim.port import Line
from rawproto.sim.topology import Network
from rawproto.study.flow import WHOLE, Ending, Flow
from rawproto.transport.config import MILLISECOND, SECOND, Config
from rawproto.transport.trace import PathChanged, Trace

__all__ = ["SCENARIOS", "Outcome", "Scenario", "run_scenario"]

RATE_BPS = 10_000_000
DELAY_NS = 10 * MILLISECOND
QUEUE_BYTES = 50_000
ACCIDENT_NS = SECOND
"""When the road is cut."""
LOSS_OF_PEER_NS = 4 * SECOND
"""When a peer is another one: by then SYN has been sent three times, should that have been necessary."""

WATCHFUL = Config(keep_alive=True, keep_alive_idle=5 * SECOND, keep_alive_interval=SECOND, keep_alive_count=5)
"""Knows after some ten seconds that nobody is there."""
A_LITTLE = Impairment(loss=0.01, jitter_ns=3 * MILLISECOND)
JITTER = Impairment(jitter_ns=3 * MILLISECOND)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, and what must come of it: `sent` for the sender, `arrived` for the receiver.

    That is "whole", or the cause of `connection.End`; "gone" for who has lost its memory.
    """

    name: str
    text: str
    play: Callable[[Stage], Flow]
    bound_ns: int
    sent: str = WHOLE
    arrived: str = WHOLE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    scenario: Scenario
    seed: int
    sent: Ending
    arrived: Ending
    path_sizes: tuple[int, ...]
    """Each size of datagrams that the sender has changed to, header included."""
    fingerprint: str
    """Of all that both ends' traces hold."""

    @property
    def problem(self) -> str:
        """What is not as stated, in one line; empty if everything is."""
        wrong = []
        for who, ending, cause in (
            ("sender", self.sent, self.scenario.sent),
            ("receiver", self.arrived, self.scenario.arrived),
        ):
            if ending.cause != cause:
                why = f" ({ending.text})" if ending.text else ""
                wrong.append(f"for the {who} it ended as {ending.cause!r}{why} and not as {cause!r}")
        bound = self.scenario.bound_ns // SECOND
        return f"{self.scenario.name}, seed {self.seed}, within {bound} s: {'; '.join(wrong)}" if wrong else ""

    @property
    def time_ns(self) -> int:
        """When it was over for both."""
        return max(self.sent.time_ns, self.arrived.time_ns)


class Stage:
    """Two hosts and what is between them, for one run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.network = Network(seed)
        self.traces = {"client": Trace(), "server": Trace()}

    def road(
        self,
        impairment: Impairment = A_LITTLE,
        *,
        delay_ns: int = DELAY_NS,
        rate_bps: int = RATE_BPS,
        client: Config | None = None,
        server: Config | None = None,
    ) -> tuple[Host, Host]:
        """A client and a server on two routers, with one link that is the same in both directions."""
        line = Line(rate_bps=rate_bps, delay_ns=delay_ns, queue=partial(DropTail, QUEUE_BYTES), impairment=impairment)
        left, right = self.network.router("left"), self.network.router("right")
        self.network.join(left, right, line)
        traces = self.traces
        return (
            self.network.host("client", "10.0.0.1", left, config=client, trace=traces["client"]),
            self.network.host("server", "10.1.0.1", right, config=server, trace=traces["server"]),
        )

    def behind_nat(self, inside: str, outside: str, server: str) -> tuple[Host, Host, Nat]:
        """A client that is seen as `outside`, and a server; each knows after a while that nobody is there."""
        router = self.network.router("router")
        line = Line(rate_bps=RATE_BPS, delay_ns=DELAY_NS, queue=partial(DropTail, QUEUE_BYTES), impairment=A_LITTLE)
        nat = self.network.nat("nat", router, line=line)
        traces = self.traces
        near = self.network.host("client", inside, nat, config=WATCHFUL, trace=traces["client"])
        far = self.network.host("server", server, router, config=WATCHFUL, trace=traces["server"])
        self.network.bind(nat, inside, outside)
        return near, far, nat

    def upload(self, client: Host, server: Host, size: int, *, peer: str = "10.1.0.1", reads_from_ns: int = 0) -> Flow:
        """`size` bytes from the client, which connects."""
        return Flow(client, server, self.seed, size=size, peer=peer, reads_from_ns=reads_from_ns)

    def download(self, client: Host, server: Host, size: int, *, peer: str = "10.1.0.1") -> Flow:
        """`size` bytes to the client, which connects."""
        return Flow(server, client, self.seed, size=size, peer=peer, receiver_connects=True)

    def at(self, time_ns: int, action: Callable[[], object]) -> None:
        """Let something happen."""
        self.network.simulation.at(time_ns, action)

    def restart(self, host: Host, flow: Flow) -> None:
        """Let `host` lose its memory, and `flow` know that its application there is gone."""
        host.restart(self.seed)
        flow.forget(host)


# -- what happens ------------------------------------------------------------------------------------------------------


def _blackholes(stage: Stage, dark_ns: int) -> Flow:
    client, server = stage.road()
    stage.network.blackhole("left", "right", ACCIDENT_NS, ACCIDENT_NS + dark_ns, 7 * SECOND)
    return stage.upload(client, server, 4 << 20)


def _cut(stage: Stage, one: str, other: str, end_ns: int, *, both: bool = False, keep_alive: bool = False) -> Flow:
    client, server = stage.road(JITTER, server=WATCHFUL if keep_alive else None)
    stage.network.blackhole(one, other, ACCIDENT_NS, end_ns, both=both)
    return stage.upload(client, server, 4 << 20)


def _reader_sleeps(stage: Stage) -> Flow:
    client, server = stage.road(server=Config(receive_buffer=64 << 10))
    return stage.upload(client, server, 1 << 20, reads_from_ns=60 * SECOND)


def _far_away(stage: Stage) -> Flow:
    return stage.upload(*stage.road(Impairment(loss=0.001), delay_ns=750 * MILLISECOND), 2 << 20)


def _mtu_changes(stage: Stage) -> Flow:
    client, server = stage.road(rate_bps=RATE_BPS // 10)
    for time_ns, mtu in ((5 * SECOND, 1400), (15 * SECOND, 600), (30 * SECOND, 1500)):
        for port in ("left->right", "right->left"):
            stage.at(time_ns, partial(stage.network.ports[port].set_mtu, mtu))
    return stage.upload(client, server, 8 << 20)


def _lossy(stage: Stage) -> Flow:
    patient = Config(user_timeout=1000 * SECOND)
    return stage.upload(*stage.road(Impairment(loss=0.3), client=patient, server=patient), 256 << 10)


def _rebinding(stage: Stage, addresses: tuple[str, str, str, str], *, up: bool) -> Flow:
    inside, outside, anew, there = addresses
    client, server, nat = stage.behind_nat(inside, outside, there)
    stage.at(LOSS_OF_PEER_NS, lambda: stage.network.bind(nat, inside, anew))
    return (stage.upload if up else stage.download)(client, server, 8 << 20, peer=there)


def _restart(stage: Stage, *, up: bool) -> Flow:
    client, server = stage.road(client=WATCHFUL)
    flow = (stage.upload if up else stage.download)(client, server, 8 << 20)
    stage.at(LOSS_OF_PEER_NS, lambda: stage.restart(server, flow))
    return flow


ADDRESS = ("192.168.0.1", "203.0.113.1", "203.0.113.2", "198.51.100.1")
PORT = ("192.168.0.1:4000", "203.0.113.1:4001", "203.0.113.1:4002", "198.51.100.1:7000")
NEVER = 1 << 62

SCENARIOS = (
    Scenario("blackholes", "nothing gets through for 5 s, then all for 2 s, again and again",
             partial(_blackholes, dark_ns=5 * SECOND), 120 * SECOND),
    Scenario("short-blackholes", "nothing gets through for 2 s, then all for 5 s, again and again",
             partial(_blackholes, dark_ns=2 * SECOND), 30 * SECOND),
    Scenario("acks-cut", "nothing comes back for 30 s",
             partial(_cut, one="right", other="left", end_ns=31 * SECOND), 100 * SECOND),
    Scenario("data-cut", "nothing gets there for 30 s, while the other direction is open",
             partial(_cut, one="left", other="right", end_ns=31 * SECOND), 100 * SECOND),
    Scenario("acks-cut-for-ever", "nothing comes back any more",
             partial(_cut, one="right", other="left", end_ns=NEVER), 105 * SECOND, "timeout", "reset"),
    Scenario("data-cut-for-ever", "nothing gets there any more; the receiver keeps alive",
             partial(_cut, one="left", other="right", end_ns=NEVER, keep_alive=True), 15 * SECOND, "reset", "timeout"),
    Scenario("cut-for-ever", "nothing gets through in either direction any more; the receiver keeps alive",
             partial(_cut, one="left", other="right", end_ns=NEVER, both=True, keep_alive=True), 105 * SECOND,
             "timeout", "timeout"),
    Scenario("reader-sleeps", "the receiver reads nothing for a minute; its buffer is 64 KiB",
             _reader_sleeps, 130 * SECOND),
    Scenario("far-away", "750 ms one way", _far_away, 60 * SECOND),
    Scenario("mtu-changes", "the path takes 1400 bytes from 5 s on, 600 from 15 s on, 1500 again from 30 s on",
             _mtu_changes, 150 * SECOND),
    Scenario("new-address-upload", "the sender's address changes behind a translator",
             partial(_rebinding, addresses=ADDRESS, up=True), 20 * SECOND, "reset", "timeout"),
    Scenario("new-port-upload", "the sender's UDP port changes behind a translator",
             partial(_rebinding, addresses=PORT, up=True), 20 * SECOND, "reset", "timeout"),
    Scenario("new-address-download", "the receiver's address changes behind a translator; it keeps alive",
             partial(_rebinding, addresses=ADDRESS, up=False), 110 * SECOND, "timeout", "reset"),
    Scenario("new-port-download", "the receiver's UDP port changes behind a translator; it keeps alive",
             partial(_rebinding, addresses=PORT, up=False), 110 * SECOND, "timeout", "reset"),
    Scenario("receiver-restarts", "the receiver loses its memory", partial(_restart, up=True), 8 * SECOND,
             "reset", "gone"),
    Scenario("sender-restarts", "the sender loses its memory; the receiver keeps alive", partial(_restart, up=False),
             20 * SECOND, "gone", "reset"),
    Scenario("lossy", "30 % are lost in each direction; user timeout 1000 s", _lossy, 1000 * SECOND),
)  # fmt: skip


def run_scenario(scenario: Scenario, seed: int) -> Outcome:
    """Play one scenario until it is over for both, or its time is."""
    stage = Stage(seed)
    flow = scenario.play(stage)
    stage.network.simulation.run(until=scenario.bound_ns)
    sender = stage.traces[flow.sender.name].records
    told = blake2b(digest_size=16)
    for trace in stage.traces.values():
        for record in trace.records:
            told.update(repr(record).encode())
    sizes = tuple(record.size for record in sender if isinstance(record, PathChanged))
    return Outcome(scenario, seed, flow.sent, flow.arrived, sizes, told.hexdigest())
