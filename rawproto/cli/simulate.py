"""`rawproto simulate`: play a scenario in virtual time, and tell what its applications saw and what was promised."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from rawproto.cli import UsageError
from rawproto.cli._options import flag, output_file, plain_words, unit, words
from rawproto.cli._simulated import as_object, show, show_line, show_trace, to_json, why_not
from rawproto.cli.units import parse_seed
from rawproto.errors import ConfigError, LinkError, ProtocolError
from rawproto.sim.scenario import Scenario
from rawproto.sim.scenario_toml import load_file
from rawproto.sim.world import Run, run_scenario
from rawproto.study.checker import Verdict, check
from rawproto.study.wirecapture import write_capture

__all__ = ["simulate"]

BROKEN = 1
SHOWS_NOTHING = 3
SEEDS = re.compile(r"\s*(?:([0-9]{1,15})\s*:\s*)?([0-9]{1,15})\s*", re.ASCII)


def _parse_seeds(text: str) -> range:
    """The seeds of "5:9", which are five, or of "9", which are 1 to 9."""
    match = SEEDS.fullmatch(text)
    seeds = range(int(match[1] or 1), int(match[2]) + 1) if match else range(0)
    if not seeds:
        raise ValueError(f"{text!r} are no seeds: give how many, such as 100, or the first and the last, such as 5:9")
    return seeds


def simulate(
    *file: Annotated[str, words("FILE")],
    seed: Annotated[int | None, unit(parse_seed, "NUMBER", default="1")] = None,
    seeds: Annotated[range | None, unit(_parse_seeds, "A:B")] = None,
    as_json: Annotated[bool, flag("--json")] = False,
    capture: Annotated[str | None, output_file("--capture")] = None,
    trace: Annotated[bool, flag()] = False,
) -> int:
    """Play a scenario in virtual time: two hosts, what their applications do, and what goes wrong on the way.

    FILE is a scenario in TOML; docs/simulator.md tells what can stand in it, docs/scenarios has examples. Told are
    what the applications saw, how often each fault struck, and which of the twelve guarantees of a transport held. The
    fingerprint is a digest of all of that and of every datagram: the same scenario and seed have the same, anywhere.

    Exit status: 0 if all guarantees held, 1 if one was broken, 2 for a wrong call or file, 3 if the run shows nothing:
    no octet was delivered, or an event never happened.

    Examples:

    ```
    rawproto simulate docs/scenarios/old_syn.toml
    rawproto simulate docs/scenarios/bad_wifi.toml --seed 7 --capture wifi.pcapng
    rawproto simulate docs/scenarios/bad_wifi.toml --seeds 1:200
    rawproto simulate docs/scenarios/no_checksum.toml --json | jq .guarantees.integrity
    ```

    Parameters
    ----------
    file
        The scenario.
    seed
        Where all chance comes from.
    seeds
        Play it with each of these, and tell each run in one line: 5:9, or 100 for 1 to 100.
    as_json
        Print one JSON object, and nothing else; with --seeds one a line.
    capture
        Write what both hosts sent and received to this file: pcapng, gzipped if it ends in .gz.
    trace
        Also print what the engine says of itself, of both hosts, in the order of time.
    """
    scenario = _read(plain_words(file, "simulate"))
    if seeds is not None:
        for name, given in (("--seed", seed is not None), ("--capture", capture is not None), ("--trace", trace)):
            if given:
                raise UsageError(f"--seeds and {name} exclude each other: --seeds tells each run in one line")
        return _play_many(scenario, seeds, as_json=as_json)
    if capture is not None:
        _check_capture(capture, file[0])
    played = _play(scenario, 1 if seed is None else seed, traced=trace)
    if capture is not None:
        write_capture(played.run, capture)
    if as_json:
        print(to_json(as_object(played.run, played.verdict, with_trace=trace), indent=2))
    else:
        if trace:
            show_trace(played.run)
        show(played.run, played.verdict, capture)
    if played.status:
        print(f"rawproto: {why_not(played.run, played.verdict)}", file=sys.stderr)
    return played.status


class Played(NamedTuple):
    """A run, and what it shows."""

    run: Run
    verdict: Verdict

    @property
    def status(self) -> int:
        """The exit status that says it."""
        if self.verdict.violations:
            return BROKEN
        return 0 if self.verdict.passed else SHOWS_NOTHING


def _play(scenario: Scenario, seed: int, *, traced: bool = False) -> Played:
    try:
        run = run_scenario(scenario, seed, traced=traced)
    except (ConfigError, LinkError, ProtocolError) as error:
        # Found only on the way: a record that is too long, a road too narrow for any datagram.
        raise UsageError(f"{scenario.name!r} can't be played: {error}") from None
    return Played(run, check(run))


def _play_many(scenario: Scenario, seeds: range, *, as_json: bool) -> int:
    wrong: list[tuple[int, int]] = []
    for seed in seeds:
        played = _play(scenario, seed)
        if as_json:
            print(to_json(as_object(played.run, played.verdict)), flush=True)
        else:
            show_line(played.run, played.verdict)
        if played.status:
            wrong.append((played.status, played.run.seed))
    if not wrong:
        return 0
    status = min(status for status, _ in wrong)
    shown = [seed for one, seed in wrong if one == status]
    what = "broke a guarantee" if status == BROKEN else "show nothing"
    print(f"rawproto: {len(shown)} of {len(seeds)} runs {what}; look at one with --seed {shown[0]}", file=sys.stderr)
    return status


def _read(files: Sequence[str]) -> Scenario:
    if len(files) != 1:
        what = "nothing was given" if not files else f"{len(files)} files were given"
        raise UsageError(f"{what}: give one scenario in TOML, such as docs/scenarios/old_syn.toml")
    try:
        return load_file(files[0])
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _check_capture(name: str, scenario: str) -> None:
    """Raise UsageError if no capture can be written to `name`; what is in that file stays as it is."""
    if name.removesuffix(".gz").endswith(".pcap") or name == "-":
        raise UsageError(
            f"--capture {name}: it is written as pcapng: give a file, such as {Path(scenario).stem}.pcapng"
        )
    try:
        with Path(name).open("ab"):
            pass
        if Path(name).samefile(scenario):
            raise UsageError(f"--capture {name}: that is the scenario: give another name")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--capture: can't write {name}: {reason}; give a file that you may write") from None
