"""setsockopt and getsockopt: which options there are, for whom they hold, and that they do what they say."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from socket import IPPROTO_TCP, SOL_SOCKET
from typing import Any

import pytest

from rawproto.sockets.socket import Socket
from rawproto.testing.replay import replay
from rawproto.transport.config import MILLISECOND, SECOND, Config

Make = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
ATTENTIVE = Config(
    keep_alive_idle=30 * MILLISECOND, keep_alive_interval=20 * MILLISECOND, keep_alive_count=2, min_rto=20 * MILLISECOND
)
SETTINGS: list[tuple[int, int, int, str, object]] = [
    (SOL_SOCKET, socket.SO_KEEPALIVE, 1, "keep_alive", True),
    (IPPROTO_TCP, socket.TCP_NODELAY, 1, "nagle", False),
    (IPPROTO_TCP, socket.TCP_QUICKACK, 1, "delayed_ack", False),
    (IPPROTO_TCP, socket.TCP_KEEPIDLE, 7, "keep_alive_idle", 7 * SECOND),
    (IPPROTO_TCP, socket.TCP_KEEPINTVL, 8, "keep_alive_interval", 8 * SECOND),
    (IPPROTO_TCP, socket.TCP_KEEPCNT, 5, "keep_alive_count", 5),
    (IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1500, "user_timeout", 1500 * MILLISECOND),
]
NAMES = [field for _, _, _, field, _ in SETTINGS]
TYPES = [socket.SOCK_STREAM, socket.SOCK_SEQPACKET]


# -- for whom they hold ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("level", "option", "value", "field", "setting"), SETTINGS, ids=NAMES)
def test_what_is_set_before_holds_for_the_connection_that_comes(
    make: Make, kind: int, level: int, option: int, value: int, field: str, setting: object
) -> None:
    pair = make(type=kind)
    listener = pair.listen()
    listener.setsockopt(level, option, value)
    near = pair.client.socket(kind)
    assert near.getsockopt(level, option) != value
    near.setsockopt(level, option, value)
    assert near.getsockopt(level, option) == value
    near.connect(listener.getsockname())
    far, _ = listener.accept()
    for each in (near, far):
        assert each.getsockopt(level, option) == value
        assert getattr(each.connection.config, field) == setting


@pytest.mark.parametrize(("level", "option", "value", "field", "setting"), SETTINGS, ids=NAMES)
def test_what_is_set_later_holds_for_the_living_connection_alone(
    make: Make, level: int, option: int, value: int, field: str, setting: object
) -> None:
    near, far = make().connected()
    near.setsockopt(level, option, value)
    assert near.getsockopt(level, option) == value
    assert getattr(near.connection.config, field) == setting
    assert far.getsockopt(level, option) != value


def test_the_congestion_control_is_chosen_before_connecting(make: Make) -> None:
    pair = make()
    listener = pair.listen()
    near = pair.client.socket()
    assert near.getsockopt(IPPROTO_TCP, socket.TCP_CONGESTION, 16) == b"cubic".ljust(16, b"\0")
    for each in (near, listener):
        each.setsockopt(IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    near.connect(listener.getsockname())
    far, _ = listener.accept()
    for each in (near, far):
        assert each.getsockopt(IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"reno"
        assert each.stats().congestion == "reno"
    other = pair.client.socket()
    other.connect(listener.getsockname())
    assert other.stats().congestion == "cubic"


def test_a_congestion_control_that_nobody_knows_is_refused(make: Make) -> None:
    with pytest.raises(OSError, match="'vegas'") as caught:
        make().client.socket().setsockopt(IPPROTO_TCP, socket.TCP_CONGESTION, b"vegas")
    assert caught.value.errno == errno.ENOENT


# -- what they do ------------------------------------------------------------------------------------------------------


def test_a_killed_peer_is_noticed_by_keep_alive_set_while_another_thread_waits(make: Make, until: Until) -> None:
    pair = make(config=ATTENTIVE)
    near, far = pair.connected()
    far.sendall(b"x")
    assert near.recv(1) == b"x"
    reader = pair.start(lambda: near.recv(1))
    until(pair.in_a_call(pair.client))
    pair.server.close(linger=0)
    near.setsockopt(SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with pytest.raises(TimeoutError, match="none of 2 keep-alive probes") as caught:
        reader.result()
    assert caught.value.errno == errno.ETIMEDOUT


def test_a_killed_peer_is_noticed_within_the_user_timeout(make: Make) -> None:
    pair = make()
    near, far = pair.connected()
    far.sendall(b"x")
    assert near.recv(1) == b"x"
    near.setsockopt(IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 50)
    pair.server.close(linger=0)
    near.sendall(b"is anybody there?")
    with pytest.raises(TimeoutError, match=r"acknowledged nothing for 0\.05 s"):
        near.recv(1)


def test_a_user_timeout_of_0_is_that_of_the_host(make: Make) -> None:
    each = make(config=Config(user_timeout=7 * SECOND)).client.socket()
    each.setsockopt(IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 50)
    each.setsockopt(IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
    assert each.getsockopt(IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000


def test_lingering_for_no_time_is_a_reset(make: Make) -> None:
    near, far = make().connected()
    near.setsockopt(SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near.sendall(b"x")
    near.close()
    with pytest.raises(ConnectionResetError):
        while far.recv(1):
            pass


def test_lingering_waits_until_the_peer_has_all(make: Make) -> None:
    pair = make(config=Config(send_buffer=200_000, receive_buffer=20_000, min_rto=20 * MILLISECOND))
    near, far = pair.connected()
    near.setsockopt(SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 10))
    near.sendall(bytes(150_000))
    reader = pair.start(lambda: sum(iter(lambda: len(far.recv(1000)), 0)))
    near.close()
    pair.client.close(linger=0)  # nothing is left to do
    assert reader.result() == 150_000


def test_lingering_has_an_end(make: Make) -> None:
    pair = make(config=Config(receive_buffer=20_000))
    near, _ = pair.connected()
    near.setsockopt(SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
    near.sendall(bytes(150_000))  # nobody reads it
    begin = pair.client.driver.clock()
    near.close()
    assert pair.client.driver.clock() - begin >= SECOND


def test_a_port_with_old_connections_can_be_bound_anew_if_that_is_wanted(make: Make) -> None:
    pair = make()
    near, far = pair.connected(7)
    far.close()  # its end keeps the port
    assert near.recv(1) == b""
    near.close()
    listener = pair.server.socket()
    with pytest.raises(OSError, match="port 7 is in use"):
        listener.bind(("", 7))
    listener.setsockopt(SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", 7))
    listener.listen()
    another = pair.server.socket()
    another.setsockopt(SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with pytest.raises(OSError, match="port 7 is in use"):  # by a socket
        another.bind(("", 7))


# -- what can only be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*TYPES, socket.SOCK_DGRAM])
def test_the_type_is_told(make: Make, kind: int) -> None:
    each = make().client.socket(kind)
    assert each.getsockopt(SOL_SOCKET, socket.SO_TYPE) == each.type == kind


def test_buffers_and_segment_sizes_are_told_as_they_are(make: Make) -> None:
    pair = make(config=Config(send_buffer=12_345, receive_buffer=54_321))
    near, _ = pair.connected()
    for each in (near, pair.client.socket()):
        assert each.getsockopt(SOL_SOCKET, socket.SO_SNDBUF) == 12_345
        assert each.getsockopt(SOL_SOCKET, socket.SO_RCVBUF) == 54_321
        assert each.getsockopt(IPPROTO_TCP, socket.TCP_MAXSEG) == 1440
    datagrams = pair.client.socket(socket.SOCK_DGRAM)
    assert datagrams.getsockopt(SOL_SOCKET, socket.SO_RCVBUF) == Config().max_datagrams * 1440


def test_a_listener_says_that_it_is_one(make: Make) -> None:
    pair = make()
    assert pair.listen().getsockopt(SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    assert pair.connect().getsockopt(SOL_SOCKET, socket.SO_ACCEPTCONN) == 0


def test_how_a_connection_failed_is_told_once(make: Make, until: Until) -> None:
    pair = make()
    near = pair.client.socket()
    near.setblocking(False)
    assert near.connect_ex((pair.server.address, 9)) == errno.EINPROGRESS
    until(lambda: near.connection.end is not None)
    assert near.getsockopt(SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    assert near.getsockopt(SOL_SOCKET, socket.SO_ERROR) == 0


def test_the_statistics_are_those_of_the_connection(make: Make) -> None:
    pair = make()
    near, far = pair.connected()
    near.sendall(bytes(10_000))
    assert near.drain()
    stats = near.stats()
    assert (stats.state, stats.bytes_acked, far.stats().bytes_received) == ("ESTABLISHED", 10_000, 10_000)
    assert 0 < stats.rtt < 10 * SECOND
    with pytest.raises(OSError, match="not connected") as caught:
        pair.client.socket().stats()
    assert caught.value.errno == errno.ENOTCONN


# -- what can't be -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "option", "text"),
    [
        (IPPROTO_TCP, socket.TCP_CORK, "no option TCP_CORK; there are: .*TCP_NODELAY"),
        (IPPROTO_TCP, socket.TCP_INFO, r"no option TCP_INFO; call stats\(\) instead"),
        (SOL_SOCKET, socket.SO_BROADCAST, "no option SO_BROADCAST"),
        (77, 88, "no option 88 at level 77"),
    ],
)
def test_an_option_that_there_is_not_is_named(make: Make, level: int, option: int, text: str) -> None:
    each = make().client.socket()
    for call in (lambda: each.getsockopt(level, option), lambda: each.setsockopt(level, option, 1)):
        with pytest.raises(OSError, match=text) as caught:
            call()
        assert caught.value.errno == errno.ENOPROTOOPT


def test_what_can_only_be_read_is_not_set(make: Make) -> None:
    with pytest.raises(OSError, match="SO_RCVBUF can only be read") as caught:
        make().client.socket().setsockopt(SOL_SOCKET, socket.SO_RCVBUF, 1)
    assert caught.value.errno == errno.ENOPROTOOPT


def test_datagrams_have_no_options_of_tcp(make: Make) -> None:
    with pytest.raises(OSError, match="no option TCP_NODELAY") as caught:
        make().client.socket(socket.SOCK_DGRAM).setsockopt(IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert caught.value.errno == errno.ENOPROTOOPT


@pytest.mark.parametrize(
    ("level", "option", "value", "error"),
    [
        (IPPROTO_TCP, socket.TCP_KEEPIDLE, 0, OSError),
        (IPPROTO_TCP, socket.TCP_KEEPIDLE, 32768, OSError),
        (IPPROTO_TCP, socket.TCP_KEEPCNT, 128, OSError),
        (IPPROTO_TCP, socket.TCP_USER_TIMEOUT, -1, OSError),
        (IPPROTO_TCP, socket.TCP_NODELAY, b"\1", OSError),
        (IPPROTO_TCP, socket.TCP_CONGESTION, 1, OSError),
        (SOL_SOCKET, socket.SO_LINGER, 1, OSError),
        (SOL_SOCKET, socket.SO_LINGER, b"1234", OSError),
        (SOL_SOCKET, socket.SO_KEEPALIVE, 1 << 40, OverflowError),
    ],
)
def test_a_value_that_can_not_be_is_refused(
    make: Make, level: int, option: int, value: int | bytes, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        make().client.socket().setsockopt(level, option, value)
    assert getattr(caught.value, "errno", errno.EINVAL) == errno.EINVAL


def test_values_are_given_and_told_as_bytes_too(make: Make) -> None:
    each = make().client.socket()
    each.setsockopt(IPPROTO_TCP, socket.TCP_KEEPCNT, struct.pack("i", 5))
    assert each.getsockopt(IPPROTO_TCP, socket.TCP_KEEPCNT, 4) == struct.pack("i", 5)
    each.setsockopt(SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    assert each.getsockopt(SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 5)
    for buflen in (0, -1, 2000):
        with pytest.raises(OSError, match="buflen") as caught:
            each.getsockopt(IPPROTO_TCP, socket.TCP_CONGESTION, buflen)
        assert caught.value.errno == errno.EINVAL


def test_a_closed_socket_has_no_options(make: Make) -> None:
    each: Socket = make().client.socket()
    each.close()
    for call in (
        lambda: each.getsockopt(SOL_SOCKET, socket.SO_TYPE),
        lambda: each.setsockopt(SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    ):
        with pytest.raises(OSError, match="closed") as caught:
            call()
        assert caught.value.errno == errno.EBADF


# -- recorded ----------------------------------------------------------------------------------------------------------


def test_a_recording_with_options_can_be_replayed(make: Make, tmp_path: Path) -> None:
    pair = make(config=ATTENTIVE, recorded=tmp_path)
    listener = pair.listen()
    near = pair.client.socket()
    for each in (near, listener):
        each.setsockopt(IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.setsockopt(IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    near.connect(listener.getsockname())
    far, _ = listener.accept()
    near.setsockopt(SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for _ in range(20):
        near.sendall(b"small")
        near.sendall(b"and another")
    far.settimeout(10)
    taken = b""
    while len(taken) < 320:
        taken += far.recv(1000)
    with pytest.raises(TimeoutError):
        near.settimeout(0.1)
        near.recv(1)  # time for a keep-alive probe
    pair.close()
    for name in ("client", "server"):
        assert replay(tmp_path / f"{name}.pcapng").counts.sent > 0
