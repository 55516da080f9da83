"""How a loss is repaired: at once, with its own reason, and with a window halved from what was in flight."""

from __future__ import annotations

from rawproto.testing.pair import Pair
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND
from rawproto.transport.segment import ACK, DGM, RST, SYN, Segment
from rawproto.transport.trace import PacketsLost, Record, SegmentSent

MSS = 1440


def of(pair: Pair, kind: type[Record]) -> list[Record]:
    return [record for record in pair.client.trace.records if isinstance(record, kind)]


def lossy_transfer(*numbers: int) -> Pair:
    """A client that sends 100 MSS with a window of 40, and loses its datagrams `numbers`."""
    pair = Pair()
    client, server = pair.connect()
    client.sender.congestion.cwnd = 40 * MSS
    pair.drop("client", *numbers)
    client.send(bytes(100 * MSS), pair.now)
    pair.run_until(lambda: client.drained)
    assert server.recv(1 << 20, pair.now) == bytes(100 * MSS)
    return pair


def test_the_first_lost_segment_goes_out_when_the_loss_is_found() -> None:
    """RFC 6675 §5, (4.3), although more is in flight than the halved window allows."""
    pair = lossy_transfer(10)
    (lost,) = of(pair, PacketsLost)
    (again,) = [record for record in of(pair, SegmentSent) if isinstance(record, SegmentSent) and record.retransmission]
    assert again.time_ns == lost.time_ns


def test_the_window_is_halved_from_what_was_in_flight() -> None:
    """RFC 5681 §3.1 (4): FlightSize / 2, not half of what is left when most of it was acknowledged selectively."""
    pair = Pair()
    client, _ = pair.connect()
    client.sender.congestion.cwnd = 40 * MSS
    pair.drop("client", 2)  # the first of the burst
    client.send(bytes(40 * MSS), pair.now)
    pair.run_until(lambda: client.sender.retransmitted > 0)
    assert client.sender.congestion.ssthresh == 20 * MSS


def test_each_retransmission_names_its_own_packet() -> None:
    pair = lossy_transfer(10, 14, 30)
    lost = [record.packet_number for record in of(pair, PacketsLost) if isinstance(record, PacketsLost)]
    named = [
        int(record.reason.split("packet ")[1].split()[0])
        for record in of(pair, SegmentSent)
        if isinstance(record, SegmentSent) and record.retransmission
    ]
    assert lost == [10, 14, 30]
    assert named == [10, 14, 30]


def test_the_answer_to_a_syn_gives_the_client_a_round_trip_time() -> None:
    pair = Pair()
    client, _ = pair.connect()
    assert client.sender.rtt.srtt == 20 * MS


def test_a_repeated_syn_is_answered_at_once_with_another_syn() -> None:
    pair = Pair()
    pair.listen()
    syn = Segment(50000, 80, SYN, 1000)
    (first,) = pair.answers("server", syn)
    assert first.flags == SYN | ACK
    syn.packet_number = 1
    (second,) = pair.answers("server", syn)
    assert (second.flags, second.seq, second.packet_number) == (SYN | ACK, first.seq, 1)


def test_an_acknowledgement_that_would_cut_data_short_goes_ahead() -> None:
    pair = Pair()
    client, server = pair.connect()
    server.send(b"now an acknowledgement is due", pair.now)
    client.send(bytes(2 * MSS), pair.now)
    pair.run(SECOND)
    client.send(bytes(2 * MSS), pair.now)
    pair.run(SECOND)
    lengths = [len(segment.payload) for segment in pair.client.segments() if segment.payload]
    assert lengths == [MSS] * 4


def test_an_acknowledgement_rides_on_data_that_leaves_room_for_it() -> None:
    pair = Pair()
    client, server = pair.connect()
    client.send(b"question", pair.now)
    ((_, question),) = pair.client.endpoint.poll_transmit(pair.now)
    pair.server.endpoint.receive("client", question, pair.now)
    server.send(b"answer", pair.now)
    ((_, answer),) = pair.server.endpoint.poll_transmit(pair.now)
    (segment,) = server.codec.decode(answer, lambda reason, length: None)
    assert bytes(segment.payload) == b"answer"
    assert segment.seen is not None
    assert segment.ack == client.sender.snd_nxt
    assert pair.server.endpoint.poll_transmit(pair.now) == []


def test_an_unreliable_datagram_is_no_part_of_the_stream() -> None:
    pair = Pair()
    client, server = pair.connect()
    stray = Segment(client.local_port, client.peer_port, ACK | DGM, client.sender.snd_nxt, client.receiver.rcv_nxt)
    stray.payload, stray.packet_number, stray.wnd = b"stray", client.sender.packet_number, 1 << 20
    assert pair.answers("server", stray) == []
    assert pair.server.endpoint.discarded == {"unreliable datagram": 1}
    assert not server.readable
    assert RST not in [segment.flags for segment in pair.server.segments()]
