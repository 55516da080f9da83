"""What no other test would notice: each of these is red when one line of the transport is broken, and nothing else is.

The lines are in scripts/mutation/catalogue_*.py; `scripts/mutants` breaks them.
"""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, RST, SYN, Segment

MSS = 1440


def quiet() -> tuple[Pair, Connection, Connection]:
    """A connection that delays acknowledgements, and has none on its mind."""
    pair = Pair(plain(delayed_ack=True))
    client, server = pair.connect()
    pair.run(SECOND)
    return pair, client, server


def octets(client: Connection, seq: int, length: int, number: int) -> Segment:
    """Octets at `seq` of the client's stream, in a packet later than all by `number`."""
    return segment_of(client, ACK, seq=seq, payload=fill(length), packet_number=client.sender.packet_number + number)


def warm(config: Config, window: int) -> tuple[Pair, Connection, Connection]:
    """A connection that knows its round trip, and whose client may send `window` segments."""
    pair = Pair(config)
    client, server = pair.connect()
    pair.write(client, b"warm up")
    pair.run(SECOND)
    pair.read(server)
    client.sender.congestion.cwnd = window * MSS
    return pair, client, server


# -- opening -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beyond", [0, -1])
def test_an_acknowledgement_of_less_than_the_syn_opens_nothing(beyond: int) -> None:
    pair = Pair(plain())
    listener = pair.listen()
    (syn_ack,) = pair.answers("server", Segment(60, 80, SYN, 1000))
    ack = syn_ack.seq + beyond
    (reset,) = pair.answers("server", Segment(60, 80, ACK, 1001, ack=ack, packet_number=1))
    assert (reset.flags, reset.seq) == (RST, ack)
    assert (len(listener.queue), listener.half_open) == (0, 1)


def test_each_datagram_of_a_flight_has_the_cookie() -> None:
    """The first one to arrive, whichever it is, opens the connection."""
    pair = Pair(plain(cookies=True))
    pair.listen()
    pair.drop("client", *range(1, 4))
    client = pair.client.endpoint.connect("server", 80, pair.now)
    pair.run_until(lambda: client.established)
    pair.write(client, fill(5 * MSS))
    pair.flush()
    flight = [segment for segment in pair.client.segments() if segment.payload]
    assert len(flight) > 5
    assert all(segment.cookie for segment in flight)


def test_an_ephemeral_port_that_was_chosen_by_hand_is_passed_over() -> None:
    pair = Pair(plain())
    endpoint = pair.client.endpoint
    first = endpoint.connect("server", 80, 0).local_port
    following = endpoint.free_port("nobody", 1)
    endpoint._next_port -= 1
    taken = endpoint.connect("server", 80, 0, following)
    third = endpoint.connect("server", 80, 0)
    assert len({first, taken.local_port, third.local_port}) == 3


# -- receiving ---------------------------------------------------------------------------------------------------------


def test_a_repetition_with_new_octets_is_acknowledged_at_once_after_an_acknowledgement_too() -> None:
    """It is the first segment since then, and would wait if it were a common one."""
    pair, client, _ = quiet()
    pair.answers("server", octets(client, 0, 100, 0), octets(client, 100, 100, 1))
    base = client.sender.snd_nxt
    (ack,) = pair.answers("server", octets(client, 100, 200, 2))
    assert (ack.ack, ack.dsack) == (base + 300, (base + 100, base + 200))


def test_the_part_that_had_come_is_reported_where_it_lies_behind_new_octets() -> None:
    pair, client, _ = quiet()
    base = client.sender.snd_nxt
    pair.answers("server", octets(client, 200, 100, 0))
    (ack,) = pair.answers("server", octets(client, 100, 200, 1))
    assert (ack.sack, ack.dsack) == (((base + 100, base + 300),), (base + 200, base + 300))


# -- sending -----------------------------------------------------------------------------------------------------------


