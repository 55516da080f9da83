"""Initial sequence numbers: RFC 6528 in 48 bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport.config import SECOND
from rawproto.transport.isn import InitialSequence

SECRET = bytes(range(32))
TOP = 1 << 48


@pytest.mark.rfc("6528", "3-1")
def test_it_is_what_recordings_have() -> None:
    """The number is what `openssl mac -macopt hexkey:... -macopt size:6 BLAKE2SMAC` makes of `80 10.0.0.1 49152`."""
    assert InitialSequence(SECRET).choose(80, "10.0.0.1", 49152, 0) == 0xFF59_2394_AB99


@pytest.mark.rdt("5.2-2")
@pytest.mark.rfc("9293", "MUST-8", "SHLD-1")
@pytest.mark.rfc("6528", "3-1", "3-3")
def test_it_rises_by_one_in_four_microseconds() -> None:
    sequence = InitialSequence(SECRET)
    first = sequence.choose(80, "10.0.0.1", 49152, 0)
    assert sequence.choose(80, "10.0.0.1", 49152, 3_999) == first
    assert sequence.choose(80, "10.0.0.1", 49152, 4_000) == first + 1
    assert sequence.choose(80, "10.0.0.1", 49152, SECOND) == (first + 250_000) % TOP


@pytest.mark.rdt("5.2-1")
@given(now=st.integers(0, 1 << 70))
def test_it_stays_within_48_bits(now: int) -> None:
    assert 0 <= InitialSequence(SECRET).choose(80, "10.0.0.1", 49152, now) < TOP


@pytest.mark.rdt("5.2-2")
@pytest.mark.rfc("9293", "MUST-9", "SHLD-1")
@pytest.mark.rfc("6528", "3-1")
def test_each_name_and_each_secret_has_its_own() -> None:
    names = [(80, "10.0.0.1", 1), (81, "10.0.0.1", 1), (80, "10.0.0.2", 1), (80, "10.0.0.1", 2), (8, "0 10.0.0.1", 1)]
    numbers = {InitialSequence(SECRET).choose(*name, 0) for name in names}
    numbers.add(InitialSequence(bytes(32)).choose(*names[0], 0))
    assert len(numbers) == len(names) + 1


def test_without_a_key_it_is_always_0() -> None:
    sequence = InitialSequence(SECRET, keyed=False)
    assert sequence.choose(80, "10.0.0.1", 49152, 5 * SECOND) == 0
