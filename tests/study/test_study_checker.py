"""The checker against runs that were never run: accounts and a log written by hand, each with one thing wrong.

For each guarantee there is a run that breaks it and no other, and the nearest one that does not break it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from rawproto.link.script import Arrived, Event, Sent, WireLog
from rawproto.sim.applications import Account
from rawproto.sim.scenario import Party, Scenario, Talk
from rawproto.sim.world import Run
from rawproto.study.checker import GUARANTEES, Verdict, Violation, check
from rawproto.transport.config import SECOND
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.rdt import ACK, DGM, RDT, RST, SYN

MS = 1_000_000
END = 90 * SECOND
ASKED = bytes(range(200))
ANSWERED = bytes(7 * place & 0xFF for place in range(120))
FOREIGN = b"this is no octet of anybody's"
RESTART = Event("restart", "server", start_ns=40 * MS)


def account(side: str, talk: int, sent: bytes, got: bytes, **changes: Any) -> Account:
    """What an application says of a connection in which all went well."""
    first = 100 * MS * max(talk, 0)
    at = 20 * MS if side == "client" else 30 * MS
    made = Account(side, talk, "stream", first, first + at, 50_000 + talk)
    made.sent = [(first + at, sent)] if sent else []
    made.got = [(first + at + 10 * MS, got)] if got else []
    made.shutdown_ns, made.eof_ns = first + at, first + at + 20 * MS
    made.flushed_ns = made.closed_ns = first + at + 30 * MS
    if side == "server":
        made.began_ns = first + at
    for name, value in changes.items():
        setattr(made, name, value)
    made.read = len(made.all_got())
    return made


@dataclass
class Pair:
    """A run of one connection, before something is done to it."""

    kind: str = "stream"
    settings: dict[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] = ("read all",)
    events: tuple[Event, ...] = ()
    others: list[Account] = field(default_factory=list)
    talks: int = 1
    log: WireLog = field(default_factory=WireLog)

    def __post_init__(self) -> None:
        self.client = account("client", 0, ASKED, ANSWERED)
        self.server: Account | None = account("server", 0, ANSWERED, ASKED)

    @property
    def taker(self) -> Account:
        """The server's account, which takes what was asked."""
        assert self.server is not None
        return self.server

    def takes(self, *pieces: bytes) -> None:
        """Let the server have read these, one a millisecond."""
        self.taker.got = [(self.taker.open_ns + (10 + number) * MS, piece) for number, piece in enumerate(pieces)]

    def run(self) -> Run:
        accounts = [self.client, *([self.server] if self.server else []), *self.others]
        for one in accounts:
            if self.kind != "stream":
                one.kind = self.kind
        talk = Talk(Party(reads=self.reads), Party(reads=self.reads), self.kind)
        scenario = Scenario("by hand", (talk,) * self.talks, self.events, self.settings)
        return Run(scenario, 1, accounts, self.log, struck=dict.fromkeys(self.events, 1), end_ns=END)

    def verdict(self) -> Verdict:
        return check(self.run())


def datagram(
    number: int, payload: bytes = b"", *, to_server: bool = True, port: int = 50_000, flags: int = ACK, **fields: Any
) -> bytes:
    source, destination = ("10.0.0.1", "10.1.0.1") if to_server else ("10.1.0.1", "10.0.0.1")
    ports = (port, 7000) if to_server else (7000, port)
    header = RDT(sport=ports[0], dport=ports[1], flags=flags, packet_number=number, **fields)
    return bytes(IPv4(src=source, dst=destination) / header / payload)


def goes(pair: Pair, at_ms: int, number: int, frame: bytes, fate: tuple[str, ...] = (), came: bytes = b"") -> Sent:
    """The client sends a datagram, which arrives 10 ms later, as `came` if that is not as it was sent."""
    sent = Sent(at_ms * MS, "client", number, frame, fate)
    pair.log.sent.append(sent)
    pair.log.arrived.append(Arrived((at_ms + 10) * MS, "server", came or frame))
    return sent


# -- each guarantee: what breaks it, and nothing else ------------------------------------------------------------------

