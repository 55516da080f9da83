"""Two endpoints against a model of byte queues: any order of calls, losses, repetitions, delays and timeouts.

Hypothesis makes up the steps. After each of them what an application has read is a prefix of what the other one has
sent; and when the faults end, all of it arrives and both sides close.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rawproto.transport.config import MILLISECOND, SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.endpoint import Endpoint, Listener
from rawproto.transport.state import State

pytestmark = pytest.mark.rdt("7.1-1")

SIDES = st.sampled_from(("client", "server"))
LONG = 3600 * SECOND


def config(**changes: Any) -> Config:
    usual: dict[str, Any] = {"user_timeout": LONG, "connect_timeout": LONG, "msl": SECOND}
    return Config(**(usual | changes))


CONFIGS = (
    config(),
    config(cookies=False, congestion_control="reno"),
    config(congestion_control="bbr"),
    config(congestion_control="none", pacing=False, nagle=False, delayed_ack=False),
    config(receive_buffer=2000, send_buffer=3000, max_record=1500),
    config(sack=False, fast_retransmit=False, tail_loss_probe=False),
    config(path_mtu_discovery=False, ecn=False, undo=False, proportional_rate_reduction=False),
)


class Model:
    """One side: what its application has handed over, read, and done."""

    def __init__(self, endpoint: Endpoint, rng: Random) -> None:
        self.endpoint = endpoint
        self.connection: Connection | None = None
        self.sent: list[bytes] = []
        self.read: list[bytes] = []
        self.shut = False
        self.rng = rng


class Streams(RuleBasedStateMachine):
    """The stream: bytes in order, once, all of them."""

    records = False

    @initialize(which=st.sampled_from(CONFIGS), other=st.sampled_from(CONFIGS), seed=st.integers(0, 1 << 16))
    def begin(self, which: Config, other: Config, seed: int) -> None:
        self.now = 0
        self.wire: list[tuple[str, bytes]] = []
        self.sides = {
            name: Model(Endpoint(settings_, Random(f"{seed} {name}"), 600, None), Random(f"{name} {seed}"))
            for name, settings_ in (("client", which), ("server", other))
        }
        self.listener: Listener = self.sides["server"].endpoint.listen(80, 4, records=self.records)
        client = self.sides["client"]
        client.connection = client.endpoint.connect("server", 80, 0, records=self.records)
        self.flush()

    # -- the network -----------------------------------------------------------------------------------------

    def flush(self) -> None:
        for name, side in self.sides.items():
            while side.endpoint.pending:
                for _, datagrams, _ in side.endpoint.poll_transmit(self.now):
                    self.wire += [(name, data) for data in datagrams]
        if self.listener.queue and self.sides["server"].connection is None:
            self.sides["server"].connection = self.listener.queue.popleft()

    def arrive(self, sender: str, data: bytes) -> None:
        receiver = "server" if sender == "client" else "client"
        self.now += MILLISECOND // 10
        self.sides[receiver].endpoint.receive(sender, [data], self.now)
        self.flush()

    @rule(count=st.integers(1, 30))
    def deliver_in_order(self, count: int) -> None:
        """What has been under way for longest arrives."""
        for _ in range(min(count, len(self.wire))):
            self.arrive(*self.wire.pop(0))

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def deliver_any(self, data: st.DataObject) -> None:
        self.arrive(*self.wire.pop(data.draw(st.integers(0, len(self.wire) - 1))))

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        del self.wire[data.draw(st.integers(0, len(self.wire) - 1))]

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self.arrive(*self.wire[data.draw(st.integers(0, len(self.wire) - 1))])

    @rule()
    def lose_all(self) -> None:
        self.wire.clear()

    @rule(ms=st.sampled_from((1, 5, 40, 300)))
    def wait(self, ms: int) -> None:
        self.pass_time(self.now + ms * MILLISECOND)

    def pass_time(self, until: int) -> None:
        idle = 0
        while True:
            before = self.now
            times = [at for side in self.sides.values() if (at := side.endpoint.next_timeout()) is not None]
            if not times or min(times) > until:
                break
            self.now = max(self.now, min(times))
            for side in self.sides.values():
                side.endpoint.handle_timeout(self.now)
            self.flush()
            idle = idle + 1 if self.now == before else 0
            assert idle < 100, "a timer that has run out runs on"
        self.now = max(self.now, until)

    # -- the applications ------------------------------------------------------------------------------------

    @rule(name=SIDES, size=st.integers(1, 1500))
    def send(self, name: str, size: int) -> None:
        side = self.sides[name]
        if side.connection is None or side.shut or side.connection.end is not None:
            return
        data = side.rng.randbytes(size)
        taken = side.connection.send(data, self.now)
        if taken:
            side.sent.append(data[:taken])
        assert taken in ((0, size) if self.records else range(size + 1))
        self.flush()

    @rule(name=SIDES)
    def receive(self, name: str) -> None:
        side = self.sides[name]
        if side.connection is None:
            return
        if self.records:
            record, length = side.connection.recv_record(1 << 16, self.now)
            if length >= 0:
                side.read.append(record)
        elif data := side.connection.recv(700, self.now):
            side.read.append(data)
        self.flush()

    @rule(name=SIDES)
    def shut(self, name: str) -> None:
        side = self.sides[name]
        if side.connection is not None:
            side.connection.shutdown(self.now)
            side.shut = True
            self.flush()

    # -- what must hold --------------------------------------------------------------------------------------

    @invariant()
    def what_was_read_is_a_prefix(self) -> None:
        if not hasattr(self, "sides"):
            return
        for reader, writer in (("client", "server"), ("server", "client")):
            sent, read = self.sides[writer].sent, self.sides[reader].read
            if self.records:
                assert read == sent[: len(read)]
            else:
                assert b"".join(sent).startswith(b"".join(read))

    @invariant()
    def memory_and_counters_are_in_bounds(self) -> None:
        for side in getattr(self, "sides", {}).values():
            connection = side.connection
            if connection is None:
                continue
            sender, receiver, limits = connection.sender, connection.receiver, connection.config
            assert len(sender.buffer) <= limits.send_buffer
            assert receiver.ready + receiver.held.total <= limits.receive_buffer
            assert sender.iss <= sender.snd_una <= sender.snd_nxt
            board = sender.scoreboard
            ranges = board.outstanding()
            assert board.in_flight + board.lost == sum(end - start for start, end in ranges)
            assert board.in_flight >= 0 <= board.lost

    def teardown(self) -> None:
        """The faults end: everything arrives, and both sides close."""
        if not hasattr(self, "sides"):
            return
        for _ in range(4000):
            self.flush()
            for name in self.sides:
                self.receive(name)
                self.shut(name)
            if self.wire:
                self.deliver_in_order(len(self.wire))
            elif not self.advance() and not any(side.connection and side.connection.readable_data for side in
                                                self.sides.values()):  # fmt: skip
                break
            self.what_was_read_is_a_prefix()
        for reader, writer in (("client", "server"), ("server", "client")):
            assert b"".join(self.sides[reader].read) == b"".join(self.sides[writer].sent), reader
        for side in self.sides.values():
            connection = side.connection
            assert connection is not None
            assert connection.state is State.CLOSED, connection.state
            assert connection.end is not None and connection.end.cause == "closed", connection.end

    def advance(self) -> bool:
        times = [at for side in self.sides.values() if (at := side.endpoint.next_timeout()) is not None]
        if not times:
            return False
        self.pass_time(max(self.now, min(times)))
        return True


class Records(Streams):
    """The stream of records: each whole, in order, once."""

    records = True


TestStreams = pytest.mark.rdt("5.3-1")(Streams.TestCase)
TestRecords = Records.TestCase
TestStreams.settings = TestRecords.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
