"""Streams of records (SOCK_SEQPACKET): boundaries kept, whole records or none, limits, and who has the other kind."""

from __future__ import annotations

import pytest

from rawproto.errors import ProtocolError
from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.records import RecordEnds
from rawproto.transport.segment import ACK, EOR, FIN

MSS = 1440


def streams(config: Config | None = None, **more: object) -> tuple[Pair, Connection, Connection]:
    """A connection whose streams have records."""
    pair = Pair(config or plain(), **more)  # type: ignore[arg-type]
    listener = pair.server.endpoint.listen(80, 5, records=True)
    client = pair.client.endpoint.connect("server", 80, 0, records=True)
    pair.run_until(lambda: client.established and bool(listener.queue))
    return pair, client, listener.queue.popleft()


def take_all(pair: Pair, connection: Connection) -> list[bytes]:
    records = []
    while (taken := connection.recv_record(1 << 20, pair.now))[1] >= 0:
        records.append(taken[0])
    return records


SIZES = [1, 2, 100, MSS - 1, MSS, MSS + 1, 2 * MSS, 10_000, 64_800, 65_536, 7]


@pytest.mark.parametrize("config", [Config(), plain(), Config(cookies=False)], ids=["all", "plain", "half-open"])
@pytest.mark.rdt("3.5-21", "3.4-7")
def test_records_arrive_as_they_were_sent(config: Config) -> None:
    pair, client, server = streams(config)
    for size in SIZES:
        pair.write(client, fill(size))
    pair.run(5 * SECOND)
    assert take_all(pair, server) == [fill(size) for size in SIZES]


@pytest.mark.rdt("10-2", "3.4-7", "7.8-2")
def test_each_record_ends_with_a_datagram_that_says_so() -> None:
    pair, client, _ = streams()
    for size in SIZES:
        pair.write(client, fill(size))
    pair.run(5 * SECOND)
    ends, at = set(), client.sender.iss + 1
    for size in SIZES:
        at += size
        ends.add(at)
    for segment in pair.client.segments():
        if segment.payload:
            inside = [end for end in ends if segment.seq < end < segment.end]
            assert not inside
            assert bool(segment.flags & EOR) == (segment.end in ends)
        else:
            assert not segment.flags & EOR


@pytest.mark.parametrize("size", range(MSS - 45, MSS + 4, 4))
@pytest.mark.parametrize("datagram_size", [104, 600, 1480])
def test_a_boundary_may_lie_at_every_cut(size: int, datagram_size: int) -> None:
    pair, client, server = streams(datagram_size=datagram_size)
    records = [fill(size + at) for at in range(4)]
    for record in records:
        pair.write(client, record)
    pair.run(10 * SECOND)
    assert take_all(pair, server) == records


@pytest.mark.rdt("7.8-2")
@pytest.mark.parametrize("lost", range(60))
def test_whatever_is_lost_the_boundaries_stay(lost: int) -> None:
    pair, client, server = streams(Config(congestion_control="none"))
    at = pair.number("client")
    pair.drop("client", at + lost)
    records = [fill(65_536), fill(65_536)[::-1], fill(100), fill(65_000)]
    for record in records:
        pair.write(client, record)
    pair.run(10 * SECOND)
    assert (client.end, server.end) == (None, None)
    assert take_all(pair, server) == records


@pytest.mark.rdt("7.8-2")
def test_after_a_timeout_records_are_not_joined() -> None:
    pair, client, server = streams()
    at = pair.number("client")
    pair.drop("client", *range(at, at + 5))
    for _ in range(5):
        pair.write(client, b"a record")
    pair.run(5 * SECOND)
    assert client.sender.timeouts > 0
    assert take_all(pair, server) == [b"a record"] * 5