Change = Callable[[Pair], None]
BREAKS: dict[str, list[tuple[str, Change]]] = {name: [] for name in GUARANTEES}
HOLDS: dict[str, list[tuple[str, Change]]] = {name: [] for name in GUARANTEES}


def breaks(guarantee: str) -> Callable[[Change], Change]:
    return _noted(BREAKS[guarantee])


def holds(guarantee: str) -> Callable[[Change], Change]:
    return _noted(HOLDS[guarantee])


def _noted(where: list[tuple[str, Change]]) -> Callable[[Change], Change]:
    def note(change: Change) -> Change:
        where.append((change.__name__, change))
        return change

    return note


@breaks("integrity")
def an_octet_is_another(pair: Pair) -> None:
    pair.takes(ASKED[:70] + b"\xff" + ASKED[71:])


@breaks("integrity")
def the_last_octet_is_another(pair: Pair) -> None:
    pair.takes(ASKED[:-1] + b"\xff")


@holds("integrity")
def the_stream_comes_in_other_pieces(pair: Pair) -> None:
    pair.takes(*(ASKED[at : at + 7] for at in range(0, 200, 7)))


@breaks("order")
def two_pieces_change_places(pair: Pair) -> None:
    pair.takes(ASKED[:50], ASKED[100:150], ASKED[50:100], ASKED[150:])


@holds("order")
def datagrams_change_places(pair: Pair) -> None:
    pair.kind = "datagrams"
    pair.client.sent = [(0, b"one"), (1, b"two")]
    pair.takes(b"two", b"one")


@breaks("no_duplication")
def a_piece_comes_twice(pair: Pair) -> None:
    pair.takes(ASKED[:100], ASKED[50:100], ASKED[100:])


@breaks("no_duplication")
def the_whole_stream_comes_twice(pair: Pair) -> None:
    pair.takes(ASKED, ASKED)


@holds("no_duplication")
def the_application_says_the_same_twice(pair: Pair) -> None:
    pair.client.sent = [(0, ASKED), (1, ASKED)]
    pair.takes(ASKED, ASKED)


@holds("no_duplication")
def a_datagram_comes_twice(pair: Pair) -> None:
    pair.kind = "datagrams"
    pair.client.sent = [(0, b"one")]
    pair.takes(b"one", b"one")


@breaks("no_creation")
def octets_come_that_nobody_sent(pair: Pair) -> None:
    pair.takes(ASKED[:50], FOREIGN, ASKED[50:])


@breaks("no_creation")
def octets_come_after_the_last(pair: Pair) -> None:
    pair.takes(ASKED + FOREIGN)


@holds("no_creation")
def such_octets_were_sent(pair: Pair) -> None:
    pair.client.sent = [(0, ASKED[:50] + FOREIGN), (1, ASKED[50:])]
    pair.takes(ASKED[:50], FOREIGN, ASKED[50:])


def stop(pair: Pair) -> None:
    pair.client.flushed_ns = pair.client.closed_ns = -1
    pair.taker.eof_ns = pair.taker.flushed_ns = pair.taker.closed_ns = -1
    pair.client.waits_for, pair.taker.waits_for = "flush", "read"


def cut_short(pair: Pair) -> None:
    """The server waits for the last fifty octets, the client to hear that they have come, and nothing happens."""
    pair.takes(ASKED[:150])
    stop(pair)


@breaks("complete")
def the_end_never_comes(pair: Pair) -> None:
    cut_short(pair)


@breaks("complete")
def a_piece_is_left_out(pair: Pair) -> None:
    pair.takes(ASKED[:50], ASKED[100:])
    pair.client.flushed_ns = pair.client.closed_ns = pair.taker.eof_ns = -1


@breaks("complete")
def the_sender_gives_up(pair: Pair) -> None:
    cut_short(pair)
    pair.client.fail(END, "timeout", "the peer acknowledged nothing for 100 s")


@breaks("complete")
def the_sender_never_gets_rid_of_it(pair: Pair) -> None:
    stop(pair)
    pair.client.shutdown_ns, pair.client.waits_for = -1, "write"


