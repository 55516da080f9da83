"""The Berkeley calls over two hosts in one process, in real time, over a link in memory and over UDP on loopback."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from rawproto.link.base import Link
from rawproto.link.chance import derive_rng
from rawproto.link.impair import ImpairedLink
from rawproto.link.impairment import Impairment
from rawproto.link.memory import memory_pair
from rawproto.link.udp import UdpLink
from rawproto.sockets.host import Host
from rawproto.sockets.socket import Socket
from rawproto.transport.config import MILLISECOND, Config

PORT = 7
TIMEOUT = 10.0
QUICK = Config(user_timeout=300 * MILLISECOND, connect_timeout=300 * MILLISECOND, min_rto=20 * MILLISECOND)


class Two:
    """Two hosts on one link, and how the second is called by the first."""

    def __init__(self, left: Link, right: Link, addresses: tuple[str, str], config: Config | None = None) -> None:
        self.client = Host(left, addresses[0], config=config)
        self.server = Host(right, addresses[1], config=config)

    def listen(self, port: int = PORT, backlog: int = 8) -> Socket:
        listener = self.server.socket()
        listener.bind(("", port))
        listener.listen(backlog)
        listener.settimeout(TIMEOUT)
        return listener

    def call(self, port: int = PORT) -> Socket:
        caller = self.client.socket()
        caller.settimeout(TIMEOUT)
        caller.connect((self.server.address, port))
        return caller

    def connected(self) -> tuple[Socket, Socket]:
        listener = self.listen()
        caller = self.call()
        accepted, _ = listener.accept()
        accepted.settimeout(TIMEOUT)
        return caller, accepted

    def close(self) -> None:
        self.client.close(linger=0)
        self.server.close(linger=0)


@pytest.fixture(params=["memory", "udp"])
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    pair = Two(UdpLink(port=0), UdpLink(port=0), ("", "")) if request.param == "udp" else in_memory()
    yield pair
    pair.close()


def in_memory(config: Config | None = None) -> Two:
    return Two(*memory_pair(), ("10.0.0.1", "10.0.0.2"), config)


def read_all(connection: Socket) -> bytes:
    blocks = []
    while block := connection.recv(1 << 16):
        blocks.append(block)
    return b"".join(blocks)


def test_a_stream_each_way_and_both_ends(two: Two) -> None:
    caller, accepted = two.connected()
    data = os.urandom(300_000)
    sender = threading.Thread(target=lambda: (caller.sendall(data), caller.shutdown(socket.SHUT_WR)))
    sender.start()
    received = read_all(accepted)
    sender.join()
    assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
    accepted.sendall(b"and back, after the end of the other direction")  # half-close
    accepted.close()
    assert read_all(caller) == b"and back, after the end of the other direction"
    assert caller.recv(10) == b""


def test_names_of_both_ends(two: Two) -> None:
    caller, accepted = two.connected()
    assert accepted.getpeername() == caller.getsockname()
    assert caller.getpeername() == (two.server.address, PORT) == accepted.getsockname()


def test_several_connections_on_one_listener_are_kept_apart(two: Two) -> None:
    listener = two.listen()
    callers = [two.call() for _ in range(5)]
    accepted = {}
    for _ in callers:
        connection, address = listener.accept()
        connection.settimeout(TIMEOUT)
        accepted[address] = connection
    for index, caller in enumerate(callers):
        caller.sendall(b"%d" % index)
    assert [accepted[caller.getsockname()].recv(10) for caller in callers] == [b"%d" % index for index in range(5)]


def test_recv_into_fills_the_buffer_from_its_start(two: Two) -> None:
    caller, accepted = two.connected()
    caller.sendall(b"abcdef")
    buffer = bytearray(b"----------")
    assert accepted.recv_into(buffer, 4) == 4
    assert bytes(buffer) == b"abcd------"


def test_nobody_listens(two: Two) -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        two.call(port=9)
    assert caught.value.errno == errno.ECONNREFUSED


def test_nobody_answers() -> None:
    left, _ = memory_pair()
    with Host(left, "10.0.0.1", config=QUICK) as client, pytest.raises(TimeoutError) as caught:
        client.socket().connect(("10.0.0.2", PORT))
    assert caught.value.errno == errno.ETIMEDOUT


def test_a_peer_that_falls_silent_is_given_up() -> None:
    two = in_memory(QUICK)
    caller, accepted = two.connected()
    accepted.sendall(b"hello")  # the client knows that the listener has taken its cookie
    assert caller.recv(10) == b"hello"
    two.server.driver.close()  # as if it had been killed: no reset
    caller.sendall(b"is anybody there?")
    with pytest.raises(TimeoutError, match=r"acknowledged nothing for 0\.3 s"):
        caller.recv(10)
    two.close()


def test_closing_with_data_unread_resets_the_peer(two: Two) -> None:
    caller, accepted = two.connected()
    caller.sendall(b"nobody will read this")
    with two.server.driver.call():
        connection = accepted.connection
        assert connection is not None
        assert two.server.driver.wait(lambda: connection.readable, 10**10)
    accepted.close()
    with pytest.raises(ConnectionResetError):
        caller.recv(10)


def test_sending_after_shutdown_is_a_broken_pipe(two: Two) -> None:
    caller, _ = two.connected()
    caller.shutdown(socket.SHUT_WR)
    with pytest.raises(BrokenPipeError):
        caller.send(b"more")


def test_reading_after_shutdown_gives_the_end(two: Two) -> None:
    caller, accepted = two.connected()
    accepted.sendall(b"unwanted")
    caller.shutdown(socket.SHUT_RD)
    assert caller.recv(10) == b""


def test_timeouts_say_what_was_waited_for(two: Two) -> None:
    caller, _ = two.connected()
    caller.settimeout(0.01)
    with pytest.raises(TimeoutError, match=r"no data came within 0\.01 s"):
        caller.recv(10)


def test_without_blocking(two: Two) -> None:
    listener = two.listen()
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()
    caller = two.client.socket()
    caller.setblocking(False)
    with pytest.raises(BlockingIOError) as caught:
        caller.connect((two.server.address, PORT))
    assert caught.value.errno == errno.EINPROGRESS
    listener.settimeout(TIMEOUT)
    accepted, _ = listener.accept()
    with pytest.raises(BlockingIOError) as caught:
        caller.recv(10)
    assert caught.value.errno == errno.EAGAIN
    accepted.sendall(b"now")
    caller.settimeout(TIMEOUT)
    assert caller.recv(10) == b"now"


def test_a_port_can_be_bound_once(two: Two) -> None:
    two.listen(port=5)
    with pytest.raises(OSError, match="port 5 is in use") as caught:
        two.server.socket().bind(("", 5))
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.rfc("9293", "MUST-43")
def test_only_the_own_address_can_be_bound(two: Two) -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1") as caught:
        two.server.socket().bind(("192.0.2.1", 5))
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_have_sixteen_bits(two: Two, port: int) -> None:
    with pytest.raises(OverflowError):
        two.server.socket().bind(("", port))


def test_calls_on_what_is_not_connected(two: Two) -> None:
    plain = two.client.socket()
    for call in (lambda: plain.recv(1), lambda: plain.send(b"x"), plain.getpeername):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.ENOTCONN
    with pytest.raises(OSError, match=r"call listen\(\) first"):
        plain.accept()


def test_calls_on_what_is_closed(two: Two) -> None:
    caller, _ = two.connected()
    caller.close()
    caller.close()
    with pytest.raises(OSError) as caught:
        caller.recv(1)
    assert caught.value.errno == errno.EBADF


def test_an_address_of_the_other_version_is_refused() -> None:
    two = in_memory()
    with pytest.raises(OSError, match="no IPv4 address") as caught:
        two.client.socket().connect(("fd00::1", PORT))
    assert caught.value.errno == errno.EAFNOSUPPORT
    two.close()


def test_closing_the_listener_wakes_accept(two: Two) -> None:
    listener = two.listen()
    errors: list[OSError] = []

    def wait() -> None:
        try:
            listener.accept()
        except OSError as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    listener.close()
    waiter.join(TIMEOUT)
    assert not waiter.is_alive()
    assert len(errors) == 1


def test_a_host_answers_while_its_application_is_in_no_call(two: Two) -> None:
    """The background thread acknowledges: the sender learns that all has arrived, though nobody reads."""
    caller, accepted = two.connected()
    caller.sendall(bytes(100_000))
    assert caller.drain()
    assert accepted.connection is not None
    assert accepted.connection.receiver.ready == 100_000


def test_closing_a_host_delivers_what_was_handed_over() -> None:
    two = in_memory()
    caller, accepted = two.connected()
    caller.sendall(bytes(1_000_000))
    caller.shutdown(socket.SHUT_WR)
    two.client.close(linger=5)
    assert len(read_all(accepted)) == 1_000_000
    two.close()


def test_closing_leaves_no_thread_and_no_descriptor() -> None:
    def mine() -> tuple[int, int]:
        return sum(thread.name == "rawproto" for thread in threading.enumerate()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = mine()
    two = in_memory()
    two.connected()
    assert mine() > before
    two.close()
    two.close()
    assert mine() == before


def test_a_link_that_fails_fails_every_call() -> None:
    two = in_memory()
    caller, _ = two.connected()
    link = two.client.carrier.link
    link.close()
    with pytest.raises(OSError):
        caller.sendall(bytes(100_000))
        caller.recv(1)
    with pytest.raises(OSError):
        caller.recv(1)
    two.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_wire_is_hidden_from_the_applications(seed: int) -> None:
    faults = Impairment(
        loss=0.05, duplicate=0.05, corrupt=0.05, reorder=0.05, reorder_delay_ns=2 * MILLISECOND, delay_ns=MILLISECOND
    )
    left, right = (
        ImpairedLink(link, faults, partial(derive_rng, seed, name))
        for link, name in zip(memory_pair(), ("left", "right"), strict=True)
    )
    config = Config(min_rto=10 * MILLISECOND, initial_rto=50 * MILLISECOND)
    two = Two(left, right, ("10.0.0.1", "10.0.0.2"), config)
    caller, accepted = two.connected()
    data = derive_rng(seed, "data").randbytes(200_000)
    sender = threading.Thread(target=lambda: (caller.sendall(data), caller.shutdown(socket.SHUT_WR)))
    sender.start()
    assert read_all(accepted) == data
    sender.join()
    two.close()


def test_many_threads_share_two_hosts(two: Two) -> None:
    """Eight connections, each with a writer and a reader at both ends: nobody waits for ever, nothing is mixed up."""
    listener = two.listen(backlog=8)
    results: dict[int, bytes] = {}

    def echo(connection: Socket) -> None:
        while block := connection.recv(4096):
            connection.sendall(block)
        connection.close()

    def use(index: int) -> None:
        caller = two.call()
        data = derive_rng(index, "echo").randbytes(50_000)
        writer = threading.Thread(target=lambda: (caller.sendall(data), caller.shutdown(socket.SHUT_WR)))
        writer.start()
        results[index] = read_all(caller)
        writer.join()
        caller.close()

    users = [threading.Thread(target=use, args=(index,)) for index in range(8)]
    for user in users:
        user.start()
    echoes = []
    for _ in users:
        connection, _ = listener.accept()
        connection.settimeout(TIMEOUT)
        echoes.append(threading.Thread(target=echo, args=(connection,)))
        echoes[-1].start()
    for thread in (*users, *echoes):
        thread.join(30)
        assert not thread.is_alive()
    assert results == {index: derive_rng(index, "echo").randbytes(50_000) for index in range(8)}
