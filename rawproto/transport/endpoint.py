"""All the connections of one host: datagrams in and out, listeners, ports.

It finds the connection that a segment belongs to, makes one for a SYN that comes to a listener, answers with a reset
what belongs to nobody, and knows which connections have something to send and which timer is next. Like a connection
it is sans-I/O: peers are opaque text, time is passed in, and the random numbers come from the generator it is given.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from random import Random

from rawproto.errors import ConfigError, ProtocolError
from rawproto.transport import congestion
from rawproto.transport.codec import RdtCodec
from rawproto.transport.config import Config
from rawproto.transport.connection import Connection
from rawproto.transport.cookie import CookieJar
from rawproto.transport.datagram import Datagrams
from rawproto.transport.isn import InitialSequence
from rawproto.transport.listener import Listener, answer_statelessly
from rawproto.transport.segment import ACK, DGM, MIN_MSS, RST, SYN, Segment
from rawproto.transport.sequence import SequenceSpace
from rawproto.transport.state import Event, State
from rawproto.transport.trace import Discarded, Trace

__all__ = ["Endpoint", "Listener", "Totals"]

EPHEMERAL_PORTS = range(49152, 65536)
"""RFC 6335 §6: the dynamic ports."""

Batch = tuple[str, list[bytes], bool]
"""The peer, datagrams for it, and whether they are ECN-capable."""


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
        self.retransmitted += connection.sender.segments_retransmitted
        self.received += connection.datagrams_received
        self.segments_received += connection.segments_received
        self.timeouts += connection.sender.timeouts
        self.duplicate_octets += connection.receiver.duplicate_octets


class Endpoint:
    """The transport layer of one host. `datagram_size` is the most bytes that one datagram may have."""

    def __init__(self, config: Config, rng: Random, datagram_size: int, trace: Trace | None = None) -> None:
        self.config = config
        self.codec = RdtCodec(config.checksum, config.sequence_bits)
        self._space = SequenceSpace(config.sequence_bits)
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
        self.datagrams = Datagrams(config.max_datagrams)
        self._dirty: dict[Connection, None] = {}
        self._replies: deque[tuple[str, Segment]] = deque()
        self._timers: list[tuple[int, int, Connection]] = []
        self._deadlines: dict[Connection, int] = {}
        self._closed_totals = Totals()
        self._serial = 0
        secret = rng.randbytes(32)
        self._isn = InitialSequence(secret, keyed=config.keyed_isn)
        self._jar = CookieJar(secret, lifetime_ns=config.cookie_lifetime)
        self._next_port = rng.randrange(len(EPHEMERAL_PORTS))
        self._now = 0

    # -- commands ------------------------------------------------------------------------------------------------

    def listen(self, port: int, backlog: int, *, records: bool = False) -> Listener:
        """Take connections on `port`, at most `backlog` waiting; of streams of records, or of plain ones.

        Raises ProtocolError if the port is in use, ConfigError for what is no port.
        """
        _check_port(port)
        if port in self.listeners:
            raise ProtocolError(f"port {port} is in use by another listener")
        listener = self.listeners[port] = Listener(port, max(1, backlog), records)
        return listener

    def unlisten(self, listener: Listener, now: int) -> None:
        """Take no more connections; those that nobody has accepted are aborted."""
        if self.listeners.get(listener.port) is listener:
            del self.listeners[listener.port]
        waiting = [connection for connection, owner in self._half_open.items() if owner is listener]
        for connection in (*waiting, *listener.queue):
            connection.abort(now)
        listener.queue.clear()

    def connect(self, peer: str, port: int, now: int, local_port: int = 0, *, records: bool = False) -> Connection:
        """Begin a connection to `port` of `peer`, from `local_port` or, if that is 0, from a free one.

        Raises ProtocolError if the local port is in use or none is free, ConfigError for what is no port.
        """
        _check_port(port)
        _check_port(local_port)
        local_port = local_port or self.free_port(peer, port)
        if (local_port, peer, port) in self.connections:
            raise ProtocolError(f"port {local_port} is in use by another connection to {peer} port {port}")
        iss = self._space.wrap(self._isn.choose(local_port, peer, port, now))
        connection = self._create(local_port, peer, port, iss, records=records)
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

    def receive(self, peer: str, datagrams: Iterable[bytes | memoryview], now: int, *, marked: bool = False) -> None:
        """Process datagrams that came together from `peer`, `marked` if the network marked them (RFC 3168).

        Nothing raises, whatever they hold.
        """
        self._now = now
        for segment in self.codec.decode(datagrams, self._discard, marked=marked):
            if segment.flags & DGM:
                self._receive_datagram(peer, segment)
                continue
            connection = self.connections.get((segment.destination_port, peer, segment.source_port))
            if connection is None or (
                connection.state is State.TIME_WAIT and self._begins_anew(connection, peer, segment, now)
            ):
                self._receive_for_none(peer, segment, now, connection)
                continue
            if self._space.narrow:
                self._space.place(segment, connection)
            connection.receive(segment, now)
            if self._half_open and connection in self._half_open:
                self._check_half_open(connection)

    def _receive_datagram(self, peer: str, segment: Segment) -> None:
        problem = self.datagrams.receive(peer, segment)
        if problem:
            self._discard(problem, len(segment.payload), segment.count)
        if problem == "no datagram port":
            self._reply(peer, Segment(segment.destination_port, segment.source_port, DGM | RST, 0), "nobody there")

    def _begins_anew(self, old: Connection, peer: str, segment: Segment, now: int) -> bool:
        """Tell whether `segment` opens a new connection in place of `old`, which is in TIME-WAIT.

        RFC 9293 §3.10.7.4, MAY-2: if the new ISN is larger than the last sequence number of the old connection.
        """
        listener = self.listeners.get(segment.destination_port)
        if listener is None:
            return False
        if segment.flags & (SYN | ACK | RST) == SYN:
            return self._is_later(segment.seq, old.receiver.rcv_nxt)
        if not segment.cookie:
            return False
        iss = self._space.wrap(segment.ack - 1)
        baked = self._jar.open(segment.cookie, now, listener.port, peer, segment.source_port, iss)
        return not isinstance(baked, str) and self._is_later(baked.irs, old.receiver.rcv_nxt)

    def _is_later(self, number: int, known: int) -> bool:
        """Tell whether a sequence number that came outside of any connection is larger than one that is known."""
        return self._space.unwrap(number, known) > known

    def _receive_for_none(self, peer: str, segment: Segment, now: int, old: Connection | None = None) -> None:
        """RFC 9293 §3.10.7.1 (no connection) and §3.10.7.2 (a listener)."""
        flags = segment.flags
        if flags & RST:
            self._discard("reset for no connection", len(segment.payload), segment.count)
            return
        listener = self.listeners.get(segment.destination_port)
        if listener is not None and flags & (SYN | ACK) == SYN and listener.records is (segment.record is not None):
            self._take_syn(listener, peer, segment, now, old)
        elif listener is not None and segment.cookie and flags & (SYN | ACK) == ACK:
            self._take_cookie(listener, peer, segment, now, old)
        else:
            self._refuse(peer, segment, "no connection")

    def _take_syn(self, listener: Listener, peer: str, segment: Segment, now: int, old: Connection | None) -> None:
        """A SYN to a listener: answer it, and keep nothing of it if there are cookies."""
        if listener.full:
            listener.overflows += 1
            self._discard("backlog full", len(segment.payload), segment.count)
            return
        iss = self._space.wrap(self._isn.choose(listener.port, peer, segment.source_port, now))
        if old is not None and not self._is_later(iss, old.sender.snd_nxt):
            # RFC 9293 §3.10.7.4: the new one must begin behind what the old one has used.
            iss = self._space.wrap(old.sender.snd_nxt + 1)
        if self.config.cookies and self.config.handshake:
            reply = answer_statelessly(listener, segment, peer, iss, self._jar, self.config, self.codec, self.mss, now)
            if reply is None:
                self._discard("answer too large", len(segment.payload), segment.count)
                return
            self._note(segment, "SYN to a listener: answered with a cookie, nothing is kept (RFC 4987 §3.6)")
            self._reply(peer, reply, "handshake: with a cookie", iss, segment.seq)
            return
        self._expire(old, now)
        connection = self._create(listener.port, peer, segment.source_port, iss, records=listener.records)
        self._half_open[connection] = listener
        listener.half_open += 1
        connection.accept_syn(segment, now)
        self._check_half_open(connection)

    def _take_cookie(self, listener: Listener, peer: str, segment: Segment, now: int, old: Connection | None) -> None:
        """A cookie comes back: who sent it gets what is sent to its address."""
        iss = self._space.wrap(segment.ack - 1)
        baked = self._jar.open(segment.cookie, now, listener.port, peer, segment.source_port, iss)
        if isinstance(baked, str):
            self._refuse(peer, segment, baked)
        elif listener.full:
            listener.overflows += 1
            self._discard("backlog full", len(segment.payload), segment.count)
        else:
            self._expire(old, now)
            connection = self._create(listener.port, peer, segment.source_port, iss, records=listener.records)
            self._half_open[connection] = listener
            listener.half_open += 1
            self._jar.spend(segment.cookie, now)
            connection.accept_cookie(baked, now)
            if self._space.narrow:
                self._space.place(segment, connection)
            connection.receive(segment, now)
            self._check_half_open(connection)

    def _expire(self, old: Connection | None, now: int) -> None:
        """End a connection in TIME-WAIT: a new one takes its place."""
        if old is not None:
            old.finish(Event.EXPIRE, "closed", "both sides have closed", now)
            self._remove(old)

    def _refuse(self, peer: str, segment: Segment, reason: str) -> None:
        """RFC 9293 §3.10.7.1: what belongs to no connection is answered with a reset."""
        self._discard(reason, len(segment.payload), segment.count)
        reply = Segment(segment.destination_port, segment.source_port, RST, 0)
        if segment.flags & ACK:
            reply.seq = segment.ack
        else:
            reply.flags |= ACK
            reply.ack = segment.end
        self._reply(peer, reply, f"reset: {reason}")

    def _reply(self, peer: str, reply: Segment, reason: str, iss: int = 0, irs: int = 0) -> None:
        """Have `reply` sent to a peer without a connection, unless too many wait already."""
        if len(self._replies) >= self.config.max_replies:
            self._discard("reply queue full", len(reply.payload))
            return
        self._replies.append((peer, reply))
        if self.trace is not None:
            self.trace.sent(self._now, -1, reply, (reason, iss, irs, False))

    def _note(self, segment: Segment, outcome: str) -> None:
        if self.trace is not None:
            self.trace.received(self._now, -1, segment, outcome)

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
        return bool(self._dirty or self._replies or self.datagrams.outbox)

    def poll_transmit(self, now: int) -> list[Batch]:
        """Give datagrams to send now, with the peer each batch goes to.

        A full segment's worth of each connection that has any, so that a long burst of one neither delays the others
        nor what the peers answer meanwhile; `pending` says whether there is more. Unreliable datagrams wait for no
        stream.
        """
        batches: list[Batch] = []
        for queue in (self._replies, self.datagrams.outbox):
            while queue:
                peer, segment = queue.popleft()
                batches.append((peer, self.codec.encode(segment, self.mss), False))
        dirty, self._dirty = self._dirty, {}
        for connection in dirty:
            self._poll(connection, batches, now)
        return batches

    def _poll(self, connection: Connection, batches: list[Batch], now: int) -> None:
        """Take from `connection` as much as one full segment holds; more of it waits for the next call."""
        connection.polls += 1
        budget = self.config.segment_size
        while budget > 0:
            segment = connection.poll_transmit(now)
            if segment is not None:
                batches.append((connection.peer, self.codec.encode(segment, connection.mss), segment.ect))
                budget -= len(segment.payload)
            if segment is None or connection.said_all:
                if connection.end is not None:
                    self._remove(connection)
                self._note_deadline(connection)
                return
        self._dirty[connection] = None

    # -- bookkeeping ---------------------------------------------------------------------------------------------------

    def totals(self) -> Totals:
        """Counts over all connections, those that are over included."""
        totals = replace(self._closed_totals)
        for connection in self.connections.values():
            totals.add(connection)
        return totals

    def _create(self, local_port: int, peer: str, peer_port: int, iss: int, *, records: bool) -> Connection:
        connection = Connection(
            self.config,
            identity=self._serial,
            local_port=local_port,
            peer=peer,
            peer_port=peer_port,
            iss=iss,
            mss=self.mss,
            codec=self.codec,
            records=records,
            trace=self.trace,
            wake=self._wake,
        )
        self._serial += 1
        self.connections[local_port, peer, peer_port] = connection
        self._ports_in_use[local_port] += 1
        return connection

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
