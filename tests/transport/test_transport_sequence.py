"""Sequence numbers of few bits: they wrap, and nothing else changes as long as the window is half the space or less."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import ConfigError
from rawproto.testing.pair import PORT, Pair, fill, plain, segment_of
from rawproto.transport.codec import RdtCodec
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.isn import InitialSequence
from rawproto.transport.segment import ACK, PSH, RST, SYN, Segment
from rawproto.transport.sequence import SequenceSpace
from rawproto.transport.state import State

PATIENT = {"user_timeout": 10_000 * SECOND, "connect_timeout": 10_000 * SECOND, "max_rto": SECOND}
"""However much is lost, nobody gives up, and the next attempt is soon."""
VARIANTS: dict[str, Config] = {
    "plain": plain(),
    "cookies": plain(cookies=True),
    "two ways": plain(handshake=False),
    "isn of 0": plain(keyed_isn=False),
    "no congestion control": plain(congestion_control="none"),
    "no selective acknowledgement": plain(sack=False),
    "all mechanisms but Nagle's": Config(nagle=False),
    "nor congestion control": Config(nagle=False, congestion_control="none"),
}


def narrow(bits: int, window: int, config: Config | None = None, **changes: Any) -> Config:
    """`config` with numbers of `bits` bits and windows of `window` octets at both ends."""
    settings: dict[str, Any] = {name: getattr(config or plain(), name) for name in Config.__dataclass_fields__}
    settings |= {"sequence_bits": bits, "receive_buffer": window, "send_buffer": window}
    return Config(**(settings | changes))


def exchange(
    pair: Pair, ends: tuple[Connection, Connection], streams: tuple[bytes, bytes], size: int = 1
) -> list[bytes]:
    """Let both ends send their stream in writes of `size` and close; give what each of them got."""
    sent = [0, 0]
    got = [bytearray(), bytearray()]
    while not all(end.receiver.at_end and end.drained for end in ends):
        for index, (end, data) in enumerate(zip(ends, streams, strict=True)):
            while sent[index] < len(data) and (taken := end.send(data[sent[index] :][:size], pair.now)):
                sent[index] += taken
                pair.flush()  # so that each write is a segment
            if sent[index] == len(data):
                end.shutdown(pair.now)
            got[index] += pair.read(end)
        assert pair.step(), "nothing is left to happen"
    return [bytes(data + pair.read(end)) for data, end in zip(got, ends, strict=True)]


def write_octets(pair: Pair, connection: Connection, data: bytes) -> None:
    """Send `data`, a segment for each octet."""
    for octet in data:
        pair.write(connection, bytes((octet,)))
        pair.flush()


def isns(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Let connections begin at these numbers, in their order."""
    following = iter(numbers)
    monkeypatch.setattr(InitialSequence, "choose", lambda *_: next(following))


# -- which number is meant -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "number", "reference", "meant"),
    [
        (4, 0, 0, 0),
        (4, 7, 0, 7),
        (4, 8, 0, -8),
        (4, 15, 0, -1),
        (4, 0, 8, 0),
        (4, 0, 9, 16),
        (4, 3, 1000, 995),
        (32, 5, (1 << 32) - 5, (1 << 32) + 5),
        (63, (1 << 63) - 1, 1 << 63, (1 << 63) - 1),
        (64, (1 << 64) - 1, 0, (1 << 64) - 1),
    ],
)
def test_the_nearest_number_is_meant_and_of_two_the_lower(bits: int, number: int, reference: int, meant: int) -> None:
    assert SequenceSpace(bits).unwrap(number, reference) == meant


@given(st.integers(4, 63), st.integers(0, 1 << 70), st.data())
def test_a_number_comes_back_if_it_is_less_than_half_the_space_away(
    bits: int, reference: int, data: st.DataObject
) -> None:
    half = 1 << bits - 1
    number = reference + data.draw(st.integers(-half, half - 1))
    space = SequenceSpace(bits)
    assert 0 <= space.wrap(number) < 2 * half
    assert space.unwrap(space.wrap(number), reference) == number