@breaks("complete")
def the_sender_is_never_told_that_all_has_arrived(pair: Pair) -> None:
    pair.client.flushed_ns = pair.client.closed_ns = -1
    pair.client.waits_for = "flush"


@breaks("complete")
def the_sender_is_told_of_silence_although_all_has_arrived(pair: Pair) -> None:
    pair.client.flushed_ns = pair.client.closed_ns = -1
    pair.client.fail(END, "timeout", "the peer acknowledged nothing for 100 s")


@holds("complete")
def the_reader_does_not_want_it_all(pair: Pair) -> None:
    cut_short(pair)
    pair.reads = ("read 100",)
    pair.taker.closed_ns = pair.client.closed_ns = 60 * MS


@holds("complete")
def a_host_forgets_and_the_other_is_told(pair: Pair) -> None:
    cut_short(pair)
    pair.events = (RESTART,)
    pair.taker.gone_ns = 40 * MS
    pair.client.fail(60 * MS, "reset", "the peer reset the connection")


@holds("complete")
def the_sender_ends_it_by_force(pair: Pair) -> None:
    cut_short(pair)
    pair.client.shutdown_ns = -1
    force(pair, pair.client, 30 * MS)
    pair.taker.fail(60 * MS, "reset", "the peer reset the connection")


@holds("complete")
def a_path_that_carries_nothing(pair: Pair) -> None:
    cut_short(pair)
    pair.events = (Event("shrink_mtu", "client", at=80),)
    for one in (pair.client, pair.taker):
        one.fail(END, "timeout", "the peer acknowledged nothing for 100 s")


@breaks("honest_end")
def the_end_comes_before_it_was_meant(pair: Pair) -> None:
    pair.taker.eof_ns = pair.client.shutdown_ns - 1


@breaks("honest_end")
def the_end_comes_and_was_never_meant(pair: Pair) -> None:
    pair.client.shutdown_ns = pair.client.flushed_ns = -1
    pair.client.waits_for = ""


@breaks("honest_end")
def success_is_told_for_what_never_arrived(pair: Pair) -> None:
    cut_short(pair)
    pair.events = (Event("outage", "client", for_ns=60 * SECOND),)
    pair.client.flushed_ns = pair.client.closed_ns = 60 * MS
    pair.taker.fail(END, "timeout", "the peer acknowledged nothing for 100 s")


@breaks("honest_end")
def the_end_comes_too_early_although_a_host_forgets(pair: Pair) -> None:
    pair.events = (RESTART,)
    pair.takes(ASKED[:150])
    pair.client.flushed_ns = pair.client.closed_ns = -1
    pair.client.gone_ns = 40 * MS


@holds("honest_end")
def the_end_comes_as_soon_as_it_is_meant(pair: Pair) -> None:
    pair.client.shutdown_ns = pair.taker.eof_ns


@holds("honest_end")
def what_had_arrived_is_forgotten(pair: Pair) -> None:
    cut_short(pair)
    pair.events = (RESTART,)
    pair.client.flushed_ns = pair.client.closed_ns = 60 * MS
    pair.taker.gone_ns = 70 * MS


@holds("honest_end")
def what_had_arrived_is_not_read(pair: Pair) -> None:
    cut_short(pair)
    pair.reads = ("read 100",)
    pair.client.flushed_ns = pair.client.closed_ns = pair.taker.closed_ns = 60 * MS


OLD = bytes(11 * place + 3 & 0xFF for place in range(100))


def second(pair: Pair) -> None:
    pair.talks = 2
    pair.others = [account("client", 1, OLD, b""), account("server", 1, b"", OLD)]


@breaks("freshness")
def octets_of_another_connection_come(pair: Pair) -> None:
    second(pair)
    pair.takes(ASKED[:50], OLD[20:60], ASKED[50:])


@holds("freshness")
def both_connections_say_the_same(pair: Pair) -> None:
    second(pair)
    pair.client.sent = [(0, ASKED + OLD)]
    pair.takes(ASKED + OLD)


