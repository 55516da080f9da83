"""Filter programs rewritten for the sockets that they are attached to: what libpcap compiles is meant for whole frames.

A program of classic BPF (McCanne and Jacobson, 1993) is a list of `Instruction`s, the kernel's `struct sock_filter`
(linux/filter.h). libpcap writes it for a frame as a file holds it. The kernel shows a filter something else: on a
packet socket a frame without its VLAN tag, on an IPv6 raw socket a payload without its header. What it took away can
be asked for at certain negative offsets. The functions here give a program for that view with the same verdict on
every packet, or None where there is no such program; the frames must then be filtered by this process.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rawproto.link import sockopt

__all__ = ["MOST_INSTRUCTIONS", "Instruction", "for_ipv6_payload", "for_untagged", "loops", "pack", "unpack"]

MOST_INSTRUCTIONS: Final = 4096
"""BPF_MAXINSNS (linux/bpf_common.h)."""

_INSTRUCTION = struct.Struct("@HBBI")
_TAG = 12
"""Where an 802.1Q tag begins: behind two MAC addresses."""
_BEHIND_TAG = 16
_IPV6_HEADER = 40

# linux/bpf_common.h, linux/filter.h
_LD, _LDX, _ST, _ALU, _JMP, _RET, _MISC = 0, 1, 2, 4, 5, 6, 7
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
_IMM, _ABS, _IND, _LEN, _MSH = 0x00, 0x20, 0x40, 0x80, 0xA0
_LD_IMM, _LD_LEN, _LDX_LEN = _LD | _IMM, _LD | _LEN, _LDX | _LEN
_LD_WORD, _LD_HALF, _LD_BYTE = _LD | _ABS, _LD | _ABS | 0x08, _LD | _ABS | 0x10
_LDX_MSH = _LDX | _MSH | 0x10
_ADD, _AND, _RSH = _ALU | 0x00, _ALU | 0x50, _ALU | 0x70
_JA, _JEQ, _JGT, _JGE, _JSET = _JMP | 0x00, _JMP | 0x10, _JMP | 0x20, _JMP | 0x30, _JMP | 0x40
_TXA = _MISC | 0x80
_COMPARISONS: dict[int, Callable[[int, int], bool]] = {
    _JEQ: lambda a, k: a == k,
    _JGT: lambda a, k: a > k,
    _JGE: lambda a, k: a >= k,
    _JSET: lambda a, k: bool(a & k),
}


class Instruction(NamedTuple):
    """One `struct sock_filter`: operation, how far to jump if true and if false, operand."""

    code: int
    jt: int = 0
    jf: int = 0
    k: int = 0


Program = Sequence[Instruction]
Substitute = Callable[[Instruction], list[Instruction] | None]
"""Gives what an instruction becomes, or None if it can't be had."""
Known = Callable[[Instruction], int | None]
"""Gives what a load is known to load, or None."""


def unpack(program: bytes) -> list[Instruction]:
    """Give the instructions of an array of `struct sock_filter`."""
    return [Instruction(*fields) for fields in _INSTRUCTION.iter_unpack(program)]


def pack(program: Program) -> bytes:
    """Give the array of `struct sock_filter`."""
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def for_untagged(program: Program) -> list[Instruction] | None:
    """Rewrite a program for Ethernet frames for a packet socket, where the kernel has taken VLAN tags out.

    The new program asks whether a tag was there. If not, it is `program`; if so, it is `program` as it would run
    on the frame with its tag, all that lies behind the tag found four bytes earlier.
    """
    branches = []
    for tpid in (sockopt.ETH_P_8021Q, sockopt.ETH_P_8021AD):
        # With the type known, most programs end at once: what "ip" asks of the bytes behind it never happens.
        branch = _rewrite(program, _untag(tpid), _known_type(tpid))
        if branch is None:
            return None
        branches.append(branch)
    zero = Instruction(_LD_IMM)  # what every program starts with in the accumulator
    customer, provider = ([zero, *branch] for branch in branches)
    dispatch = [
        Instruction(_LD_BYTE, k=_offset(sockopt.SKF_AD_VLAN_TAG_PRESENT)),
        Instruction(_JEQ, 0, 1, 0),
        Instruction(_JA, k=3 + len(customer) + len(provider)),
        Instruction(_LD_HALF, k=_offset(sockopt.SKF_AD_VLAN_TPID)),
        Instruction(_JEQ, 0, 1, sockopt.ETH_P_8021AD),
        Instruction(_JA, k=len(customer)),
    ]
    whole = [*dispatch, *customer, *provider, *program]
    return whole if len(whole) <= MOST_INSTRUCTIONS else None


def for_ipv6_payload(program: Program, protocol: int) -> list[Instruction] | None:
    """Rewrite a program for IPv6 packets for a raw socket of `protocol`, where the filter sees the payload.

    The header is found at the network offset. There are no extension headers in the packet as the program sees it,
    which is the way RawIpLink shows it: its length is that of the payload, its next header `protocol`.
    """
    return _rewrite(program, _shorter(_IPV6_HEADER, _IPV6_HEADER, _in_header(protocol)), lambda _: None)


def _rewrite(program: Program, substitute: Substitute, known: Known) -> list[Instruction] | None:
    """Substitute each instruction that can be reached, leave out the others, and mend the jumps."""
    if loops(program):
        return None
    pieces: list[list[Instruction]] = [[] for _ in program]
    for at in _reachable(program, known):
        piece = substitute(program[at])
        if piece is None:
            return None
        pieces[at] = piece
    starts = [0]
    for piece in pieces:
        starts.append(starts[-1] + len(piece))
    rewritten: list[Instruction] = []
    for at, piece in enumerate(pieces):
        rewritten += piece
        if piece and program[at].code & 7 == _JMP:
            mended = _mended(program[at], at, starts)
            if mended is None:
                return None
            rewritten[-1] = mended
    return rewritten if len(rewritten) <= MOST_INSTRUCTIONS else None


