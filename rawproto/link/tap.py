"""A link that keeps a record of what passes: the place of tcpdump, inside the process and at the engine's own time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rawproto.link.base import Link, LinkWrapper
from rawproto.wire.frame import Direction, Frame

__all__ = ["RecordingLink"]


class RecordingLink(LinkWrapper):
    """Passes everything on, and gives each frame to `record` (such as a capture writer's `write`) in order of events.

    A frame is stamped with the `now` of the call that brought it. Frames to send are recorded when they are handed
    over, before the inner link sees them: a tap over an impairing link records what was sent, one below it what
    got through. One that the inner link then refuses with LinkError is in the record all the same.
    """

    def __init__(self, inner: Link, record: Callable[[Frame], object]) -> None:
        super().__init__(inner)
        self.record = record

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Record `frames` as outbound and pass them on."""
        for frame in frames:
            data, linktype = self.inner.on_wire(frame, peer=peer, outbound=True)
            self.record(Frame(data, now, linktype, self.interface, Direction.OUTBOUND, peer=peer))
        self.inner.send(frames, now, peer)

    def receive(self, now: int) -> list[Frame]:
        """Record what the inner link has received, and give it on unchanged."""
        frames = self.inner.receive(now)
        for frame in frames:
            self.record(self._as_stored(frame, now))
        return frames

    def _as_stored(self, frame: Frame, now: int) -> Frame:
        data, linktype = self.inner.on_wire(frame.data, peer=frame.peer, outbound=False)
        length = frame.original_length
        return frame._replace(
            data=data,
            time_ns=now,
            linktype=linktype,
            interface=frame.interface or self.interface,
            # A link that sniffs sees the host's own frames as well, and says so.
            direction=frame.direction or Direction.INBOUND,
            original_length=None if length is None else length + len(data) - len(frame.data),
        )
