"""The driver: whoever waits runs the stack, somebody always does, and nobody is forgotten."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from rawproto.errors import LinkError
from rawproto.link.memory import Segment
from rawproto.sockets.host import Host
from rawproto.sockets.socket import Socket
from rawproto.transport.config import MILLISECOND, Config
from rawproto.wire.frame import LinkType

Make = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
SMALL = Config(send_buffer=20_000, receive_buffer=20_000, initial_rto=50 * MILLISECOND, min_rto=20 * MILLISECOND)
DATA_FRAME = 200
"""Longer than any frame without data."""


def read_all(connection: Socket) -> bytes:
    blocks = []
    while block := connection.recv(1 << 16):
        blocks.append(block)
    return b"".join(blocks)


# -- the background thread ---------------------------------------------------------------------------------------------


def test_data_is_acknowledged_while_no_application_is_in_a_call(pair: Any) -> None:
    near, far = pair.connected()
    near.sendall(bytes(200_000))
    assert near.drain()  # all of the server's part was done by its background thread
    assert far.connection.receiver.ready == 200_000


def test_timers_run_while_no_application_is_in_a_call(make: Make) -> None:
    pair = make()
    near, far = pair.connected()
    pair.client_link.lose, pair.client_link.over = 1, DATA_FRAME
    near.sendall(bytes(1000))  # lost; the client's background thread has to send it again
    assert far.recv(2000) == bytes(1000)


def test_one_that_sends_often_and_never_waits_is_acknowledged_all_the_same(make: Make) -> None:
    pair = make()
    near, far = pair.connected()
    reader = pair.start(lambda: [far.recv(1 << 16) for _ in range(1000)] and read_all(far))
    near.setblocking(False)
    while far.connection.receiver.rcv_nxt - far.connection.receiver.irs < 100_000:  # far more than a first window
        near.send(bytes(10))
    near.shutdown(socket.SHUT_WR)
    reader.result()


def test_one_that_asks_often_without_blocking_gets_its_data(make: Make) -> None:
    near, far = make().connected()
    far.setblocking(False)
    near.sendall(b"x")
    while True:
        try:
            assert far.recv(1) == b"x"
        except BlockingIOError:
            continue
        break


# -- threads that wait together ----------------------------------------------------------------------------------------


def test_a_loss_is_repaired_while_another_thread_polls_without_a_timer(make: Make, until: Until) -> None:
    pair = make(config=SMALL)
    listener = pair.client.socket()
    listener.bind(("", 9))
    listener.listen()
    near, far = pair.connected()
    pair.start(listener.accept)
    until(pair.in_a_call(pair.client))  # it sleeps for ever: there was no timer when it began
    pair.client_link.lose, pair.client_link.over = 10, DATA_FRAME  # the whole first window
    reader = pair.start(lambda: read_all(far))
    near.sendall(bytes(100_000))  # more than the buffer holds: it waits, and the timer was set by its own call
    near.shutdown(socket.SHUT_WR)
    assert reader.result() == bytes(100_000)
    listener.close()


def test_a_lost_syn_is_sent_again_while_another_thread_polls_without_a_timer(make: Make, until: Until) -> None:
    pair = make()
    near, far = pair.connected(7)  # the neighbours know each other
    pair.listen(8)
    pair.start(lambda: near.recv(1))
    until(pair.in_a_call(pair.client))
    pair.client_link.lose, pair.client_link.over = 1, 60
    late = pair.client.socket()
    late.setblocking(False)
    with pytest.raises(BlockingIOError):
        late.connect((pair.server.address, 8))
    until(lambda: late.connection.established)
    far.sendall(b"x")


def test_one_thread_sends_one_receives_one_accepts_on_one_host(pair: Any) -> None:
    near, far = pair.connected(7)
    listener = pair.listen(8)
    data = bytes(range(256)) * 400
    accepted = pair.start(listener.accept)
    sender = pair.start(lambda: (far.sendall(data), far.shutdown(socket.SHUT_WR)))
    receiver = pair.start(lambda: read_all(far))
    near.sendall(data[::-1])
    near.shutdown(socket.SHUT_WR)
    assert read_all(near) == data
    pair.connect(8)
    assert receiver.result() == data[::-1]
    sender.result()
    accepted.result()


def test_each_of_two_readers_of_one_connection_gets_a_part(make: Make, until: Until) -> None:
    pair = make()
    near, far = pair.connected()
    readers = [pair.start(lambda: far.recv(1)) for _ in range(2)]
    until(pair.in_a_call(pair.server, 2))
    near.sendall(b"ab")
    assert {reader.result() for reader in readers} == {b"a", b"b"}


def test_wait_ends_at_its_deadline_and_no_sooner(make: Make) -> None:
    driver = make().client.driver
    with driver.lock:
        begin = driver.clock()
        assert not driver.wait(lambda: False, 20 * MILLISECOND)
        assert driver.clock() - begin >= 20 * MILLISECOND


def test_two_threads_wait_on_one_driver_each_to_its_own_deadline(make: Make) -> None:
    pair = make()
    driver = pair.client.driver

    def wait(milliseconds: int) -> int:
        with driver.lock:
            begin = driver.clock()
            assert not driver.wait(lambda: False, milliseconds * MILLISECOND)
            return int(driver.clock() - begin) // MILLISECOND

    waits = {milliseconds: pair.start(lambda milliseconds=milliseconds: wait(milliseconds)) for milliseconds in (5, 60)}
    assert 5 <= waits[5].result() < 60 <= waits[60].result()


# -- what one thread does to another -----------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [0, 1], ids=["it polls", "another polls"])
@pytest.mark.parametrize("call", ["accept", "recv", "send"])
def test_closing_a_socket_wakes_the_thread_that_waits_on_it(make: Make, until: Until, call: str, others: int) -> None:
    pair = make(config=SMALL)
    near, far = pair.connected()
    other = pair.client.socket()
    other.bind(("", 9))
    other.listen()
    if others:
        pair.start(other.accept)
        until(pair.in_a_call(pair.client))
    each = near
    if call == "accept":
        each = pair.client.socket()
        each.listen()
    each.settimeout(None)
    calls = {"accept": each.accept, "recv": lambda: each.recv(1), "send": lambda: each.sendall(bytes(200_000))}
    task = pair.start(calls[call])
    until(pair.in_a_call(pair.client, 1 + others))
    each.close()
    with pytest.raises(OSError, match="closed") as caught:
        task.result()
    assert caught.value.errno == errno.EBADF
    other.close()
    far.close()


def test_shutting_down_reading_wakes_the_reader(make: Make, until: Until) -> None:
    pair = make()
    near, _ = pair.connected()
    reader = pair.start(lambda: near.recv(1))
    until(pair.in_a_call(pair.client))
    near.shutdown(socket.SHUT_RD)
    assert reader.result() == b""


def test_shutting_down_writing_wakes_the_writer(make: Make, until: Until) -> None:
    pair = make(config=SMALL)
    near, _ = pair.connected()
    writer = pair.start(lambda: near.sendall(bytes(200_000)))
    until(pair.in_a_call(pair.client))
    near.shutdown(socket.SHUT_WR)
    with pytest.raises(BrokenPipeError):
        writer.result()


def test_closing_the_host_wakes_all_and_every_later_call_fails(make: Make, until: Until) -> None:
    pair = make()
    listener = pair.listen(8)
    near, far = pair.connected()
    listener.settimeout(None)
    tasks = [pair.start(listener.accept), pair.start(lambda: far.recv(1))]
    until(pair.in_a_call(pair.server, 2))
    pair.server.close(linger=0)
    for task in tasks:
        with pytest.raises(OSError, match="host was closed") as caught:
            task.result()
        assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError, match="host was closed"):
        far.send(b"x")
    far.close()
    pair.server.close()  # harmless
    near.close()


# -- closing a host ----------------------------------------------------------------------------------------------------


def test_closing_a_host_delivers_what_was_handed_over(pair: Any) -> None:
    near, far = pair.connected()
    data = bytes(range(256)) * 2000
    reader = pair.start(lambda: read_all(far))
    near.sendall(data)
    near.close()
    pair.client.close()
    assert reader.result() == data


def test_lingering_has_an_end(make: Make) -> None:
    pair = make()
    near, _ = pair.connected()
    pair.server.close(linger=0)
    near.sendall(b"nobody is there any more")
    begin = pair.client.driver.clock()
    pair.client.close(linger=0.05)
    assert 50 * MILLISECOND <= pair.client.driver.clock() - begin < 3_000 * MILLISECOND


def test_a_with_statement_that_raises_does_not_linger(make: Make) -> None:
    pair = make()
    near, _ = pair.connected()
    pair.server.close(linger=0)
    near.sendall(b"nobody is there any more")
    with pytest.raises(KeyError), pair.client:
        raise KeyError
    assert pair.client.driver.closed


def test_an_interrupted_close_closes_all_the_same(make: Make, alarm: Callable[[], None]) -> None:
    pair = make()
    near, _ = pair.connected()
    pair.server.close(linger=0)
    near.sendall(b"nobody is there any more")
    alarm()
    with pytest.raises(Interruption):
        pair.client.close(linger=60)
    assert pair.client.carrier.fileno() == -1


# -- a link that fails -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linger", [0, 5])
def test_a_failed_link_is_told_by_every_call(make: Make, until: Until, linger: float) -> None:
    pair = make()
    listener = pair.listen(8)
    near, far = pair.connected()
    waiting = [pair.start(listener.accept), pair.start(lambda: far.recv(1))]
    until(pair.in_a_call(pair.server, 2))
    pair.server_link.lose = 1 << 30
    far.sendall(b"what a linger would wait for")
    pair.server_link.failure = LinkError(errno.ENETDOWN, "the interface went down")
    near.sendall(b"x")  # wakes whoever polls
    fresh = pair.server.socket()
    calls: list[Callable[[], object]] = [
        *(task.result for task in waiting),
        lambda: far.send(b"x"),
        lambda: far.sendall(b"x"),
        lambda: far.recv(1),
        lambda: far.shutdown(socket.SHUT_WR),
        far.drain,
        listener.accept,
        lambda: fresh.connect((pair.client.address, 7)),
        lambda: fresh.bind(("", 9)),
        fresh.listen,
    ]
    for call in calls:
        with pytest.raises(LinkError, match="went down") as caught:
            call()
        assert caught.value.errno == errno.ENETDOWN
    far.close()
    listener.close()
    pair.server.close(linger)


def test_a_link_that_fails_while_nobody_looks_is_told_by_the_next_call(make: Make, until: Until) -> None:
    pair = make()
    near, far = pair.connected()
    pair.server_link.failure = LinkError(errno.ENETDOWN, "the interface went down")
    near.sendall(b"x")
    until(lambda: pair.server.driver.failure is not None)
    with pytest.raises(LinkError, match="went down"):
        far.recv(1)


@pytest.fixture
def three() -> Iterator[dict[str, Host]]:
    """Three hosts whose links say so when a peer is not there."""
    segment = Segment(LinkType.USER0)
    config = Config(initial_rto=20 * MILLISECOND, min_rto=20 * MILLISECOND)
    hosts = {name: Host(segment.attach(name), config=config) for name in "abc"}
    yield hosts
    for host in hosts.values():
        host.close(linger=0)


def open_between(hosts: dict[str, Host], first: str, second: str) -> tuple[Socket, Socket]:
    with hosts[second].socket() as listener:
        listener.bind(("", 7))
        listener.listen()
        near = hosts[first].socket()
        near.connect((second, 7))
        return near, listener.accept()[0]


def test_a_peer_that_can_not_be_reached_is_told_at_once_and_harms_nobody(three: dict[str, Host], until: Until) -> None:
    near, far = open_between(three, "a", "b")
    with pytest.raises(LinkError, match="nobody") as caught:
        three["a"].socket().connect(("nobody", 7))
    assert caught.value.errno == errno.EHOSTUNREACH
    until(lambda: len(three["a"].stack.endpoint.connections) == 1)  # it is not tried again
    near.sendall(b"x")
    assert far.recv(1) == b"x"


def test_a_peer_that_goes_away_harms_no_other_connection(three: dict[str, Host], until: Until) -> None:
    lost, _ = open_between(three, "a", "b")
    near, far = open_between(three, "a", "c")
    three["b"].close(linger=0)
    lost.sendall(b"x")
    assert lost.connection is not None
    sender = lost.connection.sender
    until(lambda: sender.timeouts >= 2)  # tried again and again, from the background, in vain
    near.sendall(b"x")
    assert far.recv(1) == b"x"


# -- signals -----------------------------------------------------------------------------------------------------------


class Interruption(BaseException):
    """What the handler of a signal raises, as Ctrl-C's does."""