def _mended(jump: Instruction, at: int, starts: Sequence[int]) -> Instruction | None:
    """Give the jump that leads where `jump` at `at` led; None if that is too far for its eight bits.

    A side that is never taken may lead to what was left out; it then leads to what follows.
    """
    here = starts[at] + 1
    if jump.code == _JA:
        return jump._replace(k=starts[at + 1 + jump.k] - here)
    jt, jf = (starts[at + 1 + offset] - here for offset in (jump.jt, jump.jf))
    return jump._replace(jt=jt, jf=jf) if max(jt, jf) <= 0xFF else None


def _reachable(program: Program, known: Known) -> list[int]:
    """Give the indices of the instructions that can be reached, where `known` says what some loads give."""
    held: dict[int, int | None] = {0: None}
    """For each instruction that is reached: what is in the accumulator before it, None for anything."""

    def reach(at: int, value: int | None) -> None:
        if held.setdefault(at, value) != value:
            held[at] = None

    for at, instruction in enumerate(program):  # jumps lead forward only, so what leads here has been seen
        if at not in held:
            continue
        value, kind = held[at], instruction.code & 7
        if kind == _JMP:
            for offset in _ways(instruction, value):
                reach(at + 1 + offset, value)
        elif kind != _RET:
            reach(at + 1, _after(instruction, value, known))
    return sorted(held)


def _after(instruction: Instruction, value: int | None, known: Known) -> int | None:
    """What is in the accumulator after `instruction`; None for anything."""
    kind = instruction.code & 7
    if kind == _LD:
        return known(instruction)
    return None if kind == _ALU or instruction.code == _TXA else value


def _ways(jump: Instruction, value: int | None) -> set[int]:
    """How far `jump` may lead with `value` in the accumulator, None for anything."""
    if jump.code == _JA:
        return {jump.k}
    compare = _COMPARISONS.get(jump.code)
    if compare is None or value is None:
        return {jump.jt, jump.jf}
    return {jump.jt if compare(value, jump.k) else jump.jf}


def loops(program: Program) -> bool:
    """Whether a jump leads back ("protochain" does that), which the kernel does not run."""
    return any(one.code == _JA and at + 1 + one.k >= len(program) for at, one in enumerate(program))


def _known_type(tpid: int) -> Known:
    return lambda instruction: tpid if instruction.code == _LD_HALF and instruction.k == _TAG else None


def _untag(tpid: int) -> Substitute:
    """What becomes of an instruction where a tag of type `tpid` was taken out."""
    tci = Instruction(_LD_WORD, k=_offset(sockopt.SKF_AD_VLAN_TAG))
    inside: dict[tuple[int, int], list[Instruction]] = {
        (12, 2): [Instruction(_LD_IMM, k=tpid)],
        (12, 1): [Instruction(_LD_IMM, k=tpid >> 8)],
        (13, 1): [Instruction(_LD_IMM, k=tpid & 0xFF)],
        (14, 2): [tci],
        (14, 1): [tci, Instruction(_RSH, k=8)],
        (15, 1): [tci, Instruction(_AND, k=0xFF)],
        (12, 4): [tci, Instruction(_ADD, k=tpid << 16)],
    }

    def before(instruction: Instruction) -> list[Instruction] | None:
        at, size = instruction.k, _SIZES[instruction.code & 0x18]
        if at + size <= _TAG:
            return [instruction]
        return inside.get((at, size)) if instruction.code & 7 == _LD else None

    return _shorter(_BEHIND_TAG, _BEHIND_TAG - _TAG, before)


def _shorter(edge: int, by: int, before: Substitute) -> Substitute:
    """What becomes of an instruction where all from the offset `edge` on lies `by` bytes earlier.

    `before` says what becomes of a load at a fixed place before the edge.
    """

    def substitute(instruction: Instruction) -> list[Instruction] | None:
        code, at, mode = instruction.code, instruction.k, instruction.code & 0xE0
        if code == _LDX_LEN:
            return None  # there is no adding to X without losing A
        if code == _LD_LEN:
            return [instruction, Instruction(_ADD, k=by)]
        if code != _LDX_MSH and (code & 7 != _LD or mode not in (_ABS, _IND)):
            return [instruction]
        if at >= edge:
            return [instruction._replace(k=at - by)]
        return None if mode == _IND else before(instruction)  # X may lead to either side of the edge

    return substitute


def _in_header(protocol: int) -> Substitute:
    """What becomes of a load from an IPv6 header that was taken off."""

    def substitute(instruction: Instruction) -> list[Instruction] | None:
        at, end = instruction.k, instruction.k + _SIZES[instruction.code & 0x18]
        if end <= 4 or 7 <= at < end <= _IPV6_HEADER:
            return [instruction._replace(k=at + sockopt.SKF_NET_OFF)]
        if instruction.code & 7 != _LD:
            return None
        # Where extension headers were, these two fields are not the wire's.
        return {(4, 6): [Instruction(_LD_LEN)], (6, 7): [Instruction(_LD_IMM, k=protocol)]}.get((at, end))

    return substitute


def _offset(ancillary: int) -> int:
    """The operand of a load that asks for something beside the frame."""
    return sockopt.SKF_AD_OFF + ancillary
