"""Every recording in pcaps/ drives the engine through a real run again, to the byte and the nanosecond."""

from __future__ import annotations

from pathlib import Path

import pytest

from rawproto.capture import PcapngWriter, open_capture
from rawproto.errors import CaptureError, ReplayMismatchError
from rawproto.testing.expectations import check, check_changes, load
from rawproto.testing.replay import replay
from rawproto.transport import rtt

PCAPS = Path(__file__).parents[1] / "pcaps"
RECORDINGS = sorted(PCAPS.glob("*.toml"))
CHANGES = [(path, name) for path in RECORDINGS for name in load(path).changes]


def test_there_are_recordings_of_all_that_the_transport_must_show() -> None:
    names = {path.stem for path in RECORDINGS}
    wanted = {"handshake_and_close", "fast_retransmit", "timeout", "reordering_and_duplicates", "reset", "zero_window"}
    assert wanted <= names
    assert {path.stem for path in PCAPS.glob("*.pcapng")} == names


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_replay_answers_as_recorded(path: Path) -> None:
    player = check(load(path))
    assert player.counts.sent > 0
    assert player.counts.received > 0


@pytest.mark.parametrize(("path", "name"), CHANGES, ids=lambda value: getattr(value, "stem", value))
def test_replay_fails_when_one_constant_is_changed(path: Path, name: str) -> None:
    expected = load(path)
    message = check_changes(expected, name, expected.changes[name])
    assert "recorded:" in message
    assert "replayed:" in message


def test_replay_fails_when_a_constant_outside_the_settings_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtt, "GRANULARITY", 1_000_000_000)
    with pytest.raises(ReplayMismatchError, match="recorded: timeout set for"):
        replay(PCAPS / "timeout.pcapng")


def test_the_first_difference_is_shown_field_by_field() -> None:
    with pytest.raises(ReplayMismatchError) as caught:
        replay(PCAPS / "handshake_and_close.pcapng", receive_buffer=1000)
    message = str(caught.value)
    assert "RDT.window: recorded 4194304, replayed 1000" in message
    assert "step" in message


def test_a_flipped_bit_in_a_recorded_answer_is_found(tmp_path: Path) -> None:
    source = PCAPS / "handshake_and_close.pcapng"
    damaged = tmp_path / "damaged.pcapng"
    with open_capture(source) as reader, PcapngWriter(damaged, comment=reader.comment) as writer:
        flipped = False
        for frame in reader:
            data = frame.data
            if frame.direction == 2 and len(data) > 200 and not flipped:
                data = data[:-1] + bytes((data[-1] ^ 1,))
                flipped = True
            writer.write(frame._replace(data=data))
    assert flipped
    with pytest.raises(ReplayMismatchError, match="payload"):
        replay(damaged)


def test_a_capture_that_is_no_recording_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "plain.pcapng"
    with PcapngWriter(path, comment="only a capture"):
        pass
    with pytest.raises(CaptureError, match="can be read but not replayed") as caught:
        replay(path)
    assert "\n" not in str(caught.value)


def test_a_recording_without_steps_does_not_pass(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcapng"
    with open_capture(PCAPS / "reset.pcapng") as reader, PcapngWriter(path, comment=reader.comment):
        pass
    with pytest.raises(CaptureError, match="nothing to replay"):
        replay(path)
