"""`rawproto demo`: carry a file over a bad wire, then show what was done about it and whether every guarantee held."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from rawproto.cli import UsageError
from rawproto.cli.units import parse_duration, parse_probability, parse_rate, parse_seed, parse_size
from rawproto.errors import ConfigError, LinkError
from rawproto.link.impairment import Impairment
from rawproto.study.guarantees import Verdict, judge
from rawproto.study.options import DemoOptions, data_from_seed
from rawproto.study.report import as_json, why_not
from rawproto.study.simulated import Progress, run_simulated
from rawproto.study.transfer import Outcome
from rawproto.transport.config import SWITCHES
from rawproto.transport.congestion import create

if TYPE_CHECKING:
    from cyclopts import Token

__all__ = ["demo"]

DEFAULT_SIZE = "1MiB"
MOST_QUEUED = 256 << 10
"""Bytes that may wait at the bottleneck: few enough for slow start to overflow it."""
BIGGEST_FILE = 1 << 30
LEAST_QUEUED = 16 << 10
REORDER_DELAY_NS = 3_000_000
BIGGEST_FRAME_BITS = 1514 * 8


def _unit(parse: Callable[[str], Any], metavar: str, default: str) -> Parameter:
    """A parameter whose value has a unit; `default` is how the help shows it."""

    def convert(_: object, tokens: Sequence[Token]) -> Any:
        return parse(tokens[0].value)

    return Parameter(
        converter=convert,
        metavar=metavar,
        show_default=lambda _: default,
        allow_leading_hyphen=True,  # "-5%" is a wrong share, not an option
    )


def _share(default: str) -> Parameter:
    return _unit(parse_probability, "SHARE", default)


def demo(
    *,
    size: Annotated[int | None, _unit(parse_size, "SIZE", DEFAULT_SIZE)] = None,
    file: Path | None = None,
    loss: Annotated[float, _share("5%")] = 0.05,
    reorder: Annotated[float, _share("5%")] = 0.05,
    duplicate: Annotated[float, _share("2%")] = 0.02,
    corrupt: Annotated[float, _share("1%")] = 0.01,
    swap: Annotated[float, _share("0%")] = 0.0,
    truncate: Annotated[float, _share("0%")] = 0.0,
    burst_loss: Annotated[float, _share("0%")] = 0.0,
    delay: Annotated[int, _unit(parse_duration, "TIME", "20ms")] = 20_000_000,
    jitter: Annotated[int, _unit(parse_duration, "TIME", "0")] = 0,
    rate: Annotated[int | None, _unit(parse_rate, "RATE", "100mbit")] = 100_000_000,
    seed: Annotated[int, _unit(parse_seed, "NUMBER", "1")] = 1,
    congestion: str = "cubic",
    off: Annotated[tuple[str, ...], Parameter(negative="", show_default=False, consume_multiple=False)] = (),
    raw: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    carrier: Literal["packet", "rawip", "udp"] | None = None,
    ipv6: Annotated[bool, Parameter(name="-6", negative="", show_default=False)] = False,
    out: Path | None = None,
    as_object: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Carry a file from a client to a server over a wire that loses, reorders, duplicates and corrupts.

    Without --raw, both hosts are in virtual time on a simulated Ethernet: no privilege is needed, and a run is a
    function of its options alone. With --raw they are two processes in two network namespaces of their own, joined
    by a veth pair, and the frames are real.

    The server sends a stream of its own at the same time, and at the end the SHA-256 of what it received. Shown are
    the opening handshake, the first loss with its repair, and whether each of the six guarantees held.

    Exit status: 0 if all of them held, 1 if not or if the transfer failed, 2 for a wrong call. With --raw, a side
    whose peer vanishes gives up once nothing was acknowledged for 10 seconds; the command ends within 20 seconds of
    that peer's last sign of life.

    Examples:

    ```
    rawproto demo
    rawproto demo --loss 20% --seed 7 --out /tmp/lossy
    rawproto demo --file README.md --rate 1mbit --delay 150ms
    rawproto demo --json | jq .guarantees
    rawproto demo --congestion bbr --off sack
    sudo rawproto demo --raw --carrier udp -6 --size 10MiB
    ```

    Parameters
    ----------
    size
        Bytes to send, random ones made from the seed: 64k, 10MB (powers of 1000), 1MiB (powers of 1024).
    file
        Send this file instead.
    loss
        Share of the frames that are lost, in each direction; like all shares 5% or 0.05.
    reorder
        Share that is held back, so that later ones overtake them.
    duplicate
        Share that arrives twice.
    corrupt
        Share that has a bit flipped on the way.
    swap
        Share in which two 16-bit words change places, which the checksum of IP, TCP and UDP can't see.
    truncate
        Share that loses its end, of any length.
    burst_loss
        Share before which a bad spell begins, in which all is lost: 4 frames on average.
    delay
        How long each frame takes, one way: 20ms, 500us, 1.5s.
    jitter
        And up to this much longer.
    rate
        Bits a second in each direction: 64kbit, 100mbit, 1gbit, none for no limit. Half a second's
        worth may queue before it, but no more than 256 KiB.
    seed
        Where all chance comes from: the same seed gives the same run.
    congestion
        How the senders find out what the path carries: cubic, reno, bbr, none, or a class of yours as module:Class.
    off
        Switch a mechanism of the transport off at both ends, such as sack, tail_loss_probe or retransmission; may be
        given more than once. A wrong name gets the list.
    raw
        Real frames between two processes in network namespaces (root, or a user namespace made on the spot).
    carrier
        With --raw, the road: packet (AF_PACKET, handmade Ethernet and IP; the default), rawip (SOCK_RAW, handmade
        IP) or udp.
    ipv6
        IPv6 instead of IPv4.
    out
        Directory for client.pcapng and server.pcapng; a fresh one under the system's temporary one by default.
    as_object
        Print one JSON object and nothing else.
    """
    if carrier is not None and not raw:
        raise UsageError(f"--carrier {carrier} needs --raw: a simulated run always carries Ethernet frames")
    if file is not None and size is not None:
        raise UsageError("--size and --file exclude each other: a file is sent whole")
    impairment = _impairment(loss, reorder, duplicate, corrupt, swap, truncate, burst_loss, delay, jitter, rate)
    data = _read(file) if file is not None else data_from_seed(seed, size or parse_size(DEFAULT_SIZE))
    options = DemoOptions(
        data=data,
        seed=seed,
        out=_directory(out),
        impairment=impairment,
        carrier=carrier or "packet",
        ipv6=ipv6,
        settings=_settings(congestion, off),
    )
    outcome = _run(options, raw=raw, quiet=as_object)
    verdicts = judge(outcome)
    if as_object:
        mode = "raw" if raw else "simulated"
        print(json.dumps(as_json(outcome, verdicts, carrier=options.carrier, mode=mode), indent=2))
    else:
        _show(options, outcome, verdicts, raw=raw)
    reason = why_not(outcome, verdicts)
    if reason:
        print(f"rawproto: {reason}", file=sys.stderr)
    return 1 if reason else 0