@breaks("two_way")
def one_direction_never_ends(pair: Pair) -> None:
    pair.taker.eof_ns = pair.taker.closed_ns = -1
    pair.taker.waits_for = "read"


@breaks("two_way")
def the_reader_is_told_of_silence_and_not_of_the_end(pair: Pair) -> None:
    pair.taker.eof_ns = pair.taker.closed_ns = -1
    pair.taker.fail(END, "timeout", "the peer is silent")


@holds("two_way")
def one_direction_is_never_meant_to_end(pair: Pair) -> None:
    pair.client.shutdown_ns = pair.client.flushed_ns = pair.client.closed_ns = -1
    pair.taker.eof_ns = pair.taker.closed_ns = -1


def reset(one: Account) -> None:
    one.fail(one.closed_ns, "reset", "the peer reset the connection")
    one.closed_ns = -1


def force(pair: Pair, one: Account, at_ns: int) -> None:
    """`one` ends the connection by force, and its reset leaves."""
    one.aborted_ns = at_ns
    goes(pair, 20, 98, datagram(98))
    frame = datagram(99, to_server=one.side == "client", flags=RST)
    pair.log.sent.append(Sent(at_ns, one.side, 99, frame, ("drop",)))


@breaks("connection")
def an_end_by_force_that_nobody_is_told_of(pair: Pair) -> None:
    force(pair, pair.taker, 45 * MS)
    pair.log.sent.pop()


@breaks("connection")
def a_connection_that_nobody_opened(pair: Pair) -> None:
    pair.others = [account("server", -1, b"", b"")]


@breaks("connection")
def the_server_has_it_before_the_client_called(pair: Pair) -> None:
    pair.client.began_ns = pair.taker.began_ns + 1
    pair.client.open_ns = pair.client.began_ns


@breaks("connection")
def the_server_reads_before_the_client_is_connected(pair: Pair) -> None:
    pair.client.open_ns = pair.taker.got[0][0] + 1


@breaks("connection")
def a_reset_that_nobody_meant(pair: Pair) -> None:
    reset(pair.client)


@breaks("connection")
def the_server_is_never_given_it(pair: Pair) -> None:
    pair.server = None
    pair.client.sent, pair.client.got = [], []


@breaks("connection")
def a_host_forgets_and_the_other_waits_for_ever(pair: Pair) -> None:
    cut_short(pair)
    pair.events = (RESTART,)
    pair.taker.gone_ns = 40 * MS


@breaks("connection")
def a_host_forgets_and_who_reads_little_waits_for_ever(pair: Pair) -> None:
    cut_short(pair)
    pair.reads = ("read 10",)
    pair.events = (RESTART,)
    pair.taker.gone_ns = 40 * MS


@holds("connection")
def the_server_is_connected_when_the_client_is(pair: Pair) -> None:
    pair.client.began_ns = pair.client.open_ns = pair.taker.began_ns = pair.taker.open_ns = pair.taker.got[0][0]


@holds("connection")
def a_reset_after_the_other_side_has_ended_it_by_force(pair: Pair) -> None:
    reset(pair.client)
    force(pair, pair.taker, 45 * MS)


@holds("connection")
def a_reset_from_who_closed_before_reading_to_the_end(pair: Pair) -> None:
    pair.reads = ("read 50",)
    pair.takes(ASKED[:50])
    pair.taker.eof_ns = -1
    pair.client.flushed_ns = -1
    reset(pair.client)


@holds("connection")
def a_reset_from_who_has_forgotten(pair: Pair) -> None:
    a_host_forgets_and_the_other_is_told(pair)


@breaks("boundaries")
def two_records_become_one(pair: Pair) -> None:
    pair.kind = "records"
    pair.client.sent = [(0, ASKED[:100]), (1, ASKED[100:])]
    pair.takes(ASKED)


@breaks("boundaries")
def a_record_comes_in_two_parts(pair: Pair) -> None:
    pair.kind = "records"
    pair.takes(ASKED[:100], ASKED[100:])


