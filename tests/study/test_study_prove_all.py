"""Three proofs that leave nothing out: every pattern of losses, every order, and numbers that wrap."""

from __future__ import annotations

from itertools import islice, permutations

import pytest

from rawproto.study.prove.losses import DATAGRAMS, Lost, all_patterns, prove_losses, run_losing
from rawproto.study.prove.orders import RECORDS, SEGMENTS, STREAM, Ordered, prove_orders, run_ordered
from rawproto.study.prove.sharing import shared
from rawproto.study.prove.wraps import MANY, prove_wraps, wraps
from rawproto.transport.receiver import Receiver
from rawproto.transport.sender import Sender

ORDERS = list(permutations(range(SEGMENTS)))


@pytest.mark.timeout(600)
def test_every_pattern_of_losses_ends_whole() -> None:
    lost = Lost()
    for part in shared(prove_losses, iter(all_patterns()), 2):
        lost.add(part)
    assert not lost.broken
    assert lost.patterns == 1 << DATAGRAMS
    assert lost.datagrams >= DATAGRAMS


def test_a_pattern_loses_the_datagrams_of_its_bits_and_no_others() -> None:
    run, sent = run_losing(0b1011)
    numbered = sorted(run.log.sent, key=lambda entry: entry.time_ns)
    assert [entry.fate for entry in numbered[:5]] == [("drop",), ("drop",), (), ("drop",), ()]
    assert len(run.log.arrived) == sent - 3


def test_a_sender_that_repeats_nothing_does_not_end_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sender, "_repair", lambda sender, now: None)
    assert prove_losses([0b1111000]).broken


@pytest.mark.timeout(600)
def test_seven_segments_come_out_in_order_whatever_order_they_came_in() -> None:
    ordered = Ordered()
    parts = (ORDERS[at : at + 315] for at in range(0, len(ORDERS), 315))
    for part in shared(prove_orders, parts, 2):
        ordered.add(part)
    assert not ordered.broken
    assert ordered.orders == 5040


def test_seven_records_come_out_in_order_too() -> None:
    assert not prove_orders(islice(ORDERS, 0, None, 21), RECORDS).broken


def test_the_segments_arrive_in_the_order_that_was_asked_for() -> None:
    order = (6, 0, 5, 1, 4, 2, 3)
    run, kept = run_ordered(order, STREAM)
    arrived = [entry.frame for entry in run.log.arrived if entry.side == "server" and entry.frame in kept]
    assert [kept.index(frame) for frame in arrived] == list(order)


def test_a_receiver_that_forgets_what_came_early_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Receiver, "_deliver_held", lambda receiver: receiver._held.clear())
    assert prove_orders([(1, 0, 2, 3, 4, 5, 6)]).broken


@pytest.mark.parametrize("bits", range(8, 33))
def test_numbers_that_wrap_break_nothing(bits: int) -> None:
    wrapped = prove_wraps(bits)
    assert not wrapped.violations
    assert wrapped.whole
    assert min(wrapped.wraps.values()) >= (3 if bits <= MANY else 1)


def test_wraps_are_counted_on_the_wire() -> None:
    run, _ = run_losing(0)
    assert wraps(run) == {"client": 0, "server": 0}