@pytest.mark.parametrize("bits", [3, 65])
def test_a_space_is_neither_too_small_nor_larger_than_its_field(bits: int) -> None:
    with pytest.raises(ConfigError, match=f"sequence_bits is {bits}; it must be from 4 to 64"):
        Config(sequence_bits=bits)


def test_a_window_of_more_than_half_the_space_is_not_refused() -> None:
    assert Config(sequence_bits=4, receive_buffer=9).receive_buffer == 9


# -- on the wire -------------------------------------------------------------------------------------------------------


def decode(codec: RdtCodec, datagrams: list[bytes]) -> tuple[list[Segment], Counter[str]]:
    reasons: Counter[str] = Counter()

    def discard(reason: str, length: int) -> None:
        reasons[reason] += 1

    return codec.decode(datagrams, discard), reasons


@pytest.mark.rdt("3.2-11")
def test_what_is_sent_is_wrapped_but_for_ranges_and_packet_numbers() -> None:
    segment = Segment(1, 2, ACK, 1000, ack=2005, wnd=7, packet_number=1 << 40)
    segment.seen = (1 << 41, 0)
    segment.sack = ((2007, 2009),)
    segment.dsack = (1999, 2002)
    (datagram,) = RdtCodec("crc32", 4).encode(segment, 1440)
    (raw,), _ = decode(RdtCodec(), [datagram])
    assert (raw.seq, raw.ack, raw.wnd) == (1000 % 16, 2005 % 16, 7)
    assert raw.packet_number == 1 << 40
    assert raw.seen == (1 << 41, 0)
    assert raw.sack == ((raw.ack + 2, raw.ack + 4),)
    assert raw.dsack == (1999 % 16, 1999 % 16 + 3)


@pytest.mark.rdt("3.2-11")
@pytest.mark.parametrize("start", [0, 100, 200, 255])
def test_a_segment_that_wraps_is_cut_and_joined_as_any_other(start: int) -> None:
    codec = RdtCodec("crc32", 8)
    segment = Segment(1, 2, ACK | PSH, start, payload=fill(700), packet_number=5)
    segment.count = codec.count(segment, 64)
    datagrams = codec.encode(segment, 64)
    assert [decode(RdtCodec(), [datagram])[0][0].seq for datagram in datagrams] == [
        (start + offset) % 256 for offset in range(0, 700, 64)
    ]
    assert decode(codec, datagrams) == ([segment], Counter())


def test_datagrams_that_are_not_contiguous_are_not_joined_across_the_wrap() -> None:
    codec = RdtCodec("crc32", 4)
    first = Segment(1, 2, ACK, 14, payload=b"ab", packet_number=5)
    for seq, segments in ((0, 1), (1, 2), (15, 2)):
        second = Segment(1, 2, ACK, seq, payload=b"cd", packet_number=6)
        datagrams = codec.encode(first, 1440) + codec.encode(second, 1440)
        assert len(decode(codec, datagrams)[0]) == segments


@pytest.mark.rdt("3.2-11")
def test_a_number_of_more_bits_was_sent_by_somebody_who_has_another_space() -> None:
    datagrams = [RdtCodec().encode(Segment(1, 2, ACK, seq), 1440)[0] for seq in (15, 16)]
    segments, reasons = decode(RdtCodec("crc32", 4), datagrams)
    assert [segment.seq for segment in segments] == [15]
    assert reasons == {"sequence": 1}


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.rdt("3.2-11")
@pytest.mark.parametrize("bits", [4, 5, 8, 16])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("lossy", [False, True], ids=["clean", "lossy"])
def test_streams_in_both_directions_that_wrap_three_times_arrive(bits: int, variant: str, lossy: bool) -> None:
    size, window = 1 << bits, 1 << bits - 1
    pair = Pair(narrow(bits, window, VARIANTS[variant], **PATIENT), seed=bits)
    if lossy:
        pair.drop("client", *range(3, 2000, 7), *range(10, 2000, 11))
        pair.drop("server", *range(2, 2000, 5), *range(20, 30))
        pair.duplicate("client", *range(0, 2000, 9))
        pair.duplicate("server", *range(0, 2000, 8))
    streams = fill(3 * size + 5), fill(3 * size + 7)[::-1]
    ends = pair.connect()
    began = pair.now
    got = exchange(pair, ends, streams, size=1 if bits < 16 else 1000)
    assert got == [streams[1], streams[0]]
    for side in (pair.client, pair.server):
        assert max(segment.seq for segment in side.segments()) < size
        assert not side.endpoint.discarded
    rounds = (3 * size + 7) / window + 4
    if not lossy:
        assert pair.now - began <= rounds * 2 * pair.delay_ns, "a window a round trip"


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("cookies", [False, True])
def test_a_connection_may_begin_anywhere(seed: int, cookies: bool) -> None:
    pair = Pair(narrow(4, 8, cookies=cookies), seed=seed)
    ends = pair.connect()
    client, server = ends
    assert client.receiver.irs == server.sender.iss in range(16)
    assert server.receiver.irs == client.sender.iss in range(16)
    assert exchange(pair, ends, (b"there it goes", b"here it comes")) == [b"here it comes", b"there it goes"]