def test_a_small_segment_waits_for_a_small_end_of_a_burst_too() -> None:
    pair = Pair(plain(nagle=True))
    client, _ = pair.connect()
    pair.run(SECOND)
    first = pair.number("client")
    for data in (fill(MSS + 500), b"tiny"):
        pair.write(client, data)
        pair.flush()
    assert [len(segment.payload) for segment in pair.client.segments()[first:]] == [MSS, 500]


# -- repair ------------------------------------------------------------------------------------------------------------


def test_a_loss_found_later_in_the_same_window_reduces_it_no_more() -> None:
    """Not even if another acknowledgement tells of it."""
    pair, client, _ = warm(plain(idle_restart=False), 40)
    at = pair.number("client")
    pair.drop("client", at + 3, at + 23)
    pair.write(client, fill(20 * MSS))
    pair.run(5 * MS)
    pair.write(client, fill(20 * MSS))
    pair.run_until(lambda: client.drained)
    assert len({loss.time_ns for loss in pair.client.losses()}) == 2
    assert client.sender.recovery.episodes == 1
    assert client.sender.congestion.ssthresh == 20 * MSS


def test_a_probe_that_is_reported_as_a_repetition_was_needless() -> None:
    """The acknowledgement of the original is lost: that of the probe is the first to be heard."""
    pair, client, _ = warm(plain(tail_loss_probe=True), 20)
    pair.drop("server", pair.number("server"))
    pair.write(client, fill(2 * MSS))
    pair.run_until(lambda: client.drained)
    stats = client.stats(pair.now)
    assert (stats.tail_probes, stats.dsack_dups) == (1, 1)
    assert (stats.ssthresh, client.sender.recovery.episodes) == (None, 0)


def test_an_undone_episode_is_over_before_its_window_is_acknowledged() -> None:
    """The next loss is one of its own then."""
    pair, client, _ = warm(plain(idle_restart=False), 40)
    pair.delay("client", pair.number("client"), 12 * MS)
    for _ in range(2):
        pair.write(client, fill(20 * MSS))
        pair.run(18 * MS)
    assert client.stats(pair.now).undone == 1
    assert client.sender.snd_una < client.sender.snd_nxt == client.sender.recovery.point
    assert client.stats(pair.now).phase == "open"


@pytest.mark.parametrize("marked", [False, True])
def test_a_mark_within_an_episode_keeps_it_from_being_undone(marked: bool) -> None:
    """What was taken for lost was not, but the mark was true."""
    pair, client, _ = warm(plain(ecn=True, idle_restart=False), 40)
    at = pair.number("client")
    pair.delay("client", at, 12 * MS)
    if marked:
        pair.mark("client", at + 25)
    pair.write(client, fill(20 * MSS))
    pair.run(5 * MS)
    pair.write(client, fill(20 * MSS))
    pair.run(SECOND)
    assert client.sender.recovery.episodes == 1
    assert client.stats(pair.now).undone == (0 if marked else 1)


def test_acknowledgements_that_never_catch_up_put_off_the_user_timeout() -> None:
    """Something is outstanding all the time, and never the same."""
    pair, client, server = warm(plain(user_timeout=SECOND), 20)
    pair.client.cut = True
    pair.write(client, fill(2 * MSS))
    number = server.sender.packet_number
    for step in range(1, 6):
        pair.run(400 * MS)
        pair.write(client, fill(MSS))
        pair.flush()
        pair.answers("client", segment_of(server, ACK, ack=step * MSS, packet_number=number + step))
        assert client.sender.snd_una < client.sender.snd_nxt
    assert client.end is None


def test_a_pause_shorter_than_the_timeout_leaves_the_window() -> None:
    pair, client, _ = warm(plain(), 20)
    pair.write(client, b"short")
    pair.run(100 * MS)
    client.sender.congestion.cwnd = 20 * MSS
    assert client.stats(pair.now).rto > 100 * MS
    at = pair.number("client")
    pair.write(client, fill(20 * MSS))
    assert pair.number("client") - at == 20
