"""A run told in the order of time: arrows as the log has them, what struck, the fatal datagram, and what is folded."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from rawproto.link.script import Event
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.sim.world import Run, run_scenario
from rawproto.study.checker import check
from rawproto.study.lab.calls import Note
from rawproto.study.lab.drawing import FATAL, draw_timeline
from rawproto.study.lab.mechanisms import ALL_OFF
from rawproto.study.lab.packets import Datagram, read_datagrams
from rawproto.study.lab.timeline import Flight, Fold, Landing, Timeline, timeline

MS = 1_000_000
BOTH = Party(("send 3000",))
ASKS, ANSWERS = Party(("send 200", "wait 100 ms", "send 200")), Party(("await 200", "send 200", "await end"))
ONE_AT_A_TIME, AT_ONCE = (Talk(ASKS, ANSWERS),), (Talk(BOTH, BOTH),)
OUT_OF_ORDER = ("order", AT_ONCE, {"sequencing": False}, Event("delay", "client", 3, for_ns=15 * MS))
FLIPPED = ("integrity", AT_ONCE, {"checksum": "none"}, Event("flip", "client", 3, at=700))
GHOST = ("connection", ONE_AT_A_TIME, {"handshake": False}, Event("duplicate", "client", 1, for_ns=300 * MS))
LOST = ("complete", AT_ONCE, {"retransmission": False}, Event("drop", "client", 3))
AT_A_GUESS = Event("forge", "client", 1, for_ns=30 * MS, at=401, what="blind-data")
FORGED = ("no_creation", ONE_AT_A_TIME, {"keyed_isn": False}, AT_A_GUESS)
DARK = ("restraint", AT_ONCE, {"backoff": False}, Event("outage", "client", start_ns=35 * MS, for_ns=20_000 * MS))
TOO_MUCH = ("restraint", (Talk(Party(("send 60000",)), Party()),), {"congestion_control": "none"})
Case = tuple[Any, ...]
CASES = [OUT_OF_ORDER, FLIPPED, GHOST, LOST, FORGED, DARK, TOO_MUCH]


def play(case: Case, road: Road = Road()) -> Run:  # noqa: B008 - a value
    _, talks, settings, *events = case
    return run_scenario(Scenario("a world", talks, tuple(events), settings, road), 1)


def told(case: Case) -> Timeline:
    run = play(case)
    return timeline(run, check(run), case[0])


def datagram(run: Run, side: str, number: int) -> Datagram:
    return next(d for d in read_datagrams(run) if (d.sent.side, d.sent.number) == (side, number))


def texts(line: Timeline, kind: type = Flight) -> list[str]:
    return [row.text if isinstance(row, Note) else row.datagram.text for row in line.rows if isinstance(row, kind)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_the_fatal_datagram_is_shown_and_marked(case: Case) -> None:
    run = play(case)
    verdict = check(run)
    line = timeline(run, verdict, case[0])
    blamed = next(violation.packet for violation in verdict.violations if violation.guarantee == case[0])
    fatal = [row for row in line.rows if isinstance(row, Flight) and row.fatal]
    assert [row.datagram.sent for row in fatal] == [blamed]
    marked = [text for text in draw_timeline(line).plain.split("\n") if FATAL in text]
    assert any(f"{fatal[0].name} {fatal[0].datagram.text}" in text for text in marked)


@pytest.mark.parametrize("topology", ["direct", "chain", "nat"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_each_arrival_belongs_to_one_arrow(case: Case, topology: str) -> None:
    run = play(case, Road(topology))
    arrows = Counter((d.sent.side, time_ns) for d in read_datagrams(run) for time_ns in d.arrivals)
    assert arrows == Counter(("server" if a.side == "client" else "client", a.time_ns) for a in run.log.arrived)


def test_what_is_dropped_has_no_arrival() -> None:
    lost = datagram(play(LOST), "client", 3)
    assert (lost.arrivals, lost.struck) == ((), ("lost",))


def test_what_is_kept_arrives_so_much_later() -> None:
    late, prompt = (datagram(play(OUT_OF_ORDER), "client", number) for number in (3, 2))
    assert late.arrivals[0] - late.sent.time_ns == prompt.arrivals[0] - prompt.sent.time_ns + 15 * MS
    assert late.struck == ("comes 15 ms later",)


def test_what_is_doubled_arrives_twice() -> None:
    first, second = datagram(play(GHOST), "client", 1).arrivals
    assert second - first == 300 * MS


def test_a_flipped_bit_is_told_with_its_place_in_the_stream() -> None:
    struck = datagram(play(FLIPPED), "client", 3)
    # Bit 700 is in octet 87 of the datagram, the 7th behind 80 octets of header and options.
    assert struck.struck == ("bit 700 flipped, in octet 7",)
    assert len(struck.arrivals) == 1


def test_a_datagram_is_known_even_if_its_packet_number_was_damaged() -> None:
    # Octets 10 to 15 of the header are the packet number.
    run = run_scenario(Scenario("a world", AT_ONCE, (Event("flip", "client", 3, at=15 * 8),)), 1)
    assert len(datagram(run, "client", 3).arrivals) == 1


def test_of_two_that_are_alike_the_one_that_was_dropped_has_not_arrived() -> None:
    events = (Event("forge", "server", 1, what="near-reset", at=1), Event("drop", "client", 4))
    run = run_scenario(Scenario("a world", ONE_AT_A_TIME, events, {"challenge_ack": False}), 1)
    dropped, other = (datagram(run, "client", number) for number in (4, 5))
    assert dropped.sent.frame == other.sent.frame
    assert (len(dropped.arrivals), len(other.arrivals)) == (0, 1)


def test_words_are_short_and_count_from_the_start_of_each_stream() -> None:
    run = run_scenario(Scenario("a world", ONE_AT_A_TIME), 1)
    assert [f"{d.sent.side[0]} {d.text}" for d in read_datagrams(run)] == [
        "c SYN", "s SYN ACK", "c ack SYN", "c data 0:200", "s ack 200", "s data 0:200", "c ack 200",
        "c data 200:400", "c FIN", "s ack FIN", "s FIN", "c ack FIN",
    ]  # fmt: skip


def test_words_do_not_depend_on_the_initial_numbers() -> None:
    keyed, plain = (run_scenario(Scenario("a world", AT_ONCE, settings={"keyed_isn": on}), 1) for on in (True, False))
    assert [d.text for d in read_datagrams(keyed)] == [d.text for d in read_datagrams(plain)]


def test_words_do_not_depend_on_the_width_of_the_numbers() -> None:
    narrow = {"sequence_bits": 16, "receive_buffer": 1 << 15, "send_buffer": 1 << 15}
    found = [d.text for d in read_datagrams(run_scenario(Scenario("a world", AT_ONCE, settings=narrow), 1))]
    assert "data 2800:3000" in [text.split(",")[0] for text in found]


def test_a_repeated_range_is_told_as_such() -> None:
    run = run_scenario(Scenario("a world", ONE_AT_A_TIME, (Event("drop", "client", 3),)), 1)
    assert "data 0:200 again" in [d.text for d in read_datagrams(run)]


def test_a_closing_window_is_told() -> None:
    sleeps = Party(("await end",), ("wait 3 s", "read all"))
    talks = (Talk(Party(("send 9000",)), sleeps),)
    run = run_scenario(Scenario("a world", talks, settings={"receive_buffer": 4096}), 1)
    assert any("window 0" in d.text for d in read_datagrams(run))


def test_an_answer_to_a_forged_source_goes_to_nobody() -> None:
    events = (Event("forge", "client", 1, what="syn-from-nobody"),)
    run = run_scenario(Scenario("a world", ONE_AT_A_TIME, events, {"cookies": False}), 1)
    assert "SYN ACK, to nobody" in [d.text for d in read_datagrams(run)]


def test_reads_are_named_by_where_their_octets_come_from() -> None:
    notes = texts(told(OUT_OF_ORDER), Note)
    assert notes.index("reads 1400:3000") < notes.index("reads 0:1400")


@pytest.mark.parametrize(
    ("case", "text"), [(FLIPPED, "reads 0:3000, changed at 7:8"), (FORGED, "reads 16 octets that nobody wrote")]
)
def test_what_was_not_written_so_is_told(case: Case, text: str) -> None:
    assert text in texts(told(case), Note)


def test_what_is_read_twice_is_told() -> None:
    event = Event("duplicate", "client", 3, for_ns=15 * MS)
    line = told(("no_duplication", ONE_AT_A_TIME, {"duplicate_suppression": False}, event))
    assert "reads 0:200 once more" in texts(line, Note)


def test_what_was_written_in_another_connection_is_told() -> None:
    opener = replace(Talk(Party(("send 8",)), Party(("await end",))), client_port=50_000)
    talks = (opener, replace(opener, again=True))
    event = Event("duplicate", "client", 3, for_ns=1030 * MS)
    assert "(2) reads 8 octets that were written in (1)" in texts(told(("freshness", talks, ALL_OFF, event)), Note)


def test_a_connection_that_begins_with_the_same_number_is_a_new_one() -> None:
    opener = replace(Talk(Party(("send 8",)), Party(("await end",))), client_port=50_000)
    run = run_scenario(Scenario("a world", (opener, replace(opener, again=True)), settings=ALL_OFF), 1)
    found = [d.text for d in read_datagrams(run)]
    assert (found.count("SYN"), found.count("SYN ACK")) == (2, 2)


def test_a_repeated_answer_to_a_syn_is_told_as_such() -> None:
    found = [d.text for d in read_datagrams(play(GHOST))]
    assert (found.count("SYN ACK"), "SYN ACK again" in found) == (2, True)


def test_the_violation_follows_the_call_that_shows_it() -> None:
    rows = told(OUT_OF_ORDER).rows
    notes = [row for row in rows if isinstance(row, Note) and row.side != "client"]
    at = next(index for index, note in enumerate(notes) if note.kind == "violation")
    assert notes[at - 2].text == "reads 0:1400"


def test_what_comes_late_has_a_row_where_it_leaves_and_one_where_it_arrives() -> None:
    rows = told(OUT_OF_ORDER).rows
    landing = next(row for row in rows if isinstance(row, Landing))
    assert landing.flight in rows
    assert landing.time_ns == landing.flight.datagram.arrivals[0]


@pytest.mark.parametrize("case", [DARK, TOO_MUCH], ids=["an outage", "a burst"])
def test_a_long_run_fits_on_a_screen_with_all_that_matters(case: Case) -> None:
    line = told(case)
    assert len(line.rows) <= 40 < len(line.flights)
    folds = [row for row in line.rows if isinstance(row, Fold)]
    shown = sum(isinstance(row, Flight) for row in line.rows)
    assert shown + sum(fold.datagrams + fold.acknowledgements for fold in folds) == len(line.flights)
    assert [text for text in texts(line) if text.startswith("SYN")] == ["SYN", "SYN ACK"]
    assert any(isinstance(row, Note) and row.kind == "violation" for row in line.rows)


def test_nothing_that_an_event_struck_by_number_is_folded() -> None:
    events = tuple(Event("drop", "client", number) for number in (3, 9, 15, 21, 27))
    run = run_scenario(Scenario("a world", (Talk(Party(("send 60000",)), Party()),), events), 1)
    line = timeline(run, check(run), "order", most=5)
    struck = {row.datagram.sent.number for row in line.rows if isinstance(row, Flight) and row.struck}
    assert struck == {3, 9, 15, 21, 27}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_drawing_keeps_to_its_width(case: Case) -> None:
    line = told(case)
    for width in (90, 100, 120):
        assert max(map(len, draw_timeline(line, width).plain.split("\n"))) <= width


def test_a_lost_datagram_ends_in_mid_air() -> None:
    line = next(text for text in draw_timeline(told(LOST)).plain.split("\n") if "#3 data 0:1400" in text)
    assert re.search(r"─✗ {4,}│", line)


def test_a_drawing_says_when_each_row_was() -> None:
    first, *_ = (row for row in told(LOST).rows if isinstance(row, Flight))
    later = replace(told(LOST), rows=(Note(1_234_567, "client", "something"), first))
    assert "     1.235 " in draw_timeline(later).plain
