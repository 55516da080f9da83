"""`rawproto dump`: tell the packets of captures, a line or a JSON object each."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from typing import Annotated, NamedTuple

from rawproto.capture import CaptureReader
from rawproto.cli import FailedError, UsageError
from rawproto.cli._capture import FrameFilter, Recorder
from rawproto.cli._line import Lines, Style, TimeStyle
from rawproto.cli._material import STDIN, check_readable, open_file
from rawproto.cli._options import flag, output_file, parse_count, plain_words, unit, words
from rawproto.errors import CaptureError

__all__ = ["dump"]

BATCH = 256
"""Lines that are printed in one call, where nobody waits for them."""
ENDLESS = sys.maxsize


def _parse_numbers(text: str) -> tuple[int, int]:
    """First and last of "7", "7-9" or "7-"."""
    match = re.fullmatch(r"([0-9]{1,15})(-([0-9]{1,15})?)?", text.strip(), re.ASCII)
    first, last = (int(match[1]), int(match[3] or ENDLESS) if match[2] else int(match[1])) if match else (0, 0)
    if not 1 <= first <= last:
        raise ValueError(f"{text!r} is no number of a packet: give one such as 7, or several as 7-9 or 7-")
    return first, last


def dump(
    *files: Annotated[str, words("FILE")],
    filter_: Annotated[str | None, unit(str, "EXPR", "--filter", "-f")] = None,
    number: Annotated[tuple[int, int] | None, unit(_parse_numbers, "N[-M]", "--number", "-n")] = None,
    skip: Annotated[int | None, unit(parse_count, "N")] = None,
    count: Annotated[int | None, unit(parse_count, "N", "--count", "-c")] = None,
    time: TimeStyle = "relative",
    verbose: Annotated[bool, flag("--verbose", "-v")] = False,
    scapy: Annotated[bool, flag()] = False,
    as_object: Annotated[bool, flag("--json")] = False,
    write: Annotated[str | None, output_file("--write", "-w")] = None,
    quiet: Annotated[bool, flag("--quiet", "-q")] = False,
) -> int:
    """Tell the packets of captures: one line each, much as tcpdump prints them, or all that is in them.

    FILE is a pcap or pcapng file, gzipped or not, or - for standard input. It is read as it comes, whatever its size.
    Above TCP and UDP, what is DNS, HTTP or TLS is summed up. Of a damaged file all packets before the damage are told.

    Exit status: 0, 1 if a file is damaged, 2 for a wrong call.

    Examples:

    ```
    rawproto dump pcaps/reset.pcapng
    rawproto dump trace.pcap.gz --filter 'tcp port 443 and not host 10.0.0.1' --time absolute
    rawproto dump trace.pcap --number 7-9 -v
    rawproto dump trace.pcap --json | jq -c 'select(.problems != []) | {number, problems}'
    rawproto dump big.pcapng --filter 'udp port 53' --count 1000 --quiet -w dns.pcap
    ssh host tcpdump -w - -U | rawproto dump -
    ```

    Parameters
    ----------
    files
        Captures; - for standard input.
    filter_
        Only packets that match, in the language of tcpdump (pcap-filter(7)). Needs libpcap.
    number
        Only the packets with these numbers: 7, 7-9, 7-. They count from 1, in each file.
    skip
        Pass over this many of them.
    count
        Stop after this many in all.
    time
        Seconds since the file's first packet, in UTC, since the packet before that was printed, or none at all.
    verbose
        Tell all layers with all their fields, checksums and problems; what is not known here is given to scapy, if that
        is installed.
    scapy
        Give to scapy what is not known here: other link types, other protocols (pip install 'rawproto[scapy]').
    as_object
        One JSON object a line: number, time_ns, caplen, origlen, linktype, interface, layers with all fields by name,
        payload_len, checksums, problems; where there is one, upper: what rides above.
    write
        Also write these packets to this file: pcapng, or pcap if it ends in .pcap; gzipped if it ends in .gz.
    quiet
        Print no packets: only what is wrong.
    """
    if not files:
        raise UsageError("nothing was given: give capture files, or - for standard input")
    for name in plain_words(files, "dump"):
        check_readable(name)
    if list(files).count(STDIN) > 1:
        raise UsageError("- was given twice, and standard input can be read only once")
    matches = None if filter_ is None else FrameFilter(filter_)
    choice = Choice(matches, *(number or (1, ENDLESS)))
    style = Style(time, verbose, as_object, scapy)
    with ExitStack() as stack:
        recorder = None if write is None else stack.enter_context(Recorder(write, sources=files))
        teller = Teller(style, recorder, quiet=quiet or write == STDIN, skip=skip or 0, count=count or ENDLESS)
        wrong = [problem for name in files if (problem := teller.tell(name, choice, several=len(files) > 1))]
        if matches is not None:
            matches.check()
        for problem in wrong[:-1]:
            print(f"rawproto: {problem}", file=sys.stderr)
        if wrong:
            raise FailedError(wrong[-1])
    return 0


class Choice(NamedTuple):
    """Which packets of a file are meant."""

    matches: FrameFilter | None
    first: int
    last: int


class Teller:
    """Prints packets, and writes them to a file if there is one."""

    def __init__(self, style: Style, recorder: Recorder | None, *, quiet: bool, skip: int, count: int) -> None:
        self.style = style
        self.recorder = recorder
        self.quiet = quiet
        self.skip = skip
        self.left = count

    def tell(self, name: str, choice: Choice, *, several: bool) -> str:
        """Tell those packets of a file; give what is wrong with it, if it is damaged."""
        if not self.left:
            return ""
        lines = Lines(self.style, name if several else "")
        batch = Batch(1 if name == STDIN else BATCH)
        try:
            with open_file(name) as reader:
                self._read(reader, choice, lines, batch)
        except CaptureError as error:
            return str(error)
        finally:
            batch.flush()
        return ""

    def _read(self, reader: CaptureReader, choice: Choice, lines: Lines, batch: Batch) -> None:
        matches, first, last = choice
        number = 0
        for frame, comments in reader.records():
            number += 1
            if number == 1:
                lines.begin = frame.time_ns
            if number < first or (matches is not None and not matches(frame)):
                continue
            if number > last:
                return
            if self.skip:
                self.skip -= 1
                continue
            if self.recorder is not None:
                self.recorder.write(frame, comments)
            if not self.quiet:
                batch.add(lines.of(frame, number))
            self.left -= 1
            if not self.left:
                return


class Batch:
    """Lines on their way to standard output, `size` in one call."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Print `line`, now or later."""
        self._lines.append(line)
        if len(self._lines) >= self._size:
            self.flush()

    def flush(self) -> None:
        """Print all that there is."""
        if self._lines:
            text = "\n".join(self._lines)
            self._lines.clear()
            print(text, flush=True)
