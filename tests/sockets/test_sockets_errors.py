"""Each Berkeley call, each error that the standard library's sockets would raise, and what is told without blocking."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

from rawproto.sockets.socket import Socket
from rawproto.transport.config import MILLISECOND, Config

Make = Callable[..., Any]
SMALL = Config(send_buffer=10_000, receive_buffer=10_000, initial_rto=50 * MILLISECOND, min_rto=20 * MILLISECOND)


def read_all(connection: Socket) -> bytes:
    blocks = []
    while block := connection.recv(1 << 16):
        blocks.append(block)
    return b"".join(blocks)


# -- bind, listen ----------------------------------------------------------------------------------------------------


def test_bind_takes_the_port_and_getsockname_tells_it(make: Make) -> None:
    pair = make()
    taken = pair.server.socket()
    taken.bind((pair.server.address, 7))
    assert taken.getsockname() == (pair.server.address, 7)


@pytest.mark.parametrize("how", ["bound", "listening", "connected"])
def test_a_port_in_use_is_refused(make: Make, how: str) -> None:
    pair = make()
    if how == "connected":
        pair.connected(7)
    else:
        holder = pair.server.socket()
        holder.bind(("", 7))
        if how == "listening":
            holder.listen()
    with pytest.raises(OSError, match="port 7 is in use") as caught:
        pair.server.socket().bind(("", 7))
    assert caught.value.errno == errno.EADDRINUSE


def test_a_closed_socket_gives_its_port_back(make: Make) -> None:
    pair = make()
    with pair.server.socket() as first:
        first.bind(("", 7))
        first.listen()
    pair.server.socket().bind(("", 7))


def test_port_0_takes_a_free_one_each_time(make: Make) -> None:
    pair = make()
    sockets = [pair.server.socket() for _ in range(50)]
    for each in sockets:
        each.bind(("", 0))
    assert len({each.getsockname()[1] for each in sockets}) == 50


@pytest.mark.parametrize(
    ("address", "error", "number"),
    [
        (("10.9.9.9", 7), OSError, errno.EADDRNOTAVAIL),
        (("", -1), OverflowError, None),
        (("", 65536), OverflowError, None),
    ],
)
def test_a_wrong_local_address_is_refused(
    make: Make, address: tuple[str, int], error: type[Exception], number: int | None
) -> None:
    with pytest.raises(error) as caught:
        make().server.socket().bind(address)
    assert getattr(caught.value, "errno", None) == number


def test_binding_twice_is_refused(make: Make) -> None:
    taken = make().server.socket()
    taken.bind(("", 7))
    with pytest.raises(OSError, match="has a port") as caught:
        taken.bind(("", 8))
    assert caught.value.errno == errno.EINVAL


def test_listening_without_bind_takes_a_free_port(make: Make) -> None:
    pair = make()
    listener = pair.server.socket()
    listener.listen()
    pair.connect(listener.getsockname()[1])


def test_each_listener_gets_what_comes_to_its_port(pair: Any) -> None:
    listeners = {port: pair.listen(port) for port in (7, 8, 9)}
    for port in (9, 7, 8):
        near = pair.connect(port)
        near.sendall(bytes([port]))
        far, peer = listeners[port].accept()
        assert far.recv(10) == bytes([port])
        assert peer == near.getsockname()
        assert near.getpeername() == (pair.server.address, port) == far.getsockname()


# -- connect ---------------------------------------------------------------------------------------------------------


def test_nobody_listens(pair: Any) -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        pair.connect(9)
    assert caught.value.errno == errno.ECONNREFUSED


def test_a_refused_socket_may_try_again(make: Make) -> None:
    pair = make()
    connection = pair.client.socket()
    with pytest.raises(ConnectionRefusedError):
        connection.connect((pair.server.address, 7))
    pair.listen(7)
    connection.connect((pair.server.address, 7))


def test_nobody_answers_within_the_timeout(make: Make) -> None:
    connection = make().client.socket()
    connection.settimeout(0.05)
    with pytest.raises(TimeoutError, match=r"10\.0\.0\.9 did not answer within 0\.05 s"):
        connection.connect(("10.0.0.9", 7))


def test_nobody_answers_for_as_long_as_the_engine_tries(make: Make) -> None:
    pair = make(config=Config(connect_timeout=50 * MILLISECOND))
    with pytest.raises(TimeoutError) as caught:
        pair.client.socket().connect(("10.0.0.9", 7))
    assert caught.value.errno == errno.ETIMEDOUT


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_wrong_port_can_not_be_connected_to(make: Make, port: int) -> None:
    with pytest.raises(OverflowError):
        make().client.socket().connect(("10.0.0.2", port))


@pytest.mark.parametrize(("peer", "number"), [("nonsense", errno.EADDRNOTAVAIL), ("fd00::2", errno.EAFNOSUPPORT)])
def test_what_is_no_address_here_can_not_be_connected_to(make: Make, peer: str, number: int) -> None:
    with pytest.raises(OSError, match=peer) as caught:
        make().client.socket().connect((peer, 7))
    assert caught.value.errno == number


def test_a_connected_socket_neither_connects_nor_listens_nor_binds(make: Make) -> None:
    near, _ = make().connected()
    for call, number in (
        (lambda: near.connect(("10.0.0.2", 7)), errno.EISCONN),
        (near.listen, errno.EINVAL),
        (lambda: near.bind(("", 9)), errno.EINVAL),
    ):
        with pytest.raises(OSError, match=r"connected|has a port") as caught:
            call()
        assert caught.value.errno == number


def test_connect_goes_out_from_the_bound_port(make: Make) -> None:
    pair = make()
    listener = pair.listen()
    near = pair.client.socket()
    near.bind(("", 1234))
    near.connect((pair.server.address, 7))
    assert listener.accept()[1] == (pair.client.address, 1234)


# -- data --------------------------------------------------------------------------------------------------------------


def test_both_streams_arrive_whole(pair: Any) -> None:
    near, far = pair.connected()
    there, back = bytes(range(256)) * 1000, bytes(range(255, -1, -1)) * 900
    echo = pair.start(lambda: (far.sendall(back), far.shutdown(socket.SHUT_WR), read_all(far))[-1])
    near.sendall(there)
    near.shutdown(socket.SHUT_WR)
    assert read_all(near) == back
    assert echo.result() == there


def test_recv_gives_no_more_than_asked_for(make: Make) -> None:
    near, far = make().connected()
    near.sendall(b"abcdef")
    assert (far.recv(2), far.recv(0), far.recv(3), far.recv(9)) == (b"ab", b"", b"cde", b"f")


def test_recv_into_fills_the_buffer_and_counts(make: Make) -> None:
    near, far = make().connected()
    near.sendall(b"abcdef")
    buffer = bytearray(b"......")
    assert far.recv_into(buffer, 2) == 2
    assert far.recv_into(memoryview(buffer)[2:]) == 4
    assert buffer == b"abcdef"


def test_send_takes_what_there_is_room_for_and_says_how_much(make: Make) -> None:
    near, far = make(config=SMALL).connected()
    assert 0 < near.send(bytes(100_000)) <= 10_000
    assert near.send(b"") == 0
    far.close()


@pytest.mark.parametrize("data", [b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), memoryview(b"a.b.c.d")[::2]])
def test_what_bytes_like_objects_hold_is_sent(make: Make, data: bytes | bytearray | memoryview) -> None:
    near, far = make().connected()
    if isinstance(data, memoryview) and not data.contiguous:
        with pytest.raises(TypeError):  # as the standard library: BufferError or TypeError, but never other bytes
            near.sendall(data)
        return
    near.sendall(data)
    assert far.recv(10) == b"abcd"


def test_a_negative_limit_is_refused(make: Make) -> None:
    near, _ = make().connected()
    with pytest.raises(ValueError, match="at least 0"):
        near.recv(-1)


# -- the end -----------------------------------------------------------------------------------------------------------


def test_the_end_is_told_again_and_again(pair: Any) -> None:
    near, far = pair.connected()
    near.sendall(b"last")
    near.shutdown(socket.SHUT_WR)
    assert [far.recv(10) for _ in range(3)] == [b"last", b"", b""]


@pytest.mark.parametrize("first", ["near", "far"])
def test_after_a_half_close_the_other_direction_goes_on(pair: Any, first: str) -> None:
    near, far = pair.connected() if first == "near" else pair.connected()[::-1]
    near.shutdown(socket.SHUT_WR)
    assert far.recv(1) == b""
    far.sendall(b"still here")
    assert near.recv(100) == b"still here"
    far.shutdown(socket.SHUT_WR)
    assert near.recv(100) == b""


@pytest.mark.parametrize("call", ["send", "sendall"])
def test_sending_after_shutdown_is_a_broken_pipe(make: Make, call: str) -> None:
    near, _ = make().connected()
    near.shutdown(socket.SHUT_WR)
    with pytest.raises(BrokenPipeError) as caught:
        getattr(near, call)(b"x")
    assert caught.value.errno == errno.EPIPE


def test_shutting_down_reading_ends_it_here(make: Make) -> None:
    near, far = make().connected()
    far.shutdown(socket.SHUT_RD)
    assert far.recv(1) == b""
    far.sendall(b"x")
    assert near.recv(1) == b"x"


def test_unread_data_at_close_resets_the_peer(pair: Any, until: Callable[[Callable[[], bool]], None]) -> None:
    near, far = pair.connected()
    near.sendall(b"never read")
    until(lambda: far.connection.readable_data)
    far.close()
    with pytest.raises(ConnectionResetError) as caught:
        near.recv(1)
    assert caught.value.errno == errno.ECONNRESET
    with pytest.raises(ConnectionResetError):
        near.sendall(b"x")


def test_a_peer_that_falls_silent_is_a_timeout(make: Make) -> None:
    pair = make(config=Config(user_timeout=50 * MILLISECOND, min_rto=10 * MILLISECOND))
    near, _ = pair.connected()
    pair.server.close(linger=0)
    near.sendall(b"x")
    with pytest.raises(TimeoutError) as caught:
        near.recv(1)
    assert caught.value.errno == errno.ETIMEDOUT


@pytest.mark.parametrize(
    "call",
    [
        lambda each: each.recv(1),
        lambda each: each.send(b"x"),
        lambda each: each.sendall(b"x"),
        lambda each: each.sendall(b""),
        lambda each: each.shutdown(socket.SHUT_WR),
        lambda each: each.getpeername(),
    ],
)
def test_a_socket_without_a_connection_is_not_connected(make: Make, call: Callable[[Socket], object]) -> None:
    with pytest.raises(OSError, match="not connected") as caught:
        call(make().client.socket())
    assert caught.value.errno == errno.ENOTCONN


@pytest.mark.parametrize(
    "call",
    [
        lambda each: each.recv(1),
        lambda each: each.send(b"x"),
        lambda each: each.bind(("", 9)),
        lambda each: each.listen(),
        lambda each: each.accept(),
        lambda each: each.connect(("10.0.0.2", 7)),
        lambda each: each.shutdown(socket.SHUT_WR),
    ],
)
def test_a_closed_socket_is_a_bad_descriptor(make: Make, call: Callable[[Socket], object]) -> None:
    near, _ = make().connected()
    near.close()
    near.close()  # harmless
    with pytest.raises(OSError, match="closed") as caught:
        call(near)
    assert caught.value.errno == errno.EBADF


def test_what_does_not_listen_accepts_nothing(make: Make) -> None:
    with pytest.raises(OSError, match=r"call listen\(\) first") as caught:
        make().server.socket().accept()
    assert caught.value.errno == errno.EINVAL


def test_a_wrong_way_of_shutting_down_is_refused(make: Make) -> None:
    near, _ = make().connected()
    with pytest.raises(OSError, match="SHUT_RD") as caught:
        near.shutdown(7)
    assert caught.value.errno == errno.EINVAL


# -- timeouts and non-blocking -----------------------------------------------------------------------------------------


def test_timeouts_are_set_and_told(make: Make) -> None:
    each = make().client.socket()
    assert each.gettimeout() is None
    each.settimeout(1.5)
    assert each.gettimeout() == 1.5
    each.setblocking(False)
    assert each.gettimeout() == 0
    each.setblocking(True)
    assert each.gettimeout() is None
    with pytest.raises(ValueError, match="at least 0"):
        each.settimeout(-1)


def test_a_call_that_has_to_wait_too_long_times_out(make: Make) -> None:
    pair = make(config=SMALL)
    listener = pair.listen(8)
    near, far = pair.connected()
    for each in (near, far, listener):
        each.settimeout(0.03)
    for call, what in (
        (lambda: far.recv(1), "no data came"),
        (listener.accept, "no connection came"),
        (lambda: near.sendall(bytes(100_000)), "takes no more"),
    ):
        with pytest.raises(TimeoutError, match=what):
            call()


def test_the_timeout_of_sendall_is_for_the_whole(make: Make) -> None:
    pair = make(config=SMALL)
    near, far = pair.connected()
    near.settimeout(0.2)

    def trickle() -> None:
        far.settimeout(0.05)
        try:
            while far.recv(100):
                pass
        except TimeoutError:
            pass

    reader = pair.start(trickle)
    with pytest.raises(TimeoutError):
        near.sendall(bytes(1 << 26))  # each part of it goes on well within the timeout
    reader.result()


def test_without_blocking_what_is_not_there_is_tried_again(make: Make) -> None:
    pair = make(config=SMALL)
    listener = pair.listen(8)
    near, far = pair.connected()
    for each in (near, far, listener):
        each.setblocking(False)

    def fill() -> None:
        while True:
            near.send(bytes(10_000))

    for call in (lambda: far.recv(1), listener.accept, fill):
        with pytest.raises(BlockingIOError) as caught:
            call()
        assert caught.value.errno == errno.EAGAIN


def test_without_blocking_connect_is_in_progress_then_done(make: Make) -> None:
    pair = make()
    pair.listen()
    near = pair.client.socket()
    near.setblocking(False)
    with pytest.raises(BlockingIOError) as caught:
        near.connect((pair.server.address, 7))
    assert caught.value.errno == errno.EINPROGRESS
    near.settimeout(5)
    near.sendall(b"x")  # waits for it
    with pytest.raises(OSError, match="connected") as again:
        near.connect((pair.server.address, 7))
    assert again.value.errno == errno.EISCONN


def test_a_connect_in_progress_can_be_asked_again_and_waited_for(make: Make) -> None:
    pair = make()
    pair.server_link.lose, pair.server_link.over = 1, 60  # the answer to the SYN, not that to ARP
    pair.listen()
    near = pair.client.socket()
    near.setblocking(False)
    for number in (errno.EINPROGRESS, errno.EALREADY):
        with pytest.raises(BlockingIOError) as caught:
            near.connect((pair.server.address, 7))
        assert caught.value.errno == number
    near.settimeout(5)
    near.connect((pair.server.address, 7))
    assert near.getpeername() == (pair.server.address, 7)


def test_without_blocking_a_refusal_is_told_by_the_next_call(
    make: Make, until: Callable[[Callable[[], bool]], None]
) -> None:
    pair = make()
    near = pair.client.socket()
    near.setblocking(False)
    with pytest.raises(BlockingIOError):
        near.connect((pair.server.address, 7))
    until(lambda: near.connection.end is not None)
    with pytest.raises(ConnectionRefusedError):
        near.send(b"x")


def test_drain_waits_for_the_peers_acknowledgement(pair: Any) -> None:
    near, far = pair.connected()
    near.sendall(bytes(100_000))
    assert near.drain()
    assert near.connection.drained
    pair.server.close(linger=0)
    near.settimeout(0.02)
    near.sendall(b"x")
    assert not near.drain()
    far.close()
