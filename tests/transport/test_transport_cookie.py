"""Cookies: what a listener needs to know again, and nothing that anybody else could have made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport import cookie as cookie_module
from rawproto.transport.config import MILLISECOND, SECOND
from rawproto.transport.cookie import COOKIE_LENGTH, Baked, CookieJar, allowed

SECRET = bytes(range(32))
LIFETIME = 30 * SECOND
NOW = 1_000_000 * SECOND
NAME = (80, "10.0.0.1", 49152, 0x1234_5678_9ABC)
SYN = Baked(irs=(1 << 64) - (1 << 17), mss=1440, record=None, ecn=True)
TICK = 1 << 24


def jar(secret: bytes = SECRET, lifetime_ns: int = LIFETIME) -> CookieJar:
    return CookieJar(secret, lifetime_ns=lifetime_ns)


COOKIE = jar().bake(NOW, *NAME, SYN)


@pytest.mark.rdt("5.10-2")
@pytest.mark.rfc("4987", "3.6-3")
@pytest.mark.rfc("9260", "5.1.3")
@given(
    irs=st.integers(0, (1 << 64) - (1 << 17)),
    mss=st.integers(0, 0xFFFF),
    record=st.none() | st.integers(0, 0xFFFF_FFFF),
    ecn=st.booleans(),
    now=st.integers(0, 1 << 63),
    later=st.integers(0, LIFETIME - TICK),
    local_port=st.integers(0, 0xFFFF),
    peer=st.text(max_size=40),
    peer_port=st.integers(0, 0xFFFF),
    iss=st.integers(0, (1 << 48) - 1),
)
def test_what_was_baked_comes_out(
    irs: int,
    mss: int,
    record: int | None,
    ecn: bool,
    now: int,
    later: int,
    local_port: int,
    peer: str,
    peer_port: int,
    iss: int,
) -> None:
    baked = Baked(irs, mss, record, ecn)
    cookie = jar().bake(now, local_port, peer, peer_port, iss, baked)
    assert jar().open(cookie, now + later, local_port, peer, peer_port, iss) == baked


@pytest.mark.parametrize("record", [None, 0, 1])
def test_no_records_are_not_records_of_nothing(record: int | None) -> None:
    cookie = jar().bake(NOW, *NAME, Baked(7, 1440, record, False))
    assert jar().open(cookie, NOW, *NAME) == Baked(7, 1440, record, False)


def test_its_bytes() -> None:
    """The last 16 are what `openssl mac -macopt hexkey:... -macopt custom:cookie -macopt size:16 BLAKE2SMAC` makes of
    the first 20, 0050 c000 0000123456789abc, and the address.
    """
    assert COOKIE[:20].hex() == "00038d7ea4" + "fffffffffffe0000" + "05a0" + "00000000" + "01"
    assert COOKIE[20:].hex() == "f51b804ee2a7f825d10c2f6d32bd3e18"


@pytest.mark.rdt("5.10-2")
@pytest.mark.rfc("4987", "3.6-2")
@pytest.mark.parametrize(
    "name",
    [
        (81, "10.0.0.1", 49152, NAME[3]),
        (80, "10.0.0.2", 49152, NAME[3]),
        (80, "10.0.0.1", 49153, NAME[3]),
        (80, "10.0.0.1", 49152, NAME[3] + 1),
        (80, "10.0.0.1", 49152, -1),
        (80, "10.0.0.1", 49152, 1 << 64),
    ],
    ids=["port", "peer", "peer port", "other ISS", "ISS below 0", "ISS too large"],
)
def test_it_is_good_for_one_name_only(name: tuple[int, str, int, int]) -> None:
    assert jar().open(COOKIE, NOW, *name) == "cookie forged"


@pytest.mark.rdt("5.10-2")
@pytest.mark.rfc("9260", "5.1.3")
def test_no_bit_of_it_can_be_changed() -> None:
    for bit in range(8 * len(COOKIE)):
        changed = (int.from_bytes(COOKIE, "big") ^ 1 << bit).to_bytes(len(COOKIE), "big")
        assert jar().open(changed, NOW, *NAME) == "cookie forged", bit


@given(st.binary(max_size=80))
def test_nothing_that_comes_makes_it_raise(cookie: bytes) -> None:
    assert jar().open(cookie, NOW, *NAME) == "cookie forged"


@pytest.mark.parametrize("cookie", [b"", COOKIE[:-1], COOKIE + b"\0", COOKIE[:20]])
def test_its_length_is_fixed(cookie: bytes) -> None:
    assert jar().open(cookie, NOW, *NAME) == "cookie forged"


@pytest.mark.rdt("5.10-2")
def test_another_secret_makes_another_cookie() -> None:
    assert jar(bytes(32)).open(COOKIE, NOW, *NAME) == "cookie forged"


@pytest.mark.rfc("9260", "5.1.3")
def test_it_expires_and_never_late() -> None:
    assert jar().open(COOKIE, NOW + LIFETIME - 17 * MILLISECOND, *NAME) == SYN
    assert jar().open(COOKIE, NOW + LIFETIME + 1, *NAME) == "cookie expired"
    assert jar().open(COOKIE, NOW + 1000 * LIFETIME, *NAME) == "cookie expired"


@given(now=st.integers(0, 1 << 60))
def test_what_is_left_of_its_last_tick_is_lost_and_no_more(now: int) -> None:
    cookie = jar().bake(now, *NAME, SYN)
    assert jar().open(cookie, now + LIFETIME + 1, *NAME) == "cookie expired"
    assert jar().open(cookie, now + LIFETIME - TICK + 1, *NAME) == SYN


@pytest.mark.rdt("5.10-13")
def test_a_used_one_is_good_no_more_and_others_are() -> None:
    mine = jar()
    other = mine.bake(NOW + TICK, *NAME, SYN)
    mine.spend(COOKIE, NOW)
    assert mine.open(COOKIE, NOW + LIFETIME - TICK, *NAME) == "cookie used"
    assert mine.open(other, NOW + TICK, *NAME) == SYN


@pytest.mark.rdt("5.10-13")
def test_used_ones_are_forgotten_when_they_have_expired() -> None:
    mine = jar()
    for number in range(10):
        now = NOW + number * LIFETIME
        mine.spend(mine.bake(now, *NAME, SYN), now + SECOND)
    assert len(mine._spent) <= 2


@pytest.mark.rdt("5.10-13")
def test_of_too_many_used_ones_the_oldest_are_forgotten_and_nothing_as_old_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cookie_module, "MAX_SPENT", 3)
    mine = jar()
    cookies = [mine.bake(NOW + number * TICK, *NAME, SYN) for number in range(6)]
    for used in cookies[:5]:
        mine.spend(used, NOW + 5 * TICK)
    assert len(mine._spent) == 3
    assert [mine.open(used, NOW + 5 * TICK, *NAME) for used in cookies] == [*["cookie used"] * 5, SYN]


def test_one_from_the_future_is_not_good() -> None:
    """It was made by a clock that was set back since."""
    assert jar().open(COOKIE, NOW - SECOND, *NAME) == "cookie expired"


def test_no_time_comes_round_again() -> None:
    """Fewer bits of time would make an old cookie good again when they wrap."""
    first = jar().bake(0, *NAME, SYN)
    for bits in range(31, 64):
        assert jar().open(first, 1 << bits, *NAME) == ("cookie expired" if 1 << bits > LIFETIME else SYN)


def test_the_same_syn_at_another_time_has_another_cookie() -> None:
    assert jar().bake(NOW + TICK, *NAME, SYN) != COOKIE


def test_a_name_cannot_run_over_into_another() -> None:
    assert jar().open(COOKIE, NOW, 80, "10.0.0.", 49152, NAME[3]) == "cookie forged"
    assert jar().open(COOKIE, NOW, 80, "10.0.0.11", 49152, NAME[3]) == "cookie forged"


@pytest.mark.rdt("5.10-3", "5.10-12")
@pytest.mark.rfc("9000", "8.1-1")
def test_the_answer_to_the_shortest_syn_is_within_what_is_allowed() -> None:
    header, seen, mss, record = 40, 12, 4, 6
    shortest_syn = header + mss
    answer = header + -(-(seen + mss + record + 2 + len(COOKIE)) // 4) * 4
    assert len(COOKIE) == COOKIE_LENGTH <= 40
    assert answer == 100 <= allowed(shortest_syn) == 132
