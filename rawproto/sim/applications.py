"""The applications of a scenario, and what each of them can say of its connection: nothing else is ever judged.

An application hands octets over, reads, and is told of ends and errors; an `Account` notes that, with the time. It
knows no sequence number and no state: just what a program sees that calls Berkeley sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial

from rawproto.errors import ProtocolError
from rawproto.link.chance import derive_rng
from rawproto.sim.network import Condition, Host, HostCondition, Task
from rawproto.sim.scenario import ALL, Party, Scenario, Talk, parse_step
from rawproto.sim.stream import ConnectionEndedError, Datagrams, Stream, accept, listen, open_datagrams, sleep
from rawproto.transport.config import SECOND
from rawproto.transport.connection import Connection
from rawproto.transport.stack import MAX_SEND

__all__ = ["PORT", "Account", "Applications", "content"]

PORT = 7000
RETRY_NS = SECOND
"""A port that is in use is asked for again after this."""


@dataclass(eq=False, slots=True)
class Account:
    """What one application knows of one connection. Times in ns, -1 for never."""

    side: str
    talk: int
    """The number of the talk, from 0; -1 for a connection that nobody is known to have opened."""
    kind: str = "stream"
    began_ns: int = -1
    """When the client called connect, or the server was given the connection."""
    open_ns: int = -1
    """When that was done."""
    port: int = 0
    """The client's port."""
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    """What was taken of what was handed over, and when: pieces, records, datagrams."""
    got: list[tuple[int, bytes]] = field(default_factory=list)
    read: int = 0
    """How many octets that is."""
    shutdown_ns: int = -1
    aborted_ns: int = -1
    """When this application ended the connection by force."""
    eof_ns: int = -1
    flushed_ns: int = -1
    """When it was told that all it had sent, the end included, has arrived."""
    closed_ns: int = -1
    """When it had done all that it wanted to, and closed."""
    error_ns: int = -1
    error: str = ""
    """The cause of `connection.End`, if that was no orderly one."""
    error_text: str = ""
    gone_ns: int = -1
    """When its host lost its memory."""
    tasks: int = field(default=0, repr=False)
    """How many tasks of the application still run: one writes, one reads."""
    waits_for: str = ""
    """ "connect", "write", "read" or "flush": what it was still waiting for in the end."""

    @property
    def over(self) -> bool:
        """It has nothing left to do or to hope for."""
        ended = self.closed_ns >= 0 or self.error_ns >= 0 or self.aborted_ns >= 0
        return self.gone_ns >= 0 or (ended and not self.tasks)

    def all_sent(self) -> bytes:
        """Everything it has handed over."""
        return b"".join(data for _, data in self.sent)

    def all_got(self) -> bytes:
        """Everything it has read."""
        return b"".join(data for _, data in self.got)

    def fail(self, now: int, cause: str, text: str) -> None:
        """It was told that the connection is over."""
        if self.error_ns < 0:
            self.error_ns, self.error, self.error_text = now, cause, text


def content(seed: int, side: str, talk: int, size: int) -> bytes:
    """What `side` sends in a talk. The first 256 octets are all different, so that each is known wherever it turns up.

    Which follows which in them is another order for each side and talk; what comes behind is chance.
    """
    rng = derive_rng(seed, "content", side, str(talk))
    offset, stride = rng.randrange(256), 4 * talk + (1 if side == "client" else 3) & 0xFF
    around = bytes(range(256)) * (stride + 1)
    first = around[offset::stride][: min(size, 256)]
    return first + rng.randbytes(size - len(first))