@breaks("boundaries")
def a_part_of_a_datagram_comes(pair: Pair) -> None:
    pair.kind = "datagrams"
    pair.takes(ASKED[:-1])


@holds("boundaries")
def records_come_as_they_were_sent(pair: Pair) -> None:
    pair.kind = "records"
    pair.client.sent = [(0, ASKED[:100]), (1, ASKED[100:])]
    pair.takes(ASKED[:100], ASKED[100:])


@holds("boundaries")
def pieces_of_a_stream_become_one(pair: Pair) -> None:
    pair.client.sent = [(0, ASKED[:100]), (1, ASKED[100:])]
    pair.takes(ASKED)


def shakes_hands(pair: Pair, window: int) -> None:
    goes(pair, 0, 1, datagram(1, flags=SYN, seq=1000))
    answer = datagram(1, to_server=False, flags=SYN | ACK, seq=5000, ack=1001, window=window)
    pair.log.sent.append(Sent(10 * MS, "server", 1, answer, ()))
    pair.log.arrived.append(Arrived(20 * MS, "client", answer))


@breaks("flow_control")
def more_is_sent_than_the_window(pair: Pair) -> None:
    shakes_hands(pair, 199)
    goes(pair, 20, 2, datagram(2, ASKED, seq=1001, ack=5001))


@holds("flow_control")
def as_much_is_sent_as_the_window(pair: Pair) -> None:
    shakes_hands(pair, 200)
    goes(pair, 20, 2, datagram(2, ASKED, seq=1001, ack=5001))


@breaks("restraint")
def much_is_sent_at_once(pair: Pair) -> None:
    shakes_hands(pair, 1 << 20)
    for number in range(17):
        goes(pair, 20, 2 + number, datagram(2 + number, bytes(1000), seq=1001 + 1000 * number, ack=5001))


@holds("restraint")
def as_much_is_sent_as_a_first_window(pair: Pair) -> None:
    shakes_hands(pair, 1 << 20)
    for number in range(16):
        goes(pair, 20, 2 + number, datagram(2 + number, bytes(1000), seq=1001 + 1000 * number, ack=5001))


def cases(table: dict[str, list[tuple[str, Change]]]) -> list[Any]:
    return [
        pytest.param(guarantee, change, id=f"{guarantee}: {name.replace('_', ' ')}")
        for guarantee, changes in table.items()
        for name, change in changes
    ]


def test_a_run_in_which_all_went_well_is_clean() -> None:
    verdict = Pair().verdict()
    assert verdict.violations == ()
    assert verdict.delivered == len(ASKED) + len(ANSWERED)
    assert verdict.passed


@pytest.mark.parametrize(("guarantee", "change"), cases(BREAKS))
def test_it_is_this_guarantee_that_breaks_and_no_other(guarantee: str, change: Change) -> None:
    pair = Pair()
    change(pair)
    verdict = pair.verdict()
    assert verdict.broken == {guarantee}, verdict.violations
    assert not verdict.passed


@pytest.mark.parametrize(("guarantee", "change"), cases(HOLDS))
def test_what_looks_like_it_breaks_nothing(guarantee: str, change: Change) -> None:
    pair = Pair()
    change(pair)
    assert pair.verdict().violations == ()


def test_each_guarantee_has_a_run_that_breaks_it_and_one_that_does_not() -> None:
    assert [name for name in GUARANTEES if not BREAKS[name] or not HOLDS[name]] == []


ALIKE = {name: BREAKS[name] for name in ("integrity", "order", "no_duplication", "no_creation")}


@pytest.mark.parametrize(("guarantee", "change"), cases(ALIKE))
def test_both_directions_are_judged_alike(guarantee: str, change: Change) -> None:
    pair = Pair()
    change(pair)
    pair.client.sent, pair.taker.sent = pair.taker.sent, pair.client.sent
    pair.client.got, pair.taker.got = pair.taker.got, pair.client.got
    assert pair.verdict().broken == {guarantee}


