"""Filter expressions: what tcpdump says of the same frames, and what the kernel's program would say of them."""

from __future__ import annotations

import copy
import errno
import io
import pickle
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.capture.files import open_capture
from rawproto.capture.pcap import PcapReader, PcapWriter
from rawproto.errors import LinkError
from rawproto.link._classicbpf import Instruction, for_untagged, pack
from rawproto.link.bpf import Filter, FilteringLink, compile_filter, libpcap_version
from rawproto.link.memory import memory_pair
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.icmp import ICMPEcho, ICMPv6Echo
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.udp import UDP

PCAPS = Path(__file__).parents[2] / "pcaps"
needs_tcpdump = pytest.mark.skipif(shutil.which("tcpdump") is None, reason="compares with tcpdump: apt install tcpdump")

FOR_ETHERNET = [
    "arp",
    "arp[6:2] = 1",
    "vlan",
    "vlan 5",
    "vlan 5 and ip",
    "vlan and tcp port 80",
    "vlan 100 and vlan 5",
    "ip or (vlan and ip)",
    "not vlan",
    "ether host 02:00:00:00:00:01",
    "ether src 02:00:00:00:00:02",
    "ether dst ff:ff:ff:ff:ff:ff",
    "ether broadcast",
    "ether multicast",
    "ether proto 0x88b5",
    "ether[12:2] = 0x8100",
    "ether[14:2] & 0xfff = 5",
    "ether[14] = 0",
    "ether[15] = 5",
    "ether[12:4] = 0x81000005",
    "ether[11:2] = 0x0181",
    "mpls",
    "ether[0] & 1 = 1 and not arp",
]
FOR_IP = [
    "",
    "ip",
    "ip6",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "ip proto 253",
    "ip6 proto 253",
    "host 10.0.0.1",
    "src host 10.0.0.2",
    "dst net 10.0.0.0/24",
    "net 192.168.0.0/16",
    "ip6 host fd00::2",
    "net fd00::/64",
    "port 80",
    "tcp port 80",
    "udp portrange 25000-26000",
    "tcp dst port 80 and not src port 22",
    "src port 53 or dst port 53",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[tcpflags] = tcp-syn",
    "icmp[icmptype] = icmp-echo",
    "icmp6[icmp6type] = icmp6-echo",
    "ip[8] < 5",
    "ip[0] & 0xf != 5",
    "ip[6:2] & 0x1fff = 0 and udp",
    "ip6[7] > 60",
    "udp[4:2] > 100",
    "tcp[12] & 0xf0 = 0x50",
    "len > 100",
    "less 60",
    "greater 1000 or arp",
    "len - 10 > ip[2:2] or len = ip[2:2]",
    "ip6 protochain 17",
    "ip multicast",
    "not (tcp or udp)",
    "tcp port 80 or (udp and host 10.0.0.2 and not port 53)",
    "ip and (ip[9] = 6 or ip[9] = 17) and ip[2:2] > 40",
]
NO_PROGRAM = {"ip6 protochain 17", "ether[11:2] = 0x0181"}
"""Those for which the kernel is given none: a loop, and a load across the edge of the tag."""


