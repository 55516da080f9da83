"""`rawproto explain`: hexadecimal, packets of captures, packets as in Python, and all that may be wrong with these."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from rawproto.capture import PcapWriter
from rawproto.cli import main
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.icmp import ICMPError
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

RESET = str(Path(__file__).parents[2] / "pcaps" / "reset.pcapng")
PACKET = bytes.fromhex("4500001c000000004011 7ccf 7f0000017f000001 0035 0035 0008 0000")
EXPRESSION = 'Ethernet() / IPv4(dst="10.0.0.2") / TCP(dport=80, flags=SYN)'


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(["explain", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """The one line on stderr."""
    assert main(["explain", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rawproto: ")
    assert captured.err.count("\n") == 1
    return captured.err


def give_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))  # type: ignore[type-var]


@pytest.mark.parametrize(
    "words",
    [
        [PACKET.hex()],
        [PACKET.hex(" ")],
        PACKET.hex(" ").split(),
        [PACKET.hex(":")],
        ["0x" + PACKET.hex()],
        [" ".join(f"0x{byte:02X}," for byte in PACKET)],
        ["".join(f"\\x{byte:02x}" for byte in PACKET)],
        ["b'" + "".join(f"\\x{byte:02x}" for byte in PACKET) + "'"],
    ],
    ids=["bare", "spaced", "words", "colons", "0x", "array", "escapes", "literal"],
)
def test_hexadecimal_however_it_is_written(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, *words, "--linktype", "raw")
    assert text.startswith("IP 127.0.0.1.53 > 127.0.0.1.53: UDP, length 0\n")
    assert Packet.parse(PACKET, LinkType.RAW).explain() in text


def test_bytes_are_ethernet_unless_said_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Ethernet, 14 bytes at 0" in shown(capsys, (bytes(12) + b"\x08\0" + PACKET).hex())
    assert "IPv4, 20 bytes at 0" in shown(capsys, PACKET.hex(), "--linktype", "101")
    assert "IPv4, 20 bytes at 0" in shown(capsys, PACKET.hex(), "--linktype", "IPV4")


def test_a_packet_as_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, EXPRESSION)
    assert "IP 0.0.0.0.0 > 10.0.0.2.80: Flags [S]" in text
    assert "0x02 (SYN)" in text
    assert "checksum TCP: ok" in text


def test_an_ip_packet_begins_with_ip(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, 'IPv6(dst="::1") / UDP(dport=7, checksum=1)')
    assert "IPv6, 40 bytes at 0" in text
    assert "checksum UDP: bad" in text


@pytest.mark.parametrize("arguments", [[f"{RESET}:2"], [RESET, "--number", "2"]])
def test_a_packet_of_a_capture(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, *arguments)
    assert "IP 10.0.0.1.25300 > 10.0.0.2.25300" in text
    assert "RDT, 44 bytes at 28" in text


def test_the_first_packet_unless_said_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.pcap"
    with PcapWriter(path, LinkType.RAW) as writer:
        writer.write(Frame(PACKET, 1, LinkType.RAW))
    assert "127.0.0.1.53" in shown(capsys, str(path))


def test_a_file_with_a_colon_in_its_name_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.pcap:1"
    with PcapWriter(path, LinkType.RAW) as writer:
        writer.write(Frame(PACKET, 1, LinkType.RAW))
    assert "127.0.0.1.53" in shown(capsys, str(path))
    assert "127.0.0.1.53" in shown(capsys, f"{path}:1")


def test_json_is_the_object_that_dump_writes(capsys: pytest.CaptureFixture[str]) -> None:
    explained = json.loads(shown(capsys, f"{RESET}:2", "--json"))
    assert main(["dump", RESET, "--number", "2", "--json"]) == 0
    assert explained == json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in explained["layers"]] == ["ipv4", "udp", "rdt"]


def test_json_of_a_packet_that_was_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, EXPRESSION, "--json"))
    assert (found["number"], found["caplen"], found["linktype"]) == (1, 54, "ethernet")
    assert found["layers"][2]["dport"] == 80
    assert found["checksums"] == {"ipv4": "ok", "tcp": "ok"}


def test_html_is_one_element(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, EXPRESSION, "--html")
    assert text.startswith('<div class="rawproto">')
    assert text.endswith("</div>\n")


def test_what_rides_above_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, r'IPv4() / TCP(dport=80) / b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"')
    assert text.endswith("http: GET / HTTP/1.1, host example.org\n")


def test_the_packet_that_an_error_quotes_is_explained_too(capsys: pytest.CaptureFixture[str]) -> None:
    quoted = bytes(IPv4(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=7, dport=9) / b"payload")
    text = shown(capsys, bytes(Ethernet() / IPv4() / ICMPError(type=3, code=3) / quoted[:28]).hex())
    assert "The packet that it quotes: IP 10.0.0.1.7 > 10.0.0.2.9: UDP" in text
    assert text.count("IPv4, 20 bytes at") == 2


@pytest.mark.parametrize(
    "data",
    [PACKET.hex(" ").encode() + b"\n", Path(RESET).read_bytes(), b'IPv4() /\n UDP(dport=53) / b"x"\n'],
    ids=["hex", "capture", "packet"],
)
def test_standard_input(data: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    give_stdin(monkeypatch, data)
    number = ["--number", "2"] if data[:1] == b"\n" else []
    linktype = ["--linktype", "raw"] if data[:1] == b"4" else []
    assert "UDP, 8 bytes at 20" in shown(capsys, "-", *number, *linktype)


def test_bytes_that_are_cut_short_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "problem at 0x0000 IPv4 version [short]" in shown(capsys, "45", "--linktype", "raw")


WRONG = {
    "nothing was given": [],
    "nothing was given:": ["  "],
    "5 hexadecimal digits are not whole bytes": ["45000"],
    "'no/such.pcap' is no file, no bytes in hexadecimal, and no packet": ["no/such.pcap"],
    "column 5: TCP has no field dprot; did you mean dport?": ["TCP(dprot=80)"],
    "column 1: a list is no packet": ["()"],
    "has no packet 300: there are": [f"{RESET}:300"],
    "has no packet 0: they count from 1": [f"{RESET}:0"],
    "--number 2 and": [f"{RESET}:2", "--number", "2"],
    "--number says which packet of a capture": [EXPRESSION, "--number", "2"],
    "--number: '0' is not a count": [RESET, "--number", "0"],
    "'ethernt' is not a link type: did you mean ethernet?": ["45", "--linktype", "ethernt"],
    "--linktype: '-1' is not a link type": ["45", "--linktype", "-1"],
    "--json and --html exclude each other": ["45", "--json", "--html"],
    "unknown option: --jsn. See `rawproto explain --help`.": ["45", "--jsn"],
    "is a directory: give a capture file": ["pcaps/.."],
    "UDP length: 70008": ["UDP() / bytes(70000)"],
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_call_is_status_2_and_one_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert line in told(capsys, *WRONG[line])


def test_a_file_that_is_no_capture_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected the magic number of pcap or pcapng" in told(capsys, __file__, status=1)


def test_a_capture_that_is_damaged_before_the_packet_is_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.pcapng"
    whole = Path(RESET).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    shown(capsys, f"{path}:1")
    assert "the file was cut off" in told(capsys, f"{path}:20", status=1)


def test_a_file_that_may_not_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gone.pcap"
    path.symlink_to(path)  # a loop: nobody can read that, not even root
    assert "no file" in told(capsys, str(path))


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, "--help").split())
    assert "rawproto explain pcaps/reset.pcapng:3" in text
    assert "choices" not in text


def test_the_tcp_header_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert f"TCP, {TCP.SIZE} bytes at 0" in shown(capsys, "TCP(dport=80)")
