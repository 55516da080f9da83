"""One flow between two hosts of a simulated network: so many bytes, or as many as go until a certain time.

Either end may be the one that connects. How it went is told from outside, by the two applications: what arrived, by
SHA-256, when, and how the connection ended for each of them. A flow that fails is a flow that says so, no exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass

from rawproto.link.chance import derive_rng
from rawproto.sim.network import Condition, Host, HostCondition
from rawproto.sim.stream import ConnectionEndedError, Stream, accept, connect, listen, wait_closed
from rawproto.transport.statistics import Stats, collect

__all__ = ["PORT", "Ending", "Flow"]

PORT = 7000

PIECE = 1 << 16
"""Handed over at a time. The stream is this much chance over and over, each time turned by a byte: a piece that is
lost, doubled or swapped changes the digest, and nobody has to make megabytes of chance for it."""

WHOLE = "whole"
WAITING = "waiting"

Connecting = Generator[Condition, None, Stream]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a flow ended for one of its applications, and when, in ns.

    `cause` is "whole", "waiting" if it has not ended, or the cause of `connection.End`, with its `text`.
    """

    cause: str
    time_ns: int
    text: str = ""


class Flow:
    """`size` bytes from `sender` to `receiver`, or with None as many as are acknowledged in time; then both close.

    The receiver listens from the beginning, unless it is the one that connects (`receiver_connects`). `peer` is what
    the one that connects takes for the other's address: its own, if left out. The receiver takes nothing out of its
    buffer before `reads_from_ns`. `start_ns` is when the flow begins.
    """

    def __init__(
        self,
        sender: Host,
        receiver: Host,
        seed: int,
        *,
        size: int | None,
        peer: str,
        start_ns: int = 0,
        reads_from_ns: int = 0,
        receiver_connects: bool = False,
    ) -> None:
        self.sender, self.receiver = sender, receiver
        self.size = size
        self.sent = Ending(WAITING, 0)
        """How it ended for the sender: whole, once all of it and its end is acknowledged."""
        self.arrived = Ending(WAITING, 0)
        """And for the receiver: whole, once it has read all, and the SHA-256 is that of what was sent."""
        self.received = 0
        self.stream: Stream | None = None
        """The sender's, once it is connected."""
        self.far: Stream | None = None
        """The receiver's."""
        self._reads_from = reads_from_ns
        self._block = derive_rng(seed, "flow", sender.name).randbytes(PIECE)
        self._told = hashlib.sha256()
        self._got = hashlib.sha256()
        client, server = (receiver, sender) if receiver_connects else (sender, receiver)
        server.spawn(self._run(server, self._accepted(server)))
        client.spawn(self._run(client, self._connected(client, peer, start_ns)))
        for at in (start_ns, reads_from_ns):
            sender.simulation.at(at, lambda: None)  # that somebody looks who waits for it

    @property
    def whole(self) -> bool:
        """Everything has arrived, and both ends know it."""
        return self.sent.cause == self.arrived.cause == WHOLE

    @property
    def over(self) -> bool:
        """It has ended for both, in whichever way."""
        return WAITING not in (self.sent.cause, self.arrived.cause)

    def stats(self) -> tuple[Stats, Stats]:
        """What the connection has counted at the sender and at the receiver; both must have connected."""
        assert self.stream is not None
        assert self.far is not None
        now = self.sender.now
        return collect(self.stream.connection, now), collect(self.far.connection, now)

    def forget(self, host: Host) -> None:
        """`host` has lost its memory: its application is gone and will say no more."""
        if host is self.sender:
            self.sent = Ending("gone", host.now)
        else:
            self.arrived = Ending("gone", host.now)

    # -- the two applications ----------------------------------------------------------------------------------------

    def _accepted(self, host: Host) -> Connecting:
        return (yield from accept(host, listen(host, PORT)))

    def _connected(self, host: Host, peer: str, start_ns: int) -> Connecting:
        yield HostCondition(lambda: host.now >= start_ns)
        return (yield from connect(host, peer, PORT))

    def _run(self, host: Host, connecting: Connecting) -> Generator[Condition, None, None]:
        try:
            stream = yield from connecting
            yield from self._send(stream) if host is self.sender else self._receive(stream)
        except ConnectionEndedError as error:
            self._end(host, error.end.cause, str(error.end))

    def _send(self, stream: Stream) -> Generator[Condition, None, None]:
        self.stream = stream
        left, turn = self.size, 0
        while left is None or left > 0:
            turn = (turn + 1) % PIECE
            piece = self._block[turn:] + self._block[:turn]
            piece = piece if left is None else piece[:left]
            yield from stream.sendall(piece)
            self._told.update(piece)
            left = None if left is None else left - len(piece)
        stream.shutdown()
        yield from wait_closed(stream)
        end = stream.connection.end
        if end is not None and end.cause != "closed":
            raise ConnectionEndedError(end)
        self._end(self.sender, WHOLE)
        yield from stream.recv_all()
        stream.close()

    def _receive(self, stream: Stream) -> Generator[Condition, None, None]:
        self.far = stream
        yield HostCondition(lambda: self.receiver.now >= self._reads_from)
        while block := (yield from stream.recv()):
            self.received += len(block)
            self._got.update(block)
        same = self._got.digest() == self._told.digest()
        self._end(self.receiver, WHOLE if same else "damaged")
        stream.close()

    def _end(self, host: Host, cause: str, text: str = "") -> None:
        if host is self.sender and self.sent.cause == WAITING:
            self.sent = Ending(cause, host.now, text)
        elif host is self.receiver and self.arrived.cause == WAITING:
            self.arrived = Ending(cause, host.now, text)
