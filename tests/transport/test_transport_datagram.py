"""Unreliable datagrams between two endpoints: ports, filters, queues, refusals, and that no stream holds them up."""

from __future__ import annotations

import pytest

from rawproto.errors import ConfigError, ProtocolError
from rawproto.testing.pair import Pair, plain
from rawproto.transport.config import SECOND
from rawproto.transport.datagram import DatagramPort, Message
from rawproto.transport.segment import ACK, DGM, RST, Segment


def ports(pair: Pair, here: int = 1000, there: int = 2000) -> tuple[DatagramPort, DatagramPort]:
    return pair.client.endpoint.datagrams.open(here), pair.server.endpoint.datagrams.open(there)


def say(pair: Pair, port: DatagramPort, data: bytes, to: int = 2000, name: str = "client") -> bool:
    endpoint = pair.side(name).endpoint
    return endpoint.datagrams.send(port, pair.other(name), to, data, endpoint.mss)


@pytest.mark.rdt("3.4-8", "10-4", "14-3")
@pytest.mark.parametrize("data", [b"", b"x", bytes(1440)], ids=len)
def test_a_datagram_arrives_as_it_was_sent(data: bytes) -> None:
    pair = Pair()
    here, there = ports(pair)
    assert say(pair, here, data)
    pair.run(SECOND)
    assert list(there.queue) == [Message("client", 1000, data)]
    (sent,) = pair.client.segments()
    assert (sent.flags, sent.seq, sent.ack, sent.wnd) == (DGM, 0, 0, 0)
    assert (here.sent, there.received) == (1, 1)


@pytest.mark.rdt("14-4")
def test_several_keep_their_boundaries_and_lost_ones_are_gone() -> None:
    pair = Pair()
    here, there = ports(pair)
    pair.drop("client", 1)
    for index in range(4):
        say(pair, here, b"%d" % index)
    pair.run(10 * SECOND)
    assert [message.data for message in there.queue] == [b"0", b"2", b"3"]
    assert len(pair.client.sent) == 4


def test_an_answer_goes_to_who_has_asked() -> None:
    pair = Pair()
    here, there = ports(pair)
    say(pair, here, b"question")
    pair.run(SECOND)
    question = there.queue.popleft()
    say(pair, there, b"answer", question.port, "server")
    pair.run(SECOND)
    assert list(here.queue) == [Message("server", 2000, b"answer")]


@pytest.mark.rdt("14-3")
def test_a_connected_port_takes_those_of_its_remote_alone() -> None:
    pair = Pair()
    here, there = ports(pair)
    other = pair.client.endpoint.datagrams.open(1001)
    there.remote = ("client", 1001)
    say(pair, here, b"stranger")
    say(pair, other, b"friend")
    pair.run(SECOND)
    assert [message.data for message in there.queue] == [b"friend"]
    assert pair.server.endpoint.discarded == {"no datagram port": 1}


@pytest.mark.rdt("14-8")
def test_a_full_queue_drops_and_counts() -> None:
    pair = Pair(plain(max_datagrams=3))
    here, there = ports(pair)
    for index in range(5):
        say(pair, here, b"%d" % index)
        pair.flush()
    pair.run(SECOND)
    assert [message.data for message in there.queue] == [b"0", b"1", b"2"]
    assert (there.received, there.dropped) == (3, 2)
    assert pair.server.endpoint.discarded == {"datagram queue full": 2}


@pytest.mark.rdt("14-8")
def test_more_than_the_wire_takes_is_not_taken() -> None:
    pair = Pair(plain(max_datagrams=3))
    here, _ = ports(pair)
    assert [say(pair, here, b"x") for _ in range(4)] == [True, True, True, False]
    pair.flush()
    assert say(pair, here, b"x")


@pytest.mark.rdt("14-2")
def test_what_no_datagram_holds_is_an_error() -> None:
    pair = Pair()
    here, _ = ports(pair)
    with pytest.raises(ProtocolError, match="1441 bytes is too long: the link carries 1440"):
        say(pair, here, bytes(1441))


@pytest.mark.rdt("14-6", "14-7")
def test_where_nobody_takes_datagrams_a_connected_port_is_told() -> None:
    pair = Pair()
    here = pair.client.endpoint.datagrams.open(1000)
    here.remote = ("server", 2000)
    say(pair, here, b"hello?")
    pair.run(SECOND)
    assert here.refused
    assert [s.flags for s in pair.server.segments()] == [DGM | RST]


