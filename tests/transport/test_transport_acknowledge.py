"""When an acknowledgement is sent: with every second segment, after 40 ms, at once, or along with data."""

from __future__ import annotations

import pytest

from rawproto.errors import ConfigError
from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, FIN, PSH, Segment

DELAY = 10 * MS
MSS = 1440


def ready() -> tuple[Pair, Connection, Connection]:
    """A connection that delays acknowledgements, and has none on its mind."""
    pair = Pair(plain(delayed_ack=True))
    client, server = pair.connect()
    pair.run(SECOND)
    return pair, client, server


def data(client: Connection, seq: int, length: int = MSS, number: int = 0, **more: object) -> Segment:
    """Octets at `seq` of the client's stream, in a packet later than all by `number`."""
    packet = client.sender.packet_number + number
    return segment_of(client, ACK, seq=seq, payload=bytes(length), packet_number=packet, **more)


@pytest.mark.rdt("7.2-2", "7.2-5")
@pytest.mark.rfc("9293", "SHLD-18", "MUST-40")
def test_a_single_segment_is_acknowledged_after_forty_milliseconds() -> None:
    pair, client, server = ready()
    start = pair.now
    assert pair.answers("server", data(client, 0)) == []
    assert server.next_timeout() == start + 40 * MS
    pair.now += 40 * MS
    pair.server.endpoint.handle_timeout(pair.now)
    (ack,) = pair.take("server")
    assert (ack.flags, ack.ack) == (ACK, client.sender.snd_nxt + MSS)
    assert ack.seen == (client.sender.packet_number, 40 * MS)
    assert server.stats(pair.now).delayed_acks == 1


@pytest.mark.rdt("7.2-5")
@pytest.mark.rfc("9293", "SHLD-19", "MUST-58")
@pytest.mark.rfc("5681", "4.2-2")
def test_every_second_segment_is_acknowledged_at_once() -> None:
    pair, client, server = ready()
    assert pair.answers("server", data(client, 0)) == []
    (ack,) = pair.answers("server", data(client, MSS, number=1))
    assert ack.ack == client.sender.snd_nxt + 2 * MSS
    assert server.next_timeout() is None
    assert pair.server.reasons()[-1] == "ACK after 2 segments"


@pytest.mark.rfc("9293", "MUST-59")
@pytest.mark.rdt("7.2-2")
def test_one_acknowledgement_answers_all_that_came_together() -> None:
    pair, client, _ = ready()
    segments = [data(client, at * MSS, number=at) for at in range(10)]
    (ack,) = pair.answers("server", *segments)
    assert ack.ack == client.sender.snd_nxt + 10 * MSS


@pytest.mark.rfc("9293", "SHLD-18")
def test_a_stream_takes_one_acknowledgement_for_two_segments_at_most() -> None:
    pair, client, server = ready()
    before = pair.number("server")
    for at in range(40):
        pair.answers("server", data(client, at * MSS, number=at))
    acks = server.datagrams_sent - before
    assert acks == 20


@pytest.mark.rdt("7.2-6")
@pytest.mark.rfc("5681", "3.2-1")
def test_a_segment_out_of_order_is_acknowledged_at_once_and_one_that_fills_the_gap_too() -> None:
    pair, client, _ = ready()
    base = client.sender.snd_nxt
    (early,) = pair.answers("server", data(client, MSS, number=1))
    assert (early.ack, early.sack) == (base, ((base + MSS, base + 2 * MSS),))
    (filled,) = pair.answers("server", data(client, 0, number=2))
    assert (filled.ack, filled.sack) == (base + 2 * MSS, ())
    assert pair.server.reasons()[-2:] == ["ACK of data out of order", "ACK of data fills a gap"]


@pytest.mark.rfc("5681", "3.2-1")
def test_a_segment_that_fills_one_gap_of_two_is_acknowledged_at_once() -> None:
    pair, client, _ = ready()
    pair.answers("server", data(client, MSS, number=1))
    pair.answers("server", data(client, 3 * MSS, number=2))
    (ack,) = pair.answers("server", data(client, 0, number=3))
    assert len(ack.sack) == 1


