"""What is outstanding, what is lost, and that the counters always agree with a recount."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport.scoreboard import Burst, Delivery, Scoreboard

MSS = 10
EVERYTHING = 1 << 62


class Board:
    """A scoreboard, and the packets that were sent with it, each octet's last one."""

    def __init__(self) -> None:
        self.board = Scoreboard()
        self.next_packet = 0
        self.snd_nxt = 0
        self.carried: dict[int, int] = {}
        self.now = 0

    def burst(self, start: int, end: int) -> Burst:
        count = -(-(end - start) // MSS)
        burst = Burst(start, min(MSS, end - start), MSS, self.next_packet, count, self.now, end - start)
        for octet in range(start, end):
            self.carried[octet] = self.next_packet + (octet - start) // MSS
        self.next_packet += count
        return burst

    def send(self, length: int) -> None:
        self.board.sent(self.snd_nxt, self.snd_nxt + length, self.burst(self.snd_nxt, self.snd_nxt + length))
        self.snd_nxt += length

    def resend(self, most: int = 1 << 30) -> None:
        chunk = self.board.first_lost()
        assert chunk is not None
        end = min(chunk.end, chunk.start + most)
        self.board.resent(chunk, end, self.burst(chunk.start, end))

    def tail(self, length: int) -> tuple[int, int]:
        chunk = self.board.tail(length)
        assert chunk is not None
        self.board.resent(chunk, chunk.end, self.burst(chunk.start, chunk.end))
        return chunk.start, chunk.end

    def acknowledge(self, una: int, seen: int = EVERYTHING) -> Delivery:
        delivery = Delivery(seen)
        self.board.acknowledge(una, delivery)
        return delivery

    def acknowledge_range(self, start: int, end: int, seen: int = EVERYTHING) -> Delivery:
        delivery = Delivery(seen)
        self.board.acknowledge_range(start, end, delivery)
        return delivery

    def lost(self, largest: int, distance: int = 3, sent_before: int = -1) -> list[tuple[int, int, str]]:
        found, _ = self.board.detect_lost(largest, self.snd_nxt, largest - distance, sent_before)
        return [(loss.start, loss.end, loss.rule) for loss in found]

    def recount(self) -> tuple[int, int]:
        chunks = self.board._chunks
        assert all(chunk.start < chunk.end for chunk in chunks)
        assert all(one.end <= two.start for one, two in pairwise(chunks))
        in_flight = sum(chunk.end - chunk.start for chunk in chunks if not chunk.lost)
        return in_flight, sum(chunk.end - chunk.start for chunk in chunks if chunk.lost)


def test_what_is_acknowledged_leaves() -> None:
    b = Board()
    b.send(100)
    assert b.acknowledge(35).octets == 35
    assert b.acknowledge(35).octets == 0
    assert (b.board.in_flight, len(b.board)) == (65, 1)
    assert b.acknowledge(100).octets == 65
    assert len(b.board) == 0


def test_a_selective_acknowledgement_splits() -> None:
    b = Board()
    b.send(100)
    assert b.acknowledge_range(40, 60).octets == 20
    assert b.acknowledge_range(40, 60).octets == 0
    assert [(chunk.start, chunk.end) for chunk in b.board._chunks] == [(0, 40), (60, 100)]
    assert b.board.sacked == 20
    assert b.acknowledge(100).octets == 80
    assert b.board.sacked == 0


def test_three_later_packets_make_one_lost() -> None:
    b = Board()
    b.send(100)
    b.acknowledge_range(30, 40)
    assert b.lost(largest=2) == []
    assert b.lost(largest=3) == [(0, 10, "packet threshold")]
    assert (b.board.in_flight, b.board.lost) == (80, 10)


def test_time_makes_lost_whatever_is_older() -> None:
    b = Board()
    b.send(30)
    b.now = 50
    b.send(30)
    assert b.lost(largest=2, sent_before=0) == [(0, 20, "time")]
    assert b.lost(largest=4, sent_before=0) == [(20, 30, "time")]


def test_the_earliest_time_is_that_of_what_is_still_in_doubt() -> None:
    b = Board()
    b.now = 5
    b.send(20)
    found, earliest = b.board.detect_lost(1, 20, -2, 0)
    assert (found, earliest) == ([], 5)
    _, earliest = b.board.detect_lost(0, 20, -3, 0)
    assert earliest is None


def test_a_retransmission_that_is_lost_is_found_again() -> None:
    b = Board()
    b.send(60)  # packets 0 to 5
    b.acknowledge_range(10, 60)
    assert b.lost(largest=5) == [(0, 10, "packet threshold")]
    b.resend()  # packet 6
    assert b.lost(largest=5) == []
    b.send(40)  # packets 7 to 10
    assert b.lost(largest=8) == []
    assert b.lost(largest=9) == [(0, 10, "packet threshold")]


def test_what_lies_behind_a_fresh_retransmission_is_judged_too() -> None:
    b = Board()
    b.send(20)  # packets 0 and 1
    assert b.lost(largest=3) == [(0, 10, "packet threshold")]
    b.resend()  # packet 2, in front of packet 1
    assert b.lost(largest=2, distance=1) == [(10, 20, "packet threshold")]


def test_a_part_that_is_sent_again_leaves_the_rest_lost() -> None:
    b = Board()
    b.send(50)
    b.board.mark_all_lost("RTO")
    b.resend(most=20)
    assert (b.board.in_flight, b.board.lost) == (20, 30)
    chunk = b.board.first_lost()
    assert chunk is not None
    assert (chunk.start, chunk.end) == (20, 50)


def test_a_fin_belongs_to_the_last_packet() -> None:
    burst = Burst(0, 10, MSS, 7, 2, 0)  # 20 octets in packets 7 and 8, and a FIN at 20
    assert [burst.packet_of(at) for at in (0, 9, 10, 19, 20)] == [7, 7, 8, 8, 8]
    alone = Burst(20, 0, MSS, 9, 1, 0)
    assert alone.packet_of(20) == 9
    assert burst.end > 20


def test_a_fin_in_the_last_packet_is_not_lost_with_the_packet_before() -> None:
    board = Scoreboard()
    board.sent(0, 21, Burst(0, 10, MSS, 0, 2, 0, 21))
    found, _ = board.detect_lost(1, 21, 0, -1)
    assert [(loss.start, loss.end) for loss in found] == [(0, 10)]


def test_nothing_beyond_the_bound_is_judged_or_waited_for() -> None:
    b = Board()
    b.send(100)
    found, earliest = b.board.detect_lost(9, 20, 6, -1)
    assert [(loss.start, loss.end) for loss in found] == [(0, 20)]
    assert earliest is None


def test_the_tail_is_cut_off_and_sent_again() -> None:
    b = Board()
    b.send(35)  # packets 0 to 3
    assert b.tail(MSS) == (25, 35)  # packet 4
    assert [(chunk.start, chunk.end, chunk.repetition is not None) for chunk in b.board._chunks] == [
        (0, 25, False),
        (25, 35, True),
    ]
    assert b.board.in_flight == 35


def test_octets_that_were_sent_once_show_reordering_by_their_end() -> None:
    b = Board()
    b.send(100)
    assert b.acknowledge_range(50, 60).lowest_original == 60
    assert b.acknowledge_range(20, 30).lowest_original == 30
    b.board.mark_all_lost("RTO")
    b.resend()
    assert b.acknowledge(20).lowest_original == -1


def test_an_acknowledgement_that_does_not_know_the_repetition_proves_it_needless() -> None:
    b = Board()
    b.send(20)  # packets 0 and 1
    b.board.mark_all_lost("RTO")
    b.resend()  # packets 2 and 3
    assert b.acknowledge(10, seen=1).unharmed == [(0, 10)]
    assert b.acknowledge(20, seen=3).unharmed == []


def test_what_was_taken_for_lost_and_not_yet_sent_again_is_unharmed_if_acknowledged() -> None:
    b = Board()
    b.send(20)
    b.board.mark_all_lost("RTO")
    assert b.acknowledge(10).unharmed == [(0, 10)]


def test_a_delivery_names_its_largest_packet() -> None:
    b = Board()
    b.send(25)  # packets 0, 1 and, with 5 octets, 2
    assert b.acknowledge(25).largest == (MSS, 1)
    b.send(7)  # packet 3
    assert b.acknowledge(32).largest == (7, 3)


OPERATION = st.tuples(
    st.sampled_from(["send", "ack", "sack", "detect", "detect by time", "resend", "all lost", "tail"]),
    st.floats(0, 1),
    st.integers(1, 35),
)


@given(st.lists(OPERATION, max_size=40))
def test_the_counters_always_agree_with_a_recount(operations: list[tuple[str, float, int]]) -> None:
    b = Board()
    una, acked = 0, set[int]()
    for name, share, amount in operations:
        b.now += amount
        at = una + int(share * (b.snd_nxt - una))
        if name == "send":
            b.send(amount)
        elif name == "ack":
            new = set(range(una, at)) - acked
            assert b.acknowledge(at).octets == len(new)
            acked |= new
            una = at
        elif name == "sack" and at < b.snd_nxt:
            new = set(range(at, min(at + amount, b.snd_nxt))) - acked
            assert b.acknowledge_range(at, min(at + amount, b.snd_nxt)).octets == len(new)
            acked |= new
        elif name.startswith("detect") and b.next_packet:
            largest = int(share * (b.next_packet - 1))
            before = b.now - amount if name.endswith("time") else -1
            for start, end, rule in b.lost(largest, sent_before=before):
                gap = 1 if rule == "time" else 3
                assert all(b.carried[octet] <= largest - gap for octet in range(start, end))
        elif name == "resend" and b.board.lost:
            b.resend(most=amount)
        elif name == "all lost":
            b.board.mark_all_lost("RTO")
        elif name == "tail" and len(b.board):
            b.tail(amount)
        assert (b.board.in_flight, b.board.lost) == b.recount()
        outstanding = {o for chunk in b.board._chunks for o in range(chunk.start, chunk.end)}
        assert outstanding == set(range(una, b.snd_nxt)) - acked
