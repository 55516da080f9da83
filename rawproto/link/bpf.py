"""Filter expressions as tcpdump takes them (pcap-filter(7)), compiled by libpcap; for the kernel or for files.

`compile_filter` needs no privilege and opens nothing. Its `Filter` judges frames in this process (`matches`) or is
given to a socket (`attach`), where the kernel drops what does not match before it costs anything.

One expression has one meaning here: that of `tcpdump -r` on a file of whole frames. Live, the kernel takes VLAN tags
out of frames before a filter sees them, so libpcap's program for a file would find no tag there. `bytes(filter)` is a
program that asks the kernel for the tag instead and gives the same verdict; in particular "ip" leaves out tagged
frames, live too, and "ip or (vlan and ip)" has them. For a few expressions the kernel has no such program (loops, as
in "ip6 protochain 6"; loads across the edge of a tag, as in "ether[11:2] = 5"): `in_kernel` is False for these, and
`FilteringLink` does it in this process.

libpcap is called by ctypes. It looks names up in "host example.org" by itself, as tcpdump does.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import functools
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from rawproto.errors import LinkError
from rawproto.link import sockopt
from rawproto.link._classicbpf import Instruction, for_ipv6_payload, for_untagged, loops, pack, unpack
from rawproto.link.base import Link, LinkWrapper
from rawproto.wire.frame import Frame, LinkType

__all__ = ["Filter", "FilteringLink", "attach", "attach_filter", "compile_filter", "libpcap_version"]

_SONAMES = ("libpcap.so.0.8", "libpcap.so.1")
"""Debian and its kin; all others."""
_DLT_RAW = 12
_DLT = {LinkType.RAW: _DLT_RAW}
"""What libpcap calls a link type where it is not the number in files (pcap/dlt.h: 12 on all but OpenBSD)."""
_NETMASK_UNKNOWN = 0xFFFF_FFFF
_TAG = struct.Struct("!HH")
_INSTRUCTION_SIZE = 8
_NOTHING = pack([Instruction(6, 0, 0, 0)])
"""The program that lets nothing through: ret #0."""

_lock = threading.Lock()
"""pcap_compile was not reentrant before libpcap 1.8, and bpf_image has one buffer for all."""