@cache
def packets() -> list[bytes]:
    """IP packets of all sorts, from the recordings and made here."""
    found: list[bytes] = []
    for path in sorted(PCAPS.glob("*.pcapng")):
        with open_capture(path) as capture:
            found += [frame.data for frame in capture if frame.linktype is LinkType.RAW][:40]
            capture_frames = ethernet_of(path)
        found += [frame[14:] for frame in capture_frames if frame[12:14] in (b"\x08\x00", b"\x86\xdd")]
    ends4: dict[str, Any] = {"src": "10.0.0.1", "dst": "10.0.0.2"}
    ends6: dict[str, Any] = {"src": "fd00::1", "dst": "fd00::2"}
    above = [
        TCP(sport=40000, dport=80, flags=TCPFlags.SYN) / b"",
        TCP(sport=22, dport=80, flags=TCPFlags.ACK) / bytes(1000),
        TCP(sport=80, dport=40000, flags=TCPFlags.FIN | TCPFlags.ACK) / b"x",
        UDP(sport=53, dport=4000) / bytes(200),
        UDP(sport=25300, dport=25300) / b"datagram",
        UDP(sport=4000, dport=80) / b"not TCP",
    ]
    for upper in above:
        found.append(bytes(IPv4(**ends4, ttl=3) / upper))
        found.append(bytes(IPv4(src="192.168.1.2", dst="224.0.0.1", options=b"\1\1\1\0") / upper))
        found.append(bytes(IPv6(**ends6, hop_limit=64) / upper))
        found.append(bytes(IPv4(**ends4, flags=1) / upper))
        found.append(bytes(IPv4(**ends4, fragment_offset=100) / upper))
    found.append(bytes(IPv4(**ends4) / ICMPEcho(id=1, seq=2) / b"ping"))
    found.append(bytes(IPv4(**ends4) / ICMPEcho(type=0, id=1, seq=2) / b"ping"))
    found.append(bytes(IPv4(src="10.0.0.1", dst="239.0.0.1") / UDP(sport=1, dport=2) / b"to many"))
    found.append(bytes(IPv6(**ends6) / ICMPv6Echo(id=1, seq=2) / b"ping"))
    found.append(bytes(IPv4(**ends4, protocol=253) / b"rdt"))
    found.append(bytes(IPv4(**ends4, dscp=1, ecn=1, protocol=253) / b"a byte 5 where a tag would have one"))
    found.append(bytes(IPv6(**ends6, next_header=253) / b"rdt"))
    found.append(bytes(IPv6(**ends6, next_header=253, hop_limit=3) / b"nearly there"))
    udp = bytes(UDP(sport=1, dport=53) / b"x")
    found.append(bytes(IPv6(**ends6, next_header=0) / (b"\x11\0\1\4\0\0\0\0" + udp)))  # behind hop-by-hop options
    return found


def ethernet_of(path: Path) -> list[bytes]:
    with open_capture(path) as capture:
        return [frame.data for frame in capture if frame.linktype is LinkType.ETHERNET][:40]