@pytest.mark.parametrize("iss", [14, 15, 0])
@pytest.mark.parametrize("cookies", [False, True])
def test_a_handshake_wraps(iss: int, cookies: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    isns(monkeypatch, iss, iss + 16, iss)
    pair = Pair(narrow(4, 8, cookies=cookies))
    ends = pair.connect()
    assert pair.client.sent[0][23] == iss
    assert exchange(pair, ends, (b"ping", b"pong")) == [b"pong", b"ping"]
    assert not pair.client.timers()


@given(
    window=st.integers(1, 8),
    seed=st.integers(0, 1 << 16),
    variant=st.sampled_from(sorted(VARIANTS)),
    size=st.integers(1, 4),
    lost=st.tuples(st.lists(st.booleans(), max_size=60), st.lists(st.booleans(), max_size=60)),
    doubled=st.tuples(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60))),
)
def test_with_half_the_space_a_stream_arrives_whatever_is_lost(
    window: int, seed: int, variant: str, size: int, lost: tuple[list[bool], ...], doubled: tuple[set[int], ...]
) -> None:
    pair = Pair(narrow(4, window, VARIANTS[variant], **PATIENT), seed=seed)
    for side, dropped, twice in zip(("client", "server"), lost, doubled, strict=True):
        pair.drop(side, *(number for number, gone in enumerate(dropped) if gone))
        pair.duplicate(side, *twice)
    streams = fill(53), fill(50)[::-1]
    assert exchange(pair, pair.connect(), streams, size) == [streams[1], streams[0]]


@pytest.mark.parametrize("bits", [4, 5, 8])
@pytest.mark.parametrize("more", [0, 1])
def test_the_largest_window_is_half_the_space(bits: int, more: int) -> None:
    """The window arrives, all acknowledgements are lost, and its first octet comes once more."""
    size = 1 << bits
    window = size // 2 + more
    data = fill(size + 2)
    pair = Pair(narrow(bits, window))
    client, server = pair.connect()
    pair.run(for_ns=SECOND)
    pair.server.cut = True
    write_octets(pair, client, data[:window])
    repeated = pair.number("client")
    pair.drop("client", *range(repeated + 1, repeated + window))  # the timeout repeats all; only the first one arrives
    pair.run_until(lambda: client.sender.timeouts > 0)
    got = bytearray(pair.read(server))
    pair.flush()
    assert got == data[:window]
    pair.server.cut = False
    pair.run(for_ns=2 * pair.delay_ns)
    assert pair.client.segments()[repeated].payload == data[:1]
    assert client.sender.snd_una == client.sender.snd_nxt, "what arrived is known now"
    for start in range(window, len(data), window):
        pair.write(client, data[start : start + window])
        pair.run(for_ns=SECOND)
        got += pair.read(server)
    wrong = {place: octet for place, octet in enumerate(got) if octet != data[place]}
    assert len(got) == len(data)
    assert wrong == ({size: data[0]} if more else {})


