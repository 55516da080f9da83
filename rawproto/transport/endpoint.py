"""All the connections of one host: datagrams in and out, listeners, ports.

It finds the connection that a segment belongs to, makes one for a SYN that comes to a listener, answers with a reset
what belongs to nobody, and knows which connections have something to send and which timer is next. Like a connection
it is sans-I/O: peers are opaque text, time is passed in, and the random numbers come from the generator it is given.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from random import Random

from rawproto.errors import ConfigError, ProtocolError
from rawproto.transport import congestion
from rawproto.transport.codec import RdtCodec
from rawproto.transport.config import Config
from rawproto.transport.connection import MIN_MSS, Connection
from rawproto.transport.segment import ACK, DGM, RST, SYN, Segment
from rawproto.transport.state import State
from rawproto.transport.trace import Discarded, Trace

__all__ = ["Endpoint", "Listener", "Totals"]

EPHEMERAL_PORTS = range(49152, 65536)
"""RFC 6335 §6: the dynamic ports."""


@dataclass(eq=False, slots=True)
class Listener:
    """A port that takes connections. `queue` holds those that are established and not yet accepted."""

    port: int
    backlog: int
    queue: deque[Connection] = field(default_factory=deque)
    half_open: int = 0
    overflows: int = 0
    """SYNs that were dropped because the backlog was full."""


@dataclass(slots=True)
class Totals:
    """Counts over all connections that an endpoint has had. In datagrams, `segments_received` in joined segments."""

    sent: int = 0
    retransmitted: int = 0
    received: int = 0
    segments_received: int = 0
    timeouts: int = 0
    duplicate_octets: int = 0

    def add(self, connection: Connection) -> None:
        """Add what `connection` has counted."""
        self.sent += connection.datagrams_sent
        self.retransmitted += connection.sender.retransmitted
        self.received += connection.datagrams_received
        self.segments_received += connection.segments_received
        self.timeouts += connection.sender.timeouts
        self.duplicate_octets += connection.receiver.duplicate_octets


class Endpoint:
    """The transport layer of one host. `datagram_size` is the most bytes that one datagram may have."""

    def __init__(self, config: Config, rng: Random, datagram_size: int, trace: Trace | None = None) -> None:
        self.config = config
        self.codec = RdtCodec()
        self.mss = min(datagram_size - self.codec.header_length, 0xFFFF)
        if self.mss < MIN_MSS:
            raise ConfigError(
                f"the path takes datagrams of {datagram_size} bytes; RDT needs {MIN_MSS + self.codec.header_length}"
            )
        congestion.create(config.congestion_control, self.mss, self.mss)  # a name that is not known is told now
        self.trace = trace
        self.discarded: Counter[str] = Counter()
        """Datagrams that reached no connection, by reason."""
        self.connections: dict[tuple[int, str, int], Connection] = {}
        self.listeners: dict[int, Listener] = {}
        self._ports_in_use: Counter[int] = Counter()
        self._half_open: dict[Connection, Listener] = {}
        self._dirty: dict[Connection, None] = {}
        self._resets: deque[tuple[str, Segment]] = deque()
        self._timers: list[tuple[int, int, Connection]] = []
        self._deadlines: dict[Connection, int] = {}
        self._closed_totals = Totals()
        self._serial = 0
        self._secret = rng.randbytes(32)
        self._next_port = rng.randrange(len(EPHEMERAL_PORTS))
        self._now = 0

    # -- commands ------------------------------------------------------------------------------------------------

    def listen(self, port: int, backlog: int) -> Listener:
        """Take connections on `port`, at most `backlog` waiting.

        Raises ProtocolError if the port is in use, ConfigError for what is no port.
        """
        _check_port(port)
        if port in self.listeners:
            raise ProtocolError(f"port {port} is in use by another listener")
        listener = self.listeners[port] = Listener(port, max(1, backlog))
        return listener

    def unlisten(self, listener: Listener, now: int) -> None:
        """Take no more connections; those that nobody has accepted are aborted."""
        if self.listeners.get(listener.port) is listener:
            del self.listeners[listener.port]
        waiting = [connection for connection, owner in self._half_open.items() if owner is listener]
        for connection in (*waiting, *listener.queue):
            connection.abort(now)
        listener.queue.clear()

    def connect(self, peer: str, port: int, now: int, local_port: int = 0) -> Connection:
        """Begin a connection to `port` of `peer`, from `local_port` or, if that is 0, from a free one.

        Raises ProtocolError if the local port is in use or none is free, ConfigError for what is no port.
        """
        _check_port(port)
        _check_port(local_port)
        local_port = local_port or self.free_port(peer, port)
        if (local_port, peer, port) in self.connections:
            raise ProtocolError(f"port {local_port} is in use by another connection to {peer} port {port}")
        connection = self._create(local_port, peer, port, now)
        connection.open(now)
        return connection

    def free_port(self, peer: str = "", peer_port: int = 0) -> int:
        """Give an ephemeral port that is free for a connection to `peer_port` of `peer`."""
        for _ in EPHEMERAL_PORTS:
            port = EPHEMERAL_PORTS[self._next_port]
            self._next_port = (self._next_port + 1) % len(EPHEMERAL_PORTS)
            if port not in self.listeners and (port, peer, peer_port) not in self.connections:
                return port
        raise ProtocolError(f"all ephemeral ports are in use for {peer} port {peer_port}")

    def port_in_use(self, port: int) -> bool:
        """Tell whether a listener or a connection has `port`."""
        return port in self.listeners or self._ports_in_use[port] > 0

    # -- datagrams in ----------------------------------------------------------------------------------------------

    def receive(self, peer: str, datagrams: Iterable[bytes | memoryview], now: int) -> None:
        """Process datagrams that came together from `peer`. Nothing raises, whatever they hold."""
        self._now = now
        for segment in self.codec.decode(datagrams, self._discard):
            if segment.flags & DGM:
                # Never a part of a stream; what takes unreliable datagrams is not there yet (docs/rdt.md §2).
                self._discard("unreliable datagram", len(segment.payload), segment.count)
                continue
            connection = self.connections.get((segment.destination_port, peer, segment.source_port))
            if connection is None:
                self._receive_for_none(peer, segment, now)
                continue
            connection.receive(segment, now)
            if self._half_open and connection in self._half_open:
                self._check_half_open(connection)

    def _receive_for_none(self, peer: str, segment: Segment, now: int) -> None:
        """RFC 9293 §3.10.7.1 (no connection) and §3.10.7.2 (a listener)."""
        if segment.flags & RST:
            self._discard("reset for no connection", len(segment.payload), segment.count)
            return
        listener = self.listeners.get(segment.destination_port)
        if listener is None or segment.flags & ACK or not segment.flags & SYN:
            self._discard("no connection", len(segment.payload), segment.count)
            self._refuse(peer, segment)
        elif listener.half_open + len(listener.queue) >= listener.backlog:
            listener.overflows += 1
            self._discard("backlog full", len(segment.payload), segment.count)
        else:
            connection = self._create(segment.destination_port, peer, segment.source_port, now)
            self._half_open[connection] = listener
            listener.half_open += 1
            connection.accept_syn(segment, now)

    def _refuse(self, peer: str, segment: Segment) -> None:
        reply = Segment(segment.destination_port, segment.source_port, RST, 0)
        if segment.flags & ACK:
            reply.seq = segment.ack
        else:
            reply.flags |= ACK
            reply.ack = segment.end
        self._resets.append((peer, reply))

    def _check_half_open(self, connection: Connection) -> None:
        if connection.state is State.SYN_RECEIVED:
            return
        listener = self._half_open.pop(connection)
        listener.half_open -= 1
        if connection.end is None:
            listener.queue.append(connection)

    def _discard(self, reason: str, length: int, count: int = 1) -> None:
        self.discarded[reason] += count
        if self.trace is not None:
            self.trace.add(Discarded(self._now, -1, reason, length))

    # -- time --------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """When `handle_timeout` wants to be called, in ns; None for never."""
        timers = self._timers
        while timers:
            deadline, _, connection = timers[0]
            if self._deadlines.get(connection) == deadline:
                return deadline
            heappop(timers)
        return None

    def handle_timeout(self, now: int) -> None:
        """Do what is due at `now`."""
        self._now = now
        while (deadline := self.next_timeout()) is not None and deadline <= now:
            _, _, connection = heappop(self._timers)
            del self._deadlines[connection]
            connection.handle_timeout(now)
            self._dirty[connection] = None

    def _note_deadline(self, connection: Connection) -> None:
        deadline = connection.next_timeout()
        if deadline is None:
            self._deadlines.pop(connection, None)
        elif self._deadlines.get(connection) != deadline:
            self._deadlines[connection] = deadline
            heappush(self._timers, (deadline, connection.identity, connection))
        if len(self._timers) > 2 * len(self._deadlines) + 64:  # most are out of date, and keep ended connections
            self._timers = [(at, owner.identity, owner) for owner, at in self._deadlines.items()]
            heapify(self._timers)

    # -- datagrams out ------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """There is more to send right now: call `poll_transmit` again."""
        return bool(self._dirty or self._resets)

    def poll_transmit(self, now: int) -> list[tuple[str, list[bytes]]]:
        """Give datagrams to send now, with the peer each batch goes to.

        One segment of each connection that has any, so that a long burst of one neither delays the others nor what
        the peers answer meanwhile; `pending` says whether there is more.
        """
        batches: list[tuple[str, list[bytes]]] = []
        while self._resets:
            peer, reset = self._resets.popleft()
            batches.append((peer, self.codec.encode(reset, self.mss)))
        dirty, self._dirty = self._dirty, {}
        for connection in dirty:
            segment = connection.poll_transmit(now)
            if segment is not None:
                batches.append((connection.peer, self.codec.encode(segment, connection.mss)))
                self._dirty[connection] = None
                continue
            if connection.end is not None:
                self._remove(connection)
            self._note_deadline(connection)
        return batches

    # -- bookkeeping ---------------------------------------------------------------------------------------------------

    def totals(self) -> Totals:
        """Counts over all connections, those that are over included."""
        totals = replace(self._closed_totals)
        for connection in self.connections.values():
            totals.add(connection)
        return totals

    def _create(self, local_port: int, peer: str, peer_port: int, now: int) -> Connection:
        connection = Connection(
            self.config,
            identity=self._serial,
            local_port=local_port,
            peer=peer,
            peer_port=peer_port,
            iss=self._initial_sequence(local_port, peer, peer_port, now),
            mss=self.mss,
            codec=self.codec,
            trace=self.trace,
            wake=self._wake,
        )
        self._serial += 1
        self.connections[local_port, peer, peer_port] = connection
        self._ports_in_use[local_port] += 1
        return connection

    def _initial_sequence(self, local_port: int, peer: str, peer_port: int, now: int) -> int:
        """RFC 6528 §3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), M counting 4 microseconds.

        48 bits of it, so that a stream that begins anywhere can't reach the end of RDT's 64 bits.
        """
        text = f"{local_port} {peer} {peer_port}".encode()
        keyed = hashlib.blake2s(text, key=self._secret, digest_size=6).digest()
        return (int.from_bytes(keyed, "big") + now // 4000) & 0xFFFF_FFFF_FFFF

    def _remove(self, connection: Connection) -> None:
        key = (connection.local_port, connection.peer, connection.peer_port)
        if self.connections.get(key) is not connection:
            return
        del self.connections[key]
        self._ports_in_use[connection.local_port] -= 1
        self._closed_totals.add(connection)
        listener = self._half_open.pop(connection, None)
        if listener is not None:
            listener.half_open -= 1

    def _wake(self, connection: Connection) -> None:
        self._dirty[connection] = None


def _check_port(port: int) -> None:
    if not 0 <= port <= 0xFFFF:
        raise ConfigError(f"port is {port}; it must be from 0 to 65535")
