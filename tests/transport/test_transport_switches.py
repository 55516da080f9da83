"""Each switch of Config that a guarantee rests on, off: the mechanism is really gone, and this is what it was good for.

A test is called after its switch. Where both ends differ, the mechanism is shown to be gone at one end alone.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.transport.state import State

MSS = 1440
DELAY = 10 * MS
BOTH = pytest.mark.parametrize("on", [True, False])


def connected(**changes: object) -> tuple[Pair, Connection, Connection]:
    pair = Pair(plain(**changes))
    return pair, *pair.connect()


def warm(**changes: object) -> tuple[Pair, Connection, Connection]:
    """A connection that knows its round trip, whose client may send 20 segments at once."""
    pair, client, server = connected(**{"idle_restart": False, **changes})
    pair.write(client, b"warm up")
    pair.run(SECOND)
    pair.read(server)
    client.sender.congestion.cwnd = 20 * MSS
    return pair, client, server


def test_each_switch_has_a_test() -> None:
    here = Path(__file__)
    text = here.read_text() + here.with_name("test_transport_switches_speed.py").read_text()
    switches = [field.name for field in fields(Config) if type(field.default) is bool]
    assert [name for name in switches if f"\ndef test_{name}_off_" not in text] == []


# -- what a guarantee rests on -----------------------------------------------------------------------------------------


@pytest.mark.rdt("3.3-4")
@pytest.mark.rfc("1071", "1")
@pytest.mark.parametrize(
    ("checksum", "flip", "swap"), [("crc32", b"", b""), ("internet", b"", None), ("none", None, None)]
)
def test_checksum_decides_which_damage_is_found(checksum: str, flip: bytes | None, swap: bytes | None) -> None:
    """A flipped bit, and two words that change places. None: the damage reaches the application."""
    for change, expected in (
        (lambda d: d[:-1] + bytes([d[-1] ^ 1]), flip),
        (lambda d: d[:-4] + d[-2:] + d[-4:-2], swap),
    ):
        pair = Pair(plain(checksum=checksum, retransmission=False))
        client, server = pair.connect()
        pair.write(client, b"abcdefgh")
        ((_, (datagram,), _),) = pair.client.endpoint.poll_transmit(pair.now)
        damaged = change(datagram)
        pair.server.endpoint.receive("client", [damaged], pair.now)
        assert pair.read(server) == (damaged[-8:] if expected is None else expected)


def test_checksum_must_be_the_same_at_both_ends() -> None:
    pair = Pair(plain(checksum="internet", connect_timeout=2 * SECOND), server_config=plain())
    pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run()
    assert client.end is not None
    assert pair.server.endpoint.discarded["checksum"] == 2


@BOTH
def test_handshake_off_takes_the_listener_at_its_word(on: bool) -> None:
    """Two ways instead of three: a SYN alone makes an established connection, forged or not."""
    pair = Pair(Config(handshake=on))
    listener = pair.listen()
    (answer,) = pair.answers("server", Segment(60, 80, SYN, 1000, mss=MSS))
    assert answer.flags == SYN | ACK
    assert (len(listener.queue), len(pair.server.endpoint.connections)) == ((0, 0) if on else (1, 1))
    if not on:
        assert listener.queue[0].state is State.ESTABLISHED


def test_handshake_off_still_carries_data() -> None:
    pair = Pair(Config(handshake=False))
    client, server = pair.connect()
    pair.write(client, fill(50_000))
    pair.write(server, fill(5000))
    pair.run(5 * SECOND)
    assert (pair.read(server), pair.read(client)) == (fill(50_000), fill(5000))


@BOTH
def test_keyed_isn_off_begins_every_stream_at_nought(on: bool) -> None:
    pair = Pair(plain(keyed_isn=on))
    isns = [connection.sender.iss for _ in range(3) for connection in pair.connect()]
    assert (len(set(isns)), isns == [0] * 6) == ((6, False) if on else (1, True))
    client, server = pair.connect()
    pair.write(client, b"works")
    pair.run(SECOND)
    assert pair.read(server) == b"works"


@BOTH
def test_cookies_off_keeps_a_half_open_connection_for_each_syn(on: bool) -> None:
    pair = Pair(Config(cookies=on))
    listener = pair.listen(backlog=5)
    answers = [answer for port in range(1, 11) for answer in pair.answers("server", Segment(port, 80, SYN, 1, mss=MSS))]
    assert all(bool(answer.cookie) is on for answer in answers)
    assert (len(answers), listener.half_open, len(pair.server.endpoint.connections)) == (
        (10, 0, 0) if on else (5, 5, 5)
    )


@BOTH
def test_sequencing_off_gives_octets_as_they_come(on: bool) -> None:
    pair, client, server = connected(sequencing=on)
    pair.answers("server", segment_of(client, ACK, seq=3, payload=b"def"))
    assert pair.read(server) == (b"" if on else b"def")
    pair.answers("server", segment_of(client, ACK, payload=b"abc", packet_number=20))
    assert pair.read(server) == (b"abcdef" if on else b"abc")
    pair.answers("server", segment_of(client, ACK, seq=6, payload=b"ghi", packet_number=21))
    assert pair.read(server) == b"ghi"


@BOTH
def test_duplicate_suppression_off_gives_octets_as_often_as_they_come(on: bool) -> None:
    pair, client, server = connected(duplicate_suppression=on)
    pair.duplicate("client", pair.number("client"))
    pair.write(client, b"twice ")
    pair.run(SECOND)
    assert pair.read(server) == (b"twice " if on else b"twice twice ")


@BOTH
def test_acknowledgement_off_says_nothing_of_what_came(on: bool) -> None:
    pair = Pair(plain(), server_config=plain(acknowledgement=on))
    client, _ = pair.connect()
    before = pair.number("server")
    pair.write(client, b"heard?")
    pair.run(SECOND)
    assert client.drained is on
    assert (len(pair.server.sent) - before > 0) is on


def test_acknowledgement_off_takes_its_own_word_and_sends_nothing_twice() -> None:
    pair = Pair(plain(acknowledgement=False))
    client, server = pair.connect()
    pair.drop("client", pair.number("client"))
    pair.write(client, fill(20 * MSS))
    pair.flush()
    assert client.drained
    assert client.next_timeout() is None
    client.shutdown(pair.now)
    pair.run(10 * SECOND)
    assert client.stats(pair.now).retrans == 0
    assert pair.read(server) != fill(20 * MSS)


@BOTH
def test_retransmission_off_leaves_a_hole(on: bool) -> None:
    pair, client, server = connected(retransmission=on)
    pair.drop("client", pair.number("client") + 2)
    pair.write(client, fill(10 * MSS))
    pair.run(50 * SECOND)
    assert pair.read(server) == fill(10 * MSS)[: None if on else 2 * MSS]
    assert client.stats(pair.now).retrans == (1 if on else 0)
    assert (client.next_timeout() is None) is on  # the user timeout still runs


def test_retransmission_off_repeats_no_syn() -> None:
    pair = Pair(plain(retransmission=False))
    pair.listen()
    pair.drop("client", 0)
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run()
    assert len(pair.client.sent) == 1
    assert client.end is not None
    assert client.end.cause == "timeout"


@BOTH
@pytest.mark.rfc("6298", "5.5")
def test_backoff_off_repeats_at_even_times(on: bool) -> None:
    pair, client, _ = warm(backoff=on)
    pair.client.cut = True
    start = pair.now
    pair.write(client, b"x")
    pair.run(1500 * MS)
    expiries = [(at - start) // MS for timer, at in pair.client.timers() if timer == "rto"]
    assert expiries == ([200, 600, 1400] if on else [200, 400, 600, 800, 1000, 1200, 1400])


@BOTH
def test_flow_control_off_sends_more_than_there_is_room_for(on: bool) -> None:
    pair = Pair(plain(flow_control=on), server_config=plain(receive_buffer=5000))
    client, server = pair.connect()
    pair.write(client, fill(10_000))
    pair.run(100 * MS)
    assert (server.stats(pair.now).rcv_refused == 0) is on
    assert (client.sender.snd_nxt > server.receiver.rcv_adv) is not on


@BOTH
def test_persist_off_waits_for_ever_for_a_lost_update(on: bool) -> None:
    pair = Pair(plain(persist=on), server_config=plain(receive_buffer=5 * MSS))
    client, server = pair.connect()
    pair.write(client, fill(10 * MSS))
    pair.run(100 * MS)
    pair.drop("server", pair.number("server"))
    pair.read(server)
    pair.run(1000 * SECOND)
    assert (pair.read(server) == b"") is not on
    assert (client.stats(pair.now).window_probes > 0) is on


@BOTH
@pytest.mark.rfc("5961", "3.2-3", "4.2")
def test_challenge_ack_off_obeys_what_may_be_forged(on: bool) -> None:
    for flags in (RST, SYN):
        pair, client, server = connected(challenge_ack=on)
        pair.answers("server", segment_of(client, flags, seq=1000))
        assert (server.end is None) is on


@BOTH
@pytest.mark.rfc("5961", "5.2-1")
def test_challenge_ack_off_takes_data_with_any_old_acknowledgement(on: bool) -> None:
    pair, client, server = connected(challenge_ack=on)
    pair.answers("server", segment_of(client, ACK, ack=-(1 << 30), payload=b"injected"))
    assert pair.read(server) == (b"" if on else b"injected")


@BOTH
@pytest.mark.rfc("9293", "MUST-13")
def test_time_wait_off_forgets_at_once(on: bool) -> None:
    pair, client, server = connected(time_wait=on)
    client.close(pair.now)
    pair.run(SECOND)
    server.close(pair.now)
    pair.run(SECOND)
    assert server.end is not None
    assert (server.end.cause, client.state) == ("closed", State.TIME_WAIT if on else State.CLOSED)
    again = segment_of(server, FIN | ACK, seq=-1, packet_number=30)
    (answer,) = pair.answers("client", again)
    assert answer.flags == (ACK if on else RST)  # the last acknowledgement, if it was lost