def test_a_window_and_a_fin_are_no_octet_too_many() -> None:
    pair = Pair(narrow(4, 8))
    client, server = pair.connect()
    pair.run(for_ns=SECOND)
    pair.server.cut = True
    write_octets(pair, client, fill(8))
    client.shutdown(pair.now)
    pair.run_until(lambda: server.receiver.at_end)
    assert pair.read(server) == fill(8)
    pair.flush()
    pair.client.accepts = lambda data: data[40:] == fill(1)  # nothing but the first octet arrives, time and again
    pair.run(for_ns=SECOND)
    assert client.sender.timeouts > 1, "the answer to the first one opens the window, in which there is nothing to come"
    pair.server.cut = False
    pair.run(for_ns=10 * SECOND)
    assert client.state is State.FIN_WAIT_2


def test_both_ends_may_have_lost_a_window_and_a_fin() -> None:
    pair = Pair(narrow(4, 8))
    ends = pair.connect()
    pair.run(for_ns=SECOND)
    pair.client.cut = pair.server.cut = True
    for end in ends:
        pair.write(end, fill(8))
        end.shutdown(pair.now)
    pair.flush()
    pair.client.cut = pair.server.cut = False
    assert exchange(pair, ends, (b"", b"")) == [fill(8), fill(8)]
    assert pair.now < 10 * SECOND


# -- what else is said with sequence numbers ---------------------------------------------------------------------------