def _settings(control: str, off: Sequence[str]) -> dict[str, Any]:
    for name in off:
        if name not in SWITCHES:
            raise UsageError(f"--off: no mechanism is called {name!r}; there are: {', '.join(SWITCHES)}")
    if ":" in control:
        sys.path.insert(0, "")  # a class of the user's own is looked for here first, as `python -m` does
    try:
        create(control, 1440, 14400)
    except ConfigError as error:
        raise UsageError(f"--congestion: {error}") from None
    return {"congestion_control": control, **dict.fromkeys(off, False)}


def _impairment(
    loss: float,
    reorder: float,
    duplicate: float,
    corrupt: float,
    swap: float,
    truncate: float,
    burst_loss: float,
    delay: int,
    jitter: int,
    rate: int | None,
) -> Impairment:
    # A frame is overtaken only by one that leaves before it: hold it back for at least four others' time on the wire.
    frame_ns = 0 if rate is None else BIGGEST_FRAME_BITS * 1_000_000_000 // rate
    try:
        return Impairment(
            loss=loss,
            reorder=reorder,
            reorder_delay_ns=max(REORDER_DELAY_NS, 4 * frame_ns),
            duplicate=duplicate,
            corrupt=corrupt,
            swap=swap,
            truncate=truncate,
            burst_start=burst_loss,
            delay_ns=delay,
            jitter_ns=jitter,
            rate_bps=rate,
            queue_bytes=None if rate is None else max(LEAST_QUEUED, min(MOST_QUEUED, rate // 16)),
        )
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _read(file: Path) -> bytes:
    try:
        if not file.is_file() and file.exists() and not file.is_dir():
            raise UsageError(f"--file: {file} is not a regular file: give one that has an end")
        if file.stat().st_size > BIGGEST_FILE:
            raise UsageError(f"--file: {file} has {file.stat().st_size} bytes: give one of at most 1GiB")
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"--file: can't read {file}: {error.strerror}; give a file that you may read") from None
    if not data:
        raise UsageError(f"--file: {file} is empty: give a file that has something to carry")
    return data


def _directory(out: Path | None) -> Path:
    try:
        if out is None:
            return Path(tempfile.mkdtemp(prefix="rawproto-demo-"))
        out.mkdir(parents=True, exist_ok=True)
        for name in ("client", "server"):
            (out / f"{name}.pcapng").open("wb").close()
    except OSError as error:
        raise UsageError(
            f"--out: can't write captures into {out or tempfile.gettempdir()}: {error.strerror}; "
            "give a directory that you may write to"
        ) from None
    return out


def _run(options: DemoOptions, *, raw: bool, quiet: bool) -> Outcome:
    """Run it with a progress bar, if somebody looks on, and measure how long that took."""
    run: Callable[[DemoOptions, Progress], Outcome] = run_simulated
    if raw:
        from rawproto.cli.realdemo import run_real  # noqa: PLC0415 - it needs Linux, root and pyroute2

        run = run_real
    began = time.perf_counter()
    try:
        if raw:
            from rawproto.cli.realdemo import prepare_privileges  # noqa: PLC0415

            prepare_privileges()  # before the progress bar starts its thread
        watched = not quiet and sys.stderr.isatty()
        outcome = _with_bar(run, options) if watched else run(options, _ignore)
    except LinkError as error:
        raise UsageError(error.strerror or str(error)) from None
    except OSError as error:
        raise UsageError(f"--out: can't write captures into {options.out}: {error.strerror or error}") from None
    outcome.wall_time_s = round(time.perf_counter() - began, 6)
    return outcome


def _ignore(_done: int, _total: int) -> None:
    """Nobody looks on."""


def _with_bar(run: Callable[[DemoOptions, Progress], Outcome], options: DemoOptions) -> Outcome:
    from rich.console import Console  # noqa: PLC0415 - a quarter of the start-up time, not needed for --json
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (TextColumn("client → server"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=options.size)
        outcome = run(options, lambda done, total: bar.update(task, completed=done, total=total))
        bar.update(task, completed=len(outcome.server.received))
    return outcome


def _show(options: DemoOptions, outcome: Outcome, verdicts: list[Verdict], *, raw: bool) -> None:
    from rawproto.cli.show import show_outcome  # noqa: PLC0415 - rich is not needed for --json

    show_outcome(options, outcome, verdicts, raw=raw)
