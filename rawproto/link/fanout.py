"""Fanout: several AF_PACKET sockets share an interface, each frame going to one of them (packet(7), PACKET_FANOUT).

So that several processes, on a core each, receive what is too much for one. All members of a group are in one network
namespace and agree on interface, protocol, mode and whether they also want what the host sends.
"""

from __future__ import annotations

import errno
import socket
import struct
from enum import IntEnum

from rawproto.errors import LinkError
from rawproto.link import sockopt
from rawproto.link.bpf import attach_filter

__all__ = ["FanoutMode", "join_group", "receive_nothing"]

_NOTHING = struct.pack("@HBBI", 6, 0, 0, 0)
"""The filter program that lets nothing through: ret #0."""
_LARGEST_GROUP = 0xFFFF


class FanoutMode(IntEnum):
    """What decides which link of a group gets a frame."""

    HASH = sockopt.PACKET_FANOUT_HASH
    """Its flow, in both directions: addresses, protocol and ports."""
    ROUND_ROBIN = sockopt.PACKET_FANOUT_LB
    """Each link in turn."""
    CPU = sockopt.PACKET_FANOUT_CPU
    """The processor that the frame came in by."""
    ROLLOVER = sockopt.PACKET_FANOUT_ROLLOVER
    """The first link has all, until it is full; then the next one."""
    RANDOM = sockopt.PACKET_FANOUT_RND
    """Chance."""
    QUEUE = sockopt.PACKET_FANOUT_QM
    """The card's queue that the frame came in by."""


def join_group(
    sock: socket.socket, group: int, mode: FanoutMode, *, outgoing: bool, bind: tuple[str, int], bpf: bytes
) -> None:
    """Bind `sock` to `bind` (interface, EtherType) as a member of `group`, 0 to 65535; the first one makes the group.

    `bpf` is the socket's filter; what comes before the socket is a member does not get past it either.
    Raises LinkError: EINVAL for a group of another mode, interface or protocol, ENOSPC for a full one.
    """
    if not 0 <= group <= _LARGEST_GROUP:
        raise LinkError(errno.EINVAL, f"there is no fanout group {group}: give 0 to {_LARGEST_GROUP}")
    # A socket can join only when it is bound, and gets the frames of all members until it has joined.
    receive_nothing(sock)
    sock.bind(bind)
    flags = 0 if outgoing else sockopt.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
    try:
        sock.setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_FANOUT, struct.pack("@I", group | (mode | flags) << 16))
    except OSError as error:
        text = f"fanout group {group} of {bind[0]}: {error.strerror}"
        if error.errno == errno.EINVAL:
            text = (
                f"fanout group {group} does not take this link: all of a group have one mode (here {mode.name}), "
                f"interface ({bind[0]}), EtherType and wish for outgoing frames"
            )
        raise LinkError(error.errno or errno.EIO, text) from error
    if bpf:
        attach_filter(sock, bpf)
    else:
        sock.setsockopt(socket.SOL_SOCKET, sockopt.SO_DETACH_FILTER, 0)


def receive_nothing(sock: socket.socket) -> None:
    """Have `sock` receive nothing from now on; what is queued stays."""
    attach_filter(sock, _NOTHING)
