"""The trace accounts for everything: a reason for each segment that left, an outcome by a rule for each that came."""

from __future__ import annotations

import json
import re
from functools import cache
from random import Random

import pytest

from rawproto.testing.pair import Pair, Side, fill, plain
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, FIN, SYN
from rawproto.transport.state import TRANSITIONS
from rawproto.transport.trace import (
    Discarded,
    Ended,
    PacketsLost,
    RttSampled,
    SegmentReceived,
    SegmentSent,
    StateChanged,
    as_dict,
)

RULE = re.compile(r"\(RFC \d+ (§|p\.)|\(docs/rdt\.md §")
KNOWN_REASONS = re.compile(
    r"handshake|new data$|FIN: no more to send$|ACK|fast retransmit|RTO after \d+ ms$|tail loss probe|"
    r"window (probe|update)$|"
    r"path probe of \d+|keep-alive probe$|reset|challenge ACK$|cookie once more$|answer to a path probe$|nobody there$"
)


@cache
def faulty_run(seed: int) -> Pair:
    """Both sides send, read and close while the wire loses, repeats, delays, marks and shrinks."""
    rng = Random(seed)
    pair = Pair(Config(user_timeout=20 * SECOND, congestion_control=rng.choice(["reno", "cubic", "bbr"])))
    for name in ("client", "server"):
        numbers = range(2, 2000)
        pair.drop(name, *(n for n in numbers if rng.random() < 0.05))
        pair.duplicate(name, *(n for n in numbers if rng.random() < 0.05))
        pair.mark(name, *(n for n in numbers if rng.random() < 0.03))
        for number in numbers:
            if rng.random() < 0.05:
                pair.delay(name, number, rng.randrange(30 * MS))
    client, server = pair.connect()
    if rng.random() < 0.4:
        pair.client.largest = 1300
    ends: list[Connection] = [client, server]
    for _ in range(30):
        end = rng.choice(ends)
        if end.end is None and not end.shut_down and rng.random() < 0.7:
            end.send(fill(rng.choice([1, 100, 5000, 60_000])), pair.now)
        pair.read(rng.choice(ends))
        pair.run(rng.choice([0, 5 * MS, 50 * MS, SECOND]))
    for end in rng.sample(ends, 2):
        pair.read(end)
        rng.choice([end.close, end.shutdown, end.abort])(pair.now)
        pair.run(rng.choice([0, SECOND]))
    pair.run(400 * SECOND)
    return pair


RUNS = pytest.mark.parametrize("seed", range(25))


def sides(pair: Pair) -> tuple[Side, Side]:
    return pair.client, pair.server


@RUNS
def test_every_segment_that_leaves_has_a_reason(seed: int) -> None:
    pair = faulty_run(seed)
    for side in sides(pair):
        for reason in side.reasons():
            assert KNOWN_REASONS.match(reason), reason


@RUNS
def test_every_segment_that_comes_has_an_outcome_by_a_rule(seed: int) -> None:
    pair = faulty_run(seed)
    for side in sides(pair):
        for outcome in side.outcomes():
            assert RULE.search(outcome), outcome


@RUNS
def test_the_trace_has_every_datagram(seed: int) -> None:
    pair = faulty_run(seed)
    for side in sides(pair):
        assert sum(record.count for record in side.records(SegmentSent)) == len(side.sent)
        numbers = [s.packet_number for s in side.segments()]
        told = [r.packet_number + i for r in side.records(SegmentSent) for i in range(r.count)]
        assert told == numbers


@RUNS
def test_records_are_in_the_order_of_time_and_can_be_written_down(seed: int) -> None:
    pair = faulty_run(seed)
    for side in sides(pair):
        times = [record.time_ns for record in side.trace.records]
        assert times == sorted(times)
        for record in side.trace.records:
            assert json.loads(json.dumps(as_dict(record)))["kind"] == record.kind != ""


@RUNS
def test_states_follow_the_table_and_an_end_is_told_once(seed: int) -> None:
    pair = faulty_run(seed)
    for side in sides(pair):
        for record in side.records(StateChanged):
            assert TRANSITIONS[record.before][record.event] is record.after
        assert len(side.records(Ended)) == len({record.connection for record in side.records(Ended)})


@RUNS
def test_what_is_said_to_be_sent_again_was_sent_before(seed: int) -> None:
    pair = faulty_run(seed)
    for side in sides(pair):
        highest: dict[int, int] = {}
        for record in side.records(SegmentSent):
            end = record.seq + record.length
            if record.retransmission:
                assert record.seq <= highest[record.connection]
            elif record.length:
                assert record.seq >= highest.get(record.connection, 0)
            if record.length or record.flags & (SYN | FIN):
                highest[record.connection] = max(highest.get(record.connection, 0), end, record.isn + 1)


def test_a_trace_makes_no_difference_to_what_is_sent() -> None:
    def sent(traced: bool) -> list[bytes]:
        pair = Pair()
        if not traced:
            pair.client.endpoint.trace = pair.server.endpoint.trace = None
        pair.drop("client", 4, 9)
        client, _ = pair.connect()
        pair.write(client, fill(100_000))
        client.close(pair.now)
        pair.run(10 * SECOND)
        return pair.client.sent + pair.server.sent

    assert sent(True) == sent(False)


def test_what_was_measured_and_lost_is_told() -> None:
    pair = Pair(plain())
    client, _ = pair.connect()
    pair.drop("client", pair.number("client"))
    pair.write(client, fill(10 * 1440))
    pair.run(SECOND)
    (lost,) = pair.client.records(PacketsLost)
    assert (lost.length, lost.rule, lost.seq) == (1440, "packet threshold", client.sender.iss + 1)
    last = pair.client.records(RttSampled)[-1]
    assert (last.rtt, last.srtt, last.in_flight, last.delivered) == (20 * MS, 20 * MS, 0, 10 * 1440 + 1)


def test_what_reached_no_connection_is_told_with_its_reason() -> None:
    pair = Pair()
    pair.server.endpoint.receive("client", [b"rubbish", bytes(60)], 5)
    records = pair.server.records(Discarded)
    told = [(r.time_ns, r.connection, r.reason, r.length) for r in records]
    assert told == [(5, -1, "too short", 7), (5, -1, "version", 60)]


def test_received_segments_are_told_with_their_numbers() -> None:
    pair = Pair(plain())
    client, server = pair.connect()
    pair.write(client, b"12345")
    pair.run(SECOND)
    record = pair.server.records(SegmentReceived)[-1]
    assert (record.seq, record.length, record.connection) == (client.sender.iss + 1, 5, server.identity)
    assert record.flags & ACK
