"""What becomes of segments that are not as they should be: the phases of RFC 9293 §3.10.7.4, with RFC 5961."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, plain, segment_of
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.transport.state import State
from rawproto.wire.rdt import datagram_crc

MSS = 1440


def ready(config: Config | None = None) -> tuple[Pair, Connection, Connection]:
    pair = Pair(config or plain())
    client, server = pair.connect()
    pair.run(SECOND)
    return pair, client, server


@pytest.mark.rdt("5.7-6", "5.7-7")
@pytest.mark.rfc("5961", "3.2-2")
@pytest.mark.parametrize("payload", [b"", b"why"])
@pytest.mark.rfc("9293", "SHLD-2")
def test_an_exact_reset_ends_the_connection(payload: bytes) -> None:
    pair, client, server = ready()
    assert pair.answers("server", segment_of(client, RST, payload=payload)) == []
    assert server.end is not None
    assert server.end.cause == "reset"


@pytest.mark.rdt("5.7-6")
@pytest.mark.rfc("5961", "3.2-3")
@pytest.mark.parametrize("seq", [1, 1000, 1 << 20])
def test_an_inexact_reset_is_challenged(seq: int) -> None:
    pair, client, server = ready()
    (challenge,) = pair.answers("server", segment_of(client, RST, seq=seq))
    assert (challenge.flags, challenge.ack) == (ACK, client.sender.snd_nxt)
    assert (server.end, server.stats(pair.now).challenges) == (None, 1)


@pytest.mark.rdt("5.7-6")
@pytest.mark.rfc("5961", "3.2-1")
@pytest.mark.parametrize("seq", [-1000, -1, 1 << 30])
def test_a_reset_outside_the_window_is_ignored(seq: int) -> None:
    pair, client, server = ready()
    assert pair.answers("server", segment_of(client, RST, seq=seq)) == []
    assert server.end is None


def test_a_true_reset_takes_one_more_round_trip_at_most() -> None:
    """A host that has forgotten the connection answers the challenge with exactly the number asked for."""
    pair, client, server = ready()
    (challenge,) = pair.answers("server", segment_of(client, RST, seq=7))
    pair.client.cut = True
    client.abort(pair.now)
    pair.flush()
    (reset,) = pair.answers("client", challenge)
    pair.answers("server", reset)
    assert server.end is not None
    assert server.end.cause == "reset"


@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("seq", [-1, 0, 1000, 1 << 30])
@pytest.mark.parametrize("flags", [SYN, SYN | ACK])
def test_a_syn_on_an_open_connection_is_only_acknowledged(flags: int, seq: int) -> None:
    pair, client, server = ready()
    (answer,) = pair.answers("server", segment_of(client, flags, seq=seq))
    assert (answer.flags, answer.ack) == (ACK, client.sender.snd_nxt)
    assert server.state is State.ESTABLISHED


@pytest.mark.rfc("5961", "5.2-1", "5.2-2")
@pytest.mark.parametrize("ack", [1, 1000, 1 << 40, -(1 << 30)])
def test_data_with_an_acknowledgement_that_cannot_be_is_challenged(ack: int) -> None:
    pair, client, server = ready()
    (challenge,) = pair.answers("server", segment_of(client, ACK, ack=ack, payload=b"injected"))
    assert challenge.ack == client.sender.snd_nxt
    assert server.receiver.ready == 0


@pytest.mark.rfc("5961", "5.2-1")
def test_an_old_acknowledgement_within_the_largest_window_is_taken() -> None:
    pair, client, server = ready()
    pair.write(server, bytes(50_000))
    pair.run(SECOND)
    pair.read(client)
    old = segment_of(client, ACK, ack=-server.sender.window.largest, payload=b"taken")
    pair.answers("server", old)
    assert pair.read(server) == b"taken"


@pytest.mark.rdt("6.3-1")
@pytest.mark.rfc("9293", "3.10.7.4-4")
def test_data_without_an_acknowledgement_is_discarded() -> None:
    pair, client, server = ready()
    assert pair.answers("server", segment_of(client, 0, payload=b"injected")) == []
    assert server.receiver.ready == 0


@pytest.mark.rdt("3.2-9")
def test_without_the_flag_acknowledgement_and_window_mean_nothing() -> None:
    pair, client, server = ready()
    pair.write(server, bytes(100))
    pair.take("server")
    edge = server.sender.window.edge
    pair.answers("server", segment_of(client, 0, ack=100, wnd=1 << 30))
    assert (server.sender.snd_una, server.sender.window.edge) == (server.sender.snd_nxt - 100, edge)


@pytest.mark.rdt("6.3-4")
@pytest.mark.rfc("5961", "7", "7-2")
def test_challenges_are_limited_for_each_connection() -> None:
    pair, client, server = ready()
    other, _ = pair.connect()
    inexact = segment_of(client, RST, seq=1000)
    assert sum(len(pair.answers("server", inexact)) for _ in range(50)) == 10
    stats = server.stats(pair.now)
    assert (stats.challenges, stats.challenges_suppressed) == (10, 40)
    assert len(pair.answers("server", segment_of(other, RST, seq=1000))) == 1
    pair.now += 5 * SECOND
    assert len(pair.answers("server", inexact)) == 1


@pytest.mark.rdt("6.3-4")
def test_two_ends_that_disagree_do_not_answer_each_other_for_ever() -> None:
    """Data that a third party puts in makes the server acknowledge what the client never sent."""
    pair, client, _ = ready()
    for answer in pair.answers("server", segment_of(client, ACK, payload=b"injected")):
        pair._send(pair.server, client.codec.encode(answer, MSS)[0])
    pair.run(SECOND)
    assert len(pair.client.sent) + len(pair.server.sent) < 50


@pytest.mark.rfc("9293", "3.5.2-3")
@pytest.mark.parametrize("seq", [-1000, 1 << 30])
def test_a_segment_outside_the_window_is_acknowledged(seq: int) -> None:
    pair, client, server = ready()
    (answer,) = pair.answers("server", segment_of(client, ACK, seq=seq, payload=b"x"))
    assert (answer.flags, answer.seq, answer.ack) == (ACK, server.sender.snd_nxt, client.sender.snd_nxt)


@pytest.mark.rfc("9293", "3.10.7.4-1")
def test_of_a_segment_that_begins_before_the_window_the_rest_is_taken() -> None:
    pair, client, server = ready()
    pair.write(client, b"hello")
    pair.run(SECOND)
    pair.answers("server", segment_of(client, ACK, seq=-5, payload=b"hello world"))
    assert pair.read(server) == b"hello world"


@pytest.mark.rfc("9293", "3.10.7.4-2")
@pytest.mark.rdt("6.3-1")
def test_a_fin_ahead_of_a_gap_counts_once_the_gap_is_filled() -> None:
    pair, client, server = ready()
    (early,) = pair.answers("server", segment_of(client, ACK | FIN, seq=5))
    assert (early.ack, server.state) == (client.sender.snd_nxt, State.ESTABLISHED)
    (full,) = pair.answers("server", segment_of(client, ACK, payload=b"hello", packet_number=20))
    assert (full.ack, server.state) == (client.sender.snd_nxt + 6, State.CLOSE_WAIT)
    assert pair.server.outcomes()[-2].startswith("FIN ahead of a gap")


@pytest.mark.rdt("6.3-3", "6.3-5")
@pytest.mark.parametrize(("seq", "counts"), [(0, True), (-1, True), (1 << 30, False), (-(1 << 40), False)])
def test_a_packet_number_counts_only_near_the_window(seq: int, counts: bool) -> None:
    pair, client, server = ready()
    before = server.largest_received
    pair.answers("server", segment_of(client, ACK, seq=seq, packet_number=1 << 40))
    assert server.largest_received == (1 << 40 if counts else before)


@pytest.mark.rdt("7.1-1")
@pytest.mark.rfc("9293", "3.8.1")
def test_octets_that_came_before_are_not_taken_again() -> None:
    pair, client, server = ready()
    pair.answers("server", segment_of(client, ACK, payload=b"once"))
    pair.answers("server", segment_of(client, ACK, payload=b"ONCE", packet_number=20))
    assert pair.read(server) == b"once"
    assert server.stats(pair.now).rcv_dup == 4


def test_a_state_that_has_taken_the_fin_discards_more_data() -> None:
    pair, client, server = ready()
    pair.answers("server", segment_of(client, ACK | FIN, payload=b"all"))
    pair.answers("server", segment_of(client, ACK, seq=4, payload=b"more", packet_number=20))
    assert pair.read(server) == b"all"
    assert pair.server.outcomes()[-1].startswith(("discarded: data after", "outside", "duplicate"))


@pytest.mark.rfc("9293", "3.5.2-3")
def test_a_segment_for_another_port_is_none_of_the_connection() -> None:
    pair, client, server = ready()
    stray = Segment(client.local_port + 1, 80, ACK, client.sender.snd_nxt, ack=1, payload=b"x")
    pair.answers("server", stray)
    assert server.receiver.ready == 0


@pytest.mark.rdt("6.3-5")
@pytest.mark.parametrize(("seq", "heeded"), [(0, True), (-1, True), (1 << 30, False)])
def test_marks_and_probes_count_only_near_the_window(seq: int, heeded: bool) -> None:
    pair, client, server = ready(plain(ecn=True))
    segment = segment_of(client, ACK, seq=seq, probe=100)
    datagrams = client.codec.encode(segment, MSS)
    pair.server.endpoint.receive("client", datagrams, pair.now, marked=True)
    (answer,) = pair.take("server")
    assert (server.stats(pair.now).ecn_marks == 1) is heeded
    assert answer.probed == (100 if heeded else 0)


@pytest.mark.rfc("9293", "MUST-2", "MUST-3")
@pytest.mark.parametrize("at", range(0, 60, 5))
def test_a_damaged_datagram_reaches_no_connection(at: int) -> None:
    pair, client, server = ready()
    (datagram,) = client.codec.encode(segment_of(client, ACK, payload=b"twenty bytes of data"), MSS)
    damaged = bytearray(datagram)
    damaged[at] ^= 0x10
    pair.server.endpoint.receive("client", [bytes(damaged)], pair.now)
    assert (server.receiver.ready, pair.server.endpoint.discarded.total()) == (0, 1)
    assert pair.take("server") == []


def with_options(datagram: bytes, options: bytes) -> bytes:
    """A datagram without options, with these put in."""
    header = bytearray(datagram[:36])
    header[1] += len(options) // 4
    crc = datagram_crc(bytes(header) + bytes(4), options + datagram[40:])
    return bytes(header) + crc.to_bytes(4, "big") + options + datagram[40:]


@pytest.mark.rfc("9293", "MUST-5", "MUST-6", "MUST-68", "MUST-64")
@pytest.mark.rdt("3.5-3")
def test_an_option_that_is_not_known_is_skipped_by_its_length_wherever_it_begins() -> None:
    pair, client, server = ready()
    (datagram,) = client.codec.encode(segment_of(client, ACK, payload=b"data"), MSS)
    pair.server.endpoint.receive("client", [with_options(datagram, b"\0\x7f\x05abc\0\0")], pair.now)
    assert pair.read(server) == b"data"


@pytest.mark.rfc("9293", "MUST-7")
@pytest.mark.rdt("3.5-2", "3.5-4")
@pytest.mark.parametrize("options", [b"\x7f\0\0\0", b"\x7f\x01\0\0", b"\x7f\x09ab", b"\0\0\0\x7f", b"\xff\x04ab"])
def test_an_illegal_option_stops_the_datagram_and_not_the_receiver(options: bytes) -> None:
    pair, client, server = ready()
    (datagram,) = client.codec.encode(segment_of(client, ACK, payload=b"data"), MSS)
    pair.server.endpoint.receive("client", [with_options(datagram, options), datagram], pair.now)
    assert pair.read(server) == b"data"
    assert pair.server.endpoint.discarded.total() == 1


@pytest.mark.rdt("3.4-1", "3.4-2")
def test_flags_that_mean_nothing_yet_are_neither_sent_nor_heeded() -> None:
    pair, client, server = ready()
    pair.answers("server", segment_of(client, ACK | 0x0020 | 0xFC00, payload=b"data"))
    assert pair.read(server) == b"data"
    assert all(not s.flags & (0x0020 | 0xFC00) for s in (*pair.client.segments(), *pair.server.segments()))


@pytest.mark.rdt("3.5-1")
@pytest.mark.rfc("9293", "MUST-69")
def test_options_are_filled_with_zeros_up_to_a_whole_word() -> None:
    pair, client, _ = ready()
    (answer,) = pair.answers("server", segment_of(client, ACK, seq=10, payload=b"early"))
    (datagram,) = client.codec.encode(answer, MSS)
    assert (len(datagram), datagram[1] * 4) == (64, 64)  # 40, SEEN 12, SACK 10, and 2 more
    assert datagram[62:] == b"\0\0"
