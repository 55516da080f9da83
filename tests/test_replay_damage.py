"""A damaged recording is told to be one; nothing else comes out of a replay."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from rawproto.capture import PcapngWriter, open_capture
from rawproto.errors import CaptureError
from rawproto.testing.replay import replay

PCAPS = Path(__file__).parents[1] / "pcaps"


@pytest.mark.parametrize("seed", range(60))
def test_any_bytes_changed_end_in_an_error_of_our_own_or_none(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    data = bytearray((PCAPS / "handshake_and_close.pcapng").read_bytes())
    for _ in range(rng.choice([1, 5, 50])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path = tmp_path / "damaged.pcapng"
    path.write_bytes(data)
    with suppress(CaptureError):  # ReplayMismatchError is one
        replay(path)


@pytest.mark.parametrize(
    ("source", "before", "after"),
    [
        ("reordering_and_duplicates", b'"backlog"', b'"cabklog"'),
        ("reordering_and_duplicates", b'"limit":', b'"timil":'),
        ("zero_window", b'"connection":0', b'"connection":9'),
        ("zero_window", b'"call":"send"', b'"call":"dnes"'),
    ],
)
def test_a_call_that_makes_no_sense_is_named(tmp_path: Path, source: str, before: bytes, after: bytes) -> None:
    path = tmp_path / "damaged.pcapng"
    found = False
    with open_capture(PCAPS / f"{source}.pcapng") as reader, PcapngWriter(path, comment=reader.comment) as writer:
        for frame in reader:
            found |= before in frame.data
            writer.write(frame._replace(data=frame.data.replace(before, after)))
    assert found
    with pytest.raises(CaptureError, match=r"damaged|not known"):
        replay(path)