@pytest.fixture
def alarm() -> Iterator[Callable[[], None]]:
    """Have the main thread interrupted in a moment."""

    def interrupt(*_: object) -> None:
        raise Interruption

    before = signal.signal(signal.SIGALRM, interrupt)
    yield lambda: (signal.setitimer(signal.ITIMER_REAL, 0.03), None)[1]
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("others", [0, 1], ids=["it polls", "another polls"])
@pytest.mark.parametrize("call", ["recv", "accept", "connect", "sendall", "drain"])
def test_a_call_that_is_interrupted_leaves_all_usable(
    make: Make, until: Until, alarm: Callable[[], None], call: str, others: int
) -> None:
    pair = make(config=SMALL)
    near, far = pair.connected(7)
    there, back = pair.connected(8)
    listener = pair.client.socket()
    listener.bind(("", 9))
    listener.listen()
    if others:
        pair.start(lambda: near.recv(100))
        until(pair.in_a_call(pair.client))
    blocked = pair.client.socket()
    calls: dict[str, Callable[[], object]] = {
        "recv": lambda: there.recv(1),
        "accept": listener.accept,
        "connect": lambda: blocked.connect(("10.0.0.9", 7)),
        "sendall": lambda: there.sendall(bytes(1_000_000)),
        "drain": lambda: (there.sendall(bytes(20_000)), there.sendall(bytes(20_000)), there.drain()),
    }
    alarm()
    with pytest.raises(Interruption):
        calls[call]()
    blocked.close()
    far.sendall(b"still here")
    if not others:
        assert near.recv(100) == b"still here"
    near.sendall(b"and we too")
    assert far.recv(100) == b"and we too"
    back.close()