# -- what is excused, and what is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "excused"),
    [
        (Event("outage", for_ns=50 * SECOND), True),
        (Event("outage", for_ns=49 * SECOND), False),
        (Event("jump", for_ns=-50 * SECOND), True),
        (Event("jump", for_ns=49 * SECOND), False),
        (Event("shrink_mtu", at=123), True),
        (Event("shrink_mtu", at=124), False),
        (Event("drop", packet=1), False),
        (Event("restart"), True),
    ],
)
def test_nobody_gets_over_what_lasts_for_half_of_the_users_patience(event: Event, excused: bool) -> None:
    pair = Pair(events=(event,))
    cut_short(pair)
    for one in (pair.client, pair.taker):
        one.fail(END, "timeout", "the peer acknowledged nothing for 100 s")
    assert pair.verdict().broken == (set() if excused else {"complete"})


def test_patience_is_what_the_settings_say() -> None:
    pair = Pair(events=(Event("outage", for_ns=10 * SECOND),), settings={"user_timeout": 20 * SECOND})
    cut_short(pair)
    for one in (pair.client, pair.taker):
        one.fail(END, "timeout", "the peer acknowledged nothing for 20 s")
    assert pair.verdict().violations == ()


@pytest.mark.parametrize("change", [an_octet_is_another, two_pieces_change_places, octets_come_that_nobody_sent])
def test_nothing_excuses_wrong_octets(change: Change) -> None:
    pair = Pair(events=(RESTART,))
    change(pair)
    assert len(pair.verdict().broken) == 1


def test_who_waits_in_vain_is_told_of_once() -> None:
    pair = Pair(events=(RESTART,))
    cut_short(pair)
    assert [violation.text for violation in pair.verdict().violations] == [
        "the client still waits to hear that its end has arrived at the end, and was told nothing",
        "the server still waits for something to read at the end, and was told nothing",
    ]


def test_two_things_that_break_are_both_told() -> None:
    pair = Pair()
    pair.takes(ASKED[:50], ASKED[100:150], ASKED[50:100], ASKED[150:199] + b"\xff")
    assert pair.verdict().broken == {"order", "integrity"}


def test_octets_of_another_connection_in_place_of_ours_are_told_and_ours_are_missed() -> None:
    pair = Pair()
    second(pair)
    pair.takes(ASKED[:50], OLD[20:60], ASKED[90:])
    assert pair.verdict().broken == {"freshness", "complete"}


def test_a_transport_that_ends_early_and_says_so_is_told_of_what_it_lacks_and_of_its_lie() -> None:
    pair = Pair()
    pair.takes(ASKED[:150])
    assert pair.verdict().broken == {"complete", "honest_end", "two_way"}


# -- what passes -------------------------------------------------------------------------------------------------------


def test_a_run_that_delivers_nothing_does_not_pass() -> None:
    pair = Pair()
    for one in (pair.client, pair.taker):
        one.sent, one.got = [], []
    verdict = pair.verdict()
    assert (verdict.violations, verdict.delivered, verdict.passed) == ((), 0, False)


def test_a_run_in_which_an_event_did_not_happen_does_not_pass() -> None:
    happens, idle = Event("drop", packet=1), Event("drop", packet=999)
    pair = Pair(events=(happens, idle))
    run = pair.run()
    run.struck[idle] = 0
    verdict = check(run)
    assert (verdict.violations, verdict.idle, verdict.passed) == ((), (idle,), False)


# -- the moment and the packet -----------------------------------------------------------------------------------------


def only(verdict: Verdict) -> Violation:
    (violation,) = verdict.violations
    return violation


def test_the_moment_is_when_the_first_wrong_octet_was_read() -> None:
    pair = Pair()
    pair.takes(ASKED[:50], ASKED[50:100], ASKED[100:120] + b"\xff" + ASKED[121:150], ASKED[150:])
    assert only(pair.verdict()).time_ns == pair.taker.got[2][0]


def test_violations_come_in_the_order_of_time() -> None:
    pair = Pair()
    pair.takes(ASKED[:50], ASKED[100:150], ASKED[50:100], ASKED[150:199] + b"\xff")
    reset(pair.client)
    times = [violation.time_ns for violation in pair.verdict().violations]
    assert times == sorted(times)
    assert len(times) == 3