@pytest.mark.rdt("7.2-2", "7.2-6")
@pytest.mark.rfc("9293", "3.10.7.4-2")
def test_a_fin_is_acknowledged_at_once() -> None:
    pair, client, _ = ready()
    (ack,) = pair.answers("server", segment_of(client, ACK | FIN))
    assert ack.ack == client.sender.snd_nxt + 1
    (again,) = pair.answers("server", segment_of(client, ACK | FIN, packet_number=20))
    assert again.ack == ack.ack


@pytest.mark.rdt("7.2-2", "3.5-15", "7.2-6")
def test_octets_that_came_before_are_acknowledged_at_once() -> None:
    pair, client, _ = ready()
    base = client.sender.snd_nxt
    pair.answers("server", data(client, 0), data(client, MSS, number=1))
    (ack,) = pair.answers("server", data(client, 0, number=2))
    assert (ack.ack, ack.dsack) == (base + 2 * MSS, (base, base + MSS))


def test_a_repetition_with_new_octets_behind_it_is_acknowledged_at_once() -> None:
    pair, client, _ = ready()
    base = client.sender.snd_nxt
    pair.answers("server", data(client, 0, length=100))
    (ack,) = pair.answers("server", data(client, 0, length=150, number=1))
    assert (ack.ack, ack.dsack) == (base + 150, (base, base + 100))


@pytest.mark.rfc("9293", "3.5.2-3")
def test_a_probe_of_the_window_is_answered_at_once() -> None:
    pair, client, _ = ready()
    (answer,) = pair.answers("server", segment_of(client, ACK, seq=-1))
    assert (answer.flags, answer.ack) == (ACK, client.sender.snd_nxt)


@pytest.mark.rdt("7.2-4")
def test_what_only_acknowledges_is_not_acknowledged() -> None:
    pair, client, server = ready()
    assert pair.answers("server", segment_of(client, ACK)) == []
    assert server.next_timeout() is None


@pytest.mark.rdt("7.2-3", "7.4-1")
def test_an_acknowledgement_that_waits_rides_on_data() -> None:
    pair, client, server = ready()
    pair.answers("server", data(client, 0, length=10))
    pair.write(server, b"answer")
    (segment,) = pair.take("server")
    assert bytes(segment.payload) == b"answer"
    assert (segment.ack, segment.seen) == (client.sender.snd_nxt + 10, (client.sender.packet_number, 0))
    assert server.acks.deadline is None


@pytest.mark.rdt("7.4-1")
def test_a_segment_that_acknowledges_nothing_new_has_no_report() -> None:
    pair, _, server = ready()
    pair.write(server, b"unasked")
    (segment,) = pair.take("server")
    assert (segment.seen, segment.sack) == (None, ())


@pytest.mark.rdt("7.2-3")
def test_an_acknowledgement_that_would_cut_data_short_goes_ahead() -> None:
    pair, client, _ = ready()
    client.acks.at_once("due")
    pair.write(client, bytes(2 * MSS))
    first, second = pair.take("client")
    assert (len(first.payload), first.seen is not None) == (0, True)
    assert (len(second.payload), second.seen) == (2 * MSS, None)


@pytest.mark.rdt("7.4-2")
def test_seen_is_the_largest_packet_and_not_the_last() -> None:
    pair, client, _ = ready()
    number = client.sender.packet_number
    pair.answers("server", data(client, 0, number=7))
    (ack,) = pair.answers("server", data(client, MSS, number=3))
    assert ack.seen == (number + 7, 0)


@pytest.mark.rdt("7.3-1", "7.3-2", "3.5-7")
@pytest.mark.rfc("2018", "3-1", "4-2")
def test_all_that_is_held_out_of_order_is_reported_lowest_first() -> None:
    pair, client, _ = ready()
    base = client.sender.snd_nxt
    acks = []
    for number, at in enumerate((9, 3, 5, 4)):
        acks += pair.answers("server", data(client, at * MSS, number=number))
    assert acks[-1].sack == ((base + 3 * MSS, base + 6 * MSS), (base + 9 * MSS, base + 10 * MSS))


@pytest.mark.rdt("7.3-2")
def test_no_more_ranges_are_reported_than_there_is_room_for() -> None:
    pair = Pair(plain(), datagram_size=40 + 64)
    client, server = pair.connect()
    acks = [pair.answers("server", data(client, at * 10, 5, at))[-1] for at in range(1, 20, 2)]
    assert [len(ack.sack) for ack in acks] == [1, 2, 3, *[4] * 7]
    assert server.receiver.held.total == 50


