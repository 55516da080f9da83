"""SOCK_DGRAM: each datagram once or not at all, from whom it came, and never behind a stream."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawproto.errors import LinkError
from rawproto.link.memory import Segment
from rawproto.sockets.datagram_socket import DatagramSocket
from rawproto.sockets.host import Host
from rawproto.testing.replay import Replay
from rawproto.transport.config import MILLISECOND, Config
from rawproto.wire.frame import LinkType

Make = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
DATAGRAMS = socket.SOCK_DGRAM
SMALL = Config(send_buffer=20_000, receive_buffer=20_000, max_datagrams=4, min_rto=20 * MILLISECOND)


@pytest.fixture
def ends(make: Make) -> tuple[DatagramSocket, DatagramSocket]:
    """Two sockets on two hosts in memory, the first connected to the second."""
    both: tuple[DatagramSocket, DatagramSocket] = make().datagrams()
    return both


# -- data --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("road", ["memory", "udp", "unix"])
def test_each_datagram_comes_as_it_was_sent_and_is_answered(make: Make, road: str) -> None:
    near, far = make(road).datagrams()
    for data in (b"x", b"", bytes(1000)):
        assert near.send(data) == len(data)
        assert far.recvfrom(2000) == (data, near.getsockname())
        assert far.sendto(data + b"!", near.getsockname()) == len(data) + 1
        assert near.recv(2000) == data + b"!"


def test_on_a_bad_wire_what_comes_is_what_was_sent(make: Make) -> None:
    pair = make("bad wire")
    pair.connected(8)  # the neighbours know each other: nothing waits for an address
    near, far = pair.datagrams(7)
    far.settimeout(0.2)
    received = []
    for number in range(200):
        near.send(b"%d " % number * 50)
        try:
            received.append(far.recv(1000, socket.MSG_DONTWAIT))
        except BlockingIOError:
            continue
    with pytest.raises(TimeoutError, match="no datagram came"):
        while True:
            received.append(far.recv(1000))
    assert set(received) <= {b"%d " % number * 50 for number in range(200)}
    assert len(received) > 100


def test_what_does_not_fit_the_buffer_is_lost(ends: tuple[DatagramSocket, DatagramSocket]) -> None:
    near, far = ends
    for data in (b"abcdef", b"gh", b"ij"):
        near.send(data)
    sender = near.getsockname()
    assert far.recvmsg(3) == (b"abc", [], socket.MSG_TRUNC, sender)
    assert far.recvmsg(3) == (b"gh", [], 0, sender)
    buffer = bytearray(b"....")
    assert far.recvfrom_into(buffer) == (2, sender)
    assert buffer == b"ij.."


def test_a_socket_that_was_not_bound_takes_a_free_port(make: Make) -> None:
    pair = make()
    _, far = pair.datagrams()
    other = pair.client.socket(DATAGRAMS)
    assert other.getsockname() == (pair.client.address, 0)
    other.sendto(b"x", far.getsockname())
    address, port = far.recvfrom(10)[1]
    assert (address, port) == other.getsockname()
    assert port > 0


def test_streams_and_datagrams_have_ports_of_their_own(make: Make) -> None:
    pair = make()
    near, far = pair.connected(7)
    sender, taker = pair.datagrams(7)
    sender.send(b"datagram")
    near.send(b"stream")
    assert (taker.recv(100), far.recv(100)) == (b"datagram", b"stream")


def test_a_closed_datagram_socket_takes_no_port_from_a_stream(make: Make) -> None:
    pair = make()
    holder = pair.server.socket()
    holder.bind(("", 7))
    with pair.server.socket(DATAGRAMS) as other:
        other.bind(("", 7))
    with pytest.raises(OSError, match="port 7 is in use"):
        pair.server.socket().bind(("", 7))
    pair.server.socket(DATAGRAMS).bind(("", 7))  # its own it has given back


# -- connect -----------------------------------------------------------------------------------------------------------


def test_a_connected_socket_hears_its_peer_alone_until_that_is_ended(make: Make) -> None:
    pair = make()
    near, far = pair.datagrams(7)
    stranger = pair.server.socket(DATAGRAMS)
    stranger.sendto(b"stranger", near.getsockname())
    far.sendto(b"peer", near.getsockname())
    assert near.recv(100) == b"peer"
    assert near.getpeername() == far.getsockname()
    near.connect(None)
    stranger.sendto(b"stranger", near.getsockname())
    assert near.recv(100) == b"stranger"
    with pytest.raises(OSError, match="not connected") as caught:
        near.getpeername()
    assert caught.value.errno == errno.ENOTCONN


def test_sendto_goes_elsewhere_from_a_connected_socket_too(make: Make) -> None:
    pair = make()
    near, _ = pair.datagrams(7)
    other = pair.server.socket(DATAGRAMS)
    other.bind(("", 8))
    near.sendto(b"x", 0, other.getsockname())
    assert other.recv(10) == b"x"


@pytest.mark.parametrize("road", ["memory", "udp", "unix"])
@pytest.mark.parametrize("call", [lambda each: each.recv(1), lambda each: each.send(b"x")])
def test_a_connected_socket_is_told_once_that_nobody_is_there(
    make: Make, until: Until, road: str, call: Callable[[DatagramSocket], object]
) -> None:
    near, far = make(road).datagrams()
    far.close()
    near.send(b"x")
    until(lambda: near._opened.refused)
    with pytest.raises(ConnectionRefusedError) as caught:
        call(near)
    assert caught.value.errno == errno.ECONNREFUSED
    near.setblocking(False)
    with pytest.raises(BlockingIOError):
        near.recv(1)


def test_a_refusal_wakes_the_one_who_waits_for_an_answer(ends: tuple[DatagramSocket, DatagramSocket]) -> None:
    near, far = ends
    far.close()
    near.send(b"x")
    with pytest.raises(ConnectionRefusedError):
        near.recv(1)


def test_a_refusal_can_be_asked_for(ends: tuple[DatagramSocket, DatagramSocket], until: Until) -> None:
    near, far = ends
    far.close()
    near.send(b"x")
    until(lambda: near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED)
    assert near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


# -- what can't be -----------------------------------------------------------------------------------------------------


def test_a_datagram_fits_the_link(ends: tuple[DatagramSocket, DatagramSocket]) -> None:
    near, far = ends
    largest = near._host.stack.endpoint.mss
    near.send(bytes(largest))
    assert len(far.recv(5000)) == largest
    with pytest.raises(OSError, match=f"{largest} at most") as caught:
        near.send(bytes(largest + 1))
    assert caught.value.errno == errno.EMSGSIZE


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda each: each.send(b"x"), errno.EDESTADDRREQ),
        (lambda each: each.getpeername(), errno.ENOTCONN),
        (lambda each: each.shutdown(socket.SHUT_WR), errno.ENOTCONN),
        (lambda each: each.listen(), errno.EOPNOTSUPP),
        (lambda each: each.accept(), errno.EOPNOTSUPP),
        (lambda each: each.recv(1, socket.MSG_OOB), errno.EOPNOTSUPP),
        (lambda each: each.bind(("10.9.9.9", 7)), errno.EADDRNOTAVAIL),
        (lambda each: each.sendto(b"x", ("fd00::1", 7)), errno.EAFNOSUPPORT),
    ],
)
def test_calls_that_make_no_sense(make: Make, call: Callable[[DatagramSocket], object], number: int) -> None:
    with pytest.raises(OSError) as caught:
        call(make().client.socket(DATAGRAMS))
    assert caught.value.errno == number


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda each: each.sendto(b"x", ("10.0.0.2", 0)), OverflowError),
        (lambda each: each.sendto(b"x", ("10.0.0.2", 65536)), OverflowError),
        (lambda each: each.sendto(b"x", "10.0.0.2"), TypeError),
        (lambda each: each.sendto(b"x", ("10.0.0.2", "7")), TypeError),
        (lambda each: each.sendto("x", ("10.0.0.2", 7)), TypeError),
        (lambda each: each.recv(-1), ValueError),
    ],
)
def test_arguments_of_the_wrong_type(
    make: Make, call: Callable[[DatagramSocket], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(make().client.socket(DATAGRAMS))


def test_a_port_can_be_bound_once(make: Make) -> None:
    pair = make()
    pair.datagrams(7)
    with pytest.raises(OSError, match="datagram port 7 is in use") as caught:
        pair.server.socket(DATAGRAMS).bind(("", 7))
    assert caught.value.errno == errno.EADDRINUSE


def test_a_peer_that_the_link_can_not_reach_is_told() -> None:
    segment = Segment(LinkType.USER0)
    host = Host(segment.attach("a"))
    segment.attach("b")
    with pytest.raises(LinkError, match="nobody") as caught:
        host.socket(DATAGRAMS).sendto(b"x", ("nobody", 7))
    assert caught.value.errno == errno.EHOSTUNREACH
    host.close(linger=0)


def test_a_type_that_there_is_not_is_refused(make: Make) -> None:
    with pytest.raises(OSError, match="SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM") as caught:
        make().client.socket(socket.SOCK_RAW)
    assert caught.value.errno == errno.ESOCKTNOSUPPORT


def test_a_socket_may_be_made_not_to_block(make: Make) -> None:
    each = make().client.socket(DATAGRAMS | socket.SOCK_NONBLOCK)
    with pytest.raises(BlockingIOError):
        each.recv(1)


# -- queues ------------------------------------------------------------------------------------------------------------


def test_what_comes_to_a_full_queue_is_lost_and_counted(make: Make, until: Until) -> None:
    near, far = make(config=SMALL).datagrams()
    for number in range(6):
        near.send(b"%d" % number)
    until(lambda: far._opened.dropped == 2)
    far.setblocking(False)
    assert [far.recv(10) for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    with pytest.raises(BlockingIOError):
        far.recv(10)


def test_what_finds_the_outgoing_queue_full_is_tried_again(make: Make) -> None:
    pair = make(config=SMALL)
    near, far = pair.datagrams()
    near.send(b"first")
    outbox = pair.client.stack.endpoint.datagrams.outbox

    def send_with_a_full_queue(data: bytes) -> None:
        with pair.client.driver.lock:
            peer, segment = pair.server.address, near._opened
            while pair.client.stack.endpoint.datagrams.send(segment, peer, 9, b"to nobody", 100):
                pass
        assert len(outbox) <= SMALL.max_datagrams
        near.send(data)

    near.setblocking(False)
    with pair.client.driver.lock:  # so that nobody empties it meanwhile
        with pytest.raises(BlockingIOError) as caught:
            send_with_a_full_queue(b"refused")
        assert caught.value.errno == errno.EAGAIN
        near.settimeout(10)
        send_with_a_full_queue(b"second")
    assert [far.recv(100), far.recv(100)] == [b"first", b"second"]


# -- waking ------------------------------------------------------------------------------------------------------------


def test_a_stalled_stream_holds_no_datagram_back(make: Make) -> None:
    pair = make(config=SMALL)
    stream, _ = pair.connected(8)
    near, far = pair.datagrams(7)
    stream.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            stream.send(bytes(20_000))
    for number in range(50):
        near.send(b"%d" % number)
        assert far.recv(10) == b"%d" % number


@pytest.mark.parametrize("road", ["memory", "udp", "unix"])
def test_a_datagram_wakes_one_and_a_stream_the_other(make: Make, until: Until, road: str) -> None:
    pair = make(road)
    stream, streamed = pair.connected(8)
    near, far = pair.datagrams(7)
    waiting = pair.start(lambda: far.recv(10)), pair.start(lambda: streamed.recv(10))
    until(pair.in_a_call(pair.server, 2))
    near.send(b"datagram")
    assert waiting[0].result() == b"datagram"
    stream.send(b"stream")
    assert waiting[1].result() == b"stream"


@pytest.mark.parametrize("others", [0, 1], ids=["it polls", "another polls"])
def test_closing_wakes_the_thread_that_waits(make: Make, until: Until, others: int) -> None:
    pair = make()
    near, _ = pair.datagrams()
    near.settimeout(None)
    if others:
        other = pair.client.socket()
        other.listen()
        pair.start(other.accept)
        until(pair.in_a_call(pair.client))
    reader = pair.start(lambda: near.recv(1))
    until(pair.in_a_call(pair.client, 1 + others))
    near.close()
    with pytest.raises(OSError, match="closed") as caught:
        reader.result()
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError, match="closed"):
        near.send(b"x")


def test_closing_the_host_wakes_the_thread_that_waits(make: Make, until: Until) -> None:
    pair = make()
    near, _ = pair.datagrams()
    reader = pair.start(lambda: near.recv(1))
    until(pair.in_a_call(pair.client))
    pair.client.close(linger=0)
    with pytest.raises(OSError, match="host was closed"):
        reader.result()


def test_shutting_down_wakes_the_reader_and_ends_sending(make: Make, until: Until) -> None:
    pair = make()
    near, _ = pair.datagrams()
    reader = pair.start(lambda: near.recv(1))
    until(pair.in_a_call(pair.client))
    near.shutdown(socket.SHUT_RDWR)
    assert reader.result() == b""
    with pytest.raises(BrokenPipeError):
        near.send(b"x")


# -- recorded ----------------------------------------------------------------------------------------------------------


def test_a_recording_of_datagrams_can_be_replayed(make: Make, until: Until, tmp_path: Path) -> None:
    pair = make(config=SMALL, recorded=tmp_path)
    near, far = pair.datagrams(7)
    for number in range(3):
        near.send(b"%d" % number)
        assert far.recvfrom(10) == (b"%d" % number, near.getsockname())
    far.sendto(b"kept", near.getsockname())
    until(lambda: bool(near._opened.queue))
    stranger = pair.server.socket(DATAGRAMS)
    stranger.sendto(b"refused", near.getsockname())  # by a reset, because near is connected
    until(lambda: pair.client.discarded()["no datagram port"] == 1)
    near.connect(None)
    stranger.sendto(b"kept too", near.getsockname())
    until(lambda: len(near._opened.queue) == 2)
    stranger.close()
    far.close()
    near.sendto(b"to nobody", far.getsockname())
    until(lambda: pair.server.discarded()["no datagram port"] == 1)
    port = near.getsockname()[1]
    pair.close()
    client, server = (Replay(tmp_path / f"{name}.pcapng") for name in ("client", "server"))
    client.run()
    server.run()
    assert [message.data for message in client.datagrams[port].queue] == [b"kept", b"kept too"]
    assert not server.datagrams[7].queue  # the three were taken
    assert server.datagrams[7].received == 3
    assert not server.stack.endpoint.datagrams.ports
