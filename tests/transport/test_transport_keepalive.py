"""Keep-alives: RFC 9293 §3.8.4, with Linux's numbers."""

from __future__ import annotations

import pytest

from rawproto.transport.config import SECOND
from rawproto.transport.keepalive import KeepAlive

TWO_HOURS = 7200 * SECOND


def small(count: int = 3) -> KeepAlive:
    """Idle 100, interval 10; heard at 0."""
    keep_alive = KeepAlive(True, 100, 10, count)
    keep_alive.on_heard(0)
    return keep_alive


@pytest.mark.rdt("5.11-1")
@pytest.mark.rfc("9293", "MUST-25")
def test_it_is_off_unless_asked_for() -> None:
    keep_alive = KeepAlive()
    keep_alive.on_heard(0)
    assert keep_alive.next_timeout(owed=False) is None
    assert keep_alive.handle_timeout(10 * TWO_HOURS, owed=False) is None


@pytest.mark.rdt("5.11-1")
@pytest.mark.rfc("9293", "MUST-24")
def test_it_can_be_turned_on_and_off_on_the_way() -> None:
    keep_alive = KeepAlive()
    keep_alive.on_heard(5)
    keep_alive.enabled = True
    assert keep_alive.next_timeout(owed=False) == 5 + TWO_HOURS
    keep_alive.enabled = False
    assert keep_alive.next_timeout(owed=False) is None


@pytest.mark.rdt("5.11-2", "5.11-4")
@pytest.mark.rfc("9293", "MUST-28")
def test_by_default_it_waits_two_hours_and_gives_up_eleven_minutes_later() -> None:
    """The rest is what Linux does: 9 probes, 75 s apart, and 75 s for the last one's answer."""
    keep_alive = KeepAlive(True)
    keep_alive.on_heard(0)
    done = []
    while (deadline := keep_alive.next_timeout(owed=False)) is not None and "dead" not in [what for what, _ in done]:
        done.append((keep_alive.handle_timeout(deadline, owed=False), deadline // SECOND))
    assert done == [("probe", 7200 + 75 * index) for index in range(9)] + [("dead", 7200 + 75 * 9)]


def test_nothing_is_due_before_the_peer_was_heard_at_all() -> None:
    keep_alive = KeepAlive(True, 100, 10, 3)
    assert keep_alive.next_timeout(owed=False) is None
    assert keep_alive.handle_timeout(1000, owed=False) is None


@pytest.mark.rdt("5.11-2")
@pytest.mark.rfc("9293", "MUST-27")
def test_nothing_happens_before_its_time() -> None:
    keep_alive = small()
    assert keep_alive.handle_timeout(99, owed=False) is None
    assert keep_alive.handle_timeout(100, owed=False) == "probe"
    assert keep_alive.handle_timeout(109, owed=False) is None
    assert keep_alive.unanswered == 1


@pytest.mark.rdt("5.11-2")
@pytest.mark.rfc("9293", "MUST-26")
def test_while_something_is_outstanding_it_does_not_ask() -> None:
    keep_alive = small()
    assert keep_alive.next_timeout(owed=True) is None
    assert keep_alive.handle_timeout(100, owed=True) is None
    assert keep_alive.next_timeout(owed=False) == 100


@pytest.mark.rdt("5.11-5")
@pytest.mark.rfc("9293", "MUST-26")
def test_whatever_is_heard_begins_the_wait_anew() -> None:
    keep_alive = small()
    keep_alive.on_heard(60)
    assert keep_alive.next_timeout(owed=False) == 160


@pytest.mark.rdt("5.11-4", "5.11-5")
@pytest.mark.rfc("9293", "MUST-29")
def test_an_answer_ends_the_asking() -> None:
    """No single probe's failure counts."""
    keep_alive = small(count=2)
    for start in (100, 1000, 10_000):
        assert keep_alive.handle_timeout(start, owed=False) == "probe"
        assert keep_alive.handle_timeout(start + 10, owed=False) == "probe"
        keep_alive.on_heard(start + 19)
        assert keep_alive.unanswered == 0
        assert keep_alive.next_timeout(owed=False) == start + 119


@pytest.mark.rdt("5.11-4")
def test_a_late_clock_still_gives_each_probe_its_time() -> None:
    """After a suspended machine wakes up, all probes would be due at once."""
    keep_alive = small(count=2)
    assert keep_alive.handle_timeout(5000, owed=False) == "probe"
    assert keep_alive.handle_timeout(5000, owed=False) is None
    assert keep_alive.next_timeout(owed=False) == 5010