@pytest.mark.rdt("7.3-4")
@pytest.mark.rfc("9293", "SHLD-31")
def test_what_was_reported_is_kept() -> None:
    pair, client, server = ready()
    pair.answers("server", segment_of(client, ACK, seq=5, payload=b" world"))
    pair.run(1000 * SECOND)
    pair.answers("server", segment_of(client, ACK, payload=b"hello", packet_number=9))
    assert pair.read(server) == b"hello world"


@pytest.mark.rdt("3.5-15", "7.3-7")
@pytest.mark.rfc("2883", "4-1", "4-3")
def test_what_came_twice_is_reported_once() -> None:
    pair, client, _ = ready()
    base = client.sender.snd_nxt
    pair.answers("server", data(client, 0), data(client, MSS, number=1))
    (first,) = pair.answers("server", data(client, MSS, number=2))
    (second,) = pair.answers("server", segment_of(client, ACK, seq=-1, packet_number=client.sender.packet_number + 3))
    assert (first.dsack, second.dsack) == ((base + MSS, base + 2 * MSS), None)


@pytest.mark.rfc("2883", "4-1")
def test_what_came_twice_out_of_order_is_reported_with_the_ranges() -> None:
    pair, client, _ = ready()
    base = client.sender.snd_nxt
    pair.answers("server", data(client, 2 * MSS))
    (ack,) = pair.answers("server", data(client, 2 * MSS, number=1))
    twice = (base + 2 * MSS, base + 3 * MSS)
    assert (ack.dsack, ack.sack) == (twice, (twice,))


def test_an_application_can_switch_delays_off_and_on() -> None:
    pair, client, server = ready()
    server.set_option("delayed_ack", False, pair.now)
    assert len(pair.answers("server", data(client, 0))) == 1
    server.set_option("delayed_ack", True, pair.now)
    assert pair.answers("server", data(client, MSS, number=1)) == []


@pytest.mark.rfc("9293", "MUST-40")
def test_no_delay_of_half_a_second_can_be_asked_for() -> None:
    with pytest.raises(ConfigError, match="less than half a second"):
        Config(ack_delay=SECOND // 2)
    assert Config().ack_delay < SECOND // 2


@pytest.mark.rdt("3.4-5")
def test_push_is_on_the_last_octet_that_there_was_to_send_and_nowhere_else() -> None:
    pair = Pair()
    client, _ = pair.connect()
    pair.write(client, fill(100_000))
    pair.run(SECOND)
    pair.write(client, fill(500))
    pair.run(SECOND)
    pushed = [s.end - client.sender.iss - 1 for s in pair.client.segments() if s.flags & PSH]
    assert pushed == [100_000, 100_500]


@pytest.mark.rdt("3.4-5")
@pytest.mark.rfc("9293", "MUST-60")
def test_octets_without_push_are_not_kept_from_the_application() -> None:
    pair, client, server = ready()
    pair.answers("server", data(client, 0, length=10))
    assert server.readable_data
    assert pair.read(server) == bytes(10)


def test_a_long_round_trip_is_measured_without_the_peers_delay() -> None:
    pair, client, _ = ready()
    pair.write(client, b"x")
    pair.run(SECOND)
    assert client.sender.rtt.latest == 2 * DELAY


@pytest.mark.rdt("7.3-7")
def test_a_later_repetition_takes_the_place_of_one_that_was_not_reported() -> None:
    pair, client, _ = ready()
    base = client.sender.snd_nxt
    pair.answers("server", data(client, 0), data(client, MSS, number=1))
    (ack,) = pair.answers("server", data(client, 0, number=2), data(client, MSS, 100, number=5))
    assert ack.dsack == (base + MSS, base + MSS + 100)


@pytest.mark.rdt("7.2-1")
def test_the_acknowledgement_is_the_next_octet_expected() -> None:
    pair, client, _ = ready()
    base = client.sender.snd_nxt
    acks = [pair.answers("server", data(client, at, 10, number))[-1].ack for number, at in enumerate((10, 0, 30, 20))]
    assert acks == [base, base + 20, base + 20, base + 40]
