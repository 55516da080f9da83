from random import Random

import pytest

from rawproto.study.alignment import align

DATA = Random(5).randbytes(20_000)


def flaws(sent: bytes, received: bytes) -> set[str]:
    found = align(sent, received)
    return {name for name in ("foreign", "missing", "repeated", "moved") if getattr(found, name)}


def test_equal_streams_are_exact_even_if_they_repeat_themselves() -> None:
    assert align(bytes(100_000), bytes(100_000)).exact
    assert align(b"", b"").exact


@pytest.mark.parametrize("at", [0, 7, 4096, 19_000])
@pytest.mark.parametrize("size", [19, 32, 500])
def test_two_swapped_blocks_are_moved_and_nothing_else(at: int, size: int) -> None:
    first, second = DATA[at : at + size], DATA[at + size : at + 2 * size]
    assert flaws(DATA, DATA[:at] + second + first + DATA[at + 2 * size :]) == {"moved"}


@pytest.mark.parametrize("at", [0, 3, 8192, 19_900])
@pytest.mark.parametrize("size", [19, 32, 1440])
def test_a_repeated_block_is_repeated_and_nothing_else(at: int, size: int) -> None:
    received = DATA[: at + size] + DATA[at : at + size] + DATA[at + size :]
    assert flaws(DATA, received) == {"repeated"}
    assert align(DATA, received).repeated == len(DATA[at : at + size])


def test_a_block_that_comes_again_much_later_is_repeated_and_not_moved() -> None:
    assert flaws(DATA, DATA[:9000] + DATA[100:200] + DATA[9000:]) == {"repeated"}


@pytest.mark.parametrize("kept", [0, 1, 10_000, 19_999])
def test_a_cut_stream_is_missing_its_end_and_nothing_else(kept: int) -> None:
    found = align(DATA, DATA[:kept])
    assert flaws(DATA, DATA[:kept]) == {"missing"}
    assert found.missing == len(DATA) - kept


@pytest.mark.parametrize("at", [0, 5, 12_345])
def test_a_hole_is_missing_and_nothing_else(at: int) -> None:
    assert flaws(DATA, DATA[:at] + DATA[at + 1440 :]) == {"missing"}


@pytest.mark.parametrize("at", [0, 5, 12_345, 20_000])
def test_inserted_bytes_are_foreign_and_nothing_else(at: int) -> None:
    strange = Random(6).randbytes(24)
    assert flaws(DATA, DATA[:at] + strange + DATA[at:]) == {"foreign"}


def test_a_flipped_byte_is_foreign_and_its_original_missing() -> None:
    received = bytearray(DATA)
    received[7000] ^= 0x10
    found = align(DATA, bytes(received))
    assert (found.foreign, found.missing, found.repeated, found.moved) == (1, 1, 0, 0)


def test_zeros_that_were_cut_are_only_missing() -> None:
    assert flaws(bytes(5000), bytes(4000)) == {"missing"}


def test_streams_that_differ_are_never_called_exact() -> None:
    rng = Random(1)
    for _ in range(300):
        sent = bytes(rng.choices(b"ab", k=rng.randrange(60)))
        received = bytes(rng.choices(b"ab", k=rng.randrange(60)))
        assert align(sent, received).exact == (sent == received), (sent, received)
