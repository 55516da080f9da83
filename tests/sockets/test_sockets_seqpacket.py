"""SOCK_SEQPACKET: what was one send is one recv, whole and in order, on every road."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawproto.link.chance import derive_rng
from rawproto.sockets.record_socket import RecordSocket
from rawproto.testing.replay import replay
from rawproto.transport.config import MILLISECOND, Config

Make = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
RECORDS = socket.SOCK_SEQPACKET
SMALL = Config(
    send_buffer=10_000, receive_buffer=10_000, max_record=6000, initial_rto=50 * MILLISECOND, min_rto=20 * MILLISECOND
)


@pytest.fixture
def ends(make: Make) -> tuple[RecordSocket, RecordSocket]:
    """A connection between two hosts in memory: the client's end and the server's."""
    connected: tuple[RecordSocket, RecordSocket] = make(type=RECORDS).connected()
    return connected


# -- records -----------------------------------------------------------------------------------------------------------


def test_each_record_comes_as_it_was_sent(pair: Any) -> None:
    pair.type = RECORDS
    near, far = pair.connected()
    rng = derive_rng(1, "records")
    records = [rng.randbytes(rng.choice([1, 2, 100, 1440, 1441, 5000, 64 << 10])) for _ in range(60)]

    def send_all() -> None:
        for record in records:
            assert near.send(record) == len(record)
        near.shutdown(socket.SHUT_WR)

    sender = pair.start(send_all)
    received = []
    while record := far.recv(1 << 16):
        received.append(record)
    assert received == records
    sender.result()


def test_both_directions_have_records(ends: tuple[RecordSocket, RecordSocket]) -> None:
    near, far = ends
    near.sendall(b"one")
    near.sendall(b"two")
    assert [far.recv(100), far.recv(100)] == [b"one", b"two"]
    far.send(b"back")
    assert near.recv(100) == b"back"


def test_what_does_not_fit_the_buffer_is_lost_and_the_next_record_is_whole(
    ends: tuple[RecordSocket, RecordSocket],
) -> None:
    near, far = ends
    for record in (b"abcdef", b"gh", b"lost", b"ijkl"):
        near.send(record)
    assert [far.recv(3), far.recv(100), far.recv(0), far.recv(100)] == [b"abc", b"gh", b"", b"ijkl"]


def test_recvmsg_says_whether_the_record_was_cut(ends: tuple[RecordSocket, RecordSocket]) -> None:
    near, far = ends
    near.send(b"abcdef")
    near.send(b"gh")
    sender = near.getsockname()
    assert far.recvmsg(3) == (b"abc", [], socket.MSG_EOR | socket.MSG_TRUNC, sender)
    assert far.recvmsg(3) == (b"gh", [], socket.MSG_EOR, sender)


def test_recv_record_says_how_long_the_record_was(ends: tuple[RecordSocket, RecordSocket]) -> None:
    near, far = ends
    near.send(b"abcdef")
    near.send(b"gh")
    assert far.recv_record(3) == (b"abc", 6)
    assert far.recv_record() == (b"gh", 2)
    near.shutdown(socket.SHUT_WR)
    assert far.recv_record() == (b"", 0)


def test_recv_into_takes_one_record(ends: tuple[RecordSocket, RecordSocket]) -> None:
    near, far = ends
    near.send(b"ab")
    near.send(b"cd")
    buffer = bytearray(b".....")
    assert far.recvfrom_into(buffer) == (2, near.getsockname())
    assert buffer == b"ab..."
    assert far.recvfrom(10) == (b"cd", near.getsockname())


def test_records_cut_to_nothing_make_room_all_the_same(make: Make) -> None:
    pair = make(config=SMALL, type=RECORDS)
    near, far = pair.connected()
    sender = pair.start(lambda: [near.send(bytes(5000)) for _ in range(10)])
    assert [far.recv_record(0) for _ in range(10)] == [(b"", 5000)] * 10
    sender.result()


# -- what is no record -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["send", "sendall"])
def test_a_record_has_the_length_that_the_peer_takes(make: Make, call: str) -> None:
    pair = make(server_config=Config(max_record=1000), type=RECORDS)
    near, far = pair.connected()
    with pytest.raises(OSError, match="1000 at most") as caught:
        getattr(near, call)(bytes(1001))
    assert caught.value.errno == errno.EMSGSIZE
    near.send(bytes(1000))
    assert far.recv(2000) == bytes(1000)


def test_a_record_without_a_byte_is_refused(ends: tuple[RecordSocket, RecordSocket]) -> None:
    near, far = ends
    with pytest.raises(OSError, match="at least one byte") as caught:
        near.send(b"")
    assert caught.value.errno == errno.EINVAL
    near.send(b"x")
    assert far.recv(10) == b"x"


@pytest.mark.parametrize(("listening", "calling"), [(RECORDS, socket.SOCK_STREAM), (socket.SOCK_STREAM, RECORDS)])
def test_the_other_kind_of_stream_is_refused(make: Make, listening: int, calling: int) -> None:
    pair = make()
    pair.type = listening
    pair.listen()
    pair.type = calling
    with pytest.raises(ConnectionRefusedError):
        pair.connect()


# -- room --------------------------------------------------------------------------------------------------------------


FILLING = 3
"""So many records of 6000 bytes fit SMALL buffers at both ends, as long as nobody reads, and part of one more."""


def fill(near: RecordSocket) -> None:
    """Send records until there is no room for another."""
    for _ in range(FILLING):
        near.sendall(bytes(6000))
    near.setblocking(False)


def test_without_blocking_a_record_is_taken_whole_or_not_at_all(make: Make, until: Until) -> None:
    near, far = make(config=SMALL, type=RECORDS).connected()
    fill(near)
    with pytest.raises(BlockingIOError) as caught:
        near.send(bytes(6000))
    assert caught.value.errno == errno.EAGAIN
    for _ in range(FILLING):
        assert len(far.recv(9000)) == 6000
    until(lambda: near.connection.sender.space() >= 6000)
    near.send(b"z" * 6000)  # nothing of the one that was refused lies before it
    assert far.recv(9000) == b"z" * 6000


def test_a_record_that_is_too_long_does_not_wait_for_room(make: Make) -> None:
    near, _ = make(config=SMALL, type=RECORDS).connected()
    fill(near)
    with pytest.raises(OSError, match="too long") as caught:
        near.send(bytes(6001))
    assert caught.value.errno == errno.EMSGSIZE


@pytest.mark.parametrize("call", ["send", "sendall"])
def test_a_record_waits_for_room_for_all_of_it(make: Make, until: Until, call: str) -> None:
    pair = make(config=SMALL, type=RECORDS)
    near, far = pair.connected()
    fill(near)
    near.settimeout(10)
    sender = pair.start(lambda: getattr(near, call)(b"last" * 1500))
    until(pair.in_a_call(pair.client))
    for _ in range(FILLING):
        assert far.recv(9000) == bytes(6000)
    assert far.recv(9000) == b"last" * 1500
    sender.result()


def test_waiting_for_room_times_out(make: Make) -> None:
    near, _ = make(config=SMALL, type=RECORDS).connected()
    fill(near)
    near.settimeout(0.02)
    with pytest.raises(TimeoutError, match="takes no more"):
        near.sendall(bytes(6000))


def test_dontwait_is_for_one_call(ends: tuple[RecordSocket, RecordSocket]) -> None:
    near, far = ends
    with pytest.raises(BlockingIOError):
        far.recv(1, socket.MSG_DONTWAIT)
    near.send(b"x")
    assert far.recv(1) == b"x"


# -- the end -----------------------------------------------------------------------------------------------------------


def test_a_half_close_ends_one_direction_after_its_last_record(ends: tuple[RecordSocket, RecordSocket]) -> None:
    near, far = ends
    near.send(b"last")
    near.shutdown(socket.SHUT_WR)
    assert [far.recv(100), far.recv(100), far.recv(100)] == [b"last", b"", b""]
    far.send(b"still here")
    assert near.recv(100) == b"still here"
    with pytest.raises(BrokenPipeError):
        near.send(b"x")


def test_a_record_that_was_not_read_makes_the_close_a_reset(
    ends: tuple[RecordSocket, RecordSocket], until: Until
) -> None:
    near, far = ends
    near.send(b"never read")
    until(lambda: far.connection is not None and far.connection.readable_data)
    far.close()
    with pytest.raises(ConnectionResetError):
        near.recv(1)


def test_closing_wakes_the_thread_that_waits(make: Make, until: Until) -> None:
    pair = make(type=RECORDS)
    near, _ = pair.connected()
    near.settimeout(None)
    reader = pair.start(near.recv_record)
    until(pair.in_a_call(pair.client))
    near.close()
    with pytest.raises(OSError, match="closed") as caught:
        reader.result()
    assert caught.value.errno == errno.EBADF


# -- recorded ----------------------------------------------------------------------------------------------------------


def test_a_recording_of_records_can_be_replayed(make: Make, tmp_path: Path) -> None:
    pair = make(config=SMALL, type=RECORDS, recorded=tmp_path)
    near, far = pair.connected()
    sender = pair.start(lambda: ([near.sendall(bytes([each]) * 6000) for each in range(9)], near.close()))
    assert [far.recv_record(10) for _ in range(9)] == [(bytes([each]) * 10, 6000) for each in range(9)]
    assert far.recv(10) == b""
    far.close()
    sender.result()
    pair.close(linger=5)
    for name in ("client", "server"):
        assert replay(tmp_path / f"{name}.pcapng").counts.sent > 9