class Applications:
    """Runs the parties of `scenario` on two hosts. `server_address` is what the client takes for the server's."""

    def __init__(self, scenario: Scenario, seed: int, client: Host, server: Host, server_address: str) -> None:
        self.scenario, self.seed = scenario, seed
        self.client, self.server = client, server
        self.accounts: list[Account] = []
        self.clients: list[Account] = []
        """The client's of each talk."""
        self._peer = server_address
        self._going_on = 0
        """A talk that was not over when `over` was asked last."""
        self._matched: dict[int, Account] = {}
        self._numbers: dict[int, int] = {}
        """The initial sequence number of each talk that was begun: it may be old when the server hears of it."""
        for number, talk in enumerate(scenario.talks):
            account = Account("client", number, talk.kind)
            self.clients.append(account)
            self.accounts.append(account)
            if talk.kind == "datagrams":
                self._open_datagrams(number, talk, account)
            elif not self._follows(number):
                client.spawn(self._connect_in_turn(number))
        self.serve()

    def serve(self) -> None:
        """Listen on the server: at the beginning, and again after it has lost its memory."""
        kinds = {talk.kind for talk in self.scenario.talks} - {"datagrams"}
        for kind in sorted(kinds):
            port = PORT + (kind == "records")
            self.server.spawn(self._accept(port, kind))

    @property
    def over(self) -> bool:
        """Every talk has ended for both of its sides."""
        if not self.clients[self._going_on].over:
            return False  # most often it is still the same one
        for number in range(len(self.clients)):
            if not self._is_over(number):
                self._going_on = number
                return False
        return True

    def _is_over(self, number: int) -> bool:
        """A talk has ended for both of its sides, or for the client if the server knows nothing of it."""
        other = self._matched.get(number)
        return self.clients[number].over and (other is None or other.over)

    def forget(self, host: Host) -> None:
        """`host` has lost its memory, and its applications with it."""
        side = "client" if host is self.client else "server"
        for account in self.accounts:
            if account.side == side and not account.over:
                account.gone_ns = host.simulation.now
        if side == "server":
            self.serve()

    # -- connections -------------------------------------------------------------------------------------------------

    def _follows(self, number: int) -> bool:
        """The connection of a talk comes after another one, and its task is that one's."""
        talks = self.scenario.talks
        return number > 0 and talks[number].again and "datagrams" not in (talks[number - 1].kind, talks[number].kind)

    def _connect_in_turn(self, number: int) -> Task:
        """Make the connection of a talk, and of those that follow it: so one task waits, and not one for each."""
        talks = self.scenario.talks
        yield from self._connect(number, talks[number], self.clients[number])
        for later in range(number + 1, len(talks)):
            if not self._follows(later):
                return
            yield from self._connect(later, talks[later], self.clients[later])

    def _connect(self, number: int, talk: Talk, account: Account) -> Task:
        host = self.client
        if talk.again and number:
            before = self.clients[number - 1]
            yield lambda: before.over and self._is_over(number - 1)
        if talk.start_ns:
            yield from sleep(host, talk.start_ns)
        records = talk.kind == "records"
        account.waits_for = "connect"
        while True:
            try:
                connection = host.stack.connect(self._peer, PORT + records, host.now, talk.client_port, records=records)
                break
            except ProtocolError:  # the port is in use: TIME-WAIT
                yield from sleep(host, RETRY_NS)
        account.began_ns = host.simulation.now
        account.port = connection.local_port
        self._numbers[number] = connection.sender.iss
        yield HostCondition(lambda: connection.established or connection.end is not None, connection)
        if connection.end is not None:
            account.fail(host.simulation.now, connection.end.cause, str(connection.end))
            return
        self._open(host, connection, account, talk.client, number)

    def _accept(self, port: int, kind: str) -> Task:
        host = self.server
        listener = listen(host, port, records=kind == "records")
        while True:
            stream = yield from accept(host, listener)
            number = self._talk_of(stream.connection, kind)
            account = Account("server", number, kind, host.simulation.now, port=stream.connection.peer_port)
            self.accounts.append(account)
            if number >= 0:
                self._matched[number] = account
            party = self.scenario.talks[number].server if number >= 0 else Party()
            self._open(host, stream.connection, account, party, number if number >= 0 else len(self.accounts) + 1000)

    def _talk_of(self, connection: Connection, kind: str) -> int:
        """The talk that a connection must be, if it is any and was not yet: the last with its port and number.

        Two may have the same number, if no clock ran between them: then rather the one whose client is connected.
        """
        irs = connection.receiver.irs
        alike = [
            number
            for number, account in reversed(tuple(enumerate(self.clients)))
            if account.port == connection.peer_port and account.kind == kind and self._numbers.get(number) == irs
        ]
        free = [number for number in alike if number not in self._matched]
        connected = [number for number in free if self.clients[number].open_ns >= 0]
        return next(iter(connected or free), -1)

    def _open(self, host: Host, connection: Connection, account: Account, party: Party, number: int) -> None:
        account.open_ns = host.simulation.now
        stream = Stream(host, connection)
        data = content(self.seed, account.side, number, party.sends)
        account.tasks = 2

        def one_is_done() -> None:
            account.tasks -= 1
            if not account.tasks and not account.over:
                stream.close()
                account.closed_ns = host.simulation.now
                account.waits_for = ""

        for steps in (_write(stream, account, party, data), _read(stream, account, party)):
            host.spawn(_guarded(host, steps, account, one_is_done))

    # -- datagrams ---------------------------------------------------------------------------------------------------

    def _open_datagrams(self, number: int, talk: Talk, account: Account) -> None:
        there = Account("server", number, talk.kind)
        self.accounts.append(there)
        self._matched[number] = there
        port = PORT + 100 + number
        for host, mine, party, remote in (
            (self.client, account, talk.client, (self._peer, port)),
            (self.server, there, talk.server, None),
        ):
            host.spawn(self._send_datagrams(host, mine, party, number, port, remote))

    def _send_datagrams(
        self, host: Host, account: Account, party: Party, number: int, port: int, remote: tuple[str, int] | None
    ) -> Task:
        box = open_datagrams(host, port)
        account.began_ns = account.open_ns = host.simulation.now
        account.port = port
        host.spawn(_take_datagrams(box, account))
        data = memoryview(content(self.seed, account.side, number, party.sends))
        for step in map(parse_step, party.writes):
            if step.verb == "wait":
                yield from sleep(host, step.for_ns)
            for at in range(0, step.size if step.verb == "send" and remote is not None else 0, step.piece or 1):
                piece = bytes(data[at : min(at + step.piece, step.size)])
                if box.send(piece, remote):
                    account.sent.append((host.simulation.now, piece))
            data = data[step.size :]
        account.closed_ns = host.simulation.now