def begin_before_the_wrap(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> tuple[Pair, Connection, Connection]:
    """A connection on which the first octet of each side has the number 14 of 16."""
    isns(monkeypatch, 13, 13, 13)
    pair = Pair(narrow(4, 8, **changes))
    client, server = pair.connect()
    pair.run(for_ns=SECOND)
    assert client.sender.snd_nxt == 14
    return pair, client, server


def test_what_was_reported_selectively_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, client, server = begin_before_the_wrap(monkeypatch)
    for _ in range(3):  # from 14, 6 and 14 on
        pair.drop("client", pair.number("client") + 1)
        write_octets(pair, client, fill(8))
        pair.run(for_ns=SECOND)
        assert pair.read(server) == fill(8)
        pair.run(for_ns=SECOND)
    assert {(15 + 1, 15 + 7), (7 + 1, 7 + 7)} <= {runs for segment in pair.server.segments() for runs in segment.sack}
    assert client.sender.octets_retransmitted == 3
    assert not client.sender.timeouts


def test_what_came_twice_is_reported_and_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, client, server = begin_before_the_wrap(monkeypatch)
    for _ in range(3):
        pair.duplicate("client", pair.number("client"))
        pair.write(client, b"x")
        pair.run(for_ns=SECOND)
    reported = [segment.dsack for segment in pair.server.segments() if segment.dsack]
    assert reported == [(14, 15), (15, 16), (0, 1)]
    assert pair.read(server) == b"xxx"
    assert client.sender.duplicates_reported == 3


def test_a_closed_window_is_probed_across_the_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, client, server = begin_before_the_wrap(monkeypatch, send_buffer=20)
    pair.write(client, fill(20))
    pair.run(for_ns=10 * SECOND)
    assert "window probe" in pair.client.reasons()
    assert {segment.seq for segment in pair.client.segments()} >= {14, 5}, "a window from 14 on, and what is before 6"
    got = pair.read(server)
    pair.run(for_ns=SECOND)
    got += pair.read(server)
    pair.run(for_ns=SECOND)
    assert got + pair.read(server) == fill(20)


def test_a_keep_alive_probe_from_before_the_wrap_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, client, server = begin_before_the_wrap(monkeypatch, keep_alive=True, keep_alive_idle=60 * SECOND)
    for data in (b"ab", b"c"):  # the next octets are 0 and 1, those before them 15 and 0
        pair.write(client, data)
        pair.run(for_ns=100 * SECOND)
        assert pair.read(server) == data
    pair.run(for_ns=1000 * SECOND)
    assert pair.client.reasons().count("keep-alive probe") > 5
    assert client.established
    assert server.established


def test_records_keep_their_ends_across_the_wrap() -> None:
    pair = Pair(narrow(4, 8, VARIANTS["all mechanisms but Nagle's"], **PATIENT))
    pair.drop("client", *range(4, 100, 5))
    listener = pair.server.endpoint.listen(PORT, 1, records=True)
    client = pair.client.endpoint.connect("server", PORT, 0, records=True)
    pair.run_until(lambda: client.established and bool(listener.queue))
    server = listener.queue.popleft()
    records = [fill(50)[start : start + start % 8 + 1] for start in range(30)]
    waiting = list(records)
    got: list[bytes] = []
    while len(got) < len(records):
        if waiting and client.send(waiting[0], pair.now):
            del waiting[0]
        record, length = server.recv_record(100, pair.now)
        got += [record] if length >= 0 else []
        assert pair.step()
    assert got == records


def test_both_at_once_may_say_syn(monkeypatch: pytest.MonkeyPatch) -> None:
    isns(monkeypatch, 15, 3)
    pair = Pair(narrow(4, 8))
    client = pair.client.endpoint.connect("server", 7, 0, local_port=8)
    server = pair.server.endpoint.connect("client", 8, 0, local_port=7)
    assert exchange(pair, (client, server), (fill(40), fill(40))) == [fill(40), fill(40)]
    assert "simultaneous open (RFC 9293 §3.10.7.3, fourth)" in pair.client.outcomes()


def test_a_reset_fits_only_one_number_of_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, client, server = begin_before_the_wrap(monkeypatch)
    pair.write(client, b"ab")
    pair.run(for_ns=SECOND)
    assert server.receiver.rcv_nxt == 16
    for off in (1, -1, 7, -8):
        pair.answers("server", segment_of(client, RST, seq=off))
        assert server.end is None
    pair.answers("server", segment_of(client, RST, seq=16))
    assert server.end is not None
    assert server.end.cause == "reset"


def test_nobody_there_is_said_with_a_number_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    isns(monkeypatch, 15)
    pair = Pair(narrow(4, 8))
    client = pair.client.endpoint.connect("server", PORT, 0)
    pair.run(for_ns=SECOND)
    assert client.end is not None
    assert client.end.cause == "refused"
    (reset,) = pair.server.segments()
    assert reset.ack == 0


# -- a connection in place of one in TIME-WAIT -------------------------------------------------------------------------


def close_with_time_wait_at_the_server(pair: Pair) -> tuple[Connection, Connection]:
    client, server = pair.connect()
    write_octets(pair, client, b"abc")
    pair.run(for_ns=SECOND)
    pair.read(server)
    server.close(pair.now)
    pair.run(for_ns=SECOND)
    client.close(pair.now)
    pair.run(for_ns=SECOND)
    assert server.state is State.TIME_WAIT
    assert client.end is not None
    return client, server


@pytest.mark.parametrize("cookies", [False, True])
@pytest.mark.parametrize(("later", "opens"), [(1, True), (7, True), (8, False), (-1, False)])
def test_a_later_number_opens_anew_and_later_wraps(
    cookies: bool, later: int, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rcv_nxt = 13 + 5  # SYN, three octets, FIN
    isns(monkeypatch, 13, 7, (rcv_nxt + later) % 16, 15)
    pair = Pair(narrow(4, 8, cookies=cookies))
    old, waiting = close_with_time_wait_at_the_server(pair)
    assert waiting.receiver.rcv_nxt == rcv_nxt
    new = pair.client.endpoint.connect("server", PORT, pair.now, local_port=old.local_port)
    pair.run(for_ns=SECOND // 2)
    assert new.established is opens
    assert (waiting.end is not None) is opens


@pytest.mark.parametrize("cookies", [False, True])
@pytest.mark.parametrize(("chosen", "begins"), [(14, 0), (15, 0), (0, 0), (1, 1), (6, 6), (7, 0)])
def test_the_new_connection_begins_behind_the_old_one(
    cookies: bool, chosen: int, begins: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    isns(monkeypatch, 0, 13, 6, chosen)
    pair = Pair(narrow(4, 8, cookies=cookies))
    old, waiting = close_with_time_wait_at_the_server(pair)
    assert waiting.sender.snd_nxt == 15
    new = pair.client.endpoint.connect("server", PORT, pair.now, local_port=old.local_port)
    number = pair.number("server")
    pair.run(for_ns=SECOND // 2)
    assert new.established
    assert waiting.end is not None
    answer = pair.server.segments()[number]
    assert answer.flags & (SYN | ACK) == SYN | ACK
    assert answer.seq == begins
