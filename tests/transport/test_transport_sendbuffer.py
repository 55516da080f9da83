"""SendBuffer against plain bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport.sendbuffer import SendBuffer


@given(
    st.lists(st.one_of(st.binary(min_size=1, max_size=50), st.integers(4000, 9000).map(bytes)), max_size=12),
    st.lists(st.floats(0, 1), max_size=6),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_any_part_that_is_kept_can_be_read(blocks: list[bytes], releases: list[float], low: float, high: float) -> None:
    buffer, model, start = SendBuffer(1000), b"", 1000
    for index, block in enumerate(blocks):
        buffer.append(block)
        model += block
        if index < len(releases):
            keep = int(releases[index] * len(model))
            buffer.release(start + keep)
            model, start = model[keep:], start + keep
    assert (buffer.start, buffer.end, len(buffer)) == (start, start + len(model), len(model))
    first, last = sorted((int(low * len(model)), int(high * len(model))))
    if first < last:
        assert bytes(buffer.read(start + first, start + last)) == model[first:last]


def test_a_read_inside_one_block_does_not_copy() -> None:
    buffer = SendBuffer(0)
    block = bytes(10_000)
    buffer.append(block)
    view = buffer.read(100, 9_000)
    assert isinstance(view, memoryview)
    assert view.obj is block


def test_many_small_writes_become_few_blocks() -> None:
    buffer = SendBuffer(0)
    for _ in range(10_000):
        buffer.append(b"x")
    assert len(buffer._blocks) <= 3
    assert bytes(buffer.read(0, 10_000)) == b"x" * 10_000


def test_what_is_released_is_forgotten() -> None:
    buffer = SendBuffer(0)
    for _ in range(4):
        buffer.append(bytes(5000))
    buffer.release(15_000)
    assert len(buffer._blocks) == 1
    buffer.release(14_000)  # an old acknowledgement
    assert buffer.start == 15_000
    buffer.release(20_001)  # a FIN is acknowledged with the data
    assert (buffer.start, len(buffer), buffer._blocks) == (20_000, 0, [])
