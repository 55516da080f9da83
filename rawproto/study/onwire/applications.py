"""The applications of a scenario on two real hosts: threads that call Berkeley sockets, and note what those told them.

They do what the simulated ones of `rawproto.sim.applications` do, step by step, and fill the same accounts. Two things
are asked for that Berkeley sockets do not tell: whether all that was sent has been acknowledged (`Socket.drain`), and
why a connection is over (`Connection.end`), which the errno tells less finely.
"""

from __future__ import annotations

import errno
import socket as stdlib
import struct
import threading
from collections.abc import Callable, Mapping

from rawproto.sim.applications import PORT, RETRY_NS, Account, content
from rawproto.sim.scenario import ALL, Party, Scenario, Step, Talk, parse_step
from rawproto.sockets.connection_socket import ConnectionSocket
from rawproto.sockets.datagram_socket import DatagramSocket
from rawproto.sockets.driver import Clock
from rawproto.sockets.host import Host
from rawproto.sockets.record_socket import RecordSocket
from rawproto.transport.connection import End
from rawproto.transport.stack import MAX_SEND

__all__ = ["Applications"]

JOIN_S = 5.0
"""How long threads may take to end once their hosts are closed."""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER: close() resets the connection (RFC 9293 §3.10.5)."""
CAUSES: Mapping[int | None, str] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "aborted",
    errno.ETIMEDOUT: "timeout",
}
"""The cause of an `End`, by the errno of a connection that never was."""


class StoppedError(Exception):
    """The run is over, and this application was still waiting."""


class EndedError(Exception):
    """The connection ended before the application was done."""


class Applications:
    """Runs the parties of `scenario` on two hosts. `server_address` is what the client takes for the server's."""

    def __init__(
        self, scenario: Scenario, seed: int, client: Host, server: Host, server_address: str, clock: Clock
    ) -> None:
        self.scenario, self.seed = scenario, seed
        self.client, self.server = client, server
        self.accounts: list[Account] = []
        self.clients: list[Account] = []
        """The client's of each talk."""
        self.failure: BaseException | None = None
        """What went wrong in this program, not on the wire."""
        self._peer, self._clock = server_address, clock
        self._matched: dict[int, Account] = {}
        self._news = threading.Condition()
        """Held to change what several threads look at; told when an application is done."""
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        kinds = {talk.kind for talk in scenario.talks} - {"datagrams"}
        self._listeners = [self._listen(kind) for kind in sorted(kinds)]

    # -- for whoever runs them ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Let all of them begin."""
        for number, talk in enumerate(self.scenario.talks):
            account = Account("client", number, talk.kind)
            self.clients.append(account)
            self.accounts.append(account)
        for listener in self._listeners:
            self._spawn(self._accept, listener)
        for number, talk in enumerate(self.scenario.talks):
            begin = self._open_datagrams if talk.kind == "datagrams" else self._connect
            self._spawn(begin, number, talk)

    def wait(self, until_ns: int) -> None:
        """Wait until every talk is over for both of its sides, at the longest until `until_ns`."""
        with self._news:
            while not self.over and self.failure is None and (left_ns := until_ns - self._clock()) > 0:
                self._news.wait(left_ns / 1e9)

    @property
    def over(self) -> bool:
        """Every talk has ended for both of its sides."""
        return all(self._done(number) for number in range(len(self.clients)))

    def stop(self) -> None:
        """Nothing that happens from now on is noted: the run is over. To be called before the hosts are closed."""
        self._stopped.set()
        with self._news:
            self._news.notify_all()

    def join(self) -> None:
        """Wait until no application runs any more. To be called after the hosts are closed."""
        for thread in self._threads:
            thread.join(JOIN_S)

    def _done(self, number: int) -> bool:
        other = self._matched.get(number)
        return self.clients[number].over and (other is None or other.over)

    def _spawn(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=self._run, args=(run, *arguments), name=run.__name__, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, run: Callable[..., None], *arguments: object) -> None:
        try:
            run(*arguments)
        except StoppedError:
            pass
        except BaseException as error:
            if not (self._stopped.is_set() and isinstance(error, OSError)):  # the host was closed
                self.failure = self.failure or error
        finally:
            with self._news:
                self._news.notify_all()

    def _sleep(self, duration_ns: int) -> None:
        if self._stopped.wait(duration_ns / 1e9):
            raise StoppedError

    # -- connections -------------------------------------------------------------------------------------------------

    def _connect(self, number: int, talk: Talk) -> None:
        account = self.clients[number]
        if talk.start_ns:
            self._sleep(talk.start_ns)
        if talk.again and number:
            with self._news:
                self._news.wait_for(lambda: self._done(number - 1) or self._stopped.is_set())
        account.waits_for = "connect"
        address = (self._peer, PORT + (talk.kind == "records"))
        connection = self._begin(talk, account, address)
        try:
            connection.setblocking(True)
            connection.connect(address)
        except OSError as error:
            self._fail(connection, account, error)
            return
        self._open(connection, account, talk.client, number)

    def _begin(self, talk: Talk, account: Account, address: tuple[str, int]) -> ConnectionSocket:
        """Send the first SYN, as soon as the port is free."""
        while True:
            connection = _socket(self.client, talk.kind)
            with self._news:  # the server may be given the connection before we know our port
                account.began_ns = self._clock()
                if _begun(connection, talk.client_port, address):
                    account.port = connection.getsockname()[1]
                    return connection
                account.began_ns = -1
            connection.close()
            self._sleep(RETRY_NS)

    def _listen(self, kind: str) -> tuple[ConnectionSocket, str]:
        listener = _socket(self.server, kind)
        listener.bind(("", PORT + (kind == "records")))
        listener.listen()
        return listener, kind

    def _accept(self, listening: tuple[ConnectionSocket, str]) -> None:
        listener, kind = listening
        while True:
            connection, (_, port) = listener.accept()
            with self._news:
                number = self._talk_of(port, kind)
                account = Account("server", number, kind, self._clock(), port=port)
                self.accounts.append(account)
                if number >= 0:
                    self._matched[number] = account
            party = self.scenario.talks[number].server if number >= 0 else Party()
            self._open(connection, account, party, number if number >= 0 else len(self.accounts) + 1000)

    def _talk_of(self, port: int, kind: str) -> int:
        """The talk that a connection from `port` must be, if it is any: the last that was begun and is not taken."""
        for number in reversed(range(len(self.clients))):
            account = self.clients[number]
            if account.port == port and account.kind == kind and account.began_ns >= 0:
                return -1 if number in self._matched else number
        return -1

    def _open(self, connection: ConnectionSocket, account: Account, party: Party, number: int) -> None:
        account.open_ns = self._clock()
        data = content(self.seed, account.side, number, party.sends)
        at_work = Conversation(self, connection, account, party, data)
        self._spawn(at_work.write)
        self._spawn(at_work.read)

    def _fail(self, connection: ConnectionSocket, account: Account, error: OSError) -> None:
        """Note what the application was told; nothing once the run is over, which closes the hosts."""
        if self._stopped.is_set():
            raise StoppedError
        end = None if connection.connection is None else connection.connection.end
        cause = CAUSES.get(error.errno, "link") if end is None else end.cause
        account.fail(self._clock(), cause, str(error.strerror or error) if end is None else str(end))

    # -- datagrams ---------------------------------------------------------------------------------------------------

    def _open_datagrams(self, number: int, talk: Talk) -> None:
        here, there = self.clients[number], Account("server", number, talk.kind)
        self.accounts.append(there)
        self._matched[number] = there
        port = PORT + 100 + number
        remote = (self._peer, port)
        for host, account in ((self.server, there), (self.client, here)):
            box = host.socket(stdlib.SOCK_DGRAM)
            box.bind(("", port))
            account.began_ns = account.open_ns = self._clock()
            account.port = port
            self._spawn(self._take_datagrams, box, account)
            if account is here:
                self._send_datagrams(box, account, talk.client, remote)
            else:
                account.closed_ns = self._clock()

    def _send_datagrams(self, box: DatagramSocket, account: Account, party: Party, remote: tuple[str, int]) -> None:
        data = content(self.seed, account.side, account.talk, party.sends)
        for step in map(parse_step, party.writes):
            if step.verb == "wait":
                self._sleep(step.for_ns)
            elif step.verb == "send":
                mine, data = data[: step.size], data[step.size :]
                for piece in _pieces(mine, step):
                    box.sendto(piece, remote)
                    account.sent.append((self._clock(), piece))
        account.closed_ns = self._clock()

    def _take_datagrams(self, box: DatagramSocket, account: Account) -> None:
        while True:
            data = box.recv(1 << 16)
            account.got.append((self._clock(), data))
            account.read += len(data)


