"""Two endpoints with a wire between them, in virtual time: the smallest setting that a transport test needs.

    pair = Pair()
    pair.drop("client", 3)                        # the fourth datagram that the client sends is lost
    client, server = pair.connect()
    client.send(b"hello", pair.now)
    pair.run()
    assert server.recv(100, pair.now) == b"hello"

No carrier and no link: datagrams go from one endpoint to the other, each after `delay_ns`. `rawproto.sim` has the
whole stack, with frames, address resolution and random faults; here a test says which datagram has which fate, or
puts in one of its own making with `answers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import Any, TypeVar

from rawproto.errors import RawprotoError
from rawproto.transport.config import MILLISECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.endpoint import Endpoint, Listener
from rawproto.transport.segment import Segment
from rawproto.transport.state import State
from rawproto.transport.trace import PacketsLost, Record, SegmentReceived, SegmentSent, StateChanged, TimerFired, Trace

__all__ = ["Pair", "Side", "fill", "plain", "segment_of"]

PORT = 80

R = TypeVar("R", bound=Record)


def plain(**changes: Any) -> Config:
    """A Config without what acts by itself: for tests of something else. `changes` are those of Config.

    Acknowledgements don't wait, small segments neither; nothing is paced, no probes of tail or path are sent, no
    congestion is marked, Reno is in charge, and a listener remembers who has said SYN.
    """
    settings: dict[str, Any] = {
        "cookies": False,
        "delayed_ack": False,
        "nagle": False,
        "pacing": False,
        "tail_loss_probe": False,
        "ecn": False,
        "path_mtu_discovery": False,
        "congestion_control": "reno",
    }
    return Config(**{**settings, **changes})


def fill(length: int) -> bytes:
    """So many bytes, of which each run tells its place."""
    return (bytes(range(251)) * (length // 251 + 1))[:length]


def segment_of(connection: Connection, flags: int, *, seq: int = 0, ack: int = 0, **more: Any) -> Segment:
    """A segment as `connection` might send it now; `seq` and `ack` are counted from what would be right.

    `more` are fields of Segment. It is not sent: give it to the other side with `Pair.answers`.
    """
    sender = connection.sender
    segment = Segment(connection.local_port, connection.peer_port, flags, sender.snd_nxt + seq)
    segment.ack = connection.receiver.rcv_nxt + ack
    segment.wnd = 1 << 20
    segment.packet_number = sender.packet_number
    for name, value in more.items():
        setattr(segment, name, value)
    return segment


@dataclass(eq=False)
class Side:
    """One of the two endpoints, what it did, and what befalls the datagrams that it sends."""

    name: str
    endpoint: Endpoint
    trace: Trace
    sent: list[bytes] = field(default_factory=list)
    """All datagrams that it has sent, also those that were lost."""
    dropped: set[int] = field(default_factory=set)
    doubled: set[int] = field(default_factory=set)
    held_back: dict[int, int] = field(default_factory=dict)
    marked: set[int] = field(default_factory=set)
    ect: list[bool] = field(default_factory=list)
    """Which of the datagrams in `sent` said that they may be marked."""
    accepts: Callable[[bytes], bool] | None = None
    """Asked for each datagram that it sends, if set: False loses it."""
    largest: int | None = None
    """Its datagrams of more bytes than this vanish; None: of none."""
    slower_ns: int = 0
    """All that it sends takes so much longer."""
    cut: bool = False
    """Nothing that it sends arrives."""

    def segments(self) -> list[Segment]:
        """What it has sent, one segment for each datagram."""
        codec = self.endpoint.codec
        return [segment for data in self.sent for segment in codec.decode([data], lambda reason, length: None)]

    def records(self, kind: type[R]) -> list[R]:
        """What it noted of one kind, in order."""
        return [record for record in self.trace.records if isinstance(record, kind)]

    def reasons(self) -> list[str]:
        """Why it sent each segment."""
        return [record.reason for record in self.records(SegmentSent)]

    def outcomes(self) -> list[str]:
        """What became of each segment that came."""
        return [record.outcome for record in self.records(SegmentReceived)]

    def states(self) -> list[State]:
        """The states that its connections went to."""
        return [record.after for record in self.records(StateChanged)]

    def timers(self) -> list[tuple[str, int]]:
        """Which timers ran out, and when, in ns."""
        return [(record.timer, record.time_ns) for record in self.records(TimerFired)]

    def losses(self) -> list[PacketsLost]:
        """What it took for lost, other than by its retransmission timer."""
        return self.records(PacketsLost)


class Pair:
    """A client and a server in virtual time, which begins at 0. Both names, "client" and "server", are addresses."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        server_config: Config | None = None,
        delay_ns: int = 10 * MILLISECOND,
        datagram_size: int = 1480,
        seed: int = 0,
    ) -> None:
        config = config or Config()
        self.now = 0
        self.delay_ns = delay_ns
        self.client = self._side("client", config, datagram_size, seed)
        self.server = self._side("server", server_config or config, datagram_size, seed)
        self._wire: list[tuple[int, int, str, bytes, bool]] = []
        self._serial = 0

    def _side(self, name: str, config: Config, datagram_size: int, seed: int) -> Side:
        trace = Trace()
        return Side(name, Endpoint(config, Random(f"{seed} {name}"), datagram_size, trace), trace)

    # -- what befalls datagrams ------------------------------------------------------------------------------------

    def drop(self, sender: str, *numbers: int) -> None:
        """Lose the datagrams with these numbers, counted from 0, among all that `sender` sends."""
        self.side(sender).dropped.update(numbers)

    def duplicate(self, sender: str, *numbers: int) -> None:
        """Deliver the datagrams with these numbers twice."""
        self.side(sender).doubled.update(numbers)

    def delay(self, sender: str, number: int, extra_ns: int) -> None:
        """Deliver the datagram with this number so much later, behind those that overtake it."""
        self.side(sender).held_back[number] = extra_ns

    def mark(self, sender: str, *numbers: int) -> None:
        """Mark the datagrams with these numbers (CE, RFC 3168), as a router does with those that allow it."""
        self.side(sender).marked.update(numbers)

    def number(self, sender: str) -> int:
        """The number of the datagram that `sender` sends next: give it to `drop` and the others."""
        self.flush()
        return len(self.side(sender).sent)

    # -- what the applications do ----------------------------------------------------------------------------------

    def write(self, connection: Connection, data: bytes) -> None:
        """Send `data` now. Raises RawprotoError if the send buffer does not take all of it."""
        taken = connection.send(data, self.now)
        if taken != len(data):
            raise RawprotoError(f"the send buffer took {taken} of {len(data)} bytes")

    def read(self, connection: Connection, limit: int = 1 << 40) -> bytes:
        """Take all that is ready, or up to `limit` bytes of it."""
        return connection.recv(limit, self.now)

    # -- moving on -------------------------------------------------------------------------------------------------

    def connect(self, port: int = PORT) -> tuple[Connection, Connection]:
        """Listen at the server, connect from the client, run until both are established, and give both ends."""
        listener = self.server.endpoint.listeners.get(port) or self.listen(port)
        connection = self.client.endpoint.connect("server", port, self.now)
        while not (connection.established and listener.queue):
            if not self.step():
                raise RawprotoError(f"the handshake got stuck at {self.now} ns in {connection.state}")
        return connection, listener.queue.popleft()

    def listen(self, port: int = PORT, backlog: int = 16) -> Listener:
        """Let the server listen."""
        return self.server.endpoint.listen(port, backlog)

    def flush(self) -> None:
        """Take from both endpoints what they have to send now, onto the wire."""
        for side in (self.client, self.server):
            while side.endpoint.pending:
                for _, datagrams, ect in side.endpoint.poll_transmit(self.now):
                    for data in datagrams:
                        self._send(side, data, ect=ect)

    def step(self) -> bool:
        """Send what is ready, jump to the next thing to happen, and let it; False if nothing ever will."""
        self.flush()
        deadline = self.next_event()
        if deadline is None:
            return False
        self.now = max(self.now, deadline)
        arrived: dict[str, list[tuple[bytes, bool]]] = {}
        while self._wire and self._wire[0][0] <= self.now:
            _, _, receiver, data, marked = heappop(self._wire)
            arrived.setdefault(receiver, []).append((data, marked))
        for receiver, datagrams in arrived.items():
            for mark, run in groupby(datagrams, key=itemgetter(1)):
                together = [data for data, _ in run]
                self.side(receiver).endpoint.receive(self.other(receiver), together, self.now, marked=mark)
        for side in (self.client, self.server):
            due = side.endpoint.next_timeout()
            if due is not None and due <= self.now:
                side.endpoint.handle_timeout(self.now)
        self.flush()
        return True

    def run(self, for_ns: int | None = None) -> None:
        """Step until nothing is left to happen or, with `for_ns`, until so much time has passed."""
        end = None if for_ns is None else self.now + for_ns
        self.flush()
        while (deadline := self.next_event()) is not None and (end is None or deadline <= end):
            self.step()
        if end is not None:
            self.now = end

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Step until `condition()`. Raises RawprotoError if nothing is left to happen before that."""
        self.flush()
        while not condition():
            if not self.step():
                raise RawprotoError(f"nothing is left to happen at {self.now} ns")

    def next_event(self) -> int | None:
        """When the next datagram arrives or the next timer runs out, in ns; None for never."""
        times = [at for side in (self.client, self.server) if (at := side.endpoint.next_timeout()) is not None]
        if self._wire:
            times.append(self._wire[0][0])
        return min(times, default=None)

    # -- by hand ---------------------------------------------------------------------------------------------------

    def answers(self, receiver: str, *segments: Segment) -> list[Segment]:
        """Give `receiver` these segments at once, as if the other side had sent them; give what it answers.

        The answers don't go onto the wire.
        """
        self.flush()
        endpoint = self.side(receiver).endpoint
        datagrams = [data for segment in segments for data in endpoint.codec.encode(segment, endpoint.mss)]
        endpoint.receive(self.other(receiver), datagrams, self.now)
        return self.take(receiver)

    def take(self, sender: str) -> list[Segment]:
        """Take what `sender` has to send now, away from the wire."""
        endpoint = self.side(sender).endpoint
        taken: list[Segment] = []
        while endpoint.pending:
            for _, datagrams, _ in endpoint.poll_transmit(self.now):
                taken += endpoint.codec.decode(datagrams, lambda reason, length: None)
        return taken

    def side(self, name: str) -> Side:
        """The client's or the server's."""
        return self.client if name == "client" else self.server

    def other(self, name: str) -> str:
        """The name of the other side."""
        return "server" if name == "client" else "client"

    def _send(self, side: Side, data: bytes, *, ect: bool = False) -> None:
        number = len(side.sent)
        side.sent.append(data)
        side.ect.append(ect)
        too_large = side.largest is not None and len(data) > side.largest
        if side.cut or too_large or number in side.dropped or (side.accepts is not None and not side.accepts(data)):
            return
        due = self.now + self.delay_ns + side.slower_ns + side.held_back.get(number, 0)
        for _ in range(2 if number in side.doubled else 1):
            heappush(self._wire, (due, self._serial, self.other(side.name), data, ect and number in side.marked))
            self._serial += 1