@pytest.mark.rdt("7.8-4")
def test_a_record_is_given_once_it_is_whole() -> None:
    pair, client, server = streams()
    pair.answers("server", segment_of(client, ACK, payload=b"half of "))
    assert (server.readable, server.recv_record(100, pair.now)) == (False, (b"", -1))
    pair.answers("server", segment_of(client, ACK | EOR, seq=8, payload=b"it", packet_number=20))
    assert server.readable
    assert server.recv_record(100, pair.now) == (b"half of it", 10)


def test_the_end_of_a_record_may_come_before_its_beginning() -> None:
    pair, client, server = streams()
    pair.answers("server", segment_of(client, ACK | EOR, seq=8, payload=b"it"))
    assert not server.readable
    pair.answers("server", segment_of(client, ACK, payload=b"half of ", packet_number=20))
    assert server.recv_record(100, pair.now) == (b"half of it", 10)


@pytest.mark.rdt("7.8-4")
def test_a_short_read_cuts_the_record_and_tells_its_length() -> None:
    pair, client, server = streams()
    pair.write(client, b"long record")
    pair.write(client, b"next")
    pair.run(SECOND)
    assert server.recv_record(4, pair.now) == (b"long", 11)
    assert server.recv_record(4, pair.now) == (b"next", 4)


@pytest.mark.rdt("7.8-1")
def test_a_record_is_taken_whole_or_not_at_all() -> None:
    pair, client, _ = streams(plain(send_buffer=1000, max_record=600))
    assert client.send(bytes(600), pair.now) == 600
    assert client.send(bytes(600), pair.now) == 0
    assert client.send(bytes(400), pair.now) == 400
    pair.run(SECOND)
    assert client.send(bytes(600), pair.now) == 600


@pytest.mark.rdt("3.5-22", "7.8-3")
def test_a_record_longer_than_the_peer_takes_is_not_taken() -> None:
    pair = Pair(Config(), server_config=Config(max_record=500))
    listener = pair.server.endpoint.listen(80, 5, records=True)
    client = pair.client.endpoint.connect("server", 80, 0, records=True)
    pair.run_until(lambda: bool(listener.queue))
    with pytest.raises(ProtocolError, match="501 bytes is too long: this connection takes 500"):
        client.send(bytes(501), pair.now)
    assert client.send(bytes(500), pair.now) == 500


@pytest.mark.rdt("7.8-1")
def test_an_empty_record_is_refused() -> None:
    pair, client, _ = streams()
    with pytest.raises(ProtocolError, match="at least one byte"):
        client.send(b"", pair.now)


@pytest.mark.rdt("7.8-5")
@pytest.mark.parametrize("whole", [True, False])
def test_a_peer_that_sends_too_long_a_record_is_reset(whole: bool) -> None:
    pair, client, server = streams(plain(max_record=1000))
    flags = ACK | (EOR if whole else 0)
    pair.answers("server", segment_of(client, flags, payload=bytes(1001)))
    assert server.end is not None
    assert "a record that is too long" in str(server.end)


def test_a_record_that_grows_too_long_behind_another_is_refused_too() -> None:
    pair, client, server = streams(plain(max_record=1000))
    pair.answers("server", segment_of(client, ACK | EOR, payload=bytes(900)))
    pair.answers("server", segment_of(client, ACK, seq=900, payload=bytes(900), packet_number=20))
    assert server.end is None
    pair.answers("server", segment_of(client, ACK, seq=1800, payload=bytes(101), packet_number=21))
    assert server.end is not None


@pytest.mark.rdt("7.8-5")
def test_octets_out_of_order_or_repeated_make_no_record_too_long() -> None:
    pair, client, server = streams(plain(max_record=1000))
    pair.answers("server", segment_of(client, ACK, payload=bytes(900)))
    pair.answers("server", segment_of(client, ACK, payload=bytes(900), packet_number=20))
    pair.answers("server", segment_of(client, ACK, seq=1000, payload=bytes(900), packet_number=21))
    assert server.end is None
    pair.answers("server", segment_of(client, ACK | EOR, seq=900, payload=bytes(100), packet_number=22))
    assert server.recv_record(2000, pair.now)[1] == 1000