class Conversation:
    """What one application does with its connection: one thread writes, another one reads."""

    def __init__(
        self, all_of_them: Applications, connection: ConnectionSocket, account: Account, party: Party, data: bytes
    ) -> None:
        self.applications, self.connection, self.account = all_of_them, connection, account
        self.party, self.data = party, data
        self._now, self._sleep = all_of_them._clock, all_of_them._sleep
        self._driver = (all_of_them.client if account.side == "client" else all_of_them.server).driver
        self._running = 2

    def write(self) -> None:
        """Do what the party writes, and wait until all of it is acknowledged."""
        self._guard(self._write)

    def read(self) -> None:
        """Do what the party reads."""
        self._guard(self._read)

    def _guard(self, steps: Callable[[], None]) -> None:
        applications, account = self.applications, self.account
        try:
            steps()
        except OSError as error:
            applications._fail(self.connection, account, error)
        except EndedError:
            applications._fail(self.connection, account, OSError())
        with applications._news:
            self._running -= 1
            last = not self._running and not account.over
        if last:
            self.connection.close()
            account.closed_ns = self._now()
            account.waits_for = ""

    def _write(self) -> None:
        account, connection, data = self.account, self.connection, self.data
        for step in map(parse_step, self.party.writes):
            match step.verb:
                case "wait":
                    self._sleep(step.for_ns)
                case "await":
                    self._await(step.size)
                case "abort":
                    account.aborted_ns = self._now()
                    connection.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER, RESET_ON_CLOSE)
                    connection.close()
                    return
                case "shutdown":
                    break
                case "send":
                    mine, data = data[: step.size], data[step.size :]
                    self._send(mine, step)
        account.shutdown_ns = self._now()
        connection.shutdown(stdlib.SHUT_WR)
        account.waits_for = "flush"
        connection.drain()
        end = self._end()
        if end is not None and end.cause != "closed":
            raise EndedError
        account.flushed_ns = self._now()
        account.waits_for = "read"

    def _send(self, data: bytes, step: Step) -> None:
        account = self.account
        for piece in _pieces(data, step):
            view = memoryview(piece)
            while view:
                account.waits_for = "write"
                taken = self.connection.send(view)
                account.sent.append((self._now(), bytes(view[:taken])))
                view = view[taken:]

    def _await(self, size: int) -> None:
        """Wait until so much has been read, or no more will be."""
        account = self.account
        with self._driver.lock:
            self._driver.wait(lambda: account.read >= size or account.eof_ns >= 0 or self._end() is not None)

    def _read(self) -> None:
        for step in map(parse_step, self.party.reads):
            if step.verb == "wait":
                self._sleep(step.for_ns)
            elif not self._read_octets(step.size):
                return

    def _read_octets(self, size: int) -> bool:
        """Read so many octets; False at the end of the stream."""
        account, connection, left = self.account, self.connection, size
        while left > 0:
            if account.waits_for in ("", "connect"):
                account.waits_for = "read"
            if isinstance(connection, RecordSocket):
                data, _ = connection.recv_record()
            else:
                data = connection.recv(min(left, 1 << 16))
            with self._driver.lock:
                if data:
                    account.got.append((self._now(), data))
                    account.read += len(data)
                else:
                    account.eof_ns = self._now()
                self._driver.wake()  # the one who writes may wait for it
            if not data:
                return False
            left -= len(data) if size < ALL else 0
        return True

    def _end(self) -> End | None:
        connection = self.connection.connection
        return None if connection is None else connection.end


def _begun(connection: ConnectionSocket, port: int, address: tuple[str, int]) -> bool:
    """Send the first SYN, without waiting for an answer; False if `port`, 0 for any one, is in use."""
    connection.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_REUSEADDR, 1)  # another address may be in TIME-WAIT there
    connection.setblocking(False)
    try:
        if port:
            connection.bind(("", port))
        connection.connect(address)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def _pieces(data: bytes, step: Step) -> list[bytes]:
    piece = min(step.piece, MAX_SEND)
    return [data[at : at + piece] for at in range(0, len(data), piece)]


def _socket(host: Host, kind: str) -> ConnectionSocket:
    return host.socket(stdlib.SOCK_SEQPACKET) if kind == "records" else host.socket(stdlib.SOCK_STREAM)
