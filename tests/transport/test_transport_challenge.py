"""The limit on challenge ACKs: RFC 5961 §7."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport.challenge import CHALLENGE_PERIOD, MAX_CHALLENGES, ChallengeLimit
from rawproto.transport.config import SECOND

pytestmark = pytest.mark.rfc("5961", "7")


def test_the_defaults_are_ten_in_five_seconds() -> None:
    assert (MAX_CHALLENGES, CHALLENGE_PERIOD) == (10, 5 * SECOND)
    limit = ChallengeLimit()
    assert [limit.allow(0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert (limit.sent, limit.suppressed) == (10, 2)


def test_after_the_period_there_is_room_again() -> None:
    limit = ChallengeLimit(most=2, period_ns=100)
    assert limit.allow(0)
    assert limit.allow(50)
    assert not limit.allow(99)
    assert limit.allow(100)
    assert not limit.allow(149)
    assert limit.allow(150)


def test_what_was_suppressed_does_not_prolong_the_wait() -> None:
    limit = ChallengeLimit(most=1, period_ns=100)
    assert [limit.allow(now) for now in (0, 60, 99, 100)] == [True, False, False, True]


@given(
    st.lists(st.integers(0, 40), max_size=200),
    st.integers(1, 5),
    st.integers(1, 100),
)
def test_no_window_has_more(gaps: list[int], most: int, period: int) -> None:
    limit = ChallengeLimit(most=most, period_ns=period)
    now, sent = 0, []
    for gap in gaps:
        now += gap
        recent = sum(now - time < period for time in sent)
        allowed = limit.allow(now)
        assert allowed == (recent < most)
        if allowed:
            sent.append(now)
    assert (limit.sent, limit.suppressed) == (len(sent), len(gaps) - len(sent))


def test_switched_off_there_is_no_limit() -> None:
    limit = ChallengeLimit(enabled=False, most=1)
    assert all(limit.allow(0) for _ in range(100))
    assert (limit.sent, limit.suppressed) == (100, 0)