def _take_datagrams(box: Datagrams, account: Account) -> Task:
    while True:
        message = yield from box.recv()
        account.got.append((box.host.simulation.now, message.data))
        account.read += len(message.data)


def _guarded(host: Host, steps: Generator[Condition, None, None], account: Account, done: Callable[[], None]) -> Task:
    try:
        yield from steps
    except ConnectionEndedError as error:
        account.fail(host.simulation.now, error.end.cause, str(error.end))
    done()


def _write(stream: Stream, account: Account, party: Party, data: bytes) -> Task:
    host, view = stream.host, memoryview(data)
    for step in map(parse_step, party.writes):
        match step.verb:
            case "wait":
                yield from sleep(host, step.for_ns)
            case "await":
                yield HostCondition(partial(_has_come, stream, account, step.size))
            case "abort":
                account.aborted_ns = host.simulation.now
                stream.abort()
                return
            case "shutdown":
                break
            case "send":
                mine, view = view[: step.size], view[step.size :]
                yield from _send(stream, account, mine, step.piece)
    account.shutdown_ns = host.simulation.now
    stream.shutdown()
    account.waits_for = "flush"
    yield HostCondition(lambda: stream.connection.drained, stream.connection)
    end = stream.connection.end
    if end is not None and end.cause != "closed":
        raise ConnectionEndedError(end)
    account.flushed_ns = host.simulation.now
    account.waits_for = "read"


def _has_come(stream: Stream, account: Account, size: int) -> bool:
    """So much has been read, or no more will be."""
    return account.read >= size or account.eof_ns >= 0 or stream.connection.end is not None


def _send(stream: Stream, account: Account, data: memoryview, piece: int) -> Task:
    simulation = stream.host.simulation
    while data:
        account.waits_for = "write"
        part = bytes(data[: min(piece, MAX_SEND)])
        if account.kind == "records":
            yield from stream.send_record(part)
        else:
            yield HostCondition(lambda: stream.connection.writable, stream.connection)
            part = part[: stream.send(part)]
        account.sent.append((simulation.now, part))
        data = data[len(part) :]
    account.waits_for = ""


def _read(stream: Stream, account: Account, party: Party) -> Task:
    host = stream.host
    for step in map(parse_step, party.reads):
        if step.verb == "wait":
            yield from sleep(host, step.for_ns)
            continue
        left = step.size
        while left > 0:
            if account.waits_for in ("", "connect"):
                account.waits_for = "read"
            if account.kind == "records":
                data, _ = yield from stream.recv_record()
            else:
                data = yield from stream.recv(min(left, 1 << 16))
            if not data:
                account.eof_ns = host.simulation.now
                return
            account.got.append((host.simulation.now, data))
            account.read += len(data)
            left -= len(data) if step.size < ALL else 0