@cache
def frames(linktype: LinkType) -> list[Frame]:
    """Frames of `linktype`, each with a time of its own; some were cut by the capture."""
    if linktype is LinkType.RAW:
        whole = packets()
    else:
        bare = Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
        tags: list[Any] = [bare, bare / VLAN(vid=5), bare / VLAN(vid=5, pcp=3), bare / VLAN(vid=100) / VLAN(vid=5)]
        provider = bytes(bare)[:12] + b"\x88\xa8\x00\x64"
        whole = [frame for path in sorted(PCAPS.glob("*.pcapng")) for frame in ethernet_of(path)]
        for packet in packets()[-40:]:
            ethertype = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
            whole += [bytes(tag / b"")[:-2] + ethertype + packet for tag in tags]
            whole += [provider + ethertype + packet, provider + b"\x81\x00\x00\x05" + ethertype + packet]
        arp = ARP(sender_ip="10.0.0.1", target_ip="10.0.0.2")
        whole += [bytes(tag / arp) for tag in tags] + [bytes(bare / b"local"), bytes(bare)]
        whole.append(bytes(Ethernet(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:02") / arp))
        whole.append(bytes(bare)[:12] + b"\x88\x47\x00\x01\x01\x40" + packets()[-1])
        whole.append(bytes(12) + b"\x81\x00\x00\x05")
        whole.append(bytes(11) + b"\x01\x81\x00\x00\x05" + bytes(50))
    rng = random.Random(5)
    cut = [(frame[: rng.randrange(1, len(frame))], len(frame)) for frame in whole if len(frame) > 14]
    noise = [rng.randbytes(rng.randrange(1, 120)) for _ in range(40)]
    given = [*((frame, len(frame)) for frame in [*whole, *noise]), *cut]
    return [
        Frame(data, number, linktype, original_length=None if length == len(data) else length)
        for number, (data, length) in enumerate(given)
    ]


CASES = [(expression, LinkType.ETHERNET) for expression in FOR_ETHERNET + FOR_IP] + [
    (expression, LinkType.RAW) for expression in FOR_IP
]


def tcpdump(expression: str, linktype: LinkType) -> set[int]:
    """The times of those of `frames(linktype)` that tcpdump's own run lets through."""
    file = io.BytesIO()
    writer = PcapWriter(file, linktype)
    for frame in frames(linktype):
        writer.write(frame)
    writer.flush()
    command = ["tcpdump", "--nano", "-r", "-", "-w", "-", expression]
    done = subprocess.run(command, input=file.getvalue(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return {frame.time_ns for frame in PcapReader(io.BytesIO(done.stdout))}


@needs_tcpdump
@pytest.mark.parametrize(("expression", "linktype"), CASES)
def test_a_verdict_is_tcpdump_s(expression: str, linktype: LinkType) -> None:
    program = compile_filter(expression, linktype)
    ours = {frame.time_ns for frame in frames(linktype) if program.matches(frame)}
    assert ours == tcpdump(expression, linktype)


def test_the_frames_above_tell_the_expressions_apart() -> None:
    verdicts = {
        (linktype, expression): tuple(compile_filter(expression, linktype).matches(frame) for frame in frames(linktype))
        for expression, linktype in CASES
    }
    assert all(any(verdict) for verdict in verdicts.values()), "an expression that nothing matches shows little"
    alike = len(verdicts) - len({(linktype, verdict) for (linktype, _), verdict in verdicts.items()})
    assert alike <= 2  # "ether broadcast" and what it stands for; two ways to ask for VLAN 5


@needs_tcpdump
@pytest.mark.parametrize("expression", ["tcp port 80", "vlan 5 and ip", "ip[0] & 0xf != 5", ""])
def test_the_disassembly_is_tcpdump_s(expression: str) -> None:
    command = ["tcpdump", "-y", "EN10MB", "-d", expression]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert compile_filter(expression).disassembly().splitlines() == done.stdout.splitlines()


def test_without_the_optimizer_the_program_is_longer_and_means_the_same() -> None:
    short, long = compile_filter("tcp port 80"), compile_filter("tcp port 80", optimize=False)
    assert len(long) > len(short)
    assert all(long.matches(frame) == short.matches(frame) for frame in frames(LinkType.ETHERNET))


# -- the program for a live link -------------------------------------------------------------------------------------


class Kernel:
    """Runs a program as the kernel does on a packet socket: the frame without its tag, the tag at negative offsets."""

    def __init__(self, frame: bytes, tag: tuple[int, int] | None) -> None:
        self.data = frame
        self.tpid, self.tci = tag or (0, 0)
        self.present = tag is not None

    def load(self, at: int, size: int) -> int:
        """Raises IndexError behind the end, for which the verdict is no."""
        if at >= 0xFFFF_F000:
            return {44: self.tci, 48: int(self.present), 60: self.tpid}[at - 0xFFFF_F000]
        if at + size > len(self.data):
            raise IndexError
        return int.from_bytes(self.data[at : at + size])

    def outcome(self, program: bytes) -> int:
        """What the program returns; 0 is no."""
        try:
            return self.run([struct.unpack_from("@HBBI", program, at) for at in range(0, len(program), 8)])
        except IndexError:
            return 0

    def verdict(self, program: bytes) -> bool:
        return self.outcome(program) != 0

    def run(self, program: Sequence[tuple[int, ...]]) -> int:  # noqa: PLR0912 - one branch an instruction
        a, x, memory, pc = 0, 0, [0] * 16, 0
        while True:
            code, jt, jf, k = program[pc]
            pc += 1
            size = {0: 4, 8: 2, 16: 1}.get(code & 0x18, 0)
            operand = x if code & 8 else k
            match code & 7, code & 0xF0 if code & 7 >= 4 else code & 0xE0:
                case 0, 0x00:
                    a = k
                case 0, 0x20:
                    a = self.load(k, size)
                case 0, 0x40:
                    a = self.load(x + k, size)
                case 0, 0x60:
                    a = memory[k]
                case 0, 0x80:
                    a = len(self.data)
                case 1, 0x00:
                    x = k
                case 1, 0x60:
                    x = memory[k]
                case 1, 0x80:
                    x = len(self.data)
                case 1, 0xA0:
                    x = 4 * (self.load(k, 1) & 15)
                case 2, _:
                    memory[k] = a
                case 3, _:
                    memory[k] = x
                case 4, operation:
                    a = {
                        0x00: a + operand,
                        0x10: a - operand,
                        0x40: a | operand,
                        0x50: a & operand,
                        0x60: a << (operand & 31),
                        0x70: a >> (operand & 31),
                    }[operation] & 0xFFFF_FFFF
                case 5, 0x00:
                    pc += k
                case 5, operation:
                    truth = {0x10: a == operand, 0x20: a > operand, 0x30: a >= operand, 0x40: bool(a & operand)}
                    pc += jt if truth[operation] else jf
                case 6, _:
                    return a if code & 0x10 else k
                case 7, 0x00:
                    x = a
                case 7, 0x80:
                    a = x
                case other:
                    pytest.fail(f"an instruction that this kernel does not know: {other}")


def as_the_kernel_shows(frame: bytes) -> Kernel:
    tpid = int.from_bytes(frame[12:14])
    if len(frame) >= 18 and tpid in (0x8100, 0x88A8):
        return Kernel(frame[:12] + frame[16:], (tpid, int.from_bytes(frame[14:16])))
    return Kernel(frame, None)


LIVE = [expression for expression in FOR_ETHERNET + FOR_IP if expression not in NO_PROGRAM]


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("expression", LIVE)
def test_live_a_filter_means_what_it_means_on_a_file(expression: str, optimize: bool) -> None:
    program = compile_filter(expression, optimize=optimize)
    if not program.in_kernel:
        assert not optimize
        return
    live = bytes(program)
    for frame in frames(LinkType.ETHERNET):
        assert as_the_kernel_shows(frame.data).verdict(live) == program.matches(frame.data), frame.data.hex(" ")


PRIMITIVES = st.sampled_from([expression for expression in LIVE if expression not in ("", "mpls")])
COMPOSED = st.recursive(
    PRIMITIVES.map("({})".format),
    lambda inner: st.one_of(
        inner.map("not {}".format),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda three: "({} {} {})".format(*three)),
    ),
    max_leaves=5,
)


@given(expression=COMPOSED, data=st.data())
def test_live_that_holds_for_any_expression(expression: str, data: st.DataObject) -> None:
    try:
        program = compile_filter(expression)
    except LinkError as error:
        assert "rejects all packets" in str(error)
        return
    if program.in_kernel:
        live, known = bytes(program), frames(LinkType.ETHERNET)
        for number in data.draw(st.lists(st.integers(0, len(known) - 1), min_size=5, max_size=20)):
            frame = known[number].data
            assert as_the_kernel_shows(frame).verdict(live) == program.matches(frame), number


LOADS = st.sampled_from([0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0xB1])  # ld, ldh, ldb [k] and [x + k], ldxb 4*([k]&0xf)
PLAIN = st.sampled_from([0x00, 0x01, 0x80, 0x81, 0x60, 0x61, 0x02, 0x03, 0x07, 0x87, 0x04, 0x0C, 0x54, 0x5C, 0x74])
JUMPS = st.sampled_from([0x15, 0x25, 0x35, 0x45, 0x1D])  # jeq, jgt, jge, jset #k, and jeq x


@st.composite
def programs(draw: st.DrawFn) -> list[Instruction]:
    """Any programs that end, not only those that libpcap would write."""
    length = draw(st.integers(1, 12))
    program: list[Instruction] = []
    for left in range(length, 0, -1):
        match draw(st.sampled_from(["load", "load", "plain", "jump", "jump", "type"])):
            case "load":
                program.append(Instruction(draw(LOADS), k=draw(st.sampled_from([0, 8, 10, 11, *range(12, 22), 60]))))
            case "plain":
                program.append(Instruction(draw(PLAIN), k=draw(st.integers(0, 15))))
            case "type":
                program.append(Instruction(0x28, k=12))
            case _:
                k = draw(st.sampled_from([0, 5, 0x45, 0x800, 0x8100, 0x88A8]))
                jt, jf = draw(st.integers(0, left - 1)), draw(st.integers(0, left - 1))
                program.append(Instruction(draw(JUMPS), jt, jf, k))
    # What is in A at the end is the verdict, so that no difference is lost.
    return [*program, Instruction(0x16)]


ONE, TWO = Instruction(6, k=1), Instruction(6, k=2)
TYPE, IS_TAG = Instruction(0x28, k=12), Instruction(0x15, 0, 1, 0x8100)  # ldh [12]; jeq #0x8100
IS_NO_TAG = Instruction(0x15, 1, 0, 0x8100)


@pytest.mark.parametrize(
    "program",
    [
        [Instruction(0x01), TYPE, Instruction(0x1D, 1, 0), Instruction(0x30), IS_NO_TAG, ONE, TWO],
        [TYPE, Instruction(0x54, k=0x0F00), Instruction(0x15, 0, 1, 0x0100), ONE, TWO],
        [Instruction(0x01, k=5), TYPE, Instruction(0x87), Instruction(0x15, 0, 1, 5), ONE, TWO],
        [TYPE, Instruction(0x02), Instruction(0x00), IS_TAG, ONE, Instruction(0x60), IS_TAG, ONE, TWO],
    ],
    ids=["two ways meet", "and", "txa", "back from memory"],
)
def test_what_is_known_of_the_type_is_forgotten_in_time(program: list[Instruction]) -> None:
    rewritten = for_untagged(program)
    assert rewritten is not None
    for frame in frames(LinkType.ETHERNET):
        whole, shown = Kernel(frame.data, None), as_the_kernel_shows(frame.data)
        assert shown.outcome(pack(rewritten)) == whole.outcome(pack(program)), frame.data[:20].hex(" ")


@given(program=programs(), data=st.data())
def test_live_that_holds_for_any_program(program: list[Instruction], data: st.DataObject) -> None:
    rewritten = for_untagged(program)
    if rewritten is not None:
        known = frames(LinkType.ETHERNET)
        for number in data.draw(st.lists(st.integers(0, len(known) - 1), min_size=10, max_size=30)):
            whole, shown = Kernel(known[number].data, None), as_the_kernel_shows(known[number].data)
            assert shown.outcome(pack(rewritten)) == whole.outcome(pack(program)), number


@pytest.mark.parametrize(
    "program",
    [
        [Instruction(0x81), ONE],  # ldx #pktlen
        [Instruction(0x20), Instruction(0x15, 200, 0, 0), *[Instruction(0x80)] * 200, ONE],  # a jump gets too far
        [*[Instruction(0x00)] * 2000, ONE],  # thrice that is over what the kernel takes
    ],
    ids=["X from the length", "a long jump", "a long program"],
)
def test_where_there_is_no_program_there_is_none(program: list[Instruction]) -> None:
    assert for_untagged(program) is None


@pytest.mark.parametrize("expression", sorted(NO_PROGRAM))
def test_what_the_kernel_can_not_run_is_said_clearly(expression: str) -> None:
    program = compile_filter(expression)
    assert not program.in_kernel
    with pytest.raises(LinkError, match="filter in this process, with FilteringLink") as caught:
        bytes(program)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_filter_for_packets_is_the_same_live() -> None:
    program = compile_filter("udp", LinkType.RAW)
    assert bytes(program) == program.instructions
    assert not compile_filter("ip6 protochain 17", LinkType.RAW).in_kernel


def test_a_tag_beside_a_frame_is_put_back() -> None:
    whole = bytes(Ethernet() / VLAN(vid=5, pcp=7) / IPv4() / b"x")
    apart = Frame(whole[:12] + whole[16:], vlan_tci=int.from_bytes(whole[14:16]))
    assert compile_filter("vlan 5 and ip").matches(apart)
    assert not compile_filter("vlan 6").matches(apart)
    assert not compile_filter("ip").matches(apart)
    assert compile_filter(f"len = {len(whole)}").matches(apart)


def test_the_length_on_the_wire_counts_and_what_was_cut_off_is_not_read() -> None:
    frame = Frame(bytes(60), original_length=1000)
    assert compile_filter("greater 1000").matches(frame)
    assert not compile_filter("greater 1000").matches(frame.data)
    assert compile_filter("ether[59] = 0").matches(frame)
    assert not compile_filter("ether[60] = 0").matches(frame)


# -- the value, and what is refused ----------------------------------------------------------------------------------


def test_a_filter_is_a_value() -> None:
    program = compile_filter("tcp port 80")
    assert len(program) * 8 == len(program.instructions)
    assert struct.unpack_from("@HBBI", program.instructions) == (0x28, 0, 0, 12)  # ldh [12]
    same = Filter("tcp port 80", program.instructions, LinkType.ETHERNET)
    assert (same, hash(same)) == (program, hash(program))
    for other in (pickle.loads(pickle.dumps(program)), copy.deepcopy(program)):
        assert other == program
        assert other.matches(frames(LinkType.ETHERNET)[0]) == program.matches(frames(LinkType.ETHERNET)[0])
    assert compile_filter("tcp port 80") is program  # remembered
    assert compile_filter("tcp port 81") != program


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("tcp prot 80", "filter 'tcp prot 80': .*syntax error"),
        ("vlan 5000", "VLAN tag 5000 greater than maximum 4095"),
        ("ip and ip6", "expression rejects all packets"),
        ("tcp\0", "null character"),
        ("ether[", "filter 'ether\\[': "),
    ],
)
def test_a_wrong_expression_is_told_in_libpcap_s_words(expression: str, text: str) -> None:
    with pytest.raises(LinkError, match=text) as caught:
        compile_filter(expression)
    assert caught.value.errno == errno.EINVAL


def test_a_link_type_that_libpcap_has_no_filters_for_is_told() -> None:
    with pytest.raises(LinkError, match="not implemented"):
        compile_filter("tcp", LinkType.USER0)


def test_a_frame_of_another_link_type_is_refused() -> None:
    with pytest.raises(LinkError, match="'tcp' is for ETHERNET and the frame is RAW: compile it for"):
        compile_filter("tcp").matches(Frame(b"", linktype=LinkType.RAW))


def test_instructions_that_are_no_program_are_never_run() -> None:
    beyond = struct.pack("@HBBI", 0x15, 200, 200, 0)  # a jump out of the program
    with pytest.raises(LinkError, match="no BPF program"):
        Filter("made by hand", beyond, LinkType.ETHERNET)


def test_a_filtering_link_passes_on_what_matches_and_sends_everything() -> None:
    left, right = memory_pair()
    link = FilteringLink(right, compile_filter("arp"))
    arp, ip = bytes(Ethernet() / ARP()), bytes(Ethernet() / IPv4())
    left.send([ip, arp, ip], 0)
    assert [frame.data for frame in link.receive(0)] == [arp]
    assert link.dropped == 2
    link.send([ip], 0)
    assert [frame.data for frame in left.receive(0)] == [ip]
    with pytest.raises(LinkError, match="'arp' is for ETHERNET, the link needs RAW"):
        FilteringLink(memory_pair(linktype=LinkType.RAW)[0], compile_filter("arp"))


def test_libpcap_says_what_it_is() -> None:
    assert libpcap_version().startswith("libpcap version 1.")


def test_without_libpcap_the_error_says_how_to_get_it() -> None:
    program = """
import ctypes, ctypes.util
def absent(name, *_, **__): raise OSError(name)
ctypes.util.find_library = lambda name: None
real, ctypes.CDLL = ctypes.CDLL, absent
from rawproto.link.bpf import compile_filter
try:
    compile_filter("tcp")
except OSError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "LinkError [Errno 79] filters need libpcap: apt install libpcap0.8" in done.stdout