class _Instructions(ctypes.Structure):
    """`struct bpf_program` (pcap/bpf.h)."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter expression, made by `compile_filter`; a value.

    `len(filter)` is the number of instructions, `bytes(filter)` the program for a live link, which is what
    `PacketLink(bpf=...)` takes (LinkError EOPNOTSUPP where the kernel can't run it, see `in_kernel`).
    """

    expression: str
    instructions: bytes
    """What libpcap made of it: an array of `struct sock_filter` (8 bytes each, native order), for whole frames."""
    linktype: LinkType
    snaplen: int = 262_144
    _array: ctypes.Array[ctypes.c_char] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        array = ctypes.create_string_buffer(self.instructions, len(self.instructions))
        if not _libpcap().bpf_validate(array, len(self)):
            raise LinkError(errno.EINVAL, f"the instructions of the filter {self.expression!r} are no BPF program")
        object.__setattr__(self, "_array", array)

    def __len__(self) -> int:
        return len(self.instructions) // _INSTRUCTION_SIZE

    def __bytes__(self) -> bytes:
        program = _live(self)
        if program is None:
            raise LinkError(
                errno.EOPNOTSUPP,
                f"the kernel can't run the filter {self.expression!r} on a live link: filter in this process, with "
                "FilteringLink",
            )
        return program

    def __reduce__(self) -> tuple[type[Filter], tuple[object, ...]]:
        return Filter, (self.expression, self.instructions, self.linktype, self.snaplen)

    @property
    def in_kernel(self) -> bool:
        """Whether a packet socket can run it; if not, `matches` has to judge each frame that comes."""
        return _live(self) is not None

    def matches(self, frame: bytes | Frame) -> bool:
        """Whether the filter lets `frame` through: bytes of its link type, or a Frame, whose VLAN tag is put back.

        A load behind the end of what was captured gives False, as in tcpdump. Raises LinkError (EINVAL) for a
        Frame of another link type.
        """
        if not isinstance(frame, Frame):
            return bool(_libpcap().bpf_filter(self._array, frame, len(frame), len(frame)))
        if frame.linktype is not self.linktype:
            raise LinkError(
                errno.EINVAL,
                f"the filter {self.expression!r} is for {self.linktype.name} and the frame is {frame.linktype.name}: "
                "compile it for the frame's link type",
            )
        data, length = frame.data, frame.wire_length
        if frame.vlan_tci is not None:
            data = b"".join((data[:12], _TAG.pack(sockopt.ETH_P_8021Q, frame.vlan_tci), data[12:]))
            length += _TAG.size
        return bool(_libpcap().bpf_filter(self._array, data, length, len(data)))

    def disassembly(self) -> str:
        """The instructions as text, one a line, as `tcpdump -d` prints them."""
        image = _libpcap().bpf_image
        with _lock:
            lines = [
                image(self.instructions[start : start + _INSTRUCTION_SIZE], start // _INSTRUCTION_SIZE)
                for start in range(0, len(self.instructions), _INSTRUCTION_SIZE)
            ]
        return "\n".join(line.decode() for line in lines)


class FilteringLink(LinkWrapper):
    """Passes on, of what the inner link receives, only what `filter` lets through; sends everything.

    For links that have no filter of their own, and for filters that the kernel can't run. `dropped` counts the
    frames that were held back. The filter must be compiled for the inner link's type.
    """

    def __init__(self, inner: Link, filter: Filter) -> None:  # noqa: A002 - what it is called everywhere
        _check_linktype(filter, (inner.linktype,))
        super().__init__(inner)
        self.filter = filter
        self.dropped = 0

    def receive(self, now: int) -> list[Frame]:
        """Give what has come and matches."""
        frames = self.inner.receive(now)
        matching = [frame for frame in frames if self.filter.matches(frame)]
        self.dropped += len(frames) - len(matching)
        return matching


@functools.lru_cache(maxsize=256)
def compile_filter(
    expression: str, linktype: LinkType = LinkType.ETHERNET, snaplen: int = 262_144, optimize: bool = True
) -> Filter:
    """Compile `expression` for frames of `linktype`; remembered, so that it may be asked for each frame of a file.

    `snaplen` is what the program returns for a match: the kernel cuts frames to that many bytes.
    Raises LinkError: EINVAL for an expression that is wrong or can never match, in libpcap's own words; ELIBACC when
    there is no libpcap.
    """
    if "\0" in expression:
        raise LinkError(errno.EINVAL, f"the filter {expression!r} has a null character in it")
    library = _libpcap()
    program = _Instructions()
    with _lock:
        handle = library.pcap_open_dead(_DLT.get(linktype, linktype), snaplen)
        if not handle:
            raise LinkError(errno.ENOMEM, "libpcap has no memory for a handle")
        try:
            text = expression.encode()
            if library.pcap_compile(handle, ctypes.byref(program), text, int(optimize), _NETMASK_UNKNOWN) != 0:
                complaint = library.pcap_geterr(handle).decode(errors="replace")
                raise LinkError(errno.EINVAL, f"filter {expression!r}: {complaint}")
            instructions = ctypes.string_at(program.instructions, program.length * _INSTRUCTION_SIZE)
            library.pcap_freecode(ctypes.byref(program))
        finally:
            library.pcap_close(handle)
    return Filter(expression, instructions, linktype, snaplen)


def attach(sock: socket.socket, filter: Filter) -> bool:  # noqa: A002 - what it is called everywhere
    """Give `filter` to a packet socket or a raw IP socket; False if the kernel can't run it and nothing was done.

    The caller then filters what it receives with `filter.matches`. On a packet socket, to be called while its
    protocol is 0, before `bind`: frames that are queued already stay. A raw IP socket (a filter for
    LinkType.RAW) has received since it was made; here it is emptied, so that nothing unfiltered is left. There the
    filter judges the packet as RawIpLink shows it: an IPv6 packet without its extension headers.
    Raises LinkError EINVAL for another kind of socket or a filter of the wrong link type.
    """
    if sock.type != socket.SOCK_RAW:
        raise LinkError(errno.EINVAL, "a filter expression can only be given to a raw socket, which shows headers")
    raw = sock.family != socket.AF_PACKET
    _check_linktype(filter, (LinkType.RAW,) if raw else (LinkType.ETHERNET,))
    program = _live(filter)
    if sock.family == socket.AF_INET6:
        # What libpcap writes for either version would load what only an IPv4 packet has.
        ipv6 = compile_filter(filter.expression, LinkType.IPV6, filter.snaplen)
        rewritten = for_ipv6_payload(unpack(ipv6.instructions), sock.proto)
        program = None if rewritten is None else pack(rewritten)
    if program is None:
        return False
    if raw:
        attach_filter(sock, _NOTHING)
        _empty(sock)
    attach_filter(sock, program)
    return True


def attach_filter(sock: socket.socket, program: bytes) -> None:
    """Give the kernel `program`, an array of `struct sock_filter`, for the socket, in place of what it had (socket(7)).

    Raises LinkError: EINVAL for what is no program, ENOMEM for one over the limit net.core.optmem_max.
    """
    count, odd = divmod(len(program), _INSTRUCTION_SIZE)
    buffer = ctypes.create_string_buffer(program, len(program))
    try:
        if odd:
            raise OSError(errno.EINVAL, "not a whole number of instructions")
        fprog = struct.pack("@HP", count, ctypes.addressof(buffer))
        sock.setsockopt(socket.SOL_SOCKET, sockopt.SO_ATTACH_FILTER, fprog)
    except (OSError, struct.error) as error:
        number = getattr(error, "errno", None) or errno.EINVAL
        advice = "raise sysctl net.core.optmem_max" if number == errno.ENOMEM else "it is no valid BPF program"
        text = f"the kernel refuses a filter of {len(program)} bytes ({error}): {advice}"
        raise LinkError(number, text) from error


def libpcap_version() -> str:
    """What libpcap says of itself, "libpcap version 1.10.3 (...)". Raises LinkError (ELIBACC) when there is none."""
    version: bytes = _libpcap().pcap_lib_version()
    return version.decode()


def _check_linktype(filter: Filter, wanted: Sequence[LinkType]) -> None:  # noqa: A002
    if filter.linktype not in wanted:
        names = " or ".join(linktype.name for linktype in wanted)
        raise LinkError(
            errno.EINVAL, f"the filter {filter.expression!r} is for {filter.linktype.name}, the link needs {names}"
        )


@functools.lru_cache(maxsize=256)
def _live(filter: Filter) -> bytes | None:  # noqa: A002
    """The program for a live link; None if the kernel can't run it."""
    program = unpack(filter.instructions)
    if filter.linktype is not LinkType.ETHERNET:
        return None if loops(program) else filter.instructions
    rewritten = for_untagged(program)
    return None if rewritten is None else pack(rewritten)


def _empty(sock: socket.socket) -> None:
    """Throw away what a socket has received."""
    while True:
        try:
            sock.recv(1, socket.MSG_DONTWAIT)  # of 0 bytes Python makes no call
        except BlockingIOError:
            return


@functools.cache
def _libpcap() -> ctypes.CDLL:
    """Load libpcap. Raises LinkError (ELIBACC), which says how to install it."""
    library = _load()
    if library is None:
        raise LinkError(errno.ELIBACC, "filters need libpcap: apt install libpcap0.8 (elsewhere the package libpcap)")
    handle, program, text = ctypes.c_void_p, ctypes.POINTER(_Instructions), ctypes.c_char_p
    signatures = {
        "pcap_open_dead": (handle, (ctypes.c_int, ctypes.c_int)),
        "pcap_compile": (ctypes.c_int, (handle, program, text, ctypes.c_int, ctypes.c_uint32)),
        "pcap_geterr": (text, (handle,)),
        "pcap_freecode": (None, (program,)),
        "pcap_close": (None, (handle,)),
        "pcap_lib_version": (text, ()),
        "bpf_filter": (ctypes.c_uint, (ctypes.c_void_p, text, ctypes.c_uint, ctypes.c_uint)),
        "bpf_image": (text, (text, ctypes.c_int)),
        "bpf_validate": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_int)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _load() -> ctypes.CDLL | None:
    for name in _SONAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    found = ctypes.util.find_library("pcap")  # last, because it may run a compiler to find out
    return ctypes.CDLL(found) if found else None