def test_the_packet_is_the_one_that_was_struck() -> None:
    pair = Pair()
    pair.takes(ASKED[:50] + b"\xff" + ASKED[51:])
    whole = datagram(2, ASKED, seq=1)
    damaged = whole[:110] + b"\xff" + whole[111:]
    goes(pair, 25, 1, datagram(1))
    struck = goes(pair, 26, 2, whole, ("flip",), damaged)
    goes(pair, 27, 3, datagram(3, ASKED, seq=201))
    goes(pair, 60, 4, datagram(4, ASKED, seq=401), ("delay",))
    assert only(pair.verdict()).packet == struck


def test_the_packet_is_one_of_the_connection_that_suffered() -> None:
    pair = Pair()
    second(pair)
    pair.takes(ASKED[:50] + b"\xff" + ASKED[51:])
    mine = goes(pair, 25, 1, datagram(5, ASKED), ("flip",), datagram(5, ASKED[:50] + b"\xff" + ASKED[51:]))
    goes(pair, 26, 2, datagram(5, OLD, port=50_001), ("delay",))
    assert only(pair.verdict()).packet == mine


def test_a_damaged_packet_is_known_among_those_of_other_connections_with_its_number() -> None:
    pair = Pair()
    second(pair)
    pair.takes(ASKED[:50] + b"\xff" + ASKED[51:])
    goes(pair, 20, 1, datagram(5, OLD, port=50_001))
    mine = goes(pair, 25, 2, datagram(5, ASKED), ("flip",), datagram(5, ASKED[:50] + b"\xff" + ASKED[51:]))
    assert only(pair.verdict()).packet == mine


def test_of_two_with_a_number_the_later_one_is_meant() -> None:
    pair = Pair()
    pair.takes(ASKED[:50] + b"\xff" + ASKED[51:])
    goes(pair, 5, 1, datagram(5, OLD))
    mine = goes(pair, 25, 2, datagram(5, ASKED), ("flip",), datagram(5, ASKED[:50] + b"\xff" + ASKED[51:]))
    assert only(pair.verdict()).packet == mine


def test_a_reset_is_put_down_to_what_had_come_last() -> None:
    pair = Pair()
    reset(pair.client)
    killer = Sent(40 * MS, "server", 0, datagram(1 << 20, to_server=False, flags=RST), ("forge",))
    pair.log.sent.append(killer)
    pair.log.arrived.append(Arrived(50 * MS, "client", killer.frame))
    assert only(pair.verdict()).packet == killer


def test_a_ghost_is_put_down_to_the_datagram_that_opened_it() -> None:
    pair = Pair()
    pair.others = [account("server", -1, b"", b"", began_ns=500 * MS)]
    syn = goes(pair, 5, 1, datagram(1, flags=SYN, port=49_999), ("duplicate",))
    pair.log.arrived.append(Arrived(500 * MS, "server", syn.frame))
    assert only(pair.verdict()).packet == syn


def test_what_is_missing_is_put_down_to_the_senders_last_loss() -> None:
    pair = Pair()
    cut_short(pair)
    goes(pair, 20, 1, datagram(1, ASKED[:100]))
    lost = Sent(21 * MS, "client", 2, datagram(2, ASKED[100:]), ("drop",))
    pair.log.sent += [lost, Sent(22 * MS, "server", 1, datagram(1, to_server=False), ("drop",))]
    told = [violation for violation in pair.verdict().violations if violation.text.startswith("150 of 200")]
    assert [(violation.time_ns, violation.packet) for violation in told] == [(END, lost)]


def test_a_wrong_datagram_has_its_packet_too() -> None:
    pair = Pair()
    pair.kind = "datagrams"
    pair.takes(ASKED[:-1] + b"\xff")
    bad = goes(pair, 25, 1, datagram(1, ASKED, flags=DGM), ("flip",), datagram(1, ASKED[:-1] + b"\xff", flags=DGM))
    violation = only(pair.verdict())
    assert (violation.guarantee, violation.packet) == ("integrity", bad)