@pytest.mark.rdt("14-7")
def test_a_port_without_a_remote_is_not_told() -> None:
    pair = Pair()
    here = pair.client.endpoint.datagrams.open(1000)
    say(pair, here, b"hello?")
    pair.run(SECOND)
    assert not here.refused


@pytest.mark.rdt("5.7-3")
def test_a_refusal_is_never_answered() -> None:
    pair = Pair()
    assert pair.answers("server", Segment(5, 6, DGM | RST, 0)) == []
    assert pair.server.endpoint.discarded == {"reset for no connection": 1}


@pytest.mark.rdt("14-1")
def test_ports_are_taken_and_given_back() -> None:
    datagrams = Pair().client.endpoint.datagrams
    port = datagrams.open(1000)
    with pytest.raises(ProtocolError, match="1000 is in use"):
        datagrams.open(1000)
    datagrams.close(port)
    datagrams.close(port)
    datagrams.open(1000)
    for number in (0, -1, 65536):
        with pytest.raises(ConfigError, match="from 1 to 65535"):
            datagrams.open(number)


def test_a_port_closed_late_does_not_close_its_successor() -> None:
    datagrams = Pair().client.endpoint.datagrams
    first = datagrams.open(1000)
    datagrams.close(first)
    second = datagrams.open(1000)
    datagrams.close(first)
    assert datagrams.ports == {1000: second}


@pytest.mark.rdt("3.4-3")
def test_a_datagram_is_no_part_of_a_stream_on_the_same_ports() -> None:
    pair = Pair(plain())
    client, server = pair.connect()
    stray = Segment(client.local_port, client.peer_port, ACK | DGM, client.sender.snd_nxt, client.receiver.rcv_nxt)
    stray.payload, stray.packet_number, stray.wnd = b"stray", client.sender.packet_number, 1 << 20
    assert [s.flags for s in pair.answers("server", stray)] == [DGM | RST]
    assert pair.server.endpoint.discarded == {"no datagram port": 1}
    assert not server.readable
    assert server.end is None


@pytest.mark.rdt("14-4")
def test_a_stalled_stream_holds_up_no_datagram() -> None:
    pair = Pair(server_config=plain(receive_buffer=1000))
    client, server = pair.connect()
    here, there = ports(pair)
    pair.write(client, bytes(50_000))
    pair.run(SECOND)
    assert (server.receiver.ready, client.stats(pair.now).snd_wnd) == (1000, 0)
    start = pair.now
    say(pair, here, b"past it")
    pair.run_until(lambda: bool(there.queue))
    assert pair.now - start == pair.delay_ns


def test_a_paced_stream_holds_up_no_datagram() -> None:
    pair = Pair()
    client, _ = pair.connect()
    here, there = ports(pair)
    pair.run(SECOND)
    pair.write(client, bytes(500_000))
    pair.flush()
    start = pair.now
    say(pair, here, b"past it")
    pair.run_until(lambda: bool(there.queue))
    assert pair.now - start == pair.delay_ns


def test_datagrams_leave_in_the_order_in_which_they_were_handed_over() -> None:
    pair = Pair()
    here, there = ports(pair)
    other = pair.client.endpoint.datagrams.open(1001)
    for index in range(10):
        say(pair, (here, other)[index % 2], b"%d" % index)
    pair.run(SECOND)
    assert [message.data for message in there.queue] == [b"%d" % index for index in range(10)]


@pytest.mark.rdt("14-1")
def test_a_stream_may_have_the_same_port() -> None:
    pair = Pair()
    client, server = pair.connect(2000)
    here, there = ports(pair)
    say(pair, here, b"datagram")
    pair.write(client, b"stream")
    pair.run(SECOND)
    assert ([message.data for message in there.queue], pair.read(server)) == ([b"datagram"], b"stream")


@pytest.mark.rdt("14-5")
def test_datagrams_are_numbered_for_each_port_and_none_is_dropped_for_its_number() -> None:
    pair = Pair()
    here, there = ports(pair)
    other = pair.client.endpoint.datagrams.open(1001)
    for port in (here, here, other, here):
        say(pair, port, b"x")
    pair.duplicate("client", 0)
    pair.delay("client", 1, SECOND)
    pair.run(2 * SECOND)
    assert [s.packet_number for s in pair.client.segments()] == [0, 1, 0, 2]
    assert len(there.queue) == 5


@pytest.mark.rdt("14-9")
def test_a_datagram_may_not_be_marked() -> None:
    pair = Pair()
    here, _ = ports(pair)
    say(pair, here, b"x")
    pair.flush()
    assert pair.client.ect == [False]
