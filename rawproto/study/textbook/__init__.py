"""Bring your own protocol: a sender or a receiver of the textbook's kind, put through what the transport goes through.

`machine` says what to write, `stop_and_wait`, `go_back_n` and `selective_repeat` are examples that hold, and
`grade.grade` is the examiner.
"""

from rawproto.study.textbook.machine import Receiver, Sender, Settings
from rawproto.study.textbook.packet import Packet

__all__ = ["Packet", "Receiver", "Sender", "Settings"]
