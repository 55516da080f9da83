"""The journal: what an application and the clock told a stack, kept in the capture between the frames.

Frames alone can't be replayed: an endpoint also acts on the calls of its application and on time. Each call is
stored as one frame of an interface named "app", link type WIRESHARK_UPPER_PDU: a dissector tag that says "json",
then the call as a JSON object, so that Wireshark shows it in its place between the packets. Bytes are in base64; what
is too long for one frame of a capture goes ahead in entries of its own, all of the same time.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from rawproto.errors import CaptureError
from rawproto.wire.frame import Frame, LinkType

__all__ = ["INTERFACE", "Call", "JournalWriter", "joined", "read_call"]

INTERFACE = "app"
_TAG_DISSECTOR_NAME = 12  # EXP_PDU_TAG_DISSECTOR_NAME in Wireshark's wsutil/exported_pdu_tlvs.h
_PIECE = "data"  # the name of an entry that holds but the first part of the bytes of the next
_MOST = 96 << 10  # bytes in one entry: with base64 half of what a frame of a capture may have
_HEAD = struct.pack(">HH4sHH", _TAG_DISSECTOR_NAME, 4, b"json", 0, 0)


class Call(NamedTuple):
    """One call: its time in ns, its name ("timeout" for the clock), its arguments."""

    time_ns: int
    name: str
    arguments: dict[str, Any]


class FrameSink(Protocol):
    """What a journal writes to: any capture writer."""

    def write(self, frame: Frame) -> None:
        """Append `frame`."""


class JournalWriter:
    """Writes the calls of a stack (rawproto.transport.stack.Journal) into a capture."""

    def __init__(self, sink: FrameSink) -> None:
        self._sink = sink

    def call(self, now: int, name: str, **arguments: Any) -> None:
        """Store one call at `now`, in ns."""
        data = arguments.get("data", b"")
        if len(data) > _MOST:
            start = (len(data) - 1) // _MOST * _MOST
            for at in range(0, start, _MOST):
                self._write(now, _PIECE, {"data": data[at : at + _MOST]})
            arguments["data"] = data[start:]
        self._write(now, name, arguments)

    def _write(self, now: int, name: str, arguments: dict[str, Any]) -> None:
        plain = {
            key: base64.b64encode(value).decode() if isinstance(value, (bytes, bytearray, memoryview)) else value
            for key, value in arguments.items()
        }
        data = _HEAD + json.dumps({"call": name, **plain}, separators=(",", ":")).encode()
        self._sink.write(Frame(data, now, LinkType.WIRESHARK_UPPER_PDU, INTERFACE))


def joined(calls: Iterable[Call]) -> list[Call]:
    """The calls of one time, each with all of its bytes."""
    whole: list[Call] = []
    pieces: list[bytes] = []
    for call in calls:
        if call.name == _PIECE:
            pieces.append(call.arguments["data"])
        elif pieces and "data" in call.arguments:
            data = b"".join((*pieces, call.arguments["data"]))
            whole.append(call._replace(arguments={**call.arguments, "data": data}))
            pieces = []
        else:
            whole.append(call)
    return whole


def read_call(frame: Frame) -> Call | None:
    """Give the call that `frame` holds, None if it is a frame from the wire. Raises CaptureError for a damaged one."""
    if frame.linktype is not LinkType.WIRESHARK_UPPER_PDU or frame.interface != INTERFACE:
        return None
    try:
        arguments = json.loads(frame.data[len(_HEAD) :])
        name = arguments.pop("call")
        if "data" in arguments:
            arguments["data"] = base64.b64decode(arguments["data"], validate=True)
    except (RecursionError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CaptureError(f"the journal entry at {frame.time_ns} ns can't be read: {error}") from None
    return Call(frame.time_ns, str(name), arguments)