@pytest.mark.rdt("3.5-21", "5.3-8", "5.3-9")
@pytest.mark.parametrize("cookies", [True, False])
@pytest.mark.parametrize("records", [True, False])
def test_two_kinds_of_stream_don_t_come_together(records: bool, cookies: bool) -> None:
    pair = Pair(Config(cookies=cookies))
    pair.server.endpoint.listen(80, 5, records=records)
    client = pair.client.endpoint.connect("server", 80, 0, records=not records)
    pair.run(SECOND)
    assert client.end is not None
    assert client.end.cause == "refused"
    assert pair.server.endpoint.connections == {}


@pytest.mark.rdt("3.5-21", "5.3-9")
def test_nor_do_they_when_both_open_at_once() -> None:
    pair = Pair()
    a = pair.client.endpoint.connect("server", 70, 0, local_port=60, records=True)
    b = pair.server.endpoint.connect("client", 60, 0, local_port=70)
    pair.run(10 * SECOND)
    assert a.end is not None
    assert b.end is not None
    assert {a.end.cause, b.end.cause} <= {"refused", "reset"}


@pytest.mark.rdt("7.8-7")
def test_a_stream_without_records_takes_no_notice_of_their_ends() -> None:
    pair = Pair(plain())
    client, server = pair.connect()
    pair.answers("server", segment_of(client, ACK | EOR, payload=b"ab"))
    assert pair.read(server) == b"ab"
    assert len(server.receiver.records) == 0


def test_the_end_of_the_stream_is_told_behind_the_last_record() -> None:
    pair, client, server = streams()
    pair.write(client, b"last")
    client.shutdown(pair.now)
    pair.run(SECOND)
    assert take_all(pair, server) == [b"last"]
    assert server.receiver.at_end
    assert [s.flags & (EOR | FIN) for s in pair.client.segments() if s.length][1:] == [EOR, FIN]


def test_a_full_buffer_of_records_opens_again_by_reading() -> None:
    pair = Pair(plain(), server_config=plain(receive_buffer=5000, max_record=1000))
    listener = pair.server.endpoint.listen(80, 5, records=True)
    client = pair.client.endpoint.connect("server", 80, 0, records=True)
    pair.run_until(lambda: bool(listener.queue))
    server = listener.queue.popleft()
    for index in range(30):
        pair.write(client, bytes([index]) * 900)
    got: list[bytes] = []
    while len(got) < 30:
        pair.step()
        got += take_all(pair, server)
    assert got == [bytes([index]) * 900 for index in range(30)]


def test_an_end_that_is_refused_is_not_remembered() -> None:
    """Or a peer could have the ends of any number of records kept that were never taken."""
    pair, client, server = streams(plain(max_ranges=4))
    for at in range(50):
        pair.answers("server", segment_of(client, ACK | EOR, seq=2 + 2 * at, payload=b"x", packet_number=20 + at))
    assert len(server.receiver.held) == 4
    assert len(server.receiver.records) == 4


def test_ends_are_kept_in_order_and_once() -> None:
    ends = RecordEnds()
    for end in (30, 10, 20, 10, 30):
        ends.add(end)
    assert len(ends) == 3
    assert [ends.after(at) for at in (0, 10, 25, 30)] == [10, 20, 30, None]
    assert [ends.before(at) for at in (9, 10, 25, 40)] == [0, 10, 20, 30]
    assert (ends.ends_at(20), ends.ends_at(21)) == (True, False)
    ends.release(20)
    assert (len(ends), ends.after(0)) == (1, 30)


def test_the_rest_of_a_record_finds_room_however_little_the_application_has_made() -> None:
    """It can read no part of a record, so it makes no more room than the record before it took."""
    pair, client, server = streams(Config(receive_buffer=700, max_record=700, send_buffer=2000))
    client.send(fill(200), 0)
    client.send(fill(700), 0)
    pair.run(SECOND)
    assert take_all(pair, server) == [fill(200)]
    pair.run(SECOND)
    assert take_all(pair, server) == [fill(700)]