def test_an_error_of_a_signal_handler_is_not_the_links(make: Make) -> None:
    pair = make()
    near, far = pair.connected()

    def give_up(*_: object) -> None:
        raise TimeoutError("enough")  # an Exception, as people raise it from SIGALRM

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(TimeoutError, match="enough"):
            near.recv(1)
    finally:
        signal.signal(signal.SIGALRM, before)
    far.sendall(b"x")
    assert near.recv(1) == b"x"


def test_a_signal_handler_may_close_the_host(make: Make) -> None:
    pair = make()
    near, _ = pair.connected()
    before = signal.signal(signal.SIGALRM, lambda *_: pair.client.close(linger=0))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(OSError, match="host was closed"):
            near.recv(1)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert pair.client.carrier.fileno() == -1


# -- many at once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("road", ["memory", "bad wire", "udp"])
def test_eight_threads_each_with_many_connections(make: Make, road: str) -> None:
    pair = make(road)
    threads, each = 8, 15
    listener = pair.listen()

    def echo(connection: Socket) -> None:
        with connection:
            connection.settimeout(10)
            connection.sendall(read_all(connection)[::-1])

    def serve() -> None:
        tasks = [pair.start(partial(echo, listener.accept()[0])) for _ in range(threads * each)]
        for task in tasks:
            task.result()

    def call() -> int:
        whole = 0
        for turn in range(each):
            data = os.urandom(1000 * (turn + 1))
            with pair.connect() as near:
                near.sendall(data)
                near.shutdown(socket.SHUT_WR)
                whole += read_all(near) == data[::-1]
        return whole

    server = pair.start(serve)
    callers = [pair.start(call) for _ in range(threads)]
    assert [caller.result() for caller in callers] == [each] * threads
    server.result()


def test_hosts_come_and_go_with_threads_in_calls(make: Make, until: Until) -> None:
    for _ in range(20):
        pair = make()
        listener = pair.listen(8)
        near, far = pair.connected()
        listener.settimeout(None)
        tasks = [pair.start(call) for call in (listener.accept, partial(far.recv, 1), partial(near.recv, 1))]
        until(pair.in_a_call(pair.server, 2))
        closing = [threading.Thread(target=host.close, args=(0,)) for host in (pair.server, pair.client)]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(10)
        for task in tasks:
            with pytest.raises(OSError, match=r"closed|reset"):
                task.result()
